/* SPDX-License-Identifier: MIT */
/*
 * registry: the mirrors: name, token (only its SHA-256 is kept), scope and scopegen, in the
 * master's database, so that `mirror add` works beside a running serve (reports.h has their
 * states).
 *
 * Every mirror is denied the slots (`sql/<name>`) of the other registered mirrors; so adding or
 * removing one changes everybody's scope and raises everybody's scopegen.
 */
#ifndef EEFS_MASTER_DB_REGISTRY_H
#define EEFS_MASTER_DB_REGISTRY_H

#include "sync/common/db.h"
#include "sync/proto/scope.h"

#define MIRROR_NAME_CAP 33

struct mirror {
    char name[MIRROR_NAME_CAP];
    struct scope scope;
    int64_t scopegen;
};

void mirror_release(struct mirror *m);

/* NAME is [a-z0-9_-]{1,32}. -EEXIST when it exists. *token is malloc'd. Empty write: the default.
 * The paths of read and write are as a person wrote them (path_from_text) and become tree paths. */
int registry_add(struct db *db, const char *name, struct strlist *read, struct strlist *write,
                 const char *url, char **token, struct err *e);
int registry_remove(struct db *db, const char *name, struct err *e);
/* Sets another scope; an empty list keeps that half. */
int registry_set(struct db *db, const char *name, struct strlist *read, struct strlist *write,
                 struct err *e);
/* Record that operations of this mirror were refused because two machines use one outbox; and
 * return when that was last, ns since the epoch, 0: never. */
int registry_cloned(struct db *db, const char *name);
int registry_cloned_at(struct db *db, const char *name, int64_t *ret);
/* Stores the exclude patterns. When they have changed, every scopegen is raised, so each mirror
 * asks for them and lists again. */
int registry_exclude(struct db *db, const struct strlist *patterns, struct err *e);
/* The same for the tops of the volumes below the root (volume.h). */
int registry_volumes(struct db *db, const struct strlist *tops, struct err *e);
/* The highest scopegen; it changes with every change of a scope or token. Untouched on failure. 0
 * or -errno. */
int registry_scopegen(struct db *db, int64_t *ret);
/* By token: 1, 0 (unknown) or -errno. */
int registry_find(struct db *db, const char *token, struct mirror *ret);
/* Calls fn for each. */
int registry_each(struct db *db, void (*fn)(void *arg, const struct mirror *m), void *arg);

#endif
