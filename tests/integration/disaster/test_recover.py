# SPDX-License-Identifier: MIT
"""The master, its folder or its database goes back in time: what mirrors have is kept and comes back."""

import json
import os
import shutil

import pytest

from eefs import back, content_name, read, tree, wait_for, write


def recover(site, master, *more, **how):
    return site.run("eefs-master", "recover", "--state", master.state, *more, **how).stdout


def copy(source, target):
    """As a backup does it, with modes and times; what is there goes."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, symlinks=True)


class Backup:
    """Of the folder and the state of a master that is stopped."""

    def __init__(self, master):
        self.master = master
        self.root, self.state = master.root + ".backup", master.state + ".backup"
        copy(master.root, self.root)
        copy(master.state, self.state)

    def restore(self, folder=True, database=True):
        """The master is killed, and put back."""
        self.master.kill()
        if folder:
            copy(self.root, self.master.root)
        if database:
            copy(self.state, self.master.state)
        self.master.start()


def lost(mount, n):
    """At the mirror, and the master has heard of it."""
    wait_for(lambda: mount.status()["lost"] == n, 20, "%d lost at the mirror" % n)
    if n > 0:
        wait_for(lambda: any("lacks" in p["reason"] for p in mount.master.control()["problems"]), 20)


def settled(master, *some):
    for mount in some:
        lost(mount, 0)
    wait_for(lambda: master.control()["state"] == "OK", 20, "nothing lost at the master")


def begin(site, *names, **options):
    """A master with some files, mirrors of it, and a backup."""
    master = site.master()
    write(master.path("css", "site.css"), "css 1")
    write(master.path("old.txt"), "old")
    write(master.path("moved.txt"), "moved")
    write(master.path("gone.txt"), "gone")
    mounts = [site.mount(master, name, **options) for name in names]
    for mount in mounts:
        wait_for(lambda m=mount: len(tree(m.point)) == 5)
    master.stop()
    backup = Backup(master)
    master.start()
    for mount in mounts:
        back(mount)
    return master, backup, mounts


def test_folder_and_database_are_from_a_backup(site):
    """Uploads and edits of the lost time come back; deletions and renames only when asked for."""
    master, backup, [mount] = begin(site, "slave1")
    for i in range(20):
        write(mount.path("uploads", "%d.png" % i), "upload %d" % i)
    os.symlink("0.png", mount.path("uploads", "link"))
    os.chmod(mount.path("uploads", "3.png"), 0o600)
    write(mount.path("uploads", "empty"), "")
    mount.synced()
    write(master.path("css", "site.css"), "css 2")
    os.mkdir(master.path("css", "leer"))
    os.unlink(master.path("gone.txt"))
    os.rename(master.path("moved.txt"), master.path("renamed.txt"))
    wait_for(lambda: read(mount.path("css", "site.css")) == b"css 2")
    wait_for(lambda: os.path.exists(mount.path("renamed.txt")) and
             not os.path.exists(mount.path("gone.txt")) and os.path.isdir(mount.path("css", "leer")))
    read(mount.path("renamed.txt"))
    wait_for(lambda: mount.status()["state"] == "OK")
    held = tree(mount.point)

    backup.restore()
    # uploads and 22 in it, site.css, leer, renamed.txt; gone.txt and moved.txt are back
    lost(mount, 23 + 3 + 2)
    status = mount.status()
    assert status["state"] == "DEGRADED" and "28 changes" in status["reason"]
    assert "eefs-master recover" in status["action"]
    wait_for(lambda: "28 changes" in master.control()["reason"], 20)
    assert master.control()["state"] == "DEGRADED" and "recover" in master.control()["action"]
    assert sorted(tree(mount.point)) == [b"css", b"css/site.css", b"gone.txt", b"moved.txt",
                                         b"old.txt"]

    write(master.path("old.txt"), "old 2")  # it goes on meanwhile
    wait_for(lambda: read(mount.path("old.txt")) == b"old 2")
    out = recover(site, master, "--dry-run")
    assert "28 changes, 28 left" in out and "outside the write scope" in out
    made = [line.split()[5] for line in out.splitlines() if "made by slave1" in line]
    assert len([p for p in made if p.startswith("uploads/")]) == 22 and "css/site.css" not in made
    assert not os.path.exists(master.path("uploads"))

    out = recover(site, master)
    assert "28 changes, 2 left" in out, out
    now = tree(master.root)
    for path, what in held.items():
        if path.startswith(b"uploads/") or path == b"renamed.txt":
            assert now[path][0] == what[0] and now[path][2:] == what[2:], path
    assert now[b"uploads/3.png"][1] == 0o600 and now[b"css/leer"][0] == "dir"
    assert now[b"css/site.css"][3] == b"css 1"  # other content stays
    [conflict] = [p for p in now if b"conflict" in p]
    assert conflict.startswith(b"css/site (conflict slave1") and now[conflict][3] == b"css 2"
    assert now[b"gone.txt"][3] == b"gone" and now[b"moved.txt"][3] == b"moved"
    lost(mount, 2)

    out = recover(site, master, "--deletions")
    assert "2 changes, 0 left" in out
    assert not os.path.exists(master.path("gone.txt")) and not os.path.exists(master.path("moved.txt"))
    lost(mount, 0)
    wait_for(lambda: not os.path.exists(mount.path("gone.txt")))
    assert "nothing was lost" in recover(site, master)
    wait_for(lambda: tree(mount.point).keys() == tree(master.root).keys())


def test_only_the_database_is_from_a_backup(site):
    """The folder has it all, and the first scan finds it: nothing is lost."""
    master, backup, [mount] = begin(site, "slave1")
    write(mount.path("uploads", "a"), "a")
    mount.synced()
    write(master.path("css", "site.css"), "css 2")
    wait_for(lambda: read(mount.path("css", "site.css")) == b"css 2")
    backup.restore(folder=False)
    back(mount)
    wait_for(lambda: mount.status()["state"] == "OK", 20)
    assert read(mount.path("uploads", "a")) == b"a" and mount.status()["lost"] == 0
    assert "nothing was lost" in recover(site, master)


def test_only_the_folder_is_from_a_backup(site):
    """What is missing is held, and comes back from mirrors; older contents are conflicts."""
    master, backup, [mount] = begin(site, "slave1")
    write(mount.path("uploads", "a"), "a")
    write(mount.path("uploads", "b"), "b")
    mount.synced()
    write(master.path("css", "site.css"), "css 2")
    wait_for(lambda: read(mount.path("css", "site.css")) == b"css 2")
    wait_for(lambda: mount.status()["state"] == "OK")
    backup.restore(database=False)
    lost(mount, 1)
    wait_for(lambda: "3 files" in master.control()["reason"] or master.control()["held_deletions"])
    out = recover(site, master, "--dry-run")
    assert "uploads/a" in out and "held" in out and "css/site.css" in out
    out = recover(site, master)
    assert " 0 left" in out, out
    now = tree(master.root)
    assert now[b"uploads/a"][3] == b"a" and now[b"uploads/b"][3] == b"b"
    assert now[b"css/site.css"][3] == b"css 1"
    assert [now[p][3] for p in now if b"conflict" in p] == [b"css 2"]
    settled(master, mount)
    assert master.control()["held_deletions"] == 0


def test_a_new_empty_folder_is_filled_from_the_mirrors(site):
    master, backup, [mount] = begin(site, "slave1")
    write(mount.path("uploads", "a"), "a")
    mount.synced()
    for path, what in tree(mount.point).items():
        if what[0] == "file":
            read(mount.path(os.fsdecode(path)))
    held = tree(mount.point)
    master.stop()
    shutil.rmtree(master.root)
    os.mkdir(master.root)
    master.start(wait=False)
    wait_for(lambda: master.control()["state"] == "FAILED")
    site.run("eefs-master", "adopt", "--state", master.state)
    wait_for(lambda: "starting anew" in master.process.log() and master.healthy())
    wait_for(lambda: master.control()["held_deletions"] > 0)
    back(mount)
    out = recover(site, master)
    assert " 0 left" in out, out
    wait_for(lambda: master.control()["held_deletions"] == 0)
    now = tree(master.root)
    assert {p: (w[0], w[3]) for p, w in now.items()} == {p: (w[0], w[3]) for p, w in held.items()}


@pytest.mark.parametrize("database", [True, False], ids=["both", "folder"])
def test_two_mirrors_hold_different_parts_and_one_was_away(site, database):
    """Each keeps what it has; the one that was away gives it when it is back."""
    master, backup, [one, two] = begin(site, "slave1", "slave2", prefetch="none")
    write(one.path("uploads", "one"), "by one")
    write(two.path("uploads", "two"), "by two")
    one.synced()
    two.synced()
    wait_for(lambda: os.path.exists(one.path("uploads", "two")) and
             os.path.exists(two.path("uploads", "one")))
    wait_for(lambda: two.status()["state"] == "OK")
    two.stop()
    backup.restore(database=database)
    if database:
        lost(one, 3)
    else:
        wait_for(lambda: master.control()["held_deletions"])
        back(one)
    out = recover(site, master)
    assert "3 changes, 1 left" in out and "no mirror" in out, out
    assert read(master.path("uploads", "one")) == b"by one"
    assert not os.path.exists(master.path("uploads", "two"))
    two.start()
    if database:
        lost(one, 1)
        lost(two, 1)
        wait_for(lambda: "slave1,slave2" in recover(site, master, "--dry-run"))
    else:
        back(two)
    assert "1 changes, 0 left" in recover(site, master)
    assert read(master.path("uploads", "two")) == b"by two"
    settled(master, one, two)


def test_discard(site):
    master, backup, [mount] = begin(site, "slave1")
    write(mount.path("uploads", "a"), "a")
    mount.synced()
    backup.restore()
    lost(mount, 2)
    wait_for(lambda: "2 changes" in master.control()["reason"], 20)
    assert "nothing was lost" in recover(site, master, "--from", "slave2", "--dry-run")
    assert "2 changes, 0 left" in recover(site, master, "--from", "slave1", "--discard")
    settled(master, mount)
    assert not os.path.exists(master.path("uploads"))


def test_a_full_cache_keeps_what_was_lost(site):
    """Pinned contents stay, whatever is read meanwhile, also across a restart of the mirror."""
    master, backup, [mount] = begin(site, "slave1", cache_size="1M", prefetch="none")
    for i in range(6):
        write(mount.path("uploads", "%d" % i), bytes([i]) * 100_000)
    mount.synced()
    wait_for(lambda: mount.status()["state"] == "OK")
    backup.restore()
    lost(mount, 7)
    for i in range(20):
        write(master.path("big", "%d" % i), bytes([100 + i]) * 100_000)
    wait_for(lambda: os.path.exists(mount.path("big", "19")))
    for i in range(20):
        assert read(mount.path("big", "%d" % i)) == bytes([100 + i]) * 100_000
    mount.stop()
    mount.start()
    lost(mount, 7)
    wait_for(lambda: "7 changes" in master.control()["reason"], 20)
    out = recover(site, master)
    assert "7 changes, 0 left" in out, out
    for i in range(6):
        assert read(master.path("uploads", "%d" % i)) == bytes([i]) * 100_000
    settled(master, mount)


def test_a_mirror_cannot_write_outside_its_scope_by_a_report(site):
    """Without recover a report changes nothing; what is not served, or not a path, is not taken."""
    master = site.master()
    token = master.add_mirror("slave1")
    data = b"<?php evil();"
    name = content_name(data)
    rows = [{"n": 1, "path": "index.php", "type": 1, "size": len(data), "mtime": 1, "mode": 0o4755,
             "hash": name, "seq": 5, "here": True},
            {"n": 2, "path": ".eefs/marker", "type": 1, "size": len(data), "mtime": 1, "mode": 420,
             "hash": name, "seq": 6, "here": True},
            {"n": 3, "path": "../out", "type": 1, "size": len(data), "mtime": 1, "mode": 420,
             "hash": name, "seq": 7, "here": True}]

    def report(**more):
        answer = master.request("POST", "/v1/lost", token=token,
                                body=json.dumps({"set": "ab", "after": 0, "rows": [], **more}))
        assert answer.status == 200, answer.body
        return answer.json()

    answer = report(rows=rows)
    assert answer["done"] == [2] and answer["want"] == []
    assert report(forgotten=[2])["done"] == []
    assert master.request("PUT", "/v1/o/%s?outbox=abababab" % name, token=token,
                          body=data).status == 200
    assert list(tree(master.root)) == []
    out = recover(site, master, "--dry-run")
    assert "1 changes" in out and "index.php" in out and "outside the write scope" in out
    assert recover(site, master, "--discard") and list(tree(master.root)) == []
    assert report()["done"] == [1]


def test_the_master_is_put_back_once_more(site):
    """While the list is not settled: a master without it gets it again."""
    master, backup, [mount] = begin(site, "slave1")
    write(mount.path("uploads", "a"), "a")
    mount.synced()
    backup.restore()
    lost(mount, 2)
    write(mount.path("uploads", "b"), "b")
    mount.synced()
    backup.restore()
    lost(mount, 3)
    wait_for(lambda: "3 changes" in master.control()["reason"], 20)
    out = recover(site, master)
    assert "3 changes, 0 left" in out, out
    assert read(master.path("uploads", "a")) == b"a" and read(master.path("uploads", "b")) == b"b"
    settled(master, mount)
