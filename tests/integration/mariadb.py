# SPDX-License-Identifier: MIT
"""A private MariaDB in a folder of its own, on a Unix socket only.

    with MariaDB() as db:
        db.sql("CREATE DATABASE site")
        run([..., "--defaults-file", db.defaults])

Also used by the demo. Needs mariadb-server-core, mariadb-client-core and libmariadb3.
"""
import atexit
import os
import shutil
import signal
import subprocess
import tempfile
import time

from sqlclient import Client

BATCH = str.maketrans({"\0": "\\0", "\t": "\\t", "\n": "\\n", "\\": "\\\\"})


def in_memory():
    """A folder in memory, if there is much of it, for what needs no disk; or None."""
    folder = "/dev/shm"
    if os.access(folder, os.W_OK) and shutil.disk_usage(folder).free >= 2 << 30:
        return folder
    return None


class MariaDB:
    template = None  # a data folder as it is at first, of this process

    def __init__(self, folder=None, options=(), durable=False):
        """folder: where everything goes (made when missing); default: a temporary one, in memory. durable: it waits for
        the disk; else only the kernel has what it wrote, which is enough when no more than the server is killed."""
        self.own = folder is None
        memory = None if durable else in_memory()
        self.folder = str(folder) if folder else tempfile.mkdtemp(prefix="eefs-db-", dir=memory)
        os.makedirs(self.folder, exist_ok=True)
        self.data = os.path.join(self.folder, "data")
        self.tmp = os.path.join(self.folder, "tmp")  # a server removes what others have in its own
        os.makedirs(self.tmp, exist_ok=True)
        self.socket = os.path.join(self.folder, "s.sock")
        self.defaults = os.path.join(self.folder, "client.cnf")
        self.log = os.path.join(self.folder, "mariadbd.log")
        self.options, self.durable = list(options), durable
        self.process = None
        with open(self.defaults, "w") as f:
            f.write(f"[client]\nuser=root\nsocket={self.socket}\n")
        os.chmod(self.defaults, 0o600)

    def install(self, log):
        """Makes the data folder, by mariadb-install-db once in a process."""
        if not MariaDB.template:
            made = tempfile.mkdtemp(prefix="eefs-db-new-", dir=in_memory())
            atexit.register(shutil.rmtree, made, ignore_errors=True)
            done = subprocess.run(
                ["mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={made}/data",
                 f"--tmpdir={self.tmp}", "--auth-root-authentication-method=normal",
                 "--skip-test-db", "--force"],  # no host name is needed: sockets only
                stdout=log, stderr=log, check=False)
            if done.returncode:
                raise RuntimeError("mariadb-install-db failed:\n" + open(self.log).read()[-3000:])
            MariaDB.template = f"{made}/data"
        subprocess.run(["cp", "-a", "--sparse=always", MariaDB.template, self.data], check=True)

    def command(self):
        return [shutil.which("mariadbd") or "/usr/sbin/mariadbd", "--no-defaults", "--skip-log-bin"] + \
            ([] if self.durable else ["--debug-no-sync"])

    def environment(self):
        return None

    def start(self, timeout=60):
        with open(self.log, "a") as log:
            if not os.path.isdir(os.path.join(self.data, "mysql")):
                self.install(log)
            self.process = subprocess.Popen(
                [*self.command(), "--user=root", f"--datadir={self.data}", f"--tmpdir={self.tmp}",
                 f"--socket={self.socket}", f"--pid-file={self.folder}/pid", "--skip-networking",
                 "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=64M",
                 "--max-allowed-packet=16M", "--event-scheduler=OFF",
                 *([] if self.durable else ["--innodb-flush-method=nosync", "--skip-sync-frm"]),
                 *self.options], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                env=self.environment())
        deadline = time.monotonic() + timeout
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("mariadbd does not start:\n" + open(self.log).read()[-3000:])
            time.sleep(0.01)
        return self

    def answers(self):
        try:
            return self.sql("SELECT 1") == [["1"]]
        except RuntimeError:
            return False

    def stop(self, kill=False):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None

    def close(self):
        self.stop()
        if self.own:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()

    def sql(self, text, database=None):
        """Runs SQL; rows as lists of strings, as the client's --batch writes them."""
        if "DELIMITER" in text:
            return self.client(text, database)
        with Client(self.socket, database=database, several=True) as c:
            return [["NULL" if cell is None else cell.decode(errors="replace").translate(BATCH) for cell in row]
                    for row in c.rows(text)]

    def client(self, text, database):
        """The same by the mariadb client, which knows DELIMITER."""
        args = ["mariadb", f"--defaults-file={self.defaults}", "--batch", "--skip-column-names",
                "--default-character-set=utf8mb4"] + ([database] if database else [])
        done = subprocess.run(args, input=text.encode(), capture_output=True)
        if done.returncode:
            raise RuntimeError(done.stderr.decode(errors="replace"))
        return [line.split("\t") for line in done.stdout.decode(errors="replace").splitlines()]

    def load(self, database, path):
        """What the mysql client makes of a dump."""
        with open(path, "rb") as f:
            subprocess.run(["mariadb", f"--defaults-file={self.defaults}", database], stdin=f,
                           check=True)

    def dump(self, database, *options):
        """The dump's bytes."""
        return subprocess.run(
            ["mariadb-dump", f"--defaults-file={self.defaults}", "--single-transaction",
             "--skip-dump-date", "--order-by-primary", "--triggers", "--routines", "--events",
             *options, database], check=True, stdout=subprocess.PIPE).stdout

    def checksums(self, database):
        # CHECKSUM TABLE differs between equal rows of a table with generated columns (MariaDB
        # 10.11: other bytes of the record go in); such tables are compared by their dumps.
        names = [r[0] for r in self.sql("SELECT table_name FROM information_schema.tables WHERE "
                                        f"table_schema='{database}' AND table_type='BASE TABLE' "
                                        "AND table_name NOT IN (SELECT table_name FROM "
                                        "information_schema.columns WHERE table_schema="
                                        f"'{database}' AND generation_expression IS NOT NULL) "
                                        "ORDER BY 1")]
        return {n: self.sql("CHECKSUM TABLE `%s`" % n.replace("`", "``"), database)[0][1]
                for n in names}
