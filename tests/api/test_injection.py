"""Hostile names and values through every field of every operation: what they say is never SQL, and a database that was not
asked to change is the same afterwards."""
import itertools
import json
import re
import sqlite3
import urllib.parse

import pytest

from support.client import Client
from support.contract import METHODS, contract
from support.process import wait_for
from support.server import Server
from support.tables import create_tables, insert, leaf, query, sql

DOCUMENT = contract().document
HOSTILE = [
    "'; DROP TABLE victim; --", '"; DROP TABLE victim; --', "x' OR '1'='1", 'x" OR "1"="1', "1; DELETE FROM victim", "') UNION SELECT secret FROM victim --",
    "\\'; DROP TABLE victim; --", "x'); INSERT INTO victim VALUES (9, 'in', 'in'); --", "/**/", "$1", "?1", ":a", "%27%3B", "name\x00'; --",
    "\u02bc; DROP TABLE victim; --", "\uff07; DROP TABLE victim", "victim\"", "pg_sleep(9)", "[victim]", "`victim`", "${7*7}", "%s%s%n", "a" * 300 + "'"]
# raw SQL is SQL; these end or replace what the test works with
SKIP = {"sql_execute", "sql_fetch_all", "sql_fetch_one", "reset_engine", "clear_registry", "replace_models", "migrate", "create_tables",
        "connect", "healthz", "readyz"}
VICTIM = {"model_name": "Victim", "columns": [
    {"name": "id", "logical_type": "integer", "primary_key": True}, {"name": "name", "logical_type": "string"},
    {"name": "secret", "logical_type": "string", "nullable": True}]}
ROWS = [{"id": 1, "name": "one", "secret": "hidden-1"}, {"id": 2, "name": "O'Brien", "secret": "hidden-2"}]


@pytest.fixture(scope="module")
def house():
    with Server("--access-log=false") as server:
        yield server


@pytest.fixture
def victim(house, backend):
    """A client whose default connection is a database of its own with a victim in it; .dump() is all that the database holds."""
    with Client(house.port) as client:
        client.delete("/v1/connections/v?force=true")
        client.post("/v1/connections", {"name": "v", "url": backend.url, "default": True}).expect(201)
        create_tables(client, "v", VICTIM)
        insert(client, "v", "Victim", ROWS)
        client.dump = lambda: dump(backend)
        client.backend = backend
        yield client
        client.delete("/v1/connections/v?force=true")


def dump(backend):
    """Every object of the schema and every row."""
    if backend.name == "sqlite":
        with sqlite3.connect(backend.path, timeout=20) as db:
            return list(db.iterdump())
    return backend.pg.psql("""
        SELECT c.relname, c.relkind, (SELECT string_agg(attname || format_type(atttypid, atttypmod), ',' ORDER BY attnum)
          FROM pg_attribute a WHERE a.attrelid = c.oid AND attnum > 0) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
          WHERE nspname = 'public' ORDER BY 1;""", backend.database) + backend.pg.psql(
              "SELECT rolname, rolsuper FROM pg_roles ORDER BY 1", backend.database) + backend.pg.psql(
              "SELECT * FROM victim ORDER BY id", backend.database)


# ---- every string of every described request ----

def example(schema, depth=0):
    """A value that the schema allows, with every member that it names; strings are markers to be replaced."""
    schema = contract().resolve(schema)
    if not isinstance(schema, dict) or depth > 5:
        return "MARK"
    for key in ("oneOf", "anyOf"):
        if key in schema:
            return example(schema[key][0], depth + 1)
    if "allOf" in schema:
        merged = {}
        for part in schema["allOf"]:
            value = example(part, depth + 1)
            if isinstance(value, dict):
                merged.update(value)
        return merged or "MARK"
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object" or "properties" in schema:
        made = {name: example(part, depth + 1) for name, part in schema.get("properties", {}).items()}
        return made or {"name": "MARK"}
    if kind == "array":
        return [example(schema.get("items", {}), depth + 1)]
    return {"integer": schema.get("minimum", 1) if kind == "integer" else 1, "number": 1, "boolean": True, "null": None}.get(kind, "MARK")


def strings(node, path=()):
    """The path of every string, and of every member's name, in a JSON value."""
    if isinstance(node, str):
        yield path, "value"
    elif isinstance(node, dict):
        for key, value in node.items():
            yield (*path, key), "key"
            yield from strings(value, (*path, key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from strings(value, (*path, index))


def replaced(node, path, what, text):
    """A copy of the value with the string, or the name, at the path replaced."""
    copy = json.loads(json.dumps(node))
    at = copy
    for step in path[:-1]:
        at = at[step]
    if not path:
        return text
    if what == "value":
        at[path[-1]] = text
    else:
        at[text] = at.pop(path[-1])
    return copy


def bodies_by_hand():
    """Requests that would work, so that every field is reached where it counts."""
    tree = {"node_kind": "compound", "operator": "AND", "left": leaf("name", "==", "one"), "right": leaf("id", "IN", [1, 2])}
    q = {"model_name": "Victim", "where": [tree], "order_by": [{"column": "name", "direction": "asc"}], "limit": 5,
         "select": ["id", "name"]}
    yield "POST", "/v1/query", q
    yield "POST", "/v1/query/first", q
    yield "POST", "/v1/query/count", {"model_name": "Victim", "where": [tree]}
    yield "POST", "/v1/query/exists", {"model_name": "Victim", "where": [leaf("name", "LIKE", "zzz%")]}
    yield "POST", "/v1/query/explain", q
    yield "POST", "/v1/query", {"model_name": "Victim", "aggregates": [{"fn": "count", "column": "id", "as": "n"}], "group_by": ["name"]}
    nobody = {"model_name": "Victim", "where": [leaf("name", "==", "nobody has this name"), leaf("id", "==", -1)]}
    yield "POST", "/v1/query/delete", nobody
    yield "POST", "/v1/query/update", {"query": nobody, "set": {"secret": "x"}}
    yield "POST", "/v1/batch", {"steps": [{"op": "query", "as": "a", "query": q}, {"op": "get", "model": "Victim", "pk": "1"}]}
    yield "PATCH", "/v1/models/Victim/records/-1", {"name": "n"}
    yield "POST", "/v1/introspect", {"using": "v", "tables": ["victim"]}
    yield "POST", "/v1/sessions", {"using": "v"}


def bodies_by_schema():
    for path, item in DOCUMENT["paths"].items():
        for method in METHODS:
            operation = item.get(method)
            if not operation or operation["operationId"] in SKIP or operation["operationId"] in ("create_records", "get_or_create",
                                                                                                "update_or_create", "save_record"):
                continue
            body = contract().resolve(operation.get("requestBody"))
            if body and "application/json" in body["content"]:
                yield method.upper(), re.sub(r"\{\w+\}", "MARK", path), example(body["content"]["application/json"]["schema"])


def fine(answer):
    """Refused as a client's fault, or done with the hostile text as mere text; never an error of SQL or of the server."""
    assert answer.status < 500, answer.body
    if answer.status >= 400:
        problem = answer.json()
        assert problem["code"] not in ("sql_error", "internal_error"), problem
        assert "syntax error" not in problem["detail"] and "unrecognized token" not in problem["detail"], problem


def test_bodies(victim):
    """One field at a time, hostile texts in turn: a field meets several of them."""
    before = victim.dump()
    texts = itertools.cycle(HOSTILE)
    n = 0
    for method, path, body in [*bodies_by_hand(), *bodies_by_schema()]:
        by_hand = "MARK" not in json.dumps(body) and "MARK" not in path
        if by_hand:
            answer = victim.request(method, path, body, validate=False)
            assert answer.status in (200, 201) or "records/-1" in path, (path, answer.body)
        for where, what in strings(body):
            if body and where[-1] == "using" and what == "value":
                continue
            for _ in range(5 if by_hand else 1):
                text = next(texts)
                fine(victim.request(method, path.replace("MARK", "Victim"), replaced(body, where, what, text), validate=False))
                n += 1
    assert n > 300
    assert victim.dump() == before


def test_paths_and_parameters(victim):
    before = victim.dump()
    for text in HOSTILE:
        quoted = urllib.parse.quote(text, safe="")
        for path, item in DOCUMENT["paths"].items():
            for method in METHODS:
                if "{" not in path or method not in item or item[method]["operationId"] in SKIP:
                    continue
                where = path.replace("{model}", "Victim") if "{pk}" in path else path
                body = {"secret": "x"} if method in ("put", "patch", "post") else None
                if item[method]["operationId"] in ("save_record", "create_records", "get_or_create", "update_or_create"):
                    where, body = re.sub(r"\{\w+\}", quoted, path), {}
                fine(victim.request(method.upper(), re.sub(r"\{\w+\}", quoted, where), body, validate=False))
        for name in ("name", "select", "order", "limit", "offset", "cursor", "include", "using", text):
            fine(victim.get("/v1/models/Victim/records", params={name: text}, validate=False))
        for operator in ("eq", "neq", "like", "ilike", "in", "is", "gt", "not.eq"):
            fine(victim.get("/v1/models/Victim/records", params={"name": f"{operator}.{text}"}, validate=False))
        for header in ("Ferro-Session", "Ferro-Transaction", "Idempotency-Key", "If-Match", "Prefer", "X-Request-Id", "Accept"):
            if text.isascii() and text.isprintable():
                fine(victim.get("/v1/models/Victim/records", headers={header: text}, validate=False))
    assert victim.dump() == before


# ---- values come back as they went in ----

def test_values_are_values(victim):
    texts = [t for t in HOSTILE if "\x00" not in t]
    records = [{"id": 100 + n, "name": t, "secret": t} for n, t in enumerate(texts)]
    insert(victim, "v", "Victim", records)
    for record in records:
        path = f"/v1/models/Victim/records/{record['id']}"
        assert victim.get(path).expect(200).json() == record
        assert query(victim, "Victim", [leaf("name", "==", record["name"])]).json()["rows"] == [record]
        assert victim.get("/v1/models/Victim/records", params={"name": f"eq.{record['name']}"}).json()["rows"] == [record]
        assert victim.patch(path, {"secret": record["name"] + "2"}).expect(200).json()["secret"] == record["name"] + "2"
        answer = victim.post("/v1/query/update", {"query": {"model_name": "Victim", "where": [leaf("name", "==", record["name"])]},
                                                  "set": {"secret": record["name"]}})
        assert answer.expect(200).json()["rows_affected"] == 1
        assert victim.put(path, record).status in (200, 201)
        found = victim.post("/v1/models/Victim/get-or-create", {"where": {"name": record["name"]}, "defaults": {"secret": "no"}}).expect(200).json()
        assert found == {"record": record, "created": False}
        arg = "?" if victim.backend.name == "sqlite" else "$1::text"
        assert sql(victim, f"SELECT {arg} AS a", [record["name"]]).json()["rows"] == [{"a": record["name"]}]
        answer = query(victim, "Victim", [leaf("name", "==", record["name"])], path="/delete").expect(200).json()
        assert answer["rows_affected"] == 1
    assert victim.get("/v1/models/Victim/records").json()["rows"] == ROWS


# ---- names are names ----

NAMES = ['a"b', "a'b", "a`b", "a]b", "a b", "a;b", "a--b", "a/*b", "a$1", "a?b", "a:b", "select", "ORDER", "a\\b", "é", "a%sb", "a.b", '""', "a\nb"]


@pytest.mark.parametrize("text", NAMES)
def test_models_of_hostile_names(victim, text):
    """A model, a column, an index of that name is refused as a whole, or works as a name: create, write, read, migrate."""
    before = victim.dump()
    model = {"model_name": "Odd", "table_name": text, "columns": [
        {"name": "id", "logical_type": "integer", "primary_key": True}, {"name": text, "logical_type": "string", "nullable": True},
        {"name": "plain", "logical_type": "string", "nullable": True, "default": text}]}
    answer = victim.put("/v1/models", {"models": [VICTIM, model]}, validate=False)
    if answer.status != 200:
        answer.problem(422, "invalid_schema")
        assert victim.dump() == before
        return
    victim.post("/v1/create-tables", {"using": "v"}).expect(200)
    record = {"id": 1, text: text, "plain": text}
    victim.post("/v1/models/Odd/records", record).expect(201)
    assert query(victim, "Odd", [leaf(text, "==", text)], order_by=[{"column": text, "direction": "desc"}]).json()["rows"] == [record]
    assert victim.get("/v1/models/Odd/records", params={"select": "id", "id": "eq.1"}).expect(200).json()["rows"] == [{"id": 1}]
    answer = victim.post("/v1/query/update", {"query": {"model_name": "Odd", "where": [leaf(text, "==", text)]}, "set": {text: "new"}})
    assert answer.expect(200).json()["rows_affected"] == 1
    answer = victim.post("/v1/migrate", {"using": "v"}, validate=False)
    assert answer.status < 500 and answer.json().get("code") != "sql_error", answer.body
    assert victim.delete("/v1/models/Odd/records/1").status == 204
    assert query(victim, "Victim").json()["rows"] == ROWS


def test_introspection_of_hostile_names(victim):
    """Tables that somebody else has made: read as they are, never executed."""
    for number, text in enumerate(["it's", 'a"b', "x; DROP TABLE victim", "a`b]c"]):
        quoted = '"' + text.replace('"', '""') + '"'
        sql(victim, f"CREATE TABLE {quoted} (id INTEGER PRIMARY KEY, {quoted} TEXT DEFAULT '; DROP TABLE victim')", verb="execute").expect(200)
        sql(victim, f"CREATE INDEX \"i{number} ' ; --\" ON {quoted} ({quoted})", verb="execute").expect(200)
    answer = victim.post("/v1/introspect", {"using": "v"}, validate=False).expect(200)
    tables = json.dumps(answer.json(), ensure_ascii=False)
    assert "victim" in tables
    wait_for(lambda: query(victim, "Victim").json()["rows"] == ROWS, 5, "the victim's rows")
