/* SPDX-License-Identifier: MIT */
#include "sync/master/ops/batch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"
#include "sync/common/crash.h"
#include "sync/common/log.h"
#include "sync/common/path.h"
#include "sync/master/db/tree.h"
#include "sync/master/folder/folder.h"
#include "sync/master/ops/apply.h"
#include "sync/master/ops/put_group.h"
#include "sync/master/folder/scan_queue.h"
#include "sync/master/db/answers.h"
#include "sync/master/db/intents.h"
#include "sync/master/ops/unseen.h"
#include "sync/master/db/registry.h"
#include "sync/master/db/reports.h"
#include "sync/master/publish/folder_renames.h"
#include "sync/master/folder/space.h"
#include "sync/master/folder/volume.h"
#include "sync/master/db/head.h"
#include "sync/proto/json.h"
#include "sync/proto/wire.h"

static int parse_outbox(json_t *o, char *out, struct err *e)
{
    const char *text = NULL;
    int r = json_get_text(o, "outbox", &text, e);

    if (r < 0)
        return r;
    if (strlen(text) < 8 || strlen(text) > 64 || strspn(text, "0123456789abcdef") != strlen(text))
        return err_set(e, EPROTO, "'outbox' is not 8 to 64 hexadecimal digits");
    strcpy(out, text);
    return 0;
}

/* One that is not to be understood is refused by itself, when its number is. */
static bool note_bad(struct batch *b, json_t *v, const struct err *e)
{
    json_t *n = json_object_get(v, "n");

    if (!json_is_integer(n) || json_integer_value(n) < 1)
        return false;
    b->bad = json_pack("{s:O,s:s,s:s,s:s}", "n", n, "result", "refused", "code", WIRE_E_BAD_REQUEST,
                       "error", e->text);
    return b->bad != NULL;
}

int batch_parse(const char *text, size_t len, struct mirror *who, struct batch **ret, struct err *e)
{
    struct batch *b = xcalloc(1, sizeof(*b));
    json_error_t why;
    json_t *o = json_loadb(text ? text : "", len, 0, &why), *list = json_object_get(o, "ops");
    int r = 0;

    b->answers = json_array();
    if (!json_is_object(o))
        r = err_set(e, EPROTO, "the body is not a JSON object: %s", why.text);
    else if (!json_is_array(list) || json_array_size(list) > WIRE_OPS_MAX)
        r = err_set(e, EPROTO, "'ops' is not a list of at most %d operations", WIRE_OPS_MAX);
    else
        r = parse_outbox(o, b->outbox, e);
    if (r == 0)
        b->ops = xcalloc(json_array_size(list) + 1, sizeof(*b->ops));
    for (size_t i = 0; r == 0 && i < json_array_size(list); i++) {
        r = op_from_json(json_array_get(list, i), &b->ops[i], e);
        if (r == 0)
            b->n++;
        else if (note_bad(b, json_array_get(list, i), e))
            break; /* those before it are taken */
    }
    json_decref(o);
    if (r < 0 && !b->bad) {
        batch_free(b);
        return r;
    }
    b->who = *who;
    memset(who, 0, sizeof(*who));
    *ret = b;
    return 0;
}

void batch_free(struct batch *b)
{
    if (!b)
        return;
    for (size_t i = 0; i < b->n; i++)
        op_release(&b->ops[i]);
    free(b->ops);
    json_decref(b->answers);
    json_decref(b->bad);
    mirror_release(&b->who);
    free(b);
}

static bool is_refusal(json_t *answer)
{
    const char *result = json_string_value(json_object_get(answer, "result"));

    return result && strcmp(result, "refused") == 0;
}

/* 1: answered before (appended), 2: so, with a refusal, or cloned; 0: new; -errno. */
static int known(struct db *db, struct batch *b, const struct op *op, const struct hash *digest)
{
    char *text = NULL;
    json_t *answer;
    int r = answers_find(db, b->who.name, b->outbox, op->n, digest, &text);

    if (r == ANSWERS_OTHER) {
        b->cloned = true;
        r = registry_cloned(db, b->who.name);
        return r < 0 ? r : 2;
    }
    if (r != ANSWERS_SAME)
        return r; /* ANSWERS_NEW is 0 */
    answer = json_loads(text, 0, NULL);
    free(text);
    json_array_append_new(b->answers, answer);
    return is_refusal(answer) ? 2 : 1;
}

static int remember(struct db *db, struct batch *b, const struct op *op, const struct hash *digest,
                    json_t *answer)
{
    char *text = json_dumps(answer, JSON_COMPACT);
    int r = text ? answers_add(db, b->who.name, b->outbox, op->n, digest, text) : -ENOMEM;

    free(text);
    return r < 0 ? r : intents_remove(db, b->who.name, b->outbox, op->n);
}

static bool makes(const struct op *op)
{
    return op->kind == OP_PUT || op->kind == OP_MKDIR || op->kind == OP_SYMLINK;
}

static bool meet(const char *a, const char *b)
{
    return a && b && (path_is_under(a, b) || path_is_under(b, a));
}

/* True when `b`, applied after `a`, changes the result or the preconditions of `a`. */
static bool is_tied(const struct op *a, const struct op *b)
{
    if (a->kind == OP_SETATTR || b->kind == OP_SETATTR)
        return false;
    if (a->kind == OP_MKDIR && makes(b) && strcmp(a->path, b->path) != 0)
        return false; /* in the new folder */
    return meet(a->path, b->path) || meet(a->path, b->to) || meet(a->to, b->path) ||
           meet(a->to, b->to);
}

/* A power failure takes the commits that were not synced: no operation before `end` that is not
 * synced must be tied to operation `i`. */
static int sync_tied(struct db *db, const struct batch *b, size_t i, size_t end, size_t *synced)
{
    size_t k = *synced;
    int r;

    while (k < end && !is_tied(&b->ops[k], &b->ops[i]))
        k++;
    if (k >= end)
        return 0;
    r = db_sync(db);
    *synced = end;
    crash_point("master.op.synced");
    return r;
}

/*
 * Operations that could meet commit one by one, because their changes of the folder cannot be
 * rolled back: after a kill at most the last one is repeated, and every single operation finds
 * itself done already. Several would not: "remove a, write a, rename b to a" ends with another a
 * than it began with. Files that do not meet are a group (put_group.h).
 */
static int commit_one(struct tree *t)
{
    int r;

    crash_point("master.op.applied");
    r = tree_step(t);
    crash_point("master.op.committed");
    return r;
}

/*
 * A folder that was moved took its rows along unseen. Who works in it has events that were under
 * way to the old path and are of no use there: look once more, now that the rows can be seen.
 */
static char *moved_folder(const struct op *op, const struct op_answer *a)
{
    if (op->kind != OP_RENAME || op->pre.kind != PRE_DIR ||
        (a->result != RESULT_DONE && a->result != RESULT_CONFLICT))
        return NULL;
    return xstrdup(a->copy ? a->copy : op->to);
}

/* Enters the filesystem of the operation's result. False: it cannot be made there (now); the answer
 * has the reason. */
static bool enter(struct master *m, const struct op *op, struct op_answer *a)
{
    const char *path = op->to ? op->to : op->path;
    bool away = volume_away(m->folder, op->path) || volume_away(m->folder, path);
    int r = away ? -ESTALE : volume_enter(m->folder, path);
    char *text;

    if (r == 0 ||
        (r != -ESTALE && (op->kind == OP_MKDIR || op->kind == OP_RMDIR || op->kind == OP_SETATTR)))
        return true;
    text = path_encoded(path);
    a->result = r == -EROFS || r == -EACCES || r == -EPERM ? RESULT_REFUSED : RESULT_LATER;
    a->code = xstrdup(a->result == RESULT_REFUSED ? WIRE_R_PERMISSION
                      : r == -ENOSPC              ? WIRE_E_NO_SPACE
                                                  : WIRE_R_VOLUME);
    a->error =
        r == -ESTALE
            ? xasprintf("the filesystem of '%.300s' is not mounted on the master", text)
            : xasprintf(
                  "the master cannot stage files in '.eefs' on the filesystem of '%.300s': %s",
                  text, strerror(-r));
    free(text);
    return false;
}

/* `op` has its present paths. 0 or -errno of the database. */
static int apply_now(struct master *m, struct batch *b, struct op *op, const struct hash *digest,
                     struct moved *was, struct op_answer *a)
{
    int r = apply_op(m, &b->who, b->outbox, op, digest, was->path, &b->carry, a);

    return r < 0 || b->carry.wanted ? r : folder_renames_tell(m, was, op, a);
}

static void answer_away(struct op_answer *a, const char *code, const char *why)
{
    a->result = RESULT_LATER;
    a->code = xstrdup(code);
    a->error = xstrdup(why);
}

/* Applies operation `i`, a new one; its answer is void when its content is to be carried. */
static int apply_new(struct master *m, struct batch *b, size_t i, bool fit,
                     const struct hash *digest, struct op_answer *a)
{
    struct moved was = {0};
    struct op *op = &b->ops[i];
    char why[512];
    int r = fit ? unseen_renames(m, op) : 0;

    if (r == 0)
        r = folder_renames_follow(m, &b->who, b->outbox, op, &was);
    if (r < 0)
        return r;
    if (!fit)
        answer_away(a, WIRE_E_UNAVAILABLE, "the master's folder is away");
    else if (!enter(m, op, a))
        ;
    else if (makes(op) && space_short(m->folder, 0, why, sizeof(why)))
        answer_away(a, WIRE_E_NO_SPACE, why);
    else
        r = apply_now(m, b, op, digest, &was, a);
    volume_leave(m->folder);
    if (b->carry.wanted)
        folder_renames_undo(op, &was);
    else
        folder_renames_release(&was);
    return r;
}

/* Appends the answer, and remembers it unless it is to be asked for again. */
static int answered(struct db *db, struct batch *b, const struct op *op, const struct hash *digest,
                    const struct op_answer *a)
{
    json_t *o = op_answer_to_json(a);
    int r = a->result == RESULT_LATER ? 0 : remember(db, b, op, digest, o);

    json_array_append_new(b->answers, o);
    b->at++;
    return r;
}

/* One by itself. 1: go on; 0: the request ends here; -errno of the database. */
static int apply_one(struct master *m, struct batch *b, bool fit, size_t *synced)
{
    struct db *db = m->tree->db;
    size_t i = b->at;
    struct op_answer a = {.n = b->ops[i].n};
    struct hash digest;
    char *moved;
    bool stop;
    int r;

    op_digest(&b->ops[i], &digest);
    r = known(db, b, &b->ops[i], &digest);
    if (r < 0 || r == 2)
        return r < 0 ? r : 0;
    if (r == 1) {
        b->at++;
        return 1;
    }
    b->others = true;
    r = sync_tied(db, b, i, i, synced);
    if (r == 0)
        r = apply_new(m, b, i, fit, &digest, &a);
    if (r < 0 || b->carry.wanted) {
        op_answer_release(&a);
        return r;
    }
    /* operations that depend on it must not be made */
    stop = a.result == RESULT_LATER || a.result == RESULT_REFUSED;
    moved = moved_folder(&b->ops[i], &a);
    r = answered(db, b, &b->ops[i], &digest, &a);
    op_answer_release(&a);
    if (r == 0)
        r = commit_one(m->tree);
    if (moved)
        scan_queue_push(m->folder->scan_queue, moved, SCAN_DEEP, 0);
    free(moved);
    return r < 0 ? r : !stop;
}

/* Adds operation `i`, if it may belong to the group that begins at b->at. 1, 0 or -errno of the
 * database. */
static int gather_one(struct master *m, struct batch *b, size_t i, struct put_group *g,
                      struct hash *digest, size_t *synced)
{
    struct op *op = &b->ops[i];
    struct moved was = {0};
    char *text = NULL;
    int r;

    for (size_t k = b->at; k < i; k++)
        if (is_tied(&b->ops[k], op))
            return 0;
    op_digest(op, digest);
    r = answers_find(m->tree->db, b->who.name, b->outbox, op->n, digest, &text);
    free(text);
    if (r != ANSWERS_NEW)
        return r < 0 ? r : 0;
    r = sync_tied(m->tree->db, b, i, b->at, synced);
    if (r == 0)
        r = unseen_renames(m, op);
    if (r == 0)
        r = folder_renames_follow(m, &b->who, b->outbox, op, &was);
    if (r == 0 && !was.path)
        r = put_group_add(g, op, digest);
    folder_renames_undo(op, &was);
    return r;
}

static int finish_group(struct master *m, struct batch *b, struct put_group *g,
                        const struct hash *digests)
{
    const struct op *ops = &b->ops[b->at];
    size_t n;
    int r = put_group_land(g, &n);

    for (size_t i = 0; i < n && r == 0; i++) {
        struct op_answer a = {.n = ops[i].n};

        r = put_group_publish(g, i, &a);
        if (r == 0)
            r = answered(m->tree->db, b, &ops[i], &digests[i], &a);
        op_answer_release(&a);
    }
    if (r == 0)
        r = put_group_withdraw(g);
    return r < 0 ? r : commit_one(m->tree);
}

/* The plain files from b->at on. 0 or -errno of the database; b->at says how many they were. */
static int apply_group(struct master *m, struct batch *b, size_t *synced)
{
    struct put_group *g;
    struct hash digests[PUT_GROUP_MAX];
    size_t n = 0;
    int r = 1;

    if (b->ops[b->at].kind != OP_PUT || space_short(m->folder, 0, NULL, 0))
        return 0;
    g = put_group_new(m, &b->who, b->outbox);
    while (r == 1 && n < PUT_GROUP_MAX && b->at + n < b->n) {
        r = gather_one(m, b, b->at + n, g, &digests[n], synced);
        n += r == 1;
    }
    r = r < 0 ? r : n > 0 ? finish_group(m, b, g, digests) : 0;
    put_group_free(g, r == 0);
    return r;
}

int batch_apply(struct master *m, struct batch *b, bool fit)
{
    size_t synced = b->at, at;
    int r = 1;

    while (r == 1 && b->at < b->n) {
        at = b->at;
        r = fit ? apply_group(m, b, &synced) : 0;
        if (r == 0)
            r = b->at > at ? 1 : apply_one(m, b, fit, &synced);
    }
    if (r == 1 && b->bad)
        json_array_append(b->answers, b->bad);
    return r < 0 ? r : 0;
}

static void carried(void *arg)
{
    struct batch *b = arg;

    b->again(b->arg, b);
}

void batch_finish(struct master *m, struct batch *b, int r)
{
    if (r == 0 && b->carry.wanted) {
        carrier_add(b->carry.keep ? m->copier : m->carrier, &b->carry, b->who.name, carried, b);
        return;
    }
    carry_drop(m->folder, &b->carry);
    if (r == 0 && b->cloned) {
        log_error("mirror '%s': " REPORTS_CLONED
                  " (outbox %.8s); on the copy run 'eefs-status --renew MOUNTPOINT'",
                  b->who.name, b->outbox);
        reports_clone(m->reports, b->who.name);
    }
    b->error = r;
    b->head = head_seq(m->head);
    b->done(b->arg, b);
}
