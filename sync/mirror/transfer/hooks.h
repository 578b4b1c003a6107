/* SPDX-License-Identifier: MIT */
/*
 * hooks: commands that run when files arrive from the master (option on_change), for example to
 * clear a page cache after a template was edited.
 *
 * A command runs when its paths were quiet for a second, 10 s after the first change at the latest,
 * once for all of them; one command at a time, each killed after a minute. It runs by /bin/sh as
 * the configured user with EEFS_MOUNTPOINT and EEFS_PATHS: the changed paths within the mount, one
 * per line, or "*" when they are too many, not known, or one has a line break. The cache records
 * that it is due, so that a killed mount runs it after its next start.
 */
#ifndef EEFS_MIRROR_TRANSFER_HOOKS_H
#define EEFS_MIRROR_TRANSFER_HOOKS_H

#include "sync/common/opt.h"

struct hooks;
struct mirror;

struct hooks *hooks_new(struct mirror *m);
void hooks_free(struct hooks *h);
int hooks_start(struct hooks *h);
/* Ends a command that is running. */
void hooks_stop(struct hooks *h);
/* These paths changed; the kernel knows. */
void hooks_changed(struct hooks *h, const struct strlist *paths);

#endif
