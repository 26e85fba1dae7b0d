"""Types of PostgreSQL's own by their names: ranges, composites, domains, enums of other schemas, what extensions bring; both ways and exact."""
import csv
import io
import json
from urllib.parse import quote

import pytest

from support.schema import column, introspect, model, quiet, register, run

TYPES = """
CREATE EXTENSION hstore; CREATE EXTENSION citext; CREATE EXTENSION ltree; CREATE SCHEMA billing; CREATE TYPE billing.mood AS ENUM ('sad', 'it is');
CREATE TYPE pair AS (a int, "b c" text, at timestamptz, big bigint[]); CREATE TYPE holder AS (inner_pair pair, span int8range);
CREATE TYPE floats AS RANGE (subtype = float8); CREATE DOMAIN posint AS bigint CHECK (VALUE > 0); CREATE DOMAIN price AS numeric(8, 2);
CREATE DOMAIN mail AS citext CHECK (VALUE LIKE '%@%'); CREATE DOMAIN tags AS text[]; CREATE DOMAIN whole AS posint; CREATE DOMAIN span AS daterange;
"""

# type as introspected, its logical type, the database's literal, the wire form; whether == finds it, whether it has an order
BIG = 2 ** 62 + 1
CASES = [
    ("int4range", "unknown", "'[1,5)'", {"lower": 1, "upper": 5, "bounds": "[)"}), ("int4range", "unknown", "'empty'", {"empty": True}),
    ("int8range", "unknown", f"'(,{BIG}]'", {"lower": None, "upper": BIG + 1, "bounds": "()"}), ("numrange", "unknown", "'(1.50,]'", {"lower": "1.50", "upper": None, "bounds": "()"}),
    ("tsrange", "unknown", "'[2026-01-02 03:04:05,infinity]'", {"lower": "2026-01-02T03:04:05", "upper": "infinity", "bounds": "[]"}),
    ("tstzrange", "unknown", "'[2026-01-02 03:04:05+02,)'", {"lower": "2026-01-02T01:04:05Z", "upper": None, "bounds": "[)"}),
    ("daterange", "unknown", "'[2026-01-02,2026-02-01]'", {"lower": "2026-01-02", "upper": "2026-02-02", "bounds": "[)"}),
    ("int4multirange", "unknown", "'{[1,3),[5,)}'", [{"lower": 1, "upper": 3, "bounds": "[)"}, {"lower": 5, "upper": None, "bounds": "[)"}]), ("nummultirange", "unknown", "'{}'", []),
    ("floats", "unknown", "'[0.5,Infinity)'", {"lower": 0.5, "upper": "Infinity", "bounds": "[)"}), ("floatmultirange", "unknown", None, None),
    ("daterange[]", "unknown", "'{\"[2026-01-02,2026-01-05)\",empty,NULL}'", [{"lower": "2026-01-02", "upper": "2026-01-05", "bounds": "[)"}, {"empty": True}, None]),
    ("int4multirange[]", "unknown", "ARRAY['{[1,2)}', '{}']::int4multirange[]", [[{"lower": 1, "upper": 2, "bounds": "[)"}], []]),
    ("pair", "unknown", """ROW(1, 'x "y", \\z', '2026-01-02 00:00:00Z', '{1,NULL}')::pair""", {"a": 1, "b c": 'x "y", \\z', "at": "2026-01-02T00:00:00Z", "big": [1, None]}),
    ("pair", "unknown", "ROW(NULL, '', NULL, NULL)::pair", {"a": None, "b c": "", "at": None, "big": None}),
    ("holder", "unknown", "ROW(ROW(1, 'q', NULL, '{}')::pair, '[1,2)')::holder",
     {"inner_pair": {"a": 1, "b c": "q", "at": None, "big": []}, "span": {"lower": 1, "upper": 2, "bounds": "[)"}}),
    ("pair[]", "unknown", "ARRAY[ROW(1, 'a,b', NULL, '{5}'), NULL]::pair[]", [{"a": 1, "b c": "a,b", "at": None, "big": [5]}, None]),
    ("posint", "integer", str(BIG), BIG), ("whole", "integer", "7", 7), ("price", "decimal", "1.5", "1.50"), ("mail", "string", "'A@b.example'", "A@b.example"),
    ("tags", "unknown", "'{a,\"b c\"}'", ["a", "b c"]), ("span", "unknown", "'[2026-01-02,2026-01-03)'", {"lower": "2026-01-02", "upper": "2026-01-03", "bounds": "[)"}),
    ("posint[]", "unknown", "'{1,2}'", [1, 2]), ("billing.mood", "string", "'it is'", "it is"), ("billing.mood[]", "unknown", "'{sad,NULL}'", ["sad", None]),
    ("inet", "string", "'10.0.0.1/8'", "10.0.0.1/8"), ("cidr", "string", "'10.0.0.0/8'", "10.0.0.0/8"), ("macaddr", "string", "'08:00:2b:01:02:03'", "08:00:2b:01:02:03"),
    ("macaddr8", "string", "'08:00:2b:01:02:03:04:05'", "08:00:2b:01:02:03:04:05"), ("bit(3)", "string", "'101'", "101"), ("bit varying(5)", "string", "'11'", "11"),
    ("money", "string", "'1234.5'", "$1,234.50"), ("xml", "string", "'<a b=\"1\">x</a>'", '<a b="1">x</a>'), ("tsvector", "string", "'fat cat'", "'cat' 'fat'"),
    ("tsquery", "string", "'a & b'", "'a' & 'b'"), ("ltree", "string", "'top.science'", "top.science"), ("citext", "string", "'MiXed'", "MiXed"),
    ("hstore", "unknown", """'a=>1, "b c"=>NULL, "q\\"x"=>"back\\\\slash, => yes", empty=>""'""", {"a": "1", "b c": None, 'q"x': "back\\slash, => yes", "empty": ""}), ("hstore", "unknown", "''", {}),
    ("oid", "integer", "4294967295", 4294967295), ("pg_lsn", "string", "'16/B374D848'", "16/B374D848"), ("point", "string", "'(1,2)'", "(1,2)"), ("box", "string", "'(3,4),(1,2)'", "(3,4),(1,2)"),
    ("interval", "string", "'1 day 02:00:00'", "P1DT2H"), ("time without time zone", "time", "'24:00'", "24:00:00"), ("time with time zone", "string", "'03:04:05+02'", "03:04:05+02"),
    ("date", "date", "'infinity'", "infinity"), ("timestamp with time zone", "datetime", "'-infinity'", "-infinity"), ("numeric", "decimal", "'NaN'", "NaN"), ('"char"', "string", "'c'", "c"), ("name", "string", "'n'", "n"),
]
CASES = [c for c in CASES if c[2] is not None]
WITHOUT_ORDER = {"xml", "point", "box", "hstore"}
EXPECTED = {"id": 1, **{f"c{n}": wire for n, (_, _, _, wire) in enumerate(CASES)}}
CONTENT = "SELECT " + ", ".join(f"md5(c{n}::text)" for n in range(len(CASES))) + " FROM p WHERE id = "


@pytest.fixture
def table(postgres_conn):
    conn = postgres_conn
    columns = ", ".join(f"c{n} {kind}" for n, (kind, *_) in enumerate(CASES))
    run(conn.backend, f"{TYPES}; CREATE TABLE p (id int PRIMARY KEY, {columns}); INSERT INTO p VALUES (1, {', '.join(c[2] for c in CASES)}); INSERT INTO p (id) VALUES (2)")
    register(conn.client)
    conn.model = {c["name"]: c for c in introspect(conn, register=True)["payload"]["models"][0]["columns"]}
    conn.path = "/v1/models/p/records"
    return conn


def record(table, key, verb="get", body=None, **more):
    args = (body,) if body is not None else ()
    return getattr(table.client, verb)(f"{table.path}/{key}", *args, params=table.using, **more)


def ask(table, where, **more):
    return [r["id"] for r in table.client.post("/v1/query", {"model_name": "p", "where": where, "order_by": [{"column": "id"}], **more}, params=table.using).expect(200).json()["rows"]]


def equal(column_name, value, operator="=="):
    return [{"node_kind": "leaf", "column": column_name, "operator": operator, "value": value}]


def test_types_are_introspected_by_their_names(table):
    plain = {"time without time zone": "time", "date": None, "timestamp with time zone": None, "numeric": None}
    for n, (kind, logical, _, _) in enumerate(CASES):
        found = table.model[f"c{n}"]
        assert found["logical_type"] == logical and found.get("db_type") == plain.get(kind, kind), (kind, found)
    by_type = {c.get("db_type"): c for c in table.model.values()}
    assert by_type["posint"]["type_kind"] == "domain" and by_type["posint"]["base_type"] == "bigint"
    assert {"db_type": "posint", "type_kind": "domain", "base_type": "bigint"}.items() <= by_type["whole"]["base_type"].items()
    assert by_type["price"]["base_type"] == "numeric(8,2)" and by_type["span"]["base_type"] == "daterange"
    assert by_type["floats"]["type_kind"] == "range" and by_type["floats"]["element"] == "double precision"
    assert by_type["billing.mood"]["enum_values"] == ["sad", "it is"] and by_type["billing.mood"]["type_kind"] == "enum"
    assert by_type["billing.mood[]"]["element"] == {"db_type": "billing.mood", "type_kind": "enum", "labels": ["sad", "it is"]}
    assert by_type["pair"]["fields"] == [{"name": "a", "db_type": "integer"}, {"name": "b c", "db_type": "text"}, {"name": "at", "db_type": "timestamp with time zone"},
                                         {"name": "big", "db_type": "bigint[]"}]
    assert by_type["holder"]["fields"][0] == {"name": "inner_pair", "db_type": "pair", "type_kind": "composite", "fields": by_type["pair"]["fields"]}
    quiet(table, dry_run=True, updates=True)


@pytest.mark.parametrize("way", ["put", "patch", "create", "bulk", "ndjson"])
def test_values_are_taken_back_as_they_were_answered(table, way):
    before = run(table.backend, CONTENT + "1")
    assert record(table, 1).expect(200).json() == EXPECTED
    full = {**EXPECTED, "id": 3}
    if way == "put":
        assert record(table, 1, "put", EXPECTED).expect(200).json() == EXPECTED
        full["id"] = 1
    elif way == "patch":
        assert record(table, 2, "patch", {k: v for k, v in EXPECTED.items() if k != "id"}).expect(200).json() == {**EXPECTED, "id": 2}
        full["id"] = 2
    elif way == "create":
        assert table.client.post(table.path, full, params=table.using).expect(201).json() == full
    elif way == "bulk":
        table.client.post(table.path, {"records": [full, {**full, "id": 4}]}, params=table.using).expect(201)
        assert run(table.backend, CONTENT + "4") == before
    else:
        lines = "".join(json.dumps({**full, "id": n}) + "\n" for n in range(3, 160))
        table.client.post(table.path, raw=lines.encode(), headers={"Content-Type": "application/x-ndjson"}, params=table.using).expect(201)
        assert run(table.backend, CONTENT + "159") == before  # enough rows for COPY
    assert run(table.backend, CONTENT + str(full["id"])) == before
    lines = table.client.get(f"{table.path}?order=id&limit=1", headers={"Accept": "application/x-ndjson"}, params=table.using).expect(200).text.split("\n")
    assert json.loads(lines[0]) == EXPECTED


def test_values_in_filters_orders_cursors_and_urls(table):
    for n, (kind, _, _, wire) in enumerate(CASES):
        name = f"c{n}"
        assert ask(table, equal(name, wire)) == [1], (kind, wire)
        assert ask(table, equal(name, wire, "!=")) == [], (kind, wire)
        text = wire if isinstance(wire, str) else json.dumps(wire)
        listed = table.client.get(f"{table.path}?{name}=eq.{quote(text, safe='')}&select=id", params=table.using).expect(200).json()["rows"]
        assert listed == [{"id": 1}], (kind, text)
        if kind in WITHOUT_ORDER:
            continue
        for descending in (False, True):
            seen, cursor = [], {}
            for _ in range(3):
                query = {"model_name": "p", "order_by": [{"column": name, "direction": "DESC" if descending else "ASC"}], "limit": 1, **cursor}
                page = table.client.post("/v1/query", query, params=table.using).expect(200).json()
                seen += [r["id"] for r in page["rows"]]
                if not page.get("next_cursor"):
                    break
                cursor = {"cursor": page["next_cursor"]}
            assert sorted(seen) == [1, 2], (kind, seen)


def test_texts_of_the_database_are_taken_too(table):
    for n, (kind, _, _, wire) in enumerate(CASES):
        if isinstance(wire, (dict, list)):
            text = run(table.backend, f"SELECT replace(c{n}::text, '|', '!') FROM p WHERE id = 1")
            record(table, 2, "patch", {f"c{n}": text[0][0] if text else ""}).expect(200)
    same = " AND ".join(f"a.c{n}::text = b.c{n}::text" for n, c in enumerate(CASES) if isinstance(c[3], (dict, list)))
    assert run(table.backend, f"SELECT {same} FROM p a, p b WHERE a.id = 1 AND b.id = 2") == [["t"]]


def test_large_integers_inside_are_strings_where_asked(table):
    name = next(f"c{n}" for n, c in enumerate(CASES) if c[0] == "int8range")
    headers = {"Prefer": "int64=string"}
    run(table.backend, f"UPDATE p SET {next(f'c{n}' for n, c in enumerate(CASES) if c[0] == 'pair')} = ROW({2 ** 31 - 1}, '{BIG}', NULL, '{{{BIG},1}}') WHERE id = 1")
    composite = next(f"c{n}" for n, c in enumerate(CASES) if c[0] == "pair")
    expected = ({"lower": None, "upper": str(BIG + 1), "bounds": "()"}, {"a": 2 ** 31 - 1, "b c": str(BIG), "at": None, "big": [str(BIG), 1]})
    one = record(table, 1, headers=headers).expect(200).json()
    listed = table.client.get(f"{table.path}?order=id", headers=headers, params=table.using).expect(200).json()["rows"][0]
    asked = table.client.post("/v1/query", {"model_name": "p", "select": ["id", name, composite], "order_by": [{"column": "id"}]}, headers=headers,
                              params=table.using).expect(200).json()["rows"][0]
    for row in (one, listed, asked):
        assert (row[name], row[composite]) == expected
    assert record(table, 2, "patch", {name: expected[0], composite: expected[1]}).expect(200).json()[composite]["big"] == [BIG, 1]


WRONG = [({"int4range": {"lower": "x"}}, "/lower"), ({"int4range": {"low": 1}}, ""), ({"int4range": {"lower": 1, "bounds": "<>"}}, ""), ({"int4range": 5}, ""), ({"int4multirange": {"lower": 1}}, ""),
         ({"int4multirange": [{"lower": True}]}, "/0/lower"), ({"pair": {"a": "x"}}, "/a"), ({"pair": {"z": 1}}, ""), ({"pair": [1]}, ""), ({"holder": {"inner_pair": {"big": ["x"]}}}, "/inner_pair/big/0"),
         ({"hstore": {"a": 1}}, "/a"), ({"hstore": ["a"]}, ""), ({"posint": "x"}, ""), ({"oid": "x"}, ""), ({"inet": 5}, ""), ({"billing.mood": "glad"}, ""), ({"billing.mood[]": ["glad"]}, "/0"),
         ({"price": "x"}, "")]


def test_values_that_cannot_be_are_refused_where_they_are_wrong(table):
    by_type = {c[0]: f"c{n}" for n, c in enumerate(CASES)}
    before = run(table.backend, CONTENT + "1")
    for body, pointer in WRONG:
        (kind, value), = body.items()
        answer = record(table, 1, "patch", {by_type[kind]: value})
        answer.problem(422, "invalid_value")
        assert answer.pointers() == [f"/{by_type[kind]}{pointer}"], body
    for kind, value in (("inet", "10.0.0.999"), ("int4range", "[5,1)"), ("xml", "<a>"), ("macaddr", "x"), ("int4range", {"lower": 5, "upper": 1})):
        assert record(table, 1, "patch", {by_type[kind]: value}).status in (400, 422), kind
    assert record(table, 1, "patch", {by_type["posint"]: -1}).expect(422, "check_violation").json()["constraint"] == "posint_check"
    assert run(table.backend, CONTENT + "1") == before


def test_operators_on_ranges_and_own_types(table):
    by_type = {c[0]: f"c{n}" for n, c in reversed(list(enumerate(CASES)))}
    one, many, days = by_type["int4range"], by_type["int4multirange"], by_type["daterange"]
    for name, operator, value, found in (
            (one, "contains", 3, [1]), (one, "contains", 5, []), (one, "contains", {"lower": 2, "upper": 3}, [1]), (one, "overlap", {"lower": 4, "upper": 9}, [1]), (one, "overlap", "[5,9)", []),
            (one, "adjacent", {"lower": 5, "upper": 6}, [1]), (one, "left_of", "[7,8)", [1]), (one, "right_of", "[-3,0)", [1]), (many, "contains", 6, [1]), (many, "contains", 4, []),
            (many, "contains", {"lower": 1, "upper": 2}, [1]), (many, "overlap", [{"lower": 4, "upper": 6}], [1]), (many, "overlap", {"lower": 3, "upper": 5}, []), (days, "contains", "2026-01-15", [1]),
            (by_type["citext"], "==", "mixed", [1]), (by_type["mail"], "==", "a@B.example", [1]), (by_type["citext"], "LIKE", "mix%", [1]), (by_type["inet"], "LIKE", "10.%", [1]), (by_type["inet"], ">", "9.0.0.0", [1]),
            (by_type["inet"], "IN", ["10.0.0.1/8", "10.0.0.2"], [1]), (by_type["posint"], ">=", BIG, [1]), (by_type["price"], "BETWEEN", ["1", "2"], [1]), (by_type["oid"], ">", 2 ** 31, [1])):
        assert ask(table, equal(name, value, operator)) == found, (operator, value)
    assert ask(table, equal(by_type["time without time zone"], "23:59:59", ">")) == [1]


def test_keys_and_relations_of_such_types(postgres_conn):
    conn = postgres_conn
    run(conn.backend, """CREATE EXTENSION citext; CREATE DOMAIN code AS varchar(8) CHECK (VALUE <> '');
        CREATE TABLE host (addr inet PRIMARY KEY, owner citext, k code UNIQUE); CREATE TABLE seen (id serial PRIMARY KEY, host_addr inet REFERENCES host, k code REFERENCES host (k));
        INSERT INTO host VALUES ('10.0.0.1', 'Ann', 'x'), ('10.0.0.0/24', 'ann', 'y'); INSERT INTO seen (host_addr, k) VALUES ('10.0.0.0/24', 'x'), ('10.0.0.1', NULL)""")
    register(conn.client)
    found = {m["model_name"]: m for m in introspect(conn, register=True)["payload"]["models"]}
    assert conn.client.get("/v1/models/host/records/10.0.0.1", params=conn.using).expect(200).json() == {"addr": "10.0.0.1", "owner": "Ann", "k": "x"}
    made = conn.client.post("/v1/models/host/records", {"addr": "10.1.0.0/16", "owner": "B", "k": "z"}, params=conn.using).expect(201)
    assert conn.client.get(made.header("Location"), params=conn.using).expect(200).json()["owner"] == "B"
    conn.client.delete(f"/v1/models/host/records/{quote('10.1.0.0/16', safe='')}", params=conn.using).expect(204)
    conn.client.patch("/v1/models/host/records/10.0.0.1", {"k": "longer than it"}, params=conn.using).expect(422, "invalid_value")
    names = [r["name"] for r in found["seen"]["relations"] if r["target"] == "host"]
    rows = conn.client.post("/v1/query", {"model_name": "seen", "include": names, "order_by": [{"column": "id"}]}, params=conn.using).expect(200).json()["rows"]
    assert sorted(str(row[name] and row[name]["addr"]) for row in rows for name in names) == ["10.0.0.0/24", "10.0.0.1", "10.0.0.1", "None"]
    assert conn.client.post("/v1/models/host/get-or-create", {"where": {"addr": "10.0.0.1"}, "defaults": {"owner": "nobody"}}, params=conn.using).expect(200).json()["created"] is False


def test_a_range_and_an_array_as_keys(postgres_conn):
    conn = postgres_conn
    run(conn.backend, """CREATE TABLE stay (span int4range PRIMARY KEY, v text); CREATE TABLE pairs (a int[], b text, v text, PRIMARY KEY (a, b));
        INSERT INTO stay VALUES ('[1,5)', 'x'), ('empty', 'y'); INSERT INTO pairs VALUES ('{1,2}', 'k,l', 'x')""")
    register(conn.client)
    introspect(conn, register=True)
    made = conn.client.post("/v1/models/stay/records", {"span": {"lower": 7, "upper": 9}, "v": "z"}, params=conn.using).expect(201)
    assert made.json()["span"] == {"lower": 7, "upper": 9, "bounds": "[)"}
    assert conn.client.get(made.header("Location"), params=conn.using).expect(200).json()["v"] == "z"
    for text in ("[1,5)", '{"lower":1,"upper":5,"bounds":"[)"}', '{"lower": 0, "upper": 4, "bounds": "(]"}'):
        assert conn.client.get(f"/v1/models/stay/records/{quote(text, safe='')}", params=conn.using).expect(200).json()["v"] == "x"
    conn.client.patch(f"/v1/models/stay/records/{quote('empty')}", {"v": "w"}, params=conn.using).expect(200)
    made = conn.client.post("/v1/models/pairs/records", {"a": [3], "b": "q", "v": "z"}, params=conn.using).expect(201)
    assert conn.client.get(made.header("Location"), params=conn.using).expect(200).json() == {"a": [3], "b": "q", "v": "z"}
    put = conn.client.put(made.header("Location"), {"a": [3], "b": "q", "v": "put"}, params=conn.using).expect(200)
    assert put.json()["v"] == "put"


def test_a_model_by_hand_makes_such_columns(postgres_conn):
    conn = postgres_conn
    register(conn.client, model("Booking", column("ip", "string", db_type="inet"), column("span", "unknown", db_type="tstzrange"), column("ids", "unknown", db_type="bigint[]"),
                                column("number", "integer", db_type="oid"), column("name", "string", db_type="character varying(5)")))
    conn.client.post("/v1/create-tables", conn.using).expect(200)
    assert run(conn.backend, "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'booking'::regclass AND attnum > 1 ORDER BY 1") == [
        ["id", "integer"]][:0] + [["ids", "bigint[]"], ["ip", "inet"], ["name", "character varying(5)"], ["number", "oid"], ["span", "tstzrange"]]
    body = {"ip": "10.0.0.1", "span": {"lower": "2026-01-02T00:00:00Z", "upper": None, "bounds": "[)"}, "ids": [1], "number": 5, "name": "abcde"}
    assert conn.client.post("/v1/models/Booking/records", body, params=conn.using).expect(201).json() == {"id": 1, **body}
    conn.client.post("/v1/models/Booking/records", {"name": "abcdef"}, params=conn.using).expect(422, "invalid_value")
    answer = conn.client.put("/v1/models", {"models": [model("X", column("a", "unknown", db_type="r", type_kind="range", element="no; type"))]})
    assert answer.expect(422, "invalid_schema").pointers() == ["/models/0/columns/1/element"]


def test_sessions_batches_csv_and_raw_sql(table):
    with table.client.session(**table.using) as session:
        for identity in ("miss", "hit", "hit"):
            answer = session.get(f"{table.path}/1").expect(200)
            assert (answer.json(), answer.header("Ferro-Identity")) == (EXPECTED, identity)
        large = next(f"c{n}" for n, c in enumerate(CASES) if c[0] == "int8range")
        assert session.get(f"{table.path}/1", headers={"Prefer": "int64=string"}).json()[large]["upper"] == str(BIG + 1)
        session.delete("/v1/session")
    names = [f"c{n}" for n in range(len(CASES))]
    steps = [{"op": "get", "model": "p", "pk": 1, "as": "one"},
             {"op": "create", "model": "p", "record": {"id": 9, **{name: {"$ref": f"one.{name}"} for name in names}}},
             {"op": "query", "query": {"model_name": "p", "where": [{"node_kind": "leaf", "column": "id", "operator": "==", "value": 9}]}}]
    answer = table.client.post("/v1/batch", {"steps": steps}, params=table.using).expect(200).json()
    assert answer["results"][2]["body"]["rows"] == [{**EXPECTED, "id": 9}]
    assert run(table.backend, CONTENT + "9") == run(table.backend, CONTENT + "1")
    table.client.post("/v1/sql/fetch-all", {"sql": "SELECT * FROM p WHERE c0 = $1", "args": ["[1,5)"]}, params=table.using).expect(200)
    rows = list(csv.DictReader(io.StringIO(table.client.get(f"{table.path}?id=eq.1", headers={"Accept": "text/csv"}, params=table.using).expect(200).text)))
    for name, wire in EXPECTED.items():
        text = rows[0][name]
        assert (json.loads(text) if isinstance(wire, (dict, list)) else text.lstrip("'") if isinstance(wire, str) else int(text)) == (wire.lstrip("'") if isinstance(wire, str) else wire), name
