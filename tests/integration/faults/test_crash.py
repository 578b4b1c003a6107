# SPDX-License-Identifier: MIT
"""kill -9 at every named step (sync/common/crash.h) of push and replay, of the mount daemon and of the
master: what returned is there, nothing is there twice, and all goes on.

One visitor works on a mount, an editor on the master's folder beside him; whatever returned is done
on a plain folder too. After the crash the mount, the master and the plain folder are compared.

    CRASH_ROUNDS=n     rounds instead of 30 (300 if long)
    CRASH_SEED=n       other random numbers
"""

import errno
import os
import random
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from disk import small_disk
from eefs import Site, Timeout, tree, unmount, wait_for, write
from peer import Peer

MOUNT = ["fs.sealed", "store.publish", "replica.create.committed", "replica.publish.committed",
         "replica.mkdir.committed", "replica.rename.committed", "replica.unlink.committed",
         "replica.rmdir.committed", "replica.setattr.committed", "replica.symlink.committed",
         "replica.commit"]
PUSH = ["replica.outbox.sent", "upload.sent", "push.send", "push.answered",
        "replica.answer.committed", "pull.commit", "replica.feed.staged", "replica.feed.committed",
        "replica.commit"]
MASTER = ["master.put.staged", "master.put.named", "master.put.exchanged", "master.put.published",
          "master.remove.unlinked", "master.rename.exchanged", "master.rename.renamed",
          "master.rename.copied", "master.carry.copied", "master.link.renamed", "master.op.noted", "master.op.applied", "master.op.committed",
          "master.op.synced", "master.ops.applied", "master.ops.committed",
          "master.upload.verified", "master.scan.applied", "master.scan.committed"]
# Reached with another filesystem below the master's folder only.
ACROSS = ["master.rename.copied", "master.carry.copied"]
if os.getuid() != 0:  # who cannot mount one
    MASTER = [point for point in MASTER if point not in ACROSS]
# (who dies, when, at which points)
MATRIX = ([("mount", "online", p) for p in MOUNT + PUSH] + [("mount", "replay", p) for p in PUSH]
          + [("master", "online", p) for p in MASTER] + [("master", "replay", p) for p in MASTER])
DEAD = {errno.ENOTCONN, errno.ECONNABORTED, errno.EIO}
FILES = ["a", "b.txt", "d/c", "d/e/g", "f/h"]
DIRS = ["d", "f", "d/e"]
AWAY = ["v/%d" % i for i in range(4)]  # on another filesystem …
STAGING = b"v/.eefs"  # … which has this, too


class Steps:
    """Drawn steps, each one call's worth: its outcome is all or nothing."""

    def __init__(self, rng, files):
        self.rng, self.files, self.n = rng, files, 0

    def draw(self):
        """(name, function of a top folder)"""
        rng, self.n = self.rng, self.n + 1
        file, other, folder, target = (rng.choice(self.files), rng.choice(self.files), rng.choice(DIRS),
                                       rng.choice(DIRS))
        data = b"%d by step %d\n" % (rng.randrange(1 << 60), self.n) * rng.choice([1, 30, 5000])
        mode = rng.choice([0o644, 0o600, 0o664])
        kind = rng.choices(["write", "rename", "unlink", "mkdir", "rmdir", "move", "chmod", "link"],
                           [9, 4, 2, 4, 2, 2, 2, 1])[0]

        def at(top, path):
            return os.path.join(top, path)

        def put(top):
            fd = os.open(at(top, file), os.O_RDWR | os.O_CREAT, 0o644)
            try:
                os.ftruncate(fd, 0)
                os.write(fd, data)
            finally:
                os.close(fd)

        def chmod(top):
            if os.stat(at(top, file)).st_mode & 0o7777 != mode:
                os.chmod(at(top, file), mode)

        return {
            "write": ("write %s (%d)" % (file, len(data)), put),
            "rename": ("rename %s %s" % (file, other),
                       lambda top: os.rename(at(top, file), at(top, other))),
            "unlink": ("unlink " + file, lambda top: os.unlink(at(top, file))),
            "mkdir": ("mkdir " + folder, lambda top: os.mkdir(at(top, folder))),
            "rmdir": ("rmdir " + folder, lambda top: os.rmdir(at(top, folder))),
            "move": ("rename %s %s" % (folder, target),
                     lambda top: os.rename(at(top, folder), at(top, target))),
            "chmod": ("chmod %s %o" % (file, mode), chmod),
            "link": ("symlink", lambda top: os.symlink("to%d" % self.n, at(top, "l%d" % self.n))),
        }[kind]


EDITED = ["edited%d" % i for i in range(4)]  # the editor's own files


def shape(top, skip=()):
    """The tree without times: the plain folder has its own."""
    return {p: (v[0], v[1], v[3]) for p, v in tree(top, [STAGING, *map(os.fsencode, skip)]).items()}


class Round:
    def __init__(self, site, master, mount, line, number, spec, rng):
        self.site, self.master, self.mount, self.line = site, master, mount, line
        self.who, self.phase, self.point = spec
        self.rng = rng
        self.folder = "uploads/r%d" % number
        self.plain = os.path.join(site.base, "plain", "r%d" % number)
        self.files = FILES[:2] + AWAY if self.point in ACROSS else FILES
        self.log = []
        self.unknown = None  # the step during which the mount died
        self.edits = 0
        self.crash = {"EEFS_CRASH_AT": "%s:%d" % (self.point, rng.choice([1, 1, 1, 1, 2, 3]))}

    @property
    def top(self):
        return self.mount.path(self.folder)

    def dead(self):
        return not (self.mount if self.who == "mount" else self.master).process.running()

    def edit(self):
        """The editor's own files, so that there is a feed."""
        self.edits += 1
        name = EDITED[self.rng.randrange(4)]
        data = b"edit %d" % self.edits
        write(os.path.join(self.master.path(self.folder), name), data)
        os.chmod(os.path.join(self.master.path(self.folder), name), 0o644)
        write(os.path.join(self.plain, name), data)
        os.chmod(os.path.join(self.plain, name), 0o644)

    def step(self, steps):
        """False when the mount is dead."""
        name, act = steps.draw()
        try:
            act(self.top)
        except OSError as error:
            if error.errno in DEAD:
                self.unknown = (name, act)
                self.log.append(name + ": the mount died")
                return False
            mine = error.errno
        else:
            mine = 0
        try:
            act(self.plain)
            plain = 0
        except OSError as error:
            plain = error.errno
        self.log.append("%s%s" % (name, ": " + os.strerror(mine) if mine else ""))
        assert mine == plain, "%s says %d, a plain folder %d" % (name, mine, plain)
        return True

    def restart_mount(self, env=None):
        self.mount.process.popen.wait(30)
        while self.mount.mounted():
            unmount(self.mount.point, lazy=True)
        self.start_mount(env)

    def start_mount(self, env=None):
        try:
            self.mount.start(env=env)
        except AssertionError:
            assert env and self.mount.process.popen.poll() == -signal.SIGKILL  # its point came early

    def restart_master(self, env=None):
        if self.master.process.running():
            code = self.master.process.stop()
            # Its point may come while it stops.
            assert code in (0, -signal.SIGKILL), "exited with %d:\n%s" % (
                code, self.master.process.log())
        self.master.start(env=env, wait=not env)
        if env:  # it may die in its first scan already
            wait_for(lambda: not self.master.process.running() or self.master.healthy(), 15)

    def compare_mount(self):
        """The mount alone, the master out of reach: the outbox has what returned."""
        # What the editor made may not have been fetched: it is not looked at.
        now, want = shape(self.top, EDITED), shape(self.plain, EDITED)
        if self.unknown and now != want:
            self.log.append("it was done")
            self.unknown[1](self.plain)
            want = shape(self.plain, EDITED)
        assert now == want, "after the restart"
        self.unknown = None

    def wait_equal(self):
        want = shape(self.plain)
        root = self.master.path(self.folder)
        try:
            wait_for(lambda: shape(root) == want, 15)
            wait_for(lambda: tree(self.top) == tree(root, [STAGING]), 15)
        except Timeout:
            for path in sorted(set(want) | set(shape(root)) | set(shape(self.top))):
                print(path, *(str(s.get(path))[:90] for s in (want, shape(root), shape(self.top))))
            raise AssertionError("plain folder, master and mount differ") from None

    def compare_all(self):
        self.mount.synced()
        self.wait_equal()
        status = self.mount.status()
        assert (status["conflicts"], status["quarantined"]) == (0, 0), status

    def prepare(self):
        if self.point in ACROSS:
            self.site.cleanups.append(small_disk(os.path.join(self.master.path(self.folder), "v"), 100))
        for top in self.plain, self.master.path(self.folder):
            for file in self.files:
                write(os.path.join(top, file), file * 100)
        if self.point in ACROSS:
            os.kill(self.master.process.pid, signal.SIGHUP)  # a scan finds what was mounted
        self.wait_equal()

    def work(self, steps, n):
        """n steps with edits between them; ends early when the mount dies."""
        for _ in range(n):
            if self.rng.random() < 0.3:
                self.edit()
            if (self.who == "mount" and self.dead()) or not self.step(steps):
                return

    def run(self):
        steps = Steps(self.rng, self.files)
        self.prepare()
        if self.phase == "replay":
            self.line.refuse()
            self.work(steps, 25)
            self.mount.stop()
            if self.who == "master":
                self.restart_master(self.crash)
                self.mount.start()
            else:
                self.start_mount(self.crash)
            self.line.set(None)
            try:
                wait_for(lambda: self.dead() or not self.mount.status()["pending"], 15)
            except (StopIteration, KeyError):
                pass  # died while it was asked
        else:
            if self.who == "master":
                self.restart_master(self.crash)
                wait_for(lambda: self.dead() or self.mount.status()["link"] == "up", 15)
            else:
                self.mount.stop()
                self.start_mount(self.crash)
            self.work(steps, 40)
        fired = self.dead()
        if self.who == "mount":
            self.line.refuse()
            self.mount.kill()  # if it is not dead already
            self.restart_mount()
            self.compare_mount()
            self.line.set(None)
        else:
            self.restart_master()
        self.work(steps, 10)
        self.compare_all()
        return fired


def run_rounds(site, numbers):
    """Returns the points that were reached, as (who, when, point)."""
    master = site.master(start=False)
    os.makedirs(master.path("uploads"))
    master.add_mirror("slave1")
    master.start()
    line = Peer(master.port)
    site.links.append(line)
    mount = site.mount(master, url=line.url, umask="0")
    reached = []
    for number in numbers:
        rng = random.Random("%s %d" % (os.environ.get("CRASH_SEED", ""), number))
        # The first pass over the matrix is spread, so that few rounds see something of all.
        spec = MATRIX[(number * 17) % len(MATRIX)]
        one = Round(site, master, mount, line, number, spec, rng)
        try:
            if one.run():
                reached.append(spec)
        except Exception:
            print("round %d: %s %s at %s" % ((number,) + spec[:2] + (one.crash["EEFS_CRASH_AT"],)))
            print("\n".join(one.log))
            raise
    return reached


@pytest.mark.parametrize("part", range(3))
def test_crash(site, part):
    rounds = int(os.environ.get("CRASH_ROUNDS", 30))
    numbers = range(part, rounds, 3)
    reached = run_rounds(site, numbers)
    print("%d of %d rounds reached their point" % (len(reached), len(numbers)))
    assert len(reached) >= len(numbers) // 4


def run_apart(numbers):
    """Rounds on a site of their own."""
    site = Site()
    try:
        reached = run_rounds(site, numbers)
    except Exception:
        print(site.logs())
        raise
    finally:
        site.stop_all()
        bad = site.suspicious()
        site.remove()
    assert not bad, "a daemon reported:\n" + "\n".join(bad)
    return reached


@pytest.mark.long
def test_crash_long():
    """Several at a time: most of a round is waiting."""
    last, wide = int(os.environ.get("CRASH_ROUNDS", 300)), 2 * os.cpu_count()
    with ThreadPoolExecutor(wide) as pool:
        parts = [pool.submit(run_apart, range(30 + i, last, wide)) for i in range(wide)]
    failed = [str(p.exception()) for p in parts if p.exception()]
    assert not failed, "\n".join(failed)
    reached = [spec for p in parts for spec in p.result()]
    missed = set(MATRIX) - set(reached)
    print("never reached:", sorted(missed))
    assert len(missed) <= len(MATRIX) // 5
