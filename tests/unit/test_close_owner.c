/* SPDX-License-Identifier: MIT */
/* close_owner: until the process that opened has closed once, nobody else's close counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/file/close_owner.h"

/* A process that does nothing until end(). */
static pid_t begin(void)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0)
        for (;;)
            pause();
    return pid;
}

static void end(pid_t pid)
{
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_a_child_closes_nothing(void **state)
{
    struct close_owner o;
    pid_t child = begin();

    (void)state;
    close_owner_init(&o, gettid());
    assert_false(close_owner_closes(&o, child));
    assert_false(close_owner_closes(&o, child));
    assert_true(close_owner_closes(&o, gettid()));
    assert_true(close_owner_closes(&o, child)); /* what was handed on and closed here */
    end(child);
}

static void *close_it(void *arg)
{
    return close_owner_closes(arg, gettid()) ? arg : NULL;
}

static void test_another_thread_closes(void **state)
{
    struct close_owner o;
    pid_t child = begin();
    pthread_t thread;
    void *closed = NULL;

    (void)state;
    close_owner_init(&o, gettid());
    assert_int_equal(pthread_create(&thread, NULL, close_it, &o), 0);
    assert_int_equal(pthread_join(thread, &closed), 0);
    assert_non_null(closed);
    assert_true(close_owner_closes(&o, child));
    end(child);
}

/* Who cannot be told, closes: a close too many is better than none. */
static void test_unknown(void **state)
{
    struct close_owner o;
    pid_t child = begin(), other = begin();

    (void)state;
    end(child);
    close_owner_init(&o, gettid());
    assert_true(close_owner_closes(&o, child)); /* no such process any more */
    close_owner_init(&o, 0);                    /* of another PID namespace */
    assert_true(close_owner_closes(&o, other));
    end(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_child_closes_nothing),
        cmocka_unit_test(test_another_thread_closes),
        cmocka_unit_test(test_unknown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
