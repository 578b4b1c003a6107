/* SPDX-License-Identifier: MIT */
/*
 * failed() makes an errno of the server's error number: is the connection gone, a lock held, the
 * disk full, a right missing, or none of these.
 *
 * The session has either the dump's settings (server_set_vars(), for statements of the dump) or
 * plain ones (server_plain(), for all that is formatted here); vars_id remembers which, so that SET
 * is sent only when they change. The dialect is found by asking the server which versioned comments
 * it reads, by halving.
 */
#include "sqlimport/server/server.h"

#include <errmsg.h>
#include <errno.h>
#include <mysqld_error.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sqlimport/sql/redact.h"
#include "sync/common/buf.h"

/* Errors that carry the one of the operating system. */
static bool is_full_disk(const char *text)
{
    return strstr(text, "rrno: 28 ") || strstr(text, "rrcode: 28 ") || strstr(text, "error 28 ");
}

static int failed(struct server *s, struct err *e)
{
    char text[600];
    int code;

    s->code = mysql_errno(s->my);
    switch (s->code) {
    case CR_SERVER_GONE_ERROR:
    case CR_SERVER_LOST:
    case CR_CONNECTION_ERROR:
    case CR_CONN_HOST_ERROR:
    case ER_SERVER_SHUTDOWN:
    case 1927: /* ER_CONNECTION_KILLED */
        code = ENOTCONN;
        break;
    case ER_LOCK_WAIT_TIMEOUT:
    case ER_LOCK_DEADLOCK:
    case ER_QUERY_INTERRUPTED: /* by KILL QUERY, or as it took too long */
    case ER_STATEMENT_TIMEOUT:
    case ER_CHECKREAD: /* innodb_snapshot_isolation: a row changed since the transaction's view */
    case 3572:         /* ER_LOCK_NOWAIT of MySQL */
        code = EAGAIN;
        break;
    case ER_DISK_FULL:
    case ER_RECORD_FILE_FULL:
    case 1878: /* ER_TEMP_FILE_WRITE_FAILURE: a key is sorted in the server's tmpdir */
        code = ENOSPC;
        break;
    case ER_DBACCESS_DENIED_ERROR:
    case ER_TABLEACCESS_DENIED_ERROR:
    case ER_SPECIFIC_ACCESS_DENIED_ERROR:
        code = EACCES;
        break;
    default:
        code = is_full_disk(mysql_error(s->my)) ? ENOSPC : EREMOTEIO;
    }
    redact(s->code, s->carries_rows, mysql_error(s->my), text, sizeof(text));
    return err_set(e, code, "error %u: %s", s->code, text);
}

/* Switches off what the defaults file may have switched on. */
static int restrain(struct server *s, struct err *e)
{
    unsigned local = 0;
    my_bool again = 0;

    mysql_options(s->my, MYSQL_OPT_LOCAL_INFILE, &local);
    mysql_options(s->my, MYSQL_OPT_RECONNECT, &again);
    return mysql_set_server_option(s->my, MYSQL_OPTION_MULTI_STATEMENTS_OFF) != 0 ? failed(s, e)
                                                                                  : 0;
}

/* True: a versioned comment of this number is read. */
static int reads_comment(struct server *s, const char *opener, unsigned version, bool *ret,
                         struct err *e)
{
    char *text = NULL;
    int r = server_value(s, &text, e, "SELECT 1%s%05u +1 */", opener, version);

    *ret = text && *text == '2';
    free(text);
    return r;
}

/* Is it MariaDB, and does it read comments of its own version, and not of the next one? */
static int ask_version(struct server *s, unsigned said, bool *ret_mariadb, bool *ret_agrees,
                       struct err *e)
{
    char *text = NULL;
    int r = server_value(s, &text, e,
                         "SELECT CONCAT(1/*M!50000 +1 */, 1/*M!%05u +1 */, 1/*M!%05u +1 */, "
                         "1/*!%05u +1 */, 1/*!%05u +1 */)",
                         said, said + 1, said, said + 1);

    if (r == 0 && text && strlen(text) == 5) {
        *ret_mariadb = text[0] == '2';
        *ret_agrees = strncmp(text + (*ret_mariadb ? 1 : 3), "21", 2) == 0;
    }
    free(text);
    return r;
}

/*
 * Asks the server which comments it reads, for its name and version can be configured. The version
 * is the one that it gives, if its comments agree, and is searched for otherwise.
 */
static int learn_dialect(struct server *s, struct err *e)
{
    struct dialect *d = &s->dialect;
    unsigned low = 50000, high = 999998, said = (unsigned)mysql_get_server_version(s->my);
    const char *opener;
    bool agrees = false, is;
    int r = ask_version(s, said, &d->mariadb, &agrees, e);

    opener = d->mariadb ? "/*M!" : "/*!";
    if (!d->mariadb)
        high = 99998;
    if (agrees && said > low && said < high)
        low = high = said;
    while (r == 0 && low < high) { /* low is read, high + 1 is not */
        unsigned middle = low + (high - low + 1) / 2;
        r = reads_comment(s, opener, middle, &is, e);
        low = is ? middle : low;
        high = is ? high : middle - 1;
    }
    d->version = low;
    return r;
}

static int prepare(struct server *s, struct err *e)
{
    MYSQL_RES *res;
    MYSQL_ROW row;
    int r = restrain(s, e);

    if (r == 0)
        r = server_runf(s, e,
                        "SET SESSION sql_mode='', foreign_key_checks=0, unique_checks=0, "
                        "sql_notes=0, lock_wait_timeout=60, time_zone='SYSTEM'");
    if (r == 0)
        r = learn_dialect(s, e);
    if (r == 0)
        r = server_query(s, &res, e, "SELECT @@GLOBAL.sql_mode, @@max_allowed_packet");
    if (r < 0)
        return r;
    row = mysql_fetch_row(res);
    s->sql_mode = row && row[0] ? xstrdup(row[0]) : NULL;
    s->dialect.sql_mode = s->sql_mode;
    s->packet_max = row && row[1] ? strtoull(row[1], NULL, 10) : 1 << 20;
    mysql_free_result(res);
    /* MySQL 8 answers table times from a cache otherwise; other servers do not know it. */
    if (!server_is_mariadb(s))
        server_runf(s, NULL, "SET SESSION information_schema_stats_expiry=0");
    return r;
}

int server_open(const char *defaults_file, struct server **ret, struct err *e)
{
    struct server *s;
    unsigned local = 0, timeout = 10, patience = 900; /* seconds; no statement takes that long */
    int r;

    if (access(defaults_file, R_OK) < 0)
        return err_sys(e, errno, "cannot read the defaults file '%s'", defaults_file);
    s = xcalloc(1, sizeof(*s));
    s->vars_id = -1;
    s->lock_wait = -1;
    s->my = mysql_init(NULL);
    if (!s->my)
        abort();
    mysql_options(s->my, MYSQL_READ_DEFAULT_FILE, defaults_file);
    mysql_options(s->my, MYSQL_READ_DEFAULT_GROUP, "eefs-sqlimport");
    mysql_options(s->my, MYSQL_OPT_CONNECT_TIMEOUT, &timeout);
    mysql_options(s->my, MYSQL_OPT_READ_TIMEOUT, &patience);
    mysql_options(s->my, MYSQL_OPT_WRITE_TIMEOUT, &patience);
    mysql_options(s->my, MYSQL_OPT_LOCAL_INFILE, &local);
    mysql_options(s->my, MYSQL_SET_CHARSET_NAME, "utf8mb4");
    if (!mysql_real_connect(s->my, NULL, NULL, NULL, NULL, 0, NULL, 0)) {
        r = err_set(e, ENOTCONN, "cannot connect to the database server: error %u: %s",
                    mysql_errno(s->my), mysql_error(s->my));
        server_close(s);
        return r;
    }
    r = prepare(s, e);
    if (r < 0) {
        server_close(s);
        return r;
    }
    *ret = s;
    return 0;
}

void server_close(struct server *s)
{
    if (!s)
        return;
    mysql_close(s->my);
    free(s->sql_mode);
    free(s->agreed_mode);
    free(s);
}

int server_send(struct server *s, const char *sql, size_t len, struct err *e)
{
    s->carries_rows = redact_carries_rows(sql, len);
    return mysql_send_query(s->my, sql, (unsigned long)len) != 0 ? failed(s, e) : 0;
}

int server_await(struct server *s, struct err *e)
{
    MYSQL_RES *res;

    if (mysql_read_query_result(s->my) != 0)
        return failed(s, e);
    res = mysql_store_result(s->my);
    if (res)
        mysql_free_result(res);
    return 0;
}

int server_run(struct server *s, const char *sql, size_t len, struct err *e)
{
    int r = server_send(s, sql, len, e);

    return r < 0 ? r : server_await(s, e);
}

int server_plain(struct server *s, struct err *e)
{
    static const char sql[] = "SET NAMES utf8mb4, sql_mode='', time_zone='SYSTEM'";

    if (s->vars_id == -1)
        return 0;
    s->vars_id = -1;
    return server_run(s, sql, strlen(sql), e);
}

int server_runf(struct server *s, struct err *e, const char *fmt, ...)
{
    struct buf b = BUF_INIT;
    va_list ap;
    int r = server_plain(s, e);

    va_start(ap, fmt);
    buf_vprintf(&b, fmt, ap);
    va_end(ap);
    if (r == 0)
        r = server_run(s, b.data, b.len, e);
    buf_release(&b);
    return r;
}

static int vquery(struct server *s, MYSQL_RES **ret, struct err *e, const char *fmt, va_list ap)
    __attribute__((format(printf, 4, 0)));
static int vquery(struct server *s, MYSQL_RES **ret, struct err *e, const char *fmt, va_list ap)
{
    struct buf b = BUF_INIT;
    MYSQL_RES *res = NULL;
    int r = server_plain(s, e);

    if (r < 0)
        return r;
    buf_vprintf(&b, fmt, ap);
    s->carries_rows = false;
    if (mysql_real_query(s->my, b.data, (unsigned long)b.len) != 0 ||
        !(res = mysql_store_result(s->my)))
        r = failed(s, e);
    else
        *ret = res;
    buf_release(&b);
    return r;
}

int server_query(struct server *s, MYSQL_RES **ret, struct err *e, const char *fmt, ...)
{
    va_list ap;
    int r;

    va_start(ap, fmt);
    r = vquery(s, ret, e, fmt, ap);
    va_end(ap);
    return r;
}

/* The results of a message of several statements; *ret counts them. */
static int take_results(struct server *s, server_result_fn *take, void *arg, size_t *ret,
                        struct err *e)
{
    int next;

    do {
        MYSQL_RES *res = mysql_store_result(s->my);
        if (!res)
            return failed(s, e);
        take(arg, (*ret)++, res);
        mysql_free_result(res);
        next = mysql_next_result(s->my);
    } while (next == 0);
    return next > 0 ? failed(s, e) : 0;
}

int server_query_many(struct server *s, const char *sql, size_t len, server_result_fn *take,
                      void *arg, size_t *ret, struct err *e)
{
    int r = server_plain(s, e);

    *ret = 0;
    if (r < 0)
        return r;
    s->carries_rows = false;
    if (mysql_set_server_option(s->my, MYSQL_OPTION_MULTI_STATEMENTS_ON) != 0)
        return failed(s, e);
    r = mysql_real_query(s->my, sql, (unsigned long)len) != 0 ? failed(s, e)
                                                              : take_results(s, take, arg, ret, e);
    if (r != -ENOTCONN && mysql_set_server_option(s->my, MYSQL_OPTION_MULTI_STATEMENTS_OFF) != 0)
        r = failed(s, e);
    return r;
}

int server_stream(struct server *s, const char *sql, size_t len, MYSQL_RES **ret, struct err *e)
{
    MYSQL_RES *res;

    s->carries_rows = true; /* keys of rows */
    if (mysql_real_query(s->my, sql, (unsigned long)len) != 0 || !(res = mysql_use_result(s->my)))
        return failed(s, e);
    *ret = res;
    return 0;
}

int server_stream_end(struct server *s, struct err *e)
{
    return mysql_errno(s->my) ? failed(s, e) : 0;
}

void server_abandon(struct server *s, MYSQL_RES *res)
{
    mariadb_cancel(s->my);
    mysql_free_result(res);
    s->cut = true;
}

int server_value(struct server *s, char **ret, struct err *e, const char *fmt, ...)
{
    MYSQL_RES *res;
    MYSQL_ROW row;
    va_list ap;
    int r;

    va_start(ap, fmt);
    r = vquery(s, &res, e, fmt, ap);
    va_end(ap);
    if (r < 0)
        return r;
    row = mysql_fetch_row(res);
    *ret = row && row[0] ? xstrdup(row[0]) : NULL;
    mysql_free_result(res);
    return 0;
}

int server_table_ddl(struct server *s, const char *schema, const char *table, char **ret,
                     struct err *e)
{
    char *db = server_name(schema), *name = server_name(table);
    MYSQL_RES *res = NULL;
    MYSQL_ROW row;
    int r = server_query(s, &res, e, "SHOW CREATE TABLE %s.%s", db, name);

    free(db);
    free(name);
    if (r < 0)
        return r;
    row = mysql_fetch_row(res);
    if (row && row[1])
        *ret = xstrdup(row[1]);
    else
        r = err_set(e, EREMOTEIO, "the server does not show the definition of table '%s'", table);
    mysql_free_result(res);
    return r;
}

int server_begin(struct server *s, struct err *e)
{
    char *text = NULL;
    int r = server_value(s, &text, e, "SELECT @@log_bin=0 OR @@SESSION.binlog_format<>'STATEMENT'");

    if (r == 0 && text && *text == '1')
        r = server_runf(s, e, "SET TRANSACTION ISOLATION LEVEL READ COMMITTED");
    free(text);
    return r < 0 ? r : server_runf(s, e, "START TRANSACTION");
}

/* One sql_mode is always turned into the same, so each is looked at once. */
static int check_mode(struct server *s, const struct session_vars *v, int id, const char *sql,
                      struct err *e)
{
    const char *mode = session_vars_sql_mode(v, id);
    char *modes = NULL;
    int r;

    if (s->agreed_mode && strcmp(s->agreed_mode, mode) == 0)
        return 0;
    r = server_value(s, &modes, e, "SELECT @@sql_mode");
    if (r == 0 && !session_vars_mode_agrees(v, id, modes ? modes : ""))
        r = err_set(e, EPERM,
                    "the server turns the dump's sql_mode into '%.200s' ('%.200s'), under which it "
                    "reads text in another way",
                    modes ? modes : "", sql);
    if (r == 0) {
        free(s->agreed_mode);
        s->agreed_mode = xstrdup(mode);
    }
    free(modes);
    return r;
}

int server_set_vars(struct server *s, const struct session_vars *v, int id, struct err *e)
{
    char *sql;
    int r;

    if (s->vars_id == id)
        return 0;
    s->vars_id = -1; /* also for the question below */
    sql = session_vars_sql(v, id);
    r = server_run(s, sql, strlen(sql), e);
    if (r == 0)
        r = check_mode(s, v, id, sql, e);
    free(sql);
    s->vars_id = r == 0 ? id : -1;
    return r;
}

/* Outside strict mode, a value that is too small becomes the least one. */
int server_lock_wait(struct server *s, int seconds, struct err *e)
{
    int r = 0;

    if (s->lock_wait != seconds)
        r = server_runf(s, e, "SET SESSION lock_wait_timeout=%d, innodb_lock_wait_timeout=%d",
                        seconds, seconds);
    s->lock_wait = r == 0 ? seconds : -1;
    return r;
}

const char *server_for_update(const struct server *s)
{
    bool mysql8 = !server_is_mariadb(s) && mysql_get_server_version(s->my) >= 80001;

    return s->lock_wait == 0 && mysql8 ? " FOR UPDATE NOWAIT" : " FOR UPDATE";
}

bool server_is_mariadb(const struct server *s)
{
    return s->dialect.mariadb;
}

static char *quoted(const char *text, char q)
{
    struct buf b = BUF_INIT;

    buf_putc(&b, q);
    for (; *text; text++) {
        if (*text == q || (*text == '\\' && q == '\''))
            buf_putc(&b, *text);
        buf_putc(&b, *text);
    }
    buf_putc(&b, q);
    return buf_detach(&b);
}

char *server_name(const char *name)
{
    return quoted(name, '`');
}

char *server_text(const char *text)
{
    return quoted(text, '\'');
}
