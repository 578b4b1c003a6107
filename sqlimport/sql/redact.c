/* SPDX-License-Identifier: MIT */
#include "sqlimport/sql/redact.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define HIDDEN "(not shown)"

/* Messages whose quotes hold names only, of tables, columns, accounts. */
static const unsigned short names_only[] = {
    1005, 1006, 1007, 1008, 1016, 1017, 1022, 1026, 1030, 1034, 1036, 1044, 1045,
    1046, 1048, 1049, 1050, 1051, 1054, 1060, 1061, 1091, 1100, 1114, 1130, 1136,
    1142, 1143, 1146, 1153, 1194, 1195, 1205, 1213, 1216, 1217, 1227, 1264, 1265,
    1290, 1317, 1364, 1406, 1412, 1451, 1452, 1698, 1877, 1878, 1932, 4025,
};

/* Messages that quote a value of a row, whatever the statement was: ALTER TABLE reads rows, too. */
static const unsigned short values[] = {
    1062, 1064, 1292, 1366, 1367, 1411, 1441, 1525, 1526, 1569,
    1586, 1690, 1859, 3140, 3141, 3156, 3819, 4038, 4161,
};

/* The text behind the value in messages that always have it; a value may hold the same words, so
 * the last ones count. */
static const struct {
    unsigned code;
    const char *text;
} behind[] = {{1062, "' for key "}, {1586, "' for key "}, {1366, "' for column "}};

static bool holds(const unsigned short *list, size_t n, unsigned code)
{
    for (size_t i = 0; i < n; i++)
        if (list[i] == code)
            return true;
    return false;
}

#define HOLDS(list, code) holds(list, sizeof(list) / sizeof(*(list)), code)

bool redact_carries_rows(const char *sql, size_t len)
{
    static const char *const words[] = {"ALTER",  "BEGIN",  "COMMIT", "CREATE",   "DROP",
                                        "FLUSH",  "RENAME", "SET",    "ROLLBACK", "SHOW",
                                        "UNLOCK", "USE",    "START",  "LOCK"};

    while (len > 0 && isspace((unsigned char)*sql)) {
        sql++;
        len--;
    }
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        size_t n = strlen(words[i]);
        if (len >= n && strncasecmp(sql, words[i], n) == 0 &&
            (len == n || isspace((unsigned char)sql[n])))
            return false;
    }
    return true;
}

static const char *last_of(const char *text, const char *what)
{
    const char *found = NULL;

    for (const char *p = text; (p = strstr(p, what)); p++)
        found = p;
    return found;
}

static bool is_harmless(unsigned code, bool carries_rows)
{
    bool client = code >= 2000 && code < 3000; /* Connector/C's own */

    return client || HOLDS(names_only, code) || (!carries_rows && !HOLDS(values, code));
}

void redact(unsigned code, bool carries_rows, const char *message, char *out, size_t cap)
{
    const char *open = strpbrk(message, "'\"`"), *close = NULL;

    if (!open || is_harmless(code, carries_rows)) {
        snprintf(out, cap, "%s", message);
        return;
    }
    for (size_t i = 0; i < sizeof(behind) / sizeof(*behind); i++)
        if (behind[i].code == code)
            close = last_of(open, behind[i].text);
    snprintf(out, cap, "%.*s" HIDDEN "%s", (int)(open - message), message, close ? close + 1 : "");
}
