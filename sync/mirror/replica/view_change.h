/* SPDX-License-Identifier: MIT */
/*
 * view_change: one transaction that changes the view from outside (feed, answers, a discarded
 * change): entries of the master go into the base, and every touched path is compared before and
 * after, so that only differences are reported. Order is the seq alone: an entry older than the
 * row's is skipped.
 */
#ifndef EEFS_MIRROR_REPLICA_VIEW_CHANGE_H
#define EEFS_MIRROR_REPLICA_VIEW_CHANGE_H

#include "sync/mirror/replica/db.h"
#include "sync/mirror/replica/rename_list.h"

struct view_change {
    struct replica *r;
    struct master_renames *moves; /* NULL: none */
    struct strlist *changed;      /* NULL: nobody asks */
    struct strlist folders;       /* whose listing changed */
    struct strlist created;       /* folders that are new themselves */
    bool own;                     /* an answer: keep tombstones */
    bool put;                     /* … to a put */
    bool feed;                    /* staged paths look after themselves */
    bool first;                   /* the first listing: nobody has seen anything yet */
};

/* Compares the view of `path` with the one before. */
int view_change_note(struct view_change *a, const char *path, const struct row *was);

/* One entry into the base, without a note: the caller compares. `void_seqs`: the row's seq means
 * nothing any more. `view`: what the path shows now. `like`: the overlay row that this entry
 * confirms (inode, times), or none. */
int view_change_entry(struct view_change *a, const struct entry *e, bool void_seqs,
                      const struct row *view, const struct row *like);

/* The row, of base, overlay or view, has the content of that entry: only attributes may differ. */
bool view_change_is_version(const struct row *row, const struct entry *e);

/* Takes one base row out (a tombstone stays for an own change); the caller compares. */
int view_change_remove(struct view_change *a, const char *path, const struct row *was, int64_t seq);

/* At the end: folders whose listing changed are reported, each once, and get a new mtime unless the
 * master tells it. */
int view_change_finish(struct view_change *a);

/* Sorts and drops what is there twice. */
void view_change_sort(struct strlist *l);

/* The views of a set of paths before a change. */
struct view_snapshot {
    struct strlist paths; /* to be filled; sorted by snapshot_look */
    struct row *rows;
};
/* Adds the paths that operation `opid` lies over. */
int snapshot_add_op(struct view_snapshot *b, struct replica *r, int64_t opid);
int snapshot_look(struct view_snapshot *b, struct replica *r);
/* The path must be among them. */
const struct row *snapshot_find(const struct view_snapshot *b, const char *path);
/* Reports their changes; folders that still hold local entries are kept. */
int snapshot_note(const struct view_snapshot *b, struct view_change *a);
void snapshot_release(struct view_snapshot *b);

#endif
