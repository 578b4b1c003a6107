/* SPDX-License-Identifier: MIT */
/*
 * session: INIT negotiates the kernel's features (fs/README.md has the reasons), and a separate
 * thread accesses the new mount from outside: it sets read-ahead, and tests whether the kernel
 * drops "not found" when notified. Requests are read by libfuse's threads, each in its turn.
 */
#include "fs/mount/session.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fs/mount/abort_watchdog.h"
#include "fs/file/notify.h"
#include "fs/file/turn.h"
#include "fs/ops/ops.h"
#include "sync/common/buf.h"
#include "sync/common/log.h"
#include "sync/common/thread.h"

#define THREADS         10
#define BACKGROUND      256 /* requests; at the kernel's default of 12 stuck reads block cached ones */
#define READ_AHEAD_KB   "1024"
#define MESSAGE_MAX_LEN 256

/* libfuse's last message: libfuse prints it and returns only -1. One session per process. */
static char fuse_message[MESSAGE_MAX_LEN];

static void __attribute__((format(printf, 2, 0)))
fuse_says(enum fuse_log_level level, const char *fmt, va_list ap)
{
    char text[MESSAGE_MAX_LEN];

    if (level > FUSE_LOG_WARNING)
        return;
    vsnprintf(text, sizeof(text), fmt, ap);
    text[strcspn(text, "\n")] = '\0';
    snprintf(fuse_message, sizeof(fuse_message), "%s", text);
    log_debug("%s", text);
}

/* Measured choices; fs/README.md has the reasons. */
static void op_init(void *arg, struct fuse_conn_info *c)
{
    struct fs *fs = arg;
    const unsigned want = FUSE_CAP_EXPLICIT_INVAL_DATA | FUSE_CAP_ATOMIC_O_TRUNC |
                          FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_ASYNC_READ |
                          FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_DONT_MASK;
    const unsigned refuse = FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_WRITEBACK_CACHE |
                            FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE |
                            FUSE_CAP_HANDLE_KILLPRIV | FUSE_CAP_POSIX_LOCKS | FUSE_CAP_FLOCK_LOCKS |
                            FUSE_CAP_EXPORT_SUPPORT;

    c->want = (c->want | (want & c->capable)) & ~refuse;
    c->max_write = FS_IO_MAX;
    c->max_readahead = FS_IO_MAX;
    c->max_background = BACKGROUND;
    c->congestion_threshold = BACKGROUND * 3 / 4;
    c->time_gran = 1;
    fs->no_opendir = (c->capable & FUSE_CAP_NO_OPENDIR_SUPPORT) != 0;
    atomic_store(&fs->live, true);
}

static void op_destroy(void *arg)
{
    struct fs *fs = arg;

    atomic_store(&fs->live, false);
}

int session_new(struct fs *fs, const struct options *o, struct err *e)
{
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
    struct fuse_lowlevel_ops ops = {.init = op_init, .destroy = op_destroy};
    char *list = NULL, *source = xasprintf("fsname=%s", o->spec);

    ops_entry(&ops);
    ops_attr(&ops);
    ops_dir(&ops);
    ops_file(&ops);
    ops_io(&ops);
    fuse_set_log_func(fuse_says);
    fuse_opt_add_arg(&args, "mount.eefs");
    fuse_opt_add_opt_escaped(&list, source);
    fuse_opt_add_opt(&list, "subtype=eefs,default_permissions");
    if (o->allow_other)
        fuse_opt_add_opt(&list, "allow_other");
    kernel_flags_words(&o->flags, &list);
    fuse_opt_add_arg(&args, "-o");
    fuse_opt_add_arg(&args, list);
    fs->se = fuse_session_new(&args, &ops, sizeof(ops), fs);
    fuse_opt_free_args(&args);
    free(list);
    free(source);
    if (!fs->se)
        return err_set(e, EIO, "cannot start FUSE: %s", fuse_message);
    return 0;
}

/* --- reading requests --- */

/* True for requests whose handlers do not block, or pass the turn themselves before they do. */
static bool is_quick(uint32_t opcode)
{
    switch (opcode) {
    case FUSE_LOOKUP:
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_GETATTR:
    case FUSE_READLINK:
    case FUSE_OPEN:
    case FUSE_READ:
    case FUSE_RELEASE: /* before what comes after the close(): truncate(2) sees whether others write */
    case FUSE_OPENDIR:
    case FUSE_GETXATTR: /* ls -l asks two of each file, which none has */
    case FUSE_LISTXATTR:
    case FUSE_INTERRUPT:
        return true;
    default:
        return false;
    }
}

static ssize_t read_request(int fd, void *buf, size_t len, void *arg)
{
    struct fs *fs = arg;
    struct fuse_in_header head;
    ssize_t n;

    turn_take(fs->turn);
    n = read(fd, buf, len);
    if (n < (ssize_t)sizeof(head))
        return n;
    memcpy(&head, buf, sizeof(head));
    if (!is_quick(head.opcode))
        turn_pass(fs->turn);
    return n;
}

static ssize_t write_answer(int fd, struct iovec *v, int n, void *arg)
{
    (void)arg;
    return writev(fd, v, n);
}

int session_mount(struct fs *fs, const struct options *o, const char *point, struct err *e)
{
    static const struct fuse_custom_io io = {.read = read_request, .writev = write_answer};
    int r;

    fuse_message[0] = '\0';
    if (fuse_session_mount(fs->se, point) != 0)
        return err_set(
            e, EIO, "cannot mount on '%s'%s%s%s: %s", point, o->flags.contexts ? " with '" : "",
            o->flags.contexts ? o->flags.contexts : "", o->flags.contexts ? "'" : "",
            *fuse_message ? fuse_message : "FUSE is not available (is /dev/fuse there?)");
    if (fuse_session_custom_io(fs->se, &io, fuse_session_fd(fs->se)) != 0)
        r = err_set(e, EIO, "cannot read requests of the mount on '%s': %s", point, fuse_message);
    else
        r = kernel_flags_apply(&o->flags, point, e);
    if (r < 0) {
        fuse_session_unmount(fs->se);
        return r;
    }
    if (fuse_set_signal_handlers(fs->se) != 0) {
        fuse_session_unmount(fs->se);
        return err_set(e, EIO, "cannot set signal handlers");
    }
    return 0;
}

struct greeting {
    struct fs *fs;
    const char *point;
    void (*ready)(void *arg);
    void *arg;
};

/* The device's read-ahead, 128 KB by default, is what a cold sequential read is made of. */
static void raise_read_ahead(const char *point)
{
    struct stat st;
    char *path;
    int fd;

    if (stat(point, &st) < 0)
        return;
    path = xasprintf("/sys/class/bdi/%u:%u/read_ahead_kb", major(st.st_dev), minor(st.st_dev));
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (write(fd, READ_AHEAD_KB, strlen(READ_AHEAD_KB)) < 0)
            log_debug("cannot set %s: %s", path, strerror(errno));
        close(fd);
    }
    free(path);
}

/*
 * Does the kernel drop a cached "not found" when notified? Some do not (broken in releases between
 * 6.19 and 7.1): there a file that appears on the master would stay missing for as long as the
 * answer may be kept. Ask for a name twice, with the notification between: was there a second
 * LOOKUP? Where it is not so, "not found" is kept for FS_NOT_FOUND only.
 */
static void probe_not_found(struct fs *fs, const char *point)
{
    char *path = xasprintf("%s/%s", point, FS_PROBE);
    struct stat st;
    unsigned seen;

    atomic_store(&fs->forgetful, true);
    if (lstat(path, &st) < 0 && errno == ENOENT) {
        notify_entry(fs, FUSE_ROOT_ID, FS_PROBE);
        seen = atomic_load(&fs->probes);
        if (seen == 0 || lstat(path, &st) == 0 || atomic_load(&fs->probes) == seen) {
            atomic_store(&fs->forgetful, false);
            log_info("this kernel does not drop cached \"not found\" answers on request; they are "
                     "cached for %g s only",
                     FS_NOT_FOUND);
        }
    }
    free(path);
}

static void *greet(void *arg)
{
    struct greeting *g = arg;
    struct statvfs st;

    if (statvfs(g->point, &st) == 0) { /* answered only after FUSE_INIT */
        raise_read_ahead(g->point);
        probe_not_found(g->fs, g->point);
        g->ready(g->arg);
    }
    return NULL;
}

int session_loop(struct fs *fs, const char *point, void (*ready)(void *arg), void *arg)
{
    struct fuse_loop_config *config = fuse_loop_cfg_create();
    struct greeting g = {fs, point, ready, arg};
    pthread_t greeter;
    int r;

    if (!config)
        return -ENOMEM;
    fuse_loop_cfg_set_clone_fd(config, 0);
    fuse_loop_cfg_set_max_threads(config, THREADS);
    fuse_loop_cfg_set_idle_threads(config, THREADS);
    r = thread_start(&greeter, "fs-greeter", greet, &g);
    if (r == 0) {
        r = fuse_session_loop_mt(fs->se, config);
        if (r != 0) /* by a signal: pending requests of the kernel would keep the threads */
            abort_watchdog_end(point);
        session_unmount(fs); /* or the greeter could wait for ever */
        thread_join(greeter);
    }
    fuse_loop_cfg_destroy(config);
    return r;
}

void session_unmount(struct fs *fs)
{
    atomic_store(&fs->live, false);
    if (pthread_rwlock_wrlock(&fs->device) != 0)
        abort();
    fuse_session_unmount(fs->se);
    pthread_rwlock_unlock(&fs->device);
}

void session_free(struct fs *fs)
{
    if (!fs->se)
        return;
    fuse_remove_signal_handlers(fs->se);
    fuse_session_destroy(fs->se);
    fs->se = NULL;
}
