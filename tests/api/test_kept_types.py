"""Tables that 0.13 made, asked by models of version 3, which would make them otherwise: what is no drift works."""
import copy
import itertools
import json

import pytest
from support.schema import columns_of, quiet, register, run

KEY = {"name": "id", "logical_type": "integer", "primary_key": True}
NOTE = {"model_name": "Note", "table_name": "note", "columns": [
    KEY, *({"name": name, "logical_type": kind, "nullable": True} for name, kind in (("j", "json"), ("k", "json"), ("n", "integer")))]}
VISIT = {"model_name": "Visit", "table_name": "visit", "columns": [
    KEY, {"name": "at", "logical_type": "time", "nullable": True}, {"name": "note", "logical_type": "string", "nullable": True},
    {"name": "kind", "logical_type": "string", "nullable": True, "enum_values": ["free", "business"], "enum_type_name": "visit_kind"}]}
MODELS = ["version 1", "version 3", "introspected", "migrated"]


def put(client, version, model):
    envelope = {"ir_kind": "schema", "ir_version": version, "payload": {"models": [copy.deepcopy(model)]}}
    client.put("/v1/models", envelope).expect(200)


def leaf(column, operator="==", value=None, **more):
    return {"node_kind": "leaf", "column": column, "operator": operator, "value": value, **more}


def ids(conn, name, *where, **more):
    body = {"model_name": name, "where": list(where), "select": ["id"], "order_by": [{"column": "id"}], **more}
    return [row["id"] for row in conn.client.post("/v1/query", body, params=conn.using).expect(200).json()["rows"]]


def update(conn, name, key, **values):
    body = {"query": {"model_name": name, "where": [leaf("id", "==", key)]}, "set": values}
    conn.client.post("/v1/query/update", body, params=conn.using).expect(200)


def known_as(conn, how, model):
    if how == "introspected":
        names = {model["table_name"]: model["model_name"]}
        conn.client.post("/v1/introspect", {**conn.using, "register": True, "names": names}).expect(200)
        return
    put(conn.client, 1 if how == "version 1" else 3, model)
    quiet(conn)


@pytest.fixture(params=list(itertools.product(["json", "jsonb"], MODELS)), ids=" ".join)
def notes(request, postgres_conn):
    conn = postgres_conn
    live, how = request.param
    run(conn.backend, f"CREATE TABLE note (id serial PRIMARY KEY, j {live}, k {live}{'' if how == 'migrated' else ', n integer'})")
    if how == "migrated":
        put(conn.client, 3, NOTE)
        conn.client.post("/v1/migrate", conn.using).expect(200)
    run(conn.backend, """INSERT INTO note (j, k, n) VALUES ('{"a": 1}', '[1, 2]', 1), ('{"b": {"c": 5, "d": true}}', '[3]', 2),
        (NULL, NULL, 3), ('{"a":  1.0}', '{"a": 1}', 4)""")
    known_as(conn, how, NOTE)
    yield conn
    assert columns_of(conn.backend, "note")["j"] == columns_of(conn.backend, "note")["k"] == live


def test_documents_are_asked_whatever_they_are_kept_as(notes):
    a = {"a": 1}
    for operator, value, expected in (
            ("==", a, [1, 4]), ("!=", a, [2]), ("is_distinct", a, [2, 3]), ("is_not_distinct", a, [1, 4]), ("contains", a, [1, 4]),
            ("contained", {"a": 1, "z": 2}, [1, 4]), ("has_key", "b", [2]), ("has_any", ["a", "q"], [1, 4]), ("has_all", ["a"], [1, 4]),
            ("==", {"$column": "k"}, [4]), ("IS NULL", None, [3])):
        assert ids(notes, "Note", leaf("j", operator, value)) == expected, operator
        inverse = [{"node_kind": "not", "child": leaf("j", operator, value)}]
        assert not set(ids(notes, "Note", *inverse)) & set(expected), operator
    for kind, value, operator in (("text", "5", "=="), ("json", 5, "=="), ("number", 4, ">"), ("number", [5, 6], "IN")):
        assert ids(notes, "Note", leaf("j", operator, value, path=["b", "c"], type=kind)) == [2], kind
    assert ids(notes, "Note", leaf("j", "==", True, path=["b", "d"], type="boolean")) == [2]
    assert ids(notes, "Note", leaf("j", "contains", {"c": 5}, path=["b"])) == [2]
    assert ids(notes, "Note", leaf("k", "any", 3)) == [2]
    path = {"column": "j", "path": ["a"], "type": "number"}
    assert ids(notes, "Note", order_by=[{**path, "nulls": "last"}, {"column": "id", "direction": "desc"}]) == [4, 1, 3, 2]
    groups = {"model_name": "Note", "group_by": [{**path, "as": "a"}], "aggregates": [{"fn": "count", "as": "n"}], "order_by": [{"column": "n"}]}
    assert len(notes.client.post("/v1/query", groups, params=notes.using).expect(200).json()["rows"]) == 2


def test_documents_are_computed_whatever_they_are_kept_as(notes):
    one = leaf("n", "==", 1)
    for given, expected in (
            ({"$merge": [{"$column": "j"}, {"x": 1}]}, {"a": 1, "x": 1}), ({"$set_path": {"path": ["x"], "value": 3}}, {"a": 1, "x": 3}), ({"$remove_path": ["a"]}, {}),
            ({"$coalesce": [{"$column": "j"}, {"$json": {"z": 1}}]}, {"a": 1}),
            ({"$coalesce": [{"$column": "j", "path": ["q"]}, {"$column": "k"}]}, [1, 2]),
            ({"$coalesce": [{"$merge": [{"$column": "j"}, {"x": 1}]}, {"$column": "k"}]}, {"a": 1, "x": 1}),
            ({"$case": {"when": [[one, {"$column": "k"}]], "else": {"$json": [1]}}}, [1, 2]),
            ({"$case": {"when": [[one, {"$json": [7]}]], "else": {"$column": "j"}}}, [7])):
        update(notes, "Note", 1, j={"$json": {"a": 1}})
        update(notes, "Note", 1, j=given)
        assert notes.client.get("/v1/models/Note/records/1", params=notes.using).json()["j"] == expected, given
        record = {"records": [{"id": 1, "n": 1}], "on_conflict": {"columns": ["id"], "action": "update", "set": {"j": given}}}
        notes.client.post("/v1/models/Note/records", record, params=notes.using).expect(201)
    for given, expected in (({"$append": [{"$column": "k"}, 9]}, [1, 2, 9]), ({"$remove": [{"$column": "k"}, 2]}, [1, 9])):
        update(notes, "Note", 1, k=given)
        assert notes.client.get("/v1/models/Note/records/1", params=notes.using).json()["k"] == expected, given
    assert ids(notes, "Note", {"node_kind": "leaf", "expr": {"$coalesce": [{"$column": "j"}, {"$column": "k"}]}, "operator": "==",
                               "value": {"a": 1}}) == [4]


def test_a_chosen_document_keeps_its_text(postgres_conn):
    conn = postgres_conn
    run(conn.backend, "CREATE TABLE note (id serial PRIMARY KEY, j json, k json, n integer); "
                      "INSERT INTO note (j) VALUES ('{\"b\":  1, \"a\": 1.10}')")
    for how in MODELS[:3]:
        known_as(conn, how, NOTE)
        update(conn, "Note", 1, j={"$coalesce": [{"$column": "j"}, {"$column": "k"}]})
        assert run(conn.backend, "SELECT j FROM note") == [['{"b":  1, "a": 1.10}']]


@pytest.mark.parametrize("made_by", [1, 3])
def test_values_beside_columns_have_the_type_of_the_table(postgres_conn, made_by):
    """An enum kept as text has no type of its name; nor is a time that is kept as text a time."""
    conn = postgres_conn
    put(conn.client, made_by, VISIT)
    conn.client.post("/v1/create-tables", conn.using).expect(200)
    put(conn.client, 3, VISIT)
    quiet(conn)
    kept = columns_of(conn.backend, "visit")
    for row in ({"kind": "free", "at": "03:04:05"}, {"kind": None, "at": None}):
        conn.client.post("/v1/models/Visit/records", row, params=conn.using).expect(201)
    first = leaf("id", "==", 1)
    for name, there, other in (("kind", "free", "business"), ("at", "03:04:05", "08:00:00")):
        for given, expected in (
                ({"$coalesce": [{"$column": name}, other]}, [there, other]),
                ({"$case": {"when": [[first, {"$column": name}]], "else": other}}, [there, other]),
                ({"$case": {"when": [[first, other]], "else": there}}, [other, there]),
                ({"$case": {"when": [[first, other]]}}, [other, None])):
            equal = [i for i in (1, 2) if (there, None)[i - 1] == expected[i - 1] is not None]
            assert ids(conn, "Visit", leaf(name, "==", given)) == equal
            for key in (1, 2):
                update(conn, "Visit", key, **{name: given})
                assert conn.client.get(f"/v1/models/Visit/records/{key}", params=conn.using).json()[name] == expected[key - 1], given
            record = {"records": [{"id": 1}], "on_conflict": {"columns": ["id"], "action": "update", "set": {name: given}}}
            conn.client.post("/v1/models/Visit/records", record, params=conn.using).expect(201)
            update(conn, "Visit", 1, **{name: there})
            update(conn, "Visit", 2, **{name: None})
    assert ids(conn, "Visit", leaf("at", "!=", {"$now": True})) == [1]
    assert columns_of(conn.backend, "visit") == kept


def test_texts_of_types_that_the_model_does_not_name(postgres_conn):
    conn = postgres_conn
    run(conn.backend, "CREATE TYPE mood AS ENUM ('sad', 'glad'); CREATE TABLE host (id serial PRIMARY KEY, ip inet, mood mood); "
                      "INSERT INTO host (ip, mood) VALUES ('10.0.0.1', 'sad'), (NULL, NULL)")
    register(conn.client, {"model_name": "Host", "columns": [KEY, *(
        {"name": name, "logical_type": "string", "nullable": True} for name in ("ip", "mood"))]})
    quiet(conn)
    for name, other in (("ip", "10.0.0.2"), ("mood", "glad")):
        given = {"$coalesce": [{"$column": name}, other]}
        body = {"model_name": "Host", "select": [{"expr": given, "as": "x"}], "order_by": [{"column": "id"}]}
        rows = conn.client.post("/v1/query", body, params=conn.using).expect(200).json()["rows"]
        assert rows[1]["x"] == other
        update(conn, "Host", 2, **{name: given})
        assert ids(conn, "Host", leaf(name, "==", {"$case": {"when": [[leaf("id", "==", 2), {"$column": name}]], "else": other}})) == [2]


TASK = {"model_name": "Task", "table_name": "task", "columns": [
    KEY, {"name": "rank", "logical_type": "integer", "nullable": True, "enum_values": [10, 2, -1], "enum_type_name": "rank"},
    {"name": "n", "logical_type": "integer", "nullable": True}]}


@pytest.mark.parametrize("made_by", [1, 3])
def test_an_enum_of_integers(conn, made_by):
    """Labels of a native enum on PostgreSQL as Ferro 0.26 makes it, integers for everybody who asks, in the order of integers."""
    using, records = conn.using, "/v1/models/Task/records"
    put(conn.client, made_by, TASK)
    conn.client.post("/v1/create-tables", using).expect(200)
    native = made_by == 3 and conn.backend.name == "postgres"
    assert columns_of(conn.backend, "task")["rank"] == ("rank" if native else "integer")
    put(conn.client, 3, TASK)
    quiet(conn)
    quiet(conn, destructive=True)
    ranks = [10, 2, -1, None, 2]
    assert conn.client.post(records, {"rank": 10, "n": 10}, params=using).expect(201).json()["rank"] == 10
    rows = [{"rank": rank, "n": 5} for rank in ranks[1:]]
    conn.client.request("POST", records, raw="\n".join(map(json.dumps, rows)).encode(), headers={"Content-Type": "application/x-ndjson"}, params=using).expect(201)
    listed = conn.client.get(records, params={**using, "order": "id"}).expect(200).json()["rows"]
    assert [row["rank"] for row in listed] == ranks
    for wrong in (3, "x", 10.5):
        conn.client.post(records, {"rank": wrong}, params=using).problem(422, "invalid_value")
    for operator, value, expected in (
            ("==", 10, [1]), ("!=", 10, [2, 3, 5]), ("IN", [2, -1], [2, 3, 5]), ("IS NULL", None, [4]), ("is_distinct", 2, [1, 3, 4]), (">", 2, [1]), (">=", 2, [1, 2, 5]),
            ("<", 10, [2, 3, 5]), ("BETWEEN", [-1, 2], [2, 3, 5]), ("==", {"$column": "n"}, [1]), ("<", {"$column": "n"}, [2, 3, 5]),
            ("==", {"$coalesce": [{"$column": "rank"}, 2]}, [1, 2, 3, 5])):
        assert ids(conn, "Task", leaf("rank", operator, value)) == expected, (operator, value)
    assert ids(conn, "Task", leaf("n", ">", {"$column": "rank"})) == [2, 3, 5]
    assert [row["id"] for row in conn.client.get(records, params={**using, "rank": "gt.2"}).expect(200).json()["rows"]] == [1]
    for direction, expected in (("asc", [3, 2, 5, 1, 4]), ("desc", [1, 2, 5, 3, 4])):
        body = {"model_name": "Task", "order_by": [{"column": "rank", "direction": direction, "nulls": "last"}, {"column": "id"}], "limit": 1}
        seen, answer = [], {}
        while not seen or answer["next_cursor"]:
            more = {"cursor": answer["next_cursor"]} if seen else {}
            answer = conn.client.post("/v1/query", {**body, **more}, params=using).expect(200).json()
            seen += [row["id"] for row in answer["rows"]]
            answer.setdefault("next_cursor", None)
        assert seen == expected
    extremes = {"model_name": "Task", "aggregates": [{"fn": "min", "column": "rank", "as": "a"}, {"fn": "max", "column": "rank", "as": "b"}]}
    assert conn.client.post("/v1/query", extremes, params=using).expect(200).json()["rows"] == [{"a": -1, "b": 10}]
    groups = {"model_name": "Task", "group_by": ["rank"], "aggregates": [{"fn": "count", "as": "k"}], "order_by": [{"column": "rank", "nulls": "last"}]}
    assert [(row["rank"], row["k"]) for row in conn.client.post("/v1/query", groups, params=using).expect(200).json()["rows"]] == [(-1, 1), (2, 2), (10, 1), (None, 1)]
    update(conn, "Task", 1, rank=2)
    update(conn, "Task", 1, rank={"$case": {"when": [[leaf("id", "==", 1), -1]], "else": {"$column": "rank"}}})
    update(conn, "Task", 1, n={"$column": "rank"})
    assert conn.client.get(f"{records}/1", params=using).json()["n"] == -1
    assert conn.client.patch(f"{records}/1", {"rank": 10}, params=using).expect(200).json()["rank"] == 10
    put(conn.client, 3, {**TASK, "columns": [TASK["columns"][0], {**TASK["columns"][1], "enum_values": [10, 7, 2, -1]}, TASK["columns"][2]]})
    assert len(conn.client.post("/v1/migrate", using).expect(200).json()["statements"]) == native
    quiet(conn)
    assert conn.client.post(records, {"rank": 7}, params=using).expect(201).json()["rank"] == 7
    assert ids(conn, "Task", leaf("rank", ">", 2)) == [1, 6]
