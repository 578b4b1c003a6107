/* SPDX-License-Identifier: MIT */
/*
 * floor DIR THREADS: mounts on DIR a folder of 10,000 files of 4 KiB, until SIGTERM. It answers
 * from memory and does nothing else: no daemon that is asked for each open can be faster. The kernel
 * keeps names, attributes and bytes, as of a mirror's mount, and sends no FLUSH. THREADS of them wait
 * for requests.
 */
#include <errno.h>
#include <fuse_lowlevel.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FILES   10000
#define SIZE    4096
#define FIRST   2 /* inode of the first file; the root has 1 */
#define TIMEOUT 86400.0

static char block[SIZE];

static int is_file(fuse_ino_t ino)
{
    return ino >= FIRST && ino < FIRST + FILES;
}

static void fill(fuse_ino_t ino, struct stat *st)
{
    memset(st, 0, sizeof(*st));
    st->st_ino = ino;
    st->st_mode = is_file(ino) ? S_IFREG | 0444 : S_IFDIR | 0555;
    st->st_nlink = 1;
    st->st_size = is_file(ino) ? SIZE : 0;
}

static void on_lookup(fuse_req_t req, fuse_ino_t dir, const char *name)
{
    struct fuse_entry_param e;
    char *end;
    unsigned long i = strtoul(name, &end, 10);

    memset(&e, 0, sizeof(e));
    e.attr_timeout = e.entry_timeout = TIMEOUT;
    if (dir == FUSE_ROOT_ID && end != name && *end == '\0' && i < FILES) {
        e.ino = FIRST + i;
        fill(e.ino, &e.attr);
    }
    fuse_reply_entry(req, &e);
}

static void on_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct stat st;

    (void)fi;
    fill(ino, &st);
    fuse_reply_attr(req, &st, TIMEOUT);
}

static void on_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                       struct fuse_file_info *fi)
{
    char *data = malloc(size), name[24];
    struct stat st;
    size_t n = 0;

    (void)ino;
    (void)fi;
    for (; data && off < FILES; off++) {
        size_t len;

        fill(FIRST + (fuse_ino_t)off, &st);
        snprintf(name, sizeof(name), "%05ld", (long)off);
        len = fuse_add_direntry(req, data + n, size - n, name, &st, off + 1);
        if (len > size - n)
            break;
        n += len;
    }
    fuse_reply_buf(req, data, n);
    free(data);
}

static void on_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    if (!is_file(ino)) {
        fuse_reply_err(req, EISDIR);
        return;
    }
    fi->keep_cache = 1;
    fi->noflush = 1;
    fuse_reply_open(req, fi);
}

static void on_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                    struct fuse_file_info *fi)
{
    size_t left = off < SIZE ? (size_t)(SIZE - off) : 0;

    (void)ino;
    (void)fi;
    fuse_reply_buf(req, block, size < left ? size : left);
}

static void on_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    (void)fi;
    fuse_reply_err(req, 0);
}

static const struct fuse_lowlevel_ops ops = {
    .lookup = on_lookup,
    .getattr = on_getattr,
    .readdir = on_readdir,
    .open = on_open,
    .read = on_read,
    .release = on_release,
};

static int serve(struct fuse_session *se, unsigned threads)
{
    struct fuse_loop_config *config = fuse_loop_cfg_create();
    int r;

    if (threads == 1) {
        r = fuse_session_loop(se);
    } else {
        fuse_loop_cfg_set_clone_fd(config, 0);
        fuse_loop_cfg_set_max_threads(config, threads);
        fuse_loop_cfg_set_idle_threads(config, threads);
        r = fuse_session_loop_mt(se, config);
    }
    fuse_loop_cfg_destroy(config);
    return r;
}

int main(int argc, char **argv)
{
    char *words[] = {argv[0], (char[]){"-ofsname=floor,default_permissions"}, NULL};
    struct fuse_args args = FUSE_ARGS_INIT(2, words);
    unsigned threads = argc == 3 ? (unsigned)atoi(argv[2]) : 0;
    struct fuse_session *se;
    int r;

    if (threads == 0) {
        fprintf(stderr, "usage: floor DIR THREADS\n");
        return 1;
    }
    se = fuse_session_new(&args, &ops, sizeof(ops), NULL);
    if (!se || fuse_set_signal_handlers(se) != 0 || fuse_session_mount(se, argv[1]) != 0)
        return 1;
    r = serve(se, threads);
    fuse_session_unmount(se);
    fuse_remove_signal_handlers(se);
    fuse_session_destroy(se);
    return r < 0;
}
