/* SPDX-License-Identifier: MIT */
/* mount options and mountpoints: what fstab may say, and what is refused with a reason. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <unistd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/file/attr.h"
#include "fs/mount/mountpoint.h"
#include "fs/mount/options.h"
#include "sync/common/buf.h"

/* Option strings live until the process ends, by contract. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

static struct options o;
static struct err e;

/* Splits a command line at blanks, as main() would get it. */
static int parse(const char *line)
{
    char **argv = xcalloc(32, sizeof(*argv));
    int argc = 0;

    argv[argc++] = xstrdup("mount.eefs");
    for (char *save = NULL, *word = strtok_r(xstrdup(line), " ", &save); word;
         word = strtok_r(NULL, " ", &save))
        argv[argc++] = word;
    e.text[0] = '\0';
    return options_parse(argc, argv, &o, &e);
}

static void test_defaults(void **state)
{
    (void)state;
    assert_int_equal(parse("http://m/ /mnt -o token_file=/t"), 0);
    assert_string_equal(o.spec, "http://m/");
    assert_string_equal(o.point, "/mnt");
    assert_string_equal(o.token_file, "/t");
    assert_int_equal(o.cache_size, (int64_t)10 << 30);
    assert_string_equal(o.offline, "queue");
    assert_string_equal(o.prefetch, "all");
    assert_null(o.uid);
    assert_int_equal(o.umask, 0);
    assert_int_equal(o.private.n, 0);
    assert_false(o.fake || o.sloppy || o.read_only || o.allow_other || o.foreground);
}

static void test_options_anywhere(void **state)
{
    (void)state;
    assert_int_equal(
        parse("-f -o token_file=/t,ro http://m/ -sn /mnt -v -o uid=www-data,umask=027"), 0);
    assert_true(o.fake && o.sloppy && o.verbose && o.read_only);
    assert_string_equal(o.uid, "www-data");
    assert_int_equal(o.umask, 027);
    assert_string_equal(o.point, "/mnt");
    assert_int_equal(parse("http://m/ /mnt -t fuse.eefs -o token_file=a\\,b,private=a:root,"
                           "private=b:root"),
                     0);
    assert_string_equal(o.token_file, "a,b");
    assert_int_equal(o.private.n, 2);
}

static void test_what_mount_passes(void **state)
{
    (void)state;
    assert_int_equal(
        parse("http://m/ /mnt -o rw,token_file=/t,exec,noexec,suid,nosuid,dev,nodev,user,"
              "users,nofail,_netdev,noauto,auto,defaults,relatime,noatime,"
              "x-systemd.automount,x-systemd.idle-timeout=5,comment=hello"),
        0);
    assert_false(o.read_only);
}

static void test_refused(void **state)
{
    static const struct {
        const char *line, *says;
    } cases[] = {
        {"", "needed"},
        {"http://m/", "needed"},
        {"a b c -o token_file=/t", "too many"},
        {"http://m/ /mnt", "token"},
        {"http://m/ /mnt -o token_file=/t,cahce_size=1G", "cache_size"},
        {"http://m/ /mnt -o token_file=/t,cache_size=lots", "cache_size"},
        {"http://m/ /mnt -o token_file=/t,offline=maybe", "queue|fail"},
        {"http://m/ /mnt -o token_file=/t,umask=9", "umask"},
        {"http://m/ /mnt --nonsense", "--nonsense"},
        {"http://m/ /mnt -o", "-o"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(parse(cases[i].line), -EINVAL);
        if (!strstr(e.text, cases[i].says))
            fail_msg("'%s' gives: %s", cases[i].line, e.text);
    }
}

static void test_sloppy(void **state)
{
    (void)state;
    assert_int_equal(parse("http://m/ /mnt -s -o nonsense=1,token_file=/t,more"), 0);
    assert_string_equal(o.token_file, "/t");
    assert_int_equal(parse("http://m/ /mnt -s -o token_file=/t,umask=9"), -EINVAL);
    assert_int_equal(parse("--help"), 0);
    assert_true(o.help);
    assert_int_equal(parse("--version"), 0);
    assert_true(o.version);
}

static void test_mountpoint(void **state)
{
    char dir[] = "/tmp/eefs-mountopts-XXXXXX", *path = NULL, *warning = NULL, *inside;

    (void)state;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(mountpoint_check(dir, true, &path, &warning, &e), 0);
    assert_string_equal(path, dir);
    assert_non_null(strstr(warning, "0000"));
    free(path);
    free(warning);
    inside = xasprintf("%s/x", dir);
    assert_true(mountpoint_check(inside, true, &path, &warning, &e) < 0);
    assert_non_null(strstr(e.text, inside));
    assert_int_equal(mkdir(inside, 0700), 0);
    assert_int_equal(mountpoint_check(dir, true, &path, &warning, &e), -ENOTEMPTY);
    free(warning);
    chmod(inside, 0);
    assert_int_equal(mountpoint_check(inside, true, &path, &warning, &e), 0);
    assert_null(warning);
    free(path);
    rmdir(inside);
    rmdir(dir);
    free(inside);
}

static void test_attr(void **state)
{
    struct attr_rules r = {.uid = 1000, .gid = 1001, .umask = 022};
    struct node_attr a = {
        .type = NODE_FILE, .mode = 0666, .size = 1000, .blocks = -1, .mtime = -1, .ino = 7};
    char slot[] = "/sql/:root", none[] = "none", bare[] = "sql", up[] = "a/../b:root";
    char nobody[] = "sql:no-such-user-here";
    char *list[] = {slot, none};
    struct strlist l = {list, 2};
    struct stat st;

    (void)state;
    assert_int_equal(attr_rules_private(&r, &l, &e), 0);
    attr_stat(&r, "sqlite", &a, true, &st);
    assert_int_equal(st.st_mode, S_IFREG | 0644);
    assert_int_equal(st.st_uid, 1000);
    assert_int_equal(st.st_gid, 1001);
    assert_int_equal(st.st_blocks, 2);
    assert_int_equal(st.st_mtim.tv_nsec, 999999999);
    attr_stat(&r, "sql/slave1/x", &a, true, &st);
    assert_int_equal(st.st_mode, S_IFREG | 0600);
    assert_int_equal(st.st_uid, 0);
    attr_rules_release(&r);
    list[0] = bare;
    assert_int_equal(attr_rules_private(&r, &l, &e), -EINVAL);
    list[0] = up;
    assert_int_equal(attr_rules_private(&r, &l, &e), -EINVAL);
    list[0] = nobody;
    assert_int_equal(attr_rules_private(&r, &l, &e), -EINVAL);
    attr_rules_release(&r);
}

static void test_owner(void **state)
{
    struct attr_rules r = {0};

    (void)state;
    assert_int_equal(attr_rules_owner(&r, NULL, NULL, &e), 0);
    assert_int_equal(r.uid, getuid());
    assert_int_equal(r.gid, getgid());
    assert_int_equal(attr_rules_owner(&r, "root", NULL, &e), 0);
    assert_int_equal(r.uid, 0);
    assert_int_equal(r.gid, 0);
    assert_int_equal(attr_rules_owner(&r, "12345", "root", &e), 0);
    assert_int_equal(r.uid, 12345);
    assert_int_equal(r.gid, 0);
    assert_int_equal(attr_rules_owner(&r, "12345", NULL, &e), 0);
    assert_int_equal(r.gid, 12345);
    assert_int_equal(attr_rules_owner(&r, "no-such-user-here", NULL, &e), -EINVAL);
    assert_int_equal(attr_rules_owner(&r, "4294967295", NULL, &e), -EINVAL);
    assert_int_equal(attr_rules_owner(&r, "-1", NULL, &e), -EINVAL);
    assert_int_equal(attr_rules_owner(&r, "0", "7x", &e), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_options_anywhere),
        cmocka_unit_test(test_what_mount_passes),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_sloppy),
        cmocka_unit_test(test_mountpoint),
        cmocka_unit_test(test_attr),
        cmocka_unit_test(test_owner),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
