/* SPDX-License-Identifier: MIT */
/*
 * One line at a time: bytes are gathered up to a newline (a line that is too long only up to its
 * limit), parsed, checked, and staged some hundred at a time.
 */
#include "sync/mirror/transfer/feed_page.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/common/file.h"
#include "sync/common/log.h"
#include "sync/common/path.h"
#include "sync/mirror/replica/feed.h"
#include "sync/mirror/store/store.h"
#include "sync/mirror/transfer/context.h"
#include "sync/mirror/transfer/fetch.h"
#include "sync/mirror/transfer/prefetch.h"
#include "sync/proto/wire.h"

#define STAGE_BATCH  500
#define THIN_MAX     1000 /* pages of a set that bring little: hidden rows make some */
#define THIN         1000 /* lines */
#define THIN_BYTES   (1 << 20)
#define ROOM_STEP    100000              /* entries between two looks at the disk */
#define LISTING_ROOM ((int64_t)16 << 20) /* bytes that a listing leaves free */

struct ahead { /* a content to prefetch once its page set is applied */
    struct hash hash;
    int64_t size;
};

struct feed_page {
    struct mirror *m;
    struct buf line;
    bool overlong; /* the line at hand: its rest is passed over */
    struct entry batch[STAGE_BATCH];
    size_t n_batch;
    struct err err;
    bool here; /* err is this mirror's own disk */

    /* of this page */
    size_t line_max, lines, bytes, passed; /* passed: bytes of overlong lines */
    char *end;                             /* text of its last line */
    bool commit;

    /* of the set */
    struct cursor at; /* as of the last page; at.seq -1: no page yet */
    bool full, fetch, said;
    size_t n_thin, n_set, n_skipped;
    char cursor[CURSOR_CAP];
    struct ahead *ahead;
    size_t n_ahead, cap_ahead;
};

struct feed_page *feed_page_new(struct mirror *m)
{
    struct feed_page *p = xcalloc(1, sizeof(*p));

    p->m = m;
    return p;
}

static void drop(struct feed_page *p)
{
    while (p->n_batch > 0)
        entry_release(&p->batch[--p->n_batch]);
    buf_clear(&p->line);
    free(p->end);
    p->end = NULL;
    p->overlong = p->commit = false;
    p->lines = p->bytes = p->passed = 0;
}

void feed_page_free(struct feed_page *p)
{
    if (!p)
        return;
    drop(p);
    buf_release(&p->line);
    free(p->ahead);
    free(p);
}

void feed_page_begin_set(struct feed_page *p, const char *since, bool fetch)
{
    p->n_ahead = p->n_thin = p->n_set = p->n_skipped = 0;
    p->full = !*since;
    p->fetch = fetch;
    p->said = false;
    snprintf(p->cursor, sizeof(p->cursor), "%s", since);
    if (p->full || cursor_parse(since, &p->at) < 0)
        p->at = (struct cursor){.seq = -1};
}

void feed_page_begin(struct feed_page *p, size_t inline_max)
{
    drop(p);
    p->line_max = WIRE_LINE_BASE + inline_max * 4 / 3 + 4;
    p->err = (struct err){0};
    p->here = false;
}

const struct err *feed_page_fault(const struct feed_page *p)
{
    return &p->err;
}

bool feed_page_failed_here(const struct feed_page *p)
{
    return p->here;
}

const char *feed_page_cursor(const struct feed_page *p)
{
    return p->cursor;
}

bool feed_page_is_commit(const struct feed_page *p)
{
    return p->commit;
}

size_t feed_page_entries(const struct feed_page *p)
{
    return p->n_set;
}

/* --- contents --- */

/* An inline content goes into the store before its entry can be seen. One that is damaged or does
 * not fit is left out: it is fetched when asked for. */
static void store_inline(struct feed_page *p, const struct entry *en)
{
    struct store *s = p->m->store;
    struct hash sum;
    char *name = NULL;
    int fd, r;

    hash_bytes(en->data.data ? en->data.data : "", en->data.len, &sum);
    if ((int64_t)en->data.len != en->size || !hash_eq(&sum, &en->hash) ||
        store_has(s, &en->hash, en->size))
        return;
    fd = store_stage(s, &name);
    if (fd < 0)
        return;
    r = file_write(fd, en->data.data, en->data.len);
    close(fd);
    if (r == 0)
        r = store_publish(s, name, &en->hash, false);
    if (r < 0)
        store_discard(s, name);
    free(name);
}

static void note_ahead(struct feed_page *p, const struct entry *en)
{
    if (!p->fetch || !prefetch_any(p->m->prefetch) || !prefetch_wants(p->m->prefetch, en->path))
        return;
    if (p->n_ahead == p->cap_ahead) {
        p->cap_ahead = p->cap_ahead ? p->cap_ahead * 2 : 256;
        p->ahead = xrealloc(p->ahead, p->cap_ahead * sizeof(*p->ahead));
    }
    p->ahead[p->n_ahead].hash = en->hash;
    p->ahead[p->n_ahead++].size = en->size;
}

void feed_page_fetch_ahead(struct feed_page *p)
{
    for (size_t i = 0; i < p->n_ahead && prefetch_room(p->m->prefetch); i++)
        if (!store_has(p->m->store, &p->ahead[i].hash, p->ahead[i].size))
            fetch_want(p->m->fetch, &p->ahead[i].hash, p->ahead[i].size, NULL, NULL);
}

/* --- lines --- */

/* The cache cannot be written. */
static int fail_here(struct feed_page *p, int r, const char *what)
{
    p->here = true;
    return err_sys(&p->err, -r, "%s '%s'", what, p->m->cfg.cache);
}

/* Leaves space on the disk beside the staged pages. */
static int check_room(struct feed_page *p)
{
    int64_t used, limit, left;

    store_usage(p->m->store, &used, &limit, &left);
    return left < LISTING_ROOM ? fail_here(p, -ENOSPC, "no space for the master's listing in") : 0;
}

static int stage_batch(struct feed_page *p)
{
    size_t before = p->n_set;
    int r = 0;

    if (p->n_batch > 0)
        r = replica_feed_stage(p->m->replica, p->batch, p->n_batch);
    p->n_set += p->n_batch;
    while (p->n_batch > 0)
        entry_release(&p->batch[--p->n_batch]);
    if (r < 0)
        return fail_here(p, r, "cannot write the feed into the cache");
    if (p->n_set > WIRE_TREE_MAX)
        return err_set(&p->err, EPROTO, "the master lists more than %d paths", WIRE_TREE_MAX);
    return p->n_set / ROOM_STEP != before / ROOM_STEP ? check_room(p) : 0;
}

/* Leaves a line out. `path`: as in the line, encoded; NULL: not known. */
static int skip(struct feed_page *p, const char *path, const char *why)
{
    struct buf raw = BUF_INIT;
    int r;

    if (path && path_unescape(path, &raw) < 0) { /* as it came, so that it can be shown */
        buf_clear(&raw);
        buf_puts(&raw, path);
    }
    r = replica_feed_skip(p->m->replica, raw.data ? raw.data : "", why);
    p->n_skipped++;
    if (!p->said)
        log_warn("cannot apply the master's entry '%.200s': %s; all others are applied",
                 path ? path : "", why);
    p->said = true;
    buf_release(&raw);
    return r < 0 ? fail_here(p, r, "cannot write the feed into the cache") : 0;
}

static int take_end(struct feed_page *p, char *cursor, bool commit)
{
    p->end = cursor;
    p->commit = commit;
    return stage_batch(p);
}

static int take_entry(struct feed_page *p, struct entry *en)
{
    if (en->type == ENTRY_FILE && en->has_data)
        store_inline(p, en);
    else if (en->type == ENTRY_FILE)
        note_ahead(p, en);
    return ++p->n_batch == STAGE_BATCH ? stage_batch(p) : 0;
}

static int take_line(struct feed_page *p)
{
    struct entry *en = &p->batch[p->n_batch];
    char *cursor = NULL, *path = NULL;
    struct err why = {0};
    int kind, r;

    if (p->end)
        return err_set(&p->err, EPROTO, "the feed continues after its last line");
    if (++p->lines > WIRE_PAGE_MAX + 1)
        return err_set(&p->err, EPROTO, "a page of the feed has more lines than were asked for");
    if (p->overlong)
        return skip(p, NULL, "a line of the feed is too long");
    memset(en, 0, sizeof(*en));
    kind = page_parse_line(p->line.data, p->line.len, en, &cursor, &why);
    if (kind == PAGE_ENTRY)
        return take_entry(p, en);
    if (kind >= 0)
        return take_end(p, cursor, kind == PAGE_COMMIT);
    path = page_line_path(p->line.data, p->line.len);
    r = skip(p, path, why.text);
    if (r == 0 && path && kind == -EBADMSG) /* it may hide others */
        r = skip(p, NULL, why.text);
    free(path);
    return r;
}

int feed_page_take(void *arg, const void *data, size_t len)
{
    struct feed_page *p = arg;
    const char *at = data, *nl;
    int r = 0;

    p->bytes += len;
    while (r == 0 && len > 0) {
        size_t n;

        nl = memchr(at, '\n', len);
        n = nl ? (size_t)(nl - at) : len;
        if (p->line.len + n > p->line_max)
            p->overlong = true;
        if (!p->overlong)
            buf_append(&p->line, at, n);
        else if ((p->passed += n) > WIRE_BODY_MAX)
            return err_set(&p->err, EPROTO, "a line of the feed has no end");
        if (!nl)
            break;
        if (p->line.len > 0 || p->overlong)
            r = take_line(p);
        buf_clear(&p->line);
        p->overlong = false;
        len -= n + 1;
        at = nl + 1;
    }
    return r;
}

/* --- the page's end --- */

/* It goes on from where the last one ended, so that there is an end. */
static int check_cursor(struct feed_page *p, const struct cursor *c, struct err *e)
{
    bool first = p->at.seq < 0;

    if (p->commit ? c->full0 >= 0 : (c->full0 >= 0) != p->full)
        return err_set(e, EPROTO, "the feed's cursor is of another kind: '%s'", p->end);
    if (!first && !p->commit && strcmp(c->timeline, p->at.timeline) != 0)
        return err_set(e, EPROTO, "the feed continues in another timeline");
    if (!first && !p->commit && c->seq <= p->at.seq)
        return err_set(e, EPROTO, "the feed does not advance: cursor '%s' again", p->end);
    return 0;
}

int feed_page_end(struct feed_page *p, struct err *e)
{
    struct cursor c;
    int r;

    if (!p->end)
        return err_set(e, EPROTO, "the feed ends in the middle");
    if (cursor_parse(p->end, &c) < 0)
        return err_set(e, EPROTO, "the feed's cursor is invalid: '%.100s'", p->end);
    r = check_cursor(p, &c, e);
    if (r < 0)
        return r;
    if (p->lines < THIN && p->bytes < THIN_BYTES && ++p->n_thin > THIN_MAX)
        return err_set(e, EPROTO, "the feed sends page after page with almost no entries");
    p->at = c;
    snprintf(p->cursor, sizeof(p->cursor), "%s", p->end);
    if (p->commit && p->n_skipped > 1)
        log_warn("cannot apply %zu entries of the master; eefs-status lists them", p->n_skipped);
    return 0;
}
