/* SPDX-License-Identifier: MIT */
/* opt: option tables, values and files, and suggestions for typing errors. */
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

static struct values {
    bool verbose;
    char *token_file;
    struct strlist read;
    int64_t count, cache, grace, mask;
    char *offline;
} o;

static const struct opt table[] = {
    {.type = OPT_FLAG,
     .name = "verbose",
     .at = offsetof(struct values, verbose),
     .help = "say more"},
    {.type = OPT_STRING,
     .name = "token_file",
     .arg = "FILE",
     .at = offsetof(struct values, token_file),
     .required = true,
     .help = "file with the token"},
    {.type = OPT_LIST,
     .name = "read",
     .arg = "PATH",
     .at = offsetof(struct values, read),
     .help = "a path"},
    {.type = OPT_INT,
     .name = "count",
     .arg = "N",
     .at = offsetof(struct values, count),
     .def = "3",
     .min = 1,
     .max = 10,
     .help = "how many"},
    {.type = OPT_SIZE,
     .name = "cache_size",
     .arg = "SIZE",
     .at = offsetof(struct values, cache),
     .def = "1G",
     .help = "bytes"},
    {.type = OPT_DURATION,
     .name = "grace",
     .arg = "TIME",
     .at = offsetof(struct values, grace),
     .def = "15min",
     .help = "time"},
    {.type = OPT_MODE,
     .name = "umask",
     .arg = "MODE",
     .at = offsetof(struct values, mask),
     .def = "022",
     .max = 0777,
     .help = "mode"},
    {.type = OPT_ENUM,
     .name = "offline",
     .arg = "queue|fail",
     .at = offsetof(struct values, offline),
     .def = "queue",
     .reload = true,
     .help = "what to do"},
    {.type = OPT_IGNORED, .name = "nofail"},
    {0},
};

static int setup(void **state)
{
    (void)state;
    strlist_release(&o.read);
    memset(&o, 0, sizeof(o));
    opt_defaults(table, &o);
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
    enum opt_help help = OPT_HELP_NONE;
    int n = 0;

    (void)state;
    assert_int_equal(opt_argv(table, &o, argc, argv, &n, &help, &e), 0);
    assert_int_equal(n, 3);
    assert_string_equal(argv[0], "one");
    assert_string_equal(argv[1], "two");
    assert_string_equal(argv[2], "--three");
    assert_true(o.verbose);
    assert_int_equal(help, OPT_HELP_NONE);
    assert_string_equal(o.token_file, "t f");
    assert_int_equal(o.read.n, 2);
    assert_string_equal(o.read.v[1], "b");
    assert_int_equal(o.count, 7);
}

static void test_bare_and_letter(void **state)
{
    static const struct opt with[] = {
        {.type = OPT_DURATION,
         .name = "watch",
         .bare = "2s",
         .arg = "TIME",
         .at = offsetof(struct values, grace),
         .help = "again and again"},
        {.type = OPT_INT,
         .name = "count",
         .letter = 'c',
         .arg = "N",
         .at = offsetof(struct values, count),
         .help = "how many"},
        {0},
    };
    struct err e = {0};
    enum opt_help help = OPT_HELP_NONE;
    int argc, n = 0;
    char **argv = args(&argc, "prog|--watch|one|-c|7");

    (void)state;
    assert_int_equal(opt_argv(with, &o, argc, argv, &n, &help, &e), 0);
    assert_int_equal(n, 1);
    assert_string_equal(argv[0], "one");
    assert_int_equal(o.grace, 2000);
    assert_int_equal(o.count, 7);
    argv = args(&argc, "prog|--watch=5");
    assert_int_equal(opt_argv(with, &o, argc, argv, &n, &help, &e), 0);
    assert_int_equal(o.grace, 5000);
    argv = args(&argc, "prog|--watch=");
    assert_int_equal(opt_argv(with, &o, argc, argv, &n, &help, &e), -EINVAL);
    argv = args(&argc, "prog|-cc|7"); /* letters are not bundled */
    assert_int_equal(opt_argv(with, &o, argc, argv, &n, &help, &e), -EINVAL);
}

static void test_help_flag(void **state)
{
    int argc;
    char **argv = args(&argc, "prog|-h|--verbose");
    enum opt_help help = OPT_HELP_NONE;
    int n = 0;

    (void)state;
    assert_int_equal(opt_argv(table, &o, 3, argv, &n, &help, NULL), 0);
    assert_int_equal(help, OPT_HELP_TEXT);
    assert_true(o.verbose);
    assert_int_equal(n, 0);
}

static void refused(const char *name, const char *value, const char *says)
{
    struct err e = {0};

    assert_int_equal(opt_set(table, &o, name, value, "-o", &e), -EINVAL);
    if (!strstr(e.text, says))
        fail_msg("'%s' does not say '%s'", e.text, says);
}

static void test_refused(void **state)
{
    int argc;
    char **argv = args(&argc, "prog|--token-file");
    char **bundle = args(&argc, "prog|-x");
    struct err e = {0};
    enum opt_help help = OPT_HELP_NONE;
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
    assert_int_equal(opt_argv(table, &o, 2, argv, &n, &help, &e), -EINVAL);
    assert_int_equal(opt_argv(table, &o, 2, bundle, &n, &help, &e), -EINVAL);
    assert_non_null(strstr(e.text, "-x"));
}

static void test_comma(void **state)
{
    struct err e = {0};

    (void)state;
    assert_int_equal(opt_comma(table, &o,
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
    assert_int_equal(opt_comma(table, &o, "verbose=no,grace=0", "-o", &e), 0);
    assert_false(o.verbose);
    assert_int_equal(o.grace, 0);
    assert_int_equal(opt_comma(table, &o, "grace=90", "-o", &e), 0);
    assert_int_equal(o.grace, 90000);
    assert_int_equal(opt_comma(table, &o, "grace=-1", "-o", &e), -EINVAL);
    assert_int_equal(opt_comma(table, &o, "verbose,nonsense=1", "-o", &e), -EINVAL);
    assert_non_null(strstr(e.text, "'nonsense'"));
    assert_int_equal(opt_comma(table, &o, "count=2\\", "-o", &e), -EINVAL);
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
    assert_int_equal(opt_file(table, &o, path, &e), 0);
    assert_int_equal(o.count, 4);
    assert_true(o.verbose);
    assert_string_equal(o.token_file, "a b # c");
    assert_int_equal(o.read.n, 2);
    assert_int_equal(file_replace(AT_FDCWD, path, bad, sizeof(bad) - 1, 0600, false), 0);
    assert_int_equal(opt_file(table, &o, path, &e), -EINVAL);
    assert_non_null(strstr(e.text, "line 3"));
    assert_non_null(strstr(e.text, "'count'"));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(opt_file(table, &o, path, &e), -ENOENT);
    assert_non_null(strstr(e.text, path));
    assert_int_equal(rmdir(dir), 0);
}

static void test_help_forms(void **state)
{
    (void)state;
    assert_int_equal(opt_help_form(NULL), OPT_HELP_TEXT);
    assert_int_equal(opt_help_form("usage"), OPT_HELP_USAGE);
    assert_int_equal(opt_help_form("json"), OPT_HELP_JSON);
    assert_int_equal(opt_help_form("html"), OPT_HELP_NONE);
}

static void test_required(void **state)
{
    struct err e = {0};

    (void)state;
    assert_int_equal(opt_required(table, &o, &e), -EINVAL);
    assert_string_equal(e.text, "--token_file is missing: file with the token");
    assert_int_equal(opt_set(table, &o, "token-file", "/t", "-o", &e), 0);
    assert_int_equal(opt_required(table, &o, &e), 0);
}

/* What opt_help() prints, to be freed. */
static char *printed(const struct opt_command *c, enum opt_help form)
{
    FILE *real = stdout;
    char *text = NULL;
    size_t len = 0;

    fflush(stdout);
    stdout = open_memstream(&text, &len);
    opt_help(c, form);
    fclose(stdout);
    stdout = real;
    return text;
}

static void has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("'%s' is not in:\n%s", part, text);
}

static const struct opt_command command = {
    .name = "prog",
    .args = "PATH",
    .about = "Does something for the test, in a sentence that is long enough for two lines.\n\n"
             "Ends.",
    .options = table,
};

static void test_help_of_a_command(void **state)
{
    char *text = printed(&command, OPT_HELP_TEXT);
    char *usage = printed(&command, OPT_HELP_USAGE);
    char *line = text, *save = NULL;

    (void)state;
    has(text, "usage: prog PATH --token_file FILE [--verbose] [--read PATH]...");
    has(text, "\n\nEnds.\n\nOptions:\n  --verbose                 say more\n");
    has(text, "  --token_file FILE         file with the token (required)\n");
    has(text, "  --read PATH               a path (may be repeated)\n");
    has(text, "  --count N                 how many (1 to 10; default: 3)\n");
    has(text, "  --cache_size SIZE         bytes (default: 1G)\n");
    has(text, "  --offline queue|fail      what to do (default: queue) (*)\n");
    has(text, "SIZE is");
    has(text, "TIME is");
    has(text, "(*)");
    has(text, "Accepted and ignored: nofail\n");
    has(usage, "       prog PATH --token_file FILE ");
    for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        assert_true(strlen(line) <= 80);
    free(text);
    free(usage);
}

static void test_help_of_a_list(void **state)
{
    struct opt_command listed = command;
    char *text;

    (void)state;
    listed.listed = true;
    text = printed(&listed, OPT_HELP_TEXT);
    has(text, "usage: prog PATH -o token_file=FILE[,OPTION[=VALUE]]...\n");
    has(text, "  token_file=FILE           file with the token (required)\n");
    assert_null(strstr(text, "--"));
    free(text);
}

static void test_json(void **state)
{
    char *text = printed(&command, OPT_HELP_JSON);

    (void)state;
    has(text, "{\"name\":\"prog\",\"args\":\"PATH\",\"about\":\"Does something ");
    has(text,
        "{\"name\":\"verbose\",\"arg\":null,\"bare\":false,\"type\":\"flag\",\"default\":null,");
    has(text, "\"required\":true,\"repeated\":false,\"help\":\"file with the token\"}");
    has(text, "\"default\":\"3\",\"without\":null,\"required\":false,");
    has(text, "\"help\":\"how many (1 to 10)\"}");
    has(text, "\"help\":\"what to do (*)\"}");
    has(text, "\"ignored\":[\"nofail\"]}\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_defaults, setup),
        cmocka_unit_test_setup(test_argv, setup),
        cmocka_unit_test_setup(test_bare_and_letter, setup),
        cmocka_unit_test_setup(test_help_flag, setup),
        cmocka_unit_test_setup(test_refused, setup),
        cmocka_unit_test_setup(test_comma, setup),
        cmocka_unit_test_setup(test_file, setup),
        cmocka_unit_test(test_help_forms),
        cmocka_unit_test_setup(test_required, setup),
        cmocka_unit_test(test_help_of_a_command),
        cmocka_unit_test(test_help_of_a_list),
        cmocka_unit_test(test_json),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
