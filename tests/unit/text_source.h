/* SPDX-License-Identifier: MIT */
/* text_source: a text in memory as what a splitter reads (split.h). */
#ifndef EEFS_TESTS_UNIT_TEXT_SOURCE_H
#define EEFS_TESTS_UNIT_TEXT_SOURCE_H

#include <string.h>
#include <sys/types.h>

/* What is left of it; the text must live as long as it is read. */
struct text {
    const char *p;
    size_t left;
};

static inline ssize_t read_text(void *arg, void *out, size_t n)
{
    struct text *t = arg;

    n = n < t->left ? n : t->left;
    memcpy(out, t->p, n);
    t->p += n;
    t->left -= n;
    return (ssize_t)n;
}

#endif
