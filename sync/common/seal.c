/* SPDX-License-Identifier: MIT */
/*
 * A frame of the log is its header of 24 bytes and a page. SQLite writes the header first, with a
 * checksum that goes on from the frame before; here the page gets its seal, and the header its
 * checksum once more, and both are one write:
 *
 *   log:  header(32: magic … salts, checksum) | frame header(24) page | frame header page | …
 *                                     └──────────> checksum ───────────────> checksum
 *
 * Where SQLite writes a page over one in the same transaction it computes the checksums anew from
 * what is in the file, sealed pages included; those headers come alone and are left as they are.
 * They are of frames that this connection wrote, so they lie before the end of its last one.
 */
#include "sync/common/seal.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <sqlite3.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/file.h"

#define LOG_HEADER   32
#define FRAME_HEADER 24
#define FRAME        (FRAME_HEADER + SEAL_PAGE)
#define LOG_MAGIC    0x377f0682u /* little-endian words; | 1: big-endian */
#define AT_RESERVED  20          /* in the database's header */
#define AT_PAGES     28
#define LOOKED       64 /* pages that show whether a database has seals */

/* --- the checksum --- */

/* Each step is a bijection of the state, so that any change within one word is noticed, and others
 * but for one in 2^64. */
static uint64_t page_sum(const uint8_t *page, uint32_t pgno)
{
    uint64_t h = 0x9e3779b97f4a7c15u ^ pgno, w;

    for (size_t at = 0; at < SEAL_PAGE - SEAL_BYTES; at += 8) {
        memcpy(&w, page + at, 8);
        w = le64toh(w);
        if (pgno == 1 && at < 104) { /* what other programs' PRAGMAs change, see the header */
            if (at == 24)
                w &= 0xffffffff00000000u; /* 24..27 change counter */
            else if (at == 56 || at == 88)
                w &= 0x00000000ffffffffu; /* 60..63 user_version, 92..95 valid for */
            else if (at == 64)
                w &= 0x00000000ffffffffu; /* 68..71 application_id */
            else if (at == 96)
                w &= 0xffffffff00000000u; /* 96..99 SQLite's version */
        }
        h = (h ^ w) * 0xff51afd7ed558ccdu;
        h ^= h >> 32;
    }
    return h;
}

static void seal_page(uint8_t *page, uint32_t pgno)
{
    uint64_t sum = htole64(page_sum(page, pgno));

    memcpy(page + SEAL_PAGE - SEAL_BYTES, &sum, SEAL_BYTES);
}

static bool is_sealed(const uint8_t *page, uint32_t pgno)
{
    uint64_t sum;

    memcpy(&sum, page + SEAL_PAGE - SEAL_BYTES, SEAL_BYTES);
    return le64toh(sum) == page_sum(page, pgno);
}

static uint32_t be32(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, 4);
    return be32toh(v);
}

static void put_be32(uint8_t *p, uint32_t v)
{
    v = htobe32(v);
    memcpy(p, &v, 4);
}

/* SQLite's checksum of the log over n bytes (a multiple of 8), going on from s. */
static void log_sum(bool big, const uint8_t *data, size_t n, uint32_t s[2])
{
    for (size_t i = 0; i < n; i += 8) {
        uint32_t a, b;

        memcpy(&a, data + i, 4);
        memcpy(&b, data + i + 4, 4);
        s[0] += (big ? be32toh(a) : le32toh(a)) + s[1];
        s[1] += (big ? be32toh(b) : le32toh(b)) + s[0];
    }
}

/* --- files --- */

struct seal_file {
    sqlite3_file base;
    bool log, sealed, lenient;
    /* of the log: */
    uint8_t head[LOG_HEADER];     /* its header, as far as the salts say; zeros: not known */
    uint8_t header[FRAME_HEADER]; /* the header of the frame … */
    sqlite3_int64 header_at;      /* … that is being written here, -1: none */
    sqlite3_int64 end;            /* of the frame that was written last */
};

static sqlite3_file *real_of(sqlite3_file *f)
{
    return (sqlite3_file *)((struct seal_file *)f + 1);
}

#define REAL(f, method, ...) real_of(f)->pMethods->method(real_of(f), ##__VA_ARGS__)

static int seal_close(sqlite3_file *f)
{
    return REAL(f, xClose);
}

/* Where a page of the log may lie. */
static bool is_frame(sqlite3_int64 at)
{
    return at >= LOG_HEADER + FRAME_HEADER && (at - LOG_HEADER - FRAME_HEADER) % FRAME == 0;
}

/* Number of the page that lies at this place, 0: it is not a whole page. */
static int page_at(sqlite3_file *f, int n, sqlite3_int64 at, uint32_t *ret)
{
    struct seal_file *s = (struct seal_file *)f;
    uint8_t pgno[4];
    int rc = SQLITE_OK;

    *ret = 0;
    if (!s->sealed || n != SEAL_PAGE)
        return rc;
    if (!s->log) {
        if (at % SEAL_PAGE == 0)
            *ret = (uint32_t)(at / SEAL_PAGE) + 1;
    } else if (is_frame(at)) {
        rc = REAL(f, xRead, pgno, 4, at - FRAME_HEADER);
        if (rc == SQLITE_OK)
            *ret = be32(pgno);
    }
    return rc;
}

/* A page and its number; of the log with the frame's header, by one read. */
static int read_page(sqlite3_file *f, void *data, int n, sqlite3_int64 at, uint32_t *pgno)
{
    struct seal_file *s = (struct seal_file *)f;
    uint8_t frame[FRAME];
    int rc;

    if (!s->log || !s->sealed || n != SEAL_PAGE || !is_frame(at)) {
        rc = REAL(f, xRead, data, n, at);
        return rc == SQLITE_OK ? page_at(f, n, at, pgno) : rc;
    }
    rc = REAL(f, xRead, frame, FRAME, at - FRAME_HEADER); /* zeros behind the file's end */
    memcpy(data, frame + FRAME_HEADER, SEAL_PAGE);
    *pgno = be32(frame);
    return rc;
}

static int seal_read(sqlite3_file *f, void *data, int n, sqlite3_int64 at)
{
    struct seal_file *s = (struct seal_file *)f;
    uint32_t pgno = 0;
    int rc = read_page(f, data, n, at, &pgno);

    if (rc == SQLITE_IOERR_CORRUPTFS)
        rc = SQLITE_IOERR_READ; /* EIO of a device; SQLite would call the database damaged */
    if (s->lenient || rc != SQLITE_OK)
        return rc;
    return pgno && !is_sealed(data, pgno) ? SQLITE_IOERR_DATA : rc;
}

/* The header of the log that the frame's salts belong to. */
static int know_head(struct seal_file *s)
{
    if ((be32(s->head) | 1) == (LOG_MAGIC | 1) && memcmp(s->head + 16, s->header + 8, 8) == 0)
        return SQLITE_OK;
    return REAL(&s->base, xRead, s->head, LOG_HEADER, 0);
}

/* A page of the log: sealed, with the header that goes before it. */
static int write_frame(struct seal_file *s, const uint8_t *page, sqlite3_int64 at)
{
    uint8_t frame[FRAME], before[FRAME_HEADER];
    uint32_t sum[2];
    int rc = know_head(s);
    bool big = be32(s->head) & 1;

    /* the log's own header ends with its checksum as well */
    memcpy(before, s->head + LOG_HEADER - FRAME_HEADER, FRAME_HEADER);
    if (rc == SQLITE_OK && at > LOG_HEADER)
        rc = REAL(&s->base, xRead, before, FRAME_HEADER, at - FRAME);
    if (rc != SQLITE_OK)
        return rc;
    memcpy(frame, s->header, FRAME_HEADER);
    memcpy(frame + FRAME_HEADER, page, SEAL_PAGE);
    seal_page(frame + FRAME_HEADER, be32(frame));
    sum[0] = be32(before + 16);
    sum[1] = be32(before + 20);
    log_sum(big, frame, 8, sum);
    log_sum(big, frame + FRAME_HEADER, SEAL_PAGE, sum);
    put_be32(frame + 16, sum[0]);
    put_be32(frame + 20, sum[1]);
    s->end = at + FRAME;
    return REAL(&s->base, xWrite, frame, FRAME, at);
}

/* What is no page of the log: headers. That of a new frame comes with its page. */
static int write_header(struct seal_file *s, const void *data, int n, sqlite3_int64 at)
{
    if (n == FRAME_HEADER) {
        memcpy(s->header, data, FRAME_HEADER);
        s->header_at = at;
        if (s->sealed && at >= s->end)
            return SQLITE_OK;
    } else if (n == LOG_HEADER && at == 0) { /* it begins anew */
        memcpy(s->head, data, LOG_HEADER);
        s->end = LOG_HEADER;
    }
    return REAL(&s->base, xWrite, data, n, at);
}

static int seal_write(sqlite3_file *f, const void *data, int n, sqlite3_int64 at)
{
    struct seal_file *s = (struct seal_file *)f;
    uint8_t page[SEAL_PAGE];
    uint32_t pgno = 0;
    int rc;

    if (s->log && (n == FRAME_HEADER || n == LOG_HEADER))
        return write_header(s, data, n, at);
    if (s->log && s->sealed && n == SEAL_PAGE && s->header_at == at - FRAME_HEADER) {
        s->header_at = -1;
        return write_frame(s, data, at - FRAME_HEADER);
    }
    rc = page_at(f, n, at, &pgno);
    if (rc != SQLITE_OK || pgno == 0)
        return rc == SQLITE_OK ? REAL(f, xWrite, data, n, at) : rc;
    memcpy(page, data, SEAL_PAGE);
    seal_page(page, pgno);
    return REAL(f, xWrite, page, SEAL_PAGE, at);
}

static int seal_truncate(sqlite3_file *f, sqlite3_int64 n)
{
    return REAL(f, xTruncate, n);
}

static int seal_sync(sqlite3_file *f, int flags)
{
    return REAL(f, xSync, flags);
}

static int seal_size(sqlite3_file *f, sqlite3_int64 *n)
{
    return REAL(f, xFileSize, n);
}

static int seal_lock(sqlite3_file *f, int lock)
{
    return REAL(f, xLock, lock);
}

static int seal_unlock(sqlite3_file *f, int lock)
{
    return REAL(f, xUnlock, lock);
}

static int seal_reserved(sqlite3_file *f, int *ret)
{
    return REAL(f, xCheckReservedLock, ret);
}

static int seal_control(sqlite3_file *f, int op, void *arg)
{
    return REAL(f, xFileControl, op, arg);
}

static int seal_sector(sqlite3_file *f)
{
    return REAL(f, xSectorSize);
}

static int seal_device(sqlite3_file *f)
{
    return REAL(f, xDeviceCharacteristics);
}

static int seal_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **ret)
{
    return REAL(f, xShmMap, page, size, extend, ret);
}

static int seal_shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
    return REAL(f, xShmLock, offset, n, flags);
}

static void seal_shm_barrier(sqlite3_file *f)
{
    REAL(f, xShmBarrier);
}

static int seal_shm_unmap(sqlite3_file *f, int unlink_it)
{
    return REAL(f, xShmUnmap, unlink_it);
}

/* Version 2: without xFetch, so that no page is seen but through xRead. */
static const sqlite3_io_methods METHODS = {
    .iVersion = 2,
    .xClose = seal_close,
    .xRead = seal_read,
    .xWrite = seal_write,
    .xTruncate = seal_truncate,
    .xSync = seal_sync,
    .xFileSize = seal_size,
    .xLock = seal_lock,
    .xUnlock = seal_unlock,
    .xCheckReservedLock = seal_reserved,
    .xFileControl = seal_control,
    .xSectorSize = seal_sector,
    .xDeviceCharacteristics = seal_device,
    .xShmMap = seal_shm_map,
    .xShmLock = seal_shm_lock,
    .xShmBarrier = seal_shm_barrier,
    .xShmUnmap = seal_shm_unmap,
};

/* Whether a database that is being opened is one with seals; a new one will be. */
static bool wants_seals(sqlite3_file *f)
{
    uint8_t page[SEAL_PAGE];
    sqlite3_int64 size = 0;

    if (REAL(f, xFileSize, &size) != SQLITE_OK || size == 0)
        return true;
    for (sqlite3_int64 at = 0; at + SEAL_PAGE <= size && at < LOOKED * SEAL_PAGE; at += SEAL_PAGE)
        if (REAL(f, xRead, page, SEAL_PAGE, at) == SQLITE_OK &&
            (is_sealed(page, (uint32_t)(at / SEAL_PAGE) + 1) ||
             (at == 0 && page[AT_RESERVED] == SEAL_BYTES)))
            return true;
    return false;
}

static int seal_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *out)
{
    struct seal_file *s = (struct seal_file *)f;
    sqlite3_vfs *real = vfs->pAppData;
    int rc;

    if (!(flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL)))
        return real->xOpen(real, name, f, flags, out);
    memset(s, 0, sizeof(*s));
    rc = real->xOpen(real, name, real_of(f), flags, out);
    if (rc != SQLITE_OK)
        return rc;
    s->base.pMethods = &METHODS;
    s->header_at = -1;
    s->lenient = strcmp(vfs->zName, SEAL_VFS_LENIENT) == 0;
    s->log = flags & SQLITE_OPEN_WAL;
    s->sealed =
        s->log ? ((struct seal_file *)sqlite3_database_file_object(name))->sealed : wants_seals(f);
    return SQLITE_OK;
}

static sqlite3_vfs strict, lenient; /* set once, then SQLite's */

static void make_vfs(sqlite3_vfs *vfs, const char *name, sqlite3_vfs *real)
{
    *vfs = *real; /* the rest of it gets no files */
    vfs->zName = name;
    vfs->szOsFile = (int)sizeof(struct seal_file) + real->szOsFile;
    vfs->pAppData = real;
    vfs->xOpen = seal_open;
    vfs->pNext = NULL;
    sqlite3_vfs_register(vfs, 0);
}

static void init_once(void)
{
    sqlite3_vfs *real = sqlite3_initialize() == SQLITE_OK ? sqlite3_vfs_find("unix") : NULL;

    if (!real)
        return;
    make_vfs(&strict, SEAL_VFS, real);
    make_vfs(&lenient, SEAL_VFS_LENIENT, real);
}

int seal_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, init_once);
    return strict.zName ? 0 : -ENOSYS;
}

/* --- a look at the files --- */

static void look_pages(int fd, int64_t until, struct seal_look *l)
{
    enum { CHUNK = 64 };
    uint8_t *data = xmalloc(CHUNK * SEAL_PAGE);
    uint32_t says = 0;
    ssize_t n;

    l->complete = true;
    for (off_t at = 0; (n = file_pread(fd, data, CHUNK * SEAL_PAGE, at)) > 0; at += n) {
        if (at == 0 && n >= AT_PAGES + 4) {
            says = be32(data + AT_PAGES);
            l->sealed = memcmp(data, "SQLite format 3", 16) == 0 && data[AT_RESERVED] == SEAL_BYTES;
        }
        for (ssize_t i = 0; i + SEAL_PAGE <= n; i += SEAL_PAGE) {
            l->pages++;
            if (is_sealed(data + i, (uint32_t)l->pages))
                l->sealed = true;
            else if (l->bad++ == 0)
                l->first_bad = l->pages;
        }
        l->short_file |= n % SEAL_PAGE != 0;
        if (clock_mono_ms() > until) {
            l->complete = false;
            break;
        }
    }
    if (l->complete && says > l->pages)
        l->short_file = true;
    free(data);
}

/* Walks the log as SQLite's recovery does, and then looks whether frames of the same run follow
 * the first one that is not right: a write that was cut short is the last one. */
static void look_log(int fd, struct seal_look *l)
{
    uint8_t *frame = xmalloc(FRAME), head[LOG_HEADER];
    uint32_t sum[2] = {0, 0};
    bool good = true;
    int64_t wrong = 0, frames = 0;

    if (file_pread(fd, head, LOG_HEADER, 0) < LOG_HEADER)
        goto out;
    log_sum(be32(head) & 1, head, 24, sum);
    if ((be32(head) & ~1u) != LOG_MAGIC || sum[0] != be32(head + 24) || sum[1] != be32(head + 28)) {
        l->log_broken = true;
        goto out;
    }
    for (off_t at = LOG_HEADER; file_pread(fd, frame, FRAME, at) == FRAME; at += FRAME) {
        bool ours = memcmp(frame + 8, head + 16, 8) == 0;

        log_sum(be32(head) & 1, frame, 8, sum);
        log_sum(be32(head) & 1, frame + FRAME_HEADER, SEAL_PAGE, sum);
        if (good && ours && sum[0] == be32(frame + 16) && sum[1] == be32(frame + 20)) {
            frames++;
            continue;
        }
        good = false;
        wrong++;
        /* One salt of two is right: of an earlier run none is. */
        if (wrong == 1 ? !ours && (memcmp(frame + 8, head + 16, 4) == 0 ||
                                   memcmp(frame + 12, head + 20, 4) == 0)
                       : ours)
            l->log_broken = true;
        if (l->log_broken || (!ours && wrong > 1))
            break; /* what is left of an earlier run */
    }
out:
    if (frames > 0)
        l->short_file = false; /* the rest of the database is in the log */
    free(frame);
}

int seal_look(const char *path, int64_t ms, struct seal_look *ret)
{
    char *log = xasprintf("%s-wal", path);
    int fd = open(path, O_RDONLY | O_CLOEXEC), r = 0;

    memset(ret, 0, sizeof(*ret));
    if (fd < 0) {
        r = errno == ENOENT ? 0 : -errno;
        ret->empty = true;
    } else {
        look_pages(fd, clock_mono_ms() + ms, ret);
        ret->empty = ret->pages == 0 && !ret->short_file;
        close(fd);
    }
    fd = open(log, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        look_log(fd, ret);
        close(fd);
    }
    free(log);
    return r;
}

int seal_renew(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC), r = fd < 0 ? -errno : 0;
    uint8_t page[SEAL_PAGE];
    uint32_t pgno = 1;

    for (off_t at = 0; r == 0 && file_pread(fd, page, SEAL_PAGE, at) == SEAL_PAGE;
         at += SEAL_PAGE, pgno++) {
        if (is_sealed(page, pgno))
            continue;
        seal_page(page, pgno);
        r = file_pwrite(fd, page, SEAL_PAGE, at);
    }
    if (r == 0 && fsync(fd) < 0)
        r = -errno;
    if (fd >= 0)
        close(fd);
    return r;
}

/* The salts of the log's run: what its header says, or where that is damaged the first frame that
 * is as it was written. */
static bool log_run(int fd, uint8_t *frame, uint8_t run[8])
{
    uint8_t head[LOG_HEADER];
    uint32_t sum[2] = {0, 0};

    if (file_pread(fd, head, LOG_HEADER, 0) < LOG_HEADER)
        return false;
    log_sum(be32(head) & 1, head, 24, sum);
    if (sum[0] == be32(head + 24) && sum[1] == be32(head + 28)) {
        memcpy(run, head + 16, 8);
        return true;
    }
    for (off_t at = LOG_HEADER; file_pread(fd, frame, FRAME, at) == FRAME; at += FRAME)
        if (is_sealed(frame + FRAME_HEADER, be32(frame))) {
            memcpy(run, frame + 8, 8);
            return true;
        }
    return false;
}

static bool is_of_run(const uint8_t *frame, const uint8_t run[8])
{
    return memcmp(frame + 8, run, 8) == 0 && be32(frame) > 0 &&
           is_sealed(frame + FRAME_HEADER, be32(frame));
}

int64_t seal_salvage(const char *path, const char *to)
{
    char *log_path = xasprintf("%s-wal", path);
    int from = open(path, O_RDONLY | O_CLOEXEC), log = open(log_path, O_RDONLY | O_CLOEXEC);
    int out = open(to, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int r = from < 0 || log < 0 || out < 0 ? -errno : file_copy(from, out);
    uint8_t *frame = xmalloc(FRAME), run[8];
    off_t end = 0;
    int64_t n = 0;

    if (r == 0 && log_run(log, frame, run))
        for (off_t at = LOG_HEADER; file_pread(log, frame, FRAME, at) == FRAME; at += FRAME)
            if (is_of_run(frame, run) && be32(frame + 4) > 0) /* a commit */
                end = at + FRAME;
    for (off_t at = LOG_HEADER; r == 0 && at < end; at += FRAME) {
        if (file_pread(log, frame, FRAME, at) < FRAME || !is_of_run(frame, run))
            continue;
        r = file_pwrite(out, frame + FRAME_HEADER, SEAL_PAGE, (off_t)(be32(frame) - 1) * SEAL_PAGE);
        n += r == 0;
    }
    free(frame);
    free(log_path);
    if (from >= 0)
        close(from);
    if (log >= 0)
        close(log);
    if (out >= 0)
        close(out);
    return r < 0 ? r : n;
}

bool seal_is_damaged(const struct seal_look *l)
{
    return l->log_broken || (l->sealed && (l->bad > 0 || l->short_file));
}
