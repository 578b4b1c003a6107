/* SPDX-License-Identifier: MIT */
/*
 * mount.eefs: mounts the folder that an eefs-master serves.
 *
 * main() reads the options, checks the mountpoint, forks, and in the child opens the mirror, mounts
 * and serves. The files:
 *
 *   mount/options.c         command line and -o list
 *   mount/daemon.c          background, outcome for mount(8)
 *   mount/mountpoint.c      checks the folder
 *   mount/session.c         the FUSE connection and its loop
 *   mount/kernel_flags.c    options that the kernel enforces
 *   mount/remount.c         changes an existing mount
 *   mount/abort_watchdog.c  a process that aborts the connection when the daemon was killed
 *   ops/                    the kernel's requests: entries, attributes, listings, files, bytes
 *   file/node.c             the kernel's nodes
 *   file/notify.c           invalidates the kernel's caches
 *   file/follow_rename.c    nodes follow the master's renames
 *   file/draft.c            a file that is being written …
 *   file/publish.c          … and its way into the outbox
 *   file/content.c          fetches the bytes of a version
 *   file/backing.c          open files, and those that stay open after their use
 *   file/turn.c             who reads the next request
 *   file/close_owner.c      whose close counts
 *   file/deferred_reply.c   answers given later, interrupts
 *   file/pool.c             threads for long work
 *   file/attr.c             owners and modes
 *   file/tree_lock.c        keeps names while a request uses them
 *   file/fs.c               the state that all of them share
 *
 * Everything about the master, the cache and the outbox is the mirror's (sync/mirror/mirror.h).
 */
#include <errno.h>
#include <malloc.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fs/file/follow_rename.h"
#include "fs/file/fs.h"
#include "fs/file/notify.h"
#include "fs/file/pool.h"
#include "fs/file/publish.h"
#include "fs/mount/abort_watchdog.h"
#include "fs/mount/daemon.h"
#include "fs/mount/mountpoint.h"
#include "fs/mount/options.h"
#include "fs/mount/remount.h"
#include "fs/mount/session.h"
#include "sync/common/account.h"
#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/file.h"
#include "sync/common/log.h"
#include "sync/common/printable.h"
#include "sync/common/rundir.h"
#include "sync/common/thread.h"

#define EXIT_USAGE 1  /* mount(8) */
#define EXIT_MOUNT 32 /* mount(8) */
#define FLUSH_MS   10000
#define RETRY_FG   2 /* minutes, as nfs(5) has them */
#define RETRY_BG   10000
#define SAY_MS     30000 /* between reports of the reason for waiting */
#define BG_MS      1000  /* the time that mount(8) waits for a first mount with bg */
#define CACHE_ROOT "/var/cache/eefs"

/* Everything of one run. */
struct run {
    struct options opt;
    char *point; /* absolute */
    char *token;
    char *cache; /* absolute cache folder */
    struct mirror_config config;
    struct mirror_hook *hooks;
    struct account hook_account;
    struct fs fs;
    struct daemon *daemon;
    char waits_for[256]; /* what was reported last, and when it is again (mono ms) */
    int64_t say_again;
    pthread_mutex_t lock; /* guards opened */
    pthread_cond_t done;
    bool opened; /* the mirror, or it failed */
};

static void split_globs(const char *text, struct strlist *ret)
{
    while (*text) {
        size_t len = strcspn(text, ":");
        char *one = xstrndup(text, len);

        if (*one)
            strlist_add(ret, one);
        free(one);
        text += len + (text[len] == ':');
    }
}

static char *absolute(const char *path)
{
    char *cwd, *r;

    if (*path == '/')
        return xstrdup(path);
    cwd = get_current_dir_name();
    r = xasprintf("%s/%s", cwd ? cwd : "", path);
    free(cwd);
    return r;
}

/* "/var/www/assets" → "var-www-assets", as rundir_file() makes of it */
static char *default_cache(const char *instance)
{
    char *r;

    while (*instance == '/')
        instance++;
    r = xasprintf(CACHE_ROOT "/%s", instance);
    for (char *p = r + strlen(CACHE_ROOT) + 1; *p; p++)
        if (*p == '/')
            *p = '-';
    return r;
}

/* Makes the config from the options. */
static int configure(struct run *r, struct err *e)
{
    const struct options *o = &r->opt;
    const char *instance = o->instance ? o->instance : r->point;
    int res = file_read_secret(o->token_file, &r->token, e);

    if (res < 0)
        return res;
    r->cache = o->cache ? absolute(o->cache) : default_cache(instance);
    r->config.url = o->spec;
    r->config.token = r->token;
    r->config.cafile = o->cafile ? absolute(o->cafile) : NULL;
    r->config.insecure_http = o->insecure_http;
    r->config.cache = r->cache;
    r->config.cache_size = o->cache_size;
    r->config.lag_limit = o->lag_limit;
    r->config.isolated_grace = o->isolated_grace;
    r->config.import_age = o->import_age;
    r->config.check_every = o->check_every;
    r->config.check_url = o->check_url;
    r->config.check_text = o->check_text;
    r->config.monitor = o->monitor;
    split_globs(o->prefetch, &r->config.prefetch);
    r->config.offline_fail = strcmp(o->offline, "fail") == 0;
    r->config.read_only = o->read_only;
    r->config.instance = instance;
    r->config.mountpoint = r->point;
    r->config.rundir = absolute(rundir_path(o->rundir));
    r->config.shows = fs_shows;
    r->config.removes = fs_removes;
    r->config.shows_arg = &r->fs;
    r->fs.allow_other = o->allow_other;
    return 0;
}

static int make_rules(struct run *r, struct err *e)
{
    struct strlist by_default = {NULL, 0};
    int res = attr_rules_owner(&r->fs.rules, r->opt.uid, r->opt.gid, e);

    r->fs.rules.umask = (mode_t)r->opt.umask;
    if (res < 0)
        return res;
    strlist_add(&by_default, getpwnam("eefs") ? "sql:eefs" : "sql:root");
    res = attr_rules_private(&r->fs.rules, r->opt.private.n ? &r->opt.private : &by_default, e);
    strlist_release(&by_default);
    return res;
}

/* The user that runs the commands of on_change: the named one, or the owner of everything. */
static int find_hook_account(struct run *r, struct err *e)
{
    char owner[16];
    const char *user = r->opt.on_change_user;

    snprintf(owner, sizeof(owner), "%u", r->fs.rules.uid);
    if (!user && r->fs.rules.uid == 0)
        return err_set(e, EINVAL,
                       "option on_change: the mount belongs to root, which runs no commands; give "
                       "on_change_user=USER, such as www-data");
    if (account_open(user ? user : owner, &r->hook_account) < 0)
        return err_set(e, EINVAL, "option on_change_user: no user '%s'", user);
    if (geteuid() != 0 && geteuid() != r->hook_account.uid)
        return err_set(e, EPERM, "option on_change_user: only root can run commands as '%s'",
                       user ? user : owner);
    return 0;
}

static int parse_hook(const char *text, struct mirror_hook *ret, struct err *e)
{
    const char *colon = strchr(text, ':');

    if (!colon || colon == text || !colon[1])
        return err_set(e, EINVAL, "option on_change: '%s' is not GLOB:COMMAND", text);
    ret->glob = xstrndup(text, (size_t)(colon - text));
    ret->command = xstrdup(colon + 1);
    return 0;
}

static void give_account(struct run *r, struct mirror_hook *hook)
{
    const struct attr_rules *rules = &r->fs.rules;

    hook->account = &r->hook_account;
    for (size_t i = 0; i < rules->n_private && r->hook_account.uid != 0; i++)
        if (rules->private[i].uid != r->hook_account.uid)
            strlist_add(&hook->hidden, rules->private[i].path);
}

static int make_hooks(struct run *r, struct err *e)
{
    const struct strlist *list = &r->opt.on_change;
    int res = 0;

    r->hooks = xcalloc(list->n + 1, sizeof(*r->hooks));
    for (size_t i = 0; i < list->n && res == 0; i++)
        res = parse_hook(list->v[i], &r->hooks[i], e);
    if (res == 0 && list->n > 0)
        res = find_hook_account(r, e);
    for (size_t i = 0; i < list->n && res == 0; i++)
        give_account(r, &r->hooks[i]);
    r->config.hooks = r->hooks;
    r->config.n_hooks = list->n;
    return res;
}

static void raise_limits(void)
{
    struct rlimit l;

    if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
        l.rlim_cur = l.rlim_max;
        setrlimit(RLIMIT_NOFILE, &l);
    }
    mallopt(M_MMAP_THRESHOLD, 4 * FS_IO_MAX); /* reply buffers come from the heap, not from mmap */
}

static void ready(void *arg)
{
    struct run *r = arg;

    log_info("'%s' is mounted on '%s'", r->opt.spec, r->point);
    daemon_ready(r->daemon);
}

/* A request of `mount -o remount`, from the control socket. */
static int on_remount(void *arg, const char *list, bool apply, struct err *e)
{
    struct run *r = arg;
    bool read_only = r->opt.read_only;
    int res = remount_check(&r->opt, list, &read_only, e);

    if (res < 0 || !apply)
        return res;
    r->opt.read_only = read_only;
    mirror_set_read_only(r->fs.mirror, read_only);
    log_info("'%s' is remounted %s", r->point, read_only ? "read only" : "for writing");
    return 0;
}

/* Mounts and serves; returns when it is over. 0 or -errno (then with a sentence). */
static int serve(struct run *r, struct err *e)
{
    struct fs *fs = &r->fs;
    int res = session_new(fs, &r->opt, e);

    if (res < 0)
        return res;
    mirror_on_remount(fs->mirror, on_remount, r);
    replica_on_moves(fs->replica, follow_rename, fs);
    res = mirror_start(fs->mirror, notify_changed, fs, e);
    if (res < 0)
        return res;
    res = session_mount(fs, &r->opt, r->point, e);
    if (res == 0) {
        res = session_loop(fs, r->point, ready, r);
        if (res > 0)
            log_info("'%s': ending on signal %d", r->point, res);
        publish_leftovers(fs, res == 0);
        res = res < 0 ? err_sys(e, -res, "cannot go on serving '%s'", r->point) : 0;
    }
    mirror_stop(fs->mirror, FLUSH_MS);
    return res;
}

/* --- an empty cache waits for the master --- */

/* Reports a new reason, and repeats it every half minute. */
static void waiting(void *arg, const char *why, int64_t left_ms)
{
    struct run *r = arg;

    if (r->opt.bg)
        daemon_background(r->daemon);
    if (strcmp(why, r->waits_for) == 0 && clock_mono_ms() < r->say_again)
        return;
    snprintf(r->waits_for, sizeof(r->waits_for), "%s", why);
    r->say_again = clock_mono_ms() + SAY_MS;
    if (r->opt.bg || r->opt.foreground)
        log_info("'%s': waiting for the master, %lld min more at most (option retry): %s", r->point,
                 (long long)((left_ms + 59999) / 60000), why);
    else
        printable_line(
            stderr, "mount.eefs: waiting for the master, %lld min more at most (option retry): %s",
            (long long)((left_ms + 59999) / 60000), why);
}

static bool give_up(void *arg)
{
    struct run *r = arg;

    return daemon_forsaken(r->daemon);
}

/* A master that accepts connections but does not answer: mount(8) does not wait for it with bg. */
static void *background_run(void *arg)
{
    struct run *r = arg;

    mutex_lock(&r->lock);
    if (!r->opened && !cond_wait_until(&r->done, &r->lock, clock_mono_ms() + BG_MS) && !r->opened)
        daemon_background(r->daemon);
    mutex_unlock(&r->lock);
    return NULL;
}

static int open_mirror(struct run *r, struct err *e)
{
    int64_t minutes = r->opt.retry >= 0 ? r->opt.retry : r->opt.bg ? RETRY_BG : RETRY_FG;
    bool apart = r->opt.bg && r->daemon;
    pthread_t thread;
    int res;

    r->config.retry_ms = minutes * 60000;
    r->config.waiting = waiting;
    r->config.give_up = give_up;
    r->config.wait_arg = r;
    mutex_init(&r->lock);
    cond_init(&r->done);
    apart = apart && thread_start(&thread, "background", background_run, r) == 0;
    res = mirror_open(&r->config, &r->fs.mirror, e);
    mutex_lock(&r->lock);
    r->opened = true;
    cond_signal(&r->done);
    mutex_unlock(&r->lock);
    if (apart)
        thread_join(thread);
    return res;
}

/* In the child, or in the foreground. */
static int run(struct run *r)
{
    struct err e = {0, ""};
    int res;

    raise_limits();
    thread_load_unwinder();
    res = rundir_ensure(r->config.rundir, &e);
    if (res == 0)
        res = abort_watchdog_start(r->point, &e);
    if (res == 0)
        res = open_mirror(r, &e);
    if (res == 0) {
        r->fs.replica = mirror_replica(r->fs.mirror);
        r->fs.store = mirror_store(r->fs.mirror);
        res = fs_init(&r->fs);
        if (res < 0)
            err_sys(&e, -res, "cannot start threads");
        else
            res = serve(r, &e);
    }
    if (res < 0)
        daemon_failed(r->daemon, &e);
    if (r->fs.nodes) /* answers that are under way need the session until here */
        pool_drain(r->fs.pool);
    session_free(&r->fs);
    fs_release(&r->fs);
    mirror_close(r->fs.mirror);
    return res < 0 ? EXIT_MOUNT : 0;
}

static int fail(const struct err *e, int code)
{
    printable_line(stderr, "mount.eefs: %s", e->text);
    return code;
}

int main(int argc, char **argv)
{
    static struct run r;
    struct err e = {0, ""};
    char *warning = NULL;
    int res;

    log_init("mount.eefs", LOG_LEVEL_INFO);
    if (options_parse(argc, argv, &r.opt, &e) < 0)
        return fail(&e, EXIT_USAGE);
    if (r.opt.help) {
        options_help(r.opt.help);
        return 0;
    }
    if (r.opt.version) {
        printf("mount.eefs %s\n", EEFS_VERSION);
        return 0;
    }
    if (make_rules(&r, &e) < 0 || make_hooks(&r, &e) < 0)
        return fail(&e, EXIT_USAGE);
    if (r.opt.remount)
        return remount_run(&r.opt, &e) < 0 ? fail(&e, EXIT_MOUNT) : 0;
    res = mountpoint_check(r.opt.point, r.opt.fake, &r.point, &warning, &e);
    if (res != 0)
        return res < 0 ? fail(&e, EXIT_MOUNT) : 0;
    if (configure(&r, &e) < 0)
        return fail(&e, EXIT_MOUNT);
    if (warning)
        printable_line(stderr, "mount.eefs: %s", warning);
    free(warning);
    if (r.opt.fake)
        return 0;
    if (!r.opt.foreground && daemon_start(&r.daemon, &e) < 0)
        return fail(&e, EXIT_MOUNT);
    return run(&r);
}
