/* SPDX-License-Identifier: MIT */
/*
 * control: the socket RUNDIR/mount-<instance>.sock: what eefs-status, eefs-sqlimport and a person
 * ask a mount (form of requests and answers: sync/common/ctl.h; paths are percent-encoded).
 *
 *   status                        state.c's object
 *   wait [timeout_ms]             pending 0, or code "timeout" with the number
 *   conflicts, quarantine         the replica's lists
 *   watch path                    then {"event":"changed","path":P} for each change at or under it
 *   remove path hash              removes the file if that is its content; code "changed"
 * otherwise; for root and the user of the mount
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/common/clock.h"
#include "sync/common/path.h"
#include "sync/common/rundir.h"
#include "sync/mirror/inside.h"
#include "sync/proto/json.h"

#define WAIT_DEFAULT_MS 30000

static void on_wait(struct mirror *m, struct ctl_conn *conn, json_t *request)
{
    json_t *t = json_object_get(request, "timeout_ms");
    int64_t until =
        clock_mono_ms() + (json_is_integer(t) ? json_integer_value(t) : WAIT_DEFAULT_MS);
    int64_t pending = 0, quarantined = 0;

    mirror_kick(m);
    for (;;) {
        replica_outbox_count(m->replica, &pending, &quarantined);
        if (pending == 0 || clock_mono_ms() >= until || mirror_stopping(m) || ctl_conn_closed(conn))
            break;
        usleep(10000);
    }
    if (pending == 0)
        ctl_reply(conn, json_pack("{s:b,s:i,s:I}", "ok", 1, "pending", 0, "quarantined",
                                  (json_int_t)quarantined));
    else
        ctl_reply(conn, json_pack("{s:b,s:s,s:s,s:I}", "ok", 0, "code", "timeout", "error",
                                  "not all changes are on the master yet", "pending",
                                  (json_int_t)pending));
}

/* remove PATH if its content is still HASH: 0 or -errno with the code of the answer. */
static int remove_if(struct mirror *m, const char *path, const struct hash *h, const char **code)
{
    struct node_attr a;
    int64_t opid = 0;
    int r = replica_lookup(m->replica, path, &a);

    *code = "changed";
    if (r == 0 && (a.type != NODE_FILE || !hash_eq(&a.hash, h)))
        return -EBUSY;
    if (r == 0)
        r = replica_unlink(m->replica, path, &opid);
    if (r == -EROFS)
        *code = "read_only";
    else if (r < 0 && r != -ENOENT)
        *code = "failed";
    return r;
}

static void on_remove(struct mirror *m, struct ctl_conn *conn, json_t *request, uid_t uid)
{
    struct strlist changed = {NULL, 0};
    struct err e = {0};
    struct hash h;
    const char *code = NULL;
    char *path = NULL;
    int r;

    if (uid != 0 && uid != geteuid()) {
        ctl_reply_error(conn, "denied",
                        "only root and the user of the mount may remove by content");
        return;
    }
    if (json_get_path(request, "path", false, &path, &e) < 0 ||
        json_get_hash(request, "hash", &h, &e) < 0) {
        ctl_reply_error(conn, "bad_request", e.text);
        free(path);
        return;
    }
    r = remove_if(m, path, &h, &code);
    if (r == 0) {
        strlist_add(&changed, path);
        tell_changed(m->tell, &changed);
        mirror_kick(m);
        ctl_reply(conn, json_pack("{s:b}", "ok", 1));
    } else if (r == -ENOENT || r == -EBUSY) {
        ctl_reply_error(conn, code, "the file is gone or has other content now");
    } else {
        err_sys(&e, -r, "cannot remove the file");
        ctl_reply_error(conn, code, e.text);
    }
    free(path);
}

static void on_watch(struct mirror *m, struct ctl_conn *conn, json_t *request)
{
    struct err e = {0};
    char *path = NULL;

    if (json_get_path(request, "path", true, &path, &e) < 0)
        ctl_reply_error(conn, "bad_request", e.text);
    else
        tell_watch(m->tell, conn, path);
    free(path);
}

static void on_request(void *arg, struct ctl_conn *conn, json_t *request, uid_t uid)
{
    struct mirror *m = arg;
    const char *cmd = json_string_value(json_object_get(request, "cmd"));

    if (!cmd)
        ctl_reply_error(conn, "bad_request", "'cmd' is missing");
    else if (strcmp(cmd, "status") == 0)
        ctl_reply(conn, state_json(m));
    else if (strcmp(cmd, "wait") == 0)
        on_wait(m, conn, request);
    else if (strcmp(cmd, "conflicts") == 0)
        ctl_reply(conn,
                  json_pack("{s:b,s:o}", "ok", 1, "conflicts", replica_conflicts(m->replica)));
    else if (strcmp(cmd, "quarantine") == 0)
        ctl_reply(conn,
                  json_pack("{s:b,s:o}", "ok", 1, "quarantine", replica_quarantine(m->replica)));
    else if (strcmp(cmd, "watch") == 0)
        on_watch(m, conn, request);
    else if (strcmp(cmd, "remove") == 0)
        on_remove(m, conn, request, uid);
    else
        ctl_reply_error(conn, "bad_request", "unknown command");
}

int control_start(struct mirror *m, struct err *e)
{
    char *path;
    int r = rundir_ensure(m->cfg.rundir, e);

    if (r < 0)
        return r;
    path = rundir_file(m->cfg.rundir, "mount", m->cfg.instance, "sock");
    r = ctl_server_start(path, 0666, on_request, m, &m->control, e);
    free(path);
    return r;
}

void control_stop(struct mirror *m)
{
    ctl_server_stop(m->control);
    m->control = NULL;
}
