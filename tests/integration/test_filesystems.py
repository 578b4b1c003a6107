# SPDX-License-Identifier: MIT
"""The master's folder on other filesystems: where copies share blocks (XFS, btrfs), and where names are
neither exchanged nor kept from being replaced (NFS; here a folder through bindfs)."""

import json
import os
import re
import shutil
import subprocess

import pytest

from eefs import content_name, read, tree, unmount, wait_for, write
from test_mirror_writes import BOX, answers, files, put, rename, results, staging, until_done

MIB = 1 << 20


def loop_mount(site, kind, point):
    """A small filesystem of that kind in a file; skips with the reason where that cannot be."""
    make = shutil.which("mkfs." + kind)
    if not make:
        pytest.skip("mkfs.%s is not installed" % kind)
    if os.getuid() != 0:
        pytest.skip("needs root to mount a loop device")
    image = os.path.join(site.base, kind + ".img")
    with open(image, "wb") as f:
        f.truncate(320 * MIB)
    subprocess.run([make, "-q", image], check=True, capture_output=True)
    done = subprocess.run(["mount", "-t", kind, "-o", "loop", image, point], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip("no loop mount of %s here: %s" % (kind, done.stderr.strip()))
    site.cleanups.append(lambda: unmount(point))


def shared_bytes(path):
    """How much of a file is in extents that another file has, too."""
    os.sync()
    out = subprocess.run(["filefrag", "-v", "-b1", path], capture_output=True, text=True, check=True).stdout
    return sum(int(line.split(":")[3]) for line in out.splitlines()
               if re.match(r" +\d+:", line) and "shared" in line)


@pytest.mark.parametrize("kind", ["xfs", "btrfs"])
def test_kept_versions_share_blocks(site, kind):
    master = site.master(start=False)
    loop_mount(site, kind, master.root)
    first, second = os.urandom(4 * MIB), os.urandom(4 * MIB)
    write(master.path("img/a.bin"), first)
    write(master.path("uploads/b.bin"), first[:MIB])
    master.add_mirror("slave1")
    master.start()
    kept = master.path(".eefs/kept")

    def store():
        return {read(os.path.join(top, name)): os.path.join(top, name)
                for top, _, names in os.walk(kept) for name in names}

    wait_for(lambda: {first, first[:MIB]} <= set(store()), 20)
    assert shared_bytes(store()[first]) == 4 * MIB
    with open(master.path("img/a.bin"), "r+b") as f:  # in place: the copy keeps the old blocks
        f.write(second)
    wait_for(lambda: master.listing()["img/a.bin"]["hash"] == content_name(second))
    wait_for(lambda: set(store()) == {first, first[:MIB], second}, 20)
    assert shared_bytes(store()[first]) == 0 and shared_bytes(store()[second]) == 4 * MIB
    # What a mirror replaces moves into the store, and what it puts is kept at once, sharing.
    new = os.urandom(60_000)
    assert results(master.ops(BOX, put(1, "uploads/b.bin", new, first[:MIB]))) == ["done"]
    wait_for(lambda: new in store() and staging(master) == [], 20)
    assert shared_bytes(store()[new]) >= 60_000
    # A restored version shares, too.
    out = site.run("eefs-master", "history", "img/a.bin", "--state", master.state, "--json").stdout
    version = next(v["seq"] for v in json.loads(out)["versions"] if v["hash"] == content_name(first))
    site.run("eefs-master", "restore", "img/a.bin@%d" % version, "--state", master.state)
    assert read(master.path("img/a.bin")) == first
    assert shared_bytes(master.path("img/a.bin")) == 4 * MIB
    master.stop()


@pytest.fixture
def master(site):
    """Its folder is a bindfs mount: rename(2) without flags only, and leases know nothing."""
    if not shutil.which("bindfs"):
        pytest.skip("bindfs is not installed")
    master = site.master(start=False)
    below = os.path.join(site.base, "below")
    write(os.path.join(below, "uploads/one.txt"), "one")
    write(os.path.join(below, "uploads/two.txt"), "two")
    done = subprocess.run(["bindfs", below, master.root], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip("bindfs cannot mount here: %s" % done.stderr.strip())
    site.cleanups.append(lambda: unmount(master.root, lazy=True))
    master.add_mirror("slave1")
    master.options = ["--quiet-time", "2s"]
    return master.start()


def all_told(master):
    """The feed tells what is in the folder."""
    names = {os.fsdecode(path) for path in tree(master.root)}
    wait_for(lambda: set(name.replace("%20", " ") for name in master.listing()) == names, 20)


def test_every_operation_without_renameat2_flags(master):
    two = content_name(b"two")
    a = master.ops(BOX, {"n": 1, "op": "mkdir", "path": "uploads/d", "mode": 0o755},
                   put(2, "uploads/d/new.txt", b"new"),
                   put(3, "uploads/one.txt", b"ONE", b"one"),
                   rename(4, "uploads/two.txt", "uploads/moved.txt", b"two"),
                   rename(5, "uploads/moved.txt", "uploads/one.txt", b"two", b"ONE"),
                   {"n": 6, "op": "rename", "path": "uploads/d", "to": "uploads/e", "pre": "dir", "to_pre": "absent"},
                   {"n": 7, "op": "symlink", "path": "uploads/link", "target": "e/new.txt", "pre": "absent",
                    "mtime": 1_600_000_000_000_000_000},
                   put(8, "uploads/e/gone.txt", b"gone"),
                   {"n": 9, "op": "unlink", "path": "uploads/e/gone.txt", "pre": content_name(b"gone")})
    assert results(a) == ["done"] * 9, answers(a)
    assert read(master.path("uploads/one.txt")) == b"two" and read(master.path("uploads/link")) == b"new"
    assert sorted(os.listdir(master.path("uploads"))) == ["e", "link", "one.txt"]
    assert master.listing()["uploads/one.txt"]["hash"] == two
    wait_for(lambda: staging(master) == [], 20)
    all_told(master)
    # What is there is not replaced by what expects nothing there.
    a = answers(master.ops(BOX, put(10, "uploads/one.txt", b"other")))
    assert a[0]["result"] == "conflict" and read(master.path("uploads/one.txt")) == b"two"
    assert b"other" in [read(master.path("uploads", n)) for n in os.listdir(master.path("uploads")) if "conflict" in n]
    all_told(master)


def test_a_late_writer_keeps_its_edit_without_an_exchange(master):
    with open(master.path("uploads/one.txt"), "r+b") as f:
        assert results(master.ops(BOX, put(1, "uploads/one.txt", b"mirror", b"one"))) == ["done"]
        f.write(b"local edit")
    wait_for(lambda: read(master.path("uploads/one.txt")) == b"local edit", 30)
    assert sorted(files(master).values()) == [b"local edit", b"mirror", b"two"]
    wait_for(lambda: staging(master) == [])
    all_told(master)


@pytest.mark.parametrize("point", ["master.exchange.aside", "master.put.exchanged"])
def test_killed_in_the_middle_of_an_exchange(master, point):
    new = b"new " * 20_000
    master.stop()
    master.start(env={"EEFS_CRASH_AT": point})
    op = put(1, "uploads/one.txt", new, b"one", inline=False)

    def both():
        master.request("PUT", "/v1/o/" + content_name(new), body=new)
        return results(master.ops(BOX, op))

    assert until_done(master, both) == ["done"]
    assert files(master) == {"one.txt": new, "two.txt": b"two"}
    wait_for(lambda: [n for n in staging(master) if not n.startswith("up-")] == [], 30)
    assert files(master) == {"one.txt": new, "two.txt": b"two"}
    all_told(master)
