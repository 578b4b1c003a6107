/* SPDX-License-Identifier: MIT */
#include "sync/proto/cursor.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *cursor_text(const struct cursor *c, char *out)
{
    int n = snprintf(out, CURSOR_CAP, "%s.%" PRId64 ".%" PRId64, c->timeline, c->seq, c->scopegen);

    if (c->full0 >= 0)
        snprintf(out + n, (size_t)(CURSOR_CAP - n), ".%" PRId64, c->full0);
    return out;
}

/* ".<digits>" at *p; advances *p. */
static int parse_number(const char **p, int64_t *ret)
{
    char *end;

    if (**p != '.' || (*p)[1] < '0' || (*p)[1] > '9')
        return -EINVAL;
    errno = 0;
    *ret = strtoll(*p + 1, &end, 10);
    if (errno)
        return -EINVAL;
    *p = end;
    return 0;
}

int cursor_parse(const char *text, struct cursor *ret)
{
    struct cursor c = {.full0 = -1};
    const char *p = text + TIMELINE_LEN;

    if (strnlen(text, CURSOR_CAP) >= CURSOR_CAP || strspn(text, "0123456789abcdef") != TIMELINE_LEN)
        return -EINVAL;
    memcpy(c.timeline, text, TIMELINE_LEN);
    if (parse_number(&p, &c.seq) < 0 || parse_number(&p, &c.scopegen) < 0)
        return -EINVAL;
    if (*p && parse_number(&p, &c.full0) < 0)
        return -EINVAL;
    if (*p)
        return -EINVAL;
    *ret = c;
    return 0;
}
