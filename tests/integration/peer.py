# SPDX-License-Identifier: MIT
"""A web server of ours between a mirror and its master that speaks their HTTP and can be told to
misbehave.

    peer = Peer(master.port)
    mount = site.mount(master, url=peer.url)
    peer.set(captive)         # every request gets a login page from now on
    peer.set(None)            # an honest proxy again

A fault is a function that is given one Exchange: it may forward the request to the master, and
answers, resets or hangs as it likes. Setting a fault breaks the connections that are there, unless
`keep` says that they stay (and then fall under the new fault with their next request).
"""

import http.client
import random
import select
import socket
import struct
import threading
import time

from eefs import free_port


class Gone(Exception):
    """This connection is over."""


class Exchange:
    """One request. `reply` is (status, [(name, value)], body)."""

    def __init__(self, peer, client, head):
        self.peer, self.client = peer, client
        line, *fields = head.decode("latin-1").split("\r\n")
        self.method, self.path, _ = line.split(" ", 2)
        self.headers = [tuple(f.split(": ", 1)) for f in fields if ": " in f]
        self.length = int(self.header("Content-Length") or 0)
        self.got = b""  # of the body, so far

    def header(self, name):
        return next((v for n, v in self.headers if n.lower() == name.lower()), None)

    @property
    def object(self):
        """The request asks for a content."""
        return self.method == "GET" and self.path.startswith("/v1/o/")

    @property
    def ops(self):
        return self.path.startswith("/v1/ops")

    def receive(self, n=None):
        """Takes n bytes of the body, by default all."""
        n = self.length if n is None else n
        while len(self.got) < n:
            self.got += self.client.take(min(262144, self.length - len(self.got)))
        return self.got

    def forward(self):
        """Sends the whole request to the master and waits for the whole answer."""
        body = self.receive()
        server = self.client.server()
        head = ["%s %s HTTP/1.1" % (self.method, self.path)]
        head += ["%s: %s" % h for h in self.headers]
        server.sendall("\r\n".join(head + ["", ""]).encode("latin-1") + body)
        self.client.wait_for(server)
        answer = http.client.HTTPResponse(server, method=self.method)
        try:
            answer.begin()
            data = answer.read()
        except (http.client.HTTPException, ValueError) as error:
            raise Gone from error
        headers = [(n, v) for n, v in answer.getheaders()
                   if n.lower() not in ("transfer-encoding", "connection", "content-length")]
        if self.method == "HEAD":
            headers.append(("Content-Length", answer.getheader("Content-Length") or "0"))
        if answer.will_close:
            self.client.drop_server()
        return answer.status, headers, data

    def answer(self, reply, length=None, close=False, piece=None, pause=0):
        """length: what Content-Length claims; piece, pause: how slowly the bytes come."""
        status, headers, data = reply
        lines = ["HTTP/1.1 %d %s" % (status, http.client.responses.get(status, ""))]
        lines += ["%s: %s" % h for h in headers]
        if self.method != "HEAD":
            lines.append("Content-Length: %d" % (len(data) if length is None else length))
        out = "\r\n".join(lines + ["", ""]).encode("latin-1") + data
        generation = self.peer.generation
        if piece is None:
            self.client.sock.sendall(out)
        for at in range(0, len(out) if piece else 0, piece or 1):
            self.client.sock.sendall(out[at:at + piece])
            time.sleep(pause)
            if generation != self.peer.generation:
                raise Gone
        if close or len(self.got) < self.length:
            raise Gone

    def reset(self):
        """RST, as when the other machine lost its memory of the connection."""
        self.client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise Gone

    def hang(self):
        """Silence until the fault is lifted."""
        generation = self.peer.generation
        while generation == self.peer.generation:
            time.sleep(0.02)
        raise Gone


# --- faults -----------------------------------------------------------------------------------------

def honest(x):
    x.answer(x.forward())


def blackhole(x):
    x.hang()


def drip(x):
    """An answer at a few bytes a second."""
    x.answer(x.forward(), piece=3, pause=0.25)


def reset_upload(x):
    """Breaks what is sent to the master in the middle."""
    if x.length > 0:
        x.receive(x.length // 2)
        x.reset()
    honest(x)


def lose_answer(x):
    """The master did it, and its answer never arrives."""
    x.forward()
    x.reset()


def unavailable(share=1.0, seed=0):
    """A proxy's 503 for this share of the requests."""
    rng = random.Random(seed)

    def fault(x):
        if rng.random() < share:
            x.receive()
            x.answer((503, [("Content-Type", "text/html")], b"<h1>Service Unavailable</h1>"))
        else:
            honest(x)
    return fault


def too_long(x):
    """Content-Length claims more than comes."""
    status, headers, data = x.forward()
    x.answer((status, headers, data), length=len(data) + 100, close=True)


def too_short(x):
    """Content-Length claims less than there is."""
    status, headers, data = x.forward()
    x.answer((status, headers, data), length=max(len(data) - 1, 0), close=True)


def truncated(x):
    """A 200 of half the body that looks whole."""
    status, headers, data = x.forward()
    x.answer((status, headers, data[:len(data) // 2]))


def wrong_bytes(x):
    """A content with one bit flipped."""
    status, headers, data = x.forward()
    if x.object and data:
        data = data[:len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1:]
    x.answer((status, headers, data))


def whole_for_range(x):
    """Every content breaks off in the middle, and a range is answered with the whole, as a cache
    does that knows no ranges."""
    if not x.object:
        honest(x)
    elif x.header("Range"):
        x.headers = [h for h in x.headers if h[0].lower() != "range"]
        honest(x)
    else:
        status, headers, data = x.forward()
        x.answer((status, headers, data[:len(data) // 2]), length=len(data), close=True)


def captive(x):
    """A hotel's login page."""
    x.receive()
    x.answer((200, [("Content-Type", "text/html")], b"<html><h1>Welcome! Please log in.</h1></html>"))


def redirect(x):
    x.receive()
    x.answer((302, [("Location", "http://login.invalid/")], b""))


def not_found(x):
    """A web server that knows nothing of us."""
    x.receive()
    x.answer((404, [("Content-Type", "text/html")], b"<h1>Not Found</h1>"))


# --- the server -------------------------------------------------------------------------------------

class Client:
    """A mirror's connection and the one to the master that belongs to it."""

    def __init__(self, peer, sock):
        self.peer, self.sock, self.buffer, self.upstream = peer, sock, b"", None

    def take(self, most):
        """Some bytes, at least one."""
        if not self.buffer:
            self.buffer = self.sock.recv(262144)
            if not self.buffer:
                raise Gone
        data, self.buffer = self.buffer[:most], self.buffer[most:]
        return data

    def head(self):
        data = b""
        while b"\r\n\r\n" not in data:
            data += self.take(65536)
        head, rest = data.split(b"\r\n\r\n", 1)
        self.buffer = rest + self.buffer
        return head

    def server(self):
        if self.upstream is None:
            self.upstream = socket.create_connection(("127.0.0.1", self.peer.target), 5)
            self.upstream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.upstream.settimeout(70)
        return self.upstream

    def drop_server(self):
        if self.upstream:
            self.upstream.close()
        self.upstream = None

    def wait_for(self, server):
        """Until the master answers; the mirror may give up meanwhile."""
        while True:
            readable, _, _ = select.select([self.sock, server], [], [], 70)
            if server in readable or not readable:
                return
            data = self.sock.recv(65536)
            if not data:
                raise Gone
            self.buffer += data

    def serve(self):
        try:
            while True:
                exchange = Exchange(self.peer, self, self.head())
                with self.peer.lock:
                    self.peer.requests.append((exchange.method, exchange.path))
                (self.peer.fault or honest)(exchange)
        except (Gone, OSError, ValueError):
            pass
        finally:
            self.peer.forget(self)
            self.drop_server()
            self.sock.close()


class Peer:
    def __init__(self, target_port):
        self.target, self.port = target_port, free_port()
        self.lock = threading.Lock()
        self.clients = set()
        self.requests = []  # (method, path) of everything that came
        self.fault, self.generation = None, 0
        self.listener = None
        self._listen()

    @property
    def url(self):
        return "http://127.0.0.1:%d/" % self.port

    def set(self, fault, keep=False):
        self.fault = fault
        self.generation += 1
        if self.listener is None:
            self._listen()
        if not keep:
            self._drop()

    def refuse(self):
        """Nobody listens."""
        listener, self.listener = self.listener, None
        if listener:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.generation += 1
        self._drop()

    def restore(self):
        self.set(None)

    close = refuse

    def forget(self, client):
        with self.lock:
            self.clients.discard(client)

    def _drop(self):
        with self.lock:
            for client in self.clients:
                try:
                    client.sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def _listen(self):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", self.port))
        self.listener.listen(64)
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def _accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client = Client(self, sock)
            with self.lock:
                self.clients.add(client)
            threading.Thread(target=client.serve, daemon=True).start()
