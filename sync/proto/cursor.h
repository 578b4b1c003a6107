/* SPDX-License-Identifier: MIT */
/*
 * cursor: how far a mirror has followed: "TIMELINE.SEQ.SCOPEGEN", and while a full listing is being
 * paged "TIMELINE.SEQ.SCOPEGEN.FULL0", where FULL0 is the head when the listing began (tombstones
 * with a seq up to it need not be sent). TIMELINE is 16 hex digits. Mirrors treat it as opaque.
 */
#ifndef EEFS_PROTO_CURSOR_H
#define EEFS_PROTO_CURSOR_H

#include <stdint.h>

#define TIMELINE_LEN 16
#define CURSOR_CAP   128

struct cursor {
    char timeline[TIMELINE_LEN + 1];
    int64_t seq;
    int64_t scopegen;
    int64_t full0; /* -1: not a full listing */
};

/* Writes the text into out (CURSOR_CAP bytes); returns out. */
const char *cursor_text(const struct cursor *c, char *out);
/* 0 or -EINVAL. */
int cursor_parse(const char *text, struct cursor *ret);

#endif
