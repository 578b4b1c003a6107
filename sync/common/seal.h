/* SPDX-License-Identifier: MIT */
/*
 * seal: database files with checksums: a SQLite VFS ("eefs-seal") that ends each page of 4096 bytes
 * with an 8-byte checksum of it and its number, and verifies it at each read. SQLite leaves these
 * bytes alone when told to (reserved bytes, https://www.sqlite.org/fileformat2.html 1.3.4), so that
 * any SQLite can read such a file.
 *
 * A page of the log (WAL) is sealed as well, and the checksum of its frame computed again (ibid.
 * 4.2); so pages that any program moves from the log into the database are sealed there. A page
 * with a wrong seal is not read: SQLITE_IOERR_DATA, which db.h makes -EUCLEAN. A page that another
 * program's SQLite has written has a wrong seal, too; db_check() distinguishes that from damage.
 *
 * Not covered on page 1: change counter, user_version, application_id and SQLite's version, which
 * another program's PRAGMA changes and db_migrate() judges.
 */
#ifndef EEFS_COMMON_SEAL_H
#define EEFS_COMMON_SEAL_H

#include <stdbool.h>
#include <stdint.h>

#define SEAL_PAGE  4096
#define SEAL_BYTES 8

/* Names of the two VFSs: one that refuses damaged pages, and one that reads them all the same. */
#define SEAL_VFS         "eefs-seal"
#define SEAL_VFS_LENIENT "eefs-seal-lenient"

/* Registers both; any number of times, any thread. 0 or -errno. */
int seal_init(void);

/* The result of examining the file and its log, before any program has it open. */
struct seal_look {
    bool empty;                    /* no file, or one without bytes */
    bool sealed;                   /* at least one page bears a seal */
    bool complete;                 /* all pages were examined within the time */
    int64_t pages, bad, first_bad; /* of the database; first_bad: page number, 0: none */
    bool short_file;               /* it has fewer pages than its header says, or a part of one */
    bool log_broken;               /* frames of the log follow a damaged one */
};

/* Takes at most ms. 0, or -errno when it cannot be read. */
int seal_look(const char *path, int64_t ms, struct seal_look *ret);
/* Seals every page as it is, of a database that another program wrote. No program may have it open.
 * 0 or -errno. */
int seal_renew(const char *path);
/*
 * Writes to the file `to` what the database was at the last commit of its log: of each page the
 * newest that bears a right seal, those behind a damaged frame too, which SQLite does not read; a
 * page that the log does not have is as in the database. Nobody writes to it. How many came from
 * the log, or -errno.
 */
int64_t seal_salvage(const char *path, const char *to);
/* True for a damaged database, if no other program wrote it. */
bool seal_is_damaged(const struct seal_look *l);

#endif
