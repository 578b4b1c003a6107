# SPDX-License-Identifier: MIT
"""What stays a mirror's own: tables by the site's prefix, and columns."""
import subprocess

import pytest
from sqlmirror import BIN

SITE = "CREATE TABLE nothing (id INT PRIMARY KEY);"


def site(prefix):
    def name(table):
        return "`%s`" % (prefix + table).replace("`", "``")
    return (f"CREATE TABLE {name('sessions')} (id INT PRIMARY KEY); "
            f"CREATE TABLE {name('captcha')} (id INT PRIMARY KEY); "
            f"CREATE TABLE {name('channel_titles')} (id INT PRIMARY KEY, v INT); "
            f"INSERT INTO {name('sessions')} VALUES (1); INSERT INTO {name('channel_titles')} VALUES (1,1);")


def rows(db, table, database="live"):
    return [r[0] for r in db.sql("SELECT id FROM `%s` ORDER BY id" % table.replace("`", "``"), database)]


@pytest.mark.parametrize("prefixes, options", [
    (["acme_"], []), ([""], []), (["a_", "b_"], []), (["a%_b*[x]`"], []), (["ACME_"], []), (["exp_"], []),
    (["x"], []), (["plain_"], ["--prefix", "plain_"]),
    ([""], ["--prefix", ""]), (["b_", ""], ["--prefix=", "--prefix", "b_"])])
def test_a_sites_sessions_are_kept_whatever_its_prefix(mirror, db, prefixes, options):
    for p in prefixes:
        db.sql(site(p), "site")
    db.sql("CREATE TABLE shop_sessions (id INT PRIMARY KEY); INSERT INTO shop_sessions VALUES (1)", "site")
    mirror.imported(db.dump("site"), *options)
    for p in prefixes:
        sessions = "`%ssessions`" % p.replace("`", "``")
        db.sql(f"INSERT INTO {sessions} VALUES (7)", "live")
        db.sql(f"INSERT INTO {sessions} VALUES (2); UPDATE `{p.replace('`', '``')}channel_titles` SET v=2", "site")
    db.sql("INSERT INTO shop_sessions VALUES (7)", "live")
    done = mirror.run(db.dump("site"), *options)
    assert done.returncode == 0, done.stderr
    for p in prefixes:
        assert rows(db, p + "sessions") == ["1", "7"]
        assert p + "sessions" in done.stderr and p + "captcha" in done.stderr
    assert rows(db, "shop_sessions") == ["1"]
    assert set(mirror.state()["kept_tables"]) == {p + t for p in prefixes for t in ("sessions", "captcha")}
    shown = subprocess.run([BIN + "/eefs-status", "--rundir", str(mirror.tmp / "run")], capture_output=True,
                           text=True).stdout
    assert f"keeps    {prefixes[0]}captcha, " in shown, shown


def test_a_given_prefix_counts_alone(mirror, db):
    db.sql(site("a_") + site("b_"), "site")
    mirror.imported(db.dump("site"), "--prefix", "b_")
    db.sql("INSERT INTO a_sessions VALUES (7); INSERT INTO b_sessions VALUES (7)", "live")
    mirror.imported(db.dump("site"), "--prefix", "b_")
    assert rows(db, "a_sessions") == ["1"] and rows(db, "b_sessions") == ["1", "7"]


def test_the_service_says_at_its_start_what_is_kept(mirror, db):
    db.sql(site("acme_"), "live")
    service = subprocess.Popen(mirror.args(), stderr=subprocess.PIPE, text=True)
    try:
        line = service.stderr.readline()
        assert "stay this server's own: acme_captcha, acme_sessions" in line
    finally:
        service.terminate()
        service.wait()
