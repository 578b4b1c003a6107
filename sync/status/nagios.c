/* SPDX-License-Identifier: MIT */
#include "sync/status/nagios.h"

#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"
#include "sync/common/printable.h"
#include "sync/status/human.h"
#include "sync/status/show.h"

struct line {
    struct buf data; /* performance data */
    struct buf late; /* what is over a limit */
    int64_t warn_ms, crit_ms;
    int code;
};

static const char *text_of(json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));

    return s ? s : "";
}

/* Escaped, and without what has a meaning: '|' begins the data, a quote ends a label, '=' its
 * name. */
static void put_plain(struct buf *b, const char *text)
{
    char plain[1024];

    printable_copy(plain, sizeof(plain), text);
    for (const char *p = plain; *p; p++)
        buf_putc(b, strchr("|'=", *p) ? '_' : *p);
}

static void put_limit(struct buf *b, int64_t ms)
{
    buf_puts(b, ";");
    if (ms > 0)
        buf_printf(b, "%.3f", (double)ms / 1000.0);
}

static void judge_lag(struct line *l, const char *name, int64_t lag)
{
    int code = l->crit_ms > 0 && lag > l->crit_ms ? 2 : l->warn_ms > 0 && lag > l->warn_ms ? 1 : 0;
    char text[HUMAN_CAP];

    if (code == 0)
        return;
    l->code = code > l->code ? code : l->code;
    buf_printf(&l->late, "; %s lags by %s", name, human_span(lag, text));
}

/* A mount, or a mirror as its master knows it. Silent ones have no figures. */
static void put_object(struct line *l, json_t *o, const char *name)
{
    int64_t lag = json_integer_value(json_object_get(o, "lag_ms"));
    json_t *limit = json_object_get(o, "cache_limit");
    struct buf *b = &l->data;

    if (!json_object_get(o, "pending"))
        return;
    judge_lag(l, name, lag);
    buf_puts(b, " 'lag_");
    put_plain(b, name);
    buf_printf(b, "'=%.3fs", (double)lag / 1000.0);
    put_limit(b, l->warn_ms);
    put_limit(b, l->crit_ms);
    buf_puts(b, ";0 'pending_");
    put_plain(b, name);
    buf_printf(b, "'=%lld;;;0 'cache_",
               (long long)json_integer_value(json_object_get(o, "pending")));
    put_plain(b, name);
    buf_printf(b, "'=%lldB;;;0;%lld",
               (long long)json_integer_value(json_object_get(o, "cache_used")),
               (long long)json_integer_value(limit));
}

int nagios(json_t *all, int code, int64_t warn_ms, int64_t crit_ms, FILE *f)
{
    static const char *const words[] = {"OK", "WARNING", "CRITICAL", "UNKNOWN"};
    struct line l = {.warn_ms = warn_ms, .crit_ms = crit_ms, .code = code};
    char *summary = show_summary(all);
    struct buf text = BUF_INIT;
    json_t *o, *x;
    size_t i, j;

    json_array_foreach(json_object_get(all, "mounts"), i, o)
        put_object(&l, o, text_of(o, "mountpoint"));
    json_array_foreach(json_object_get(all, "masters"), i, o)
    {
        json_array_foreach(json_object_get(o, "mirrors"), j, x)
            put_object(&l, x, text_of(x, "name"));
    }
    put_plain(&text, summary);
    if (l.late.len > 0)
        put_plain(&text, l.late.data);
    fprintf(f, "EEFS %s - %s%s%s\n", words[l.code], text.data, l.data.len ? " |" : "",
            l.data.len ? l.data.data : "");
    buf_release(&text);
    buf_release(&l.data);
    buf_release(&l.late);
    free(summary);
    return l.code;
}
