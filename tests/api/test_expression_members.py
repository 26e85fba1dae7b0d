"""Members that no expression has: refused with a pointer wherever an expression may stand, never a value or a document in silence."""
import pytest

from support.schema import column, model, register

WORDS = {"$add": [1, 2], "$sub": [1, 2], "$mul": [1, 2], "$div": [1, 2], "$concat": ["a", "b"], "$coalesce": ["a"], "$lower": "A", "$upper": {"$column": "t"}, "$length": "a",
         "$append": [{"$column": "data"}, 1], "$remove": [{"$column": "data"}, 1], "$merge": [{"$column": "data"}, {}], "$now": True,
         "$case": {"when": [[{"node_kind": "leaf", "column": "id", "operator": ">", "value": 1}, "a"]]}, "$set_path": {"path": ["a"], "value": 1, "of": {"$column": "data"}},
         "$remove_path": {"path": ["a"], "of": {"$column": "data"}}, "$column": "t", "$given": "t"}
REFERENCE = {"literal": {"value": "a"}, "column": {"column": "t"}, "add": {"left": 1, "right": 2}, "sub": {"left": 1, "right": 2}, "merge": {"left": {"kind": "column", "column": "data"}, "right": {}}, "now": {}}


@pytest.fixture
def db(conn):
    register(conn.client, model("d", column("t"), column("n", "integer"), column("x", "number"), column("data", "json"), column("at", "datetime"), column("b", "boolean"), column("u", "uuid")))
    conn.client.post("/v1/create-tables", {}, params=conn.using).expect(200)
    conn.client.post("/v1/models/d/records", {"id": 1, "t": "a", "n": 1, "data": {"a": 1}}, params=conn.using).expect(201)
    return conn


def refused(answer, pointer):
    problem = answer.problem(422, "invalid_query")
    assert [e["pointer"] for e in problem["errors"]] == [pointer], problem


def leaf(name, value, operator="=="):
    return {"node_kind": "leaf", "column": name, "operator": operator, "value": value}


def places(value):
    """Bodies of a query with the value in them, and its pointer."""
    computed = {"$coalesce": [{"$column": "t"}, value]}
    yield {"select": [{"expr": value, "as": "v"}]}, "/select/0/expr"
    yield {"select": [{"expr": computed, "as": "v"}]}, "/select/0/expr/$coalesce/1"
    yield {"select": [{"expr": {"$case": {"when": [[leaf("n", 1), "a"]], "else": value}}, "as": "v"}]}, "/select/0/expr/$case/else"
    yield {"select": [{"expr": {"$case": {"when": [[leaf("n", 1), value]]}}, "as": "v"}]}, "/select/0/expr/$case/when/0/1"
    yield {"select": [{"expr": {"$case": {"when": [[leaf("t", value), "a"]]}}, "as": "v"}]}, "/select/0/expr/$case/when/0/0/value"
    yield {"select": [{"expr": {"$set_path": {"path": ["a"], "of": {"$column": "data"}, "value": value}}, "as": "v"}]}, "/select/0/expr/$set_path/value"
    yield {"select": [{"expr": {"$append": [{"$column": "data"}, value]}, "as": "v"}]}, "/select/0/expr/$append/1"
    yield {"select": [{"expr": {"$merge": [{"$column": "data"}, value]}, "as": "v"}]}, "/select/0/expr/$merge/1"
    yield {"select": [{"expr": {"$upper": value}, "as": "v"}]}, "/select/0/expr/$upper"
    yield {"select": [{"expr": {"$concat": [{"$column": "t"}, value]}, "as": "v"}]}, "/select/0/expr/$concat/1"
    yield {"aggregates": [{"fn": "max", "expr": value, "as": "v"}]}, "/aggregates/0/expr"
    yield {"order_by": [{"expr": value}]}, "/order_by/0/expr"
    yield {"group_by": [{"expr": value, "as": "v"}], "aggregates": [{"fn": "count", "as": "n"}]}, "/group_by/0/expr"
    yield {"group_by": ["t"], "aggregates": [{"fn": "max", "column": "n", "as": "m"}], "having": [leaf("m", value, ">")]}, "/having/0/value"
    yield {"where": [{"node_kind": "leaf", "expr": value, "operator": "==", "value": 1}]}, "/where/0/expr"
    for name in ("t", "n", "x", "data", "at", "b", "u"):
        for operator in ("==", "!=", "is_distinct"):
            yield {"where": [leaf(name, value, operator)]}, "/where/0/value"
    yield {"where": [leaf("t", value, "LIKE")]}, "/where/0/value"
    yield {"where": [{"node_kind": "leaf", "column": "data", "path": ["a"], "operator": "==", "value": value}]}, "/where/0/value"


@pytest.mark.parametrize("word", list(WORDS))
def test_a_member_beside_a_word(db, word):
    member = "$lower" if word == "$upper" else "x"
    for value in ({word: WORDS[word], member: 1}, {member: 1, word: WORDS[word]}):
        found = next(key for key in value if key != (word if member == "x" else next(iter(value))))
        for body, pointer in places(value):
            if body.get("having"):
                pointer = pointer  # nothing that computes stands there, whatever its members
                refused(db.client.post("/v1/query", {"model_name": "d", **body}, params=db.using, validate=False), pointer)
                continue
            refused(db.client.post("/v1/query", {"model_name": "d", **body}, params=db.using, validate=False), f"{pointer}/{found}")
        where = [leaf("id", 1)]
        for name in ("t", "n", "data", "at"):
            refused(db.client.post("/v1/query/update", {"query": {"model_name": "d", "where": where}, "set": {name: value}}, params=db.using, validate=False), f"/set/{name}/{found}")
            refused(db.client.post("/v1/models/d/records", {"records": [{"id": 1}], "on_conflict": {"columns": ["id"], "action": "update", "set": {name: value}}}, params=db.using, validate=False),
                    f"/on_conflict/set/{name}/{found}")
    assert db.client.get("/v1/models/d/records/1", params=db.using).expect(200).json()["data"] == {"a": 1}


@pytest.mark.parametrize("kind", list(REFERENCE))
def test_a_member_beside_the_references_own(db, kind):
    value = {"kind": kind, **REFERENCE[kind], "x": 1}
    for body, pointer in places(value):
        refused(db.client.post("/v1/query", {"model_name": "d", **body}, params=db.using, validate=False), pointer if body.get("having") else f"{pointer}/x")
    for name in ("t", "data"):
        body = {"query": {"model_name": "d", "where": [leaf("id", 1)]}, "set": {name: value}}
        refused(db.client.post("/v1/query/update", body, params=db.using, validate=False), f"/set/{name}/x")
    # a document that looks so is wrapped
    body = {"query": {"model_name": "d", "where": [leaf("id", 1)]}, "set": {"data": {"$json": value}}}
    db.client.post("/v1/query/update", body, params=db.using).expect(200)
    assert db.client.get("/v1/models/d/records/1", params=db.using).expect(200).json()["data"] == value
    rows = db.client.post("/v1/query", {"model_name": "d", "where": [leaf("data", {"$json": value})]}, params=db.using).expect(200).json()["rows"]
    assert [row["id"] for row in rows] == [1]


def test_a_member_beside_a_typed_value(db):
    for kind, value, name in (("int", 1, "n"), ("string", "a", "t"), ("null", None, "t"), ("bool", True, "b"), ("float", 1.5, "x")):
        typed = {"kind": kind, "value": value, "x": 1}
        refused(db.client.post("/v1/query", {"model_name": "d", "where": [leaf(name, typed)]}, params=db.using, validate=False), "/where/0/value/x")
        refused(db.client.post("/v1/query", {"model_name": "d", "where": [leaf(name, [typed], "IN")]}, params=db.using, validate=False), "/where/0/value/0")
        refused(db.client.post("/v1/query/update", {"query": {"model_name": "d", "where": [leaf("id", 1)]}, "set": {name: typed}}, params=db.using, validate=False), f"/set/{name}/x")
        del typed["x"]
        db.client.post("/v1/query", {"model_name": "d", "where": [leaf(name, typed)]}, params=db.using).expect(200)


def test_words_that_are_none(db):
    for value in ({"$uper": "a"}, {"$uper": "a", "x": 1}, {"x": 1, "$uper": "a"}):
        for body, pointer in places(value):
            several = len(value) > 1
            first = next(iter(body.values()))[0]
            document = several and ((isinstance(first, dict) and first.get("column") == "data") or "$set_path" in pointer or "$append" in pointer or "$merge" in pointer)
            answer = db.client.post("/v1/query", {"model_name": "d", **body}, params=db.using, validate=False)
            if document:  # of several members none is a word: a document like others
                answer.expect(200)
            else:
                refused(answer, pointer if body.get("having") else f"{pointer}/$uper")


@pytest.mark.parametrize("operator, value, at", [
    ("IN", [{"$column": "t"}], "/0"), ("IN", ["a", {"$upper": "a", "x": 1}], "/1"), ("NOT IN", [{"$now": True}], "/0"), ("BETWEEN", ["a", {"$column": "t"}], "/1"), ("IN", {"$column": "t"}, ""),
    ("IS NULL", {"$column": "t"}, "")])
def test_operators_that_take_no_expression(db, operator, value, at):
    refused(db.client.post("/v1/query", {"model_name": "d", "where": [leaf("t", value, operator)]}, params=db.using, validate=False), f"/where/0/value{at}")


@pytest.mark.parametrize("operator", ["contains", "contained", "any"])
def test_documents_that_look_like_expressions_are_wrapped_there_too(db, operator):
    for value in ({"$column": "data"}, {"$foo": 1}, {"$upper": "a", "x": 1}):
        refused(db.client.post("/v1/query", {"model_name": "d", "where": [leaf("data", value, operator)]}, params=db.using, validate=False), "/where/0/value")
        db.client.post("/v1/query", {"model_name": "d", "where": [leaf("data", {"$json": value}, operator)]}, params=db.using).expect(200)


@pytest.mark.parametrize("member, value", [("path", ["a"]), ("relation", "x"), ("type", "text")])
def test_what_goes_with_a_column_goes_with_no_expression(db, member, value):
    expr = {"expr": {"$column": "data"}, member: value}
    for body, pointer in (({"where": [{"node_kind": "leaf", "operator": "IS NULL", **expr}]}, "/where/0"), ({"select": [{"as": "v", **expr}]}, "/select/0"), ({"order_by": [expr]}, "/order_by/0"),
                          ({"aggregates": [{"fn": "count", "as": "v", **expr}]}, "/aggregates/0")):
        refused(db.client.post("/v1/query", {"model_name": "d", **body}, params=db.using, validate=False), f"{pointer}/{member}")


def test_branches_are_of_one_kind(db):
    n, t, data = {"$column": "n"}, {"$column": "t"}, {"$column": "data"}
    for expr, pointer in (({"$coalesce": [t, n]}, "$coalesce/1"), ({"$coalesce": [n, "1", t]}, "$coalesce/2"), ({"$case": {"when": [[leaf("n", 1), t]], "else": n}}, "$case/else"),
                          ({"$case": {"when": [[leaf("n", 1), t], [leaf("n", 2), n]]}}, "$case/when/1"), ({"$coalesce": [t, data]}, "$coalesce/1")):
        refused(db.client.post("/v1/query", {"model_name": "d", "select": [{"expr": expr, "as": "v"}]}, params=db.using), f"/select/0/expr/{pointer}")
    body = {"query": {"model_name": "d", "where": [leaf("id", 1)]}, "set": {"t": {"$case": {"when": [[leaf("n", 1), n]]}}}}
    refused(db.client.post("/v1/query/update", body, params=db.using), "/set/t/$case/when/0")
    refused(db.client.post("/v1/query", {"model_name": "d", "where": [leaf("t", {"$column": "data", "path": ["a"]})]}, params=db.using), "/where/0/value")
