# SPDX-License-Identifier: MIT
"""Both sides change the same things while they are apart: nothing is lost, nothing is asked, and what
wants a person's eye is listed."""

import json
import os
import re
import shutil

import pytest

from eefs import away, back, content_name, program, read, tree, wait_for, write

COPY = re.compile(r"^(.+) \(conflict (\S+) \d{4}-\d\d-\d\d \d{6}(?: \d+)?\)(\.[^.]*)?$")


def files(top):
    return {os.path.relpath(os.path.join(where, name), top): read(os.path.join(where, name))
            for where, _, names in os.walk(top) for name in names}


def copies(top):
    return {path: data for path, data in files(top).items() if COPY.match(os.path.basename(path))}


def listed(site, mount, *more):
    out = site.run("eefs-status", "--conflicts", "--json", mount.point, check=False)
    return json.loads(out.stdout)["mounts"][0]["conflicts_list"]


def published(master, name, data):
    """The master has looked at it."""
    path = "uploads/" + name.replace(" ", "%20")
    wait_for(lambda: master.listing().get(path, {}).get("hash") == (data and content_name(data)))


@pytest.fixture
def master(site):
    master = site.master(start=False)
    for name in ("both", "same", "gone-there", "gone-here", "gone-both", "moved-here", "moved-there",
                 "chmod-here", "chmod-there", "chmod-gone", "moved-both"):
        write(master.path("uploads", name + ".txt"), "original " + name)
    write(master.path("uploads/old/a.txt"), "a in old")
    write(master.path("uploads/old/b.txt"), "b in old")
    return master.start()


def change_here(mount):
    """On the mirror, through the kernel."""
    up = lambda *name: mount.path("uploads", *name)
    write(up("both.txt"), "mirror's edit")
    write(up("same.txt"), "the same edit")
    write(up("gone-there.txt"), "edited here")
    os.unlink(up("gone-here.txt"))
    os.unlink(up("gone-both.txt"))
    os.rename(up("moved-here.txt"), up("moved-to.txt"))
    write(up("moved-there.txt"), "follows the file")
    os.chmod(up("chmod-here.txt"), 0o600)
    write(up("chmod-there.txt"), "edited, and chmod there")
    os.chmod(up("chmod-gone.txt"), 0o600)
    os.rename(up("moved-both.txt"), up("moved-one-way.txt"))
    write(up("new.txt"), "mirror's new file")
    write(up("new-same.txt"), "the same new file")
    write(up("dir/here.txt"), "here")
    os.rename(up("old"), up("renamed-here"))


def change_there(master):
    """On the master's disk."""
    up = lambda *name: master.path("uploads", *name)
    write(up("both.txt"), "master's edit")
    write(up("same.txt"), "the same edit")
    os.unlink(up("gone-there.txt"))
    write(up("gone-here.txt"), "edited there")
    os.unlink(up("gone-both.txt"))
    write(up("moved-here.txt"), "edited there, renamed here")
    os.rename(up("moved-there.txt"), up("moved-away.txt"))
    write(up("chmod-here.txt"), "edited, and chmod here")
    os.chmod(up("chmod-there.txt"), 0o604)
    os.unlink(up("chmod-gone.txt"))
    os.rename(up("moved-both.txt"), up("moved-other-way.txt"))
    write(up("new.txt"), "master's new file")
    write(up("new-same.txt"), "the same new file")
    write(up("dir/there.txt"), "there")
    write(up("old/b.txt"), "b edited in old")


AFTERWARDS = {
    "both.txt": b"master's edit", "same.txt": b"the same edit", "gone-there.txt": b"edited here",
    "gone-here.txt": b"edited there", "moved-to.txt": b"edited there, renamed here",
    "moved-away.txt": b"follows the file", "chmod-here.txt": b"edited, and chmod here",
    "chmod-there.txt": b"edited, and chmod there", "moved-other-way.txt": b"original moved-both",
    "new.txt": b"master's new file", "new-same.txt": b"the same new file", "dir/here.txt": b"here",
    "dir/there.txt": b"there", "renamed-here/a.txt": b"a in old",
    "renamed-here/b.txt": b"b edited in old"}


@pytest.mark.parametrize("how", ["link", "master"])
def test_matrix(site, master, how):
    """Apart: the connection is cut while the master serves on, or the master is down."""
    link = site.link(master)
    mount = site.mount(master, url=link.url)
    assert len(tree(mount.point)) > 10
    if how == "link":
        link.cut()
    else:
        master.stop()
    away(mount)
    change_here(mount)
    change_there(master)
    followed = False
    if how == "link":
        published(master, "moved-away.txt", b"original moved-there")
        published(master, "both.txt", b"master's edit")
        published(master, "dir/there.txt", b"there")
        wait_for(lambda: "uploads/gone-there.txt" not in master.listing())
        published(master, "old/b.txt", b"b edited in old")
        followed = "moved_from" in master.listing()["uploads/moved-away.txt"]
        link.restore()
    else:
        master.start()
    back(mount)
    want = dict(AFTERWARDS)
    if not followed and "moved-there.txt" in files(master.path("uploads")):
        # not recognised as a rename: the edit is kept under the old name, beside the new one
        want["moved-there.txt"] = b"follows the file"
        want["moved-away.txt"] = b"original moved-there"
    got = files(master.path("uploads"))
    kept = copies(master.path("uploads"))
    assert {p: d for p, d in got.items() if p not in kept} == want
    assert sorted(kept.values()) == [b"mirror's edit", b"mirror's new file"]
    assert {COPY.match(name).groups() for name in kept} == \
        {("both", "slave1", ".txt"), ("new", "slave1", ".txt")}
    assert os.stat(master.path("uploads/chmod-here.txt")).st_mode & 0o777 == 0o600
    wait_for(lambda: tree(mount.path("uploads")) == tree(master.path("uploads")), 20)

    # what is listed
    conflicts = {c["path"]: c for c in listed(site, mount)}
    assert set(conflicts) == {"uploads/both.txt", "uploads/new.txt"}
    both = conflicts["uploads/both.txt"]
    assert both["ours"] == content_name(b"mirror's edit")
    assert both["theirs"] == content_name(b"master's edit")
    assert both["theirs_mtime"] == os.stat(master.path("uploads/both.txt")).st_mtime_ns
    copy = [n for n, d in kept.items() if d == b"mirror's edit"][0]
    assert both["copy"] == "uploads/" + copy.replace(" ", "%20")
    assert both["ours_mtime"] == os.stat(master.path("uploads", copy)).st_mtime_ns
    text = site.run("eefs-status", "--conflicts", mount.point, check=False)
    assert text.returncode == 1 and "uploads/" + copy in text.stdout
    assert both["ours"] in text.stdout and both["theirs"] in text.stdout
    assert os.getxattr(mount.path("uploads", copy), "user.eefs.state") == b"conflict"
    assert os.getxattr(mount.path("uploads/both.txt"), "user.eefs.state") == b"clean"
    assert mount.status()["state"] == "DEGRADED"

    # seen to: one copy is kept instead, the other is removed on the master
    os.rename(mount.path("uploads", copy), mount.path("uploads/both.txt"))
    os.unlink(master.path("uploads", [n for n in kept if n != copy][0]))
    wait_for(lambda: listed(site, mount) == [], 20, "off the list")
    wait_for(lambda: mount.status()["state"] == "OK", 20)


def test_one_after_the_other_is_no_conflict(site, master):
    """In contact: what the other side did is seen first, and the later change wins."""
    mount = site.mount(master)
    change_there(master)
    wait_for(lambda: tree(mount.path("uploads")) == tree(master.path("uploads")), 20)
    for name in ("both.txt", "same.txt", "gone-here.txt", "new.txt", "moved-away.txt"):
        write(mount.path("uploads", name), "mirror's " + name)
        assert read(master.path("uploads", name)) == b"mirror's " + name.encode()
        write(master.path("uploads", name), "master's " + name)
        wait_for(lambda: read(mount.path("uploads", name)) == b"master's " + name.encode())
    os.rename(mount.path("uploads/old"), mount.path("uploads/new-name"))
    mount.synced()
    assert not copies(master.path("uploads")) and not listed(site, mount)
    assert tree(mount.path("uploads")) == tree(master.path("uploads"))


@pytest.mark.parametrize("names", [["moved-away.txt"], ["two.txt", "three.txt"],
                                   ["two.txt", "moved-there.txt", "two.txt", "dir/three.txt"]])
def test_an_edit_follows_a_rename(site, master, names):
    """One mirror renames, once or again and again; the other has edited the old name meanwhile."""
    link = site.link(master)
    mount = site.mount(master, url=link.url)
    other = site.mount(master, "slave2")
    assert read(mount.path("uploads/moved-there.txt")) == b"original moved-there"
    link.cut()
    away(mount)
    write(mount.path("uploads/moved-there.txt"), "follows")
    os.mkdir(other.path("uploads/dir"))
    for old, new in zip(["moved-there.txt"] + names, names):
        os.rename(other.path("uploads", old), other.path("uploads", new))
        other.synced()
    link.restore()
    back(mount)
    assert read(master.path("uploads", names[-1])) == b"follows"
    assert not os.path.exists(master.path("uploads/moved-there.txt"))
    for m in (mount, other):
        wait_for(lambda: tree(m.path("uploads")) == tree(master.path("uploads")), 20)
    assert not copies(master.path("uploads")) and mount.status()["conflicts"] == 0


def test_an_open_file_survives_its_folder(site, master):
    """Written here while the master deletes its folder: the edit beats that deletion too."""
    mount = site.mount(master)
    mount.synced()
    write(mount.path("uploads/x/y/open.txt"), "as it was")
    mount.synced()
    fd = os.open(mount.path("uploads/x/y/open.txt"), os.O_WRONLY)
    os.pwrite(fd, b"the edit!", 0)
    shutil.rmtree(master.path("uploads/x"))
    wait_for(lambda: "x" not in os.listdir(mount.path("uploads")))
    os.close(fd)
    assert read(master.path("uploads/x/y/open.txt")) == b"the edit!"
    assert read(mount.path("uploads/x/y/open.txt")) == b"the edit!"


def test_two_mirrors_and_a_copy_of_a_copy(site, master):
    """Three versions of one file, and then of its conflict copy: all are kept, no name grows."""
    links = [site.link(master), site.link(master)]
    mounts = [site.mount(master, "slave%d" % (i + 1), url=links[i].url) for i in range(2)]
    name = "both.txt"
    expected = [[b"slave1's turn 0", b"slave2's turn 0"],
                [b"master's turn 1", b"slave1's turn 1", b"slave2's turn 0", b"slave2's turn 1"]]
    for turn in range(2):
        for mount in mounts:
            assert read(mount.path("uploads", name)) == read(master.path("uploads", name))
        for link, mount in zip(links, mounts):
            link.cut()
        for mount in mounts:
            away(mount)
            write(mount.path("uploads", name), "%s's turn %d" % (mount.name, turn))
        write(master.path("uploads", name), "master's turn %d" % turn)
        published(master, name, b"master's turn %d" % turn)
        for link, mount in zip(links, mounts):
            link.restore()
            back(mount)
        for mount in mounts:
            wait_for(lambda: tree(mount.path("uploads")) == tree(master.path("uploads")), 20)
        kept = copies(master.path("uploads"))
        assert all(n.count("(conflict ") == 1 for n in kept), kept
        assert sorted(kept.values()) == expected[turn]
        name = [n for n in kept if "slave1" in n][0]


def test_copies_outside_the_tree(site, master):
    """--conflicts: the losers are not served."""
    master.stop()
    outside = os.path.join(site.base, "losers")
    command = [program("eefs-master"), "serve", "--root", master.root, "--state", master.state,
               "--listen", "127.0.0.1:%d" % master.port, "--rundir", site.rundir]
    inside = site.run("eefs-master", *command[1:], "--conflicts", master.path("losers"), check=False)
    assert inside.returncode == 1 and "--conflicts" in inside.stderr
    os.rmdir(master.path("losers"))
    master.process = site.spawn("master2", command + ["--conflicts", outside])
    wait_for(master.healthy, 15)
    link = site.link(master)
    mount = site.mount(master, url=link.url)
    assert read(mount.path("uploads/both.txt")) == b"original both"
    link.cut()
    away(mount)
    write(mount.path("uploads/both.txt"), "mirror's edit")
    write(mount.path("uploads/old/b.txt"), "mirror's b")
    write(master.path("uploads/both.txt"), "master's edit")
    write(master.path("uploads/old/b.txt"), "master's b")
    published(master, "both.txt", b"master's edit")
    published(master, "old/b.txt", b"master's b")
    link.restore()
    back(mount)
    kept = files(outside)
    assert sorted(kept.values()) == [b"mirror's b", b"mirror's edit"]
    assert sorted(os.path.dirname(n) for n in kept) == ["uploads", "uploads/old"]
    assert not copies(master.path("uploads"))
    assert read(master.path("uploads/both.txt")) == b"master's edit"
    wait_for(lambda: tree(mount.path("uploads")) == tree(master.path("uploads")), 20)
    assert os.getxattr(mount.path("uploads/both.txt"), "user.eefs.state") == b"conflict"
    places = {c["place"].replace("%20", " ") for c in listed(site, mount)}
    assert places == {os.path.join(outside, n) for n in kept}
    out = site.run("eefs-status", "--forget", mount.path("uploads/old"))
    assert "1 conflict" in out.stdout
    site.run("eefs-status", "--forget", mount.point)
    wait_for(lambda: mount.status()["state"] == "OK", 20)
    assert len(files(outside)) == 2


def types_before(master):
    for name in ("move-dir.from", "edit-dir", "edit-below-file/x", "movedir-file.from/x",
                 "movedir-dir.from/x"):
        write(master.path("uploads", name), "before " + name)


def types_here(mount):
    up = lambda name: mount.path("uploads", name)
    write(up("put-dir"), "mirror's put-dir")
    write(up("put-link"), "mirror's put-link")
    for name in ("mkdir-file", "mkdir-link", "below-file"):
        os.mkdir(up(name))
    write(up("below-file/x"), "mirror's below-file")
    write(up("below-file/deep/y"), "mirror's deeper below-file")
    os.symlink("mirror's link-file", up("link-file"))
    os.symlink("mirror's link-dir", up("link-dir"))
    os.rename(up("move-dir.from"), up("move-dir"))
    os.rename(up("movedir-file.from"), up("movedir-file"))
    os.rename(up("movedir-dir.from"), up("movedir-dir"))
    write(up("edit-dir"), "mirror's edit-dir")
    write(up("edit-below-file/x"), "mirror's edit-below-file")


def types_there(master):
    up = lambda name: master.path("uploads", name)
    os.unlink(up("edit-dir"))
    os.unlink(up("edit-below-file/x"))
    os.rmdir(up("edit-below-file"))
    for name in ("put-dir", "link-dir", "move-dir", "movedir-dir", "edit-dir"):
        write(up(name + "/master"), "master's " + name)
    for name in ("mkdir-file", "link-file", "movedir-file", "below-file", "edit-below-file"):
        write(up(name), "master's " + name)
    for name in ("put-link", "mkdir-link"):
        os.symlink("master's " + name, up(name))


def kinds(top):
    """{path: content, "-> target" or "/"} with all names' conflict parts as " (*)"."""
    out = {}
    for path, (kind, _, _, data) in tree(top).items():
        path = re.sub(r" \(conflict slave1 [-0-9 ]+\)", " (*)", os.fsdecode(path))
        out[path] = {"dir": "/", "link": "-> " + os.fsdecode(data or b""),
                     "file": os.fsdecode(data or b"")}[kind]
    return out


def by_master():
    """What the master made, which keeps its name in all of them."""
    want = {name + "/master": "master's " + name
            for name in ("put-dir", "link-dir", "move-dir", "movedir-dir", "edit-dir")}
    want.update({os.path.dirname(name): "/" for name in want})
    want.update({name: "master's " + name for name in
                 ("mkdir-file", "link-file", "movedir-file", "below-file", "edit-below-file")})
    want.update({name: "-> master's " + name for name in ("put-link", "mkdir-link")})
    return want


@pytest.mark.parametrize("outside", [False, True])
def test_types_differ(site, outside):
    """Another type on each side: both versions stay, nothing is refused."""
    master = site.master(start=False)
    types_before(master)
    losers = os.path.join(site.base, "losers")
    master.options = ["--conflicts", losers] if outside else []
    master.start()
    link = site.link(master)
    mount = site.mount(master, url=link.url)
    assert tree(mount.path("uploads"))
    link.cut()
    away(mount)
    types_here(mount)
    types_there(master)
    wait_for(lambda: len(master.listing()) >= len(tree(master.root)) and
             "uploads/edit-below-file" in master.listing())
    link.restore()
    back(mount)
    assert mount.status()["quarantined"] == 0
    kept = {
        "put-dir (*)": "mirror's put-dir", "put-link (*)": "mirror's put-link",
        "mkdir-file (*)": "/", "mkdir-link (*)": "/",
        "below-file (*)": "/", "below-file (*)/x": "mirror's below-file",
        "below-file (*)/deep": "/", "below-file (*)/deep/y": "mirror's deeper below-file",
        "link-file (*)": "-> mirror's link-file", "link-dir (*)": "-> mirror's link-dir",
        "move-dir (*)": "before move-dir.from",
        "movedir-file (*)": "/", "movedir-file (*)/x": "before movedir-file.from/x",
        "movedir-dir (*)": "/", "movedir-dir (*)/x": "before movedir-dir.from/x",
        "edit-dir (*)": "mirror's edit-dir",
        "edit-below-file (*)": "/", "edit-below-file (*)/x": "mirror's edit-below-file"}
    want = by_master()
    if outside:
        assert kinds(os.path.join(losers, "uploads")) == {
            "put-dir (*)": "mirror's put-dir", "put-link (*)": "mirror's put-link",
            "below-file": "/", "below-file/x (*)": "mirror's below-file", "below-file/deep": "/",
            "below-file/deep/y (*)": "mirror's deeper below-file",
            "link-file (*)": "-> mirror's link-file", "link-dir (*)": "-> mirror's link-dir",
            "move-dir (*)": "before move-dir.from", "edit-dir (*)": "mirror's edit-dir",
            "edit-below-file": "/", "edit-below-file/x (*)": "mirror's edit-below-file"}
        for name in ("movedir-file", "movedir-dir"):  # a folder keeps its old name
            want.update({name + ".from": "/", name + ".from/x": "before %s.from/x" % name})
    else:
        want.update(kept)
    assert kinds(master.path("uploads")) == want
    wait_for(lambda: kinds(mount.path("uploads")) == want, 20)
    wait_for(lambda: tree(mount.path("uploads")) == tree(master.path("uploads")), 20)
    assert mount.status()["conflicts"] > 0
    site.run("eefs-status", "--forget", mount.point)
    wait_for(lambda: mount.status()["state"] == "OK", 20)


def test_types_change_under_open_files(site, master):
    """A place is taken by something of another type while a file there is written on the mirror."""
    names = ["now-dir", "now-link", "file-above/x", "file-far-above/deep/x", "link-above/x"]
    for name in names:
        write(master.path("uploads", name), "before")
    mount = site.mount(master)
    open_files = [open(mount.path("uploads", name), "r+b", buffering=0) for name in names]
    for f, name in zip(open_files, names):
        f.write(b"mirror's " + name.encode())
    taken = [name.split("/")[0] for name in names]
    for name in taken:
        where = master.path("uploads", name)
        (shutil.rmtree if os.path.isdir(where) else os.unlink)(where)
        if "link" in name:
            os.symlink("master's " + name, where)
        else:
            write(os.path.join(where, "y") if name == "now-dir" else where, "master's " + name)
    write(master.path("uploads/marker"), "all is told")
    wait_for(lambda: os.path.exists(mount.path("uploads/marker")), 20)
    for f in open_files:
        os.fchmod(f.fileno(), 0o600)
        f.close()
    want = {"now-dir": "/", "now-dir/y": "master's now-dir", "now-dir (*)": "mirror's now-dir",
            "now-link": "-> master's now-link", "now-link (*)": "mirror's now-link",
            "file-above": "master's file-above", "file-above (*)": "/",
            "file-above (*)/x": "mirror's file-above/x",
            "file-far-above": "master's file-far-above", "file-far-above (*)": "/",
            "file-far-above (*)/deep": "/",
            "file-far-above (*)/deep/x": "mirror's file-far-above/deep/x",
            "link-above": "-> master's link-above", "link-above (*)": "/",
            "link-above (*)/x": "mirror's link-above/x"}
    mount.synced()
    assert {k: v for k, v in kinds(master.path("uploads")).items()
            if re.match("now|file|link", k)} == want
    assert os.stat(master.path("uploads/now-dir")).st_mode & 0o777 == 0o755
    wait_for(lambda: tree(mount.path("uploads")) == tree(master.path("uploads")), 20)
    assert mount.status()["quarantined"] == 0
    site.run("eefs-status", "--forget", mount.point)
    wait_for(lambda: mount.status()["state"] == "OK", 20)


@pytest.mark.parametrize("there", ["edited", "folder", "removed"])
def test_a_file_that_is_written_on_and_on_has_one_copy(site, master, there):
    mount = site.mount(master)
    path = master.path("uploads/both.txt")
    with open(mount.path("uploads/both.txt"), "r+b", buffering=0) as f:
        f.write(b"1")
        write(path, "master's edit")
        if there == "folder":
            os.unlink(path)
            os.mkdir(path)
        write(master.path("uploads/marker"), "all is told")
        wait_for(lambda: os.path.exists(mount.path("uploads/marker")))
        os.fsync(f.fileno())
        assert list(copies(master.path("uploads")).values()) == [b"1riginal both"]
        if there == "removed":
            os.unlink(path)
            published(master, "both.txt", None)
            write(master.path("uploads/marker2"), "and that")
            wait_for(lambda: os.path.exists(mount.path("uploads/marker2")))
        for text in b"2", b"3":
            f.write(text)
            os.fsync(f.fileno())
        f.write(b"4")
    final = b"1234inal both"
    assert list(copies(master.path("uploads")).values()) == [final]
    assert [c["ours"] for c in listed(site, mount)] == [content_name(final)]
    wait_for(lambda: tree(mount.path("uploads")) == tree(master.path("uploads")))
    assert os.path.isdir(path) if there == "folder" else os.path.exists(path) == (there == "edited")


@pytest.mark.parametrize("act", ["unlink", "rename", "rename over"])
@pytest.mark.parametrize("there", ["edited", "removed"])
def test_what_an_open_file_hides(site, master, there, act):
    """Who writes a file sees his own version, whatever comes from the master meanwhile: what he
    removes, renames or replaces is that one."""
    mount = site.mount(master)
    up = lambda name: mount.path("uploads", name)
    write(up("other.txt"), "other")
    fd = os.open(up("both.txt"), os.O_RDWR)
    os.ftruncate(fd, 0)
    os.write(fd, b"mine")
    if there == "edited":
        write(master.path("uploads/both.txt"), "master's edit")
        published(master, "both.txt", b"master's edit")
    else:
        os.unlink(master.path("uploads/both.txt"))
        published(master, "both.txt", None)
    write(master.path("uploads/same.txt"), "in the same feed, or later")
    wait_for(lambda: read(up("same.txt")) == b"in the same feed, or later")
    assert read(up("both.txt")) == b"mine"
    if act == "unlink":
        os.unlink(up("both.txt"))
    elif act == "rename":
        os.rename(up("both.txt"), up("new.txt"))
        assert read(up("new.txt")) == b"mine"
    else:
        os.rename(up("other.txt"), up("both.txt"))
    os.write(fd, b", and more")
    os.close(fd)
    mount.synced()
    wait_for(lambda: tree(mount.path("uploads")) == tree(master.path("uploads")))
    found = {name: data for name, data in files(master.path("uploads")).items()
             if name in ("both.txt", "new.txt", "other.txt") or COPY.match(name)}
    others = sorted(data for name, data in found.items() if COPY.match(name))
    named = {name: data for name, data in found.items() if not COPY.match(name)}
    edit, mine = b"master's edit", b"mine, and more"
    want = {
        ("edited", "unlink"): ({"both.txt": edit, "other.txt": b"other"}, []),
        ("edited", "rename"): ({"new.txt": edit, "other.txt": b"other"}, [mine]),
        ("edited", "rename over"): ({"both.txt": edit}, [b"other"]),
        ("removed", "unlink"): ({"other.txt": b"other"}, []),
        ("removed", "rename"): ({"new.txt": mine, "other.txt": b"other"}, []),
        ("removed", "rename over"): ({"both.txt": b"other"}, []),
    }
    assert (named, others) == want[there, act]
    assert mount.status()["conflicts"] == len(others)


def test_a_conflict_whose_answer_is_lost_is_one_conflict(site, master):
    link = site.link(master)
    mount = site.mount(master, url=link.url)
    assert read(mount.path("uploads/both.txt")) == b"original both"
    link.cut()
    away(mount)
    write(mount.path("uploads/both.txt"), "mirror's edit")
    write(master.path("uploads/both.txt"), "master's edit")
    published(master, "both.txt", b"master's edit")
    master.stop()
    master.start(env={"EEFS_CRASH_AT": "master.op.applied"})  # on the disk, not in the database
    link.restore()
    wait_for(lambda: not master.process.running(), 30, "killed")
    assert list(copies(master.path("uploads")).values()) == [b"mirror's edit"]
    master.start()
    back(mount)
    assert list(copies(master.path("uploads")).values()) == [b"mirror's edit"]
    assert len(listed(site, mount)) == 1


@pytest.mark.parametrize("scope", ["a/b", "robots.txt", pytest.param("uploads", marks=pytest.mark.long)])
def test_copies_stay_within_the_scope(site, scope):
    """A conflict copy that would lie beside the top of the mirror's write scope is not made: the change
    is quarantined with the reason, and goes through when the cause is gone."""
    master = site.master(start=False)
    is_file = scope == "robots.txt"
    write(master.path(scope if is_file else scope + "/here.txt"), "original")
    os.makedirs(master.path("elsewhere"))
    master.start()
    master.add_mirror("slave1", "--write", scope)
    link = site.link(master)
    mount = site.mount(master, "slave1", url=link.url)
    read(mount.path(scope if is_file else scope + "/here.txt"))
    link.cut()
    away(mount)
    if is_file:
        write(mount.path(scope), "mirror's")
        write(master.path(scope), "master's")
    else:
        write(mount.path(scope, "new.txt"), "mirror's")
        os.mkdir(mount.path(scope, "folder"))
        os.symlink("x", mount.path(scope, "link"))
        os.rename(mount.path(scope, "here.txt"), mount.path(scope, "renamed.txt"))
        os.rename(master.path(scope), master.path("elsewhere/gone"))
        write(master.path(scope), "a file now")
    wait_for(lambda: master.listing().get(scope, {}).get("hash") == content_name(read(master.path(scope))))
    before = set(tree(master.root))
    link.restore()
    wait_for(lambda: mount.status()["quarantined"] > 0, 30)
    wait_for(lambda: mount.status()["link"] == "up" and "conflict" in site.run(
        "eefs-status", "--quarantine", mount.point, check=False).stdout, 10)
    assert set(tree(master.root)) == before
    out = site.run("eefs-status", "--quarantine", mount.point, check=False).stdout
    assert "outside this mirror's write scope" in out
    name = scope if is_file else scope + "/new.txt"
    assert read(mount.path(name)) == b"mirror's"
    os.unlink(master.path(scope))  # the cause goes
    if not is_file:
        os.rename(master.path("elsewhere/gone"), master.path(scope))
    wait_for(lambda: master.listing().get(scope, {}).get("type") == (None if is_file else "dir"))
    site.run("eefs-status", "--retry", mount.point)
    wait_for(lambda: os.path.exists(master.path(name)) and read(master.path(name)) == b"mirror's", 20)
    wait_for(lambda: mount.status()["quarantined"] == 0, 20)
