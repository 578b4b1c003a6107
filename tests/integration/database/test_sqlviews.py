# SPDX-License-Identifier: MIT
"""A name that belongs to a table in one dump and to a view in the next: whoever reads it all the time sees
the one or the other, whatever ends the import, on MariaDB and on a server without atomic RENAME."""
import pytest
from eefs import wait_for
from mariadb import MariaDB
from mysql56 import MySQL56
from sqlmirror import SqlMirror
from sqlreaders import SUMMARY, Readers
from test_sqlrecover import BAD, HEAD, TAIL, World, empty_slot, table, trigger

NAMES = ["t", "u"]


def view(name, body):
    return f"/*!50001 CREATE ALGORITHM=UNDEFINED VIEW `{name}` AS {body} */;\n"


def tables(generation):
    """t and u are tables, u one that cannot leave its database."""
    return (HEAD + table("b", generation) + table("t", generation) + table("u", generation) +
            trigger("tr", "u") + TAIL).encode()


def views(generation, column="k"):
    """t and u are views, each of the next."""
    return (HEAD + table("b", generation) + view("t", f"SELECT id, {column} AS k FROM `u`") +
            view("u", f"SELECT id, {column} AS k FROM `b`") + TAIL).encode()


class Views(World):
    def begin(self, dump=None):
        self.mirror.imported(dump or tables(1))

    def generation(self):
        try:
            rows = self.db.sql("SELECT CONCAT_WS(' '%s)" % "".join(f", ({SUMMARY} `{t}`)"
                                                                   for t in NAMES), "live")[0][0]
        except RuntimeError:
            return None
        found = {g for p in rows.split() for g in p.split(":")[1:]}
        return int(found.pop()) if len(found) == 1 else None

    def types(self):
        return dict(self.db.sql("SELECT TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES WHERE "
                                "TABLE_SCHEMA='live'"))

    def whole(self, kind, generation):
        assert self.generation() == generation
        assert self.types() == {"b": "BASE TABLE", "t": kind, "u": kind}
        triggers = self.db.sql("SELECT TRIGGER_NAME, EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS "
                               "WHERE TRIGGER_SCHEMA='live'")
        assert triggers == ([["tr", "u"]] if kind == "BASE TABLE" else [])
        assert self.mirror.clean()


@pytest.fixture(scope="module", params=["mariadb", "mysql56"])
def db(request):
    options = ["--innodb-flush-log-at-trx-commit=1"]
    with (MariaDB(options=options) if request.param == "mariadb" else MySQL56(options=options)) as server:
        yield server


@pytest.fixture
def world(db, tmp_path):
    return Views(SqlMirror(db, tmp_path))


@pytest.mark.parametrize("option", [(), ("--drop-missing",)])
def test_tables_become_views_and_tables_again(world, option):
    world.begin()
    with Readers(world.db, "live", ["t"]) as t, Readers(world.db, "live", ["u"]) as u:
        for generation in range(2, 6):
            dump, kind = ((views, "VIEW") if generation % 2 == 0 else (tables, "BASE TABLE"))
            world.mirror.imported(dump(generation), *option)
            world.whole(kind, generation)
            wait_for(lambda g=generation: g in t.seen and g in u.seen, 10)
    t.check()
    u.check()
    assert world.mirror.imported(tables(5), *option)["tables_changed"] == 0
    assert world.mirror.plan(views(5), *option) == {"b": "unchanged", "t": "view", "u": "view"}


def test_a_view_is_replaced_by_another_one(world):
    """By CREATE OR REPLACE."""
    world.begin(views(2))
    with Readers(world.db, "live", NAMES) as readers:
        for i in range(5):
            world.mirror.imported(views(2, f"k + {i}*0"))
    readers.check(2)
    world.whole("VIEW", 2)


def test_the_history_does_not_know_the_table(world):
    world.db.sql("CREATE TABLE t (id int, k int); CREATE TABLE u (k int)", "live")
    world.mirror.imported(views(2))
    world.whole("VIEW", 2)


POINTS = ["import.view", "import.viewed", "import.view:2", "import.viewed:2"]
HOWS = ["kill", "term", "cut", "server"]
NEXTS = ["same", "bad", "none"]
QUICK = [("import.view", "server", "none"), ("import.view", "kill", "bad"), ("import.viewed", "cut", "bad"),
         ("import.viewed", "server", "same"), ("import.viewed:2", "kill", "none")]


@pytest.mark.parametrize("point, how, after", [
    pytest.param(p, h, n, marks=() if (p, h, n) in QUICK else pytest.mark.long)
    for p in POINTS for h in HOWS for n in NEXTS])
def test_fails_at_a_point(world, point, how, after):
    world.begin()
    with Readers(world.db, "live", ["t"]) as t, Readers(world.db, "live", ["u"]) as u:
        importer = world.start(views(2), EEFS_STOP_AT=point)
        try:
            world.stopped(importer)
            world.end(importer, how)
        finally:
            importer.kill()
            importer.wait()
        if after != "same":
            empty_slot(world)
            world.mirror.run(BAD if after == "bad" else None)
            assert world.mirror.clean()
            assert set(NAMES) <= set(world.types())
            empty_slot(world)
        world.mirror.imported(views(2))
        wait_for(lambda: 2 in t.seen and 2 in u.seen, 10)
    t.check(1, 2)
    u.check(1, 2)
    world.whole("VIEW", 2)


@pytest.mark.parametrize("done", [0, 1, 2])
def test_half_an_exchange_is_ended(world, done):
    """As a server leaves it that dies within it; the record may be lost, too."""
    for record in (True, False):
        world.begin()
        killed = world.mirror.run(views(2), env={"EEFS_CRASH_AT": "import.view"})
        assert killed.returncode == -9
        (kind, name, schema, place), = world.db.sql("SELECT kind, v1, v2, v3 FROM _eefs_moves", "live_eefs_stage")
        assert (kind, schema) == ("view", "live") and "_eefs_view" in world.types()
        steps = [(name, place), ("_eefs_view", name)][:done]
        for a, b in steps:
            world.db.sql(f"RENAME TABLE live.`{a}` TO live.`{b}`")
        if not record:
            world.db.sql("DROP DATABASE live_eefs_stage")
        empty_slot(world)
        again = world.mirror.run(BAD)
        assert again.returncode == 1
        assert world.mirror.clean() and set(NAMES) <= set(world.types())
        assert world.types()[name] == ("VIEW" if done == 2 or (done == 1 and record) else "BASE TABLE")
        empty_slot(world)
        world.mirror.imported(views(2))
        world.whole("VIEW", 2)


def test_foreign_keys(world):
    """A table that a key leads to is exchanged all the same; one that has keys itself goes before the view
    comes, for a new table may have their names."""
    key = ", p int, KEY p (p), CONSTRAINT `t_p` FOREIGN KEY (p) REFERENCES `{}` (id)"
    world.mirror.imported((HEAD + table("b", 1) + table("t", 1, key.format("b")) + table("u", 1) +
                           table("c", 1, key.format("u").replace("t_p", "c_p")) + TAIL).encode())
    after = (HEAD + table("b", 2) + table("c", 2) + table("t2", 2, key.format("b")) +
             view("t", "SELECT id, k FROM `t2`") + view("u", "SELECT id, k FROM `b`") + TAIL).encode()
    plan = world.mirror.plan(after)
    assert (plan["t"], plan["u"], plan["c"], plan["t2"]) == ("drop", "view", "swap", "new")
    with Readers(world.db, "live", ["u"]) as readers:
        world.mirror.imported(after)
        wait_for(lambda: 2 in readers.seen, 10)
    readers.check(1, 2)
    assert world.generation() == 2 and world.mirror.clean()
    assert world.db.sql("SELECT TABLE_NAME, CONSTRAINT_NAME FROM information_schema.REFERENTIAL_CONSTRAINTS "
                        "WHERE CONSTRAINT_SCHEMA='live'") == [["t2", "t_p"]]


def test_tables_aside_of_an_earlier_version(world):
    """Dropped or put back where its record says whose they are; reported, and left, where nothing does."""
    world.begin()
    world.db.sql("CREATE TABLE _eefs_old_3 SELECT 1 AS k; CREATE TABLE _eefs_old_4 SELECT 2 AS k; "
                 "CREATE TABLE _eefs_old_5 SELECT 3 AS k; CREATE TABLE live_eefs_stage._eefs_renames (n INT PRIMARY KEY, "
                 "from_schema VARCHAR(64), from_name VARCHAR(64), to_schema VARCHAR(64), to_name VARCHAR(64)); "
                 "INSERT INTO live_eefs_stage._eefs_renames VALUES (0,'live','t','live','_eefs_old_3'), "
                 "(1,'live_eefs_stage','t','live','t'), (2,'live','lost','live','_eefs_old_4')", "live")
    world.mirror.run()
    assert set(world.types()) == {"b", "t", "u", "lost", "_eefs_old_5"}
    assert world.db.sql("SELECT k FROM lost UNION ALL SELECT k FROM _eefs_old_5", "live") == [["2"], ["3"]]
    assert world.generation() == 1
    assert "'_eefs_old_5'" in world.mirror.state()["notes"]["leftovers"]
    world.db.sql("DROP TABLE lost, _eefs_old_5", "live")
    world.mirror.imported(tables(2))
    assert "leftovers" not in world.mirror.state().get("notes", {})
    world.whole("BASE TABLE", 2)
