/* SPDX-License-Identifier: MIT */
#include "sync/common/hash.h"

#include <assert.h>
#include <errno.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/trouble.h"

#define READ_BLOCK (1024 * 1024)

struct hash_stream {
    EVP_MD_CTX *ctx;
};

/* Fetched once: EVP_sha256() would look the provider up again at every init. */
static EVP_MD *sha256;
static pthread_once_t sha256_once = PTHREAD_ONCE_INIT;

static void fetch_sha256(void)
{
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    assert(sha256);
}

bool hash_is_none(const struct hash *h)
{
    static const struct hash none;

    return memcmp(h->b, none.b, HASH_BYTES) == 0;
}

bool hash_eq(const struct hash *a, const struct hash *b)
{
    return memcmp(a->b, b->b, HASH_BYTES) == 0;
}

const char *hash_text(const struct hash *h, char *out)
{
    static const char digits[] = "0123456789abcdef";
    char *p = out;

    memcpy(p, "s2-", 3);
    p += 3;
    for (size_t i = 0; i < HASH_BYTES; i++) {
        *p++ = digits[h->b[i] >> 4];
        *p++ = digits[h->b[i] & 15];
    }
    *p = '\0';
    return out;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

int hash_parse(const char *text, struct hash *ret)
{
    struct hash h;

    if (strnlen(text, HASH_TEXT_LEN + 1) != HASH_TEXT_LEN || strncmp(text, "s2-", 3) != 0)
        return -EINVAL;
    text += 3;
    for (size_t i = 0; i < HASH_BYTES; i++) {
        int hi = hex_digit(text[2 * i]);
        int lo = hex_digit(text[2 * i + 1]);
        if (hi < 0 || lo < 0)
            return -EINVAL;
        h.b[i] = (uint8_t)(hi << 4 | lo);
    }
    *ret = h;
    return 0;
}

struct hash_stream *hash_stream_new(void)
{
    struct hash_stream *s = xcalloc(1, sizeof(*s));
    int ok;

    pthread_once(&sha256_once, fetch_sha256);
    s->ctx = EVP_MD_CTX_new();
    assert(s->ctx);
    ok = EVP_DigestInit_ex2(s->ctx, sha256, NULL);
    assert(ok == 1);
    (void)ok;
    return s;
}

void hash_stream_add(struct hash_stream *s, const void *data, size_t len)
{
    int ok = EVP_DigestUpdate(s->ctx, data, len);

    assert(ok == 1);
    (void)ok;
}

void hash_stream_end(struct hash_stream *s, struct hash *ret)
{
    unsigned len = 0;
    int ok = EVP_DigestFinal_ex(s->ctx, ret->b, &len);

    assert(ok == 1 && len == HASH_BYTES);
    ok = EVP_DigestInit_ex2(s->ctx, sha256, NULL);
    assert(ok == 1);
    (void)ok;
}

void hash_stream_free(struct hash_stream *s)
{
    if (!s)
        return;
    EVP_MD_CTX_free(s->ctx);
    free(s);
}

void hash_bytes(const void *data, size_t len, struct hash *ret)
{
    struct hash_stream *s = hash_stream_new();

    hash_stream_add(s, data, len);
    hash_stream_end(s, ret);
    hash_stream_free(s);
}

int hash_fd(int fd, struct hash *ret, off_t *ret_size)
{
    struct hash_stream *s = hash_stream_new();
    char *block = xmalloc(READ_BLOCK);
    off_t at = 0;
    int r = 0;

    for (;;) {
        ssize_t n = pread(fd, block, READ_BLOCK, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            r = trouble_at(-errno, fd, NULL);
        if (n <= 0)
            break;
        hash_stream_add(s, block, (size_t)n);
        at += n;
    }
    if (r == 0) {
        hash_stream_end(s, ret);
        if (ret_size)
            *ret_size = at;
    }
    free(block);
    hash_stream_free(s);
    return r;
}
