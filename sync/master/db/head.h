/* SPDX-License-Identifier: MIT */
/*
 * head: the seq of the last commit, and the functions to call at a new one. The committer sets it;
 * any thread may read it.
 */
#ifndef EEFS_MASTER_DB_HEAD_H
#define EEFS_MASTER_DB_HEAD_H

#include <stdbool.h>
#include <stdint.h>

struct head;

/* Called in the committer's thread, after the commit; must return at once. */
typedef void head_moved_fn(void *arg);

struct head *head_new(int64_t seq);
/* NULL is fine. */
void head_free(struct head *h);
/* Adds a listener, before the committer's first commit, at most HEAD_LISTENERS times; `arg` must
 * outlive its last. */
void head_listen(struct head *h, head_moved_fn *moved, void *arg);
#define HEAD_LISTENERS 4
int64_t head_seq(const struct head *h);
/* Calls the listeners if `seq` is higher than the one before. `author`: the mirror that alone asked
 * for what was committed; NULL: there is more. */
void head_set(struct head *h, int64_t seq, const char *author);
/* True when there were commits after `seq`, and that mirror alone asked for all of them. */
bool head_is_by(struct head *h, const char *mirror, int64_t seq);

#endif
