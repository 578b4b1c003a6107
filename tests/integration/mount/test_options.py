# SPDX-License-Identifier: MIT
"""Options that the kernel enforces reach it or are refused by name, also by a remount."""

import errno
import os
import subprocess

import pytest

from eefs import SLOW, program, read, wait_for, write

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="needs root")


@pytest.fixture
def master(site):
    master = site.master(start=False)
    write(master.path("uploads/run"), "#!/bin/sh\necho ran\n")
    os.chmod(master.path("uploads/run"), 0o755)
    os.symlink("run", master.path("uploads/link"))
    return master.start()


def flags(mount):
    """What the kernel says of the mount and of its superblock."""
    with open("/proc/self/mountinfo") as f:
        for line in f:
            words = line.split()
            if words[4] == mount.point:
                return set(words[5].split(",")) | set(words[-1].split(","))
    raise AssertionError("not mounted")


GIVEN = ("noexec", "nosuid", "nodev", "noatime", "nodiratime", "relatime", "sync", "dirsync",
         "nosymfollow", "lazytime", "ro")


@pytest.mark.parametrize("option", GIVEN)
def test_each_reaches_the_kernel(site, master, option):
    mount = site.mount(master, **{option: True})
    assert option in flags(mount)
    if option == "noexec":
        with pytest.raises(PermissionError):
            subprocess.run([mount.path("uploads/run")])
    if option == "nosymfollow":
        with pytest.raises(OSError) as error:
            read(mount.path("uploads/link"))
        assert error.value.errno == errno.ELOOP
    if option == "ro":
        assert os.stat(mount.path("uploads/run")).st_mode & 0o222 == 0


def test_the_last_counts(site, master):
    mount = site.mount(master, noexec=True, exec=True, strictatime=True, suid=True, dev=True)
    assert not flags(mount) & {"noexec", "relatime", "noatime", "nosuid", "nodev"}
    assert subprocess.run([mount.path("uploads/run")], capture_output=True).stdout == b"ran\n"


@pytest.mark.parametrize("option, why", (("context=nobody_u:nobody_r:nothing_t", "context"),
                                         ("mand", "mand"), ("iversion", "iversion"),
                                         ("acl", "acl"), ("nexec", "noexec"), ("noatim", "noatime"),
                                         ("user_id=0", "user_id")))
def test_what_cannot_be_is_refused_by_name(site, master, option, why):
    mount = site.mount(master, start=False, **{option: True})
    done = mount.try_start("-v")
    assert done.returncode in (1, 32) and why in done.stderr, done.stderr
    assert not mount.mounted()


def remount(mount, options):
    return subprocess.run([program("mount.eefs"), mount.url, mount.point, "-o", options], text=True,
                          env=mount.site.env(), capture_output=True, timeout=30 * SLOW)


def test_remount(site, master):
    mount = site.mount(master)
    path, rundir = mount.path("uploads/new"), ",rundir=" + site.rundir
    assert not flags(mount) & {"ro", "noexec"}
    before = flags(mount)
    # as mount(8) calls it, with what mountinfo has
    assert remount(mount, ",".join(sorted(before)) + ",remount,ro,noexec" + rundir).returncode == 0
    assert {"ro", "noexec"} <= flags(mount) and "rw" not in flags(mount)
    for change in (lambda: write(path, b"x"), lambda: os.mkdir(path)):
        with pytest.raises(OSError) as error:
            change()
        assert error.value.errno == errno.EROFS
    assert not os.access(mount.path("uploads/run"), os.W_OK)
    assert os.stat(mount.path("uploads/run")).st_mode & 0o7777 == 0o555
    write(master.path("uploads/run"), b"changed")  # it still follows
    wait_for(lambda: read(mount.path("uploads/run")) == b"changed")
    done = remount(mount, mount.option_list() + ",remount,rw,exec")
    assert done.returncode == 0, done.stderr
    assert flags(mount) == before
    wait_for(lambda: os.stat(mount.path("uploads/run")).st_mode & 0o7777 == 0o755)
    write(path, b"x")
    mount.synced()
    assert read(master.path("uploads/new")) == b"x"

    with open(path, "ab"):
        done = remount(mount, "remount,ro" + rundir)
        assert done.returncode == 32 and "open for writing" in done.stderr
        write(path + "2", b"still for writing")
    for option, name in (("cache_size=3G", "cache_size"), ("umask=077", "umask"),
                         ("context=x_u:y_r:z_t", "context"), ("nonsense", "nonsense"),
                         ("uid=65534", "uid"), ("prefetch=none", "prefetch")):
        done = remount(mount, "remount,ro," + option + rundir)
        assert done.returncode in (1, 32) and name in done.stderr, done.stderr
        assert "ro" not in flags(mount)
    done = remount(mount, "remount,ro,rundir=" + site.base)
    assert done.returncode == 32 and "rundir" in done.stderr
