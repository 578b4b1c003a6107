/* SPDX-License-Identifier: MIT */
/* redact: secrets of a statement never reach a log. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "sqlimport/sql/redact.h"

static void expect(unsigned code, bool rows, const char *message, const char *want)
{
    char out[600];

    redact(code, rows, message, out, sizeof(out));
    assert_string_equal(out, want);
}

static void test_values_are_hidden(void **state)
{
    (void)state;
    expect(1062, false, "Duplicate entry 'ann@example.org' for key 'email'",
           "Duplicate entry (not shown) for key 'email'");
    expect(1062, true, "Duplicate entry 'a' for key 'b' for key 'email'",
           "Duplicate entry (not shown) for key 'email'");
    expect(1366, true, "Incorrect string value: '\\xE9t\\xE9' for column `s`.`t`.`name` at row 3",
           "Incorrect string value: (not shown) for column `s`.`t`.`name` at row 3");
    expect(1292, true, "Truncated incorrect DOUBLE value: 'secret'",
           "Truncated incorrect DOUBLE value: (not shown)");
    expect(1064, true, "You have an error near '$2y$10$hash' at line 1",
           "You have an error near (not shown)");
    expect(9999, true, "Something new with 'secret' in it", "Something new with (not shown)");
    expect(1062, false, "Doppelter Eintrag 'geheim' f\xc3\xbcr Schl\xc3\xbcssel 'email'",
           "Doppelter Eintrag (not shown)");
}

static void test_names_are_shown(void **state)
{
    static const char *const messages[] = {"Table 's.t' doesn't exist", "Unknown column 'x'"};

    (void)state;
    expect(1146, true, messages[0], messages[0]);
    expect(1054, false, messages[1], messages[1]);
    expect(2013, true, "Lost connection to server at 'handshake'",
           "Lost connection to server at 'handshake'");
    expect(1273, false, "Unknown collation: 'utf8mb4_x'", "Unknown collation: 'utf8mb4_x'");
    expect(1205, true, "Lock wait timeout exceeded", "Lock wait timeout exceeded");
}

static void test_what_carries_rows(void **state)
{
    (void)state;
    assert_true(redact_carries_rows("INSERT INTO t VALUES (1)", 24));
    assert_true(redact_carries_rows("/*!40000 INSERT */", 18));
    assert_true(redact_carries_rows("CREATED", 7));
    assert_true(redact_carries_rows("", 0));
    assert_false(redact_carries_rows("\n ALTER TABLE t ADD KEY k (a)", 29));
    assert_false(redact_carries_rows("COMMIT", 6));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_are_hidden),
        cmocka_unit_test(test_names_are_shown),
        cmocka_unit_test(test_what_carries_rows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
