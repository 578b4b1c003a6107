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

struct variables;

struct variables *variables_new(void);
void variables_free(struct variables *v);

/* Never NULL; valid until the next variables_set(). */
const struct variable *variables_get(const struct variables *v, const char *name);
/* Copies value. -EPERM: there are too many. */
int variables_set(struct variables *v, const char *name, const struct variable *value,
                  struct err *e);

/* A statement that is no SET: with `object` the first that makes or fills something ends the head.
 */
void variables_break(struct variables *v, bool object);
/* A setting was given back from this variable. */
void variables_restored(struct variables *v, const char *name);
/* All that the head saved (@OLD_…, @ORIG_…, @PREVIOUS_…) was given back since the last break, and
 * that is at least one. */
bool variables_all_restored(const struct variables *v);
size_t variables_saved(const struct variables *v);

#endif
