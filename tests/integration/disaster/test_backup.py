# SPDX-License-Identifier: MIT
"""packaging/doc/backup.md: a backup that is taken while the master serves, and each way to restore it."""

import os
import shutil
import subprocess
import threading

import pytest

from eefs import back, read, tree, wait_for, write


class Backed:
    """A master and a mirror that writes all the time while a backup is taken; then something more."""

    def __init__(self, site):
        self.site, self.master = site, site.master()
        for i in range(200):
            write(self.master.path("img", "%d.png" % i), "picture %d" % i)
        self.mount = site.mount(self.master)
        wait_for(lambda: len(tree(self.mount.point)) == 201)
        self.state, self.folder = site.base + "/backup/state", site.base + "/backup/assets"
        os.makedirs(self.folder)
        self.take()
        write(self.mount.path("uploads", "since"), "since")
        self.mount.synced()
        self.last = tree(self.mount.point)
        self.master.kill()

    def take(self):
        """As the page says, twice, so that a copy is replaced."""
        over = threading.Event()
        writer = threading.Thread(target=self.write_until, args=(over,))
        writer.start()
        try:
            for _ in range(2):
                self.site.run("eefs-master", "backup", "--state", self.master.state, self.state)
                subprocess.run(["rsync", "-a", "--delete", "--exclude=/.eefs/staging",
                                self.master.root + "/", self.folder + "/"], check=False)
        finally:
            over.set()
            writer.join()
        assert sorted(os.listdir(self.state)) == ["master.db", "mirrors.json"]
        assert os.stat(self.state).st_mode & 0o777 == 0o700

    def write_until(self, over):
        n = 0
        while not over.is_set():
            write(self.mount.path("uploads", "%d" % n), "upload %d" % n)
            n += 1

    def restore(self, state=(), folder=False, dot=True):
        if state:
            shutil.rmtree(self.master.state)
            os.mkdir(self.master.state, 0o700)
            for name in state:
                shutil.copy2(os.path.join(self.state, name), self.master.state)
        if folder:
            shutil.rmtree(self.master.root)
            shutil.copytree(self.folder, self.master.root, symlinks=True)
            if not dot:
                shutil.rmtree(self.master.path(".eefs"))
        self.master.start(wait=dot)
        if dot:
            back(self.mount)

    def recover(self):
        out = self.site.run("eefs-master", "recover", "--state", self.master.state).stdout
        assert " 0 left" in out, out

    def is_whole(self):
        """Nothing that was ever acknowledged is missing, on both sides."""
        def same():
            now = tree(self.master.root)
            return {p: w[3] for p, w in now.items()} == {p: w[3] for p, w in self.last.items()}
        wait_for(same, 20)
        wait_for(lambda: self.mount.status()["state"] == "OK", 20)
        wait_for(lambda: tree(self.mount.point).keys() == self.last.keys(), 20, "the mirror has all")


@pytest.fixture
def backed(site):
    return Backed(site)


def lost(backed):
    wait_for(lambda: any("recover" in p["action"] for p in backed.master.control()["problems"]), 20)


def test_both_parts(backed):
    backed.restore(["master.db", "mirrors.json"], folder=True)
    lost(backed)
    backed.recover()
    backed.is_whole()


def test_the_state_alone(backed):
    backed.restore(["master.db", "mirrors.json"])
    backed.is_whole()


def test_the_tokens_alone(backed):
    backed.restore(["mirrors.json"])
    backed.is_whole()


def test_the_folder_alone_without_its_marker(backed):
    backed.restore(folder=True, dot=False)
    wait_for(lambda: "adopt" in backed.master.control()["action"])
    backed.site.run("eefs-master", "adopt", "--state", backed.master.state)
    wait_for(lambda: "starting anew" in backed.master.process.log() and backed.master.healthy())
    wait_for(lambda: backed.master.control()["held_deletions"])
    back(backed.mount)
    backed.recover()
    backed.is_whole()


def test_a_backup_needs_a_state_and_a_folder(site):
    master = site.master()
    out = site.run("eefs-master", "backup", "--state", master.state, check=False)
    assert out.returncode == 1 and "needed" in out.stderr
    out = site.run("eefs-master", "backup", "--state", site.base + "/none", site.base + "/b",
                   check=False)
    assert out.returncode == 1 and "--state" in out.stderr
    write(site.base + "/file", "")
    out = site.run("eefs-master", "backup", "--state", master.state, site.base + "/file",
                   check=False)
    assert out.returncode == 1 and read(site.base + "/file") == b""
