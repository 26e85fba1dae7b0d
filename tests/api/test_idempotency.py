"""Idempotency-Key: the first answer is kept and given again; concurrent duplicates wait; another body is refused."""
import hashlib
import json
import os
import signal
import socket
import sqlite3
import threading
import time
import types
import uuid

import pytest

from support import vanish
from support.client import Client
from support.keys import Keys
from support.process import wait_for
from support.server import Server


@pytest.fixture
def db(conn):
    conn.client.post("/v1/sql/execute", {"sql": "CREATE TABLE marks (n integer PRIMARY KEY)", "using": conn.name}).expect(200)
    return conn


def key():
    return {"Idempotency-Key": uuid.uuid4().hex}


def insert(db, n, headers, client=None):
    return (client or db.client).post("/v1/sql/execute", {"sql": f"INSERT INTO marks VALUES ({n})", "using": db.name}, headers=headers)


def count(db):
    answer = db.client.post("/v1/sql/fetch-one", {"sql": "SELECT count(*) AS n FROM marks", "using": db.name})
    return answer.expect(200).json()["row"]["n"]


def replayed(answer):
    return answer.header("Idempotency-Replayed") == "true"


def test_the_first_answer_is_given_again(db):
    headers = key()
    first = insert(db, 1, headers).expect(200)
    assert not replayed(first)
    for _ in range(3):
        again = insert(db, 1, headers).expect(200)
        assert replayed(again) and again.body == first.body
        assert again.header("X-Request-Id") != first.header("X-Request-Id")
    assert count(db) == 1
    assert not replayed(insert(db, 2, key()).expect(200))


def test_another_body_is_refused(db):
    headers = key()
    insert(db, 1, headers).expect(200)
    insert(db, 2, headers).problem(422, "idempotency_key_reused")
    # the same means the same bytes
    raw = json.dumps({"using": db.name, "sql": "INSERT INTO marks VALUES (1)"}).encode()
    db.client.post("/v1/sql/execute", raw=raw, headers={**headers, "Content-Type": "application/json"}).problem(
        422, "idempotency_key_reused")
    assert count(db) == 1


def test_path_and_query_are_part_of_the_scope(db):
    headers = key()
    body = {"sql": "INSERT INTO marks VALUES (1)"}
    db.client.post("/v1/sql/execute", body, params=db.using, headers=headers).expect(200)
    assert replayed(db.client.post("/v1/sql/execute", body, params=db.using, headers=headers).expect(200))
    other = db.client.post("/v1/sql/fetch-all", {"sql": "INSERT INTO marks VALUES (2)"}, params=db.using, headers=headers)
    assert not replayed(other.expect(200))
    assert count(db) == 2


def test_refusals_are_kept(db):
    headers = key()
    insert(db, 1, {}).expect(200)
    first = insert(db, 1, headers)
    first.problem(409, "unique_violation")
    db.client.post("/v1/sql/execute", {"sql": "DELETE FROM marks", "using": db.name}).expect(200)
    again = insert(db, 1, headers)
    assert again.problem(409, "unique_violation") and replayed(again)
    assert count(db) == 0


def test_retryable_answers_are_not_kept(sqlite_conn):
    conn = sqlite_conn
    conn.client.post("/v1/sql/execute", {"sql": "CREATE TABLE marks (n integer PRIMARY KEY)", "using": conn.name}).expect(200)
    headers = key()
    other = sqlite3.connect(conn.backend.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    answer = insert(conn, 1, {**headers, "Prefer": "timeout=0.3"})
    assert answer.status in (503, 504), answer.body
    other.execute("ROLLBACK")
    other.close()
    answer = insert(conn, 1, headers).expect(200)
    assert not replayed(answer)
    assert count(conn) == 1


def test_serialization_failures_are_not_kept(sqlite_conn):
    conn = sqlite_conn
    conn.client.post("/v1/sql/execute", {"sql": "CREATE TABLE marks (n integer PRIMARY KEY)", "using": conn.name}).expect(200)
    headers = key()
    tx = conn.client.transaction(using=conn.name)
    tx.post("/v1/sql/fetch-all", {"sql": "SELECT n FROM marks"}).expect(200)
    insert(conn, 1, {}).expect(200)
    for _ in range(2):
        answer = insert(conn, 2, headers, tx)
        answer.problem(409, "serialization_failure")
        assert not replayed(answer)
    conn.client.post(f"/v1/transactions/{tx.headers['Ferro-Transaction']}/rollback").expect(200)


def test_malformed_keys(db):
    for bad in ("", "x" * 256, "a b", "\u00e9".encode("utf-8").decode("latin-1")):
        answer = db.client.post("/v1/sql/execute", {"sql": "INSERT INTO marks VALUES (1)", "using": db.name},
                                headers={"Idempotency-Key": bad})
        answer.problem(400, "invalid_request")
    assert count(db) == 0
    insert(db, 1, {"Idempotency-Key": "!" + uuid.uuid4().hex * 7 + "x" * 29 + "~"}).expect(200)


def test_concurrent_duplicates_wait_for_the_first(db):
    """The first is held up; the others answer as it does, and it runs once."""
    slow = "SELECT pg_sleep(0.6)" if db.backend.name == "postgres" else (
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 400000) SELECT count(*) AS n FROM c")
    headers = key()
    answers = []

    def run():
        with Client(db.client.port) as c:
            answers.append(c.post("/v1/batch", {"using": db.name, "steps": [
                {"op": "sql.fetch_all", "sql": slow}, {"op": "sql.execute", "sql": "INSERT INTO marks VALUES (1)"}]}, headers=headers))

    threads = [threading.Thread(target=run) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert [a.status for a in answers] == [200] * 8
    assert len({a.body for a in answers}) == 1
    assert sorted(replayed(a) for a in answers) == [False] + [True] * 7
    assert count(db) == 1


def test_when_the_first_is_not_kept_the_next_one_runs(sqlite_conn):
    conn = sqlite_conn
    conn.client.post("/v1/sql/execute", {"sql": "CREATE TABLE marks (n integer PRIMARY KEY)", "using": conn.name}).expect(200)
    headers = key()
    other = sqlite3.connect(conn.backend.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    body = {"sql": "INSERT INTO marks VALUES (1)", "using": conn.name}
    first = vanish.send(conn.client.port, "/v1/sql/execute", body, headers)
    time.sleep(0.2)
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(insert(conn, 1, headers, Client(conn.client.port))))
    waiting.start()
    time.sleep(0.2)
    first.close()                            # cancelled: nothing came of it
    time.sleep(0.3)
    other.execute("ROLLBACK")
    other.close()
    waiting.join()
    assert answers[0].expect(200) and not replayed(answers[0])
    assert count(conn) == 1


def test_a_lost_reply_can_be_had_again(db):
    for n in range(10):
        headers = key()
        body = {"sql": f"INSERT INTO marks VALUES ({n})", "using": db.name}
        vanish.send(db.client.port, "/v1/sql/execute", body, headers).close()
        insert(db, n, headers).expect(200)   # runs it, waits for it or replays it; never twice
    assert count(db) == 10


def test_sessions_transactions_and_records(db):
    headers = key()
    first = db.client.post("/v1/sessions", {"using": db.name}, headers=headers).expect(201)
    again = db.client.post("/v1/sessions", {"using": db.name}, headers=headers).expect(201)
    assert replayed(again) and again.header("Ferro-Session") == first.header("Ferro-Session") and again.body == first.body
    with db.client.clone(Ferro_Session=first.header("Ferro-Session")) as session:
        headers = key()
        first = session.post("/v1/transactions", {}, headers=headers).expect(201)
        again = session.post("/v1/transactions", {}, headers=headers).expect(201)
        assert again.header("Ferro-Transaction") == first.header("Ferro-Transaction")
        assert again.header("Location") == first.header("Location")
        assert len(session.get("/v1/session").expect(200).json()["transactions"]) == 1
        session.delete("/v1/session?rollback=true").expect(204)
    model = f"Idem{uuid.uuid4().hex[:8]}"
    db.client.put("/v1/models", {"models": [{"model_name": model, "columns": [
        {"name": "id", "logical_type": "integer", "primary_key": True}]}]}).expect(200)
    db.client.post("/v1/create-tables", {"using": db.name}).expect(200)
    headers = key()
    db.client.put("/v1/models", {"models": [{"model_name": model, "columns": [
        {"name": "id", "logical_type": "integer", "primary_key": True},
        {"name": "more", "logical_type": "integer", "nullable": True}]}]}).expect(200)
    done = [db.client.post("/v1/migrate", {"using": db.name, "updates": True}, headers=headers).expect(200) for _ in range(2)]
    assert replayed(done[1]) and done[0].body == done[1].body and done[1].json()["applied"] is True
    headers = key()
    made = [db.client.post(f"/v1/models/{model}/records", {}, params=db.using, headers=headers).expect(201) for _ in range(2)]
    assert made[0].body == made[1].body
    for name in ("Location", "ETag"):
        assert made[0].header(name) == made[1].header(name) is not None
    db.client.delete(f"/v1/models/{model}").expect(204)


# ---- answers that are too large ----

LARGE = 4000  # rows of a hundred bytes


@pytest.fixture
def small_store(backend):
    """A server that keeps answers up to 100 kB, and 250 kB of them in all."""
    with Server(config={"idempotency_answer_bytes": 100000, "idempotency_bytes": 250000, "default_url": backend.url}) as own, \
            Client(own.port) as c:
        c.post("/v1/sql/execute", {"sql": "CREATE TABLE marks (n integer, t varchar)"}).expect(200)
        yield types.SimpleNamespace(client=c, backend=backend, server=own)


def writing(db, rows):
    """Inserts that many rows and answers them, a hundred bytes each."""
    text = "repeat('x', 80)" if db.backend.name == "postgres" else "printf('%080d', x)"
    return {"sql": "INSERT INTO marks WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < "
                   f"{rows}) SELECT x, {text} FROM c RETURNING n, t"}


def written(db):
    return db.client.post("/v1/sql/fetch-one", {"sql": "SELECT count(*) AS n FROM marks"}).expect(200).json()["row"]["n"]


def test_a_large_answer_is_collected_and_kept(small_store):
    """Past the size from which answers stream, but kept."""
    headers = key()
    first = small_store.client.post("/v1/sql/fetch-all", writing(small_store, 900), headers=headers).expect(200)
    assert len(first.body) > 70000 and first.header("Transfer-Encoding") is None
    again = small_store.client.post("/v1/sql/fetch-all", writing(small_store, 900), headers=headers).expect(200)
    assert replayed(again) and again.body == first.body
    assert written(small_store) == 900


@pytest.mark.parametrize("accept", ["application/json", "application/x-ndjson", "text/csv"])
def test_a_larger_answer_is_given_once_and_never_written_twice(small_store, accept):
    headers = {**key(), "Accept": accept}
    first = small_store.client.post("/v1/sql/fetch-all", writing(small_store, LARGE), headers=headers).expect(200)
    assert len(first.body) > 300000 and first.header("Transfer-Encoding") == "chunked"
    for _ in range(2):
        problem = small_store.client.post("/v1/sql/fetch-all", writing(small_store, LARGE), headers=headers).problem(
            422, "idempotency_key_reused")
        assert problem["outcome"] == "committed" and "too large to keep" in problem["detail"]
    assert written(small_store) == LARGE


def test_a_large_batch_is_not_run_twice(small_store):
    headers = key()
    body = {"steps": [{"op": "sql.fetch_all", **writing(small_store, LARGE)}]}
    small_store.client.post("/v1/batch", body, headers=headers).expect(200)
    assert small_store.client.post("/v1/batch", body, headers=headers).problem(
        422, "idempotency_key_reused")["outcome"] == "committed"
    assert written(small_store) == LARGE


def test_inside_a_transaction_its_end_decides(small_store):
    """Nothing is said to be committed that was rolled back."""
    c = small_store.client
    headers = key()
    tx = c.transaction()
    tx.post("/v1/sql/fetch-all", writing(small_store, LARGE), headers=headers).expect(200)
    problem = tx.post("/v1/sql/fetch-all", writing(small_store, LARGE), headers=headers).problem(422, "idempotency_key_reused")
    assert "outcome" not in problem
    c.post(f"/v1/transactions/{tx.headers['Ferro-Transaction']}/rollback").expect(200)
    assert written(small_store) == 0


@pytest.mark.parametrize("size", [1, LARGE])
def test_an_undone_one_is_not_kept(small_store, size):
    """Who sends for good what was only tried gets no answer that says it was done."""
    headers, c = key(), small_store.client
    body = {"steps": [{"op": "sql.fetch_all", **writing(small_store, size)}]}
    for _ in range(2):
        answer = c.post("/v1/batch", body, headers={**headers, "Prefer": "tx=rollback"}).expect(200)
        assert not replayed(answer) and written(small_store) == 0
    answer = c.post("/v1/batch", body, headers=headers).expect(200)
    assert not replayed(answer) and written(small_store) == size
    again = c.post("/v1/batch", body, headers={**headers, "Prefer": "tx=rollback"})
    assert again.status == 422 if size == LARGE else replayed(again)
    assert written(small_store) == size


def test_the_oldest_answers_go_but_not_what_is_known(small_store):
    """Beyond the bytes of all answers the oldest is forgotten; that it was given is not."""
    keys = [key() for _ in range(5)]
    c = small_store.client
    for headers in keys:
        c.post("/v1/sql/fetch-all", writing(small_store, 900), headers=headers).expect(200)
    answers = [c.post("/v1/sql/fetch-all", writing(small_store, 900), headers=headers) for headers in keys]
    assert [a.status for a in answers] == [422, 422, 200, 200, 200] or [a.status for a in answers] == [422, 422, 422, 200, 200]
    assert answers[0].json()["outcome"] == "committed" and replayed(answers[-1])
    assert written(small_store) == 5 * 900


def test_when_the_outcome_is_unknown_nothing_runs_again(postgres_conn):
    """The connection breaks under one that may commit on its way and so has no number to ask for: its outcome is not known, so its
    key does not do it again."""
    conn = postgres_conn
    conn.client.post("/v1/sql/execute", {"sql": "CREATE TABLE marks (n integer)", "using": conn.name}).expect(200)
    conn.backend.pg.psql("CHECKPOINT")    # the table outlives the crash below
    headers = key()
    body = {"sql": "DO $$ BEGIN CREATE TABLE more (n integer); PERFORM pg_sleep(20); END $$", "using": conn.name}
    answers = []
    running = threading.Thread(target=lambda: answers.append(
        Client(conn.client.port).post("/v1/sql/execute", body, headers=headers)))
    running.start()
    pg = conn.backend.pg
    wait_for(lambda: pg.psql("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'DO %more%'"
                             f" AND datname = '{conn.backend.database}'") == "1", 10, "the statement")
    pids = pg.psql(f"SELECT pid FROM pg_stat_activity WHERE datname = '{conn.backend.database}' AND query LIKE 'DO %more%'")
    for pid in pids.split():
        os.kill(int(pid), signal.SIGKILL)       # no last word: the whole server starts again
    running.join()
    assert answers[0].problem(503, "database_unavailable")["outcome"] == "unknown"
    again = conn.client.post("/v1/sql/execute", body, headers=headers)
    problem = again.problem(422, "idempotency_key_reused")
    # the 503 is not said again, and nothing invites to try for ever
    assert problem["outcome"] == "unknown" and not problem.get("retryable") and not replayed(again)
    wait_for(lambda: conn.client.post("/v1/sql/fetch-one", {"sql": "SELECT count(*) AS n FROM marks", "using": conn.name}).status == 200,
             20, "PostgreSQL")
    assert count(conn) == 0
    assert conn.backend.pg.psql("SELECT to_regclass('more') IS NULL", conn.backend.database) == "t"


def test_no_one_elses(sqlite_backend, tmp_path):
    """The key is the caller's own."""
    salt = bytes(16)
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps([{"name": n, "hash": f"sha256${salt.hex()}${hashlib.sha256(salt + (n * 40).encode()).hexdigest()}",
                                 "scopes": ["sql"]} for n in "ab"]))
    with Server(config={"keys_file": str(keys), "default_url": sqlite_backend.url}) as own:
        a, b = (Client(own.port, {"Authorization": f"Bearer {n * 40}"}) for n in "ab")
        a.post("/v1/sql/execute", {"sql": "CREATE TABLE marks (n integer)"}).expect(200)
        headers = key()
        for c in (a, b, a, b):
            c.post("/v1/sql/execute", {"sql": "INSERT INTO marks VALUES (1)"}, headers=headers).expect(200)
        assert a.post("/v1/sql/fetch-one", {"sql": "SELECT count(*) AS n FROM marks"}).expect(200).data() == {"row": {"n": 2}}


def pipeline(port, first, end):
    """That many requests with keys first..end-1 over one connection, a hundred at a time."""
    body = b'{"sql":"SELECT 1 AS n"}'
    with socket.create_connection(("127.0.0.1", port), timeout=30) as s:
        for start in range(first, end, 100):
            n = min(100, end - start)
            s.sendall(b"".join(
                b"POST /v1/sql/fetch-one HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n"
                b"Idempotency-Key: key-%d\r\nContent-Length: %d\r\n\r\n%s" % (port, start + i, len(body), body) for i in range(n)))
            got = b""
            while got.count(b'"row":{"n":1}}') < n:
                more = s.recv(65536)
                assert more, got[-500:]
                got += more


def test_the_store_is_bounded():
    """More keys than are kept: the oldest go, memory stays."""
    with Server(config={"access_log": False}) as own, Client(own.port) as c:
        def again(i):
            answer = c.post("/v1/sql/fetch-one", raw=b'{"sql":"SELECT 1 AS n"}', headers={
                "Content-Type": "application/json", "Idempotency-Key": f"key-{i}"})
            return replayed(answer.expect(200))

        pipeline(own.port, 0, 10000)
        assert again(0) and again(9999)
        before = own.rss_kib()
        pipeline(own.port, 10000, 20000)
        assert again(19999) and again(10001)
        assert not again(3) and not again(9999)
        assert own.rss_kib() - before < vanish.growth_bound(8 * 1024)


def test_what_writes_the_models_is_kept_too(db):
    """POST /v1/models and introspection with register write the registry: the same key does it once."""
    client = db.client
    def models(name):
        return {"models": [{"model_name": name, "columns": [{"name": "id", "logical_type": "integer", "primary_key": True}]}]}
    for path, body, other in (("/v1/models", models("Once"), models("Twice")),
                              ("/v1/introspect", {"using": db.name, "register": True}, {"using": db.name})):
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        first = client.post(path, body, headers=headers).expect(200)
        again = client.post(path, body, headers=headers).expect(200)
        assert again.header("Idempotency-Replayed") == "true" and again.body == first.body
        client.post(path, other, headers=headers).problem(422, "idempotency_key_reused")


# ---- what is the same request ----

def test_the_same_request_spelt_otherwise_is_the_same(conn):
    """A trailing slash, percent-encoding and the order of arguments do not make another request."""
    model = f"U{uuid.uuid4().hex[:8]}"
    conn.client.put("/v1/models", {"models": [{"model_name": model, "columns": [
        {"name": "id", "logical_type": "integer", "primary_key": True, "autoincrement": True},
        {"name": "n", "logical_type": "integer"}]}]}).expect(200)
    conn.client.post("/v1/create-tables", {"using": conn.name}).expect(200)
    headers = key()
    encoded = "%55" + model[1:]
    first = conn.client.post(f"/v1/models/{model}/records?using={conn.name}", {"n": 1}, headers=headers).expect(201)
    for path in (f"/v1/models/{model}/records/?using={conn.name}", f"/v1/models/{encoded}/records?using={conn.name}",
                 f"/v1/models/{encoded}/records/?using=%{ord(conn.name[0]):x}{conn.name[1:]}"):
        again = conn.client.post(path, {"n": 1}, headers=headers).expect(201)
        assert replayed(again) and again.body == first.body, path
    headers = key()
    upsert = f"/v1/models/{model}/records"
    conn.client.post(f"{upsert}?using={conn.name}&on_conflict=ignore&conflict_columns=id", {"id": 77, "n": 1}, headers=headers)
    assert replayed(conn.client.post(f"{upsert}/?conflict_columns=i%64&using={conn.name}&on_conflict=ignore", {"id": 77, "n": 1},
                                     headers=headers))
    rows = conn.client.get(f"/v1/models/{model}/records", params=conn.using).expect(200).json()["rows"]
    assert sorted(row["n"] for row in rows) == [1, 1]
    conn.client.delete(f"/v1/models/{model}").expect(204)


def test_values_do_not_run_into_each_other(db):
    """What separates the parts of a request cannot be forged by a part."""
    headers = key()
    body = {"sql": "INSERT INTO marks VALUES (1)"}
    assert not replayed(db.client.post(f"/v1/sql/execute?using={db.name}", body, headers=headers).expect(200))
    answer = db.client.post(f"/v1/sql/execute?using={db.name}%0Ausing={db.name}", body, headers=headers)
    assert not replayed(answer) and answer.status in (400, 404)


@pytest.mark.parametrize("missing", ["scope", "connection"])
def test_what_was_refused_for_rights_is_judged_anew(sqlite_backend, tmp_path, missing):
    """The key gets what it lacked while the server runs; the same request is done then."""
    keys = Keys(tmp_path)
    keys.add("worker", ["read", "write", "sql"])
    keys.entries[0] |= {"scopes": ["read", "write"]} if missing == "scope" else {"connections": ["other"]}
    keys.write()
    with Server(config={"keys_file": str(keys.path), "default_url": sqlite_backend.url}) as own:
        worker, headers = keys.client(own.port, "worker"), key()
        body = {"using": "default", "steps": [{"op": "sql.execute", "sql": "CREATE TABLE marks (n integer)"}]}
        for _ in range(2):
            refused = worker.post("/v1/batch", body, headers=headers)
            assert refused.problem(403, "forbidden") and not replayed(refused)
        keys.entries[0] |= {"scopes": ["read", "write", "sql"], "connections": ["default"]}
        keys.write()
        own.process.send_signal(signal.SIGHUP)
        wait_for(lambda: own.events("reloaded"), 10, "the keys")
        done = worker.post("/v1/batch", body, headers=headers).expect(200)
        assert not replayed(done) and replayed(worker.post("/v1/batch", body, headers=headers).expect(200))


def test_what_the_database_refused_for_rights_is_judged_anew(postgres_conn):
    conn, headers = postgres_conn, key()
    pg, database = conn.backend.pg, conn.backend.database
    conn.client.post("/v1/sql/execute", {"sql": "CREATE TABLE marks (n integer)", "using": conn.name}).expect(200)
    url = pg.url(database, "guarded", "open%20sesame")
    conn.client.post("/v1/connections", {"name": "guarded", "url": url}).expect(201)
    body = {"sql": "INSERT INTO marks VALUES (1)", "using": "guarded"}
    try:
        refused = conn.client.post("/v1/sql/execute", body, headers=headers)
        assert refused.problem(403, "database_forbidden") and not replayed(refused)
        pg.psql("GRANT INSERT ON marks TO guarded", database)
        assert not replayed(conn.client.post("/v1/sql/execute", body, headers=headers).expect(200))
        assert replayed(conn.client.post("/v1/sql/execute", body, headers=headers).expect(200))
        assert count(conn) == 1
    finally:
        conn.client.delete("/v1/connections/guarded", params={"force": "true"})
        pg.psql("DROP OWNED BY guarded", database)


# ---- each key has its own room ----

def keyed_server(directory, url, names, **more):
    salt = bytes(16)
    keys = directory / "keys.json"
    keys.write_text(json.dumps([{"name": n, "hash": f"sha256${salt.hex()}${hashlib.sha256(salt + (n * 40).encode()).hexdigest()}",
                                 "scopes": scopes} for n, scopes in names.items()]))
    return Server(config={"keys_file": str(keys), "default_url": url, **more})


def bearer(name):
    return {"Authorization": f"Bearer {name * 40}"}


def test_a_reader_cannot_push_out_what_a_writer_did(backend, tmp_path):
    """Each caller's answers are bounded by themselves: a flood of one key leaves the other's retry what it was."""
    with keyed_server(tmp_path, backend.url, {"w": ["sql"], "r": ["read"]}, idempotency_entries=20, sessions=1000) as own:
        writer, reader = Client(own.port, bearer("w")), Client(own.port, bearer("r"))
        writer.post("/v1/sql/execute", {"sql": "CREATE TABLE marks (n integer)"}).expect(200)
        headers = key()
        body = {"sql": "INSERT INTO marks VALUES (1)"}
        writer.post("/v1/sql/execute", body, headers=headers).expect(200)
        for _ in range(60):
            reader.post("/v1/transactions", {"timeout_seconds": -1}, headers=key(), validate=False)
            reader.post("/v1/sessions", {}, headers=key()).expect(201)
        assert replayed(writer.post("/v1/sql/execute", body, headers=headers).expect(200))
        assert writer.post("/v1/sql/fetch-one", {"sql": "SELECT count(*) AS n FROM marks"}).data() == {"row": {"n": 1}}


def test_nor_by_its_bytes(backend, tmp_path):
    with keyed_server(tmp_path, backend.url, {"w": ["sql"], "x": ["sql"]}, idempotency_bytes=50000) as own:
        writer, other = Client(own.port, bearer("w")), Client(own.port, bearer("x"))
        headers = key()
        writer.post("/v1/sql/fetch-one", {"sql": "SELECT 1 AS n"}, headers=headers).expect(200)
        text = "repeat('x', 40000)" if backend.name == "postgres" else "printf('%040000d', 1)"
        for _ in range(5):
            other.post("/v1/sql/fetch-one", {"sql": f"SELECT {text} AS n"}, headers=key()).expect(200)
        assert replayed(writer.post("/v1/sql/fetch-one", {"sql": "SELECT 1 AS n"}, headers=headers).expect(200))


def test_the_entries_of_one_key_are_bounded(sqlite_backend, tmp_path):
    """At the edge: as many as the setting says are kept, the oldest goes with the next."""
    with Server(config={"default_url": sqlite_backend.url, "idempotency_entries": 3}) as own, Client(own.port) as c:
        def ask(name):
            return replayed(c.post("/v1/sql/fetch-one", {"sql": "SELECT 1 AS n"}, headers={"Idempotency-Key": name}).expect(200))

        assert [ask(name) for name in "abc"] == [False] * 3
        assert [ask(name) for name in "abc"] == [True] * 3
        assert not ask("d")
        assert [ask(name) for name in "bcd"] == [True] * 3 and not ask("a")
