"""Upserts write what was given and nothing else, single, bulk and NDJSON alike; conflict_index; counts."""
import json

import pytest

from support.schema import run

SQL = {
    "postgres": """
        CREATE TABLE m (id int PRIMARY KEY, st text DEFAULT 'draft', body text NOT NULL DEFAULT '', n int);
        CREATE TABLE s (id serial PRIMARY KEY, email text, n int, deleted_at timestamptz); CREATE UNIQUE INDEX ux ON s (email) WHERE deleted_at IS NULL;
        CREATE UNIQUE INDEX low ON s (lower(email), n) WHERE n > 100;
        CREATE TABLE k (id serial PRIMARY KEY, a text UNIQUE, v int, w int DEFAULT 7)""",
    "sqlite": """CREATE TABLE m (id integer PRIMARY KEY, st text DEFAULT 'draft', body text NOT NULL DEFAULT '', n int);
CREATE TABLE s (id integer PRIMARY KEY, email text, n int, deleted_at text);
CREATE UNIQUE INDEX ux ON s (email) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX low ON s (lower(email), n) WHERE n > 100;
CREATE TABLE k (id integer PRIMARY KEY, a text UNIQUE, v int, w int DEFAULT 7)""",
}


@pytest.fixture
def db(conn):
    run(conn.backend, SQL[conn.backend.name])
    conn.client.post("/v1/introspect", {"register": True, "using": conn.name}).expect(200)

    def post(model, body, headers=None, raw=None, **params):
        return conn.client.request("POST", f"/v1/models/{model}/records", body, raw=raw, params={**conn.using, **params}, headers=headers)
    conn.post = post
    conn.rows = lambda model: conn.client.get(f"/v1/models/{model}/records", params={**conn.using, "order": "id"}).expect(200).json()["rows"]
    return conn


def bodies():
    row = {"id": 1, "n": 6}
    return {"one": {"body": row}, "bulk": {"body": {"records": [row]}},
            "ndjson": {"body": None, "raw": json.dumps(row).encode() + b"\n", "headers": {"Content-Type": "application/x-ndjson"}}}


@pytest.mark.parametrize("how", ["one", "bulk", "ndjson"])
@pytest.mark.parametrize("declared", [False, True])
def test_columns_that_were_not_sent_stay(db, how, declared):
    """Also where the default is the model's, which ferrod fills in for a new row."""
    if declared:
        column = {"nullable": True, "logical_type": "string"}
        db.client.put("/v1/models", {"models": [{"model_name": "m", "columns": [
            {"name": "id", "logical_type": "integer", "primary_key": True}, {"name": "st", **column, "default": "draft"},
            {"name": "body", "logical_type": "string", "default": ""}, {"name": "n", "logical_type": "integer", "nullable": True}]}]}).expect(200)
    db.post("m", {"id": 1, "st": "live", "body": "long text", "n": 5}).expect(201)
    answer = db.post("m", **bodies()[how], on_conflict="update")
    if how == "one":
        assert answer.expect(200).json() == {"id": 1, "st": "live", "body": "long text", "n": 6}
    else:
        assert answer.expect(201).json() == {"rows_inserted": 0, "rows_updated": 1}
    assert db.rows("m") == [{"id": 1, "st": "live", "body": "long text", "n": 6}]
    db.post("m", {"id": 2, "n": 1}, on_conflict="update").expect(201)
    assert db.rows("m")[1] == {"id": 2, "st": "draft", "body": "", "n": 1}


def test_inserted_and_updated_are_counted_apart(db):
    db.post("k", {"records": [{"a": f"a{i}", "v": i} for i in range(5)]}).expect(201)
    records = [{"a": f"a{i}", "v": 100 + i} for i in range(3, 9)]
    answer = db.post("k", {"records": records}, on_conflict="update", conflict_columns="a")
    assert answer.expect(201).json() == {"rows_inserted": 4, "rows_updated": 2}
    shown = db.post("k", {"records": records[:3] + [{"a": "new"}]}, {"Prefer": "return=representation"}, on_conflict="update", conflict_columns="a").expect(201).json()
    assert (shown["rows_inserted"], shown["rows_updated"], len(shown["records"])) == (1, 3, 4)
    assert [r["w"] for r in db.rows("k")] == [7] * 10
    assert db.post("k", {"records": records}, on_conflict="ignore", conflict_columns="a").expect(201).json() == {"rows_inserted": 0}


def test_the_last_of_one_key_wins(db):
    records = [{"a": "x", "v": 1}, {"a": "y", "v": 1}, {"a": "x", "v": 2, "w": 5}, {"a": "x", "v": 3}, {"a": None, "v": 1}, {"a": None, "v": 2}]
    answer = db.post("k", {"records": records}, on_conflict="update", conflict_columns="a").expect(201).json()
    assert answer == {"rows_inserted": 4, "rows_updated": 2}
    assert [(r["a"], r["v"], r["w"]) for r in db.rows("k")][:2] == [("x", 3, 5), ("y", 1, 7)]


def test_a_partial_index_decides(db):
    db.post("s", {"records": [{"email": "a@x", "n": 1, "deleted_at": "2026-01-01T00:00:00Z"}, {"email": "a@x", "n": 2}]}).expect(201)
    ux = {"on_conflict": "update", "conflict_index": "ux"}
    assert db.post("s", {"email": "a@x", "n": 3}, **ux).expect(200).json()["n"] == 3
    assert db.post("s", {"email": "b@x", "n": 4}, **ux).expect(201).json()["n"] == 4
    assert [r["n"] for r in db.rows("s")] == [1, 3, 4], "the deleted one is not in the way"
    kept = db.post("s", {"email": "a@x", "n": 9}, on_conflict="ignore", conflict_index="ux").expect(200).json()
    assert kept["n"] == 3, "the row that was in the way"
    many = db.post("s", {"records": [{"email": "a@x", "n": 5}, {"email": "c@x", "n": 6}]}, **ux).expect(201).json()
    assert many == {"rows_inserted": 1, "rows_updated": 1}


def test_an_index_over_an_expression_decides(db):
    low = {"on_conflict": "update", "conflict_index": "low"}
    db.post("s", {"email": "A@x", "n": 101, "deleted_at": "2026-01-01T00:00:00Z"}, **low).expect(201)
    db.post("s", {"email": "a@X", "n": 101, "deleted_at": "2026-01-02T00:00:00Z"}, **low).expect(200)
    assert [r["email"] for r in db.rows("s")] == ["a@X"]


def test_a_unique_constraint_by_its_name(db):
    name = "k_a_key" if db.backend.name == "postgres" else "uq_k_a"
    db.post("k", {"a": "x", "v": 1}).expect(201)
    assert db.post("k", {"a": "x", "v": 2}, on_conflict="update", conflict_index=name).expect(200).json()["v"] == 2


@pytest.mark.parametrize("params", [{"conflict_index": "ux"}, {"on_conflict": "update", "conflict_index": "nosuch"},
                                    {"on_conflict": "update", "conflict_index": "ux", "conflict_columns": "email"},
                                    {"on_conflict": "update", "conflict_index": "x\" (id) DO NOTHING; --"}])
def test_bad_indexes(db, params):
    db.post("s", {"email": "a@x"}, **params).problem(400, "invalid_parameters")
    assert db.rows("s") == []


def test_upserts_into_partitions(postgres_conn):
    """Whose rows do not say who wrote them last: what is there is looked at before."""
    run(postgres_conn.backend, """CREATE TABLE p (id int, k int, v text, PRIMARY KEY (id, k)) PARTITION BY LIST (k);
        CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1); CREATE TABLE p2 (v text, k int NOT NULL, id int NOT NULL);
        ALTER TABLE p ATTACH PARTITION p2 FOR VALUES IN (2)""")
    columns = [{"name": "id", "logical_type": "integer", "primary_key": True}, {"name": "k", "logical_type": "integer", "primary_key": True},
               {"name": "v", "logical_type": "string", "nullable": True}]
    postgres_conn.client.put("/v1/models", {"models": [{"model_name": "p", "columns": columns}]}).expect(200)

    def post(body):
        return postgres_conn.client.post("/v1/models/p/records", body, params={**postgres_conn.using, "on_conflict": "update"})
    for k in (1, 2):
        post({"id": 1, "k": k, "v": "a"}).expect(201)
        assert post({"id": 1, "k": k, "v": "b"}).expect(200).json() == {"id": 1, "k": k, "v": "b"}
        counts = post({"records": [{"id": n, "k": k, "v": "c"} for n in (1, 2, 3)]}).expect(201).json()
        assert counts == {"rows_inserted": 2, "rows_updated": 1}
