/* SPDX-License-Identifier: MIT */
/* peer_address: where a request came from, for people. Any thread. */
#ifndef EEFS_MASTER_HTTP_PEER_ADDRESS_H
#define EEFS_MASTER_HTTP_PEER_ADDRESS_H

#include <microhttpd.h>
#include <stddef.h>

/*
 * The numeric address of the peer in `out` (cap bytes). A proxy on this machine is believed: the
 * last address of its X-Forwarded-For is the peer then. Never for a decision about access.
 */
void peer_address(struct MHD_Connection *conn, char *out, size_t cap);

#endif
