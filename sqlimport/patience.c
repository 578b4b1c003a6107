/* SPDX-License-Identifier: MIT */
#include "sqlimport/patience.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sqlimport/dump.h"
#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/file.h"

#define PAUSE_FIRST_MS  3
#define PAUSE_MAX_MS    100
#define SLICE_MS        10
#define REFUSED_MS      20000 /* this long no try waits */
#define WAIT_EVERY_MS   5000  /* and then one does, so often */
#define REPORT_FIRST_MS 1000
#define REPORT_EVERY_MS 15000
#define SHOWN           3

void patience_init(struct patience *w, struct server *s, int64_t patience_ms,
                   const volatile int *stop)
{
    w->s = s;
    w->begin_ms = clock_mono_ms();
    w->until_ms = w->begin_ms + patience_ms;
    w->pause_ms = PAUSE_FIRST_MS;
    w->wait_ms = w->begin_ms + REFUSED_MS;
    w->report_ms = w->begin_ms + REPORT_FIRST_MS;
    w->tries = 0;
    w->waits = false;
    w->stop = stop;
    if (s)
        (void)server_lock_wait(s, 0, NULL); /* on failure the first try reports it */
}

void patience_end(struct patience *w)
{
    if (w->s)
        (void)server_lock_wait(w->s, 1, NULL);
}

bool patience_again(struct patience *w)
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

bool patience_reports(struct patience *w)
{
    int64_t now = clock_mono_ms();

    if (now < w->report_ms)
        return false;
    w->report_ms = now + REPORT_EVERY_MS;
    return true;
}

int patience_age(const struct patience *w)
{
    return (int)((clock_mono_ms() - w->begin_ms) / 1000);
}

/*
 * Which connection holds a lock is told by plugins that are rarely there, so all that could are
 * listed: those in a transaction or statement on the database, the longest first. Of a statement
 * its first word only: the rest may hold somebody's address or password hash.
 */
char *patience_blockers(struct server *s, const char *database)
{
    char *text = server_text(database);
    struct buf b = BUF_INIT;
    MYSQL_RES *res;
    MYSQL_ROW row;
    int r = server_query(s, &res, NULL,
                         "SELECT p.ID, p.USER, p.HOST, p.TIME, "
                         "IFNULL(LEFT(SUBSTRING_INDEX(LTRIM(p.INFO), ' ', 1), 12), p.COMMAND)"
                         " FROM information_schema.PROCESSLIST p WHERE p.ID<>CONNECTION_ID() AND"
                         " p.DB=%s ORDER BY p.COMMAND='Sleep', p.TIME DESC LIMIT %d",
                         text, SHOWN);

    free(text);
    while (r == 0 && (row = mysql_fetch_row(res))) {
        char info[100];
        dump_excerpt(info, sizeof(info), row[4], strlen(row[4]));
        buf_printf(&b, "%sconnection %s of %s@%s, for %s s: %s", b.len ? "; " : "", row[0], row[1],
                   row[2], row[3], info);
    }
    if (r == 0)
        mysql_free_result(res);
    if (b.len == 0)
        buf_puts(&b, "no connection that this account sees (grant it PROCESS to see all)");
    return buf_detach(&b);
}
