"""What requests share has bounds, which are settings: each at both of its sides."""
import contextlib
import sqlite3
import threading

import pytest

from support.client import Client
from support.process import wait_for
from support.server import Server
from support.together import shared_figures, together

CLIENTS = 8
COUNT = "INSERT INTO log (n) WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < ?) SELECT count(*) FROM r"
LONG = 150_000  # rows that take many times 2 ms to count


@contextlib.contextmanager
def served(tmp_path, *settings):
    with sqlite3.connect(tmp_path / "shared.db") as db:
        db.execute("CREATE TABLE log (id INTEGER PRIMARY KEY, n INTEGER)")
    db.close()
    with Server("--loops", "1", "--default-url", f"sqlite:{tmp_path}/shared.db", *settings) as server:
        server.path = tmp_path / "shared.db"
        with Client(server.port) as c:
            c.post("/v1/introspect", {"register": True}).expect(200)
        yield server


def batches(*rows, times=1):
    """Games that each count their rows, within a batch."""
    def game(n):
        return lambda c: [c.post("/v1/batch", {"steps": [{"op": "sql.execute", "sql": COUNT, "args": [n]}]}).status for _ in range(times)]
    return [game(n) for n in rows]


@pytest.mark.parametrize("seconds, again", [("0.002", True), ("600", False)])
def test_a_unit_that_takes_longer_goes_by_itself(tmp_path, seconds, again):
    with served(tmp_path, "--shared-unit-seconds", seconds, "--shared-gather-seconds", "60") as server:
        turns = 0
        while True:  # one that comes before the others is by itself at once; the others go on until it comes again
            answers = together(server, batches(LONG, times=3) + batches(*[1] * CLIENTS, times=10))
            assert {status for each in answers for status in each} == {200}
            turns += 1
            found = shared_figures(server, "unit")["again"] > 0
            if found or not again or turns == 20:
                break
        assert found == again
        with sqlite3.connect(server.path) as db:
            assert sorted(n for (n,) in db.execute("SELECT n FROM log")) == [1] * CLIENTS * 10 * turns + [LONG] * 3 * turns


def test_units_that_are_not_gathered_have_transactions_of_their_own(tmp_path):
    with served(tmp_path, "--shared-gather-seconds", "0", "--shared-unit-seconds", "600") as server:
        assert {s for each in together(server, batches(*[1] * CLIENTS, times=20)) for s in each} == {200}
        f = shared_figures(server, "unit")
        assert f["statements"] == f["round_trips"] == CLIENTS * 20, f


def test_units_that_are_gathered_share(tmp_path):
    with served(tmp_path, "--shared-gather-seconds", "60", "--shared-unit-seconds", "600") as server:
        assert {s for each in together(server, batches(*[1] * CLIENTS, times=20)) for s in each} == {200}
        f = shared_figures(server, "unit")
        assert f["statements"] == CLIENTS * 20 and f["round_trips"] < f["statements"], f


@pytest.mark.parametrize("seconds, again", [("0.01", True), ("600", False)])
def test_writes_that_are_not_done_in_time_go_by_themselves(tmp_path, seconds, again):
    """Another process holds the file's lock for longer than the writes have together, and for less than each has."""
    with served(tmp_path, "--shared-write-seconds", seconds, "--busy-timeout-seconds", "60") as server:
        create = [lambda c: c.post("/v1/models/log/records", {"n": 1}).status] * CLIENTS
        with contextlib.closing(sqlite3.connect(server.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            end = threading.Timer(1.0, lambda: None)
            end.start()
            answers = []
            writers = threading.Thread(target=lambda: answers.extend(together(server, create)))
            writers.start()
            end.join()
            other.execute("ROLLBACK")
            writers.join()
        assert answers == [201] * CLIENTS
        assert (shared_figures(server, "write")["again"] > 0) == again


@pytest.mark.parametrize("timeout, goes", [("1", 0), ("5", 5)])
def test_a_read_with_less_time_than_a_round_trip_goes_by_itself(postgres_backend, timeout, goes):
    with Server("--loops", "1", "--default-url", postgres_backend.url, "--shared-trip-seconds", "2") as server, Client(server.port) as c:
        c.post("/v1/sql/execute", {"sql": "CREATE TABLE trip (id integer PRIMARY KEY)"}).expect(200)
        c.post("/v1/introspect", {"register": True}).expect(200)

        def shared(times, **headers):
            before = shared_figures(server, "read")["statements"]
            for _ in range(times):
                c.get("/v1/models/trip/records/1", headers=headers).problem(404, "record_not_found")
            return shared_figures(server, "read")["statements"] - before
        wait_for(lambda: shared(1) == 1, 20, "what is known of the table")
        assert shared(5, Prefer=f"timeout={timeout}") == goes
