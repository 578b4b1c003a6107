/* SPDX-License-Identifier: MIT */
#include "sync/master/control/status.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/ctl.h"
#include "sync/common/log.h"
#include "sync/common/path.h"
#include "sync/common/rundir.h"
#include "sync/common/trouble.h"
#include "sync/master/db/tree.h"
#include "sync/master/folder/root.h"
#include "sync/master/folder/folder.h"
#include "sync/master/publish/delete_guard.h"
#include "sync/master/commit/committer.h"
#include "sync/master/folder/scan_queue.h"
#include "sync/master/http/intruder.h"
#include "sync/master/folder/kept.h"
#include "sync/master/folder/root_monitor.h"
#include "sync/master/db/lost_rows.h"
#include "sync/master/db/registry.h"
#include "sync/master/db/reports.h"
#include "sync/master/folder/notices.h"
#include "sync/master/db/readers.h"
#include "sync/master/recovery/adopt.h"
#include "sync/master/recovery/recover.h"
#include "sync/master/versions/restore.h"
#include "sync/master/folder/volume.h"
#include "sync/master/scan/watch.h"
#include "sync/master/db/head.h"

#define NOTICES_SHOWN 50 /* of a kind */
#define TROUBLE_MS    (15 * 60 * 1000)

struct status {
    struct master *m;
    struct ctl_server *server;
};

struct list {
    struct master *m;
    json_t *array;
};

static void add_mirror(void *arg, const struct mirror *who)
{
    struct list *l = arg;

    json_array_append_new(
        l->array, reports_show(l->m->reports, who->name, head_seq(l->m->head), clock_mono_ms()));
}

/* What is not as it should be, worst first. */
struct problems {
    json_t *array;
    const char *state;
};

static void problem(struct problems *p, const char *state, const char *reason, const char *action)
{
    if (json_array_size(p->array) == 0)
        p->state = state;
    json_array_append_new(p->array, json_pack("{s:s,s:s}", "reason", reason, "action", action));
}

/* Mirrors that have reported to this master, but do so no more. */
static void find_silent(json_t *mirrors, struct problems *p)
{
    char why[512];
    json_t *o;
    size_t i;

    json_array_foreach(mirrors, i, o)
    {
        if (!json_is_true(json_object_get(o, "silent")))
            continue;
        snprintf(why, sizeof(why), "mirror '%s' was %s",
                 json_string_value(json_object_get(o, "name")),
                 json_string_value(json_object_get(o, "reason")));
        problem(p, "DEGRADED", why,
                "look with eefs-status on that mirror; if it is gone for good: eefs-master mirror "
                "remove");
    }
}

/* Mirrors whose token two machines use. */
static void find_twins(json_t *mirrors, struct problems *p)
{
    char why[1024];
    json_t *o;
    size_t i;

    json_array_foreach(mirrors, i, o)
    {
        if (!json_is_true(json_object_get(o, "twin")))
            continue;
        snprintf(why, sizeof(why), "mirror '%s': %s", json_string_value(json_object_get(o, "name")),
                 json_string_value(json_object_get(o, "reason")));
        problem(p, "DEGRADED", why,
                "add a mirror for one of them (eefs-master mirror add), and give it that token and "
                "an empty cache");
    }
}

/* Faults of this machine that were met lately. */
static void find_trouble(struct problems *p)
{
    char why[512];
    int code;

    if (!trouble_recent(TROUBLE_MS, &code, why, sizeof(why)))
        return;
    problem(p, code == EUCLEAN ? "FAILED" : "DEGRADED", why,
            code == EUCLEAN ? "restart eefs-master: it sets the damaged database aside and "
                              "rebuilds it from the folder; then check the disk"
            : code == EMFILE || code == ENFILE ? "raise its limit of open files (LimitNOFILE=)"
            : code == ENOMEM                   ? "give this machine more memory"
                                               : "check the disk");
}

static void find_lost(struct db *db, struct problems *p)
{
    char why[256];
    int64_t n = 0;

    if (lost_rows_count(db, NULL, &n) < 0 || n == 0)
        return;
    snprintf(why, sizeof(why),
             "this master has gone back in time and lacks %lld changes that mirrors keep",
             (long long)n);
    problem(p, "DEGRADED", why,
            "eefs-master recover --dry-run lists them, and without that it brings them back; "
            "--discard lets them go");
}

static void find_problems(struct master *m, struct db *db, json_t *mirrors, struct problems *p)
{
    char why[512], action[256];
    int64_t n, oldest;

    if (!root_ok(m->folder->root, why, sizeof(why)))
        problem(p, "FAILED", why,
                root_disk_fails(m->folder->root)
                    ? "check the disk of the folder; nothing is published until it can be read"
                : root_lacks_marker(m->folder->root)
                    ? "mount or restore the folder; if it is the right one: eefs-master adopt"
                    : "mount or restore the folder; nothing is published until it is back");
    if (delete_guard_emptied(m->delete_guard, why, sizeof(why)))
        problem(p, "FAILED", why,
                "bring the files back; if the deletion is intentional: eefs-master confirm");
    else if (delete_guard_held(m->delete_guard, why, sizeof(why)) > 0)
        problem(p, "DEGRADED", why,
                "bring the files back; if the deletion is intentional: eefs-master confirm");
    find_lost(db, p);
    find_trouble(p);
    if (volumes_away(m->folder->volumes, why, sizeof(why)) > 0)
        problem(p, "DEGRADED", why, "mount it; if it is gone for good: eefs-master confirm");
    if (!m->scanned && root_ok(m->folder->root, why, sizeof(why)))
        problem(p, "SYNCING", "the first scan is running", "");
    if (committer_error(m->committer) < 0) {
        snprintf(why, sizeof(why), "the database '%.300s' cannot be written: %s", m->db_path,
                 strerror(-committer_error(m->committer)));
        problem(p, "DEGRADED", why,
                "free space on its disk, or check the disk; the master retries");
    }
    if (root_monitor_short(m->root_monitor, why, sizeof(why)))
        problem(p, "DEGRADED", why,
                "free space on the disk: changes of mirrors are refused until then");
    if (watch_limited(m->watch, why, sizeof(why), action, sizeof(action)))
        problem(p, "DEGRADED", why, action);
    n = notices_count(m->notices, NOTICE_UNREADABLE, NULL);
    if (n) {
        snprintf(why, sizeof(why), "%lld files or folders cannot be read and are not published",
                 (long long)n);
        problem(p, "DEGRADED", why,
                "let the user that serves read them (listed under 'unreadable')");
    }
    n = notices_count(m->notices, NOTICE_OPEN, &oldest);
    if (m->open_ms && oldest > m->open_ms) {
        snprintf(why, sizeof(why),
                 "%lld files are held open by writers and not published, one for %lld %s",
                 (long long)n, (long long)(oldest / (oldest < 120000 ? 1000 : 60000)),
                 oldest < 120000 ? "seconds" : "minutes");
        problem(p, "DEGRADED", why, "end the writer, or exclude the file (listed under 'open')");
    }
    find_twins(mirrors, p);
    find_silent(mirrors, p);
}

static void add_state(struct master *m, struct db *db, json_t *mirrors, json_t *o)
{
    struct problems p = {json_array(), "OK"};
    const char *reason = "", *action = "";
    json_t *first;
    char why[512];

    find_problems(m, db, mirrors, &p);
    first = json_array_get(p.array, 0);
    if (first) {
        reason = json_string_value(json_object_get(first, "reason"));
        action = json_string_value(json_object_get(first, "action"));
    }
    json_object_set_new(o, "state", json_string(p.state));
    json_object_set_new(o, "reason", json_string(reason));
    json_object_set_new(o, "action", json_string(action));
    json_object_set_new(o, "problems", p.array);
    json_object_set_new(o, "held_deletions",
                        json_integer(delete_guard_held(m->delete_guard, why, sizeof(why))));
    json_object_set_new(o, "watched", json_integer(watch_folders(m->watch)));
    json_object_set_new(o, "unwatched", json_integer(watch_limited(m->watch, NULL, 0, NULL, 0)));
    json_object_set_new(o, "scan_ms", json_integer(scan_queue_scan_ms(m->folder->scan_queue)));
    json_object_set_new(o, "waiting", json_integer(scan_queue_waiting(m->folder->scan_queue)));
    json_object_set_new(o, "notices", notices_report(m->notices, NOTICES_SHOWN));
}

static void confirm(struct master *m, struct ctl_conn *conn, uid_t uid)
{
    char why[512];
    int64_t n = delete_guard_held(m->delete_guard, why, sizeof(why)) +
                volumes_away(m->folder->volumes, why, sizeof(why));

    if (uid != 0 && uid != geteuid()) {
        ctl_reply_error(conn, "permission", "only root or the user that serves may confirm");
        return;
    }
    if (n > 0)
        committer_confirm(m->committer);
    ctl_reply(conn, json_pack("{s:b,s:I}", "ok", 1, "confirmed", (json_int_t)n));
}

static void add_counts(struct db *db, json_t *o)
{
    struct tree_total total = {0};

    tree_total(db, &total);
    json_object_set_new(o, "entries", json_integer(total.entries));
    json_object_set_new(o, "files", json_integer(total.files));
    json_object_set_new(o, "bytes", json_integer(total.bytes));
}

static void restore(struct master *m, struct ctl_conn *conn, json_t *request, uid_t uid)
{
    const char *text = json_string_value(json_object_get(request, "path"));
    int64_t seq = json_integer_value(json_object_get(request, "seq")), now = 0;
    char *path = NULL;
    struct err e = {0};

    if (uid != 0 && uid != geteuid()) {
        ctl_reply_error(conn, "permission",
                        "only root and the user that serves may restore a version");
    } else if (!text || path_decode(text, &path) < 0) {
        ctl_reply_error(conn, "bad_request", "'path' is not a path");
    } else if (restore_version(m, path, seq, &now, &e) < 0) {
        ctl_reply_error(conn, "refused", e.text);
    } else {
        log_info("restored '%s' to version %lld: change %lld", text, (long long)seq,
                 (long long)now);
        ctl_reply(conn, json_pack("{s:b,s:I}", "ok", 1, "seq", (json_int_t)now));
    }
    free(path);
}

static void adopt_folder(struct master *m, struct ctl_conn *conn, json_t *request, uid_t uid)
{
    struct err e = {0};
    json_t *o = NULL;

    if (uid != 0 && uid != geteuid()) {
        ctl_reply_error(conn, "permission",
                        "only root and the user that serves may adopt a folder");
    } else if (adopt(m, json_is_true(json_object_get(request, "dry_run")), &o, &e) < 0) {
        ctl_reply_error(conn, "refused", e.text);
    } else {
        json_object_set_new(o, "ok", json_true());
        ctl_reply(conn, o);
    }
}

static bool tell_recovered(void *arg, json_t *line)
{
    return ctl_reply(arg, line) == 0;
}

/* A line for each change, and a last one with "ok". */
static void recover_lost(struct master *m, struct ctl_conn *conn, json_t *request, uid_t uid)
{
    struct recover_options o = {
        .from = json_string_value(json_object_get(request, "from")),
        .dry_run = json_is_true(json_object_get(request, "dry_run")),
        .discard = json_is_true(json_object_get(request, "discard")),
        .deletions = json_is_true(json_object_get(request, "deletions")),
    };
    struct err e = {0};

    if (uid != 0 && uid != geteuid())
        ctl_reply_error(conn, "permission", "only root and the user that serves may recover");
    else if (recover(m, &o, tell_recovered, conn, &e) < 0)
        ctl_reply_error(conn, "refused", e.text);
    else
        ctl_reply(conn, json_pack("{s:b}", "ok", 1));
}

static void hide_reason(json_t *o)
{
    const char *reason = json_string_value(json_object_get(o, "reason"));

    if (reason && strchr(reason, '\''))
        json_object_set_new(o, "reason",
                            json_string("the reason is shown to root and the user that serves"));
}

/* For peers that are neither root nor the user that serves: numbers, but no names from the folder,
 * which they may not be able to read. A sentence that quotes something may have one. */
static void hide_names(json_t *o)
{
    json_t *x;
    size_t i;

    json_object_del(o, "notices");
    hide_reason(o);
    json_array_foreach(json_object_get(o, "problems"), i, x) hide_reason(x);
    json_array_foreach(json_object_get(o, "mirrors"), i, x)
    {
        hide_reason(x);
        json_object_del(x, "imports");
    }
    json_array_foreach(json_object_get(o, "errors"), i, x) json_object_del(x, "path");
}

static void handle(void *arg, struct ctl_conn *conn, json_t *request, uid_t uid)
{
    struct master *m = ((struct status *)arg)->m;
    const char *cmd = json_string_value(json_object_get(request, "cmd"));
    struct db *db;
    json_t *o;
    struct list l;

    if (cmd && strcmp(cmd, "restore") == 0) {
        restore(m, conn, request, uid);
        return;
    }
    if (cmd && strcmp(cmd, "confirm") == 0) {
        confirm(m, conn, uid);
        return;
    }
    if (cmd && strcmp(cmd, "adopt") == 0) {
        adopt_folder(m, conn, request, uid);
        return;
    }
    if (cmd && strcmp(cmd, "recover") == 0) {
        recover_lost(m, conn, request, uid);
        return;
    }
    if (!cmd || strcmp(cmd, "status") != 0) {
        ctl_reply_error(conn, "bad_request",
                        "the commands are 'status', 'confirm', 'restore', 'adopt' and 'recover'");
        return;
    }
    db = readers_get(m->readers);
    if (!db) {
        ctl_reply_error(conn, "database", "the master's database cannot be read");
        return;
    }
    o = json_pack("{s:b,s:s,s:s,s:s,s:s,s:s,s:I,s:b}", "ok", 1, "kind", "master", "root",
                  root_path(m->folder->root), "listen", m->listen, "master_id", m->id, "timeline",
                  m->timeline, "head", (json_int_t)head_seq(m->head), "scanning",
                  scan_queue_scanning(m->folder->scan_queue));
    if (!o) /* a root path that is not UTF-8 */
        o = json_pack("{s:b,s:s}", "ok", 1, "kind", "master");
    l = (struct list){m, json_array()};
    registry_each(db, add_mirror, &l);
    add_state(m, db, l.array, o);
    add_counts(db, o);
    json_object_set_new(o, "wrong_tokens", intruder_report(m->intruder));
    json_object_set_new(o, "kept", kept_report(m->folder->kept));
    json_object_set_new(o, "errors", trouble_json());
    json_object_set_new(o, "mirrors", l.array);
    readers_put(m->readers, db);
    if (!ctl_conn_peer(conn)->trusted)
        hide_names(o);
    ctl_reply(conn, o);
}

int status_start(struct master *m, const char *rundir, struct status **ret, struct err *e)
{
    struct status *s;
    char id[9], *path;
    int r = rundir_ensure(rundir, e);

    if (r < 0)
        return r;
    s = xcalloc(1, sizeof(*s));
    s->m = m;
    memcpy(id, m->id, 8);
    id[8] = '\0';
    path = rundir_file(rundir, "master", id, "sock");
    r = ctl_server_start(path, 0666, handle, s, &s->server, e);
    free(path);
    if (r < 0)
        free(s);
    else
        *ret = s;
    return r;
}

void status_stop(struct status *s)
{
    if (!s)
        return;
    ctl_server_stop(s->server);
    free(s);
}
