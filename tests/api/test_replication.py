"""Commits that wait for a synchronous standby: what is cancelled there is neither a success nor undone."""
import threading
import time

import pytest

from support.client import Client
from support.cutter import Cutter
from support.pg import Postgres
from support.process import wait_for
from support.server import patience

ITEM = {"model_name": "Item", "columns": [{"name": "id", "logical_type": "integer", "primary_key": True},
                                          {"name": "n", "logical_type": "integer", "nullable": True}]}
RECORDS = "/v1/models/Item/records"


@pytest.fixture(scope="module")
def lonely():
    """A PostgreSQL whose commits wait for a standby that never comes, once wait(True) was called."""
    postgres = Postgres(wal_level="replica", max_wal_senders="2", synchronous_commit="on")

    def wait(yes):
        postgres.psql(f"ALTER SYSTEM SET synchronous_standby_names = '{'nobody' if yes else ''}'")
        postgres.psql("SELECT pg_reload_conf()")
        wait_for(lambda: postgres.psql("SHOW synchronous_standby_names") == ("nobody" if yes else ""), 10, "reload")
    postgres.wait = wait
    postgres.waiting = lambda: postgres.psql(
        "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'").split()
    yield postgres
    postgres.destroy()


@pytest.fixture
def alone(server, lonely):
    """connect(**pool) -> a client on a fresh table of that server, whose commits wait from now on."""
    with Client(server.port, timeout=60) as client:
        def connect(port=None, **pool):
            lonely.psql("DROP TABLE IF EXISTS item; CREATE TABLE item (id int PRIMARY KEY, n int);"
                        "INSERT INTO item VALUES (1, 0)")
            client.post("/v1/connections", {"name": "alone", "url": lonely.url() if port is None else f"postgres://ferrod@127.0.0.1:{port}/postgres?sslmode=disable&gssencmode=disable", "default": True, "pool": pool}).expect(201)
            client.put("/v1/models", {"models": [ITEM]}).expect(200)
            # the first statement of a connection prepares: not what is looked at
            client.get(RECORDS).expect(200)
            lonely.wait(True)
            return client
        yield connect
        lonely.wait(False)
        client.delete("/v1/connections/alone?force=true")
        client.put("/v1/default-connection", {"name": "default"}).expect(200)


def in_background(client, *args, **kwargs):
    out = {}

    def run():
        with client.clone() as other:
            out["answer"] = other.request(*args, **kwargs)
    thread = threading.Thread(target=run)
    thread.start()
    out["thread"] = thread
    return out


def finished(out):
    out["thread"].join(30)
    return out["answer"]


ROADS = {
    "create": ("POST", RECORDS, {"id": 2, "n": 2}),
    "patch": ("PATCH", RECORDS + "/1", {"n": 2}),
    "delete": ("DELETE", RECORDS + "/1", None),
    "bulk": ("POST", RECORDS, {"records": [{"id": i, "n": 2} for i in range(2, 400)]}),
    "update": ("POST", "/v1/query/update?all=true", {"query": {"model_name": "Item"}, "set": {"n": 2}}),
    "raw": ("POST", "/v1/sql/execute", {"sql": "INSERT INTO item VALUES (2, 2)"}),
    "batch": ("POST", "/v1/batch", {"steps": [{"op": "create", "model": "Item", "record": {"id": 2, "n": 2}}]}),
}


def is_unknown(answer):
    assert answer.status in (503, 504), (answer.status, answer.body)
    problem = answer.json()
    assert problem["outcome"] == "unknown", problem
    assert "replicated" in problem["detail"], problem
    return problem


def cancel_the_wait(lonely):
    wait_for(lambda: lonely.waiting(), 20, "a commit that waits")
    for pid in lonely.waiting():
        lonely.psql(f"SELECT pg_cancel_backend({pid})")


@pytest.mark.parametrize("road", ROADS)
def test_a_wait_that_was_cancelled_is_unknown(alone, lonely, road):
    client = alone()
    pending = in_background(client, *ROADS[road])
    cancel_the_wait(lonely)
    is_unknown(finished(pending))
    changed = lonely.psql("SELECT count(*) FROM item WHERE n = 2") != "0" or lonely.psql("SELECT count(*) FROM item") == "0"
    assert changed, "it was committed here"


def test_the_end_of_the_request_is_unknown(alone, lonely):
    client = alone()
    for road in ("create", "raw", "batch"):
        lonely.psql("SET synchronous_commit = local; DELETE FROM item WHERE id = 2")
        method, path, body = ROADS[road]
        is_unknown(client.request(method, path, body, headers={"Prefer": "timeout=1"}))


@pytest.mark.parametrize("raw", [False, True], ids=["commit", "raw-commit"])
def test_a_managed_transaction_is_unknown(alone, lonely, raw):
    client = alone()
    tx = client.post("/v1/transactions", {}).expect(201).json()["transaction_id"]
    client.post(RECORDS, {"id": 2, "n": 2}, headers={"Ferro-Transaction": tx}).expect(201)
    if raw:
        pending = in_background(client, "POST", "/v1/sql/execute", {"sql": "COMMIT"}, headers={"Ferro-Transaction": tx})
    else:
        pending = in_background(client, "POST", f"/v1/transactions/{tx}/commit")
    cancel_the_wait(lonely)
    is_unknown(finished(pending))
    told = client.get(f"/v1/transactions/{tx}").json()
    assert told["state"] == "unknown" and "replicated" in told["detail"]


@pytest.mark.parametrize("opened", [True, False], ids=["in-one", "of-one"])
def test_an_end_that_travels_with_its_last_write_is_unknown(alone, lonely, opened):
    """And so it is told afterwards: nobody lost the database."""
    client = alone()
    tx = client.post("/v1/transactions", {}).expect(201).json()["transaction_id"] if opened else "new"
    pending = in_background(client, "POST", RECORDS, {"id": 2, "n": 2},
                            headers={"Ferro-Transaction": tx, "Ferro-Transaction-End": "commit"})
    cancel_the_wait(lonely)
    is_unknown(finished(pending))
    if opened:
        told = client.get(f"/v1/transactions/{tx}").json()
        assert told["state"] == "unknown" and "replicated" in told["detail"] and "lost at" not in told["detail"]


TRAVELLING = {
    "raw batch": ("POST", "/v1/batch", {"steps": [{"op": "sql.execute", "sql": f"INSERT INTO item VALUES ({n}, 2)"} for n in (2, 3)]}),
    "end": ("POST", RECORDS, {"id": 2, "n": 2}), "raw end": ROADS["raw"],
}


@pytest.mark.parametrize("road", ["create", "raw", "bulk", "batch", *TRAVELLING])
def test_a_statement_timeout_leaves_a_commit_that_waits_alone(alone, lonely, road):
    """Also one that travels with the last statement."""
    client = alone(statement_timeout_seconds=1)
    method, path, body = {**ROADS, **TRAVELLING}[road]
    headers = {"Ferro-Transaction": "new", "Ferro-Transaction-End": "commit"} if road.endswith("end") else {}
    pending = in_background(client, method, path, body, headers=headers)
    wait_for(lambda: lonely.waiting(), 20, "a commit that waits")
    time.sleep(2.5)
    assert lonely.waiting() and pending["thread"].is_alive()
    lonely.wait(False)
    answer = finished(pending)
    assert answer.status in (200, 201), answer.body


def test_a_statement_timeout_ends_what_does_not_wait_for_a_standby(alone):
    client = alone(statement_timeout_seconds=1)
    start = time.monotonic()
    client.post("/v1/sql/execute", {"sql": "UPDATE item SET n = 3 WHERE pg_sleep(20) IS NULL"}).problem(504, "statement_timeout")
    assert time.monotonic() - start < patience(5)


@pytest.mark.parametrize("ended", [True, False], ids=["ended", "still-waiting"])
@pytest.mark.parametrize("road", ["managed", "keyed"])
def test_a_commit_that_is_lost_while_it_waits_is_unknown(alone, lonely, road, ended):
    """The server says `committed` of what no standby has, or that it is under way: it is not told as more than that."""
    cutter = Cutter(lonely.port)
    client = alone(port=cutter.own_port, acquire_timeout_seconds=2)
    headers = {"Idempotency-Key": f"a-commit-that-waits-{ended}"}
    if road == "managed":
        tx = client.post("/v1/transactions", {}).expect(201).json()["transaction_id"]
        client.post(RECORDS, {"id": 2, "n": 2}, headers={"Ferro-Transaction": tx}).expect(201)
        pending = in_background(client, "POST", f"/v1/transactions/{tx}/commit")
    else:
        pending = in_background(client, "POST", RECORDS, {"id": 2, "n": 2}, headers=headers)
    wait_for(lambda: lonely.waiting(), 20, "a commit that waits")
    backends = lonely.waiting()
    cutter.sever()
    for pid in backends if ended else []:
        lonely.psql(f"SELECT pg_terminate_backend({pid})")
    is_unknown(finished(pending))
    assert not ended or lonely.psql("SELECT count(*) FROM item WHERE n = 2") == "1", "it was committed here"
    if road == "managed":
        began = time.monotonic()
        assert client.get(f"/v1/transactions/{tx}").json()["state"] == "unknown"
        assert time.monotonic() - began < patience(20), "it was asked for until the request's end"
    else:
        problem = client.post(RECORDS, {"id": 2, "n": 2}, headers=headers).problem(422, "idempotency_key_reused")
        assert problem["outcome"] == "unknown" and "replicated" in problem["detail"], problem
    cutter.listener.close()


def test_a_commit_that_asks_for_no_standby_is_committed(alone, lonely):
    """With synchronous_commit = local the same loss is told as what it is."""
    cutter = Cutter(lonely.port)
    client = alone(port=cutter.own_port, acquire_timeout_seconds=2)
    tx = client.post("/v1/transactions", {}).expect(201).json()["transaction_id"]
    client.post("/v1/sql/execute", {"sql": "SET LOCAL synchronous_commit = local"}, headers={"Ferro-Transaction": tx}).expect(200)
    client.post(RECORDS, {"id": 2, "n": 2}, headers={"Ferro-Transaction": tx}).expect(201)
    cutter.cut = "after"
    assert client.post(f"/v1/transactions/{tx}/commit").problem(503, "database_unavailable")["outcome"] == "committed"
    cutter.listener.close()


def test_a_replay_is_as_safe_as_a_first_answer(alone, lonely):
    """The answer is in the database by then, but on no standby: it is not given before a commit behind it was replicated."""
    client = alone()
    lonely.wait(False)
    client.post("/v1/connections", {"name": "once", "url": lonely.url(), "exactly_once": True, "pool": {"max_connections": 2}}).expect(201)
    lonely.wait(True)
    request = ("POST", RECORDS + "?using=once", {"id": 2, "n": 2})
    headers = {"Idempotency-Key": "as-safe"}
    try:
        pending = in_background(client, *request, headers=headers)
        cancel_the_wait(lonely)
        is_unknown(finished(pending))
        assert lonely.psql("SET synchronous_commit = local; SELECT count(*) FROM _ferrod_once WHERE status = 201").endswith("1")
        again = in_background(client, *request, headers=headers)
        cancel_the_wait(lonely)
        is_unknown(finished(again))
        again = in_background(client, *request, headers=headers)
        wait_for(lambda: lonely.waiting(), 20, "a replay that waits")
        assert again["thread"].is_alive()
        lonely.wait(False)
        answer = finished(again)
        assert answer.status == 201 and answer.header("Idempotency-Replayed") == "true", answer.body
        assert lonely.psql("SELECT count(*) FROM item WHERE n = 2") == "1"
    finally:
        lonely.wait(False)
        client.delete("/v1/connections/once?force=true")
        lonely.psql("DROP TABLE IF EXISTS _ferrod_once")
