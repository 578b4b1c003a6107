# SPDX-License-Identifier: MIT
"""Fixtures: a private site with its processes and mounts, all gone after the test."""

import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import eefs  # noqa: E402
from mariadb import MariaDB  # noqa: E402
from sqlmirror import SqlMirror  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "san: worth running on a sanitizer build")
    config.addinivalue_line("markers", "long: takes more than a few seconds; `make test-long`")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    setattr(item, "report_" + call.when, outcome.get_result())


@pytest.fixture
def site(request):
    """A private folder that knows how to start masters and mounts (see eefs.Site). What a daemon
    must not say (sanitizer reports, assertions, leaks) fails the test; a failed test shows the
    daemons' logs."""
    site = eefs.Site()
    try:
        yield site
    finally:
        failed = getattr(request.node, "report_call", None)
        site.stop_all()
        bad = site.suspicious()
        if (failed and failed.failed) or bad:
            print(site.logs())
        site.remove()
    assert not bad, "a daemon reported:\n" + "\n".join(bad)


@pytest.fixture(scope="module")
def db():
    """A private server without databases."""
    with MariaDB() as server:
        yield server


@pytest.fixture
def mirror(db, tmp_path, request):
    """An empty mirror of database `site`, which the module's SITE makes."""
    db.sql("DROP DATABASE IF EXISTS site; CREATE DATABASE site")
    db.sql(request.module.SITE, "site")
    return SqlMirror(db, tmp_path)


@pytest.fixture
def link(site, master):
    """Between `mount` and the test module's own `master`."""
    return site.link(master)


@pytest.fixture
def mount(site, master, link):
    return site.mount(master, url=link.url)
