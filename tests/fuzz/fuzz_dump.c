/* SPDX-License-Identifier: MIT */
/* Fuzzes the dump reader: the verdict must not depend on where the reads end. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "sqlimport/dump.h"
#include "sqlimport/split.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct source {
    const uint8_t *data;
    size_t left, step;
};

static ssize_t read_some(void *arg, void *out, size_t n)
{
    struct source *s = arg;
    size_t take = s->left < n ? s->left : n;

    if (s->step && take > s->step)
        take = s->step;
    memcpy(out, s->data, take);
    s->data += take;
    s->left -= take;
    return (ssize_t)take;
}

static int verdict(const uint8_t *data, size_t size, size_t step, size_t *ret_objects)
{
    struct source src = {data, size, step};
    struct split *s = split_new(read_some, &src);
    struct dump *d = dump_new();
    struct dump_fault fault;
    struct err e = {0};
    int r = dump_read_split(s, d, &fault, &e);

    assert(r == 0 || (r < 0 && e.text[0]));
    *ret_objects = d->n;
    dump_free(d);
    split_free(s);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t a, b;
    static const uint8_t none[1];

    if (size == 0)
        data = none;
    assert(verdict(data, size, 0, &a) == verdict(data, size, 7, &b));
    assert(a == b);
    return 0;
}
