/* SPDX-License-Identifier: MIT */
#include "sqlimport/hook.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sqlimport/child.h"
#include "sync/common/buf.h"

#define LIST_MAX (100 * 1024) /* bytes; the kernel takes 128 KB for one variable */

static char *join(const struct strlist *tables)
{
    struct buf b = BUF_INIT;

    for (size_t i = 0; i < tables->n && b.len <= LIST_MAX; i++)
        buf_printf(&b, "%s%s", i ? "\n" : "", tables->v[i]);
    if (b.len > LIST_MAX) {
        buf_clear(&b);
        buf_putc(&b, '*');
    }
    return buf_detach(&b);
}

/* Ours and the two variables; made before the fork, for other threads may hold locks then. */
static char **environment(const char *database, const char *tables)
{
    size_t n = 0, kept = 2;
    char **env;

    while (environ[n])
        n++;
    env = xcalloc(n + 3, sizeof(*env));
    env[0] = xasprintf("EEFS_DATABASE=%s", database);
    env[1] = xasprintf("EEFS_TABLES=%s", tables);
    for (size_t i = 0; i < n; i++)
        if (strncmp(environ[i], "EEFS_DATABASE=", 14) != 0 &&
            strncmp(environ[i], "EEFS_TABLES=", 12) != 0)
            env[kept++] = environ[i];
    return env;
}

static pid_t start(const struct hook *k, const char *tables)
{
    char *argv[] = {xstrdup("sh"), xstrdup("-c"), xstrdup(k->command), NULL};
    char **env = environment(k->database, tables);
    pid_t pid = fork();

    if (pid == 0) {
        int null = open("/dev/null", O_RDONLY);

        setpgid(0, 0);
        signal(SIGPIPE, SIG_DFL);
        dup2(null, STDIN_FILENO);
        dup2(STDERR_FILENO, STDOUT_FILENO);
        execve("/bin/sh", argv, env);
        _exit(127);
    }
    for (int i = 0; argv[i]; i++)
        free(argv[i]);
    free(env[0]);
    free(env[1]);
    free(env);
    if (pid > 0)
        setpgid(pid, pid); /* here too: it may be ended before it comes to that */
    return pid;
}

static int run(const struct hook *k, const char *tables, struct err *e)
{
    pid_t pid = start(k, tables);
    int status = 0, r;

    if (pid < 0)
        return err_sys(e, errno, "cannot start the command of --after");
    r = child_wait(pid, k->timeout_ms, true, k->stop, &status);
    if (r == -ETIMEDOUT)
        return err_set(e, ETIMEDOUT,
                       "the command of --after did not end within %lld s and was ended",
                       (long long)(k->timeout_ms / 1000));
    if (r < 0)
        return err_set(e, -r, "the command of --after was ended with the importer");
    if (status != 0)
        return err_set(e, EIO, "the command of --after failed (%s %d)",
                       WIFEXITED(status) ? "exit code" : "signal",
                       WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    return 0;
}

int hook_run(const struct hook *k, struct history *h, struct err *e)
{
    struct strlist tables = {NULL, 0};
    int r = history_untold(h, &tables, e), r2;

    if (r == 0 && tables.n > 0) {
        char *list = join(&tables);
        r = k->command ? run(k, list, e) : 0;
        free(list);
        if (r != -EINTR && (r2 = history_told(h, e)) < 0)
            r = r2;
    }
    strlist_release(&tables);
    return r;
}
