# SPDX-License-Identifier: MIT
"""Names that the master excludes are local to each mirror: renames between them and served ones, as
editors do it, and folders that are not as empty on the master as they look."""

import errno
import os
import shutil
import subprocess

import pytest

from eefs import away, back, read, wait_for, write


@pytest.fixture
def master(site):
    master = site.master(start=False)
    write(master.path("uploads/a.css"), b"first")
    write(master.path("uploads/d/x.txt"), b"x")
    master.options = ["--exclude", "*.tmp", "--exclude", "*~", "--exclude", "*.swp"]
    return master.start()


@pytest.fixture
def mount(site, master):
    mount = site.mount(master)
    assert read(mount.path("uploads/a.css")) == b"first"
    assert read(mount.path("uploads/d/x.txt")) == b"x"
    return mount


def served(master, name="uploads/a.css"):
    try:
        return read(master.path(name))
    except FileNotFoundError:
        return None


def test_editors(master, mount):
    path = mount.path("uploads/a.css")
    write(path + ".tmp", b"by rename")
    os.rename(path + ".tmp", path)
    mount.synced()
    assert served(master) == read(path) == b"by rename"
    assert sorted(os.listdir(mount.path("uploads"))) == ["a.css", "d"]
    os.rename(path, path + "~")  # backup first
    write(path, b"new")
    os.unlink(path + "~")
    mount.synced()
    assert served(master) == b"new"
    if not shutil.which("vim"):
        pytest.skip("no vim here")
    subprocess.run(["vim", "-e", "-s", "-c", "set backup backupcopy=no", "-c", "%s/new/by vim/",
                    "-c", "wq", path], check=True)
    mount.synced()
    assert served(master) == b"by vim\n"
    subprocess.run(["sed", "-i~", "s/vim/sed/", path], check=True)
    mount.synced()
    assert served(master) == b"by sed\n" and read(path + "~") == b"by vim\n"
    with open(path + ".tmp", "wb") as f:  # still open while it is renamed
        f.write(b"one ")
        f.flush()
        os.rename(path + ".tmp", path)
        f.write(b"two")
    mount.synced()
    assert served(master) == read(path) == b"one two"
    assert not os.path.exists(master.path("uploads/a.css~"))


def test_folders_and_links(master, mount):
    top = mount.path("uploads")
    os.rename(top + "/d", top + "/d.tmp")
    mount.synced()
    assert not os.path.exists(master.path("uploads/d")) and read(top + "/d.tmp/x.txt") == b"x"
    write(top + "/d.tmp/deep/y.txt", b"y")
    os.symlink("x.txt", top + "/d.tmp/l")
    os.rename(top + "/d.tmp", top + "/e")
    mount.synced()
    assert read(master.path("uploads/e/deep/y.txt")) == b"y"
    assert os.readlink(master.path("uploads/e/l")) == "x.txt"
    os.mkdir(top + "/f.tmp")
    os.mkdir(top + "/f")
    os.rename(top + "/f.tmp", top + "/f")
    os.rename(top + "/e/l", top + "/e/l.tmp")
    with pytest.raises(OSError) as error:
        os.rename(top + "/f", top + "/e")
    assert error.value.errno == errno.ENOTEMPTY
    mount.synced()
    assert sorted(os.listdir(master.path("uploads/e"))) == ["deep", "x.txt"]


def test_what_is_not_here_is_copied(site, master):
    write(master.path("uploads/big"), os.urandom(100000))
    mount = site.mount(master, prefetch="none")
    wait_for(lambda: os.path.exists(mount.path("uploads/big")))
    with pytest.raises(OSError) as error:
        os.rename(mount.path("uploads/big"), mount.path("uploads/big~"))
    assert error.value.errno == errno.EXDEV
    subprocess.run(["mv", mount.path("uploads/big"), mount.path("uploads/big~")], check=True)
    mount.synced()
    assert not os.path.exists(master.path("uploads/big"))
    assert len(read(mount.path("uploads/big~"))) == 100000


def removes(mount, name):
    """rmdir's errno, 0 when it is gone; and nothing of it is sent when it is refused."""
    try:
        os.rmdir(mount.path(name))
    except OSError as error:
        return error.errno
    return 0


def test_a_folder_with_excluded_files_is_not_empty(master, mount):
    write(master.path("uploads/d/.x.swp"), b"an editor's")
    done = subprocess.run(["rm", "-rf", mount.path("uploads/d")], capture_output=True)
    assert done.returncode == 1 and b"not empty" in done.stderr, done
    assert os.listdir(mount.path("uploads/d")) == []
    assert os.listdir(master.path("uploads/d")) == [".x.swp"]
    assert removes(mount, "uploads/d") == errno.ENOTEMPTY
    write(mount.path("uploads/d/again"), b"again")
    os.unlink(mount.path("uploads/d/again"))
    os.unlink(master.path("uploads/d/.x.swp"))
    wait_for(lambda: removes(mount, "uploads/d") == 0)
    mount.synced()
    assert not os.path.exists(master.path("uploads/d"))
    os.mkdir(mount.path("uploads/d"))  # the name is free at once
    os.rmdir(mount.path("uploads/d"))


# How the folder comes to hold a name that is not served, once it is published.
HIDDEN = {
    "file": lambda d: write(d + "/.x.swp", b"x"),
    "renamed": lambda d: os.rename(d + "/x.txt", d + "/x.txt~"),
    "moved": lambda d: (write(d + "/../y~", b"y"), os.rename(d + "/../y~", d + "/y~")),
    "folder": lambda d: write(d + "/cache.tmp/deep/x.txt", b"x"),
    "pipe": lambda d: os.mkfifo(d + "/pipe"),
    "new": lambda d: (os.rename(d, d + ".old"), write(d + "/x.swp", b"x")),
    "other": lambda d: (write(d + ".old/x.swp", b"x"), os.rename(d, d + ".older"),
                        os.rename(d + ".old", d)),
}


def hides(master, name):
    return master.listing().get(name, {}).get("hides", False)


def test_not_empty_at_once_with_the_master_away(site, master):
    folders = ["uploads/" + how for how in HIDDEN]
    mount = site.mount(master, start=False)
    for how, folder in zip(HIDDEN, folders):
        write(master.path(folder, "x.txt"), b"x")
        wait_for(lambda: folder + "/x.txt" in master.listing())
        HIDDEN[how](master.path(folder))
    for folder in folders:
        wait_for(lambda: hides(master, folder), what=folder)
    mount.start()
    master.kill()
    away(mount)
    os.mkdir(mount.path("uploads/e"))
    for folder in folders:
        for name in os.listdir(mount.path(folder)):
            os.unlink(mount.path(folder, name))
        assert removes(mount, folder) == errno.ENOTEMPTY, folder
        with pytest.raises(OSError) as error:
            os.rename(mount.path("uploads/e"), mount.path(folder))
        assert error.value.errno == errno.ENOTEMPTY
        os.chmod(mount.path(folder), 0o700)
        os.rename(mount.path(folder), mount.path(folder + ".new"))
        assert removes(mount, folder + ".new") == errno.ENOTEMPTY
    assert removes(mount, "uploads/e") == 0
    master.start()
    back(mount)
    for folder in folders:
        assert removes(mount, folder + ".new") == errno.ENOTEMPTY, folder
        assert os.listdir(master.path(folder + ".new")) and not os.path.exists(master.path(folder))
        shutil.rmtree(master.path(folder + ".new"))
    for folder in folders:
        wait_for(lambda: not os.path.exists(mount.path(folder + ".new")))


def test_a_folder_follows_its_excluded_names(site, master, mount):
    """The last such name goes, a name comes while nobody watches, and what is excluded changes."""
    d = master.path("uploads/d")
    os.mkfifo(d + "/pipe")
    write(d + "/a.swp", b"a")
    write(d + "/b.tmp", b"b")
    wait_for(lambda: hides(master, "uploads/d"))
    os.rename(d + "/a.swp", d + "/a.txt")
    os.unlink(d + "/b.tmp")
    wait_for(lambda: "uploads/d/a.txt" in master.listing())
    assert hides(master, "uploads/d")
    os.unlink(d + "/pipe")
    wait_for(lambda: not hides(master, "uploads/d"))
    master.stop()
    write(d + "/c.swp", b"c")
    master.start()
    wait_for(lambda: hides(master, "uploads/d"))
    master.stop()
    master.options = []
    master.start()
    wait_for(lambda: not hides(master, "uploads/d") and "uploads/d/c.swp" in master.listing())
    shutil.rmtree(wait_for(lambda: os.path.exists(mount.path("uploads/d/c.swp")) and
                           mount.path("uploads/d")))
    mount.synced()
    assert not os.path.exists(d)


def test_a_folder_that_cannot_go_there_is_copied(master, mount):
    """A rename to an excluded name removes it here, which the master would not do."""
    write(master.path("uploads/d/.x.swp"), b"x")
    wait_for(lambda: removes(mount, "uploads/d") == errno.ENOTEMPTY)
    with pytest.raises(OSError) as error:
        wait_for(lambda: hides(master, "uploads/d"))
        os.rename(mount.path("uploads/d"), mount.path("uploads/d.tmp"))
    assert error.value.errno == errno.EXDEV
    assert read(mount.path("uploads/d/x.txt")) == b"x"


def test_truncate_at_open(master, mount):
    path = mount.path("uploads/a.css")
    os.close(os.open(path, os.O_RDONLY | os.O_TRUNC))
    assert os.stat(path).st_size == 0 and read(path) == b""
    mount.synced()
    assert served(master) == b""


def test_an_own_rename_moves_nothing_that_came_after_it(master, mount):
    """The master reports it back when its old name is something else here already."""
    for i in range(20):
        top = "uploads/%d" % i
        here = mount.path(top)
        os.mkdir(here)
        write(here + "/e", b"file %d" % i)
        os.rename(here + "/e", here + "/a")
        os.mkdir(here + "/e")
        write(here + "/e/x", b"in the folder %d" % i)
        write(here + "/f", b"first")
        os.rename(here + "/f", here + "/g")
        with open(here + "/f", "wb") as f:
            f.write(b"second")
            mount.synced()
        write(here + "/e/y", b"y")
        mount.synced()
        for tree in (here, master.path(top)):
            assert sorted(os.listdir(tree)) == ["a", "e", "f", "g"]
            assert sorted(os.listdir(tree + "/e")) == ["x", "y"]
            assert (read(tree + "/a"), read(tree + "/f"), read(tree + "/g")) == (
                b"file %d" % i, b"second", b"first")
