"""Columns of SQLite in which every class of value stands: walked whole, both ways, found by what was answered, and one answer everywhere."""
import json
from urllib.parse import quote

import pytest

from support.schema import introspect, register, run
from support.tables import leaf

TYPES = ["text", "varchar(5)", "integer", "boolean", "real", "decimal(10,2)", "numeric", "blob", "", "char(32)", "date", "datetime", "time", "any_odd"]
VALUES = ["NULL", "1", "0", "-1", "9223372036854775807", "1.5", "-0.0", "1e308", "9e999", "-9e999", "'a'", "''", "'abcdefghij'", "'é'", "'2026-01-02'", "'2026-01-02 03:04:05'",
          "'2026-01-02T03:04:05.000000Z'", "'24:00:00'", "x'00ff'", "x''", "CAST(x'ff41' AS text)", "x'ff41'", "'1.50'", "'infinity'", "1767322985", "'a' || char(0) || 'b'"]


@pytest.fixture
def tables(sqlite_conn):
    conn = sqlite_conn
    statements = []
    conn.kinds = {f"t{n}": kind for n, kind in enumerate(TYPES)}
    for name, kind in conn.kinds.items():
        statements.append(f"CREATE TABLE {name} (id integer PRIMARY KEY, v {kind})")
        statements += [f"INSERT INTO {name} (v) VALUES ({value})" for value in VALUES]
    run(conn.backend, ";\n".join(statements))
    register(conn.client)
    introspect(conn, register=True)
    conn.ask = lambda body: conn.client.post("/v1/query", body, params=conn.using, validate=False).expect(200).json()
    return conn


def ids(answer):
    return [row["id"] for row in answer["rows"]]


@pytest.mark.parametrize("direction", ["asc", "desc"])
def test_no_row_stops_a_walk(tables, direction):
    for name, kind in tables.kinds.items():
        for nulls in ({}, {"nulls": "first"}, {"nulls": "last"}):
            query = {"model_name": name, "order_by": [{"column": "v", "direction": direction, **nulls}]}
            whole = ids(tables.ask({**query, "limit": 100}))
            assert sorted(whole) == list(range(1, len(VALUES) + 1))
            pages, cursor = [], {}
            for _ in range(len(VALUES) + 1):
                pages.append(tables.ask({**query, "limit": 1, **cursor}))
                cursor = {"cursor": pages[-1].get("next_cursor")}
                if cursor["cursor"] is None:
                    break
            assert [i for page in pages for i in ids(page)] == whole, (kind, query)
            back = [pages[-1]]
            while "prev_cursor" in back[-1] and len(back) <= len(VALUES):
                back.append(tables.ask({**query, "limit": 1, "cursor": back[-1]["prev_cursor"]}))
            assert [i for page in back for i in ids(page)] == whole[::-1], (kind, query)


def test_infinite_numbers_are_found_and_stay(tables):
    for name, kind in tables.kinds.items():
        stored = run(tables.backend, f"SELECT id FROM {name} WHERE typeof(v) = 'real' AND abs(v) = 9e999 ORDER BY id")
        if kind == "blob":  # in which a text is bytes
            continue
        for (i,) in stored:
            row = tables.client.get(f"/v1/models/{name}/records/{i}", params=tables.using).expect(200).json()
            assert row["v"] in ("Infinity", "-Infinity"), (kind, row)
            assert ids(tables.ask({"model_name": name, "where": [leaf("v", "==", row["v"])]})) == [int(i)], kind
            assert ids(tables.ask({"model_name": name, "where": [leaf("v", "IN", [row["v"]])]})) == [int(i)], kind
            assert int(i) not in ids(tables.ask({"model_name": name, "where": [leaf("v", "!=", row["v"])]})), kind
            listed = tables.client.get(f"/v1/models/{name}/records?v=eq.{row['v']}", params=tables.using).expect(200).json()
            assert ids(listed) == [int(i)], kind
            for verb in ("put", "patch"):
                assert getattr(tables.client, verb)(f"/v1/models/{name}/records/{i}", {"v": row["v"]}, params=tables.using).expect(200).json() == row
        assert run(tables.backend, f"SELECT id FROM {name} WHERE typeof(v) = 'real' AND abs(v) = 9e999 ORDER BY id") == stored, kind


def test_digits_in_urls_find_numbers_and_texts(tables):
    """Where a column keeps both."""
    name = next(n for n, kind in tables.kinds.items() if kind == "")
    run(tables.backend, f"INSERT INTO {name} VALUES (100, '1'), (101, '1.5')")
    for text, expected in (("1", [2, 100]), ("1.5", [6, 101]), ("9223372036854775807", [5]), ("1.50", [23])):
        found = ids(tables.client.get(f"/v1/models/{name}/records?order=id&v=eq.{text}", params=tables.using).expect(200).json())
        assert set(expected) <= set(found), (text, found)
    assert ids(tables.ask({"model_name": name, "where": [leaf("v", "==", "1")]})) == [100]  # JSON says which it means


def test_a_list_answers_what_a_record_does(tables):
    """Days in a column of instants, too, in whichever form its rows are."""
    for name, kind in tables.kinds.items():
        for row in tables.client.get(f"/v1/models/{name}/records", params=tables.using).expect(200).json()["rows"]:
            one = tables.client.get(f"/v1/models/{name}/records/{row['id']}", params=tables.using).expect(200).json()
            assert json.dumps(one) == json.dumps(row), kind
            if kind != "blob":
                for verb in ("put", "patch"):
                    assert json.dumps(getattr(tables.client, verb)(f"/v1/models/{name}/records/{row['id']}", {"v": row["v"]}, params=tables.using).expect(200).json()) == json.dumps(row), kind
            text = row["v"] if isinstance(row["v"], str) else json.dumps(row["v"])
            if kind != "blob" and row["v"] is not None and "\0" not in text:
                listed = tables.client.get(f"/v1/models/{name}/records?v=eq.{quote(text, safe='')}", params=tables.using).expect(200).json()
                assert row["id"] in ids(listed), (kind, row)


@pytest.mark.parametrize("kind", ["text", "numeric", "datetime", ""])
def test_no_related_row_stops_a_walk(sqlite_conn, kind):
    """By a column of the record that is pointed at, two records of each and one of none; and by an expression of it."""
    conn = sqlite_conn
    run(conn.backend, f"CREATE TABLE p (id integer PRIMARY KEY, v {kind});\nCREATE TABLE t (id integer PRIMARY KEY, p_id integer REFERENCES p (id));\n" +
        ";\n".join(f"INSERT INTO p (v) VALUES ({value})" for value in VALUES) + ";\nINSERT INTO t (p_id) SELECT id FROM p UNION ALL SELECT id FROM p UNION ALL SELECT NULL")
    register(conn.client)
    introspect(conn, register=True)

    def ask(body):
        return conn.client.post("/v1/query", {"model_name": "t", **body}, params=conn.using, validate=False).expect(200).json()
    for place in ({"column": "v", "relation": "p"}, {"expr": {"$coalesce": [{"$column": "v", "relation": "p"}, {"$column": "v", "relation": "p"}]}}):
        for direction in ("asc", "desc"):
            query = {"order_by": [{**place, "direction": direction}], "select": ["id"], "limit": 3}
            whole = ids(ask({**query, "limit": 100}))
            pages = [ask(query)]
            while "next_cursor" in pages[-1] and len(pages) < 30:
                pages.append(ask({**query, "cursor": pages[-1]["next_cursor"]}))
            assert [i for page in pages for i in ids(page)] == whole and len(whole) == 2 * len(VALUES) + 1, (place, direction)
            back = [pages[-1]]
            while "prev_cursor" in back[-1] and len(back) < 30:
                back.append(ask({**query, "cursor": back[-1]["prev_cursor"]}))
            assert [i for page in back[::-1] for i in ids(page)] == whole, (place, direction)
