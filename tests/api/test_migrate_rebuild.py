"""SQLite's table rebuild: what it changes, what it leaves, and that the database is whole afterwards."""
import sqlite3

import pytest

from support.schema import column, columns_of, introspect, migrate, model, quiet, register, run, whole_schema
from support.tables import sql


def sound(backend):
    assert run(backend, "PRAGMA integrity_check") == [["ok"]] and run(backend, "PRAGMA foreign_key_check") == []


def scripted(backend, text):
    with sqlite3.connect(backend.path) as db:
        db.executescript(text)
    db.close()


def keys_are_enforced(conn):
    """On every connection of the pool, also the one that rebuilt."""
    for _ in range(6):
        sql(conn.client, "INSERT INTO child (parent_id) VALUES (999)", using=conn.name, verb="execute").problem(
            409, "foreign_key_violation")


FAMILY = """
    CREATE TABLE parent (id INTEGER PRIMARY KEY AUTOINCREMENT, name varchar NOT NULL, n varchar, legacy text UNIQUE,
                         st text DEFAULT 'new' CHECK (st <> 'never'), CONSTRAINT both UNIQUE (name, n));
    CREATE TABLE child (id INTEGER PRIMARY KEY, parent_id integer REFERENCES parent (id) ON DELETE CASCADE, plain integer);
    CREATE INDEX my_index ON parent (name) WHERE n IS NOT NULL;
    CREATE INDEX idx_parent_n ON parent (n);
    CREATE TABLE log (what text);
    CREATE TRIGGER on_parent AFTER INSERT ON parent BEGIN INSERT INTO log VALUES ('in ' || new.name); END;
    CREATE VIEW names AS SELECT name, n FROM parent;
    INSERT INTO parent (id, name, n, legacy) VALUES (1, 'a', '10', 'x'), (7, 'b', '20', 'y'), (9, 'gone', '30', 'z');
    INSERT INTO child VALUES (1, 1, 5), (2, 7, 6);
    DELETE FROM parent WHERE id = 9;
    DELETE FROM log;
"""
PARENT = model("Parent", column("name"), column("n", "integer", nullable=False, index=True), column("st", db_type="text"),
               column("owner_id", "integer"), foreign_keys=[{"column": "owner_id", "to_table": "child"}])
CHILD = model("Child", column("parent_id", "integer"), column("plain", "integer"),
              foreign_keys=[{"column": "parent_id", "to_table": "parent"}])


def test_a_rebuild_keeps_everything_else(sqlite_conn):
    conn, backend = sqlite_conn, sqlite_conn.backend
    scripted(backend, FAMILY)
    register(conn.client, PARENT, CHILD)
    plain = migrate(conn)
    assert {w["code"] for w in plain["warnings"]} >= {"type_drift", "nullability_drift"}
    dry = migrate(conn, rebuild=True, destructive=True, dry_run=True)
    before = whole_schema(backend)
    answer = migrate(conn, rebuild=True, destructive=True, plan_hash=dry["plan_hash"])
    assert answer["changes"] == dry["changes"] and {c["kind"] for c in answer["changes"]} == {"rebuild_table"}
    copied = [c for c in answer["changes"] if c["statement"].startswith("INSERT INTO \"_ferro_new_parent\"")]
    assert [(c["rewrites"], c["loses_data"], c["rows_affected"], c["lock"]) for c in copied] == [(True, True, 2, "EXCLUSIVE")]
    assert columns_of(backend, "parent") == {
        "id": "integer", "name": "varchar", "n": "integer", "st": "text", "owner_id": "integer"}
    assert run(backend, "SELECT id, name, n, typeof(n), st FROM parent ORDER BY id") == [
        ["1", "a", "10", "integer", "new"], ["7", "b", "20", "integer", "new"]]
    assert run(backend, "SELECT parent_id FROM child ORDER BY id") == [["1"], ["7"]], "nothing was cascaded"
    assert run(backend, "SELECT * FROM log") == [] and run(backend, "SELECT name FROM names ORDER BY 1") == [["a"], ["b"]]
    kept = [row for row in before if row[1] in ("my_index", "on_parent", "names", "child", "log")]
    assert [row for row in whole_schema(backend) if row[1] in ("my_index", "on_parent", "names", "child", "log")] == kept
    fks = run(backend, 'SELECT "table", "from", "to", on_delete FROM pragma_foreign_key_list(\'parent\')')
    assert fks == [["child", "owner_id", "id", "CASCADE"]]
    sound(backend)
    run(backend, "INSERT INTO parent (name, n) VALUES ('c', 3)")
    assert run(backend, "SELECT id FROM parent WHERE name = 'c'") == [["10"]], "ids of deleted rows do not come again"
    assert run(backend, "SELECT what FROM log") == [["in c"]]
    keys_are_enforced(conn)
    for options in ({"rebuild": True, "destructive": True}, {"destructive": True}):
        again = migrate(conn, **options)
        assert again["statements"] == []
        assert sorted(w["code"] for w in again["warnings"]) == ["check_not_in_model", "default_not_in_model", "unique_not_in_model"]


def test_a_check_and_a_key_by_rebuild(sqlite_conn):
    conn, backend = sqlite_conn, sqlite_conn.backend
    scripted(backend, "CREATE TABLE owner (id INTEGER PRIMARY KEY); CREATE TABLE doc (id INTEGER PRIMARY KEY, kind text);"
                      "INSERT INTO doc VALUES (1, 'pdf')")
    wanted = model("Doc", column("kind", db_type="text"), column("owner_id", "integer"),
                   foreign_keys=[{"column": "owner_id", "to_table": "owner", "on_delete": "SET NULL"}],
                   checks=[{"column": "kind", "values": ["'pdf'"]}])
    register(conn.client, model("Owner"), wanted)
    answer = migrate(conn, rebuild=True)
    assert answer["warnings"] == []
    for bad in ("INSERT INTO doc (kind) VALUES ('x')", "INSERT INTO doc (owner_id) VALUES (4)"):
        assert sql(conn.client, bad, using=conn.name, verb="execute").status in (409, 422)
    sound(backend)
    quiet(conn)


def test_what_the_rows_refuse(sqlite_conn):
    """A failure in the copy: nothing changed, foreign keys are enforced as before."""
    conn, backend = sqlite_conn, sqlite_conn.backend
    scripted(backend, FAMILY)
    run(backend, "UPDATE parent SET n = NULL WHERE id = 1")
    before = whole_schema(backend)
    register(conn.client, PARENT, CHILD)
    problem = conn.client.post("/v1/migrate", {**conn.using, "rebuild": True}).problem(422, "migration_refused")
    assert (problem["table"], problem["sqlstate"], problem["outcome"]) == ("parent", "23502", "rolled_back")
    assert whole_schema(backend) == before and run(backend, "SELECT count(*) FROM parent") == [["2"]]
    keys_are_enforced(conn)
    sound(backend)


def test_broken_references_stop_a_rebuild(sqlite_conn):
    conn, backend = sqlite_conn, sqlite_conn.backend
    scripted(backend, FAMILY + "INSERT INTO child VALUES (5, 4711, 1);")
    before = whole_schema(backend)
    register(conn.client, PARENT, CHILD)
    problem = conn.client.post("/v1/migrate", {**conn.using, "rebuild": True}).problem(422, "migration_refused")
    assert problem["table"] == "child" and "parent" in problem["detail"] and problem["outcome"] == "rolled_back"
    assert whole_schema(backend) == before
    keys_are_enforced(conn)


def test_what_only_the_text_says_is_kept(sqlite_conn):
    """COLLATE, deferrable keys, ON CONFLICT, generated columns, DESC keys, STRICT, WITHOUT ROWID: to the letter."""
    conn, backend = sqlite_conn, sqlite_conn.backend
    bodies = ["code text COLLATE NOCASE UNIQUE, n varchar, id INTEGER PRIMARY KEY",
              "id INTEGER PRIMARY KEY, n varchar, code text REFERENCES t0 (code) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED",
              "id INTEGER PRIMARY KEY ON CONFLICT IGNORE, n varchar, code text UNIQUE ON CONFLICT REPLACE",
              "id INTEGER PRIMARY KEY, n varchar, code text AS (n || 'x'), twice AS (n * 2) STORED",
              "id INTEGER, n varchar, code text, PRIMARY KEY (id DESC)"]
    for i, body in enumerate(bodies):
        scripted(backend, f"CREATE TABLE t{i} ({body}); INSERT INTO t{i} (id, n) VALUES (1, '5')")
    scripted(backend, "CREATE TABLE t5 (id INTEGER PRIMARY KEY, n text, code text) STRICT; INSERT INTO t5 VALUES (1, '5', 'a');"
                      "CREATE TABLE t6 (id INTEGER PRIMARY KEY, n varchar, code text) WITHOUT ROWID; INSERT INTO t6 VALUES (1, '5', 'a')")
    register(conn.client)
    introspect(conn, register=True)
    wanted = [m for m in conn.client.get("/v1/models").json()["payload"]["models"]]
    for one in wanted:
        for c in one["columns"]:
            if c["name"] == "n":
                c.update(logical_type="integer", nullable=False)
                c.pop("db_type", None)
    register(conn.client, *wanted)
    answer = migrate(conn, rebuild=True)
    assert answer["warnings"] == []
    texts = {row[1]: row[3] for row in whole_schema(backend) if row[0] == "table"}
    for i, words in enumerate(["COLLATE NOCASE", "ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED",
                               "ON CONFLICT REPLACE", "AS (n * 2) STORED", "id DESC", "STRICT", "WITHOUT ROWID"]):
        assert words in texts[f"t{i}"] and "NOT NULL" in texts[f"t{i}"]
        assert run(backend, f"SELECT n, typeof(n) FROM t{i}") == [["5", "integer"]]
    assert "PRIMARY KEY ON CONFLICT IGNORE" in texts["t2"]
    assert run(backend, "SELECT code, twice FROM t3") == [["5x", "10"]]
    sound(backend)
    quiet(conn, rebuild=True)


def test_in_memory(client):
    """The writer's turn, the settings and the checks on a database without a file."""
    client.post("/v1/connections", {"name": "mem", "url": "sqlite::memory:"}).expect(201)
    sql(client, "CREATE TABLE doc (id INTEGER PRIMARY KEY, n varchar)", using="mem", verb="execute").expect(200)
    sql(client, "INSERT INTO doc VALUES (1, '5')", using="mem", verb="execute").expect(200)
    register(client, model("Doc", column("n", "integer")))
    answer = client.post("/v1/migrate", {"using": "mem", "rebuild": True}).expect(200).json()
    assert answer["applied"] and answer["warnings"] == []
    assert sql(client, "SELECT n FROM doc", using="mem").json()["rows"] == [{"n": 5}]
    client.delete("/v1/connections/mem").expect(204)


@pytest.mark.parametrize("live, wanted, becomes", [
    ("INT", {"logical_type": "string", "db_type": "text"}, "text"),
    ("INT", {"logical_type": "number"}, "double"),
    ("NVARCHAR(9)", {"logical_type": "integer", "db_type": "integer"}, "integer"),
    ("NVARCHAR(9)", {"db_type": "varchar(5)"}, "varchar(5)"),
    ("NVARCHAR(9)", {"db_type": "varchar(19)"}, "varchar(19)"),
    ("CLOB", {"logical_type": "integer", "db_type": "integer"}, "integer"),
    ("DOUBLE PRECISION", {"logical_type": "integer", "db_type": "integer"}, "integer"),
    ("DECIMAL(5,2)", {"logical_type": "string", "db_type": "text"}, "text"),
    ("DECIMAL(5,2)", {"db_type": "numeric(5,1)"}, "numeric(5,1)"),
    ("MEDIUMINT(4)", {"logical_type": "boolean"}, None),
    ("NVARCHAR(9)", {"db_type": "varchar(9)"}, None),
    ("DECIMAL( 5, 2 )", {"db_type": "numeric(5,2)"}, None)])
def test_a_type_that_is_changed_in_an_introspected_model_is_that_of_the_table(sqlite_conn, live, wanted, becomes):
    """Whoever edits such a model need not know of `sqlite_type`, which says the old one: what is left of it is what still fits."""
    conn = sqlite_conn
    run(conn.backend, f"CREATE TABLE t (id integer PRIMARY KEY, v {live});\nINSERT INTO t (v) VALUES (NULL)")
    found = introspect(conn)["payload"]["models"]
    next(c for c in found[0]["columns"] if c["name"] == "v").update(wanted)
    register(conn.client, *found)
    for options in ({"rebuild": True}, {"rebuild": True, "destructive": True}):
        migrate(conn, **options)
        assert conn.client.post("/v1/migrate", {**conn.using, **options}).expect(200).json()["statements"] == [], "it is done once"
    declared = run(conn.backend, "SELECT type FROM pragma_table_info('t') WHERE name = 'v'")[0][0]
    assert declared.lower() == (becomes or live).lower()
