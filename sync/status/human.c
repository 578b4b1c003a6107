/* SPDX-License-Identifier: MIT */
#include "sync/status/human.h"

#include <stdio.h>
#include <string.h>

static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB"};
#define UNITS (sizeof(units) / sizeof(units[0]))

/* The largest unit of which there is at least one; *size: its bytes. */
static size_t unit_of(int64_t bytes, double *size)
{
    size_t i = 0;

    for (*size = 1.0; (double)bytes >= *size * 1023.95 && i + 1 < UNITS; i++)
        *size *= 1024.0;
    return i;
}

static void put(char out[HUMAN_CAP], double n, size_t unit)
{
    snprintf(out, HUMAN_CAP, unit == 0 || n >= 9.95 ? "%.0f" : "%.1f", n);
}

const char *human_size(int64_t bytes, char out[HUMAN_CAP])
{
    double size;
    size_t i = unit_of(bytes, &size), n;

    put(out, (double)bytes / size, i);
    n = strlen(out);
    snprintf(out + n, HUMAN_CAP - n, " %s", units[i]);
    return out;
}

const char *human_share(int64_t part, int64_t whole, char out[HUMAN_CAP])
{
    double size;
    size_t i = unit_of(whole, &size);
    char a[HUMAN_CAP], b[HUMAN_CAP];

    put(a, (double)part / size, part == 0 ? 0 : i);
    put(b, (double)whole / size, i);
    if (part > 0 && strcmp(a, "0.0") == 0) /* too little to be told in that unit */
        human_size(part, a);
    snprintf(out, HUMAN_CAP, "%.15s of %.15s %s", a, b, units[i]);
    return out;
}

const char *human_span(int64_t ms, char out[HUMAN_CAP])
{
    long long s = (long long)(ms / 1000), min = s / 60, h = min / 60;

    if (ms < 9950 && ms % 1000 != 0)
        snprintf(out, HUMAN_CAP, "%.1f s", (double)ms / 1000.0);
    else if (s < 120)
        snprintf(out, HUMAN_CAP, "%lld s", s);
    else if (min < 120)
        snprintf(out, HUMAN_CAP, "%lld min", min);
    else if (h < 48)
        snprintf(out, HUMAN_CAP, "%lld h %lld min", h, min % 60);
    else
        snprintf(out, HUMAN_CAP, "%lld days", h / 24);
    return out;
}
