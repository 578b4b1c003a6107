# SPDX-License-Identifier: MIT
"""Damaged, lost and foreign databases and failing disks: what is shown is right or an error, it is reported, and
it is made anew."""
import json
import os
import random
import shutil
import signal
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


@pytest.mark.parametrize("seed", range(3))
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
