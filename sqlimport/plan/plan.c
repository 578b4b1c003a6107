/* SPDX-License-Identifier: MIT */
#include "sqlimport/plan/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/printable.h"

struct step *plan_find(const struct plan *p, const char *name)
{
    for (size_t i = 0; i < p->n; i++)
        if (strcmp(p->steps[i].name, name) == 0)
            return &p->steps[i];
    return NULL;
}

bool step_is_swap(const struct step *st)
{
    return st->action == ACTION_SWAP || st->action == ACTION_NEW;
}

void plan_free(struct plan *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->n; i++) {
        struct step *st = &p->steps[i];
        if (!st->o)
            free((void *)(uintptr_t)st->name);
        table_def_release(&st->def);
        row_diff_release(&st->diff);
    }
    free(p->steps);
    buf_release(&p->notes);
    free(p);
}

static void print_size(uint64_t bytes)
{
    static const char units[] = "BkMG";
    double n = (double)bytes;
    int u = 0;

    for (; n >= 1000 && u < 3; u++)
        n /= 1000;
    printf(" %7.*f %c", u && n < 100 ? 1 : 0, n, units[u]);
}

void plan_print(const struct plan *p)
{
    static const char *const actions[] = {"unchanged", "keep", "delta", "swap",
                                          "new",       "drop", "view"};

    printf("%-40s %-9s %10s %9s  %s\n", "table", "action", "rows", "size", "why");
    for (size_t i = 0; i < p->n; i++) {
        const struct step *st = &p->steps[i];
        char name[300];
        printable_copy(name, sizeof(name), st->name);
        printf("%-40s %-9s %10llu", name, actions[st->action],
               (unsigned long long)(st->o ? st->o->rows : 0));
        print_size(st->o ? st->o->bytes : 0);
        if (st->action == ACTION_DELTA)
            printf("  %s: %llu inserted, %llu updated, %llu deleted\n", st->why,
                   (unsigned long long)st->diff.inserted, (unsigned long long)st->diff.updated,
                   (unsigned long long)st->diff.deleted);
        else
            printf("  %s\n", st->why);
    }
    printf("%zu of %zu tables change, by %s: %llu rows,", p->changed, p->n,
           p->swaps     ? "one swap"
           : p->deltas  ? "one transaction"
           : p->changed ? "renaming"
                        : "nothing",
           (unsigned long long)p->rows);
    print_size(p->bytes);
    printf("\n");
}
