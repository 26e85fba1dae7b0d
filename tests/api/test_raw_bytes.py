"""Bytes among the arguments of raw SQL: they arrive as bytes, and where PostgreSQL would make the text `\\x...` of them they are refused."""
import base64

import pytest

from support.client import Client
from support.pgbouncer import PgBouncer
from support.schema import run

RAW = bytes(range(256))


def tagged(content):
    return {"$bytes": base64.b64encode(content).decode()}


ABC, ALL = tagged(b"abc"), tagged(RAW)

# statement, arguments, place of the one that is refused
TEXTS = [
    ("INSERT INTO kept (id, name) VALUES ($1, $2)", [1, ABC], 1),
    ("INSERT INTO kept (name, id) VALUES ($1, $2) RETURNING id", [ABC, 1], 0),
    ("INSERT INTO kept (id, short) SELECT 1, $1", [ALL], 0),
    ("INSERT INTO kept (id, three) VALUES (1, $1)", [tagged(b"")], 0),
    ("INSERT INTO kept (id, label) VALUES (1, $1)", [ABC], 0),
    ("INSERT INTO kept (id, tags) VALUES (1, ARRAY[$1, 'b'])", [ABC], 0),
    ("INSERT INTO kept (id, name) VALUES (1, $1) ON CONFLICT (id) DO UPDATE SET name = $2", ["a", ABC], 1),
    ("WITH given AS (SELECT $1 AS x) INSERT INTO kept (id, name) SELECT 1, x FROM given", [ABC], 0),
    ("UPDATE kept SET name = $1", [ABC], 0),
    ("UPDATE kept SET name = name || $1", [ABC], 0),
    ("UPDATE kept SET data = $1, name = $2", [ABC, ABC], 1),
    ("SELECT $1::text AS x", [ABC], 0),
    ("SELECT CAST($1 AS varchar(9)) AS x", [ABC], 0),
    ("SELECT length($1) AS n, $2::text AS x", [ABC, ABC], 1),
]
# statement, arguments, what its first row holds
MEANT = [
    ("SELECT $1 AS x", [ALL], [ALL]), ("SELECT $1::bytea AS x", [ALL], [ALL]), ("VALUES ($1), ($2)", [ABC, ALL], [ABC]),
    ("SELECT length($1) AS n", [ALL], [256]), ("SELECT md5($1) AS m", [ABC], ["900150983cd24fb0d6963f7d28e17f72"]), ("SELECT encode($1, 'hex') AS h", [ABC], ["616263"]),
    ("SELECT convert_from($1, 'UTF8') AS t", [tagged("ü".encode())], ["ü"]), ("SELECT $1 || $2 AS x", [ABC, ABC], [tagged(b"abcabc")]),
    ("SELECT coalesce($1, $2) AS x", [ALL, ABC], [ALL]), ("SELECT x FROM (SELECT $1 AS x) AS q", [ABC], [ABC]), ("WITH q AS (SELECT $1 AS x) SELECT x FROM q", [ABC], [ABC]),
    ("SELECT $1 IS NULL AS x", [ABC], [False]), ("SELECT id FROM kept WHERE data = $1", [tagged(b"there")], [7]), ("SELECT id FROM kept WHERE data IN ($1, $2)", [ABC, tagged(b"there")], [7]),
    ("INSERT INTO kept (id, data) VALUES ($1, $2) RETURNING data", [8, ALL], [ALL]), ("INSERT INTO kept (id, seen) VALUES (9, $1) RETURNING seen", [ALL], [ALL]),
    ("INSERT INTO kept (id, data) SELECT 10, $1 RETURNING data", [ALL], [ALL]), ("UPDATE kept SET data = coalesce($1, data) WHERE id = 7 RETURNING data", [ABC], [ABC]),
    ("INSERT INTO kept (id, name) VALUES (11, md5($1)) RETURNING name", [ABC], ["900150983cd24fb0d6963f7d28e17f72"]),
    ("INSERT INTO kept (id, name) VALUES (12, convert_from($1, 'UTF8')) RETURNING name", [ABC], ["abc"]),
]
# what has no form for bytes
OTHERS = [("INSERT INTO kept (id, doc) VALUES (1, $1)", ABC), ("INSERT INTO kept (id, docb) VALUES (1, $1)", ABC), ("INSERT INTO kept (id, u) VALUES (1, $1)", tagged(bytes(16))),
          ("INSERT INTO kept (id, n) VALUES (1, $1)", tagged(b"12")), ("INSERT INTO kept (id) VALUES ($1)", tagged(b"\0\0\0\1")), ("INSERT INTO kept (id, tags) VALUES (1, $1)", tagged(b"{a}")),
          ("INSERT INTO kept (id, at) VALUES (1, $1)", tagged(b"2026-01-02")), ("SELECT id FROM kept WHERE name = $1", ABC), ("SELECT $1::json AS x", tagged(b"1")), ("SELECT $1::int AS x", tagged(b"\0\0\0\1"))]
TABLE = """CREATE DOMAIN label AS text; CREATE DOMAIN seen AS bytea;
CREATE TABLE kept (id int PRIMARY KEY, name text, short varchar(4000), three char(3), label label, tags text[], data bytea, seen seen, doc json, docb jsonb, u uuid, n numeric, at timestamptz);
INSERT INTO kept (id, name, data) VALUES (7, 'there', 'there')"""
COUNT = "SELECT count(*) AS n FROM kept"


@pytest.fixture(params=["straight", "pooler", "inside", "opened"])
def ask(request, postgres_conn, server):
    """ask(sql, args) -> the answer: of a connection of its own, through PgBouncer, in an open transaction, in a transaction that begins with it."""
    run(postgres_conn.backend, TABLE)
    using, headers, bouncer = postgres_conn.using, {}, None
    with Client(server.port) as client:
        if request.param == "pooler":
            bouncer = PgBouncer(postgres_conn.backend.pg)
            using = {"using": "behind"}
            client.post("/v1/connections", {"name": "behind", "url": bouncer.url(postgres_conn.backend.database)}).expect(201)
        if request.param == "inside":
            headers = {"Ferro-Transaction": client.post("/v1/transactions", using).expect(201).json()["transaction_id"]}
        if request.param == "opened":
            headers = {"Ferro-Transaction": "new", "Ferro-Transaction-End": "rollback"}
        yield lambda text, args=(), verb="fetch-all": client.post(f"/v1/sql/{verb}", {"sql": text, "args": list(args), **using}, headers=headers)
        if request.param == "inside":
            client.post(f"/v1/transactions/{headers['Ferro-Transaction']}/rollback").expect(200)
        if bouncer is not None:
            client.delete("/v1/connections/behind?force=true").expect(204)
            bouncer.__exit__()


def test_bytes_for_a_text_are_refused(ask):
    for sql, args, place in TEXTS:
        for verb in ("fetch-all", "execute"):
            answer = ask(sql, args, verb)
            problem = answer.problem(400, "invalid_parameters")
            assert answer.pointers() == [f"/args/{place}"] and "text" in problem["detail"], (sql, problem)
    assert ask(COUNT).expect(200).json()["rows"] == [{"n": 1}], "nothing was written, and the transaction is as it was"


def test_bytes_that_are_meant_arrive(ask):
    for _ in range(2):
        for sql, args, row in MEANT:
            answer = ask(sql, args).expect(200)
            assert list(answer.json()["rows"][0].values()) == row, sql
        ask("DELETE FROM kept WHERE id > 7").expect(200)
        ask("UPDATE kept SET data = 'there'").expect(200)


@pytest.mark.parametrize("sql, given", OTHERS)
def test_what_takes_no_bytes_says_so(postgres_conn, sql, given):
    run(postgres_conn.backend, TABLE)
    answer = postgres_conn.client.post("/v1/sql/fetch-all", {"sql": sql, "args": [given], **postgres_conn.using})
    assert answer.problem(400, "sql_error")["sqlstate"][:2] == "42", answer.text
    assert run(postgres_conn.backend, "SELECT count(*) FROM kept") == [["1"]]


def test_in_a_batch(postgres_conn):
    """The place is the step's; nothing of the batch stays. A text that a step before has found goes where a text goes."""
    run(postgres_conn.backend, TABLE)
    client, using = postgres_conn.client, postgres_conn.using
    steps = [{"op": "sql.execute", "sql": "INSERT INTO kept (id, name) VALUES (1, 'a')"}, {"op": "sql.execute", "sql": "INSERT INTO kept (id, name) VALUES (2, $1)", "args": [ABC]}]
    answer = client.post("/v1/batch", {"steps": steps, **using})
    problem = answer.problem(400, "invalid_parameters")
    assert problem["step"] == 1 and answer.pointers() == ["/steps/1/args/0"], problem
    assert run(postgres_conn.backend, "SELECT count(*) FROM kept") == [["1"]]
    found = {"op": "sql.fetch_one", "sql": "SELECT data, name FROM kept WHERE id = 7", "as": "found"}
    referred = [found, {"op": "sql.execute", "sql": "INSERT INTO kept (id, data, name) VALUES (2, $1, $2)", "args": [{"$ref": "found.row.data"}, {"$ref": "found.row.name"}]}]
    client.post("/v1/batch", {"steps": referred, **using}).expect(200)
    assert run(postgres_conn.backend, "SELECT encode(data, 'escape'), name FROM kept WHERE id = 2") == [["there", "there"]]
    referred[1] = {"op": "sql.execute", "sql": "INSERT INTO kept (id, name) VALUES (3, $1)", "args": [{"$ref": "found.row.data"}]}
    assert client.post("/v1/batch", {"steps": referred, **using}).problem(400, "invalid_parameters")["step"] == 1


def test_a_blob_of_sqlite_stays_one(sqlite_conn):
    run(sqlite_conn.backend, "CREATE TABLE kept (id integer PRIMARY KEY, name text)")
    ask = lambda sql, *args: sqlite_conn.client.post("/v1/sql/fetch-all", {"sql": sql, "args": list(args), **sqlite_conn.using}).expect(200).json()["rows"]  # noqa: E731
    assert ask("INSERT INTO kept (name) VALUES (?) RETURNING name, typeof(name) AS t", ABC) == [{"name": ABC, "t": "blob"}]


RECORDS = {"name": ABC, "short": ABC, "tags": [ABC], "docb": ABC, "u": tagged(bytes(16)), "n": tagged(b"1"), "at": tagged(b"2026-01-02")}


def test_records_never_take_bytes_for_texts(postgres_conn):
    """Models know the type: singly, in bulk (as COPY brings them, too) and in updates; in json the document is what it looks like."""
    run(postgres_conn.backend, TABLE)
    client, using = postgres_conn.client, postgres_conn.using
    client.post("/v1/introspect", {"register": True, **using}).expect(200)
    for name, value in RECORDS.items():
        sent = {"id": 20, name: value}
        answers = [client.post("/v1/models/kept/records", sent, params=using), client.patch("/v1/models/kept/records/7", {name: value}, params=using),
                   client.post("/v1/models/kept/records", {"records": [{**sent, "id": 21}] + [{"id": 100 + i} for i in range(300)]}, params=using)]
        if name == "docb":
            for answer in answers:
                assert answer.status in (200, 201), answer.text
            assert client.get("/v1/models/kept/records/20", params=using).expect(200).json()[name] in (value, {"$json": value})
            run(postgres_conn.backend, "DELETE FROM kept WHERE id > 7")
            continue
        for answer in answers:
            assert answer.expect(422, "invalid_value").pointers()[0].split("/")[-1] in (name, "0"), answer.text
    assert run(postgres_conn.backend, "SELECT count(*) FROM kept WHERE name LIKE '%x6%' OR short LIKE '%x6%'") == [["0"]]
