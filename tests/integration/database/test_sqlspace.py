# SPDX-License-Identifier: MIT
"""Full disks under the database server and under the importer's state: the live database is as before,
the dump stays, the reason is told, and it is imported as soon as there is room."""
import os
import subprocess

import pytest
from disk import fill, free, small_disk
from eefs import wait_for
from mariadb import MariaDB
from sqlmirror import BIN, SqlMirror

RESERVE = 64 << 20  # what an import leaves free on the server's disk

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="mounts a tmpfs")

SITE = """
CREATE TABLE a (id INT PRIMARY KEY, k INT, t TEXT) ENGINE={0};
CREATE TABLE b (id INT PRIMARY KEY, k INT) ENGINE={0};
INSERT INTO a SELECT seq, 1, REPEAT(MD5(seq), 100) FROM seq_1_to_{1}; INSERT INTO b VALUES (1,1),(2,1);
"""


@pytest.fixture(scope="module")
def db(tmp_path_factory):
    """A server on a disk of its own."""
    folder = str(tmp_path_factory.mktemp("server"))
    unmount = small_disk(folder, 500)
    try:
        with MariaDB(folder, ["--innodb-log-file-size=10M", "--innodb-buffer-pool-size=20M"]) as server:
            server.sql("CREATE DATABASE site")
            yield server
    finally:

        unmount()


@pytest.fixture
def mirror(db, tmp_path):
    return SqlMirror(db, tmp_path)


class Service:
    def __init__(self, mirror):
        self.mirror, self.log = mirror, mirror.tmp / "log"

    def __enter__(self):
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(self.mirror.args("--poll", "100ms"), stderr=log)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        assert self.process.wait(30) == 0

    def waits_for_room(self):
        """It says so, and what to do; the dump is kept."""
        state = wait_for(lambda: (lambda s: s["state"] == "waiting_database" and s)(self.mirror.state()), 60)
        assert "free space" in state["action"] and "failed" not in state, state
        assert state["reason"] in self.log.read_text()
        assert (self.mirror.slot / "live.sql").exists()
        return state["reason"]


@pytest.mark.parametrize("engine, begins", [("InnoDB", False), ("MyISAM", False), ("InnoDB", True)])
def test_server_without_room(mirror, db, engine, begins):
    """It is seen before the import begins, or while tables are filled. The server is left some room:
    MariaDB ends itself when its disk is full."""
    db.sql("DROP DATABASE site; CREATE DATABASE site")
    db.sql(SITE.format(engine, 2000 if begins else 500), "site")
    first = db.dump("site")
    mirror.imported(first)
    before = mirror.picture()
    db.sql("UPDATE a SET k=2, t=REPEAT(MD5(id+1), 1000); UPDATE b SET k=2", "site")
    data = db.dump("site")
    ballast = os.path.join(db.folder, "ballast")
    room = RESERVE + (len(data) + 4_000_000 if begins else 8_000_000)
    fill(ballast, room)
    with Service(mirror) as service:
        mirror.put(data)
        service.waits_for_room()
        assert mirror.picture() == before
        wait_for(lambda: free(db.folder) > room - 10_000_000)  # what was staged is given back
        assert db.process.poll() is None
        os.unlink(ballast)
        wait_for(lambda: not (mirror.slot / "live.sql").exists(), 60)
    mirror.same_as(data)
    assert mirror.clean()


def test_server_without_room_to_sort(mirror, db):
    """Keys that the server's tmpdir has no room to sort are made all the same."""
    db.sql("DROP DATABASE site; CREATE DATABASE site")
    db.sql("CREATE TABLE a (id INT PRIMARY KEY, t VARCHAR(250), KEY k (t), KEY r (t(99) DESC)); "
           "INSERT INTO a SELECT seq, REPEAT(MD5(seq), 7) FROM seq_1_to_15000", "site")
    disk = str(mirror.tmp / "tmp")
    unmount = small_disk(disk, 1)
    os.chmod(disk, 0o1777)
    db.sql(f"SET GLOBAL innodb_tmpdir='{disk}'")
    try:
        data = db.dump("site")
        mirror.imported(data)
        mirror.same_as(data)
    finally:
        db.sql("SET GLOBAL innodb_tmpdir=NULL")
        unmount()


def test_importer_without_room(mirror, db):
    """Its notes of rows are a cache, its history is not."""
    db.sql("DROP DATABASE site; CREATE DATABASE site")
    db.sql("CREATE TABLE a (id INT PRIMARY KEY, k INT); CREATE TABLE b (id INT PRIMARY KEY, k INT); "
           "INSERT INTO a SELECT seq, 1 FROM seq_1_to_60000; INSERT INTO b VALUES (1,1)", "site")
    disk = str(mirror.tmp / "state")
    unmount = small_disk(disk, 4)
    try:
        mirror.imported(db.dump("site"))
        ballast = os.path.join(disk, "ballast")
        for i in range(4):  # less and less room: without notes, until there is none for the history
            fill(ballast, 1_500_000 - i * 450_000)
            db.sql(f"UPDATE a SET k={2 + i}", "site")
            data = db.dump("site")
            done = mirror.run(data)
            os.unlink(ballast)
            if done.returncode:
                assert "history" in done.stderr and i > 1, done.stderr
                mirror.imported(data)
            mirror.same_as(data)
        before = mirror.picture()
        db.sql("UPDATE b SET k=7", "site")
        data = db.dump("site")
        with Service(mirror) as service:
            wait_for(lambda: mirror.state()["pid"] == service.process.pid)
            fill(ballast)
            mirror.put(data)
            service.waits_for_room()
            assert mirror.picture() == before
            os.unlink(ballast)
            wait_for(lambda: not (mirror.slot / "live.sql").exists(), 60)
        mirror.same_as(data)
        assert mirror.imported(data)["tables_changed"] == 0
    finally:
        unmount()


def test_dump_without_room(db, tmp_path):
    """eefs-sqldump: the dump of before stays, and nothing half beside it."""
    db.sql("DROP DATABASE IF EXISTS site; CREATE DATABASE site; "
           "CREATE TABLE site.t (id INT PRIMARY KEY, x LONGTEXT)")
    slots = tmp_path / "slots"
    unmount = small_disk(str(slots), 4)
    try:
        command = [BIN + "/eefs-sqldump", "--database", "site", "--defaults-file", db.defaults, "--slots",
                   str(slots), "slave1"]
        assert subprocess.run(command).returncode == 0
        before = (slots / "slave1" / "site.sql").read_bytes()
        db.sql("INSERT INTO t VALUES (1, REPEAT('x', 6000000))", "site")
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 1 and "is the disk full" in done.stderr, done.stderr
        assert (slots / "slave1" / "site.sql").read_bytes() == before
        assert free(str(slots)) > 3_000_000
        db.sql("UPDATE t SET x='small'", "site")
        assert subprocess.run(command).returncode == 0
        assert b"small" in (slots / "slave1" / "site.sql").read_bytes()
    finally:
        unmount()
