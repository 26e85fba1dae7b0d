"""What an expression gives a document: every type, as it is answered, with its digits, on both databases."""
import json
from decimal import Decimal

import pytest

from support.schema import column, introspect, model, register, run

COLUMNS = [column("t"), column("i", "integer", db_type="bigint"), column("x", "number"), column("d", "decimal"), column("dt", "decimal", db_type="text"), column("b", "boolean"), column("f", "boolean"),
           column("u", "uuid"), column("ut", "uuid", db_type="text"), column("at", "datetime", db_type="timestamptz"), column("ts", "datetime", db_type="timestamp"), column("att", "datetime", db_type="text"),
           column("day", "date"), column("clock", "time", db_type="time"), column("ct", "time"), column("bin", "binary"), column("j", "json"), column("data", "json"), column("old", "json", db_type="json"),
           column("jt", "json", db_type="text")]
UUID = "6f1b0a3e-0c3b-4f5e-9d8e-111111111111"
VALUES = {"t": 'a "b" \\ \u00e4 1', "i": 9007199254740993, "x": 0.1, "d": "1234567.25", "dt": "123456789012345678901234567890.10", "b": True, "f": False, "u": UUID, "ut": UUID, "at": "2026-01-02T03:04:05.25Z",
          "ts": "2026-01-02T03:04:05", "att": "2026-01-02T03:04:05.5Z", "day": "2026-01-02", "clock": "03:04:05.5", "ct": "03:04:05", "bin": "AAECAwQFBgcICQoLDA0ODwABAgMEBQYHCAkKCwwNDg8AAQIDBAUGBwgJCgsMDQ4PAAECAwQFBgcICQoLDA0ODw==",
          "j": {"n": 12345678901234567890, "c": [1, None, True]}}
DOCUMENT = '{"keep": 1, "list": [1, 2], "big": 12345678901234567890.125, "long": 9007199254740993, "yes": true, "no": false, "word": "w"}'


def reset(conn, *targets):
    """The first record's documents, digit by digit."""
    raw = "{%s}" % ", ".join(f'"{target}": {DOCUMENT}' for target in targets)
    conn.client.request("PATCH", "/v1/models/d/records/1", raw=raw.encode(), params=conn.using, headers={"Content-Type": "application/json"}).expect(200)
    update(conn, {target: {"keep": 1} for target in targets}, 2)


@pytest.fixture
def db(conn):
    register(conn.client, model("d", *COLUMNS))
    conn.client.post("/v1/create-tables", {}, params=conn.using).expect(200)
    conn.client.post("/v1/models/d/records", {"id": 1, **VALUES, "data": json.loads(DOCUMENT), "old": json.loads(DOCUMENT), "jt": json.loads(DOCUMENT)}, params=conn.using).expect(201)
    conn.client.post("/v1/models/d/records", {"id": 2}, params=conn.using).expect(201)
    reset(conn, "data", "old", "jt")
    return conn


def record(db, number, name):
    """A column's value with the digits of its numbers."""
    body = db.client.get(f"/v1/models/d/records/{number}", params=db.using).expect(200).body
    return json.loads(body, parse_float=Decimal)[name]


def update(db, values, least=0):
    query = {"model_name": "d", "where": [{"node_kind": "leaf", "column": "id", "operator": ">=", "value": least}]}
    db.client.post("/v1/query/update", {"query": query, "set": values}, params=db.using).expect(200)


def as_part(name):
    """A column's value as a part of a document: as it is answered, decimals as numbers."""
    value = VALUES[name]
    return Decimal(value) if name in ("d", "dt") else Decimal(str(value)) if name == "x" else value


def same(have, want):
    if isinstance(want, Decimal):
        return isinstance(have, (int, Decimal)) and not isinstance(have, bool) and have == want
    return type(have) is type(want) and have == want


@pytest.mark.parametrize("target", ["data", "old", "jt"])
def test_each_type_at_a_path_and_in_an_array(db, target):
    for name in VALUES:
        reset(db, target)
        check_type(db, name, target)


def check_type(db, name, target):
    for value in ({"$column": name}, {"$coalesce": [{"$column": name}]}, {"$case": {"when": [[{"node_kind": "leaf", "column": "id", "operator": ">", "value": 0}, {"$column": name}]]}}):
        update(db, {target: {"$set_path": {"path": ["v"], "value": value}}})
        have = record(db, 1, target)
        assert same(have["v"], as_part(name)), (value, have)
        assert have["keep"] == 1 and have["big"] == Decimal("12345678901234567890.125") and have["long"] == 9007199254740993
        assert record(db, 2, target) == {"keep": 1, "v": None}
        update(db, {target: {"$remove_path": ["v"]}})
    update(db, {target: {"$json": [0]}})
    update(db, {target: {"$append": [{"$column": target}, {"$column": name}]}})
    have = record(db, 1, target)
    assert have[0] == 0 and same(have[1], as_part(name)) and record(db, 2, target) == [0, None]
    update(db, {target: {"$remove": [{"$column": target}, {"$column": name}]}})
    assert record(db, 1, target) == [0]
    expr = {"$set_path": {"path": ["v"], "of": {"$json": {}}, "value": {"$column": name}}}
    rows = db.client.post("/v1/query", {"model_name": "d", "select": [{"expr": expr, "as": "v"}], "order_by": [{"column": "id"}]}, params=db.using).expect(200).body
    assert same(json.loads(rows, parse_float=Decimal)["rows"][0]["v"]["v"], as_part(name))


@pytest.mark.parametrize("target", ["data", "old", "jt"])
def test_what_is_computed(db, target):
    cases = [({"$add": [{"$column": "i"}, 1]}, 9007199254740994), ({"$mul": [{"$column": "x"}, 2]}, Decimal("0.2")), ({"$upper": "a\u00e4"}, "A\u00c4"), ({"$concat": [{"$column": "t"}, "!"]}, VALUES["t"] + "!"),
             ({"$length": {"$column": "t"}}, len(VALUES["t"])), ({"$add": [{"$column": "d"}, 1]}, Decimal("1234568.25")), ({"$coalesce": [{"$column": "i"}, 1]}, 9007199254740993),
             ({"$column": target, "path": ["big"]}, Decimal("12345678901234567890.125")), ({"$column": target, "path": ["big"], "type": "number"}, Decimal("12345678901234567890.125")),
             ({"$column": target, "path": ["long"], "type": "number"}, 9007199254740993), ({"$column": target, "path": ["yes"], "type": "boolean"}, True), ({"$column": target, "path": ["no"], "type": "boolean"}, False),
             ({"$column": target, "path": ["word"], "type": "text"}, "w"), ({"$column": target, "path": ["word"]}, "w"), ({"$column": target, "path": ["list"]}, [1, 2]), ({"$column": target, "path": ["none"]}, None),
             ({"$column": target, "path": ["word"], "type": "number"}, None), (5, 5), ("x", "x"), (None, None), (True, True), ({"$json": {"$column": "t"}}, {"$column": "t"}), ({"a": 1}, {"a": 1}),
             ({"$case": {"when": [[{"node_kind": "leaf", "column": "i", "operator": ">", "value": 0}, {"$column": "b"}]], "else": "none"}}, True)]
    for value, want in cases:
        update(db, {target: {"$set_path": {"path": ["v"], "value": value}}})
        have = record(db, 1, target)
        assert same(have["v"], want), (value, have["v"])
    update(db, {target: {"$set_path": {"path": ["v"], "value": {"$now": True}}}})
    assert record(db, 1, target)["v"].endswith("Z") and record(db, 1, target)["v"].startswith("2")


def test_a_document_is_compared_with_each_type(db):
    for name in VALUES:
        check_compared(db, name)


def check_compared(db, name):
    update(db, {"data": {"$set_path": {"path": ["v"], "value": {"$column": name}}}, "old": {"$set_path": {"path": ["v"], "value": {"$column": name}}}})
    for target in ("data", "old"):
        for operator, expected in (("==", [1]), ("!=", []), ("is_not_distinct", [1]), ("is_distinct", [2])):
            node = {"node_kind": "leaf", "column": target, "path": ["v"], "operator": operator, "value": {"$column": name}}
            query = {"model_name": "d", "where": [node], "select": ["id"], "order_by": [{"column": "id"}]}
            rows = db.client.post("/v1/query", query, params=db.using).expect(200).json()["rows"]
            assert [row["id"] for row in rows] == expected, (target, operator)


def test_values_in_the_spellings_of_others(sqlite_conn):
    """As they are answered."""
    hexed = UUID.replace("-", "")
    run(sqlite_conn.backend, "CREATE TABLE d (id integer PRIMARY KEY, u char(32), a datetime, s datetime, m datetime, day date, clock time, n boolean, dec decimal(10, 2), data json);\n"
        f"INSERT INTO d VALUES (1, '{hexed}', '2026-01-02 03:04:05', 1767323045, 1767323045123, '2026-01-02 00:00:00', '03:04', 1, 12.5, '{{}}'), (2, '{hexed}', '2026-01-02 03:04:06', 1767323046, 1767323046123, '2026-01-03', '03:04:00', 7, 3, '{{}}')")
    sqlite_conn.client.delete("/v1/models").expect(204)
    introspect(sqlite_conn, register=True)
    for name in ("u", "a", "s", "m", "day", "clock", "n", "dec"):
        update(sqlite_conn, {"data": {"$set_path": {"path": ["v"], "value": {"$column": name}}}})
        for number in (1, 2):
            answered = record(sqlite_conn, number, name)
            assert same(record(sqlite_conn, number, "data")["v"], Decimal(answered) if name == "dec" else answered), name


@pytest.mark.parametrize("stored, answered", [("infinity", "infinity"), ("-infinity", "-infinity"), ("0044-03-15 12:00:00 BC", None), ("12026-01-02 03:04:05.5", None), ("2026-01-02 03:04:05.000100", None)])
def test_instants_beyond(postgres_conn, stored, answered):
    run(postgres_conn.backend, f"CREATE TABLE d (id int PRIMARY KEY, z timestamptz, p timestamp, day date, c char(5), e int[], n numeric, f double precision, data jsonb); INSERT INTO d VALUES (1, '{stored}', '{stored}', "
        f"'{stored}', 'ab', '{{1,2}}', 12.500, 'NaN', '{{}}')")
    postgres_conn.client.delete("/v1/models").expect(204)
    introspect(postgres_conn, register=True)
    for name in ("z", "p", "day", "c", "e", "n", "f"):
        update(postgres_conn, {"data": {"$set_path": {"path": ["v"], "value": {"$column": name}}}})
        want = record(postgres_conn, 1, name)
        assert answered in (None, want) or name not in ("z", "p", "day")
        assert same(record(postgres_conn, 1, "data")["v"], Decimal(want) if name == "n" else want), name


SHAPES = [None, {"$json": None}, 5, "x", True, {}, {"a": 1}, {"a": {"b": 2}}, {"a": [1, 2]}, [], [1, 2], [{"a": 1}], {"0": 1}, {"a": None}]


def parent_of(document, path):
    """What the last step goes into; None: nothing of its kind."""
    for step in path[:-1]:
        fits = isinstance(document, dict) and step in document if isinstance(step, str) else isinstance(document, list) and -len(document) <= step < len(document)
        if not fits:
            return None
        document = document[step]
    return document if isinstance(document, dict if isinstance(path[-1], str) else list) else None


def changed(document, path, remove):
    document = json.loads(json.dumps(document))
    parent, last = parent_of(document, path), path[-1]
    if parent is None:
        return document
    there = last in parent if isinstance(last, str) else -len(parent) <= last < len(parent)
    if remove and there:
        del parent[last]
    elif not remove and isinstance(parent, list) and last == len(parent):
        parent.append(9)
    elif not remove and (there or isinstance(last, str)):
        parent[last] = 9
    return document


@pytest.mark.parametrize("target", ["data", "old", "jt"])
def test_a_path_that_leads_nowhere_leaves_the_document(conn, target):
    """Rows of other shapes end no update, a number is no key, and nothing is made on the way."""
    register(conn.client, model("d", column("data", "json"), column("old", "json", db_type="json"), column("jt", "json", db_type="text")))
    conn.client.post("/v1/create-tables", {}, params=conn.using).expect(200)
    conn.client.post("/v1/models/d/records", {"records": [{"id": n, target: value} for n, value in enumerate(SHAPES, 1)]}, params=conn.using).expect(201)
    for path in (["a"], ["a", "b"], [0], [-1], [1], [5], ["0"], ["a", 0], ["a", 2], ["a", 5], ["a", -1], ["a", -3], ["a", "b", "c"], [0, "a"]):
        for remove in (False, True):
            value = {"$remove_path": path} if remove else {"$set_path": {"path": path, "value": 9}}
            body = {"query": {"model_name": "d"}, "set": {target: value}}
            answer = conn.client.post("/v1/query/update", body, params={**conn.using, "all": "true"}, headers={"Prefer": "return=representation, tx=rollback"}).expect(200).json()
            have = {row["id"]: row[target] for row in answer["rows"]}
            for n, shape in enumerate(SHAPES, 1):
                if shape is None:  # no document: an empty object where something is put
                    want = None if remove else changed({}, path, False)
                else:
                    want = shape if shape == {"$json": None} else changed(shape, path, remove)
                assert have[n] == want and type(have[n]) is type(want), (path, remove, shape, have[n])


def test_a_merge_into_nothing(db):
    """As the reference has it: what is merged into nothing is what is merged; by every way."""
    more = {"b": 2}
    ways = [lambda n: db.client.post("/v1/query/update", {"query": {"model_name": "d", "where": [{"node_kind": "leaf", "column": "id", "operator": "==", "value": n}]}, "set": {"data": {"$merge": more}, "old": {"$merge": more}}}, params=db.using),
            lambda n: db.client.post("/v1/batch", {"steps": [{"op": "update", "query": {"model_name": "d", "where": [{"node_kind": "leaf", "column": "id", "operator": "==", "value": n}]},
                                                                   "set": {"data": {"$merge": [{"$column": "data"}, more]}, "old": {"$merge": more}}}]}, params=db.using),
            lambda n: db.client.post("/v1/models/d/records", {"records": [{"id": n}], "on_conflict": {"columns": ["id"], "action": "update", "set": {"data": {"$merge": more}, "old": {"$merge": [{"$column": "old"}, more]}}}}, params=db.using),
            lambda n: db.client.post("/v1/query/update", {"query": {"ir_kind": "query", "ir_version": 14, "payload": {
                "model_name": "d", "where": [{"node_kind": "leaf", "column": "id", "operator": "==", "value": {"kind": "int", "value": n}, "path": []}],
                "set": [{"column": name, "value": {"kind": "merge", "left": {"kind": "column", "column": name}, "right": {"kind": "literal", "value": {"kind": "object", "value": more}}}} for name in ("data", "old")]}}}, params=db.using)]
    for way in ways:
        for start, expected in ((None, more), ({"a": 1}, {"a": 1, "b": 2}), ({"b": {"c": 1}}, more)):
            db.client.patch("/v1/models/d/records/2", {"data": start, "old": start}, params=db.using).expect(200)
            answer = way(2)
            assert answer.status in (200, 201), answer.body[:400]
            row = db.client.get("/v1/models/d/records/2", params=db.using).expect(200).json()
            assert (row["data"], row["old"]) == (expected, expected)
