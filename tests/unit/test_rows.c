/* SPDX-License-Identifier: MIT */
/* From the text of a table in a dump to what changed: table_def, values, row_key, row_diff, row_cache. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sqlimport/compare/row_diff.h"
#include "sqlimport/compare/row_cache.h"
#include "sqlimport/sql/rows.h"
#include "sqlimport/sql/table_def.h"
#include "sqlimport/sql/values.h"
#include "sync/common/buf.h"
#include "sync/common/file.h"

#define LENGTH(a) (sizeof(a) / sizeof(*(a)))

static const struct token_mode plain = {0}, no_escapes = {.no_backslash_escapes = true},
                               ansi = {.ansi_quotes = true};

static char *joined(const struct strlist *l)
{
    struct buf b = BUF_INIT;

    buf_puts(&b, "");
    for (size_t i = 0; i < l->n; i++)
        buf_printf(&b, "%s%s", i ? "|" : "", l->v[i]);
    return buf_detach(&b);
}

/* --- table_def --- */

static void test_table_def(void **state)
{
    static const struct {
        const char *text, *columns, *key, *engine;
        unsigned long long counter;
        bool hidden;
    } cases[] = {
        {"CREATE TABLE `t` (`a` int, `b` text, PRIMARY KEY (`a`)) ENGINE=InnoDB", "a|b", "a",
         "InnoDB", 0, false},
        {"CREATE TABLE `t` (\n `a``,` int(3) DEFAULT (1+(2)),\n `b` enum('x,)','y'),\n KEY `k` "
         "(`b`),\n"
         " PRIMARY KEY (`b`,`a``,`),\n CONSTRAINT `f` FOREIGN KEY (`b`) REFERENCES `u` (`id`)\n)"
         " ENGINE=MyISAM AUTO_INCREMENT=17 COMMENT='ENGINE=x'",
         "a`,|b", "b|a`,", "MyISAM", 17, false},
        {"CREATE TABLE t (a text, PRIMARY KEY (a(10)))", "a", "", "", 0, false},
        {"CREATE TABLE t (a int, b int INVISIBLE, PRIMARY KEY (a)) ENGINE = InnoDB", "a|b", "a",
         "InnoDB", 0, true},
        {"CREATE TABLE t (a int, PRIMARY KEY (a)) ENGINE=InnoDB WITH SYSTEM VERSIONING", "a", "",
         "InnoDB", 0, false},
        {"CREATE TABLE t (a int COMMENT 'PRIMARY KEY (a)', UNIQUE KEY (a))", "a", "", "", 0, false},
        {"CREATE TABLE /*!32312 IF NOT EXISTS*/ t (a int /*!80023 INVISIBLE */) ", "a", "", "", 0,
         true},
        {"CREATE TABLE t (a int", "a", "", "", 0, false},
        {"CREATE TABLE t", "", "", "", 0, false},
        {"", "", "", "", 0, false},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        struct table_def s;
        char *columns, *key;

        table_def_read(&s, cases[i].text, strlen(cases[i].text), plain);
        columns = joined(&s.columns);
        key = joined(&s.key);
        assert_string_equal(columns, cases[i].columns);
        assert_string_equal(key, cases[i].key);
        assert_string_equal(s.engine, cases[i].engine);
        assert_int_equal(s.auto_increment, cases[i].counter);
        assert_int_equal(s.hidden, cases[i].hidden);
        free(columns);
        free(key);
        table_def_release(&s);
    }
}

/* Columns whose values are not free. */
static void test_table_def_bound(void **state)
{
    struct table_def s;
    char *bound;
    const char *text =
        "CREATE TABLE t (a int, b int UNIQUE, c int AS (a+1), d int GENERATED ALWAYS AS "
        "(a+b) STORED, `as` int COMMENT 'UNIQUE', e int, f int, g int, h int, i int, "
        "PRIMARY KEY (a), UNIQUE KEY u (e,f(10)), KEY k (g), "
        "CONSTRAINT x FOREIGN KEY (h) REFERENCES p (i) ON DELETE CASCADE, CHECK (i>1))";

    (void)state;
    table_def_read(&s, text, strlen(text), plain);
    bound = joined(&s.bound);
    assert_string_equal(bound, "b|c|d|a|e|f|h");
    free(bound);
    table_def_release(&s);
}

static struct hash def_hash(const char *text)
{
    struct table_def s;

    table_def_read(&s, text, strlen(text), plain);
    table_def_release(&s);
    return s.hash;
}

/* The counter belongs to the rows, all else to the table. */
static void test_table_def_hash(void **state)
{
    struct hash h = def_hash("CREATE TABLE t (a int) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4");
    static const struct {
        const char *text;
        bool same;
    } cases[] = {
        {"CREATE TABLE t (a int) ENGINE=InnoDB AUTO_INCREMENT=5 DEFAULT CHARSET=utf8mb4", true},
        {"CREATE TABLE t (a int) ENGINE=InnoDB AUTO_INCREMENT=71 DEFAULT CHARSET=utf8mb4", true},
        {"CREATE TABLE t (a bigint) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4", false},
        {"CREATE TABLE t (a int) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COMMENT='AUTO_INCREMENT=5'",
         false},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        struct hash other = def_hash(cases[i].text);
        assert_int_equal(hash_eq(&h, &other), cases[i].same);
    }
}

/* --- values --- */

/* Rows as "n:12 t:it's ;" per value kind and bytes (NUL as ^), NULL when refused. */
static char *described(const char *text, struct token_mode mode)
{
    static const char kinds[] = "0ntb";
    struct values v;
    struct buf b = BUF_INIT;
    int r = values_init(&v, text, strlen(text), mode);

    buf_puts(&b, "");
    if (r == 0) {
        while ((r = values_next(&v)) == 1) {
            for (size_t i = 0; i < v.n; i++) {
                buf_printf(&b, "%c:", kinds[v.v[i].kind]);
                for (size_t k = 0; k < v.v[i].len; k++)
                    buf_putc(&b, v.v[i].p[k] ? v.v[i].p[k] : '^');
                buf_putc(&b, ' ');
            }
            buf_putc(&b, ';');
        }
    }
    values_release(&v);
    if (r == 0)
        return buf_detach(&b);
    buf_release(&b);
    return NULL;
}

static void test_values(void **state)
{
    static const struct {
        const char *text, *wanted;
        const struct token_mode *mode;
    } cases[] = {
        {"INSERT INTO `t` VALUES (1,'a'),(-2.5e-7,NULL)", "n:1 t:a ;n:-2.5e-7 0: ;", &plain},
        {"INSERT INTO `t` (`a`,`b)`) VALUES ('it''s','it\\'s')", "t:it's t:it's ;", &plain},
        {"INSERT IGNORE INTO t VALUES ('\\0\\n\\r\\t\\Z\\b\\%\\_\\x')", "t:^\n\r\t\032\b\\%\\_x ;",
         &plain},
        {"REPLACE INTO t VALUES ('\\','a''b')", "t:\\ t:a'b ;", &no_escapes},
        {"INSERT INTO \"t\" VALUES ('a\"b')", "t:a\"b ;", &ansi},
        {"INSERT INTO t VALUES (\"a\"\"'\",'')", "t:a\"' t: ;", &plain},
        {"INSERT INTO t VALUES (_binary '\\'x',0x4A4b,_binary 0x41,0x5)", "b:'x b:JK b:A b:\005 ;",
         &plain},
        {"INSERT INTO t VALUES\n( 1 , 'b' ) ,\n( 2 , '),(' )", "n:1 t:b ;n:2 t:),( ;", &plain},
        {"INSERT INTO t VALUES ", "", &plain},
        {"INSERT INTO t VALUES (NOW())", NULL, &plain},
        {"INSERT INTO t VALUES (1,'x", NULL, &plain},
        {"INSERT INTO t VALUES ('x\\')", NULL, &plain},
        {"INSERT INTO t VALUES (1", NULL, &plain},
        {"INSERT INTO t VALUES (1) (2)", NULL, &plain},
        {"INSERT INTO t VALUES (0x4G)", NULL, &plain},
        {"INSERT INTO t VALUES (_latin1 'x')", NULL, &plain},
        {"INSERT INTO t VALUES (\"a\")", NULL, &ansi},
        {"INSERT INTO t SELECT 1", NULL, &plain},
        {"UPDATE t SET a=1", NULL, &plain},
        {"", NULL, &plain},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        char *got = described(cases[i].text, *cases[i].mode);
        if (cases[i].wanted)
            assert_string_equal(got ? got : "refused", cases[i].wanted);
        else
            assert_null(got);
        free(got);
    }
}

/* --- row_key --- */

static struct strlist list(const char *names)
{
    struct strlist l = {NULL, 0};
    char *copy = xstrdup(names), *save = NULL;

    for (char *p = strtok_r(copy, "|", &save); p; p = strtok_r(NULL, "|", &save))
        strlist_add(&l, p);
    free(copy);
    return l;
}

/* The id of a row "(…)"; key and hash stay valid. 0 or -EPROTO. */
static int id_of(const char *row, const char *columns, const char *key, struct row_id *ret)
{
    struct strlist c = list(columns), k = list(key);
    struct row_maker *m = row_maker_new(&c, &k);
    struct values v;
    int r;

    values_init_bare(&v, row, strlen(row), plain);
    assert_int_equal(values_next(&v), 1);
    r = row_maker_make(m, v.v, v.n, ret);
    if (r == 0) {
        unsigned char *copy = test_malloc(ret->key_len);
        memcpy(copy, ret->key, ret->key_len);
        ret->key = copy;
    }
    values_release(&v);
    row_maker_free(m);
    strlist_release(&c);
    strlist_release(&k);
    return r;
}

static void drop(struct row_id *id)
{
    test_free((void *)(uintptr_t)id->key);
}

static void test_row_key(void **state)
{
    static const struct {
        const char *a, *b, *key;
        bool same_key, same_hash;
    } cases[] = {
        {"(1,'it''s')", "(1,'it\\'s')", "x", true, true},
        {"(1,'a')", "(1,'b')", "x", true, false},
        {"(1,'a')", "(2,'a')", "X", false, false},
        {"(1,'a')", "('1',0x61)", "x", true, true}, /* written in another way */
        {"('a','bc')", "('ab','c')", "x|y", false, false},
        {"(1,NULL)", "(1,'')", "x", true, false},
        {"(1,2)", "(1,2)", "", true, true},
        {"(1,2)", "(1,3)", "", false, false},
    };
    struct row_id none;

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        struct row_id a, b;
        assert_int_equal(id_of(cases[i].a, "x|y", cases[i].key, &a), 0);
        assert_int_equal(id_of(cases[i].b, "x|y", cases[i].key, &b), 0);
        assert_int_equal(row_key_compare(&a, &b) == 0, cases[i].same_key);
        assert_int_equal(memcmp(a.hash, b.hash, ROW_HASH_BYTES) == 0, cases[i].same_hash);
        drop(&a);
        drop(&b);
    }
    assert_int_equal(id_of("(NULL,1)", "x|y", "x", &none), -EPROTO);
    assert_int_equal(id_of("(1,1)", "x|y", "z", &none), -EPROTO); /* no such column */
    assert_int_equal(id_of("(1)", "x|y", "y", &none), -EPROTO);   /* no such value */
}

/* Values that are left out are not in the hash, others and the key are. */
static void test_left_out(void **state)
{
    struct strlist columns = list("id|own|v"), key = list("id"), own = list("OWN|gone");
    struct row_maker *m = row_maker_new(&columns, &key);
    struct value v[] = {
        {VALUE_NUMBER, "1", 1, 0}, {VALUE_TEXT, "x", 1, 0}, {VALUE_TEXT, "y", 1, 0}};
    struct row_id a, b;

    (void)state;
    row_maker_leave_out(m, &columns, &own);
    assert_int_equal(row_maker_make(m, v, 3, &a), 0);
    v[1] = (struct value){VALUE_NULL, "", 0, 0};
    assert_int_equal(row_maker_make(m, v, 3, &b), 0);
    assert_memory_equal(a.hash, b.hash, ROW_HASH_BYTES);
    v[2].p = "x";
    assert_int_equal(row_maker_make(m, v, 3, &b), 0);
    assert_memory_not_equal(a.hash, b.hash, ROW_HASH_BYTES);
    row_maker_free(m);
    strlist_release(&columns);
    strlist_release(&key);
    strlist_release(&own);
}

static void test_value_texts(void **state)
{
    static const char text[] = "1, 'a,''\\')' ,_binary 'x',NULL)";
    static const char *const want[] = {"1", "'a,''\\')'", "_binary 'x'", "NULL"};
    const char *p = text, *end = text + sizeof(text) - 1;
    struct row v;

    (void)state;
    for (size_t i = 0; i < LENGTH(want); i++) {
        assert_true(rows_value(&p, end, plain, &v));
        assert_int_equal(v.len, strlen(want[i]));
        assert_memory_equal(v.p, want[i], v.len);
    }
    assert_ptr_equal(p, end);
    assert_false(rows_value(&p, end, plain, &v));
    p = text;
    assert_false(rows_value(&p, text + 1, plain, &v));
}

static void test_condition(void **state)
{
    static const struct {
        const char *row, *wanted;
        const struct token_mode *mode;
    } cases[] = {
        {"(7,'it''s \\\\')", "(`x`=7 AND `y``z`='it''s \\\\')", &plain},
        {"(7,'it''s \\\\')", "(`x`=7 AND `y``z`='it''s \\')", &no_escapes},
        {"(-1,_binary '\\0\\'')", "(`x`=-1 AND `y``z`=0x0027)", &plain},
        {"('',0x61)", "(`x`='' AND `y``z`=0x61)", &plain},
    };
    struct strlist key = list("x|y`z");

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        struct buf b = BUF_INIT;
        struct row_id id;
        assert_int_equal(id_of(cases[i].row, "x|y`z", "x|y`z", &id), 0);
        row_key_condition(&b, &id, &key, *cases[i].mode);
        assert_string_equal(b.data, cases[i].wanted);
        buf_release(&b);
        drop(&id);
    }
    strlist_release(&key);
}

/* --- diff --- */

/* Rows "(1,'a')(2,'b')" whose first value is the key. */
struct rows {
    struct values v;
    struct row_maker *maker;
    struct strlist columns, key;
    const char *text;
};

static void rows_open(struct rows *r, const char *text)
{
    values_init_bare(&r->v, text, strlen(text), plain);
    r->columns = list("x|y");
    r->key = list("x");
    r->maker = row_maker_new(&r->columns, &r->key);
    r->text = text;
}

static void rows_close(struct rows *r)
{
    values_release(&r->v);
    row_maker_free(r->maker);
    strlist_release(&r->columns);
    strlist_release(&r->key);
}

static int next_row(void *arg, struct row_id *id, struct row_place *place, struct err *e)
{
    struct rows *r = arg;
    int rc = values_next(&r->v);

    if (rc < 0)
        return err_set(e, EIO, "broken");
    if (place && rc == 1) {
        place->range = 0;
        place->offset = (uint32_t)(r->v.row - r->text);
        place->len = (uint32_t)r->v.row_len;
    }
    return rc == 1 ? (row_maker_make(r->maker, r->v.v, r->v.n, id) < 0 ? -EPROTO : 1) : 0;
}

/* "-key" for each old row that goes, "+row" for each new one, sorted by what the diff gives. */
static int differ(const char *old, const char *new, size_t max, struct row_diff *d, char *ret)
{
    struct rows a, b;
    struct err e;
    char *p = ret;
    int r;

    rows_open(&a, old);
    rows_open(&b, new);
    r = row_diff_make(d, next_row, &a, next_row, &b, max, &e);
    *p = '\0';
    for (size_t i = 0; r == 0 && i < d->n_old; i++)
        p += sprintf(p, "-%.*s", (int)(d->old_rows[i].id.key_len - 3),
                     (const char *)d->old_rows[i].id.key + 3);
    for (size_t i = 0; r == 0 && i < d->n_new; i++)
        p += sprintf(p, "+%.*s", (int)d->new_rows[i].place.len, new + d->new_rows[i].place.offset);
    rows_close(&a);
    rows_close(&b);
    return r;
}

static void test_diff(void **state)
{
    static const struct {
        const char *old, *new, *wanted;
        unsigned inserted, updated, deleted;
        int result;
    } cases[] = {
        {"(1,1),(2,2)", "(1,1),(2,2)", "", 0, 0, 0, 0},
        {"(1,1),(2,2)", "(1,1),(2,3)", "-2+(2,3)", 0, 1, 0, 0},
        {"(1,1),(3,3)", "(1,1),(2,2),(3,3)", "+(2,2)", 1, 0, 0, 0},
        {"(1,1),(2,2),(3,3)", "(1,1),(3,3)", "-2", 0, 0, 1, 0},
        {"", "(1,1)", "+(1,1)", 1, 0, 0, 0},
        {"(1,1)", "", "-1", 0, 0, 1, 0},
        {"", "", "", 0, 0, 0, 0},
        {"(1,1),(2,2),(3,3),(4,4)", "(4,4),(3,3),(2,2),(1,1)", "", 0, 0, 0, 0}, /* in any order */
        {"(1,1),(2,2),(3,3)", "(3,4),(1,1),(2,2)", "-3+(3,4)", 0, 1, 0, 0},
        {"(1,1),(1,2)", "(2,1),(3,1)", "", 0, 0, 0, -EPROTO}, /* a key comes twice */
        {"(1,1),(2,NOW())", "(1,1),(2,2)", "", 0, 0, 0, -EIO},
        {"(1,1)", "(NULL,2)", "", 0, 0, 0, -EPROTO},
    };
    char text[200];

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        struct row_diff d;
        assert_int_equal(differ(cases[i].old, cases[i].new, 100, &d, text), cases[i].result);
        if (cases[i].result == 0) {
            assert_string_equal(text, cases[i].wanted);
            assert_int_equal(d.inserted, cases[i].inserted);
            assert_int_equal(d.updated, cases[i].updated);
            assert_int_equal(d.deleted, cases[i].deleted);
        }
        row_diff_release(&d);
    }
}

static void test_diff_limit(void **state)
{
    struct row_diff d;
    char text[200];

    (void)state;
    assert_int_equal(differ("(1,1),(2,1),(3,1)", "(1,2),(2,2),(3,1)", 2, &d, text), 0);
    row_diff_release(&d);
    assert_int_equal(differ("(1,1),(2,1),(3,1)", "(1,2),(2,2),(3,2)", 2, &d, text), -E2BIG);
    row_diff_release(&d);
    assert_int_equal(differ("(1,1),(2,1)", "(1,1),(2,1)", 0, &d, text), 0);
    row_diff_release(&d);
    assert_int_equal(differ("(1,1),(2,1)", "(1,1),(2,2)", 0, &d, text), -E2BIG);
    row_diff_release(&d);
}

/* --- row_cache --- */

static const struct strlist none;
static const char notes[] = "(1,'a'),(22,'b'),(333,NULL)";

static char *write_notes(const char *dir, const struct hash *h, bool keep)
{
    struct strlist columns = list("x|y");
    struct row_cache_writer *w = row_cache_create(dir, h, "SET x=1", &columns, &none);
    struct rows rows;
    struct row_id id;
    char t[HASH_TEXT_CAP];

    assert_non_null(w);
    rows_open(&rows, notes);
    while (next_row(&rows, &id, NULL, NULL) == 1)
        row_cache_add(w, &id);
    row_cache_end(w, keep);
    rows_close(&rows);
    strlist_release(&columns);
    return xasprintf("%s/%s", dir, hash_text(h, t));
}

/* Rows that come back the same; -EPROTO where the file ends or goes wrong, -ENOENT: none at all. */
static int read_notes(const char *dir, const struct hash *h)
{
    struct row_cache_reader *r = row_cache_open(dir, h);
    struct rows rows;
    struct row_id id, was;
    struct row_place place;
    int rc, n = 0;

    if (!r)
        return -ENOENT;
    rows_open(&rows, notes);
    while ((rc = row_cache_next(r, &id, &place, NULL)) == 1) {
        if (next_row(&rows, &was, NULL, NULL) != 1 || row_key_compare(&id, &was) != 0 ||
            id.n_key != was.n_key || memcmp(id.hash, was.hash, ROW_HASH_BYTES) != 0)
            break;
        n++;
    }
    rows_close(&rows);
    row_cache_close(r);
    return rc < 0 ? rc : rc == 1 ? -EBADMSG : n;
}

static bool want(void *arg, const struct hash *h)
{
    return hash_eq(arg, h);
}

static void test_row_cache(void **state)
{
    char dir[] = "/tmp/eefs-row-cache-XXXXXX";
    struct hash h = {{1}}, other = {{2}};
    struct row_cache_reader *r;
    struct buf whole = BUF_INIT;
    char *path, *names;

    (void)state;
    assert_non_null(mkdtemp(dir));
    free(write_notes(dir, &h, false));
    assert_int_equal(read_notes(dir, &h), -ENOENT);
    path = write_notes(dir, &h, true);
    assert_int_equal(read_notes(dir, &h), 3);
    r = row_cache_open(dir, &h);
    assert_string_equal(row_cache_settings(r), "SET x=1");
    names = joined(row_cache_columns(r));
    assert_string_equal(names, "x|y");
    free(names);
    row_cache_close(r);

    /* cut anywhere it is never taken for a whole one */
    assert_int_equal(file_slurp(AT_FDCWD, path, 1 << 20, &whole), 0);
    for (size_t n = whole.len; n-- > 0;) {
        assert_int_equal(truncate(path, (off_t)n), 0);
        assert_true(read_notes(dir, &h) < 0);
    }
    buf_release(&whole);
    free(path);

    free(write_notes(dir, &h, true));
    path = write_notes(dir, &other, true);
    row_cache_sweep(dir, want, &h);
    assert_int_equal(read_notes(dir, &h), 3);
    assert_int_equal(access(path, F_OK), -1);
    row_cache_sweep(dir, want, &other);
    assert_int_equal(rmdir(dir), 0);
    free(path);
    assert_null(row_cache_open("/nonexistent", &h));
    assert_null(row_cache_create("/proc/nonexistent", &h, "", &(struct strlist){NULL, 0},
                                 &(struct strlist){NULL, 0}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table_def),       cmocka_unit_test(test_table_def_hash),
        cmocka_unit_test(test_values),          cmocka_unit_test(test_row_key),
        cmocka_unit_test(test_condition),       cmocka_unit_test(test_diff),
        cmocka_unit_test(test_diff_limit),      cmocka_unit_test(test_row_cache),
        cmocka_unit_test(test_table_def_bound), cmocka_unit_test(test_left_out),
        cmocka_unit_test(test_value_texts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
