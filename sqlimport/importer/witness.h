/* SPDX-License-Identifier: MIT */
/*
 * witness: proves later, by its times alone, that a file still has the bytes that were read from
 * it.
 *
 * It is silent (and the bytes have to be read again) where that does not follow from the times.
 * Taking one breaks no lease of others, but a program that opens the file for writing at that
 * moment makes the kernel send SIGIO to this one: the caller ignores that signal. Any thread.
 */
#ifndef EEFS_SQLIMPORT_IMPORTER_WITNESS_H
#define EEFS_SQLIMPORT_IMPORTER_WITNESS_H

#include <stdbool.h>
#include <sys/stat.h>

struct witness {
    bool speaks; /* false: it cannot say anything */
    struct stat st;
};

/* Looks at the open file. To be done before the first byte is read that it is to vouch for. */
void witness_take(struct witness *w, int fd);
/* True: nothing was written to the file since, nor was it renamed, linked or given other times. */
bool witness_holds(const struct witness *w, int fd);
/* The same of a file that was renamed since by the caller, right after witness_holds(): true when
 * `now` is that file, and nothing was written to it. */
bool witness_holds_renamed(const struct witness *w, const struct stat *now);

#endif
