# SPDX-License-Identifier: MIT
"""Kept versions: what is kept and when, `eefs-master history` and `restore`, limits and crashes."""

import base64
import json
import os
import socket

import pytest

from eefs import content_name, program, read, wait_for, write

BOX = "1a1b1c1d1e1f00112233445566778899"


@pytest.fixture
def master(site):
    master = site.master(start=False)
    write(master.path("css/a.css"), "first")
    write(master.path("uploads/one.txt"), "one")
    write(master.path("sql/slave1/x.sql"), "dump")
    master.add_mirror("slave1")
    return master


def serve(site, master, *options, env=None):
    master.process = site.spawn("master", [
        program("eefs-master"), "serve", "--root", master.root, "--state", master.state, "--listen",
        "127.0.0.1:%d" % master.port, "--rundir", site.rundir, *options], env)
    wait_for(master.healthy, 20)
    return master


def put(n, path, data, pre="absent"):
    return {"n": n, "op": "put", "path": path, "hash": content_name(data), "size": len(data),
            "mtime": 1_600_000_000_123_456_789, "mode": 0o644,
            "pre": pre if pre == "absent" else content_name(pre),
            "data": base64.b64encode(data).decode()}


def results(answer):
    assert answer.status == 200, answer.body
    return [a["result"] for a in answer.json()["answers"]]


def kept(master):
    """Contents in the store."""
    return {read(os.path.join(top, name)) for top, _, names in os.walk(master.path(".eefs/kept"))
            for name in names}


def control(master):
    name = next(n for n in os.listdir(master.site.rundir) if n.startswith("master-"))
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        s.connect(os.path.join(master.site.rundir, name))
        s.sendall(b'{"cmd":"status"}\n')
        return json.loads(s.makefile().readline())


def history(site, master, path, **more):
    out = site.run("eefs-master", "history", path, "--state", master.state, "--json", **more)
    return json.loads(out.stdout)["versions"]


def restore(site, master, version, check=True):
    return site.run("eefs-master", "restore", version, "--state", master.state, check=check)


def edit(master, path, text):
    """In place, as an editor or PHP does, and published."""
    with open(master.path(path), "r+b") as f:
        f.truncate()
        f.write(text)
    wait_for(lambda: master.listing()[path]["hash"] == content_name(text))


@pytest.mark.san
def test_what_is_overwritten_in_place_can_be_restored(site, master):
    master.start()
    wait_for(lambda: {b"first", b"one"} <= kept(master))  # there before: kept without a change
    edit(master, "css/a.css", b"second")
    wait_for(lambda: b"second" in kept(master))
    edit(master, "css/a.css", b"third")
    versions = history(site, master, "css/a.css")
    assert [(v["state"], v["size"]) for v in versions] == [("present", 5), ("kept", 6), ("kept", 5)]
    os.chmod(master.path("css/a.css"), 0o640)
    wait_for(lambda: master.listing()["css/a.css"]["mode"] == 0o640)
    _, cursor = master.changes()
    before = os.stat(master.path("css/a.css"))
    out = restore(site, master, "css/a.css@%d" % versions[2]["seq"])
    assert read(master.path("css/a.css")) == b"first" and "restored 'css/a.css'" in out.stdout
    st = os.stat(master.path("css/a.css"))
    assert st.st_mode & 0o7777 == versions[2]["mode"] and st.st_uid == before.st_uid
    assert st.st_mtime_ns > before.st_mtime_ns  # readers that go by the time notice
    entries, _ = master.changes(cursor)
    assert [e["hash"] for e in entries if e["path"] == "css/a.css"] == [content_name(b"first")]
    # What it replaced is a version, too.
    again = history(site, master, "css/a.css")
    assert again[0]["state"] == "present" and again[1]["hash"] == content_name(b"third")
    wait_for(lambda: history(site, master, "css/a.css")[1]["state"] == "kept")
    restore(site, master, "css/a.css@%d" % again[1]["seq"])
    assert read(master.path("css/a.css")) == b"third"
    assert b"dump" not in kept(master)


def test_what_is_deleted_can_be_restored(site, master):
    master.start()
    wait_for(lambda: {b"first", b"one"} <= kept(master))
    os.unlink(master.path("css/a.css"))
    os.rmdir(master.path("css"))
    assert results(master.ops(BOX, put(1, "uploads/by-mirror.txt", b"mirror's"),
                              put(2, "uploads/by-mirror.txt", b"newer", b"mirror's"),
                              {"n": 3, "op": "unlink", "path": "uploads/by-mirror.txt",
                               "pre": content_name(b"newer")})) == ["done"] * 3
    wait_for(lambda: "css" not in master.listing())
    out = site.run("eefs-master", "history", "..", "--state", master.state, check=False)
    assert out.returncode == 1
    out = site.run("eefs-master", "history", ".", "--state", master.state)
    assert "uploads/by-mirror.txt" in out.stdout and "css/a.css" in out.stdout
    out = site.run("eefs-master", "history", "uploads/", "--state", master.state)
    assert "uploads/by-mirror.txt" in out.stdout and "css" not in out.stdout
    versions = history(site, master, "css/a.css")
    assert [v["state"] for v in versions] == ["kept"]
    restore(site, master, "css/a.css@%d" % versions[0]["seq"])
    assert read(master.path("css/a.css")) == b"first"
    assert master.listing()["css/a.css"]["hash"] == content_name(b"first")
    versions = history(site, master, "uploads/by-mirror.txt")
    assert [v["hash"] for v in versions] == [content_name(b"newer"), content_name(b"mirror's")]
    for version, data in zip(versions, (b"newer", b"mirror's")):
        assert version["state"] == "kept"
        restore(site, master, "uploads/by-mirror.txt@%d" % version["seq"])
        assert read(master.path("uploads/by-mirror.txt")) == data


@pytest.mark.skipif(os.getuid() != 0, reason="gives files away")
def test_restored_files_have_the_right_owner(site, master):
    os.chown(master.path("css"), 33, 33)
    os.chown(master.path("css/a.css"), 7, 8)
    master.start()
    wait_for(lambda: b"first" in kept(master))
    edit(master, "css/a.css", b"second")
    first = history(site, master, "css/a.css")[1]["seq"]
    restore(site, master, "css/a.css@%d" % first)
    st = os.stat(master.path("css/a.css"))
    assert (st.st_uid, st.st_gid) == (7, 8)
    os.unlink(master.path("css/a.css"))
    wait_for(lambda: "css/a.css" not in master.listing())
    restore(site, master, "css/a.css@%d" % first)
    st = os.stat(master.path("css/a.css"))
    assert (st.st_uid, st.st_gid) == (33, 33)  # as the folder it is put into


def test_what_cannot_be_restored_is_said(site, master):
    serve(site, master, "--keep-file", "100K", "--keep-except", "*.log")
    wait_for(lambda: b"first" in kept(master))
    big = os.urandom(200_000)
    write(master.path("uploads/big.bin"), big)
    write(master.path("uploads/x.log"), "line")
    wait_for(lambda: "uploads/big.bin" in master.listing() and "uploads/x.log" in master.listing())
    edit(master, "css/a.css", b"second")
    version = history(site, master, "css/a.css")[1]["seq"]

    def refused(what):
        out = restore(site, master, what, check=False)
        assert out.returncode == 1 and out.stderr.startswith("eefs-master: "), out.stderr
        return out.stderr

    assert "no version 99999 of 'css/a.css'" in refused("css/a.css@99999")
    assert "no version" in refused("no/such@1")
    present = history(site, master, "css/a.css")[0]["seq"]
    assert "is the current version" in refused("css/a.css@%d" % present)
    for what in ("css/a.css", "css/a.css@x", "/etc/passwd@1", "../x@1", "@1", ".eefs/marker@1"):
        refused(what)
    for name in ("uploads/big.bin", "uploads/x.log"):
        os.unlink(master.path(name))
        wait_for(lambda: name not in master.listing())
        version_of = history(site, master, name)[0]
        assert version_of["state"] == "not kept"
        assert "is not kept" in refused("%s@%d" % (name, version_of["seq"]))
    with open(master.path("css/a.css"), "r+b"):
        assert "open for writing" in refused("css/a.css@%d" % version)
    os.rename(master.path("css/a.css"), master.path("css/b.css"))
    os.mkdir(master.path("css/a.css"))
    assert "a folder of that name" in refused("css/a.css@%d" % version)
    os.rmdir(master.path("css/a.css"))
    os.rename(master.path("css"), master.path("css.old"))
    write(master.path("css"), "a file")
    wait_for(lambda: master.listing().get("css", {}).get("type") == "file")
    assert "a file where one of its folders was" in refused("css/a.css@%d" % version)
    wait_for(lambda: control(master)["kept"]["lost_versions"] == 2
             and control(master)["kept"]["unkept_files"] == 0)
    assert control(master)["kept"]["versions"] >= 3
    master.stop()
    assert "cannot restore: no 'eefs-master serve' answers" in refused("css/a.css@%d" % version)
    # without a store: told as such
    serve(site, master, "--keep-space", "0")
    write(master.path("new.txt"), "new")
    wait_for(lambda: "new.txt" in master.listing())
    assert b"new" not in kept(master) and control(master)["kept"]["space"] == 0


@pytest.mark.skipif(os.getuid() != 0, reason="becomes another user")
def test_only_root_and_the_server_may_restore(site, master):
    master.start()
    wait_for(lambda: b"first" in kept(master))
    edit(master, "css/a.css", b"second")
    version = history(site, master, "css/a.css")[1]["seq"]
    name = next(n for n in os.listdir(site.rundir) if n.startswith("master-"))
    script = ("import socket,os\nos.setuid(33)\ns=socket.socket(socket.AF_UNIX)\n"
              "s.connect(%r)\ns.sendall(b'{\"cmd\":\"restore\",\"path\":\"css/a.css\",\"seq\":%d}\\n')\n"
              "print(s.makefile().readline())" % (os.path.join(site.rundir, name), version))
    import subprocess
    os.chmod(site.rundir, 0o755)
    out = subprocess.run(["python3", "-c", script], capture_output=True, text=True, timeout=20)
    assert json.loads(out.stdout)["code"] == "permission", out
    assert read(master.path("css/a.css")) == b"second"


def test_space_and_number_are_limits_and_the_oldest_goes_first(site, master):
    serve(site, master, "--keep-space", "300K", "--keep-versions", "4")
    wait_for(lambda: {b"first", b"one"} <= kept(master))
    for i in range(8):
        edit(master, "css/a.css", b"%d" % i)
        wait_for(lambda: b"%d" % i in kept(master))
    blobs = [os.urandom(60_000) for _ in range(8)]
    for i, blob in enumerate(blobs):  # each is current for a moment, and then gone
        write(master.path("uploads/blob%d" % i), blob)
        wait_for(lambda: blob in kept(master))
        assert results(master.ops(BOX, {"n": i + 1, "op": "unlink", "path": "uploads/blob%d" % i,
                                        "pre": content_name(blob)})) == ["done"]
    wait_for(lambda: control(master)["kept"]["bytes"] <= 300 * 1024)
    store = kept(master)
    assert blobs[-1] in store and blobs[0] not in store and blobs[1] not in store
    assert b"one" in store and b"7" in store  # current ones go last
    state = [history(site, master, "uploads/blob%d" % i)[0]["state"] for i in range(8)]
    assert state[0] == "not kept" and state[7] == "kept"
    assert state == sorted(state, reverse=True)  # "not kept"… then "kept"…
    master.stop()
    serve(site, master, "--keep-space", "300K", "--keep-versions", "4")
    wait_for(lambda: len(history(site, master, "css/a.css")) == 5)  # pruned soon after the start
    wait_for(lambda: control(master)["kept"]["bytes"] == sum(len(x) for x in kept(master)))


def test_the_first_scan_copies_slowly_and_at_most_half(site, master):
    for i in range(30):
        write(master.path("img/%d.jpg" % i), os.urandom(20_000))
    serve(site, master, "--keep-space", "400K")
    wait_for(lambda: control(master)["kept"]["bytes"] > 150_000)
    wait_for(lambda: control(master)["kept"]["unkept_files"] > 10)
    assert control(master)["kept"]["bytes"] <= 200 * 1024
    assert {b"first", b"one"} <= kept(master)  # the smallest first


@pytest.mark.parametrize("point", ["master.keep.adopted",
                                   pytest.param("master.keep.dropped", marks=pytest.mark.long)])
def test_killed_while_keeping(site, master, point):
    """Files and rows of the store agree after the next start."""
    serve(site, master, "--keep-space", "100K")
    wait_for(lambda: {b"first", b"one"} <= kept(master))
    master.stop()
    serve(site, master, "--keep-space", "100K", env={"EEFS_CRASH_AT": point})
    for i in range(6):
        write(master.path("uploads/b%d" % i), os.urandom(40_000))
    assert master.process.popen.wait(20) == -9
    serve(site, master, "--keep-space", "100K")
    wait_for(lambda: len([p for p in master.listing() if p.startswith("uploads/b")]) == 6)

    def settled():
        found = kept(master)
        state = control(master)["kept"]
        return state["bytes"] == sum(len(x) for x in found) <= 100 * 1024 \
            and state["files"] == len(found)

    wait_for(settled)
    for top, _, names in os.walk(master.path(".eefs/kept")):
        for name in names:
            assert content_name(read(os.path.join(top, name))) == name


def test_damaged_content_is_not_restored(site, master):
    master.start()
    wait_for(lambda: b"first" in kept(master))
    edit(master, "css/a.css", b"second")
    version = history(site, master, "css/a.css")[1]
    path = master.path(".eefs/kept", version["hash"][3:5], version["hash"])
    os.truncate(path, 0)
    out = restore(site, master, "css/a.css@%d" % version["seq"], check=False)
    assert out.returncode == 1 and "is not kept" in out.stderr
    assert read(master.path("css/a.css")) == b"second"
