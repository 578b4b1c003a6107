/* SPDX-License-Identifier: MIT */
/*
 * One pass over the dump: each statement goes to classify(), which adds it to the objects, and
 * leaves a trace in struct tail, by which check_end() distinguishes a whole dump from one that was
 * cut off.
 */
#include "sqlimport/dump/dump_read.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sqlimport/dump/classify.h"
#include "sqlimport/dump/reader.h"
#include "sqlimport/sql/charset.h"
#include "sync/common/printable.h"

#define RANGES_MAX  1000000 /* in one dump */
#define OBJECTS_MAX 20000   /* in one dump; ExpressionEngine has 120 */

/* A sentence may quote the dump: nothing in it may reach a terminal or a log as it is. */
static void make_printable(struct err *e)
{
    char text[sizeof(e->text)];

    if (!e)
        return;
    printable_excerpt(text, sizeof(text), e->text, strlen(e->text));
    strcpy(e->text, text);
}

/* --- the end --- */

/* Facts about the statements that check_end() needs. */
struct tail {
    bool transaction; /* began before the first object */
    bool commit;      /* the last statement is a COMMIT */
    bool open;        /* rows came in a transaction that is not committed yet */
    bool began;       /* a transaction did */
    bool notes;       /* the last one gives back SQL_NOTES or NOTE_VERBOSITY */
};

/* The last of mysqldump's when it writes no comments. */
static bool gives_back_notes(const struct statement *st)
{
    return st->len < 200 &&
           (memmem(st->text, st->len, "NOTES=@OLD_SQL_NOTES", 20) != NULL ||
            memmem(st->text, st->len, "VERBOSITY=@OLD_NOTE_VERBOSITY", 29) != NULL);
}

static void note_tail(struct tail *t, struct dump *d, const struct statement *st)
{
    struct lexer l;
    struct token word;

    lexer_init(&l, st->text, st->len, session_vars_mode(d->vars));
    lexer_next(&l, &word);
    t->notes = gives_back_notes(st);
    if (token_is(&word, "SET") || word.type == TOKEN_END)
        return;
    session_vars_break(d->vars, d->n > 0);
    if (token_is(&word, "INSERT") || token_is(&word, "REPLACE"))
        t->open = t->began;
    else if (token_is(&word, "START") || token_is(&word, "BEGIN"))
        t->began = true;
    else if (!token_is(&word, "DO") && !token_is(&word, "DELETE"))
        t->open = t->began = false; /* by itself, or as all that makes something commits */
    t->commit = token_is(&word, "COMMIT");
    t->transaction = t->transaction || (d->n == 0 && token_is(&word, "START"));
}

/* The dump ends with what its maker writes at the end. */
static bool is_ended(const struct split *s, const struct dump *d, const struct tail *t)
{
    enum maker m = split_maker(s);

    if (m == MAKER_MYSQLDUMP || split_is_completed(s))
        return split_is_completed(s);
    if (m == MAKER_ADMINER)
        return split_is_closed(s);
    return session_vars_is_restored(d->vars) || t->notes ||
           (m == MAKER_NAVICAT && session_vars_checks_are_back(d->vars)) ||
           (m == MAKER_PHPMYADMIN && !session_vars_has_saved(d->vars) && t->transaction &&
            t->commit);
}

static int no_end(const struct split *s, struct dump *d, struct err *e)
{
    enum maker m = split_maker(s);

    if (m == MAKER_UNKNOWN && strcasecmp(session_vars_charset(d->vars), "binary") == 0)
        m = MAKER_MYDUMPER;
    if (m == MAKER_MYSQLDUMP)
        return err_set(e, EPROTO, "the dump is cut off: '-- Dump completed' is missing at its end");
    if (maker_marks_end(m) || session_vars_has_saved(d->vars))
        return err_set(e, EPROTO,
                       "the dump is cut off: the lines that %s writes at the end are missing",
                       maker_name(m));
    d->unmarked = true;
    return err_set(e, EPROTO,
                   "the dump was made by %s without a mark at its end, so it cannot be told from "
                   "one that is cut off; make it with mysqldump (without --compact), or, if it is "
                   "certainly whole, import it with --accept-unmarked-end",
                   maker_name(m));
}

static int check_end(struct split *s, struct dump *d, const struct tail *t, struct err *e)
{
    bool any = false;
    int r;

    for (size_t i = 0; i < d->n; i++) {
        const struct object *o = d->objects[i];
        any = any || object_is_table(o);
        if (!o->ddl)
            return err_set(e, EPROTO,
                           "the dump has rows of table '%.100s', but no CREATE TABLE for it: dump "
                           "the whole database into one file, without --no-create-info",
                           o->name);
    }
    if (!any)
        return err_set(e, EPROTO, "the dump holds no table");
    for (size_t i = 0; i < d->n; i++)
        if (d->objects[i]->kind == OBJECT_VIEW && dump_find(d, OBJECT_TABLE, d->objects[i]->name))
            return err_set(e, EPERM, "the dump creates '%.100s' both as a table and as a view",
                           d->objects[i]->name);
    if (t->open) /* the end of the client's session would roll them back */
        return err_set(e, EPROTO, "the dump is cut off: it ends within a transaction");
    r = is_ended(s, d, t) ? 0 : no_end(s, d, e);
    if (r < 0 && !d->unmarked)
        return r;
    for (size_t i = 0; i < d->placeholders.n; i++)
        if (!dump_find(d, OBJECT_VIEW, d->placeholders.v[i]))
            return err_set(e, EPERM,
                           "the dump creates table '%.100s' within a versioned comment, and no "
                           "view of that name follows",
                           d->placeholders.v[i]);
    return r;
}

/* A better sentence for a statement that was refused, where its maker or its text explains it. */
static int explain(const struct dump *d, const struct statement *st, enum maker m, int r,
                   struct err *e)
{
    int error;

    if (maker_is_foreign(m))
        return err_set(e, EPROTO,
                       "the dump was made by %s, whose format an import does not read: make it "
                       "with mysqldump or eefs-sqldump",
                       maker_name(m));
    if (maker_complains(st->text, st->len, &error))
        return err_set(e, EPROTO,
                       error ? "the dump holds an error message of mysqldump (error %d): read it "
                               "there, and make the dump again, without 2>&1"
                             : "the dump holds an error message of mysqldump: read it there, and "
                               "make the dump again, without 2>&1",
                       error);
    if (st->rows == 0 && charset_is_utf8(session_vars_charset(d->vars)) &&
        !charset_is_valid_utf8(st->text, st->len))
        return err_set(e, r == 0 ? EPERM : -r,
                       "a name is not in the character set that the dump declares: make the dump "
                       "with --default-character-set=utf8mb4");
    return r;
}

int dump_read_split(struct split *s, struct dump *d, struct dump_fault *fault, struct err *e)
{
    struct statement st;
    struct tail tail = {0};
    int r;

    memset(fault, 0, sizeof(*fault));
    while ((r = split_next(s, &st, e)) == 1) {
        struct object *o = NULL;

        r = classify(d, &st, &o, e);
        if (r == 0 && d->n > OBJECTS_MAX)
            r = err_set(e, EPERM, "the dump creates more than %d tables, views and the like",
                        OBJECTS_MAX);
        if (r == 0 && d->ranges > RANGES_MAX)
            r = err_set(e, EPERM,
                        "the rows of tables are scattered over more than %d places: dump one table "
                        "after the other",
                        RANGES_MAX);
        if (r < 0) {
            r = explain(d, &st, split_maker(s), r, e);
            fault->offset = st.offset;
            fault->line = st.line;
            if (o)
                snprintf(fault->table, sizeof(fault->table), "%s", o->name);
            err_prefix(e, "line %llu", (unsigned long long)st.line);
            make_printable(e);
            return r;
        }
        split_set_mode(s, session_vars_mode(d->vars));
        note_tail(&tail, d, &st);
    }
    fault->offset = split_offset(s);
    if (d->discarded)
        dump_remove_discarded(d);
    d->unreadable = split_is_unreadable(s);
    if (r == 0)
        r = check_end(s, d, &tail, e);
    for (size_t i = 0; i < d->n; i++)
        object_end(d->objects[i]);
    return r;
}

int dump_read(int fd, const struct hash *secret, const struct dialect *dialect, struct dump **ret,
              struct dump_fault *fault, struct err *e)
{
    struct reader *src = reader_new(fd);
    struct split *s = split_new(reader_read, src, SPLIT_READ_SIZE);
    struct dump *d = dump_new(secret, dialect);
    int r = dump_read_split(s, d, fault, e);

    /* A refused dump is known by its hash all the same. */
    reader_end(src, &d->hash, &d->size);
    split_free(s);
    *ret = d;
    return r;
}
