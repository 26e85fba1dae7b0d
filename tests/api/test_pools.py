"""Pools: maximum, arrival order, acquire timeout, minimum, recycling, statement timeout; seen through the gauges."""
import threading
import time

import pytest

from support.client import Client
from support.process import wait_for
from support.server import patience
from support.tables import sql


def gauges(client, name):
    return client.get(f"/v1/connections/{name}").expect(200).json()["pool"]


@pytest.fixture
def pooled(server, backend):
    """pooled(max_connections=…) -> a client; the connection is named `pooled`."""
    with Client(server.port) as client:
        def connect(**pool):
            client.post("/v1/connections", {"url": backend.url, "name": "pooled", "pool": pool}).expect(201)
            return client
        connect.backend = backend
        yield connect
        if server.alive:
            client.close()
            client.delete("/v1/connections/pooled?force=true")


def write(client, number=0):
    """A statement that needs a pooled connection of its own on both databases."""
    return sql(client, f"INSERT INTO log (n) VALUES ({number})", using="pooled", verb="execute")


def holder(client):
    """A transaction that has the pool's one connection (of SQLite: the one writer)."""
    inside = client.transaction(using="pooled")
    sql(inside, "INSERT INTO log (n) VALUES (-1)", verb="execute").expect(200)
    return inside


def finish(inside, how="commit"):
    inside.post(f"/v1/transactions/{inside.headers['Ferro-Transaction']}/{how}").expect(200)
    inside.close()


def table(client):
    sql(client, "CREATE TABLE log (id INTEGER PRIMARY KEY, n INTEGER)" if client_backend(client) == "sqlite"
        else "CREATE TABLE log (id SERIAL PRIMARY KEY, n INTEGER)", using="pooled", verb="execute").expect(200)


def client_backend(client):
    return client.get("/v1/connections/pooled").json()["backend"]


def test_acquire_timeout(pooled):
    """The pool's only connection is taken: 503 pool_timeout with Retry-After, after the acquire timeout, not before."""
    client = pooled(max_connections=1, acquire_timeout_seconds=0.3)
    table(client)
    inside = holder(client)
    started = time.monotonic()
    answer = write(client)
    took = time.monotonic() - started
    answer.problem(503, "pool_timeout")
    assert answer.json()["retryable"] and int(answer.header("Retry-After")) >= 0
    assert 0.25 < took < patience(3), took
    finish(inside)
    write(client).expect(200)


def test_no_more_than_the_maximum(pooled):
    client = pooled(max_connections=3, acquire_timeout_seconds=20)
    table(client)
    seen, stop = [], threading.Event()

    def watch():
        with client.clone() as own:
            while not stop.is_set():
                seen.append(gauges(own, "pooled"))

    def work():
        with client.clone() as own:
            for number in range(10):
                write(own, number).expect(200)

    watcher = threading.Thread(target=watch)
    watcher.start()
    workers = [threading.Thread(target=work) for _ in range(12)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    stop.set()
    watcher.join(10)
    assert sql(client, "SELECT count(*) AS n FROM log", using="pooled").json()["rows"] == [{"n": 120}]
    assert seen and max(g["size"] for g in seen) <= 3 and all(g["idle"] + g["in_use"] <= g["size"] for g in seen)
    final = wait_for(lambda: (g := gauges(client, "pooled"))["in_use"] == 0 and g, 5, "an idle pool")
    assert final["waiting"] == 0
    if pooled.backend.name == "postgres":
        assert pooled.backend.pg.backends(pooled.backend.database) <= 3


def test_waiters_are_served_in_arrival_order(pooled):
    client = pooled(max_connections=1, acquire_timeout_seconds=20)
    table(client)
    inside = holder(client)
    threads = []
    for number in range(8):
        def work(number=number):
            with client.clone() as own:
                write(own, number).expect(200)
        threads.append(threading.Thread(target=work))
        threads[-1].start()
        wait_for(lambda n=number: gauges(client, "pooled")["waiting"] == n + 1, 10, f"waiter {number}")
    finish(inside, "rollback")
    for thread in threads:
        thread.join(30)
    rows = sql(client, "SELECT n FROM log ORDER BY id", using="pooled").expect(200).json()["rows"]
    assert [row["n"] for row in rows] == list(range(8))


def test_waiter_that_goes_away_leaves_the_queue(pooled):
    client = pooled(max_connections=1, acquire_timeout_seconds=20)
    table(client)
    inside = holder(client)
    with client.clone() as gone:
        gone.connection = None
        gone.timeout = 0.3
        with pytest.raises(OSError):
            write(gone)
    wait_for(lambda: gauges(client, "pooled")["waiting"] == 0, 5, "an empty queue")
    finish(inside)
    write(client, 7).expect(200)
    rows = sql(client, "SELECT n FROM log ORDER BY id", using="pooled").json()["rows"]
    assert [row["n"] for row in rows] == [-1, 7]


def test_minimum_is_kept_open(pooled):
    client = pooled(max_connections=4, min_connections=2, idle_timeout_seconds=0.3)
    wait_for(lambda: gauges(client, "pooled")["size"] >= 2, 5, "the minimum")
    held = [client.transaction(using="pooled") for _ in range(3)] if pooled.backend.name == "postgres" else []
    for inside in held:
        sql(inside, "SELECT 1").expect(200)
    for inside in held:
        finish(inside)
    wait_for(lambda: gauges(client, "pooled")["size"] == 2, 10, "the minimum again")


def test_idle_connections_are_closed(pooled):
    if pooled.backend.name == "sqlite":
        client = pooled(max_connections=3, idle_timeout_seconds=0.3)
        sql(client, "SELECT 1", using="pooled").expect(200)
        wait_for(lambda: gauges(client, "pooled")["size"] == 0, 10, "an empty pool")
        sql(client, "SELECT 1", using="pooled").expect(200)
        return
    client = pooled(max_connections=3, idle_timeout_seconds=0.3)
    held = [client.transaction(using="pooled") for _ in range(3)]
    for inside in held:
        sql(inside, "SELECT 1").expect(200)
    assert gauges(client, "pooled")["size"] == 3
    for inside in held:
        finish(inside)
    wait_for(lambda: gauges(client, "pooled")["size"] == 0, 10, "an empty pool")
    wait_for(lambda: pooled.backend.pg.backends(pooled.backend.database) == 0, 5, "no backends")
    sql(client, "SELECT 1", using="pooled").expect(200)


def test_old_connections_are_replaced(server, postgres_backend):
    with Client(server.port) as client:
        client.post("/v1/connections", {"url": postgres_backend.url, "name": "old", "pool": {
            "max_connections": 1, "min_connections": 1, "max_lifetime_seconds": 0.5}}).expect(201)

        def pid():
            return sql(client, "SELECT pg_backend_pid() AS pid", using="old").expect(200).json()["rows"][0]["pid"]
        first = pid()
        wait_for(lambda: pid() != first, 10, "another backend")
        client.delete("/v1/connections/old").expect(204)


def test_statement_timeout(pooled):
    """504 statement_timeout; the connection is good for the next statement."""
    client = pooled(max_connections=1, statement_timeout_seconds=0.3)
    slow = "SELECT pg_sleep(20)" if pooled.backend.name == "postgres" else \
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) AS n FROM c"
    started = time.monotonic()
    sql(client, slow, using="pooled").problem(504, "statement_timeout")
    assert time.monotonic() - started < patience(5)
    assert sql(client, "SELECT 1 AS a", using="pooled").expect(200).json()["rows"] == [{"a": 1}]
    answer = client.post("/v1/sql/fetch-all", {"sql": slow, "using": "pooled"}, headers={"Prefer": "timeout=0.1"})
    answer.problem(504, "statement_timeout")


def test_slow_statement_does_not_hold_others_up(pooled):
    """A long read on one pooled connection; others go on meanwhile, on the same event loop too."""
    client = pooled(max_connections=3, statement_timeout_seconds=3)
    slow = "SELECT pg_sleep(2)" if pooled.backend.name == "postgres" else \
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 20000000) SELECT count(*) AS n FROM c"
    done = []

    def work():
        with client.clone() as own:
            done.append(sql(own, slow, using="pooled").status)
    thread = threading.Thread(target=work)
    thread.start()
    times = []
    while thread.is_alive():
        started = time.monotonic()
        sql(client, "SELECT 1", using="pooled").expect(200)
        times.append(time.monotonic() - started)
    thread.join()
    assert done and done[0] in (200, 504)
    assert len(times) > 20 and sorted(times)[len(times) // 2] < 0.1


def test_vanished_client_has_its_statement_cancelled(server, postgres_backend):
    with Client(server.port) as client:
        client.post("/v1/connections", {"url": postgres_backend.url, "name": "van"}).expect(201)
        gone = client.clone()
        gone.timeout = 0.3
        with pytest.raises(OSError):
            sql(gone, "SELECT pg_sleep(25)", using="van")
        wait_for(lambda: postgres_backend.pg.psql(
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(25)%' AND state = 'active' "
            "AND pid <> pg_backend_pid()") == "0", 3, "the cancellation")
        wait_for(lambda: gauges(client, "van")["in_use"] == 0, 5, "a returned connection")
        client.delete("/v1/connections/van").expect(204)


@pytest.mark.parametrize("pool, pointer", [
    ({"max_connections": 0}, "/pool/max_connections"), ({"max_connections": 1, "min_connections": 2}, "/pool/min_connections"),
    ({"min_connections": -1}, "/pool/min_connections"), ({"acquire_timeout_seconds": -1}, "/pool/acquire_timeout_seconds"),
    ({"acquire_timeout_seconds": "5"}, "/pool/acquire_timeout_seconds"), ({"max_connections": 1.5}, "/pool/max_connections"),
    ({"surprise": 1}, "/pool/surprise"), ([], "/pool")])
def test_pool_settings_that_make_no_sense(client, pool, pointer):
    answer = client.post("/v1/connections", {"url": "sqlite::memory:", "name": "p", "pool": pool})
    answer.problem(400, "invalid_request")
    assert answer.pointers() == [pointer]


def test_state_of_raw_sql_does_not_reach_others(server, postgres_backend):
    """SET, temporary tables and prepared names of one request are gone in the next on the same connection."""
    with Client(server.port) as client:
        client.post("/v1/connections", {"url": postgres_backend.url, "name": "st", "pool": {"max_connections": 1}}).expect(201)
        sql(client, "SET statement_timeout = '123s'", using="st", verb="execute").expect(200)
        assert sql(client, "SHOW statement_timeout", using="st").json()["rows"] != [{"statement_timeout": "123s"}]
        sql(client, "CREATE TEMP TABLE leftover (a int)", using="st", verb="execute").expect(200)
        sql(client, "SELECT * FROM leftover", using="st").problem(400, "sql_error")
        sql(client, "SET search_path TO pg_catalog", using="st", verb="execute").expect(200)
        assert "public" in sql(client, "SHOW search_path", using="st").json()["rows"][0]["search_path"]
        client.delete("/v1/connections/st").expect(204)
