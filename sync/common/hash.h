/* SPDX-License-Identifier: MIT */
/*
 * hash: content names. A content's name is "s2-" and the 64 lower-case hex digits of its SHA-256
 * (FIPS 180-4, by OpenSSL's EVP). The prefix names the algorithm so that it can change.
 */
#ifndef EEFS_COMMON_HASH_H
#define EEFS_COMMON_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "sync/common/err.h"

#define HASH_BYTES    32
#define HASH_TEXT_LEN 67                  /* "s2-" and 64 digits, without the NUL */
#define HASH_TEXT_CAP (HASH_TEXT_LEN + 1) /* with it */

/* All zero bytes means "no content" (folders, symlinks, unknown). */
struct hash {
    uint8_t b[HASH_BYTES];
};

bool hash_is_none(const struct hash *h);
bool hash_eq(const struct hash *a, const struct hash *b);

/* Writes the text form into out, which holds HASH_TEXT_CAP bytes; returns out. */
const char *hash_text(const struct hash *h, char *out);
/* 0 or -EINVAL; exactly HASH_TEXT_LEN characters. */
int hash_parse(const char *text, struct hash *ret);

void hash_bytes(const void *data, size_t len, struct hash *ret);

/* Streaming. hash_stream_free(NULL) is fine. Not thread safe; one per stream. */
struct hash_stream;
struct hash_stream *hash_stream_new(void);
void hash_stream_add(struct hash_stream *s, const void *data, size_t len);
/* Ends the stream; it is ready for a new one afterwards. */
void hash_stream_end(struct hash_stream *s, struct hash *ret);
void hash_stream_free(struct hash_stream *s);

/*
 * Hashes the whole file from offset 0 with pread(2) in 1 MiB blocks; the offset of fd is not
 * moved. *ret_size (may be NULL) is the number of bytes read. 0 or -errno.
 */
int hash_fd(int fd, struct hash *ret, off_t *ret_size);

/*
 * For tables in memory: FNV-1a of 64 bits (http://www.isthe.com/chongo/tech/comp/fnv/), byte by
 * byte from HASH64_START, or of `len` bytes at once.
 */
#define HASH64_START 0xcbf29ce484222325u
static inline uint64_t hash64_byte(uint64_t h, uint8_t byte)
{
    return (h ^ byte) * 0x100000001b3u;
}
static inline uint64_t hash64(const void *data, size_t len)
{
    uint64_t h = HASH64_START;

    for (size_t i = 0; i < len; i++)
        h = hash64_byte(h, ((const uint8_t *)data)[i]);
    return h;
}

#endif
