# SPDX-License-Identifier: MIT
"""st_dev and st_ino: a version that came from the master is another file, and nothing else is."""

import os
import random
import shutil
import subprocess
import threading
import time

import pytest

from eefs import free_port, read, wait_for, write


@pytest.fixture
def master(site):
    master = site.master(start=False)
    write(master.path("uploads/a.log"), "one\n")
    write(master.path("uploads/b.txt"), "other\n")
    return master.start()


@pytest.fixture
def mount(site, master):
    return site.mount(master)


def ino(mount, path):
    st = os.lstat(mount.path(path))
    assert st.st_ino > 1
    return st.st_ino


def listed_ino(mount, path):
    with os.scandir(os.path.dirname(mount.path(path))) as entries:
        return next(e.inode() for e in entries if e.name == os.path.basename(path))


def comes(mount, path, data):
    wait_for(lambda: read(mount.path(path)) == data, 10, path)


@pytest.mark.san
def test_a_version_from_the_master_is_another_file(site, master, mount):
    a = "uploads/a.log"
    first = ino(mount, a)
    with open(mount.path(a), "rb") as f:
        write(master.path(a), "two\n", "ab")  # in place
        comes(mount, a, b"one\ntwo\n")
        second = ino(mount, a)
        assert os.fstat(f.fileno()).st_ino == first != second == listed_ino(mount, a)
        assert f.read() == b"one\n"
    write(master.path("uploads/new"), "three\n")
    os.rename(master.path("uploads/new"), master.path(a))
    comes(mount, a, b"three\n")
    third = ino(mount, a)
    assert third not in (first, second) and third == listed_ino(mount, a)

    os.chmod(master.path(a), 0o600)  # metadata only
    wait_for(lambda: os.stat(mount.path(a)).st_mode & 0o777 == 0o600, 10)
    os.utime(master.path(a), (5, 5))
    wait_for(lambda: os.stat(mount.path(a)).st_mtime == 5, 10)
    assert ino(mount, a) == third

    with open(mount.path(a), "ab") as f:  # a change of our own, and its echo
        f.write(b"here\n")
    mount.synced()
    assert ino(mount, a) == third == listed_ino(mount, a)
    os.rename(mount.path(a), mount.path("uploads/c.log"))
    mount.synced()
    write(master.path("uploads/later"), "x")
    comes(mount, "uploads/later", b"x")
    assert ino(mount, "uploads/c.log") == third == listed_ino(mount, "uploads/c.log")
    numbers = {p: ino(mount, p) for p in ("uploads", "uploads/c.log", "uploads/b.txt")}
    mount.stop()
    mount.start()
    assert numbers == {p: ino(mount, p) for p in numbers}


def test_links_and_folders(master, mount):
    os.symlink("a.log", master.path("uploads/link"))
    os.mkdir(master.path("uploads/d"))
    wait_for(lambda: os.path.isdir(mount.path("uploads/d"))
             and os.path.islink(mount.path("uploads/link")), 10)
    link, folder = ino(mount, "uploads/link"), ino(mount, "uploads/d")
    os.symlink("b.txt", master.path("uploads/tmp"))
    os.rename(master.path("uploads/tmp"), master.path("uploads/link"))
    write(master.path("uploads/d/x"), "x")
    os.chmod(master.path("uploads/d"), 0o700)
    wait_for(lambda: os.readlink(mount.path("uploads/link")) == "b.txt"
             and os.stat(mount.path("uploads/d")).st_mode & 0o777 == 0o700, 10)
    assert ino(mount, "uploads/link") != link and ino(mount, "uploads/d") == folder


@pytest.mark.parametrize("how", ["rename", "in place", "here"])
def test_tail_follows(site, master, mount, how):
    path = "uploads/a.log"
    assert read(mount.path(path)) == b"one\n"
    out = open(os.path.join(site.base, "tail.out"), "wb")
    tail = subprocess.Popen(["tail", "-F", "-s", "0.1", mount.path(path)], stdout=out,
                            stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: b"one\n" in read(out.name), 10)
        for i in range(3):
            line = b"line %d\n" % i
            if how == "rename":
                write(master.path("uploads/.new"), line)
                os.rename(master.path("uploads/.new"), master.path(path))
            else:
                write((mount if how == "here" else master).path(path), line, "ab")
            wait_for(lambda: line in read(out.name), 10, "what tail -F says: %r" % read(out.name))
    finally:
        tail.kill()
        tail.wait()
        out.close()


def fetch(url):
    """(announced length, bytes) of one answer; a truncated one raises."""
    out = subprocess.run(["curl", "-sS", "-f", "--max-time", "5", "-o", "-", "-D", "/dev/stderr", url],
                         capture_output=True, timeout=20)
    assert out.returncode == 0, (out.returncode, out.stderr)
    return out.stdout


@pytest.mark.skipif(not shutil.which("nginx"), reason="needs nginx")
def test_nginx_with_open_file_cache(site, master, mount):
    """Each answer is one version, also where nginx keeps the file open."""
    port, base = free_port(), os.path.join(site.base, "nginx")
    os.makedirs(base)
    write(base + "/nginx.conf", """
        daemon off; pid %(b)s/pid; error_log %(b)s/error.log; worker_processes 1;
        events { worker_connections 64; }
        http { access_log off; sendfile on; open_file_cache max=100 inactive=60s;
               open_file_cache_valid 1s; client_body_temp_path %(b)s/t1; proxy_temp_path %(b)s/t2;
               fastcgi_temp_path %(b)s/t3; uwsgi_temp_path %(b)s/t4; scgi_temp_path %(b)s/t5;
               server { listen 127.0.0.1:%(p)d; root %(r)s; } }"""
          % {"b": base, "p": port, "r": mount.point})
    user = ["-g", "user root;"] if os.getuid() == 0 else []
    nginx = site.spawn("nginx", ["nginx", "-p", base, "-c", base + "/nginx.conf", *user])
    url = "http://127.0.0.1:%d/uploads/a.log" % port
    versions = [b"one\n"]

    def answers():
        try:
            return fetch(url)
        except AssertionError:
            assert nginx.running(), nginx.log()
            return None

    wait_for(lambda: answers() == b"one\n", 10)
    for i in range(4):
        new = os.urandom(10_000 if i % 2 else 3_000_000)
        if i < 2:
            write(master.path("uploads/.new"), new)
            os.rename(master.path("uploads/.new"), master.path("uploads/a.log"))
        else:
            write(master.path("uploads/a.log"), new)
        versions.append(new)
        end = time.monotonic() + 15
        while (got := fetch(url)) != new:
            assert got in versions and time.monotonic() < end, (len(got), i)
    nginx.stop()


def test_numbers_are_unique(site, master):
    """Random changes on the master and two mirrors: no number twice, and a number never shows
    another version than the one that it was shown with, except for what is changed here."""
    mounts = [site.mount(master, "slave1"), site.mount(master, "slave2")]
    rng = random.Random(5)
    names = ["uploads/%s" % c for c in "abcdef"] + ["uploads/d/%s" % c for c in "abc"]

    def change(point, i):
        a, b = (os.path.join(point, n) for n in rng.sample(names, 2))
        try:
            kind = rng.choice(["write", "append", "rename", "unlink", "replace"])
            if kind == "write":
                write(a, "%d" % i)
            elif kind == "append":
                write(a, "+%d" % i, "ab")
            elif kind == "rename":
                os.rename(a, b)
            elif kind == "unlink":
                os.unlink(a)
            else:
                write(a + ".new", "%d" % i)
                os.rename(a + ".new", b)
        except OSError:
            pass

    for i in range(120):
        change(rng.choice([master.root, mounts[0].point, mounts[1].point]), i)
        if i % 10:
            continue
        for m in mounts:
            seen = {}
            for top, _, files in os.walk(m.point):
                for name in files:
                    path = os.path.join(top, name)
                    try:
                        st = os.lstat(path)
                    except FileNotFoundError:
                        continue
                    seen.setdefault(st.st_ino, set()).add(path)
            # a rename may show one file under both names
            twice = {k: v for k, v in seen.items() if len(v) > 1}
            for number, paths in twice.items():
                wait_for(lambda: sum(os.path.lexists(p) and os.lstat(p).st_ino == number
                                     for p in paths) < 2, 10, "one name for %s" % paths)
    for m in mounts:
        m.synced()
        for path in names:
            if os.path.exists(m.path(path)):
                assert ino(m, path) == listed_ino(m, path)
