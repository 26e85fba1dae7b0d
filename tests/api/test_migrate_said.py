"""Drift of what takes nothing from the rows: what domains and composites are, comments, collations, the form of a unique, the kind of a table."""
import pytest

from support.schema import introspect, migrate, quiet, register, run

POSTGRES = [
    ("CREATE DOMAIN small AS int DEFAULT 1 CHECK (VALUE > 0); CREATE TABLE t (id int PRIMARY KEY, v small)", [
        ("ALTER DOMAIN small DROP CONSTRAINT small_check", "type_drift", "constraints and default"), ("ALTER DOMAIN small SET DEFAULT 5", "type_drift", "constraints and default"),
        ("ALTER DOMAIN small SET NOT NULL", "type_drift", "constraints and default")]),
    ("CREATE TYPE pair AS (a int, b text); CREATE TABLE t (id int PRIMARY KEY, v pair)", [("ALTER TYPE pair ADD ATTRIBUTE c int", "type_drift", "fields")]),
    ('CREATE TABLE t (id int PRIMARY KEY, v text COLLATE "C")', [("ALTER TABLE t ALTER v TYPE text", "collation_drift", "C")]),
    ("CREATE TABLE t (id int PRIMARY KEY, v int UNIQUE DEFERRABLE)", [("ALTER TABLE t DROP CONSTRAINT t_v_key, ADD CONSTRAINT t_v_key UNIQUE (v)", "index_drift", "t_v_key")]),
    ("CREATE TABLE t (id int PRIMARY KEY, v int); CREATE UNIQUE INDEX by_v ON t (v)", [("DROP INDEX by_v; ALTER TABLE t ADD CONSTRAINT by_v UNIQUE (v)", "index_drift", "by_v")]),
]
SQLITE = [
    ("CREATE TABLE t (id integer PRIMARY KEY, v text COLLATE NOCASE)", [("DROP TABLE t;\nCREATE TABLE t (id integer PRIMARY KEY, v text)", "collation_drift", "NOCASE")]),
    ("CREATE TABLE t (id integer PRIMARY KEY, v text)", [("DROP TABLE t;\nCREATE TABLE t (id integer PRIMARY KEY, v text) STRICT", "table_drift", "STRICT")]),
    ("CREATE TABLE t (id text NOT NULL PRIMARY KEY, v text)", [("DROP TABLE t;\nCREATE TABLE t (id text NOT NULL PRIMARY KEY, v text) WITHOUT ROWID", "table_drift", "WITHOUT ROWID")]),
]


def test_what_was_introspected_and_is_otherwise_now_is_told(conn):
    for made, changes in POSTGRES if conn.backend.name == "postgres" else SQLITE:
        for change, code, words in changes:
            run(conn.backend, "DROP TABLE IF EXISTS t")
            if conn.backend.name == "postgres":
                run(conn.backend, "DROP DOMAIN IF EXISTS small; DROP TYPE IF EXISTS pair")
            run(conn.backend, made)
            register(conn.client)
            introspect(conn, register=True)
            quiet(conn)
            run(conn.backend, change)
            for options in ({}, {"destructive": True}):
                answer = migrate(conn, dry_run=True, **options)
                assert answer["statements"] == [] and [w["code"] for w in answer["warnings"]] == [code], (change, answer)
                assert words in answer["warnings"][0]["detail"] and answer["warnings"][0]["table"] == "t", answer


def test_what_a_hand_written_model_leaves_out_is_no_difference(conn):
    """It never spoke of them."""
    if conn.backend.name == "postgres":
        run(conn.backend, """CREATE DOMAIN small AS int CHECK (VALUE > 0); CREATE TABLE t (id int PRIMARY KEY, v text COLLATE "C" UNIQUE, n small);
                             COMMENT ON TABLE t IS 'theirs'; COMMENT ON COLUMN t.v IS 'theirs'""")
    else:
        run(conn.backend, "CREATE TABLE t (id text NOT NULL PRIMARY KEY, v text COLLATE NOCASE UNIQUE, n integer) STRICT, WITHOUT ROWID")
    key = {"name": "id", "logical_type": "integer" if conn.backend.name == "postgres" else "string", "primary_key": True}
    n = {"name": "n", "nullable": True, **({"logical_type": "unknown", "db_type": "small"} if conn.backend.name == "postgres" else {"logical_type": "integer"})}
    register(conn.client, {"model_name": "T", "columns": [key, {"name": "v", "logical_type": "string", "db_type": "text", "nullable": True, "unique": True}, n]})
    quiet(conn)


def test_comments_that_a_model_takes_back_go(postgres_conn):
    conn = postgres_conn
    run(conn.backend, "CREATE TABLE t (id int PRIMARY KEY, v text); COMMENT ON TABLE t IS 'a table'; COMMENT ON COLUMN t.v IS 'a column'")
    register(conn.client)
    models = introspect(conn, register=True)["payload"]["models"]
    quiet(conn)
    del models[0]["comment"], models[0]["columns"][1]["comment"]
    register(conn.client, *models)
    assert migrate(conn)["statements"] == ['COMMENT ON TABLE "t" IS NULL', 'COMMENT ON COLUMN "t"."v" IS NULL']
    quiet(conn)
    assert run(conn.backend, "SELECT count(*) FROM pg_description d JOIN pg_class c ON c.oid = d.objoid AND c.relname = 't'") == [["0"]]


@pytest.mark.parametrize("extra", ["", " DEFERRABLE INITIALLY DEFERRED"])
def test_an_index_becomes_the_constraint_of_the_model(postgres_conn, extra):
    """In place, and a foreign key may point at it from then on as before."""
    conn = postgres_conn
    run(conn.backend, f"CREATE TABLE t (id int PRIMARY KEY, v int, CONSTRAINT uq_t_v UNIQUE (v){extra})")
    register(conn.client)
    introspect(conn, register=True)
    quiet(conn)
    run(conn.backend, "ALTER TABLE t DROP CONSTRAINT uq_t_v; CREATE UNIQUE INDEX other_name ON t (v); INSERT INTO t VALUES (1, 1)")
    assert migrate(conn)["statements"] == [f'ALTER TABLE "t" ADD CONSTRAINT "uq_t_v" UNIQUE USING INDEX "other_name"{extra}']
    quiet(conn)
    assert run(conn.backend, "SELECT contype, condeferred FROM pg_constraint WHERE conname = 'uq_t_v'") == [["u", "t" if extra else "f"]]
