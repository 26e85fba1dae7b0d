"""PostgreSQL dies, freezes and comes back: 503 in time, never a hang, and requests succeed again by themselves."""
import threading
import time

import pytest

from support.client import Client
from support.process import wait_for
from support.tables import MARKER, create_tables, insert, query, sql

ACQUIRE = 1.0
# what a loaded machine may add to it
GRACE = 4.0


@pytest.fixture
def down(server, postgres_backend):
    """A client; the connection is `down`, with one row of MARKER."""
    with Client(server.port, timeout=30) as client:
        client.post("/v1/connections", {"name": "down", "url": postgres_backend.url, "pool": {
            "max_connections": 4, "acquire_timeout_seconds": ACQUIRE}}).expect(201)
        create_tables(client, "down", MARKER)
        insert(client, "down", "Marker", [{"id": 1, "label": "one"}])
        # the fixture's server commits asynchronously: what a test kills must have been written
        postgres_backend.pg.psql("CHECKPOINT")
        client.pg = postgres_backend.pg
        client.database = postgres_backend.database
        yield client
        if postgres_backend.pg.process is None:
            postgres_backend.pg.start()
        if server.alive:
            client.delete("/v1/connections/down?force=true")


def count(client):
    return query(client, "Marker", path="/count", using="down")


def fails_in_time(call):
    started = time.monotonic()
    answer = call()
    took = time.monotonic() - started
    assert took < ACQUIRE + GRACE, f"{took:.1f} s"
    problem = answer.problem(503, "database_unavailable")
    assert problem["retryable"] and answer.header("Retry-After") is not None
    return problem


def back(client):
    """Requests succeed again with no action by the client."""
    return wait_for(lambda: (answer := count(client)).status == 200 and answer.json(), 20, "PostgreSQL's return")


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_down_and_up_again(down, end):
    assert count(down).expect(200).json() == {"count": 1}
    getattr(down.pg, end)()
    fails_in_time(lambda: count(down))
    fails_in_time(lambda: down.get("/v1/models/Marker/records/1", params={"using": "down"}))
    fails_in_time(lambda: sql(down, "SELECT 1", using="down"))
    fails_in_time(lambda: down.post("/v1/models/Marker/records", {"label": "x"}, params={"using": "down"}))
    fails_in_time(lambda: down.post("/v1/transactions", {"using": "down"}))
    fails_in_time(lambda: down.post("/v1/connections/down/check"))
    # what needs no PostgreSQL goes on
    down.get("/healthz").expect(200)
    down.get("/v1/connections/down").expect(200)
    down.post("/v1/sql/fetch-one", {"sql": "SELECT 1 AS a", "using": "default"}).expect(200)
    down.pg.start()
    assert back(down) == {"count": 1}
    down.post("/v1/connections/down/check").expect(200)


def test_session_survives(down):
    session = down.session(using="down")
    assert session.get("/v1/models/Marker/records/1").expect(200).header("Ferro-Identity") == "miss"
    down.pg.kill()
    assert session.get("/v1/models/Marker/records/1").expect(200).header("Ferro-Identity") == "hit"
    fails_in_time(lambda: session.get("/v1/models/Marker/records/1", headers={"Cache-Control": "no-cache"}))
    session.get("/v1/session").expect(200)
    down.pg.start()
    back(down)
    answer = session.get("/v1/models/Marker/records/1", headers={"Cache-Control": "no-cache"}).expect(200)
    assert answer.json()["label"] == "one"
    session.delete("/v1/session").expect(204)


def test_transaction_is_lost_and_says_so(down):
    inside = down.transaction(using="down")
    inside.post("/v1/models/Marker/records", {"id": 2, "label": "lost"}).expect(201)
    path = f"/v1/transactions/{inside.headers['Ferro-Transaction']}"
    down.pg.kill()
    answer = sql(inside, "SELECT 1")
    assert answer.status in (503, 409, 410), answer.body
    answer = inside.post(path + "/commit")
    assert answer.status >= 400, "a commit that could not have happened was reported as a success"
    assert answer.json().get("outcome") in (None, "rolled_back", "unknown", "not_started")
    down.pg.start()
    assert back(down) == {"count": 1}
    assert inside.get(path).json()["state"] in ("rolled_back", "expired", "unknown", "aborted")
    wait_for(lambda: down.get("/v1/connections/down").json()["pool"]["in_use"] == 0, 10, "a free pool")


def test_killed_backends(down):
    """One backend dies (an administrator, a failover): the next request finds another."""
    for _ in range(5):
        assert count(down).expect(200).json() == {"count": 1}
        down.pg.psql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{down.database}'")
        answer = count(down)
        assert answer.status in (200, 503), answer.body
        assert wait_for(lambda: count(down).status == 200, 10, "a working connection")


def test_statement_in_flight_when_it_dies(down):
    answers = []

    def work():
        with down.clone() as own:
            started = time.monotonic()
            answers.append((sql(own, "SELECT pg_sleep(20)", using="down"), time.monotonic() - started))
    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    wait_for(lambda: down.get("/v1/connections/down").json()["pool"]["in_use"] == 3, 10, "three running statements")
    down.pg.kill()
    for thread in threads:
        thread.join(20)
    assert len(answers) == 3
    for answer, took in answers:
        answer.problem(503, "database_unavailable")
        assert took < 15
    down.pg.start()
    back(down)


def test_frozen_server(down):
    """It neither answers nor refuses: the statement's timeout ends the wait, and nothing else hangs with it."""
    down.delete("/v1/connections/down?force=true").expect(204)
    down.post("/v1/connections", {"name": "down", "url": down.pg.url(down.database), "pool": {
        "max_connections": 2, "acquire_timeout_seconds": 1, "statement_timeout_seconds": 1}}).expect(201)
    count(down).expect(200)
    with down.pg.frozen():
        for _ in range(3):
            started = time.monotonic()
            answer = count(down)
            assert answer.status in (503, 504), answer.body
            assert time.monotonic() - started < 3 + GRACE
        down.get("/healthz").expect(200)
    assert back(down) == {"count": 1}


def test_frozen_server_and_reads_that_share_a_round_trip(down):
    """Each has its own time: the one who leads the round trip, too, whatever others have."""
    down.delete("/v1/connections/down?force=true").expect(204)
    down.post("/v1/connections", {"name": "down", "url": down.pg.url(down.database),
                                  "pool": {"max_connections": 2}}).expect(201)
    down.get("/v1/models/Marker/records/1", params={"using": "down"}).expect(200)
    took = {}

    def read(seconds):
        with down.clone() as own:
            started = time.monotonic()
            answer = own.get("/v1/models/Marker/records/1", params={"using": "down"},
                             headers={"Prefer": f"timeout={seconds}"})
            took[seconds] = (time.monotonic() - started, answer.status)

    with down.pg.frozen():
        threads = [threading.Thread(target=read, args=(seconds,)) for seconds in (1, 3, 4, 6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for seconds, (time_taken, status) in took.items():
        assert status in (503, 504), took
        assert time_taken < seconds + 2.8, took  # two seconds for the word on a cancelled statement
    back(down)


def test_many_clients_through_an_outage(down):
    """No crash, no hang, only documented answers; every insert that was reported is there afterwards."""
    stop, wrong, kept = threading.Event(), [], []

    def work(seed):
        with down.clone() as own:
            number = 0
            while not stop.is_set():
                number += 1
                key = seed * 100000 + number
                try:
                    answer = own.post("/v1/models/Marker/records", {"id": key, "label": "w"}, params={"using": "down"})
                    if answer.status == 201:
                        kept.append(key)
                    elif answer.status != 503:
                        wrong.append(answer.body)
                except Exception as e:
                    wrong.append(repr(e))
    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(1, 11)]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(kept) > 30, 20, "inserts")
    down.pg.stop()
    before = len(kept)
    time.sleep(0.5)  # an outage has a length
    down.pg.start()
    wait_for(lambda: len(kept) > before + 30, 30, "inserts after the return")
    stop.set()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    assert wrong == []
    stored = {row["id"] for row in query(down, "Marker", using="down").expect(200).json()["rows"]}
    assert set(kept) <= stored


def test_out_of_connections(down):
    """PostgreSQL has no slot left: 503 in time; the pool's own connections work on, and slots that come free are used."""
    pg = down.pg
    name = "crowded"
    pg.psql(f"CREATE ROLE {name} LOGIN CONNECTION LIMIT 1")
    pg.psql(f"GRANT ALL ON SCHEMA public TO {name}; GRANT ALL ON marker TO {name}", down.database)
    try:
        down.post("/v1/connections", {"name": name, "url": pg.url(down.database, user=name), "pool": {
            "max_connections": 3, "acquire_timeout_seconds": ACQUIRE}}).expect(201)
        inside = down.transaction(using=name)  # holds the one slot
        for _ in range(3):
            answer = sql(down, "SELECT 1 AS a", using=name)
            assert answer.status == 503 and answer.json()["code"] in ("database_unavailable", "pool_timeout"), answer.body
            assert answer.header("Retry-After")
        sql(inside, "SELECT 1 AS a").expect(200)
        assert down.post("/v1/connections", {"name": "x", "url": pg.url(down.database, user=name)}).status == 503
        inside.post(f"/v1/transactions/{inside.headers['Ferro-Transaction']}/rollback").expect(200)
        wait_for(lambda: sql(down, "SELECT 1 AS a", using=name).status == 200, 15, "the free slot")
    finally:
        down.delete(f"/v1/connections/{name}?force=true")
        pg.psql(f"DROP OWNED BY {name}; DROP ROLE {name}", down.database)


def test_read_only(down):
    """A standby, or default_transaction_read_only: reads work, writes are refused as such, and nothing is left half done."""
    pg = down.pg
    pg.psql(f'ALTER DATABASE "{down.database}" SET default_transaction_read_only = on')
    down.post("/v1/connections", {"name": "ro", "url": pg.url(down.database)}).expect(201)
    try:
        assert query(down, "Marker", path="/count", using="ro").expect(200).json() == {"count": 1}
        for call in (lambda: down.post("/v1/models/Marker/records", {"id": 7, "label": "x"}, params={"using": "ro"}),
                     lambda: sql(down, "DELETE FROM marker", using="ro", verb="execute"),
                     lambda: down.delete("/v1/models/Marker/records/1", params={"using": "ro"})):
            answer = call()
            assert answer.status in (400, 403, 409, 503), answer.body
            assert answer.json().get("sqlstate") in ("25006", None), answer.body
        assert query(down, "Marker", path="/count", using="ro").expect(200).json() == {"count": 1}
        pg.psql(f'ALTER DATABASE "{down.database}" RESET default_transaction_read_only')
        pg.psql(f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{down.database}' AND pid <> pg_backend_pid()")
        wait_for(lambda: down.post("/v1/models/Marker/records", {"id": 7, "label": "x"}, params={"using": "ro"}).status == 201, 15, "a write")
    finally:
        down.delete("/v1/connections/ro?force=true")
