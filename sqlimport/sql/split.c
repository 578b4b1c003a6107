/* SPDX-License-Identifier: MIT */
/*
 * The buffer holds the bytes from `base` (an offset in the dump) on:
 *
 *   0 ........ start ............ pos ............ len
 *     emitted   this statement     not yet looked at
 *
 * The scan goes on from `pos` in the lexical state `in`, so that a statement that needs many reads
 * is still looked at only once. It stops LOOKAHEAD bytes early until the end of file is known, so
 * that every decision sees all the bytes that it needs wherever the reads end. The rows of an
 * INSERT are checked and counted in the same pass (IN_ROWS): a row that is not all there is begun
 * again. Where they are more than SPLIT_PART, those that are all there are given with the head of
 * the statement, which is then put in front of the next ones:
 *
 *   INSERT INTO t VALUES (1),(2),(3),(4…     given: INSERT INTO t VALUES (1),(2)
 *   ....INSERT INTO t VALUES (3),(4…
 *
 * The cut depends on the statement alone, not on the reads or on what comes before it.
 */
#include "sqlimport/sql/split.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sqlimport/sql/rows.h"
#include "sqlimport/sql/row_scan.h"
#include "sync/common/buf.h"

#define LOOKAHEAD     32
#define DELIMITER_MAX 16
#define LINE_MAX      4096 /* of the client's own command, and of a warning */
#define COMMENT_MAX   4096 /* bytes of a comment that are looked at */

enum state { IN_SQL, IN_ROWS, IN_QUOTE, IN_LINE_COMMENT, IN_COMMENT };

struct split {
    split_reader *reader;
    void *arg;
    size_t read_size;
    struct buf b;
    size_t start, pos;
    off_t base;
    uint64_t line; /* at offset `counted` */
    size_t counted;
    enum state in;
    char quote;
    size_t comment;    /* where the comment began */
    bool long_comment; /* its begin is no longer in the buffer */
    bool begun;        /* a byte of the statement was met: start is its first */
    bool insert;       /* the statement is INSERT or REPLACE, its rows were not met yet */
    struct row_scan rows;
    int64_t rows_given; /* of them, in earlier parts */
    size_t part;        /* the rows up to here from start on are given, when there are more */
    size_t cut;         /* the next part's first row, or 0 */
    size_t head_len;    /* see struct statement */
    off_t head_offset;
    uint64_t number;
    size_t rows_at, rows_end; /* from start on; rows_end: behind the last one and white space */
    bool later;               /* behind the first statement's first byte */
    bool eof;
    bool completed, unreadable, closed;
    enum maker maker;
    char delimiter[DELIMITER_MAX + 1];
    size_t delimiter_len;
    struct token_mode mode;
};

struct split *split_new(split_reader *reader, void *arg, size_t read_size)
{
    struct split *s = xcalloc(1, sizeof(*s));

    s->reader = reader;
    s->arg = arg;
    s->read_size = read_size;
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

enum maker split_maker(const struct split *s)
{
    return s->maker;
}

bool split_is_closed(const struct split *s)
{
    return s->closed;
}

bool split_is_completed(const struct split *s)
{
    return s->completed;
}

bool split_is_unreadable(const struct split *s)
{
    return s->unreadable;
}

off_t split_offset(const struct split *s)
{
    return s->base + (off_t)s->pos;
}

static uint64_t line_at(struct split *s, size_t pos)
{
    const char *p = s->b.data + s->counted, *end = s->b.data + pos;

    if (pos <= s->counted)
        return s->line;
    while (p < end && (p = memchr(p, '\n', (size_t)(end - p)))) {
        s->line++;
        p++;
    }
    s->counted = pos;
    return s->line;
}

/* From here on the bytes are needed. */
static size_t needed_from(struct split *s)
{
    if (s->begun)
        return s->start;
    if (s->in == IN_SQL)
        return s->pos;
    if (s->pos - s->comment > COMMENT_MAX) {
        s->long_comment = true;
        s->comment = s->pos;
    }
    return s->comment;
}

static int too_large(struct split *s, struct err *e)
{
    if (s->rows_at > 0)
        return err_set(
            e, EFBIG,
            "the statement at line %llu holds a row that is larger than %zu MB, which is the "
            "limit",
            (unsigned long long)line_at(s, s->start), SPLIT_ROW_MAX >> 20);
    return err_set(e, EFBIG, "the statement at line %llu is larger than %zu MB, which is the limit",
                   (unsigned long long)line_at(s, s->start), SPLIT_STATEMENT_MAX >> 20);
}

static int fill(struct split *s, struct err *e)
{
    size_t keep = needed_from(s);
    size_t want = s->read_size;

    if (keep > 0) {
        line_at(s, keep);
        buf_consume(&s->b, keep);
        s->base += (off_t)keep;
        s->pos -= keep;
        s->start = s->start > keep ? s->start - keep : 0;
        s->comment = s->comment > keep ? s->comment - keep : 0;
        s->counted -= keep;
    }
    if (s->b.len > (s->rows_at > 0 ? SPLIT_ROW_MAX : SPLIT_STATEMENT_MAX) + s->read_size)
        return too_large(s, e);
    buf_reserve(&s->b, want);
    while (want > 0 && !s->eof) {
        ssize_t n = s->reader(s->arg, s->b.data + s->b.len, want);
        if (n < 0)
            return err_sys(e, (int)-n, "cannot read the dump");
        s->b.len += (size_t)n;
        want -= (size_t)n;
        s->eof = n == 0;
    }
    s->b.data[s->b.len] = '\0';
    return 0;
}

/* Looks at what a comment outside of statements says. */
static void end_comment(struct split *s, size_t end)
{
    const char *text = s->b.data + s->comment;
    size_t len = end - s->comment;

    if (s->begun || s->long_comment)
        return;
    if (len >= 17 && memcmp(text, "-- Dump completed", 17) == 0)
        s->completed = true;
    if (len >= 26 && memcmp(text, "-- insufficient privileges", 26) == 0)
        s->unreadable = true;
    if (s->maker == MAKER_UNKNOWN && (!s->later || len < 200))
        s->maker = maker_of(text, len, s->later);
    s->closed = maker_ends_with(s->maker, text, len) || (s->closed && len < 3);
}

/* The client's DELIMITER command on a line of its own; false when the line is not all there. */
static bool take_delimiter(struct split *s)
{
    const char *p = s->b.data + s->pos, *end = s->b.data + s->b.len;
    const char *nl = memchr(p, '\n', (size_t)(end - p));
    size_t n;

    if (!nl && !s->eof && end - p < LINE_MAX)
        return false;
    if (!nl)
        nl = end - p < LINE_MAX ? end : p + LINE_MAX;
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
    s->number++;
    return true;
}

/* Bytes in SQL that need a look; all others are passed over. */
static bool plain(unsigned char c, char delimiter)
{
    return (isalnum(c) || c == ' ' || c == ',' || c == ')' || c >= 0x80 || c == '_' || c == '.') &&
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
    s->long_comment = false;
    s->pos += s->in == IN_COMMENT ? 2 : 1;
    return true;
}

/* Before the first statement: length of a byte order mark, or of a warning line that the program
 * which made the dump wrote into it; 0 when there is none, -EAGAIN. */
static ssize_t preamble(const struct split *s)
{
    static const char *const starts[] = {"mysqldump: [Warning]", "mariadb-dump: [Warning]",
                                         "Warning: Using a password", "mysqldump: Deprecated",
                                         "mariadb-dump: Deprecated"};
    const char *p = s->b.data + s->pos;
    size_t left = s->b.len - s->pos;
    const char *nl;

    if (s->base == 0 && s->pos == 0 && left >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0)
        return 3;
    for (size_t i = 0; !s->later && i < sizeof(starts) / sizeof(*starts); i++) {
        if (left < strlen(starts[i]) || memcmp(p, starts[i], strlen(starts[i])) != 0)
            continue;
        nl = memchr(p, '\n', left);
        if (!nl && left > LINE_MAX) /* no warning is that long */
            return 0;
        return nl ? nl - p : s->eof ? (ssize_t)left : -EAGAIN;
    }
    return 0;
}

/* The '(' at pos stands behind the word VALUES. */
static bool at_rows(const struct split *s)
{
    const char *start = s->b.data + s->start, *p = s->b.data + s->pos;

    while (p > start && isspace((unsigned char)p[-1]))
        p--;
    return (p - start > 6 && strncasecmp(p - 6, "VALUES", 6) == 0) ||
           (p - start > 5 && strncasecmp(p - 5, "VALUE", 5) == 0);
}

static void begin(struct split *s)
{
    const char *p = s->b.data + s->pos;
    size_t left = s->b.len - s->pos;

    s->begun = s->later = true;
    s->start = s->pos;
    s->completed = s->closed = false;
    s->insert =
        left >= 7 && (strncasecmp(p, "INSERT", 6) == 0 || strncasecmp(p, "REPLACE", 7) == 0);
    s->rows_at = s->rows_end = s->head_len = 0;
    s->rows_given = 0;
    s->part = SPLIT_PART;
}

/* Between statements: 1 passed something over, 0 a statement begins here, -EAGAIN. */
static int between(struct split *s)
{
    const char *p = s->b.data + s->pos;
    size_t left = s->b.len - s->pos;
    ssize_t skip;

    if (isspace((unsigned char)*p)) {
        s->pos++;
        return 1;
    }
    skip = preamble(s);
    if (skip != 0) {
        s->pos += skip > 0 ? (size_t)skip : 0;
        return skip > 0 ? 1 : -EAGAIN;
    }
    if (left >= 10 && strncasecmp(p, "DELIMITER", 9) == 0 && isspace((unsigned char)p[9]))
        return take_delimiter(s) ? 1 : -EAGAIN;
    begin(s);
    return 0;
}

/* In SQL: 1 a statement ends at pos (before the delimiter), 0 go on, -EAGAIN needs more bytes. */
static int scan_sql(struct split *s)
{
    while (s->pos < s->b.len) {
        const char *p = s->b.data + s->pos;
        size_t left = s->b.len - s->pos;
        int r;

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
            r = between(s);
            if (r < 0)
                return r;
            if (r == 1)
                continue;
        }
        if (*p == '(' && s->insert && at_rows(s)) {
            s->in = IN_ROWS;
            s->insert = false;
            s->rows_at = s->pos - s->start;
            row_scan_init(&s->rows, token_escapes('\'', s->mode));
            return 0;
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

/* -E2BIG: there are more rows than go into a part. */
static int scan_rows(struct split *s)
{
    bool more = s->b.len > s->start + s->part;
    const char *p = s->b.data + s->pos, *end = s->b.data + (more ? s->start + s->part : s->b.len);
    enum row_scan_result r = row_scan_rows(&s->rows, &p, end, s->eof && !more);

    s->pos = (size_t)(p - s->b.data);
    if (r == SKIM_MORE)
        return more ? -E2BIG : -EAGAIN;
    if (r == SKIM_END)
        s->rows_end = s->pos - s->start;
    else
        s->pos = s->start + s->rows_at + 1; /* cut it like any other: it will be refused */
    s->in = IN_SQL;
    return 0;
}

/* A doubled quote ends one run and begins another: the same thing for cutting. */
static int scan_quote(struct split *s)
{
    const char *p = s->b.data + s->pos;
    bool found =
        token_to_quote(&p, s->b.data + s->b.len, s->quote, token_escapes(s->quote, s->mode));

    s->pos = (size_t)(p - s->b.data);
    if (!found)
        return -EAGAIN;
    s->pos++;
    s->in = IN_SQL;
    return 0;
}

static int scan_comment(struct split *s)
{
    const char *p = s->b.data + s->pos;
    size_t left = s->b.len - s->pos;
    const char *close = s->in == IN_COMMENT ? memmem(p, left, "*/", 2) : memchr(p, '\n', left);

    if (close) {
        s->pos = (size_t)(close - s->b.data) + (s->in == IN_COMMENT ? 2 : 0);
        end_comment(s, s->pos);
        s->in = IN_SQL;
        return 0;
    }
    if (s->in == IN_LINE_COMMENT && s->eof) {
        s->pos = s->b.len;
        end_comment(s, s->pos);
        s->in = IN_SQL;
        return 0;
    }
    s->pos = s->in == IN_COMMENT && left > 0 ? s->b.len - 1 : s->b.len;
    return -EAGAIN;
}

static int ended(struct split *s, struct err *e)
{
    unsigned long long line;
    int error;

    if (!s->begun && s->in == IN_SQL)
        return 0;
    line = line_at(s, s->begun ? s->start : s->comment);
    if (s->begun && maker_complains(s->b.data + s->start, s->b.len - s->start, &error))
        return err_set(
            e, EPROTO,
            "the dump ends with an error message of mysqldump (behind line %llu): look at what "
            "it says there, and make the dump again",
            line);
    return err_set(
        e, EPROTO,
        "the dump is cut off: it ends within the statement or comment that begins at line "
        "%llu",
        line);
}

static int scan(struct split *s)
{
    switch (s->in) {
    case IN_SQL:
        return scan_sql(s);
    case IN_ROWS:
        return scan_rows(s);
    case IN_QUOTE:
        return scan_quote(s);
    case IN_LINE_COMMENT:
    case IN_COMMENT:
        break;
    }
    return scan_comment(s);
}

/* The statement, or the part of one, from start up to `end`. */
static void fill_statement(struct split *s, size_t end, int64_t rows, struct statement *ret)
{
    ret->line = line_at(s, s->start);
    ret->text = s->b.data + s->start;
    ret->len = end - s->start;
    ret->offset = s->base + (off_t)(s->start + s->head_len);
    ret->rows = rows;
    ret->rows_at = s->rows_at;
    ret->national = rows > 0 && s->rows.national;
    ret->semicolon = strcmp(s->delimiter, ";") == 0;
    ret->number = ++s->number;
    ret->head_len = s->head_len;
    ret->head_offset = s->head_offset;
}

static void whole_statement(struct split *s, struct statement *ret)
{
    bool rows = s->rows_end > 0 && s->start + s->rows_end == s->pos;
    size_t end = s->pos;

    while (end > s->start && isspace((unsigned char)s->b.data[end - 1]))
        end--;
    fill_statement(s, end, rows ? s->rows.rows - s->rows_given : 0, ret);
}

/* Gives the rows before the last one that is all there; false: there are none. */
static bool cut_rows(struct split *s, struct statement *ret)
{
    const char *data = s->b.data, *p = data + s->start + s->rows_at;
    const char *end = data + s->start + s->part, *before = NULL;
    struct row row = {NULL, 0};
    int64_t n = 0;

    for (;;) {
        const char *last = row.p ? row.p + row.len : NULL;
        if (rows_next(&p, end, s->mode, n == 0, false, &row) != ROWS_ROW)
            break;
        before = last;
        n++;
    }
    if (n < 2)
        return false;
    fill_statement(s, (size_t)(before - data), n - 1, ret);
    s->cut = (size_t)(row.p - data);
    s->rows_given += n - 1;
    return true;
}

/* Puts the head in front of the next part, over what was given before. */
static void begin_part(struct split *s)
{
    if (s->head_len == 0) {
        s->head_len = s->rows_at;
        s->head_offset = s->base + (off_t)s->start;
    }
    (void)line_at(s, s->cut);
    memmove(s->b.data + s->cut - s->head_len, s->b.data + s->start, s->head_len);
    s->start = s->cut - s->head_len;
    s->part = SPLIT_PART;
    s->cut = 0;
}

int split_next(struct split *s, struct statement *ret, struct err *e)
{
    if (s->cut)
        begin_part(s);
    for (;;) {
        int r = scan(s);

        if (r == 1) {
            whole_statement(s, ret);
            s->pos += s->delimiter_len;
            s->begun = false;
            return 1;
        }
        if (r == -E2BIG) {
            if (cut_rows(s, ret))
                return 1;
            if (s->part >= SPLIT_ROW_MAX)
                return too_large(s, e);
            s->part *= 2;
            continue;
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
