/* SPDX-License-Identifier: MIT */
/*
 * replica: the tree that the mount shows: the base (the master's entries as of the cursor) with the
 * effects of the outbox laid over it. One SQLite database, CACHE/replica.db.
 *
 *   base(dir,name)            the master's entry; tombstones of own confirmed deletes stay until the
 *                             cursor has passed their seq
 *   outbox(opid)              operations in order, as op.h
 *   overlay(dir,name,opid)    what an operation makes of a path (an entry, or "gone"); the overlay
 *                             row with the highest opid hides the base; it goes with its operation
 *
 * So the view of a path is a pure function of base and outbox, and a confirmed or refused operation
 * is taken out by deleting its rows. A path that the master's exclude list names is local: its
 * overlay row has opid REPLICA_LOCAL and no operation.
 *
 * Every changing call is one transaction that is in the WAL when it returns: it survives kill -9;
 * replica_sync() makes everything before it survive power loss. All functions are thread safe
 * (readers use a pool of connections, writers one connection under a lock). Paths are tree paths.
 * Changing calls return -EROFS outside the write scope or on a read-only mount, and the usual
 * -ENOENT, -EEXIST, -ENOTDIR, -EISDIR, -ENOTEMPTY, -ENOSPC, -EIO.
 */
#ifndef EEFS_MIRROR_REPLICA_REPLICA_H
#define EEFS_MIRROR_REPLICA_REPLICA_H

#include <stdbool.h>
#include <stdint.h>

#include "sync/common/err.h"
#include "sync/common/hash.h"

struct replica;

#define REPLICA_LOCAL ((int64_t)1 << 60) /* opid of local-only paths */

enum node_type { NODE_FILE = 1, NODE_DIR = 2, NODE_LINK = 3 }; /* equal to entry.h's values */

/* One path of the view. */
struct node_attr {
    enum node_type type;
    uint32_t mode;  /* permission bits */
    int64_t size;   /* bytes; of a link: the target's length */
    int64_t blocks; /* blocks of 512 bytes that a file takes here; -1: as many as its size needs */
    int64_t mtime;  /* sync/common/file.h */
    int64_t atime;  /* of this mirror: only utimensat(2) changes it, as with noatime */
    int64_t ctime;  /* wall ns on this mirror; grows with every visible change */
    struct hash hash; /* files; none while created and not yet published */
    uint64_t ino;     /* stable while the path lives, never 0, root is 1 */
    bool pending;     /* the master has not confirmed it */
};

/* --- reading --- */

/* 0 or -ENOENT. path "" is the root and always exists. */
int replica_lookup(struct replica *r, const char *path, struct node_attr *ret);

/*
 * Grows with every change of the view, before the call that made it returns. So what was looked up
 * after the number was read holds as long as the number is the same.
 */
uint64_t replica_generation(struct replica *r);

/*
 * Calls fn for each child of `dir` whose place in the listing is behind `after` (0: all), in the
 * order of places, until it returns non-zero (which is returned then, if negative). A name has the
 * same place for ever, so a listing can be read in parts, whatever changes between them: an entry
 * that is there all the time is seen once. Not `whole`: only type and ino of the attributes are
 * given, which is much faster. Places are below 2^63 and above COOKIE_DOTS (cookie.h). fn must not
 * call into the replica. -ENOENT, -ENOTDIR.
 */
typedef int replica_child_fn(void *arg, const char *name, int64_t place,
                             const struct node_attr *attr);
int replica_readdir(struct replica *r, const char *dir, int64_t after, bool whole,
                    replica_child_fn *fn, void *arg);

/*
 * Renames on the master. fn is called twice for each set of the master's changes that holds any:
 * with `begin` before the change, and after the commit with the renames, without all contents of
 * renamed folders (or with none, when the commit failed). One thread makes both calls; between them
 * fs lets no request look at a path. Set before threads start.
 */
struct replica_move {
    const char *from, *to;
    bool folder;
};
typedef void replica_moved_fn(void *arg, const struct replica_move *v, size_t n, bool begin);
void replica_on_moves(struct replica *r, replica_moved_fn *fn, void *arg);

/* malloc'd link target; caller frees. -EINVAL when it is no link. */
int replica_readlink(struct replica *r, const char *path, char **ret);

/* Number of entries and bytes of the view, for statfs. Cheap (cached, refreshed in background). */
void replica_totals(struct replica *r, int64_t *entries, int64_t *bytes);

/* True when a change at `path` would be allowed by scope (or the path is local by exclude). */
bool replica_writable(struct replica *r, const char *path);

/*
 * The same for the shown modes: of a folder, true also when a folder of the write scope is missing
 * in it or the exclude list has a pattern for names in it; patterns for any folder ("*.tmp") do not
 * count.
 */
bool replica_shows_writable(struct replica *r, const char *path, enum node_type type);

/* --- changing; each returns 0 with *opid = the operation to wait for (0: nothing to wait for) ---
 */

/* A new empty file that is not published: visible here only, until replica_publish. */
int replica_create(struct replica *r, const char *path, uint32_t mode, struct node_attr *ret);
/* `umask`: bits that the program's umask took off mode; a default ACL on the master gives them
 * back. */
int replica_create_masked(struct replica *r, const char *path, uint32_t mode, uint32_t umask,
                          struct node_attr *ret);
int replica_mkdir_masked(struct replica *r, const char *path, uint32_t mode, uint32_t umask,
                         struct node_attr *ret, int64_t *opid);

/*
 * Publishes new content of a file: `hash` is in the store already. `replaces` is the hash that the
 * writer began from (none: the file was created here and never published). mode and times as the
 * file shall have. If the path is gone (unlinked meanwhile) returns -ENOENT. When the feed put
 * another entry there, or above it, the master is asked to keep both, and the view stays. Coalesces
 * with an unsent put of the same path.
 */
int replica_publish(struct replica *r, const char *path, const struct hash *hash, int64_t size,
                    int64_t mtime, int64_t ctime, uint32_t mode, const struct hash *replaces,
                    int64_t *opid);

int replica_mkdir(struct replica *r, const char *path, uint32_t mode, struct node_attr *ret,
                  int64_t *opid);
int replica_symlink(struct replica *r, const char *path, const char *target, struct node_attr *ret,
                    int64_t *opid);
/* `seen` (NULL: the replica's) is the content that the caller removes: a file that is open for
 * writing shows the version that it began from, whatever the feed brings. A different version on
 * the master is not removed. */
int replica_unlink(struct replica *r, const char *path, const struct hash *seen, int64_t *opid);
/* The same when it is a file with this content at that moment, else -EBUSY; `only` NULL: any. */
int replica_unlink_if(struct replica *r, const char *path, const struct hash *only, int64_t *opid);
/* -EBUSY: one of the master's filesystems is mounted there. */
int replica_rmdir(struct replica *r, const char *path, int64_t *opid);
/* True when the master has an exclude list: its folders may hold entries that are not visible
 * here. */
bool replica_excludes(struct replica *r);
/* POSIX rename; with `noreplace` -EEXIST when `to` exists. Whole folders included. `seen`: of `to`,
 * as for replica_unlink(). -EXDEV: see rename_excluded.c; or a folder would get from one of the
 * master's filesystems to another. -EBUSY: one of them is mounted at or below a folder `from`, or
 * at `to`. */
int replica_rename(struct replica *r, const char *from, const char *to, bool noreplace,
                   const struct hash *seen, int64_t *opid);
struct node_change {
    bool has_mode, has_mtime, has_atime; /* the others stay */
    uint32_t mode;
    int64_t mtime, atime;
};
/* The ctime grows in any case. */
int replica_setattr(struct replica *r, const char *path, const struct node_change *c,
                    struct node_attr *ret, int64_t *opid);

/* fsync of the database's log; 0 or -errno. */
int replica_sync(struct replica *r);
/* Tests whether the database's disk works again: reads all of the database, writes to it and makes
 * that durable. 0, or -errno, also when that is not known (-EUCLEAN: it is being rebuilt). */
int replica_try(struct replica *r);

/* For the xattr user.eefs.state: "clean", "pending" (the master has not confirmed it),
 * "quarantined" (the master refused it), "conflict" (a conflict copy that is still listed, or the
 * path itself when its copy is kept outside the tree), "local" (by the exclude list). 0 or -ENOENT.
 */
int replica_state_text(struct replica *r, const char *path, const char **ret);

#endif
