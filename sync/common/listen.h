/* SPDX-License-Identifier: MIT */
/* listen: sockets that accept connections. Thread safe. */
#ifndef EEFS_COMMON_LISTEN_H
#define EEFS_COMMON_LISTEN_H

#include <stdbool.h>
#include <sys/types.h>

#include "sync/common/err.h"

/*
 * Listens on `at`: HOST:PORT or [ADDRESS]:PORT. Messages call it `option`. Unless it is on loopback
 * it is refused with -EINVAL and the sentence `elsewhere` ("%s is not a loopback address: …"); NULL:
 * any address. The socket (non-blocking, close-on-exec), or -errno with e.
 */
int listen_tcp(const char *option, const char *at, const char *elsewhere, struct err *e);

/* Listens on a Unix socket, replacing the one that an earlier run left; of that mode. */
int listen_unix(const char *path, mode_t mode, struct err *e);

#endif
