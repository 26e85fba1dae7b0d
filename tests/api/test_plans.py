"""What the databases make of our SQL: which indexes it uses, and that PostgreSQL plans it once."""
import json

import pytest

from support.tables import leaf

MODELS = [
    {"model_name": "Owner", "columns": [{"name": "id", "logical_type": "integer", "primary_key": True},
                                        {"name": "name", "logical_type": "string", "unique": True}]},
    {"model_name": "Thing", "columns": [
        {"name": "id", "logical_type": "integer", "primary_key": True}, {"name": "owner_id", "logical_type": "integer", "nullable": True, "index": True},
        {"name": "rank", "logical_type": "integer"}, {"name": "label", "logical_type": "string"},
        {"name": "at", "logical_type": "datetime", "nullable": True, "index": True}, {"name": "day", "logical_type": "date", "nullable": True, "index": True}],
     "indexes": [{"name": "idx_thing_rank_id", "columns": ["rank", "id"], "unique": False}],
     "foreign_keys": [{"column": "owner_id", "to_table": "owner", "to_column": "id"}]},
]


def time_of(n):
    """Each hundredth in the past, the others to come."""
    year = 2001 if n % 100 == 0 else 2901
    return {"at": f"{year}-02-03T04:05:{n % 60:02}Z", "day": f"{year}-02-{n % 27 + 1:02}"}


@pytest.fixture
def many(conn):
    conn.client.put("/v1/models", {"models": MODELS}).expect(200)
    conn.client.post("/v1/create-tables", params=conn.using).expect(200)
    conn.client.post("/v1/models/Owner/records", {"records": [{"id": n, "name": f"o{n}"} for n in range(1, 501)]}, params=conn.using).expect(201)
    things = [{"id": n, "owner_id": n % 500 + 1, "rank": n * 7919 % 20000, "label": f"l{n}", **time_of(n)} for n in range(1, 20001)]
    conn.client.post("/v1/models/Thing/records", {"records": things}, params=conn.using).expect(201)
    conn.client.post("/v1/sql/execute", {"sql": "ANALYZE"}, params=conn.using).expect(200)

    def plan(**query):
        answer = conn.client.post("/v1/query/explain", {"model_name": "Thing", **query}, params=conn.using).expect(200).json()
        return json.dumps(answer["plan"])
    conn.plan = plan
    return conn


def uses(conn, plan, index):
    """Reached by the index, and no table read from end to end."""
    if conn.backend.name == "sqlite":
        return index in plan and "SCAN thing" not in plan
    return index in plan and '"Seq Scan", "Parallel Aware": false, "Async Capable": false, "Relation Name": "thing"' not in plan


def test_a_related_column_is_found_by_the_foreign_keys_index(many):
    plan = many.plan(where=[{**leaf("name", "==", "o7"), "relation": "owner"}])
    assert uses(many, plan, "idx_thing_owner_id"), plan
    plan = many.plan(where=[{"node_kind": "relation", "relation": "owner", "quantifier": "any", "where": [leaf("name", "==", "o7")]}])
    assert uses(many, plan, "idx_thing_owner_id"), plan


def test_related_records_are_found_by_their_index(many):
    """The other way round: owners of a thing, by the thing's own key."""
    answer = many.client.post("/v1/query/explain", {"model_name": "Owner", "where": [
        {"node_kind": "relation", "relation": "thing_set", "quantifier": "any", "where": [leaf("id", "==", 5)]}]}, params=many.using)
    plan = json.dumps(answer.expect(200).json()["plan"])
    assert "SCAN thing" not in plan and ('"Relation Name": "thing"' not in plan or "Index" in plan), plan


@pytest.mark.parametrize("column", ["at", "day"])
def test_the_time_now_is_found_by_an_index(many, column):
    for operator, limit in (("<", 200), ("<=", 200), (">", 19800), (">=", 19800)):
        where = [leaf(column, operator, {"$now": True})]
        answer = many.client.post("/v1/query/count", {"model_name": "Thing", "where": where}, params=many.using).expect(200).json()
        assert answer == {"count": limit}, where
        if limit == 200:
            plan = many.plan(where=where)
            assert uses(many, plan, f"idx_thing_{column}"), plan


def test_a_page_begins_where_its_index_says(many):
    """The page after a place: the rows before it are not read."""
    query = {"order_by": [{"column": "rank"}, {"column": "id"}], "limit": 10}
    first = many.client.post("/v1/query", {"model_name": "Thing", **query}, params=many.using).expect(200).json()
    last = first["rows"][-1]
    plan = many.plan(**query, after=[last["rank"], last["id"]])
    if many.backend.name == "sqlite":
        assert "idx_thing_rank_id" in plan and "USE TEMP B-TREE" not in plan, plan
    else:
        assert "idx_thing_rank_id" in plan and '"Sort"' not in plan, plan


def test_lists_are_planned_once(many):
    """PostgreSQL settles for a generic plan, since the limit stands in the text; the statements are few, whatever numbers come."""
    if many.backend.name != "postgres":
        pytest.skip("SQLite has no generic plans")
    client = many.client.session(**many.using).transaction()

    def page(limit, offset=None, value=0):
        query = {"model_name": "Thing", "where": [leaf("rank", ">", value), leaf("label", "!=", "x")], "order_by": [{"column": "rank", "direction": "desc"}],
                 "limit": limit, **({"offset": offset} if offset is not None else {})}
        client.post("/v1/query", query).expect(200)

    def statements():
        sql = "SELECT statement, generic_plans, custom_plans FROM pg_prepared_statements WHERE statement LIKE '%FROM \"thing\"%LIMIT%' AND statement NOT LIKE '%prepared%'"
        return client.post("/v1/sql/fetch-all", {"sql": sql}).expect(200).json()["rows"]
    for n in range(12):
        page(20, value=n)
    (one,) = statements()
    assert "LIMIT 21" in one["statement"] and one["generic_plans"] >= 6 and one["custom_plans"] <= 5, one
    for n in range(1, 60):
        page(2000 + n, 17 * n)
    assert len(statements()) == 2  # every other number is a parameter
