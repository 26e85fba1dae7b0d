"""Batches whose raw steps end the transaction they run in: the answer says what became of it, as the engine saw it."""
import uuid

import pytest

from support.schema import run
from support.tables import sql


@pytest.fixture
def db(conn):
    key = "serial PRIMARY KEY" if conn.backend.name == "postgres" else "integer PRIMARY KEY"
    run(conn.backend, f"CREATE TABLE t (id {key}, v text UNIQUE)")
    return conn


def put(value):
    return raw(f"INSERT INTO t (v) VALUES ('{value}')")


def raw(text):
    return {"op": "sql.execute", "sql": text}


def batch(db, *steps, headers=None, **more):
    return db.client.post("/v1/batch", {"using": db.name, "steps": list(steps), **more}, headers=headers)


def stored(db):
    rows = sql(db.client, "SELECT v FROM t ORDER BY id", using=db.name).expect(200).json()["rows"]
    return [row["v"] for row in rows]


ENDINGS = [("COMMIT", "committed"), ("/* x */ end", "committed"), ("ROLLBACK", "rolled_back")]
POSTGRES = [("COMMIT AND CHAIN", "committed"), ("ROLLBACK AND CHAIN", "rolled_back"), ("ABORT", "rolled_back"),
            ("END TRANSACTION AND CHAIN", "committed")]


@pytest.mark.parametrize("text, outcome", ENDINGS)
def test_a_batch_that_ends_its_own_transaction(db, text, outcome):
    problem = batch(db, put("one"), raw(text), put("two")).problem(400, "sql_error")
    assert (problem["outcome"], problem["step"]) == (outcome, 1)
    assert stored(db) == (["one"] if outcome == "committed" else [])


@pytest.mark.parametrize("text, outcome", POSTGRES)
def test_and_chain_on_postgres(postgres_conn, text, outcome):
    run(postgres_conn.backend, "CREATE TABLE t (id serial PRIMARY KEY, v text)")
    problem = batch(postgres_conn, put("one"), raw(text), put("two")).problem(400, "sql_error")
    assert (problem["outcome"], problem["step"]) == (outcome, 1)
    assert stored(postgres_conn) == (["one"] if outcome == "committed" else [])


def test_savepoints_of_the_client_end_nothing(db):
    answer = batch(db, put("one"), raw("SAVEPOINT mine"), put("two"), raw("ROLLBACK TO SAVEPOINT mine"), put("three"), raw("RELEASE mine"))
    assert answer.expect(200).json()["committed"] is True
    assert stored(db) == ["one", "three"]


def test_what_a_failing_statement_ended_on_its_way(sqlite_conn):
    """OR ROLLBACK undoes the whole transaction: the steps before it, too."""
    run(sqlite_conn.backend, "CREATE TABLE t (id integer PRIMARY KEY, v text UNIQUE)")
    problem = batch(sqlite_conn, put("one"), raw("INSERT OR ROLLBACK INTO t (v) VALUES ('one')"), put("two")).problem(409, "unique_violation")
    assert (problem["outcome"], problem["step"]) == ("rolled_back", 1) and stored(sqlite_conn) == []


def test_prepared_is_not_known(postgres_conn):
    run(postgres_conn.backend, "CREATE TABLE t (id serial PRIMARY KEY, v text)")
    try:
        problem = batch(postgres_conn, put("one"), raw("PREPARE TRANSACTION 'p1'"), put("two")).problem(400, "sql_error")
        assert (problem["outcome"], problem["step"]) == ("unknown", 1) and stored(postgres_conn) == []
    finally:
        sql(postgres_conn.client, "ROLLBACK PREPARED 'p1'", using=postgres_conn.name, verb="execute")


@pytest.mark.parametrize("text", ["COMMIT", " \n; -- a\n/* b /* c */ */ CoMmIt", "\ufeffcommit", "ROLLBACK", "SAVEPOINT s", "PREPARE TRANSACTION 'x'"])
def test_a_dry_run_is_never_ended_by_its_steps(db, text):
    """Refused before anything runs, in a batch and alone."""
    dry = {"Prefer": "tx=rollback"}
    answer = batch(db, put("one"), raw(text), headers=dry)
    answer.problem(400, "invalid_request")
    assert answer.pointers() == ["/steps/1/sql"] and stored(db) == []
    for verb in ("execute", "fetch-all", "fetch-one"):
        answer = db.client.post(f"/v1/sql/{verb}", {"sql": text, "using": db.name}, headers=dry)
        answer.problem(400, "invalid_request")
        assert answer.pointers() == ["/sql"]


def test_a_dry_run_learns_its_text_from_an_earlier_step(db):
    """A text that comes by reference is looked at when it is known."""
    step = {"op": "sql.fetch_one", "sql": "SELECT 'COMMIT' AS c", "as": "a"}
    problem = batch(db, step, put("one"), raw({"$ref": "a.row.c"}), headers={"Prefer": "tx=rollback"}).problem(400, "invalid_request")
    assert problem["step"] == 2 and stored(db) == []


def begin(db):
    return db.client.post("/v1/transactions", {"using": db.name}).expect(201).json()["transaction_id"]


def state(db, ident):
    return db.client.get(f"/v1/transactions/{ident}").expect(200).json()["state"]


@pytest.mark.parametrize("atomic", [True, False])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("text, outcome", ENDINGS)
def test_a_managed_transaction_follows(db, text, outcome, atomic, last):
    ident = begin(db)
    inside = {"Ferro-Transaction": ident}
    db.client.post("/v1/sql/execute", {"sql": "INSERT INTO t (v) VALUES ('zero')"}, headers=inside).expect(200)
    steps = [put("one"), raw(text)] + ([] if last else [put("two")])
    answer = db.client.post("/v1/batch", {"steps": steps, "atomic": atomic}, headers=inside)
    problem = answer.problem(409, "transaction_ended")
    assert (problem["outcome"], problem["step"], problem["state"]) == (outcome, 1, outcome)
    assert state(db, ident) == outcome
    assert stored(db) == (["zero", "one"] if outcome == "committed" else [])


@pytest.mark.parametrize("text, outcome", POSTGRES)
def test_a_managed_transaction_follows_and_chain(postgres_conn, text, outcome):
    run(postgres_conn.backend, "CREATE TABLE t (id serial PRIMARY KEY, v text)")
    ident = begin(postgres_conn)
    answer = postgres_conn.client.post("/v1/batch", {"steps": [put("one"), raw(text)]}, headers={"Ferro-Transaction": ident})
    assert answer.problem(409, "transaction_ended")["outcome"] == outcome
    assert state(postgres_conn, ident) == outcome
    assert stored(postgres_conn) == (["one"] if outcome == "committed" else [])
    # raw SQL alone does the same
    ident = begin(postgres_conn)
    postgres_conn.client.post("/v1/sql/execute", {"sql": text}, headers={"Ferro-Transaction": ident}).expect(200)
    assert state(postgres_conn, ident) == outcome


# ---- what commits on its way ----

PIECEMEAL = ["CALL p()", "/* x */ call p()", "DO $$ BEGIN INSERT INTO t (v) VALUES ('one'); COMMIT; RAISE EXCEPTION 'no'; END $$"]


@pytest.mark.parametrize("text", PIECEMEAL)
def test_a_procedure_that_commits_and_fails(postgres_conn, text):
    """What it has committed stays, and nobody says that it was rolled back."""
    db = postgres_conn
    run(db.backend, "CREATE TABLE t (id serial PRIMARY KEY, v text); CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN INSERT INTO t (v) VALUES ('one'); COMMIT; "
                    "INSERT INTO t (v) VALUES ('two'); RAISE EXCEPTION 'no'; END $$")
    for n, headers in enumerate((None, {"Idempotency-Key": uuid.uuid4().hex})):
        problem = db.client.post("/v1/sql/execute", {"sql": text, "using": db.name}, headers=headers).problem(400, "sql_error")
        assert problem["outcome"] == "unknown" and stored(db) == ["one"] * (n + 1)
    loose = batch(db, raw(text), atomic=False).expect(200).json()["results"][0]
    assert loose["error"]["outcome"] == "unknown" and stored(db) == ["one"] * 3
    # where there is a transaction it is undone with it: a procedure cannot end that
    assert batch(db, put("x"), raw(text)).problem(400, "sql_error")["outcome"] == "rolled_back" and stored(db) == ["one"] * 3


def test_a_procedure_that_commits_and_takes_too_long(postgres_conn):
    db = postgres_conn
    run(db.backend, "CREATE TABLE t (id serial PRIMARY KEY, v text)")
    text = "DO $$ BEGIN INSERT INTO t (v) VALUES ('one'); COMMIT; PERFORM pg_sleep(20); END $$"
    answer = db.client.post("/v1/sql/execute", {"sql": text, "using": db.name}, headers={"Prefer": "timeout=1"})
    assert answer.problem(504, "statement_timeout")["outcome"] == "unknown" and stored(db) == ["one"]


def test_an_index_that_is_left_half_made(postgres_conn):
    db = postgres_conn
    run(db.backend, "CREATE TABLE t (id serial PRIMARY KEY, v text); INSERT INTO t (v) VALUES ('one'), ('one')")
    problem = db.client.post("/v1/sql/execute", {"sql": "CREATE UNIQUE INDEX CONCURRENTLY half ON t (v)", "using": db.name}).problem(409, "unique_violation")
    assert problem["outcome"] == "unknown" and run(db.backend, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'half'::regclass") == [["f"]]


# ---- savepoints of ferrod's own ----

OWN = ["SAVEPOINT ferrod_unit", 'savepoint "ferrod_unit"', "RELEASE ferrod_unit", "RELEASE SAVEPOINT Ferrod_Unit", "ROLLBACK TO ferrod_unit", "ROLLBACK TRANSACTION TO SAVEPOINT ferrod_part",
       "SAVEPOINT ferrod_part", "RELEASE SAVEPOINT ferrod_item", "/* a */ SAVEPOINT -- b\n sp_1", "ROLLBACK TO sp_12"]


@pytest.mark.parametrize("text", OWN)
@pytest.mark.parametrize("managed", [False, True])
def test_savepoints_of_ferrods_own_are_not_touched(db, text, managed):
    """With them a step could undo others, or keep what a failed batch is said to have undone."""
    session = db.client.session(using=db.name) if managed else None
    at = session.transaction() if managed else db.client
    for n in range(2):  # the second time ferrod's own statement is one that is known
        for steps in ([put("one"), raw(text), put("two")], [put("one"), raw(text), raw("nonsense")]):
            body = at.post("/v1/batch", {"steps": steps, **({} if managed else {"using": db.name})}).problem(400, "sql_error")
            assert body["outcome"] == "rolled_back" and body["step"] == 1 and "ferrod's own" in body["detail"], body
        at.post("/v1/batch", {"steps": [put(f"kept {n}")], **({} if managed else {"using": db.name})}).expect(200)
    if managed:
        at.post(f"/v1/transactions/{at.headers['Ferro-Transaction']}/commit").expect(200)
        session.delete("/v1/session")
    assert stored(db) == ["kept 0", "kept 1"]


@pytest.mark.parametrize("text", ["SAVEPOINT sp_x", "SAVEPOINT ferrod", "SAVEPOINT sp_", 'SAVEPOINT "a ferrod_"'])
def test_other_names_are_the_clients(db, text):
    batch(db, put("one"), raw(text), put("two")).expect(200)
    assert stored(db) == ["one", "two"]
