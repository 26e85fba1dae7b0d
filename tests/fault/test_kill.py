"""kill -9 of ferrod under write load: every write that it has answered with 2xx is in the database, and no half of any."""
import json
import os
import signal
import sqlite3
import threading
import time

import pytest

from support.client import Client
from support.pg import SETTINGS, Postgres
from support.process import wait_for
from support.server import Server
from support.tables import MARKER, create_tables

WRITERS = 8


@pytest.fixture(scope="module")
def careful():
    """A PostgreSQL that writes through, unlike the other tests' one."""
    server = Postgres()
    server.psql("ALTER SYSTEM SET fsync = on")
    server.stop()
    before = dict(SETTINGS)
    SETTINGS.update(fsync="on", synchronous_commit="on", full_page_writes="on")
    try:
        server.start()
        yield server
    finally:
        SETTINGS.update(before)
        server.destroy()


@pytest.fixture(params=["sqlite", "postgres"])
def place(request, tmp_path):
    """(url, a function that reads (id, label) of every row without ferrod)."""
    if request.param == "sqlite":
        path = tmp_path / "k.db"

        def read():
            with sqlite3.connect(path) as db:
                assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                return dict(db.execute("SELECT id, label FROM marker"))
        return f"sqlite:{path}?mode=rwc", read
    pg = request.getfixturevalue("careful")
    database = pg.create_database()

    def read():
        pg.stop()  # immediate enough: what is not in the log is gone
        pg.start()
        text = pg.psql("SELECT json_object_agg(id, label) FROM marker", database)
        return {int(key): value for key, value in json.loads(text or "{}").items()}
    return pg.url(database), read


def work(port, seed, kept, wrong):
    """Single writes, bulk writes, batches and transactions in turn; remembers what was acknowledged."""
    number = seed * 1000000
    with Client(port, {}, validate=False, timeout=30) as client:
        while True:
            number += 10
            ids = [number, number + 1, number + 2]
            path = "/v1/models/Marker/records"
            try:
                kind = (number // 10) % 4
                if kind == 0:
                    ids = ids[:1]
                    answers = [client.post(path, {"id": number, "label": "w"})]
                elif kind == 1:
                    answers = [client.post(path, {"records": [{"id": i, "label": "w"} for i in ids]})]
                elif kind == 2:
                    answers = [client.post("/v1/batch", {"steps": [{"op": "create", "model": "Marker", "record": {"id": i, "label": "w"}} for i in ids]})]
                else:
                    begun = client.post("/v1/transactions")
                    if begun.status != 201:
                        continue
                    tx = begun.json()["transaction_id"]
                    inside = {"Ferro-Transaction": tx}
                    answers = [client.post(path, {"id": i, "label": "w"}, headers=inside) for i in ids]
                    answers.append(client.post(f"/v1/transactions/{tx}/commit"))
            except (OSError, ValueError):
                return
            except Exception as e:  # http.client: the connection ended in mid-answer
                if type(e).__module__ != "http.client":
                    wrong.append(repr(e))
                return
            if all(a.status in (200, 201) for a in answers):
                kept.append(ids)
            elif any(a.status not in (200, 201, 503, 409) for a in answers):
                wrong.append(answers[-1].body)


@pytest.mark.parametrize("round_number", range(2))
def test_acknowledged_writes_survive(place, round_number):
    url, read = place
    server = Server("--access-log=false")
    kept, wrong = [], []
    try:
        with Client(server.port) as client:
            client.post("/v1/connections", {"name": "k", "url": url, "default": True, "pool": {"max_connections": 10}}).expect(201)
            create_tables(client, "k", MARKER)
        threads = [threading.Thread(target=work, args=(server.port, seed, kept, wrong)) for seed in range(1, WRITERS + 1)]
        for thread in threads:
            thread.start()
        wait_for(lambda: len(kept) > 60, 60, "writes")
        time.sleep(0.37 * (round_number + 1))
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait(10)
        for thread in threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in threads)
    finally:
        server.kill()
    assert wrong == []
    stored = read()
    lost = [ids for ids in kept if not all(stored.get(i) == "w" for i in ids)]
    assert lost == [], f"{len(lost)} of {len(kept)} acknowledged writes are lost"
    # batches, bulk writes and transactions are there as a whole or not at all
    groups = {}
    for i in stored:
        groups.setdefault(i // 10, set()).add(i % 10)
    halves = {g: members for g, members in groups.items() if g % 4 != 0 and members != {0, 1, 2}}
    assert halves == {}
    # and the next ferrod goes on with it
    with Server() as again, Client(again.port) as client:
        client.post("/v1/connections", {"name": "k", "url": url, "default": True}).expect(201)
        client.put("/v1/models", {"models": [MARKER]}).expect(200)
        client.post("/v1/models/Marker/records", {"id": 5, "label": "after"}).expect(201)
