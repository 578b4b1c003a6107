/* SPDX-License-Identifier: MIT */
#include "sqlimport/sql/charset.h"

#include <errno.h>
#include <iconv.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A server's names, and iconv's; and the bytes of which the two make different characters. (Those
 * of several bytes are refused before, and those that are not here differ in too many.) */
static const struct {
    const char *server, *iconv, *unlike;
} names[] = {
    {"ascii", "ASCII", ""},
    {"cp1250", "CP1250", ""},
    {"cp1251", "CP1251", ""},
    {"cp1256", "CP1256", "\x8a\x8f\x98\x9a\x9f\xaa\xc0\xff"},
    {"cp1257", "CP1257", ""},
    {"cp850", "CP850", ""},
    {"cp852", "CP852", ""},
    {"cp866", "CP866", "\xfc\xfd"},
    {"greek", "ISO-8859-7", "\xa1\xa2\xa4\xa5\xaa"},
    {"hebrew", "ISO-8859-8", "\xaf"},
    {"koi8r", "KOI8-R", ""},
    {"koi8u", "KOI8-U", "\x95"},
    {"latin2", "ISO-8859-2", ""},
    {"latin5", "ISO-8859-9", ""},
    {"latin7", "ISO-8859-13", ""},
    {"macroman", "MACINTOSH", "\xc6\xf0"},
    {"tis620", "TIS-620", ""},
};

bool charset_is_utf8(const char *charset)
{
    return strcasecmp(charset, "utf8mb4") == 0 || strcasecmp(charset, "utf8") == 0 ||
           strcasecmp(charset, "utf8mb3") == 0 || strcasecmp(charset, "binary") == 0;
}

bool charset_is_ascii(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (text[i] & 0x80)
            return false;
    return true;
}

bool charset_is_valid_utf8(const char *text, size_t len)
{
    for (size_t i = 0, n; i < len; i += n) {
        unsigned char c = (unsigned char)text[i];
        n = c < 0x80                ? 1
            : c >= 0xc2 && c < 0xe0 ? 2
            : (c & 0xf0) == 0xe0    ? 3
            : c >= 0xf0 && c < 0xf5 ? 4
                                    : 0;
        if (n == 0 || n > len - i)
            return false;
        for (size_t k = 1; k < n; k++)
            if ((text[i + k] & 0xc0) != 0x80)
                return false;
    }
    return true;
}

static void put_utf8(struct buf *out, unsigned code)
{
    if (code < 0x80) {
        buf_putc(out, (char)code);
    } else if (code < 0x800) {
        buf_putc(out, (char)(0xc0 | code >> 6));
        buf_putc(out, (char)(0x80 | (code & 0x3f)));
    } else {
        buf_putc(out, (char)(0xe0 | code >> 12));
        buf_putc(out, (char)(0x80 | (code >> 6 & 0x3f)));
        buf_putc(out, (char)(0x80 | (code & 0x3f)));
    }
}

/* The server's latin1 is cp1252, with the five bytes that have no character there as themselves. */
static void from_latin1(struct buf *out, const char *text, size_t len)
{
    static const unsigned short high[32] = {
        0x20ac, 0x81,   0x201a, 0x192,  0x201e, 0x2026, 0x2020, 0x2021, 0x2c6,  0x2030, 0x160,
        0x2039, 0x152,  0x8d,   0x17d,  0x8f,   0x90,   0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
        0x2013, 0x2014, 0x2dc,  0x2122, 0x161,  0x203a, 0x153,  0x9d,   0x17e,  0x178,
    };

    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        put_utf8(out, c >= 0x80 && c < 0xa0 ? high[c - 0x80] : c);
    }
}

static int from_iconv(struct buf *out, const char *name, char *text, size_t len)
{
    iconv_t cd = iconv_open("UTF-8", name);
    char block[4096];
    int r = 0;

    if (cd == (iconv_t)-1)
        return -ENOTSUP;
    while (len > 0 && r == 0) {
        char *to = block;
        size_t room = sizeof(block);
        if (iconv(cd, &text, &len, &to, &room) == (size_t)-1 && errno != E2BIG)
            r = -EILSEQ;
        buf_append(out, block, sizeof(block) - room);
    }
    iconv_close(cd);
    return r;
}

int charset_to_utf8(struct buf *out, const char *charset, const char *text, size_t len,
                    struct err *e)
{
    int r = -ENOTSUP;

    if (charset_is_utf8(charset) || charset_is_ascii(text, len)) {
        buf_append(out, text, len);
        return 0;
    }
    if (strcasecmp(charset, "latin1") == 0) {
        from_latin1(out, text, len);
        return 0;
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (strcasecmp(charset, names[i].server) == 0) {
            char *copy = xstrndup(text, len);
            r = strpbrk(copy, names[i].unlike) ? -EILSEQ
                                               : from_iconv(out, names[i].iconv, copy, len);
            free(copy);
        }
    if (r == 0)
        return 0;
    return err_set(
        e, EPERM,
        r == -EILSEQ ? "a name holds bytes that are no characters of '%.40s', the dump's "
                       "character set there"
                     : "a name is in the character set '%.40s', which is not known here: dump with "
                       "--default-character-set=utf8mb4",
        charset);
}
