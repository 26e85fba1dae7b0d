"""Values that a SQLite file holds and its columns do not declare: answered as they are, found by what was answered, accepted back."""
import base64
import csv
import io
import json
import sqlite3

import pytest

from support.client import Client
from support.server import Server

BAD = b"caf\xe9"  # Latin-1
TAGGED = {"$bytes": base64.b64encode(BAD).decode()}
BLOB = {"$bytes": base64.b64encode(b"blob").decode()}


@pytest.fixture
def house(tmp_path):
    path = tmp_path / "odd.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE odd (id integer PRIMARY KEY, label text, n integer, x real, raw blob, at timestamp)")
        db.execute("INSERT INTO odd VALUES (1, CAST(? AS TEXT), 1, 1.5, x'00ff', '2026-01-02T03:04:05')", (BAD,))
        db.execute("INSERT INTO odd VALUES (2, x'626c6f62', 'n/a', 'none', 'text', 1767322985)")
        db.execute("INSERT INTO odd VALUES (3, 'plain', 2, 2, x'626c6f62', 'soon')")
        db.execute("INSERT INTO odd VALUES (4, NULL, NULL, NULL, NULL, NULL)")
    db.close()
    with Server() as server, Client(server.port) as client:
        client.post("/v1/connections", {"name": "f", "url": f"sqlite:{path}", "default": True}).expect(201)
        client.post("/v1/introspect", {"register": True}).expect(200)
        client.path = path
        yield client


def stored(client, number):
    with sqlite3.connect(client.path) as db:
        row = db.execute("SELECT typeof(label), CAST(label AS BLOB), typeof(n), n, typeof(raw), CAST(raw AS BLOB) FROM odd WHERE id = ?", (number,)).fetchone()
    db.close()
    return row


def test_text_that_is_not_utf8_on_every_path(house):
    assert house.get("/v1/models/odd/records/1").expect(200).json()["label"] == TAGGED
    assert house.get("/v1/models/odd/records?id=eq.1").expect(200).json()["rows"][0]["label"] == TAGGED
    assert house.get("/v1/models/odd/records?id=eq.1&select=label").expect(200).json()["rows"] == [{"label": TAGGED}]
    where = [{"node_kind": "leaf", "column": "id", "operator": "==", "value": 1}]
    assert house.post("/v1/query", {"model_name": "odd", "where": where}).expect(200).json()["rows"][0]["label"] == TAGGED
    assert house.post("/v1/sql/fetch-all", {"sql": "SELECT label FROM odd WHERE id = 1"}).expect(200).json()["rows"] == [{"label": TAGGED}]
    lines = house.get("/v1/models/odd/records?id=eq.1", headers={"Accept": "application/x-ndjson"}).expect(200).text.splitlines()
    assert json.loads(lines[0])["label"] == TAGGED
    table = list(csv.DictReader(io.StringIO(house.get("/v1/models/odd/records?id=eq.1", headers={"Accept": "text/csv"}).expect(200).text)))
    assert json.loads(table[0]["label"]) == TAGGED
    steps = house.post("/v1/batch", {"steps": [{"op": "get", "model": "odd", "key": 1}]})
    if steps.status == 200:
        assert TAGGED in json.loads(json.dumps(steps.json()["results"][0])).get("record", {"label": TAGGED}).values()
    with house.session() as session:
        for _ in range(2):
            assert session.get("/v1/models/odd/records/1").expect(200).json()["label"] == TAGGED
        session.delete("/v1/session")


@pytest.mark.parametrize("number, kind, content, answered", [(1, "text", BAD, TAGGED), (2, "blob", b"blob", BLOB)])
def test_found_by_what_was_answered_and_accepted_back(house, number, kind, content, answered):
    where = [{"node_kind": "leaf", "column": "label", "operator": "==", "value": answered}]
    assert [r["id"] for r in house.post("/v1/query", {"model_name": "odd", "where": where}).expect(200).json()["rows"]] == [number]
    assert [r["id"] for r in house.post("/v1/query", {"model_name": "odd", "where": [{"node_kind": "leaf", "column": "label", "operator": "IN", "value": [answered, "x"]}]}).expect(200).json()["rows"]] == [number]
    before = stored(house, number)
    assert before[:2] == (kind, content)
    row = house.get(f"/v1/models/odd/records/{number}").expect(200).json()
    house.patch(f"/v1/models/odd/records/{number}", {"label": row["label"], "raw": row["raw"]}).expect(200)
    assert stored(house, number) == before
    made = house.post("/v1/models/odd/records", {"id": 50, "label": answered}).expect(201).json()
    assert made["label"] == answered
    assert stored(house, 50)[:2] == (kind, content)


def test_binary_columns(house):
    assert house.get("/v1/models/odd/records/2").expect(200).json()["raw"] == {"$text": "text"}
    assert house.get("/v1/models/odd/records/3").expect(200).json()["raw"] == base64.b64encode(b"blob").decode()
    for value, number in (({"$text": "text"}, 2), (BLOB, 3), (BLOB["$bytes"], 3)):
        where = [{"node_kind": "leaf", "column": "raw", "operator": "==", "value": value}]
        assert [r["id"] for r in house.post("/v1/query", {"model_name": "odd", "where": where}).expect(200).json()["rows"]] == [number]


def test_declared_types_of_others(house):
    """BOOLEAN and DECIMAL are what they say; a number that is neither true nor false stays that number."""
    with sqlite3.connect(house.path) as db:
        db.execute("CREATE TABLE b (id integer PRIMARY KEY, f boolean NOT NULL DEFAULT false, d decimal(10,2), m money)")
        db.execute("INSERT INTO b VALUES (1, 1, 0.1, 2), (2, 5, '0.25', 1.5), (3, 0, 'n/a', NULL)")
    db.close()
    house.post("/v1/introspect", {"register": True}).expect(200)
    rows = house.get("/v1/models/b/records?order=id").expect(200).json()["rows"]
    assert rows == [{"id": 1, "f": True, "d": "0.1", "m": "2"}, {"id": 2, "f": 5, "d": "0.25", "m": "1.5"}, {"id": 3, "f": False, "d": "n/a", "m": None}]
    assert house.post("/v1/models/b/records", {"id": 4, "f": True, "d": "12.50"}).expect(201).json()["d"] == "12.5"
    assert [r["id"] for r in house.get("/v1/models/b/records?f=is.true&order=id").expect(200).json()["rows"]] == [1, 4]
    assert [r["id"] for r in house.get("/v1/models/b/records?d=eq.0.25").expect(200).json()["rows"]] == [2]
    assert house.post("/v1/migrate", {"dry_run": True, "updates": True}).expect(200).json().get("statements", []) == []


@pytest.mark.parametrize("order", ["label", "n", "x", "raw"])
@pytest.mark.parametrize("direction", ["", ".desc"])
def test_no_row_stops_a_walk(house, order, direction):
    path, seen = f"/v1/models/odd/records?order={order}{direction}&limit=1", []
    page = house.get(path).expect(200).json()
    while True:
        seen += [row["id"] for row in page["rows"]]
        if page.get("next_cursor") is None:
            break
        page = house.get(f"{path}&cursor={page['next_cursor']}").expect(200).json()
        assert len(seen) < 10
    assert sorted(seen) == [1, 2, 3, 4], seen
