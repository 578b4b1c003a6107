/* SPDX-License-Identifier: MIT */
/*
 * printable: text that came from elsewhere (names of files and tables, a peer's or a server's
 * words), made safe for a log, a terminal or JSON. Pure.
 */
#ifndef EEFS_COMMON_PRINTABLE_H
#define EEFS_COMMON_PRINTABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/*
 * Copies `text` to out (cap bytes, at least 1, always terminated). Bytes that are not valid UTF-8
 * (RFC 3629), control characters (C0, DEL, C1), characters that break lines or turn the direction
 * of what follows (U+2028 to U+202E, U+2066 to U+2069, U+200E, U+200F, U+061C) and those that
 * cannot be seen (U+00AD, U+200B, U+2060 to U+2065, U+FEFF, U+FFF9 to U+FFFB, tags from U+E0000)
 * become "\xNN" for each of their bytes. A text that does not fit ends before a character or an
 * escape, never inside one.
 */
void printable_copy(char *out, size_t cap, const char *text);
/* The same within a buffer of cap bytes. */
void printable_make(char *text, size_t cap);
/* Copies the first len bytes of `text` to out (cap bytes, at least 1, always terminated), or as
 * many as fit, in printable ASCII: blanks of any kind become spaces, all else becomes "?". */
void printable_excerpt(char *out, size_t cap, const char *text, size_t len);
/* True when printable_copy() would not change the text. */
bool printable_is(const char *text);
/* Formats and writes one line, escaped as a whole: all foreign text is printed by this function. A
 * line of more than 4 KiB is cut. */
void printable_line(FILE *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* malloc'd copy in which only bytes that are not UTF-8 are "\xNN": for JSON, whose writer escapes
 * the rest. */
char *printable_utf8(const char *text);

#endif
