/* SPDX-License-Identifier: MIT */
/*
 * deliver: puts one finished dump into slots, and remembers which dump each got last: the importer
 * removes a dump when it is done, so an empty slot does not show it.
 *
 * It works in a folder of its own on the slots' filesystem: `.eefs/sqldump` of the folder that
 * eefs-master serves (which is never served itself) when there is one above, else the slots folder,
 * under hidden names. A slot's file is replaced by one rename. One thread.
 */
#ifndef EEFS_SQLIMPORT_SQLDUMP_DELIVER_H
#define EEFS_SQLIMPORT_SQLDUMP_DELIVER_H

#include <stdbool.h>

#include "sync/common/err.h"
#include "sync/common/hash.h"

struct deliver;

/* slots: the folder that holds the slots. database: names the dumps; locked until deliver_close:
 * -EBUSY when another run holds it. */
int deliver_open(const char *slots, const char *database, struct deliver **ret, struct err *e);
void deliver_close(struct deliver *d); /* removes the dump's own name; NULL is fine */

/* The empty file to dump into, belongs to d. */
int deliver_file(struct deliver *d);
/* No more is written: makes it durable and closes it for writing. Returns a descriptor to read it
 * from, which belongs to d. */
int deliver_finish(struct deliver *d, struct err *e);

/*
 * Puts the dump, whose bytes have this hash, into SLOTS/slot/DATABASE.sql, by hard link where that
 * is possible, and makes the slot when it is missing. 1: done; 0: it was dropped there last, or
 * before; `force` does it anyway. -errno: the earlier dump stays.
 */
int deliver_into(struct deliver *d, const char *slot, const struct hash *hash, bool force,
                 struct err *e);

#endif
