# SPDX-License-Identifier: MIT
"""The master: hashing at the first start, and many changes a second."""

import os
import subprocess
import threading
import time

from eefs import read, wait_for, write

RATE, SECONDS, FILES = 1000, 20, 2000


def hashing(site):
    """first start on 5,000 files of 32 KB and 40 of 16 MB, against sha256sum in parallel on all cores"""
    master = site.master(start=False)
    for i in range(5000):
        write(master.path("small", "%02d" % (i % 100), "%d" % i), os.urandom(32 << 10))
    for i in range(40):
        write(master.path("large", "%d" % i), os.urandom(16 << 20))
    peer_command = ("find %s -type f -print0 | xargs -0 -P %d -n 16 sha256sum > /dev/null"
                    % (master.root, os.cpu_count()))
    ratios = []
    for _ in range(3):
        begin = time.perf_counter()
        subprocess.run(peer_command, shell=True, check=True)
        peer = time.perf_counter() - begin
        subprocess.run(["rm", "-rf", master.state, master.path(".eefs")], check=True)
        begin = time.perf_counter()
        master.start(wait=False)
        wait_for(master.healthy, 300)
        ours = time.perf_counter() - begin
        master.stop()
        ratios.append((ours / peer, ours, peer))
    ratio, ours, peer = sorted(ratios)[1]
    print("first start with %.0f MB: %.2f s, sha256sum on %d cores %.2f s, ratio %.2f"
          % ((5000 * 32 / 1024) + 640, ours, os.cpu_count(), peer, ratio), flush=True)


class Writer(threading.Thread):
    """Changes RATE files a second; `log[file]` is the times of its versions."""

    def __init__(self, master):
        super().__init__()
        self.master = master
        self.log = [[] for _ in range(FILES)]
        self.last = None

    def run(self):
        begin = time.perf_counter()
        for n in range(RATE * SECONDS):
            pause = begin + n / RATE - time.perf_counter()
            if pause > 0:
                time.sleep(pause)
            i = n % FILES
            version = len(self.log[i]) + 1
            with open(name(self.master, i), "wb") as f:
                f.write(b"%d\n" % version + b"x" * 500)
            self.log[i].append(time.perf_counter())
            self.last = (i, version)
        self.took = time.perf_counter() - begin


def name(where, i):
    return where.path("css", "%02d" % (i % 50), "%d.css" % i)


errors = []


def version_at(mount, i):
    """-1: it could not be read; that counts as missing."""
    try:
        return int(read(name(mount, i)).split(b"\n", 1)[0])
    except OSError as error:
        errors.append(error)
        return -1


def changes(site):
    """1,000 file changes a second for 20 s: when does a loopback mirror show them?"""
    master = site.master(start=False)
    for i in range(FILES):
        write(name(master, i), b"0\n")
    master.start()
    mount = site.mount(master, prefetch="all")
    wait_for(lambda: all(os.path.exists(name(mount, i)) for i in range(FILES)), 60)
    writer = Writer(master)
    writer.start()
    lags, stale, missing, i = [], 0, 0, 0
    while writer.is_alive():
        if not writer.last:
            continue
        file, version = writer.last  # how long until this one is there?
        while version_at(mount, file) < version:
            time.sleep(0.002)
        lags.append((time.perf_counter() - writer.log[file][version - 1]) * 1000)
        for _ in range(20):  # is anything missing that is older than a second?
            i = (i + 37) % FILES
            now = time.perf_counter()
            seen, log = version_at(mount, i), writer.log[i]
            stale += 1
            missing += len(log) > max(seen, 0) and now - log[max(seen, 0)] > 1
    writer.join()
    ended = time.perf_counter()
    wait_for(lambda: all(version_at(mount, i) == len(writer.log[i]) for i in range(FILES)), 60)
    lags.sort()
    print("%d changes in %.1f s: lag of %d of them median %.0f ms, p99 %.0f ms, worst %.0f ms; %d of %d "
          "looks missed a change older than 1 s, %d reads failed; the last version of each of %d files was there %.1f s "
          "after the end" % (RATE * SECONDS, writer.took, len(lags), lags[len(lags) // 2],
                             lags[len(lags) * 99 // 100], lags[-1], missing, stale,
             len(errors), FILES,
                             time.perf_counter() - ended), flush=True)
    mount.stop()
    master.stop()


SUBJECTS = {"hashing": hashing, "changes": changes}
