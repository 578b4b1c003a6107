/* SPDX-License-Identifier: MIT */
/*
 *     for each collation of the dump: does the server know it?
 *         no ─> its relatives, the nearest first: the first that the server knows replaces it in the
 *               DDL and the session settings; none: the dump is refused
 *
 * The name of a modern collation (MySQL 8's …_0900_…, MariaDB's …uca1400_…) is taken apart into
 * character set, language, rule for spaces and sense (ai_ci, as_cs, …), and put together again as
 * the other server writes it.
 */
#include "sqlimport/server/collation.h"

#include <ctype.h>
#include <errno.h>
#include <mysqld_error.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sqlimport/sql/ddl.h"
#include "sync/common/buf.h"
#include "sync/common/log.h"

/* Languages with rules of their own: MySQL 8's short names (utf8mb4_pl_0900_ai_ci) and the names in
 * MariaDB's utf8mb4_uca1400_polish_ai_ci and everybody's utf8mb4_polish_ci. */
static const struct {
    const char *tag, *name;
} languages[] = {
    {"cs", "czech"},     {"da", "danish"},    {"de_pb", "german2"}, {"eo", "esperanto"},
    {"es", "spanish"},   {"et", "estonian"},  {"hr", "croatian"},   {"bs", "croatian"},
    {"hu", "hungarian"}, {"is", "icelandic"}, {"la", "roman"},      {"lt", "lithuanian"},
    {"lv", "latvian"},   {"nb", "danish"},    {"nn", "danish"},     {"pl", "polish"},
    {"ro", "romanian"},  {"sk", "slovak"},    {"sl", "slovenian"},  {"sr_latn", "croatian"},
    {"sv", "swedish"},   {"tr", "turkish"},   {"vi", "vietnamese"}, {"es_trad", "spanish2"},
};

/* The parts of a modern collation's name. */
struct parts {
    char charset[16];
    char language[16]; /* MariaDB's name, "" for the root order */
    bool pad;          /* spaces at the end do not count */
    char sense[12];    /* ai_ci, as_ci, as_cs, bin */
};

static void copy(char *out, size_t cap, const char *p, size_t len)
{
    snprintf(out, cap, "%.*s", (int)len, p);
}

/* CHARSET_[LANG_]0900_SENSE of MySQL 8; languages without an entry have the root's order. */
static bool parse_0900(const char *name, struct parts *ret)
{
    const char *at = strstr(name, "_0900_"), *mid = strchr(name, '_');

    if (!at || !mid)
        return false;
    memset(ret, 0, sizeof(*ret));
    copy(ret->charset, sizeof(ret->charset), name, (size_t)(mid - name));
    copy(ret->sense, sizeof(ret->sense), at + 6, strlen(at + 6));
    if (strcmp(ret->sense, "as_cs_ks") == 0)
        ret->sense[5] = '\0';
    for (size_t i = 0; mid < at && i < sizeof(languages) / sizeof(*languages); i++)
        if (strlen(languages[i].tag) == (size_t)(at - mid - 1) &&
            strncmp(mid + 1, languages[i].tag, (size_t)(at - mid - 1)) == 0)
            copy(ret->language, sizeof(ret->language), languages[i].name,
                 strlen(languages[i].name));
    return true;
}

/* [CHARSET_]uca1400_[LANG_][nopad_]SENSE of MariaDB 10.10 and later. */
static bool parse_uca1400(const char *name, struct parts *ret)
{
    const char *at = strstr(name, "uca1400_"), *p, *nopad;
    size_t len;

    if (!at || strlen(at) < strlen("uca1400_ai_ci"))
        return false;
    memset(ret, 0, sizeof(*ret));
    if (at > name)
        copy(ret->charset, sizeof(ret->charset), name, (size_t)(at - name - 1));
    else
        strcpy(ret->charset, "utf8mb4");
    p = at + strlen("uca1400_");
    len = strlen(p);
    copy(ret->sense, sizeof(ret->sense), p + len - 5, 5);
    nopad = strstr(p, "nopad_");
    ret->pad = !nopad;
    len = nopad ? (size_t)(nopad - p) : len - 5;
    copy(ret->language, sizeof(ret->language), p, len > 0 ? len - 1 : 0);
    return true;
}

static void add(struct strlist *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void add(struct strlist *l, const char *fmt, ...)
{
    struct buf b = BUF_INIT;
    va_list ap;

    va_start(ap, fmt);
    buf_vprintf(&b, fmt, ap);
    va_end(ap);
    strlist_add(l, b.data);
    buf_release(&b);
}

static void add_modern(const struct parts *p, struct strlist *ret)
{
    const char *cs = p->charset, *nopad = p->pad ? "" : "nopad_";
    const char *tag = NULL;

    for (size_t i = 0; !tag && i < sizeof(languages) / sizeof(*languages); i++)
        if (strcmp(p->language, languages[i].name) == 0)
            tag = languages[i].tag;
    if (tag) {
        add(ret, "%s_uca1400_%s_%s%s", cs, p->language, nopad, p->sense);
        add(ret, "%s_%s_0900_%s", cs, tag, p->sense);
    } else {
        add(ret, "%s_uca1400_%s%s", cs, nopad, p->sense);
        add(ret, "%s_0900_%s", cs, p->sense);
    }
    if (strcmp(p->sense, "bin") == 0 || strcmp(p->sense, "as_cs") == 0) {
        add(ret, "%s_%sbin", cs, nopad);
        add(ret, "%s_bin", cs);
        return;
    }
    if (tag)
        add(ret, "%s_%s_ci", cs, p->language);
    add(ret, "%s_unicode_520_%sci", cs, nopad);
    add(ret, "%s_unicode_520_ci", cs);
    add(ret, "%s_unicode_ci", cs);
}

void collation_relatives(const char *name, struct strlist *ret)
{
    const char *nopad = strstr(name, "nopad_");
    struct parts p;

    if (parse_0900(name, &p) || parse_uca1400(name, &p))
        add_modern(&p, ret);
    else if (nopad) /* utf8mb4_general_nopad_ci */
        add(ret, "%.*s%s", (int)(nopad - name), name, nopad + strlen("nopad_"));
    else if (strncmp(name, "utf8mb3_", 8) == 0) /* the same by its old name */
        add(ret, "utf8_%s", name + 8);
    else if (strncmp(name, "utf8_", 5) == 0)
        add(ret, "utf8mb3_%s", name + 5);
}

/* 1: the server knows it; 0: it does not; -errno. */
static int is_known(struct server *s, const char *name, struct err *e)
{
    const char *mid = strchr(name, '_');
    size_t len = strncmp(name, "uca1400_", 8) == 0 ? 0 : mid ? (size_t)(mid - name) : strlen(name);
    char *none = NULL;
    int r;

    for (const char *p = name; *p; p++)
        if (!isalnum((unsigned char)*p) && *p != '_')
            return err_set(e, EPERM, "the dump names a collation that no server can have: '%.64s'",
                           name);
    r = server_value(s, &none, e, "SELECT CONVERT('' USING %.*s) COLLATE %s", len ? (int)len : 7,
                     len ? name : "utf8mb4", name);
    free(none);
    if (r == -EREMOTEIO && (s->code == ER_UNKNOWN_COLLATION || s->code == ER_UNKNOWN_CHARACTER_SET))
        return 0;
    return r < 0 ? r : 1;
}

static int adapt_one(struct dump *d, struct server *s, const char *name, struct err *e)
{
    struct strlist relatives = {NULL, 0};
    int r = is_known(s, name, e);

    if (r != 0)
        return r;
    collation_relatives(name, &relatives);
    for (size_t i = 0; i < relatives.n && r == 0; i++) {
        r = is_known(s, relatives.v[i], e);
        if (r != 1)
            continue;
        log_warn("this server does not know the collation '%s': using '%s' instead", name,
                 relatives.v[i]);
        for (size_t j = 0; j < d->n; j++) {
            struct object *o = d->objects[j];
            struct buf b = BUF_INIT;

            if (!o->ddl)
                continue;
            ddl_replace_collation(&b, o->ddl, o->ddl_len, session_vars_mode_of(d->vars, o->vars_id),
                                  name, relatives.v[i]);
            free(o->ddl);
            o->ddl_len = b.len;
            o->ddl = buf_detach(&b);
        }
        session_vars_replace_collation(d->vars, name, relatives.v[i]);
    }
    strlist_release(&relatives);
    if (r == 0)
        return err_set(e, EPERM,
                       "the dump uses the collation '%.64s', which this server does not know, nor "
                       "a relative of it: convert the table on the master, or upgrade this server",
                       name);
    return r;
}

int collation_adapt(struct dump *d, struct server *s, struct err *e)
{
    struct strlist names = {NULL, 0};
    int r = 0;

    for (size_t i = 0; i < d->n; i++)
        if (d->objects[i]->ddl)
            ddl_collations(d->objects[i]->ddl, d->objects[i]->ddl_len,
                           session_vars_mode_of(d->vars, d->objects[i]->vars_id), &names);
    session_vars_collations(d->vars, &names);
    if (names.n > DDL_COLLATIONS_MAX)
        r = err_set(e, EPERM, "the dump names more than %d collations", DDL_COLLATIONS_MAX);
    for (size_t i = 0; i < names.n && r >= 0; i++)
        r = adapt_one(d, s, names.v[i], e);
    strlist_release(&names);
    return r < 0 ? r : 0;
}
