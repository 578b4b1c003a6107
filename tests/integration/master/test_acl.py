# SPDX-License-Identifier: MIT
"""What belongs to a file on the master beside its bytes outlives its replacement by a mirror, and what
a mirror makes inherits as on a local disk."""

import os
import struct

import pytest

from eefs import away, back, read, wait_for, write

ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
USER_OBJ, USER, GROUP_OBJ, MASK, OTHER = 1, 2, 4, 16, 32
ANY = 0xFFFFFFFF


def acl(user=7, group=5, mask=7, other=0, **named):
    """named: u33=6"""
    entries = [(USER_OBJ, user, ANY)] + [(USER, p, int(n[1:])) for n, p in sorted(named.items())] + \
        [(GROUP_OBJ, group, ANY), (MASK, mask, ANY), (OTHER, other, ANY)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *e) for e in entries)


def shown(path):
    """The ACL as a list, and the mode; without an ACL None."""
    try:
        raw = os.getxattr(path, ACCESS)
    except OSError:
        raw = None
    return raw and [struct.unpack_from("<HHI", raw, i) for i in range(4, len(raw), 8)], \
        os.stat(path).st_mode & 0o7777


@pytest.fixture
def master(site):
    master = site.master(start=False)
    write(master.path("uploads/a.txt"), b"a")
    os.mkdir(master.path("uploads/shared"))
    try:
        os.setxattr(master.path("uploads/a.txt"), ACCESS, acl(6, 4, 6, 0, u33=6))
    except OSError as error:
        pytest.skip("no ACLs here: %s" % error)
    os.setxattr(master.path("uploads/a.txt"), "user.note", b"kept")
    os.setxattr(master.path("uploads/shared"), DEFAULT, acl(7, 5, 7, 0, u33=7))
    return master.start()


@pytest.fixture
def mount(site, master):
    return site.mount(master)


def test_replaced(site, master, mount):
    there, here = master.path("uploads/a.txt"), mount.path("uploads/a.txt")
    before = shown(there)

    def same():
        mount.synced()
        return shown(there) == before and os.getxattr(there, "user.note") == b"kept"

    write(here, b"in place")
    assert same() and read(there) == b"in place"
    write(here + ".new", b"by rename")  # a file of its own, as on any disk
    os.chmod(here, 0o600)
    mount.synced()
    assert shown(there)[0][3] == (MASK, 0, ANY)  # chmod sets the mask
    os.chmod(here, 0o660)
    assert same()
    write(here, os.urandom(200000))  # not inline
    assert same()


def test_conflict_copies_and_restored_versions(site, master):
    link = site.link(master)
    mount = site.mount(master, url=link.url)
    before = shown(master.path("uploads/a.txt"))
    link.cut()
    away(mount)
    write(mount.path("uploads/a.txt"), b"mirror's")
    write(master.path("uploads/a.txt"), b"master's")
    link.restore()
    back(mount)
    copy, = (n for n in os.listdir(master.path("uploads")) if "conflict" in n)
    assert read(master.path("uploads", copy)) == b"mirror's"
    assert shown(master.path("uploads", copy)) == shown(master.path("uploads/a.txt")) == before
    assert os.getxattr(master.path("uploads", copy), "user.note") == b"kept"
    write(mount.path("uploads/a.txt"), b"next")
    mount.synced()
    site.run("eefs-master", "restore", "uploads/a.txt", "--state", master.state, check=False)
    assert shown(master.path("uploads/a.txt")) == before


def test_copies_outside_of_the_tree(site):
    master = site.master(start=False)
    write(master.path("uploads/a.txt"), b"a")
    os.setxattr(master.path("uploads/a.txt"), "user.note", b"kept")
    outside = os.path.join(site.base, "conflicts")
    os.mkdir(outside)
    master.options = ["--conflicts", outside]
    master.start()
    link = site.link(master)
    mount = site.mount(master, url=link.url)
    link.cut()
    away(mount)
    write(mount.path("uploads/a.txt"), b"mirror's")
    write(master.path("uploads/a.txt"), b"master's")
    link.restore()
    back(mount)
    copy, = os.listdir(outside + "/uploads")
    assert read(os.path.join(outside, "uploads", copy)) == b"mirror's"
    assert os.getxattr(os.path.join(outside, "uploads", copy), "user.note") == b"kept"


@pytest.mark.parametrize("mask", (0o022, 0o077, 0))
def test_default_acl(site, master, mount, mask):
    """New files and folders are as those that a program makes in the folder itself."""
    old = os.umask(mask)
    try:
        for mode in (0o666, 0o600, 0o777, 0o644):
            name = "uploads/shared/%o-%o" % (mask, mode)
            os.close(os.open(master.path(name + ".local"), os.O_CREAT | os.O_WRONLY, mode))
            os.mkdir(master.path(name + ".local.d"), mode)
            os.close(os.open(mount.path(name), os.O_CREAT | os.O_WRONLY, mode))
            os.mkdir(mount.path(name + ".d"), mode)
            mount.synced()
            for end in ("", ".d"):
                assert shown(master.path(name + end)) == shown(master.path(name + ".local" + end)), end
                wait_for(lambda: os.stat(mount.path(name + end)).st_mode ==
                         os.stat(master.path(name + end)).st_mode)
            os.close(os.open(mount.path("uploads/plain-%o" % mode), os.O_CREAT | os.O_WRONLY, mode))
            mount.synced()
            assert shown(master.path("uploads/plain-%o" % mode)) == (None, mode & ~mask)
            os.unlink(mount.path("uploads/plain-%o" % mode))
        with open(mount.path("uploads/shared/said"), "wb") as f:
            os.fchmod(f.fileno(), 0o640)  # a chmod says it, whatever the umask was
        mount.synced()
        assert shown(master.path("uploads/shared/said"))[1] == 0o640
        inner = mount.path("uploads/shared/%o-777.d/inner" % mask)
        write(inner, b"x")
        mount.synced()
        assert shown(master.path("uploads/shared/%o-777.d/inner" % mask))[0]
    finally:
        os.umask(old)
