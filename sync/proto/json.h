/* SPDX-License-Identifier: MIT */
/*
 * json: checked access to members of jansson objects, shared by the codecs. All `get` functions
 * return 0, or -EPROTO with a sentence that names the member; outputs are untouched on failure.
 */
#ifndef EEFS_PROTO_JSON_H
#define EEFS_PROTO_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "sync/common/buf.h"
#include "sync/common/err.h"
#include "sync/common/hash.h"
#include "sync/common/opt.h"

/* An integer within min..max; absent: *ret = none when `none_ok`, an error otherwise. */
int json_get_int(json_t *o, const char *name, int64_t min, int64_t max, bool none_ok, int64_t none,
                 int64_t *ret, struct err *e);
/* A string; borrowed. */
int json_get_text(json_t *o, const char *name, const char **ret, struct err *e);
/* A percent-encoded tree path; malloc'd, caller frees. `root_ok`: "" is allowed. */
int json_get_path(json_t *o, const char *name, bool root_ok, char **ret, struct err *e);
/* Percent-encoded bytes that are no tree path (a link's target), 1 to `max`; malloc'd. */
int json_get_bytes(json_t *o, const char *name, size_t max, char **ret, struct err *e);
/* An array of percent-encoded tree paths, added to *ret ("" is allowed). -EPROTO: it is not there,
 * or holds something else; then *ret has some of them. */
int json_get_paths(json_t *o, const char *name, struct strlist *ret);
int json_get_hash(json_t *o, const char *name, struct hash *ret, struct err *e);
/* Base64 of at most `max` bytes, appended to out. */
int json_get_data(json_t *o, const char *name, size_t max, struct buf *out, struct err *e);

void json_set_path(json_t *o, const char *name, const char *path);
void json_set_paths(json_t *o, const char *name, const struct strlist *paths);
void json_set_hash(json_t *o, const char *name, const struct hash *h);
void json_set_data(json_t *o, const char *name, const struct buf *data);

#endif
