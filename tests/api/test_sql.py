"""Raw SQL: execute, fetch-all, fetch-one; arguments; primitives; one statement a call; what may not be left behind."""
import base64
import json

import pytest

from support.tables import placeholder, sql


@pytest.fixture
def db(conn):
    """conn with run(text, args, verb), in which ? is the database's own placeholder."""
    def run(text, args=None, verb="fetch-all", **more):
        if conn.backend.name == "postgres":
            for number in range(1, text.count("?") + 1):
                text = text.replace("?", f"${number}", 1)
        return sql(conn.client, text, args, using=conn.name, verb=verb, **more)
    run("CREATE TABLE event (id INTEGER PRIMARY KEY, kind TEXT, n INTEGER)", verb="execute").expect(200)
    conn.run = run
    return conn


def test_ddl_and_rows_affected(db):
    assert db.run("CREATE TABLE other (a INTEGER)", verb="execute").expect(200).json()["rows_affected"] == 0
    answer = db.run("INSERT INTO event VALUES (1, 'click', 1), (2, 'click', 2), (3, 'signup', 3)", verb="execute").expect(200).json()
    assert answer["rows_affected"] == 3
    if db.backend.name == "sqlite":
        assert answer["last_insert_id"] == 3
    assert db.run("INSERT INTO event VALUES (?, ?, ?)", [7, "alice", None], "execute").expect(200).json()["rows_affected"] == 1
    assert db.run("UPDATE event SET n = n + 1 WHERE kind = 'click'", verb="execute").json()["rows_affected"] == 2
    assert db.run("DELETE FROM event WHERE id = 99", verb="execute").json()["rows_affected"] == 0


def test_fetch(db):
    db.run("INSERT INTO event VALUES (1, 'click', 10), (2, 'click', 20), (3, 'signup', NULL)", verb="execute").expect(200)
    answer = db.run("SELECT kind, count(*) AS n FROM event GROUP BY kind ORDER BY kind").expect(200).data()
    assert answer == {"rows": [{"kind": "click", "n": 2}, {"kind": "signup", "n": 1}], "row_count": 2}
    assert db.run("SELECT * FROM event WHERE id > 5").expect(200).data() == {"rows": [], "row_count": 0}
    assert db.run("SELECT n FROM event ORDER BY id", verb="fetch-one").expect(200).data() == {"row": {"n": 10}}
    assert db.run("SELECT n FROM event WHERE id = 99", verb="fetch-one").expect(200).data() == {"row": None}
    assert db.run("SELECT n FROM event WHERE kind = ?", ["signup"], "fetch-one").data() == {"row": {"n": None}}
    got = db.run("INSERT INTO event VALUES (9, 'r', 1) RETURNING id, kind").expect(200).json()
    assert got["rows"] == [{"id": 9, "kind": "r"}]


def test_arguments_there_and_back(db):
    raw = bytes(range(256))
    if db.backend.name == "postgres":
        text = "SELECT $1::text AS a, $2::boolean AS b, $3::bigint AS c, $4::float8 AS d, $5::text AS e, $6::bytea AS f, $7::jsonb AS g, $8::json AS h"
    else:
        text = "SELECT ? AS a, ? AS b, ? AS c, ? AS d, ? AS e, ? AS f, ? AS g, ? AS h"
    args = [None, True, 9007199254740993, 0.1, "ü😀'\"", {"$bytes": base64.b64encode(raw).decode()}, {"a": 1, "b": [2, 3]}, [1, "x"]]
    row = sql(db.client, text, args, using=db.name).expect(200).json()["rows"][0]
    assert row["a"] is None and row["c"] == 9007199254740993 and row["d"] == 0.1 and row["e"] == "ü😀'\""
    assert row["b"] is True if db.backend.name == "postgres" else row["b"] == 1
    assert row["f"] == {"$bytes": base64.b64encode(raw).decode()}
    assert isinstance(row["g"], str) and json.loads(row["g"]) == {"a": 1, "b": [2, 3]} and json.loads(row["h"]) == [1, "x"]


def test_int64_as_strings(db):
    answer = db.client.post("/v1/sql/fetch-one", {"sql": "SELECT 9007199254740993 AS a, 5 AS b", "using": db.name},
                            headers={"Prefer": "int64=string"}).expect(200)
    assert answer.data() == {"row": {"a": "9007199254740993", "b": 5}}
    assert "int64=string" in answer.header("Preference-Applied")


def test_named_arguments(sqlite_conn):
    run = sqlite_conn.client.post
    body = {"sql": "SELECT :a AS a, @b AS b, $c AS c, :a AS again", "args": {"a": 1, "b": "x", "c": None}, "using": sqlite_conn.name}
    assert run("/v1/sql/fetch-one", body).expect(200).data() == {"row": {"a": 1, "b": "x", "c": None, "again": 1}}
    for args in ({"a": 1, "b": 2}, {"a": 1, "b": 2, "c": 3, "d": 4}, [1], []):
        run("/v1/sql/fetch-one", {**body, "args": args}).problem(400, "invalid_parameters")


def test_named_arguments_are_sqlites(postgres_conn):
    answer = sql(postgres_conn.client, "SELECT $1::int AS a", {"a": 1}, using=postgres_conn.name)
    answer.problem(400, "invalid_request")


def test_number_of_arguments_must_match(db):
    for args in ([], [1], [1, 2, 3], None):
        answer = db.run("SELECT CAST(? AS INTEGER) AS a, CAST(? AS INTEGER) AS b", args)
        answer.problem(400, "invalid_parameters")
    db.run("SELECT 1", [1]).problem(400, "invalid_parameters")


def test_one_statement_a_call(db):
    for text in ("SELECT 1; SELECT 2", "SELECT 1; DROP TABLE event", "INSERT INTO event VALUES (1, 'a', 1); INSERT INTO event VALUES (2, 'b', 2)"):
        db.run(text).problem(400, "sql_error")
        db.run(text, verb="execute").problem(400, "sql_error")
    assert db.run("SELECT count(*) AS n FROM event").json()["rows"] == [{"n": 0}]
    for text in ("SELECT 1 AS a;", "SELECT 1 AS a ; -- done", "/* before */ SELECT 1 AS a", "SELECT 1 AS a;  \n"):
        assert db.run(text).expect(200).json()["rows"] == [{"a": 1}], text
    for text in ("", "   \n\t", ";", "-- only a comment"):
        answer = db.run(text)
        assert (answer.status, answer.json()["code"]) in ((400, "invalid_request"), (400, "sql_error")), answer.body


def test_errors_of_the_database(db):
    answer = db.run("THIS IS NOT VALID SQL")
    problem = answer.problem(400, "sql_error")
    if db.backend.name == "postgres":
        assert problem["sqlstate"] == "42601" and problem["position"] == 1
        assert db.run("SELECT 1/0").problem(400, "sql_error")["sqlstate"] == "22012"
    db.run("SELECT * FROM no_such_table").problem(400, "sql_error")
    db.run("INSERT INTO event VALUES (1, 'a', 1)", verb="execute").expect(200)
    problem = db.run("INSERT INTO event VALUES (1, 'a', 1)", verb="execute").problem(409, "unique_violation")
    assert problem.get("table", "event") == "event"
    assert "'a'" not in json.dumps(problem)
    db.run("CREATE TABLE strict_one (a INTEGER NOT NULL, CHECK (a > 0))", verb="execute").expect(200)
    db.run("INSERT INTO strict_one VALUES (NULL)", verb="execute").problem(422, "not_null_violation")
    db.run("INSERT INTO strict_one VALUES (-1)", verb="execute").problem(422, "check_violation")


def test_secret_values_are_not_in_errors_or_logs(db, server):
    db.run("INSERT INTO event VALUES (?, ?, 1)", [1, "hush-hush-value"], "execute").expect(200)
    answer = db.run("INSERT INTO event VALUES (?, ?, 1)", [1, "hush-hush-value"], "execute")
    assert answer.status == 409 and "hush-hush" not in answer.text
    answer = db.run("SELECT CAST(? AS INTEGER) + nope", ["hush-hush-value"])
    assert answer.status == 400 and "hush-hush" not in answer.text
    assert "hush-hush" not in server.log()


def test_postgres_types_come_as_text_or_primitives(postgres_conn):
    text = ("SELECT 1::int2 AS i2, 1.5::float4 AS f4, 'NaN'::float8 AS nan, 12.50::numeric AS num, true AS b, "
            "'3F4C4CA7-A7E7-40D6-8D83-8F4DDF3285E6'::uuid AS u, '2026-01-02 03:04:05+02'::timestamptz AS tz, '2026-01-02 03:04:05'::timestamp AS ts, "
            "'2026-01-02'::date AS d, '03:04:05'::time AS t, '{\"a\": 1}'::jsonb AS j, ARRAY[1,2] AS arr, '1 day'::interval AS iv, "
            "'\\x00ff'::bytea AS by, '127.0.0.1'::inet AS net, NULL::int AS nothing, 'x'::char(3) AS c")
    row = sql(postgres_conn.client, text, using=postgres_conn.name).expect(200).json()["rows"][0]
    assert row["i2"] == 1 and row["f4"] == 1.5 and row["nan"] == "NaN" and row["num"] == "12.50" and row["b"] is True
    assert row["u"] == "3f4c4ca7-a7e7-40d6-8d83-8f4ddf3285e6" and row["d"] == "2026-01-02" and row["t"] == "03:04:05"
    assert "01:04:05" in row["tz"] and "03:04:05" in row["ts"] and json.loads(row["j"]) == {"a": 1}
    assert row["arr"] == "{1,2}" and row["iv"] == "P1D" and row["by"] == {"$bytes": "AP8="} and row["net"] == "127.0.0.1"
    assert row["nothing"] is None and row["c"] == "x  "


def test_texts_bind_with_casts(postgres_conn):
    """RAW-10 to RAW-12: strings into uuid, timestamptz, date, numeric."""
    args = ["00000000-0000-0000-0000-000000000001", "2026-04-27T20:13:45Z", "2026-04-27", "1234.5678", "20:13:45"]
    row = sql(postgres_conn.client, "SELECT $1::uuid::text AS u, $2::timestamptz::text AS z, $3::date::text AS d, $4::numeric::text AS n, $5::time::text AS t",
              args, using=postgres_conn.name).expect(200).json()["rows"][0]
    assert row == {"u": args[0], "z": "2026-04-27 20:13:45+00", "d": "2026-04-27", "n": "1234.5678", "t": "20:13:45"}


def test_duplicate_and_odd_column_names(db):
    db.run('SELECT 1 AS a, 2 AS a, 3 AS "ü\\"', verb="fetch-one").problem(400, "duplicate_columns")
    row = db.run('SELECT 1 AS a, 2 AS b, 3 AS "ü\\"', verb="fetch-one").expect(200).json()["row"]
    assert row["b"] == 2 and row["ü\\"] == 3


def test_statement_that_would_leave_a_transaction_open(db):
    """Rolled back and refused; the pooled connection is clean for the next."""
    db.run("BEGIN", verb="execute").problem(400, "sql_error")
    for _ in range(6):
        db.run("INSERT INTO event (id, kind) SELECT COALESCE(MAX(id), 0) + 1, 'x' FROM event", verb="execute").expect(200)
    assert db.run("SELECT count(*) AS n FROM event").json()["rows"] == [{"n": 6}]
    for text in ("COMMIT", "ROLLBACK"):
        assert db.run(text, verb="execute").status in (200, 400)


def test_large_answers_and_arguments(db):
    big = "ü" * 1000000
    row = db.run("SELECT CAST(? AS TEXT) AS a", [big], "fetch-one").expect(200).json()["row"]
    assert row["a"] == big
    text = "SELECT n AS a FROM generate_series(1, 50000) n" if db.backend.name == "postgres" else \
        "WITH RECURSIVE c(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM c WHERE a < 50000) SELECT a FROM c"
    rows = db.run(text).expect(200).json()
    assert rows["row_count"] == 50000 and rows["rows"][-1] == {"a": 50000}


def test_repeated_statements_after_a_change_of_the_table(db):
    """Cached statements notice DDL: no stale column count, no failure."""
    db.run("INSERT INTO event VALUES (1, 'a', 1)", verb="execute").expect(200)
    for _ in range(8):
        assert db.run("SELECT * FROM event").expect(200).json()["rows"] == [{"id": 1, "kind": "a", "n": 1}]
    db.run("ALTER TABLE event ADD COLUMN extra TEXT", verb="execute").expect(200)
    for _ in range(8):
        assert db.run("SELECT * FROM event").expect(200).json()["rows"] == [{"id": 1, "kind": "a", "n": 1, "extra": None}]


@pytest.mark.parametrize("args", [[{"$bytes": "*"}], [{"$bytes": 5}], [9223372036854775808], [{"$bytes": "AA==", "more": 1}]])
def test_arguments_that_do_not_fit(sqlite_conn, args):
    answer = sql(sqlite_conn.client, "SELECT ? AS a", args, using=sqlite_conn.name)
    if len(args) == 1 and args[0] == {"$bytes": "AA==", "more": 1}:
        assert json.loads(answer.expect(200).json()["rows"][0]["a"]) == args[0]
        return
    answer.problem(422, "invalid_value")
    assert answer.pointers() == ["/args/0"]


def test_local_settings_stay_in_their_transaction(postgres_conn):
    """RAW-17."""
    inside = postgres_conn.client.transaction(using=postgres_conn.name)
    sql(inside, "SELECT set_config('request.jwt.claims', $1, true)", ['{"sub": 1}']).expect(200)
    assert sql(inside, "SELECT current_setting('request.jwt.claims') AS c").json()["rows"] == [{"c": '{"sub": 1}'}]
    inside.post(f"/v1/transactions/{inside.headers['Ferro-Transaction']}/commit").expect(200)
    row = sql(postgres_conn.client, "SELECT current_setting('request.jwt.claims', true) AS c", using=postgres_conn.name).json()["rows"][0]
    assert row["c"] in (None, "")


def test_sqlite_may_not_reach_other_files(sqlite_conn, tmp_path):
    for text in (f"ATTACH '{tmp_path}/x.db' AS x", f"VACUUM INTO '{tmp_path}/y.db'", "SELECT load_extension('x')"):
        answer = sql(sqlite_conn.client, text, using=sqlite_conn.name, verb="execute")
        assert answer.status in (400, 403), answer.body
    assert list(tmp_path.iterdir()) == []
    assert placeholder(sqlite_conn.backend) == "?"


def test_max_affected(db):
    db.run("INSERT INTO event VALUES (1, 'a', 1), (2, 'b', 2)", verb="execute").expect(200)
    def run(text, prefer):
        return db.client.post("/v1/sql/execute", {"sql": text, "using": db.name}, headers={"Prefer": prefer})
    problem = run("UPDATE event SET n = 9", "max-affected=1").problem(409, "max_affected_exceeded")
    assert problem["outcome"] == "rolled_back"
    assert db.run("SELECT n FROM event ORDER BY id").json()["rows"] == [{"n": 1}, {"n": 2}]
    answer = run("UPDATE event SET n = 9", "max-affected=2").expect(200)
    assert answer.json()["rows_affected"] == 2 and answer.header("Preference-Applied") == "max-affected=2"


@pytest.mark.parametrize("verb, media", [("fetch-all", "application/json"), ("fetch-all", "application/x-ndjson"), ("fetch-all", "text/csv"),
                                         ("fetch-one", "application/json")])
def test_max_affected_of_what_answers_rows(db, verb, media):
    """It was heeded by execute alone: the same statement that tells what it changed went ahead without its guard."""
    db.run("INSERT INTO event VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3)", verb="execute").expect(200)
    def run(text, bound):
        return db.client.post(f"/v1/sql/{verb}", {"sql": text, "using": db.name}, headers={"Prefer": f"max-affected={bound}", "Accept": media})
    for text in ("DELETE FROM event RETURNING id", "UPDATE event SET n = 9 RETURNING id", "INSERT INTO event SELECT id + 10, kind, n FROM event RETURNING id"):
        problem = run(text, 2).problem(409, "max_affected_exceeded")
        assert problem["outcome"] == "rolled_back"
        assert db.run("SELECT id, n FROM event ORDER BY id").json()["rows"] == [{"id": n, "n": n} for n in (1, 2, 3)]
    assert run("SELECT id FROM event", 0).expect(200).header("Preference-Applied") == "max-affected=0"
    answer = run("DELETE FROM event WHERE id > 1 RETURNING id", 2).expect(200)
    assert answer.header("Preference-Applied") == "max-affected=2"
    assert db.run("SELECT id FROM event").json()["rows"] == [{"id": 1}]
