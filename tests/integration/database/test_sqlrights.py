# SPDX-License-Identifier: MIT
"""The account of eefs-sqlimport: the GRANTs of README.md are enough, and each that is missing is named."""
import os
import re
import shutil
import subprocess

import pytest
from eefs import REPO, read
from mariadb import MariaDB
from sqlmirror import SqlMirror

SITE = r"""
CREATE TABLE a (id INT AUTO_INCREMENT PRIMARY KEY, k INT);
CREATE TABLE b (id INT PRIMARY KEY, k INT, aid INT, FOREIGN KEY (aid) REFERENCES a(id));
INSERT INTO a SELECT seq, 1 FROM seq_1_to_3000; INSERT INTO b SELECT seq, 1, seq FROM seq_1_to_300;
CREATE TABLE trig (id INT PRIMARY KEY); INSERT INTO trig VALUES (1);
CREATE TRIGGER tr BEFORE INSERT ON trig FOR EACH ROW SET new.id=new.id;
CREATE VIEW v AS SELECT a.id FROM a JOIN b ON b.aid=a.id;
CREATE FUNCTION fn() RETURNS INT DETERMINISTIC RETURN 1; CREATE PROCEDURE pr() SELECT 1;
CREATE EVENT ev ON SCHEDULE EVERY 1 DAY DO SELECT 1; CREATE SEQUENCE sq;
"""
CHANGES = ["SELECT 1", "UPDATE a SET k=2 WHERE id<9; ALTER TABLE a AUTO_INCREMENT=9000",
           "UPDATE a SET k=3; INSERT INTO trig VALUES (2); DROP FUNCTION fn; CREATE FUNCTION fn() RETURNS "
           "INT DETERMINISTIC RETURN 2; DROP VIEW v; CREATE VIEW v AS SELECT 1 AS x",
           "DROP TRIGGER tr; ALTER TABLE b ADD x INT"]


@pytest.fixture
def mirror(mirror, db, tmp_path):
    db.sql("DROP USER IF EXISTS eefs_import@localhost")
    mirror.cnf = str(tmp_path / "import.cnf")
    with open(mirror.cnf, "w") as f:
        f.write(f"[client]\nuser=eefs_import\npassword=secret\nsocket={db.socket}\n")
    os.chmod(mirror.cnf, 0o600)
    return mirror


def grants():
    """The GRANT block of the README, for the database of the tests."""
    text = read(os.path.join(REPO, "README.md")).decode()
    block = re.search(r"( +CREATE USER eefs_import.*?)\n\n", text, re.S).group(1)
    return re.sub(r"`ee(`|\\)", r"`live\1", block)


def test_the_block_is_enough(mirror, db):
    db.sql(grants())
    for change in CHANGES:
        db.sql(change, "site")
        data = db.dump("site")
        done = mirror.run(data, defaults=mirror.cnf)
        assert done.returncode == 0, (change, done.stderr)
        assert db.checksums("live") == db.checksums("site")
    assert mirror.clean()


def test_the_block_is_enough_to_keep_columns(mirror, db):
    db.sql(grants())
    db.sql("CREATE TABLE exp_sites (id INT PRIMARY KEY, l INT, site_bootstrap_checksums TEXT); "
           "INSERT INTO exp_sites VALUES (1,1,'master')", "site")
    assert mirror.run(db.dump("site"), defaults=mirror.cnf).returncode == 0
    db.sql("UPDATE exp_sites SET site_bootstrap_checksums='own'", "live")
    for change, n in (("DO 0", 0), ("UPDATE exp_sites SET l=2", 1), ("ALTER TABLE exp_sites ADD z INT", 1)):
        db.sql(change, "site")
        done = mirror.run(db.dump("site"), defaults=mirror.cnf)
        assert done.returncode == 0 and mirror.state()["last_import"]["tables_changed"] == n, done.stderr
        assert db.sql("SELECT site_bootstrap_checksums FROM exp_sites", "live") == [["own"]]


def test_schemas_made_beforehand(mirror, db):
    """An account that may make no database."""
    db.sql("CREATE DATABASE live_eefs_stage; CREATE DATABASE live_eefs_old")
    db.sql(grants())
    assert mirror.run(db.dump("site"), defaults=mirror.cnf).returncode == 0
    assert db.checksums("live") == db.checksums("site")


@pytest.mark.skipif(not shutil.which("openssl"), reason="makes a certificate with openssl")
def test_tls_by_the_defaults_file(tmp_path):
    cert, key, cnf = (str(tmp_path / name) for name in ("cert.pem", "key.pem", "tls.cnf"))
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                    "/CN=localhost", "-keyout", key, "-out", cert], check=True, capture_output=True)
    with MariaDB(options=["--ssl-cert=" + cert, "--ssl-key=" + key]) as server:
        mirror = SqlMirror(server, tmp_path)
        server.sql("CREATE TABLE oracle.t (id INT PRIMARY KEY); "
                   "GRANT ALL ON *.* TO tls@localhost IDENTIFIED BY 'x' REQUIRE SSL")
        data = server.dump("oracle")
        for more, code in (("", 1), (f"ssl-ca={cert}\n", 0)):
            with open(cnf, "w") as f:
                f.write(f"[client]\nuser=tls\npassword=x\nsocket={server.socket}\n{more}")
            done = mirror.run(data, defaults=cnf)
            assert done.returncode == code, done.stderr
            assert code == 0 or "Access denied" in done.stderr
        assert server.sql("SELECT COUNT(*) FROM t", "live") == [["0"]]


def test_each_missing_right_is_named(mirror, db):
    db.sql(grants())
    before = mirror.run(db.dump("site"), defaults=mirror.cnf)
    assert before.returncode == 0, before.stderr
    db.sql("UPDATE a SET k=4", "site")
    data = db.dump("site")
    for rights, schema in re.findall(r"GRANT ([A-Z, \n]+?)\s+ON (`[^`]+`)", grants()):
        for right in [" ".join(r.split()) for r in rights.split(",")]:
            db.sql(f"REVOKE {right} ON {schema}.* FROM eefs_import@localhost")
            done = mirror.run(data, defaults=mirror.cnf)
            assert done.returncode == 1, (right, schema)
            name = schema.replace("\\", "")
            assert re.search(rf"GRANT [A-Z, ]*\b{right}\b[A-Z, ]* ON {name}", done.stderr), done.stderr
            assert mirror.run(None, defaults=mirror.cnf).returncode == 1  # it stays, untouched
            db.sql(f"GRANT {right} ON {schema}.* TO eefs_import@localhost")
    assert db.sql("SELECT MAX(k) FROM a", "live") == [["1"]]
    assert mirror.run(None, defaults=mirror.cnf).returncode == 0
    assert db.checksums("live") == db.checksums("site")
