"""Creating and migrating tables (reference 7, cases DDL-* and MIG-*). SQLite's rebuilds: test_migrate_rebuild.py;
locks, several servers, large tables: test_migrate_together.py."""
import json
import pathlib
import threading

import pytest

from support.schema import column, columns_of, indexes_of, migrate, model, quiet, register, run, whole_schema
from support.tables import insert, query, sql

VECTORS = pathlib.Path(__file__).resolve().parents[1] / "golden/vectors"


def create(conn, *models):
    register(conn.client, *models)
    return conn.client.post("/v1/create-tables", conn.using).expect(200).json()


def rows(conn, name, **more):
    return query(conn.client, name, using=conn.name, order_by=[{"column": "id"}], **more).expect(200).json()["rows"]


def is_sqlite(conn):
    return conn.backend.name == "sqlite"


# ---- creating ----

def test_create_tables_twice(conn):
    answer = create(conn, model("Thing", column("name", nullable=False, index=True), column("code", unique=True)))
    assert answer["applied"] and answer["warnings"] == []
    assert answer["statements"][0].startswith('CREATE TABLE IF NOT EXISTS "thing" ( ')
    assert answer["statements"][1:] == ['CREATE INDEX IF NOT EXISTS "idx_thing_name" ON "thing" ("name")']
    again = conn.client.post("/v1/create-tables", conn.using).expect(200).json()
    assert again == {"statements": [], "warnings": [], "applied": True}
    quiet(conn)
    register(conn.client, model("Thing", column("name")), model("Late", column("greeting")))
    assert len(conn.client.post("/v1/create-tables", conn.using).expect(200).json()["statements"]) == 1
    insert(conn.client, conn.name, "Late", [{"greeting": "hello"}])
    assert rows(conn, "Late") == [{"id": 1, "greeting": "hello"}]


def test_connect_runs_the_same_pass(server, client, backend):
    register(client, model("Flagged", column("name")))
    url = {"url": backend.url}
    answer = client.post("/v1/connections", {"name": "flag1", **url, "auto_migrate": True}).expect(201).json()
    assert len(answer["migration"]["statements"]) == 1 and answer["migration"]["pool_refreshed"]
    register(client, model("Flagged", column("name"), column("more", "date")))
    answer = client.post("/v1/connections", {"name": "flag2", **url, "auto_migrate": True}).expect(201).json()
    assert answer["migration"]["statements"] == []
    answer = client.post("/v1/connections", {"name": "flag3", **url, "migrate_updates": True}).expect(201).json()
    assert [c["kind"] for c in answer["migration"]["changes"]] == ["add_column"]
    register(client, model("Flagged", column("more", "date")))
    answer = client.post("/v1/connections", {"name": "flag4", **url, "migrate_destructive": True}).expect(201).json()
    assert [c["kind"] for c in answer["migration"]["changes"]] == ["drop_column"]
    assert "migration" not in client.post("/v1/connections", {"name": "flag5", **url}).expect(201).json()
    for n in range(1, 6):
        client.delete(f"/v1/connections/flag{n}").expect(204)


def test_failing_connect_registers_nothing(client, backend):
    register(client, model("Strict", column("name")))
    client.post("/v1/connections", {"name": "bad", "url": backend.url, "auto_migrate": True}).expect(201)
    insert(client, "bad", "Strict", [{"name": "x"}])
    client.delete("/v1/connections/bad").expect(204)
    before = whole_schema(backend)
    register(client, model("Strict", column("name"), column("at", "datetime", nullable=False)), model("Another"))
    failed = {"name": "bad", "url": backend.url, "migrate_updates": True}
    problem = client.post("/v1/connections", failed).problem(422, "migration_refused")
    assert "strict.at" in problem["detail"] and (problem["table"], problem["column"]) == ("strict", "at")
    client.get("/v1/connections/bad").problem(404, "connection_not_found")
    assert whole_schema(backend) == before, "not even the table that was missing"
    client.post("/v1/connections", {"name": "bad", "url": backend.url}).expect(201)
    client.delete("/v1/connections/bad").expect(204)


@pytest.mark.parametrize("vector", ["schema_phase1_fixture_models_v1.json", "schema_invoice_baseline_v1.json"])
def test_the_references_own_tables_have_no_drift(conn, vector):
    """Its CREATE TABLE is ours (tests/golden), but without checks, and for every run with the flags that find drift."""
    envelope = json.loads((VECTORS / vector).read_text())["ir"]
    for m in envelope["payload"]["models"]:
        m["checks"] = []
    conn.client.put("/v1/models", envelope).expect(200)
    run(conn.backend, "CREATE TABLE customer (id integer PRIMARY KEY)")
    ddl = conn.client.get(f"/v1/ddl?dialect={conn.backend.name}").expect(200).text
    run(conn.backend, ddl)
    quiet(conn)
    quiet(conn, destructive=True)
    if is_sqlite(conn):
        quiet(conn, rebuild=True, destructive=True)


def test_a_circle_of_references(conn):
    """MIG-48, and a circle through two tables."""
    def refer(name, to, **more):
        return {"column": name, "to_table": to, **more}
    create(conn,
           model("Employee", column("boss_id", "integer"), column("team_id", "integer"), foreign_keys=[
               refer("boss_id", "employee", on_delete="SET NULL"), refer("team_id", "team")]),
           model("Team", column("lead_id", "integer"), foreign_keys=[refer("lead_id", "employee")]),
           model("Badge", column("employee_id", "integer"), foreign_keys=[refer("employee_id", "employee")]))
    quiet(conn)
    quiet(conn, destructive=True)
    insert(conn.client, conn.name, "Employee", [{"id": 1}, {"id": 2, "boss_id": 1}])
    conn.client.post("/v1/models/Team/records", {"lead_id": 9}, params=conn.using).problem(409, "foreign_key_violation")


# ---- adding ----

def test_added_columns(conn):
    """MIG-02."""
    create(conn, model("MigInvoice", column("number")))
    insert(conn.client, conn.name, "MigInvoice", [{"number": "INV-1"}])
    register(conn.client, model("MigInvoice", column("number"), column("paid_date", "date"), column("memo")))
    answer = migrate(conn)
    assert [(c["kind"], c["column"]) for c in answer["changes"]] == [("add_column", "memo"), ("add_column", "paid_date")]
    assert answer["applied"] and answer["pool_refreshed"] and answer["warnings"] == []
    insert(conn.client, conn.name, "MigInvoice", [{"number": "INV-2", "paid_date": "2026-01-15", "memo": "paid"}])
    assert rows(conn, "MigInvoice") == [
        {"id": 1, "number": "INV-1", "paid_date": None, "memo": None},
        {"id": 2, "number": "INV-2", "paid_date": "2026-01-15", "memo": "paid"}]
    quiet(conn)


def test_no_stale_statement_and_no_stale_map(conn):
    """MIG-03: what was prepared before, and what a session's map held, is gone."""
    create(conn, model("Report", column("title")))
    insert(conn.client, conn.name, "Report", [{"title": "Q1"}])
    session = conn.client.session(**conn.using)
    for _ in range(8):
        assert sql(conn.client, "SELECT * FROM report", using=conn.name).json()["rows"] == [{"id": 1, "title": "Q1"}]
    assert session.get("/v1/models/Report/records/1").expect(200).json() == {"id": 1, "title": "Q1"}
    register(conn.client, model("Report", column("title"), column("summary")))
    migrate(conn)
    for _ in range(8):
        assert sql(conn.client, "SELECT * FROM report", using=conn.name).json()["rows"] == [
            {"id": 1, "title": "Q1", "summary": None}]
    assert session.get("/v1/models/Report/records/1").expect(200).json() == {"id": 1, "title": "Q1", "summary": None}
    session.delete("/v1/session").expect(204)


def test_required_column_without_default(conn):
    """MIG-04, MIG-25; on an empty table there is nothing to fill."""
    create(conn, model("MigStrict"))
    register(conn.client, model("MigStrict", column("created_at", "datetime", nullable=False)))
    assert len(migrate(conn, dry_run=True)["statements"]) == 1
    sql(conn.client, "INSERT INTO migstrict (id) VALUES (1)", using=conn.name, verb="execute").expect(200)
    before = whole_schema(conn.backend)
    problem = conn.client.post("/v1/migrate", conn.using).problem(422, "migration_refused")
    assert "migstrict.created_at" in problem["detail"]
    assert (problem["table"], problem["column"]) == ("migstrict", "created_at")
    assert problem["outcome"] == "rolled_back" and whole_schema(conn.backend) == before
    sql(conn.client, "DELETE FROM migstrict", using=conn.name, verb="execute").expect(200)
    assert len(migrate(conn)["statements"]) == 1
    quiet(conn)


def test_required_column_with_default(conn):
    """MIG-16, MIG-24."""
    create(conn, model("Doc"))
    sql(conn.client, "INSERT INTO doc (id) VALUES (1)", using=conn.name, verb="execute").expect(200)
    register(conn.client, model("Doc", column("status", nullable=False, default="draft")))
    answer = migrate(conn)
    assert answer["changes"][0]["rows_affected"] == 1
    assert len(answer["statements"]) == (1 if is_sqlite(conn) else 2)
    assert rows(conn, "Doc") == [{"id": 1, "status": "draft"}]
    quiet(conn)
    if not is_sqlite(conn):
        found = run(conn.backend, "SELECT is_nullable, column_default FROM information_schema.columns "
                                  "WHERE table_name = 'doc' AND column_name = 'status'")
        assert found == [["NO", ""]]


def test_added_index_unique_and_key(conn):
    """MIG-15, MIG-17, MIG-18, MIG-29, MIG-46, MIG-49."""
    create(conn, model("Client"), model("MigIndexed", column("a"), column("b")))
    insert(conn.client, conn.name, "MigIndexed", [{"a": "x"}, {"a": "y"}])
    wanted = model(
        "MigIndexed", column("a", index=True), column("b"), column("slug", unique=True), column("status", index=True),
        column("client_id", "integer"), foreign_keys=[{"column": "client_id", "to_table": "client"}],
        indexes=[{"columns": ["a", "b"]}])
    register(conn.client, model("Client"), wanted)
    answer = migrate(conn)
    found = indexes_of(conn.backend, "migindexed")
    assert {"idx_migindexed_a", "idx_migindexed_a_b", "idx_migindexed_status"} <= set(found)
    codes = sorted(w["code"] for w in answer["warnings"])
    if is_sqlite(conn):
        assert "uq_migindexed_slug" in found and codes == ["unique_by_index"]
        assert run(conn.backend, "PRAGMA integrity_check") == [["ok"]]
        assert run(conn.backend, "SELECT on_delete FROM pragma_foreign_key_list('migindexed')") == [["CASCADE"]]
    else:
        assert codes == []
        assert run(conn.backend, "SELECT confdeltype FROM pg_constraint WHERE contype = 'f'") == [["c"]]
    quiet(conn)
    quiet(conn, destructive=True)
    assert indexes_of(conn.backend, "migindexed") == found


def test_checks(conn):
    """DDL-24, MIG-45."""
    checked = model("CheckedDoc", column("format", db_type="text"), column("prio", "integer"), checks=[
        {"column": "format", "values": ["'pdf'", "'it''s'"]}, {"column": "prio", "values": ["-1", "2"]}])
    create(conn, checked)
    for body in ({"format": "doc"}, {"prio": 1}):
        conn.client.post("/v1/models/CheckedDoc/records", body, params=conn.using).problem(422, "check_violation")
    insert(conn.client, conn.name, "CheckedDoc", [{"format": "it's", "prio": -1}])
    for _ in range(2):
        assert conn.client.post("/v1/create-tables", conn.using).expect(200).json()["statements"] == []
        quiet(conn, destructive=True)


# ---- dropping ----

def test_extra_column(conn):
    """MIG-12, MIG-32: kept by updates, dropped by destructive, which implies updates."""
    create(conn, model("Note", column("text"), column("legacy_notes")))
    insert(conn.client, conn.name, "Note", [{"text": "keep", "legacy_notes": "old"}])
    register(conn.client, model("Note", column("text"), column("memo")))
    assert [c["kind"] for c in migrate(conn)["changes"]] == ["add_column"]
    assert "legacy_notes" in columns_of(conn.backend, "note")
    answer = migrate(conn, updates=False, destructive=True)
    assert answer["statements"] == ['ALTER TABLE "note" DROP COLUMN "legacy_notes"']
    change = answer["changes"][0]
    assert change["loses_data"] and not change["reversible"] and change["rows_affected"] == 1
    assert rows(conn, "Note") == [{"id": 1, "text": "keep", "memo": None}]
    quiet(conn, destructive=True)


def test_extra_indexes(conn):
    """MIG-13, MIG-19 to MIG-21: ours go when destructive, others' never."""
    create(conn, model("MigIdx", column("old_status", index=True), column("kept"), column("gone", index=True)))
    run(conn.backend, 'CREATE INDEX my_custom_idx ON migidx (kept)')
    insert(conn.client, conn.name, "MigIdx", [{"old_status": "a", "kept": "b", "gone": "c"}])
    quiet(conn)
    register(conn.client, model("MigIdx", column("kept"), column("gone")))
    quiet(conn)
    assert "idx_migidx_gone" in indexes_of(conn.backend, "migidx")
    migrate(conn, destructive=True)
    left = [name for name in indexes_of(conn.backend, "migidx") if "pkey" not in name]
    assert left == ["my_custom_idx"]
    assert rows(conn, "MigIdx") == [{"id": 1, "kept": "b", "gone": "c"}]
    quiet(conn, destructive=True)


def test_primary_keys_are_never_dropped_or_added(conn):
    run(conn.backend, "CREATE TABLE keyed (code varchar(20) NOT NULL PRIMARY KEY, name varchar)")
    register(conn.client, model("Keyed", column("name")))
    problem = conn.client.post("/v1/migrate", {**conn.using, "destructive": True}).problem(422, "migration_refused")
    details = " ".join(error["detail"] for error in problem["errors"])
    assert "keyed.id" in details and "keyed.code" in details and details.count("primary key") == 2


# ---- drift ----

ALL_TYPES = [column(f"c_{n}", logical) for n, logical in enumerate(
    ["integer", "number", "decimal", "boolean", "string", "datetime", "date", "time", "uuid", "binary", "json"])]
ALL_TYPES += [column(f"d_{n}", logical, db_type=token) for n, (logical, token) in enumerate([
    ("string", "text"), ("string", "varchar(40)"), ("integer", "smallint"), ("integer", "int"), ("integer", "bigint"),
    ("uuid", "uuid"), ("datetime", "timestamp"), ("datetime", "timestamptz"), ("date", "date"), ("time", "time"),
    ("number", "double"), ("decimal", "numeric"), ("json", "jsonb"), ("string", "char(5)"), ("binary", "blob")])]


def test_every_type_is_free_of_drift(conn):
    """MIG-08, MIG-10, MIG-11, MIG-22, MIG-35, MIG-47."""
    key = {"name": "id", "logical_type": "uuid", "primary_key": True}
    create(conn, model("Every", *ALL_TYPES), {"model_name": "ByUuid", "columns": [key]})
    for options in ({}, {"destructive": True}, {"rebuild": True, "destructive": True}):
        quiet(conn, **options)


def test_hand_made_types_are_free_of_drift(sqlite_conn):
    """MIG-31, MIG-47: other spellings of one storage class."""
    run(sqlite_conn.backend, "CREATE TABLE hand (id INTEGER PRIMARY KEY, a FLOAT, b NUMERIC(10,2), c DECIMAL, d BOOLEAN, "
                             "e DATETIME, f CHAR(32), g VARCHAR(3), h BIGINT, i JSON)")
    register(sqlite_conn.client, model(
        "Hand", column("a", "number"), column("b", "decimal"), column("c", "decimal"), column("d", "boolean"),
        column("e", "datetime"), column("f", "uuid"), column("g"), column("h", "integer"), column("i", "json")))
    quiet(sqlite_conn)
    quiet(sqlite_conn, rebuild=True, destructive=True)


def test_drift_that_sqlite_cannot_mend_in_place(sqlite_conn):
    """MIG-05, MIG-07, MIG-14, MIG-37."""
    run(sqlite_conn.backend, "CREATE TABLE migdrift (id INTEGER PRIMARY KEY, count varchar, payload text, n integer NOT NULL, "
                             "old_code text UNIQUE)")
    register(sqlite_conn.client, model("MigDrift", column("count", "integer"), column("payload", "binary"),
                                       column("n", "integer")))
    answer = migrate(sqlite_conn)
    assert answer["statements"] == [] and not answer["pool_refreshed"]
    details = {w["column"]: w["detail"] for w in answer["warnings"]}
    assert "migdrift.count" in details["count"]
    assert "expects 'blob'" in details["payload"] and "NOT NULL" in details["n"]
    problem = sqlite_conn.client.post("/v1/migrate", {**sqlite_conn.using, "destructive": True}).problem(
        422, "migration_refused")
    assert "migdrift.old_code" in problem["detail"] and "UNIQUE" in problem["detail"]
    told = [error["detail"] for error in problem["errors"]]
    assert len([text for text in told if text.startswith("warning: ")]) == 3, "warnings are not lost with a refusal"


def test_types_and_nullability_on_postgres(postgres_conn):
    """MIG-09, MIG-16, MIG-30, MIG-40."""
    conn = postgres_conn
    run(conn.backend, "CREATE TABLE event (id serial PRIMARY KEY, total integer NOT NULL, title varchar(10), note text NOT NULL, "
                      "occurred_at timestamp); INSERT INTO event (total, title, note) VALUES (41, 'a', 'b')")
    register(conn.client, model("Event", column("total", "integer", db_type="bigint", nullable=False),
                                column("title", nullable=False), column("note", db_type="text"),
                                column("occurred_at", "datetime")))
    answer = migrate(conn)
    assert [(c["kind"], c["column"], c["rewrites"], c["loses_data"]) for c in answer["changes"]] == [
        ("drop_not_null", "note", False, False), ("alter_type", "title", False, False),
        ("set_not_null", "title", False, False), ("alter_type", "total", True, False)]
    assert 'ALTER TABLE "event" ALTER COLUMN "total" TYPE bigint USING "total"::bigint' in answer["statements"]
    assert {c["lock"] for c in answer["changes"]} == {"ACCESS EXCLUSIVE"}
    assert [(w["code"], w["column"]) for w in answer["warnings"]] == [("timezone_drift", "occurred_at")]
    assert columns_of(conn.backend, "event")["occurred_at"] == "timestamp without time zone"
    assert rows(conn, "Event")[0]["total"] == 41
    again = migrate(conn)
    assert again["statements"] == [] and again["warnings"] == answer["warnings"]


def test_native_enums_on_postgres(postgres_conn):
    conn = postgres_conn
    run(conn.backend, "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TABLE person (id serial PRIMARY KEY, mood mood)")
    register(conn.client, model("Person", column("mood")))
    quiet(conn)
    enum = {"enum_values": ["low", "high"], "enum_type_name": "level", "postgres_native_enum": True}
    register(conn.client, model("Person", column("mood"), column("level", **enum)))
    assert [c["kind"] for c in migrate(conn)["changes"]] == ["create_type", "add_column"]
    assert columns_of(conn.backend, "person")["level"] == "level"
    quiet(conn)


# ---- dry runs and hashes ----

def test_dry_run_and_plan_hash(conn):
    create(conn, model("Plan", column("a")))
    register(conn.client, model("Plan", column("a"), column("b")))
    before = whole_schema(conn.backend)
    dry = migrate(conn, dry_run=True)
    assert not dry["applied"] and not dry["pool_refreshed"] and whole_schema(conn.backend) == before
    assert migrate(conn, dry_run=True)["plan_hash"] == dry["plan_hash"]
    register(conn.client, model("Plan", column("a"), column("b"), column("c")))
    conflict = conn.client.post("/v1/migrate", {**conn.using, "plan_hash": dry["plan_hash"]})
    assert conflict.problem(409, "migration_conflict")["outcome"] == "rolled_back"
    assert whole_schema(conn.backend) == before
    register(conn.client, model("Plan", column("a"), column("b")))
    done = migrate(conn, plan_hash=dry["plan_hash"])
    assert done["applied"] and done["statements"] == dry["statements"] and done["changes"] == dry["changes"]
    conn.client.post("/v1/migrate", {**conn.using, "plan_hash": dry["plan_hash"]}).problem(409, "migration_conflict")
    conn.client.post("/v1/migrate", {**conn.using, "plan_hash": "0" * 63}).problem(400, "invalid_request")
    conn.client.post("/v1/migrate", {**conn.using, "unknown": 1}).problem(400, "invalid_request")


def test_not_inside_a_transaction(conn):
    tx = conn.client.transaction(**conn.using)
    tx.post("/v1/migrate").problem(409, "transactions_open")
    tx.post("/v1/create-tables").problem(409, "transactions_open")
    tx.post(f"/v1/transactions/{tx.headers['Ferro-Transaction']}/rollback").expect(200)


# ---- failures ----

def test_what_the_data_refuses(conn):
    """MIG-50: everything before it is undone, and the answer says which table and column."""
    create(conn, model("Dup", column("code")))
    insert(conn.client, conn.name, "Dup", [{"code": "x"}, {"code": "x"}])
    before = whole_schema(conn.backend)
    register(conn.client, model("Dup", column("code", unique=True), column("extra")), model("Unborn"))
    problem = conn.client.post("/v1/migrate", conn.using).problem(422, "migration_refused")
    assert (problem["table"], problem["column"], problem["sqlstate"]) == ("dup", "code", "23505")
    assert problem["outcome"] == "rolled_back" and "create_index" in problem["detail"]
    assert whole_schema(conn.backend) == before
    run(conn.backend, "UPDATE dup SET code = 'y' WHERE id = 2")
    assert len(migrate(conn)["statements"]) == 3
    quiet(conn)


def test_what_postgres_refuses(postgres_conn):
    conn = postgres_conn
    run(conn.backend, "CREATE TABLE odd (id serial PRIMARY KEY, a text, b integer, n text); "
                      "INSERT INTO odd (a, b) VALUES ('x', 1); CREATE VIEW seen AS SELECT b FROM odd")
    before = whole_schema(conn.backend)
    for columns, state, name in (
            ([column("a", "integer"), column("b", "integer"), column("n", db_type="text")], "22P02", "a"),
            ([column("a", db_type="text"), column("b", "integer", db_type="bigint"), column("n", db_type="text")], "0A000", "b"),
            ([column("a", db_type="text"), column("b", "integer"), column("n", db_type="text", nullable=False)], "23502", "n")):
        register(conn.client, model("Odd", *columns))
        problem = conn.client.post("/v1/migrate", {**conn.using, "destructive": True}).problem(422, "migration_refused")
        assert (problem["table"], problem["column"], problem["sqlstate"]) == ("odd", name, state)
        assert "view seen" in problem["detail"] or name != "b"
        assert problem["outcome"] == "rolled_back" and whole_schema(conn.backend) == before


def test_a_client_that_goes_away_leaves_nothing(conn):
    """Its migration is either done or undone, and the lock is free at once."""
    create(conn, model("Gone", column("a")))
    register(conn.client, model("Gone", column("a"), column("b"), column("c")))
    other = conn.client.clone()

    def start():
        try:
            other.timeout = 0.01
            other.post("/v1/migrate", conn.using)
        except OSError:
            other.close()
    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    migrate(conn)
    quiet(conn)
    assert sorted(columns_of(conn.backend, "gone")) == ["a", "b", "c", "id"]
