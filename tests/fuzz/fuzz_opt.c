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

struct values {
    bool flag;
    char *string, *choice;
    struct strlist list;
    int64_t number, bytes, ms, mode;
};

static const struct opt table[] = {
    {.type = OPT_FLAG, .name = "flag", .at = offsetof(struct values, flag), .help = "a flag"},
    {.type = OPT_STRING,
     .name = "token_file",
     .arg = "FILE",
     .at = offsetof(struct values, string),
     .help = "a string"},
    {.type = OPT_LIST,
     .name = "read",
     .arg = "PATH",
     .at = offsetof(struct values, list),
     .help = "a list"},
    {.type = OPT_INT,
     .name = "number",
     .arg = "N",
     .at = offsetof(struct values, number),
     .min = 1,
     .max = 9,
     .help = "a number"},
    {.type = OPT_SIZE,
     .name = "cache_size",
     .arg = "SIZE",
     .at = offsetof(struct values, bytes),
     .help = "a size"},
    {.type = OPT_DURATION,
     .name = "grace",
     .arg = "TIME",
     .at = offsetof(struct values, ms),
     .help = "a time"},
    {.type = OPT_MODE,
     .name = "umask",
     .arg = "MODE",
     .at = offsetof(struct values, mode),
     .max = 0777,
     .help = "a mode"},
    {.type = OPT_ENUM,
     .name = "offline",
     .arg = "queue|fail",
     .at = offsetof(struct values, choice),
     .help = "a choice"},
    {.type = OPT_IGNORED, .name = "nofail"},
    {0},
};

static void parse(const char *text, bool one)
{
    struct values o = {.number = 5};
    struct err e = {0};
    int r;

    if (one) {
        char *name = xstrdup(text);
        char *eq = strchr(name, '=');

        if (eq)
            *eq = '\0';
        r = opt_set(table, &o, name, eq ? eq + 1 : NULL, "fuzz", &e);
        free(name);
    } else {
        r = opt_comma(table, &o, text, "-o", &e);
    }
    assert(r == 0 || (r < 0 && e.text[0]));
    assert(o.number >= 1 && o.number <= 9);
    assert(o.bytes >= 0 && o.ms >= 0 && o.mode >= 0 && o.mode <= 0777);
    strlist_release(&o.list);
    free(o.string);
    free(o.choice);
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
