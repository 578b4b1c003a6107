/* SPDX-License-Identifier: MIT */
/*
 * All samples of one name stand together under their HELP and TYPE: so for each row of `families`
 * every object of its kind is visited. The kinds and their labels:
 *
 *     MOUNT    mountpoint, mirror            a mount of this machine
 *     MASTER   root                          a master of this machine
 *     MIRROR   root, mirror                  a mirror, as its master knows it
 *     IMPORT   import, root, mirror          an importer of this machine (root and mirror ""), or one
 *                                            that a mirror reported to the master
 */
#include "sync/proto/metrics.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/clock.h"

enum kind { MOUNT, MASTER, MIRROR, IMPORT };
enum form {
    NUMBER,    /* member × scale */
    STATE,     /* one sample for each state: 1 for the one it is in, 0 for the others */
    UP,        /* 1: its daemon answers, or the mirror is heard of */
    LINK,      /* 1: the master is in contact */
    INFO,      /* 1, with the version as a label */
    TIME,      /* seconds since the epoch of a text as clock_text() makes it */
    COUNT,     /* elements of "errors": sum of their "count" */
    NONE_IS_0, /* as NUMBER, but a missing member is 0: an importer that has not failed */
};

static const struct family {
    const char *name, *type, *help;
    enum kind kind;
    enum form form;
    const char *member; /* "a.b": member b of the object a */
    double scale;
} families[] = {
    {"eefs_mount_up", "gauge", "1 if the daemon of the mount answers.", MOUNT, UP, NULL, 1},
    {"eefs_mount_state", "gauge", "1 for the state that the mount is in.", MOUNT, STATE, NULL, 1},
    {"eefs_mount_info", "gauge", "The version of the mount.", MOUNT, INFO, NULL, 1},
    {"eefs_mount_link_up", "gauge", "1 while the master is in contact.", MOUNT, LINK, NULL, 1},
    {"eefs_mount_down_seconds", "gauge", "Time since contact with the master was lost.", MOUNT,
     NUMBER, "down_ms", 0.001},
    {"eefs_mount_lag_seconds", "gauge", "Time that the mount is behind the master.", MOUNT, NUMBER,
     "lag_ms", 0.001},
    {"eefs_mount_pending_changes", "gauge", "Local changes that the master has not confirmed.",
     MOUNT, NUMBER, "pending", 1},
    {"eefs_mount_quarantined_changes", "gauge", "Local changes that the master refused.", MOUNT,
     NUMBER, "quarantined", 1},
    {"eefs_mount_deferred_changes", "gauge", "Local changes that are retried later.", MOUNT, NUMBER,
     "deferred", 1},
    {"eefs_mount_skipped_entries", "gauge", "Entries of the master that cannot be applied.", MOUNT,
     NUMBER, "skipped", 1},
    {"eefs_mount_conflicts", "gauge", "Conflicts that wait for a decision.", MOUNT, NUMBER,
     "conflicts", 1},
    {"eefs_mount_entries", "gauge", "Files, folders and links in the mount.", MOUNT, NUMBER,
     "entries", 1},
    {"eefs_mount_cache_used_bytes", "gauge", "Disk space that the cache takes.", MOUNT, NUMBER,
     "cache_used", 1},
    {"eefs_mount_cache_limit_bytes", "gauge", "Disk space that the cache may take.", MOUNT, NUMBER,
     "cache_limit", 1},
    {"eefs_mount_prefetch_queued", "gauge", "Contents that wait to be fetched.", MOUNT, NUMBER,
     "prefetch_queued", 1},
    {"eefs_mount_fit", "gauge", "1 while it is fit for visitors.", MOUNT, NUMBER, "health.fit", 1},
    {"eefs_mount_weight", "gauge", "Share of visitors that its load allows, 1 to 100.", MOUNT,
     NUMBER, "health.weight", 1},
    {"eefs_mount_check_seconds", "gauge", "Time that the page of check_url took.", MOUNT, NUMBER,
     "health.check_ms", 0.001},
    {"eefs_mount_errors_total", "counter", "Faults of disk and memory.", MOUNT, COUNT, "errors", 1},

    {"eefs_master_up", "gauge", "1 if the master answers.", MASTER, UP, NULL, 1},
    {"eefs_master_state", "gauge", "1 for the state that the master is in.", MASTER, STATE, NULL,
     1},
    {"eefs_master_entries", "gauge", "Files, folders and links that are served.", MASTER, NUMBER,
     "entries", 1},
    {"eefs_master_bytes", "gauge", "Size of all files that are served.", MASTER, NUMBER, "bytes",
     1},
    {"eefs_master_changes_total", "counter", "Number of the newest change.", MASTER, NUMBER, "head",
     1},
    {"eefs_master_held_deletions", "gauge", "Deletions that wait to be confirmed.", MASTER, NUMBER,
     "held_deletions", 1},
    {"eefs_master_waiting_paths", "gauge", "Paths that wait to be looked at.", MASTER, NUMBER,
     "waiting", 1},
    {"eefs_master_unwatched_folders", "gauge", "Folders that cannot be watched.", MASTER, NUMBER,
     "unwatched", 1},
    {"eefs_master_scan_seconds", "gauge", "Time that the last scan took.", MASTER, NUMBER,
     "scan_ms", 0.001},
    {"eefs_master_kept_bytes", "gauge", "Disk space of earlier versions.", MASTER, NUMBER,
     "kept.bytes", 1},
    {"eefs_master_wrong_tokens_total", "counter", "Requests without a valid token.", MASTER, NUMBER,
     "wrong_tokens.count", 1},
    {"eefs_master_errors_total", "counter", "Faults of disk and memory.", MASTER, COUNT, "errors",
     1},

    {"eefs_mirror_up", "gauge", "1 if the mirror reports to the master.", MIRROR, UP, NULL, 1},
    {"eefs_mirror_state", "gauge", "1 for the state that the mirror reported.", MIRROR, STATE, NULL,
     1},
    {"eefs_mirror_info", "gauge", "The version of the mirror.", MIRROR, INFO, NULL, 1},
    {"eefs_mirror_seen_seconds", "gauge", "Time since the mirror was heard of.", MIRROR, NUMBER,
     "seen_ms_ago", 0.001},
    {"eefs_mirror_lag_seconds", "gauge", "Time that the mirror is behind.", MIRROR, NUMBER,
     "lag_ms", 0.001},
    {"eefs_mirror_behind_changes", "gauge", "Changes that the mirror has not asked for.", MIRROR,
     NUMBER, "cursor_behind", 1},
    {"eefs_mirror_pending_changes", "gauge", "Changes of the mirror that are not confirmed.",
     MIRROR, NUMBER, "pending", 1},
    {"eefs_mirror_quarantined_changes", "gauge", "Changes of the mirror that were refused.", MIRROR,
     NUMBER, "quarantined", 1},
    {"eefs_mirror_conflicts", "gauge", "Conflicts of the mirror.", MIRROR, NUMBER, "conflicts", 1},
    {"eefs_mirror_cache_used_bytes", "gauge", "Disk space that its cache takes.", MIRROR, NUMBER,
     "cache_used", 1},
    {"eefs_mirror_cache_limit_bytes", "gauge", "Disk space that its cache may take.", MIRROR,
     NUMBER, "cache_limit", 1},

    {"eefs_import_failures", "gauge", "Failures since the last success.", IMPORT, NONE_IS_0,
     "failed.count", 1},
    {"eefs_import_updated_timestamp_seconds", "gauge", "When the importer last reported.", IMPORT,
     NUMBER, "updated_ms", 0.001},
    {"eefs_import_last_success_timestamp_seconds", "gauge", "When the last import ended.", IMPORT,
     TIME, "last_import.time", 1},
    {"eefs_import_last_duration_seconds", "gauge", "Time that the last import took.", IMPORT,
     NUMBER, "last_import.seconds", 1},
};

static const char *const states[] = {"OK", "SYNCING", "DEGRADED", "ISOLATED", "FAILED", "unknown"};
#define STATES (sizeof(states) / sizeof(states[0]))

/* One family being written. */
struct writer {
    const struct family *f;
    struct buf *out;
    bool begun; /* HELP and TYPE are written */
};

static json_t *member(json_t *o, const char *name)
{
    const char *dot = strchr(name, '.');
    char first[32];

    if (!dot)
        return json_object_get(o, name);
    snprintf(first, sizeof(first), "%.*s", (int)(dot - name), name);
    return json_object_get(json_object_get(o, first), dot + 1);
}

static const char *text_of(json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));

    return s ? s : "";
}

/* Index into states; what is none of our words is "unknown". */
static size_t state_of(json_t *o)
{
    size_t i = 0;

    while (i < STATES - 1 && strcmp(text_of(o, "state"), states[i]) != 0)
        i++;
    return i;
}

static void put_label(struct buf *b, const char *name, const char *value)
{
    buf_printf(b, "%s%s=\"", b->data[b->len - 1] == '{' ? "" : ",", name);
    for (; *value; value++) {
        if (*value == '\n')
            buf_puts(b, "\\n");
        else
            buf_printf(b, "%s%c", *value == '\\' || *value == '"' ? "\\" : "", *value);
    }
    buf_putc(b, '"');
}

/* One sample; `extra`: a further label. */
static void put_sample(struct writer *w, const char *labels, const char *extra, const char *value,
                       double number, bool whole)
{
    struct buf *b = w->out;

    if (!w->begun)
        buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n", w->f->name, w->f->help, w->f->name,
                   w->f->type);
    w->begun = true;
    buf_printf(b, "%s{%s", w->f->name, labels);
    if (extra)
        put_label(b, extra, value);
    if (whole)
        buf_printf(b, "} %.0f\n", number);
    else
        buf_printf(b, "} %.3f\n", number);
}

static double sum_of_counts(json_t *list)
{
    double n = 0;
    size_t i;
    json_t *x;

    json_array_foreach(list, i, x) n += json_number_value(json_object_get(x, "count"));
    return n;
}

static void put_object(struct writer *w, json_t *o, const char *labels)
{
    const struct family *f = w->f;
    json_t *v = f->member ? member(o, f->member) : NULL;
    bool answers = state_of(o) < STATES - 1;

    switch (f->form) {
    case NUMBER:
    case NONE_IS_0:
        if (json_is_boolean(v))
            put_sample(w, labels, NULL, NULL, json_is_true(v), true);
        else if (json_is_number(v) || f->form == NONE_IS_0)
            put_sample(w, labels, NULL, NULL, json_number_value(v) * f->scale,
                       json_is_integer(v) && f->scale >= 1);
        break;
    case STATE:
        for (size_t i = 0; i < STATES; i++)
            put_sample(w, labels, "state", states[i], i == state_of(o), true);
        break;
    case UP:
        put_sample(w, labels, NULL, NULL, answers, true);
        break;
    case LINK:
        if (answers)
            put_sample(w, labels, NULL, NULL, strcmp(text_of(o, "link"), "up") == 0, true);
        break;
    case INFO:
        if (*text_of(o, "version"))
            put_sample(w, labels, "version", text_of(o, "version"), 1, true);
        break;
    case TIME:
        if (json_is_string(v) && clock_from_text(json_string_value(v)) > 0)
            put_sample(w, labels, NULL, NULL,
                       (double)(clock_from_text(json_string_value(v)) / 1000000000), true);
        break;
    case COUNT:
        if (json_is_array(v))
            put_sample(w, labels, NULL, NULL, sum_of_counts(v), true);
        break;
    }
}

/* True when an earlier element of the list has the same name: a sample may not come twice. */
static bool is_twice(json_t *list, size_t at, const char *name)
{
    const char *text = text_of(json_array_get(list, at), name);

    for (size_t i = 0; i < at; i++)
        if (strcmp(text_of(json_array_get(list, i), name), text) == 0)
            return true;
    return false;
}

/* The elements of a list; each has the label `label` with its member `name`, and then the labels
 * `others`, or when these are NULL the mirror's name. */
static void put_list(struct writer *w, json_t *list, const char *label, const char *name,
                     const char *others)
{
    size_t i;
    json_t *o;

    json_array_foreach(list, i, o)
    {
        struct buf labels = BUF_INIT;

        if (is_twice(list, i, name))
            continue;
        buf_puts(&labels, "{");
        put_label(&labels, label, text_of(o, name));
        if (others)
            buf_printf(&labels, ",%s", others);
        else
            put_label(&labels, "mirror", text_of(o, "name"));
        put_object(w, o, labels.data + 1);
        buf_release(&labels);
    }
}

/* What the mirrors of a master import; `root`: the label of the master. */
static void put_imports(struct writer *w, json_t *mirrors, const char *root)
{
    size_t i;
    json_t *mirror;

    json_array_foreach(mirrors, i, mirror)
    {
        struct buf labels = BUF_INIT;

        buf_printf(&labels, "{%s", root);
        put_label(&labels, "mirror", text_of(mirror, "name"));
        if (!is_twice(mirrors, i, "name"))
            put_list(w, json_object_get(mirror, "imports"), "import", "name", labels.data + 1);
        buf_release(&labels);
    }
}

static void put_masters(struct writer *w, json_t *masters)
{
    size_t i;
    json_t *m;

    json_array_foreach(masters, i, m)
    {
        json_t *mirrors = json_object_get(m, "mirrors");
        const char *root = *text_of(m, "root") ? text_of(m, "root") : text_of(m, "socket");
        struct buf labels = BUF_INIT;

        buf_puts(&labels, "{");
        put_label(&labels, "root", root);
        if (w->f->kind == MASTER)
            put_object(w, m, labels.data + 1);
        else if (w->f->kind == MIRROR)
            put_list(w, mirrors, "mirror", "name", labels.data + 1);
        else
            put_imports(w, mirrors, labels.data + 1);
        buf_release(&labels);
    }
}

void metrics_text(json_t *all, struct buf *out)
{
    json_t *mounts = json_object_get(all, "mounts"), *imports = json_object_get(all, "imports");
    json_t *masters = json_object_get(all, "masters");

    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        struct writer w = {.f = &families[i], .out = out};

        if (w.f->kind == MOUNT)
            put_list(&w, mounts, "mountpoint", "mountpoint", NULL);
        else
            put_masters(&w, masters);
        if (w.f->kind == IMPORT)
            put_list(&w, imports, "import", "name", "root=\"\",mirror=\"\"");
    }
}
