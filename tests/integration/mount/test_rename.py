# SPDX-License-Identifier: MIT
"""Renames: on the master they reach mirrors as such, without a byte sent or read again; on a mirror
they rename what is there on the master."""

import errno
import os
import shutil
import sqlite3
import subprocess
import time

import pytest

from eefs import SLOW, content_name, read, wait_for, write

BIG = 100 << 20


@pytest.fixture
def master(site):
    master = site.master(start=False)
    os.mkdir(master.path("uploads"))
    master.add_mirror("slave1")
    return master


def settled(master, count):
    """All files were read at a time that leaves no doubt about their mtime."""
    def look():
        db = sqlite3.connect(os.path.join(master.state, "master.db"))
        try:
            return db.execute("SELECT count(*) FROM entry WHERE type=1 AND seen-mtime>2000000000 "
                              "AND seen-ctime>2000000000").fetchone()[0] == count
        finally:
            db.close()
    wait_for(look, 30)


def bytes_read(master):
    with open("/proc/%d/io" % master.process.pid) as f:
        return int(f.readline().split()[1])


def follow(master, cursor, until):
    """Entries since the cursor, page set by page set, until the condition holds for one of them."""
    sets = []

    def more():
        nonlocal cursor
        entries, cursor = master.changes(cursor, wait=1)
        if entries:
            sets.append({e["path"]: e for e in entries})
        return sets and until(sets[-1])

    wait_for(more, 20)
    return sets


def fill(master, top, n, size):
    for i in range(n):
        write(master.path(top, "d%d" % (i % 7), "f%d.bin" % i), os.urandom(size))


def test_a_renamed_folder(site, master):
    """One set of changes, moved_from on each, nothing read again, nothing sent."""
    fill(master, "img", 1000, 20_000)
    master.start()
    mount = site.mount(master, prefetch="all")
    wait_for(lambda: mount.status()["cache_used"] >= 1000 * 20_000 and
             mount.status()["prefetch_queued"] == 0, 30, "all contents are on the mirror")
    settled(master, 1000)
    contents = {name: read(mount.path("img/d1", name)) for name in os.listdir(mount.path("img/d1"))}
    wait_for(lambda: mount.status()["state"] == "OK")
    wait_for(lambda: master.control()["kept"]["files"] == 1000, 60)  # that reads, too
    everything = {p: e["hash"] for p, e in master.listing().items() if e["type"] == "file"}
    _, cursor = master.changes()
    before = bytes_read(master)
    os.rename(master.path("img"), master.path("pictures"))
    sets = follow(master, cursor, lambda s: "pictures" in s)
    told = sets[-1]
    assert len(sets) == 1, [len(s) for s in sets]
    for path, name in everything.items():
        new = "pictures" + path[3:]
        assert told[new]["hash"] == name and told[new]["moved_from"] == path
        assert told[path]["type"] == "gone"
    assert told["pictures"]["moved_from"] == "img" and told["img"]["type"] == "gone"
    wait_for(lambda: os.path.exists(mount.path("pictures/d1")) and not os.path.exists(mount.path("img")))
    assert bytes_read(master) - before < 12_000_000  # SQLite and HTTP, no contents (20 MB)
    # Nothing had to be sent: contents that were read are there without the master.
    master.stop()
    for name, data in contents.items():
        assert read(mount.path("pictures/d1", name)) == data
    # and the master has nothing to say after a start
    master.start()
    _, cursor = master.changes()
    write(master.path("pictures/d1/new.bin"), "watched under its new name")
    wait_for(lambda: "pictures/d1/new.bin" in master.listing())
    entries, _ = master.changes(cursor)
    assert {e["path"] for e in entries} <= {"pictures/d1/new.bin", "pictures/d1"}


def test_a_renamed_large_file(site, master):
    data = os.urandom(1 << 20) * (BIG >> 20)
    write(master.path("video.mp4"), data)
    master.start()
    mount = site.mount(master)
    assert content_name(read(mount.path("video.mp4"))) == content_name(data)
    settled(master, 1)
    _, cursor = master.changes()
    os.rename(master.path("video.mp4"), master.path("film.mp4"))
    sets = follow(master, cursor, lambda s: "film.mp4" in s)
    assert len(sets) == 1 and sets[0]["video.mp4"]["type"] == "gone"  # never neither
    assert sets[0]["film.mp4"]["moved_from"] == "video.mp4"
    assert sets[0]["film.mp4"]["hash"] == content_name(data)
    wait_for(lambda: os.path.exists(mount.path("film.mp4")))
    master.stop()
    assert content_name(read(mount.path("film.mp4"))) == content_name(data)  # from the cache
    master.start()
    assert master.listing()["film.mp4"]["hash"] == content_name(data)


def test_a_folder_renamed_while_the_master_was_stopped(master):
    fill(master, "img", 200, 50_000)
    master.start()
    settled(master, 200)
    everything = {p: e["hash"] for p, e in master.listing().items() if e["type"] == "file"}
    _, cursor = master.changes()
    master.stop()
    os.rename(master.path("img"), master.path("uploads/moved"))
    os.unlink(master.path("uploads/moved/d1/f1.bin"))
    write(master.path("uploads/moved/d2/f2.bin"), "changed since")
    master.start()
    assert bytes_read(master) < 6_000_000  # 10 MB of contents
    listing = {p: e["hash"] for p, e in master.listing().items() if e["type"] == "file"}
    expected = {"uploads/moved" + p[3:]: h for p, h in everything.items() if p != "img/d1/f1.bin"}
    expected["uploads/moved/d2/f2.bin"] = content_name(b"changed since")
    assert listing == expected
    entries, _ = master.changes(cursor)
    told = {e["path"]: e for e in entries}
    assert told["img/d1/f1.bin"]["type"] == "gone" and "uploads/moved/d1/f1.bin" not in told
    assert told["uploads/moved/d0/f0.bin"]["moved_from"] == "img/d0/f0.bin"


def test_what_looks_like_a_rename_and_is_none(master):
    """Same inode, size and mtime, other bytes: the content is right in the end, whatever the hint."""
    write(master.path("uploads/a.txt"), "aaaa")
    write(master.path("uploads/b.txt"), "bbbb")
    os.utime(master.path("uploads/a.txt"), ns=(10**18, 10**18))
    os.utime(master.path("uploads/b.txt"), ns=(10**18, 10**18))
    master.start()
    settled(master, 2)
    for name in ("a", "b"):  # rewritten with its time put back, then renamed
        path = master.path("uploads/%s.txt" % name)
        with open(path, "r+b") as f:
            f.write(b"new" + name.encode())
        os.utime(path, ns=(10**18, 10**18))
        os.rename(path, master.path("uploads/%s.new" % name))
    wait_for(lambda: {p: e["hash"] for p, e in master.listing().items() if e["type"] == "file"} ==
             {"uploads/a.new": content_name(b"newa"), "uploads/b.new": content_name(b"newb")})
    # exchanged, and a second name
    os.link(master.path("uploads/a.new"), master.path("uploads/a.link"))
    os.rename(master.path("uploads/a.new"), master.path("uploads/t"))
    os.rename(master.path("uploads/b.new"), master.path("uploads/a.new"))
    os.rename(master.path("uploads/t"), master.path("uploads/b.new"))
    wait_for(lambda: {p: e["hash"] for p, e in master.listing().items() if e["type"] == "file"} ==
             {"uploads/a.new": content_name(b"newb"), "uploads/b.new": content_name(b"newa"),
              "uploads/a.link": content_name(b"newa")})


def test_names_that_go_round_wait_for_nobody(master):
    """Two files or folders that exchange their names, and three that pass theirs on, are served within moments."""
    names = ["uploads/%d.txt" % i for i in range(3)] + ["uploads/d/%d/f.txt" % i for i in range(2)]
    for name in names:
        write(master.path(name), name)
    master.start()
    settled(master, len(names))

    def served(*contents):
        wanted = dict(zip(names, map(content_name, map(str.encode, contents))))
        begin = time.monotonic()
        wait_for(lambda: {p: e["hash"] for p, e in master.listing().items() if e["type"] == "file"} == wanted, 20)
        assert time.monotonic() - begin < 5 * SLOW

    def pass_on(*round):
        os.rename(master.path(round[0]), master.path("uploads/aside"))
        for to, name in zip(round, round[1:]):
            os.rename(master.path(name), master.path(to))
        os.rename(master.path("uploads/aside"), master.path(round[-1]))

    a, b, c, d, e = names
    pass_on(a, b)
    served(b, a, c, d, e)
    pass_on(a, b, c)
    served(a, c, b, d, e)
    pass_on("uploads/d/0", "uploads/d/1")
    served(a, c, b, e, d)


def test_saving_by_rename_is_one_change(master):
    """An editor writes a temporary file and renames it over: readers get the new one at once."""
    write(master.path("css/a.css"), "old")
    master.start()
    _, cursor = master.changes()
    write(master.path("css/.a.css.tmp"), "new")
    os.rename(master.path("css/.a.css.tmp"), master.path("css/a.css"))
    sets = follow(master, cursor, lambda s: s.get("css/a.css", {}).get("hash") == content_name(b"new"))
    assert all(s["css/a.css"]["type"] == "file" for s in sets if "css/a.css" in s)
    wait_for(lambda: "css/.a.css.tmp" not in master.listing())


def test_a_folder_renamed_again_and_again(master):
    fill(master, "img", 100, 100)
    master.start()
    settled(master, 100)
    for i in range(10):
        os.rename(master.path("img" if i % 2 == 0 else "uploads/x"),
                  master.path("uploads/x" if i % 2 == 0 else "img"))
    shutil.copytree(master.path("img"), master.path("copy"))
    wait_for(lambda: len([p for p in master.listing() if p.endswith(".bin")]) == 200, 20)
    wait_for(lambda: not [p for p in master.listing() if p.startswith("uploads/")])
    listing = master.listing()
    for top in ("img", "copy"):
        assert {p[len(top):] for p in listing if p.startswith(top + "/d0")} == \
            {os.path.join(d, n)[len(master.path(top)):] for d, _, names in
             os.walk(master.path(top, "d0")) for n in names} | {"/d0"}


def test_renames_on_a_mirror_rename_what_is_there(site, master):
    """The inode stays, so hard links, open files and their later writes stay with it."""
    for i in range(20):
        write(master.path("uploads/dir/sub/f%d" % i), "content %d" % i)
    write(master.path("uploads/one.txt"), "one")
    master.start()
    mount = site.mount(master)
    names = ["dir", "dir/sub", "dir/sub/f7", "one.txt"]
    inode = {n: os.stat(master.path("uploads", n)).st_ino for n in names}
    settled(master, 21)
    before = bytes_read(master)
    os.rename(mount.path("uploads/dir"), mount.path("uploads/folder"))
    os.rename(mount.path("uploads/one.txt"), mount.path("uploads/two.txt"))
    mount.synced()
    for old, new in zip(names, ["folder", "folder/sub", "folder/sub/f7", "two.txt"]):
        assert os.stat(master.path("uploads", new)).st_ino == inode[old]
        assert not os.path.lexists(master.path("uploads", old))
    assert bytes_read(master) - before < 3_000_000
    head = master.get("/v1/hello").json()["head"]
    with open(master.path("uploads/folder/sub/f7"), "ab") as f:
        f.write(b" and more")
    wait_for(lambda: read(mount.path("uploads/folder/sub/f7")) == b"content 7 and more")
    assert master.get("/v1/hello").json()["head"] == head + 1  # the renames gave no echo


@pytest.mark.parametrize("old,new", [("uploads/img", "uploads/pics"), ("uploads/pics", "uploads/img"),
                                     ("uploads/img/a", "uploads/img/cache/a")])
def test_a_rename_does_not_uncover_what_is_excluded(site, old, new):
    """What a pattern hides by its path stays hidden when a mirror moves a folder above it: mv(1) copies
    what is seen; the master refuses such a rename from a mirror that does not know the pattern."""
    master = site.master(start=False)
    master.options = ["--exclude", "uploads/img/cache", "--exclude", "*.tmp"]
    write(master.path(old, "sub/a.txt"), "a")
    write(master.path(old, "b.tmp"), "by name: moves along")
    if old == "uploads/img":
        write(master.path("uploads/img/cache/secret.txt"), "hidden")
    if old == "uploads/pics":
        write(master.path("uploads/pics/cache/shown.txt"), "shown")
    if old == "uploads/img/a":
        os.makedirs(master.path("uploads/img/cache"))
    master.start()
    mount = site.mount(master)
    if old == "uploads/img/a":
        with pytest.raises(OSError):
            os.rename(mount.path(old), mount.path(new))
        return
    with pytest.raises(OSError) as error:
        os.rename(mount.path(old), mount.path(new))
    assert error.value.errno == errno.EXDEV
    subprocess.run(["mv", mount.path(old), mount.path(new)], capture_output=True, timeout=60)
    mount.synced()
    assert read(master.path(new, "sub/a.txt")) == b"a"
    if old == "uploads/img":  # the hidden rest stays where it is
        assert read(master.path("uploads/img/cache/secret.txt")) == b"hidden"
        assert not any("secret" in path for path in master.listing())
    else:
        assert not any("uploads/img/cache" in path for path in master.listing())
    op = {"n": 1, "op": "rename", "path": new, "to": old + "2", "pre": "dir", "to_pre": "absent", "mtime": 1}
    answer = master.ops("0123456789abcdef", op).json()["answers"][0]
    assert (answer["result"] == "refused") == (new == "uploads/img"), answer
