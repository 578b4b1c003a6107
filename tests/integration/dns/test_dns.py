# SPDX-License-Identifier: MIT
"""eefs-dns with real name servers and web servers on 127.0.0.x: who is down is taken out, who is well comes back,
and nothing else in the zone changes."""
import os
import signal

import pytest

from eefs import REPO, free_port, wait_for
from nameserver import Checking, NameServer
from webserver import WebServer

FIT = '{"state":"OK","weight":%d}'


class Pool:
    """Web servers that tell as mirrors do, and an eefs-dns for them."""

    def __init__(self, site, ns, n=3):
        self.site, self.ns, self.port = site, ns, free_port()
        self.addresses = ["127.0.0.%d" % (i + 11) for i in range(n)]
        self.web = {a: WebServer(a, self.port, FIT % 100) for a in self.addresses}
        self.process = None

    def argv(self, *more):
        servers = [x for a in self.addresses for x in ("--server", a)]
        return ["--name", "www.example.test", "--url", "http://www.example.test:%d/healthz" % self.port, *servers,
                "--every", "150ms", "--timeout", "1s", *more]

    def by_key(self, *more):
        return self.argv("--key", self.ns.key, "--update-server", "127.0.0.1:%d" % self.ns.port, "--zone",
                         "example.test", *more)

    def start(self, *more):
        from eefs import program
        self.process = self.site.spawn("dns-%d" % len(self.site.processes), [program("eefs-dns"), *self.by_key(*more)])
        return self

    def shown(self, *addresses):
        wait_for(lambda: self.ns.ask("www") == set(addresses), 20, "www is %s" % (addresses,))

    def close(self):
        for web in self.web.values():
            if web:
                web.close()

    def die(self, address):
        self.web[address].close()
        self.web[address] = None

    def live(self, address):
        self.web[address] = WebServer(address, self.port, FIT % 100)


@pytest.fixture(params=["knot", "bind"])
def ns(request, tmp_path):
    server = NameServer(tmp_path, request.param)
    yield server
    server.stop()


@pytest.fixture
def knot(tmp_path):
    server = NameServer(tmp_path)
    yield server
    server.stop()


@pytest.fixture
def pool(site, knot):
    pool = Pool(site, knot)
    yield pool
    pool.close()


def test_the_round_robin_follows_the_servers(site, ns):
    pool = Pool(site, ns)
    a, b, c = pool.addresses
    try:
        pool.start("--ttl", "7")
        pool.shown(a, b, c)
        assert ns.ttl == 7 and set(pool.web[a].hosts) == {"www.example.test:%d" % pool.port}
        pool.die(b)
        checks = len(pool.web[a].hosts)
        pool.shown(a, c)
        assert len(pool.web[a].hosts) - checks <= 5  # three checks, and what came while we looked
        pool.web[c].status = 503  # as a mirror whose import fails, or that is cut off beyond its grace
        pool.shown(a)
        pool.die(a)
        pool.shown(a, b, c)  # none is well: all
        assert "no server of www.example.test is up" in pool.process.log()
        pool.live(a)
        pool.shown(a)
        checks = len(pool.web[a].hosts)
        pool.live(b)
        pool.web[c].status = 200
        pool.shown(a, b, c)
        assert len(pool.web[a].hosts) - checks >= 5  # five good ones
        # Nothing else has changed, and the key could not do more.
        assert ns.ask("master") == {"192.0.2.1"} and ns.ask("ns") == {"127.0.0.1"} and ns.ask("www", 28) == set()
        for text in ("update add master.example.test. 60 A 127.0.0.9", "update delete www.example.test. TXT",
                     "update add x.www.example.test. 60 A 127.0.0.9"):
            assert not ns.update(text), text
        assert ns.update("update add www.example.test. 60 A 127.0.0.9")
        # Its death leaves DNS as it is.
        pool.process.signal(signal.SIGKILL)
        pool.process.popen.wait(10)
        pool.die(b)
        assert ns.ask("www") == {a, b, c, "127.0.0.9"}
        assert pool.start() and pool.shown(a, c) is None
        assert pool.process.stop() == 0
    finally:
        pool.close()


def test_lost_checks_do_not_flap(pool):
    """One check in five is lost: every server stays."""
    for web in pool.web.values():
        web.lose = lambda web=web: len(web.hosts) % 5 == 0
    pool.start()
    pool.shown(*pool.addresses)
    wait_for(lambda: all(len(web.hosts) > 80 for web in pool.web.values()), 60)
    assert "is down" not in pool.process.log() and pool.process.log().count("published") == 1


def test_wrong_content(pool):
    a, b, c = pool.addresses
    pool.start("--expect", '"OK"')
    pool.shown(a, b, c)
    pool.web[b].text = "<h1>It works!</h1>"
    pool.shown(a, c)
    assert "does not have the text" in pool.process.log()


def test_an_overloaded_server_rests(pool):
    a, b, c = pool.addresses
    pool.start()
    pool.shown(a, b, c)
    pool.web[b].text = FIT % 20
    pool.shown(a, c)
    pool.web[b].text = FIT % 40  # not yet half of the others'
    checks = len(pool.web[b].hosts)
    wait_for(lambda: len(pool.web[b].hosts) > checks + 8)
    assert pool.ns.ask("www") == {a, c}
    pool.web[b].text = FIT % 60
    pool.shown(a, b, c)


def test_a_name_server_that_is_away(pool):
    a, b, c = pool.addresses
    pool.start()
    pool.shown(a, b, c)
    pool.ns.stop()
    pool.die(c)
    wait_for(lambda: "cannot publish" in pool.process.log(), 60)
    pool.ns.start()
    pool.shown(a, b)


def test_dry_run_once_and_command(site, pool, tmp_path):
    a, b, c = pool.addresses
    said = site.run("eefs-dns", *pool.by_key("--dry-run", "--once"))
    assert "update delete www.example.test A\n" in said.stdout and said.stdout.count("update add") == 3
    assert "AAAA" not in said.stdout and pool.ns.ask("www") == {"192.0.2.99"}
    pool.die(b)
    command = 'echo "$EEFS_NAME $EEFS_TTL $EEFS_ADDRESSES" >> %s' % (tmp_path / "told")
    done = site.run("eefs-dns", *pool.argv("--once", "--command", command), check=False)
    assert done.returncode == 1 and (tmp_path / "told").read_text() == "www.example.test 60 %s %s\n" % (a, c)
    assert site.run("eefs-dns", *pool.argv("--once", "--command", "exit 3"), check=False).returncode == 3
    assert site.run("eefs-dns", *pool.by_key("--once"), check=False).returncode == 1
    assert pool.ns.ask("www") == {a, c} and pool.ns.ttl == 60
    pool.die(a), pool.die(c)
    assert site.run("eefs-dns", *pool.by_key("--once"), check=False).returncode == 2
    assert pool.ns.ask("www") == {a, b, c}


@pytest.mark.parametrize("args,why", [
    (["--name", "a b", "--server", "::1"], "is not a host name"),
    (["--name", "a\nupdate delete x A", "--server", "::1"], "is not a host name"),
    (["--name", "www.example.test"], "--server is missing"),
    (["--name", "w", "--server", "here"], "give --key FILE or --command"),
    (["--name", "w", "--server", "here", "--command", "x"], "is not an IPv4 or IPv6 address"),
    (["--name", "w", "--server", "::1", "--server", "::1", "--command", "x"], "is there twice"),
    (["--name", "w", "--server", "::1", "--key", "k", "--zone", "a;b"], "--zone: 'a;b' is not a host name"),
    (["--name", "w", "--server", "::1", "--key", "k", "--update-server", "a b"], "HOST or HOST:PORT"),
    (["--name", "w", "--server", "::1", "--command", "x", "--zone", "z"], "need --key")])
def test_what_is_refused(site, args, why):
    done = site.run("eefs-dns", *args, check=False)
    assert done.returncode == 3 and why in done.stderr


def test_the_example_of_a_config(site):
    done = site.run("eefs-dns", "--config", REPO + "/packaging/dns/eefs-dns.conf", "--key", "k", "--dry-run", "--once",
                    "--timeout", "10ms", "--every", "100ms", "--down", "1", check=False)
    assert done.returncode == 2 and "server 192.0.2.53\nzone example.org\nupdate delete www.example.org A\n" in done.stdout


def test_both_families_and_a_config_file(site, tmp_path):
    (tmp_path / "conf").write_text("name = www.example.test\nserver = 192.0.2.1\nserver = 2001:db8::1\ndown = 1\n"
                                   "url = http://www.example.test:1/\ntimeout = 100ms\nkey = k\n")
    done = site.run("eefs-dns", "--config", str(tmp_path / "conf"), "--dry-run", "--once", "--ttl", "5", check=False)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ("update delete www.example.test A\nupdate add www.example.test 5 A 192.0.2.1\n"
                           "update delete www.example.test AAAA\nupdate add www.example.test 5 AAAA 2001:db8::1\nsend\n")


@pytest.mark.long
@pytest.mark.parametrize("kind", ["gdnsd", "pdns"])
def test_name_servers_that_check_by_themselves(tmp_path, kind):
    """The examples of packaging/dns follow /healthz, and answer with all when none is well."""
    port = free_port()
    web = {a: WebServer(a, port, FIT % 100) for a in ("127.0.0.11", "127.0.0.12")}
    ns = Checking(tmp_path, kind, port)
    a, b = web
    try:
        for down, shown in (((), {a, b}), ((b,), {a}), ((a, b), {a, b}), ((a,), {b}), ((), {a, b})):
            for address in web:
                web[address].status = 503 if address in down else 200
            asked = {x: len(web[x].hosts) for x in web}
            wait_for(lambda: ns.ask("www") == shown and all(len(web[x].hosts) > asked[x] + 3 for x in web), 60)
    finally:
        ns.stop()
        for server in web.values():
            server.close()
