"""Streams and bulk bodies give way to short requests, and to them alone; what they rest is not counted against them."""
import contextlib
import json
import re
import threading
import time

import pytest

from support.client import Client
from support.library import column, key, model
from support.process import wait_for
from support.raw import RawConnection
from support.server import Server
from support.tables import create_tables, query

WORD = "w" * 10
ROWS = 100_000
ITEM = model("Item", key(), column("name", "string"), column("n", "integer"))
RECORDS = "/v1/models/Item/records"
LINES = {"Content-Type": "application/x-ndjson"}
SHORT = {"postgres": "SELECT pg_sleep(0.02)",
         "sqlite": "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 10000) SELECT count(*) AS n FROM c"}


def series(kind, rows):
    if kind == "postgres":
        return f"SELECT i AS n, '{WORD}' AS w FROM generate_series(1, {rows}) AS i"
    return f"WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {rows}) SELECT n, '{WORD}' AS w FROM c"


class Place:
    """A server of one loop with a database."""

    def __init__(self, backend, *flags, statement_seconds=30):
        self.kind = backend.name
        self.server = Server("--loops", "1", *flags)
        self.client = Client(self.server.port, timeout=120)
        self.client.post("/v1/connections", {"name": "b", "url": backend.url, "default": True,
                                             "pool": {"statement_timeout_seconds": statement_seconds}}).expect(201)

    def rests(self):
        """How many there were, and how many milliseconds all of them took."""
        text = self.client.get("/metrics").expect(200).text
        return [float(re.search(rf"^ferrod_long_{name} ([0-9.]+)$", text, re.MULTILINE).group(1)) * unit for name, unit in
                (("rests_total", 1), ("rest_seconds_total", 1000))]

    @contextlib.contextmanager
    def short_requests(self, n=4):
        """Some are always about."""
        ended, faults = threading.Event(), []

        def ask():
            try:
                with Client(self.server.port, timeout=60, validate=False) as client:
                    while not ended.is_set():
                        client.post("/v1/sql/fetch-all", {"sql": SHORT[self.kind]}).expect(200)
            except BaseException as fault:  # noqa: BLE001
                faults.append(fault)
        threads = [threading.Thread(target=ask) for _ in range(n)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            ended.set()
            for thread in threads:
                thread.join()
        assert not faults, faults[0]

    def export(self, headers=None, rows=ROWS):
        """All of it comes, whatever it had to wait for."""
        with Client(self.server.port, timeout=120, validate=False) as client:
            answer = client.post("/v1/sql/fetch-all", {"sql": series(self.kind, rows)}, headers={"Accept": "application/x-ndjson", **(headers or {})})
        lines = [json.loads(line) for line in answer.expect(200).text.splitlines()]
        assert [row["n"] for row in lines[:-1]] == list(range(1, rows + 1))
        assert lines[-1]["$end"]["row_count"] == rows

    def load(self, rows):
        body = b"".join(json.dumps({"name": WORD, "n": n}).encode() + b"\n" for n in range(rows))
        answer = self.client.post(RECORDS, raw=body, headers=LINES).expect(201)
        assert answer.json()["rows_inserted"] == rows
        assert query(self.client, "Item", (), "/count").expect(200).json()["count"] == rows


def started(stack, backend, *flags, **more):
    made = Place(backend, *flags, **more)
    stack.callback(made.server.stop)
    stack.callback(made.client.close)
    return made


@pytest.fixture
def place(backend):
    with contextlib.ExitStack() as stack:
        yield lambda *flags: started(stack, backend, *flags)


def test_a_stream_gives_way_and_comes_whole(place):
    p = place("--long-percent", "1")
    with p.short_requests():
        p.export()
    n, ms = p.rests()
    assert n > 0 and ms > 0, (n, ms)


def test_a_rest_does_not_count_against_a_statement_or_its_request(postgres_backend):
    """It rests for longer than both may take. (SQLite's statements: tests/unit/test_sqlite_fibers.c.)"""
    with contextlib.ExitStack() as stack:
        p = started(stack, postgres_backend, "--long-percent", "1", "--request-timeout-seconds", "1.5", statement_seconds=1.5)
        with p.short_requests():
            p.export(rows=3 * ROWS // 2)
        n, ms = p.rests()
        assert n > 0 and ms > 1500, (n, ms)


def test_streams_of_one_loop_take_turns(place):
    p = place("--long-percent", "5")
    threads = [threading.Thread(target=p.export) for _ in range(4)]
    faults = []
    hook, threading.excepthook = threading.excepthook, lambda args: faults.append(args.exc_value)
    try:
        with p.short_requests():
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    finally:
        threading.excepthook = hook
    assert not faults, faults[0]
    assert p.rests()[0] > 0


def test_a_stream_alone_never_rests(place):
    p = place("--long-percent", "1")
    before = p.rests()
    time.sleep(0.2)  # /metrics is short, too
    p.export(rows=3 * ROWS)
    assert p.rests() == before


def test_without_a_bound_nobody_rests(place):
    p = place("--long-percent", "100")
    with p.short_requests():
        p.export()
    assert p.rests() == [0, 0]


def test_a_bulk_body_gives_way_unless_it_holds_the_writer(place):
    """SQLite has one writer at a time: short writes would wait for the one that rests."""
    p = place("--long-percent", "1", "--request-timeout-seconds", "1.5", "--body-wait-seconds", "1")
    create_tables(p.client, "b", ITEM)
    with p.short_requests():
        p.load(ROWS if p.kind == "sqlite" else 2 * ROWS)
    n, ms = p.rests()
    assert ms == 0 if p.kind == "sqlite" else ms > 1500, (n, ms)


def test_a_write_that_answers_rows_holds_the_writer(sqlite_backend):
    with contextlib.ExitStack() as stack:
        p = started(stack, sqlite_backend, "--long-percent", "1")
        create_tables(p.client, "b", ITEM)
        with p.short_requests():
            text = ("INSERT INTO item (name, n) WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 50000) "
                    "SELECT 'some name', n FROM c RETURNING n, name")
            answer = p.client.post("/v1/sql/fetch-all", {"sql": text}, headers={"Accept": "application/x-ndjson"}).expect(200)
        assert len(answer.text.splitlines()) == 50001
        assert p.rests() == [0, 0]


def test_a_transaction_does_not_rest_while_it_holds_what_others_wait_for(place):
    p = place("--long-percent", "1")
    tx = p.client.post("/v1/transactions").expect(201).json()["transaction_id"]
    with p.short_requests():
        p.export(headers={"Ferro-Transaction": tx})
    p.client.post(f"/v1/transactions/{tx}/commit").expect(200)
    assert p.rests() == [0, 0]


def test_a_client_that_leaves_ends_a_rest(place):
    p = place("--long-percent", "1")
    body = json.dumps({"sql": series(p.kind, 10 * ROWS)})
    with p.short_requests(2):
        with RawConnection(p.server.port) as raw:
            raw.send(f"POST /v1/sql/fetch-all HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                     f"Accept: application/x-ndjson\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
            wait_for(lambda: p.rests()[0] > 0, 30, "a rest")
    wait_for(lambda: p.client.get("/v1/connections/b").expect(200).json()["pool"]["in_use"] == 0, 30, "its connection")
