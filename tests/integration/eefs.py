# SPDX-License-Identifier: MIT
"""A harness for real eefs programs on loopback: masters, mounts and links between them, everything
in one private folder. Used by the tests, the demo and the benchmark.

    site = Site()
    master = site.master()                  # folder site.base/master, `eefs-master serve`
    mount = site.mount(master, "slave1")    # token, cache, mountpoint, mount.eefs
    ...
    site.stop_all(); site.remove()

Nothing here sleeps for a fixed time: wait_for() polls a condition. Only processes and mounts that
the site started are ended, by their ids and mountpoints.
"""

import hashlib
import http.client
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(os.path.dirname(HERE))
BIN = os.path.abspath(os.environ.get("EEFS_BIN") or os.path.join(REPO, "build", "bin"))
SANITIZED = "/san-" in BIN
SLOW = 4 if SANITIZED else 1  # sanitizer builds get more time

SUSPICIOUS = re.compile(
    r"ERROR: (Address|Leak|Thread)Sanitizer|WARNING: ThreadSanitizer|runtime error:"
    r"|Assertion .* failed|\bleaked\b")


def program(name):
    return os.path.join(BIN, name)


SCOPE = ("uploads", "sql/slave1")  # what slave1 may write unless the test says otherwise


class Timeout(AssertionError):
    pass


def wait_for(condition, timeout=10, what=None):
    """Polls until condition() is true and returns its value; what OSError it raises meanwhile
    counts as "not yet"."""
    end = time.monotonic() + timeout * SLOW
    pause, last = 0.001, None
    while True:
        try:
            value = condition()
            if value:
                return value
            last = value
        except OSError as error:
            last = error
        if time.monotonic() > end:
            raise Timeout("not within %g s: %s (last: %r)" % (timeout, what or condition, last))
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def away(mount):
    """Waits until the mount knows that its master cannot be reached."""
    wait_for(lambda: mount.status()["state"] == "ISOLATED", 30, "away")


def back(mount):
    """Waits until it is in contact again and has sent what was kept."""
    wait_for(lambda: mount.status()["link"] == "up", 30, "back")
    mount.synced()


def content_name(data):
    return "s2-" + hashlib.sha256(data).hexdigest()


def read(path):
    with open(path, "rb") as f:
        return f.read()


def write(path, data, mode="wb"):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, mode) as f:
        f.write(data if isinstance(data, bytes) else data.encode())


def tree(top, skip=(b".eefs",), scope=None):
    """{path: (type, mode, mtime_ns, content or target)} of a folder, paths as bytes; devices,
    sockets and named pipes are left out. With `scope`, paths that a mirror may write: of a master's
    folder, with the modes that this mirror shows."""
    top = os.fsencode(top)
    found = {}

    def shown(path, mode):
        inside = scope is None or any((path + b"/").startswith(s.encode() + b"/") for s in scope)
        return mode & (0o7777 if inside else 0o7555)

    def walk(prefix):
        for entry in os.scandir(os.path.join(top, prefix)):
            path = os.path.join(prefix, entry.name)
            if path in skip:
                continue
            st = entry.stat(follow_symlinks=False)
            if entry.is_symlink():
                found[path] = ("link", None, None, os.readlink(entry.path))
            elif entry.is_dir():
                found[path] = ("dir", shown(path, st.st_mode), None, None)
                walk(path)
            elif entry.is_file():
                found[path] = ("file", shown(path, st.st_mode), st.st_mtime_ns, read(entry.path))

    walk(b"")
    return found


def mounts():
    """{mountpoint: type} as the kernel tells, without touching any mount."""
    table = {}
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as f:
        for line in f:
            left, right = line.rstrip("\n").split(" - ", 1)
            point = re.sub(r"\\(\d{3})", lambda m: chr(int(m.group(1), 8)), left.split(" ")[4])
            table[point] = right.split(" ")[0]
    return table


def unmount(point, lazy=False):
    """umount(8) for root, fusermount3 for others. True when it worked."""
    command = ["umount"] if os.getuid() == 0 else ["fusermount3", "-u"]
    if lazy:
        command += ["-l" if os.getuid() == 0 else "-z"]
    return subprocess.run(command + [point], capture_output=True, timeout=30).returncode == 0


class Process:
    """A child with its output in a log file."""

    def __init__(self, name, argv, log, env=None, **popen):
        self.name, self.log_path = name, log
        self.argv = argv
        self.log_file = open(log, "ab")
        self.popen = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=self.log_file,
                                      stderr=subprocess.STDOUT, env=env, **popen)
        self.log_file.close()

    @property
    def pid(self):
        return self.popen.pid

    def log(self):
        return read(self.log_path).decode(errors="replace")

    def threads(self):
        """Their names, each with the number of the system call that it is in."""
        tasks = "/proc/%d/task" % self.pid
        return ["%s %s" % (read("%s/%s/comm" % (tasks, t)).decode().strip(),
                           read("%s/%s/syscall" % (tasks, t)).decode().split()[0])
                for t in os.listdir(tasks)]

    def running(self):
        return self.popen.poll() is None

    def signal(self, number):
        if self.running():
            self.popen.send_signal(number)

    def kill(self):
        self.signal(signal.SIGKILL)
        self.popen.wait(30)

    def stop(self, timeout=15):
        """SIGTERM, and SIGKILL when it does not end; returns the exit code."""
        self.signal(signal.SIGTERM)
        try:
            return self.popen.wait(timeout * SLOW)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError("%s did not stop within %g s after SIGTERM" % (self.name, timeout))


class Answer:
    """One HTTP answer."""

    def __init__(self, response):
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        """The short machine-readable error code."""
        return self.json()["code"]

    def lines(self):
        return [json.loads(line) for line in self.body.splitlines()]


class Master:
    """`eefs-master serve` of one folder."""

    def __init__(self, site, name="master"):
        self.site, self.name = site, name
        self.root = os.path.join(site.base, name)
        self.state = os.path.join(site.base, name + ".state")
        self.port = free_port()
        self.process = None
        self.tokens = {}
        self.options = []  # more options of `serve`
        self.wrapper = []  # a command that runs it
        os.makedirs(self.root, exist_ok=True)

    @property
    def url(self):
        return "http://127.0.0.1:%d/" % self.port

    def start(self, env=None, wait=True):
        argv = [*self.wrapper, program("eefs-master"), "serve", "--root", self.root, "--state",
                self.state, "--listen", "127.0.0.1:%d" % self.port, "--rundir", self.site.rundir,
                *self.options]
        self.process = self.site.spawn(self.name, argv, env)
        if wait:
            wait_for(self.healthy, 15, "master healthy; its log:\n" + self.process.log())
        return self

    def healthy(self):
        if not self.process.running():
            raise AssertionError("eefs-master ended with %s:\n%s"
                                 % (self.process.popen.returncode, self.process.log()))
        try:
            return self.get("/healthz", token=None).status == 200
        except (OSError, http.client.HTTPException):
            return False

    def stop(self):
        code = self.process.stop()
        assert code == 0, "eefs-master exited with %d:\n%s" % (code, self.process.log())

    def kill(self):
        self.process.kill()

    def add_mirror(self, name, *options):
        """Returns the token."""
        out = self.site.run("eefs-master", "mirror", "add", name, "--state", self.state,
                            "--token-only", *options)
        self.tokens[name] = out.stdout.strip()
        assert self.tokens[name]
        return self.tokens[name]

    def path(self, *parts):
        return os.path.join(self.root, *parts)

    def control(self, cmd="status"):
        """What the control socket answers."""
        names = [n for n in os.listdir(self.site.rundir) if n.startswith("master-")]
        if not names:
            raise FileNotFoundError("no master's control socket yet")
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10 * SLOW)
            s.connect(os.path.join(self.site.rundir, names[0]))
            s.sendall(json.dumps({"cmd": cmd}).encode() + b"\n")
            return json.loads(s.makefile().readline())

    # --- raw requests ---

    def request(self, method, path, token="", body=None, headers=None, timeout=30):
        """token: "" takes any added mirror's, None sends none."""
        if token == "":
            token = next(iter(self.tokens.values()))
        headers = dict(headers or {})
        if token is not None:
            headers["Authorization"] = "Bearer " + token
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout * SLOW)
        try:
            try:
                connection.request(method, path, body, headers)
            except BrokenPipeError:
                pass  # refused before the whole body was sent: the answer is there
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def get(self, path, **more):
        return self.request("GET", path, **more)

    def changes(self, since=None, token="", **query):
        """Follows a page set to its commit line: ([entries], cursor)."""
        entries, cursor = [], since or ""
        while True:
            args = dict(query, since=cursor)
            answer = self.get("/v1/changes?" + "&".join("%s=%s" % kv for kv in args.items()),
                              token=token, timeout=70)
            assert answer.status == 200, (answer.status, answer.body)
            *lines, last = answer.lines()
            entries += lines
            if "commit" in last:
                return entries, last["commit"]
            cursor = last["more"]

    def ops(self, outbox, *ops, token=""):
        answer = self.request("POST", "/v1/ops", token=token,
                              body=json.dumps({"outbox": outbox, "ops": ops}))
        return answer

    def listing(self, token=""):
        entries, _ = self.changes(token=token)
        return {e["path"]: e for e in entries if e["type"] != "gone"}


class Mount:
    """One instance of mount.eefs, by default in the foreground as our child."""

    def __init__(self, site, master, name, instance=None, url=None, token=None, **options):
        self.site, self.master, self.name = site, master, name
        self.instance = instance or name
        self.url = url or master.url
        self.point = os.path.join(site.base, "mnt-" + self.instance)
        self.cache = os.path.join(site.base, "cache-" + self.instance)
        self.token_file = os.path.join(site.base, "token-" + self.instance)
        self.options = options
        self.process = None
        self.site.mounts.append(self)
        if not os.path.isdir(self.point):
            os.mkdir(self.point)
            os.chmod(self.point, 0)  # as the README says: a mount that is gone must be an error
        if token is None:
            token = master.tokens.get(name) or master.add_mirror(name)
        write(self.token_file, token + "\n")
        os.chmod(self.token_file, 0o600)

    def option_list(self, **more):
        options = {"token_file": self.token_file, "cache": self.cache, "instance": self.instance,
                   "rundir": self.site.rundir,
                   "retry": 0}  # an empty cache does not wait for its master, unless a test says so
        options.update(self.options)
        options.update(more)
        parts = []
        for key, value in options.items():
            if value is True:
                parts.append(key)
            elif value is not None and value is not False:
                parts.append("%s=%s" % (key, str(value).replace(",", "\\,")))
        return ",".join(parts)

    def argv(self, **more):
        return [program("mount.eefs"), self.url, self.point, "-o", self.option_list(**more)]

    def start(self, env=None, **more):
        assert not self.mounted(), "mounted already"
        self.process = self.site.spawn("mount-" + self.instance,
                                       self.argv(foreground=True, **more), env)

        def ready():
            if not self.process.running():
                raise AssertionError("mount.eefs ended with %s:\n%s"
                                     % (self.process.popen.returncode, self.process.log()))
            return self.mounted() and os.statvfs(self.point)

        wait_for(ready, 30, "mounted")
        return self

    def try_start(self, *flags, **more):
        """mount.eefs as mount(8) calls it: returns when it has daemonised or failed. Output goes to
        a file, for a daemon may keep its end of a pipe."""
        log = os.path.join(self.site.base, "try-%s.log" % self.instance)
        with open(log, "wb") as out:
            done = subprocess.run(self.argv(**more) + list(flags), stdin=subprocess.DEVNULL,
                                  stdout=out, stderr=subprocess.STDOUT, env=self.site.env(),
                                  timeout=60 * SLOW)
        done.stderr = read(log).decode(errors="replace")
        return done

    def mounted(self):
        return mounts().get(self.point) == "fuse.eefs"

    def path(self, *parts):
        return os.path.join(self.point, *parts)

    def stop(self):
        """umount, and the daemon ends by itself with exit code 0."""
        if self.mounted():
            wait_for(lambda: unmount(self.point), 10, "umount")
        if self.process:
            try:
                code = self.process.popen.wait(20 * SLOW)
            except subprocess.TimeoutExpired:
                where = "%s; its threads: %s" % (mounts().get(self.point, "not mounted"),
                                                 self.process.threads())
                self.process.kill()
                raise AssertionError("mount.eefs did not end within 20 s after umount: " + where)
            assert code == 0, "mount.eefs exited with %d:\n%s" % (code, self.process.log())

    def kill(self):
        """kill -9, and the dead mount is left as it is."""
        self.process.kill()

    def status(self):
        _, status = self.site.status()
        return next(m for m in status["mounts"] if m["instance"] == self.instance)

    def synced(self):
        """All local changes are on the master."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(30 * SLOW)
            s.connect(os.path.join(self.site.rundir, "mount-%s.sock" % self.instance))
            s.sendall(b'{"cmd":"wait","timeout_ms":%d}\n' % (20_000 * SLOW))
            answer = json.loads(s.makefile().readline())
        assert answer["ok"], answer

    def cleanup(self):
        if self.point in mounts() and (self.process is None or self.process.running()):
            unmount(self.point)
        if self.process and self.process.running():
            try:
                self.process.popen.wait(10 * SLOW)
            except subprocess.TimeoutExpired:
                self.process.kill()
        while self.point in mounts():  # a dead or a busy one
            assert unmount(self.point, lazy=True)


class Link:
    """A TCP connection between a mirror and its master that can be cut, or stalled (accepts and
    stays silent), or told to lose the answers."""

    def __init__(self, target_port):
        self.target = target_port
        self.port = free_port()
        self.lock = threading.Lock()
        self.pairs = set()
        self.listener = None
        self.mode = "up"
        self.restore()

    @property
    def url(self):
        return "http://127.0.0.1:%d/" % self.port

    def restore(self):
        self.drop()
        self.mode = "up"
        if self.listener is None:
            self.listener = socket.socket()
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.listener.bind(("127.0.0.1", self.port))
            self.listener.listen(64)
            threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def cut(self):
        """Connections break, new ones are refused."""
        listener, self.listener = self.listener, None
        self.mode = "cut"
        if listener:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.drop()

    def stall(self):
        """Nothing passes any more, and nobody says so."""
        self.mode = "stall"

    def lose_answers(self):
        """Requests arrive at the master, answers get lost."""
        self.mode = "deaf"

    def drop(self):
        with self.lock:
            pairs, self.pairs = self.pairs, set()
        for pair in pairs:
            for s in pair:
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    close = cut

    def _accept(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.target), 5)
            except OSError:
                client.close()
                continue
            for s in (client, server):  # a piece that waits for an acknowledgement takes 40 ms more
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.pairs.add((client, server))
            threading.Thread(target=self._pump, args=(client, server), daemon=True).start()

    def _pump(self, client, server):
        try:
            while True:
                readable, _, _ = select.select([client, server], [], [], 0.2)
                if self.mode == "stall":
                    time.sleep(0.01)
                    continue
                for s in readable:
                    data = s.recv(262144)
                    if not data:
                        return
                    if s is server and self.mode == "deaf":
                        continue
                    (server if s is client else client).sendall(data)
        except OSError:
            pass
        finally:
            with self.lock:
                self.pairs.discard((client, server))
            client.close()
            server.close()


class Site:
    """A private folder and everything that was started in it."""

    def __init__(self):
        self.base = tempfile.mkdtemp(prefix="eefs-", dir="/tmp")
        os.chmod(self.base, 0o755)
        self.rundir = os.path.join(self.base, "run")
        os.mkdir(self.rundir)
        self.processes, self.mounts, self.links, self.cleanups = [], [], [], []

    def env(self, more=None):
        env = dict(os.environ, EEFS_RUNDIR=self.rundir, LC_ALL="C.UTF-8")
        env.setdefault("ASAN_OPTIONS", "detect_leaks=1")
        env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY",
                     "ALL_PROXY", "no_proxy", "NO_PROXY"):
            env.pop(name, None)
        env.update(more or {})
        return env

    def spawn(self, name, argv, env=None, **popen):
        process = Process(name, argv, os.path.join(self.base, name + ".log"), self.env(env), **popen)
        self.processes.append(process)
        return process

    def run(self, name, *args, check=True, env=None, timeout=60, **more):
        """Runs one of our programs to its end."""
        out = subprocess.run([program(name), *args], stdin=subprocess.DEVNULL, capture_output=True,
                             text=True, errors="replace", env=self.env(env),
                             timeout=timeout * SLOW, **more)
        assert not SUSPICIOUS.search(out.stderr), out.stderr
        if check:
            assert out.returncode == 0, "%s %s exited with %d:\n%s%s" % (
                name, " ".join(args), out.returncode, out.stdout, out.stderr)
        return out

    def master(self, name="master", start=True):
        master = Master(self, name)
        return master.start() if start else master

    def mount(self, master, name="slave1", start=True, **options):
        mount = Mount(self, master, name, **options)
        return mount.start() if start else mount

    def link(self, master):
        link = Link(master.port)
        self.links.append(link)
        return link

    def status(self):
        """(exit code, JSON) of eefs-status; other mounts of this machine are left out of both."""
        out = self.run("eefs-status", "--json", check=False)
        status, code = json.loads(out.stdout), out.returncode
        ours = [m for m in status["mounts"] if m["mountpoint"].startswith(self.base + "/")]
        if len(ours) < len(status["mounts"]):
            codes = {"OK": 0, "SYNCING": 0, "DEGRADED": 1, "ISOLATED": 1, "FAILED": 2}
            every = ours + status["masters"] + status["imports"]
            code = max((codes.get(x["state"], 3) for x in every), default=3)
            status["mounts"] = ours
        return code, status

    def stop_all(self):
        """Whatever happened: no process and no mount of ours stays."""
        for link in self.links:
            link.restore()
        for mount in self.mounts:
            mount.cleanup()
        for link in self.links:
            link.close()
        for process in reversed(self.processes):
            if process.running():
                process.signal(signal.SIGTERM)
        for process in reversed(self.processes):
            if process.running():
                try:
                    process.popen.wait(15 * SLOW)
                except subprocess.TimeoutExpired:
                    process.kill()
        for cleanup in reversed(self.cleanups):
            cleanup()
        for pid in self._strays():
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda p=pid: not os.path.exists("/proc/%d" % p), 10, "daemon gone")

    def _strays(self):
        """Daemons of ours: their command line names a path in our private folder."""
        needle = os.fsencode(self.base + "/")
        for entry in os.listdir("/proc"):
            if entry.isdigit() and int(entry) != os.getpid():
                try:
                    if needle in read("/proc/%s/cmdline" % entry):
                        yield int(entry)
                except OSError:
                    pass

    def log_files(self):
        return sorted(os.path.join(self.base, name) for name in os.listdir(self.base)
                      if name.endswith(".log"))

    def logs(self):
        return "\n".join("--- %s\n%s" % (os.path.basename(p),
                                         read(p).decode(errors="replace")[-6000:])
                         for p in self.log_files())

    def suspicious(self):
        return [line for p in self.log_files()
                for line in read(p).decode(errors="replace").splitlines()
                if SUSPICIOUS.search(line)]

    def remove(self):
        left = [p for p in mounts() if p.startswith(self.base + "/")]
        assert not left, "still mounted: %s" % left
        shutil.rmtree(self.base)
