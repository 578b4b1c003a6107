/* SPDX-License-Identifier: MIT */
/*
 * Works on masks of 64 bits, one for each byte of a block, without a branch for each token (after
 * Langdale and Lemire, "Parsing Gigabytes of JSON per Second", 2019):
 *
 *   block     (12,'it\'s',NULL),(13
 *   quote     ....1..1.1...........      less the escaped one
 *   text      ....11111............      a running xor of that: within strings, opening quote too
 *   brackets  1................1.1..     outside of text
 *   row       11111111111111111.111      a running xor of these
 *
 * Bytes outside of text must be of an allowed class, and each word (NULL) is looked at.
 */
#include "sqlimport/sql/row_scan.h"

#include <string.h>
#include <strings.h>

#include "sync/common/buf.h"

#define BLOCK 64
#define PEEK  32 /* a word may go on this far behind the block */

enum byte_class { QUOTE, BACKSLASH, OPEN, CLOSE, COMMA, BLANK, LETTER, DIGIT, SIGN, CLASSES };

struct masks {
    uint64_t of[CLASSES];
};

#ifdef __SSE2__
#include <emmintrin.h>

static uint64_t bits(__m128i hit)
{
    return (uint16_t)_mm_movemask_epi8(hit);
}

static __m128i is(__m128i v, char c)
{
    return _mm_cmpeq_epi8(v, _mm_set1_epi8(c));
}

/* from <= v <= from + span, unsigned */
static __m128i within(__m128i v, char from, char span)
{
    __m128i x = _mm_sub_epi8(v, _mm_set1_epi8(from));

    return _mm_cmpeq_epi8(_mm_min_epu8(x, _mm_set1_epi8(span)), x);
}

static uint64_t find(const char *p, char c)
{
    uint64_t m = 0;

    for (int i = 0; i < BLOCK; i += 16)
        m |= bits(is(_mm_loadu_si128((const void *)(p + i)), c)) << i;
    return m;
}

static void classify(const char *p, struct masks *m)
{
    memset(m, 0, sizeof(*m));
    for (int i = 0; i < BLOCK; i += 16) {
        __m128i v = _mm_loadu_si128((const void *)(p + i));
        __m128i lower = _mm_or_si128(v, _mm_set1_epi8(0x20));

        m->of[QUOTE] |= bits(is(v, '\'')) << i;
        m->of[BACKSLASH] |= bits(is(v, '\\')) << i;
        m->of[OPEN] |= bits(is(v, '(')) << i;
        m->of[CLOSE] |= bits(is(v, ')')) << i;
        m->of[COMMA] |= bits(is(v, ',')) << i;
        m->of[BLANK] |= bits(_mm_or_si128(is(v, ' '), within(v, '\t', 4))) << i;
        m->of[LETTER] |= bits(_mm_or_si128(is(v, '_'), within(lower, 'a', 25))) << i;
        m->of[DIGIT] |= bits(within(v, '0', 9)) << i;
        m->of[SIGN] |= bits(_mm_andnot_si128(is(v, ','), within(v, '+', 3))) << i;
    }
}

#else

static uint64_t find(const char *p, char c)
{
    uint64_t m = 0;

    for (int i = 0; i < BLOCK; i++)
        m |= (uint64_t)(p[i] == c) << i;
    return m;
}

static enum byte_class class_of(char c)
{
    if (c >= '0' && c <= '9')
        return DIGIT;
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_')
        return LETTER;
    if (c == ' ' || (c >= '\t' && c <= '\r'))
        return BLANK;
    switch (c) {
    case '\'':
        return QUOTE;
    case '\\':
        return BACKSLASH;
    case '(':
        return OPEN;
    case ')':
        return CLOSE;
    case ',':
        return COMMA;
    case '+':
    case '-':
    case '.':
        return SIGN;
    default:
        return CLASSES;
    }
}

static void classify(const char *p, struct masks *m)
{
    uint64_t of[CLASSES + 1] = {0};

    for (int i = 0; i < BLOCK; i++)
        of[class_of(p[i])] |= (uint64_t)1 << i;
    memcpy(m->of, of, sizeof(m->of));
}

#endif

void row_scan_init(struct row_scan *s, bool escapes)
{
    *s = (struct row_scan){.escapes = escapes};
}

/* Bit i: xor of bits 0..i. */
static uint64_t running_xor(uint64_t m)
{
    for (int shift = 1; shift < 64; shift *= 2)
        m ^= m << shift;
    return m;
}

/* The bytes that a backslash escapes: those behind a run of backslashes of odd length. */
static uint64_t find_escaped(struct row_scan *s, uint64_t backslash)
{
    const uint64_t even = 0x5555555555555555u;
    uint64_t carry = s->escaped, follows, odd_starts, runs;

    if (!backslash) {
        s->escaped = false;
        return carry;
    }
    backslash &= ~carry;
    follows = backslash << 1 | carry;
    odd_starts = backslash & ~even & ~follows;
    s->escaped = __builtin_add_overflow(odd_starts, backslash, &runs);
    return (even ^ runs << 1) & follows;
}

static bool is_word_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* A word as rows.c allows it; PEEK bytes can be read. */
static bool word_is_value(struct row_scan *s, const char *p)
{
    static const char *const words[] = {"NULL", "TRUE", "FALSE", "DEFAULT"};
    int n = 0;

    if (memcmp(p, "NULL", 4) == 0 && !is_word_char(p[4]))
        return true;
    while (n < PEEK - 2 && is_word_char(p[n]))
        n++;
    if (*p == '_') { /* a character set: a literal follows */
        n += p[n] == ' ';
        return p[n] == '\'' || (p[n] >= '0' && p[n] <= '9');
    }
    s->national = s->national || (n == 1 && (*p == 'n' || *p == 'N'));
    if (n == 1)
        return strchr("xXbBnN", *p) && p[1] == '\'';
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        if ((size_t)n == strlen(words[i]) && strncasecmp(p, words[i], (size_t)n) == 0)
            return true;
    return false;
}

/* The first of the words that start at these bits and are no values, as a bit, or 0. */
static uint64_t find_bad_word(struct row_scan *s, const char *p, uint64_t starts)
{
    for (; starts; starts &= starts - 1)
        if (!word_is_value(s, p + __builtin_ctzll(starts)))
            return starts & -starts;
    return 0;
}

/* The first minus sign behind another one, which may begin a comment, as a bit, or 0. `signs`:
 * where a sign or dot stands. */
static uint64_t find_comment(const struct row_scan *s, const char *p, uint64_t signs)
{
    for (uint64_t m = signs & (signs << 1 | s->minus); m; m &= m - 1) {
        int i = __builtin_ctzll(m);
        if (p[i] == '-' && (i > 0 ? p[i - 1] == '-' : s->minus))
            return m & -m;
    }
    return 0;
}

/* One block: 64, or the place where the rows end or go wrong. */
static int row_scan_block(struct row_scan *s, const char *p, enum row_scan_result *ret)
{
    struct masks m;
    uint64_t quotes, text, out, brackets, row, wordy, starts, bad, end, stop;

    classify(p, &m);
    quotes = m.of[QUOTE] & ~find_escaped(s, s->escapes ? m.of[BACKSLASH] : 0);
    text = running_xor(quotes) ^ s->text;
    out = ~text & ~quotes;
    brackets = (m.of[OPEN] | m.of[CLOSE]) & out;
    row = running_xor(brackets) ^ s->row;
    wordy = (m.of[LETTER] | m.of[DIGIT]) & out;
    starts = m.of[LETTER] & out & row & ~(wordy << 1 | s->wordy);
    bad = (m.of[OPEN] & out & ~row) | (m.of[CLOSE] & out & row);
    bad |= row & out &
           ~(m.of[OPEN] | m.of[COMMA] | m.of[BLANK] | m.of[LETTER] | m.of[DIGIT] | m.of[SIGN]);
    bad |= find_comment(s, p, m.of[SIGN] & out & row);
    end = ~row & (~(m.of[CLOSE] | m.of[COMMA] | m.of[BLANK]) | text | quotes);
    stop = bad | end;
    if (starts)
        stop |= find_bad_word(s, p, stop ? starts & ((stop & -stop) - 1) : starts);
    if (stop) {
        uint64_t first = stop & -stop;
        s->rows += __builtin_popcountll(m.of[OPEN] & out & (first - 1));
        *ret = first & end ? SKIM_END : SKIM_BAD;
        return __builtin_ctzll(first);
    }
    s->rows += __builtin_popcountll(m.of[OPEN] & out);
    s->text = -(text >> 63);
    s->row = -(row >> 63);
    s->wordy = wordy >> 63;
    s->minus = (m.of[SIGN] & out & row) >> 63 && p[BLOCK - 1] == '-';
    return BLOCK;
}

enum row_scan_result row_scan_rows(struct row_scan *s, const char **p, const char *end, bool whole)
{
    char last[BLOCK + PEEK];
    enum row_scan_result r = SKIM_MORE;

    for (;;) {
        const char *block = *p;
        size_t left = (size_t)(end - block);
        int n;

        if (left < sizeof(last)) {
            if (!whole)
                return SKIM_MORE;
            memset(last, 0, sizeof(last)); /* NUL belongs to no row: the end is found there */
            memcpy(last, block, left);
            block = last;
        }
        if (s->text && !s->escaped && !find(block, '\'') && !(s->escapes && find(block, '\\'))) {
            if (left < BLOCK) { /* the text ends within a string */
                *p = end;
                return SKIM_BAD;
            }
            s->wordy = s->minus = false;
            *p += BLOCK;
            continue;
        }
        n = row_scan_block(s, block, &r);
        *p += (size_t)n < left ? (size_t)n : left;
        if (n < BLOCK)
            return r;
    }
}
