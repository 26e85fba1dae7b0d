"""Edges of values that databases of others have: defaults that only the database knows, misfits, empty keys, JSON's limits."""
import json
from urllib.parse import quote

import pytest

from support.schema import introspect, run
from support.tables import leaf


def test_put_takes_defaults_that_only_the_database_knows(conn):
    """A model by hand says that there is a default, not what it is."""
    run(conn.backend, "CREATE TABLE d (id integer PRIMARY KEY, a text DEFAULT 'x', n integer NOT NULL DEFAULT 7, at text DEFAULT CURRENT_DATE, none text, v text)")
    flags = {"database_default": True}
    columns = [{"name": "id", "logical_type": "integer", "primary_key": True}, {"name": "a", "logical_type": "string", "nullable": True, **flags},
               {"name": "n", "logical_type": "integer", **flags}, {"name": "at", "logical_type": "string", "nullable": True, **flags},
               {"name": "none", "logical_type": "string", "nullable": True, **flags}, {"name": "v", "logical_type": "string", "nullable": True}]
    conn.client.put("/v1/models", {"models": [{"model_name": "d", "columns": columns}]}).expect(200)
    path = "/v1/models/d/records"
    first = conn.client.post(path, {"id": 1, "v": "made"}, params=conn.using).expect(201).json()
    assert (first["a"], first["n"], first["none"]) == ("x", 7, None) and len(first["at"]) == 10
    conn.client.patch(f"{path}/1", {"a": "changed", "n": 9, "at": "then", "none": "some"}, params=conn.using).expect(200)
    for _ in range(2):
        assert conn.client.put(f"{path}/1", {"v": "put"}, params=conn.using).expect(200).json() == {**first, "v": "put"}
    assert conn.client.put(f"{path}/1", {"a": None, "n": 1}, params=conn.using).expect(200).json() == {**first, "a": None, "n": 1, "v": None}
    steps = [{"op": "save", "model": "d", "pk": 1, "record": {"v": "batch"}}]
    assert conn.client.post("/v1/batch", {"steps": steps}, params=conn.using).expect(200).json()["results"][0]["body"] == {**first, "v": "batch"}


def test_get_or_create_finds_values_of_no_type(sqlite_conn):
    conn = sqlite_conn
    run(conn.backend, "CREATE TABLE m (id integer PRIMARY KEY, n integer, at datetime, b boolean);\nINSERT INTO m VALUES (1, 'n/a', 'soon', 5), (2, x'00ff', NULL, 1)")
    conn.client.put("/v1/models", {"models": []}).expect(200)
    introspect(conn, register=True)
    for where, number in (({"n": "n/a"}, 1), ({"at": "soon"}, 1), ({"b": 5}, 1), ({"n": {"$bytes": "AP8="}}, 2)):
        found = conn.client.post("/v1/models/m/get-or-create", {"where": where}, params=conn.using).expect(200).json()
        assert (found["created"], found["record"]["id"]) == (False, number), where
    changed = conn.client.post("/v1/models/m/update-or-create", {"where": {"n": "n/a"}, "defaults": {"b": True}}, params=conn.using).expect(200).json()
    assert (changed["created"], changed["record"]["b"]) == (False, True)
    answer = conn.client.post("/v1/models/m/get-or-create", {"where": {"n": "other"}}, params=conn.using)
    answer.problem(422, "invalid_value")
    assert answer.pointers() == ["/where/n"]


def test_an_empty_key_is_reached_by_a_list(conn):
    """No path names it: it has no Location."""
    run(conn.backend, "CREATE TABLE e (k varchar(9) PRIMARY KEY, v text)")
    conn.client.put("/v1/models", {"models": []}).expect(200)
    introspect(conn, register=True)
    path = "/v1/models/e/records"
    made = conn.client.post(path, {"k": "", "v": "a"}, params=conn.using).expect(201)
    assert made.json() == {"k": "", "v": "a"} and made.header("Location") is None
    assert conn.client.get(f"{path}?k=eq.", params=conn.using).expect(200).json()["rows"] == [{"k": "", "v": "a"}]
    where = [leaf("k", "==", "")]
    conn.client.post("/v1/query/update", {"query": {"model_name": "e", "where": where}, "set": {"v": "b"}}, params=conn.using).expect(200)
    assert conn.client.post("/v1/query/first", {"model_name": "e", "where": where}, params=conn.using).expect(200).json()["row"]["v"] == "b"
    other = conn.client.post(path, {"k": "a/b ", "v": "c"}, params=conn.using).expect(201)
    assert conn.client.get(other.header("Location"), params=conn.using).expect(200).json()["v"] == "c"
    created = conn.client.post("/v1/models/e/get-or-create", {"where": {"k": "new"}}, params=conn.using).expect(201)
    assert created.header("Location").endswith("/new")


def ladder(depth, side):
    """AND and OR in turn, each the operand of the other."""
    node, other = leaf("id", ">", 0), "left" if side == "right" else "right"
    for n in range(depth - 1):
        rest = leaf("id", "<", 100) if n % 2 else leaf("id", ">", 100)
        node = {"node_kind": "compound", "operator": "AND" if n % 2 else "OR", side: node, other: rest}
    return node


def fence(depth):
    """NOT around AND around NOT ..., as true as what is inside, at an even number of NOTs."""
    node = leaf("id", "==", 1)
    for n in range(depth - 1):
        node = {"node_kind": "not", "operand": node} if n % 2 else {"node_kind": "compound", "operator": "OR" if n % 4 else "AND", "left": leaf("id", "==", 1), "right": node}
    return node


def nested(depth):
    node = leaf("id", ">", 0)
    for _ in range((depth - 1) // 2 * 2):
        node = {"node_kind": "not", "operand": node}
    return node if depth % 2 else {"node_kind": "compound", "operator": "AND", "left": node, "right": node}


def test_limits_of_documents_and_predicates(conn):
    run(conn.backend, "CREATE TABLE j (id integer PRIMARY KEY, d json)")
    conn.client.put("/v1/models", {"models": []}).expect(200)
    introspect(conn, register=True)
    path = "/v1/models/j/records"

    def post(text, where=path):
        return conn.client.request("POST", where, None, raw=text.encode(), headers={"Content-Type": "application/json"}, params=conn.using)
    deep = "[" * 63 + "]" * 63
    assert post(f'{{"id": 1, "d": {deep}}}').expect(201).json()["d"] == json.loads(deep)
    post(f'{{"id": 2, "d": [{deep}]}}').problem(400, "invalid_json")
    post('{"id": 2, "d": {"a\\u0000b": 1}}').problem(400, "invalid_json")
    for depth, status in ((48, 200), (49, 422)):
        for tree in (nested(depth), ladder(depth, "left"), ladder(depth, "right"), fence(depth)):
            answer = conn.client.post("/v1/query", {"model_name": "j", "where": [tree]}, params=conn.using).expect(status)
            if status == 200:
                assert [r["id"] for r in answer.json()["rows"]] == [1], tree
    conn.client.post("/v1/query/delete", {"model_name": "j", "where": [fence(48)]}, params=conn.using).expect(200)
    url = "id.gt.0"
    for _ in range(60):
        url = f"not.and({url})"
    conn.client.get(f"{path}?or=({quote(url)})", params=conn.using).expect(400)


def test_documents_beyond_the_limits_are_read(conn):
    """What others have stored deeper than a request may be, or with NUL in a name, comes as it is and stays; it cannot be sent."""
    deep = "[" * 200 + "]" * 200
    odd = [] if conn.backend.name == "postgres" else ['{"a\\u0000b": 1}']
    rows = ", ".join(f"({n}, 0, '{d}')" for n, d in enumerate([deep, *odd], 1))
    run(conn.backend, f"CREATE TABLE j (id integer PRIMARY KEY, n integer, d json);\nINSERT INTO j VALUES {rows}")
    conn.client.put("/v1/models", {"models": []}).expect(200)
    introspect(conn, register=True)
    path = "/v1/models/j/records"
    for number, text in enumerate([deep, *odd], 1):
        said = conn.client.get(f"{path}/{number}", params=conn.using, validate=False).expect(200).body
        assert text.encode() in said and text.encode() in conn.client.get(path, params=conn.using, validate=False).expect(200).body
        assert text.encode() in conn.client.get(path, params=conn.using, headers={"Accept": "application/x-ndjson"}, validate=False).expect(200).body
        assert text.encode() in conn.client.patch(f"{path}/{number}", {"n": 5}, params=conn.using, validate=False).expect(200).body
        conn.client.request("PUT", f"{path}/{number}", None, raw=said, headers={"Content-Type": "application/json"}, params=conn.using).problem(400, "invalid_json")
        assert run(conn.backend, f"SELECT d, n FROM j WHERE id = {number}") == [[text, "5"]]


def test_arrays_of_any_depth_the_database_takes(postgres_conn):
    run(postgres_conn.backend, "CREATE TABLE a (id int PRIMARY KEY, v int[])")
    postgres_conn.client.put("/v1/models", {"models": []}).expect(200)
    introspect(postgres_conn, register=True)
    value = 5
    for depth in range(1, 7):
        value = [value]
        made = postgres_conn.client.post("/v1/models/a/records", {"id": depth, "v": value}, params=postgres_conn.using).expect(201).json()
        assert made["v"] == value
    with pytest.raises(AssertionError):
        postgres_conn.client.post("/v1/models/a/records", {"id": 9, "v": [value]}, params=postgres_conn.using).expect(201)


def test_related_conditions_as_deep_as_the_database_takes(conn):
    """SQLite's parser has an end that PostgreSQL's has not: it is told as what it is."""
    run(conn.backend, "CREATE TABLE node (id integer PRIMARY KEY, up_id integer REFERENCES node (id))")
    conn.client.put("/v1/models", {"models": []}).expect(200)
    introspect(conn, register=True)
    conn.client.post("/v1/models/node/records", {"records": [{"id": 1, "up_id": 1}, {"id": 2}]}, params=conn.using).expect(201)
    for depth, taken in ((7, True), (25, conn.backend.name == "postgres")):
        for quantifier in ("any", "none"):
            node = leaf("id", "==", 1)
            for n in range(depth):
                node = {"node_kind": "relation", "relation": "up", "quantifier": quantifier if n == 0 else "any", "where": [node]}
            answer = conn.client.post("/v1/query", {"model_name": "node", "where": [node]}, params=conn.using)
            if not taken:
                answer.problem(422, "invalid_query")
            else:
                assert [r["id"] for r in answer.expect(200).json()["rows"]] == ([1] if quantifier == "any" else [])
