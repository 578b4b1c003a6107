/* SPDX-License-Identifier: MIT */
/*
 * op: one change that a mirror asks for, and the master's answer. Codec: pure, checked, fuzzed.
 *
 *   {"n":COUNTER,"op":"put","path":P,"hash":H,"size":N,"mtime":ns,"mode":420,"umask":18?,
 *    "pre":"s2-…"|"absent","data":"<base64>"?}          content: inline, or uploaded before
 *   {"n":…,"op":"mkdir","path":P,"mode":493,"mtime":ns,"umask":18?}   an existing folder is fine
 *   {"n":…,"op":"rmdir","path":P}
 *   {"n":…,"op":"unlink","path":P,"pre":"s2-…"|"link"}
 *   {"n":…,"op":"rename","path":FROM,"to":TO,"pre":"s2-…"|"dir"|"link",
 *    "to_pre":"absent"|"s2-…"|"dir"|"link"}
 *   {"n":…,"op":"symlink","path":P,"target":T,"mtime":ns,"pre":"absent"}
 *   {"n":…,"op":"setattr","path":P,"mode":…?,"mtime":…?}              last writer wins
 *
 * Each may have "known": the seq up to which the mirror knew the feed when it named these paths. A
 * path in a folder that was renamed since is applied at the folder's present place
 * (sync/master/publish/folder_renames.h); the answer then also has the present paths, with
 * moved_from.
 *
 * The key of an operation is (outbox id, counter n, digest); the digest is the SHA-256 of its
 * canonical JSON (sorted keys, compact) without "data" and "known".
 *
 * Answers:
 *   {"n":…,"result":"done","entries":[entry…]}
 *       every path that it changed, with its new seq
 *   {"n":…,"result":"conflict","path":COPY,"entries":[…]}
 *       kept as the conflict copy COPY
 *   {"n":…,"result":"conflict","place":"…","entries":[…]}
 *       kept on the master outside the tree
 *   {"n":…,"result":"kept","entries":[…]}
 *       nothing to do, or the master's version stays (unlink of a changed file, of a gone one, rename
 *       of a gone one); entries hold the named paths as they are on the master now
 *   {"n":…,"result":"refused","code":"scope|name|not_empty|type|…","error":"…","entries":[…]}
 *       never will
 *   {"n":…,"result":"later","code":"need_content|no_space|…","error":"…"}
 *       not now: retry; the request ends here
 */
#ifndef EEFS_PROTO_OP_H
#define EEFS_PROTO_OP_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "sync/proto/entry.h"

enum op_kind { OP_PUT, OP_MKDIR, OP_RMDIR, OP_UNLINK, OP_RENAME, OP_SYMLINK, OP_SETATTR };

/* What an operation expects to find at a path. */
enum pre_kind { PRE_NONE = 0, PRE_ABSENT = 1, PRE_HASH = 2, PRE_DIR = 3, PRE_LINK = 4 };

struct pre {
    enum pre_kind kind;
    struct hash hash; /* PRE_HASH */
};

struct op {
    int64_t n; /* counter, > 0 */
    enum op_kind kind;
    char *path;   /* owned */
    char *to;     /* owned; rename */
    char *target; /* owned; symlink */
    struct hash hash;
    int64_t size;
    bool has_mtime; /* false: not set (setattr), or none */
    int64_t mtime;  /* file.h */
    int64_t mode;   /* -1: not set (setattr) */
    /* seq up to which its mirror had followed the feed when it was first sent; 0: unknown. Not in
     * the digest. */
    int64_t known;
    int64_t
        umask; /* put and mkdir of what is new: bits that the program's umask removed from mode */
    struct pre pre;
    struct pre to_pre;
    struct buf data; /* inline content; only meaningful when has_data */
    bool has_data;
};

/* The time that the operation sets, or NULL. */
static inline const int64_t *op_mtime(const struct op *op)
{
    return op->has_mtime ? &op->mtime : NULL;
}

void op_release(struct op *op);
json_t *op_to_json(const struct op *op);                    /* new reference */
int op_from_json(json_t *v, struct op *ret, struct err *e); /* 0 or -EPROTO */
void op_digest(const struct op *op, struct hash *ret);
const char *op_kind_name(enum op_kind k);

/* Preconditions as text ("absent", "dir", "link", "s2-…"), also for the databases. out holds
 * HASH_TEXT_CAP bytes. pre_parse: 0 or -EINVAL. PRE_NONE is "". */
const char *pre_text(const struct pre *p, char *out);
int pre_parse(const char *text, struct pre *ret);

enum op_result { RESULT_DONE, RESULT_CONFLICT, RESULT_KEPT, RESULT_REFUSED, RESULT_LATER };

struct op_answer {
    int64_t n;
    enum op_result result;
    char *code;            /* owned or NULL */
    char *error;           /* owned or NULL */
    char *copy;            /* owned or NULL: path of the conflict copy */
    char *place;           /* owned or NULL: the file outside the tree that holds it instead */
    struct entry *entries; /* owned */
    size_t n_entries;
};

void op_answer_release(struct op_answer *a);
void op_answer_add(struct op_answer *a, const struct entry *e); /* deep copy */
json_t *op_answer_to_json(const struct op_answer *a);
int op_answer_from_json(json_t *v, struct op_answer *ret, struct err *e);

#endif
