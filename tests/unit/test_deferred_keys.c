/* SPDX-License-Identifier: MIT */
/* deferred_keys: which keys of a table are made after its rows. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "sqlimport/sql/deferred_keys.h"

#define END "\n) ENGINE=InnoDB AUTO_INCREMENT=7 DEFAULT CHARSET=utf8mb4 COMMENT='KEY (`x`), '"

static bool cut(const char *sql, struct buf *create, struct buf *alter)
{
    const struct token_mode mode = {0};

    buf_clear(create);
    buf_clear(alter);
    return deferred_keys_cut(sql, strlen(sql), mode, create, alter);
}

static void test_plain_keys_are_cut(void **state)
{
    struct buf create = BUF_INIT, alter = BUF_INIT;

    (void)state;
    assert_true(cut("CREATE TABLE `t``1` (\n"
                    "  `id` int(11) NOT NULL AUTO_INCREMENT COMMENT ', KEY `q` (`a`)',\n"
                    "  `a` varchar(200) DEFAULT concat('(',1),\n"
                    "  `j` longtext CHECK (json_valid(`j`)),\n"
                    "  PRIMARY KEY (`id`),\n"
                    "  UNIQUE KEY `u` (`a`,`id`) USING BTREE,\n"
                    "  KEY `k,1` (`a`(10),`id` DESC) USING BTREE COMMENT 'it''s ), \\' (',\n"
                    "  FULLTEXT KEY `f` (`j`),\n"
                    "  KEY `k2` USING BTREE (`a`)" END,
                    &create, &alter));
    assert_string_equal(create.data, "CREATE TABLE `t``1` (\n"
                                     "  `id` int(11) NOT NULL AUTO_INCREMENT COMMENT ', KEY `q` "
                                     "(`a`)',\n"
                                     "  `a` varchar(200) DEFAULT concat('(',1),\n"
                                     "  `j` longtext CHECK (json_valid(`j`)),\n"
                                     "  PRIMARY KEY (`id`),\n"
                                     "  UNIQUE KEY `u` (`a`,`id`) USING BTREE,\n"
                                     "  FULLTEXT KEY `f` (`j`)" END);
    assert_string_equal(alter.data,
                        "ALTER TABLE `t``1` ADD KEY `k,1` (`a`(10),`id` DESC) USING BTREE "
                        "COMMENT 'it''s ), \\' (', ADD KEY `k2` USING BTREE (`a`)");
    /* an AUTO_INCREMENT that a unique key serves; names are compared as the server does */
    assert_true(cut("CREATE TABLE IF NOT EXISTS `t` (`a` int, `Id` int AUTO_INCREMENT, PRIMARY KEY "
                    "(`a`), UNIQUE KEY `u` (`id`), KEY `k` (`a`,`Id`)) ENGINE=InnoDB",
                    &create, &alter));
    assert_string_equal(alter.data, "ALTER TABLE `t` ADD KEY `k` (`a`,`Id`)");
    buf_release(&create);
    buf_release(&alter);
}

static void test_others_are_left_whole(void **state)
{
    static const char *const left[] = {
        /* nothing to cut; no primary key; another engine, or none named */
        "CREATE TABLE `t` (`a` int, PRIMARY KEY (`a`)) ENGINE=InnoDB",
        "CREATE TABLE `t` (`a` int, KEY `k` (`a`)) ENGINE=InnoDB",
        "CREATE TABLE `t` (`a` int, PRIMARY KEY (`a`), KEY `k` (`a`)) ENGINE=MyISAM",
        "CREATE TABLE `t` (`a` int, PRIMARY KEY (`a`), KEY `k` (`a`))",
        /* AUTO_INCREMENT by a plain key, or by the second column */
        "CREATE TABLE `t` (`i` int AUTO_INCREMENT, `a` int, PRIMARY KEY (`a`), KEY `k` (`i`)) "
        "ENGINE=InnoDB",
        "CREATE TABLE `t` (`i` int AUTO_INCREMENT, `a` int, PRIMARY KEY (`a`,`i`), KEY `k` (`i`)) "
        "ENGINE=InnoDB",
        /* foreign, spatial, expression, invisible and nameless keys; checks of the table */
        "CREATE TABLE `t` (`a` int, PRIMARY KEY (`a`), KEY `k` (`a`), CONSTRAINT `c` FOREIGN KEY "
        "(`a`) REFERENCES `p` (`a`)) ENGINE=InnoDB",
        "CREATE TABLE `t` (`a` int, `g` point NOT NULL, PRIMARY KEY (`a`), KEY `k` (`a`), SPATIAL "
        "KEY `s` (`g`)) ENGINE=InnoDB",
        "CREATE TABLE `t` (`a` int, PRIMARY KEY (`a`), KEY `k` ((`a` + 1))) ENGINE=InnoDB",
        "CREATE TABLE `t` (`a` int, PRIMARY KEY (`a`), KEY `k` (`a`) IGNORED) ENGINE=InnoDB",
        "CREATE TABLE `t` (`a` int, PRIMARY KEY (`a`), KEY `k` (`a`) /*!80000 INVISIBLE */) "
        "ENGINE=InnoDB",
        "CREATE TABLE `t` (`a` int, PRIMARY KEY (`a`), KEY (`a`)) ENGINE=InnoDB",
        "CREATE TABLE `t` (`a` int, PRIMARY KEY (`a`), KEY `k` (`a`), VECTOR KEY `v` (`a`)) "
        "ENGINE=InnoDB",
        /* generated columns, partitions, history */
        "CREATE TABLE `t` (`a` int, `b` int GENERATED ALWAYS AS (`a` * 2) VIRTUAL, PRIMARY KEY "
        "(`a`), KEY `k` (`b`)) ENGINE=InnoDB",
        "CREATE TABLE `t` (`a` int, PRIMARY KEY (`a`), KEY `k` (`a`)) ENGINE=InnoDB\n/*!50100 "
        "PARTITION BY HASH (`a`) */",
        "CREATE TABLE `t` (`a` int, PRIMARY KEY (`a`), KEY `k` (`a`)) ENGINE=InnoDB\n PARTITION BY "
        "HASH (`a`)",
        "CREATE TABLE `t` (`a` int, PRIMARY KEY (`a`), KEY `k` (`a`)) ENGINE=InnoDB WITH SYSTEM "
        "VERSIONING",
        /* other statements, and halves */
        "CREATE TEMPORARY TABLE `t` (`a` int, PRIMARY KEY (`a`), KEY `k` (`a`)) ENGINE=InnoDB",
        "CREATE TABLE `d`.`t` (`a` int, PRIMARY KEY (`a`), KEY `k` (`a`)) ENGINE=InnoDB",
        "CREATE TABLE `t` (`a` int, PRIMARY KEY (`a`), KEY `k` (`a`", "CREATE TABLE `t` (`a", ""};
    struct buf create = BUF_INIT, alter = BUF_INIT;

    (void)state;
    for (size_t i = 0; i < sizeof(left) / sizeof(*left); i++)
        if (cut(left[i], &create, &alter))
            fail_msg("cut: %s", left[i]);
    buf_release(&create);
    buf_release(&alter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_keys_are_cut),
        cmocka_unit_test(test_others_are_left_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
