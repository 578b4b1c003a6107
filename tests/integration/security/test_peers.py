# SPDX-License-Identifier: MIT
"""Control sockets and local users: what one does not see in the mount is not named to him, and none shuts out the
others."""
import hashlib
import json
import os
import subprocess
import sys
import time

import pytest

from eefs import read, wait_for, write

NOBODY = 65534

ASK = """
import json, os, socket, sys
os.setgroups([]); os.setgid(%d); os.setuid(%d)
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
f = s.makefile("rw")
for request in sys.argv[2:]:
    f.write(request + "\\n"); f.flush()
    print(f.readline().strip())
""" % (NOBODY, NOBODY)


def ask(path, *requests):
    out = subprocess.run([sys.executable, "-c", ASK, path, *[json.dumps(r) for r in requests]], capture_output=True,
                         text=True, timeout=60, check=True)
    return [json.loads(line) for line in out.stdout.splitlines()]


@pytest.fixture
def hidden(site):
    """A mount with changes, conflicts and refusals in what others see and in what they do not."""
    master = site.master(start=False)
    for path in ("uploads/open", "sql/slave1/secret-dump", "private/secret-name"):
        write(master.path(path), "first")
    master.add_mirror("slave1", "--write", "/")
    master.start()
    link = site.link(master)
    mount = site.mount(master, url=link.url, allow_other=True, prefetch="none")
    for path in ("uploads/open", "sql/slave1/secret-dump", "private/secret-name"):
        read(mount.path(path))
    os.chmod(mount.path("private"), 0o700)
    mount.synced()
    link.cut()
    wait_for(lambda: mount.status()["link"] == "down")
    for path in ("uploads/open", "sql/slave1/secret-dump", "private/secret-name"):
        write(mount.path(path), "mirror's")
        write(master.path(path), "editor's")
    link.restore()
    wait_for(lambda: mount.status()["conflicts"] == 3)
    return mount


def test_names_below_private_are_not_told(site, hidden):
    sock = os.path.join(site.rundir, "mount-slave1.sock")
    status, conflicts, quarantine, wait, watch = ask(
        sock, {"cmd": "status"}, {"cmd": "conflicts"}, {"cmd": "quarantine"},
        {"cmd": "wait", "path": "sql/slave1", "timeout_ms": 10}, {"cmd": "watch", "path": "private/x"})
    text = json.dumps([status, conflicts, quarantine, wait, watch])
    assert "secret" not in text
    assert status["conflicts"] == 3 and [c["path"] for c in conflicts["conflicts"]] == ["uploads/open"]
    assert wait["code"] == watch["code"] == "denied"
    out = site.run("eefs-status", "--json", "--conflicts", check=False)
    assert "secret-dump" in out.stdout and "secret-name" in out.stdout  # root is told


def test_who_may_remove_a_file_may_ask_for_it(site):
    """The importer is no root: it removes the dump that it has imported from the slot that is its own."""
    master = site.master()
    for path in ("sql/slave1/mine", "uploads/others"):
        write(master.path(path), "x")
    mount = site.mount(master, allow_other=True, private="sql/slave1:%d" % NOBODY, uid=0)
    wait_for(lambda: os.path.exists(mount.path("sql/slave1/mine")) and os.path.exists(mount.path("uploads/others")))
    digest = "s2-" + hashlib.sha256(b"x").hexdigest()
    others, stale, mine = ask(
        os.path.join(site.rundir, "mount-slave1.sock"),
        {"cmd": "remove", "path": "uploads/others", "hash": digest},
        {"cmd": "remove", "path": "sql/slave1/mine", "hash": "s2-" + 64 * "0"},
        {"cmd": "remove", "path": "sql/slave1/mine", "hash": digest})
    assert (others["code"], stale["code"], mine["ok"]) == ("denied", "changed", True)
    wait_for(lambda: not os.path.exists(master.path("sql/slave1/mine")))
    assert os.path.exists(master.path("uploads/others"))


def test_changes_of_what_is_hidden_are_not_streamed(site, hidden):
    sock = os.path.join(site.rundir, "mount-slave1.sock")
    script = ASK.replace("for request", "s.settimeout(20)\nfor request") + "\nwhile True:\n    print(f.readline().strip(), flush=True)\n"
    child = subprocess.Popen([sys.executable, "-c", script, sock, '{"cmd":"watch","path":""}'],
                             stdout=subprocess.PIPE, text=True)
    try:
        assert json.loads(child.stdout.readline())["ok"]
        write(hidden.master.path("sql/slave1/another-secret"), "x")
        write(hidden.master.path("private/one-more-secret"), "x")
        wait_for(lambda: os.path.exists(hidden.path("private/one-more-secret"))
                 and os.path.exists(hidden.path("sql/slave1/another-secret")))
        write(hidden.master.path("uploads/last"), "x")
        lines = []
        while "uploads/last" not in "".join(lines):
            lines.append(child.stdout.readline())
            assert lines[-1]
        assert "secret" not in "".join(lines)
    finally:
        child.kill()
        child.wait()


def test_master_names_nothing_to_others(site):
    master = site.master(start=False)
    write(master.path("secret-folder/held-open"), "x")
    master.start()
    with open(master.path("secret-folder/held-open"), "a") as f:
        f.write("more")
        f.flush()
        name = next(n for n in os.listdir(site.rundir) if n.startswith("master-"))
        wait_for(lambda: "held-open" in site.run("eefs-status", "--json", check=False).stdout)
        assert "secret" not in json.dumps(ask(os.path.join(site.rundir, name), {"cmd": "status"}))


HOG = """
import os, socket, sys, time
os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))
kept = []
for i in range(100):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(5)
    s.connect(sys.argv[1])
    kept.append(s)
    try:
        s.sendall(b'{"cmd":"' + b'x' * 3_000_000)
    except OSError:
        pass
print("full", flush=True)
time.sleep(60)
"""


def rss(pid):
    with open("/proc/%d/statm" % pid) as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_one_user_does_not_exhaust_the_daemon(site):
    """A hundred connections with requests of 3 MB: little memory, and everybody else is answered at once."""
    master = site.master()
    mount = site.mount(master)
    before = rss(mount.process.pid)
    sock = os.path.join(site.rundir, "mount-slave1.sock")
    hogs = [subprocess.Popen([sys.executable, "-c", HOG, sock, str(uid)], stdout=subprocess.PIPE)
            for uid in (NOBODY - 1, NOBODY - 2)]
    try:
        for hog in hogs:
            assert hog.stdout.readline() == b"full\n"
        begin = time.monotonic()
        assert ask(sock, {"cmd": "status"})[0]["ok"] and mount.status()["state"] == "OK"
        assert time.monotonic() - begin < 5 and rss(mount.process.pid) - before < 30 << 20
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()
