# SPDX-License-Identifier: MIT
"""Who has no token cannot take the master's memory, time or connections from those who have one."""

import socket
import threading
import time

import pytest

from eefs import read, wait_for, write

HALF = b"GET /v1/hello HTTP/1.1\r\nHost: m\r\nX-Slow: "


def rss(process):
    with open("/proc/%d/status" % process.popen.pid, encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS:")) * 1024


def connect(master):
    s = socket.create_connection(("127.0.0.1", master.port), 10)
    s.settimeout(30)
    return s


def ended(s):
    """Whether the other side closed the connection."""
    s.setblocking(False)
    try:
        return s.recv(4096) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def answers_at_once(master, token):
    """The slowest of some requests, seconds."""
    slowest = 0
    for _ in range(20):
        begin = time.monotonic()
        assert master.get("/v1/hello", token=token).status == 200
        slowest = max(slowest, time.monotonic() - begin)
    return slowest


@pytest.mark.parametrize("method,path,token", [
    ("POST", "/healthz", None), ("GET", "/healthz", None), ("PUT", "/healthz", None), ("POST", "/v1/ops", "wrong"),
    *(pytest.param(*request, marks=pytest.mark.long) for request in (
        ("POST", "/v1/state", None), ("PUT", "/v1/o/s2-" + "0" * 64, "wrong"), ("GET", "/v1/hello", "wrong"),
        ("POST", "/nowhere", None)))])
def test_no_body_without_a_token(site, method, path, token):
    """A body is not read of who has no token: 40 connections with as much as they get rid of."""
    master = site.master()
    before = rss(master.process)
    head = "%s %s HTTP/1.1\r\nHost: m\r\nTransfer-Encoding: chunked\r\n%s\r\n" % (
        method, path, "Authorization: Bearer %s\r\n" % token if token else "")
    piece = b"10000\r\n" + bytes(0x10000) + b"\r\n"

    def flood():
        try:
            with connect(master) as s:
                s.settimeout(2)
                s.sendall(head.encode())
                for _ in range(128):
                    s.sendall(piece)
        except OSError:
            pass  # refused

    threads = [threading.Thread(target=flood) for _ in range(40)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert rss(master.process) - before < 40 << 20
    assert master.healthy()


def test_bodies_have_limits(site):
    """A report, or a request of many operations, that is too large is refused, announced or not."""
    master = site.master()
    master.add_mirror("slave1")
    for path, size in (("/v1/state", 300_000), ("/v1/ops", 9_000_000)):
        assert master.request("POST", path, body=b" " * size).status == 413
        assert master.request("POST", path,
                              body=iter([b" " * 100_000] * (size // 100_000 + 1))).status == 413
    assert master.request("POST", "/v1/state", body=b"{}").status == 200


def test_half_requests_starve_nobody(site):
    """1,100 connections that send half of a request and stay: others are answered at once, and a mirror
    goes on."""
    master = site.master()
    token = master.add_mirror("slave1")
    mount = site.mount(master, "slave1")
    held = []
    try:
        for i in range(1100):
            held.append(connect(master))
            held[-1].sendall(HALF + (b"x" if i % 2 else b""))
            if i % 100 == 99:
                assert answers_at_once(master, token) < 2
        write(mount.path("uploads/a.txt"), "a")
        assert read(master.path("uploads/a.txt")) == b"a"
        wait_for(lambda: sum(map(ended, held)) > 900, 10)
    finally:
        for s in held:
            s.close()
    wait_for(lambda: "closed to make room" in master.process.log(), 5)


@pytest.mark.long
def test_headers_have_a_deadline(site):
    """A request that does not come to an end, however many bytes trickle in, is ended after 10 s."""
    master = site.master()
    s, silent = connect(master), connect(master)
    s.sendall(HALF)
    begin = time.monotonic()

    def trickle():
        try:
            s.settimeout(1)
            s.sendall(b"x")
        except OSError:
            return True
        return ended(s)

    wait_for(trickle, 20, "the end of a slow request")
    assert 8 < time.monotonic() - begin
    wait_for(lambda: ended(silent), 5, "the end of a silent connection")


@pytest.mark.long
def test_bodies_have_a_deadline(site):
    """A body that comes slower than 1 KB/s is not waited for, a slow one that is faster is."""
    master = site.master()
    token = master.add_mirror("slave1")
    head = ("POST /v1/state HTTP/1.1\r\nHost: m\r\nAuthorization: Bearer %s\r\nContent-Length: 100000\r\n\r\n"
            % token).encode()
    slow, fast = connect(master), connect(master)
    slow.sendall(head)
    fast.sendall(head + b" " * 40000)
    begin, sent = time.monotonic(), 40000
    with pytest.raises(OSError):
        while time.monotonic() - begin < 40:
            slow.sendall(b" ")
            if sent < 99998:
                fast.sendall(b" " * 100)
                sent += 100
            time.sleep(0.1)
            if ended(slow):
                raise OSError
            slow.settimeout(5)
    assert 15 < time.monotonic() - begin < 35
    fast.settimeout(20)
    fast.sendall(b" " * (99998 - sent) + b"{}")
    assert fast.recv(100).startswith(b"HTTP/1.1 200")


def test_wrong_tokens_wait(site):
    """Who tries tokens gets one answer a second after the first ten; the right token is answered at once."""
    master = site.master()
    token = master.add_mirror("slave1")
    begin = time.monotonic()
    for i in range(10):
        assert master.get("/v1/hello", token="eefs_%d" % i).status == 401
    assert time.monotonic() - begin < 5
    stop = threading.Event()

    def guess():
        while not stop.is_set():
            begin = time.monotonic()
            assert master.get("/v1/hello", token="eefs_x").status == 401
            took.append(time.monotonic() - begin)

    took = []
    threads = [threading.Thread(target=guess) for _ in range(4)]
    for t in threads:
        t.start()
    try:
        slowest = answers_at_once(master, token)
        wait_for(lambda: len(took) >= 4, 10)
    finally:
        stop.set()
        for t in threads:
            t.join()
    assert min(took) > 0.8 and slowest < 0.8
    answer = master.request("PUT", "/v1/o/s2-" + "0" * 64, token="wrong", body=b"x" * 1000)
    assert answer.status == 401


def test_one_mirror_cannot_take_all(site):
    """More than 128 requests of one mirror at once are refused; another mirror is served."""
    master = site.master()
    token, other = master.add_mirror("slave1"), master.add_mirror("slave2")
    _, cursor = master.changes(token=token)
    poll = ("GET /v1/changes?since=%s&wait=50 HTTP/1.1\r\nHost: m\r\nAuthorization: Bearer %s\r\n\r\n"
            % (cursor, token)).encode()
    held = []
    try:
        for _ in range(127):
            held.append(connect(master))
            held[-1].sendall(poll)
        assert master.get("/v1/hello", token=token).status == 200

        def refused():  # one more each time, for some may have been answered by now
            held.append(connect(master))
            held[-1].sendall(poll)
            answer = master.get("/v1/hello", token=token)
            return answer.status == 503 and b"at once" in answer.body

        wait_for(refused, 10)
        assert master.get("/v1/hello", token=other).status == 200
    finally:
        for s in held:
            s.close()
    write(master.path("a.txt"), "a")  # the polls are answered, and over
    wait_for(lambda: master.get("/v1/hello", token=token).status == 200, 10)
