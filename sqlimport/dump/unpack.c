/* SPDX-License-Identifier: MIT */
/*
 * Blocks go from the packed file through zlib or zstd into the nameless one:
 *
 *     read a block ─> hash it ─> unpack it ─> check size and disk ─> write     … until the file ends
 *
 * Several streams in one file, one behind the other, are one dump; zeroes behind the last are
 * padding. A file that ends within a stream is cut off.
 */
#include "sqlimport/dump/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "sync/common/buf.h"
#include "sync/common/file.h"

#define BLOCK_SIZE  ((size_t)256 * 1024)
#define LOOK_EVERY  ((off_t)16 << 20) /* bytes written between two looks at the disk */
#define WITH_HEADER 16                /* zlib: a gzip header and its checksum */

struct work {
    int from, to;
    const char *dir;
    const volatile int *stop;
    char *in, *out; /* BLOCK_SIZE each */
    struct hash_stream *hash;
    off_t bytes_in, bytes_out;
    off_t last_check; /* bytes_out at the last look at the disk */
    z_stream gzip;
    ZSTD_DStream *zstd;
};

/* A descriptor of a file that nobody else can open. */
static int open_nameless(const char *dir, struct err *e)
{
    int fd = open(dir, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
    char *path;

    if (fd >= 0)
        return fd;
    path = xasprintf("%s/.eefs-unpacked.%d", dir, (int)getpid()); /* no O_TMPFILE there */
    (void)unlink(path);
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        fd = err_sys(e, errno, "cannot create a file in '%s' to unpack the dump into", dir);
    else
        (void)unlink(path);
    free(path);
    return fd;
}

static int look_at_disk(struct work *w, struct err *e)
{
    struct statvfs v;
    uint64_t left, reserve;

    w->last_check = w->bytes_out;
    if (fstatvfs(w->to, &v) < 0)
        return 0;
    left = (uint64_t)v.f_bavail * v.f_frsize;
    reserve = (uint64_t)v.f_blocks * v.f_frsize / 8;
    reserve = reserve < UNPACK_RESERVE ? reserve : UNPACK_RESERVE;
    if (left >= reserve + (uint64_t)LOOK_EVERY)
        return 0;
    return err_set(e, ENOSPC,
                   "cannot unpack the dump in '%s': %llu MB are free there after %lld MB of it, "
                   "and an import leaves %llu MB free; free space there, or give a plain dump",
                   w->dir, (unsigned long long)left / 1000000, (long long)w->bytes_out / 1000000,
                   (unsigned long long)reserve / 1000000);
}

static int put(struct work *w, size_t len, struct err *e)
{
    int r = 0;

    if (w->bytes_out + (off_t)len > UNPACK_FREE &&
        (w->bytes_out + (off_t)len) / UNPACK_TIMES > w->bytes_in)
        return err_set(e, EPROTO,
                       "the dump unpacks to more than %d times its size: check it, unpack it by "
                       "hand, and give the plain dump",
                       UNPACK_TIMES);
    if (w->bytes_out == 0 || w->bytes_out - w->last_check >= LOOK_EVERY)
        r = look_at_disk(w, e);
    if (r == 0 && (r = file_write(w->to, w->out, len)) < 0)
        r = err_sys(e, -r, "cannot unpack the dump in '%s'", w->dir);
    w->bytes_out += (off_t)len;
    return r;
}

static int damaged(struct err *e, const char *why)
{
    return err_set(e, EPROTO, "the compressed dump is damaged or cut off (%s): copy it again", why);
}

/* 1: the stream ended where the input did; 0: it goes on. */
static int inflate_block(struct work *w, size_t n, struct err *e)
{
    int r, z = Z_OK;

    w->gzip.next_in = (unsigned char *)w->in;
    w->gzip.avail_in = (unsigned)n;
    do {
        if (z == Z_STREAM_END) {       /* files that were written one behind the other */
            if (*w->gzip.next_in == 0) /* or padding */
                return 1;
            if (inflateReset(&w->gzip) != Z_OK)
                return damaged(e, "gzip");
        }
        do {
            w->gzip.next_out = (unsigned char *)w->out;
            w->gzip.avail_out = BLOCK_SIZE;
            z = inflate(&w->gzip, Z_NO_FLUSH);
            if (z != Z_OK && z != Z_STREAM_END && z != Z_BUF_ERROR)
                return damaged(e, w->gzip.msg ? w->gzip.msg : "gzip");
            r = put(w, BLOCK_SIZE - w->gzip.avail_out, e);
            if (r < 0)
                return r;
        } while (w->gzip.avail_out == 0 && z != Z_STREAM_END);
    } while (w->gzip.avail_in > 0);
    return z == Z_STREAM_END;
}

static int unzstd_block(struct work *w, size_t n, struct err *e)
{
    ZSTD_inBuffer in = {w->in, n, 0};
    size_t z = 1;
    bool full = false;

    while (in.pos < in.size || full) {
        ZSTD_outBuffer out = {w->out, BLOCK_SIZE, 0};
        int r;

        z = ZSTD_decompressStream(w->zstd, &out, &in);
        if (ZSTD_isError(z))
            return damaged(e, ZSTD_getErrorName(z));
        r = put(w, out.pos, e);
        if (r < 0)
            return r;
        full = out.pos == out.size;
    }
    return z == 0;
}

static int unpack_all(struct work *w, enum form form, struct err *e)
{
    int ended = 0;

    for (;;) {
        ssize_t n = file_pread(w->from, w->in, BLOCK_SIZE, w->bytes_in);

        if (n < 0)
            return err_sys(e, (int)-n, "cannot read the dump");
        if (n == 0)
            break;
        if (*w->stop)
            return err_set(e, EINTR, "stopped");
        w->bytes_in += n;
        hash_stream_add(w->hash, w->in, (size_t)n);
        if (ended == 1 && *w->in == 0)
            continue; /* padding */
        if (ended == 1 && form == FORM_GZIP && inflateReset(&w->gzip) != Z_OK)
            return damaged(e, "gzip");
        ended = form == FORM_GZIP ? inflate_block(w, (size_t)n, e) : unzstd_block(w, (size_t)n, e);
        if (ended < 0)
            return ended;
    }
    return ended ? 0 : damaged(e, "its end is missing");
}

static int begin(struct work *w, enum form form, struct err *e)
{
    w->hash = hash_stream_new();
    w->in = xmalloc(BLOCK_SIZE);
    w->out = xmalloc(BLOCK_SIZE);
    if (form == FORM_GZIP && inflateInit2(&w->gzip, MAX_WBITS + WITH_HEADER) != Z_OK)
        return err_set(e, ENOMEM, "cannot unpack the dump: out of memory");
    if (form == FORM_ZSTD && !(w->zstd = ZSTD_createDStream()))
        return err_set(e, ENOMEM, "cannot unpack the dump: out of memory");
    w->to = open_nameless(w->dir, e);
    return w->to < 0 ? w->to : 0;
}

static int check_inside(struct work *w, struct err *e)
{
    enum form inside = FORM_SQL;
    int r = form_of_file(w->to, &inside, e);

    if (r == 0 && inside != FORM_SQL)
        r = err_set(e, EPROTO, "the dump was compressed twice: compress it once");
    return r;
}

int unpack(int fd, enum form form, const char *dir, const volatile int *stop, int *ret_fd,
           struct hash *ret_hash, struct err *e)
{
    struct work w = {.from = fd, .to = -1, .dir = dir, .stop = stop};
    int r = begin(&w, form, e);

    if (r == 0)
        r = unpack_all(&w, form, e);
    if (r == 0)
        r = check_inside(&w, e);
    hash_stream_end(w.hash, ret_hash);
    if (r == 0)
        *ret_fd = w.to;
    else if (w.to >= 0)
        close(w.to);
    if (form == FORM_GZIP)
        inflateEnd(&w.gzip);
    ZSTD_freeDStream(w.zstd);
    hash_stream_free(w.hash);
    free(w.in);
    free(w.out);
    return r;
}
