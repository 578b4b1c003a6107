/* SPDX-License-Identifier: MIT */
#include "sync/proto/probe.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/clock.h"

#define BODY_MAX (1024 * 1024)

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void init_curl(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* Keeps the first BODY_MAX bytes; of a longer page that is enough. */
static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
    struct buf *b = arg;
    size_t room = BODY_MAX - b->len;

    buf_append(b, data, size * n < room ? size * n : room);
    return size * n;
}

static void set_options(CURL *c, const struct probe *p, struct buf *body, char *error,
                        struct curl_slist **to)
{
    char *line = NULL;

    curl_easy_setopt(c, CURLOPT_URL, p->url);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(c, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)p->timeout_ms);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, error);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "eefs/" EEFS_VERSION);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, body);
    if (p->cafile)
        curl_easy_setopt(c, CURLOPT_CAINFO, p->cafile);
    if (!p->address)
        return;
    line = xasprintf(strchr(p->address, ':') ? "::[%s]:" : "::%s:", p->address);
    *to = curl_slist_append(NULL, line);
    curl_easy_setopt(c, CURLOPT_CONNECT_TO, *to);
    free(line);
}

static bool holds(const struct buf *b, const char *text)
{
    return b->len > 0 && memmem(b->data, b->len, text, strlen(text)) != NULL;
}

int probe_run(const struct probe *p, int64_t *ms, struct buf *body, struct err *e)
{
    char error[CURL_ERROR_SIZE] = "";
    int64_t begin = clock_mono_ms();
    struct curl_slist *to = NULL;
    struct buf page = BUF_INIT;
    long status = 0;
    CURLcode code;
    CURL *c;
    int r = 0;

    pthread_once(&curl_once, init_curl);
    c = curl_easy_init();
    if (!c)
        return err_set(e, ENOMEM, "cannot ask '%s': out of memory", p->url);
    set_options(c, p, &page, error, &to);
    code = curl_easy_perform(c);
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
    if (ms)
        *ms = clock_mono_ms() - begin;
    if (code != CURLE_OK)
        r = err_set(e, code == CURLE_OPERATION_TIMEDOUT ? ETIMEDOUT : ECONNREFUSED,
                    "'%s' does not answer: %s", p->url, *error ? error : curl_easy_strerror(code));
    else if (status != 200)
        r = err_set(e, EPROTO, "'%s' answers with status %ld", p->url, status);
    else if (p->expect && !holds(&page, p->expect))
        r = err_set(e, EPROTO, "the page '%s' does not have the text '%s'", p->url, p->expect);
    if (body && page.len > 0)
        buf_append(body, page.data, page.len);
    buf_release(&page);
    curl_slist_free_all(to);
    curl_easy_cleanup(c);
    return r;
}
