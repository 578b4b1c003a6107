/* SPDX-License-Identifier: MIT */
/*
 * probe: asks for one page as a visitor would, to learn whether a server is well (libcurl). Thread
 * safe; each call makes a connection of its own. No proxy is used and no redirect is followed; TLS
 * certificates are verified.
 */
#ifndef EEFS_PROTO_PROBE_H
#define EEFS_PROTO_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include "sync/common/buf.h"
#include "sync/common/err.h"

struct probe {
    const char *url;
    const char *address; /* numeric: connect there, with the URL's name as Host and SNI; NULL: to
                          * where the name leads */
    const char *cafile;  /* PEM file of the trusted authorities; NULL: the system's */
    const char *expect;  /* text that the page must have within its first MiB; NULL: any page */
    int64_t timeout_ms;  /* for all of it */
};

/* 0: status 200 with the expected text; *ms (not NULL) is the time that it took, and `body` (may be
 * NULL) gets the page. -EPROTO: another answer; else -errno of no answer; with e. */
int probe_run(const struct probe *p, int64_t *ms, struct buf *body, struct err *e);

#endif
