"""Types that only PostgreSQL has: what a read answers is taken back unchanged, and leaves the value as it was."""
from urllib.parse import quote

import pytest

from support.schema import column, introspect, migrate, model, quiet, register, run


@pytest.fixture
def table(postgres_conn):
    """table(sql) runs it and registers what is in the database then; the helpers below take what it answers."""
    conn = postgres_conn
    conn.models = "/v1/models"

    def make(sql):
        run(conn.backend, sql)
        register(conn.client)
        answer = introspect(conn, register=True)
        return {m["model_name"]: {c["name"]: c for c in m["columns"]} for m in answer["payload"]["models"]}
    conn.make = make

    def record(name, key, verb="get", body=None):
        args = (body,) if body is not None else ()
        return getattr(conn.client, verb)(f"/v1/models/{name}/records/{key}", *args, params=conn.using)
    conn.record = record

    def ask(name, column, operator, value):
        where = [{"node_kind": "leaf", "column": column, "operator": operator, "value": value}]
        answer = conn.client.post("/v1/query", {"model_name": name, "where": where, "order_by": [{"column": "id"}]}, params=conn.using)
        return [r["id"] for r in answer.expect(200).json()["rows"]]
    conn.ask = ask
    return conn


def stored(conn, sql):
    return run(conn.backend, sql)


# type, the database's literal, what stands on the wire
ARRAYS = [
    ("text[]", """'{a,"b,c",NULL,"NULL","",x y,"q\\"\\\\"}'""", ["a", "b,c", None, "NULL", "", "x y", 'q"\\']),
    ("text[]", "'{}'", []), ("text[]", "'{{a,b},{c,NULL}}'", [["a", "b"], ["c", None]]), ("text[]", "'[0:1]={a,b}'", "[0:1]={a,b}"),
    ("integer[]", "'{1,NULL,3}'", [1, None, 3]), ("smallint[]", "'{{{1},{2}},{{3},{4}}}'", [[[1], [2]], [[3], [4]]]),
    ("bigint[]", "'{9223372036854775807}'", [2 ** 63 - 1]), ("double precision[]", "'{0.1,NaN,-Infinity}'", [0.1, "NaN", "-Infinity"]),
    ("real[]", "'{1.5}'", [1.5]), ("numeric[]", "'{12345678901234567890.10,1}'", ["12345678901234567890.10", "1"]), ("numeric(10,2)[]", "'{1.5}'", ["1.50"]),
    ("boolean[]", "'{t,f,NULL}'", [True, False, None]), ("uuid[]", "'{3F4C4CA7-A7E7-40D6-8D83-8F4DDF3285E6}'", ["3f4c4ca7-a7e7-40d6-8d83-8f4ddf3285e6"]),
    ("date[]", "'{2026-01-02}'", ["2026-01-02"]), ("time without time zone[]", "'{03:04:05.5}'", ["03:04:05.5"]),
    ("timestamp without time zone[]", "'{2026-01-02 03:04:05}'", ["2026-01-02T03:04:05"]),
    ("timestamp with time zone[]", "'{2026-01-02 03:04:05+02,NULL}'", ["2026-01-02T01:04:05Z", None]),
    ("bytea[]", "'{\"\\\\x00ff\",\"\\\\x\"}'", ["AP8=", ""]), ("character varying(3)[]", "'{abc,äöü}'", ["abc", "äöü"]), ("character(3)[]", "'{x}'", ["x"]),
    ("jsonb[]", """ARRAY['{"a": [1]}', '[1, 2]', 'null', '"s"', NULL]::jsonb[]""", [{"a": [1]}, {"$json": [1, 2]}, {"$json": None}, "s", None]),
    ("json[]", """ARRAY['{"n":1.5}', '[]']::json[]""", [{"n": 1.5}, {"$json": []}]),
    ("inet[]", "'{10.0.0.1/8}'", ["10.0.0.1/8"]), ("mood[]", "'{sad,\"it is\"}'", ["sad", "it is"]), ("int4range[]", "'{\"[1,5)\",empty}'", [{"lower": 1, "upper": 5, "bounds": "[)"}, {"empty": True}]),
    ("box[]", "'{(3,4),(1,2);(1,1),(0,0)}'", ["(3,4),(1,2)", "(1,1),(0,0)"]), ("interval[]", "'{1 day 02:00:00,-1 mons}'", ["P1DT2H", "P-1M"]), ("other.mood[]", "'{x}'", ["x"]), ('"Odd type"[]', "'{y}'", ["y"]),
]


def arrays(conn):
    columns = ", ".join(f"c{n} {kind}" for n, (kind, _, _) in enumerate(ARRAYS))
    return conn.make(f"""CREATE TYPE mood AS ENUM ('sad', 'it is'); CREATE SCHEMA other; CREATE TYPE other.mood AS ENUM ('x'); CREATE TYPE "Odd type" AS ENUM ('y');
        CREATE TABLE p (id int PRIMARY KEY, {columns}); INSERT INTO p VALUES (1, {', '.join(text for _, text, _ in ARRAYS)}); INSERT INTO p (id) VALUES (2)""")["p"]


EXPECTED = {"id": 1, **{f"c{n}": wire for n, (_, _, wire) in enumerate(ARRAYS)}}
CONTENT = "SELECT " + ", ".join(f"md5(c{n}::text)" for n in range(len(ARRAYS))) + " FROM p WHERE id = "


def test_arrays_are_json_arrays_in_every_answer(table):
    columns = arrays(table)
    assert {n: c.get("db_type") for n, c in columns.items()} == {"id": None, **{f"c{n}": kind for n, (kind, _, _) in enumerate(ARRAYS)}}
    assert table.record("p", 1).expect(200).json() == EXPECTED
    assert set(table.record("p", 2).expect(200).json().values()) == {2, None}
    listed = table.client.get("/v1/models/p/records?order=id", params=table.using).expect(200).json()["rows"]
    assert listed[0] == EXPECTED
    assert table.client.post("/v1/query", {"model_name": "p", "order_by": [{"column": "id"}]}, params=table.using).expect(200).json()["rows"][0] == EXPECTED


@pytest.mark.parametrize("way", ["put", "patch", "create", "bulk", "text"])
def test_arrays_are_taken_back_as_they_were_answered(table, way):
    arrays(table)
    before = stored(table, CONTENT + "1")
    full = {**EXPECTED, "id": 3}
    if way == "put":
        assert table.record("p", 1, "put", EXPECTED).expect(200).json() == EXPECTED
        full["id"] = 1
    elif way == "patch":
        assert table.record("p", 2, "patch", {k: v for k, v in EXPECTED.items() if k != "id"}).expect(200).json() == {**EXPECTED, "id": 2}
        full["id"] = 2
    elif way == "create":
        assert table.client.post("/v1/models/p/records", full, params=table.using).expect(201).json() == full
    elif way == "bulk":
        table.client.post("/v1/models/p/records", {"records": [full, {**full, "id": 4}]}, params=table.using).expect(201)
        assert stored(table, CONTENT + "4") == before
    else:
        texts = {f"c{n}": stored(table, f"SELECT replace(c{n}::text, '|', '!') FROM p WHERE id = 1")[0][0] for n in (0, 3, 4, 11)}
        table.record("p", 2, "patch", texts).expect(200)
        assert stored(table, "SELECT count(*) FROM p a, p b WHERE a.id = 1 AND b.id = 2 AND (a.c0, a.c3, a.c4, a.c11) = (b.c0, b.c3, b.c4, b.c11)") == [["1"]]
        return
    assert stored(table, CONTENT + str(full["id"])) == before


def test_arrays_in_filters(table):
    arrays(table)
    for n, (kind, _, wire) in enumerate(ARRAYS):
        if not kind.startswith(("json[", "box")):  # without equality, or with one by size
            assert table.ask("p", f"c{n}", "==", wire) == [1], kind
            assert table.ask("p", f"c{n}", "!=", wire) == [], kind
    assert table.ask("p", "c0", "contains", ["b,c", "NULL"]) == [1] and table.ask("p", "c4", "overlap", [3, 9]) == [1]
    assert table.ask("p", "c16", "contains", ["2026-01-02T01:04:05Z"]) == [1] and table.ask("p", "c4", "any", 3) == [1]
    assert table.ask("p", "c17", "contains", ["AP8="]) == [1] and table.ask("p", "c17", "any", "AP8=") == [1]
    listed = table.client.get(f"/v1/models/p/records?c4=eq.{quote('{1,NULL,3}')}&select=id,c4", params=table.using).expect(200).json()["rows"]
    assert listed == [{"id": 1, "c4": [1, None, 3]}]


WRONG = [({"c4": [1, "x"]}, "/c4/1"), ({"c4": [[1], [2, 3]]}, "/c4/1"), ({"c4": [1, [2]]}, "/c4/1"), ({"c4": [[1], 2]}, "/c4/1"), ({"c4": [[], []]}, "/c4"), ({"c4": 5}, "/c4"),
         ({"c4": {"a": 1}}, "/c4"), ({"c4": [[[[[[[1]]]]]]]}, "/c4"), ({"c5": [[[1], [2]], [[3], [99999]]]}, "/c5/1/1/0"), ({"c18": ["long"]}, "/c18/0"),
         ({"c0": ["\0"]}, "/c0/0"), ({"c11": ["yes", True]}, "/c11/0")]


def test_arrays_that_cannot_be_are_refused_where_they_are_wrong(table):
    arrays(table)
    before = stored(table, CONTENT + "1")
    for body, pointer in WRONG:
        answer = table.record("p", 1, "patch", body)
        answer.problem(422, "invalid_value")
        assert answer.pointers() == [pointer], body
    table.record("p", 1, "patch", {"c4": "no array"}).problem(422, "invalid_value")
    assert stored(table, CONTENT + "1") == before


def test_arrays_in_includes_sessions_cursors_and_updates(table):
    table.make("""CREATE TABLE tag (id int PRIMARY KEY, words text[] UNIQUE, at timestamptz[]); CREATE TABLE item (id int PRIMARY KEY, tag_id int REFERENCES tag);
        INSERT INTO tag VALUES (1, '{a,"b,c"}', '{2026-01-02 00:00:00Z}'), (2, '{b}', NULL), (3, '{c,d}', '{}'); INSERT INTO item VALUES (1, 1), (2, 3)""")
    rows = table.client.post("/v1/query", {"model_name": "item", "include": ["tag"], "order_by": [{"column": "id"}]}, params=table.using).expect(200).json()["rows"]
    assert [r["tag"] for r in rows] == [{"id": 1, "words": ["a", "b,c"], "at": ["2026-01-02T00:00:00Z"]}, {"id": 3, "words": ["c", "d"], "at": []}]
    query, seen = {"model_name": "tag", "order_by": [{"column": "words"}], "limit": 1}, []
    for _ in range(4):
        page = table.client.post("/v1/query", query, params=table.using).expect(200).json()
        seen += [r["words"] for r in page["rows"]]
        if not page.get("next_cursor"):
            break
        query["cursor"] = page["next_cursor"]
    assert seen == [["a", "b,c"], ["b"], ["c", "d"]]
    body = {"query": {"model_name": "tag", "where": [{"node_kind": "leaf", "column": "id", "operator": "==", "value": 2}]}, "set": {"words": ["x", "y"]}}
    table.client.post("/v1/query/update", body, params=table.using).expect(200)
    assert table.record("tag", 2).expect(200).json()["words"] == ["x", "y"]
    inside, url = table.client.session(using=table.name), "/v1/models/tag/records/2"
    assert inside.get(url).expect(200).json()["words"] == ["x", "y"]
    assert inside.patch(url, {"words": [["1", "2"]]}).expect(200).json()["words"] == [["1", "2"]]
    assert inside.get(url).expect(200).json()["words"] == [["1", "2"]] and table.record("tag", 2).expect(200).json()["words"] == [["1", "2"]]


def test_arrays_are_kept_by_ddl_and_migrate(table):
    table.make("""CREATE TABLE p (id int PRIMARY KEY, tags text[] NOT NULL DEFAULT '{}', nums int[], grid double precision[][], at timestamp(3)[], v varchar(5)[])""")
    quiet(table)
    quiet(table, updates=True, destructive=True)
    run(table.backend, "DROP TABLE p")
    migrate(table)
    kinds = run(table.backend, "SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute WHERE attrelid = 'p'::regclass AND attnum > 0 ORDER BY 1")
    assert kinds == [["at", "timestamp(3) without time zone[]", "f"], ["grid", "double precision[]", "f"], ["id", "integer", "t"], ["nums", "integer[]", "f"],
                     ["tags", "text[]", "t"], ["v", "character varying(5)[]", "f"]]
    quiet(table)
    register(table.client, model("Q", column("tags", "unknown", db_type="int4[]"), column("words", "unknown", db_type="text[3]")))
    migrate(table)
    quiet(table)
    run(table.backend, "ALTER TABLE q ALTER COLUMN tags TYPE text[]")
    assert [w["code"] for w in migrate(table)["warnings"]], "another element is a difference"


# ---- what RFC 3339 and JSON numbers cannot say ----

BEYOND = [
    ("date", ["-infinity", "0044-03-15 BC", "2026-01-02", "12026-01-02", "infinity"]),
    ("timestamp", ["-infinity", "0044-03-15 10:00:00 BC", "2026-01-02T03:04:05", "12026-01-02 03:04:05.5", "infinity"]),
    ("timestamptz", ["-infinity", "4713-02-29 10:00:00+00 BC", "2026-01-02T03:04:05Z", "294276-12-31 23:59:59.999999+00", "infinity"]),
    ("numeric", ["-Infinity", "-1.5", "2", "Infinity", "NaN"]), ("double precision", ["-Infinity", -1.5, 2.5, "Infinity", "NaN"]), ("real", ["-Infinity", -1.5, 2.5, "Infinity", "NaN"]),
]


@pytest.mark.parametrize("kind,values", BEYOND, ids=[kind for kind, _ in BEYOND])
def test_the_databases_own_words_go_both_ways(table, kind, values):
    """Answered, taken back, compared, in arrays too, and no cursor stumbles over them."""
    literals = ", ".join(f"({i}, '{value}', ARRAY['{value}']::{kind}[])" for i, value in enumerate(values))
    table.make(f"CREATE TABLE p (id int PRIMARY KEY, v {kind}, vs {kind}[]); INSERT INTO p VALUES {literals}")
    before = stored(table, "SELECT id, v, vs FROM p ORDER BY id")
    for i, value in enumerate(values):
        row = table.record("p", i).expect(200).json()
        assert row == {"id": i, "v": value, "vs": [value]}
        assert table.record("p", i, "patch", {"v": None, "vs": None}).expect(200).json()["v"] is None
        assert table.record("p", i, "patch", {"v": value, "vs": [value]}).expect(200).json() == row
        assert table.record("p", i, "put", row).expect(200).json() == row
        assert table.ask("p", "v", "==", value) == [i] and table.ask("p", "v", "<", value) == list(range(i)) and table.ask("p", "vs", "any", value) == [i]
        listed = table.client.get(f"/v1/models/p/records?v=eq.{quote(str(value), safe='')}&select=id", params=table.using).expect(200).json()["rows"]
        assert listed == [{"id": i}]
    assert stored(table, "SELECT id, v, vs FROM p ORDER BY id") == before
    for direction, expected in (("asc", values), ("desc", values[::-1])):
        query, seen = {"model_name": "p", "order_by": [{"column": "v", "direction": direction}], "limit": 1}, []
        for _ in range(len(values) + 1):
            page = table.client.post("/v1/query", query, params=table.using).expect(200).json()
            seen += [r["v"] for r in page["rows"]]
            if not page.get("next_cursor"):
                break
            query["cursor"] = page["next_cursor"]
        assert seen == expected
    table.client.delete("/v1/models/p/records/0", params=table.using).expect(204)
    table.client.post("/v1/models/p/records", {"id": 0, "v": values[0], "vs": []}, params=table.using).expect(201)
    assert stored(table, "SELECT v FROM p WHERE id = 0") == [[before[0][1]]]


def test_words_that_are_no_values_are_refused(table):
    table.make("CREATE TABLE p (id int PRIMARY KEY, d date, t timestamp, z timestamptz, n numeric); INSERT INTO p VALUES (1)")
    for column_name, value in (("d", "0045-02-29 AD"), ("d", "0044-02-30 BC"), ("d", "12026-13-01"), ("d", "12026-01-02 03:04:05"), ("d", "now"), ("d", "epoch"), ("t", "today"),
                               ("t", "12026-01-02 03:04:05+02"), ("z", "12026-01-02 25:00:00+00"), ("n", "nano"), ("n", "-NaN"), ("z", "999999-01-01 00:00:00+00")):
        table.record("p", 1, "patch", {column_name: value}).problem(422, "invalid_value")
    assert table.record("p", 1).expect(200).json() == {"id": 1, "d": None, "t": None, "z": None, "n": None}


def test_intervals_are_durations(table):
    """Out as ISO 8601, in as anything that the database takes; compared and paged by length."""
    table.make("CREATE TABLE p (id int PRIMARY KEY, v interval); INSERT INTO p VALUES (1, '1 day 02:00:00'), (2, '1 year -2 mons'), (3, '-00:00:01.5'), (4, '0')")
    values = [table.record("p", i).expect(200).json()["v"] for i in range(1, 5)]
    assert values == ["P1DT2H", "P10M", "PT-1.5S", "PT0S"]
    before = stored(table, "SELECT id, v FROM p ORDER BY id")
    for i, value in enumerate(values, 1):
        assert table.record("p", i, "put", {"id": i, "v": value}).expect(200).json() == {"id": i, "v": value}
        assert table.ask("p", "v", "==", value) == [i]
    assert stored(table, "SELECT id, v FROM p ORDER BY id") == before
    for text in ("26 hours", "1 day 02:00:00", "@ 1 day 2 hours", "P1DT2H"):
        assert 1 in table.ask("p", "v", "==", text)
        table.record("p", 4, "patch", {"v": text}).expect(200)
        assert stored(table, "SELECT v = '26 hours' FROM p WHERE id = 4") == [["t"]]
    table.record("p", 4, "patch", {"v": "soon"}).problem(422, "invalid_value")
    query, seen = {"model_name": "p", "order_by": [{"column": "v"}, {"column": "id"}], "limit": 1}, []
    for _ in range(5):
        page = table.client.post("/v1/query", query, params=table.using).expect(200).json()
        seen += [r["id"] for r in page["rows"]]
        if not page.get("next_cursor"):
            break
        query["cursor"] = page["next_cursor"]
    assert seen == [3, 1, 4, 2]
