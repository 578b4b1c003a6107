/* SPDX-License-Identifier: MIT */
#include "sync/master/cli/fail.h"

#include <stdio.h>

#include "sync/common/printable.h"

int cli_fail(const struct err *e)
{
    printable_line(stderr, "eefs-master: %s", e->text);
    return 1;
}
