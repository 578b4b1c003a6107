/* SPDX-License-Identifier: MIT */
/*
 * The writer writes to HASH.tmp and renames it at the end, so a file under its own name is whole.
 * The reader trusts nothing all the same: a wrong length or number of rows is damage, and then the
 * live table is read.
 */
#include "sqlimport/compare/row_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/common/file.h"

#define MAGIC     "eefsrow2"
#define MAGIC_LEN 8
#define END_MARK  255
#define END_LEN   9

struct row_cache_writer {
    FILE *f;
    char *path, *temp;
    uint64_t rows;
};

struct row_cache_reader {
    FILE *f;
    char *settings;
    struct strlist columns, left_out;
    unsigned char key[65536];
    uint64_t rows;
};

static char *path_of(const char *dir, const struct hash *hash)
{
    char text[HASH_TEXT_CAP];

    return xasprintf("%s/%s", dir, hash_text(hash, text));
}

/* Keys of rows lie in it as they are, an address for instance: for its owner only. */
static FILE *open_file(const char *path, bool new)
{
    int flags = new ? O_WRONLY | O_CREAT | O_EXCL : O_RDONLY;
    int fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
    FILE *f = fd < 0 ? NULL : fdopen(fd, new ? "w" : "r");

    if (f) { /* one thread, many small records */
        setvbuf(f, NULL, _IOFBF, 256 * 1024);
        __fsetlocking(f, FSETLOCKING_BYCALLER);
    }
    return f;
}

static void put_text(FILE *f, const char *text)
{
    size_t len = strlen(text) < UINT16_MAX ? strlen(text) : UINT16_MAX;
    unsigned char head[2] = {(unsigned char)(len >> 8), (unsigned char)len};

    fwrite(head, sizeof(head), 1, f);
    fwrite(text, len, 1, f);
}

/* malloc'd, or NULL. */
static char *get_text(FILE *f)
{
    unsigned char head[2];
    size_t len;
    char *text;

    if (fread(head, sizeof(head), 1, f) != 1)
        return NULL;
    len = (size_t)head[0] << 8 | head[1];
    text = xcalloc(len + 1, 1);
    if (len > 0 && fread(text, len, 1, f) != 1) {
        free(text);
        return NULL;
    }
    return text;
}

static void put_names(FILE *f, const struct strlist *names)
{
    for (size_t i = 0; i < names->n; i++)
        put_text(f, names->v[i]);
    put_text(f, "");
}

struct row_cache_writer *row_cache_create(const char *dir, const struct hash *hash,
                                          const char *settings, const struct strlist *columns,
                                          const struct strlist *left_out)
{
    struct row_cache_writer *w = xcalloc(1, sizeof(*w));

    w->path = path_of(dir, hash);
    w->temp = xasprintf("%s.tmp", w->path);
    if (file_mkdirs(dir, 0700) == 0) {
        (void)unlink(w->temp); /* of a run that was killed */
        w->f = open_file(w->temp, true);
    }
    if (!w->f) {
        free(w->path);
        free(w->temp);
        free(w);
        return NULL;
    }
    fwrite(MAGIC, MAGIC_LEN, 1, w->f);
    put_text(w->f, settings);
    put_names(w->f, columns);
    put_names(w->f, left_out);
    return w;
}

void row_cache_add(struct row_cache_writer *w, const struct row_id *id)
{
    unsigned char head[3] = {(unsigned char)id->n_key, (unsigned char)(id->key_len >> 8),
                             (unsigned char)id->key_len};

    fwrite(head, sizeof(head), 1, w->f);
    fwrite(id->key, id->key_len, 1, w->f);
    fwrite(id->hash, ROW_HASH_BYTES, 1, w->f);
    w->rows++;
}

void row_cache_end(struct row_cache_writer *w, bool keep)
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

static bool get_names(FILE *f, struct strlist *names)
{
    bool more = true;
    char *name;

    while (more && (name = get_text(f))) {
        more = *name != '\0';
        if (more)
            strlist_add(names, name);
        free(name);
    }
    return !more;
}

static bool read_head(struct row_cache_reader *r)
{
    char magic[MAGIC_LEN];

    if (fread(magic, MAGIC_LEN, 1, r->f) != 1 || memcmp(magic, MAGIC, MAGIC_LEN) != 0 ||
        !(r->settings = get_text(r->f)))
        return false;
    return get_names(r->f, &r->columns) && get_names(r->f, &r->left_out);
}

struct row_cache_reader *row_cache_open(const char *dir, const struct hash *hash)
{
    struct row_cache_reader *r = xcalloc(1, sizeof(*r));
    char *path = path_of(dir, hash);

    r->f = open_file(path, false);
    free(path);
    if (r->f && read_head(r))
        return r;
    row_cache_close(r);
    return NULL;
}

const char *row_cache_settings(const struct row_cache_reader *r)
{
    return r->settings;
}

const struct strlist *row_cache_columns(const struct row_cache_reader *r)
{
    return &r->columns;
}

const struct strlist *row_cache_left_out(const struct row_cache_reader *r)
{
    return &r->left_out;
}

/* 1, 0 at the end, negative when the bytes are not those of a row cache. */
static int read_row(struct row_cache_reader *r, struct row_id *ret)
{
    unsigned char head[END_LEN];
    uint64_t rows = 0;

    if (fread(head, 3, 1, r->f) != 1)
        return -1;
    if (head[0] == END_MARK) {
        if (fread(head + 3, END_LEN - 3, 1, r->f) != 1)
            return -1;
        for (int i = 0; i < 8; i++)
            rows = rows << 8 | head[1 + i];
        return rows == r->rows ? 0 : -1;
    }
    ret->n_key = head[0];
    ret->key_len = (size_t)head[1] << 8 | head[2];
    if (ret->key_len < ret->n_key || fread(r->key, ret->key_len, 1, r->f) != 1 ||
        fread(ret->hash, ROW_HASH_BYTES, 1, r->f) != 1)
        return -1;
    ret->key = r->key;
    r->rows++;
    return 1;
}

int row_cache_next(void *reader, struct row_id *id, struct row_place *place, struct err *e)
{
    int r = read_row(reader, id);

    if (place)
        *place = (struct row_place){0};
    return r < 0 ? err_set(e, EPROTO, "the notes of the last import are damaged") : r;
}

void row_cache_close(struct row_cache_reader *r)
{
    if (!r)
        return;
    if (r->f)
        fclose(r->f);
    free(r->settings);
    strlist_release(&r->columns);
    strlist_release(&r->left_out);
    free(r);
}

void row_cache_sweep(const char *dir, row_cache_wanted *wanted, void *arg)
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
