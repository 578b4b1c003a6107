# SPDX-License-Identifier: MIT
"""Full disks under the cache, under the outbox database and under the master: the writer is told or the
change waits, the rest goes on, and all recovers by itself. Small tmpfs in the test's folder."""

import errno
import os
import shutil
import time

import pytest

from disk import fill, small_disk
from eefs import SCOPE, SLOW, away, read, tree, wait_for, write

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="mounts a tmpfs")


@pytest.fixture
def master(site):
    master = site.master(start=False)
    write(master.path("css/a.css"), "body{}")
    write(master.path("uploads/old.txt"), "old")
    master.add_mirror("slave1")
    return master


def settled(mount, master):
    mount.synced()
    wait_for(lambda: tree(mount.path("uploads")) == tree(master.path("uploads")), 30)
    status = mount.status()
    assert (status["conflicts"], status["quarantined"]) == (0, 0), status


def test_cache_full_of_clean_content(site, master):
    """What can be fetched again makes room for what is written here."""
    for i in range(6):
        write(master.path("img/%d" % i), os.urandom(2_000_000))
    master.start()
    mount = site.mount(master, start=False, prefetch="none", private="none")
    site.cleanups.append(small_disk(mount.cache, 24))
    mount.start()
    for i in range(6):
        assert len(read(mount.path("img/%d" % i))) == 2_000_000
    new = os.urandom(9_000_000)
    write(mount.path("uploads/new.bin"), new)
    settled(mount, master)
    assert read(master.path("uploads/new.bin")) == new
    assert len(read(mount.path("img/0"))) == 2_000_000


def test_cache_really_full(site, master):
    """The writer gets ENOSPC; what is here can still be read, and with room again all is well."""
    master.start()
    mount = site.mount(master, start=False, private="none")
    site.cleanups.append(small_disk(mount.cache, 16))
    mount.start()
    assert read(mount.path("css/a.css")) == b"body{}"
    fill(os.path.join(mount.cache, "ballast"), 200_000)
    with pytest.raises(OSError) as refused:
        write(mount.path("uploads/big.bin"), b"\2" * 4_000_000)
    assert refused.value.errno == errno.ENOSPC
    assert read(mount.path("css/a.css")) == b"body{}"
    assert "old.txt" in os.listdir(mount.path("uploads"))
    write(master.path("css/b.css"), "b")
    os.unlink(os.path.join(mount.cache, "ballast"))
    wait_for(lambda: read(mount.path("css/b.css")) == b"b", 20)
    write(mount.path("uploads/big.bin"), b"\3" * 4_000_000)
    settled(mount, master)
    assert read(master.path("uploads/big.bin")) == b"\3" * 4_000_000


def test_outbox_without_room(site, master):
    """Offline, until the disk takes no more: what returned is kept, over a kill -9 too, and sent."""
    master.start()
    link = site.link(master)
    mount = site.mount(master, start=False, url=link.url, private="none")
    site.cleanups.append(small_disk(mount.cache, 12))
    mount.start()
    link.cut()
    wait_for(lambda: mount.status()["state"] == "ISOLATED", 30)
    kept, refused = {}, 0
    for i in range(400):
        name, data = "uploads/f%03d" % i, b"%d" % i * 20_000
        try:
            write(mount.path(name), data)
            kept[name] = data
        except OSError as error:
            assert error.errno == errno.ENOSPC, error
            refused += 1
            if refused > 5:
                break
    assert refused and len(kept) > 20
    for i in range(300):  # names and attributes too, until the database itself has no room
        try:
            os.mkdir(mount.path("uploads/d%03d" % i))
        except OSError as error:
            assert error.errno == errno.ENOSPC, error
            break
    for name, data in kept.items():
        assert read(mount.path(name)) == data
    before = set(os.listdir(mount.path("uploads")))
    mount.kill()
    mount.cleanup()
    mount.start()
    for name, data in kept.items():
        assert read(mount.path(name)) == data
    now = set(os.listdir(mount.path("uploads")))
    # A creation that was refused its content is a file that was never closed.
    assert now <= before and all(n.startswith("f") for n in before - now), before ^ now
    link.restore()
    settled(mount, master)
    for name, data in kept.items():
        assert read(master.path(name)) == data


def test_master_full(site, master):
    """A mirror's upload waits in the outbox until the master has room."""
    disk = os.path.join(site.base, "disk")
    site.cleanups.append(small_disk(disk, 100))  # more than the master keeps free
    shutil.move(master.root, os.path.join(disk, "root"))
    master.root = os.path.join(disk, "root")
    master.start()
    mount = site.mount(master, private="none")
    fill(os.path.join(disk, "ballast"), 100_000)
    data = os.urandom(1_000_000)
    begin = time.monotonic()
    write(mount.path("uploads/late.bin"), data)
    assert time.monotonic() - begin < 10 * SLOW  # close() waits for 5 s without progress
    assert read(mount.path("uploads/late.bin")) == data
    assert not os.path.exists(master.path("uploads/late.bin"))
    status = wait_for(lambda: mount.status() if mount.status()["pending"] else None, 10)
    assert status["quarantined"] == 0
    write(mount.path("uploads/small.txt"), "small")
    assert os.listdir(mount.path("css")) == ["a.css"]
    assert master.healthy()
    os.unlink(os.path.join(disk, "ballast"))
    settled(mount, master)
    assert read(master.path("uploads/late.bin")) == data
    assert read(master.path("uploads/small.txt")) == b"small"


def test_master_database_full(site, master):
    """No room for the master's database: nothing is published or accepted half."""
    site.cleanups.append(small_disk(master.state, 40))  # more than the master keeps free
    master.add_mirror("slave1")
    master.start()
    mount = site.mount(master, private="none")
    fill(os.path.join(master.state, "ballast"))
    for i in range(60):
        write(mount.path("uploads/f%d" % i), b"%d" % i * 3000)
        if mount.status()["pending"]:
            break
    write(master.path("css/late.css"), "late")
    assert read(mount.path("uploads/old.txt")) == b"old"
    os.unlink(os.path.join(master.state, "ballast"))
    settled(mount, master)
    wait_for(lambda: os.path.exists(mount.path("css/late.css")), 30)
    assert tree(mount.point) == tree(master.root, scope=SCOPE)


@pytest.mark.parametrize("used", [True, False], ids=["in use", "unmounted"])
def test_damaged_database_and_no_room_for_a_new_one(site, master, used):
    """It is kept aside once, nothing that waits is lost, the status says that there is no room, and with room it is
    made anew."""
    for i in range(1000):
        write(master.path("img/%02d/%s-%d" % (i % 30, "n" * 150, i)), "picture")
    master.start()
    link = site.link(master)
    mount = site.mount(master, start=False, prefetch="none", private="none", url=link.url)
    site.cleanups.append(small_disk(mount.cache, 48))
    mount.start()
    read(mount.path("uploads/old.txt"))
    link.cut()
    away(mount)
    for i in range(20):
        write(mount.path("uploads/f%d" % i), "f%d" % i)
    os.unlink(mount.path("uploads/old.txt"))
    mount.stop()
    if used:
        mount.start()
    with open(mount.cache + "/replica.db", "r+b") as f:
        for at in range(9000, os.path.getsize(mount.cache + "/replica.db"), 12288):
            f.seek(at)
            f.write(b"damaged")
    fill(os.path.join(mount.cache, "ballast"))
    if not used:
        link.restore()
        for _ in range(2):  # it says why, and tries again with the next mount
            done = mount.try_start()
            assert done.returncode == 32 and "No space left" in done.stderr, done.stderr
            assert not mount.mounted()
        os.unlink(mount.cache + "/ballast")
        mount.start()
    else:
        with pytest.raises(OSError):
            for folder in os.listdir(mount.path("img")):
                os.listdir(mount.path("img/" + folder))
        link.restore()
        wait_for(lambda: mount.status()["state"] == "FAILED" and "No space left" in mount.status()["reason"]
                 and "free space" in mount.status()["action"], 20, "said")
        time.sleep(2)
        assert len(os.listdir(mount.cache + "/damaged")) == 1
        assert mount.process.log().count("damaged database is kept in") == 1
        os.unlink(mount.cache + "/ballast")
    try:
        wait_for(lambda: mount.status()["state"] == "OK", 30)
    except AssertionError as e:
        raise AssertionError(mount.status()) from e
    settled(mount, master)
    assert sorted(os.listdir(master.path("uploads"))) == sorted("f%d" % i for i in range(20))
    assert sum(len(os.listdir(mount.path("img/" + d))) for d in os.listdir(mount.path("img"))) == 1000
    assert len(os.listdir(mount.cache + "/damaged")) == 1
