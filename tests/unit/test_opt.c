/* SPDX-License-Identifier: MIT */
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
#include "sync/common/opt.h"

/* Strings that opt makes live until the process ends, by contract. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

static struct {
    bool verbose;
    char *token_file;
    struct strlist read;
    int64_t count, cache, grace, mask;
    char *offline;
} o;

static const struct opt table[] = {
    {OPT_FLAG, "verbose", NULL, &o.verbose, NULL, 0, 0, "say more"},
    {OPT_STRING, "token_file", "FILE", &o.token_file, NULL, 0, 0, "file with the token"},
    {OPT_LIST, "read", "PATH", &o.read, NULL, 0, 0, "a path; may be repeated"},
    {OPT_INT, "count", "N", &o.count, "3", 1, 10, "how many"},
    {OPT_SIZE, "cache_size", "SIZE", &o.cache, "1G", 0, 0, "bytes"},
    {OPT_DURATION, "grace", "TIME", &o.grace, "15min", 0, 0, "time"},
    {OPT_MODE, "umask", "MODE", &o.mask, "022", 0, 0777, "mode"},
    {OPT_ENUM, "offline", "queue|fail", &o.offline, "queue", 0, 0, "what to do"},
    {OPT_IGNORED, "nofail", NULL, NULL, NULL, 0, 0, NULL},
    {OPT_END, NULL, NULL, NULL, NULL, 0, 0, NULL},
};

static int setup(void **state)
{
    (void)state;
    strlist_release(&o.read);
    memset(&o, 0, sizeof(o));
    opt_defaults(table);
    return 0;
}

/* argv as main() gets it: writable strings. Lives as long as the process, as argv does. */
static char **args(int *argc, const char *line)
{
    char *rest = xstrdup(line), *word;
    char **argv = xcalloc(32, sizeof(*argv));

    for (*argc = 0; (word = strsep(&rest, "|")); (*argc)++)
        argv[*argc] = word;
    return argv;
}

static void test_defaults(void **state)
{
    (void)state;
    assert_int_equal(o.count, 3);
    assert_int_equal(o.cache, 1 << 30);
    assert_int_equal(o.grace, 900000);
    assert_int_equal(o.mask, 022);
    assert_string_equal(o.offline, "queue");
    assert_null(o.token_file);
    assert_false(o.verbose);
}

static void test_argv(void **state)
{
    int argc;
    char **argv = args(&argc, "prog|one|--verbose|--token-file|t f|--read=a|--read|b|two|--count=7|"
                              "--|--three");
    struct err e = {0};
    bool help = false;
    int n = 0;

    (void)state;
    assert_int_equal(opt_argv(table, argc, argv, &n, &help, &e), 0);
    assert_int_equal(n, 3);
    assert_string_equal(argv[0], "one");
    assert_string_equal(argv[1], "two");
    assert_string_equal(argv[2], "--three");
    assert_true(o.verbose);
    assert_false(help);
    assert_string_equal(o.token_file, "t f");
    assert_int_equal(o.read.n, 2);
    assert_string_equal(o.read.v[1], "b");
    assert_int_equal(o.count, 7);
}

static void test_help_flag(void **state)
{
    int argc;
    char **argv = args(&argc, "prog|-h|--verbose");
    bool help = false;
    int n = 0;

    (void)state;
    assert_int_equal(opt_argv(table, 3, argv, &n, &help, NULL), 0);
    assert_true(help);
    assert_true(o.verbose);
    assert_int_equal(n, 0);
}

static void refused(const char *name, const char *value, const char *says)
{
    struct err e = {0};

    assert_int_equal(opt_set(table, name, value, "-o", &e), -EINVAL);
    if (!strstr(e.text, says))
        fail_msg("'%s' does not say '%s'", e.text, says);
}

static void test_refused(void **state)
{
    int argc;
    char **argv = args(&argc, "prog|--token-file");
    char **bundle = args(&argc, "prog|-x");
    struct err e = {0};
    bool help;
    int n;

    (void)state;
    refused("cahce_size", "1", "did you mean 'cache_size'?");
    refused("something-else-altogether", NULL, "unknown option");
    refused("count", "11", "from 1 to 10");
    refused("count", "0", "from 1 to 10");
    refused("count", "5x", "a whole number");
    refused("count", "", "needs a value");
    refused("cache_size", "20g", "512M");
    refused("cache_size", "-1", "size");
    refused("cache_size", "9223372036854775807K", "size");
    refused("cache_size", "99999999999999999999", "size");
    refused("grace", "5x", "seconds");
    refused("grace", "5 s", "500ms");
    refused("umask", "8", "octal");
    refused("umask", "1000", "octal");
    refused("offline", "que", "queue|fail");
    refused("offline", "queue|fail", "queue|fail");
    refused("verbose", "maybe", "yes or no");
    refused("token_file", NULL, "needs a value");
    assert_int_equal(o.count, 3);
    assert_int_equal(o.cache, 1 << 30);
    assert_int_equal(opt_argv(table, 2, argv, &n, &help, &e), -EINVAL);
    assert_int_equal(opt_argv(table, 2, bundle, &n, &help, &e), -EINVAL);
    assert_non_null(strstr(e.text, "-x"));
}

static void test_comma(void **state)
{
    struct err e = {0};

    (void)state;
    assert_int_equal(opt_comma(table,
                               "verbose,token_file=/a\\,b,,nofail,cache-size=2K,grace=500ms,"
                               "offline=fail,umask=077,read=x=y",
                               "-o", &e),
                     0);
    assert_true(o.verbose);
    assert_string_equal(o.token_file, "/a,b");
    assert_int_equal(o.cache, 2048);
    assert_int_equal(o.grace, 500);
    assert_string_equal(o.offline, "fail");
    assert_int_equal(o.mask, 077);
    assert_string_equal(o.read.v[0], "x=y");
    assert_int_equal(opt_comma(table, "verbose=no,grace=0", "-o", &e), 0);
    assert_false(o.verbose);
    assert_int_equal(o.grace, 0);
    assert_int_equal(opt_comma(table, "grace=90", "-o", &e), 0);
    assert_int_equal(o.grace, 90000);
    assert_int_equal(opt_comma(table, "grace=-1", "-o", &e), -EINVAL);
    assert_int_equal(opt_comma(table, "verbose,nonsense=1", "-o", &e), -EINVAL);
    assert_non_null(strstr(e.text, "'nonsense'"));
    assert_int_equal(opt_comma(table, "count=2\\", "-o", &e), -EINVAL);
}

static void test_file(void **state)
{
    char dir[] = "/tmp/eefs-unit-XXXXXX";
    char path[64];
    struct err e = {0};
    static const char good[] = "# comment\n\n  count = 4 \r\nverbose\ntoken_file = a b # c\n"
                               "read=1\nread = 2";
    static const char bad[] = "count = 4\n\ncuont = 5\n";

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/conf", dir);
    assert_int_equal(file_replace(AT_FDCWD, path, good, sizeof(good) - 1, 0600, false), 0);
    assert_int_equal(opt_file(table, path, &e), 0);
    assert_int_equal(o.count, 4);
    assert_true(o.verbose);
    assert_string_equal(o.token_file, "a b # c");
    assert_int_equal(o.read.n, 2);
    assert_int_equal(file_replace(AT_FDCWD, path, bad, sizeof(bad) - 1, 0600, false), 0);
    assert_int_equal(opt_file(table, path, &e), -EINVAL);
    assert_non_null(strstr(e.text, "line 3"));
    assert_non_null(strstr(e.text, "'count'"));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(opt_file(table, path, &e), -ENOENT);
    assert_non_null(strstr(e.text, path));
    assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_defaults, setup),  cmocka_unit_test_setup(test_argv, setup),
        cmocka_unit_test_setup(test_help_flag, setup), cmocka_unit_test_setup(test_refused, setup),
        cmocka_unit_test_setup(test_comma, setup),     cmocka_unit_test_setup(test_file, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
