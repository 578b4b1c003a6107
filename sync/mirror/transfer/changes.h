/* SPDX-License-Identifier: MIT */
/*
 * changes: hands changed paths on, in commit order: to fs, to the watch streams of the control
 * socket, and to the commands of on_change. One thread; functions are for any thread.
 *
 * changes_new makes the part, changes_start its threads (0 or -errno), changes_stop joins them
 * (mirror->stop is set before), changes_free frees what changes_new made (NULL is fine).
 */
#ifndef EEFS_MIRROR_TRANSFER_CHANGES_H
#define EEFS_MIRROR_TRANSFER_CHANGES_H

#include "sync/common/opt.h"
#include "sync/mirror/config.h"

struct ctl_conn;
struct mirror;
struct changes;

struct changes *changes_new(struct mirror *m);
void changes_free(struct changes *t);
int changes_start(struct changes *t, mirror_change_fn *changed, void *arg);
void changes_stop(struct changes *t);
/* Modes may have changed everywhere. */
void changes_all(struct changes *t);
/* Takes over the paths in `paths` (empty afterwards). */
void changes_changed(struct changes *t, struct strlist *paths);
/* Streams changes at or under `path` into conn until it is closed; in the connection's thread. */
void changes_watch(struct changes *t, struct ctl_conn *conn, const char *path);

#endif
