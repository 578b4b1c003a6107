/* SPDX-License-Identifier: MIT */
/* replica: what a mirror shows: the master's entries with its own unsent changes over them. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <sqlite3.h>

#include "sync/common/buf.h"
#include "sync/common/db.h"
#include "sync/common/file.h"
#include "sync/mirror/replica/cookie.h"
#include "sync/mirror/replica/feed.h"

#define CUR(seq) "00000000000000aa." #seq ".1"

struct fix {
    char dir[64];
    struct replica *r;
};

static void set_remote_excluding(struct fix *f, const char *write, const char *exclude)
{
    struct remote m = {.master_id = "m1",
                       .url = "http://m1/",
                       .name = "slave1",
                       .scopegen = 1,
                       .folder_times = true};

    strlist_add(&m.scope.write, write);
    strlist_add(&m.exclude, exclude);
    assert_true(replica_set_remote(f->r, &m) >= 0);
    scope_release(&m.scope);
    strlist_release(&m.exclude);
}

static void set_remote(struct fix *f, const char *write)
{
    set_remote_excluding(f, write, "*.tmp");
}

static struct hash H(char c) {
    struct hash h;

    memset(h.b, c, sizeof(h.b));
    return h;
}

static struct entry
E(const char *path, int64_t seq, enum entry_type type, char c) {
    struct entry e = {.path = xstrdup(path), .type = type, .seq = seq, .mtime = 5, .mode = 0644};

    if (type == ENTRY_FILE) {
        e.size = 10;
        e.hash = H(c);
    }
    return e;
}

static void
stage(struct fix *f, struct entry e)
{
    assert_int_equal(replica_feed_stage(f->r, &e, 1), 0);
    entry_release(&e);
}

/* The changed paths, joined by blanks; the caller frees. */
static char *joined(struct strlist *l)
{
    struct buf b = BUF_INIT;

    buf_puts(&b, "");
    for (size_t i = 0; i < l->n; i++)
        buf_printf(&b, "%s%s", i ? " " : "", *l->v[i] ? l->v[i] : "/");
    strlist_release(l);
    return buf_detach(&b);
}

static void commit(struct fix *f, const char *cursor, bool full, const char *expect)
{
    struct strlist changed = {0};
    char *got;

    assert_int_equal(replica_feed_commit(f->r, cursor, full, &changed), 0);
    got = joined(&changed);
    if (expect)
        assert_string_equal(got, expect);
    free(got);
}

static int setup(void **state)
{
    struct fix *f = calloc(1, sizeof(*f));

    strcpy(f->dir, "/tmp/eefs-replica-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    assert_int_equal(replica_open(f->dir, false, &f->r, NULL), 0);
    assert_false(replica_is_complete(f->r));
    set_remote(f, "up");
    stage(f, E("up", 1, ENTRY_DIR, 0));
    stage(f, E("up/a", 2, ENTRY_FILE, 'A'));
    stage(f, E("up/d", 3, ENTRY_DIR, 0));
    stage(f, E("up/d/x", 4, ENTRY_FILE, 'X'));
    stage(f, E("css", 5, ENTRY_DIR, 0));
    commit(f, CUR(5), true, "");
    assert_true(replica_is_complete(f->r));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fix *f = *state;

    replica_close(f->r);
    file_remove_tree(AT_FDCWD, f->dir);
    free(f);
    return 0;
}

static int list_one(void *arg, const char *name, int64_t place, const struct node_attr *attr)
{
    (void)attr;
    assert_true(place > COOKIE_DOTS);
    strlist_add(arg, name);
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void assert_list(struct fix *f, const char *dir, const char *expect)
{
    struct strlist l = {0};
    struct buf b = BUF_INIT;

    assert_int_equal(replica_readdir(f->r, dir, 0, random() % 2, list_one, &l), 0);
    if (l.n)
        qsort(l.v, l.n, sizeof(*l.v), by_name);
    buf_puts(&b, "");
    for (size_t i = 0; i < l.n; i++)
        buf_printf(&b, "%s ", l.v[i]);
    assert_string_equal(b.data, expect);
    strlist_release(&l);
    buf_release(&b);
}

static struct node_attr look(struct fix *f, const char *path)
{
    struct node_attr a;

    assert_int_equal(replica_lookup(f->r, path, &a), 0);
    return a;
}

static int64_t publish(struct fix *f, const char *path, char c, char replaces)
{
    struct hash h = H(c), was = H(replaces);
    int64_t opid = -1;

    assert_int_equal(replica_publish(f->r, path, &h, 10, 7, 7, 0644, replaces ? &was : NULL, &opid),
                     0);
    return opid;
}

static int64_t make(struct fix *f, const char *path, char c)
{
    assert_int_equal(replica_create(f->r, path, 0644, NULL), 0);
    return publish(f, path, c, 0);
}

/* "put up/a pre=A;…" of all that could be sent; counts them as sent. */
static char *take(struct fix *f)
{
    struct op ops[50];
    struct buf b = BUF_INIT;
    int n = replica_outbox_take(f->r, 0, 50, ops);

    assert_true(n >= 0);
    assert_int_equal(replica_outbox_sent(f->r, ops, (size_t)n), n);
    buf_puts(&b, "");
    for (int i = 0; i < n; i++) {
        char pre[HASH_TEXT_CAP];
        buf_printf(&b, "%s %s", op_kind_name(ops[i].kind), ops[i].path);
        if (ops[i].to)
            buf_printf(&b, ">%s", ops[i].to);
        if (ops[i].kind == OP_PUT)
            buf_printf(&b, "=%c", ops[i].hash.b[0]);
        if (ops[i].pre.kind == PRE_HASH)
            buf_printf(&b, " pre=%c", ops[i].pre.hash.b[0]);
        else if (ops[i].pre.kind)
            buf_printf(&b, " pre=%s", pre_text(&ops[i].pre, pre));
        if (ops[i].to_pre.kind == PRE_HASH)
            buf_printf(&b, " to_pre=%c", ops[i].to_pre.hash.b[0]);
        buf_puts(&b, ";");
        op_release(&ops[i]);
    }
    return buf_detach(&b);
}

static void assert_take(struct fix *f, const char *expect)
{
    char *got = take(f);

    assert_string_equal(got, expect);
    free(got);
}

static void answer(struct fix *f, int64_t n, enum op_result result, const char *copy,
                   const char *code, struct entry *entries, size_t count, const char *expect)
{
    struct op_answer a = {.n = n, .result = result};
    struct strlist changed = {0};
    char *got;

    a.copy = copy ? xstrdup(copy) : NULL;
    a.code = code ? xstrdup(code) : NULL;
    for (size_t i = 0; i < count; i++) {
        op_answer_add(&a, &entries[i]);
        entry_release(&entries[i]);
    }
    assert_int_equal(replica_outbox_answers(f->r, &a, 1, &changed), 1);
    got = joined(&changed);
    if (expect)
        assert_string_equal(got, expect);
    free(got);
    op_answer_release(&a);
}

static void assert_gone(struct fix *f, const char *path)
{
    struct node_attr a;

    assert_int_equal(replica_lookup(f->r, path, &a), -ENOENT);
}

static void test_view(void **state)
{
    struct fix *f = *state;
    int64_t opid = 0, entries, bytes;
    struct node_attr a;
    char *target = NULL;
    uint64_t generation = replica_generation(f->r);

    assert_list(f, "", "css up ");
    assert_list(f, "up", "a d ");
    assert_int_equal(look(f, "").ino, 1);
    assert_int_equal(replica_generation(f->r), generation);
    assert_int_equal(replica_mkdir(f->r, "up/B", 0755, &a, &opid), 0);
    assert_true(replica_generation(f->r) > generation);
    assert_int_equal(replica_symlink(f->r, "up/l", "to/it", &a, &opid), 0);
    assert_int_equal(a.size, 5);
    assert_int_equal(replica_readlink(f->r, "up/l", &target), 0);
    assert_string_equal(target, "to/it");
    free(target);
    assert_int_equal(replica_readlink(f->r, "up/a", &target), -EINVAL);
    assert_int_equal(replica_unlink(f->r, "up/a", NULL, &opid), 0);
    assert_list(f, "up", "B d l ");
    assert_int_equal(replica_readdir(f->r, "up/l", 0, random() % 2, list_one, NULL), -ENOTDIR);
    assert_int_equal(replica_readdir(f->r, "up/a", 0, random() % 2, list_one, NULL), -ENOENT);
    replica_totals(f->r, &entries, &bytes);
    assert_int_equal(entries, 6);
    assert_int_equal(bytes, 10);
    assert_int_equal(replica_sync(f->r), 0);
    assert_take(f, "mkdir up/B;symlink up/l pre=absent;unlink up/a pre=A;");
}

static void test_errors(void **state)
{
    struct fix *f = *state;
    int64_t o = 0;

    assert_int_equal(replica_create(f->r, "up/a", 0644, NULL), -EEXIST);
    assert_int_equal(replica_create(f->r, "up/no/a", 0644, NULL), -ENOENT);
    assert_int_equal(replica_create(f->r, "up/a/b", 0644, NULL), -ENOTDIR);
    assert_int_equal(replica_create(f->r, "css/n", 0644, NULL), -EROFS);
    assert_int_equal(replica_unlink(f->r, "up/d", NULL, &o), -EISDIR);
    assert_int_equal(replica_rmdir(f->r, "up/a", &o), -ENOTDIR);
    assert_int_equal(replica_rmdir(f->r, "up/d", &o), -ENOTEMPTY);
    assert_int_equal(replica_rmdir(f->r, "up", &o), -EROFS);
    assert_int_equal(replica_rename(f->r, "up", "up2", false, NULL, &o), -EROFS);
    assert_int_equal(replica_rename(f->r, "up/d", "up/d/e", false, NULL, &o), -EINVAL);
    assert_int_equal(replica_rename(f->r, "up/d", "up/a", false, NULL, &o), -ENOTDIR);
    assert_int_equal(replica_rename(f->r, "up/a", "up/d", false, NULL, &o), -EISDIR);
    assert_int_equal(replica_rename(f->r, "up/a", "up/d/x", true, NULL, &o), -EEXIST);
    assert_int_equal(replica_rename(f->r, "up/none", "up/n", false, NULL, &o), -ENOENT);
    assert_take(f, "");
}

static void test_coalesce(void **state)
{
    struct fix *f = *state;
    struct node_attr a;
    int64_t o = 0, n = publish(f, "up/a", 'B', 'A');

    assert_int_equal(publish(f, "up/a", 'C', 'B'), n);
    assert_int_equal(replica_setattr(f->r, "up/a",
                                     &(struct node_change){.has_mode = true, .mode = 0600}, &a, &o),
                     0);
    assert_int_equal(o, n);
    assert_int_equal(a.mode, 0600);
    make(f, "up/new", 'N');
    assert_int_equal(replica_unlink(f->r, "up/new", NULL, &o), 0);
    assert_int_equal(o, 0);
    assert_int_equal(replica_mkdir(f->r, "up/e", 0755, NULL, &o), 0);
    assert_int_equal(replica_rmdir(f->r, "up/e", &o), 0);
    assert_int_equal(replica_create(f->r, "up/open", 0644, NULL), 0); /* not published */
    assert_take(f, "put up/a=C pre=A;");
    publish(f, "up/a", 'D', 'C'); /* the first is under way */
    assert_take(f, "put up/a=C pre=A;");
    struct entry e = E("up/a", 6, ENTRY_FILE, 'C');
    answer(f, n, RESULT_DONE, NULL, NULL, &e, 1, "");
    assert_take(f, "put up/a=D pre=C;");
    assert_int_equal(look(f, "up/a").hash.b[0], 'D');
}

/* Answers that follow one another are applied together, up to one that is to be asked for later. */
static void test_answers_together(void **state)
{
    struct fix *f = *state;
    struct op_answer a[4] = {{.result = RESULT_DONE},
                             {.result = RESULT_REFUSED},
                             {.result = RESULT_DONE},
                             {.result = RESULT_LATER}};
    static const char *const paths[] = {"up/1", "up/2", "up/3", "up/4"};
    struct strlist changed = {0};
    int refused = 0;
    char *got;

    for (size_t i = 0; i < 4; i++) {
        struct entry e = E(paths[i], 6 + (int64_t)i, ENTRY_FILE, (char)('K' + i));

        a[i].n = make(f, paths[i], (char)('K' + i));
        if (a[i].result == RESULT_DONE)
            op_answer_add(&a[i], &e);
        entry_release(&e);
    }
    a[1].code = xstrdup("name");
    assert_take(f, "put up/1=K pre=absent;put up/2=L pre=absent;put up/3=M pre=absent;"
                   "put up/4=N pre=absent;");
    assert_int_equal(replica_outbox_answers(f->r, a, 4, &changed), 3);
    assert_int_equal(replica_outbox_answers(f->r, &a[3], 1, &changed), 0);
    got = joined(&changed);
    assert_string_equal(got, "up/1 up/3");
    free(got);
    assert_true(replica_outbox_done(f->r, a[0].n, &refused) && refused == 0);
    assert_true(replica_outbox_done(f->r, a[1].n, &refused) && refused < 0);
    assert_true(replica_outbox_done(f->r, a[2].n, &refused) && refused == 0);
    assert_false(replica_outbox_done(f->r, a[3].n, &refused));
    for (size_t i = 0; i < 4; i++)
        op_answer_release(&a[i]);
}

static void test_replace_by_rename(void **state)
{
    struct fix *f = *state;
    uint64_t ino;
    int64_t o = 0;

    make(f, "up/t", 'N');
    ino = look(f, "up/t").ino;
    assert_int_equal(replica_rename(f->r, "up/t", "up/a", false, NULL, &o), 0);
    assert_int_equal(look(f, "up/a").ino, ino);
    assert_gone(f, "up/t");
    assert_int_equal(replica_rename(f->r, "up/d/x", "up/y", false, NULL, &o), 0);
    assert_take(f, "put up/a=N pre=A;rename up/d/x>up/y pre=X;");
    assert_int_equal(replica_rename(f->r, "up/y", "up/a", false, NULL, &o), 0);
    assert_list(f, "up", "a d ");
    assert_int_equal(look(f, "up/a").hash.b[0], 'X');
}

/* What was written and never sent leaves no trace when something is moved over it. */
static void test_replace_unsent(void **state)
{
    struct fix *f = *state;
    int64_t o = 0, n = publish(f, "up/a", 'B', 'A');
    int result = 1;

    for (char c = 'C'; c < 'F'; c++) { /* as editors save */
        n = make(f, "up/a.new", c);
        assert_int_equal(replica_rename(f->r, "up/a.new", "up/a", false, NULL, &o), 0);
    }
    assert_false(replica_outbox_done(f->r, n, &result)); /* goes on as the rename's operation */
    assert_int_equal(look(f, "up/a").hash.b[0], 'E');
    make(f, "up/n", 'N');
    assert_int_equal(replica_rename(f->r, "up/d/x", "up/n", false, NULL, &o), 0);
    assert_take(f, "put up/a=E pre=A;rename up/d/x>up/n pre=X;");
    assert_list(f, "up", "a d n ");
}

static void test_move_unsent_folder(void **state)
{
    struct fix *f = *state;
    struct node_attr a;
    int64_t o = 0, n, m, entries, bytes;
    uint64_t ino;
    int result = 1;

    assert_int_equal(replica_mkdir(f->r, "up/g", 0755, NULL, &n), 0);
    m = make(f, "up/g/1", '1');
    make(f, "up/g/2", '2');
    assert_int_equal(replica_mkdir(f->r, "up/g/s", 0755, NULL, &o), 0);
    assert_int_equal(replica_create(f->r, "up/g/x.tmp", 0644, NULL), 0);
    assert_int_equal(replica_create(f->r, "up/g/open", 0644, NULL), 0);
    assert_int_equal(replica_setattr(f->r, "up/g",
                                     &(struct node_change){.has_mode = true, .mode = 0777}, &a, &o),
                     0);
    ino = look(f, "up/g/1").ino;
    assert_int_equal(replica_rename(f->r, "up/g", "up/h", false, NULL, &o), 0);
    assert_list(f, "up", "a d h ");
    assert_list(f, "up/h", "1 2 open s x.tmp ");
    assert_int_equal(look(f, "up/h/1").ino, ino);
    assert_int_equal(look(f, "up/h").mode, 0777);
    assert_false(replica_outbox_done(f->r, m, &result));
    publish(f, "up/h/open", 'O', 0);
    replica_totals(f->r, &entries, &bytes);
    assert_int_equal(entries, 11);
    assert_int_equal(bytes, 50);
    assert_int_equal(replica_unlink(f->r, "up/h/2", NULL, &o), 0);
    assert_take(f, "mkdir up/h;put up/h/1=1 pre=absent;mkdir up/h/s;put up/h/open=O pre=absent;");
    assert_int_equal(replica_rename(f->r, "up/h", "up/g", false, NULL, &o), 0); /* sent meanwhile */
    assert_list(f, "up/g", "1 open s x.tmp ");
}

static void test_open_files(void **state)
{
    struct fix *f = *state;
    struct node_attr a;
    int64_t o = -1;

    assert_int_equal(replica_create(f->r, "up/d/o", 0644, NULL), 0);
    assert_int_equal(replica_rename(f->r, "up/d", "up/e", false, NULL, &o), 0);
    assert_list(f, "up/e", "o x ");
    publish(f, "up/e/o", 'O', 0);
    assert_int_equal(replica_create(f->r, "up/t", 0644, NULL), 0);
    assert_int_equal(replica_rename(f->r, "up/t", "up/a", false, NULL, &o),
                     0); /* over a base file */
    a = look(f, "up/a");
    assert_true(hash_is_none(&a.hash));
    publish(f, "up/a", 'T', 0);
    assert_take(f, "rename up/d>up/e pre=dir;put up/e/o=O pre=absent;put up/a=T pre=A;");
    assert_int_equal(replica_create(f->r, "up/u", 0644, NULL), 0);
    assert_int_equal(replica_unlink(f->r, "up/u", NULL, &o), 0);
    assert_int_equal(o, 0);
}

static void test_rename_folder(void **state)
{
    struct fix *f = *state;
    uint64_t ino = look(f, "up/d/x").ino, dir = look(f, "up/d").ino;
    int64_t o = 0;
    struct entry e[4];

    assert_int_equal(replica_rename(f->r, "up/d", "up/n", false, NULL, &o), 0);
    assert_gone(f, "up/d/x");
    assert_int_equal(look(f, "up/n/x").ino, ino);
    assert_int_equal(look(f, "up/n").ino, dir);
    assert_true(look(f, "up/n/x").pending);
    assert_take(f, "rename up/d>up/n pre=dir;");
    e[0] = E("up/d", 6, ENTRY_GONE, 0);
    e[1] = E("up/d/x", 6, ENTRY_GONE, 0);
    e[2] = E("up/n", 7, ENTRY_DIR, 0);
    e[3] = E("up/n/x", 7, ENTRY_FILE, 'X');
    answer(f, o, RESULT_DONE, NULL, NULL, e, 4, "");
    assert_int_equal(look(f, "up/n/x").ino, ino);
    assert_false(look(f, "up/n/x").pending);
    assert_list(f, "up", "a n ");
    /* the old listing comes late: own tombstones stand until the cursor has passed them */
    stage(f, E("up/d", 3, ENTRY_DIR, 0));
    stage(f, E("up/d/x", 4, ENTRY_FILE, 'X'));
    commit(f, CUR(5), false, "");
    assert_list(f, "up", "a n ");
    commit(f, CUR(7), false, "");
    assert_list(f, "up", "a n ");
}

static void test_feed(void **state)
{
    struct fix *f = *state;
    uint64_t ino = look(f, "up/a").ino;

    stage(f, E("up/a", 6, ENTRY_FILE, 'B'));
    stage(f, E("up/a", 6, ENTRY_FILE, 'B'));
    stage(f, E("css/n", 7, ENTRY_FILE, 'N'));
    commit(f, CUR(7), false, "css css/n up/a");
    assert_int_not_equal(look(f, "up/a").ino, ino); /* another version */
    stage(f, E("up/a", 4, ENTRY_FILE, 'A'));        /* older */
    commit(f, CUR(8), false, "");
    assert_int_equal(look(f, "up/a").hash.b[0], 'B');
    stage(f, E("up/d", 9, ENTRY_GONE, 0)); /* takes its children with it */
    stage(f, E("css/n", 10, ENTRY_DIR, 0));
    commit(f, CUR(10), false, "css/n up up/d up/d/x");
    assert_gone(f, "up/d/x");
    stage(f, E("up", 1, ENTRY_DIR, 0)); /* another timeline: low seqs count */
    stage(f, E("up/a", 2, ENTRY_FILE, 'Z'));
    commit(f, "00000000000000bb.2.1", true, "/ css css/n up/a");
    assert_int_equal(look(f, "up").mtime, 5); /* the master's */
    assert_list(f, "", "up ");
    assert_int_equal(look(f, "up/a").hash.b[0], 'Z');
}

static void test_folder_kept(void **state)
{
    struct fix *f = *state;
    int64_t n = make(f, "up/d/mine", 'M');
    struct entry e[2];

    stage(f, E("up/d", 9, ENTRY_GONE, 0));
    stage(f, E("up/d/x", 9, ENTRY_GONE, 0));
    commit(f, CUR(9), false, "up/d up/d/x");
    assert_list(f, "up/d", "mine ");
    assert_list(f, "up", "a d ");
    e[0] = E("up/d", 10, ENTRY_DIR, 0);
    e[1] = E("up/d/mine", 11, ENTRY_FILE, 'M');
    e[1].mtime = 7;
    answer(f, n, RESULT_DONE, NULL, NULL, e, 2, NULL);
    assert_list(f, "up/d", "mine ");
}

/* up/d is removed on the master while there is something of ours in it. */
static void lose_folder(struct fix *f)
{
    stage(f, E("up/d", 9, ENTRY_GONE, 0));
    stage(f, E("up/d/x", 9, ENTRY_GONE, 0));
    commit(f, CUR(9), false, "up/d up/d/x");
}

static void test_kept_until_sent(void **state)
{
    struct fix *f = *state;
    int64_t n, o = 0;
    struct entry e[4];

    assert_int_equal(replica_create(f->r, "up/d/mine", 0644, NULL), 0);
    lose_folder(f);
    n = publish(f, "up/d/mine", 'M', 0); /* under a number of its own */
    assert_list(f, "up", "a d ");
    assert_int_equal(replica_rename(f->r, "up/d", "up/n", false, NULL, &o), 0);
    assert_take(f, "put up/d/mine=M pre=absent;rename up/d>up/n pre=dir;");
    e[0] = E("up/d", 10, ENTRY_DIR, 0);
    e[1] = E("up/d/mine", 11, ENTRY_FILE, 'M');
    answer(f, n, RESULT_DONE, NULL, NULL, e, 2, NULL);
    e[0] = E("up/d", 12, ENTRY_GONE, 0);
    e[1] = E("up/d/mine", 12, ENTRY_GONE, 0);
    e[2] = E("up/n", 13, ENTRY_DIR, 0);
    e[3] = E("up/n/mine", 13, ENTRY_FILE, 'M');
    answer(f, o, RESULT_DONE, NULL, NULL, e, 4, NULL);
    assert_list(f, "up", "a n ");
}

static void test_kept_then_emptied(void **state)
{
    struct fix *f = *state;
    int64_t o = 0;

    assert_int_equal(replica_create(f->r, "up/d/t", 0644, NULL), 0);
    make(f, "up/d/u", 'U');
    lose_folder(f);
    assert_int_equal(replica_unlink(f->r, "up/d/u", NULL, &o), 0);
    assert_list(f, "up/d", "t ");
    assert_take(f, "");
    assert_int_equal(replica_unlink(f->r, "up/d/t", NULL, &o), 0);
    assert_list(f, "up", "a d ");
    assert_take(f, "mkdir up/d;");
}

static void test_kept_and_moved(void **state)
{
    struct fix *f = *state;
    int64_t o = 0;

    assert_int_equal(replica_create(f->r, "up/d/t", 0644, NULL), 0);
    lose_folder(f);
    assert_int_equal(replica_rename(f->r, "up/d", "up/n", false, NULL, &o),
                     0); /* its open file too */
    assert_list(f, "up", "a n ");
    assert_list(f, "up/n", "t ");
    assert_int_equal(replica_rename(f->r, "up/n/t", "up/t", false, NULL, &o), 0);
    assert_list(f, "up", "a n t ");
    assert_list(f, "up/n", "");
}

static void test_kept_by_a_killed_writer(void **state)
{
    struct fix *f = *state;

    make(f, "up/d/mine", 'M');
    assert_int_equal(replica_create(f->r, "up/d/t", 0644, NULL), 0);
    lose_folder(f);
    replica_close(f->r);
    assert_int_equal(replica_open(f->dir, false, &f->r, NULL), 0);
    assert_list(f, "up/d", "mine ");
}

static void test_answers(void **state)
{
    struct fix *f = *state;
    int64_t n = make(f, "up/n", 'N'), o = 0;
    uint64_t ino = look(f, "up/n").ino;
    struct entry e;
    struct hash h = H('N');
    int result = 1;

    assert_true(replica_pins(f->r, &h));
    assert_take(f, "put up/n=N pre=absent;");
    assert_false(replica_outbox_done(f->r, n, &result));
    /* The feed is faster than the answer. */
    e = E("up/n", 6, ENTRY_FILE, 'N');
    e.mtime = 7;
    stage(f, e);
    commit(f, CUR(6), false, "");
    e = E("up/n", 6, ENTRY_FILE, 'N');
    e.mtime = 7;
    answer(f, n, RESULT_DONE, NULL, NULL, &e, 1, "");
    assert_int_equal(look(f, "up/n").ino, ino);
    assert_false(look(f, "up/n").pending);
    assert_false(replica_pins(f->r, &h));
    assert_true(replica_outbox_done(f->r, n, &result));
    assert_int_equal(result, 0);
    /* Kept: the master's version comes back. */
    assert_int_equal(replica_unlink(f->r, "up/a", NULL, &o), 0);
    assert_take(f, "unlink up/a pre=A;");
    e = E("up/a", 8, ENTRY_FILE, 'B');
    answer(f, o, RESULT_KEPT, NULL, NULL, &e, 1, "up up/a");
    assert_int_equal(look(f, "up/a").hash.b[0], 'B');
}

/* A master that went back: what it lacks from then on is kept and pinned, and nothing else. */
static void test_lost(void **state)
{
    struct fix *f = *state;
    json_t *reset, *rows, *numbers;
    struct hash n = H('N'), a = H('B');

    stage(f, E("up/a", 6, ENTRY_FILE, 'B'));
    stage(f, E("up/new", 7, ENTRY_FILE, 'N'));
    commit(f, CUR(7), false, NULL);
    stage(f, E("up/late", 9, ENTRY_FILE, 'L'));
    commit(f, "00000000000000cc.9.1", false, NULL);
    assert_false(replica_lost_any(f->r));

    reset =
        json_pack("{s:[[s,i],[s,i]]}", "timelines", "00000000000000dd", 8, "00000000000000aa", 6);
    replica_lost_expect(f->r, reset);
    json_decref(reset);
    stage(f, E("up", 1, ENTRY_DIR, 0));
    stage(f, E("up/a", 6, ENTRY_FILE, 'B'));
    stage(f, E("up/back", 5, ENTRY_FILE, 'X'));  /* deleted in the lost time */
    stage(f, E("up/fresh", 7, ENTRY_FILE, 'F')); /* new on the master since */
    commit(f, "00000000000000ee.7.1", true, NULL);
    assert_int_equal(replica_lost_count(f->r), 3);
    assert_true(replica_lost_any(f->r));
    assert_true(replica_pins(f->r, &n));
    assert_false(replica_pins(f->r, &a));
    rows = replica_lost_rows(f->r, 0, 10);
    assert_string_equal(json_string_value(json_object_get(json_array_get(rows, 0), "path")),
                        "up/late");
    assert_string_equal(json_string_value(json_object_get(json_array_get(rows, 1), "path")),
                        "up/new");
    assert_int_equal(json_integer_value(json_object_get(json_array_get(rows, 2), "type")), 0);
    numbers = json_pack("[O]", json_object_get(json_array_get(rows, 1), "n"));
    assert_int_equal(replica_lost_forget(f->r, numbers), 0);
    json_decref(numbers);
    json_decref(rows);
    assert_int_equal(replica_lost_count(f->r), 2);
    assert_false(replica_pins(f->r, &n));

    stage(f, E("up", 1, ENTRY_DIR, 0)); /* an ordinary reset, as for another scope */
    commit(f, "00000000000000ee.8.2", true, NULL);
    assert_int_equal(replica_lost_count(f->r), 2);
}

/* Without a timeline in common its database is a new one, made from the folder. */
static void test_lost_database(void **state)
{
    struct fix *f = *state;
    json_t *reset = json_pack("{s:[],s:i}", "timelines", "epoch", 8);

    assert_int_equal(replica_note_epoch(f->r, 7), 0);
    assert_int_equal(replica_note_epoch(f->r, 6), 0); /* the highest counts */
    for (int epoch = 8; epoch >= 6; epoch -= 2) {
        json_object_set_new(reset, "epoch", json_integer(epoch));
        replica_lost_expect(f->r, reset);
        stage(f, E("up", 1, ENTRY_DIR, 0));
        stage(f, E("up/a", 8, ENTRY_FILE, epoch == 8 ? 'B' : 'C'));
        commit(f, "00000000000000ee.8.1", true, NULL);
        assert_int_equal(replica_lost_count(f->r), epoch == 8 ? 0 : 1);
    }
    json_decref(reset);
}

/* Its folder went back, and its database did not: what the scan found since is older. */
static void test_lost_folder(void **state)
{
    struct fix *f = *state;
    json_t *reset = json_pack("{s:[[s,i]],s:i}", "timelines", "00000000000000aa", 7, "put_back", 7);

    stage(f, E("up/a", 6, ENTRY_FILE, 'B'));
    stage(f, E("up/b", 7, ENTRY_FILE, 'C'));
    commit(f, CUR(7), false, NULL);
    replica_lost_expect(f->r, reset);
    json_decref(reset);
    stage(f, E("up", 1, ENTRY_DIR, 0));
    stage(f, E("up/a", 8, ENTRY_FILE, 'A'));
    stage(f, E("up/b", 7, ENTRY_FILE, 'C'));
    commit(f, "00000000000000ee.8.1", true, NULL);
    assert_int_equal(replica_lost_count(f->r), 1);
}

static void test_full_listing_keeps_confirmed(void **state)
{
    struct fix *f = *state;
    int64_t n;
    struct entry e;

    stage(f, E("up", 1, ENTRY_DIR, 0));
    stage(f, E("up/a", 2, ENTRY_FILE, 'A'));
    n = make(f, "up/n", 'N');
    assert_take(f, "put up/n=N pre=absent;");
    e = E("up/n", 9, ENTRY_FILE, 'N');
    answer(f, n, RESULT_DONE, NULL, NULL, &e, 1, NULL);
    commit(f, CUR(8), true, NULL);
    assert_list(f, "up", "a n ");
}

static void test_conflict(void **state)
{
    struct fix *f = *state;
    int64_t n = publish(f, "up/a", 'B', 'A'), m;
    struct entry e[2];
    json_t *list;

    assert_take(f, "put up/a=B pre=A;");
    m = publish(f, "up/a", 'C', 'B');
    assert_true(m > n);
    e[0] = E("up/a", 8, ENTRY_FILE, 'T');
    e[1] = E("up/a (conflict)", 9, ENTRY_FILE, 'B');
    answer(f, n, RESULT_CONFLICT, "up/a (conflict)", NULL, e, 2, "up up/a up/a (conflict)");
    assert_int_equal(look(f, "up/a").hash.b[0], 'T');
    assert_int_equal(look(f, "up/a (conflict)").hash.b[0], 'C');
    assert_take(f, "put up/a (conflict)=C pre=B;");
    assert_int_equal(replica_conflict_count(f->r), 1);
    list = replica_conflicts(f->r);
    assert_int_equal(json_array_size(list), 1);
    assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "copy")),
                        "up/a%20(conflict)");
    assert_int_equal(json_integer_value(json_object_get(json_array_get(list, 0), "ours_mtime")), 5);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(list, 0), "theirs_mtime")),
                     5);
    json_decref(list);
    /* Listed until the copy is gone. */
    stage(f, E("up/a (conflict)", 10, ENTRY_GONE, 0));
    commit(f, CUR(10), false, NULL);
    assert_int_equal(replica_conflict_count(f->r), 1); /* still what our own put makes of it */
    assert_int_equal(replica_unlink(f->r, "up/a (conflict)", NULL, &m), 0);
    commit(f, CUR(11), false, "");
    assert_int_equal(replica_conflict_count(f->r), 0);
}

static void test_quarantine(void **state)
{
    struct fix *f = *state;
    struct outbox_count count;
    int64_t o = 0, n;
    int result = 0;
    const char *text = NULL;
    json_t *list;

    assert_int_equal(replica_mkdir(f->r, "up/q", 0755, NULL, &n), 0);
    make(f, "up/q/f", 'F');
    publish(f, "up/a", 'B', 'A');
    answer(f, n, RESULT_REFUSED, NULL, "scope", NULL, 0, "");
    assert_take(f, "put up/a=B pre=A;"); /* what does not depend on it goes on */
    assert_true(replica_outbox_done(f->r, n, &result));
    assert_int_equal(result, -EROFS);
    assert_int_equal(replica_state_text(f->r, "up/q", &text), 0);
    assert_string_equal(text, "quarantined");
    assert_int_equal(replica_state_text(f->r, "up/q/f", &text), 0);
    assert_string_equal(text, "pending");
    assert_list(f, "up", "a d q ");
    assert_int_equal(replica_outbox_count(f->r, "", &count), 0);
    assert_int_equal(count.pending, 2);
    assert_int_equal(count.refused, 1);
    list = replica_quarantine(f->r);
    assert_int_equal(json_array_size(list), 1);
    json_decref(list);
    /* A folder that is not empty on the master stays. */
    assert_int_equal(replica_unlink(f->r, "up/d/x", NULL, &o), 0);
    assert_int_equal(replica_rmdir(f->r, "up/d", &o), 0);
    answer(f, o, RESULT_REFUSED, NULL, "not_empty", NULL, 0, "up up/d");
    assert_list(f, "up", "a d q ");
}

/* Set aside: what does not depend on it goes on, it is pending, and gets new numbers. */
static void test_defer(void **state)
{
    struct fix *f = *state;
    struct outbox_count count;
    int64_t n, m, from = 0, to = 0;
    char *path, *why;
    const char *text = NULL;
    int result = 0;

    assert_int_equal(replica_mkdir(f->r, "up/q", 0755, NULL, &n), 0);
    m = make(f, "up/q/f", 'F');
    make(f, "up/b", 'B');
    assert_int_equal(replica_deferred(f->r, &path, &why), 0);
    assert_null(path);
    assert_int_equal(replica_outbox_defer(f->r, n, "io", "for a test"), 0);
    assert_take(f, "put up/b=B pre=absent;");
    assert_false(replica_outbox_done(f->r, n, &result));
    assert_true(replica_outbox_held(f->r, n));
    assert_true(replica_outbox_held(f->r, m));
    assert_int_equal(replica_state_text(f->r, "up/q", &text), 0);
    assert_string_equal(text, "pending");
    assert_int_equal(replica_outbox_count(f->r, "", &count), 0);
    assert_int_equal(count.pending, 3);
    assert_int_equal(count.refused, 0);
    assert_int_equal(replica_deferred(f->r, &path, &why), 1);
    assert_string_equal(path, "up/q");
    assert_string_equal(why, "for a test");
    free(path);
    free(why);
    assert_int_equal(replica_outbox_retry_deferred(f->r, 8, &from, &to), 2);
    assert_int_equal(to - from, 2);
    assert_true(from > m);
    assert_take(f, "put up/b=B pre=absent;mkdir up/q;put up/q/f=F pre=absent;");
    assert_false(replica_outbox_held(f->r, n));
    assert_int_equal(replica_outbox_retry_deferred(f->r, 8, &from, &to), 0);
}

static void assert_deferred(struct fix *f, int n, const char *expect)
{
    char *path, *why;
    json_t *list = replica_quarantine(f->r);

    assert_int_equal(replica_deferred(f->r, &path, &why), n);
    assert_int_equal(json_array_size(list), n);
    if (n > 0) {
        json_t *first = json_array_get(list, 0);

        assert_string_equal(why, expect);
        assert_string_equal(json_string_value(json_object_get(first, "error")), expect);
        assert_true(json_is_true(json_object_get(first, "deferred")));
    }
    json_decref(list);
    free(path);
    free(why);
}

/* While it is retried it is listed with its reason, also when an edit takes its place. */
static void test_deferred_until_settled(void **state)
{
    struct fix *f = *state;
    int64_t n = make(f, "up/q", 'Q'), from, to;

    make(f, "up/b", 'B');
    assert_deferred(f, 0, NULL);
    assert_int_equal(replica_outbox_defer(f->r, n, "io", "the first"), 0);
    assert_int_equal(replica_outbox_retry_deferred(f->r, 8, &from, &to), 1);
    assert_deferred(f, 1, "the first");
    publish(f, "up/q", 'R', 'Q');
    assert_deferred(f, 1, "the first");
    assert_take(f, "put up/b=B pre=absent;put up/q=R pre=absent;");
    assert_deferred(f, 1, "the first");
    assert_int_equal(replica_outbox_defer(f->r, from, "io", "the second"), 0);
    assert_deferred(f, 1, "the second");
    assert_int_equal(replica_outbox_retry(f->r, ""), 1);
    assert_deferred(f, 1, "the second");
    answer(f, to, RESULT_DONE, NULL, NULL, NULL, 0, NULL);
    assert_deferred(f, 0, NULL);
}

static void test_retry(void **state)
{
    struct fix *f = *state;
    struct outbox_count count;
    int64_t o = 0, n, m;

    assert_int_equal(replica_mkdir(f->r, "up/q", 0755, NULL, &n), 0);
    m = make(f, "up/q/f", 'F');
    make(f, "up/b", 'B');
    assert_false(replica_outbox_held(f->r, m));
    answer(f, n, RESULT_REFUSED, NULL, "name", NULL, 0, "");
    assert_true(replica_outbox_held(f->r, m));
    assert_false(replica_outbox_held(f->r, n));
    assert_take(f, "put up/b=B pre=absent;");
    assert_int_equal(replica_outbox_retry(f->r, "up/none"), 0);
    assert_int_equal(replica_outbox_retry(f->r, "up"), 2);
    assert_int_equal(replica_outbox_retry_allowed(f->r), 0);
    assert_int_equal(replica_outbox_count(f->r, "", &count), 0);
    assert_int_equal(count.pending, 3);
    assert_int_equal(count.refused, 0);
    assert_int_equal(replica_outbox_count(f->r, "up/q", &count), 0);
    assert_int_equal(count.pending, 2);
    assert_list(f, "up/q", "f ");
    /* what is tried again comes after what went on, for numbers only ascend */
    assert_take(f, "put up/b=B pre=absent;mkdir up/q;put up/q/f=F pre=absent;");
    assert_int_equal(replica_unlink(f->r, "up/q/f", NULL, &o), 0);
    assert_true(o > m);
}

static void test_retry_in_scope(void **state)
{
    struct fix *f = *state;
    int64_t n = make(f, "up/x", 'N'), m = make(f, "up/d/y", 'M');

    answer(f, n, RESULT_REFUSED, NULL, "scope", NULL, 0, "");
    answer(f, m, RESULT_REFUSED, NULL, "scope", NULL, 0, "");
    set_remote(f, "up/d");
    assert_int_equal(replica_outbox_retry_allowed(f->r), 1);
    assert_take(f, "put up/d/y=M pre=absent;");
    set_remote(f, "up");
    assert_int_equal(replica_outbox_retry_allowed(f->r), 1);
    assert_take(f, "put up/d/y=M pre=absent;put up/x=N pre=absent;");
}

static void test_discard(void **state)
{
    struct fix *f = *state;
    struct strlist dropped = {0}, changed = {0};
    struct outbox_count count;
    int64_t n, m, entries, bytes;
    char *got;

    n = publish(f, "up/a", 'B', 'A');
    assert_int_equal(replica_rename(f->r, "up/d", "up/e", false, NULL, &m), 0);
    make(f, "up/e/new", 'N');
    make(f, "up/z", 'Z');
    answer(f, n, RESULT_REFUSED, NULL, "permission", NULL, 0, "");
    answer(f, m, RESULT_REFUSED, NULL, "permission", NULL, 0, "");
    assert_int_equal(replica_outbox_discard(f->r, "up/e", &dropped, &changed), 0);
    got = joined(&dropped);
    assert_string_equal(got, "up/d up/e/new");
    free(got);
    got = joined(&changed);
    assert_string_equal(got, "up up/d up/d/x up/e up/e/new up/e/x");
    free(got);
    assert_list(f, "up", "a d z ");
    assert_list(f, "up/d", "x ");
    assert_int_equal(look(f, "up/a").hash.b[0], 'B');
    assert_int_equal(replica_outbox_count(f->r, "", &count), 0);
    assert_int_equal(count.pending, 1);
    assert_int_equal(count.refused, 1);
    assert_true(!count.held);
    assert_int_equal(replica_outbox_discard(f->r, "", &dropped, &changed), 0);
    strlist_release(&dropped);
    strlist_release(&changed);
    assert_int_equal(look(f, "up/a").hash.b[0], 'A');
    replica_totals(f->r, &entries, &bytes);
    assert_int_equal(entries, 6);
    assert_int_equal(bytes, 30);
    assert_take(f, "put up/z=Z pre=absent;");
}

/* What was rewritten between being taken and being sent is not sent as it was. */
static void test_rewritten_while_taken(void **state)
{
    struct fix *f = *state;
    int64_t o = 0, n = publish(f, "up/a", 'B', 'A');
    struct op ops[4];

    make(f, "up/n", 'N');
    assert_int_equal(replica_outbox_take(f->r, 0, 4, ops), 2);
    assert_int_equal(publish(f, "up/a", 'C', 'B'), n);
    assert_int_equal(replica_outbox_sent(f->r, ops, 2), 0);
    op_release(&ops[0]);
    op_release(&ops[1]);
    assert_int_equal(replica_outbox_take(f->r, 0, 4, ops), 2);
    assert_int_equal(replica_unlink(f->r, "up/n", NULL, &o), 0);
    assert_int_equal(o, 0);
    assert_int_equal(replica_outbox_sent(f->r, ops, 2), 1);
    op_release(&ops[0]);
    op_release(&ops[1]);
    assert_take(f, "put up/a=C pre=A;");
}

static void test_renew(void **state)
{
    struct fix *f = *state;
    char *id = replica_outbox_id(f->r), *id2;
    int64_t n = publish(f, "up/a", 'B', 'A');

    assert_take(f, "put up/a=B pre=A;");
    assert_int_equal(replica_outbox_renew(f->r), 0);
    id2 = replica_outbox_id(f->r);
    assert_string_not_equal(id, id2);
    free(id);
    free(id2);
    assert_int_equal(publish(f, "up/a", 'C', 'B'), n); /* never sent under this id */
    assert_take(f, "put up/a=C pre=A;");
}

static void test_local(void **state)
{
    struct fix *f = *state;
    const char *text = NULL;
    int64_t o = -1;

    assert_int_equal(replica_create(f->r, "css/x.tmp", 0644, NULL), 0);
    assert_int_equal(publish(f, "css/x.tmp", 'L', 0), 0);
    assert_int_equal(replica_state_text(f->r, "css/x.tmp", &text), 0);
    assert_string_equal(text, "local");
    assert_int_equal(replica_rename(f->r, "css/x.tmp", "up/d/y.tmp", false, NULL, &o), 0);
    assert_int_equal(replica_rename(f->r, "up/d", "up/e", false, NULL, &o), 0);
    assert_list(f, "up/e", "x y.tmp ");
    assert_take(f, "rename up/d>up/e pre=dir;");
    assert_int_equal(replica_unlink(f->r, "up/e/y.tmp", NULL, &o), 0);
    assert_list(f, "up/e", "x ");
}

static bool has_nothing(void *arg, const struct hash *h, int64_t size)
{
    (void)arg;
    (void)h;
    return size == 0;
}

/* What came to the log since the last look; counts as sent, though earlier ones are not answered.
 */
static void assert_logged(struct fix *f, const char *expect)
{
    char *file = xasprintf("%s/replica.db", f->dir);
    struct buf b = BUF_INIT;
    struct db *db = NULL;
    sqlite3_stmt *st;

    buf_puts(&b, "");
    assert_int_equal(db_open(file, DB_SEALED, &db, NULL), 0);
    st = db_query(db,
                  "SELECT kind,path,coalesce(to_path,''),pre,substr(hash,1,1) FROM outbox"
                  " WHERE state='q' ORDER BY opid",
                  "");
    while (db_step(db, st) == 1) {
        struct pre pre;

        buf_printf(&b, "%s %s", op_kind_name((enum op_kind)sqlite3_column_int(st, 0)),
                   db_col_text(st, 1));
        if (*db_col_text(st, 2))
            buf_printf(&b, ">%s", db_col_text(st, 2));
        if (sqlite3_column_int(st, 0) == OP_PUT)
            buf_printf(&b, "=%s", db_col_text(st, 4));
        assert_int_equal(pre_parse(db_col_text(st, 3), &pre), 0);
        if (pre.kind == PRE_HASH)
            buf_printf(&b, " pre=%c", pre.hash.b[0]);
        else if (pre.kind)
            buf_printf(&b, " pre=%s", db_col_text(st, 3));
        buf_puts(&b, ";");
    }
    assert_true(db_run(db, "UPDATE outbox SET state='s' WHERE state='q'", "") >= 0);
    db_close(db);
    assert_string_equal(b.data, expect);
    buf_release(&b);
    free(file);
}

/* Renames between excluded names and served ones, as editors do them. */
static void test_cross(void **state)
{
    struct fix *f = *state;
    int64_t o = 0, entries, bytes;
    const char *text = NULL;
    uint64_t ino;

    make(f, "up/a.tmp", 'N');
    ino = look(f, "up/a.tmp").ino;
    assert_int_equal(replica_rename(f->r, "up/a.tmp", "up/a", false, NULL, &o), 0);
    assert_true(o > 0);
    assert_list(f, "up", "a d ");
    assert_int_equal(look(f, "up/a").ino, ino);
    assert_logged(f, "put up/a=N pre=A;");
    assert_int_equal(replica_rename(f->r, "up/a", "up/b.tmp", false, NULL, &o), 0);
    assert_int_equal(replica_state_text(f->r, "up/b.tmp", &text), 0);
    assert_string_equal(text, "local");
    assert_int_equal(look(f, "up/b.tmp").hash.b[0], 'N');
    assert_logged(f, "unlink up/a pre=N;");
    replica_totals(f->r, &entries, &bytes);
    assert_int_equal(entries, 5);
    assert_int_equal(bytes, 20);

    assert_int_equal(replica_symlink(f->r, "up/d/l.tmp", "x", NULL, &o), 0);
    assert_int_equal(replica_rename(f->r, "up/d", "up/e.tmp", false, NULL, &o),
                     0); /* whole folders */
    assert_list(f, "up/e.tmp", "l.tmp x ");
    assert_logged(f, "unlink up/d/x pre=X;rmdir up/d;");
    assert_int_equal(replica_rename(f->r, "up/e.tmp", "up/e", false, NULL, &o), 0);
    assert_logged(f, "mkdir up/e;put up/e/x=X pre=absent;");
    assert_int_equal(replica_state_text(f->r, "up/e/l.tmp", &text), 0);
    assert_string_equal(text, "local");
    assert_int_equal(replica_rename(f->r, "up/e/l.tmp", "up/l", false, NULL, &o), 0);
    assert_logged(f, "symlink up/l pre=absent;");
    make(f, "up/m.tmp", 'M'); /* a file over a link */
    assert_int_equal(replica_rename(f->r, "up/m.tmp", "up/l", false, NULL, &o), 0);
    assert_logged(f, "unlink up/l pre=link;put up/l=M pre=absent;");
    replica_totals(f->r, &entries, &bytes);
    assert_int_equal(entries, 6);

    assert_int_equal(replica_create(f->r, "up/o.tmp", 0644, NULL), 0); /* while it is written */
    assert_int_equal(replica_rename(f->r, "up/o.tmp", "up/o", false, NULL, &o), 0);
    assert_logged(f, "");
    publish(f, "up/o", 'O', 0);
    assert_logged(f, "put up/o=O pre=absent;");
    assert_int_equal(replica_create(f->r, "up/p", 0644, NULL), 0);
    assert_int_equal(replica_rename(f->r, "up/p", "up/p.tmp", false, NULL, &o), 0);
    publish(f, "up/p.tmp", 'P', 0);
    assert_logged(f, "");
    assert_int_equal(look(f, "up/p.tmp").hash.b[0], 'P');

    replica_set_contents(f->r, has_nothing, NULL);
    assert_int_equal(replica_rename(f->r, "up/o", "up/o.tmp", false, NULL, &o), -EXDEV);
    assert_int_equal(replica_rename(f->r, "up/e", "up/e.tmp", false, NULL, &o), -EXDEV);
    assert_list(f, "up/e", "x ");
    assert_logged(f, "");
}

/* What was local by a pattern that is no more is made for all by the rename of its folder; one with
 * a path has the program copy. */
static void test_cross_below(void **state)
{
    struct fix *f = *state;
    const char *text = NULL;
    int64_t o;

    set_remote_excluding(f, "up", "*.css");
    make(f, "up/d/s.css", 'S');
    set_remote(f, "up");
    assert_int_equal(replica_rename(f->r, "up/d", "up/e", false, NULL, &o), 0);
    assert_list(f, "up/e", "s.css x ");
    assert_logged(f, "rename up/d>up/e pre=dir;put up/e/s.css=S pre=absent;");
    assert_int_equal(replica_state_text(f->r, "up/e/s.css", &text), 0);
    assert_string_equal(text, "pending");
    set_remote_excluding(f, "up", "up/cache/*.css");
    assert_int_equal(replica_rename(f->r, "up/e", "up/cache", false, NULL, &o), -EXDEV);
}

static void set_remote_with_volumes(struct fix *f, const char *one, const char *two)
{
    struct remote m = {.master_id = "m1", .url = "http://m1/", .name = "slave1", .scopegen = 1};

    strlist_add(&m.scope.write, "up");
    strlist_add(&m.exclude, "*.tmp");
    if (one)
        strlist_add(&m.volumes, one);
    if (two)
        strlist_add(&m.volumes, two);
    assert_true(replica_set_remote(f->r, &m) >= 0);
    scope_release(&m.scope);
    strlist_release(&m.exclude);
    strlist_release(&m.volumes);
}

/* The master has filesystems below its root: a folder does not get from one to another, and where
 * one is mounted nothing is renamed or removed. The last hello counts, also after a restart. */
static void test_volumes(void **state)
{
    struct fix *f = *state;
    int64_t o;

    assert_int_equal(replica_mkdir(f->r, "up/v", 0755, NULL, &o), 0);
    assert_int_equal(replica_mkdir(f->r, "up/v/w", 0755, NULL, &o), 0);
    assert_int_equal(replica_mkdir(f->r, "up/v/s", 0755, NULL, &o), 0);
    assert_int_equal(replica_mkdir(f->r, "up/h", 0755, NULL, &o), 0);
    assert_int_equal(replica_mkdir(f->r, "up/h/deep", 0755, NULL, &o), 0);
    set_remote_with_volumes(f, "up/v", "up/h/deep");
    replica_close(f->r);
    assert_int_equal(replica_open(f->dir, false, &f->r, NULL), 0);
    assert_int_equal(replica_rename(f->r, "up/d", "up/v/d", false, NULL, &o), -EXDEV);
    assert_int_equal(replica_rename(f->r, "up/d", "up/v/s", false, NULL, &o), -EXDEV);
    assert_int_equal(replica_rename(f->r, "up/v/s", "up/s", false, NULL, &o), -EXDEV);
    assert_int_equal(replica_rename(f->r, "up/v/s", "up/h/deep/s", false, NULL, &o), -EXDEV);
    assert_int_equal(replica_rename(f->r, "up/v", "up/u", false, NULL, &o), -EBUSY);
    assert_int_equal(replica_rename(f->r, "up/d", "up/h/deep", false, NULL, &o), -EBUSY);
    assert_int_equal(replica_rename(f->r, "up/h", "up/i", false, NULL, &o), -EBUSY);
    assert_int_equal(replica_rmdir(f->r, "up/h/deep", &o), -EBUSY);
    assert_int_equal(replica_rmdir(f->r, "up/h", &o), -ENOTEMPTY);
    assert_int_equal(replica_rename(f->r, "up/v/s", "up/v/w/s", false, NULL, &o), 0);
    assert_int_equal(replica_rename(f->r, "up/v/w", "up/v/vw", false, NULL, &o), 0);
    assert_int_equal(replica_rename(f->r, "up/d", "up/vd", false, NULL, &o), 0); /* beside "up/v" */
    assert_int_equal(replica_rename(f->r, "up/a", "up/v/a", false, NULL, &o), 0); /* a file */
    set_remote_with_volumes(f, "up/v/vw", NULL);
    assert_int_equal(replica_rename(f->r, "up/vd", "up/v/d", false, NULL, &o), 0);
    assert_int_equal(replica_rename(f->r, "up/v/d", "up/v/vw/d", false, NULL, &o), -EXDEV);
    assert_int_equal(replica_rmdir(f->r, "up/h/deep", &o), 0);
    set_remote(f, "up"); /* a master that does not tell */
    assert_int_equal(replica_rename(f->r, "up/v/d", "up/v/vw/d", false, NULL, &o), 0);
}

/* A pattern was taken off the exclude list: what is written from then on is sent, and seen. */
static void test_no_longer_local(void **state)
{
    struct fix *f = *state;
    struct entry e;
    int64_t n, o = 0;

    assert_int_equal(make(f, "up/x.tmp", 'L'), 0);
    assert_int_equal(make(f, "up/y.tmp", 'L'), 0);
    set_remote_excluding(f, "up", "*.bak");
    assert_int_equal(look(f, "up/x.tmp").hash.b[0], 'L');
    n = publish(f, "up/x.tmp", 'N', 'L');
    assert_int_equal(look(f, "up/x.tmp").hash.b[0], 'N');
    assert_take(f, "put up/x.tmp=N pre=absent;");
    e = E("up/x.tmp", 6, ENTRY_FILE, 'N');
    answer(f, n, RESULT_DONE, NULL, NULL, &e, 1, NULL);
    assert_int_equal(look(f, "up/x.tmp").hash.b[0], 'N');
    stage(f, E("up/y.tmp", 7, ENTRY_FILE, 'M'));
    commit(f, CUR(7), false, "");
    assert_int_equal(look(f, "up/y.tmp").hash.b[0], 'L');
    assert_int_equal(replica_unlink(f->r, "up/y.tmp", NULL, &o), 0);
    assert_int_equal(o, 0);
    assert_int_equal(look(f, "up/y.tmp").hash.b[0], 'M');
}

static void test_reopen(void **state)
{
    struct fix *f = *state;
    struct remote other = {.master_id = "m2", .url = "http://m2/", .name = "slave1"};
    char *id = replica_outbox_id(f->r), *id2, *cursor;
    int64_t n = publish(f, "up/a", 'B', 'A'), entries, bytes;
    uint64_t ino = look(f, "up/a").ino;

    assert_int_equal(replica_create(f->r, "up/open", 0644, NULL), 0);
    assert_int_equal(replica_create(f->r, "up/open.tmp", 0644, NULL), 0);
    replica_close(f->r);
    assert_int_equal(replica_open(f->dir, false, &f->r, NULL), 0);
    id2 = replica_outbox_id(f->r);
    assert_string_equal(id, id2);
    assert_int_equal(strlen(id), 32);
    free(id);
    free(id2);
    cursor = replica_cursor(f->r);
    assert_string_equal(cursor, CUR(5));
    free(cursor);
    assert_true(replica_is_complete(f->r));
    assert_list(f, "up", "a d ");
    assert_int_equal(look(f, "up/a").ino, ino);
    assert_true(replica_writable(f->r, "up/z"));
    assert_false(replica_writable(f->r, "css/z"));
    replica_totals(f->r, &entries, &bytes);
    assert_int_equal(entries, 5);
    assert_int_equal(bytes, 20);
    assert_true(make(f, "up/z", 'Z') > n);
    assert_int_equal(replica_set_remote(f->r, &other), -EXDEV);
    set_remote(f, "css"); /* the queue outlives a scope that excludes it */
    assert_take(f, "put up/a=B pre=A;put up/z=Z pre=absent;");
}

static int set_times(struct fix *f, const char *path, int64_t mtime, int64_t *opid)
{
    return replica_setattr(f->r, path, &(struct node_change){.has_mtime = true, .mtime = mtime},
                           NULL, opid);
}

/* Every number is a time: -1 and 0 are set as any other. */
static void test_any_mtime(void **state)
{
    static const int64_t times[] = {-1, 0, 1, INT64_MIN, INT64_MAX, -141000000000000000};
    struct fix *f = *state;
    struct op ops[2];
    int64_t o = 0;

    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        assert_int_equal(set_times(f, i % 2 ? "up/a" : "up/d", times[i], &o), 0);
        assert_int_equal(look(f, i % 2 ? "up/a" : "up/d").mtime, times[i]);
        assert_int_equal(replica_outbox_take(f->r, 0, 2, ops), 1);
        assert_true(ops[0].has_mtime);
        assert_int_equal(ops[0].mtime, times[i]);
        assert_int_equal(ops[0].mode, -1);
        assert_int_equal(replica_outbox_sent(f->r, ops, 1), 1);
        op_release(&ops[0]);
        answer(f, o, RESULT_DONE, NULL, NULL, NULL, 0, NULL);
    }
    assert_int_equal(replica_setattr(f->r, "up/a",
                                     &(struct node_change){.has_mode = true, .mode = 0600}, NULL,
                                     &o),
                     0);
    assert_int_equal(replica_outbox_take(f->r, 0, 2, ops), 1);
    assert_false(ops[0].has_mtime);
    op_release(&ops[0]);
}

/* The mtime that a folder gets after something was made in it comes after that also over there. */
static void test_folder_mtime(void **state)
{
    struct fix *f = *state;
    int64_t o = 0, put, n;
    struct entry e;

    assert_int_equal(replica_mkdir(f->r, "up/n", 0755, NULL, &o), 0);
    assert_int_equal(set_times(f, "up/n", 3, &o), 0); /* goes with the mkdir */
    put = make(f, "up/n/x", 'X');
    assert_true(look(f, "up/n").mtime > 3);
    assert_int_equal(set_times(f, "up/n", 4, &n), 0);
    assert_int_not_equal(n, o);
    assert_take(f, "mkdir up/n;put up/n/x=X pre=absent;setattr up/n;");
    assert_int_equal(look(f, "up/n").mtime, 4);
    e = E("up/n", 7, ENTRY_DIR, 0);
    answer(f, o, RESULT_DONE, NULL, NULL, &e, 1, NULL);
    e = E("up/n/x", 8, ENTRY_FILE, 'X');
    answer(f, put, RESULT_DONE, NULL, NULL, &e, 1, NULL);
    assert_int_equal(look(f, "up/n").mtime, 4);
    e = E("up/n", 9, ENTRY_DIR, 0);
    e.mtime = 4;
    answer(f, n, RESULT_DONE, NULL, NULL, &e, 1, NULL);
    assert_int_equal(look(f, "up/n").mtime, 4);
    e = E("up/n", 10, ENTRY_DIR, 0);
    e.mtime = 77;
    stage(f, e);
    stage(f, E("up/n/y", 11, ENTRY_FILE, 'Y'));
    commit(f, CUR(11), false, "up/n up/n/y");
    assert_int_equal(look(f, "up/n").mtime, 77);
}

/* ctime grows with all that is seen to change and with nothing else. */
static void test_ctime(void **state)
{
    struct fix *f = *state;
    struct node_attr was = look(f, "up/a"), now;
    struct entry e;
    int64_t o;

    assert_true(was.ctime > 0);
#define GROWS(path)                                                                                \
    do {                                                                                           \
        now = look(f, path);                                                                       \
        assert_true(now.ctime > was.ctime);                                                        \
        was = now;                                                                                 \
    } while (0)
    assert_int_equal(set_times(f, "up/a", was.mtime, &o), 0); /* also when nothing is to be sent */
    GROWS("up/a");
    publish(f, "up/a", 'B', 'A');
    GROWS("up/a");
    assert_int_equal(replica_rename(f->r, "up/a", "up/b", false, NULL, &o), 0);
    GROWS("up/b");
    assert_int_equal(replica_setattr(f->r, "up/b",
                                     &(struct node_change){.has_atime = true, .atime = 5}, NULL,
                                     &o),
                     0);
    GROWS("up/b");
    assert_int_equal(now.atime, 5);
    free(take(f));
    e = E("up/b", 8, ENTRY_FILE, 'B');
    e.mtime = 7;
    answer(f, o, RESULT_DONE, NULL, NULL, &e, 1, NULL); /* confirmed: nothing is another */
    now = look(f, "up/b");
    assert_int_equal(now.ctime, was.ctime);
    assert_int_equal(now.atime, 5);
    e = E("up/b", 9, ENTRY_FILE, 'B');
    e.mtime = 7;
    e.mode = 0600;
    stage(f, e);
    commit(f, CUR(9), false, NULL);
    GROWS("up/b");
    was = look(f, "up/d");
    make(f, "up/d/z", 'Z');
    GROWS("up/d");
    assert_true(now.mtime == now.ctime);
#undef GROWS
}

static void test_shown_writable(void **state)
{
    struct fix *f = *state;

    assert_true(replica_shows_writable(f->r, "up/a", NODE_FILE));
    assert_true(replica_shows_writable(f->r, "up", NODE_DIR));
    assert_false(replica_shows_writable(f->r, "css", NODE_DIR)); /* though css/x.tmp can be made */
    assert_true(replica_shows_writable(f->r, "css/x.tmp", NODE_FILE));
    assert_false(replica_shows_writable(f->r, "", NODE_DIR));
    set_remote_excluding(f, "new", "css/cache/*");
    assert_true(replica_shows_writable(f->r, "", NODE_DIR)); /* "new" can be made */
    assert_false(replica_shows_writable(f->r, "up/a", NODE_FILE));
    assert_true(replica_shows_writable(f->r, "css/cache", NODE_DIR));
    assert_false(replica_shows_writable(f->r, "css", NODE_DIR));
}

static int count_content(void *arg, const char *path, const struct hash *h, int64_t size)
{
    (void)path;
    (void)h;
    *(int64_t *)arg += size;
    return 0;
}

static void test_mtime_and_content(void **state)
{
    struct fix *f = *state;
    int64_t before = look(f, "up").mtime, o, sum = 0;
    struct node_attr a;

    assert_int_equal(replica_unlink(f->r, "up/a", NULL, &o), 0);
    assert_true(look(f, "up").mtime > before);
    assert_int_equal(replica_setattr(f->r, "up/d",
                                     &(struct node_change){.has_mtime = true, .mtime = 99}, &a, &o),
                     0);
    assert_int_equal(look(f, "up/d").mtime, 99);
    struct entry e = E("up/d", 8, ENTRY_DIR, 0);
    e.mtime = 99;
    answer(f, o, RESULT_DONE, NULL, NULL, &e, 1, NULL);
    assert_int_equal(look(f, "up/d").mtime, 99);
    assert_int_equal(replica_each_content(f->r, count_content, &sum), 0);
    assert_int_equal(sum, 20);
}

/* A number belongs to one version; what is ours keeps it. */
static void test_numbers(void **state)
{
    struct fix *f = *state;
    uint64_t first = look(f, "up/a").ino, second;
    struct entry e;
    int64_t n;

    e = E("up/a", 6, ENTRY_FILE, 'A'); /* attributes only */
    e.mode = 0600;
    stage(f, e);
    commit(f, CUR(6), false, "up/a");
    assert_int_equal(look(f, "up/a").ino, first);
    n = publish(f, "up/a", 'B', 'A'); /* changed here */
    assert_int_equal(look(f, "up/a").ino, first);
    assert_take(f, "put up/a=B pre=A;");
    stage(f, E("up/a", 7, ENTRY_FILE, 'B')); /* the feed is faster than the answer */
    commit(f, CUR(7), false, "");
    stage(f, E("up/a", 8, ENTRY_FILE, 'C')); /* and goes on */
    commit(f, CUR(8), false, "");
    e = E("up/a", 7, ENTRY_FILE, 'B');
    answer(f, n, RESULT_DONE, NULL, NULL, &e, 1, NULL);
    assert_int_equal(look(f, "up/a").hash.b[0], 'C');
    second = look(f, "up/a").ino;
    assert_int_not_equal(second, first);
    stage(f, E("up/a", 8, ENTRY_FILE, 'C')); /* a new listing of the same */
    stage(f, E("up", 1, ENTRY_DIR, 0));
    commit(f, "00000000000000bb.8.1", true, NULL);
    assert_int_equal(look(f, "up/a").ino, second);
    /* made here, and something else over there at the same time */
    n = make(f, "up/n", 'N');
    first = look(f, "up/n").ino;
    stage(f, E("up/n", 9, ENTRY_FILE, 'M'));
    commit(f, "00000000000000bb.9.1", false, "");
    e = E("up/n (conflict)", 10, ENTRY_FILE, 'N');
    assert_take(f, "put up/n=N pre=absent;");
    answer(f, n, RESULT_CONFLICT, NULL, "up/n (conflict)", &e, 1, NULL);
    assert_int_equal(look(f, "up/n").hash.b[0], 'M');
    assert_int_not_equal(look(f, "up/n").ino, first);
}

/* --- renames on the master --- */

static struct entry moved(struct entry e, const char *from)
{
    e.moved_from = xstrdup(from);
    return e;
}

struct told {
    char text[256];
    int begun;
};

static void tell(void *arg, const struct replica_move *v, size_t n, bool begin)
{
    struct told *t = arg;

    t->begun += begin ? 1 : -1;
    for (size_t i = 0; i < n; i++)
        snprintf(t->text + strlen(t->text), sizeof(t->text) - strlen(t->text), "%s>%s%s ",
                 v[i].from, v[i].to, v[i].folder ? "/" : "");
}

static void test_renamed_file(void **state)
{
    struct fix *f = *state;
    uint64_t a = look(f, "up/a").ino, x = look(f, "up/d/x").ino;
    struct told t = {"", 0};

    replica_on_moves(f->r, tell, &t);
    publish(f, "up/a", 'B', 'A'); /* not sent */
    stage(f, E("up/a", 9, ENTRY_GONE, 0));
    stage(f, moved(E("up/d/b", 9, ENTRY_FILE, 'A'), "up/a"));
    stage(f, E("up/d/x", 10, ENTRY_GONE, 0)); /* twice, and edited */
    stage(f, moved(E("up/y", 11, ENTRY_GONE, 0), "up/d/x"));
    stage(f, moved(E("up/z", 12, ENTRY_FILE, 'X'), "up/y"));
    commit(f, CUR(12), false, NULL);
    assert_string_equal(t.text, "up/a>up/d/b up/d/x>up/z ");
    assert_int_equal(t.begun, 0);
    assert_gone(f, "up/a");
    assert_int_equal(look(f, "up/d/b").ino, a);
    assert_int_equal(look(f, "up/d/b").hash.b[0], 'B');
    assert_int_equal(look(f, "up/z").ino, x);
    assert_take(f, "put up/d/b=B pre=A;");
    /* the hint stays with the row: later changes of it are no renames */
    t.text[0] = '\0';
    stage(f, E("up/d/x", 13, ENTRY_FILE, 'N'));
    commit(f, CUR(13), false, NULL);
    stage(f, moved(E("up/z", 14, ENTRY_FILE, 'Q'), "up/d/x"));
    commit(f, CUR(14), false, NULL);
    assert_string_equal(t.text, "");
    assert_int_not_equal(look(f, "up/z").ino, x);
    replica_on_moves(f->r, NULL, NULL);
}

static void test_renamed_with_another_in_its_place(void **state)
{
    struct fix *f = *state;
    uint64_t a = look(f, "up/a").ino;

    publish(f, "up/a", 'B', 'A');
    stage(f, moved(E("up/b", 9, ENTRY_FILE, 'A'), "up/a"));
    stage(f, E("up/a", 9, ENTRY_FILE, 'N'));
    commit(f, CUR(9), false, NULL);
    assert_int_equal(look(f, "up/a").hash.b[0], 'N');
    assert_int_equal(look(f, "up/b").ino, a);
    assert_int_not_equal(look(f, "up/a").ino, a);
    assert_take(f, "put up/b=B pre=A;");
}

static void test_renamed_folder_with_unsent(void **state)
{
    struct fix *f = *state;
    uint64_t x = look(f, "up/d/x").ino, d = look(f, "up/d").ino;
    struct node_attr a;
    int64_t o, entries, bytes, now, now_bytes;

    make(f, "up/d/new", 'N');
    assert_int_equal(replica_mkdir(f->r, "up/d/sub", 0755, &a, &o), 0);
    make(f, "up/d/sub/deep", 'D');
    assert_int_equal(replica_create(f->r, "up/d/open", 0644, &a), 0);
    make(f, "up/d/k.tmp", 'L'); /* local by the exclude list: stays */
    replica_totals(f->r, &entries, &bytes);
    stage(f, E("up/d", 9, ENTRY_GONE, 0));
    stage(f, E("up/d/x", 9, ENTRY_GONE, 0));
    stage(f, moved(E("up/e", 10, ENTRY_DIR, 0), "up/d"));
    stage(f, moved(E("up/e/x", 10, ENTRY_FILE, 'X'), "up/d/x"));
    commit(f, CUR(10), false, NULL);
    assert_list(f, "up/e", "new open sub x ");
    assert_list(f, "up/e/sub", "deep ");
    assert_int_equal(look(f, "up/e").ino, d);
    assert_int_equal(look(f, "up/e/x").ino, x);
    replica_totals(f->r, &now, &now_bytes);
    assert_int_equal(now_bytes, bytes);
    assert_take(f, "put up/e/new=N pre=absent;mkdir up/e/sub;put up/e/sub/deep=D pre=absent;");
}

static void test_renamed_out_of_scope(void **state)
{
    struct fix *f = *state;

    publish(f, "up/a", 'B', 'A');
    stage(f, E("up/a", 9, ENTRY_GONE, 0));
    stage(f, moved(E("css/a", 9, ENTRY_FILE, 'A'), "up/a"));
    commit(f, CUR(9), false, NULL);
    assert_int_equal(look(f, "up/a").hash.b[0], 'B');
    assert_int_equal(look(f, "css/a").hash.b[0], 'A');
    assert_int_not_equal(look(f, "css/a").ino, look(f, "up/a").ino);
    assert_take(f, "put up/a=B pre=A;");
}

/* The feed tells of a rename of this mirror that has no answer yet, and that was taken back here. */
static void test_own_rename_and_back(void **state)
{
    struct fix *f = *state;
    uint64_t a = look(f, "up/a").ino, d = look(f, "up/d").ino;
    struct told t = {"", 0};
    int64_t o;

    replica_on_moves(f->r, tell, &t);
    assert_int_equal(replica_rename(f->r, "up/a", "up/b", false, NULL, &o), 0);
    assert_int_equal(replica_rename(f->r, "up/d", "up/e", false, NULL, &o), 0);
    assert_take(f, "rename up/a>up/b pre=A;rename up/d>up/e pre=dir;");
    assert_int_equal(replica_rename(f->r, "up/b", "up/a", false, NULL, &o), 0);
    assert_int_equal(replica_rename(f->r, "up/e", "up/d", false, NULL, &o), 0);
    stage(f, E("up/a", 9, ENTRY_GONE, 0));
    stage(f, moved(E("up/b", 9, ENTRY_FILE, 'A'), "up/a"));
    stage(f, E("up/d", 10, ENTRY_GONE, 0));
    stage(f, E("up/d/x", 10, ENTRY_GONE, 0));
    stage(f, moved(E("up/e", 10, ENTRY_DIR, 0), "up/d"));
    stage(f, moved(E("up/e/x", 10, ENTRY_FILE, 'X'), "up/d/x"));
    commit(f, CUR(10), false, "");
    assert_string_equal(t.text, "");
    assert_int_equal(look(f, "up/a").ino, a);
    assert_int_equal(look(f, "up/d").ino, d);
    assert_list(f, "up", "a d ");
    replica_on_moves(f->r, NULL, NULL);
}

/* The same with both answers before a page that has the first rename only. */
static void test_own_rename_and_back_answered(void **state)
{
    struct fix *f = *state;
    uint64_t a = look(f, "up/a").ino;
    struct told t = {"", 0};

    replica_on_moves(f->r, tell, &t);
    for (int back = 0; back < 2; back++) {
        const char *from = back ? "up/b" : "up/a", *to = back ? "up/a" : "up/b";
        int64_t o, seq = 9 + 2 * back;
        struct entry e[] = {E(from, seq, ENTRY_GONE, 0),
                            moved(E(to, seq + 1, ENTRY_FILE, 'A'), from)};

        assert_int_equal(replica_rename(f->r, from, to, false, NULL, &o), 0);
        free(take(f));
        answer(f, o, RESULT_DONE, NULL, NULL, e, 2, "");
    }
    for (int full = 0; full < 2; full++) {
        stage(f, moved(E("up/b", 10, ENTRY_FILE, 'A'), "up/a"));
        if (!full)
            stage(f, E("up/a", 9, ENTRY_GONE, 0));
        for (int i = 0; full && i < 4; i++) {
            static const char *const rest[] = {"css", "up", "up/d", "up/d/x"};
            stage(f, E(rest[i], i + 1, i < 3 ? ENTRY_DIR : ENTRY_FILE, 'X'));
        }
        commit(f, CUR(10), full, NULL);
        assert_string_equal(t.text, "");
        assert_int_equal(look(f, "up/a").ino, a);
        assert_gone(f, "up/b");
    }
    replica_on_moves(f->r, NULL, NULL);
}

/* It stays for what is local in it; fs moves its node, and must look at the old name again. */
static void test_renamed_folder_that_stays(void **state)
{
    struct fix *f = *state;

    stage(f, E("up/l", 9, ENTRY_DIR, 0));
    commit(f, CUR(9), false, "up up/l");
    make(f, "up/l/k.tmp", 'L');
    stage(f, E("up/l", 10, ENTRY_GONE, 0));
    stage(f, moved(E("up/m", 10, ENTRY_DIR, 0), "up/l"));
    commit(f, CUR(10), false, "up up/l up/m");
    assert_list(f, "up", "a d l m ");
}

/* The answer tells of a rename, but another file has the old name by now. */
static void test_edit_followed_a_rename(void **state)
{
    struct fix *f = *state;

    for (int again = 0; again < 2; again++) {
        const char *path = again ? "up/d/x" : "up/a", *to = again ? "up/q" : "up/p";
        int64_t seq = 9 + 2 * again, o, n = publish(f, path, 'B', again ? 'X' : 'A');
        struct entry e[] = {E(path, seq, ENTRY_GONE, 0),
                            moved(E(to, seq + 1, ENTRY_FILE, 'B'), path)};
        struct told t = {"", 0};

        free(take(f));
        replica_on_moves(f->r, tell, &t);
        if (again) {
            assert_int_equal(replica_rename(f->r, path, "up/c", false, NULL, &o), 0);
            make(f, path, 'N');
        }
        answer(f, n, RESULT_DONE, NULL, NULL, e, 2, NULL);
        assert_string_equal(t.text, again ? "" : "up/a>up/p ");
        assert_int_equal(t.begun, 0);
        replica_on_moves(f->r, NULL, NULL);
    }
    assert_int_equal(look(f, "up/d/x").hash.b[0], 'N');
}

/* --- listings in parts --- */

struct part {
    size_t most;
    int64_t last;
    struct strlist names;
};

static int take_part(void *arg, const char *name, int64_t place, const struct node_attr *attr)
{
    struct part *p = arg;

    (void)attr;
    assert_true(place > p->last);
    p->last = place;
    strlist_add(&p->names, name);
    return p->names.n >= p->most;
}

static size_t times(const struct strlist *l, const char *name)
{
    size_t n = 0;

    for (size_t i = 0; i < l->n; i++)
        n += strcmp(l->v[i], name) == 0;
    return n;
}

/* The names of a folder by parts of up to `most`, with a change before each. */
static void list_parts(struct fix *f, const char *dir, unsigned most,
                       void (*change)(struct fix *f, int i), struct strlist *ret)
{
    struct part p = {0};

    for (int i = 0;; i++) {
        p.most = p.names.n + 1 + (unsigned)random() % most;
        if (change)
            change(f, i);
        assert_int_equal(replica_readdir(f->r, dir, p.last, random() % 2, take_part, &p), 0);
        if (p.names.n < p.most)
            break;
    }
    *ret = p.names;
}

static void change_listed(struct fix *f, int i)
{
    static int64_t seq = 1000;
    struct entry e;
    char path[64], cursor[64];
    int64_t o;

    snprintf(path, sizeof(path), "up/d/v%ld", random() % 40);
    if (random() % 2) {
        snprintf(path, sizeof(path), "up/d/s%d", i % 50); /* a new version of a name that stays */
        publish(f, path, (char)(1 + random() % 100), 'X');
    } else if (replica_unlink(f->r, path, NULL, &o) == -ENOENT) {
        make(f, path, 'V');
    }
    snprintf(path, sizeof(path), "up/d/%c%ld", random() % 2 ? 's' : 'w', random() % 50);
    e = E(path, ++seq, path[5] == 'w' && random() % 2 ? ENTRY_GONE : ENTRY_FILE, 'M');
    stage(f, e);
    snprintf(cursor, sizeof(cursor), "00000000000000aa.%lld.1", (long long)seq);
    commit(f, cursor, false, NULL);
}

static void test_listing_in_parts(void **state)
{
    struct fix *f = *state;
    char path[64];

    for (int i = 0; i < 50; i++) {
        snprintf(path, sizeof(path), "up/d/s%d", i);
        stage(f, E(path, 100 + i, ENTRY_FILE, 'X'));
    }
    commit(f, CUR(200), false, NULL);
    for (int round = 0; round < 30; round++) {
        struct strlist l = {0};

        list_parts(f, "up/d", 7, change_listed, &l);
        for (int i = 0; i < 50; i++) {
            snprintf(path, sizeof(path), "s%d", i);
            assert_int_equal(times(&l, path), 1);
        }
        strlist_release(&l);
    }
}

static void with_db(struct fix *f, const char *sql)
{
    char path[80];
    sqlite3 *h;

    replica_close(f->r);
    snprintf(path, sizeof(path), "%s/replica.db", f->dir);
    assert_int_equal(sqlite3_open(path, &h), SQLITE_OK);
    if (sqlite3_exec(h, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s", sqlite3_errmsg(h));
    sqlite3_close(h);
    assert_int_equal(replica_open(f->dir, false, &f->r, NULL), 0);
}

static void test_listing_of_colliding_names(void **state)
{
    struct fix *f = *state;
    struct strlist l = {0};
    char path[64];

    for (int i = 0; i < 12; i++) {
        snprintf(path, sizeof(path), "up/d/s%d", i);
        if (i % 2)
            make(f, path, 'V');
        else
            stage(f, E(path, 100 + i, ENTRY_FILE, 'X'));
    }
    commit(f, CUR(200), false, NULL);
    with_db(f, "UPDATE base SET cookie=4096 WHERE dir=CAST('up/d' AS BLOB);"
               "UPDATE overlay SET cookie=4096 WHERE dir=CAST('up/d' AS BLOB)");
    for (unsigned most = 1; most < 15; most++) {
        list_parts(f, "up/d", most, NULL, &l);
        assert_int_equal(l.n, 13);
        for (int i = 0; i < 12; i++) {
            snprintf(path, sizeof(path), "s%d", i);
            assert_int_equal(times(&l, path), 1);
        }
        strlist_release(&l);
        memset(&l, 0, sizeof(l));
    }
}

/* A database of schema version 2: its rows get their cookies. */
/* What version 9 made. */
#define MADE_SINCE "DROP TABLE lost; DROP TABLE timelines;"

static const char *const VERSION_2 = MADE_SINCE
    "DROP TABLE base; DROP TABLE overlay; DROP TABLE outbox; DROP TABLE incoming;"
    "DROP TABLE conflict; DROP TABLE exclude; DROP TABLE meta; DROP TABLE renumbered;"
    "CREATE TABLE base(dir BLOB NOT NULL, name BLOB NOT NULL, type INTEGER NOT NULL,"
    " size INTEGER NOT NULL, mtime INTEGER NOT NULL, mode INTEGER NOT NULL, hash BLOB,"
    " target BLOB, seq INTEGER NOT NULL, ino INTEGER NOT NULL, PRIMARY KEY(dir,name))"
    " WITHOUT ROWID;"
    "CREATE INDEX base_gone ON base(seq) WHERE type=0;"
    "CREATE TABLE overlay(dir BLOB NOT NULL, name BLOB NOT NULL, opid INTEGER NOT NULL,"
    " type INTEGER NOT NULL, size INTEGER NOT NULL, mtime INTEGER NOT NULL,"
    " mode INTEGER NOT NULL, hash BLOB, target BLOB, ino INTEGER NOT NULL,"
    " PRIMARY KEY(dir,name,opid)) WITHOUT ROWID;"
    "CREATE INDEX overlay_opid ON overlay(opid);"
    "CREATE INDEX overlay_hash ON overlay(hash) WHERE hash IS NOT NULL;"
    "CREATE TABLE outbox(opid INTEGER PRIMARY KEY, kind INTEGER NOT NULL, path BLOB NOT NULL,"
    " to_path BLOB, target BLOB, hash BLOB, size INTEGER NOT NULL, mtime INTEGER NOT NULL,"
    " mode INTEGER NOT NULL, pre TEXT NOT NULL, to_pre TEXT NOT NULL, state TEXT NOT NULL,"
    " code TEXT, error TEXT, created INTEGER NOT NULL);"
    "CREATE INDEX outbox_path ON outbox(path);"
    "CREATE INDEX outbox_to ON outbox(to_path) WHERE to_path IS NOT NULL;"
    "CREATE INDEX outbox_hash ON outbox(hash) WHERE hash IS NOT NULL;"
    "CREATE INDEX outbox_state ON outbox(state,size);"
    "CREATE TABLE incoming(path BLOB NOT NULL PRIMARY KEY, type INTEGER NOT NULL,"
    " size INTEGER NOT NULL, mtime INTEGER NOT NULL, mode INTEGER NOT NULL, hash BLOB,"
    " target BLOB, seq INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE conflict(id INTEGER PRIMARY KEY, path BLOB NOT NULL, copy BLOB NOT NULL,"
    " ours BLOB, theirs BLOB, time INTEGER NOT NULL, place TEXT,"
    " ours_mtime INTEGER NOT NULL DEFAULT 0, theirs_mtime INTEGER NOT NULL DEFAULT 0);"
    "CREATE INDEX conflict_copy ON conflict(copy);"
    "CREATE TABLE exclude(n INTEGER PRIMARY KEY, pattern BLOB NOT NULL);"
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE renumbered(old INTEGER PRIMARY KEY, new INTEGER NOT NULL);"
    "CREATE INDEX renumbered_new ON renumbered(new);"
    "INSERT INTO base VALUES(x'','up',2,0,1,493,NULL,NULL,1,2),('up','a',2,0,1,493,NULL,NULL,2,3),"
    " ('up','b',2,0,1,493,NULL,NULL,3,4);"
    "UPDATE base SET dir=CAST(dir AS BLOB), name=CAST(name AS BLOB);"
    "INSERT INTO overlay VALUES(CAST('up' AS BLOB),CAST('c' AS BLOB),1152921504606846976,"
    " 2,0,1,493,NULL,NULL,5);"
    "DROP TABLE skipped; PRAGMA user_version=2";

static void test_listing_after_an_upgrade(void **state)
{
    struct fix *f = *state;
    struct part p = {.most = 99};
    int64_t last = 0;

    with_db(f, VERSION_2);
    assert_list(f, "", "up ");
    assert_int_equal(replica_readdir(f->r, "up", 0, random() % 2, take_part, &p), 0);
    assert_int_equal(p.names.n, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_true(cookie_of(p.names.v[i]) > last);
        last = cookie_of(p.names.v[i]);
    }
    strlist_release(&p.names);
}

static struct entry hiding(const char *path, int64_t seq, bool hides)
{
    struct entry e = E(path, seq, ENTRY_DIR, 0);

    e.hides = hides;
    return e;
}

/* A folder that holds names on the master that are not served is not empty, wherever it goes. */
static void test_folder_that_hides_names(void **state)
{
    struct fix *f = *state;
    struct node_change c = {.has_mode = true, .mode = 0700};
    struct node_attr a;
    int64_t opid;

    stage(f, hiding("up/h", 6, true));
    stage(f, E("up/h/x", 7, ENTRY_FILE, 'H'));
    stage(f, E("up/e", 8, ENTRY_DIR, 0));
    commit(f, CUR(8), false, NULL);
    assert_int_equal(replica_rmdir(f->r, "up/h", &opid), -ENOTEMPTY);
    assert_int_equal(replica_unlink(f->r, "up/h/x", NULL, &opid), 0);
    assert_int_equal(replica_rmdir(f->r, "up/h", &opid), -ENOTEMPTY);
    assert_int_equal(replica_rename(f->r, "up/e", "up/h", false, NULL, &opid), -ENOTEMPTY);
    assert_int_equal(replica_rename(f->r, "up/h", "up/h.tmp", false, NULL, &opid), -EXDEV);
    assert_int_equal(replica_setattr(f->r, "up/h", &c, &a, &opid), 0);
    assert_int_equal(replica_rmdir(f->r, "up/h", &opid), -ENOTEMPTY);
    assert_int_equal(replica_rename(f->r, "up/h", "up/g", false, NULL, &opid), 0);
    assert_int_equal(replica_rmdir(f->r, "up/g", &opid), -ENOTEMPTY);
    replica_close(f->r);
    assert_int_equal(replica_open(f->dir, false, &f->r, NULL), 0);
    assert_int_equal(replica_rmdir(f->r, "up/g", &opid), -ENOTEMPTY);
    assert_list(f, "up", "a d e g ");
}

/* The flag comes and goes with the folder's entry. */
static void test_folder_hides_no_more(void **state)
{
    struct fix *f = *state;
    int64_t opid;

    stage(f, hiding("up/e", 6, false));
    commit(f, CUR(6), false, NULL);
    stage(f, hiding("up/e", 7, true));
    commit(f, CUR(7), false, ""); /* nobody sees it */
    assert_int_equal(replica_rmdir(f->r, "up/e", &opid), -ENOTEMPTY);
    stage(f, hiding("up/e", 8, true));
    stage(f, hiding("up/e", 9, false));
    commit(f, CUR(9), false, "");
    assert_int_equal(replica_rmdir(f->r, "up/e", &opid), 0);
}

/* What a master told before the flag had its column is asked for again. */
static void test_hides_after_an_upgrade(void **state)
{
    struct fix *f = *state;
    char *cursor;

    with_db(f, MADE_SINCE "ALTER TABLE base DROP COLUMN own; ALTER TABLE base DROP COLUMN hides; "
                          "ALTER TABLE overlay DROP COLUMN hides;"
                          "ALTER TABLE incoming DROP COLUMN hides; PRAGMA user_version=7");
    cursor = replica_cursor(f->r);
    assert_string_equal(cursor, "");
    free(cursor);
    assert_true(replica_is_complete(f->r));
    assert_list(f, "up", "a d ");
}

static void test_cookies(void **state)
{
    (void)state;
    assert_true(cookie_of("") > COOKIE_DOTS);
    for (int i = 0; i < 1000; i++) {
        char name[16];
        int64_t c;

        snprintf(name, sizeof(name), "%d", i);
        c = cookie_of(name);
        assert_true(c > COOKIE_DOTS && c % COOKIE_STEP == 0);
        assert_true(c == cookie_of(name));
    }
    assert_true(cookie_of("abc") == 0x3a7816bf8f01cfe0); /* FIPS 180-4's example, begun */
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_view),
        T(test_errors),
        T(test_coalesce),
        T(test_answers_together),
        T(test_replace_by_rename),
        T(test_replace_unsent),
        T(test_move_unsent_folder),
        T(test_open_files),
        T(test_rename_folder),
        T(test_feed),
        T(test_folder_kept),
        T(test_kept_until_sent),
        T(test_kept_then_emptied),
        T(test_kept_and_moved),
        T(test_kept_by_a_killed_writer),
        T(test_answers),
        T(test_full_listing_keeps_confirmed),
        T(test_lost),
        T(test_lost_folder),
        T(test_lost_database),
        T(test_conflict),
        T(test_quarantine),
        T(test_defer),
        T(test_deferred_until_settled),
        T(test_retry),
        T(test_retry_in_scope),
        T(test_discard),
        T(test_rewritten_while_taken),
        T(test_renew),
        T(test_local),
        T(test_cross),
        T(test_cross_below),
        T(test_volumes),
        T(test_no_longer_local),
        T(test_reopen),
        T(test_any_mtime),
        T(test_folder_mtime),
        T(test_ctime),
        T(test_shown_writable),
        T(test_mtime_and_content),
        T(test_numbers),
        T(test_renamed_file),
        T(test_renamed_with_another_in_its_place),
        T(test_renamed_folder_with_unsent),
        T(test_renamed_out_of_scope),
        T(test_own_rename_and_back),
        T(test_own_rename_and_back_answered),
        T(test_renamed_folder_that_stays),
        T(test_edit_followed_a_rename),
        T(test_listing_in_parts),
        T(test_listing_of_colliding_names),
        T(test_listing_after_an_upgrade),
        T(test_folder_that_hides_names),
        T(test_folder_hides_no_more),
        T(test_hides_after_an_upgrade),
        cmocka_unit_test(test_cookies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
