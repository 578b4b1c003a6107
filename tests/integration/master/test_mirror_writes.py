# SPDX-License-Identifier: MIT
"""What mirrors write lands in the master's folder: owner, group and mode, no echo, races with local
writers, and kill -9 at each step."""

import base64
import http.client
import os
import pwd
import random
import signal
import sqlite3
import subprocess
import threading
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

import pytest

from eefs import content_name, program, read, wait_for, write

BOX = "0a0b0c0d0e0f00112233445566778899"


@pytest.fixture
def master(site):
    master = site.master(start=False)
    write(master.path("uploads/one.txt"), "one")
    write(master.path("uploads/two.txt"), "two")
    master.add_mirror("slave1")
    return master.start()


def put(n, path, data, pre="absent", inline=True, mode=0o644):
    op = {"n": n, "op": "put", "path": path, "hash": content_name(data), "size": len(data),
          "mtime": 1_600_000_000_123_456_789, "mode": mode,
          "pre": pre if pre == "absent" else content_name(pre)}
    if inline:
        op["data"] = base64.b64encode(data).decode()
    return op


def rename(n, path, to, data, over=None):
    return {"n": n, "op": "rename", "path": path, "to": to, "pre": content_name(data),
            "to_pre": content_name(over) if over else "absent"}


def answers(answer):
    assert answer.status == 200, answer.body
    return answer.json()["answers"]


def results(answer):
    return [a["result"] for a in answers(answer)]


def staging(master):
    return os.listdir(master.path(".eefs/staging"))


def files(master):
    return {name: read(master.path("uploads", name)) for name in os.listdir(master.path("uploads"))}


def serve(site, master, *options, user=None):
    """eefs-master serve with more options, perhaps as another user."""
    command = [program("eefs-master"), "serve", "--root", master.root, "--state", master.state,
               "--listen", "127.0.0.1:%d" % master.port, "--rundir", site.rundir, *options]
    if user:
        command = ["setpriv", "--reuid", str(user), "--regid", str(user), "--clear-groups",
                   "--inh-caps=-all", "--bounding-set=-all", *command]
    return command


# --- owner, group, mode ---

@pytest.mark.skipif(os.getuid() != 0, reason="gives files away")
def test_owner_group_and_mode(site):
    master = site.master(start=False)
    os.mkdir(master.path("uploads"))
    master.add_mirror("slave1")
    user = pwd.getpwnam("www-data")
    master.process = site.spawn("master", serve(site, master, "--owner", "www-data:daemon"))
    wait_for(master.healthy)
    daemon = __import__("grp").getgrnam("daemon").gr_gid
    assert results(master.ops(
        BOX, put(1, "uploads/deep/a.txt", b"a", mode=0o640),
        {"n": 2, "op": "mkdir", "path": "uploads/dir", "mode": 0o750, "mtime": 5},
        {"n": 3, "op": "symlink", "path": "uploads/link", "target": "x", "mtime": 5, "pre": "absent"},
        put(4, "uploads/deep/a.txt", b"b", b"a", mode=0o600))) == ["done"] * 4
    for name in ("deep", "deep/a.txt", "dir", "link"):
        st = os.lstat(master.path("uploads", name))
        assert (st.st_uid, st.st_gid) == (user.pw_uid, daemon), name
    assert os.stat(master.path("uploads/deep/a.txt")).st_mode & 0o7777 == 0o600
    assert os.stat(master.path("uploads/dir")).st_mode & 0o7777 == 0o750


@pytest.mark.skipif(os.getuid() != 0, reason="gives files away")
def test_without_owner_files_are_as_their_place(site):
    """A replaced file keeps its owner, a new one is the folder's, a setgid folder stays one."""
    master = site.master(start=False)
    write(master.path("uploads/old.txt"), "old")
    os.chown(master.path("uploads"), 33, 33)
    os.chown(master.path("uploads/old.txt"), 7, 8)
    os.chmod(master.path("uploads"), 0o2775)
    master.add_mirror("slave1")
    master.start()
    assert results(master.ops(BOX, put(1, "uploads/old.txt", b"new", b"old"),
                              put(2, "uploads/fresh.txt", b"fresh"),
                              {"n": 3, "op": "mkdir", "path": "uploads/d", "mode": 0o755,
                               "mtime": 5})) == ["done"] * 3
    owner = {name: (os.stat(master.path("uploads", name)).st_uid,
                    os.stat(master.path("uploads", name)).st_gid)
             for name in ("old.txt", "fresh.txt", "d")}
    assert owner == {"old.txt": (7, 8), "fresh.txt": (33, 33), "d": (33, 33)}
    assert os.stat(master.path("uploads/d")).st_mode & 0o7777 == 0o2755


@pytest.mark.skipif(os.getuid() != 0, reason="becomes another user")
def test_owner_that_cannot_be_given_is_refused(site):
    master = site.master(start=False)
    for path in (master.root, master.state):
        os.makedirs(path, exist_ok=True)
        os.chown(path, 33, 33)
    os.chown(site.rundir, 33, 33)
    out = subprocess.run(serve(site, master, "--owner", "daemon", user=33), capture_output=True,
                         text=True, timeout=20)
    assert out.returncode == 1
    assert "--owner daemon" in out.stderr and "CAP_CHOWN" in out.stderr
    for wrong, why in [("nobody-of-that-name", "no user"), ("daemon:no-such-group", "no group")]:
        out = subprocess.run(serve(site, master, "--owner", wrong), capture_output=True, text=True,
                             timeout=20)
        assert out.returncode == 1 and why in out.stderr, out.stderr


# --- no echo ---

def test_a_mirrors_write_is_one_change(master):
    _, cursor = master.changes()
    data = b"once" * 40_000
    master.request("PUT", "/v1/o/" + content_name(data), body=data)
    a = answers(master.ops(BOX, put(1, "uploads/big.bin", data, inline=False),
                           put(2, "uploads/one.txt", b"uno", b"one"),
                           rename(3, "uploads/two.txt", "uploads/three.txt", b"two")))
    assert [x["result"] for x in a] == ["done"] * 3
    told = {e["path"]: e["seq"] for x in a for e in x["entries"]}
    head = master.get("/v1/hello").json()["head"]
    write(master.path("uploads/marker"), "m")
    wait_for(lambda: "uploads/marker" in master.listing())
    wait_for(lambda: not [n for n in staging(master) if n.startswith("over-")], 20)
    entries, _ = master.changes(cursor)
    assert {e["path"]: e["seq"] for e in entries if e["type"] != "dir"  # the folder's time moves
            and e["path"] != "uploads/marker"} == told
    assert {e["path"] for e in entries if e["seq"] > head} <= {"uploads/marker", "uploads"}


# --- races with local writers ---

def test_a_writer_that_comes_late_keeps_its_edit(master):
    """It had looked the old file up; the mirror's version takes the name; then it writes."""
    reader = os.open(master.path("uploads/one.txt"), os.O_RDONLY)
    assert results(master.ops(BOX, put(1, "uploads/one.txt", b"mirror", b"one"))) == ["done"]
    assert read(master.path("uploads/one.txt")) == b"mirror"
    writer = os.open("/proc/self/fd/%d" % reader, os.O_WRONLY)
    os.write(writer, b"local edit")
    os.close(writer)
    os.close(reader)
    wait_for(lambda: read(master.path("uploads/one.txt")) == b"local edit", 20)
    copy = [n for n in files(master) if "(conflict " in n]
    assert len(copy) == 1 and files(master)[copy[0]] == b"mirror"
    wait_for(lambda: master.listing()["uploads/one.txt"]["hash"] == content_name(b"local edit"))
    assert master.listing()["uploads/%s" % copy[0].replace(" ", "%20")]["hash"] == \
        content_name(b"mirror")
    wait_for(lambda: staging(master) == [])


def test_a_late_writer_of_a_removed_file_keeps_it(master):
    reader = os.open(master.path("uploads/one.txt"), os.O_RDONLY)
    assert results(master.ops(BOX, {"n": 1, "op": "unlink", "path": "uploads/one.txt",
                                    "pre": content_name(b"one")})) == ["done"]
    assert not os.path.exists(master.path("uploads/one.txt"))
    writer = os.open("/proc/self/fd/%d" % reader, os.O_WRONLY | os.O_TRUNC)
    os.write(writer, b"edited")
    os.close(reader)
    assert not os.path.exists(master.path("uploads/one.txt"))  # not while it is being written
    os.close(writer)
    wait_for(lambda: os.path.exists(master.path("uploads/one.txt")), 20)
    assert read(master.path("uploads/one.txt")) == b"edited"
    wait_for(lambda: master.listing().get("uploads/one.txt", {}).get("hash")
             == content_name(b"edited"))


def test_a_late_writer_when_the_path_went_on(master):
    """Neither the newer version at the path nor the late edit is lost."""
    reader = os.open(master.path("uploads/one.txt"), os.O_RDONLY)
    assert results(master.ops(BOX, rename(1, "uploads/two.txt", "uploads/one.txt", b"two", b"one"),
                              )) == ["done"]
    write(master.path("uploads/one.txt"), "third")
    writer = os.open("/proc/self/fd/%d" % reader, os.O_WRONLY | os.O_TRUNC)
    os.write(writer, b"late")
    os.close(writer)
    os.close(reader)
    wait_for(lambda: sorted(files(master).values()) == [b"late", b"third"], 20)
    assert read(master.path("uploads/one.txt")) == b"third"


def test_attributes_that_change_in_that_moment_are_no_conflict(master):
    """chmod and touch between the look at the old file and its replacement."""
    master.stop()
    master.start(env={"EEFS_STOP_AT": "master.put.staged"})
    got = []
    sender = threading.Thread(target=lambda: got.extend(
        results(master.ops(BOX, put(1, "uploads/one.txt", b"new", b"one")))))
    sender.start()
    wait_for(lambda: stopped(master.process))
    os.chmod(master.path("uploads/one.txt"), 0o755)
    os.utime(master.path("uploads/one.txt"))
    master.process.signal(signal.SIGCONT)
    sender.join()
    assert got == ["done"]
    assert files(master) == {"one.txt": b"new", "two.txt": b"two"}
    wait_for(lambda: staging(master) == [], 20)
    assert files(master) == {"one.txt": b"new", "two.txt": b"two"}


def test_removal_and_rename_respect_an_open_writer(master):
    with open(master.path("uploads/one.txt"), "r+b") as f:
        a = master.ops(BOX, {"n": 1, "op": "unlink", "path": "uploads/one.txt",
                             "pre": content_name(b"one")},
                       rename(2, "uploads/two.txt", "uploads/one.txt", b"two", b"one"))
        assert results(a) == ["kept", "conflict"]
        f.write(b"ONE")
    wait_for(lambda: sorted(files(master).values()) == [b"ONE", b"two"])
    assert read(master.path("uploads/one.txt")) == b"ONE"


def test_half_a_file_is_not_published_by_an_operation(master):
    """An operation that meets a file which is being written tells nothing of its half."""
    with open(master.path("uploads/one.txt"), "wb") as f:
        f.write(b"half")
        f.flush()
        a = answers(master.ops(BOX, put(1, "uploads/one.txt", b"mirror", b"one"),
                               {"n": 2, "op": "setattr", "path": "uploads/one.txt",
                                "mode": 0o600}))
        assert [x["result"] for x in a] == ["conflict", "kept"]
        assert master.listing()["uploads/one.txt"]["hash"] == content_name(b"one")
        f.write(b" and whole")
    wait_for(lambda: master.listing()["uploads/one.txt"]["hash"] == content_name(b"half and whole"))
    assert master.listing()["uploads/one.txt"]["mode"] == 0o600


def test_local_writers_and_a_mirror_on_one_file(master):
    """Open, write in place and close in a loop against puts in a loop: each version is current, a
    conflict copy, or was replaced by one that knew it."""
    path, stop, local = master.path("uploads/one.txt"), threading.Event(), []

    def edit():
        while not stop.is_set():
            data = b"local %d" % len(local)
            with open(path, "r+b") as f:
                before = f.read()
                f.seek(0)
                f.truncate()
                f.write(data)
            local.append((before, data))

    thread = threading.Thread(target=edit)
    thread.start()
    done, copies = [], []
    try:
        for n in range(1, 151):
            known = read(path)
            answer = answers(master.ops(BOX, put(n, "uploads/one.txt", b"mirror %d" % n, known)))[0]
            (done if answer["result"] == "done" else copies).append((known, b"mirror %d" % n))
            assert answer["result"] in ("done", "conflict"), answer
    finally:
        stop.set()
        thread.join()
    wait_for(lambda: not [n for n in staging(master) if n.startswith("over-")], 30)
    present = set(files(master).values())
    replaced = {before for before, _ in local + done}
    for _, data in local + done + copies:
        assert data in present or data in replaced, data
    assert len(local) > 20


def while_a_mirror_writes(master, act):
    """act(k, random) by twenty at once, while rows are being written for long."""
    done = threading.Event()

    def mirror_writes():
        n, pre = 0, "absent"
        while not done.is_set():
            batch = [put(n + i, "uploads/m%d" % i, b"%d" % n, pre) for i in range(1, 21)]
            assert set(results(master.ops(BOX, *batch))) == {"done"}
            n, pre = n + 20, b"%d" % n

    with ThreadPoolExecutor(21) as pool:
        writer = pool.submit(mirror_writes)
        for each in [pool.submit(act, k, random.Random(k)) for k in range(20)]:
            each.result()
        done.set()
        writer.result()


def test_what_is_there_for_a_moment(master):
    """Links and folders that are gone when the watcher has seen them and their rows are just being
    written."""
    def come_and_go(k, rng):
        for i in range(80):
            path = master.path("uploads", "%d-%d" % (k, i))
            os.symlink("target", path) if i % 2 else os.mkdir(path)
            time.sleep(rng.uniform(0.018, 0.027))
            os.unlink(path) if i % 2 else os.rmdir(path)

    while_a_mirror_writes(master, come_and_go)
    wait_for(lambda: {path[8:] for path in master.listing() if path.startswith("uploads/")} ==
             set(os.listdir(master.path("uploads"))), 15)


def test_folders_that_have_another_mode_for_a_moment(master):
    folders = [[master.path("uploads", "%d-%d" % (k, i)) for i in range(80)] for k in range(20)]
    for path in sum(folders, []):
        os.mkdir(path)
    wait_for(lambda: len(master.listing()) > 1600)

    def flip(k, rng):
        for path in folders[k]:
            os.chmod(path, 0o700)
            time.sleep(rng.uniform(0, 0.01))
            os.chmod(path, 0o755)
            time.sleep(0.01)

    while_a_mirror_writes(master, flip)
    wait_for(lambda: {e["mode"] for e in master.listing().values() if e["type"] == "dir"} == {0o755})


# --- kill -9 ---

def points(some, more):
    return some + [pytest.param(point, marks=pytest.mark.long) for point in more]


POINTS = points(["master.put.exchanged", "master.put.published", "master.op.committed"],
                ["master.put.named", "master.put.staged", "master.put.renamed",
                 "master.op.applied", "master.ops.applied", "master.ops.committed",
                 "master.upload.verified"])


def until_done(master, request):
    """The request, again after the kill; what it returns."""
    for _ in range(2):
        try:
            return request()
        except (OSError, http.client.HTTPException):
            assert master.process.popen.wait(20) == -9
            none_is_torn(master)
            master.start()
    raise AssertionError("never answered")


def none_is_torn(master):
    for name, data in files(master).items():
        assert data in (b"one", b"two", b"new " * 20_000), name


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_each_step_of_a_replacing_put(master, point):
    new = b"new " * 20_000
    op = put(1, "uploads/one.txt", new, b"one", inline=False)
    _, cursor = master.changes()
    master.stop()
    master.start(env={"EEFS_CRASH_AT": point})

    def both():
        master.request("PUT", "/v1/o/" + content_name(new), body=new)
        return results(master.ops(BOX, op))

    assert until_done(master, both) == ["done"]
    assert files(master) == {"one.txt": new, "two.txt": b"two"}
    assert results(master.ops(BOX, op)) == ["done"]
    entries, _ = master.changes(cursor)
    assert [e["hash"] for e in entries if e["path"] == "uploads/one.txt"] == [content_name(new)]
    wait_for(lambda: [n for n in staging(master) if not n.startswith("up-")] == [], 20)
    assert files(master) == {"one.txt": new, "two.txt": b"two"}


@pytest.mark.parametrize("noted", [True, False], ids=["noted", "power failure"])
def test_a_put_that_was_killed_and_then_replaced_here(master, noted):
    """It was on the disk and not in the database; found by the scan, and replaced by an editor."""
    op = put(1, "uploads/one.txt", b"mirror's", b"one")
    master.stop()
    master.start(env={"EEFS_CRASH_AT": "master.op.applied"})
    with pytest.raises((OSError, http.client.HTTPException)):
        master.ops(BOX, op)
    assert master.process.popen.wait(20) == -9
    assert files(master)["one.txt"] == b"mirror's"
    if not noted:
        forget_notes(master)
    master.start()
    wait_for(lambda: master.listing()["uploads/one.txt"]["hash"] == content_name(b"mirror's"))
    write(master.path("tmp"), "editor's")
    os.rename(master.path("tmp"), master.path("uploads/one.txt"))
    answer = answers(master.ops(BOX, op))[0]
    assert answer["result"] == "done"
    assert answer["entries"][-1]["hash"] == content_name(b"editor's")
    assert files(master) == {"one.txt": b"editor's", "two.txt": b"two"}
    # The same content from one who did not see the editor's is a conflict as ever.
    later = dict(put(2, "uploads/one.txt", b"mirror's", b"one"), mtime=1_600_000_001_000_000_000)
    assert results(master.ops(BOX, later)) == ["conflict"]
    assert sorted(files(master).values()) == [b"editor's", b"mirror's", b"two"]


def forget_notes(master):
    """As after a power failure: they count for nothing. How many there were."""
    with sqlite3.connect(master.state + "/master.db") as db:
        n = db.execute("UPDATE intent SET life='another'").rowcount
    db.close()
    return n


def test_what_was_made_before_a_kill_and_is_written_now_is_not_told_as_gone(master):
    op = put(1, "uploads/new.txt", b"mirror's")
    killed(master, "master.op.applied", op)
    with open(master.path("uploads/new.txt"), "r+b"):
        master.start()
        answer, = answers(master.ops(BOX, op))
        assert (answer["result"], answer["code"]) == ("later", "busy")
    answer, = answers(master.ops(BOX, op))
    assert answer["result"] == "done" and answer["entries"][0]["type"] == "file"
    assert files(master) == {"one.txt": b"one", "two.txt": b"two", "new.txt": b"mirror's"}


NOTED = "master.op.noted"  # about to be made
TOO_LATE = ["master.put.renamed", "master.put.published", "master.op.applied"]


def killed(master, point, *ops):
    """The operations, sent to a master that dies at that point."""
    if master.process.running():
        master.stop()
    master.start(env={"EEFS_CRASH_AT": point})
    with pytest.raises((OSError, http.client.HTTPException)):
        master.ops(BOX, *ops)
    assert master.process.popen.wait(20) == -9


def sent_again(master, act, down, *ops):
    """The answers; `act` is done while the master is down or when it has scanned."""
    if down:
        act()
        master.start()
    else:
        master.start()
        wait_for(lambda: {name: content_name(data) for name, data in files(master).items()} ==
                 {urllib.parse.unquote(path[8:]): e["hash"]
                  for path, e in master.listing().items() if path.startswith("uploads/")})
        act()
    got = answers(master.ops(BOX, *ops))
    assert answers(master.ops(BOX, *ops)) == got
    wait_for(lambda: staging(master) == [], 20)
    return got


def editor(master):
    """(move, remove, edit)"""
    at = lambda name: master.path("uploads", name)

    def edit(name, data):
        write(at("tmp-edit"), data)
        os.rename(at("tmp-edit"), at(name))

    return (lambda name, to: os.rename(at(name), at(to)), lambda name: os.unlink(at(name)), edit)


WHEN = [True, pytest.param(False, marks=pytest.mark.long)]
ACTS = ["moved", "removed", "edited", "replaced by the old one"]


@pytest.mark.parametrize("down", WHEN, ids=["down", "up"])
@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("pre", ["absent", b"one"], ids=["new", "over"])
def test_what_was_made_before_a_kill_is_not_made_again(master, pre, act, down):
    name = "new.txt" if pre == "absent" else "one.txt"
    point = TOO_LATE[(ACTS.index(act) + down) % len(TOO_LATE)]
    move, remove, edit = editor(master)
    op = put(1, "uploads/" + name, b"mirror's", pre)
    want = files(master)
    want.pop(name, None)
    killed(master, point, op)
    change, more = {
        "moved": (lambda: move(name, "moved.txt"), {"moved.txt": b"mirror's"}),
        "removed": (lambda: remove(name), {}),
        "edited": (lambda: edit(name, b"editor's"), {name: b"editor's"}),
        "replaced by the old one": (lambda: edit(name, b"one"), {name: b"one"}),
    }[act]
    assert [a["result"] for a in sent_again(master, change, down, op)] == ["done"]
    assert files(master) == {**want, **more}


@pytest.mark.parametrize("pre", ["absent", b"one"], ids=["new", "over"])
def test_what_was_only_noted_before_a_kill_is_made(master, pre):
    name = "new.txt" if pre == "absent" else "one.txt"
    op = put(1, "uploads/" + name, b"mirror's", pre)
    for point in NOTED, "master.put.staged", "master.put.named":
        if point != "master.put.named" or pre != "absent":
            killed(master, point, op)
    assert [a["result"] for a in sent_again(master, lambda: None, True, op)] == ["done"]
    assert files(master) == {"one.txt": b"one", "two.txt": b"two", name: b"mirror's"}


@pytest.mark.parametrize("down", WHEN, ids=["down", "up"])
@pytest.mark.parametrize("act", ["moved", "removed", "edited"])
def test_a_conflict_copy_made_before_a_kill_is_not_made_again(master, act, down):
    move, remove, edit = editor(master)
    op = put(1, "uploads/one.txt", b"mirror's", b"something else")
    killed(master, "master.op.applied", op)
    copy, = set(files(master)) - {"one.txt", "two.txt"}
    change, more = {
        "moved": (lambda: move(copy, "moved.txt"), {"moved.txt": b"mirror's"}),
        "removed": (lambda: remove(copy), {}),
        "edited": (lambda: edit(copy, b"merged"), {copy: b"merged"}),
    }[act]
    answer, = sent_again(master, change, down, op)
    assert (answer["result"], answer["path"]) == (
        "conflict", urllib.parse.quote("uploads/" + copy, safe="/()"))
    assert files(master) == {"one.txt": b"one", "two.txt": b"two", **more}


@pytest.mark.parametrize("point", points(["master.rename.exchanged"], ["master.rename.renamed"]))
@pytest.mark.parametrize("act", ["moved", "removed", "edited", "a new one there"])
def test_a_rename_made_before_a_kill_is_not_made_again(master, act, point):
    move, remove, edit = editor(master)
    over = point == "master.rename.exchanged"
    to = "one.txt" if over else "to.txt"
    op = rename(1, "uploads/two.txt", "uploads/" + to, b"two", b"one" if over else None)
    killed(master, point, op)
    change, more = {
        "moved": (lambda: move(to, "moved.txt"), {"moved.txt": b"two"}),
        "removed": (lambda: remove(to), {}),
        "edited": (lambda: edit(to, b"editor's"), {to: b"editor's"}),
        "a new one there": (lambda: edit("two.txt", b"new"), {to: b"two", "two.txt": b"new"}),
    }[act]
    got = sent_again(master, change, False, op)
    assert [a["result"] for a in got] == ["done"]
    assert files(master) == {**({} if over else {"one.txt": b"one"}), **more}


@pytest.mark.parametrize("point", [NOTED, "master.remove.unlinked", "master.op.applied"])
def test_a_removal_before_a_kill(master, point):
    """The editor writes a file with the same content: made, it is another one."""
    _, _, edit = editor(master)
    op = {"n": 1, "op": "unlink", "path": "uploads/one.txt", "pre": content_name(b"one")}
    killed(master, point, op)
    made = point != NOTED
    change = (lambda: edit("one.txt", b"one")) if made else lambda: None
    assert [a["result"] for a in sent_again(master, change, True, op)] == ["done"]
    assert files(master) == {"two.txt": b"two", **({"one.txt": b"one"} if made else {})}


@pytest.mark.parametrize("point", [NOTED, "master.link.renamed"])
def test_a_link_made_before_a_kill_is_not_made_again(master, point):
    op = {"n": 1, "op": "symlink", "path": "uploads/link", "target": "one.txt",
          "mtime": 1_600_000_000_000_000_000}
    killed(master, point, op)
    made = point != NOTED
    if made:
        os.rename(master.path("uploads/link"), master.path("uploads/moved"))
    assert [a["result"] for a in sent_again(master, lambda: None, True, op)] == ["done"]
    assert {n for n in os.listdir(master.path("uploads"))} == {
        "one.txt", "two.txt", "moved" if made else "link"}


def test_a_note_from_before_a_power_failure_counts_for_nothing(master):
    """The row and the names need not be of one moment."""
    move, _, _ = editor(master)
    op = put(1, "uploads/new.txt", b"mirror's")
    killed(master, "master.op.applied", op)
    assert forget_notes(master) == 1
    got = sent_again(master, lambda: move("new.txt", "moved.txt"), True, op)
    assert [a["result"] for a in got] == ["done"]
    assert files(master) == {"one.txt": b"one", "two.txt": b"two", "moved.txt": b"mirror's",
                             "new.txt": b"mirror's"}


def test_a_note_of_a_folder_that_was_copied_counts_for_nothing(master):
    """The staged file has another inode there: it is not gone to where it was to go."""
    op = put(1, "uploads/new.txt", b"mirror's")
    killed(master, NOTED, op)
    os.rename(master.root, master.root + ".old")
    subprocess.run(["cp", "-a", master.root + ".old", master.root], check=True)
    assert [a["result"] for a in sent_again(master, lambda: None, True, op)] == ["done"]
    assert files(master) == {"one.txt": b"one", "two.txt": b"two", "new.txt": b"mirror's"}


@pytest.mark.parametrize("base", [b"second", None])
def test_an_old_version_brought_back_is_a_conflict_as_any_other(master, base):
    """With its mtime, as cp -p does it, while the master went on: the history knows it, and yet it is
    a change of its own."""
    first = put(1, "uploads/f.txt", b"first")
    second = dict(put(2, "uploads/f.txt", b"second", b"first"), mtime=1_600_000_001_000_000_000)
    assert results(master.ops(BOX, first, second)) == ["done"] * 2
    if not base:
        assert results(master.ops(BOX, {"n": 3, "op": "unlink", "path": "uploads/f.txt",
                                        "pre": content_name(b"second")})) == ["done"]
    write(master.path("tmp"), "editor's")
    os.rename(master.path("tmp"), master.path("uploads/f.txt"))
    wait_for(lambda: master.listing().get("uploads/f.txt", {}).get("hash") ==
             content_name(b"editor's"))
    again = put(4, "uploads/f.txt", b"first", base or "absent")
    assert results(master.ops(BOX, again)) == ["conflict"]
    assert sorted(files(master).values()) == [b"editor's", b"first", b"one", b"two"]


@pytest.mark.parametrize("point", points(
    ["master.remove.unlinked", "master.rename.exchanged", "master.op.applied:3"],
    ["master.rename.renamed", "master.ops.applied", "master.ops.committed", "master.op.applied:1",
     "master.op.applied:2", "master.op.committed:2"]))
def test_killed_at_each_step_of_a_removal_and_a_rename_over(master, point):
    master.stop()
    master.start(env={"EEFS_CRASH_AT": point})
    ops = [{"n": 1, "op": "unlink", "path": "uploads/one.txt", "pre": content_name(b"one")},
           put(2, "uploads/one.txt", b"one", "absent"),
           rename(3, "uploads/two.txt", "uploads/one.txt", b"two", b"one")]
    got = until_done(master, lambda: results(master.ops(BOX, *ops)))
    assert set(got) <= {"done", "kept"}, got  # "kept": it had been removed already
    assert files(master) == {"one.txt": b"two"}
    assert results(master.ops(BOX, *ops)) == got
    wait_for(lambda: staging(master) == [], 20)
    assert files(master) == {"one.txt": b"two"}
    listing = master.listing()
    assert listing["uploads/one.txt"]["hash"] == content_name(b"two")
    assert "uploads/two.txt" not in listing


def stopped(process):
    return read("/proc/%d/stat" % process.popen.pid).split()[2] == b"T"


@pytest.mark.parametrize("point", ["master.intent.withdrawn", "master.conflict.outside", "master.op.applied"])
@pytest.mark.parametrize("pre", ["absent", b"one"], ids=["new", "over"])
def test_killed_when_it_went_elsewhere_than_was_noted(site, master, pre, point):
    """An editor comes first: the mirror's version goes to --conflicts, and that is what is told."""
    losers = os.path.join(site.base, "losers")
    name = "new.txt" if pre == "absent" else "one.txt"
    op = put(1, "uploads/" + name, b"mirror's", pre)
    master.stop()
    master.options = ["--conflicts", losers]
    master.start(env={"EEFS_STOP_AT": "master.put.staged", "EEFS_CRASH_AT": point})
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(master.ops, BOX, op)
        wait_for(lambda: stopped(master.process))
        write(master.path("uploads/" + name), "editor's")
        master.process.signal(signal.SIGCONT)
        with pytest.raises((OSError, http.client.HTTPException)):
            sent.result(20)
    assert master.process.popen.wait(20) == -9
    answer, = sent_again(master, lambda: None, True, op)
    assert answer["result"] == "conflict", answer
    assert [read(os.path.join(top, n)) for top, _, names in os.walk(losers) for n in names] == [b"mirror's"]
    assert urllib.parse.unquote(answer["place"]).startswith(losers + "/uploads/")
    assert files(master) == {"one.txt": b"one", "two.txt": b"two", name: b"editor's"}


TIED = {
    "put, put": ([put(1, "uploads/one.txt", b"1", b"one"), put(2, "uploads/one.txt", b"2", b"1")],
                 1, {"one.txt": b"2", "two.txt": b"two"}),
    "rename, put": ([rename(1, "uploads/one.txt", "uploads/to.txt", b"one"),
                     put(2, "uploads/one.txt", b"new")],
                    1, {"one.txt": b"new", "to.txt": b"one", "two.txt": b"two"}),
    "unlink, put, rename": ([{"n": 1, "op": "unlink", "path": "uploads/one.txt",
                              "pre": content_name(b"one")}, put(2, "uploads/one.txt", b"one"),
                             rename(3, "uploads/two.txt", "uploads/one.txt", b"two", b"one")],
                            2, {"one.txt": b"two"}),
}


@pytest.mark.parametrize("case", TIED)
def test_a_power_failure_amid_operations_that_are_tied(master, case):
    """The folder is as it was at the end; of the database there is what was synced last."""
    ops, syncs, want = TIED[case]
    master.stop()
    master.start(env={"EEFS_STOP_AT": "master.op.synced:%d" % syncs,
                      "EEFS_CRASH_AT": "master.op.applied:%d" % len(ops)})
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(master.ops, BOX, *ops)
        wait_for(lambda: stopped(master.process))
        synced = {end: read(master.state + "/master.db" + end) for end in ("", "-wal")}
        master.process.signal(signal.SIGCONT)
        with pytest.raises((OSError, http.client.HTTPException)):
            sent.result()
    assert master.process.popen.wait(20) == -9
    assert files(master) == want
    os.unlink(master.state + "/master.db-shm")
    for end, data in synced.items():
        write(master.state + "/master.db" + end, data)
    forget_notes(master)
    got = [a["result"] for a in sent_again(master, lambda: None, True, *ops)]
    assert got == ["done"] * len(ops)
    assert files(master) == want


def test_a_late_edit_survives_a_kill(master):
    """The displaced file was edited and the master killed before it was settled."""
    reader = os.open(master.path("uploads/one.txt"), os.O_RDONLY)
    assert results(master.ops(BOX, put(1, "uploads/one.txt", b"mirror", b"one"))) == ["done"]
    master.kill()
    writer = os.open("/proc/self/fd/%d" % reader, os.O_WRONLY)
    os.write(writer, b"late local edit")
    os.close(writer)
    os.close(reader)
    master.start()
    wait_for(lambda: sorted(files(master).values()) == [b"late local edit", b"mirror", b"two"], 20)
    wait_for(lambda: staging(master) == [], 20)


@pytest.mark.san
def test_stopped_while_mirrors_write(master):
    """SIGTERM with operations under way: a clean end, and what was answered is there."""
    done, n = b"one", 0

    def replace():
        nonlocal done, n
        while True:
            batch, last = [], done
            for i in range(30):
                data = b"version %d" % (n + i)
                batch.append(put(n + i + 1, "uploads/one.txt", data, pre=last))
                last = data
            try:
                got = results(master.ops(BOX, *batch))
            except (OSError, http.client.HTTPException, AssertionError):
                return
            assert got == ["done"] * 30
            n, done = n + 30, last

    for _ in range(5):
        begun, writer = n, threading.Thread(target=replace)
        writer.start()
        wait_for(lambda: n > begun)
        master.stop()
        writer.join(30)
        master.start()
        now = read(master.path("uploads/one.txt"))
        assert int(now.split()[1]) >= n - 1
        n, done = int(now.split()[1]) + 1, now  # the last batch may have been done in part
