/* SPDX-License-Identifier: MIT */
#include "sqlimport/importer/judge.h"

#include <errno.h>
#include <mysqld_error.h>
#include <stdlib.h>

#include "sqlimport/dump/dump_read.h"
#include "sqlimport/importer/leftovers.h"
#include "sqlimport/record/report.h"
#include "sqlimport/server/collation.h"
#include "sqlimport/server/privileges.h"
#include "sync/common/buf.h"

/* For an account that may not see the database, check_rights() reports which right is missing. */
static int find_database(struct run *r, struct err *e)
{
    char *name = server_name(r->a->database);
    struct err e2 = {0};
    MYSQL_RES *res = NULL;
    int rc = server_query(r->s, &res, &e2, "SHOW CREATE DATABASE %s", name);

    if (res)
        mysql_free_result(res);
    if (rc == -EREMOTEIO && r->s->code == ER_BAD_DB_ERROR)
        rc = err_set(e, ENXIO,
                     "cannot import into the database '%s': the server has no such database; "
                     "create it there (CREATE DATABASE %s), or name the right one with --database",
                     r->a->database, name);
    else if (rc == -EACCES)
        rc = 0;
    else if (rc < 0 && e)
        *e = e2;
    free(name);
    return rc;
}

int judge_connect(struct run *r, struct err *e)
{
    int rc = run_connect(r, e);

    if (rc == 0)
        rc = find_database(r, e);
    return rc < 0 || r->a->dry_run ? rc : leftovers_clear(r, e);
}

/* A missing right is an error. A right too many, which a hostile body could use, is worth a
 * note. */
static int check_rights(struct run *r, struct err *e)
{
    char *excess = NULL, *note = NULL;
    int rc = privileges_check(r->s, r->a->database, r->stage, r->old, r->dump, &excess, e);

    if (excess)
        note = xasprintf("the importer's account has more rights than it needs: %s; give it only "
                         "the rights that the README lists",
                         excess);
    if (rc == 0)
        report_note(r->a->report, "rights", note);
    free(note);
    free(excess);
    return rc;
}

int judge_dump(struct run *r, struct failure *f, struct err *e)
{
    struct hash secret;
    int rc = history_secret(r->a->history, &secret, e);

    if (rc < 0)
        return rc;
    if (r->a->known_bad && hash_fd(r->fd, &f->hash, NULL) == 0 &&
        hash_eq(r->a->known_bad, &f->hash))
        return -EALREADY;
    rc = judge_connect(r, e); /* the server decides what the dump means */
    if (rc < 0)
        return rc;
    if (r->a->witness)
        witness_take(r->a->witness, r->fd);
    rc = dump_read(r->fd, &secret, &r->s->dialect, &r->dump, &f->where, e);
    f->hash = r->dump->hash;
    if (rc == -EPROTO && r->dump->unmarked && r->a->accept_unmarked)
        rc = 0;
    if (rc == 0)
        rc = stored_objects_check(r->dump, r->a->database, r->a->allow_body, &f->where, e);
    if (rc == 0)
        rc = collation_adapt(r->dump, r->s, e);
    if (rc == 0)
        rc = check_rights(r, e);
    if (r->s)
        disk_space_init(&r->disk_space, r->s);
    return rc;
}
