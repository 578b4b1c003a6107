/* SPDX-License-Identifier: MIT */
/* The small tables of the master's database: meta, answers, intents, renames, kept, and what the
 * writer's tree_step() keeps of them. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sync/common/file.h"
#include "sync/master/db/answers.h"
#include "sync/master/db/intents.h"
#include "sync/master/db/kept_rows.h"
#include "sync/master/db/meta.h"
#include "sync/master/db/renames.h"
#include "sync/master/db/schema.h"
#include "sync/master/db/tree.h"

struct fixture {
    char dir[64], path[96];
    struct tree t;
};

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    char timeline[17], id[33] = "";
    bool known;

    strcpy(f->dir, "/tmp/eefs-test-tables-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof(f->path), "%s/master.db", f->dir);
    assert_int_equal(schema_open(f->path, 0, &f->t.db, NULL), 0);
    assert_int_equal(tree_start(&f->t, timeline, id, &known, NULL), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    strlist_release(&f->t.touched);
    db_close(f->t.db);
    file_remove_tree(AT_FDCWD, f->dir);
    free(f);
    return 0;
}

static struct hash hash_of(const char *text)
{
    struct hash h;

    hash_bytes(text, strlen(text), &h);
    return h;
}

static void put(struct tree *t, const char *path, const char *text)
{
    struct row r = {.e = {.path = xstrdup(path), .type = ENTRY_FILE, .mode = 0640}};

    r.e.size = (int64_t)strlen(text);
    r.e.hash = hash_of(text);
    assert_int_equal(tree_put(t, &r), 0);
    row_release(&r);
}

static void test_meta(void **state)
{
    struct db *db = ((struct fixture *)*state)->t.db;
    char *text = NULL;
    int64_t n = 0;

    assert_int_equal(meta_get_int(db, "x", -7, &n), 0);
    assert_int_equal(n, -7);
    assert_int_equal(meta_get_text(db, "x", &text), 0);
    assert_int_equal(meta_set_int(db, "x", INT64_MAX), 0);
    assert_int_equal(meta_get_int(db, "x", 0, &n), 0);
    assert_true(n == INT64_MAX);
    assert_int_equal(meta_set_text(db, "x", "[]"), 0);
    assert_int_equal(meta_get_text(db, "x", &text), 1);
    assert_string_equal(text, "[]");
    free(text);
    assert_int_equal(meta_remove(db, "x"), 0);
    assert_int_equal(meta_get_text(db, "x", &text), 0);
}

static int find(struct db *db, const char *outbox, int64_t n, const char *op)
{
    struct hash digest = hash_of(op);
    char *answer = NULL;
    int r = answers_find(db, "slave1", outbox, n, &digest, &answer);

    if (r == ANSWERS_SAME)
        assert_string_equal(answer, op);
    else
        assert_null(answer);
    free(answer);
    return r;
}

/* A repeated operation is known; its number with another digest is another's, and so is one whose
 * answer is not kept any more. */
static void test_answers(void **state)
{
    struct db *db = ((struct fixture *)*state)->t.db;
    struct hash digest;
    char op[16];

    assert_int_equal(find(db, "aa", 1, "op 1"), ANSWERS_NEW);
    for (int n = 1; n <= ANSWERS_KEPT + 2; n++) {
        snprintf(op, sizeof(op), "op %d", n);
        digest = hash_of(op);
        assert_int_equal(answers_add(db, "slave1", "aa", n, &digest, op), 0);
    }
    assert_int_equal(find(db, "aa", 3, "op 3"), ANSWERS_SAME);
    assert_int_equal(find(db, "aa", 3, "op 4"), ANSWERS_OTHER);
    assert_int_equal(find(db, "aa", 2, "op 2"), ANSWERS_OTHER);
    assert_int_equal(find(db, "aa", ANSWERS_KEPT + 3, "new"), ANSWERS_NEW);
    assert_int_equal(find(db, "bb", 3, "op 3"), ANSWERS_NEW);
    assert_int_equal(answers_forget(db, "slave1"), 0);
    assert_int_equal(find(db, "aa", 3, "op 3"), ANSWERS_NEW);
}

static int judge(void *arg, const struct intent *i)
{
    int *calls = arg;

    ++*calls;
    assert_int_equal(i->ino, 7);
    assert_string_equal(i->life, "boot");
    return i->lands ? strcmp(i->lands, "made") == 0 : -EIO;
}

static void note(struct db *db, const char *outbox, int64_t n, char *lands)
{
    char life[] = "boot";
    struct intent i = {
        .life = life, .lands = lands, .ino = 7, .over = 9, .result = RESULT_CONFLICT};
    struct hash digest = hash_of(outbox);

    assert_int_equal(intents_put(db, "slave1", outbox, n, &digest, &i), 0);
}

static void test_intents(void **state)
{
    struct db *db = ((struct fixture *)*state)->t.db;
    struct hash a = hash_of("aa"), b = hash_of("bb");
    char made[] = "made", lost[] = "lost";
    struct intent got;
    int calls = 0;

    note(db, "aa", 5, lost);
    note(db, "aa", 5, made); /* in its place */
    note(db, "bb", 5, lost);
    assert_int_equal(intents_find_made(db, "slave1", "aa", 5, &a, &got), 0);
    assert_int_equal(intents_judge(db, judge, &calls), 0);
    assert_int_equal(calls, 2);
    assert_int_equal(intents_find_made(db, "slave1", "aa", 5, &b, &got), 0);
    assert_int_equal(intents_find_made(db, "slave1", "aa", 4, &a, &got), 0);
    assert_int_equal(intents_find_made(db, "slave1", "bb", 5, &b, &got), 0);
    assert_int_equal(intents_find_made(db, "slave1", "aa", 5, &a, &got), 1);
    assert_string_equal(got.lands, "made");
    assert_null(got.path);
    assert_int_equal(got.over, 9);
    assert_int_equal(got.result, RESULT_CONFLICT);
    intent_release(&got);
    assert_int_equal(intents_judge(db, judge, &calls), 0); /* it was judged */
    assert_int_equal(calls, 2);
    note(db, "bb", 5, NULL);
    assert_int_equal(intents_judge(db, judge, &calls), -EIO);
    assert_int_equal(calls, 3);
    assert_int_equal(intents_forget(db, "slave1"), 0);
    assert_int_equal(intents_judge(db, judge, &calls), 0);
    assert_int_equal(calls, 3);
}

/* Each operation has a note of its own, until it is answered or its answer would be forgotten. */
static void test_intents_of_one_outbox(void **state)
{
    struct db *db = ((struct fixture *)*state)->t.db;
    struct hash a = hash_of("aa");
    char made[] = "made", lost[] = "lost";
    struct intent got;
    int calls = 0;

    for (int64_t n = 5; n < 9; n++)
        note(db, "aa", n, n == 6 ? lost : made);
    assert_int_equal(intents_judge(db, judge, &calls), 0);
    assert_int_equal(calls, 4);
    for (int64_t n = 5; n < 9; n++) {
        assert_int_equal(intents_find_made(db, "slave1", "aa", n, &a, &got), n != 6);
        intent_release(&got);
    }
    assert_int_equal(intents_remove(db, "slave1", "aa", 7), 0);
    assert_int_equal(intents_find_made(db, "slave1", "aa", 7, &a, &got), 0);
    assert_int_equal(intents_find_made(db, "slave1", "aa", 8, &a, &got), 1);
    intent_release(&got);
    assert_int_equal(intents_remove(db, "slave1", "aa", 8 + ANSWERS_KEPT), 0);
    assert_int_equal(intents_find_made(db, "slave1", "aa", 8, &a, &got), 0);
}

static void leads(struct db *db, const char *path, int64_t known, const char *outbox,
                  const char *to)
{
    char *got = NULL;

    assert_int_equal(renames_lead(db, path, known, outbox, &got), to ? 1 : 0);
    if (to)
        assert_string_equal(got, to);
    free(got);
}

static void test_renames(void **state)
{
    struct db *db = ((struct fixture *)*state)->t.db;

    assert_int_equal(renames_add(db, 10, "a", "b", NULL), 0);
    assert_int_equal(renames_add(db, 20, "b/c", "d", "aa"), 0);
    assert_int_equal(renames_add(db, 30, "e", "a", NULL), 0); /* the old name again */
    leads(db, "a/x", 5, "bb", "b/x");
    leads(db, "a/c/x", 5, "bb", "d/x");
    leads(db, "a/c/x", 5, "aa", "b/c/x"); /* its own rename it knew */
    leads(db, "a/x", 10, "bb", NULL);
    leads(db, "e/x", 10, "bb", "a/x");
    leads(db, "a", 5, "bb", NULL); /* the folder itself is not in it */
    leads(db, "ab/x", 5, "bb", NULL);
}

struct order {
    char text[64];
    size_t n, max;
};

static bool add(void *arg, const struct hash *h, int64_t size, bool orphan)
{
    struct order *o = arg;

    (void)h;
    o->n += (size_t)snprintf(o->text + o->n, sizeof(o->text) - o->n, "%d%s ", (int)size,
                             orphan ? "!" : "");
    return --o->max > 0;
}

static const char *oldest(struct db *db, int64_t found, size_t max, struct order *o)
{
    *o = (struct order){.max = max};
    assert_int_equal(kept_rows_oldest(db, found, 10, add, o), 0);
    return o->text;
}

static bool count(void *arg, const struct hash *h, int64_t size, int64_t found)
{
    (void)h, (void)size;
    assert_int_equal(found, 1000);
    ++*(int *)arg;
    return true;
}

/* First to go is what no path has or had, then the versions, then what files have now. */
static void test_kept_rows(void **state)
{
    struct tree *t = &((struct fixture *)*state)->t;
    static const char *const texts[] = {"now", "then", "never", "found"};
    struct order o;
    int64_t files = 0, bytes = 0, seq = 0;
    int unnamed = 0;

    assert_int_equal(tree_begin(t), 0);
    put(t, "a", "then");
    put(t, "a", "now");
    put(t, "b", "not kept");
    put(t, "sql/slave1/dump", "a dump is never kept");
    for (size_t i = 0; i < 4; i++) {
        struct hash h = hash_of(texts[i]);

        assert_int_equal(kept_rows_has(t->db, &h), 0);
        assert_int_equal(kept_rows_add(t->db, &h, (int64_t)i + 1, i == 3 ? 1000 : 0), 0);
        assert_int_equal(kept_rows_add(t->db, &h, 99, 0), 0); /* stays as it is */
        assert_int_equal(kept_rows_has(t->db, &h), 1);
    }
    assert_string_equal(oldest(t->db, INT64_MAX, 10, &o), "3! 4! 2 1 ");
    assert_string_equal(oldest(t->db, 999, 10, &o), "3! 2 1 ");
    assert_string_equal(oldest(t->db, INT64_MAX, 2, &o), "3! 4! ");
    assert_int_equal(kept_rows_count_lacking(t->db, &files, &bytes), 0);
    assert_int_equal(files, 1);
    assert_int_equal(bytes, (int64_t)strlen("not kept"));
    assert_int_equal(kept_rows_unnamed(t->db, count, &unnamed), 0);
    assert_int_equal(unnamed, 1);
    put(t, "c", "found");
    assert_int_equal(kept_rows_named(t->db), 0);
    assert_int_equal(tree_remove(t, "c"), 1);
    assert_int_equal(kept_rows_unnamed(t->db, count, &unnamed), 0);
    assert_int_equal(unnamed, 1);
    assert_int_equal(kept_rows_seq(t->db, &seq), 0);
    assert_int_equal(seq, -1);
    assert_int_equal(kept_rows_set_seq(t->db, 12), 0);
    assert_int_equal(kept_rows_seq(t->db, &seq), 0);
    assert_int_equal(seq, 12);
    assert_int_equal(tree_commit(t), 0);
}

/* What was written before a step stays when the rest is rolled back, and only that. */
static void test_step(void **state)
{
    struct tree *t = &((struct fixture *)*state)->t;
    struct tree_total total;
    int64_t seq;

    assert_int_equal(tree_begin(t), 0);
    put(t, "a", "x");
    seq = t->seq;
    assert_int_equal(tree_step(t), 0);
    put(t, "b", "y");
    tree_rollback(t);
    assert_int_equal(t->seq, seq);
    assert_int_equal(tree_last_seq(t->db, &seq), 0);
    assert_int_equal(t->seq, seq);
    assert_int_equal(tree_total(t->db, &total), 0);
    assert_int_equal(total.files, 1);
}

struct since {
    int64_t last;
    int n, max;
};

static bool in_order(void *arg, struct row *row)
{
    struct since *s = arg;

    assert_true(row->e.seq > s->last);
    s->last = row->e.seq;
    s->n++;
    return s->n < s->max;
}

static bool is_b(void *arg, const char *path)
{
    (void)arg;
    return strcmp(path, "d/b") == 0;
}

static void test_tree_lists(void **state)
{
    struct tree *t = &((struct fixture *)*state)->t;
    struct since all = {.max = 100}, two = {.max = 2};
    struct hash x = hash_of("x"), y = hash_of("y");
    struct row *rows;
    char *path = NULL;
    size_t n;

    assert_int_equal(tree_begin(t), 0);
    put(t, "d/a", "x");
    put(t, "d/b", "y");
    put(t, "d/e/c", "x");
    put(t, "d0", "x"); /* beside it */
    assert_int_equal(tree_remove(t, "d/b"), 1);
    assert_int_equal(tree_each_since(t->db, 0, in_order, &all), 0);
    assert_int_equal(all.n, 4);
    assert_int_equal(tree_each_since(t->db, 0, in_order, &two), 1);
    assert_int_equal(two.n, 2);
    assert_int_equal(tree_below(t->db, "d", &rows, &n), 0);
    assert_int_equal(n, 2);
    for (size_t i = 0; i < n; i++)
        row_release(&rows[i]);
    free(rows);
    assert_int_equal(tree_has_hash(t->db, &x), 1);
    assert_int_equal(tree_has_hash(t->db, &y), 0);
    assert_int_equal(tree_find_path(t->db, is_b, NULL, &path), 1); /* gone counts */
    assert_string_equal(path, "d/b");
    free(path);
    assert_int_equal(tree_commit(t), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_meta, setup, teardown),
        cmocka_unit_test_setup_teardown(test_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_intents, setup, teardown),
        cmocka_unit_test_setup_teardown(test_intents_of_one_outbox, setup, teardown),
        cmocka_unit_test_setup_teardown(test_renames, setup, teardown),
        cmocka_unit_test_setup_teardown(test_kept_rows, setup, teardown),
        cmocka_unit_test_setup_teardown(test_step, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tree_lists, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
