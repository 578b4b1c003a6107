/* SPDX-License-Identifier: MIT */
/*
 * changes: hands changed paths on, in commit order: to fs, to the watch streams of the control
 * socket, and to the commands of on_change. One thread; functions are for any thread.
 *
 * tell_new makes the part, tell_start its threads (0 or -errno), tell_stop joins them (mirror->stop is set
 * before), tell_free frees what tell_new made (NULL is fine).
 */
#ifndef EEFS_MIRROR_TRANSFER_CHANGES_H
#define EEFS_MIRROR_TRANSFER_CHANGES_H

#include "sync/common/opt.h"
#include "sync/mirror/config.h"

struct ctl_conn;
struct mirror;
struct tell;

struct tell *tell_new(struct mirror *m);
void tell_free(struct tell *t);
int tell_start(struct tell *t, mirror_change_fn *changed, void *arg);
void tell_stop(struct tell *t);
/* Modes may have changed everywhere. */
void tell_all(struct tell *t);
/* Takes over what is in `paths` (empty afterwards). */
void tell_changed(struct tell *t, struct strlist *paths);
/* Streams changes at or under `path` into conn until it is closed; in the connection's thread. */
void tell_watch(struct tell *t, struct ctl_conn *conn, const char *path);

#endif
