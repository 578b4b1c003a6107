/* SPDX-License-Identifier: MIT */
/*
 * keep_rules: decides which parts of the database stay this server's own: tables that an import
 * leaves alone once they are there, and columns whose values it leaves alone.
 *
 * ExpressionEngine's own ones (sessions, throttles; a site's checksums of its files) are known by
 * their names behind the prefix of its tables. A prefix is what stands in front of both "sessions"
 * and "channel_titles" (or "weblog_titles", of old) among the tables that are seen; there may be
 * several, and an empty one. Where none is seen, and none is given, it is "exp_". One thread.
 */
#ifndef EEFS_SQLIMPORT_PLAN_KEEP_RULES_H
#define EEFS_SQLIMPORT_PLAN_KEEP_RULES_H

#include "sync/common/err.h"
#include "sync/common/opt.h"

struct keep_rules;

struct keep_args {
    const struct strlist *patterns; /* tables, as of fnmatch(3) */
    const struct strlist *columns;  /* TABLE.COLUMN, names with a dot or backtick in backticks */
    const struct strlist *prefixes; /* none: they are found */
    bool defaults;                  /* ExpressionEngine's own ones too */
};

/* -EINVAL: a column that is not of that form. *args must live as long. */
int keep_rules_new(const struct keep_args *args, struct keep_rules **ret, struct err *e);
void keep_rules_free(struct keep_rules *k);

/* Begins anew with the tables that are there; then each of them; then the prefixes are known. */
void keep_rules_begin(struct keep_rules *k);
void keep_rules_see(struct keep_rules *k, const char *table);
void keep_rules_end(struct keep_rules *k);

bool keep_rules_table(const struct keep_rules *k, const char *name);
/* Calls fn for each column of a table that is to be kept. `asked`: it was asked for by name, and is
 * not only on ExpressionEngine's list. */
typedef void keep_fn(void *arg, const char *column, bool asked);
void keep_rules_columns(const struct keep_rules *k, const char *table, keep_fn *fn, void *arg);
/* Columns asked for by name whose table was not seen: the first, as it was written, or NULL. */
const char *keep_rules_lost(const struct keep_rules *k);
/* The sentence is not empty, and comes for the first time: it is to be reported. */
bool keep_rules_report(struct keep_rules *k, const char *sentence);

#endif
