/* SPDX-License-Identifier: MIT */
/*
 * body_names: words and names within a statement of a body: which of them name a table of another
 * database, a file, or a setting of the server. Results are as of body_reader.h.
 */
#ifndef EEFS_SQLIMPORT_SQL_BODY_NAMES_H
#define EEFS_SQLIMPORT_SQL_BODY_NAMES_H

#include "sqlimport/sql/body_reader.h"

/* Steps over the bare word, or the quoted name (with all that dots append to it), at hand. */
int body_word(struct body *b);
int body_name(struct body *b);
/* Judges the variable at hand, to which SET assigns; steps over nothing. */
int body_check_target(struct body *b);

#endif
