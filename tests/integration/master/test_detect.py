# SPDX-License-Identifier: MIT
"""The master finds every change of its folder, however it was made, and publishes whole files only."""

import mmap
import os
import shutil
import signal
import socket
import stat
import tempfile
import threading
import time

import pytest

from eefs import content_name, read, tree, wait_for, write

# Its own limits of inotify, without any setting of the host: a user namespace has its own counters.
LIMITED = ["unshare", "-Ur", "sh", "-c", 'echo %s > /proc/sys/user/%s && shift 0 && exec "$@"', "sh"]


def limited(what, n):
    return [part % (n, what) if "%s" in part else part for part in LIMITED]


def names_of(master):
    """The folder's paths as the wire writes them, with contents of files."""
    safe = set(range(0x21, 0x7f)) - set(b'%"\\')
    return {"".join(chr(b) if b in safe else "%%%02X" % b for b in path):
            content_name(what) if kind == "file" else None
            for path, (kind, _, _, what) in tree(master.root).items()}


def told(master):
    return {path: e.get("hash") for path, e in master.listing().items()}


class Follower(threading.Thread):
    """Follows the feed: every version of every path that a mirror would see."""

    def __init__(self, master):
        super().__init__(daemon=True)
        self.master, self.seen, self.ended = master, [], False
        _, self.cursor = master.changes()
        self.start()

    def run(self):
        while not self.ended:
            entries, self.cursor = self.master.changes(self.cursor, wait=1)
            self.seen += entries

    def end(self):
        self.ended = True
        self.join(30)

    def versions(self, path):
        return [e for e in self.seen if e["path"] == path]


@pytest.fixture
def master(site):
    master = site.master(start=False)
    master.add_mirror("slave1")
    return master


@pytest.fixture
def in_memory(site):
    """A folder in memory: a hundred thousand files come and go quickly there."""
    top = tempfile.mkdtemp(prefix="eefs-", dir="/dev/shm" if os.path.isdir("/dev/shm") else "/tmp")
    site.cleanups.append(lambda: shutil.rmtree(top))
    return top


def test_burst_that_overflows_the_queue(master, in_memory):
    """100,000 files while the master stands still: far more than its queue holds. It scans, serves
    meanwhile, and ends up with exactly the folder."""
    master.root = in_memory
    dirs = [master.path("burst", "%02d" % i) for i in range(20)]
    for d in dirs:
        os.makedirs(d)
    master.start()
    wait_for(lambda: master.control()["watched"] == 22)
    master.process.signal(signal.SIGSTOP)
    for d in dirs:
        fd = os.open(d, os.O_RDONLY)
        for i in range(5000):
            f = os.open("%d.txt" % i, os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=fd)
            if i % 100 == 99:
                os.write(f, b"content")
            os.close(f)
        os.close(fd)
    master.process.signal(signal.SIGCONT)
    wait_for(lambda: master.control()["scanning"], 20)
    assert "too many changes at once" in master.process.log()
    write(master.path("meanwhile.txt"), "meanwhile")
    assert master.get("/healthz", token=None).status == 200
    wait_for(lambda: master.control()["files"] == 100_001, 120)
    listing = told(master)
    assert len(listing) == 100_001 + 21
    assert listing["burst/07/4999.txt"] == content_name(b"content")
    assert listing["burst/07/4998.txt"] == content_name(b"")
    assert listing["meanwhile.txt"] == content_name(b"meanwhile")


def test_watch_limit(master):
    """Too few watches: status says so and with what to raise them; all is found all the same."""
    for i in range(20):
        write(master.path("d%02d" % i, "a.txt"), "a")
    master.wrapper = limited("max_inotify_watches", 5)
    master.options = ["--rescan", "1s"]
    master.start()
    state = wait_for(lambda: (lambda s: s["unwatched"] and s)(master.control()))
    assert state["state"] == "DEGRADED" and state["watched"] == 5 and state["unwatched"] == 16
    assert "watch limit" in state["reason"]
    assert "sysctl fs.inotify.max_user_watches=" in state["action"]
    assert "max_user_watches" in master.process.log()
    for i in range(20):
        write(master.path("d%02d" % i, "a.txt"), "changed")
    shutil.rmtree(master.path("d19"))
    wait_for(lambda: told(master) == names_of(master), 20)
    # fewer folders than the limit: the next scan watches them all
    for i in range(2, 19):
        shutil.rmtree(master.path("d%02d" % i))
    wait_for(lambda: master.control()["state"] == "OK", 20)
    assert master.control()["unwatched"] == 0


def test_without_any_event(master):
    """Writers that raise no event (another NFS client) are found by the periodic scan: new, changed,
    mapped, renamed and deleted files, and a rewrite that leaves size and mtime."""
    write(master.path("old.txt"), "old")
    write(master.path("same.txt"), "same")
    write(master.path("mapped.txt"), b"\0" * 8192)
    write(master.path("dir/gone.txt"), "gone")
    master.wrapper = limited("max_inotify_instances", 0)
    master.options = ["--rescan", "1s"]
    master.start()
    state = master.control()
    assert state["state"] == "DEGRADED" and "max_user_instances" in state["reason"]
    assert state["watched"] == 0
    write(master.path("new/er.txt"), "new")
    write(master.path("old.txt"), "changed")
    st = os.stat(master.path("same.txt"))
    with open(master.path("same.txt"), "r+b") as f:
        f.write(b"SAME")
    os.utime(master.path("same.txt"), ns=(st.st_atime_ns, st.st_mtime_ns))
    with open(master.path("mapped.txt"), "r+b") as f, mmap.mmap(f.fileno(), 0) as m:
        m[100:105] = b"by map"[:5]
    os.rename(master.path("dir/gone.txt"), master.path("dir/renamed.txt"))
    wait_for(lambda: told(master) == names_of(master), 20)


def test_folders_renamed_during_scans(master):
    """Whatever a scan and the watcher saw of folders on the move, the end is the folder as it is, and
    it is watched under its new names."""
    for i in range(40):
        for j in range(25):
            write(master.path("a%d" % (i % 8), "b%d" % i, "%d.txt" % j), "%d %d" % (i, j))
    master.start()
    end = time.monotonic() + 3
    n = 0
    while time.monotonic() < end:
        master.process.signal(signal.SIGHUP)
        for i in range(8):
            os.rename(master.path("a%d" % i), master.path("x"))
            os.rename(master.path("x", "b%d" % i), master.path("x", "moved"))
            os.rename(master.path("x"), master.path("a%d" % i))
            os.rename(master.path("a%d" % i, "moved"), master.path("a%d" % i, "b%d" % i))
        n += 1
    for i in range(8):
        os.rename(master.path("a%d" % i), master.path("last%d" % i))
    assert n > 2
    wait_for(lambda: told(master) == names_of(master), 30)
    wait_for(lambda: not master.control()["scanning"] and not master.control()["waiting"], 20)
    for i in range(40):
        write(master.path("last%d" % (i % 8), "b%d" % i, "after.txt"), "after")
    wait_for(lambda: told(master) == names_of(master), 5)


def slow_writer(path, seconds):
    with open(path, "wb", buffering=0) as f:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            f.write(b"INSERT INTO t VALUES (1);\n" * 100)
            time.sleep(0.05)
        f.write(b"-- Dump completed\n")


def once_and_whole(master, seconds):
    path = master.path("sql/dump.sql")
    os.mkdir(master.path("sql"))
    wait_for(lambda: "sql" in master.listing())
    feed = Follower(master)
    writer = threading.Thread(target=slow_writer, args=(path, seconds))
    writer.start()
    yield feed
    writer.join()
    wait_for(lambda: feed.versions("sql/dump.sql"), 10)
    wait_for(lambda: "sql/dump.sql" not in str(master.control()["notices"]["open"]))
    feed.end()
    hashes = {e["hash"] for e in feed.versions("sql/dump.sql")}
    assert hashes == {content_name(read(path))}
    yield None


def test_what_is_being_written_is_not_published(master):
    """A dump written over 20 s is published once and whole, when it is closed. Meanwhile: an idle
    writer is listed with since when; a shared mapping counts as a writer; a file renamed into place is
    published at once."""
    master.options = ["--open-limit", "3s"]
    master.start()
    steps = once_and_whole(master, 20)
    feed = next(steps)
    idle = open(master.path("sql/idle.log"), "wb")
    idle.write(b"half")
    idle.flush()
    write(master.path("mapped.bin"), b"\0" * 4096)
    wait_for(lambda: "mapped.bin" in master.listing())
    with open(master.path("mapped.bin"), "r+b") as f:
        mapping = mmap.mmap(f.fileno(), 4096)
    mapping[0:5] = b"first"

    listed = wait_for(lambda: {n["path"]: n for n in master.control()["notices"]["open"]}
                      if len(master.control()["notices"]["open"]) >= 2 else None, 20)
    assert listed["sql/idle.log"]["text"] == "a writer has it open"
    assert listed["sql/idle.log"]["since"].startswith("20")
    degraded = wait_for(lambda: (lambda s: s["state"] == "DEGRADED" and s)(master.control()), 20)
    assert "held open by writers and not published" in degraded["reason"]
    assert "sql/dump.sql" in listed

    delays = []
    for i in range(20):
        write(master.path("sql/.tmp"), b"version %d" % i)
        wait_for(lambda: feed.versions("sql/.tmp"))
        began = time.monotonic()
        os.rename(master.path("sql/.tmp"), master.path("sql/placed.%d" % i))
        wait_for(lambda i=i: feed.versions("sql/placed.%d" % i))
        delays.append(time.monotonic() - began)
        feed.seen = [e for e in feed.seen if e["path"] != "sql/.tmp"]
    assert sorted(delays)[10] < 0.5, delays

    mapping[4000:4004] = b"last"
    mapping.close()
    wait_for(lambda: [e for e in feed.versions("mapped.bin")
                      if e["hash"] == content_name(read(master.path("mapped.bin")))])
    assert {e["hash"] for e in feed.versions("mapped.bin")} == {
        content_name(b"\0" * 4096), content_name(read(master.path("mapped.bin")))}
    assert not feed.versions("sql/idle.log")
    idle.write(b" and whole")
    idle.close()
    wait_for(lambda: feed.versions("sql/idle.log"))
    next(steps)
    wait_for(lambda: master.control()["state"] == "OK")


@pytest.mark.long
def test_a_dump_that_takes_a_minute(master):
    master.start()
    steps = once_and_whole(master, 60)
    next(steps)
    next(steps)


def test_every_kind_of_name_and_file(master):
    """Devices, sockets and fifos are skipped and listed; names that look alike are listed and both
    served; hard links are files of their own, and a write through one is seen at the other."""
    write(master.path("a/Readme.txt"), "upper")
    write(master.path("a/readme.txt"), "lower")
    composed, decomposed = "a/caf\u00e9".encode(), "a/cafe\u0301".encode()
    for name in (composed, decomposed, b"a/line\nbreak", b"a/\xff\xfe not utf-8", b"a/ "):
        write(os.path.join(os.fsencode(master.root), name), name)
    write(master.path("one/linked.txt"), "linked")
    os.mkdir(master.path("two"))
    os.link(master.path("one/linked.txt"), master.path("two/linked.txt"))
    os.mkfifo(master.path("a/fifo"))
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(master.path("a/socket"))
    skipped = {"a/fifo": "a named pipe", "a/socket": "a socket", "later": "a named pipe"}
    try:
        os.mknod(master.path("a/null"), stat.S_IFCHR | 0o600, os.makedev(1, 3))
        skipped["a/null"] = "a device"
    except PermissionError:
        pass  # devices are root's to make
    master.start()
    os.mkfifo(master.path("later"))
    listed = wait_for(lambda: (lambda n: len(n["skipped"]) == len(skipped) and n)(master.control()["notices"]))
    assert {n["path"]: n["text"] for n in listed["skipped"]} == skipped
    alike = " ".join(n["path"] + " " + n["text"] for n in listed["alike"])
    assert len(listed["alike"]) == 2 and "a/readme.txt differs from 'Readme.txt'" in alike
    assert "a/caf%C3%A9" in alike
    wait_for(lambda: told(master) == names_of(master))
    assert master.control()["state"] == "OK", master.control()["problems"]

    write(master.path("two/linked.txt"), "written through the other name", "r+b")
    new = content_name(b"written through the other name")
    wait_for(lambda: told(master)["one/linked.txt"] == told(master)["two/linked.txt"] == new)
    for name in skipped:
        os.unlink(master.path(name))
    os.rename(master.path("a/readme.txt"), master.path("a/other.txt"))
    # Told when they come and when they go, without a scan.
    wait_for(lambda: len(master.control()["notices"]["alike"]) == 1)
    write(master.path("a/OTHER.txt"), "new")
    wait_for(lambda: "a/other.txt" in [n["path"] for n in master.control()["notices"]["alike"]])
    os.unlink(master.path("a/other.txt"))
    wait_for(lambda: len(master.control()["notices"]["alike"]) == 1)
    master.process.signal(signal.SIGHUP)
    wait_for(lambda: not master.control()["notices"]["skipped"]
             and len(master.control()["notices"]["alike"]) == 1)


def test_unreadable_is_said(master):
    if os.getuid() != 0:
        pytest.skip("needs root to serve as another user")
    write(master.path("secret.txt"), "secret")
    write(master.path("open.txt"), "open")
    os.chmod(master.path("secret.txt"), 0)
    for path in (master.root, master.path("open.txt")):
        os.chown(path, 65534, 65534)
    shutil.chown(master.site.rundir, 65534)
    os.makedirs(master.state, exist_ok=True)
    for top, _, files in os.walk(master.state):
        for path in [top] + [os.path.join(top, f) for f in files]:
            os.chown(path, 65534, 65534)
    master.wrapper = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    master.options = ["--quiet-time", "1s"]
    master.start()
    state = master.control()
    assert state["state"] == "DEGRADED" and "cannot be read" in state["reason"]
    assert [n["path"] for n in state["notices"]["unreadable"]] == ["secret.txt"]
    assert set(told(master)) == {"open.txt"}
    # without CAP_LEASE nobody can tell whether root has it open: published after a quiet time
    os.chmod(master.path("secret.txt"), 0o644)
    wait_for(lambda: "secret.txt" in told(master), 20)
    wait_for(lambda: master.control()["state"] == "OK")
