# SPDX-License-Identifier: MIT
"""A feed with lines that a mirror cannot take, and one without an end: what is wrong is left out by
itself, listed and taken later; nothing else is lost; and nothing goes on for ever."""

import json
import os
import random
import subprocess
import time

import pytest

from eefs import SLOW, content_name, read, tree, wait_for, write
from peer import Peer, honest

FILE = {"type": "file", "seq": 5, "size": 1, "mtime": 1, "mode": 420, "hash": content_name(b"x")}


def with_path(path, **more):
    return json.dumps(dict(FILE, path=path, **more), separators=(",", ":")).encode()


BAD = [
    with_path("/".join(["x" * 200] * 20)),  # 4019 bytes
    with_path("a" * 256),
    with_path("."), with_path(".."), with_path("a/../b"), with_path("/abs"), with_path("a//b"), with_path(""),
    with_path("nul%00"), with_path("bad%zz"),
    with_path("m1", mode=-1), with_path("m2", mode=65536), with_path("m3", mode="x"),
    with_path("s1", size=-1), with_path("s2", size=1.5), with_path("s3", size=None),
    with_path("h1", hash="s2-12"), with_path("h2", hash="s9-" + "0" * 64),
    with_path("q1", seq=-1), with_path("t1", type="socket"), with_path("t2", type=None), with_path("t3", mtime="now"),
    with_path("u1", type="link"), with_path("u2", type="link", target=""), with_path("u3", type="link", target="t" * 4096),
    with_path("big").replace(b'"mtime":1', b'"mtime":99999999999999999999'),
    b"[]", b"{}", b"null", b"{{{", b'"text"', b"\xff\xfe", b'{"path":"a\\u0000b"}',
    b'{"path":"' + b"x" * 400_000 + b'"}',
]


@pytest.fixture
def master(site):
    master = site.master(start=False)
    write(master.path("css/a.css"), "body{}")
    for i in range(20):
        write(master.path("img/%d.png" % i), os.urandom(300))
    os.mkdir(master.path("uploads"))
    master.add_mirror("slave1", "--write", "/")  # so that modes are those of the master
    return master.start()


@pytest.fixture
def line(site, master):
    line = Peer(master.port)
    site.links.append(line)
    return line


def changing(edit):
    """A fault that edits the lines of feed pages."""
    def fault(x):
        if not x.path.startswith("/v1/changes"):
            return honest(x)
        status, headers, data = x.forward()
        if status == 200 and data:
            *lines, end = data.splitlines()
            data = b"\n".join(edit(lines) + [end, b""])
        return x.answer((status, headers, data))
    return fault


def reset_first(edit):
    """The next poll is answered with a reset; the listing after it is edited."""
    state = {"reset": False}

    def fault(x):
        if x.path.startswith("/v1/changes") and not state["reset"] and "since=&" not in x.path:
            state["reset"] = True
            body = json.dumps({"code": "reset", "error": "for a test"}).encode()
            return x.answer((409, [("Content-Type", "application/json")], body))
        return changing(edit)(x)
    return fault


def degraded(mount):
    return wait_for(lambda: (lambda s: s["skipped"] and s["state"] == "DEGRADED" and s)(mount.status()), 20)


def in_order(mount):
    wait_for(lambda: (lambda s: not s["skipped"] and s["state"] == "OK")(mount.status()), 20)


def test_bad_lines_in_the_feed(site, master, line):
    mount = site.mount(master, url=line.url, private="none")
    line.set(changing(lambda lines: lines + BAD if lines else lines))
    write(master.path("css/b.css"), "new")
    wait_for(lambda: read(mount.path("css/b.css")) == b"new", 20)
    status = degraded(mount)
    assert "cannot be applied" in status["reason"] and status["action"]
    names = {s["path"] for s in status["skipped_list"]}
    assert {"m1", "s1", "h1", "t1", "u3", "nul%2500", "big"} <= names, names
    assert len(status["skipped_list"]) <= 50 and status["skipped"] >= 25
    assert tree(mount.point) == tree(master.root)
    out = site.run("eefs-status", mount.point, check=False)
    assert "not taken" in out.stdout and "t1" in out.stdout
    # A remount asks for everything once more.
    mount.stop()
    line.set(None)
    mount.start()
    in_order(mount)
    assert tree(mount.point) == tree(master.root)


def test_bad_lines_in_the_first_listing(site, master, line):
    line.set(changing(lambda lines: BAD[:5] + lines + BAD[5:]))
    mount = site.mount(master, url=line.url, private="none")
    assert tree(mount.point) == tree(master.root)
    degraded(mount)


def test_taken_when_it_becomes_valid(site, master, line):
    mount = site.mount(master, url=line.url, private="none")

    def edit(lines):
        return [json.dumps(dict(json.loads(l), type="socket")).encode() if b"css/late.css" in l else l for l in lines]

    line.set(changing(edit))
    write(master.path("css/late.css"), "late")
    status = degraded(mount)
    assert status["skipped"] == 1 and "css/late.css" in status["reason"] and "socket" in status["reason"]
    assert sorted(os.listdir(mount.path("css"))) == ["a.css"]
    line.set(None)
    write(master.path("css/late.css"), "later")
    wait_for(lambda: read(mount.path("css/late.css")) == b"later", 20)
    in_order(mount)


def test_unknown_is_never_absent(site, master, line):
    """A listing that cannot tell of a path does not remove it."""
    mount = site.mount(master, url=line.url, private="none")
    before = tree(mount.point)

    def edit(lines):
        return [l.replace(b'"mode"', b'"mood"') if b'"img/3.png"' in l else l for l in lines]

    line.set(reset_first(edit))
    os.unlink(master.path("img/4.png"))
    wait_for(lambda: not os.path.exists(mount.path("img/4.png")), 20)
    status = degraded(mount)
    assert status["skipped"] == 1 and "img/3.png" in status["reason"]
    assert read(mount.path("img/3.png")) == before[b"img/3.png"][3]
    # A line of which not even the path is known: nothing is removed that is not listed.
    line.set(reset_first(lambda lines: [b"garbage" if b'"img/5.png"' in l else l for l in lines]))
    wait_for(lambda: mount.status()["skipped_list"] and mount.status()["skipped_list"][0]["path"] == "", 20)
    assert read(mount.path("img/5.png")) == before[b"img/5.png"][3]
    line.set(reset_first(lambda lines: lines))
    in_order(mount)
    assert tree(mount.point) == tree(master.root)


@pytest.mark.parametrize("parent", ["missing", "file"])
def test_an_entry_without_its_folder(site, master, line, parent):
    mount = site.mount(master, url=line.url, private="none")
    child = b'{"path":"new/child.txt"'

    def edit(lines):
        out = [l for l in lines if b'{"path":"new",' not in l]
        if parent == "file" and len(out) < len(lines):
            out.insert(0, with_path("new", seq=1))
        return out

    line.set(changing(edit))
    write(master.path("new/child.txt"), "child")
    status = degraded(mount)
    assert "new/child.txt" in status["reason"] and "folder" in status["reason"]
    assert child and not os.path.exists(mount.path("new/child.txt"))
    assert "img" in os.listdir(mount.point)
    line.set(None)
    os.chmod(master.path("new"), 0o700)
    wait_for(lambda: read(mount.path("new/child.txt")) == b"child", 20)
    in_order(mount)


@pytest.mark.parametrize("cursor", ["", "x", "0" * 127, "0" * 5000, "zz.1.1", "%s.9223372036854775807.%d", "%s.5.%d.5",
                                    "%s.5.%d ", "a b", "a b\nc", "a#b", "a%%", "\x7f\xe9", "../../v1/hello"])
def test_a_cursor_that_is_none(site, master, line, cursor):
    """It is never kept: the mirror goes on when the master is well again, and after a remount."""
    mount = site.mount(master, url=line.url, private="none")
    seen = []

    def fault(x):
        if not x.path.startswith("/v1/changes"):
            return honest(x)
        status, headers, data = x.forward()
        if status == 200:
            *lines, end = data.splitlines()
            good = json.loads(end)["commit"].split(".")
            bad = cursor % (good[0], int(good[2])) if "%s" in cursor else cursor
            data = b"\n".join(lines + [json.dumps({"commit": bad}).encode(), b""])
            seen.append(bad)
        return x.answer((status, headers, data))

    line.set(fault)
    write(master.path("css/b.css"), "b")
    wait_for(lambda: seen, 20)
    mount.stop()
    line.set(None)
    mount.start()
    wait_for(lambda: read(mount.path("css/b.css")) == b"b", 20)
    wait_for(lambda: mount.status()["state"] == "OK", 20)


def test_numbers_from_the_future_do_not_stick(site, master, line):
    mount = site.mount(master, url=line.url, private="none")
    line.set(changing(lambda lines: [json.dumps(dict(json.loads(l), seq=2**62)).encode() for l in lines]))
    write(master.path("css/a.css"), "second")
    wait_for(lambda: read(mount.path("css/a.css")) == b"second", 20)
    line.set(None)
    write(master.path("css/a.css"), "third")
    wait_for(lambda: read(mount.path("css/a.css")) == b"third", 20)


def mutate(rng, line_):
    data = bytearray(line_)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data)) if data else 0
        kind = rng.randrange(6)
        if kind == 0 and data:
            data[at] = rng.randrange(256)
        elif kind == 1 and data:
            del data[at:at + rng.randint(1, 20)]
        elif kind == 2:
            data[at:at] = bytes(rng.randrange(256) for _ in range(rng.randint(1, 5)))
        elif kind == 3:
            data[at:at] = data[:rng.randint(0, 60)]
        elif kind == 4:
            data[at:at] = rng.choice([b"-", b"9" * 25, b"null", b"%00", b"\\u0000", b"/", b"..", b'"', b"\n"])
        else:
            data[at:at] = b"A" * rng.choice([10, 5000, 100_000])
    return bytes(data)


def run_mutations(site, master, line, rounds, seed):
    rng = random.Random(seed)
    mount = site.mount(master, url=line.url, private="none")
    line.set(changing(lambda lines: [mutate(rng, l) if rng.random() < 0.4 else l for l in lines]))
    for i in range(rounds):
        name = master.path("css/%d.css" % rng.randrange(12))
        kind = rng.randrange(4)
        if kind == 0 and os.path.exists(name):
            os.unlink(name)
        elif kind == 1:
            os.makedirs(master.path("d%d" % rng.randrange(3), "e%d" % rng.randrange(3)), exist_ok=True)
        else:
            write(name, "round %d" % i)
        # What was told well before is there, whatever the line beside it says.
        assert read(mount.path("img/0.png")) == read(master.path("img/0.png"))
        wait_for(lambda: mount.status()["link"] == "up", 20, "never stuck (seed %d)" % seed)
    line.set(reset_first(lambda lines: lines))
    wait_for(lambda: tree(mount.point) == tree(master.root), 30, "equal in the end (seed %d)" % seed)
    in_order(mount)
    mount.stop()


def test_mutated_lines(site, master, line):
    run_mutations(site, master, line, 40, int(os.environ.get("FEED_SEED", "1")))


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 22))
def test_many_mutated_lines(site, master, line, seed):
    run_mutations(site, master, line, 60, seed)


# --- without an end ---------------------------------------------------------------------------------

def ndjson(x, data, **more):
    x.answer((200, [("Content-Type", "application/x-ndjson")], data), **more)


def page(x, seq, lines, kind="more"):
    ndjson(x, b"\n".join(lines + [json.dumps({kind: "%s.%d.0.99" % ("0" * 16, seq)}).encode(), b""]))


def since(x):
    text = x.path.split("since=")[1].split("&")[0]
    return int(text.split(".")[1]) if text else 0


def small_pages(x):
    page(x, since(x) + 1, [with_path("f%d" % since(x))])


def empty_pages(x):
    page(x, since(x) + 1, [])


def same_page(x):
    page(x, 7, [with_path("f")])


def too_many_lines(x):
    page(x, 9999, [with_path("f%d" % i) for i in range(7000)])


def endless_line(x):
    ndjson(x, b'{"path":"' + b"x" * 30_000_000)


def one_endless_page(x):
    line_ = with_path("f") + b"\n"
    try:
        x.answer((200, [("Content-Type", "application/x-ndjson")], line_ * 200_000), length=10**12)
        while True:
            x.client.sock.sendall(line_ * 10_000)
    finally:
        x.client.sock.close()


def drip_page(x):
    ndjson(x, with_path("f") * 1000, piece=2, pause=0.2)


ENDLESS = [small_pages, empty_pages, same_page, too_many_lines, endless_line, one_endless_page]


@pytest.mark.long
def test_a_first_listing_that_drips(site, master):
    first_listings(site, master, [drip_page])


def test_a_first_listing_without_an_end(site, master):
    first_listings(site, master, ENDLESS)


def first_listings(site, master, faults):
    """mount(8) comes back with a reason, and the cache stays small."""
    mounts = []
    for fault in faults:
        peer = Peer(master.port)
        site.links.append(peer)
        peer.set(lambda x, fault=fault: fault(x) if x.path.startswith("/v1/changes") else honest(x))
        mount = site.mount(master, "slave1", instance=fault.__name__.replace("_", "-"), url=peer.url, start=False)
        log = open(os.path.join(site.base, fault.__name__ + ".out"), "wb")
        mounts.append((mount, subprocess.Popen(mount.argv(), stdout=log, stderr=subprocess.STDOUT, env=site.env())))
    begin = time.monotonic()
    for (mount, process), fault in zip(mounts, faults):
        code = process.wait(60 * SLOW)
        print(fault.__name__, "%.1f s" % (time.monotonic() - begin), code)
        out = read(os.path.join(site.base, fault.__name__ + ".out")).decode()
        assert code == 32 and "listing" in out, (fault.__name__, code, out)
        assert not mount.mounted()
        size = sum(os.path.getsize(os.path.join(top, name)) for top, _, names in os.walk(mount.cache) for name in names)
        assert size < 64 << 20, (fault.__name__, size)
        # The same cache with a good line.
    good = mounts[0][0]
    good.url = master.url
    good.start()
    assert tree(good.point) == tree(master.root)


# --- answers ----------------------------------------------------------------------------------------

def run_answers(site, master, line, rounds, seed):
    """The master's answers to operations are damaged at random: the mirror is never stuck, nothing that
    returned is lost, and nothing is there twice."""
    rng = random.Random(seed)
    mount = site.mount(master, url=line.url, private="none")

    def fault(x):
        if not x.ops:
            return honest(x)
        status, headers, data = x.forward()
        if rng.random() < 0.5:
            data = mutate(rng, data)[:200_000]
        return x.answer((status, headers, data))

    line.set(fault, keep=True)
    kept = {}
    for i in range(rounds):
        name = "uploads/%d.txt" % rng.randrange(8)
        kind = rng.randrange(5)
        if kind == 0 and name in kept:
            os.unlink(mount.path(name))
            del kept[name]
        elif kind == 1 and name in kept:
            other = "uploads/%d.txt" % rng.randrange(8)
            os.rename(mount.path(name), mount.path(other))
            data = kept.pop(name)
            kept[other] = data
        elif kind == 2:
            os.makedirs(mount.path("uploads/d%d" % rng.randrange(3)), exist_ok=True)
        else:
            kept[name] = b"round %d" % i
            begin = time.monotonic()
            write(mount.path(name), kept[name])
            assert time.monotonic() - begin < 12 * SLOW, "seed %d" % seed
    line.set(None)
    site.run("eefs-status", "--retry", mount.point)
    wait_for(lambda: mount.status()["pending"] == 0, 60, "seed %d" % seed)
    line.set(reset_first(lambda lines: lines))
    os.mkdir(master.path("wakes"))
    wait_for(lambda: tree(mount.point) == tree(master.root), 30, "seed %d" % seed)
    there = [v[3] for p, v in tree(master.path("uploads")).items() if v[0] == "file"]
    assert set(kept.values()) <= set(there), "seed %d: what returned is lost" % seed
    mount.stop()


def test_mutated_answers(site, master, line):
    run_answers(site, master, line, 15, int(os.environ.get("FEED_SEED", "1")))


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 12))
def test_many_mutated_answers(site, master, line, seed):
    run_answers(site, master, line, 25, seed)


def test_paths_at_their_limit(site, master, line):
    """What would be longer than any side can hold is refused at its door, and nothing is stuck behind it."""
    deep = "/".join(["uploads"] + ["d" * 200] * 19)  # 3826 bytes
    os.makedirs(master.path("uploads/x"))
    fd = os.open(master.path("uploads"), os.O_RDONLY)
    for _ in range(19):
        try:
            os.mkdir("d" * 200, dir_fd=fd)
        finally:
            below = os.open("d" * 200, os.O_RDONLY, dir_fd=fd)
            os.close(fd)
            fd = below
    name = "n" * (4000 - len(deep) - 1)
    with open(os.open(name, os.O_CREAT | os.O_WRONLY, dir_fd=fd), "wb") as f:
        f.write(b"at the limit")
    os.close(os.open(name + "n", os.O_CREAT | os.O_WRONLY, dir_fd=fd))  # beyond it
    mount = site.mount(master, url=line.url, private="none")
    longest = deep + "/" + name
    wait_for(lambda: longest in master.listing(), 20)

    def op(n, **more):
        return master.ops("cd" * 16, dict(more, n=n)).json()["answers"][0]

    # The conflict copy would be too long; a folder's rename would make what is in it too long.
    a = op(1, op="put", path=longest, hash=content_name(b"x"), size=1, mtime=1, mode=420,
           pre=content_name(b"what is not there"), data="eA==")
    assert (a["result"], a["code"]) == ("refused", "name"), a
    a = op(2, op="rename", path="uploads/" + "d" * 200, to="uploads/" + "e" * 201, pre="dir", to_pre="absent")
    assert (a["result"], a["code"]) == ("refused", "name"), a
    with pytest.raises(OSError) as error:
        os.rename(mount.path("uploads/" + "d" * 200), mount.path("uploads/" + "e" * 201))
    assert error.value.errno == 36
    # Renamed on the master it is beyond the limit: not there, and no mirror is troubled.
    os.rename(master.path("uploads/" + "d" * 200), master.path("uploads/" + "e" * 240))
    wait_for(lambda: os.path.isdir(mount.path("uploads/" + "e" * 240)), 20)
    write(master.path("css/after.css"), "after")
    wait_for(lambda: read(mount.path("css/after.css")) == b"after", 20)
    assert all(len(path) <= 4000 for path in master.listing())
    in_order(mount)
    site.cleanups.append(lambda: subprocess.run(["rm", "-rf", master.path("uploads")], check=True))
