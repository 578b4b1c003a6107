/* SPDX-License-Identifier: MIT */
/* hash: known digests, the text form, streams and files. */
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
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/file.h"
#include "sync/common/hash.h"

/* FIPS 180-4 examples. */
#define OF_EMPTY "s2-e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define OF_ABC   "s2-ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static void test_known(void **state)
{
    char text[HASH_TEXT_CAP];
    struct hash h;

    (void)state;
    hash_bytes("", 0, &h);
    assert_string_equal(hash_text(&h, text), OF_EMPTY);
    assert_false(hash_is_none(&h));
    hash_bytes("abc", 3, &h);
    assert_string_equal(hash_text(&h, text), OF_ABC);
    assert_int_equal(strlen(text), HASH_TEXT_LEN);
}

static void test_parse(void **state)
{
    char text[HASH_TEXT_CAP + 1];
    struct hash h, g;

    (void)state;
    hash_bytes("abc", 3, &g);
    assert_int_equal(hash_parse(OF_ABC, &h), 0);
    assert_true(hash_eq(&h, &g));
    hash_bytes("", 0, &g);
    assert_false(hash_eq(&h, &g));

    assert_int_equal(hash_parse("", &h), -EINVAL);
    assert_int_equal(hash_parse("s2-", &h), -EINVAL);
    assert_int_equal(hash_parse(OF_ABC "0", &h), -EINVAL);
    strcpy(text, OF_ABC);
    text[HASH_TEXT_LEN - 1] = '\0';
    assert_int_equal(hash_parse(text, &h), -EINVAL);
    strcpy(text, OF_ABC);
    text[1] = '3';
    assert_int_equal(hash_parse(text, &h), -EINVAL);
    strcpy(text, OF_ABC);
    text[10] = 'F'; /* lower case only: one content has one name */
    assert_int_equal(hash_parse(text, &h), -EINVAL);
    strcpy(text, OF_ABC);
    text[10] = 'g';
    assert_int_equal(hash_parse(text, &h), -EINVAL);
}

static void test_none(void **state)
{
    struct hash h = {{0}};

    (void)state;
    assert_true(hash_is_none(&h));
    h.b[HASH_BYTES - 1] = 1;
    assert_false(hash_is_none(&h));
}

static void test_stream(void **state)
{
    struct hash_stream *s = hash_stream_new();
    struct hash whole, parts;

    (void)state;
    hash_bytes("abc", 3, &whole);
    for (int round = 0; round < 2; round++) { /* ready for a new stream after the end */
        hash_stream_add(s, "a", 1);
        hash_stream_add(s, "", 0);
        hash_stream_add(s, "bc", 2);
        hash_stream_end(s, &parts);
        assert_true(hash_eq(&whole, &parts));
    }
    hash_stream_free(s);
    hash_stream_free(NULL);
}

static void test_fd(void **state)
{
    size_t len = 2500000;
    char *data = xmalloc(len);
    FILE *f = tmpfile();
    struct hash want, got;
    off_t size = -1;

    (void)state;
    file_random(data, len);
    assert_int_equal(file_write(fileno(f), data, len), 0);
    hash_bytes(data, len, &want);
    assert_int_equal(lseek(fileno(f), 7, SEEK_SET), 7);
    assert_int_equal(hash_fd(fileno(f), &got, &size), 0);
    assert_true(hash_eq(&want, &got));
    assert_int_equal(size, len);
    assert_int_equal(lseek(fileno(f), 0, SEEK_CUR), 7);
    assert_int_equal(hash_fd(-1, &got, NULL), -EBADF);
    fclose(f);
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known),  cmocka_unit_test(test_parse), cmocka_unit_test(test_none),
        cmocka_unit_test(test_stream), cmocka_unit_test(test_fd),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
