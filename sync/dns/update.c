/* SPDX-License-Identifier: MIT */
#include "sync/dns/update.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "sync/common/subprocess.h"

#define UPDATE_MS 30000
#define NAME_LEN  253 /* RFC 1035, without the last dot */
#define LABEL_LEN 63

/* What it reads comes by a variable, so that nothing in it is a word of the shell. */
static const char nsupdate[] = "printf '%s' \"$EEFS_UPDATE\" | nsupdate -t 20 -k \"$EEFS_KEY\"";

int update_check_name(const char *option, const char *name, struct err *e)
{
    size_t label = 0, n = strlen(name);
    bool good = n > 0 && n <= NAME_LEN && *name != '.';

    for (const char *c = name; *c && good; c++) {
        label = *c == '.' ? 0 : label + 1;
        good = *c == '.' ? c[1] != '.' : isalnum((unsigned char)*c) || *c == '-' || *c == '_';
        good &= label <= LABEL_LEN;
    }
    return good ? 0 : err_set(e, EINVAL, "%s: '%s' is not a host name", option, name);
}

static void put_records(const struct update *u, const struct pool *p, const bool *published,
                        bool ipv6, struct buf *out)
{
    const char *type = ipv6 ? "AAAA" : "A";
    bool any = false;

    for (size_t i = 0; i < p->n; i++)
        any |= p->v[i].ipv6 == ipv6;
    if (any)
        buf_printf(out, "update delete %s %s\n", u->name, type);
    for (size_t i = 0; i < p->n; i++)
        if (published[i] && p->v[i].ipv6 == ipv6)
            buf_printf(out, "update add %s %lld %s %s\n", u->name, (long long)u->ttl, type,
                       p->v[i].address);
}

void update_text(const struct update *u, const struct pool *p, const bool *published,
                 struct buf *out)
{
    const char *sep = "";

    if (u->command) {
        for (size_t i = 0; i < p->n; i++) {
            if (!published[i])
                continue;
            buf_printf(out, "%s%s", sep, p->v[i].address);
            sep = " ";
        }
        return;
    }
    if (u->server)
        buf_printf(out, "server %s\n", u->server);
    if (u->zone)
        buf_printf(out, "zone %s\n", u->zone);
    put_records(u, p, published, false, out);
    put_records(u, p, published, true, out);
    buf_puts(out, "send\n");
}

int update_run(const struct update *u, const char *text, const volatile int *stop, struct err *e)
{
    char *name = xasprintf("EEFS_NAME=%s", u->name);
    char *ttl = xasprintf("EEFS_TTL=%lld", (long long)u->ttl);
    char *what = xasprintf("%s=%s", u->command ? "EEFS_ADDRESSES" : "EEFS_UPDATE", text);
    char *key = xasprintf("EEFS_KEY=%s", u->key ? u->key : "");
    const char *variables[] = {name, ttl, what, key, NULL};
    const struct subprocess s = {.command = u->command ? u->command : nsupdate,
                                 .variables = variables};
    const char *program = u->command ? u->command : "nsupdate";
    int status = 0, r = subprocess_start(&s);

    if (r >= 0)
        r = subprocess_wait(r, UPDATE_MS, true, stop, &status);
    if (r < 0)
        err_sys(e, -r, "cannot run '%s'", program);
    else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        r = err_set(e, EIO, "'%s' failed with %s %d; what it said is above", program,
                    WIFEXITED(status) ? "exit code" : "signal",
                    WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    free(name);
    free(ttl);
    free(what);
    free(key);
    return r;
}
