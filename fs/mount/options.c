/* SPDX-License-Identifier: MIT */
/*
 * options: the table of options, the options that mount(8) passes on, and the parser of both.
 */
#include "fs/mount/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "sync/common/buf.h"

#define IGNORED(n)                                                                                 \
    {                                                                                              \
        .type = OPT_IGNORED, .name = n                                                             \
    }

/* An option that kernel_flags_take() takes before the table is asked. */
#define KERNEL(n, h)                                                                               \
    {                                                                                              \
        .type = OPT_FLAG, .name = n, .at = offsetof(struct options, kernel), .help = h             \
    }

static const struct opt table[] = {
    {.type = OPT_STRING,
     .name = "token_file",
     .arg = "FILE",
     .at = offsetof(struct options, token_file),
     .required = true,
     .help = "the file with this mirror's token; only its owner may read it (mode 0600)"},
    {.type = OPT_STRING,
     .name = "cafile",
     .arg = "FILE",
     .at = offsetof(struct options, cafile),
     .without = "the system's",
     .help = "a PEM file of the authorities that may sign the master's certificate"},
    {.type = OPT_FLAG,
     .name = "insecure_http",
     .at = offsetof(struct options, insecure_http),
     .help = "accept an http:// address of another machine: the token and all files cross the "
             "network unencrypted"},
    {.type = OPT_STRING,
     .name = "cache",
     .arg = "DIR",
     .at = offsetof(struct options, cache),
     .without = "/var/cache/eefs/INSTANCE",
     .help = "the folder of replica and contents"},
    {.type = OPT_SIZE,
     .name = "cache_size",
     .arg = "SIZE",
     .at = offsetof(struct options, cache_size),
     .def = "10G",
     .min = 1,
     .max = INT64_MAX,
     .help = "the disk space for contents; contents that are open or not on the master yet may "
             "exceed it"},
    {.type = OPT_STRING,
     .name = "prefetch",
     .arg = "GLOB:GLOB",
     .at = offsetof(struct options, prefetch),
     .def = "all",
     .help = "the contents to fetch before they are read: all, none, or patterns separated by ':'"},
    {.type = OPT_ENUM,
     .name = "offline",
     .arg = "queue|fail",
     .at = offsetof(struct options, offline),
     .def = "queue",
     .help = "while the master is away, close() and fsync() succeed (queue) or return an error "
             "(fail); the change is kept and sent later in both cases"},
    {.type = OPT_DURATION,
     .name = "lag_limit",
     .arg = "TIME",
     .at = offsetof(struct options, lag_limit),
     .def = "60s",
     .min = 0,
     .max = INT64_MAX,
     .help = "a mirror further behind the master than this is DEGRADED"},
    {.type = OPT_DURATION,
     .name = "isolated_grace",
     .arg = "TIME",
     .at = offsetof(struct options, isolated_grace),
     .def = "15min",
     .help = "a mirror without its master for longer than this is not fit for visitors"},
    {.type = OPT_DURATION,
     .name = "import_age",
     .arg = "TIME",
     .at = offsetof(struct options, import_age),
     .without = "no limit",
     .help = "a mirror whose last database import is older than this is not fit for visitors"},
    {.type = OPT_STRING,
     .name = "check_url",
     .arg = "URL",
     .at = offsetof(struct options, check_url),
     .help = "a page of this machine, such as the site's front page, without which it is not fit "
             "for visitors"},
    {.type = OPT_STRING,
     .name = "check_text",
     .arg = "TEXT",
     .at = offsetof(struct options, check_text),
     .help = "a text that this page must have"},
    {.type = OPT_DURATION,
     .name = "check_every",
     .arg = "TIME",
     .at = offsetof(struct options, check_every),
     .def = "2s",
     .min = 100,
     .max = 3600000,
     .help = "the time between two looks whether the mirror is fit for visitors"},
    {.type = OPT_STRING,
     .name = "monitor",
     .arg = "HOST:PORT",
     .at = offsetof(struct options, monitor),
     .without = "only RUNDIR/health-INSTANCE.sock",
     .help = "a loopback port for the pages /healthz, /status and /metrics"},
    {.type = OPT_LIST,
     .name = "private",
     .arg = "PATH:USER",
     .at = offsetof(struct options, private),
     .without = "sql:eefs, or sql:root where there is no user eefs",
     .help = "a subtree that only USER may enter; none: no subtree is private"},
    {.type = OPT_LIST,
     .name = "on_change",
     .arg = "GLOB:COMMAND",
     .at = offsetof(struct options, on_change),
     .help = "a command to run after files that match GLOB arrived from the master"},
    {.type = OPT_STRING,
     .name = "on_change_user",
     .arg = "USER",
     .at = offsetof(struct options, on_change_user),
     .without = "the owner of everything, see uid",
     .help = "the user that runs these commands"},
    {.type = OPT_FLAG,
     .name = "allow_other",
     .at = offsetof(struct options, allow_other),
     .help = "let other users in; a web server needs it"},
    {.type = OPT_STRING,
     .name = "uid",
     .arg = "USER",
     .at = offsetof(struct options, uid),
     .without = "the user that mounts",
     .help = "the owner of everything, a name or number"},
    {.type = OPT_STRING,
     .name = "gid",
     .arg = "GROUP",
     .at = offsetof(struct options, gid),
     .without = "the primary group of uid",
     .help = "the group of everything, a name or number"},
    {.type = OPT_MODE,
     .name = "umask",
     .arg = "MODE",
     .at = offsetof(struct options, umask),
     .def = "0",
     .min = 0,
     .max = 0777,
     .help = "permission bits to take away from all modes, octal"},
    {.type = OPT_FLAG,
     .name = "ro",
     .at = offsetof(struct options, read_only),
     .help = "mount read-only"},
    {.type = OPT_STRING,
     .name = "instance",
     .arg = "NAME",
     .at = offsetof(struct options, instance),
     .without = "the mountpoint",
     .help = "the mount's name in messages and of its control socket"},
    {.type = OPT_STRING,
     .name = "rundir",
     .arg = "DIR",
     .at = offsetof(struct options, rundir),
     .without = "$EEFS_RUNDIR or /run/eefs",
     .help = "the folder of the control socket"},
    {.type = OPT_FLAG,
     .name = "foreground",
     .at = offsetof(struct options, foreground),
     .help = "stay in the foreground and log to stderr"},
    KERNEL("nosuid", "ignore setuid and setgid bits (the default)"),
    KERNEL("nodev", "ignore device files (the default)"),
    KERNEL("noexec", "start no programs from the mount"),
    KERNEL("noatime", "do not change access times on reading (never done in any case)"),
    KERNEL("nodiratime", "the same for folders"),
    KERNEL("relatime", "accepted for mount(8); has the effect of noatime"),
    KERNEL("strictatime", "accepted for mount(8); has the effect of noatime"),
    KERNEL("lazytime", "accepted for mount(8); has the effect of noatime"),
    KERNEL("sync", "each write(2) waits as fsync(2) does"),
    KERNEL("dirsync", "make changes of folders synchronous"),
    KERNEL("nosymfollow", "do not follow symbolic links"),
    {.type = OPT_FLAG,
     .name = "remount",
     .at = offsetof(struct options, remount),
     .help = "change ro, rw and other kernel options of an existing mount"},
    {.type = OPT_INT,
     .name = "retry",
     .arg = "MINUTES",
     .at = offsetof(struct options, retry),
     .without = "2, with bg 10000",
     .min = 0,
     .max = 100000000,
     .help = "the minutes that a first mount (empty cache) waits for the master, as in nfs(5)"},
    {.type = OPT_FLAG,
     .name = "bg",
     .at = offsetof(struct options, bg),
     .help = "wait in the background: mount(8) returns at once"},
    {.type = OPT_FLAG,
     .name = "fg",
     .at = offsetof(struct options, fg),
     .help = "wait in the foreground (the default)"},
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
    {0},
};

static const struct opt_command command = {
    .name = "mount.eefs",
    .args = "URL DIR [-sfnv]",
    .about = "Mounts the folder that eefs-master serves at URL on DIR, with a local cache. "
             "mount(8) runs it for lines of type eefs in /etc/fstab.\n\n"
             "-f checks everything and does not mount; -s ignores unknown options; -n, -v and "
             "-t TYPE are accepted for mount(8); --help prints this text, --version the version. "
             "Security contexts (context= and the like) go to the kernel.",
    .listed = true,
    .options = table,
};

static bool in_table(const char *item)
{
    size_t len = strcspn(item, "=");

    for (const struct opt *t = table; t->type != OPT_END; t++)
        if (strlen(t->name) == len && strncmp(t->name, item, len) == 0)
            return true;
    return false;
}

static bool is_userspace(const char *item)
{
    return strncmp(item, "x-", 2) == 0 || strncmp(item, "X-", 2) == 0 ||
           strncmp(item, "comment=", 8) == 0;
}

/* Options that the kernel shows for any FUSE mount and that mount(8) repeats for a remount. */
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
    int r = 0;

    while (*list && r == 0) {
        size_t len = 0;
        char *item;

        while (list[len] && list[len] != ',')
            len += list[len] == '\\' && list[len + 1] ? 2 : 1;
        item = xstrndup(list, len);
        if (o->remount && of_mountinfo(item))
            ;
        else if (kernel_flags_take(&o->flags, item))
            o->read_only = (o->flags.on & MS_RDONLY) != 0;
        else if (*item && !is_userspace(item) && (!sloppy || in_table(item)))
            r = opt_comma(table, o, item, "-o", e);
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
    static const struct option longs[] = {{"help", optional_argument, NULL, 'h'},
                                          {"version", no_argument, NULL, 'V'},
                                          {NULL, 0, NULL, 0}};
    struct strlist lists = {NULL, 0};
    int c, r = 0;

    memset(ret, 0, sizeof(*ret));
    ret->retry = -1; /* not given */
    opt_defaults(table, ret);
    opterr = 0;
    optind = 0; /* glibc: start anew */
    while ((c = getopt_long(argc, argv, ":sfnvhVt:o:", longs, NULL)) != -1) {
        ret->sloppy |= c == 's';
        ret->fake |= c == 'f';
        ret->verbose |= c == 'v';
        ret->version |= c == 'V';
        if (c == 'h' && (ret->help = opt_help_form(optarg)) == OPT_HELP_NONE)
            c = '?';
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
    if (r == 0 && !ret->help && !ret->version)
        r = positional(argc - optind, argv + optind, ret, e);
    return r;
}

void options_help(enum opt_help form)
{
    opt_help(&command, form);
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
    to->check_url = dup_text(from->check_url);
    to->check_text = dup_text(from->check_text);
    to->monitor = dup_text(from->monitor);
    to->given = NULL;
    to->flags.contexts = NULL;
    to->private = to->on_change = (struct strlist){NULL, 0};
}

void options_release(struct options *o)
{
    char *const all[] = {o->token_file, o->cafile,         o->cache,    o->offline,
                         o->instance,   o->rundir,         o->prefetch, o->uid,
                         o->gid,        o->on_change_user, o->given,    o->flags.contexts,
                         o->check_url,  o->check_text,     o->monitor};

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        free(all[i]);
    strlist_release(&o->private);
    strlist_release(&o->on_change);
}
