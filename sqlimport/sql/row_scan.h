/* SPDX-License-Identifier: MIT */
/*
 * row_scan: passes over the rows of an INSERT at some gigabytes a second, 64 bytes at a time, finds
 * their end, counts them, and makes sure that they hold values only: outside of strings there is
 * nothing but numbers, commas, brackets around rows, and the few words that rows.h allows; no
 * comment. A row that is only badly formed may pass: the server refuses it. Resumable anywhere.
 * Pure.
 */
#ifndef EEFS_SQLIMPORT_SQL_ROW_SCAN_H
#define EEFS_SQLIMPORT_SQL_ROW_SCAN_H

#include <stdbool.h>
#include <stdint.h>

struct row_scan {
    int64_t rows;  /* begun so far */
    bool escapes;  /* a backslash escapes in strings */
    bool escaped;  /* the byte before was such a backslash */
    bool wordy;    /* the byte before was a letter or digit */
    bool minus;    /* the byte before was a minus sign */
    bool national; /* an N'string' was met, which the server converts in its own way */
    uint64_t text; /* all ones within a string */
    uint64_t row;  /* all ones within brackets */
};

enum row_scan_result {
    SKIM_MORE, /* go on at *p with more text */
    SKIM_END,  /* *p is behind the last row and white space: nothing of rows */
    SKIM_BAD,  /* *p is at something else than plain values, within a row */
};

/* Begins before the first row's bracket. */
void row_scan_init(struct row_scan *s, bool escapes);
/* Goes on from *p. `whole`: there is no text after `end`; then it never returns SKIM_MORE. */
enum row_scan_result row_scan_rows(struct row_scan *s, const char **p, const char *end, bool whole);

#endif
