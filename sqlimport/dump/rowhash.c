/* SPDX-License-Identifier: MIT */
#include "sqlimport/dump/rowhash.h"

#include <assert.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"

struct rowhash {
    EVP_MAC_CTX *ctx;
    struct hash secret;
    int vars_id; /* the setting added last, -1 for none */
};

static EVP_MAC *poly1305;
static pthread_once_t poly1305_once = PTHREAD_ONCE_INIT;

static void fetch_poly1305(void)
{
    poly1305 = EVP_MAC_fetch(NULL, "POLY1305", NULL);
    assert(poly1305);
}

static void begin(struct rowhash *h)
{
    if (!EVP_MAC_init(h->ctx, h->secret.b, HASH_BYTES, NULL))
        abort();
    h->vars_id = -1;
}

struct rowhash *rowhash_new(const struct hash *secret)
{
    struct rowhash *h = xcalloc(1, sizeof(*h));

    pthread_once(&poly1305_once, fetch_poly1305);
    h->ctx = EVP_MAC_CTX_new(poly1305);
    if (!h->ctx)
        abort();
    h->secret = *secret;
    begin(h);
    return h;
}

void rowhash_free(struct rowhash *h)
{
    if (!h)
        return;
    EVP_MAC_CTX_free(h->ctx);
    free(h);
}

static void add(struct rowhash *h, const void *data, size_t len)
{
    if (!EVP_MAC_update(h->ctx, data, len))
        abort();
}

/* Lengths in front, so that no two lists of statements are the same bytes. */
static void add_text(struct rowhash *h, char kind, const char *text, size_t len)
{
    uint8_t head[9] = {(uint8_t)kind};

    for (int i = 0; i < 8; i++)
        head[1 + i] = (uint8_t)((uint64_t)len >> (8 * i));
    add(h, head, sizeof(head));
    add(h, text, len);
}

void rowhash_add(struct rowhash *h, const struct session_vars *v, int vars_id, const char *text,
                 size_t len)
{
    if (vars_id != h->vars_id) {
        char *sql = session_vars_sql(v, vars_id);
        add_text(h, 'e', sql, strlen(sql));
        free(sql);
        h->vars_id = vars_id;
    }
    add_text(h, 's', text, len);
}

void rowhash_end(struct rowhash *h, uint8_t ret[ROWHASH_BYTES])
{
    size_t n = 0;

    if (!EVP_MAC_final(h->ctx, ret, &n, ROWHASH_BYTES) || n != ROWHASH_BYTES)
        abort();
    begin(h);
}
