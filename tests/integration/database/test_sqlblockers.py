# SPDX-License-Identifier: MIT
"""Who is in the way of an import is named: the table, the account and for how long."""
import subprocess

SITE = "CREATE TABLE t (id INT PRIMARY KEY, v INT) ENGINE=MyISAM; CREATE TABLE u LIKE t; INSERT INTO t VALUES (1,1);"


def blocked(mirror, db, defaults=None):
    """The importer's first line while somebody without a default database holds t."""
    mirror.imported(db.dump("site"))
    db.sql("UPDATE t SET v=2; INSERT INTO u VALUES (1,1)", "site")
    db.sql("CREATE TABLE IF NOT EXISTS inno (id INT PRIMARY KEY) ENGINE=InnoDB", "live")
    holder = subprocess.Popen(["mariadb", f"--defaults-file={db.defaults}", "-n"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True)
    holder.stdin.write("START TRANSACTION; SELECT * FROM live.inno; SELECT COUNT(*) FROM live.t;\n")
    holder.stdin.flush()
    assert holder.stdout.readline()
    mirror.put(db.dump("site"))
    importer = subprocess.Popen(mirror.args("--once", defaults=defaults), stderr=subprocess.PIPE, text=True)
    try:
        lines = []
        while not lines or "in use" not in lines[-1]:
            lines.append(importer.stderr.readline())
            assert lines[-1], lines
        holder.communicate("COMMIT;\n", timeout=30)
        assert importer.wait(60) == 0
        return lines[-1]
    finally:
        holder.kill()
        importer.kill()


def test_a_blocker_without_a_default_database_is_named(mirror, db):
    line = blocked(mirror, db)
    assert "tables 't' of 'live' are in use" in line and "'u'" not in line
    assert "of root@localhost, in a transaction for " in line


def test_what_cannot_be_seen_is_said(mirror, db):
    db.sql("CREATE OR REPLACE USER importer@localhost; GRANT SELECT, INSERT, DELETE, CREATE, ALTER, DROP, INDEX, "
           "REFERENCES ON live.* TO importer@localhost; GRANT SELECT, INSERT, DELETE, CREATE, ALTER, DROP, INDEX, "
           "REFERENCES ON `live\\_eefs\\_%`.* TO importer@localhost")
    account = mirror.tmp / "importer.cnf"
    account.write_text(f"[client]\nuser=importer\nsocket={db.socket}\n")
    line = blocked(mirror, db, defaults=str(account))
    assert "tables 't' of 'live' are in use" in line and "GRANT PROCESS ON *.*" in line
