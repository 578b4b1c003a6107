# SPDX-License-Identifier: MIT
"""eefs-master under faults: killed at named points, its root exchanged, stopped with parked polls,
writers that hold files open, two masters on one state folder, and figures of a larger tree."""

import base64
import http.client
import json
import os
import shutil
import signal
import subprocess
import threading
import time

import pytest

from eefs import SLOW, content_name, free_port, program, read, wait_for, write

BOX = "aabbccddeeff00112233445566778899"


@pytest.fixture
def master(site):
    master = site.master(start=False)
    write(master.path("css/a.css"), "body{}")
    write(master.path("uploads/one.txt"), "one")
    master.add_mirror("slave1")
    return master.start()


def put(n, path, data, pre="absent", inline=True):
    op = {"n": n, "op": "put", "path": path, "hash": content_name(data), "size": len(data),
          "mtime": 1_600_000_000_123_456_789, "mode": 0o644, "pre": pre}
    if inline:
        op["data"] = base64.b64encode(data).decode()
    return op


def results(answer):
    assert answer.status == 200, answer.body
    return [a["result"] for a in answer.json()["answers"]]


@pytest.mark.parametrize("point", [
    "master.put.staged", "master.put.renamed", "master.put.published", "master.ops.applied",
    "master.ops.committed", "master.upload.verified"])
def test_killed_at_each_step_of_a_put(master, point):
    """The file is the old or the new one, and the retry gives one change."""
    old, new = b"one", b"new " * 20_000
    op = put(1, "uploads/one.txt", new, pre=content_name(old), inline=False)
    _, cursor = master.changes()
    master.stop()
    master.start(env={"EEFS_CRASH_AT": point})
    for _ in range(2):
        try:
            master.request("PUT", "/v1/o/" + content_name(new), body=new)
            assert results(master.ops(BOX, op)) == ["done"]
            break
        except (OSError, http.client.HTTPException):
            assert master.process.popen.wait(10) == -9
            assert read(master.path("uploads/one.txt")) in (old, new)
            master.start()
    else:
        raise AssertionError("never answered")
    assert read(master.path("uploads/one.txt")) == new
    entries, _ = master.changes(cursor)
    assert [e["hash"] for e in entries if e["path"] == "uploads/one.txt"] == [content_name(new)]
    assert results(master.ops(BOX, op)) == ["done"]
    assert sorted(os.listdir(master.path("uploads"))) == ["one.txt"]


def test_emptied_and_replaced_root_publishes_nothing(master):
    _, cursor = master.changes()
    for stopped in (False, True):
        if stopped:
            master.stop()
        os.rename(master.root, master.root + ".away")
        shutil.copytree(master.root + ".away", master.root, ignore=lambda d, n: [".eefs"])
        os.unlink(master.path("css/a.css"))
        if stopped:
            master.start(wait=False)
        wait_for(lambda: master.get("/healthz", token=None).status == 503)
        state = wait_for(lambda: master.control())
        assert state["state"] == "FAILED" and "marker" in state["reason"]
        assert master.get("/v1/hello").code == "unavailable"
        shutil.rmtree(master.root)
        os.rename(master.root + ".away", master.root)
        wait_for(lambda: master.get("/healthz", token=None).status == 200)
        entries, _ = master.changes(cursor)
        assert not [e for e in entries if e["type"] == "gone"]
    write(master.path("css/again.css"), "x")  # the watches are there again
    wait_for(lambda: "css/again.css" in master.listing())


def test_stops_at_once_with_parked_polls(master):
    _, cursor = master.changes()
    seen = []

    def poll():
        try:
            seen.append(master.get("/v1/changes?wait=50&since=" + cursor, timeout=60).status)
        except OSError as error:
            seen.append(error)

    threads = [threading.Thread(target=poll) for _ in range(20)]
    for t in threads:
        t.start()
    wait_for(lambda: len(os.listdir("/proc/%d/fd" % master.process.pid)) > 35)
    start = time.monotonic()
    master.stop()
    assert time.monotonic() - start < 5
    for t in threads:
        t.join(5)
    assert len(seen) == 20


def test_second_master_is_refused(master):
    out = subprocess.run([program("eefs-master"), "serve", "--root", master.root, "--state",
                          master.state, "--listen", "127.0.0.1:%d" % free_port(), "--rundir",
                          master.site.rundir], capture_output=True, text=True, timeout=20)
    assert out.returncode != 0 and "state folder" in out.stderr
    assert master.healthy()


def test_what_is_being_edited_is_not_overwritten(master):
    """A put over a file that a local writer has open becomes the conflict copy."""
    with open(master.path("uploads/one.txt"), "r+b") as f:
        answer = master.ops(BOX, put(1, "uploads/one.txt", b"mirror", pre=content_name(b"one")))
        assert results(answer) == ["conflict"]
        f.write(b"two")
    wait_for(lambda: master.listing()["uploads/one.txt"]["hash"] == content_name(b"two"))
    assert read(master.path("uploads/one.txt")) == b"two"
    assert len(os.listdir(master.path("uploads"))) == 2


def test_unindexed_local_edit_wins(master):
    """The precondition is checked against the file, not only against the tree."""
    master.process.signal(signal.SIGSTOP)  # the edit and the operation arrive together
    write(master.path("uploads/one.txt"), "edited")
    master.process.signal(signal.SIGCONT)
    answer = master.ops(BOX, put(1, "uploads/one.txt", b"mirror", pre=content_name(b"one")))
    assert results(answer) == ["conflict"]
    assert read(master.path("uploads/one.txt")) == b"edited"


def test_same_size_and_mtime_rewrite_is_found(master):
    path = master.path("css/a.css")
    wait_for(lambda: "css/a.css" in master.listing())
    st = os.stat(path)
    with open(path, "r+b") as f:
        f.write(b"BODY{}")
    os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))
    wait_for(lambda: master.listing()["css/a.css"]["hash"] == content_name(b"BODY{}"))


def test_deleted_target_and_missing_parents(master):
    op = put(1, "uploads/deep/er/file.txt", b"kept", pre=content_name(b"old"))
    answer = master.ops(BOX, op)
    assert results(answer) == ["done"]
    assert read(master.path("uploads/deep/er/file.txt")) == b"kept"
    st = os.stat(master.path("uploads/deep/er/file.txt"))
    assert st.st_mtime_ns == 1_600_000_000_123_456_789
    assert master.listing()["uploads/deep"]["type"] == "dir"


def test_folder_rename_moves_everything(master):
    write(master.path("uploads/dir/sub/x.txt"), "x")
    wait_for(lambda: "uploads/dir/sub/x.txt" in master.listing())
    answer = master.ops(BOX, {"n": 1, "op": "rename", "path": "uploads/dir", "to": "uploads/new",
                              "pre": "dir", "to_pre": "absent"})
    assert results(answer) == ["done"]
    paths = {e["path"]: e for e in answer.json()["answers"][0]["entries"]}
    assert paths["uploads/dir"]["type"] == "gone" and paths["uploads/dir/sub/x.txt"]["type"] == "gone"
    assert paths["uploads/new/sub/x.txt"]["moved_from"] == "uploads/dir/sub/x.txt"
    write(master.path("uploads/new/sub/y.txt"), "y")  # watched under its new name
    wait_for(lambda: "uploads/new/sub/y.txt" in master.listing())
    assert not [p for p in master.listing() if p.startswith("uploads/dir")]


def test_adding_a_mirror_resets_the_others(master):
    _, cursor = master.changes()
    master.add_mirror("slave2")
    first = master.tokens["slave1"]
    assert master.get("/v1/changes?since=" + cursor, token=first).status == 409
    assert master.get("/v1/hello", token=first).json()["deny"] == ["sql/slave2"]


def test_a_folder_of_many_files(master):
    master.stop()
    master.options = ["--max-delete", "10000"]
    master.start()
    for i in range(3000):
        write(master.path("many/%d/%d.txt" % (i % 30, i)), str(i))
    wait_for(lambda: len([p for p in master.listing() if p.startswith("many/")]) == 3030, 30)
    state = master.control()
    assert state["kind"] == "master" and state["state"] == "OK" and state["files"] == 3002
    _, cursor = master.changes()
    shutil.rmtree(master.path("many"))
    wait_for(lambda: not [p for p in master.listing() if p.startswith("many")], 30)
    entries, _ = master.changes(cursor)
    assert len({e["path"] for e in entries if e["type"] == "gone"}) == 3031


def test_a_poll_that_waits_hears_of_another_scope_and_of_the_end_of_its_token(site):
    """An idle mirror must not go on with what it may no longer see until its poll ends by itself."""
    master = site.master(start=False)
    os.makedirs(master.path("uploads"))
    master.add_mirror("slave1")
    master.add_mirror("slave2")
    master.start()
    for command, status in ((["set", "slave1", "--write", "uploads", "--read", "uploads"], 409),
                            (["remove", "slave1"], 401)):
        _, cursor = master.changes(token=master.tokens["slave1"])
        begun, answers = time.monotonic(), []
        poll = threading.Thread(target=lambda: answers.append(
            master.get("/v1/changes?wait=50&since=" + cursor, token=master.tokens["slave1"], timeout=70)))
        poll.start()
        time.sleep(1.2)  # it waits by now; that nothing comes is all there is to see of it
        assert not answers
        site.run("eefs-master", "mirror", command[0], command[1], "--state", master.state, *command[2:])
        poll.join(70)
        assert answers[0].status == status, (command, answers[0].body)
        assert time.monotonic() - begun < 15 * SLOW, command
