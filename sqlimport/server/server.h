/* SPDX-License-Identifier: MIT */
/*
 * server: a connection to MySQL or MariaDB, by Connector/C. One thread at a time.
 *
 * User, password, socket, host and TLS come from the defaults file only. LOAD DATA LOCAL is off,
 * and so are several statements in one (except in server_query_many()) and automatic reconnection.
 * Every connection runs with foreign_key_checks, unique_checks and sql_notes off and an empty
 * sql_mode.
 */
#ifndef EEFS_SQLIMPORT_SERVER_SERVER_H
#define EEFS_SQLIMPORT_SERVER_SERVER_H

#include <mysql.h>
#include <stdbool.h>
#include <stdint.h>

#include "sqlimport/sql/session_vars.h"
#include "sync/common/err.h"

/* Bytes that the protocol adds to a statement, with room to spare: of packet_max. */
#define SERVER_PACKET_RESERVE 1024

struct server {
    MYSQL *my;
    unsigned code;       /* the server's number of the last error */
    uint64_t packet_max; /* max_allowed_packet */
    char *sql_mode;      /* of a new session */
    struct dialect dialect;
    int vars_id; /* setting made last by server_set_vars, -1 for none */
    char *
        agreed_mode; /* sql_mode of the dump that the server took as the dump was judged, or NULL */
    bool carries_rows; /* the statement sent last: its errors may quote values */
    bool cut;          /* by server_abandon() */
    int lock_wait;     /* seconds, see server_lock_wait(); 0: refused at once */
};

/* -ENOTCONN: not reachable or refuses connections (try again later); *ret untouched. */
int server_open(const char *defaults_file, struct server **ret, struct err *e);
void server_close(struct server *s);

/*
 * Runs one statement. -ENOTCONN: the connection is gone and the outcome may be unknown; -EAGAIN:
 * a lock is held by somebody else, or a deadlock; -ENOSPC; -EACCES: a privilege is missing; else
 * -EREMOTEIO.
 */
int server_run(struct server *s, const char *sql, size_t len, struct err *e);
int server_runf(struct server *s, struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The same in two steps: send, and await the result. In between the server works; no other call. */
int server_send(struct server *s, const char *sql, size_t len, struct err *e);
int server_await(struct server *s, struct err *e);
/* A query with rows; caller frees *ret with mysql_free_result. */
int server_query(struct server *s, MYSQL_RES **ret, struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/*
 * Queries with rows, divided by ';' and sent in one message; `take` gets the result of the ith
 * (from 0), which is freed behind it. *ret counts them, also on an error, which is that of the next
 * one: the server does not run what comes behind it.
 */
typedef void server_result_fn(void *arg, size_t i, MYSQL_RES *res);
int server_query_many(struct server *s, const char *sql, size_t len, server_result_fn *take,
                      void *arg, size_t *ret, struct err *e);
/* A query whose rows are fetched one by one as they arrive (mysql_use_result). At their end
 * server_stream_end() reports whether all came; server_abandon() gives up before: the connection is
 * cut and good for server_close() only. */
int server_stream(struct server *s, const char *sql, size_t len, MYSQL_RES **ret, struct err *e);
int server_stream_end(struct server *s, struct err *e);
void server_abandon(struct server *s, MYSQL_RES *res);
/* First column of the first row, malloc'd; NULL in *ret for no row or NULL. */
int server_value(struct server *s, char **ret, struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* SHOW CREATE TABLE of schema.table, malloc'd. */
int server_table_ddl(struct server *s, const char *schema, const char *table, char **ret,
                     struct err *e);
/* Begins a transaction: where the server can log it (a log of statements can not), without locks of
 * the gaps between rows, in which visitors could not insert. */
int server_begin(struct server *s, struct err *e);
/* Makes the settings `id` of the dump, when they are not already made, for what server_run(),
 * server_send() and server_stream() take. -EPERM: the server cuts text in another way under them
 * than the dump was judged by. */
int server_set_vars(struct server *s, const struct session_vars *v, int id, struct err *e);

/*
 * Sets how long statements wait for locks of tables and rows from here on. With 0 they are refused
 * at once (-EAGAIN) where the server can: MariaDB since 10.3, and by server_for_update() MySQL
 * since 8.0; elsewhere the least is 1. A connection that does not wait takes part in no deadlock,
 * so no visitor becomes its victim.
 */
int server_lock_wait(struct server *s, int seconds, struct err *e);
/* " FOR UPDATE", with NOWAIT where locks are to be refused and the server has it. */
const char *server_for_update(const struct server *s);

/* Ends the dump's settings: text that is formatted here, names above all, is in UTF-8.
 * server_runf(), server_query() and server_value() do it, too. */
int server_plain(struct server *s, struct err *e);

bool server_is_mariadb(const struct server *s);

/* malloc'd `name` with backticks, and 'text' as a string literal. */
char *server_name(const char *name);
char *server_text(const char *text);

#endif
