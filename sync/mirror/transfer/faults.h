/* SPDX-License-Identifier: MIT */
/*
 * faults: lasting faults that keep a mirror from doing its work, one sentence for each kind. A part
 * sets a fault when it meets it and clears it when it is over; status shows the worst. Thread safe.
 */
#ifndef EEFS_MIRROR_TRANSFER_FAULTS_H
#define EEFS_MIRROR_TRANSFER_FAULTS_H

#include <pthread.h>
#include <stdbool.h>

/* In the order in which status looks for one to show. */
enum fault {
    FAULT_MASTER,      /* FAILED: the cache is another master's */
    FAULT_CLONED,      /* DEGRADED: changes are refused, for the cache was copied */
    FAULT_UNPUBLISHED, /* DEGRADED: files written here cannot be logged */
    FAULT_DISK,        /* DEGRADED: the cache's disk cannot be written */
    FAULT_HOOK,        /* DEGRADED: a command of on_change fails */
    FAULT_DATABASE,    /* FAILED: the database is being rebuilt */
    FAULT_LOST,        /* DEGRADED: changes are lost */
    FAULT_CONTENT,     /* DEGRADED: contents arrive damaged */
    N_FAULTS
};

#define FAULT_TEXT_CAP   512
#define FAULT_ACTION_CAP 256

struct faults {
    pthread_mutex_t lock; /* guards what follows; a leaf */
    struct {
        char text[FAULT_TEXT_CAP]; /* "": none */
        char action[FAULT_ACTION_CAP];
    } v[N_FAULTS];
};

void faults_init(struct faults *f);
void faults_release(struct faults *f);

/* Sets a fault, with what an admin can do about it, or clears it (text ""); logs a new one. */
void fault_set(struct faults *f, enum fault which, const char *text, const char *action);
bool fault_is_set(struct faults *f, enum fault which);

/* The first fault that is set: its sentences (buffers of FAULT_TEXT_CAP and FAULT_ACTION_CAP bytes,
 * both "" when there is none), and whether it means FAILED. */
void fault_first(struct faults *f, char *text, char *action, bool *failed);

#endif
