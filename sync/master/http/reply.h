/* SPDX-License-Identifier: MIT */
/*
 * reply: answers to a request, as text, JSON or an error. Only within the request's handler.
 */
#ifndef EEFS_MASTER_HTTP_REPLY_H
#define EEFS_MASTER_HTTP_REPLY_H

#include <jansson.h>

#include "sync/master/http/request.h"

/* Queue an answer. The text is copied. */
enum MHD_Result reply_text(struct request *q, unsigned status, const char *type, const char *text,
                           size_t len);
/* Takes over v. */
enum MHD_Result reply_json(struct request *q, unsigned status, json_t *v);
enum MHD_Result reply_error(struct request *q, unsigned status, const char *code, const char *text);

/* 503: the mirror, or all together, hold more than is allowed at once. */
enum MHD_Result reply_too_many(struct request *q);

#endif
