/* SPDX-License-Identifier: MIT */
/*
 * Each name becomes a 64-bit hash of its folded form; only where two hashes are equal are the forms
 * compared. Plain ASCII, nearly all names, is folded by lower case alone.
 */
#include "sync/master/scan/name_collisions.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <utf8proc.h>

#include "sync/common/hash.h"
#include "sync/common/buf.h"

struct key {
    uint64_t hash;
    size_t i;
};

static bool is_ascii(const char *s)
{
    for (; *s; s++)
        if (*s & 0x80)
            return false;
    return true;
}

/* NULL when it is not UTF-8. Normalisation form C with case folding. */
static char *folded(const char *name)
{
    utf8proc_uint8_t *out = NULL;
    utf8proc_ssize_t n =
        utf8proc_map((const utf8proc_uint8_t *)name, 0, &out,
                     UTF8PROC_NULLTERM | UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_CASEFOLD);

    return n < 0 ? NULL : (char *)out;
}

static uint64_t hash_of(const char *s, bool ascii)
{
    uint64_t h = HASH64_START;

    for (; *s; s++) {
        uint8_t c = (uint8_t)*s;
        if (ascii && c >= 'A' && c <= 'Z')
            c = (uint8_t)(c + 32);
        h = hash64_byte(h, c);
    }
    return h;
}

static bool same(const char *a, const char *b)
{
    char *fa, *fb;
    bool yes;

    if (is_ascii(a) && is_ascii(b))
        return strcasecmp(a, b) == 0;
    fa = folded(a);
    fb = folded(b);
    yes = fa && fb && strcmp(fa, fb) == 0;
    free(fa);
    free(fb);
    return yes;
}

static int by_hash(const void *a, const void *b)
{
    const struct key *x = a, *y = b;

    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return x->i < y->i ? -1 : x->i > y->i;
}

void name_collisions_find(char *const *names, size_t n,
                          void (*fn)(void *arg, const char *a, const char *b), void *arg)
{
    struct key *keys;
    size_t used = 0;

    if (n < 2)
        return;
    keys = xcalloc(n, sizeof(*keys));
    for (size_t i = 0; i < n; i++) {
        bool ascii = is_ascii(names[i]);
        char *f = ascii ? NULL : folded(names[i]);

        if (ascii || f)
            keys[used++] = (struct key){hash_of(f ? f : names[i], ascii), i};
        free(f);
    }
    qsort(keys, used, sizeof(*keys), by_hash);
    for (size_t i = 0; i + 1 < used;) {
        size_t j = i + 1;
        for (; j < used && keys[j].hash == keys[i].hash; j++)
            if (same(names[keys[i].i], names[keys[j].i]))
                fn(arg, names[keys[i].i], names[keys[j].i]);
        i = j;
    }
    free(keys);
}
