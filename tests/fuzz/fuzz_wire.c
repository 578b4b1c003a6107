/* SPDX-License-Identifier: MIT */
/* Fuzzes every decoder of the wire with one JSON line; what decodes must survive a round trip. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sync/proto/cursor.h"
#include "sync/proto/entry.h"
#include "sync/proto/op.h"
#include "sync/proto/scope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_line(const char *line, size_t size)
{
    struct entry e = {0}, again = {0};
    char *cursor = NULL, *unused = NULL;
    struct buf b = BUF_INIT;

    if (page_parse_line(line, size, &e, &cursor, NULL) == PAGE_ENTRY) {
        int r;

        entry_encode_line(&b, &e);
        r = page_parse_line(b.data, b.len - 1, &again, &unused, NULL);
        assert(r == PAGE_ENTRY && strcmp(e.path, again.path) == 0);
        assert(!e.moved_from == !again.moved_from &&
               (!e.moved_from || strcmp(e.moved_from, again.moved_from) == 0));
        (void)r;
    }
    free(cursor);
    entry_release(&e);
    entry_release(&again);
    buf_release(&b);
}

static void fuzz_object(json_t *v)
{
    struct op op = {0};
    struct op_answer a = {0};
    struct scope s = {0};

    if (op_from_json(v, &op, NULL) == 0) {
        struct hash h;
        op_digest(&op, &h);
        op_release(&op);
    }
    if (op_answer_from_json(v, &a, NULL) == 0) {
        json_decref(op_answer_to_json(&a));
        op_answer_release(&a);
    }
    if (scope_from_json(v, &s) == 0)
        scope_release(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = xstrndup((const char *)data, size);
    struct cursor c;
    json_t *v;

    fuzz_line((const char *)data, size);
    (void)cursor_parse(text, &c);
    v = json_loadb((const char *)data, size, 0, NULL);
    if (v)
        fuzz_object(v);
    json_decref(v);
    free(text);
    return 0;
}
