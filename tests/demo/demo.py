#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The demo: one master, two mirrors, real MariaDB, PHP and mounts, in a private folder.

    make demo            runs all steps, checks each, stops everything
    make demo KEEP=1     leaves it running until Ctrl-C, and says how to look around

Master: the folder "master", a MariaDB with database "ee". Each mirror: a mount of the folder, a
MariaDB of its own with a database "ee", and eefs-sqlimport. slave2 reaches the master over a link
that the demo can cut.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "integration")]

import eesite  # noqa: E402
import pictures  # noqa: E402
from eefs import Site, program, read, wait_for, write  # noqa: E402
from mariadb import MariaDB  # noqa: E402

KEEP = os.environ.get("KEEP", "") not in ("", "0", "no")

# Waits in PHP, as a visitor's request would read the template, and says when it had the new text.
PHP_READER = """
list(, $path, $want) = $argv;
echo "ready\\n";
$end = microtime(true) + 20;
do {
    clearstatcache();
    $text = @file_get_contents($path);
    if ($text !== false && strpos($text, $want) !== false) {
        printf("%.6f %d\\n", microtime(true), strlen($text));
        exit(0);
    }
    usleep(500);
} while (microtime(true) < $end);
exit(1);
"""


def say(text=""):
    print(text, flush=True)


class Step:
    """with Step("what happens"): …; prints the time it took."""

    count = 0

    def __init__(self, what):
        self.what, self.notes = what, []

    def __enter__(self):
        Step.count += 1
        self.begin = time.monotonic()
        return self

    def note(self, what, begin=None):
        """A line under the step; with `begin` (time.monotonic) the milliseconds since then."""
        self.notes.append("      %s%s" % (what, "" if begin is None else
                                          ": %d ms" % ((time.monotonic() - begin) * 1000)))

    def __exit__(self, kind, *_):
        say("%2d. %-62s %6d ms%s" % (Step.count, self.what, (time.monotonic() - self.begin) * 1000,
                                     "  FAILED" if kind else ""))
        for line in self.notes:
            say(line)


def check(condition, what):
    if not condition:
        raise AssertionError(what)


class Demo:
    def __init__(self):
        self.site = Site()
        self.databases = {}

    def start(self):
        site = self.site
        with Step("three MariaDB servers: the master's and one for each mirror") as step:
            for name in ("master", "slave1", "slave2"):
                self.databases[name] = MariaDB(os.path.join(site.base, "db-" + name))
                site.cleanups.append(self.databases[name].stop)
            with ThreadPoolExecutor() as pool:
                list(pool.map(MariaDB.start, self.databases.values()))
            for db in self.databases.values():
                db.sql("CREATE DATABASE ee CHARACTER SET utf8mb4")
            sql, tables, rows = eesite.database_sql()
            self.databases["master"].sql(sql, "ee")
            step.note("%d tables with %d rows in the master's database" % (tables, rows))

        self.master = site.master(start=False)
        with Step("an ExpressionEngine-shaped site") as step:
            files = eesite.make_assets(self.master.root, ["slave1", "slave2"])
            step.note("%d files: templates, css, pictures, uploads, scripts" % files)
        with Step("eefs-master serves the folder"):
            self.master.start()
        with Step("two mirrors mount it") as step:
            self.one = site.mount(self.master, "slave1", prefetch="all")
            self.link = site.link(self.master)
            self.two = site.mount(self.master, "slave2", url=self.link.url, prefetch="all")
            for mount in (self.one, self.two):
                step.note(mount.point)
        with Step("an importer on each mirror"):
            for mount in (self.one, self.two):
                self.importer(mount)

    def query(self, name, sql):
        """The first column of the first row; None while the database cannot answer."""
        try:
            rows = self.databases[name].sql(sql, "ee")
        except RuntimeError:
            return None
        return rows[-1][0] if rows else None

    def importer(self, mount):
        self.site.spawn("import-" + mount.name, [
            program("eefs-sqlimport"), "--slot", mount.path("sql", mount.name), "--database", "ee",
            "--defaults-file", self.databases[mount.name].defaults,
            "--state", os.path.join(self.site.base, "state-" + mount.name),
            "--name", mount.name, "--rundir", self.site.rundir])

    # --- the steps ---

    def edit_template(self):
        path = "templates/default_site/site.group/index.html"
        with Step("a template edited on the master, read by PHP through both mounts") as step:
            readers = [(m, subprocess.Popen(["php", "-r", PHP_READER, "--", m.path(path), "EDITED"],
                                            stdout=subprocess.PIPE, text=True))
                       for m in (self.one, self.two)]
            for _, reader in readers:
                check(reader.stdout.readline() == "ready\n", "PHP did not start")
            data = b"<h1>EDITED</h1>\n" + read(self.master.path(path))
            write(self.master.path(path), data)
            closed = time.time()
            for mount, reader in readers:
                line = reader.communicate(timeout=30)[0].split()
                check(reader.returncode == 0, "PHP did not see the edit on " + mount.name)
                check(int(line[1]) == len(data), "PHP saw a part of the template")
                step.note("%s had it after %.1f ms" % (mount.name, (float(line[0]) - closed) * 1000))

    def upload_picture(self):
        picture = pictures.png(pictures.scene(400, 300, 5))
        source = os.path.join(self.site.base, "upload.png")
        write(source, picture)
        name = "uploads/images/from-slave1.png"
        with Step("a picture uploaded on slave1 by PHP") as step:
            begin = time.monotonic()
            subprocess.run(["php", "-r", "exit(copy($argv[1], $argv[2]) ? 0 : 1);", "--", source,
                            self.one.path(name)], check=True)
            step.note("copy() returned", begin)
            check(read(self.master.path(name)) == picture, "not whole on the master after close()")
            step.note("on the master, byte for byte, when copy() returned")
            wait_for(lambda: os.path.exists(self.two.path(name)))
            check(read(self.two.path(name)) == picture, "other bytes on slave2")
            step.note("on slave2, byte for byte", begin)

    def tell_databases(self, what, sql, expect):
        with Step(what) as step:
            begin = time.monotonic()
            self.site.run("eefs-sqldump", "--database", "ee", "--defaults-file",
                          self.databases["master"].defaults, "--slots",
                          self.master.path("sql"), "slave1", "slave2")
            step.note("dumped into both slots", begin)
            for mount in (self.one, self.two):
                wait_for(lambda m=mount: self.query(m.name, sql) == expect, 60,
                         "the row on " + mount.name)
                step.note("%s has it" % mount.name, begin)
            for mount in (self.one, self.two):
                for path in (mount.path("sql", mount.name), self.master.path("sql", mount.name)):
                    wait_for(lambda p=path: not [n for n in os.listdir(p) if n.endswith(".sql")], 30,
                             "the dump gone from " + path)
            step.note("the dumps are gone from both slots, here and on the master", begin)

    def databases_step(self):
        count = "SELECT COUNT(*) FROM exp_channel_titles"
        self.tell_databases("the first dump fills the mirrors' databases", count,
                            self.query("master", count))
        tables = "SELECT GROUP_CONCAT(table_name ORDER BY table_name) FROM " \
                 "information_schema.tables WHERE table_schema = 'ee' AND table_name LIKE 'exp%'"
        check(self.query("slave1", "SET SESSION group_concat_max_len=100000; " + tables) ==
              self.query("master", "SET SESSION group_concat_max_len=100000; " + tables),
              "other tables on slave1")
        self.query("master", "UPDATE exp_channel_titles SET title = 'Seen on every mirror; it\\'s here' "
                             "WHERE entry_id = 4711")
        self.tell_databases("a row changed in the master's database",
                            "SELECT title FROM exp_channel_titles WHERE entry_id = 4711",
                            "Seen on every mirror; it's here")
        for table in ("exp_channel_data", "exp_comments", "exp_comment_subscriptions"):
            sums = {name: db.sql("CHECKSUM TABLE " + table, "ee")[0][1]
                    for name, db in self.databases.items()}
            check(len(set(sums.values())) == 1, "%s differs: %s" % (table, sums))

    def cut_off(self):
        old = "templates/default_site/news.group/index.html"
        with Step("slave2 is cut off from the master") as step:
            before = read(self.two.path(old))
            self.link.cut()
            begin = time.monotonic()
            wait_for(lambda: self.two.status()["state"] == "ISOLATED", 30)
            step.note("eefs-status says ISOLATED", begin)
        with Step("meanwhile: an edit on the master, an upload on slave2") as step:
            write(self.master.path(old), b"<h1>edited while slave2 was away</h1>")
            wait_for(lambda: read(self.one.path(old)).startswith(b"<h1>edited"))
            check(read(self.two.path(old)) == before, "slave2 does not serve what it had")
            files = sum(len(names) for _, _, names in os.walk(self.two.path("templates")))
            for top, _, names in os.walk(self.two.path("templates")):
                for name in names:
                    read(os.path.join(top, name))
            step.note("slave2 still serves all %d templates" % files)
            begin = time.monotonic()
            write(self.two.path("uploads/files/written-while-away.txt"), "kept in the outbox")
            step.note("its upload is kept in the outbox", begin)
            check(self.two.status()["pending"] > 0, "no pending change")
        with Step("the link is back: slave2 catches up") as step:
            self.link.restore()
            begin = time.monotonic()
            wait_for(lambda: read(self.two.path(old)).startswith(b"<h1>edited"), 60)
            step.note("the master's edit is on slave2", begin)
            wait_for(lambda: os.path.exists(self.master.path("uploads/files/written-while-away.txt")),
                     60)
            check(read(self.master.path("uploads/files/written-while-away.txt")) ==
                  b"kept in the outbox", "other bytes on the master")
            step.note("slave2's upload is on the master", begin)
            self.two.synced()
            wait_for(lambda: self.two.status()["state"] == "OK", 60)
            step.note("eefs-status says OK", begin)

    def show_status(self):
        wait_for(lambda: self.site.status()[0] == 0, 60)
        say("\n$ eefs-status")
        say(self.site.run("eefs-status", check=False).stdout)

    def keep(self):
        say("Still running. Look around, for example:\n"
            "  cd %s                     the master's folder\n"
            "  ls -l %s                  the mirrors\n"
            "        %s\n"
            "  %s --rundir %s\n"
            "  mariadb --defaults-file=%s ee\n"
            "  tail -f %s/*.log\n"
            "Stop it with Ctrl-C here, or: kill %d"
            % (self.master.root, self.one.point, self.two.point, program("eefs-status"),
               self.site.rundir, self.databases["slave1"].defaults, self.site.base, os.getpid()))
        signal.pause()

    def stop(self):
        self.site.stop_all()
        bad = self.site.suspicious()
        self.site.remove()
        check(not bad, "a daemon reported:\n" + "\n".join(bad))


def main():
    def stop(*_):
        raise SystemExit(130)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    for name in ("php", "mariadbd", "mariadb"):
        if not shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin"):
            sys.exit("demo: '%s' is not installed; run: sudo packaging/deps.sh make demo" % name)
    begin = time.monotonic()
    demo = Demo()
    say("eefs demo in %s\n" % demo.site.base)
    code = 1
    try:
        demo.start()
        demo.edit_template()
        demo.upload_picture()
        demo.databases_step()
        demo.cut_off()
        demo.show_status()
        code = 0
        if KEEP:
            demo.keep()
    except (AssertionError, OSError, RuntimeError, subprocess.SubprocessError) as error:
        say("\ndemo: %s\n\n%s" % (error, demo.site.logs()))
    finally:
        demo.stop()
    say("demo: %s, %d steps, %.1f s; everything is stopped and removed"
        % ("all good" if code == 0 else "FAILED", Step.count, time.monotonic() - begin))
    return code


if __name__ == "__main__":
    sys.exit(main())
