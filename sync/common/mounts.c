/* SPDX-License-Identifier: MIT */
#include "sync/common/mounts.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"
#include "sync/common/file.h"

#define TABLE_MAX (16 << 20)

/* Octal escapes (space, tab, newline, backslash), in place. */
static void unescape(char *s)
{
    char *to = s;

    for (; *s; s++) {
        if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] && s[3]) {
            *to++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
            s += 3;
        } else {
            *to++ = *s;
        }
    }
    *to = '\0';
}

/* "36 35 98:0 /root /point options [tags…] - type source superblock-options" */
static bool parse_line(char *line, struct mounts_entry *ret)
{
    char *save = NULL, *words[6], *word, *colon;

    words[0] = strtok_r(line, " ", &save);
    for (int i = 1; i < 6; i++)
        words[i] = words[i - 1] ? strtok_r(NULL, " ", &save) : NULL;
    if (!words[5])
        return false;
    colon = strchr(words[2], ':');
    unescape(words[4]);
    do
        word = strtok_r(NULL, " ", &save);
    while (word && strcmp(word, "-") != 0);
    ret->point = words[4];
    ret->flags = words[5];
    ret->minor = colon ? (unsigned)strtoul(colon + 1, NULL, 10) : 0;
    ret->type = word ? strtok_r(NULL, " ", &save) : NULL;
    word = ret->type ? strtok_r(NULL, " ", &save) : NULL; /* source */
    word = word ? strtok_r(NULL, " ", &save) : NULL;
    ret->options = word ? word : "";
    return ret->type != NULL;
}

void mounts_parse(char *text, mounts_fn *fn, void *arg)
{
    char *save = NULL;
    struct mounts_entry m;

    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        if (parse_line(line, &m))
            fn(arg, &m);
    }
}

int mounts_each(mounts_fn *fn, void *arg)
{
    struct buf b = BUF_INIT;
    int r = file_slurp(AT_FDCWD, "/proc/self/mountinfo", TABLE_MAX, &b);

    if (r == 0 && b.data)
        mounts_parse(b.data, fn, arg);
    buf_release(&b);
    return r < 0 ? r : 0;
}
