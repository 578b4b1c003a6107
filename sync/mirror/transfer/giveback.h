/* SPDX-License-Identifier: MIT */
/*
 * giveback: what the master has lost (replica/lost.h) is reported to it, and the contents that it asks
 * for are uploaded (wire.h: lost). One thread, which does nothing while nothing is lost.
 *
 * giveback_new makes the part, giveback_start its thread (0 or -errno), giveback_stop joins it
 * (mirror->stop is set before), giveback_free frees what giveback_new made (NULL is fine).
 */
#ifndef EEFS_MIRROR_TRANSFER_GIVEBACK_H
#define EEFS_MIRROR_TRANSFER_GIVEBACK_H

struct giveback;
struct mirror;

struct giveback *giveback_new(struct mirror *m);
void giveback_free(struct giveback *g);
int giveback_start(struct giveback *g);
void giveback_stop(struct giveback *g);

#endif
