# SPDX-License-Identifier: MIT
"""Command lines: help, typing errors, and what each program refuses before it does anything."""

import errno
import json
import os
import re
import subprocess

import pytest

from eefs import REPO, free_port, mounts, program, read, unmount, wait_for, write

PROGRAMS = ["eefs-master", "mount.eefs", "eefs-status", "eefs-dns", "eefs-sqldump", "eefs-sqlimport"]


@pytest.mark.san
@pytest.mark.parametrize("name", PROGRAMS)
def test_help(site, name):
    out = site.run(name, "--help")
    assert name in out.stdout
    assert not out.stderr


COMMANDS = [["eefs-master", word] for word in ("serve", "confirm", "mirror", "history", "restore", "adopt",
                                            "recover", "backup")]
COMMANDS += [[name] for name in PROGRAMS]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("form", ["-h", "--help", "--help=usage", "--help=json"])
def test_help_of_each_command(site, command, form):
    """Each form ends with 0, says who it is about, and writes lines that fit a terminal."""
    out = site.run(*command, form)
    assert " ".join(command) in out.stdout and not out.stderr
    if form != "--help=json":
        assert max(map(len, out.stdout.splitlines())) <= 80


def table_options():
    """(source file, option) of every row of an option table."""
    found = []
    for folder in ("sync", "fs", "sqlimport"):
        for base, _, names in os.walk(os.path.join(REPO, folder)):
            for path in (os.path.join(base, name) for name in names if name.endswith(".c")):
                text = read(path).decode()
                for table in re.findall(r"const struct opt \w+\[\] = \{(.*?)\n\};", text, re.S):
                    rows = re.findall(r'\.name = "([\w-]+)"|KERNEL\("(\w+)"|IGNORED\("(\w+)"', table)
                    found += [(os.path.relpath(path, REPO), "".join(row)) for row in rows]
    return found


def test_every_option_is_explained(site):
    """Every row of every table is in the help of its program and in options.md."""
    rows = table_options()
    assert len(rows) > 100 and len({path for path, _ in rows}) >= 6
    helps = "\n".join(site.run(*command, "--help").stdout for command in COMMANDS)
    page = read(os.path.join(REPO, "packaging", "doc", "options.md")).decode()
    for path, option in rows:
        word = r"(?<![\w-])(--)?%s(?![\w-])" % re.escape(option)
        assert re.search(word, helps), (path, option)
        assert re.search(word, page), (path, option)


def make(*args):
    env = {k: v for k, v in os.environ.items() if not k.startswith("MAKE") and k != "MFLAGS"}
    return subprocess.run(["make", "-s", *args], cwd=REPO, env=env, capture_output=True, text=True)


def test_options_md_is_current(site):
    """`make lint` fails when packaging/doc/options.md is not what the tables say."""
    built = "B=" + os.path.relpath(os.path.dirname(os.path.dirname(program("eefs-master"))), REPO)
    done = make("check-doc", built)
    assert done.returncode == 0, done.stdout + done.stderr
    stale = os.path.join(site.base, "options.md")
    write(stale, read(os.path.join(REPO, "packaging", "doc", "options.md")).replace(b"cache_size", b"size"))
    done = make("check-doc", built, "OPTIONS_MD=" + stale)
    assert done.returncode != 0 and "make doc" in done.stderr and "+| `cache_size" in done.stdout


def test_mount_options_are_shown_as_they_are_written(site):
    """token_file=FILE, as after -o, and never --token_file."""
    text = site.run("mount.eefs", "--help").stdout
    assert "\n  token_file=FILE " in text and "--token" not in text


@pytest.mark.parametrize("name", PROGRAMS)
def test_unknown_option(site, name):
    args = ["serve"] if name == "eefs-master" else []
    out = site.run(name, *args, "--nonsense", check=False)
    assert out.returncode in (1, 3), out  # 3: eefs-status knows nothing
    assert "nonsense" in out.stderr
    assert len(out.stderr.strip().splitlines()) <= 3


def test_typing_error_gets_a_suggestion(site):
    out = site.run("eefs-master", "serve", "--rot", "/tmp", check=False)
    assert out.returncode == 1
    assert "did you mean 'root'" in out.stderr


def test_serve_refuses_a_public_address(site):
    master = site.master(start=False)
    out = site.run("eefs-master", "serve", "--root", master.root, "--state", master.state,
                   "--listen", "0.0.0.0:%d" % master.port, check=False, timeout=20)
    assert out.returncode == 1
    assert "--insecure-http" in out.stderr


@pytest.mark.parametrize("listen", ["", "nonsense", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999",
                                    "127.0.0.1:0x50"])
def test_serve_refuses_a_bad_address(site, listen):
    master = site.master(start=False)
    out = site.run("eefs-master", "serve", "--root", master.root, "--state", master.state,
                   "--listen", listen, check=False, timeout=20)
    assert out.returncode == 1
    assert out.stderr.strip()


def test_serve_refuses_a_missing_root(site):
    master = site.master(start=False)
    os.rmdir(master.root)
    out = site.run("eefs-master", "serve", "--root", master.root, "--state", master.state,
                   "--listen", "127.0.0.1:%d" % master.port, check=False, timeout=20)
    assert out.returncode == 1
    assert master.root in out.stderr


def test_serve_refuses_a_busy_port(site):
    first = site.master("one")
    second = site.master("two", start=False)
    out = site.run("eefs-master", "serve", "--root", second.root, "--state", second.state,
                   "--listen", "127.0.0.1:%d" % first.port, check=False, timeout=20)
    assert out.returncode == 1
    assert str(first.port) in out.stderr


def test_second_serve_of_one_state_is_refused(site):
    master = site.master()
    out = site.run("eefs-master", "serve", "--root", master.root, "--state", master.state,
                   "--listen", "127.0.0.1:%d" % free_port(), check=False, timeout=20)
    assert out.returncode == 1
    assert master.state in out.stderr or master.root in out.stderr


def test_mirror_add_list_remove(site):
    """Works before the first serve; the token is shown once, with the line for fstab."""
    master = site.master(start=False)
    out = site.run("eefs-master", "mirror", "add", "slave1", "--state", master.state,
                   "--url", "https://master.example.org/")
    assert "https://master.example.org/ " in out.stdout
    assert " eefs " in out.stdout and "token_file=" in out.stdout
    token = site.run("eefs-master", "mirror", "add", "slave2", "--state", master.state,
                     "--token-only").stdout
    assert len(token.strip()) >= 32 and token.count("\n") == 1

    listed = site.run("eefs-master", "mirror", "list", "--state", master.state).stdout
    assert "slave1" in listed and "slave2" in listed and token.strip() not in listed
    for name in os.listdir(master.state):
        path = os.path.join(master.state, name)
        if os.path.isfile(path):
            assert token.strip().encode() not in read(path), "the token itself is stored in " + name

    out = site.run("eefs-master", "mirror", "add", "slave1", "--state", master.state, check=False)
    assert out.returncode == 1 and "slave1" in out.stderr
    site.run("eefs-master", "mirror", "remove", "slave1", "--state", master.state)
    assert "slave1" not in site.run("eefs-master", "mirror", "list", "--state", master.state).stdout
    out = site.run("eefs-master", "mirror", "remove", "slave1", "--state", master.state, check=False)
    assert out.returncode == 1 and "slave1" in out.stderr


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "x" * 300, "-x", "ä"])
def test_mirror_names(site, name):
    master = site.master(start=False)
    out = site.run("eefs-master", "mirror", "add", "--state", master.state, "--", name, check=False)
    assert out.returncode == 1
    assert out.stderr.strip()


@pytest.mark.parametrize("path", ["../up", "a/../b", "/..", "*", "/*", "uploads/*", "img/?.png", "x/" * 2001])
@pytest.mark.parametrize("option", ["--write", "--read"])
def test_scopes_that_cannot_be_paths(site, path, option):
    """A scope that names no path, or looks like a pattern, is refused with that text in the message."""
    master = site.master(start=False)
    out = site.run("eefs-master", "mirror", "add", "slave1", "--state", master.state,
                   option, path, check=False)
    assert out.returncode == 1
    assert option + " '" + path[:50] in out.stderr
    assert "slave1" not in site.run("eefs-master", "mirror", "list", "--state", master.state).stdout


@pytest.mark.parametrize("path,means", [
    ("/uploads", "uploads"), ("./uploads", "uploads"), ("uploads//", "uploads"), ("img//./a/", "img/a"),
    ("/", ""), (".", ""), ("./", ""), ("//", "")])
def test_scopes_as_people_write_them(site, path, means):
    """/uploads, ./uploads and uploads/ are uploads; / is the whole tree."""
    master = site.master(start=False)
    token = site.run("eefs-master", "mirror", "add", "slave1", "--state", master.state, "--token-only",
                     "--write", path, "--read", path).stdout.strip()
    assert "write " + (means or "/") in site.run(
        "eefs-master", "mirror", "list", "--state", master.state).stdout
    master.start()
    hello = master.get("/v1/hello", token=token).json()
    assert hello["write"] == hello["read"] == [means]


def test_the_whole_tree_as_a_scope(site):
    """A mirror with --write / writes at the top and in every folder; other mirrors' slots stay closed."""
    master = site.master()
    write(master.path("css/site.css"), "old")
    write(master.path("sql/slave2/ee.sql"), "dump")
    master.add_mirror("slave2")
    master.add_mirror("slave1", "--write", "/")
    mount = site.mount(master, "slave1")
    write(mount.path("top.txt"), "top")
    write(mount.path("css/site.css"), "new")
    os.mkdir(mount.path("folder"))
    os.rmdir(mount.path("folder"))
    assert read(master.path("top.txt")) == b"top" and read(master.path("css/site.css")) == b"new"
    assert os.listdir(mount.path("sql")) == []
    site.run("eefs-master", "mirror", "set", "slave1", "--state", master.state, "--write", "./uploads/")


    def refused():
        try:
            write(mount.path("top.txt"), "again")
        except OSError as error:
            return error.errno == errno.EROFS
        return False

    wait_for(refused, 15, "the narrower scope")
    write(mount.path("uploads/a.txt"), "a")
    assert read(master.path("uploads/a.txt")) == b"a"


def test_mirror_changes_while_serving(site):
    master = site.master()
    token = master.add_mirror("slave1")
    assert master.get("/v1/hello", token=token).json()["name"] == "slave1"
    site.run("eefs-master", "mirror", "remove", "slave1", "--state", master.state)
    assert master.get("/v1/hello", token=token).status == 401


@pytest.mark.parametrize("args", [[], ["http://127.0.0.1:1/"], ["a", "b", "c"]])
def test_mount_usage(site, args):
    out = site.run("mount.eefs", *args, check=False)
    assert out.returncode == 1
    assert out.stderr.strip()


@pytest.mark.parametrize("options, says", [
    ("cahce_size=1G", "cache_size"),
    ("cache_size=lots", "cache_size"),
    ("offline=maybe", "queue|fail"),
    ("umask=9", "umask"),
    ("uid=-1", "uid"),
    ("uid=nobody-of-that-name", "no user"),
    ("gid=4294967295", "gid"),
])
def test_mount_bad_options(site, options, says):
    mount = site.mount(site.master(), start=False)
    out = site.run("mount.eefs", mount.url, mount.point, "-o", mount.option_list() + "," + options,
                   check=False)
    assert out.returncode == 1
    assert says in out.stderr
    assert mount.point not in mounts()


def test_mount_sloppy_and_fstab_options(site):
    """What mount(8) passes on is ignored; -s forgives unknown options; -n and -v are fine."""
    mount = site.mount(site.master(), start=False)
    out = mount.try_start("-s", "-n", "-v", "-o", "rw,nodev,nosuid,noatime,user,nofail,_netdev,"
                          "auto,exec,relatime,x-systemd.automount,nonsense=1")
    assert out.returncode == 0, out.stderr
    assert mount.mounted()


def test_mount_fake(site):
    """-f goes through the motions but does not mount."""
    mount = site.mount(site.master(), start=False)
    out = mount.try_start("-f")
    assert out.returncode == 0, out.stderr
    assert mount.point not in mounts()


@pytest.mark.parametrize("spec", ["", "master", "ftp://127.0.0.1/", "http://", "http://:80/",
                                  "http://127.0.0.1:99999/"])
def test_mount_bad_spec(site, spec):
    mount = site.mount(site.master(), start=False)
    mount.url = spec
    out = mount.try_start()
    assert out.returncode in (1, 32)
    assert out.stderr.strip()
    assert mount.point not in mounts()


def test_mount_missing_token_option(site):
    mount = site.mount(site.master(), start=False)
    out = mount.try_start(token_file=None)
    assert out.returncode in (1, 32)
    assert "token" in out.stderr


def test_status_of_nothing(site):
    code, status = site.status()
    assert code == 3
    assert status["mounts"] == []
    text = site.run("eefs-status", check=False)
    assert text.returncode == 3 and (text.stdout + text.stderr).strip()
    assert site.run("eefs-status", "--timeout", "5s", "--wait", check=False).returncode == 3


@pytest.mark.san
def test_status_text_and_json(site):
    master = site.master()
    write(master.path("a.txt"), "a")
    mount = site.mount(master)
    mount.synced()
    code, status = site.status()
    assert code == 0, status
    one = status["mounts"][0]
    assert one["instance"] == "slave1" and one["mountpoint"] == mount.point
    assert one["state"] in ("OK", "SYNCING") and one["pending"] == 0
    assert status["masters"] and json.dumps(status["masters"]).count("slave1")
    text = site.run("eefs-status", check=False).stdout  # other mounts of the machine count too
    assert "slave1" in text and mount.point in text and one["state"] in text


@pytest.mark.long
def test_a_silent_mirror_is_told(site):
    """What a mirror said half a minute ago is not how it stands now."""
    master = site.master()
    master.add_mirror("slave2")  # not mounted yet: nothing to say of it
    mount = site.mount(master)
    wait_for(lambda: "OK" in [m["state"] for m in master.control()["mirrors"]], 15)
    assert master.control()["state"] == "OK"
    mount.kill()
    status = wait_for(lambda: (lambda c: c["state"] == "DEGRADED" and c)(master.control()), 60)
    assert "'slave1' was not heard of for 3" in status["reason"] and status["action"]
    assert "mirror   slave1: not heard of" in site.run("eefs-status", check=False).stdout
    unmount(mount.point)
    mount.start()
    wait_for(lambda: master.control()["state"] == "OK", 30)


def test_deps_runs_its_command():
    """packaging/deps.sh COMMAND installs what is missing and becomes COMMAND."""
    out = subprocess.run([os.path.join(REPO, "packaging", "deps.sh"),
                          "sh", "-c", "echo ran; exit 7"], capture_output=True, text=True)
    assert out.returncode == 7, out.stderr
    assert out.stdout.endswith("ran\n")


def test_install_layout(site):
    """make install puts every program, unit and configuration where packages expect them."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("MAKE") and k != "MFLAGS"}
    dest = os.path.join(site.base, "dest")
    subprocess.run(["make", "-s", "install", "DESTDIR=" + dest], cwd=REPO, env=env, check=True,
                   capture_output=True)
    for path in ["bin/eefs-master", "bin/eefs-status", "bin/eefs-sqldump", "bin/eefs-sqlimport",
                 "sbin/mount.eefs", "sbin/mount.fuse.eefs", "lib/systemd/system/eefs-master.service",
                 "lib/systemd/system/eefs-sqldump.timer",
                 "lib/systemd/system/eefs-sqlimport.service", "lib/sysusers.d/eefs.conf",
                 "lib/tmpfiles.d/eefs.conf"]:
        assert os.path.exists(os.path.join(dest, "usr", path)), path


DOC = os.path.join(REPO, "packaging", "doc")
README = os.path.join(REPO, "README.md")
PAGES = [README] + sorted(os.path.join(DOC, name) for name in os.listdir(DOC) if name.endswith(".md"))


def documented():
    """(program, option) of every command line in the documentation and in the units."""
    found = set()
    units = os.path.join(REPO, "packaging", "systemd")
    for path in PAGES + [os.path.join(units, name) for name in os.listdir(units)]:
        for line in read(path).decode().splitlines():
            for name in PROGRAMS:
                for command in re.findall(r"%s((?: [^`|]*)?)" % re.escape(name), line):
                    found |= {(name, option) for option in re.findall(r" --([a-z-]+)", command)}
    return sorted(found)


def test_readme_is_a_tutorial():
    """At most 200 lines, and it leads to every page of packaging/doc."""
    text = read(README).decode()
    assert len(text.splitlines()) <= 200
    for path in PAGES[1:]:
        assert "](packaging/doc/%s)" % os.path.basename(path) in text, path


def anchors(text):
    """The anchors of a page's headings, as GitHub makes them."""
    return {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in re.findall(r"(?m)^#+ (.*)$", text)}


@pytest.mark.parametrize("path", PAGES, ids=os.path.basename)
def test_links_of_the_documentation(path):
    """Every relative link leads to a file, and its anchor to a heading."""
    for link in re.findall(r"\]\(([^)]+)\)", read(path).decode()):
        target, _, anchor = link.partition("#")
        if target.startswith("http"):
            continue
        target = os.path.join(os.path.dirname(path), target) if target else path
        assert os.path.exists(target), link
        assert not anchor or anchor in anchors(read(target).decode()), link


def test_documented_long_options_exist(site):
    """Every --option that the documentation mentions is one of a program of ours (or of deps.sh, rsync, systemd, mysqldump)."""
    known = "\n".join(site.run(*command, "--help").stdout for command in COMMANDS)
    others = {"--compact", "--create", "--delete", "--help", "--now", "--packaging"}
    for path in PAGES:
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", read(path).decode()):
            assert option in others or re.search(re.escape(option) + r"(?![\w-])", known), (path, option)


@pytest.mark.parametrize("name, option", documented())
def test_documented_options_exist(site, name, option):
    assert "--" + option in site.run(name, "--help").stdout.replace("_", "-")


def test_documented_mount_options_exist(site):
    table = read(os.path.join(DOC, "mount.md")).decode()
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    names = {name for row in rows for name in re.findall(r"`([a-z_]+)=?", row)} - {"none"}
    names -= {"none", "GLOB"}
    shown = site.run("mount.eefs", "--help").stdout
    assert len(names) > 10
    assert not [name for name in names if name not in shown]


def test_documented_targets_exist():
    env = {k: v for k, v in os.environ.items() if not k.startswith("MAKE") and k != "MFLAGS"}
    known = subprocess.run(["make", "-s", "help"], cwd=REPO, env=env, capture_output=True, text=True,
                           check=True).stdout
    known = {line.split()[0] for line in known.splitlines()}
    text = read(README).decode()
    used = set(re.findall(r"(?m)^    (?:sudo (?:packaging/deps.sh )?)?make ([a-z-]+)", text))
    assert used and used <= known, used - known
