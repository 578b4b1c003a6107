# SPDX-License-Identifier: MIT
"""A million entries: start with a warm database against find(1), memory, and the feed during a scan."""

import os
import shutil
import signal
import statistics
import subprocess
import tempfile
import time

import pytest

from eefs import wait_for, write

DIRS, FILES = 10_000, 99  # and the folders themselves: a million


def fill(top):
    for i in range(DIRS):
        path = os.path.join(top, "%02d" % (i // 100), "%02d" % (i % 100))
        os.makedirs(path)
        fd = os.open(path, os.O_RDONLY)
        for j in range(FILES):
            os.close(os.open("file-%02d.txt" % j, os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=fd))
        os.close(fd)


def seconds(fn):
    began = time.monotonic()
    fn()
    return time.monotonic() - began


def find(top):
    subprocess.run(["find", top, "-printf", "%s %T@\\n"], stdout=subprocess.DEVNULL, check=True)


def memory(process):
    """The most that it ever had resident, in MB."""
    with open("/proc/%d/status" % process.pid, encoding="ascii") as f:
        line = next(x for x in f if x.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def delays(master, cursor, until):
    """How long changes take until they are in the feed."""
    times, n = [], 0
    while not until():
        n += 1
        path = "00/00/edit-%d.txt" % n
        write(master.path(path), "edit")
        began = time.monotonic()
        told = []
        while path not in told:
            entries, cursor = master.changes(cursor, wait=5)
            told = [e["path"] for e in entries]
        times.append((time.monotonic() - began) * 1000)
    return times, cursor


@pytest.mark.long
def test_a_million_entries(site):
    master = site.master(start=False)
    master.root = tempfile.mkdtemp(prefix="eefs-", dir="/dev/shm" if os.path.isdir("/dev/shm") else "/tmp")
    site.cleanups.append(lambda: shutil.rmtree(master.root))
    master.options = ["--rescan", "0"]
    master.add_mirror("slave1")
    fill(master.root)
    master.start(wait=False)
    first = seconds(lambda: wait_for(master.healthy, 600))
    assert master.control()["files"] == DIRS * FILES
    # What was hashed within two seconds of its making is read once more: it waits for that here.
    wait_for(lambda: master.control()["waiting"] == 0, 300)
    first_mb = memory(master.process)
    master.stop()

    find(master.root)
    pairs = []
    for _ in range(3):
        peer = seconds(lambda: find(master.root))
        master.start(wait=False)
        pairs.append((seconds(lambda: wait_for(master.healthy, 60)), peer))
        mb = memory(master.process)
        master.stop()
    ratio = statistics.median(a / b for a, b in pairs)
    master.start()
    wait_for(lambda: not master.control()["scanning"])
    _, cursor = master.changes()
    end = time.monotonic() + 2
    quiet, cursor = delays(master, cursor, lambda: time.monotonic() > end)
    master.process.signal(signal.SIGHUP)
    wait_for(lambda: master.control()["scanning"])
    during = []
    while True:
        some, cursor = delays(master, cursor, iter([False, True]).__next__)
        during += some
        if not master.control()["scanning"]:
            break
    print("\nfirst start %.1f s, %.0f MB; warm start %s s against find %s s, ratio %.2f, %.0f MB; feed "
          "%.1f ms (worst %.1f), during a scan %.1f ms (worst %.1f of %d)"
          % (first, first_mb, ["%.2f" % a for a, _ in pairs], ["%.2f" % b for _, b in pairs], ratio,
             mb, statistics.median(quiet), max(quiet), statistics.median(during), max(during),
             len(during)))
    assert ratio <= 1.5
    assert mb <= 150
    assert max(during) <= max(quiet) + 100
