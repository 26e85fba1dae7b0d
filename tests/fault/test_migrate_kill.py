"""SIGKILL in the midst of a migration: the old schema or the new one, whole, and the next run finishes the work.

On PostgreSQL an event trigger holds the server at the beginning and the end of each statement in turn. On SQLite, which
has nothing to hold it with, kills sweep over the time that a migration takes."""
import contextlib
import os
import shutil
import threading
import time
import types

from support.client import Client
from support.process import wait_for
from support.schema import column, model, quiet, register, run, whole_schema
from support.server import Server

OLD = [model("One", column("a"), column("legacy"), column("n")), model("Two", column("a"))]
NEW = [model("One", column("a", index=True), column("n", "integer", nullable=False), column("b", nullable=False, default="x"),
             checks=[{"column": "a", "values": ["'row'"]}]),
       model("Two", column("a", unique=True), column("one_id", "integer"),
             foreign_keys=[{"column": "one_id", "to_table": "one"}]),
       model("Three", column("two_id", "integer"), foreign_keys=[{"column": "two_id", "to_table": "two"}])]
OPTIONS = {"using": "k", "destructive": True, "rebuild": True}


@contextlib.contextmanager
def connected(backend, models):
    """A server of its own that need not survive."""
    server = Server()
    try:
        with Client(server.port) as client:
            client.post("/v1/connections", {"name": "k", "url": backend.url}).expect(201)
            register(client, *models)
            yield server, client
    finally:
        server.kill()


def start(client):
    """The migration in a thread, whose end is of no interest."""
    def work():
        with contextlib.suppress(OSError, EOFError, AssertionError, Exception):
            client.post("/v1/migrate", OPTIONS, validate=False)
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def finish(backend):
    """What is left to do is done by the next server."""
    with connected(backend, NEW) as (_, client):
        client.post("/v1/migrate", OPTIONS).expect(200)
        quiet(types.SimpleNamespace(client=client, using={"using": "k"}), destructive=True, rebuild=True)


# ---- PostgreSQL ----

GATE = """
    CREATE SCHEMA gate; CREATE SEQUENCE gate.n; CREATE TABLE gate.held (at bigint); INSERT INTO gate.held VALUES (0);
    CREATE FUNCTION gate.hold() RETURNS event_trigger LANGUAGE plpgsql AS $$
    DECLARE place bigint := nextval('gate.n');
    BEGIN
        WHILE EXISTS (SELECT 1 FROM gate.held WHERE at = place) LOOP PERFORM pg_sleep(0.01); END LOOP;
    END $$;
    CREATE EVENT TRIGGER before ON ddl_command_start EXECUTE FUNCTION gate.hold();
    CREATE EVENT TRIGGER after ON ddl_command_end EXECUTE FUNCTION gate.hold();
    INSERT INTO one (a, legacy, n) VALUES ('row', 'old', '1'), ('row', 'old', '2')"""


def test_postgres_killed_before_and_after_each_statement(postgres_backend):
    backend = postgres_backend
    with connected(backend, OLD) as (_, client):
        client.post("/v1/migrate", OPTIONS).expect(200)
    run(backend, GATE)
    old = whole_schema(backend)
    with connected(backend, NEW) as (_, client):
        statements = client.post("/v1/migrate", {**OPTIONS, "dry_run": True}).expect(200).json()["statements"]
    assert len(statements) >= 10
    for place in range(1, 2 * len(statements) + 1):
        run(backend, f"SELECT setval('gate.n', 1, false); UPDATE gate.held SET at = {place}")
        with connected(backend, NEW) as (server, client):
            thread = start(client)
            wait_for(lambda: run(backend, "SELECT last_value FROM gate.n WHERE is_called") == [[str(place)]], 20,
                     f"statement {(place + 1) // 2} of the migration")
            server.process.kill()
            thread.join()
        run(backend, "UPDATE gate.held SET at = 0")
        wait_for(lambda: backend.pg.backends(backend.database) == 0, 20, "the end of the orphan")
        assert whole_schema(backend) == old, f"after a kill at {place}"
    finish(backend)
    assert run(backend, "SELECT a, n, b FROM one ORDER BY n") == [["row", "1", "x"], ["row", "2", "x"]]


# ---- SQLite ----

ROWS = 20000
KILLS = 14


def test_sqlite_killed_at_any_time(sqlite_backend):
    backend = sqlite_backend
    with connected(backend, OLD) as (_, client):
        client.post("/v1/migrate", OPTIONS).expect(200)
    run(backend, f"WITH RECURSIVE s(g) AS (SELECT 1 UNION ALL SELECT g + 1 FROM s WHERE g < {ROWS}) "
                 "INSERT INTO one (a, legacy, n) SELECT 'row', printf('%200d', g), CAST(g AS text) FROM s;\n"
                 "PRAGMA wal_checkpoint(TRUNCATE)")
    old, pristine = whole_schema(backend), backend.path + ".pristine"
    shutil.copy(backend.path, pristine)
    with connected(backend, NEW) as (_, client):
        started = time.monotonic()
        client.post("/v1/migrate", OPTIONS).expect(200)
        seconds = time.monotonic() - started
    new, seen = whole_schema(backend), []
    assert new != old
    for kill in range(KILLS):
        for rest in ("-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(backend.path + rest)
        shutil.copy(pristine, backend.path)
        with connected(backend, NEW) as (server, client):
            thread = start(client)
            time.sleep(seconds * 1.1 * kill / (KILLS - 1))
            server.process.kill()
            thread.join()
        found = whole_schema(backend)
        seen.append(found == new)
        assert found in (old, new), f"a mix after a kill at {kill} of {KILLS}"
        assert run(backend, "PRAGMA integrity_check") == [["ok"]] and run(backend, "PRAGMA foreign_key_check") == []
        assert run(backend, "SELECT count(*), count(DISTINCT n) FROM one") == [[str(ROWS), str(ROWS)]]
    assert not seen[0], "the first kill comes before anything is committed"
    finish(backend)
    assert run(backend, "SELECT count(*), count(b) FROM one") == [[str(ROWS), str(ROWS)]]
