/* SPDX-License-Identifier: MIT */
/*
 * privileges: what the importer's account must be allowed, looked up before anything is changed.
 */
#ifndef EEFS_SQLIMPORT_PRIVILEGES_H
#define EEFS_SQLIMPORT_PRIVILEGES_H

#include "sqlimport/dump.h"
#include "sqlimport/server.h"

/* -EACCES: names every missing privilege and gives the GRANT. With roles the server does not tell
 * what an account may do: then it is found out on the way. */
int privileges_check(struct server *s, const char *database, const char *stage, const char *old,
                     const struct dump *d, struct err *e);

#endif
