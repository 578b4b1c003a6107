/* SPDX-License-Identifier: MIT */
/* path: which paths are valid, their text form, patterns, and opening beneath a folder. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sync/common/file.h"
#include "sync/common/path.h"

static char *repeat(char c, size_t n)
{
    char *s = xmalloc(n + 1);

    memset(s, c, n);
    s[n] = '\0';
    return s;
}

static void test_check(void **state)
{
    static const char *const good[] = {"",      "a",        "a/b", "...", ".a",  "a..",
                                       "..a/b", "a b/\xff", "-",   "~",   "a\nb"};
    static const char *const bad[] = {"/",   "/a",   "a/",  "a//b", ".",     "..",
                                      "a/.", "a/..", "./a", "../a", "a/../b"};

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
        assert_int_equal(path_check(good[i]), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_int_equal(path_check(bad[i]), -EINVAL);
}

static void test_lengths(void **state)
{
    char *name = repeat('n', EEFS_NAME_MAX);
    char *longer = repeat('n', EEFS_NAME_MAX + 1);
    char *path = xmalloc(EEFS_PATH_MAX + 2);

    (void)state;
    assert_int_equal(path_check(name), 0);
    assert_int_equal(path_check_name(name), 0);
    assert_int_equal(path_check(longer), -ENAMETOOLONG);
    assert_int_equal(path_check_name(longer), -ENAMETOOLONG);

    for (size_t i = 0; i <= EEFS_PATH_MAX; i++)
        path[i] = i % 2 ? '/' : 'd';
    path[EEFS_PATH_MAX - 1] = 'd';
    path[EEFS_PATH_MAX] = '\0';
    assert_int_equal(path_check(path), 0);
    path[EEFS_PATH_MAX] = 'd';
    path[EEFS_PATH_MAX + 1] = '\0';
    assert_int_equal(path_check(path), -ENAMETOOLONG);
    free(name);
    free(longer);
    free(path);
}

static void test_name(void **state)
{
    (void)state;
    assert_int_equal(path_check_name("a"), 0);
    assert_int_equal(path_check_name(""), -EINVAL);
    assert_int_equal(path_check_name("a/b"), -EINVAL);
    assert_int_equal(path_check_name("."), -EINVAL);
    assert_int_equal(path_check_name(".."), -EINVAL);
}

static void test_under(void **state)
{
    (void)state;
    assert_true(path_is_under("a/b", ""));
    assert_true(path_is_under("", ""));
    assert_true(path_is_under("a", "a"));
    assert_true(path_is_under("a/b/c", "a/b"));
    assert_false(path_is_under("ab", "a"));
    assert_false(path_is_under("a", "a/b"));
    assert_false(path_is_under("sql/slave10", "sql/slave1"));
}

static void test_from_text(void **state)
{
    static const struct {
        const char *text, *path;
    } t[] = {
        {"uploads", "uploads"},
        {"/uploads", "uploads"},
        {"./uploads", "uploads"},
        {"uploads/", "uploads"},
        {"a//b/./c/", "a/b/c"},
        {"/", ""},
        {".", ""},
        {"././/", ""},
        {"..a/b..", "..a/b.."},
        {"...", "..."},
        {"a b", "a b"},
        {"", NULL},
        {"..", NULL},
        {"a/..", NULL},
        {"/../a", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(t) / sizeof(*t); i++) {
        char *path = NULL;
        int r = path_from_text(t[i].text, &path);
        if (r != (t[i].path ? 0 : -EINVAL) || (t[i].path && strcmp(path, t[i].path) != 0))
            fail_msg("'%s' gives %d '%s'", t[i].text, r, path ? path : "");
        free(path);
    }
}

static void test_parts(void **state)
{
    char *p;

    (void)state;
    assert_string_equal(path_base("a/b/c"), "c");
    assert_string_equal(path_base("c"), "c");
    assert_int_equal(path_parent_len("a/b"), 1);
    assert_int_equal(path_parent_len("a"), 0);
    p = path_parent("a/b/c");
    assert_string_equal(p, "a/b");
    free(p);
    p = path_join("", "x");
    assert_string_equal(p, "x");
    free(p);
    p = path_join("a/b", "x");
    assert_string_equal(p, "a/b/x");
    free(p);
}

static void test_encode(void **state)
{
    char all[256], *text, *back = NULL;

    (void)state;
    for (int i = 1, n = 0; i < 256; i++)
        if (i != '/')
            all[n++] = (char)i, all[n] = '\0';
    text = path_encoded(all);
    for (const char *p = text; *p; p++)
        assert_true(*p > 0x20 && *p < 0x7f && *p != '"' && *p != '\\');
    assert_int_equal(path_decode(text, &back), 0);
    assert_string_equal(back, all);
    free(text);
    free(back);

    text = path_encoded("a b/%/\xc3\xa4");
    assert_string_equal(text, "a%20b/%25/%C3%A4");
    free(text);
}

static void test_decode_refuses(void **state)
{
    static const char *const bad[] = {"%",      "%2",    "a%zz",   "%00",      "a%00b",
                                      "%2e%2e", "a/%2E", "%2fabs", "a%2f%2fb", "/a"};
    char *ret = (char *)1;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        assert_int_equal(path_decode(bad[i], &ret), -EINVAL);
        assert_ptr_equal(ret, (char *)1);
    }
}

static void test_matches(void **state)
{
    static const struct {
        const char *pattern, *path;
        bool match;
    } t[] = {
        {"*.tmp", "a.tmp", true},
        {"*.tmp", "x/y/a.tmp", true},
        {"*.tmp", "x.tmp/inside", true},
        {"*.tmp", "a.tmpl", false},
        {"cache", "a/cache/b", true},
        {"cache", "a/caches", false},
        {"cache/", "cache", true},
        {"uploads/raw", "uploads/raw", true},
        {"uploads/raw", "uploads/raw/x/y", true},
        {"uploads/raw", "uploads/rawer", false},
        {"uploads/raw", "a/uploads/raw", false},
        {"css/*", "css/a/b", true},
        {"css/*", "css", false},
        {"*", "", false},
        {"", "a", false},
        {"/", "a", false},
        {"[", "[", true},
        {"a?c", "abc", true},
        {"/cache", "cache/x", true},
        {"/cache", "a/cache", false},
        {"./cache/", "cache", true},
        {"/css/*", "css/a", true},
        {".git", "a/.git", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(t) / sizeof(*t); i++)
        if (path_matches(t[i].pattern, t[i].path) != t[i].match)
            fail_msg("pattern '%s', path '%s'", t[i].pattern, t[i].path);
}

static void test_matches_below(void **state)
{
    static const struct {
        const char *pattern, *dir;
        bool may;
    } t[] = {
        {"*.tmp", "css", false},
        {"cache", "css", false},
        {"css/cache", "css", true},
        {"/css/cache", "css", true},
        {"css/cache", "csss", false},
        {"css/cache", "cs", false},
        {"css/cache", "css/cache", false},
        {"a/b/c", "a", true},
        {"a/b/c", "a/b", true},
        {"a/b/c", "b", false},
        {"css/", "css", false},
        {"/css", "css", false},
        {"css/*", "css", true},
        {"css/*", "css/sub", true},
        {"c*/x", "css", true},
        {"*/cache", "css", true},
        {"*/cache", "a/b", true},
        {"x*/cache", "css", false},
        {"img/[ab]/t", "img", true},
        {"img/[ab]/t", "css", false},
        {"./css/cache", "css", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(t) / sizeof(*t); i++)
        if (path_matches_below(t[i].pattern, t[i].dir) != t[i].may)
            fail_msg("pattern '%s', folder '%s'", t[i].pattern, t[i].dir);
}

static void test_open_beneath(void **state)
{
    char dir[] = "/tmp/eefs-unit-XXXXXX";
    int root, fd;

    (void)state;
    assert_non_null(mkdtemp(dir));
    root = open(dir, O_RDONLY | O_DIRECTORY);
    assert_true(root >= 0);
    assert_int_equal(mkdirat(root, "d", 0755), 0);
    assert_int_equal(symlinkat("d", root, "link"), 0);
    assert_int_equal(symlinkat("/etc", root, "out"), 0);

    fd = path_open_beneath(root, "d/f", O_WRONLY | O_CREAT | O_EXCL, 0640);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    close(fd);
    fd = path_open_beneath(root, "", O_RDONLY | O_DIRECTORY, 0);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(path_open_beneath(root, "link/f", O_RDONLY, 0), -ELOOP);
    assert_int_equal(path_open_beneath(root, "link", O_RDONLY, 0), -ELOOP);
    assert_int_equal(path_open_beneath(root, "out/passwd", O_RDONLY, 0), -ELOOP);
    assert_int_equal(path_open_beneath(root, "../x", O_RDONLY, 0), -EXDEV);
    assert_int_equal(path_open_beneath(root, "/etc/passwd", O_RDONLY, 0), -EXDEV);
    assert_int_equal(path_open_beneath(root, "none", O_RDONLY, 0), -ENOENT);
    close(root);
    assert_int_equal(file_remove_tree(AT_FDCWD, dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check),          cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_name),           cmocka_unit_test(test_under),
        cmocka_unit_test(test_parts),          cmocka_unit_test(test_encode),
        cmocka_unit_test(test_decode_refuses), cmocka_unit_test(test_matches),
        cmocka_unit_test(test_from_text),      cmocka_unit_test(test_matches_below),
        cmocka_unit_test(test_open_beneath),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
