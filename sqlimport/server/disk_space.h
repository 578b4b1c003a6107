/* SPDX-License-Identifier: MIT */
/*
 * disk_space: the space on the database server's disk.
 *
 * A full disk hurts the live database, not the import alone: writes of visitors fail, and MariaDB
 * ends itself when it cannot roll back for want of space. So an import stops while there is some
 * left. Only the disk of a server on this machine can be seen; for another one the server's own
 * errors must do.
 */
#ifndef EEFS_SQLIMPORT_SERVER_DISK_SPACE_H
#define EEFS_SQLIMPORT_SERVER_DISK_SPACE_H

#include "sqlimport/server/server.h"

#define ROOM_RESERVE ((uint64_t)64 << 20) /* bytes that an import leaves free */

struct disk_space {
    char *datadir; /* NULL: not to be seen */
};

void disk_space_init(struct disk_space *ret, struct server *s);
void disk_space_release(struct disk_space *r);
/* -ENOSPC, with a sentence: less than the reserve would be left after `bytes` more. Thread safe. */
int disk_space_check(const struct disk_space *r, uint64_t bytes, struct err *e);

#endif
