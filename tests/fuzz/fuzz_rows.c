/* SPDX-License-Identifier: MIT */
/*
 * Fuzzes the two readers of rows against each other: what the strict one accepts the fast one must
 * see in the same way, in one piece and in parts.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "sqlimport/sql/rows.h"
#include "sqlimport/sql/row_scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum row_scan_result scan(const char *text, size_t size, size_t step, bool escapes,
                                 struct row_scan *s, const char **p)
{
    enum row_scan_result r;
    size_t n = step < size ? step : size;

    *p = text;
    row_scan_init(s, escapes);
    while ((r = row_scan_rows(s, p, text + n, n == size)) == SKIM_MORE)
        n = size - n > step ? n + step : size;
    return r;
}

static void both(const char *text, size_t size, bool no_backslash_escapes)
{
    static const size_t steps[] = {1, 63, 64, 97};
    struct token_mode mode = {.no_backslash_escapes = no_backslash_escapes};
    int64_t rows = rows_count(text, text + size, mode, NULL);
    struct row_scan whole, parts;
    const char *end, *p;
    enum row_scan_result r = scan(text, size, size, !no_backslash_escapes, &whole, &end);

    assert(end >= text && end <= text + size);
    if (rows > 0 && !memchr(text, '"', size))
        assert(r == SKIM_END && end == text + size && whole.rows == rows);
    for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
        assert(scan(text, size, steps[i], !no_backslash_escapes, &parts, &p) == r);
        assert(r == SKIM_BAD || (p == end && parts.rows == whole.rows));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char none[1];
    const char *text = size ? (const char *)data : none;

    both(text, size, false);
    both(text, size, true);
    return 0;
}
