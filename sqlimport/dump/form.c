/* SPDX-License-Identifier: MIT */
#include "sqlimport/dump/form.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "sync/common/file.h"

#define PLAIN_SQL "give plain SQL, or one of .sql.gz and .sql.zst"
#define BY_DUMP   "make the dump with mysqldump --result-file=FILE, or with eefs-sqldump"

static const struct {
    size_t at, len;
    const char *bytes, *name, *advice;
} signs[] = {
    {0, 4, "\xff\xfe\0\0", "text in UTF-32", BY_DUMP},
    {0, 2, "\xff\xfe", "text in UTF-16, as PowerShell's '>' writes", BY_DUMP},
    {0, 2, "\xfe\xff", "text in UTF-16", BY_DUMP},
    {0, 4, "\0\0\xfe\xff", "text in UTF-32", BY_DUMP},
    {0, 4, "PK\3\4", "a ZIP archive", PLAIN_SQL},
    {0, 3, "BZh", "compressed with bzip2", PLAIN_SQL},
    {0, 6,
     "\xfd"
     "7zXZ\0",
     "compressed with xz", PLAIN_SQL},
    {0, 6, "7z\xbc\xaf\x27\x1c", "a 7-Zip archive", PLAIN_SQL},
    {0, 4, "\x04\x22\x4d\x18", "compressed with lz4", PLAIN_SQL},
    {0, 4, "Rar!", "a RAR archive", PLAIN_SQL},
    {257, 5, "ustar", "a tar archive", PLAIN_SQL},
    {0, 13, "SQLite format", "an SQLite database", BY_DUMP},
    {0, 5, "PGDMP", "a dump of PostgreSQL", BY_DUMP},
    {0, 4, "%PDF", "a PDF document", BY_DUMP},
    {0, 4,
     "\x7f"
     "ELF",
     "a program", BY_DUMP},
    {0, 8, "Salted__", "encrypted with openssl", PLAIN_SQL},
    {0, 10, "-----BEGIN", "encrypted or signed", PLAIN_SQL},
};

/* Begins of text, behind a byte order mark and white space. */
static const struct {
    const char *begin, *name, *advice;
} texts[] = {
    {"<?php", "a PHP file", "remove the lines of PHP, or " BY_DUMP},
    {"<?xml", "XML", "make the dump without --xml"},
    {"<!doctype html", "an HTML page",
     "it was probably fetched from a web server that sent a page instead of the dump: look at it"},
    {"<", "HTML or XML",
     "a web server sent a page instead of the dump, or the dump was made with --xml"},
    {"{", "JSON", BY_DUMP},
    {"[", "JSON", BY_DUMP},
    {"#!", "a script", "run it where the database is, and give its output"},
    {"PRAGMA ", "a dump of SQLite", BY_DUMP},
};

static int say(struct err *e, const char *name, const char *advice)
{
    return err_set(e, EPROTO, "the file is not SQL text but %s: %s", name, advice);
}

static int judge_text(const char *p, size_t len, struct err *e)
{
    const char *end = p + len;

    if (len >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0)
        p += 3;
    while (p < end && isspace((unsigned char)*p))
        p++;
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        size_t n = strlen(texts[i].begin);
        if ((size_t)(end - p) >= n && strncasecmp(p, texts[i].begin, n) == 0)
            return say(e, texts[i].name, texts[i].advice);
    }
    return 0;
}

/* Two bytes a character, without a mark. */
static bool is_wide(const char *p, size_t len)
{
    size_t zero[2] = {0, 0};

    for (size_t i = 0; i < len; i++)
        zero[i % 2] += p[i] == '\0';
    return len >= 8 && ((zero[0] == 0 && zero[1] > len / 4) || (zero[1] == 0 && zero[0] > len / 4));
}

int form_of(const char *bytes, size_t len, enum form *ret, struct err *e)
{
    if (len == 0)
        return err_set(e, EPROTO, "the file is empty: " BY_DUMP);
    if (len >= 2 && memcmp(bytes, "\x1f\x8b", 2) == 0) {
        *ret = FORM_GZIP;
        return 0;
    }
    if (len >= 4 && (memcmp(bytes, "\x28\xb5\x2f\xfd", 4) == 0 ||
                     ((bytes[0] & 0xf0) == 0x50 && memcmp(bytes + 1, "\x2a\x4d\x18", 3) == 0))) {
        *ret = FORM_ZSTD;
        return 0;
    }
    for (size_t i = 0; i < sizeof(signs) / sizeof(*signs); i++)
        if (len >= signs[i].at + signs[i].len &&
            memcmp(bytes + signs[i].at, signs[i].bytes, signs[i].len) == 0)
            return say(e, signs[i].name, signs[i].advice);
    if (is_wide(bytes, len))
        return say(e, "text in UTF-16", BY_DUMP);
    if (memchr(bytes, '\0', len < 64 ? len : 64))
        return say(e, "something binary", BY_DUMP);
    *ret = FORM_SQL;
    return judge_text(bytes, len, e);
}

int form_of_file(int fd, enum form *ret, struct err *e)
{
    char bytes[FORM_BYTES];
    ssize_t n = file_pread(fd, bytes, sizeof(bytes), 0);

    return n < 0 ? err_sys(e, (int)-n, "cannot read the dump") : form_of(bytes, (size_t)n, ret, e);
}
