/* SPDX-License-Identifier: MIT */
/*
 * peer: the process at the other end of a connection to the control socket. Any thread.
 */
#ifndef EEFS_MIRROR_TRANSFER_PEER_H
#define EEFS_MIRROR_TRANSFER_PEER_H

#include <stdbool.h>

struct ctl_conn;
struct mirror;

/* True when the peer of `conn` may see `path`: root and the user of the mount see everything,
 * others the paths that they see in the mount. */
bool peer_sees(struct mirror *m, struct ctl_conn *conn, const char *path);
/* True when the peer may remove the file at `path`: likewise. */
bool peer_removes(struct mirror *m, struct ctl_conn *conn, const char *path);

#endif
