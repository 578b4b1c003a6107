/* SPDX-License-Identifier: MIT */
/*
 * rowhash: a fast hash over the statements that fill one table, which shows whether they changed.
 *
 * Poly1305 (RFC 8439) under a secret that stays on this machine: ten times as fast as SHA-256, and
 * nobody who can put rows into the dump can make two different sets of rows look equal, for the
 * secret is not known to him. Hashes under different secrets have nothing in common. One thread.
 */
#ifndef EEFS_SQLIMPORT_DUMP_ROWHASH_H
#define EEFS_SQLIMPORT_DUMP_ROWHASH_H

#include "sqlimport/sql/session_vars.h"
#include "sync/common/hash.h"

#define ROWHASH_BYTES 16

struct rowhash;

struct rowhash *rowhash_new(const struct hash *secret);
void rowhash_free(struct rowhash *h); /* NULL is fine */

/* Adds one statement and the settings that it runs under. */
void rowhash_add(struct rowhash *h, const struct session_vars *v, int vars_id, const char *text,
                 size_t len);
/* The hash of all since the start or the last end. */
void rowhash_end(struct rowhash *h, uint8_t ret[ROWHASH_BYTES]);

#endif
