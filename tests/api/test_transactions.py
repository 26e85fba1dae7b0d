"""Transactions and savepoints: every rule of the contract's section 8 and its fine print, on both databases."""
import contextlib
import sqlite3
import threading
import time
import types
import uuid

import pytest

from support.client import Client
from support.process import wait_for
from support.server import Server


def sql(client, text, *args, code=200):
    return client.post("/v1/sql/execute", {"sql": text, "args": list(args)}).expect(code)


def rows(client, text, *args):
    return client.post("/v1/sql/fetch-all", {"sql": text, "args": list(args)}).expect(200).json()["rows"]


def numbers(client):
    return [row["n"] for row in rows(client, "SELECT n FROM marks ORDER BY n")]


def mark(client, n):
    sql(client, f"INSERT INTO marks (n) VALUES ({int(n)})")


def tx_id(client):
    return client.headers["Ferro-Transaction"]


def end(client, how, status=200, code=None, of=None):
    plain = client.clone()
    del plain.headers["Ferro-Transaction"]
    with plain:
        return plain.post(f"/v1/transactions/{of or tx_id(client)}/{how}").expect(status, code).json()


def state(client, of=None):
    plain = client.clone()
    del plain.headers["Ferro-Transaction"]
    with plain:
        return plain.get(f"/v1/transactions/{of or tx_id(client)}").expect(200).json()["state"]


def gauges(conn):
    answer = conn.client.get(f"/v1/connections/{conn.name}").expect(200).json()
    return answer["pool"]["in_use"], answer["transactions"], answer["sessions"]


@pytest.fixture
def db(conn):
    """The connection with an empty table `marks`; at the end nothing may be leased any more."""
    conn.client.post("/v1/sql/execute", {"sql": "CREATE TABLE marks (n integer PRIMARY KEY)"}, params=conn.using).expect(200)
    yield conn
    if conn.client.get("/healthz").status == 200:
        conn.client.get("/v1/sessions")
        wait_for(lambda: gauges(conn)[:2] == (0, 0), 10, "nothing leased and no transaction open")


@pytest.fixture
def session(db):
    client = db.client.session(using=db.name)
    yield client
    client.delete("/v1/session?rollback=true").expect(204)
    client.close()


def begin(client, **options):
    return client.transaction(**options)


# ---- begin, look, end ----

def test_begin_answers_what_it_opened(db, session):
    answer = session.post("/v1/transactions").expect(201)
    body = answer.json()
    assert body["transaction_id"] == answer.header("Ferro-Transaction")
    assert (body["parent_id"], body["savepoint"], body["connection_name"]) == (None, None, db.name)
    assert answer.header("Location") == f"/v1/transactions/{body['transaction_id']}"
    assert "transactions=1" in answer.header("Ferro-Session-Info")
    assert gauges(db)[:2] == (1, 1)
    seen = session.get("/v1/session").expect(200).json()["transactions"]
    assert [t["transaction_id"] for t in seen] == [body["transaction_id"]] and seen[0]["state"] == "open"
    assert session.post(f"/v1/transactions/{body['transaction_id']}/rollback").expect(200).json() == {"state": "rolled_back"}


def test_commit_keeps_and_rollback_undoes(session):
    for how, kept in (("commit", [1]), ("rollback", [1])):
        tx = begin(session)
        mark(tx, 1 if how == "commit" else 2)
        assert end(tx, how) == {"state": "committed" if how == "commit" else "rolled_back"}
        assert numbers(session) == kept


def test_reads_its_own_writes_and_others_do_not(session):
    tx = begin(session)
    mark(tx, 42)
    assert tx.post("/v1/sql/fetch-one", {"sql": "SELECT n FROM marks"}).expect(200).data() == {"row": {"n": 42}}
    assert numbers(session) == []
    end(tx, "commit")
    assert numbers(session) == [42]


def test_no_session_is_needed(db):
    tx = db.client.transaction(using=db.name)
    mark(tx, 1)
    assert tx.get(f"/v1/transactions/{tx_id(tx)}").expect(200).json()["state"] == "open"
    assert end(tx, "commit") == {"state": "committed"}
    assert [row["n"] for row in db.client.post("/v1/sql/fetch-all", {"sql": "SELECT n FROM marks", "using": db.name})
            .expect(200).json()["rows"]] == [1]


def test_the_transaction_decides_the_connection(db, session, sqlite_backend):
    other = f"other_{uuid.uuid4().hex[:8]}"
    db.client.post("/v1/connections", {"name": other, "url": "sqlite::memory:"}).expect(201)
    tx = begin(session)
    tx.post("/v1/sql/execute", {"sql": "SELECT 1", "using": other}).problem(409, "route_conflict")
    tx.post("/v1/sql/fetch-one", {"sql": "SELECT 1 AS n", "using": db.name}).expect(200)
    end(tx, "rollback")
    loose = db.client.transaction(using=db.name)
    loose.post("/v1/sql/execute", {"sql": "SELECT 1", "using": other}).problem(409, "route_conflict")
    loose.post("/v1/transactions", {"using": other}).problem(409, "route_conflict")
    end(loose, "rollback")
    session.post("/v1/transactions", {"using": other}).problem(409, "route_conflict")
    db.client.delete(f"/v1/connections/{other}").expect(204)


def test_bad_options(session):
    for body in ({"isolation": "chaos"}, {"isolation": 1}, {"read_only": "yes"}, {"timeout_seconds": 0}, {"timeout_seconds": -1},
                 {"timeout_seconds": 10**9}, {"nonsense": 1}, [], {"using": 5}):
        session.post("/v1/transactions", body).problem(400, "invalid_request")


def test_unknown_ids_are_refused_before_any_sql(session):
    nobody = session.clone(Ferro_Transaction="A" * 32)
    nobody.post("/v1/sql/execute", {"sql": "INSERT INTO marks VALUES (1)"}).problem(404, "transaction_not_found")
    nobody.post("/v1/transactions").problem(404, "transaction_not_found")
    for how in ("commit", "rollback"):
        session.post(f"/v1/transactions/{'A' * 32}/{how}").problem(404, "transaction_not_found")
    session.get("/v1/transactions/nothing").problem(404, "transaction_not_found")
    assert numbers(session) == []


def test_another_session_cannot_touch_it(db, session):
    tx = begin(session)
    mark(tx, 1)
    with db.client.session(using=db.name) as other:
        for stranger in (other, db.client):
            inside = stranger.clone(Ferro_Transaction=tx_id(tx))
            inside.post("/v1/sql/execute", {"sql": "DELETE FROM marks"}).problem(404, "transaction_not_found")
            stranger.post(f"/v1/transactions/{tx_id(tx)}/commit").problem(404, "transaction_not_found")
            stranger.post(f"/v1/transactions/{tx_id(tx)}/rollback").problem(404, "transaction_not_found")
            stranger.get(f"/v1/transactions/{tx_id(tx)}").problem(404, "transaction_not_found")
        other.delete("/v1/session").expect(204)
    end(tx, "commit")
    assert numbers(session) == [1]


def test_a_sessionless_one_is_not_the_sessions(db, session):
    tx = db.client.transaction(using=db.name)
    session.clone(Ferro_Transaction=tx_id(tx)).post("/v1/sql/execute", {"sql": "SELECT 1"}).problem(404, "transaction_not_found")
    end(tx, "rollback")


@pytest.mark.parametrize("first, second", [("commit", "rollback"), ("rollback", "commit")])
def test_ending_is_idempotent_and_final(session, first, second):
    tx = begin(session)
    mark(tx, 1)
    word = {"commit": "committed", "rollback": "rolled_back"}[first]
    for _ in range(3):
        assert end(tx, first) == {"state": word}
    assert end(tx, second, 409, "transaction_ended")["state"] == word
    assert tx.post("/v1/sql/execute", {"sql": "DELETE FROM marks"}).problem(409, "transaction_ended")["state"] == word
    assert tx.post("/v1/transactions").problem(409, "transaction_ended")["state"] == word
    assert state(tx) == word
    assert numbers(session) == ([1] if first == "commit" else [])


def test_concurrent_ends_agree(db, session):
    tx = begin(session)
    mark(tx, 1)
    answers = []

    def finish():
        with Client(db.client.port, {"Ferro-Session": session.headers["Ferro-Session"]}) as c:
            answers.append(c.post(f"/v1/transactions/{tx_id(tx)}/commit"))

    threads = [threading.Thread(target=finish) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert [a.status for a in answers] == [200] * 8
    assert numbers(session) == [1]


def test_read_only(session):
    tx = begin(session, read_only=True)
    assert state(tx) == "open"
    answer = tx.post("/v1/sql/execute", {"sql": "INSERT INTO marks VALUES (1)"})
    answer.problem(400, "sql_error")
    end(tx, "rollback")
    mark(session, 2)
    assert numbers(session) == [2]


def test_a_read_only_one_commits(session):
    tx = begin(session, read_only=True)
    assert numbers(tx) == []
    assert end(tx, "commit") == {"state": "committed"}
    mark(session, 1)


def test_isolation_levels(db, session):
    for isolation in ("read_committed", "repeatable_read", "serializable"):
        tx = begin(session, isolation=isolation)
        if db.backend.name == "postgres":
            assert rows(tx, "SHOW transaction_isolation")[0]["transaction_isolation"] == isolation.replace("_", " ")
        end(tx, "commit")


def test_repeatable_read_sees_one_state(session):
    tx = begin(session, isolation="repeatable_read")
    assert numbers(tx) == []
    mark(session, 1)
    assert numbers(tx) == []
    end(tx, "commit")


# ---- failures inside ----

def test_a_failed_statement(db, session):
    tx = begin(session)
    mark(tx, 1)
    tx.post("/v1/sql/execute", {"sql": "INSERT INTO marks VALUES (1)"}).problem(409, "unique_violation")
    if db.backend.name == "sqlite":
        assert state(tx) == "open"
        mark(tx, 2)
        assert end(tx, "commit") == {"state": "committed"}
        assert numbers(session) == [1, 2]
        return
    assert state(tx) == "aborted"
    tx.post("/v1/sql/fetch-all", {"sql": "SELECT 1"}).problem(409, "transaction_aborted")
    problem = end(tx, "commit", 409, "transaction_aborted")
    assert problem["outcome"] == "rolled_back"
    assert state(tx) == "rolled_back"
    assert numbers(session) == []
    assert end(tx, "rollback") == {"state": "rolled_back"}
    end(tx, "commit", 409, "transaction_ended")


def test_rollback_to_a_savepoint_heals_an_aborted_one(session):
    tx = begin(session)
    mark(tx, 1)
    inner = tx.transaction()
    inner.post("/v1/sql/execute", {"sql": "INSERT INTO marks VALUES (1)"}).problem(409, "unique_violation")
    assert end(inner, "rollback") == {"state": "rolled_back"}
    assert state(tx) == "open"
    mark(tx, 2)
    end(tx, "commit")
    assert numbers(session) == [1, 2]


def test_a_refusal_before_any_sql_does_not_abort(session):
    tx = begin(session)
    tx.post("/v1/sql/execute", {"sql": "  "}).problem(400, "invalid_request")
    tx.post("/v1/query", {"model_name": "no_such_model_here"}).problem(404, "model_not_found")
    assert state(tx) == "open"
    mark(tx, 1)
    end(tx, "commit")


# ---- savepoints ----

def test_savepoints_nest_and_end_innermost_first(session):
    tx = begin(session)
    mark(tx, 1)
    answer = tx.post("/v1/transactions").expect(201).json()
    assert answer["parent_id"] == tx_id(tx) and answer["savepoint"]
    inner = tx.clone(Ferro_Transaction=answer["transaction_id"])
    mark(inner, 2)
    # an outer id while the inner one is open
    tx.post("/v1/sql/fetch-all", {"sql": "SELECT 1"}).problem(409, "transactions_open")
    tx.post("/v1/transactions").problem(409, "transactions_open")
    end(tx, "commit", 409, "transactions_open")
    listed = session.get("/v1/session").expect(200).json()["transactions"]
    assert [t["transaction_id"] for t in listed] == [tx_id(tx), tx_id(inner)]
    end(inner, "rollback")
    assert numbers(tx) == [1]
    second = tx.transaction()
    mark(second, 3)
    assert end(second, "commit") == {"state": "committed"}
    end(tx, "commit")
    assert numbers(session) == [1, 3]


def test_rollback_of_the_outer_ends_the_inner(session):
    tx = begin(session)
    inner = tx.transaction()
    innermost = inner.transaction()
    mark(innermost, 1)
    end(tx, "rollback")
    assert [state(t) for t in (tx, inner, innermost)] == ["rolled_back"] * 3
    innermost.post("/v1/sql/execute", {"sql": "SELECT 1"}).problem(409, "transaction_ended")
    assert numbers(session) == []


def test_a_released_savepoint_shares_the_fate_of_the_whole(session):
    tx = begin(session)
    inner = tx.transaction()
    mark(inner, 1)
    end(inner, "commit")
    end(tx, "rollback")
    assert state(inner) == "rolled_back"
    assert numbers(session) == []


def test_a_savepoint_takes_no_options(session):
    tx = begin(session)
    for body in ({"isolation": "serializable"}, {"read_only": True}, {"timeout_seconds": 5}):
        tx.post("/v1/transactions", body).problem(400, "invalid_request")
    tx.post("/v1/transactions", {}).expect(201)
    end(tx, "rollback")


def test_savepoint_depth(session):
    chain = [begin(session)]
    for _ in range(32):
        chain.append(chain[-1].transaction())
    chain[-1].post("/v1/transactions").problem(409, "transaction_limit")
    mark(chain[-1], 1)
    for tx in reversed(chain):
        end(tx, "commit")
    assert numbers(session) == [1]


def test_transactions_per_session(session):
    open_ones = [begin(session, read_only=True) for _ in range(4)]
    # the pool has five connections; a limit below it is the session's own, tested in test_small_limits
    open_ones[0].transaction()
    assert len(session.get("/v1/session").expect(200).json()["transactions"]) == 5
    for tx in open_ones:
        end(tx, "rollback")


# ---- raw statements ----

def test_raw_begin_outside_is_undone(session):
    session.post("/v1/sql/execute", {"sql": "BEGIN"}).problem(400, "sql_error")
    assert numbers(session) == []
    mark(session, 1)
    assert numbers(session) == [1]


@pytest.mark.parametrize("word, ended", [("COMMIT", "committed"), ("ROLLBACK", "rolled_back"), ("/* x */ end", "committed")])
def test_a_raw_end_is_noticed(db, session, word, ended):
    tx = begin(session)
    mark(tx, 1)
    sql(tx, word)
    assert state(tx) == ended
    tx.post("/v1/sql/execute", {"sql": "DELETE FROM marks"}).problem(409, "transaction_ended")
    how, other = ("commit", "rollback") if ended == "committed" else ("rollback", "commit")
    assert end(tx, how) == {"state": ended}
    end(tx, other, 409, "transaction_ended")
    assert numbers(session) == ([1] if ended == "committed" else [])
    assert gauges(db)[:2] == (0, 0)


def test_raw_savepoints_live_inside(session):
    tx = begin(session)
    sql(tx, "SAVEPOINT mine")
    mark(tx, 1)
    sql(tx, "ROLLBACK TO SAVEPOINT mine")
    mark(tx, 2)
    end(tx, "commit")
    assert numbers(session) == [2]


def test_a_raw_release_of_our_savepoint(session):
    tx = begin(session)
    sql(tx, "SAVEPOINT mine")
    inner = tx.transaction()
    mark(inner, 1)
    sql(inner, "RELEASE SAVEPOINT mine")
    # what the savepoint protected can only be undone as a whole now
    end(inner, "rollback")
    assert state(tx) == "rolled_back"
    assert numbers(session) == []


# ---- queue ----

def endless(conn):
    """A statement that runs until it is stopped."""
    if conn.backend.name == "postgres":
        return "SELECT pg_sleep(600)"
    return "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"


@contextlib.contextmanager
def locked(conn):
    """Within it the table `marks` cannot be written: a statement that tries holds its transaction's turn."""
    if conn.backend.name == "sqlite":
        other = sqlite3.connect(conn.backend.path, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")
            other.close()
        return
    with conn.client.transaction(using=conn.name) as other:
        sql(other, "LOCK TABLE marks IN EXCLUSIVE MODE")
        try:
            yield
        finally:
            end(other, "rollback")


def queue_of(session):
    return int(session.get("/v1/session").expect(200).header("Ferro-Session-Info").rsplit("queue=", 1)[1])


def in_thread(function, *args):
    thread = threading.Thread(target=function, args=args)
    thread.start()
    return thread


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
        assert answer.header("Retry-After") and time.monotonic() - started < 2
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
    assert time.monotonic() - started < 5
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
    assert time.monotonic() - started < 5
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


# ---- models: reference cases of 14.3 ----

@pytest.fixture
def users(db):
    model = f"User{uuid.uuid4().hex[:8]}"
    db.client.post("/v1/models", {"models": [{"model_name": model, "columns": [
        {"name": "id", "logical_type": "integer", "primary_key": True},
        {"name": "name", "logical_type": "string"}]}]}).expect(200)
    db.client.post("/v1/create-tables", {"using": db.name}).expect(200)
    yield model
    db.client.delete(f"/v1/models/{model}").expect(204)


def create(client, model, name):
    return client.post(f"/v1/models/{model}/records", {"name": name}).expect(201).json()


def names(client, model):
    return sorted(row["name"] for row in client.post("/v1/query", {"model_name": model}).expect(200).json()["rows"])


def test_models_in_a_transaction(session, users):
    """TX-06, TX-07, TX-17."""
    tx = begin(session)
    create(tx, users, "alice")
    create(tx, users, "bob")
    end(tx, "commit")
    tx = begin(session)
    create(tx, users, "charlie")
    assert names(tx, users) == ["alice", "bob", "charlie"]
    end(tx, "rollback")
    assert names(session, users) == ["alice", "bob"]


def test_rollback_clears_the_identity_map(session, users):
    """TX-08: an update that was rolled back is not seen through the map."""
    dave = create(session, users, "dave")
    tx = begin(session)
    tx.put(f"/v1/models/{users}/records/{dave['id']}", {"name": "dave_updated"}).expect(200)
    create(tx, users, "eve")
    end(tx, "rollback")
    answer = session.get(f"/v1/models/{users}/records/{dave['id']}").expect(200)
    assert answer.json()["name"] == "dave" and answer.header("Ferro-Identity") == "miss"
    assert names(session, users) == ["dave"]


def test_commit_keeps_the_identity_map(session, users):
    dave = create(session, users, "dave")
    tx = begin(session)
    tx.get(f"/v1/models/{users}/records/{dave['id']}").expect(200)
    end(tx, "commit")
    assert session.get(f"/v1/models/{users}/records/{dave['id']}").expect(200).header("Ferro-Identity") == "hit"


def test_nested_models(session, users):
    """TX-09, TX-11."""
    tx = begin(session)
    create(tx, users, "outer")
    inner = tx.transaction()
    create(inner, users, "inner")
    end(inner, "commit")
    end(tx, "rollback")
    assert names(session, users) == []
    tx = begin(session)
    create(tx, users, "outer_before")
    inner = tx.transaction()
    create(inner, users, "inner")
    end(inner, "rollback")
    create(tx, users, "outer_after")
    end(tx, "commit")
    assert names(session, users) == ["outer_after", "outer_before"]


def test_bulk_create_in_a_transaction(session, users):
    """TX-10."""
    tx = begin(session)
    answer = tx.post(f"/v1/models/{users}/records", {"records": [{"name": "bulk_a"}, {"name": "bulk_b"}]}).expect(201)
    assert answer.json()["rows_inserted"] == 2
    end(tx, "rollback")
    assert names(session, users) == []


def test_a_failed_unit_of_one_request_leaves_the_rest(session, users):
    """Bulk create is one unit: it goes as a whole, what was done before stays."""
    tx = begin(session)
    first = create(tx, users, "first")
    tx.post(f"/v1/models/{users}/records", {"records": [{"name": "x"}, {"id": first["id"], "name": "y"}]}).problem(409, "unique_violation")
    assert state(tx) == "open"
    assert names(tx, users) == ["first"]
    end(tx, "commit")
    assert names(session, users) == ["first"]
