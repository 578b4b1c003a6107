/* SPDX-License-Identifier: MIT */
/*
 *     CREATE TABLE `t` (                         create: the same without `KEY b`
 *       `id` int NOT NULL,
 *       PRIMARY KEY (`id`),          ─>
 *       KEY `b` (`b`)                            alter:  ALTER TABLE `t` ADD KEY `b` (`b`)
 *     ) ENGINE=InnoDB
 *
 * One pass over the tokens; `done` is how far the text is copied to `create`. At the first thing
 * that is not known for sure it gives up.
 */
#include "sqlimport/sql/deferred_keys.h"

#include <stdlib.h>
#include <strings.h>

#include "sync/common/opt.h"

struct cutting {
    struct lexer l;
    struct token t;
    const char *behind; /* the end of the token before t */
    const char *done;   /* of the text, copied to `create` */
    struct buf *create, *alter;
    bool primary;
    char *counter;        /* the AUTO_INCREMENT column, or NULL */
    struct strlist first; /* first columns of the primary and the unique keys */
    size_t cut;           /* keys */
};

static void next(struct cutting *c)
{
    c->behind = c->l.p;
    lexer_next(&c->l, &c->t);
}

static bool take(struct cutting *c, const char *word)
{
    if (!token_is(&c->t, word))
        return false;
    next(c);
    return true;
}

static bool take_punct(struct cutting *c, char p)
{
    if (!token_is_punct(&c->t, p))
        return false;
    next(c);
    return true;
}

static bool take_type(struct cutting *c, enum token_type type)
{
    if (c->t.type != type)
        return false;
    next(c);
    return true;
}

static bool item_ends(const struct cutting *c)
{
    return token_is_punct(&c->t, ',') || token_is_punct(&c->t, ')');
}

/* CREATE TABLE [IF NOT EXISTS] `name` ( */
static bool read_head(struct cutting *c)
{
    const char *name;
    size_t len;

    next(c);
    if (!take(c, "CREATE") || !take(c, "TABLE"))
        return false;
    if (take(c, "IF") && (!take(c, "NOT") || !take(c, "EXISTS")))
        return false;
    name = c->t.p;
    len = c->t.len;
    if (!take_type(c, TOKEN_NAME) || !take_punct(c, '('))
        return false;
    buf_puts(c->alter, "ALTER TABLE ");
    buf_append(c->alter, name, len);
    return true;
}

/* Words of a column, outside parentheses, that make it one to leave alone. */
static bool strange(const struct token *t)
{
    return token_is(t, "GENERATED") || token_is(t, "AS") || token_is(t, "REFERENCES") ||
           token_is(t, "KEY") || token_is(t, "UNIQUE");
}

static bool read_column(struct cutting *c)
{
    struct token name = c->t;
    int depth = 0;

    for (next(c); depth > 0 || !item_ends(c); next(c)) {
        if (c->t.type == TOKEN_END || (depth == 0 && strange(&c->t)))
            return false;
        if (token_is_punct(&c->t, '('))
            depth++;
        else if (token_is_punct(&c->t, ')'))
            depth--;
        if (depth == 0 && token_is(&c->t, "AUTO_INCREMENT")) {
            free(c->counter);
            c->counter = token_text(&name, c->l.mode);
        }
    }
    return true;
}

/* (`a`,`b`(10) DESC); notes the first column when it is to be. */
static bool read_parts(struct cutting *c, bool note)
{
    if (!take_punct(c, '('))
        return false;
    if (note && c->t.type == TOKEN_NAME) {
        char *name = token_text(&c->t, c->l.mode);
        strlist_add(&c->first, name);
        free(name);
    }
    do {
        if (!take_type(c, TOKEN_NAME))
            return false;
        if (take_punct(c, '(') && (!take_type(c, TOKEN_NUMBER) || !take_punct(c, ')')))
            return false;
        (void)(take(c, "ASC") || take(c, "DESC"));
    } while (take_punct(c, ','));
    return take_punct(c, ')');
}

/* Options that may stand behind the columns, and before them too in old versions. */
static bool read_key_options(struct cutting *c)
{
    for (;;) {
        if (take(c, "USING")) {
            if (!take(c, "BTREE"))
                return false;
        } else if (take(c, "COMMENT")) {
            if (!take_type(c, TOKEN_STRING))
                return false;
        } else {
            return true;
        }
    }
}

static bool read_kept_key(struct cutting *c)
{
    bool primary = take(c, "PRIMARY"), unique = !primary && take(c, "UNIQUE");

    if (!primary && !unique && !take(c, "FULLTEXT"))
        return false;
    c->primary = c->primary || primary;
    if (!take(c, "KEY") || (!primary && !take_type(c, TOKEN_NAME)) || !read_key_options(c) ||
        !read_parts(c, primary || unique))
        return false;
    return read_key_options(c) && item_ends(c);
}

/* A plain key, together with the ',' before it. */
static bool cut_key(struct cutting *c, const char *comma)
{
    const char *key = c->t.p;

    if (!take(c, "KEY") || !take_type(c, TOKEN_NAME) || !read_key_options(c) ||
        !read_parts(c, false) || !read_key_options(c) || !item_ends(c))
        return false;
    buf_append(c->create, c->done, (size_t)(comma - c->done));
    c->done = c->behind;
    buf_puts(c->alter, c->cut++ ? ", ADD " : " ADD ");
    buf_append(c->alter, key, (size_t)(c->behind - key));
    return true;
}

static bool read_items(struct cutting *c)
{
    const char *comma = NULL;

    do {
        if (!(c->t.type == TOKEN_NAME           ? read_column(c)
              : comma && token_is(&c->t, "KEY") ? cut_key(c, comma)
                                                : read_kept_key(c)))
            return false;
        comma = c->t.p;
    } while (take_punct(c, ','));
    return take_punct(c, ')');
}

static bool read_options(struct cutting *c)
{
    bool innodb = false;

    while (c->t.type != TOKEN_END) {
        if (token_is(&c->t, "PARTITION") || token_is(&c->t, "VERSIONING"))
            return false;
        if (take(c, "ENGINE")) {
            (void)take_punct(c, '=');
            innodb = token_is(&c->t, "InnoDB");
        }
        next(c);
    }
    return innodb;
}

static bool counter_is_kept(const struct cutting *c)
{
    for (size_t i = 0; c->counter && i < c->first.n; i++)
        if (strcasecmp(c->first.v[i], c->counter) == 0)
            return true;
    return !c->counter;
}

/* A versioned comment: what it holds depends on the server. */
static bool has_versioned(const char *text, size_t len, struct token_mode mode)
{
    struct lexer l;
    struct token t;

    lexer_init(&l, text, len, mode);
    for (lexer_next(&l, &t); t.type != TOKEN_END; lexer_next(&l, &t))
        if (t.versioned)
            return true;
    return false;
}

bool deferred_keys_cut(const char *text, size_t len, struct token_mode mode, struct buf *create,
                       struct buf *alter)
{
    struct cutting c = {.done = text, .create = create, .alter = alter};
    bool ok;

    lexer_init(&c.l, text, len, mode);
    ok = !has_versioned(text, len, mode) && read_head(&c) && read_items(&c) && read_options(&c) &&
         c.primary && c.cut > 0 && counter_is_kept(&c);
    if (ok)
        buf_append(create, c.done, (size_t)(text + len - c.done));
    free(c.counter);
    strlist_release(&c.first);
    return ok;
}
