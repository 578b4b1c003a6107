# SPDX-License-Identifier: MIT
"""The importer beside the mariadb client on the same server."""

import json
import os
import subprocess
import time

from eefs import BIN, wait_for
from mariadb import MariaDB

OPTIONS = ["--innodb-buffer-pool-size=512M", "--innodb-log-file-size=512M", "--userstat=1",
           "--innodb-flush-log-at-trx-commit=1"]
BIG = """
CREATE TABLE exp_channel_titles (entry_id INT AUTO_INCREMENT PRIMARY KEY, author_id INT, title
  VARCHAR(200), url_title VARCHAR(75), status VARCHAR(50), entry_date INT, views INT DEFAULT 0,
  KEY(author_id), KEY(url_title), KEY(status), KEY(entry_date));
INSERT INTO exp_channel_titles SELECT seq, seq%400, CONCAT('Title ', MD5(seq)), SHA1(seq), 'open',
  1500000000+seq, 0 FROM seq_1_to_150000;
CREATE TABLE exp_channel_data (entry_id INT PRIMARY KEY, channel_id INT, field_id_1 TEXT, field_id_2
  TEXT, KEY(channel_id));
INSERT INTO exp_channel_data SELECT seq, seq%6, REPEAT(CONCAT(MD5(seq), ' it''s \\n'), 12),
  REPEAT(SHA1(seq), 6) FROM seq_1_to_95000;
CREATE TABLE exp_entry_versioning (version_id INT PRIMARY KEY, entry_id INT, version_data MEDIUMTEXT,
  KEY(entry_id));
INSERT INTO exp_entry_versioning SELECT seq, seq%6000, REPEAT(CONCAT('<p>', MD5(seq), '</p>\\n'), 60)
  FROM seq_1_to_16000;
CREATE TABLE exp_cp_log (id INT PRIMARY KEY, member_id INT, username VARCHAR(32), ip VARCHAR(45),
  action VARCHAR(200), KEY(member_id));
INSERT INTO exp_cp_log SELECT seq, seq%400, CONCAT('user', seq%400), '192.0.2.1', CONCAT('Edited ',
  MD5(seq)) FROM seq_1_to_250000;
CREATE TABLE exp_category_posts (entry_id INT, cat_id INT, PRIMARY KEY(entry_id, cat_id), KEY(cat_id));
INSERT INTO exp_category_posts SELECT seq DIV 2, seq%120 FROM seq_1_to_120000;
"""
SMALL = """
CREATE TABLE exp_small_{0} (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(100), v TEXT, KEY(name));
INSERT INTO exp_small_{0} SELECT seq, MD5(seq), REPEAT(SHA1(seq), 3) FROM seq_1_to_300;
"""


class Bench:
    def __init__(self, site, db):
        self.db, self.base = db, site.base
        self.slot = os.path.join(site.base, "slot")
        os.makedirs(self.slot, exist_ok=True)
        self.dump = os.path.join(site.base, "dump.sql")

    def args(self, *more):
        return [os.path.join(BIN, "eefs-sqlimport"), "--slot", self.slot, "--database", "live",
                "--defaults-file", self.db.defaults, "--state", self.base + "/state", "--rundir",
                self.base + "/run", *more]

    def make_dump(self):
        with open(self.dump, "wb") as f:
            f.write(self.db.dump("site"))
        return os.path.getsize(self.dump)

    def put(self):
        os.link(self.dump, self.slot + "/.live.sql.tmp")
        os.rename(self.slot + "/.live.sql.tmp", self.slot + "/live.sql")

    def fresh(self, name):
        for schema in (name, name + "_eefs_stage", name + "_eefs_old"):
            self.db.sql(f"DROP DATABASE IF EXISTS {schema}")
        self.db.sql(f"CREATE DATABASE {name}")

    def import_once(self, *more, refused=False):
        """Seconds, and the importer's peak memory in MB; of a dump that is refused, if so said."""
        self.put()
        begin = time.perf_counter()
        process = subprocess.Popen(self.args("--once", *more), stderr=subprocess.DEVNULL)
        peak = 0
        while process.poll() is None:  # wait4's figure would be this program's own
            with open(f"/proc/{process.pid}/status") as f:
                peak = max([peak] + [int(line.split()[1]) for line in f if line.startswith("VmHWM")])
            time.sleep(0.01)
        if process.returncode != refused:
            raise SystemExit("bench: the import ended with %d" % process.returncode)
        return time.perf_counter() - begin, peak / 1024

    def last(self):
        with open(self.base + "/run/import-live.json") as f:
            return json.load(f).get("last_import", {})

    def settle(self):
        """The service looks at what it changed, when nothing else is to be done."""
        wait_for(lambda: subprocess.run(
            ["sqlite3", "-readonly", self.base + "/state/import-live.db",
             "SELECT COUNT(*) FROM object WHERE kind='TABLE' AND mark=''"],
            capture_output=True).stdout == b"0\n", 60)

    def server_busy(self):
        """Milliseconds of processor time that statements took on the server since its start."""
        return 1000 * float(self.db.sql("SHOW GLOBAL STATUS LIKE 'Cpu_time'")[0][1])


def build(db):
    db.sql("CREATE DATABASE site")
    db.sql(BIG + "".join(SMALL.format(i) for i in range(110)), "site")


def full(bench, size):
    """Twice each, in turn; the better ones are compared."""
    ours, client = [], []
    for _ in range(2):
        bench.fresh("peer")
        begin = time.perf_counter()
        bench.db.load("peer", bench.dump)
        client.append(time.perf_counter() - begin)
        bench.db.sql("DROP DATABASE peer")
        bench.fresh("live")
        subprocess.run(["rm", "-rf", bench.base + "/state"], check=True)
        ours.append(bench.import_once()[0])
    print("full import of %.0f MB, 115 tables: %.1f s, the client %.1f s: ratio %.2f (target 0.45)"
          % (size / 1e6, min(ours), min(client), min(ours) / min(client)), flush=True)


def unchanged(bench, size):
    bench.import_once()  # what was changed within the last second of the import is looked at
    seconds = min(bench.import_once()[0] for _ in range(3))
    print("unchanged dump: %.2f s per 150 MB (target 0.25)" % (seconds * 150e6 / size), flush=True)


def rows(bench, size):
    """The service waits; three dumps with 100 changed rows each arrive."""
    service = subprocess.Popen(bench.args(), stderr=subprocess.DEVNULL)
    seconds, busy = [], []
    try:
        bench.settle()
        for i in range(1, 4):
            bench.db.sql(f"UPDATE exp_channel_titles SET views=views+{i} WHERE entry_id%4000=7; "
                         f"UPDATE exp_channel_data SET field_id_2='{i}' WHERE entry_id%2500=5; "
                         f"UPDATE exp_cp_log SET action='{i}' WHERE id%10000=9", "site")
            bench.make_dump()
            before, count = bench.server_busy(), bench.last().get("time")
            begin = time.perf_counter()
            bench.put()
            wait_for(lambda: not os.path.exists(bench.slot + "/live.sql"), 60)
            seconds.append(time.perf_counter() - begin)
            busy.append(bench.server_busy() - before)
            wait_for(lambda: bench.last().get("time") != count, 10)
            bench.settle()
            assert bench.last()["tables_changed"] == 3 and bench.last()["rows"] < 110
    finally:
        service.terminate()
        service.wait()
    print("100 changed rows in 3 of 115 tables: %.2f s from arrival to acknowledgement (target 0.5), "
          "server %.0f ms of processor time (target 50)" % (sorted(seconds)[1], sorted(busy)[1]),
          flush=True)


def sql(site):
    """import of a 150 MB dump: all of it, nothing new, few rows; beside the mariadb client"""
    with MariaDB(site.base + "/db", OPTIONS, durable=True) as db:
        build(db)
        bench = Bench(site, db)
        size = bench.make_dump()
        full(bench, size)
        unchanged(bench, size)
        rows(bench, size)


def sqlmem(site):
    """the importer's memory for a dump of 2 GB"""
    with MariaDB(site.base + "/db", OPTIONS, durable=True) as db:
        db.sql("CREATE DATABASE site")
        db.sql(BIG, "site")
        bench = Bench(site, db)
        one = db.dump("site")
        size, copies = 0, 0
        with open(bench.dump, "wb") as f:
            while size < 2e9:
                size += f.write(one.replace(b"`exp_", b"`x%d_" % copies))
                copies += 1
        bench.fresh("live")
        seconds, peak = bench.import_once()
        print("memory for a dump of %.1f GB: %.0f MB (target 100), %.0f s" % (size / 1e9, peak, seconds),
              flush=True)


def sqlhostile(site):
    """dumps that are made to be slow or large: 2 MB of nested comments, a row of 0.9 GB"""
    end = b"-- Dump completed on 2026-01-01  0:00:00\n"
    with MariaDB(site.base + "/db", OPTIONS, durable=True) as db:
        bench = Bench(site, db)
        bench.fresh("live")
        for name, begin, piece, count, rest, target in (
                ("nested comments", b"-- MySQL dump\n", b"/*!50700 ", 230_000, b"", "0.2 s"),
                ("a row", b"-- MySQL dump\nCREATE TABLE `b` (`x` longblob);\nINSERT INTO `b` VALUES ('",
                 b"x" * 1_000_000, 900, b"');\n", "200 MB of memory")):
            with open(bench.dump, "wb") as f:
                f.write(begin)
                for _ in range(count):
                    f.write(piece)
                f.write(rest + end)
            seconds, peak = bench.import_once(refused=True)
            print("%s, %.1f MB: refused after %.2f s with %.0f MB of memory (target %s)"
                  % (name, os.path.getsize(bench.dump) / 1e6, seconds, peak, target), flush=True)
            os.unlink(bench.slot + "/live.sql")


SUBJECTS = {"sqlhostile": sqlhostile, "sql": sql, "sqlmem": sqlmem}
