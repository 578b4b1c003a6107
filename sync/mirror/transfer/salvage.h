/* SPDX-License-Identifier: MIT */
/*
 * salvage: contents that were written here and exist only in the store.
 */
#ifndef EEFS_MIRROR_TRANSFER_SALVAGE_H
#define EEFS_MIRROR_TRANSFER_SALVAGE_H

#include <jansson.h>

struct mirror;

/* New reference: [{"path","hash","file","size","time"}]: contents that only the store has. *error: 0, or -errno:
 * there may be more, which cannot be read now. */
json_t *salvage_list(struct mirror *m, int *error);

#endif
