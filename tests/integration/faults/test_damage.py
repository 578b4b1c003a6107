# SPDX-License-Identifier: MIT
"""Damaged, lost and foreign databases and failing disks: what is shown is right or an error, it is reported, and
it is made anew."""
import errno
import json
import os
import random
import subprocess

import pytest

from eefs import program, read, wait_for, write


def flip(path, seed, n=8, times=1):
    """Changes n bytes in a row at `times` random places."""
    rnd = random.Random(seed)
    with open(path, "r+b") as f:
        size = os.fstat(f.fileno()).st_size
        for _ in range(times):
            at = rnd.randrange(size - n)
            f.seek(at)
            old = f.read(n)
            f.seek(at)
            f.write(bytes(b ^ rnd.randrange(1, 256) for b in old))


def tree(master, n=300):
    for i in range(n):
        write(master.path("img/%02d/picture-%03d.png" % (i % 7, i)), "picture %d" % i)
    return {"img/%02d/picture-%03d.png" % (i % 7, i): b"picture %d" % i for i in range(n)}


@pytest.fixture
def master(site):
    return site.master(start=False)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.long), pytest.param(2, marks=pytest.mark.long)])
def test_damaged_database_of_a_master(site, master, seed):
    """It says so, keeps the file aside, makes it anew from the folder, and the mirror's token still works."""
    files = tree(master)
    master.start()
    mount = site.mount(master, prefetch="none")
    assert read(mount.path("img/00/picture-000.png")) == files["img/00/picture-000.png"]
    mount.stop()
    write(master.path("img/00/picture-000.png"), "newer")
    wait_for(lambda: master.listing()["img/00/picture-000.png"]["size"] == 5)
    master.stop()
    flip(os.path.join(master.state, "master.db"), seed, times=4)
    master.start()
    wait_for(lambda: len([p for p in master.listing() if p.endswith(".png")]) == 300)
    log = master.process.log()
    assert "damaged" in log and "1 mirrors keep their tokens" in log
    assert os.listdir(os.path.join(master.state, "damaged"))
    mount.start()
    wait_for(lambda: read(mount.path("img/00/picture-000.png")) == b"newer")
    for path, content in files.items():
        assert read(mount.path(path)) == (b"newer" if path == "img/00/picture-000.png" else content)
    write(mount.path("uploads/a"), "a")
    mount.synced()
    assert read(master.path("uploads/a")) == b"a"
    assert site.status()[0] == 0


def test_lost_database_of_a_master_keeps_tokens(site, master):
    tree(master, 20)
    master.start()
    master.add_mirror("slave1")
    master.stop()
    for name in os.listdir(master.state):
        if name.startswith("master.db"):
            os.unlink(os.path.join(master.state, name))
    master.add_mirror("slave2")  # also when that is what makes the new one
    master.start()
    mount = site.mount(master, "slave1")
    assert len(os.listdir(mount.path("img/00"))) == 3


def unsent(site, master):
    """A mirror whose master is away, with one of each kind of change that is not sent."""
    files = tree(master)
    for name in ("a", "b/c", "b/d", "old"):
        write(master.path("uploads/" + name), name)
    master.options = ["--exclude", "*.local"]
    master.start()
    link = site.link(master)
    mount = site.mount(master, prefetch="none", url=link.url)
    for path in ("uploads/a", "uploads/old"):
        read(mount.path(path))
    link.cut()
    wait_for(lambda: mount.status()["link"] == "down")
    write(mount.path("uploads/new/deep/file"), "new")
    write(mount.path("uploads/a"), "changed")
    write(mount.path("uploads/mine.local"), "only here")
    os.rename(mount.path("uploads/b"), mount.path("uploads/moved"))
    os.unlink(mount.path("uploads/old"))
    os.symlink("a", mount.path("uploads/link"))
    os.chmod(mount.path("uploads/moved/d"), 0o600)
    return files, link, mount


def check_sent(site, master, mount, files):
    for path, content in files.items():
        assert read(mount.path(path)) == content
    mount.synced()
    expected = {"new/deep/file": b"new", "a": b"changed", "moved/c": b"b/c", "moved/d": b"b/d"}
    for path, content in expected.items():
        assert read(master.path("uploads/" + path)) == content
        assert read(mount.path("uploads/" + path)) == content
    assert read(mount.path("uploads/mine.local")) == b"only here"
    assert os.readlink(master.path("uploads/link")) == "a"
    assert os.stat(master.path("uploads/moved/d")).st_mode & 0o777 == 0o600
    assert sorted(os.listdir(master.path("uploads"))) == ["a", "link", "moved", "new"]
    assert mount.status()["conflicts"] == 0 and site.status()[0] == 0


def remove_database(cache):
    for end in ("", "-wal", "-shm"):
        if os.path.exists(cache + "/replica.db" + end):
            os.unlink(cache + "/replica.db" + end)


HARM = {
    "flipped": lambda cache: flip(cache + "/replica.db", 1, times=20),
    "lost": remove_database,
    "emptied": lambda cache: (remove_database(cache), write(cache + "/replica.db", "")),
    "cut": lambda cache: os.truncate(cache + "/replica.db", 9000),
    "garbage": lambda cache: write(cache + "/replica.db", os.urandom(50000)),
    "log lost": lambda cache: os.unlink(cache + "/replica.db-wal"),
    "log flipped": lambda cache: flip(cache + "/replica.db-wal", 1, times=5),
    "log emptied": lambda cache: os.truncate(cache + "/replica.db-wal", 0),
}


SHORT = ("flipped", "lost", "log flipped")


@pytest.mark.parametrize("harm", [h if h in SHORT else pytest.param(h, marks=pytest.mark.long) for h in HARM])
def test_damaged_replica_keeps_what_was_not_sent(site, master, harm):
    """The base comes from the master; every change that waited is sent, and nothing is missing."""
    files, link, mount = unsent(site, master)
    if harm.startswith("log"):
        mount.kill()
    else:
        mount.stop()
    mount.cleanup()
    HARM[harm](mount.cache)
    link.restore()
    mount.start()
    check_sent(site, master, mount, files)
    mount.stop()


@pytest.mark.long
def test_foreign_log(site, master):
    """A log of another database beside one that was closed is not read into it."""
    files, link, mount = unsent(site, master)
    mount.kill()
    mount.cleanup()
    foreign = read(mount.cache + "/replica.db-wal")
    link.restore()
    mount.start()
    check_sent(site, master, mount, files)
    write(master.path("img/after"), "after")
    wait_for(lambda: os.path.exists(mount.path("img/after")))
    mount.stop()
    write(mount.cache + "/replica.db-wal", foreign)
    mount.start()
    assert "belongs to another database" in mount.process.log() and read(mount.path("img/after")) == b"after"
    check_sent(site, master, mount, files)


def damage(path, seed, places=60):
    """Changes single bytes at random places of what the file has now."""
    rnd = random.Random(seed)
    with open(path, "r+b") as f:
        for at in [rnd.randrange(os.fstat(f.fileno()).st_size) for _ in range(places)]:
            f.seek(at)
            old = f.read(1)[0]
            f.seek(at)
            f.write(bytes([old ^ rnd.randrange(1, 256)]))


def look_at(mount, files, contents=False):
    """The number of errors. What is there is found as it is, or an error that says what is wrong."""
    errors = 0
    for path, content in files.items():
        try:
            assert os.lstat(mount.path(path)).st_size == len(content)
            assert not contents or read(mount.path(path)) == content
        except OSError as e:
            assert e.errno == errno.EUCLEAN, (path, e)
            errors += 1
    for folder in sorted({os.path.dirname(path) for path in files}):
        try:
            assert len(os.listdir(mount.path(folder))) == len(
                [p for p in files if os.path.dirname(p) == folder])
        except OSError as e:
            assert e.errno == errno.EUCLEAN, (folder, e)
            errors += 1
    return errors


def renewals(mount):
    return mount.process.log().count("being rebuilt from the master")


SEEDS = 30


@pytest.mark.parametrize("seed", [s if s < 2 else pytest.param(s, marks=pytest.mark.long) for s in range(SEEDS)])
def test_damage_in_use(site, master, seed):
    """Names are found or an error is met, never missing, and the status says so. As soon as the master
    is there the running mirror makes its database anew: nothing that was written is lost, neither what
    waits, nor what is still open; and what is open can be read all the time."""
    files, link, mount = unsent(site, master)
    mount.stop()
    mount.start()  # so that the database has it, and the log little
    assert read(mount.path("uploads/a")) == b"changed"
    opened = open(mount.path("uploads/a"), "rb", buffering=0)
    draft = open(mount.path("uploads/draft"), "wb", buffering=0)
    draft.write(b"half")
    damage(mount.cache + "/replica.db" + ("-wal" if seed % 5 == 4 else ""), seed, 8 if seed % 2 else 60)
    taken = {}
    for i in range(3):
        try:
            write(mount.path("uploads/late-%d" % i), "late %d" % i)
            taken["late-%d" % i] = b"late %d" % i
        except OSError as e:
            assert e.errno == errno.EUCLEAN
    errors = look_at(mount, files)
    status = mount.status()
    if errors or len(taken) < 3:
        assert status["state"] == "FAILED" and "EUCLEAN" in status["reason"], status
        assert "when the master answers" in status["action"]
        assert status["errors"][0]["path"].endswith("replica.db") and status["errors"][0]["count"] > 0
    else:
        assert seed % 5 == 4 or seed % 2
    assert os.pread(opened.fileno(), 100, 0) == b"changed"
    link.restore()

    def repaired():
        assert os.pread(opened.fileno(), 100, 0) == b"changed"
        return look_at(mount, files) == 0 and mount.status()["state"] == "OK"
    wait_for(repaired, 30, "repaired")
    assert not errors or renewals(mount) > 0
    look_at(mount, files, contents=True)
    assert os.path.exists(mount.path("uploads/draft"))
    draft.write(b" and half")
    draft.close()
    opened.close()
    mount.synced()
    sent = dict(taken, **{"new/deep/file": b"new", "a": b"changed", "moved/c": b"b/c", "moved/d": b"b/d",
                          "draft": b"half and half"})
    for path, content in sent.items():
        assert read(master.path("uploads/" + path)) == read(mount.path("uploads/" + path)) == content
    assert read(mount.path("uploads/mine.local")) == b"only here"
    assert os.readlink(master.path("uploads/link")) == "a"
    assert set(os.listdir(mount.path("uploads"))) - {"mine.local"} == set(os.listdir(master.path("uploads")))
    assert "old" not in os.listdir(master.path("uploads"))
    write(master.path("img/after"), "after")
    wait_for(lambda: read(mount.path("img/after")) == b"after")
    assert mount.status()["conflicts"] == 0 and mount.status()["pending"] == 0


def test_damage_in_use_with_the_master_there(site, master):
    """It is made anew at once; what the kernel knows of before is right again, also what is gone."""
    files = tree(master, 2000)
    master.start()
    mount = site.mount(master, prefetch="none")
    mount.stop()
    mount.start()
    gone, new = "img/03/picture-003.png", "img/00/new"
    assert os.path.exists(mount.path(gone)) and not os.path.exists(mount.path(new))
    for seed in range(20):
        flip(mount.cache + "/replica.db", seed)
    os.unlink(master.path(gone))
    write(master.path(new), "new")
    wait_for(lambda: gone not in master.listing() and new in master.listing())
    same = {path: content for path, content in files.items() if os.path.dirname(path) == "img/05"}
    wait_for(lambda: (look_at(mount, same), renewals(mount))[1], 30, "renewal")
    wait_for(lambda: os.listdir(mount.path("img")) and mount.status()["state"] == "OK", 30, "repaired")
    del files[gone]
    files["img/00/new"] = b"new"
    assert look_at(mount, files) == 0 and not os.path.exists(mount.path(gone))
    assert len(os.listdir(mount.cache + "/damaged")) == 1
    mount.stop()
    mount.start()
    assert look_at(mount, files) == 0 and mount.status()["state"] == "OK"


def test_salvage_offers_what_nothing_knows(site, master):
    """Database and record are lost: the contents that were written here are listed and copied out."""
    files, link, mount = unsent(site, master)
    mount.stop()
    remove_database(mount.cache)
    os.unlink(mount.cache + "/unsent.log")
    link.restore()
    mount.start()
    assert "--salvage" in mount.status()["action"] and mount.status()["state"] == "DEGRADED"
    out = site.run("eefs-status", "--salvage", mount.point).stdout
    assert "uploads/new/deep/file" in out and "uploads/a" in out and "3 contents" in out
    into = os.path.join(site.base, "salvaged")
    site.run("eefs-status", "--salvage", "--into", into, mount.path("uploads/new"))
    assert read(into + "/uploads/new/deep/file") == b"new" and not os.path.exists(into + "/uploads/a")
    write(mount.path("uploads/new/deep/file"), read(into + "/uploads/new/deep/file"))
    mount.synced()
    assert "2 contents" in site.run("eefs-status", "--salvage", mount.point).stdout


def test_errors_of_a_daemon_are_in_its_status(site, master):
    """No more files may be opened: it is reported with count, place and time, and the socket still answers."""
    files = tree(master)
    master.start()
    mount = site.mount(master, prefetch="none")
    pid = str(mount.process.pid)
    limit = subprocess.run(["prlimit", "--pid", pid, "--nofile", "-o", "SOFT,HARD", "--noheadings"],
                           capture_output=True, text=True, check=True).stdout.split()
    used = max(int(fd) for fd in os.listdir("/proc/%s/fd" % pid)) + 1
    subprocess.run(["prlimit", "--pid", pid, "--nofile=%d:%s" % (used, limit[1])], check=True)
    held = []

    def met():
        for path in list(files)[len(held):len(held) + 20]:
            try:
                held.append(open(mount.path(path), "rb"))
            except OSError:
                held.append(None)
        return [e for e in mount.status()["errors"] if e["error"] == "EMFILE"]
    errors = wait_for(met)
    assert errors[0]["count"] > 0 and errors[0]["path"] and errors[0]["ago_ms"] < 60000
    assert mount.status()["state"] == "DEGRADED" and "EMFILE" in mount.status()["reason"]
    assert "EMFILE" in site.run("eefs-status", mount.point, check=False).stdout
    subprocess.run(["prlimit", "--pid", pid, "--nofile=%s:%s" % (limit[0], limit[1])], check=True)
    for f in held:
        if f:
            f.close()
    assert read(mount.path("img/03/picture-003.png")) == b"picture 3"


def flip_bits(path, seed):
    """Single bits at up to 60 random places; False: nothing is in the file."""
    rnd = random.Random(seed)
    if not os.path.exists(path) or os.path.getsize(path) == 0:
        return False
    with open(path, "r+b") as f:
        for _ in range(rnd.choice([1, 3, 12, 60])):
            at = rnd.randrange(os.fstat(f.fileno()).st_size)
            f.seek(at)
            old = f.read(1)[0]
            f.seek(at)
            f.write(bytes([old ^ 1 << rnd.randrange(8)]))
    return True


def seeds(n):
    return [s if s < n else pytest.param(s, marks=pytest.mark.long) for s in range(SEEDS)]


def stored(master, name):
    return read(master.path(".eefs/kept", name[3:5], name))


def versions_told(site, master, path):
    """The contents of all versions that can be had, the present one first."""
    out = site.run("eefs-master", "history", path, "--state", master.state, "--json").stdout
    return [read(master.path(path)) if v["state"] == "present" else stored(master, v["hash"])
            for v in json.loads(out)["versions"]]


def unnamed(site, master):
    """Kept contents whose paths are lost."""
    out = site.run("eefs-master", "history", "--unnamed", "--state", master.state, "--json").stdout
    found = [stored(master, u["hash"]) for u in json.loads(out)["unnamed"]]
    wait_for(lambda: master.control()["kept"]["unnamed_files"] == len(found))
    return [data for data in found if data.startswith(b"version")]


@pytest.mark.parametrize("harm", ["flipped", "emptied"])
def test_versions_of_which_only_the_log_knows(site, master, harm):
    """It is damaged before them: they are read from behind the damage. It is lost: their contents stay, and that
    their paths are lost is told."""
    master.start()
    master.add_mirror("slave1", "--write", "uploads")
    mount = site.mount(master, prefetch="none")
    damaged = master.state + "/master.db-wal"
    write(mount.path("uploads/v"), "version 0")
    begin = os.path.getsize(damaged)
    for i in range(1, 6):
        write(mount.path("uploads/v"), "version %d" % i)
    wait_for(lambda: master.control()["kept"]["unkept_files"] == 0)
    mount.stop()
    master.kill()
    if harm == "flipped":
        with open(damaged, "r+b") as f:
            f.seek(begin - 1000)
            f.write(b"damaged!")
    else:
        os.truncate(damaged, 0)
    log = read(damaged)
    master.start()
    wait_for(lambda: master.control()["kept"]["files"] == 6)
    versions = [b"version %d" % i for i in range(5, -1, -1)]
    wait_for(lambda: versions_told(site, master, "uploads/v") == (versions if harm == "flipped" else versions[:1]))
    assert sorted(unnamed(site, master)) == ([] if harm == "flipped" else sorted(versions[1:]))
    if harm == "flipped":
        aside, = os.listdir(master.state + "/damaged")
        assert read(master.state + "/damaged/" + aside + "/master.db-wal") == log
        assert sorted(os.listdir(master.state + "/damaged/" + aside)) == ["master.db", "master.db-shm", "master.db-wal"]
    else:
        assert "unnamed  5 kept contents" in site.run("eefs-status", check=False).stdout
    master.stop()
    master.start()
    wait_for(lambda: master.control()["kept"]["files"] == 6)


@pytest.mark.parametrize("seed", seeds(2))
def test_bits_of_a_master(site, master, seed):
    """Bits of its database or log are other ones: every name and content is as in the folder, tokens and scopes
    are as they were, and of the history what is told can be had."""
    files = tree(master, 100)
    master.start()
    master.add_mirror("slave1", "--write", "uploads", "--write", "css")
    other = master.add_mirror("slave2")
    mount = site.mount(master, prefetch="none")
    for i in range(6):
        write(mount.path("uploads/v"), "version %d" % i)
    wait_for(lambda: master.control()["kept"]["unkept_files"] == 0)
    listed = site.run("eefs-master", "mirror", "list", "--state", master.state).stdout
    mount.stop()
    (master.kill if seed % 2 else master.stop)()
    write(master.path("uploads/v"), "changed while it was down")
    log = seed % 4 == 3 and flip_bits(master.state + "/master.db-wal", seed)
    assert log or flip_bits(master.state + "/master.db", seed)
    master.start()
    mount.start()
    for path, content in dict(files, **{"uploads/v": b"changed while it was down"}).items():
        assert wait_for(lambda p=path: read(mount.path(p))) == content
    assert {p for p in master.listing(token=other) if p.startswith("img/")} >= set(files)
    now = site.run("eefs-master", "mirror", "list", "--state", master.state).stdout
    assert [line.split()[0] for line in now.splitlines()] == [line.split()[0] for line in listed.splitlines()]
    write(mount.path("css/mine"), "within its scope")
    write(mount.path("uploads/v"), "once more")
    mount.synced()
    assert read(master.path("css/mine")) == b"within its scope" and read(master.path("uploads/v")) == b"once more"
    with pytest.raises(OSError):
        write(mount.path("img/00/foreign"), "outside of it")
    told = wait_for(lambda: versions_told(site, master, "uploads/v"))  # what was replaced last is moved there soon
    assert told[:2] == [b"once more", b"changed while it was down"], told
    assert sorted(told[2:] + unnamed(site, master)) == [b"version %d" % i for i in range(6)]
    try:
        wait_for(lambda: site.status()[0] == 0)
    except AssertionError as e:
        raise AssertionError(site.status()) from e


@pytest.mark.parametrize("seed", seeds(2))
def test_bits_of_a_mirror(site, master, seed):
    """Bits of an unmounted mirror's database, or of its log after a crash, are other ones: nothing that waits is
    lost, no name is missing and no content is wrong."""
    files, link, mount = unsent(site, master)
    (mount.kill if seed % 2 else mount.stop)()
    mount.cleanup()
    log = seed % 4 == 3 and flip_bits(mount.cache + "/replica.db-wal", seed)
    assert log or flip_bits(mount.cache + "/replica.db", seed)
    link.restore()
    mount.start()
    check_sent(site, master, mount, files)
    mount.stop()
