/* SPDX-License-Identifier: MIT */
#include "sync/mirror/store/leftovers.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/encode.h"
#include "sync/common/file.h"
#include "sync/common/opt.h"
#include "sync/common/trouble.h"
#include "sync/mirror/store/objects.h"

#define KEPT "kept-"

static bool is_kept(const char *name)
{
    return strncmp(name, KEPT, strlen(KEPT)) == 0;
}

static char *kept_name(void)
{
    struct buf b = BUF_INIT;
    uint8_t raw[16];

    file_random(raw, sizeof(raw));
    buf_puts(&b, KEPT);
    hex_encode(&b, raw, sizeof(raw));
    return buf_detach(&b);
}

int store_keep(struct store *s, char **name)
{
    char *kept;

    if (is_kept(*name))
        return 0;
    kept = kept_name();
    if (renameat(s->staging, *name, s->staging, kept) < 0) {
        int r = trouble_at(-errno, s->staging, *name);

        free(kept);
        return r;
    }
    free(*name);
    *name = kept;
    return 0;
}

int store_keep_object(struct store *s, const struct hash *h, char **name)
{
    char path[STORE_OBJECT_CAP], *kept = kept_name();

    if (linkat(s->dir, store_object_path(h, path), s->staging, kept, 0) < 0) {
        int r = trouble_at(-errno, s->dir, path);

        free(kept);
        return r;
    }
    *name = kept;
    return 0;
}

/* Of an object's second name nothing is renamed: it only goes. */
static void adopt(struct store *s, const char *name)
{
    struct hash h;
    int fd = openat(s->staging, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    int r = fd < 0 ? trouble_at(-errno, s->staging, name) : hash_fd(fd, &h, NULL);

    if (fd >= 0)
        close(fd);
    if (r == 0 && store_publish(s, name, &h, false) == 0)
        store_discard(s, name);
}

int store_adopt_leftovers(struct store *s)
{
    int fd = openat(s->dir, "staging", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct strlist kept = {NULL, 0};
    struct dirent *e;
    int n;

    while (d && (e = readdir(d))) {
        if (is_kept(e->d_name))
            strlist_add(&kept, e->d_name);
        else if (e->d_name[0] != '.')
            unlinkat(dirfd(d), e->d_name, 0);
    }
    if (d)
        closedir(d);
    else if (fd >= 0)
        close(fd);
    for (size_t i = 0; i < kept.n; i++)
        adopt(s, kept.v[i]);
    n = (int)kept.n;
    strlist_release(&kept);
    return n;
}
