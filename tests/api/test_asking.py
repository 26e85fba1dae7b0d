"""Questions that reach beyond one table's columns: related records, paths into documents, expressions, lists by URL."""
from urllib.parse import quote

import pytest

from support.shared import shared_fixture
from support.tables import leaf

MODELS = [
    {"model_name": "Team", "columns": [
        {"name": "id", "logical_type": "integer", "primary_key": True}, {"name": "name", "logical_type": "string"}]},
    {"model_name": "Author", "columns": [
        {"name": "id", "logical_type": "integer", "primary_key": True}, {"name": "name", "logical_type": "string"},
        {"name": "age", "logical_type": "integer", "nullable": True}, {"name": "team_id", "logical_type": "integer", "nullable": True},
        {"name": "boss_id", "logical_type": "integer", "nullable": True}],
     "foreign_keys": [{"column": "team_id", "to_table": "team", "to_column": "id"},
                      {"column": "boss_id", "to_table": "author", "to_column": "id"}],
     "relations": [{"name": "team", "kind": "forward", "target": "Team", "column": "team_id"},
                   {"name": "boss", "kind": "forward", "target": "Author", "column": "boss_id"},
                   {"name": "staff", "kind": "reverse", "target": "Author", "column": "boss_id"},
                   {"name": "posts", "kind": "reverse", "target": "Post", "column": "author_id"}]},
    {"model_name": "Post", "columns": [
        {"name": "id", "logical_type": "integer", "primary_key": True}, {"name": "title", "logical_type": "string"},
        {"name": "views", "logical_type": "integer"}, {"name": "author_id", "logical_type": "integer", "nullable": True},
        {"name": "meta", "logical_type": "json", "nullable": True}],
     "foreign_keys": [{"column": "author_id", "to_table": "author", "to_column": "id"}],
     "relations": [{"name": "author", "kind": "forward", "target": "Author", "column": "author_id"},
                   {"name": "comments", "kind": "reverse", "target": "Comment", "column": "post_id"},
                   {"name": "tags", "kind": "many_to_many", "target": "Tag", "through": "post_tag"}]},
    {"model_name": "Comment", "columns": [
        {"name": "id", "logical_type": "integer", "primary_key": True}, {"name": "text", "logical_type": "string", "nullable": True},
        {"name": "post_id", "logical_type": "integer", "nullable": True}, {"name": "likes", "logical_type": "integer", "nullable": True}],
     "foreign_keys": [{"column": "post_id", "to_table": "post", "to_column": "id"}]},
    {"model_name": "Tag", "columns": [
        {"name": "id", "logical_type": "integer", "primary_key": True}, {"name": "label", "logical_type": "string"}]},
    {"model_name": "PostTag", "table_name": "post_tag", "columns": [
        {"name": "post_id", "logical_type": "integer", "primary_key": True, "autoincrement": False},
        {"name": "tag_id", "logical_type": "integer", "primary_key": True, "autoincrement": False}],
     "foreign_keys": [{"column": "post_id", "to_table": "post", "to_column": "id"},
                      {"column": "tag_id", "to_table": "tag", "to_column": "id"}]},
]
ROWS = {
    "Team": [{"id": 1, "name": "red"}, {"id": 2, "name": "blue"}],
    "Author": [{"id": 1, "name": "Ann", "age": 40, "team_id": 1, "boss_id": None},
               {"id": 2, "name": "Bob", "age": None, "team_id": 2, "boss_id": 1},
               {"id": 3, "name": "Cid", "age": 20, "team_id": None, "boss_id": 1}],
    "Post": [{"id": 1, "title": "one", "views": 10, "author_id": 1, "meta": {"a": {"b": "x", "n": 5}, "on": True, "l": [1, "two"]}},
             {"id": 2, "title": "two", "views": 20, "author_id": 2, "meta": {"a": {"b": "y", "n": 7.5}, "on": False}},
             {"id": 3, "title": "three", "views": 30, "author_id": None, "meta": None},
             {"id": 4, "title": "four", "views": 40, "author_id": 3, "meta": {"a": {"b": None, "n": "5"}, "l": []}},
             {"id": 5, "title": "five", "views": 5, "author_id": 1, "meta": [1, 2]}],
    "Comment": [{"id": 1, "text": "good", "post_id": 1, "likes": 3}, {"id": 2, "text": "bad", "post_id": 1, "likes": None},
                {"id": 3, "text": "good", "post_id": 2, "likes": 1}, {"id": 4, "text": None, "post_id": None, "likes": 9},
                {"id": 5, "text": "ugly", "post_id": 4, "likes": 0}],
    "Tag": [{"id": 1, "label": "sql"}, {"id": 2, "label": "c"}],
    "PostTag": [{"post_id": 1, "tag_id": 1}, {"post_id": 1, "tag_id": 2}, {"post_id": 2, "tag_id": 2}],
}


def prepare(conn):
    conn.client.put("/v1/models", {"models": MODELS}).expect(200)
    conn.client.post("/v1/create-tables", params=conn.using).expect(200)
    for model, rows in ROWS.items():
        conn.client.post(f"/v1/models/{model}/records", {"records": rows}, params=conn.using).expect(201)


def with_questions(conn):
    def ids(*where, model="Post", **more):
        more.setdefault("order_by", [{"column": "id"}])
        answer = conn.client.post("/v1/query", {"model_name": model, "where": list(where), **more}, params=conn.using)
        rows = answer.expect(200).json()["rows"]
        count = {k: v for k, v in more.items() if k not in ("order_by", "select", "include")}
        counted = conn.client.post("/v1/query/count", {"model_name": model, "where": list(where), **count}, params=conn.using)
        assert counted.expect(200).json()["count"] == len(rows)
        return [row["id"] for row in rows]

    def listed(url, model="Post"):
        return conn.client.get(f"/v1/models/{model}/records?{url}&using={conn.name}").expect(200).json()["rows"]

    def refused(query):
        answer = conn.client.post("/v1/query", {"model_name": "Post", **query}, params=conn.using)
        answer.problem(422, "invalid_query")
        return answer.pointers()
    conn.ids, conn.listed, conn.refused = ids, listed, refused
    return conn


_shared = shared_fixture(prepare, with_questions)


@pytest.fixture
def blog(server, _shared):
    """For tests that read."""
    _shared.client.put("/v1/models", {"models": MODELS}).expect(200)
    return _shared


@pytest.fixture
def fresh(conn):
    prepare(conn)
    return with_questions(conn)


def of(relation, column, operator, value=None, **more):
    return {**leaf(column, operator, value), "relation": relation, **more}


def related(relation, quantifier, *where):
    return {"node_kind": "relation", "relation": relation, "quantifier": quantifier, "where": list(where)}


def no(node):
    return {"node_kind": "not", "operand": node}


def junction(word, left, right):
    return {"node_kind": "compound", "operator": word, "left": left, "right": right}


REFERENCES = [
    (of("author", "name", "==", "Ann"), [1, 5]), (no(of("author", "name", "==", "Ann")), [2, 4]),
    (no(no(of("author", "name", "==", "Ann"))), [1, 5]), (of("author", "age", "IS NULL"), [2, 3]),
    (no(of("author", "age", "IS NULL")), [1, 4, 5]), (of("author", "age", "==", None), [2, 3]),
    (of("author", "age", "!=", None), [1, 4, 5]), (no(of("author", "age", "!=", None)), [2, 3]),
    (of("author", "age", "IS NOT NULL"), [1, 4, 5]), (of("author", "age", ">", 30), [1, 5]),
    (no(of("author", "age", ">", 30)), [4]), (of("author.team", "name", "==", "red"), [1, 5]),
    (no(of("author.team", "name", "==", "red")), [2]), (of("author.boss.team", "name", "IN", ["red"]), [2, 4]),
    (of("author.team", "name", "IS NULL"), [3, 4]), (of("author", "name", "LIKE", "%i%"), [4]),
    (of("author", "age", "BETWEEN", [20, 30]), [4]), (of("author", "age", "is_distinct", 40), [2, 3, 4]),
    (of("author", "age", "is_not_distinct", None), [2, 3]), (of("author", "age", "NOT IN", [20]), [1, 5]),
    (junction("OR", of("author", "name", "==", "Bob"), leaf("views", ">", 35)), [2, 4]),
    (no(junction("OR", of("author", "name", "==", "Bob"), leaf("views", ">", 35))), [1, 5]),
    (no(junction("AND", of("author", "name", "==", "Ann"), leaf("views", ">", 5))), [2, 4, 5]),
]


@pytest.mark.parametrize("node,expected", REFERENCES, ids=range(len(REFERENCES)))
def test_columns_of_related_records(blog, node, expected):
    """A row without a related record has null there, under NOT as well."""
    assert blog.ids(node) == expected


QUANTIFIED = [
    (related("comments", "any"), [1, 2, 4]), (related("comments", "none"), [3, 5]), (related("comments", "all"), [1, 2, 3, 4, 5]),
    (related("comments", "any", leaf("text", "==", "good")), [1, 2]), (related("comments", "none", leaf("text", "==", "good")), [3, 4, 5]),
    (related("comments", "all", leaf("text", "==", "good")), [2, 3, 5]), (no(related("comments", "any", leaf("text", "==", "good"))), [3, 4, 5]),
    (no(related("comments", "none", leaf("text", "==", "good"))), [1, 2]), (no(related("comments", "all", leaf("text", "==", "good"))), [1, 4]),
    (related("comments", "all", leaf("likes", ">=", 1)), [2, 3, 5]), (related("tags", "any", leaf("label", "==", "c")), [1, 2]),
    (related("tags", "none", leaf("label", "==", "sql")), [2, 3, 4, 5]), (related("tags", "all", leaf("label", "==", "c")), [2, 3, 4, 5]),
    (related("author", "any", leaf("name", "==", "Ann")), [1, 5]), (related("author", "none"), [3]),
    (related("author.staff", "any", leaf("name", "==", "Bob")), [1, 5]), (related("author.staff", "none"), [2, 3, 4]),
    (related("author", "any", related("posts", "any", leaf("views", ">", 30))), [4]),
    (related("comments", "any", of("post.author", "name", "==", "Ann")), [1]),
    (junction("OR", related("tags", "any", leaf("label", "==", "sql")), leaf("id", "==", 5)), [1, 5]),
]


@pytest.mark.parametrize("node,expected", QUANTIFIED, ids=range(len(QUANTIFIED)))
def test_related_records(blog, node, expected):
    assert blog.ids(node) == expected


def at(path, operator, value=None, kind=None):
    return {**leaf("meta", operator, value), "path": path, **({"type": kind} if kind else {})}


PATHS = [
    (at(["a", "b"], "==", "x"), [1]), (at(["a", "b"], "!=", "x"), [2, 4]), (no(at(["a", "b"], "==", "x")), [2, 4]),
    (at(["a", "n"], "==", 5), [1]), (at(["a", "n"], "==", "5"), [4]), (at(["a", "b"], "==", {"$json": None}), [4]),
    (at(["on"], "==", True), [1]), (at(["on"], "==", True, "boolean"), [1]), (at(["on"], "IS NULL", None, "boolean"), [3, 4, 5]),
    (at(["a", "n"], ">", 5, "number"), [2]), (at(["a", "n"], ">=", 5, "number"), [1, 2]), (at(["a", "n"], "==", "5", "text"), [1, 4]),
    (at(["a", "b"], "LIKE", "%", "text"), [1, 2]), (at(["a", "b"], "IS NULL", None, "text"), [3, 4, 5]),
    (at(["a", "b"], "IN", ["x", "y"], "text"), [1, 2]), (at(["l", 1], "==", "two"), [1]), (at([0], "==", 1), [5]),
    (at([-1], "==", 2), [5]), (at(["a"], "==", {"n": 5, "b": "x"}), [1]), (at(["l"], "==", []), [4]),
    (at(["a", "n"], "IN", [5, 7.5], "number"), [1, 2]), (at(["a"], "contains", {"b": "y"}), [2]),
    (leaf("meta", "contains", {"on": True}), [1]), (leaf("meta", "contained", {"a": {"b": "y", "n": 7.5}, "on": False, "z": 1}), [2]),
    (leaf("meta", "has_key", "on"), [1, 2]), (leaf("meta", "has_any", ["on", "l"]), [1, 2, 4]), (leaf("meta", "has_all", ["on", "l"]), [1]),
    (leaf("meta", "contains", [2]), [5]), (leaf("meta", "any", 2), [5]), (leaf("meta", "overlap", [7, 1]), [5]),
    (at(["l"], "any", "two"), [1]), (leaf("meta", "==", {"a": {"n": 7.5, "b": "y"}, "on": False}), [2]),
    (at(["a", "b"], "is_distinct", "x", "text"), [2, 3, 4, 5]), (at(["a", "b"], "is_not_distinct", "x"), [1]),
    (leaf("meta", "IS NULL"), [3]),
]


@pytest.mark.parametrize("node,expected", PATHS, ids=range(len(PATHS)))
def test_paths_into_documents(blog, node, expected):
    assert blog.ids(node) == expected


def test_documents_of_related_records(blog):
    node = {**of("post", "meta", "==", "x"), "path": ["a", "b"]}
    assert blog.ids(node, model="Comment") == [1, 2]
    assert blog.ids({**of("post", "meta", ">", 5), "path": ["a", "n"], "type": "number"}, model="Comment") == [3]


def test_what_others_wrote_as_a_document(conn):
    """Other spellings of equal documents are equal; what is no document has nothing at its paths."""
    if conn.backend.name != "sqlite":
        pytest.skip("PostgreSQL's json columns hold documents only")
    conn.client.post("/v1/sql/execute", {"sql": "CREATE TABLE doc (id INTEGER PRIMARY KEY, d JSON)"}, params=conn.using).expect(200)
    for text in ('{"b" : 1.0, "a" : "\\u00e9"}', "no json", '{"a":"é","b":1}'):
        conn.client.post("/v1/sql/execute", {"sql": "INSERT INTO doc (d) VALUES (?)", "args": [text]}, params=conn.using).expect(200)
    conn.client.put("/v1/models", {"models": [{"model_name": "Doc", "table_name": "doc", "columns": [
        {"name": "id", "logical_type": "integer", "primary_key": True}, {"name": "d", "logical_type": "json", "nullable": True}]}]}).expect(200)

    def ids(**more):
        node = {"node_kind": "leaf", "column": "d", "operator": "==", **more}
        answer = conn.client.post("/v1/query", {"model_name": "Doc", "where": [node], "order_by": [{"column": "id"}]}, params=conn.using)
        return [r["id"] for r in answer.expect(200).json()["rows"]]
    assert ids(value={"a": "é", "b": 1}) == [1, 3]
    assert ids(value="é", path=["a"]) == [1, 3]
    assert ids(value=1, path=["b"]) == [1, 3]


EXPRESSIONS = [
    ({"$column": "views"}, {1: 10, 3: 30}), ({"$column": "name", "relation": "author"}, {1: "Ann", 3: None}),
    ({"$add": [{"$column": "views"}, 1]}, {1: 11}), ({"$sub": [{"$column": "views"}, {"$column": "id"}]}, {2: 18}),
    ({"$mul": [{"$column": "views"}, 1.5]}, {1: 15.0}), ({"$div": [{"$column": "views"}, 4]}, {1: 2, 3: 7}),
    ({"$add": [{"$column": "views"}, {"$mul": [{"$column": "id"}, 100]}, 1]}, {2: 221}),
    ({"$concat": [{"$column": "title"}, "!", {"$column": "title"}]}, {1: "one!one"}),
    ({"$coalesce": [{"$column": "name", "relation": "author"}, "nobody"]}, {3: "nobody", 2: "Bob"}),
    ({"$upper": {"$column": "title"}}, {1: "ONE"}), ({"$lower": {"$column": "title"}}, {1: "one"}), ({"$length": {"$column": "title"}}, {3: 5}),
    ({"$case": {"when": [[leaf("views", ">", 25), "many"], [of("author", "name", "==", "Bob"), "bob"]], "else": "few"}},
     {1: "few", 2: "bob", 3: "many"}),
    ({"$case": {"when": [[leaf("id", "==", 1), {"$column": "views"}]]}}, {1: 10, 2: None}),
    ({"$column": "meta", "path": ["a", "b"], "type": "text"}, {1: "x", 4: None}), ({"$column": "meta", "path": ["a"]}, {1: {"b": "x", "n": 5}}),
    ({"$column": "meta", "path": ["a", "n"], "type": "number"}, {1: 5, 2: 7.5, 4: None}),
    ({"$column": "meta", "path": ["on"], "type": "boolean"}, {1: True, 2: False, 3: None}),
]


@pytest.mark.parametrize("expr,expected", EXPRESSIONS, ids=range(len(EXPRESSIONS)))
def test_expressions(blog, expr, expected):
    """In the answer, and in conditions on both sides."""
    query = {"model_name": "Post", "select": ["id", {"expr": expr, "as": "x"}], "order_by": [{"column": "id"}]}
    rows = blog.client.post("/v1/query", query, params=blog.using).expect(200).json()["rows"]
    got = {row["id"]: row["x"] for row in rows}
    assert {k: got[k] for k in expected} == expected
    for key, value in expected.items():
        if value is None or isinstance(value, dict):
            continue
        node = {"node_kind": "leaf", "expr": expr, "operator": "==", "value": value}
        assert key in blog.ids(node)
        assert key in blog.ids({"node_kind": "leaf", "expr": expr, "operator": "==", "value": expr})


def test_columns_against_columns(blog):
    assert blog.ids(leaf("views", ">", {"$mul": [{"$column": "id"}, 9]})) == [1, 2, 3, 4]
    assert blog.ids(leaf("views", "<", {"$column": "age", "relation": "author"})) == [1, 5]
    assert blog.ids(of("author", "age", ">", {"$column": "views"})) == [1, 5]
    assert blog.ids(leaf("title", "LIKE", {"$concat": [{"$lower": "T"}, "%"]})) == [2, 3]


def test_select_computed_and_counted(blog):
    query = {"model_name": "Post", "select": ["id", {"column": "name", "relation": "author", "as": "who"}, {"count": "comments", "as": "n"},
                                              {"count": "comments", "where": [leaf("text", "==", "good")], "as": "good"},
                                              {"count": "tags", "as": "t"}, {"count": "author.staff", "as": "s"}],
             "order_by": [{"column": "n", "direction": "desc"}, {"column": "id"}], "limit": 3}
    answer = blog.client.post("/v1/query", query, params=blog.using).expect(200).json()
    assert answer["rows"] == [{"id": 1, "who": "Ann", "n": 2, "good": 1, "t": 2, "s": 2}, {"id": 2, "who": "Bob", "n": 1, "good": 1, "t": 1, "s": 0},
                              {"id": 4, "who": "Cid", "n": 1, "good": 0, "t": 0, "s": 0}]
    more = blog.client.post("/v1/query", {**query, "cursor": answer["next_cursor"]}, params=blog.using).expect(200).json()
    assert [r["id"] for r in more["rows"]] == [3, 5] and [r["n"] for r in more["rows"]] == [0, 0]
    everything = blog.client.post("/v1/query", {"model_name": "Post", "select": ["*", {"count": "tags", "as": "t"}], "where": [leaf("id", "==", 1)]},
                                  params=blog.using).expect(200).json()["rows"][0]
    assert everything == {**ROWS["Post"][0], "t": 2}


ORDERS = [
    [{"column": "name", "relation": "author", "nulls": "last"}], [{"column": "name", "relation": "author", "direction": "desc", "nulls": "first"}],
    [{"column": "age", "relation": "author", "nulls": "first"}, {"column": "views", "direction": "desc"}],
    [{"column": "meta", "path": ["a", "n"], "type": "number", "nulls": "last"}], [{"expr": {"$mul": [{"$column": "views"}, -1]}}],
    [{"column": "name", "relation": "author.team"}],
]


@pytest.mark.parametrize("order", ORDERS, ids=range(len(ORDERS)))
@pytest.mark.parametrize("select", [None, ["title"]])
def test_pages_by_computed_orders(blog, order, select):
    """Every row once, forward and back, whatever is null in the order."""
    query = {"model_name": "Post", "order_by": order, **({"select": select} if select else {})}
    whole = blog.client.post("/v1/query", query, params=blog.using).expect(200).json()["rows"]
    seen, cursor, last = [], None, None
    for _ in range(4):
        answer = blog.client.post("/v1/query", {**query, "limit": 2, **({"cursor": cursor} if cursor else {})}, params=blog.using).expect(200).json()
        seen += answer["rows"]
        cursor, last = answer.get("next_cursor"), answer
        if cursor is None:
            break
    assert sorted(map(str, seen)) == sorted(map(str, whole)) and len(seen) == 5
    assert all(set(r) == set(whole[0]) for r in seen)
    back = blog.client.post("/v1/query", {**query, "limit": 2, "cursor": last["prev_cursor"]}, params=blog.using).expect(200).json()
    assert back["rows"] == seen[2:4]


def test_groups_by_computed_columns(blog):
    query = {"model_name": "Post", "group_by": [{"column": "name", "relation": "author", "as": "who"}],
             "aggregates": [{"fn": "count", "as": "n"}, {"fn": "sum", "column": "views", "as": "v"},
                            {"fn": "max", "expr": {"$mul": [{"$column": "views"}, 2]}, "as": "m"}],
             "order_by": [{"column": "v", "direction": "desc"}, {"column": "who"}]}
    rows = blog.client.post("/v1/query", query, params=blog.using).expect(200).json()["rows"]
    assert rows == [{"who": "Cid", "n": 1, "v": 40, "m": 80}, {"who": None, "n": 1, "v": 30, "m": 60},
                    {"who": "Bob", "n": 1, "v": 20, "m": 40}, {"who": "Ann", "n": 2, "v": 15, "m": 20}]
    by_path = {"model_name": "Post", "group_by": [{"column": "meta", "path": ["on"], "type": "text", "as": "on"}],
               "aggregates": [{"fn": "count", "as": "n"}], "order_by": [{"column": "n"}, {"column": "on"}]}
    rows = blog.client.post("/v1/query", by_path, params=blog.using).expect(200).json()["rows"]
    assert sorted((r["on"] or "", r["n"]) for r in rows) == [("", 3), ("false", 1), ("true", 1)]
    by_relation = {"model_name": "Post", "aggregates": [{"fn": "avg", "column": "age", "relation": "author", "as": "a"}]}
    assert blog.client.post("/v1/query", by_relation, params=blog.using).expect(200).json()["rows"] == [{"a": pytest.approx(100 / 3)}]


def test_updates_by_related_records(fresh):
    def update(where, values, model="Post"):
        answer = fresh.client.post("/v1/query/update", {"query": {"model_name": model, "where": where}, "set": values}, params=fresh.using)
        return answer.expect(200).json()["rows_affected"]

    def column(name, model="Post"):
        rows = fresh.client.post("/v1/query", {"model_name": model, "order_by": [{"column": "id"}]}, params=fresh.using).json()["rows"]
        return [r[name] for r in rows]
    assert update([of("author", "name", "==", "Ann")], {"views": {"$add": [{"$column": "views"}, {"$column": "id"}]}}) == 2
    assert column("views") == [11, 20, 30, 40, 10]
    assert update([no(of("author", "name", "==", "Ann"))], {"views": {"$div": 10}}) == 2
    assert column("views") == [11, 2, 30, 4, 10]
    assert update([related("comments", "none")], {"title": {"$concat": [{"$column": "title"}, "/", {"$coalesce": [
        {"$column": "name", "relation": "author"}, "-"]}]}}) == 2
    assert column("title") == ["one", "two", "three/-", "four", "five/Ann"]
    assert update([leaf("id", "<=", 2)], {"views": {"$case": {"when": [[leaf("id", "==", 1), 100]], "else": {"$column": "views"}}}}) == 2
    assert column("views")[:2] == [100, 2]
    answer = fresh.client.post("/v1/query/delete", {"model_name": "Comment", "where": [of("post.author", "name", "==", "Ann")]}, params=fresh.using)
    assert answer.expect(200).json() == {"rows_affected": 2} and column("id", "Comment") == [3, 4, 5]
    answer = fresh.client.post("/v1/query/delete", {"model_name": "Comment", "where": [related("post", "none")]}, params=fresh.using)
    assert answer.expect(200).json() == {"rows_affected": 1} and column("id", "Comment") == [3, 5]


def test_updates_of_documents(fresh):
    def meta(value, key=1):
        answer = fresh.client.post("/v1/query/update", {"query": {"model_name": "Post", "where": [leaf("id", "==", key)]}, "set": {"meta": value}},
                                  params=fresh.using)
        answer.expect(200)
        return fresh.client.get(f"/v1/models/Post/records/{key}", params=fresh.using).json()["meta"]
    assert meta({"$merge": {"a": 1, "z": [2]}}) == {"a": 1, "z": [2], "on": True, "l": [1, "two"]}
    assert meta({"$set_path": {"path": ["l", 0], "value": {"q": None}}}) == {"a": 1, "z": [2], "on": True, "l": [{"q": None}, "two"]}
    assert meta({"$remove_path": ["l", 0]}) == {"a": 1, "z": [2], "on": True, "l": ["two"]}
    assert meta({"$set_path": {"path": ["new"], "value": None}})["new"] is None
    assert meta({"$merge": {"first": 1}}, 3) == {"first": 1}
    assert meta({"$append": 3}, 5) == [1, 2, 3]
    assert meta({"$append": {"x": 1}}, 5) == [1, 2, 3, {"x": 1}]
    assert meta({"$remove": 2}, 5) == [1, 3, {"x": 1}]
    assert meta({"$set_path": {"path": ["v"], "value": {"$json": {"$add": 1}}}}, 3) == {"first": 1, "v": {"$add": 1}}


@pytest.mark.parametrize("value,beside", [({"$merge": {"a": 1}, "b": 1}, "b"), ({"b": 1, "$now": True}, "b"),
                                          ({"$merge": {"a": 1}, "$append": 1}, "$append")])
def test_an_expression_with_more_beside_it_is_no_document(fresh, value, beside):
    where = {"model_name": "Post", "where": [leaf("id", "==", 1)]}
    before = fresh.client.get("/v1/models/Post/records/1", params=fresh.using).json()["meta"]
    answer = fresh.client.post("/v1/query/update", {"query": where, "set": {"meta": value}}, params=fresh.using)
    assert answer.problem(422, "invalid_query")["errors"][0]["pointer"] == f"/set/meta/{beside}"
    assert fresh.client.get("/v1/models/Post/records/1", params=fresh.using).json()["meta"] == before
    fresh.client.post("/v1/query/update", {"query": where, "set": {"meta": {"$json": value}}}, params=fresh.using).expect(200)
    assert fresh.client.get("/v1/models/Post/records/1", params=fresh.using).json()["meta"] == value


def test_one_division_by_zero_is_an_error_on_both(fresh):
    answer = fresh.client.post("/v1/query/update", {"query": {"model_name": "Post", "where": [leaf("id", "==", 1)]}, "set": {"views": {"$div": 0}}},
                              params=fresh.using)
    assert answer.status in (400, 422)
    answer = fresh.client.post("/v1/query/update", {"query": {"model_name": "Post", "where": [leaf("id", "==", 1)]},
                                                   "set": {"views": {"$mul": 2 ** 62}}}, params=fresh.using)
    assert answer.status in (400, 422)
    assert fresh.client.get("/v1/models/Post/records/1", params=fresh.using).json()["views"] == 10


REFUSALS = [
    ({"where": [of("comments", "text", "==", "x")]}, "/where/0/relation"), ({"where": [of("nobody", "text", "==", "x")]}, "/where/0/relation"),
    ({"where": [at(["a"], "<", 1)]}, "/where/0"), ({"where": [at([], "==", 1, "text")]}, "/where/0/type"),
    ({"where": [{**leaf("title", "==", "x"), "path": ["a"]}]}, "/where/0/path"), ({"where": [at([1.5], "==", 1)]}, "/where/0/path/0"),
    ({"where": [at(["a"], "==", 1, "word")]}, "/where/0/type"), ({"where": [related("comments", "some")]}, "/where/0/quantifier"),
    ({"where": [leaf("title", "contains", "x")]}, "/where/0"), ({"where": [{"node_kind": "leaf", "operator": "==", "value": 1}]}, "/where/0"),
    ({"select": [{"expr": {"$add": [1, 2]}}]}, "/select/0"), ({"select": [{"expr": {"$nope": 1}, "as": "x"}]}, "/select/0/expr/$nope"),
    ({"select": ["id", {"column": "views", "as": "id"}]}, "/select/1"), ({"select": [{"expr": {"$upper": {"$column": "views"}}, "as": "x"}]}, "/select/0/expr/$upper"),
    ({"order_by": [{"rank": True}]}, "/order_by/0/rank"), ({"where": [leaf("views", "IN", [{"$column": "id"}])]}, "/where/0/value/0"),
    ({"where": [leaf("views", "==", {"$given": "views"})]}, "/where/0/value/$given"),
    ({"set": [{"column": "views", "value": {"kind": "now"}}]}, "/set"),
]


@pytest.mark.parametrize("query,pointer", REFUSALS, ids=range(len(REFUSALS)))
def test_refusals(blog, query, pointer):
    if "IN" in str(query):
        answer = blog.client.post("/v1/query", {"model_name": "Post", **query}, params=blog.using)
        assert answer.status == 422 and answer.pointers() == [pointer]
        return
    assert blog.refused(query) == [pointer]


URLS = [
    ("author.name=eq.Ann", [1, 5]), ("author.team.name=not.eq.red", [2]), ("author.age=is.null", [2, 3]),
    ("comments!any=(text.eq.good)", [1, 2]), ("comments!none=(text.eq.good)", [3, 4, 5]), ("comments!all=(likes.gte.1)", [2, 3, 5]),
    ("comments!any=(text.ilike.G%25,likes.gt.2)", [1]), ("comments!none=()", [3, 5]), ("tags!any=(label.in.(c,d))", [1, 2]),
    ("or=(views.gt.35,title.eq.one)", [1, 4]), ("not.or=(views.gt.35,title.eq.one)", [2, 3, 5]),
    ("or=(and(views.gt.15,views.lt.35),author.name.eq.Cid)", [2, 3, 4]), ("and=(views.gt.5,not.and(views.gt.25,title.neq.four))", [1, 2, 4]),
    ("or=(comments!any(text.eq.ugly),id.eq.3)", [3, 4]), ('or=(title.eq."one",title.in.("two","x,y"))', [1, 2]),
    ("meta->a->>b=eq.x", [1]), ("meta->a->>b=in.(x,y)", [1, 2]), ("meta->l->0=eq.1", [1]), ("meta->a->n=eq.5", [1]),
    ("meta=cs.{\"on\":true}", [1]), ("meta=cs.[2]", [5]), (".title=eq.one", [1]), ("views=isdistinct.10", [2, 3, 4, 5]),
    ("title=like(any).{o%25,f%25}", [1, 4, 5]), ("views=gt(all).{5,10}", [2, 3, 4]), ("title=not.like(any).{o%25,f%25}", [2, 3]),
    ("or=(meta->a->>b.eq.x,meta->a->>b.is.null)", [1, 3, 4, 5]),
]


@pytest.mark.parametrize("url,expected", URLS, ids=[u[0] for u in URLS])
def test_conditions_in_urls(blog, url, expected):
    assert [r["id"] for r in blog.listed(url + "&order=id")] == expected


def test_shape_and_order_in_urls(blog):
    assert [r["id"] for r in blog.listed("order=author.name.desc.nullslast,id")] == [4, 2, 1, 5, 3]
    assert [r["id"] for r in blog.listed("order=meta->a->>b.asc.nullslast,id")] == [1, 2, 3, 4, 5]
    assert blog.listed("select=title,author(name),n:comments(count)&id=lte.3&order=id") == [
        {"title": "one", "n": 2, "author": {"name": "Ann"}}, {"title": "two", "n": 1, "author": {"name": "Bob"}},
        {"title": "three", "n": 0, "author": None}]
    assert blog.listed("select=t:title,b:meta->a->>b,author.name&id=eq.1") == [{"t": "one", "b": "x", "author.name": "Ann"}]
    assert blog.listed("select=id,author(name,team(name))&id=eq.2") == [{"id": 2, "author": {"name": "Bob", "team": {"name": "blue"}}}]
    got = blog.listed("include=author,comments(limit:1,order:id.desc)&id=eq.1")[0]
    assert got["author"]["name"] == "Ann" and [c["id"] for c in got["comments"]] == [2]
    assert blog.listed("select=*,tags(label)&id=eq.1")[0] == {**ROWS["Post"][0], "tags": [{"label": "sql"}, {"label": "c"}]}
    assert blog.listed("select=id,n:comments(count)&order=n.desc,id&limit=2") == [{"id": 1, "n": 2}, {"id": 2, "n": 1}]


BAD_URLS = ["author.nope=eq.1", "nope.name=eq.1", "comments!some=(id.eq.1)", "comments!any=id.eq.1", "or=(id.eq.1", "or=(id)", "meta->=eq.1",
            "title->a=eq.1", "select=author(nope)", "select=nope(id)", "select=id,id", "include=nope", "order=meta", "title=cs.{a}", "views=nope.1",
            "title=fts(english)", "select=author(name),author(id)", "include=comments(limit:x)"]


@pytest.mark.parametrize("url", BAD_URLS)
def test_bad_urls(blog, url):
    answer = blog.client.get(f"/v1/models/Post/records?{url}&using={blog.name}")
    assert answer.status in (400, 422) and answer.json()["code"] in ("invalid_parameters", "unknown_column", "invalid_value")


def test_a_column_whose_name_looks_like_something_else(conn):
    columns = ["limit", "or", "a.b", "d->x", "order"]
    conn.client.put("/v1/models", {"models": [{"model_name": "Odd", "columns": [{"name": "id", "logical_type": "integer", "primary_key": True}] + [
        {"name": c, "logical_type": "string", "nullable": True} for c in columns]}]}).expect(200)
    conn.client.post("/v1/create-tables", params=conn.using).expect(200)
    conn.client.post("/v1/models/Odd/records", {"records": [{c: c for c in columns}, {c: "-" for c in columns}]}, params=conn.using).expect(201)
    for c in columns:
        answer = conn.client.get(f"/v1/models/Odd/records?.{quote(c)}=eq.{quote(c)}&select=id&using={conn.name}").expect(200)
        assert answer.json()["rows"] == [{"id": 1}], c
    assert conn.client.get("/v1/models/Odd/records?a.b=eq.a.b&select=id", params=conn.using).expect(200).json()["rows"] == [{"id": 1}]
    assert conn.client.get("/v1/models/Odd/records?order=a.b.desc&select=id", params=conn.using).expect(200).json()["rows"] == [{"id": 1}, {"id": 2}]
