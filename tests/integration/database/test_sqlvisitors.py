# SPDX-License-Identifier: MIT
"""Visitors write into a mirror's tables while dumps are imported: not one of their transactions fails, and
no import is starved."""
import json
import os
import random
import subprocess
import time

import pytest
from mariadb import MariaDB
from sqlmirror import BIN, SqlMirror

VISITORS = os.path.join(os.path.dirname(BIN), "tests/integration/visitors")
TABLES = "".join(f"""
CREATE TABLE v_{i} (id INT PRIMARY KEY, k INT, u INT, t VARCHAR(40), UNIQUE u (u), KEY k (k)) ENGINE=InnoDB;
INSERT INTO v_{i} SELECT seq, seq%50, seq, MD5(seq) FROM seq_1_to_2000;
""" for i in range(4))
SITE = TABLES + """
CREATE TABLE v_child (id INT AUTO_INCREMENT PRIMARY KEY, pid INT, KEY pid (pid),
  FOREIGN KEY (pid) REFERENCES v_0 (id));
INSERT INTO v_child (pid) SELECT seq FROM seq_1_to_200;
CREATE TABLE quiet (id INT PRIMARY KEY, v INT) ENGINE=MyISAM; INSERT INTO quiet VALUES (1, 0);
"""


class Visitors:
    def __init__(self, db, database, writers, seed, pause_us):
        self.process = subprocess.Popen([VISITORS, db.defaults, database, str(writers), str(seed),
                                         str(pause_us)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def end(self):
        out, _ = self.process.communicate("", timeout=60)
        return json.loads(out)


def change(rng, i, swap):
    """The master's changes of one dump; some that can only be swapped."""
    text = []
    for table in rng.sample(range(4), rng.randint(1, 4)):
        rows = ",".join(str(rng.randint(1, 2000)) for _ in range(rng.randint(1, 60)))
        text.append(f"UPDATE v_{table} SET t='master {i}', k={rng.randint(0, 50)} WHERE id IN ({rows})")
        text.append(f"DELETE FROM v_{table} WHERE id > 2000 AND id%3=0")
        text.append(f"REPLACE INTO v_{table} VALUES ({3000 + i}, {i}, {3000 + i}, 'new')")
    if swap:
        text.append(f"UPDATE quiet SET v={i}")
    return "; ".join(text)


def imports_beside(mirror, db, imports, pause_us, seed, swap_every):
    rng, slowest = random.Random(seed), 0.0
    mirror.imported(db.dump("site"))
    visitors = Visitors(db, "live", 6, seed, pause_us)
    try:
        for n in range(1, imports + 1):
            db.sql(change(rng, n, swap_every and n % swap_every == 0), "site")
            begin = time.monotonic()
            mirror.imported(db.dump("site"))
            slowest = max(slowest, time.monotonic() - begin)
    finally:
        sums = visitors.end()
    print(f"{imports} imports, the slowest {slowest:.1f} s, beside {sums}")
    assert sums["errors"] == 0 and sums["transactions"] > imports
    data = db.dump("site")
    mirror.imported(data)
    mirror.same_as(data)
    return sums["transactions"]


@pytest.mark.parametrize("swap_every", [0, 4])
def test_visitors_are_not_the_victims(mirror, db, swap_every):
    imports_beside(mirror, db, 6 + swap_every // 2, 10000, int(os.environ.get("VISITORS_SEED", "1")), swap_every)


@pytest.mark.long
@pytest.mark.parametrize("seed", [2, 3])
def test_ten_thousand_transactions_beside_154_imports(mirror, db, seed):
    assert imports_beside(mirror, db, 154, 15000, seed, 10) > 10000


@pytest.mark.long
def test_visitors_beside_a_log_of_statements(tmp_path):
    """Such a server refuses READ COMMITTED: gaps are locked, too."""
    with MariaDB(options=["--log-bin", "--binlog-format=STATEMENT", "--server-id=1",
                          "--innodb-autoinc-lock-mode=1"]) as db:
        db.sql("CREATE DATABASE site")
        db.sql(SITE, "site")
        imports_beside(SqlMirror(db, tmp_path), db, 30, 15000, 4, 5)
