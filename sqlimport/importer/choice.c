/* SPDX-License-Identifier: MIT */
/*
 * In this order, and the first that holds:
 *
 *     DATABASE.sql ─> the only one of DATABASE.sql.gz, .sql.zst ─> the dump imported last, by its name
 *     ─> the only dump that no other importer waits for, unless one was imported under another name;
 *        a service takes it only when it has been unchanged for 2 s, for it may be somebody else's
 */
#include "sqlimport/importer/choice.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/file.h"
#include "sync/common/opt.h"
#include "sync/common/rundir.h"

#define SETTLE_MS 2000
#define NAMED_MAX 5 /* dumps that a sentence names */

const char *const choice_endings[] = {".sql", ".sql.gz", ".sql.zst", NULL};

static const char *ending_of(const char *name)
{
    size_t len = strlen(name);

    for (size_t i = 0; choice_endings[i]; i++) {
        size_t n = strlen(choice_endings[i]);
        if (len > n && strcmp(name + len - n, choice_endings[i]) == 0)
            return name + len - n;
    }
    return NULL;
}

/* DATABASE.sql, .sql.gz or .sql.zst */
static bool is_named(const char *file, const char *database)
{
    const char *ending = ending_of(file);

    return ending && strlen(database) == (size_t)(ending - file) &&
           strncmp(file, database, (size_t)(ending - file)) == 0;
}

struct claims {
    const struct choice *s;
    const char *real; /* path of the slot */
    const char *file;
    bool taken;
};

/* Another importer's report: does it wait for this dump? */
static void look_claim(void *arg, const char *path)
{
    struct claims *c = arg;
    json_t *j = json_load_file(path, 0, NULL);
    const char *name = json_string_value(json_object_get(j, "name"));
    const char *slot = json_string_value(json_object_get(j, "slot"));
    const char *file = json_string_value(json_object_get(j, "file"));
    const char *database = json_string_value(json_object_get(j, "database"));
    char *real = slot ? realpath(slot, NULL) : NULL;

    if (real && strcmp(real, c->real) == 0 && name && strcmp(name, c->s->name) != 0 &&
        (file ? strcmp(file, c->file) == 0 : database && is_named(c->file, database)))
        c->taken = true;
    free(real);
    json_decref(j);
}

static bool is_claimed(const struct choice *s, const char *file)
{
    char *real = realpath(s->dir, NULL);
    struct claims c = {s, real, file, false};

    if (real)
        rundir_each(s->rundir, "import", "json", look_claim, &c);
    free(real);
    return c.taken;
}

struct dumps {
    struct strlist own, foreign; /* names: with the database's name, and without */
};

static int list(const struct choice *s, int dir, struct dumps *c)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *de;
    struct stat st;

    if (!d) {
        if (fd >= 0)
            close(fd);
        return -EIO;
    }
    while ((de = readdir(d))) {
        if (*de->d_name == '.' || !ending_of(de->d_name) ||
            fstatat(dir, de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
            continue;
        if (is_named(de->d_name, s->database))
            strlist_add(&c->own, de->d_name);
        else if (!is_claimed(s, de->d_name))
            strlist_add(&c->foreign, de->d_name);
    }
    closedir(d);
    return 0;
}

static bool holds(const struct strlist *l, const char *name)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->v[i], name) == 0)
            return true;
    return false;
}

static int refuse(const struct choice *s, const struct strlist *l, struct err *e)
{
    struct buf names = BUF_INIT;
    int r;

    for (size_t i = 0; i < l->n && i < NAMED_MAX; i++)
        buf_printf(&names, "%s'%.60s'", i ? ", " : "", l->v[i]);
    if (l->n > NAMED_MAX)
        buf_printf(&names, " and %zu more", l->n - NAMED_MAX);
    if (l->n > 1)
        r = err_set(e, EEXIST,
                    "the slot '%.200s' holds %zu dumps (%s), and none of them is '%.60s.sql': "
                    "name the intended one with --file",
                    s->dir, l->n, names.data, s->database);
    else
        r = err_set(e, EEXIST,
                    "the slot '%.200s' holds %s, which is not imported: the last dump was "
                    "'%.60s'; if this one is intended, name it with --file",
                    s->dir, names.data, s->last);
    buf_release(&names);
    return r;
}

/* A dump with an unknown name: 1 when it has lain there unchanged for a moment. */
static int settled(struct choice *s, int dir, const char *name)
{
    struct stat st;

    if (s->once)
        return 1;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    if (st.st_ino != s->young.st_ino || st.st_dev != s->young.st_dev ||
        st.st_size != s->young.st_size || file_mtime_ns(&st) != file_mtime_ns(&s->young)) {
        s->young = st;
        s->since_ms = clock_mono_ms();
    }
    return clock_mono_ms() - s->since_ms >= SETTLE_MS;
}

static int choose(struct choice *s, int dir, const struct dumps *c, const char **ret, struct err *e)
{
    *ret = c->own.n == 1 ? c->own.v[0] : NULL;
    for (size_t i = 0; i < c->own.n; i++)
        if (strcmp(ending_of(c->own.v[i]), choice_endings[0]) == 0)
            *ret = c->own.v[i];
    if (*ret)
        return 1;
    if (c->own.n > 0)
        return refuse(s, &c->own, e);
    if (*s->last && holds(&c->foreign, s->last)) {
        *ret = s->last;
        return 1;
    }
    if (c->foreign.n == 0)
        return 0;
    if (c->foreign.n > 1 || (*s->last && !s->once))
        return refuse(s, &c->foreign, e);
    *ret = c->foreign.v[0];
    return settled(s, dir, *ret);
}

int choice_find(struct choice *s, int dir, char **ret, struct err *e)
{
    struct dumps c = {{NULL, 0}, {NULL, 0}};
    const char *name = NULL;
    int r = list(s, dir, &c);

    r = r < 0 ? err_sys(e, -r, "cannot read the slot '%s'", s->dir) : choose(s, dir, &c, &name, e);
    if (r == 1)
        *ret = xstrdup(name);
    strlist_release(&c.own);
    strlist_release(&c.foreign);
    return r;
}
