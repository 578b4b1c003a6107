/* SPDX-License-Identifier: MIT */
/* encode: base64 and hex, there and back; what is neither is refused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/common/encode.h"

static void encodes(const char *plain, const char *text)
{
    struct buf b = BUF_INIT;

    base64_encode(&b, plain, strlen(plain));
    assert_string_equal(b.len ? b.data : "", text);
    buf_clear(&b);
    buf_puts(&b, "<");
    assert_int_equal(base64_decode(&b, text, strlen(text)), 0);
    assert_int_equal(b.len, strlen(plain) + 1);
    assert_string_equal(b.data + 1, plain);
    buf_release(&b);
}

/* RFC 4648, section 10. */
static void test_vectors(void **state)
{
    (void)state;
    encodes("", "");
    encodes("f", "Zg==");
    encodes("fo", "Zm8=");
    encodes("foo", "Zm9v");
    encodes("foob", "Zm9vYg==");
    encodes("fooba", "Zm9vYmE=");
    encodes("foobar", "Zm9vYmFy");
}

static void test_binary(void **state)
{
    unsigned char all[256];
    struct buf text = BUF_INIT, back = BUF_INIT;

    (void)state;
    for (int i = 0; i < 256; i++)
        all[i] = (unsigned char)i;
    for (size_t n = 0; n <= sizeof(all); n++) {
        buf_clear(&text);
        buf_clear(&back);
        base64_encode(&text, all, n);
        assert_int_equal(base64_decode(&back, text.data, text.len), 0);
        assert_int_equal(back.len, n);
        assert_memory_equal(n ? back.data : "", all, n);
    }
    buf_release(&text);
    buf_release(&back);
}

static void test_refused(void **state)
{
    static const char *const bad[] = {"Z",    "Zg",    "Zg=",  "Zg==\n", " Zg==",    "Zg= =",
                                      "Z*==", "Zm9v=", "====", "Z===",   "Zg==Zg==", "=Zg="};
    struct buf b = BUF_INIT;

    (void)state;
    buf_puts(&b, "kept");
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        if (base64_decode(&b, bad[i], strlen(bad[i])) != -EINVAL)
            fail_msg("'%s' was decoded", bad[i]);
        assert_string_equal(b.data, "kept");
        assert_int_equal(b.len, 4);
    }
    buf_release(&b);
}

static void test_hex(void **state)
{
    struct buf b = BUF_INIT;

    (void)state;
    hex_encode(&b, "\x00\x0f\xff", 3);
    assert_string_equal(b.data, "000fff");
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_binary),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_hex),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
