# SPDX-License-Identifier: MIT
"""Filesystems of their own below the master's folder, as web servers have them: uploads/ on another
disk (a tmpfs here), gallery/ as a bind mount."""

import errno
import http.client
import json
import os
import subprocess
import urllib.parse

import pytest

from disk import fill, small_disk
from eefs import away, back, content_name, mounts, read, tree, unmount, wait_for, write
from test_mirror_writes import BOX, answers, put, rename, results

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="needs root to mount")
BIG = os.urandom(300_000)


def mount_disk(site, master, megabytes=100):
    site.cleanups.append(small_disk(master.path("uploads"), megabytes))


def bind(site, master):
    os.makedirs(master.path("gallery"), exist_ok=True)
    other = os.path.join(site.base, "other")
    os.makedirs(other, exist_ok=True)
    subprocess.run(["mount", "--bind", other, master.path("gallery")], check=True)
    site.cleanups.append(lambda: master.path("gallery") in mounts() and unmount(master.path("gallery"), lazy=True))


@pytest.fixture
def master(site):
    master = site.master(start=False)
    mount_disk(site, master)
    bind(site, master)
    write(master.path("uploads/one.txt"), "one")
    write(master.path("gallery/two.txt"), "two")
    write(master.path("free/three.txt"), "three")
    master.add_mirror("slave1", "--write", "uploads", "--write", "gallery", "--write", "free")
    master.options = ["--reserve", "1M"]
    return master.start()


def staging(master):
    return [name for top in ("", "uploads", "gallery")
            for name in (os.listdir(master.path(top, ".eefs/staging"))
                         if os.path.isdir(master.path(top, ".eefs/staging")) else [])
            if not name.startswith("up-")]


def served(master):
    """Paths of the feed; those of the disk are the same."""
    disk = {p for p in tree(master.root) if b".eefs" not in p.split(b"/")}
    names = {os.fsencode(urllib.parse.unquote(p)) for p in master.listing()}
    return names == disk and disk


def test_every_operation(site, master):
    wait_for(lambda: served(master), 20)
    n = 0

    def do(*ops):
        nonlocal n
        out = []
        for op in ops:
            n += 1
            out.append(answers(master.ops(BOX, dict(op, n=n)))[0])
        return out

    for top in ("uploads", "gallery"):
        a = do(put(0, top + "/new.txt", b"new"), put(0, top + "/new.txt", b"newer", b"new"),
               {"op": "mkdir", "path": top + "/d", "mode": 0o755, "mtime": 1},
               put(0, top + "/d/deep.txt", b"deep"),
               rename(0, top + "/d/deep.txt", top + "/deep.txt", b"deep"),
               rename(0, top + "/deep.txt", top + "/new.txt", b"deep", b"newer"),
               {"op": "symlink", "path": top + "/link", "target": "new.txt", "pre": "absent", "mtime": 1},
               {"op": "setattr", "path": top + "/new.txt", "mode": 0o600},
               {"op": "unlink", "path": top + "/link", "pre": "link"},
               {"op": "rename", "path": top + "/d", "to": top + "/e", "pre": "dir", "to_pre": "absent"},
               {"op": "rmdir", "path": top + "/e"})
        assert [x["result"] for x in a] == ["done"] * len(a), a
        assert read(master.path(top, "new.txt")) == b"deep"
        # A large content comes in a request of its own.
        master.request("PUT", "/v1/o/" + content_name(BIG), body=BIG)
        assert do(put(0, top + "/big.bin", BIG, inline=False))[0]["result"] == "done"
        assert read(master.path(top, "big.bin")) == BIG
        # A conflict's copy lies beside it.
        a = do(put(0, top + "/new.txt", b"other", b"what was never there"))[0]
        assert a["result"] == "conflict" and a["path"].startswith(top + "/new%20(conflict"), a
    # From one to another: files are copied, a folder is refused.
    for source, target in (("uploads", "free"), ("free", "gallery"), ("gallery", "uploads")):
        a = do(put(0, source + "/go.txt", b"go"), rename(0, source + "/go.txt", target + "/went.txt", b"go"))
        assert [x["result"] for x in a] == ["done"] * 2, a
        assert read(master.path(target, "went.txt")) == b"go" and not os.path.exists(master.path(source, "go.txt"))
        a = do(put(0, source + "/over.txt", b"over"), rename(0, source + "/over.txt", target + "/went.txt", b"over", b"go"))
        assert [x["result"] for x in a] == ["done"] * 2 and read(master.path(target, "went.txt")) == b"over", a
    a = do({"op": "mkdir", "path": "free/f", "mode": 0o755, "mtime": 1},
           {"op": "rename", "path": "free/f", "to": "uploads/f", "pre": "dir", "to_pre": "absent"})
    assert [x["result"] for x in a] == ["done", "refused"] and a[1]["code"] == "volume", a
    assert os.path.isdir(master.path("free/f"))
    assert do(put(0, "uploads/.eefs/x", b"x"))[0]["result"] == "refused"
    wait_for(lambda: staging(master) == [], 20)
    assert wait_for(lambda: served(master), 20)
    out = site.run("eefs-master", "history", "uploads/new.txt", "--state", master.state, "--json").stdout
    version = next(v["seq"] for v in json.loads(out)["versions"] if v["hash"] == content_name(b"newer"))
    site.run("eefs-master", "restore", "uploads/new.txt@%d" % version, "--state", master.state)
    assert read(master.path("uploads/new.txt")) == b"newer"
    wait_for(lambda: staging(master) == [], 20)


def test_a_mirror_that_writes_everywhere(site, master):
    mount = site.mount(master, private="none")
    for top in ("uploads", "gallery", "free"):
        write(mount.path(top, "a/small.txt"), top)
        write(mount.path(top, "a/large.bin"), BIG + top.encode())
        write(mount.path(top, "a/small.txt"), top + ", edited")
        os.rename(mount.path(top, "a/small.txt"), mount.path(top, "b.txt"))
    os.rename(mount.path("uploads/b.txt"), mount.path("gallery/c.txt"))
    mount.synced()
    wait_for(lambda: served(master), 20)
    wait_for(lambda: {p: v for p, v in tree(mount.point).items()} ==
             {p: v for p, v in tree(master.root).items() if b".eefs" not in p.split(b"/")}, 20)
    assert mount.status()["state"] == "OK"


def refused(code, call, *args):
    with pytest.raises(OSError) as caught:
        call(*args)
    assert caught.value.errno == code, caught.value


def test_folders_stay_on_their_filesystem(site, master):
    """A folder's rename to another one is refused at once, as between two local filesystems, with and without the
    master, so programs copy; where one is mounted nothing is renamed or removed."""
    site.cleanups.append(small_disk(master.path("deep/disk"), 10))
    write(master.path("deep/disk/four.txt"), "four")
    os.kill(master.process.pid, 1)  # a scan
    wait_for(lambda: "deep/disk/four.txt" in master.listing(), 20)
    mount = site.mount(master, "everything", token=master.add_mirror("everything", "--write", "/"))
    for top in ("free", "uploads", "gallery"):
        write(mount.path(top, "d/e/f.txt"), top)

    def check():
        for source, target in (("free", "uploads"), ("uploads", "gallery"), ("gallery", "deep")):
            refused(errno.EXDEV, os.rename, mount.path(source, "d"), mount.path(target, "moved"))
            refused(errno.EXDEV, os.rename, mount.path(source, "d/e"), mount.path(target, "d"))
        refused(errno.EBUSY, os.rename, mount.path("uploads"), mount.path("renamed"))
        refused(errno.EBUSY, os.rename, mount.path("deep"), mount.path("renamed"))
        refused(errno.EBUSY, os.rename, mount.path("free/d"), mount.path("gallery"))
        refused(errno.EBUSY, os.rmdir, mount.path("gallery"))
        os.rename(mount.path("uploads/d"), mount.path("uploads/g"))
        os.rename(mount.path("uploads/g"), mount.path("uploads/d"))

    check()
    mount.synced()
    master.stop()
    away(mount)
    check()
    mount.stop()
    mount.start()
    check()
    master.start()
    back(mount)
    subprocess.run(["mv", mount.path("free/d"), mount.path("uploads/moved")], check=True)
    mount.synced()
    assert read(master.path("uploads/moved/e/f.txt")) == b"free" and not os.path.exists(master.path("free/d"))
    wait_for(lambda: served(master), 20)
    assert mount.status()["state"] == "OK" and mount.status()["quarantined"] == 0, mount.status()
    master.add_mirror("narrow", "--read", "free", "--read", "gallery")
    assert sorted(master.get("/v1/hello").json()["volumes"]) == ["deep/disk", "gallery", "uploads"]
    assert master.get("/v1/hello", token=master.tokens["narrow"]).json()["volumes"] == ["gallery"]


def moved_by_committer(master):
    """Bytes that the thread which all operations wait for has read and written so far."""
    folder = "/proc/%d/task" % master.process.pid
    for task in os.listdir(folder):
        if read(os.path.join(folder, task, "comm")).strip() == b"committer":
            fields = dict(line.split(b": ") for line in read(os.path.join(folder, task, "io")).splitlines())
            return int(fields[b"rchar"]) + int(fields[b"wchar"])
    raise AssertionError("no committer")


def test_large_contents_hold_up_nobody(site, master):
    """An upload to another filesystem, a file renamed to one, and a second file with a content that is there:
    none is copied by the thread that makes the changes of all mirrors."""
    big = os.urandom(16 << 20)
    wait_for(lambda: served(master), 20)
    before = moved_by_committer(master)
    master.request("PUT", "/v1/o/" + content_name(big), body=big)
    ops = [put(1, "free/small.txt", b"small"), put(2, "uploads/big.bin", big, inline=False),
           rename(3, "uploads/big.bin", "gallery/big.bin", big), put(4, "uploads/again.bin", big, inline=False),
           put(5, "gallery/small.txt", b"small"), rename(6, "gallery/small.txt", "uploads/small.txt", b"small")]
    first = answers(master.ops(BOX, *ops))
    assert [a["result"] for a in first] == ["done"] * len(ops), first
    assert moved_by_committer(master) - before < 4 << 20
    assert results(master.ops(BOX, *ops)) == ["done"] * len(ops)  # a lost answer
    assert read(master.path("gallery/big.bin")) == big and read(master.path("uploads/again.bin")) == big
    assert not os.path.exists(master.path("uploads/big.bin")) and read(master.path("uploads/small.txt")) == b"small"
    wait_for(lambda: staging(master) == [], 20)
    wait_for(lambda: served(master), 20)
    assert not [n for n in os.listdir(master.path(".eefs/staging")) if n.startswith("up-")]


@pytest.mark.parametrize("top", ["free", "uploads"])
def test_contents_are_kept_before_they_are_served(site, master, top):
    """An edit in place cannot come before the copy, and the thread of all mirrors does not make it."""
    wait_for(lambda: served(master), 20)
    contents = [os.urandom(500_000) for _ in range(12)]
    for n, data in enumerate(contents, 1):
        if n == 2:  # the first one shows whether the filesystem can share blocks
            before = moved_by_committer(master)
        master.request("PUT", "/v1/o/" + content_name(data), body=data)
        assert results(master.ops(BOX, put(n, "%s/%d.bin" % (top, n), data, inline=False))) == ["done"]
        name = content_name(data)
        assert read(master.path(".eefs/kept", name[3:5], name)) == data, n
    assert moved_by_committer(master) - before < 2 << 20
    again = [put(n, "%s/%d.bin" % (top, n), data, inline=False) for n, data in enumerate(contents, 1)]
    assert results(master.ops(BOX, *again)) == ["done"] * len(contents)  # a lost answer
    wait_for(lambda: staging(master) == [] and served(master), 20)
    assert not [n for n in os.listdir(master.path(".eefs/staging")) if n.startswith("up-")]


def test_large_losers_hold_up_nobody(site, master):
    """--conflicts on another disk: what goes there is not copied by that thread either, and a kill leaves nothing
    half there."""
    losers = os.path.join(site.base, "losers")
    site.cleanups.append(small_disk(losers, 100))
    big, other = os.urandom(8 << 20), os.urandom(8 << 20)
    write(master.path("free/moved.bin"), other)
    wait_for(lambda: served(master) and "free/moved.bin" in master.listing(), 20)
    master.stop()
    master.options += ["--conflicts", losers]
    master.start(env={"EEFS_CRASH_AT": "master.carry.copied"})
    ops = [put(1, "free/three.txt", big, b"never there", inline=False), put(2, "free/three.txt", b"tiny", b"never there"),
           put(3, "uploads/one.txt/below/x.bin", big, inline=False),
           rename(4, "free/moved.bin", "gallery/two.txt", other, b"never there")]
    master.request("PUT", "/v1/o/" + content_name(big), body=big)
    with pytest.raises((OSError, http.client.HTTPException)):
        master.ops(BOX, *ops)
    assert master.process.popen.wait(20) == -9
    assert [n[:4] for n in os.listdir(losers)] == ["tmp-"]
    master.start()
    assert os.listdir(losers) == []
    before, first = moved_by_committer(master), []
    for op in ops:
        if not op.get("data"):
            master.request("PUT", "/v1/o/" + content_name(big), body=big)
        first += answers(master.ops(BOX, op))
    assert [a["result"] for a in first] == ["conflict"] * 4, first
    assert moved_by_committer(master) - before < 2 << 20
    assert results(master.ops(BOX, *ops)) == ["conflict"] * 4  # a lost answer
    kept = {p: v[3] for p, v in tree(losers).items() if v[0] == "file"}
    assert sorted(kept.values()) == sorted([big, b"tiny", big, other])
    assert {urllib.parse.unquote(a["place"]) for a in first} == {os.path.join(losers, os.fsdecode(p)) for p in kept}
    assert not os.path.exists(master.path("free/moved.bin")) and read(master.path("uploads/one.txt")) == b"one"
    wait_for(lambda: staging(master) == [] and served(master), 20)


def test_links_go_to_another_filesystem(site, master):
    """A link is made anew there, over a file, a link or nothing."""
    wait_for(lambda: served(master), 20)

    def link(n, path, target):
        return {"op": "symlink", "n": n, "path": path, "target": target, "pre": "absent", "mtime": 5_000_000_000}

    def move(n, path, to, over="absent"):
        return {"op": "rename", "n": n, "path": path, "to": to, "pre": "link", "to_pre": over}

    ops = [link(1, "free/l", "one"), move(2, "free/l", "uploads/l"), link(3, "gallery/l", "two"),
           move(4, "gallery/l", "uploads/l", "link"), put(5, "free/f", b"f"),
           move(6, "uploads/l", "free/f", content_name(b"f"))]
    assert results(master.ops(BOX, *ops)) == ["done"] * len(ops)
    assert os.readlink(master.path("free/f")) == "two" and os.lstat(master.path("free/f")).st_mtime == 5
    assert not os.path.lexists(master.path("uploads/l")) and not os.path.lexists(master.path("gallery/l"))
    wait_for(lambda: staging(master) == [] and served(master), 20)
    assert os.readlink(master.path("free/f")) == "two"


def test_killed_on_another_filesystem(site, master):
    """At one step after the other; what is sent again is done once, and nothing is left."""
    present = b"one"
    for n, point in enumerate(("master.op.noted", "master.put.renamed", "master.carry.copied", "master.put.exchanged",
                               "master.op.applied", "master.rename.copied"), 1):
        master.stop()
        master.start(env={"EEFS_CRASH_AT": point})
        new = BIG if "carry." in point else b"two" if "rename." in point else b"new at " + point.encode()
        if "rename." in point:
            op = rename(n, "gallery/two.txt", "uploads/one.txt", new, present)
        else:
            op = put(n, "uploads/one.txt", new, present, inline=new is not BIG)
        if new is BIG:
            master.request("PUT", "/v1/o/" + content_name(BIG), body=BIG)
        with pytest.raises((OSError, http.client.HTTPException)):
            master.ops(BOX, op)
        assert master.process.popen.wait(20) == -9, point
        master.start()
        assert results(master.ops(BOX, op)) == ["done"], point
        assert read(master.path("uploads/one.txt")) == new, point
        assert os.path.exists(master.path("gallery/two.txt")) == ("rename." not in point)
        names = wait_for(lambda: served(master), 20)
        assert not any(b"conflict" in name for name in names), point
        present = new
    wait_for(lambda: staging(master) == [], 30)
    assert read(master.path("uploads/one.txt")) == present


def test_not_mounted_is_not_deleted(site, master):
    """Neither while it is served, nor over a restart; a person can say that it is gone for good."""
    mount = site.mount(master, private="none")
    before = tree(mount.point)
    wait_for(lambda: unmount(master.path("uploads")), 20, "nothing holds it")
    status = wait_for(lambda: (lambda s: s["state"] == "DEGRADED" and s)(master.control()), 20)
    assert "uploads" in status["reason"] and "not mounted" in status["reason"]
    write(master.path("uploads/bare.txt"), "below the mountpoint")
    os.chmod(master.path("uploads"), 0o700)
    write(master.path("free/new.txt"), "goes on")
    wait_for(lambda: os.path.exists(mount.path("free/new.txt")), 20)
    write(mount.path("uploads/waits.txt"), "waits")
    write(mount.path("free/by mirror.txt"), "goes on, too")
    assert read(master.path("free/by mirror.txt")) == b"goes on, too"
    wait_for(lambda: mount.status()["deferred"] == 1, 20)
    assert "not mounted" in mount.status()["reason"]
    master.stop()
    master.start()
    wait_for(lambda: not master.control()["scanning"], 20)
    assert "uploads/one.txt" in master.listing() and "uploads/bare.txt" not in master.listing()
    assert read(mount.path("uploads/one.txt")) == before[b"uploads/one.txt"][3]
    # It is back, though with other contents: what is not in it was deleted.
    os.unlink(master.path("uploads/bare.txt"))
    mount_disk(site, master)
    write(master.path("uploads/another.txt"), "another")
    wait_for(lambda: served(master), 30)
    site.run("eefs-status", "--retry", mount.point)
    wait_for(lambda: read(master.path("uploads/waits.txt")) == b"waits", 20)
    assert "uploads/one.txt" not in master.listing()
    # Gone for good.
    wait_for(lambda: unmount(master.path("uploads")), 20, "nothing holds it")
    wait_for(lambda: "not mounted" in master.control()["reason"], 20)
    assert "uploads/another.txt" in master.listing()
    site.run("eefs-master", "confirm", "--state", master.state)
    wait_for(lambda: "uploads/another.txt" not in master.listing(), 30)
    wait_for(lambda: served(master), 20)


def test_mounted_while_it_is_served(site, master):
    """Its files are found, and mirrors know of it from then on, until it is gone for good."""
    os.makedirs(master.path("late"))
    write(master.path("late/below.txt"), "below")
    wait_for(lambda: "late/below.txt" in master.listing(), 20)
    mount = site.mount(master, "everything", token=master.add_mirror("everything", "--write", "/"))

    def error():  # of what is never done, for the folder is not empty
        with pytest.raises(OSError) as caught:
            os.rmdir(mount.path("late"))
        return caught.value.errno

    assert error() == errno.ENOTEMPTY
    site.cleanups.append(small_disk(master.path("late"), 10))
    write(master.path("late/above.txt"), "above")
    os.kill(master.process.pid, 1)  # a scan
    wait_for(lambda: "late/above.txt" in master.listing(), 30)
    wait_for(lambda: served(master), 20)
    wait_for(lambda: error() == errno.EBUSY, 20)
    wait_for(lambda: unmount(master.path("late")), 20, "nothing holds it")
    wait_for(lambda: "not mounted" in master.control()["reason"], 20)
    assert error() == errno.EBUSY
    site.run("eefs-master", "confirm", "--state", master.state)
    wait_for(lambda: error() == errno.ENOTEMPTY, 20)


def test_one_of_them_is_full(site, master):
    mount = site.mount(master, private="none")
    fill(master.path("uploads/ballast"), 100_000)
    write(mount.path("uploads/late.txt"), "late")
    write(mount.path("gallery/now.txt"), "now")
    assert read(master.path("gallery/now.txt")) == b"now"
    status = wait_for(lambda: (lambda s: s["deferred"] and s)(mount.status()), 20)
    assert "uploads/late.txt" in status["reason"] and "full" in status["reason"], status
    os.unlink(master.path("uploads/ballast"))
    site.run("eefs-status", "--retry", mount.point)
    wait_for(lambda: read(master.path("uploads/late.txt")) == b"late", 40)
