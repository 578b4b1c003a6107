/* SPDX-License-Identifier: MIT */
/* rundir: where sockets and state files of an instance lie. */
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
#include "sync/common/rundir.h"

static void test_which(void **state)
{
    (void)state;
    setenv("EEFS_RUNDIR", "/somewhere", 1);
    assert_string_equal(rundir_path("/option"), "/option");
    assert_string_equal(rundir_path(NULL), "/somewhere");
    setenv("EEFS_RUNDIR", "", 1);
    assert_string_equal(rundir_path(NULL), "/run/eefs");
    unsetenv("EEFS_RUNDIR");
    assert_string_equal(rundir_path(NULL), "/run/eefs");
}

static void test_names(void **state)
{
    char *p;

    (void)state;
    p = rundir_file("/run/eefs", "mount", "/var/www/assets", "sock");
    assert_string_equal(p, "/run/eefs/mount-var-www-assets.sock");
    free(p);
    p = rundir_file("/r/x", "import", "ee", "json");
    assert_string_equal(p, "/r/x/import-ee.json");
    free(p);
}

static void note(void *arg, const char *path)
{
    strcat(strcat(arg, strrchr(path, '/')), " ");
}

static void test_each(void **state)
{
    static const char *const files[] = {"import-b.json", "import-a.json",     "import-.json",
                                        "mount-a.sock",  "import-c.json.new", "importer-x.json"};
    char dir[] = "/tmp/eefs-unit-XXXXXX", seen[200] = "";

    (void)state;
    assert_non_null(mkdtemp(dir));
    for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
        char path[64];

        snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
        close(open(path, O_CREAT | O_WRONLY, 0600));
    }
    rundir_each(dir, "import", "json", note, seen);
    assert_string_equal(seen, "/import-a.json /import-b.json ");
    rundir_each("/proc/none", "import", "json", note, seen);
    assert_string_equal(seen, "/import-a.json /import-b.json ");
    assert_int_equal(file_remove_tree(AT_FDCWD, dir), 0);
}

static void test_ensure(void **state)
{
    char dir[] = "/tmp/eefs-unit-XXXXXX";
    char path[64];
    struct err e = {0};
    struct stat st;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/a/b", dir);
    assert_int_equal(rundir_ensure(path, &e), 0);
    assert_int_equal(rundir_ensure(path, &e), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_true(S_ISDIR(st.st_mode));
    assert_int_equal(rundir_ensure("/proc/none/x", &e), -ENOENT);
    assert_non_null(strstr(e.text, "/proc/none/x"));
    assert_int_equal(file_remove_tree(AT_FDCWD, dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_which),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_each),
        cmocka_unit_test(test_ensure),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
