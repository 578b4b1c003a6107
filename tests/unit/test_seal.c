/* SPDX-License-Identifier: MIT */
/*
 * Bytes of a database and its log are changed at random: whatever is read afterwards is what was
 * written, or an error. The oracle is the rows themselves: each follows from its number.
 */
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
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/db.h"
#include "sync/common/file.h"
#include "sync/common/seal.h"

#define ROWS  3000
#define MORE  200 /* that are in the log only, after a kill */
#define FLAGS DB_SEALED

static char dir[64]; /* in memory where that is possible: many small files are written */
static char path[80], wal[96];
static const char *const schema[] = {
    "CREATE TABLE t(k BLOB PRIMARY KEY, i INTEGER NOT NULL, v BLOB) WITHOUT ROWID;"
    "CREATE INDEX t_i ON t(i);"
    "CREATE TABLE r(id INTEGER PRIMARY KEY, v BLOB)",
};

/* SEAL_TIMES=10: more seeds. */
static int many(int n)
{
    const char *times = getenv("SEAL_TIMES");

    return times ? n * atoi(times) : n;
}

static void row_of(int64_t i, char k[64], char v[512])
{
    snprintf(k, 64, "uploads/%02d/name-%lld", (int)(i * 7919 % 97), (long long)i);
    snprintf(v, 512, "%lld:%0*d", (long long)i, (int)(i % 300) + 1, 7);
}

static void add(struct db *db, int64_t from, int64_t to)
{
    assert_int_equal(db_begin(db), 0);
    for (int64_t i = from; i < to; i++) {
        char k[64], v[512];
        row_of(i, k, v);
        assert_int_equal(db_run(db, "INSERT INTO t(k,i,v) VALUES(?,?,?)", "pip", k, i, v), 1);
        assert_int_equal(db_run(db, "INSERT INTO r(id,v) VALUES(?,?)", "ip", i, v), 1);
    }
    assert_int_equal(db_commit(db), 0);
}

static struct db *open_db(void)
{
    struct db *db = NULL;
    struct err e;

    if (db_open(path, FLAGS, &db, &e) < 0 || db_migrate(db, 0x74657374, schema, 1, &e) < 0)
        fail_msg("%s", e.text);
    return db;
}

static int fresh(void **state)
{
    struct db *db;

    (void)state;
    file_remove_tree(AT_FDCWD, dir);
    assert_int_equal(mkdir(dir, 0700), 0);
    snprintf(path, sizeof(path), "%s/x.db", dir);
    snprintf(wal, sizeof(wal), "%s-wal", path);
    db = open_db();
    add(db, 0, ROWS);
    db_close(db);
    return 0;
}

/* A process that is killed: rows ROWS … ROWS + MORE are in the log, in ten transactions. */
static void killed(void)
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        struct db *db = open_db();
        for (int i = 0; i < 10; i++)
            add(db, ROWS + i * MORE / 10, ROWS + (i + 1) * MORE / 10);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(access(wal, F_OK), 0);
}

/* Reads everything in several ways. Number of errors; what is read is right, and at least `rows`
 * are there where there was no error. */
static int read_all(int64_t rows, int64_t *seen)
{
    struct db *db = NULL;
    struct err e;
    int errors = 0, r;
    int64_t n;

    *seen = 0;
    if (db_open(path, FLAGS, &db, &e) < 0)
        return 1;
    for (int64_t i = 0; i < ROWS + MORE; i += 37) {
        char k[64], v[512];
        sqlite3_stmt *st;
        row_of(i, k, v);
        st = db_query(db, "SELECT i,v FROM t WHERE k=?", "p", k);
        r = db_step(db, st);
        if (r < 0)
            errors++;
        if (r == 1) {
            assert_int_equal(sqlite3_column_int64(st, 0), i);
            assert_string_equal(db_col_text(st, 1), v);
            *seen = i > *seen ? i : *seen;
        }
        if (r == 0)
            assert_true(i >= rows); /* unknown is never absent */
        db_done(st);
        r = db_get_int(db, -1, &n, "SELECT i FROM t WHERE i=?", "i", i);
        if (r < 0)
            errors++;
        else if (i < rows)
            assert_int_equal(n, i);
    }
    r = db_get_int(db, -1, &n, "SELECT count(*) FROM t", "");
    if (r < 0)
        errors++;
    else
        assert_true(n >= rows);
    r = db_get_int(db, -1, &n, "SELECT count(*) FROM r WHERE v IS NOT NULL", "");
    if (r < 0)
        errors++;
    else
        assert_true(n >= rows);
    db_close(db);
    return errors;
}

static void copy(const char *from, const char *to)
{
    int in = open(from, O_RDONLY), out = open(to, O_RDWR | O_CREAT | O_TRUNC, 0600);

    assert_true(in >= 0 && out >= 0);
    assert_int_equal(file_copy(in, out), 0);
    close(in);
    close(out);
}

static void flip(const char *file, unsigned *seed, int n, bool together)
{
    int fd = open(file, O_RDWR);
    struct stat st;
    off_t at;

    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    at = ((off_t)rand_r(seed) * 7919 + rand_r(seed)) % (st.st_size - n);
    for (int i = 0; i < n; i++) {
        unsigned char c;
        off_t here = together ? at + i : (off_t)rand_r(seed) % st.st_size;

        assert_int_equal(pread(fd, &c, 1, here), 1);
        c ^= (unsigned char)(1 + rand_r(seed) % 255);
        assert_int_equal(pwrite(fd, &c, 1, here), 1);
    }
    close(fd);
}

static void test_flips(void **state)
{
    char kept[96];
    int noticed = 0, seeds = many(150);
    int64_t seen;

    (void)state;
    snprintf(kept, sizeof(kept), "%s/kept", dir);
    copy(path, kept);
    for (unsigned i = 1; i <= (unsigned)seeds; i++) {
        unsigned seed = i;
        struct err e = {0};

        copy(kept, path);
        unlink(wal);
        flip(path, &seed, 1 + i % 8, i % 2);
        if (i % 3 == 0) { /* as in a program that runs: nobody looks first */
            (void)read_all(ROWS, &seen);
            continue;
        }
        if (db_check(path, 5000, NULL, &e) == -EUCLEAN) {
            assert_non_null(strstr(e.text, "damaged"));
            noticed++;
        }
        (void)read_all(ROWS, &seen);
    }
    assert_true(noticed > seeds / 3 * 2 - 5); /* but for what page 1 leaves out */
}

static void test_cut(void **state)
{
    char kept[96];
    struct stat st;
    struct err e;
    int64_t seen;
    bool found;

    (void)state;
    snprintf(kept, sizeof(kept), "%s/kept", dir);
    copy(path, kept);
    assert_int_equal(stat(path, &st), 0);
    for (unsigned i = 1; i < 40; i++) {
        copy(kept, path);
        assert_int_equal(
            truncate(path, st.st_size * i / 40 / (i % 2 ? 4096 : 1) * (i % 2 ? 4096 : 1)), 0);
        assert_int_equal(db_check(path, 5000, NULL, &e), -EUCLEAN);
        (void)read_all(ROWS, &seen);
    }
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(db_check(path, 5000, &found, &e), 0);
    assert_false(found);
}

static void test_log(void **state)
{
    char kept[96], kept_wal[96];
    int noticed = 0;
    int64_t seen;
    struct err e;

    (void)state;
    killed();
    snprintf(kept, sizeof(kept), "%s/kept", dir);
    snprintf(kept_wal, sizeof(kept_wal), "%s/kept-wal", dir);
    copy(path, kept);
    copy(wal, kept_wal);
    assert_int_equal(db_check(path, 5000, NULL, &e), 0);
    assert_int_equal(read_all(ROWS + MORE, &seen), 0);
    assert_true(seen > ROWS + MORE - 38);
    for (unsigned i = 1; i < (unsigned)many(80); i++) {
        unsigned seed = i;
        int r;

        copy(kept, path);
        copy(kept_wal, wal);
        flip(wal, &seed, 1 + i % 8, true);
        r = db_check(path, 5000, NULL, &e);
        noticed += r == -EUCLEAN;
        (void)read_all(ROWS, &seen);
        if (r == 0) /* at most the last transaction, as one that was cut short */
            assert_true(seen >= ROWS + MORE * 8 / 10);
    }
    assert_true(noticed > many(80) * 3 / 4);
}

static int sqlite_cli(const char *sql)
{
    pid_t pid = fork();
    int status = -1;

    if (pid == 0) {
        execlp("sqlite3", "sqlite3", path, sql, (char *)NULL);
        _exit(127);
    }
    waitpid(pid, &status, 0);
    return status;
}

/* What another program's SQLite reads, moves out of the log, or changes, is no damage. */
static void test_other_programs(void **state)
{
    static const char *const changes[] = {"SELECT count(*) FROM t",
                                          "UPDATE t SET v=v WHERE i=5",
                                          "DELETE FROM r WHERE id>2999",
                                          "PRAGMA user_version=1",
                                          "VACUUM",
                                          "CREATE TABLE more(x); INSERT INTO more VALUES(1)"};
    struct err e;
    int64_t seen;

    (void)state;
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        fresh(NULL);
        killed();
        assert_int_equal(sqlite_cli(changes[i]), 0);

        if (db_check(path, 5000, NULL, &e) < 0)
            fail_msg("%s: %s", changes[i], e.text);
        db_close(open_db());
        assert_int_equal(db_check(path, 5000, NULL, &e), 0);
        assert_int_equal(read_all(ROWS + (i == 2 ? 0 : MORE), &seen), 0);
    }
    /* … but then damage is noticed as before */
    for (unsigned seed = 1; seed < 20; seed++) {
        unsigned s = seed;
        char kept[96];

        snprintf(kept, sizeof(kept), "%s/kept", dir);
        copy(path, kept);
        flip(path, &s, 8, true);
        (void)db_check(path, 5000, NULL, &e);
        (void)read_all(ROWS, &seen);
        copy(kept, path);
    }
}

/* A database without seals, as earlier versions made it, gets them. */
static void test_upgrade(void **state)
{
    struct db *db = NULL;
    unsigned seed = 3;
    struct stat st;
    struct err e;
    int64_t seen;

    (void)state;
    unlink(path);
    assert_int_equal(db_open(path, 0, &db, &e), 0);
    assert_int_equal(db_migrate(db, 0x74657374, schema, 1, &e), 0);
    add(db, 0, ROWS);
    db_close(db);
    assert_int_equal(db_check(path, 5000, NULL, &e), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    db_close(open_db());
    assert_int_equal(read_all(ROWS, &seen), 0);
    flip(path, &seed, 8, true);
    assert_int_equal(db_check(path, 5000, NULL, &e), -EUCLEAN);
}

/* Damage while it is in use is an error where it is met, and elsewhere nothing. */
static void test_in_use(void **state)
{
    struct db *db, *reader = NULL;
    struct err e;
    int64_t n;
    int bad = 0;

    (void)state;
    db = open_db();
    assert_int_equal(db_open(path, DB_READ_ONLY | FLAGS, &reader, &e), 0);
    for (unsigned seed = 1; seed < 30; seed++) {
        unsigned s = seed;

        flip(path, &s, 8, true);
    }
    for (int64_t i = 0; i < ROWS; i++) {
        char k[64], v[512];
        int r;

        row_of(i, k, v);
        r = db_get_int(reader, -1, &n, "SELECT i FROM t WHERE k=?", "p", k);
        assert_true(r < 0 || n == i);
        assert_true(r == 0 || r == -EUCLEAN);
        bad += r < 0;
    }
    assert_true(bad > 0);
    db_close(reader);
    db_close(db);
}

static int setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "%s/eefs-unit-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return file_remove_tree(AT_FDCWD, dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_flips, fresh),
        cmocka_unit_test_setup(test_cut, fresh),
        cmocka_unit_test_setup(test_log, fresh),
        cmocka_unit_test_setup(test_other_programs, fresh),
        cmocka_unit_test_setup(test_upgrade, fresh),
        cmocka_unit_test_setup(test_in_use, fresh),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
