/* SPDX-License-Identifier: MIT */
#include "sync/master/db/rebuild.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/file.h"
#include "sync/common/log.h"
#include "sync/common/seal.h"
#include "sync/common/trouble.h"
#include "sync/master/db/registry_copy.h"
#include "sync/master/db/schema.h"
#include "sync/master/db/tree.h"

#define GAP 1000 /* between the last number that was read and the first new one */

/* Reads a table of the damaged database from both ends until a page cannot be read. */
static int64_t take_table(struct db *to, struct db *from, const char *table, const char *columns,
                          const char *key)
{
    static const char *const orders[] = {"ASC", "DESC"};
    int64_t n = 0;

    for (int way = 0; way < 2; way++) {
        char *read =
            xasprintf("SELECT %s FROM %s ORDER BY %s %s", columns, table, key, orders[way]);
        struct buf write = BUF_INIT;
        sqlite3_stmt *in = NULL, *out = NULL;
        int rc = SQLITE_DONE;

        if (sqlite3_prepare_v2(db_handle(from), read, -1, &in, NULL) == SQLITE_OK) {
            buf_printf(&write, "INSERT OR IGNORE INTO %s(%s) VALUES(", table, columns);
            for (int i = 0; i < sqlite3_column_count(in); i++)
                buf_puts(&write, i ? ",?" : "?");
            buf_puts(&write, ")");
            sqlite3_prepare_v2(db_handle(to), write.data, -1, &out, NULL);
        }
        while (out && (rc = sqlite3_step(in)) == SQLITE_ROW) {
            for (int i = 0; i < sqlite3_column_count(in); i++)
                sqlite3_bind_value(out, i + 1, sqlite3_column_value(in, i));
            if (sqlite3_step(out) == SQLITE_DONE)
                n += sqlite3_changes(db_handle(to));
            sqlite3_reset(out);
        }
        sqlite3_finalize(in);
        sqlite3_finalize(out);
        buf_release(&write);
        free(read);
        if (out && rc == SQLITE_DONE)
            break; /* all of it was read */
    }
    return n;
}

/* The highest number that the damaged database is known to have given out. */
static int64_t last_seq(struct db *from, struct db *to)
{
    int64_t best = 0, n = 0;

    if (tree_last_seq(from, &n) == 0 && n > best)
        best = n;
    if (db_get_int(from, 0, &n, "SELECT max(last) FROM timeline", "") == 0 && n > best)
        best = n;
    if (db_get_int(to, 0, &n, "SELECT max(until) FROM version", "") == 0 && n > best)
        best = n;
    return best;
}

struct taken {
    int64_t seq, versions, mirrors;
};

static void take_from(struct db *to, const char *path, struct taken *t)
{
    struct db *from = NULL;
    int64_t seq;

    if (db_open(path, DB_SEALED | DB_READ_ONLY, &from, NULL) == 0 && db_begin(to) == 0) {
        take_table(to, from, "meta", "key,value", "key");
        t->mirrors +=
            take_table(to, from, "mirror", "name,token,read,write,scopegen,url,made", "name");
        take_table(to, from, "outbox", "mirror,id,n,digest,answer", "mirror,id,n");
        t->versions += take_table(to, from, "version",
                                  "dir,name,seq,size,mtime,mode,hash,until,ended", "dir,name,seq");
        take_table(to, from, "kept", "hash,size,at", "hash");
        seq = last_seq(from, to);
        if (seq > t->seq)
            t->seq = seq;
        db_commit(to);
    }
    db_close(from);
}

/* First from the log's frames behind a damaged one, then from the rows that SQLite reads. */
static void take_over(struct db *to, const char *damaged)
{
    static const char *const ends[] = {"", "-wal", "-shm"};
    char *salvaged = xasprintf("%s-salvaged", damaged);
    struct taken t = {0};

    if (seal_salvage(damaged, salvaged) > 0)
        take_from(to, salvaged, &t);
    take_from(to, damaged, &t);
    for (int i = 0; i < 3; i++) {
        char *path = xasprintf("%s%s", salvaged, ends[i]);

        unlink(path);
        free(path);
    }
    free(salvaged);
    (void)db_run(to, "UPDATE kept SET found=?", "i", clock_wall_ns());
    (void)db_run(to, "INSERT INTO timeline(id,first,last,started) VALUES('rebuilt',?1,?1,?2)", "ii",
                 t.seq + GAP, clock_wall_ns());
    log_info("%lld earlier versions and %lld mirrors were read from the damaged database; kept "
             "contents whose path is lost stay for --keep-age ('eefs-master history --unnamed')",
             (long long)t.versions, (long long)t.mirrors);
}

/* The database with its log to a folder of their own; *ret is its new path. */
static int move_aside(const char *db_path, char **ret, struct err *e)
{
    static const char *const ends[] = {"", "-wal", "-shm"};
    const char *slash = strrchr(db_path, '/');
    char *folder = xasprintf("%.*s/damaged/%lld", slash ? (int)(slash - db_path) : 1,
                             slash ? db_path : ".", (long long)(clock_wall_ns() / 1000000));
    int r = file_mkdirs(folder, 0700);

    *ret = xasprintf("%s/master.db", folder);
    for (int i = 0; i < 3 && r == 0; i++) {
        char *from = xasprintf("%s%s", db_path, ends[i]), *to = xasprintf("%s%s", *ret, ends[i]);

        if (rename(from, to) < 0 && errno != ENOENT)
            r = -errno;
        free(from);
        free(to);
    }
    if (r == 0)
        r = file_sync_parent(db_path);
    if (r < 0)
        err_sys(e, -r, "cannot move the damaged database '%s' to '%s'", db_path, folder);
    free(folder);
    return r;
}

int rebuild_database(const char *db_path, struct err *e)
{
    struct db *to = NULL;
    char *damaged = NULL;
    int r = move_aside(db_path, &damaged, e), n;

    if (r == 0)
        r = schema_open(db_path, 0, &to, e);
    if (r < 0) {
        free(damaged);
        return r;
    }
    log_warn("the damaged database is kept as '%s'; it is rebuilt from the folder", damaged);
    take_over(to, damaged);
    n = registry_copy_restore(to, true);
    if (n < 0)
        log_error("cannot use 'mirrors.json' beside the database; add the mirrors again that could "
                  "not be read (eefs-master mirror add)");
    else if (n > 0)
        log_info("%d mirrors keep their tokens and scopes", n);
    db_sync(to);
    db_close(to);
    trouble_settle(EUCLEAN);
    free(damaged);
    return 0;
}
