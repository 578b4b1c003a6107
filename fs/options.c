/* SPDX-License-Identifier: MIT */
#include "fs/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "sync/common/buf.h"

#define IGNORED(name)                                                                              \
    {                                                                                              \
        OPT_IGNORED, name, NULL, NULL, NULL, 0, 0, NULL                                            \
    }

#define KERNEL(name, help)                                                                         \
    {                                                                                              \
        OPT_FLAG, name, NULL, &o->kernel, NULL, 0, 0, help                                         \
    }

#define TABLE_MAX 96

/* The table with its destinations in *o. */
static void make_table(struct options *o, struct opt *ret)
{
    const struct opt table[] = {
        {OPT_STRING, "token_file", "FILE", &o->token_file, NULL, 0, 0,
         "file with this mirror's token (mode 0600); required"},
        {OPT_STRING, "cafile", "FILE", &o->cafile, NULL, 0, 0,
         "PEM file of the authorities that may sign the master's certificate (default: the "
         "system's)"},
        {OPT_FLAG, "insecure_http", NULL, &o->insecure_http, NULL, 0, 0,
         "let token and files travel unencrypted (http://) on a network that you trust"},
        {OPT_STRING, "cache", "DIR", &o->cache, NULL, 0, 0,
         "cache folder (default: /var/cache/eefs/<instance>)"},
        {OPT_SIZE, "cache_size", "SIZE", &o->cache_size, "10G", 1, INT64_MAX,
         "bytes of clean content to keep"},
        {OPT_STRING, "prefetch", "GLOB:GLOB", &o->prefetch, "all", 0, 0,
         "what to fetch before it is read: all, none, or patterns separated by ':'"},
        {OPT_ENUM, "offline", "queue|fail", &o->offline, "queue", 0, 0,
         "close() while the master is away: queue and succeed, or fail"},
        {OPT_DURATION, "lag_limit", "TIME", &o->lag_limit, "60s", 0, INT64_MAX,
         "behind the master for longer than this is DEGRADED in eefs-status"},
        {OPT_LIST, "private", "PATH:USER", &o->private, NULL, 0, 0,
         "what lies under PATH is USER's alone (default: sql:root); may be repeated; none"},
        {OPT_LIST, "on_change", "GLOB:COMMAND", &o->on_change, NULL, 0, 0,
         "command to run when something that matches GLOB came from the master; may be repeated"},
        {OPT_STRING, "on_change_user", "USER", &o->on_change_user, NULL, 0, 0,
         "whom those commands run as (default: the owner of everything, see uid)"},
        {OPT_FLAG, "allow_other", NULL, &o->allow_other, NULL, 0, 0,
         "let other users in (the web server needs it)"},
        {OPT_STRING, "uid", "USER", &o->uid, NULL, 0, 0,
         "owner of everything, by name or number (default: who mounts)"},
        {OPT_STRING, "gid", "GROUP", &o->gid, NULL, 0, 0,
         "its group (default: the primary group of uid)"},
        {OPT_MODE, "umask", "MODE", &o->umask, "0", 0, 0777, "permission bits taken away"},
        {OPT_FLAG, "ro", NULL, &o->read_only, NULL, 0, 0, "read only"},
        {OPT_STRING, "instance", "NAME", &o->instance, NULL, 0, 0,
         "name for sockets and messages (default: the mountpoint)"},
        {OPT_STRING, "rundir", "DIR", &o->rundir, NULL, 0, 0,
         "folder of the control socket (default: $EEFS_RUNDIR or /run/eefs)"},
        {OPT_FLAG, "foreground", NULL, &o->foreground, NULL, 0, 0,
         "do not daemonise; messages go to stderr"},
        KERNEL("nosuid", "no programs that run as another user (the default)"),
        KERNEL("nodev", "no devices (the default)"),
        KERNEL("noexec", "no programs at all"),
        KERNEL("noatime", "access times are never changed by reading (they are not in any case)"),
        KERNEL("nodiratime", "the same for folders"),
        KERNEL("relatime", "as noatime here; accepted for mount(8)"),
        KERNEL("strictatime", "as noatime here; accepted for mount(8)"),
        KERNEL("lazytime", "as noatime here; accepted for mount(8)"),
        KERNEL("sync", "each write(2) waits as fsync(2) does"),
        KERNEL("dirsync", "changes of folders are synchronous"),
        KERNEL("nosymfollow", "symbolic links are not followed"),
        {OPT_FLAG, "remount", NULL, &o->remount, NULL, 0, 0,
         "change ro, rw and other options of a mount that is served"},
        {OPT_INT, "retry", "MINUTES", &o->retry, NULL, 0, 100000000,
         "how long a first mount (empty cache) waits for the master, as nfs(5) has it (default: 2, "
         "with bg 10000)"},
        {OPT_FLAG, "bg", NULL, &o->bg, NULL, 0, 0,
         "wait for it in the background: mount(8) returns at once"},
        {OPT_FLAG, "fg", NULL, &o->fg, NULL, 0, 0, "wait for it in the foreground (default)"},
        IGNORED("user"),
        IGNORED("nouser"),
        IGNORED("users"),
        IGNORED("owner"),
        IGNORED("group"),
        IGNORED("nofail"),
        IGNORED("_netdev"),
        IGNORED("auto"),
        IGNORED("noauto"),
        IGNORED("defaults"),
        IGNORED("comment"),
        IGNORED("silent"),
        IGNORED("loud"),
        IGNORED("default_permissions"),
        {OPT_END, NULL, NULL, NULL, NULL, 0, 0, NULL},
    };

    _Static_assert(sizeof(table) <= TABLE_MAX * sizeof(struct opt), "TABLE_MAX is too small");
    memcpy(ret, table, sizeof(table));
}

static bool in_table(const struct opt *table, const char *item)
{
    size_t len = strcspn(item, "=");

    for (; table->type != OPT_END; table++)
        if (strlen(table->name) == len && strncmp(table->name, item, len) == 0)
            return true;
    return false;
}

static bool is_userspace(const char *item)
{
    return strncmp(item, "x-", 2) == 0 || strncmp(item, "X-", 2) == 0 ||
           strncmp(item, "comment=", 8) == 0;
}

/* What the kernel shows of any FUSE mount, and mount(8) gives back for a remount. */
static bool of_mountinfo(const char *item)
{
    static const char *const names[] = {
        "user_id=", "group_id=", "rootmode=", "max_read=", "blksize=", "subtype=", "fsname="};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strncmp(item, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

int options_list(struct options *o, const char *list, bool sloppy, struct err *e)
{
    struct opt table[TABLE_MAX];
    int r = 0;

    make_table(o, table);
    while (*list && r == 0) {
        size_t len = 0;
        char *item;

        while (list[len] && list[len] != ',')
            len += list[len] == '\\' && list[len + 1] ? 2 : 1;
        item = xstrndup(list, len);
        if (o->remount && of_mountinfo(item))
            ;
        else if (flags_take(&o->flags, item))
            o->read_only = (o->flags.on & MS_RDONLY) != 0;
        else if (*item && !is_userspace(item) && (!sloppy || in_table(table, item)))
            r = opt_comma(table, item, "-o", e);
        free(item);
        list += len + (list[len] == ',');
    }
    return r;
}

static int positional(int argc, char **argv, struct options *o, struct err *e)
{
    if (argc != 2)
        return err_set(e, EINVAL, "%s; usage: mount.eefs URL DIR [-sfnv] [-o options]",
                       argc < 2 ? "the master's URL and the mountpoint are needed"
                                : "too many arguments");
    o->spec = argv[0];
    o->point = argv[1];
    if (!*o->spec)
        return err_set(e, EINVAL, "the master's URL is empty");
    if (!o->token_file && !o->remount)
        return err_set(e, EINVAL,
                       "no token: give -o token_file=FILE with the token that "
                       "'eefs-master mirror add' printed");
    return 0;
}

static void join(const struct strlist *lists, struct options *o)
{
    struct buf b = BUF_INIT;

    buf_puts(&b, "");
    for (size_t i = 0; i < lists->n; i++)
        buf_printf(&b, "%s%s", i > 0 ? "," : "", lists->v[i]);
    o->given = buf_detach(&b);
    for (const char *p = o->given; (p = strstr(p, "remount")); p += 7)
        if ((p == o->given || p[-1] == ',') && (p[7] == ',' || !p[7]))
            o->remount = true;
}

int options_parse(int argc, char **argv, struct options *ret, struct err *e)
{
    static const struct option longs[] = {
        {"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'}, {NULL, 0, NULL, 0}};
    struct opt table[TABLE_MAX];
    struct strlist lists = {NULL, 0};
    int c, r = 0;

    memset(ret, 0, sizeof(*ret));
    ret->retry = -1; /* not given */
    make_table(ret, table);
    for (struct opt *t = table; t->type != OPT_END; t++)
        if (t->type == OPT_STRING || t->type == OPT_ENUM)
            t->def = NULL; /* set below, so that no default is dropped unfreed */
    opt_defaults(table);
    opterr = 0;
    optind = 0; /* glibc: start anew */
    while ((c = getopt_long(argc, argv, ":sfnvhVt:o:", longs, NULL)) != -1) {
        ret->sloppy |= c == 's';
        ret->fake |= c == 'f';
        ret->verbose |= c == 'v';
        ret->help |= c == 'h';
        ret->version |= c == 'V';
        if (c == 'o')
            strlist_add(&lists, optarg);
        if (c == '?' || c == ':') {
            r = err_set(e, EINVAL, "%s option '%s'; --help lists the options",
                        c == '?' ? "unknown" : "argument missing after", argv[optind - 1]);
            break;
        }
    }
    join(&lists, ret);
    for (size_t i = 0; i < lists.n && r == 0; i++)
        r = options_list(ret, lists.v[i], ret->sloppy, e);
    strlist_release(&lists);
    if (!ret->offline)
        ret->offline = xstrdup("queue");
    if (!ret->prefetch)
        ret->prefetch = xstrdup("all");
    if (r == 0 && !ret->help && !ret->version)
        r = positional(argc - optind, argv + optind, ret, e);
    return r;
}

void options_help(void)
{
    struct options o;
    struct opt table[TABLE_MAX];

    make_table(&o, table);
    opt_help(table, "usage: mount.eefs URL DIR [-sfnv] [-o name=value,...]\n"
                    "\n"
                    "Mounts the folder that eefs-master serves at URL on DIR, with a local cache.\n"
                    "  -s  tolerate unknown options   -f  check everything, but do not mount\n"
                    "  -n, -v  accepted for mount(8)     --help, --version\n"
                    "\n"
                    "Options after -o (as in fstab; context= and its like reach the kernel):\n");
}

static char *dup_text(const char *s)
{
    return s ? xstrdup(s) : NULL;
}

void options_copy(struct options *to, const struct options *from)
{
    *to = *from;
    to->token_file = dup_text(from->token_file);
    to->cafile = dup_text(from->cafile);
    to->cache = dup_text(from->cache);
    to->offline = dup_text(from->offline);
    to->instance = dup_text(from->instance);
    to->rundir = dup_text(from->rundir);
    to->prefetch = dup_text(from->prefetch);
    to->uid = dup_text(from->uid);
    to->gid = dup_text(from->gid);
    to->on_change_user = dup_text(from->on_change_user);
    to->given = NULL;
    to->flags.contexts = NULL;
    to->private = to->on_change = (struct strlist){NULL, 0};
}

void options_release(struct options *o)
{
    char *const all[] = {o->token_file, o->cafile,         o->cache,    o->offline,
                         o->instance,   o->rundir,         o->prefetch, o->uid,
                         o->gid,        o->on_change_user, o->given,    o->flags.contexts};

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        free(all[i]);
    strlist_release(&o->private);
    strlist_release(&o->on_change);
}
