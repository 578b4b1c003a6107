/* SPDX-License-Identifier: MIT */
/*
 * session_vars: the session settings that a dump makes with SET, without running it.
 *
 * The dump's own SET statements are never sent to a server. What they mean (character set of the
 * text, collation, sql_mode, time zone) is kept per statement as a number of an interned setting,
 * and session_vars_sql() gives the SET that produces it; so a statement can be run on any
 * connection, in any order. Settings outside a small list, and anything global, are refused. One
 * thread while parsing, read-only afterwards.
 */
#ifndef EEFS_SQLIMPORT_SQL_SESSION_VARS_H
#define EEFS_SQLIMPORT_SQL_SESSION_VARS_H

#include "sqlimport/sql/token.h"
#include "sync/common/err.h"
#include "sync/common/opt.h"

struct session_vars;

struct session_vars *session_vars_new(const struct dialect *dialect);
void session_vars_free(struct session_vars *v);

/* A statement that is no SET came by; `object`: one that makes or fills something came before. */
void session_vars_break(struct session_vars *v, bool object);
/* The SETs since then give back all that those of the head saved. */
bool session_vars_is_restored(const struct session_vars *v);
bool session_vars_has_saved(const struct session_vars *v); /* the head did */
/* They set foreign_key_checks to 1, and those of the head to 0. */
bool session_vars_checks_are_back(const struct session_vars *v);
/* The character set of the text now: "utf8mb4", "binary". */
const char *session_vars_charset(const struct session_vars *v);
const char *session_vars_charset_of(const struct session_vars *v, int id);

/* Setting `id` with text in UTF-8: its number. */
int session_vars_as_utf8(struct session_vars *v, int id);
/*
 * Setting `id` for a server that is not to look for characters in the text, which takes it a fifth
 * of an INSERT's time: its number, or `id` where that could make a difference. In UTF-8 no byte of
 * a longer character is a quote or a backslash, and literals are stored as they stand when the
 * connection has the character set of the text; so all literals stay the same but N'strings'.
 */
int session_vars_as_bytes(struct session_vars *v, int id);
/* sql_mode of setting `id` has this word. */
bool session_vars_has_mode(const struct session_vars *v, int id, const char *mode);
const char *session_vars_sql_mode(const struct session_vars *v, int id);

/* The settings now, as a number for session_vars_sql(). */
int session_vars_current(struct session_vars *v);
/* malloc'd SET statement that makes setting `id`. */
char *session_vars_sql(const struct session_vars *v, int id);
/* Collations of all settings: adds them in lower case, each once; and replaces one. */
void session_vars_collations(const struct session_vars *v, struct strlist *ret);
void session_vars_replace_collation(struct session_vars *v, const char *from, const char *to);
/* How text is cut into tokens now, and under setting `id`. */
struct token_mode session_vars_mode(const struct session_vars *v);
struct token_mode session_vars_mode_of(const struct session_vars *v, int id);
/* A server that made setting `id` and shows this sql_mode cuts text as session_vars_mode_of() gives
 * it. */
bool session_vars_mode_agrees(const struct session_vars *v, int id, const char *modes);

#endif
