# SPDX-License-Identifier: MIT
"""The master: hashing at the first start, and many changes a second."""

import mmap
import os
import subprocess
import time

from eefs import BIN, read, wait_for, write

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


class Writer:
    """Runs churn.c, which changes RATE files a second; `made` and `at()` tell what and when."""

    def __init__(self, site, master):
        path = os.path.join(site.base, "churn")
        with open(path, "wb+") as f:
            f.truncate(8 * (RATE * SECONDS + 1))
            self.log = memoryview(mmap.mmap(f.fileno(), 0)).cast("q")
        self.process = subprocess.Popen(
            [os.path.join(os.path.dirname(BIN), "tests", "bench", "churn"), str(FILES), str(RATE), str(SECONDS), path],
            stdin=subprocess.PIPE)
        self.process.stdin.write(b"".join(os.fsencode(name(master, i)) + b"\n" for i in range(FILES)))
        self.process.stdin.close()

    @property
    def made(self):
        return self.log[0]

    def version(self, i):
        """The last one of file i."""
        return (self.made - 1 - i) // FILES + 1

    def at(self, i, version):
        """When that version was closed, in time.monotonic_ns()."""
        return self.log[1 + (version - 1) * FILES + i]

    def running(self):
        code = self.process.poll()
        assert not code, "churn ended with %d" % code
        return code is None

    def took(self):
        return (self.log[self.made] - self.log[1]) / 1e9


def name(where, i):
    return where.path("css", "%02d" % (i % 50), "%d.css" % i)


class Watcher:
    """Looks at the mirror while the writer writes."""

    def __init__(self, mount, writer):
        self.mount, self.writer = mount, writer
        self.lags, self.looks, self.missing, self.failed, self.i = [], 0, 0, 0, 0

    def version_at(self, i):
        """-1: it could not be read; that counts as missing."""
        try:
            return int(read(name(self.mount, i)).split(b"\n", 1)[0])
        except (OSError, ValueError):
            self.failed += 1
            return -1

    def newest(self):
        """How long until the change that was made last is there? ms"""
        n = self.writer.made - 1
        i, version = n % FILES, n // FILES + 1
        while self.version_at(i) < version:
            time.sleep(0.002)
        self.lags.append((time.monotonic_ns() - self.writer.at(i, version)) / 1e6)

    def look(self, i):
        """Counts what is missing of file i though older than a second. True: it is as it was last made."""
        now, last = time.monotonic_ns(), self.writer.version(i)
        seen = max(self.version_at(i), 0)
        self.looks += 1
        self.missing += last > seen and now - self.writer.at(i, seen + 1) > 1e9
        return seen >= last

    def some(self, count):
        for _ in range(count):
            self.i = (self.i + 37) % FILES
            self.look(self.i)

    def rest(self):
        """Until the last version of each file is there."""
        files, end = range(FILES), time.monotonic() + 60
        while files:
            assert time.monotonic() < end, "%d files never came" % len(files)
            files = [i for i in files if not self.look(i)]


def changes(site):
    """1,000 file changes a second for 20 s: when does a loopback mirror show them?"""
    master = site.master(start=False)
    for i in range(FILES):
        write(name(master, i), b"0\n".ljust(512, b"x"))
    master.start()
    mount = site.mount(master, prefetch="all")
    wait_for(lambda: all(os.path.exists(name(mount, i)) for i in range(FILES)), 60)
    writer = Writer(site, master)
    watcher = Watcher(mount, writer)
    wait_for(lambda: writer.made > 0)
    while writer.running():
        watcher.newest()
        watcher.some(20)
    watcher.rest()
    rate, lags = writer.made / writer.took(), sorted(watcher.lags)
    print("%d changes in %.1f s, all there at last: lag of %d of them median %.0f ms, p99 %.0f ms, worst %.0f ms; %d of "
          "%d looks missed a change older than 1 s, %d reads failed"
          % (writer.made, writer.took(), len(lags), lags[len(lags) // 2], lags[len(lags) * 99 // 100], lags[-1],
             watcher.missing, watcher.looks, watcher.failed))
    short = [what for what, met in (("only %.0f changes a second were made" % rate, rate > RATE * 0.99),
                                    ("a change was missing for longer than 1 s",
                                     not watcher.missing and lags[-1] <= 1000)) if not met]
    print("target (1,000 a second, nothing older than 1 s missing): %s"
          % ("not met: " + ", ".join(short) if short else "met"), flush=True)
    mount.stop()
    master.stop()


SUBJECTS = {"hashing": hashing, "changes": changes}
