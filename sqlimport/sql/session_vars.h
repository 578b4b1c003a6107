/* SPDX-License-Identifier: MIT */
/*
 * session_vars: the session settings that a dump makes with SET, followed without running them.
 *
 * The dump's own SET statements are never sent to a server. What they mean (character set of the
 * text, collation, sql_mode, time zone) is kept per statement as a number of an interned setting,
 * and env_sql() gives the SET that produces it; so a statement can be run on any connection, in
 * any order. Settings outside a small list, and anything global, are refused. One thread while
 * parsing, read-only afterwards.
 */
#ifndef EEFS_SQLIMPORT_SQL_SESSION_VARS_H
#define EEFS_SQLIMPORT_SQL_SESSION_VARS_H

#include "sqlimport/sql/token.h"
#include "sync/common/err.h"
#include "sync/common/opt.h"

struct env;

struct env *env_new(const struct dialect *dialect);
void env_free(struct env *v);

/* Follows one SET statement (l stands behind the word SET). -EPERM with a sentence: refused. */
int env_set(struct env *v, struct lexer *l, struct err *e);

/* A statement that is no SET came by; `object`: one that makes or fills something came before. */
void env_break(struct env *v, bool object);
/* The SETs since then give back all that those of the head saved. */
bool env_is_restored(const struct env *v);
bool env_has_saved(const struct env *v); /* the head did */
/* They set foreign_key_checks to 1, and those of the head to 0. */
bool env_checks_are_back(const struct env *v);
/* The character set of the text now: "utf8mb4", "binary". */
const char *env_charset(const struct env *v);
const char *env_charset_of(const struct env *v, int id);

/* Setting `id` with text in UTF-8: its number. */
int env_as_utf8(struct env *v, int id);
/* sql_mode of setting `id` has this word. */
bool env_has_mode(const struct env *v, int id, const char *mode);

/* The settings now, as a number for env_sql(). */
int env_current(struct env *v);
/* malloc'd SET statement that makes setting `id`. */
char *env_sql(const struct env *v, int id);
/* Collations of all settings: adds them in lower case, each once; and replaces one. */
void env_collations(const struct env *v, struct strlist *ret);
void env_replace_collation(struct env *v, const char *from, const char *to);
/* How text is cut into tokens now, and under setting `id`. */
struct token_mode env_mode(const struct env *v);
struct token_mode env_mode_of(const struct env *v, int id);
/* A server that made setting `id` and shows this sql_mode cuts text as env_mode_of() says. */
bool env_mode_agrees(const struct env *v, int id, const char *modes);

#endif
