/* SPDX-License-Identifier: MIT */
/*
 * config: the settings of one mirror, and the functions of its user that it calls. All rooms of
 * sync/mirror but store and replica see it.
 */
#ifndef EEFS_MIRROR_CONFIG_H
#define EEFS_MIRROR_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sync/common/err.h"
#include "sync/common/opt.h"

struct account;
struct ctl_peer;

/* A command that runs when something changes on the master (hooks.h). */
struct mirror_hook {
    char *glob, *command;
    const struct account *account; /* whom it runs as; NULL: as we do */
    struct strlist hidden;         /* paths that this user may not see */
};

struct mirror_config {
    const char *url;         /* http(s)://host[:port]/ */
    const char *token;       /* the secret itself */
    const char *cafile;      /* see struct http_config; may be NULL */
    bool insecure_http;      /* the same */
    const char *cache;       /* folder; created 0700 */
    int64_t cache_size;      /* bytes of clean content */
    int64_t lag_limit;       /* ms behind the master beyond which it is DEGRADED */
    int64_t isolated_grace;  /* ms without the master after which it is not fit for visitors */
    int64_t import_age;      /* ms after which the last import is too old for them; 0: never */
    int64_t check_every;     /* ms between two looks */
    const char *check_url;   /* a page of this machine that must answer, or NULL */
    const char *check_text;  /* and have this text, or NULL */
    const char *monitor;     /* HOST:PORT on loopback of the pages of health.h, or NULL */
    struct strlist prefetch; /* "all", "none" or globs */
    bool offline_fail;       /* offline=fail instead of queue */
    bool read_only;
    const char *instance;   /* name for sockets and messages */
    const char *mountpoint; /* absolute; told by status */
    const char *rundir;     /* rundir_path() */
    /* True when a local user may see `path` in the mount; asked for peers of the control socket
     * that are neither root nor the mount's own user. NULL: nobody may. */
    bool (*shows)(void *arg, const struct ctl_peer *who, const char *path);
    /* The same for removing the file at `path`. */
    bool (*removes)(void *arg, const struct ctl_peer *who, const char *path);
    void *shows_arg;
    /* An empty cache needs the master: how long to wait for it (ms), a function that gets the
     * reason before each further try (may be NULL), and one that ends the wait (may be NULL). */
    int64_t retry_ms;
    void (*waiting)(void *arg, const char *why, int64_t left_ms);
    bool (*give_up)(void *arg);
    void *wait_arg;
    const struct mirror_hook *hooks; /* live as long as the mirror */
    size_t n_hooks;
};

/*
 * Called after a commit, without any lock held, from one thread of its own, in commit order: the
 * view of `path` (and so its folder's listing) may have changed; fs asks the replica for the new
 * one. Changes made through the mount are reported only when the view later differs from them. `n`
 * 0: anything may have changed everywhere: other paths may be written now, or the replica's
 * database is a new one.
 */
typedef void mirror_change_fn(void *arg, const char *const *paths, size_t n);

/* The end of a fetch or of a wait: result is 0 or -errno. Called once, from a thread of the
 * mirror. */
typedef void mirror_done_fn(void *arg, int result);

/*
 * Called by the control socket's "remount", in a thread of its own. `options`: as after -o. apply
 * false: only checks whether it can be done. 0 or -errno with a sentence.
 */
typedef int mirror_remount_fn(void *arg, const char *options, bool apply, struct err *e);

#endif
