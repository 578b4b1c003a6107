# SPDX-License-Identifier: MIT
"""Small disks: a tmpfs in the test's folder, and what fills it."""
import errno
import os
import subprocess

from eefs import mounts


def small_disk(point, megabytes):
    """Mounts one; returns what takes it off again."""
    os.makedirs(point, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%dm,mode=0755" % megabytes, "eefs-test", point],
                   check=True, timeout=30)
    return lambda: point in mounts() and subprocess.run(["umount", "-l", point], check=True, timeout=30)


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
