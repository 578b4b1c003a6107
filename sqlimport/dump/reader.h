/* SPDX-License-Identifier: MIT */
/*
 * reader: the bytes of a dump, read ahead and hashed by a thread of its own while another one
 * parses what came before. Bytes are read once, by read(): what was parsed is what was hashed.
 */
#ifndef EEFS_SQLIMPORT_DUMP_READER_H
#define EEFS_SQLIMPORT_DUMP_READER_H

#include <sys/types.h>

#include "sync/common/hash.h"

struct reader;

/* Begins to read fd from offset 0. */
struct reader *reader_new(int fd);
/* The next bytes, in order (a split_reader): count, 0 at the end, -errno. */
ssize_t reader_read(void *reader, void *data, size_t n);
/* Reads what is left, gives hash and size of all, and frees it. After an error of the file they are
 * those of what could be read. */
void reader_end(struct reader *s, struct hash *ret_hash, off_t *ret_size);

#endif
