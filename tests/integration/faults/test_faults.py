# SPDX-License-Identifier: MIT
"""mount.eefs in bad times: wrong set-up, damaged caches, a master that is away, dies, or comes back
with an older database; kill -9 on either side."""

import errno
import glob
import os
import shutil
import signal
import socket
import threading
import time

import pytest

from eefs import SCOPE, SLOW, free_port, mounts, read, tree, unmount, wait_for, write


@pytest.fixture
def master(site):
    master = site.master(start=False)
    write(master.path("css/a.css"), "body{}")
    write(master.path("img/logo.png"), os.urandom(200_000))
    write(master.path("uploads/old.txt"), "old")
    os.makedirs(master.path("sql/slave1"))
    return master.start()


def refused(mount, *says, code=32):
    """mount.eefs fails with one clear sentence and leaves nothing behind."""
    out = mount.try_start()
    assert out.returncode == code, (out.returncode, out.stderr)
    lines = [line for line in out.stderr.splitlines() if "warning" not in line.lower()]
    assert len(lines) == 1, out.stderr
    for word in says:
        assert word in out.stderr, out.stderr
    assert mount.token_secret() not in out.stderr
    return out.stderr


def fresh(site, master, **options):
    mount = site.mount(master, start=False, **options)
    mount.token_secret = lambda: read(mount.token_file).decode().strip() or "no token"
    return mount


@pytest.mark.san
def test_unreachable_master_on_a_cold_cache(site, master):
    mount = fresh(site, master)
    mount.url = "http://127.0.0.1:%d/" % free_port()
    begin = time.monotonic()
    refused(mount, mount.url.rstrip("/"))
    assert time.monotonic() - begin < 40 * SLOW
    assert mount.point not in mounts()


def listens(port):
    with socket.create_connection(("127.0.0.1", port)):
        return True


def test_something_else_answers(site, master):
    """A web server that is no eefs-master."""
    port = free_port()
    site.spawn("web", ["python3", "-m", "http.server", "--bind", "127.0.0.1", str(port)],
               cwd=site.rundir)
    wait_for(lambda: listens(port))
    mount = fresh(site, master)
    mount.url = "http://127.0.0.1:%d/" % port
    refused(mount)


@pytest.mark.san
def test_wrong_token(site, master):
    mount = fresh(site, master)
    write(mount.token_file, "wrong" * 10 + "\n")
    refused(mount, "token")


def test_token_file_readable_by_others(site, master):
    for mode in (0o640, 0o604, 0o666):
        mount = fresh(site, master)
        os.chmod(mount.token_file, mode)
        refused(mount, "chmod 600", mount.token_file)


def test_token_file_missing_or_empty(site, master):
    mount = fresh(site, master)
    write(mount.token_file, "")
    refused(mount, mount.token_file)
    os.unlink(mount.token_file)
    mount.token_secret = lambda: "no token"
    refused(mount, mount.token_file)


@pytest.mark.san
def test_mountpoint_missing(site, master):
    mount = fresh(site, master)
    os.rmdir(mount.point)
    refused(mount, mount.point)


def test_mountpoint_not_empty(site, master):
    mount = fresh(site, master)
    os.chmod(mount.point, 0o755)
    write(mount.path("precious"), "x")
    refused(mount, mount.point, "empty")
    assert read(mount.path("precious")) == b"x"


def test_mountpoint_is_a_file(site, master):
    mount = fresh(site, master)
    os.rmdir(mount.point)
    write(mount.point, "x")
    refused(mount, mount.point)


@pytest.mark.san
def test_mounted_already(site, master):
    mount = fresh(site, master)
    mount.start()
    second = fresh(site, master, instance="second")
    second.point = mount.point
    refused(second, mount.point, "already")
    assert read(mount.path("css/a.css")) == b"body{}"


def test_cache_in_use(site, master):
    mount = fresh(site, master)
    mount.start()
    second = fresh(site, master, instance="second")
    second.cache = mount.cache
    refused(second, mount.cache)


def test_open_mountpoint_is_only_a_warning(site, master):
    mount = fresh(site, master)
    os.chmod(mount.point, 0o755)
    out = mount.try_start()
    assert out.returncode == 0
    assert mount.point in out.stderr and "0000" in out.stderr


@pytest.mark.san
def test_cache_of_another_master(site, master):
    mount = fresh(site, master)
    mount.start()
    tree(mount.point)
    mount.stop()
    other = site.master("other")
    mount.url = other.url
    write(mount.token_file, other.add_mirror("slave1"))
    refused(mount, mount.cache)
    mount.url = master.url
    write(mount.token_file, master.tokens["slave1"])
    mount.start()
    assert read(mount.path("css/a.css")) == b"body{}"


def test_cache_folder_cannot_be_made(site, master):
    mount = fresh(site, master)
    write(os.path.join(site.base, "file"), "x")
    mount.cache = os.path.join(site.base, "file", "cache")
    refused(mount, mount.cache)


def test_damaged_cache_database(site, master):
    mount = fresh(site, master)
    mount.start()
    mount.stop()
    found = [os.path.join(top, n) for top, _, names in os.walk(mount.cache) for n in names
             if n.endswith(".db")]
    assert found
    for path in found:
        write(path, b"this is not a database at all" * 100)
    mount.start()  # it is kept aside and made anew from the master (test_damage.py)
    assert "damaged" in mount.process.log() and read(mount.path("css/a.css")) == b"body{}"
    assert read(glob.glob(mount.cache + "/damaged/*/replica.db")[0]).startswith(b"this is not")


def stored(mount, data):
    """Files of the cache that hold these bytes."""
    return [path for top, _, names in os.walk(mount.cache) for path in
            [os.path.join(top, n) for n in names]
            if os.path.getsize(path) == len(data) and read(path) == data]


@pytest.mark.san
@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "gone"])
def test_corrupt_cached_content(site, master, damage):
    mount = fresh(site, master)
    mount.start()
    data = read(master.path("img/logo.png"))
    assert read(mount.path("img/logo.png")) == data
    mount.stop()
    copies = stored(mount, data)
    assert copies, "the content is not in the cache as a file"
    for path in copies:
        if damage == "flip":
            with open(path, "r+b") as f:
                f.seek(100_000)
                byte = f.read(1)
                f.seek(100_000)
                f.write(bytes([byte[0] ^ 1]))
        elif damage == "truncate":
            os.truncate(path, 1000)
        elif damage == "empty":
            os.truncate(path, 0)
        else:
            os.unlink(path)
    mount.start()
    assert read(mount.path("img/logo.png")) == data


def test_a_dead_mount_is_cleared_by_the_next(site, master):
    mount = fresh(site, master)
    mount.start()
    write(mount.path("uploads/new.txt"), "written")
    mount.kill()
    with pytest.raises(OSError) as error:
        os.listdir(mount.point)
    assert error.value.errno == errno.ENOTCONN
    code, status = site.status()
    assert code in (2, 3), status
    out = mount.try_start()
    assert out.returncode == 0, out.stderr
    assert list(mounts()).count(mount.point) == 1
    assert read(mount.path("uploads/new.txt")) == b"written"


@pytest.mark.san
def test_cut_off_mirror_serves_and_catches_up(site, master):
    link = site.link(master)
    mount = fresh(site, master, url=link.url)
    mount.start()
    before = tree(mount.point)
    link.cut()
    assert tree(mount.point) == before
    wait_for(lambda: site.status()[1]["mounts"][0]["state"] == "ISOLATED", 30)
    code, status = site.status()
    assert code == 1 and status["mounts"][0]["reason"] and status["mounts"][0]["action"]
    write(master.path("css/b.css"), "b")
    os.unlink(master.path("css/a.css"))
    write(mount.path("uploads/offline.txt"), "written while away")  # offline=queue
    os.mkdir(mount.path("uploads/offline.d"))
    assert read(mount.path("uploads/offline.txt")) == b"written while away"
    assert site.status()[1]["mounts"][0]["pending"] > 0
    out = site.run("eefs-status", "--wait", "--timeout", "1s", check=False)
    assert out.returncode != 0
    link.restore()
    wait_for(lambda: os.path.exists(mount.path("css/b.css")), 30)
    assert not os.path.exists(mount.path("css/a.css"))
    mount.synced()
    assert read(master.path("uploads/offline.txt")) == b"written while away"
    assert os.path.isdir(master.path("uploads/offline.d"))
    wait_for(lambda: site.status()[0] == 0, 30)


def test_a_silent_master_does_not_hang_the_mirror(site, master):
    """The connection is there, but nothing comes: cached reads go on at once, a close() returns
    after 5 s without progress."""
    link = site.link(master)
    mount = fresh(site, master, url=link.url)
    mount.start()
    assert read(mount.path("css/a.css")) == b"body{}"
    link.stall()
    begin = time.monotonic()
    assert read(mount.path("css/a.css")) == b"body{}"
    assert os.listdir(mount.path("css")) == ["a.css"]
    assert time.monotonic() - begin < 2 * SLOW
    write(mount.path("uploads/silent.txt"), "queued")
    assert time.monotonic() - begin < 15 * SLOW
    link.restore()
    mount.synced()
    assert read(master.path("uploads/silent.txt")) == b"queued"


def test_offline_fail(site, master):
    link = site.link(master)
    mount = fresh(site, master, url=link.url, offline="fail")
    mount.start()
    write(mount.path("uploads/on.txt"), "online")
    link.cut()
    wait_for(lambda: site.status()[1]["mounts"][0]["state"] == "ISOLATED", 30)
    with pytest.raises(OSError):
        write(mount.path("uploads/off.txt"), "offline")
    link.restore()
    wait_for(lambda: site.status()[1]["mounts"][0]["state"] == "OK", 30)
    write(mount.path("uploads/on2.txt"), "online again")
    assert read(master.path("uploads/on2.txt")) == b"online again"


def test_lost_answer_gives_one_change(site, master):
    """The master did it, but its answer was lost: the retry changes nothing more."""
    link = site.link(master)
    mount = fresh(site, master, url=link.url)
    mount.start()
    link.lose_answers()
    write(mount.path("uploads/lost.txt"), "lost answer")
    wait_for(lambda: os.path.exists(master.path("uploads/lost.txt")), 10)
    link.restore()
    mount.synced()
    assert sorted(os.listdir(master.path("uploads"))) == ["lost.txt", "old.txt"]
    assert mount.status()["pending"] == 0 and mount.status().get("conflicts", 0) == 0


@pytest.mark.san
def test_killed_mirror_loses_nothing_that_returned(site, master):
    link = site.link(master)
    mount = fresh(site, master, url=link.url)
    mount.start()
    link.cut()
    wait_for(lambda: site.status()[1]["mounts"][0]["state"] == "ISOLATED", 30)
    for i in range(10):
        write(mount.path("uploads/k%d.txt" % i), "k%d" % i * 1000)
    os.mkdir(mount.path("uploads/kd"))
    os.rename(mount.path("uploads/k0.txt"), mount.path("uploads/kd/k0.txt"))
    os.unlink(mount.path("uploads/old.txt"))
    want = tree(mount.path("uploads"))
    mount.kill()
    assert unmount(mount.point)
    mount.start()
    assert tree(mount.path("uploads")) == want
    link.restore()
    mount.synced()
    assert tree(master.path("uploads")) == want


@pytest.mark.san
def test_master_dies_while_files_are_read_and_written(site, master):
    mount = fresh(site, master)
    mount.start()
    assert len(read(mount.path("img/logo.png"))) == 200_000
    written, errors, stop = [], [], threading.Event()

    def work(k):
        i = 0
        while not stop.is_set():
            name = "uploads/w%d-%d" % (k, i)
            try:
                write(mount.path(name), name * 50)
                written.append(name)
                assert len(read(mount.path("img/logo.png"))) == 200_000
            except OSError as error:
                errors.append((name, error))
            i += 1

    threads = [threading.Thread(target=work, args=(k,)) for k in range(3)]
    for t in threads:
        t.start()
    try:
        for _ in range(2):
            n = len(written)
            wait_for(lambda: len(written) > n + 10, 60)
            master.kill()
            n = len(written)
            wait_for(lambda: len(written) > n + 2, 60)  # goes on without the master
            master.start()
    finally:
        stop.set()
        for t in threads:
            t.join()
    assert not errors
    mount.synced()
    for name in written:
        assert read(master.path(name)) == (name * 50).encode()
    assert len(os.listdir(master.path("uploads"))) == len(written) + 1


@pytest.mark.san
def test_master_database_restored_from_a_copy(site, master):
    """The mirror notices, lists again and keeps its cache; nothing is lost on either side."""
    mount = fresh(site, master)
    mount.start()
    tree(mount.point)
    master.stop()
    copy = os.path.join(site.base, "copy")
    shutil.copytree(master.state, copy)
    master.start()
    write(master.path("css/after.css"), "after the copy")
    wait_for(lambda: os.path.exists(mount.path("css/after.css")), 30)
    write(mount.path("uploads/after.txt"), "from the mirror after the copy")
    mount.synced()
    master.kill()
    shutil.rmtree(master.state)
    shutil.copytree(copy, master.state)
    os.unlink(master.path("css/a.css"))
    master.start()
    wait_for(lambda: not os.path.exists(mount.path("css/a.css")), 30)
    private = (b".eefs", b"sql")  # its modes differ by design
    assert tree(mount.point, private) == tree(master.root, private, SCOPE)
    write(mount.path("uploads/again.txt"), "and it goes on")
    mount.synced()
    assert read(master.path("uploads/again.txt")) == b"and it goes on"
    assert read(master.path("uploads/after.txt")) == b"from the mirror after the copy"
    assert not mount.status().get("conflicts")


def test_conflict_keeps_both_versions(site, master):
    link = site.link(master)
    mount = fresh(site, master, url=link.url)
    mount.start()
    assert read(mount.path("uploads/old.txt")) == b"old"
    link.cut()
    wait_for(lambda: site.status()[1]["mounts"][0]["state"] == "ISOLATED", 30)
    write(master.path("uploads/old.txt"), "the master's edit")
    write(mount.path("uploads/old.txt"), "the mirror's edit")
    wait_for(lambda: master.listing()["uploads/old.txt"]["size"] == 17, 10)
    link.restore()
    mount.synced()
    contents = {read(master.path("uploads", n)) for n in os.listdir(master.path("uploads"))}
    assert contents == {b"the master's edit", b"the mirror's edit"}
    assert read(master.path("uploads/old.txt")) == b"the master's edit"
    wait_for(lambda: tree(mount.path("uploads")) == tree(master.path("uploads")), 10)


def test_token_taken_away(site, master):
    mount = fresh(site, master)
    mount.start()
    assert read(mount.path("css/a.css")) == b"body{}"
    site.run("eefs-master", "mirror", "remove", "slave1", "--state", master.state)
    write(master.path("css/b.css"), "b")
    wait_for(lambda: site.status()[0] != 0, 70)
    assert "token" in site.status()[1]["mounts"][0]["reason"]
    assert read(mount.path("css/a.css")) == b"body{}"  # what is here stays
    assert not os.path.exists(mount.path("css/b.css"))


def test_status_does_not_touch_the_mount(site, master):
    """A stopped daemon hangs every access to its mount; eefs-status answers all the same."""
    mount = fresh(site, master)
    mount.start()
    mount.process.signal(19)  # SIGSTOP
    try:
        begin = time.monotonic()
        code, status = site.status()
        assert code in (2, 3), status
        assert time.monotonic() - begin < 15
    finally:
        mount.process.signal(18)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_hangs_after_a_kill(site, master, number):
    """A daemon that is killed while it tells the kernel to drop names of a folder, in which others
    make names at that moment: the one waits for the folder's lock, the others for an answer."""
    mount = fresh(site, master)
    stop = threading.Event()

    def visitor(k):
        n = 0
        while not stop.is_set():
            n += 1
            try:
                os.symlink("x", mount.path("uploads/v%d-%d" % (k, n)))
                os.unlink(mount.path("uploads/v%d-%d" % (k, n)))
            except OSError:
                time.sleep(0.001)  # dead, or not mounted

    def editor():
        n = 0
        while not stop.is_set():
            n += 1
            write(master.path("uploads/e%d" % (n % 20)), "%d" % n)
            os.unlink(master.path("uploads/e%d" % (n % 20)))

    threads = [threading.Thread(target=visitor, args=(k,), daemon=True) for k in range(3)]
    threads.append(threading.Thread(target=editor, daemon=True))
    # Killed within a request that holds the folder's lock.
    env = {"EEFS_CRASH_AT": "replica.symlink.committed:30"} if number == signal.SIGKILL else None
    mount.start(env=env)
    for t in threads:
        t.start()
    try:
        for i in range(6):
            if number == signal.SIGTERM:
                time.sleep(0.1 + 0.02 * i)
                mount.process.signal(number)
            begin = time.monotonic()
            mount.process.popen.wait(30 * SLOW)
            while mount.mounted():
                unmount(mount.point, lazy=True)
            assert time.monotonic() - begin < 20 * SLOW
            try:
                mount.start(env=env)
            except AssertionError:
                assert mount.process.popen.poll() == -number  # that quickly
    finally:
        stop.set()
        for t in threads:
            t.join(20 * SLOW)
    assert not any(t.is_alive() for t in threads), "somebody hangs"
