/* SPDX-License-Identifier: MIT */
#include "sync/common/opt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"
#include "sync/common/file.h"

#include <fcntl.h>

#define CONFIG_MAX   (1024 * 1024)
#define NAME_MAX_LEN 64

void strlist_add(struct strlist *l, const char *s)
{
    l->v = xrealloc(l->v, (l->n + 1) * sizeof(*l->v));
    l->v[l->n++] = xstrdup(s);
}

void strlist_release(struct strlist *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->v[i]);
    free(l->v);
    l->v = NULL;
    l->n = 0;
}

static bool same_name(const char *a, const char *b)
{
    for (; *a && *b; a++, b++)
        if (*a != *b && !((*a == '-' || *a == '_') && (*b == '-' || *b == '_')))
            return false;
    return *a == *b;
}

/* Levenshtein distance, bounded by the short names that options have. */
static size_t distance(const char *a, const char *b)
{
    size_t row[NAME_MAX_LEN + 1];
    size_t n = strlen(b);

    if (strlen(a) > NAME_MAX_LEN || n > NAME_MAX_LEN)
        return NAME_MAX_LEN;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[n];
}

static int unknown(const struct opt *table, const char *name, const char *where, struct err *e)
{
    const char *best = NULL;
    size_t best_distance = 4;

    for (const struct opt *o = table; o->type != OPT_END; o++) {
        size_t d = distance(name, o->name);
        if (o->type != OPT_IGNORED && d < best_distance) {
            best_distance = d;
            best = o->name;
        }
    }
    if (best)
        return err_set(e, EINVAL, "%s: unknown option '%s'; did you mean '%s'?", where, name, best);
    return err_set(e, EINVAL, "%s: unknown option '%s'; --help lists the options", where, name);
}

static int parse_number(const struct opt *o, const char *text, int64_t *ret)
{
    static const struct {
        enum opt_type type;
        const char *suffix;
        int64_t factor;
    } units[] = {
        {OPT_SIZE, "", 1},
        {OPT_SIZE, "K", 1LL << 10},
        {OPT_SIZE, "M", 1LL << 20},
        {OPT_SIZE, "G", 1LL << 30},
        {OPT_SIZE, "T", 1LL << 40},
        {OPT_INT, "", 1},
        {OPT_MODE, "", 1},
        {OPT_DURATION, "", 1000},
        {OPT_DURATION, "ms", 1},
        {OPT_DURATION, "s", 1000},
        {OPT_DURATION, "min", 60000},
        {OPT_DURATION, "h", 3600000},
        {OPT_DURATION, "d", 86400000},
    };
    char *end;
    long long v;

    errno = 0;
    v = strtoll(text, &end, o->type == OPT_MODE ? 8 : 10);
    if (errno || end == text)
        return -EINVAL;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (units[i].type != o->type || strcmp(units[i].suffix, end) != 0)
            continue;
        if (__builtin_mul_overflow((int64_t)v, units[i].factor, ret))
            return -ERANGE;
        if (o->min || o->max)
            return *ret < o->min || *ret > o->max ? -ERANGE : 0;
        return *ret < 0 ? -ERANGE : 0;
    }
    return -EINVAL;
}

static bool in_choices(const char *choices, const char *value)
{
    size_t n = strlen(value);

    for (const char *p = choices; *p;) {
        size_t len = strcspn(p, "|");
        if (len == n && strncmp(p, value, n) == 0)
            return true;
        p += len + (p[len] == '|');
    }
    return false;
}

static int parse_flag(const char *value, bool *ret)
{
    if (!value || in_choices("yes|true|1|on", value))
        *ret = true;
    else if (in_choices("no|false|0|off", value))
        *ret = false;
    else
        return -EINVAL;
    return 0;
}

static int wrong_number(const struct opt *o, const char *value, const char *where, struct err *e)
{
    static const char *const what[] = {
        [OPT_INT] = "a whole number",
        [OPT_SIZE] = "a size such as 512M or 20G",
        [OPT_DURATION] = "a time such as 10 (seconds), 500ms or 15min",
        [OPT_MODE] = "an octal mode such as 022",
    };

    if (o->min || o->max)
        return err_set(e, EINVAL, "%s: option '%s' takes %s from %lld to %lld, not '%s'", where,
                       o->name, what[o->type], (long long)o->min, (long long)o->max, value);
    return err_set(e, EINVAL, "%s: option '%s' takes %s, not '%s'", where, o->name, what[o->type],
                   value);
}

static void *member(const struct opt *o, void *into)
{
    return (char *)into + o->at;
}

static int set_value(const struct opt *o, void *into, const char *value, const char *where,
                     struct err *e)
{
    int64_t number;

    if (o->type == OPT_IGNORED)
        return 0;
    if (o->type == OPT_FLAG) {
        if (parse_flag(value, member(o, into)) < 0)
            return err_set(e, EINVAL, "%s: option '%s' is yes or no, not '%s'", where, o->name,
                           value);
        return 0;
    }
    value = value ? value : o->bare;
    if (!value || (!*value && !o->empty))
        return err_set(e, EINVAL, "%s: option '%s' needs a value: %s", where, o->name,
                       o->arg ? o->arg : "VALUE");
    switch (o->type) {
    case OPT_STRING:
        free(*(char **)member(o, into));
        *(char **)member(o, into) = xstrdup(value);
        return 0;
    case OPT_LIST:
        strlist_add(member(o, into), value);
        return 0;
    case OPT_ENUM:
        if (!in_choices(o->arg, value))
            return err_set(e, EINVAL, "%s: option '%s' is one of %s, not '%s'", where, o->name,
                           o->arg, value);
        free(*(char **)member(o, into));
        *(char **)member(o, into) = xstrdup(value);
        return 0;
    default:
        if (parse_number(o, value, &number) < 0)
            return wrong_number(o, value, where, e);
        *(int64_t *)member(o, into) = number;
        return 0;
    }
}

int opt_set(const struct opt *table, void *into, const char *name, const char *value,
            const char *where, struct err *e)
{
    for (const struct opt *o = table; o->type != OPT_END; o++)
        if (same_name(o->name, name))
            return set_value(o, into, value, where, e);
    return unknown(table, name, where, e);
}

void opt_defaults(const struct opt *table, void *into)
{
    struct err e;

    for (const struct opt *o = table; o->type != OPT_END; o++) {
        if (o->def && set_value(o, into, o->def, "default", &e) < 0) {
            fprintf(stderr, "eefs: %s\n", e.text);
            abort();
        }
    }
}

static bool takes_value(const struct opt *table, const char *name)
{
    for (const struct opt *o = table; o->type != OPT_END; o++)
        if (same_name(o->name, name))
            return o->type != OPT_FLAG && o->type != OPT_IGNORED && !o->bare;
    return false;
}

/* The option that "-w" stands for, or NULL. */
static const char *of_letter(const struct opt *table, const char *arg)
{
    for (const struct opt *o = table; o->type != OPT_END; o++)
        if (o->letter && o->letter == arg[1] && !arg[2])
            return o->name;
    return NULL;
}

enum opt_help opt_help_form(const char *form)
{
    if (!form)
        return OPT_HELP_TEXT;
    return strcmp(form, "usage") == 0  ? OPT_HELP_USAGE
           : strcmp(form, "json") == 0 ? OPT_HELP_JSON
                                       : OPT_HELP_NONE;
}

/* True when arg is -h, --help or --help=FORM. */
static bool is_help(const char *arg, enum opt_help *help)
{
    enum opt_help form = OPT_HELP_NONE;

    if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0)
        form = opt_help_form(NULL);
    else if (strncmp(arg, "--help=", 7) == 0)
        form = opt_help_form(arg + 7);
    if (form != OPT_HELP_NONE)
        *help = form;
    return form != OPT_HELP_NONE;
}

int opt_argv(const struct opt *table, void *into, int argc, char **argv, int *nargs,
             enum opt_help *help, struct err *e)
{
    int r = 0;

    *nargs = 0;
    for (int i = 1; i < argc && r == 0; i++) {
        char *arg = argv[i];
        char *name, *eq;
        const char *value = NULL, *letter;

        if (strcmp(arg, "--") == 0) {
            while (++i < argc)
                argv[(*nargs)++] = argv[i];
            break;
        }
        if (is_help(arg, help))
            continue;
        letter = arg[0] == '-' ? of_letter(table, arg) : NULL;
        if (strncmp(arg, "--", 2) != 0 && !letter) {
            if (arg[0] == '-' && arg[1])
                return err_set(e, EINVAL, "unknown option '%s'; --help lists the options", arg);
            argv[(*nargs)++] = arg;
            continue;
        }
        name = xstrdup(letter ? letter : arg + 2);
        eq = strchr(name, '=');
        if (eq) {
            *eq = '\0';
            value = eq + 1;
        } else if (takes_value(table, name) && i + 1 < argc) {
            value = argv[++i];
        }
        r = opt_set(table, into, name, value, "command line", e);
        free(name);
    }
    return r;
}

int opt_comma(const struct opt *table, void *into, const char *list, const char *where,
              struct err *e)
{
    struct buf item = BUF_INIT;
    const char *p = list;
    int r = 0;

    while (*p && r == 0) {
        char *eq;

        buf_clear(&item);
        buf_reserve(&item, 0);
        for (; *p && *p != ','; p++) {
            if (p[0] == '\\' && p[1] == ',')
                p++;
            buf_putc(&item, *p);
        }
        if (*p == ',')
            p++;
        if (item.len == 0)
            continue;
        eq = strchr(item.data, '=');
        if (eq)
            *eq = '\0';
        r = opt_set(table, into, item.data, eq ? eq + 1 : NULL, where, e);
    }
    buf_release(&item);
    return r;
}

static char *trim(char *s)
{
    char *end;

    s += strspn(s, " \t\r");
    end = s + strlen(s);
    while (end > s && strchr(" \t\r", end[-1]))
        *--end = '\0';
    return s;
}

static int file_line(const struct opt *table, void *into, const char *path, int number, char *line,
                     struct err *e)
{
    char where[512];
    char *eq;

    line = trim(line);
    if (!*line || *line == '#')
        return 0;
    snprintf(where, sizeof(where), "%s line %d", path, number);
    eq = strchr(line, '=');
    if (eq)
        *eq = '\0';
    return opt_set(table, into, trim(line), eq ? trim(eq + 1) : NULL, where, e);
}

int opt_file(const struct opt *table, void *into, const char *path, struct err *e)
{
    struct buf text = BUF_INIT;
    int number = 1;
    int r = file_slurp(AT_FDCWD, path, CONFIG_MAX, &text);

    if (r < 0)
        r = err_sys(e, -r, "cannot read the config file '%s'", path);
    for (char *line = text.data; r == 0 && line && *line; number++) {
        char *end = strchr(line, '\n');
        if (end)
            *end = '\0';
        r = file_line(table, into, path, number, line, e);
        line = end ? end + 1 : NULL;
    }
    buf_release(&text);
    return r;
}

int opt_required(const struct opt *table, const void *from, struct err *e)
{
    for (const struct opt *o = table; o->type != OPT_END; o++) {
        const void *at = (const char *)from + o->at;

        if (!o->required)
            continue;
        if (o->type == OPT_LIST ? ((const struct strlist *)at)->n == 0 : !*(char *const *)at)
            return err_set(e, EINVAL, "--%s is missing: %s", o->name, o->help);
    }
    return 0;
}
