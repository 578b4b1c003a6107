/* SPDX-License-Identifier: MIT */
/*
 * maker: the program that made a dump, by the comments in the dump's head, and the mark that it
 * writes at the end. A dump without its maker's mark is cut off; one of a maker that marks no end
 * looks the same whole or cut off. Pure.
 */
#ifndef EEFS_SQLIMPORT_SQL_MAKER_H
#define EEFS_SQLIMPORT_SQL_MAKER_H

#include <stdbool.h>
#include <stddef.h>

enum maker {
    MAKER_UNKNOWN,
    MAKER_MYSQLDUMP, /* ends with a comment, see split_is_completed() */
    MAKER_EE, /* ExpressionEngine's own backup; ends by giving back what its head saved, as */
    MAKER_PHPMYADMIN,
    MAKER_HEIDISQL,
    MAKER_SEQUEL,
    MAKER_TABLEPLUS,
    MAKER_QUERIOUS,
    MAKER_ADMINER,   /* ends with the time as a comment */
    MAKER_NAVICAT,   /* ends with SET FOREIGN_KEY_CHECKS = 1, in old versions with nothing */
    MAKER_WPMIGRATE, /* and the rest with nothing */
    MAKER_MYDUMPER,
    MAKER_MYSQLPUMP,
    MAKER_POSTGRES,
    MAKER_MSSQL,
};

/* Looks at a comment, with its signs; `later`: it stands behind a statement, as mysqldump's may.
 * MAKER_UNKNOWN: it names none. */
enum maker maker_of(const char *comment, size_t len, bool later);
/* "HeidiSQL"; "an unknown program". */
const char *maker_name(enum maker m);
/* The comment is an end by itself: Adminer's "-- 2026-01-31 12:00:00 UTC". */
bool maker_ends_with(enum maker m, const char *comment, size_t len);
/* The text of a statement that cannot be read holds an error message of mysqldump, as `2>&1` puts
 * it there: true, and its number, or 0. */
bool maker_complains(const char *text, size_t len, int *ret_error);
/* Dumps of another kind of server, or with other names in them than an import takes. */
bool maker_is_foreign(enum maker m);
/* It always marks the end, so that without the mark the dump is cut off for sure. */
bool maker_marks_end(enum maker m);

#endif
