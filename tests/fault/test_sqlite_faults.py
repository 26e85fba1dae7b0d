"""SQLite's file is locked, read-only, full or broken: the documented status, and the next request after the mend works."""
import os
import pathlib
import sqlite3
import tempfile
import time

import pytest

from support.client import Client
from support.server import Server
from support.tables import MARKER, create_tables, insert, query, sql

GRACE = 6.0


@pytest.fixture
def house(tmp_path):
    with Server("--busy-timeout-seconds", "1") as server, Client(server.port) as client:
        client.path = tmp_path / "f.db"
        client.server = server
        connect(client)
        create_tables(client, "f", MARKER)
        insert(client, "f", "Marker", [{"id": 1, "label": "one"}])
        yield client


def connect(client, more=""):
    return client.post("/v1/connections", {"name": "f", "url": f"sqlite:{client.path}?mode=rwc{more}", "default": True,
                                           "pool": {"acquire_timeout_seconds": 2}}).expect(201)


def write(client, number):
    return client.post("/v1/models/Marker/records", {"id": number, "label": "w"})


def rows(client):
    return [row["id"] for row in query(client, "Marker", order_by=[{"column": "id", "direction": "asc"}]).expect(200).json()["rows"]]


def test_locked_by_another_process(house):
    other = sqlite3.connect(house.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for call in (lambda: write(house, 2), lambda: sql(house, "UPDATE marker SET label = 'x'", verb="execute"),
                 lambda: house.post("/v1/batch", {"steps": [{"op": "create", "model": "Marker", "record": {"id": 3}}]})):
        started = time.monotonic()
        answer = call()
        assert answer.problem(503, "database_busy")["retryable"] and answer.header("Retry-After")
        assert 0.8 < time.monotonic() - started < 1 + GRACE
    assert rows(house) == [1]  # readers do not wait for a writer
    other.execute("ROLLBACK")
    write(house, 2).expect(201)
    assert rows(house) == [1, 2]
    other.close()


# root may write anywhere: then the server is somebody else
AS_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups") if os.getuid() == 0 else ()


def test_read_only(house):
    house.delete("/v1/connections/f?force=true").expect(204)
    house.post("/v1/connections", {"name": "f", "url": f"sqlite:{house.path}?mode=ro", "default": True}).expect(201)
    assert rows(house) == [1]
    for call in (lambda: write(house, 2), lambda: sql(house, "DELETE FROM marker", verb="execute"), lambda: sql(house, "CREATE TABLE x (a)", verb="execute")):
        answer = call()
        assert answer.status in (400, 403, 409, 503), answer.body
        assert answer.json().get("outcome") in (None, "not_started", "rolled_back")
    assert rows(house) == [1]


@pytest.mark.parametrize("mode", ["ro", "rw", "rwc"])
def test_file_without_write_permission(mode):
    """Reads work and writes are refused, whatever the URL says."""
    with tempfile.TemporaryDirectory(prefix="ferrod-ro-") as directory:
        os.chmod(directory, 0o755)
        path = pathlib.Path(directory) / "f.db"
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE marker (id INTEGER PRIMARY KEY, label TEXT)")
            db.execute("INSERT INTO marker VALUES (1, 'one')")
        db.close()
        os.chmod(path, 0o444)
        os.chmod(directory, 0o555)
        with Server("--default-url", "", under=AS_NOBODY) as server, Client(server.port) as client:
            client.put("/v1/models", {"models": [MARKER]}).expect(200)
            client.post("/v1/connections", {"name": "f", "url": f"sqlite:{path}?mode={mode}", "default": True}).expect(201)
            assert rows(client) == [1]
            for call in (lambda: write(client, 2), lambda: sql(client, "DELETE FROM marker", verb="execute")):
                answer = call()
                assert answer.status in (400, 503) and answer.json()["code"] in ("sql_error", "database_unavailable"), answer.body
            assert rows(client) == [1]
        os.chmod(directory, 0o755)


def test_full(house):
    """No page is left: the write is refused and undone, reads go on, and what is freed can be written again."""
    house.delete("/v1/connections/f?force=true").expect(204)
    house.post("/v1/connections", {"name": "f", "url": f"sqlite:{house.path}?mode=rw", "default": True, "pool": {
        "max_connections": 1}}).expect(201)
    with house.session() as session:
        tx = session.transaction()
        sql(tx, "PRAGMA max_page_count = 12").expect(200)
        answers = [tx.post("/v1/models/Marker/records", {"id": 10 + n, "label": "x" * 3000}) for n in range(40)]
        refused = [a for a in answers if a.status != 201]
        assert refused
        for answer in refused:
            assert answer.status in (503, 507, 409), answer.body
            assert answer.json()["code"] in ("database_unavailable", "transaction_ended", "transaction_aborted"), answer.body
        session.delete("/v1/session?rollback=true")
    assert rows(house) == [1]
    write(house, 2).expect(201)


def test_disk_full(tmp_path):
    """RLIMIT_FSIZE: the file system gives no more. Nothing that was acknowledged is lost, and the server goes on."""
    limit = 400 * 1024
    with Server(under=("prlimit", f"--fsize={limit}:{limit}")) as server, Client(server.port) as client:
        client.path = tmp_path / "d.db"
        connect(client)
        create_tables(client, "f", MARKER)
        kept, refused = [], []
        for number in range(1, 400):
            answer = client.post("/v1/models/Marker/records", {"id": number, "label": "x" * 4000})
            if answer.status == 201:
                kept.append(number)
            else:
                problem = answer.problem(503, "database_unavailable")
                assert problem.get("outcome") in ("rolled_back", "not_started", "unknown", None), problem
                refused.append(number)
            if len(refused) == 5:
                break
        assert kept and refused
        assert rows(client)[:len(kept)] == kept
        client.get("/healthz").expect(200)
        sql(client, "DELETE FROM marker WHERE id > 5", verb="execute")
        sql(client, "SELECT 1 AS a", using="default").expect(200)
        server.kill()
        with sqlite3.connect(client.path) as db:
            stored = {row[0] for row in db.execute("SELECT id FROM marker")}
        assert set(kept[:5]) <= stored


@pytest.mark.parametrize("damage", ["header", "middle", "empty", "gone", "truncated"])
def test_corrupted(house, damage):
    """Every answer is a problem document, none a wrong row; a sound file under the same name heals it."""
    insert(house, "f", "Marker", [{"id": n, "label": "x" * 500} for n in range(2, 200)])
    sql(house, "PRAGMA wal_checkpoint(TRUNCATE)").expect(200)
    house.delete("/v1/connections/f?force=true").expect(204)
    sound = house.path.read_bytes()
    broken = {"header": b"not a database at all" + sound[21:], "middle": sound[:4096] + os.urandom(len(sound) - 4096), "empty": b"",
              "gone": None, "truncated": sound[:len(sound) // 2 + 100]}[damage]
    for suffix in ("-wal", "-shm"):
        house.path.with_name(house.path.name + suffix).unlink(missing_ok=True)
    house.path.unlink()
    if broken is not None:
        house.path.write_bytes(broken)
    answer = house.post("/v1/connections", {"name": "f", "url": f"sqlite:{house.path}?mode=rw", "default": True})
    if damage == "gone":
        answer.problem(400, "invalid_url")
    if answer.status == 201:
        for call in (lambda: query(house, "Marker"), lambda: query(house, "Marker", path="/count"), lambda: write(house, 999),
                     lambda: house.get("/v1/models/Marker/records/150"), lambda: house.post("/v1/introspect", {"using": "f"}),
                     lambda: house.post("/v1/connections/f/check"), lambda: sql(house, "PRAGMA integrity_check")):
            answer = call()
            assert answer.status < 500 or answer.json()["code"] in ("database_unavailable", "internal_error"), answer.body
            assert "Sanitizer" not in house.server.log()
        house.delete("/v1/connections/f?force=true").expect(204)
    else:
        assert answer.status in (400, 503), answer.body
    house.get("/healthz").expect(200)
    for suffix in ("-wal", "-shm"):
        house.path.with_name(house.path.name + suffix).unlink(missing_ok=True)
    house.path.write_bytes(sound)
    connect(house)
    assert len(rows(house)) == 199
    write(house, 999).expect(201)
