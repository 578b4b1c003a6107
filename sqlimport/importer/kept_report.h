/* SPDX-License-Identifier: MIT */
/*
 * kept_report: logs and reports the tables and columns that stay this server's own (keep_rules.h),
 * and those that were named and cannot be kept. One thread.
 */
#ifndef EEFS_SQLIMPORT_IMPORTER_KEPT_REPORT_H
#define EEFS_SQLIMPORT_IMPORTER_KEPT_REPORT_H

#include "sqlimport/importer/run.h"

/* Of the plan: those that are in the dump. */
void kept_report_plan(struct run *r);
/* Of the live database, before the first dump. */
int kept_report_server(struct run *r, struct err *e);
/* Logs a sentence on columns that cannot be kept, once. */
void kept_report_notes(struct run *r, const char *sentence);

#endif
