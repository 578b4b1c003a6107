/* SPDX-License-Identifier: MIT */
/*
 * user_vars: the user variables of a dump (@OLD_SQL_MODE and the like), as far as they are needed:
 * to know what a setting is given back, and to know that all that the head of a dump saved was
 * given back at its end.
 *
 *   SET @OLD_SQL_MODE=@@SQL_MODE, …          head: saves
 *   CREATE TABLE …; INSERT …                 a break: what was given back before does not count
 *   SET SQL_MODE=@OLD_SQL_MODE; …            end: gives all back
 *
 * Names are compared without case, as a server does. One thread.
 */
#ifndef EEFS_SQLIMPORT_SQL_USER_VARS_H
#define EEFS_SQLIMPORT_SQL_USER_VARS_H

#include <stdbool.h>
#include <stddef.h>

#include "sync/common/err.h"

#define VARIABLES_MAX 10000 /* in one dump; programs that make dumps use a dozen */

enum variable_kind {
    VARIABLE_NULL,    /* never set */
    VARIABLE_FIELD,   /* a copy of the setting `field` */
    VARIABLE_TEXT,    /* a literal */
    VARIABLE_UNKNOWN, /* the value of an expression, or of a setting that is not followed */
};

struct variable {
    enum variable_kind kind;
    int field;
    char *value; /* of FIELD and TEXT */
};

struct user_vars;

struct user_vars *user_vars_new(void);
void user_vars_free(struct user_vars *v);

/* Never NULL; valid until the next user_vars_set(). */
const struct variable *user_vars_get(const struct user_vars *v, const char *name);
/* Copies value. -EPERM: there are too many. */
int user_vars_set(struct user_vars *v, const char *name, const struct variable *value,
                  struct err *e);

/* A statement that is no SET: with `object` the first that makes or fills something ends the head.
 */
void user_vars_break(struct user_vars *v, bool object);
/* A setting was given back from this variable. */
void user_vars_restored(struct user_vars *v, const char *name);
/* All that the head saved (@OLD_…, @ORIG_…, @PREVIOUS_…) was given back since the last break, and
 * that is at least one. */
bool user_vars_all_restored(const struct user_vars *v);
size_t user_vars_saved(const struct user_vars *v);

#endif
