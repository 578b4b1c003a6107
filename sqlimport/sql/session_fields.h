/* SPDX-License-Identifier: MIT */
/*
 * session_fields: the fields of session_vars.h; for session_vars.c and set_statement.c only.
 */
#ifndef EEFS_SQLIMPORT_SQL_SESSION_FIELDS_H
#define EEFS_SQLIMPORT_SQL_SESSION_FIELDS_H

#include "sqlimport/sql/session_vars.h"
#include "sqlimport/sql/user_vars.h"

#define SETTINGS_MAX 1000 /* in one dump; those of mysqldump have three */

enum field { CLIENT, NAMES, COLLATION, SQL_MODE, TIME_ZONE, HISTORY, FIELDS };

struct setting {
    char *f[FIELDS]; /* COLLATION "" : the default of NAMES */
};

struct session_vars {
    struct dialect dialect;
    char *sql_mode; /* dialect's */
    struct setting now;
    struct setting *all;
    int n;
    int current; /* the number of `now`, or -1: not looked up yet */
    void *index; /* tsearch(3) */
    struct user_vars *variables;
    bool checks_off; /* foreign_key_checks was 0 when the first object came */
    enum { CHECKS_UNTOUCHED, CHECKS_OFF, CHECKS_ON } checks; /* in this run of SETs */
};

/* The value of a field in a new session. */
const char *session_fields_start(const struct session_vars *v, enum field f);
/* Copies the value. */
void session_fields_put(struct session_vars *v, enum field f, const char *value);

#endif
