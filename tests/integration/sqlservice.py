# SPDX-License-Identifier: MIT
"""eefs-sqlimport as a service over a slot and the database `live`, for tests of what it reports.

    importer = Importer(db, tmp_path, slot).start("--poll", "1h")
    importer.state()                      # its state file
    importer.stop()
"""
import json
import os
import subprocess
import time

from eefs import program, wait_for


class Importer:
    """The service; its messages go to a file."""

    def __init__(self, db, tmp, slot, rundir=None):
        self.db, self.tmp, self.slot = db, tmp, slot
        self.rundir, self.process = rundir or tmp / "run", None
        self.log_path = tmp / "log"
        for name in ("live", "live_eefs_stage", "live_eefs_old"):
            db.sql(f"DROP DATABASE IF EXISTS `{name}`")
        db.sql("CREATE DATABASE live")

    def argv(self, *more):
        return [program("eefs-sqlimport"), "--slot", str(self.slot), "--database", "live",
                "--defaults-file", self.db.defaults, "--state", str(self.tmp / "state"),
                "--rundir", str(self.rundir), *more]

    def start(self, *more, env=None):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.argv(*more), stderr=log,
                                            env={**os.environ, **(env or {})})
        wait_for(lambda: self.state()["pid"] == self.process.pid and self.state()["state"] != "stopped")
        return self

    def stop(self):
        if self.process:
            self.process.terminate()
            begin = time.monotonic()
            code = self.process.wait(30)
            self.process = None
            assert code in (0, -9) and time.monotonic() - begin < 10, code

    def log(self):
        return self.log_path.read_text()

    def state(self):
        try:
            return json.loads((self.rundir / "import-live.json").read_text())
        except FileNotFoundError:
            return {"pid": 0, "state": ""}

    def rows(self):
        try:
            return int(self.db.sql("SELECT COUNT(*) FROM t", "live")[0][0])
        except RuntimeError:
            return -1

    def gone(self):
        """The dump is neither there nor set aside, from where it comes back when it is a newer one."""
        names = "live.sql", ".eefs-sqlimport.live.sql.removing", "live.sql"
        return not any(os.path.lexists(self.slot / name) for name in names)
