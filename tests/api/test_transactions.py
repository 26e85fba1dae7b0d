"""Transactions and savepoints: every rule of the contract's section 8 for one client at a time, on both databases."""
import threading
import uuid

import pytest

from support.client import Client
from support.transactions import begin, db, end, gauges, mark, numbers, rows, session, sql, state, tx_id  # noqa: F401


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
