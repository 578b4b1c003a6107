# SPDX-License-Identifier: MIT
"""Real name servers on loopback with the examples of packaging/dns, for a zone example.test and a
key that may change www only; and a small resolver: what do they answer?"""

import os
import shutil
import socket
import struct
import subprocess

import pytest

from eefs import REPO, free_port, read, wait_for, write

SECRET = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTEyMzQ="
ZONE = """$ORIGIN example.test.
$TTL 60
@      SOA ns admin 1 3600 600 86400 60
@      NS  ns
ns     A   127.0.0.1
www    A   192.0.2.99
www    TXT "stays"
master A   192.0.2.1
"""

# What the examples of packaging/dns leave to the admin.
KNOT = """server:
    rundir: "{base}"
    listen: 127.0.0.1@{port}
log:
  - target: stderr
    any: warning
database:
    storage: "{base}"
template:
  - id: default
    storage: "{base}"
"""

BIND = """options {{
    directory "{base}"; pid-file none; session-keyfile "{base}/session.key";
    listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; recursion no;
}};
controls {{ }};
"""

GDNSD = """options => {{ listen => [ "127.0.0.1:{port}" ], run_dir => "{base}/run", state_dir => "{base}/state" }}
"""


class NameServer:
    def __init__(self, base, kind="knot"):
        program = {"knot": "knotd", "bind": "named"}[kind]
        if not shutil.which(program):
            pytest.skip("%s is not installed" % program)
        if not shutil.which("nsupdate"):
            pytest.skip("nsupdate is not installed")
        self.port, self.base = free_port(), str(base)
        write(self.base + "/example.test.zone", ZONE)
        example = read(os.path.join(REPO, "packaging/dns/%s.conf" % kind)).decode()
        assert SECRET in example
        write(self.base + "/conf", {"knot": KNOT, "bind": BIND}[kind].format(
            base=self.base, port=self.port) + example.replace("example.org", "example.test"))
        self.key = self.base + "/key"
        write(self.key, 'key "eefs" { algorithm hmac-sha256; secret "%s"; };\n' % SECRET)
        os.chmod(self.key, 0o600)
        self.argv = {"knot": ["knotd", "-c", self.base + "/conf"],
                     "bind": ["named", "-g", "-n", "1", "-c", self.base + "/conf"]}[kind]
        self.process = None
        self.start()

    def start(self):
        with open(self.base + "/log", "ab") as log:
            self.process = subprocess.Popen(self.argv, stdout=log, stderr=log)
        wait_for(lambda: self.ask("ns") == {"127.0.0.1"}, 20, "the name server answers")

    def stop(self):
        self.process.terminate()
        self.process.wait(20)

    def ask(self, name, kind=1):
        """The set of addresses of NAME.example.test (kind 1: A, 28: AAAA), and each one's TTL in
        self.ttl."""
        labels = b"".join(bytes([len(p)]) + p.encode() for p in (name + ".example.test").split("."))
        query = struct.pack(">6H", 7, 0, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", kind, 1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(2)
            s.connect(("127.0.0.1", self.port))
            s.send(query)
            answer = s.recv(4096)
        count, at, found = struct.unpack(">H", answer[6:8])[0], len(query), set()
        for _ in range(count):
            assert answer[at] & 0xc0 == 0xc0, "a compressed name"
            kind_, _, self.ttl, n = struct.unpack(">2HIH", answer[at + 2:at + 12])
            at += 12 + n
            if kind_ == kind:
                family = socket.AF_INET6 if kind == 28 else socket.AF_INET
                found.add(socket.inet_ntop(family, answer[at - n:at]))
        return found

    def update(self, text):
        """True when nsupdate with the key could do it."""
        script = "server 127.0.0.1 %d\nzone example.test\n%s\nsend\n" % (self.port, text)
        return subprocess.run(["nsupdate", "-k", self.key], input=script, text=True,
                              capture_output=True, timeout=30).returncode == 0


class Checking(NameServer):
    """gdnsd or PowerDNS, which check the servers 127.0.0.11 and .12 at `web_port` by themselves."""

    def __init__(self, base, kind, web_port):
        program = {"gdnsd": "gdnsd", "pdns": "pdns_server"}[kind]
        if not shutil.which(program):
            pytest.skip("%s is not installed" % program)
        self.port, self.base = free_port(), str(base)
        getattr(self, kind)(web_port)
        self.start()

    def gdnsd(self, web_port):
        example = read(REPO + "/packaging/dns/gdnsd.conf").decode().replace("192.0.2.", "127.0.0.")
        for old, new in (("port => 80", "port => %d" % web_port), ("interval => 5", "interval => 2"),
                         ("timeout => 3", "timeout => 1"), ("example.org", "example.test")):
            assert old in example
            example = example.replace(old, new)
        write(self.base + "/config", GDNSD.format(base=self.base, port=self.port) + example)
        write(self.base + "/zones/example.test", ZONE.replace("$ORIGIN example.test.\n", "").replace(
            "www    A   192.0.2.99", "www 60 DYNA multifo!www"))
        self.argv = ["gdnsd", "-c", self.base, "start"]

    def pdns(self, web_port):
        example = read(REPO + "/packaging/dns/pdns.zone").decode().replace("192.0.2.", "127.0.0.")
        assert "www.example.org/" in example
        write(self.base + "/zone", ZONE.replace("www    A   192.0.2.99\n", "") + example.replace(
            "www.example.org/", "www.example.test:%d/" % web_port))
        write(self.base + "/named.conf", 'zone "example.test" { type master; file "%s/zone"; };\n' % self.base)
        self.argv = ["pdns_server", "--no-config", "--daemon=no", "--guardian=no", "--local-address=127.0.0.1",
                     "--local-port=%d" % self.port, "--launch=bind", "--bind-config=%s/named.conf" % self.base,
                     "--enable-lua-records=yes", "--socket-dir=" + self.base, "--lua-health-checks-interval=1",
                     "--cache-ttl=0", "--query-cache-ttl=0"]
