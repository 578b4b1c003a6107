/* SPDX-License-Identifier: MIT */
#include "sqlimport/importer/hook.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "sync/common/buf.h"
#include "sync/common/subprocess.h"

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

static pid_t start(const struct hook *k, const char *tables)
{
    char *database = xasprintf("EEFS_DATABASE=%s", k->database);
    char *list = xasprintf("EEFS_TABLES=%s", tables);
    const char *variables[] = {database, list, NULL};
    pid_t pid =
        subprocess_start(&(struct subprocess){.command = k->command, .variables = variables});

    free(database);
    free(list);
    return pid;
}

static int run(const struct hook *k, const char *tables, struct err *e)
{
    pid_t pid = start(k, tables);
    int status = 0, r;

    if (pid < 0)
        return err_sys(e, -pid, "cannot start the command of --after");
    r = subprocess_wait(pid, k->timeout_ms, true, k->stop, &status);
    if (r == -ETIMEDOUT)
        return err_set(
            e, ETIMEDOUT,
            "the command of --after took longer than %lld s (--after-timeout) and was ended",
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
