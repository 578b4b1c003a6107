/* SPDX-License-Identifier: MIT */
/*
 * scope: which paths a mirror may read and write. Decided on the master, known to the mirror.
 *
 * Readable: `read` empty or the path under one of its paths; never under `deny`. The folders that
 * lead to a readable path are visible themselves. Writable: under one of `write`, and readable.
 * The folder that a write path names may itself be created, but not removed or renamed.
 */
#ifndef EEFS_PROTO_SCOPE_H
#define EEFS_PROTO_SCOPE_H

#include <jansson.h>
#include <stdbool.h>

#include "sync/common/opt.h"

struct scope {
    struct strlist read, write, deny; /* tree paths */
};

void scope_release(struct scope *s);
bool scope_reads(const struct scope *s, const char *path); /* content and entry */
bool scope_shows(const struct scope *s, const char *path); /* entry: reads, or leads to it */
bool scope_writes(const struct scope *s, const char *path);
/* True when `path` is one of the write paths or leads to one: not to be removed or renamed. */
bool scope_is_write_root(const struct scope *s, const char *path);

/* Arrays "read", "write", "deny" of an object (encoded paths). from_json: 0 or -EPROTO. */
void scope_to_json(const struct scope *s, json_t *object);
int scope_from_json(json_t *object, struct scope *ret);

#endif
