/* SPDX-License-Identifier: MIT */
#include "sqlimport/apply/server_clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sync/common/buf.h"

#define SLOWER   1000  /* the part of the time by which another machine's clock may lag */
#define NOISE_US 10000 /* clocks that tick coarsely */

static int64_t boottime_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_BOOTTIME, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* The id of this boot of this machine; "" when it cannot be read. */
static void read_boot(char *ret)
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, ret, CLOCK_BOOT_CAP - 1);

    ret[n > 0 ? n : 0] = '\0';
    ret[strcspn(ret, "\n")] = '\0';
    if (fd >= 0)
        close(fd);
}

static int read_clock(struct server *s, struct server_clock *ret, struct err *e)
{
    char *text = NULL;
    int r;

    memset(ret, 0, sizeof(*ret));
    read_boot(ret->r.boot);
    ret->before_us = boottime_us();
    r = server_value(s, &text, e,
                     "SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))");
    ret->r.after_us = boottime_us();
    ret->r.server_us = text ? strtoll(text, NULL, 10) : 0;
    ret->local = strstr(mysql_get_host_info(s->my), "socket") != NULL;
    free(text);
    return r;
}

enum clock_course server_clock_course(const struct clock_reading *then,
                                      const struct server_clock *now, int64_t *ret_us)
{
    int64_t went, passed, lost;

    *ret_us = 0;
    if (!then)
        return CLOCK_UNKNOWN;
    went = now->r.server_us - then->server_us;
    if (went < 0) {
        *ret_us = -went;
        return CLOCK_SET_BACK;
    }
    if (!*then->boot || strcmp(then->boot, now->r.boot) != 0)
        return CLOCK_UNKNOWN;
    passed = now->before_us - then->after_us;
    lost = passed - went - NOISE_US - (now->local ? 0 : passed / SLOWER);
    if (lost <= 0)
        return CLOCK_WENT_ON;
    *ret_us = lost;
    return CLOCK_SET_BACK;
}

static char *notice(enum clock_course course, int64_t us, const char *database)
{
    if (course == CLOCK_SET_BACK)
        return xasprintf("the clock of the database server was set back by %.2f s or more, so the "
                         "times of changes prove nothing: comparing the tables of '%s'",
                         (double)us / 1000000, database);
    return xasprintf("after a restart of this machine, nothing shows whether the clock of the "
                     "database server was set back: comparing the tables of '%s'",
                     database);
}

int server_clock_check(struct history *h, struct server *s, const char *database, char **ret_notice,
                       struct err *e)
{
    struct clock_reading then;
    struct server_clock now;
    enum clock_course course;
    int64_t us;
    int marks = 0, r = read_clock(s, &now, e);

    if (r < 0)
        return r;
    course = server_clock_course(history_clock(h, &then) ? &then : NULL, &now, &us);
    r = history_begin(h);
    if (r >= 0 && course != CLOCK_WENT_ON)
        r = marks = history_void_marks(h);
    if (r >= 0)
        r = history_set_clock(h, &now.r);
    r = history_end(h, r);
    if (r < 0)
        return err_sys(e, -r, "cannot write the import history");
    if (marks > 0)
        *ret_notice = notice(course, us, database);
    return 0;
}
