/* SPDX-License-Identifier: MIT */
/* db: statements, transactions and versions, and what a damaged or busy database gives. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sync/common/db.h"
#include "sync/common/file.h"

#define APP 0x65656673u

static const char *const steps[] = {
    "CREATE TABLE t (k BLOB PRIMARY KEY, i INTEGER, s TEXT, h BLOB, b BLOB)",
    "ALTER TABLE t ADD COLUMN extra INTEGER DEFAULT 7",
};

static char dir[] = "/tmp/eefs-unit-XXXXXX";
static char path[64];

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    return file_remove_tree(AT_FDCWD, dir);
}

/* Each test has a database of its own. */
static int fresh(void **state)
{
    static int n;

    (void)state;
    snprintf(path, sizeof(path), "%s/%d.db", dir, n++);
    return 0;
}

static struct db *opened(int n_steps)
{
    struct db *db = NULL;
    struct err e = {0};

    assert_int_equal(db_open(path, 0, &db, &e), 0);
    assert_int_equal(db_migrate(db, APP, steps, n_steps, &e), 0);
    return db;
}

static void test_types(void **state)
{
    struct db *db = opened(2);
    sqlite3_stmt *st;
    struct hash h, back, none = {{0}};

    (void)state;
    hash_bytes("x", 1, &h);
    assert_int_equal(db_run(db, "INSERT INTO t (k, i, s, h, b) VALUES (?, ?, ?, ?, ?)", "pishb",
                            "name \xff", (int64_t)-5, "text", &h, "\0\1", (size_t)2),
                     1);
    assert_int_equal(db_run(db, "INSERT INTO t (k, i, s, h, b) VALUES (?, ?, ?, ?, ?)", "pishb",
                            "none", INT64_MAX, NULL, &none, NULL, (size_t)0),
                     1);
    st = db_query(db, "SELECT k, i, s, h, b, extra FROM t WHERE k = ?", "p", "name \xff");
    assert_int_equal(db_step(db, st), 1);
    assert_string_equal(db_col_text(st, 0), "name \xff");
    assert_int_equal(sqlite3_column_int64(st, 1), -5);
    assert_string_equal(db_col_text(st, 2), "text");
    db_col_hash(st, 3, &back);
    assert_true(hash_eq(&h, &back));
    assert_int_equal(sqlite3_column_bytes(st, 4), 2);
    assert_int_equal(sqlite3_column_int(st, 5), 7);
    assert_int_equal(db_step(db, st), 0);

    st = db_query(db, "SELECT k, i, s, h, b, extra FROM t WHERE k = ?", "p", "none");
    assert_int_equal(db_step(db, st), 1);
    assert_int_equal(sqlite3_column_type(st, 3), SQLITE_NULL);
    db_col_hash(st, 3, &back);
    assert_true(hash_is_none(&back));
    assert_string_equal(db_col_text(st, 2), "");
    db_done(st);
    db_close(db);
}

static void test_get_int(void **state)
{
    struct db *db = opened(1);
    int64_t v = 0;

    (void)state;
    assert_int_equal(db_get_int(db, -1, &v, "SELECT i FROM t WHERE k = ?", "p", "x"), 0);
    assert_int_equal(v, -1);
    assert_int_equal(db_run(db, "INSERT INTO t (k, i) VALUES (?, ?)", "pi", "x", (int64_t)9), 1);
    assert_int_equal(db_get_int(db, -1, &v, "SELECT i FROM t WHERE k = ?", "p", "x"), 0);
    assert_int_equal(v, 9);
    assert_int_equal(db_run(db, "INSERT INTO t (k) VALUES (?)", "p", "x"), -EEXIST);
    assert_true(db_get_int(db, -1, &v, "SELECT nonsense FROM t", "") < 0);
    db_done(NULL);
    db_close(db);
}

static void test_transactions(void **state)
{
    struct db *db = opened(1);
    int64_t n;

    (void)state;
    assert_int_equal(db_begin(db), 0);
    assert_int_equal(db_run(db, "INSERT INTO t (k) VALUES (?)", "p", "a"), 1);
    db_rollback(db);
    db_rollback(db); /* outside of one: nothing happens */
    assert_int_equal(db_get_int(db, 0, &n, "SELECT count(*) FROM t", ""), 0);
    assert_int_equal(n, 0);
    assert_int_equal(db_begin(db), 0);
    assert_int_equal(db_run(db, "INSERT INTO t (k) VALUES (?)", "p", "a"), 1);
    assert_int_equal(db_commit(db), 0);
    assert_int_equal(db_sync(db), 0);
    assert_true(db_commit(db) < 0);
    assert_int_equal(db_get_int(db, 0, &n, "SELECT count(*) FROM t", ""), 0);
    assert_int_equal(n, 1);
    db_close(db);
}

static void test_migrate(void **state)
{
    static const char *const broken[] = {
        "CREATE TABLE t (k BLOB PRIMARY KEY, i INTEGER, s TEXT, h BLOB, b BLOB)",
        "CREATE TABLE u (x); CREATE TABLE u (x)"};
    struct db *db = opened(1);
    struct err e = {0};
    int64_t n;

    (void)state;
    assert_int_equal(db_run(db, "INSERT INTO t (k) VALUES (?)", "p", "a"), 1);
    assert_true(db_migrate(db, APP, broken, 2, &e) < 0); /* rolled back as a whole */
    assert_non_null(strstr(e.text, "version 2"));
    assert_int_equal(
        db_get_int(db, 0, &n, "SELECT count(*) FROM sqlite_schema WHERE name = 'u'", ""), 0);
    assert_int_equal(n, 0);
    db_close(db);

    db = opened(2); /* keeps what is in it */
    assert_int_equal(db_get_int(db, 0, &n, "SELECT extra FROM t", ""), 0);
    assert_int_equal(n, 7);
    assert_int_equal(db_migrate(db, APP, steps, 2, &e), 0);
    assert_int_equal(db_migrate(db, APP, steps, 1, &e), -EPROTO);
    assert_non_null(strstr(e.text, "newer"));
    assert_int_equal(db_migrate(db, APP + 1, steps, 2, &e), -EPROTO);
    assert_non_null(strstr(e.text, "another program"));
    db_close(db);
}

static void test_open_refused(void **state)
{
    static const char text[] = "this is a text file and no database, whatever its name may say";
    struct db *db = NULL;
    struct err e = {0};

    (void)state;
    assert_true(db_open(path, DB_READ_ONLY, &db, &e) < 0);
    assert_null(db);
    assert_non_null(strstr(e.text, path));
    assert_int_equal(file_replace(AT_FDCWD, path, text, sizeof(text), 0600, false), 0);
    assert_int_equal(db_open(path, 0, &db, &e), -EUCLEAN);
    assert_non_null(strstr(e.text, path));
    assert_null(db);
    assert_int_equal(db_open(dir, 0, &db, &e), -EISDIR);
}

static void test_mode_and_reader(void **state)
{
    struct db *db = opened(1), *reader = NULL;
    struct stat st;
    mode_t old = umask(0);
    int64_t n;

    (void)state;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    umask(old);
    assert_int_equal(db_run(db, "INSERT INTO t (k) VALUES (?)", "p", "a"), 1);
    assert_int_equal(db_open(path, DB_READ_ONLY, &reader, NULL), 0);
    assert_int_equal(db_begin(db), 0); /* a writer does not hold up a reader */
    assert_int_equal(db_run(db, "INSERT INTO t (k) VALUES (?)", "p", "b"), 1);
    assert_int_equal(db_get_int(reader, 0, &n, "SELECT count(*) FROM t", ""), 0);
    assert_int_equal(n, 1);
    assert_int_equal(db_run(reader, "DELETE FROM t", ""), -EROFS);
    assert_int_equal(db_commit(db), 0);
    assert_int_equal(db_get_int(reader, 0, &n, "SELECT count(*) FROM t", ""), 0);
    assert_int_equal(n, 2);
    db_close(reader);
    db_close(db);
    db_close(NULL);
}

/* A commit survives kill -9 at once. */
static void test_kill(void **state)
{
    struct db *db;
    pid_t pid = fork();
    int64_t n;
    int status;

    (void)state;
    if (pid == 0) {
        if (db_open(path, 0, &db, NULL) == 0 && db_migrate(db, APP, steps, 1, NULL) == 0 &&
            db_run(db, "INSERT INTO t (k) VALUES (?)", "p", "a") == 1 && db_begin(db) == 0 &&
            db_run(db, "INSERT INTO t (k) VALUES (?)", "p", "b") == 1)
            kill(getpid(), SIGKILL);
        _exit(1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    db = opened(1);
    assert_int_equal(db_get_int(db, 0, &n, "SELECT count(*) FROM t", ""), 0);
    assert_int_equal(n, 1);
    db_close(db);
}

/* A second connection that comes and goes takes no lock from the first: another process that is
 * the last one to close, as it thinks, would delete the log. */
static void test_log_stays(void **state)
{
    struct db *db = opened(1), *second = NULL;
    struct stat before, after;
    struct err e = {0};
    char wal[80];
    int64_t n = 0;
    int status;
    pid_t pid;

    (void)state;
    snprintf(wal, sizeof(wal), "%s-wal", path);
    assert_int_equal(db_run(db, "INSERT INTO t(k,i) VALUES('a',1)", ""), 1);
    assert_int_equal(stat(wal, &before), 0);
    assert_int_equal(db_open(path, 0, &second, &e), 0);
    db_close(second);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        execlp("sqlite3", "sqlite3", path, "INSERT INTO t(k,i) VALUES('b',2)", (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(stat(wal, &after), 0);
    assert_int_equal(after.st_ino, before.st_ino);
    assert_int_equal(db_get_int(db, -1, &n, "SELECT sum(i) FROM t", ""), 0);
    assert_int_equal(n, 3);
    db_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_types, fresh),
        cmocka_unit_test_setup(test_get_int, fresh),
        cmocka_unit_test_setup(test_transactions, fresh),
        cmocka_unit_test_setup(test_migrate, fresh),
        cmocka_unit_test_setup(test_open_refused, fresh),
        cmocka_unit_test_setup(test_mode_and_reader, fresh),
        cmocka_unit_test_setup(test_log_stays, fresh),
        cmocka_unit_test_setup(test_kill, fresh),
    };

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
