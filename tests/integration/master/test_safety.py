# SPDX-License-Identifier: MIT
"""The master never takes an accident for a wish: a folder that is away or emptied, a mass delete, a
database that was restored, lost or replaced, full disks, a second master, kill -9, reload."""

import base64
import concurrent.futures
import os
import shutil
import signal
import socket
import subprocess
import threading

import pytest

from eefs import SCOPE, content_name, free_port, read, tree, unmount, wait_for, write
from test_detect import names_of, told

ROOT = pytest.mark.skipif(os.getuid() != 0, reason="mounts a tmpfs")


@pytest.fixture
def master(site):
    master = site.master(start=False)
    master.add_mirror("slave1")
    return master


def fill(master, n=1000):
    for i in range(n):
        write(master.path("d%d" % (i % 10), "%d.txt" % i), "content %d" % i)


def gone(master, cursor):
    """Paths that the feed says are deleted."""
    entries, _ = master.changes(cursor)
    return [e["path"] for e in entries if e["type"] == "gone"]


def follow_until_gone(master, cursor, path):
    """Follows the feed up to the commit in which `path` is deleted; {path: entry} of that one."""
    while True:
        entries, cursor = master.changes(cursor, wait=20)
        commit = {e["path"]: e for e in entries}
        if commit.get(path, {}).get("type") == "gone":
            return commit


def tmpfs(site, point, size):
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=" + size, "eefs-test", point], check=True)
    site.cleanups.append(lambda: os.path.ismount(point) and unmount(point, lazy=True))


@ROOT
def test_unmounted_root(master, site):
    """The disk of the folder is unmounted while serving, and still is not mounted at the next start:
    FAILED, nothing is deleted; when it is back all is as before, changes made meanwhile included."""
    disk = os.path.join(site.base, "disk")
    os.mkdir(disk)
    tmpfs(site, disk, "16m")
    subprocess.run(["mount", "--bind", disk, master.root], check=True)
    site.cleanups.append(lambda: os.path.ismount(master.root) and unmount(master.root, lazy=True))
    fill(master, 50)
    master.start()
    _, cursor = master.changes()
    for stopped in (False, True):
        if stopped:
            master.stop()
        assert unmount(master.root, lazy=True)
        write(os.path.join(disk, "meanwhile-%d.txt" % stopped), "meanwhile")
        if stopped:
            master.start(wait=False)
        state = wait_for(lambda: (lambda s: s["state"] == "FAILED" and s)(master.control()))
        assert "not mounted" in state["reason"] and state["action"]
        answer = master.get("/v1/changes?since=" + cursor)
        assert answer.status == 503 and "marker" in answer.json()["error"]
        subprocess.run(["mount", "--bind", disk, master.root], check=True)
        wait_for(lambda: master.get("/healthz", token=None).status == 200)
        wait_for(lambda s=stopped: "meanwhile-%d.txt" % s in told(master))
        assert gone(master, cursor) == []
    write(master.path("d1/after.txt"), "after")  # watched again
    wait_for(lambda: "d1/after.txt" in told(master), 5)


def test_emptied_root(master):
    """rm -rf of all that is visible: nothing is deleted, status says FAILED. Confirmed, it is."""
    fill(master, 40)
    master.start()
    _, cursor = master.changes()
    kept = master.root + ".kept"
    for stopped in (False, True):
        if stopped:
            master.stop()
        shutil.copytree(master.root, kept, ignore=lambda d, n: [".eefs"], copy_function=shutil.copy2)
        for name in os.listdir(master.root):
            if name != ".eefs":
                shutil.rmtree(master.path(name))
        if stopped:
            master.start(wait=False)
        state = wait_for(lambda: (lambda s: s["state"] == "FAILED" and s)(master.control()), 15)
        assert "is empty now" in state["reason"] and "confirm" in state["action"]
        assert master.get("/healthz", token=None).status == 503
        if not stopped:
            shutil.copytree(kept, master.root, dirs_exist_ok=True, copy_function=shutil.copy2)
            shutil.rmtree(kept)
            wait_for(lambda: master.get("/healthz", token=None).status == 200)
            wait_for(lambda: told(master) == names_of(master))
            assert gone(master, cursor) == []
    out = master.site.run("eefs-master", "confirm", "--state", master.state)
    assert out.stdout.endswith("deletions are confirmed\n")
    wait_for(lambda: master.control()["state"] == "OK")
    wait_for(lambda: told(master) == {})


def test_mass_delete_is_held(master):
    """More than 500 and more than 20 % of the files: held, all of them, also after a restart. Other
    changes go on. What is put back is not deleted; what is confirmed is."""
    fill(master)
    master.start()
    whole = told(master)
    _, cursor = master.changes()
    os.rename(master.path("d0"), master.root + ".d0")
    for i in range(1, 8):
        shutil.rmtree(master.path("d%d" % i))
    write(master.path("d9/new.txt"), "new")
    wait_for(lambda: "d9/new.txt" in told(master), 5)
    state = wait_for(lambda: (lambda s: s["state"] == "DEGRADED" and s)(master.control()), 20)
    assert "800 of 1001 files" in state["reason"] and "held" in state["reason"]
    assert gone(master, cursor) == []
    assert master.get("/healthz", token=None).status == 200
    master.kill()
    master.start()
    state = wait_for(lambda: (lambda s: s["state"] == "DEGRADED" and s)(master.control()), 20)
    assert "800 of 1001 files" in state["reason"]
    assert gone(master, cursor) == []
    os.rename(master.root + ".d0", master.path("d0"))
    wait_for(lambda: "700 of" in master.control()["reason"], 20)
    os.unlink(master.path("d8/8.txt"))  # held with the rest
    master.site.run("eefs-master", "confirm", "--state", master.state)
    wait_for(lambda: master.control()["state"] == "OK")
    wait_for(lambda: told(master) == names_of(master))
    assert "d0/0.txt" in told(master) and "d8/8.txt" not in told(master)
    assert "d8/8.txt" in whole


def test_few_deletions_and_renames_are_not_held(master):
    fill(master)
    master.start()
    for i in range(0, 400):
        os.unlink(master.path("d%d" % (i % 10), "%d.txt" % i))
    wait_for(lambda: told(master) == names_of(master), 20)
    for i in range(10):
        os.rename(master.path("d%d" % i), master.path("e%d" % i))
    wait_for(lambda: told(master) == names_of(master), 20)
    assert master.control()["state"] == "OK"


def test_folder_that_becomes_a_link(master):
    """A folder with many files is replaced by a symbolic link: that, too, is a mass delete. Confirmed, the
    link comes with the deletions: no mirror is told that the name is gone."""
    fill(master, 700)
    os.mkdir(master.path("all"))
    for i in range(10):
        os.rename(master.path("d%d" % i), master.path("all", "d%d" % i))
    master.start()
    _, cursor = master.changes()
    write(master.path("other.txt"), "other")
    os.rename(master.path("all"), master.root + ".all")
    os.symlink(master.root + ".all", master.path("all"))
    wait_for(lambda: master.control()["state"] == "DEGRADED", 20)
    assert gone(master, cursor) == []
    with concurrent.futures.ThreadPoolExecutor() as pool:
        following = pool.submit(follow_until_gone, master, cursor, "all/d0")
        master.site.run("eefs-master", "confirm", "--state", master.state)
        assert following.result(30)["all"]["type"] == "link"
    assert set(told(master)) == {"all", "other.txt"}


def test_lost_database(master):
    """It is built again from the folder, under the same id and with the tokens; mirrors are asked to
    list again."""
    fill(master, 200)
    master.start()
    hello = master.get("/v1/hello").json()
    _, cursor = master.changes()
    whole = told(master)
    for name in os.listdir(master.state):
        if name.startswith("master.db"):
            os.unlink(os.path.join(master.state, name))
    assert master.process.popen.wait(10) == 1
    assert "was replaced or removed" in master.process.log()
    master.start()
    again = master.get("/v1/hello").json()
    assert again["master_id"] == hello["master_id"] and again["timeline"] != hello["timeline"]
    assert told(master) == whole
    assert master.get("/v1/changes?since=" + cursor).code == "reset"


def test_mirror_of_a_restored_database(master, site):
    """An old copy of the database is restored under a mirror that had followed further: it notices,
    and ends up equal; what it wrote itself is not lost."""
    fill(master, 30)
    master.start()
    mount = site.mount(master)
    write(mount.path("uploads/before.txt"), "before")
    mount.synced()
    master.stop()
    copy = os.path.join(site.base, "copy")
    shutil.copytree(master.state, copy)
    master.start()
    write(master.path("d1/1.txt"), "changed after the copy")
    os.unlink(master.path("d2/2.txt"))
    write(mount.path("uploads/after.txt"), "after")
    wait_for(lambda: not os.path.exists(mount.path("d2/2.txt")), 20)
    wait_for(lambda: read(mount.path("d1/1.txt")) == b"changed after the copy", 20)
    mount.synced()
    master.kill()
    shutil.rmtree(master.state)
    os.rename(copy, master.state)
    write(master.path("d3/3.txt"), "while it was down")
    master.start()
    write(mount.path("uploads/again.txt"), "again")
    wait_for(lambda: read(mount.path("d3/3.txt")) == b"while it was down", 30)
    mount.synced()
    wait_for(lambda: {k: v for k, v in tree(mount.point).items() if v[0] == "file"}
             == {k: v for k, v in tree(master.root, scope=SCOPE).items() if v[0] == "file"}, 30)
    assert read(master.path("uploads/again.txt")) == b"again"
    assert read(master.path("uploads/after.txt")) == b"after"
    assert mount.status()["conflicts"] == 0


@pytest.mark.parametrize("point", ["master.scan.applied", "master.scan.committed:2"])
def test_killed_while_it_scans_and_commits(master, point):
    fill(master, 1500)
    master.start(env={"EEFS_CRASH_AT": point}, wait=False)
    assert master.process.popen.wait(30) == -9
    write(master.path("d1/1.txt"), "changed while dead")
    os.unlink(master.path("d2/2.txt"))
    master.start()
    assert told(master) == names_of(master)


def full(master, site):
    tmpfs(site, master.root, "24m")
    master.options = ["--reserve", "8M", "--keep-space", "0"]
    write(master.path("uploads/a.txt"), "a")
    master.start()
    write(master.path("ballast.bin"), os.urandom(17 << 20))
    state = wait_for(lambda: (lambda s: s["state"] == "DEGRADED" and s)(master.control()))
    assert "nearly full" in state["reason"] and "free space" in state["action"]


@ROOT
def test_full_disk(master, site):
    """What mirrors send is refused before the reserve is touched, with a sentence; local changes are
    still followed, and what makes room is taken; all goes on when there is room again."""
    full(master, site)
    data = os.urandom(100_000)
    answer = master.request("PUT", "/v1/o/" + content_name(data), body=data)
    assert answer.status == 507 and answer.code == "no_space" and "full" in answer.json()["error"]
    op = {"n": 1, "op": "put", "path": "uploads/b.txt", "hash": content_name(b"b"), "size": 1,
          "mtime": 1, "mode": 0o644, "pre": "absent", "data": base64.b64encode(b"b").decode()}
    later = master.ops("0123456789abcdef", op).json()["answers"][0]
    assert later["result"] == "later" and later["code"] == "no_space" and "full" in later["error"]
    write(master.path("local.txt"), "local")
    wait_for(lambda: told(master).get("local.txt") == content_name(b"local"))
    unlink = {"n": 1, "op": "unlink", "path": "uploads/a.txt", "pre": content_name(b"a")}
    done = master.ops("fedcba9876543210", unlink).json()["answers"][0]
    assert done["result"] == "done"
    os.unlink(master.path("ballast.bin"))
    wait_for(lambda: master.ops("0123456789abcdef", op).json()["answers"][0]["result"] == "done")
    wait_for(lambda: master.control()["state"] == "OK")


@ROOT
@pytest.mark.long
def test_mirror_of_a_full_disk(master, site):
    full(master, site)
    mount = site.mount(master)
    data = os.urandom(100_000)
    writer = threading.Thread(target=write, args=(mount.path("uploads/waits.bin"), data))
    writer.start()
    writer.join(30)  # close() returns: kept in the outbox
    assert not writer.is_alive() and not os.path.exists(master.path("uploads/waits.bin"))
    os.unlink(master.path("ballast.bin"))
    wait_for(lambda: os.path.exists(master.path("uploads/waits.bin")), 60)
    assert read(master.path("uploads/waits.bin")) == data


@ROOT
def test_full_disk_of_the_database(master, site):
    shutil.rmtree(master.state)
    os.mkdir(master.state)
    tmpfs(site, master.state, "12m")
    master.options = ["--reserve", "0"]
    master.add_mirror("slave1")
    master.start()
    ballast = os.path.join(master.state, "ballast")
    with open(ballast, "wb", buffering=0) as f, pytest.raises(OSError):
        while True:
            f.write(b"\0" * 65536)
    fill(master, 3000)
    state = wait_for(lambda: (lambda s: "cannot be written" in str(s["problems"]) and s)(
        master.control()), 30)
    assert state["state"] == "DEGRADED" and "No space" in str(state["problems"])
    os.unlink(ballast)
    wait_for(lambda: master.control()["files"] == 3000, 60)
    wait_for(lambda: master.control()["state"] == "OK")
    assert told(master) == names_of(master)


def test_one_folder_has_one_master(master, site):
    """A second master is refused: on the same state folder, and on the same root with another."""
    master.start()
    for state, text in ((master.state, "uses the state folder"),
                        (os.path.join(site.base, "other.state"), "serves the folder")):
        out = site.run("eefs-master", "serve", "--root", master.root, "--state", state, "--listen",
                       "127.0.0.1:%d" % free_port(), check=False, timeout=20)
        assert out.returncode == 1 and text in out.stderr and "one master" in out.stderr
    assert master.healthy()


def test_reload_and_systemd(master, site):
    """SIGHUP: excludes and limits change, mirrors are told; what cannot change is said; a mistake in
    the file changes nothing. systemd hears READY, STATUS, RELOADING, WATCHDOG and STOPPING."""
    config = os.path.join(site.base, "master.conf")
    path = os.path.join(site.base, "notify")
    heard = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(path)
        s.settimeout(0.2)

        def hears(what):
            try:
                heard.append(s.recv(4096).decode())
            except TimeoutError:
                pass
            return [h for h in heard if what in h]

        write(config, "max-delete = 10\n")
        master.options = ["--config", config]
        write(master.path("a.txt"), "a")
        write(master.path("cache/x.tmp"), "x")
        master.start(env={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "2000000"})
        wait_for(lambda: hears("READY=1"))
        wait_for(lambda: hears("STATUS=serving"))
        wait_for(lambda: len(hears("WATCHDOG=1")) >= 2)
        _, cursor = master.changes()
        write(config, "exclude = cache\nexclude = *.swp\nconflicts = /tmp\n")
        master.process.signal(signal.SIGHUP)
        wait_for(lambda: hears("RELOADING=1"))
        wait_for(lambda: master.get("/v1/hello").json()["exclude"] == ["cache", "*.swp"])
        wait_for(lambda: master.get("/v1/changes?since=" + cursor).status == 409)
        log = os.stat(os.path.join(master.state, "master.db-wal")).st_ino
        master.add_mirror("slave2")  # another process does not take the log for one that nobody uses
        assert os.stat(os.path.join(master.state, "master.db-wal")).st_ino == log
        write(master.path("b.swp"), "b")
        write(master.path("b.txt"), "b")
        wait_for(lambda: set(told(master)) == {"a.txt", "b.txt"})
        wait_for(lambda: "take effect only after a restart" in master.process.log())
        write(config, "exclud = nothing\n")
        master.process.signal(signal.SIGHUP)
        wait_for(lambda: "did you mean 'exclude'" in master.process.log())
        assert master.get("/v1/hello").json()["exclude"] == ["cache", "*.swp"]
        write(config, "")
        master.process.signal(signal.SIGHUP)
        wait_for(lambda: {"cache/x.tmp", "b.swp"} <= set(told(master)))
        master.stop()
        wait_for(lambda: hears("STOPPING=1"))


def test_names_of_any_bytes_travel_there_and_back(master, site):
    """master → mirror → master, by names that are no text."""
    names = [bytes([b]) for b in range(1, 256) if b not in b"/."]
    names += [b"line\nbreak", b"\xff\xfe\x80", b" ", b"...", b"-rf", b"%41", b'"\\', b"n" * 255,
              "caf\u00e9".encode(), "cafe\u0301".encode(), "\U0001f600".encode(), b"A", b"a"]
    root = os.fsencode(master.path("uploads"))
    os.makedirs(root)
    for name in names:
        write(os.path.join(root, b"down", name), b"from the master: " + name)
    master.start()
    mount = site.mount(master)
    point = os.fsencode(mount.path("uploads"))
    wait_for(lambda: set(os.listdir(os.path.join(point, b"down"))) == set(names), 30)
    for name in names:
        assert read(os.path.join(point, b"down", name)) == b"from the master: " + name
        write(os.path.join(point, b"up", name), b"from the mirror: " + name)
    mount.synced()
    wait_for(lambda: set(os.listdir(os.path.join(root, b"up"))) == set(names))
    for name in names:
        assert read(os.path.join(root, b"up", name)) == b"from the mirror: " + name
    assert mount.status()["conflicts"] == 0
