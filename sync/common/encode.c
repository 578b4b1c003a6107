/* SPDX-License-Identifier: MIT */
#include "sync/common/encode.h"

#include <errno.h>
#include <limits.h>
#include <openssl/evp.h>
#include <string.h>

void base64_encode(struct buf *out, const void *data, size_t len)
{
    buf_reserve(out, (len + 2) / 3 * 4);
    out->len += (size_t)EVP_EncodeBlock((unsigned char *)out->data + out->len, data, (int)len);
}

int base64_decode(struct buf *out, const char *text, size_t len)
{
    size_t pad = 0;
    int n;

    if (len == 0)
        return 0;
    if (len % 4 != 0 || len > INT_MAX)
        return -EINVAL;
    /* EVP_DecodeBlock skips white space at either end, which would hide a wrong length, and takes
     * padding anywhere. */
    while (pad < 2 && text[len - 1 - pad] == '=')
        pad++;
    if (strcspn(text, "= \t\r\n") < len - pad)
        return -EINVAL;
    buf_reserve(out, len / 4 * 3);
    n = EVP_DecodeBlock((unsigned char *)out->data + out->len, (const unsigned char *)text,
                        (int)len);
    if (n < 0 || (size_t)n < pad) {
        out->data[out->len] = '\0';
        return -EINVAL;
    }
    out->len += (size_t)n - pad;
    out->data[out->len] = '\0';
    return 0;
}

void hex_encode(struct buf *out, const void *data, size_t len)
{
    const unsigned char *p = data;

    for (size_t i = 0; i < len; i++)
        buf_printf(out, "%02x", p[i]);
}
