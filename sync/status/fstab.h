/* SPDX-License-Identifier: MIT */
/*
 * fstab: the eefs lines of /etc/fstab ($LIBMOUNT_FSTAB, as for mount(8)) that are not mounted. No
 * mount is touched: mountpoints are compared as text, and symbolic links are followed only outside
 * of eefs mounts.
 */
#ifndef EEFS_STATUS_FSTAB_H
#define EEFS_STATUS_FSTAB_H

#include <stdbool.h>

/*
 * Calls fn for each line of type eefs whose mountpoint is in no eefs mount; not for a line with
 * noauto, which waits for a person. `automount`: an automounter waits there, and mounts it when it
 * is used.
 */
typedef void fstab_fn(void *arg, const char *url, const char *point, bool automount);
void fstab_unmounted(fstab_fn *fn, void *arg);

#endif
