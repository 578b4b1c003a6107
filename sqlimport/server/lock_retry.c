/* SPDX-License-Identifier: MIT */
#include "sqlimport/server/lock_retry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/file.h"
#include "sync/common/printable.h"

#define PAUSE_FIRST_MS  3
#define PAUSE_MAX_MS    100
#define SLICE_MS        10
#define REFUSED_MS      20000 /* this long no try waits */
#define WAIT_EVERY_MS   5000  /* and then one does, so often */
#define REPORT_FIRST_MS 1000
#define REPORT_EVERY_MS 15000
#define SHOWN           3

void lock_retry_init(struct lock_retry *w, struct server *s, int64_t limit_ms,
                     const volatile int *stop)
{
    w->s = s;
    w->begin_ms = clock_mono_ms();
    w->until_ms = w->begin_ms + limit_ms;
    w->pause_ms = PAUSE_FIRST_MS;
    w->wait_ms = w->begin_ms + REFUSED_MS;
    w->report_ms = w->begin_ms + REPORT_FIRST_MS;
    w->tries = 0;
    w->waits = false;
    w->stop = stop;
    if (s)
        (void)server_lock_wait(s, 0, NULL); /* on failure the first try reports it */
}

void lock_retry_end(struct lock_retry *w)
{
    if (w->s)
        (void)server_lock_wait(w->s, 1, NULL);
}

bool lock_retry_again(struct lock_retry *w)
{
    uint16_t random;
    int64_t end;

    file_random(&random, sizeof(random));
    end = clock_mono_ms() + w->pause_ms / 2 + w->pause_ms * random / UINT16_MAX;
    w->pause_ms = w->pause_ms * 3 / 2 + 1 < PAUSE_MAX_MS ? w->pause_ms * 3 / 2 + 1 : PAUSE_MAX_MS;
    w->tries++;
    while (!*w->stop && clock_mono_ms() < end)
        usleep((useconds_t)(end - clock_mono_ms() < SLICE_MS ? 1000 : SLICE_MS * 1000));
    w->waits = clock_mono_ms() >= w->wait_ms;
    if (w->waits)
        w->wait_ms = clock_mono_ms() + WAIT_EVERY_MS;
    if (w->s)
        (void)server_lock_wait(w->s, w->waits ? 1 : 0, NULL);
    return !*w->stop && clock_mono_ms() < w->until_ms;
}

bool lock_retry_reports(struct lock_retry *w)
{
    int64_t now = clock_mono_ms();

    if (now < w->report_ms)
        return false;
    w->report_ms = now + REPORT_EVERY_MS;
    return true;
}

int lock_retry_age(const struct lock_retry *w)
{
    return (int)((clock_mono_ms() - w->begin_ms) / 1000);
}

bool lock_retry_holds(struct server *s, const char *database, const char *table)
{
    char *db, *name;
    int r;

    if (s->lock_wait != 0 || !server_is_mariadb(s) || mysql_get_server_version(s->my) < 100300)
        return false;
    db = server_name(database);
    name = server_name(table);
    r = server_runf(s, NULL, "RENAME TABLE %s.%s TO %s.%s", db, name, db, name);
    free(name);
    free(db);
    return r == -EAGAIN;
}

static const char *text_or(const char *text, const char *other)
{
    return text ? text : other;
}

static void put_connections(struct buf *b, MYSQL_RES *res)
{
    MYSQL_ROW row;

    while ((row = mysql_fetch_row(res))) {
        const char *statement = text_or(row[4], "");
        char info[100];
        printable_excerpt(info, sizeof(info), statement, strlen(statement));
        buf_printf(b, "%sconnection %s of %s@%s, %s for %s s: %s", b->len ? "; " : "", row[0],
                   text_or(row[1], "?"), text_or(row[2], "?"),
                   row[5] && *row[5] == '1' ? "in a transaction" : "in its state",
                   text_or(row[3], "?"), info);
    }
    mysql_free_result(res);
}

/*
 * Only plugins that are rarely installed show which connection holds a lock, so this lists all that
 * could: those in a transaction (InnoDB shows them to an account with PROCESS), the longest first,
 * then those on the database, then all others, for a statement may name the database.
 */
char *lock_retry_blockers(struct server *s, const char *database)
{
    char *text = server_text(database), *process = NULL;
    struct buf b = BUF_INIT;
    MYSQL_RES *res;
    int r = server_query(
        s, &res, NULL,
        "SELECT p.ID, p.USER, p.HOST, IF(t.trx_id IS NULL, p.TIME, TIMESTAMPDIFF(SECOND, "
        "t.trx_started, NOW())),"
        " IFNULL(LEFT(p.INFO, 80), p.COMMAND), t.trx_id IS NOT NULL FROM "
        "information_schema.PROCESSLIST p"
        " LEFT JOIN information_schema.INNODB_TRX t ON t.trx_mysql_thread_id=p.ID WHERE"
        " p.ID<>CONNECTION_ID() AND p.COMMAND NOT IN ('Daemon','Binlog "
        "Dump','Slave_IO','Slave_SQL') AND"
        " p.USER<>'system user' ORDER BY t.trx_id IS NULL, t.trx_started, p.DB<=>%s DESC,"
        " p.COMMAND='Sleep', p.TIME DESC LIMIT %d",
        text, SHOWN);

    if (r < 0) /* without PROCESS: the account's own connections, and no transactions */
        r = server_query(
            s, &res, NULL,
            "SELECT p.ID, p.USER, p.HOST, p.TIME, IFNULL(LEFT(p.INFO, 80), p.COMMAND), 0"
            " FROM information_schema.PROCESSLIST p WHERE p.ID<>CONNECTION_ID() ORDER BY"
            " p.DB<=>%s DESC, p.COMMAND='Sleep', p.TIME DESC LIMIT %d",
            text, SHOWN);
    if (r == 0)
        put_connections(&b, res);
    if (server_value(s, &process, NULL,
                     "SELECT 1 FROM information_schema.USER_PRIVILEGES WHERE "
                     "PRIVILEGE_TYPE='PROCESS' LIMIT 1") == 0 &&
        !process)
        buf_printf(&b,
                   "%sconnections of other accounts, which this account cannot see (GRANT PROCESS "
                   "ON *.* shows them)",
                   b.len ? "; or " : "");
    if (b.len == 0)
        buf_puts(&b, "no connection that this account sees");
    free(process);
    free(text);
    return buf_detach(&b);
}
