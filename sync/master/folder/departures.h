/* SPDX-License-Identifier: MIT */
/*
 * departures: the new places of renamed files, from the kernel's events of the last renames. A look
 * at a path that finds another file than its row asks here first: when the old one only has another
 * name by now, that name must be published before the new file; otherwise the rename could not be
 * recognised any more.
 *
 * The watcher records both halves of a rename; the newest DEPARTURES_MAX are kept. Thread safe.
 */
#ifndef EEFS_MASTER_FOLDER_DEPARTURES_H
#define EEFS_MASTER_FOLDER_DEPARTURES_H

#include <stdint.h>

#include "sync/common/opt.h"

#define DEPARTURES_MAX  1024
#define DEPARTURES_READ 65536 /* bytes that the watcher reads at once */
#define DEPARTURES_MS   60000 /* no scan takes longer to come to an event */

struct departures;

struct departures *departures_new(void);
void departures_free(struct departures *d);

/* The watcher: the inotify descriptor that it reads (-1: none any more), and before and after each
 * read with the handling of what was read. */
void departures_source(struct departures *d, int fd);
void departures_reading(struct departures *d);
void departures_read(struct departures *d);
/* One half of a rename; the kernel's cookie joins the two, and the first half comes first. */
void departures_from(struct departures *d, uint32_t cookie, const char *path);
void departures_to(struct departures *d, uint32_t cookie, const char *path);

/*
 * Waits until the watcher has handled every event that was there (a second at most), then adds to
 * *ret every path to which renames within the last `ms` milliseconds may have moved the file at
 * `path` or a folder of it; most often none.
 */
void departures_of(struct departures *d, const char *path, int64_t ms, struct strlist *ret);

#endif
