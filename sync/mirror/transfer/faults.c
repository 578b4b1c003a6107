/* SPDX-License-Identifier: MIT */
#include "sync/mirror/transfer/faults.h"

#include <stdio.h>
#include <string.h>

#include "sync/common/log.h"
#include "sync/common/thread.h"

void faults_init(struct faults *f)
{
    memset(f, 0, sizeof(*f));
    mutex_init(&f->lock);
}

void faults_release(struct faults *f)
{
    mutex_destroy(&f->lock);
}

void fault_set(struct faults *f, enum fault which, const char *text, const char *action)
{
    bool fresh;

    mutex_lock(&f->lock);
    fresh = *text && strcmp(text, f->v[which].text) != 0;
    snprintf(f->v[which].text, sizeof(f->v[which].text), "%s", text);
    snprintf(f->v[which].action, sizeof(f->v[which].action), "%s", action);
    mutex_unlock(&f->lock);
    if (fresh)
        log_error("%s; %s", text, action);
}

bool fault_is_set(struct faults *f, enum fault which)
{
    bool yes;

    mutex_lock(&f->lock);
    yes = *f->v[which].text != '\0';
    mutex_unlock(&f->lock);
    return yes;
}

void fault_first(struct faults *f, char *text, char *action, bool *failed)
{
    *text = *action = '\0';
    *failed = false;
    mutex_lock(&f->lock);
    for (int i = 0; i < N_FAULTS && !*text; i++) {
        snprintf(text, FAULT_TEXT_CAP, "%s", f->v[i].text);
        snprintf(action, FAULT_ACTION_CAP, "%s", f->v[i].action);
        *failed = i == FAULT_MASTER || i == FAULT_DATABASE;
    }
    mutex_unlock(&f->lock);
}
