/* SPDX-License-Identifier: MIT */
/*
 * view_change: one transaction that changes the view from outside (feed, answers, a discarded change):
 * entries of the master go into the base, and every touched path is compared before and after, so
 * that only differences are reported. Order is the seq alone: an entry older than the row's is
 * skipped.
 */
#ifndef EEFS_MIRROR_REPLICA_VIEW_CHANGE_H
#define EEFS_MIRROR_REPLICA_VIEW_CHANGE_H

#include "sync/mirror/replica/db.h"
#include "sync/mirror/replica/rename_list.h"

struct change {
    struct replica *r;
    struct renamings *moves; /* NULL: none */
    struct strlist *changed; /* NULL: nobody asks */
    struct strlist folders;  /* whose listing changed */
    struct strlist created;  /* folders that are new themselves */
    bool own;                /* an answer: keep tombstones */
    bool put;                /* … to a put */
    bool feed;               /* staged paths look after themselves */
    bool first;              /* the first listing: nobody has seen anything yet */
};

/* Compares the view of `path` with what it was. */
int change_note(struct change *a, const char *path, const struct row *was);

/* One entry into the base, without a note: the caller compares. `void_seqs`: the row's seq means
 * nothing any more. `view`: what the path shows now. `like`: the overlay row that this entry
 * confirms (inode, times), or none. */
int change_entry(struct change *a, const struct entry *e, bool void_seqs, const struct row *view,
                 const struct row *like);

/* The row, of base, overlay or view, has the content of that entry: only attributes may differ. */
bool change_is_version(const struct row *row, const struct entry *e);

/* Takes one base row out (a tombstone stays for an own change); the caller compares. */
int change_remove(struct change *a, const char *path, const struct row *was, int64_t seq);

/* At the end: folders whose listing changed are reported, each once, and get a new mtime unless the
 * master tells it. */
int change_finish(struct change *a);

/* Sorts and drops what is there twice. */
void change_sort(struct strlist *l);

/* The views of a set of paths before something is done to them. */
struct before {
    struct strlist paths; /* to be filled; sorted by before_look */
    struct row *rows;
};
/* Adds the paths that operation `opid` lies over. */
int before_add_op(struct before *b, struct replica *r, int64_t opid);
int before_look(struct before *b, struct replica *r);
/* The path must be among them. */
const struct row *before_find(const struct before *b, const char *path);
/* Notes what became of them; folders that still hold local entries are kept. */
int before_note(const struct before *b, struct change *a);
void before_release(struct before *b);

#endif
