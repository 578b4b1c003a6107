/* SPDX-License-Identifier: MIT */
#include "fs/file/fs.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "fs/file/node.h"
#include "fs/file/notify.h"
#include "fs/file/pool.h"
#include "fs/file/turn.h"
#include "sync/common/path.h"

#define POOL_THREADS 4
#define ROOM         (1024 * 1024)
#define HOLES_FROM   65536 /* bytes */
#define IDLE_MAX     16384 /* contents that stay open … */
#define IDLE_PART    2 /* … or this part of the descriptors that the process may have, if less */

static size_t idle_max(void)
{
    struct rlimit l;

    if (getrlimit(RLIMIT_NOFILE, &l) < 0)
        return 0;
    return l.rlim_cur / IDLE_PART < IDLE_MAX ? l.rlim_cur / IDLE_PART : IDLE_MAX;
}

static void close_idle(void *arg)
{
    struct fs *fs = arg;

    nodes_close_idle(fs->nodes);
}

int fs_init(struct fs *fs)
{
    pthread_rwlockattr_t a;
    int r;

    pthread_rwlockattr_init(&a);
    pthread_rwlockattr_setkind_np(&a, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    if (pthread_rwlock_init(&fs->tree, &a) != 0 || pthread_rwlock_init(&fs->device, NULL) != 0)
        abort();
    pthread_rwlockattr_destroy(&a);
    fs->turn = turn_new();
    fs->nodes = nodes_new();
    nodes_keep_idle(fs->nodes, idle_max());
    store_on_evict(fs->store, close_idle, fs);
    r = pool_new(POOL_THREADS, &fs->pool);
    if (r == 0)
        r = notify_new(fs, &fs->notify);
    return r;
}

void fs_release(struct fs *fs)
{
    notify_free(fs->notify);
    pool_free(fs->pool);
    nodes_free(fs->nodes);
    turn_free(fs->turn);
    attr_rules_release(&fs->rules);
    pthread_rwlock_destroy(&fs->tree);
    pthread_rwlock_destroy(&fs->device);
}

void fs_changed(struct fs *fs, int64_t opid)
{
    int64_t seen = atomic_load(&fs->newest_op);

    atomic_fetch_add(&fs->changes, 1);
    if (opid == 0)
        return;
    while (seen < opid && !atomic_compare_exchange_weak(&fs->newest_op, &seen, opid))
        ;
    mirror_kick(fs->mirror);
}

bool fs_room(struct fs *fs, int r, bool *tried)
{
    if (r != -ENOSPC || *tried)
        return false;
    *tried = true;
    store_make_room(fs->store, ROOM);
    return true;
}

void fs_stat(struct fs *fs, const char *path, const struct node_attr *a, struct stat *ret)
{
    struct node_attr shown = *a;

    /* Copying programs detect holes by st_blocks; they do not look for them in small files. */
    if (a->type == NODE_FILE && a->blocks < 0 && a->size >= HOLES_FROM)
        shown.blocks = store_blocks(fs->store, &a->hash);
    attr_stat(&fs->rules, path, &shown, !path || replica_shows_writable(fs->replica, path, a->type),
              ret);
}

static bool allows(const struct stat *st, const struct ctl_peer *who, mode_t bits)
{
    mode_t mode = st->st_mode;

    if (who->uid == st->st_uid) {
        mode >>= 6;
    } else {
        bool member = who->gid == st->st_gid;

        for (size_t i = 0; i < who->n_groups && !member; i++)
            member = who->groups[i] == st->st_gid;
        mode >>= member ? 3 : 0;
    }
    return (mode & bits) == bits;
}

/* Has `who` these bits of the folder of `path`, and may enter those above? */
static bool reaches(struct fs *fs, const struct ctl_peer *who, const char *path, mode_t bits)
{
    char *folder = xstrdup(path);
    bool yes = fs->allow_other;

    for (; yes && *folder; bits = 01) {
        struct node_attr a;
        struct stat st;

        folder[path_parent_len(folder)] = '\0';
        if (replica_lookup(fs->replica, folder, &a) < 0) /* gone: by the rules for the path */
            a = (struct node_attr){.type = NODE_DIR, .mode = 0755};
        fs_stat(fs, folder, &a, &st);
        yes = allows(&st, who, bits);
        if ((bits & 02) && (st.st_mode & S_ISVTX) && who->uid != st.st_uid)
            yes = false; /* whose file it is, is not asked */
    }
    free(folder);
    return yes;
}

bool fs_shows(void *arg, const struct ctl_peer *who, const char *path)
{
    return reaches(arg, who, path, 05);
}

bool fs_removes(void *arg, const struct ctl_peer *who, const char *path)
{
    return reaches(arg, who, path, 03);
}
