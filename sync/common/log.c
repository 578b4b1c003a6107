/* SPDX-License-Identifier: MIT */
#include "sync/common/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <syslog.h>

/* Set once by main() before threads start; read-only afterwards. */
static const char *program_name = "eefs";
static enum log_level max_level = LOG_LEVEL_INFO;
static bool use_syslog;

void log_init(const char *program, enum log_level level)
{
    program_name = program;
    max_level = level;
}

void log_to_syslog(void)
{
    openlog(program_name, LOG_PID, LOG_DAEMON);
    use_syslog = true;
}

void log_at(enum log_level level, const char *fmt, ...)
{
    static const int priorities[] = {LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG};
    char line[2048];
    va_list ap;

    if (level > max_level)
        return;
    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    if (use_syslog)
        syslog(priorities[level], "%s", line);
    else
        fprintf(stderr, "%s: %s\n", program_name, line);
}
