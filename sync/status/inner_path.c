/* SPDX-License-Identifier: MIT */
#include "sync/status/inner_path.h"

#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"
#include "sync/common/printable.h"

char *mount_inner_path(const char *point, const char *path)
{
    size_t n = strlen(point);
    struct buf raw = BUF_INIT;
    char *r = NULL;

    /* `point` came as JSON: what is not UTF-8 in it is escaped (printable.h), and so compared. */
    for (const char *end = path + strlen(path); end > path && !r;) {
        char *text;

        buf_clear(&raw);
        buf_append(&raw, path, (size_t)(end - path));
        text = printable_utf8(raw.data);
        if (strlen(text) == n && strcmp(text, point) == 0)
            r = xstrdup(*end ? end + 1 : "");
        free(text);
        do
            end--;
        while (end > path && *end != '/');
    }
    buf_release(&raw);
    return r;
}
