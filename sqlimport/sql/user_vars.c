/* SPDX-License-Identifier: MIT */
#include "sqlimport/sql/user_vars.h"

#include <errno.h>
#include <search.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sync/common/buf.h"

struct remembered {
    char *name;
    struct variable v;
    bool saved;    /* in the head */
    uint64_t back; /* the run of SET statements in which it was given back last */
};

struct user_vars {
    void *tree; /* tsearch(3) */
    size_t n;
    bool head;
    uint64_t run;           /* number of the current run of SET statements, from 1 */
    size_t n_saved, n_back; /* saved ones, and how many of them were given back in this run */
};

static const struct variable none = {VARIABLE_NULL, -1, NULL};

static int compare(const void *a, const void *b)
{
    const struct remembered *x = a, *y = b;

    return strcasecmp(x->name, y->name);
}

struct user_vars *user_vars_new(void)
{
    struct user_vars *v = xcalloc(1, sizeof(*v));

    v->head = true;
    v->run = 1;
    return v;
}

static void free_entry(void *node)
{
    struct remembered *x = node;

    free(x->name);
    free(x->v.value);
    free(x);
}

void user_vars_free(struct user_vars *v)
{
    if (!v)
        return;
    tdestroy(v->tree, free_entry);
    free(v);
}

static struct remembered *find(const struct user_vars *v, const char *name)
{
    struct remembered key = {0};
    void *const *node;

    key.name = xstrdup(name);
    node = tfind(&key, &v->tree, compare);
    free(key.name);
    return node ? *node : NULL;
}

const struct variable *user_vars_get(const struct user_vars *v, const char *name)
{
    const struct remembered *x = find(v, name);

    return x ? &x->v : &none;
}

/* By these names programs keep what they give back at the end, and not before. */
static bool is_kept_for_the_end(const char *name)
{
    return strncasecmp(name, "OLD_", 4) == 0 || strncasecmp(name, "ORIG_", 5) == 0 ||
           strncasecmp(name, "PREVIOUS_", 9) == 0;
}

int user_vars_set(struct user_vars *v, const char *name, const struct variable *value,
                  struct err *e)
{
    struct remembered *x = find(v, name);
    char *copy = value->value ? xstrdup(value->value) : NULL;

    if (!x && v->n == VARIABLES_MAX) {
        free(copy);
        return err_set(e, EPERM, "the dump sets more than %d variables", VARIABLES_MAX);
    }
    if (!x) {
        x = xcalloc(1, sizeof(*x));
        x->name = xstrdup(name);
        if (!tsearch(x, &v->tree, compare))
            abort();
        v->n++;
    }
    free(x->v.value);
    x->v = *value;
    x->v.value = copy;
    if (v->head && !x->saved && is_kept_for_the_end(name)) {
        x->saved = true;
        v->n_saved++;
    }
    return 0;
}

void user_vars_break(struct user_vars *v, bool object)
{
    v->run++;
    v->n_back = 0;
    v->head = v->head && !object;
}

void user_vars_restored(struct user_vars *v, const char *name)
{
    struct remembered *x = find(v, name);

    if (!x || x->back == v->run)
        return;
    x->back = v->run;
    v->n_back += x->saved;
}

size_t user_vars_saved(const struct user_vars *v)
{
    return v->n_saved;
}

bool user_vars_all_restored(const struct user_vars *v)
{
    return v->n_saved > 0 && v->n_back == v->n_saved;
}
