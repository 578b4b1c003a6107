/* SPDX-License-Identifier: MIT */
/* fitness: the latest verdict whether this mirror is fit to serve visitors. Thread safe. */
#ifndef EEFS_MIRROR_CONTROL_FITNESS_H
#define EEFS_MIRROR_CONTROL_FITNESS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct fitness;

#define FITNESS_BAD  3 /* looks in a row that make it unfit … */
#define FITNESS_GOOD 2 /* … and fit again */

struct fitness *fitness_new(void);
void fitness_free(struct fitness *f); /* NULL is fine */

/* One look: `why` is the reason why it is not fit, "" when it is. The verdict follows after some
 * looks in a row that agree; the first look decides alone. check_ms: the time of the check's page, -1:
 * none was asked for. weight: 1 to 100. */
void fitness_look(struct fitness *f, const char *why, int weight, int64_t check_ms);

bool fitness_is_fit(struct fitness *f, int *weight);
/* {"fit":bool,"reason","weight"[,"check_ms"]}, new reference; NULL before the first look. */
json_t *fitness_json(struct fitness *f);

/* 100 while no more processes want to run than there are cores (per_core <= 1) and the page comes
 * within a quarter of a second; divided by how many times more it is of either. */
int fitness_weight(double per_core, int64_t check_ms);

#endif
