# SPDX-License-Identifier: MIT
"""Times and modes on a mirror, held against what a local disk has."""

import errno
import fcntl
import os
import subprocess
import tempfile

import pytest

from eefs import read, wait_for, write

NS = 1000000000
# as seconds and nanoseconds: what ext4 can hold
TIMES = [(0, 0), (0, 1), (-1, 999999999), (-1, 0), (-141000000, 123456789), (-2147483648, 0),
         (1700000000, 987654321), (9223372036, 854775807), (9223372036, 854775808),
         (10413792000, 5), (15032385534, 999999999)]


@pytest.fixture
def master(site):
    master = site.master(start=False)
    write(master.path("uploads/a.txt"), b"a")
    write(master.path("uploads/d/x.txt"), b"x")
    write(master.path("css/site.css"), b"css")
    os.chmod(master.path("css/site.css"), 0o664)
    os.utime(master.path("css/site.css"), ns=(5, -3 * NS + 7))
    os.utime(master.path("css"), ns=(5, 10413792000 * NS + 1))
    return master.start()


@pytest.fixture
def mount(site, master):
    return site.mount(master)


def mtime(path):
    return os.lstat(path).st_mtime_ns


def test_every_mtime_of_ext4(site, master, mount):
    assert mtime(mount.path("css/site.css")) == -3 * NS + 7
    assert mtime(mount.path("css")) == 10413792000 * NS + 1
    for name in ("a.txt", "d"):
        here, there = mount.path("uploads/" + name), master.path("uploads/" + name)
        for seconds, nano in TIMES:
            want = seconds * NS + nano
            os.utime(here, ns=(want, want))
            assert mtime(here) == want
            assert os.stat(here).st_atime_ns == want
            mount.synced()
            assert mtime(there) == want
            assert mtime(here) == want
    fd = os.open(mount.path("uploads/new"), os.O_WRONLY | os.O_CREAT)
    os.utime(fd, ns=(0, -1))
    os.close(fd)
    assert mtime(mount.path("uploads/new")) == mtime(master.path("uploads/new")) == -1
    for seconds in (-2147483649, 16299260425, 1 << 40):  # no time of ours: refused, and nothing else
        with pytest.raises(OSError) as error:
            os.utime(mount.path("uploads/a.txt"), ns=(0, seconds * NS))
        assert error.value.errno == 75  # EOVERFLOW
    assert mtime(mount.path("uploads/a.txt")) == TIMES[-1][0] * NS + TIMES[-1][1]


def test_links_have_times(site, master, mount):
    here, there = mount.path("uploads/l"), master.path("uploads/l")
    os.symlink("x", here)
    for want in (-1, 5, 10413792000 * NS + 7):
        os.utime(here, ns=(3, want), follow_symlinks=False)
        mount.synced()
        assert mtime(here) == mtime(there) == want
        assert os.lstat(here).st_atime_ns == 3
    os.utime(there, ns=(3, 99), follow_symlinks=False)
    wait_for(lambda: mtime(here) == 99)


def test_mknod_of_a_file(site, master, mount):
    os.mknod(mount.path("uploads/made"), 0o640)
    mount.synced()
    assert os.stat(mount.path("uploads/made")).st_size == 0
    wait_for(lambda: os.stat(master.path("uploads/made")).st_mode & 0o7777 == 0o640)
    for call in (lambda: os.mknod(mount.path("uploads/made"), 0o640),
                 lambda: os.mkfifo(mount.path("uploads/fifo")),
                 lambda: os.link(mount.path("uploads/made"), mount.path("uploads/two")),
                 lambda: os.chown(mount.path("uploads/made"), 4711, -1)):
        with pytest.raises((PermissionError, FileExistsError)):
            call()


def test_what_is_not_carried_is_refused(site, mount):
    path = mount.path("uploads/a.txt")
    for call, want in ((lambda: os.setxattr(path, "user.a", b"1"), errno.ENOTSUP),
                       (lambda: os.removexattr(path, "user.a"), errno.ENOTSUP),
                       (lambda: os.getxattr(path, "user.a"), errno.ENODATA),
                       (lambda: os.open(mount.path("uploads"), os.O_TMPFILE | os.O_RDWR), errno.ENOTSUP)):
        with pytest.raises(OSError) as error:
            call()
        assert error.value.errno == want
    assert os.listxattr(path) == []
    with open(path, "rb") as f, pytest.raises(OSError) as error:
        fcntl.ioctl(f, 0x80086601, b"\0" * 8)  # FS_IOC_GETFLAGS
    assert error.value.errno == errno.ENOTTY
    with tempfile.NamedTemporaryFile(dir=site.base) as local:
        try:
            os.setxattr(local.name, "user.a", b"1")
        except OSError:
            pass  # that disk has none
        for command in (["cp", "-a", local.name, mount.path("uploads/copy")],
                        ["tar", "--xattrs", "--acls", "-C", mount.path("uploads"), "-cf", "/dev/null", "."]):
            assert subprocess.run(command, check=True, capture_output=True).stderr == b""


@pytest.mark.parametrize("flags", [0, os.O_EXCL, os.O_TRUNC])
def test_made_by_an_open_for_reading(master, mount, flags):
    """As flock(1) makes its file: it is sent though nobody writes it, also while it is held open."""
    fd = os.open(mount.path("uploads/lock"), os.O_RDONLY | os.O_CREAT | flags, 0o640)
    wait_for(lambda: os.stat(master.path("uploads/lock")).st_mode & 0o7777 == 0o640)
    write(mount.path("uploads/lock"), b"more")
    mount.synced()
    assert read(master.path("uploads/lock")) == b"more"
    assert os.pread(fd, 9, 0) == b"more"
    os.close(fd)


def test_omit_and_now(mount):
    path = mount.path("uploads/a.txt")
    subprocess.run(["touch", "-d", "1965-07-13 UTC", path], check=True)
    assert mtime(path) == -141091200 * NS
    subprocess.run(["touch", "-a", "-d", "2001-01-01 UTC", path], check=True)
    st = os.stat(path)
    assert (st.st_mtime_ns, st.st_atime_ns) == (-141091200 * NS, 978307200 * NS)
    subprocess.run(["touch", "-m", path], check=True)
    st = os.stat(path)
    assert st.st_mtime > 1e9 and st.st_atime_ns == 978307200 * NS
    read(path)
    assert os.stat(path).st_atime_ns == 978307200 * NS  # as with noatime


def test_folder_times(site, master, mount):
    """They are the master's own, and change as on a local disk."""
    here, there = mount.path("uploads/d"), master.path("uploads/d")
    wait_for(lambda: mtime(here) == mtime(there))
    for change in (lambda: write(there + "/new", b"1"), lambda: os.unlink(there + "/new"),
                   lambda: os.rename(there + "/x.txt", there + "/y.txt"),
                   lambda: os.mkdir(there + "/sub"), lambda: os.utime(there, ns=(0, -1))):
        was = mtime(here)
        change()
        wait_for(lambda: mtime(here) == mtime(there) != was)
    for change in (lambda: write(here + "/mine", b"1"), lambda: os.unlink(here + "/mine"),
                   lambda: os.symlink("x", here + "/l"), lambda: os.rename(here + "/l", here + "/m")):
        was = mtime(here)
        change()
        assert mtime(here) > was
        mount.synced()
        wait_for(lambda: mtime(here) == mtime(there))
    was = mtime(here)
    write(here + "/y.txt", b"in place")
    mount.synced()
    os.utime(here, ns=(7, 7))
    mount.synced()
    assert mtime(there) == 7
    wait_for(lambda: mtime(here) == 7)


def test_rsync_and_tar_have_nothing_left_to_do(site, master, mount):
    with tempfile.TemporaryDirectory(dir=site.base) as top:
        for i in range(20):
            write("%s/f%d/s/x%d" % (top, i % 4, i), b"%d" % i)
        os.symlink("x", top + "/f0/link")
        for i in range(4):
            os.utime("%s/f%d/s" % (top, i), (i, i * 1000))
            os.utime("%s/f%d" % (top, i), (i, -i))
        command = ["rsync", "-a", "--no-o", "--no-g", "-i", top + "/", mount.path("uploads/t/")]
        assert subprocess.run(command, check=True, capture_output=True).stdout
        assert subprocess.run(command, check=True, capture_output=True).stdout == b""
        mount.synced()
        for i in range(4):
            assert mtime(master.path("uploads/t/f%d" % i)) == -i * NS
            wait_for(lambda: mtime(mount.path("uploads/t/f%d" % i)) == -i * NS)
        assert subprocess.run(command, check=True, capture_output=True).stdout == b""


def test_ctime(site, master, mount):
    """Moves with each change that is seen here, and never back."""
    path = mount.path("uploads/a.txt")
    seen = [os.stat(path).st_ctime_ns]

    def moved(target=path):
        seen.append(os.stat(target).st_ctime_ns)
        assert seen[-1] > seen[-2]

    write(path, b"one")
    moved()
    keep = mtime(path)
    write(path, b"two")
    os.utime(path, ns=(keep, keep))  # the same length and mtime: only ctime tells
    moved()
    os.chmod(path, 0o640)
    moved()
    os.chmod(path, 0o640)
    moved()
    os.truncate(path, 1)
    moved()
    os.rename(path, path + ".2")
    moved(path + ".2")
    os.rename(path + ".2", path)
    moved()
    os.chown(path, -1, -1)
    moved()
    with open(path, "ab") as f:
        f.write(b"x")
        f.flush()
        moved()
        os.fchmod(f.fileno(), 0o644)
        moved()
        os.utime(f.fileno(), ns=(5, 5))
        moved()
    settled = os.stat(path).st_ctime_ns
    mount.synced()
    assert os.stat(path).st_ctime_ns == settled >= seen[-1]
    seen.append(settled)
    os.chmod(master.path("uploads/a.txt"), 0o604)
    wait_for(lambda: os.stat(path).st_mode & 0o777 == 0o604)
    moved()
    write(master.path("uploads/a.txt"), b"from the master")
    wait_for(lambda: read(path) == b"from the master")
    moved()
    last = os.stat(path).st_ctime_ns
    mount.stop()
    mount.start()
    assert os.stat(path).st_ctime_ns == last


@pytest.mark.parametrize("sent", [False, True])
def test_ctime_of_what_is_open_for_writing(mount, sent):
    path, name = mount.path("uploads/new"), mount.path("uploads/renamed")
    with open(path, "wb") as f:
        f.write(b"x")
        f.flush()
        if sent:
            os.fsync(f.fileno())
            mount.synced()
        seen = [os.stat(path).st_ctime_ns]
        for change in (lambda: os.rename(path, name), lambda: os.chmod(name, 0o600),
                       lambda: os.utime(name, ns=(5, 5)), lambda: os.rename(name, path),
                       lambda: os.fchmod(f.fileno(), 0o640)):
            change()
            seen.append(os.fstat(f.fileno()).st_ctime_ns)
            assert seen[-1] > seen[-2]
    assert os.stat(path).st_ctime_ns >= seen[-1]
    mount.synced()
    assert os.stat(path).st_ctime_ns >= seen[-1]  # what is shown now is no longer the open file's


def test_modes_that_cannot_be_carried(master, mount):
    path = mount.path("uploads/a.txt")
    for mode in (0o4755, 0o2755, 0o6755):
        with pytest.raises(PermissionError):
            os.chmod(path, mode)
        with pytest.raises(PermissionError):
            os.close(os.open(mount.path("uploads/suid"), os.O_CREAT | os.O_WRONLY, mode))
    assert not os.path.exists(mount.path("uploads/suid"))
    os.chmod(path, 0o1644)
    mount.synced()
    assert os.stat(master.path("uploads/a.txt")).st_mode & 0o7777 == 0o1644
    os.chmod(mount.path("uploads/d"), 0o3775)
    os.mkdir(mount.path("uploads/d/sub"))
    assert os.stat(mount.path("uploads/d/sub")).st_mode & 0o2000
    mount.synced()
    for name in ("uploads/d", "uploads/d/sub"):
        assert os.stat(master.path(name)).st_mode & 0o2000
        wait_for(lambda: os.stat(mount.path(name)).st_mode & 0o7777 ==
                 os.stat(master.path(name)).st_mode & 0o7777)


def test_setuid_goes_when_it_is_written(master, mount):
    os.chmod(master.path("uploads/a.txt"), 0o4755)
    path = mount.path("uploads/a.txt")
    wait_for(lambda: os.stat(path).st_mode & 0o7777 == 0o4755)
    write(path, b"other")
    assert os.stat(path).st_mode & 0o7777 == 0o755
    mount.synced()
    assert os.stat(master.path("uploads/a.txt")).st_mode & 0o7777 == 0o755


def test_no_write_bits_where_nothing_can_be_written(site, master, mount):
    css = mount.path("css/site.css")
    assert os.stat(css).st_mode & 0o7777 == 0o444
    assert os.stat(mount.path("css")).st_mode & 0o222 == 0
    assert os.stat(mount.path("uploads")).st_mode & 0o200
    assert os.stat(mount.path("uploads/a.txt")).st_mode & 0o7777 == 0o644
    for change in (lambda: os.chmod(css, 0o444), lambda: os.utime(css, None),
                   lambda: os.truncate(css, 0), lambda: open(css, "r+")):
        with pytest.raises(OSError) as error:
            change()
        assert error.value.errno == 30  # EROFS
    site.run("eefs-master", "mirror", "set", "slave1", "--state", master.state, "--write", "css", "--write", "uploads")
    write(master.path("uploads/nudge"), b"1")  # ends the poll that waits
    wait_for(lambda: os.stat(css).st_mode & 0o7777 == 0o664, 30)
    subprocess.run(["chmod", "u+x", css], check=True)
    mount.synced()
    assert os.stat(master.path("css/site.css")).st_mode & 0o7777 == 0o764
    site.run("eefs-master", "mirror", "set", "slave1", "--state", master.state, "--write", "uploads")
    write(master.path("uploads/nudge"), b"2")
    wait_for(lambda: os.stat(css).st_mode & 0o7777 == 0o544, 30)


def test_bits_that_umask_hides_stay(site, master):
    os.chmod(master.path("uploads/a.txt"), 0o664)
    mount = site.mount(master, umask="022")
    path = mount.path("uploads/a.txt")
    assert os.stat(path).st_mode & 0o7777 == 0o644
    os.chmod(path, 0o744)
    mount.synced()
    assert os.stat(path).st_mode & 0o7777 == 0o744
    assert os.stat(master.path("uploads/a.txt")).st_mode & 0o7777 == 0o764
