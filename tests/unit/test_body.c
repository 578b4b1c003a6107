/* SPDX-License-Identifier: MIT */
/* body: which bodies of views, routines and triggers may run, and what they are written as. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sqlimport/sql/body.h"
#include "sqlimport/sql/stored_grammar.h"

static int check(const char *text, bool view, struct err *e)
{
    const struct token_mode mode = {0};

    e->text[0] = '\0';
    return body_check(text, strlen(text), mode, view, "live", e);
}

static void test_views(void **state)
{
    static const char *const good[] = {
        "select `t`.`a` AS `a`,`u`.`b` AS `other` from `t` join `u` on(`t`.`a` = `u`.`a`)",
        "select `live`.`t`.`a` from `live`.`t`",
        "select extract(year from `t`.`d`), trim(leading 'x' from `t`.`c`), "
        "substring(`t`.`c` from 2) from `t` where `t`.`a` in (select `v`.`x` from `v`)",
        "select case when `t`.`a` > 1 then `t`.`b` else `t`.`c` end AS `x` from (`t` left join "
        "(`u` join `w` on(`w`.`a` = `u`.`a`)) on(`u`.`a` = `t`.`a`)) group by `t`.`a`,`u`.`b` "
        "having count(0) > 1 order by `t`.`a` desc,`u`.`b` limit 5",
        "with recursive `c` as (select 1 AS `n` union all select `c`.`n` + 1 from `c` where "
        "`c`.`n` < 5) select `c`.`n` from `c`",
        "select `fn`(`t`.`a`), `t`.`a` % 2, `t`.* from `t` straight_join `u` using (`a`)",
        "(select `a`.`b` from `a`) union all select `c`.`d` from `c`",
        "select straight_join t.a from t use index for order by (i), u where t.x = u.y",
        "select `t`.`end`, replace(`t`.`a`,'x','y'), insert(t.a, 1, 2, 'x') from `t`",
        "select table_name from information_schema.tables where table_schema = database()",
        "select row_number() over (partition by `t`.`a` order by `t`.`b`) from `t`",
        "select j.x from t, json_table(t.doc, '$[*]' columns (x int path '$.x')) j, u",
        "select group_concat(distinct t.a order by t.b desc separator ',') from t",
        "select convert(t.a using utf8mb4), cast(t.b as char character set latin1) from t",
        "select * from t where match (t.a, t.b) against ('x' in boolean mode) for update",
    };
    static const char *const evil[] = {
        "select * from other.t",
        "select * from `other` . `t`",
        "select * from t, other.t",
        "select * from t other, other.u",
        "select * from t join other.u",
        "select * from t natural join other.u",
        "select * from t straight_join other.u",
        "select * from (t, other.u)",
        "select * from (t join (u, other.v))",
        "select * from t join u on t.a = u.a, other.v",
        "select * from t join u on t.a = values(t.b), other.v",
        "select * from t join u using (a), other.v",
        "select * from t use index for order by (i), other.v",
        "select * from t use index for group by (i), other.v",
        "select * from t value, other.v",
        "select * from t window, other.v",
        "select * from t as x partition (p), other.v",
        "select * from (select 1) x, other.v",
        "select * from (select 1) value (a), other.v",
        "select * from t join u on case when binary end then (1) else (2) end, other.t",
        "select (select 1 from other.t)",
        "select a.b.c from b",
        "select other.f(1)",
        "select other.f (1) from t",
        "select other.t.* from t",
        "select * from t where a in (select b from other.u)",
        "select * from t where exists (table other.u)",
        "select 1 union select a from other.t",
        "(select 1) union (select a from other.t)",
        "with c as (select * from other.t) select * from c",
        "select load_file('/etc/passwd')",
        "select `load_file`('/etc/passwd')",
        "select 1 into outfile '/tmp/x'",
        "select 1 into dumpfile '/tmp/x' from t",
        "select 1 into @a",
        "select 1; drop table t",
        "select next value for other.s",
        "select nextval(other.s)",
        "select `setval`(other.s, 1)",
        "select x from t for system_time as of timestamp '2020-01-01', other.t",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        struct err e;
        if (check(good[i], true, &e) != 0)
            fail_msg("refused: %s: %s", good[i], e.text);
    }
    for (size_t i = 0; i < sizeof(evil) / sizeof(*evil); i++) {
        struct err e;
        if (check(evil[i], true, &e) != -EPERM || !*e.text)
            fail_msg("not refused: %s", evil[i]);
    }
}

static void test_statements(void **state)
{
    static const char *const good[] = {
        "SET NEW.a = NEW.a + 1",
        "INSERT INTO log (a, b) VALUES (OLD.a, NOW()), (1, 2)",
        "INSERT INTO log SELECT t.a FROM t ON DUPLICATE KEY UPDATE a = VALUES(a), b = t.b",
        "BEGIN END",
        "BEGIN DECLARE x, y INT DEFAULT 0; DECLARE c CURSOR FOR SELECT t.a FROM t; DECLARE EXIT "
        "HANDLER FOR SQLSTATE VALUE '23000', 1062, NOT FOUND, SQLEXCEPTION SET x = 1; OPEN c; "
        "l: LOOP FETCH c INTO y; IF x = 1 THEN LEAVE l; ELSEIF x IN (2, 3) THEN ITERATE l; ELSE "
        "SET x = 2, @y = 3, SESSION sql_mode = '', @@session.time_zone = 'UTC'; END IF; END LOOP "
        "l; "
        "CLOSE c; END",
        "BEGIN CASE x WHEN 1 THEN SELECT 1; WHEN 2 THEN BEGIN SELECT 2; END; ELSE SELECT CASE WHEN "
        "1 THEN 2 ELSE 3 END; END CASE; WHILE x < 5 DO SET x = x + 1; END WHILE; REPEAT SET x = 1; "
        "UNTIL x > CASE WHEN 1 THEN 2 END END REPEAT; END",
        "IF NEW.a THEN SET NEW.b = (SELECT MAX(t.b) FROM t WHERE t.a = NEW.a); END IF;",
        "UPDATE t, u SET t.a = 1, u.b = t.c WHERE t.id = u.id",
        "DELETE t, u.* FROM t JOIN u ON t.a = u.a",
        "DELETE FROM t USING t JOIN u WHERE t.a = u.a",
        "BEGIN CREATE TEMPORARY TABLE IF NOT EXISTS tmp (a INT) ENGINE=MEMORY AS SELECT t.a FROM "
        "t; "
        "DROP TEMPORARY TABLE IF EXISTS tmp; TRUNCATE TABLE log; ALTER TABLE log ADD x INT; END",
        "CALL p(1, @x, t.y)",
        "CALL live.p()",
        "BEGIN START TRANSACTION; SAVEPOINT a; RELEASE SAVEPOINT a; COMMIT; GET DIAGNOSTICS "
        "CONDITION 1 @a = MESSAGE_TEXT; GET CURRENT DIAGNOSTICS @n = NUMBER; SIGNAL SQLSTATE "
        "'45000' SET MESSAGE_TEXT = 'x', MYSQL_ERRNO = 1; DO RELEASE_LOCK('x'); END",
        "BEGIN FOR r IN (SELECT a FROM t) DO SET x = r.a; END FOR; END",
        "OPTIMIZE TABLE t",
        "RENAME TABLE log TO old, new TO log",
        "RETURN CASE WHEN x THEN IF(y, 1, 2) ELSE REPLACE(z, 'a', 'b') END",
        "REPLACE INTO t VALUES (TRUNCATE(1.5, 1))",
        "SELECT x.a, b INTO y, z FROM x WHERE x.c = @@global.max_connections",
        "IF GET_LOCK('x', 0) THEN DELETE FROM t WHERE d < NOW() - INTERVAL 1 DAY; END IF",
        "BEGIN NOT ATOMIC SELECT 1; END",
    };
    static const char *const evil[] = {
        "GRANT ALL ON *.* TO x",
        "BEGIN GRANT ALL ON *.* TO x; END",
        "BEGIN SELECT 1; DROP USER x; END",
        "BEGIN DECLARE EXIT HANDLER FOR SQLEXCEPTION SHUTDOWN; END",
        "BEGIN DECLARE EXIT HANDLER FOR SQLSTATE '1', NOT FOUND KILL 1; END",
        "l: BEGIN l2: LOOP FLUSH TABLES; END LOOP; END",
        "IF 1 THEN KILL 5; END IF",
        "IF end THEN KILL 5; END IF",
        "IF CASE WHEN 1 THEN BINARY end ELSE (2) END THEN KILL 5; END IF",
        "IF CASE WHEN 1 THEN BINARY end WHEN (2) THEN (3) END THEN KILL 5; END IF",
        "CASE x WHEN CASE WHEN 1 THEN BINARY end WHEN 2 THEN (3) END THEN KILL 5; END CASE",
        "IF x THEN SELECT 1; ELSE KILL 5; END IF",
        "CASE x WHEN 1 THEN KILL 5; END CASE",
        "CASE WHEN 1 THEN SELECT 1; ELSE KILL 5; END CASE",
        "WHILE 1 DO KILL 5; END WHILE",
        "WHILE do DO KILL 5; END WHILE",
        "REPEAT KILL 5; UNTIL 1 END REPEAT",
        "FOR i IN (SELECT 1) DO KILL 5; END FOR",
        ("BEGIN IF 1 THEN SELECT x FROM a JOIN b ON CASE WHEN 1 THEN BINARY end ELSE (2) END, "
         "other.t; END IF; END"),
        "PREPARE s FROM 'x'",
        "BEGIN EXECUTE IMMEDIATE 'x'; END",
        "SET GLOBAL x = 1",
        "SET @a = 1, GLOBAL x = 1",
        "SET @@global.x = 1",
        "SET SESSION a = 1, @@GLOBAL.x = 1",
        "SET @@persist.x = 1",
        "SET PERSIST x = 1",
        "SET PASSWORD = 'x'",
        "SET PASSWORD FOR root = 'x'",
        "BEGIN SET PASSWORD = 'x'; END",
        "SET ROLE admin",
        "SET DEFAULT ROLE x FOR y",
        "SET STATEMENT max_statement_time=1 FOR SELECT * FROM t",
        "LOAD DATA INFILE '/etc/passwd' INTO TABLE t",
        "SELECT * FROM t INTO OUTFILE '/tmp/x'",
        "INSERT INTO other.t VALUES (1)",
        "INSERT other.t VALUES (1)",
        "INSERT IGNORE other.t VALUES (1)",
        "INSERT INTO t SELECT * FROM other.t",
        "REPLACE LOW_PRIORITY INTO other.t VALUES (1)",
        "UPDATE other.t SET a = 1",
        "UPDATE t, other.u SET a = 1",
        "DELETE FROM other.t",
        "DELETE other.t FROM t",
        "DELETE t FROM t, other.u",
        "DELETE FROM t USING t, other.u",
        "TRUNCATE other.t",
        "TRUNCATE TABLE other.t",
        "CALL other.p()",
        "CALL mysql.p",
        "SET a = other.f()",
        "SET a = (SELECT 1 FROM mysql.user)",
        "CREATE TABLE other.t (a int)",
        "CREATE TABLE t LIKE other.t",
        "CREATE TABLE t (a int) ENGINE=CONNECT",
        "CREATE TABLE t (a int) DATA DIRECTORY='/tmp'",
        "CREATE TABLE t SELECT * FROM other.t",
        "CREATE TABLE t (a int REFERENCES other.t(a))",
        "CREATE USER x",
        "CREATE OR REPLACE USER x",
        "CREATE DATABASE x",
        "CREATE VIEW v AS SELECT 1",
        "CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (HOST 'x')",
        "CREATE FUNCTION f RETURNS STRING SONAME 'x.so'",
        "ALTER TABLE t RENAME TO other.t",
        "ALTER TABLE t EXCHANGE PARTITION p WITH TABLE other.t",
        "ALTER USER x",
        "ALTER DATABASE x",
        "DROP TABLE t, other.t",
        "DROP DATABASE x",
        "DROP USER x",
        "RENAME TABLE t TO other.t",
        "RENAME USER a TO b",
        "START SLAVE",
        "HANDLER t OPEN",
        "INSTALL SONAME 'x'",
        "FLUSH PRIVILEGES",
        "BEGIN SELECT 1; END; DROP TABLE t",
        "SELECT 1; SELECT 2",
        "BEGIN SELECT 1;",
        "BEGIN SELECT (1; END",
        "SELECT 1)",
        "END",
        "DECLARE r ROW TYPE OF other.t",
        "BEGIN DECLARE r TYPE OF other.t.c; END",
        "OPTIMIZE TABLE t, other.t",
        "USE other",
        "SHOW GRANTS",
        "DO LOAD_FILE('/x')",
        "RETURN (SELECT a FROM other.t LIMIT 1)",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        struct err e;
        if (check(good[i], false, &e) != 0)
            fail_msg("refused: %s: %s", good[i], e.text);
    }
    for (size_t i = 0; i < sizeof(evil) / sizeof(*evil); i++) {
        struct err e;
        if (check(evil[i], false, &e) != -EPERM || !*e.text)
            fail_msg("not refused: %s", evil[i]);
    }
}

static void test_deep(void **state)
{
    char *text = calloc(1, 1 << 20);
    struct err e;

    (void)state;
    memset(text, '(', (1 << 20) - 1);
    assert_int_equal(check(text, true, &e), -EPERM);
    for (size_t i = 0; i + 6 < 1 << 20; i += 6)
        memcpy(text + i, "BEGIN ", 6);
    assert_int_equal(check(text, false, &e), -EPERM);
    free(text);
}

static void test_heads(void **state)
{
    static const struct {
        enum object_kind kind;
        const char *text, *body, *table, *definer;
    } heads[] = {
        {OBJECT_VIEW,
         "CREATE ALGORITHM=MERGE DEFINER=`a`@`%` SQL SECURITY DEFINER VIEW `v` (`a`) "
         "AS select 1",
         "select 1", NULL, "`a`@`%`"},
        {OBJECT_VIEW, "CREATE VIEW v AS select 1", "select 1", NULL, NULL},
        {OBJECT_TRIGGER,
         "CREATE DEFINER=CURRENT_USER TRIGGER t BEFORE INSERT ON `x``y` FOR EACH "
         "ROW SET NEW.a=1",
         "SET NEW.a=1", "x`y", "CURRENT_USER"},
        {OBJECT_TRIGGER, "CREATE TRIGGER t AFTER DELETE ON x FOR EACH ROW FOLLOWS y BEGIN END",
         "BEGIN END", "x", NULL},
        {OBJECT_FUNCTION,
         "CREATE DEFINER='a' @ 'b' FUNCTION f(a decimal(10,2), b enum('x')) "
         "RETURNS varchar(10) CHARSET utf8mb4 COLLATE utf8mb4_bin\n    READS SQL "
         "DATA DETERMINISTIC COMMENT 'x' RETURN 1",
         "RETURN 1", NULL, "'a' @ 'b'"},
        {OBJECT_FUNCTION, "CREATE AGGREGATE FUNCTION f() RETURNS int BEGIN END", "BEGIN END", NULL,
         NULL},
        {OBJECT_PROCEDURE,
         "CREATE PROCEDURE p(IN a int unsigned, OUT b text) SQL SECURITY INVOKER "
         "LANGUAGE SQL NOT DETERMINISTIC MODIFIES SQL DATA SELECT 1",
         "SELECT 1", NULL, NULL},
        {OBJECT_EVENT,
         "CREATE EVENT e ON SCHEDULE EVERY 1 DAY STARTS '2020-01-01 00:00:00' ENDS "
         "CURRENT_TIMESTAMP + INTERVAL 1 YEAR ON COMPLETION NOT PRESERVE DISABLE ON "
         "SLAVE COMMENT 'x' DO DELETE FROM t",
         "DELETE FROM t", NULL, NULL},
        {OBJECT_EVENT, "CREATE EVENT e ON SCHEDULE AT '2030-01-01' DO SELECT 1", "SELECT 1", NULL,
         NULL},
        {OBJECT_VIEW, "CREATE VIEW v DATABASE site", NULL, NULL, NULL},
        {OBJECT_VIEW, "CREATE USER view", NULL, NULL, NULL},
        {OBJECT_VIEW, "CREATE VIEW v (SELECT 1) AS", NULL, NULL, NULL},
        {OBJECT_VIEW, "CREATE VIEW other.v AS SELECT 1", NULL, NULL, NULL},
        {OBJECT_EVENT, "CREATE USER event", NULL, NULL, NULL},
        {OBJECT_FUNCTION, "CREATE FUNCTION f RETURNS STRING SONAME 'x.so'", NULL, NULL, NULL},
        {OBJECT_FUNCTION, "CREATE AGGREGATE FUNCTION f RETURNS STRING SONAME 'x.so'", NULL, NULL,
         NULL},
        {OBJECT_FUNCTION, "CREATE FUNCTION f() RETURNS int LANGUAGE JAVASCRIPT AS 'x'",
         "LANGUAGE "
         "JAVASCRIPT AS 'x'",
         NULL, NULL},
        {OBJECT_TRIGGER, "CREATE TRIGGER t BEFORE INSERT ON other.x FOR EACH ROW SET a=1", NULL,
         NULL, NULL},
        {OBJECT_TRIGGER, "CREATE TRIGGER t INSTEAD OF INSERT ON x FOR EACH ROW SET a=1", NULL, NULL,
         NULL},
        {OBJECT_EVENT, "CREATE EVENT e ON SCHEDULE AT (SELECT 1) DO SELECT 1", NULL, NULL, NULL},
        {OBJECT_EVENT, "CREATE EVENT e ON SCHEDULE AT other.f() DO SELECT 1", NULL, NULL, NULL},
        {OBJECT_PROCEDURE, "CREATE PROCEDURE p()", NULL, NULL, NULL},
        {OBJECT_PROCEDURE, "CREATE PROCEDURE p(a TYPE OF other.t.c) SELECT 1", NULL, NULL, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(heads) / sizeof(*heads); i++) {
        const struct token_mode mode = {0};
        const char *text = heads[i].text;
        char *table = NULL, *definer = NULL;
        struct err e = {0};
        size_t body = 0;
        int r = stored_grammar_read(heads[i].kind, text, strlen(text), mode, &body, &table,
                                    &definer, &e);

        if (r != (heads[i].body ? 0 : -EPERM))
            fail_msg("%s: %d %s", text, r, e.text);
        if (r < 0)
            continue;
        assert_string_equal(text + body, heads[i].body);
        assert_string_equal(table ? table : "", heads[i].table ? heads[i].table : "");
        assert_string_equal(definer ? definer : "", heads[i].definer ? heads[i].definer : "");
        free(table);
        free(definer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_views),
        cmocka_unit_test(test_statements),
        cmocka_unit_test(test_deep),
        cmocka_unit_test(test_heads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
