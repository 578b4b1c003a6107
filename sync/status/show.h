/* SPDX-License-Identifier: MIT */
/* show: the text that eefs-status prints for people. */
#ifndef EEFS_STATUS_SHOW_H
#define EEFS_STATUS_SHOW_H

#include <jansson.h>

/* One block per mount, master and import of what look() found, with its lists, to stdout. */
void show(json_t *all);

#endif
