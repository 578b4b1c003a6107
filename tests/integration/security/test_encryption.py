# SPDX-License-Identifier: MIT
"""The token and the files never leave the machine in the clear unless the admin said so, and a master
with a certificate of a private authority can be used by naming that authority."""

import os
import socket
import ssl
import subprocess
import threading

import pytest

from eefs import Link, read, wait_for, write


class TlsLink(Link):
    """A TLS server in front of the master."""

    def __init__(self, target_port, cert, key):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(cert, key)
        super().__init__(target_port)

    @property
    def url(self):
        return "https://localhost:%d/" % self.port

    def _pump(self, client, server):
        try:
            client = self.context.wrap_socket(client, server_side=True)
        except OSError:
            client.close()
            server.close()
            return
        threading.Thread(target=self._copy, args=(client, server), daemon=True).start()
        self._copy(server, client)

    @staticmethod
    def _copy(source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass
        for s in (source, target):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Recorder:
    """A listener on loopback that answers nothing and keeps what it was sent."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.got = b""
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        try:
            while True:
                client, _ = self.listener.accept()
                client.settimeout(2)
                try:
                    self.got += client.recv(65536) or b"(connected)"
                except OSError:
                    self.got += b"(silent)"
                client.close()
        except OSError:
            pass

    def close(self):
        self.listener.close()


@pytest.fixture
def proxy():
    recorder = Recorder()
    yield recorder
    recorder.close()


def certificate(folder, name="localhost"):
    cert, key = os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                    "-nodes", "-days", "2", "-subj", "/CN=" + name, "-addext",
                    "subjectAltName=DNS:" + name, "-keyout", key, "-out", cert],
                   check=True, capture_output=True)
    return cert, key


def try_mount(site, master, url, **options):
    mount = site.mount(master, "slave1", start=False, **options)
    mount.url = url
    return mount, mount.try_start()


@pytest.mark.parametrize("url", [
    "http://192.0.2.1:8460/", "http://master.example.org/", "http://127.0.0.1.example.org/",
    "http://localhost.example.org/", "HTTP://master.example.org/", "http://[2001:db8::1]:80/",
    "http://0x7f.example/"])
def test_plain_http_stays_on_this_machine(site, proxy, url):
    """Plain http to another machine is refused, by name, before anything is sent, by proxy or not."""
    master = site.master()
    mount = site.mount(master, "slave1", start=False)
    mount.url = url
    env, site.env = site.env, lambda more=None: env(dict(
        more or {}, http_proxy="http://127.0.0.1:%d" % proxy.port, all_proxy="http://127.0.0.1:%d" % proxy.port))
    out = mount.try_start()
    assert out.returncode == 32
    assert "in the clear" in out.stderr and "insecure_http" in out.stderr and url in out.stderr
    assert proxy.got == b""


@pytest.mark.parametrize("url", ["http://user:secret@127.0.0.1:1/", "http://127.0.0.1:1/?a=b", "ftp://127.0.0.1/",
                                 "127.0.0.1:1", "http://", "https://master.example.org/#x", "http://127.0.0.1@evil.example/"])
def test_what_is_no_address(site, url):
    """A text that is no master's address is refused with its form."""
    master = site.master()
    _, out = try_mount(site, master, url)
    assert out.returncode == 32
    assert "is not a master's address" in out.stderr


def test_insecure_http_by_a_proxy(site, proxy):
    """With insecure_http the admin's proxy is asked; without a connection the mount says so."""
    master = site.master()
    mount = site.mount(master, "slave1", start=False, insecure_http=True)
    mount.url = "http://master.example.org/"
    env, site.env = site.env, lambda more=None: env(dict(more or {}, http_proxy="http://127.0.0.1:%d" % proxy.port))
    mount.process = site.spawn("mount-a", mount.argv(foreground=True))
    wait_for(lambda: b"master.example.org" in proxy.got, 20)
    mount.process.kill()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_loopback_knows_no_proxy(site, proxy, host):
    """A proxy in the environment sees nothing of a master on this machine."""
    master = site.master()
    write(master.path("a.txt"), "a")
    mount = site.mount(master, "slave1", start=False)
    mount.url = "http://%s:%d/" % (host, master.port)
    mount.start(env={"http_proxy": "http://127.0.0.1:%d" % proxy.port, "ALL_PROXY": "http://127.0.0.1:%d" % proxy.port})
    assert read(mount.path("a.txt")) == b"a"
    assert proxy.got == b""


def test_private_authority(site):
    """A master whose certificate a private authority signed: refused as it is, used with cafile."""
    master = site.master()
    write(master.path("a.txt"), "a")
    cert, key = certificate(site.base)
    link = TlsLink(master.port, cert, key)
    site.links.append(link)
    mount, out = try_mount(site, master, link.url)
    assert out.returncode == 32
    assert "certificate" in out.stderr and "cafile" in out.stderr
    mount.options["cafile"] = os.path.join(site.base, "missing.pem")
    out = mount.try_start()
    assert out.returncode == 32 and "missing.pem" in out.stderr
    mount.options["cafile"] = cert
    mount.start()
    assert read(mount.path("a.txt")) == b"a"
    write(mount.path("uploads/b.txt"), "b")
    assert read(master.path("uploads/b.txt")) == b"b"


def test_certificate_of_another_name(site):
    """A certificate that the authority signed for another host is not taken."""
    master = site.master()
    cert, key = certificate(site.base, "other.example.org")
    link = TlsLink(master.port, cert, key)
    site.links.append(link)
    _, out = try_mount(site, master, link.url, cafile=cert)
    assert out.returncode == 32
    assert "localhost" in out.stderr and link.url.rstrip("/") in out.stderr


def test_fstab_line_says_that_it_is_clear(site):
    """mirror add with an unencrypted address prints a line that works, and what it means."""
    master = site.master(start=False)
    out = site.run("eefs-master", "mirror", "add", "slave1", "--state", master.state, "--url",
                   "http://10.0.0.1:8460/").stdout
    assert ",insecure_http " in out and "not encrypted" in out
    out = site.run("eefs-master", "mirror", "add", "slave2", "--state", master.state, "--url",
                   "https://master.example.org/").stdout
    assert "insecure_http" not in out
    out = site.run("eefs-master", "mirror", "add", "slave3", "--state", master.state, "--url", "no address",
                   check=False)
    assert out.returncode == 1 and "not a master's address" in out.stderr
