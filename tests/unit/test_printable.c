/* SPDX-License-Identifier: MIT */
/* printable: what a terminal and a log may be shown. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/err.h"
#include "sync/common/printable.h"

static void becomes(const char *text, const char *wanted)
{
    char out[200];

    printable_copy(out, sizeof(out), text);
    assert_string_equal(out, wanted);
    assert_int_equal(printable_is(text), strcmp(text, wanted) == 0);
}

static void test_escapes(void **state)
{
    (void)state;
    becomes("", "");
    becomes("plain 'x' \\ ~", "plain 'x' \\ ~");
    becomes("k\xc3\xb6 \xe2\x82\xac \xf0\x9f\x98\x80", "k\xc3\xb6 \xe2\x82\xac \xf0\x9f\x98\x80");
    becomes("a\nb\tc\x1b[31m\x7f", "a\\x0ab\\x09c\\x1b[31m\\x7f");
    becomes("caf\xe9", "caf\\xe9"); /* latin1 */
    becomes("\xc3", "\\xc3");       /* cut off */
    becomes("\xe2\x82", "\\xe2\\x82");
    becomes("\xc0\xaf \xe0\x80\xaf", "\\xc0\\xaf \\xe0\\x80\\xaf"); /* overlong */
    becomes("\xed\xa0\x80", "\\xed\\xa0\\x80");                     /* a surrogate */
    becomes("\xf4\x90\x80\x80 \xff", "\\xf4\\x90\\x80\\x80 \\xff");
    becomes("\xc2\x9b"
            "31m",
            "\\xc2\\x9b"
            "31m"); /* C1 */
    becomes("\xe2\x80\xae"
            "gpj\xe2\x80\xa8",
            "\\xe2\\x80\\xae"
            "gpj\\xe2\\x80\\xa8");
}

/* Ends before what does not fit whole. */
static void test_cut(void **state)
{
    char out[8];

    (void)state;
    printable_copy(out, 5, "abc\n");
    assert_string_equal(out, "abc");
    printable_copy(out, 8, "abc\n");
    assert_string_equal(out, "abc\\x0a");
    printable_copy(out, 5, "abc\xc3\xb6");
    assert_string_equal(out, "abc");
    printable_copy(out, 1, "abc");
    assert_string_equal(out, "");
}

/* Any bytes give what is printable, and printable text stays. */
static void test_random(void **state)
{
    (void)state;
    srandom(11);
    for (int i = 0; i < 20000; i++) {
        char text[40], out[200], again[200];
        size_t n = (size_t)random() % sizeof(text);
        for (size_t k = 0; k < n; k++)
            text[k] = (char)(random() % 3 ? random() % 255 + 1 : 0xc0 + random() % 64);
        text[n ? n - 1 : 0] = '\0';
        printable_copy(out, sizeof(out), text);
        assert_true(printable_is(out));
        printable_copy(again, sizeof(again), out);
        assert_string_equal(again, out);
    }
}

static void test_err(void **state)
{
    struct err e = {0};

    (void)state;
    err_set(&e, EPERM, "table '%.4s'", "caf\xc3\xa9"); /* cut within a character */
    assert_string_equal(e.text, "table 'caf\\xc3'");
    err_prefix(&e, "in '%s'", "a\nb");
    assert_string_equal(e.text, "in 'a\\x0ab': table 'caf\\xc3'");
    err_sys(&e, ENOENT, "'%s'", "\x1b");
    assert_string_equal(e.text, "'\\x1b': No such file or directory");
}

/* One line goes out as one line, whatever is in it. */
static void test_line(void **state)
{
    char *text = NULL, big[10000];
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);

    (void)state;
    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    printable_line(f, "reason %s", "OK\nmount /forged");
    printable_line(f, "%s", big);
    fclose(f);
    assert_memory_equal(text, "reason OK\\x0amount /forged\n", 27);
    assert_true(len < 27 + 5000 && memchr(text + 27, '\n', len - 27) == text + len - 1);
    free(text);
}

static void test_utf8(void **state)
{
    char *s = printable_utf8("a\xff\n\\\xc3\xa4\xc3");

    (void)state;
    assert_string_equal(s, "a\\xff\n\\\xc3\xa4\\xc3");
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_escapes), cmocka_unit_test(test_cut),  cmocka_unit_test(test_random),
        cmocka_unit_test(test_err),     cmocka_unit_test(test_line), cmocka_unit_test(test_utf8),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
