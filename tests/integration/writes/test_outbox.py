# SPDX-License-Identifier: MIT
"""What is changed on a mirror while the master is away: kept, put in order, sent once."""

import json
import os
import shutil
import signal
import subprocess
import threading
import time

import pytest

from peer import Peer, honest

from eefs import SLOW, Mount, away, back, content_name, program, read, tree, wait_for, write


@pytest.fixture
def master(site):
    master = site.master(start=False)
    write(master.path("uploads/old.txt"), "old")
    write(master.path("uploads/other.txt"), "other")
    write(master.path("css/a.css"), "body{}")
    return master.start()


def test_what_never_was_is_never_sent(site, master, link, mount):
    """Rename, overwrite and unlink of things not yet sent leave no trace on the master."""
    assert tree(mount.path("uploads"))[b"old.txt"][3] == b"old"  # all is cached
    _, cursor = master.changes()
    link.cut()
    away(mount)
    up = lambda *name: mount.path("uploads", *name)
    write(up("temp"), "deleted again")
    os.unlink(up("temp"))
    os.mkdir(up("temp.d"))
    os.rmdir(up("temp.d"))
    for i in range(3):  # as editors save
        write(up("old.txt.new"), "version %d" % i)
        os.replace(up("old.txt.new"), up("old.txt"))
    write(up("a"), "moved twice")
    os.rename(up("a"), up("b"))
    os.rename(up("b"), up("c"))
    os.mkdir(up("gallery"), 0o755)
    os.chmod(up("gallery"), 0o777)
    for i in range(3):
        write(up("gallery/%d.png" % i), "picture %d" % i)
        os.chmod(up("gallery/%d.png" % i), 0o644)
        os.chmod(up("gallery/%d.png" % i), 0o666)
    os.unlink(up("gallery/1.png"))
    os.rename(up("gallery"), up("album"))
    os.symlink("x", up("link"))
    os.unlink(up("link"))
    want = tree(mount.path("uploads"))
    assert mount.status()["pending"] == 5  # old.txt, c, album, 0.png, 2.png
    link.restore()
    back(mount)
    assert tree(master.path("uploads")) == want == tree(mount.path("uploads"))
    entries, _ = master.changes(cursor)
    assert sorted(e["path"] for e in entries if e["path"] != "uploads") == [  # its time moves
        "uploads/" + n for n in ("album", "album/0.png", "album/2.png", "c", "old.txt")]
    assert not [e for e in entries if e["type"] == "gone"]
    assert os.stat(master.path("uploads/album/0.png")).st_mode & 0o777 == 0o666


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
def test_what_was_closed_offline_is_on_the_disk(site, link, mount):
    """close() and fsync() return only after the contents and then the log were synced."""
    link.cut()
    away(mount)
    trace = os.path.join(site.base, "trace")
    strace = site.spawn("strace", ["strace", "-f", "-y", "-qq", "-o", trace, "-e",
                                   "trace=syncfs,fsync,fdatasync", "-p", str(mount.process.pid)])

    def tracing():
        tasks = "/proc/%d/task" % mount.process.pid
        return not any(b"TracerPid:\t0\n" in read("%s/%s/status" % (tasks, task))
                       for task in os.listdir(tasks))

    def synced_since(mark):
        lines = read(trace).decode()[mark:].splitlines()
        at = [i for i, line in enumerate(lines) if "syncfs(" in line]
        return at and any("sync(" in line and "replica.db-wal" in line for line in lines[at[0]:])

    wait_for(tracing, 10)
    for i in range(3):
        mark = len(read(trace))
        fd = os.open(mount.path("uploads/%d.txt" % i), os.O_CREAT | os.O_WRONLY)
        os.write(fd, b"x" * 100)
        if i:
            os.fsync(fd)
        else:
            os.close(fd)
        assert synced_since(mark), read(trace)[mark:]
        if i:
            os.close(fd)
    strace.stop()


def test_the_log_says_why_nobody_waited(site, master, link, mount):
    def said(text):
        return wait_for(lambda: [line for line in mount.process.log().splitlines() if text in line])

    link.cut()
    away(mount)
    for i in range(20):
        write(mount.path("uploads/%d.txt" % i), "x")
    assert len(said("before the master had them: the master is away: cannot reach")) == 1  # not one for each
    assert "safe on this disk" in said("closed before the master")[0]
    link.restore()
    back(mount)
    link.stall()
    begin = time.monotonic()
    write(mount.path("uploads/slow.txt"), "x")
    assert time.monotonic() - begin < 12 * SLOW
    said("no progress for 5 s")
    link.restore()
    back(mount)


def test_other_answers_are_no_progress(site, master):
    """The master answers, but takes nothing: a close() returns all the same."""
    peer = Peer(master.port)
    site.links.append(peer)

    def later(exchange):
        if not exchange.ops:
            return honest(exchange)
        ops = json.loads(exchange.receive())["ops"]
        body = json.dumps({"answers": [{"n": ops[0]["n"], "result": "later", "code": "no_space",
                                        "error": "the master's disk is full"}], "head": 1}).encode()
        return exchange.answer((200, [("Content-Type", "application/json")], body))

    mount = site.mount(master, url=peer.url)
    peer.set(later, keep=True)
    begin = time.monotonic()
    write(mount.path("uploads/full.txt"), "x")
    assert time.monotonic() - begin < 12 * SLOW
    wait_for(lambda: "the master's disk is full" in mount.status()["reason"], 10)
    assert mount.status()["state"] == "DEGRADED"
    peer.set(None)
    wait_for(lambda: os.path.exists(master.path("uploads/full.txt")), 40)
    back(mount)


@pytest.mark.parametrize("held", ["answers", "page"])
@pytest.mark.parametrize("name", ["old.txt", "folder"])
def test_the_feed_tells_of_a_rename_that_was_taken_back(site, master, name, held):
    """It comes before the rename's answer, or after that of taking it back: what is back under its
    name is not taken for renamed."""
    write(master.path("uploads/folder/x"), "x")
    peer = Peer(master.port)
    site.links.append(peer)
    done, go = threading.Event(), threading.Event()

    def late(exchange):
        reply = exchange.forward()
        if b"moved_from" in reply[2] and exchange.ops == (held == "answers"):
            done.set()
            go.wait(60 * SLOW)
        exchange.answer(reply)

    mount = site.mount(master, url=peer.url)
    up = lambda *path: mount.path("uploads", *path)
    wait_for(lambda: os.path.exists(up("folder/x")))
    peer.set(late)
    back(mount)
    os.rename(up(name), up("away"))
    assert done.wait(20 * SLOW)
    os.rename(up("away"), up(name))
    if held == "page":
        wait_for(lambda: mount.status()["pending"] == 0)
        go.set()
    write(master.path("css/later.css"), "later")
    wait_for(lambda: os.path.exists(mount.path("css/later.css")))
    os.chmod(up(name), 0o700)
    os.rename(up(name), up("moved"))
    os.chmod(up("moved"), 0o750)
    go.set()
    peer.set(None)
    back(mount)
    assert tree(master.path("uploads")) == tree(up())
    assert os.stat(master.path("uploads/moved")).st_mode & 0o777 == 0o750


def test_uploads_of_later_changes_are_no_progress(site, master):
    """The first upload stands still; a close() behind it returns although a later one goes on."""
    peer = Peer(master.port)
    site.links.append(peer)
    first, later = b"1" * 300_000, b"2" * 8_000_000
    going = threading.Event()

    def fault(exchange):
        if exchange.method != "PUT":
            return honest(exchange)
        if content_name(first) in exchange.path:
            return exchange.hang()
        for at in range(0, len(later), 20_000):  # at 200 kB/s: 40 s
            exchange.receive(min(at + 20_000, len(later)))
            going.set()
            time.sleep(0.1)
        return honest(exchange)

    mount = site.mount(master, url=peer.url)
    peer.set(fault, keep=True)
    took = {}

    def close(name, data):
        fd = os.open(mount.path("uploads", name), os.O_CREAT | os.O_WRONLY)
        os.write(fd, data)
        begin = time.monotonic()
        os.close(fd)
        took[name] = time.monotonic() - begin

    threads = [threading.Thread(target=close, args=args, daemon=True)
               for args in (("first", first), ("behind", b"small"), ("later", later))]
    for thread in threads[:2]:
        thread.start()
        wait_for(lambda: mount.status()["pending"] == len([t for t in threads if t.ident]))
    threads[2].start()
    assert going.wait(30 * SLOW)
    for thread in threads[:2]:
        thread.join(15 * SLOW)
    assert set(took) == {"first", "behind"}, took  # the third one's own content goes on
    assert all(4 < t < 12 * SLOW for t in took.values()), took
    peer.set(None)
    threads[2].join(60 * SLOW)
    back(mount)
    assert read(master.path("uploads/later")) == later


def test_interrupted_close_keeps_the_change(site, master, link, mount):
    """A signal ends the wait; what was written is queued and arrives."""
    link.stall()
    code = "import os,signal,sys\nsignal.signal(signal.SIGINT,signal.default_int_handler)\n" \
        "fd=os.open(sys.argv[1],os.O_CREAT|os.O_WRONLY)\nos.write(fd,b'kept')\n" \
        "print('x',flush=True)\nos.close(fd)\n"  # SIGINT may have been ignored all along
    child = subprocess.Popen(["python3", "-c", code, mount.path("uploads/cut.txt")],
                             stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"x\n"
    wait_for(lambda: mount.status()["pending"] == 1, 4)
    begin = time.monotonic()
    child.send_signal(signal.SIGINT)
    child.wait(10 * SLOW)
    child.stdout.close()
    assert time.monotonic() - begin < 4 * SLOW
    link.restore()
    back(mount)
    assert read(master.path("uploads/cut.txt")) == b"kept"


def test_offline_fail_tells_the_writer_and_keeps_the_change(site, master):
    """The outcome may be unknown, so the change stays, visible and queued."""
    link = site.link(master)
    mount = site.mount(master, url=link.url, offline="fail")
    link.cut()
    away(mount)
    for name in ("a.txt", "b.txt"):
        with pytest.raises(OSError) as error:
            write(mount.path("uploads", name), "told " + name)
        assert error.value.errno == 5  # EIO
    assert read(mount.path("uploads/a.txt")) == b"told a.txt"
    assert "their writers got an error" in mount.process.log()
    os.unlink(mount.path("uploads/b.txt"))  # who does not want it takes it back
    link.restore()
    back(mount)
    assert read(master.path("uploads/a.txt")) == b"told a.txt"
    assert not os.path.exists(master.path("uploads/b.txt"))


def test_states_of_files(site, master, link):
    mount = site.mount(master, url=link.url, prefetch="none")

    def state(name):
        return os.getxattr(mount.path(name), "user.eefs.state")

    assert state("css/a.css") == b"uncached" and state("css") == b"clean"
    assert read(mount.path("css/a.css")) == b"body{}"
    assert state("css/a.css") == b"clean"
    fd = os.open(mount.path("uploads/new.txt"), os.O_CREAT | os.O_WRONLY)
    os.write(fd, b"new")
    assert state("uploads/new.txt") == b"pending"
    os.close(fd)
    assert state("uploads/new.txt") == b"clean"
    link.cut()
    away(mount)
    write(mount.path("uploads/new.txt"), "newer")
    assert state("uploads/new.txt") == b"pending"
    link.restore()
    back(mount)
    assert state("uploads/new.txt") == b"clean"
    assert os.listxattr(mount.path("uploads/new.txt")) == []  # nothing copies it


def test_a_damaged_queued_content_holds_up_nobody(site, master, link, mount):
    """What can no longer be sent is listed, not thrown away; the rest goes on."""
    link.cut()
    away(mount)
    data = b"precious" * 1000
    write(mount.path("uploads/damaged.bin"), data)
    write(mount.path("uploads/fine.txt"), "fine")
    mount.kill()
    name = content_name(data)[3:]
    path = os.path.join(mount.cache, "objects", name[:2], name[2:])
    os.chmod(path, 0o600)
    with open(path, "r+b") as f:
        f.write(b"PRECIOUS")
    mount.cleanup()
    mount.start()
    link.restore()
    wait_for(lambda: os.path.exists(master.path("uploads/fine.txt")), 30)
    wait_for(lambda: mount.status()["quarantined"] == 1, 10)
    assert not os.path.exists(master.path("uploads/damaged.bin"))
    out = site.run("eefs-status", "--quarantine", mount.point, check=False)
    assert out.returncode == 1 and "damaged.bin" in out.stdout and "damaged" in out.stdout
    assert read(path).endswith(b"precious")  # still there for who wants to save what can be saved
    out = site.run("eefs-status", "--wait", mount.point, check=False)
    assert out.returncode == 1 and "--quarantine" in out.stderr
    out = site.run("eefs-status", "--discard", mount.path("uploads/damaged.bin"))
    assert "damaged.bin" in out.stdout
    assert not os.path.exists(mount.path("uploads/damaged.bin"))
    wait_for(lambda: mount.status()["state"] == "OK", 10)


def test_replay_goes_on_behind_reads_and_writes(site, master, link, mount):
    assert read(mount.path("css/a.css")) == b"body{}"
    link.cut()
    away(mount)
    many = 1000
    for d in range(10):
        os.mkdir(mount.path("uploads/d%d" % d))
    for i in range(0, many, 5):  # closed one after the other: four fifths by links to be quick
        write(mount.path("uploads/d%d/%d.txt" % (i % 10, i)), "n%d" % i)
    for i in range(many):
        if i % 5:
            os.symlink("n%d" % i, mount.path("uploads/d%d/%d.txt" % (i % 10, i)))
    write(master.path("css/b.css"), "while away")
    assert mount.status()["pending"] == many + 10
    link.restore()
    wait_for(lambda: mount.status()["link"] == "up", 30)
    slowest = 0
    for i in range(10):
        begin = time.monotonic()
        assert read(mount.path("css/a.css")) == b"body{}"
        assert len(os.listdir(mount.path("uploads"))) >= 12
        slowest = max(slowest, time.monotonic() - begin)
        write(mount.path("uploads/during%d.txt" % i), "new while replaying")
    assert slowest < 1 * SLOW
    wait_for(lambda: os.path.exists(mount.path("css/b.css")), 20)
    back(mount)
    assert tree(mount.path("uploads")) == tree(master.path("uploads"))


def test_wait_for_a_path(site, master, link, mount):
    """--wait PATH is about that path; a relative one counts from here; the mount is not touched."""
    assert site.run("eefs-status", "--wait", mount.point).returncode == 0
    link.cut()
    away(mount)
    os.mkdir(mount.path("uploads/d"))
    begin = time.monotonic()
    out = site.run("eefs-status", "--wait", "--timeout", "1s", mount.path("uploads"), check=False)
    assert out.returncode == 1 and "1 changes are not on the master" in out.stderr
    assert time.monotonic() - begin < 6 * SLOW
    out = site.run("eefs-status", "--wait", "--timeout", "1s", mount.path("css"))
    out = site.run("eefs-status", "--wait", "--timeout", "1s",
                   "../" + os.path.basename(mount.point) + "/css/./", cwd=site.rundir)
    out = site.run("eefs-status", "--wait", "--timeout", "1s",
                   "../" + os.path.basename(mount.point) + "/uploads/d/", cwd=site.rundir, check=False)
    assert out.returncode == 1
    out = site.run("eefs-status", "--wait", "/nowhere", check=False)
    assert out.returncode == 3
    waiter = threading.Thread(target=lambda: site.run("eefs-status", "--wait", mount.path("uploads/d")))
    waiter.start()
    link.restore()
    waiter.join(40 * SLOW)
    assert not waiter.is_alive()
    assert os.path.isdir(master.path("uploads/d"))


def test_umount_flushes_and_says_what_is_left(site, master, link, mount):
    os.mkdir(mount.path("uploads/flushed"))
    mount.stop()
    assert os.path.isdir(master.path("uploads/flushed"))
    assert "not on the master" not in mount.process.log()
    mount.start()
    link.cut()
    away(mount)
    for i in range(7):
        write(mount.path("uploads/left %d.txt" % i), "left %d" % i)
    os.chmod(mount.path("uploads/old.txt"), 0o600)
    begin = time.monotonic()
    mount.stop()
    assert time.monotonic() - begin < 15 * SLOW
    line = [x for x in mount.process.log().splitlines() if "not on the master yet" in x][-1]
    assert "8 changes" in line and "'uploads/left%200.txt'" in line and mount.cache in line
    link.restore()
    mount.start()
    assert read(mount.path("uploads/left 6.txt")) == b"left 6"
    back(mount)
    assert read(master.path("uploads/left 6.txt")) == b"left 6"
    assert os.stat(master.path("uploads/old.txt")).st_mode & 0o777 == 0o600


def test_an_upload_that_the_master_had_not_verified(site, master, mount):
    """The master died with all bytes staged: they are not taken for an upload that is done."""
    master.stop()
    master.start(env={"EEFS_CRASH_AT": "master.upload.verified"})
    wait_for(lambda: mount.status()["link"] == "up", 20)
    write(mount.path("uploads/big.bin"), b"big " * 100_000)
    assert master.process.popen.wait(20) == -9
    master.start()
    mount.synced()
    assert read(master.path("uploads/big.bin")) == b"big " * 100_000


def test_a_copied_cache_is_refused_and_can_be_renewed(site, master, link, mount):
    """A virtual machine was cloned: two mounts with one outbox id."""
    write(mount.path("uploads/first.txt"), "first")
    mount.stop()
    copy = Mount(site, master, "slave1", instance="copy", url=link.url)
    shutil.copytree(mount.cache, copy.cache)
    mount.start()
    copy.start()
    write(mount.path("uploads/a.txt"), "from the original")
    assert read(master.path("uploads/a.txt")) == b"from the original"
    write(copy.path("uploads/b.txt"), "from the copy")  # the same number, another change
    status = wait_for(lambda: copy.status() if copy.status()["state"] == "DEGRADED" else None, 10)
    assert "copy of this cache" in status["reason"] and "--renew" in status["action"]
    assert status["pending"] == 1
    assert not os.path.exists(master.path("uploads/b.txt"))
    assert "slave1" in master.process.log() and "--renew" in master.process.log()
    listing = site.run("eefs-master", "mirror", "list", "--state", master.state).stdout
    assert "copies of one cache" in listing
    _, everything = site.status()
    told = everything["masters"][0]["mirrors"][0]
    assert told["state"] == "DEGRADED" and "copies of one cache" in told["reason"]
    write(mount.path("uploads/c.txt"), "the original goes on")
    assert read(master.path("uploads/c.txt")) == b"the original goes on"
    site.run("eefs-status", "--renew", copy.point)
    copy.synced()
    assert read(master.path("uploads/b.txt")) == b"from the copy"
    wait_for(lambda: copy.status()["state"] == "OK", 10)
    write(copy.path("uploads/d.txt"), "and so does the copy")
    assert read(master.path("uploads/d.txt")) == b"and so does the copy"


def test_excluded_names_stay_here(site):
    """Patterns of the master: usable on every mirror, sent by none, hidden by none from the other."""
    master = site.master(start=False)
    write(master.path("uploads/x/secret.tmp"), "the master's own")
    master.add_mirror("slave1")
    master.process = site.spawn(
        "master", [program("eefs-master"), "serve", "--root", master.root, "--state", master.state,
                   "--listen", "127.0.0.1:%d" % master.port, "--rundir", site.rundir,
                   "--exclude", "*.tmp", "--exclude", "uploads/cache"])
    wait_for(master.healthy, 15)
    mount = site.mount(master)
    assert not os.path.exists(mount.path("uploads/x/secret.tmp"))
    write(mount.path("uploads/x/secret.tmp"), "the mirror's own")
    write(mount.path("uploads/cache/deep/page.html"), "rendered")
    write(mount.path("uploads/x/shared.txt"), "shared")
    os.rename(mount.path("uploads/x"), mount.path("uploads/y"))
    mount.synced()
    assert os.getxattr(mount.path("uploads/y/secret.tmp"), "user.eefs.state") == b"local"
    assert os.getxattr(mount.path("uploads/y/shared.txt"), "user.eefs.state") == b"clean"
    mount.stop()
    mount.start()
    assert read(mount.path("uploads/y/secret.tmp")) == b"the mirror's own"
    assert read(mount.path("uploads/cache/deep/page.html")) == b"rendered"
    os.unlink(mount.path("uploads/y/secret.tmp"))
    shutil.rmtree(mount.path("uploads/cache"))
    mount.synced()
    assert not os.path.exists(mount.path("uploads/y/secret.tmp"))
    assert read(master.path("uploads/y/secret.tmp")) == b"the master's own"
    assert not os.path.exists(master.path("uploads/cache"))
