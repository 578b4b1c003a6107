/* SPDX-License-Identifier: MIT */
/*
 * The buffer holds the bytes from `base` (an offset in the dump) on:
 *
 *   0 ........ start ............ pos ............ len
 *     emitted   this statement     not yet looked at
 *
 * scan() goes on from `pos` in the lexical state `in`, so that a statement that needs many reads is
 * still looked at only once. It stops LOOKAHEAD bytes early until the end of file is known, so that
 * every decision sees all the bytes that it needs wherever the reads end.
 */
#include "sqlimport/split.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sync/common/buf.h"

#define READ_SIZE     (1024 * 1024)
#define LOOKAHEAD     32
#define DELIMITER_MAX 16

enum state { IN_SQL, IN_QUOTE, IN_LINE_COMMENT, IN_COMMENT };

struct split {
    split_reader *reader;
    void *arg;
    struct buf b;
    size_t start, pos;
    off_t base;
    uint64_t line; /* at offset `counted` */
    size_t counted;
    enum state in;
    char quote;
    size_t comment; /* where the comment began */
    bool begun;     /* a byte of the statement was met: start is its first */
    bool eof;
    bool header, completed;
    char delimiter[DELIMITER_MAX + 1];
    size_t delimiter_len;
    struct token_mode mode;
};

struct split *split_new(split_reader *reader, void *arg)
{
    struct split *s = xcalloc(1, sizeof(*s));

    s->reader = reader;
    s->arg = arg;
    s->line = 1;
    strcpy(s->delimiter, ";");
    s->delimiter_len = 1;
    return s;
}

void split_free(struct split *s)
{
    if (!s)
        return;
    buf_release(&s->b);
    free(s);
}

void split_set_mode(struct split *s, struct token_mode mode)
{
    s->mode = mode;
}

bool split_has_header(const struct split *s)
{
    return s->header;
}

bool split_is_completed(const struct split *s)
{
    return s->completed;
}

off_t split_offset(const struct split *s)
{
    return s->base + (off_t)s->pos;
}

static uint64_t line_at(struct split *s, size_t pos)
{
    const char *p = s->b.data + s->counted, *end = s->b.data + pos;

    while (p < end && (p = memchr(p, '\n', (size_t)(end - p)))) {
        s->line++;
        p++;
    }
    s->counted = pos;
    return s->line;
}

static int fill(struct split *s, struct err *e)
{
    size_t keep = s->begun ? s->start : s->in == IN_SQL ? s->pos : s->comment;
    ssize_t n;

    if (keep > 0) {
        line_at(s, keep);
        buf_consume(&s->b, keep);
        s->base += (off_t)keep;
        s->pos -= keep;
        s->start = s->start > keep ? s->start - keep : 0;
        s->comment = s->comment > keep ? s->comment - keep : 0;
        s->counted = 0;
    }
    if (s->b.len > SPLIT_STATEMENT_MAX)
        return err_set(e, EFBIG, "the statement at line %llu is larger than 1 GB",
                       (unsigned long long)s->line);
    buf_reserve(&s->b, READ_SIZE);
    n = s->reader(s->arg, s->b.data + s->b.len, READ_SIZE);
    if (n < 0)
        return err_sys(e, (int)-n, "cannot read the dump");
    s->b.len += (size_t)n;
    s->b.data[s->b.len] = '\0';
    s->eof = n == 0;
    return 0;
}

static void end_line_comment(struct split *s, size_t end)
{
    const char *text = s->b.data + s->comment;
    size_t len = end - s->comment;

    if (s->begun)
        return;
    if (len >= 17 && memcmp(text, "-- Dump completed", 17) == 0)
        s->completed = true;
    if (len >= 13 && (memcmp(text, "-- MySQL dump", 13) == 0 ||
                      (len >= 15 && memcmp(text, "-- MariaDB dump", 15) == 0)))
        s->header = true;
}

/* The client's DELIMITER command on a line of its own; false when the line is not all there. */
static bool take_delimiter(struct split *s)
{
    const char *p = s->b.data + s->pos, *end = s->b.data + s->b.len;
    const char *nl = memchr(p, '\n', (size_t)(end - p));
    size_t n;

    if (!nl) {
        if (!s->eof)
            return false;
        nl = end;
    }
    p += 9;
    while (p < nl && isspace((unsigned char)*p))
        p++;
    for (n = 0; p + n < nl && !isspace((unsigned char)p[n]) && n < DELIMITER_MAX; n++)
        s->delimiter[n] = p[n];
    if (n == 0)
        s->delimiter[n++] = ';';
    s->delimiter[n] = '\0';
    s->delimiter_len = n;
    s->pos = (size_t)(nl - s->b.data);
    return true;
}

/* Bytes in SQL that need a look; all others are passed over. */
static bool plain(unsigned char c, char delimiter)
{
    return (isalnum(c) || c == ' ' || c == ',' || c == '(' || c == ')' || c >= 0x80 || c == '_' ||
            c == '.') &&
           c != (unsigned char)delimiter;
}

static bool is_sandbox(const char *p, size_t left)
{
    return (left >= 10 && memcmp(p, "/*M!999999", 10) == 0) ||
           (left >= 9 && memcmp(p, "/*!999999", 9) == 0);
}

static bool begin_comment(struct split *s, const char *p, size_t left)
{
    if (*p == '#' ||
        (p[0] == '-' && left >= 2 && p[1] == '-' && (left == 2 || isspace((unsigned char)p[2])))) {
        s->in = IN_LINE_COMMENT;
    } else if (p[0] == '/' && left >= 2 && p[1] == '*' &&
               (is_sandbox(p, left) ||
                !((left >= 3 && p[2] == '!') || (left >= 4 && p[2] == 'M' && p[3] == '!')))) {
        s->in = IN_COMMENT;
    } else {
        return false;
    }
    s->comment = s->pos;
    s->pos += s->in == IN_COMMENT ? 2 : 1;
    return true;
}

/* In SQL: 1 a statement ends at pos (before the delimiter), 0 go on, -EAGAIN needs more bytes. */
static int scan_sql(struct split *s)
{
    while (s->pos < s->b.len) {
        const char *p = s->b.data + s->pos;
        size_t left = s->b.len - s->pos;

        if (s->begun && plain((unsigned char)*p, s->delimiter[0])) {
            s->pos++;
            continue;
        }
        if (left < LOOKAHEAD && !s->eof)
            return -EAGAIN;
        if (left >= s->delimiter_len && memcmp(p, s->delimiter, s->delimiter_len) == 0) {
            if (s->begun)
                return 1;
            s->pos += s->delimiter_len;
            continue;
        }
        if (begin_comment(s, p, left))
            return 0;
        if (!s->begun) {
            if (isspace((unsigned char)*p) ||
                (s->base == 0 && s->pos < 3 && strchr("\xef\xbb\xbf", *p))) {
                s->pos++;
                continue;
            }
            if (left >= 10 && strncasecmp(p, "DELIMITER", 9) == 0 && isspace((unsigned char)p[9])) {
                if (!take_delimiter(s))
                    return -EAGAIN;
                continue;
            }
            s->begun = true;
            s->start = s->pos;
            s->completed = false;
        }
        s->pos++;
        if (*p == '\'' || *p == '"' || *p == '`') {
            s->in = IN_QUOTE;
            s->quote = *p;
            return 0;
        }
    }
    return s->eof ? 0 : -EAGAIN;
}

static int scan_quote(struct split *s)
{
    bool escapes = s->quote != '`' && !s->mode.no_backslash_escapes &&
                   !(s->quote == '"' && s->mode.ansi_quotes);
    const char *p = s->b.data + s->pos, *end = s->b.data + s->b.len;
    char q = s->quote;

    for (;; p++) {
        while (p < end && *p != q && *p != '\\')
            p++;
        if (p >= end)
            break;
        if (*p == q) {
            /* A doubled quote ends this run and begins another: the same thing for cutting. */
            s->pos = (size_t)(p - s->b.data) + 1;
            s->in = IN_SQL;
            return 0;
        }
        if (escapes) {
            if (p + 1 >= end)
                break;
            p++;
        }
    }
    s->pos = (size_t)(p - s->b.data);
    return -EAGAIN;
}

static int scan_comment(struct split *s)
{
    const char *p = s->b.data + s->pos;
    size_t left = s->b.len - s->pos;
    const char *close = s->in == IN_COMMENT ? memmem(p, left, "*/", 2) : memchr(p, '\n', left);

    if (close) {
        s->pos = (size_t)(close - s->b.data) + (s->in == IN_COMMENT ? 2 : 0);
        if (s->in == IN_LINE_COMMENT)
            end_line_comment(s, s->pos);
        s->in = IN_SQL;
        return 0;
    }
    if (s->in == IN_LINE_COMMENT && s->eof) {
        s->pos = s->b.len;
        end_line_comment(s, s->pos);
        s->in = IN_SQL;
        return 0;
    }
    s->pos = s->in == IN_COMMENT && left > 0 ? s->b.len - 1 : s->b.len;
    return -EAGAIN;
}

static int ended(struct split *s, struct err *e)
{
    if (s->begun || s->in != IN_SQL)
        return err_set(e, EPROTO,
                       "the dump is cut off: it ends within the statement or comment that begins "
                       "at line %llu",
                       (unsigned long long)line_at(s, s->begun ? s->start : s->comment));
    return 0;
}

int split_next(struct split *s, struct statement *ret, struct err *e)
{
    for (;;) {
        int r = s->in == IN_SQL ? scan_sql(s) : s->in == IN_QUOTE ? scan_quote(s) : scan_comment(s);

        if (r == 1) {
            size_t end = s->pos;
            while (end > s->start && isspace((unsigned char)s->b.data[end - 1]))
                end--;
            ret->line = line_at(s, s->start);
            ret->text = s->b.data + s->start;
            ret->len = end - s->start;
            ret->offset = s->base + (off_t)s->start;
            s->pos += s->delimiter_len;
            s->begun = false;
            return 1;
        }
        if (r == 0 && !(s->eof && s->pos >= s->b.len))
            continue;
        if (s->eof)
            return ended(s, e);
        r = fill(s, e);
        if (r < 0)
            return r;
    }
}
