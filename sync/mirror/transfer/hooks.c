/* SPDX-License-Identifier: MIT */
/*
 * Changed paths are gathered for each hook until it is due; one thread runs the hooks that are due,
 * one command at a time. The mark CACHE/on_change.due is there from the first change until no hook
 * is due any more.
 */
#include "sync/mirror/transfer/hooks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sync/common/clock.h"
#include "sync/common/file.h"
#include "sync/common/log.h"
#include "sync/common/path.h"
#include "sync/common/subprocess.h"
#include "sync/common/worker.h"
#include "sync/mirror/transfer/context.h"

#define QUIET_MS   1000
#define LATEST_MS  10000
#define LIMIT_MS   60000
#define LIST_BYTES (100 * 1024) /* the kernel takes 128 KiB for one variable */
#define DUE_NAME   "on_change.due"

struct hook {
    const struct mirror_hook *config;
    struct buf paths; /* since it ran last, one a line */
    bool all;         /* they are not known */
    bool failed;
    int64_t first, due; /* mono ms; due 0: nothing to do */
};

struct hooks {
    struct mirror *m;
    struct worker worker; /* its lock guards the hooks' lists and times */
    volatile int stop;    /* the same as the worker's, for subprocess_wait() */
    struct hook *v;
    size_t n;
    char *due_path;
};

struct hooks *hooks_new(struct mirror *m)
{
    struct hooks *h = xcalloc(1, sizeof(*h));

    h->m = m;
    h->n = m->cfg.n_hooks;
    h->v = xcalloc(h->n ? h->n : 1, sizeof(*h->v));
    for (size_t i = 0; i < h->n; i++)
        h->v[i].config = &m->cfg.hooks[i];
    h->due_path = xasprintf("%s/" DUE_NAME, m->cfg.cache);
    worker_init(&h->worker);
    return h;
}

void hooks_free(struct hooks *h)
{
    if (!h)
        return;
    for (size_t i = 0; i < h->n; i++)
        buf_release(&h->v[i].paths);
    worker_release(&h->worker);
    free(h->due_path);
    free(h->v);
    free(h);
}

static bool is_hidden(const struct mirror_hook *k, const char *path)
{
    for (size_t i = 0; i < k->hidden.n; i++)
        if (path_is_under(path, k->hidden.v[i]))
            return true;
    return false;
}

static bool wants(const struct mirror_hook *k, const char *path)
{
    return *path && !is_hidden(k, path) && path_matches(k->glob, path);
}

static void set_due_locked(struct hook *k, int64_t now)
{
    if (!k->due)
        k->first = now;
    k->due = now + QUIET_MS;
    if (k->due > k->first + LATEST_MS)
        k->due = k->first + LATEST_MS;
}

static void add_path_locked(struct hook *k, const char *path)
{
    if (k->all)
        return;
    if (strchr(path, '\n') || k->paths.len + strlen(path) + 1 > LIST_BYTES) {
        k->all = true;
        buf_clear(&k->paths);
        return;
    }
    if (k->paths.len > 0)
        buf_putc(&k->paths, '\n');
    buf_puts(&k->paths, path);
}

/* The mark in the cache: some command has not been run to its end. */
static void note_due(struct hooks *h)
{
    int fd = open(h->due_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0)
        log_warn("cannot record in '%s' that a command of on_change is due: %s; it would not run "
                 "after a crash",
                 h->due_path, strerror(errno));
    else
        close(fd);
}

void hooks_changed(struct hooks *h, const struct strlist *paths)
{
    int64_t now = clock_mono_ms();
    bool due = false;

    if (h->n == 0)
        return;
    worker_lock(&h->worker);
    for (size_t i = 0; i < h->n; i++) {
        for (size_t j = 0; j < paths->n; j++) {
            if (!wants(h->v[i].config, paths->v[j]))
                continue;
            add_path_locked(&h->v[i], paths->v[j]);
            set_due_locked(&h->v[i], now);
            due = true;
        }
    }
    if (due)
        worker_wake_locked(&h->worker);
    worker_unlock(&h->worker);
    if (due)
        note_due(h);
}

/* 0; -EINTR: ended with the mount. *why is filled when it failed. */
static int run(struct hooks *h, const struct mirror_hook *k, const char *list, char *why,
               size_t cap)
{
    char *point = xasprintf("EEFS_MOUNTPOINT=%s", h->m->cfg.mountpoint);
    char *paths = xasprintf("EEFS_PATHS=%s", list);
    const char *variables[] = {point, paths, NULL};
    int status = 0, r;
    pid_t pid = subprocess_start(
        &(struct subprocess){.command = k->command, .variables = variables, .account = k->account});

    free(point);
    free(paths);
    *why = '\0';
    if (pid < 0) {
        snprintf(why, cap, "cannot be started: %s", strerror(-pid));
        return 0;
    }
    r = subprocess_wait(pid, LIMIT_MS, true, &h->stop, &status);
    if (r == -ETIMEDOUT)
        snprintf(why, cap, "did not end within %d s and was killed", LIMIT_MS / 1000);
    else if (r == 0 && status != 0)
        snprintf(why, cap, "failed with %s %d", WIFEXITED(status) ? "exit code" : "signal",
                 WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    return r == -EINTR ? r : 0;
}

static bool any_due_locked(const struct hooks *h)
{
    for (size_t i = 0; i < h->n; i++)
        if (h->v[i].due)
            return true;
    return false;
}

static void report(struct hooks *h, struct hook *k, const char *why)
{
    char text[512] = "";

    k->failed = *why != '\0';
    for (size_t i = 0; i < h->n && !*why && !*text; i++)
        if (h->v[i].failed)
            snprintf(text, sizeof(text), "a command of on_change (for '%s') failed",
                     h->v[i].config->glob);
    if (*why)
        snprintf(text, sizeof(text), "the command of on_change for '%s' %s", k->config->glob, why);
    fault_set(&h->m->faults, FAULT_HOOK, text,
              *text ? "repair the command; it runs again with the next change" : "");
}

/* Called and returns with the lock held. */
static void run_due_locked(struct hooks *h, struct hook *k)
{
    char *list = k->all ? xstrdup("*") : buf_detach(&k->paths);
    char why[128];
    int r;

    buf_clear(&k->paths);
    k->all = false;
    k->due = 0;
    worker_unlock(&h->worker);
    r = run(h, k->config, list, why, sizeof(why));
    if (r == 0)
        report(h, k, why);
    free(list);
    worker_lock(&h->worker);
    if (r == 0 && !any_due_locked(h) && !worker_stopping_locked(&h->worker))
        unlink(h->due_path);
}

static void *hooks_run(void *arg)
{
    struct hooks *h = arg;

    worker_lock(&h->worker);
    while (!worker_stopping_locked(&h->worker)) {
        int64_t next = INT64_MAX, now = clock_mono_ms();
        struct hook *first = NULL;

        for (size_t i = 0; i < h->n; i++) {
            if (h->v[i].due && h->v[i].due < next) {
                next = h->v[i].due;
                first = &h->v[i];
            }
        }
        if (!first)
            worker_wait_locked(&h->worker, WORKER_NEVER);
        else if (next > now)
            worker_wait_locked(&h->worker, next);
        else
            run_due_locked(h, first);
    }
    worker_unlock(&h->worker);
    return NULL;
}

int hooks_start(struct hooks *h)
{
    if (h->n == 0)
        return 0;
    for (size_t i = 0; access(h->due_path, F_OK) == 0 && i < h->n; i++) {
        h->v[i].all = true;
        set_due_locked(&h->v[i], clock_mono_ms());
    }
    return worker_start(&h->worker, "hooks", hooks_run, h);
}

void hooks_stop(struct hooks *h)
{
    __atomic_store_n(&h->stop, 1, __ATOMIC_RELAXED); /* is read without the lock */
    worker_stop(&h->worker);
}
