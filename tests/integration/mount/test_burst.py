# SPDX-License-Identifier: MIT
"""Versions of one file follow each other on the master while programs on a mirror open, read and
write it: each gets a whole version, and never ESTALE."""

import multiprocessing
import os
import threading
import time

import pytest
from eefs import SCOPE, SLOW, read, tree, wait_for, write

NAME = ("uploads", "busy.txt")


@pytest.fixture
def master(site):
    master = site.master(start=False)
    write(master.path(*NAME), version(0))
    return master.start()


def version(n):
    return (b"%08d\n" % n) * (1 + n * 397 % 700)


def whole(data):
    return data == version(int(data[:8]))


class Loop(threading.Thread):
    """Does something again and again until the event; keeps the first failure."""

    def __init__(self, done, step):
        super().__init__(daemon=True)
        self.done, self.step, self.rounds, self.failure = done, step, 0, None
        self.start()

    def run(self):
        try:
            while not self.done.is_set():
                self.step()
                self.rounds += 1
        except Exception as error:  # pylint: disable=broad-except
            self.failure = error


def run(master, steps, seconds):
    done, made = threading.Event(), [0]

    def publish():
        made[0] += 1
        write(master.path(".busy"), version(made[0]))
        os.rename(master.path(".busy"), master.path(*NAME))
        time.sleep(0.002)

    loops = [Loop(done, publish)] + [Loop(done, step) for step in steps]
    time.sleep(seconds * SLOW)
    done.set()
    for loop in loops:
        loop.join(60)
        assert not loop.is_alive()
        assert loop.failure is None, (loop.failure, loop.step, [l.rounds for l in loops])
    assert all(loop.rounds > 3 for loop in loops), [l.rounds for l in loops]
    return made[0]


@pytest.mark.parametrize("prefetch", ["all", "none"])
def test_readers(site, master, prefetch):
    mount = site.mount(master, prefetch=prefetch)
    path = mount.path(*NAME)

    def reader():
        with open(path, "rb") as f:
            size = os.fstat(f.fileno()).st_size
            data = f.read()
        assert data and whole(data), (data[:20], len(data))
        assert len(data) % 9 == 0 and size % 9 == 0

    def updater():  # open for writing, and leave it
        fd = os.open(path, os.O_RDWR)
        data = os.read(fd, 1 << 20)
        os.close(fd)
        assert data and whole(data), (data[:20], len(data))

    last = run(master, [reader, reader, updater], 2)
    assert not os.path.exists(master.path(".busy"))
    wait_for(lambda: read(path) == version(last), 20, "the last version")


def read_on(path, done, failures):
    """Reads whole versions until the event; tells the first that is none."""
    while not done.is_set():
        fd = os.open(path, os.O_RDWR if os.getpid() % 2 else os.O_RDONLY)
        try:
            data = os.read(fd, os.fstat(fd).st_size + 1)
        finally:
            os.close(fd)
        try:
            good = not data or whole(data)
        except ValueError:
            good = False
        if not good:
            failures.put((data[:20], len(data), len(data.rstrip(b"\0"))))
            return


def spin(done):
    while not done.is_set():
        pass


@pytest.mark.long
def test_versions_that_shrink(site, master):
    """A short version in the place of a long one that was not fetched yet: no reader gets zeros behind
    the short one's end, whatever the kernel is notified of meanwhile. It takes many processes on a
    busy machine to meet that moment."""
    mount = site.mount(master, prefetch="none")
    path = mount.path(*NAME)
    done, failures = multiprocessing.Event(), multiprocessing.Queue()
    processes = [multiprocessing.Process(target=read_on, args=(path, done, failures), daemon=True)
                 for _ in range(8)]
    processes += [multiprocessing.Process(target=spin, args=(done,), daemon=True) for _ in range(3)]
    for process in processes:
        process.start()
    run(master, [], 60)
    done.set()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert failures.empty(), failures.get()


@pytest.mark.san
@pytest.mark.parametrize("sizes", [(100_000, 500), (500, 100_000)])
def test_replaced_between_open_and_read(site, master, sizes):
    """A file whose bytes are not here is opened for writing, and the master replaces it: what is read
    then is all of the version that was opened, whatever size the kernel has seen since; and what is
    appended to that does not touch the new one: it becomes a conflict copy."""
    mount = site.mount(master, prefetch="none")
    old, new = (os.urandom(size) for size in sizes)
    for name in "read", "append":
        write(master.path("uploads", name), old)
    for name in "read", "append":
        wait_for(lambda: os.stat(mount.path("uploads", name)).st_size == len(old))
    fd = os.open(mount.path("uploads/read"), os.O_RDWR)
    end = os.open(mount.path("uploads/append"), os.O_RDWR | os.O_APPEND)
    for name in "read", "append":
        write(master.path("uploads", name), new)
    for name in "read", "append":
        wait_for(lambda: os.stat(mount.path("uploads", name)).st_size == len(new))
    assert os.pread(fd, 1 << 20, 0) == old
    os.write(end, b"appended")
    for f in fd, end:
        os.close(f)
    assert read(mount.path("uploads/read")) == read(master.path("uploads/read")) == new
    assert read(mount.path("uploads/append")) == read(master.path("uploads/append")) == new
    copy, = (name for name in os.listdir(master.path("uploads")) if "(conflict" in name)
    assert read(master.path("uploads", copy)) == old + b"appended"


@pytest.mark.parametrize("prefetch", ["all", "none"])
def test_writers(site, master, prefetch):
    mount = site.mount(master, prefetch=prefetch)
    path = mount.path(*NAME)
    count = [0]

    def rewriter():  # as ExpressionEngine
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        count[0] += 1
        data = b"w%07d\n" % count[0] * 3
        os.ftruncate(fd, 0)
        os.write(fd, data)
        os.close(fd)

    def truncater():
        with open(path, "wb") as f:
            count[0] += 1
            f.write(b"t%07d\n" % count[0] * 3)

    def appender():
        with open(path, "ab") as f:
            f.write(b"appended\n")

    run(master, [rewriter, truncater, appender], 2)
    mount.synced()
    wait_for(lambda: tree(mount.point) == tree(master.root, scope=SCOPE), 20, "equal")
