/* SPDX-License-Identifier: MIT */
/* moves: whatever lies where after a kill, no table is lost, and the moves are ended. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "sqlimport/apply/moves.h"

/* What lies at a place: nothing, the old table, the new one, or somebody else's. */
enum { NONE, OLD, NEW, FOREIGN };

#define TABLES_MAX 3

struct world {
    struct moves m;
    int at[TABLES_MAX][3]; /* by enum moves_where */
    bool broken;           /* a rename that a server refuses, or that hides a table */
    int steps;
    int stop_after; /* renames until a crash, or -1 */
    enum verdict verdict;
};

static void look(struct world *w)
{
    for (size_t i = 0; i < w->m.n; i++) {
        struct move *v = &w->m.v[i];
        v->live = w->at[i][WHERE_LIVE] != NONE;
        v->staged = w->at[i][WHERE_STAGE] != NONE;
        v->placed = w->at[i][WHERE_PLACE] != NONE;
        v->proved = w->at[i][WHERE_LIVE] == NEW;
    }
}

static void carry_out(void *arg, const struct move *v, enum moves_where from, enum moves_where to)
{
    struct world *w = arg;
    int *at = w->at[v - w->m.v];

    if (w->stop_after == 0)
        return;
    w->stop_after -= w->stop_after > 0;
    w->steps++;
    if (at[from] == NONE || at[to] != NONE)
        w->broken = true;
    /* A live table goes only when another one is in hand, or when it is to go. */
    if (from == WHERE_LIVE && v->kind != MOVE_DROP && at[WHERE_STAGE] == NONE &&
        at[WHERE_PLACE] == NONE)
        w->broken = true;
    if (from == WHERE_LIVE && at[from] == FOREIGN && w->verdict == VERDICT_BACK)
        w->broken = true;
    at[to] = at[from];
    at[from] = NONE;
}

static void make(struct world *w, const enum move_kind *kinds, size_t n)
{
    memset(w, 0, sizeof(*w));
    w->stop_after = -1;
    for (size_t i = 0; i < n; i++) {
        char name[24];
        snprintf(name, sizeof(name), "t%zu", i);
        moves_add(&w->m, kinds[i], name, "old", kinds[i] == MOVE_NEW ? NULL : name);
        w->at[i][WHERE_LIVE] = kinds[i] == MOVE_NEW ? NONE : OLD;
        w->at[i][WHERE_STAGE] = kinds[i] == MOVE_DROP ? NONE : NEW;
    }
    look(w);
}

/* Looks, decides and acts until there is nothing more to do. */
static enum verdict settle(struct world *w, bool committed, bool stuck)
{
    for (int round = 0; round < 5; round++) {
        size_t which;

        look(w);
        w->verdict = moves_decide(&w->m, committed, stuck, &which);
        if (w->verdict == VERDICT_NOTHING || w->verdict == VERDICT_DONE ||
            w->verdict == VERDICT_REFUSE)
            return w->verdict;
        moves_each(&w->m, w->verdict, carry_out, w);
        assert_false(w->broken);
    }
    fail_msg("no end");
    return VERDICT_REFUSE;
}

static void assert_whole(const struct world *w, enum verdict end)
{
    for (size_t i = 0; i < w->m.n; i++) {
        int live = w->at[i][WHERE_LIVE];
        if (w->m.v[i].kind == MOVE_REPLACE || w->m.v[i].kind == MOVE_VIEW)
            assert_int_equal(live, end == VERDICT_DONE ? NEW : OLD);
        else if (w->m.v[i].kind == MOVE_DROP)
            assert_int_equal(live, end == VERDICT_DONE ? NONE : OLD);
        else if (end == VERDICT_DONE)
            assert_int_equal(live, NEW);
    }
}

/* Every mix of kinds of one to three tables. */
static size_t mixes(enum move_kind kinds[][TABLES_MAX], size_t *sizes)
{
    size_t n = 0;

    for (size_t size = 1; size <= TABLES_MAX; size++)
        for (int mix = 0; mix < (size == 1 ? 4 : size == 2 ? 16 : 64); mix++, n++) {
            kinds[n][0] = mix % 4;
            kinds[n][1] = mix / 4 % 4;
            kinds[n][2] = mix / 16 % 4;
            sizes[n] = size;
        }
    return n;
}

#define MIXES 84

static void test_a_crash_after_any_rename_is_ended(void **state)
{
    enum move_kind kinds[MIXES][TABLES_MAX];
    size_t sizes[MIXES], n = mixes(kinds, sizes);

    (void)state;
    assert_int_equal(n, MIXES);
    for (size_t i = 0; i < n; i++)
        for (int first = 0; first <= 2 * TABLES_MAX; first++)
            for (int second = 0; second <= 2 * TABLES_MAX; second++)
                for (int stuck = 0; stuck < 2; stuck++) {
                    struct world w;
                    enum verdict end;
                    int steps;

                    make(&w, kinds[i], sizes[i]);
                    w.verdict = VERDICT_FORWARD;
                    w.stop_after = first;
                    moves_each(&w.m, VERDICT_FORWARD, carry_out, &w);
                    assert_false(w.broken);
                    steps = w.steps;
                    /* the recovery is killed as well */
                    look(&w);
                    w.stop_after = second;
                    w.verdict = moves_decide(&w.m, false, stuck, &(size_t){0});
                    moves_each(&w.m, w.verdict, carry_out, &w);
                    assert_false(w.broken);
                    w.stop_after = -1;
                    end = settle(&w, false, stuck);
                    assert_true(end == VERDICT_DONE || end == VERDICT_NOTHING);
                    assert_true(steps > 0 || end == VERDICT_NOTHING);
                    assert_whole(&w, end);
                    moves_release(&w.m);
                }
}

/* Whatever lies wherever: no table is missing at the end of which one was there, and none was taken
 * away. */
static void test_no_table_is_lost_whatever_lies_where(void **state)
{
    enum move_kind kinds[MIXES][TABLES_MAX];
    size_t sizes[MIXES], n = mixes(kinds, sizes);

    (void)state;
    for (size_t i = 0; i < n; i++)
        for (unsigned odd = 0; odd < 1u << (3 * sizes[i]); odd++)
            for (int flags = 0; flags < 8; flags++) {
                struct world w;
                bool was[TABLES_MAX], some[TABLES_MAX];
                enum verdict end;

                make(&w, kinds[i], sizes[i]);
                for (size_t t = 0; t < sizes[i]; t++) {
                    static const int own[] = {NEW, NEW, OLD};
                    for (int p = 0; p < 3; p++)
                        w.at[t][p] = odd >> (3 * t + (unsigned)p) & 1
                                         ? p == WHERE_LIVE && flags & 4 ? FOREIGN : own[p]
                                         : NONE;
                    if (kinds[i][t] == MOVE_NEW)
                        w.at[t][WHERE_PLACE] = NONE;
                    if (kinds[i][t] == MOVE_DROP)
                        w.at[t][WHERE_STAGE] = NONE;
                    was[t] = w.at[t][WHERE_LIVE] != NONE;
                    some[t] = was[t] || w.at[t][WHERE_STAGE] || w.at[t][WHERE_PLACE];
                }
                end = settle(&w, flags & 1, flags & 2);
                for (size_t t = 0; t < sizes[i]; t++) {
                    bool live = w.at[t][WHERE_LIVE] != NONE;
                    if (kinds[i][t] == MOVE_REPLACE || kinds[i][t] == MOVE_VIEW)
                        assert_int_equal(live, some[t]);
                    else if (kinds[i][t] == MOVE_NEW)
                        assert_true(live || !was[t]);
                    else
                        assert_true(live || !was[t] || end == VERDICT_DONE);
                }
                moves_release(&w.m);
            }
}

static enum verdict decide_one(enum move_kind kind, bool live, bool staged, bool placed,
                               bool proved)
{
    struct moves m = {.n = 0};
    struct move *v = moves_add(&m, kind, "t", "old", "t");
    enum verdict r;

    v->live = live;
    v->staged = staged;
    v->placed = placed;
    v->proved = proved;
    r = moves_decide(&m, false, false, &(size_t){0});
    moves_release(&m);
    return r;
}

static void test_a_table_is_renamed_only_when_proved(void **state)
{
    (void)state;
    /* Staging was emptied, and nothing renamed: the live table stays where it is. */
    assert_int_equal(decide_one(MOVE_REPLACE, true, false, false, false), VERDICT_NOTHING);
    assert_int_equal(decide_one(MOVE_REPLACE, true, false, false, true), VERDICT_NOTHING);
    assert_int_equal(decide_one(MOVE_REPLACE, true, false, true, true), VERDICT_DONE);
    assert_int_equal(decide_one(MOVE_REPLACE, true, false, true, false), VERDICT_REFUSE);
    assert_int_equal(decide_one(MOVE_REPLACE, false, true, true, false), VERDICT_FORWARD);
    assert_int_equal(decide_one(MOVE_REPLACE, false, false, true, false), VERDICT_BACK);
    assert_int_equal(decide_one(MOVE_REPLACE, false, true, false, false), VERDICT_FORWARD);
    assert_int_equal(decide_one(MOVE_REPLACE, true, true, true, true), VERDICT_REFUSE);
    assert_int_equal(decide_one(MOVE_VIEW, true, true, false, false), VERDICT_NOTHING);
    assert_int_equal(decide_one(MOVE_VIEW, false, true, true, false), VERDICT_FORWARD);
    assert_int_equal(decide_one(MOVE_VIEW, true, false, true, true), VERDICT_DONE);
    assert_int_equal(decide_one(MOVE_NEW, true, true, false, true), VERDICT_NOTHING);
    assert_int_equal(decide_one(MOVE_DROP, true, false, false, false), VERDICT_NOTHING);
    assert_int_equal(decide_one(MOVE_DROP, false, false, true, false), VERDICT_DONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_crash_after_any_rename_is_ended),
        cmocka_unit_test(test_no_table_is_lost_whatever_lies_where),
        cmocka_unit_test(test_a_table_is_renamed_only_when_proved),
    };

    return cmocka_run_group_tests_name("moves", tests, NULL, NULL);
}
