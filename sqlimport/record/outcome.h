/* SPDX-License-Identifier: MIT */
/*
 * outcome: how the last good import and the failing dump ended, as history keeps it and report
 * shows it. Strings lie in the structs.
 */
#ifndef EEFS_SQLIMPORT_RECORD_OUTCOME_H
#define EEFS_SQLIMPORT_RECORD_OUTCOME_H

#include <stdint.h>

#include "sqlimport/dump/fault.h"
#include "sync/common/hash.h"

struct last_import {
    int64_t wall_ns; /* 0: none */
    double seconds;
    int64_t tables_changed, rows;
    struct hash hash;
    char dump[256]; /* name of the file */
};

struct failure {
    int64_t count; /* 0: none */
    char dump[256];
    struct hash hash;
    unsigned code; /* the server's error number, 0 when the dump was refused before */
    struct dump_fault where;
    char error[768];
};

#endif
