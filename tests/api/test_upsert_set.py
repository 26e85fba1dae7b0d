"""Upserts whose body says what changes: `on_conflict` with `set`, the given row's columns and expressions."""
import json

import pytest

from support.schema import run

SQL = {
    "postgres": """CREATE SCHEMA IF NOT EXISTS other; CREATE TABLE hit (id serial PRIMARY KEY, path text UNIQUE, n int NOT NULL DEFAULT 1, note text, gone timestamptz);
        CREATE UNIQUE INDEX alive ON hit (note) WHERE gone IS NULL; CREATE TABLE records_too (id int PRIMARY KEY, records text)""",
    "sqlite": """CREATE TABLE hit (id integer PRIMARY KEY, path text UNIQUE, n int NOT NULL DEFAULT 1, note text, gone text);
CREATE UNIQUE INDEX alive ON hit (note) WHERE gone IS NULL;
CREATE TABLE records_too (id integer PRIMARY KEY, records text)""",
}
ADD = {"$add": [{"$column": "n"}, {"$given": "n"}]}


@pytest.fixture
def db(conn):
    run(conn.backend, SQL[conn.backend.name])
    conn.client.post("/v1/introspect", {"register": True, "using": conn.name}).expect(200)

    def post(body, model="hit", raw=None, headers=None, **params):
        return conn.client.request("POST", f"/v1/models/{model}/records", None if raw else body, raw=raw, params={**conn.using, **params}, headers=headers)
    conn.post = post
    conn.rows = lambda: conn.client.get("/v1/models/hit/records", params={**conn.using, "order": "id"}).expect(200).json()["rows"]
    post({"records": [{"path": "/a", "n": 5, "note": "x"}, {"path": "/b", "n": 1}]}).expect(201)
    return conn


def test_what_changes_is_computed_from_both_rows(db):
    body = {"on_conflict": {"columns": ["path"], "set": {"n": ADD, "note": {"$coalesce": [{"$given": "note"}, {"$column": "note"}]}}},
            "records": [{"path": "/a", "n": 10}, {"path": "/c", "n": 2, "note": "new"}, {"path": "/a", "n": 100}, {"path": "/b", "n": 1, "note": "y"}]}
    assert db.post(body).expect(201).json() == {"rows_inserted": 1, "rows_updated": 3}
    assert [(r["path"], r["n"], r["note"]) for r in db.rows()] == [("/a", 115, "x"), ("/b", 2, "y"), ("/c", 2, "new")]
    # whatever the order of the members, and with the rows shown
    turned = {"records": [{"path": "/a", "n": 1}], "on_conflict": {"columns": ["path"], "action": "update", "set": {"n": {"$mul": [{"$column": "n"}, 2]}}}}
    shown = db.post(turned, headers={"Prefer": "return=representation"}).expect(201).json()
    assert (shown["rows_updated"], shown["records"][0]["n"], shown["records"][0]["note"]) == (1, 230, "x")


def test_without_set_what_was_sent_is_written(db):
    assert db.post({"on_conflict": {"columns": ["path"]}, "records": [{"path": "/a", "note": "z"}]}).expect(201).json() == {"rows_inserted": 0, "rows_updated": 1}
    assert db.rows()[0]["n"] == 5 and db.rows()[0]["note"] == "z"
    assert db.post({"on_conflict": {"columns": ["path"], "action": "ignore"}, "records": [{"path": "/a", "note": "q"}, {"path": "/d"}]}).expect(201).json() == {"rows_inserted": 1}
    assert db.post({"on_conflict": {}, "records": [{"id": db.rows()[0]["id"], "n": 9}]}).expect(201).json() == {"rows_inserted": 0, "rows_updated": 1}
    assert db.rows()[0]["n"] == 9


def test_a_partial_index_by_its_name(db):
    body = {"on_conflict": {"index": "alive", "set": {"n": ADD}}, "records": [{"path": "/z", "note": "x", "n": 3}]}
    assert db.post(body).expect(201).json() == {"rows_inserted": 0, "rows_updated": 1}
    assert [(r["path"], r["n"]) for r in db.rows()] == [("/a", 8), ("/b", 1)]


def test_a_long_body_is_a_stream(db):
    """Far longer than what is held of one: the options come first."""
    records = [{"path": f"/{n % 5000}", "n": 1, "note": None} for n in range(20000)]
    filler = " " * 500
    text = '{ "on_conflict" : ' + json.dumps({"columns": ["path"], "set": {"n": ADD}}) + ' , "records" : [' + (",\n" + filler).join(map(json.dumps, records)) + "]}"
    assert len(text) > 8 * 1024 * 1024
    answer = db.post(None, raw=text.encode(), headers={"Content-Type": "application/json"}).expect(201).json()
    assert answer == {"rows_inserted": 5000, "rows_updated": 15000}
    assert {r["n"] for r in db.rows() if r["path"] not in ("/a", "/b")} == {4}
    records = [{"path": f"/other{n}"} for n in range(20000)]
    text = '{"records": [' + (",\n" + filler).join(map(json.dumps, records)) + '], "on_conflict": {}}'
    problem = db.post(None, raw=text.encode(), headers={"Content-Type": "application/json"}).problem(400, "invalid_request")
    assert "on_conflict" in problem["detail"] + str(problem.get("errors"))


def test_in_a_batch(db):
    steps = [{"op": "create", "model": "hit", "records": [{"path": "/a", "n": 1}, {"path": "/new"}], "on_conflict": {"columns": ["path"], "set": {"n": ADD}}, "as": "up"},
             {"op": "create", "model": "hit", "records": [{"path": "/q", "note": "x", "n": 2}], "on_conflict": {"index": "alive", "set": {"n": ADD}}}]
    answer = db.client.post("/v1/batch", {"steps": steps}, params=db.using).expect(200).json()
    assert [r["body"] for r in answer["results"]] == [{"rows_inserted": 1, "rows_updated": 1}, {"rows_inserted": 0, "rows_updated": 1}]
    assert [(r["path"], r["n"]) for r in db.rows()] == [("/a", 8), ("/b", 1), ("/new", 1)]


WRONG = [({"columns": ["nope"]}, 422, "unknown_column", "/on_conflict/columns/0"), ({"columns": []}, 422, "invalid_query", "/on_conflict/columns"),
         ({"columns": ["path"], "index": "alive"}, 400, "invalid_request", "/on_conflict/index"), ({"index": "nope"}, 422, "invalid_query", "/on_conflict/index"),
         ({"action": "replace"}, 400, "invalid_request", "/on_conflict/action"), ({"action": "ignore", "set": {"n": 1}}, 400, "invalid_request", "/on_conflict/set"),
         ({"col": ["path"]}, 400, "invalid_request", "/on_conflict/col"), ({"columns": ["path"], "set": {}}, 422, "invalid_query", "/on_conflict/set"),
         ({"columns": ["path"], "set": {"zz": 1}}, 422, "unknown_column", "/on_conflict/set/zz"), ({"columns": ["path"], "set": {"n": {"$given": "zz"}}}, 422, "unknown_column", "/on_conflict/set/n/$given"),
         ({"columns": ["path"], "set": {"n": "x"}}, 422, "invalid_value", "/on_conflict/set/n"), ({"columns": ["path"], "set": {"n": {"$nope": 1}}}, 422, "invalid_query", None)]


def test_what_is_wrong_is_told_with_its_place(db):
    before = db.rows()
    for options, status, code, pointer in WRONG:
        answer = db.post({"on_conflict": options, "records": [{"path": "/a", "n": 1}]})
        answer.problem(status, code)
        assert pointer is None or answer.pointers()[0] == pointer, (options, answer.pointers())
    db.post({"on_conflict": [], "records": []}).problem(400, "invalid_request")
    db.post({"records": [], "on_conflict": {}, "more": 1}).problem(400, "invalid_request")
    db.post({"on_conflict": {}, "records": []}, on_conflict="update").problem(400, "invalid_request")
    # $given means nothing in an update
    where = [{"node_kind": "leaf", "column": "path", "operator": "==", "value": "/a"}]
    db.client.post("/v1/query/update", {"query": {"model_name": "hit", "where": where}, "set": {"n": {"$given": "n"}}}, params=db.using).problem(422, "invalid_query")
    assert db.rows() == before
    # a column of that name is a column
    assert db.post({"id": 1, "records": "[]"}, model="records_too").expect(201).json()["records"] == "[]"
