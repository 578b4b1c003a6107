/* SPDX-License-Identifier: MIT */
#include "sync/common/crash.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static const char *wanted;
static size_t wanted_len;
static atomic_long passes_left;

static void read_environment(void)
{
    const char *colon;

    wanted = getenv("EEFS_CRASH_AT");
    if (!wanted)
        return;
    colon = strchr(wanted, ':');
    wanted_len = colon ? (size_t)(colon - wanted) : strlen(wanted);
    passes_left = colon ? atol(colon + 1) : 1;
}

void crash_point(const char *name)
{
    pthread_once(&once, read_environment);
    if (!wanted || strlen(name) != wanted_len || strncmp(name, wanted, wanted_len) != 0)
        return;
    if (atomic_fetch_sub(&passes_left, 1) == 1) {
        kill(getpid(), SIGKILL);
        pause();
    }
}
