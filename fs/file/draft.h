/* SPDX-License-Identifier: MIT */
/*
 * draft: a file that is being written in place on this mirror. See draft.c for the life of one.
 * The node table's lock guards all fields (node.h).
 */
#ifndef EEFS_FS_FILE_DRAFT_H
#define EEFS_FS_FILE_DRAFT_H

#include "fs/file/fs.h"
#include "fs/file/node.h"
#include "fs/file/pool.h"

struct draft_job;
struct handle;

struct draft {
    struct file *file; /* what all handles read and write; NULL while the first copy is made */
    char *stage;       /* its name in staging; NULL: sealed (or not there yet) */
    bool busy;         /* being copied or published: writers queue up in `waiting` */
    bool dirty;        /* holds what no operation has published */
    unsigned writing;  /* writes going on outside the lock */
    struct handle *rewriter; /* truncated it to nothing and has not flushed since; NULL */
    struct hash held;        /* sealed, but in no operation yet: held in the store; or none */
    char *mark;              /* its second name in staging meanwhile, for the next mount; or NULL */
    int error;               /* why the last try to publish it failed (-errno); 0 */
    struct hash replaces;    /* the version that it began from */
    int64_t mtime, ctime;    /* replica.h */
    uint32_t mode;
    struct draft_job *waiting, **waiting_end;
};

/*
 * Makes the node's draft writable; with `zero` its old content is not needed. 1: write, then call
 * draft_done. -EAGAIN: somebody is copying or publishing it: call draft_queue. Other -errno: not
 * possible.
 */
int draft_try(struct fs *fs, struct node *n, bool zero);

/*
 * For an O_TRUNC: nothing was read, so a superseded node takes over the path's newest version
 * first, and the put replaces the version that this mirror shows at this moment. Not for a later
 * truncation: its writer may have read the old version.
 */
void draft_catch_up(struct fs *fs, struct node *n);

/* Runs fn(arg, 0) in the pool as soon as draft_try is worth another try, or fn(arg, -errno). */
void draft_queue(struct fs *fs, struct node *n, pool_fn *fn, void *arg);

/* After a write or truncation by `h` (NULL: by path), which gave `result`: marks the draft dirty
 * and its mtime now. `emptied`: nothing of the old content is left. */
void draft_done(struct fs *fs, struct node *n, struct handle *h, bool emptied, int result);

/* Gives it a new ctime: the replica's `ctime` of the same change where that is later (0: now), so
 * that none goes back when the draft ends. */
void draft_changed_locked(struct draft *d, int64_t ctime);

/*
 * Decides about a FLUSH or FSYNC of `h`: true, publish and wait; it counts as flushed from here on.
 * False: *opid is the operation to wait for (0: none). While another handle rewrites the file,
 * which begins with emptying it, nothing is published for anybody else: the others' bytes are gone,
 * and half of the new ones must not be seen. A handle that wrote nothing publishes nothing either.
 */
bool draft_flush(struct fs *fs, struct handle *h, bool fsync, int64_t *opid);

/* The handle is closed. */
void draft_leave_locked(struct node *n, const struct handle *h);

/* A new file's empty draft, dirty from the start. */
int draft_create(struct fs *fs, struct node *n);

/* pwrite/ftruncate on a draft that draft_try gave, with one retry after making room. 0 or -errno.
 * DRAFT_END: behind its last byte, wherever the kernel takes that to be (O_APPEND). */
#define DRAFT_END ((off_t)-1)
int draft_write(struct fs *fs, struct node *n, const void *data, size_t len, off_t at);
int draft_truncate(struct fs *fs, struct node *n, off_t size);

/* fallocate(2) on it, in the same way. */
int draft_allocate(struct fs *fs, struct node *n, int mode, off_t off, off_t len);

/* Replaces size, mtime and mode in *a by those of the draft. */
void draft_attr_locked(const struct node *n, struct node_attr *a);

/* True while the node's content is not what the replica has. */
bool draft_unpublished_locked(const struct node *n);

/* Ends `busy`: runs the waiting jobs (with `error`), and ends a draft that nobody needs. */
void draft_unbusy_locked(struct fs *fs, struct node *n, int error);

/*
 * Turns a clean draft without writers back into a plain node. The caller holds a reference on n
 * and lets notify look at the path afterwards when true.
 */
bool draft_settle_locked(struct fs *fs, struct node *n);

/* The node's content for reading: the draft's file or the object's; a reference or NULL. */
struct file *draft_file_locked(struct node *n);

#endif
