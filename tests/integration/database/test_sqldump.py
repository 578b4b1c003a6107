# SPDX-License-Identifier: MIT
"""eefs-sqldump against a real MariaDB."""
import fcntl
import os
import stat
import subprocess

import pytest
from eefs import wait_for
from mariadb import MariaDB

BIN = os.environ.get("EEFS_BIN", os.path.abspath("build/bin"))


@pytest.fixture(scope="module")
def db():
    with MariaDB() as server:
        server.sql("CREATE DATABASE site; CREATE TABLE site.t (id INT PRIMARY KEY, x TEXT);"
                   "CREATE TABLE site.exp_sessions (id INT); INSERT INTO site.t VALUES (1,'a');"
                   "CREATE DATABASE shop; CREATE TABLE shop.goods (id INT PRIMARY KEY)")
        yield server


def command(db, slots, *more, names=("slave1", "slave2"), database="site", defaults=None):
    return [BIN + "/eefs-sqldump", "--database", database, "--defaults-file",
            str(defaults or db.defaults), "--slots", str(slots), *more, *names]


def dump(*args, env=None, **more):
    return subprocess.run(command(*args, **more), capture_output=True, text=True,
                          env={**os.environ, **(env or {})})


def ok(*args, **more):
    done = dump(*args, **more)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")  # cron sends no mail


def change(db, table="site.t"):
    db.sql(f"INSERT INTO {table} (id) SELECT COALESCE(MAX(id),0)+1 FROM {table}")


def leftovers(folder):
    """What is neither a slot, a dump, the lock nor a memory."""
    return [p for p in folder.rglob("*") if p.is_file() and p.suffix not in (".sql", ".lock", ".last")]


def test_drops_once_and_only_what_changed(db, tmp_path):
    ok(db, tmp_path)
    one, two = tmp_path / "slave1/site.sql", tmp_path / "slave2/site.sql"
    assert one.read_bytes() == two.read_bytes()
    assert os.stat(one).st_ino == os.stat(two).st_ino  # one file, two names
    assert b"\n-- Dump completed\n" == one.read_bytes()[-19:]
    one.unlink()
    ok(db, tmp_path)
    assert not one.exists()  # unchanged since the last, and imported
    change(db)
    ok(db, tmp_path, "--ignore-table", "exp_s*")
    assert b"exp_sessions" not in one.read_bytes() and one.read_bytes() == two.read_bytes()
    assert not leftovers(tmp_path)


def test_each_slot_gets_what_it_lacks(db, tmp_path):
    """Unchanged goes by slot: one that failed, is new or was made anew still gets the dump."""
    (tmp_path / "slave2").write_text("in the way")
    done = dump(db, tmp_path)
    assert done.returncode == 1 and "slave2" in done.stderr and "Not a directory" in done.stderr
    (tmp_path / "slave1/site.sql").unlink()
    (tmp_path / "slave2").unlink()
    ok(db, tmp_path, names=("slave1", "slave2", "slave3"))
    assert not (tmp_path / "slave1/site.sql").exists()
    assert (tmp_path / "slave2/site.sql").exists() and (tmp_path / "slave3/site.sql").exists()
    (tmp_path / "slave3/site.sql").unlink()
    (tmp_path / "slave3").rename(tmp_path / "old3")
    ok(db, tmp_path, names=("slave3",))
    assert (tmp_path / "slave3/site.sql").exists()
    # a dump that waits is replaced by a newer one, and by the older state when that comes back
    change(db)
    ok(db, tmp_path)
    newer = (tmp_path / "slave2/site.sql").read_bytes()
    db.sql("DELETE FROM t ORDER BY id DESC LIMIT 1", "site")
    ok(db, tmp_path)
    assert (tmp_path / "slave2/site.sql").read_bytes() != newer
    assert (tmp_path / "slave1/site.sql").read_bytes() == (tmp_path / "slave2/site.sql").read_bytes()
    (tmp_path / "slave1/site.sql").unlink()
    ok(db, tmp_path, "--force")
    assert (tmp_path / "slave1/site.sql").exists()


def test_killed_after_the_drop(db, tmp_path):
    done = dump(db, tmp_path, env={"EEFS_CRASH_AT": "sqldump.dropped"})
    assert done.returncode == -9
    assert (tmp_path / "slave1/site.sql").exists() and not (tmp_path / "slave2").exists()
    ok(db, tmp_path)
    assert (tmp_path / "slave2/site.sql").exists() and not leftovers(tmp_path)


def test_errors_leave_the_old_dump(db, tmp_path):
    ok(db, tmp_path)
    before = (tmp_path / "slave1/site.sql").read_bytes()
    done = dump(db, tmp_path, database="nothing")
    assert done.returncode == 1 and "Unknown database" in done.stderr
    assert "mariadb-dump failed (exit code 2)" in done.stderr and "stay" in done.stderr
    assert not (tmp_path / "slave1/nothing.sql").exists()
    # a table that mysqldump cannot read, after others that it could
    db.sql("CREATE TABLE u (id INT); CREATE VIEW v AS SELECT * FROM u; DROP TABLE u", "site")
    try:
        change(db)
        done = dump(db, tmp_path)
    finally:
        db.sql("DROP VIEW site.v")
    assert done.returncode == 1 and "v" in done.stderr
    assert (tmp_path / "slave1/site.sql").read_bytes() == before
    assert not leftovers(tmp_path)


@pytest.mark.parametrize("how, code", [("cut", "is not whole"), ("slow", "--timeout"),
                                       ("evil", "mirrors would refuse"), ("dies", "signal 9")])
def test_a_bad_dump_is_never_dropped(db, tmp_path, how, code):
    """A program in mysqldump's place that fails in silence."""
    real = subprocess.run(["which", "mariadb-dump"], capture_output=True, text=True).stdout.strip()
    scripts = {"cut": f'"{real}" "$@" | head -c 900', "slow": "echo '-- MariaDB dump'; exec sleep 60",
               "evil": f'"{real}" "$@" | sed "s/^UNLOCK TABLES/GRANT ALL ON *.* TO x/"',
               "dies": f'"{real}" "$@"; kill -9 $$'}
    fake = tmp_path / "bin" / "mariadb-dump"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\n" + scripts[how] + "\n")
    fake.chmod(0o755)
    slots = tmp_path / "sql"
    slots.mkdir()
    ok(db, slots)
    before = (slots / "slave1/site.sql").read_bytes()
    change(db)
    done = dump(db, slots, "--timeout", "1s" if how == "slow" else "1h",
                env={"PATH": f"{fake.parent}:{os.environ['PATH']}"})
    assert done.returncode == 1 and code in done.stderr, done.stderr
    assert (slots / "slave1/site.sql").read_bytes() == before and not leftovers(slots)


def test_least_privileges(db, tmp_path):
    """The README's GRANTs are enough; what is missing is named, for mysqldump leaves out silently."""
    defaults = tmp_path / "my.cnf"
    defaults.write_text(f"[client]\nuser=eefs_dump\npassword=x\nsocket={db.socket}\n")
    defaults.chmod(0o600)
    db.sql("CREATE DATABASE full; CREATE USER eefs_dump@localhost IDENTIFIED BY 'x';"
           "GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON full.* TO eefs_dump@localhost")
    db.sql("CREATE TABLE t (id INT); CREATE VIEW v AS SELECT * FROM t;"
           "CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET new.id=1;"
           "CREATE FUNCTION fn() RETURNS INT RETURN 1;"
           "CREATE EVENT ev ON SCHEDULE EVERY 1 DAY DO SELECT 1", "full")
    done = dump(db, tmp_path, defaults=defaults, database="full")
    assert done.returncode == 1 and "mysql.proc" in done.stderr
    db.sql("GRANT SELECT ON mysql.proc TO eefs_dump@localhost;"
           "REVOKE TRIGGER ON full.* FROM eefs_dump@localhost")
    done = dump(db, tmp_path, defaults=defaults, database="full")
    assert done.returncode == 1 and "GRANT TRIGGER" in done.stderr
    db.sql("GRANT TRIGGER ON full.* TO eefs_dump@localhost")
    ok(db, tmp_path, defaults=defaults, database="full")
    text = (tmp_path / "slave1/full.sql").read_bytes()
    for what in (b"TRIGGER tr", b"FUNCTION `fn`", b"EVENT `ev`", b"VIEW `v`"):
        assert what in text


def test_a_second_run_is_refused(db, tmp_path):
    with open(tmp_path / ".eefs-sqldump.site.lock", "w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        done = dump(db, tmp_path)
        ok(db, tmp_path, database="shop")  # another database is another matter
    assert done.returncode == 2 and "another dump" in done.stderr


def test_several_databases(db, tmp_path):
    ok(db, tmp_path, database="site,shop", names=("slave1", "slave2=shop"))
    assert {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.sql")} == {
        "slave1/site.sql", "slave1/shop.sql", "slave2/shop.sql"}
    assert b"`goods`" in (tmp_path / "slave2/shop.sql").read_bytes()
    done = dump(db, tmp_path, "--databases", "nothing", "--verbose", names=("slave1",))
    assert done.returncode == 1 and "'nothing'" in done.stderr
    assert "slave1: unchanged since the last dump" in done.stderr
    assert dump(db, tmp_path, names=("slave1=other",)).returncode == 3


def test_works_where_nothing_is_served(db, tmp_path):
    """Below a master's root: only slots and dumps are in the served folder."""
    root = tmp_path / "assets"
    (root / ".eefs").mkdir(parents=True)
    (root / ".eefs" / "marker").write_text("x")
    (root / "sql").mkdir()
    ok(db, root / "sql")
    assert sorted(str(p.relative_to(root)) for p in (root / "sql").rglob("*")) == [
        "sql/slave1", "sql/slave1/site.sql", "sql/slave2", "sql/slave2/site.sql"]
    assert os.stat(root / ".eefs/sqldump").st_mode & 0o777 == 0o700


def test_secrets_are_in_no_argument(db, tmp_path):
    """While it runs: neither user nor password is in an argument or an environment."""
    defaults = tmp_path / "my.cnf"
    defaults.write_text(open(db.defaults).read() + "password=hush-hush\n")
    defaults.chmod(0o644)
    done = dump(db, tmp_path, defaults=defaults)
    assert done.returncode == 3 and "chmod" in done.stderr
    defaults.chmod(0o600)
    db.sql("ALTER USER root@localhost IDENTIFIED BY 'hush-hush'")
    lock = subprocess.Popen(["mariadb", f"--defaults-file={defaults}", "--unbuffered", "site"], text=True,
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        lock.stdin.write("LOCK TABLES t WRITE; SELECT 1;\n")
        lock.stdin.flush()
        lock.stdout.readline()
        run = subprocess.Popen(command(db, tmp_path, defaults=defaults), stderr=subprocess.PIPE)

        def child():
            path = f"/proc/{run.pid}/task/{run.pid}/children"
            return open(path).read().split()

        pid = wait_for(child, 20)[0]
        wait_for(lambda: b"mariadb-dump" in open(f"/proc/{pid}/cmdline", "rb").read(), 10)
        for p in (pid, str(run.pid)):
            assert b"hush" not in open(f"/proc/{p}/cmdline", "rb").read()
            assert b"hush" not in open(f"/proc/{p}/environ", "rb").read()
    finally:
        lock.communicate("UNLOCK TABLES;\n")
    _, said = run.communicate(timeout=60)
    subprocess.run(["mariadb", f"--defaults-file={defaults}", "-e",
                    "SET PASSWORD=PASSWORD('')"], check=True)
    assert (run.returncode, said) == (0, b"")
    mode = os.stat(tmp_path / "slave1/site.sql").st_mode
    assert not mode & (stat.S_IRWXO | stat.S_IWGRP)


@pytest.mark.parametrize("name", ["../x", ".", "a/b", ".hidden"])
def test_bad_slot_names(db, tmp_path, name):
    assert dump(db, tmp_path, names=(name,)).returncode == 3
    assert not list(tmp_path.iterdir())
