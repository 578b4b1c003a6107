/* SPDX-License-Identifier: MIT */
/*
 * privileges: what the importer's account must be allowed, looked up before anything is changed,
 * and what it may do beyond that.
 *
 * Read from SHOW GRANTS, which lists the rights of active roles, too.
 */
#ifndef EEFS_SQLIMPORT_SERVER_PRIVILEGES_H
#define EEFS_SQLIMPORT_SERVER_PRIVILEGES_H

#include "sqlimport/dump/objects.h"
#include "sqlimport/server/server.h"

/*
 * -EACCES: names every missing privilege and gives the GRANT. 0: *ret_excess is a malloc'd list of
 * what an import does not need, or NULL.
 */
int privileges_check(struct server *s, const char *database, const char *stage, const char *old,
                     const struct dump *d, char **ret_excess, struct err *e);

#endif
