/* SPDX-License-Identifier: MIT */
/* keep_rules: which tables and columns stay a mirror's own. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "sqlimport/plan/keep_rules.h"

struct rules {
    struct strlist patterns, columns, prefixes;
    struct keep_args args;
    struct keep_rules *k;
};

static void begin(struct rules *r, const char *prefix, const char *pattern, const char *column)
{
    memset(r, 0, sizeof(*r));
    if (prefix)
        strlist_add(&r->prefixes, prefix);
    if (pattern)
        strlist_add(&r->patterns, pattern);
    if (column)
        strlist_add(&r->columns, column);
    r->args = (struct keep_args){&r->patterns, &r->columns, &r->prefixes, true};
    assert_int_equal(keep_rules_new(&r->args, &r->k, NULL), 0);
}

static void see(struct rules *r, const char *const *tables)
{
    keep_rules_begin(r->k);
    for (; *tables; tables++)
        keep_rules_see(r->k, *tables);
    keep_rules_end(r->k);
}
#define SEE(r, ...) see(r, (const char *const[]){__VA_ARGS__, NULL})

static void end(struct rules *r)
{
    keep_rules_free(r->k);
    strlist_release(&r->patterns);
    strlist_release(&r->columns);
    strlist_release(&r->prefixes);
}

static void test_prefixes(void **state)
{
    struct rules r;

    (void)state;
    begin(&r, NULL, NULL, NULL);
    assert_true(keep_rules_table(r.k, "exp_sessions")); /* nothing seen yet */
    SEE(&r, "acme_sessions", "acme_channel_titles", "exp_sessions", "shop_sessions");
    assert_true(keep_rules_table(r.k, "acme_sessions") && keep_rules_table(r.k, "acme_captcha"));
    assert_false(
        keep_rules_table(r.k, "exp_sessions")); /* without channel_titles it is something else */
    assert_false(keep_rules_table(r.k, "shop_sessions") || keep_rules_table(r.k, "sessions"));
    SEE(&r, "sessions", "channel_titles", "b_sessions",
        "b_channel_titles"); /* an empty one, and two sites */
    assert_true(keep_rules_table(r.k, "sessions") && keep_rules_table(r.k, "b_throttle"));
    assert_false(keep_rules_table(r.k, "acme_sessions"));
    SEE(&r, "ACME_sessions", "ACME_channel_titles", "a%_*[x]sessions", "a%_*[x]channel_titles");
    assert_true(keep_rules_table(r.k, "ACME_captcha") && keep_rules_table(r.k, "a%_*[x]search"));
    assert_false(keep_rules_table(r.k, "a%_yxsearch") || keep_rules_table(r.k, "axx_*[x]search"));
    SEE(&r, "exp_weblog_titles", "exp_sessions");
    assert_true(keep_rules_table(r.k, "exp_sessions"));
    end(&r);
    begin(&r, "my_", NULL, NULL);
    SEE(&r, "exp_sessions", "exp_channel_titles");
    assert_true(keep_rules_table(r.k, "my_sessions"));
    assert_false(keep_rules_table(r.k, "exp_sessions"));
    end(&r);
    begin(&r, "", NULL, NULL);
    assert_true(keep_rules_table(r.k, "sessions"));
    end(&r);
}

static void test_patterns(void **state)
{
    struct rules r;

    (void)state;
    begin(&r, NULL, "shop_*", NULL);
    assert_true(keep_rules_table(r.k, "shop_cart"));
    assert_false(keep_rules_table(r.k, "shopping") || keep_rules_table(r.k, "Shop_cart"));
    end(&r);
}

static void note(void *arg, const char *column, bool asked)
{
    char *text = arg;

    strcat(text, column);
    strcat(text, asked ? "! " : " ");
}

static const char *columns(const struct rules *r, const char *table)
{
    static char text[200];

    text[0] = '\0';
    keep_rules_columns(r->k, table, note, text);
    return text;
}

static void test_columns(void **state)
{
    static const char *const wrong[] = {"",     "t",    "t.",     ".c",   "t.c.d",
                                        "`t.c", "t.`c", "`t`x.c", "``.c", "t.c`"};
    struct rules r;
    struct err e;

    (void)state;
    begin(&r, NULL, NULL, "`a.b```.`c d`");
    SEE(&r, "acme_sessions", "acme_channel_titles", "acme_sites");
    assert_string_equal(columns(&r, "a.b`"), "c d! ");
    assert_string_equal(columns(&r, "acme_sites"), "site_bootstrap_checksums ");
    assert_string_equal(columns(&r, "exp_sites"), "");
    assert_string_equal(keep_rules_lost(r.k), "`a.b```.`c d`");
    SEE(&r, "a.b`");
    assert_null(keep_rules_lost(r.k));
    end(&r);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        memset(&r, 0, sizeof(r));
        strlist_add(&r.columns, wrong[i]);
        r.args = (struct keep_args){&r.patterns, &r.columns, &r.prefixes, true};
        assert_int_equal(keep_rules_new(&r.args, &r.k, &e), -EINVAL);
        assert_non_null(strstr(e.text, "TABLE.COLUMN"));
        strlist_release(&r.columns);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_columns),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
