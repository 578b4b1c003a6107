# SPDX-License-Identifier: MIT
"""A change that does not go through, for whatever reason and as long as that lasts: who closed it waits
for 5 s without progress and no longer, all others go on, status names it, and it goes through by itself
once it can. Every case has a mirror of its own, side by side."""

import json
import os
import threading
import time

import pytest

from eefs import SCOPE, SLOW, content_name, read, tree, wait_for, write
from peer import Peer, honest, wrong_bytes

JSON = [("Content-Type", "application/json")]
HTML = [("Content-Type", "text/html")]
BIG = os.urandom(300_000)  # beyond what an operation carries


def refusal(status, code="bad_request"):
    return status, JSON, json.dumps({"code": code, "error": "for a test"}).encode()


def page(status):
    return status, HTML, b"<h1>no</h1>"


def answers(*list_):
    return 200, JSON, json.dumps({"answers": list_, "head": 1}).encode()


def later(code):
    return lambda op: answers({"n": op["n"], "result": "later", "code": code, "error": "for a test"})


def reset(x):
    x.receive(x.length // 2)
    x.reset()


def close_at_once(x):
    x.reset()


# What is answered to a request that bears the bad operation (a function of it), or done with the exchange.
OPS = {
    "400": lambda op: refusal(400),
    "413": lambda op: refusal(413, "too_large"),
    "404": lambda op: refusal(404, "not_found"),
    "409": lambda op: refusal(409, "strange"),
    "500": lambda op: refusal(500, "strange"),
    "507-page": lambda op: page(507),
    "403-page": lambda op: page(403),
    "502-page": lambda op: page(502),
    "no-answers": lambda op: answers(),
    "answers-of-another": lambda op: answers({"n": op["n"] + 1000, "result": "done"}),
    "not-an-answer": lambda op: answers("what?"),
    "not-json": lambda op: (200, JSON, b"{{{"),
    "later-io": later("io"),
    "later-busy": later("busy"),
    "later-new-word": later("moon"),
    "later-no-space": later("no_space"),
    "reset": reset,
}
# The same for its content.
PUTS = {
    "put-422": lambda: refusal(422, "digest"),
    "put-409": lambda: (409, JSON, b'{"code":"offset","error":"for a test","have":0}'),
    "put-409-far": lambda: (409, JSON, b'{"code":"offset","error":"for a test","have":299999}'),
    "put-507": lambda: refusal(507, "no_space"),
    "put-413-page": lambda: page(413),
    "put-reset": reset,
    "put-taken-and-forgotten": lambda: (200, JSON, b'{"have":300000}'),
}


class Case:
    def __init__(self, site, master, name):
        self.site, self.master, self.name = site, master, name
        self.folder = "uploads/" + name
        self.bad = BIG + name.encode() if name in PUTS else b"bad"
        self.edited = self.bad + b", edited"
        self.peer = Peer(master.port)
        site.links.append(self.peer)
        self.mount = site.mount(master, name, url=self.peer.url, private="none", prefetch="none")
        os.mkdir(self.mount.path(self.folder))
        self.mount.synced()
        self.took = {}
        self.errors = []

    def fault(self, x):
        if x.ops and self.name in OPS:
            bad = [op for op in json.loads(x.receive())["ops"] if op["path"].endswith("/bad")]
            if bad and OPS[self.name] is reset:
                reset(x)
            if bad:
                return x.answer(OPS[self.name](bad[0]))
        # The edited one too: it may take the place of the first, whose content is being tried again.
        if x.method == "PUT" and self.name in PUTS and any(content_name(c) in x.path for c in (self.bad, self.edited)):
            if PUTS[self.name] is reset:
                reset(x)
            x.receive()
            return x.answer(PUTS[self.name]())
        return honest(x)

    def work(self, name, data):
        begin = time.monotonic()
        try:
            write(self.mount.path(self.folder, name), data)
        except OSError as error:
            self.errors.append(error)
        self.took[name] = time.monotonic() - begin

    def begin(self):
        self.peer.set(self.fault, keep=True)
        self.threads = [threading.Thread(target=self.work, args=("bad", self.bad))]
        self.threads[0].start()
        wait_for(lambda: self.mount.status()["pending"] > 0 or self.took, 20)
        self.threads += [threading.Thread(target=self.work, args=("good%d" % i, b"good %d" % i))
                         for i in range(5)]
        for thread in self.threads[1:]:
            thread.start()

    def check_while_it_lasts(self):
        for thread in self.threads:
            thread.join(60 * SLOW)
            assert not thread.is_alive(), "close() of %s hangs: %s" % (self.name, self.took)
        assert self.errors == []
        # 5 s without progress; its content may have been sent once before that.
        assert max(self.took.values()) < 9 * SLOW, (self.name, self.took)
        for i in range(5):
            wait_for(lambda i=i: read(self.master.path(self.folder, "good%d" % i)) == b"good %d" % i, 30,
                     "%s: the others go on" % self.name)
        # (Where its connection breaks the master is away for a moment, again and again.)
        # A file is at the master a moment before its answer is here: the others count as pending up to then.
        status = wait_for(lambda: (lambda s: s["deferred"] and s["state"] == "DEGRADED" and s["pending"] == 1 and s)(
            self.mount.status()), 30, "%s: nothing else waits" % self.name)
        assert self.folder + "/bad" in status["reason"], status
        assert status["action"] and status["quarantined"] == 0
        # What depends on it waits with it, and close() of that does not wait for nothing.
        begin = time.monotonic()
        write(self.mount.path(self.folder, "bad"), self.edited)
        assert time.monotonic() - begin < 9 * SLOW
        assert not os.path.exists(self.master.path(self.folder, "bad"))

    def check_afterwards(self):
        if self.name != list(OPS)[0]:  # that one waits for its time, the others are asked to
            self.site.run("eefs-status", "--retry", self.mount.point)
        wait_for(lambda: self.mount.status()["pending"] == 0, 60, self.name)
        assert read(self.master.path(self.folder, "bad")) == self.edited
        wait_for(lambda: self.mount.status()["state"] == "OK", 30)
        assert self.mount.status()["conflicts"] == 0


def check_listed(case):
    """Also at a moment at which it is being retried."""
    out = case.site.run("eefs-status", "--quarantine", "--json", case.mount.point, check=False)
    listed = json.loads(out.stdout)["mounts"][0]["quarantine_list"]
    assert any(q["path"].endswith("/bad") and q["deferred"] and q["error"] for q in listed), (case.name, listed)


def run(site, names):
    master = site.master(start=False)
    os.mkdir(master.path("uploads"))
    master.start()
    cases = [Case(site, master, name) for name in names]
    for case in cases:
        case.begin()
    for case in cases:
        case.check_while_it_lasts()
        check_listed(case)
        if case is cases[0]:
            assert "retried automatically" in site.run("eefs-status", "--quarantine", case.mount.point,
                                                       check=False).stdout
        case.peer.set(None)  # the first one's time comes while the others are looked at
    for case in cases:
        case.check_afterwards()
    whole = tree(master.root, scope=SCOPE)
    for case in cases:
        wait_for(lambda case=case: tree(case.mount.point) == whole, 30)


def test_what_is_not_taken(site):
    """An operation, or its content."""
    run(site, [*OPS, *PUTS])


def test_no_more_than_ten_seconds_for_umount(site):
    """And what was closed is sent after the next mount."""
    master = site.master(start=False)
    os.mkdir(master.path("uploads"))
    master.start()
    case = Case(site, master, "400")
    case.begin()
    case.check_while_it_lasts()
    begin = time.monotonic()
    case.mount.stop()
    assert time.monotonic() - begin < 12 * SLOW
    case.peer.set(None)
    case.mount.start()
    case.mount.synced()
    assert read(master.path("uploads/400/bad")) == b"bad, edited"


@pytest.mark.parametrize("fault", [close_at_once, reset])
def test_a_way_that_breaks_everything_blames_nobody_for_long(site, fault):
    """Whatever is sent is lost: close() ends, and all arrives when the way is good again."""
    master = site.master(start=False)
    os.mkdir(master.path("uploads"))
    master.start()
    peer = Peer(master.port)
    site.links.append(peer)
    mount = site.mount(master, url=peer.url, private="none")
    peer.set(lambda x: fault(x) if x.ops or x.method == "PUT" else honest(x), keep=True)
    begin = time.monotonic()
    threads = [threading.Thread(target=write, args=(mount.path("uploads/%d" % i), b"%d" % i if i else BIG))
               for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60 * SLOW)
        assert not thread.is_alive()
    assert time.monotonic() - begin < 20 * SLOW
    peer.set(None)
    mount.synced()
    assert tree(mount.path("uploads")) == tree(master.path("uploads"))


def test_the_master_refuses_one_that_it_does_not_understand(site):
    """By itself: what comes before it is done, and so is what comes next."""
    master = site.master(start=False)
    os.mkdir(master.path("uploads"))
    master.add_mirror("slave1")
    master.start()
    good = {"op": "mkdir", "mode": 0o755, "mtime": 1}
    for n, bad in enumerate([{"op": "fly", "path": "uploads/x"}, {"op": "put", "path": "uploads/x"},
                             {"op": "mkdir", "path": "uploads/%00"}, {"op": "mkdir", "path": "/".join(["x" * 200] * 21)},
                             {"op": "symlink", "path": "uploads/l", "target": "t" * 4096, "mtime": 1},
                             {"op": "mkdir", "path": "uploads/m", "mode": 1 << 20}]):
        n *= 10
        answer = master.ops("ab" * 16, dict(good, n=n + 1, path="uploads/a%d" % n), dict(bad, n=n + 2),
                            dict(good, n=n + 3, path="uploads/b%d" % n))
        assert answer.status == 200, answer.body
        told = answer.json()["answers"]
        assert [a["result"] for a in told] == ["done", "refused"] and told[1]["n"] == n + 2, told
        answer = master.ops("ab" * 16, dict(good, n=n + 3, path="uploads/b%d" % n))
        assert answer.json()["answers"][0]["result"] == "done"


def test_links_to_far_away(site):
    """Linux takes targets of up to 4095 bytes: made on either side they are on the other."""
    master = site.master(start=False)
    os.mkdir(master.path("uploads"))
    lengths = [1, 3999, 4000, 4001, 4050, 4095]
    for n in lengths[:3]:
        os.symlink("m" * n, master.path("uploads/early%d" % n))
    master.start()
    mount = site.mount(master)
    for n in lengths:
        os.symlink("m" * n, master.path("uploads/master%d" % n))
        os.symlink("s" * n, mount.path("uploads/mirror%d" % n))
        os.symlink("%FF\xff" * max(1, n // 5), mount.path("uploads/strange%d" % n))
    write(mount.path("uploads/after.txt"), "after")
    assert read(master.path("uploads/after.txt")) == b"after"
    wait_for(lambda: tree(mount.point) == tree(master.root), 20)
    assert mount.status()["state"] in ("OK", "SYNCING")


def test_wrong_tokens_leave_a_trace(site):
    master = site.master()
    for i in range(5):
        assert master.get("/v1/hello", token="wrong%d" % i).status == 401
    assert master.get("/v1/hello", token=None).status == 401
    wrong = master.control()["wrong_tokens"]
    assert wrong["count"] == 6 and wrong["last"] == "127.0.0.1"
    assert master.process.log().count("from 127.0.0.1") == 1  # once a minute
    assert "without a valid one" in site.run("eefs-status", check=False).stdout
    mount = site.mount(master)
    site.run("eefs-master", "mirror", "remove", "slave1", "--state", master.state)
    write(master.path("wakes.txt"), "the poll")
    status = wait_for(lambda: (lambda s: s["state"] == "ISOLATED" and s)(mount.status()), 70)
    assert status["reason"].count("does not know this token") == 1 and "token_file" in status["action"]
    assert mount.process.log().count("does not know this token") == 1


def test_a_content_that_comes_damaged_is_reported(site):
    master = site.master(start=False)
    write(master.path("img/a.png"), os.urandom(5000))
    master.start()
    peer = Peer(master.port)
    site.links.append(peer)
    mount = site.mount(master, url=peer.url, prefetch="none", private="none")
    peer.set(wrong_bytes)
    with pytest.raises(OSError):
        read(mount.path("img/a.png"))
    status = wait_for(lambda: (lambda s: "damaged" in s["reason"] and s)(mount.status()), 20)
    assert status["state"] == "DEGRADED" and "img/a.png" in status["reason"] and status["action"]
    assert peer.url in status["reason"]
    assert mount.process.log().count("arrived damaged") == 1
    peer.set(None)
    wait_for(lambda: read(mount.path("img/a.png")) == read(master.path("img/a.png")), 20)
    wait_for(lambda: mount.status()["state"] == "OK", 20)
