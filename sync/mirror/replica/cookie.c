/* SPDX-License-Identifier: MIT */
#include "sync/mirror/replica/cookie.h"

#include <errno.h>
#include <string.h>

#include "sync/common/hash.h"

/* of 64: no sign */
#define VALUE_BITS 63

static int64_t cookie_of_bytes(const void *name, size_t len)
{
    struct hash h;
    uint64_t v = 0;

    hash_bytes(name, len, &h);
    for (int i = 0; i < 8; i++)
        v = v << 8 | h.b[i];
    v = (v & (((uint64_t)1 << VALUE_BITS) - 1)) & ~(uint64_t)(COOKIE_STEP - 1);
    return v ? (int64_t)v : COOKIE_STEP;
}

int64_t cookie_of(const char *name)
{
    return cookie_of_bytes(name, strlen(name));
}

static void sql_cookie(sqlite3_context *c, int n, sqlite3_value **v)
{
    const void *name = sqlite3_value_blob(v[0]);

    (void)n;
    sqlite3_result_int64(c, cookie_of_bytes(name ? name : "", (size_t)sqlite3_value_bytes(v[0])));
}

int cookie_register(sqlite3 *h)
{
    int rc = sqlite3_create_function(h, "name_cookie", 1, SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL,
                                     sql_cookie, NULL, NULL);

    return rc == SQLITE_OK ? 0 : -EIO;
}
