/* SPDX-License-Identifier: MIT */
/*
 * import_lock: lets one import into a database run at a time, from whichever machine, by the
 * server's own locks (GET_LOCK). They end with the connection that holds them.
 *
 * MySQL 5.6 may keep a connection that was killed for hours: it closes the socket under the thread
 * that reads it, and when another connection gets that number, the thread goes on reading there.
 * Such a thread runs no statement any more, but its locks stay. So there are several locks, and one
 * is passed over while its holder is dead.
 */
#ifndef EEFS_SQLIMPORT_SERVER_IMPORT_LOCK_H
#define EEFS_SQLIMPORT_SERVER_IMPORT_LOCK_H

#include "sqlimport/server/server.h"

/*
 * Takes the turn for `database` on this connection, until it is closed; waits for up to 5 s for one
 * whose importer just ended. *ret_dead: a sentence, malloc'd, when the locks of dead connections
 * were passed over, else NULL. -EAGAIN: another import is running; else as of server.h. One thread.
 */
int import_lock_take(struct server *s, const char *database, char **ret_dead, struct err *e);

#endif
