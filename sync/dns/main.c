/* SPDX-License-Identifier: MIT */
/*
 * eefs-dns: keeps the addresses of broken servers out of DNS.
 *
 *   main.c     options, and the loop: check, decide, update
 *   check.c    asks each server for its page (sync/proto/probe.c), all at the same time
 *   pool.c     who is down, who is overloaded, what is published
 *   update.c   nsupdate, or the admin's command
 *
 * It publishes first after as many checks as make a server down, so that what it does not know yet
 * changes nothing; then whenever the set changes, and every few minutes again, for somebody else may
 * have changed it. When it ends DNS stays as it is.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sync/common/clock.h"
#include "sync/common/log.h"
#include "sync/common/opt.h"
#include "sync/dns/check.h"
#include "sync/dns/pool.h"
#include "sync/dns/update.h"

static struct options {
    char *name, *url, *expect, *cafile, *key, *update_server, *zone, *command, *config;
    struct strlist servers;
    int64_t every_ms, timeout_ms, refresh_ms, down, up, ttl;
    bool dry_run, once;
} o;

static const struct opt table[] = {
    {.type = OPT_STRING,
     .name = "name",
     .arg = "NAME",
     .at = offsetof(struct options, name),
     .required = true,
     .help = "the name whose A and AAAA records are kept right; no other name is touched"},
    {.type = OPT_LIST,
     .name = "server",
     .arg = "ADDRESS",
     .at = offsetof(struct options, servers),
     .required = true,
     .help = "the address of a server of the pool"},
    {.type = OPT_STRING,
     .name = "url",
     .arg = "URL",
     .at = offsetof(struct options, url),
     .without = "https://NAME/healthz",
     .help = "the page that each server is asked for, by its address, with the URL's name as Host "
             "and SNI"},
    {.type = OPT_STRING,
     .name = "expect",
     .arg = "TEXT",
     .at = offsetof(struct options, expect),
     .help = "a text that the page must have"},
    {.type = OPT_STRING,
     .name = "cafile",
     .arg = "FILE",
     .at = offsetof(struct options, cafile),
     .without = "the system's",
     .help = "a PEM file of the authorities that may sign the servers' certificate"},
    {.type = OPT_DURATION,
     .name = "every",
     .arg = "TIME",
     .at = offsetof(struct options, every_ms),
     .def = "1s",
     .min = 100,
     .max = 3600000,
     .help = "the time between two checks of a server"},
    {.type = OPT_DURATION,
     .name = "timeout",
     .arg = "TIME",
     .at = offsetof(struct options, timeout_ms),
     .def = "3s",
     .min = 10,
     .max = 600000,
     .help = "the longest time that a page may take"},
    {.type = OPT_INT,
     .name = "down",
     .arg = "N",
     .at = offsetof(struct options, down),
     .def = "3",
     .min = 1,
     .max = 1000,
     .help = "a server is down after this many failed checks in a row"},
    {.type = OPT_INT,
     .name = "up",
     .arg = "N",
     .at = offsetof(struct options, up),
     .def = "5",
     .min = 1,
     .max = 1000,
     .help = "it is up again after this many good ones"},
    {.type = OPT_INT,
     .name = "ttl",
     .arg = "SECONDS",
     .at = offsetof(struct options, ttl),
     .def = "60",
     .min = 0,
     .max = 86400,
     .help = "how long resolvers keep the records"},
    {.type = OPT_DURATION,
     .name = "refresh",
     .arg = "TIME",
     .at = offsetof(struct options, refresh_ms),
     .def = "5min",
     .min = 1000,
     .max = 86400000,
     .help = "publish an unchanged set again after this time"},
    {.type = OPT_STRING,
     .name = "key",
     .arg = "FILE",
     .at = offsetof(struct options, key),
     .help = "publish by 'nsupdate -k FILE': a TSIG key that should be allowed to change this name "
             "only"},
    {.type = OPT_STRING,
     .name = "update-server",
     .arg = "HOST[:PORT]",
     .at = offsetof(struct options, update_server),
     .without = "the zone's primary",
     .help = "with --key: the name server that takes the updates"},
    {.type = OPT_STRING,
     .name = "zone",
     .arg = "ZONE",
     .at = offsetof(struct options, zone),
     .without = "found by nsupdate",
     .help = "with --key: the zone of the name"},
    {.type = OPT_STRING,
     .name = "command",
     .arg = "COMMAND",
     .at = offsetof(struct options, command),
     .help = "publish by this shell command, such as a client of a registrar; it gets EEFS_NAME, "
             "EEFS_TTL and EEFS_ADDRESSES (separated by blanks)"},
    {.type = OPT_FLAG,
     .name = "dry-run",
     .at = offsetof(struct options, dry_run),
     .help = "print what would be published instead"},
    {.type = OPT_FLAG,
     .name = "once",
     .at = offsetof(struct options, once),
     .help = "check as often as makes a server down, publish, and end"},
    {.type = OPT_STRING,
     .name = "config",
     .arg = "FILE",
     .at = offsetof(struct options, config),
     .help = "a file with more of these options, one 'name = value' per line; the command line "
             "takes precedence"},
    {0},
};

static const struct opt_command command = {
    .name = "eefs-dns",
    .about = "Checks the servers of a name and keeps its A and AAAA records those of the servers "
             "that are well. When none is well all are published. Several may run for one name.\n\n"
             "Exit code with --once: 0 all are up, 1 some are down, 2 none is up, 3 not published.",
    .options = table,
};

static volatile int stopping; /* set by a signal */

static void on_signal(int sig)
{
    (void)sig;
    stopping = 1;
}

/* What was published last. */
struct published {
    struct buf text;
    int64_t at; /* mono ms; 0: nothing yet */
};

static int parse(int argc, char **argv, enum opt_help *help, struct err *e)
{
    char **copy = xcalloc((size_t)argc + 1, sizeof(*copy));
    int nargs = 0, r;

    opt_defaults(table, &o);
    memcpy(copy, argv, (size_t)argc * sizeof(*copy));
    r = opt_argv(table, &o, argc, copy, &nargs, help, e);
    if (r == 0 && nargs > 0)
        r = err_set(e, EINVAL, "unexpected argument '%s'", copy[0]);
    if (r == 0 && o.config && !*help) {
        strlist_release(&o.servers);
        r = opt_file(table, &o, o.config, e);
        memcpy(copy, argv, (size_t)argc * sizeof(*copy));
        r = r < 0 ? r : opt_argv(table, &o, argc, copy, &nargs, help, e);
    }
    free(copy);
    return r;
}

/* HOST:PORT as nsupdate has it, in place: "HOST PORT". */
static int check_update_server(char *text, struct err *e)
{
    size_t n = strlen(text), plain = strspn(text, "abcdefghijklmnopqrstuvwxyz"
                                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:");
    char *colon = strrchr(text, ':');

    if (plain != n)
        return err_set(e, EINVAL, "--update-server is HOST or HOST:PORT, not '%s'", text);
    if (colon && strchr(text, ':') == colon) /* not an IPv6 address */
        *colon = ' ';
    return 0;
}

static int check_options(struct err *e)
{
    int r = opt_required(table, &o, e);

    if (r == 0)
        r = update_check_name("--name", o.name, e);
    if (r == 0 && o.zone)
        r = update_check_name("--zone", o.zone, e);
    if (r == 0 && o.update_server)
        r = check_update_server(o.update_server, e);
    if (r == 0 && !o.key == !o.command && !(o.dry_run && !o.key))
        r = err_set(e, EINVAL, "give --key FILE or --command COMMAND, and not both");
    if (r == 0 && (o.update_server || o.zone) && !o.key)
        r = err_set(e, EINVAL, "--update-server and --zone need --key");
    if (!o.url && o.name)
        o.url = xasprintf("https://%s/healthz", o.name);
    return r;
}

/* 0, or 3 when it could not be published. */
static int publish(const struct update *u, const struct pool *p, struct published *last)
{
    bool *published = xcalloc(p->n + 1, sizeof(*published));
    size_t up = pool_publish(p, published);
    struct buf text = BUF_INIT;
    bool changed;
    struct err e = {0};
    int r = 0;

    update_text(u, p, published, &text);
    changed = !last->at || text.len != last->text.len ||
              memcmp(text.data, last->text.data, text.len) != 0;
    if (changed || clock_mono_ms() >= last->at + o.refresh_ms) {
        if (changed && up == 0)
            log_error("no server of %s is up: publishing all", u->name);
        if (o.dry_run)
            printf("%s%s", text.data, u->command ? "\n" : ""), fflush(stdout);
        else
            r = update_run(u, text.data, &stopping, &e);
        if (r < 0) {
            log_error("cannot publish: %s", e.text);
        } else {
            buf_clear(&last->text);
            buf_append(&last->text, text.data, text.len);
            last->at = clock_mono_ms() | 1;
            if (changed && !o.dry_run)
                log_info("published %s", u->name);
        }
    }
    buf_release(&text);
    free(published);
    return r < 0 ? 3 : 0;
}

static void rest(int64_t until)
{
    while (!stopping && clock_mono_ms() < until) {
        int64_t ms = until - clock_mono_ms();
        const struct timespec pause = {0, (ms < 200 ? ms > 0 ? ms : 1 : 200) * 1000000};

        nanosleep(&pause, NULL);
    }
}

static int verdict(const struct pool *p)
{
    size_t up = 0;

    for (size_t i = 0; i < p->n; i++)
        up += p->v[i].up;
    return up == p->n ? 0 : up > 0 ? 1 : 2;
}

static int run(struct pool *p)
{
    const struct probe how = {
        .url = o.url, .expect = o.expect, .cafile = o.cafile, .timeout_ms = o.timeout_ms};
    const struct update u = {.name = o.name,
                             .ttl = o.ttl,
                             .key = o.key,
                             .server = o.update_server,
                             .zone = o.zone,
                             .command = o.command};
    struct published last = {BUF_INIT, 0};
    int r = 0;

    for (int64_t round = 1; !stopping; round++) {
        int64_t begin = clock_mono_ms();

        check_all(p, &how);
        if (round >= o.down && !stopping)
            r = publish(&u, p, &last);
        if (o.once && round >= o.down)
            break;
        rest(begin + o.every_ms);
    }
    buf_release(&last.text);
    return !o.once ? 0 : r ? r : verdict(p);
}

int main(int argc, char **argv)
{
    const struct sigaction act = {.sa_handler = on_signal};
    enum opt_help help = OPT_HELP_NONE;
    struct pool pool = {0};
    struct err e = {0};
    int r;

    log_init("eefs-dns", LOG_LEVEL_INFO);
    r = parse(argc, argv, &help, &e);
    if (r == 0 && help) {
        opt_help(&command, help);
        return 0;
    }
    if (r == 0)
        r = check_options(&e);
    if (r == 0)
        r = pool_init(&pool, o.servers.v, o.servers.n, o.down, o.up, &e);
    if (r < 0) {
        log_error("%s", e.text);
        return 3;
    }
    sigaction(SIGTERM, &act, NULL);
    sigaction(SIGINT, &act, NULL);
    r = run(&pool);
    pool_release(&pool);
    return r;
}
