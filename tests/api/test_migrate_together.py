"""Migrations beside others: transactions that hold locks, several servers at once, writers; and large tables."""
import os
import sqlite3
import threading
import time
import types

import pytest

from support.client import Client
from support.process import wait_for
from support.schema import column, columns_of, migrate, model, quiet, register, run, whole_schema
from support.server import Server, patience
from support.tables import sql
from support.vanish import growth_bound

ROWS = int(os.environ.get("FERROD_TEST_MIGRATE_ROWS", "100000"))


def in_threads(*calls):
    """Runs the calls at once; returns their results in order, raising the first error."""
    results = [None] * len(calls)

    def work(i):
        try:
            results[i] = calls[i]()
        except BaseException as e:  # pylint: disable=broad-except
            results[i] = e
    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


def test_open_transactions_are_waited_for_only_so_long(server, sqlite_conn, postgres_conn):
    """Ten seconds for all of them, then a clear error and nothing changed; one that ends in time is no obstacle."""
    conns = (sqlite_conn, postgres_conn)
    register(sqlite_conn.client, model("Held", column("a")), model("Early", column("a")))
    for conn in conns:
        migrate(conn)
    register(sqlite_conn.client, model("Held", column("a"), column("b")), model("Early", column("a"), column("b")), model("Other"))
    before = [whole_schema(conn.backend) for conn in conns]
    holders = [conn.client.transaction(**conn.using) for conn in conns]
    for holder in holders:
        holder.post("/v1/sql/execute", {"sql": "INSERT INTO held (a) VALUES ('x')"}).expect(200)

    early = postgres_conn.client.transaction(**postgres_conn.using)
    early.post("/v1/sql/execute", {"sql": "INSERT INTO early (a) VALUES ('x')"}).expect(200)

    def end(holder, seconds=1):
        time.sleep(seconds)
        holder.post(f"/v1/transactions/{holder.headers['Ferro-Transaction']}/commit").expect(200)

    def blocked(conn):
        started = time.monotonic()
        answer = conn.client.post("/v1/migrate", conn.using)
        return answer, time.monotonic() - started
    for conn, (answer, seconds) in zip(conns, in_threads(*[lambda c=conn: blocked(c) for conn in conns], lambda: end(early, 6))):
        problem = answer.problem(503, "database_busy")
        assert 9 < seconds < 14 and "nothing was changed" in problem["detail"], (conn.backend.name, seconds)
        assert answer.header("Retry-After")
    # planning takes no lock
    assert all(len(migrate(conn, dry_run=True)["statements"]) == 3 for conn in conns)
    assert [whole_schema(conn.backend) for conn in conns] == before
    in_threads(*[lambda h=holder: end(h) for holder in holders], *[lambda c=conn: migrate(c) for conn in conns])
    for conn in conns:
        assert sorted(columns_of(conn.backend, "held")) == ["a", "b", "id"]
        assert run(conn.backend, "SELECT a FROM held") == [["x"]]
        quiet(conn)


def test_how_long_others_are_waited_for_is_a_setting(backend):
    with Server("--migrate-wait-seconds", "0.8") as server, Client(server.port) as client:
        conn = types.SimpleNamespace(backend=backend, client=client, using={"using": "held"}, name="held")
        client.post("/v1/connections", {"name": "held", "url": backend.url}).expect(201)
        register(client, model("Held", column("a")))
        migrate(conn)
        holder = client.transaction(**conn.using)
        holder.post("/v1/sql/execute", {"sql": "INSERT INTO held (a) VALUES ('x')"}).expect(200)
        register(client, model("Held", column("a"), column("b")))
        started = time.monotonic()
        problem = client.post("/v1/migrate", conn.using).problem(503, "database_busy")
        assert 0.6 < time.monotonic() - started < patience(6) and "0.8 s" in problem["detail"], problem
        holder.post(f"/v1/transactions/{holder.headers['Ferro-Transaction']}/commit").expect(200)
        assert len(migrate(conn)["statements"]) == 1


def test_another_process_writes_to_the_sqlite_file(sqlite_backend):
    """It is waited for beyond the patience that a request has with other processes' locks."""
    with Server(config={"busy_timeout_seconds": 0.5}) as server, Client(server.port) as client:
        conn = types.SimpleNamespace(backend=sqlite_backend, client=client, using={"using": "file"}, name="file")
        client.post("/v1/connections", {"name": "file", "url": sqlite_backend.url}).expect(201)
        register(client, model("Elsewhere", column("a")))
        other = sqlite3.connect(sqlite_backend.path, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")

        def end():
            time.sleep(2)
            other.execute("COMMIT")
        migrated, _ = in_threads(lambda: migrate(conn), end)
        other.close()
        assert len(migrated["statements"]) == 1


def test_the_lock_outside_the_statement_timeout(server, postgres_backend):
    """A table of any size may have to be rewritten: the pool's statement timeout is none of a migration's business."""
    with Client(server.port) as client:
        client.post("/v1/connections", {"name": "short", "url": postgres_backend.url,
                                        "pool": {"statement_timeout_seconds": 0.3}}).expect(201)
        run(postgres_backend, """CREATE TABLE drift (id serial PRIMARY KEY, at timestamp); CREATE FUNCTION slow() RETURNS event_trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_sleep(1); END $$; CREATE EVENT TRIGGER slow ON ddl_command_end EXECUTE FUNCTION slow()""")
        register(client, model("Slow"), model("Drift", column("at", "datetime")))
        answer = client.post("/v1/migrate", {"using": "short"}, headers={"Prefer": "timeout=0.5"})
        problem = answer.problem(504, "statement_timeout")
        assert problem["outcome"] == "rolled_back"
        assert [e["detail"][:17] for e in problem["errors"]] == ["warning: drift.at"], "warnings come with any failure"
        assert client.post("/v1/migrate", {"using": "short"}).expect(200).json()["applied"]
        client.delete("/v1/connections/short").expect(204)


@pytest.fixture(scope="module")
def four():
    servers = [Server() for _ in range(4)]
    yield servers
    for server in servers:
        server.stop()


def test_four_servers_at_once(four, backend):
    """Each statement runs once, whoever comes first; all end with the same schema and nothing to do."""
    old = [model(f"T{i}", column("a"), column("legacy")) for i in range(5)]
    new = [model(f"T{i}", column("a", index=True), column("b", nullable=False, default="x"), column("c", unique=True),
                 column("ref", "integer"), foreign_keys=[{"column": "ref", "to_table": "t0"}]) for i in range(8)]
    options = {"using": "shared", "destructive": True, "rebuild": True}
    clients = [Client(server.port) for server in four]
    for client in clients:
        client.post("/v1/connections", {"name": "shared", "url": backend.url}).expect(201)
    for wanted in (old, new):
        for client in clients:
            register(client, *wanted)
        planned = clients[0].post("/v1/migrate", {**options, "dry_run": True}).expect(200).json()["statements"]
        answers = in_threads(*[lambda c=client: c.post("/v1/migrate", options).expect(200).json() for client in clients])
        ran = [answer["statements"] for answer in answers if answer["statements"]]
        assert ran == [planned] and len(set(planned)) == len(planned)
        assert sum(answer["pool_refreshed"] for answer in answers) == 1
        for client in clients:
            quiet(types.SimpleNamespace(client=client, using={"using": "shared"}), destructive=True, rebuild=True)
    if backend.name == "sqlite":
        assert run(backend, "PRAGMA integrity_check") == [["ok"]]
    for client in clients:
        client.delete("/v1/connections/shared?force=true").expect(204)
        client.close()


def test_migrations_beside_readers_and_writers(conn):
    """Requests that run meanwhile succeed or fail clearly; none sees half a schema."""
    register(conn.client, model("Busy", column("a")))
    migrate(conn)
    stop = threading.Event()
    seen = []

    def use(text, verb):
        with conn.client.clone() as client:
            while not stop.is_set():
                seen.append(sql(client, text, using=conn.name, verb=verb).status)

    def change():
        try:
            for i in range(6):
                register(conn.client, model("Busy", column("a"), *[column(f"x{k}", index=True) for k in range(i)]))
                migrate(conn)
            register(conn.client, model("Busy", column("a")))
            migrate(conn, destructive=True)
        finally:
            stop.set()
    in_threads(change, lambda: use("SELECT * FROM busy LIMIT 5", "fetch-all"),
               lambda: use("INSERT INTO busy (a) VALUES ('x')", "execute"))
    assert set(seen) <= {200} and len(seen) > 20
    assert sorted(columns_of(conn.backend, "busy")) == ["a", "id"]
    quiet(conn, destructive=True)


def fill(backend, table, rows):
    if backend.name == "postgres":
        run(backend, f"INSERT INTO {table} (a, n) SELECT 'row ' || g, g::text FROM generate_series(1, {rows}) g")
    else:
        run(backend, f"WITH RECURSIVE s(g) AS (SELECT 1 UNION ALL SELECT g + 1 FROM s WHERE g < {rows}) "
                     f"INSERT INTO {table} (a, n) SELECT 'row ' || g, CAST(g AS text) FROM s")


def test_a_large_table_in_flat_memory(backend):
    """Every kind of change that touches all rows, while the daemon answers others and grows by little."""
    # a sanitizer would keep what is freed for a while
    env = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1"}
    with Server(env=env) as server, Client(server.port) as client:
        conn = types.SimpleNamespace(backend=backend, client=client, using={"using": "big"}, name="big")
        client.post("/v1/connections", {"name": "big", "url": backend.url}).expect(201)
        register(client, model("Big", column("a"), column("n")))
        migrate(conn)
        fill(backend, "big", ROWS)
        resident = server.rss_kib()
        peak, answered, stop = [resident], [0], threading.Event()

        def watch():
            with client.clone() as other:
                while not stop.wait(0.02):
                    other.get("/healthz").expect(200)
                    answered[0] += 1
                    peak[0] = max(peak[0], server.rss_kib())
        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            register(client, model("Big", column("a", index=True), column("n", "integer", nullable=False),
                                   column("more", nullable=False, default="x")))
            client.timeout = 300
            answer = migrate(conn, rebuild=True)
        finally:
            stop.set()
            watcher.join()
        assert max(c["rows_affected"] for c in answer["changes"]) == ROWS
        assert run(backend, "SELECT count(*), count(more), sum(n) FROM big") == [
            [str(ROWS), str(ROWS), str(ROWS * (ROWS + 1) // 2)]]
        assert peak[0] - resident < growth_bound(24 * 1024), f"grew from {resident} to {peak[0]} KiB"
        wait_for(lambda: answered[0] >= 3, 1, "answers to others meanwhile")
        quiet(conn, rebuild=True)
