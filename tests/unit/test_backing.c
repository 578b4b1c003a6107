/* SPDX-License-Identifier: MIT */
/* backing: which files stay open after their use. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <unistd.h>

#include "fs/file/backing.h"

#define SLOTS 5

static struct file *open_null(void)
{
    return file_new(open("/dev/null", O_RDONLY));
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static void test_least_recently_used(void **state)
{
    struct idle_files l = {.max = 3};
    struct file *slot[SLOTS] = {NULL}, *f;
    int fd[SLOTS];

    (void)state;
    for (int i = 0; i < 3; i++) {
        f = open_null();
        fd[i] = f->fd;
        idle_put_locked(&l, &slot[i], f);
    }
    f = idle_take_locked(&l, &slot[0]); /* used again: 1 is the oldest now */
    assert_int_equal(f->fd, fd[0]);
    assert_null(slot[0]);
    assert_null(idle_take_locked(&l, &slot[0]));
    idle_put_locked(&l, &slot[0], f);
    f = open_null();
    fd[3] = f->fd;
    idle_put_locked(&l, &slot[3], f);
    assert_null(slot[1]);
    assert_false(is_open(fd[1]));
    assert_true(slot[0] && slot[2] && slot[3]);
    assert_int_equal(l.n, 3);
    idle_drop_locked(&l, &slot[3]);
    assert_false(is_open(fd[3]));
    idle_drop_locked(&l, &slot[3]);
    idle_trim_locked(&l, 1);
    assert_null(slot[2]);
    assert_true(slot[0] && is_open(fd[0]));
    idle_trim_locked(&l, 0);
    assert_true(!slot[0] && !l.newest && !l.oldest && l.n == 0);
}

/* Who reads from it keeps it open. */
static void test_in_use(void **state)
{
    struct idle_files l = {.max = 1};
    struct file *slot[2] = {NULL}, *f = open_null();
    int fd = f->fd;

    (void)state;
    file_ref_locked(f);
    idle_put_locked(&l, &slot[0], f);
    idle_put_locked(&l, &slot[1], open_null());
    assert_null(slot[0]);
    assert_true(is_open(fd));
    file_unref_locked(f);
    assert_false(is_open(fd));
    idle_drop_locked(&l, &slot[1]);
}

static void test_none_may_stay(void **state)
{
    struct idle_files l = {.max = 0};
    struct file *slot = NULL, *f = open_null();
    int fd = f->fd;

    (void)state;
    idle_put_locked(&l, &slot, f);
    assert_null(slot);
    assert_false(is_open(fd));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_least_recently_used),
        cmocka_unit_test(test_in_use),
        cmocka_unit_test(test_none_may_stay),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
