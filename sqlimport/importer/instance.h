/* SPDX-License-Identifier: MIT */
/*
 * instance: the mount.eefs that serves a folder, by its control socket. Thread safe.
 */
#ifndef EEFS_SQLIMPORT_IMPORTER_INSTANCE_H
#define EEFS_SQLIMPORT_IMPORTER_INSTANCE_H

#include "sync/common/err.h"

/* 1: `dir` lies on an eefs mount: *ret_socket (of its instance, in rundir) and *ret_path (of dir,
 * from the mount's root) are malloc'd; 0: a plain folder; -ENOTCONN: no instance answers for the
 * mount; -errno. */
int instance_locate(const char *dir, const char *rundir, char **ret_socket, char **ret_path,
                    struct err *e);

#endif
