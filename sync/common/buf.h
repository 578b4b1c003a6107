/* SPDX-License-Identifier: MIT */
/*
 * buf: a growable byte buffer. `data` always has a NUL byte after `len`, so it can be printed.
 * Initialise with BUF_INIT (or zero bytes), release with buf_release. Running out of memory
 * aborts: no caller of a 100-byte append can do anything sensible about it. Sizes that a peer
 * chooses must be bounded before they get here. Not thread safe.
 */
#ifndef EEFS_COMMON_BUF_H
#define EEFS_COMMON_BUF_H

#include <stdarg.h>
#include <stddef.h>

struct buf {
    char *data;
    size_t len;
    size_t cap;
};

#define BUF_INIT                                                                                   \
    {                                                                                              \
        NULL, 0, 0                                                                                 \
    }

void buf_release(struct buf *b);              /* frees; usable again */
void buf_clear(struct buf *b);                /* keeps the memory */
void buf_reserve(struct buf *b, size_t more); /* room for `more` bytes */
void buf_append(struct buf *b, const void *data, size_t len);
void buf_puts(struct buf *b, const char *s);
void buf_putc(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
void buf_consume(struct buf *b, size_t n); /* drops the first n bytes */
char *buf_detach(struct buf *b);           /* caller frees; never NULL */

/* malloc and friends that abort instead of returning NULL. */
void *xmalloc(size_t n);
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t n);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
