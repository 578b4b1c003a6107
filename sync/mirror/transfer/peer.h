/* SPDX-License-Identifier: MIT */
/*
 * peer: who is at the other end of a connection to the control socket. Any thread.
 */
#ifndef EEFS_MIRROR_TRANSFER_PEER_H
#define EEFS_MIRROR_TRANSFER_PEER_H

#include <stdbool.h>

struct ctl_conn;
struct mirror;

/* Whether `path` may be named to the peer of `conn`: root and the user of the mount see everything,
 * others what they see in the mount. */
bool peer_sees(struct mirror *m, struct ctl_conn *conn, const char *path);

#endif
