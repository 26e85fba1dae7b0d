"""SIGKILL in the midst of a migration: the old schema or the new one, whole, and the next run finishes the work.

On PostgreSQL an event trigger holds the server at the beginning and the end of each statement in turn. On SQLite a library
loaded before its own counts the statements, and the writes to its files, and ends the server at the one asked for."""
import contextlib
import http.client
import os
import pathlib
import shutil
import signal
import subprocess
import threading
import types

import pytest

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
def connected(backend, models, env=None):
    """A server of its own that need not survive."""
    server = Server(env={"FERROD_STATE_URL": "", **(env or {})})  # its own writes are not what is counted
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

ROWS = 300
SHIM = pathlib.Path(__file__).resolve().parents[1] / "support/preload/kill_at.c"


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    made = tmp_path_factory.mktemp("preload") / "kill_at.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-D_GNU_SOURCE", "-o", made, SHIM, "-ldl"], check=True)
    return made


def fresh(backend, pristine):
    for rest in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(backend.path + rest)
    shutil.copy(pristine, backend.path)


def contents(backend):
    return run(backend, "SELECT id, a, n FROM one ORDER BY id")


def prepare(backend):
    """The old schema and its rows, in a file beside the database's; (its path, the schema)."""
    with connected(backend, OLD) as (_, client):
        client.post("/v1/migrate", OPTIONS).expect(200)
    run(backend, f"WITH RECURSIVE s(g) AS (SELECT 1 UNION ALL SELECT g + 1 FROM s WHERE g < {ROWS}) "
                 "INSERT INTO one (a, legacy, n) SELECT 'row', printf('%200d', g), CAST(g AS text) FROM s;\n"
                 "PRAGMA wal_checkpoint(TRUNCATE)")
    pristine = backend.path + ".pristine"
    shutil.copy(backend.path, pristine)
    return pristine, whole_schema(backend)


def killed(backend, pristine, shim, when, place):
    """Migrates under the shim. The statement that was being run, or None: there are fewer places."""
    fresh(backend, pristine)
    told = backend.path + ".told"
    env = {"LD_PRELOAD": str(shim), "KILL_WHEN": when, "KILL_AT": str(place), "KILL_TELL": told,
           "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}
    with connected(backend, NEW, env) as (server, client):
        try:
            client.post("/v1/migrate", OPTIONS, validate=False).expect(200)
        except (OSError, EOFError, http.client.HTTPException):
            assert server.process.wait(10) == -signal.SIGKILL
            return pathlib.Path(told).read_text(encoding="utf-8")
    return None


def check(backend, old, rows, about):
    """Old or new, whole; True: new."""
    found = whole_schema(backend)
    new = found != old
    assert run(backend, "PRAGMA integrity_check") == [["ok"]] and run(backend, "PRAGMA foreign_key_check") == [], about
    assert contents(backend) == rows, about
    with connected(backend, NEW) as (_, client):
        left = client.post("/v1/migrate", {**OPTIONS, "dry_run": True}).expect(200).json()["statements"]
    assert (left == []) == new, f"a mix: {about}"
    return new


def test_sqlite_killed_before_and_after_each_statement(sqlite_backend, shim):
    backend = sqlite_backend
    pristine, old = prepare(backend)
    rows = contents(backend)
    with connected(backend, NEW) as (_, client):
        planned = client.post("/v1/migrate", {**OPTIONS, "dry_run": True}).expect(200).json()["statements"]
        client.post("/v1/migrate", OPTIONS).expect(200)
    new = whole_schema(backend)
    assert new != old and len(planned) >= 10
    for when in ("before", "after"):
        seen = []
        while (statement := killed(backend, pristine, shim, when, len(seen) + 1)) is not None:
            about = f"killed {when} {statement}"
            seen.append(statement)
            after_commit = (when, statement) == ("after", "COMMIT")
            assert whole_schema(backend) == (new if after_commit else old), about
            assert contents(backend) == rows and run(backend, "PRAGMA integrity_check") == [["ok"]], about
        assert [s for s in seen if not s.startswith(("BEGIN", "COMMIT", "PRAGMA"))] == planned
        assert seen[0].startswith("BEGIN IMMEDIATE") and seen[-1] == "COMMIT"
    finish(backend)
    assert run(backend, "SELECT count(*), count(b) FROM one") == [[str(ROWS), str(ROWS)]]


def test_sqlite_killed_at_writes_of_its_files(sqlite_backend, shim):
    """In the midst of a statement, and of the commit: the first places, where there are a few only, and then ever further."""
    backend = sqlite_backend
    pristine, old = prepare(backend)
    rows = contents(backend)
    place, seen = 1, []
    while (statement := killed(backend, pristine, shim, "write", place)) is not None:
        seen.append(check(backend, old, rows, f"killed at write {place}, in {statement}"))
        place += max(1, place // 5)
    assert seen and not seen[0] and seen == sorted(seen)
    assert check(backend, old, rows, "not killed")
