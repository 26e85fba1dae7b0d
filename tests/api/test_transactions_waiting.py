"""Transactions that wait, run out of time, lose their connection or meet another writer, on both databases."""
import threading
import time
import types

from support.client import Client
from support.process import wait_for
from support.server import Server, patience
from support.transactions import begin, db, end, endless, gauges, in_thread, locked, mark, numbers, queue_of, rows, session, sql, state, tx_id  # noqa: F401


# ---- queue ----

def test_requests_of_one_transaction_wait_in_order(db, session):
    sql(session, "CREATE TABLE arrivals (id integer PRIMARY KEY, n integer)")
    tx = begin(session)

    def work(text):
        with tx.clone() as c:
            sql(c, text)

    with locked(db):
        threads = [in_thread(work, "INSERT INTO marks (n) VALUES (1)")]
        time.sleep(0.1)
        for i in range(10):
            threads.append(in_thread(
                work, f"INSERT INTO arrivals SELECT coalesce(max(id), 0) + 1, {i} FROM arrivals"))
            wait_for(lambda: queue_of(session) == i + 1, 4, "the request in the queue")
    for t in threads:
        t.join()
    end(tx, "commit")
    assert [row["n"] for row in rows(session, "SELECT n FROM arrivals ORDER BY id")] == list(range(10))
    assert queue_of(session) == 0


def test_waiting_ends_with_the_time_allowed(db, session):
    tx = begin(session)
    with locked(db):
        holder = in_thread(lambda: mark(tx.clone(), 1))
        time.sleep(0.1)
        started = time.monotonic()
        answer = tx.post("/v1/sql/execute", {"sql": "SELECT 1"}, headers={"Prefer": "timeout=0.2"})
        assert answer.problem(429, "too_many_requests")["outcome"] == "not_started"
        assert answer.header("Retry-After") and time.monotonic() - started < patience(2)
    holder.join()
    end(tx, "commit")
    assert numbers(session) == [1]


# ---- statement timeouts ----

def test_a_statement_timeout_leaves_postgres_aborted_and_sqlite_open(db, session):
    tx = begin(session)
    mark(tx, 1)
    started = time.monotonic()
    answer = tx.post("/v1/sql/fetch-all", {"sql": endless(db)}, headers={"Prefer": "timeout=0.3"})
    answer.problem(504, "statement_timeout")
    assert time.monotonic() - started < patience(5)
    if db.backend.name == "postgres":
        assert state(tx) == "aborted"
        end(tx, "commit", 409, "transaction_aborted")
        assert numbers(session) == []
    else:
        assert state(tx) == "open"
        end(tx, "commit")
        assert numbers(session) == [1]


def test_a_statement_timeout_outside(db, session):
    session.post("/v1/sql/fetch-all", {"sql": endless(db)}, headers={"Prefer": "timeout=0.2"}).problem(504, "statement_timeout")
    mark(session, 1)
    wait_for(lambda: gauges(db)[0] == 0, 5, "the lease back")


# ---- the server's own ends ----

def test_a_statement_that_runs_when_the_session_is_closed_says_so(db, session):
    own = db.client.session(using=db.name)
    tx = begin(own)
    answers = []
    running = in_thread(lambda: answers.append(tx.post("/v1/sql/fetch-all", {"sql": endless(db)})))
    time.sleep(0.3)
    own.delete("/v1/session?rollback=true").expect(204)
    running.join()
    assert answers[0].problem(409, "transaction_ended")["state"] == "rolled_back"


def test_an_expired_one_never_commits(db, session):
    tx = begin(session, timeout_seconds=0.4)
    mark(tx, 1)
    wait_for(lambda: state(tx) == "expired", 5, "the timeout")
    problem = end(tx, "commit", 410, "transaction_expired")
    assert "time" in problem["detail"]
    tx.post("/v1/sql/execute", {"sql": "SELECT 1"}).problem(410, "transaction_expired")
    end(tx, "rollback", 410, "transaction_expired")
    assert numbers(session) == []
    assert gauges(db)[:2] == (0, 0)


def test_the_timeout_cuts_a_running_statement(db, session):
    tx = begin(session, timeout_seconds=0.4)
    started = time.monotonic()
    answer = tx.post("/v1/sql/fetch-all", {"sql": endless(db)})
    problem = answer.problem(410, "transaction_expired")
    assert problem["outcome"] == "rolled_back" and problem["state"] == "expired"
    assert time.monotonic() - started < patience(5)
    wait_for(lambda: gauges(db)[:2] == (0, 0), 5, "the lease back")
    assert state(tx) == "expired"


def test_housekeeping_ends_it_without_a_look(db):
    db.client.transaction(using=db.name, timeout_seconds=0.3)
    assert gauges(db)[:2] == (1, 1)
    wait_for(lambda: gauges(db)[:2] == (0, 0), 5, "the server's own rollback")


def test_closing_the_session(db):
    with db.client.session(using=db.name) as s:
        tx = begin(s)
        mark(tx, 1)
        s.delete("/v1/session").problem(409, "transactions_open")
        mark(tx, 2)                       # session and transaction stay usable
        inner = tx.transaction()
        s.delete("/v1/session").problem(409, "transactions_open")
        end(inner, "commit")
        end(tx, "commit")
        assert numbers(s) == [1, 2]
        again = begin(s)
        mark(again, 3)
        s.delete("/v1/session?rollback=true").expect(204)
        s.delete("/v1/session?rollback=true").expect(204)
        assert gauges(db) == (0, 0, 0)
        problem = s.get("/v1/session").problem(410, "session_expired")
        assert "clos" in problem["detail"]
        again.post("/v1/sql/execute", {"sql": "SELECT 1"}).problem(410, "session_expired")
    assert db.client.post("/v1/sql/fetch-all", {"sql": "SELECT n FROM marks ORDER BY n", "using": db.name}).json()["row_count"] == 2


def test_an_idle_session_takes_its_transactions_along(db):
    s = db.client.session(using=db.name, idle_timeout_seconds=0.5)
    tx = begin(s)
    mark(tx, 1)
    wait_for(lambda: gauges(db) == (0, 0, 0), 6, "the session's end")
    problem = s.get("/v1/session").problem(410, "session_expired")
    assert "without use" in problem["detail"] and "1 transaction" in problem["detail"]
    s.post(f"/v1/transactions/{tx_id(tx)}/commit").problem(410, "session_expired")


def test_disconnect_and_reset(server):
    with Server() as own, Client(own.port) as c:
        c.post("/v1/connections", {"name": "m", "url": "sqlite::memory:"}).expect(201)
        s = c.session(using="m")
        tx = s.transaction()
        loose = c.transaction(using="m")
        c.delete("/v1/connections/m").problem(409, "connection_in_use")
        c.delete("/v1/connections/m?force=true").expect(204)
        tx.post("/v1/sql/execute", {"sql": "SELECT 1"}).problem(410, "session_expired")
        loose.post("/v1/sql/execute", {"sql": "SELECT 1"}).problem(410, "transaction_expired")
        assert state(loose) == "expired"
        c.post("/v1/connections", {"name": "m", "url": "sqlite::memory:"}).expect(201)
        loose = c.transaction(using="m")
        c.post("/v1/reset").expect(204)
        end(loose, "commit", 410, "transaction_expired")


def test_small_limits(sqlite_backend):
    with Server("--transactions-per-session", "2", "--transaction-queue", "1") as own, Client(own.port) as c:
        c.post("/v1/connections", {"name": "m", "url": sqlite_backend.url}).expect(201)
        s = c.session(using="m")
        first, second = s.transaction(), s.transaction()
        s.post("/v1/transactions").problem(409, "transaction_limit")
        first.transaction()
        s.post(f"/v1/transactions/{tx_id(first)}/rollback").expect(200)
        s.post("/v1/sql/execute", {"sql": "CREATE TABLE marks (n integer)"}).expect(200)
        third = s.transaction()
        answers = []

        def run():
            with third.clone() as t:
                answers.append(t.post("/v1/sql/execute", {"sql": "INSERT INTO marks VALUES (1)"}))

        # one may wait, a second is one too many
        with locked(types.SimpleNamespace(backend=sqlite_backend)):
            threads = [in_thread(run)]
            time.sleep(0.2)
            threads.append(in_thread(run))
            wait_for(lambda: queue_of(s) == 1, 4, "one waiting")
            answer = third.post("/v1/sql/fetch-all", {"sql": "SELECT 1"})
            assert answer.problem(429, "too_many_requests")["retryable"] is True
            assert answer.header("Retry-After")
        for t in threads:
            t.join()
        assert [a.status for a in answers] == [200, 200]
        for tx in (second, third):
            end(tx, "rollback")


def test_tombstones_are_forgotten(sqlite_backend):
    with Server("--tombstone-seconds", "1") as own, Client(own.port) as c:
        c.post("/v1/connections", {"name": "m", "url": sqlite_backend.url}).expect(201)
        s = c.session(using="m")
        tx = c.transaction(using="m")
        end(tx, "commit")
        assert state(tx) == "committed"
        s.delete("/v1/session").expect(204)
        s.get("/v1/session").problem(410, "session_expired")
        wait_for(lambda: c.get(f"/v1/transactions/{tx_id(tx)}").status == 404, 6, "the tombstone's end")
        wait_for(lambda: s.get("/v1/session").status == 404, 6, "the session's tombstone's end")
        s.delete("/v1/session").problem(404, "session_not_found")


# ---- two writers ----

def test_two_concurrent_transactions_that_write_once(db):
    """Reference case TX-18."""
    def work(n, hold):
        with Client(db.client.port) as c:
            tx = c.transaction(using=db.name)
            mark(tx, n)
            time.sleep(hold)
            end(tx, "commit")

    threads = [threading.Thread(target=work, args=(n, 0.1 if n == 1 else 0)) for n in (1, 2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert [r["n"] for r in db.client.post("/v1/sql/fetch-all", {"sql": "SELECT n FROM marks ORDER BY n", "using": db.name})
            .expect(200).json()["rows"]] == [1, 2]


def test_serialization_failure_is_retryable(postgres_conn):
    conn = postgres_conn
    c = conn.client
    c.post("/v1/sql/execute", {"sql": "CREATE TABLE marks (n integer PRIMARY KEY, v integer)", "using": conn.name}).expect(200)
    c.post("/v1/sql/execute", {"sql": "INSERT INTO marks VALUES (1, 0)", "using": conn.name}).expect(200)
    a = c.transaction(using=conn.name, isolation="repeatable_read")
    b = c.transaction(using=conn.name, isolation="repeatable_read")
    for tx in (a, b):
        assert rows(tx, "SELECT v FROM marks") == [{"v": 0}]
    sql(a, "UPDATE marks SET v = v + 1")
    end(a, "commit")
    problem = b.post("/v1/sql/execute", {"sql": "UPDATE marks SET v = v + 1"}).problem(409, "serialization_failure")
    assert problem["retryable"] is True and problem["sqlstate"] == "40001"
    end(b, "rollback")


def test_a_stale_snapshot_on_sqlite_is_retryable(sqlite_conn):
    c = sqlite_conn.client
    c.post("/v1/sql/execute", {"sql": "CREATE TABLE marks (n integer PRIMARY KEY)", "using": sqlite_conn.name}).expect(200)
    a = c.transaction(using=sqlite_conn.name)
    assert rows(a, "SELECT n FROM marks") == []
    c.post("/v1/sql/execute", {"sql": "INSERT INTO marks VALUES (1)", "using": sqlite_conn.name}).expect(200)
    problem = a.post("/v1/sql/execute", {"sql": "INSERT INTO marks VALUES (2)"}).problem(409, "serialization_failure")
    assert problem["retryable"] is True
    assert rows(a, "SELECT n FROM marks") == []
    end(a, "rollback")


def test_deadlock_is_a_serialization_failure(postgres_conn):
    conn, c = postgres_conn, postgres_conn.client
    c.post("/v1/sql/execute", {"sql": "CREATE TABLE marks (n integer PRIMARY KEY, v integer)", "using": conn.name}).expect(200)
    c.post("/v1/sql/execute", {"sql": "INSERT INTO marks VALUES (1, 0), (2, 0)", "using": conn.name}).expect(200)
    a, b = c.transaction(using=conn.name), c.transaction(using=conn.name)
    sql(a, "UPDATE marks SET v = 1 WHERE n = 1")
    sql(b, "UPDATE marks SET v = 1 WHERE n = 2")
    answers = {}

    def run(name, tx, n):
        with tx.clone() as t:
            answers[name] = t.post("/v1/sql/execute", {"sql": f"UPDATE marks SET v = 2 WHERE n = {n}"})

    threads = [threading.Thread(target=run, args=("a", a, 2)), threading.Thread(target=run, args=("b", b, 1))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(answer.status for answer in answers.values()) == [200, 409]
    loser = next(answer for answer in answers.values() if answer.status == 409)
    assert loser.problem(409, "serialization_failure")["retryable"] is True
    for tx in (a, b):
        end(tx, "rollback")


def test_a_lost_backend(postgres_conn):
    conn, c = postgres_conn, postgres_conn.client
    c.post("/v1/sql/execute", {"sql": "CREATE TABLE marks (n integer PRIMARY KEY)", "using": conn.name}).expect(200)
    tx = c.transaction(using=conn.name)
    mark(tx, 1)
    pid = rows(tx, "SELECT pg_backend_pid() AS pid")[0]["pid"]
    conn.backend.pg.psql(f"SELECT pg_terminate_backend({pid})")
    problem = tx.post("/v1/sql/execute", {"sql": "INSERT INTO marks VALUES (2)"}).problem(503, "database_unavailable")
    assert problem.get("outcome") in (None, "rolled_back")
    assert state(tx) == "rolled_back"
    end(tx, "commit", 409, "transaction_ended")
    assert end(tx, "rollback") == {"state": "rolled_back"}
    wait_for(lambda: gauges(conn)[:2] == (0, 0), 5, "the lease back")
    assert c.post("/v1/sql/fetch-all", {"sql": "SELECT n FROM marks", "using": conn.name}).expect(200).json()["rows"] == []


def test_a_deferred_constraint_refuses_the_commit(postgres_conn):
    conn, c = postgres_conn, postgres_conn.client
    c.post("/v1/sql/execute", {"sql": "CREATE TABLE marks (n integer UNIQUE DEFERRABLE INITIALLY DEFERRED)", "using": conn.name}).expect(200)
    tx = c.transaction(using=conn.name)
    mark(tx, 1)
    mark(tx, 1)
    assert end(tx, "commit", 409, "unique_violation")["outcome"] == "rolled_back"
    assert state(tx) == "rolled_back"
    end(tx, "commit", 409, "transaction_ended")


def test_a_deferred_foreign_key_on_sqlite(sqlite_conn):
    conn, c = sqlite_conn, sqlite_conn.client
    c.post("/v1/sql/execute", {"sql": "CREATE TABLE p (id integer PRIMARY KEY)", "using": conn.name}).expect(200)
    c.post("/v1/sql/execute", {"sql": "CREATE TABLE k (p integer REFERENCES p DEFERRABLE INITIALLY DEFERRED)",
                               "using": conn.name}).expect(200)
    tx = c.transaction(using=conn.name)
    sql(tx, "INSERT INTO k VALUES (1)")
    assert end(tx, "commit", 409, "foreign_key_violation")["outcome"] == "rolled_back"
    assert state(tx) == "rolled_back"
    wait_for(lambda: gauges(conn)[:2] == (0, 0), 5, "the lease back")
