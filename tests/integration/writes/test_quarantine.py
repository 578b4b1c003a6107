# SPDX-License-Identifier: MIT
"""Scopes, and changes that the master refuses: they are listed and wait, with what depends on them,
until somebody has seen to them; everything else goes on."""

import base64
import errno
import json
import os
import subprocess
import threading

import pytest

from peer import Peer, honest

from eefs import away, content_name, program, read, tree, wait_for, write


@pytest.fixture
def master(site):
    master = site.master(start=False)
    write(master.path("uploads/old.txt"), "old")
    write(master.path("gallery/one.png"), "one")
    master.add_mirror("slave1", "--write", "uploads", "--write", "gallery")
    return master.start()


def refused(site, mount):
    out = site.run("eefs-status", "--quarantine", "--json", mount.point, check=False)
    return {(q["op"], q["path"], q["code"])
            for q in json.loads(out.stdout)["mounts"][0]["quarantine_list"]}


def set_scope(site, master, *options):
    site.run("eefs-master", "mirror", "set", "slave1", "--state", master.state, *options)


def queue_changes(mount, link):
    """While away: some that a narrower scope refuses, and some that it does not."""
    link.cut()
    away(mount)
    write(mount.path("gallery/two.png"), "two")
    write(mount.path("gallery/one.png"), "one, edited")
    os.mkdir(mount.path("gallery/album"))
    write(mount.path("gallery/album/three.png"), "three")
    os.chmod(mount.path("gallery/one.png"), 0o600)
    os.rename(mount.path("gallery/two.png"), mount.path("uploads/two.png"))
    write(mount.path("gallery/four.png"), "four")
    os.symlink("four.png", mount.path("gallery/link"))
    write(mount.path("uploads/new.txt"), "new")


def all_settled(mount):
    """Four are refused, and what is in the folder waits for its folder."""
    wait_for(lambda: (mount.status()["pending"], mount.status()["quarantined"]) == (1, 4), 30)


def contents(top):
    """A tree without modes: outside its write scope a mirror shows no write bits."""
    return {path: (kind, mtime, data) for path, (kind, _, mtime, data) in tree(top).items()}


def test_scope_narrowed_while_changes_are_queued(site, master, link, mount):
    tree(mount.point)  # every content is here now
    queue_changes(mount, link)
    seen = contents(mount.point)
    set_scope(site, master, "--write", "uploads")
    link.restore()
    all_settled(mount)
    # what is allowed went on, what is not is all there and says so
    assert read(master.path("uploads/new.txt")) == b"new"
    assert read(master.path("uploads/two.png")) == b"two"  # never was in gallery for the master
    assert os.listdir(master.path("gallery")) == ["one.png"]
    assert read(master.path("gallery/one.png")) == b"one"
    assert contents(mount.point) == seen
    assert refused(site, mount) == {(op, "gallery/" + name, "scope") for op, name in [
        ("put", "one.png"), ("mkdir", "album"), ("put", "four.png"), ("symlink", "link")]}
    assert os.getxattr(mount.path("gallery/four.png"), "user.eefs.state") == b"quarantined"
    with pytest.raises(OSError) as error:
        write(mount.path("gallery/five.png"), "no longer")
    assert error.value.errno == errno.EROFS
    code, status = site.status()
    assert code == 1 and status["mounts"][0]["state"] == "DEGRADED"
    assert "--retry" in status["mounts"][0]["action"]
    out = site.run("eefs-status", "--quarantine", mount.point, check=False)
    assert "gallery/four.png" in out.stdout and "may not write there" in out.stdout
    out = site.run("eefs-status", "--wait", "--timeout", "5s", mount.point, check=False)
    assert out.returncode == 1 and "refused" in out.stderr
    # it outlives a restart
    mount.stop()
    mount.start()
    assert contents(mount.point) == seen
    # the scope is given back: all is sent without being asked
    set_scope(site, master, "--write", "uploads", "--write", "gallery")
    write(master.path("uploads/wake.txt"), "ends the long poll")
    wait_for(lambda: mount.status()["quarantined"] == 0, 70)
    mount.synced()
    assert tree(mount.path("gallery")) == tree(master.path("gallery"))
    assert read(master.path("gallery/album/three.png")) == b"three"
    assert read(master.path("gallery/one.png")) == b"one, edited"
    wait_for(lambda: mount.status()["state"] == "OK", 10)


def test_discard(site, master, link, mount):
    queue_changes(mount, link)
    set_scope(site, master, "--write", "uploads")
    link.restore()
    all_settled(mount)
    assert site.run("eefs-status", "--discard", check=False).returncode == 3  # of what?
    out = site.run("eefs-status", "--discard", mount.path("gallery/four.png"),
                   mount.path("gallery/album"))
    assert "gallery/four.png" in out.stdout and "gallery/album" in out.stdout
    assert sorted(os.listdir(mount.path("gallery"))) == ["link", "one.png"]
    assert read(mount.path("gallery/one.png")) == b"one, edited"
    site.run("eefs-status", "--discard", mount.point)
    assert contents(mount.path("gallery")) == contents(master.path("gallery"))
    assert read(mount.path("gallery/one.png")) == b"one"
    assert refused(site, mount) == set() and mount.status()["pending"] == 0
    wait_for(lambda: mount.status()["state"] == "OK", 10)
    assert "discarded" in mount.process.log()
    write(mount.path("uploads/goes on.txt"), "goes on")
    assert read(master.path("uploads/goes on.txt")) == b"goes on"


def test_only_what_depends_waits(site, master):
    """A folder is refused: its contents wait, everything else goes on."""
    peer = Peer(master.port)
    site.links.append(peer)
    refusing = threading.Event()
    refusing.set()

    def fault(exchange):
        ops = json.loads(exchange.receive())["ops"] if exchange.ops else []
        if not refusing.is_set() or not ops or ops[0]["path"] != "uploads/thing":
            return honest(exchange)
        body = json.dumps({"answers": [{"n": ops[0]["n"], "result": "refused", "code": "permission",
                                        "error": "for a test"}], "head": 1}).encode()
        return exchange.answer((200, [("Content-Type", "application/json")], body))

    mount = site.mount(master, url=peer.url)
    peer.set(fault, keep=True)
    os.mkdir(mount.path("uploads/thing"))
    wait_for(lambda: mount.status()["quarantined"] == 1, 20)
    write(mount.path("uploads/thing/a.txt"), "a")
    write(mount.path("uploads/thing/b.txt"), "b")
    os.rename(mount.path("uploads/thing/b.txt"), mount.path("uploads/b.txt"))
    write(mount.path("uploads/free.txt"), "free")
    assert read(master.path("uploads/free.txt")) == b"free"
    assert read(mount.path("uploads/thing/a.txt")) == b"a"
    assert mount.status()["pending"] == 1
    out = site.run("eefs-status", "--wait", mount.point, check=False)
    assert out.returncode == 1 and "wait for some that the master refused" in out.stderr
    # close() of what depends on it does not wait for nothing
    fd = os.open(mount.path("uploads/thing/c.txt"), os.O_CREAT | os.O_WRONLY)
    os.write(fd, b"c")
    begin = os.times().elapsed
    os.close(fd)
    assert os.times().elapsed - begin < 4
    # the cause is mended: once more
    refusing.clear()
    out = site.run("eefs-status", "--retry", mount.path("uploads"))
    assert "3 changes" in out.stdout
    mount.synced()
    assert sorted(os.listdir(master.path("uploads/thing"))) == ["a.txt", "c.txt"]
    assert read(master.path("uploads/b.txt")) == b"b"
    assert tree(mount.path("uploads")) == tree(master.path("uploads"))
    wait_for(lambda: mount.status()["state"] == "OK", 10)


def test_the_master_enforces_the_scope(master):
    """Whatever a mirror sends."""
    data = base64.b64encode(b"x").decode()

    def put(n, path):
        return {"n": n, "op": "put", "path": path, "hash": content_name(b"x"), "size": 1, "mtime": 1,
                "mode": 420, "pre": "absent", "data": data}

    before = tree(master.root)
    for n, op in enumerate([
            put(1, "css/x.css"), put(1, "x"), put(1, ".eefs/x"), put(1, "sql/slave2/x"),
            {"op": "mkdir", "path": "new", "mode": 493, "mtime": 1},
            {"op": "rmdir", "path": "uploads"}, {"op": "rmdir", "path": "gallery"},
            {"op": "unlink", "path": "index.php", "pre": content_name(b"x")},
            {"op": "symlink", "path": "l", "target": "/etc/passwd", "mtime": 1, "pre": "absent"},
            {"op": "setattr", "path": "css", "mode": 511},
            {"op": "rename", "path": "uploads/old.txt", "to": "old.txt",
             "pre": content_name(b"old"), "to_pre": "absent"},
            {"op": "rename", "path": "uploads", "to": "gallery/u", "pre": "dir",
             "to_pre": "absent"}]):
        op["n"] = n + 1
        answer = master.ops("aa" * 16, op)
        assert answer.status == 200, answer.body
        told = answer.json()["answers"]
        assert [(a["result"], a["code"]) for a in told] == [("refused", "scope")], op
    assert tree(master.root) == before


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to become another user")
def test_only_root_and_the_mounts_user_may_settle(site, mount):
    os.chmod(site.rundir, 0o755)
    out = subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
                          program("eefs-status"), "--rundir", site.rundir, "--discard", mount.point],
                         capture_output=True, text=True)
    assert out.returncode == 1 and "root" in out.stderr
