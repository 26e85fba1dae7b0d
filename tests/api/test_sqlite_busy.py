"""A lock of another process: 503 database_busy when busy_timeout is over, whoever waits and however often, and nothing later."""
import contextlib
import sqlite3
import threading
import time

import pytest

from support.client import Client
from support.server import Server
from support.tables import MARKER, create_tables

BUSY = 1.0
SLACK = 1.5


@pytest.fixture
def house(tmp_path):
    path = tmp_path / "busy.db"
    with Server("--busy-timeout-seconds", str(BUSY)) as server, Client(server.port) as client:
        client.post("/v1/connections", {"name": "f", "url": f"sqlite:{path}?mode=rwc", "default": True,
                                        "pool": {"max_connections": 10, "acquire_timeout_seconds": 30}}).expect(201)
        create_tables(client, "f", MARKER)
        client.post("/v1/models/Marker/records", {"id": 1, "label": "one"}).expect(201)
        client.other = sqlite3.connect(path, isolation_level=None)
        client.other.execute("BEGIN IMMEDIATE")
        client.path, client.server_port = path, server.port
        yield client
        client.other.close()


def timed(call):
    started = time.monotonic()
    answer = call()
    return answer, time.monotonic() - started


def writes(client):
    return (
        lambda: client.post("/v1/models/Marker/records", {"id": 2, "label": "w"}),
        lambda: client.patch("/v1/models/Marker/records/1", {"label": "w"}),
        lambda: client.post("/v1/sql/execute", {"sql": "UPDATE marker SET label = 'x'"}),
        lambda: client.post("/v1/batch", {"steps": [{"op": "create", "model": "Marker", "record": {"id": 3}}, {"op": "create", "model": "Marker", "record": {"id": 4}}]}),
        lambda: client.post("/v1/models/Marker/records", {"records": [{"id": 5, "label": "a"}, {"id": 6, "label": "b"}]}),
        lambda: client.post("/v1/models/Marker/get-or-create", {"where": {"id": 9}}),
    )


def queued(port):
    """What twelve who write side by side are answered, and after how long."""
    seen = []

    def run(n):
        with Client(port, timeout=120) as own:
            seen.append(timed(writes(own)[n % len(writes(own))]))
    threads = [threading.Thread(target=run, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 12
    return seen


def check(answer, took, busy=BUSY):
    problem = answer.problem(503, "database_busy")
    assert problem["retryable"] and answer.header("Retry-After")
    assert problem.get("outcome") in ("not_started", "rolled_back"), (answer.request, problem)
    assert busy * 0.7 < took < busy + SLACK, took


def test_each_write_waits_once(house):
    for call in writes(house):
        check(*timed(call))


def test_many_writers_wait_side_by_side(house):
    """Those who queue behind one that waits do not begin to wait when it has given up."""
    for answer, took in queued(house.server_port):
        check(answer, took)
    house.other.execute("ROLLBACK")
    for n, call in enumerate(writes(house)):
        assert call().status in (200, 201), n


def test_a_lock_that_goes_in_time(house):
    done = threading.Event()
    other = sqlite3.connect(house.path, isolation_level=None, check_same_thread=False)
    house.other.execute("ROLLBACK")
    other.execute("BEGIN IMMEDIATE")

    def release():
        time.sleep(BUSY / 2)
        other.execute("ROLLBACK")
        done.set()

    threading.Thread(target=release).start()
    answer, took = timed(writes(house)[3])
    answer.expect(200)
    assert took < BUSY + SLACK
    done.wait()
    # the next lock is another one: it is waited for from its own beginning
    other.execute("BEGIN IMMEDIATE")
    check(*timed(writes(house)[0]))
    other.close()


def test_a_statement_timeout_that_is_shorter(tmp_path):
    """Nothing was done: that is busy, and worth another try, not a statement that took too long."""
    path = tmp_path / "short.db"
    with Server("--busy-timeout-seconds", "5") as server, Client(server.port) as client:
        client.post("/v1/connections", {"name": "f", "url": f"sqlite:{path}?mode=rwc", "default": True, "pool": {"statement_timeout_seconds": 0.5}}).expect(201)
        create_tables(client, "f", MARKER)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        for call in writes(client):
            answer, took = timed(call)
            assert answer.problem(503, "database_busy")["outcome"] in ("not_started", "rolled_back")
            assert took < 5 + SLACK
        other.close()


def test_readers_that_are_locked_out(tmp_path):
    """In a rollback journal a writer that commits keeps readers out: they wait once, and get-or-create says that nothing was done."""
    path = tmp_path / "exclusive.db"
    with Server("--busy-timeout-seconds", str(BUSY)) as server, Client(server.port) as client:
        client.post("/v1/connections", {"name": "f", "url": f"sqlite:{path}?mode=rwc", "default": True}).expect(201)
        create_tables(client, "f", MARKER)
        client.post("/v1/models/Marker/records", {"id": 1, "label": "one"}).expect(201)
        client.delete("/v1/connections/f?force=true").expect(204)
        other = sqlite3.connect(path, isolation_level=None)
        assert other.execute("PRAGMA journal_mode=DELETE").fetchone() == ("delete",)
        reader = sqlite3.connect(path, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM marker").fetchall()  # so that ferrod cannot make it WAL
        client.post("/v1/connections", {"name": "f", "url": f"sqlite:{path}", "default": True}).expect(201)
        client.get("/v1/models/Marker/records/1").expect(200)
        reader.execute("COMMIT")
        other.execute("BEGIN EXCLUSIVE")
        for call in (lambda: client.get("/v1/models/Marker/records/1"), lambda: client.get("/v1/models/Marker/records"),
                     lambda: client.post("/v1/sql/fetch-all", {"sql": "SELECT * FROM marker"})):
            answer, took = timed(call)
            answer.problem(503, "database_busy")
            assert BUSY * 0.7 < took < BUSY + SLACK, took
        check(*timed(lambda: client.post("/v1/models/Marker/get-or-create", {"where": {"id": 1}})))
        check(*timed(writes(client)[3]))
        other.close()
        reader.close()
        client.get("/v1/models/Marker/records/1").expect(200)


def test_a_lock_that_keeps_readers_out(tmp_path):
    """In a rollback journal whoever commits keeps everybody out: what a write asks first waits once, too, and says what became of it."""
    path = tmp_path / "journal.db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db, contextlib.closing(sqlite3.connect(path, isolation_level=None)) as reader, \
            Server("--busy-timeout-seconds", str(BUSY)) as server, Client(server.port) as client:
        assert db.execute("PRAGMA journal_mode=DELETE").fetchone() == ("delete",)
        db.execute("CREATE TABLE marker (id INTEGER PRIMARY KEY, label TEXT)")
        db.execute("INSERT INTO marker VALUES (1, 'one')")
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM marker").fetchall()  # so that ferrod cannot make it WAL
        client.post("/v1/connections", {"name": "f", "url": f"sqlite:{path}", "default": True}).expect(201)
        client.put("/v1/models", {"models": [MARKER]}).expect(200)
        client.get("/v1/models/Marker/records/1").expect(200)
        reader.execute("COMMIT")
        db.execute("BEGIN EXCLUSIVE")
        for call in writes(client):
            check(*timed(call))
        db.execute("COMMIT")
        assert db.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        for n, call in enumerate(writes(client)):
            assert call().status in (200, 201), n


def test_a_reader_that_keeps_commits_out(tmp_path):
    """In a rollback journal a writer gets as far as its commit: that is waited for once as well, by all who queue and in every try."""
    path, busy = tmp_path / "journal.db", 2 * BUSY
    with sqlite3.connect(path, isolation_level=None) as db:
        assert db.execute("PRAGMA journal_mode=DELETE").fetchone() == ("delete",)
        db.execute("CREATE TABLE marker (id INTEGER PRIMARY KEY, label TEXT)")
        db.execute("INSERT INTO marker VALUES (1, 'one')")
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM marker").fetchall()
    with Server("--busy-timeout-seconds", str(busy)) as server, Client(server.port) as client:
        client.post("/v1/connections", {"name": "f", "url": f"sqlite:{path}", "default": True,
                                        "pool": {"max_connections": 10, "acquire_timeout_seconds": 30}}).expect(201)
        client.put("/v1/models", {"models": [MARKER]}).expect(200)
        for call in writes(client):
            check(*timed(call), busy)
        for answer, took in queued(server.port):
            check(answer, took, busy)
        reader.execute("COMMIT")
        for n, call in enumerate(writes(client)):
            assert call().status in (200, 201), n
        assert client.get("/v1/models/Marker/records/1").expect(200).json()["label"] in ("w", "x")
    reader.close()


def one_after_the_other(port, calls, busy):
    """Each of 48 who begin to write one after the other, for three times as long as a lock is waited for."""
    seen = []

    def run(n):
        with Client(port, timeout=120) as own:
            mine = calls(own)
            seen.append((n % len(mine), *timed(mine[n % len(mine)])))
    threads = [threading.Thread(target=run, args=(n,)) for n in range(48)]
    for thread in threads:
        thread.start()
        time.sleep(3 * busy / len(threads))
    for thread in threads:
        thread.join()
    assert len(seen) == len(threads)
    return seen


def in_transactions(client):
    """A transaction of its own and a write in it; how long both take."""
    def run():
        tx = client.post("/v1/transactions").expect(201).json()["transaction_id"]
        answer = client.post("/v1/models/Marker/records", {"id": 20}, headers={"Ferro-Transaction": tx})
        client.post(f"/v1/transactions/{tx}/rollback")
        return answer
    return (run,)


def test_who_comes_one_after_the_other(house):
    """Each waits from its own beginning: whoever has queued so long leaves, whatever those before it may still wait for."""
    for n, answer, took in one_after_the_other(house.server_port, lambda c: writes(c) + in_transactions(c), BUSY):
        if n < len(writes(house)):
            check(answer, took)
        else:
            assert answer.problem(503, "database_busy")["retryable"]
            assert BUSY * 0.7 < took < BUSY + SLACK, took
    house.other.execute("ROLLBACK")
    for n, call in enumerate(writes(house)):
        assert call().status in (200, 201), n


def test_commits_that_come_one_after_the_other(tmp_path):
    """The same where it is the commits that cannot get on: who joins a shared one late keeps nobody longer in it."""
    path, busy = tmp_path / "journal.db", 2 * BUSY
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db, contextlib.closing(sqlite3.connect(path, isolation_level=None)) as reader, \
            Server("--busy-timeout-seconds", str(busy)) as server, Client(server.port) as client:
        db.execute("CREATE TABLE marker (id INTEGER PRIMARY KEY, label TEXT)")
        db.execute("INSERT INTO marker VALUES (1, 'one')")
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM marker").fetchall()
        client.post("/v1/connections", {"name": "f", "url": f"sqlite:{path}", "default": True,
                                        "pool": {"max_connections": 10, "acquire_timeout_seconds": 30}}).expect(201)
        client.put("/v1/models", {"models": [MARKER]}).expect(200)
        for _, answer, took in one_after_the_other(server.port, lambda c: writes(c)[2:5], busy):
            check(answer, took, busy)
        reader.execute("COMMIT")
        for n, call in enumerate(writes(client)):
            assert call().status in (200, 201), n


def test_a_writer_of_our_own_is_no_lock_of_others(tmp_path):
    """Behind a transaction that works, a write waits as long as the pool says, whatever locks others had before."""
    path = tmp_path / "own.db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other, \
            Server("--busy-timeout-seconds", "0.5") as server, Client(server.port) as client:
        client.post("/v1/connections", {"name": "f", "url": f"sqlite:{path}?mode=rwc", "default": True,
                                        "pool": {"max_connections": 10, "acquire_timeout_seconds": 1}}).expect(201)
        create_tables(client, "f", MARKER)
        client.post("/v1/models/Marker/records", {"id": 1, "label": "one"}).expect(201)
        other.execute("BEGIN IMMEDIATE")
        client.post("/v1/models/Marker/records", {"id": 2}).problem(503, "database_busy")
        other.execute("ROLLBACK")
        tx = client.post("/v1/transactions").expect(201).json()["transaction_id"]
        client.post("/v1/models/Marker/records", {"id": 3}, headers={"Ferro-Transaction": tx}).expect(201)
        for call in writes(client):
            answer, took = timed(call)
            answer.problem(503, "pool_timeout")
            assert took > 0.9, took


def side_by_side(port, calls):
    """What each of them is answered, and after how long."""
    seen = []

    def run(call):
        with Client(port, timeout=120) as own:
            seen.append(timed(lambda: call(own)))
    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == len(threads)
    return seen


def test_readers_of_a_file_that_cannot_be_opened_wait_side_by_side(tmp_path):
    """One of a loop opens a connection for all: whoever has waited behind it does not begin to wait when it has given up."""
    path = tmp_path / "journal.db"
    with Server("--loops", "1", "--busy-timeout-seconds", str(BUSY)) as server, Client(server.port) as client:
        client.post("/v1/connections", {"name": "f", "url": f"sqlite:{path}?mode=rwc", "default": True, "pool": {"idle_timeout_seconds": 0.1}}).expect(201)
        create_tables(client, "f", MARKER)
        until = time.monotonic() + 60
        while client.get("/v1/connections/f").expect(200).json()["pool"]["size"] > 0:
            assert time.monotonic() < until
            time.sleep(0.1)
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            assert other.execute("PRAGMA journal_mode=DELETE").fetchone() == ("delete",)
            other.execute("BEGIN EXCLUSIVE")
            repeated = {"Idempotency-Key": "opened"}  # each runs when the one before it has failed
            for call in (lambda own: own.get("/v1/models/Marker/records/1"),
                         lambda own: own.post("/v1/transactions", {}, headers=repeated)):
                for answer, took in side_by_side(server.port, [call] * 6):
                    answer.problem(503, "database_busy")
                    assert took < BUSY + SLACK, took
            other.execute("ROLLBACK")
            client.get("/v1/models/Marker/records/1").expect(404)


def test_repetitions_of_a_request_wait_side_by_side(house):
    """One that runs because the one before it under its Idempotency-Key has failed has waited already."""
    def create(own):
        return own.post("/v1/models/Marker/records", {"id": 30, "label": "once"}, headers={"Idempotency-Key": "repeated"})
    for answer, took in side_by_side(house.server_port, [create] * 5):
        answer.problem(503, "database_busy")
        assert took < BUSY + SLACK, took
    house.other.execute("ROLLBACK")
    create(house).expect(201)
