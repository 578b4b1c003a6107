/* SPDX-License-Identifier: MIT */
#include "sqlimport/apply/moves.h"

#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"

struct move *moves_add(struct moves *m, enum move_kind kind, const char *name, const char *schema,
                       const char *place)
{
    struct move *v;

    m->v = xrealloc(m->v, (m->n + 1) * sizeof(*m->v));
    v = &m->v[m->n++];
    memset(v, 0, sizeof(*v));
    v->kind = kind;
    v->name = xstrdup(name);
    v->schema = schema ? xstrdup(schema) : NULL;
    v->place = place ? xstrdup(place) : NULL;
    return v;
}

void moves_add_loan(struct moves *m, const struct loan *l)
{
    m->loans = xrealloc(m->loans, (m->n_loans + 1) * sizeof(*m->loans));
    m->loans[m->n_loans++] = (struct loan){.table = xstrdup(l->table),
                                           .temporary = xstrdup(l->temporary),
                                           .name = xstrdup(l->name),
                                           .drop = xstrdup(l->drop),
                                           .clause = xstrdup(l->clause)};
}

void moves_release(struct moves *m)
{
    for (size_t i = 0; i < m->n; i++) {
        free(m->v[i].name);
        free(m->v[i].schema);
        free(m->v[i].place);
    }
    for (size_t i = 0; i < m->n_loans; i++) {
        free(m->loans[i].table);
        free(m->loans[i].temporary);
        free(m->loans[i].name);
        free(m->loans[i].drop);
        free(m->loans[i].clause);
    }
    free(m->v);
    free(m->loans);
    memset(m, 0, sizeof(*m));
}

/* --- one table --- */

/* Something else takes its place. */
static bool replaces(const struct move *v)
{
    return v->kind == MOVE_REPLACE || v->kind == MOVE_VIEW;
}

/* It is not as it was before. */
static bool moved(const struct move *v)
{
    switch (v->kind) {
    case MOVE_REPLACE:
    case MOVE_VIEW:
        return v->placed || (!v->live && v->staged);
    case MOVE_NEW:
        return v->live && !v->staged;
    default:
        return v->placed;
    }
}

/* Nobody but a person can say which of its tables is the right one. */
static bool unclear(const struct move *v)
{
    if (replaces(v))
        return v->live && v->placed && (v->staged || !v->proved);
    return v->kind == MOVE_DROP && v->live && v->placed;
}

static bool can_forward(const struct move *v)
{
    if (v->kind == MOVE_NEW) /* or somebody made one meanwhile */
        return !(v->live && v->staged);
    return v->kind == MOVE_DROP || v->staged || v->live || !v->placed;
}

/* A NEW table replaced none, and stays. */
static bool can_back(const struct move *v)
{
    return !replaces(v) || v->live || v->placed || !v->staged;
}

static bool is_done(const struct move *v)
{
    return v->kind == MOVE_DROP ? !v->live : !v->staged;
}

/* And could be there. */
static bool missing(const struct move *v)
{
    return replaces(v) && !v->live && (v->staged || v->placed);
}

static bool is_placed(const struct move *v)
{
    return v->placed;
}

/* --- all of them --- */

typedef bool test_fn(const struct move *v);

static const struct move *find(const struct moves *m, test_fn *test, bool wanted)
{
    for (size_t i = 0; i < m->n; i++)
        if (test(&m->v[i]) == wanted)
            return &m->v[i];
    return NULL;
}

enum verdict moves_decide(const struct moves *m, bool committed, bool stuck, size_t *ret_i)
{
    const struct move *gap = find(m, missing, true), *odd = find(m, unclear, true);

    *ret_i = odd ? (size_t)(odd - m->v) : 0;
    if (gap && (committed || odd))
        return VERDICT_FILL;
    if (committed)
        return VERDICT_DONE;
    if (odd)
        return VERDICT_REFUSE;
    if (!find(m, moved, true))
        return VERDICT_NOTHING;
    if (!gap && !find(m, is_done, false))
        return VERDICT_DONE;
    if (!find(m, can_forward, false) && !stuck)
        return VERDICT_FORWARD;
    if (find(m, can_back, false))
        return VERDICT_FILL;
    return find(m, is_placed, true) ? VERDICT_BACK : VERDICT_NOTHING;
}

/* First all that leave a place, then all that come to it: the name of a key may have gone from one
 * table to another. */
static void forward(const struct moves *m, moves_fn *fn, void *arg)
{
    for (size_t i = 0; i < m->n; i++) {
        const struct move *v = &m->v[i];
        if (v->live && !v->placed && (v->kind == MOVE_DROP || (replaces(v) && v->staged)))
            fn(arg, v, WHERE_LIVE, WHERE_PLACE);
    }
    for (size_t i = 0; i < m->n; i++)
        if (m->v[i].kind != MOVE_DROP && m->v[i].staged)
            fn(arg, &m->v[i], WHERE_STAGE, WHERE_LIVE);
}

static void back(const struct moves *m, moves_fn *fn, void *arg)
{
    for (size_t i = m->n; i-- > 0;)
        if (replaces(&m->v[i]) && m->v[i].live && m->v[i].placed)
            fn(arg, &m->v[i], WHERE_LIVE, WHERE_STAGE);
    for (size_t i = m->n; i-- > 0;)
        if (m->v[i].placed)
            fn(arg, &m->v[i], WHERE_PLACE, WHERE_LIVE);
}

static void fill(const struct moves *m, moves_fn *fn, void *arg)
{
    for (size_t i = 0; i < m->n; i++)
        if (missing(&m->v[i]))
            fn(arg, &m->v[i], m->v[i].staged ? WHERE_STAGE : WHERE_PLACE, WHERE_LIVE);
}

void moves_each(const struct moves *m, enum verdict verdict, moves_fn *fn, void *arg)
{
    if (verdict == VERDICT_FORWARD)
        forward(m, fn, arg);
    else if (verdict == VERDICT_BACK)
        back(m, fn, arg);
    else if (verdict == VERDICT_FILL)
        fill(m, fn, arg);
}
