# SPDX-License-Identifier: MIT
"""A file that is open for writing here while the master renames it, or its folder: as on a local
disk, what is written goes into the file under its new name."""

import os
import random
import signal
import threading
import time

import pytest

from eefs import read, tree, wait_for, write
from peer import Peer


@pytest.fixture
def master(site):
    master = site.master(start=False)
    write(master.path("uploads/d/f.txt"), "old\n")
    write(master.path("uploads/d/g.txt"), "other\n")
    write(master.path("uploads/e/h.txt"), "third\n")
    write(master.path("css/a.css"), "body{}")
    return master.start()


@pytest.fixture
def mount(site, master):
    mount = site.mount(master)
    read(mount.path("uploads/d/f.txt"))
    return mount


def moved(master, mount, *pairs):
    """Renames on the master, and waits until the mount shows the last one."""
    for old, new in pairs:
        os.makedirs(os.path.dirname(master.path(new)), exist_ok=True)
        os.rename(master.path(old), master.path(new))
        wait_for(lambda: os.path.lexists(mount.path(new)) and not os.path.lexists(mount.path(old)),
                 10, (old, new))


def settled(master, mount):
    mount.synced()
    wait_for(lambda: tree(mount.path("uploads")) == tree(master.path("uploads")), 10, "equal")
    return {os.fsdecode(p): v[3] for p, v in tree(master.path("uploads")).items() if v[0] == "file"}


RENAMES = {
    "file": [("uploads/d/f.txt", "uploads/d/new.txt")],
    "folder": [("uploads/d", "uploads/n")],
    "across folders": [("uploads/d/f.txt", "uploads/e/f.txt")],
    "into a new folder": [("uploads/d/f.txt", "uploads/x/y/f.txt")],
    "twice": [("uploads/d/f.txt", "uploads/d/1.txt"), ("uploads/d/1.txt", "uploads/e/2.txt")],
    "folder and file": [("uploads/d", "uploads/n"), ("uploads/n/f.txt", "uploads/n/2.txt")],
    "over another": [("uploads/d/f.txt", "uploads/d/g.txt")],
}


@pytest.mark.san
@pytest.mark.parametrize("how", RENAMES)
@pytest.mark.parametrize("when", ["before it is written", "while it is written"])
def test_an_edit_follows(master, mount, how, when):
    files = {p: v for p, v in settled(master, mount).items()}
    with open(mount.path("uploads/d/f.txt"), "ab", buffering=0) as f:
        number = os.fstat(f.fileno()).st_ino
        if when == "while it is written":
            f.write(b"one\n")
        moved(master, mount, *RENAMES[how])
        f.write(b"two\n")
        os.fsync(f.fileno())
        f.write(b"three\n")
        new = RENAMES[how][-1][1]
        new = new if new.endswith(".txt") else new + "/f.txt"
        assert os.stat(mount.path(new)).st_ino == os.fstat(f.fileno()).st_ino == number
        assert read(mount.path(new)).endswith(b"two\nthree\n")
    got = settled(master, mount)
    content = b"old\n" + (b"one\n" if when == "while it is written" else b"") + b"two\nthree\n"
    assert got.pop(new[len("uploads/"):]) == content
    left = {p for p in files if p not in ("d/f.txt", new[len("uploads/"):])}
    if how.startswith("folder"):
        left = {"n/g.txt", "e/h.txt"}
    assert set(got) == left, got


@pytest.mark.parametrize("how", ["file", "folder", "across folders"])
def test_an_edit_follows_what_was_not_told_yet(site, master, how):
    """The master answers that the edit is under another name now; the handle goes on there."""
    line = Peer(master.port)
    site.links.append(line)
    mount = site.mount(master, url=line.url)
    gate = threading.Event()

    def no_feed(x):
        if x.path.startswith("/v1/changes"):
            gate.wait(30)
        x.answer(x.forward())

    with open(mount.path("uploads/d/f.txt"), "ab", buffering=0) as f:
        f.write(b"one\n")
        line.set(no_feed)
        old, new = RENAMES[how][0]
        os.rename(master.path(old), master.path(new))
        wait_for(lambda: any(e == new for e in master.listing()), 10)
        os.fsync(f.fileno())
        f.write(b"two\n")
        os.fsync(f.fileno())
        gate.set()
        f.write(b"three\n")
    new = new if new.endswith(".txt") else new + "/f.txt"
    got = settled(master, mount)
    assert got[new[len("uploads/"):]] == b"old\none\ntwo\nthree\n" and len(got) == 3, got


def test_another_file_in_its_place(master, mount):
    with open(mount.path("uploads/d/f.txt"), "ab", buffering=0) as f:
        f.write(b"one\n")
        os.rename(master.path("uploads/d/f.txt"), master.path("uploads/d/away.txt"))
        write(master.path("uploads/d/f.txt"), "new file\n")
        wait_for(lambda: os.path.exists(mount.path("uploads/d/away.txt"))
                 and read(mount.path("uploads/d/f.txt")) == b"new file\n", 10)
        f.write(b"two\n")
    got = settled(master, mount)
    assert got["d/away.txt"] == b"old\none\ntwo\n" and got["d/f.txt"] == b"new file\n"
    assert len(got) == 4


def test_another_file_that_is_read_sooner(master, mount):
    """The renamed file is read for a while: it has just been changed. The new one in its place, which is read at
    once, is published after it all the same."""
    large = os.urandom(1 << 20) * 96
    write(master.path("uploads/d/f.txt"), large)
    wait_for(lambda: os.stat(mount.path("uploads/d/f.txt")).st_size == len(large), 10)
    with open(mount.path("uploads/d/f.txt"), "r+b", buffering=0) as f:
        f.write(b"one\n")
        os.chmod(master.path("uploads/d/f.txt"), 0o640)
        wait_for(lambda: master.listing()["uploads/d/f.txt"]["mode"] == 0o640)
        master.process.popen.send_signal(signal.SIGSTOP)
        try:
            os.rename(master.path("uploads/d/f.txt"), master.path("uploads/d/away.txt"))
            write(master.path("uploads/d/f.txt"), "new file\n")
        finally:
            master.process.popen.send_signal(signal.SIGCONT)
        wait_for(lambda: os.path.exists(mount.path("uploads/d/away.txt"))
                 and read(mount.path("uploads/d/f.txt")) == b"new file\n", 20)
        f.write(b"two\n")
    got = settled(master, mount)
    assert got["d/away.txt"] == b"one\ntwo\n" + large[8:] and got["d/f.txt"] == b"new file\n"
    assert len(got) == 4


@pytest.mark.parametrize("to", ["d/away.txt", "d/z.txt", "e/z.txt", "a/f.txt"])
def test_another_file_while_the_master_was_down(master, mount, to):
    """Its scan finds the new name of what was renamed before it takes what is in its place."""
    with open(mount.path("uploads/d/f.txt"), "ab", buffering=0) as f:
        f.write(b"one\n")
        master.stop()
        os.makedirs(os.path.dirname(master.path("uploads", to)), exist_ok=True)
        os.rename(master.path("uploads/d/f.txt"), master.path("uploads", to))
        write(master.path("uploads/d/f.txt"), "new file\n")
        for i in range(50):
            write(master.path("uploads/d/m%d" % i), "%d" % i)
            write(master.path("uploads/b%d/m" % i), "%d" % i)
        master.start()
        wait_for(lambda: os.path.exists(mount.path("uploads", to))
                 and read(mount.path("uploads/d/f.txt")) == b"new file\n", 20)
        f.write(b"two\n")
    got = settled(master, mount)
    assert got[to] == b"old\none\ntwo\n" and got["d/f.txt"] == b"new file\n"
    assert len(got) == 104


@pytest.mark.parametrize("down", [False, True])
def test_another_folder_in_its_place(master, mount, down):
    """At once after the rename: what is open is in the renamed one."""
    with open(mount.path("uploads/d/f.txt"), "ab", buffering=0) as f:
        f.write(b"one\n")
        if down:
            master.stop()
        os.rename(master.path("uploads/d"), master.path("uploads/n"))
        write(master.path("uploads/d/f.txt"), "new file\n")
        if down:
            master.start()
        wait_for(lambda: os.path.exists(mount.path("uploads/n/f.txt"))
                 and read(mount.path("uploads/d/f.txt")) == b"new file\n", 20)
        f.write(b"two\n")
    got = settled(master, mount)
    assert got == {"n/f.txt": b"old\none\ntwo\n", "n/g.txt": b"other\n", "d/f.txt": b"new file\n",
                   "e/h.txt": b"third\n"}


@pytest.mark.parametrize("mode", ["rb", "ab"])
def test_a_rename_changes_the_ctime(master, mount, mode):
    """And nothing else; also of a file that is written here, and when that is closed it does not go back."""
    with open(mount.path("uploads/d/f.txt"), mode, buffering=0) as f:
        if mode == "ab":
            f.write(b"one\n")
        before = os.fstat(f.fileno())
        moved(master, mount, ("uploads/d/f.txt", "uploads/e/new.txt"))
        after = os.fstat(f.fileno())
        assert after.st_ctime_ns > before.st_ctime_ns and after.st_mtime_ns == before.st_mtime_ns
        assert os.stat(mount.path("uploads/e/new.txt")).st_ctime_ns == after.st_ctime_ns
    mount.synced()
    assert os.stat(mount.path("uploads/e/new.txt")).st_ctime_ns >= after.st_ctime_ns


def test_several_handles(master, mount):
    with open(mount.path("uploads/d/f.txt"), "ab", buffering=0) as a, \
            open(mount.path("uploads/d/f.txt"), "r+b", buffering=0) as b:
        a.write(b"a\n")
        moved(master, mount, ("uploads/d", "uploads/n"))
        b.seek(0, 2)
        b.write(b"b\n")
        with open(mount.path("uploads/n/f.txt"), "ab", buffering=0) as c:
            c.write(b"c\n")
        a.write(b"d\n")
    assert settled(master, mount)["n/f.txt"] == b"old\na\nb\nc\nd\n"


@pytest.mark.san
def test_what_was_never_sent_goes_along(master, mount):
    """New files and folders, open and closed, in a folder that the master renames."""
    with open(mount.path("uploads/d/new.txt"), "wb", buffering=0) as f:
        f.write(b"1\n")
        moved(master, mount, ("uploads/d", "uploads/n"))
        f.write(b"2\n")
        assert read(mount.path("uploads/n/new.txt")) == b"1\n2\n"
        assert "new.txt" in os.listdir(mount.path("uploads/n"))
    got = settled(master, mount)
    assert got == {"n/f.txt": b"old\n", "n/g.txt": b"other\n", "n/new.txt": b"1\n2\n",
                   "e/h.txt": b"third\n"}
    assert not os.path.exists(mount.path("uploads/d"))


@pytest.mark.san
@pytest.mark.parametrize("empty", [False, True])
def test_what_was_never_sent_goes_along_and_the_name_is_taken(site, master, empty):
    """The mirror hears of the rename and of the new folder of the old name at once: what is being made in the old
    one is in it, not in the new one."""
    mount, hold, gate = deaf(site, master)
    number = os.stat(mount.path("uploads/d")).st_ino
    with open(mount.path("uploads/d/new.txt"), "wb", buffering=0) as f, \
            open(mount.path("uploads/d/f.txt"), "ab", buffering=0) as g:
        f.write(b"1\n")
        hold.set()
        write(master.path("css/b.css"), "b")  # which the request that waits is answered with
        wait_for(lambda: "css/b.css" in master.listing())
        os.rename(master.path("uploads/d"), master.path("uploads/n"))
        os.mkdir(master.path("uploads/d"))
        if not empty:
            write(master.path("uploads/d/f.txt"), "new file\n")
        wait_for(lambda: "uploads/n/g.txt" in master.listing() and "uploads/d" in master.listing()
                 and ("uploads/d/f.txt" in master.listing()) != empty)
        gate.set()
        wait_for(lambda: os.path.exists(mount.path("uploads/n/g.txt")) and not os.path.exists(mount.path("uploads/d/g.txt")))
        assert os.stat(mount.path("uploads/n")).st_ino == number != os.stat(mount.path("uploads/d")).st_ino
        assert "new.txt" not in os.listdir(mount.path("uploads/d"))
        f.write(b"2\n")
        g.write(b"edited\n")
    got = settled(master, mount)
    expected = {"n/f.txt": b"old\nedited\n", "n/g.txt": b"other\n", "n/new.txt": b"1\n2\n", "e/h.txt": b"third\n"}
    if not empty:
        expected["d/f.txt"] = b"new file\n"
    assert got == expected
    assert os.path.isdir(mount.path("uploads/d")) and mount.status()["conflicts"] == 0


def test_renamed_and_edited_on_the_master_too(master, mount):
    """Both versions are kept, under the new name."""
    with open(mount.path("uploads/d/f.txt"), "ab", buffering=0) as f:
        f.write(b"one\n")
        os.rename(master.path("uploads/d"), master.path("uploads/n"))
        write(master.path("uploads/n/f.txt"), "the master's\n")
        wait_for(lambda: os.path.exists(mount.path("uploads/n/f.txt"))
                 and not os.path.exists(mount.path("uploads/d/g.txt")), 10)
        mount.synced()
    got = settled(master, mount)
    assert sorted(v for v in got.values() if v not in (b"other\n", b"third\n")) == [
        b"old\none\n", b"the master's\n"], got
    assert got["n/f.txt"] == b"the master's\n"


@pytest.mark.parametrize("to", ["css/f.txt", "sql/slave2/f.txt"])
def test_renamed_out_of_reach(site, master, mount, to):
    """Where this mirror must not write, or read, the edit stays under its old name."""
    master.add_mirror("slave2")
    with open(mount.path("uploads/d/f.txt"), "ab", buffering=0) as f:
        f.write(b"one\n")
        os.makedirs(os.path.dirname(master.path(to)), exist_ok=True)
        os.rename(master.path("uploads/d/f.txt"), master.path(to))
        if to.startswith("css"):
            wait_for(lambda: os.path.exists(mount.path(to)), 10)
        write(master.path("uploads/later"), "x")
        wait_for(lambda: os.path.exists(mount.path("uploads/later")), 10)
        f.write(b"two\n")
    assert settled(master, mount)["d/f.txt"] == b"old\none\ntwo\n"
    assert read(master.path(to)) == b"old\n"


def test_a_shell_in_a_renamed_folder(master, mount):
    """The working folder and open folders follow, too."""
    fd = os.open(mount.path("uploads/d"), os.O_RDONLY)
    try:
        moved(master, mount, ("uploads/d", "uploads/n"))
        os.close(os.open("made.txt", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
        assert os.readlink("/proc/self/fd/%d" % fd) == mount.path("uploads/n")
    finally:
        os.close(fd)
    assert "n/made.txt" in settled(master, mount)


def test_a_shell_in_a_folder_that_is_renamed_often(master, mount):
    """A look at the new name may come before, between or after the notifications of the rename: the path of
    the working folder is right from then on."""
    rng = random.Random(1)
    fd = os.open(mount.path("uploads/d"), os.O_RDONLY)
    name, lost = "uploads/d", []
    try:
        for i in range(60):
            old, name = name, "uploads/n%d" % i
            os.rename(master.path(old), master.path(name))
            time.sleep(rng.random() / 50)
            wait_for(lambda: os.path.lexists(mount.path(name)) and not os.path.lexists(mount.path(old)))
            mark = "uploads/mark%d" % i
            write(master.path(mark), "")
            wait_for(lambda: os.path.exists(mount.path(mark)))  # what came before it was notified
            if os.readlink("/proc/self/fd/%d" % fd) != mount.path(name):
                lost.append(i)
                os.stat(mount.path(name))
    finally:
        os.close(fd)
    assert not lost


@pytest.mark.parametrize("seed", range(3))
def test_random_renames_under_open_files(site, master, mount, seed):
    """Against what a local disk does: every file ends with what was written to its handle."""
    rng = random.Random(seed)
    for i in range(8):
        write(master.path("uploads/r%d/f%d" % (i % 2, i)), "%d:" % i)
    wait_for(lambda: all(os.path.exists(mount.path("uploads/r%d/f%d" % (i % 2, i)))
                         for i in range(8)), 10)
    mount.synced()
    handles = [open(mount.path("uploads/r%d/f%d" % (i % 2, i)), "ab", buffering=0) for i in range(8)]
    wrote = ["%d:" % i for i in range(8)]
    folders = ["uploads/r0", "uploads/r1"]
    try:
        for step in range(30):
            kind = rng.choice(["write", "write", "sync", "file", "folder"])
            i = rng.randrange(8)
            if kind == "write":
                handles[i].write(b"%d," % step)
                wrote[i] += "%d," % step
            elif kind == "sync":
                os.fsync(handles[i].fileno())
            elif kind == "file":
                top = rng.choice(folders)
                names = sorted(n for n in os.listdir(master.path(top)))
                if names:
                    to = "%s/m%d" % (rng.choice(folders), step)
                    moved(master, mount, (os.path.join(top, rng.choice(names)), to))
            else:
                at = rng.randrange(2)
                to = "uploads/q%d" % step
                moved(master, mount, (folders[at], to))
                folders[at] = to
    finally:
        for f in handles:
            f.close()
    got = settled(master, mount)
    assert sorted(v.decode() for p, v in got.items() if p[:2] not in ("d/", "e/")) == sorted(wrote)


def deaf(site, master):
    """A mount that hears nothing of the master's feed from when the first event is set until the
    second one is."""
    line = Peer(master.port)
    site.links.append(line)
    hold, gate = threading.Event(), threading.Event()

    def feed(x):
        reply = x.forward()
        if x.path.startswith("/v1/changes") and hold.is_set():
            gate.wait(60)
        x.answer(reply)

    line.set(feed)
    mount = site.mount(master, url=line.url)
    mount.synced()
    return mount, hold, gate


UNHEARD = {
    "once": ["uploads/n"],
    "twice": ["uploads/n", "uploads/e/n"],
    "and its old name taken": ["uploads/n", None],
    "and back": ["uploads/n", "uploads/d"],
}


@pytest.mark.parametrize("how", UNHEARD)
def test_what_is_made_in_a_folder_whose_rename_was_not_told_yet(site, master, how):
    """New files, folders, links and what is renamed into it or removed from it: as on a local disk,
    all of it is in the folder under its present name, and none makes the old one anew."""
    master.add_mirror("slave1")
    write(master.path("uploads/d/deep/er/i.txt"), "inner\n")
    write(master.path("uploads/d/k.txt"), "removed\n")
    wait_for(lambda: "uploads/d/k.txt" in master.listing())

    def rename():
        at = "uploads/d"
        for to in UNHEARD[how]:
            if to:
                os.rename(master.path(at), master.path(to))
                wait_for(lambda: to + "/k.txt" in master.listing(), 10)
                at = to
            else:
                write(master.path("uploads/d/f.txt"), "the new folder's\n")
                wait_for(lambda: "uploads/d/f.txt" in master.listing(), 10)

    mount, hold, gate = deaf(site, master)
    read(mount.path("uploads/d/f.txt"))
    hold.set()
    rename()
    assert os.path.exists(mount.path("uploads/d/k.txt"))
    write(mount.path("uploads/d/new.txt"), "new\n")
    write(mount.path("uploads/d/deep/er/new.txt"), "deep\n")
    os.mkdir(mount.path("uploads/d/made"))
    os.symlink("f.txt", mount.path("uploads/d/link"))
    os.rename(mount.path("uploads/e/h.txt"), mount.path("uploads/d/h.txt"))
    os.rename(mount.path("uploads/d/g.txt"), mount.path("uploads/d/deep/g.txt"))
    os.unlink(mount.path("uploads/d/k.txt"))
    os.chmod(mount.path("uploads/d/deep"), 0o750)
    with open(mount.path("uploads/d/f.txt"), "ab") as f:
        f.write(b"edited\n")
    wait_for(lambda: mount.status()["pending"] == 0, 20, "sent")
    gate.set()
    got = settled(master, mount)
    top = [to for to in UNHEARD[how] if to][-1][len("uploads/"):]
    files = {"f.txt": b"old\nedited\n", "new.txt": b"new\n", "deep/er/new.txt": b"deep\n", "h.txt": b"third\n",
             "deep/g.txt": b"other\n", "deep/er/i.txt": b"inner\n"}
    expected = {"%s/%s" % (top, name): data for name, data in files.items()}
    if None in UNHEARD[how]:
        expected["d/f.txt"] = b"the new folder's\n"
    assert got == expected
    for at in (master, mount):
        assert os.path.isdir(at.path("uploads", top, "made")) and os.readlink(at.path("uploads", top, "link")) == "f.txt"
        assert os.stat(at.path("uploads", top, "deep")).st_mode & 0o777 == 0o750
        assert os.path.lexists(at.path("uploads/d")) == (top == "d" or None in UNHEARD[how])
    assert mount.status()["conflicts"] == 0


@pytest.mark.parametrize("taken", [False, True])
@pytest.mark.parametrize("to", ["uploads/n", "uploads/e/n"])
def test_what_is_made_before_the_master_has_seen_its_own_rename(site, master, to, taken):
    """The change is there sooner than the scan: it goes where the folder is, and none makes the old one anew."""
    mount = site.mount(master)
    read(mount.path("uploads/d/f.txt"))
    mount.synced()
    master.process.popen.send_signal(signal.SIGSTOP)
    try:
        writers = [threading.Thread(target=write, args=(mount.path("uploads/d/new%d.txt" % i), "%d" % i)) for i in range(3)]
        writers.append(threading.Thread(target=os.mkdir, args=(mount.path("uploads/d/made"),)))
        for w in writers:
            w.start()
        wait_for(lambda: mount.status()["pending"] >= 4)
        for i in range(4000):  # for which the scan needs a while
            write(master.path("css/%d.css" % i), "%d" % i)
        os.rename(master.path("uploads/d"), master.path(to))
        if taken:
            write(master.path("uploads/d/f.txt"), "the new folder's\n")
    finally:
        master.process.popen.send_signal(signal.SIGCONT)
    for w in writers:
        w.join()
    mount.synced()
    wait_for(lambda: to + "/f.txt" in master.listing() and os.path.exists(mount.path(to + "/f.txt")), 30)
    wait_for(lambda: not taken or "uploads/d/f.txt" in master.listing(), 30)
    got = settled(master, mount)
    top = to[len("uploads/"):]
    expected = {top + "/f.txt": b"old\n", top + "/g.txt": b"other\n", "e/h.txt": b"third\n"}
    expected.update({"%s/new%d.txt" % (top, i): b"%d" % i for i in range(3)})
    if taken:
        expected["d/f.txt"] = b"the new folder's\n"
    assert got == expected
    assert os.path.isdir(mount.path(to, "made")) and os.path.exists(mount.path("uploads/d")) == taken
    assert mount.status()["conflicts"] == 0


# What the master renames while an edit of f.txt is on its way, and what the folder holds then.
UNSEEN = {
    "file": ([("d/f.txt", "d/new.txt")], ["d/new.txt", "d/g.txt"]),
    "across": ([("d/f.txt", "e/f.txt")], ["e/f.txt", "d/g.txt"]),
    "twice": ([("d/f.txt", "d/1.txt"), ("d/1.txt", "e/2.txt")], ["e/2.txt", "d/g.txt"]),
    "over": ([("d/f.txt", "d/g.txt")], ["d/g.txt"]),
    "both": ([("d/f.txt", "d/1.txt"), ("d", "n")], ["n/1.txt", "n/g.txt"]),
}


def test_an_edit_follows_what_the_master_has_not_seen_itself(site):
    """The files of the half were written long before, so that no write can have left their times as they
    were; the others are read again."""
    master = site.master(start=False)
    tops = ["uploads/%s %s" % (how, age) for how in UNSEEN for age in ("old", "young")]
    for top in tops:
        os.makedirs(master.path(top, "e"))
        for name in ("f.txt", "g.txt"):
            write(master.path(top, "d", name), name)
            if top.endswith("old"):
                os.utime(master.path(top, "d", name), (1e9, 1e9))
    mount = site.mount(master.start())
    for top in tops:
        read(mount.path(top, "d/f.txt"))
    mount.synced()
    master.process.popen.send_signal(signal.SIGSTOP)
    try:
        writers = [threading.Thread(target=write, args=(mount.path(top, "d/f.txt"), top)) for top in tops]
        for writer in writers:
            writer.start()
        wait_for(lambda: mount.status()["pending"] >= len(tops))
        for top in tops:
            for old, new in UNSEEN[top.split()[0][len("uploads/"):]][0]:
                os.rename(master.path(top, old), master.path(top, new))
    finally:
        master.process.popen.send_signal(signal.SIGCONT)
    for writer in writers:
        writer.join()
    got, expected = settled(master, mount), {}
    for top in tops:
        left = ["%s/%s" % (top[len("uploads/"):], name) for name in UNSEEN[top.split()[0][len("uploads/"):]][1]]
        expected.update(zip(left, [top.encode(), b"g.txt"]))
    assert got == expected
    assert mount.status()["conflicts"] == 0


@pytest.mark.parametrize("seen", [False, True])
def test_what_is_done_to_a_renamed_folder_itself(site, master, seen):
    """chmod and rmdir of a folder that the master has renamed meanwhile."""
    os.mkdir(master.path("uploads/empty"))
    mount, hold, gate = deaf(site, master)
    wait_for(lambda: os.path.exists(mount.path("uploads/empty")))
    mount.synced()
    hold.set()
    stopped = not seen
    if stopped:
        master.process.popen.send_signal(signal.SIGSTOP)

    def change():
        os.chmod(mount.path("uploads/d"), 0o750)
        os.rmdir(mount.path("uploads/empty"))

    def rename():
        os.rename(master.path("uploads/d"), master.path("uploads/n"))
        os.rename(master.path("uploads/empty"), master.path("uploads/void"))

    try:
        if seen:
            rename()
            wait_for(lambda: {"uploads/n", "uploads/void"} <= set(master.listing()))
            change()
        else:
            change()
            wait_for(lambda: mount.status()["pending"] >= 2)
            rename()
    finally:
        if stopped:
            master.process.popen.send_signal(signal.SIGCONT)
    wait_for(lambda: mount.status()["pending"] == 0, 20, "sent")
    gate.set()
    got = settled(master, mount)
    assert got == {"n/f.txt": b"old\n", "n/g.txt": b"other\n", "e/h.txt": b"third\n"}
    for at in (master, mount):
        wait_for(lambda: sorted(os.listdir(at.path("uploads"))) == ["e", "n"])
        assert os.stat(at.path("uploads/n")).st_mode & 0o777 == 0o750
    assert mount.status()["conflicts"] == mount.status()["quarantined"] == 0


def test_a_folder_of_that_name_made_here(site, master):
    """After its own rename, a mirror's folder of the old name is its own: what is put there stays."""
    mount, hold, gate = deaf(site, master)
    hold.set()
    os.rename(mount.path("uploads/d"), mount.path("uploads/n"))
    os.mkdir(mount.path("uploads/d"))
    write(mount.path("uploads/d/new.txt"), "new\n")
    write(mount.path("uploads/n/other.txt"), "other\n")
    wait_for(lambda: mount.status()["pending"] == 0, 20, "sent")
    gate.set()
    got = settled(master, mount)
    assert got == {"n/f.txt": b"old\n", "n/g.txt": b"other\n", "n/other.txt": b"other\n",
                   "d/new.txt": b"new\n", "e/h.txt": b"third\n"}


@pytest.mark.parametrize("edit", [False, True])
@pytest.mark.parametrize("when", ["told first", "not told yet", "not seen yet"])
def test_both_sides_rename_a_folder(site, master, when, edit):
    """The mirror's name comes later and is the folder's, with all that either side has put into it."""
    mount, hold, gate = deaf(site, master)
    read(mount.path("uploads/d/f.txt"))
    mount.synced()

    def here():
        os.rename(mount.path("uploads/d"), mount.path("uploads/m"))
        write(mount.path("uploads/m/new.txt"), "new")
        if edit:
            write(mount.path("uploads/m/f.txt"), "edited")

    def there():
        os.rename(master.path("uploads/d"), master.path("uploads/n"))
        write(master.path("uploads/n/k.txt"), "k")

    if when == "not told yet":
        hold.set()
        there()
        wait_for(lambda: "uploads/n/k.txt" in master.listing())
        here()
    elif when == "told first":
        go, feed = threading.Event(), site.links[-1].fault

        def held_ops(x):
            if x.ops:
                go.wait(60)
            feed(x)

        site.links[-1].set(held_ops)
        write(mount.path("uploads/e/z.txt"), "under way")
        here()
        there()
        wait_for(lambda: os.path.exists(mount.path("uploads/n/k.txt")))
        go.set()
    else:
        master.process.popen.send_signal(signal.SIGSTOP)
        try:
            busy = threading.Thread(target=here)
            busy.start()
            wait_for(lambda: mount.status()["pending"] >= 2)
            there()
        finally:
            master.process.popen.send_signal(signal.SIGCONT)
        busy.join()
    wait_for(lambda: mount.status()["pending"] == 0, 20, "sent")
    gate.set()
    got = settled(master, mount)
    assert got == {"m/f.txt": b"edited" if edit else b"old\n", "m/g.txt": b"other\n", "m/k.txt": b"k",
                   "m/new.txt": b"new", "e/h.txt": b"third\n", **({"e/z.txt": b"under way"} if when == "told first" else {})}
    for at in (master, mount):
        assert sorted(os.listdir(at.path("uploads"))) == ["e", "m"]
    assert mount.status()["conflicts"] == mount.status()["quarantined"] == 0


def test_another_folder_with_a_removed_ones_inode(site, master):
    """A filesystem gives a removed folder's inode number to the next new one: that is no rename, and
    nothing that a mirror makes in the old folder lands in the new one."""
    master.add_mirror("slave1")
    os.mkdir(master.path("uploads/gone"))
    wait_for(lambda: "uploads/gone" in master.listing())
    mount, hold, gate = deaf(site, master)
    ino = os.stat(master.path("uploads/gone")).st_ino
    hold.set()
    names = iter("uploads/other%d" % i for i in range(100))
    master.process.popen.send_signal(signal.SIGSTOP)  # it sees the end only
    try:
        os.rmdir(master.path("uploads/gone"))
        for other in names:
            os.mkdir(master.path(other))
            if os.stat(master.path(other)).st_ino == ino:
                break
    finally:
        master.process.popen.send_signal(signal.SIGCONT)
    wait_for(lambda: other in master.listing() and "uploads/gone" not in master.listing(), 10)
    write(mount.path("uploads/gone/new.txt"), "new\n")
    wait_for(lambda: mount.status()["pending"] == 0, 20, "sent")
    gate.set()
    assert settled(master, mount)["gone/new.txt"] == b"new\n"
    assert os.listdir(master.path(other)) == []
