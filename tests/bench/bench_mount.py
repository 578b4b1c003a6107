# SPDX-License-Identifier: MIT
"""The mount: latency of an edit, first sync, hot paths."""

import os
import re
import shutil
import statistics
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from eefs import BIN, free_port, read, wait_for, write

HOT = os.path.join(os.path.dirname(BIN), "tests", "bench", "hot")
FLOOR = os.path.join(os.path.dirname(BIN), "tests", "bench", "floor")
BIGTREE = os.path.join(os.path.dirname(BIN), "tests", "bench", "bigtree")
FILES, SIZE = 10_000, 4096
ENTRIES, LARGE = 1_000_000, 200_000


def fill(top):
    for i in range(FILES):
        write(os.path.join(top, "css", "%03d" % (i // 100), "%05d.css" % i), os.urandom(SIZE))


def filesystem(path):
    out = subprocess.run(["stat", "-f", "-c", "%T", path], capture_output=True, text=True)
    return out.stdout.strip()


def latency(site):
    """a 1 KB template is closed on the master: when can a loopback mirror read its new content?"""
    master = site.master("latency")
    mount = site.mount(master, instance="latency")
    path = "templates/default_site/site.group/index.html"
    write(master.path(path), b"0" * 1024)
    wait_for(lambda: os.path.exists(mount.path(path)) and read(mount.path(path)) == b"0" * 1024)
    times = []
    for i in range(200):
        data = (b"%08d" % (i + 1)) * 128
        write(master.path(path), data)
        closed = time.perf_counter()
        while read(mount.path(path)) != data:
            if time.perf_counter() - closed > 30:
                raise SystemExit("bench: edit %d not seen within 30 s" % i)
            time.sleep(0.0005)
        times.append((time.perf_counter() - closed) * 1000)
        time.sleep(0.02 + 0.001 * (i % 7))  # editors do not save in step with anything
    print("latency of a 1 KB template, 200 edits: median %.1f ms (target 20), worst %.1f ms "
          "(target 200)" % (statistics.median(times), max(times)), flush=True)
    mount.stop()
    master.stop()


def count_objects(mount):
    return sum(1 for top, _, names in os.walk(mount.cache) for n in names
               if os.path.getsize(os.path.join(top, n)) == SIZE)


def rsync_seconds(site, master):
    port = free_port()
    conf = os.path.join(site.base, "rsyncd.conf")
    write(conf, "use chroot = no\n[m]\npath = %s\nexclude = .eefs\n" % master.root)
    daemon = site.spawn("rsyncd", ["rsync", "--daemon", "--no-detach", "--config=" + conf,
                                   "--port=%d" % port, "--address=127.0.0.1"])
    url = "rsync://127.0.0.1:%d/m/" % port
    wait_for(lambda: subprocess.run(["rsync", url], capture_output=True).returncode == 0)
    times = []
    for i in range(3):
        to = os.path.join(site.base, "rsynced%d" % i)
        begin = time.perf_counter()
        subprocess.run(["rsync", "-a", url, to], check=True)
        times.append(time.perf_counter() - begin)
        if i:
            shutil.rmtree(to)
    daemon.kill()
    return statistics.median(times)


def filled_master(site):
    master = site.master(start=False)
    fill(master.root)
    master.start()
    probe = master.add_mirror("probe")
    wait_for(lambda: len(master.listing(probe)) >= FILES, 60)
    return master


def sync(site):
    """first sync of 10,000 files of 4 KB against an rsync daemon on loopback, as a ratio"""
    master = filled_master(site)
    peer = rsync_seconds(site, master)
    times = []
    for i in range(3):
        name = "sync%d" % i
        mount = site.mount(master, name, start=False, prefetch="all")
        begin = time.perf_counter()
        mount.start()
        mounted = time.perf_counter() - begin
        try:
            wait_for(lambda: count_objects(mount) >= FILES, 120)
        except AssertionError:
            print("first sync: only %d of %d contents came within 120 s"
                  % (count_objects(mount), FILES))
            return
        times.append((time.perf_counter() - begin, mounted))
        mount.stop()
    seconds, mounted = sorted(times)[1]
    print("first sync of %d x 4 KB: eefs %.2f s (usable after %.2f s), rsync daemon %.2f s, ratio %.2f"
          % (FILES, seconds, mounted, peer, seconds / peer), flush=True)

    mount = site.mount(master, "onread", prefetch="none")
    paths = [os.path.join(top, n) for top, _, names in os.walk(mount.path("css")) for n in names]
    begin = time.perf_counter()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(read, paths))
    seconds = time.perf_counter() - begin
    print("the same fetched on first read by 8 threads: %.2f s, ratio to rsync %.2f"
          % (seconds, seconds / peer), flush=True)
    mount.stop()


def measure(what, folders, rounds, pairs=5):
    """{name: [ns, ...]}; side by side, for this machine's noise hits all of them"""
    found = {name: [] for name in folders}
    for _ in range(pairs):
        for name, folder in folders.items():
            out = subprocess.run([HOT, what, folder, str(rounds)], check=True, text=True,
                                 capture_output=True)
            found[name].append(float(out.stdout))
    return found


def ratio(found, a, b):
    return statistics.median(x / y for x, y in zip(found[a], found[b]))


def floors(site):
    """{"floor 1": folder, ...}: daemons that only answer from memory, with that many threads"""
    folders = {}
    for threads in (1, 4):
        point = os.path.join(site.base, "floor%d" % threads)
        os.mkdir(point)
        site.spawn("floor%d" % threads, [FLOOR, point, str(threads)])
        wait_for(lambda: os.path.ismount(point))
        folders["floor %d" % threads] = point
    return folders


def hot(site):
    """stat, find, and open+read+close of 4 KB against the disk and a daemon that only answers"""
    master = filled_master(site)
    mount = site.mount(master, "hot", prefetch="all")
    disk = os.path.join(site.base, "disk")
    shutil.copytree(master.path("css"), disk)
    with ThreadPoolExecutor(4) as pool:
        for top, _, names in os.walk(mount.path("css")):
            list(pool.map(read, [os.path.join(top, n) for n in names]))
    peer = filesystem(disk)
    both = {"eefs": mount.path("css"), peer: disk}
    for what, rounds, label in [("stat", 10, "stat"),
                                ("find", 5, "find over %d entries" % (FILES + 101))]:
        found = measure(what, both, rounds)
        print("hot %s: eefs %.0f ns, %s %.0f ns, ratio %.2f"
              % (label, statistics.median(found["eefs"]), peer, statistics.median(found[peer]),
                 ratio(found, "eefs", peer)), flush=True)
    low = floors(site)
    found = measure("read", {**both, **low}, 3)
    print("hot open+read+close of 4 KB: %s; eefs is %.1f x %s, %s"
          % (", ".join("%s %.0f ns" % (name, statistics.median(ns)) for name, ns in found.items()),
             ratio(found, "eefs", peer), peer,
             ", ".join("%.2f x %s" % (ratio(found, "eefs", name), name) for name in low)), flush=True)
    mount.stop()
    for point in low.values():
        subprocess.run(["umount", point], check=True)


def resident(process):
    """MB that the daemon has in memory"""
    with open("/proc/%d/status" % process.popen.pid) as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1)) / 1024


def timed(*argv):
    begin = time.perf_counter()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


def million(site):
    """1,000,000 entries, 200,000 of them in one folder: ready after, memory, ls and find against the disk"""
    url = "http://127.0.0.1:%d/" % free_port()  # nobody there: what is shown is the cache's
    mount = site.mount(None, "million", url=url, token="none", start=False, prefetch="none")
    subprocess.run([BIGTREE, mount.cache, url, str(ENTRIES), str(LARGE)], check=True)
    for left in (2, 1, 0):
        begin = time.perf_counter()
        mount.start()
        print("mounted after %.2f s, %.0f MB" % (time.perf_counter() - begin, resident(mount.process)),
              flush=True)
        if left:
            mount.stop()
    disk = os.path.join(site.base, "large")
    os.mkdir(disk)
    for i in range(LARGE):
        os.close(os.open(os.path.join(disk, "file-%06d.css" % i), os.O_CREAT | os.O_WRONLY))
    for label, argv in [("ls -f", ["ls", "-f"]), ("find", ["find"]), ("ls -lU", ["ls", "-lU"])]:
        for when in ("at first", "again"):
            ours, theirs = timed(*argv, mount.path("large")), timed(*argv, disk)
            print("%s of %d, %s: eefs %.2f s, %s %.2f s, ratio %.2f; %.0f MB"
                  % (label, LARGE, when, ours, filesystem(disk), theirs, ours / theirs,
                     resident(mount.process)), flush=True)
    for when in ("at first", "again"):
        print("find of %d, %s: %.2f s; %.0f MB" % (ENTRIES, when, timed("find", mount.point),
                                                    resident(mount.process)), flush=True)
    mount.stop()


SUBJECTS = {"latency": latency, "sync": sync, "hot": hot, "million": million}
