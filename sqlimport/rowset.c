/* SPDX-License-Identifier: MIT */
#include "sqlimport/rowset.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/common/file.h"

#define MAGIC     "eefsrow1"
#define MAGIC_LEN 8
#define END_MARK  255
#define END_LEN   9

struct rowset_writer {
    FILE *f;
    char *path, *temp;
    uint64_t rows;
};

struct rowset_reader {
    FILE *f;
    unsigned char key[65536];
    uint64_t rows;
};

static char *path_of(const char *dir, const struct hash *hash)
{
    char text[HASH_TEXT_CAP];

    return xasprintf("%s/%s", dir, hash_text(hash, text));
}

static FILE *open_file(const char *path, const char *how)
{
    FILE *f = fopen(path, how);

    if (f) { /* one thread, many small records */
        setvbuf(f, NULL, _IOFBF, 256 * 1024);
        __fsetlocking(f, FSETLOCKING_BYCALLER);
    }
    return f;
}

struct rowset_writer *rowset_create(const char *dir, const struct hash *hash)
{
    struct rowset_writer *w = xcalloc(1, sizeof(*w));

    w->path = path_of(dir, hash);
    w->temp = xasprintf("%s.tmp", w->path);
    if (file_mkdirs(dir, 0700) == 0)
        w->f = open_file(w->temp, "we");
    if (!w->f) {
        free(w->path);
        free(w->temp);
        free(w);
        return NULL;
    }
    fwrite(MAGIC, MAGIC_LEN, 1, w->f);
    return w;
}

void rowset_add(struct rowset_writer *w, const struct row_id *id)
{
    unsigned char head[3] = {(unsigned char)id->n_key, (unsigned char)(id->key_len >> 8),
                             (unsigned char)id->key_len};

    fwrite(head, sizeof(head), 1, w->f);
    fwrite(id->key, id->key_len, 1, w->f);
    fwrite(id->hash, ROW_HASH_BYTES, 1, w->f);
    w->rows++;
}

void rowset_end(struct rowset_writer *w, bool keep)
{
    unsigned char end[END_LEN] = {END_MARK};
    bool good;

    if (!w)
        return;
    for (int i = 0; i < 8; i++)
        end[1 + i] = (unsigned char)(w->rows >> (56 - 8 * i));
    fwrite(end, sizeof(end), 1, w->f);
    good = keep && !ferror(w->f);
    good = fclose(w->f) == 0 && good;
    if (!good || rename(w->temp, w->path) < 0)
        (void)unlink(w->temp);
    free(w->path);
    free(w->temp);
    free(w);
}

struct rowset_reader *rowset_open(const char *dir, const struct hash *hash)
{
    struct rowset_reader *r = xcalloc(1, sizeof(*r));
    char *path = path_of(dir, hash);
    char magic[MAGIC_LEN];

    r->f = open_file(path, "re");
    free(path);
    if (r->f && fread(magic, MAGIC_LEN, 1, r->f) == 1 && memcmp(magic, MAGIC, MAGIC_LEN) == 0)
        return r;
    rowset_close(r);
    return NULL;
}

int rowset_next(struct rowset_reader *r, struct row_id *ret)
{
    unsigned char head[END_LEN];
    uint64_t rows = 0;

    if (fread(head, 3, 1, r->f) != 1)
        return -EIO;
    if (head[0] == END_MARK) {
        if (fread(head + 3, END_LEN - 3, 1, r->f) != 1)
            return -EIO;
        for (int i = 0; i < 8; i++)
            rows = rows << 8 | head[1 + i];
        return rows == r->rows ? 0 : -EIO;
    }
    ret->n_key = head[0];
    ret->key_len = (size_t)head[1] << 8 | head[2];
    if (ret->key_len < ret->n_key || fread(r->key, ret->key_len, 1, r->f) != 1 ||
        fread(ret->hash, ROW_HASH_BYTES, 1, r->f) != 1)
        return -EIO;
    ret->key = r->key;
    r->rows++;
    return 1;
}

void rowset_close(struct rowset_reader *r)
{
    if (!r)
        return;
    if (r->f)
        fclose(r->f);
    free(r);
}

bool rowset_exists(const char *dir, const struct hash *hash)
{
    char *path = path_of(dir, hash);
    bool there = access(path, R_OK) == 0;

    free(path);
    return there;
}

void rowset_sweep(const char *dir, rowset_wanted *wanted, void *arg)
{
    DIR *d = opendir(dir);
    struct dirent *de;

    while (d && (de = readdir(d))) {
        struct hash h;
        if (de->d_name[0] == '.')
            continue;
        if (hash_parse(de->d_name, &h) < 0 || !wanted(arg, &h))
            (void)unlinkat(dirfd(d), de->d_name, 0);
    }
    if (d)
        closedir(d);
}
