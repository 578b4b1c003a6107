/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/file.h"
#include "sync/common/path.h"
#include "sync/master/db/tree.h"
#include "sync/master/folder/root.h"
#include "sync/master/folder/folder.h"
#include "sync/master/db/readers.h"
#include "sync/master/http/request.h"
#include "sync/master/http/reply.h"
#include "sync/master/folder/upload.h"
#include "sync/master/folder/visible.h"
#include "sync/proto/wire.h"

#define BLOCK 65536

static bool may_read(void *arg, const char *path)
{
    const struct request *q = arg;

    return scope_reads(&q->who.scope, path) && !visible_hides(q->m->folder, path);
}

/*
 * The file whose row has the hash, opened while its stat is still that of the row. A writer may
 * change it while it is sent: the receiver verifies, and the feed brings the new hash.
 */
static int open_content(struct request *q, struct row *row)
{
    struct db *db = readers_get(q->m->readers);
    struct stat st;
    int fd = -ENOENT, r = db ? tree_find_hash(db, &q->hash, may_read, q, row) : -EIO;

    readers_put(q->m->readers, db);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    fd = path_open_beneath(root_fd(q->m->folder->root), row->e.path,
                           O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    if (fd < 0)
        return fd;
    /* Mode and ctime may differ; only the bytes count. */
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size != row->e.size ||
        file_mtime_ns(&st) != row->e.mtime || (int64_t)st.st_ino != row->ino) {
        close(fd);
        return -ENOENT;
    }
    return fd;
}

/* One range of "bytes=A-B", "bytes=A-" or "bytes=-N": 1 a part, 0 everything, -ERANGE. */
static int parse_range(const char *text, int64_t size, int64_t *from, int64_t *len)
{
    int64_t a, b = size - 1;
    char *end;

    if (!text || strncmp(text, "bytes=", 6) != 0 || strchr(text, ','))
        return 0;
    text += 6;
    errno = 0;
    if (*text == '-') {
        if (text[1] < '0' || text[1] > '9')
            return 0;
        a = strtoll(text + 1, &end, 10);
        if (*end)
            return 0;
        if (errno || a > size)
            a = size;
        if (a == 0)
            return -ERANGE;
        a = size - a;
    } else {
        if (*text < '0' || *text > '9')
            return 0;
        a = strtoll(text, &end, 10);
        if (errno)
            return -ERANGE;
        if (*end++ != '-')
            return 0;
        if (*end) {
            if (*end < '0' || *end > '9')
                return 0;
            b = strtoll(end, &end, 10);
            if (*end)
                return 0;
            if (b < a)
                return 0;
        }
        if (a >= size)
            return -ERANGE;
        if (b >= size)
            b = size - 1;
    }
    *from = a;
    *len = b - a + 1;
    return 1;
}

struct source {
    int fd;
    int64_t from;
};

static ssize_t source_read(void *cls, uint64_t pos, char *buf, size_t max)
{
    struct source *s = cls;
    ssize_t n = file_pread(s->fd, buf, max, (off_t)(s->from + (int64_t)pos));

    return n > 0 ? n : MHD_CONTENT_READER_END_WITH_ERROR; /* shorter than its row: cut the answer */
}

static void source_free(void *cls)
{
    struct source *s = cls;

    close(s->fd);
    free(s);
}

static enum MHD_Result gone(struct request *q)
{
    return reply_error(q, 404, WIRE_E_GONE,
                       "no path that this mirror may read has that content (any more)");
}

enum MHD_Result content_get(struct request *q)
{
    const char *range = MHD_lookup_connection_value(q->conn, MHD_HEADER_KIND, "Range");
    struct MHD_Response *resp;
    struct row row = {0};
    struct source *s;
    char text[HASH_TEXT_CAP], line[128];
    int64_t from = 0, len;
    enum MHD_Result res;
    int part, fd = open_content(q, &row);

    if (fd < 0) {
        row_release(&row);
        return gone(q);
    }
    len = row.e.size;
    part = parse_range(range, row.e.size, &from, &len);
    snprintf(line, sizeof(line), "bytes %" PRId64 "-%" PRId64 "/%" PRId64, from, from + len - 1,
             row.e.size);
    if (part < 0) {
        snprintf(line, sizeof(line), "bytes */%" PRId64, row.e.size);
        row_release(&row);
        close(fd);
        resp = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
        MHD_add_response_header(resp, "Content-Range", line);
        res = MHD_queue_response(q->conn, 416, resp);
        MHD_destroy_response(resp);
        return res;
    }
    row_release(&row);
    if (len == 0) {
        close(fd);
        resp = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    } else {
        s = xcalloc(1, sizeof(*s));
        s->fd = fd;
        s->from = from;
        resp = MHD_create_response_from_callback((uint64_t)len, BLOCK, source_read, s, source_free);
        if (!resp) {
            source_free(s);
            return MHD_NO;
        }
    }
    if (part)
        MHD_add_response_header(resp, "Content-Range", line);
    snprintf(line, sizeof(line), "\"%s\"", hash_text(&q->hash, text));
    MHD_add_response_header(resp, "ETag", line);
    MHD_add_response_header(resp, "Accept-Ranges", "bytes");
    MHD_add_response_header(resp, "Cache-Control", "private, max-age=31536000, immutable");
    MHD_add_response_header(resp, "Content-Type", "application/octet-stream");
    res = MHD_queue_response(q->conn, part ? 206 : 200, resp);
    MHD_destroy_response(resp);
    return res;
}

enum MHD_Result content_have(struct request *q)
{
    struct MHD_Response *resp;
    enum MHD_Result res;
    int64_t have = 0;
    bool complete;
    char text[32];

    if (upload_have(q->m->folder->uploads, q->who.name, &q->hash, &have, &complete) < 0)
        have = 0;
    snprintf(text, sizeof(text), "%" PRId64, have);
    resp = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    MHD_add_response_header(resp, "X-Eefs-Have", text);
    MHD_add_response_header(resp, "X-Eefs-Complete", complete ? "1" : "0");
    MHD_add_response_header(resp, "Cache-Control", "no-store");
    res = MHD_queue_response(q->conn, 200, resp);
    MHD_destroy_response(resp);
    return res;
}

static bool header_number(struct request *q, const char *name, int64_t *ret)
{
    const char *v = MHD_lookup_connection_value(q->conn, MHD_HEADER_KIND, name);
    char *end;

    if (!v || *v < '0' || *v > '9')
        return false;
    errno = 0;
    *ret = strtoll(v, &end, 10);
    return !errno && !*end;
}

static enum MHD_Result wrong_offset(struct request *q)
{
    int64_t have = 0;
    bool complete = false;

    upload_have(q->m->folder->uploads, q->who.name, &q->hash, &have, &complete);
    return reply_json(q, 409,
                      json_pack("{s:s,s:s,s:I}", "code", WIRE_E_OFFSET, "error",
                                "the upload resumes at another offset", "have", (json_int_t)have));
}

static enum MHD_Result no_space(struct request *q, int r)
{
    return reply_error(q, 507, WIRE_E_NO_SPACE,
                       r == -EDQUOT ? "the uploads of this mirror that no operation names yet have "
                                      "reached --upload-space; further uploads wait"
                                    : "the master's disk is full");
}

/* It may be about this one only: no reason to be away. */
static enum MHD_Result not_stored(struct request *q, int r)
{
    char why[200];

    if (r == -EFBIG)
        return reply_error(q, 413, WIRE_E_TOO_LARGE,
                           "the master's filesystem does not support files of this size");
    snprintf(why, sizeof(why), "the master cannot store the content: %s", strerror(-r));
    return reply_error(q, 422, WIRE_E_IO, why);
}

enum MHD_Result content_put_begin(struct request *q)
{
    const char *range = MHD_lookup_connection_value(q->conn, MHD_HEADER_KIND, "Content-Range");
    int64_t a = 0, b = -1, total = -1, length = -1, have = 0;
    bool complete = false;
    int used = 0, r;

    header_number(q, "Content-Length", &length);
    if (range) {
        if (sscanf(range, "bytes %" SCNd64 "-%" SCNd64 "/%" SCNd64 "%n", &a, &b, &total, &used) !=
                3 ||
            range[used] || a < 0 || b < a || total <= b || (length >= 0 && length != b - a + 1))
            return reply_error(q, 400, WIRE_E_BAD_REQUEST,
                               "Content-Range is not 'bytes A-B/TOTAL' of this body");
    } else if (length >= 0) {
        total = length;
        b = length - 1;
    }
    r = upload_have(q->m->folder->uploads, q->who.name, &q->hash, &have, &complete);
    if (r == 0 && complete && a != 0)
        return wrong_offset(q);
    if (r == 0)
        r = upload_begin(q->m->folder->uploads, q->who.name, &q->hash, a, total, &q->upload);
    if (r == -ESPIPE)
        return wrong_offset(q);
    if (r == -ENOSPC || r == -EDQUOT)
        return no_space(q, r);
    if (r < 0)
        return not_stored(q, r);
    q->total = total;
    q->end = b + 1;
    q->at = a;
    return MHD_YES;
}

void content_put_data(struct request *q, const char *data, size_t len)
{
    if (q->error == 0)
        q->error = upload_write(q->upload, data, len);
    if (q->error == 0)
        q->at += (int64_t)len;
}

enum MHD_Result content_put_end(struct request *q)
{
    int64_t have = 0;
    bool whole = q->error == 0 && (q->total < 0 || q->at == q->total);
    int r = upload_end(q->upload, whole, &have);

    q->upload = NULL;
    if (q->error < 0)
        r = q->error;
    if (r == -EBADMSG)
        return reply_error(q, 422, WIRE_E_DIGEST, "the bytes do not have the hash that names them");
    if (r == -ENOSPC || r == -EDQUOT)
        return no_space(q, r);
    if (r == -ECANCELED)
        return wrong_offset(q);
    if (r == -EMSGSIZE)
        return reply_error(q, 400, WIRE_E_BAD_REQUEST, "the body is longer than announced");
    if (r < 0)
        return not_stored(q, r);
    return reply_json(q, 200, json_pack("{s:I}", "have", (json_int_t)have));
}
