# SPDX-License-Identifier: MIT
"""Listings: what is in a folder from the beginning of a listing to its end is listed exactly once,
whatever changes meanwhile and however slowly it is read."""

import ctypes
import os
import random
import shutil
import struct
import subprocess
import tempfile
import threading
import time

import pytest

from eefs import SLOW, wait_for, write

libc = ctypes.CDLL(None, use_errno=True)
GETDENTS64 = 217


class Getdents:
    """A stream of one folder by the bare system call."""

    def __init__(self, path):
        self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        self.done = False

    def read(self, size):
        """[(name, d_off, d_ino)]; [] at the end."""
        buf = ctypes.create_string_buffer(size)
        n = libc.syscall(GETDENTS64, self.fd, buf, size)
        if n < 0:
            raise OSError(ctypes.get_errno(), "getdents64")
        found, at = [], 0
        while at < n:
            ino, off, length = struct.unpack_from("=QqH", buf.raw, at)
            name = buf.raw[at + 19:at + length].split(b"\0", 1)[0]
            found.append((os.fsdecode(name), off, ino))
            at += length
        self.done = n == 0
        return found

    def seek(self, off):
        os.lseek(self.fd, off, os.SEEK_SET)
        self.done = False

    def all(self, size=lambda: 32768, pause=lambda: None):
        found = []
        while not self.done:
            found += self.read(size())
            pause()
        return found

    def close(self):
        os.close(self.fd)
        self.fd = -1

    def __del__(self):
        if self.fd >= 0:
            os.close(self.fd)


def check(names, stable):
    """`stable` is there exactly once each; nothing is there twice that was there all the time."""
    counts = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    assert {"missing": sorted(stable - counts.keys())[:5],
            "twice": sorted(n for n in stable if counts.get(n, 0) > 1)[:5]} == {
                "missing": [], "twice": []}, len(names)


def drop_caches(what=2):
    if os.getuid() == 0:
        with open("/proc/sys/vm/drop_caches", "w") as f:
            f.write(str(what))


def fill(top, n, prefix="stable"):
    os.makedirs(top, exist_ok=True)
    names = {"%s-%05d.jpg" % (prefix, i) for i in range(n)}
    for name in names:
        os.close(os.open(os.path.join(top, name), os.O_CREAT | os.O_WRONLY, 0o644))
    return names


def listed_by(*argv):
    out = subprocess.run(argv, capture_output=True, check=True, timeout=120).stdout
    return os.fsdecode(out).split("\n")


def php_readdir(path, pause_us):
    code = ("$d = opendir($argv[1]); while (($n = readdir($d)) !== false) { echo $n, \"\\n\";"
            " usleep((int)$argv[2]); }")
    return listed_by("php", "-r", code, path, str(pause_us))


@pytest.mark.san
def test_a_slow_reader_while_the_master_adds_a_file(site):
    """The reader that PHP's readdir() is, slowed down, and one file more in the middle."""
    master = site.master(start=False)
    stable = fill(master.path("uploads"), 3000)
    mount = site.mount(master.start())
    Getdents(mount.path("uploads")).all()  # the kernel has a copy
    stream, found = Getdents(mount.path("uploads")), []
    while len(found) < 800:
        found += stream.read(512)
    write(master.path("uploads/new.jpg"), "new")
    wait_for(lambda: os.path.exists(mount.path("uploads/new.jpg")), 10)
    found += stream.all(lambda: 512)
    check([n for n, _, _ in found], stable)
    offsets = [o for _, o, _ in found]
    assert offsets == sorted(set(offsets)) and 0 < offsets[0] and offsets[-1] < 2**63
    check([n for n, _, _ in Getdents(mount.path("uploads")).all()], stable | {"new.jpg"})


@pytest.mark.skipif(not shutil.which("php"), reason="needs php")
def test_programs_list_a_folder_that_changes(site):
    master = site.master(start=False)
    stable = fill(master.path("uploads/p"), 1500)
    mount = site.mount(master.start())
    stop, point = threading.Event(), mount.path("uploads/p")

    def change(top, prefix):
        i = 0
        while not stop.wait(0.01):
            write(os.path.join(top, "%s-%d" % (prefix, i)), "x")
            if i >= 3:
                os.unlink(os.path.join(top, "%s-%d" % (prefix, i - 3)))
            i += 1

    threads = [threading.Thread(target=change, args=(master.path("uploads/p"), "master")),
               threading.Thread(target=change, args=(point, "mirror"))]
    for t in threads:
        t.start()
    try:
        for _ in range(3):
            check(php_readdir(point, 300), stable)
            drop_caches()
            check(listed_by("ls", "-U", point), stable)
            found = listed_by("find", point, "-type", "f", "-printf", "%f\n")
            check(found, stable)
    finally:
        stop.set()
        for t in threads:
            t.join()


def change_at_random(rng, top, volatile):
    """One change of a name that is not stable, or of what a stable name holds."""
    kind = rng.choice(["add", "remove", "rename", "replace", "over"])
    here = [n for n in volatile if os.path.lexists(os.path.join(top, n))]
    new = "v-%06d" % rng.randrange(10**6)
    try:
        if kind == "add" or not here:
            write(os.path.join(top, new), str(rng.random()))
            volatile.add(new)
        elif kind == "remove":
            os.unlink(os.path.join(top, rng.choice(here)))
        elif kind == "rename":
            os.rename(os.path.join(top, rng.choice(here)), os.path.join(top, new))
            volatile.add(new)
        else:  # a stable name's file is replaced
            name = "stable-%05d.jpg" % rng.randrange(STABLE)
            if kind == "replace":
                write(os.path.join(top, name), str(rng.random()))
            else:
                write(os.path.join(top, new + ".new"), str(rng.random()))
                os.rename(os.path.join(top, new + ".new"), os.path.join(top, name))
    except FileNotFoundError:
        pass  # the other side was faster


STABLE = 400
LONGEST = 120  # bytes of a getdents64 entry here


def random_readers(mount, master, seed, rounds):
    rng = random.Random(seed)
    stable = {"stable-%05d.jpg" % i for i in range(STABLE)}
    point, errors, stop = mount.path("uploads/r"), [], threading.Event()

    def reader(seed):
        rng = random.Random(seed)
        try:
            for _ in range(rounds):
                pause = rng.choice([0, 0, 0.001, 0.004])
                big = rng.choice([LONGEST, 400, 4096, 32768])
                stream = Getdents(point)
                if rng.random() < 0.3:  # abandoned, or begun anew
                    stream.read(4096)
                    stream.seek(0)
                found = [n for n, _, _ in stream.all(lambda: rng.randrange(LONGEST, big + 1),
                                                     lambda: pause and time.sleep(pause))]
                stream.close()
                check(found, stable)
        except BaseException as error:
            errors.append(("seed %d" % seed, error))

    def changer(top, seed):
        rng, volatile = random.Random(seed), set()
        while not stop.is_set():
            pause = rng.choice([0.01, 0.3])  # quick, or long enough for the kernel to have a copy
            for _ in range(rng.randrange(1, 8)):
                stop.wait(rng.random() * pause)
                change_at_random(rng, top, volatile)

    changers = [threading.Thread(target=changer, args=(top, rng.random()))
                for top in (master.path("uploads/r"), point)]
    readers = [threading.Thread(target=reader, args=(seed * 1000 + i,)) for i in range(3)]
    for t in changers + readers:
        t.start()
    while any(t.is_alive() for t in readers):
        if rng.random() < 0.3:
            drop_caches(rng.choice([1, 2]))
        stop.wait(0.05)
    stop.set()
    for t in changers + readers:
        t.join()
    assert not errors, errors


@pytest.mark.san
@pytest.mark.parametrize("seed", [101])
def test_random_readers_and_changes(site, seed):
    master = site.master(start=False)
    fill(master.path("uploads/r"), STABLE)
    mount = site.mount(master.start())
    random_readers(mount, master, seed, 4)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 106))
def test_many_random_readers_and_changes(site, seed):
    master = site.master(start=False)
    fill(master.path("uploads/r"), STABLE)
    mount = site.mount(master.start())
    random_readers(mount, master, seed, 15)


class Stream:
    """opendir(3) and its kin."""

    class Entry(ctypes.Structure):
        _fields_ = [("ino", ctypes.c_uint64), ("off", ctypes.c_int64), ("len", ctypes.c_ushort),
                    ("type", ctypes.c_ubyte), ("name", ctypes.c_char * 256)]

    def __init__(self, path):
        libc.opendir.restype = ctypes.c_void_p
        libc.readdir.restype = ctypes.POINTER(self.Entry)
        libc.telldir.restype = ctypes.c_long
        self.d = ctypes.c_void_p(libc.opendir(os.fsencode(path)))
        assert self.d

    def read(self):
        e = libc.readdir(self.d)
        return e.contents.name.decode() if e else None

    def rest(self):
        return list(iter(self.read, None))

    def tell(self):
        return libc.telldir(self.d)

    def seek(self, at):
        libc.seekdir(self.d, ctypes.c_long(at))

    def rewind(self):
        libc.rewinddir(self.d)

    def close(self):
        libc.closedir(self.d)


def seeks(top, rng, outside):
    """telldir, seekdir and rewinddir among changes: what holds on a local disk."""
    stable = {"stable-%05d.jpg" % i for i in range(STABLE)}
    s, marks, seen = Stream(top), [], []
    while (name := s.read()) is not None:
        seen.append(name)
        marks.append(s.tell())
        if rng.random() < 0.02:  # what was just read goes, and something else comes
            if name not in stable and name[0] != ".":
                os.unlink(os.path.join(top, name))
            write(os.path.join(outside or top, "v-%06d" % rng.randrange(10**6)), "x")
    check(seen, stable)
    for i in rng.sample(range(len(marks)), 20):
        s.seek(marks[i])
        rest = s.rest()
        assert [n for n in rest if n in stable] == [n for n in seen[i + 1:] if n in stable]
    s.rewind()
    check(s.rest(), stable)
    s.close()


@pytest.mark.parametrize("changed", ["here", "on the master"])
def test_seekdir_as_on_a_local_disk(site, changed):
    local = tempfile.mkdtemp(dir=site.base)
    for top in (local, site.base + "/master/uploads/r"):
        fill(top, STABLE)
        fill(top, 40, "v")
    master = site.master()
    mount = site.mount(master)
    for seed in range(3):
        seeks(local, random.Random(seed), None)
        seeks(mount.path("uploads/r"), random.Random(seed),
              master.path("uploads/r") if changed == "on the master" else None)


def test_removing_while_listing(site):
    """What `rm -r` does, beside another reader: read some, remove them, read on."""
    master = site.master(start=False)
    fill(master.path("uploads/r"), 800)
    mount = site.mount(master.start())
    point, gone = mount.path("uploads/r"), []
    stream = Getdents(point)
    while not stream.done:
        for name, _, _ in stream.read(4096):
            if name not in (".", ".."):
                os.unlink(os.path.join(point, name))
                gone.append(name)
        Getdents(point).all()  # fills the kernel's copy anew, without what was removed
    assert len(gone) == len(set(gone)) == 800
    os.rmdir(point)
    mount.synced()
    assert not os.path.exists(master.path("uploads/r"))


def test_a_stream_over_a_remount(site):
    """An offset means the same after a restart of mount.eefs, and with another cache."""
    master = site.master(start=False)
    stable = fill(master.path("uploads/r"), STABLE)
    mount = site.mount(master.start())
    stream, head = Getdents(mount.path("uploads/r")), []
    while len(head) < 150:
        head += stream.read(1024)
    stream.close()
    mount.stop()
    shutil.rmtree(mount.cache)
    mount.start()
    stream = Getdents(mount.path("uploads/r"))
    stream.seek(head[-1][1])
    check([n for n, _, _ in head + stream.all()], stable)
    stream.close()


def test_numbers_and_links_of_folders(site):
    """st_nlink 1 says that the number of subfolders is not known; d_ino is st_ino."""
    master = site.master(start=False)
    for i in range(5):
        write(master.path("uploads/d%d/sub/leaf.txt" % i), "x")
    mount = site.mount(master.start())
    assert os.stat(mount.point).st_nlink == os.stat(mount.path("uploads/d1")).st_nlink == 1
    code = ("use File::Find; my $n = 0; find(sub { $n++ if $_ eq 'leaf.txt' }, $ARGV[0]); print $n")
    assert listed_by("perl", "-e", code, mount.point) == ["5"]
    assert len(listed_by("find", mount.point, "-name", "leaf.txt", "-links", "1")) == 6

    with open(mount.path("uploads/d1/sub/leaf.txt"), "ab") as f:  # open for writing here
        f.write(b"y")
        f.flush()
        write(master.path("uploads/d1/sub/leaf.txt"), "z")
        write(master.path("uploads/d1/sub/second.txt"), "z")
        wait_for(lambda: os.path.exists(mount.path("uploads/d1/sub/second.txt")), 10)
        for name, _, ino in Getdents(mount.path("uploads/d1/sub")).all():
            if name[0] != ".":
                assert os.lstat(mount.path("uploads/d1/sub", name)).st_ino == ino, name
        assert os.fstat(f.fileno()).st_ino == os.stat(f.name).st_ino


@pytest.mark.long
def test_two_hundred_thousand(site):
    master = site.master(start=False)
    stable = fill(master.path("uploads/big"), 200_000)
    mount = site.mount(master.start())
    point = mount.path("uploads/big")
    wait_for(lambda: os.path.exists(point), 120)
    begin = time.monotonic()
    stream = Getdents(point)
    stream.read(4096)
    assert time.monotonic() - begin < 1 * SLOW  # nobody waits for the whole listing
    stream.seek(0)
    check([n for n, _, _ in stream.all()], stable)
    check([n for n, _, _ in stream.all(stream.seek(0) or (lambda: 500))], stable)
    for i in range(20):
        write(master.path("uploads/big", "new-%d" % i), "x")
        Getdents(point).all(lambda: 65536)
    stream.seek(0)
    check([n for n, _, _ in stream.all()], stable)
    check(listed_by("ls", "-U", point), stable)
    size = os.sysconf("SC_PAGESIZE") * int(open("/proc/%d/statm" % mount.process.pid)
                                           .read().split()[1])
    assert size < 400 << 20
