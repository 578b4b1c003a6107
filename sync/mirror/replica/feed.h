/* SPDX-License-Identifier: MIT */
/*
 * feed: the replica's other face, for pull and push (never for fs): feed pages into the base,
 * operations out of the outbox, answers into both. Implemented beside replica.c on the same
 * database.
 *
 * Every call that changes the view returns the paths whose view really changed (type, content,
 * attributes, existence; compared before and after inside the transaction), plus nothing for the
 * echo of the mirror's own changes. The caller passes them to fs after the call.
 */
#ifndef EEFS_MIRROR_REPLICA_FEED_H
#define EEFS_MIRROR_REPLICA_FEED_H

#include "sync/common/opt.h"
#include "sync/mirror/replica/replica.h"
#include "sync/proto/op.h"
#include "sync/proto/scope.h"

/* Opens CACHE/replica.db. -EUCLEAN: it is damaged. Rows of unpublished creations of a killed run
 * are dropped. */
int replica_open(const char *cache, bool read_only, struct replica **ret, struct err *e);
void replica_close(struct replica *r);

/*
 * Moves the database and its log to a folder of their own in CACHE/damaged; contents and the record
 * of unsent changes stay. 0 or -errno with e; the call may be repeated then.
 */
int replica_move_aside(const char *cache, struct err *e);

/*
 * A new database in place of a damaged one, while the replica is in use: from here to
 * replica_renewed() every call of another thread gives -EUCLEAN (or "not known", where it returns
 * no errors), and the caller, always the same thread, fills it: hello, a full listing,
 * replica_put_back(). Numbers of operations and inodes continue. 0 or -errno with e: the replica
 * stays closed until a repeated call succeeds.
 */
int replica_renew(struct replica *r, struct err *e);
/* Ends the renewal: new files that were open and unpublished get their names back, and all threads
 * are let in. */
void replica_renewed(struct replica *r);
/* Between the two. */
bool replica_is_renewing(struct replica *r);

/*
 * When the database is new or older than the record of unsent changes (unsent_log.h): restores the
 * operations and local entries that it lacks, after the first listing and before anything else.
 * has() reports whether a content is in the store, or may be when that cannot be known; paths
 * without one are added to `lost`. The number of restored entries (0: nothing to do) or -errno.
 */
int replica_put_back(struct replica *r, bool (*has)(void *arg, const struct hash *h, int64_t size),
                     void *arg, struct strlist *lost);

/* The database is new or older, and there is a record from which replica_put_back() completes it.
 */
bool replica_wants_back(const struct replica *r);

/* True when a first listing was completed once. */
bool replica_is_complete(struct replica *r);

/* malloc'd text, "" when unknown: the master's id, the address where it last said hello, the outbox
 * id (made at first open), the cursor. */
char *replica_master_id(struct replica *r);
char *replica_url(struct replica *r);
char *replica_outbox_id(struct replica *r);
char *replica_cursor(struct replica *r);

/* The content of a hello; persisted, so that scope, excludes and volumes hold while the master is
 * away. -EXDEV when master_id is not the one that this cache belongs to. */
struct remote {
    const char *master_id;
    const char *url;
    const char *name;
    int64_t scopegen;
    bool folder_times; /* not persisted: without contact no entries come */
    struct scope scope;
    struct strlist exclude;
    struct strlist volumes; /* tree paths; empty when the master does not report them */
};
void replica_set_read_only(struct replica *r, bool read_only);

/* Before threads start: how the replica asks whether a content is in the store. */
typedef bool replica_has_fn(void *arg, const struct hash *h, int64_t size);
void replica_set_contents(struct replica *r, replica_has_fn *fn, void *arg);

/* 1: the set of writable paths has changed. */
int replica_set_remote(struct replica *r, const struct remote *remote);

/* --- feed --- */

/* Stages the entries of a page (durably enough to go on after a restart is not needed). `full`:
 * this is a full listing. */
int replica_feed_stage(struct replica *r, const struct entry *entries, size_t n);
/*
 * Records an entry of the page set that cannot be applied: its path (as far as it is known, in any
 * form, "" if not), and the reason. The replica's entry there stays; a set with an unknown path
 * removes no entry that it does not list.
 */
int replica_feed_skip(struct replica *r, const char *path, const char *why);
/* How many are left out now, and some of them: new reference [{"path","why"}]. */
int64_t replica_skipped(struct replica *r, json_t **list);

/* Drops what was staged (page set broken off, reset). Call it on every reset, before the new
 * listing: it also forgets which paths the master confirmed under the old numbers. */
int replica_feed_drop(struct replica *r);
/*
 * Applies everything staged together with the cursor in one transaction. `full`: staged entries
 * are the whole tree: base rows not among them are removed, and all older seqs are void. Entries
 * older than the row's seq are skipped (rule 4). Overlay children of a folder that vanishes keep it
 * visible.
 */
int replica_feed_commit(struct replica *r, const char *cursor, bool full, struct strlist *changed);

/* --- outbox --- */

/* Sets a new outbox id: to the master this is another mirror's queue from now on, and its
 * operations are sent as new. For a cache that was copied. 0 or -errno. */
int replica_outbox_renew(struct replica *r);

/* Up to `max` operations in order with opid > `after` that are ready to be sent (published, not
 * quarantined, not depending on a quarantined one); op.n is the opid. The caller releases them.
 * Stops before an operation on a path whose earlier put is unanswered: should that become a
 * conflict copy, what follows belongs to the copy. Returns the number or -errno. */
int replica_outbox_take(struct replica *r, int64_t after, size_t max, struct op *ret);

/* Right before they are sent: from here on nothing is coalesced into them. Returns how many of the
 * first ones are still in the log as they were taken; only those may be sent, and have op.known
 * from here on. Or -errno. */
int replica_outbox_sent(struct replica *r, struct op *ops, size_t n);

/*
 * Applies the first of the n answers, as many as fit into one transaction: entries into the base
 * (with their seqs), the operations and their overlay rows out. RESULT_REFUSED quarantines: the
 * operation stays listed, its effect stays visible locally (state "quarantined"), dependants wait.
 * RESULT_CONFLICT counts and lists (path, copy, hashes, time). Returns how many: 0 when the first is
 * RESULT_LATER, or n is. -errno: none of them; n = 1 may work.
 */
int replica_outbox_answers(struct replica *r, const struct op_answer *answers, size_t n,
                           struct strlist *changed);

/*
 * Sets aside an operation that failed and may succeed later: operations that do not depend on it go
 * on. It counts as pending, and is listed with the refused ones.
 */
int replica_outbox_defer(struct replica *r, int64_t opid, const char *code, const char *why);
/* Sends the first `max` of these once more, with the operations that wait for them, under the
 * numbers from *from up to *to. The number of operations or -errno. */
int replica_outbox_retry_deferred(struct replica *r, size_t max, int64_t *from, int64_t *to);
/* How many there are, and the path and reason of the first (malloc'd, or NULL). */
int64_t replica_deferred(struct replica *r, char **path, char **why);

/* Operations that are pending, and that are quarantined; unpublished ones do not count. */
struct outbox_count {
    int64_t pending, refused; /* at or under the path */
    int64_t all_refused;      /* in the whole outbox */
    /* There are pending operations, and each is deferred, or waits for a deferred or refused one. */
    bool held;
};
/* Counts the operations at or under a path ("": everywhere), all as of one moment. 0 or -errno. */
int replica_outbox_count(struct replica *r, const char *under, struct outbox_count *ret);
/* Adds the paths of the first `max` pending operations. */
void replica_outbox_first(struct replica *r, size_t max, struct strlist *ret);
/* True when operation opid is no longer pending; *result: 0 confirmed or conflict-kept, -errno
 * refused. */
bool replica_outbox_done(struct replica *r, int64_t opid, int *result);
int64_t replica_conflict_count(struct replica *r);
/* New reference: [{"path","copy","place","ours","ours_mtime","theirs","theirs_mtime","time"}];
 * times in ns; place instead of copy when the master kept it outside the tree. A conflict is listed
 * until its copy is gone. */
json_t *replica_conflicts(struct replica *r);
/* Takes the conflicts at or under a path off the list. Returns the number or -errno. */
int replica_conflicts_forget(struct replica *r, const char *under);

/* --- quarantine (quarantine.c) --- */

/* New reference: [{"opid","op","path","to","code","error","time"}] */
json_t *replica_quarantine(struct replica *r);
/* True when operation opid is deferred, or waits for one that is or was refused. */
bool replica_outbox_held(struct replica *r, int64_t opid);
/* Send again the refused operations at or under a path, with those that wait for them; and those
 * that were refused for the scope and are within it now. Both return the number of operations or
 * -errno.
 */
int replica_outbox_retry(struct replica *r, const char *under);
int replica_outbox_retry_allowed(struct replica *r);
/* Drops the refused operations at or under a path and those that wait for them: the view there is
 * the master's again. `dropped` gets the path of each. 0 or -errno. */
int replica_outbox_discard(struct replica *r, const char *under, struct strlist *dropped,
                           struct strlist *changed);

/* --- what the master has lost (lost.h) --- */

/* Before a full listing: the master's answer to an unknown cursor, as an object. */
void replica_lost_expect(struct replica *r, json_t *reset);
/* The epoch of the master's folder, with each hello. 0 or -errno. */
int replica_note_epoch(struct replica *r, int64_t epoch);
/* There is something of that kind, or the master may still ask for contents. */
bool replica_lost_any(struct replica *r);
int64_t replica_lost_count(struct replica *r);
/* The master asks for no more. 0 or -errno. */
int replica_lost_rest(struct replica *r);
/* malloc'd: names this database, whose numbers the rows have. */
char *replica_lost_set(struct replica *r);
/* New reference: rows with numbers above `after`, in order (wire.h: lost). NULL: the database cannot
 * be read. */
json_t *replica_lost_rows(struct replica *r, int64_t after, size_t max);
/* The size of a content that is lost or current; -1: not known. */
int64_t replica_lost_size(struct replica *r, const struct hash *h);
/* Those with these numbers are settled. 0 or -errno. */
int replica_lost_forget(struct replica *r, json_t *numbers);

/* Hashes that must not be evicted: named by outbox or overlay, or lost by the master. */
bool replica_pins(struct replica *r, const struct hash *h);

/* A path of the base that has this content, malloc'd; "": none. Looks at every row. */
char *replica_path_of(struct replica *r, const struct hash *h);

/* Calls fn for every file of the base (a content comes once for each path that has it) until it
 * returns non-zero, which is returned. fn must be quick and not call into the replica. */
typedef int replica_content_fn(void *arg, const char *path, const struct hash *h, int64_t size);
int replica_each_content(struct replica *r, replica_content_fn *fn, void *arg);

#endif
