# SPDX-License-Identifier: MIT
"""What eefs-status prints for people and for monitors: text, colours, --watch, Nagios, metrics, and JSON by its
schema, in every state."""
import concurrent.futures
import json
import os
import pathlib
import pty
import re
import shutil
import subprocess
import time

import jsonschema
import pytest

import exposition
from eefs import REPO, wait_for, write
from test_status import ALONE, BIN, FORGED, MOUNT, Daemon, put_import

SCHEMA = json.loads(pathlib.Path(REPO, "packaging/monitoring/eefs-status.schema.json").read_text())
STATES = ("OK", "SYNCING", "DEGRADED", "ISOLATED", "FAILED")
MASTER = {"ok": True, "kind": "master", "root": "/srv/www", "listen": "127.0.0.1:7700", "state": "OK", "reason": "",
          "action": "", "entries": 3, "files": 2, "bytes": 3000000, "head": 7, "mirrors": []}
MIRROR = {"name": "slave1", "state": "OK", "reason": "", "lag_ms": 1500, "pending": 4, "conflicts": 0, "quarantined": 0,
          "cache_used": 1 << 30, "cache_limit": 20 << 30, "address": "192.0.2.7", "version": "0.1.0", "seen_ms_ago": 10}


def run(rundir, *args, fstab="/dev/null", **env):
    """(exit code, stdout)"""
    out = subprocess.run([*ALONE, BIN / "eefs-status", "--rundir", rundir, *args], capture_output=True, text=True,
                         timeout=20, env={**os.environ, "LIBMOUNT_FSTAB": str(fstab), **env})
    return out.returncode, out.stdout


def checked(rundir, *args, **more):
    """(exit code, object) of --json, which keeps its schema."""
    code, text = run(rundir, "--json", *args, **more)
    told = json.loads(text)
    jsonschema.Draft202012Validator(SCHEMA).validate(told)
    return code, told


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("state", STATES)
def test_every_state_in_every_form(tmp_path, state):
    more = {"state": state, "reason": "" if state == "OK" else "so it is", "action": "do it", "down_ms": 5}
    Daemon(tmp_path / "mount-a.sock", {**MOUNT, **more})
    Daemon(tmp_path / "master-m.sock", {**MASTER, "mirrors": [{**MIRROR, "state": state}]})
    put_import(tmp_path)
    code, told = checked(tmp_path)
    worst = {"OK": 0, "SYNCING": 0, "DEGRADED": 1, "ISOLATED": 1, "FAILED": 2}[state]
    assert code == worst and told["state"] == state and told["worst"]["reason"] == more["reason"]
    code, text = run(tmp_path)
    first = text.splitlines()[0]
    assert code == worst and first.startswith("eefs %s: " % state)
    assert first.endswith("1 mount, 1 master, 1 import" if state == "OK" else "mount /nowhere/a: so it is")
    code, text = run(tmp_path, "--nagios")
    word = ["OK", "WARNING", "CRITICAL"][worst]
    assert code == worst and text.startswith("EEFS %s - " % word) and text.count("\n") == 1
    code, text = run(tmp_path, "--prometheus")
    metrics = exposition.parse(text)
    assert code == worst
    for each in STATES + ("unknown",):
        assert exposition.value(metrics, "eefs_mount_state", mountpoint="/nowhere/a", state=each) == (each == state)
        assert exposition.value(metrics, "eefs_mirror_state", mirror="slave1", state=each) == (each == state)


def test_nothing_and_silence(tmp_path):
    code, told = checked(tmp_path)
    assert code == 3 and told["state"] == "unknown" and run(tmp_path, "--prometheus")[1] == ""
    Daemon(tmp_path / "mount-a.sock", None)
    os.symlink("/nowhere/a", tmp_path / "mount-a.at")
    (tmp_path / "import-bad.json").write_text("{")
    with concurrent.futures.ThreadPoolExecutor() as pool:  # each waits for the silent one
        json_, nagios, prometheus = [pool.submit(f, tmp_path, *args) for f, args in (
            (checked, ()), (run, ("--nagios",)), (run, ("--prometheus",)))]
    code, told = json_.result()
    assert code == 3 and told["worst"]["kind"] == "mount" and "does not answer" in told["worst"]["reason"]
    assert nagios.result()[1].startswith("EEFS UNKNOWN - mount /nowhere/a: its daemon")
    metrics = exposition.parse(prometheus.result()[1])
    assert exposition.value(metrics, "eefs_mount_up", mountpoint="/nowhere/a") == 0
    assert not any(name == "eefs_mount_lag_seconds" for name, _ in metrics)


def test_the_table_of_mirrors_and_human_units(tmp_path):
    done = {"name": "ee", "last_import": {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 305))}}
    Daemon(tmp_path / "mount-a.sock", {**MOUNT, "cache_used": 1 << 30, "cache_limit": 20 << 30, "lag_ms": 5 * 60000,
                                       "prefetch_queued": 12})
    Daemon(tmp_path / "master-m.sock", {**MASTER, "mirrors": [
        {**MIRROR, "imports": [done]}, {"name": "a-long-name", "state": "DEGRADED", "reason": "3 conflicts", **{
            k: MIRROR[k] for k in ("lag_ms", "pending")}, "imports": [{**done, "failed": {"count": 2}}]},
        {"name": "gone", "state": "unknown", "reason": "not heard of for 40 s"}]})
    put_import(tmp_path, state="importing", database="ee", progress={
        "rows": 900, "bytes": 3 << 20, "bytes_total": 6 << 20, "seconds_left": 3})
    code, text = run(tmp_path)
    lines = text.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("  mirror       state"))
    head, rows = lines[at], lines[at + 1:at + 4]
    column = [m.start() for m in re.finditer(r"\S+( \S+)*", head)]
    cells = [[row[a:b].strip() for a, b in zip(column, column[1:] + [None])] for row in rows]
    assert cells[0] == ["slave1", "OK", "1.5 s", "4", "1.0 of 20 GiB", "5 min ago", "192.0.2.7", "0.1.0"]
    assert cells[1] == ["a-long-name", "DEGRADED", "1.5 s", "4", "-", "failed (2)", "-", "-"]
    assert cells[2] == ["gone", "(unknown)", "-", "-", "-", "-", "-", "-"]
    assert lines[at + 4:at + 6] == ["  mirror   a-long-name: 3 conflicts", "  mirror   gone: not heard of for 40 s"]
    assert "  cache    1.0 of 20 GiB, 3 entries" in lines and "  fetching 12 contents wait" in lines
    assert "link up, lag 5 min" in text and "  serves   2 files with 2.9 MiB on 127.0.0.1:7700" in lines
    assert "  staged   [##########----------] 50 %, 3.0 of 6.0 MiB, 900 rows, 1.0 MiB/s, about 3 s left" in lines
    assert "\x1b" not in text


def terminal(rundir, *args, until, **env):
    """What eefs-status writes on a terminal, up to the bytes `until`."""
    main, other = pty.openpty()
    process = subprocess.Popen([*ALONE, BIN / "eefs-status", "--rundir", rundir, *args], stdout=other, stdin=other,
                               env={**{k: v for k, v in os.environ.items() if k != "NO_COLOR"}, "TERM": "xterm",
                                    "LIBMOUNT_FSTAB": "/dev/null", **env})
    os.close(other)
    seen = b""
    try:
        while not until(seen):
            try:
                seen += os.read(main, 4096)
            except OSError:
                break
    finally:
        process.kill()
        process.wait()
        os.close(main)
    return seen.decode()


def test_colours_on_a_terminal_only(tmp_path):
    Daemon(tmp_path / "mount-a.sock", {**MOUNT, "name": FORGED})
    assert "eefs \x1b[1;32mOK\x1b[0m: 1 mount" in terminal(tmp_path, until=lambda s: b"entries" in s)
    for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert "\x1b" not in terminal(tmp_path, until=lambda s: b"entries" in s, **env)


def test_watch_refreshes_in_place(tmp_path):
    daemon = Daemon(tmp_path / "mount-a.sock", MOUNT)

    def until(seen):
        if seen.count(b"\x1b[H") >= 2:
            daemon.answer = {**MOUNT, "state": "FAILED", "reason": "it broke"}
        return b"it broke" in seen and seen.count(b"\x1b[J") >= 3
    seen = terminal(tmp_path, "--watch=100ms", until=until)
    assert seen.count("\x1b[2J") == 1 and "\x1b[1;31mFAILED" in seen
    out = subprocess.Popen([*ALONE, BIN / "eefs-status", "--rundir", tmp_path, "--watch"], stdout=subprocess.PIPE,
                           text=True)
    assert out.stdout.readline().startswith("eefs ")
    out.stdout.close()
    assert out.wait(10) in (2, 3, -13)  # its reader is gone


def test_lines_of_fstab_that_are_not_mounted(tmp_path):
    link = tmp_path / "link"
    link.symlink_to("/nowhere")
    fstab = tmp_path / "fstab"
    fstab.write_text("# a comment\nhttps://m.example/ /nowhere/a eefs _netdev,nofail 0 0\n"
                     "https://m.example/ /nowhere/with\\040blank/ eefs _netdev 0 0\n"
                     "https://m.example/ /nowhere/later eefs noauto 0 0\n/dev/sda1 /nowhere/x ext4 defaults 0 0\n")
    code, told = checked(tmp_path, fstab=fstab)
    assert code == 3 and [m["mountpoint"] for m in told["mounts"]] == ["/nowhere/a", "/nowhere/with blank"]
    assert told["mounts"][1]["action"] == "mount '/nowhere/with blank'" and "fstab" in told["mounts"][0]["reason"]
    text = run(tmp_path, fstab=fstab)[1]
    assert text.startswith("eefs (unknown): mount /nowhere/a: not mounted, but /etc/fstab has it\n")
    # One that is there counts as mounted; of those that are asked for only that one is shown.
    Daemon(tmp_path / "mount-a.sock", MOUNT)
    code, told = checked(tmp_path, fstab=fstab)
    assert [m["state"] for m in told["mounts"]] == ["OK", "unknown"] and code == 3
    assert checked(tmp_path, "/nowhere/a/img", fstab=fstab)[0] == 0


def test_a_mounted_line_of_fstab(site, tmp_path):
    """Also through a symbolic link to its folder, with a slash at the end, and once it is unmounted."""
    master = site.master()
    mount = site.mount(master)
    os.symlink(site.base, tmp_path / "link")
    fstab = tmp_path / "fstab"
    fstab.write_text("%s %s/link/mnt-slave1/ eefs _netdev 0 0\n" % (master.url, tmp_path))

    def told():
        out = site.run("eefs-status", "--json", mount.point, check=False, env={"LIBMOUNT_FSTAB": str(fstab)})
        jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(out.stdout))
        return [(m["state"], m["action"]) for m in json.loads(out.stdout)["mounts"]]
    wait_for(lambda: told() == [("OK", "")])
    mount.stop()
    assert told() == [("unknown", "mount '%s'" % mount.point)]


def test_nagios_limits_and_data(tmp_path):
    Daemon(tmp_path / "mount-a.sock", {**MOUNT, "lag_ms": 2500, "mountpoint": "/no'where|=a"})
    Daemon(tmp_path / "master-m.sock", {**MASTER, "mirrors": [MIRROR, {"name": "gone", "state": "unknown", "reason": "x"}]})
    code, text = run(tmp_path, "--nagios", "-w", "2", "-c", "1min")
    assert code == 1 and text.startswith("EEFS WARNING - 1 mount, 1 master; /no_where__a lags by 2.5 s | ")
    assert text.count("|") == 1
    data = dict(re.findall(r"'([^']+)'=(\S+)", text))
    assert data["lag_/no_where__a"] == "2.500s;2.000;60.000;0" and data["pending_slave1"] == "4;;;0"
    assert data["cache_slave1"] == "%dB;;;0;%d" % (1 << 30, 20 << 30) and "lag_gone" not in data
    assert run(tmp_path, "--nagios", "--critical=2s")[0] == 2
    assert run(tmp_path, "--nagios", "-w", "1h")[0] == 0
    assert run(tmp_path, "-w", "1h")[0] == 3  # without --nagios it means nothing


def test_metrics_in_a_file(tmp_path):
    """The textfile collector must never see half a file, and what others wrote forges no sample."""
    forged = 'x"} 1\nforged{a="\\'
    Daemon(tmp_path / "mount-a.sock", {**MOUNT, "name": forged, "errors": [{"error": "EIO", "count": 3}] * 2})
    Daemon(tmp_path / "master-m.sock", {**MASTER, "mirrors": [
        {**MIRROR, "imports": [{"name": forged, "failed": {"count": 2}}] * 2}, MIRROR, {**MIRROR, "name": forged}]})
    put_import(tmp_path, last_import={"time": "2026-11-23T10:15:00Z", "seconds": 1.25})
    file = tmp_path / "eefs.prom"
    file.write_text("old")
    before = os.stat(file).st_ino
    assert run(tmp_path, "--prometheus", "--output", str(file)) == (0, "")
    assert os.stat(file).st_ino != before and os.stat(file).st_mode & 0o777 == 0o644
    assert not list(tmp_path.glob("*.tmp"))
    metrics = exposition.parse(file.read_text())
    assert exposition.value(metrics, "eefs_mount_errors_total", mirror=forged) == 6
    assert exposition.value(metrics, "eefs_import_failures", mirror="slave1", **{"import": forged}) == 2
    assert exposition.value(metrics, "eefs_import_last_success_timestamp_seconds", mirror="") == 1795428900
    assert exposition.value(metrics, "eefs_import_last_duration_seconds", mirror="") == 1.25
    assert exposition.value(metrics, "eefs_mirror_lag_seconds", mirror=forged) == 1.5
    assert run(tmp_path, "--prometheus", "--output", "/nowhere/x.prom")[0] == 3
    if shutil.which("promtool"):
        subprocess.run(["promtool", "check", "metrics"], stdin=file.open(), check=True)


def test_a_real_site_in_all_forms(site):
    master = site.master(start=False)
    write(master.path("css/a.css"), "a" * 5000)
    master.start()
    mount = site.mount(master)
    wait_for(lambda: master.control()["mirrors"][0].get("cache_limit"), 20)
    out = json.loads(site.run("eefs-status", "--json", check=False).stdout)
    jsonschema.Draft202012Validator(SCHEMA).validate(out)
    told = master.control()["mirrors"][0]
    assert told["address"] == "127.0.0.1" and told["version"] and told["cache_limit"] == mount.status()["cache_limit"]
    exposition.parse(site.run("eefs-status", "--prometheus", check=False).stdout)


def test_how_a_path_stands(site):
    master = site.master(start=False)
    write(master.path("uploads/cold.bin"), os.urandom(200000))
    for name in ("css/a.css", "uploads/one.txt"):
        write(master.path(name), "a" * 5000)
    master.start()
    link = site.link(master)
    mount = site.mount(master, url=link.url, prefetch="uploads/one.txt")

    def told(*names):
        out = site.run("eefs-status", "--json", *[mount.path(n) for n in names], check=False).stdout
        jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(out))
        return json.loads(out)["mounts"][0].get("paths", [])

    def text(name):
        return site.run("eefs-status", mount.path(name), check=False).stdout
    wait_for(lambda: told("uploads/one.txt")[0]["cached"])
    css, cold, gone = told("css/a.css", "uploads/cold.bin", "uploads/no")
    assert css["state"] == "clean" and not css["writable"] and css["size"] == 5000 and css["type"] == "file"
    assert not cold["cached"] and cold["writable"] and cold["hash"].startswith("s2-") and gone["state"] == "absent"
    assert css["mtime"] == os.stat(master.path("css/a.css")).st_mtime_ns
    assert "  path     uploads/one.txt: up to date\n    file of 4.9 KiB, changed " in text("uploads/one.txt")
    assert "uploads/cold.bin: up to date, not cached\n" in text("uploads/cold.bin")
    assert "css: up to date; read-only on this mirror, by its scope" in text("css")
    assert told("") == []  # the mountpoint stands for the mount alone
    link.cut()
    wait_for(lambda: mount.status()["link"] == "down", 30)
    write(mount.path("uploads/two.txt"), "two")
    assert told("uploads/two.txt")[0]["state"] == "pending"
    assert "uploads/two.txt: upload pending" in text("uploads/two.txt")
    link.restore()
    mount.synced()
    assert told("uploads/two.txt")[0]["state"] == "clean"
