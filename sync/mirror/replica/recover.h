/* SPDX-License-Identifier: MIT */
/*
 * recover: repairs when a database is opened; see recover.c. Under replica_load().
 */
#ifndef EEFS_MIRROR_REPLICA_RECOVER_H
#define EEFS_MIRROR_REPLICA_RECOVER_H

#include "sync/mirror/replica/db.h"

/* Each 0, or -errno with e. */
int recover_adopt(struct replica *r, struct err *e);
int recover_first_writes(struct replica *r, struct err *e);
/* 0 */
int recover_follow(struct replica *r);

#endif
