/* SPDX-License-Identifier: MIT */
/*
 * entry: one path of the tree as it travels and as both databases hold it, and its codec.
 *
 *   {"path":"css/a.css","seq":7,"type":"file","size":12,"mtime":1700000000000000000,"mode":420,
 *    "hash":"s2-…","data":"<base64>"}
 *   {"path":"img","seq":8,"type":"dir","mtime":…,"mode":493,"hides":true}
 *   {"path":"l","seq":9,"type":"link","target":"<percent-encoded bytes>","mtime":…,"mode":511}
 *   {"path":"old","seq":10,"type":"gone"}          a tombstone
 *   any of them may bear "moved_from":"PATH": a hint that saves a transfer
 *   "hides": the folder on the master holds names that are not served; left out when it does not
 *
 * The codec is pure, checks everything (path form, ranges) and is fuzzed.
 */
#ifndef EEFS_PROTO_ENTRY_H
#define EEFS_PROTO_ENTRY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "sync/common/buf.h"
#include "sync/common/err.h"
#include "sync/common/hash.h"

enum entry_type { ENTRY_GONE = 0, ENTRY_FILE = 1, ENTRY_DIR = 2, ENTRY_LINK = 3 };

struct entry {
    char *path; /* owned */
    enum entry_type type;
    int64_t size;     /* bytes; files only */
    int64_t mtime;    /* file.h */
    uint32_t mode;    /* permission bits */
    struct hash hash; /* files only */
    bool hides;       /* folders only: holds names that are not served */
    char *target;     /* owned; links only: the link's bytes */
    int64_t seq;
    char *moved_from; /* owned or NULL */
    struct buf data;  /* inline content; only meaningful when has_data */
    bool has_data;
};

void entry_release(struct entry *e);                         /* frees what it owns and zeroes it */
void entry_copy(struct entry *to, const struct entry *from); /* deep; without data */

/* New reference. */
json_t *entry_to_json(const struct entry *e);
/* Fills *ret (zeroed before) from an object; 0 or -EPROTO with the sentence; *ret is untouched on
 * failure. Does not check that `data` has the hash: whoever stores it does. */
int entry_from_json(json_t *v, struct entry *ret, struct err *e);

/* Appends one NDJSON line. */
void entry_encode_line(struct buf *out, const struct entry *e);

/* The lines of a changes page. */
enum page_line { PAGE_ENTRY = 0, PAGE_MORE, PAGE_COMMIT };
/* Parses one line (without newline). PAGE_ENTRY fills *ret; the others give a malloc'd cursor text
 * (caller frees). -EPROTO with the sentence, or -EBADMSG: it is not even an object. */
int page_parse_line(const char *line, size_t len, struct entry *ret, char **cursor, struct err *e);
/* The percent-encoded path of a line that is not to be parsed, malloc'd, or NULL. A guess: a broken
 * line may belong to another path. */
char *page_line_path(const char *line, size_t len);
void page_encode_end(struct buf *out, enum page_line kind, const char *cursor);

#endif
