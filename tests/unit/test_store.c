/* SPDX-License-Identifier: MIT */
/* store: contents, drafts and what makes room. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "sync/common/file.h"
#include "sync/mirror/store/leftovers.h"

struct fix {
    char dir[64];
    struct store *s;
    struct hash pin;
    int kept;
};

static bool pinned(void *arg, const struct hash *h)
{
    struct fix *f = arg;

    return hash_eq(&f->pin, h);
}

static void reopen(struct fix *f, int64_t limit)
{
    store_free(f->s);
    assert_int_equal(store_new(f->dir, limit, pinned, f, &f->s, NULL), 0);
    f->kept = store_adopt_leftovers(f->s);
}

static int setup(void **state)
{
    struct fix *f = calloc(1, sizeof(*f));

    strcpy(f->dir, "/tmp/eefs-store-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    reopen(f, 1 << 20);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fix *f = *state;

    store_free(f->s);
    file_remove_tree(AT_FDCWD, f->dir);
    free(f);
    return 0;
}

static struct hash add(struct fix *f, const void *data, size_t len)
{
    struct hash h;
    char *name = NULL;
    int fd = store_stage(f->s, &name);

    assert_true(fd >= 0);
    assert_int_equal(file_write(fd, data, len), 0);
    close(fd);
    hash_bytes(data, len, &h);
    assert_int_equal(store_publish(f->s, name, &h, true), 0);
    free(name);
    return h;
}

static char *object(struct fix *f, const struct hash *h)
{
    char text[HASH_TEXT_CAP], *path = malloc(256);

    hash_text(h, text);
    snprintf(path, 256, "%s/objects/%.2s/%s", f->dir, text + 3, text + 5);
    return path;
}

static void test_publish_and_read(void **state)
{
    struct fix *f = *state;
    struct hash h = add(f, "hello", 5);
    char got[8] = "";
    int64_t used, limit, fs_free;
    int fd = store_open(f->s, &h, 5, 0);

    assert_true(fd >= 0);
    assert_int_equal(file_pread(fd, got, 8, 0), 5);
    assert_string_equal(got, "hello");
    close(fd);
    assert_true(store_has(f->s, &h, 5));
    assert_false(store_has(f->s, &h, 6));
    add(f, "hello", 5); /* again: counted once */
    store_usage(f->s, &used, &limit, &fs_free);
    assert_int_equal(used, 5);
}

static void test_verified_once_per_process(void **state)
{
    struct fix *f = *state;
    struct hash h = add(f, "hello", 5);
    int fd;

    reopen(f, 1 << 20);
    assert_int_equal(store_open(f->s, &h, 5, 4), -EAGAIN);
    assert_int_equal(store_verify(f->s, &h, 5), 0);
    fd = store_open(f->s, &h, 5, 0);
    assert_true(fd >= 0);
    close(fd);
}

/* What was kept open is not as good as a new open() any more once the object changed or went. */
static void test_kept_open(void **state)
{
    struct fix *f = *state;
    struct hash h = add(f, "hello", 5), h2 = add(f, "other", 5);
    char *path = object(f, &h), *path2 = object(f, &h2);
    struct store_stamp stamp, stamp2, again;
    int fd, fd2, other;

    reopen(f, 1 << 20);
    fd = store_open_stamped(f->s, &h, 5, INT64_MAX, &stamp);
    fd2 = store_open_stamped(f->s, &h2, 5, INT64_MAX, &stamp2);
    assert_true(fd >= 0 && fd2 >= 0);
    assert_true(store_unchanged(&stamp, fd) && store_unchanged(&stamp2, fd2));
    assert_false(store_unchanged(&stamp, fd2));
    other = store_open_stamped(f->s, &h, 5, 0, &again);
    assert_true(store_unchanged(&again, fd) && store_unchanged(&stamp, other));
    close(other);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(truncate(path, 3), 0);
    assert_false(store_unchanged(&stamp, fd));
    assert_int_equal(unlink(path2), 0);
    assert_false(store_unchanged(&stamp2, fd2));
    close(fd);
    close(fd2);
    free(path);
    free(path2);
}

static void test_corrupt_and_short(void **state)
{
    struct fix *f = *state;
    struct hash h = add(f, "hello", 5), h2 = add(f, "other", 5);
    char *path = object(f, &h), *path2 = object(f, &h2);
    int fd;

    assert_int_equal(chmod(path, 0600), 0);
    fd = open(path, O_WRONLY);
    assert_int_equal(file_write(fd, "jello", 5), 0);
    close(fd);
    assert_int_equal(store_open(f->s, &h, 5, INT64_MAX), -ENOENT);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(truncate(path2, 3), 0);
    assert_int_equal(store_open(f->s, &h2, 5, INT64_MAX), -ENOENT);
    assert_false(store_has(f->s, &h2, 5));
    free(path);
    free(path2);
}

static void test_eviction(void **state)
{
    struct fix *f = *state;
    char data[1000];
    struct hash h[10];
    int64_t used, limit, fs_free;

    for (int i = 0; i < 10; i++) {
        struct timespec t[2] = {{1000 + i, 0}, {1000, 0}};
        char *path;
        memset(data, i, sizeof(data));
        h[i] = add(f, data, sizeof(data));
        path = object(f, &h[i]);
        assert_int_equal(utimensat(AT_FDCWD, path, t, 0), 0);
        free(path);
    }
    reopen(f, 5000);
    f->pin = h[0];
    store_evict(f->s);
    store_usage(f->s, &used, &limit, &fs_free);
    assert_int_equal(used, 4000);
    assert_true(store_has(f->s, &h[0], 1000)); /* the oldest, but pinned */
    assert_false(store_has(f->s, &h[1], 1000));
    assert_true(store_has(f->s, &h[9], 1000));
    memset(data, 77, sizeof(data));
    hash_bytes(data, sizeof(data), &h[1]);
    store_hold(f->s, &h[1]); /* published, and no operation names it yet */
    add(f, data, sizeof(data));
    store_make_room(f->s, INT64_MAX); /* in vain, so nothing goes */
    assert_true(store_has(f->s, &h[9], 1000));
    store_make_room(f->s, 3 * 4096); /* h[7] to h[9] */
    assert_true(store_has(f->s, &h[0], 1000));
    assert_true(store_has(f->s, &h[1], 1000));
    assert_false(store_has(f->s, &h[9], 1000));
    store_let_go(f->s, &h[1]);
    store_make_room(f->s, 4096);
    assert_true(store_has(f->s, &h[0], 1000));
    assert_false(store_has(f->s, &h[1], 1000));
}

/* The race of evict.c: written and logged while the pin is asked for. */
static bool write_meanwhile(void *arg, const struct hash *h)
{
    struct fix *f = arg;

    store_hold(f->s, h);
    store_let_go(f->s, h);
    return false;
}

static void test_held_meanwhile(void **state)
{
    struct fix *f = *state;
    struct hash h = add(f, "hello", 5);

    store_free(f->s);
    assert_int_equal(store_new(f->dir, 1 << 20, write_meanwhile, f, &f->s, NULL), 0);
    store_make_room(f->s, 4096);
    assert_true(store_has(f->s, &h, 5));
}

static void test_leftovers(void **state)
{
    struct fix *f = *state;
    char *name = NULL, path[256];
    int fd = store_stage(f->s, &name);

    assert_true(fd >= 0);
    close(fd);
    snprintf(path, sizeof(path), "%s/staging/%s", f->dir, name);
    assert_int_equal(access(path, F_OK), 0);
    reopen(f, 1 << 20);
    assert_int_equal(access(path, F_OK), -1);
    free(name);
}

/* What was closed and not logged is an object afterwards, under either name. */
static void test_kept(void **state)
{
    struct fix *f = *state;
    struct hash sealed = add(f, "sealed", 6), staged;
    char *name = NULL, *second = NULL, path[256];
    int fd = store_stage(f->s, &name);

    assert_true(fd >= 0);
    assert_int_equal(file_write(fd, "staged", 6), 0);
    close(fd);
    hash_bytes("staged", 6, &staged);
    assert_int_equal(store_keep(f->s, &name), 0);
    assert_int_equal(store_keep_object(f->s, &sealed, &second), 0);
    reopen(f, 1 << 20);
    assert_int_equal(f->kept, 2);
    assert_true(store_has(f->s, &staged, 6));
    assert_true(store_has(f->s, &sealed, 6));
    snprintf(path, sizeof(path), "%s/staging/%s", f->dir, second);
    assert_int_equal(access(path, F_OK), -1);
    reopen(f, 1 << 20);
    assert_int_equal(f->kept, 0);
    free(name);
    free(second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_publish_and_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_verified_once_per_process, setup, teardown),
        cmocka_unit_test_setup_teardown(test_kept_open, setup, teardown),
        cmocka_unit_test_setup_teardown(test_corrupt_and_short, setup, teardown),
        cmocka_unit_test_setup_teardown(test_eviction, setup, teardown),
        cmocka_unit_test_setup_teardown(test_held_meanwhile, setup, teardown),
        cmocka_unit_test_setup_teardown(test_leftovers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_kept, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
