"""Texts in columns that are declared for bytes: found by what was answered, in their order, and left as they are."""
import json
import sqlite3
from urllib.parse import quote

import pytest

from support.client import Client
from support.server import Server

ODD = {"$bytes": "//4="}  # FF FE: as a text no UTF-8; a blob is plain base64 in such a column
ROWS = {1: b"abc", 2: "abc", 3: "é", 5: None, 6: 7, 7: 1.5, 8: b"\xff\xfe", 9: ""}
ORDER = [5, 7, 6, 9, 2, 3, 4, 1, 8]  # null, numbers, texts, blobs


@pytest.fixture
def house(tmp_path):
    path = tmp_path / "blobs.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, b BLOB)")
        db.executemany("INSERT INTO t VALUES (?, ?)", ROWS.items())
        db.execute("INSERT INTO t VALUES (4, CAST(x'fffe' AS TEXT))")
    db.close()
    with Server("--default-url", f"sqlite:{path}") as server, Client(server.port) as client:
        client.post("/v1/introspect", {"register": True}).expect(200)
        client.path = path
        yield client


def stored(client, key=None):
    with sqlite3.connect(client.path) as db:
        rows = {n: (kind, content) for n, kind, content in db.execute("SELECT id, typeof(b), hex(b) FROM t")}
    db.close()
    return rows if key is None else rows[key]


def found(client, operator, value):
    where = [{"node_kind": "leaf", "column": "b", "operator": operator, "value": value}]
    return [row["id"] for row in client.post("/v1/query", {"model_name": "t", "where": where, "order_by": [{"column": "id"}]}).expect(200).json()["rows"]]


def test_answers(house):
    assert [row["b"] for row in house.get("/v1/models/t/records?order=id").expect(200).json()["rows"]] == [
        "YWJj", {"$text": "abc"}, {"$text": "é"}, ODD, None, 7, 1.5, "//4=", {"$text": ""}]


def test_found_by_what_was_answered(house):
    assert found(house, "==", ODD) == [4, 8]  # as in columns of text: whatever class the bytes have
    assert found(house, "==", "//4=") == [8] and found(house, "==", {"$text": "abc"}) == [2] and found(house, "==", "YWJj") == [1]
    assert found(house, "!=", ODD) == [1, 2, 3, 6, 7, 9] and found(house, "IN", [ODD, 7]) == [4, 6, 8]
    rows = house.get(f"/v1/models/t/records?order=id&b=eq.{quote(json.dumps(ODD))}").expect(200).json()["rows"]
    assert [row["id"] for row in rows] == [4, 8]


@pytest.mark.parametrize("value", [ODD, "//4=", {"$text": "abc"}, "YWJj", 7, {"$text": ""}])
def test_less_equal_and_more_are_all_rows_once(house, value):
    """Asked one after the other on one connection: what was compiled for one value is not another's."""
    less, equal, more = (found(house, operator, value) for operator in ("<", "==", ">"))
    assert sorted(less + equal + more) == [1, 2, 3, 4, 6, 7, 8, 9]
    assert found(house, "<=", value) == sorted(less + equal) and found(house, ">=", value) == sorted(equal + more)
    last = max(ORDER.index(n) for n in less) if less else 0
    assert last < min(ORDER.index(n) for n in equal)


def test_operators_beside_each_other(house):
    for operator in ("<=", ">", "<", ">="):
        counts = [len(found(house, operator, value)) for value in (ODD, {"$text": "abc"}, ODD, "YWJj", {"$text": "abc"}, ODD)]
        assert counts[0] == counts[2] == counts[5] and counts[1] == counts[4]


@pytest.mark.parametrize("descending", [False, True])
def test_pages_visit_each_row_once(house, descending):
    url, seen, cursor = f"/v1/models/t/records?limit=2&order=b{'.desc' if descending else ''}", [], ""
    while cursor is not None:
        answer = house.get(url + (f"&cursor={quote(cursor)}" if cursor else "")).expect(200).json()
        seen += [row["id"] for row in answer["rows"]]
        cursor = answer.get("next_cursor")
    assert seen == (ORDER[::-1] if descending else ORDER)


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_what_was_answered_is_accepted_back_and_changes_nothing(house, method):
    before = stored(house)
    for row in house.get("/v1/models/t/records").expect(200).json()["rows"]:
        assert house.request(method, f"/v1/models/t/records/{row['id']}", row).expect(200).json() == row
    assert stored(house) == before


def test_where_it_is_written_anew_it_is_a_blob(house):
    blob = ("blob", "FFFE")
    house.post("/v1/models/t/records", {"id": 20, "b": ODD}).expect(201)
    house.patch("/v1/models/t/records/6", {"b": ODD}).expect(200)
    house.put("/v1/models/t/records/21", {"b": ODD}).expect(201)
    house.put("/v1/models/t/records/7", {"b": ODD}).expect(200)
    house.post("/v1/models/t/records", {"records": [{"id": 22, "b": ODD}, {"id": 23, "b": "//4="}]}).expect(201)
    where = [{"node_kind": "leaf", "column": "id", "operator": "==", "value": 9}]
    house.post("/v1/query/update", {"query": {"model_name": "t", "where": where}, "set": {"b": ODD}}).expect(200)
    assert [stored(house, n) for n in (20, 6, 21, 7, 22, 23, 9)] == [blob] * 7
    assert stored(house, 4) == ("text", "FFFE")
