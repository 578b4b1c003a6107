/* SPDX-License-Identifier: MIT */
/* lost: POST /v1/lost: a mirror reports what the master has lost, and is asked for contents. */
#ifndef EEFS_MASTER_HTTP_LOST_H
#define EEFS_MASTER_HTTP_LOST_H

#include "sync/master/http/request.h"

#define LOST_BODY_MAX (8 << 20)

enum MHD_Result lost_run(struct request *q);

#endif
