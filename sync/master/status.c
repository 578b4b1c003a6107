/* SPDX-License-Identifier: MIT */
#include "sync/master/status.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/common/ctl.h"
#include "sync/common/log.h"
#include "sync/common/path.h"
#include "sync/common/rundir.h"
#include "sync/master/index.h"
#include "sync/master/keep.h"
#include "sync/master/mirrors.h"
#include "sync/master/pool.h"
#include "sync/master/restore.h"
#include "sync/master/watch.h"

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

    json_array_append_new(l->array, mirrors_report(l->m->mirrors, who->name, l->m->head));
}

static void add_state(struct master *m, json_t *o)
{
    char why[512];
    const char *state = "OK", *reason = "", *action = "";

    if (!root_ok(m->root, why, sizeof(why))) {
        state = "FAILED";
        reason = why;
        action = "mount or restore the folder; nothing is published until it is back";
    } else if (!m->scanned) {
        state = "SYNCING";
        reason = "the first scan is running";
    } else if (watch_limited(m->watch)) {
        state = "DEGRADED";
        reason = "the watch limit is reached: some changes are only found by the periodic scan";
        action = "raise it: sysctl fs.inotify.max_user_watches=1048576, then restart";
    }
    json_object_set_new(o, "state", json_string(state));
    json_object_set_new(o, "reason", json_string(reason));
    json_object_set_new(o, "action", json_string(action));
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

static void handle(void *arg, struct ctl_conn *conn, json_t *request, uid_t uid)
{
    struct master *m = ((struct status *)arg)->m;
    const char *cmd = json_string_value(json_object_get(request, "cmd"));
    struct db *db;
    json_t *o;
    int64_t n = 0;
    struct list l;

    if (cmd && strcmp(cmd, "restore") == 0) {
        restore(m, conn, request, uid);
        return;
    }
    if (!cmd || strcmp(cmd, "status") != 0) {
        ctl_reply_error(conn, "bad_request", "the commands are 'status' and 'restore'");
        return;
    }
    db = db_pool_get(m->pool);
    if (!db) {
        ctl_reply_error(conn, "database", "the master's database cannot be read");
        return;
    }
    o = json_pack("{s:b,s:s,s:s,s:s,s:s,s:s,s:I,s:b}", "ok", 1, "kind", "master", "root",
                  root_path(m->root), "listen", m->listen, "master_id", m->id, "timeline",
                  m->timeline, "head", (json_int_t)m->head, "scanning", index_scanning(m->index));
    if (!o) /* a root path that is not UTF-8 */
        o = json_pack("{s:b,s:s}", "ok", 1, "kind", "master");
    add_state(m, o);
    db_get_int(db, 0, &n, "SELECT count(*) FROM entry WHERE type!=0", "");
    json_object_set_new(o, "entries", json_integer(n));
    db_get_int(db, 0, &n, "SELECT count(*) FROM entry WHERE type=1", "");
    json_object_set_new(o, "files", json_integer(n));
    db_get_int(db, 0, &n, "SELECT sum(size) FROM entry WHERE type=1", "");
    json_object_set_new(o, "bytes", json_integer(n));
    json_object_set_new(o, "kept", keep_report(m->keep));
    l = (struct list){m, json_array()};
    mirrors_each(db, add_mirror, &l);
    json_object_set_new(o, "mirrors", l.array);
    db_pool_put(m->pool, db);
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
