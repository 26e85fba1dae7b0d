"""Times of SQLite in the plans that it makes, in groups and extremes, and in columns of dates and times of day."""
import json
import sqlite3
import time

import pytest

from support.schema import introspect
from support.tables import leaf

FORMS = {"ferrod": "%Y-%m-%dT%H:%M:00.000000", "iso": "%Y-%m-%dT%H:%M:00", "space": "%Y-%m-%d %H:%M:00", "space6": "%Y-%m-%d %H:%M:00.000000", "js": "%Y-%m-%dT%H:%M:00.000Z",
         "offset": "%Y-%m-%dT%H:%M:00+00:00", "unix": "unix", "unix_ms": "ms", "unix_us": "us", "julian": "julian"}
SORTED = {"ferrod", "space", "space3", "space6", "js"}
NUMBERS = {"unix": "n", "ms": "n * 1000", "us": "n * 1000000", "julian": "n / 86400.0 + 2440587.5"}
FIRST = 1767225600  # 2026-01-01T00:00:00Z


@pytest.fixture
def table(sqlite_conn):
    """table.make(create, insert) and then what the server finds."""
    conn = sqlite_conn

    def make(*statements):
        with sqlite3.connect(conn.backend.path) as db:
            for statement in statements:
                db.execute(statement)
        db.close()
        conn.client.put("/v1/models", {"models": []}).expect(200)
        conn.answer = introspect(conn, register=True)
        return {c["name"]: c for c in conn.answer["payload"]["models"][0]["columns"]}
    conn.make = make

    def ask(path="", **query):
        return conn.client.post(f"/v1/query{path}", {"model_name": "post", **query}, params=conn.using).expect(200).json()
    conn.ask = ask
    conn.plan = lambda **query: json.dumps(ask("/explain", **query)["plan"])
    return conn


def rows_of(form, n=20000):
    text = f"strftime('{FORMS[form]}', n, 'unixepoch')" if "%" in FORMS[form] else NUMBERS[FORMS[form]]
    return f"WITH RECURSIVE c(i, n) AS (SELECT 1, {FIRST} UNION ALL SELECT i + 1, n + 3600 FROM c WHERE i < {n}) INSERT INTO post (id, at, k) SELECT i, {text}, i % 7 FROM c"


@pytest.mark.parametrize("form", list(FORMS))
def test_an_index_serves_filters_on_times_in_every_form(table, form):
    declared = "timestamptz" if form in ("js", "offset") else "datetime"
    found = table.make(f"CREATE TABLE post (id integer PRIMARY KEY, at {declared}, k integer)", rows_of(form), "CREATE INDEX post_at ON post (at)", "ANALYZE")
    assert found["at"].get("spelling", "ferrod") == form
    warned = [w["column"] for w in table.answer.get("warnings", []) if w["code"] == "order_without_index"]
    assert warned == ([] if form in SORTED else ["at"])
    day, next_day = "2026-02-01T00:00:00", "2026-02-02T00:00:00"
    for where in ([leaf("at", "==", day)], [leaf("at", ">=", day), leaf("at", "<", next_day)], [leaf("at", "BETWEEN", [day, next_day])], [leaf("at", "IN", [day, next_day])],
                  [leaf("at", ">", "2028-01-01T00:00:00")]):
        plan = table.plan(where=where)
        assert "USING INDEX post_at" in plan and "SCAN post" not in plan.replace("SCAN post USING COVERING", ""), (where, plan)
        expected = {"==": 1, ">=": 24, "BETWEEN": 25, "IN": 2}.get(where[0]["operator"])
        if expected is not None:
            assert table.ask("/count", where=where) == {"count": expected}, where
    past = [leaf("at", "<", {"$now": True})]
    plan = table.plan(where=past)
    assert "USING INDEX post_at" in plan or "USING COVERING INDEX post_at" in plan, plan
    hours = min(20000, max(0, int(-(-(time.time() - FIRST) // 3600))))
    assert table.ask("/count", where=past)["count"] - hours in (0, 1)
    page = {"order_by": [{"column": "at", "direction": "DESC"}], "limit": 5, "where": [leaf("at", "<", next_day)]}
    plan = table.plan(**page)
    assert ("USE TEMP B-TREE" in plan) == (form not in SORTED), plan
    if form in SORTED:
        first = table.ask(**page)
        second = table.ask(**page, cursor=first["next_cursor"])
        assert [r["id"] for r in first["rows"] + second["rows"]] == list(range(32 * 24, 32 * 24 - 10, -1))


def test_an_index_serves_mixtures_class_by_class(table):
    found = table.make("CREATE TABLE post (id integer PRIMARY KEY, at datetime, k integer)", rows_of("space", 9000),
                       f"INSERT INTO post (id, at) SELECT 10000 + value, {FIRST} + 3600 * value FROM generate_series(0, 2000)".replace("generate_series(0, 2000)", "(WITH RECURSIVE c(value) AS (SELECT 0 UNION ALL SELECT value + 1 FROM c WHERE value < 2000) SELECT value FROM c)"),
                       "CREATE INDEX post_at ON post (at)", "ANALYZE")
    assert found["at"]["spelling"] == "mixed"
    plan = table.plan(where=[leaf("at", "==", "2026-02-01T00:00:00")])
    assert "MULTI-INDEX OR" in plan and "SCAN post" not in plan, plan
    assert table.ask("/count", where=[leaf("at", "==", "2026-02-01T00:00:00")]) == {"count": 2}


def test_later_forms_in_a_column_of_one(table):
    """What is written after introspection in another form is found, grouped and paged all the same."""
    table.make("CREATE TABLE post (id integer PRIMARY KEY, at datetime, k integer)", rows_of("space", 50), "CREATE INDEX post_at ON post (at)")
    with sqlite3.connect(table.backend.path) as db:
        db.execute("INSERT INTO post (id, at) VALUES (100, '2026-01-01T05:00:00.000000'), (101, ?), (102, '2026-01-01T08:00:00+03:00'), (103, x'00'), (104, 'never')", (FIRST + 5 * 3600,))
    db.close()
    assert table.ask("/count", where=[leaf("at", "==", "2026-01-01T05:00:00")]) == {"count": 4}
    assert table.ask("/count", where=[leaf("at", "<", "2026-01-01T05:00:00")]) == {"count": 5}
    for direction in ("ASC", "DESC"):
        seen, cursor = [], {}
        for _ in range(60):
            page = table.ask(order_by=[{"column": "at", "direction": direction}], limit=2, **cursor)
            seen += [r["id"] for r in page["rows"]]
            if not page.get("next_cursor"):
                break
            cursor = {"cursor": page["next_cursor"]}
        assert sorted(seen) == [*range(1, 51), 100, 101, 102, 103, 104], direction


def test_groups_and_extremes_are_by_time(table):
    values = ["2026-01-02 03:04:05", "2026-01-02T03:04:05.000000", "2026-01-01T23:00:00", 1767323045, "2026-01-03 00:00:00", None]
    table.make("CREATE TABLE post (id integer PRIMARY KEY, at datetime, day date, t time)",
               "INSERT INTO post (at, day, t) VALUES " + ", ".join(f"({'NULL' if v is None else repr(v)}, {d}, {t})" for v, d, t in zip(
                   values, ("'2026-01-02'", "'2026-01-02 00:00:00'", "'2026-01-01'", "'2026-01-02T00:00:00'", "1767225600", "NULL"),
                   ("'03:04:05'", "'03:04'", "'03:04:05.000000'", "'03:04:05.5'", "'23:00'", "NULL"))))
    rows = table.ask(group_by=["at"], aggregates=[{"fn": "count", "as": "n"}], order_by=[{"column": "at"}])["rows"]
    assert rows == [{"at": None, "n": 1}, {"at": "2026-01-01T23:00:00", "n": 1}, {"at": "2026-01-02T03:04:05", "n": 3}, {"at": "2026-01-03T00:00:00", "n": 1}]
    rows = table.ask(aggregates=[{"fn": "min", "column": "at", "as": "low"}, {"fn": "max", "column": "at", "as": "high"}])["rows"]
    assert rows == [{"low": "2026-01-01T23:00:00", "high": "2026-01-03T00:00:00"}]
    rows = table.ask(select=["at"], distinct=True, where=[leaf("at", "!=", None)])["rows"]
    assert sorted(r["at"] for r in rows) == ["2026-01-01T23:00:00", "2026-01-02T03:04:05", "2026-01-03T00:00:00"]
    assert table.ask("/count", select=["at"], distinct=True) == {"count": 4}
    rows = table.ask(group_by=["day"], aggregates=[{"fn": "count", "as": "n"}, {"fn": "max", "column": "t", "as": "last"}], order_by=[{"column": "day"}],
                     having=[{"node_kind": "leaf", "column": "n", "operator": ">", "value": 0}])["rows"]
    assert rows == [{"day": None, "n": 1, "last": None}, {"day": "2026-01-01", "n": 2, "last": "23:00:00"}, {"day": "2026-01-02", "n": 3, "last": "03:04:05.5"}]
    having = [{"node_kind": "leaf", "column": "last", "operator": ">=", "value": "2026-01-02T03:04:05"}]
    rows = table.ask(group_by=["day"], aggregates=[{"fn": "max", "column": "at", "as": "last"}], having=having)["rows"]
    assert {r["day"]: r["last"] for r in rows} == {"2026-01-02": "2026-01-02T03:04:05", "2026-01-01": "2026-01-03T00:00:00"}


def test_dates_and_times_of_day_of_others(table):
    table.make("CREATE TABLE post (id integer PRIMARY KEY, day date, t time)", "CREATE INDEX post_day ON post (day)", "CREATE INDEX post_t ON post (t)",
               "INSERT INTO post VALUES (1, '2026-01-01', '03:04:05'), (2, '2026-01-02 00:00:00', '03:04'), (3, '2026-01-02', '03:04:00.000000'), (4, '2026-01-02T00:00:00.000Z', '03:04:00.5'), "
               "(5, 1767312000, '23:59:59'), (6, '2026-01-03', NULL)")
    got = table.ask(order_by=[{"column": "id"}])["rows"]
    assert [r["day"] for r in got] == ["2026-01-01", "2026-01-02", "2026-01-02", "2026-01-02", "2026-01-02", "2026-01-03"]
    assert [r["t"] for r in got] == ["03:04:05", "03:04:00", "03:04:00", "03:04:00.5", "23:59:59", None]

    def found(*where):
        plan = table.plan(where=list(where))
        assert "SCAN post" not in plan, plan
        return sorted(r["id"] for r in table.ask(where=list(where))["rows"])
    assert found(leaf("day", "==", "2026-01-02")) == [2, 3, 4, 5] and found(leaf("day", ">=", "2026-01-02")) == [2, 3, 4, 5, 6]
    assert found(leaf("day", "<", "2026-01-02")) == [1] and found(leaf("day", "<=", "2026-01-02")) == [1, 2, 3, 4, 5] and found(leaf("day", ">", "2026-01-02")) == [6]
    assert found(leaf("day", "IN", ["2026-01-01", "2026-01-03"])) == [1, 6] and found(leaf("day", "BETWEEN", ["2026-01-02", "2026-01-03"])) == [2, 3, 4, 5, 6]
    assert found(leaf("t", "==", "03:04")) == [2, 3] and found(leaf("t", ">", "03:04:00")) == [1, 4, 5] and found(leaf("t", "<=", "03:04:00.5")) == [2, 3, 4]
    for name in ("day", "t"):
        seen, cursor = [], {}
        for _ in range(10):
            page = table.ask(order_by=[{"column": name}], limit=1, **cursor)
            seen += [r["id"] for r in page["rows"]]
            if not page.get("next_cursor"):
                break
            cursor = {"cursor": page["next_cursor"]}
        assert sorted(seen) == [1, 2, 3, 4, 5, 6]
    # what was answered is written back, and finds the record
    for number in (1, 2, 4, 5):
        row = table.client.get(f"/v1/models/post/records/{number}", params=table.using).expect(200).json()
        assert table.client.put(f"/v1/models/post/records/{number}", row, params=table.using).expect(200).json() == row
        assert number in found(leaf("day", "==", row["day"]))


def test_what_is_written_back_stays_as_it_was_written(table):
    """One form of many in a column: PUT and PATCH of the answered row leave it, another time is written in the column's."""
    rows = ["(1, '2026-01-02 03:04:05', '2026-01-02 00:00:00', '03:04')", "(2, 1767323045, '2026-01-02', '03:04:05.500')", "(3, '2026-01-02T05:04:05+02:00', 1767312000, '03:04:05')",
            "(4, '2026-01-02T03:04:05.000Z', NULL, NULL)", "(5, '2026-01-02', '2026-01-02T00:00:00Z', '23:59:59.000000')"]
    table.make("CREATE TABLE post (id integer PRIMARY KEY, at datetime, day date, t time)", f"INSERT INTO post VALUES {', '.join(rows)}")

    def held():
        with sqlite3.connect(table.backend.path) as db:
            found = db.execute("SELECT id, at, typeof(at), day, t FROM post ORDER BY id").fetchall()
        db.close()
        return found
    before = held()
    for number in range(1, 6):
        path = f"/v1/models/post/records/{number}"
        row = table.client.get(path, params=table.using).expect(200).json()
        assert table.client.put(path, row, params=table.using).expect(200).json() == row
        assert table.client.patch(path, {k: row[k] for k in ("at", "day", "t")}, params=table.using).expect(200).json() == row
        found = table.client.post("/v1/models/post/get-or-create", {"where": {"at": row["at"], "day": row["day"]}}, params=table.using).expect(200).json()
        assert found["created"] is False
    update = {"query": {"model_name": "post", "where": [leaf("id", ">", 0)]}, "set": {"day": "2026-01-02"}}
    table.client.post("/v1/query/update", update, params=table.using).expect(200)
    assert [row[:3] for row in held()] == [row[:3] for row in before] and held()[0][3] == "2026-01-02 00:00:00" and held()[3][3] == "2026-01-02"
    table.client.patch("/v1/models/post/records/1", {"at": "2026-01-02T03:04:06", "day": None}, params=table.using).expect(200)
    assert held()[0][1:4] == ("2026-01-02T03:04:06.000000", "text", None)
