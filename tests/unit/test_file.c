/* SPDX-License-Identifier: MIT */
/* file: reads, writes, copies and replacements, whole or not at all. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sync/common/file.h"

static char dir[] = "/tmp/eefs-unit-XXXXXX";
static int dfd;

static int setup(void **state)
{
    (void)state;
    if (!mkdtemp(dir))
        return -1;
    dfd = open(dir, O_RDONLY | O_DIRECTORY);
    return dfd < 0 ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    close(dfd);
    return file_remove_tree(AT_FDCWD, dir);
}

static int count_entries(void)
{
    char cmd[128];
    FILE *p;
    int n = -1;

    snprintf(cmd, sizeof(cmd), "ls -A %s | wc -l", dir);
    p = popen(cmd, "r");
    if (fscanf(p, "%d", &n) != 1)
        n = -1;
    pclose(p);
    return n;
}

static void test_replace(void **state)
{
    struct buf b = BUF_INIT;
    struct stat st;
    mode_t old = umask(077);
    int before = count_entries();

    (void)state;
    assert_int_equal(file_replace(dfd, "f", "one", 3, 0644, false), 0);
    umask(old);
    assert_int_equal(file_replace(dfd, "f", "two2", 4, 0640, true), 0);
    assert_int_equal(file_slurp(dfd, "f", 4, &b), 0);
    assert_string_equal(b.data, "two2");
    assert_int_equal(fstatat(dfd, "f", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(count_entries(), before + 1); /* no temporary file stays */
    assert_int_equal(file_replace(dfd, "none/f", "x", 1, 0644, false), -ENOENT);
    buf_release(&b);
}

static void test_slurp(void **state)
{
    struct buf b = BUF_INIT;

    (void)state;
    assert_int_equal(file_replace(dfd, "s", "12345", 5, 0644, false), 0);
    buf_puts(&b, "<");
    assert_int_equal(file_slurp(dfd, "s", 5, &b), 0);
    assert_string_equal(b.data, "<12345");
    assert_int_equal(file_slurp(dfd, "s", 4, &b), -EFBIG);
    assert_int_equal(file_slurp(dfd, "none", 4, &b), -ENOENT);
    assert_int_equal(file_slurp(dfd, ".", 4, &b), -EISDIR);
    buf_release(&b);
}

static void test_pread(void **state)
{
    char out[8] = "";
    int fd;

    (void)state;
    assert_int_equal(file_replace(dfd, "p", "abcdef", 6, 0644, false), 0);
    fd = openat(dfd, "p", O_RDWR);
    assert_int_equal(file_pread(fd, out, 3, 2), 3);
    assert_memory_equal(out, "cde", 3);
    assert_int_equal(file_pread(fd, out, 8, 4), 2);
    assert_int_equal(file_pread(fd, out, 8, 100), 0);
    assert_int_equal(file_pwrite(fd, "XY", 2, 8), 0);
    assert_int_equal(file_pread(fd, out, 8, 5), 5);
    assert_memory_equal(out, "f\0\0XY", 5);
    close(fd);
    assert_int_equal(file_pread(fd, out, 1, 0), -EBADF);
    assert_int_equal(file_write(fd, "x", 1), -EBADF);
}

static void test_copy(void **state)
{
    size_t len = 3 * 1024 * 1024 + 17;
    char *data = xmalloc(len), *back = xmalloc(len);
    int from = openat(dfd, "from", O_RDWR | O_CREAT, 0600);
    int to = openat(dfd, "to", O_RDWR | O_CREAT, 0600);

    (void)state;
    file_random(data, len);
    assert_int_equal(file_write(from, data, len), 0); /* the offset stands at the end */
    assert_int_equal(file_copy(from, to), 0);
    assert_int_equal(file_pread(to, back, len, 0), len);
    assert_memory_equal(back, data, len);
    close(from);
    close(to);
    /* /proc files say that their size is 0 and cannot be reflinked. */
    from = open("/proc/self/status", O_RDONLY);
    to = openat(dfd, "status", O_RDWR | O_CREAT, 0600);
    assert_int_equal(file_copy(from, to), 0);
    assert_int_equal(file_pread(to, back, 5, 0), 5);
    assert_memory_equal(back, "Name:", 5);
    close(from);
    close(to);
    free(data);
    free(back);
}

static void test_trees(void **state)
{
    char path[256];

    (void)state;
    snprintf(path, sizeof(path), "%s/t/a/b/c", dir);
    assert_int_equal(file_mkdirs(path, 0755), 0);
    assert_int_equal(file_mkdirs(path, 0755), 0);
    assert_int_equal(file_replace(dfd, "keep", "k", 1, 0644, false), 0);
    assert_int_equal(file_replace(dfd, "t/a/b/f", "x", 1, 0644, false), 0);
    assert_int_equal(symlinkat("../../keep", dfd, "t/a/link"), 0);
    assert_int_equal(symlinkat("/etc", dfd, "t/a/etc"), 0);
    snprintf(path, sizeof(path), "%s/keep/x", dir);
    assert_int_equal(file_mkdirs(path, 0755), -ENOTDIR);
    assert_int_equal(file_remove_tree(dfd, "t"), 0);
    assert_int_equal(faccessat(dfd, "t", F_OK, 0), -1);
    assert_int_equal(faccessat(dfd, "keep", F_OK, 0), 0);
    assert_int_equal(access("/etc/passwd", F_OK), 0);
    assert_int_equal(file_remove_tree(dfd, "t"), 0); /* gone already is fine */
}

static void test_secret(void **state)
{
    struct err e = {0};
    char path[256], *secret = NULL;

    (void)state;
    snprintf(path, sizeof(path), "%s/token", dir);
    assert_int_equal(file_replace(dfd, "token", "se cret\r\n\n", 10, 0600, false), 0);
    assert_int_equal(file_read_secret(path, &secret, &e), 0);
    assert_string_equal(secret, "se cret");
    free(secret);
    secret = NULL;

    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(file_read_secret(path, &secret, &e), -EPERM);
    assert_non_null(strstr(e.text, "chmod 600"));
    assert_null(strstr(e.text, "cret"));
    assert_int_equal(chmod(path, 0604), 0);
    assert_int_equal(file_read_secret(path, &secret, &e), -EPERM);

    assert_int_equal(file_replace(dfd, "token", " \n", 2, 0600, false), 0);
    assert_int_equal(file_read_secret(path, &secret, &e), -EINVAL);
    assert_int_equal(file_replace(dfd, "token", "a\0b", 3, 0600, false), 0);
    assert_int_equal(file_read_secret(path, &secret, &e), -EINVAL);
    assert_int_equal(file_read_secret(dir, &secret, &e), -EINVAL);
    snprintf(path, sizeof(path), "%s/none", dir);
    assert_int_equal(file_read_secret(path, &secret, &e), -ENOENT);
    assert_non_null(strstr(e.text, path));
    assert_null(secret);
}

/* Whatever the pieces, the bytes are the same; zeros take no blocks. */
static void test_sparse(void **state)
{
    static char data[300000], back[300000];
    size_t at = 0, n;
    struct stat st, copy;
    int fd = openat(dfd, "sparse", O_RDWR | O_CREAT | O_TRUNC, 0600);
    int to = openat(dfd, "copy", O_RDWR | O_CREAT | O_TRUNC, 0600);

    (void)state;
    memset(data + 100000, 'x', 5000);
    data[200001] = 1;
    srandom(1);
    while (at < sizeof(data)) {
        n = (size_t)random() % 20000;
        n = n > sizeof(data) - at ? sizeof(data) - at : n;
        assert_int_equal(file_pwrite_sparse(fd, data + at, n, (off_t)at), 0);
        at += n;
    }
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, sizeof(data));
    assert_true(st.st_blocks * 512 < 50000);
    assert_int_equal(file_pread(fd, back, sizeof(back), 0), sizeof(back));
    assert_memory_equal(data, back, sizeof(data));
    assert_int_equal(file_copy(fd, to), 0);
    assert_int_equal(fstat(to, &copy), 0);
    assert_int_equal(copy.st_size, sizeof(data));
    assert_true(copy.st_blocks * 512 < 50000);
    assert_int_equal(file_pread(to, back, sizeof(back), 0), sizeof(back));
    assert_memory_equal(data, back, sizeof(data));
    assert_int_equal(file_pwrite_sparse(to, data, 0, 0), 0);
    close(fd);
    close(to);
}

/* All of ext4's times come back as they were; beyond it the nearest one. */
static void test_times(void **state)
{
    static const struct timespec kept[] = {{0, 0},
                                           {-1, 999999999},
                                           {-1, 0},
                                           {1, 1},
                                           {-2147483648, 0},
                                           {-141000000, 123456789},
                                           {9223372036, 854775807},
                                           {9223372036, 854775808},
                                           {10413792000, 5},
                                           {15032385535, 999999999}};
    struct timespec far = {FILE_TIME_MAX, 0}, early = {FILE_TIME_MIN - 1, 7}, got;

    (void)state;
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        assert_true(file_time_fits(&kept[i]));
        got = file_timespec(file_time_ns(&kept[i]));
        assert_int_equal(got.tv_sec, kept[i].tv_sec);
        assert_int_equal(got.tv_nsec, kept[i].tv_nsec);
    }
    assert_false(file_time_fits(&far));
    assert_false(file_time_fits(&early));
    assert_int_equal(file_timespec(file_time_ns(&far)).tv_sec, FILE_TIME_MAX - 1);
    assert_int_equal(file_timespec(file_time_ns(&early)).tv_sec, FILE_TIME_MIN);
    assert_int_equal(file_timespec(1700000000123456789).tv_sec, 1700000000);
    assert_true(file_time_near(5, 8, 4));
    assert_true(file_time_near(8, 5, 4));
    assert_false(file_time_near(8, 5, 3));
    assert_false(file_time_near(INT64_MAX - 2, INT64_MIN + 2, 3));
    assert_true(file_time_near(INT64_MAX, INT64_MIN, 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replace), cmocka_unit_test(test_slurp),
        cmocka_unit_test(test_pread),   cmocka_unit_test(test_copy),
        cmocka_unit_test(test_trees),   cmocka_unit_test(test_secret),
        cmocka_unit_test(test_times),   cmocka_unit_test(test_sparse),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
