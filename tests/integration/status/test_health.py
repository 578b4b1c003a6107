# SPDX-License-Identifier: MIT
"""Whether a mirror is fit for visitors: /healthz, /status and /metrics on its Unix socket and its loopback port."""
import http.client
import json
import os
import socket
import time

import pytest

import exposition
from eefs import free_port, wait_for, write
from webserver import WebServer


def get(mount, path="/healthz"):
    """(status, body) by the Unix socket."""
    connection = http.client.HTTPConnection("mirror", timeout=10)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(os.path.join(mount.site.rundir, "health-%s.sock" % mount.instance))
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body


def fit(mount):
    status, body = get(mount)
    told = json.loads(body)
    assert (status, told["state"]) in ((200, "OK"), (503, "FAILED")) and set(told) == {"state", "weight"}
    assert (told["weight"] > 0) == (status == 200)
    return status == 200


def reason(mount):
    return mount.status()["health"]["reason"]


@pytest.fixture
def web():
    server = WebServer()
    yield server
    server.close()


def put_import(site, mount, **more):
    state = {"name": "ee", "pid": os.getpid(), "slot": mount.path("sql/slave1"), "state": "idle",
             "updated_ms": int(time.time() * 1000), **more}
    write(os.path.join(site.rundir, "import-ee.json"), json.dumps(state))


def test_what_makes_a_mirror_unfit(site, web):
    master = site.master(start=False)
    write(master.path("css/a.css"), "a")
    master.start()
    link, port = site.link(master), free_port()
    mount = site.mount(master, url=link.url, check_url="http://127.0.0.1:%d/" % web.port, check_text="welcome",
                       isolated_grace="4s", import_age="1h", check_every="150ms", monitor="127.0.0.1:%d" % port)
    wait_for(lambda: fit(mount))
    assert "  visitors fit, weight " in site.run("eefs-status", mount.point, check=False).stdout

    # The port has the same pages; what is none of them is told.
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    for method, path, status in (("GET", "/healthz", 200), ("HEAD", "/healthz", 200), ("GET", "/no", 404),
                                 ("POST", "/healthz", 405), ("GET", "/status", 200)):
        connection.request(method, path)
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == status and (body != b"") == (method == "GET"), (method, path)
    told = json.loads(body)
    assert told["health"]["fit"] and told["mountpoint"] == mount.point and "skipped_list" not in told
    metrics = exposition.parse(get(mount, "/metrics")[1])
    assert exposition.value(metrics, "eefs_mount_fit", mountpoint=mount.point) == 1
    assert exposition.value(metrics, "eefs_mount_check_seconds", mountpoint=mount.point) < 3

    # One lost check changes nothing; the wrong page does, and the right one brings it back.
    asked = len(web.hosts)
    web.lose = lambda: len(web.hosts) == asked + 1
    wait_for(lambda: len(web.hosts) >= asked + 4, 30)
    assert fit(mount)
    web.text = "Error establishing a database connection"
    wait_for(lambda: not fit(mount), 30)
    assert "does not have the text 'welcome'" in reason(mount)
    assert exposition.value(exposition.parse(get(mount, "/metrics")[1]), "eefs_mount_fit", mirror="slave1") == 0
    assert "the reason is shown to root" in get(mount, "/status")[1]
    assert "  visitors not fit: the page" in site.run("eefs-status", mount.point, check=False).stdout
    web.text = "welcome again"
    wait_for(lambda: fit(mount), 30)

    # Load: a slow page lowers the weight.
    web.delay = 1.2
    wait_for(lambda: json.loads(get(mount)[1])["weight"] <= 25, 30)
    web.delay = 0

    # Imports of this mount: one that fails again and again, one that is old; others do not count.
    for more, why in (({"failed": {"count": 3}}, "failed 3 times"), ({"updated_ms": 1}, "has not reported"),
                      ({"last_import": {"time": "2020-01-01T00:00:00Z"}}, "older than 3600 s")):
        put_import(site, mount, slot="/elsewhere/sql/slave1", **more)
        wait_for(lambda: fit(mount), 30)
        put_import(site, mount, **more)
        wait_for(lambda: not fit(mount), 30)
        assert why in reason(mount)
    os.unlink(os.path.join(site.rundir, "import-ee.json"))
    wait_for(lambda: fit(mount), 30)

    # The master's death takes it out after the grace only.
    link.cut()
    wait_for(lambda: mount.status()["state"] == "ISOLATED", 30)
    assert fit(mount)
    wait_for(lambda: not fit(mount), 30)
    assert "the master is away for" in reason(mount) and mount.status()["down_ms"] > 4000
    assert site.run("eefs-status", mount.point, check=False).returncode == 2
    link.restore()
    wait_for(lambda: fit(mount), 60)
    mount.stop()
    assert not os.path.exists(os.path.join(site.rundir, "health-slave1.sock"))


def test_the_port_is_for_this_machine(site):
    master = site.master()
    mount = site.mount(master, start=False)
    done = mount.try_start(monitor="0.0.0.0:%d" % free_port())
    assert done.returncode != 0 and "not a loopback address" in done.stderr
    done = mount.try_start(monitor="here")
    assert done.returncode != 0 and "monitor is HOST:PORT" in done.stderr
