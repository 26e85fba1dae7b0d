"""A SQLite file that is moved away, replaced or deleted under its connections."""
import os
import shutil
import sqlite3
import threading
import time

import pytest

from support.client import Client
from support.process import wait_for
from support.server import Server
from support.tables import MARKER, create_tables


def make(path, labels):
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE marker (id INTEGER PRIMARY KEY, label TEXT)")
        db.executemany("INSERT INTO marker VALUES (?, ?)", list(enumerate(labels, 1)))
    db.close()


def content(path):
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = dict(db.execute("SELECT id, label FROM marker"))
    db.close()
    return rows


@pytest.fixture
def house(tmp_path):
    path = tmp_path / "app.db"
    with Server("--busy-timeout-seconds", "1") as server, Client(server.port) as client:
        client.path, client.server = path, server
        client.post("/v1/connections", {"name": "f", "url": f"sqlite:{path}?mode=rwc", "default": True, "pool": {"acquire_timeout_seconds": 3}}).expect(201)
        create_tables(client, "f", MARKER)
        client.post("/v1/models/Marker/records", {"id": 1, "label": "old"}).expect(201)
        yield client


def create(client, number, label="w"):
    return client.post("/v1/models/Marker/records", {"id": number, "label": label})


def label(client, number=1):
    return client.get(f"/v1/models/Marker/records/{number}").expect(200).json()["label"]


def test_replaced(house, tmp_path):
    """What was acknowledged is in the file that was moved away, what comes after in the new one; nothing is mixed."""
    for n in range(2, 40):
        create(house, n).expect(201)
    make(tmp_path / "next.db", ["new"])
    os.rename(house.path, tmp_path / "before.db")
    os.rename(tmp_path / "next.db", house.path)
    assert label(house) == "new"
    house.get("/v1/models/Marker/records/2").problem(404, "record_not_found")
    create(house, 2, "new").expect(201)
    assert label(house, 2) == "new"
    assert set(content(tmp_path / "before.db")) == set(range(1, 40))
    assert content(house.path) == {1: "new", 2: "new"}


def test_write_is_the_first_to_notice(house, tmp_path):
    create(house, 2).expect(201)
    shutil.copy(house.path, tmp_path / "ignored.db")
    make(tmp_path / "next.db", ["new"])
    os.rename(house.path, tmp_path / "before.db")
    os.rename(tmp_path / "next.db", house.path)
    create(house, 7).expect(201)
    assert content(tmp_path / "before.db") == {1: "old", 2: "w"}
    assert content(house.path) == {1: "new", 7: "w"}


def test_replaced_under_load(house, tmp_path):
    acknowledged, running = [], True

    def write(first):
        with Client(house.server.port) as client:
            for n in range(first, first + 100000):
                if not running:
                    return
                answer = create(client, n)
                assert answer.status in (201, 503), answer.body
                if answer.status == 201:
                    acknowledged.append(n)

    threads = [threading.Thread(target=write, args=((i + 1) * 1000000,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for turn in range(3):
        seen = len(acknowledged)
        wait_for(lambda: len(acknowledged) > seen + 20, 20, "writes")
        make(tmp_path / "next.db", ["new"])
        os.rename(house.path, tmp_path / f"before{turn}.db")
        os.rename(tmp_path / "next.db", house.path)
    seen = len(acknowledged)
    wait_for(lambda: len(acknowledged) > seen + 20, 20, "writes")
    running = False
    for thread in threads:
        thread.join()
    house.delete("/v1/connections/f?force=true").expect(204)
    files = [content(path) for path in (tmp_path / "before0.db", tmp_path / "before1.db", tmp_path / "before2.db", house.path)]
    found = [n for rows in files for n in rows if n >= 1000000]
    assert len(found) == len(set(found))
    assert set(acknowledged) <= set(found)


def test_transaction_over_a_replacement(house, tmp_path):
    """It cannot commit into a file that nobody will look at."""
    with house.session() as session:
        tx = session.transaction()
        create(tx, 5).expect(201)
        make(tmp_path / "next.db", ["new"])
        os.rename(house.path, tmp_path / "before.db")
        os.rename(tmp_path / "next.db", house.path)
        answer = tx.post(f"/v1/transactions/{tx.headers['Ferro-Transaction']}/commit")
        assert answer.problem(503, "database_unavailable")["outcome"] == "rolled_back"
        session.delete("/v1/session?rollback=true")
    assert label(house) == "new"
    assert content(tmp_path / "before.db") == {1: "old"}


@pytest.mark.parametrize("mode", ["rw", "rwc"])
def test_deleted(house, tmp_path, mode):
    house.post("/v1/connections", {"name": "g", "url": f"sqlite:{house.path}?mode={mode}"}).expect(201)
    kept = tmp_path / "kept.db"
    os.rename(house.path, kept)
    for call in (lambda: house.get("/v1/models/Marker/records/1"), lambda: create(house, 2), lambda: house.post("/v1/query", {"model_name": "Marker"}),
                 lambda: house.post("/v1/sql/fetch-all", {"sql": "SELECT 1 AS a"}),
                 lambda: house.post("/v1/batch", {"steps": [{"op": "create", "model": "Marker", "record": {"id": 3}}]})):
        assert "moved away or deleted" in call().problem(503, "database_unavailable")["detail"]
    assert house.get("/readyz").status == 503
    check = house.post("/v1/connections/f/check")
    assert check.status == 503 or check.json()["ok"] is False, check.body
    time.sleep(0.3)
    assert not os.path.exists(house.path)
    os.rename(kept, house.path)
    wait_for(lambda: house.get("/v1/models/Marker/records/1").status == 200, 10, "the file is used again")
    assert house.get("/readyz").status == 200
    create(house, 2).expect(201)
    os.remove(house.path)
    create(house, 3).problem(503, "database_unavailable")
    if mode == "rwc":  # who connects anew means it
        house.delete("/v1/connections/f?force=true").expect(204)
        house.delete("/v1/connections/g?force=true").expect(204)
        house.post("/v1/connections", {"name": "f", "url": f"sqlite:{house.path}?mode=rwc", "default": True}).expect(201)
        create_tables(house, "f", MARKER)
        create(house, 1).expect(201)
        assert content(house.path) == {1: "w"}


def test_log_that_another_process_uses(house, tmp_path):
    """Its write-ahead log lies under the name of the new file's: nothing is opened until it is empty."""
    for n in range(2, 20):
        create(house, n).expect(201)
    reader = sqlite3.connect(house.path, isolation_level=None)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM marker").fetchone() == (19,)
    create(house, 20).expect(201)
    make(tmp_path / "next.db", ["new"])
    os.rename(house.path, tmp_path / "before.db")
    os.rename(tmp_path / "next.db", house.path)
    assert "-wal" in house.get("/v1/models/Marker/records/1").problem(503, "database_unavailable")["detail"]
    create(house, 30).problem(503, "database_unavailable")
    assert house.get("/readyz").status == 503
    reader.execute("COMMIT")
    reader.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    reader.close()
    wait_for(lambda: house.get("/v1/models/Marker/records/1").status == 200, 10, "the log is empty")
    assert label(house) == "new"
    assert set(content(tmp_path / "before.db")) == set(range(1, 21))
    assert content(house.path) == {1: "new"}


def test_two_connections_on_one_file(house, tmp_path):
    house.post("/v1/connections", {"name": "g", "url": f"sqlite:{tmp_path}/../{tmp_path.name}/app.db"}).expect(201)
    sql = {"sql": "SELECT label FROM marker WHERE id = 1", "using": "g"}
    assert house.post("/v1/sql/fetch-all", sql).expect(200).json()["rows"] == [{"label": "old"}]
    make(tmp_path / "next.db", ["new"])
    os.rename(house.path, tmp_path / "before.db")
    os.rename(tmp_path / "next.db", house.path)
    wait_for(lambda: house.get("/v1/models/Marker/records/1").status == 200, 10, "the other connection's pool lets go")
    assert label(house) == "new"
    assert house.post("/v1/sql/fetch-all", sql).expect(200).json()["rows"] == [{"label": "new"}]
    assert content(tmp_path / "before.db") == {1: "old"}


def test_log_is_truncated_when_idle(house):
    wal = str(house.path) + "-wal"
    house.post("/v1/models/Marker/records", {"records": [{"id": n, "label": "x" * 2000} for n in range(100, 2000)]}).expect(201)
    assert os.path.getsize(wal) > 1000000
    wait_for(lambda: os.path.getsize(wal) == 0, 15, "the log is truncated")
    create(house, 5).expect(201)
    assert len(content(house.path)) == 1902


def replace(house, tmp_path, labels=("new",)):
    make(tmp_path / "next.db", labels)
    os.rename(house.path, tmp_path / "before.db")
    os.rename(tmp_path / "next.db", house.path)


def test_a_backup_is_the_first_to_notice(house, tmp_path):
    """It copies the new file, and brings nothing of the old one's log into either."""
    for n in range(2, 60):
        create(house, n).expect(201)
    replace(house, tmp_path)
    (tmp_path / "copy.db").write_bytes(house.post("/v1/connections/f/backup").expect(200).body)
    assert content(tmp_path / "copy.db") == {1: "new"}
    assert label(house) == "new"
    assert set(content(tmp_path / "before.db")) == set(range(1, 60)) and content(house.path) == {1: "new"}


def test_a_backup_over_a_replacement(house, tmp_path):
    """There is no copy of half of one file, and what it holds open costs the new file nothing."""
    house.post("/v1/sql/execute", {"sql": "CREATE TABLE filler (x)"}).expect(200)
    for _ in range(4):
        house.post("/v1/sql/execute", {"sql": "INSERT INTO filler SELECT randomblob(40000) FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500) SELECT i FROM n)"}).expect(200)
    wait_for(lambda: os.path.getsize(str(house.path) + "-wal") == 0, 15, "the log is truncated")
    answers = []

    def copy():
        with Client(house.server.port, timeout=120, validate=False) as other:
            answers.append(other.post("/v1/connections/f/backup"))

    thread = threading.Thread(target=copy)
    thread.start()
    wait_for(lambda: [p for p in os.listdir(tmp_path) if "backup-" in p] or answers, 20, "the copy is begun")
    replace(house, tmp_path)
    for n in range(2, 40):
        wait_for(lambda: create(house, n, "new").status in (201, 409), 10, "the new file is used")
    thread.join()
    if answers[0].status != 200:
        answers[0].problem(503, "database_unavailable")
    assert set(content(house.path)) == set(range(1, 40)) and content(tmp_path / "before.db") == {1: "old"}
    house.delete("/v1/connections/f?force=true").expect(204)
    assert set(content(house.path)) == set(range(1, 40))
    assert not [p for p in os.listdir(tmp_path) if "backup-" in p]


@pytest.mark.parametrize("first", ["reader", "writer"])
def test_a_pool_that_only_reads_keeps_the_log_from_nobody(house, tmp_path, first):
    """Its connections cannot empty the log: whichever pool lets go first, another does."""
    house.post("/v1/connections", {"name": "g", "url": f"sqlite:{house.path}?mode=ro"}).expect(201)
    look = {"sql": "SELECT label FROM marker WHERE id = 1", "using": "g"}
    for n in range(2, 40):
        create(house, n).expect(201)
    assert house.post("/v1/sql/fetch-all", look).expect(200).json()["rows"] == [{"label": "old"}]
    replace(house, tmp_path)
    calls = [lambda: house.post("/v1/sql/fetch-all", look).expect(200).json()["rows"][0]["label"], lambda: label(house)]
    for call in calls if first == "reader" else calls[::-1]:
        assert call() == "new"
    create(house, 2, "new").expect(201)
    assert set(content(tmp_path / "before.db")) == set(range(1, 40))
    assert content(house.path) == {1: "new", 2: "new"}


def test_log_is_truncated_when_idle_though_another_was_in_the_way(house):
    wal = str(house.path) + "-wal"
    reader = sqlite3.connect(house.path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM marker").fetchone()
    house.post("/v1/models/Marker/records", {"records": [{"id": n, "label": "x" * 2000} for n in range(100, 2000)]}).expect(201)
    time.sleep(6)
    assert os.path.getsize(wal) > 1000000
    reader.execute("COMMIT")
    wait_for(lambda: os.path.getsize(wal) == 0, 15, "the log is truncated")
    reader.close()
