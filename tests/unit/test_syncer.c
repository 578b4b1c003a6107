/* SPDX-License-Identifier: MIT */
/* syncer: each file of a run is synced, and one that cannot be is told. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "sync/common/syncer.h"

static void test_many(void **state)
{
    char name[] = "/tmp/eefs-test-syncer-XXXXXX";
    int fds[40], file = mkstemp(name);
    struct syncer *s = NULL;

    (void)state;
    assert_int_not_equal(file, -1);
    unlink(name);
    for (size_t i = 0; i < 40; i++)
        fds[i] = file;
    assert_int_equal(syncer_start(&s), 0);
    assert_int_equal(syncer_run(s, fds, 0), 0);
    assert_int_equal(syncer_run(s, fds, 1), 0);
    for (int i = 0; i < 50; i++)
        assert_int_equal(syncer_run(s, fds, 40), 0);
    syncer_free(s);
    close(file);
}

static void test_failure(void **state)
{
    int ends[2], fds[9];
    struct syncer *s = NULL;

    (void)state;
    assert_int_equal(pipe(ends), 0);
    for (size_t i = 0; i < 9; i++)
        fds[i] = open("/", O_RDONLY | O_DIRECTORY);
    close(fds[4]);
    fds[4] = dup(ends[0]); /* fsync(2) of a pipe: EINVAL */
    assert_int_equal(syncer_start(&s), 0);
    assert_int_equal(syncer_run(s, fds, 9), -EINVAL);
    assert_int_equal(syncer_run(s, fds, 4), 0); /* the next run begins anew */
    assert_int_equal(syncer_run(s, &fds[4], 1), -EINVAL);
    syncer_free(s);
    syncer_free(NULL);
    for (size_t i = 0; i < 9; i++)
        close(fds[i]);
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_failure),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
