/* SPDX-License-Identifier: MIT */
/*
 * wake: "there is something to do", from any thread to one that waits for it. So threads that bring
 * work need not know the one that does it: mirror->outbox_wake (push) and answers_wake (wait).
 * Thread safe.
 */
#ifndef EEFS_MIRROR_TRANSFER_WAKE_H
#define EEFS_MIRROR_TRANSFER_WAKE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define WAKE_NEVER      INT64_MAX
#define WAKE_REASON_CAP 512

struct wake {
    pthread_mutex_t lock; /* guards what follows; a leaf */
    pthread_cond_t more;
    bool kicked;
    bool now;   /* a person has acted, so a pause after a failure ends too */
    bool ended; /* nobody rests any more */
    char reason[WAKE_REASON_CAP];
};

void wake_init(struct wake *w);
void wake_release(struct wake *w);

/* There is something to do. */
void wake_kick(struct wake *w);
/* The same, and a pause after a failure ends. */
void wake_now(struct wake *w);
/* The mirror stops: no wait sleeps from here on. */
void wake_end(struct wake *w);

/* The waiting thread: sleeps until wake_now, wake_end, mono ms `deadline`, or, where `kick_ends`, a
 * kick, which may have come before; forgets both. True after wake_now. */
bool wake_wait(struct wake *w, int64_t deadline, bool kick_ends);

/* Sets why the work makes no progress ("": it does). True when the reason is new. */
bool wake_set_reason(struct wake *w, const char *why);
/* `out` holds WAKE_REASON_CAP bytes. */
void wake_reason(struct wake *w, char *out);

#endif
