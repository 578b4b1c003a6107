/* SPDX-License-Identifier: MIT */
/* reports: what mirrors last reported. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "sync/common/clock.h"
#include "sync/master/db/reports.h"

static const char *said(json_t *o, const char *name)
{
    return json_string_value(json_object_get(o, name));
}

static void test_heard_of(void **state)
{
    struct reports *s = reports_new();
    json_t *told = json_pack("{s:s,s:s,s:i}", "state", "SYNCING", "reason", "so", "pending", 3);
    int64_t now;
    json_t *o;

    (void)state;
    o = reports_show(s, "slave1", 10, clock_mono_ms());
    assert_string_equal(said(o, "state"), "unknown");
    assert_null(json_object_get(o, "seen_ms_ago"));
    assert_null(json_object_get(o, "pending"));
    json_decref(o);

    reports_seen(s, "slave1", told, 7);
    now = clock_mono_ms();
    o = reports_show(s, "slave1", 10, now);
    assert_string_equal(said(o, "state"), "SYNCING");
    assert_string_equal(said(o, "reason"), "so");
    assert_int_equal(json_integer_value(json_object_get(o, "pending")), 3);
    assert_int_equal(json_integer_value(json_object_get(o, "cursor_behind")), 3);
    json_decref(o);

    /* What it said long ago is not how it stands now. */
    o = reports_show(s, "slave1", 10, now + REPORTS_SILENT_MS + 60000);
    assert_string_equal(said(o, "state"), "unknown");
    assert_string_equal(said(o, "reason"), "not heard of for 90 s");
    assert_true(json_is_true(json_object_get(o, "silent")));
    assert_null(json_object_get(o, "pending"));
    json_decref(o);

    reports_seen(s, "slave2", NULL, 7); /* has not reported yet: may be none that does */
    o = reports_show(s, "slave2", 10, now + REPORTS_SILENT_MS + 60000);
    assert_false(json_is_true(json_object_get(o, "silent")));
    json_decref(o);

    reports_seen(s, "slave1", NULL, 10);
    o = reports_show(s, "slave1", 10, clock_mono_ms());
    assert_string_equal(said(o, "state"), "SYNCING");
    json_decref(o);
    json_decref(told);
    reports_free(s);
}

/* Reports of machines A to D in turn; what the last one is told. */
static void report_all(struct reports *s, const char *letters, int64_t *now, char *other)
{
    for (; *letters; letters++) {
        const char id[] = {'i', 'd', *letters, ':', *letters, '\0'};
        const char at[] = {'1', '9', '2', '.', '0', '.', '2', '.', (char)(*letters - 16), '\0'};

        reports_seen(s, "slave1", json_null(), -1);
        *now += 1000;
        reports_machine(s, "slave1", id, at, *now, other);
    }
}

static bool has_twin(struct reports *s, int64_t now, const char *reason)
{
    json_t *o = reports_show(s, "slave1", 1, now);
    bool yes = json_is_true(json_object_get(o, "twin"));

    if (yes)
        assert_string_equal(said(o, "reason"), reason);
    json_decref(o);
    return yes;
}

static void test_two_machines(void **state)
{
    struct reports *s = reports_new();
    int64_t now = clock_mono_ms();
    char other[REPORTS_TEXT_CAP];

    (void)state;
    report_all(s, "AAABBBCC", &now, other); /* one takes over from the other for good */
    assert_string_equal(other, "");
    assert_false(has_twin(s, now, ""));
    report_all(s, "B", &now, other);
    assert_string_equal(other, "'C' at 192.0.2.3");
    assert_true(
        has_twin(s, now, "two machines use its token: 'C' at 192.0.2.3 and 'B' at 192.0.2.2"));
    report_all(s, "B", &now, other); /* the other one is still there, as far as is known */
    assert_string_equal(other, "'C' at 192.0.2.3");
    report_all(s, "C", &now, other);
    assert_string_equal(other, "'B' at 192.0.2.2");
    now += REPORTS_TWIN_MS;
    report_all(s, "C", &now, other); /* it has gone */
    assert_string_equal(other, "");
    report_all(s, "ABCA", &now, other); /* three */
    assert_string_equal(other, "'C' at 192.0.2.3");
    reports_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_heard_of),
                                       cmocka_unit_test(test_two_machines)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
