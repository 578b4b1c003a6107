# SPDX-License-Identifier: MIT
"""Names that are replaced, renamed and removed, here, on another mirror and on the master, while
they are opened, read, mapped, run and asked about: a program sees old bytes, new bytes or ENOENT,
and never another error."""

import errno
import hashlib
import mmap
import multiprocessing
import os
import random
import shutil
import subprocess
import threading
import time

import pytest

from eefs import SLOW, read, wait_for, write
from peer import Peer


def version(rng, size=None):
    """Bytes that say whether they are whole."""
    body = rng.randbytes(size or rng.choice([10, 3000, 70_000]))
    return hashlib.sha256(body).hexdigest().encode() + body


def whole(data):
    assert hashlib.sha256(data[64:]).hexdigest().encode() == data[:64], (len(data), data[:80])


def slow_objects(x):
    if x.object:
        time.sleep(0.01 + 0.03 * random.random())
    x.answer(x.forward())


def slow_line(site, master):
    """A slow line in a process of its own: who waits for a page or a program to be run holds this
    interpreter's lock."""
    ours, theirs = multiprocessing.Pipe()

    def run():
        line = Peer(master.port)
        line.set(slow_objects)
        theirs.send(line.url)
        theirs.recv()

    process = multiprocessing.get_context("fork").Process(target=run, daemon=True)
    process.start()
    site.cleanups.append(lambda: (ours.send(None), process.join()))
    return ours.recv()


def behind(site, master, name, fault, **options):
    line = Peer(master.port)
    site.links.append(line)
    mount = site.mount(master, name, url=line.url, prefetch="none", private="none", **options)
    line.set(fault)
    return line, mount


@pytest.mark.san
@pytest.mark.parametrize("what", ["replaced", "removed", "renamed", "its folder removed",
                                  "its folder renamed"])
def test_open_waits_while_the_name_goes_here(site, what):
    master = site.master(start=False)
    write(master.path("uploads/d/f"), b"old")
    write(master.path("uploads/d2/f"), b"other")
    master.start()
    asked, gate = threading.Event(), threading.Event()

    def held(x):
        if x.object:
            asked.set()
            gate.wait(20)
        x.answer(x.forward())

    line, mount = behind(site, master, "slave1", held)
    point, result = mount.path("uploads/d/f"), []

    def opener():
        try:
            result.append(read(point))
        except OSError as error:
            result.append(error.errno)

    thread = threading.Thread(target=opener)
    thread.start()
    assert asked.wait(10)
    if what == "replaced":
        write(mount.path("uploads/new"), b"new")
        os.rename(mount.path("uploads/new"), point)
    elif what == "renamed":
        os.rename(point, mount.path("uploads/g"))
    elif what == "its folder renamed":
        os.rename(mount.path("uploads/d"), mount.path("uploads/e"))
    else:
        os.unlink(point)
        if what == "its folder removed":
            os.rmdir(mount.path("uploads/d"))
    mount.synced()  # the master has it, too, and no such content any more
    gate.set()
    thread.join(30)
    allowed = {"replaced": [b"old", b"new"], "removed": [b"old", errno.ENOENT],
               "its folder removed": [b"old", errno.ENOENT]}
    assert result and result[0] in allowed.get(what, [b"old", errno.ENOENT]), result


CALLS = ["read", "read", "read", "stat", "xattr", "map", "run", "truncate", "handle", "chmod"]


def call(kind, path, rng):
    if kind == "read":
        with open(path, "rb") as f:
            whole(f.read())
    elif kind == "stat":
        assert os.stat(path).st_size >= 64
    elif kind == "xattr":
        try:
            os.getxattr(path, "user.eefs.state")
        except OSError as error:
            if error.errno != errno.ENODATA:
                raise
    elif kind == "map":
        with open(path, "rb") as f:
            try:
                with mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as m:
                    whole(m[:])
            except OSError as error:  # shrunk while it was opened: cannot be mapped for sharing
                assert error.errno == errno.ENODEV
                whole(f.read())
    elif kind == "run":
        try:
            subprocess.run([path], capture_output=True, timeout=60)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.ENOEXEC):  # opened, and it is no program
                raise
    elif kind == "truncate":  # to what it is: says whether its bytes can be had
        with open(path, "r+b") as f:
            data = f.read()
            if data:
                whole(data)
    elif kind == "handle":
        with open(path, "rb") as f:
            head = f.read(20)
            time.sleep(rng.random() * 0.01)
            whole(head + f.read())
    else:
        os.chmod(path, rng.choice([0o644, 0o600]))


def storm(site, master, mounts, seed, seconds):
    """`always-N` are only ever replaced by a rename; `some-N` come and go, with their folders."""
    end, errors = time.monotonic() + seconds, []

    def names(top):
        return ([os.path.join(top, "uploads/w/always-%d" % i) for i in range(4)],
                [os.path.join(top, "uploads/w/d%d/some-%d" % (i % 2, i)) for i in range(4)])

    def changer(top, who, seed):
        rng = random.Random(seed)
        always, some = names(top)
        n = 0
        while time.monotonic() < end:
            n += 1
            tmp = os.path.join(top, "uploads/w/new-%s-%d" % (who, n))
            kind = rng.choice(["replace", "replace", "come", "come", "go", "folder", "swap", "link"])
            try:
                if kind in ("replace", "come"):
                    write(tmp, version(rng))
                    to = rng.choice(always if kind == "replace" else some)
                    os.makedirs(os.path.dirname(to), exist_ok=True)
                    os.rename(tmp, to)
                elif kind == "go":
                    os.unlink(rng.choice(some))
                elif kind == "swap":
                    os.rename(*rng.sample(some, 2))
                elif kind == "link":
                    os.symlink(rng.choice(["always-0", "always-1"]), tmp)
                    os.rename(tmp, os.path.join(top, "uploads/w/link"))
                elif rng.random() < 0.3:
                    folder = os.path.join(top, "uploads/w/d%d" % rng.randrange(2))
                    os.rename(folder, folder + "-%s-%d" % (who, n))
            except FileNotFoundError:
                if kind in ("replace", "link"):
                    errors.append((who, kind, "ENOENT"))
            except OSError as error:  # folders in the way of files and so on
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.EISDIR, errno.ENOTDIR,
                                       errno.EBUSY):
                    errors.append((who, kind, error))
            time.sleep(rng.random() * 0.02)

    def reader(top, who, seed):
        rng = random.Random(seed)
        always, some = names(top)
        while time.monotonic() < end:
            sure = rng.random() < 0.6
            kind = rng.choice(CALLS)
            path = rng.choice(always if sure else some)
            if rng.random() < 0.15:
                kind, sure, path = "link", True, os.path.join(top, "uploads/w/link")
            try:
                if kind == "link":
                    assert os.readlink(path) in ("always-0", "always-1")
                else:
                    call(kind, path, rng)
            except OSError as error:
                if sure or error.errno not in (errno.ENOENT, errno.ENOTDIR):
                    errors.append((who, kind, path, error))
            except BaseException as error:
                errors.append((who, kind, path, error))

    tops = [("master", master.root)] + [(m.instance, m.point) for m in mounts]
    threads = [threading.Thread(target=changer, args=(top, who, "%s %d" % (who, seed)))
               for who, top in tops]
    threads += [threading.Thread(target=reader, args=(top, who, "%s %d %d" % (who, seed, i)))
                for who, top in tops[1:] for i in range(3)]
    for t in threads:
        t.start()
    while any(t.is_alive() for t in threads):
        if errors:
            end = 0
        time.sleep(0.05)
    assert not errors, "seed %d: %s" % (seed, errors[:5])


def prepared(site, seed):
    rng = random.Random(seed)
    master = site.master(start=False)
    for i in range(4):
        write(master.path("uploads/w/always-%d" % i), version(rng))
        os.chmod(master.path("uploads/w/always-%d" % i), 0o755)
        write(master.path("uploads/w/d%d/some-%d" % (i % 2, i)), version(rng))
    os.symlink("always-0", master.path("uploads/w/link"))
    master.start()
    return master, [site.mount(master, name, url=slow_line(site, master), prefetch="none",
                               private="none", cache_size="1M") for name in ("slave1", "slave2")]


def test_storm(site):
    master, mounts = prepared(site, 1)
    storm(site, master, mounts, 1, 3 * SLOW)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10, 14))
def test_long_storm(site, seed):
    master, mounts = prepared(site, seed)
    storm(site, master, mounts, seed, 20)


def hammer(top, who, kind, seed, end, report):
    """A process that does one thing to one name until the time has come; reports every error."""
    rng, name, n = random.Random(seed), os.path.join(top, "uploads/w/always-0"), 0
    while time.monotonic() < end:
        n += 1
        try:
            if kind == "replace":
                tmp = os.path.join(top, "uploads/w/new-%s-%d" % (who, n))
                write(tmp, version(rng, 200))
                os.rename(tmp, name)
            elif kind == "chmod":
                os.chmod(name, rng.choice([0o644, 0o600]))
            elif kind == "times":
                os.utime(name)
            elif kind == "stat":
                os.stat(name)
            else:
                whole(read(name))
        except OSError as error:
            report.send((who, kind, n, errno.errorcode.get(error.errno, error.errno)))
        if kind == "replace":
            time.sleep(rng.random() * 0.01)
    report.send((who, kind, n, None))


def one_name(site, seed, seconds):
    """One name that is only ever replaced, by every side at once: it is always there."""
    master, mounts = prepared(site, seed)
    tops = [("master", master.root, ["replace"])] + \
           [(m.instance, m.point, ["replace", "chmod", "chmod", "times", "stat", "read"]) for m in mounts]
    ours, theirs = multiprocessing.Pipe(duplex=False)
    end = time.monotonic() + seconds
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=hammer, daemon=True,
                                 args=(top, who, kind, "%s %s %d %d" % (who, kind, i, seed), end, theirs))
                 for who, top, kinds in tops for i, kind in enumerate(kinds)]
    for p in processes:
        p.start()
    site.cleanups.append(lambda: [(p.kill(), p.join()) for p in processes])
    ended, errors = {}, []
    while len(ended) < len(processes) and not errors:
        assert ours.poll(seconds + 60 * SLOW), "still running: %r" % ended
        who, kind, n, error = ours.recv()
        if error:
            errors.append((who, kind, n, error))
        else:
            ended[who, kind, len(ended)] = n
    assert not errors, "seed %d: %s" % (seed, errors)
    return ended


def test_one_name_that_is_only_replaced(site):
    assert min(one_name(site, 1, 3 * SLOW).values()) > 3


@pytest.mark.long
@pytest.mark.parametrize("seed", range(20, 24))
def test_one_name_that_is_only_replaced_for_long(site, seed):
    one_name(site, seed, 60)


def renamer(top, who, seconds, report):
    """As rsync does: a new file, its final name, its mode."""
    end, n = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        n += 1
        tmp, name = os.path.join(top, "uploads/w/.t-%d-%d" % (who, n)), os.path.join(top, "uploads/w/t-%d" % who)
        try:
            write(tmp, b"%d" % n)
            os.rename(tmp, name)
            os.chmod(name, 0o640 if n % 2 else 0o600)
        except OSError as error:
            report.send((who, n, errno.errorcode.get(error.errno, error.errno)))
    report.send(None)


def test_a_mode_right_after_a_rename(site):
    """The kernel has given the new name to what it knows by the old one: so must the mount, also when
    the master's echo of the old name comes just then."""
    master = site.master(start=False)
    os.makedirs(master.path("uploads/w"))
    mount = site.mount(master.start())
    ours, theirs = multiprocessing.Pipe(duplex=False)
    processes = [multiprocessing.get_context("fork").Process(target=renamer, daemon=True,
                                                             args=(mount.point, i, 3 * SLOW, theirs))
                 for i in range(12)]
    for p in processes:
        p.start()
    site.cleanups.append(lambda: [(p.kill(), p.join()) for p in processes])
    got = []
    while got.count(None) < len(processes):
        assert ours.poll(60 * SLOW), got
        got.append(ours.recv())
    assert set(got) == {None}, [g for g in got if g]
