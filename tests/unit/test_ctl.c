/* SPDX-License-Identifier: MIT */
/* ctl: requests and answers over a control socket, also to and from those that misbehave. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "sync/common/clock.h"
#include "sync/common/ctl.h"
#include "sync/common/file.h"

static char dir[] = "/tmp/eefs-unit-XXXXXX";
static char path[64];
static char argument[] = "argument";
static struct ctl_server *server;

static void handler(void *arg, struct ctl_conn *conn, json_t *request, uid_t uid)
{
    const char *cmd = json_string_value(json_object_get(request, "cmd"));

    if (cmd && strcmp(cmd, "echo") == 0) {
        ctl_reply(conn,
                  json_pack("{s:b,s:O,s:I,s:s}", "ok", 1, "got", json_object_get(request, "text"),
                            "uid", (json_int_t)uid, "arg", arg));
    } else if (cmd && strcmp(cmd, "count") == 0) {
        for (int i = 0; i < 3; i++)
            ctl_reply(conn, json_pack("{s:b,s:i}", "ok", 1, "n", i));
    } else if (cmd && strcmp(cmd, "watch") == 0) {
        ctl_reply(conn, json_pack("{s:b}", "ok", 1));
        while (!ctl_conn_closed(conn))
            usleep(1000);
    } else if (!cmd || strcmp(cmd, "silent") != 0) {
        ctl_reply_error(conn, "unknown", "no such command");
    }
}

static int setup(void **state)
{
    (void)state;
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof(path), "%s/s.sock", dir);
    return ctl_server_start(path, 0666, handler, argument, &server, NULL);
}

static int teardown(void **state)
{
    (void)state;
    ctl_server_stop(server);
    ctl_server_stop(NULL);
    return access(path, F_OK) == 0 ? -1 : file_remove_tree(AT_FDCWD, dir);
}

static void test_call(void **state)
{
    json_t *request = json_pack("{s:s,s:s}", "cmd", "echo", "text", "h\xc3\xa4\n\"");
    json_t *answer = NULL;
    struct stat st;

    (void)state;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0666);
    assert_int_equal(ctl_call(path, request, 5000, &answer, NULL), 0);
    assert_string_equal(json_string_value(json_object_get(answer, "got")), "h\xc3\xa4\n\"");
    assert_string_equal(json_string_value(json_object_get(answer, "arg")), "argument");
    assert_int_equal(json_integer_value(json_object_get(answer, "uid")), getuid());
    json_decref(answer);
    json_decref(request);
}

static void test_error_answer(void **state)
{
    json_t *request = json_pack("{s:s}", "cmd", "nonsense");
    json_t *answer = NULL;
    struct err e = {0};

    (void)state;
    assert_int_equal(ctl_call(path, request, 5000, &answer, &e), -EREMOTEIO);
    assert_non_null(strstr(e.text, "no such command"));
    assert_string_equal(json_string_value(json_object_get(answer, "code")), "unknown");
    json_decref(answer);
    assert_int_equal(ctl_call(path, request, 5000, NULL, NULL), -EREMOTEIO);
    json_decref(request);
}

static void test_several_lines(void **state)
{
    json_t *request = json_pack("{s:s}", "cmd", "count");
    struct ctl *c = NULL;

    (void)state;
    assert_int_equal(ctl_connect(path, 5000, &c, NULL), 0);
    for (int round = 0; round < 2; round++) { /* one connection, many requests */
        assert_int_equal(ctl_send(c, request, 5000, NULL), 0);
        for (int i = 0; i < 3; i++) {
            json_t *line = NULL;
            assert_int_equal(ctl_recv(c, 5000, &line, NULL), 0);
            assert_int_equal(json_integer_value(json_object_get(line, "n")), i);
            json_decref(line);
        }
    }
    json_decref(request);
    ctl_close(c);
}

static void test_long_line(void **state)
{
    size_t len = 3 * 1024 * 1024;
    char *text = xmalloc(len + 1);
    json_t *request, *answer = NULL;

    (void)state;
    memset(text, 'x', len);
    text[len] = '\0';
    request = json_pack("{s:s,s:s}", "cmd", "echo", "text", text);
    assert_int_equal(ctl_call(path, request, 10000, &answer, NULL), 0);
    assert_int_equal(json_string_length(json_object_get(answer, "got")), len);
    json_decref(answer);
    json_decref(request);
    free(text);
}

static void test_silence(void **state)
{
    json_t *request = json_pack("{s:s}", "cmd", "silent");
    int64_t before = clock_mono_ms();
    struct err e = {0};

    (void)state;
    assert_int_equal(ctl_call(path, request, 100, NULL, &e), -ETIMEDOUT);
    assert_true(e.text[0] != '\0');
    assert_true(clock_mono_ms() - before < 5000);
    json_decref(request);
}

static void test_not_json(void **state)
{
    static const char bad[] = "GET / HTTP/1.1\n";
    struct ctl *c = NULL;
    json_t *line = NULL;

    (void)state;
    assert_int_equal(ctl_connect(path, 5000, &c, NULL), 0);
    assert_int_equal(send(ctl_fd(c), bad, sizeof(bad) - 1, 0), sizeof(bad) - 1);
    assert_int_equal(ctl_recv(c, 5000, &line, NULL), 0);
    assert_true(json_is_false(json_object_get(line, "ok")));
    json_decref(line);
    assert_int_equal(ctl_recv(c, 5000, &line, NULL), -EPIPE);
    ctl_close(c);
}

static void test_nobody(void **state)
{
    char none[80], longest[200];
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct ctl_server *s = NULL;
    struct ctl *c = NULL;
    struct err e = {0};
    int fd;

    (void)state;
    snprintf(none, sizeof(none), "%s/none.sock", dir);
    assert_int_equal(ctl_connect(none, 1000, &c, &e), -ENOENT);

    /* What a killed program leaves: a socket file that nobody listens on. */
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    memcpy(a.sun_path, none, strlen(none) + 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    close(fd);
    assert_int_equal(ctl_connect(none, 1000, &c, &e), -ECONNREFUSED);
    assert_int_equal(ctl_server_start(none, 0600, handler, argument, &s, &e), 0);
    assert_int_equal(ctl_connect(none, 1000, &c, &e), 0);
    ctl_close(c);
    ctl_server_stop(s);
    s = NULL;
    assert_int_equal(access(none, F_OK), -1);

    assert_int_equal(ctl_server_start(path, 0600, handler, argument, &s, &e), -EADDRINUSE);
    assert_null(s);
    memset(longest, 'x', sizeof(longest) - 1);
    longest[0] = '/';
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(ctl_server_start(longest, 0600, handler, argument, &s, &e), -ENAMETOOLONG);
    assert_int_equal(ctl_connect(longest, 1000, &c, &e), -ENAMETOOLONG);
}

/* Stopping does not hang on an open stream. */
static void test_stop_with_stream(void **state)
{
    char other[80];
    json_t *request = json_pack("{s:s}", "cmd", "watch"), *line = NULL;
    struct ctl_server *s = NULL;
    struct ctl *c = NULL;

    (void)state;
    snprintf(other, sizeof(other), "%s/o.sock", dir);
    assert_int_equal(ctl_server_start(other, 0600, handler, argument, &s, NULL), 0);
    assert_int_equal(ctl_connect(other, 5000, &c, NULL), 0);
    assert_int_equal(ctl_send(c, request, 5000, NULL), 0);
    assert_int_equal(ctl_recv(c, 5000, &line, NULL), 0);
    json_decref(line);
    ctl_server_stop(s);
    assert_int_equal(ctl_recv(c, 5000, &line, NULL), -EPIPE);
    ctl_close(c);
    json_decref(request);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_call),          cmocka_unit_test(test_error_answer),
        cmocka_unit_test(test_several_lines), cmocka_unit_test(test_long_line),
        cmocka_unit_test(test_silence),       cmocka_unit_test(test_not_json),
        cmocka_unit_test(test_nobody),        cmocka_unit_test(test_stop_with_stream),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
