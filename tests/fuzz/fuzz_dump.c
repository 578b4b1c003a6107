/* SPDX-License-Identifier: MIT */
/* Fuzzes the dump reader: what it makes of a dump must not depend on where the reads end. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sqlimport/sql/ddl.h"
#include "sqlimport/dump/dump_read.h"
#include "sqlimport/compare/table_rows.h"
#include "sqlimport/sql/split.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct hash none;
static const struct dialect any;

struct reader {
    const uint8_t *data;
    size_t left;
};

static ssize_t read_some(void *arg, void *out, size_t n)
{
    struct reader *s = arg;
    size_t take = s->left < n ? s->left : n;

    memcpy(out, s->data, take);
    s->data += take;
    s->left -= take;
    return (ssize_t)take;
}

/* All that was understood, as text. */
static void describe(struct buf *b, const struct dump *d, const struct dump_fault *f, int r,
                     const struct err *e)
{
    buf_printf(b, "%d %s line %llu at %lld in %s\n", r, e->text, (unsigned long long)f->line,
               (long long)f->offset, f->table);
    for (size_t i = 0; i < d->n; i++) {
        const struct object *o = d->objects[i];
        char hash[HASH_TEXT_CAP];

        buf_printf(b, "%s %s %s %llu %s %s\n", object_kind_name(o->kind), o->name,
                   o->table ? o->table : "", (unsigned long long)o->rows, hash_text(&o->hash, hash),
                   o->ddl ? o->ddl : "");
        for (size_t j = 0; j < o->n_ranges; j++)
            buf_printf(b, "%lld+%u line %llu\n", (long long)o->ranges[j].offset, o->ranges[j].len,
                       (unsigned long long)o->ranges[j].line);
    }
}

/* What was judged is found again, statement by statement. */
static void read_again(const struct dump *d, const uint8_t *data, size_t size)
{
    int fd = memfd_create("dump", MFD_CLOEXEC);

    assert(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    for (size_t i = 0; i < d->n; i++) {
        const struct object *o = d->objects[i];
        struct statement st;
        struct table_def shape;
        struct table_rows *s;
        uint64_t rows = 0;

        if (!object_is_table(o))
            continue;
        table_def_read(&shape, o->ddl, o->ddl_len, session_vars_mode_of(d->vars, o->vars_id));
        s = table_rows_open(fd, d, o, &shape, NULL);
        for (size_t j = 0; j < o->n_ranges; j++) {
            assert(table_rows_load(s, NULL) == 1);
            while (table_rows_statement(s, &st)) {
                assert(memcmp(st.text, data + st.offset, st.len) == 0);
                rows += (uint64_t)st.rows;
            }
        }
        assert(table_rows_load(s, NULL) == 0 && rows == o->rows);
        table_rows_close(s);
        table_def_release(&shape);
    }
    close(fd);
}

static char *understand(const uint8_t *data, size_t size, size_t step)
{
    struct reader src = {data, size};
    struct split *s = split_new(read_some, &src, step);
    struct dump *d = dump_new(&none, &any);
    struct dump_fault fault;
    struct buf b = BUF_INIT;
    struct err e = {0};
    int r = dump_read_split(s, d, &fault, &e);

    assert(r == 0 || (r < 0 && e.text[0]));
    describe(&b, d, &fault, r, &e);
    if (r == 0 && step > size)
        read_again(d, data, size);
    dump_free(d);
    split_free(s);
    return buf_detach(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t steps[] = {1, 7, 31, 61, 100, 1000};
    char *whole = understand(data, size, size + 1);
    char *parts = understand(data, size, steps[size % (sizeof(steps) / sizeof(*steps))]);

    assert(strcmp(whole, parts) == 0);
    free(parts);
    free(whole);
    return 0;
}
