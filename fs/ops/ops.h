/* SPDX-License-Identifier: MIT */
/*
 * ops: the kernel's requests, by noun (entry.c, attr.c, dir.c, file.c, io.c), and the steps that
 * several of them take (ops.c). Handlers run in libfuse's threads and never wait for the network.
 */
#ifndef EEFS_FS_OPS_OPS_H
#define EEFS_FS_OPS_OPS_H

#include "fs/file/fs.h"
#include "fs/file/handle.h"
#include "fs/file/node.h"

/* Each puts its handlers into the table for libfuse. */
void ops_entry(struct fuse_lowlevel_ops *ops); /* lookup, forget, make, remove, rename, readlink */
void ops_attr(struct fuse_lowlevel_ops *ops);  /* getattr, setattr, xattr, statfs */
void ops_dir(struct fuse_lowlevel_ops *ops);   /* opendir, readdir, readdirplus, fsyncdir */
void ops_file(struct fuse_lowlevel_ops *ops);  /* create, open, release */
void ops_io(struct fuse_lowlevel_ops *ops);    /* read, write, flush, fsync */

/* Locks the tree for reading and builds the path of `name` in folder `ino` (name NULL: of ino
 * itself). 0 with a node reference and a malloc'd path; -ESTALE or -ENOENT with nothing held. */
int ops_begin(struct fs *fs, fuse_ino_t ino, const char *name, struct node **ret, char **path);
/* The same with the tree locked for writing. */
int ops_begin_write(struct fs *fs, fuse_ino_t ino, const char *name, struct node **ret,
                    char **path);
/* Unlocks, frees the path, drops the reference. */
void ops_end(struct fs *fs, struct node *n, char *path);

/* Enters a child that the replica returned and fills the answer. `listed`: it was made by this
 * request, so the kernel drops its listing of the folder by itself. */
void ops_enter(struct fs *fs, struct node *parent, const char *name, const char *path,
               const struct node_attr *a, bool listed, struct fuse_entry_param *ret);

/* The same for a child that the replica does not have. False: there is no draft of that name. */
bool ops_enter_draft(struct fs *fs, struct node *parent, const char *name, const char *path,
                     struct fuse_entry_param *ret);

/* The node's present attributes; always fills *ret. False: answer without caching. */
bool ops_attr_now(struct fs *fs, struct node *n, struct stat *ret);

/* Ends a handle's or a request's use of a node: publishes the draft that it left dirty, or settles
 * the draft. */
void ops_let_go(struct fs *fs, struct node *n, bool writable);

#endif
