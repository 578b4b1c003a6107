/* SPDX-License-Identifier: MIT */
/* scan_queue: what is taken next, what two asks for one path become, and when a scan has ended; by
 * cases, and by random asks against a list that is searched from one end to the other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/master/folder/scan_queue.h"

#define HOUR 3600000

static int began, ended;

static void begins(void *arg)
{
    ++*(int *)arg;
    began++;
}

static void ends(void *arg)
{
    --*(int *)arg;
    ended++;
}

static int scans; /* that have begun and not ended */

static int setup(void **state)
{
    static const struct scan_hooks hooks = {begins, ends, &scans};

    began = ended = scans = 0;
    *state = scan_queue_new(&hooks);
    return 0;
}

static int teardown(void **state)
{
    scan_queue_stop(*state);
    scan_queue_free(*state);
    return 0;
}

/* The next one is `path` with these flags; true: it ended a scan. */
static bool take(struct scan_queue *q, bool events_only, const char *path, int flags)
{
    struct scan_item *it = scan_queue_take(q, events_only);

    assert_string_equal(scan_item_path(it), path);
    assert_int_equal(scan_item_flags(it), flags);
    return scan_queue_done(q, it);
}

static void test_lanes(void **state)
{
    struct scan_queue *q = *state;

    scan_queue_push(q, "large", SCAN_FORCE | SCAN_LARGE, 0);
    scan_queue_push(q, "found 1", SCAN_FOUND, 0);
    scan_queue_push(q, "found 2", SCAN_FOUND, 0);
    scan_queue_push(q, "event 1", 0, 0);
    scan_queue_push(q, "event 2", SCAN_DEEP, 0);
    scan_queue_push(q, "late", 0, HOUR);
    assert_int_equal(scan_queue_waiting(q), 6);
    take(q, false, "event 1", 0);
    take(q, true, "event 2", SCAN_DEEP);
    take(q, false, "found 2", SCAN_FOUND); /* down before it goes on */
    take(q, false, "found 1", SCAN_FOUND);
    take(q, false, "large", SCAN_FORCE | SCAN_LARGE);
    assert_int_equal(scan_queue_waiting(q), 1);
    assert_int_equal(began, 0);
}

static void test_asked_twice(void **state)
{
    struct scan_queue *q = *state;

    scan_queue_push(q, "a", SCAN_FOUND | SCAN_LARGE, 0);
    scan_queue_push(q, "b", SCAN_FOUND, 0);
    scan_queue_push(q, "c", SCAN_FORCE, HOUR);
    scan_queue_push(q, "a", 0, 0);            /* an event of it: first, and not large any more */
    scan_queue_push(q, "b", SCAN_LARGE, 0);   /* not later than it was */
    scan_queue_push(q, "c", SCAN_MOVED, 0);   /* now */
    scan_queue_push(q, "a", SCAN_DEEP, HOUR); /* not later either */
    assert_int_equal(scan_queue_waiting(q), 3);
    take(q, true, "a", SCAN_FOUND | SCAN_DEEP);
    take(q, true, "c", SCAN_FORCE | SCAN_MOVED);
    take(q, false, "b", SCAN_FOUND);
    scan_queue_push(q, "a", 0, 0); /* it was taken: another look */
    take(q, false, "a", 0);
}

/* What is asked for again and again has its turn, however busy its lane is. */
static void test_a_turn_for_all(void **state)
{
    struct scan_queue *q = *state;
    char path[16];

    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof(path), "before %d", i);
        scan_queue_push(q, path, 0, 0);
    }
    scan_queue_push(q, "log", 0, 0);
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof(path), "after %d", i);
        scan_queue_push(q, path, 0, 0);
        scan_queue_push(q, "log", SCAN_FORCE, i == 1 ? HOUR : 0);
        snprintf(path, sizeof(path), "before %d", i);
        take(q, false, path, 0);
    }
    take(q, false, "log", SCAN_FORCE);
    take(q, false, "after 0", 0);
    scan_queue_push(q, "log", 0, 0); /* another turn */
    take(q, false, "after 1", 0);
    take(q, false, "after 2", 0);
    take(q, false, "log", 0);
}

static void test_delays(void **state)
{
    struct scan_queue *q = *state;
    int64_t due[40], now, last = 0;
    char path[16];

    srand(7);
    for (int i = 0; i < 40; i++) {
        int delay = 1 + rand() % 80;

        snprintf(path, sizeof(path), "%d", i);
        due[i] = clock_mono_ms() + delay;
        scan_queue_push(q, path, 0, delay);
        if (i % 3 == 0) /* a later ask changes nothing */
            scan_queue_push(q, path, 0, HOUR);
    }
    for (int i = 0; i < 40; i++) {
        struct scan_item *it = scan_queue_take(q, i % 2);
        int n = atoi(scan_item_path(it));

        now = clock_mono_ms();
        assert_true(now >= due[n]);
        assert_true(due[n] >= last - 1); /* in their order, to the millisecond of the asking */
        last = due[n] > last ? due[n] : last;
        scan_queue_done(q, it);
    }
}

/* A scan is what lies between its first path and the end of its last, with what was put off. */
static void test_scan(void **state)
{
    struct scan_queue *q = *state;
    struct scan_item *top, *sub;

    assert_false(scan_queue_scanning(q));
    assert_int_equal(scan_queue_scan_ms(q), 0);
    scan_queue_push(q, "", SCAN_DEEP | SCAN_FULL, 0);
    scan_queue_push(q, "", SCAN_DEEP | SCAN_FULL, 0); /* waits already */
    assert_int_equal(began, 1);
    top = scan_queue_take(q, false);
    scan_queue_push(q, "d", SCAN_DEEP | SCAN_FOUND | SCAN_FULL, 0);
    scan_queue_push(q, "other", SCAN_FOUND, 0);
    scan_queue_put_off(q, "away");
    assert_false(scan_queue_done(q, top));
    assert_true(scan_queue_scanning(q));
    take(q, false, "other", SCAN_FOUND); /* no part of it */
    sub = scan_queue_take(q, false);
    scan_queue_push(q, "d", SCAN_FULL | SCAN_FOUND, 0); /* once more while it is looked at */
    assert_false(scan_queue_done(q, sub));
    assert_int_equal(scan_queue_waiting(q), 1);
    assert_false(take(q, false, "d", SCAN_FULL | SCAN_FOUND)); /* now what was put off begins */
    assert_int_equal(ended, 0);
    assert_true(take(q, false, "away", SCAN_DEEP | SCAN_FOUND | SCAN_FULL | SCAN_LAST));
    assert_false(scan_queue_scanning(q));
    assert_true(scan_queue_scan_ms(q) > 0);
    assert_int_equal(began, 1);
    assert_int_equal(ended, 1);
    scan_queue_push(q, "", SCAN_DEEP | SCAN_FULL, 0);
    assert_true(take(q, false, "", SCAN_DEEP | SCAN_FULL));
    assert_int_equal(began, 2);
    assert_int_equal(ended, 2);
}

/* A path that waits becomes part of a scan. */
static void test_joins_a_scan(void **state)
{
    struct scan_queue *q = *state;

    scan_queue_push(q, "a", SCAN_FORCE, HOUR);
    scan_queue_push(q, "a", SCAN_FULL | SCAN_FOUND, 0);
    assert_true(scan_queue_scanning(q));
    assert_true(take(q, false, "a", SCAN_FORCE | SCAN_FULL | SCAN_FOUND));
    assert_int_equal(ended, 1);
}

struct taker {
    struct scan_queue *q;
    bool events_only;
    _Atomic int taken, out; /* paths; threads that have ended */
};

static void *run(void *arg)
{
    struct taker *t = arg;
    struct scan_item *it;

    while ((it = scan_queue_take(t->q, t->events_only))) {
        scan_queue_done(t->q, it);
        t->taken++;
    }
    t->out++;
    return NULL;
}

static void wait_until(_Atomic int *n, int want)
{
    for (int64_t end = clock_mono_ms() + 10000; *n < want;) {
        assert_true(clock_mono_ms() < end);
        usleep(500);
    }
    assert_int_equal(*n, want);
}

/* Threads that wait are woken by what they may take, and by the end. */
static void test_threads(void **state)
{
    struct scan_queue *q = *state;
    struct taker events = {.q = q, .events_only = true}, all = {.q = q};

    assert_int_equal(scan_queue_start_thread(q, run, &events), 0);
    for (int i = 1; i <= 50; i++) {
        scan_queue_push(q, "found", SCAN_FOUND, 0); /* not for him */
        scan_queue_push(q, "event", 0, i % 2 ? 0 : 2);
        wait_until(&events.taken, i);
        assert_int_equal(scan_queue_waiting(q), 1);
    }
    assert_int_equal(scan_queue_start_thread(q, run, &all), 0);
    assert_int_equal(scan_queue_start_thread(q, run, &all), 0);
    wait_until(&all.taken, 1);
    for (int i = 2; i <= 50; i++) {
        scan_queue_push(q, "found", SCAN_FOUND, i % 2 ? 0 : 2);
        wait_until(&all.taken, i);
    }
    scan_queue_push(q, "late", 0, HOUR);
    scan_queue_stop(q);
    assert_int_equal(events.out, 1);
    assert_int_equal(all.out, 2);
    scan_queue_push(q, "after the end", 0, 0);
    assert_null(scan_queue_take(q, false));
}

/* --- random asks --- */

#define PATHS 3000

struct model_item {
    int path, flags, lane;
    int64_t turn, due; /* turn: in its lane, higher is later; due: 0 or the hours of its delay */
};

struct model {
    struct model_item items[PATHS];
    int n, last[PATHS], n_last;
    int64_t turns, left; /* of the scan */
    int began, ended;
    struct {
        struct scan_item *it;
        struct model_item m;
    } out[8]; /* taken, not done */
    int n_out;
};

static int lane_of(int flags)
{
    return flags & SCAN_LARGE ? 2 : flags & (SCAN_FULL | SCAN_FOUND) ? 1 : 0;
}

static void model_push(struct model *m, int path, int flags, int hours)
{
    struct model_item *i = NULL;
    int lane = lane_of(flags);

    for (int k = 0; k < m->n && !i; k++)
        i = m->items[k].path == path ? &m->items[k] : NULL;
    if ((flags & SCAN_FULL) && (!i || !(i->flags & SCAN_FULL)) && m->left++ == 0)
        m->began++;
    if (!i) {
        m->items[m->n++] = (struct model_item){path, flags, lane, ++m->turns, hours};
        return;
    }
    if (!i->due && lane >= i->lane) {
        i->flags |= flags & ~SCAN_LARGE;
        return;
    }
    i->due = i->due && hours ? (i->due < hours ? i->due : hours) : 0;
    i->turn = ++m->turns;
    i->flags |= flags;
    i->lane = lane < i->lane ? lane : i->lane;
    if (i->lane < 2)
        i->flags &= ~SCAN_LARGE;
}

/* The one that is taken next, or -1. */
static int model_next(const struct model *m, bool events_only)
{
    int best = -1;

    for (int k = 0; k < m->n; k++) {
        const struct model_item *i = &m->items[k], *b = best < 0 ? NULL : &m->items[best];

        if (i->due || (events_only && i->lane > 0))
            continue;
        if (!b || i->lane < b->lane ||
            (i->lane == b->lane && (i->lane == 1 ? i->turn > b->turn : i->turn < b->turn)))
            best = k;
    }
    return best;
}

static void random_push(struct scan_queue *q, struct model *m, int paths)
{
    static const int some[] = {0,          SCAN_DEEP,  SCAN_FORCE, SCAN_FOUND,
                               SCAN_FOUND, SCAN_LARGE, SCAN_FULL,  SCAN_FULL | SCAN_FOUND};
    int flags = some[rand() % 8] | some[rand() % 8], path = rand() % paths,
        hours = rand() % 4 ? 0 : 1 + rand() % 20;
    char name[16];

    snprintf(name, sizeof(name), "%d", path);
    scan_queue_push(q, name, flags, (int64_t)hours * HOUR);
    model_push(m, path, flags, hours);
}

static void random_take(struct scan_queue *q, struct model *m)
{
    bool events_only = rand() % 3 == 0;
    int k = model_next(m, events_only);
    struct scan_item *it;

    if (k < 0 || m->n_out == 8)
        return;
    it = scan_queue_take(q, events_only);
    assert_int_equal(atoi(scan_item_path(it)), m->items[k].path);
    assert_int_equal(scan_item_flags(it), m->items[k].flags);
    m->out[m->n_out].it = it;
    m->out[m->n_out++].m = m->items[k];
    memmove(&m->items[k], &m->items[k + 1], (size_t)(m->n - k - 1) * sizeof(m->items[0]));
    m->n--;
}

static void random_done(struct scan_queue *q, struct model *m)
{
    int k = m->n_out ? rand() % m->n_out : -1;
    bool full = k >= 0 && (m->out[k].m.flags & SCAN_FULL), over = false;

    if (k < 0)
        return;
    if (full && m->n_last < PATHS && rand() % 4 == 0) {
        char name[16];
        int path = rand() % 50;

        snprintf(name, sizeof(name), "%d", path);
        scan_queue_put_off(q, name);
        m->last[m->n_last++] = path;
    }
    if (full && m->left == 1) {
        for (int i = 0; i < m->n_last; i++)
            model_push(m, m->last[i], SCAN_DEEP | SCAN_FOUND | SCAN_FULL | SCAN_LAST, 0);
        m->n_last = 0;
    }
    if (full && --m->left == 0) {
        over = true;
        m->ended++;
    }
    assert_int_equal(scan_queue_done(q, m->out[k].it), over);
    m->out[k] = m->out[--m->n_out];
}

static void random_run(unsigned seed, int paths, int steps)
{
    struct model *m = xcalloc(1, sizeof(*m));
    void *state;

    setup(&state);
    srand(seed);
    for (int i = 0; i < steps; i++) {
        int what = rand() % 5;

        if (what < 2 || (paths > 100 && i < steps / 2))
            random_push(state, m, paths);
        else if (what < 4)
            random_take(state, m);
        else
            random_done(state, m);
        assert_int_equal(scan_queue_waiting(state), m->n);
        assert_int_equal(scan_queue_scanning(state), m->left > 0);
        assert_int_equal(began, m->began);
        assert_int_equal(ended, m->ended);
        assert_int_equal(scans, m->left > 0);
    }
    while (m->n_out > 0)
        random_done(state, m);
    teardown(&state);
    free(m);
}

static void test_random(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 60; seed++)
        random_run(seed, 3 + (int)seed % 40, 2000);
    random_run(99, PATHS, 8000); /* the table grows */
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_lanes),          TEST(test_asked_twice),
        TEST(test_a_turn_for_all), TEST(test_delays),
        TEST(test_scan),           TEST(test_joins_a_scan),
        TEST(test_threads),        cmocka_unit_test(test_random),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
