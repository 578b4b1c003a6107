/* SPDX-License-Identifier: MIT */
#include "sync/common/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "sync/common/printable.h"

int err_set(struct err *e, int code, const char *fmt, ...)
{
    va_list ap;

    if (e) {
        e->code = code;
        va_start(ap, fmt);
        vsnprintf(e->text, sizeof(e->text), fmt, ap);
        va_end(ap);
        printable_make(e->text, sizeof(e->text));
    }
    return -code;
}

int err_sys(struct err *e, int code, const char *fmt, ...)
{
    va_list ap;
    size_t n;
    char reason[128];

    if (!e)
        return -code;
    e->code = code;
    va_start(ap, fmt);
    vsnprintf(e->text, sizeof(e->text), fmt, ap);
    va_end(ap);
    n = strlen(e->text);
    snprintf(e->text + n, sizeof(e->text) - n, ": %s", strerror_r(code, reason, sizeof(reason)));
    printable_make(e->text, sizeof(e->text));
    return -code;
}

int err_prefix(struct err *e, const char *fmt, ...)
{
    char old[sizeof(e->text)];
    va_list ap;
    size_t n;

    if (!e)
        return -EIO;
    memcpy(old, e->text, sizeof(old));
    va_start(ap, fmt);
    vsnprintf(e->text, sizeof(e->text), fmt, ap);
    va_end(ap);
    n = strlen(e->text);
    if (n + 3 < sizeof(e->text))
        snprintf(e->text + n, sizeof(e->text) - n, ": %.*s", (int)(sizeof(e->text) - n - 3), old);
    printable_make(e->text, sizeof(e->text));
    return -e->code;
}
