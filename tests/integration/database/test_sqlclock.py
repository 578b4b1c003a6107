# SPDX-License-Identifier: MIT
"""A database server whose clock is set back comes to the second of a table's last change again; a change in it is seen
all the same."""
import calendar
import contextlib
import os
import sqlite3
import subprocess
import time

import pytest
from eefs import wait_for
from mariadb import MariaDB

SITE = """
CREATE TABLE t (id INT PRIMARY KEY, v INT); INSERT INTO t SELECT seq, 1 FROM seq_1_to_500;
CREATE TABLE u (id INT PRIMARY KEY, v INT); INSERT INTO u SELECT seq, 2 FROM seq_1_to_500;
"""


class ShiftedMariaDB(MariaDB):
    """A server that takes its time from libfaketime: the true one and `shift` seconds."""

    def environment(self):
        self.shift(0)
        faked = dict(line.split("=", 1) for line in
                     subprocess.check_output(["faketime", "-f", "+0s", "env"], text=True).splitlines() if "=" in line)
        return {**os.environ, "LD_PRELOAD": faked["LD_PRELOAD"].replace("libfaketime.so", "libfaketimeMT.so"),
                "FAKETIME_TIMESTAMP_FILE": self.folder + "/shift", "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1"}

    def shift(self, seconds):
        path = self.folder + "/shift"
        with open(path + ".new", "w") as f:
            f.write(f"{seconds:+.3f}s")
        os.rename(path + ".new", path)

    def changed_at(self, table):
        """UPDATE_TIME of a table of `live`, in seconds since 1970."""
        text = self.sql("SET time_zone='+00:00'; SELECT UPDATE_TIME FROM information_schema.TABLES WHERE "
                        f"TABLE_SCHEMA='live' AND TABLE_NAME='{table}'")[0][0]
        return calendar.timegm(time.strptime(text, "%Y-%m-%d %H:%M:%S"))


@pytest.fixture(scope="module")
def db():
    with ShiftedMariaDB() as server:
        yield server


def aged(mirror, data):
    """Imported, with a mark for each table."""
    mirror.db.shift(0)
    mirror.imported(data)
    mirror.age()
    mirror.imported(data)
    mirror.imported(data)
    assert set(mirror.plan(data).values()) == {"unchanged"}


def change_in_the_same_second(db):
    """Of table t, by setting the clock back; it stays so. Seconds by which."""
    second = db.changed_at("t")
    for _ in range(20):
        shift = second + 0.1 - time.time()
        db.shift(shift)
        db.sql("UPDATE t SET v=9 WHERE id=100", "live")
        if db.changed_at("t") == second:
            return -shift
    raise AssertionError("the server is never in time")


def test_a_change_in_the_same_second_once_more(mirror, db):
    """The clock is behind that of the last import."""
    data = db.dump("site")
    aged(mirror, data)
    change_in_the_same_second(db)
    done = mirror.run(data)
    assert done.returncode == 0 and "was set back" in done.stderr, done.stderr
    mirror.same_as(data)
    assert "was set back" not in mirror.run(data).stderr  # told once


def test_a_clock_that_has_caught_up(mirror, db):
    """It was set back by less than has passed since, so it is ahead of the last import all the same."""
    data = db.dump("site")
    aged(mirror, data)
    mirror.imported(data)
    imported = float(db.sql("SELECT UNIX_TIMESTAMP(NOW(6))")[0][0])
    back = change_in_the_same_second(db)
    wait_for(lambda: float(db.sql("SELECT UNIX_TIMESTAMP(NOW(6))")[0][0]) > imported + 0.5)
    done = mirror.run(data)
    assert done.returncode == 0 and "was set back" in done.stderr, done.stderr
    lost = float(done.stderr.split("was set back by ")[1].split()[0])
    assert back - 0.1 < lost <= back
    mirror.same_as(data)


def test_a_clock_that_is_set_forward_costs_nothing(mirror, db):
    data = db.dump("site")
    aged(mirror, data)
    db.shift(86400)
    done = mirror.run(data)
    assert done.returncode == 0 and "compared" not in done.stderr, done.stderr
    db.sql("UPDATE t SET v=9 WHERE id=100", "live")
    assert mirror.plan(data)["t"] == "delta"


def history(mirror, sql):
    """Changes the importer's history while it does not run."""
    with contextlib.closing(sqlite3.connect(mirror.tmp / "state/import-live.db")) as h:
        h.execute(sql)
        h.commit()


def test_another_boot(mirror, db):
    """Of this machine: what the clock did meanwhile is not known."""
    data = db.dump("site")
    aged(mirror, data)
    history(mirror, "UPDATE clock SET boot='another'")
    change_in_the_same_second(db)
    db.shift(60)
    done = mirror.run(data)
    assert done.returncode == 0 and "after a restart" in done.stderr, done.stderr
    mirror.same_as(data)


@contextlib.contextmanager
def service(mirror, *more):
    """Runs the importer; what it has logged so far is what the value returns."""
    log = mirror.tmp / "log"
    with open(log, "wb") as f:
        process = subprocess.Popen(mirror.args("--poll", "1s", *more), stderr=f)
    try:
        yield log.read_text
    finally:
        process.terminate()
        process.wait()


def test_the_background_sees_it_too(mirror, db):
    """The service compares the tables without a dump, and the one that was changed is repaired by the next."""
    data = db.dump("site")
    aged(mirror, data)
    change_in_the_same_second(db)
    history(mirror, "UPDATE object SET compared=0")
    with service(mirror, "--compare-every", "1h") as log:
        wait_for(lambda: "was set back" in log(), 30)
        mirror.put(data)
        wait_for(lambda: not list(mirror.slot.iterdir()), 30)
    mirror.same_as(data)


def test_a_comparison_in_the_future(mirror, db):
    """When this machine's clock was ahead once, the comparison of its tables does not wait until it is there."""
    data = db.dump("site")
    aged(mirror, data)
    later = int(time.time() + 10 * 86400) * 1000
    history(mirror, f"UPDATE object SET compared={later}")

    def compared():
        with contextlib.closing(sqlite3.connect(f"file:{mirror.tmp}/state/import-live.db?mode=ro", uri=True)) as h:
            return h.execute("SELECT MAX(compared) FROM object").fetchone()[0]

    with service(mirror, "--compare-every", "1d"):
        wait_for(lambda: compared() < later, 30)
