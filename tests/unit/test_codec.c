/* SPDX-License-Identifier: MIT */
/* The wire codec: what is encoded decodes to the same, and what is malformed is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sync/proto/cursor.h"
#include "sync/proto/entry.h"
#include "sync/proto/op.h"
#include "sync/proto/scope.h"

static void parse_ok(const char *text, struct entry *e)
{
    char *cursor = NULL;
    struct err err = {0};

    assert_int_equal(page_parse_line(text, strlen(text), e, &cursor, &err), PAGE_ENTRY);
}

static void entry_round_trip(void **state)
{
    struct entry e = {
        .type = ENTRY_FILE, .size = 3, .mtime = 1700000000123456789, .mode = 0644, .seq = 42};
    struct entry back = {0};
    struct buf line = BUF_INIT;

    (void)state;
    e.path = xstrdup("img/a \xff\n%\".png");
    e.moved_from = xstrdup("old");
    hash_bytes("abc", 3, &e.hash);
    buf_append(&e.data, "abc", 3);
    e.has_data = true;
    entry_encode_line(&line, &e);
    assert_int_equal(line.data[line.len - 1], '\n');
    line.data[line.len - 1] = '\0';
    parse_ok(line.data, &back);
    assert_string_equal(back.path, e.path);
    assert_string_equal(back.moved_from, "old");
    assert_int_equal(back.mtime, e.mtime);
    assert_int_equal(back.mode, 0644);
    assert_int_equal(back.seq, 42);
    assert_true(hash_eq(&back.hash, &e.hash));
    assert_true(back.has_data);
    assert_int_equal(back.data.len, 3);
    entry_release(&e);
    entry_release(&back);
    buf_release(&line);
}

/* Only a folder hides names; an old peer does not say so. */
static void entry_hides(void **state)
{
    static const struct {
        const char *line;
        bool hides;
    } cases[] = {
        {"{\"path\":\"d\",\"seq\":1,\"type\":\"dir\",\"mtime\":1,\"mode\":493}", false},
        {"{\"path\":\"d\",\"seq\":1,\"type\":\"dir\",\"mtime\":1,\"mode\":493,\"hides\":true}",
         true},
        {"{\"path\":\"d\",\"seq\":1,\"type\":\"dir\",\"mtime\":1,\"mode\":493,\"hides\":1}", false},
        {"{\"path\":\"d\",\"seq\":1,\"type\":\"gone\",\"hides\":true}", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct entry e = {0};
        struct buf line = BUF_INIT;

        parse_ok(cases[i].line, &e);
        assert_int_equal(e.hides, cases[i].hides);
        entry_encode_line(&line, &e);
        assert_int_equal(!!strstr(line.data, "\"hides\":true"), cases[i].hides);
        entry_release(&e);
        buf_release(&line);
    }
}

static void entry_refuses(void **state)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"path\":\"../x\",\"seq\":1,\"type\":\"gone\"}",
        "{\"path\":\"/x\",\"seq\":1,\"type\":\"gone\"}",
        "{\"path\":\"a//b\",\"seq\":1,\"type\":\"gone\"}",
        "{\"path\":\"a%00\",\"seq\":1,\"type\":\"gone\"}",
        "{\"path\":\"a\",\"seq\":-1,\"type\":\"gone\"}",
        "{\"path\":\"a\",\"seq\":1,\"type\":\"socket\"}",
        "{\"path\":\"\",\"seq\":1,\"type\":\"gone\"}",
        "{\"path\":\"a\",\"seq\":1,\"type\":\"file\",\"mtime\":0,\"mode\":1,\"hash\":\"x\"}",
        "{\"path\":\"a\",\"seq\":1,\"type\":\"dir\",\"mtime\":0,\"mode\":65535}",
        "{\"path\":\"a\",\"seq\":1,\"type\":\"link\",\"mtime\":0,\"mode\":511,\"target\":\"\"}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct entry e = {0};
        char *cursor = NULL;
        struct err err = {0};
        assert_int_equal(page_parse_line(bad[i], strlen(bad[i]), &e, &cursor, &err),
                         i < 2 ? -EBADMSG : -EPROTO);
        assert_true(err.text[0] != '\0');
        assert_null(e.path);
    }
}

static void page_end(void **state)
{
    struct buf b = BUF_INIT;
    struct entry e = {0};
    char *cursor = NULL;

    (void)state;
    page_encode_end(&b, PAGE_COMMIT, "0123456789abcdef.5.1");
    assert_int_equal(page_parse_line(b.data, b.len, &e, &cursor, NULL), PAGE_COMMIT);
    assert_string_equal(cursor, "0123456789abcdef.5.1");
    free(cursor);
    buf_release(&b);
}

static void cursor_forms(void **state)
{
    struct cursor c = {"0123456789abcdef", 77, 3, -1}, back;
    char text[CURSOR_CAP];

    (void)state;
    assert_int_equal(cursor_parse(cursor_text(&c, text), &back), 0);
    assert_int_equal(back.seq, 77);
    assert_int_equal(back.full0, -1);
    c.full0 = 9;
    assert_int_equal(cursor_parse(cursor_text(&c, text), &back), 0);
    assert_int_equal(back.full0, 9);
    assert_int_equal(cursor_parse("", &back), -EINVAL);
    assert_int_equal(cursor_parse("0123456789abcdef", &back), -EINVAL);
    assert_int_equal(cursor_parse("0123456789abcdef.1", &back), -EINVAL);
    assert_int_equal(cursor_parse("0123456789abcdef.1.2x", &back), -EINVAL);
    assert_int_equal(cursor_parse("0123456789abcdef.-1.2", &back), -EINVAL);
    assert_int_equal(cursor_parse("0123456789abcdeg.1.2", &back), -EINVAL);
    assert_int_equal(cursor_parse("0123456789abcdef.99999999999999999999.2", &back), -EINVAL);
}

static void op_round_trip(void **state)
{
    struct op op = {.n = 5, .kind = OP_RENAME, .mode = -1}, back = {0};
    struct hash d1, d2;
    json_t *v;

    (void)state;
    op.path = xstrdup("uploads/a");
    op.to = xstrdup("uploads/b");
    hash_bytes("x", 1, &op.pre.hash);
    op.pre.kind = PRE_HASH;
    op.to_pre.kind = PRE_ABSENT;
    v = op_to_json(&op);
    assert_int_equal(op_from_json(v, &back, NULL), 0);
    assert_string_equal(back.to, "uploads/b");
    assert_int_equal(back.pre.kind, PRE_HASH);
    assert_true(hash_eq(&back.pre.hash, &op.pre.hash));
    assert_int_equal(back.to_pre.kind, PRE_ABSENT);
    assert_int_equal(back.mode, -1);
    assert_false(back.has_mtime);
    op_digest(&op, &d1);
    op_digest(&back, &d2);
    assert_true(hash_eq(&d1, &d2));
    back.n = 6;
    op_digest(&back, &d2);
    assert_false(hash_eq(&d1, &d2));
    json_decref(v);
    op_release(&op);
    op_release(&back);
}

/* No time stands for "none". */
static void times_travel(void **state)
{
    static const int64_t times[] = {-1, 0, 1, INT64_MIN, INT64_MAX};
    struct op op = {.n = 5, .kind = OP_SETATTR, .mode = -1, .has_mtime = true}, back = {0};

    (void)state;
    op.path = xstrdup("uploads/a");
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        json_t *v;

        op.mtime = times[i];
        v = op_to_json(&op);
        assert_int_equal(op_from_json(v, &back, NULL), 0);
        assert_true(back.has_mtime);
        assert_int_equal(back.mtime, times[i]);
        op_release(&back);
        json_decref(v);
    }
    op_release(&op);
}

static void digest_ignores_how_content_travels(void **state)
{
    struct op op = {.n = 1, .kind = OP_PUT, .size = 1, .has_mtime = true, .mtime = 7, .mode = 0644};
    struct hash d1, d2;

    (void)state;
    op.path = xstrdup("a");
    hash_bytes("x", 1, &op.hash);
    op.pre.kind = PRE_ABSENT;
    op_digest(&op, &d1);
    buf_append(&op.data, "x", 1);
    op.has_data = true;
    op_digest(&op, &d2);
    assert_true(hash_eq(&d1, &d2));
    op_release(&op);
}

static void answer_round_trip(void **state)
{
    struct op_answer a = {.n = 9, .result = RESULT_CONFLICT}, back = {0};
    struct entry e = {.type = ENTRY_GONE, .seq = 4};
    json_t *v;

    (void)state;
    a.copy = xstrdup("uploads/a (conflict slave1 2026-11-23 101500).txt");
    e.path = xstrdup("uploads/a.txt");
    op_answer_add(&a, &e);
    v = op_answer_to_json(&a);
    assert_int_equal(op_answer_from_json(v, &back, NULL), 0);
    assert_int_equal(back.result, RESULT_CONFLICT);
    assert_string_equal(back.copy, a.copy);
    assert_int_equal(back.n_entries, 1);
    assert_string_equal(back.entries[0].path, "uploads/a.txt");
    json_decref(v);
    entry_release(&e);
    op_answer_release(&a);
    op_answer_release(&back);
}

static void scope_rules(void **state)
{
    struct scope s = {0};

    (void)state;
    strlist_add(&s.write, "uploads");
    strlist_add(&s.write, "sql/slave1");
    strlist_add(&s.deny, "sql/slave2");
    assert_true(scope_reads(&s, "css/a.css"));
    assert_false(scope_reads(&s, "sql/slave2/x.sql"));
    assert_false(scope_shows(&s, "sql/slave2"));
    assert_true(scope_shows(&s, "sql"));
    assert_true(scope_writes(&s, "uploads/x"));
    assert_false(scope_writes(&s, "uploadsx"));
    assert_false(scope_writes(&s, "css/a.css"));
    assert_true(scope_is_write_root(&s, "sql/slave1"));
    assert_true(scope_is_write_root(&s, "sql"));
    assert_false(scope_is_write_root(&s, "uploads/x"));
    strlist_add(&s.read, "img/public");
    assert_false(scope_reads(&s, "css/a.css"));
    assert_true(scope_shows(&s, "img"));
    assert_false(scope_reads(&s, "img"));
    assert_false(scope_shows(&s, "img/private"));
    scope_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entry_round_trip),  cmocka_unit_test(entry_hides),
        cmocka_unit_test(entry_refuses),     cmocka_unit_test(page_end),
        cmocka_unit_test(cursor_forms),      cmocka_unit_test(op_round_trip),
        cmocka_unit_test(times_travel),      cmocka_unit_test(digest_ignores_how_content_travels),
        cmocka_unit_test(answer_round_trip), cmocka_unit_test(scope_rules),
    };
    return cmocka_run_group_tests_name("codec", tests, NULL, NULL);
}
