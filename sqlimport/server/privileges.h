/* SPDX-License-Identifier: MIT */
/*
 * privileges: compares the rights of the importer's account with those that an import needs, before
 * anything is changed: the missing ones, and those beyond. One thread.
 *
 * Read from SHOW GRANTS, which lists the rights of active roles, too.
 */
#ifndef EEFS_SQLIMPORT_SERVER_PRIVILEGES_H
#define EEFS_SQLIMPORT_SERVER_PRIVILEGES_H

#include "sqlimport/dump/objects.h"
#include "sqlimport/server/server.h"

/*
 * -EACCES: *e names every missing privilege, as a GRANT. 0: *ret_excess is a malloc'd list of the
 * rights that an import does not need, or NULL.
 */
int privileges_check(struct server *s, const char *database, const char *stage, const char *old,
                     const struct dump *d, char **ret_excess, struct err *e);

#endif
