"""Tables that other programs made: read without failure, and null only where it is null."""
import json
import sqlite3

from support.library import column, key, model
from support.tables import leaf, query, sql


def register(conn, *models):
    conn.client.put("/v1/models", {"models": list(models)}).expect(200)


def rows(conn, name, *where, **more):
    more.setdefault("order_by", [{"column": "id"}])
    return query(conn.client, name, where, using=conn.name, **more).expect(200).json()["rows"]


# ---- SQLite: what stands in a column is up to whoever wrote it ----

FORMS = {
    "at": ("datetime", "DATETIME", [
        ("2026-01-02 03:04:05", "2026-01-02T03:04:05"), ("2026-01-02T03:04:05", "2026-01-02T03:04:05"), ("2026-01-02 03:04:05+00:00", "2026-01-02T03:04:05Z"),
        ("2026-01-02 03:04:05.123+02:00", "2026-01-02T01:04:05.123Z"), ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"), ("2026-01-02 03:04", None),
        ("2026-01-02", None), (1767322985, None), (1767322985.5, None), (2460677.5, None), ("garbage", None), ("", None), (b"\x01\x02", None)]),
    "day": ("date", "DATE", [("2026-01-02", "2026-01-02"), ("2026-01-02 00:00:00", None), (20260102, None), ("x", None), ("", None)]),
    "t": ("time", "TIME", [("03:04:05", "03:04:05"), ("03:04", None), ("03:04:05.5", "03:04:05.5"), (11045, None), ("x", None)]),
    "u": ("uuid", "TEXT", [("3F4C4CA7-A7E7-40D6-8D83-8F4DDF3285E6", "3f4c4ca7-a7e7-40d6-8d83-8f4ddf3285e6"), ("3f4c4ca7a7e740d68d838f4ddf3285e6", None),
                           (bytes(range(16)), None), ("not a uuid", None), (7, None)]),
    "b": ("boolean", "BOOLEAN", [(1, True), (0, False), (2, 2), ("true", None), ("f", None), ("yes", None), (1.0, True), ("1", True), ("", None)]),
    "d": ("decimal", "NUMERIC", [(3, "3"), (1.5, "1.5"), (0, "0"), ("12.34", "12.34"), ("1e5", None), (-0.1, "-0.1"), (2 ** 62, str(2 ** 62)), ("x", None)]),
    "i": ("integer", "INTEGER", [(0, 0), (2 ** 63 - 1, 2 ** 63 - 1), (1.0, 1), ("42", 42), (1.5, None), ("x", None), (b"\x00", None)]),
    "x": ("number", "REAL", [(1, 1.0), (0.5, 0.5), ("2.5", 2.5), (1e308 * 10, "Infinity"), ("x", None)]),
    "s": ("string", "TEXT", [("", ""), ("a", "a"), (5, "5"), (1.5, "1.5"), (b"abc", None), (b"\xff\x00", None)]),
    "bin": ("binary", "BLOB", [(b"", ""), (b"\x00\xff", "AP8="), ("text", {"$text": "text"}), (5, None)]),
    "j": ("json", "TEXT", [('{"b":1, "a": [ ]}', {"a": [], "b": 1}), ("[1,2]", [1, 2]), ("5", 5), ('"x"', "x"), ("not json", {"$text": "not json"}), ("{", {"$text": "{"}), (7, None), ("", None)]),
    "e": ("string", "TEXT", [("red", "red"), ("unknown to the model", "unknown to the model")])}


def test_sqlite_tables_of_others(sqlite_conn):
    """Every row is answered, whatever stands in it: as the value that it spells, or as its text; null where it is NULL alone."""
    conn = sqlite_conn
    columns = [column(name, logical, nullable=True, **({"enum_values": ["red"]} if name == "e" else {})) for name, (logical, _, _) in FORMS.items()]
    register(conn, model("Alien", key(), *columns))
    with sqlite3.connect(conn.backend.path) as db:
        db.execute("CREATE TABLE alien (id INTEGER PRIMARY KEY, " + ", ".join(f'"{name}" {kind}' for name, (_, kind, _) in FORMS.items()) + ", extra TEXT)")
        number = 0
        for name, (_, _, forms) in FORMS.items():
            for stored, _ in forms:
                number += 1
                db.execute(f'INSERT INTO alien (id, "{name}", extra) VALUES (?, ?, ?)', (number, stored, "not in the model"))
        db.execute("INSERT INTO alien (id) VALUES (?)", (number + 1,))
    db.close()
    got, wrong, number = rows(conn, "Alien"), [], 0
    for name, (_, _, forms) in FORMS.items():
        for stored, expected in forms:
            row = got[number]
            number += 1
            value = row[name]
            if value is None or (expected is not None and json.dumps(value, sort_keys=True) != json.dumps(expected, sort_keys=True)):
                wrong.append((name, stored, expected, value))
            if [n for n in FORMS if n != name and row[n] is not None]:
                wrong.append((name, stored, "others must be null", row))
    assert not wrong, "\n".join(map(str, wrong))
    assert all(got[-1][name] is None for name in FORMS) and "extra" not in got[-1]
    for row in got:
        read = conn.client.get(f"/v1/models/Alien/records/{row['id']}", params=conn.using, validate=False).expect(200)
        assert read.json() == row and read.header("ETag")
    lines = conn.client.get("/v1/models/Alien/records", params=conn.using, headers={"Accept": "application/x-ndjson"}).expect(200).text.splitlines()
    assert len(lines) == len(got) + 1
    assert conn.client.get("/v1/models/Alien/records", params=conn.using, headers={"Accept": "text/csv"}).expect(200).text.count("\n") >= len(got)


def test_sqlite_rows_of_others_can_be_changed(sqlite_conn):
    """A row with foreign spellings takes a PATCH of another column, an ETag guard and a delete."""
    conn = sqlite_conn
    register(conn, model("Alien", key(), column("at", "datetime", nullable=True), column("n", "integer", nullable=True)))
    with sqlite3.connect(conn.backend.path) as db:
        db.execute("CREATE TABLE alien (id INTEGER PRIMARY KEY, at, n)")
        db.execute("INSERT INTO alien VALUES (1, '2026-01-02 03:04:05+00:00', 1), (2, 1767322985, 2)")
    db.close()
    for number in (1, 2):
        tag = conn.client.get(f"/v1/models/Alien/records/{number}", params=conn.using).expect(200).header("ETag")
        answer = conn.client.patch(f"/v1/models/Alien/records/{number}", {"n": 9}, params=conn.using, headers={"If-Match": tag}).expect(200)
        assert answer.json()["n"] == 9
    with sqlite3.connect(conn.backend.path) as db:
        assert db.execute("SELECT at FROM alien ORDER BY id").fetchall() == [("2026-01-02 03:04:05+00:00",), (1767322985,)]
    db.close()
    conn.client.delete("/v1/models/Alien/records/1", params=conn.using).expect(204)


def test_without_rowid_views_and_generated_columns(sqlite_conn):
    conn = sqlite_conn
    register(conn, model("Alien", key("id", "string", autoincrement=False), column("n", "integer"), column("twice", "integer", nullable=True)),
             model("Seen", key("id", "string", autoincrement=False), column("n", "integer")))
    for text in ("CREATE TABLE alien (id TEXT PRIMARY KEY, n INT, twice INT GENERATED ALWAYS AS (n * 2)) WITHOUT ROWID",
                 "CREATE VIEW seen AS SELECT id, n FROM alien WHERE n > 1", "INSERT INTO alien (id, n) VALUES ('a', 1), ('b', 2)"):
        sql(conn.client, text, using=conn.name, verb="execute").expect(200)
    assert rows(conn, "Alien") == [{"id": "a", "n": 1, "twice": 2}, {"id": "b", "n": 2, "twice": 4}]
    assert rows(conn, "Seen") == [{"id": "b", "n": 2}]
    assert conn.client.get("/v1/models/Seen/records/b", params=conn.using).expect(200).json()["n"] == 2
    assert conn.client.patch("/v1/models/Alien/records/a", {"n": 5}, params=conn.using).expect(200).json()["twice"] == 10


# ---- PostgreSQL: every built-in type ----

BUILT_IN = [
    ("int2", "7", "integer", 7), ("int4", "-7", "integer", -7), ("int8", "9223372036854775807", "integer", 2 ** 63 - 1), ("float4", "1.5", "number", 1.5),
    ("float8", "0.1", "number", 0.1), ("numeric", "12345678901234567890.000000000012345", "decimal", "12345678901234567890.000000000012345"),
    ("numeric(10,2)", "1.5", "decimal", "1.50"), ("numeric", "NaN", "decimal", "NaN"), ("bool", "true", "boolean", True), ("text", "tä'xt", "string", "tä'xt"),
    ("varchar(3)", "abc", "string", "abc"), ("char(3)", "x", "string", "x  "), ("bpchar", "y", "string", "y"), ("name", "n", "string", "n"), ('"char"', "c", "string", "c"),
    ("uuid", "3F4C4CA7-A7E7-40D6-8D83-8F4DDF3285E6", "uuid", "3f4c4ca7-a7e7-40d6-8d83-8f4ddf3285e6"), ("date", "2026-01-02", "date", "2026-01-02"),
    ("time", "03:04:05.5", "time", "03:04:05.5"), ("timestamp", "2026-01-02 03:04:05.000001", "datetime", "2026-01-02T03:04:05.000001"),
    ("timestamptz", "2026-01-02 03:04:05+02", "datetime", "2026-01-02T01:04:05Z"), ("bytea", "\\x00ff", "binary", "AP8="), ("json", '{"b": 1}', "json", {"b": 1}),
    ("jsonb", "[1, null]", "json", [1, None]),
    # what has no JSON form of its own comes as its text
    ("int4[]", "{1,NULL,3}", "string", "{1,NULL,3}"), ("text[]", '{a,"b c"}', "string", '{a,"b c"}'), ("int4range", "[1,5)", "string", "[1,5)"),
    ("tstzrange", "empty", "string", "empty"), ("int4multirange", "{[1,2),[5,6)}", "string", "{[1,2),[5,6)}"), ("interval", "1 day 02:00:00", "string", "P1DT2H"),
    ("timetz", "03:04:05+02", "string", "03:04:05+02"), ("inet", "10.0.0.1/8", "string", "10.0.0.1/8"), ("cidr", "10.0.0.0/8", "string", "10.0.0.0/8"),
    ("macaddr", "08:00:2b:01:02:03", "string", "08:00:2b:01:02:03"), ("money", "12.5", "string", "$12.50"), ("bit(3)", "101", "string", "101"),
    ("varbit", "11", "string", "11"), ("point", "(1,2)", "string", "(1,2)"), ("box", "(3,4),(1,2)", "string", "(3,4),(1,2)"), ("circle", "<(1,2),3>", "string", "<(1,2),3>"),
    ("path", "((1,2),(3,4))", "string", "((1,2),(3,4))"), ("tsvector", "'a' 'b'", "string", "'a' 'b'"), ("tsquery", "'a' & 'b'", "string", "'a' & 'b'"),
    ("xml", "<a/>", "string", "<a/>"), ("oid", "42", "integer", 42), ("regclass", "pg_class", "string", "pg_class"), ("pg_lsn", "16/B374D848", "string", "16/B374D848"),
    ("date", "infinity", "string", "infinity"), ("timestamptz", "-infinity", "string", "-infinity"), ("mood", "sad", "string", "sad"), ("posint", "5", "integer", 5),
    ("pair", "(1,x)", "string", "(1,x)")]


def test_every_type_of_postgres(postgres_conn):
    """Through a model, through raw SQL, and null as null; a filter on null finds the empty row alone."""
    conn = postgres_conn
    for text in ("CREATE TYPE mood AS ENUM ('sad', 'ok')", "CREATE DOMAIN posint AS integer CHECK (VALUE > 0)", "CREATE TYPE pair AS (a int, b text)",
                 "CREATE TABLE alien (id serial PRIMARY KEY, " + ", ".join(f"c{n} {kind}" for n, (kind, *_) in enumerate(BUILT_IN)) + ")"):
        sql(conn.client, text, using=conn.name, verb="execute").expect(200)
    quoted = ", ".join("'" + text.replace("'", "''") + "'" for _, text, _, _ in BUILT_IN)
    sql(conn.client, f"INSERT INTO alien VALUES (1, {quoted}), (2{', NULL' * len(BUILT_IN)})", using=conn.name, verb="execute").expect(200)
    register(conn, model("Alien", key(), *(column(f"c{n}", logical, nullable=True) for n, (_, _, logical, _) in enumerate(BUILT_IN))))
    full, empty = rows(conn, "Alien")
    wrong = [(kind, expected, full[f"c{n}"]) for n, (kind, _, _, expected) in enumerate(BUILT_IN) if full[f"c{n}"] != expected]
    assert not wrong, "\n".join(map(str, wrong))
    assert all(empty[f"c{n}"] is None for n in range(len(BUILT_IN)))
    for n in range(len(BUILT_IN)):
        found = query(conn.client, "Alien", [leaf(f"c{n}", "==", None)], "/count", conn.name, ).expect(200).json()
        assert found == {"count": 1}, BUILT_IN[n]
    raw = sql(conn.client, "SELECT * FROM alien ORDER BY id", using=conn.name).expect(200).json()["rows"]
    assert all(raw[0][f"c{n}"] is not None and raw[1][f"c{n}"] is None for n in range(len(BUILT_IN)))
    answer = conn.client.patch("/v1/models/Alien/records/2", {"c9": "changed"}, params=conn.using).expect(200).json()
    assert answer["c9"] == "changed"


def test_an_introspected_table_works_at_once(postgres_conn):
    conn = postgres_conn
    sql(conn.client, "CREATE TABLE thing (id bigserial PRIMARY KEY, name varchar(10) NOT NULL, made timestamptz DEFAULT now(), tags text[])", using=conn.name,
        verb="execute").expect(200)
    conn.client.put("/v1/models", {"models": []})
    found = conn.client.post("/v1/introspect", {"using": conn.name, "register": True}).expect(200).json()
    name = found["payload"]["models"][0]["model_name"]
    row = conn.client.post(f"/v1/models/{name}/records", {"name": "a"}, params=conn.using).expect(201).json()
    assert row["id"] == 1 and row["name"] == "a"
    assert conn.client.post(f"/v1/models/{name}/records", {"name": "x" * 11}, params=conn.using).expect(422, "invalid_value").pointers() == ["/name"]
