# SPDX-License-Identifier: MIT
"""Visitors that read a live database the whole time, and count what they should never see.

    with Readers(db, "live", ["a", "b"]) as readers:
        ...
    readers.check()

Every table has a column k that holds the number of its generation in every row. One statement reads
all tables, so that it sees one moment.
"""
import collections
import subprocess
import threading
import time

SUMMARY = "SELECT CONCAT(COUNT(*), ':', IFNULL(MIN(k), 0), ':', IFNULL(MAX(k), 0)) FROM"


class Readers:
    def __init__(self, db, database, tables, n=2):
        self.db, self.database, self.n = db, database, n
        self.query = "SELECT CONCAT_WS(' '%s);\n" % "".join(f", ({SUMMARY} `{t}`)" for t in tables)
        self.seen = collections.Counter()  # generation or fault: how often
        self.ending = False
        self.lock = threading.Lock()
        self.threads = []

    def __enter__(self):
        for _ in range(self.n):
            self.threads.append(threading.Thread(target=self._run, daemon=True))
            self.threads[-1].start()
        return self

    def __exit__(self, *_):
        self.ending = True
        for t in self.threads:
            t.join(30)

    def _judge(self, line):
        if line.startswith("ERROR"):
            # 1146: no such table; 1051, 1356: a view without its table; 2002 …: the server is down
            return "away" if "ERROR 2" in line or "ERROR 1053" in line else "missing: " + line
        parts = [p.split(":") for p in line.split()]
        if any(count == "0" for count, _, _ in parts):
            return "empty: " + line
        found = {k for _, low, high in parts for k in (low, high)}
        return int(found.pop()) if len(found) == 1 else "mixed: " + line

    def _session(self):
        client = subprocess.Popen(
            ["mariadb", f"--defaults-file={self.db.defaults}", "-n", "-N", "-B", "--force",
             "--skip-reconnect", self.database], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, bufsize=1)
        try:
            while not self.ending:
                client.stdin.write(self.query)
                client.stdin.flush()
                line = client.stdout.readline().strip()
                if line.startswith("----"):  # the client shows the statement before the error
                    while not line.startswith("ERROR"):
                        line = client.stdout.readline()
                        if not line:
                            return
                if not line:
                    return
                what = self._judge(line.strip())
                with self.lock:
                    self.seen[what] += 1
                if what == "away":
                    return
                time.sleep(0.002)
        except OSError:
            pass
        finally:
            client.kill()
            client.wait()

    def _run(self):
        while not self.ending:
            self._session()
            time.sleep(0.02)

    def faults(self):
        with self.lock:
            return {k: v for k, v in self.seen.items() if not isinstance(k, int) and k != "away"}

    def check(self, *generations):
        """No fault was seen, and no generation but these."""
        assert not self.faults(), self.faults()
        seen = {k for k in self.seen if isinstance(k, int)}
        assert seen and (not generations or seen <= set(generations)), (seen, generations)
