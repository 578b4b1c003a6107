/* SPDX-License-Identifier: MIT */
#include "sync/master/cli/state_dir.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/file.h"
#include "sync/common/log.h"
#include "sync/common/rundir.h"
#include "sync/master/db/meta.h"
#include "sync/master/db/registry_copy.h"
#include "sync/master/db/schema.h"

static void become_owner(const char *dir)
{
    struct stat st;

    if (geteuid() != 0 || stat(dir, &st) < 0 || st.st_uid == 0)
        return;
    if (setegid(st.st_gid) < 0 || seteuid(st.st_uid) < 0)
        log_warn("cannot switch to the owner of '%s'", dir);
}

int state_dir_open(const char *dir, bool make, struct db **ret, struct err *e)
{
    char *path;
    int r = make ? file_mkdirs(dir, 0700) : 0;

    if (r < 0)
        return err_sys(e, -r, "cannot create the state folder '%s'", dir);
    become_owner(dir);
    path = xasprintf("%s/master.db", dir);
    if (!make && access(path, R_OK) < 0)
        r = err_sys(e, errno, "cannot read '%s': is '%s' the --state of 'eefs-master serve'?", path,
                    dir);
    if (r == 0)
        r = schema_open(path, 0, ret, e);
    if (r == 0 && make && registry_copy_restore(*ret, false) > 0)
        log_warn("'%s' held no mirrors; restored them from 'mirrors.json' beside it", path);
    free(path);
    return r;
}

int state_dir_socket(const char *state, const char *rundir, char **ret, struct err *e)
{
    struct db *db = NULL;
    char *id = NULL;
    int r = state_dir_open(state, false, &db, e);

    if (r < 0)
        return r;
    (void)meta_get_text(db, "id", &id);
    db_close(db);
    if (id && strlen(id) > 8)
        id[8] = '\0';
    *ret = rundir_file(rundir_path(rundir), "master", id ? id : "", "sock");
    free(id);
    return 0;
}
