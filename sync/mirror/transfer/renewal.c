/* SPDX-License-Identifier: MIT */
#include "sync/mirror/transfer/renewal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/log.h"
#include "sync/common/path.h"
#include "sync/common/trouble.h"
#include "sync/mirror/replica/feed.h"
#include "sync/mirror/store/store.h"
#include "sync/mirror/transfer/context.h"
#include "sync/mirror/transfer/salvage.h"

#define RENEWALS_MAX 3 /* of the database in one run: a disk that damages it again and again */

bool renewal_is_due(struct mirror *m, bool *given_up)
{
    bool enough = atomic_load(&m->renewals) >= RENEWALS_MAX;
    int code = 0;
    char text[8];
    bool damaged = trouble_recent(0, &code, text, sizeof(text)) && code == EUCLEAN;

    if (given_up)
        *given_up = damaged && enough;
    return damaged && !enough;
}

bool renewal_has_content(void *arg, const struct hash *h, int64_t size)
{
    struct mirror *m = arg;

    return store_has(m->store, h, size);
}

/* What is not known to be gone is not lost: its change waits until the disk is well. */
static bool may_have_content(void *arg, const struct hash *h, int64_t size)
{
    struct mirror *m = arg;

    return store_look(m->store, h, size) != 0;
}

int renewal_put_back(struct mirror *m, struct err *e)
{
    struct strlist lost = {NULL, 0};
    int n = replica_put_back(m->replica, may_have_content, m, &lost);

    if (n > 0)
        log_warn("%d changes and local files that were not on the master are put back", n);
    if (lost.n > 0) {
        char *first = path_encoded(lost.v[0]), text[512];

        for (size_t i = 0; i < lost.n; i++) {
            char *path = path_encoded(lost.v[i]);
            log_error("the change of '%s' is lost: its content is not in the cache any more", path);
            free(path);
        }
        snprintf(text, sizeof(text),
                 "%zu changes that were not on the master are lost with the cache's database, the "
                 "first of '%.300s'",
                 lost.n, first);
        fault_set(&m->faults, FAULT_LOST, text,
                  "eefs-status --salvage lists contents that are still in the cache; the log names "
                  "the changes; the next mount clears this message");
        free(first);
    }
    strlist_release(&lost);
    return n < 0 ? err_sys(e, -n, "cannot put unsent changes back into '%s'", m->cfg.cache) : 0;
}

/* Contents that were written here and that no operation has. */
static void offer_contents(struct mirror *m, const char *why)
{
    int error;
    json_t *list = salvage_list(m, &error);
    char text[300], more[80] = "";

    if (error < 0)
        snprintf(more, sizeof(more), " at least, for not all can be read (%s)", strerror(-error));
    snprintf(text, sizeof(text), "%zu contents%s that were written here are in the cache only: %s",
             json_array_size(list), more, why);
    if (json_array_size(list) > 0 || error < 0)
        fault_set(&m->faults, FAULT_LOST, text,
                  "eefs-status --salvage lists them, with --into DIR it copies them out; the next "
                  "mount clears this message");
    json_decref(list);
}

int renewal_complete(struct mirror *m, struct err *e)
{
    if (!replica_wants_back(m->replica))
        offer_contents(m, "its database is lost");
    return renewal_put_back(m, e);
}

void renewal_offer(struct mirror *m)
{
    if (m->leftovers > 0)
        offer_contents(m, "they could not be logged before the last mount ended");
}
