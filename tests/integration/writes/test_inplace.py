# SPDX-License-Identifier: MIT
"""Writers that change files in place, as ExpressionEngine does: nobody else sees a file between its
truncation and its last byte."""

import fcntl
import os
import subprocess
import threading
import time

import pytest

from eefs import SLOW, read, tree, wait_for, write

OLD = b"old content, complete\n" * 50
NEW = b"new content, complete\n" * 60


@pytest.fixture
def master(site):
    master = site.master(start=False)
    write(master.path("uploads/page.html"), OLD)
    master.add_mirror("slave2")
    return master.start()


@pytest.fixture
def mount(site, master):
    return site.mount(master)


def watch(paths, allowed):
    """Reads the paths over and over; stop() returns what was seen and was not allowed."""
    bad, end = [], threading.Event()

    def look():
        while not end.is_set():
            for path in paths:
                data = read(path)
                if data not in allowed:
                    bad.append((path, data[:60]))
    thread = threading.Thread(target=look)
    thread.start()

    def stop():
        end.set()
        thread.join()
        return bad
    return stop


def test_others_see_old_until_new_is_complete(site, master, mount):
    """open, flock, ftruncate 0, write in pieces, close, chmod, chmod."""
    other = site.mount(master, "slave2")
    stop = watch([master.path("uploads/page.html"), other.path("uploads/page.html")], (OLD, NEW))
    try:
        fd = os.open(mount.path("uploads/page.html"), os.O_RDWR)
        fcntl.flock(fd, fcntl.LOCK_EX)
        os.ftruncate(fd, 0)
        assert read(mount.path("uploads/page.html")) == b""  # here it is as on a local disk
        for i in range(0, len(NEW), 200):
            os.write(fd, NEW[i:i + 200])
            time.sleep(0.005)  # give the others time to look
        assert read(other.path("uploads/page.html")) == OLD
        fcntl.flock(fd, fcntl.LOCK_UN)
        os.close(fd)
        assert read(master.path("uploads/page.html")) == NEW
        os.chmod(mount.path("uploads/page.html"), 0o644)
        os.chmod(mount.path("uploads/page.html"), 0o666)
        mount.synced()
        wait_for(lambda: read(other.path("uploads/page.html")) == NEW)
        wait_for(lambda: os.stat(other.path("uploads/page.html")).st_mode & 0o777 == 0o666)
    finally:
        bad = stop()
    assert not bad


def test_closing_one_handle_does_not_publish_anothers_half(site, master, mount):
    """The order of two of them: A unlocks, B locks and truncates, A closes, B writes and closes."""
    a = os.open(mount.path("uploads/page.html"), os.O_RDWR)
    b = os.open(mount.path("uploads/page.html"), os.O_RDWR)
    idle = os.open(mount.path("uploads/page.html"), os.O_RDWR)
    stop = watch([master.path("uploads/page.html")], (OLD, NEW))
    try:
        os.ftruncate(a, 0)
        os.write(a, b"what A wrote")
        os.ftruncate(b, 0)
        os.close(a)
        os.write(b, NEW[:100])
        os.close(idle)
        with open(mount.path("uploads/page.html"), "rb") as f:
            assert f.read() == NEW[:100]
        time.sleep(0.1)
        os.write(b, NEW[100:])
        os.close(b)
        assert read(master.path("uploads/page.html")) == NEW
    finally:
        bad = stop()
    assert not bad


PHP_FORKS = """
$f = fopen($argv[1], $argv[2]);
ftruncate($f, 0);
fwrite($f, "first half, ");
exec("true");
echo "half\\n";
fgets(STDIN);
fwrite($f, "second half");
fclose($f);
echo file_get_contents($argv[1]), "\\n";
"""


@pytest.mark.parametrize("name, mode", [("page.html", "r+"), ("page.html", "w"), ("new.html", "x")])
def test_a_program_run_meanwhile_closes_nothing(master, mount, name, mode):
    """A child process has copies of what its parent holds open, and closes them."""
    php = subprocess.Popen(["php", "-r", PHP_FORKS, mount.path("uploads", name), mode],
                           stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with php:
        assert php.stdout.readline() == b"half\n"
        before = {"page.html": OLD}
        write(mount.path("uploads/mark"), "what came before this is on the master")
        assert read(master.path("uploads/mark"))
        assert os.path.exists(master.path("uploads", name)) == (name in before)
        if name in before:
            assert read(master.path("uploads", name)) == before[name]
        php.stdin.write(b"go on\n")
        php.stdin.flush()
        assert php.stdout.readline() == b"first half, second half\n"
        assert read(master.path("uploads", name)) == b"first half, second half"


def test_what_was_handed_on_is_closed_by_who_got_it(master, mount):
    """A child writes and closes what its parent has closed; a thread closes what another opened."""
    fd = os.open(mount.path("uploads/log.txt"), os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    child = subprocess.Popen(["sh", "-c", "read x; echo by the child"], stdin=subprocess.PIPE,
                             stdout=fd)
    os.close(fd)
    assert read(master.path("uploads/log.txt")) == b""
    child.communicate(b"go on\n")
    wait_for(lambda: read(master.path("uploads/log.txt")) == b"by the child\n", 5)
    opened = []

    def other():
        opened.append(os.open(mount.path("uploads/log.txt"), os.O_WRONLY | os.O_APPEND))
    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    os.write(opened[0], b"by a thread\n")
    os.close(opened[0])
    assert read(master.path("uploads/log.txt")) == b"by the child\nby a thread\n"


def test_two_writers_without_truncation_both_arrive(master, mount):
    """Each close() brings what its handle wrote, whoever else has the file open."""
    log = os.open(mount.path("uploads/log.txt"), os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.write(log, b"one\n")
    with open(mount.path("uploads/log.txt"), "ab") as f:
        f.write(b"two\n")
    assert read(master.path("uploads/log.txt")) == b"one\ntwo\n"
    os.write(log, b"three\n")
    os.fsync(log)
    assert read(master.path("uploads/log.txt")) == b"one\ntwo\nthree\n"
    os.write(log, b"four\n")
    os.close(log)
    assert read(master.path("uploads/log.txt")) == b"one\ntwo\nthree\nfour\n"
    os.truncate(mount.path("uploads/log.txt"), 4)
    mount.synced()
    assert read(master.path("uploads/log.txt")) == b"one\n"


def test_a_killed_writer_leaves_what_a_local_disk_would(master, mount):
    code = "import os,sys,time\nfd=os.open(sys.argv[1],os.O_RDWR)\nos.ftruncate(fd,0)\n" \
        "os.write(fd,b'half')\nprint('x',flush=True)\ntime.sleep(60)\n"
    child = subprocess.Popen(["python3", "-c", code, mount.path("uploads/page.html")],
                             stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"x\n"
    assert read(master.path("uploads/page.html")) == OLD
    child.kill()
    child.wait()
    child.stdout.close()
    wait_for(lambda: read(master.path("uploads/page.html")) == b"half", 10)
    assert read(mount.path("uploads/page.html")) == b"half"


def test_php_writers_race(site, master, mount):
    """Eight PHP processes rewrite one file under flock; the master never has a half."""
    script = """
    for ($i = 0; $i < 15; $i++) {
        $f = fopen($argv[1], "c+"); flock($f, LOCK_EX); ftruncate($f, 0);
        $line = "writer $argv[2] turn $i ";
        for ($k = 0; $k < 20; $k++) fwrite($f, str_repeat($line, 10) . "\\n");
        fflush($f); flock($f, LOCK_UN); fclose($f);
        chmod($argv[1], 0644); chmod($argv[1], 0666);
    }"""
    bad, end = [], threading.Event()

    def look():
        while not end.is_set():
            data = read(master.path("uploads/page.html"))
            lines = data.split(b"\n")
            if data != OLD and (len(lines) != 21 or len(set(lines[:20])) != 1):
                bad.append(data[:100])
    thread = threading.Thread(target=look)
    thread.start()
    try:
        children = [subprocess.Popen(["php", "-r", script, "--", mount.path("uploads/page.html"), str(i)])
                    for i in range(8)]
        for child in children:
            assert child.wait(60 * SLOW) == 0
        mount.synced()
    finally:
        end.set()
        thread.join()
    assert not bad, bad[0]
    assert tree(mount.path("uploads")) == tree(master.path("uploads"))
    assert mount.status()["conflicts"] == 0
