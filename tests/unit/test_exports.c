/* SPDX-License-Identifier: MIT */
/* What programs export (tests/exports): read, altered tables, and cut at every byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "sqlimport/sql/charset.h"
#include "sqlimport/dump/dump_read.h"
#include "sqlimport/dump/form.h"
#include "sqlimport/sql/split.h"
#include "sync/common/buf.h"
#include "sync/common/file.h"
#include "tests/unit/text_source.h"

#define EXPORTS "tests/exports"
#define END     "\n-- Dump completed\n"

static const struct hash no_secret;
static const struct dialect any;

static struct dump *parse(const char *p, size_t len, int *ret, struct err *e)
{
    struct text t = {p, len};
    struct split *s = split_new(read_text, &t, SPLIT_READ_SIZE);
    struct dump *d = dump_new(&no_secret, &any);
    struct dump_fault f;

    e->text[0] = '\0';
    *ret = dump_read_split(s, d, &f, e);
    split_free(s);
    return d;
}

/* Names and hashes of all that it makes. */
static char *picture(const struct dump *d)
{
    struct buf b = BUF_INIT;

    for (size_t i = 0; i < d->n; i++) {
        char hash[HASH_TEXT_CAP];
        buf_printf(&b, "%s %s %llu %s\n", object_kind_name(d->objects[i]->kind),
                   d->objects[i]->name, (unsigned long long)d->objects[i]->rows,
                   hash_text(&d->objects[i]->hash, hash));
    }
    return buf_detach(&b);
}

static void each_export(void (*fn)(const char *name, const struct buf *text))
{
    DIR *d = opendir(EXPORTS);
    struct dirent *de;
    int n = 0;

    assert_non_null(d);
    while ((de = readdir(d))) {
        struct buf b = BUF_INIT;
        if (*de->d_name == '.')
            continue;
        assert_int_equal(file_slurp(dirfd(d), de->d_name, 1 << 20, &b), 0);
        fn(de->d_name, &b);
        buf_release(&b);
        n++;
    }
    closedir(d);
    assert_true(n > 10);
}

/* Refused, or all of it is there. */
static void cut_everywhere(const char *name, const struct buf *text)
{
    struct err e;
    int r, whole_r, good = 0;
    struct dump *d = parse(text->data, text->len, &whole_r, &e);
    char *whole = picture(d), *part;
    bool marked = whole_r == 0;

    if (whole_r < 0 && !d->unmarked)
        fail_msg("%s: %s", name, e.text);
    dump_free(d);
    for (size_t cut = 0; cut < text->len; cut++) {
        d = parse(text->data, cut, &r, &e);
        part = picture(d);
        if (r == 0 && strcmp(part, whole) != 0)
            fail_msg("%s is whole with its first %zu of %zu bytes", name, cut, text->len);
        /* What its head saved is to be given back: no option takes it without. */
        if (d->unmarked && cut > 1500 && strstr(text->data, "@OLD_"))
            fail_msg("%s: %zu bytes may be accepted: %s", name, cut, e.text);
        good += r == 0;
        free(part);
        dump_free(d);
    }
    assert_true(good < 200); /* white space and comments at the end */
    assert_true(marked || good == 0);
    free(whole);
}

static void test_cut(void **state)
{
    (void)state;
    each_export(cut_everywhere);
}

/* The CREATE TABLE that comes out of `sql`, or why it does not. */
static char *made(const char *sql)
{
    char *all = xasprintf("SET sql_mode='NO_AUTO_VALUE_ON_ZERO';\n%s%s", sql, END);
    struct err e;
    int r;
    struct dump *d = parse(all, strlen(all), &r, &e);
    char *text = r < 0 ? xstrdup(e.text) : xstrndup(d->objects[0]->ddl, d->objects[0]->ddl_len);

    dump_free(d);
    free(all);
    return text;
}

static void test_alter(void **state)
{
    static const struct {
        const char *sql, *made;
    } good[] = {
        {"CREATE TABLE `t` (`a` int NOT NULL);INSERT INTO t VALUES (0);ALTER TABLE `t`\n  ADD "
         "PRIMARY KEY "
         "(`a`);ALTER TABLE `t` MODIFY `a` int NOT NULL AUTO_INCREMENT, AUTO_INCREMENT=5;",
         "CREATE TABLE `t` (`a` int NOT NULL AUTO_INCREMENT, PRIMARY KEY (`a`)) AUTO_INCREMENT=5"},
        {"CREATE TABLE `t` (`a` int, `b` varchar(3) DEFAULT '),(') ENGINE=InnoDB AUTO_INCREMENT=2 "
         "COMMENT='x';ALTER TABLE t ADD KEY `k` (`a`,`b`(2)), AUTO_INCREMENT=9, ADD UNIQUE KEY "
         "(`b`);",
         "CREATE TABLE `t` (`a` int, `b` varchar(3) DEFAULT '),(', KEY `k` (`a`,`b`(2)), UNIQUE "
         "KEY "
         "(`b`)) ENGINE=InnoDB AUTO_INCREMENT=9 COMMENT='x'"},
        {"CREATE TABLE `t` (`a` int) ENGINE=InnoDB;ALTER TABLE `t` DISABLE KEYS;DELETE FROM `t`;",
         "CREATE TABLE `t` (`a` int) ENGINE=InnoDB"},
        {"CREATE TABLE `t` (`a` int);DROP TABLE IF EXISTS `x`, `t`;CREATE TABLE `t` (`b` "
         "int);TRUNCATE t;",
         "CREATE TABLE `t` (`b` int)"},
        {"CREATE TABLE `t` (`a` int);ALTER TABLE `t` ADD CONSTRAINT `c` FOREIGN KEY (`a`) "
         "REFERENCES "
         "`p` (`a`) ON DELETE CASCADE;",
         "CREATE TABLE `t` (`a` int, CONSTRAINT `c` FOREIGN KEY (`a`) REFERENCES `p` (`a`) ON "
         "DELETE "
         "CASCADE)"},
        {"CREATE TABLE `t` (`a` int);DELIMITER ;;\nCOMMIT;\n;;\nDROP PROCEDURE IF EXISTS "
         "p;;\nCREATE "
         "PROCEDURE p() BEGIN SELECT 1; SELECT 2; END;;\nDELIMITER ;\n",
         "CREATE TABLE `t` (`a` int)"},
        {"SET NAMES latin1;CREATE TABLE `\xe9` (`a` int COMMENT '\xfc');INSERT INTO `\xe9` VALUES "
         "(1);",
         "CREATE TABLE `\xc3\xa9` (`a` int COMMENT '\xc3\xbc')"},
    };
    static const char *const bad[] = {
        "ALTER TABLE t ADD `b` int;",
        "ALTER TABLE t MODIFY `a` bigint AUTO_INCREMENT;",
        "ALTER TABLE t MODIFY `a` int;",
        "ALTER TABLE t MODIFY `z` int AUTO_INCREMENT;",
        "ALTER TABLE t DROP KEY k;",
        "ALTER TABLE t RENAME TO u;",
        "ALTER TABLE u ADD KEY (a);",
        "ALTER TABLE o.t ADD KEY (a);",
        "ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES mysql.user (a);",
        "ALTER TABLE t ADD KEY k (a), ENGINE=FEDERATED;",
        "ALTER TABLE t ADD KEY k (a)) ENGINE=FEDERATED CONNECTION='x' (;",
        "ALTER TABLE t ADD CHECK (LOAD_FILE('/x') IS NULL);",
        "SET sql_mode='';ALTER TABLE t ADD KEY k (a);",
        "INSERT INTO t VALUES (1);DELETE FROM t;",
        "DELETE FROM t WHERE a=1;",
        "DELETE FROM u;",
        "TRUNCATE TABLE mysql.user;",
        "USE other;",
        "DROP DATABASE a;",
        "CREATE DATABASE other;",
        "CREATE VIEW t AS SELECT 1;",
        "DELIMITER ;;\nDROP TABLE IF EXISTS `x`; CREATE TABLE u (a int);;\nDELIMITER ;\n",
        "DELIMITER ;;\nSET @a=1; SET sql_mode='';;\nDELIMITER ;\n",
        "DELIMITER ;;\nCOMMIT; DROP TABLE t;;\nDELIMITER ;\n",
        "DELIMITER ;;\nCREATE TABLE `u` (a int); INSERT INTO t VALUES (1);;\nDELIMITER ;\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        char *text = made(good[i].sql);
        assert_string_equal(text, good[i].made);
        free(text);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        char *sql = xasprintf("CREATE TABLE `t` (`a` int);%s", bad[i]), *text = made(sql);
        if (strncmp(text, "CREATE", 6) == 0)
            fail_msg("not refused: %s: %s", bad[i], text);
        free(text);
        free(sql);
    }
}

/* SET x=IFNULL(@y, …) and its kin. */
static void test_given_back(void **state)
{
    static const struct {
        const char *sql, *mode; /* NULL: refused */
    } sets[] = {
        {"SET @o=@@sql_mode, sql_mode='ANSI'; SET sql_mode=IFNULL(@o, 'x')", "A"},
        {"SET sql_mode=IFNULL(@never, 'B')", "B"},
        {"SET sql_mode=IF(@never IS NULL, 'B', @never)", "B"},
        {"SET @o='C'; SET sql_mode=IF(@o IS NULL, 'B', @o)", "C"},
        {"SET @o='C', @p=@o; SET SESSION sql_mode=@p", "C"},
        {"SET @o=CONCAT('C'); SET sql_mode=@o", NULL},
        {"SET @o=@@time_zone; SET sql_mode=@o", NULL},
        {"SET sql_mode=CONCAT('A', 'B')", NULL},
        {"SET sql_mode=IFNULL((SELECT 1), 'B')", NULL},
        {"SET sql_mode=IFNULL(@o, @p)", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(sets) / sizeof(*sets); i++) {
        char *all = xasprintf("SET sql_mode='A';%s;CREATE TABLE t (a int);%s", sets[i].sql, END);
        struct err e;
        int r;
        struct dump *d = parse(all, strlen(all), &r, &e);

        if ((r < 0) != (sets[i].mode == NULL))
            fail_msg("%s: %s", sets[i].sql, e.text);
        if (r == 0)
            assert_true(session_vars_has_mode(d->vars, d->objects[0]->vars_id, sets[i].mode));
        dump_free(d);
        free(all);
    }
}

static void test_forms(void **state)
{
    static const struct {
        size_t len;
        const char *bytes;
        enum form form;
        const char *said; /* NULL: taken */
    } files[] = {
        {20, "-- MySQL dump 10.13 ", FORM_SQL, NULL},
        {6, "\xef\xbb\xbf-- ", FORM_SQL, NULL},
        {4, "\x1f\x8b\x08\0", FORM_GZIP, NULL},
        {4, "\x28\xb5\x2f\xfd", FORM_ZSTD, NULL},
        {4, "\x52\x2a\x4d\x18", FORM_ZSTD, NULL},
        {0, "", FORM_SQL, "empty"},
        {8, "\xff\xfe-\0-\0 \0", FORM_SQL, "UTF-16"},
        {8, "-\0-\0 \0M\0", FORM_SQL, "UTF-16"},
        {8, "\0-\0-\0 \0M", FORM_SQL, "UTF-16"},
        {8, "\xff\xfe\0\0-\0\0\0", FORM_SQL, "UTF-32"},
        {11, "\xef\xbb\xbf \n<HTML>", FORM_SQL, "HTML"},
        {6, "<?PHP ", FORM_SQL, "PHP"},
        {5, "a\0b\1c", FORM_SQL, "binary"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
        enum form form = FORM_SQL;
        struct err e = {0};
        int r = form_of(files[i].bytes, files[i].len, &form, &e);

        if ((r < 0) != (files[i].said != NULL) || (r < 0 && !strstr(e.text, files[i].said)))
            fail_msg("file %zu: %s", i, e.text);
        assert_true(r < 0 || form == files[i].form);
    }
}

static void expect_utf8(const char *charset, const char *text, const char *want)
{
    struct buf b = BUF_INIT;
    struct err e;
    int r = charset_to_utf8(&b, charset, text, strlen(text), &e);

    assert_int_equal(r, want ? 0 : -EPERM);
    if (want)
        assert_string_equal(b.data, want);
    buf_release(&b);
}

static void test_charsets(void **state)
{
    (void)state;
    expect_utf8("latin1", "a\xe9\x80\x81", "a\xc3\xa9\xe2\x82\xac\xc2\x81");
    expect_utf8("CP1250", "\x8a\xf8", "\xc5\xa0\xc5\x99");
    expect_utf8("koi8r", "\xc1", "\xd0\xb0");
    expect_utf8("utf8mb4", "\xc3\xa9", "\xc3\xa9");
    expect_utf8("nothing", "plain", "plain");
    expect_utf8("nothing", "\xe9", NULL);
    expect_utf8("euckr", "\xb0\xa1", NULL);
    expect_utf8("greek", "\xa1", NULL);
}

static void test_messages(void **state)
{
    static const struct {
        const char *sql, *said;
    } dumps[] = {
        {"CREATE TABLE t (a int);\nmysqldump: Error 2013: Lost connection to MySQL server during "
         "query when "
         "dumping table `t` at row: 5\n",
         "ends with an error message"},
        {"CREATE TABLE t (a int);\nINSERT INTO t VALUES (1),\nmariadb-dump: Error 2020: Got "
         "packet\n(2);\n"
         "-- Dump completed\n",
         "error 2020"},
        {"mysqldump: Got error: 1045: \"Access denied for user 'x'@'y'\" when trying to connect\n",
         "ends with an error message"},
        {"-- Dump created by MySQL pump utility, version: 5.7.44\nSET NAMES utf8mb4;\nCREATE TABLE "
         "`a`.`t` "
         "(a int);\n",
         "mysqlpump"},
        {"--\n-- PostgreSQL database dump\n--\nSET statement_timeout = 0;\n", "PostgreSQL"},
        {"CREATE TABLE t (a int);\nmysqldump: Couldn't execute 'x': no (1360)\n/*!40000 ALTER "
         "TABLE t "
         "DISABLE KEYS */;\n-- Dump completed\n",
         "error message of mysqldump"},
        {"CREATE TABLE t (a int);\nSTART TRANSACTION;\nINSERT INTO t VALUES (1);\n-- Dump "
         "completed\n",
         "within a transaction"},
        {"CREATE TABLE `\xe9` (a int);\n-- Dump completed\n", "not in the character set"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(dumps) / sizeof(*dumps); i++) {
        struct err e;
        int r;

        dump_free(parse(dumps[i].sql, strlen(dumps[i].sql), &r, &e));
        if (r >= 0 || !strstr(e.text, dumps[i].said))
            fail_msg("%s: %s", dumps[i].said, e.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut),        cmocka_unit_test(test_alter),
        cmocka_unit_test(test_given_back), cmocka_unit_test(test_forms),
        cmocka_unit_test(test_charsets),   cmocka_unit_test(test_messages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
