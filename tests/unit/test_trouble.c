/* SPDX-License-Identifier: MIT */
/* trouble: what counts, what is a fault, and until when. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "sync/common/file.h"
#include "sync/common/path.h"
#include "sync/common/trouble.h"

static void test_nothing(void **state)
{
    json_t *list = trouble_json();
    char text[100];
    int code;

    (void)state;
    assert_int_equal(json_array_size(list), 0);
    json_decref(list);
    errno = 5;
    trouble_note(ENOENT, "x");
    assert_int_equal(trouble_at(-EEXIST, AT_FDCWD, "x"), -EEXIST);
    assert_int_equal(trouble_at(7, AT_FDCWD, "x"), 7);
    assert_int_equal(errno, 5);
    assert_false(trouble_recent(60000, &code, text, sizeof(text)));
}

/* What library functions meet has its place, however it was named. */
static void test_places(void **state)
{
    struct rlimit old, few;
    char text[300];
    int code = 0, dir, fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

    (void)state;
    assert_int_equal(file_write(fd, "x", 1), -ENOSPC);
    assert_int_equal(file_pwrite(fd, "x", 1, 0), -ENOSPC);
    assert_int_equal(trouble_count(ENOSPC, NULL), 2);
    assert_false(
        trouble_recent(60000, &code, text, sizeof(text))); /* a full disk is judged elsewhere */
    close(fd);
    dir = open("/dev", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    few = old;
    few.rlim_cur = (rlim_t)dir + 1;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    fd = path_open_beneath(dir, "null", O_RDONLY, 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(fd, -EMFILE);
    assert_true(trouble_recent(60000, &code, text, sizeof(text)));
    assert_int_equal(code, EMFILE);
    assert_non_null(strstr(text, "EMFILE"));
    assert_non_null(strstr(text, "/dev/null"));
    close(dir);
}

/* The worst first; a damaged database stays until it is settled. */
static void test_order(void **state)
{
    char text[300];
    int code = 0;
    int64_t ago = -1;

    (void)state;
    trouble_note(EIO, "a\nb");
    assert_true(trouble_recent(60000, &code, text, sizeof(text)));
    assert_int_equal(code, EIO);
    assert_non_null(strstr(text, "a\\x0ab"));
    trouble_note(-EUCLEAN, "x.db");
    assert_int_equal(trouble_count(EUCLEAN, &ago), 1);
    assert_true(ago >= 0 && ago < 60000);
    usleep(2000);
    assert_true(trouble_recent(0, &code, text, sizeof(text)));
    assert_int_equal(code, EUCLEAN);
    trouble_settle(EUCLEAN);
    assert_false(trouble_recent(0, &code, text, sizeof(text)));
    assert_int_equal(trouble_at(-EUCLEAN, AT_FDCWD, "/somewhere"), -EUCLEAN); /* a filesystem's */
    assert_int_equal(trouble_count(EUCLEAN, NULL), 1);
    assert_int_equal(trouble_count(EIO, NULL), 2);
    trouble_note(EUCLEAN, "x.db");
    assert_true(trouble_recent(0, &code, text, sizeof(text)));
}

static bool answer(void *arg, const char *path)
{
    assert_string_equal(path, "/disk/file");
    return *(const bool *)arg;
}

static bool meets_it_again(void *arg, const char *path)
{
    (void)arg;
    trouble_note(EIO, path);
    return true;
}

/* The next try, as soon as it is due. */
static void try_again(trouble_try_fn *fn, bool well)
{
    int tries = 0;

    while (!trouble_look_again(fn, &well) && tries++ < 200)
        usleep(50000);
    assert_true(tries < 200);
}

/* EIO at a place is a fault until that is well, however long ago it was met. */
static void test_tried_again(void **state)
{
    char text[300];
    int code = 0;

    (void)state;
    trouble_settle(EIO);
    trouble_settle(EUCLEAN);
    trouble_note(EIO, "/disk/file");
    assert_false(trouble_look_again(answer, NULL)); /* not at once */
    try_again(answer, false);
    assert_true(trouble_recent(0, &code, text, sizeof(text)));
    assert_int_equal(code, EIO);
    assert_non_null(strstr(text, "/disk/file"));
    try_again(meets_it_again, true);
    assert_true(trouble_recent(0, &code, text, sizeof(text)));
    try_again(answer, true);
    trouble_settle(EMFILE);
    assert_false(trouble_recent(60000, &code, text, sizeof(text)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_tried_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
