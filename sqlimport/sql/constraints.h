/* SPDX-License-Identifier: MIT */
/*
 * constraints: the named foreign keys and checks of a CREATE TABLE as the server shows it.
 *
 * Their names are unique within a schema (a check's on MySQL 8 only), so two tables of one schema
 * cannot both have one. Pure.
 */
#ifndef EEFS_SQLIMPORT_SQL_CONSTRAINTS_H
#define EEFS_SQLIMPORT_SQL_CONSTRAINTS_H

#include <stdbool.h>

#include "sqlimport/sql/token.h"

struct constraint {
    char *name;
    bool check;   /* a CHECK, else a FOREIGN KEY */
    char *clause; /* all behind the name: "FOREIGN KEY (`a`) REFERENCES `p` (`id`)" */
    char *parent; /* of a key to a table of the same schema, and where in the clause it stands */
    size_t parent_at;
};

struct constraints {
    struct constraint *v;
    size_t n;
};

/* Caller releases *ret. */
void constraints_read(struct constraints *ret, const char *text, size_t len,
                      struct token_mode mode);
void constraints_release(struct constraints *c);

/* The server made the name from the table's, and makes it again when the table is renamed. */
bool constraint_follows(const struct constraint *c, const char *table);

#endif
