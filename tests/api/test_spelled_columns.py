"""What one column gives to another: in the other's spelling, assigned by every way there is, and compared."""
import datetime
import itertools
import random
import sqlite3

import pytest

from support.schema import introspect, model, register, run

EPOCH = datetime.datetime(1970, 1, 1)
MOMENTS = [datetime.datetime(2026, 1, 1, 8), datetime.datetime(2026, 1, 2, 9), datetime.datetime(2026, 1, 2, 9, 0, 1), datetime.datetime(2026, 1, 2, 23), datetime.datetime(2027, 5, 6, 7, 8, 9)]


def micros(t):
    return (t - EPOCH) // datetime.timedelta(microseconds=1)


SPELLED = {
    "ferrod": lambda t: t.strftime("%Y-%m-%dT%H:%M:%S.%f"),
    "iso": lambda t: t.strftime("%Y-%m-%dT%H:%M:%S"),
    "space": lambda t: t.strftime("%Y-%m-%d %H:%M:%S"),
    "space3": lambda t: t.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3],
    "space6": lambda t: t.strftime("%Y-%m-%d %H:%M:%S.%f"),
    "js": lambda t: t.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
    "offset": lambda t: t.strftime("%Y-%m-%dT%H:%M:%S") + "+00:00",
    "unix": lambda t: micros(t) // 1000000,
    "unix_ms": lambda t: micros(t) // 1000,
    "unix_us": lambda t: micros(t),
    "julian": lambda t: micros(t) / 86400e6 + 2440587.5,
}
OTHERS = [lambda t: t.strftime("%Y-%m-%d %H:%M:%S"), lambda t: micros(t) // 1000000, lambda t: micros(t) // 1000, lambda t: t.strftime("%Y-%m-%dT%H:%M:%SZ"),
          lambda t: (t + datetime.timedelta(hours=2)).strftime("%Y-%m-%d %H:%M:%S+02:00")]
WITH_ZONE = ("js", "offset")


@pytest.fixture
def house(sqlite_conn):
    """A table with a column of each spelling, and one of mixtures, that others have filled."""
    r = random.Random(7)
    rows = {n: {name: r.choice(MOMENTS) for name in [*SPELLED, "mixed"]} for n in range(1, 41)}
    run(sqlite_conn.backend, "CREATE TABLE d (id integer PRIMARY KEY, n integer UNIQUE, " + ", ".join(f'"{name}" datetime' for name in [*SPELLED, "mixed"]) + ")")
    with sqlite3.connect(sqlite_conn.backend.path) as db:
        for n, row in rows.items():
            values = [n, n] + [SPELLED[name](row[name]) for name in SPELLED] + [OTHERS[n % len(OTHERS)](row["mixed"])]
            db.execute(f"INSERT INTO d VALUES ({', '.join('?' * len(values))})", values)
    db.close()
    sqlite_conn.client.delete("/v1/models").expect(204)
    columns = introspect(sqlite_conn, register=True)["payload"]["models"][0]["columns"]
    assert {c["name"]: c.get("spelling", "ferrod") for c in columns if c["logical_type"] == "datetime"} == {name: name for name in [*SPELLED, "mixed"]}
    sqlite_conn.rows = rows
    return sqlite_conn


def stored(conn, table="d"):
    with sqlite3.connect(conn.backend.path) as db:
        db.row_factory = sqlite3.Row
        rows = {row["id"]: dict(row) for row in db.execute(f"SELECT * FROM {table}")}
    db.close()
    return rows


def update(conn, values, where=()):
    return conn.client.post("/v1/query/update", {"query": {"model_name": "d", "where": list(where)}, "set": values}, params={**conn.using, "all": "true"}).expect(200)


def written(name, t):
    return SPELLED["ferrod" if name == "mixed" else name](t)


def same(name, have, t):
    want = written(name, t)
    return have == pytest.approx(want, abs=1e-8) if name == "julian" else (type(have), have) == (type(want), want)


@pytest.mark.parametrize("way", ["column", "coalesce", "case", "reference", "given", "upsert", "batch"])
def test_a_time_is_written_in_its_columns_spelling(house, way):
    c, rows = house.client, house.rows
    for source, target in itertools.permutations([*SPELLED, "mixed"], 2):
        value = {"$column": source}
        if way == "coalesce":
            value = {"$coalesce": [{"$case": {"when": [[{"node_kind": "leaf", "column": "id", "operator": "<", "value": 0}, {"$column": target}]]}}, {"$column": source}, "2026-01-01T00:00:00"]}
        if way == "case":
            value = {"$case": {"when": [[{"node_kind": "leaf", "column": "id", "operator": ">", "value": 0}, {"$column": source}]], "else": "2026-01-01T00:00:00"}}
        if way == "reference":
            value = {"kind": "column", "column": source}
        if way in ("given", "upsert"):
            value = {"$given": source} if way == "given" else {"$column": source}
            sent = [{"id": 1000 + n, "n": n, source: row[source].isoformat()} for n, row in rows.items()]
            c.post("/v1/models/d/records", {"records": sent, "on_conflict": {"columns": ["n"], "action": "update", "set": {target: value}}}, params=house.using).expect(201)
        elif way == "batch":
            c.post("/v1/batch", {"steps": [{"op": "update", "query": {"model_name": "d", "where": [{"node_kind": "leaf", "column": "id", "operator": ">", "value": 0}]}, "set": {target: value}}]}, params=house.using).expect(200)
        else:
            update(house, {target: value})
        now = stored(house)
        for n, row in rows.items():
            row[target] = row[source]
            assert same(target, now[n][target], row[source]), (source, target, n, now[n][target])


def test_a_column_that_is_set_to_itself_stays_as_it_is(house):
    before = stored(house)
    update(house, {name: {"$column": name} for name in [*SPELLED, "mixed"]})
    assert stored(house) == before
    update(house, {"mixed": {"$coalesce": [{"$column": "mixed"}, {"$now": True}]}})
    assert stored(house) == before


def test_literals_in_expressions_are_spelled(house):
    t = datetime.datetime(2031, 2, 3, 4, 5, 6)
    for name in [*SPELLED, "mixed"]:
        for value in ({"$coalesce": [t.isoformat()]}, {"$case": {"when": [[{"node_kind": "leaf", "column": "id", "operator": "<", "value": 0}, {"$column": "space"}]], "else": t.isoformat()}},
                      {"$coalesce": [{"$case": {"when": [[{"node_kind": "leaf", "column": "id", "operator": "<", "value": 0}, {"$column": "unix_ms"}]]}}, t.isoformat()]}):
            update(house, {name: "2026-01-01T00:00:00"})
            update(house, {name: value})
            assert all(same(name, row[name], t) for row in stored(house).values()), (name, value)


def test_the_time_now_is_spelled(house):
    update(house, {name: {"$now": True} for name in [*SPELLED, "mixed"]})
    row = stored(house)[1]
    shapes = {"ferrod": "2___-__-__T__:__:__.______", "mixed": "2___-__-__T__:__:__.______", "js": "2___-__-__T__:__:__.___Z"}
    for name, shape in shapes.items():
        assert len(row[name]) == len(shape) and all(a in ("_", b) for a, b in zip(shape, row[name], strict=True)), (name, row[name])
    assert row["space"][10] == row["space3"][10] == row["space6"][10] == " " and (len(row["space3"]), len(row["space6"])) == (23, 26)
    assert row["iso"][10] == "T" and row["offset"].endswith("+00:00") and not row["iso"].endswith("Z")
    assert all(isinstance(row[name], (int, float)) for name in ("unix", "unix_ms", "unix_us", "julian"))
    answered = house.client.get("/v1/models/d/records/1", params=house.using).expect(200).json()
    instants = {datetime.datetime.fromisoformat(answered[name].rstrip("Z")).replace(microsecond=0) for name in [*SPELLED, "mixed"]}
    assert max(instants) - min(instants) <= datetime.timedelta(seconds=1)
    value = {"n": 1, "id": 500}
    house.client.post("/v1/models/d/records", {"records": [value], "on_conflict": {"columns": ["n"], "action": "update", "set": {"unix": {"$now": True}, "space": {"$now": True}}}}, params=house.using).expect(201)
    row = stored(house)[1]
    assert isinstance(row["unix"], (int, float)) and row["space"][10] == " "


COMPARE = {"==": lambda a, b: a == b, "!=": lambda a, b: a != b, "<": lambda a, b: a < b, "<=": lambda a, b: a <= b, ">": lambda a, b: a > b, ">=": lambda a, b: a >= b,
           "is_distinct": lambda a, b: a != b, "is_not_distinct": lambda a, b: a == b}


def test_columns_of_several_spellings_are_compared(house):
    r = random.Random(8)
    for left, right in itertools.permutations([*SPELLED, "mixed"], 2):
        for operator in r.sample(list(COMPARE), 3):
            expected = [n for n, row in house.rows.items() if COMPARE[operator](row[left], row[right])]
            for value, expr in (({"$column": right}, None), ({"$coalesce": [{"$column": right}, "2026-01-01T00:00:00"]}, None), ({"$column": right}, {"$coalesce": [{"$column": left}, {"$column": right}]})):
                node = {"node_kind": "leaf", "operator": operator, "value": value} | ({"expr": expr} if expr else {"column": left})
                query = {"model_name": "d", "where": [node], "select": ["id"], "order_by": [{"column": "id"}]}
                rows = house.client.post("/v1/query", query, params=house.using).expect(200).json()["rows"]
                assert [row["id"] for row in rows] == expected, node


def test_days_are_compared_with_instants(sqlite_conn):
    run(sqlite_conn.backend, "CREATE TABLE d (id integer PRIMARY KEY, day date, at datetime, ms datetime);\n"
        "INSERT INTO d VALUES (1, '2026-01-02', '2026-01-02 00:00:00', 1767312000000), (2, '2026-01-02', '2026-01-02 03:00:00', 1767322800000), (3, '2026-01-02 00:00:00', '2026-01-01 23:00:00', 1767308400000)")
    introspect(sqlite_conn, register=True)
    for other in ("at", "ms"):
        for operator, expected in (("==", [1]), ("<", [2]), (">", [3]), ("<=", [1, 2])):
            for column, value, word in (("day", other, operator), (other, "day", {"<": ">", ">": "<", "<=": ">="}.get(operator, operator))):
                node = {"node_kind": "leaf", "column": column, "operator": word, "value": {"$column": value}}
                query = {"model_name": "d", "where": [node], "select": ["id"], "order_by": [{"column": "id"}]}
                rows = sqlite_conn.client.post("/v1/query", query, params=sqlite_conn.using).expect(200).json()["rows"]
                assert [row["id"] for row in rows] == expected, node


HEX, OTHER = "6f1b0a3e0c3b4f5e9d8e111111111111", "6f1b0a3e0c3b4f5e9d8e222222222222"


def dashed(digits):
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def test_uuids_and_decimals_are_spelled(sqlite_conn):
    c = sqlite_conn
    run(c.backend, f"CREATE TABLE d (id integer PRIMARY KEY, n integer UNIQUE, a char(32), b uuid, c uuid);\n"
        f"INSERT INTO d VALUES (1, 1, '{HEX}', '{dashed(HEX)}', '{dashed(OTHER)}'), (2, 2, '{OTHER}', '{dashed(HEX)}', x'{HEX}')")
    c.client.delete("/v1/models").expect(204)
    introspect(c, register=True)

    def ids(left, operator, right):
        query = {"model_name": "d", "where": [{"node_kind": "leaf", "column": left, "operator": operator, "value": {"$column": right}}], "select": ["id"], "order_by": [{"column": "id"}]}
        return [row["id"] for row in c.client.post("/v1/query", query, params=c.using).expect(200).json()["rows"]]
    assert (ids("a", "==", "b"), ids("b", "==", "a"), ids("a", "!=", "b"), ids("b", "==", "c")) == ([1], [1], [2], [2])
    update(c, {"b": {"$column": "a"}})
    assert {n: row["b"] for n, row in stored(c).items()} == {1: dashed(HEX), 2: dashed(OTHER)}
    update(c, {"a": {"$coalesce": [{"$column": "c"}, {"$column": "b"}]}})
    assert {n: row["a"] for n, row in stored(c).items()} == {1: OTHER, 2: HEX}
    c.client.post("/v1/models/d/records", {"records": [{"id": 9, "n": 1, "b": HEX}], "on_conflict": {"columns": ["n"], "action": "update", "set": {"a": {"$given": "b"}}}}, params=c.using).expect(201)
    assert stored(c)[1]["a"] == HEX


KINDS = {
    "datetime": (["timestamptz", "timestamp", "text", "varchar(40)"], ["2026-01-02T03:04:05.25", "2026-01-02T03:04:05", "1999-12-31T23:59:59"]),
    "date": (["date", "text"], ["2026-01-02", "1999-12-31"]), "time": (["time", "text", "varchar(30)"], ["03:04:05", "23:59:59.5"]),
    "uuid": (["uuid", "text"], [dashed(HEX), dashed(OTHER)]), "decimal": (["numeric", "text"], ["12.5", "-0.25", "3"]),
}


@pytest.mark.parametrize("kind", list(KINDS))
def test_texts_that_mean_something_else_on_both_databases(conn, kind):
    """Assigned to each other as a write of the answer would; compared as what they mean."""
    types, values = KINDS[kind]
    columns = [{"name": f"c{i}", "logical_type": kind, "db_type": t, "nullable": True} for i, t in enumerate(types)]
    register(conn.client, model("d", {"name": "n", "logical_type": "integer", "nullable": True, "unique": True}, *columns))
    conn.client.post("/v1/create-tables", {}, params=conn.using).expect(200)

    def record(n):
        return conn.client.get(f"/v1/models/d/records/{n}", params=conn.using).expect(200).json()
    for i, k in itertools.permutations(range(len(types)), 2):
        for n, value in enumerate(values):
            conn.client.delete("/v1/models/d/records/1", params=conn.using)
            conn.client.post("/v1/models/d/records", {"id": 1, "n": 1, f"c{i}": value, f"c{k}": value}, params=conn.using).expect(201)
            before = record(1)
            query = {"model_name": "d", "where": [{"node_kind": "leaf", "column": f"c{i}", "operator": "==", "value": {"$column": f"c{k}"}}]}
            assert len(conn.client.post("/v1/query", query, params=conn.using).expect(200).json()["rows"]) == 1, (types[i], types[k], value)
            for expression in ({"$column": f"c{i}"}, {"$coalesce": [{"$column": f"c{i}"}, values[n - 1]]}, {"$case": {"when": [[query["where"][0], values[n - 1]]], "else": {"$column": f"c{i}"}}}):
                update(conn, {f"c{k}": None})
                update(conn, {f"c{k}": expression})
                after = record(1)
                assert after[f"c{k}"].rstrip("Z") == before[f"c{k}"].rstrip("Z"), (types[i], types[k], expression)
                found = conn.client.get("/v1/models/d/records", params={**conn.using, f"c{k}": f"eq.{after[f'c{k}']}"}).expect(200).json()["rows"]
                assert [row["id"] for row in found] == [1], (types[i], types[k], after)
