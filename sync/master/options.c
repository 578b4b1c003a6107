/* SPDX-License-Identifier: MIT */
#include "sync/master/options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"

#define TABLE_MAX 24

static void make_table(struct serve_options *o, struct opt *ret)
{
    const struct opt table[] = {
        {OPT_STRING, "root", "DIR", &o->root, NULL, 0, 0, "the folder to serve"},
        {OPT_STRING, "state", "DIR", &o->state, NULL, 0, 0, "where the database is kept"},
        {OPT_STRING, "listen", "HOST:PORT", &o->listen, NULL, 0, 0, "where to listen"},
        {OPT_FLAG, "insecure-http", NULL, &o->insecure_http, NULL, 0, 0,
         "listen without TLS on an address that is not loopback"},
        {OPT_STRING, "rundir", "DIR", &o->rundir, NULL, 0, 0,
         "folder of the control socket (default $EEFS_RUNDIR or /run/eefs)"},
        {OPT_STRING, "owner", "USER[:GROUP]", &o->owner, NULL, 0, 0,
         "who owns what mirrors write (default: as what it replaces or the folder it is put into, "
         "as far as the user that serves may) (*)"},
        {OPT_STRING, "conflicts", "DIR", &o->conflicts, NULL, 0, 0,
         "keep the losers of conflicts there instead of beside the file"},
        {OPT_STRING, "store", "DIR", &o->store, NULL, 0, 0,
         "keep versions and unfinished uploads there instead of in .eefs in the folder; on the "
         "same "
         "filesystem, where no web server reaches it"},
        {OPT_STRING, "config", "FILE", &o->config, NULL, 0, 0,
         "more of these options, 'name = value'; the command line wins"},
        {OPT_LIST, "exclude", "PATTERN", &o->exclude, NULL, 0, 0,
         "names or paths that are not shared; may be repeated (*)"},
        {OPT_DURATION, "rescan", "TIME", &o->rescan_ms, "15min", 0, 0,
         "how often to compare the whole folder; 0: never (*)"},
        {OPT_INT, "max-delete", "N", &o->max_delete, "500", 0, 0,
         "files that may be deleted within a minute; more, and more than 20 %, are held (*)"},
        {OPT_SIZE, "reserve", "SIZE", &o->reserve, "64M", 0, 0,
         "what mirrors send is refused when less is free on the disk (*)"},
        {OPT_SIZE, "upload-space", "SIZE", &o->upload_space, "10G", 1, INT64_MAX,
         "how much one mirror may have uploaded that no operation has named yet (*)"},
        {OPT_DURATION, "open-limit", "TIME", &o->open_ms, "10min", 0, 0,
         "a file that a writer holds open for longer makes the status DEGRADED; 0: never (*)"},
        {OPT_DURATION, "quiet-time", "TIME", &o->quiet_ms, "5s", 0, 0,
         "where it cannot be told whether somebody is writing a file (NFS, CIFS, FUSE; files of "
         "others without CAP_LEASE): it is published when unchanged for so long (*)"},
        {OPT_SIZE, "keep-space", "SIZE", &o->keep.space, "2G", 0, 0,
         "how much of earlier versions is kept, to be restored; 0: none"},
        {OPT_DURATION, "keep-age", "TIME", &o->keep.age_ms, "30d", 0, 0,
         "for how long a version is kept"},
        {OPT_SIZE, "keep-file", "SIZE", &o->keep.file, "64M", 0, 0,
         "the largest file that is kept"},
        {OPT_INT, "keep-versions", "N", &o->keep.versions, "20", 0, 0,
         "how many earlier versions of one path are kept"},
        {OPT_LIST, "keep-except", "PATTERN", &o->keep.except, NULL, 0, 0,
         "names or paths whose versions are not kept; may be repeated"},
        {OPT_END, NULL, NULL, NULL, NULL, 0, 0, NULL},
    };

    _Static_assert(sizeof(table) / sizeof(table[0]) <= TABLE_MAX, "make TABLE_MAX larger");
    memcpy(ret, table, sizeof(table));
}

void options_help(void)
{
    struct serve_options o = {0};
    struct opt table[TABLE_MAX];

    make_table(&o, table);
    opt_help(table, "eefs-master serve --root DIR --state DIR --listen HOST:PORT [options]\n"
                    "SIGHUP reads the options again: those marked (*) change at once");
}

static int parse_argv(const struct opt *table, int argc, char **argv, bool *help, struct err *e)
{
    char **copy = xcalloc((size_t)argc + 1, sizeof(*copy)); /* opt_argv() moves what is no option */
    int nargs = 0, r;

    memcpy(copy, argv, (size_t)argc * sizeof(*copy));
    r = opt_argv(table, argc, copy, &nargs, help, e);
    if (r == 0 && nargs > 0 && !*help)
        r = err_set(e, EINVAL, "serve: unexpected argument '%s'", copy[0]);
    free(copy);
    return r;
}

int options_parse(int argc, char **argv, struct serve_options *ret, bool *help, struct err *e)
{
    struct serve_options first = {0}, o = {0};
    struct opt first_table[TABLE_MAX], table[TABLE_MAX];
    int r;

    make_table(&first, first_table);
    make_table(&o, table);
    r = parse_argv(first_table, argc, argv, help, e);
    if (r == 0 && !*help) {
        opt_defaults(table);
        if (first.config)
            r = opt_file(table, first.config, e);
        if (r == 0)
            r = parse_argv(table, argc, argv, help, e);
    }
    if (r == 0 && !*help && (!o.root || !o.state || !o.listen))
        r = err_set(e, EINVAL, "serve: --%s is missing",
                    !o.root    ? "root"
                    : !o.state ? "state"
                               : "listen");
    options_release(&first);
    if (r < 0)
        options_release(&o);
    else
        *ret = o;
    return r;
}

void options_release(struct serve_options *o)
{
    free(o->root);
    free(o->state);
    free(o->listen);
    free(o->rundir);
    free(o->owner);
    free(o->config);
    free(o->conflicts);
    free(o->store);
    strlist_release(&o->exclude);
    strlist_release(&o->keep.except);
    memset(o, 0, sizeof(*o));
}
