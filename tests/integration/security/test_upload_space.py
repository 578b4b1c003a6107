# SPDX-License-Identifier: MIT
"""What mirrors upload ahead of their operations cannot fill the master's disk."""

import os
import socket
import threading
import time

import pytest

from disk import free, small_disk
from eefs import away, content_name, read, wait_for, write

ROOT = pytest.mark.skipif(os.getuid() != 0, reason="mounts a small disk")


def staged(master):
    folder = master.path(".eefs/staging")
    return sorted(n for n in os.listdir(folder) if n.startswith("up-"))


def put(master, data, size=None, token=""):
    return master.request("PUT", "/v1/o/" + content_name(data), body=data, token=token)


@pytest.fixture
def small(site):
    """A master on a disk of 32 MB with 8 MB in reserve."""
    master = site.master(start=False)
    site.cleanups.append(small_disk(master.root, 32))
    master.options = ["--reserve", "8M", "--keep-space", "0"]
    master.add_mirror("slave1")
    master.add_mirror("slave2")
    return master.start()


def announce(master, n, size):
    """n requests that announce `size` bytes each and send none yet; their first answers, if any."""
    held, answers = [], []
    for i in range(n):
        s = socket.create_connection(("127.0.0.1", master.port), 10)
        s.sendall(("PUT /v1/o/s2-%064x HTTP/1.1\r\nHost: m\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n"
                   % (i, master.tokens["slave1"], size)).encode())
        held.append(s)
        s.settimeout(0.3)
        try:
            answers.append(s.recv(4096)[9:12])
        except TimeoutError:
            answers.append(None)
    return held, answers


@ROOT
def test_bytes_without_a_length(small):
    """A body that does not say how long it is ends before the reserve is touched."""
    master = small
    data = os.urandom(1 << 20)
    try:
        answer = master.request("PUT", "/v1/o/s2-" + "1" * 64, body=iter([data] * 40))
        assert answer.status == 507 and answer.code == "no_space"
    except OSError:
        pass  # it is sent on after the answer
    assert free(master.root) > 6 << 20
    assert master.healthy()


@ROOT
def test_many_announced_uploads(small):
    """Uploads that are announced count before their bytes are there."""
    held, answers = announce(small, 6, 5 << 20)
    try:
        assert answers[:4] == [None] * 4 and answers[5] == b"507"
    finally:
        for s in held:
            s.close()


@ROOT
def test_what_fills_the_disk_meanwhile(small):
    """A long upload is ended when others take the room that there was at its begin."""
    master = small
    answers = []

    def body():
        for i in range(20):
            if i == 4:
                write(master.path("ballast.bin"), os.urandom(15 << 20))
            yield os.urandom(1 << 20)

    def send():
        try:
            answers.append(master.request("PUT", "/v1/o/s2-" + "2" * 64, body=body(),
                                          headers={"Content-Length": str(20 << 20)}).status)
        except OSError:
            answers.append(507)

    t = threading.Thread(target=send)
    t.start()
    t.join(60)
    assert answers == [507] and free(master.root) > 6 << 20


def test_one_mirror_has_a_share(site):
    """A mirror's uploads that no operation has named are bounded; another mirror's are not touched, one
    upload alone may be larger, and what nobody has written to for long makes room."""
    master = site.master(start=False)
    master.options = ["--upload-space", "1M"]
    master.add_mirror("slave1")
    other = master.add_mirror("slave2")
    master.start()
    first, second, third = (os.urandom(400_000) for _ in range(3))
    assert put(master, first).status == put(master, second).status == 200
    answer = put(master, third)
    assert answer.status == 507 and "--upload-space" in answer.json()["error"]
    assert put(master, os.urandom(3_000_000), token=other).status == 200
    assert len(staged(master)) == 3
    old = time.time() - 120
    os.utime(master.path(".eefs/staging/up-slave1-" + content_name(first)), (old, old))
    assert put(master, third).status == 200
    assert "up-slave1-" + content_name(first) not in staged(master)
    assert "up-slave1-" + content_name(second) in staged(master)


def test_a_mirror_gets_through_a_small_share(site):
    """A mirror with more pending than its share sends it all the same, a part at a time."""
    master = site.master(start=False)
    master.options = ["--upload-space", "1M"]
    master.add_mirror("slave1")
    master.start()
    link = site.link(master)
    mount = site.mount(master, "slave1", url=link.url)
    link.cut()
    away(mount)
    files = {"uploads/%d.bin" % i: os.urandom(600_000) for i in range(3)}
    files["uploads/large.bin"] = os.urandom(4_000_000)
    for path, data in files.items():
        write(mount.path(path), data)
    link.restore()
    wait_for(lambda: all(os.path.exists(master.path(p)) for p in files), 60)
    for path, data in files.items():
        assert read(master.path(path)) == data
    wait_for(lambda: mount.status()["state"] == "OK", 30)
    assert staged(master) == []


@pytest.mark.parametrize("serving", [False, pytest.param(True, marks=pytest.mark.long)])
def test_old_uploads_go_within_the_hour(site, serving):
    """What nobody has written to for an hour is removed: at the start, and within a minute while the
    master serves."""
    master = site.master()
    master.add_mirror("slave1")
    old, new = os.urandom(100_000), os.urandom(100_000)
    assert put(master, old).status == put(master, new).status == 200
    path = master.path(".eefs/staging/up-slave1-" + content_name(old))
    os.utime(path, (time.time() - 3600,) * 2)
    if not serving:
        master.stop()
        master.start()
    wait_for(lambda: staged(master) == ["up-slave1-" + content_name(new)], 90)
