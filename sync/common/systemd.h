/* SPDX-License-Identifier: MIT */
/*
 * systemd: notifications of a service of Type=notify to its manager: one datagram to $NOTIFY_SOCKET
 * (sd_notify(3), "Notes"). Without that variable everything here does nothing.
 */
#ifndef EEFS_COMMON_SYSTEMD_H
#define EEFS_COMMON_SYSTEMD_H

#include <stdint.h>

/* Lines such as "READY=1\nSTATUS=serving". Never blocks, never fails. */
void systemd_notify(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* How often "WATCHDOG=1" is expected of this process, in ms ($WATCHDOG_USEC); 0: never. */
int64_t systemd_watchdog_ms(void);

#endif
