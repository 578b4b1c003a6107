/* SPDX-License-Identifier: MIT */
/* Fuzzes path: what decodes is a good path and survives a round trip; matching stays in bounds. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = xstrndup((const char *)data, size);
    char *split = strchr(text, '\n');
    char *path = NULL;

    if (split)
        *split++ = '\0';
    if (path_decode(text, &path) == 0) {
        char *encoded = path_encoded(path);
        char *again = NULL;
        char *parent = path_parent(path);
        char *joined = path_join(parent, path_base(path));

        assert(path_check(path) == 0);
        assert(path_decode(encoded, &again) == 0 && strcmp(again, path) == 0);
        assert(strcmp(joined, path) == 0);
        assert(path_is_under(path, parent));
        free(encoded);
        free(again);
        free(parent);
        free(joined);
        free(path);
    }
    (void)path_check_name(text);
    if (split)
        (void)path_matches(split, text);
    free(text);
    return 0;
}
