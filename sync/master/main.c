/* SPDX-License-Identifier: MIT */
/*
 * eefs-master: serves a folder to its mirrors. README.md is the map of the rooms. From the top down:
 *
 *   main.c                    the subcommands and their help
 *   serve.c                   start, signals, reload, stop
 *   options.c                 the options of serve
 *   master.h                  what the threads of serve share
 *   cli/cmd_mirror.c          mirror, confirm
 *   cli/cmd_versions.c        history, restore
 *   cli/cmd_adopt.c           adopt
 *   cli/cmd_recover.c         recover
 *   cli/cmd_backup.c          backup
 *   cli/state_dir.c           the database and the socket of a state folder
 *   cli/fail.c                how a command fails
 *   control/status.c          the control socket: status, requests of commands
 *   http/server.c             listening, and the life of a request
 *   http/routes.c             who may ask, and the answers
 *   http/connections.c        how many, how long
 *   http/intruder.c           requests without a valid token
 *   http/feed.c               pages of changes, long polls
 *   http/content.c            downloads and uploads
 *   http/lost.c               what mirrors have that the master lost
 *   http/reply.c              answers in JSON
 *   recovery/adopt.c          a folder without a marker against the database
 *   recovery/recover.c        what mirrors have and the master lost
 *   versions/keeper.c         fills and empties the store of versions
 *   versions/settle.c         looks again at files that were taken out of the folder
 *   versions/restore.c        a version back into the folder
 *   scan/watch.c              inotify
 *   scan/workers.c            take paths from the scan queue
 *   scan/examine.c            one look at a path
 *   scan/find_renamed.c       a new name of what is known
 *   scan/name_collisions.c    names that look alike
 *   commit/committer.c        the one writer, its queue and transactions
 *   commit/fit.c              whether the master can serve now
 *   commit/disk_check.c       whether a disk that failed works again
 *   ops/batch.c               operations of a mirror: keys, order, answers
 *   ops/apply.c               one operation: by its kind, mkdir, removals, attributes
 *   ops/put.c                 contents and symlinks
 *   ops/put_group.c           many small files together
 *   ops/rename.c              renames
 *   ops/unseen.c              renames of folders that no scan has come to
 *   ops/current.c             what is at a path now, and whether that is expected
 *   ops/intent_log.c          notes before a file is moved
 *   ops/context.c             an operation on its way: answers, rows
 *   publish/observe.c         what a worker saw, judged once more
 *   publish/publish.c         a row for what is there
 *   publish/delete_guard.c    holds deletions back
 *   publish/put_back.c        a folder that is older than the database
 *   publish/renamed.c         a rename that was seen
 *   publish/rename_rows.c     rows under their new names
 *   publish/folder_renames.c  paths that lie in a folder that was renamed
 *   folder/root.c             the folder and its marker
 *   folder/epoch.c            a number by which it is known to be older
 *   folder/root_monitor.c     looks at it now and then
 *   folder/private_dir.c      .eefs, or the folder of --store
 *   folder/volume.c           filesystems below the root
 *   folder/fstype.c           what a filesystem lacks
 *   folder/space.c            free room on the disks
 *   folder/visible.c          which paths are served
 *   folder/scan_queue.c       paths that wait for a look
 *   folder/departures.c       where what is gone went to
 *   folder/notices.c          what status lists
 *   folder/upload.c           uploads in staging
 *   folder/staging.c          files on their way into the folder
 *   folder/install.c          staging files to their places
 *   folder/owner.c            which owner they get
 *   folder/inherit.c          access lists and attributes that they keep
 *   folder/replace.c          what is in the way is taken out
 *   folder/displaced.c        what was taken out, until it is settled
 *   folder/conflict.c         where the loser of a conflict goes
 *   folder/carry.c            large contents to another filesystem
 *   folder/lease.c            whether a writer has a file open
 *   folder/kept.c             contents of earlier versions
 *   db/schema.c               the tables
 *   db/meta.c                 single values
 *   db/tree.c                 entries, timelines, transactions
 *   db/history.c              versions of a path
 *   db/kept_rows.c            what the store of versions has
 *   db/registry.c             mirrors: names, tokens, scopes
 *   db/registry_copy.c        a copy of them beside the database
 *   db/reports.c              what mirrors reported last, in memory
 *   db/lost_rows.c            what mirrors have that the master lost
 *   db/wanted.c               contents that are asked of mirrors, in memory
 *   db/answers.c              answers to operations
 *   db/intents.c              notes of operations under way
 *   db/renames.c              renames of folders
 *   db/readers.c              connections for reading
 *   db/checkpoint.c           the log into the database
 *   db/head.c                 the last commit, and who waits for the next
 *   db/rebuild.c              a new database for a damaged one
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/log.h"
#include "sync/common/opt.h"
#include "sync/master/cli/cmd_adopt.h"
#include "sync/master/cli/cmd_backup.h"
#include "sync/master/cli/cmd_mirror.h"
#include "sync/master/cli/cmd_recover.h"
#include "sync/master/cli/cmd_versions.h"
#include "sync/master/cli/fail.h"
#include "sync/master/options.h"
#include "sync/master/serve.h"

/* argv[-1] is the program's name. */
static int cmd_serve(int argc, char **argv)
{
    struct serve_options o;
    struct err e = {0};
    enum opt_help help = OPT_HELP_NONE;
    int r;

    if (options_parse(argc, argv, &o, &help, &e) < 0)
        return cli_fail(&e);
    if (help) {
        options_help(help);
        options_release(&o);
        return 0;
    }
    r = serve(&o, argc, argv, &e);
    if (r == SERVE_AGAIN) {
        execv("/proc/self/exe", argv - 1);
        err_sys(&e, errno, "cannot start '/proc/self/exe'");
        r = -1;
    }
    return r < 0 ? cli_fail(&e) : 0;
}

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"serve", cmd_serve},     {"confirm", cmd_confirm}, {"mirror", cmd_mirror},
    {"history", cmd_history}, {"restore", cmd_restore}, {"adopt", cmd_adopt},
    {"recover", cmd_recover}, {"backup", cmd_backup},
};

#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

/* The help of all commands: each is asked for its own. */
static int help_all(enum opt_help form)
{
    char usage[] = "--help=usage", json[] = "--help=json";

    if (form == OPT_HELP_TEXT)
        puts("usage:");
    for (size_t i = 0; i < N_COMMANDS; i++) {
        char *name = xstrdup(commands[i].name);
        char *argv[] = {name, form == OPT_HELP_JSON ? json : usage, NULL};

        commands[i].run(2, argv);
        free(name);
    }
    if (form == OPT_HELP_TEXT)
        puts("       eefs-master --version\n\n"
             "'eefs-master COMMAND --help' explains the options of a command.");
    return 0;
}

int main(int argc, char **argv)
{
    const char *word = argc >= 2 ? argv[1] : "";
    enum opt_help help = OPT_HELP_NONE;
    struct err e = {0};

    log_init("eefs-master", LOG_LEVEL_INFO);
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (strcmp(word, commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    if (strcmp(word, "--version") == 0) {
        printf("eefs-master %s\n", EEFS_VERSION);
        return 0;
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        help = OPT_HELP_TEXT;
    else if (strncmp(word, "--help=", 7) == 0)
        help = opt_help_form(word + 7);
    if (help)
        return help_all(help);
    if (*word)
        err_set(&e, EINVAL, "unknown command '%s'; --help lists the commands", word);
    else
        err_set(&e, EINVAL, "no command; --help lists the commands");
    return cli_fail(&e);
}
