"""What a model says and what the database keeps in words of its own are told apart where they differ, and nowhere else."""
import pytest

from support.schema import column, columns_of, introspect, migrate, model, quiet, register, run
from support.tables import create_tables

CHECKS = [
    "(a + b) * c > 0", "a + b * c > 0", "s IN ('a', 'b')", "s = 'x' OR v LIKE 'a%' AND a BETWEEN 1 AND 3", "v NOT IN ('p', 'q')", "n > 1", "n > -1.5",
    "CASE WHEN a > 1 THEN v = 'x' END", "length(v) BETWEEN 1 AND 5", "lower(v) = v", "NOT (a = 1 AND b = 2)", "coalesce(v, '') <> ''", "v || s <> 'ab'",
    "a % 2 = 0", "(a = 1) = (b = 1)", "b IN (a, c)", "a - (b - c) > 0", "a - b - c > 0", "a IS NOT NULL OR b IS NULL", "v NOT LIKE 'x%'", "a IN (1)", "a != b"]
POSTGRES_CHECKS = [
    "ts > '2026-01-01'", "d > date '2026-01-01'", "j->>'k' = 'v'", "a::text <> v", "f > 1", "big > 5000000000", "v ~ '^a' AND v !~* 'b'", "a IS DISTINCT FROM b",
    "extract(year from d) > 2000", "d::timestamp < ts", "n IN (1, 2.5)", "f IN (1, 2)", "big IN (1, 2)", "v::varchar(3) = 'abc'", "tags @> '{a}'", "tags[1] = 'x'",
    "substring(v from 1 for 2) = 'ab'", "trim(v) <> ''", "position('a' in v) > 0", "v SIMILAR TO 'a%'", "ts < now()", "bo IS TRUE", "v COLLATE \"C\" < 'm'", "ch = 'a'",
    "d - date '2026-01-01' > 3", "ts + interval '1 day' > now()", "r @> 5", "a >= ALL (ARRAY[1, 2])", "num_nonnulls(a, b) = 1", "a = ANY ('{1,2}')",
    "v = ANY ('{x,y}'::text[])", "round(n, 2) = n", "(v, s) = ('a', 'b')", "v = current_user", "v ILIKE 'a%'"]
COLUMNS = "id integer PRIMARY KEY, a integer, b integer, c integer, s text, v varchar(20), n numeric(8,2)"
POSTGRES_COLUMNS = ", ts timestamp, d date, j jsonb, f float8, big bigint, tags text[], bo boolean, ch char(3), r int4range"


def is_sqlite(conn):
    return conn.backend.name == "sqlite"


def made(conn, checks):
    """A table with such checks as somebody writes them, and its model with the same words."""
    clauses = ", ".join(f"CONSTRAINT k{i} CHECK ({check})" for i, check in enumerate(checks))
    run(conn.backend, f"CREATE TABLE t ({COLUMNS}{'' if is_sqlite(conn) else POSTGRES_COLUMNS}, {clauses})")
    payload = introspect(conn)["payload"]["models"][0]
    payload["checks"] = [{"name": f"k{i}", "expression": check} for i, check in enumerate(checks)]
    return payload


def test_checks_are_the_same_however_the_database_spells_them(conn):
    register(conn.client, made(conn, CHECKS if is_sqlite(conn) else CHECKS + POSTGRES_CHECKS))
    quiet(conn)


@pytest.mark.parametrize("lives, wanted", [
    ("(a + b) * c > 0", "a + b * c > 0"), ("a - (b - c) > 0", "a - b - c > 0"), ("(a > 0 OR b > 0) AND c > 0", "a > 0 OR b > 0 AND c > 0"),
    ("NOT (a > 0 AND b > 0)", "NOT a > 0 AND b > 0"), ("s = 'Draft'", "s = 'draft'"), ("s = 'a  b'", "s = 'a b'"), ("a > 0", "a >= 0"),
    ("s IN ('a', 'b')", "s IN ('a', 'b', 'c')"), ("a * (b / c) > 0", "a * b / c > 0")])
def test_checks_that_only_look_the_same_are_told(conn, lives, wanted):
    payload = made(conn, [lives])
    payload["checks"][0]["expression"] = wanted
    register(conn.client, payload)
    answer = migrate(conn)
    assert [c["kind"] for c in answer["changes"]] == ["drop_check", "add_check"] or [w["code"] for w in answer["warnings"]] == ["check_drift"], answer


@pytest.mark.parametrize("lives, wanted", [("(a + b) * 2", "a + b * 2"), ("a - (b - 1)", "a - b - 1")])
def test_computed_columns_that_only_look_the_same_are_told(conn, lives, wanted):
    run(conn.backend, f"CREATE TABLE t (id integer PRIMARY KEY, a integer, b integer, x integer GENERATED ALWAYS AS ({lives}) STORED)")
    payload = introspect(conn, register=True)["payload"]["models"][0]
    quiet(conn)
    [x] = [c for c in payload["columns"] if c["name"] == "x"]
    x["default_sql"] = wanted
    register(conn.client, payload)
    assert [w["code"] for w in migrate(conn)["warnings"]] == ["generated_drift"]


@pytest.mark.parametrize("lives, wanted", [("(1 + 2) * 3", "1 + 2 * 3")])
def test_defaults_that_only_look_the_same_are_told(conn, lives, wanted):
    run(conn.backend, f"CREATE TABLE t (id integer PRIMARY KEY, x integer DEFAULT ({lives}))")
    payload = introspect(conn, register=True)["payload"]["models"][0]
    quiet(conn)
    [x] = [c for c in payload["columns"] if c["name"] == "x"]
    x["default_sql"] = wanted
    register(conn.client, payload)
    answer = migrate(conn)
    assert [c["kind"] for c in answer["changes"]] == ["set_default"] or [w["code"] for w in answer["warnings"]] == ["default_drift"], answer


def test_predicates_of_indexes_that_only_look_the_same_are_told(conn):
    run(conn.backend, "CREATE TABLE t (id integer PRIMARY KEY, a integer, b integer, c integer);\nCREATE INDEX i ON t (a) WHERE (a > 0 OR b > 0) AND c > 0")
    payload = introspect(conn, register=True)["payload"]["models"][0]
    quiet(conn)
    payload["indexes"][0]["where"] = "a > 0 OR b > 0 AND c > 0"
    register(conn.client, payload)
    answer = migrate(conn)
    assert answer["statements"] or answer["warnings"], answer


# ---- places of seconds (PostgreSQL) ----

TIMES = {"a": "timestamp(3)", "b": "timestamptz(0)", "c": "time(2)", "d": "timestamp", "e": "time", "f": "timestamptz"}
KEPT = {"a": "timestamp(3) without time zone", "b": "timestamp(0) with time zone", "c": "time(2) without time zone", "d": "timestamp without time zone",
        "e": "time without time zone", "f": "timestamp with time zone"}


def timed(conn):
    run(conn.backend, f"CREATE TABLE t (id integer PRIMARY KEY, {', '.join(f'{n} {kind}' for n, kind in TIMES.items())}, z timetz(1), l timestamp(3)[])")
    return introspect(conn, register=True)["payload"]["models"][0]


def test_places_of_seconds_are_introspected_and_made(postgres_conn):
    conn = postgres_conn
    columns = {c["name"]: c for c in timed(conn)["columns"]}
    assert {n: columns[n].get("db_type") for n in TIMES} == {"a": "timestamp(3)", "b": "timestamptz(0)", "c": "time(2)", "d": "timestamp", "e": "time", "f": None}
    quiet(conn)
    before = columns_of(conn.backend, "t")
    run(conn.backend, "DROP TABLE t")
    conn.client.post("/v1/create-tables", conn.using).expect(200)
    assert columns_of(conn.backend, "t") == before
    quiet(conn)


@pytest.mark.parametrize("name, kind", [("a", "timestamp(2)"), ("a", "timestamp"), ("b", "timestamptz"), ("c", "time(5)"), ("d", "timestamp(1)"), ("e", "time(0)")])
def test_other_places_of_seconds_are_a_difference(postgres_conn, name, kind):
    conn = postgres_conn
    timed(conn)
    run(conn.backend, f"ALTER TABLE t ALTER COLUMN {name} TYPE {kind}")
    assert [c["kind"] for c in migrate(conn)["changes"]] == ["alter_type"]
    assert columns_of(conn.backend, "t")[name] == KEPT[name]
    quiet(conn)


def test_a_model_that_says_no_type_leaves_it_to_the_database(postgres_conn):
    conn = postgres_conn
    timed(conn)
    run(conn.backend, "ALTER TABLE t ALTER COLUMN f TYPE timestamptz(5)")
    quiet(conn)


def test_places_of_seconds_of_elements_are_a_difference(postgres_conn):
    timed(postgres_conn)
    run(postgres_conn.backend, "ALTER TABLE t ALTER COLUMN l TYPE timestamp(2)[]")
    assert [w["code"] for w in migrate(postgres_conn)["warnings"]] == ["type_drift"]


def test_fewer_places_lose_what_rows_have(postgres_conn):
    conn = postgres_conn
    timed(conn)
    run(conn.backend, "ALTER TABLE t ALTER COLUMN a TYPE timestamp;\nINSERT INTO t (id, a) VALUES (1, '2026-01-01 10:00:00.123')")
    assert migrate(conn)["warnings"] == []
    run(conn.backend, "ALTER TABLE t ALTER COLUMN a TYPE timestamp;\nINSERT INTO t (id, a) VALUES (2, '2026-01-01 10:00:00.123456')")
    answer = migrate(conn)
    assert (answer["statements"], [(w["code"], w["rows"]) for w in answer["warnings"]]) == ([], [("would_lose_data", 1)])
    assert migrate(conn, destructive=True)["changes"][0]["loses_data"]
    quiet(conn)


# ---- defaults that were a moment ----

@pytest.mark.parametrize("kind, logical, default", [("timestamptz", "datetime", "'now'"), ("date", "date", "'today'"), ("date", "date", "'tomorrow'::date")])
def test_a_default_that_was_a_moment_is_not_set_again(postgres_conn, kind, logical, default):
    conn = postgres_conn
    create_tables(conn.client, conn.name, model("T", column("at", logical, default_sql=default)))
    quiet(conn)
    run(conn.backend, "ALTER TABLE t ALTER COLUMN at DROP DEFAULT")
    assert [c["kind"] for c in migrate(conn)["changes"]] == ["set_default"]
    quiet(conn)


def test_what_is_computed_for_each_row_is_no_literal(postgres_conn):
    conn = postgres_conn
    run(conn.backend, "CREATE TABLE t (id integer PRIMARY KEY, at timestamp DEFAULT 'now'::text::timestamp, n integer DEFAULT 1.7::numeric::integer, s text DEFAULT 'abc'::varchar(2))")
    columns = {c["name"]: c for c in introspect(conn, register=True)["payload"]["models"][0]["columns"]}
    assert [columns[n]["default"] for n in ("at", "n", "s")] == [None, None, None], columns
    assert all(columns[n]["database_default"] for n in ("at", "n", "s"))
    quiet(conn)
