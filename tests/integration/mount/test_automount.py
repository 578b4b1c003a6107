# SPDX-License-Identifier: MIT
"""x-systemd.automount: the kernel lets only the automounter's process group reach the folder until
it is mounted, so a mount.eefs that leaves the group too early would wait for itself."""

import os
import subprocess

import pytest

from eefs import HERE, SLOW, mounts, read, wait_for, write


@pytest.fixture
def mount(site):
    if os.getuid() != 0 or "autofs" not in read("/proc/filesystems").decode():
        pytest.skip("needs root and a kernel with autofs")
    master = site.master()
    write(master.path("css/a.css"), b"body{}")
    mount = site.mount(master, start=False)
    automounter = site.spawn("automounter", [os.path.join(HERE, "automounter.py"), mount.point,
                                             *mount.argv()])
    wait_for(lambda: "ready" in automounter.log(), 10, "automounter")
    assert mounts()[mount.point] == "autofs"
    return mount


def look(path):
    """From outside of the automounter's group and, should it hang, bounded."""
    return subprocess.run(["cat", path], capture_output=True, timeout=30 * SLOW)


def test_a_look_mounts_it(mount):
    assert look(mount.path("css/a.css")).stdout == b"body{}"
    assert mount.mounted()
    assert mount.status()["state"] in ("OK", "SYNCING")


def test_mounting_by_hand_lets_the_automount_do_it(mount):
    out = mount.try_start()
    assert out.returncode == 0, out.stderr
    assert mount.mounted()
    assert look(mount.path("css/a.css")).stdout == b"body{}"


def test_what_the_automount_cannot_mount(site, mount):
    os.unlink(mount.token_file)
    out = mount.try_start()
    assert out.returncode == 32
    assert "automount" in out.stderr
    assert look(mount.path("css/a.css")).returncode == 1
    assert mounts()[mount.point] == "autofs"
