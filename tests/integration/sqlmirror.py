# SPDX-License-Identifier: MIT
"""A slot, a live database and an oracle on a private MariaDB, for tests of eefs-sqlimport.

    mirror = SqlMirror(db, tmp_path)
    mirror.run(dump)                      # eefs-sqlimport --once
    mirror.same_as(dump)                  # what the mariadb client makes of it is the oracle
"""
import json
import os
import subprocess

from eefs import wait_for

BIN = os.environ.get("EEFS_BIN", os.path.abspath("build/bin"))


class SqlMirror:
    def __init__(self, db, tmp, live="live"):
        self.db, self.tmp, self.slot, self.live = db, tmp, tmp / "slot", live
        self.slot.mkdir()
        for name in (live, "oracle", live + "_eefs_stage", live + "_eefs_old"):
            db.sql(f"DROP DATABASE IF EXISTS `{name}`")
        db.sql(f"CREATE DATABASE `{live}`; CREATE DATABASE oracle")

    def args(self, *more, defaults=None):
        return [BIN + "/eefs-sqlimport", "--slot", str(self.slot), "--database", self.live,
                "--defaults-file", defaults or self.db.defaults, "--state",
                str(self.tmp / "state"), "--rundir", str(self.tmp / "run"), *more]

    def put(self, data):
        temp = self.slot / f".{self.live}.sql.tmp"
        temp.write_bytes(data)
        temp.rename(self.slot / f"{self.live}.sql")

    def run(self, data=None, *more, env=None, defaults=None):
        if data is not None:
            self.put(data)
        return subprocess.run(self.args("--once", *more, defaults=defaults), capture_output=True,
                              text=True, env={**os.environ, **(env or {})})

    def imported(self, data, *more):
        """Imports without complaint; returns the state's last_import."""
        done = self.run(data, *more)
        assert done.returncode == 0, done.stderr
        assert not list(self.slot.iterdir())
        return self.state()["last_import"]

    def plan(self, data, *more):
        """Each table's action, by a dry run; the dump is taken back."""
        done = self.run(data, "--dry-run", *more)
        assert done.returncode == 0, done.stderr
        (self.slot / f"{self.live}.sql").unlink()
        lines = [line.split() for line in done.stdout.splitlines()[1:-1]]
        return {line[0]: line[1] for line in lines}

    def state(self):
        return json.loads((self.tmp / "run" / f"import-{self.live}.json").read_text())

    def picture(self, database=None):
        """All that is in a database, as one comparable thing."""
        return self.db.dump(database or self.live, "--skip-comments", "--hex-blob")

    def oracle(self, data):
        """What the mariadb client makes of a dump."""
        self.db.sql("DROP DATABASE oracle; CREATE DATABASE oracle")
        path = self.tmp / "oracle.sql"
        path.write_bytes(data)
        self.db.load("oracle", path)
        return self.picture("oracle")

    def same_as(self, data):
        assert self.picture() == self.oracle(data)
        assert self.db.checksums(self.live) == self.db.checksums("oracle")

    def age(self):
        """Waits until a later change of any live table shows in its times."""
        wait_for(lambda: self.db.sql(
            "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema='%s' AND "
            "update_time + INTERVAL 1100000 MICROSECOND > NOW(6)" % self.live) == [["0"]])

    def clean(self):
        """Nothing of the importer's is left but its state row."""
        rows = self.db.sql("SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE "
                           f"TABLE_SCHEMA IN ('{self.live}_eefs_stage', '{self.live}_eefs_old') OR "
                           f"TABLE_NAME LIKE '\\_eefs\\_%'")
        return {r[1] for r in rows} <= {"_eefs_state"}
