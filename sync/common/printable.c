/* SPDX-License-Identifier: MIT */
#include "sync/common/printable.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"

#define LINE_CAP 4096

/* Bytes of the UTF-8 character at p, 0 when there is none; *ret is the character. */
static size_t decode(const unsigned char *p, uint32_t *ret)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = *p < 0x80 ? 1 : *p >= 0xc2 && *p < 0xe0 ? 2 : (*p & 0xf0) == 0xe0 ? 3 : 4;
    uint32_t c = n == 1 ? *p : *p & (0xffu >> (n + 1));

    if (*p >= 0x80 && (*p < 0xc2 || *p > 0xf4))
        return 0;
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) /* the end of the text, too */
            return 0;
        c = c << 6 | (p[i] & 0x3f);
    }
    if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        return 0;
    *ret = c;
    return n;
}

static bool is_plain(uint32_t c)
{
    return c >= 0x20 && !(c >= 0x7f && c <= 0x9f) && c != 0x61c && c != 0x200e && c != 0x200f &&
           !(c >= 0x2028 && c <= 0x202e) && !(c >= 0x2066 && c <= 0x2069) && c != 0xad &&
           c != 0x200b && !(c >= 0x2060 && c <= 0x2065) && c != 0xfeff &&
           !(c >= 0xfff9 && c <= 0xfffb) && !(c >= 0xe0000 && c <= 0xe0fff);
}

/* Bytes at p that stay as they are: 0 means that *ret bytes are to be escaped. */
static size_t plain_bytes(const unsigned char *p, size_t *ret)
{
    uint32_t c;
    size_t n = decode(p, &c);

    *ret = n ? n : 1;
    return n && is_plain(c) ? n : 0;
}

bool printable_is(const char *text)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t n, bad;

    for (; *p; p += n)
        if ((n = plain_bytes(p, &bad)) == 0)
            return false;
    return true;
}

void printable_copy(char *out, size_t cap, const char *text)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *p = (const unsigned char *)text;
    size_t len = 0, bad;

    while (*p) {
        size_t n = plain_bytes(p, &bad);
        if (len + (n ? n : 4 * bad) >= cap)
            break;
        for (size_t i = 0; i < n; i++)
            out[len++] = (char)p[i];
        for (size_t i = 0; n == 0 && i < bad; i++) {
            out[len++] = '\\';
            out[len++] = 'x';
            out[len++] = digits[p[i] >> 4];
            out[len++] = digits[p[i] & 15];
        }
        p += n ? n : bad;
    }
    out[len] = '\0';
}

void printable_make(char *text, size_t cap)
{
    char *plain;

    if (printable_is(text))
        return;
    plain = xmalloc(cap);
    printable_copy(plain, cap, text);
    strcpy(text, plain);
    free(plain);
}

void printable_line(FILE *f, const char *fmt, ...)
{
    struct buf raw = BUF_INIT;
    char line[LINE_CAP];
    va_list ap;

    buf_puts(&raw, "");
    va_start(ap, fmt);
    buf_vprintf(&raw, fmt, ap);
    va_end(ap);
    printable_copy(line, sizeof(line), raw.data);
    fprintf(f, "%s\n", line);
    buf_release(&raw);
}

char *printable_utf8(const char *text)
{
    const unsigned char *p = (const unsigned char *)text;
    struct buf b = BUF_INIT;
    uint32_t c;

    buf_puts(&b, "");
    for (size_t n; *p; p += n ? n : 1) {
        n = decode(p, &c);
        if (n)
            buf_append(&b, p, n);
        else
            buf_printf(&b, "\\x%02x", *p);
    }
    return buf_detach(&b);
}

void printable_excerpt(char *out, size_t cap, const char *text, size_t len)
{
    size_t n = len < cap - 1 ? len : cap - 1;

    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        out[i] = isspace(c) ? ' ' : c < 0x20 || c > 0x7e ? '?' : (char)c;
    }
    out[n] = '\0';
}
