/* SPDX-License-Identifier: MIT */
/*
 * CREATE TABLE `t` (`id` int NOT NULL, …) ENGINE=InnoDB
 *                   |__ an item ___|    ^ close
 *
 * ADD … becomes an item before `close`, MODIFY replaces the item of its column, AUTO_INCREMENT=n
 * goes behind `close`.
 */
#include "sqlimport/sql/alter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct cursor {
    struct lexer l;
    struct token t;
};

/* A part of a text, from `p` up to `end`. */
struct part {
    const char *p, *end;
};

static void next(struct cursor *c)
{
    lexer_next(&c->l, &c->t);
}

static bool take(struct cursor *c, const char *word)
{
    if (!token_is(&c->t, word))
        return false;
    next(c);
    return true;
}

/* Up to the ',' or ')' that ends what begins here; false: the text ends before. */
static bool skip_item(struct cursor *c, struct part *ret)
{
    int depth = 0;

    ret->p = ret->end = c->t.p;
    for (; c->t.type != TOKEN_END; next(c)) {
        if (depth == 0 && (token_is_punct(&c->t, ',') || token_is_punct(&c->t, ')')))
            return true;
        if (token_is_punct(&c->t, '('))
            depth++;
        else if (token_is_punct(&c->t, ')'))
            depth--;
        ret->end = c->t.p + c->t.len;
    }
    return false;
}

/* Stands behind the '(' of the items. */
static bool open_items(struct cursor *c, const struct buf *create, struct token_mode mode)
{
    lexer_init(&c->l, create->data, create->len, mode);
    do
        next(c);
    while (c->t.type != TOKEN_END && !token_is_punct(&c->t, '('));
    next(c);
    return c->t.type != TOKEN_END;
}

/* The ')' behind the last item, with c behind it. */
static const char *find_close(struct cursor *c, const struct buf *create, struct token_mode mode)
{
    struct part item;
    const char *close;

    if (!open_items(c, create, mode))
        return NULL;
    while (skip_item(c, &item)) {
        close = c->t.p;
        if (token_is_punct(&c->t, ')')) {
            next(c);
            return close;
        }
        next(c);
    }
    return NULL;
}

/* Puts `text` in the place of a part of `create`. */
static void replace(struct buf *create, const struct part *old, const char *before,
                    const struct part *text)
{
    struct buf b = BUF_INIT;

    buf_append(&b, create->data, (size_t)(old->p - create->data));
    buf_puts(&b, before);
    buf_append(&b, text->p, (size_t)(text->end - text->p));
    buf_append(&b, old->end, (size_t)(create->data + create->len - old->end));
    buf_release(create);
    *create = b;
}

static int cannot(struct err *e, const char *what)
{
    return err_set(e, EPERM, "the dump alters a table %s, which an import does not allow", what);
}

static bool begins_key(const struct token *t)
{
    static const char *const words[] = {"PRIMARY", "UNIQUE",     "KEY",     "INDEX", "FULLTEXT",
                                        "SPATIAL", "CONSTRAINT", "FOREIGN", "CHECK"};

    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        if (token_is(t, words[i]))
            return true;
    return false;
}

/* keys: ", KEY …, KEY …" */
static int add_keys(struct buf *create, const struct buf *keys, struct token_mode mode,
                    struct err *e)
{
    struct cursor c;
    const char *close = find_close(&c, create, mode);
    struct part at = {close, close}, text = {keys->data, keys->data + keys->len};

    if (!close)
        return cannot(e, "whose CREATE cannot be read");
    replace(create, &at, "", &text);
    return 0;
}

static bool same_token(const struct token *a, const struct token *b)
{
    return a->type == b->type && a->len == b->len &&
           (a->type == TOKEN_WORD ? strncasecmp(a->p, b->p, a->len) : memcmp(a->p, b->p, a->len)) ==
               0;
}

static void next_but_counter(struct cursor *c, bool *counter)
{
    for (next(c); token_is(&c->t, "AUTO_INCREMENT"); next(c))
        *counter = true;
}

/* The column is what it was, apart from AUTO_INCREMENT, which it has now. */
static bool is_same_with_counter(const struct part *old, const struct part *new,
                                 struct token_mode mode)
{
    struct cursor a, b;
    bool had = false, has = false;

    lexer_init(&a.l, old->p, (size_t)(old->end - old->p), mode);
    lexer_init(&b.l, new->p, (size_t)(new->end - new->p), mode);
    do {
        next_but_counter(&a, &had);
        next_but_counter(&b, &has);
        if (!same_token(&a.t, &b.t))
            return false;
    } while (a.t.type != TOKEN_END);
    return has;
}

static bool same_name(const struct token *a, const struct token *b, struct token_mode mode)
{
    char *x = token_text(a, mode), *y = token_text(b, mode);
    bool same = strcasecmp(x, y) == 0;

    free(x);
    free(y);
    return same;
}

/* `name` is the first token of `column`. */
static int modify(struct buf *create, const struct token *name, const struct part *column,
                  struct token_mode mode, bool *ret_counter, struct err *e)
{
    struct cursor c;
    struct token first;
    struct part item;
    bool more = open_items(&c, create, mode);

    while (more) {
        first = c.t;
        more = skip_item(&c, &item);
        if ((first.type == TOKEN_NAME || (first.type == TOKEN_WORD && !begins_key(&first))) &&
            same_name(&first, name, mode)) {
            if (!is_same_with_counter(&item, column, mode))
                return cannot(e, "and not only by AUTO_INCREMENT");
            replace(create, &item, "", column);
            *ret_counter = true;
            return 0;
        }
        more = more && token_is_punct(&c.t, ',');
        next(&c);
    }
    return cannot(e, "in a column that it does not have");
}

static int set_counter(struct buf *create, const struct token *number, struct token_mode mode,
                       struct err *e)
{
    struct cursor c;
    const char *close = find_close(&c, create, mode);
    struct part new = {number->p, number->p + number->len}, old;
    int depth = 0;

    if (!close)
        return cannot(e, "whose CREATE cannot be read");
    for (; c.t.type != TOKEN_END; next(&c)) {
        depth += token_is_punct(&c.t, '(') - token_is_punct(&c.t, ')');
        if (depth > 0 || !take(&c, "AUTO_INCREMENT"))
            continue;
        if (token_is_punct(&c.t, '='))
            next(&c);
        old = (struct part){c.t.p, c.t.p + c.t.len};
        replace(create, &old, "", &new);
        return 0;
    }
    old = (struct part){close + 1, close + 1};
    replace(create, &old, " AUTO_INCREMENT=", &new);
    return 0;
}

/* An ALTER on its way through. */
struct altering {
    struct cursor c;
    struct buf *create;
    struct buf keys; /* to be added */
    bool counter;    /* a column became AUTO_INCREMENT */
    bool counted;    /* AUTO_INCREMENT=n */
};

/* One of its actions; stands behind it. */
static int act(struct altering *a, struct err *e)
{
    struct token_mode mode = a->c.l.mode;
    struct cursor *c = &a->c;
    struct token first;
    struct part text;

    if (take(c, "ADD")) {
        if (!begins_key(&c->t))
            return cannot(e, "by adding something else than a key");
        (void)skip_item(c, &text);
        buf_puts(&a->keys, ", ");
        buf_append(&a->keys, text.p, (size_t)(text.end - text.p));
        return a->keys.len > ALTER_DDL_MAX ? cannot(e, "by more than 512 KB") : 0;
    }
    if (!a->counter && take(c, "MODIFY")) {
        (void)take(c, "COLUMN");
        first = c->t;
        (void)skip_item(c, &text);
        return modify(a->create, &first, &text, mode, &a->counter, e);
    }
    if (!a->counted && take(c, "AUTO_INCREMENT")) {
        a->counted = true;
        if (token_is_punct(&c->t, '='))
            next(c);
        first = c->t;
        if (first.type != TOKEN_NUMBER)
            return cannot(e, "in an unknown way");
        next(c);
        return set_counter(a->create, &first, mode, e);
    }
    return cannot(e, "in an unknown way");
}

int alter_table(struct buf *create, struct lexer *l, bool *ret_counter, struct err *e)
{
    struct altering a = {.c = {.l = *l}, .create = create};
    int r = create->len > ALTER_DDL_MAX ? cannot(e, "whose CREATE is larger than 512 KB") : 0;

    while (r == 0) {
        next(&a.c);
        r = act(&a, e);
        if (!token_is_punct(&a.c.t, ','))
            break;
    }
    if (r == 0 && a.c.t.type != TOKEN_END)
        r = cannot(e, "in an unknown way");
    if (r == 0 && a.keys.len > 0)
        r = add_keys(create, &a.keys, a.c.l.mode, e);
    buf_release(&a.keys);
    *ret_counter = a.counter;
    return r;
}
