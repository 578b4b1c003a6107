# SPDX-License-Identifier: MIT
"""eefs-sqlimport against a real MariaDB; what the mysql client makes of a dump is the oracle."""
import random
import subprocess
import threading
import time

import pytest
from mariadb import MariaDB
from sqlmirror import SqlMirror


SITE = """
CREATE TABLE p (id INT PRIMARY KEY, t TEXT, k INT) ENGINE=InnoDB;
CREATE TABLE c (id INT PRIMARY KEY, pid INT, g INT GENERATED ALWAYS AS (id*2) STORED,
  FOREIGN KEY (pid) REFERENCES p(id));
INSERT INTO p SELECT seq, CONCAT('it''s; \\\\ \\n-- Dump completed ', seq), 1 FROM seq_1_to_2000;
INSERT INTO c(id,pid) SELECT seq, seq FROM seq_1_to_500;
CREATE TABLE m (a INT, b BLOB, tt TEXT, FULLTEXT(tt)) ENGINE=MyISAM;
INSERT INTO m VALUES (1, 0x00ff275c22, 'DELIMITER ;;');
CREATE TABLE exp_sessions (id INT PRIMARY KEY);
CREATE VIEW v1 AS SELECT * FROM p; CREATE VIEW v0 AS SELECT id FROM v1;
DELIMITER ;;
CREATE TRIGGER tr BEFORE INSERT ON p FOR EACH ROW BEGIN SET new.t=CONCAT(new.t,';'); END;;
CREATE PROCEDURE pr() BEGIN SELECT 1; /* it's */ END;;
CREATE FUNCTION fn() RETURNS INT DETERMINISTIC BEGIN RETURN 1; END;;
CREATE EVENT ev ON SCHEDULE EVERY 1 DAY DO BEGIN SELECT 1; END;;
DELIMITER ;
CREATE SEQUENCE sq START 5;
CREATE TABLE part (id INT PRIMARY KEY) PARTITION BY RANGE(id)
  (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN MAXVALUE);
INSERT INTO part VALUES (1),(20);
"""


@pytest.fixture(scope="module")
def db():
    with MariaDB() as server:
        server.sql("CREATE DATABASE site")
        server.sql(SITE, "site")
        yield server


@pytest.fixture
def mirror(db, tmp_path):
    return SqlMirror(db, tmp_path)


@pytest.mark.parametrize("options", [[], ["--hex-blob"], ["--skip-extended-insert"],
                                     ["--complete-insert"], ["--skip-comments"], ["--replace"],
                                     ["--no-autocommit", "--skip-add-locks"], ["--compatible=ansi", "--skip-events", "--skip-routines",
                                      "--skip-triggers"]])
def test_same_as_the_client(mirror, db, options):
    data = db.dump("site", *options)
    done = mirror.run(data)
    assert done.returncode == 0, done.stderr
    assert not list(mirror.slot.iterdir())
    (mirror.tmp / "dump.sql").write_bytes(data)
    db.load("oracle", mirror.tmp / "dump.sql")
    assert db.checksums("live") == db.checksums("oracle")
    assert db.dump("live", "--skip-comments") == db.dump("oracle", "--skip-comments")


def test_unchanged_and_local_changes(mirror, db):
    data = db.dump("site")
    assert mirror.run(data).returncode == 0
    assert mirror.run(data).returncode == 0
    assert mirror.state()["last_import"]["tables_changed"] == 0
    db.sql("INSERT INTO m VALUES (7,'x','y'); INSERT INTO exp_sessions VALUES (1)", "live")
    assert mirror.run(data).returncode == 0
    assert mirror.state()["last_import"]["tables_changed"] == 1
    assert db.checksums("live")["m"] == db.checksums("site")["m"]
    assert db.sql("SELECT COUNT(*) FROM exp_sessions", "live") == [["1"]]


def test_cut_off_dumps_change_nothing(mirror, db):
    data = db.dump("site")
    assert mirror.run(data).returncode == 0
    before = db.checksums("live")
    for cut in random.Random(5).sample(range(len(data) - 20), 30):
        assert mirror.run(data[:cut]).returncode == 1
        assert (mirror.slot / "live.sql").exists()
    assert db.checksums("live") == before
    assert mirror.state()["failed"]["count"] == 30


@pytest.mark.parametrize("evil", ["GRANT ALL ON *.* TO x;", "LOAD DATA INFILE '/etc/passwd' INTO TABLE p;",
                                  "SET GLOBAL general_log=1;", "INSERT INTO mysql.user VALUES (1);",
                                  "USE mysql; USE site;", "INSERT INTO p SELECT * FROM mysql.user;",
                                  "\\! id\n;", "DROP DATABASE mysql; USE other;"])
def test_dangerous_dumps_are_refused(mirror, db, evil):
    data = db.dump("site").replace(b"-- Dump completed", evil.encode() + b"\n-- Dump completed")
    done = mirror.run(data)
    assert done.returncode == 1 and "line" in done.stderr
    assert db.checksums("live") == {}


def test_readers_see_no_error(mirror, db):
    first = db.dump("site")
    assert mirror.run(first).returncode == 0
    second = first.replace(b",1),", b",2),").replace(b",1);", b",2);")
    stop, bad = threading.Event(), []

    def reader():
        query = "SELECT COUNT(*), COUNT(DISTINCT k) FROM p JOIN c ON c.pid=p.id; " * 20
        while not stop.is_set():
            try:
                bad.extend(r for r in db.sql(query, "live") if r != ["500", "1"])
            except RuntimeError as e:
                bad.append(str(e))

    threads = [threading.Thread(target=reader) for _ in range(3)]
    for t in threads:
        t.start()
    codes = [mirror.run(data).returncode for data in (second, first, second, first, second)]
    stop.set()
    for t in threads:
        t.join()
    assert codes == [0] * 5 and bad == []


def test_service_wakes_and_survives_a_dead_server(mirror, db):
    service = subprocess.Popen(mirror.args("--poll", "1s"), stderr=subprocess.DEVNULL)

    def wait(condition):
        deadline = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < deadline, mirror.state()
            time.sleep(0.02)

    try:
        data = db.dump("site")
        mirror.put(data)
        wait(lambda: not (mirror.slot / "live.sql").exists())
        db.stop()
        mirror.put(data)
        wait(lambda: mirror.state()["state"] == "waiting_database")
        db.start()
        wait(lambda: not (mirror.slot / "live.sql").exists())
        mirror.put(data[:5000])
        wait(lambda: mirror.state()["state"] == "failed")
    finally:
        service.terminate()
        assert service.wait(10) == 0
    assert mirror.state()["state"] == "stopped"
