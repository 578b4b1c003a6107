# SPDX-License-Identifier: MIT
"""What other programs than mysqldump export (tests/exports, in the form of each), compressed files,
other character sets: what the mariadb client makes of them is the oracle."""
import gzip
import os
import random
import subprocess

import pytest
from mariadb import MariaDB
from sqlmirror import SqlMirror

EXPORTS = os.path.join(os.path.dirname(__file__), "..", "..", "exports")
UNMARKED = {"navicat_old": "Navicat", "wpmigrate": "WP Migrate", "mydumper": "mydumper"}
WHOLE = sorted(n[:-4] for n in os.listdir(EXPORTS) if n.endswith(".sql") and n[:-4] not in UNMARKED)


@pytest.fixture(scope="module")
def db():
    with MariaDB() as server:
        server.sql("CREATE DATABASE site; CREATE DATABASE garden")
        yield server


@pytest.fixture
def mirror(db, tmp_path):
    return SqlMirror(db, tmp_path)


def export(name):
    with open(os.path.join(EXPORTS, name + ".sql"), "rb") as f:
        return f.read()


def oracle(mirror, data):
    """As the client, which follows USE: into a database of the dump's name."""
    mirror.db.sql("DROP DATABASE IF EXISTS garden; CREATE DATABASE garden")
    (mirror.tmp / "oracle.sql").write_bytes(data)
    mirror.db.load("garden", mirror.tmp / "oracle.sql")
    return mirror.picture("garden")


@pytest.mark.parametrize("name", WHOLE)
def test_export_is_imported(mirror, name):
    data = export(name)
    mirror.imported(data)
    assert mirror.picture() == oracle(mirror, data)
    assert mirror.imported(data)["tables_changed"] == 0
    changed = data.replace(b"'herbs", b"'spices").replace(b"'Addons'", b"'Others'")
    assert mirror.imported(changed)["tables_changed"] in (1, 2)  # a child goes with its parent
    assert mirror.picture() == oracle(mirror, changed)


@pytest.mark.parametrize("name", UNMARKED)
def test_export_without_an_end(mirror, db, name):
    data = export(name)
    done = mirror.run(data)
    assert done.returncode == 1 and UNMARKED[name] in done.stderr and "--accept-unmarked-end" in done.stderr
    assert db.checksums("live") == {}
    mirror.imported(data, "--accept-unmarked-end")
    assert mirror.picture() == oracle(mirror, data)
    assert mirror.run(db.dump("garden")[:-60], "--accept-unmarked-end").returncode == 1  # has one


def pack(how, data):
    if how == "gz":
        return gzip.compress(data[:1000]) + gzip.compress(data[1000:])
    return subprocess.run(["zstd", "-q", "-c"], input=data, capture_output=True, check=True).stdout


@pytest.mark.parametrize("how", ["gz", "zst"])
def test_packed(mirror, db, how):
    """By its first bytes; what goes from the slot is the packed file."""
    db.sql("DROP DATABASE site; CREATE DATABASE site")
    db.sql("CREATE TABLE t (id INT PRIMARY KEY, x TEXT); INSERT INTO t SELECT seq, MD5(seq) FROM "
           "seq_1_to_20000", "site")
    data = db.dump("site")
    packed = pack(how, data)
    (mirror.slot / f"live.sql.{how}").write_bytes(packed)
    assert mirror.run().returncode == 0 and not list(mirror.slot.iterdir())
    mirror.same_as(data)
    assert mirror.imported(packed)["tables_changed"] == 0  # named .sql
    for cut in random.Random(7).sample(range(len(packed)), 6):
        done = mirror.run(packed[:cut])
        assert done.returncode == 1, (cut, done)
    done = mirror.run(pack(how, packed))
    assert done.returncode == 1 and "twice" in done.stderr
    damaged = bytearray(packed)
    damaged[len(packed) // 2] ^= 0xff
    assert mirror.run(bytes(damaged)).returncode == 1
    mirror.same_as(data)
    leftovers = [p for p in (mirror.tmp / "state").rglob("*") if "unpacked" in p.name]
    assert not leftovers


def test_a_file_that_unpacks_without_end(mirror):
    """Refused, with the limit, and gone from the disk."""
    bomb = subprocess.run(["zstd", "-q", "-c"], stdin=subprocess.Popen(
        ["head", "-c", "1200M", "/dev/zero"], stdout=subprocess.PIPE).stdout, capture_output=True).stdout
    done = mirror.run(bomb)
    assert done.returncode == 1 and "250 times its size" in done.stderr, done.stderr


@pytest.mark.parametrize("data, said", [
    (b"", "is empty"), ("CREATE TABLE t (a INT);".encode("utf-16"), "UTF-16"),
    ("-- MySQL dump".encode("utf-16-be"), "UTF-16"), (b"<!DOCTYPE html><p>404", "HTML page"),
    (b"<?php exit; ?>\n", "PHP file"), (b"PK\3\4xx", "ZIP"), (b"BZh9", "bzip2"), (b"\x7fELF\2", "a program"),
    (b"{\"a\": 1}", "JSON"), (bytes(range(256)), "binary"), (b"\xfd7zXZ\0", "xz")])
def test_what_is_no_dump_is_named(mirror, data, said):
    done = mirror.run(data)
    assert done.returncode == 1 and said in done.stderr, done.stderr
    assert (mirror.slot / "live.sql").exists()


NAMES = """
CREATE TABLE `émile` (`clé` INT PRIMARY KEY COMMENT 'düß', `nümber` VARCHAR(20) DEFAULT 'é', e ENUM('ä','b'),
  KEY `ké` (`nümber`)) DEFAULT CHARSET=utf8mb4;
INSERT INTO `émile` VALUES (1,'été','ä'),(2,'b',NULL);
CREATE TABLE fils (id INT PRIMARY KEY, p INT, CONSTRAINT `fké` FOREIGN KEY (p) REFERENCES `émile`(`clé`));
INSERT INTO fils VALUES (1,2);
CREATE TABLE plain (id INT PRIMARY KEY, t VARCHAR(9)); INSERT INTO plain VALUES (1,'ö'),(2,'ß');
CREATE VIEW vue AS SELECT `clé` AS `xé`, 'é' AS k FROM `émile`;
CREATE TRIGGER tr BEFORE INSERT ON `émile` FOR EACH ROW SET NEW.`nümber`=CONCAT(NEW.`nümber`,'é');
CREATE PROCEDURE p() SELECT 'é', `clé` FROM `émile`;
"""


@pytest.mark.parametrize("options", ["latin1", "latin1 --complete-insert", "cp1250", "cp850", "utf8", "binary"])
def test_names_in_other_character_sets(mirror, db, options):
    db.sql("DROP DATABASE site; CREATE DATABASE site")
    db.sql(NAMES, "site")
    data = db.dump("site", *("--default-character-set=" + options).split())
    mirror.imported(data)
    mirror.same_as(data)
    changed = data.replace(b"'b',NULL", b"'c',NULL").replace(b"(2,'", b"(3,'")
    assert changed != data
    mirror.imported(changed)
    mirror.same_as(changed)


@pytest.mark.long
def test_each_character_of_each_set(mirror, db):
    """Tables named with each of them: those that are taken are named as by the client."""
    taken = 0
    for charset in ("latin1", "latin2", "latin5", "cp1250", "cp1251", "cp1256", "cp850", "cp866", "koi8u", "greek",
                    "hebrew", "macroman", "tis620", "armscii8", "dec8"):
        good = [f"SET NAMES {charset};\n".encode()]
        for high in range(0x80, 0x100, 3):
            table = b"CREATE TABLE `t%02x_" % high + bytes([high]) + b"` (a int);\n"
            if mirror.run(good[0] + table + b"-- Dump completed\n", "--dry-run").returncode == 0:
                good.append(table)
        taken += len(good)
        text = b"".join(good) + b"CREATE TABLE last (a int);\n-- Dump completed\n"
        db.sql("DROP DATABASE live; CREATE DATABASE live")
        mirror.imported(text)
        mirror.oracle(text)
        assert db.checksums("live") == db.checksums("oracle"), charset
    assert taken > 400


@pytest.mark.parametrize("name", ["latin1_name", "heidi", "heidi_nodelete"])
def test_small_cases(mirror, name):
    old = {n: f"/*!40101 SET @OLD_{n}=@@{n}" for n in ("SQL_MODE", "FOREIGN_KEY_CHECKS", "SQL_NOTES")}
    head = ("/*!40101 SET NAMES utf8mb4 */;\n" + "".join(f"{s} */;\n" for s in old.values())).encode()
    body = {"latin1_name": "SET NAMES latin1; SET @s=@@character_set_client; SET character_set_client=utf8;"
                           "CREATE TABLE `Émile` (`id` int(11) NOT NULL, PRIMARY KEY (`id`)) ENGINE=InnoDB;"
                           "SET character_set_client=@s;".encode() + b"INSERT INTO `\xc9mile` VALUES (1);",
            "heidi": b"CREATE TABLE IF NOT EXISTS `a` (`id` int NOT NULL, PRIMARY KEY (`id`));DELETE FROM `a`;"
                     b"INSERT INTO `a` (`id`) VALUES\n\t(1);",
            "heidi_nodelete": b"CREATE TABLE IF NOT EXISTS `a` (`id` int NOT NULL);INSERT INTO `a` VALUES\n\t(1);"}[name]
    tail = b"".join(b"/*!40101 SET %s=IFNULL(@OLD_%s, '') */;\n" % (n.encode(), n.encode()) for n in ("SQL_MODE",))
    data = head + body + tail + b"-- Dump completed\n"
    mirror.imported(data)
    mirror.same_as(data)


def run_measured(mirror):
    """The importer's exit code, what it said, and its memory at most in MB."""
    log = open(mirror.tmp / "log", "wb+")
    process = subprocess.Popen(mirror.args("--once"), stderr=log)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    log.seek(0)
    return process.returncode, log.read().decode(), usage.ru_maxrss / 1024


@pytest.mark.parametrize("row, rows", [(900_000_000, 1), (3_000_000, 40), (90, 800_000)])
@pytest.mark.long
def test_large_statements_take_little_memory(mirror, db, row, rows):
    """One INSERT in all: a row of 0.9 GB is refused, many rows go in parts."""
    with open(mirror.slot / "live.sql", "wb") as f:
        f.write(b"SET sql_mode='';CREATE TABLE t (id INT PRIMARY KEY, x LONGTEXT) ENGINE=InnoDB;\nINSERT INTO t VALUES ")
        for i in range(rows):
            f.write(b"%s(%d,'" % (b",\n" if i else b"", i))
            for _ in range(max(1, row // 1_000_000)):
                f.write(b"x" * min(row, 1_000_000))
            f.write(b"')")
        f.write(b";\n-- Dump completed\n")
    code, said, memory = run_measured(mirror)
    assert memory < 200, memory
    if row > 64 << 20:
        assert code == 1 and "larger than 64 MB, which is the limit" in said
        return
    assert code == 0, said
    assert db.sql("SELECT COUNT(*), SUM(LENGTH(x)), MAX(id) FROM t", "live") == [[str(rows), str(rows * row), str(rows - 1)]]
