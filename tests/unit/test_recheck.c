/* SPDX-License-Identifier: MIT */
/* recheck: tries of a disk that is well find nothing and leave nothing; the thread ends a fault. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/file.h"
#include "sync/common/path.h"
#include "sync/common/recheck.h"

static char top[] = "/tmp/eefs-test-recheck-XXXXXX";

static char *at(const char *name)
{
    static char *paths[8];
    static unsigned n;
    char **p = &paths[n++ % 8];

    free(*p);
    return *p = path_join(top, name);
}

static int setup(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(top));
    assert_int_equal(file_replace(AT_FDCWD, at("file"), "text", 4, 0600, false), 0);
    assert_int_equal(file_replace(AT_FDCWD, at("file-wal"), "text", 4, 0600, false), 0);
    assert_int_equal(symlink("nowhere", at("link")), 0);
    assert_int_equal(mkfifo(at("fifo"), 0600), 0);
    assert_int_equal(mkdir(at("folder"), 0700), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return file_remove_tree(AT_FDCWD, top);
}

/* Every kind of file; nothing waits for somebody at the other end. */
static void test_read(void **state)
{
    static const char *const names[] = {"file", "link", "fifo", "folder", "none", "file/below"};

    (void)state;
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(recheck_read(at(names[i])), 0);
    assert_int_equal(recheck_read("/dev/zero"), 0);
    assert_int_equal(recheck_read("/proc/self/mem"), -EIO); /* nothing is mapped at 0 */
    assert_int_equal(trouble_count(EIO, NULL), 0);          /* a try is not in the ledger */
}

static void test_write(void **state)
{
    (void)state;
    assert_int_equal(recheck_write(at("folder")), 0);
    assert_int_equal(rmdir(at("folder")), 0); /* it is empty */
    assert_int_equal(recheck_write(at("folder")), 0);
    assert_int_equal(mkdir(at("folder"), 0700), 0);
    assert_int_equal(recheck_write_beside(at("folder")), 0);
    assert_int_equal(recheck_write_beside(at("folder/none")), 0);
    assert_int_equal(recheck_write_beside(at("file")), 0);
    assert_int_equal(rmdir(at("folder")), 0);
    assert_int_equal(mkdir(at("folder"), 0700), 0);
}

static void test_databases(void **state)
{
    (void)state;
    assert_true(recheck_is_database(at("file"), at("file")));
    assert_true(recheck_is_database(at("file-wal"), at("file")));
    assert_true(recheck_is_database(at("folder/../file"), at("file")));
    assert_false(recheck_is_database(at("file"), at("file-wal")));
    assert_false(recheck_is_database(at("none"), at("file")));
}

struct tries {
    _Atomic int n;
};

static bool try_it(void *arg, const char *path)
{
    struct tries *tries = arg;

    return strcmp(path, "/disk/file") == 0 && ++tries->n >= 2;
}

static void test_thread(void **state)
{
    int64_t end = clock_mono_ms() + 30000;
    struct recheck *r = NULL;
    struct tries tries = {0};
    char text[300];
    int code = 0;

    (void)state;
    assert_int_equal(recheck_start(try_it, &tries, &r), 0);
    trouble_note(EIO, "/disk/file");
    assert_true(trouble_recent(0, &code, text, sizeof(text)));
    while (trouble_recent(0, &code, text, sizeof(text))) {
        assert_true(clock_mono_ms() < end);
        usleep(5000);
    }
    assert_int_equal(tries.n, 2);
    recheck_stop(r);
    recheck_stop(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_write),
        cmocka_unit_test(test_databases),
        cmocka_unit_test(test_thread),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
