/* SPDX-License-Identifier: MIT */
/* A witness never holds for a file that was written to since. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "sqlimport/importer/witness.h"

#define SIZE 4096

struct file {
    char dir[32], path[64], other[64];
    int fd;
    struct witness w;
};

static int set_up(void **state)
{
    static struct file f;
    char page[SIZE];
    int fd;

    signal(SIGIO, SIG_IGN);
    memset(page, 'a', sizeof(page));
    snprintf(f.dir, sizeof(f.dir), "/tmp/eefs-witness.XXXXXX");
    assert_non_null(mkdtemp(f.dir));
    snprintf(f.path, sizeof(f.path), "%s/dump", f.dir);
    snprintf(f.other, sizeof(f.other), "%s/other", f.dir);
    fd = open(f.path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, page, sizeof(page)), SIZE);
    close(fd);
    f.fd = open(f.path, O_RDONLY | O_CLOEXEC);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct file *f = *state;

    close(f->fd);
    unlink(f->path);
    unlink(f->other);
    return rmdir(f->dir);
}

/* Where times tell (not on every filesystem that /tmp may be on). */
static void take_later(struct file *f)
{
    const struct timespec tick = {0, 20000000};

    nanosleep(&tick, NULL);
    witness_take(&f->w, f->fd);
    if (!f->w.speaks)
        skip();
    assert_true(witness_holds(&f->w, f->fd));
}

/* Other bytes, and the former times and size. */
static void write_secretly(const struct file *f, int fd)
{
    const struct timespec times[2] = {f->w.st.st_atim, f->w.st.st_mtim};

    assert_int_equal(pwrite(fd, "b", 1, 0), 1);
    assert_int_equal(futimens(fd, times), 0);
}

static void test_written(void **state)
{
    struct file *f = *state;
    int fd;

    take_later(f);
    fd = open(f->path, O_WRONLY | O_CLOEXEC);
    write_secretly(f, fd);
    close(fd);
    assert_false(witness_holds(&f->w, f->fd));
}

/* A write at each moment: never is it missed. */
static void test_young(void **state)
{
    struct file *f = *state;
    int fd = open(f->path, O_WRONLY | O_CLOEXEC);

    for (int i = 0; i < 1000; i++) {
        witness_take(&f->w, f->fd);
        assert_false(f->w.speaks); /* somebody could write */
        close(fd);
        witness_take(&f->w, f->fd);
        fd = open(f->path, O_WRONLY | O_CLOEXEC);
        if (f->w.speaks) {
            write_secretly(f, fd);
        } else {
            assert_int_equal(pwrite(fd, "c", 1, 0), 1);
        }
        assert_false(witness_holds(&f->w, f->fd));
        usleep((useconds_t)(i * 7));
    }
    close(fd);
}

/* Pages that were written by a mapping once are written again without a trace. */
static void test_mapped(void **state)
{
    struct file *f = *state;
    int fd = open(f->path, O_RDWR | O_CLOEXEC);
    char *page = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    const struct timespec tick = {0, 20000000};

    close(fd);
    assert_true(page != MAP_FAILED);
    page[0] = 'b';
    nanosleep(&tick, NULL);
    witness_take(&f->w, f->fd);
    assert_false(f->w.speaks);
    munmap(page, SIZE);
    take_later(f);
    fd = open(f->path, O_RDWR | O_CLOEXEC);
    page = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    assert_true(page != MAP_FAILED);
    page[0] = 'c';
    assert_false(witness_holds(&f->w, f->fd));
    munmap(page, SIZE);
}

static void test_renamed(void **state)
{
    struct file *f = *state;
    struct stat st;
    int fd;

    take_later(f);
    assert_int_equal(rename(f->path, f->other), 0);
    assert_int_equal(fstat(f->fd, &st), 0);
    assert_false(witness_holds(&f->w, f->fd));
    assert_true(witness_holds_renamed(&f->w, &st));
    fd = open(f->other, O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_int_equal(write(fd, "b", 1), 1);
    close(fd);
    assert_int_equal(fstat(f->fd, &st), 0);
    assert_false(witness_holds_renamed(&f->w, &st));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_written, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_young, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_mapped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_renamed, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
