# SPDX-License-Identifier: MIT
"""Two machines with one mirror's token (a copied image): both are told, and the master, with their addresses."""
import json
import os
import subprocess

import pytest

from eefs import Mount, wait_for

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="needs root for a host name of its own")


class Elsewhere(Mount):
    """A mount on a machine of another name."""

    def argv(self, **more):
        return ["unshare", "--uts", "sh", "-c", 'hostname copy && exec "$@"', "sh", *super().argv(**more)]


def copied(site):
    """(master, mount, its copy elsewhere), all told."""
    master = site.master()
    mount = site.mount(master)
    name = subprocess.run(["hostname"], capture_output=True, text=True).stdout.strip()
    wait_for(lambda: master.control()["mirrors"][0].get("address"), 20)
    copy = Elsewhere(site, master, "slave1", instance="copy").start()
    here, there = "'%s' at 127.0.0.1" % name, "'copy' at 127.0.0.1"
    wait_for(lambda: there in mount.status()["reason"] and here in copy.status()["reason"], 60)
    for one in (mount, copy):
        told = one.status()
        assert told["state"] == "DEGRADED" and "uses this mirror's token" in told["reason"]
        assert "eefs-master mirror add" in told["action"]
    told = master.control()
    assert told["state"] == "DEGRADED" and told["mirrors"][0]["state"] == "DEGRADED"
    assert told["reason"].startswith("mirror 'slave1': two machines use its token: ")
    assert here in told["reason"] and there in told["reason"]
    assert "two machines use its token" in site.run("eefs-status", check=False).stdout
    return master, mount, copy


def test_a_copied_image(site):
    copied(site)


@pytest.mark.long
def test_the_copy_is_gone(site):
    """One that takes over for good is no copy; and once the copy is gone all are well again."""
    master, mount, copy = copied(site)
    copy.stop()
    token = next(iter(master.tokens.values()))
    answer = master.request("POST", "/v1/state", token=token, headers={"X-Forwarded-For": "192.0.2.1, 192.0.2.9"},
                            body=json.dumps({"state": "OK", "machine": "another boot:new"}))
    assert answer.status == 200 and master.control()["mirrors"][0]["address"] in ("192.0.2.9", "127.0.0.1")
    wait_for(lambda: mount.status()["state"] == "OK", 150)
    wait_for(lambda: master.control()["state"] == "OK", 60)
