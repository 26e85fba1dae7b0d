"""Values that a SQLite file holds and its columns do not declare: answered as they are, found by what was answered, accepted back."""
import base64
import csv
import io
import json
import sqlite3
from urllib.parse import quote

import pytest

from support.client import Client
from support.schema import column, introspect, model, register, run
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
        row = db.execute("SELECT typeof(label), CAST(label AS BLOB), typeof(n), CAST(n AS BLOB), typeof(raw), CAST(raw AS BLOB) FROM odd WHERE id = ?", (number,)).fetchone()
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


MISFITS = {"n": "n/a", "f": 5, "x": "none", "s": "long enough", "d": "n/a", "day": "soon", "j": {"$text": "no {json"}, "k": {"$bytes": "//4="}, "c": 7}


@pytest.fixture
def misfits(house):
    with sqlite3.connect(house.path) as db:
        db.execute("CREATE TABLE m (id varchar(3) PRIMARY KEY, n integer, f boolean, x real, s varchar(4), d decimal(8,2), day date, j json, k json, c blob)")
        for key in ("one", "over-long"):
            db.execute("INSERT INTO m VALUES (?, 'n/a', 5, 'none', 'long enough', 'n/a', 'soon', 'no {json', x'fffe', 7)", (key,))
        db.execute("INSERT INTO m VALUES ('two', 1, 1, 1.5, 'ok', 2.5, '2026-01-02', '{\"a\":1}', '[]', x'00')")
    db.close()
    house.post("/v1/introspect", {"register": True}).expect(200)
    return house


def held(client, key):
    names = ("id", *MISFITS)
    with sqlite3.connect(client.path) as db:
        row = db.execute(f"SELECT {', '.join(f'typeof({n}), hex({n})' for n in names)} FROM m WHERE id = ?", (key,)).fetchone()
    db.close()
    return row


@pytest.mark.parametrize("key", ["one", "over-long", "two"])
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_what_a_read_answers_is_accepted_back_as_it_is(misfits, key, method):
    before, path = held(misfits, key), f"/v1/models/m/records/{key}"
    row = misfits.get(path).expect(200).json()
    if key != "two":
        assert row == {"id": key} | MISFITS
    if method == "PATCH":
        row.pop("id")
    assert misfits.request(method, path, row).expect(200).json() == {"id": key} | row
    assert held(misfits, key) == before
    if method == "PATCH":
        misfits.patch(path, row | {"n": 12}).expect(200)
        assert misfits.get(path).expect(200).json()["n"] == 12
    with misfits.session() as session:
        row = session.get(path).expect(200).json()
        assert session.patch(path, {"s": row["s"], "f": row["f"]}).expect(200).json() == row
        session.delete("/v1/session")


def test_only_what_is_there_is_accepted_back(misfits):
    before = held(misfits, "one")
    for change, pointer in (({"n": "other"}, "/n"), ({"f": 6}, "/f"), ({"s": "longer yet"}, "/s"), ({"day": "later"}, "/day"), ({"x": "None"}, "/x")):
        assert misfits.patch("/v1/models/m/records/one", change).expect(422, "invalid_value").pointers() == [pointer]
        assert misfits.put("/v1/models/m/records/one", MISFITS | change).expect(422, "invalid_value").pointers() == [pointer]
        assert misfits.patch("/v1/models/m/records/two", change).expect(422, "invalid_value").pointers() == [pointer]
        assert misfits.put("/v1/models/m/records/new", MISFITS | change).status == 422
        assert misfits.post("/v1/models/m/records", {"id": "new"} | change).expect(422, "invalid_value").pointers() == [pointer]
    assert held(misfits, "one") == before and held(misfits, "new") is None


@pytest.mark.parametrize("name", MISFITS)
def test_a_misfit_is_found_by_what_was_answered(misfits, name):
    value = MISFITS[name]
    where = {"node_kind": "leaf", "column": name, "operator": "==", "value": value}
    found = misfits.post("/v1/query", {"model_name": "m", "where": [where], "order_by": [{"column": "id", "direction": "asc"}]}).expect(200).json()
    assert [r["id"] for r in found["rows"]] == ["one", "over-long"]
    if name not in ("j", "k"):
        found = misfits.post("/v1/query", {"model_name": "m", "where": [where | {"operator": "IN", "value": [value]}]}).expect(200).json()
        assert len(found["rows"]) == 2
    text = json.dumps(value) if isinstance(value, dict) else str(value)
    found = misfits.get("/v1/models/m/records", params={name: f"eq.{text}", "order": "id"}).expect(200).json()
    assert [r["id"] for r in found["rows"]] == ["one", "over-long"]
    found = misfits.get("/v1/models/m/records", params={name: f"neq.{text}"}).expect(200).json()
    assert [r["id"] for r in found["rows"]] == ["two"]


def test_tagged_values_in_urls(house):
    with sqlite3.connect(house.path) as db:
        db.execute("CREATE TABLE keyed (k text PRIMARY KEY, b blob)")
        db.execute("INSERT INTO keyed VALUES (CAST(? AS TEXT), 'text'), (x'626c6f62', x'00'), ('{\"$text\": 1}', x'01')", (BAD,))
    db.close()
    house.post("/v1/introspect", {"register": True}).expect(200)
    for tagged in (TAGGED, BLOB):
        key = quote(json.dumps(tagged), safe="")
        assert house.get(f"/v1/models/keyed/records/{key}").expect(200).json()["k"] == tagged
        assert house.get("/v1/models/keyed/records", params={"k": f"eq.{json.dumps(tagged)}"}).expect(200).json()["rows"][0]["k"] == tagged
        assert house.patch(f"/v1/models/keyed/records/{key}", {"b": "AAAA"}).expect(200).json() == {"k": tagged, "b": "AAAA"}
        house.delete(f"/v1/models/keyed/records/{key}").expect(204)
    plain = '{"$text": 1}'
    assert house.get(f"/v1/models/keyed/records/{quote(plain, safe='')}").expect(200).json()["k"] == plain
    assert house.get("/v1/models/odd/records", params={"raw": 'eq.{"$text":"text"}'}).expect(200).json()["rows"][0]["id"] == 2


@pytest.fixture(params=["text", "blob"])
def stranger(house, request):
    """A row whose cell, and a table whose key, are bytes that are no UTF-8, of that storage class."""
    literal = f"CAST(x'{BAD.hex()}' AS TEXT)" if request.param == "text" else f"x'{BAD.hex()}'"
    with sqlite3.connect(house.path) as db:
        db.execute(f"UPDATE odd SET label = {literal}, n = {literal} WHERE id = 1")
        db.execute("CREATE TABLE keyed (k text PRIMARY KEY, b integer)")
        db.execute(f"INSERT INTO keyed VALUES ({literal}, 1), ('plain', 2)")
        db.execute("CREATE TABLE child (id integer PRIMARY KEY, keyed_k text REFERENCES keyed (k))")
        db.execute(f"INSERT INTO child VALUES (1, {literal}), (2, 'plain')")
    db.close()
    house.post("/v1/introspect", {"register": True}).expect(200)
    house.kind = request.param
    return house


def ids(client, node, negated=False):
    where = [{"node_kind": "not", "child": node}] if negated else [node]
    rows = client.post("/v1/query", {"model_name": "odd", "where": where}).expect(200).json()["rows"]
    return sorted(row["id"] for row in rows)


@pytest.mark.parametrize("column", ["label", "n"])
def test_bytes_that_are_no_text_are_found_whatever_class_they_have(stranger, column):
    leaf = {"node_kind": "leaf", "column": column, "value": TAGGED}
    assert stranger.get("/v1/models/odd/records/1").expect(200).json()[column] == TAGGED
    assert ids(stranger, leaf | {"operator": "=="}) == [1]
    assert ids(stranger, leaf | {"operator": "=="}, negated=True) == [2, 3]
    assert ids(stranger, leaf | {"operator": "!="}) == [2, 3]
    assert ids(stranger, leaf | {"operator": "IN", "value": [TAGGED]}) == [1]
    assert ids(stranger, leaf | {"operator": "NOT IN", "value": [TAGGED]}) == [2, 3]
    assert ids(stranger, leaf | {"operator": "is_not_distinct"}) == [1]
    assert ids(stranger, leaf | {"operator": "is_distinct"}) == [2, 3, 4]
    text = json.dumps(TAGGED)
    for params, found in (({column: f"eq.{text}"}, [1]), ({column: f"neq.{text}"}, [2, 3]),
                          ({"or": f"({column}.eq.{json.dumps(text)})"}, [1])):
        assert sorted(r["id"] for r in stranger.get("/v1/models/odd/records", params=params).expect(200).json()["rows"]) == found, params


def test_writes_of_it_reach_it(stranger):
    where = [{"node_kind": "leaf", "column": "label", "operator": "==", "value": TAGGED}]
    query = {"model_name": "odd", "where": where}
    assert stranger.post("/v1/query/count", query).expect(200).json()["count"] == 1
    before = stored(stranger, 1)
    for method in ("patch", "put"):
        row = stranger.get("/v1/models/odd/records/1").expect(200)
        getattr(stranger, method)("/v1/models/odd/records/1", row.json(), headers={"If-Match": row.header("ETag")}).expect(200)
        assert stored(stranger, 1) == before
    stranger.post("/v1/models/odd/get-or-create", {"where": {"label": TAGGED}, "defaults": {"id": 77}}).expect(200)
    assert stranger.post("/v1/query/update", {"query": query, "set": {"x": 9.5}}).expect(200).json()["rows_affected"] == 1
    assert stranger.post("/v1/query/delete", query).expect(200).json()["rows_affected"] == 1


def test_a_key_of_it_leads_to_its_row(stranger):
    path = "/v1/models/keyed/records/" + quote(json.dumps(TAGGED), safe="")
    with stranger.session() as session:
        for use in (stranger, session):
            assert use.get(path).expect(200).json() == {"k": TAGGED, "b": 1}
        assert session.get("/v1/models/keyed/records").expect(200).json()["rows"]
        assert session.patch(path, {"b": 5}).expect(200).json() == {"k": TAGGED, "b": 5}
        assert session.get(path).expect(200).json() == {"k": TAGGED, "b": 5}
        session.delete("/v1/session")
    assert stranger.put(path, {"k": TAGGED, "b": 6}).expect(200).json() == {"k": TAGGED, "b": 6}
    steps = [{"op": "get", "model": "keyed", "pk": TAGGED}, {"op": "get", "model": "keyed", "pk": [TAGGED]}]
    results = stranger.post("/v1/batch", {"steps": steps}).expect(200).json()["results"]
    assert [r["status"] for r in results] == [200, 200], results
    row, = stranger.get("/v1/models/child/records", params={"id": "eq.1"}).expect(200).json()["rows"]
    assert row["keyed_k"] == TAGGED
    with sqlite3.connect(stranger.path) as db:
        assert db.execute("SELECT typeof(k), b FROM keyed ORDER BY b").fetchall() == [("text", 2), (stranger.kind, 6)]
    db.close()
    with sqlite3.connect(stranger.path) as db:
        db.execute("DELETE FROM child")
    db.close()
    stranger.delete(path).expect(204)
    stranger.get(path).problem(404, "record_not_found")


def test_a_column_without_a_type_takes_numbers(sqlite_conn):
    """As it has them: what it keeps is of whatever class was sent. A type that says text takes text only, as ever."""
    conn = sqlite_conn
    run(conn.backend, "CREATE TABLE eav (id integer PRIMARY KEY, v, w ANY, t text);\nCREATE TABLE strict (id integer PRIMARY KEY, v ANY) STRICT")
    conn.client.put("/v1/models", {"models": []}).expect(200)
    conn.client.post("/v1/introspect", {**conn.using, "register": True}).expect(200)
    path = "/v1/models/eav/records"
    for number, value in enumerate((3, -1.5, 9007199254740993, "3", "x", {"$bytes": "AA=="}, None), 1):
        made = conn.client.post(path, {"v": value}, params=conn.using).expect(201).json()
        assert made["v"] == value and type(made["v"]) is type(value)
        leaf = {"node_kind": "leaf", "column": "v", "operator": "==" if value is not None else "IS NULL", "value": value}
        if value is None:
            del leaf["value"]
        found = conn.client.post("/v1/query", {"model_name": "eav", "where": [leaf]}, params=conn.using).expect(200).json()["rows"]
        assert [r["id"] for r in found] == [number]
        assert conn.client.put(f"{path}/{number}", made, params=conn.using).expect(200).json() == made
    conn.client.post(path, {"records": [{"w": 4}, {"w": 4.5}]}, params=conn.using).expect(201)
    assert conn.client.post("/v1/models/strict/records", {"v": 7}, params=conn.using).expect(201).json()["v"] == 7
    assert conn.client.post("/v1/models/strict/records", {"v": "7"}, params=conn.using).expect(201).json()["v"] == "7"
    for wrong in ({"v": True}, {"v": [1]}, {"t": 5}):
        answer = conn.client.request("POST", path, wrong, params=conn.using)
        answer.problem(422, "invalid_value")
    answer = conn.client.request("POST", path, raw=b'{"v": 123456789012345678901234567890}', params=conn.using)
    answer.problem(422, "invalid_value")


def test_a_key_that_sqlite_leaves_null_is_answered(sqlite_conn):
    """INT PRIMARY KEY counts nothing up, and takes null."""
    client, using = sqlite_conn.client, sqlite_conn.using
    run(sqlite_conn.backend, "CREATE TABLE loose (id INT PRIMARY KEY, n integer)")
    register(client, model("Loose", column("n", "integer")))
    assert client.post("/v1/models/Loose/records", {"n": 1}, params=using).expect(201).json() == {"id": None, "n": 1}
    step = {"op": "create", "model": "Loose", "record": {"n": 2}}
    results = client.post("/v1/batch", {**using, "steps": [step]}).expect(200).json()["results"]
    assert results == [{"status": 201, "body": {"id": None, "n": 2}}]
    found = client.post("/v1/models/Loose/get-or-create", {"where": {"n": 3}}, params=using).expect(201).json()
    assert found == {"record": {"id": None, "n": 3}, "created": True}


def test_booleans_that_others_have_written_as_words(sqlite_conn):
    """Found beside 1 and 0, and left as they are by what says the same."""
    conn, using = sqlite_conn, sqlite_conn.using
    cells = ["'t'", "'f'", "'true'", "'FALSE'", "1", "0", "NULL", "'x'"]
    run(conn.backend, "CREATE TABLE flags (id integer PRIMARY KEY, f boolean, other boolean);\nINSERT INTO flags (f, other) VALUES " + ", ".join(f"({cell}, 1)" for cell in cells))
    models = introspect(conn, register=True)["payload"]["models"]
    assert {c["name"]: c.get("spelling") for c in models[0]["columns"]} == {"id": None, "f": "words", "other": None}
    rows = conn.client.get("/v1/models/flags/records", params=using).expect(200).json()["rows"]
    assert [row["f"] for row in rows] == [True, False, True, False, True, False, None, "x"]

    def found(operator, value):
        body = {"model_name": "flags", "where": [{"node_kind": "leaf", "column": "f", "operator": operator, "value": value}]}
        return [row["id"] for row in conn.client.post("/v1/query", body, params=using).expect(200).json()["rows"]]
    for operator, value, expected in (
            ("==", True, [1, 3, 5]), ("==", False, [2, 4, 6]), ("!=", True, [2, 4, 6, 8]), ("IN", [True, False], [1, 2, 3, 4, 5, 6]), ("is_distinct", True, [2, 4, 6, 7, 8]),
            ("is_not_distinct", False, [2, 4, 6]), ("==", "x", [8])):
        assert found(operator, value) == expected, (operator, value)
    for word, expected in (("eq.true", [1, 3, 5]), ("is.true", [1, 3, 5]), ("neq.false", [1, 3, 5, 8])):
        rows_of = conn.client.get("/v1/models/flags/records", params={**using, "f": word}).expect(200).json()["rows"]
        assert [row["id"] for row in rows_of] == expected, word
    before = run(conn.backend, "SELECT id, quote(f) FROM flags")
    for row in rows[:7]:
        conn.client.put(f"/v1/models/flags/records/{row['id']}", row, params=using).expect(200)
        conn.client.patch(f"/v1/models/flags/records/{row['id']}", {"f": row["f"]}, params=using).expect(200)
    assert run(conn.backend, "SELECT id, quote(f) FROM flags") == before
    made = conn.client.post("/v1/models/flags/get-or-create", {"where": {"f": True, "id": 3}}, params=using).expect(200).json()
    assert made["created"] is False
    for key, value in ((1, False), (4, True), (8, True)):
        assert conn.client.patch(f"/v1/models/flags/records/{key}", {"f": value}, params=using).expect(200).json()["f"] is value
    assert found("==", True) == [3, 4, 5, 8]
    conn.client.put("/v1/models", conn.client.get("/v1/models").json()).expect(200)
    assert found("==", True) == [3, 4, 5, 8]
    bad = {"models": [{"model_name": "B", "columns": [{"name": "id", "logical_type": "integer", "primary_key": True}, {"name": "f", "logical_type": "boolean", "spelling": "hex"}]}]}
    conn.client.post("/v1/models", bad).problem(422, "invalid_schema")
