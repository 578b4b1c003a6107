/* SPDX-License-Identifier: MIT */
#include "sync/master/http/routes.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/log.h"
#include "sync/common/path.h"
#include "sync/master/folder/folder.h"
#include "sync/master/folder/root.h"
#include "sync/master/commit/committer.h"
#include "sync/master/http/intruder.h"
#include "sync/master/http/connections.h"
#include "sync/master/http/peer_address.h"
#include "sync/master/db/readers.h"
#include "sync/master/db/reports.h"
#include "sync/master/db/tree.h"
#include "sync/master/http/request.h"
#include "sync/master/http/lost.h"
#include "sync/master/http/reply.h"
#include "sync/master/folder/upload.h"
#include "sync/master/commit/fit.h"
#include "sync/master/folder/visible.h"
#include "sync/master/folder/volume.h"
#include "sync/master/db/head.h"
#include "sync/proto/json.h"
#include "sync/proto/wire.h"

#define STATE_MAX (256 * 1024) /* bytes of a report */

/* --- handlers --- */

static const char *argument(struct request *q, const char *name)
{
    return MHD_lookup_connection_value(q->conn, MHD_GET_ARGUMENT_KIND, name);
}

/* False when it is there and no number of min..max; cut to max when larger. */
static bool number(struct request *q, const char *name, int64_t min, int64_t max, int64_t *ret)
{
    const char *v = argument(q, name);
    char *end;
    long long n;

    if (!v)
        return true;
    errno = 0;
    n = strtoll(v, &end, 10);
    if (errno || *end || end == v || n < min)
        return false;
    *ret = n > max ? max : n;
    return true;
}

/* Tops of volumes that the mirror knows. */
static void tell_volumes(struct request *q, json_t *o)
{
    struct strlist all = {0}, known = {0};

    volumes_list(q->m->folder->volumes, &all);
    for (size_t i = 0; i < all.n; i++)
        if (scope_shows(&q->who.scope, all.v[i]) && !visible_hides(q->m->folder, all.v[i]))
            strlist_add(&known, all.v[i]);
    json_set_paths(o, "volumes", &known);
    strlist_release(&known);
    strlist_release(&all);
}

static enum MHD_Result run_hello(struct request *q)
{
    struct master *m = q->m;
    json_t *o = json_object(), *exclude = json_array();
    const struct strlist *patterns = &m->folder->exclude->list;

    json_object_set_new(o, "protocol", json_integer(WIRE_PROTOCOL));
    json_object_set_new(o, "version", json_string(EEFS_VERSION));
    json_object_set_new(o, "master_id", json_string(m->id));
    json_object_set_new(o, "timeline", json_string(m->timeline));
    json_object_set_new(o, "head", json_integer(head_seq(m->head)));
    json_object_set_new(o, "name", json_string(q->who.name));
    json_object_set_new(o, "scopegen", json_integer(q->who.scopegen));
    scope_to_json(&q->who.scope, o);
    for (size_t i = 0; i < patterns->n; i++)
        json_array_append_new(exclude, json_string(patterns->v[i]));
    json_object_set_new(o, "exclude", exclude);
    tell_volumes(q, o);
    json_object_set_new(o, "max_inline", json_integer(WIRE_INLINE_MAX));
    json_object_set_new(o, "max_ops", json_integer(WIRE_OPS_MAX));
    json_object_set_new(o, "max_body", json_integer(WIRE_BODY_MAX));
    json_object_set_new(o, "folder_times", json_true());
    json_object_set_new(o, "epoch", json_integer(root_epoch(m->folder->root)));
    json_object_set_new(o, "time", json_integer(clock_wall_ns()));
    return reply_json(q, 200, o);
}

static enum MHD_Result reset(struct request *q)
{
    json_t *o = json_pack("{s:s,s:s,s:I}", "code", WIRE_E_RESET, "error",
                          "that cursor is unknown or stale: list again", "epoch",
                          (json_int_t)root_epoch(q->m->folder->root));
    struct db *db = readers_get(q->m->readers);

    if (db && q->query.since.timeline[0])
        tree_explain_reset(db, &q->query.since, q->m->timeline, head_seq(q->m->head), o);
    readers_put(q->m->readers, db);
    return reply_json(q, 409, o);
}

static int authenticate(struct request *q)
{
    const char *v = MHD_lookup_connection_value(q->conn, MHD_HEADER_KIND, "Authorization");
    struct db *db;
    int r;

    if (!v || strncasecmp(v, "Bearer ", 7) != 0 || strlen(v) > 512)
        return 0;
    db = readers_get(q->m->readers);
    mirror_release(&q->who);
    r = db ? registry_find(db, v + 7, &q->who) : -EIO;
    readers_put(q->m->readers, db);
    return r;
}

/* All that is new to the mirror it has learned from the answers to its operations. */
static bool is_echo(const struct request *q)
{
    const struct cursor *since = &q->query.since;

    return since->full0 < 0 && since->scopegen == q->who.scopegen &&
           strcmp(since->timeline, q->m->timeline) == 0 &&
           head_is_by(q->m->head, q->who.name, since->seq);
}

static int page(struct request *q, struct buf *out, struct cursor *next, size_t *n)
{
    struct feed_query query = q->query;
    struct db *db = readers_get(q->m->readers);
    int r;

    if (is_echo(q)) /* and the contents came from there */
        query.inline_max = 0;
    r = db ? feed_page(q->m, db, &q->who, &query, out, next, n) : -EIO;

    readers_put(q->m->readers, db);
    return r;
}

/* True when the poll waits in the list; its handler is called again. */
static bool park(struct request *q)
{
    q->parked.conn = q->conn;
    q->parked.deadline = q->deadline;
    q->parked.mirror = q->who.name;
    q->parked.seq = q->query.since.seq;
    return feed_park(q->m->feed, &q->parked);
}

static enum MHD_Result run_changes(struct request *q)
{
    struct buf out = BUF_INIT;
    struct cursor next = {0};
    enum MHD_Result res = MHD_YES;
    size_t n = 0;
    int r;

    /* While it was parked the scope may have changed or the mirror been removed. */
    if (q->parked.conn && (r = authenticate(q)) <= 0)
        return r < 0 ? reply_error(q, 503, WIRE_E_UNAVAILABLE, "the database cannot be read")
                     : reply_error(q, 401, WIRE_E_UNAUTHORIZED, "the token is no longer valid");
    if (q->deadline > clock_mono_ms() && !q->parked.echoed && is_echo(q) && park(q))
        return MHD_YES;
    for (;;) {
        buf_clear(&out);
        r = page(q, &out, &next, &n);
        if (r < 0 || n > 0 || !q->query.since.timeline[0] || q->query.since.full0 >= 0 ||
            next.full0 >= 0 || q->deadline <= clock_mono_ms() || q->m->stopping)
            break;
        q->query.since = next; /* nothing for this mirror up to here */
        if (park(q))
            goto out;
        if (head_seq(q->m->head) <= next.seq)
            break; /* stopping */
    }
    if (r == -ESTALE)
        res = reset(q);
    else if (r < 0)
        res = reply_error(q, 503, WIRE_E_UNAVAILABLE, "the master's database cannot be read");
    else
        res = reply_text(q, 200, "application/x-ndjson", out.data, out.len);
    if (r == 0)
        reports_seen(q->m->reports, q->who.name, NULL,
                     q->query.since.timeline[0] ? q->query.since.seq : -1);
out:
    buf_release(&out);
    return res;
}

static enum MHD_Result begin_changes(struct request *q)
{
    const char *since = argument(q, "since");
    int64_t wait = 0;

    q->query.limit = WIRE_PAGE_MAX;
    q->query.since.full0 = -1;
    if (since && *since && cursor_parse(since, &q->query.since) < 0)
        return reset(q);
    if (!number(q, "limit", 1, WIRE_PAGE_MAX, &q->query.limit) ||
        !number(q, "inline", 0, WIRE_INLINE_MAX, &q->query.inline_max) ||
        !number(q, "wait", 0, WIRE_WAIT_MAX, &wait))
        return reply_error(q, 400, WIRE_E_BAD_REQUEST,
                           "limit, inline and wait must be numbers that are not negative");
    q->deadline = wait ? clock_mono_ms() + wait * 1000 : 0;
    q->run = run_changes;
    return run_changes(q);
}

static enum MHD_Result run_ops_answer(struct request *q)
{
    struct batch *b = q->batch;
    enum MHD_Result r;

    if (b->error == -ENOSPC)
        r = reply_error(q, 507, WIRE_E_NO_SPACE, "the master's disk is full");
    else if (b->error < 0)
        r = reply_error(q, 503, WIRE_E_UNAVAILABLE, "the master's database cannot be written");
    else if (b->cloned)
        r = reply_error(
            q, 409, WIRE_E_CLONED,
            "another machine uses a copy of this cache and has already used that operation number");
    else
        r = reply_json(q, 200,
                       json_pack("{s:O,s:I}", "answers", b->answers, "head", (json_int_t)b->head));
    return r;
}

/* In the carrier's thread. */
static void ops_again(void *arg, struct batch *b)
{
    struct request *q = arg;

    committer_ops(q->m->committer, b);
}

/* In the committer's thread. */
static void ops_done(void *arg, struct batch *b)
{
    struct request *q = arg;

    (void)b;
    q->run = run_ops_answer;
    MHD_resume_connection(q->conn);
}

static enum MHD_Result run_ops(struct request *q)
{
    struct batch *b = NULL;
    struct err e;

    if (batch_parse(q->body.data, q->body.len, &q->who, &b, &e) < 0)
        return reply_error(q, 400, WIRE_E_BAD_REQUEST, e.text);
    b->done = ops_done;
    b->again = ops_again;
    b->arg = q;
    q->batch = b;
    MHD_suspend_connection(q->conn);
    committer_ops(q->m->committer, b);
    return MHD_YES;
}

static enum MHD_Result run_state(struct request *q)
{
    json_t *o = json_loadb(q->body.data ? q->body.data : "", q->body.len, 0, NULL);
    const char *text = json_string_value(json_object_get(o, "cursor"));
    const char *machine = json_string_value(json_object_get(o, "machine"));
    char address[REPORTS_ADDRESS_CAP], other[REPORTS_TEXT_CAP] = "";
    struct cursor c = {.seq = -1};

    if (!json_is_object(o)) {
        json_decref(o);
        return reply_error(q, 400, WIRE_E_BAD_REQUEST, "the body is not a JSON object");
    }
    if (text && *text)
        cursor_parse(text, &c);
    reports_seen(q->m->reports, q->who.name, o, c.seq);
    peer_address(q->conn, address, sizeof(address));
    reports_address(q->m->reports, q->who.name, address);
    if (machine)
        reports_machine(q->m->reports, q->who.name, machine, address, clock_mono_ms(), other);
    json_decref(o);
    return reply_json(q, 200, json_pack("{s:b,s:s*}", "ok", 1, "twin", *other ? other : NULL));
}

static enum MHD_Result run_mirrors(struct request *q)
{
    json_t *one = reports_show(q->m->reports, q->who.name, head_seq(q->m->head), clock_mono_ms());

    return reply_json(q, 200, json_pack("{s:[o]}", "mirrors", one));
}

static enum MHD_Result run_healthz(struct request *q)
{
    char why[512];

    if (fit_why_not(q->m, why, sizeof(why)))
        return reply_json(q, 503,
                          json_pack("{s:s}", "state", q->m->scanned ? "FAILED" : "SYNCING"));
    return reply_json(q, 200, json_pack("{s:s}", "state", "OK"));
}

static enum MHD_Result run_unauthorized(struct request *q)
{
    return reply_error(q, 401, WIRE_E_UNAUTHORIZED,
                       "no or unknown token; 'eefs-master mirror add' on the master makes one");
}

static void note_intruder(struct request *q)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(q->conn, MHD_CONNECTION_INFO_CLIENT_ADDRESS);

    intruder_count(q->m->intruder, info ? info->client_addr : NULL,
                   MHD_lookup_connection_value(q->conn, MHD_HEADER_KIND, "Authorization") != NULL);
}

/* --- routing --- */

static bool has_body(struct request *q)
{
    const char *v = MHD_lookup_connection_value(q->conn, MHD_HEADER_KIND, "Content-Length");

    return (v && strtoll(v, NULL, 10) != 0) ||
           MHD_lookup_connection_value(q->conn, MHD_HEADER_KIND, "Transfer-Encoding");
}

static bool body_fits(struct request *q)
{
    const char *v = MHD_lookup_connection_value(q->conn, MHD_HEADER_KIND, "Content-Length");

    return !v || strtoll(v, NULL, 10) <= q->body_max;
}

static enum MHD_Result not_found(struct request *q)
{
    return reply_error(q, 404, WIRE_E_NOT_FOUND, "no such route");
}

static enum MHD_Result route_object(struct request *q, const char *method)
{
    if (hash_parse(q->url + strlen(WIRE_OBJECT), &q->hash) < 0)
        return reply_error(q, 400, WIRE_E_BAD_REQUEST,
                           "a content is named 's2-' and 64 hex digits");
    if (strcmp(method, "PUT") == 0) {
        q->put = true;
        q->run = content_put_end;
        return content_put_begin(q);
    }
    if (strcmp(method, "HEAD") == 0 &&
        MHD_lookup_connection_value(q->conn, MHD_HEADER_KIND, "X-Eefs-Upload"))
        q->run = content_have;
    else if (strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0)
        q->run = content_get;
    else
        return not_found(q);
    return MHD_YES;
}

static enum MHD_Result route_table(struct request *q, const char *method)
{
    static const struct {
        const char *method, *url;
        request_fn *run;
        int64_t body_max;
    } table[] = {
        {"GET", WIRE_HELLO, run_hello, 0},
        {"GET", WIRE_CHANGES, begin_changes, 0},
        {"POST", WIRE_OPS, run_ops, WIRE_BODY_MAX},
        {"POST", WIRE_STATE, run_state, STATE_MAX},
        {"POST", WIRE_LOST, lost_run, LOST_BODY_MAX},
        {"GET", WIRE_MIRRORS, run_mirrors, 0},
    };

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (strcmp(table[i].url, q->url) != 0 || strcmp(table[i].method, method) != 0)
            continue;
        q->body_max = table[i].body_max;
        if (!body_fits(q))
            return reply_error(q, 413, WIRE_E_TOO_LARGE, "the body is larger than it may be");
        q->run = table[i].run;
        return MHD_YES;
    }
    return not_found(q);
}

enum MHD_Result route(struct request *q, const char *method)
{
    char why[512];
    int r;

    if (strcmp(q->url, WIRE_HEALTHZ) == 0) {
        if ((strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) || has_body(q))
            return not_found(q);
        q->run = run_healthz;
        return MHD_YES;
    }
    r = authenticate(q);
    if (r < 0)
        return reply_error(q, 503, WIRE_E_UNAVAILABLE, "the master's database cannot be read");
    if (r == 0) {
        q->run = run_unauthorized;
        note_intruder(q);
        return connections_delay(q->connections, q->conn) ? MHD_YES : q->run(q);
    }
    if (!reports_enter(q->m->reports, q->who.name))
        return reply_too_many(q);
    memcpy(q->counted, q->who.name, sizeof(q->counted));
    if (fit_why_not(q->m, why, sizeof(why)))
        return reply_error(q, 503, WIRE_E_UNAVAILABLE, why);
    if (strncmp(q->url, WIRE_OBJECT, strlen(WIRE_OBJECT)) == 0)
        return route_object(q, method);
    return route_table(q, method);
}
