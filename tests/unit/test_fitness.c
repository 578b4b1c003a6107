/* SPDX-License-Identifier: MIT */
/* fitness: verdicts that do not flap, and the weight of a load. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "sync/mirror/control/fitness.h"

static bool is_fit(struct fitness *f)
{
    int weight = -1;
    bool fit = fitness_is_fit(f, &weight);

    assert_int_equal(weight, fit ? 80 : 0);
    return fit;
}

static void look(struct fitness *f, const char *why, int n)
{
    for (int i = 0; i < n; i++)
        fitness_look(f, why, 80, -1);
}

static void test_hysteresis(void **state)
{
    struct fitness *f = fitness_new();
    json_t *o;

    (void)state;
    assert_false(is_fit(f)); /* nobody has looked */
    assert_null(fitness_json(f));
    look(f, "", 1);
    assert_true(is_fit(f));
    for (int i = 0; i < 10; i++) { /* a third of the looks is lost */
        look(f, "lost", FITNESS_BAD - 1);
        assert_true(is_fit(f));
        look(f, "", 1);
    }
    look(f, "gone", FITNESS_BAD);
    assert_false(is_fit(f));
    look(f, "", FITNESS_GOOD - 1);
    assert_false(is_fit(f));
    o = fitness_json(f);
    assert_string_equal(json_string_value(json_object_get(o, "reason")), "gone");
    json_decref(o);
    look(f, "again", 1);
    look(f, "", FITNESS_GOOD);
    assert_true(is_fit(f));
    o = fitness_json(f);
    assert_string_equal(json_string_value(json_object_get(o, "reason")), "");
    assert_null(json_object_get(o, "check_ms"));
    json_decref(o);
    fitness_free(f);

    f = fitness_new();
    look(f, "bad from the first look", 1);
    assert_false(is_fit(f));
    fitness_free(f);
}

static void test_weight(void **state)
{
    (void)state;
    assert_int_equal(fitness_weight(0, -1), 100);
    assert_int_equal(fitness_weight(1.0, 250), 100);
    assert_int_equal(fitness_weight(2.0, -1), 50);
    assert_int_equal(fitness_weight(0.5, 1000), 25);
    assert_int_equal(fitness_weight(4.0, 500), 13);
    assert_int_equal(fitness_weight(1000, 3000), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hysteresis),
        cmocka_unit_test(test_weight),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
