# SPDX-License-Identifier: MIT
"""Ten mirrors and a local editor write the same files at once: no acknowledged version is lost."""

import base64
import hashlib
import os
import random
import sqlite3
import threading
import time
import urllib.parse

import pytest

from eefs import content_name, program, read, wait_for

FILES = ["uploads/%s.txt" % name for name in ("a", "b", "c", "d", "e")]


class Writer(threading.Thread):
    """What it wrote: versions[data] = (path, the content that it knew to be replacing)."""

    def __init__(self, master, name, stop, seed):
        super().__init__(name=name)
        self.master, self.stop, self.random = master, stop, random.Random(seed)
        self.versions, self.error, self.n = {}, None, 0

    def run(self):
        try:
            while not self.stop.is_set():
                self.n += 1
                self.once(self.random.choice(FILES), ("%s %d " % (self.name, self.n)).encode()
                          * self.random.randint(1, 300))
        except Exception as error:  # shown by the test
            self.error = error


class Editor(Writer):
    """Half of the time in place, half of the time by a temporary file and a rename; what comes to the
    path between its reading and its renaming it replaces blindly."""

    def __init__(self, *args):
        super().__init__(*args)
        self.renamed = set()

    def once(self, path, data):
        real = self.master.path(path)
        if self.random.random() < 0.5:
            try:
                with open(real, "r+b") as f:
                    before = f.read()
                    f.seek(0)
                    f.truncate()
                    f.write(data)
            except FileNotFoundError:
                return
        else:
            try:
                before = read(real)
            except FileNotFoundError:
                before = None
            with open(real + ".tmp", "wb") as f:
                f.write(data)
            os.replace(real + ".tmp", real)
            self.renamed.add(data)
        self.versions[data] = (path, before)
        time.sleep(0.002)


class Mirror(Writer):
    """Puts, and now and then removals and renames, each on what it last saw of the path."""

    def __init__(self, master, name, stop, seed):
        super().__init__(master, name, stop, seed)
        self.token, self.outbox = master.add_mirror(name, "--write", "uploads"), "%032x" % seed
        self.count, self.results = 0, {}

    def ask(self, **op):
        self.count += 1
        answer = self.master.ops(self.outbox, dict(op, n=self.count), token=self.token)
        assert answer.status == 200, answer.body
        answer = answer.json()["answers"][0]
        self.results[answer["result"]] = self.results.get(answer["result"], 0) + 1
        return answer

    def see(self, path):
        try:
            return read(self.master.path(path))
        except FileNotFoundError:
            return None

    def once(self, path, data):
        before = self.see(path)
        pre = content_name(before) if before is not None else "absent"
        kind = self.random.random()
        if kind < 0.05 and before is not None:
            self.ask(op="unlink", path=path, pre=pre)
            return
        if kind < 0.1 and before is not None:
            other = self.random.choice(FILES)
            there = self.see(other)
            if other != path:
                self.ask(op="rename", path=path, to=other, pre=pre,
                         to_pre=content_name(there) if there is not None else "absent")
            return
        answer = self.ask(op="put", path=path, hash=content_name(data), size=len(data),
                          mtime=time.time_ns(), mode=0o644, pre=pre,
                          data=base64.b64encode(data).decode())
        if answer["result"] in ("done", "conflict"):
            self.versions[data] = (path, before)
        else:  # "busy": it would ask again
            assert answer["result"] == "later", answer


def replaced_by(master, data):
    """The contents (names) that followed it wherever it had been published."""
    db = sqlite3.connect(os.path.join(master.state, "master.db"))
    try:
        found = set()
        for folder, name, until in db.execute("SELECT dir, name, until FROM version WHERE hash=?",
                                              (hashlib.sha256(data).digest(),)).fetchall():
            row = db.execute(
                "SELECT hash FROM (SELECT hash, seq FROM version WHERE dir=?1 AND name=?2 UNION ALL "
                "SELECT hash, seq FROM entry WHERE dir=?1 AND name=?2 AND type=1) WHERE seq>=?3 "
                "ORDER BY seq LIMIT 1", (folder, name, until)).fetchone()
            found.add("s2-" + row[0].hex() if row else None)
        return found
    finally:
        db.close()


def contents(top):
    found = set()
    for folder, _, names in os.walk(top):
        for name in names:
            found.add(read(os.path.join(folder, name)))
    return found


@pytest.mark.parametrize("seconds", [4, pytest.param(20, marks=pytest.mark.long)])
def test_no_acknowledged_version_is_lost(site, seconds):
    master = site.master(start=False)
    for i, path in enumerate(FILES):
        os.makedirs(os.path.dirname(master.path(path)), exist_ok=True)
        with open(master.path(path), "wb") as f:
            f.write(b"at first %d" % i)
    master.process = site.spawn("master", [
        program("eefs-master"), "serve", "--root", master.root, "--state", master.state, "--listen",
        "127.0.0.1:%d" % master.port, "--rundir", site.rundir, "--keep-versions", "100000"])
    wait_for(master.healthy)
    stop = threading.Event()
    mirrors = [Mirror(master, "slave%d" % i, stop, 1000 + i) for i in range(10)]
    editor = Editor(master, "editor", stop, 7)
    for thread in [editor, *mirrors]:
        thread.start()
    stop.wait(seconds)
    stop.set()
    for thread in [editor, *mirrors]:
        thread.join()
        assert thread.error is None, (thread.name, thread.error)

    def quiet():
        listing = {urllib.parse.unquote(p): e.get("hash") for p, e in master.listing().items()
                   if e["type"] == "file"}
        disk = {"uploads/" + n: content_name(read(master.path("uploads", n)))
                for n in os.listdir(master.path("uploads"))}
        left = [n for n in os.listdir(master.path(".eefs/staging")) if n.startswith("over-")]
        return listing == disk and not left

    wait_for(quiet, 60, "the tree is the folder")
    present = contents(master.path("uploads"))
    restorable = present | contents(master.path(".eefs/kept"))
    by_mirrors = {data for m in mirrors for data in m.versions}
    assert len(by_mirrors) > 20 and len(editor.versions) > 20
    # Of what a mirror was told that it is there, everything is there or can be restored.
    lost = by_mirrors - restorable
    assert not lost, sorted(x[:20] for x in lost)
    # Of the editor's: or was replaced by one who had read it.
    known = {before for w in [editor, *mirrors] for _, before in w.versions.values()}
    blind = {content_name(data) for data in editor.renamed}
    lost = {data for data in set(editor.versions) - restorable - known
            if not replaced_by(master, data) & blind}
    assert not lost, sorted(x[:20] for x in lost)
