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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_heard_of)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
