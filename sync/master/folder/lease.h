/* SPDX-License-Identifier: MIT */
/*
 * lease: tests whether a writer has a file open (a shared writable mapping counts), by a read lease
 * (fcntl(2), F_SETLEASE), which the kernel refuses with EAGAIN then. A filesystem without leases,
 * one whose leases do not know of other machines' writers, or a file of another owner without
 * CAP_LEASE gives no answer: then a file that has not changed for --quiet-time counts as closed.
 */
#ifndef EEFS_MASTER_FOLDER_LEASE_H
#define EEFS_MASTER_FOLDER_LEASE_H

#include <stdbool.h>

enum writers { WRITERS_NONE, WRITERS_SOME, WRITERS_UNKNOWN };

/* fd is opened for reading. */
enum writers lease_probe(int fd);
/* The same; WRITERS_NONE: a program that opens the file for writing from now on waits until fd is
 * closed. */
enum writers lease_take(int fd);
/* After WRITERS_NONE of lease_take(): does a writer wait? */
bool lease_broken(int fd);

#endif
