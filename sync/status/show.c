/* SPDX-License-Identifier: MIT */
#include "sync/status/show.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sync/common/buf.h"
#include "sync/common/path.h"
#include "sync/common/printable.h"

static const char *text_of(json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));

    return s ? s : "";
}

static long long int_of(json_t *o, const char *name)
{
    return (long long)json_integer_value(json_object_get(o, name));
}

/* A word of ours, or no state at all: what a peer reports is not one until it is known. */
static const char *state_of(json_t *o)
{
    static const char *const known[] = {"OK", "SYNCING", "DEGRADED", "ISOLATED", "FAILED"};

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strcmp(text_of(o, "state"), known[i]) == 0)
            return known[i];
    return "(unknown)";
}

/* The one place of output: everything that is shown, also what others wrote, goes through here. */
#define say(...) printable_line(stdout, __VA_ARGS__)

static void show_why(json_t *o)
{
    if (*text_of(o, "reason"))
        say("  reason   %s", text_of(o, "reason"));
    if (*text_of(o, "action"))
        say("  action   %s", text_of(o, "action"));
}

static void show_state(json_t *o)
{
    say("  state    %s", state_of(o));
    show_why(o);
}

/* A path as people write it, when that is unambiguous on a terminal; else as it travels. The caller
 * frees. */
static char *path_of(json_t *o, const char *name)
{
    struct buf b = BUF_INIT;
    bool plain = path_unescape(text_of(o, name), &b) == 0;

    for (size_t i = 0; plain && i < b.len; i++)
        plain = (unsigned char)b.data[i] >= 0x20 && (unsigned char)b.data[i] < 0x7f;
    if (plain && b.len > 0)
        return buf_detach(&b);
    buf_release(&b);
    return xstrdup(text_of(o, name));
}

/* Nanoseconds since the epoch as "2026-11-23 10:15:00 UTC". */
static const char *time_of(json_t *o, const char *name, char out[32])
{
    time_t t = (time_t)(int_of(o, name) / 1000000000);
    struct tm tm;

    if (t == 0 || !gmtime_r(&t, &tm) || strftime(out, 32, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
        strcpy(out, "-");
    return out;
}

static const char *hash_of(json_t *o, const char *name)
{
    return *text_of(o, name) ? text_of(o, name) : "(gone)";
}

static void show_conflict(json_t *c)
{
    char *path = path_of(c, "path"), *copy = path_of(c, "copy"), *place = path_of(c, "place");
    char when[32];

    say("  conflict %s, %s", path, time_of(c, "time", when));
    say("    master  %s of %s", hash_of(c, "theirs"), time_of(c, "theirs_mtime", when));
    say("    here    %s of %s", hash_of(c, "ours"), time_of(c, "ours_mtime", when));
    if (*copy)
        say("    kept as %s", copy);
    else
        say("    kept on the master as %s", place);
    free(path);
    free(copy);
    free(place);
}

static void show_refused(json_t *q)
{
    char *path = path_of(q, "path"), *to = path_of(q, "to");
    bool deferred = json_is_true(json_object_get(q, "deferred"));
    char when[32];

    say("  %s  %s %s%s%s, %s", deferred ? "waits  " : "refused", text_of(q, "op"), path,
        *to ? " to " : "", to, time_of(q, "time", when));
    say("    because %s (%s)%s", text_of(q, "error"), text_of(q, "code"),
        deferred ? "; retried automatically" : "");
    free(path);
    free(to);
}

/* Faults of disk and memory that a daemon met. */
static void show_errors(json_t *list)
{
    char when[32];
    json_t *x;
    size_t i;

    json_array_foreach(list, i, x)
        say("  errors   %s %lld times, last %s at %s", text_of(x, "error"), int_of(x, "count"),
            time_of(x, "time", when), text_of(x, "path"));
}

static void show_mount(json_t *m)
{
    json_t *x;
    size_t i;

    say("mount %s", *text_of(m, "mountpoint") ? text_of(m, "mountpoint") : text_of(m, "socket"));
    show_state(m);
    if (!json_object_get(m, "pending"))
        return;
    say("  master   %s as %s, link %s, lag %.1f s", text_of(m, "url"), text_of(m, "name"),
        text_of(m, "link"), (double)int_of(m, "lag_ms") / 1000.0);
    say("  changes  %lld pending, %lld quarantined, %lld conflicts", int_of(m, "pending"),
        int_of(m, "quarantined"), int_of(m, "conflicts"));
    say("  cache    %.1f of %.1f MiB, %lld entries", (double)int_of(m, "cache_used") / 1048576.0,
        (double)int_of(m, "cache_limit") / 1048576.0, int_of(m, "entries"));
    if (int_of(m, "cache_used") > int_of(m, "cache_limit"))
        say("    over its limit: %.1f MiB are open in programs, %.1f MiB are local or not on the "
            "master yet; the rest is removed within a minute",
            (double)int_of(m, "cache_open") / 1048576.0,
            (double)int_of(m, "cache_pinned") / 1048576.0);
    show_errors(json_object_get(m, "errors"));
    json_array_foreach(json_object_get(m, "conflicts_list"), i, x) show_conflict(x);
    json_array_foreach(json_object_get(m, "quarantine_list"), i, x) show_refused(x);
    json_array_foreach(json_object_get(m, "skipped_list"), i, x)
        say("  not taken  '%s': %s", text_of(x, "path"), text_of(x, "why"));
}

/* What of the master's files can be brought back when it is overwritten or deleted. */
static void show_kept(json_t *k)
{
    if (int_of(k, "space") == 0) {
        say("  kept     nothing: overwritten and deleted files cannot be restored");
        return;
    }
    say("  kept     %.1f of %.1f MiB; %lld earlier versions, %lld of them without content",
        (double)int_of(k, "bytes") / 1048576.0, (double)int_of(k, "space") / 1048576.0,
        int_of(k, "versions"), int_of(k, "lost_versions"));
    if (int_of(k, "unnamed_files") > 0)
        say("  unnamed  %lld kept contents with %.1f MiB whose paths are lost: 'eefs-master "
            "history "
            "--unnamed' lists them",
            int_of(k, "unnamed_files"), (double)int_of(k, "unnamed_bytes") / 1048576.0);
    if (int_of(k, "unkept_files") > 0)
        say("  not kept %lld files with %.1f MiB: they cannot be restored after they are "
            "overwritten",
            int_of(k, "unkept_files"), (double)int_of(k, "unkept_bytes") / 1048576.0);
}

/* Paths that are not published as they are, or look alike. */
static void show_notices(json_t *lists)
{
    const char *kind;
    json_t *list, *x;
    size_t i;

    json_object_foreach(lists, kind, list)
    {
        json_array_foreach(list, i, x) say("  %-8s %s: %s, since %s", kind, text_of(x, "path"),
                                           text_of(x, "text"), text_of(x, "since"));
    }
}

static void show_mirror(json_t *x)
{
    const char *reason = text_of(x, "reason");
    char lag[80] = "";

    if (json_object_get(x, "pending"))
        snprintf(lag, sizeof(lag), ", lag %.1f s, %lld pending",
                 (double)int_of(x, "lag_ms") / 1000.0, int_of(x, "pending"));
    say("  mirror   %s %s%s%s%s", text_of(x, "name"), state_of(x), lag, *reason ? ": " : "",
        reason);
}

static void show_master(json_t *m)
{
    json_t *x;
    size_t i;

    say("master %s", *text_of(m, "root") ? text_of(m, "root") : text_of(m, "socket"));
    show_state(m);
    json_array_foreach(json_object_get(m, "problems"), i, x)
    {
        if (i > 0) /* the first one is shown above */
            show_why(x);
    }
    show_errors(json_object_get(m, "errors"));
    show_notices(json_object_get(m, "notices"));
    x = json_object_get(m, "wrong_tokens");
    if (int_of(x, "count") > 0)
        say("  tokens   %lld requests without a valid one, the last %lld s ago from %s",
            int_of(x, "count"), int_of(x, "ms_ago") / 1000, text_of(x, "last"));
    if (json_object_get(m, "kept"))
        show_kept(json_object_get(m, "kept"));
    json_array_foreach(json_object_get(m, "mirrors"), i, x) show_mirror(x);
}

static void show_kept_tables(json_t *tables)
{
    struct buf b = BUF_INIT;
    json_t *x;
    size_t i;

    json_array_foreach(tables, i, x) buf_printf(&b, "%s%s", i ? ", " : "", json_string_value(x));
    say("  keeps    %s", b.data);
    buf_release(&b);
}

static void show_import(json_t *o)
{
    json_t *p = json_object_get(o, "progress"), *note;
    const char *topic;
    char left[48] = "";

    say("import %s", text_of(o, "name"));
    show_state(o);
    if (*text_of(o, "database"))
        say("  database %s from %s, %s", text_of(o, "database"), text_of(o, "slot"),
            text_of(o, "activity"));
    if (p) {
        if (json_object_get(p, "seconds_left"))
            snprintf(left, sizeof(left), ", about %lld s left", int_of(p, "seconds_left"));
        say("  staged   %lld of %lld MB, %lld rows%s", int_of(p, "bytes") / 1000000,
            int_of(p, "bytes_total") / 1000000, int_of(p, "rows"), left);
    }
    json_object_foreach(json_object_get(o, "notes"), topic, note)
        say("  note     %s", json_string_value(note));
    if (json_array_size(json_object_get(o, "kept_tables")) > 0)
        show_kept_tables(json_object_get(o, "kept_tables"));
}

void show(json_t *all)
{
    json_t *mounts = json_object_get(all, "mounts"), *masters = json_object_get(all, "masters");
    json_t *imports = json_object_get(all, "imports"), *o;
    size_t i;

    json_array_foreach(mounts, i, o) show_mount(o);
    json_array_foreach(masters, i, o) show_master(o);
    json_array_foreach(imports, i, o) show_import(o);
    if (json_array_size(mounts) + json_array_size(masters) + json_array_size(imports) == 0)
        say("no eefs mount, master or importer on this machine");
}
