"""Beyond QueryIR version 1: select, distinct, aggregates, groups, having, nulls; Unicode in ILIKE; formats of answers."""
import csv
import io
import json

import pytest

from support.library import column, key, model
from support.shared import shared_fixture
from support.tables import create_tables, insert, leaf, query

SALE = model("Sale", key(), column("region", "string", nullable=True), column("n", "integer", nullable=True), column("price", "decimal", nullable=True),
             column("x", "number", nullable=True), column("day", "date", nullable=True), column("ok", "boolean", nullable=True),
             column("u", "uuid", nullable=True), column("doc", "json", nullable=True), column("big", "integer", nullable=True, db_type="bigint"))
UID = "3f4c4ca7-a7e7-40d6-8d83-8f4ddf3285e6"
SALES = [
    {"id": 1, "region": "north", "n": 10, "price": "0.1", "x": 1.5, "day": "2026-01-01", "ok": True, "u": UID, "big": 2 ** 62},
    {"id": 2, "region": "north", "n": 20, "price": "0.2", "x": 2.5, "day": "2026-01-02", "ok": True, "u": "00000000-0000-0000-0000-000000000001"},
    {"id": 3, "region": "south", "n": None, "price": "0.3", "x": None, "day": "2025-12-31", "ok": False, "doc": {"a": 1}},
    {"id": 4, "region": "south", "n": 7, "price": None, "x": -1.0, "day": None, "ok": None, "doc": [1]},
    {"id": 5, "region": None, "n": 1, "price": "100.05", "x": 0.0, "day": "2026-01-01", "ok": True},
    {"id": 6, "region": "ÉTÉ", "n": 1, "price": "5", "x": 4.0, "day": "2026-01-01", "ok": False},
    {"id": 7, "region": "été", "n": None, "price": None, "x": None, "day": None, "ok": None}]


def prepare(conn):
    create_tables(conn.client, conn.name, SALE)
    insert(conn.client, conn.name, "Sale", SALES)


_shared = shared_fixture(prepare)


@pytest.fixture
def conn(server, _shared):
    def rows(where=(), **more):
        return query(_shared.client, "Sale", where, using=_shared.name, **more).expect(200).json()["rows"]
    _shared.rows = rows
    _shared.ids = lambda *where: [r["id"] for r in rows(where, order_by=[{"column": "id"}])]
    return _shared


def count(name="n", column_name=None, fn="count"):
    return {"fn": fn, "as": name, **({} if column_name is None else {"column": column_name})}


def test_ilike_is_unicode_on_both(conn):
    assert conn.ids(leaf("region", "ILIKE", "été")) == [6, 7] and conn.ids(leaf("region", "ILIKE", "É%")) == [6, 7]
    assert conn.ids(leaf("region", "NOT ILIKE", "%É%")) == [1, 2, 3, 4] and conn.ids(leaf("region", "ILIKE", "_T_")) == [6, 7]
    assert conn.ids(leaf("region", "LIKE", "été")) == [7] and conn.ids(leaf("region", "ILIKE", "é\\té")) == [6, 7]
    assert conn.ids(leaf("region", "ILIKE", "é%é%é")) == [] and conn.ids(leaf("region", "ILIKE", "%%é%%")) == [6, 7]


def test_select(conn):
    assert conn.rows([leaf("id", "==", 1)], select=["n", "id"]) == [{"n": 10, "id": 1}]
    row = query(conn.client, "Sale", [leaf("id", "==", 3)], "/first", conn.name, select=["doc", "day"]).expect(200).json()["row"]
    assert row == {"doc": {"a": 1}, "day": "2025-12-31"}


def test_distinct(conn):
    got = conn.rows(distinct=True, select=["region", "ok"], order_by=[{"column": "region", "nulls": "last"}, {"column": "ok", "nulls": "last"}])
    assert [(r["region"], r["ok"]) for r in got] == [("north", True), ("south", False), ("south", None), ("ÉTÉ", False), ("été", None), (None, True)]
    assert conn.rows(distinct=True, select=["ok"], order_by=[{"column": "ok", "nulls": "first"}], limit=2) == [{"ok": None}, {"ok": False}]
    assert query(conn.client, "Sale", [], "/count", conn.name, distinct=True, select=["region"]).expect(200).json() == {"count": 5}


def test_aggregates_over_everything(conn):
    aggregates = [count("rows"), count("ns", "n"), count("sum", "n", "sum"), count("avg", "n", "avg"), count("least", "n", "min"), count("most", "n", "max"),
                  count("money", "price", "sum"), count("mean", "price", "avg"), count("first_day", "day", "min"), count("last_region", "region", "max"),
                  count("xs", "x", "sum"), count("big", "big", "sum"), count("dearest", "price", "max")]
    row = conn.rows(aggregates=aggregates)[0]
    assert row["rows"] == 7 and row["ns"] == 5 and row["sum"] == 39 and row["avg"] == 7.8 and (row["least"], row["most"]) == (1, 20)
    assert row["money"] == "105.65" and float(row["mean"]) == pytest.approx(21.13) and isinstance(row["mean"], str)
    assert row["first_day"] == "2025-12-31" and row["last_region"] == "été" and row["xs"] == 7.0 and row["big"] == 2 ** 62
    assert row["dearest"] == "100.05"
    empty = conn.rows([leaf("id", ">", 99)], aggregates=[count("rows"), count("sum", "n", "sum"), count("avg", "x", "avg"), count("max", "price", "max")])
    assert empty == [{"rows": 0, "sum": None, "avg": None, "max": None}]


def test_groups(conn):
    got = conn.rows(group_by=["region"], aggregates=[count(), count("sum", "n", "sum"), count("price", "price", "sum")],
                    order_by=[{"column": "region", "nulls": "first"}])
    assert got == [{"region": None, "n": 1, "sum": 1, "price": "100.05"}, {"region": "north", "n": 2, "sum": 30, "price": "0.3"},
                   {"region": "south", "n": 2, "sum": 7, "price": "0.3"}, {"region": "ÉTÉ", "n": 1, "sum": 1, "price": "5"},
                   {"region": "été", "n": 1, "sum": None, "price": None}]
    got = conn.rows([leaf("ok", "IS NOT NULL")], group_by=["ok", "day"], aggregates=[count()], order_by=[{"column": "ok"}, {"column": "day"}])
    assert got == [{"ok": False, "day": "2025-12-31", "n": 1}, {"ok": False, "day": "2026-01-01", "n": 1}, {"ok": True, "day": "2026-01-01", "n": 2},
                   {"ok": True, "day": "2026-01-02", "n": 1}]
    assert conn.rows(group_by=["u"], aggregates=[count()], order_by=[{"column": "n", "direction": "desc"}, {"column": "u"}], limit=1) == [{"u": None, "n": 5}]
    assert conn.rows(group_by=["ok"], order_by=[{"column": "ok", "nulls": "first"}]) == [{"ok": None}, {"ok": False}, {"ok": True}]
    assert query(conn.client, "Sale", [], "/count", conn.name, group_by=["region"], aggregates=[count()]).expect(200).json() == {"count": 5}


def test_having(conn):
    def having(*nodes, **more):
        return [r["region"] for r in conn.rows(group_by=["region"], aggregates=[count(), count("sum", "n", "sum"), count("first", "day", "min")], having=list(nodes),
                                               order_by=[{"column": "region", "nulls": "last"}], **more)]
    assert having({"column": "n", "operator": ">", "value": 1}) == ["north", "south"]
    assert having(leaf("n", ">", 1), leaf("sum", "<", 10)) == ["south"]
    assert having(leaf("sum", "IS NULL")) == ["été"] and having(leaf("sum", "IN", [1, 30])) == ["north", "ÉTÉ", None]
    assert having(leaf("first", "==", "2025-12-31")) == ["south"] and having(leaf("sum", "BETWEEN", [2, 8])) == ["south"]
    assert having({"node_kind": "not", "operand": leaf("n", ">", 1)}, limit=2) == ["ÉTÉ", "été"]


def test_order_by_aggregates(conn):
    got = conn.rows([leaf("region", "IS NOT NULL")], group_by=["region"], aggregates=[count("sum", "n", "sum")],
                    order_by=[{"column": "sum", "direction": "desc", "nulls": "last"}])
    assert [r["region"] for r in got] == ["north", "south", "ÉTÉ", "été"]


REFUSED = [
    ({"select": []}, "/select"), ({"select": ["nope"]}, "/select/0"), ({"select": ["id", "id"]}, "/select/1"), ({"select": "id"}, "/select"),
    ({"aggregates": [{"fn": "median", "column": "n", "as": "a"}]}, "/aggregates/0/fn"), ({"aggregates": [{"fn": "sum", "as": "a"}]}, "/aggregates/0"),
    ({"aggregates": [{"fn": "sum", "column": "region", "as": "a"}]}, "/aggregates/0/column"), ({"aggregates": [{"fn": "avg", "column": "day", "as": "a"}]}, "/aggregates/0/column"),
    ({"aggregates": [{"fn": "max", "column": "doc", "as": "a"}]}, "/aggregates/0/column"), ({"aggregates": [{"fn": "count"}]}, "/aggregates/0"),
    ({"aggregates": [count("a"), count("a")]}, "/aggregates/1/as"), ({"aggregates": [count("")]}, "/aggregates/0/as"),
    ({"group_by": ["region"], "aggregates": [count("region")]}, "/aggregates/0/as"), ({"group_by": ["nope"], "aggregates": [count()]}, "/group_by/0"),
    ({"group_by": ["region"], "select": ["n"], "aggregates": [count()]}, "/select"), ({"group_by": ["doc"], "aggregates": [count()]}, "/group_by"),
    ({"group_by": ["region"], "aggregates": [count()], "order_by": [{"column": "day"}]}, "/order_by"), ({"having": [leaf("n", ">", 1)]}, "/having"),
    ({"aggregates": [count()], "having": [leaf("region", "==", "x")]}, "/having/0/column"), ({"aggregates": [count()], "having": [leaf("n", "LIKE", "x")]}, "/having/0"),
    ({"aggregates": [count()], "having": [leaf("n", ">", "x")]}, "/having/0/value"), ({"distinct": True, "aggregates": [count()]}, "/distinct"),
    ({"distinct": True}, "/distinct"), ({"distinct": True, "select": ["doc"]}, "/distinct"), ({"distinct": 1}, "/distinct"),
    ({"distinct": True, "select": ["n"], "order_by": [{"column": "id"}]}, "/order_by"), ({"group_by": ["region"], "include": ["x"]}, "/include/0")]


def test_refusals(conn):
    wrong = []
    for body, pointer in REFUSED:
        answer = conn.client.post("/v1/query", {"model_name": "Sale", "where": [], **body}, params=conn.using)
        if answer.status != 422 or not any(p.startswith(pointer) for p in answer.pointers()):
            if not (pointer == "/include/0" and answer.status == 422):
                wrong.append((body, pointer, answer.status, answer.body[:250]))
    assert not wrong, "\n".join(map(str, wrong))


def test_formats(conn):
    body = {"model_name": "Sale", "where": [leaf("id", "<=", 4)], "order_by": [{"column": "id"}], "select": ["id", "region", "price", "ok", "doc", "u"]}
    lines = conn.client.post("/v1/query", body, params=conn.using, headers={"Accept": "application/x-ndjson"}).expect(200)
    assert lines.header("Content-Type").startswith("application/x-ndjson")
    docs = [json.loads(line) for line in lines.text.splitlines()]
    assert docs[-1] == {"$end": {"row_count": 4}} and docs[2] == {"id": 3, "region": "south", "price": "0.3", "ok": False, "doc": {"a": 1}, "u": None}
    table = list(csv.reader(io.StringIO(conn.client.post("/v1/query", body, params=conn.using, headers={"Accept": "text/csv"}).expect(200).text)))
    assert table[0] == body["select"] and table[1] == ["1", "north", "0.1", "true", "", UID] and table[3] == ["3", "south", "0.3", "false", '{"a":1}', ""]
    answer = conn.client.post("/v1/query", {"model_name": "Sale", "where": [leaf("id", "==", 1)], "select": ["big"]}, params=conn.using,
                              headers={"Prefer": "int64=string"}).expect(200)
    assert answer.json()["rows"] == [{"big": str(2 ** 62)}]
    answer = conn.client.post("/v1/query", {"model_name": "Sale", "where": [], "limit": 2}, params=conn.using, headers={"Prefer": "count=exact"}).expect(200)
    assert answer.json()["total"] == 7 and answer.json()["row_count"] == 2
