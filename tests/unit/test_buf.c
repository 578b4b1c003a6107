/* SPDX-License-Identifier: MIT */
/* buf: bytes that grow, and what is printed into them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"

static void test_append(void **state)
{
    struct buf b = BUF_INIT;

    (void)state;
    buf_append(&b, NULL, 0);
    assert_string_equal(b.data, "");
    buf_puts(&b, "ab");
    buf_putc(&b, 'c');
    buf_append(&b, "\0d", 2);
    assert_int_equal(b.len, 5);
    assert_memory_equal(b.data, "abc\0d", 6); /* with the NUL behind */
    buf_clear(&b);
    assert_int_equal(b.len, 0);
    assert_string_equal(b.data, "");
    buf_release(&b);
    assert_null(b.data);
    buf_puts(&b, "usable again");
    buf_release(&b);
}

static void test_printf(void **state)
{
    struct buf b = BUF_INIT;
    char *s;

    (void)state;
    buf_printf(&b, "%s-%d", "x", 7);
    for (int i = 0; i < 1000; i++)
        buf_printf(&b, "%05d", i);
    assert_int_equal(b.len, 3 + 5000);
    assert_string_equal(b.data + b.len - 5, "00999");
    buf_release(&b);
    s = xasprintf("%0*d", 5000, 1);
    assert_int_equal(strlen(s), 5000);
    free(s);
}

static void test_consume(void **state)
{
    struct buf b = BUF_INIT;
    char *s;

    (void)state;
    buf_puts(&b, "one two");
    buf_consume(&b, 4);
    assert_string_equal(b.data, "two");
    buf_consume(&b, 0);
    buf_consume(&b, 3);
    assert_int_equal(b.len, 0);
    s = buf_detach(&b);
    assert_string_equal(s, "");
    free(s);
    s = buf_detach(&b); /* never NULL, also when nothing was ever put in */
    assert_string_equal(s, "");
    free(s);
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_append),
        cmocka_unit_test(test_printf),
        cmocka_unit_test(test_consume),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
