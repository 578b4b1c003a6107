/* SPDX-License-Identifier: MIT */
#include "sync/master/http/reply.h"

#include <stdlib.h>
#include <string.h>

#include "sync/proto/wire.h"

enum MHD_Result reply_text(struct request *q, unsigned status, const char *type, const char *text,
                           size_t len)
{
    struct MHD_Response *resp =
        MHD_create_response_from_buffer(len, (void *)(uintptr_t)text, MHD_RESPMEM_MUST_COPY);
    enum MHD_Result r;

    if (!resp)
        return MHD_NO;
    MHD_add_response_header(resp, "Content-Type", type);
    MHD_add_response_header(resp, "Cache-Control", "no-store");
    if (status == 401)
        MHD_add_response_header(resp, "WWW-Authenticate", "Bearer");
    r = MHD_queue_response(q->conn, status, resp);
    MHD_destroy_response(resp);
    return r;
}

enum MHD_Result reply_json(struct request *q, unsigned status, json_t *v)
{
    char *text = v ? json_dumps(v, JSON_COMPACT) : NULL;
    enum MHD_Result r;

    json_decref(v);
    if (!text)
        return MHD_NO;
    r = reply_text(q, status, "application/json", text, strlen(text));
    free(text);
    return r;
}

enum MHD_Result reply_error(struct request *q, unsigned status, const char *code, const char *text)
{
    return reply_json(q, status, json_pack("{s:s,s:s}", "code", code, "error", text));
}

enum MHD_Result reply_too_many(struct request *q)
{
    return reply_error(q, 503, WIRE_E_UNAVAILABLE,
                       "this mirror has too many requests at once; it retries");
}
