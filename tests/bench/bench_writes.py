# SPDX-License-Identifier: MIT
"""Writes through a mount to the master on loopback, against the disk's filesystem with fsync."""

import os
import statistics
import subprocess

from eefs import BIN

WRITERS = os.path.join(os.path.dirname(BIN), "tests", "bench", "writers")
ROUNDS = 5
MANY = (1, 4, 16, 32)
FILES = 192  # of all writers together


def run(what, where, threads, each):
    """Microseconds: all the time divided by the changes, and the median of one."""
    out = subprocess.run([WRITERS, what, where, str(threads), str(each)], check=True, text=True,
                         capture_output=True).stdout
    return [float(word) for word in out.split()]


def writes(site):
    """create + 4 KB + close by 1, 4, 16 and 32 writers, and rename, against ext4's create + fsync + close"""
    master = site.master()
    mount = site.mount(master, "slave1")
    disk = os.path.join(site.base, "disk")
    os.makedirs(disk)
    os.makedirs(mount.path("uploads"), exist_ok=True)
    ours, theirs, pairs = {n: [] for n in MANY}, {n: [] for n in MANY}, {n: [] for n in MANY}
    renames = []
    for _ in range(ROUNDS):  # side by side: this machine's noise hits both
        for threads in MANY:
            each = max(FILES // threads, 1)
            a = run("close", mount.path("uploads"), threads, each)
            mount.synced()
            b = run("fsync", disk, threads, each)
            ours[threads].append(a[0])
            theirs[threads].append(b[0])
            pairs[threads].append((a[0] / b[0]))
        renames.append(run("rename", mount.path("uploads"), 1, FILES)[1])
        mount.synced()
    for threads in MANY:
        print("%2d writers: %6.0f files a second, disk with fsync %6.0f, time as a ratio %.2f"
              % (threads, 1e6 / statistics.median(ours[threads]),
                 1e6 / statistics.median(theirs[threads]), statistics.median(pairs[threads])), flush=True)
    many = statistics.median(a / b for a, b in zip(ours[1], ours[32]))
    one, all32 = statistics.median(pairs[1]), statistics.median(pairs[32])
    print("targets: one writer %.2f times the disk's time (at most 2.5), 32 writers %.1f times one's rate "
          "(at least 4) and %.2f times the disk's (at least 1), rename %.2f ms (at most 0.4)"
          % (one, many, 1 / all32, statistics.median(renames) / 1000), flush=True)
    mount.stop()
    master.stop()


SUBJECTS = {"writes": writes}
