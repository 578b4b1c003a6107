/* SPDX-License-Identifier: MIT */
/*
 * page_server: a small HTTP server of pages for monitors, on sockets that listen already, in one
 * thread each. GET and HEAD only; no bodies are read.
 */
#ifndef EEFS_PROTO_PAGE_SERVER_H
#define EEFS_PROTO_PAGE_SERVER_H

#include "sync/common/buf.h"
#include "sync/common/err.h"

struct page_server;

/* Fills `body` with the page at `path` (from '/' on, without query) and sets *type to its content
 * type. The HTTP status; 404: no such page. Called in the server's threads; must not block. */
typedef unsigned page_fn(void *arg, const char *path, struct buf *body, const char **type);

/* Serves on the sockets, which it takes over in any case. 0 or -errno with e. */
int page_server_start(const int *fds, size_t n, page_fn *fn, void *arg, struct page_server **ret,
                      struct err *e);
/* Closes the sockets and waits for the threads; NULL is fine. */
void page_server_stop(struct page_server *s);

#endif
