/* SPDX-License-Identifier: MIT */
/*
 * metrics: status objects in the text format of Prometheus, version 0.0.4
 * (prometheus.io/docs/instrumenting/exposition_formats). Pure.
 */
#ifndef EEFS_PROTO_METRICS_H
#define EEFS_PROTO_METRICS_H

#include <jansson.h>

#include "sync/common/buf.h"

#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

/*
 * Appends the metrics of {"mounts":[…],"masters":[…],"imports":[…]}: arrays of the objects that the
 * control sockets answer and of import files; each array may be missing, and so may each member: a
 * metric without its member is left out, never 0. What the objects hold is not trusted: numbers are
 * numbers and texts are escaped labels. See packaging/doc/status.md for the names.
 */
void metrics_text(json_t *all, struct buf *out);

#endif
