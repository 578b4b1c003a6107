/* SPDX-License-Identifier: MIT */
/*
 * The text for people. The first line is the machine's state; then comes a block for each mount,
 * master and importer:
 *
 *     mount /var/www/assets
 *       state    DEGRADED
 *       reason   3 conflicts
 *       action   …
 *       cache    1.0 of 20 GiB, 1200 entries
 *
 * All text of others is escaped (printable.h); colours are put around our own words only.
 */
#include "sync/status/show.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/path.h"
#include "sync/common/printable.h"
#include "sync/status/human.h"

#define BAR_CELLS 20
#define CELL_CAP  64

/* Where the text goes. */
struct view {
    FILE *f;
    bool colour;
};

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

/* The one place of output: everything that others wrote goes through here. */
#define say(v, ...) printable_line((v)->f, __VA_ARGS__)

/* Writes a word of ours in the colour of a state (SGR, ECMA-48). */
static void put_coloured(const struct view *v, const char *state, const char *word)
{
    const char *code = strcmp(state, "OK") == 0                                           ? "32"
                       : strcmp(state, "SYNCING") == 0                                    ? "36"
                       : strcmp(state, "DEGRADED") == 0 || strcmp(state, "ISOLATED") == 0 ? "33"
                                                                                          : "31";

    if (v->colour)
        fprintf(v->f, "\033[1;%sm%s\033[0m", code, word);
    else
        fputs(word, v->f);
}

static void show_why(const struct view *v, json_t *o)
{
    if (*text_of(o, "reason"))
        say(v, "  reason   %s", text_of(o, "reason"));
    if (*text_of(o, "action"))
        say(v, "  action   %s", text_of(o, "action"));
}

static void show_state(const struct view *v, json_t *o)
{
    fputs("  state    ", v->f);
    put_coloured(v, state_of(o), state_of(o));
    fputc('\n', v->f);
    show_why(v, o);
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

/* "5 min ago" for a text of clock_text(); "" when it is none. */
static const char *ago(const char *text, char out[CELL_CAP])
{
    int64_t then = clock_from_text(text), ms = (clock_wall_ns() - then) / 1000000;
    char span[HUMAN_CAP];

    *out = '\0';
    if (then > 0)
        snprintf(out, CELL_CAP, "%s ago", human_span(ms > 0 ? ms / 1000 * 1000 : 0, span));
    return out;
}

/* "[##########----------] 50 %" */
static const char *bar(long long part, long long whole, char out[CELL_CAP])
{
    double share = whole > 0 ? (double)part / (double)whole : 1.0;
    char cells[BAR_CELLS + 1];

    share = share < 0 ? 0 : share > 1 ? 1 : share;
    memset(cells, '-', BAR_CELLS);
    memset(cells, '#', (size_t)(share * BAR_CELLS));
    cells[BAR_CELLS] = '\0';
    snprintf(out, CELL_CAP, "[%s] %d %%", cells, (int)(share * 100));
    return out;
}

/* --- a mount --- */

static const char *hash_of(json_t *o, const char *name)
{
    return *text_of(o, name) ? text_of(o, name) : "(gone)";
}

static void show_conflict(const struct view *v, json_t *c)
{
    char *path = path_of(c, "path"), *copy = path_of(c, "copy"), *place = path_of(c, "place");
    char when[32];

    say(v, "  conflict %s, %s", path, time_of(c, "time", when));
    say(v, "    master  %s of %s", hash_of(c, "theirs"), time_of(c, "theirs_mtime", when));
    say(v, "    here    %s of %s", hash_of(c, "ours"), time_of(c, "ours_mtime", when));
    if (*copy)
        say(v, "    kept as %s", copy);
    else
        say(v, "    kept on the master as %s", place);
    free(path);
    free(copy);
    free(place);
}

static void show_refused(const struct view *v, json_t *q)
{
    char *path = path_of(q, "path"), *to = path_of(q, "to");
    bool deferred = json_is_true(json_object_get(q, "deferred"));
    char when[32];

    say(v, "  %s  %s %s%s%s, %s", deferred ? "waits  " : "refused", text_of(q, "op"), path,
        *to ? " to " : "", to, time_of(q, "time", when));
    say(v, "    because %s (%s)%s", text_of(q, "error"), text_of(q, "code"),
        deferred ? "; retried automatically" : "");
    free(path);
    free(to);
}

/* Faults of disk and memory that a daemon met. */
static void show_errors(const struct view *v, json_t *list)
{
    char when[32];
    json_t *x;
    size_t i;

    json_array_foreach(list, i, x)
        say(v, "  errors   %s %lld times, last %s at %s", text_of(x, "error"), int_of(x, "count"),
            time_of(x, "time", when), text_of(x, "path"));
}

static void show_cache(const struct view *v, json_t *m)
{
    long long used = int_of(m, "cache_used"), limit = int_of(m, "cache_limit");
    long long queued = int_of(m, "prefetch_queued");
    char text[HUMAN_CAP], other[HUMAN_CAP];

    say(v, "  cache    %s, %lld entries", human_share(used, limit, text), int_of(m, "entries"));
    if (used > limit)
        say(v,
            "    over its limit: %s are open in programs, %s are local or not on the master yet; "
            "the rest is removed within a minute",
            human_size(int_of(m, "cache_open"), text),
            human_size(int_of(m, "cache_pinned"), other));
    if (queued > 0)
        say(v, "  fetching %lld contents wait", queued);
}

/* How one path stands, in words. */
static const char *path_words(json_t *p)
{
    static const char *const words[][2] = {
        {"pending", "upload pending: the master has not confirmed it"},
        {"quarantined", "refused by the master"},
        {"conflict", "a conflict"},
        {"local", "local only: the master excludes it"},
        {"absent", "not in the mount"},
    };
    const char *state = text_of(p, "state");

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcmp(words[i][0], state) == 0)
            return words[i][1];
    if (strcmp(state, "clean") != 0)
        return text_of(p, "error");
    return json_is_false(json_object_get(p, "cached")) ? "up to date, not cached" : "up to date";
}

static void show_path(const struct view *v, json_t *p)
{
    char *path = path_of(p, "path"), when[32], size[HUMAN_CAP];
    bool fixed = json_is_false(json_object_get(p, "writable"));

    say(v, "  path     %s: %s%s", path, path_words(p),
        fixed ? "; read-only on this mirror, by its scope" : "");
    if (json_object_get(p, "size"))
        say(v, "    %s of %s, changed %s", text_of(p, "type"), human_size(int_of(p, "size"), size),
            time_of(p, "mtime", when));
    if (*text_of(p, "hash"))
        say(v, "    content %s", text_of(p, "hash"));
    if (json_object_get(p, "conflict"))
        show_conflict(v, json_object_get(p, "conflict"));
    if (json_object_get(p, "refused"))
        show_refused(v, json_object_get(p, "refused"));
    free(path);
}

static void show_lists(const struct view *v, json_t *m)
{
    json_t *x;
    size_t i;

    json_array_foreach(json_object_get(m, "paths"), i, x) show_path(v, x);
    json_array_foreach(json_object_get(m, "conflicts_list"), i, x) show_conflict(v, x);
    json_array_foreach(json_object_get(m, "quarantine_list"), i, x) show_refused(v, x);
    json_array_foreach(json_object_get(m, "skipped_list"), i, x)
        say(v, "  not taken  '%s': %s", text_of(x, "path"), text_of(x, "why"));
}

static void show_health(const struct view *v, json_t *h)
{
    if (!h)
        return;
    if (json_is_true(json_object_get(h, "fit")))
        say(v, "  visitors fit, weight %lld", int_of(h, "weight"));
    else
        say(v, "  visitors not fit: %s", text_of(h, "reason"));
}

static void show_mount(const struct view *v, json_t *m)
{
    char text[HUMAN_CAP];

    say(v, "mount %s", *text_of(m, "mountpoint") ? text_of(m, "mountpoint") : text_of(m, "socket"));
    show_state(v, m);
    if (!json_object_get(m, "pending"))
        return;
    say(v, "  master   %s as %s, link %s, lag %s", text_of(m, "url"), text_of(m, "name"),
        text_of(m, "link"), human_span(int_of(m, "lag_ms"), text));
    say(v, "  changes  %lld pending, %lld quarantined, %lld conflicts", int_of(m, "pending"),
        int_of(m, "quarantined"), int_of(m, "conflicts"));
    show_cache(v, m);
    show_health(v, json_object_get(m, "health"));
    show_errors(v, json_object_get(m, "errors"));
    show_lists(v, m);
}

/* --- a master --- */

/* What of the master's files can be brought back when it is overwritten or deleted. */
static void show_kept(const struct view *v, json_t *k)
{
    char text[HUMAN_CAP];

    if (int_of(k, "space") == 0) {
        say(v, "  kept     nothing: overwritten and deleted files cannot be restored");
        return;
    }
    say(v, "  kept     %s; %lld earlier versions, %lld of them without content",
        human_share(int_of(k, "bytes"), int_of(k, "space"), text), int_of(k, "versions"),
        int_of(k, "lost_versions"));
    if (int_of(k, "unnamed_files") > 0)
        say(v,
            "  unnamed  %lld kept contents with %s whose paths are lost: 'eefs-master history "
            "--unnamed' lists them",
            int_of(k, "unnamed_files"), human_size(int_of(k, "unnamed_bytes"), text));
    if (int_of(k, "unkept_files") > 0)
        say(v, "  not kept %lld files with %s: they cannot be restored after they are overwritten",
            int_of(k, "unkept_files"), human_size(int_of(k, "unkept_bytes"), text));
}

/* Paths that are not published as they are, or look alike. */
static void show_notices(const struct view *v, json_t *lists)
{
    const char *kind;
    json_t *list, *x;
    size_t i;

    json_object_foreach(lists, kind, list)
    {
        json_array_foreach(list, i, x) say(v, "  %-8s %s: %s, since %s", kind, text_of(x, "path"),
                                           text_of(x, "text"), text_of(x, "since"));
    }
}

enum { NAME, STATE, LAG, PENDING, CACHE, IMPORT, ADDRESS, VERSION, COLUMNS };

struct row {
    char cell[COLUMNS][CELL_CAP];
};

/* "5 min ago", "failed (2)" or "-" for the imports of a mirror. */
static void put_import(json_t *imports, char out[CELL_CAP])
{
    const char *newest = "";
    long long failed = 0;
    json_t *o;
    size_t i;

    json_array_foreach(imports, i, o)
    {
        const char *time = text_of(json_object_get(o, "last_import"), "time");

        failed += int_of(json_object_get(o, "failed"), "count");
        if (strcmp(time, newest) > 0) /* this form sorts as text */
            newest = time;
    }
    if (failed > 0)
        snprintf(out, CELL_CAP, "failed (%lld)", failed);
    else if (!*ago(newest, out))
        strcpy(out, "-");
}

static void put_row(json_t *x, struct row *r)
{
    char text[HUMAN_CAP];

    for (size_t i = 0; i < COLUMNS; i++)
        strcpy(r->cell[i], "-");
    printable_copy(r->cell[NAME], CELL_CAP, text_of(x, "name"));
    strcpy(r->cell[STATE], state_of(x));
    if (json_object_get(x, "pending")) {
        strcpy(r->cell[LAG], human_span(int_of(x, "lag_ms"), text));
        snprintf(r->cell[PENDING], CELL_CAP, "%lld", int_of(x, "pending"));
    }
    if (int_of(x, "cache_limit") > 0)
        strcpy(r->cell[CACHE],
               human_share(int_of(x, "cache_used"), int_of(x, "cache_limit"), text));
    put_import(json_object_get(x, "imports"), r->cell[IMPORT]);
    if (*text_of(x, "address"))
        printable_copy(r->cell[ADDRESS], CELL_CAP, text_of(x, "address"));
    if (*text_of(x, "version"))
        printable_copy(r->cell[VERSION], CELL_CAP, text_of(x, "version"));
}

static void print_row(const struct view *v, const struct row *r, const int *width, bool head)
{
    for (size_t i = 0; i < COLUMNS; i++) {
        int pad = i + 1 < COLUMNS ? width[i] - (int)strlen(r->cell[i]) : 0;

        fputs("  ", v->f);
        if (i == STATE && !head)
            put_coloured(v, r->cell[i], r->cell[i]);
        else
            fputs(r->cell[i], v->f);
        fprintf(v->f, "%*s", pad, "");
    }
    fputc('\n', v->f);
}

/* The mirrors of a master, and below the table what is wrong with each. */
static void show_mirrors(const struct view *v, json_t *mirrors)
{
    size_t n = json_array_size(mirrors);
    struct row *rows = xcalloc(n + 1, sizeof(*rows));
    int width[COLUMNS] = {0};
    size_t i;
    json_t *x;

    rows[0] = (struct row){
        {"mirror", "state", "lag", "pending", "cache", "last import", "address", "version"}};
    json_array_foreach(mirrors, i, x) put_row(x, &rows[i + 1]);
    for (i = 0; i <= n; i++)
        for (size_t c = 0; c < COLUMNS; c++)
            if ((int)strlen(rows[i].cell[c]) > width[c])
                width[c] = (int)strlen(rows[i].cell[c]);
    for (i = 0; i <= n && n > 0; i++)
        print_row(v, &rows[i], width, i == 0);
    json_array_foreach(mirrors, i, x)
    {
        if (*text_of(x, "reason"))
            say(v, "  mirror   %s: %s", text_of(x, "name"), text_of(x, "reason"));
    }
    free(rows);
}

static void show_progress(const struct view *v, json_t *m)
{
    if (int_of(m, "waiting") > 0)
        say(v, "  scanning %lld paths wait to be looked at", int_of(m, "waiting"));
}

static void show_served(const struct view *v, json_t *m)
{
    char text[HUMAN_CAP];

    if (json_object_get(m, "files"))
        say(v, "  serves   %lld files with %s on %s", int_of(m, "files"),
            human_size(int_of(m, "bytes"), text), text_of(m, "listen"));
}

static void show_master(const struct view *v, json_t *m)
{
    char text[HUMAN_CAP];
    json_t *x;
    size_t i;

    say(v, "master %s", *text_of(m, "root") ? text_of(m, "root") : text_of(m, "socket"));
    show_state(v, m);
    json_array_foreach(json_object_get(m, "problems"), i, x)
    {
        if (i > 0) /* the first one is shown above */
            show_why(v, x);
    }
    show_served(v, m);
    show_progress(v, m);
    show_errors(v, json_object_get(m, "errors"));
    show_notices(v, json_object_get(m, "notices"));
    x = json_object_get(m, "wrong_tokens");
    if (int_of(x, "count") > 0)
        say(v, "  tokens   %lld requests without a valid one, the last %s ago from %s",
            int_of(x, "count"), human_span(int_of(x, "ms_ago") / 1000 * 1000, text),
            text_of(x, "last"));
    if (json_object_get(m, "kept"))
        show_kept(v, json_object_get(m, "kept"));
    show_mirrors(v, json_object_get(m, "mirrors"));
}

/* --- an importer --- */

static void show_kept_tables(const struct view *v, json_t *tables)
{
    struct buf b = BUF_INIT;
    json_t *x;
    size_t i;

    json_array_foreach(tables, i, x) buf_printf(&b, "%s%s", i ? ", " : "", json_string_value(x));
    say(v, "  keeps    %s", b.data);
    buf_release(&b);
}

static void show_staged(const struct view *v, json_t *p)
{
    long long part = int_of(p, "bytes"), whole = int_of(p, "bytes_total");
    long long seconds = int_of(p, "seconds_left");
    char cells[CELL_CAP], share[HUMAN_CAP], rate[HUMAN_CAP], span[HUMAN_CAP], left[128] = "";

    if (seconds > 0)
        snprintf(left, sizeof(left), ", %s/s, about %s left",
                 human_size((whole - part) / seconds, rate), human_span(seconds * 1000, span));
    say(v, "  staged   %s, %s, %lld rows%s", bar(part, whole, cells),
        human_share(part, whole, share), int_of(p, "rows"), left);
}

static void show_import(const struct view *v, json_t *o)
{
    json_t *p = json_object_get(o, "progress"), *last = json_object_get(o, "last_import"), *note;
    const char *topic;
    char text[CELL_CAP];

    say(v, "import %s", text_of(o, "name"));
    show_state(v, o);
    if (*text_of(o, "database"))
        say(v, "  database %s from %s, %s", text_of(o, "database"), text_of(o, "slot"),
            text_of(o, "activity"));
    if (p)
        show_staged(v, p);
    if (*ago(text_of(last, "time"), text))
        say(v, "  last     %s: %lld rows, %lld tables changed, %.1f s", text, int_of(last, "rows"),
            int_of(last, "tables_changed"), json_number_value(json_object_get(last, "seconds")));
    json_object_foreach(json_object_get(o, "notes"), topic, note)
        say(v, "  note     %s", json_string_value(note));
    if (json_array_size(json_object_get(o, "kept_tables")) > 0)
        show_kept_tables(v, json_object_get(o, "kept_tables"));
}

/* --- together --- */

static void show_counts(struct buf *b, json_t *list, const char *noun)
{
    size_t n = json_array_size(list);

    if (n > 0)
        buf_printf(b, "%s%zu %s%s", b->len ? ", " : "", n, noun, n == 1 ? "" : "s");
}

char *show_summary(json_t *all)
{
    struct buf b = BUF_INIT;
    json_t *worst = json_object_get(all, "worst");

    if (*text_of(worst, "reason")) {
        buf_printf(&b, "%s %s: %s", text_of(worst, "kind"), text_of(worst, "name"),
                   text_of(worst, "reason"));
    } else {
        show_counts(&b, json_object_get(all, "mounts"), "mount");
        show_counts(&b, json_object_get(all, "masters"), "master");
        show_counts(&b, json_object_get(all, "imports"), "import");
    }
    if (b.len == 0)
        buf_puts(&b, "no eefs mount, master or importer on this machine");
    return buf_detach(&b);
}

static void show_first_line(const struct view *v, json_t *all)
{
    char *summary = show_summary(all);

    fputs("eefs ", v->f);
    put_coloured(v, state_of(all), state_of(all));
    fputs(": ", v->f);
    say(v, "%s", summary);
    free(summary);
}

void show(json_t *all, FILE *f, bool colour)
{
    const struct view v = {f, colour};
    json_t *o;
    size_t i;

    show_first_line(&v, all);
    json_array_foreach(json_object_get(all, "mounts"), i, o) show_mount(&v, o);
    json_array_foreach(json_object_get(all, "masters"), i, o) show_master(&v, o);
    json_array_foreach(json_object_get(all, "imports"), i, o) show_import(&v, o);
}

bool show_wants_colour(void)
{
    const char *none = getenv("NO_COLOR"), *term = getenv("TERM");

    return isatty(STDOUT_FILENO) && !(none && *none) && !(term && strcmp(term, "dumb") == 0);
}
