# SPDX-License-Identifier: MIT
"""eefs-sqlimport is killed, or the server is, at every phase: the live database is one dump's or the
other's, never a mix, and the next import sets all right."""
import os
import random
import signal
import subprocess

import pytest
from eefs import wait_for
from mariadb import MariaDB
from sqlmirror import SqlMirror

SITE = r"""
CREATE TABLE a (id INT PRIMARY KEY, k INT, t TEXT);
CREATE TABLE b (id INT PRIMARY KEY, k INT, aid INT, FOREIGN KEY (aid) REFERENCES a(id));
CREATE TABLE c (id INT PRIMARY KEY, k INT) ENGINE=MyISAM;
CREATE TABLE d (id INT PRIMARY KEY, k INT, t TEXT, KEY k (k), KEY t (t(9)));
INSERT INTO a SELECT seq, 1, REPEAT('x', 20) FROM seq_1_to_3000;
INSERT INTO b SELECT seq, 1, seq FROM seq_1_to_300; INSERT INTO c VALUES (1,1),(2,1);
INSERT INTO d SELECT seq, 1, REPEAT(MD5(seq), 30) FROM seq_1_to_1200;
CREATE TRIGGER tr BEFORE INSERT ON b FOR EACH ROW SET new.k=new.k;
CREATE VIEW v AS SELECT a.id FROM a JOIN b ON b.aid=a.id;
"""
SWAP = "UPDATE a SET k=2; UPDATE b SET k=2; UPDATE c SET k=2; UPDATE d SET k=2"
DELTA = "UPDATE a SET k=3 WHERE id<200; DELETE FROM a WHERE id>2900; INSERT INTO a VALUES (5000,3,'')"
SWAP_POINTS = ["import.planned", "import.staging", "import.staging:3", "import.keys", "import.staged",
               "import.swap", "import.swapped", "import.stored_objects", "import.done"]
DELTA_POINTS = ["import.delta", "import.commit", "import.committed", "import.stored_objects"]
POINTS = [("swap", p) for p in SWAP_POINTS] + [("delta", p) for p in DELTA_POINTS]


@pytest.fixture(scope="module")
def db():
    with MariaDB(options=["--innodb-flush-log-at-trx-commit=1"]) as server:
        server.sql("CREATE DATABASE site")
        server.sql(SITE, "site")
        server.dumps = {"first": server.dump("site")}
        server.sql(DELTA, "site")
        server.dumps["delta"] = server.dump("site")
        server.sql(SWAP, "site")
        server.dumps["swap"] = server.dump("site")
        yield server


@pytest.fixture(scope="module")
def mirror(db, tmp_path_factory):
    mirror = SqlMirror(db, tmp_path_factory.mktemp("crash"))
    mirror.pictures = {name: mirror.oracle(data) for name, data in db.dumps.items()}
    return mirror


def generation(mirror):
    """Which dump's rows the live tables hold; views and triggers may still be missing."""
    rows = [mirror.db.sql(f"CHECKSUM TABLE {t}", "live")[0][1] for t in "abcd"]
    if not hasattr(mirror, "rows"):
        mirror.rows = {}
        for name, data in mirror.db.dumps.items():
            mirror.oracle(data)
            mirror.rows[name] = [mirror.db.sql(f"CHECKSUM TABLE {t}", "oracle")[0][1] for t in "abcd"]
    found = [name for name, wanted in mirror.rows.items() if rows == wanted]
    assert found, "a mix of two dumps"
    return found[0]


def settle(mirror, kind):
    """The next import ends it, and leaves nothing behind."""
    mirror.imported(mirror.db.dumps[kind])
    assert mirror.picture() == mirror.pictures[kind]
    assert mirror.clean()


def crash_importer(mirror, kind, point):
    mirror.imported(mirror.db.dumps["first"])
    done = mirror.run(mirror.db.dumps[kind], env={"EEFS_CRASH_AT": point})
    assert done.returncode == -signal.SIGKILL, (point, done.stderr)
    assert (mirror.slot / "live.sql").exists()
    early = point in ("import.planned", "import.staging", "import.staging:3", "import.keys",
                      "import.staged", "import.swap", "import.delta", "import.commit")
    assert generation(mirror) == ("first" if early else kind), point
    settle(mirror, kind)


def crash_server(mirror, kind, point):
    mirror.imported(mirror.db.dumps["first"])
    mirror.put(mirror.db.dumps[kind])
    importer = subprocess.Popen(mirror.args("--once"), stderr=subprocess.PIPE,
                                env={**os.environ, "EEFS_STOP_AT": point})
    try:
        wait_for(lambda: open(f"/proc/{importer.pid}/stat").read().split()[2] == "T", 30)
        mirror.db.stop(kill=True)
        mirror.db.start()
        importer.send_signal(signal.SIGCONT)
        error = importer.communicate(timeout=60)[1]
    finally:
        importer.kill()
    assert b"mix" not in error
    assert generation(mirror) in ("first", kind), point
    if importer.returncode:
        assert (mirror.slot / "live.sql").exists()
        settle(mirror, kind)
    else:
        assert generation(mirror) == kind
        settle(mirror, kind)


@pytest.mark.parametrize("kind, point", POINTS)
def test_importer_is_killed(mirror, kind, point):
    crash_importer(mirror, kind, point)


@pytest.mark.parametrize("kind, point", [("swap", "import.staging"), ("swap", "import.keys"),
                                         ("swap", "import.swap"),
                                         ("swap", "import.swapped"), ("delta", "import.commit"),
                                         ("delta", "import.stored_objects")])
def test_server_is_killed(mirror, kind, point):
    crash_server(mirror, kind, point)


@pytest.mark.parametrize("victim", ["importer", "server"])
def test_killed_while_keys_are_made(mirror, db, victim):
    """The ALTER TABLE is under way: it waits for one who reads the staged table."""
    mirror.imported(db.dumps["first"])
    mirror.put(db.dumps["swap"])
    importer = subprocess.Popen(mirror.args("--once"), stderr=subprocess.DEVNULL,
                                env={**os.environ, "EEFS_STOP_AT": "import.keys"})
    holder = subprocess.Popen(["mariadb", f"--defaults-file={db.defaults}", "-n"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    waiting = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'ALTER TABLE%'"
    try:
        wait_for(lambda: open(f"/proc/{importer.pid}/stat").read().split()[2] == "T", 30)
        holder.stdin.write("USE live_eefs_stage; START TRANSACTION; SELECT COUNT(*) FROM d;\n")
        holder.stdin.flush()
        assert holder.stdout.readline()
        importer.send_signal(signal.SIGCONT)
        wait_for(lambda: db.sql(waiting) == [["1"]], 30)
        if victim == "importer":
            importer.kill()
        else:
            db.stop(kill=True)
            db.start()
        importer.wait(60)
    finally:
        importer.kill()
        holder.kill()
        holder.wait()
    assert generation(mirror) == "first"
    settle(mirror, "swap")


@pytest.mark.long
def test_killed_fifty_times(mirror):
    """At moments that nobody chose, importer and server in turn."""
    mirror.imported(mirror.db.dumps["first"])
    for i in range(50):
        kind = random.Random(i).choice(["first", "swap", "delta"])
        mirror.put(mirror.db.dumps[kind])
        importer = subprocess.Popen(mirror.args("--once"), stderr=subprocess.DEVNULL)
        try:
            importer.wait(random.Random(i).uniform(0.01, 0.5))
        except subprocess.TimeoutExpired:
            pass
        if i % 2:
            importer.kill()
        else:
            mirror.db.stop(kill=True)
            mirror.db.start()
        importer.wait(60)
        generation(mirror)
        settle(mirror, kind)


def test_two_importers_exclude_each_other(mirror, db):
    mirror.imported(db.dumps["first"])
    mirror.put(db.dumps["swap"])
    first = subprocess.Popen(mirror.args("--once"), stderr=subprocess.DEVNULL,
                             env={**os.environ, "EEFS_STOP_AT": "import.staged"})
    try:
        wait_for(lambda: open(f"/proc/{first.pid}/stat").read().split()[2] == "T", 30)
        same = mirror.run()
        assert same.returncode == 1 and "another" in same.stderr
        apart = subprocess.run(mirror.args("--once", "--state", str(mirror.tmp / "other"), "--name",
                                           "other"), capture_output=True, text=True)
        assert apart.returncode == 1 and "another import into 'live' is running" in apart.stderr
        assert generation(mirror) == "first"
        first.send_signal(signal.SIGCONT)
        assert first.wait(60) == 0
    finally:
        first.kill()
    assert generation(mirror) == "swap"
