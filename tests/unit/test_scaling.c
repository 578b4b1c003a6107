/* SPDX-License-Identifier: MIT */
/* A dump takes time and memory in proportion to its size, whatever it consists of: each shape is
 * read in two sizes, by the clock of this thread, which other programs do not touch. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include <errno.h>
#include <unistd.h>

#include "sqlimport/dump/dump_read.h"
#include "sqlimport/compare/table_rows.h"
#include "sqlimport/sql/split.h"
#include "sync/common/buf.h"
#include "sync/common/file.h"
#include "tests/unit/text_source.h"

#define SMALL     ((size_t)100 * 1024) /* bytes */
#define TIMES     8
#define ALLOWED   24 /* times the time; a quadratic one takes 64 */
#define NOTHING_S 0.02

static const struct hash no_secret;
static const struct dialect any;

struct form {
    const char *name;
    const char *head, *part, *tail; /* %u in part: a number that counts up */
};

static const struct form shapes[] = {
    {"variables", "", "SET @a%u=@@sql_mode;\n", ""},
    {"variables that are copied", "SET @a0=@@sql_mode;", "SET @a%1$u=@a0, @b%1$u='x';\n", ""},
    {"one variable", "", "SET @a=%u;\n", ""},
    {"settings", "CREATE TABLE t (a int);\n", "SET time_zone='+%u';INSERT INTO t VALUES (1);\n",
     ""},
    {"settings back and forth", "CREATE TABLE t (a int);\n",
     "SET NAMES latin1;INSERT INTO t VALUES (%u);SET NAMES utf8;INSERT INTO t VALUES (1);\n", ""},
    {"SETs in one", "SET @a=1", ", @a=%u", ";"},
    {"tables", "", "CREATE TABLE `t%u` (`a` int);\n", ""},
    {"tables that are dropped", "", "CREATE TABLE `t%1$u` (`a` int); DROP TABLE `t%1$u`;\n", ""},
    {"one table again and again", "", "CREATE TABLE `t` (`a%u` int); DROP TABLE `t`;\n", ""},
    {"drops in one", "CREATE TABLE t (a int); DROP TABLE t", ",t%u", ";"},
    {"views", "CREATE TABLE t (a int);\n", "CREATE VIEW `v%u` AS SELECT 1;\n", ""},
    {"triggers", "CREATE TABLE t (a int);\n",
     "CREATE TRIGGER `r%u` BEFORE INSERT ON t FOR EACH ROW SET new.a=1;\n", ""},
    {"columns", "CREATE TABLE t (a int", ",\n`c%u` int DEFAULT '%1$u'", ");\n"},
    {"keys", "CREATE TABLE t (a int", ",\nKEY `k%u` (`a`)", ");\n"},
    {"parents", "CREATE TABLE t (a int", ",\nFOREIGN KEY (`a`) REFERENCES `p%u` (`a`)", ");\n"},
    {"partitions", "CREATE TABLE t (a int) PARTITION BY LIST (a) (PARTITION p VALUES IN (0)",
     ",\nPARTITION p%1$u VALUES IN (%1$u)", ");\n"},
    {"values of an enumeration", "CREATE TABLE t (a enum('a'", ",'v%u'", "));\n"},
    {"keys that are added", "CREATE TABLE t (a int);\n", "ALTER TABLE t ADD KEY `k%u` (`a`);\n",
     ""},
    {"keys that are added in one", "CREATE TABLE t (a int);\nALTER TABLE t ADD KEY (`a`)",
     ", ADD KEY `k%u` (`a`)", ";\n"},
    {"tables that are altered", "",
     "CREATE TABLE `t%1$u` (`a` int);\nALTER TABLE `t%1$u` ADD KEY `k%1$u` (`a`);\n", ""},
    {"delimiters", "CREATE TABLE t (a int);\n",
     "DELIMITER ;;\nINSERT INTO t VALUES (%u);;\nDELIMITER ;\n", ""},
    {"a delimiter that does not end", "DELIMITER ", "xxxxxxxx", ""},
    {"a warning that does not end", "mysqldump: [Warning] ", "xxxxxxxx", ""},
    {"comments", "CREATE TABLE t (a int);\n", "-- %u\n/* x */ # y\n", ""},
    {"comments between rows", "CREATE TABLE t (a int);\n",
     "INSERT INTO t VALUES (%u);\n-- a comment that is quite long, and stands between two of "
     "them\n",
     ""},
    {"a long comment", "/*", "xxxxxxxx", "*/"},
    {"a long line", "-- ", "xxxxxxxx", "\n"},
    {"a comment in a statement", "CREATE /*", "xxxxxxxx", "*/ TABLE t (a int);"},
    {"a long string", "CREATE TABLE t (a text); INSERT INTO t VALUES ('", "xxxx\\'''%u", "');\n"},
    {"a long row", "CREATE TABLE t (a int); INSERT INTO t VALUES (1", ",%u", ");\n"},
    {"rows", "CREATE TABLE t (a int); INSERT INTO t VALUES (1)", ",\n(%u)", ";\n"},
    {"statements with a row", "CREATE TABLE t (a int);\n", "INSERT INTO t VALUES (%u);\n", ""},
    {"rows of two tables", "CREATE TABLE t (a int);CREATE TABLE u (a int);\n",
     "INSERT INTO t VALUES (%u);\nINSERT INTO u VALUES (1);\n", ""},
    {"columns of an INSERT", "CREATE TABLE t (a int); INSERT INTO t (a", ",c%u", ") VALUES (1);\n"},
    {"brackets", "CREATE TABLE t (a int); INSERT INTO t VALUES ", "        (", ""},
    {"blanks", "", "      \n ;", ""},
    {"nested comments", "", "/*!50700 ", ""},
    {"a long word", "SELECT ", "xxxxxxxx", ";"},
    {"a long name", "CREATE TABLE `", "xxxxxxxx", "` (a int);"},
    {"a routine", "CREATE TABLE t (a int);\nDELIMITER ;;\nCREATE PROCEDURE p() BEGIN ",
     "SELECT %u; ", "END;;\nDELIMITER ;\n"},
    {"databases", "", "CREATE DATABASE IF NOT EXISTS `d`; USE `d`;\n", ""},
};

#pragma GCC diagnostic ignored "-Wformat-nonliteral"

static void fill(struct buf *b, const struct form *s, size_t len)
{
    buf_puts(b, s->head);
    for (unsigned i = 1; b->len < len; i++)
        buf_printf(b, s->part, i);
    buf_puts(b, s->tail);
    buf_puts(b, "\n-- Dump completed\n");
}

static double now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double seconds(const struct form *shape, size_t len)
{
    struct buf b = BUF_INIT;
    double best = 1e9;

    fill(&b, shape, len);
    for (int i = 0; i < 3; i++) {
        struct text t = {b.data, b.len};
        struct split *s = split_new(read_text, &t, (size_t)64 * 1024);
        struct dump *d = dump_new(&no_secret, &any);
        struct dump_fault f;
        struct err e;
        double begin = now();

        (void)dump_read_split(s, d, &f, &e);
        split_free(s);
        dump_free(d);
        best = now() - begin < best ? now() - begin : best;
    }
    buf_release(&b);
    return best;
}

static void test_scaling(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++) {
        double small = seconds(&shapes[i], SMALL), large = seconds(&shapes[i], SMALL * TIMES);

        if (getenv("SCALING"))
            print_message("%-32s %8.4f %8.4f  %.1f\n", shapes[i].name, small, large, large / small);
        if (large > NOTHING_S && large > ALLOWED * small)
            fail_msg("%s: %.4f s, and %.4f s for %d times as much", shapes[i].name, small, large,
                     TIMES);
    }
}

/* The head, and then 900 MB of '1'. */
struct endless {
    const char *head;
    size_t left, given;
};

static ssize_t read_endless(void *arg, void *out, size_t n)
{
    struct endless *x = arg;

    if (x->left > 0) {
        n = n < x->left ? n : x->left;
        memcpy(out, x->head, n);
        x->head += n;
        x->left -= n;
    } else {
        memset(out, '1', n);
        if (x->given > (size_t)900 << 20)
            n = 0;
    }
    x->given += n;
    return (ssize_t)n;
}

/* --- statements and rows of many megabytes --- */

/* INSERT INTO t VALUES (0,'xxx…'),(1,…: rows of about `row` bytes, together `len`. */
static void put_insert(struct buf *b, size_t row, size_t len)
{
    char *text = xcalloc(row + 1, 1);

    memset(text, 'x', row);
    buf_puts(b, "INSERT INTO `t` (`a`, `b`)\n VALUES ");
    for (size_t i = 0, end = b->len + len; b->len < end; i++)
        buf_printf(b, "%s(%zu,'%s;\n\\'(,)')", i ? ",\n" : "", i, text);
    buf_puts(b, ";\n");
    free(text);
}

static int temp_file(const struct buf *b)
{
    char name[] = "/tmp/eefs-test-XXXXXX";
    int fd = mkstemp(name);

    assert_true(fd >= 0);
    unlink(name);
    assert_int_equal(file_write(fd, b->data, b->len), 0);
    return fd;
}

/* Reads the dump and all its rows; its table's hash. */
static struct hash read_parts(const char *head, size_t row, size_t len, uint64_t *ret_rows)
{
    const char *create =
        "CREATE TABLE `t` (`a` int NOT NULL, `b` text, PRIMARY KEY (`a`)) ENGINE=InnoDB";
    struct buf b = BUF_INIT;
    struct dump_fault f;
    struct dump *d;
    struct table_def shape;
    struct table_rows *s;
    struct row_id id;
    struct row_place place;
    struct err e = {0};
    struct hash hash;
    uint64_t n = 0;
    int fd, r;

    buf_printf(&b, "%s\n%s;\n", head, create);
    put_insert(&b, row, len);
    put_insert(&b, 10, 1000);
    buf_puts(&b, "\n-- Dump completed\n");
    fd = temp_file(&b);
    r = dump_read(fd, &no_secret, &any, &d, &f, &e);
    if (r < 0)
        fail_msg("%s", e.text);
    table_def_read(&shape, create, strlen(create),
                   session_vars_mode_of(d->vars, d->objects[0]->vars_id));
    s = table_rows_open(fd, d, d->objects[0], &shape, NULL);
    while ((r = table_rows_next(s, &id, &place, &e)) == 1) {
        const char *at = b.data + d->objects[0]->ranges[place.range].offset + place.offset;
        assert_true(*at == '(' && at[place.len - 1] == ')');
        n++;
    }
    if (r < 0)
        fail_msg("%s", e.text);
    assert_int_equal(n, d->objects[0]->rows);
    *ret_rows = n;
    hash = d->objects[0]->hash;
    assert_true(d->objects[0]->n_ranges > 1);
    for (size_t i = 0; i < d->objects[0]->n_ranges; i++)
        assert_true(d->objects[0]->ranges[i].len <= SPLIT_ROW_MAX);
    table_rows_close(s);
    table_def_release(&shape);
    dump_free(d);
    close(fd);
    buf_release(&b);
    return hash;
}

/* Where a statement is cut depends on itself only. */
static void test_parts(void **state)
{
    static const size_t sizes[][2] = {{300, 40}, {3000000, 40}, {20000000, 50}};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        uint64_t a, b;
        struct hash x = read_parts("-- a comment", sizes[i][0], sizes[i][1] << 20, &a);
        struct hash y =
            read_parts("-- another comment, of another length", sizes[i][0], sizes[i][1] << 20, &b);

        assert_int_equal(a, b);
        assert_true(hash_eq(&x, &y));
    }
}

/* A row of 900 MB, and a string that is no row: given up at the limit. */
static void test_too_large(void **state)
{
    static const char *const heads[] = {"CREATE TABLE t (a text); INSERT INTO t VALUES ('",
                                        "CREATE TABLE t (a text); INSERT INTO t VALUES (1),(2,0x",
                                        "CREATE TABLE t (a text) COMMENT '", "'", "SET @a='"};

    (void)state;
    for (size_t i = 0; i < sizeof(heads) / sizeof(*heads); i++) {
        struct endless x = {heads[i], strlen(heads[i]), 0};
        struct split *s = split_new(read_endless, &x, SPLIT_READ_SIZE);
        struct dump *d = dump_new(&no_secret, &any);
        struct dump_fault f;
        struct err e;

        assert_int_equal(dump_read_split(s, d, &f, &e), -EFBIG);
        assert_true(x.given < ((size_t)80 << 20));
        assert_non_null(strstr(e.text, "which is the limit"));
        split_free(s);
        dump_free(d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_scaling), cmocka_unit_test(test_parts),
                                       cmocka_unit_test(test_too_large)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
