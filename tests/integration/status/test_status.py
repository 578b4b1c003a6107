# SPDX-License-Identifier: MIT
"""eefs-status against sockets and import files made here: states, exit codes, silence."""
import json
import os
import pathlib
import socket
import subprocess
import threading
import time

import pytest

# A mount namespace of its own without the eefs mounts that this machine may have.
ALONE = ["unshare", "--mount", "sh", "-c",
         "awk '$3 == \"fuse.eefs\" {print $2}' /proc/self/mounts | xargs -r umount -l; exec \"$@\"", "sh"]
BIN = pathlib.Path(os.environ.get("EEFS_BIN", "build/bin"))

MOUNT = {"ok": True, "kind": "mount", "instance": "a", "mountpoint": "/nowhere/a", "url": "http://x/",
         "name": "slave1", "state": "OK", "reason": "", "action": "", "link": "up", "lag_ms": 0,
         "pending": 0, "quarantined": 0, "conflicts": 0, "entries": 3, "cache_used": 0,
         "cache_limit": 1048576, "cursor": "", "version": "0"}


def status(rundir, *args):
    out = subprocess.run([*ALONE, BIN / "eefs-status", "--rundir", rundir, "--json", *args],
                         capture_output=True, text=True, timeout=20)
    return out.returncode, json.loads(out.stdout)


class Daemon:
    """Answers each request on a control socket with a fixed object, or not at all."""

    def __init__(self, path, answer):
        self.answer = answer
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        self.socket.listen()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        kept = []
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            kept.append(peer)
            if self.answer is not None:
                peer.makefile().readline()
                peer.sendall(json.dumps(self.answer).encode() + b"\n")


def put_import(rundir, **more):
    state = {"name": "ee", "pid": os.getpid(), "database": "ee", "slot": "/s", "state": "idle",
             "reason": "", "action": "", "updated_ms": int(time.time() * 1000), **more}
    (rundir / "import-ee.json").write_text(json.dumps(state))


def test_nothing_here(tmp_path):
    out = subprocess.run([*ALONE, BIN / "eefs-status", "--rundir", tmp_path], capture_output=True, text=True)
    assert out.returncode == 3 and "no eefs mount" in out.stdout


@pytest.mark.parametrize("more,code", [
    ({}, 0), ({"state": "SYNCING"}, 0), ({"state": "DEGRADED"}, 1), ({"state": "FAILED"}, 2),
    ({"state": "ISOLATED", "down_ms": 1000}, 1), ({"state": "ISOLATED", "down_ms": 1000000}, 2)])
def test_mount_states(tmp_path, more, code):
    Daemon(tmp_path / "mount-a.sock", {**MOUNT, **more})
    got, all_ = status(tmp_path)
    assert got == code and all_["mounts"][0]["state"] == more.get("state", "OK")


def test_silent_master_is_unknown_and_bounded(tmp_path):
    Daemon(tmp_path / "master-x.sock", None)
    begin = time.monotonic()
    code, all_ = status(tmp_path)
    assert code == 3 and all_["masters"][0]["state"] == "unknown"
    assert time.monotonic() - begin < 4


@pytest.mark.parametrize("more,state,code", [
    ({}, "OK", 0), ({"state": "importing"}, "SYNCING", 0),
    ({"state": "failed", "failed": {"count": 1}}, "DEGRADED", 1),
    ({"state": "failed", "failed": {"count": 3}}, "FAILED", 2),
    ({"updated_ms": 1}, "DEGRADED", 1), ({"state": "stopped", "updated_ms": 1}, "OK", 0)])
def test_imports(tmp_path, more, state, code):
    put_import(tmp_path, **more)
    got, all_ = status(tmp_path)
    assert got == code and all_["imports"][0]["state"] == state


def test_worst_wins(tmp_path):
    Daemon(tmp_path / "mount-a.sock", MOUNT)
    put_import(tmp_path, state="failed", failed={"count": 1})
    code, all_ = status(tmp_path)
    assert code == 1 and all_["state"] == "DEGRADED"


def test_wait_with_nothing_pending(tmp_path):
    Daemon(tmp_path / "mount-a.sock", MOUNT)
    out = subprocess.run([*ALONE, BIN / "eefs-status", "--rundir", tmp_path, "--wait", "--timeout", "1s"])
    assert out.returncode == 0


def test_hung_daemons_hold_up_nobody(tmp_path):
    """Ten daemons that are silent: all are named, what answers is shown, within the stated time."""
    Daemon(tmp_path / "mount-a.sock", MOUNT)
    for i in range(10):
        Daemon(tmp_path / ("mount-h%d.sock" % i), None)
        os.symlink("/nowhere/h%d" % i, tmp_path / ("mount-h%d.at" % i))
    Daemon(tmp_path / "master-x.sock", None)
    begin = time.monotonic()
    text = subprocess.Popen([*ALONE, BIN / "eefs-status", "--rundir", tmp_path], stdout=subprocess.PIPE, text=True)
    code, all_ = status(tmp_path, "--conflicts")
    text = text.communicate()[0]
    assert time.monotonic() - begin < 5
    states = {m["mountpoint"]: m["state"] for m in all_["mounts"]}
    assert code == 3 and states == {"/nowhere/a": "OK", **{"/nowhere/h%d" % i: "unknown" for i in range(10)}}
    assert all(str(os.getpid()) in m["reason"] for m in all_["mounts"] if m["state"] == "unknown")
    assert "mount /nowhere/a\n  state    OK" in text and "mount /nowhere/h7\n  state    (unknown)" in text


def test_hung_daemon_spoils_no_other(tmp_path):
    """Who names a mount that answers gets its exit code and at once, also from --wait."""
    Daemon(tmp_path / "mount-a.sock", MOUNT)
    for point in ("h", "a2"):  # a2: a name that begins as the other one
        Daemon(tmp_path / ("mount-%s.sock" % point), None)
        os.symlink("/nowhere/" + point, tmp_path / ("mount-%s.at" % point))
    os.symlink("/nowhere/a", tmp_path / "mount-a.at")
    argv = [*ALONE, BIN / "eefs-status", "--rundir", tmp_path]
    begin = time.monotonic()
    assert subprocess.run([*argv, "/nowhere/a/img"]).returncode == 0
    assert subprocess.run([*argv, "--wait", "--timeout", "1s", "/nowhere/a"]).returncode == 0
    assert time.monotonic() - begin < 1.5
    out = subprocess.run([*argv, "--wait", "--timeout", "1s"], capture_output=True, text=True)
    assert out.returncode == 3 and time.monotonic() - begin < 20
    assert "'/nowhere/h' does not answer" in out.stderr and "'/nowhere/a'" not in out.stderr


FORGED = "fine\nmount /forged\n  state    OK\x1b[2J\u202e\u009b1m"


def test_texts_of_others_forge_nothing(tmp_path):
    """Control characters, newlines and bidirectional controls of any text are escaped, in all forms of output."""
    text = {k: FORGED if isinstance(v, str) and k not in ("kind", "mountpoint") else v for k, v in MOUNT.items()}
    conflict = {k: FORGED for k in ("path", "copy", "place", "ours", "theirs")}
    Daemon(tmp_path / "mount-a.sock", {**text, "mountpoint": "/nowhere/" + FORGED, "conflicts": [conflict]})
    Daemon(tmp_path / "master-m.sock", {"ok": True, "kind": "master", "state": "OK", "root": FORGED,
                                        "notices": {FORGED: [{"path": FORGED, "text": FORGED, "since": FORGED}]},
                                        "problems": [{"reason": FORGED}] * 2,
                                        "mirrors": [{"name": FORGED, "state": FORGED, "reason": FORGED}]})
    put_import(tmp_path, name=FORGED, database=FORGED, slot=FORGED, reason=FORGED, action=FORGED)
    for args in ([], ["--conflicts"], ["--json"], ["--wait", "--timeout", "1s"], ["--retry"]):
        out = subprocess.run([*ALONE, BIN / "eefs-status", "--rundir", tmp_path, *args], capture_output=True)
        shown = (out.stdout + out.stderr).decode()
        assert (shown or "--wait" in args) and not any(c in shown for c in "\x1b\u202e\u009b")
        assert not any(line.startswith("mount /forged") for line in shown.splitlines())


def test_names_that_are_not_utf8(tmp_path):
    """Bytes of a mountpoint or file name that are not UTF-8 hide nothing."""
    (tmp_path / os.fsdecode(b"import-\xff.json")).write_text("{")
    Daemon(tmp_path / "mount-a.sock", None)
    os.symlink(b"/nowhere/\xff\xfe", os.fsencode(tmp_path) + b"/mount-a.at")
    code, all_ = status(tmp_path)
    assert code == 3 and all_["mounts"][0]["mountpoint"] == "/nowhere/\\xff\\xfe"
    assert all_["imports"][0]["name"] == "import-\\xff.json"
    code, all_ = status(tmp_path, os.fsdecode(b"/nowhere/\xff\xfe/x"))
    assert code == 3 and len(all_["mounts"]) == 1
