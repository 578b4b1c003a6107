# SPDX-License-Identifier: MIT
"""A small disk under the cache: what is clean makes room, what is not sent yet stays, and a disk that
is really full is told to the writer only."""

import errno
import os
import subprocess

import pytest

from eefs import read, tree, unmount, wait_for, write

MIB = 1 << 20
pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="needs root to mount a small filesystem")


@pytest.fixture
def master(site):
    master = site.master(start=False)
    for i in range(16):
        write(master.path("img/%d.bin" % i), os.urandom(MIB))
    write(master.path("css/a.css"), "body{}")
    os.mkdir(master.path("uploads"))
    return master.start()


@pytest.fixture
def mount(site, master, link):
    """Its cache has a filesystem of 24 MiB of its own."""
    mount = site.mount(master, start=False, url=link.url, prefetch="none")
    os.mkdir(mount.cache)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", mount.cache], check=True)
    site.cleanups.append(lambda: unmount(mount.cache))
    return mount.start()


def free(mount):
    st = os.statvfs(mount.cache)
    return st.f_bavail * st.f_frsize


def away(mount):
    wait_for(lambda: mount.status()["link"] == "down", 30, "away")


def fill_with_clean(mount):
    for i in range(16):
        assert len(read(mount.path("img/%d.bin" % i))) == MIB


def write_until_full(mount, name):
    """[(path, content)] of what close() took; ends with the first ENOSPC."""
    done = []
    for i in range(40):
        path, data = mount.path("uploads", "%s%d.bin" % (name, i)), os.urandom(MIB)
        try:
            write(path, data)
            done.append((path, data))
        except OSError as error:
            assert error.errno == errno.ENOSPC, error
            return done
    raise AssertionError("never full")


def test_clean_content_makes_room_for_what_is_written(master, link, mount):
    fill_with_clean(mount)
    assert free(mount) < 8 * MIB
    link.cut()
    away(mount)
    data = os.urandom(16 * MIB)
    write(mount.path("uploads/large.bin"), data)
    assert read(mount.path("uploads/large.bin")) == data
    link.restore()
    wait_for(lambda: mount.status()["link"] == "up", 30)
    mount.synced()
    assert read(master.path("uploads/large.bin")) == data


def test_a_full_disk_is_told_to_the_writer_and_mends_itself(site, master, link, mount):
    fill_with_clean(mount)
    assert read(mount.path("css/a.css")) == b"body{}"
    link.cut()
    away(mount)
    done = write_until_full(mount, "f")
    assert 15 <= len(done) <= 24
    # the disk to its last byte, as another program could do it
    filler = os.path.join(mount.cache, "filler")
    with open(filler, "wb", buffering=0) as f:
        try:
            while f.write(b"x" * 4096):
                pass
        except OSError as error:
            assert error.errno == errno.ENOSPC
    for _ in range(3):
        with pytest.raises(OSError) as error:
            write(mount.path("uploads/no room.bin"), os.urandom(MIB))
        assert error.value.errno == errno.ENOSPC
    # the rest goes on: names, attributes, what was written
    assert "a.css" in os.listdir(mount.path("css"))
    assert os.stat(mount.path("css/a.css")).st_size == 6
    assert os.statvfs(mount.point).f_bavail < 1000
    for path, data in done:
        assert read(path) == data
    status = mount.status()
    assert status["pending"] >= len(done)
    # the master comes back while the disk is still full: changes go out, and that frees it
    write(master.path("css/new.css"), "while it was full")
    link.restore()
    wait_for(lambda: mount.status()["link"] == "up", 30)
    wait_for(lambda: all(os.path.exists(master.path("uploads", os.path.basename(path)))
                         for path, _ in done), 60)
    wait_for(lambda: os.path.exists(mount.path("css/new.css")), 60)
    write(mount.path("uploads/room again.bin"), os.urandom(2 * MIB))
    os.unlink(filler)
    wait_for(lambda: mount.status()["pending"] == 0, 30)
    for path, data in done:
        assert read(master.path("uploads", os.path.basename(path))) == data
    wait_for(lambda: tree(mount.path("uploads")) == tree(master.path("uploads")), 20)
    wait_for(lambda: mount.status()["state"] == "OK", 30)


def test_pending_content_is_never_evicted(master, link, mount):
    """Restarted, asked for room again and again: what is not on the master stays."""
    link.cut()
    away(mount)
    data = os.urandom(10 * MIB)
    write(mount.path("uploads/pending.bin"), data)
    mount.stop()
    mount.start(cache_size="1M")
    for i in range(16):
        try:
            write(mount.path("uploads/%d.bin" % i), os.urandom(MIB))
        except OSError as error:
            assert error.errno == errno.ENOSPC
    link.restore()
    wait_for(lambda: os.path.exists(master.path("uploads/pending.bin")), 60)
    assert read(master.path("uploads/pending.bin")) == data
    mount.synced()
    wait_for(lambda: mount.status()["cache_used"] <= MIB, 20)  # sent, so clean, so evicted
