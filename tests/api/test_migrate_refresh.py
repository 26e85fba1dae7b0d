"""What a migration leaves behind on connections, sessions and transactions that others hold; and DDL as text."""
from support.schema import column, migrate, model, quiet, register, run
from support.tables import insert, query, sql

ALL = "SELECT * FROM report ORDER BY id"
OLD, NEW = {"id": 1, "title": "Q1"}, {"id": 1, "title": "Q1", "summary": None}


def end(tx, how):
    tx.post(f"/v1/transactions/{tx.headers['Ferro-Transaction']}/{how}").expect(200)


def test_everyone_sees_the_new_schema(conn):
    """The maps of all sessions of the connection are cleared, and no prepared statement sees the old schema: not even in a
    transaction that was open all the time, which at worst is told to try again."""
    register(conn.client, model("Report", column("title")), model("Aside", column("n", "integer")))
    migrate(conn)
    insert(conn.client, conn.name, "Report", [{"title": "Q1"}])
    insert(conn.client, conn.name, "Aside", [{"n": 1}])
    sessions = [conn.client.session(**conn.using) for _ in range(3)]
    for session in sessions:
        assert session.get("/v1/models/Report/records/1").expect(200).json() == OLD
    # fills the statement caches of whichever connections there are, two at a time
    open_ones = [conn.client.transaction(**conn.using) for _ in range(2)]
    for _ in range(8):
        for tx in open_ones:
            assert sql(tx, ALL).json()["rows"] == [OLD]
    for tx in open_ones:
        end(tx, "rollback")
    held = conn.client.transaction(**conn.using)
    assert sql(held, "SELECT n FROM aside").json()["rows"] == [{"n": 1}]
    register(conn.client, model("Report", column("title"), column("summary")), model("Aside", column("n", "integer")))
    assert migrate(conn)["pool_refreshed"]
    for session in sessions:
        assert session.get("/v1/models/Report/records/1").expect(200).json() == NEW
    for _ in range(8):
        assert sql(conn.client, ALL, using=conn.name).json()["rows"] == [NEW]
    if conn.backend.name == "sqlite":
        assert sql(held, ALL).expect(200).json()["rows"] == [OLD], "it has its snapshot"
        end(held, "commit")
    else:
        assert sql(held, ALL).problem(409, "serialization_failure")["retryable"]
        end(held, "rollback")
    for _ in range(8):
        tx = conn.client.transaction(**conn.using)
        assert sql(tx, ALL).expect(200).json()["rows"] == [NEW]
        end(tx, "commit")
    for session in sessions:
        session.delete("/v1/session").expect(204)


def circle(name, to):
    return model(name, column(f"{to}_id", "integer"), column("label", index=True),
                 foreign_keys=[{"column": f"{to}_id", "to_table": to, "on_delete": "SET NULL"}])


def test_ddl_of_a_circle(conn):
    """Run past the server it makes what create-tables would have made, on both databases."""
    register(conn.client, circle("A", "b"), circle("B", "c"), circle("C", "a"), circle("Own", "own"))
    mine = conn.client.get(f"/v1/ddl?using={conn.name}").expect(200)
    texts = {d: conn.client.get(f"/v1/ddl?dialect={d}").expect(200) for d in ("sqlite", "postgres")}
    assert mine.text == texts[conn.backend.name].text and mine.header("Content-Type").startswith("application/sql")
    conn.client.get("/v1/ddl?using=nowhere").problem(404, "connection_not_found")
    assert texts["sqlite"].text != texts["postgres"].text
    run(conn.backend, mine.text)
    quiet(conn, destructive=True)
    quiet(conn, rebuild=True)
    for table, value in (("A", 1), ("B", 2)):
        insert(conn.client, conn.name, table, [{"label": "x"}])
    conn.client.post("/v1/models/A/records", {"b_id": 99}, params=conn.using).problem(409, "foreign_key_violation")
    run(conn.backend, mine.text)  # every statement may be run again, but for keys that come by ALTER
    assert len(query(conn.client, "A", using=conn.name).json()["rows"]) == 1


def test_plan_hash_covers_what_would_run(conn):
    """Another option, another model, another database state: another hash; the hash of nothing applies nothing."""
    register(conn.client, model("Plan", column("a"), column("gone")))
    migrate(conn)
    register(conn.client, model("Plan", column("a"), column("b")))
    soft, hard = migrate(conn, dry_run=True), migrate(conn, dry_run=True, destructive=True)
    assert soft["plan_hash"] != hard["plan_hash"] and len(hard["changes"]) == len(soft["changes"]) + 1
    assert [(c["kind"], c["loses_data"], c["reversible"], c["rows_affected"]) for c in hard["changes"]] == [
        ("add_column", False, True, 0), ("drop_column", False, True, 0)]
    wrong = conn.client.post("/v1/migrate", {**conn.using, "plan_hash": hard["plan_hash"]})
    assert "Nothing was changed" in wrong.problem(409, "migration_conflict")["detail"]
    insert_past(conn)
    again = migrate(conn, dry_run=True, destructive=True)
    assert again["plan_hash"] == hard["plan_hash"] and again["changes"][-1]["rows_affected"] == 2
    assert again["changes"][-1]["loses_data"] and not again["changes"][-1]["reversible"]
    migrate(conn, plan_hash=hard["plan_hash"], destructive=True)
    nothing = quiet(conn, dry_run=True)
    quiet(conn, plan_hash=nothing["plan_hash"])
    register(conn.client, model("Plan", column("a"), column("b"), column("c")))
    conn.client.post("/v1/migrate", {**conn.using, "plan_hash": nothing["plan_hash"]}).problem(409, "migration_conflict")


def insert_past(conn):
    run(conn.backend, "INSERT INTO plan (a) VALUES ('x'), ('y')")
