/* SPDX-License-Identifier: MIT */
/* Fuzzes opt: first line as a mount's -o list, every line as one option of every type. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"
#include "sync/common/opt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* opt leaves strings to the end of the process (see opt.h); here each input would leak some. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

static void parse(const char *text, bool one)
{
    bool flag = false;
    char *string = NULL, *choice = NULL;
    struct strlist list = {0};
    int64_t number = 5, bytes = 0, ms = 0, mode = 0;
    const struct opt table[] = {
        {OPT_FLAG, "flag", NULL, &flag, NULL, 0, 0, "a flag"},
        {OPT_STRING, "token_file", "FILE", &string, NULL, 0, 0, "a string"},
        {OPT_LIST, "read", "PATH", &list, NULL, 0, 0, "a list"},
        {OPT_INT, "number", "N", &number, NULL, 1, 9, "a number"},
        {OPT_SIZE, "cache_size", "SIZE", &bytes, NULL, 0, 0, "a size"},
        {OPT_DURATION, "grace", "TIME", &ms, NULL, 0, 0, "a time"},
        {OPT_MODE, "umask", "MODE", &mode, NULL, 0, 0777, "a mode"},
        {OPT_ENUM, "offline", "queue|fail", &choice, NULL, 0, 0, "a choice"},
        {OPT_IGNORED, "nofail", NULL, NULL, NULL, 0, 0, NULL},
        {OPT_END, NULL, NULL, NULL, NULL, 0, 0, NULL},
    };
    struct err e = {0};
    int r;

    if (one) {
        char *name = xstrdup(text);
        char *eq = strchr(name, '=');

        if (eq)
            *eq = '\0';
        r = opt_set(table, name, eq ? eq + 1 : NULL, "fuzz", &e);
        free(name);
    } else {
        r = opt_comma(table, text, "-o", &e);
    }
    assert(r == 0 || (r < 0 && e.text[0]));
    assert(number >= 1 && number <= 9);
    assert(bytes >= 0 && ms >= 0 && mode >= 0 && mode <= 0777);
    strlist_release(&list);
    free(string);
    free(choice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = xstrndup((const char *)data, size < 4096 ? size : 4096);
    char *end = strchr(text, '\n');

    if (end)
        *end = '\0';
    parse(text, false);
    parse(end ? end + 1 : text, true);
    free(text);
    return 0;
}
