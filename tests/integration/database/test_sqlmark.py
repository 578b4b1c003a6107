# SPDX-License-Identifier: MIT
"""Changes of a mirror's tables that move no time on the server are seen all the same, at the next dump or by the
comparison in the background."""
import contextlib
import shutil
import sqlite3
import subprocess

import pytest
from eefs import wait_for
from sqlmirror import BIN

SITE = """
CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, v INT); INSERT INTO t (v) SELECT 1 FROM seq_1_to_500;
CREATE TABLE u (id INT AUTO_INCREMENT PRIMARY KEY, v INT); INSERT INTO u (v) SELECT 2 FROM seq_1_to_500;
CREATE TABLE k (a VARCHAR(20), b INT, v TEXT, PRIMARY KEY (a, b)); INSERT INTO k SELECT seq%9, seq, 'x' FROM seq_1_to_90;
CREATE TABLE p (id INT PRIMARY KEY, v INT) PARTITION BY HASH(id) PARTITIONS 3;
INSERT INTO p SELECT seq, 1 FROM seq_1_to_90;
CREATE TABLE s (id INT PRIMARY KEY, d INT, v INT, KEY(v)) PARTITION BY RANGE (id) SUBPARTITION BY HASH(id)
  SUBPARTITIONS 2 (PARTITION a VALUES LESS THAN (50), PARTITION b VALUES LESS THAN MAXVALUE);
INSERT INTO s SELECT seq, seq, 1 FROM seq_1_to_90;
CREATE TABLE m (id INT PRIMARY KEY, v INT) ENGINE=MyISAM; INSERT INTO m SELECT seq, 1 FROM seq_1_to_20;
CREATE TABLE n (a INT, b TEXT); INSERT INTO n SELECT seq, 'x' FROM seq_1_to_20;
CREATE TABLE e (id INT PRIMARY KEY);
"""


def aged(mirror, data):
    """Imported, so long ago that its tables get marks, and found unchanged."""
    mirror.imported(data)
    mirror.age()
    mirror.imported(data)
    mirror.imported(data)
    assert set(mirror.plan(data).values()) == {"unchanged"}


def exchange_files(db, source, target):
    """The rows of `source` by way of its tablespace, in the place of `target`'s."""
    holder = subprocess.Popen(["mariadb", f"--defaults-file={db.defaults}", "-Nn", "live"], text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    holder.stdin.write(f"FLUSH TABLES {source} FOR EXPORT; SELECT 'ready';\n")
    holder.stdin.flush()
    assert holder.stdout.readline() == "ready\n"
    shutil.copy(f"{db.data}/live/{source}.ibd", f"{db.folder}/copy.ibd")
    holder.communicate("UNLOCK TABLES;\n")
    db.sql(f"ALTER TABLE {target} DISCARD TABLESPACE", "live")
    shutil.copy(f"{db.folder}/copy.ibd", f"{db.data}/live/{target}.ibd")
    db.sql(f"ALTER TABLE {target} IMPORT TABLESPACE", "live")


ROUNDS = [  # tables, and what happens to each
    ("tkmnps", "TRUNCATE t; TRUNCATE k; TRUNCATE m; TRUNCATE n; TRUNCATE p; ALTER TABLE s TRUNCATE PARTITION b"),
    ("ptu", "ALTER TABLE p TRUNCATE PARTITION p1; RENAME TABLE t TO x, u TO t, x TO u"),
    ("ptk", "CREATE TABLE x (id INT PRIMARY KEY, v INT); INSERT INTO x VALUES (3,7); ALTER TABLE p EXCHANGE "
            "PARTITION p0 WITH TABLE x; DROP TABLE x; TRUNCATE k; INSERT INTO k VALUES ('1',1,'x')")]


def use_limited_account(mirror, db, process):
    """README's, which has no PROCESS, or one that has."""
    db.sql("CREATE OR REPLACE USER importer@localhost; GRANT SELECT, INSERT, DELETE, CREATE, ALTER, DROP, INDEX, "
           "REFERENCES ON live.* TO importer@localhost; GRANT SELECT, INSERT, DELETE, CREATE, ALTER, DROP, INDEX, "
           "REFERENCES ON `live\\_eefs\\_%`.* TO importer@localhost")
    if process:
        db.sql("GRANT PROCESS ON *.* TO importer@localhost")
    account = mirror.tmp / "importer.cnf"
    account.write_text(f"[client]\nuser=importer\nsocket={db.socket}\n")
    own = mirror.args
    mirror.args = lambda *more, defaults=None: own(*more, defaults=defaults or str(account))


@pytest.mark.parametrize("process", [False, pytest.param(True, marks=pytest.mark.long)])
def test_what_moves_no_time_is_seen(mirror, db, process):
    data = db.dump("site")
    use_limited_account(mirror, db, process)
    aged(mirror, data)
    for i, (tables, change) in enumerate(ROUNDS):
        db.sql(change, "live")
        if i == 2:
            exchange_files(db, "u", "t")
        plan = mirror.plan(data)
        assert {t for t, action in plan.items() if action != "unchanged"} == set(tables), change
        mirror.imported(data)
        mirror.same_as(data)
        aged(mirror, data)


def marks(mirror):
    """Those that the importer has noted, by table."""
    with contextlib.closing(sqlite3.connect(mirror.tmp / "state/import-live.db")) as h:
        return dict(h.execute("SELECT name, mark FROM object WHERE kind='TABLE'"))


@pytest.mark.parametrize("age, marked", [(1.05, False), (1.15, True)])
def test_a_clock_that_is_a_tick_behind(mirror, db, age, marked):
    """InnoDB's clock is behind that of NOW(): a change right after a second's turn gets the former second."""
    use_limited_account(mirror, db, False)  # for which init_connect runs
    data = db.dump("site")
    try:
        for _ in range(20):
            db.sql("SELECT SLEEP(1 - MOD(UNIX_TIMESTAMP(NOW(6)), 1))")
            second = int(db.sql("SELECT UNIX_TIMESTAMP(NOW())")[0][0])
            db.sql(f"SET GLOBAL init_connect='SET timestamp={second + age}'")
            mirror.imported(data)
            noted = marks(mirror)["t"] != ""
            db.sql("UPDATE t SET v=v+1 WHERE id=100", "live")
            changed = int(db.sql("SELECT UNIX_TIMESTAMP(UPDATE_TIME) FROM information_schema.TABLES WHERE "
                                 "TABLE_SCHEMA='live' AND TABLE_NAME='t'")[0][0])
            if changed == second:
                break
            db.sql("SET GLOBAL init_connect=''; DROP DATABASE live; CREATE DATABASE live")
        assert changed == second, "the importer is never in time"
        assert noted == marked
        db.sql(f"SET GLOBAL init_connect='SET timestamp={second + age + 60}'")
        mirror.imported(data)
        if not marked:
            mirror.same_as(data)
    finally:
        db.sql("SET GLOBAL init_connect=''")


def test_the_background_finds_what_nothing_shows(mirror, db):
    """A tablespace with the same first and last row and other ones between; found, shown, and repaired."""
    data = db.dump("site")
    use_limited_account(mirror, db, False)
    mirror.imported(data)
    db.sql("CREATE TABLE x LIKE t; INSERT INTO x SELECT id, IF(id BETWEEN 100 AND 120, 9, v) FROM t", "live")
    aged(mirror, data)
    exchange_files(db, "x", "t")
    assert mirror.plan(data)["t"] == "unchanged"
    service = subprocess.Popen(mirror.args("--compare-every", "1s", "--poll", "1s"), stderr=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: "table 't' was not as imported" in mirror.state().get("notes", {}).get("compared", ""), 30)
        shown = subprocess.run([BIN + "/eefs-status", "--rundir", str(mirror.tmp / "run")], capture_output=True,
                               text=True).stdout
        assert "table 't' was not as imported" in shown, shown
        mirror.put(data)
        wait_for(lambda: not list(mirror.slot.iterdir()) and "compared" not in mirror.state().get("notes", {}), 30)
    finally:
        service.terminate()
        service.wait()
    db.sql("DROP TABLE x", "live")
    mirror.same_as(data)


def test_a_table_that_cannot_be_read_does_not_hide_others(mirror, db):
    """The server leaves out what stands behind it in a message, and the importer asks again for that."""
    data = db.dump("site")
    aged(mirror, data)
    for lost in ("k", "tu", "ktu"):
        for table in lost:
            db.sql(f"ALTER TABLE {table} DISCARD TABLESPACE", "live")
        plan = mirror.plan(data)
        assert {name for name, action in plan.items() if action != "unchanged"} == set(lost), plan
        mirror.imported(data)
        assert db.checksums("live") == db.checksums("site")
        aged(mirror, data)
