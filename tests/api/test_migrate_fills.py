"""What fills a column by itself differs between model and database: each difference is a statement or a warning, and once it
is mended nothing is said any more."""
import pytest

from support.schema import column, introspect, migrate, model, register, run


def live(conn, sql, **changes):
    """The database's own models after the SQL, with columns changed: {column: members}; a member None goes."""
    run(conn.backend, sql)
    found = introspect(conn)["payload"]["models"]
    for one in found:
        for each in one["columns"]:
            for key, value in changes.get(each["name"], {}).items():
                each.pop(key, None)
                if value is not None:
                    each[key] = value
    register(conn.client, *found)
    return found


def planned(conn, **options):
    answer = migrate(conn, dry_run=True, **options)
    return answer["statements"], [(w["code"], w.get("column")) for w in answer["warnings"]]


DEFAULTS = ["7", "'x'", "CURRENT_TIMESTAMP", "(1 + 1)", "-3"]


@pytest.mark.parametrize("default", DEFAULTS)
def test_what_was_read_is_no_difference(conn, default):
    kind = {"'x'": "text", "CURRENT_TIMESTAMP": "timestamp"}.get(default, "integer")
    live(conn, f"CREATE TABLE t (id integer PRIMARY KEY, a {kind} DEFAULT {default}, b numeric(8,3))")
    assert planned(conn) == ([], [])


@pytest.mark.parametrize("made, wanted", [("5", "6"), ("'x'", "'y'"), (None, "6"), ("CURRENT_TIMESTAMP", "'2026-01-01T00:00:00'")])
def test_another_default(conn, made, wanted):
    kind = {"'x'": "text", "CURRENT_TIMESTAMP": "timestamp"}.get(made, "integer")
    live(conn, f"CREATE TABLE t (id integer PRIMARY KEY, a {kind} {f'DEFAULT {made}' if made else ''});\nINSERT INTO t (id) VALUES (1)",
         a={"default_sql": wanted, "database_default": True})
    if conn.backend.name == "postgres":
        assert planned(conn) == ([f'ALTER TABLE "t" ALTER COLUMN "a" SET DEFAULT {wanted}'], [])
        assert [c["kind"] for c in migrate(conn)["changes"]] == ["set_default"]
    else:
        assert planned(conn) == ([], [("default_drift", "a")])
        assert migrate(conn, rebuild=True)["statements"]
    assert planned(conn) == ([], []), "and it is one now"
    conn.client.post("/v1/sql/execute", {"sql": "INSERT INTO t (id) VALUES (2)", **conn.using}).expect(200)
    rows = conn.client.post("/v1/sql/fetch-all", {"sql": "SELECT id, a FROM t ORDER BY id", **conn.using}).expect(200).json()["rows"]
    assert str(rows[1]["a"]).replace(" ", "T").startswith(wanted.strip("'")), rows
    assert rows[0]["a"] != rows[1]["a"] or made == wanted


@pytest.mark.parametrize("spelled", ["now()", "NOW( )", "pg_catalog.now()", "(now())", "now()::timestamp"])
def test_the_database_keeps_it_in_words_of_its_own(postgres_conn, spelled):
    live(postgres_conn, "CREATE TABLE t (id integer PRIMARY KEY, a timestamp DEFAULT now(), b text DEFAULT 'x', c integer DEFAULT -1)",
         a={"default_sql": spelled}, b={"default_sql": "'x'"}, c={"default_sql": "-1"})
    assert planned(postgres_conn) == ([], [])


LITERALS = [
    ("timestamp", "'2026-01-01'"), ("timestamp with time zone", "'2026-01-01'"), ("timestamp", "timestamp '2026-01-01'"),
    ("date", "'Jan 2, 2026'"), ("interval", "'90 minutes'"), ("numeric", "1.50"), ("numeric", "'1.50'"), ("numeric(8,3)", "1.5"),
    ("numeric", "1e3"), ("double precision", "1.50"), ("integer", "'7'"), ("bigint", "5000000000"), ("boolean", "'t'"), ("boolean", "TRUE"),
    ("jsonb", "'{}'"), ("jsonb", """'{"a":1,  "b":[1,2]}'"""), ("json", """'{"a":1}'"""), ("text[]", "'{ a, b }'"), ("integer[]", "'{1, 2}'::integer[]"),
    ("bytea", "'abc'"), ("uuid", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'"), ("text", "'it''s'"), ("text", "E'a\\nb'"), ("text", "NULL"),
    ("varchar(5)", "'ab'"), ("char(5)", "'ab'"), ("bit(3)", "B'101'"), ("inet", "'10.0.0.1/32'")]


@pytest.mark.parametrize("kind, spelled", LITERALS)
def test_a_literal_in_other_words_is_set_once(postgres_conn, kind, spelled):
    live(postgres_conn, f"CREATE TABLE t (id integer PRIMARY KEY, a {kind})", a={"default_sql": spelled, "database_default": True})
    migrate(postgres_conn)
    assert planned(postgres_conn) == ([], [])
    assert migrate(postgres_conn)["statements"] == []


@pytest.mark.parametrize("kind, made, wanted", [
    ("timestamp", "'2026-01-01'", "'2026-01-02'"), ("jsonb", "'{}'", "'[]'"), ("numeric", "1.5", "1.51"), ("boolean", "'t'", "'f'"),
    ("text", "'now()'", "now()"), ("text", "'a'", "'A'"), ("text", "'a '", "'a'")])
def test_another_literal_is_another(postgres_conn, kind, made, wanted):
    live(postgres_conn, f"CREATE TABLE t (id integer PRIMARY KEY, a {kind} DEFAULT {made})", a={"default_sql": wanted})
    assert planned(postgres_conn) == ([f'ALTER TABLE "t" ALTER COLUMN "a" SET DEFAULT {wanted}'], [])


def test_a_literal_that_the_type_refuses_is_said(postgres_conn):
    live(postgres_conn, "CREATE TABLE t (id integer PRIMARY KEY, a date DEFAULT '2026-01-01')", a={"default_sql": "'2026-13-45'"})
    for dry_run in (True, False):
        answer = postgres_conn.client.post("/v1/migrate", {**postgres_conn.using, "dry_run": dry_run})
        assert "t.a" in answer.problem(422, "invalid_value")["detail"]


ALONE = ["5", "'x'", "CURRENT_TIMESTAMP", "(1 + 1)"]


@pytest.mark.parametrize("default", ALONE)
def test_a_default_that_only_the_database_has(conn, default):
    """Said at every pass, whatever it may do, until the model says that there is one; and never taken away."""
    kind, logical = {"'x'": ("varchar", "string"), "CURRENT_TIMESTAMP": ("timestamp", "datetime")}.get(default, ("integer", "integer"))
    db_type = {"db_type": "timestamp"} if logical == "datetime" else {}
    run(conn.backend, f"CREATE TABLE t (id integer PRIMARY KEY, a {kind} DEFAULT {default}, b integer DEFAULT NULL, c integer)")
    register(conn.client, model("T", column("a", logical, **db_type), column("b", "integer"), column("c", "integer"), table_name="t"))
    for options in ({}, {"destructive": True}, {"rebuild": True}):
        assert planned(conn, **options) == ([], [("default_not_in_model", "a")]), options
    register(conn.client, model("T", column("a", logical, **db_type), column("b", "integer"), column("c", "integer", nullable=False), table_name="t"))
    assert ("default_not_in_model", "a") in planned(conn, rebuild=True)[1], "and beside a rebuild"
    for known in ({"database_default": True}, {"default_sql": default}):
        register(conn.client, model("T", column("a", logical, **db_type, **known), column("b", "integer"), column("c", "integer"), table_name="t"))
        assert planned(conn) == ([], []), known


@pytest.mark.parametrize("logical, value", [("integer", 5), ("string", "x"), ("boolean", True), ("number", 1.5), ("datetime", "2026-01-02T03:04:05Z")])
def test_the_default_that_backfilled_a_column(conn, logical, value):
    """SQLite keeps it, and the application gives the same: nothing to say."""
    run(conn.backend, "CREATE TABLE t (id integer PRIMARY KEY);\nINSERT INTO t VALUES (1)")
    register(conn.client, model("T", column("a", logical, default=value, nullable=False), table_name="t"))
    migrate(conn)
    assert planned(conn) == ([], [])
    assert conn.client.get("/v1/models/T/records/1", params=conn.using).expect(200).json()["a"] == value


def test_counting_keys_are_no_default_that_the_model_lacks(postgres_conn):
    run(postgres_conn.backend, "CREATE SEQUENCE s; CREATE TABLE t (id bigint DEFAULT nextval('s') PRIMARY KEY, n serial)")
    register(postgres_conn.client, {"model_name": "T", "columns": [
        {"name": "id", "logical_type": "integer", "db_type": "bigint", "primary_key": True}, column("n", "integer", nullable=False)]})
    assert planned(postgres_conn) == ([], [])


def test_a_column_that_is_added_fills_itself(conn):
    run(conn.backend, "CREATE TABLE t (id integer PRIMARY KEY);\nINSERT INTO t VALUES (1)")
    register(conn.client, model("T", column("a", "integer", default_sql="7", database_default=True, nullable=False),
                                column("b", "integer", default_sql="(id * 2)", generated="always", stored=False if conn.backend.name == "sqlite" else None,
                                       nullable=True), table_name="t"))
    migrate(conn)
    assert planned(conn) == ([], [])
    conn.client.post("/v1/sql/execute", {"sql": "INSERT INTO t (id) VALUES (2)", **conn.using}).expect(200)
    rows = conn.client.post("/v1/sql/fetch-all", {"sql": "SELECT id, a, b FROM t ORDER BY id", **conn.using}).expect(200).json()["rows"]
    assert rows == [{"id": 1, "a": 7, "b": 2}, {"id": 2, "a": 7, "b": 4}]


def test_sqlite_adds_by_rebuild_what_alter_table_does_not(sqlite_conn):
    conn = sqlite_conn
    run(conn.backend, "CREATE TABLE t (id integer PRIMARY KEY);\nINSERT INTO t VALUES (1)")
    register(conn.client, model("T", column("a", "integer", default_sql="(1 + 6)", database_default=True, nullable=False),
                                column("b", "integer", default_sql="(id * 2)", generated="always", nullable=True), table_name="t"))
    problem = conn.client.post("/v1/migrate", {**conn.using, "dry_run": True})
    said = problem.json()
    assert problem.status == 422 or {w["column"] for w in said["warnings"]} == {"a", "b"}, said


@pytest.mark.parametrize("members, made", [
    ({"default_sql": "(id * 3)"}, "integer GENERATED ALWAYS AS (id * 2) STORED"),
    ({"generated": None, "read_only": None, "default_sql": None, "database_default": None}, "integer GENERATED ALWAYS AS (id * 2) STORED"),
    ({"generated": "always", "default_sql": "(id * 2)"}, "integer")])
def test_computed_columns(conn, members, made):
    live(conn, f"CREATE TABLE t (id integer PRIMARY KEY, a {made})", a=members)
    assert planned(conn) == ([], [("generated_drift", "a")])


@pytest.mark.parametrize("spelled", ["(id * 2)", "id*2", "( ID * 2 )"])
def test_computed_alike(conn, spelled):
    live(conn, "CREATE TABLE t (id integer PRIMARY KEY, a integer GENERATED ALWAYS AS (id * 2) STORED)", a={"default_sql": spelled})
    assert planned(conn) == ([], [])


@pytest.mark.parametrize("made, wanted, statement", [
    ("GENERATED ALWAYS AS IDENTITY", "identity", "SET GENERATED BY DEFAULT"),
    ("GENERATED BY DEFAULT AS IDENTITY", "identity_always", "SET GENERATED ALWAYS")])
def test_identities(postgres_conn, made, wanted, statement):
    live(postgres_conn, f"CREATE TABLE t (id integer {made} PRIMARY KEY)", id={"generated": wanted, "database_default": True})
    assert planned(postgres_conn) == ([f'ALTER TABLE "t" ALTER COLUMN "id" {statement}'], [])
    assert [c["kind"] for c in migrate(postgres_conn)["changes"]] == ["set_identity"]
    assert planned(postgres_conn) == ([], [])


def test_no_identity_is_made(postgres_conn):
    """It would count from 1, and the next row collide."""
    live(postgres_conn, "CREATE TABLE t (id integer PRIMARY KEY);\nINSERT INTO t VALUES (1)", id={"generated": "identity", "database_default": True})
    assert planned(postgres_conn) == ([], [("identity_drift", "id")])


@pytest.mark.parametrize("wanted, loses", [("numeric(8,1)", True), ("numeric(8,4)", False), ("numeric(10,3)", False), ("numeric(5,3)", True)])
def test_digits_and_places(postgres_conn, wanted, loses):
    live(postgres_conn, "CREATE TABLE t (id integer PRIMARY KEY, a numeric(8,3));\nINSERT INTO t VALUES (1, 123.456), (2, NULL)", a={"db_type": wanted})
    statements, warnings = planned(postgres_conn)
    if loses:
        assert (statements, warnings) == ([], [("would_lose_data", "a")])
        return
    assert statements == [f'ALTER TABLE "t" ALTER COLUMN "a" TYPE {wanted} USING "a"::{wanted}'] and warnings == []
    migrate(postgres_conn)
    assert planned(postgres_conn) == ([], [])
    assert introspect(postgres_conn)["payload"]["models"][0]["columns"][0]["db_type"] == wanted


def test_digits_and_places_are_made(postgres_conn):
    live(postgres_conn, "CREATE TABLE t (id integer PRIMARY KEY, a numeric(8,3), b numeric)")
    run(postgres_conn.backend, "DROP TABLE t")
    postgres_conn.client.post("/v1/create-tables", postgres_conn.using).expect(200)
    assert [c.get("db_type") for c in introspect(postgres_conn)["payload"]["models"][0]["columns"]][:2] == ["numeric(8,3)", None]
    assert planned(postgres_conn) == ([], [])
