/* SPDX-License-Identifier: MIT */
/*
 * fs: what all requests of one mount share.
 *
 * Lock order: `tree`, then the node table's lock (node.h). The tree lock is held for reading from
 * the moment a path is built until the replica has answered for it, and for writing while names are
 * moved or removed, so that a path cannot become another file's in between. Neither is held across
 * network, hashing or a kernel notification.
 */
#ifndef EEFS_FS_FILE_FS_H
#define EEFS_FS_FILE_FS_H

#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "fs/file/attr.h"
#include "fs/file/tree_lock.h"
#include "sync/common/ctl.h"
#include "sync/mirror/mirror.h"

/* seconds: the kernel is notified of changes, see notify.h; "not found" where that does not work,
 * see session.c */
#define FS_TIMEOUT    86400.0
#define FS_NOT_FOUND  1.0
#define FS_PROBE      ".eefs"   /* a name in the root that no tree has: masters never serve it */
#define FS_VERIFY_MAX (1 << 20) /* bytes that a request's thread may verify itself */
#define FS_IO_MAX     (1 << 20) /* bytes of one READ or WRITE */

struct nodes;
struct notify;
struct pool;
struct turn;

struct fs {
    struct mirror *mirror;
    struct replica *replica;
    struct store *store;
    struct attr_rules rules;
    bool allow_other;
    struct fuse_session *se;
    struct nodes *nodes;
    struct pool *pool;
    struct notify *notify;
    struct turn *turn;
    pthread_rwlock_t tree;
    /* The session's descriptor: for reading while a notification is written to it, for writing
     * while it is closed, or the notification could go into another file that gets its number next.
     * Its holders wait for the kernel only. */
    pthread_rwlock_t device;
    atomic_bool live; /* between FUSE_INIT and the end of the session */
    atomic_bool
        forgetful;      /* "not found" may be cached for long: the kernel drops it when notified */
    atomic_uint probes; /* LOOKUPs of FS_PROBE */
    bool no_opendir;    /* the kernel needs no OPENDIR; set with FUSE_INIT */
    /* Closed files that could not be published (publish.c); the node table's lock guards it. */
    struct {
        int64_t pause; /* ms until the next try, once one is needed; 0: as at first */
        bool armed;    /* that try is queued */
        bool reported; /* the mirror has them as a fault */
        bool ending;   /* the session is over: none is queued any more */
    } unpublished;
    _Atomic int64_t newest_op; /* newest operation that the replica gave out */
    _Atomic uint64_t changes;  /* counts changes of the view, for listings (ops/dir.c) */
};

/* Sets the defaults and makes nodes, pool and notify. 0 or -errno. */
int fs_init(struct fs *fs);
/* After the session's end and mirror_stop. */
void fs_release(struct fs *fs);

/* A local change was logged as operation `opid` (0: nothing to send). */
void fs_changed(struct fs *fs, int64_t opid);

/* True when the replica's answer `r` is "no space" and room could be made for another try; once
 * for each `tried`, which begins false. */
bool fs_room(struct fs *fs, int r, bool *tried);

/* True when a local user may see the name `path` in the mount: the user may list its folder and
 * enter those above. For mirror_config; arg is the fs. */
bool fs_shows(void *arg, const struct ctl_peer *who, const char *path);
/* The same for removing it: the user may write into its folder and enter those above. */
bool fs_removes(void *arg, const struct ctl_peer *who, const char *path);
/* attr_stat() of what is at `path` (NULL: nowhere any more). */
void fs_stat(struct fs *fs, const char *path, const struct node_attr *a, struct stat *ret);

static inline struct fs *fs_of(fuse_req_t req)
{
    return fuse_req_userdata(req);
}

#endif
