/* SPDX-License-Identifier: MIT */
/*
 * fault: the place at which a dump was refused, or a statement of it by the server. It holds
 * nothing of the text: rows hold addresses and password hashes, and this goes into logs and into a
 * file that everybody may read.
 */
#ifndef EEFS_SQLIMPORT_DUMP_FAULT_H
#define EEFS_SQLIMPORT_DUMP_FAULT_H

#include <stdint.h>
#include <sys/types.h>

struct dump_fault {
    char table[256]; /* "" when unknown */
    off_t offset;    /* bytes from the dump's begin */
    uint64_t line;   /* from 1; 0 when unknown */
};

#endif
