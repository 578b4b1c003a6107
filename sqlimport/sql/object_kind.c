/* SPDX-License-Identifier: MIT */
#include "sqlimport/sql/object_kind.h"

const char *object_kind_name(enum object_kind kind)
{
    static const char *const names[] = {"TABLE",    "SEQUENCE",  "VIEW", "TRIGGER",
                                        "FUNCTION", "PROCEDURE", "EVENT"};

    return names[kind];
}
