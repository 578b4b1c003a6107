/* SPDX-License-Identifier: MIT */
/*
 * visitors: writers on a mirror's tables, for tests of what an import does to them.
 *
 *     visitors DEFAULTS_FILE DATABASE WRITERS SEED PAUSE_US
 *
 * Each writer runs transactions of several statements over the tables v_0 … v_3 (id, k, u, t) and
 * v_child (id, pid) in random order until stdin ends; then the sum of all is printed as JSON:
 * transactions, errors by number, and the longest transaction in milliseconds. Writers keep to rows
 * of their own (id % WRITERS), so that they are never in each other's way: whatever fails, fails
 * because of somebody else.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sqlimport/server/server.h"

#define TABLES  4
#define ROWS    2000 /* of each table */
#define CODES   8
#define WRITERS 64

static volatile bool stop;

struct writer {
    const char *defaults, *database;
    int number, of;
    unsigned seed;
    int pause_us; /* between transactions, on average */
    pthread_t thread;
    long transactions;
    unsigned codes[CODES];
    long counts[CODES];
    double longest;
    char first[300]; /* error */
};

static int below(struct writer *w, int n)
{
    return rand_r(&w->seed) % n;
}

static int own_row(struct writer *w)
{
    return below(w, ROWS / w->of) * w->of + w->number + 1;
}

static void put_statement(struct writer *w, char *sql, size_t cap)
{
    int table = below(w, TABLES), id = own_row(w), other = own_row(w);

    switch (below(w, 8)) {
    case 0:
        snprintf(sql, cap, "SELECT * FROM v_%d WHERE id=%d FOR UPDATE", table, id);
        break;
    case 1: /* by the unique key, then the row */
        snprintf(sql, cap, "UPDATE v_%d SET t='%d' WHERE u=%d", table, rand_r(&w->seed), id);
        break;
    case 2: /* moves in the index on k */
        snprintf(sql, cap, "UPDATE v_%d SET k=k+1 WHERE id=%d", table, id);
        break;
    case 3: /* locks the parent's row */
        snprintf(sql, cap, "INSERT INTO v_child (pid) VALUES (%d)", id);
        break;
    case 4:
        snprintf(sql, cap, "SELECT * FROM v_%d WHERE id=%d LOCK IN SHARE MODE", table, id);
        break;
    default:
        snprintf(sql, cap, "UPDATE v_%d SET t='%d', k=%d WHERE id IN (%d,%d)", table,
                 rand_r(&w->seed), below(w, 50), id, other);
    }
}

static void note(struct writer *w, unsigned code, const char *text)
{
    int i = 0;

    if (!*w->first)
        snprintf(w->first, sizeof(w->first), "%u %s", code, text);
    while (i < CODES - 1 && w->codes[i] && w->codes[i] != code)
        i++;
    w->codes[i] = code;
    w->counts[i]++;
}

static double now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1000 + (double)ts.tv_nsec / 1e6;
}

static void transaction(struct writer *w, struct server *s)
{
    struct err e = {0};
    double begin = now();
    int n = 2 + below(w, 5), r = server_runf(s, &e, "START TRANSACTION");
    char sql[200];

    for (int i = 0; i < n && r == 0; i++) {
        put_statement(w, sql, sizeof(sql));
        r = server_run(s, sql, strlen(sql), &e);
        if (r == 0 && below(w, 4) == 0)
            usleep((useconds_t)below(w, 3000));
    }
    if (r < 0) {
        note(w, s->code, e.text);
        (void)server_runf(s, NULL, "ROLLBACK");
    } else if ((r = server_runf(s, &e, below(w, 10) ? "COMMIT" : "ROLLBACK")) < 0) {
        note(w, s->code, e.text);
    }
    w->transactions++;
    if (now() - begin > w->longest)
        w->longest = now() - begin;
}

static void *writer_run(void *arg)
{
    struct writer *w = arg;
    struct server *s = NULL;
    struct err e = {0};

    mysql_thread_init();
    if (server_open(w->defaults, &s, &e) < 0 || server_runf(s, &e, "USE %s", w->database) < 0 ||
        server_runf(s, &e,
                    "SET SESSION foreign_key_checks=1, unique_checks=1, lock_wait_timeout=20, "
                    "innodb_lock_wait_timeout=20") < 0)
        note(w, 1, e.text);
    while (!stop && s && s->code != 2006 && s->code != 2013) /* an error is counted, and on */
    {
        transaction(w, s);
        usleep((useconds_t)below(w, 2 * w->pause_us + 1));
    }
    server_close(s);
    mysql_thread_end();
    return NULL;
}

static void print_sum(const struct writer *w, int n)
{
    long transactions = 0, errors = 0;
    double longest = 0;
    const char *first = "";

    printf("{");
    for (int i = 0; i < n; i++) {
        transactions += w[i].transactions;
        longest = w[i].longest > longest ? w[i].longest : longest;
        if (*w[i].first && !*first)
            first = w[i].first;
        for (int k = 0; k < CODES; k++)
            errors += w[i].counts[k];
    }
    printf("\"transactions\": %ld, \"errors\": %ld, \"longest_ms\": %.0f, \"first\": \"",
           transactions, errors, longest);
    for (; *first; first++)
        putchar(*first == '"' || *first == '\\' ? '\'' : *first);
    printf("\"}\n");
}

int main(int argc, char **argv)
{
    static struct writer w[WRITERS];
    int n = argc == 6 ? atoi(argv[3]) : 0;

    if (n < 1 || n > WRITERS) {
        fprintf(stderr, "usage: visitors DEFAULTS_FILE DATABASE WRITERS SEED PAUSE_US\n");
        return 3;
    }
    for (int i = 0; i < n; i++) {
        w[i] = (struct writer){.defaults = argv[1], .database = argv[2], .number = i, .of = n};
        w[i].pause_us = atoi(argv[5]);
        w[i].seed = (unsigned)atoi(argv[4]) * 1000 + (unsigned)i;
        if (pthread_create(&w[i].thread, NULL, writer_run, &w[i]) != 0)
            abort();
    }
    while (getchar() != EOF)
        ;
    stop = true;
    for (int i = 0; i < n; i++)
        pthread_join(w[i].thread, NULL);
    print_sum(w, n);
    return 0;
}
