/* SPDX-License-Identifier: MIT */
/*
 * define: statements that make, alter and drop objects; the cursor stands at their first word. 0,
 * or -EPERM with a sentence. One thread.
 */
#ifndef EEFS_SQLIMPORT_DUMP_DEFINE_H
#define EEFS_SQLIMPORT_DUMP_DEFINE_H

#include "sqlimport/dump/reading.h"

int define_create(struct reading *r);
int define_alter(struct reading *r);
int define_drop(struct reading *r);

#endif
