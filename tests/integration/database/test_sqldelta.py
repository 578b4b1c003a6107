# SPDX-License-Identifier: MIT
"""What an import changes, and by which way: nothing, rows in one transaction, or a swap."""
import subprocess

import pytest

pytestmark = pytest.mark.san

SITE = r"""
CREATE TABLE t (id INT AUTO_INCREMENT UNIQUE, a INT, b VARCHAR(20) CHARACTER SET latin1, v TEXT,
  n DECIMAL(8,2), d DATETIME(3), ts TIMESTAMP NULL, f DOUBLE, bl BLOB, bi BIT(9), u INT UNIQUE,
  g INT GENERATED ALWAYS AS (a+1) STORED, j JSON, e ENUM('x','y'), h VARBINARY(40),
  PRIMARY KEY (a, b));
INSERT INTO t (id,a,b,v,n,d,ts,f,bl,bi,u,j,e,h) SELECT seq, seq, CONCAT('kö', seq),
  CONCAT('v\\ ''', seq, '\n"\0%\_;'), seq/7, NOW(3), NOW(), seq/3, UNHEX(MD5(seq)), seq%500, seq,
  '{"a":"\\"b"}', 'y', UNHEX(SHA1(seq)) FROM seq_1_to_1500;
CREATE TABLE c (id INT PRIMARY KEY, pid INT, FOREIGN KEY (pid) REFERENCES t(id) ON DELETE CASCADE);
INSERT INTO c SELECT seq, seq FROM seq_1_to_1500;
CREATE TABLE h (k VARBINARY(20) PRIMARY KEY, v INT);
INSERT INTO h SELECT UNHEX(SHA1(seq)), seq FROM seq_1_to_50;
CREATE TABLE m (id INT PRIMARY KEY, v TEXT) ENGINE=MyISAM; INSERT INTO m VALUES (1,'x'),(2,'y');
CREATE TABLE nokey (a INT, b TEXT); INSERT INTO nokey SELECT seq, 'x' FROM seq_1_to_50;
CREATE TABLE empty (id INT PRIMARY KEY);
CREATE TABLE trig (id INT PRIMARY KEY, v INT); INSERT INTO trig VALUES (1,1),(2,2);
CREATE TRIGGER tr BEFORE INSERT ON trig FOR EACH ROW SET new.v=new.v+1;
CREATE TABLE exp_sessions (id INT PRIMARY KEY);
"""


@pytest.fixture
def mirror(mirror, db):
    mirror.imported(db.dump("site"))
    return mirror


def actions(mirror, dump, *wanted):
    """The tables that get one of these actions; all others are unchanged or kept."""
    plan = mirror.plan(dump)
    assert set(plan.values()) <= {"unchanged", "keep", *wanted}, plan
    return {t for t, action in plan.items() if action in wanted}


CHANGES = [  # tables that change, and how
    ("t", "UPDATE t SET n=n+1, v='x''\\\\', bl=0x00, ts=NULL WHERE a<50"),
    ("t", "INSERT INTO t (a,b,v) VALUES (7000,'new','\\\\'),(0,'first',NULL)"),
    ("t c", "DELETE FROM t WHERE a IN (1,77,1500)"),
    ("t c h", "DELETE FROM t WHERE a%10=1; INSERT INTO t (a,b) VALUES (9,'z'); UPDATE t SET f=f/7 "
              "WHERE a%20=2; UPDATE h SET v=0 WHERE v=7; DELETE FROM h WHERE v=8"),
    # values of a unique key trade places; keys change, one of them only in case
    ("t", "UPDATE t SET u=NULL WHERE a=5; UPDATE t SET u=5 WHERE a=6; UPDATE t SET u=6 WHERE a=5"),
    ("t", "UPDATE t SET b='KÖ5' WHERE a=5; UPDATE t SET a=9000 WHERE a=6"),
    # nothing cascades
    ("t c", "SET foreign_key_checks=0; DELETE FROM t WHERE a=100; UPDATE c SET pid=4 WHERE id=100"),
    ("", "ALTER TABLE t AUTO_INCREMENT=50000"),
    ("h", "DELETE FROM h"),
]


@pytest.mark.parametrize("options, changes", [
    ("", CHANGES), ("--hex-blob --complete-insert --skip-extended-insert", CHANGES[3:5])])
def test_few_rows_go_in_one_transaction(mirror, db, options, changes):
    mirror.imported(db.dump("site", *options.split()))
    made = ("SELECT table_name, create_time FROM information_schema.tables WHERE table_schema='live' "
            "AND table_name IN ('m','nokey','trig','c')")
    before = db.sql(made)
    for tables, change in changes:
        db.sql(change, "site")
        data = db.dump("site", *options.split())
        assert actions(mirror, data, "delta") == set(tables.split()), change
        mirror.imported(data)
        mirror.same_as(data)
    assert mirror.imported(data)["tables_changed"] == 0
    assert db.sql(made) == before


def test_local_changes_are_found_and_undone(mirror, db):
    """Visitors of the mirror change rows: the dump's come back, and only those are touched."""
    data = db.dump("site")
    mirror.age()
    db.sql("UPDATE t SET v='visitor' WHERE a=5; SET foreign_key_checks=0; DELETE FROM t WHERE a=6; "
           "INSERT INTO t (a,b,u) VALUES (8000,'visitor',NULL); INSERT INTO exp_sessions VALUES (1)", "live")
    assert actions(mirror, data, "delta") == {"t"}
    assert mirror.imported(data)["rows"] == 3
    assert db.sql("SELECT COUNT(*) FROM exp_sessions; TRUNCATE exp_sessions", "live") == [["1"]]
    mirror.same_as(data)
    # on top of the master's changes, to the same and to other rows
    mirror.age()
    db.sql("UPDATE t SET v='visitor' WHERE a IN (5,10); INSERT INTO t (a,b,v) VALUES (8000,'x','')",
           "live")
    db.sql("UPDATE t SET v='master' WHERE a IN (10,11); INSERT INTO t (a,b) VALUES (8000,'x')", "site")
    data = db.dump("site")
    assert actions(mirror, data, "delta") == {"t"}
    assert mirror.imported(data)["rows"] == 4
    mirror.same_as(data)


def test_what_cannot_be_told_is_compared(mirror, db):
    """After a restart of the server, and without a history, nothing is swapped for that alone."""
    data = db.dump("site")
    db.stop()
    db.start()
    assert actions(mirror, data) == set()
    db.sql("UPDATE nokey SET b='visitor' WHERE a=3", "live")
    assert actions(mirror, data, "swap") == {"nokey"}
    mirror.imported(data)
    mirror.same_as(data)
    for path in (mirror.tmp / "state").glob("import-*"):
        path.unlink()
    assert actions(mirror, data, "delta", "swap") <= {"trig"}
    mirror.imported(data)
    mirror.same_as(data)


@pytest.mark.parametrize("change, tables", [
    ("UPDATE m SET v='z' WHERE id=1; UPDATE nokey SET b='z' WHERE a=1", {"m", "nokey"}),
    ("UPDATE trig SET v=9 WHERE id=1; UPDATE h SET v=0 WHERE v=1", {"trig", "h"}),
    ("UPDATE t SET v='z'", {"t", "c"}),
    ("ALTER TABLE t ADD z INT DEFAULT 4", {"t", "c"}),
    ("CREATE TABLE fresh (id INT PRIMARY KEY); UPDATE h SET v=0 WHERE v=1", {"fresh", "h"})])
def test_one_import_is_one_commit(mirror, db, change, tables):
    """What can only be swapped draws all that changed into the same RENAME."""
    db.sql(change, "site")
    data = db.dump("site")
    assert actions(mirror, data, "swap", "new") == tables
    mirror.imported(data)
    mirror.same_as(data)
    assert mirror.clean()


def test_history_that_lies_is_noticed(mirror, db):
    """A live row that is not what the notes of the last import say: the live rows are compared."""
    mirror.age()
    mirror.imported(db.dump("site"))
    subprocess.run(["sqlite3", str(mirror.tmp / "state" / "import-live.db"),
                    "CREATE TABLE keep AS SELECT name, mark FROM object WHERE kind='TABLE'"], check=True)
    db.sql("UPDATE t SET v='visitor' WHERE a=5; UPDATE t SET u=90005 WHERE a=9; DELETE FROM t WHERE a=7",
           "live")
    mirror.age()
    for name, mark in db.sql(
            "SET time_zone='+00:00'; SELECT table_name, CONCAT(create_time, '|', update_time, '|', LOWER(HEX(table_id)))"
            " FROM information_schema.tables JOIN information_schema.innodb_sys_tables ON name=CONCAT('live/', "
            "table_name) WHERE table_schema='live'"):
        subprocess.run(["sqlite3", str(mirror.tmp / "state" / "import-live.db"),
                        f"UPDATE object SET mark='{mark}' WHERE kind='TABLE' AND name='{name}'"], check=True)
    db.sql("UPDATE t SET v='master' WHERE a IN (5,6,7); UPDATE t SET u=90005 WHERE a=8", "site")
    data = db.dump("site")
    done = mirror.run(data)
    assert done.returncode == 0 and "comparing again" in done.stderr
    mirror.same_as(data)


def test_kept_tables(mirror, db):
    """Made when missing, never overwritten; patterns of one's own, and without the built-in list."""
    def rows(table):
        return [r[0] for r in db.sql(f"SELECT id FROM {table} ORDER BY id", "live")]

    db.sql("CREATE TABLE shop_cart (id INT PRIMARY KEY); INSERT INTO shop_cart VALUES (1); "
           "INSERT INTO exp_sessions VALUES (9)", "site")
    mirror.imported(db.dump("site"), "--keep-table", "shop_*")
    assert rows("shop_cart") == ["1"] and rows("exp_sessions") == []
    db.sql("INSERT INTO shop_cart VALUES (2)", "live")
    db.sql("INSERT INTO shop_cart VALUES (3); ALTER TABLE shop_cart ADD x INT", "site")
    data = db.dump("site")
    plan = mirror.plan(data, "--keep-table", "shop_*")
    assert plan["shop_cart"] == plan["exp_sessions"] == "keep"
    mirror.imported(data, "--keep-table", "shop_*")
    assert rows("shop_cart") == ["1", "2"]
    mirror.imported(data, "--no-default-keep")
    assert rows("shop_cart") == ["1", "3"] and rows("exp_sessions") == ["9"]
    mirror.same_as(data)


def test_gone_tables(mirror, db):
    names = "SELECT table_name FROM information_schema.tables WHERE table_schema='live' ORDER BY 1"
    db.sql("CREATE TABLE mine (id INT)", "live")
    db.sql("DROP TABLE empty", "site")
    mirror.imported(db.dump("site"))
    assert ["empty"] in db.sql(names)
    mirror.imported(db.dump("site"), "--drop-missing")
    assert ["empty"] not in db.sql(names) and ["mine"] in db.sql(names) and mirror.clean()
    db.sql("DROP TABLE c, t, nokey, trig", "site")
    before = db.sql(names)
    done = mirror.run(db.dump("site"), "--drop-missing")
    assert done.returncode == 1 and "4 of 7 tables" in done.stderr and "--drop-limit" in done.stderr
    assert db.sql(names) == before
    mirror.imported(db.dump("site"), "--drop-missing", "--drop-limit", "60")
    assert db.sql(names) == [["exp_sessions"], ["h"], ["m"], ["mine"]]
    # a view takes a table's place, and the other way round
    db.sql("DROP TABLE m; CREATE VIEW m AS SELECT * FROM h", "site")
    mirror.imported(db.dump("site"))
    db.sql("DROP VIEW m; CREATE TABLE m (a INT PRIMARY KEY)", "site")
    mirror.imported(db.dump("site"))
    db.sql("DROP TABLE mine", "live")
    mirror.same_as(db.dump("site"))
