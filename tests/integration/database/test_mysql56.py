# SPDX-License-Identifier: MIT
"""A real MySQL 5.6, which renames one table after the other: it and the importer are killed at each
phase. Skipped, with the reason, where the server cannot be had."""
import os
import random
import signal
import socket
import threading
import time

import pytest
from mysql56 import MySQL56
from sqlclient import Client
from sqlmirror import SqlMirror
from test_sqlrecover import BAD, HEAD, TAIL, World, empty_slot, fails, points, site, table


@pytest.fixture(scope="module")
def db():
    with MySQL56(options=["--innodb-flush-log-at-trx-commit=1"]) as server:
        yield server


@pytest.fixture(scope="module")
def world(db, tmp_path_factory):
    return World(SqlMirror(db, tmp_path_factory.mktemp("mysql56")))


def test_imports(world, db):
    """Everything, nothing, a few rows, and tables that hang together, as on MariaDB."""
    world.mirror.imported(site(1))
    world.whole(1)
    assert world.mirror.imported(site(1))["tables_changed"] == 0
    plain = (HEAD + table("big", 1, rows=500) + TAIL).encode()
    world.mirror.imported(plain)
    last = world.mirror.imported(plain.replace(b"(7,1)", b"(7,5)"))
    assert (last["tables_changed"], last["rows"]) == (1, 1)
    assert db.sql("SELECT SUM(k) FROM big", "live") == [["504"]]
    world.mirror.imported(site(2))
    world.whole(2)


def test_own_columns(world, db):
    def sites(label, sums, more=""):
        return (HEAD + "DROP TABLE IF EXISTS `exp_sites`;\nCREATE TABLE `exp_sites` (`id` int(11) NOT NULL, `l` text, "
                f"`site_bootstrap_checksums` text, `bi` bit(9) DEFAULT NULL{more}, PRIMARY KEY (`id`)) ENGINE=InnoDB;\n"
                "INSERT INTO `exp_sites` (`id`,`l`,`site_bootstrap_checksums`,`bi`) VALUES "
                f"(1,'{label}','{sums}',b'1'),(2,'x','{sums}',b'1');\n" + TAIL).encode()
    option = "--keep-column=exp_sites.bi"
    world.mirror.imported(sites("a", "m"), option)
    db.sql("UPDATE exp_sites SET site_bootstrap_checksums='o\\0w', bi=b'110011' WHERE id=1", "live")
    assert world.mirror.imported(sites("a", "m2"), option)["tables_changed"] == 0
    for label, data in (("b", sites("b", "m3")), ("c", sites("c", "m4", ", `z` int(11) DEFAULT NULL"))):
        assert world.mirror.imported(data, option)["tables_changed"] == 1
        assert db.sql("SELECT l, HEX(site_bootstrap_checksums), bi+0 FROM exp_sites WHERE id=1", "live") == [
            [label, "6F0077", "51"]]
    db.sql("DROP TABLE exp_sites", "live")


@points(("import.swap", "server", "same"), ("import.swapped", "kill", "bad"),
        ("import.stored_objects", "cut", "good"))
def test_fails_at_a_point(world, point, how, after):
    fails(world, point, how, after)


def kill_holder(db, name):
    """The server keeps the killed connection that holds this lock, as it does when another one gets
    its socket's number at that moment. The sockets that keep it so, or None."""
    holder, killer, sockets = Client(db.socket), Client(db.socket), []
    try:
        holder.rows(f"SELECT GET_LOCK('{name}', 1)")
        number = int(holder.rows("SELECT CONNECTION_ID()")[0][0])
        threads = [threading.Thread(target=lambda: [sockets.append(connect(db)) for _ in range(30)])
                   for _ in range(2)]
        for t in threads:
            t.start()
        killer.rows(f"KILL {number}")
        for t in threads:
            t.join()
        time.sleep(0.05)
        if killer.rows(f"SELECT IS_FREE_LOCK('{name}')") == [[b"0"]]:
            return sockets
    finally:
        killer.close()
        holder.close()
    for s in sockets:
        s.close()
    return None


def connect(db):
    s = socket.socket(socket.AF_UNIX)
    s.connect(db.socket)
    return s


def test_a_killed_connection_does_not_end(world, db):
    """Its lock of imports is passed over; a living one's is not."""
    for _ in range(400):
        sockets = kill_holder(db, "eefs_import_live")
        if sockets:
            break
    else:
        pytest.fail("the server ended all of the killed connections")
    try:
        done = world.mirror.run(site(1))
        assert done.returncode == 0, done.stderr
        assert "connections that were killed" in done.stderr
        other = Client(db.socket)
        other.rows("SELECT GET_LOCK('eefs_import2_live', 1)")
        done = world.mirror.run(site(2))
        assert done.returncode == 1 and "another import" in done.stderr
        empty_slot(world)
        other.close()
    finally:
        for s in sockets:
            s.close()
        db.stop(kill=True)  # it waits for the dead one
        db.start()
    world.mirror.imported(site(2))
    world.whole(2)


def tables_in(world, schema):
    return sum(f.endswith(".frm") for f in os.listdir(os.path.join(world.db.data, schema)))


def kill_within_rename(world, steps, delay=0):
    """The server dies as soon as so many steps of the RENAME are done, five of which lead out of the
    live database."""
    importer = world.start(site(2), EEFS_STOP_AT="import.swap")
    try:
        world.stopped(importer)
        staged = tables_in(world, "live_eefs_stage")
        importer.send_signal(signal.SIGCONT)
        while importer.poll() is None and (
                tables_in(world, "live_eefs_old") < min(steps, 5) or
                tables_in(world, "live_eefs_stage") > staged - (steps - 5)):
            pass
        time.sleep(delay)
        world.db.process.kill()
        world.db.stop()
        importer.kill()
    finally:
        importer.kill()
        importer.wait()
    world.db.start()
    empty_slot(world)


def recovers(world, after):
    """True when all is as before; False when the server tore a table for good."""
    done = world.mirror.run({"bad": BAD, "same": site(2), "good": site(3)}.get(after))
    generation = world.generation()
    if "died while it renamed" in done.stderr:
        assert generation == 1  # no table is missing, and all are of one
        return False
    if "_eefs_was_" in done.stderr:  # it tore the trigger's own file, and does not drop it
        assert "imported the tables, but cannot make 'tr'" in done.stderr
        return False
    assert generation == {"good": 3, "same": 2}.get(after, generation), done.stderr
    assert generation in (1, 2, 3), done.stderr
    empty_slot(world)
    done = world.mirror.run(site(2))
    if done.returncode and "_eefs_was_" in done.stderr:
        assert world.generation() == 2, done.stderr
        return False
    assert done.returncode == 0, done.stderr
    world.whole(2)
    return True


@pytest.mark.parametrize("steps, after", [(1, "none"), (4, "bad")])
def test_the_server_dies_within_the_rename(world, steps, after):
    world.begin()
    kill_within_rename(world, steps)
    recovers(world, after)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(8))
def test_the_server_dies_at_any_moment(tmp_path, seed):
    rnd = random.Random(seed)
    with MySQL56(options=["--innodb-flush-log-at-trx-commit=1"]) as server:
        world = World(SqlMirror(server, tmp_path))
        for _ in range(6):
            world.begin()
            kill_within_rename(world, rnd.randint(1, 11), rnd.uniform(0, 0.003))
            if not recovers(world, rnd.choice(["none", "bad", "same", "good"])):
                break
