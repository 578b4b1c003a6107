/* SPDX-License-Identifier: MIT */
#include "sqlimport/dump/reader.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"
#include "sync/common/file.h"
#include "sync/common/worker.h"

#define BLOCK_SIZE ((size_t)512 * 1024)
#define BLOCKS     4 /* read ahead at most */

struct block {
    char *data;
    ssize_t len; /* 0: end of the file, negative: -errno */
};

struct reader {
    int fd;
    bool threaded; /* false: no thread could be started, the caller fills the blocks itself */
    struct worker
        worker; /* its lock guards the counters; a block belongs to who may count it next */
    struct hash_stream *hash;
    off_t size;
    uint64_t filled, taken; /* blocks; number n lies in blocks[n % BLOCKS] */
    struct block blocks[BLOCKS];
    size_t at; /* the caller's place in its block */
};

/* Fills the next block, of which the caller has made sure that it is free. false: it is the last.
 */
static bool fill_next(struct reader *s)
{
    struct block *b = &s->blocks[s->filled % BLOCKS];
    ssize_t len = file_pread(s->fd, b->data, BLOCK_SIZE, s->size);

    if (len > 0) {
        s->size += len;
        hash_stream_add(s->hash, b->data, (size_t)len);
    }
    b->len = len;
    worker_lock(&s->worker);
    s->filled++;
    worker_wake_locked(&s->worker);
    worker_unlock(&s->worker);
    return len > 0;
}

/* Ends by itself behind the last block, which reader_end() takes. */
static void *reader_run(void *arg)
{
    struct reader *s = arg;

    do {
        worker_lock(&s->worker);
        while (s->filled - s->taken == BLOCKS)
            worker_wait_locked(&s->worker, WORKER_NEVER);
        worker_unlock(&s->worker);
    } while (fill_next(s));
    return NULL;
}

struct reader *reader_new(int fd)
{
    struct reader *s = xcalloc(1, sizeof(*s));

    s->fd = fd;
    s->hash = hash_stream_new();
    worker_init(&s->worker);
    for (int i = 0; i < BLOCKS; i++)
        s->blocks[i].data = xmalloc(BLOCK_SIZE);
    s->threaded = worker_start(&s->worker, "reader", reader_run, s) == 0;
    return s;
}

/* The block to read from next, once it is there. */
static struct block *wait_for_block(struct reader *s)
{
    worker_lock(&s->worker);
    while (s->threaded && s->filled == s->taken)
        worker_wait_locked(&s->worker, WORKER_NEVER);
    worker_unlock(&s->worker);
    if (!s->threaded && s->filled == s->taken)
        fill_next(s);
    return &s->blocks[s->taken % BLOCKS];
}

static void give_back(struct reader *s)
{
    s->at = 0;
    worker_lock(&s->worker);
    s->taken++;
    worker_wake_locked(&s->worker);
    worker_unlock(&s->worker);
}

ssize_t reader_read(void *reader, void *data, size_t n)
{
    struct reader *s = reader;
    struct block *b = wait_for_block(s);

    if (b->len <= 0)
        return b->len; /* the last one: it stays */
    if (n > (size_t)b->len - s->at)
        n = (size_t)b->len - s->at;
    memcpy(data, b->data + s->at, n);
    s->at += n;
    if (s->at == (size_t)b->len)
        give_back(s);
    return (ssize_t)n;
}

void reader_end(struct reader *s, struct hash *ret_hash, off_t *ret_size)
{
    while (wait_for_block(s)->len > 0)
        give_back(s);
    worker_stop(&s->worker);
    hash_stream_end(s->hash, ret_hash);
    *ret_size = s->size;
    for (int i = 0; i < BLOCKS; i++)
        free(s->blocks[i].data);
    hash_stream_free(s->hash);
    worker_release(&s->worker);
    free(s);
}
