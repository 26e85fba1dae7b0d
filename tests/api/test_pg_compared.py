"""Every column of PostgreSQL's is found by what it answers; what has no order says so, and what has one is walked whole."""
import json
from urllib.parse import quote

import pytest

from support.schema import introspect, register, run
from support.tables import leaf

TYPES = """
CREATE EXTENSION hstore; CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN felt AS mood; CREATE DOMAIN deep AS felt CHECK (VALUE::mood <> 'sad');
CREATE DOMAIN spot AS point; CREATE TYPE place AS (at point, n int); CREATE TYPE pair AS (a int, b text);
"""
# types, and two unlike values that their own operators may hold for one and the same
UNORDERED = {
    "point": ("(1,2)", "(1,3)"), "line": ("{1,2,3}", "{1,2,4}"), "lseg": ("[(0,0),(1,1)]", "[(1,1),(0,0)]"), "box": ("(1,1),(0,0)", "(2,2),(1,1)"),
    "path": ("[(0,0),(1,1)]", "((0,0),(1,1))"), "polygon": ("((0,0),(1,1),(2,0))", "((0,0),(1,1),(3,0))"), "circle": ("<(0,0),1>", "<(5,5),1>"),
    "xml": ("<a>1</a>", "<a>2</a>"), "jsonpath": ('$."a"', '$."b"'), "xid": ("3", "4"), "cid": ("3", "4"), "pg_snapshot": ("10:20:", "10:21:"), "spot": ("(1,2)", "(1,3)"),
    "hstore": ("a=>1", "a=>2"), "place": ('("(1,2)",5)', '("(1,2)",6)'), "point[]": ('{"(1,2)",NULL}', '{"(1,2)"}'), "json[]": ('{"{\\"a\\": 1.10}"}', '{"[1]"}'), "spot[]": ('{"(1,2)"}', "{}"),
}
ORDERED = {
    "felt": ("ok", "sad"), "deep": ("ok", None), "felt[]": ("{ok}", "{sad,NULL}"), "regclass": ("pg_class", "pg_type"), "regtype": ("integer", "text"), "pair": ("(1,x)", "(2,)"),
    "hstore[]": ('{"a=>1"}', "{}"), "double precision": ("NaN", "-Infinity"), "numeric": ("NaN", "123456789012345678901234567890.123456789"), "date": ("infinity", "0044-03-15 BC"),
    "timestamp with time zone": ("-infinity", "0044-03-15 01:02:03+00 BC"), "time without time zone": ("24:00", "00:00"), "oid": ("4294967295", "1"), "bytea": ("\\x00ff", "\\x"),
}


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


@pytest.fixture
def tables(postgres_conn):
    """A table of each type, with one value, the other, and NULL."""
    conn = postgres_conn
    statements = [TYPES]
    conn.kinds = {f"t{n}": kind for n, kind in enumerate([*UNORDERED, *ORDERED])}
    for name, kind in conn.kinds.items():
        statements.append(f"CREATE TABLE {name} (id serial PRIMARY KEY, v {kind})")
        for text in (UNORDERED | ORDERED)[kind]:
            statements.append(f"INSERT INTO {name} (v) VALUES ({'NULL' if text is None else quoted(text)}::{kind})")
        statements.append(f"INSERT INTO {name} (v) VALUES (NULL)")
    run(conn.backend, ";\n".join(statements))
    register(conn.client)
    introspect(conn, register=True)
    conn.ask = lambda body: conn.client.post("/v1/query", body, params=conn.using)
    conn.rows = {n: conn.ask({"model_name": n, "order_by": [{"column": "id"}]}).expect(200).json()["rows"] for n in conn.kinds}
    return conn


def found(conn, name, **node):
    body = {"model_name": name, "where": [{**leaf("v", **{"operator": node.pop("operator"), "value": node.pop("value")}), **node}], "order_by": [{"column": "id"}]}
    return [row["id"] for row in conn.ask(body).expect(200).json()["rows"]]


def test_a_value_that_was_answered_finds_its_row_and_no_other(tables):
    for name, rows in tables.rows.items():
        filled = [row["id"] for row in rows if row["v"] is not None]
        for row in rows:
            value, others = row["v"], [i for i in filled if i != row["id"]]
            if value is None:
                continue
            context = (tables.kinds[name], value)
            assert found(tables, name, operator="==", value=value) == [row["id"]], context
            assert found(tables, name, operator="!=", value=value) == others, context
            assert found(tables, name, operator="IN", value=[value]) == [row["id"]], context
            assert found(tables, name, operator="NOT IN", value=[value]) == others, context
            assert found(tables, name, operator="is_not_distinct", value=value) == [row["id"]], context
            assert found(tables, name, operator="==", value={"$column": "v"}) == filled, context
            text = value if isinstance(value, str) else json.dumps(value)
            listed = tables.client.get(f"/v1/models/{name}/records?v=eq.{quote(text, safe='')}", params=tables.using).expect(200).json()
            assert [r["id"] for r in listed["rows"]] == [row["id"]], context
            goc = tables.client.post(f"/v1/models/{name}/get-or-create", {"where": {"v": value}}, params=tables.using).expect(200).json()
            assert goc["record"]["id"] == row["id"] and not goc["created"], context


def test_what_has_no_order_says_so_before_any_sql(tables):
    for name, kind in tables.kinds.items():
        if kind not in UNORDERED:
            continue
        value = tables.rows[name][0]["v"]
        for operator in ("<", "<=", ">", ">="):
            problem = tables.ask({"model_name": name, "where": [leaf("v", operator, value)]}).problem(422, "invalid_query")
            assert kind in problem["detail"] and problem["errors"][0]["pointer"].startswith("/where/0"), (kind, problem)
        tables.ask({"model_name": name, "where": [leaf("v", "BETWEEN", [value, value])]}).problem(422, "invalid_query")
        tables.ask({"model_name": name, "order_by": [{"column": "v"}]}).problem(422, "invalid_query")
        tables.client.get(f"/v1/models/{name}/records?order=v", params=tables.using).problem(400, "invalid_parameters")
        tables.ask({"model_name": name, "select": [{"fn": "min", "column": "v", "as": "m"}]}).problem(422, "invalid_query")
        if kind in ("xid", "hstore"):
            continue
        tables.ask({"model_name": name, "distinct": True}).problem(422, "invalid_query")
        tables.ask({"model_name": name, "select": ["v", {"fn": "count", "as": "n"}], "group_by": ["v"]}).problem(422, "invalid_query")
        if kind.endswith("[]"):
            tables.ask({"model_name": name, "where": [leaf("v", "contains", value)]}).problem(422, "invalid_query")


def test_what_has_an_order_is_walked_whole_both_ways(tables):
    for name, kind in tables.kinds.items():
        if kind not in ORDERED:
            continue
        for direction in ("asc", "desc"):
            for nulls in ({}, {"nulls": "first"}, {"nulls": "last"}):
                query = {"model_name": name, "order_by": [{"column": "v", "direction": direction, **nulls}], "limit": 1}
                whole = [r["id"] for r in tables.ask({**query, "limit": 10}).expect(200).json()["rows"]]
                pages = [tables.ask(query).expect(200).json()]
                while "next_cursor" in pages[-1]:
                    pages.append(tables.ask({**query, "cursor": pages[-1]["next_cursor"]}).expect(200).json())
                assert [p["rows"][0]["id"] for p in pages] == whole, (kind, query)
                back = [pages[-1]]
                while "prev_cursor" in back[-1]:
                    back.append(tables.ask({**query, "cursor": back[-1]["prev_cursor"]}).expect(200).json())
                assert [p["rows"][0]["id"] for p in back] == whole[::-1], (kind, query)


def test_elements_of_a_domain_over_an_enum_are_found(tables):
    name = next(n for n, kind in tables.kinds.items() if kind == "felt[]")
    assert found(tables, name, operator="any", value="sad") == [2]
    assert found(tables, name, operator="contains", value=["ok"]) == [1]
