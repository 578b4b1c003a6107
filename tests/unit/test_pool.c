/* SPDX-License-Identifier: MIT */
/* pool: who is down, who is overloaded, what is published; and what nsupdate reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <errno.h>

#include "sync/dns/pool.h"
#include "sync/dns/update.h"

#define DOWN 3
#define UP   5

static char addresses[][16] = {"192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::4"};

static void open_pool(struct pool *p, size_t n)
{
    char *v[] = {addresses[0], addresses[1], addresses[2], addresses[3]};

    assert_int_equal(pool_init(p, v, n, DOWN, UP, NULL), 0);
}

static void check(struct pool *p, size_t i, const char *reason, int times)
{
    while (times-- > 0)
        pool_checked(p, i, reason, 100);
}

/* A digit for each server: 1 is published. */
static void assert_published(const struct pool *p, const char *want)
{
    bool published[4];
    char text[5] = "";

    pool_publish(p, published);
    for (size_t i = 0; i < p->n; i++)
        strcat(text, published[i] ? "1" : "0");
    assert_string_equal(text, want);
}

static void test_down_and_up(void **state)
{
    struct pool p;

    (void)state;
    open_pool(&p, 3);
    assert_published(&p, "111");
    check(&p, 1, "lost", DOWN - 1);
    check(&p, 1, NULL, 1);
    check(&p, 1, "lost", DOWN - 1);
    assert_published(&p, "111");
    assert_true(pool_checked(&p, 1, "gone", 0));
    assert_published(&p, "101");
    assert_string_equal(p.v[1].reason, "gone");
    check(&p, 1, NULL, UP - 1);
    check(&p, 1, "once more", 1);
    check(&p, 1, NULL, UP - 1);
    assert_published(&p, "101");
    assert_true(pool_checked(&p, 1, NULL, 100));
    assert_published(&p, "111");
    for (size_t i = 0; i < 3; i++)
        check(&p, i, "all", DOWN);
    assert_published(&p, "111"); /* none is up: all */
    check(&p, 2, NULL, UP);
    assert_published(&p, "001");
    pool_release(&p);
}

static void weigh(struct pool *p, const int *weights, int rounds)
{
    while (rounds-- > 0) {
        for (size_t i = 0; i < p->n; i++)
            pool_checked(p, i, weights[i] ? NULL : "down", weights[i]);
        pool_weigh(p);
    }
}

static void test_overloaded(void **state)
{
    struct pool p;

    (void)state;
    open_pool(&p, 4);
    weigh(&p, (int[]){100, 20, 90, 80}, DOWN - 1);
    assert_published(&p, "1111");
    weigh(&p, (int[]){100, 20, 90, 80}, 1);
    assert_published(&p, "1011");
    weigh(&p, (int[]){100, 40, 90, 80}, 2 * UP); /* not half of the middle one */
    assert_published(&p, "1011");
    weigh(&p, (int[]){100, 50, 90, 80}, UP);
    assert_published(&p, "1111");
    weigh(&p, (int[]){10, 10, 10, 10}, 2 * UP); /* all alike: nobody rests */
    assert_published(&p, "1111");
    weigh(&p, (int[]){100, 2, 90, 3}, DOWN);
    assert_published(&p, "1010");
    /* Half of the pool at least: the better one of the two comes back, and both when need be. */
    weigh(&p, (int[]){0, 2, 90, 3}, DOWN);
    assert_published(&p, "0011");
    weigh(&p, (int[]){0, 2, 0, 3}, DOWN);
    assert_published(&p, "0101");
    pool_release(&p);
}

static void test_refused(void **state)
{
    char shorter[] = "192.0.2";
    char *twice[] = {addresses[0], addresses[0]}, *none[] = {addresses[0], shorter};
    struct pool p;
    struct err e;

    (void)state;
    assert_int_equal(pool_init(&p, twice, 2, 1, 1, &e), -EINVAL);
    pool_release(&p);
    assert_int_equal(pool_init(&p, none, 2, 1, 1, &e), -EINVAL);
    pool_release(&p);
}

static void test_update_text(void **state)
{
    const struct update u = {
        .name = "www.example.org", .ttl = 60, .server = "ns 53", .zone = "example.org"};
    const struct update c = {.name = "www.example.org", .command = "x"};
    const bool some[] = {true, false, true, false}, six[] = {false, false, false, true};
    struct buf b = BUF_INIT;
    struct pool p;

    (void)state;
    open_pool(&p, 4);
    update_text(&u, &p, some, &b);
    assert_string_equal(b.data, "server ns 53\nzone example.org\n"
                                "update delete www.example.org A\n"
                                "update add www.example.org 60 A 192.0.2.1\n"
                                "update add www.example.org 60 A 192.0.2.3\n"
                                "update delete www.example.org AAAA\nsend\n");
    buf_clear(&b);
    update_text(&c, &p, six, &b);
    assert_string_equal(b.data, "2001:db8::4");
    buf_clear(&b);
    pool_release(&p);
    open_pool(&p, 2); /* no IPv6: its records are somebody else's */
    update_text(&u, &p, some, &b);
    assert_null(strstr(b.data, "AAAA"));
    buf_release(&b);
    pool_release(&p);
}

static void test_names(void **state)
{
    static const char *const bad[] = {"", ".", "a..b", ".a", "a b", "a\nb", "a;b", "*.a", "a\"b"};
    char label[66];

    (void)state;
    assert_int_equal(update_check_name("--name", "www.example.org", NULL), 0);
    assert_int_equal(update_check_name("--name", "_x.example.org.", NULL), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(update_check_name("--name", bad[i], NULL), -EINVAL);
    memset(label, 'a', sizeof(label));
    label[64] = '\0';
    assert_int_equal(update_check_name("--name", label, NULL), -EINVAL);
    assert_int_equal(update_check_name("--name", label + 1, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_down_and_up), cmocka_unit_test(test_overloaded),
        cmocka_unit_test(test_refused),     cmocka_unit_test(test_update_text),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
