/* SPDX-License-Identifier: MIT */
/*
 * replay: main() of a fuzz target in ordinary builds. fuzz_NOUN gives every file of
 * tests/fuzz/corpus/NOUN (or of the folders in argv) to LLVMFuzzerTestOneInput once. In the fuzzer
 * build libFuzzer brings its own main and this file is not linked.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/file.h"

#define INPUT_MAX (64 * 1024 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_dir(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *d;
    int n = 0;

    if (!dir) {
        fprintf(stderr, "replay: no corpus '%s'\n", path);
        return -1;
    }
    while ((d = readdir(dir))) {
        struct buf b = BUF_INIT;

        if (d->d_name[0] == '.')
            continue;
        if (file_slurp(dirfd(dir), d->d_name, INPUT_MAX, &b) < 0) {
            fprintf(stderr, "replay: cannot read '%s/%s'\n", path, d->d_name);
            n = -1;
        } else {
            /* A copy of the exact size, so that a sanitizer sees every read beyond it. */
            uint8_t *copy = malloc(b.len ? b.len : 1);

            if (copy && b.len)
                memcpy(copy, b.data, b.len);
            if (copy)
                LLVMFuzzerTestOneInput(copy, b.len);
            free(copy);
            n++;
        }
        buf_release(&b);
        if (n < 0)
            break;
    }
    closedir(dir);
    return n;
}

int main(int argc, char **argv)
{
    const char *noun = strstr(argv[0], "fuzz_");
    char path[4096];
    int total = 0;

    while (noun && strstr(noun + 1, "fuzz_"))
        noun = strstr(noun + 1, "fuzz_");
    if (argc == 1 && noun) {
        snprintf(path, sizeof(path), "tests/fuzz/corpus/%s", noun + strlen("fuzz_"));
        total = replay_dir(path);
    }
    for (int i = 1; i < argc && total >= 0; i++) {
        int n = replay_dir(argv[i]);
        total = n < 0 ? -1 : total + n;
    }
    if (total <= 0)
        return 1;
    printf("[  PASSED  ] %d input(s).\n", total);
    return 0;
}
