"""UUIDs that others have written into SQLite: 36 characters or 32 digits, and texts that are none."""
import sqlite3
import uuid

import pytest

from support.client import Client
from support.server import Server

HEX = "6f1b0a3e0c3b4f5e9d8e111111111111"
ASKED = "6f1b0a3e-0c3b-4f5e-9d8e-111111111111"
NEW = "0a0b0c0d-0c3b-4f5e-9d8e-222222222222"
MD5 = "d41d8cd98f00b204e9800998ecf8427e"


@pytest.fixture
def house(tmp_path):
    path = tmp_path / "uuids.db"
    with Server() as server, Client(server.port) as client:
        client.post("/v1/connections", {"name": "f", "url": f"sqlite:{path}?mode=rwc", "default": True}).expect(201)
        client.path = path
        yield client


def run(client, *statements):
    with sqlite3.connect(client.path) as db:
        rows = [db.execute(*s).fetchall() if isinstance(s, tuple) else db.execute(s).fetchall() for s in statements]
    db.close()
    return rows[-1]


def column(client, model, name):
    ir = client.get(f"/v1/models/{model}").expect(200).json()
    ir = ir.get("model", ir)
    return next(c for c in ir["columns"] if c["name"] == name)


@pytest.mark.parametrize("declared", ["char(32)", "CHAR(32)", "uuid"])
@pytest.mark.parametrize("stored, spelling", [(HEX, "hex"), (ASKED, "hyphens")])
def test_a_uuid_has_its_columns_spelling_on_every_path(house, declared, stored, spelling):
    run(house, f"CREATE TABLE owner (id {declared} NOT NULL PRIMARY KEY, name text)",
        f"CREATE TABLE thing (id integer PRIMARY KEY, owner_id {declared} NOT NULL REFERENCES owner (id))",
        ("INSERT INTO owner VALUES (?, 'o')", (stored,)), ("INSERT INTO thing VALUES (1, ?)", (stored,)))
    house.post("/v1/introspect", {"register": True}).expect(200)
    kept = column(house, "owner", "id")
    assert kept["logical_type"] == "uuid" and kept.get("spelling", "hyphens") == spelling
    for asked in (ASKED, HEX, ASKED.upper()):
        assert house.get(f"/v1/models/owner/records/{asked}").expect(200).json() == {"id": ASKED, "name": "o"}
        assert house.get("/v1/models/thing/records", params={"owner_id": f"eq.{asked}"}).expect(200).json()["rows"] == [{"id": 1, "owner_id": ASKED}]
        where = [{"node_kind": "leaf", "column": "owner_id", "operator": "IN", "value": [asked, NEW]}]
        assert len(house.post("/v1/query", {"model_name": "thing", "where": where}).expect(200).json()["rows"]) == 1
    row = house.post("/v1/query", {"model_name": "thing", "include": ["owner"]}).expect(200).json()["rows"][0]
    assert row["owner"] == {"id": ASKED, "name": "o"}
    assert house.patch("/v1/models/thing/records/1", {"owner_id": ASKED}).expect(200).json()["owner_id"] == ASKED
    house.put("/v1/models/thing/records/1", {"id": 1, "owner_id": ASKED}).expect(200)
    with house.session() as session:
        assert session.get(f"/v1/models/owner/records/{HEX}").expect(200).json()["id"] == ASKED
        assert session.patch(f"/v1/models/owner/records/{ASKED}", {"name": "p"}).expect(200).json() == {"id": ASKED, "name": "p"}
        session.delete("/v1/session")
    assert house.post("/v1/models/owner/records", {"id": NEW, "name": "n"}).expect(201).json()["id"] == NEW
    house.put(f"/v1/models/owner/records/{NEW}", {"name": "m"}).expect(200)
    assert run(house, "SELECT owner_id FROM thing") == [(stored,)]
    assert run(house, "SELECT id FROM owner WHERE name = 'm'") == [(NEW if spelling == "hyphens" else NEW.replace("-", ""),)]
    page = house.get("/v1/models/owner/records?order=id&limit=1").expect(200).json()
    rest = house.get(f"/v1/models/owner/records?order=id&limit=1&cursor={page['next_cursor']}").expect(200).json()
    assert [r["id"] for r in page["rows"] + rest["rows"]] == [NEW, ASKED]
    assert house.post("/v1/migrate", {"dry_run": True, "updates": True}).expect(200).json().get("statements", []) == []


def test_other_texts_stay_what_they_are(house):
    types = {"a": "varchar(32)", "b": "nvarchar(32)", "c": "char(36)", "d": "char(32)", "e": "nchar(32)"}
    run(house, f"CREATE TABLE doc (id integer PRIMARY KEY, {', '.join(f'{n} {t}' for n, t in types.items())})",
        ("INSERT INTO doc VALUES (1, ?, ?, ?, ?, ?)", (MD5, MD5, ASKED, MD5, MD5)), "INSERT INTO doc (id, d) VALUES (2, 'word')",
        "CREATE TABLE mixed (id integer PRIMARY KEY, u char(32))",
        ("INSERT INTO mixed VALUES (1, ?), (2, ?)", (HEX, ASKED)))
    house.post("/v1/introspect", {"register": True}).expect(200)
    row = house.get("/v1/models/doc/records/1").expect(200).json()
    assert row == {"id": 1, "a": MD5, "b": MD5, "c": ASKED, "d": MD5, "e": MD5}
    for name in types:
        assert column(house, "doc", name)["logical_type"] == "string"
        assert [r["id"] for r in house.get("/v1/models/doc/records", params={name: f"eq.{row[name]}"}).expect(200).json()["rows"]] == [1]
    made = {"a": "Paris", "b": "900150983cd24fb0d6963f7d28e17f72", "c": "x", "d": "900150983cd24fb0d6963f7d28e17f72", "e": ""}
    assert house.post("/v1/models/doc/records", {"id": 3} | made).expect(201).json() == {"id": 3} | made
    assert run(house, "SELECT a, b, c, d, e FROM doc WHERE id = 3") == [tuple(made.values())]
    assert [r["u"] for r in house.get("/v1/models/mixed/records?order=id").expect(200).json()["rows"]] == [HEX, ASKED]
    assert house.post("/v1/migrate", {"dry_run": True, "updates": True}).expect(200).json().get("statements", []) == []


def test_an_empty_column_takes_hyphens(house):
    run(house, "CREATE TABLE owner (id char(32) NOT NULL PRIMARY KEY)")
    house.post("/v1/introspect", {"register": True}).expect(200)
    house.post("/v1/models/owner/records", {"id": HEX}).expect(201)
    assert run(house, "SELECT id FROM owner") == [(ASKED,)]


@pytest.mark.parametrize("other", [HEX[:-1] + "2", ASKED.upper()])
def test_a_declared_uuid_of_several_spellings_is_found_and_kept_as_stored(house, other):
    run(house, "CREATE TABLE owner (id UUID NOT NULL PRIMARY KEY, name text)", "CREATE TABLE thing (id integer PRIMARY KEY, owner_id uuid REFERENCES owner (id))",
        ("INSERT INTO owner VALUES (?, 'a'), (?, 'b')", (ASKED, other)), ("INSERT INTO thing VALUES (1, ?), (2, ?)", (ASKED, other)))
    answer = house.post("/v1/introspect", {"register": True}).expect(200).json()
    assert [(w["table"], w["column"]) for w in answer["warnings"] if w["code"] == "mixed_uuids"] == [("owner", "id"), ("thing", "owner_id")]
    assert column(house, "owner", "id")["logical_type"] == "string"
    for number, text in ((1, ASKED), (2, other)):
        assert house.get(f"/v1/models/thing/records/{number}").expect(200).json()["owner_id"] == text
        assert house.get(f"/v1/models/owner/records/{text}").expect(200).json()["id"] == text
        assert [r["id"] for r in house.get("/v1/models/thing/records", params={"owner_id": f"eq.{text}"}).expect(200).json()["rows"]] == [number]
        house.put(f"/v1/models/thing/records/{number}", {"id": number, "owner_id": text}).expect(200)
        house.put(f"/v1/models/owner/records/{text}", {"id": text, "name": "c"}).expect(200)
    rows = house.post("/v1/query", {"model_name": "thing", "include": ["owner"], "order_by": [{"column": "id", "direction": "asc"}]}).expect(200).json()["rows"]
    assert [r["owner"]["id"] for r in rows] == [ASKED, other]
    assert run(house, "SELECT owner_id FROM thing ORDER BY id") == run(house, "SELECT id FROM owner ORDER BY rowid") == [(ASKED,), (other,)]
    assert house.post("/v1/models/owner/records", {"id": NEW, "name": "n"}).expect(201).json()["id"] == NEW
    assert house.post("/v1/migrate", {"dry_run": True, "updates": True}).expect(200).json().get("statements", []) == []


@pytest.mark.parametrize("stored, spelling", [(HEX, "hex"), (ASKED, "hyphens")])
def test_what_is_no_uuid_beside_uuids_changes_no_spelling(house, stored, spelling):
    run(house, "CREATE TABLE owner (id UUID NOT NULL PRIMARY KEY)", ("INSERT INTO owner VALUES (?), ('x'), (?)", (stored, b"\x01")))
    house.post("/v1/introspect", {"register": True}).expect(200)
    assert column(house, "owner", "id").get("spelling", "hyphens") == spelling
    assert house.get(f"/v1/models/owner/records/{ASKED}").expect(200).json() == {"id": ASKED}


BLOBS = ["6f1b0a3e-0c3b-4f5e-9d8e-111111111111", "a0000000-0c3b-4f5e-9d8e-22222222222b", "b1c2d3e4-0c3b-4f5e-9d8e-33333333333c"]


@pytest.mark.parametrize("declared", ["uuid", "char(32)"])
@pytest.mark.parametrize("forms, spelling, written", [("bbb", "bytes", ("blob", 16)), ("hbh", "hex", ("text", 32)), ("bhb", "hex", ("text", 32)), ("tbt", "hyphens", ("text", 36)), ("bbt", "hyphens", ("text", 36))])
def test_uuids_that_are_bytes_are_found_as_texts_are(house, declared, forms, spelling, written):
    def stored(n):
        value = uuid.UUID(BLOBS[n])
        return {"b": value.bytes, "h": value.hex, "t": str(value)}[forms[n]]
    run(house, f"CREATE TABLE owner (id {declared} NOT NULL PRIMARY KEY, name text)", f"CREATE TABLE thing (id integer PRIMARY KEY, owner_id {declared} REFERENCES owner (id))",
        f"CREATE TABLE tag (id {declared} NOT NULL PRIMARY KEY)", *[("INSERT INTO owner VALUES (?, ?)", (stored(n), f"o{n}")) for n in range(3)], *[("INSERT INTO thing VALUES (?, ?)", (n + 1, stored(n))) for n in range(3)])
    house.post("/v1/introspect", {"register": True}).expect(200)
    kept = column(house, "owner", "id")
    assert kept["logical_type"] == "uuid" and kept.get("spelling", "hyphens") == spelling

    def found(operator, value, name="owner_id", **more):
        where = [{"node_kind": "leaf", "column": name, "operator": operator, "value": value, **more}]
        return [row["id"] for row in house.post("/v1/query", {"model_name": "thing", "where": where, "order_by": [{"column": "id"}], "select": ["id"]}).expect(200).json()["rows"]]
    for n, asked in enumerate(BLOBS):
        own, others = [n + 1], [k for k in (1, 2, 3) if k != n + 1]
        assert house.get(f"/v1/models/owner/records/{asked}").expect(200).json() == {"id": asked, "name": f"o{n}"}
        assert found("==", asked) == found("IN", [asked, NEW]) == found("is_not_distinct", asked) == found("BETWEEN", [asked, asked]) == found("LIKE", asked[:9] + "%") == own
        assert found("!=", asked) == found("NOT IN", [asked]) == found("is_distinct", asked) == others
        assert (found("<", asked), found("<=", asked), found(">", asked), found(">=", asked)) == (list(range(1, n + 1)), list(range(1, n + 2)), list(range(n + 2, 4)), list(range(n + 1, 4)))
        assert found("BETWEEN", [BLOBS[0], asked]) == list(range(1, n + 2))
        assert found("==", f"o{n}", "name", relation="owner") == found("==", asked, "id", relation="owner") == found("==", {"$coalesce": [None, asked]}) == own
        assert house.get("/v1/models/thing/records", params={"owner_id": f"eq.{asked}"}).expect(200).json()["rows"] == [{"id": n + 1, "owner_id": asked}]
        rows = house.post("/v1/query", {"model_name": "thing", "include": ["owner"], "order_by": [{"column": "id"}]}).expect(200).json()["rows"]
        assert rows[n]["owner"] == {"id": asked, "name": f"o{n}"}
        assert [row["id"] for row in house.get(f"/v1/models/owner/records/{asked}/thing_set").expect(200).json()["rows"]] == own
        # what was answered is written back, and nothing of it changes
        house.put(f"/v1/models/owner/records/{asked}", {"id": asked, "name": f"o{n}"}).expect(200)
        house.patch(f"/v1/models/thing/records/{n + 1}", {"owner_id": asked}).expect(200)
        house.put(f"/v1/models/thing/records/{n + 1}", {"id": n + 1, "owner_id": asked}).expect(200)
        update = {"query": {"model_name": "thing", "where": [{"node_kind": "leaf", "column": "owner_id", "operator": "==", "value": asked}]}, "set": {"owner_id": asked}}
        assert house.post("/v1/query/update", update).expect(200).json()["rows_affected"] == 1
        assert house.post("/v1/models/owner/get-or-create", {"where": {"id": asked}, "defaults": {"name": "x"}}).expect(200).json()["created"] is False
        with house.session() as session:
            assert session.get(f"/v1/models/owner/records/{asked}").expect(200).json()["name"] == f"o{n}"
            assert session.patch(f"/v1/models/owner/records/{asked}", {"name": f"o{n}"}).expect(200).json()["id"] == asked
            session.delete("/v1/session")
    assert [tuple(row) for row in run(house, "SELECT id FROM owner ORDER BY name")] == [(stored(n),) for n in range(3)]
    assert [tuple(row) for row in run(house, "SELECT owner_id FROM thing ORDER BY id")] == [(stored(n),) for n in range(3)]
    seen, cursor = [], ""
    while cursor is not None:
        page = house.get(f"/v1/models/owner/records?order=id&limit=1{cursor and '&cursor=' + cursor}").expect(200).json()
        seen += [row["id"] for row in page["rows"]]
        cursor = page.get("next_cursor")
    assert sorted(seen) == BLOBS
    house.post("/v1/models/owner/records", {"id": NEW, "name": "new"}).expect(201)
    assert run(house, "SELECT typeof(id), length(id) FROM owner WHERE name = 'new'") == [written]
    for n, asked in enumerate(BLOBS):
        delete = {"model_name": "thing", "where": [{"node_kind": "leaf", "column": "owner_id", "operator": "==", "value": asked}]}
        assert house.post("/v1/query/delete", delete).expect(200).json()["rows_affected"] == 1
        house.delete(f"/v1/models/owner/records/{asked}").expect(204)
    assert run(house, "SELECT count(*) FROM owner") == [(1,)]


def test_what_is_no_uuid_is_written_by_the_same_statement(house):
    """One statement is kept for a column, whatever the values are."""
    run(house, "CREATE TABLE thing (id integer PRIMARY KEY, u uuid)", ("INSERT INTO thing VALUES (1, ?), (2, ?)", (ASKED, b"xyz")))
    house.post("/v1/introspect", {"register": True}).expect(200)
    for _ in range(2):
        for key, value in ((1, ASKED), (2, {"$bytes": "eHl6"}), (1, None), (1, NEW), (2, {"$bytes": "eHl6"}), (1, ASKED)):
            assert house.patch(f"/v1/models/thing/records/{key}", {"u": value}).expect(200).json()["u"] == value
            where = [{"node_kind": "leaf", "column": "u", "operator": operator, "value": value} for operator in (("==", "is_not_distinct") if value is None else ("==", "<=", ">=", "is_not_distinct", "IN"))]
            for leaf in where:
                leaf["value"] = [value] if leaf["operator"] == "IN" else value
                answer = house.post("/v1/query", {"model_name": "thing", "where": [leaf]}).expect(200).json()["rows"]
                assert key in [row["id"] for row in answer], leaf
    assert run(house, "SELECT u FROM thing ORDER BY id") == [(ASKED,), (b"xyz",)]
