# SPDX-License-Identifier: MIT
"""eefs-sqlimport against a real MariaDB; what the mysql client makes of a dump is the oracle."""
import os
import pty
import random
import re
import signal
import subprocess
import threading
import time

import pytest
from eefs import wait_for
from mariadb import MariaDB
from sqlmirror import BIN, SqlMirror


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


def cut_off(mirror, db, times):
    data = db.dump("site")
    assert mirror.run(data).returncode == 0
    before = db.checksums("live")
    for cut in random.Random(5).sample(range(len(data) - 20), times):
        assert mirror.run(data[:cut]).returncode == 1
        assert (mirror.slot / "live.sql").exists()
    assert db.checksums("live") == before
    assert mirror.state()["failed"]["count"] == times


def test_cut_off_dumps_change_nothing(mirror, db):
    cut_off(mirror, db, 30)


@pytest.mark.parametrize("evil", ["GRANT ALL ON *.* TO x;", "LOAD DATA INFILE '/etc/passwd' INTO TABLE p;",
                                  "SET GLOBAL general_log=1;", "INSERT INTO mysql.user VALUES (1);",
                                  "USE mysql; USE site;", "INSERT INTO p SELECT * FROM mysql.user;",
                                  "\\! id\n;", "DROP DATABASE mysql; USE other;"])
def test_dangerous_dumps_are_refused(mirror, db, evil):
    data = db.dump("site").replace(b"-- Dump completed", evil.encode() + b"\n-- Dump completed")
    done = mirror.run(data)
    assert done.returncode == 1 and "line" in done.stderr
    assert db.checksums("live") == {}


def read_while(db, imports):
    """Reader loops with joins beside the imports; all that they saw but one whole generation."""
    stop, bad, seen = threading.Event(), [], set()
    query = ("SELECT COUNT(*), MIN(x.k), MAX(x.k), MIN(y.k), MAX(y.k) FROM gen_a x JOIN gen_b y ON "
             "y.id=x.id; ") * 20

    def reader():
        while not stop.is_set():
            try:
                rows = db.sql(query, "live")
                bad.extend(r for r in rows if r[0] != "300" or len(set(r[1:])) != 1)
                seen.update(r[1] for r in rows)
            except RuntimeError as e:
                bad.append(str(e))

    threads = [threading.Thread(target=reader) for _ in range(3)]
    for t in threads:
        t.start()
    try:
        imports()
    finally:
        stop.set()
        for t in threads:
            t.join()
    assert bad == [] and len(seen) > 1


def see_generations(mirror, db, n):
    db.sql("DROP DATABASE IF EXISTS gen; CREATE DATABASE gen")
    db.sql("CREATE TABLE gen_a (id INT PRIMARY KEY, k INT); CREATE TABLE gen_b LIKE gen_a; "
           "INSERT INTO gen_a SELECT seq, 0 FROM seq_1_to_300; INSERT INTO gen_b SELECT * FROM gen_a; "
           "CREATE TABLE big (id INT PRIMARY KEY, k INT, t TEXT); "
           "INSERT INTO big SELECT seq, 0, MD5(seq) FROM seq_1_to_9000", "gen")
    mirror.imported(db.dump("gen"))

    def imports():
        for i in range(1, n + 1):
            db.sql(f"UPDATE gen_a SET k={i}; UPDATE gen_b SET k={i}", "gen")
            if i % 2 == 0:
                db.sql(f"UPDATE big SET k={i}", "gen")
            data = db.dump("gen")
            assert mirror.imported(data)["tables_changed"] == (2 if i % 2 else 3)
            assert db.checksums("live") == db.checksums("gen")

    read_while(db, imports)


def test_readers_see_no_error(mirror, db):
    """Deltas and swaps in turn."""
    see_generations(mirror, db, 5)


@pytest.mark.long
def test_readers_see_no_error_in_twenty_imports(mirror, db):
    see_generations(mirror, db, 20)


@pytest.mark.long
def test_cut_off_two_hundred_times(mirror, db):
    cut_off(mirror, db, 200)


HARD = """
SET foreign_key_checks=0;
CREATE TABLE ring_a (id INT PRIMARY KEY, b INT, FOREIGN KEY (b) REFERENCES ring_b(id));
CREATE TABLE ring_b (id INT PRIMARY KEY, c INT, FOREIGN KEY (c) REFERENCES ring_c(id));
CREATE TABLE ring_c (id INT PRIMARY KEY, a INT, FOREIGN KEY (a) REFERENCES ring_a(id));
CREATE TABLE self (id INT PRIMARY KEY, up INT, FOREIGN KEY (up) REFERENCES self(id));
INSERT INTO ring_a VALUES (1,2); INSERT INTO ring_b VALUES (2,3); INSERT INTO ring_c VALUES (3,1);
INSERT INTO self VALUES (1,2),(2,1);
CREATE TABLE heap (a INT, b VARCHAR(40), KEY(a));
INSERT INTO heap SELECT seq%1000, MD5(seq) FROM seq_1_to_60000;
CREATE TABLE ft (id INT PRIMARY KEY, t TEXT, FULLTEXT(t)); INSERT INTO ft VALUES (1,'some words');
CREATE TABLE late (id INT AUTO_INCREMENT PRIMARY KEY, a VARCHAR(100), b TEXT, c INT, d VARCHAR(40),
  KEY d_first (d(9), c DESC) COMMENT 'it''s, (', UNIQUE u (c, d), FULLTEXT ft (b), KEY a USING BTREE (a),
  KEY b (b(20)), UNIQUE n (a, id), KEY (c)) AUTO_INCREMENT=77777;
INSERT INTO late SELECT seq, MD5(seq), REPEAT(MD5(seq), 3), seq%7000, SHA1(seq) FROM seq_1_to_9000;
CREATE TABLE led (id INT PRIMARY KEY, k INT, t TEXT, KEY k (k));
CREATE TABLE leads (id INT PRIMARY KEY, led INT, FOREIGN KEY (led) REFERENCES led(k));
INSERT INTO led SELECT seq, seq%7, REPEAT('x', 200) FROM seq_1_to_6000; INSERT INTO leads VALUES (1, 3);
CREATE VIEW z1 AS SELECT * FROM ft; CREATE VIEW y2 AS SELECT * FROM z1; CREATE VIEW x3 AS SELECT * FROM y2;
"""


def test_hard_tables(mirror, db):
    """Rings of foreign keys, a large table without a key, full text, many keys, chains of views."""
    db.sql("DROP DATABASE IF EXISTS hard; CREATE DATABASE hard")
    db.sql(HARD, "hard")
    mirror.run(db.dump("hard"), env={"EEFS_CRASH_AT": "import.keys"})  # late has its rows, and not all keys
    assert db.sql("SELECT DISTINCT INDEX_NAME FROM information_schema.STATISTICS WHERE TABLE_NAME='late' AND "
                  "TABLE_SCHEMA='live_eefs_stage' ORDER BY 1") == [["ft"], ["n"], ["PRIMARY"], ["u"]]
    for change in ("", "UPDATE ring_a SET b=NULL; UPDATE heap SET b='x' WHERE a=5",
                   "UPDATE self SET up=1; UPDATE late SET c=0 WHERE id<5; DELETE FROM late WHERE id%4=0",
                   "ALTER TABLE ring_c ADD x INT; ALTER TABLE ft ADD y INT; "
                   "CREATE OR REPLACE VIEW z1 AS SELECT id, 7 AS t FROM ft"):
        db.sql(change or "SELECT 1", "hard")
        data = db.dump("hard")
        mirror.imported(data)
        assert db.checksums("live") == db.checksums("hard")
        assert db.dump("live", "--skip-comments", "--no-data") == db.dump("hard", "--skip-comments",
                                                                          "--no-data")
    assert mirror.imported(data)["tables_changed"] == 0 and mirror.clean()


CHARSETS = "latin1 utf8mb3 utf8mb4 ucs2 utf16 sjis binary"
STRANGE = [b"'plain'", "'é€ß 😀'".encode(), "N'é'".encode(), "n'😀 n'".encode(), b"_latin1'\xe9\xff'",
           "_utf8mb4'😀'".encode(), b"_binary '\xf0\x9f'", b"x'E282AC'", b"0xC3A9",
           r"'\é \\ it''s é\''".encode(), b"'\xe2\x82'", b"'\xf0\x9f\\''", b"'\x80\xff'", "'花'".encode(),
           rb"'\0\Z'", b"''", b"NULL", b"7.5"]


@pytest.mark.parametrize("names", ["utf8mb4", "utf8", "utf8mb4, collation_connection=utf8mb4_bin", "latin1",
                                   "utf8mb4, collation_connection=latin1_bin", "binary"])
def test_characters_of_every_kind(mirror, names):
    """Whole, cut off and invalid ones, into columns of every kind, as the client stores them."""
    text = b"SET NAMES " + names.encode() + b"; SET sql_mode='';\n"
    columns = ", ".join(f"c{i} VARCHAR(40) CHARACTER SET {c}" for i, c in enumerate(CHARSETS.split()))
    for n, value in enumerate(STRANGE):  # a table each: they are sent apart
        text += f"CREATE TABLE t{n} (id INT PRIMARY KEY, {columns}, b BLOB, e ENUM('plain','last'));\n".encode()
        text += b"INSERT INTO t%d VALUES (1,%s),(2%s);\n" % (n, b",".join([value] * 9), b",'last'" * 9)
    text += b"-- Dump completed\n"
    mirror.imported(text)
    mirror.same_as(text)


def test_rows_and_packets(mirror, db):
    """Statements are cut to what the server takes; a single row that is too large is named."""
    db.sql("DROP DATABASE IF EXISTS pack; CREATE DATABASE pack")
    db.sql("CREATE TABLE t (id INT PRIMARY KEY, b MEDIUMTEXT); INSERT INTO t SELECT seq, "
           "REPEAT('x', 400000) FROM seq_1_to_5", "pack")
    data = db.dump("pack")
    db.sql("SET GLOBAL max_allowed_packet=1048576")
    try:
        mirror.imported(data)
        assert db.checksums("live") == db.checksums("pack")
        db.sql("SET GLOBAL max_allowed_packet=16777216")
        db.sql("UPDATE t SET b=REPEAT('y', 2000000) WHERE id=3", "pack")
        data = db.dump("pack")
        db.sql("SET GLOBAL max_allowed_packet=1048576")
        done = mirror.run(data)
        assert done.returncode == 1 and "rows of 't'" in done.stderr
        assert "a row of 20000" in done.stderr and "max_allowed_packet to at least 20" in done.stderr
        done = mirror.run(data.replace(b"mediumtext", b"longtext"))
        assert done.returncode == 1 and "fill table 't'" in done.stderr
        assert "its row 3 of 20000" in done.stderr and "max_allowed_packet to at least 20" in done.stderr
        assert db.sql("SELECT SUM(LENGTH(b)) FROM t", "live") == [["2000000"]]
    finally:
        db.sql("SET GLOBAL max_allowed_packet=16777216")


def test_tables_in_use_are_waited_for(mirror, db):
    """A transaction of a visitor holds a table: the import waits, says for whom, and takes its turn."""
    data = db.dump("site")
    mirror.imported(data)
    holder = subprocess.Popen(["mariadb", f"--defaults-file={db.defaults}", "live"],
                              stdin=subprocess.PIPE, text=True)
    holder.stdin.write("START TRANSACTION; SELECT COUNT(*) FROM m, p;\n")
    holder.stdin.flush()
    mirror.put(data.replace(b"'DELIMITER ;;'", b"'other'"))
    importer = subprocess.Popen(mirror.args("--once"), stderr=subprocess.PIPE, text=True)
    try:
        line = next(text for text in importer.stderr if "stay this server's own" not in text)
        assert "are in use" in line and "connection" in line and "root@localhost" in line
        assert db.sql("SELECT COUNT(*) FROM p", "live") == [["2000"]]  # others are served meanwhile
        holder.communicate("COMMIT;\n", timeout=30)
        assert importer.wait(60) == 0
    finally:
        holder.kill()
        importer.kill()
    assert db.sql("SELECT tt FROM m", "live") == [["other"]]


def test_progress_is_told(mirror, db):
    """Rows, bytes and the time that is left, in the status and on a terminal; the server is made to
    stand still in the midst of it."""
    db.sql("DROP DATABASE IF EXISTS slow; CREATE DATABASE slow")
    db.sql("CREATE TABLE big (id INT PRIMARY KEY, t TEXT); "
           "INSERT INTO big SELECT seq, REPEAT(MD5(seq), 100) FROM seq_1_to_2000", "slow")
    mirror.put(db.dump("slow"))
    terminal, other = pty.openpty()
    importer = subprocess.Popen(mirror.args("--once"), stderr=other,
                                env={**os.environ, "EEFS_STOP_AT": "import.staging"})
    os.close(other)
    try:
        wait_for(lambda: open(f"/proc/{importer.pid}/stat").read().split()[2] == "T", 30)
        db.process.send_signal(signal.SIGSTOP)
        importer.send_signal(signal.SIGCONT)
        wait_for(lambda: "seconds_left" in mirror.state().get("progress", {}), 30)
        progress = mirror.state()["progress"]
        assert 0 < progress["rows"] < 2000 and progress["seconds_left"] > 0
        assert 0 < progress["bytes"] < progress["bytes_total"]
        shown = subprocess.run([BIN + "/eefs-status", "--rundir", str(mirror.tmp / "run")],
                               capture_output=True, text=True).stdout
        assert re.search(r"\d+ rows.*about \d+ s left", shown), shown
        seen = b""
        while not re.search(rb"%  \d+ of 6 MB, \d+ rows, \d+ s left", seen):
            seen += os.read(terminal, 4096)
        db.process.send_signal(signal.SIGCONT)
        assert importer.wait(60) == 0
    finally:
        db.process.send_signal(signal.SIGCONT)
        importer.kill()
        os.close(terminal)
    assert "progress" not in mirror.state()


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


@pytest.mark.parametrize("key, code", [("KEY `k` (`gone`)", "1072"),
                                       ("KEY `k` (`id`), KEY `k` (`t`(9))", "1061")])
def test_a_key_that_cannot_be_made(mirror, db, key, code):
    """The plain keys of a larger table come after its rows: it fails there, and is told."""
    db.sql("DROP DATABASE IF EXISTS site; CREATE DATABASE site")
    db.sql("CREATE TABLE a (id INT PRIMARY KEY, t TEXT, KEY k (t(8))); INSERT INTO a SELECT seq, "
           "REPEAT(MD5(seq), 20) FROM seq_1_to_3000", "site")
    good = db.dump("site")
    mirror.imported(good)
    before = mirror.picture()
    bad = good.replace(b"KEY `k` (`t`(8))", key.encode()).replace(b"(1,'c4ca", b"(1,'c5ca")
    done = mirror.run(bad)
    assert done.returncode == 1
    assert all(x in done.stderr for x in ("'a'", "error " + code, "make a new one")), done.stderr
    assert mirror.state()["state"] in ("failed", "stopped") and mirror.picture() == before
    assert mirror.clean() and (mirror.slot / "live.sql").exists()
    mirror.imported(good.replace(b"(1,'c4ca", b"(1,'c5ca"))
