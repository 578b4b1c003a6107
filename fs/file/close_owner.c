/* SPDX-License-Identifier: MIT */
#include "fs/file/close_owner.h"

#include <stdio.h>

/* The process that the thread belongs to ("Tgid:" of proc_pid_status(5)); 0: not known. */
static pid_t process_of(pid_t thread)
{
    char path[64], line[128];
    pid_t pid = 0;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)thread);
    f = thread > 0 ? fopen(path, "re") : NULL;
    if (!f)
        return 0;
    while (pid == 0 && fgets(line, sizeof(line), f))
        if (sscanf(line, "Tgid: %d", &pid) != 1)
            pid = 0;
    fclose(f);
    return pid;
}

void close_owner_init(struct close_owner *o, pid_t thread)
{
    o->thread = thread;
    o->process = process_of(thread);
    atomic_init(&o->closed, false);
}

bool close_owner_closes(struct close_owner *o, pid_t thread)
{
    pid_t process;

    if (o->process == 0 || thread == o->thread || atomic_load(&o->closed)) {
        atomic_store(&o->closed, true);
        return true;
    }
    process = process_of(thread);
    if (process != 0 && process != o->process)
        return false;
    atomic_store(&o->closed, true);
    return true;
}
