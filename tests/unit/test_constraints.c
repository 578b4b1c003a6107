/* SPDX-License-Identifier: MIT */
/* constraints: the named constraints of a CREATE TABLE are found, and nothing else. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "sqlimport/sql/constraints.h"

static void read_text(struct constraints *c, const char *text)
{
    constraints_read(c, text, strlen(text), (struct token_mode){0});
}

static void test_named_ones_are_found(void **state)
{
    struct constraints c;

    (void)state;
    read_text(&c, "CREATE TABLE `c` (\n"
                  "  `id` int(11) NOT NULL DEFAULT (1 + 2) COMMENT ', CONSTRAINT `no` CHECK (1)',\n"
                  "  `constraint` int(11) CHECK (`constraint` > 0),\n"
                  "  PRIMARY KEY (`id`),\n"
                  "  KEY `pid` (`pid`),\n"
                  "  CONSTRAINT `a``b` FOREIGN KEY (`pid`,`x`) REFERENCES `p` (`id`,`y`) ON DELETE "
                  "CASCADE ON UPDATE NO ACTION,\n"
                  "  CONSTRAINT `c_ibfk_12` FOREIGN KEY (`q`) REFERENCES `c` (`id`),\n"
                  "  CONSTRAINT `positive` CHECK (`id` > 0 and `id` <> ')')\n"
                  ") ENGINE=InnoDB COMMENT='x' PARTITION BY RANGE (`id`) (PARTITION p0, CONSTRAINT "
                  "`odd` CHECK (1))");
    assert_int_equal(c.n, 3);
    assert_string_equal(c.v[0].name, "a`b");
    assert_false(c.v[0].check);
    assert_string_equal(c.v[0].clause,
                        "FOREIGN KEY (`pid`,`x`) REFERENCES `p` (`id`,`y`) ON DELETE "
                        "CASCADE ON UPDATE NO ACTION");
    assert_string_equal(c.v[1].clause, "FOREIGN KEY (`q`) REFERENCES `c` (`id`)");
    assert_string_equal(c.v[0].parent, "p");
    assert_int_equal(strncmp(c.v[0].clause + c.v[0].parent_at, "`p` (", 5), 0);
    assert_string_equal(c.v[1].parent, "c");
    assert_true(c.v[2].check);
    assert_null(c.v[2].parent);
    assert_string_equal(c.v[2].clause, "CHECK (`id` > 0 and `id` <> ')')");
    assert_false(constraint_follows(&c.v[0], "c"));
    assert_true(constraint_follows(&c.v[1], "c"));
    assert_false(constraint_follows(&c.v[1], "d"));
    constraints_release(&c);
}

/* As MySQL 8 shows what is its own. A blank within a call would make another one of it. */
static void test_of_versioned_comments_only_the_inside_is_kept(void **state)
{
    struct constraints c;

    (void)state;
    read_text(&c,
              "CREATE TABLE `c` (\n"
              "  `a` int DEFAULT NULL,\n"
              "  CONSTRAINT `k` CHECK ((substr(`b`,1,_utf8mb4'x') > 0)) /*!80016 NOT ENFORCED */,\n"
              "  CONSTRAINT `f` FOREIGN KEY (`a`) /*!80000 REFERENCES */ `p` (`id`),\n"
              "  CONSTRAINT `l` CHECK ((`a` > 0)) /*!80016 NOT ENFORCED */\n"
              ") ENGINE=InnoDB");
    assert_int_equal(c.n, 3);
    assert_string_equal(c.v[0].clause, "CHECK ((substr(`b`,1,_utf8mb4'x') > 0)) NOT ENFORCED");
    assert_string_equal(c.v[1].clause, "FOREIGN KEY (`a`) REFERENCES `p` (`id`)");
    assert_string_equal(c.v[1].parent, "p");
    assert_int_equal(strncmp(c.v[1].clause + c.v[1].parent_at, "`p` (", 5), 0);
    assert_string_equal(c.v[2].clause, "CHECK ((`a` > 0)) NOT ENFORCED");
    constraints_release(&c);
}

static void test_half_a_text_is_harmless(void **state)
{
    static const char text[] = "CREATE TABLE `c` (`a` int, CONSTRAINT `k` FOREIGN KEY (`a`) "
                               "REFERENCES `p` (`id`), CONSTRAINT CHECK (`a` > 1)) ENGINE=InnoDB";
    struct constraints c;

    (void)state;
    for (size_t len = 0; len < sizeof(text); len++) {
        constraints_read(&c, text, len, (struct token_mode){0});
        constraints_release(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_named_ones_are_found),
        cmocka_unit_test(test_of_versioned_comments_only_the_inside_is_kept),
        cmocka_unit_test(test_half_a_text_is_harmless),
    };

    return cmocka_run_group_tests_name("constraints", tests, NULL, NULL);
}
