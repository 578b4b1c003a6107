# SPDX-License-Identifier: MIT
"""Small disks: a tmpfs in the test's folder, and what fills it. A master's folder through bindfs."""
import errno
import os
import shutil
import signal
import subprocess

import pytest

from eefs import mounts, unmount, wait_for, write


def small_disk(point, megabytes):
    """Mounts one; returns what takes it off again."""
    os.makedirs(point, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%dm,mode=0755" % megabytes, "eefs-test", point],
                   check=True, timeout=30)
    return lambda: point in mounts() and subprocess.run(["umount", "-l", point], check=True, timeout=30)


def bindfs_master(site):
    """(a master, not started, whose folder with one.txt and two.txt is a bindfs mount; the bindfs)"""
    if not shutil.which("bindfs"):
        pytest.skip("bindfs is not installed")
    master = site.master(start=False)
    below = os.path.join(site.base, "below")
    write(os.path.join(below, "uploads/one.txt"), "one")
    write(os.path.join(below, "uploads/two.txt"), "two")
    bindfs = subprocess.Popen(["bindfs", "-f", below, master.root], stderr=subprocess.PIPE)

    def end():
        bindfs.send_signal(signal.SIGCONT)
        if os.path.ismount(master.root):
            unmount(master.root, lazy=True)
        bindfs.wait(10)

    site.cleanups.append(end)
    wait_for(lambda: os.path.ismount(master.root) or bindfs.poll() is not None)
    if bindfs.poll() is not None:
        pytest.skip("bindfs cannot mount here: %s" % bindfs.stderr.read().decode())
    master.add_mirror("slave1")
    return master, bindfs


def free(point):
    v = os.statvfs(point)
    return v.f_bavail * v.f_frsize


def fill(path, leave=0):
    """Takes the room of the disk, but for `leave` bytes."""
    n = free(os.path.dirname(path)) - leave
    with open(path, "wb", buffering=0) as f:
        try:
            while n > 0:
                n -= f.write(b"\1" * min(n, 65536))
        except OSError as error:
            assert error.errno == errno.ENOSPC
