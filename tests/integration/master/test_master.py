# SPDX-License-Identifier: MIT
"""eefs-master by raw requests: the tree, the feed, contents, operations, scopes and timelines."""

import base64
import json
import os
import shutil
import threading
import urllib.parse

import pytest

from eefs import content_name, read, wait_for, write

BOX = "00112233445566778899aabbccddeeff"


def fill(master):
    write(master.path("templates/default/site.html"), "<h1>hello</h1>")
    write(master.path("css/a.css"), "body{}")
    write(master.path("uploads/big.bin"), os.urandom(300_000))
    write(master.path("sql/slave1/x.sql"), "one")
    write(master.path("sql/slave2/x.sql"), "two")


@pytest.fixture
def master(site):
    master = site.master(start=False)
    fill(master)
    master.add_mirror("slave1")
    master.add_mirror("slave2")
    return master.start()


def put(n, path, data, pre="absent", **more):
    op = {"n": n, "op": "put", "path": path, "hash": content_name(data), "size": len(data),
          "mtime": 1_600_000_000_123_456_789, "mode": 0o644, "pre": pre,
          "data": base64.b64encode(data).decode()}
    op.update(more)
    return op


def answers(answer):
    assert answer.status == 200, answer.body
    return answer.json()["answers"]


@pytest.mark.san
def test_hello_and_tokens(master):
    hello = master.get("/v1/hello").json()
    assert hello["protocol"] == 1 and hello["name"] == "slave1"
    assert hello["read"] == [] and sorted(hello["write"]) == ["sql/slave1", "uploads"]
    assert len(hello["timeline"]) == 16 and hello["master_id"]
    for token in (None, "", " ", "wrong", "x" * 5000):
        answer = master.get("/v1/hello", token=token or None,
                            headers={} if token is None else {"Authorization": "Bearer %s" % token})
        assert answer.status in (400, 401, 431), answer.status
        if answer.status == 401:
            assert answer.code == "unauthorized"
    assert master.get("/healthz", token=None).status == 200
    assert master.get("/v1/nothing").status == 404


@pytest.mark.san
def test_listing_is_the_folder(master):
    os.symlink("a.css", master.path("css/link.css"))
    os.symlink("/etc", master.path("css/outside"))
    write(os.path.join(os.fsencode(master.root), b"uploads", b"caf\xe9 \xff.txt"), "latin")
    wait_for(lambda: "uploads/caf%E9%20%FF.txt" in master.listing()
             and "css/outside" in master.listing())
    listing = master.listing()
    st = os.stat(master.path("css/a.css"))
    one = listing["css/a.css"]
    assert one["type"] == "file" and one["size"] == 6
    assert one["hash"] == content_name(b"body{}")
    assert one["mtime"] == st.st_mtime_ns and one["mode"] == st.st_mode & 0o7777
    assert listing["templates/default"]["type"] == "dir"
    assert listing["css/link.css"]["target"] == "a.css"
    assert listing["css/outside"]["type"] == "link"
    assert not [p for p in listing if p.startswith((".eefs", "css/outside/"))]


def test_pages(master):
    for i in range(50):
        write(master.path("many/%02d" % i), str(i))
    wait_for(lambda: "many/49" in master.listing())
    whole = master.listing()
    entries, cursor = master.changes(limit=7)
    assert {e["path"] for e in entries if e["type"] != "gone"} == set(whole)
    again, same = master.changes(cursor)
    assert again == [] and same.rsplit(".", 1)[0] == cursor.rsplit(".", 1)[0]


@pytest.mark.san
def test_long_poll_wakes_at_once(master):
    _, cursor = master.changes()
    seen = {}

    def poll():
        seen["entries"], _ = master.changes(cursor, wait=30)

    thread = threading.Thread(target=poll)
    thread.start()
    write(master.path("css/new.css"), "p{}")
    thread.join(10)
    assert not thread.is_alive()
    assert "css/new.css" in {e["path"] for e in seen["entries"]}


def test_feed_tells_changes_deletes_and_renames(master):
    _, cursor = master.changes()
    seen = {}

    def follow():
        nonlocal cursor
        entries, cursor = master.changes(cursor, wait=1)
        seen.update({e["path"]: e for e in entries})
        return seen

    write(master.path("css/a.css"), "body{color:red}")
    wait_for(lambda: follow().get("css/a.css", {}).get("size") == 15)
    os.rename(master.path("css/a.css"), master.path("css/b.css"))
    wait_for(lambda: follow().get("css/a.css", {}).get("type") == "gone"
             and seen.get("css/b.css", {}).get("size") == 15)
    shutil.rmtree(master.path("css"))
    wait_for(lambda: follow().get("css", {}).get("type") == "gone"
             and seen["css/b.css"]["type"] == "gone")
    os.rename(master.path("templates"), master.path("moved"))
    wait_for(lambda: follow().get("moved/default/site.html") and
             seen.get("templates/default/site.html", {}).get("type") == "gone")
    os.chmod(master.path("moved/default/site.html"), 0o600)
    os.utime(master.path("moved/default/site.html"), ns=(5, 1234567890123456789))
    wait_for(lambda: follow()["moved/default/site.html"].get("mode") == 0o600
             and seen["moved/default/site.html"].get("mtime") == 1234567890123456789)


def test_what_a_writer_has_open_is_not_published(master):
    f = open(master.path("css/slow.css"), "wb")
    f.write(b"half")
    f.flush()
    write(master.path("css/marker.css"), "marker")
    wait_for(lambda: "css/marker.css" in master.listing())
    assert "css/slow.css" not in master.listing()
    f.write(b" and whole")
    f.close()
    wait_for(lambda: master.listing().get("css/slow.css", {}).get("hash")
             == content_name(b"half and whole"))


@pytest.mark.san
def test_contents_and_ranges(master):
    data = read(master.path("uploads/big.bin"))
    name = content_name(data)
    whole = master.get("/v1/o/" + name)
    assert whole.status == 200 and whole.body == data
    assert whole.headers["ETag"] == '"%s"' % name and whole.headers["Accept-Ranges"] == "bytes"
    for header, part in [("bytes=0-0", data[:1]), ("bytes=1000-1999", data[1000:2000]),
                         ("bytes=299990-", data[299990:]), ("bytes=-5", data[-5:]),
                         ("bytes=299999-999999999", data[299999:])]:
        answer = master.get("/v1/o/" + name, headers={"Range": header})
        assert answer.status == 206 and answer.body == part, header
        assert answer.headers["Content-Range"].endswith("/300000")
    assert master.get("/v1/o/" + name, headers={"Range": "bytes=300000-"}).status == 416
    for header in ("bytes=5-2", "lines=1-2", "bytes=x-y", "bytes=99999999999999999999-"):
        assert master.get("/v1/o/" + name, headers={"Range": header}).status in (200, 416), header
    assert master.get("/v1/o/" + name, headers={"If-None-Match": '"%s"' % name}).status in (200, 304)
    gone = master.get("/v1/o/" + content_name(b"never"))
    assert gone.status == 404 and gone.code == "gone" and "no-store" in gone.headers["Cache-Control"]
    for bad in ("s2-", "s2-xyz", "..%2f..%2fetc%2fpasswd", name.upper(), name + "0"):
        assert master.get("/v1/o/" + bad).status in (400, 404)


def test_superseded_content_is_never_another_content(master):
    """A content that was overwritten is gone, or is what its name says; never the new bytes."""
    old = content_name(b"body{}")
    write(master.path("css/a.css"), "body{color:blue}")
    answer = master.get("/v1/o/" + old)
    assert answer.status == 404 or answer.body == b"body{}"
    wait_for(lambda: master.get("/v1/o/" + content_name(b"body{color:blue}")).status == 200)
    assert master.get("/v1/o/" + old).status == 404


@pytest.mark.san
def test_ops(master):
    a = answers(master.ops(BOX, put(1, "uploads/new.txt", b"new"),
                           {"n": 2, "op": "mkdir", "path": "uploads/dir", "mode": 0o750, "mtime": 7},
                           {"n": 3, "op": "rename", "path": "uploads/new.txt",
                            "to": "uploads/dir/moved.txt", "pre": content_name(b"new"),
                            "to_pre": "absent"},
                           {"n": 4, "op": "symlink", "path": "uploads/link", "target": "dir/moved.txt",
                            "mtime": 9, "pre": "absent"},
                           {"n": 5, "op": "setattr", "path": "uploads/dir/moved.txt", "mode": 0o600,
                            "mtime": 1_500_000_000_000_000_001}))
    assert [x["result"] for x in a] == ["done"] * 5, a
    st = os.stat(master.path("uploads/dir/moved.txt"))
    assert read(master.path("uploads/dir/moved.txt")) == b"new"
    assert st.st_mode & 0o7777 == 0o600 and st.st_mtime_ns == 1_500_000_000_000_000_001
    assert os.readlink(master.path("uploads/link")) == "dir/moved.txt"
    assert os.stat(master.path("uploads/dir")).st_mode & 0o7777 == 0o750
    a = answers(master.ops(BOX, {"n": 6, "op": "rmdir", "path": "uploads/dir"}))
    assert a[0]["result"] == "refused" and a[0]["code"] == "not_empty"
    a = answers(master.ops(BOX, {"n": 7, "op": "unlink", "path": "uploads/dir/moved.txt",
                                 "pre": content_name(b"new")},
                           {"n": 8, "op": "unlink", "path": "uploads/link", "pre": "link"},
                           {"n": 9, "op": "rmdir", "path": "uploads/dir"}))
    assert [x["result"] for x in a] == ["done"] * 3, a
    assert sorted(os.listdir(master.path("uploads"))) == ["big.bin"]


def test_own_changes_come_back_by_the_feed_with_the_same_seq(master):
    _, cursor = master.changes()
    a = answers(master.ops(BOX, put(1, "uploads/echo.txt", b"echo")))
    entries, _ = master.changes(cursor)
    told = [e for e in entries if e["path"] == "uploads/echo.txt"]
    assert [e["seq"] for e in told] == [e["seq"] for e in a[0]["entries"]
                                        if e["path"] == "uploads/echo.txt"]


@pytest.mark.san
def test_a_failed_precondition_keeps_both(master):
    write(master.path("uploads/doc.txt"), "the master's")
    wait_for(lambda: "uploads/doc.txt" in master.listing())
    a = answers(master.ops(BOX, put(1, "uploads/doc.txt", b"mine", pre=content_name(b"older"))))
    assert a[0]["result"] == "conflict"
    copy = urllib.parse.unquote(a[0]["path"])
    assert copy != "uploads/doc.txt"
    assert read(master.path("uploads/doc.txt")) == b"the master's"
    assert read(master.path(copy)) == b"mine"
    # The same content is no conflict, whatever was expected.
    a = answers(master.ops(BOX, put(2, "uploads/doc.txt", b"the master's", pre="absent")))
    assert a[0]["result"] in ("done", "kept")
    # What one wanted to delete has changed: it stays.
    a = answers(master.ops(BOX, {"n": 3, "op": "unlink", "path": "uploads/doc.txt",
                                 "pre": content_name(b"older")}))
    assert a[0]["result"] == "kept" and read(master.path("uploads/doc.txt")) == b"the master's"
    a = answers(master.ops(BOX, {"n": 4, "op": "unlink", "path": "uploads/nothing",
                                 "pre": content_name(b"x")}))
    assert a[0]["result"] == "kept"


@pytest.mark.san
def test_a_retry_gives_one_change(master):
    op = put(1, "uploads/once.txt", b"once")
    first = answers(master.ops(BOX, op))
    head = master.get("/v1/hello").json()["head"]
    assert answers(master.ops(BOX, op)) == first
    assert master.get("/v1/hello").json()["head"] == head
    cloned = master.ops(BOX, put(1, "uploads/other.txt", b"other"))
    assert cloned.status == 409 and cloned.code == "cloned"
    assert not os.path.exists(master.path("uploads/other.txt"))
    # also after a restart of the master
    master.stop()
    master.start()
    assert answers(master.ops(BOX, op))[0]["result"] == "done"
    assert master.ops(BOX, put(1, "uploads/other.txt", b"other")).status == 409


def test_upload_resume_and_digest(master):
    data = os.urandom(200_000)
    name = content_name(data)
    url = "/v1/o/%s?outbox=%s" % (name, BOX)
    op = put(1, "uploads/up.bin", data)
    del op["data"]
    later = answers(master.ops(BOX, op))
    assert later[0]["result"] == "later" and later[0]["code"] == "need_content"

    half = master.request("PUT", url, body=data[:100_000],
                          headers={"Content-Range": "bytes 0-99999/200000"})
    assert half.status in (200, 202) and half.json()["have"] == 100_000
    head = master.request("HEAD", url, headers={"X-Eefs-Upload": "1"})
    assert head.headers["X-Eefs-Have"] == "100000"
    wrong = master.request("PUT", url, body=data[150_000:],
                           headers={"Content-Range": "bytes 150000-199999/200000"})
    assert wrong.status == 409 and wrong.code == "offset" and wrong.json()["have"] == 100_000
    done = master.request("PUT", url, body=data[100_000:],
                          headers={"Content-Range": "bytes 100000-199999/200000"})
    assert done.status == 200 and done.json()["have"] == 200_000
    # not visible until an operation names it
    assert master.get("/v1/o/" + name).status == 404
    assert "uploads/up.bin" not in master.listing()
    assert answers(master.ops(BOX, op))[0]["result"] == "done"
    assert read(master.path("uploads/up.bin")) == data

    bad = master.request("PUT", "/v1/o/%s?outbox=%s" % (content_name(b"right"), BOX), body=b"wrong")
    assert bad.status == 422 and bad.code == "digest"
    inline = dict(put(2, "uploads/bad.txt", b"right"), data=base64.b64encode(b"wrong").decode())
    answer = master.ops(BOX, inline)
    assert answer.status in (400, 422) or answers(answer)[0]["result"] in ("refused", "later")
    assert not os.path.exists(master.path("uploads/bad.txt"))


@pytest.mark.san
def test_scopes_on_every_route(master):
    listing = master.listing(token=master.tokens["slave1"])
    assert "sql/slave1/x.sql" in listing
    assert not [p for p in listing if p.startswith("sql/slave2")]
    assert master.get("/v1/o/" + content_name(b"two")).status == 404
    assert master.get("/v1/o/" + content_name(b"one")).status == 200
    n = 0
    for op in [put(0, "css/a.css", b"x", pre=content_name(b"body{}")), put(0, "new.txt", b"x"),
               put(0, "sql/slave2/y.sql", b"x"), put(0, "uploadsX/y", b"x"),
               {"op": "mkdir", "path": "templates/x", "mode": 0o755, "mtime": 1},
               {"op": "unlink", "path": "css/a.css", "pre": content_name(b"body{}")},
               {"op": "rmdir", "path": "css"}, {"op": "setattr", "path": "css/a.css", "mode": 0o777},
               {"op": "rename", "path": "css/a.css", "to": "uploads/a.css",
                "pre": content_name(b"body{}"), "to_pre": "absent"},
               {"op": "rename", "path": "uploads/big.bin", "to": "css/big.bin",
                "pre": listing["uploads/big.bin"]["hash"], "to_pre": "absent"},
               {"op": "symlink", "path": "css/l", "target": "x", "mtime": 1, "pre": "absent"},
               put(0, ".eefs/x", b"x"), put(0, "uploads/.eefs", b"x")]:
        n += 1
        answer = answers(master.ops(BOX, dict(op, n=n)))
        if op["path"] != "uploads/.eefs":
            assert answer[0]["result"] == "refused", (op, answer)
    assert read(master.path("css/a.css")) == b"body{}"
    assert sorted(os.listdir(master.path("css"))) == ["a.css"]
    assert os.path.exists(master.path("uploads/big.bin"))


def test_content_that_a_mirror_may_not_read_cannot_be_claimed(master):
    """Knowing a hash is not enough: an operation with it needs the bytes."""
    op = put(1, "uploads/stolen.sql", b"two")
    del op["data"]
    answer = answers(master.ops(BOX, op, token=master.tokens["slave1"]))
    assert answer[0]["result"] == "later" and answer[0]["code"] == "need_content"


def test_custom_scopes(site):
    master = site.master()
    fill(master)
    token = master.add_mirror("narrow", "--read", "css", "--read", "uploads", "--write", "css")
    wait_for(lambda: "css/a.css" in master.listing(token) and
             "uploads/big.bin" in master.listing(token))
    assert {p.split("/")[0] for p in master.listing(token)} == {"css", "uploads"}
    assert answers(master.ops(BOX, put(1, "css/n.css", b"n"), token=token))[0]["result"] == "done"
    assert answers(master.ops(BOX, put(2, "uploads/n", b"n"), token=token))[0]["result"] == "refused"


@pytest.mark.san
def test_bad_ops_bodies(master):
    for body in BAD_BODIES:
        answer = master.request("POST", "/v1/ops", body=body)
        assert answer.status in (200, 400), (body, answer.status)
        if answer.status == 400:
            assert answer.code == "bad_request", body
        else:
            assert all(a["result"] == "refused" and a["code"] == "bad_request"
                       for a in answer.json()["answers"]), body
        assert master.healthy()


BAD_BODIES = [
    "", "[]", "{}", "nonsense", '{"outbox":"","ops":[]}', '{"outbox":"zz","ops":[{}]}',
    json.dumps({"outbox": BOX, "ops": [{"n": 1, "op": "put"}]}),
    json.dumps({"outbox": BOX, "ops": [{"n": 1, "op": "explode", "path": "uploads/x"}]}),
    json.dumps({"outbox": BOX, "ops": [{"n": -1, "op": "rmdir", "path": "uploads/x"}]}),
    json.dumps({"outbox": BOX, "ops": [{"n": 1, "op": "rmdir", "path": "../x"}]}),
    json.dumps({"outbox": BOX, "ops": [{"n": 1, "op": "rmdir", "path": "/etc"}]}),
    '{"outbox":"' + BOX + '","ops":' + "[" * 3000,
]


def test_bad_feed_queries(master):
    for query in ("since=nonsense", "since=0000000000000000.5.1", "since=" + "9" * 400):
        answer = master.get("/v1/changes?" + query)
        assert answer.status == 409 and answer.code == "reset", query
    for query in ("limit=0", "limit=x", "wait=-1", "inline=-5"):
        assert master.get("/v1/changes?" + query).code == "bad_request", query
    cursor = master.changes()[1]
    write(master.path("uploads/new.txt"), "new")
    wait_for(lambda: "uploads/new.txt" in master.listing())
    assert master.get("/v1/changes?wait=99999&since=" + cursor).status == 200  # cut to the longest


def test_too_large_body(master):
    answer = master.request("POST", "/v1/ops", body=b'{"x":"' + b"y" * (9 << 20) + b'"}')
    assert answer.status == 413


def test_symlinks_are_never_followed(master, site):
    outside = os.path.join(site.base, "outside")
    os.mkdir(outside)
    os.symlink(outside, master.path("uploads/door"))
    wait_for(lambda: "uploads/door" in master.listing())
    answer = answers(master.ops(BOX, put(1, "uploads/door/x.txt", b"x")))
    assert answer[0]["result"] != "done"
    answer = answers(master.ops(BOX, {"n": 2, "op": "mkdir", "path": "uploads/door/d", "mode": 0o755,
                                      "mtime": 1}))
    assert answer[0]["result"] != "done"
    assert os.listdir(outside) == []


@pytest.mark.san
def test_restart_keeps_cursors(master):
    _, cursor = master.changes()
    master.stop()
    write(master.path("css/while-down.css"), "x")
    os.unlink(master.path("css/a.css"))
    master.start()
    entries, _ = master.changes(cursor)
    told = {e["path"]: e["type"] for e in entries}
    assert told.get("css/while-down.css") == "file" and told.get("css/a.css") == "gone"
    assert "templates/default/site.html" not in told
    _, cursor = master.changes(cursor)
    master.kill()
    master.start()
    assert master.get("/v1/changes?since=" + cursor).status == 200


@pytest.mark.san
def test_restored_database_is_noticed(master, site):
    """A state folder restored from a copy: cursors given out after the copy are refused."""
    _, early = master.changes()
    master.stop()
    copy = os.path.join(site.base, "copy")
    shutil.copytree(master.state, copy)
    master.start()
    write(master.path("css/after.css"), "x")
    wait_for(lambda: "css/after.css" in master.listing())
    _, late = master.changes()
    master.kill()
    shutil.rmtree(master.state)
    shutil.copytree(copy, master.state)
    master.start()
    refused = master.get("/v1/changes?since=" + late)
    assert refused.status == 409 and refused.code == "reset"
    assert master.get("/v1/changes?since=" + early).status == 200
    assert "css/after.css" in master.listing()


def test_a_database_short_of_its_last_commits(master):
    """The tail of its log was lost with the power: cursors of what is gone are refused."""
    _, early = master.changes()
    log = os.path.join(master.state, "master.db-wal")
    size = os.path.getsize(log)
    write(master.path("css/after.css"), "x")
    wait_for(lambda: "css/after.css" in master.listing())
    _, late = master.changes()
    master.kill()
    assert os.path.getsize(log) > size
    os.truncate(log, size)
    master.start()
    refused = master.get("/v1/changes?since=" + late)
    assert refused.status == 409 and refused.code == "reset"
    assert master.get("/v1/changes?since=" + early).status == 200
    assert "css/after.css" in master.listing()


def test_vanished_root_publishes_nothing(master):
    _, cursor = master.changes()
    os.rename(master.root, master.root + ".away")
    os.mkdir(master.root)
    wait_for(lambda: master.get("/healthz", token=None).status == 503, 30)
    os.rmdir(master.root)
    os.rename(master.root + ".away", master.root)
    wait_for(lambda: master.get("/healthz", token=None).status == 200, 30)
    entries, _ = master.changes(cursor)
    assert not [e for e in entries if e["type"] == "gone"]


@pytest.mark.san
def test_killed_at_any_moment_starts_again(master):
    for i in range(5):
        for j in range(20):
            write(master.path("css/k%d-%d.css" % (i, j)), "k")
        answers(master.ops(BOX, put(i + 1, "uploads/k%d" % i, b"k%d" % i)))
        master.kill()
        master.start()
        assert read(master.path("uploads/k%d" % i)) == b"k%d" % i
    wait_for(lambda: len([p for p in master.listing() if "css/k" in p]) == 100)


def test_state_report_is_shown(master):
    report = {"state": "DEGRADED", "reason": "test reason", "lag_ms": 5, "pending": 3, "conflicts": 0,
              "cursor": "", "version": "0", "imports": []}
    assert master.request("POST", "/v1/state", body=json.dumps(report)).status == 200
    mirrors = master.get("/v1/mirrors").json()["mirrors"]
    assert [m["name"] for m in mirrors] == ["slave1"]  # itself only
    assert mirrors[0]["state"] == "DEGRADED" and mirrors[0]["pending"] == 3
