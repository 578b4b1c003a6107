# SPDX-License-Identifier: MIT
"""on_change: a command of the admin's runs when files that it names came from the master."""

import os

import pytest

from eefs import mounts, read, unmount, wait_for, write

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="runs commands as another user")


@pytest.fixture
def runs(site):
    """A script that notes each run, and what it noted so far."""
    folder = os.path.join(site.base, "runs")
    os.mkdir(folder)
    os.chmod(folder, 0o777)
    script = os.path.join(site.base, "note.sh")
    write(script, """#!/bin/sh
out=$(mktemp %s/run.XXXXXX)
{ id -un; id -Gn; echo "$EEFS_MOUNTPOINT"; cat "$EEFS_MOUNTPOINT/templates/a.html" 2>&1; echo; echo "--"
  echo "$EEFS_PATHS"; } > "$out"
mv "$out" "$out.done"
""" % folder)
    os.chmod(script, 0o755)

    def so_far():
        names = [os.path.join(folder, n) for n in os.listdir(folder) if n.endswith(".done")]
        names.sort(key=os.path.getmtime)
        return [read(n).decode().rstrip("\n").split("\n--\n") for n in names]

    so_far.script = script
    return so_far


def paths(run):
    return sorted(run[1].split("\n"))


def test_a_template_edit_runs_the_command_once(site, runs):
    """A burst of edits runs it once, as the given user, with the paths; it reads the new files; others'
    changes do not run it."""
    master = site.master()
    write(master.path("templates/a.html"), "old")
    mount = site.mount(master, allow_other=True, on_change="templates:" + runs.script, on_change_user="nobody")
    write(master.path("css/other.css"), "x")
    for i in range(5):
        write(master.path("templates/b%d.html" % i), str(i))
    write(master.path("templates/a.html"), "new")
    wait_for(runs, 15)
    seen = runs()
    assert len(seen) == 1
    head = seen[0][0].split("\n")
    assert head[0] == "nobody" and "root" not in head[1].split() and head[2] == mount.point
    assert head[3] == "new"
    assert set(paths(seen[0])) - {"templates"} == {"templates/a.html"} | {"templates/b%d.html" % i for i in range(5)}
    os.unlink(master.path("templates/b0.html"))
    wait_for(lambda: len(runs()) == 2, 15)
    assert "templates/b0.html" in paths(runs()[1])


def test_writes_of_this_mirror_run_nothing(site, runs):
    """What is written here is this server's own doing; what another mirror wrote came from the master."""
    master = site.master()
    mount = site.mount(master, on_change="uploads/*:" + runs.script, on_change_user="nobody", allow_other=True)
    other = site.mount(master, "slave2")
    write(mount.path("uploads/mine.txt"), "1")
    write(other.path("uploads/theirs.txt"), "2")
    wait_for(runs, 15)
    assert paths(runs()[0]) == ["uploads/theirs.txt"]


def test_due_command_survives_a_kill(site, runs):
    """A mount that is killed before its command ran runs it after the next mount."""
    master = site.master()
    write(master.path("templates/a.html"), "old")
    mount = site.mount(master, on_change="*.html:" + runs.script, on_change_user="nobody", allow_other=True)
    due = os.path.join(mount.cache, "on_change.due")
    write(master.path("templates/a.html"), "new")
    wait_for(lambda: os.path.exists(due), 10)
    mount.kill()
    assert runs() == []
    unmount(mount.point, lazy=True)
    mount.start()
    wait_for(runs, 15)
    assert runs()[0][1] == "*"
    wait_for(lambda: not os.path.exists(due), 5)


def test_failing_command_is_in_the_status(site, runs):
    """A command that fails makes the mount DEGRADED with its exit code until it works again."""
    master = site.master()
    flag = os.path.join(site.base, "works")
    mount = site.mount(master, on_change="css/*:test -e %s || exit 7" % flag, on_change_user="nobody")
    write(master.path("css/a.css"), "1")
    wait_for(lambda: mount.status()["state"] == "DEGRADED", 15)
    assert "'css/*' failed with exit code 7" in mount.status()["reason"]
    write(flag, "")
    os.chmod(flag, 0o644)
    write(master.path("css/a.css"), "2")
    wait_for(lambda: mount.status()["state"] == "OK", 15)


def test_umount_does_not_wait_for_the_command(site):
    """A command that runs is ended with the mount."""
    master = site.master()
    started = os.path.join(site.base, "started")
    mount = site.mount(master, on_change="*:touch %s; exec sleep 600" % started, on_change_user="root")
    write(master.path("a.txt"), "1")
    wait_for(lambda: os.path.exists(started), 15)
    mount.stop()
    assert mount.point not in mounts()


def test_dumps_are_not_named_to_others(site, runs):
    """Names below a private folder reach a command of its owner only."""
    master = site.master()
    site.mount(master, on_change="*:" + runs.script, on_change_user="nobody", allow_other=True)
    write(master.path("sql/slave1/secret.sql"), "1")
    write(master.path("a.txt"), "1")
    wait_for(runs, 15)
    assert "a.txt" in paths(runs()[0]) and "secret" not in runs()[0][1]


@pytest.mark.parametrize("options,text", [
    ({"on_change": "templates"}, "GLOB:COMMAND"), ({"on_change": ":x"}, "GLOB:COMMAND"),
    ({"on_change": "x:"}, "GLOB:COMMAND"), ({"on_change": "*:true", "on_change_user": ""}, "on_change_user"),
    ({"on_change": "*:true", "on_change_user": "no-such-user"}, "no-such-user")])
def test_wrong_options(site, options, text):
    """A hook that cannot run is refused before anything is mounted."""
    master = site.master()
    out = site.mount(master, start=False, **options).try_start()
    assert out.returncode == 1 and text in out.stderr


def test_roots_mount_needs_a_user(site):
    """Without on_change_user and uid, root's mount does not run commands as root by accident."""
    out = site.mount(site.master(), start=False, on_change="*:true").try_start()
    assert out.returncode == 1 and "on_change_user" in out.stderr
