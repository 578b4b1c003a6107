# SPDX-License-Identifier: MIT
"""A first mount whose master is not there yet, or is in its first scan: it waits as nfs(5) does."""
import os
import re
import signal
import subprocess
import time

import pytest

import peer as faults
from eefs import mounts, read, unmount, wait_for, write
from peer import Peer


@pytest.fixture
def master(site):
    master = site.master(start=False)
    write(master.path("css/a.css"), "body{}")
    return master


def begin(site, mount, **options):
    """mount.eefs as mount(8) calls it, without waiting for it; and where its words go."""
    log = os.path.join(site.base, "begun.log")
    with open(log, "wb") as out:
        child = subprocess.Popen(mount.argv(**options), stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                 env=site.env(), preexec_fn=lambda: signal.signal(
                                     signal.SIGINT, signal.SIG_DFL))  # may be ignored all along
    site.cleanups.append(lambda: (child.kill(), child.wait()))
    return child, log


def test_master_that_comes_later(site, master):
    """Not reachable, then in its scan (503), then there: the mount waits and says for what."""
    line = Peer(master.port)
    site.links.append(line)
    mount = site.mount(master, url=line.url, start=False)
    child, log = begin(site, mount, retry=None)
    wait_for(lambda: b"waiting for the master, 2 min" in read(log))
    assert child.poll() is None and mount.point not in mounts()
    line.set(faults.unavailable(1.0))
    master.start()
    wait_for(lambda: len(read(log).splitlines()) >= 2)
    assert child.poll() is None
    line.set(None)
    assert child.wait(30) == 0 and mount.mounted()
    assert read(mount.path("css/a.css")) == b"body{}"
    assert unmount(mount.point)


def test_background(site, master):
    """bg: mount(8) is done at once, and the mount comes with the master; a silent one is no master either."""
    link = site.link(master)
    link.stall()
    mount = site.mount(master, url=link.url, start=False)
    start = time.monotonic()
    out = mount.try_start(bg=True, retry=None)
    assert out.returncode == 0 and time.monotonic() - start < 5, out.stderr
    assert mount.point not in mounts()
    link.restore()
    master.start()
    wait_for(mount.mounted, 40)
    assert read(mount.path("css/a.css")) == b"body{}"
    assert unmount(mount.point)


def test_retry_ends(site, master):
    mount = site.mount(master, start=False)
    start = time.monotonic()
    out = mount.try_start(retry=0)
    assert out.returncode == 32 and time.monotonic() - start < 10
    assert "cannot reach the master" in out.stderr and len(out.stderr.splitlines()) == 1


def test_what_will_not_pass_fails_at_once(site, master):
    master.start()
    mount = site.mount(master, start=False, token="0" * 64)
    for options in ({}, {"bg": True}):
        start = time.monotonic()
        out = mount.try_start(retry=None, **options)
        assert out.returncode == 32 and time.monotonic() - start < 10, options
        assert re.search("token", out.stderr) and "waiting" not in out.stderr


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interrupted_wait_leaves_nothing(site, master, how):
    """Whoever ends mount(8) ends what waits for the master, too, and the cache is free again."""
    mount = site.mount(master, start=False)
    child, log = begin(site, mount, retry=None)
    wait_for(lambda: b"waiting" in read(log))
    child.send_signal(how)
    assert child.wait(10) != 0
    wait_for(lambda: not list(site._strays()), 10)
    master.start()
    assert mount.try_start().returncode == 0
    assert unmount(mount.point)
