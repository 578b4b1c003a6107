# SPDX-License-Identifier: MIT
"""The dump's reader against SHA-256 alone, and how soon a dump is noticed."""
import os
import random
import statistics
import subprocess
import time

from eefs import REPO, program, wait_for
from mariadb import MariaDB

WORDS = (r"lorem ipsum dolor sit amet it\'s adipiscing <p>elit</p>\r\n sed do \"eiusmod\" tempor größe "
         r"incididunt ut labore et dolore magna aliqua").split()


def write_dump(path, size):
    """Entries with long text, narrow rows, and rows of numbers, as a busy EE site has them."""
    dice = random.Random(1)
    text = [" ".join(dice.choices(WORDS, k=n)) for n in (150, 140, 130, 5, 6, 7)]
    rows = [lambda i: "(%d,'%s',%d,NULL,1.5,'%s')" % (i, text[i % 3], i * 7, text[3 + i % 3]),
            lambda i: "(%d,%d,%d,NULL,'%s','y',%d,'url_%d',0,0,1700000000)"
            % (i, i % 7, i % 11, text[3 + i % 3], i % 3, i),
            lambda i: "(%d,%d,NULL,0,'%d')" % (i, i % 100, i)]
    inserts = [",\n".join(row(i) for i in range(1000000 // len(row(1000)))) for row in rows]
    with open(path, "w") as f:
        f.write("-- MariaDB dump\n/*!40101 SET NAMES utf8mb4 */;\n")
        n = 0
        while f.tell() < size:
            n += 1
            f.write("CREATE TABLE `t%d` (`id` int) ENGINE=InnoDB;\n" % n)
            for _ in range(3):
                f.write("INSERT INTO `t%d` VALUES\n%s;\n" % (n, inserts[n % 3]))
        f.write("\n-- Dump completed\n")


def judge(site):
    """reading a dump of 150 MB, in memory: parse, check, hash rows and file; SHA-256 alone beside it"""
    path = os.path.join(site.base, "dump.sql")
    write_dump(path, 150_000_000)
    out = subprocess.run([os.path.join(REPO, "build/tests/bench/judge"), path], check=True,
                         capture_output=True, text=True).stdout.split()
    size, rows, parse, sha = int(out[0]), int(out[1]), float(out[2]), float(out[3])
    print("  %d MB, %d rows: %.3f s, %.2f GB/s; SHA-256 alone %.2f GB/s: %.2f of its time"
          % (size / 1e6, rows, parse, size / parse / 1e9, size / sha / 1e9, parse / sha))


def reaction(db, folder, slot, dump, rundir, state):
    """Milliseconds from the rename into the folder, which the importer sees as slot, to the removal
    there of an unchanged small dump."""
    service = subprocess.Popen([program("eefs-sqlimport"), "--slot", slot, "--database", "live",
                                "--defaults-file", db.defaults, "--state", state, "--rundir",
                                rundir, "--poll", "1h"], stderr=subprocess.DEVNULL)
    took = []
    final = os.path.join(folder, "live.sql")
    try:
        for _ in range(21):
            with open(os.path.join(folder, ".new"), "wb") as f:
                f.write(dump)
            begin = time.monotonic()
            os.rename(os.path.join(folder, ".new"), final)
            wait_for(lambda: not os.path.exists(final), 30)
            took.append((time.monotonic() - begin) * 1000)
    finally:
        service.terminate()
        service.wait(30)
    return statistics.median(took[1:])


def wake(site):
    """from a dump's arrival to its removal by the importer, nothing changed; one look every 5 s
    (the default without a change stream) would take 2500 ms on average"""
    with MariaDB(os.path.join(site.base, "db"), durable=True) as db:
        db.sql("CREATE DATABASE live; CREATE TABLE live.t (id INT PRIMARY KEY)")
        dump = db.dump("live")
        plain = os.path.join(site.base, "slot")
        os.mkdir(plain)
        master = site.master()
        os.makedirs(master.path("sql", "slave1"))
        mount = site.mount(master, "slave1")
        wait_for(lambda: os.path.isdir(mount.path("sql", "slave1")))
        for what, folder, slot in (
                ("plain folder, inotify", plain, plain),
                ("master to mirror and back", master.path("sql", "slave1"), mount.path("sql", "slave1"))):
            print("  %-26s %6.1f ms" % (what, reaction(db, folder, slot, dump, site.rundir,
                                                       os.path.join(site.base, "state"))))


SUBJECTS = {"judge": judge, "wake": wake}
