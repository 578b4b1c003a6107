# SPDX-License-Identifier: MIT
"""A folder that has lost its marker, or was put back to an earlier state under a newer database."""

import os
import shutil

from eefs import read, tree, wait_for, write


def state(master):
    return master.control()["state"]


def adopt(site, master, *more, **how):
    return site.run("eefs-master", "adopt", "--state", master.state, *more, **how)


def restarted(master):
    """It has started anew, in the same process."""
    wait_for(lambda: "starting anew" in master.process.log(), 10, "starts anew")
    wait_for(master.healthy, 15, "healthy")


def test_the_marker_is_gone(site):
    """Adopting compares, changes nothing but the marker, and holds what is missing. Tokens stay."""
    master = site.master()
    mount = site.mount(master)
    for i in range(4):
        write(master.path("img", "%d.png" % i), "picture %d" % i)
    os.symlink("img/0.png", master.path("link"))
    wait_for(lambda: os.path.lexists(mount.path("link")) and os.path.exists(mount.path("img", "3.png")))
    token = master.tokens["slave1"]

    shutil.rmtree(master.path(".eefs"))
    wait_for(lambda: state(master) == "FAILED", what="FAILED")
    assert "eefs-master adopt" in master.control()["action"]
    os.unlink(master.path("img", "0.png"))
    write(master.path("img", "1.png"), "another picture")
    write(master.path("new.txt"), "new")

    out = adopt(site, master, "--dry-run").stdout
    assert "3 equal, 1 changed, 1 new, 1 missing" in out and "img/0.png" in out and "dry run" in out
    assert state(master) == "FAILED"
    out = adopt(site, master).stdout
    assert "3 equal, 1 changed, 1 new, 1 missing" in out and "held" in out
    restarted(master)
    wait_for(lambda: master.control()["held_deletions"] == 1)
    status = master.control()
    assert status["state"] == "DEGRADED" and "1 files are missing" in status["reason"]
    assert "confirm" in status["action"]
    wait_for(lambda: os.path.exists(mount.path("new.txt")), 20)
    assert read(mount.path("img", "1.png")) == b"another picture"
    assert os.path.exists(mount.path("img", "0.png"))
    assert master.get("/v1/hello", token=token).status == 200

    site.run("eefs-master", "confirm", "--state", master.state)
    wait_for(lambda: not os.path.exists(mount.path("img", "0.png")))
    wait_for(lambda: mount.status()["lost"] == 1)  # the picture that was there before
    wait_for(lambda: "recover" in master.control()["action"])
    site.run("eefs-master", "recover", "--state", master.state, "--discard")
    wait_for(lambda: state(master) == "OK")
    os.unlink(master.path("new.txt"))  # nothing is held any more
    wait_for(lambda: not os.path.exists(mount.path("new.txt")))
    assert "nothing to adopt" in adopt(site, master).stdout


def test_adopting_needs_a_master_that_runs(site):
    master = site.master()
    master.stop()
    out = adopt(site, master, check=False)
    assert out.returncode == 1 and "must run" in out.stderr


def test_another_masters_folder_is_not_adopted(site):
    master, other = site.master(), site.master("other", start=False)
    write(master.path("a"), "a")
    wait_for(lambda: master.control()["files"] == 1)
    master.stop()
    other.start()
    other.stop()
    shutil.copy(other.path(".eefs", "marker"), master.path(".eefs", "marker"))
    for name in os.listdir(site.rundir):
        os.unlink(os.path.join(site.rundir, name))
    master.start(wait=False)
    wait_for(lambda: state(master) == "FAILED")
    out = adopt(site, master, check=False)
    assert out.returncode == 1 and "another master" in out.stderr


def copy(source, target):
    """As a backup does it, with modes and times; what is there goes."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, symlinks=True)


def test_an_earlier_folder_under_a_newer_database(site):
    """It looks like deletions; they are held, also across a restart and when they are few."""
    master = site.master()
    mount = site.mount(master)
    write(master.path("old.txt"), "old")
    wait_for(lambda: os.path.exists(mount.path("old.txt")))
    master.stop()
    backup = os.path.join(site.base, "backup")
    copy(master.root, backup)
    master.start()
    write(master.path("since.txt"), "since")
    wait_for(lambda: os.path.exists(mount.path("since.txt")))
    master.stop()

    copy(backup, master.root)
    master.start()
    wait_for(lambda: master.control()["held_deletions"] == 1)
    assert "was put back to an earlier state" in master.control()["reason"]
    master.stop()
    master.start()
    wait_for(lambda: master.control()["held_deletions"] == 1)
    assert read(mount.path("since.txt")) == b"since"
    write(master.path("since.txt"), "since")  # it comes back: nothing is left to confirm
    wait_for(lambda: state(master) == "OK")
    os.unlink(master.path("old.txt"))
    wait_for(lambda: not os.path.exists(mount.path("old.txt")))


def test_a_snapshot_is_rolled_back_under_a_running_master(site):
    """The files stay the same inodes, as when a filesystem does it; the master starts anew."""
    master = site.master()
    mount = site.mount(master)
    write(master.path("old.txt"), "old")
    wait_for(lambda: os.path.exists(mount.path("old.txt")))
    marker = read(master.path(".eefs", "marker"))
    master.stop()
    master.start()
    write(master.path("since.txt"), "since")
    wait_for(lambda: os.path.exists(mount.path("since.txt")))

    pid = master.process.pid
    write(master.path(".eefs", "marker"), marker)
    os.unlink(master.path("since.txt"))
    restarted(master)
    assert master.process.pid == pid and master.process.running()
    wait_for(lambda: master.control()["held_deletions"] == 1)
    assert read(mount.path("since.txt")) == b"since"
    master.stop()


def test_a_new_empty_folder(site):
    """It is not served until it is adopted; then every file is held, and mirrors go on."""
    master = site.master()
    mount = site.mount(master)
    for i in range(3):
        write(master.path("%d" % i), "%d" % i)
    wait_for(lambda: sorted(tree(mount.point)) == [b"0", b"1", b"2"])
    assert read(mount.path("1")) == b"1"
    master.stop()
    shutil.rmtree(master.root)
    os.mkdir(master.root)
    master.start(wait=False)
    wait_for(lambda: state(master) == "FAILED")
    assert "adopt" in master.control()["action"]
    assert "0 equal, 0 changed, 0 new, 3 missing" in adopt(site, master).stdout
    restarted(master)
    wait_for(lambda: master.control()["held_deletions"] == 3)
    wait_for(lambda: mount.status()["link"] == "up")
    assert sorted(tree(mount.point)) == [b"0", b"1", b"2"]


def test_an_operation_at_a_held_folder_says_nothing_about_what_was_in_it(site):
    """A mirror's chmod of it, or a file put into it, published the deletion of all the rest."""
    master = site.master()
    master.add_mirror("slave1", "--write", "/")
    mount = site.mount(master)
    for name in ("a/1", "a/2", "b/1", "b/2"):
        write(master.path(*name.split("/")), name)
    wait_for(lambda: len(tree(mount.point)) == 6)
    master.stop()
    shutil.rmtree(master.path(".eefs"))
    shutil.rmtree(master.path("a"))
    shutil.rmtree(master.path("b"))
    write(master.path("c"), "c")
    master.start(wait=False)
    wait_for(lambda: state(master) == "FAILED")
    adopt(site, master)
    restarted(master)
    wait_for(lambda: os.path.exists(mount.path("c")))
    os.chmod(mount.path("a"), 0o700)
    write(mount.path("b", "3"), "b/3")
    mount.synced()
    wait_for(lambda: os.path.exists(master.path("b", "3")))
    wait_for(lambda: master.control()["held_deletions"] >= 2)
    listing = master.listing()
    assert {"a/1", "a/2", "b/1", "b/2", "b/3"} <= set(listing)
