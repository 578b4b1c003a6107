/* SPDX-License-Identifier: MIT */
/*
 * opt_help: what people read of an option table, in three forms (opt.h).
 *
 *     usage      usage: NAME ARGS --needed VALUE [--other VALUE] ...
 *     text       usage, purpose, then "  --name VALUE   help (range; default: …)" for each option
 *     json       the table in one line, for packaging/doc/generate
 */
#include "sync/common/opt.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"

#define WIDTH  80
#define COLUMN 28 /* where the help of an option begins */

static const char size_note[] =
    "SIZE is a number of bytes; K, M, G or T behind it multiply by powers of 1024.";
static const char time_note[] =
    "TIME is a number of seconds, or one with a unit: ms, s, min, h or d (500ms, 15min).";

static const char reload_note[] =
    "Options marked (*) take effect at once when the program reloads its options (SIGHUP).";

/* Prints words of `text` from column `at` on; lines that follow begin at column `indent`. A blank
 * line stays one. */
static void wrap(FILE *out, const char *text, size_t at, size_t indent)
{
    bool first = true;

    for (;;) {
        size_t len;

        for (; *text == ' ' || *text == '\n'; text++)
            if (text[0] == '\n' && text[1] == '\n') {
                fprintf(out, "\n\n%*s", (int)indent, "");
                at = indent;
                first = true;
            }
        len = strcspn(text, " \n");
        if (len == 0)
            break;
        if (!first && at + 1 + len > WIDTH) {
            fprintf(out, "\n%*s", (int)indent, "");
            at = indent;
            first = true;
        }
        fprintf(out, "%s%.*s", first ? "" : " ", (int)len, text);
        at += len + !first;
        first = false;
        text += len;
    }
    fputc('\n', out);
}

/* "--name VALUE", or "name=VALUE" of a list. */
static void put_option(struct buf *b, const struct opt_command *c, const struct opt *o)
{
    buf_printf(b, "%s%s", c->listed ? "" : "--", o->name);
    if (o->bare)
        buf_printf(b, "[=%s]", o->arg);
    else if (o->arg)
        buf_printf(b, "%s%s", c->listed ? "=" : " ", o->arg);
}

/* The usage, with '\1' for blanks at which no line may end. */
static void put_usage(struct buf *b, const struct opt_command *c)
{
    const char *sep = "";

    buf_printf(b, "%s%s%s%s", c->name, c->args ? " " : "", c->args ? c->args : "",
               c->listed ? " -o " : "");
    for (int required = 1; required >= 0; required--) {
        for (const struct opt *o = c->options; o->type != OPT_END; o++) {
            size_t from;

            if (o->type == OPT_IGNORED || o->required != required || (c->listed && !required))
                continue;
            buf_puts(b, c->listed ? sep : " ");
            sep = ",";
            from = b->len;
            buf_printf(b, "%s", required ? "" : "[");
            put_option(b, c, o);
            buf_printf(b, "%s%s", required ? "" : "]", o->type == OPT_LIST ? "..." : "");
            for (char *p = b->data + from; *p; p++)
                *p = *p == ' ' ? '\1' : *p;
        }
    }
    if (c->listed)
        buf_puts(b, "[,OPTION[=VALUE]]...");
}

void opt_usage(const struct opt_command *c, const char *lead, FILE *out)
{
    size_t indent = strlen(lead) + 4;
    struct buf b = BUF_INIT, lines = BUF_INIT;
    size_t at = strlen(lead);
    char *save = NULL;

    put_usage(&b, c);
    buf_puts(&lines, lead);
    for (char *word = strtok_r(b.data, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        bool first = at == strlen(lead);

        if (!first && at + 1 + strlen(word) > WIDTH) {
            buf_printf(&lines, "\n%*s%s", (int)indent, "", word);
            at = indent + strlen(word);
        } else {
            buf_printf(&lines, "%s%s", first ? "" : " ", word);
            at += strlen(word) + !first;
        }
    }
    for (char *p = lines.data; *p; p++)
        *p = *p == '\1' ? ' ' : *p;
    fprintf(out, "%s\n", lines.data);
    buf_release(&b);
    buf_release(&lines);
}

/* What the table knows besides the help: " (may be repeated; 1 to 16; default: 2)", or nothing. */
static void put_facts(struct buf *b, const struct opt *o, bool with_default)
{
    const char *def = o->type == OPT_FLAG ? NULL : o->def ? o->def : o->without;
    size_t begin = b->len;

    if (o->letter)
        buf_printf(b, "; also -%c", o->letter);
    if (o->type == OPT_LIST)
        buf_puts(b, "; may be repeated");
    if ((o->min || o->max) && o->type == OPT_INT)
        buf_printf(b, "; %lld to %lld", (long long)o->min, (long long)o->max);
    if (with_default && o->required)
        buf_puts(b, "; required");
    else if (with_default && def)
        buf_printf(b, "; default: %s", def);
    if (b->len > begin) {
        memcpy(b->data + begin, " (", 2);
        buf_puts(b, ")");
    }
    if (o->reload)
        buf_puts(b, " (*)");
}

static bool has_type(const struct opt *table, enum opt_type type)
{
    for (; table->type != OPT_END; table++)
        if (table->type == type)
            return true;
    return false;
}

/* The names that are accepted and dropped, separated by ", ". */
static void put_ignored(struct buf *b, const struct opt *table)
{
    const char *sep = "Accepted and ignored: ";

    for (; table->type != OPT_END; table++)
        if (table->type == OPT_IGNORED) {
            buf_printf(b, "%s%s", sep, table->name);
            sep = ", ";
        }
}

static bool has_reload(const struct opt *table)
{
    for (; table->type != OPT_END; table++)
        if (table->reload)
            return true;
    return false;
}

/* The notes on values and marks that the table uses, each as a paragraph. */
static void help_notes(const struct opt *table)
{
    struct buf b = BUF_INIT;

    if (has_reload(table))
        buf_printf(&b, "\n\n%s", reload_note);
    if (has_type(table, OPT_SIZE))
        buf_printf(&b, "\n\n%s", size_note);
    if (has_type(table, OPT_DURATION))
        buf_printf(&b, "\n\n%s", time_note);
    if (has_type(table, OPT_IGNORED))
        buf_puts(&b, "\n\n");
    put_ignored(&b, table);
    if (b.len > 0) {
        putchar('\n');
        wrap(stdout, b.data + 2, 0, 0);
    }
    buf_release(&b);
}

static void help_option(const struct opt_command *c, const struct opt *o)
{
    struct buf left = BUF_INIT, right = BUF_INIT;

    put_option(&left, c, o);
    buf_puts(&right, o->help);
    put_facts(&right, o, true);
    printf("  %-*s", COLUMN - 2, left.data);
    if (left.len > COLUMN - 4)
        printf("\n%*s", COLUMN, "");
    wrap(stdout, right.data, COLUMN, COLUMN);
    buf_release(&left);
    buf_release(&right);
}

static void help_text(const struct opt_command *c)
{
    opt_usage(c, "usage: ", stdout);
    putchar('\n');
    wrap(stdout, c->about, 0, 0);
    printf("\n%s:\n", c->listed ? "Options after -o (as in fstab)" : "Options");
    for (const struct opt *o = c->options; o->type != OPT_END; o++)
        if (o->type != OPT_IGNORED)
            help_option(c, o);
    help_notes(c->options);
}

/* {"name", "arg", "bare", "type", "default", "without", "required", "repeated", "help"}, see struct opt */
static json_t *option_json(const struct opt *o)
{
    static const char *const types[] = {
        [OPT_FLAG] = "flag", [OPT_STRING] = "string", [OPT_LIST] = "string", [OPT_INT] = "int",
        [OPT_SIZE] = "size", [OPT_DURATION] = "time", [OPT_MODE] = "mode",   [OPT_ENUM] = "enum",
    };
    struct buf help = BUF_INIT;
    json_t *j;

    buf_puts(&help, o->help);
    put_facts(&help, o, false);
    j = json_pack("{s:s, s:s?, s:b, s:s, s:s?, s:s?, s:b, s:b, s:s}", "name", o->name, "arg",
                  o->arg, "bare", o->bare != NULL, "type", types[o->type], "default",
                  o->type == OPT_FLAG ? NULL : o->def, "without", o->without, "required",
                  o->required, "repeated", o->type == OPT_LIST, "help", help.data);
    buf_release(&help);
    return j;
}

static void help_json(const struct opt_command *c)
{
    json_t *options = json_array(), *ignored = json_array(), *j;

    for (const struct opt *o = c->options; o->type != OPT_END; o++) {
        if (o->type == OPT_IGNORED)
            json_array_append_new(ignored, json_string(o->name));
        else
            json_array_append_new(options, option_json(o));
    }
    j = json_pack("{s:s, s:s?, s:s, s:b, s:o, s:o}", "name", c->name, "args", c->args, "about",
                  c->about, "listed", c->listed, "options", options, "ignored", ignored);
    json_dumpf(j, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(j);
}

void opt_help(const struct opt_command *c, enum opt_help form)
{
    if (form == OPT_HELP_JSON)
        help_json(c);
    else if (form == OPT_HELP_USAGE)
        opt_usage(c, "       ", stdout);
    else
        help_text(c);
}
