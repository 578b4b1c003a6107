/* SPDX-License-Identifier: MIT */
/* table_grammar: which CREATE TABLEs may run. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "sqlimport/sql/table_grammar.h"

static int check(const char *text, struct strlist *parents, struct err *e)
{
    const struct token_mode mode = {0};

    e->text[0] = '\0';
    return strstr(text, "SEQUENCE") == text + strlen("CREATE ")
               ? table_grammar_check_sequence(text, strlen(text), mode, e)
               : table_grammar_check(text, strlen(text), mode, parents, e);
}

/* What servers from MySQL 5.0 and MariaDB 5.5 on print. */
static void test_taken(void **state)
{
    static const char *const good[] = {
        "CREATE TABLE `t` (`a` int(11) NOT NULL auto_increment, PRIMARY KEY  (`a`)) ENGINE=MyISAM "
        "AUTO_INCREMENT=5 DEFAULT CHARSET=latin1",
        "CREATE TABLE t (a int) TYPE=InnoDB",
        "CREATE TABLE `t` (\n  `id` bigint unsigned zerofill NOT NULL DEFAULT '0',\n"
        "  `b` varchar(10) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL COMMENT 'x, y',\n"
        "  `c` enum('a','b''c') COLLATE utf8mb4_0900_ai_ci DEFAULT 'a',\n"
        "  `d` timestamp NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,\n"
        "  `e` datetime(6) NOT NULL DEFAULT current_timestamp(6) ON UPDATE current_timestamp(6),\n"
        "  `f` decimal(10,2) DEFAULT -1.50, `g` double(5,2), `h` double precision, `i` bit(3) "
        "DEFAULT b'101', `j` binary(4) DEFAULT x'00112233', `k` json DEFAULT (json_array()),\n"
        "  `l` longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL CHECK "
        "(json_valid(`l`)),\n  `m` int DEFAULT (`id` + 1), n set('x') , `o` int GENERATED ALWAYS "
        "AS (`id` * 2) VIRTUAL, p int AS (1) PERSISTENT, `q` int GENERATED ALWAYS AS (`id`) STORED "
        "NOT NULL,\n  `r` point NOT NULL SRID 4326, `s` geometry REF_SYSTEM_ID=0, `t` int "
        "INVISIBLE, `u` uuid DEFAULT uuid(), `v` text DEFAULT concat('a',\"b\"), `w` inet6,\n"
        "  `x` int COMPRESSED, `y` int WITHOUT SYSTEM VERSIONING, `z` int UNIQUE KEY, `aa` int "
        "REFERENCES `p` (`id`) ON DELETE CASCADE, `bb` bool NOT NULL CHECK (`bb` in (0,1)),\n"
        "  `cc` char(3) DEFAULT _utf8mb4'abc', `dd` national varchar(3), `ee` character "
        "varying(5), "
        "`ff` int unsigned /* */ NOT NULL COLUMN_FORMAT FIXED STORAGE DISK, `gg` serial)",
        "CREATE TABLE `t` (`a` int, `b` text, `e` enum('x'), UNIQUE KEY `u` (`a`,`b`(10)), KEY `k` "
        "USING BTREE (`a`), KEY `k2` (`a` DESC) USING HASH, INDEX (`a`), FULLTEXT KEY `f` (`b`) "
        "WITH PARSER `ngram`, SPATIAL KEY `s` (`g`), KEY `fn` ((lower(`b`))) COMMENT 'x' "
        "KEY_BLOCK_SIZE=8, KEY `inv` (`a`) INVISIBLE, KEY `ign` (`a`) IGNORED, VECTOR KEY `v` "
        "(`e`) `M`=8 `DISTANCE`=euclidean, CONSTRAINT `fk` FOREIGN KEY (`a`) REFERENCES `p` "
        "(`id`) ON DELETE SET NULL ON UPDATE NO ACTION, CONSTRAINT FOREIGN KEY `x` (`a`) "
        "REFERENCES q (id), CONSTRAINT `ck` CHECK (`a` > 0 and `b` <> 'x.y') NOT ENFORCED, CHECK "
        "((`a` like 'x%')), PERIOD FOR SYSTEM_TIME (`rs`, `re`), PERIOD FOR `p` (`s`,`e`), UNIQUE "
        "KEY `ov` (`a`,`p` WITHOUT OVERLAPS), PRIMARY KEY (`a`) USING BTREE)",
        "CREATE TABLE `t` (`rs` timestamp(6) GENERATED ALWAYS AS ROW START INVISIBLE, `re` "
        "timestamp(6) GENERATED ALWAYS AS ROW END, PRIMARY KEY (`id`,`re`)) ENGINE=InnoDB DEFAULT "
        "CHARSET=utf8mb4 COLLATE=utf8mb4_uca1400_ai_ci WITH SYSTEM VERSIONING PARTITION BY "
        "SYSTEM_TIME INTERVAL 1 DAY STARTS TIMESTAMP'2020-01-01 00:00:00' AUTO PARTITIONS 3",
        "CREATE TABLE `t` (`period` int, `vector` int, `value` int, `key` int) ENGINE=Aria "
        "DEFAULT CHARSET=utf8mb3 PAGE_CHECKSUM=1 TRANSACTIONAL=0 ROW_FORMAT=PAGE `ENCRYPTED`=yes "
        "`encryption_key_id`=2 PACK_KEYS=1 STATS_PERSISTENT=0 COMPRESSION='zlib' ENCRYPTION='N' "
        "MAX_ROWS=10 COMMENT='x' KEY_BLOCK_SIZE=4 DELAY_KEY_WRITE=1 CHECKSUM=1",
        "CREATE TABLE `t` (`a` int) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 PARTITION BY RANGE "
        "(year(`d`)) SUBPARTITION BY HASH (to_days(`d`)) SUBPARTITIONS 2 (PARTITION p0 VALUES LESS "
        "THAN (1990) ENGINE = InnoDB, PARTITION `p1` VALUES LESS THAN MAXVALUE ENGINE = InnoDB)",
        "CREATE TABLE `t` (`a` int) PARTITION BY LIST COLUMNS(a,b) (PARTITION p VALUES IN "
        "(('a',1),('b',NULL)) COMMENT = 'x' ENGINE = MyISAM, PARTITION d DEFAULT)",
        "CREATE TABLE `t` (`a` int) PARTITION BY LINEAR KEY ALGORITHM = 2 (`a`) PARTITIONS 4",
        "CREATE TABLE `t` (`a` int) PARTITION BY KEY () PARTITIONS 4",
        "CREATE TABLE `t` (`a` int) PARTITION BY RANGE (a) (PARTITION p VALUES LESS THAN (1) "
        "(SUBPARTITION s0 ENGINE = InnoDB, SUBPARTITION s1))",
        "CREATE TABLE `t` (`a` int) PARTITION BY SYSTEM_TIME LIMIT 10 (PARTITION p0 HISTORY "
        "ENGINE = InnoDB, PARTITION pn CURRENT ENGINE = InnoDB)",
        "CREATE SEQUENCE `s` start with 1 minvalue 1 maxvalue 9223372036854775806 increment by 1 "
        "cache 1000 nocycle ENGINE=InnoDB",
        "CREATE SEQUENCE s AS bigint unsigned start with -1 increment by -1 nocache cycle",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        struct strlist parents = {NULL, 0};
        struct err e;

        if (check(good[i], &parents, &e) != 0)
            fail_msg("refused: %s: %s", good[i], e.text);
        strlist_release(&parents);
    }
}

static void test_refused(void **state)
{
    static const char *const evil[] = {
        "CREATE TABLE t (LIKE other.t)",
        "CREATE TABLE t LIKE t2",
        "CREATE TABLE t (a int) LIKE t2",
        "CREATE TABLE t SELECT 1",
        "CREATE TABLE t (a int) SELECT 1",
        "CREATE TABLE t (a int) (SELECT 1)",
        "CREATE TABLE t (a int) AS SELECT 1",
        "CREATE TABLE t (a int) ENGINE=InnoDB AS (SELECT 1)",
        "CREATE TABLE t (a int) IGNORE SELECT 1",
        "CREATE TABLE t (a int) REPLACE AS TABLE u",
        "CREATE TABLE t (a int) VALUES (1)",
        "CREATE TABLE t (a int) WITH x AS (SELECT 1) SELECT * FROM x",
        "CREATE TABLE t (a int) PARTITION BY HASH (a) SELECT 1",
        "CREATE TABLE t (a int) PARTITION BY HASH (a) (PARTITION p) SELECT 1",
        "CREATE TABLE other.t (a int)",
        "CREATE TABLE `other`.`t` (a int)",
        "CREATE TABLE .t (a int)",
        "CREATE TABLE t (a int REFERENCES other.t(a))",
        "CREATE TABLE t (a int, FOREIGN KEY (a) REFERENCES other . t (a))",
        "CREATE TABLE t (a int) ENGINE=MERGE UNION=(other.t)",
        "CREATE TABLE t (a int) ENGINE=MyISAM UNION=(t2)",
        "CREATE TABLE t (a int) ENGINE=FEDERATED",
        "CREATE TABLE t (a int) ENGINE='CONNECT'",
        "CREATE TABLE t (a int) ENGINE=`SPIDER`",
        "CREATE TABLE t (a int) ENGINE=InnoDB CONNECTION='mysql://x/y'",
        "CREATE TABLE t (a int) DATA DIRECTORY='/tmp'",
        "CREATE TABLE t (a int) INDEX DIRECTORY '/tmp'",
        "CREATE TABLE t (a int) TABLESPACE x",
        "CREATE TABLE t (a int) SEQUENCE=1",
        "CREATE TABLE t (a int) SECONDARY_ENGINE=x",
        "CREATE TABLE t (a int) START TRANSACTION",
        "CREATE TABLE t (a int) PARTITION BY HASH (a) (PARTITION p ENGINE=FEDERATED)",
        "CREATE TABLE t (a int) PARTITION BY HASH (a) (PARTITION p DATA DIRECTORY='/tmp')",
        "CREATE TABLE t (a int) PARTITION BY HASH (a) (PARTITION p TABLESPACE=x)",
        "CREATE TABLE t (a int) PARTITION BY RANGE (a) (PARTITION p VALUES LESS THAN (1) "
        "(SUBPARTITION s ENGINE=CONNECT))",
        "CREATE TABLE t (a int) PARTITION BY RANGE (a) (PARTITION p VALUES LESS THAN (1) "
        "CONNECTION='x')",
        "CREATE TABLE t (a int) PARTITION BY HASH (a), ENGINE=CONNECT",
        "CREATE TABLE t (a int) ENGINE=InnoDB, ENGINE=CONNECT",
        "CREATE TABLE t (a text DEFAULT (LOAD_FILE('/etc/passwd')))",
        "CREATE TABLE t (a text DEFAULT load_file('/etc/passwd'))",
        "CREATE TABLE t (a text DEFAULT (`load_file`('/etc/passwd')))",
        "CREATE TABLE t (a text DEFAULT `load_file`('/etc/passwd'))",
        "CREATE TABLE t (a int DEFAULT (SLEEP(1)))",
        "CREATE TABLE t (a int DEFAULT nextval(other.s))",
        "CREATE TABLE t (a int DEFAULT (NEXT VALUE FOR s))",
        "CREATE TABLE t (a int DEFAULT (other.f()))",
        "CREATE TABLE t (a int DEFAULT other.f())",
        "CREATE TABLE t (a int DEFAULT ((SELECT 1)))",
        "CREATE TABLE t (a int DEFAULT (@a))",
        "CREATE TABLE t (a int DEFAULT @@version)",
        "CREATE TABLE t (a int CHECK (other.t.a > 1))",
        "CREATE TABLE t (a int) ; DROP TABLE t",
        "CREATE TABLE t (a int);",
        "CREATE TABLE t (a int) COMMENT='x' 'y'",
        "CREATE TABLE t (a int) x=1",
        "CREATE TABLE t (a int",
        "CREATE TABLE t",
        "CREATE TABLE t ()",
        "CREATE TABLE t (a other.b)",
        "CREATE TEMPORARY TABLE t (a int)",
        "CREATE SEQUENCE s.t",
        "CREATE SEQUENCE s ENGINE=CONNECT",
        "CREATE SEQUENCE s start with (SELECT 1)",
        "CREATE SEQUENCE s; DROP TABLE t",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(evil) / sizeof(*evil); i++) {
        struct strlist parents = {NULL, 0};
        struct err e;

        if (check(evil[i], &parents, &e) != -EPERM || !*e.text)
            fail_msg("not refused: %s", evil[i]);
        strlist_release(&parents);
    }
}

static void test_parents(void **state)
{
    struct strlist parents = {NULL, 0};
    struct err e;

    (void)state;
    assert_int_equal(check("CREATE TABLE `c` (`a` int REFERENCES `x``y` (`b`), CONSTRAINT "
                           "`references` FOREIGN KEY (`a`) REFERENCES p (`b`))",
                           &parents, &e),
                     0);
    assert_int_equal(parents.n, 2);
    assert_string_equal(parents.v[0], "x`y");
    assert_string_equal(parents.v[1], "p");
    strlist_release(&parents);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_taken),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_parents),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
