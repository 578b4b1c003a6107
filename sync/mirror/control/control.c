/* SPDX-License-Identifier: MIT */
/*
 * control: the socket RUNDIR/mount-<instance>.sock: the requests of eefs-status, eefs-sqlimport and
 * people to a mount (form of requests and answers: sync/common/ctl.h; paths are percent-encoded).
 *
 *   status                        status.c's object
 *   wait [timeout_ms] [path]      until nothing at or under path is pending; else code "timeout", or
 *                                 "refused" when what is left waits for a refused change
 *   conflicts, quarantine         the replica's lists
 *   forget path                   takes conflicts at or under path off the list
 *   retry path                    sends refused changes at or under path again: {"count"}
 *   discard path                  drops them and what depends on them: {"paths"}
 *   path path                     how one path stands: {"path":{"path","type","state","size",…}}
 *   watch path                    then {"event":"changed","path":P} for each change at or under it
 *   remove path hash              removes the file if that is its content; code "changed" otherwise
 *   renew                         gives the outbox a new id, for a cache that was copied
 *   salvage                       contents written here that neither the tree nor a pending change
 *                                 has (salvage.c)
 *   remount options apply         changes them, or (apply false) says whether that can be done
 *
 * status, wait, conflicts, quarantine, path and watch are for everybody, remove for whoever may remove
 * that file in the mount, the others for root and the user of the mount. Other users are named only
 * what they see in the mount (peer_sees): counts are of everything, lists and events leave out the
 * rest, a request about it is refused with code "denied".
 */
#include "sync/mirror/control/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/common/clock.h"
#include "sync/common/ctl.h"
#include "sync/common/log.h"
#include "sync/common/path.h"
#include "sync/common/rundir.h"
#include "sync/mirror/control/status.h"
#include "sync/mirror/replica/feed.h"
#include "sync/mirror/store/store.h"
#include "sync/mirror/transfer/changes.h"
#include "sync/mirror/transfer/context.h"
#include "sync/mirror/transfer/peer.h"
#include "sync/mirror/transfer/salvage.h"
#include "sync/proto/json.h"

#define WAIT_DEFAULT_MS 30000
#define LOOK_US         10000  /* between looks of a wait … */
#define LOOK_OTHERS_US  100000 /* … of peers that are not trusted */

/* --- who may see what --- */

/* The same of a member that is a percent-encoded path; an absent or empty one names nothing. */
static bool shows_member(struct mirror *m, struct ctl_conn *conn, json_t *o, const char *name)
{
    const char *text = json_string_value(json_object_get(o, name));
    char *path = NULL;
    bool yes = !text || !*text;

    if (!yes && path_decode(text, &path) == 0)
        yes = peer_sees(m, conn, path);
    free(path);
    return yes;
}

/* Removes from a list the items with paths that the peer does not see. */
static json_t *shown_of(struct mirror *m, struct ctl_conn *conn, json_t *list)
{
    for (size_t i = json_array_size(list); i-- > 0;) {
        json_t *o = json_array_get(list, i);

        if (!shows_member(m, conn, o, "path") || !shows_member(m, conn, o, "copy") ||
            !shows_member(m, conn, o, "to"))
            json_array_remove(list, i);
    }
    return list;
}

/* --- the requests --- */

static void answer_wait(struct ctl_conn *conn, const struct outbox_count *n, bool held)
{
    char text[128] = "not all changes are on the master yet";

    if (held)
        snprintf(text, sizeof(text), "%lld changes wait for some that the master refused",
                 (long long)n->pending);
    if (n->pending == 0)
        ctl_reply(conn, json_pack("{s:b,s:i,s:I}", "ok", 1, "pending", 0, "quarantined",
                                  (json_int_t)n->refused));
    else
        ctl_reply(conn, json_pack("{s:b,s:s,s:s,s:I,s:I}", "ok", 0, "code",
                                  held ? "refused" : "timeout", "error", text, "pending",
                                  (json_int_t)n->pending, "quarantined", (json_int_t)n->refused));
}

static void on_wait(struct mirror *m, struct ctl_conn *conn, json_t *request)
{
    json_t *t = json_object_get(request, "timeout_ms");
    int64_t until =
        clock_mono_ms() + (json_is_integer(t) ? json_integer_value(t) : WAIT_DEFAULT_MS);
    struct outbox_count n;
    bool held = false;
    struct err e = {0};
    char *path = NULL;
    int r;

    if (json_object_get(request, "path") && json_get_path(request, "path", true, &path, &e) < 0) {
        ctl_reply_error(conn, "bad_request", e.text);
        return;
    }
    if (path && *path && !peer_sees(m, conn, path)) {
        ctl_reply_error(conn, "denied", "you do not see that path in the mount");
        free(path);
        return;
    }
    wake_kick(&m->outbox_wake);
    for (;;) {
        r = replica_outbox_count(m->replica, path ? path : "", &n);
        held = n.pending > 0 && n.all_refused > 0 && n.held;
        if (r < 0 || n.pending == 0 || held || clock_mono_ms() >= until || mirror_stopping(m) ||
            ctl_conn_closed(conn))
            break;
        usleep(ctl_conn_peer(conn)->trusted ? LOOK_US : LOOK_OTHERS_US);
    }
    if (r < 0)
        ctl_reply_error(conn, "database", "the mount cannot read its database");
    else
        answer_wait(conn, &n, held);
    free(path);
}

static void on_remove(struct mirror *m, struct ctl_conn *conn, json_t *request)
{
    struct strlist changed = {NULL, 0};
    struct err e = {0};
    struct hash h;
    char *path = NULL;
    int64_t opid = 0;
    int r;

    if (json_get_path(request, "path", false, &path, &e) < 0 ||
        json_get_hash(request, "hash", &h, &e) < 0) {
        ctl_reply_error(conn, "bad_request", e.text);
        free(path);
        return;
    }
    if (!peer_removes(m, conn, path)) {
        ctl_reply_error(conn, "denied", "you cannot remove that file in the mount");
        free(path);
        return;
    }
    r = replica_unlink_if(m->replica, path, &h, &opid);
    if (r == 0) {
        strlist_add(&changed, path);
        changes_changed(m->changes, &changed);
        wake_kick(&m->outbox_wake);
        ctl_reply(conn, json_pack("{s:b}", "ok", 1));
    } else if (r == -ENOENT || r == -EBUSY) {
        ctl_reply_error(conn, "changed", "the file is gone or has other content now");
    } else {
        err_sys(&e, -r, "cannot remove the file");
        ctl_reply_error(conn, r == -EROFS ? "read_only" : "failed", e.text);
    }
    free(path);
}

static json_t *discard(struct mirror *m, const char *path, int *r)
{
    struct strlist dropped = {NULL, 0}, changed = {NULL, 0};
    json_t *list = json_array();

    *r = replica_outbox_discard(m->replica, path, &dropped, &changed);
    for (size_t i = 0; i < dropped.n; i++) {
        char *text = path_encoded(dropped.v[i]);

        json_array_append_new(list, json_string(text));
        log_warn("the change of '%s' was discarded by request", text);
        free(text);
    }
    strlist_release(&dropped);
    changes_changed(m->changes, &changed);
    return list;
}

/* forget, retry, discard, renew */
static void on_settle(struct mirror *m, struct ctl_conn *conn, json_t *request)
{
    const char *cmd = json_string_value(json_object_get(request, "cmd"));
    struct err e = {0};
    json_t *list = NULL;
    char *path = NULL;
    int r;

    if (strcmp(cmd, "renew") != 0 && json_get_path(request, "path", true, &path, &e) < 0) {
        ctl_reply_error(conn, "bad_request", e.text);
        return;
    }
    if (strcmp(cmd, "forget") == 0)
        r = replica_conflicts_forget(m->replica, path);
    else if (strcmp(cmd, "retry") == 0)
        r = replica_outbox_retry(m->replica, path);
    else if (strcmp(cmd, "renew") == 0)
        r = replica_outbox_renew(m->replica);
    else
        list = discard(m, path, &r);
    wake_now(&m->outbox_wake);
    if (r < 0) {
        err_sys(&e, -r, "cannot write to the replica in '%s'", m->cfg.cache);
        ctl_reply_error(conn, "failed", e.text);
        json_decref(list);
    } else if (list) {
        ctl_reply(conn, json_pack("{s:b,s:o}", "ok", 1, "paths", list));
    } else {
        ctl_reply(conn, json_pack("{s:b,s:i}", "ok", 1, "count", r));
    }
    free(path);
}

static void on_remount(struct mirror *m, struct ctl_conn *conn, json_t *request)
{
    const char *options = json_string_value(json_object_get(request, "options"));
    struct err e = {0};

    if (!options || !m->remount)
        ctl_reply_error(conn, "bad_request", "'options' is missing");
    else if (m->remount(m->remount_arg, options, json_is_true(json_object_get(request, "apply")),
                        &e) < 0)
        ctl_reply_error(conn, "refused", e.text);
    else
        ctl_reply(conn, json_pack("{s:b}", "ok", 1));
}

static void on_watch(struct mirror *m, struct ctl_conn *conn, json_t *request)
{
    struct err e = {0};
    char *path = NULL;

    if (json_get_path(request, "path", true, &path, &e) < 0)
        ctl_reply_error(conn, "bad_request", e.text);
    else if (*path && !peer_sees(m, conn, path))
        ctl_reply_error(conn, "denied", "you do not see that path in the mount");
    else
        changes_watch(m->changes, conn, path);
    free(path);
}

static void on_status(struct mirror *m, struct ctl_conn *conn, json_t *request)
{
    json_t *o = status_json(m);

    (void)request;
    if (!ctl_conn_peer(conn)->trusted) {
        status_hide_names(o);
        shown_of(m, conn, json_object_get(o, "skipped_list"));
    }
    ctl_reply(conn, o);
}

static void on_conflicts(struct mirror *m, struct ctl_conn *conn, json_t *request)
{
    (void)request;
    ctl_reply(conn, json_pack("{s:b,s:o}", "ok", 1, "conflicts",
                              shown_of(m, conn, replica_conflicts(m->replica))));
}

static void on_quarantine(struct mirror *m, struct ctl_conn *conn, json_t *request)
{
    (void)request;
    ctl_reply(conn, json_pack("{s:b,s:o}", "ok", 1, "quarantine",
                              shown_of(m, conn, replica_quarantine(m->replica))));
}

/* The first item of a list whose "path" (or, of a conflict, its copy) is `text`. */
static json_t *item_of(json_t *list, const char *text)
{
    json_t *o;
    size_t i;

    json_array_foreach(list, i, o)
    {
        const char *path = json_string_value(json_object_get(o, "path"));
        const char *copy = json_string_value(json_object_get(o, "copy"));

        if ((path && strcmp(path, text) == 0) || (copy && strcmp(copy, text) == 0))
            return o;
    }
    return NULL;
}

/* How a path that exists stands: new reference. */
static json_t *path_json(struct mirror *m, const char *path, const struct node_attr *a)
{
    static const char *const types[] = {
        [NODE_FILE] = "file", [NODE_DIR] = "dir", [NODE_LINK] = "link"};
    json_t *o = json_object(), *conflicts = replica_conflicts(m->replica);
    json_t *refused = replica_quarantine(m->replica), *item;
    const char *state = "clean";
    char *text = path_encoded(path);

    (void)replica_state_text(m->replica, path, &state);
    json_object_set_new(o, "path", json_string(text));
    json_object_set_new(o, "type", json_string(types[a->type]));
    json_object_set_new(o, "state", json_string(state));
    json_object_set_new(o, "size", json_integer(a->size));
    json_object_set_new(o, "mtime", json_integer(a->mtime));
    json_object_set_new(o, "writable", json_boolean(replica_writable(m->replica, path)));
    if (a->type == NODE_FILE && !hash_is_none(&a->hash)) {
        json_set_hash(o, "hash", &a->hash);
        json_object_set_new(o, "cached", json_boolean(store_has(m->store, &a->hash, a->size)));
    }
    if ((item = item_of(conflicts, text)))
        json_object_set(o, "conflict", item);
    if ((item = item_of(refused, text)))
        json_object_set(o, "refused", item);
    json_decref(conflicts);
    json_decref(refused);
    free(text);
    return o;
}

static void on_path(struct mirror *m, struct ctl_conn *conn, json_t *request)
{
    struct node_attr a;
    struct err e = {0};
    char *path = NULL;
    int r;

    if (json_get_path(request, "path", true, &path, &e) < 0) {
        ctl_reply_error(conn, "bad_request", e.text);
    } else if (*path && !peer_sees(m, conn, path)) {
        ctl_reply_error(conn, "denied", "you do not see that path in the mount");
    } else if ((r = replica_lookup(m->replica, path, &a)) < 0) {
        err_sys(&e, -r, "cannot look it up");
        ctl_reply_error(conn, r == -ENOENT ? "absent" : "database", e.text);
    } else {
        ctl_reply(conn, json_pack("{s:b,s:o}", "ok", 1, "path", path_json(m, path, &a)));
    }
    free(path);
}

static void on_salvage(struct mirror *m, struct ctl_conn *conn, json_t *request)
{
    json_t *list, *o;
    int error;

    (void)request;
    list = salvage_list(m, &error);
    o = json_pack("{s:b,s:o}", "ok", 1, "salvage", list);
    if (error < 0)
        json_object_set_new(o, "unread", json_string(strerror(-error)));
    ctl_reply(conn, o);
}

static void on_request(void *arg, struct ctl_conn *conn, json_t *request, uid_t uid)
{
    static const struct {
        const char *name;
        bool restricted; /* to root and the user of the mount */
        void (*fn)(struct mirror *m, struct ctl_conn *conn, json_t *request);
    } table[] = {
        {"status", false, on_status},       {"wait", false, on_wait},
        {"conflicts", false, on_conflicts}, {"quarantine", false, on_quarantine},
        {"path", false, on_path},           {"watch", false, on_watch},
        {"remove", false, on_remove},       {"forget", true, on_settle},
        {"retry", true, on_settle},         {"remount", true, on_remount},
        {"discard", true, on_settle},       {"renew", true, on_settle},
        {"salvage", true, on_salvage},
    };
    const char *cmd = json_string_value(json_object_get(request, "cmd"));

    for (size_t i = 0; cmd && i < sizeof(table) / sizeof(table[0]); i++) {
        if (strcmp(table[i].name, cmd) != 0)
            continue;
        if (table[i].restricted && uid != 0 && uid != geteuid())
            ctl_reply_error(conn, "denied", "only root and the user of the mount may do that");
        else
            table[i].fn(arg, conn, request);
        return;
    }
    ctl_reply_error(conn, "bad_request", cmd ? "unknown command" : "'cmd' is missing");
}

int control_start(struct mirror *m, struct err *e)
{
    char *path;
    int r = rundir_ensure(m->cfg.rundir, e);

    if (r < 0)
        return r;
    path = rundir_file(m->cfg.rundir, "mount", m->cfg.instance, "sock");
    r = ctl_server_start(path, 0666, on_request, m, &m->control, e);
    if (r == 0)
        (void)rundir_note_point(path, m->cfg.mountpoint);
    free(path);
    return r;
}

void control_stop(struct mirror *m)
{
    ctl_server_stop(m->control);
    m->control = NULL;
}
