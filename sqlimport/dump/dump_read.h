/* SPDX-License-Identifier: MIT */
/*
 * dump_read: reads and judges a whole dump before any of it is run.
 *
 * The dump is cut into statements; only those on the list of classify.c are accepted, and sorted by
 * the object that they make. A statement is what the server of `dialect` reads. One thread.
 */
#ifndef EEFS_SQLIMPORT_DUMP_DUMP_READ_H
#define EEFS_SQLIMPORT_DUMP_DUMP_READ_H

#include "sqlimport/dump/fault.h"
#include "sqlimport/dump/objects.h"
#include "sqlimport/sql/split.h"

/*
 * Reads the dump from offset 0 of fd; `secret` is this machine's for rowhash. -EPROTO: cut off or
 * not a dump; -EPERM: a statement that an import does not run; then *fault says where. Caller frees
 * *ret, also after an error.
 */
int dump_read(int fd, const struct hash *secret, const struct dialect *dialect, struct dump **ret,
              struct dump_fault *fault, struct err *e);
/* The same from a reader into an empty dump, for tests and the fuzzer. */
int dump_read_split(struct split *s, struct dump *d, struct dump_fault *fault, struct err *e);

#endif
