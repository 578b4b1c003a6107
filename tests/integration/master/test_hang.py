# SPDX-License-Identifier: MIT
"""The filesystem below the master's folder hangs (a bindfs that stands still): whoever asks gets a true
answer in time, systemd is told the truth, and all goes on when the filesystem does."""

import os
import signal
import socket
import threading
import time

import pytest

from disk import bindfs_master
from eefs import read, wait_for, write
from test_mirror_writes import BOX, put, results


@pytest.fixture
def master(site):
    master, bindfs = bindfs_master(site)
    master.options = ["--quiet-time", "500ms"]
    master.hang = lambda: bindfs.send_signal(signal.SIGSTOP)
    master.go_on = lambda: bindfs.send_signal(signal.SIGCONT)
    return master


class Systemd(threading.Thread):
    """What it hears on NOTIFY_SOCKET, with the time."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.heard, self.socket = [], socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.start()

    def run(self):
        while True:
            text = self.socket.recv(4096).decode()
            self.heard.append((time.monotonic(), text))

    def last(self, what):
        return max((at for at, text in self.heard if what in text), default=None)

    def silent(self, what):
        return time.monotonic() - self.last(what)


@pytest.mark.san
def test_a_folder_that_hangs(master, site):
    path = os.path.join(site.base, "notify")
    systemd = Systemd(path)
    master.start(env={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "2000000"})
    wait_for(lambda: len([1 for _, text in systemd.heard if text == "WATCHDOG=1"]) > 3)
    _, cursor = master.changes()
    master.hang()
    answers = []
    poll = threading.Thread(target=lambda: answers.append(
        master.get("/v1/changes?wait=50&since=" + cursor, timeout=60)))
    poll.start()
    asker = threading.Thread(target=lambda: answers.append(
        master.ops(BOX, put(1, "uploads/one.txt", b"new", b"one"))))
    asker.start()
    # The committer waits for the folder: no more sign of life for the watchdog, but a reason.
    wait_for(lambda: systemd.silent("WATCHDOG=1") > 4, 20)
    wait_for(lambda: systemd.last("STATUS=the folder"))
    for _ in range(10):
        began = time.monotonic()
        state, health = master.control(), master.get("/healthz", token=None)
        assert time.monotonic() - began < 2
        assert health.status == 503 and state["state"] == "FAILED", state
        assert "has not answered for" in state["reason"] and state["action"]
    code, status = site.status()
    assert code == 2 and status["masters"][0]["state"] == "FAILED"
    began = time.monotonic()
    assert master.get("/v1/hello").status == 503 and time.monotonic() - began < 2
    assert systemd.silent("WATCHDOG=1") > 4 and systemd.silent("STATUS=the folder") < 4
    master.go_on()
    wait_for(lambda: systemd.silent("WATCHDOG=1") < 1)
    wait_for(lambda: systemd.silent("STATUS=serving") < 2)
    asker.join(30)
    poll.join(30)
    assert len(answers) == 2 and all(a.status == 200 for a in answers)
    assert results(next(a for a in answers if b"answers" in a.body)) == ["done"]
    assert read(master.path("uploads/one.txt")) == b"new"
    wait_for(lambda: master.control()["state"] == "OK")
    write(master.path("uploads/three.txt"), "three")
    wait_for(lambda: "uploads/three.txt" in master.listing(), 20)


def test_stopped_while_the_folder_hangs(master):
    master.start()
    master.hang()
    wait_for(lambda: master.control()["state"] == "FAILED", 20)
    master.process.signal(signal.SIGTERM)
    assert master.process.popen.wait(15) == 1
    assert "does not answer; stopping without waiting for it" in master.process.log()
    # And it can be stopped while it waits for the folder at its start.
    master.start(wait=False)
    fds = "/proc/%d/fd" % master.process.pid
    wait_for(lambda: [n for n in os.listdir(fds) if os.readlink(os.path.join(fds, n)).endswith("master.db")])
    master.process.signal(signal.SIGTERM)
    assert master.process.popen.wait(15) == -signal.SIGTERM
    master.go_on()
    master.start()
    assert "uploads/one.txt" in master.listing()
