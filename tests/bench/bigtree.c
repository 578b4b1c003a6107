/* SPDX-License-Identifier: MIT */
/*
 * bigtree CACHE URL ENTRIES LARGE: makes CACHE the cache of a mirror of the master at URL that has
 * ENTRIES entries: the folder "large" with LARGE files, and "many" with folders of 100 files each.
 * It is as after a first listing, without any content.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "sync/mirror/replica/feed.h"

#define PAGE    10000
#define PER_DIR 100
#define CURSOR  "00000000000000aa.1.1"

struct tree {
    struct replica *r;
    struct entry page[PAGE];
    size_t n;
    int64_t seq;
};

static void check(int r, const char *what)
{
    if (r >= 0)
        return;
    fprintf(stderr, "bigtree: %s: %s\n", what, strerror(-r));
    exit(1);
}

static void stage(struct tree *t)
{
    check(replica_feed_stage(t->r, t->page, t->n), "cannot stage");
    for (size_t i = 0; i < t->n; i++)
        entry_release(&t->page[i]);
    t->n = 0;
}

static void add(struct tree *t, const char *path, enum entry_type type)
{
    struct entry *e = &t->page[t->n++];

    *e = (struct entry){.path = strdup(path), .type = type, .seq = ++t->seq, .mode = 0755};
    e->mtime = 1700000000000000000 + t->seq;
    if (type == ENTRY_FILE) {
        e->mode = 0644;
        e->size = 4096;
        hash_bytes(path, strlen(path), &e->hash);
    }
    if (t->n == PAGE)
        stage(t);
}

static void fill(struct tree *t, long entries, long large)
{
    char path[128];

    add(t, "large", ENTRY_DIR);
    for (long i = 0; i < large; i++) {
        snprintf(path, sizeof(path), "large/file-%06ld.css", i);
        add(t, path, ENTRY_FILE);
    }
    add(t, "many", ENTRY_DIR);
    for (long d = 0; t->seq < entries; d++) {
        snprintf(path, sizeof(path), "many/%06ld", d);
        add(t, path, ENTRY_DIR);
        for (long i = 0; i < PER_DIR && t->seq < entries; i++) {
            snprintf(path, sizeof(path), "many/%06ld/file-%02ld.css", d, i);
            add(t, path, ENTRY_FILE);
        }
    }
    stage(t);
}

int main(int argc, char **argv)
{
    static struct tree t;
    struct strlist changed = {NULL, 0};
    struct err e = {0, ""};

    if (argc != 5) {
        fprintf(stderr, "usage: bigtree CACHE URL ENTRIES LARGE\n");
        return 1;
    }
    if (mkdir(argv[1], 0700) < 0 || replica_open(argv[1], false, &t.r, &e) < 0) {
        fprintf(stderr, "bigtree: cannot make '%s': %s\n", argv[1], e.text);
        return 1;
    }
    check(replica_set_remote(t.r, &(struct remote){.master_id = "bench",
                                                   .url = argv[2],
                                                   .name = "bench",
                                                   .scopegen = 1,
                                                   .folder_times = true}),
          "cannot set the master");
    fill(&t, atol(argv[3]), atol(argv[4]));
    check(replica_feed_commit(t.r, CURSOR, true, &changed), "cannot commit");
    strlist_release(&changed);
    replica_close(t.r);
    return 0;
}
