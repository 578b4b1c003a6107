/* SPDX-License-Identifier: MIT */
/*
 * writers: microseconds of one change, made by several threads at once.
 *
 *   writers close DIR THREADS EACH     create a file, write 4 KiB, close
 *   writers fsync DIR THREADS EACH     the same with fsync before close
 *   writers rename DIR THREADS EACH    rename one file of each thread to and fro
 *
 * Prints the time of all changes together divided by their number, and the median of how long one
 * took. Created files are removed after the clock has stopped.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define THREADS_MAX 256
#define SIZE        4096

static const char *dir;
static bool syncs, renames;
static int each;
static int64_t *took; /* ns, `each` of every thread */
static pthread_barrier_t ready;

static int64_t now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void create(const char *path, const char *data, bool sync)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);

    if (fd < 0 || write(fd, data, SIZE) != SIZE || (sync && fsync(fd) < 0) || close(fd) < 0)
        fail(path);
}

static void name(char *out, size_t cap, int thread, int i)
{
    snprintf(out, cap, "%s/w%d-%d-%d", dir, getpid(), thread, i);
}

static void *writer(void *arg)
{
    int thread = (int)(intptr_t)arg;
    char path[4096], other[4096], data[SIZE];

    memset(data, 'x', sizeof(data));
    name(path, sizeof(path), thread, -1);
    name(other, sizeof(other), thread, -2);
    if (renames)
        create(path, data, false);
    pthread_barrier_wait(&ready);
    for (int i = 0; i < each; i++) {
        int64_t begin;

        if (!renames) {
            name(path, sizeof(path), thread, i);
            memcpy(data, path + strlen(dir), strlen(path + strlen(dir)));
        }
        begin = now();
        if (!renames)
            create(path, data, syncs);
        else if (rename(i % 2 ? other : path, i % 2 ? path : other) < 0)
            fail("rename");
        took[thread * each + i] = now() - begin;
    }
    return NULL;
}

static void clean(int threads)
{
    char path[4096];

    for (int thread = 0; thread < threads; thread++)
        for (int i = -2; i < each; i++) {
            name(path, sizeof(path), thread, i);
            unlink(path);
        }
}

static int by_value(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

int main(int argc, char **argv)
{
    int threads = argc == 5 ? atoi(argv[3]) : 0;
    pthread_t all[THREADS_MAX];
    int64_t begin, end;
    size_t n;

    each = argc == 5 ? atoi(argv[4]) : 0;
    if (each <= 0 || threads <= 0 || threads > THREADS_MAX) {
        fprintf(stderr, "usage: writers close|fsync|rename DIR THREADS EACH\n");
        return 1;
    }
    syncs = strcmp(argv[1], "fsync") == 0;
    renames = strcmp(argv[1], "rename") == 0;
    dir = argv[2];
    n = (size_t)threads * (size_t)each;
    took = calloc(n, sizeof(*took));
    pthread_barrier_init(&ready, NULL, (unsigned)threads + 1);
    for (int i = 0; i < threads; i++)
        pthread_create(&all[i], NULL, writer, (void *)(intptr_t)i);
    pthread_barrier_wait(&ready);
    begin = now();
    for (int i = 0; i < threads; i++)
        pthread_join(all[i], NULL);
    end = now();
    qsort(took, n, sizeof(*took), by_value);
    printf("%.1f %.1f\n", (double)(end - begin) / (double)n / 1000, (double)took[n / 2] / 1000);
    fflush(stdout);
    clean(threads);
    return 0;
}
