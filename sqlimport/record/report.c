/* SPDX-License-Identifier: MIT */
/*
 * Setters change the struct under the worker's lock and wake its thread, which makes the JSON under
 * the lock and writes the file without it; so no caller waits for the disk. The first file is
 * written before the thread starts and the last one after it ended, by the caller.
 */
#include "sqlimport/record/report.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/file.h"
#include "sync/common/printable.h"
#include "sync/common/rundir.h"
#include "sync/common/systemd.h"
#include "sync/common/worker.h"

#define HEARTBEAT_MS 5000
#define PROGRESS_MS  500

struct report {
    char *path, *name, *database, *slot, *file; /* fixed; file may be NULL */
    struct worker worker;                       /* its lock guards all below */
    bool dirty;
    const char *state; /* literal */
    char *reason, *action;
    struct last_import last;
    struct failure failure;
    json_t *notes; /* topic: sentence */
    json_t *kept;  /* an array, or NULL: not known yet */
    bool progressing;
    uint64_t rows, bytes, bytes_total;
    int64_t begin_ms; /* of the progress, clock_mono_ms() */
    bool on_terminal; /* stderr shows the progress too */
};

static json_t *text(const char *s)
{
    json_t *j = json_string(s); /* NULL when not UTF-8 */

    if (!j) {
        char plain[768];
        printable_excerpt(plain, sizeof(plain), s, strlen(s));
        j = json_string(plain);
    }
    return j;
}

static json_t *hash_json(const struct hash *h)
{
    char t[HASH_TEXT_CAP];

    return json_string(hash_text(h, t));
}

static json_t *last_json(const struct last_import *l)
{
    json_t *j = json_object();
    char t[32];

    json_object_set_new(j, "time", json_string(clock_text(l->wall_ns, t)));
    json_object_set_new(j, "seconds", json_real(l->seconds));
    json_object_set_new(j, "tables_changed", json_integer(l->tables_changed));
    json_object_set_new(j, "rows", json_integer(l->rows));
    json_object_set_new(j, "hash", hash_json(&l->hash));
    return j;
}

static json_t *failure_json(const struct failure *f)
{
    json_t *j = json_object();

    json_object_set_new(j, "count", json_integer(f->count));
    json_object_set_new(j, "dump", text(f->dump));
    if (!hash_is_none(&f->hash))
        json_object_set_new(j, "hash", hash_json(&f->hash));
    if (f->code)
        json_object_set_new(j, "errno", json_integer(f->code));
    if (*f->where.table)
        json_object_set_new(j, "table", text(f->where.table));
    json_object_set_new(j, "offset", json_integer(f->where.offset));
    if (f->where.line)
        json_object_set_new(j, "line", json_integer((json_int_t)f->where.line));
    json_object_set_new(j, "error", text(f->error));
    return j;
}

/* From what was done so far; -1: too early to tell. */
static int64_t seconds_left_locked(const struct report *s)
{
    int64_t ms = clock_mono_ms() - s->begin_ms;

    if (ms < 500 || s->bytes == 0 || s->bytes > s->bytes_total)
        return -1;
    return (int64_t)((double)(s->bytes_total - s->bytes) / (double)s->bytes * (double)ms / 1000.0 +
                     0.5);
}

static void draw_locked(const struct report *s)
{
    int64_t left = seconds_left_locked(s);

    dprintf(STDERR_FILENO, "\r%3llu %%  %llu of %llu MB, %llu rows",
            (unsigned long long)(s->bytes_total ? s->bytes * 100 / s->bytes_total : 100),
            (unsigned long long)(s->bytes / 1000000),
            (unsigned long long)(s->bytes_total / 1000000), (unsigned long long)s->rows);
    if (left >= 0)
        dprintf(STDERR_FILENO, ", %lld s left", (long long)left);
    dprintf(STDERR_FILENO, "\033[K"); /* to the end of the line */
}

static json_t *snapshot_locked(struct report *s)
{
    json_t *j = json_object(), *p;

    json_object_set_new(j, "name", text(s->name));
    json_object_set_new(j, "pid", json_integer(getpid()));
    json_object_set_new(j, "database", text(s->database));
    json_object_set_new(j, "slot", text(s->slot));
    if (s->file)
        json_object_set_new(j, "file", text(s->file));
    json_object_set_new(j, "state", json_string(s->state));
    if (s->reason)
        json_object_set_new(j, "reason", text(s->reason));
    if (s->action)
        json_object_set_new(j, "action", text(s->action));
    json_object_set_new(j, "updated_ms", json_integer(clock_wall_ns() / 1000000));
    if (s->last.wall_ns)
        json_object_set_new(j, "last_import", last_json(&s->last));
    if (s->kept)
        json_object_set_new(j, "kept_tables", json_deep_copy(s->kept));
    if (s->failure.count)
        json_object_set_new(j, "failed", failure_json(&s->failure));
    if (json_object_size(s->notes) > 0)
        json_object_set_new(j, "notes", json_deep_copy(s->notes));
    if (s->progressing) {
        p = json_object();
        json_object_set_new(p, "rows", json_integer((json_int_t)s->rows));
        json_object_set_new(p, "bytes", json_integer((json_int_t)s->bytes));
        json_object_set_new(p, "bytes_total", json_integer((json_int_t)s->bytes_total));
        if (seconds_left_locked(s) >= 0)
            json_object_set_new(p, "seconds_left", json_integer(seconds_left_locked(s)));
        json_object_set_new(j, "progress", p);
    }
    return j;
}

/* A full or vanished run directory must not stop imports: the next write tries again. */
static void publish(struct report *s)
{
    char *body;
    json_t *j;

    worker_lock(&s->worker);
    s->dirty = false;
    j = snapshot_locked(s);
    if (s->progressing && s->on_terminal)
        draw_locked(s);
    worker_unlock(&s->worker);
    body = json_dumps(j, JSON_COMPACT);
    json_decref(j);
    if (body)
        (void)file_replace(AT_FDCWD, s->path, body, strlen(body), 0644, false);
    free(body);
}

static void *report_run(void *arg)
{
    struct report *s = arg;
    bool go_on = true;

    while (go_on) {
        int64_t deadline;

        publish(s);
        worker_lock(&s->worker);
        deadline = clock_mono_ms() + (s->progressing ? PROGRESS_MS : HEARTBEAT_MS);
        go_on = !worker_stopping_locked(&s->worker);
        while (go_on && !s->dirty && clock_mono_ms() < deadline)
            go_on = worker_wait_locked(&s->worker, deadline);
        worker_unlock(&s->worker);
    }
    return NULL;
}

/* Its thread has ended, or never ran. */
static void report_free(struct report *s)
{
    worker_release(&s->worker);
    free(s->path);
    free(s->name);
    free(s->database);
    free(s->slot);
    free(s->file);
    free(s->reason);
    free(s->action);
    json_decref(s->notes);
    json_decref(s->kept);
    free(s);
}

int report_open(const char *rundir, const char *name, const char *database, const char *slot,
                const char *file, struct report **ret, struct err *e)
{
    struct report *s;
    int r = rundir_ensure(rundir, e);

    if (r < 0)
        return r;
    s = xcalloc(1, sizeof(*s));
    s->path = rundir_file(rundir, "import", name, "json");
    s->name = xstrdup(name);
    s->database = xstrdup(database);
    s->slot = xstrdup(slot);
    s->file = file ? xstrdup(file) : NULL;
    s->state = "idle";
    s->notes = json_object();
    s->on_terminal = isatty(STDERR_FILENO);
    worker_init(&s->worker);
    publish(s);
    if (access(s->path, F_OK) < 0)
        r = err_set(e, EACCES,
                    "cannot write '%s': check that folder, or give another one with --rundir",
                    s->path);
    if (r == 0 && (r = worker_start(&s->worker, "report", report_run, s)) < 0)
        err_sys(e, -r, "cannot start a thread");
    if (r == 0)
        *ret = s;
    else
        report_free(s);
    return r;
}

void report_close(struct report *s)
{
    if (!s)
        return;
    worker_lock(&s->worker);
    s->state = "stopped";
    s->progressing = false;
    worker_ask_stop_locked(&s->worker);
    worker_unlock(&s->worker);
    worker_stop(&s->worker);
    publish(s);
    report_free(s);
}

static void changed_locked(struct report *s)
{
    s->dirty = true;
    worker_wake_locked(&s->worker);
}

void report_set(struct report *s, const char *state, const char *reason, const char *action)
{
    worker_lock(&s->worker);
    s->state = state;
    free(s->reason);
    free(s->action);
    s->reason = reason ? xstrdup(reason) : NULL;
    s->action = action ? xstrdup(action) : NULL;
    changed_locked(s);
    worker_unlock(&s->worker);
    systemd_notify("STATUS=%s%s%s", state, reason ? ": " : "", reason ? reason : "");
}

void report_set_last(struct report *s, const struct last_import *last)
{
    worker_lock(&s->worker);
    s->last = *last;
    changed_locked(s);
    worker_unlock(&s->worker);
}

void report_note(struct report *s, const char *topic, const char *sentence)
{
    worker_lock(&s->worker);
    if (sentence)
        json_object_set_new(s->notes, topic, text(sentence));
    else
        json_object_del(s->notes, topic);
    changed_locked(s);
    worker_unlock(&s->worker);
}

void report_set_failure(struct report *s, const struct failure *f)
{
    worker_lock(&s->worker);
    s->failure = *f;
    changed_locked(s);
    worker_unlock(&s->worker);
}

bool report_set_kept(struct report *s, const struct strlist *tables)
{
    json_t *j = json_array();
    bool changed;

    for (size_t i = 0; i < tables->n; i++)
        json_array_append_new(j, text(tables->v[i]));
    worker_lock(&s->worker);
    changed = !s->kept || !json_equal(s->kept, j);
    json_decref(s->kept);
    s->kept = j;
    changed_locked(s);
    worker_unlock(&s->worker);
    return changed;
}

void report_progress_begin(struct report *s, uint64_t bytes_total)
{
    worker_lock(&s->worker);
    s->progressing = true;
    s->rows = s->bytes = 0;
    s->bytes_total = bytes_total;
    s->begin_ms = clock_mono_ms();
    changed_locked(s);
    worker_unlock(&s->worker);
}

void report_progress_add(struct report *s, uint64_t rows, uint64_t bytes)
{
    worker_lock(&s->worker);
    s->rows += rows;
    s->bytes += bytes;
    worker_unlock(&s->worker);
}

void report_progress_end(struct report *s)
{
    worker_lock(&s->worker);
    s->progressing = false;
    if (s->on_terminal)
        dprintf(STDERR_FILENO, "\r\033[K");
    changed_locked(s);
    worker_unlock(&s->worker);
}
