# SPDX-License-Identifier: MIT
"""The master's folder on other filesystems: where copies share blocks (XFS, btrfs), where names are
neither exchanged nor kept from being replaced (NFS; here a folder through bindfs), and where there are
neither second names, links, modes nor owners, times are whole seconds, inodes get other numbers with
each mount and case does not count in names (exFAT)."""

import http.client
import json
import os
import re
import shutil
import subprocess
import time

import pytest

from disk import bindfs_master
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
    master, _ = bindfs_master(site)
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
    wait_for(lambda: sorted(files(master).values()) == [b"local edit", b"mirror", b"two"])
    wait_for(lambda: staging(master) == [])
    all_told(master)


def test_the_files_clock_decides_what_is_quiet(site):
    """The folder's times are another machine's, whose clock is a minute behind."""
    master, _ = bindfs_master(site)
    master.options = ["--quiet-time", "1s"]
    ahead = dict(line.split("=", 1) for line in
                 subprocess.check_output(["faketime", "-f", "+60s", "env"], text=True).splitlines())
    master.start(env={"LD_PRELOAD": ahead["LD_PRELOAD"], "FAKETIME": "+60s", "NO_FAKE_STAT": "1",
                      "FAKETIME_DONT_FAKE_MONOTONIC": "1"})
    wait_for(lambda: "uploads/two.txt" in master.listing(), 20)
    with open(master.path("uploads/slow.txt"), "wb", buffering=0) as f:
        for _ in range(20):
            wrote = time.monotonic()
            f.write(b"a piece\n")
            time.sleep(0.1)
            told = "uploads/slow.txt" in master.listing()
            assert not told or time.monotonic() - wrote > 0.9
    wait_for(lambda: "uploads/slow.txt" in master.listing(), 20)
    assert master.listing()["uploads/slow.txt"]["hash"] == content_name(b"a piece\n" * 20)


@pytest.fixture
def exfat(site):
    """Its folder is exFAT by FUSE; master.unmount() and master.mount()."""
    if not shutil.which("mkfs.exfat") or not shutil.which("mount.exfat-fuse"):
        pytest.skip("mkfs.exfat or mount.exfat-fuse is not installed")
    if os.getuid() != 0:
        pytest.skip("needs root to mount a loop device")
    image = os.path.join(site.base, "exfat.img")
    with open(image, "wb") as f:
        f.truncate(320 * MIB)
    subprocess.run(["mkfs.exfat", image], check=True, capture_output=True)
    found = subprocess.run(["losetup", "-f", "--show", image], capture_output=True, text=True)
    if found.returncode != 0:
        pytest.skip("no loop device here: %s" % found.stderr.strip())
    device = found.stdout.strip()
    site.cleanups.append(lambda: subprocess.run(["losetup", "-d", device], check=False))
    master = site.master(start=False)

    def mount():
        done = subprocess.run(["mount.exfat-fuse", device, master.root], capture_output=True, text=True)
        if done.returncode != 0:
            pytest.skip("no exFAT here: %s" % done.stderr.strip())

    def umount():
        if os.path.ismount(master.root):
            wait_for(lambda: unmount(master.root), 10, "umount")

    mount()
    site.cleanups.append(umount)
    master.mount, master.unmount = mount, umount
    write(master.path("uploads/one.txt"), "one")
    write(master.path("uploads/two.txt"), "two")
    master.add_mirror("slave1")
    master.options = ["--quiet-time", "2s"]
    return master


def test_every_operation_on_exfat(site, exfat):
    master = exfat
    master.start()
    assert "differ only by case" in master.process.log()
    two = content_name(b"two")
    a = master.ops(BOX, {"n": 1, "op": "mkdir", "path": "uploads/d", "mode": 0o755},
                   put(2, "uploads/d/new.txt", b"new"),
                   put(3, "uploads/one.txt", b"ONE", b"one"),
                   rename(4, "uploads/two.txt", "uploads/moved.txt", b"two"),
                   rename(5, "uploads/moved.txt", "uploads/one.txt", b"two", b"ONE"),
                   {"n": 6, "op": "rename", "path": "uploads/d", "to": "uploads/e", "pre": "dir", "to_pre": "absent"},
                   put(7, "uploads/e/gone.txt", b"gone"),
                   {"n": 8, "op": "unlink", "path": "uploads/e/gone.txt", "pre": content_name(b"gone")},
                   {"n": 9, "op": "setattr", "path": "uploads/one.txt", "mode": 0o600, "mtime": 10**18})
    assert results(a) == ["done"] * 9, answers(a)
    # What cannot be had is refused with a reason, and not asked for again and again.
    for n, op in enumerate([{"op": "symlink", "path": "uploads/link", "target": "e", "pre": "absent", "mtime": 10**18},
                            put(0, "uploads/a:b", b"colon"),
                            put(0, "uploads/" + 254 * "x" + ":", b"colon, as long as can be"),
                            {"op": "mkdir", "path": "uploads/c:d", "mode": 0o755},
                            rename(0, "uploads/one.txt", "uploads/o:e.txt", b"two")], 10):
        answer = answers(master.ops(BOX, dict(op, n=n)))[0]
        assert answer["result"] == "refused" and "filesystem cannot hold" in answer["error"], answer
    assert read(master.path("uploads/one.txt")) == b"two" and master.listing()["uploads/one.txt"]["hash"] == two
    assert sorted(os.listdir(master.path("uploads"))) == ["e", "one.txt"]
    wait_for(lambda: staging(master) == [], 20)
    all_told(master)
    # Versions are kept and come back.
    versions = json.loads(site.run("eefs-master", "history", "uploads/one.txt", "--state", master.state,
                                   "--json").stdout)["versions"]
    old = next(v for v in versions if v["hash"] == content_name(b"ONE"))
    site.run("eefs-master", "restore", "uploads/one.txt@%d" % old["seq"], "--state", master.state)
    assert read(master.path("uploads/one.txt")) == b"ONE"
    master.stop()


def test_a_late_writer_on_exfat(exfat):
    exfat.start()
    test_a_late_writer_keeps_its_edit_without_an_exchange(exfat)


def test_killed_while_nothing_has_the_name(exfat):
    """Where there are no second names a path is empty for a moment. A kill just then deletes nothing, even
    if the mirror never asks again."""
    exfat.start(env={"EEFS_CRASH_AT": "master.exchange.away"})
    wait_for(lambda: {"uploads/one.txt", "uploads/two.txt"} <= set(exfat.listing()))
    _, cursor = exfat.changes()
    with pytest.raises((OSError, http.client.HTTPException)):
        exfat.ops(BOX, put(1, "uploads/one.txt", b"new", b"one"))
    assert exfat.process.popen.wait(20) == -9
    assert not os.path.exists(exfat.path("uploads/one.txt"))
    exfat.start()
    assert read(exfat.path("uploads/one.txt")) == b"one"
    wait_for(lambda: staging(exfat) == [], 20)
    assert [e for e in exfat.changes(cursor)[0] if e["type"] == "gone"] == []
    assert results(exfat.ops(BOX, put(1, "uploads/one.txt", b"new", b"one"))) == ["done"]
    all_told(exfat)


def test_inodes_that_get_other_numbers(exfat):
    """Files of one size and one time, and a mount that numbers them in another order: no content is taken
    for another's."""
    names = ["uploads/n%d.bin" % i for i in range(6)]
    for name in names:
        write(exfat.path(name), ("content of " + name).encode())
        os.utime(exfat.path(name), (1_500_000_000, 1_500_000_000))
    exfat.unmount()
    exfat.mount()
    for name in names:
        os.stat(exfat.path(name))
    before = {name: os.stat(exfat.path(name)).st_ino for name in names}
    exfat.start()
    truth = {name: content_name(read(exfat.path(name))) for name in names}
    assert {name: exfat.listing()[name]["hash"] for name in names} == truth
    exfat.stop()
    exfat.unmount()
    exfat.mount()
    for name in reversed(names):
        os.stat(exfat.path(name))
    after = {name: os.stat(exfat.path(name)).st_ino for name in names}
    assert set(after.values()) & set(before.values()) and after != before
    exfat.start()
    assert {name: exfat.listing()[name]["hash"] for name in names} == truth


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
