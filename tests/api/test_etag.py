"""ETag, If-Match, If-None-Match: optimistic concurrency that notices changes by anybody, on both databases."""
import threading

import pytest

from support.library import column, key, model
from support.tables import create_tables, insert, sql

DOC = model("Doc", key(), column("title", "string"), column("n", "integer", nullable=True), column("body", "json", nullable=True),
            column("price", "decimal", nullable=True), column("at", "datetime", nullable=True))
PATH = "/v1/models/Doc/records/1"


@pytest.fixture
def doc(conn):
    create_tables(conn.client, conn.name, DOC)
    insert(conn.client, conn.name, "Doc", [{"id": 1, "title": "t", "n": 1, "body": {"b": 1, "a": [1.5, None]}, "price": "10.50",
                                            "at": "2026-01-02T03:04:05+01:00"}])

    def call(method, status, body=None, path=PATH, client=None, **headers):
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return (client or conn.client).request(method, path, body, params=conn.using if client is None else None, headers=sent).expect(status)
    conn.call = call
    conn.tag = lambda: call("GET", 200).header("ETag")
    return conn


def test_tags_follow_the_content(doc):
    call, first = doc.call, doc.tag()
    assert doc.tag() == first and first.startswith('"') and first.endswith('"')
    assert call("PATCH", 200, {"n": 2}).header("ETag") == doc.tag() != first
    assert call("PATCH", 200, {"n": 1}).header("ETag") == first, "the tag is of the content"
    assert call("POST", 200, path=PATH + "/refresh").header("ETag") == first
    sql(doc.client, "UPDATE doc SET title = 'by hand'", using=doc.name, verb="execute").expect(200)
    assert doc.tag() != first
    session = doc.client.session(using=doc.name)
    assert call("GET", 200, client=session).header("ETag") == doc.tag()
    session.delete("/v1/session").expect(204)


def test_not_modified(doc):
    call, tag = doc.call, doc.tag()
    for known in (tag, f'"x", {tag}', f"W/{tag}", "*"):
        answer = call("GET", 304, If_None_Match=known)
        assert answer.body == b"" and answer.header("ETag") == tag
    assert call("HEAD", 304, If_None_Match=tag).header("ETag") == tag
    for known in ('"x"', '"x", "y"', "garbage"):
        call("GET", 200, If_None_Match=known)


@pytest.mark.parametrize("method, body, status", [("PUT", {"title": "new"}, 200), ("PATCH", {"title": "new"}, 200), ("DELETE", None, 204)])
def test_if_match(doc, method, body, status):
    call, tag = doc.call, doc.tag()
    problem = call(method, 412, body, If_Match='"other"').json()
    assert problem["code"] == "precondition_failed"
    call(method, 412, body, If_Match='W/' + tag)
    sql(doc.client, "UPDATE doc SET n = n + 1", using=doc.name, verb="execute").expect(200)
    call(method, 412, body, If_Match=tag)
    assert call("GET", 200).json()["title"] == "t"
    call(method, status, body, If_Match=f'"x", {doc.tag()}')
    call(method, 412, body, If_Match=tag)


def test_if_match_of_what_is_not_there(doc):
    missing = "/v1/models/Doc/records/99"
    for wanted in ("*", '"x"'):
        for method, body in (("PUT", {"title": "new"}), ("PATCH", {"title": "new"}), ("DELETE", None)):
            doc.call(method, 412, body, path=missing, If_Match=wanted)
    doc.call("GET", 404, path=missing)
    doc.call("PATCH", 200, {"n": 5}, If_Match="*")


def test_create_only_and_change_only_if_new(doc):
    """If-None-Match: * makes PUT a create that never replaces."""
    doc.call("PUT", 412, {"title": "again"}, If_None_Match="*")
    assert doc.call("GET", 200).json()["title"] == "t"
    doc.call("PUT", 201, {"title": "two"}, path="/v1/models/Doc/records/2", If_None_Match="*")
    doc.call("PUT", 412, {"title": "two"}, path="/v1/models/Doc/records/2", If_None_Match="*")
    tag = doc.tag()
    doc.call("PATCH", 412, {"n": 3}, If_None_Match=tag)
    doc.call("PATCH", 200, {"n": 3}, If_None_Match=tag.replace('"', '"x', 1))
    doc.call("DELETE", 412, If_None_Match="*")


def test_a_session_is_told_of_changes_by_others(doc):
    """The map answers the old version; a write under its tag is refused all the same."""
    session = doc.client.session(using=doc.name)
    tag = doc.call("GET", 200, client=session).header("ETag")
    doc.call("PATCH", 200, {"n": 77})
    assert doc.call("GET", 200, client=session).header("ETag") == tag
    doc.call("PATCH", 412, {"title": "lost"}, client=session, If_Match=tag)
    fresh = doc.call("GET", 200, client=session, Cache_Control="no-cache").header("ETag")
    assert fresh != tag
    doc.call("PATCH", 200, {"title": "won"}, client=session, If_Match=fresh)
    session.delete("/v1/session").expect(204)


def test_no_update_is_lost(doc):
    """Many clients count up under If-Match: the sum is exact."""
    faults = []

    def work():
        try:
            with doc.client.clone() as c:
                for _ in range(8):
                    while True:
                        read = c.get(PATH, params=doc.using, validate=False).expect(200)
                        answer = c.patch(PATH, {"n": read.json()["n"] + 1}, params=doc.using, headers={"If-Match": read.header("ETag")},
                                         validate=False)
                        if answer.status == 200:
                            break
                        assert answer.status == 412 or answer.json().get("retryable"), answer.body
        except AssertionError as e:
            faults.append(str(e))
    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults, faults[:2]
    assert doc.call("GET", 200).json()["n"] == 1 + 6 * 8
