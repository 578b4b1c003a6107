/* SPDX-License-Identifier: MIT */
/*
 * unpack: a dump that was compressed with gzip or zstd, unpacked into a file without a name, which
 * is gone with its descriptor. Thread safe.
 */
#ifndef EEFS_SQLIMPORT_DUMP_UNPACK_H
#define EEFS_SQLIMPORT_DUMP_UNPACK_H

#include "sqlimport/dump/form.h"
#include "sync/common/hash.h"

/*
 * Limits against a file that was made to fill the disk: it may grow to UNPACK_FREE bytes, and
 * beyond that to UNPACK_TIMES its size; an eighth of the disk stays free, or UNPACK_RESERVE bytes.
 */
#define UNPACK_FREE    ((off_t)1 << 30)
#define UNPACK_TIMES   250
#define UNPACK_RESERVE ((uint64_t)1 << 30)

/*
 * Unpacks all of fd (from offset 0) into a new file in the folder `dir`: *ret_fd, to be read from
 * offset 0, is the caller's. *ret_hash is of fd's own bytes. -EPROTO: damaged, cut off, beyond the
 * limits, or what is in it is compressed again; -ENOSPC; -EINTR: *stop; other -errno.
 */
int unpack(int fd, enum form form, const char *dir, const volatile int *stop, int *ret_fd,
           struct hash *ret_hash, struct err *e);

#endif
