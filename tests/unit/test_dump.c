/* SPDX-License-Identifier: MIT */
/* dump_read: which dumps are read, what is in them, and what is refused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <unistd.h>

#include "sqlimport/server/collation.h"
#include "sqlimport/sql/ddl.h"
#include "sqlimport/dump/dump_read.h"
#include "sqlimport/sql/split.h"
#include "sync/common/buf.h"
#include "sync/common/file.h"

#define CORPUS "tests/fuzz/corpus/dump/"
#define END    "\n-- Dump completed\n"

static const struct hash no_secret;
static const struct dialect any;

struct text {
    const char *p;
    size_t left;
};

static ssize_t read_text(void *arg, void *out, size_t n)
{
    struct text *t = arg;

    n = n < t->left ? n : t->left;
    memcpy(out, t->p, n);
    t->p += n;
    t->left -= n;
    return (ssize_t)n;
}

static struct dump *parse(const char *p, size_t len, size_t step, int *ret, struct dump_fault *f,
                          struct err *e)
{
    struct text t = {p, len};
    struct split *s = split_new(read_text, &t, step);
    struct dump *d = dump_new(&no_secret, &any);

    e->text[0] = '\0';
    *ret = dump_read_split(s, d, f, e);
    split_free(s);
    return d;
}

/* Judges `sql` behind a table `t`, with a proper end. */
static int judge(const char *sql, struct dump_fault *f, struct err *e)
{
    char *all = xasprintf("CREATE TABLE `t` (`a` int);\n%s%s", sql, END);
    int r;

    dump_free(parse(all, strlen(all), SPLIT_READ_SIZE, &r, f, e));
    free(all);
    return r;
}

static char *slurp(const char *path, size_t *len)
{
    struct buf b = BUF_INIT;

    assert_int_equal(file_slurp(AT_FDCWD, path, 1 << 20, &b), 0);
    *len = b.len;
    return buf_detach(&b);
}

static void same_for_every_read_size(const char *path)
{
    struct dump_fault f, f2;
    struct err e, e2;
    size_t len;
    char *text = slurp(path, &len);
    int r, r2;
    struct dump *whole = parse(text, len, SPLIT_READ_SIZE, &r, &f, &e);

    for (size_t step = 1; step < 400; step += step < 70 ? 1 : 37) {
        struct dump *d = parse(text, len, step, &r2, &f2, &e2);

        assert_int_equal(r, r2);
        assert_string_equal(e.text, e2.text);
        assert_int_equal(f.line, f2.line);
        assert_int_equal(whole->n, d->n);
        for (size_t i = 0; i < d->n; i++) {
            const struct object *a = whole->objects[i], *b = d->objects[i];

            assert_string_equal(a->name, b->name);
            assert_true(hash_eq(&a->hash, &b->hash));
            assert_int_equal(a->rows, b->rows);
            assert_int_equal(a->line, b->line);
            assert_int_equal(a->n_ranges, b->n_ranges);
        }
        dump_free(d);
    }
    dump_free(whole);
    free(text);
}

/* A statement for each row takes hardly more memory than one for many. */
static void test_small_statements(void **state)
{
    struct buf b = BUF_INIT;
    struct dump_fault f;
    struct dump *d;
    struct err e;
    int r;

    (void)state;
    buf_puts(&b, "CREATE TABLE `t` (`a` int);\n");
    for (int i = 0; i < 20000; i++)
        buf_printf(&b, "INSERT INTO `t` VALUES (%d);\n", i);
    buf_puts(&b, END);
    d = parse(b.data, b.len, SPLIT_READ_SIZE, &r, &f, &e);
    assert_int_equal(r, 0);
    assert_int_equal(d->rows, 20000);
    assert_in_range(d->objects[0]->n_ranges, 1, 12);
    dump_free(d);
    buf_release(&b);
}

/* Rows are sent as bytes where no literal then means something else. */
static void test_sent_as_bytes(void **state)
{
    static const struct {
        const char *names, *rows;
        bool bytes;
    } cases[] = {
        {"utf8mb4", "(1,'\xc3\xa9')", true},
        {"utf8", "(1,_latin1'\xe9',x'00',NULL,'n'),(2,'')", true},
        {"utf8mb4", "(1,N'\xc3\xa9')", false},
        {"utf8mb4", "(1,'a'),\n(2, n'b')", false},
        {"utf8mb4, collation_connection=utf8mb4_bin", "(1,'a')", true},
        {"utf8mb4, collation_connection=latin1_bin", "(1,'a')", false},
        {"utf8mb4, character_set_client=latin1", "(1,'a')", false},
        {"latin1", "(1,'a')", false},
        {"binary", "(1,'a')", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char *text =
            xasprintf("SET NAMES %s;\nCREATE TABLE t (a int);\nINSERT INTO t VALUES %s;" END,
                      cases[i].names, cases[i].rows);
        struct dump_fault f;
        struct err e;
        int r;
        struct dump *d = parse(text, strlen(text), SPLIT_READ_SIZE, &r, &f, &e);
        const struct range *g;

        assert_int_equal(r, 0);
        assert_int_equal(d->n, 1);
        g = d->objects[0]->ranges;
        if (cases[i].bytes)
            assert_string_equal(session_vars_charset_of(d->vars, g->send_id), "binary");
        assert_int_equal(g->send_id != g->vars_id, cases[i].bytes);
        dump_free(d);
        free(text);
    }
}

static void test_read_sizes(void **state)
{
    (void)state;
    same_for_every_read_size(CORPUS "mariadb-10.11");
    same_for_every_read_size(CORPUS "mysql-8.0");
    same_for_every_read_size(CORPUS "mysql-8.4");
    same_for_every_read_size(CORPUS "mariadb-10.11-ansi");
}

/* All options of mysqldump lead to the same tables and rows. */
static void test_formats(void **state)
{
    static const char *const names[] = {
        "mariadb-10.11",
        "mariadb-10.11-complete-insert",
        "mariadb-10.11-databases",
        "mariadb-10.11-no-autocommit",
        "mariadb-10.11-skip-comments",
        "mariadb-10.11-skip-extended-insert",
        "mariadb-10.11-skip-opt",
        "mariadb-10.11-replication",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        char *path = xasprintf(CORPUS "%s", names[i]);
        struct dump_fault f;
        struct err e;
        size_t len;
        char *text = slurp(path, &len);
        int r;
        struct dump *d = parse(text, len, SPLIT_READ_SIZE, &r, &f, &e);

        assert_string_equal(e.text, "");
        assert_int_equal(d->n, 16);
        assert_int_equal(d->rows, 30);
        assert_int_equal(dump_find(d, OBJECT_TABLE, "p")->rows, 20);
        assert_int_equal(dump_find(d, OBJECT_TABLE, "we``ird;'\"\\ name") == NULL, 1);
        assert_non_null(dump_find(d, OBJECT_TABLE, "we`ird;'\"\\ name"));
        assert_non_null(dump_find(d, OBJECT_VIEW, "v0"));
        assert_string_equal(dump_find(d, OBJECT_TRIGGER, "tr")->table, "p");
        assert_string_equal(dump_find(d, OBJECT_TABLE, "c")->parents.v[0], "p");
        dump_free(d);
        free(text);
        free(path);
    }
}

static void test_other_makers(void **state)
{
    static const struct {
        const char *name;
        size_t objects;
        uint64_t rows;
    } dumps[] = {{"mysql-5.7-percona", 2, 2},
                 {"mysql-8.0", 5, 3},
                 {"mysql-8.4", 1, 2},
                 {"mariadb-11.8", 2, 2}};

    (void)state;
    for (size_t i = 0; i < sizeof(dumps) / sizeof(*dumps); i++) {
        char *path = xasprintf(CORPUS "%s", dumps[i].name);
        struct dump_fault f;
        struct err e;
        size_t len;
        char *text = slurp(path, &len);
        int r;
        struct dump *d = parse(text, len, SPLIT_READ_SIZE, &r, &f, &e);

        assert_string_equal(e.text, "");
        assert_int_equal(d->n, dumps[i].objects);
        assert_int_equal(d->rows, dumps[i].rows);
        dump_free(d);
        free(text);
        free(path);
    }
}

static void test_refused(void **state)
{
    static const char *const evil[] = {
        "GRANT ALL ON *.* TO x;",
        "/*!50003 GRANT ALL ON *.* TO x */;",
        "CREATE USER x;",
        "DROP USER x;",
        "SET PASSWORD = 'x';",
        "LOAD DATA INFILE '/etc/passwd' INTO TABLE t;",
        "\\! id\n;",
        "source /etc/passwd\n;",
        "SET GLOBAL general_log=1;",
        "SET @@GLOBAL.read_only=1;",
        "SET @a=1, GLOBAL general_log=1;",
        "SET PERSIST x=1;",
        "SET max_statement_time=1;",
        "SET NAMES gbk;",
        "SET character_set_client=sjis;",
        "SET character_set_client=1;",
        "SET sql_mode=1048576;",
        "USE a; USE b;",
        "CREATE DATABASE a; USE b;",
        "INSERT INTO mysql.user VALUES (1);",
        "INSERT INTO t SELECT * FROM u;",
        "INSERT INTO t VALUES (SLEEP(1));",
        "INSERT INTO t VALUES (1),((SELECT 1));",
        "INSERT INTO t VALUES (@a);",
        "INSERT INTO t VALUES (1) ON DUPLICATE KEY UPDATE a=SLEEP(1);",
        "INSERT INTO t VALUES (1/*!,SLEEP(1)*/);",
        "INSERT INTO t VALUES (_f(1));",
        "INSERT INTO t SET a=1;",
        "CREATE TABLE u AS SELECT 1;",
        "CREATE TABLE u LIKE t;",
        "CREATE TABLE u (a int) ENGINE=FEDERATED CONNECTION='mysql://x';",
        "CREATE TABLE u (a int) DATA DIRECTORY='/tmp';",
        "CREATE TABLE u (a int REFERENCES other.t(a));",
        "CREATE TABLE other.u (a int);",
        "CREATE TABLE t (a int);",
        "CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (HOST 'x');",
        "CREATE FUNCTION f RETURNS STRING SONAME 'x.so';",
        "DELETE FROM t WHERE a = 1;",
        "UPDATE t SET a=1;",
        "TRUNCATE u;",
        "ALTER TABLE t ADD b int;",
        "DROP TABLE mysql.user;",
        "CALL p();",
        "DO SLEEP(1);",
        "SELECT 1 INTO OUTFILE '/tmp/x';",
        "SELECT SETVAL(t, SLEEP(1));",
        "PREPARE s FROM 'DROP TABLE t';",
        "INSTALL PLUGIN x SONAME 'x.so';",
        "FLUSH PRIVILEGES;",
        "SHUTDOWN;",
        "CREATE TABLE u (a int) /*M!100100 /* */ SELECT 1 */;",
        "CREATE /*!99999 VIEW v */ DATABASE site;",
        "CREATE USER event;",
        "CREATE ROLE view;",
        "CREATE ROLE IF NOT EXISTS view;",
        "CREATE OR TABLE u (a int);",
        "CREATE OR REPLACE USER trigger;",
        "CREATE DEFINER=a USER procedure;",
        "CREATE SERVER view;",
        "CREATE TEMPORARY TABLE u (a int);",
        "CREATE TABLE _eefs_renames (a int);",
        "CREATE TABLE IF NOT EXISTS `_EEFS_state` (a int);",
        "CREATE TABLE `#mysql50#u` (a int);",
        "/*!50001 CREATE TABLE u (a int) */;",
        "CREATE TABLE u\\N (a int);",
        "CREATE TABLE u.1 (a int);",
        "CREATE TABLE `u\xc3` (a int);",
        "SET NAMES latin1; CREATE TABLE u\001 (a int);",
        "SET character_set_client='28';",
        "SET NAMES 28;",
        "DROP USER x;",
        "DROP FUNCTION IF EXISTS a.b;",
        "INSERT /* c */ INTO t VALUES (1);",
        "INSERT INTO t /*!99999 (a) */ VALUES (1);",
        "/*!40000 INSERT INTO t VALUES (1) */;",
        "INSERT INTO t VALUES (1, -- ),(\n2);",
        "INSERT INTO t VALUES (1 --\n);",
        "CREATE SEQUENCE s; DO /* c */ SETVAL(s, 1);",
        "CREATE SEQUENCE s; DO SETVAL(s, a);",
        "XA START 'x';",
        "HANDLER t OPEN;",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(evil) / sizeof(*evil); i++) {
        struct dump_fault f;
        struct err e;

        if (judge(evil[i], &f, &e) != -EPERM)
            fail_msg("not refused: %s (%s)", evil[i], e.text);
        if (!strstr(evil[i], "50001")) {
            assert_int_equal(f.line, 2);
            assert_non_null(strstr(e.text, "line 2: "));
        }
    }
}

static void test_allowed(void **state)
{
    static const char *const good[] = {
        "INSERT INTO `t` (`a`) VALUES (1),\n (NULL) , "
        "(-1.5e-7),(.5),('it''s'),(_utf8mb4'x'),(_binary 'x'),(0xFF),(x'00'),(b'1'),();",
        "insert into t values ('\\'; GRANT ALL'), ('-- Dump completed\n;');",
        "REPLACE INTO t VALUES (DEFAULT), (true);",
        "DELIMITER ;;\nINSERT INTO t VALUES (';');;\nDELIMITER ;\n",
        "-- it's a comment;\n# so's this;\n/* and ' this; */ /*!40101 SET NAMES utf8 */;",
        "SET sql_mode='NO_BACKSLASH_ESCAPES'; INSERT INTO t VALUES ('\\'); SET sql_mode='';",
        "SET sql_mode=ANSI_QUOTES; CREATE TABLE \"u;\" (\"a\" int); INSERT INTO \"u;\" VALUES (1);",
        "INSERT INTO t VALUES ('\xff\xfe\\0raw');",
        "CREATE TABLE `u` (`a` int DEFAULT 1 COMMENT 'SELECT; DATA DIRECTORY') ENGINE=InnoDB;",
        "/*!50003 CREATE PROCEDURE p() SELECT '*/', 1 /* c */ # it's\n */;",
        "STOP ALL SLAVES; CHANGE MASTER TO MASTER_LOG_FILE='x', MASTER_LOG_POS=1; START ALL "
        "SLAVES;",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        struct dump_fault f;
        struct err e;

        if (judge(good[i], &f, &e) != 0)
            fail_msg("refused: %s (%s)", good[i], e.text);
    }
}

/* Half a dump must never pass, wherever it ends. */
static void test_cut(void **state)
{
    size_t len;
    char *text = slurp(CORPUS "mariadb-10.11", &len);

    (void)state;
    for (size_t cut = 0; cut < len - strlen("-- Dump completed\n"); cut += 1 + cut % 7) {
        struct dump_fault f;
        struct err e;
        int r;

        dump_free(parse(text, cut, SPLIT_READ_SIZE, &r, &f, &e));
        assert_int_equal(r, -EPROTO);
    }
    free(text);
}

static void test_definer(void **state)
{
    static const struct {
        const char *from, *to;
    } texts[] = {
        {"CREATE DEFINER=`a`@`%` PROCEDURE p() SELECT 1",
         "CREATE DEFINER=CURRENT_USER PROCEDURE p() SELECT 1"},
        {"/*!50013 DEFINER=`r;`@`localhost` SQL SECURITY DEFINER */ /*!50001 VIEW v AS select 1 */",
         "/*!50013 DEFINER=CURRENT_USER SQL SECURITY DEFINER */ /*!50001 VIEW v AS select 1 */"},
        {"CREATE DEFINER = 'a' @ 'b' FUNCTION f()", "CREATE DEFINER =CURRENT_USER FUNCTION f()"},
        {"CREATE DEFINER=role FUNCTION f()", "CREATE DEFINER=CURRENT_USER FUNCTION f()"},
        {"CREATE FUNCTION f() COMMENT 'DEFINER=`a`@`b`'",
         "CREATE FUNCTION f() COMMENT 'DEFINER=`a`@`b`'"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        struct buf b = BUF_INIT;
        struct token_mode mode = {0};

        ddl_replace_definer(&b, texts[i].from, strlen(texts[i].from), mode);
        assert_string_equal(b.data, texts[i].to);
        buf_release(&b);
    }
}

static void test_collations(void **state)
{
    static const char ddl[] =
        "`a` text COLLATE utf8mb4_0900_ai_ci COMMENT 'COLLATE utf8mb4_0900_ai_ci',"
        "COLLATE=UTF8MB4_0900_AI_CI, x collate latin1_bin";
    static const char *const first[][2] = {
        {"utf8mb4_0900_ai_ci", "utf8mb4_uca1400_nopad_ai_ci"},
        {"utf8mb4_pl_0900_as_cs", "utf8mb4_uca1400_polish_nopad_as_cs"},
        {"utf8mb4_ru_0900_ai_ci", "utf8mb4_uca1400_nopad_ai_ci"},
        {"utf8mb4_uca1400_ai_ci", "utf8mb4_uca1400_ai_ci"},
        {"utf8mb4_general_nopad_ci", "utf8mb4_general_ci"},
        {"utf8mb3_bin", "utf8_bin"},
    };
    struct strlist names = {NULL, 0};
    struct token_mode mode = {0};
    struct buf b = BUF_INIT;

    (void)state;
    ddl_collations(ddl, strlen(ddl), mode, &names);
    assert_int_equal(names.n, 2);
    assert_string_equal(names.v[0], "utf8mb4_0900_ai_ci");
    assert_string_equal(names.v[1], "latin1_bin");
    strlist_release(&names);
    ddl_replace_collation(&b, ddl, strlen(ddl), mode, "utf8mb4_0900_ai_ci", "Z");
    assert_string_equal(b.data, "`a` text COLLATE Z COMMENT 'COLLATE utf8mb4_0900_ai_ci',"
                                "COLLATE=Z, x collate latin1_bin");
    buf_release(&b);
    for (size_t i = 0; i < sizeof(first) / sizeof(*first); i++) {
        struct strlist l = {NULL, 0};

        collation_relatives(first[i][0], &l);
        assert_string_equal(l.v[0], first[i][1]);
        strlist_release(&l);
    }
    collation_relatives("latin1_odd_ci", &names);
    assert_int_equal(names.n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read_sizes),   cmocka_unit_test(test_sent_as_bytes),
        cmocka_unit_test(test_formats),      cmocka_unit_test(test_small_statements),
        cmocka_unit_test(test_other_makers), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_allowed),      cmocka_unit_test(test_cut),
        cmocka_unit_test(test_definer),      cmocka_unit_test(test_collations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
