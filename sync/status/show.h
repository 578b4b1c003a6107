/* SPDX-License-Identifier: MIT */
/* show: the text that eefs-status prints for people. */
#ifndef EEFS_STATUS_SHOW_H
#define EEFS_STATUS_SHOW_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/* The machine's state in a line, and one block per mount, master and import of what look() found,
 * with its lists. `colour`: with the escape sequences of a terminal. */
void show(json_t *all, FILE *f, bool colour);

/* One phrase: what is worst, or what there is; not escaped. The caller frees. */
char *show_summary(json_t *all);

/* True when stdout is a terminal that may get colours ($NO_COLOR and $TERM forbid them). */
bool show_wants_colour(void);

#endif
