# SPDX-License-Identifier: MIT
"""eefs-sqldump against a real MariaDB."""
import fcntl
import os
import subprocess

import pytest
from mariadb import MariaDB

BIN = os.environ.get("EEFS_BIN", os.path.abspath("build/bin"))


@pytest.fixture(scope="module")
def db():
    with MariaDB() as server:
        server.sql("CREATE DATABASE site; CREATE TABLE site.t (id INT PRIMARY KEY, x TEXT);"
                   "CREATE TABLE site.exp_sessions (id INT); INSERT INTO site.t VALUES (1,'a')")
        yield server


def dump(db, slots, *more, names=("slave1", "slave2"), database="site"):
    return subprocess.run([BIN + "/eefs-sqldump", "--database", database, "--defaults-file",
                           db.defaults, "--slots", str(slots), *more, *names],
                          capture_output=True, text=True)


def temps(folder):
    return [p for p in folder.rglob("*.tmp")]


def test_drops_once_and_only_what_changed(db, tmp_path):
    assert dump(db, tmp_path).returncode == 0
    one, two = tmp_path / "slave1/site.sql", tmp_path / "slave2/site.sql"
    assert one.read_bytes() == two.read_bytes()
    assert b"\n-- Dump completed" in one.read_bytes()[-100:]
    one.unlink()
    assert dump(db, tmp_path).returncode == 0
    assert not one.exists()  # unchanged since the last
    db.sql("INSERT INTO t VALUES (2,'b')", "site")
    assert dump(db, tmp_path, "--ignore-table", "exp_s*").returncode == 0
    assert b"exp_sessions" not in one.read_bytes()
    assert not temps(tmp_path)


def test_errors_leave_the_old_dump(db, tmp_path):
    assert dump(db, tmp_path).returncode == 0
    before = (tmp_path / "slave1/site.sql").read_bytes()
    done = dump(db, tmp_path, database="nothing")
    assert done.returncode == 1 and "mariadb-dump failed" in done.stderr
    assert not (tmp_path / "slave1/nothing.sql").exists()
    assert (tmp_path / "slave1/site.sql").read_bytes() == before
    assert not temps(tmp_path)


def test_a_second_run_is_refused(db, tmp_path):
    with open(tmp_path / ".eefs-sqldump.site.lock", "w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        done = dump(db, tmp_path)
    assert done.returncode == 2 and "another dump" in done.stderr


@pytest.mark.parametrize("name", ["../x", ".", "a/b", ".hidden"])
def test_bad_slot_names(db, tmp_path, name):
    assert dump(db, tmp_path, names=(name,)).returncode == 3
    assert not list(tmp_path.iterdir())
