/* SPDX-License-Identifier: MIT */
/* crash: a named point ends the process when it is asked to, and no other does. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sync/common/crash.h"

/* Passes "a.one" `passes` times in a child; its wait status. */
static int run(const char *at, int passes)
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        if (at)
            setenv("EEFS_CRASH_AT", at, 1);
        else
            unsetenv("EEFS_CRASH_AT");
        for (int i = 0; i < passes; i++) {
            crash_point("a.one.other");
            crash_point("a");
            crash_point("a.one");
        }
        _exit(7);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void test_points(void **state)
{
    (void)state;
    assert_int_equal(WEXITSTATUS(run(NULL, 3)), 7);
    assert_int_equal(WEXITSTATUS(run("", 3)), 7);
    assert_int_equal(WEXITSTATUS(run("b.one", 3)), 7);
    assert_int_equal(WTERMSIG(run("a.one", 1)), SIGKILL);
    assert_int_equal(WEXITSTATUS(run("a.one:3", 2)), 7);
    assert_int_equal(WTERMSIG(run("a.one:3", 3)), SIGKILL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_points)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
