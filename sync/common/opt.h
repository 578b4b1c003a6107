/* SPDX-License-Identifier: MIT */
/*
 * opt: one table of options per program or command. The table drives argv (--name VALUE,
 * --name=VALUE), a mount's -o list (name=value,flag), a config file (name = value), --help and the
 * usage line, and through --help=json the man pages, packaging/doc/options.md and the completion of
 * shells. '-' and '_' are the same in a name. A misspelt name gets a suggestion. A value that is
 * refused changes nothing.
 *
 * A table is constant and names its destinations as offsets into a struct of the caller, so that
 * one table fills several structs. Rows are written with designated initialisers; {0} ends a table:
 *
 *     static const struct opt table[] = {
 *         {.type = OPT_SIZE, .name = "reserve", .arg = "SIZE", .def = "64M",
 *          .at = offsetof(struct settings, reserve), .help = "keep this much of the disk free"},
 *         {0},
 *     };
 *
 * A row with `bare` also stands without a value, which is then that text: "--name" or "--name=VALUE".
 * A row with `letter` may be given as "-w VALUE", too.
 *
 * Not thread safe; used by main() before threads start. Strings put into the struct are malloc'd
 * and belong to the caller.
 */
#ifndef EEFS_COMMON_OPT_H
#define EEFS_COMMON_OPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "sync/common/err.h"

struct strlist { /* for OPT_LIST: repeated options append */
    char **v;
    size_t n;
};

enum opt_type {               /* the member at `at` */
                OPT_END,      /* the row that ends a table */
                OPT_FLAG,     /* bool; "--name", or name=yes|no|true|false|1|0|on|off */
                OPT_STRING,   /* char *, NULL or malloc'd: the old value is freed */
                OPT_LIST,     /* struct strlist; may be repeated */
                OPT_INT,      /* int64_t; within min..max */
                OPT_SIZE,     /* int64_t; bytes, suffix K M G T (powers of 1024) */
                OPT_DURATION, /* int64_t; milliseconds; units ms s min h d, seconds without one */
                OPT_MODE,     /* int64_t; octal */
                OPT_ENUM,     /* char *; one of the choices in `arg`, separated by '|' */
                OPT_IGNORED,  /* accepted and dropped, with or without a value (what mount(8) passes
                                 on) */
};

struct opt {
    enum opt_type type;
    const char *name;
    const char *arg; /* placeholder of the value, NULL for flags; for OPT_ENUM the choices "a|b" */
    size_t at;       /* offset of the member that is set */
    const char *def; /* opt_defaults() parses it; NULL: the member stays as it is */
    const char *without; /* shown as the default where `def` cannot express it */
    const char *bare;    /* the value of the name alone; NULL: it needs one */
    char letter;         /* a second name of one letter; 0: none */
    int64_t min, max;    /* of numbers; both 0: any value >= 0 */
    bool required;       /* see opt_required() */
    bool empty;          /* of a LIST: the empty text is a value, too */
    bool reload;         /* takes effect when a running program reloads its options */
    const char *help;    /* one phrase, lower case, no full stop; default, range and "may be
                          * repeated" are added */
};

/* A program, or one command of a program. */
struct opt_command {
    const char *name;  /* as it is called: "eefs-master serve" */
    const char *args;  /* its arguments besides options, or NULL */
    const char *about; /* its purpose in whole sentences; "\n\n" between paragraphs */
    bool listed;       /* its options are items of -o name=value,name and not --name value */
    const struct opt *options;
};

enum opt_help {                    /* --help, --help=usage, --help=json */
                OPT_HELP_NONE = 0, /* no help was asked for */
                OPT_HELP_TEXT,     /* usage, purpose, and a line or more for each option */
                OPT_HELP_USAGE,    /* the usage only */
                OPT_HELP_JSON,     /* the table in one line, for packaging/doc/generate */
};

/* Sets each member of *into whose option has a `def`. Bad defaults are bugs and abort. */
void opt_defaults(const struct opt *table, void *into);

/*
 * Parses argv[1..]; arguments that are no options are moved to the front of argv from argv[0] on
 * and counted in *nargs ("--" ends options). --help and -h set *help, and parsing goes on.
 * Single-letter bundles are not handled here (see fs/ for mount's own). Returns 0, or -EINVAL with
 * a sentence.
 */
int opt_argv(const struct opt *table, void *into, int argc, char **argv, int *nargs,
             enum opt_help *help, struct err *e);

/* Which help `form` asks for: the text behind "--help=", NULL for a plain "--help". OPT_HELP_NONE:
 * there is no such form. */
enum opt_help opt_help_form(const char *form);

/* One "name" or "name=value" (value NULL when absent). `where` starts messages ("-o", a file). 0 or
 * -EINVAL. */
int opt_set(const struct opt *table, void *into, const char *name, const char *value,
            const char *where, struct err *e);

/* A comma-separated list; "\," stands for a comma inside a value. 0 or -EINVAL. */
int opt_comma(const struct opt *table, void *into, const char *list, const char *where,
              struct err *e);

/* A config file: "name = value" lines, '#' comments. Errors name file and line. 0, -EINVAL, or the
 * error of reading the file. */
int opt_file(const struct opt *table, void *into, const char *path, struct err *e);

/* -EINVAL when a required option (a string or a list) is not set; the sentence names it. */
int opt_required(const struct opt *table, const void *from, struct err *e);

/* Prints the help of a command to stdout. */
void opt_help(const struct opt_command *c, enum opt_help form);

/* Prints `lead`, then the usage of a command, in lines of at most 80 columns. */
void opt_usage(const struct opt_command *c, const char *lead, FILE *out);

void strlist_add(struct strlist *l, const char *s); /* copies s */
void strlist_release(struct strlist *l);

#endif
