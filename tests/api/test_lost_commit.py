"""A connection that is cut while a managed transaction commits: the database is asked what became of it."""
import socket
import threading

import pytest

from support.client import Client
from support.process import wait_for

ITEM = {"model_name": "Item", "columns": [{"name": "id", "logical_type": "integer", "primary_key": True}]}


class Cutter:
    """A way to a PostgreSQL on which the next COMMIT loses its connection: before it arrives, or before its answer does."""

    def __init__(self, port):
        self.port, self.cut = port, None  # None, "before", "after"
        self.down = False  # no new connections
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.accept, daemon=True).start()

    @property
    def own_port(self):
        return self.listener.getsockname()[1]

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            if self.down:
                client.close()
                continue
            server = socket.create_connection(("127.0.0.1", self.port))
            for pair in ((client, server, True), (server, client, False)):
                threading.Thread(target=self.pump, args=pair, daemon=True).start()

    def pump(self, source, target, asks):
        try:
            while data := source.recv(65536):
                if asks and self.cut == "before" and b"COMMIT" in data:
                    break
                if not asks and self.cut == "after" and b"COMMIT\0" in data:
                    break
                target.sendall(data)
            self.cut = None
        except OSError:
            pass
        for one in (source, target):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


@pytest.fixture
def cut(server, postgres_backend):
    cutter = Cutter(postgres_backend.pg.port)
    with Client(server.port, timeout=60) as client:
        postgres_backend.pg.psql("CREATE TABLE item (id int PRIMARY KEY)", postgres_backend.database)
        url = f"postgres://ferrod@127.0.0.1:{cutter.own_port}/{postgres_backend.database}?sslmode=disable&gssencmode=disable"
        client.post("/v1/connections", {"name": "cut", "url": url, "default": True, "pool": {
            "max_connections": 1, "acquire_timeout_seconds": 2}}).expect(201)
        client.put("/v1/models", {"models": [ITEM]}).expect(200)
        cutter.client = client
        cutter.count = lambda: postgres_backend.pg.psql("SELECT count(*) FROM item", postgres_backend.database)
        yield cutter
        client.delete("/v1/connections/cut?force=true")
        client.put("/v1/default-connection", {"name": "default"}).expect(200)
    cutter.listener.close()


def begin(client):
    tx = client.post("/v1/transactions").expect(201).json()["transaction_id"]
    client.post("/v1/models/Item/records", {"id": 1}, headers={"Ferro-Transaction": tx}).expect(201)
    return f"/v1/transactions/{tx}"


@pytest.mark.parametrize("when, state, rows", [("after", "committed", "1"), ("before", "rolled_back", "0")])
def test_the_failing_answer_says_what_became_of_it(cut, when, state, rows):
    path = begin(cut.client)
    cut.cut = when
    problem = cut.client.post(path + "/commit").problem(503, "database_unavailable")
    assert problem["outcome"] == state
    assert cut.count() == rows
    assert cut.client.get(path).expect(200).json()["state"] == state
    if state == "committed":
        assert cut.client.post(path + "/commit").expect(200).json() == {"state": "committed"}


def test_what_cannot_be_asked_at_once_is_asked_later(cut):
    path = begin(cut.client)
    cut.cut, cut.down = "after", True
    problem = cut.client.post(path + "/commit").problem(503, "database_unavailable")
    assert problem["outcome"] == "unknown"
    cut.down = False
    wait_for(lambda: cut.client.get(path).expect(200).json()["state"] == "committed", 20, "the answer")
