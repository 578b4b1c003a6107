/* SPDX-License-Identifier: MIT */
/*
 * plain MARIADB VERSION NO_BACKSLASH_ESCAPES ANSI_QUOTES: for each line of hexadecimal digits on
 * stdin, what plain_text() makes of it, in the same form, or "-" when it refuses.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sqlimport/sql/plain.h"

static void answer(const char *text, size_t len, struct token_mode mode)
{
    struct buf b = BUF_INIT;
    bool versioned;

    if (plain_text(&b, text, len, mode, &versioned, NULL) < 0)
        putchar('-');
    else
        for (size_t i = 0; i < b.len; i++)
            printf("%02x", (unsigned char)b.data[i]);
    putchar('\n');
    fflush(stdout);
    buf_release(&b);
}

int main(int argc, char **argv)
{
    struct token_mode mode = {0};
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;

    if (argc != 5)
        return 1;
    mode.dialect.mariadb = atoi(argv[1]) != 0;
    mode.dialect.version = (unsigned)strtoul(argv[2], NULL, 10);
    mode.no_backslash_escapes = atoi(argv[3]) != 0;
    mode.ansi_quotes = atoi(argv[4]) != 0;
    while ((n = getline(&line, &cap, stdin)) > 0) {
        size_t len = (size_t)n / 2;
        for (size_t i = 0; i < len; i++) {
            const char digits[] = {line[2 * i], line[2 * i + 1], '\0'};
            line[i] = (char)strtoul(digits, NULL, 16);
        }
        answer(line, len, mode);
    }
    free(line);
    return 0;
}
