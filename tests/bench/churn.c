/* SPDX-License-Identifier: MIT */
/*
 * churn FILES RATE SECONDS LOG: rewrites the FILES files that are named on standard input, one a
 * line, in turn, RATE changes a second in all. The first line of a file is its version; it
 * keeps its size, for ext4 starts a disk write at each close after a truncation. LOG, made
 * beforehand, is mapped: an int64 with the number of changes made, then for each the
 * CLOCK_MONOTONIC nanoseconds when its file was closed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define NS 1000000000LL

static void fail(const char *what)
{
    fprintf(stderr, "churn: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * NS + ts.tv_nsec;
}

static void sleep_until(int64_t ns)
{
    struct timespec ts = {ns / NS, ns % NS};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
        ;
}

static void change(const char *path, long version)
{
    char text[512];
    int fd = open(path, O_WRONLY);

    memset(text, 'x', sizeof(text));
    text[snprintf(text, sizeof(text), "%ld\n", version)] = 'x';
    if (fd < 0 || write(fd, text, sizeof(text)) != (ssize_t)sizeof(text) || close(fd) < 0)
        fail(path);
}

int main(int argc, char **argv)
{
    long files = argc == 5 ? atol(argv[1]) : 0, rate = argc == 5 ? atol(argv[2]) : 0, n;
    char **paths = files > 0 ? calloc((size_t)files, sizeof(*paths)) : NULL;
    size_t cap = 0;
    int64_t *log, begin;
    int fd;

    if (!paths || rate <= 0) {
        fprintf(stderr, "usage: churn FILES RATE SECONDS LOG\n");
        return 1;
    }
    for (long i = 0; i < files; i++) {
        if (getline(&paths[i], &cap, stdin) <= 0)
            fail("cannot read the names");
        paths[i][strcspn(paths[i], "\n")] = '\0';
        cap = 0;
    }
    n = rate * atol(argv[3]);
    fd = open(argv[4], O_RDWR);
    log = mmap(NULL, (size_t)(n + 1) * sizeof(*log), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd < 0 || log == MAP_FAILED)
        fail(argv[4]);
    begin = now();
    for (long i = 0; i < n; i++) {
        sleep_until(begin + i * NS / rate);
        change(paths[i % files], i / files + 1);
        log[i + 1] = now();
        __atomic_store_n(&log[0], i + 1, __ATOMIC_RELEASE);
    }
    return 0;
}
