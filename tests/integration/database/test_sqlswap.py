# SPDX-License-Identifier: MIT
"""Tables with triggers and named keys, in every combination that two dumps may have, are swapped
without a visitor missing one, and are afterwards what the client makes of the dump."""
import pytest
from mariadb import MariaDB
from mysql56 import MySQL56
from sqlmirror import SqlMirror
from sqlreaders import Readers
from test_sqlrecover import HEAD, TAIL, table, trigger


@pytest.fixture(scope="module", params=[
    pytest.param(MariaDB, id="mariadb"),
    pytest.param(MySQL56, id="mysql56", marks=pytest.mark.long)])
def server(request):
    with request.param() as db:
        yield db


@pytest.fixture
def mirror(server, tmp_path):
    return SqlMirror(server, tmp_path)


def key(name, column, parent, more=""):
    return f", {column} int, KEY {column} ({column}), CONSTRAINT `{name}` FOREIGN KEY ({column}) " \
           f"REFERENCES `{parent}` (id){more}"


def dump(generation, tables, triggers=()):
    """tables: name: what follows the columns id and k."""
    text = HEAD + "".join(table(n, generation, "", rows=20).replace("k int", "k int" + more)
                          .replace(f"INSERT INTO `{n}` VALUES", f"INSERT INTO `{n}` (id, k) VALUES")
                          for n, more in tables.items())
    return (text + "".join(trigger(n, on) for n, on in triggers) + TAIL).encode()


LONG = "a_table_whose_name_is_as_long_as_the_server_takes_it_and_a_bit"
PLAIN = {"p": "", "c": key("c_pid_fk", "pid", "p")}
KINDS = {
    "key": [(PLAIN, [("tr", "c")])] * 2,
    "parent": [(PLAIN, [("tr", "p")])] * 2,
    "both": [(PLAIN, [("tr", "p"), ("tr2", "c")])] * 2,
    "several keys": [({"p": "", "q": key("q_fk", "a", "p"),
                       "c": key("c_1", "a", "p", " ON DELETE CASCADE") + key("c_2", "b", "q") +
                       key("c_ibfk_1", "d", "p")}, [("tr", "c"), ("tq", "q")])] * 2,
    "itself": [({"s": key("up", "u", "s"), "t": key("t_ibfk_7", "u", "t")},
                [("tr", "s"), ("tt", "t")])] * 2,
    "circle": [({"a": key("ab", "x", "b"), "b": key("ba", "x", "a")}, [("tr", "a"), ("tb", "b")])] * 2,
    "moves to another table": [
        ({"p": "", "c": key("fk", "x", "p"), "d": ""}, [("tr", "c")]),
        ({"p": "", "c": "", "d": key("fk", "x", "p")}, [("tr", "d")])],
    "moves back": [
        ({"p": "", "c": "", "d": key("fk", "x", "p")}, [("tr", "d"), ("t2", "c")]),
        ({"p": "", "c": key("fk", "x", "p"), "d": ""}, [("tr", "c"), ("t2", "d")])],
    "changes": [
        (PLAIN, [("tr", "c")]),
        ({"p": "", "c": key("c_pid_fk", "other", "p", " ON UPDATE CASCADE")}, [("tr", "c")])],
    "named as generated": [
        ({"p": "", "c": key("d_ibfk_1", "x", "p"), "d": key("c_ibfk_1", "x", "p")},
         [("tr", "c"), ("td", "d")])] * 2,
    "other case": [
        ({"p": "", "c": key("FK_C", "x", "p")}, [("tr", "c")]),
        ({"p": "", "c": key("fk_c", "x", "p")}, [("tr", "c")])],
    "long": [({"p": "", LONG: key("k" * 60, "x", "p")}, [("tr", LONG)])] * 2,
    "no longer a trigger": [(PLAIN, [("tr", "c")]), (PLAIN, [])],
    "trigger comes": [(PLAIN, []), (PLAIN, [("tr", "c")])],
    "check": [({"c": ", CONSTRAINT `positive` CHECK (k > 0)",
               "d": ", CONSTRAINT `positive` CHECK (k > 0)"}, [("tr", "c")])] * 2,
}


def picture(db, database):
    names = [r[0] for r in db.sql("SELECT TABLE_NAME FROM information_schema.TABLES WHERE "
                                  f"TABLE_SCHEMA='{database}' ORDER BY 1")]
    return ([db.sql(f"SHOW CREATE TABLE `{n}`", database) for n in names],
            [db.sql(f"CHECKSUM TABLE `{n}`", database)[0][1] for n in names],
            db.sql("SELECT TRIGGER_NAME, EVENT_OBJECT_TABLE, ACTION_STATEMENT FROM "
                   f"information_schema.TRIGGERS WHERE TRIGGER_SCHEMA='{database}' ORDER BY 1"),
            db.sql("SELECT TABLE_NAME, COLUMN_NAME, REFERENCED_TABLE_SCHEMA='oracle' OR "
                   "REFERENCED_TABLE_SCHEMA='live', REFERENCED_TABLE_NAME FROM "
                   f"information_schema.KEY_COLUMN_USAGE WHERE TABLE_SCHEMA='{database}' AND "
                   "REFERENCED_TABLE_NAME IS NOT NULL ORDER BY 1, 2"))


def same_as_client(mirror, data):
    db = mirror.db
    db.sql("DROP DATABASE oracle; CREATE DATABASE oracle")
    path = mirror.tmp / "oracle.sql"
    path.write_bytes(data)
    db.load("oracle", path)
    assert picture(db, "live") == picture(db, "oracle")


QUICK = ("key", "several keys", "moves to another table")


@pytest.mark.parametrize("kind", [k if k in QUICK else pytest.param(k, marks=pytest.mark.long)
                                  for k in KINDS])
def test_keys_and_triggers(mirror, kind):
    (first, first_triggers), (second, second_triggers) = KINDS[kind]
    one, two = dump(1, first, first_triggers), dump(2, second, second_triggers)
    mirror.imported(one)
    same_as_client(mirror, one)
    with Readers(mirror.db, "live", sorted(first), n=1) as readers:
        mirror.imported(two)
        same_as_client(mirror, two)
        again = mirror.imported(dump(3, second, second_triggers))
    readers.check(1, 2, 3)
    assert again["tables_changed"] == len(second)
    assert mirror.clean()


def test_a_trigger_changes_its_table_alone(mirror):
    """The tables stay as they are."""
    tables = {"a": "", "b": ""}
    mirror.imported(dump(1, tables, [("tr", "a")]))
    two = dump(1, tables, [("tr", "b")])
    mirror.imported(two)
    same_as_client(mirror, two)


def test_a_name_that_another_table_keeps(mirror):
    """A table of this mirror alone has a key of that name: a sentence, and nothing changes."""
    one = dump(1, PLAIN, [("tr", "c")])
    mirror.imported(one)
    mirror.db.sql("CREATE TABLE mine (id int PRIMARY KEY) ENGINE=InnoDB; CREATE TABLE hers (id int, "
                  "CONSTRAINT taken FOREIGN KEY (id) REFERENCES mine (id)) ENGINE=InnoDB", "live")
    done = mirror.run(dump(2, {"p": "", "c": key("taken", "pid", "p")}, [("tr", "c")]))
    assert done.returncode == 1 and "'taken'" in done.stderr and "'hers'" in done.stderr, done.stderr
    mirror.db.sql("DROP TABLE hers, mine", "live")
    (mirror.slot / "live.sql").unlink()
    same_as_client(mirror, one)


@pytest.mark.parametrize("kept", [False, True])
def test_a_key_to_a_table_that_is_dropped(mirror, kept):
    """It leads to the name as before, not into the schema of old tables; what stays as it is keeps
    its table."""
    mirror.imported(dump(1, PLAIN))
    two = dump(1, {"c": PLAIN["c"]})
    more = ["--drop-missing", "--drop-limit", "100"] + (["--keep-table", "c"] if kept else [])
    done = mirror.run(two, *more)
    if kept:
        assert done.returncode == 1 and "keep both" in done.stderr
        (mirror.slot / "live.sql").unlink()
        same_as_client(mirror, dump(1, PLAIN))
    else:
        assert done.returncode == 0, done.stderr
        same_as_client(mirror, two)
        assert mirror.clean()


def test_a_key_to_a_table_that_stays(mirror):
    """It is kept, or not in the dump at all: the new table's key leads there."""
    mirror.imported(dump(1, {"p": "", "q": ""}))
    two = dump(2, {"p": "", "c": key("c_p", "x", "p") + key("c_q", "y", "q") + key("c_0", "z", "gone")},
               [("tr", "c")])
    mirror.imported(two, "--keep-table", "p")
    keys = mirror.db.sql("SELECT REFERENCED_TABLE_SCHEMA, REFERENCED_TABLE_NAME FROM "
                         "information_schema.KEY_COLUMN_USAGE WHERE TABLE_SCHEMA='live' AND "
                         "TABLE_NAME='c' AND REFERENCED_TABLE_NAME IS NOT NULL ORDER BY 2")
    assert keys == [["live", "gone"], ["live", "p"], ["live", "q"]]
    assert mirror.clean()


def test_a_key_of_another_database(mirror):
    mirror.imported(dump(1, PLAIN, [("tr", "c")]))
    mirror.db.sql("DROP DATABASE IF EXISTS shop; CREATE DATABASE shop; CREATE TABLE shop.o (id int, "
                  "CONSTRAINT o_fk FOREIGN KEY (id) REFERENCES live.p (id)) ENGINE=InnoDB")
    done = mirror.run(dump(2, PLAIN, [("tr", "c")]))
    assert done.returncode == 1 and "'o' of the database 'shop'" in done.stderr, done.stderr
    assert mirror.db.sql("SELECT REFERENCED_TABLE_SCHEMA FROM information_schema.KEY_COLUMN_USAGE "
                         "WHERE TABLE_SCHEMA='shop' AND TABLE_NAME='o' AND REFERENCED_TABLE_NAME='p'"
                         ) == [["live"]]
    mirror.db.sql("DROP DATABASE shop")
    assert mirror.run().returncode == 0
