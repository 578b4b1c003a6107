/* SPDX-License-Identifier: MIT */
/* encode: base64 (RFC 4648, with padding) and hex text of bytes, by OpenSSL where possible. */
#ifndef EEFS_COMMON_ENCODE_H
#define EEFS_COMMON_ENCODE_H

#include <stddef.h>

#include "sync/common/buf.h"

void base64_encode(struct buf *out, const void *data, size_t len);
/* Appends the decoded bytes; 0 or -EINVAL (then `out` is as before). */
int base64_decode(struct buf *out, const char *text, size_t len);
/* Appends 2 * len lower-case hex digits. */
void hex_encode(struct buf *out, const void *data, size_t len);

#endif
