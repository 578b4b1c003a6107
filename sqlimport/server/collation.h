/* SPDX-License-Identifier: MIT */
/*
 * collation: replaces collations that a dump names and this server does not know. One thread.
 *
 * It replaces MySQL 8's and MariaDB's newer ones by their nearest relative here (same accents and
 * case, and the same rule for spaces at the end where there is such a one), and refuses everything
 * else before anything is run.
 */
#ifndef EEFS_SQLIMPORT_SERVER_COLLATION_H
#define EEFS_SQLIMPORT_SERVER_COLLATION_H

#include "sqlimport/dump/objects.h"
#include "sqlimport/server/server.h"

/* Asks the server for each collation that d names, and rewrites d's DDL and settings for those that
 * it lacks; each is logged. -EPERM: one has no known relative here. Hashes stay as they are. */
int collation_adapt(struct dump *d, struct server *s, struct err *e);

/* Adds the names to try instead of `name`, the nearest first. Pure. */
void collation_relatives(const char *name, struct strlist *ret);

#endif
