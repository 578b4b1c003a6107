/* SPDX-License-Identifier: MIT */
/* head: listeners hear of each higher seq, once, in their order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sync/master/db/head.h"

static int calls[HEAD_LISTENERS], last = -1;

static void moved(void *arg)
{
    int i = *(const int *)arg;

    calls[i]++;
    assert_int_equal(last, i - 1);
    last = i == HEAD_LISTENERS - 1 ? -1 : i;
}

static void test_listeners(void **state)
{
    static int numbers[HEAD_LISTENERS];
    struct head *h = head_new(7);

    (void)state;
    assert_int_equal(head_seq(h), 7);
    for (int i = 0; i < HEAD_LISTENERS; i++) {
        numbers[i] = i;
        head_listen(h, moved, &numbers[i]);
    }
    head_set(h, 7); /* the same, and a lower one: nobody is called */
    head_set(h, 3);
    assert_int_equal(head_seq(h), 7);
    head_set(h, 8);
    head_set(h, 12);
    assert_int_equal(head_seq(h), 12);
    for (int i = 0; i < HEAD_LISTENERS; i++)
        assert_int_equal(calls[i], 2);
    head_free(h);
    head_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_listeners)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
