/* SPDX-License-Identifier: MIT */
#include "sync/proto/http_client.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "sync/common/file.h"
#include "sync/common/thread.h"

#define CONNECT_MS   5000L
#define SILENT_S     10L
#define MAX_IDLE     16
#define DEFAULT_BODY (1024 * 1024)
#define REFUSAL_MAX  (64 * 1024)

/* A kept-alive connection: libcurl keeps it in the multi handle, which also can be woken. */
struct line {
    struct line *next;
    CURL *curl;
    CURLM *multi;
};

struct http {
    char *base;   /* without trailing '/' */
    char *auth;   /* the header line */
    char *cafile; /* or NULL */
    bool proxies; /* the environment's apply */
    atomic_bool stop;
    pthread_mutex_t lock; /* guards the lists */
    struct line *idle, *running;
    int n_idle;
};

/* One running request. */
struct run {
    struct http *http;
    const struct http_request *q;
    struct http_reply *reply;
    struct line *line;
    CURL *curl; /* the line's */
    char type[96];
    int64_t sent;
    int failed; /* -errno of the sink or of reading the body, 0 */
    bool big;   /* body over its bound */
};

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void init_curl(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

static char *url_part(CURLU *u, CURLUPart part)
{
    char *text = NULL;

    return curl_url_get(u, part, &text, 0) == CURLUE_OK ? text : NULL;
}

static bool host_is_loopback(const char *host)
{
    struct in_addr a;

    return strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0 ||
           (inet_pton(AF_INET, host, &a) == 1 && ntohl(a.s_addr) >> 24 == 127);
}

int http_check_url(const char *url, bool *clear, struct err *e)
{
    static const CURLUPart alien[] = {CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_QUERY,
                                      CURLUPART_FRAGMENT};
    CURLU *u = curl_url();
    char *scheme = NULL, *host = NULL;
    bool form = u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK;
    int r = 0;

    if (form) {
        scheme = url_part(u, CURLUPART_SCHEME);
        host = url_part(u, CURLUPART_HOST);
    }
    form = scheme && host && (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);
    for (size_t i = 0; form && i < sizeof(alien) / sizeof(alien[0]); i++) {
        char *text = url_part(u, alien[i]);
        form = text == NULL;
        curl_free(text);
    }
    if (!form)
        r = err_set(e, EINVAL,
                    "'%.200s' is not a master's address; give https://HOST[:PORT]/ or, on this "
                    "machine, http://HOST[:PORT]/",
                    url);
    else
        *clear = strcmp(scheme, "http") == 0 && !host_is_loopback(host);
    curl_free(scheme);
    curl_free(host);
    curl_url_cleanup(u);
    return r;
}

static int check(const struct http_config *c, bool *clear, struct err *e)
{
    int r = http_check_url(c->url, clear, e);

    if (r < 0)
        return r;
    if (*clear && !c->insecure_http)
        return err_set(e, EINVAL,
                       "'%s' is not encrypted: the token and all files would cross the network in "
                       "the clear; use https://, or give insecure_http on a network that you trust",
                       c->url);
    if (strpbrk(c->token, "\r\n"))
        return err_set(e, EINVAL, "the token contains a line break");
    if (c->cafile && access(c->cafile, R_OK) < 0)
        return err_sys(e, errno, "cannot read the certificates in '%s' (option cafile)", c->cafile);
    return 0;
}

int http_new(const struct http_config *c, struct http **ret, struct err *e)
{
    struct http *h;
    size_t n = strlen(c->url);
    bool clear = false;
    int r;

    pthread_once(&curl_once, init_curl);
    r = check(c, &clear, e);
    if (r < 0)
        return r;
    h = xcalloc(1, sizeof(*h));
    mutex_init(&h->lock);
    while (n > 0 && c->url[n - 1] == '/')
        n--;
    h->base = xstrndup(c->url, n);
    h->auth = xasprintf("Authorization: Bearer %s", c->token);
    h->cafile = c->cafile ? xstrdup(c->cafile) : NULL;
    h->proxies = clear || strncasecmp(c->url, "https:", 6) == 0;
    *ret = h;
    return 0;
}

static void free_line(struct line *l)
{
    curl_easy_cleanup(l->curl);
    curl_multi_cleanup(l->multi);
    free(l);
}

void http_free(struct http *h)
{
    struct line *l;

    if (!h)
        return;
    while ((l = h->idle)) {
        h->idle = l->next;
        free_line(l);
    }
    mutex_destroy(&h->lock);
    free(h->base);
    free(h->cafile);
    explicit_bzero(h->auth, strlen(h->auth));
    free(h->auth);
    free(h);
}

void http_wake(struct http *h)
{
    struct line *l;

    mutex_lock(&h->lock);
    for (l = h->running; l; l = l->next)
        curl_multi_wakeup(l->multi);
    mutex_unlock(&h->lock);
}

void http_stop(struct http *h)
{
    atomic_store(&h->stop, true);
    http_wake(h);
}

static struct line *new_line(void)
{
    struct line *l = xcalloc(1, sizeof(*l));

    l->curl = curl_easy_init();
    l->multi = curl_multi_init();
    if (l->curl && l->multi)
        return l;
    free_line(l);
    return NULL;
}

static struct line *take_line(struct http *h)
{
    struct line *l;

    mutex_lock(&h->lock);
    l = h->idle;
    if (l) {
        h->idle = l->next;
        h->n_idle--;
    }
    mutex_unlock(&h->lock);
    if (l)
        curl_easy_reset(l->curl);
    else
        l = new_line();
    if (!l)
        return NULL;
    mutex_lock(&h->lock);
    l->next = h->running;
    h->running = l;
    mutex_unlock(&h->lock);
    return l;
}

static void give_line(struct http *h, struct line *l)
{
    struct line **at;

    mutex_lock(&h->lock);
    for (at = &h->running; *at != l; at = &(*at)->next)
        ;
    *at = l->next;
    if (h->n_idle < MAX_IDLE) {
        l->next = h->idle;
        h->idle = l;
        h->n_idle++;
        l = NULL;
    }
    mutex_unlock(&h->lock);
    if (l)
        free_line(l);
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    struct run *r = arg;
    size_t n = size * count, max = r->q->max_body ? r->q->max_body : DEFAULT_BODY;
    long status = 0;

    curl_easy_getinfo(r->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status >= 200 && status < 300) {
        if (r->q->type && strncasecmp(r->type, r->q->type, strlen(r->q->type)) != 0)
            return 0; /* not ours: told apart by the type afterwards */
        if (r->q->sink) {
            r->failed = r->q->sink(r->q->sink_arg, data, n);
            return r->failed ? 0 : n;
        }
    } else {
        max = REFUSAL_MAX;
    }
    if (r->reply->body.len + n > max) {
        r->big = true;
        return 0;
    }
    buf_append(&r->reply->body, data, n);
    return n;
}

static size_t on_send(char *data, size_t size, size_t count, void *arg)
{
    struct run *r = arg;
    int64_t left = r->q->body_size - r->sent;
    size_t n = size * count;
    ssize_t got;

    if ((int64_t)n > left)
        n = (size_t)left;
    got = file_pread(r->q->body_fd, data, n, r->q->body_at + r->sent);
    if (got < 0 || (got == 0 && n > 0)) {
        r->failed = got < 0 ? (int)got : -EIO;
        return CURL_READFUNC_ABORT;
    }
    r->sent += got;
    return (size_t)got;
}

/* curl rewinds when a kept-alive connection turns out to be dead. */
static int on_seek(void *arg, curl_off_t at, int origin)
{
    struct run *r = arg;

    if (origin != SEEK_SET || at < 0 || at > r->q->body_size)
        return CURL_SEEKFUNC_CANTSEEK;
    r->sent = at;
    return CURL_SEEKFUNC_OK;
}

static void copy_value(const char *v, size_t n, char *out, size_t cap)
{
    while (n > 0 && (*v == ' ' || *v == '"')) {
        v++;
        n--;
    }
    while (n > 0 && strchr("\r\n \"", v[n - 1]))
        n--;
    if (n >= cap)
        n = cap - 1;
    memcpy(out, v, n);
    out[n] = '\0';
}

static bool header_is(const char *line, size_t n, const char *name, const char **value)
{
    size_t k = strlen(name);

    if (n <= k || strncasecmp(line, name, k) != 0 || line[k] != ':')
        return false;
    *value = line + k + 1;
    return true;
}

static size_t on_header(char *line, size_t size, size_t count, void *arg)
{
    struct run *r = arg;
    size_t n = size * count;
    const char *v = NULL;
    char text[96];

    if (n > 5 && strncmp(line, "HTTP/", 5) == 0) {
        r->type[0] = r->reply->etag[0] = '\0';
        r->reply->from = 0;
        r->reply->have = -1;
        r->reply->complete = false;
    } else if (header_is(line, n, "Content-Type", &v)) {
        copy_value(v, n - (size_t)(v - line), r->type, sizeof(r->type));
    } else if (header_is(line, n, "ETag", &v)) {
        copy_value(v, n - (size_t)(v - line), r->reply->etag, sizeof(r->reply->etag));
    } else if (header_is(line, n, "X-Eefs-Have", &v)) {
        copy_value(v, n - (size_t)(v - line), text, sizeof(text));
        r->reply->have = strtoll(text, NULL, 10);
    } else if (header_is(line, n, "X-Eefs-Complete", &v)) {
        copy_value(v, n - (size_t)(v - line), text, sizeof(text));
        r->reply->complete = strcmp(text, "1") == 0;
    } else if (header_is(line, n, "Content-Range", &v)) {
        copy_value(v, n - (size_t)(v - line), text, sizeof(text));
        if (strncmp(text, "bytes ", 6) == 0)
            r->reply->from = strtoll(text + 6, NULL, 10);
    }
    return n;
}

static bool given_up(const struct run *r)
{
    return atomic_load(&r->http->stop) || (r->q->cancel && atomic_load(r->q->cancel));
}

static int on_progress(void *arg, curl_off_t dltotal, curl_off_t dl, curl_off_t ultotal,
                       curl_off_t ul)
{
    struct run *r = arg;

    (void)dltotal, (void)dl, (void)ultotal;
    if (r->q->sent && ul > 0)
        r->q->sent(r->q->sent_arg, (int64_t)ul);
    return given_up(r);
}

static int map_curl(CURLcode c)
{
    switch (c) {
    case CURLE_COULDNT_CONNECT:
        return ECONNREFUSED;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return EHOSTUNREACH;
    case CURLE_OPERATION_TIMEDOUT:
        return ETIMEDOUT;
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
        return ECONNRESET;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
        return EPROTO;
    default:
        return EIO;
    }
}

static struct curl_slist *add_header(struct curl_slist *l, const char *line)
{
    struct curl_slist *n = curl_slist_append(l, line);

    if (!n)
        abort();
    return n;
}

/* Sets everything for q; returns the header list, which the caller frees after the request. */
static struct curl_slist *set_up(struct run *r, const char *url, char *error)
{
    const struct http_request *q = r->q;
    struct curl_slist *l = add_header(NULL, r->http->auth);
    CURL *c = r->curl;
    char line[128];

    l = add_header(l, "Expect:");
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(c, CURLOPT_NOPROXY, r->http->proxies ? "localhost,127.0.0.1,::1" : "*");
    if (r->http->cafile)
        curl_easy_setopt(c, CURLOPT_CAINFO, r->http->cafile);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, q->min_rate ? q->min_rate : 1L);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, SILENT_S + q->wait_s);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, error);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "eefs/" EEFS_VERSION);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, r);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, r);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(c, CURLOPT_XFERINFODATA, r);
    if (strcmp(q->method, "POST") == 0) {
        l = add_header(l, "Content-Type: application/json");
        curl_easy_setopt(c, CURLOPT_POST, 1L);
        curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)q->body_len);
        curl_easy_setopt(c, CURLOPT_POSTFIELDS, q->body);
    } else if (strcmp(q->method, "PUT") == 0) {
        l = add_header(l, "Content-Type: application/octet-stream");
        if (q->body_at > 0) {
            snprintf(line, sizeof(line), "Content-Range: bytes %lld-%lld/%lld",
                     (long long)q->body_at, (long long)(q->body_at + q->body_size - 1),
                     (long long)q->body_total);
            l = add_header(l, line);
        }
        curl_easy_setopt(c, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(c, CURLOPT_INFILESIZE_LARGE, (curl_off_t)q->body_size);
        curl_easy_setopt(c, CURLOPT_READFUNCTION, on_send);
        curl_easy_setopt(c, CURLOPT_READDATA, r);
        curl_easy_setopt(c, CURLOPT_SEEKFUNCTION, on_seek);
        curl_easy_setopt(c, CURLOPT_SEEKDATA, r);
    } else if (strcmp(q->method, "HEAD") == 0) {
        curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
        if (q->upload_head)
            l = add_header(l, "X-Eefs-Upload: 1");
    } else if (q->range_from > 0) {
        snprintf(line, sizeof(line), "%lld-", (long long)q->range_from);
        curl_easy_setopt(c, CURLOPT_RANGE, line); /* curl keeps a copy */
    }
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, l);
    return l;
}

/* A refusal is ours when its body is {"code","error"}; HEAD has no body to tell it by. */
static int read_refusal(struct run *r, struct err *e)
{
    struct http_reply *p = r->reply;
    json_t *v = NULL;
    const char *code, *text;

    if (strcmp(r->q->method, "HEAD") == 0)
        return 0;
    if (strncasecmp(r->type, "application/json", 16) == 0 && p->body.len > 0)
        v = json_loadb(p->body.data, p->body.len, 0, NULL);
    code = json_string_value(json_object_get(v, "code"));
    text = json_string_value(json_object_get(v, "error"));
    if (code) {
        snprintf(p->code, sizeof(p->code), "%s", code);
        snprintf(p->text, sizeof(p->text), "%s", text ? text : code);
        json_decref(v);
        return 0;
    }
    json_decref(v);
    return err_set(e, EPROTO, "'%s' answered with status %d and a page that is not eefs-master's",
                   r->http->base, p->status);
}

static int judge(struct run *r, CURLcode code, const char *error, struct err *e)
{
    const struct http_request *q = r->q;
    long status = 0;

    if (given_up(r))
        return err_set(e, ECANCELED, "the request was cancelled");
    curl_easy_getinfo(r->curl, CURLINFO_RESPONSE_CODE, &status);
    r->reply->status = (int)status;
    if (r->failed)
        return err_sys(e, -r->failed, "cannot transfer the body of '%s'", q->path);
    if (status >= 200 && status < 300 && q->type &&
        strncasecmp(r->type, q->type, strlen(q->type)) != 0)
        return err_set(e, EPROTO, "'%s' answered with a page of type '%s'; it is not eefs-master",
                       r->http->base, r->type);
    if (r->big)
        return err_set(e, EPROTO, "'%s' answered with more bytes than allowed", r->http->base);
    if (code != CURLE_OK)
        return err_set(e, map_curl(code), "cannot reach the master at '%s': %s%s", r->http->base,
                       *error ? error : curl_easy_strerror(code),
                       code == CURLE_PEER_FAILED_VERIFICATION
                           ? "; for a private authority, set the option cafile"
                           : "");
    if (status < 200 || status >= 300)
        return read_refusal(r, e);
    return 0;
}

/* As curl_easy_perform, but ends at once when woken to be given up. */
static CURLcode perform(struct run *r)
{
    CURLM *multi = r->line->multi;
    CURLcode code = CURLE_ABORTED_BY_CALLBACK;
    int running = 1, left;
    CURLMsg *msg;

    if (curl_multi_add_handle(multi, r->curl) != CURLM_OK)
        return CURLE_FAILED_INIT;
    while (running && !given_up(r)) {
        if (curl_multi_perform(multi, &running) != CURLM_OK)
            break;
        if (running && !given_up(r))
            curl_multi_poll(multi, NULL, 0, 1000, NULL);
    }
    while (!running && (msg = curl_multi_info_read(multi, &left)))
        if (msg->msg == CURLMSG_DONE)
            code = msg->data.result;
    curl_multi_remove_handle(multi, r->curl);
    return code;
}

int http_run(struct http *h, const struct http_request *q, struct http_reply *reply, struct err *e)
{
    struct run r = {.http = h, .q = q, .reply = reply};
    char error[CURL_ERROR_SIZE] = "";
    struct curl_slist *headers;
    CURLcode code;
    char *url;
    int result;

    memset(reply, 0, sizeof(*reply));
    reply->have = -1;
    if (atomic_load(&h->stop))
        return err_set(e, ECANCELED, "the request was cancelled");
    r.line = take_line(h);
    if (!r.line)
        return err_set(e, ENOMEM, "cannot make a curl handle");
    r.curl = r.line->curl;
    url = xasprintf("%s%s", h->base, q->path);
    headers = set_up(&r, url, error);
    code = perform(&r);
    result = judge(&r, code, error, e);
    curl_easy_setopt(r.curl, CURLOPT_ERRORBUFFER, NULL);
    curl_slist_free_all(headers);
    give_line(h, r.line);
    free(url);
    return result;
}

void http_reply_release(struct http_reply *r)
{
    buf_release(&r->body);
}

json_t *http_reply_json(const struct http_reply *r, struct err *e)
{
    json_t *v = r->body.len ? json_loadb(r->body.data, r->body.len, 0, NULL) : NULL;

    if (json_is_object(v))
        return v;
    json_decref(v);
    err_set(e, EPROTO, "the master's answer is not a JSON object");
    return NULL;
}
