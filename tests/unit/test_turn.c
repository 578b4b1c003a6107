/* SPDX-License-Identifier: MIT */
/* turn: one thread has it, and keeps it until it passes it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/file/turn.h"
#include "sync/common/thread.h"

#define THREADS 4
#define ROUNDS  2000

struct shared {
    struct turn *turn;
    atomic_int inside; /* threads that have the turn */
    atomic_int rounds;
};

static void *taker_run(void *arg)
{
    struct shared *s = arg;

    for (int i = 0; i < ROUNDS; i++) {
        turn_take(s->turn);
        turn_take(s->turn); /* still has it */
        assert_int_equal(atomic_fetch_add(&s->inside, 1), 0);
        atomic_fetch_add(&s->rounds, 1);
        assert_int_equal(atomic_fetch_sub(&s->inside, 1), 1);
        if (i % 3 == 0 || i == ROUNDS - 1) {
            turn_pass(s->turn);
            turn_pass(s->turn); /* nothing: another thread may have it */
        }
    }
    return NULL;
}

static void test_one_at_a_time(void **state)
{
    struct shared s = {.turn = turn_new()};
    pthread_t t[THREADS];

    (void)state;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(thread_start(&t[i], "taker", taker_run, &s), 0);
    for (int i = 0; i < THREADS; i++)
        thread_join(t[i]);
    assert_int_equal(atomic_load(&s.rounds), THREADS * ROUNDS);
    turn_free(s.turn);
}

static void *waiter_run(void *arg)
{
    struct shared *s = arg;

    atomic_fetch_add(&s->rounds, 1);
    turn_take(s->turn);
    return NULL;
}

/* At the end of a session libfuse cancels the threads that wait. */
static void test_cancelled(void **state)
{
    struct shared s = {.turn = turn_new()};
    pthread_t t[THREADS];

    (void)state;
    thread_load_unwinder();
    turn_take(s.turn);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(thread_start(&t[i], "waiter", waiter_run, &s), 0);
    while (atomic_load(&s.rounds) < THREADS)
        usleep(1000);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_cancel(t[i]), 0);
    for (int i = 0; i < THREADS; i++)
        thread_join(t[i]);
    turn_pass(s.turn);
    turn_take(s.turn);
    turn_free(s.turn);
    turn_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_at_a_time),
        cmocka_unit_test(test_cancelled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
