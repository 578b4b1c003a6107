/* SPDX-License-Identifier: MIT */
/* node: which node a name gives, what path a node has, and when it is freed; by cases, and by random
 * steps against a plain list of nodes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/file/node.h"
#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/file.h"

/* The version number `v` of a file; 0: a folder. */
static struct node_attr attr_of(int v)
{
    struct node_attr a = {.type = v ? NODE_FILE : NODE_DIR, .mode = 0644, .ino = (uint64_t)v + 2};

    if (v)
        hash_bytes(&v, sizeof(v), &a.hash);
    return a;
}

static struct node *enter(struct nodes *t, struct node *parent, const char *name, int v)
{
    struct node_attr a = attr_of(v);
    struct node *n;

    nodes_lock(t);
    n = node_enter_locked(t, parent, name, &a);
    nodes_unlock(t);
    return n;
}

static void has_path(struct nodes *t, struct node *n, const char *want)
{
    char *path = node_path(t, n);

    if (want)
        assert_string_equal(path, want);
    else
        assert_null(path);
    free(path);
}

static struct node *find(struct nodes *t, const char *path)
{
    struct node *n;

    nodes_lock(t);
    n = node_find_locked(t, path);
    nodes_unlock(t);
    return n;
}

static bool is_known(struct nodes *t, uint64_t id)
{
    struct node *n = node_get(t, id);

    node_unref(t, n);
    return n != NULL;
}

static int setup(void **state)
{
    *state = nodes_new();
    return 0;
}

static int teardown(void **state)
{
    nodes_free(*state);
    return 0;
}

static void test_versions(void **state)
{
    struct nodes *t = *state;
    struct node *root = find(t, ""), *d = enter(t, root, "d", 0), *a = enter(t, d, "a", 1), *b;
    uint64_t id_a = a->id, id_d = d->id;

    assert_int_equal(root->id, 1);
    assert_ptr_equal(enter(t, d, "a", 1), a); /* the same version: the same node */
    assert_int_equal(a->nlookup, 2);
    b = enter(t, d, "a", 2);
    assert_ptr_not_equal(a, b);
    assert_false(a->attached);
    assert_ptr_equal(find(t, "d/a"), b);
    has_path(t, a, "d/a"); /* superseded: its path is known */
    has_path(t, b, "d/a");
    assert_null(find(t, "d/none"));
    assert_null(find(t, "d/a/below"));

    node_forget(t, id_a, 1);
    assert_true(is_known(t, id_a));
    node_forget(t, id_a, 1);
    assert_false(is_known(t, id_a));
    node_forget(t, id_d, 1); /* its child holds it */
    assert_true(is_known(t, id_d));
    node_forget(t, b->id, 99);
    assert_false(is_known(t, id_d));
    assert_null(find(t, "d"));
    node_forget(t, 1, 1000); /* the root stays */
    assert_ptr_equal(find(t, ""), root);
    node_forget(t, 12345, 1);
}

static void test_unlinked(void **state)
{
    struct nodes *t = *state;
    struct node *root = find(t, ""), *d = enter(t, root, "d", 0), *a = enter(t, d, "a", 1),
                *e = enter(t, d, "e", 0);
    char *last;
    uint64_t id_d = d->id;

    nodes_lock(t);
    node_unlink_locked(t, a);
    nodes_unlock(t);
    has_path(t, a, NULL);
    assert_null(find(t, "d/a"));
    last = node_last_path(t, a);
    assert_string_equal(last, "d/a");
    free(last);
    assert_ptr_not_equal(enter(t, d, "a", 1), a);

    nodes_lock(t);
    node_move_locked(t, d, root, "moved");
    nodes_unlock(t);
    last = node_last_path(t, a); /* its folder went on */
    assert_string_equal(last, "moved/a");
    free(last);
    nodes_lock(t);
    node_unlink_locked(t, e);
    nodes_unlock(t);
    assert_null(node_last_path(t, e)); /* a folder's is of no use */

    node_forget(t, find(t, "moved/a")->id, 1);
    node_forget(t, e->id, 1);
    node_forget(t, id_d, 1);
    assert_true(is_known(t, id_d)); /* the removed file holds its folder */
    node_forget(t, a->id, 1);
    assert_false(is_known(t, id_d));
}

static void test_moves(void **state)
{
    struct nodes *t = *state;
    struct node *root = find(t, ""), *d = enter(t, root, "d", 0), *e = enter(t, root, "e", 0),
                *a = enter(t, d, "a", 1), *b = enter(t, e, "b", 2);

    nodes_lock(t);
    node_move_locked(t, a, e, "b"); /* over another */
    nodes_unlock(t);
    has_path(t, a, "e/b");
    has_path(t, b, NULL);
    assert_ptr_equal(find(t, "e/b"), a);
    nodes_lock(t);
    node_move_locked(t, a, e, a->name); /* onto itself */
    node_move_locked(t, e, d, "e");     /* with what is below it */
    nodes_unlock(t);
    has_path(t, a, "d/e/b");
    assert_ptr_equal(find(t, "d/e/b"), a);
    assert_null(find(t, "e/b"));

    nodes_lock(t);
    node_supersede_locked(t, a);
    node_carry_locked(t, a, root, "c"); /* stays superseded */
    nodes_unlock(t);
    has_path(t, a, "c");
    assert_null(find(t, "c"));
    b = enter(t, root, "c", 3);
    nodes_lock(t);
    assert_false(node_show_locked(t, a, false)); /* something else stands for it */
    assert_true(node_show_locked(t, a, true));
    assert_false(node_show_locked(t, a, true)); /* it is there already */
    nodes_unlock(t);
    assert_ptr_equal(find(t, "c"), a);
    assert_false(b->attached);
    nodes_lock(t);
    node_supersede_locked(t, a);
    nodes_unlock(t);
    enter(t, root, "c", 0);
    nodes_lock(t);
    assert_false(node_show_locked(t, a, true)); /* a folder is not pushed away */
    nodes_unlock(t);
}

/* A node that nobody but a request holds, and the mark of a lookup after ESTALE. */
static void test_known_and_stale(void **state)
{
    struct nodes *t = *state;
    struct node *root = find(t, ""), *a, *b;
    struct node_attr attr = attr_of(1);
    uint64_t id;

    nodes_lock(t);
    a = node_know_locked(t, root, "a", &attr);
    node_ref_locked(a);
    assert_ptr_equal(node_know_locked(t, root, "a", &attr), a);
    id = a->id;
    node_unref_locked(t, a);
    assert_null(node_get_locked(t, id));
    nodes_unlock(t);

    a = enter(t, root, "a", 1);
    assert_false(a->again);
    nodes_lock(t);
    node_stale_locked(t, a);
    nodes_unlock(t);
    b = enter(t, root, "a", 2);
    assert_true(b->again);
    assert_true(enter(t, enter(t, root, "d", 0), "a", 1)->again); /* also in another folder */
    assert_false(enter(t, root, "other", 1)->again);
}

static void test_file(void **state)
{
    struct nodes *t = *state;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct file *f = file_new(fd);

    nodes_lock(t);
    assert_ptr_equal(file_ref_locked(f), f);
    nodes_unlock(t);
    file_unref(t, f);
    assert_true(fcntl(fd, F_GETFD) >= 0);
    file_unref(t, f);
    assert_true(fcntl(fd, F_GETFD) < 0);
    file_unref(t, NULL);
}

/* An object's file at the node, as after the last close(); its descriptor. */
static int rest(struct nodes *t, struct node *n)
{
    struct store_stamp stamp = {.touched_ms = clock_mono_ms()};
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct stat st;

    assert_int_equal(fstat(fd, &st), 0);
    stamp.ino = st.st_ino;
    stamp.size = st.st_size;
    stamp.mtime = file_mtime_ns(&st);
    stamp.ctime = file_ctime_ns(&st);
    nodes_lock(t);
    node_set_content_locked(t, n, fd, &stamp);
    node_rest_locked(t, n);
    assert_null(n->content);
    nodes_unlock(t);
    return fd;
}

static bool resume(struct nodes *t, struct node *n)
{
    bool open;

    nodes_lock(t);
    open = node_resume_locked(t, n);
    nodes_unlock(t);
    return open;
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

/* A content stays open for the version that it is of, and as long as the node stands for a name. */
static void test_idle(void **state)
{
    struct nodes *t = *state;
    struct node *root = node_get(t, 1), *n = enter(t, root, "a", 1), *m = enter(t, root, "b", 2);
    int fd;

    assert_false(is_open(rest(t, n))); /* none may stay yet */
    nodes_keep_idle(t, 10);
    fd = rest(t, n);
    assert_true(is_open(fd));
    assert_true(resume(t, n) && n->content->fd == fd);
    nodes_lock(t);
    node_rest_locked(t, n);
    n->attr = attr_of(3); /* published here */
    nodes_unlock(t);
    assert_false(resume(t, n));
    assert_false(is_open(fd));

    fd = rest(t, n);
    enter(t, root, "a", 4);
    assert_false(is_open(fd)); /* superseded */
    assert_false(is_open(rest(t, n)));
    fd = rest(t, m);
    nodes_close_idle(t);
    assert_false(is_open(fd) || resume(t, m));
    fd = rest(t, m);
    nodes_lock(t);
    node_unlink_locked(t, m);
    nodes_unlock(t);
    assert_false(is_open(fd));
    fd = rest(t, enter(t, root, "c", 5));
    node_forget(t, find(t, "c")->id, 1);
    assert_false(is_open(fd));
    node_unref(t, root);
}

/* When descriptors run short, those in use come first. */
static void test_idle_yields(void **state)
{
    struct nodes *t = *state;
    struct node *root = node_get(t, 1), *n[4], *m = enter(t, root, "m", 9);
    int fd[4], high = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 300);
    char name[] = "0";

    assert_true(high >= 300);
    nodes_keep_idle(t, 100);
    for (int i = 0; i < 4; i++, name[0]++) {
        n[i] = enter(t, root, name, 1 + i);
        fd[i] = rest(t, n[i]);
    }
    nodes_lock(t);
    node_set_content_locked(t, m, high, &(struct store_stamp){0});
    nodes_unlock(t);
    assert_true(!is_open(fd[0]) && !is_open(fd[1]) && is_open(fd[2]) && is_open(fd[3]));
    node_unref(t, root);
}

/* --- random steps --- */

enum { NAMES = 5, MAX = 20000 };
static const char *const names[NAMES] = {"a", "b", "c", "d", "e"};

/* What a node should be; its id is its place in the list. */
struct model_node {
    struct node *n;     /* NULL: freed */
    int parent, was_in; /* ids; 0: none */
    char name[8];
    bool attached;
    int version; /* 0: a folder */
    uint64_t nlookup;
    unsigned refs; /* that the test took */
};

struct model {
    struct nodes *t;
    struct model_node list[MAX];
    int last; /* id */
};

static int children(const struct model *m, int id)
{
    int n = 0;

    for (int i = 1; i <= m->last; i++)
        n += m->list[i].n && (m->list[i].parent == id || m->list[i].was_in == id);
    return n;
}

static int child(const struct model *m, int parent, const char *name)
{
    for (int i = 1; i <= m->last; i++)
        if (m->list[i].n && m->list[i].attached && m->list[i].parent == parent &&
            strcmp(m->list[i].name, name) == 0)
            return i;
    return 0;
}

/* Frees what nobody holds. */
static void reap(struct model *m)
{
    for (bool any = true; any;) {
        any = false;
        for (int i = 2; i <= m->last; i++) {
            struct model_node *n = &m->list[i];

            if (n->n && n->nlookup == 0 && n->refs == 0 && children(m, i) == 0) {
                memset(n, 0, sizeof(*n));
                any = true;
            }
        }
    }
}

/* The path into out, or "?" when there is none. */
static void model_path(const struct model *m, int id, char *out)
{
    char below[200] = "";

    while (id > 1) {
        char now[200];

        snprintf(now, sizeof(now), "%.20s%s%.100s", m->list[id].name, *below ? "/" : "", below);
        strcpy(below, now);
        id = m->list[id].parent;
    }
    strcpy(out, id ? below : "?");
}

static bool is_below(const struct model *m, int id, int above)
{
    while (id && id != above)
        id = m->list[id].parent;
    return id == above;
}

static int depth(const struct model *m, int id)
{
    int n = 0;

    for (; id; id = m->list[id].parent)
        n++;
    return n;
}

/* A random node that is there (`dir`: a folder); 1 is the root. */
static int pick(const struct model *m, bool dir)
{
    for (int tries = 0; tries < 50; tries++) {
        int i = 1 + (rand() % 2 && m->last > 60 ? m->last - rand() % 60 - 1 : rand() % m->last);

        if (m->list[i].n && (!dir || m->list[i].version == 0))
            return i;
    }
    return 1;
}

static void model_unlink(struct model *m, int id)
{
    struct model_node *n = &m->list[id];

    n->was_in = n->version ? n->parent : 0;
    n->parent = 0;
    n->attached = false;
}

static void random_enter(struct model *m)
{
    int parent = pick(m, true), version = rand() % 4, id;
    const char *name = names[rand() % NAMES];
    struct node *n;

    if (depth(m, parent) > 5 && version == 0)
        version = 1;
    id = child(m, parent, name);
    if (id && (m->list[id].version ? m->list[id].version != version : version != 0)) {
        m->list[id].attached = false;
        id = 0;
    }
    n = enter(m->t, m->list[parent].n, name, version);
    if (!id) {
        id = ++m->last;
        m->list[id] = (struct model_node){n, parent, 0, "", true, version, 0, 0};
        strcpy(m->list[id].name, name);
    }
    m->list[id].nlookup++;
    assert_ptr_equal(n, m->list[id].n);
    assert_int_equal(n->id, id);
}

static void random_move(struct model *m)
{
    int id = pick(m, false), to = pick(m, true), there;
    struct model_node *n = &m->list[id];
    const char *name = names[rand() % NAMES];
    bool over = rand() % 2;

    if (id == 1 || !n->parent || is_below(m, to, id) || depth(m, to) > 5)
        return;
    there = child(m, to, name);
    if (there && there != id && (!over || is_below(m, id, there)))
        return;
    nodes_lock(m->t);
    if (over)
        node_move_locked(m->t, n->n, m->list[to].n, name);
    else
        node_carry_locked(m->t, n->n, m->list[to].n, name);
    nodes_unlock(m->t);
    if (over && there == id)
        return;
    if (over && there)
        model_unlink(m, there);
    n->parent = to;
    strcpy(n->name, name);
    n->attached = over || n->attached;
}

static void random_step(struct model *m)
{
    int id = pick(m, false), what = rand() % 9;
    struct model_node *n = &m->list[id];

    if (what < 4) {
        random_enter(m);
    } else if (what == 4) {
        random_move(m);
    } else if (id > 1 && what == 5) {
        uint64_t count = 1 + (uint64_t)rand() % 3;

        node_forget(m->t, (uint64_t)id, count);
        n->nlookup -= count < n->nlookup ? count : n->nlookup;
    } else if (what == 6 && n->refs == 0) {
        assert_ptr_equal(node_get(m->t, (uint64_t)id), n->n);
        n->refs++;
    } else if (what == 6) {
        node_unref(m->t, n->n);
        n->refs--;
    } else if (id > 1 && n->parent) {
        nodes_lock(m->t);
        if (what == 7)
            node_unlink_locked(m->t, n->n);
        else
            node_supersede_locked(m->t, n->n);
        nodes_unlock(m->t);
        if (what == 7)
            model_unlink(m, id);
        n->attached = false;
    }
    reap(m);
}

static void compare(const struct model *m, int id)
{
    const struct model_node *want = &m->list[id];
    struct node *n = node_get(m->t, (uint64_t)id);
    char path[300];

    assert_ptr_equal(n, want->n);
    if (!n)
        return;
    assert_int_equal(n->nlookup, want->nlookup);
    assert_int_equal(n->refs, (unsigned)children(m, id) + want->refs + 1);
    model_path(m, id, path);
    has_path(m->t, n, strcmp(path, "?") == 0 ? NULL : path);
    if (id > 1 && want->parent) {
        nodes_lock(m->t);
        assert_int_equal(node_child_locked(m->t, m->list[want->parent].n, want->name) == n,
                         want->attached);
        nodes_unlock(m->t);
    }
    node_unref(m->t, n);
}

static void test_random(void **state)
{
    struct model *m = xcalloc(1, sizeof(*m));

    (void)state;
    for (unsigned seed = 1; seed <= 8; seed++) {
        memset(m, 0, sizeof(*m));
        m->t = nodes_new();
        m->last = 1;
        m->list[1].n = find(m->t, "");
        srand(seed);
        for (int step = 0; step < 1500; step++) {
            random_step(m);
            for (int i = 0; i < 3; i++)
                compare(m, 1 + rand() % m->last);
        }
        for (int i = 1; i <= m->last; i++)
            compare(m, i);
        nodes_free(m->t);
    }
    free(m);
}

/* More nodes than the tables begin with: each is found by its id and its name. */
static void test_grows(void **state)
{
    struct nodes *t = *state;
    struct node *root = find(t, "");
    char name[16];

    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof(name), "%d", i);
        assert_int_equal(enter(t, root, name, 1 + i)->id, i + 2);
    }
    for (int i = 0; i < 5000; i++) {
        struct node *n;

        snprintf(name, sizeof(name), "%d", i);
        n = find(t, name);
        assert_non_null(n);
        assert_int_equal(n->id, i + 2);
        assert_true(is_known(t, (uint64_t)i + 2));
        node_forget(t, (uint64_t)i + 2, 1);
        assert_null(find(t, name));
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_versions),
        TEST(test_unlinked),
        TEST(test_moves),
        TEST(test_known_and_stale),
        TEST(test_file),
        TEST(test_grows),
        TEST(test_idle),
        TEST(test_idle_yields),
        cmocka_unit_test(test_random),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
