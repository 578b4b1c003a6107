/* SPDX-License-Identifier: MIT */
#include "sync/master/db/schema.h"

#define APP_ID 0x6565666d /* "eefm" */

/* Each leads from one version of the schema to the next: only add to them. */
static const char *const steps[] = {
    /* meta.h */
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;"
    /* tree.h */
    "CREATE TABLE entry(dir BLOB NOT NULL, name BLOB NOT NULL, type INTEGER NOT NULL,"
    " size INTEGER NOT NULL, mtime INTEGER NOT NULL, mode INTEGER NOT NULL, hash BLOB, target BLOB,"
    " seq INTEGER NOT NULL, moved_from BLOB, ino INTEGER NOT NULL, dev INTEGER NOT NULL,"
    " ctime INTEGER NOT NULL, seen INTEGER NOT NULL, PRIMARY KEY(dir,name)) WITHOUT ROWID;"
    "CREATE UNIQUE INDEX entry_seq ON entry(seq);"
    "CREATE INDEX entry_hash ON entry(hash) WHERE type=1;"
    "CREATE TABLE timeline(id TEXT PRIMARY KEY, first INTEGER NOT NULL, last INTEGER,"
    " started INTEGER NOT NULL);"
    /* registry.h */
    "CREATE TABLE mirror(name TEXT PRIMARY KEY, token BLOB NOT NULL UNIQUE, read TEXT NOT NULL,"
    " write TEXT NOT NULL, scopegen INTEGER NOT NULL, url TEXT, made INTEGER NOT NULL);"
    /* answers.h */
    "CREATE TABLE outbox(mirror TEXT NOT NULL, id TEXT NOT NULL, n INTEGER NOT NULL,"
    " digest BLOB NOT NULL, answer TEXT NOT NULL, PRIMARY KEY(mirror,id,n)) WITHOUT ROWID",
    /* tree.h */
    "CREATE INDEX entry_inode ON entry(ino) WHERE ino>0;"
    /* history.h */
    "CREATE TABLE version(dir BLOB NOT NULL, name BLOB NOT NULL, seq INTEGER NOT NULL,"
    " size INTEGER NOT NULL, mtime INTEGER NOT NULL, mode INTEGER NOT NULL, hash BLOB NOT NULL,"
    " until INTEGER NOT NULL, ended INTEGER NOT NULL, PRIMARY KEY(dir,name,seq)) WITHOUT ROWID;"
    "CREATE INDEX version_hash ON version(hash);"
    "CREATE INDEX version_ended ON version(ended);"
    /* kept_rows.h */
    "CREATE TABLE kept(hash BLOB PRIMARY KEY, size INTEGER NOT NULL, at INTEGER NOT NULL)"
    " WITHOUT ROWID;"
    "CREATE INDEX kept_at ON kept(at)",
    /* tree.h */
    "CREATE TABLE total(entries INTEGER NOT NULL, files INTEGER NOT NULL, bytes INTEGER NOT NULL);"
    "INSERT INTO total SELECT count(*),coalesce(sum(type=1),0),coalesce(sum(size),0) FROM entry"
    " WHERE type!=0",
    /* intents.h; made: 0 not known, 1 yes */
    "CREATE TABLE intent(mirror TEXT NOT NULL, id TEXT NOT NULL, n INTEGER NOT NULL,"
    " digest BLOB NOT NULL, life TEXT NOT NULL, ino INTEGER NOT NULL, path BLOB, lands BLOB,"
    " over INTEGER NOT NULL, result INTEGER NOT NULL, made INTEGER NOT NULL, PRIMARY "
    "KEY(mirror,id)) WITHOUT ROWID",
    /* renames.h */
    "CREATE TABLE moved(seq INTEGER PRIMARY KEY,old BLOB NOT NULL,new BLOB NOT NULL,outbox TEXT)",
    /* kept_rows.h; found: wall ns when it was found without its row, or its database damaged; 0 */
    "ALTER TABLE kept ADD COLUMN found INTEGER NOT NULL DEFAULT 0",
    /* tree.h; void: its cursors are not followed any more */
    "ALTER TABLE timeline ADD COLUMN void INTEGER NOT NULL DEFAULT 0",
    /* tree.h */
    "ALTER TABLE entry ADD COLUMN hides INTEGER NOT NULL DEFAULT 0",
    /* intents.h: one for each operation, not for each outbox */
    "ALTER TABLE intent RENAME TO intent_of_outbox;"
    "CREATE TABLE intent(mirror TEXT NOT NULL, id TEXT NOT NULL, n INTEGER NOT NULL,"
    " digest BLOB NOT NULL, life TEXT NOT NULL, ino INTEGER NOT NULL, path BLOB, lands BLOB,"
    " over INTEGER NOT NULL, result INTEGER NOT NULL, made INTEGER NOT NULL, PRIMARY "
    "KEY(mirror,id,n)) WITHOUT ROWID;"
    "INSERT INTO intent SELECT mirror,id,n,digest,life,ino,path,lands,over,result,made"
    " FROM intent_of_outbox;"
    "DROP TABLE intent_of_outbox",
    /* lost_rows.h */
    "CREATE TABLE lost(mirror TEXT NOT NULL, base TEXT NOT NULL, n INTEGER NOT NULL,"
    " path BLOB NOT NULL, type INTEGER NOT NULL, size INTEGER NOT NULL, mtime INTEGER NOT NULL,"
    " mode INTEGER NOT NULL, hash BLOB, target BLOB, seq INTEGER NOT NULL, here INTEGER NOT NULL,"
    " own INTEGER NOT NULL, settled INTEGER NOT NULL DEFAULT 0, PRIMARY KEY(mirror,base,n)) "
    "WITHOUT ROWID;"
    "CREATE INDEX lost_path ON lost(path);"
    "CREATE INDEX lost_hash ON lost(hash) WHERE hash IS NOT NULL",
};

int schema_open(const char *path, int flags, struct db **ret, struct err *e)
{
    struct db *db = NULL;
    int r = db_open(path, flags | DB_SEALED, &db, e);

    if (r < 0)
        return r;
    if (!(flags & DB_READ_ONLY))
        r = db_migrate(db, APP_ID, steps, sizeof(steps) / sizeof(steps[0]), e);
    if (r < 0)
        db_close(db);
    else
        *ret = db;
    return r;
}
