/* SPDX-License-Identifier: MIT */
/*
 * hot: nanoseconds of one hot operation on a folder of files.
 *
 *   hot stat DIR ROUNDS    stat of every file below DIR, ROUNDS times; ns per stat
 *   hot read DIR ROUNDS    open, read (64 KiB at most), close of every file; ns per file
 *   hot find DIR ROUNDS    a walk of the tree as find(1) does (readdir, lstat of all); ns per entry
 *
 * One round before the clock starts warms every cache.
 */
#include <fcntl.h>
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char **files;
static size_t n_files;
static size_t n_seen;

static int note(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)ftw;
    n_seen++;
    if (type == FTW_F && files)
        files[n_files++] = strdup(path);
    return 0;
}

static int64_t now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static int stat_all(void)
{
    struct stat st;

    for (size_t i = 0; i < n_files; i++)
        if (stat(files[i], &st) < 0)
            return -1;
    return 0;
}

static int read_all(void)
{
    static char block[65536];

    for (size_t i = 0; i < n_files; i++) {
        int fd = open(files[i], O_RDONLY);

        if (fd < 0 || read(fd, block, sizeof(block)) < 0)
            return -1;
        close(fd);
    }
    return 0;
}

static int walk(const char *dir)
{
    n_seen = 0;
    return nftw(dir, note, 64, FTW_PHYS);
}

int main(int argc, char **argv)
{
    int rounds = argc == 4 ? atoi(argv[3]) : 0;
    const char *what = argc == 4 ? argv[1] : "";
    size_t each;
    int64_t begin = 0;

    if (rounds <= 0) {
        fprintf(stderr, "usage: hot stat|read|find DIR ROUNDS\n");
        return 1;
    }
    if (walk(argv[2]) != 0) {
        perror(argv[2]);
        return 1;
    }
    files = calloc(n_seen, sizeof(*files));
    if (!files || walk(argv[2]) != 0)
        return 1;
    each = n_seen;
    for (int i = -1; i < rounds; i++) {
        int r;

        if (i == 0)
            begin = now();
        if (strcmp(what, "stat") == 0) {
            each = n_files;
            r = stat_all();
        } else if (strcmp(what, "read") == 0) {
            each = n_files;
            r = read_all();
        } else {
            char **keep = files;

            files = NULL;
            r = walk(argv[2]);
            files = keep;
        }
        if (r < 0) {
            perror("hot");
            return 1;
        }
    }
    printf("%.1f\n", (double)(now() - begin) / rounds / (double)(each ? each : 1));
    return 0;
}
