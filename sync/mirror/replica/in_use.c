/* SPDX-License-Identifier: MIT */
#include "sync/mirror/replica/in_use.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/file.h"

static char *mark_of(const char *db)
{
    const char *slash = strrchr(db, '/');

    return xasprintf("%.*sin_use", slash ? (int)(slash - db) + 1 : 0, db);
}

/* Bytes, -1: it is not there. */
static int64_t size_of(const char *path)
{
    struct stat st;

    return stat(path, &st) < 0 ? -1 : st.st_size;
}

int in_use_check(const char *db, struct err *e)
{
    char *mark = mark_of(db), *log = xasprintf("%s-wal", db);
    struct buf word = BUF_INIT;
    int r = 0;

    if (size_of(db) > 0 && file_slurp(AT_FDCWD, mark, 64, &word) == 0 && word.len > 0) {
        if (strcmp(word.data, IN_USE_OPEN) == 0 && size_of(log) < 0)
            r = err_set(e, EUCLEAN, "the log of the database '%s' is missing", db);
        else if (strcmp(word.data, IN_USE_CLOSED) == 0 && size_of(log) > 0)
            r = err_set(e, EUCLEAN, "the log beside the database '%s' belongs to another database",
                        db);
    }
    buf_release(&word);
    free(log);
    free(mark);
    return r;
}

void in_use_set(const char *db, const char *word)
{
    char *mark = mark_of(db), *log = xasprintf("%s-wal", db);

    if (strcmp(word, IN_USE_CLOSED) != 0 || size_of(log) <= 0)
        (void)file_replace(AT_FDCWD, mark, word, strlen(word), 0600, false);
    free(log);
    free(mark);
}

void in_use_forget(const char *db)
{
    char *mark = mark_of(db);

    unlink(mark);
    free(mark);
}
