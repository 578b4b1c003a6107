/* SPDX-License-Identifier: MIT */
/*
 * log: the programs' messages. Only top layers (programs and their long-running threads) log;
 * libraries return errors. Thread safe; one line per call, made printable (see printable.h).
 *
 * A line is "program: message" on stderr, or goes to syslog (facility daemon) after
 * log_to_syslog(). Where stderr is systemd's journal, which records the program by itself, a line
 * is "<priority>message" (sd-daemon(3)). Secrets must never be passed in.
 */
#ifndef EEFS_COMMON_LOG_H
#define EEFS_COMMON_LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* `program` must stay valid; the level defaults to INFO. Call before any thread starts. */
void log_init(const char *program, enum log_level level);

/* From here on messages go to syslog instead of stderr (for a daemon without a terminal). */
void log_to_syslog(void);

void log_at(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_at(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_at(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_at(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
