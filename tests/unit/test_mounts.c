/* SPDX-License-Identifier: MIT */
/* mounts: mountinfo, with the escapes and the stacked mounts that it may have. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "sync/common/mounts.h"

static void note(void *arg, const struct mounts_entry *m)
{
    char *out = arg;

    snprintf(out + strlen(out), 400 - strlen(out), "%s %s %s %u\n", m->point, m->type, m->options,
             m->minor);
}

static void test_lines(void **state)
{
    char table[] = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,quota\n"
                   "30 22 0:40 / /mnt/auto rw shared:9 - autofs systemd-1 rw,pgrp=1\n"
                   "31 22 0:41 / /mnt/with\\040blank rw - fuse.eefs http://m/ rw\n"
                   "32 22 0:42 / /mnt/two rw - tmpfs none rw\n"
                   "33 32 0:43 / /mnt/two rw shared:3 master:1 - fuse.eefs http://m/\n"
                   "34 22 0:44 / /no/type rw shared:3 -\n"
                   "35 22 0:45 / /no/dash rw shared:3\n"
                   "broken\n";
    char seen[400] = "";

    (void)state;
    mounts_parse(table, note, seen);
    assert_string_equal(seen, "/ ext4 rw,quota 1\n"
                              "/mnt/auto autofs rw,pgrp=1 40\n"
                              "/mnt/with blank fuse.eefs rw 41\n"
                              "/mnt/two tmpfs rw 42\n"
                              "/mnt/two fuse.eefs  43\n");
}

static void test_of_this_process(void **state)
{
    static char seen[400];

    (void)state;
    assert_int_equal(mounts_each(note, seen), 0);
    assert_true(strlen(seen) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_of_this_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
