/* SPDX-License-Identifier: MIT */
#include "sqlimport/ddl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* MySQL 8's collations that MariaDB 10.11 lacks, and their nearest relatives there. */
static const struct {
    const char *from, *to;
} collations[] = {
    {"utf8mb4_0900_ai_ci", "utf8mb4_unicode_520_ci"},
    {"utf8mb4_0900_as_ci", "utf8mb4_unicode_520_ci"},
    {"utf8mb4_0900_as_cs", "utf8mb4_bin"},
    {"utf8mb4_0900_bin", "utf8mb4_bin"},
    {"utf8mb4_general1400_as_ci", "utf8mb4_general_ci"},
};

static const char *mapped(const struct token *t)
{
    if (t->type != TOKEN_WORD)
        return NULL;
    for (size_t i = 0; i < sizeof(collations) / sizeof(*collations); i++)
        if (t->len == strlen(collations[i].from) &&
            strncasecmp(t->p, collations[i].from, t->len) == 0)
            return collations[i].to;
    return NULL;
}

void ddl_rewrite(struct buf *out, const char *text, size_t len, struct token_mode mode,
                 bool map_collations)
{
    const char *done = text;
    struct lexer l;
    struct token t;
    bool head = true; /* before AS, BEGIN and the like: where a DEFINER can stand */
    int words = 0;

    lexer_init(&l, text, len, mode);
    for (lexer_next(&l, &t); t.type != TOKEN_END; lexer_next(&l, &t)) {
        const char *to = map_collations ? mapped(&t) : NULL;

        if (++words > 24)
            head = false;
        if (to) {
            buf_append(out, done, (size_t)(t.p - done));
            buf_puts(out, to);
            done = l.p;
        } else if (head && token_is(&t, "DEFINER")) {
            const char *after;

            lexer_next(&l, &t);
            if (!token_is_punct(&t, '='))
                continue;
            buf_append(out, done, (size_t)(l.p - done));
            lexer_next(&l, &t); /* the user */
            after = l.p;
            lexer_next(&l, &t); /* and @host */
            if (t.type == TOKEN_USER)
                after = l.p;
            else if (token_is_punct(&t, '@')) {
                lexer_next(&l, &t);
                after = l.p;
            } else {
                l.p = after;
            }
            buf_puts(out, "CURRENT_USER");
            done = after;
            head = false;
        }
    }
    buf_append(out, done, (size_t)(text + len - done));
}

static bool engine_allowed(const char *name)
{
    static const char *const names[] = {"InnoDB",  "MyISAM", "Aria",    "MEMORY",  "HEAP",
                                        "ARCHIVE", "CSV",    "RocksDB", "SEQUENCE"};

    for (size_t i = 0; i < sizeof(names) / sizeof(*names) - 1; i++)
        if (strcasecmp(name, names[i]) == 0)
            return true;
    return false;
}

int ddl_check_table(const char *text, size_t len, struct token_mode mode, struct strlist *parents,
                    struct err *e)
{
    struct lexer l;
    struct token t;
    int depth = 0, r = 0;

    lexer_init(&l, text, len, mode);
    lexer_next(&l, &t);
    while (t.type != TOKEN_END && r == 0) {
        if (token_is_punct(&t, '('))
            depth++;
        else if (token_is_punct(&t, ')'))
            depth--;
        if (token_is(&t, "SELECT") || token_is(&t, "DIRECTORY") || token_is(&t, "CONNECTION") ||
            (depth == 0 && (token_is(&t, "UNION") || token_is(&t, "LIKE"))))
            return err_set(e, EPERM, "a table is made with %.*s, which an import does not allow",
                           (int)t.len, t.p);
        if (depth == 0 && token_is(&t, "ENGINE")) {
            char *name;
            lexer_next(&l, &t);
            if (token_is_punct(&t, '='))
                lexer_next(&l, &t);
            name = token_text(&t, mode);
            if (!engine_allowed(name))
                r = err_set(e, EPERM,
                            "a table uses the storage engine '%.40s', which an import "
                            "does not allow",
                            name);
            free(name);
        }
        if (token_is(&t, "REFERENCES")) {
            char *name;
            lexer_next(&l, &t);
            name = token_text(&t, mode);
            lexer_next(&l, &t);
            if (token_is_punct(&t, '.'))
                r = err_set(e, EPERM, "a foreign key leads into another database ('%.60s')", name);
            else
                strlist_add(parents, name);
            free(name);
            continue;
        }
        lexer_next(&l, &t);
    }
    return r;
}
