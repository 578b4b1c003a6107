/* SPDX-License-Identifier: MIT */
/*
 * Fit is a mirror that serves its replica: not FAILED, in contact with the master or without it for
 * less than isolated_grace, within its lag limit while it is in contact, with imports into this
 * machine's database that do not fail again and again, and whose check_url answers. One that is
 * DEGRADED for another reason (a conflict, a refused change) still serves visitors well.
 */
#include "sync/mirror/control/health.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/common/clock.h"
#include "sync/common/file.h"
#include "sync/common/listen.h"
#include "sync/common/rundir.h"
#include "sync/common/worker.h"
#include "sync/mirror/control/fitness.h"
#include "sync/mirror/control/status.h"
#include "sync/mirror/transfer/context.h"
#include "sync/proto/metrics.h"
#include "sync/proto/page_server.h"
#include "sync/proto/probe.h"

#define CHECK_MS     3000 /* for the page of check_url */
#define FAILURES_MAX 3    /* imports that failed in a row */
#define SILENCE_MS   30000

struct health {
    struct mirror *m;
    struct worker worker;
    struct page_server *pages;
    char *socket;
    double per_core; /* of the thread: processes that want to run, smoothed */
};

static const char *text_of(json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));

    return s ? s : "";
}

/* --- the rules --- */

/* True when the import fills from a slot in this mount. */
static bool is_ours(const struct mirror *m, json_t *import)
{
    const char *slot = text_of(import, "slot");
    size_t n = strlen(m->cfg.mountpoint);

    return strncmp(slot, m->cfg.mountpoint, n) == 0 && slot[n] == '/';
}

/* The reason why the last import is not good or not recent, or "". */
static void judge_import(const struct mirror *m, json_t *o, char *why, size_t cap)
{
    int64_t failed = json_integer_value(json_object_get(json_object_get(o, "failed"), "count"));
    int64_t silent =
        clock_wall_ns() / 1000000 - json_integer_value(json_object_get(o, "updated_ms"));
    const char *last = text_of(json_object_get(o, "last_import"), "time");
    int64_t age = (clock_wall_ns() - clock_from_text(last)) / 1000000;

    if (strcmp(text_of(o, "state"), "stopped") == 0)
        return;
    if (failed >= FAILURES_MAX)
        snprintf(why, cap, "the import '%.100s' failed %lld times", text_of(o, "name"),
                 (long long)failed);
    else if (silent > SILENCE_MS)
        snprintf(why, cap, "the importer '%.100s' has not reported for %lld s", text_of(o, "name"),
                 (long long)(silent / 1000));
    else if (m->cfg.import_age > 0 && age > m->cfg.import_age)
        snprintf(why, cap, "the last import of '%.100s' is older than %lld s", text_of(o, "name"),
                 (long long)(m->cfg.import_age / 1000));
}

static void judge_imports(struct mirror *m, char *why, size_t cap)
{
    json_t *imports = status_imports(m), *o;
    size_t i;

    json_array_foreach(imports, i, o)
    {
        if (!*why && is_ours(m, o))
            judge_import(m, o, why, cap);
    }
    json_decref(imports);
}

static void judge_replica(struct mirror *m, json_t *o, char *why, size_t cap)
{
    int64_t down = json_integer_value(json_object_get(o, "down_ms"));
    int64_t lag = json_integer_value(json_object_get(o, "lag_ms"));
    bool up = strcmp(text_of(o, "link"), "up") == 0;

    if (strcmp(text_of(o, "state"), "FAILED") == 0)
        snprintf(why, cap, "%s", text_of(o, "reason"));
    else if (!up && down > m->cfg.isolated_grace)
        snprintf(why, cap, "the master is away for %lld s", (long long)(down / 1000));
    else if (up && lag > m->cfg.lag_limit)
        snprintf(why, cap, "%lld s behind the master", (long long)(lag / 1000));
}

/* Processes that want to run now, proc(5) /proc/loadavg: "0.20 0.18 0.12 3/80 11206". */
static double runnable(void)
{
    struct buf b = BUF_INIT;
    unsigned n = 1;

    if (file_slurp(AT_FDCWD, "/proc/loadavg", 256, &b) == 0 && b.len > 0 &&
        sscanf(b.data, "%*s %*s %*s %u/", &n) != 1)
        n = 1;
    buf_release(&b);
    return n > 0 ? n - 1 : 0; /* this one */
}

static void look(struct health *h)
{
    struct mirror *m = h->m;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    int64_t check_ms = -1;
    char why[768] = "";
    struct err e = {0};
    json_t *o = status_json(m);

    judge_replica(m, o, why, sizeof(why));
    json_decref(o);
    if (!*why)
        judge_imports(m, why, sizeof(why));
    if (m->cfg.check_url) {
        const struct probe p = {
            .url = m->cfg.check_url, .expect = m->cfg.check_text, .timeout_ms = CHECK_MS};

        if (probe_run(&p, &check_ms, NULL, &e) < 0 && !*why)
            snprintf(why, sizeof(why), "%s", e.text);
    }
    h->per_core = 0.8 * h->per_core + 0.2 * runnable() / (double)(cores > 0 ? cores : 1);
    fitness_look(m->fitness, why, fitness_weight(h->per_core, check_ms), check_ms);
}

static void *health_run(void *arg)
{
    struct health *h = arg;

    worker_lock(&h->worker);
    while (!worker_stopping_locked(&h->worker)) {
        worker_unlock(&h->worker);
        look(h);
        worker_lock(&h->worker);
        worker_wait_locked(&h->worker, clock_mono_ms() + h->m->cfg.check_every);
    }
    worker_unlock(&h->worker);
    return NULL;
}

/* --- the pages --- */

static void put_json(struct buf *body, json_t *o)
{
    char *text = json_dumps(o, JSON_COMPACT | JSON_ENSURE_ASCII);

    buf_printf(body, "%s\n", text ? text : "{}");
    free(text);
    json_decref(o);
}

static void put_metrics(struct mirror *m, struct buf *body)
{
    json_t *all =
        json_pack("{s:[o],s:o}", "mounts", status_public_json(m), "imports", status_imports(m));

    metrics_text(all, body);
    json_decref(all);
}

static unsigned page(void *arg, const char *path, struct buf *body, const char **type)
{
    struct health *h = arg;
    int weight;
    bool fit;

    *type = "application/json";
    if (strcmp(path, "/healthz") == 0) {
        fit = fitness_is_fit(h->m->fitness, &weight);
        put_json(body, json_pack("{s:s,s:i}", "state", fit ? "OK" : "FAILED", "weight", weight));
        return fit ? 200 : 503;
    }
    if (strcmp(path, "/status") == 0) {
        put_json(body, status_public_json(h->m));
        return 200;
    }
    if (strcmp(path, "/metrics") == 0) {
        *type = METRICS_TYPE;
        put_metrics(h->m, body);
        return 200;
    }
    buf_puts(body, "{\"error\":\"the pages are /healthz, /status and /metrics\"}\n");
    return 404;
}

static int open_pages(struct health *h, struct err *e)
{
    const char *port = h->m->cfg.monitor;
    int fds[2], n = 0, r;

    r = fds[n] = listen_unix(h->socket, 0666, e);
    if (r >= 0 && port) {
        n++;
        r = fds[n] = listen_tcp("monitor", port,
                                "the status would be readable from elsewhere; let "
                                "the web server pass /healthz on instead",
                                e);
        if (r < 0)
            close(fds[0]);
    }
    return r < 0 ? r : page_server_start(fds, (size_t)n + 1, page, h, &h->pages, e);
}

int health_start(struct mirror *m, struct health **ret, struct err *e)
{
    struct health *h = xcalloc(1, sizeof(*h));
    int r;

    h->m = m;
    h->socket = rundir_file(m->cfg.rundir, "health", m->cfg.instance, "sock");
    worker_init(&h->worker);
    r = open_pages(h, e);
    if (r >= 0 && (r = worker_start(&h->worker, "health", health_run, h)) < 0)
        err_sys(e, -r, "cannot start a thread");
    if (r < 0)
        health_stop(h);
    else
        *ret = h;
    return r < 0 ? r : 0;
}

void health_stop(struct health *h)
{
    if (!h)
        return;
    worker_stop(&h->worker);
    page_server_stop(h->pages);
    worker_release(&h->worker);
    unlink(h->socket);
    free(h->socket);
    free(h);
}
