/* SPDX-License-Identifier: MIT */
/*
 * status: how this mirror stands (the table in the README's "Status"), for the control socket and,
 * every 10 s and on a change, for the master (POST /v1/state, with the imports of this machine).
 */
#include "sync/mirror/control/status.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/common/clock.h"
#include "sync/common/file.h"
#include "sync/common/path.h"
#include "sync/common/printable.h"
#include "sync/common/rundir.h"
#include "sync/common/worker.h"
#include "sync/common/trouble.h"
#include "sync/mirror/control/fitness.h"
#include "sync/mirror/replica/feed.h"
#include "sync/mirror/store/store_admin.h"
#include "sync/mirror/transfer/context.h"
#include "sync/mirror/transfer/fetch.h"
#include "sync/mirror/transfer/pull.h"
#include "sync/mirror/transfer/renewal.h"
#include "sync/proto/http_client.h"
#include "sync/proto/wire.h"

#define REPORT_MS  10000
#define LOOK_MS    1000
#define TROUBLE_MS (15 * 60 * 1000) /* a fault of this machine counts as one for so long */
#define IMPORT_MAX (64 * 1024)

struct status {
    struct mirror *m;
    struct worker worker;
};

struct facts {
    int64_t pending, quarantined, deferred, skipped, conflicts, lost, entries, bytes, used, limit,
        fs_free;
    int64_t contact, since, step, lag_ms, lag_limit;
    char deferred_reason[700];
    json_t *skipped_list;
    int64_t open_bytes, pinned_bytes; /* of the cache, when it is over its limit */
    bool up, denied, in_step, failed;
    char link_reason[512], push_reason[512], name[128], twin[256];
    char fault[FAULT_TEXT_CAP], action[FAULT_ACTION_CAP];
};

struct status *status_new(struct mirror *m)
{
    struct status *s = xcalloc(1, sizeof(*s));

    s->m = m;
    worker_init(&s->worker);
    return s;
}

void status_free(struct status *s)
{
    if (!s)
        return;
    worker_release(&s->worker);
    free(s);
}

static void gather_deferred(struct mirror *m, struct facts *f)
{
    char *path, *why, *text;

    f->deferred = replica_deferred(m->replica, &path, &why);
    if (f->deferred > 0) {
        text = path_encoded(path);
        snprintf(f->deferred_reason, sizeof(f->deferred_reason),
                 "%lld changes wait, the first of '%.200s': %.300s", (long long)f->deferred, text,
                 why);
        free(text);
    }
    free(path);
    free(why);
}

/* A fault of this machine: a damaged database is the worst of all. */
static void find_trouble(struct mirror *m, struct facts *f)
{
    bool given_up;
    char text[sizeof(f->fault)];
    int code = 0;

    if (!trouble_recent(TROUBLE_MS, &code, text, sizeof(text)) || (*f->fault && code != EUCLEAN))
        return;
    snprintf(f->fault, sizeof(f->fault), "%s", text);
    f->failed = code == EUCLEAN;
    (void)renewal_is_due(m, &given_up);
    snprintf(f->action, sizeof(f->action), "%s",
             code == EUCLEAN && given_up
                 ? "check the disk, then unmount and mount again: the database was rebuilt from "
                   "the master more than once and is damaged again; waiting changes are kept"
             : code == EUCLEAN
                 ? "nothing to do now: the mount sets the database aside and rebuilds it when the "
                   "master answers, and keeps waiting changes; then check the disk"
             : code == EMFILE || code == ENFILE ? "raise the limit of open files"
             : code == ENOMEM                   ? "give this machine more memory"
                                                : "check the disk of the cache folder");
}

static void gather(struct mirror *m, struct facts *f)
{
    int64_t now = clock_mono_ms();
    struct outbox_count n; /* of a database that cannot be read: zeros, and the fault is shown */

    memset(f, 0, sizeof(*f));
    replica_outbox_count(m->replica, "", &n);
    f->pending = n.pending;
    f->quarantined = n.refused;
    gather_deferred(m, f);
    f->skipped = replica_skipped(m->replica, &f->skipped_list);
    f->conflicts = replica_conflict_count(m->replica);
    f->lost = replica_lost_count(m->replica);
    replica_totals(m->replica, &f->entries, &f->bytes);
    store_usage(m->store, &f->used, &f->limit, &f->fs_free);
    if (f->used > f->limit)
        store_explain(m->store, &f->open_bytes, &f->pinned_bytes);
    mutex_lock(&m->link.lock);
    f->up = link_is_up(&m->link);
    f->denied = m->link.denied;
    f->contact = m->link.contact;
    f->since = m->link.since;
    snprintf(f->link_reason, sizeof(f->link_reason), "%s", m->link.reason);
    mutex_unlock(&m->link.lock);
    mutex_lock(&m->lock);
    snprintf(f->name, sizeof(f->name), "%s", m->name);
    snprintf(f->twin, sizeof(f->twin), "%s", m->twin);
    mutex_unlock(&m->lock);
    fault_first(&m->faults, f->fault, f->action, &f->failed);
    find_trouble(m, f);
    f->failed |= replica_is_renewing(m->replica);
    wake_reason(&m->outbox_wake, f->push_reason);
    f->in_step = pull_in_step(m->pull, &f->step);
    f->lag_limit = m->cfg.lag_limit;
    f->lag_ms = f->up && f->in_step ? 0 : now - (f->step ? f->step : f->since);
}

static const char *judge(const struct facts *f, char *reason, size_t cap, const char **action)
{
    *action = "";
    reason[0] = '\0';
    if (*f->fault && (f->failed || f->up)) {
        snprintf(reason, cap, "%s", f->fault);
        *action = f->action;
        return f->failed ? "FAILED" : "DEGRADED";
    }
    if (!f->up) {
        snprintf(reason, cap, "%s", f->link_reason);
        *action = f->denied ? "put a valid token into token_file and mount again"
                            : "nothing to do: the mount serves from its cache and resumes when the "
                              "master is back";
        return "ISOLATED";
    }
    if (*f->twin) {
        snprintf(reason, cap,
                 "another machine, %s, uses this mirror's token: a dump that one of them imports "
                 "never reaches the other",
                 f->twin);
        *action = "add a mirror for one of them (eefs-master mirror add, on the master), and give "
                  "it that token and an empty cache";
        return "DEGRADED";
    }
    if (f->quarantined > 0) {
        snprintf(reason, cap, "%lld changes were refused by the master", (long long)f->quarantined);
        *action = "eefs-status --quarantine lists them: repair the cause and --retry them, or copy "
                  "what you need out of the mount and --discard them";
        return "DEGRADED";
    }
    if (f->deferred > 0) {
        snprintf(reason, cap, "%s", f->deferred_reason);
        *action = "repair the cause: the changes are retried automatically; eefs-status "
                  "--quarantine lists them";
        return "DEGRADED";
    }
    if (f->skipped > 0) {
        json_t *first = json_array_get(f->skipped_list, 0);

        snprintf(reason, cap,
                 "%lld entries of the master cannot be applied, the first '%.200s': %s",
                 (long long)f->skipped, json_string_value(json_object_get(first, "path")),
                 json_string_value(json_object_get(first, "why")));
        *action = "rename or remove them on the master, or update eefs here; all others are "
                  "served, and these as soon as they can be applied";
        return "DEGRADED";
    }
    if (f->lost > 0) {
        snprintf(reason, cap,
                 "the master has gone back in time and lacks %lld changes that are kept here",
                 (long long)f->lost);
        *action = "on the master: eefs-master recover --dry-run lists them, and without that it "
                  "brings them back";
        return "DEGRADED";
    }
    if (f->conflicts > 0) {
        snprintf(reason, cap, "%lld conflicts", (long long)f->conflicts);
        *action = "list them with eefs-status --conflicts and keep the better version of each";
        return "DEGRADED";
    }
    if (*f->push_reason) {
        snprintf(reason, cap, "changes wait: %s", f->push_reason);
        *action = "if the reason is a full disk, free space on the master or on this machine";
        return "DEGRADED";
    }
    if (f->fs_free < 16 * 1024 * 1024) {
        snprintf(reason, cap, "the cache's disk has only %lld bytes left", (long long)f->fs_free);
        *action = "free space on the filesystem of the cache folder";
        return "DEGRADED";
    }
    if (f->lag_ms > f->lag_limit) {
        snprintf(reason, cap, "%lld s behind the master", (long long)(f->lag_ms / 1000));
        *action = "check the network and this machine's disk; the mount catches up by itself";
        return "DEGRADED";
    }
    if (!f->in_step || f->pending > 0) {
        if (!f->in_step)
            snprintf(reason, cap, "catching up with the master");
        else
            snprintf(reason, cap, "%lld changes on their way to the master", (long long)f->pending);
        return "SYNCING";
    }
    return "OK";
}

static json_t *text(const char *s)
{
    char *valid = printable_utf8(s);
    json_t *v = json_string(valid);

    free(valid);
    return v;
}

json_t *status_json(struct mirror *m)
{
    char reason[700], *cursor = replica_cursor(m->replica);
    int64_t now = clock_mono_ms();
    const char *action, *state;
    struct facts f;
    json_t *o = json_object(), *health;

    gather(m, &f);
    state = judge(&f, reason, sizeof(reason), &action);
    json_object_set_new(o, "ok", json_true());
    json_object_set_new(o, "kind", json_string("mount"));
    json_object_set_new(o, "instance", text(m->cfg.instance));
    json_object_set_new(o, "mountpoint", text(m->cfg.mountpoint));
    json_object_set_new(o, "url", text(m->cfg.url));
    json_object_set_new(o, "name", text(f.name));
    json_object_set_new(o, "state", json_string(state));
    json_object_set_new(o, "reason", text(reason));
    json_object_set_new(o, "action", text(action));
    json_object_set_new(o, "link", json_string(f.up ? "up" : "down"));
    json_object_set_new(o, "down_ms", json_integer(f.up ? 0 : now - f.since));
    json_object_set_new(o, "last_contact_ms_ago",
                        f.contact ? json_integer(now - f.contact) : json_null());
    json_object_set_new(o, "lag_ms", json_integer(f.lag_ms));
    json_object_set_new(o, "pending", json_integer(f.pending));
    json_object_set_new(o, "quarantined", json_integer(f.quarantined));
    json_object_set_new(o, "deferred", json_integer(f.deferred));
    json_object_set_new(o, "skipped", json_integer(f.skipped));
    json_object_set_new(o, "skipped_list", f.skipped_list);
    json_object_set_new(o, "conflicts", json_integer(f.conflicts));
    json_object_set_new(o, "lost", json_integer(f.lost));
    json_object_set_new(o, "entries", json_integer(f.entries));
    json_object_set_new(o, "cache_used", json_integer(f.used));
    json_object_set_new(o, "cache_limit", json_integer(f.limit));
    json_object_set_new(o, "cache_open", json_integer(f.open_bytes));
    json_object_set_new(o, "cache_pinned", json_integer(f.pinned_bytes));
    json_object_set_new(o, "prefetch_queued", json_integer((json_int_t)fetch_queued(m->fetch)));
    json_object_set_new(o, "cursor", text(cursor));
    json_object_set_new(o, "version", json_string(EEFS_VERSION));
    json_object_set_new(o, "errors", trouble_json());
    json_object_set_new(o, "isolated_grace_ms", json_integer(m->cfg.isolated_grace));
    health = fitness_json(m->fitness);
    if (health)
        json_object_set_new(o, "health", health);
    free(cursor);
    return o;
}

static void read_import(void *list, const char *path)
{
    struct buf b = BUF_INIT;
    json_t *v;

    if (file_slurp(AT_FDCWD, path, IMPORT_MAX, &b) == 0 && b.len > 0 &&
        (v = json_loadb(b.data, b.len, 0, NULL)))
        json_array_append_new(list, v);
    buf_release(&b);
}

json_t *status_imports(struct mirror *m)
{
    json_t *imports = json_array();

    rundir_each(m->cfg.rundir, "import", "json", read_import, imports);
    return imports;
}

/* A sentence that quotes something may name a path. */
static void hide_reason(json_t *o)
{
    const char *reason = json_string_value(json_object_get(o, "reason"));

    if (reason && strchr(reason, '\''))
        json_object_set_new(o, "reason",
                            json_string("the reason is shown to root and the user of the mount"));
}

void status_hide_names(json_t *o)
{
    json_t *x;
    size_t i;

    hide_reason(o);
    hide_reason(json_object_get(o, "health"));
    json_array_foreach(json_object_get(o, "errors"), i, x) json_object_del(x, "path");
}

json_t *status_public_json(struct mirror *m)
{
    json_t *o = status_json(m);

    status_hide_names(o);
    json_object_del(o, "skipped_list");
    return o;
}

/* What tells this machine from a copy of it: "<boot id>:<host name>" (random(4)); a container has
 * the host's boot id, but a name of its own. */
static json_t *machine_json(void)
{
    char host[65] = "";
    struct buf b = BUF_INIT;
    json_t *v;

    if (file_slurp(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 64, &b) == 0 && b.len > 0)
        b.data[b.len = strcspn(b.data, "\n")] = '\0';
    (void)gethostname(host, sizeof(host) - 1);
    buf_printf(&b, ":%s", host);
    v = text(b.data);
    buf_release(&b);
    return v;
}

static void take_answer(struct mirror *m, const struct http_reply *reply)
{
    json_t *o = reply->status == 200 ? http_reply_json(reply, NULL) : NULL;
    const char *twin = json_string_value(json_object_get(o, "twin"));

    mutex_lock(&m->lock);
    if (o)
        printable_copy(m->twin, sizeof(m->twin), twin ? twin : "");
    mutex_unlock(&m->lock);
    json_decref(o);
}

static void report(struct mirror *m, json_t *now)
{
    static const char *const names[] = {"state",       "reason",    "lag_ms",      "pending",
                                        "conflicts",   "cursor",    "quarantined", "version",
                                        "cache_limit", "cache_used"};
    struct http_request q = {.method = "POST", .path = WIRE_STATE, .type = "application/json"};
    json_t *o = json_object();
    struct http_reply reply;
    struct err e = {0};
    char *body;
    size_t i;

    for (i = 0; i < sizeof(names) / sizeof(*names); i++)
        json_object_set(o, names[i], json_object_get(now, names[i]));
    json_object_set_new(o, "imports", status_imports(m));
    json_object_set_new(o, "machine", machine_json());
    body = json_dumps(o, JSON_COMPACT);
    json_decref(o);
    q.body = body;
    q.body_len = body ? strlen(body) : 0;
    q.cancel = &m->link.down;
    if (link_judge(&m->link, http_run(m->http, &q, &reply, &e), &reply, &e) == 0)
        take_answer(m, &reply);
    http_reply_release(&reply);
    free(body);
}

/* The long poll, and all that is under way, ends; then pull makes the database anew. */
static void look_for_damage(struct mirror *m)
{
    struct err e;

    if (!renewal_is_due(m, NULL) || !link_is_up(&m->link))
        return;
    err_set(&e, EUCLEAN, "the database of the cache is damaged and is being rebuilt");
    link_fail(&m->link, &e);
}

static void *state_main(void *arg)
{
    struct status *s = arg;
    int64_t reported = 0;
    char last[16] = "";

    worker_lock(&s->worker);
    while (!mirror_stopping(s->m)) {
        json_t *o;
        const char *state;

        worker_unlock(&s->worker);
        look_for_damage(s->m);
        o = status_json(s->m);
        state = json_string_value(json_object_get(o, "state"));
        if (link_is_up(&s->m->link) &&
            (strcmp(state, last) != 0 || clock_mono_ms() >= reported + REPORT_MS)) {
            report(s->m, o);
            reported = clock_mono_ms();
            snprintf(last, sizeof(last), "%s", state);
        }
        json_decref(o);
        worker_lock(&s->worker);
        worker_wait_locked(&s->worker, clock_mono_ms() + LOOK_MS);
    }
    worker_unlock(&s->worker);
    return NULL;
}

int status_start(struct status *s)
{
    return worker_start(&s->worker, "state", state_main, s);
}

void status_stop(struct status *s)
{
    worker_stop(&s->worker);
}
