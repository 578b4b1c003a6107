# SPDX-License-Identifier: MIT
"""Whatever happens to an import around its RENAME, and whatever dump comes next: no visitor misses a
table, sees it empty, or sees two generations."""
import itertools
import os
import random
import signal
import subprocess
import threading
import time

import pytest
from eefs import wait_for
from mariadb import MariaDB
from sqlmirror import SqlMirror
from sqlreaders import SUMMARY, Readers

HEAD = """-- MariaDB dump 10.19  Distrib 10.11.6-MariaDB, for debian-linux-gnu (x86_64)
/*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */;
/*!40101 SET NAMES utf8mb4 */;
/*!40014 SET @OLD_UNIQUE_CHECKS=@@UNIQUE_CHECKS, UNIQUE_CHECKS=0 */;
/*!40014 SET @OLD_FOREIGN_KEY_CHECKS=@@FOREIGN_KEY_CHECKS, FOREIGN_KEY_CHECKS=0 */;
/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */;
"""
TAIL = "-- Dump completed on 2026-01-01  0:00:00\n"
ROWS = 40
EXTRA = {"p": "", "m": "", "x1": "", "x2": "",
         "c": ", pid int, KEY pid (pid), CONSTRAINT `c_pid_fk` FOREIGN KEY (pid) REFERENCES p (id)",
         "s": ", up int, KEY up (up), CONSTRAINT `s_ibfk_1` FOREIGN KEY (up) REFERENCES s (id)"}
TABLES = sorted(EXTRA)


def table(name, generation, extra="", engine="InnoDB", rows=ROWS):
    values = ",".join(f"({i},{generation}{',1' if extra else ''})" for i in range(1, rows + 1))
    return (f"DROP TABLE IF EXISTS `{name}`;\n"
            f"CREATE TABLE `{name}` (id int NOT NULL, k int{extra}, PRIMARY KEY (id)) "
            f"ENGINE={engine} DEFAULT CHARSET=utf8mb4;\nINSERT INTO `{name}` VALUES {values};\n")


def trigger(name, on, body="SET NEW.id = NEW.id + 0"):
    return (f"DELIMITER ;;\n/*!50003 CREATE*/ /*!50017 DEFINER=`root`@`localhost`*/ /*!50003 TRIGGER "
            f"`{name}` BEFORE INSERT ON `{on}` FOR EACH ROW {body} */;;\nDELIMITER ;\n")


def site(generation):
    return (HEAD + "".join(table(t, generation, EXTRA[t], "MyISAM" if t == "m" else "InnoDB")
                           for t in TABLES) +
            trigger("tr", "c") + "/*!50001 CREATE VIEW `v` AS SELECT id FROM c */;\n" + TAIL).encode()


BAD = (HEAD + "CREATE TABLE `x1` (`id` int NOT NULL DEFAULT 'abc', PRIMARY KEY (`id`)) "
       "ENGINE=InnoDB;\nINSERT INTO `x1` VALUES (1);\n" + TAIL).encode()
CUT = site(9)[:-len(TAIL) - 90]


class World:
    """A mirror at generation 1, and what can go wrong when it is to become generation 2."""

    def __init__(self, mirror):
        self.mirror, self.db = mirror, mirror.db

    def begin(self):
        if self.generation() != 1:
            self.mirror.imported(site(1))

    def generation(self):
        """Of all tables; None when they differ or one is not there."""
        try:
            rows = self.db.sql("SELECT CONCAT_WS(' '%s)" % "".join(f", ({SUMMARY} `{t}`)"
                                                                   for t in TABLES), "live")[0][0]
        except RuntimeError:
            return None
        found = {p.split(":", 1)[1] for p in rows.split()}
        return int(found.pop().split(":")[0]) if len(found) == 1 else None

    def whole(self, generation):
        """All is there, and nothing of the importer's."""
        assert self.generation() == generation
        keys = self.db.sql("SELECT TABLE_NAME, CONSTRAINT_NAME FROM "
                           "information_schema.REFERENTIAL_CONSTRAINTS WHERE "
                           "CONSTRAINT_SCHEMA='live' ORDER BY 1")
        assert keys == [["c", "c_pid_fk"], ["s", "s_ibfk_1"]]
        parents = self.db.sql("SELECT DISTINCT REFERENCED_TABLE_SCHEMA FROM "
                              "information_schema.KEY_COLUMN_USAGE WHERE TABLE_SCHEMA='live' AND "
                              "REFERENCED_TABLE_NAME IS NOT NULL")
        assert parents == [["live"]]
        assert self.db.sql("SELECT TRIGGER_NAME, EVENT_OBJECT_TABLE FROM "
                           "information_schema.TRIGGERS WHERE TRIGGER_SCHEMA='live'") == [["tr", "c"]]
        assert self.db.sql("SELECT COUNT(*) FROM v", "live") == [[str(ROWS)]]
        assert self.mirror.clean()

    def start(self, dump, **env):
        self.mirror.put(dump)
        return subprocess.Popen(self.mirror.args("--once"), stderr=subprocess.PIPE, text=True,
                                env={**os.environ, **env})

    def stopped(self, importer):
        def there():
            assert importer.poll() is None, importer.stderr.read()
            with open(f"/proc/{importer.pid}/stat") as f:
                return f.read().rpartition(")")[2].split()[0] == "T"
        wait_for(there, 30)

    def own_connections(self):
        return [r[0] for r in self.db.sql("SELECT ID FROM information_schema.PROCESSLIST WHERE ID<>"
                                          "CONNECTION_ID() AND IFNULL(DB,'')<>'live'")]

    def end(self, importer, how):
        """What happens to the importer, which stands at a point."""
        if how == "kill":
            importer.kill()
        elif how == "term":
            importer.terminate()
        elif how == "cut":  # the connection is lost, and the answer with it
            for c in self.own_connections():
                try:
                    self.db.sql(f"KILL {c}")
                except RuntimeError:  # gone already
                    pass
        elif how == "server":
            self.db.stop(kill=True)
            self.db.start()
        if how != "kill":
            importer.send_signal(signal.SIGCONT)
        importer.communicate(timeout=60)

    def next(self, what):
        """What comes next; afterwards all is of one generation, which is returned."""
        if what == "good":
            self.mirror.imported(site(3))
            return 3
        if what == "same":
            self.mirror.imported(site(2))
            return 2
        for f in self.mirror.slot.iterdir():
            f.unlink()
        done = self.mirror.run({"bad": BAD, "cut": CUT}.get(what))
        assert (done.returncode != 0) == (what in ("bad", "cut")) or what == "none", done.stderr
        now = self.generation()
        assert now in (1, 2), done.stderr
        for f in self.mirror.slot.iterdir():
            f.unlink()
        self.mirror.imported(site(2))  # and a good one is taken afterwards
        return 2


@pytest.fixture(scope="module")
def db():
    with MariaDB(options=["--innodb-flush-log-at-trx-commit=1"]) as server:
        yield server


@pytest.fixture(scope="module")
def world(db, tmp_path_factory):
    return World(SqlMirror(db, tmp_path_factory.mktemp("recover")))


def fails(world, point, how, after):
    world.begin()
    with Readers(world.db, "live", TABLES) as readers:
        importer = world.start(site(2), EEFS_STOP_AT=point)
        try:
            world.stopped(importer)
            world.end(importer, how)
        finally:
            importer.kill()
            importer.wait()
        generation = world.next(after)
        wait_for(lambda: generation in readers.seen, 10)
    readers.check(1, 2, 3)
    world.whole(generation)


POINTS = ["import.staged", "import.prepare", "import.swap", "import.swapped", "import.triggers",
          "import.finish",
          "import.stored_objects", "import.done", "import.swept"]
HOWS = ["kill", "term", "cut", "server"]
NEXTS = ["same", "good", "bad", "cut", "none"]


def points(*quick):
    """Every point, failure and next dump; all but these few belong to the long tests."""
    return pytest.mark.parametrize("point, how, after", [
        pytest.param(*case, marks=() if case in quick else pytest.mark.long)
        for case in itertools.product(POINTS, HOWS, NEXTS)])


@points(("import.swap", "term", "bad"), ("import.swap", "server", "same"), ("import.swapped", "kill", "bad"),
        ("import.swapped", "cut", "good"), ("import.finish", "kill", "none"))
def test_fails_at_a_point(world, point, how, after):
    fails(world, point, how, after)


def test_triggers_come_right_after_the_rename(world):
    """Before anything that may take long: the old table, whose rows are many, still lies aside."""
    world.begin()
    importer = world.start(site(2), EEFS_STOP_AT="import.triggers")
    try:
        world.stopped(importer)
        assert world.generation() == 2
        assert world.db.sql("SELECT TRIGGER_NAME, EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS "
                            "WHERE TRIGGER_SCHEMA='live'") == [["tr", "c"]]
        assert world.db.sql("SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA='live' AND "
                            "TABLE_NAME LIKE '\\_eefs\\_was\\_%'") == [["1"]]
        importer.send_signal(signal.SIGCONT)
        assert importer.wait(60) == 0
    finally:
        importer.kill()
        importer.wait()
    world.whole(2)


# --- servers that rename one table after the other may die in the middle of it ---


def steps(world):
    """The RENAME's, in order, from the record."""
    rows = world.db.sql("SELECT kind, v1, v2, v3 FROM _eefs_moves WHERE kind<>'loan' ORDER BY n",
                        "live_eefs_stage")
    outs = [("live", name, schema, place) for kind, name, schema, place in rows if kind != "new"]
    ins = [("live_eefs_stage", name, "live", name) for kind, name, _, _ in rows if kind != "drop"]
    return outs + ins


def half(world, done):
    """An import of generation 2 that ended after so many renames."""
    world.begin()
    done_ = world.mirror.run(site(2), env={"EEFS_CRASH_AT": "import.swap"})
    assert done_.returncode == -signal.SIGKILL
    all_steps = steps(world)
    for a, b, c, d in all_steps[:done]:
        world.db.sql(f"SET foreign_key_checks=0; RENAME TABLE `{a}`.`{b}` TO `{c}`.`{d}`")
    return all_steps


def live(world):
    return {r[0] for r in world.db.sql("SELECT TABLE_NAME FROM information_schema.TABLES WHERE "
                                       "TABLE_SCHEMA='live' AND TABLE_TYPE='BASE TABLE'")}


def empty_slot(world):
    for f in world.mirror.slot.iterdir():
        f.unlink()


@pytest.mark.parametrize("done, after", [
    (6, "none"), (11, "bad"), *(pytest.param(done, after, marks=pytest.mark.long)
                                for done in (1, 6, 7, 11, 12) for after in ("none", "bad", "same"))])
def test_half_a_rename_is_ended(world, done, after):
    half(world, done)
    if after != "same":
        empty_slot(world)
    outcome = world.mirror.run({"bad": BAD}.get(after))
    assert done == 12 or "completed it" in outcome.stderr
    assert world.generation() == 2
    empty_slot(world)
    world.mirror.imported(site(2))
    world.whole(2)


@pytest.mark.parametrize("point, lost", [("recover.renamed", "live_eefs_stage"), *(
    pytest.param(point, lost, marks=pytest.mark.long)
    for point, lost in (("recover.rename", "live_eefs_stage"), ("recover.rename", ""),
                        ("recover.renamed", ""), ("recover.rename", "live_eefs_old"),
                        ("recover.renamed", "live_eefs_old")))])
def test_recovery_is_killed(world, point, lost):
    """Also when what was staged, or what was set aside, is no longer there."""
    half(world, 9)
    empty_slot(world)
    if lost:
        names = [r[0] for r in world.db.sql("SELECT TABLE_NAME FROM information_schema.TABLES WHERE "
                                            f"TABLE_SCHEMA='{lost}' AND TABLE_NAME NOT LIKE '\\_%'")]
        world.db.sql("SET foreign_key_checks=0; " +
                     "".join(f"DROP TABLE `{lost}`.`{n}`; " for n in names))
    killed = world.mirror.run(env={"EEFS_CRASH_AT": point})
    assert killed.returncode == -signal.SIGKILL
    ended = world.mirror.run()
    assert ended.returncode in (0, 3), ended.stderr
    assert world.generation() == (1 if lost == "live_eefs_stage" else 2)
    world.mirror.imported(site(3))
    world.whole(3)


@pytest.mark.parametrize("done", [9, *(pytest.param(n, marks=pytest.mark.long)
                                       for n in (1, 6, 11))])
def test_the_record_is_dropped_by_hand(world, done):
    """With the staging schema: what is missing comes back."""
    half(world, done)
    empty_slot(world)
    world.db.sql("DROP DATABASE live_eefs_stage")
    outcome = world.mirror.run(BAD)
    assert "put back" in outcome.stderr
    assert set(TABLES) <= live(world)
    empty_slot(world)
    world.mirror.imported(site(3))
    world.whole(3)


def test_a_table_made_by_hand_is_not_replaced(world):
    half(world, 8)
    gone = "x1"
    assert gone not in live(world)
    world.db.sql(f"CREATE TABLE `{gone}` AS SELECT 7 AS id, 7 AS k", "live")
    outcome = world.mirror.run()
    assert outcome.returncode == 1
    assert f"'{gone}' lies in 'live' and in 'live_eefs_stage' and as" in outcome.stderr
    assert set(TABLES) <= live(world)
    assert world.db.sql(f"SELECT k FROM `{gone}`", "live") == [["7"]]
    place = world.db.sql("SELECT CONCAT('`', v2, '`.`', v3, '`') FROM _eefs_moves WHERE "
                         f"v1='{gone}'", "live_eefs_stage")[0][0]
    assert world.db.sql(f"SELECT MAX(k) FROM {place}") == [["1"]]  # the old one is kept
    again = world.mirror.run()
    assert again.returncode == 1 and set(TABLES) <= live(world)
    world.db.sql(f"DROP TABLE {place}; DROP TABLE live_eefs_stage.`{gone}`; "
                 "DROP TABLE live_eefs_stage._eefs_moves")
    world.mirror.imported(site(3))
    world.whole(3)


# --- a table in use ---


class Holder:
    """A visitor whose transaction does not end."""

    def __init__(self, db, table):
        self.client = subprocess.Popen(["mariadb", f"--defaults-file={db.defaults}", "-n", "live"],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.client.stdin.write(f"BEGIN; SELECT COUNT(*) FROM `{table}`;\n")
        self.client.stdin.flush()
        assert self.client.stdout.readline()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.kill()
        self.client.wait()


@pytest.mark.parametrize("how, after, refused", [("term", "bad", True), *(
    pytest.param(how, after, False, marks=pytest.mark.long)
    for how, after in (("term", "bad"), ("query", "same"), ("kill", "none"), ("cut", "good"), ("server", "bad")))])
def test_fails_while_a_table_is_in_use(world, how, after, refused):
    """While the RENAME is refused again and again (20 s), and when it has begun to wait."""
    world.begin()
    waiting = ("SELECT ID FROM information_schema.PROCESSLIST WHERE INFO LIKE 'RENAME TABLE%' AND "
               "STATE LIKE 'Waiting for table%'")
    with Readers(world.db, "live", TABLES) as readers:
        with Holder(world.db, "x2"):
            importer = world.start(site(2))
            try:
                if refused:
                    assert any("are in use" in line for line in importer.stderr)
                else:
                    wait_for(lambda: world.db.sql(waiting), 30)
                if how == "query":
                    world.db.sql("".join(f"KILL QUERY {r[0]};" for r in world.db.sql(waiting)))
                    wait_for(lambda: world.db.sql(waiting), 30)  # it is tried again
                    importer.terminate()
                world.end(importer, "term" if how == "query" else how)
            finally:
                importer.kill()
                importer.wait()
        generation = world.next(after)
        wait_for(lambda: generation in readers.seen, 10)
    readers.check(1, 2, 3)
    world.whole(generation)


# --- at moments that nobody chose ---


@pytest.mark.long
@pytest.mark.parametrize("seed", range(int(os.environ.get("RECOVER_ROUNDS", "100"))))
def test_fails_at_a_random_moment(world, seed):
    """Once or twice, for the recovery may be ended as well; then whatever comes next."""
    rnd = random.Random(seed)
    world.begin()
    with Readers(world.db, "live", TABLES) as readers:
        for _ in range(rnd.randint(1, 2)):
            importer = world.start(site(2))
            try:
                importer.wait(rnd.uniform(0.005, 0.4))
            except subprocess.TimeoutExpired:
                pass
            try:
                world.end(importer, rnd.choice(HOWS))
            finally:
                importer.kill()
                importer.wait()
        generation = world.next(rnd.choice(NEXTS))
        wait_for(lambda: generation in readers.seen, 10)
    readers.check(1, 2, 3)
    world.whole(generation)
