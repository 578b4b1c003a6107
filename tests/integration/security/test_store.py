# SPDX-License-Identifier: MIT
"""Earlier versions and unfinished uploads of the master lie where no web server reads them."""

import json
import os
import subprocess

import pytest

from eefs import content_name, read, wait_for, write

ROOT = pytest.mark.skipif(os.getuid() != 0, reason="looks as another user")


def below(folder):
    return sorted(os.path.relpath(os.path.join(where, name), folder)
                  for where, _, names in os.walk(folder) for name in names)


def contents(folder):
    return {read(os.path.join(folder, name)) for name in below(folder)}


def overwrite(master, name, data):
    write(master.path(name), data)
    wait_for(lambda: master.listing().get(name, {}).get("hash") == content_name(data))


def versions(site, master, name):
    out = site.run("eefs-master", "history", name, "--state", master.state, "--json")
    return json.loads(out.stdout)["versions"]


@pytest.fixture
def master(site):
    master = site.master(start=False)
    master.add_mirror("slave1")
    return master


def test_store_outside_the_web_root(site, master):
    """With --store no version and no staged byte lies below the root; restore, uploads and conflict
    copies work as ever."""
    store = os.path.join(site.base, "private")
    master.options = ["--store", store]
    master.start()
    overwrite(master, "css/a.css", b"one")
    wait_for(lambda: b"one" in contents(store))
    overwrite(master, "css/a.css", b"two")
    mount = site.mount(master)
    big = os.urandom(300_000)
    write(mount.path("uploads/a.bin"), big)
    write(mount.path("uploads/a.bin"), os.urandom(300_000))
    wait_for(lambda: big in contents(store))
    assert below(master.path(".eefs")) == ["lock", "marker", "store"]
    assert os.stat(store).st_mode & 0o777 == 0o700
    old = next(v for v in versions(site, master, "css/a.css") if v["hash"] == content_name(b"one"))
    site.run("eefs-master", "restore", "css/a.css@%d" % old["seq"], "--state", master.state)
    assert read(master.path("css/a.css")) == b"one"


def test_moving_the_store(site, master):
    """What was kept moves with the option: from .eefs to one folder, to another, and back."""
    master.start()
    overwrite(master, "a.txt", b"version one")
    wait_for(lambda: b"version one" in contents(master.path(".eefs/kept")))
    overwrite(master, "a.txt", b"version two")
    first, second = os.path.join(site.base, "s1"), os.path.join(site.base, "s2")
    for options, place in ((["--store", first], first), (["--store", second], second), ([], master.path(".eefs"))):
        data = os.urandom(100_000)
        assert master.request("PUT", "/v1/o/" + content_name(data), body=data).status == 200
        master.stop()
        master.options = options
        master.start()
        assert b"version one" in contents(os.path.join(place, "kept"))
        answer = master.request("HEAD", "/v1/o/" + content_name(data), headers={"X-Eefs-Upload": "1"})
        assert answer.headers["X-Eefs-Complete"] == "1"
        for other in {first, second, master.path(".eefs")} - {place}:
            assert not {b"version one", data} & contents(other)
    assert below(master.path(".eefs")) and "store" not in os.listdir(master.path(".eefs"))


def test_store_that_is_lost(site, master):
    """A folder of --store that somebody removed costs the kept versions, and the log says so."""
    store = os.path.join(site.base, "s1")
    master.options = ["--store", store]
    master.start()
    write(master.path("a.txt"), "a")
    master.stop()
    subprocess.run(["rm", "-r", store], check=True)
    master.options = []
    master.start()
    assert store in master.process.log() and "gone" in master.process.log()
    overwrite(master, "a.txt", b"b")


@pytest.mark.parametrize("where", ["within", "elsewhere", "taken", "file"])
def test_stores_that_cannot_be(site, master, where):
    """Within the served folder, on another filesystem, another master's, no folder: refused by name."""
    store = {"within": master.path("private"), "elsewhere": "/dev/shm/eefs-test-%d" % os.getpid(),
             "taken": os.path.join(site.base, "s1"), "file": os.path.join(site.base, "file")}[where]
    if where == "taken":
        other = site.master("other", start=False)
        other.options = ["--store", store]
        other.start()
    if where == "file":
        write(store, "")
    if where == "elsewhere":
        if os.stat("/dev/shm").st_dev == os.stat(site.base).st_dev:
            pytest.skip("/dev/shm is no filesystem of its own here")
        site.cleanups.append(lambda: os.path.isdir(store) and subprocess.run(["rm", "-r", store], check=True))
    master.options = ["--store", store]
    master.start(wait=False)
    assert master.process.popen.wait(20) == 1
    assert "--store" in master.process.log() and store in master.process.log()


@ROOT
@pytest.mark.parametrize("outside", [False, True])
def test_other_users_cannot_read_them(site, master, outside):
    """Where the web server's user is not the one that serves, it reads nothing of it."""
    place = os.path.join(site.base, "private") if outside else master.path(".eefs")
    master.options = ["--owner", "nobody"] + (["--store", place] if outside else [])
    master.start()
    mount = site.mount(master)
    write(mount.path("uploads/a.txt"), "secret")
    write(mount.path("uploads/a.txt"), "new")
    wait_for(lambda: b"secret" in contents(place))
    assert os.stat(master.path("uploads/a.txt")).st_uid == 65534
    for name in below(place) + [".", "kept", "staging"]:
        out = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "cat", "--",
                              os.path.join(place, name)], capture_output=True)
        assert out.returncode != 0 and b"Permission denied" in out.stderr, name
