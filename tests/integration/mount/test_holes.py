# SPDX-License-Identifier: MIT
"""Holes survive on the way to the master and to other mirrors, and fallocate(2) does on a mirror what
it does on ext4."""

import ctypes
import ctypes.util
import errno
import os
import random
import subprocess

import pytest

from eefs import read, wait_for, write

LIBC = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)
KEEP_SIZE, PUNCH, COLLAPSE, ZERO = 1, 2, 8, 16
MIB = 1 << 20


def fallocate(fd, mode, off, size):
    if LIBC.fallocate(fd, mode, ctypes.c_long(off), ctypes.c_long(size)) < 0:
        return ctypes.get_errno()
    return 0


def extents(path):
    """[(offset, end)] of its data."""
    found, fd = [], os.open(path, os.O_RDONLY)
    try:
        at, size = 0, os.fstat(fd).st_size
        while at < size:
            try:
                data = os.lseek(fd, at, os.SEEK_DATA)
            except OSError as error:
                assert error.errno == errno.ENXIO
                break
            at = os.lseek(fd, data, os.SEEK_HOLE)
            found.append((data, at))
        return found
    finally:
        os.close(fd)


def sparse(path, size=8 * MIB):
    with open(path, "wb") as f:
        f.truncate(size)
        for at in (0, 3 * MIB, size - 4096):
            f.seek(at)
            f.write(b"data" * 1024)


WANT = [(0, 4096), (3 * MIB, 3 * MIB + 4096), (8 * MIB - 4096, 8 * MIB)]


@pytest.fixture
def master(site):
    master = site.master(start=False)
    os.makedirs(master.path("uploads"))
    sparse(master.path("uploads/theirs"))
    master.add_mirror("slave2")
    return master.start()


def test_both_ways(site, master):
    if extents(master.path("uploads/theirs")) != WANT:
        pytest.skip("no holes here")
    mount, other = site.mount(master), site.mount(master, "slave2", prefetch="none")
    theirs = mount.path("uploads/theirs")
    assert extents(theirs) == WANT
    assert extents(other.path("uploads/theirs")) == WANT  # fetched for it
    wait_for(lambda: os.stat(other.path("uploads/theirs")).st_blocks * 512 < MIB)
    sparse(mount.path("uploads/ours"))
    mount.synced()
    for top in (mount.path, master.path):
        assert extents(top("uploads/ours")) == WANT
        assert os.stat(top("uploads/ours")).st_blocks * 512 < MIB
    assert read(master.path("uploads/ours")) == read(master.path("uploads/theirs"))
    subprocess.run(["cp", theirs, mount.path("uploads/copy")], check=True)
    mount.synced()
    assert extents(master.path("uploads/copy")) == WANT
    with open(mount.path("uploads/ours"), "r+b") as f:  # the copy for the first write keeps them
        f.seek(5 * MIB)
        f.write(b"x")
    mount.synced()
    assert len(extents(master.path("uploads/ours"))) == 4
    with open(mount.path("uploads/empty"), "wb") as f:
        f.truncate(2 * MIB)
    mount.synced()
    assert extents(master.path("uploads/empty")) == extents(mount.path("uploads/empty")) == []
    assert os.stat(master.path("uploads/empty")).st_size == 2 * MIB
    wait_for(lambda: os.path.exists(other.path("uploads/ours")))
    assert read(other.path("uploads/ours")) == read(mount.path("uploads/ours"))


@pytest.mark.parametrize("seed", range(3))
def test_fallocate_as_on_a_local_disk(site, master, seed):
    mount, rng = site.mount(master), random.Random(seed)
    local = os.path.join(site.base, "local")
    paths = (local, mount.path("uploads/f"))
    for path in paths:
        write(path, b"begin" * 20000)
    if fallocate(os.open(local, os.O_RDWR), ZERO, 0, 4096) == errno.EOPNOTSUPP:
        pytest.skip("not here")
    fallocate_zero = os.open(paths[1], os.O_RDWR)
    assert fallocate(fallocate_zero, ZERO, 0, 4096) == 0
    os.close(fallocate_zero)
    for _ in range(12):
        fds = [os.open(p, os.O_RDWR) for p in paths]
        for _ in range(rng.randrange(1, 6)):
            mode = rng.choice((0, KEEP_SIZE, PUNCH | KEEP_SIZE, ZERO, ZERO | KEEP_SIZE, PUNCH))
            off, size = rng.randrange(0, 300000), rng.randrange(1, 200000)
            assert len({fallocate(fd, mode, off, size) for fd in fds}) == 1, (mode, off, size)
            data = rng.randbytes(rng.randrange(1, 9000))
            at = rng.randrange(0, 300000)
            for fd in fds:
                os.pwrite(fd, data, at)
            assert os.fstat(fds[0]).st_size == os.fstat(fds[1]).st_size
        for fd in fds:
            os.close(fd)
        assert read(paths[0]) == read(paths[1])
    fds = [os.open(p, os.O_RDONLY) for p in paths]
    assert [fallocate(fd, 0, 0, 10) for fd in fds] == [errno.EBADF] * 2
    for fd in fds:
        os.close(fd)
    mount.synced()
    assert read(local) == read(master.path("uploads/f"))
