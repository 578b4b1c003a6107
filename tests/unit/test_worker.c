/* SPDX-License-Identifier: MIT */
/* worker: threads that start, sleep, are woken and end. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "sync/common/clock.h"
#include "sync/common/worker.h"

struct part {
    struct worker worker;
    int due, done, ended; /* guarded by its lock */
};

static void *part_run(void *arg)
{
    struct part *p = arg;

    worker_lock(&p->worker);
    while (!worker_stopping_locked(&p->worker)) {
        if (p->due == 0) {
            worker_wait_locked(&p->worker, WORKER_NEVER);
            continue;
        }
        p->due--;
        p->done++;
        worker_wake_locked(&p->worker);
    }
    p->ended++;
    worker_unlock(&p->worker);
    return NULL;
}

static void test_work_is_done_and_stops(void **state)
{
    struct part p = {.due = 0};

    (void)state;
    worker_init(&p.worker);
    for (int i = 0; i < 3; i++)
        assert_int_equal(worker_start(&p.worker, "part", part_run, &p), 0);
    worker_lock(&p.worker);
    p.due = 100;
    worker_wake_locked(&p.worker);
    while (p.done < 100)
        assert_true(worker_wait_locked(&p.worker, WORKER_NEVER));
    worker_unlock(&p.worker);
    worker_stop(&p.worker);
    assert_int_equal(p.ended, 3);
    worker_stop(&p.worker); /* fine */
    worker_release(&p.worker);
}

static void test_deadline(void **state)
{
    struct worker w;
    int64_t until = clock_mono_ms() + 20;

    (void)state;
    worker_init(&w);
    worker_lock(&w);
    while (clock_mono_ms() < until)
        assert_true(worker_wait_locked(&w, until));
    worker_unlock(&w);
    worker_release(&w);
}

/* A request to stop that came before the wait is not slept over. */
static void test_no_wait_once_it_is_to_stop(void **state)
{
    struct worker w;

    (void)state;
    worker_init(&w);
    worker_lock(&w);
    worker_ask_stop_locked(&w);
    assert_true(worker_stopping_locked(&w));
    assert_false(worker_wait_locked(&w, WORKER_NEVER));
    worker_unlock(&w);
    worker_release(&w);
}

static void test_started_after_the_request_to_stop(void **state)
{
    struct part p = {.due = 1};

    (void)state;
    worker_init(&p.worker);
    worker_stop(&p.worker);
    assert_int_equal(worker_start(&p.worker, "part", part_run, &p), 0);
    worker_release(&p.worker);
    assert_int_equal(p.done, 0);
    assert_int_equal(p.ended, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_work_is_done_and_stops),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_no_wait_once_it_is_to_stop),
        cmocka_unit_test(test_started_after_the_request_to_stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
