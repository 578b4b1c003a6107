/* SPDX-License-Identifier: MIT */
/*
 * opt: one table of options per program. The table drives argv (--name VALUE, --name=VALUE), a
 * mount's -o list (name=value,flag), a config file (name = value) and --help. '-' and '_' are the
 * same in a name. A typo gets a suggestion. Parsing changes nothing when it fails on a value.
 *
 * Not thread safe; used by main() before threads start. Strings put into dest are malloc'd and
 * live until exit.
 */
#ifndef EEFS_COMMON_OPT_H
#define EEFS_COMMON_OPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sync/common/err.h"

struct strlist { /* for OPT_LIST: repeated options append */
    char **v;
    size_t n;
};

enum opt_type {
    OPT_FLAG,     /* dest bool *; "--name", or name=yes|no|true|false|1|0 */
    OPT_STRING,   /* dest char **, NULL or malloc'd: the old value is freed */
    OPT_LIST,     /* dest struct strlist *; may be given many times */
    OPT_INT,      /* dest int64_t *; within min..max */
    OPT_SIZE,     /* dest int64_t *; bytes, suffix K M G T (powers of 1024) */
    OPT_DURATION, /* dest int64_t *; milliseconds; units ms s min h d, seconds without one */
    OPT_MODE,     /* dest int64_t *; octal */
    OPT_ENUM,     /* dest char **; one of `choices`, separated by '|' */
    OPT_IGNORED,  /* accepted and dropped, with or without a value (what mount(8) passes on) */
    OPT_END,
};

struct opt {
    enum opt_type type;
    const char *name;
    const char *arg; /* placeholder in --help, NULL for flags; for OPT_ENUM the choices "a|b" */
    void *dest;
    const char *def;  /* shown in --help and parsed into dest by opt_defaults(); may be NULL */
    int64_t min, max; /* for numbers; both 0: any value >= 0 */
    const char *help; /* one line, lower case, with the unit */
};

/* Fills every dest from `def`. Bad defaults are bugs and abort. */
void opt_defaults(const struct opt *table);

/*
 * Parses argv[1..]; what is no option is moved to the front of argv from argv[0] on and counted
 * in *nargs ("--" ends options). On --help or -h: *help is set and parsing goes on. Single-letter
 * bundles are not handled here (see fs/ for mount's own). Returns 0 or -EINVAL with the sentence.
 */
int opt_argv(const struct opt *table, int argc, char **argv, int *nargs, bool *help, struct err *e);

/* One "name" or "name=value" (value NULL when absent). `where` starts messages ("-o", a file). */
int opt_set(const struct opt *table, const char *name, const char *value, const char *where,
            struct err *e);

/* A comma-separated list; "\," stands for a comma inside a value. */
int opt_comma(const struct opt *table, const char *list, const char *where, struct err *e);

/* A config file: "name = value" lines, '#' comments. Errors name file and line. */
int opt_file(const struct opt *table, const char *path, struct err *e);

/* Prints `usage` and the table to stdout. */
void opt_help(const struct opt *table, const char *usage);

void strlist_add(struct strlist *l, const char *s); /* copies s */
void strlist_release(struct strlist *l);

#endif
