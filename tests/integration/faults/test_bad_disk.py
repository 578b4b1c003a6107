# SPDX-License-Identifier: MIT
"""A disk that gives EIO for a while: the status says where and what to do as long as it lasts, all is well seconds
after the disk is, and nothing is lost, missing or taken for deleted."""
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from eefs import BIN, SANITIZED, content_name, read, wait_for, write

LIBRARY = os.path.join(os.path.dirname(BIN), "tests", "preload", "bad_disk.so")
WELL_S = 12  # the last pause between two tries, and what waited is done

pytestmark = pytest.mark.skipif(SANITIZED, reason="two libraries would stand before the C library")


class Disk:
    """What tests/preload/bad_disk.c takes for broken."""

    def __init__(self, site, name):
        self.list = os.path.join(site.base, "bad-" + name)
        self.env = {"LD_PRELOAD": LIBRARY, "BAD_DISK": self.list}

    def fails(self, *lines):
        write(self.list + ".new", "".join(line + "\n" for line in lines))
        os.rename(self.list + ".new", self.list)

    def is_well(self):
        os.unlink(self.list)


FILES = {"img/%02d/p-%d.png" % (i % 5, i): b"picture %d" % i for i in range(60)}


@pytest.fixture
def disk(site):
    return Disk(site, "master")


@pytest.fixture
def master(site, disk):
    master = site.master(start=False)
    for path, content in FILES.items():
        write(master.path(path), content)
    return master.start(env=disk.env)


@pytest.fixture
def cache(site):
    return Disk(site, "mirror")


@pytest.fixture
def mount(site, master, cache):
    mount = site.mount(master, start=False, prefetch="none")
    return mount.start(env=cache.env)


def fault(status, place):
    """The status says what it is, where, and what to do."""
    return (status["state"] in ("DEGRADED", "FAILED") and place in status["reason"] and "disk" in status["action"]
            and ("EIO" in status["reason"] or "Input/output error" in status["reason"]))


def of_master(master):
    return master.control()


def shown(mount):
    """All names are there."""
    names = {os.path.relpath(os.path.join(folder, name), mount.point)
             for folder, _, files in os.walk(mount.path("img")) for name in files}
    return names - {"img/03/new"} == set(FILES)


def whole(master, mount, more):
    """Nothing is lost, missing or other than it was."""
    mount.synced()
    for path, content in dict(FILES, **more).items():
        assert read(mount.path(path)) == read(master.path(path)) == content, path
    assert shown(mount)
    assert mount.status()["conflicts"] == mount.status()["quarantined"] == mount.status()["pending"] == 0


def attempt(action):
    """False: it gave EIO."""
    try:
        action()
        return True
    except OSError as e:
        assert e.errno in (5, 30, 11), e
        return False


def well(site, mount):
    try:
        wait_for(lambda: site.status()[0] == 0 and mount.status()["state"] == "OK", WELL_S)
    except AssertionError as e:
        raise AssertionError("not well: %r" % site.status()[1]) from e


def test_database_of_a_mirror(site, master, mount, cache):
    """Not readable, not writable, or neither, one after the other."""
    write(mount.path("uploads/before"), "before")
    done = {"uploads/before": b"before"}
    for n, what in enumerate(("r", "w", "rw"), 1):
        cache.fails(what + " " + mount.cache + "/replica.db")
        for i in range(5):
            name = "uploads/%s%d" % (what, i)
            if attempt(lambda path=name: write(mount.path(path), path)):
                done[name] = name.encode()
            write(master.path("css/%s%d.css" % (what, i)), "css")
        if what != "r":  # what was read once is in memory
            wait_for(lambda: fault(mount.status(), mount.cache), 10, "fault")
        assert shown(mount) if what == "w" else attempt(lambda: shown(mount)) in (True, False)
        cache.is_well()
        well(site, mount)
        wait_for(lambda: len(os.listdir(mount.path("css"))) == 5 * n)
        whole(master, mount, done)
        assert sorted(os.listdir(mount.path("uploads"))) == sorted(os.listdir(master.path("uploads")))


def test_contents_of_a_mirror(site, master, mount, cache):
    """What cannot be read here comes from the master; what is written here only waits."""
    for path in list(FILES)[:10]:
        read(mount.path(path))
    cache.fails("rw " + mount.cache + "/objects", "rw " + mount.cache + "/staging")
    failed = [path for path in FILES if not attempt(lambda p=path: read(mount.path(p)))]
    assert failed and shown(mount)
    assert not attempt(lambda: write(mount.path("uploads/new"), "new"))
    wait_for(lambda: fault(mount.status(), mount.cache), 10, "fault")
    cache.is_well()
    well(site, mount)
    write(mount.path("uploads/after"), "after")
    whole(master, mount, {"uploads/after": b"after"})


@pytest.mark.parametrize("what", ["r", "d"])
def test_content_that_waits(site, master, mount, cache, what):
    """The only copy of what was written here cannot be read for a while: the change waits, and is not given up."""
    master.stop()
    wait_for(lambda: mount.status()["link"] == "down", 30)
    write(mount.path("uploads/small"), "small")
    write(mount.path("uploads/large"), b"large" * 100000)
    mount.stop()
    mount.start(env=cache.env)  # so that nothing is known to be good
    cache.fails(what + " " + mount.cache + "/objects/")
    master.start()
    wait_for(lambda: fault(mount.status(), mount.cache + "/objects"), 20, "fault")
    assert mount.status()["pending"] == 2 and mount.status()["quarantined"] == 0
    cache.is_well()
    well(site, mount)
    whole(master, mount, {"uploads/small": b"small", "uploads/large": b"large" * 100000})


def without_database(mount, *more):
    for name in os.listdir(mount.cache):
        if name.startswith("replica.db") or name in more:
            os.unlink(os.path.join(mount.cache, name))


def test_unsent_content_that_cannot_be_looked_at(site, master, mount, cache):
    """The database is lost and the contents cannot be read for a while: the changes are put back and wait; none
    counts as lost."""
    master.stop()
    wait_for(lambda: mount.status()["link"] == "down", 30)
    write(mount.path("uploads/a"), "a")
    write(mount.path("uploads/b"), b"large" * 100000)
    mount.stop()
    without_database(mount)
    master.start()
    cache.fails("r " + mount.cache + "/objects/")
    mount.start(env=cache.env)
    assert mount.status()["pending"] >= 2 and "lost" not in mount.status()["reason"], mount.status()
    assert sorted(os.listdir(mount.path("uploads"))) == ["a", "b"]
    cache.is_well()
    well(site, mount)
    whole(master, mount, {"uploads/a": b"a", "uploads/b": b"large" * 100000})
    assert "is lost" not in mount.process.log()


def test_contents_to_salvage_that_cannot_be_listed(site, master, mount, cache):
    """The record of changes is lost as well: what only the cache has cannot be listed for a while, which is said."""
    master.stop()
    wait_for(lambda: mount.status()["link"] == "down", 30)
    write(mount.path("uploads/a"), "a")
    mount.stop()
    without_database(mount, "unsent.log")
    master.start()
    cache.fails("r " + mount.cache + "/objects/")
    mount.start(env=cache.env)
    status = mount.status()
    assert status["state"] == "DEGRADED" and "not all can be read" in status["reason"], status
    assert "--salvage" in status["action"]
    done = site.run("eefs-status", "--salvage", mount.point, check=False)
    assert done.returncode != 0 and "cannot be read" in done.stderr
    cache.is_well()
    out = site.run("eefs-status", "--salvage", mount.point).stdout
    assert "uploads/a" in out and "1 contents" in out


def test_database_of_a_master(site, disk, master, mount):
    done = {}
    for n, what in enumerate(("r", "w", "rw"), 1):
        disk.fails(what + " " + master.state + "/master.db")
        names = ["uploads/%s%d" % (what, i) for i in range(5)]
        done.update((name, name.encode()) for name in names)
        with ThreadPoolExecutor(len(names)) as pool:  # each may wait for its 5 s
            writers = [pool.submit(attempt, lambda path=name: write(mount.path(path), path)) for name in names]
            for i in range(5):
                write(master.path("css/%s%d.css" % (what, i)), "css")
            for writer in writers:
                writer.result()
        if what != "r":
            wait_for(lambda: fault(of_master(master), "master.db"), 10, "fault")
        assert shown(mount)
        master.process.signal(1)  # it looks at what it has
        wait_for(lambda: master.process.log().count("eload") == n)
        assert master.process.running()
        disk.is_well()
        well(site, mount)
        wait_for(lambda: len(os.listdir(mount.path("css"))) == 5 * n)
        whole(master, mount, done)


@pytest.mark.parametrize("where", ["img/", "img/03", "img/03/p-3.png", ""])
def test_served_folder(site, disk, master, mount, where):
    """No file counts as deleted because it cannot be read."""
    disk.fails("rw " + master.path(where))
    write(master.path("img/03/p-3.png"), "changed")
    write(master.path("img/03/new"), "new")
    if not where:  # the folder's own check comes before or after the first file that fails
        wait_for(lambda: "cannot be read" in master.process.log(), 20, "the marker")
    wait_for(lambda: of_master(master)["state"] in ("DEGRADED", "FAILED") and
             "disk" in of_master(master)["action"] and site.status()[0] > 0, 10, "fault")
    assert any("Input/output error" in p["reason"] or "EIO" in p["reason"] for p in of_master(master)["problems"])
    master.process.signal(1)  # SIGHUP: a scan
    attempt(lambda: write(mount.path("uploads/f"), "f"))
    assert shown(mount) and of_master(master)["entries"] >= len(FILES)
    disk.is_well()
    well(site, mount)
    wait_for(lambda: read(mount.path("img/03/p-3.png")) == b"changed" and read(mount.path("img/03/new")) == b"new")
    for path, content in FILES.items():
        assert read(mount.path(path)) == (b"changed" if path == "img/03/p-3.png" else content)
    mount.synced()
    assert read(master.path("uploads/f")) == b"f"


def test_store_of_versions(site, disk, master, mount):
    """Versions that cannot be looked at are not forgotten."""
    for i in range(5):
        write(mount.path("uploads/v"), "version %d" % i)
    kept = [content_name(b"version %d" % i) for i in range(5)]
    wait_for(lambda: all(os.path.exists(master.path(".eefs/kept", name[3:5], name)) for name in kept))
    before = wait_for(lambda: (lambda k: k["versions"] == 4 and k)(of_master(master)["kept"]))
    master.stop()
    disk.fails("rw " + master.path(".eefs/kept"))
    master.start(env=disk.env)
    for i in range(5, 8):
        write(mount.path("uploads/v"), "version %d" % i)
    wait_for(lambda: fault(of_master(master), "kept"), 10, "fault")
    disk.is_well()
    well(site, mount)
    mount.synced()

    def told():
        """The versions by hash, the newest first, once the status agrees; what was replaced last comes in soon."""
        out = site.run("eefs-master", "history", "uploads/v", "--state", master.state, "--json").stdout
        versions = {v["hash"]: v for v in json.loads(out)["versions"]}
        lost = [v for v in versions.values() if v["state"] == "not kept"]
        now = of_master(master)["kept"]
        return (now["files"] >= before["files"] and now["versions"] == len(versions) - 1
                and now["lost_versions"] == len(lost) and versions)

    versions = wait_for(told)
    names = list(versions)  # of those that waited the mirror sends the last one only
    assert names[0] == content_name(b"version 7") and names[-5:] == kept[::-1]
    for i, name in enumerate(kept):
        version = versions[name]
        assert version["state"] == "kept"
        site.run("eefs-master", "restore", "uploads/v@%d" % version["seq"], "--state", master.state)
        assert read(master.path("uploads/v")) == b"version %d" % i
    assert shown(mount)


def closed(mount, cache, what, *paths):
    """Written and closed while `what` cannot be written: close() says so, and the status does."""
    os.makedirs(mount.path("uploads"), exist_ok=True)
    mount.synced()
    opened = [open(mount.path(path), "wb", buffering=0) for path in paths]
    for f, path in zip(opened, paths):
        f.write(path.encode())
    cache.fails("w " + mount.cache + what)
    for f in opened:
        with pytest.raises(OSError) as e:
            f.close()
        assert e.value.errno == 5
    wait_for(lambda: fault(mount.status(), mount.cache) and paths[0] in mount.status()["reason"], 10, "fault")


@pytest.mark.parametrize("what", ["/replica.db", "/objects"])
def test_closed_and_not_logged(site, master, mount, cache, what):
    """What could not be logged when it was closed is logged when the disk is well, without another close; until
    then the status has the file and what to do."""
    write(mount.path("uploads/over"), "before")
    mount.synced()
    closed(mount, cache, what, "uploads/new", "uploads/over")
    assert "1 other" in mount.status()["reason"]
    time.sleep(2)  # failed tries
    assert fault(mount.status(), mount.cache)
    assert read(mount.path("uploads/new")) == b"uploads/new" and read(mount.path("uploads/over")) == b"uploads/over"
    cache.is_well()
    wait_for(lambda: os.path.exists(master.path("uploads/new")) and read(master.path("uploads/over")) == b"uploads/over",
             WELL_S, "sent")
    well(site, mount)
    whole(master, mount, {"uploads/new": b"uploads/new", "uploads/over": b"uploads/over"})
    assert not os.listdir(mount.cache + "/staging")


@pytest.mark.parametrize("what", ["/replica.db", "/objects"])
def test_closed_and_removed(site, master, mount, cache, what):
    """A file that could not be logged and is removed is no fault any more."""
    closed(mount, cache, what, "uploads/new")
    cache.is_well()
    os.unlink(mount.path("uploads/new"))
    well(site, mount)
    whole(master, mount, {})
    assert not os.path.exists(mount.path("uploads/new")) and not os.path.exists(master.path("uploads/new"))


@pytest.mark.parametrize("how", ["kill", "stop"])
@pytest.mark.parametrize("what", ["/replica.db", "/objects"])
def test_mount_ends_before_it_is_logged(site, master, mount, cache, what, how):
    """The next mount offers the contents."""
    closed(mount, cache, what, "uploads/new")
    if how == "kill":
        mount.kill()
        mount.cleanup()
    else:
        mount.stop()
    cache.is_well()
    mount.start(env=cache.env)
    status = mount.status()
    assert status["state"] == "DEGRADED" and "--salvage" in status["action"], status
    into = os.path.join(site.base, "salvaged")
    site.run("eefs-status", "--salvage", "--into", into, mount.point)
    assert read(into + "/uploads/new") == b"uploads/new"
    assert not os.listdir(mount.cache + "/staging")
    mount.stop()
    mount.start(env=cache.env)
    assert mount.status()["state"] == "OK"
