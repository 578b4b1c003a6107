/* SPDX-License-Identifier: MIT */
/*
 * intent_log: one change, once, also when the server is killed between a change in the folder and
 * its commit. Before an operation moves a file (out of staging, to another name, or away) it
 * records which inode goes where (db/intents.h), and commits that. The next start looks for that
 * inode before anything else touches staging; if the move was made, the repeated operation is
 * answered and not made again: people may have renamed, edited or removed the file meanwhile.
 *
 * Each operation has a row of its own, until it is answered. A row counts in the boot and for the folder that it
 * was made in: after a power failure rows and names need not be of the same moment, and a copy of
 * the folder has other inodes. Nor does it where inode numbers are made up (fstype.h). Then a
 * repeated operation judges by content alone.
 */
#ifndef EEFS_MASTER_OPS_INTENT_LOG_H
#define EEFS_MASTER_OPS_INTENT_LOG_H

#include "sync/master/db/intents.h"
#include "sync/master/ops/context.h"

/*
 * Records and commits that the operation is about to move staging file `staged` (NULL: the file at
 * the operation's path) to `lands` (NULL: out of the folder), and with which result; goes on in a
 * new transaction (tree_step). 0 or an error.
 */
int intent_log_note(struct apply *j, const char *staged, const char *lands, enum op_result result);
/* The same for who notes several moves, and commits them together before it makes the first. */
int intent_log_write(struct apply *j, const char *staged, const char *lands, enum op_result result);
/* The operation is answered, or will not be made: its row goes, within the transaction. */
int intent_log_forget(struct apply *j);
/* Withdraws the note, if there is one, because the move is not made, or not so; called before its
 * staging file goes elsewhere; goes on in a new transaction. 0 or an error of the database. */
int intent_log_withdraw(struct apply *j);
/* Removes staging file `tmp` ("": none), which was not moved; if that was noted, not before the
 * note is gone: else a kill would make it look moved. */
void intent_log_discard(struct apply *j, const char *tmp);

/* 1: an earlier run made this operation, as *ret says (the caller releases it). 0: no, or unknown. An
 * error of the database. *ret is empty then. */
int intent_log_made(struct apply *j, struct intent *ret);

/* At the start, before staging is cleaned: judges the unfinished moves of an earlier run. Within
 * the caller's transaction. 0 or -errno of the database. */
int intent_log_judge(struct master *m);

#endif
