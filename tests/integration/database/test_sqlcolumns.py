# SPDX-License-Identifier: MIT
"""Columns that stay a mirror's own: what an import leaves alone in rows that it changes."""
import random
import subprocess

import pytest
from eefs import wait_for

pytestmark = pytest.mark.san

SITE = "SET NAMES utf8mb4"

EE = """
CREATE TABLE exp_sites (site_id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, site_label VARCHAR(100),
  site_name VARCHAR(50), site_bootstrap_checksums TEXT NOT NULL, site_pages TEXT, KEY (site_name));
INSERT INTO exp_sites VALUES (1,'Main','main','YTowOnt9',''), (2,'Other','other','master2','x');
CREATE TABLE exp_channel_titles (id INT PRIMARY KEY, title TEXT); INSERT INTO exp_channel_titles VALUES (1,'a');
CREATE TABLE exp_sessions (id INT PRIMARY KEY);
"""
SUMS = "SELECT site_id, site_label, site_bootstrap_checksums FROM exp_sites ORDER BY site_id"
REWRITE = "UPDATE exp_sites SET site_bootstrap_checksums=CONCAT('mirror', site_id, 'é\\'')"


def table(prefix, text):
    return text.replace("exp_", prefix)


@pytest.mark.parametrize("prefix, engine", [("exp_", "InnoDB"), ("acme_", "InnoDB"), ("", "MyISAM")])
def test_a_sites_checksums_are_the_servers_own(mirror, db, prefix, engine):
    def sql(text, database):
        return db.sql(table(prefix, text), database)
    sql(EE, "site")
    sql(f"ALTER TABLE exp_sites ENGINE={engine}", "site")
    mirror.imported(db.dump("site"))
    for n in range(3):
        sql(REWRITE, "live")
        sql(f"UPDATE exp_sites SET site_bootstrap_checksums='master{n}'", "site")
        assert mirror.imported(db.dump("site"))["tables_changed"] == 0
        assert [r[2] for r in sql(SUMS, "live")] == ["mirror1é'", "mirror2é'"]
    for n, (change, left) in enumerate([
            ("UPDATE exp_sites SET site_label='New', site_bootstrap_checksums='z' WHERE site_id=1", 2),
            ("INSERT INTO exp_sites VALUES (3,'Third','third','master3','')", 3),
            ("DELETE FROM exp_sites WHERE site_id=2", 2),
            ("ALTER TABLE exp_sites ADD more INT DEFAULT 7", 2),
            ("ALTER TABLE exp_sites MODIFY site_bootstrap_checksums MEDIUMTEXT AFTER site_id", 2)]):
        sql(change, "site")
        assert mirror.imported(db.dump("site"))["tables_changed"] == 1, change
        rows = sql(SUMS, "live")
        assert len(rows) == left and rows[0] == ["1", "New", "mirror1é'"], change
        assert [r[2] for r in rows if r[0] == "3"] in ([], ["master3"])
        assert mirror.imported(db.dump("site"))["tables_changed"] == 0
    assert mirror.state()["kept_tables"] == [table(prefix, "exp_sessions"),
                                             table(prefix, "exp_sites.site_bootstrap_checksums")]
    done = mirror.run(db.dump("site"), "--no-default-keep")
    assert done.returncode == 0 and mirror.state()["last_import"]["tables_changed"] >= 1, done.stderr
    mirror.same_as(db.dump("site"))
    assert mirror.clean()


KINDS = r"""
CREATE TABLE k (`a.b` INT, s VARCHAR(20) COLLATE utf8mb4_bin, x INT, own_bl BLOB, own_bi BIT(40), own_j JSON,
  own_l VARCHAR(50) CHARACTER SET latin1, own_t TEXT, own_f FLOAT, own_d DOUBLE, own_n DECIMAL(30,10),
  own_u BIGINT UNSIGNED, own_dt DATETIME(6), own_ts TIMESTAMP(3) NULL, own_e ENUM('a','é'), own_set SET('x','y'),
  own_g POINT, own_0 INT, own_vb VARBINARY(30), `own``.q` TEXT,
  g INT GENERATED ALWAYS AS (x+1) STORED, u INT UNIQUE, PRIMARY KEY (s, `a.b`), KEY (own_n));
INSERT INTO k (`a.b`,s,x,u,own_t) SELECT seq, CONCAT('ké\\''', seq), seq, seq, 'master' FROM seq_1_to_1200;
CREATE TABLE plain (id INT PRIMARY KEY);
"""
OWN = ["bl", "bi", "j", "l", "t", "f", "d", "n", "u", "dt", "ts", "e", "set", "g", "0", "vb"]
VALUES = [
    r"UPDATE k SET own_bl=UNHEX('00275C22FF0A'), own_bi=b'110001', own_j='{\"a\": \"é\\\\\"}', own_l='é\'\\', "
    r"own_t='é\n\0\Z', own_f=1/3, own_d=2/3, own_n=12345678901234567890.0123456789, own_u=18446744073709551615, "
    r"own_dt='2024-02-29 01:02:03.000001', own_ts='2024-10-27 00:30:00.5', own_e='é', own_set='x,y', "
    r"own_g=POINT(1,2.5), own_0=0, own_vb=UNHEX('FF00'), `own``.q`='A' WHERE x<5",
    "SET sql_mode=''; UPDATE k SET own_t='É', own_bi=1, own_f=0.33333334, own_e=0, own_l='' WHERE x=2",
    "UPDATE k SET own_t=NULL WHERE x=3; UPDATE k SET own_t='' WHERE x=4"]


def own_values(db):
    return db.sql("SET time_zone='+00:00'; SELECT x, %s, HEX(`own``.q`) FROM k ORDER BY x" % ", ".join(
        f"HEX(own_{c})" if c not in "fdn" else f"own_{c}+0e0" for c in OWN), "live")


@pytest.mark.parametrize("dumped", [(), ("--hex-blob", "--complete-insert", "--skip-extended-insert")])
def test_values_of_every_kind_are_kept(mirror, db, dumped):
    options = [f"--keep-column=k.own_{c}" for c in OWN] + ["--keep-column=K.`Own``.q`"]
    db.sql(KINDS, "site")
    mirror.imported(db.dump("site", *dumped), *options)
    db.sql("; ".join(VALUES), "live")
    kept = own_values(db)
    for change, way in [
            ("UPDATE k SET u=NULL WHERE x=1; UPDATE k SET u=1, own_t='m' WHERE x=2; UPDATE k SET u=2 WHERE x=1; "
             "UPDATE k SET u=-u WHERE x IN (3,4)", "delta"),
            ("ALTER TABLE k ADD y INT FIRST", "swap"),
            ("UPDATE k SET y=x", "swap"),
            ("UPDATE k SET y=0 WHERE x=1; CREATE TABLE more (id INT PRIMARY KEY)", "swap")]:
        db.sql(change, "site")
        data = db.dump("site", *dumped)
        assert mirror.plan(data, *options)["k"] == way
        mirror.imported(data, *options)
        assert own_values(db) == kept, change
        assert mirror.imported(data, *options)["tables_changed"] == 0
    same = "SELECT `a.b`, s, x, y, g, u FROM k ORDER BY x"
    assert db.sql(same, "live") == db.sql(same, "site")
    db.sql("UPDATE k SET own_t='w' WHERE x=9", "live")  # without the option, the dump's again
    mirror.imported(data)
    mirror.same_as(data)


@pytest.mark.parametrize("column, word", [
    ("noprimary.v", "no primary key"), ("t.id", "primary, unique or foreign"), ("t.u", "primary, unique"),
    ("t.f", "foreign"), ("t.g", "computed")])
def test_what_cannot_be_kept_is_refused(mirror, db, column, word):
    db.sql("CREATE TABLE noprimary (v INT); CREATE TABLE t (id INT PRIMARY KEY, u INT UNIQUE, f INT, v INT, "
           "g INT AS (v+1), FOREIGN KEY (f) REFERENCES t(id))", "site")
    done = mirror.run(db.dump("site"), "--keep-column", column)
    assert done.returncode == 1 and word in done.stderr and column.split(".")[0] in done.stderr, done.stderr
    assert db.sql("SHOW TABLES", "live") == []


def test_columns_that_are_not_there(mirror, db):
    for bad in ("t", "t.", ".c", "a.b.c", "`t.c"):
        done = mirror.run(None, "--keep-column", bad)
        assert done.returncode == 3 and f"not '{bad}'" in done.stderr
    db.sql("CREATE TABLE t (id INT PRIMARY KEY, v INT, w INT); INSERT INTO t VALUES (1,1,1),(2,2,2);"
           "CREATE TABLE exp_sites (site_bootstrap_checksums TEXT)", "site")
    db.sql("CREATE TABLE t (id INT PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1,'7'),(2,'many')", "live")
    done = mirror.run(db.dump("site"), "--keep-column=t.w", "--keep-column=t.no", "--keep-column=gone.v")
    assert done.returncode == 0, done.stderr
    for text in ("'t' here has no column 'w'", "'t' has no column 'no'", "--keep-column gone.v",
                 "'exp_sites' is not kept: the table has no primary key"):
        assert done.stderr.count(text) == 1, (text, done.stderr)
    mirror.same_as(db.dump("site"))
    db.sql("ALTER TABLE t MODIFY v TEXT; UPDATE t SET v='many' WHERE id=2", "live")
    done = mirror.run(db.dump("site"), "--keep-column=t.v")  # does not fit
    assert done.returncode == 0 and "do not fit" in done.stderr
    mirror.same_as(db.dump("site"))
    db.sql("ALTER TABLE t MODIFY v TEXT; UPDATE t SET v='9' WHERE id=2", "live")
    mirror.imported(db.dump("site"), "--keep-column=t.v")
    assert db.sql("SELECT v FROM t ORDER BY id", "live") == [["1"], ["9"]]


def test_a_key_of_another_collation_still_finds_its_row(mirror, db):
    db.sql("CREATE TABLE t (id VARCHAR(9) COLLATE utf8mb4_general_ci PRIMARY KEY, v INT);"
           "INSERT INTO t VALUES ('é',1),('b',2)", "site")
    mirror.imported(db.dump("site"))
    db.sql("UPDATE t SET v=v+10", "live")
    db.sql("ALTER TABLE t MODIFY id VARCHAR(9) CHARACTER SET latin1", "site")
    mirror.imported(db.dump("site"), "--keep-column=t.v")
    db.sql("ALTER TABLE t MODIFY id VARCHAR(9) COLLATE utf8mb4_unicode_ci", "site")
    mirror.imported(db.dump("site"), "--keep-column=t.v")
    assert db.sql("SELECT id, v FROM t ORDER BY v", "live") == [["é", "11"], ["b", "12"]]


def test_the_service_keeps_what_is_written_beside_its_imports(mirror, db):
    """A visitor's server rewrites its column all the time: no value that was confirmed is lost but within the
    moment of a swap, so here rows alone change."""
    db.sql(EE, "site")
    mirror.imported(db.dump("site"))
    writer = subprocess.Popen(["mariadb", f"--defaults-file={db.defaults}", "-nN", "live"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True, bufsize=1)
    last = 0
    try:
        for n in range(8):
            db.sql(f"UPDATE exp_sites SET site_label='{n}', site_bootstrap_checksums='m{n}'", "site")
            mirror.put(db.dump("site"))
            importer = subprocess.Popen(mirror.args("--once"), stderr=subprocess.PIPE, text=True)
            while importer.poll() is None:
                last += 1
                writer.stdin.write(f"UPDATE exp_sites SET site_bootstrap_checksums='w{last}' WHERE site_id=1;"
                                   f"SELECT site_bootstrap_checksums FROM exp_sites WHERE site_id=1;\n")
                writer.stdin.flush()
                assert writer.stdout.readline() == f"w{last}\n"
            assert importer.returncode == 0, importer.stderr.read()
            assert db.sql(SUMS, "live")[0] == ["1", str(n), f"w{last}"]
    finally:
        writer.stdin.close()
        writer.wait()


def test_a_table_is_compared_without_its_own_columns(mirror, db):
    db.sql(EE, "site")
    service = subprocess.Popen(mirror.args("--compare-every", "50ms", "--poll", "50ms"), stderr=subprocess.PIPE,
                               text=True)
    try:
        mirror.put(db.dump("site"))
        wait_for(lambda: db.sql("SHOW TABLES", "live") and not list(mirror.slot.iterdir()))
        assert "exp_sites.site_bootstrap_checksums" in service.stderr.readline() + service.stderr.readline()
        db.sql(REWRITE, "live")
        db.sql("UPDATE exp_channel_titles SET title='b'", "site")
        mirror.put(db.dump("site"))
        wait_for(lambda: db.sql("SELECT title FROM exp_channel_titles", "live") == [["b"]])
        wait_for(lambda: not list(mirror.slot.iterdir()))
        assert db.sql(SUMS, "live")[0][2] == "mirror1é'"
        assert mirror.state()["last_import"]["tables_changed"] == 1
    finally:
        service.terminate()
        assert "was not as imported" not in service.communicate()[1]


@pytest.mark.long
@pytest.mark.parametrize("seed", range(6))
def test_random_changes_on_both_sides(mirror, db, seed):
    """Afterwards each row is the dump's, with the own value of the live row of that key."""
    rnd = random.Random(seed)
    key = rnd.choice(["id INT", "id VARCHAR(20)", "id VARBINARY(20)", "id DECIMAL(9,2)"])
    engine = rnd.choice(["InnoDB", "InnoDB", "InnoDB", "MyISAM"])
    db.sql(f"CREATE TABLE r ({key}, n INT, own TEXT, u INT UNIQUE, v TEXT, own2 INT, PRIMARY KEY (id, n)) "
           f"ENGINE={engine}; CREATE TABLE other (id INT PRIMARY KEY)", "site")
    options = ["--keep-column=r.own", "--keep-column=r.own2"]
    data = db.dump("site")
    mirror.imported(data, *options)

    def text():
        return "'" + "".join(rnd.choice(["é", "a", "A", " ", "\\'", "\\\\", ",", ")", "\\0"])
                             for _ in range(rnd.randrange(5))) + "'"

    def change(n):
        where = f"WHERE id={rnd.randrange(30)}"
        return rnd.choice([
            f"REPLACE INTO r (id,n,own,u,v,own2) VALUES ({rnd.randrange(30)},{rnd.randrange(3)},{text()},NULL,{text()},{n})",
            f"UPDATE r SET own={text()}, own2={n} {where}", f"UPDATE r SET own=NULL {where}",
            f"UPDATE r SET v={text()} {where}", f"UPDATE r SET own={text()}, v={text()}", f"DELETE FROM r {where}",
            f"UPDATE r SET own=UPPER(own), own2=-own2 {where}"])

    for n in range(12):
        db.sql("; ".join(change(n) for _ in range(rnd.randrange(9))) or "DO 0", "site")
        db.sql("; ".join(change(n) for _ in range(rnd.randrange(5))) or "DO 0", "live")
        if rnd.random() < .15:
            db.sql(f"ALTER TABLE r MODIFY v TEXT COMMENT '{n}'" + rnd.choice(["", " FIRST"]), "site")
        if rnd.random() < .2:
            db.sql(f"CREATE TABLE other{n} (id INT PRIMARY KEY)", "site")
        listed = rnd.choice([[], ["--complete-insert"], ["--hex-blob"], ["--skip-extended-insert"]])
        before = {tuple(r[:2]): r[2:] for r in db.sql("SELECT id, n, HEX(own), own2 FROM r", "live")}
        data = db.dump("site", *listed)
        mirror.imported(data, *options)
        rows = "SELECT id, n, HEX(own), own2, u, HEX(v) FROM r ORDER BY id, n"
        want = [r[:2] + before.get(tuple(r[:2]), r[2:4]) + r[4:] for r in db.sql(rows, "site")]
        assert db.sql(rows, "live") == want, n
        db.sql("UPDATE r SET own=CONCAT(own,'x'), own2=own2+1", rnd.choice(["live", "site"]))
        assert mirror.imported(db.dump("site", *listed), *options)["tables_changed"] == 0
