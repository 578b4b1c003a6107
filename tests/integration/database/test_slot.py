# SPDX-License-Identifier: MIT
"""How eefs-sqlimport wakes, acknowledges and tells: on plain folders and on a real mount."""
import gzip
import hashlib
import json
import mmap
import os
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest
from eefs import program, wait_for
from mariadb import MariaDB
from sqlservice import Importer


@pytest.fixture(scope="module")
def db():
    with MariaDB() as server:
        server.sql("CREATE DATABASE site; CREATE DATABASE live")
        server.sql("CREATE TABLE t (id INT PRIMARY KEY, x TEXT); INSERT INTO t VALUES (1,'a');"
                   "CREATE TABLE `two words` (id INT PRIMARY KEY)", "site")
        yield server


def dump(db, rows):
    """A dump whose table t has that many rows."""
    db.sql("TRUNCATE t; INSERT INTO t SELECT seq, 'x' FROM seq_1_to_%d" % rows, "site")
    return db.dump("site")


def put(folder, data, name="live.sql"):
    """As eefs-sqldump does; returns the time of the rename."""
    with open(os.path.join(folder, ".put.tmp"), "wb") as f:
        f.write(data)
    at = time.monotonic()
    os.rename(os.path.join(folder, ".put.tmp"), os.path.join(folder, name))
    return at


@pytest.fixture
def plain(db, tmp_path):
    slot = tmp_path / "slot"
    slot.mkdir()
    importer = Importer(db, tmp_path, slot)
    yield importer
    importer.stop()


def begun(importer, n):
    """The importer has begun its nth import (it says so when it is through)."""
    return len(re.findall(r"imported '", importer.log())) >= n


def test_wakes_at_once_in_a_plain_folder(db, plain):
    plain.start("--poll", "1h")
    took = []
    for n in (1, 2, 3):
        data = dump(db, n)
        at = put(plain.slot, data)
        wait_for(plain.gone)
        took.append(time.monotonic() - at)
        assert plain.rows() == n
    data = dump(db, 3)
    at = put(plain.slot, data)  # unchanged: what is measured is waking, reading and removing
    wait_for(plain.gone)
    print("plain folder: unchanged dump gone after %.0f ms" % ((time.monotonic() - at) * 1000))
    # the folder is made anew: what lies in it is found, and what comes into it wakes again
    shutil.rmtree(plain.slot)
    plain.stop()
    plain.start("--poll", "200ms")
    plain.slot.mkdir()
    put(plain.slot, dump(db, 4))
    wait_for(plain.gone)
    assert plain.rows() == 4
    put(plain.slot, dump(db, 5), "other.sql")  # not its dump
    put(plain.slot, dump(db, 6))
    wait_for(plain.gone)
    assert plain.rows() == 6 and (plain.slot / "other.sql").exists()


def once(plain, *more):
    return subprocess.run(plain.argv("--once", *more), capture_output=True, text=True)


@pytest.mark.parametrize("name", ["site.sql", "a name.sql", "live.sql"])
def test_the_only_dump_is_taken_whatever_its_name(db, plain, name):
    plain.slot.mkdir(exist_ok=True)
    (plain.slot / "readme.txt").write_text("no dump")
    put(plain.slot, dump(db, 4), name)
    done = once(plain)
    assert done.returncode == 0 and f"/{name}' in" in done.stderr, done
    assert plain.rows() == 4 and [p.name for p in plain.slot.iterdir()] == ["readme.txt"]


def test_nothing_or_several(db, plain):
    """Exit code 3, and a sentence that says why."""
    plain.slot.mkdir(exist_ok=True)
    done = once(plain)
    assert done.returncode == 3 and "holds no dump" in done.stderr
    put(plain.slot, dump(db, 4), "a.sql")
    put(plain.slot, dump(db, 5), "b.sql")
    done = once(plain)
    assert done.returncode == 3 and "'a.sql'" in done.stderr and "'b.sql'" in done.stderr
    assert "--file" in done.stderr and plain.rows() == -1 and len(list(plain.slot.iterdir())) == 2
    assert once(plain, "--file", "c.sql").returncode == 3
    assert once(plain, "--file", "b.sql").returncode == 0 and plain.rows() == 5
    put(plain.slot, dump(db, 6))
    assert once(plain).returncode == 0 and plain.rows() == 6 and (plain.slot / "a.sql").exists()


def test_the_service_takes_the_only_dump(db, plain):
    """It keeps to that name afterwards: another one needs --file."""
    plain.start("--poll", "100ms")
    put(plain.slot, dump(db, 3), "ee.sql")
    wait_for(lambda: plain.rows() == 3 and not (plain.slot / "ee.sql").exists())
    put(plain.slot, dump(db, 4), "other.sql")
    wait_for(lambda: "'other.sql', which is not imported" in plain.state().get("reason", ""))
    assert "--file" in plain.state()["action"] and plain.state()["state"] == "idle"
    shown = subprocess.run([program("eefs-status"), "--rundir", str(plain.rundir)], capture_output=True,
                           text=True)
    assert "which is not imported" in shown.stdout and "--file" in shown.stdout, shown
    put(plain.slot, dump(db, 5), "ee.sql")
    wait_for(lambda: plain.rows() == 5)
    plain.stop()
    plain.start("--poll", "100ms")  # it is remembered
    put(plain.slot, dump(db, 6), "ee.sql")
    wait_for(lambda: plain.rows() == 6)
    assert (plain.slot / "other.sql").exists() and plain.log().count("'other.sql'") <= 4


def test_a_dump_of_another_importer_is_left_alone(db, plain):
    plain.slot.mkdir(exist_ok=True)
    plain.rundir.mkdir()
    state = {"name": "second", "database": "second", "slot": str(plain.slot)}
    (plain.rundir / "import-second.json").write_text(json.dumps(state))
    put(plain.slot, dump(db, 3), "second.sql")
    assert once(plain).returncode == 3
    put(plain.slot, dump(db, 4), "site.sql")
    assert once(plain).returncode == 0 and plain.rows() == 4
    state["file"] = "third.sql"
    (plain.rundir / "import-second.json").write_text(json.dumps(state))
    assert once(plain).returncode == 0 and not list(plain.slot.iterdir())


def test_no_row_is_shown(db, plain):
    """Not in the state file, the log, the command's environment: of a dump that is refused, of one
    that the server refuses. What holds keys of rows is for its owner only."""
    plain.slot.mkdir(exist_ok=True)
    secret = "ann@example.org"
    put(plain.slot, db.dump("site", "--skip-extended-insert"))
    assert once(plain).returncode == 0
    table = ("CREATE TABLE m (mail VARCHAR(99) CHARSET ascii PRIMARY KEY, n INT, UNIQUE (n)) ENGINE=InnoDB;"
             f"INSERT INTO m VALUES ('{secret}', 1), ('b', 2);")
    end = b"-- Dump completed"
    whole = dump(db, 3)
    put(plain.slot, whole.replace(end, table.encode() + end))
    assert once(plain, "--after", f"env > '{plain.tmp}/env'").returncode == 0
    bad = [table + f"INSERT INTO m VALUES ('{secret}', 3);",          # 1062 by the server
           table + f"INSERT INTO m VALUES (CONCAT('{secret}'), 3);",  # no plain value
           table + f"'{secret}';", f"{secret};", f"ALTER '{secret}';", f"SET sql_mode='{secret}';",
           f"SET @x = ('{secret}');", f"CREATE TABLE n (a INT DEFAULT '{secret}');"]
    for statement in bad:
        put(plain.slot, whole.replace(end, statement.encode() + b"\n" + end))
        done = once(plain)
        assert done.returncode == 1 and secret not in done.stderr, (statement, done)
        assert "line" in done.stderr
        assert secret not in (plain.rundir / "import-live.json").read_text()
    assert secret not in (plain.tmp / "env").read_text()
    for path in plain.tmp.rglob("*"):
        if path.is_file() and path.parent != plain.slot and secret.encode() in path.read_bytes():
            assert path.stat().st_mode & 0o077 == 0, path



def test_a_dump_of_the_given_name_is_imported(db, plain):
    put(plain.slot, dump(db, 5), "ee.sql")
    plain.start("--poll", "50ms", "--file", "ee.sql")
    wait_for(lambda: not (plain.slot / "ee.sql").exists())
    assert plain.rows() == 5


def hold_table(db):
    """A session that has t locked; communicate("UNLOCK TABLES;") lets it go."""
    lock = subprocess.Popen(["mariadb", f"--defaults-file={db.defaults}", "--unbuffered", "live"],
                            text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    lock.stdin.write("LOCK TABLES t WRITE; SELECT 1;\n")
    lock.stdin.flush()
    lock.stdout.readline()
    return lock


def test_a_newer_dump_stays(db, plain):
    """A dump that comes while the former one is imported is not taken for it."""
    plain.start("--poll", "1h")
    put(plain.slot, dump(db, 1))
    wait_for(plain.gone)
    first, second = dump(db, 2), dump(db, 3)
    lock = hold_table(db)
    put(plain.slot, first)
    wait_for(lambda: plain.state()["state"] == "importing")
    wait_for(lambda: db.sql("SELECT COUNT(*) FROM information_schema.processlist WHERE state "
                            "LIKE 'Waiting for%'")[0][0] != "0")
    put(plain.slot, second)
    lock.communicate("UNLOCK TABLES;\n")
    wait_for(plain.gone)
    assert plain.rows() == 3 and begun(plain, 3)


@pytest.mark.parametrize("how", ["in place", "mapped", "linked"])
def test_a_dump_changed_in_place_stays(db, plain, how):
    """With the size and the time that it had; one that only got another name goes."""
    plain.start("--poll", "1h")
    put(plain.slot, dump(db, 1))
    wait_for(plain.gone)
    first, path = dump(db, 2), plain.slot / "live.sql"
    assert b"(2,'x')" in first
    lock = hold_table(db)
    put(plain.slot, first)
    wait_for(lambda: db.sql("SELECT COUNT(*) FROM information_schema.processlist WHERE state "
                            "LIKE 'Waiting for%'")[0][0] != "0")
    before = path.stat()
    with open(path, "r+b") as f:
        at = first.index(b"(2,'x')")
        if how == "in place":
            f.seek(at)
            f.write(b"(3")
        elif how == "mapped":
            with mmap.mmap(f.fileno(), 0) as m:
                m[at:at + 2] = b"(3"
        else:
            os.link(path, plain.slot / ".other")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    lock.communicate("UNLOCK TABLES;\n")
    wait_for(lambda: begun(plain, 2) and plain.gone())
    wait_for(lambda: plain.state()["state"] == "idle")
    assert db.sql("SELECT MAX(id) FROM t", "live")[0][0] == ("2" if how == "linked" else "3")
    assert plain.gone()


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
def test_a_dump_is_read_again_only_where_it_must(db, plain):
    """All of it once more where a write may be hidden, for somebody has it open for writing."""
    db.sql("CREATE TABLE big (id INT PRIMARY KEY, x TEXT); INSERT INTO big SELECT seq, REPEAT('x', "
           "1000) FROM seq_1_to_4000", "site")
    text = dump(db, 1)
    db.sql("DROP TABLE big", "site")
    put(plain.slot, text)
    assert subprocess.run(plain.argv("--once")).returncode == 0
    wait_for(lambda: db.sql("SELECT MAX(UPDATE_TIME) + INTERVAL 1100000 MICROSECOND <= NOW(6) FROM "
                            "information_schema.tables WHERE TABLE_SCHEMA='live'")[0][0] == "1")
    read = []
    for mode in ("rb", "rb", "r+b"):  # at first the tables get their marks
        put(plain.slot, text)
        with open(plain.slot / "live.sql", mode):
            wait_for(lambda: time.time() - (plain.slot / "live.sql").stat().st_ctime > 0.05)
            # a file for each thread, or a call's line may be cut in two by another thread's
            done = subprocess.run(["strace", "-ff", "-qq", "-y", "-e", "trace=pread64,read", "-o",
                                   plain.tmp / "trace", *plain.argv("--once")])
        assert done.returncode == 0 and plain.gone()
        traces = list(plain.tmp.glob("trace.*"))
        sizes = [size for trace in traces
                 for size in re.findall(r"live\.sql.*>, .* = (\d+)$", trace.read_text(), re.M)]
        for trace in traces:
            trace.unlink()
        read.append(sum(map(int, sizes)) / len(text))
    assert read[1] < 1.1 and 1.9 < read[2] < 2.1, read


@pytest.mark.parametrize("newer", [False, True])
def test_killed_while_it_removes(db, plain, newer):
    put(plain.slot, dump(db, 1))
    done = subprocess.run(plain.argv("--once"), env={**os.environ, "EEFS_CRASH_AT": "slot.aside"})
    assert done.returncode == -signal.SIGKILL and not (plain.slot / "live.sql").exists() and plain.rows() == 1
    if newer:
        put(plain.slot, dump(db, 2))
    plain.start("--poll", "1h")
    wait_for(lambda: begun(plain, 1) and plain.gone())
    assert plain.rows() == (2 if newer else 1)
    assert list(plain.slot.iterdir()) == []


def test_a_failed_dump_is_told_once(db, plain):
    bad = dump(db, 2).replace(b"PRIMARY KEY (`id`)", b"PRIMARY KEY (`nothing`)", 1)
    plain.start("--poll", "100ms")
    put(plain.slot, bad)
    wait_for(lambda: plain.state()["state"] == "failed")
    said = plain.log()
    for part in ("error 1072", "'t', line", "offset", "make a new one"):
        assert part in said, said
    offset = int(re.search(r"offset (\d+)", said)[1])
    assert bad[offset:].startswith(b"CREATE TABLE")
    failed = plain.state()["failed"]
    assert failed["errno"] == 1072 and failed["table"] == "t"
    begin = plain.state()["updated_ms"]
    plain.stop()  # nor again by another start
    plain.start("--poll", "20ms")
    wait_for(lambda: plain.state()["state"] == "failed" and plain.state()["updated_ms"] > begin)
    assert plain.log().count("cannot import") == 1 and plain.state()["failed"]["count"] == 1
    assert (plain.slot / "live.sql").read_bytes() == bad
    put(plain.slot, dump(db, 3))
    wait_for(plain.gone)
    assert plain.rows() == 3 and not plain.state().get("failed", {}).get("count")


def test_a_server_that_is_away_is_asked_less_and_less(db, plain):
    """Twice each time: for the dump, and for what an import may have left."""
    plain.slot.mkdir(exist_ok=True)
    put(plain.slot, dump(db, 1))
    (plain.tmp / "away.cnf").write_text(f"[client]\nsocket={plain.tmp}/away.sock\n")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(plain.tmp / "away.sock"))
        s.listen()
        s.settimeout(30)
        plain.start("--poll", "10ms", "--defaults-file", str(plain.tmp / "away.cnf"))
        came = []
        for _ in range(6):
            s.accept()[0].close()
            came.append(time.monotonic())
    assert came[5] - came[0] > 0.9, came  # the first wait ends early, for the slot is watched from then on
    wait_for(lambda: plain.state()["state"] == "waiting_database")


def test_without_a_database(db, plain):
    """Says which one is to be made, and imports when it is there, though the dump did not change. What an
    interrupted import left waits as long."""
    db.sql("DROP DATABASE live")
    sentence = "create it there (CREATE DATABASE `live`)"
    plain.slot.mkdir(exist_ok=True)
    put(plain.slot, dump(db, 2))
    for left in (False, True):
        if left:
            db.sql("CREATE DATABASE live_eefs_old; CREATE TABLE live_eefs_old.x (a INT)")
        for options in ([], ["--dry-run"]):
            done = once(plain, *options)
            assert done.returncode == 1 and sentence in done.stderr and "1025" not in done.stderr, done
            assert done.stderr.count("'live'") == 1, done
    plain.start("--poll", "50ms")
    state = wait_for(lambda: (s := plain.state())["state"] == "waiting_database" and s)
    assert sentence in state["reason"] and "create that database" in state["action"]
    assert not plain.gone()
    db.sql("CREATE DATABASE live")
    wait_for(lambda: begun(plain, 1) and plain.gone())
    assert plain.rows() == 2 and plain.log().count(sentence) == 1
    assert db.sql("SELECT COUNT(*) FROM x", "live") == [["0"]]


def test_keep_dump(db, plain):
    plain.start("--poll", "20ms", "--keep-dump")
    put(plain.slot, dump(db, 2))
    wait_for(lambda: begun(plain, 1))
    db.sql("INSERT INTO t VALUES (77,'local')", "live")
    plain.stop()
    plain.start("--poll", "20ms", "--keep-dump")  # not again, by another start neither
    before = plain.state()["updated_ms"]
    wait_for(lambda: plain.state()["updated_ms"] > before, 20)
    assert plain.rows() == 3 and plain.log().count("imported '") == 1
    put(plain.slot, dump(db, 4))
    wait_for(lambda: begun(plain, 2))
    assert plain.rows() == 4 and not plain.gone()


def test_after(db, plain):
    """The command is told what changed; whatever becomes of it, the import counts."""
    told = plain.tmp / "told"
    command = f'printf "%s:%s|" "$EEFS_DATABASE" "$EEFS_TABLES" >> {told}; exit 3'
    plain.start("--poll", "1h", "--after", command)
    put(plain.slot, dump(db, 1))
    wait_for(lambda: told.exists() and "exit code 3" in plain.log())
    assert told.read_text() == "live:t\ntwo words|" and plain.gone() and plain.rows() == 1
    put(plain.slot, dump(db, 2))
    wait_for(lambda: told.read_text().count("|") == 2)
    assert told.read_text().endswith("|live:t|")
    put(plain.slot, db.dump("site"))  # nothing changed: nothing to tell
    wait_for(lambda: begun(plain, 3) and plain.gone())
    assert told.read_text().count("|") == 2
    plain.stop()
    # killed between the commit and the command: it is told at the next start
    put(plain.slot, dump(db, 3))
    done = subprocess.run(plain.argv("--once", "--after", command),
                          env={**os.environ, "EEFS_CRASH_AT": "import.done"})
    assert done.returncode == -signal.SIGKILL
    plain.start("--poll", "1h", "--after", command)
    wait_for(lambda: told.read_text().count("|") == 3)
    assert told.read_text().endswith("|live:t|")
    plain.stop()
    # a command that does not end is ended, with all that it started
    put(plain.slot, dump(db, 4))
    begin = time.monotonic()
    done = subprocess.run(plain.argv("--once", "--after", "sleep 300 & sleep 300", "--after-timeout",
                                     "300ms"), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "took longer than" in done.stderr
    assert time.monotonic() - begin < 60 and plain.rows() == 4 and plain.gone()


@pytest.mark.san
def test_on_a_mount(db, site, tmp_path):
    """Woken by the mount's change stream; the removal reaches the master."""
    master = site.master()
    os.makedirs(master.path("sql", "slave1"))
    mount = site.mount(master, "slave1")
    slot = tmp_path / "slot"
    slot.symlink_to(mount.path("sql", "slave1"))
    wait_for(lambda: os.path.isdir(slot))
    importer = Importer(db, tmp_path, slot, rundir=type(tmp_path)(site.rundir))
    arrived = master.path("sql", "slave1", "live.sql")
    try:
        importer.start("--poll", "1h")
        for n in (1, 2):
            put(os.path.dirname(arrived), dump(db, n))
            wait_for(lambda: not os.path.exists(arrived), 20)
            assert importer.rows() == n
        at = put(os.path.dirname(arrived), db.dump("site"))
        wait_for(lambda: not os.path.exists(arrived), 20)
        print("mount: unchanged dump from the master's rename to its removal there %.0f ms"
              % ((time.monotonic() - at) * 1000))
        put(slot, dump(db, 4))  # by a process of this mirror
        wait_for(lambda: not os.path.exists(slot / "live.sql"), 20)
        assert importer.rows() == 4
        put(os.path.dirname(arrived), gzip.compress(dump(db, 5)), "live.sql.gz")  # by the packed file's hash
        wait_for(lambda: not os.path.exists(arrived + ".gz"), 20)
        assert importer.rows() == 5
        # the mount goes and comes again under the service: polling finds it, then the stream
        importer.stop()
        importer.start("--poll", "200ms")
        mount.stop()
        wait_for(lambda: importer.state()["state"] == "waiting_database")
        put(os.path.dirname(arrived), dump(db, 3))
        mount.start()
        wait_for(lambda: not os.path.exists(arrived), 20)
        assert importer.rows() == 3
        # by polling alone, where the control socket is not found: imported, and it says why it stays
        importer.stop()
        importer.rundir = tmp_path / "elsewhere"
        importer.start("--poll", "100ms")
        put(os.path.dirname(arrived), dump(db, 5))
        wait_for(lambda: importer.rows() == 5)
        wait_for(lambda: "does not answer on its control socket" in importer.log())
        assert os.path.exists(arrived)
    finally:
        importer.stop()


def test_a_newer_dump_on_a_mount_stays(db, site, tmp_path):
    master = site.master()
    os.makedirs(master.path("sql", "slave1"))
    mount = site.mount(master, "slave1")
    slot = type(tmp_path)(mount.path("sql", "slave1"))
    importer = Importer(db, tmp_path, slot, rundir=type(tmp_path)(site.rundir))
    folder = master.path("sql", "slave1")
    try:
        put(folder, dump(db, 1))
        wait_for(lambda: os.path.exists(slot / "live.sql"))
        first, second = open(slot / "live.sql", "rb").read(), dump(db, 2)
        put(folder, second)
        wait_for(lambda: open(slot / "live.sql", "rb").read() == second)
        with socket.socket(socket.AF_UNIX) as s:  # what the importer asks when it is done with first
            s.connect(os.path.join(site.rundir, "mount-slave1.sock"))
            s.sendall(json.dumps({"cmd": "remove", "path": "sql/slave1/live.sql", "hash": "s2-" +
                                  hashlib.sha256(first).hexdigest()}).encode() + b"\n")
            answer = json.loads(s.makefile().readline())
        assert not answer["ok"] and answer["code"] == "changed"
        assert open(slot / "live.sql", "rb").read() == second
        importer.start("--poll", "1h")
        wait_for(lambda: not os.path.exists(os.path.join(folder, "live.sql")))
        assert importer.rows() == 2
    finally:
        importer.stop()
