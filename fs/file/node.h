/* SPDX-License-Identifier: MIT */
/*
 * node: the table of the kernel's node ids, and the version of the path that each stands for.
 *
 * A node stands for one version of a file's content. It is
 *   attached     in its parent's table of children: LOOKUP of its name gives it;
 *   superseded   a newer version came from the master: not found by name any more, the path is
 *                still known;
 *   unlinked     its name was removed or replaced on this mirror: no path.
 * Open handles keep reading a node in any of these states. Ids are never used twice.
 *
 * One lock guards the table and every field of every node, drafts (draft.h) included; functions
 * called x_locked need it held. Nothing that can block happens under it.
 */
#ifndef EEFS_FS_FILE_NODE_H
#define EEFS_FS_FILE_NODE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "fs/file/backing.h"
#include "sync/mirror/replica/replica.h"

struct draft;
struct nodes;

struct node {
    uint64_t id;
    struct node *parent; /* holds a reference on it; NULL: root or unlinked */
    char *name;          /* NULL: root or unlinked */
    struct node *was_in; /* an unlinked file: its folder (holds a reference) … */
    char *was_name;      /* and its name there */
    bool attached;
    bool listed;                      /* no listing that the kernel keeps is older */
    bool asked;                       /* the kernel was given it by its present name */
    bool again;                       /* found by the lookup that follows an ESTALE */
    bool renewed;                     /* took over another version, which the kernel may not know */
    bool shrunk;                      /* took over a shorter one: see past_cache() in ops/file.c */
    struct node_attr attr;            /* the version that the kernel was shown */
    char *target;                     /* of a link; NULL: not read yet */
    uint64_t nlookup;                 /* references of the kernel */
    unsigned refs;                    /* references of children, handles and requests */
    unsigned opens;                   /* handles */
    unsigned writers;                 /* handles open for writing */
    struct file *content;             /* open while there are handles and it is known; NULL */
    struct file *idle;                /* what `content` was, when there are none; NULL */
    uint64_t checked;                 /* replica_generation() in which its path showed it */
    struct draft *draft;              /* what is being written; NULL */
    int64_t opid;                     /* newest operation that published it */
    struct node *next_id, *next_name; /* hash chains */
};

struct nodes *nodes_new(void); /* with the root, id 1 */
void nodes_free(struct nodes *t);

void nodes_lock(struct nodes *t);
void nodes_unlock(struct nodes *t);
void nodes_wait(struct nodes *t); /* a condition variable on the lock */
void nodes_wake(struct nodes *t);

/* The node with a reference for the caller; NULL when the id is unknown (a kernel bug: ESTALE). */
struct node *node_get(struct nodes *t, uint64_t id);
struct node *node_get_locked(struct nodes *t, uint64_t id);
void node_ref_locked(struct node *n);
void node_unref(struct nodes *t, struct node *n);
void node_unref_locked(struct nodes *t, struct node *n);
/* The kernel dropped `count` of its references. */
void node_forget(struct nodes *t, uint64_t id, uint64_t count);

/* malloc'd path; NULL when the node or a folder above it is unlinked. */
char *node_path_locked(const struct node *n);
char *node_path(struct nodes *t, const struct node *n);
/* The path, or the one that it had when it was unlinked; NULL: not known. */
char *node_last_path(struct nodes *t, const struct node *n);

/* The attached child of that name, or NULL. No reference is taken. */
struct node *node_child_locked(struct nodes *t, const struct node *parent, const char *name);
/* The attached node at a path, or NULL. No reference is taken. */
struct node *node_find_locked(struct nodes *t, const char *path);

/*
 * The node for a child that the replica showed as `attr`: the attached one when it is the same
 * version or has a draft, else a new one that supersedes it. Counts one kernel reference, which
 * node_forget takes back when the answer could not be given.
 */
struct node *node_enter_locked(struct nodes *t, struct node *parent, const char *name,
                               const struct node_attr *attr);

/* True when both are the same version, of a file or link: then only attributes may differ. */
bool node_same_version(const struct node_attr *a, const struct node_attr *b);

/* The attached child of that name, or a new one that the kernel does not know. It stays only while
 * somebody holds a reference. */
struct node *node_know_locked(struct nodes *t, struct node *parent, const char *name,
                              const struct node_attr *attr);

void node_supersede_locked(struct nodes *t, struct node *n);
/*
 * OPEN of the node is about to be answered ESTALE: the kernel looks its name up once more, and will
 * not a third time. What it finds within some seconds is marked `again`.
 */
void node_stale_locked(struct nodes *t, const struct node *n);
/*
 * Attaches a superseded node again when nothing else stands for its name, or, with `displace`, at
 * most a file without a draft, which is superseded. True when it was done: the kernel must forget
 * what it knows of the name.
 */
bool node_show_locked(struct nodes *t, struct node *n, bool displace);
void node_unlink_locked(struct nodes *t, struct node *n);
/* Gives it another name; what is there is unlinked. */
void node_move_locked(struct nodes *t, struct node *n, struct node *parent, const char *name);
/* The same for one that need not be attached, and is afterwards only when it was; what is there is
 * not touched. */
void node_carry_locked(struct nodes *t, struct node *n, struct node *parent, const char *name);

/* Calls fn with the lock held for every node; fn must not change the table. */
void nodes_each_locked(struct nodes *t, void (*fn)(void *arg, struct node *n), void *arg);

void file_unref(struct nodes *t, struct file *f);

/* Up to `max` contents without handles stay open, of those that node_rest_locked() got. 0 at first. */
void nodes_keep_idle(struct nodes *t, size_t max);
/* Closes all that are idle. */
void nodes_close_idle(struct nodes *t);
/* The node's content is open as fd; `stamp` is the object's. */
void node_set_content_locked(struct nodes *t, struct node *n, int fd,
                             const struct store_stamp *stamp);
/* The last handle is closed: the content is idle or closed. */
void node_rest_locked(struct nodes *t, struct node *n);
/* True when the content is open; an idle one is taken if it is unchanged. */
bool node_resume_locked(struct nodes *t, struct node *n);

#endif
