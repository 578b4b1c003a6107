/* SPDX-License-Identifier: MIT */
/* record/report: the file that eefs-status reads, from its first state to the last. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "sqlimport/record/report.h"
#include "sync/common/file.h"

static int setup(void **state)
{
    char *dir = xstrdup("/tmp/eefs-test-report-XXXXXX");

    assert_non_null(mkdtemp(dir));
    *state = dir;
    return 0;
}

static int teardown(void **state)
{
    file_remove_tree(AT_FDCWD, *state);
    free(*state);
    return 0;
}

static void check_state(const char *dir, const char *state)
{
    char *path = xasprintf("%s/import-live.json", dir);
    json_t *j = json_load_file(path, 0, NULL);

    assert_string_equal(json_string_value(json_object_get(j, "state")), state);
    assert_string_equal(json_string_value(json_object_get(j, "database")), "ee");
    json_decref(j);
    free(path);
}

static void test_idle_and_stopped(void **state)
{
    struct report *r = NULL;

    assert_int_equal(report_open(*state, "live", "ee", "/slot", NULL, &r, NULL), 0);
    check_state(*state, "idle");
    report_close(r);
    check_state(*state, "stopped");
}

/* Nothing of a report that cannot be opened stays (SAN=address reports what does). */
static void test_cannot_be_written(void **state)
{
    struct report *r = NULL;
    struct err e = {0};
    char name[300];

    memset(name, 'x', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    assert_int_equal(report_open(*state, name, "ee", "/slot", "dump.sql", &r, &e), -EACCES);
    assert_null(r);
    assert_non_null(strstr(e.text, "--rundir"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_idle_and_stopped, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cannot_be_written, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
