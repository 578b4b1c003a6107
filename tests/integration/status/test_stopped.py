# SPDX-License-Identifier: MIT
"""Daemons that stand still (SIGSTOP, as under a debugger): eefs-status names the one that does, shows
the others, and spoils neither their exit codes nor --wait for them; all goes on afterwards."""

import contextlib
import os
import pathlib
import signal
import time

import pytest

from eefs import SLOW, read, wait_for, write
from mariadb import MariaDB
from sqlservice import Importer


@contextlib.contextmanager
def stopped(pid):
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_for(lambda: read("/proc/%d/stat" % pid).rsplit(b")", 1)[1].split()[0] == b"T")
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def ask(site, *args):
    """(exit code, stdout, stderr) within a bound."""
    began = time.monotonic()
    done = site.run("eefs-status", *args, check=False)
    assert time.monotonic() - began < 6 * SLOW, args
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def pair(site):
    master = site.master(start=False)
    write(master.path("css/a.css"), "a")
    write(master.path("uploads/one.txt"), "one")
    master.start()
    still, well = site.mount(master, "slave1"), site.mount(master, "slave2")
    for mount in (still, well):
        wait_for(lambda: mount.status()["state"] == "OK")
    return master, still, well


def test_a_mount_that_stands_still(site, pair):
    master, still, well = pair
    with stopped(still.process.pid):
        code, status = site.status()
        states = {m["mountpoint"]: m for m in status["mounts"]}
        assert code == 3 and states[well.point]["state"] == "OK" and status["masters"][0]["state"] == "OK"
        assert states[still.point]["state"] == "unknown" and "kill -CONT" in states[still.point]["action"]
        assert str(still.process.pid) in states[still.point]["reason"] and "SIGSTOP" in states[still.point]["reason"]
        # The other one: its state, its exit code and its waits are its own.
        assert ask(site, well.point)[0] == 0
        write(well.path("uploads/two.txt"), "two")
        assert ask(site, "--wait", "--timeout", "5s", well.point)[0] == 0
        assert read(master.path("uploads/two.txt")) == b"two"
        began = time.monotonic()
        code, _, error = ask(site, "--wait", "--timeout", "1s")
        assert code == 3 and still.point in error and well.point not in error, error
        assert time.monotonic() - began < 5 * SLOW
        assert ask(site, still.point)[0] == 3
        # And to the master it is one that is silent, no more.
        write(master.path("css/b.css"), "b")
        wait_for(lambda: os.path.exists(well.path("css/b.css")))
    wait_for(lambda: still.status()["state"] == "OK", 30)
    assert read(still.path("css/b.css")) == b"b" and read(still.path("uploads/two.txt")) == b"two"


def test_a_master_that_stands_still(site, pair):
    master, still, well = pair
    with stopped(master.process.pid):
        code, status = site.status()
        assert code == 3 and status["masters"][0]["state"] == "unknown", status
        assert "SIGSTOP" in status["masters"][0]["reason"] and str(master.process.pid) in status["masters"][0]["reason"]
        assert len(status["mounts"]) == 2 and all(m["state"] != "unknown" for m in status["mounts"])
        assert read(well.path("css/a.css")) == b"a"
        began = time.monotonic()
        write(well.path("uploads/two.txt"), "two")  # queued: the wait for the master ends
        assert time.monotonic() - began < 20 * SLOW
        code, _, _ = ask(site, "--wait", "--timeout", "1s", well.point)
        assert code != 0
        # Mirrors notice that nothing comes: that is told, and read on.
        wait_for(lambda: well.status()["state"] == "ISOLATED", 60)
    wait_for(lambda: well.status()["state"] == "OK" and still.status()["state"] == "OK", 60)
    well.synced()
    assert read(master.path("uploads/two.txt")) == b"two"
    assert site.status()[0] == 0


def test_an_importer_that_stands_still(site, tmp_path):
    """It is named with its process: to start another one would be no help."""
    slot = tmp_path / "slot"
    slot.mkdir()
    with MariaDB() as db:
        importer = Importer(db, tmp_path, slot, rundir=pathlib.Path(site.rundir))
        importer.start()
        try:
            wait_for(lambda: site.status()[0] == 0)
            with stopped(importer.process.pid):
                code, status = site.status()
                told = status["imports"][0]
                assert code == 1 and told["state"] == "DEGRADED", told
                assert str(importer.process.pid) in told["reason"] and "SIGSTOP" in told["reason"], told
                assert told["action"] == "kill -CONT %d" % importer.process.pid
            wait_for(lambda: site.status()[0] == 0)
        finally:
            importer.stop()
