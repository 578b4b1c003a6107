/* SPDX-License-Identifier: MIT */
#include "sync/common/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <syslog.h>

#include "sync/common/printable.h"

/* Set once by main() before threads start; read-only afterwards. */
static const char *program_name = "eefs";
static enum log_level max_level = LOG_LEVEL_INFO;
static bool use_syslog, to_journal;

/* Is stderr the journal's stream? systemd.exec(5), $JOURNAL_STREAM: its "device:inode". */
static bool stderr_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long dev, ino;
    struct stat st;

    return stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 && fstat(2, &st) == 0 &&
           st.st_dev == dev && st.st_ino == ino;
}

void log_init(const char *program, enum log_level level)
{
    program_name = program;
    max_level = level;
    to_journal = stderr_is_journal();
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
    printable_make(line, sizeof(line));
    if (use_syslog)
        syslog(priorities[level], "%s", line);
    else if (to_journal)
        fprintf(stderr, "<%d>%s\n", priorities[level], line);
    else
        fprintf(stderr, "%s: %s\n", program_name, line);
}
