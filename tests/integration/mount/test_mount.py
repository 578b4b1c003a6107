# SPDX-License-Identifier: MIT
"""mount.eefs in good times: what the mount shows, live changes, write-through, restart."""

import errno
import hashlib
import os
import shutil
import stat
import subprocess
import threading
import time

import pytest

from eefs import SCOPE, SLOW, mounts, read, tree, unmount, wait_for, write


def fill(master):
    write(master.path("templates/default_site/index.group/index.html"), "<h1>{title}</h1>")
    write(master.path("css/a.css"), "body{}")
    write(master.path("img/logo.png"), os.urandom(50_000))
    write(master.path("uploads/old.txt"), "old")
    write(master.path("uploads/deep/er/file.bin"), os.urandom(300_000))
    write(master.path("empty.txt"), "")
    os.symlink("css/a.css", master.path("link.css"))
    os.symlink("/nowhere/at all", master.path("dangling"))
    os.utime(master.path("css/a.css"), ns=(1, 1_234_567_890_123_456_789))
    os.chmod(master.path("css/a.css"), 0o640)
    os.mkdir(master.path("empty.dir"), 0o750)
    for name in ("sql/slave1", "sql/slave2"):
        write(master.path(name, "site.sql"), "-- " + name)


@pytest.fixture
def master(site):
    master = site.master(start=False)
    fill(master)
    master.add_mirror("slave2")
    return master.start()


@pytest.fixture
def mount(site, master):
    return site.mount(master)


def shown(condition, what=None):
    """A remote change must be seen soon."""
    return wait_for(condition, 5, what)


@pytest.mark.san
def test_the_mount_is_the_folder(master, mount):
    def public(top, scope=None):
        return {p: v for p, v in tree(top, scope=scope).items() if not p.startswith(b"sql")}

    assert public(mount.point) == public(master.root, SCOPE)
    assert read(mount.path("sql/slave1/site.sql")) == b"-- sql/slave1"
    assert not os.path.exists(mount.path(".eefs"))
    assert not os.path.exists(mount.path("sql/slave2"))
    st = os.stat(mount.path("css/a.css"))
    assert st.st_mtime_ns == 1_234_567_890_123_456_789 and st.st_size == 6
    assert os.statvfs(mount.point).f_bsize > 0
    assert mounts()[mount.point] == "fuse.eefs"


def test_odd_names(site):
    master = site.master(start=False)
    names = [b"sp ace", b"caf\xe9", b"\xff\xfe", b"new\nline", b'"quote"', b"back\\slash", b"%41", b"a" * 255,
             "ü".encode(), "u\u0308".encode(), b"-rf", b"CASE", b"case", b"*", b"...", b".hidden"]
    for name in names:
        write(os.path.join(os.fsencode(master.root), b"uploads", name), name)
    mount = site.mount(master.start())
    assert tree(mount.point) == tree(master.root, scope=SCOPE)
    for name in names:
        path = os.path.join(os.fsencode(mount.point), b"uploads", name + b"2" if len(name) < 255
                            else b"b" * 255)
        write(path, b"from the mirror")
    mount.synced()
    assert tree(mount.point) == tree(master.root, scope=SCOPE)


@pytest.mark.san
def test_changes_of_the_master_are_seen(master, mount):
    path = "templates/default_site/index.group/index.html"
    assert read(mount.path(path)) == b"<h1>{title}</h1>"
    assert not os.path.exists(mount.path("css/new.css"))  # a cached "not found"
    os.listdir(mount.path("css"))  # a cached listing

    write(master.path(path), "<h2>{title}</h2>")
    shown(lambda: read(mount.path(path)) == b"<h2>{title}</h2>")
    write(master.path("css/new.css"), "p{}")
    shown(lambda: os.path.exists(mount.path("css/new.css")))
    assert read(mount.path("css/new.css")) == b"p{}"
    assert sorted(os.listdir(mount.path("css"))) == ["a.css", "new.css"]

    os.unlink(master.path("css/new.css"))
    shown(lambda: not os.path.exists(mount.path("css/new.css")))
    assert os.listdir(mount.path("css")) == ["a.css"]
    os.rename(master.path("css"), master.path("style"))
    shown(lambda: os.path.exists(mount.path("style/a.css")) and not os.path.exists(mount.path("css")))
    os.chmod(master.path("style/a.css"), 0o604)
    shown(lambda: os.stat(mount.path("style/a.css")).st_mode & 0o7777 == 0o404)  # nothing is written there
    os.unlink(master.path("link.css"))
    os.symlink("style/a.css", master.path("link.css"))
    shown(lambda: os.path.lexists(mount.path("link.css"))
          and os.readlink(mount.path("link.css")) == "style/a.css")
    shutil.rmtree(master.path("img"))
    shown(lambda: not os.path.exists(mount.path("img")))
    write(master.path("img"), "a file now")
    shown(lambda: os.path.isfile(mount.path("img")))


def test_an_open_file_keeps_its_bytes(master, mount):
    old = read(master.path("img/logo.png"))
    with open(mount.path("img/logo.png"), "rb", buffering=0) as f:
        head = f.read(1000)
        write(master.path("img/logo.png.tmp"), b"\0" * 60_000)
        os.rename(master.path("img/logo.png.tmp"), master.path("img/logo.png"))
        shown(lambda: os.stat(mount.path("img/logo.png")).st_size == 60_000)
        assert read(mount.path("img/logo.png")) == b"\0" * 60_000
        rest = b""
        while chunk := f.read(65536):
            rest += chunk
        assert head + rest == old


@pytest.mark.san
def test_no_reader_sees_a_mix(master, mount):
    """While the master rewrites a file, each read is one whole version."""
    def version(i):
        return (b"%06d" % i) * 5000

    write(master.path("css/mix.css"), version(0))
    shown(lambda: os.path.exists(mount.path("css/mix.css")))
    bad, stop = [], threading.Event()

    def reader():
        while not stop.is_set():
            try:
                data = read(mount.path("css/mix.css"))
            except OSError as error:
                bad.append(error)
                return
            if len(data) != 30_000 or data != data[:6] * 5000:
                bad.append(data[:20])
                return

    threads = [threading.Thread(target=reader) for _ in range(3)]
    for t in threads:
        t.start()
    for i in range(1, 40):
        write(master.path("css/.tmp"), version(i))
        os.rename(master.path("css/.tmp"), master.path("css/mix.css"))
        if i % 8 == 0:
            wait_for(lambda: bad or read(mount.path("css/mix.css")) == version(i), 10)
    try:
        wait_for(lambda: bad or read(mount.path("css/mix.css")) == version(39), 10)
    finally:
        stop.set()
        for t in threads:
            t.join()
    assert not bad


@pytest.mark.san
def test_write_through(master, mount):
    """When close() has returned, the master has it."""
    picture = os.urandom(400_000)
    write(mount.path("uploads/new.jpg"), picture)
    assert read(master.path("uploads/new.jpg")) == picture
    assert read(mount.path("uploads/new.jpg")) == picture
    write(mount.path("uploads/new.jpg"), b"shorter")
    assert read(master.path("uploads/new.jpg")) == b"shorter"
    with open(mount.path("uploads/new.jpg"), "ab") as f:
        f.write(b" and appended")
    assert read(master.path("uploads/new.jpg")) == b"shorter and appended"
    with open(mount.path("uploads/new.jpg"), "r+b") as f:
        f.seek(8)
        f.write(b"AND")
        f.truncate(11)
    assert read(master.path("uploads/new.jpg")) == b"shorter AND"
    os.truncate(mount.path("uploads/new.jpg"), 3)
    mount.synced()
    assert read(master.path("uploads/new.jpg")) == b"sho"
    write(mount.path("uploads/empty"), b"")
    mount.synced()
    assert read(master.path("uploads/empty")) == b""
    fd = os.open(mount.path("uploads/synced"), os.O_CREAT | os.O_WRONLY)
    os.write(fd, b"fsync")
    os.fsync(fd)
    assert read(master.path("uploads/synced")) == b"fsync"
    os.close(fd)


@pytest.mark.san
def test_namespace_operations(master, mount):
    os.mkdir(mount.path("uploads/dir"), 0o750)
    write(mount.path("uploads/dir/a"), "a")
    os.rename(mount.path("uploads/dir/a"), mount.path("uploads/dir/b"))
    os.rename(mount.path("uploads/dir"), mount.path("uploads/renamed"))
    os.symlink("renamed/b", mount.path("uploads/link"))
    assert read(mount.path("uploads/link")) == b"a"
    os.chmod(mount.path("uploads/renamed/b"), 0o600)
    os.utime(mount.path("uploads/renamed/b"), ns=(1, 1_400_000_000_987_654_321))
    write(mount.path("uploads/renamed/c"), "c")
    os.replace(mount.path("uploads/renamed/c"), mount.path("uploads/old.txt"))
    os.unlink(mount.path("uploads/deep/er/file.bin"))
    os.rmdir(mount.path("uploads/deep/er"))
    mount.synced()
    st = os.stat(master.path("uploads/renamed/b"))
    assert st.st_mode & 0o7777 == 0o600 and st.st_mtime_ns == 1_400_000_000_987_654_321
    assert read(master.path("uploads/old.txt")) == b"c"
    assert sorted(os.listdir(master.path("uploads/renamed"))) == ["b"]
    assert os.listdir(master.path("uploads/deep")) == []
    assert tree(mount.path("uploads")) == tree(master.path("uploads"))
    for call, path, code in [
            (os.rmdir, "uploads/renamed", errno.ENOTEMPTY), (os.rmdir, "uploads/none", errno.ENOENT),
            (os.unlink, "uploads/none", errno.ENOENT), (os.unlink, "uploads/renamed", errno.EISDIR),
            (os.rmdir, "uploads/old.txt", errno.ENOTDIR), (os.mkdir, "uploads/renamed", errno.EEXIST)]:
        with pytest.raises(OSError) as error:
            call(mount.path(path))
        assert error.value.errno == code, (call, path)
    with pytest.raises(FileExistsError):
        os.open(mount.path("uploads/old.txt"), os.O_CREAT | os.O_EXCL | os.O_WRONLY)


def test_deleted_while_open(master, mount):
    with open(mount.path("uploads/old.txt"), "rb") as f:
        os.unlink(mount.path("uploads/old.txt"))
        assert f.read() == b"old"
    with open(mount.path("uploads/temp"), "w+b") as f:
        os.unlink(mount.path("uploads/temp"))
        f.write(b"nobody sees this")
        f.flush()
        f.seek(0)
        assert f.read() == b"nobody sees this"
    mount.synced()
    assert sorted(os.listdir(master.path("uploads"))) == ["deep"]


@pytest.mark.san
def test_outside_the_write_scope(master, mount):
    calls = [lambda: write(mount.path("css/x.css"), "x"), lambda: write(mount.path("css/a.css"), "x"),
             lambda: os.unlink(mount.path("css/a.css")), lambda: os.mkdir(mount.path("new")),
             lambda: os.rmdir(mount.path("empty.dir")), lambda: os.chmod(mount.path("css/a.css"), 0o600),
             lambda: os.utime(mount.path("css/a.css")), lambda: os.symlink("x", mount.path("css/l")),
             lambda: os.rename(mount.path("css/a.css"), mount.path("uploads/a.css")),
             lambda: os.rename(mount.path("uploads/old.txt"), mount.path("css/old.txt")),
             lambda: os.truncate(mount.path("css/a.css"), 0),
             lambda: os.rename(mount.path("uploads"), mount.path("elsewhere"))]
    before = tree(master.root)
    for i, call in enumerate(calls):
        with pytest.raises(OSError) as error:
            call()
        assert error.value.errno in (errno.EROFS, errno.EXDEV), (i, error.value)
    mount.synced()
    assert tree(master.root) == before


def test_own_slot_is_writable(master, mount):
    os.unlink(mount.path("sql/slave1/site.sql"))
    mount.synced()
    assert os.listdir(master.path("sql/slave1")) == []


@pytest.mark.san
def test_two_mirrors(site, master, mount):
    other = site.mount(master, "slave2")
    picture = os.urandom(123_456)
    write(mount.path("uploads/p.png"), picture)
    shown(lambda: os.path.exists(other.path("uploads/p.png")))
    assert read(other.path("uploads/p.png")) == picture
    os.unlink(other.path("uploads/p.png"))
    shown(lambda: not os.path.exists(mount.path("uploads/p.png")))
    assert not os.path.exists(other.path("sql/slave1"))
    assert os.path.exists(other.path("sql/slave2/site.sql"))


def test_as_expressionengine_writes(master, mount):
    """PHP's way: open without O_TRUNC, flock, truncate, write, close, chmod twice; copies, backups."""
    script = """
    $dir = $argv[1];
    mkdir("$dir/gallery", 0755); chmod("$dir/gallery", 0777);
    file_put_contents("$dir/gallery/index.html", "");
    for ($i = 0; $i < 3; $i++) {
        $f = fopen("$dir/gallery/a.html", "c+");
        flock($f, LOCK_EX); ftruncate($f, 0);
        fwrite($f, "version $i\\n"); fflush($f); flock($f, LOCK_UN); fclose($f);
        chmod("$dir/gallery/a.html", 0644); chmod("$dir/gallery/a.html", 0666);
    }
    copy(__DIR__ . "/" . basename($argv[2]), "$dir/gallery/pic.png");
    rename("$dir/gallery/pic.png", "$dir/gallery/pic.png.backup");
    copy($argv[2], "$dir/gallery/pic.png"); unlink("$dir/gallery/pic.png.backup");
    rename("$dir/gallery", "$dir/gallery2");
    foreach (scandir("$dir/gallery2") as $n) if ($n[0] != ".") echo "$n ";
    """
    source = os.path.join(mount.site.base, "pic.png")
    write(source, os.urandom(70_000))
    out = subprocess.run(["php", "-r", script.replace('__DIR__ . "/" . basename($argv[2])', "$argv[2]"),
                          "--", mount.path("uploads"), source], capture_output=True, text=True,
                         timeout=60)
    assert out.returncode == 0 and not out.stderr, out
    assert out.stdout == "a.html index.html pic.png "
    mount.synced()
    assert read(master.path("uploads/gallery2/a.html")) == b"version 2\n"
    assert os.stat(master.path("uploads/gallery2/a.html")).st_mode & 0o777 == 0o666
    assert read(master.path("uploads/gallery2/pic.png")) == read(source)
    assert tree(mount.path("uploads")) == tree(master.path("uploads"))


@pytest.mark.san
def test_many_writers(master, mount):
    """Several processes' worth of writers at once; all of it arrives."""
    errors = []

    def writer(k):
        try:
            for i in range(15):
                write(mount.path("uploads/w%d/%d.txt" % (k, i)), "%d-%d" % (k, i) * 100)
                if i % 3 == 0:
                    os.rename(mount.path("uploads/w%d/%d.txt" % (k, i)),
                              mount.path("uploads/w%d/r%d.txt" % (k, i)))
        except OSError as error:
            errors.append(error)

    threads = [threading.Thread(target=writer, args=(k,)) for k in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors
    mount.synced()
    assert tree(mount.path("uploads")) == tree(master.path("uploads"))
    assert mount.status()["pending"] == 0


def test_a_large_file(master, mount):
    data = os.urandom(1 << 20) * 40
    write(mount.path("uploads/large.bin"), data)
    assert hashlib.sha256(read(master.path("uploads/large.bin"))).digest() == \
        hashlib.sha256(data).digest()
    write(master.path("img/large.bin"), data[::-1])
    shown(lambda: os.path.exists(mount.path("img/large.bin")))
    assert read(mount.path("img/large.bin")) == data[::-1]


def test_a_thousand_files_at_once(site, master, mount):
    for i in range(1000):
        write(master.path("css/many/%d/%d.css" % (i % 10, i)), "x%d" % i)
    wait_for(lambda: len(tree(mount.path("css/many"))) == 1010 if os.path.isdir(mount.path("css/many"))
             else False, 30)
    assert tree(mount.path("css")) == tree(master.path("css"), scope=())
    shutil.rmtree(master.path("css/many"))  # nearly everything: held until it is confirmed
    wait_for(lambda: "deletions are held" in master.process.log(), 20)
    site.run("eefs-master", "confirm", "--state", master.state)
    wait_for(lambda: not os.path.exists(mount.path("css/many")), 20)


@pytest.mark.san
def test_remount_serves_from_the_replica_without_the_master(site, master, mount):
    want = tree(mount.point)  # everything is fetched now
    mount.stop()
    assert mount.point not in mounts()
    master.stop()
    mount.start()
    assert tree(mount.point) == want
    _, status = site.status()
    assert status["mounts"][0]["state"] in ("ISOLATED", "SYNCING")
    write(master.path("css/later.css"), "later")
    master.start()
    wait_for(lambda: os.path.exists(mount.path("css/later.css")), 20)


def test_remount_after_changes_of_both_kinds(site, master, mount):
    mount.stop()
    os.unlink(master.path("css/a.css"))
    write(master.path("css/b.css"), "b")
    write(master.path("uploads/old.txt"), "newer")
    mount.start()
    wait_for(lambda: os.path.exists(mount.path("css/b.css")), 10)
    wait_for(lambda: not os.path.exists(mount.path("css/a.css")), 10)  # deletions come a moment later
    wait_for(lambda: read(mount.path("uploads/old.txt")) == b"newer", 10)


def test_as_mount8_calls_it(site, master):
    """Daemonises, exits 0 when the mount is ready; umount ends the daemon."""
    mount = site.mount(master, start=False)
    out = mount.try_start()
    assert out.returncode == 0, out.stderr
    assert mount.mounted()
    assert read(mount.path("css/a.css")) == b"body{}"  # ready means ready
    write(mount.path("uploads/x"), "x")
    assert read(master.path("uploads/x")) == b"x"
    assert unmount(mount.point)
    wait_for(lambda: not list(p for p in site._strays() if b"mount.eefs" in
                              read("/proc/%d/cmdline" % p)), 15, "daemon gone")


def test_sigterm_unmounts(mount):
    mount.process.stop()
    assert mount.point not in mounts()


@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
def test_sigterm_unmounts_where_connections_can_be_aborted(site, master):
    """With fusectl, as on every machine with systemd; in a mount namespace of its own."""
    mount = site.mount(master, start=False)
    script = """
        point=$1; shift
        control=/sys/fs/fuse/connections
        grep -q " $control fusectl " /proc/self/mounts || mount -t fusectl none $control || exit 7
        mounted() { grep -q " $point fuse.eefs " /proc/self/mounts; }
        "$@" & pid=$!
        until mounted; do kill -0 $pid || exit 8; sleep 0.05; done
        until ls "$point/css" >/dev/null; do kill -0 $pid || exit 8; sleep 0.05; done
        kill -TERM $pid; wait $pid; code=$?
        mounted && exit 9
        exit $code"""
    out = subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", mount.point,
                          *mount.argv(foreground=True)], capture_output=True, text=True,
                         timeout=60 * SLOW, env=site.env(None))
    assert out.returncode == 0, (out.returncode, out.stderr)


def test_read_only(site, master):
    mount = site.mount(master, ro=True)
    assert read(mount.path("css/a.css")) == b"body{}"
    with pytest.raises(OSError) as error:
        write(mount.path("uploads/x"), "x")
    assert error.value.errno == errno.EROFS


def test_owner_and_umask(site, master):
    mount = site.mount(master, uid=12345, gid=23456, umask="027", allow_other=True)
    st = os.stat(mount.path("uploads/old.txt"))
    assert (st.st_uid, st.st_gid) == (12345, 23456)
    assert st.st_mode & 0o027 == 0


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to become another user")
def test_private_subtree(site, master):
    """private=sql:root: the web user sees neither dumps nor their names; root does."""
    mount = site.mount(master, private="sql:root", allow_other=True)

    def as_nobody(code):
        return subprocess.run(["python3", "-c", "import os,sys\nos.setgid(65534)\nos.setuid(65534)\n"
                               + code, mount.point], capture_output=True, text=True)

    assert as_nobody("print(open(sys.argv[1]+'/css/link' if 0 else sys.argv[1]+'/empty.txt').read())"
                     ).returncode == 0
    for code in ("os.listdir(sys.argv[1]+'/sql')", "open(sys.argv[1]+'/sql/slave1/site.sql')",
                 "os.stat(sys.argv[1]+'/sql/slave1/site.sql')"):
        out = as_nobody(code)
        assert out.returncode != 0 and "PermissionError" in out.stderr, (code, out.stderr)
    assert read(mount.path("sql/slave1/site.sql")) == b"-- sql/slave1"


def cached_bytes(mount):
    return sum(os.lstat(os.path.join(top, name)).st_blocks * 512
               for top, _, names in os.walk(mount.cache) for name in names
               if not name.endswith((".db", ".db-wal", ".db-shm", "reserve")))


def test_prefetch(site, master):
    everything = site.mount(master, "slave1", prefetch="all")
    wait_for(lambda: cached_bytes(everything) >= 350_000, 15, "all prefetched")
    nothing = site.mount(master, "slave2", prefetch="none")
    assert cached_bytes(nothing) < 50_000
    master.stop()  # what is not cached cannot be read, what is can
    assert len(read(everything.path("uploads/deep/er/file.bin"))) == 300_000
    with pytest.raises(OSError) as error:
        read(nothing.path("uploads/deep/er/file.bin"))
    assert error.value.errno in (errno.EIO, errno.EHOSTUNREACH, errno.ETIMEDOUT)


def test_cache_size(site, master):
    for i in range(20):
        write(master.path("img/%d.bin" % i), os.urandom(1 << 20))
    mount = site.mount(master, cache_size="4M", prefetch="none")
    wait_for(lambda: len(os.listdir(mount.path("img"))) == 21)
    for i in range(20):
        assert read(mount.path("img/%d.bin" % i)) == read(master.path("img/%d.bin" % i))
    wait_for(lambda: cached_bytes(mount) <= 6 << 20, 20, "evicted down to cache_size")
    for i in range(20):
        assert read(mount.path("img/%d.bin" % i)) == read(master.path("img/%d.bin" % i))


def test_status_wait_covers_namespace_operations(site, master, mount):
    for i in range(30):
        os.mkdir(mount.path("uploads/d%d" % i))
    mount.synced()
    assert len([n for n in os.listdir(master.path("uploads")) if n.startswith("d")]) == 31


def test_one_hundred_edits_are_seen_quickly(master, mount):
    """Not a benchmark: only that nothing is found by polling every second."""
    path = "css/edit.css"
    write(master.path(path), "start")
    shown(lambda: os.path.exists(mount.path(path)))
    begin = time.monotonic()
    for i in range(20):
        write(master.path(path), "edit %d" % i)
        shown(lambda: read(mount.path(path)) == b"edit %d" % i)
    assert time.monotonic() - begin < 6 * SLOW
    assert stat.S_ISREG(os.stat(mount.path(path)).st_mode)


def test_contents_that_stay_open_leave_descriptors_to_those_in_use(site, master, monkeypatch):
    """The daemon keeps the contents of closed files open; they never use up what open files need."""
    for i in range(450):
        write(master.path("img/%03d" % i), "%d" % i)
    wait_for(lambda: "img/449" in master.listing(), 20)
    mount = site.mount(master, start=False)
    argv = mount.argv
    monkeypatch.setattr(mount, "argv", lambda **more: ["prlimit", "--nofile=400:400"] + argv(**more))
    mount.start()
    for i in range(200):
        assert read(mount.path("img/%03d" % i)) == b"%d" % i
    held = [open(mount.path("img/%03d" % i), "rb") for i in range(200, 450)]
    assert [f.read() for f in held] == [b"%d" % i for i in range(200, 450)]
    status = mount.status()
    assert status["state"] == "OK" and not status["errors"], status
    for f in held:
        f.close()


def test_a_content_larger_than_the_cache(site, master):
    """It goes as soon as nobody has it open, and before what is small; until then status says why it stays."""
    write(master.path("img/large.bin"), os.urandom(20 << 20))
    for i in range(8):
        write(master.path("img/small%d.bin" % i), os.urandom(300 << 10))
    wait_for(lambda: "img/small7.bin" in master.listing(), 20)
    mount = site.mount(master, "large", cache_size="4M", prefetch="none")
    for i in range(8):
        read(mount.path("img/small%d.bin" % i))
    with open(mount.path("img/large.bin"), "rb") as f:
        f.read(1)
        status = wait_for(lambda: (lambda s: s["cache_open"] >= 20 << 20 and s)(mount.status()), 20)
        assert status["cache_used"] > status["cache_limit"] and status["state"] == "OK"
        assert "MiB are open in programs" in site.run("eefs-status", mount.point, check=False).stdout
    wait_for(lambda: mount.status()["cache_used"] < 4 << 20, 30)
    objects = [os.path.getsize(os.path.join(top, name)) for top, _, names in os.walk(mount.cache + "/objects")
               for name in names]
    assert sum(size == 300 << 10 for size in objects) >= 8, "what is used stays"
