"""Clients that go away while their statement runs: it is cancelled within a second, and nothing leaks."""
import time
import uuid

import pytest

from support import vanish
from support.client import Client
from support.process import wait_for

# within a second of the client's end; the rest is the machine's own slowness
SOON = 3.0


def sql(client, text, **more):
    return client.post("/v1/sql/execute", {"sql": text, **more}).expect(200)


def gauges(conn):
    answer = conn.client.get(f"/v1/connections/{conn.name}").expect(200).json()
    return answer["pool"]["in_use"], answer["transactions"]


def endless(conn, tag="x"):
    if conn.backend.name == "postgres":
        return f"SELECT pg_sleep(600) AS {tag}"
    return f"WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) AS {tag} FROM c"


def running(conn, tag):
    """Does the database still run the statement? For SQLite the lease tells."""
    if conn.backend.name == "postgres":
        return conn.backend.pg.psql(
            f"SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%AS {tag}%' "
            "AND pid <> pg_backend_pid()") != "0"
    return gauges(conn)[0] > 0


def tag():
    return f"t{uuid.uuid4().hex[:10]}"


def vanish_from(conn, body, headers=None, way="close", path="/v1/sql/fetch-all", watched=0.25):
    """Sends, waits until the server has surely begun to watch the client, leaves; returns when it has left."""
    s = vanish.send(conn.client.port, path, body, headers)
    time.sleep(watched)
    vanish.WAYS[way](s)
    return s, time.monotonic()


@pytest.mark.parametrize("way", sorted(vanish.WAYS))
def test_a_running_statement_is_cancelled(conn, way):
    name = tag()
    s = vanish.send(conn.client.port, "/v1/sql/fetch-all", {"sql": endless(conn, name), "using": conn.name})
    wait_for(lambda: running(conn, name), 5, "the statement's start")
    time.sleep(0.15)
    vanish.WAYS[way](s)
    left = time.monotonic()
    wait_for(lambda: not running(conn, name) and gauges(conn)[0] == 0, SOON, "the statement's end")
    print(f"cancelled after {time.monotonic() - left:.2f} s")
    s.close()


def test_one_that_leaves_at_once(conn):
    """Before the server watches: it notices when it does."""
    for way in vanish.WAYS.values():
        name = tag()
        s = vanish.send(conn.client.port, "/v1/sql/fetch-all", {"sql": endless(conn, name), "using": conn.name})
        way(s)
        time.sleep(0.2)
        wait_for(lambda: not running(conn, name) and gauges(conn)[0] == 0, SOON, "the statement's end")
        s.close()


def test_in_a_transaction(conn):
    """PostgreSQL is left aborted, SQLite open."""
    client = conn.client
    sql(client, "CREATE TABLE marks (n integer)", using=conn.name)
    with client.session(using=conn.name) as session:
        tx = session.transaction()
        sql(tx, "INSERT INTO marks VALUES (1)")
        name = tag()
        s = vanish.send(client.port, "/v1/sql/fetch-all", {"sql": endless(conn, name)}, tx.headers)
        if conn.backend.name == "postgres":
            wait_for(lambda: running(conn, name), 5, "the statement's start")
        time.sleep(0.25)
        s.close()
        path = f"/v1/transactions/{tx.headers['Ferro-Transaction']}"

        def answers():
            # waits for the transaction's turn: the cancelled statement must give it back
            return tx.post("/v1/sql/fetch-all", {"sql": "SELECT n FROM marks"}, headers={"Prefer": "timeout=0.5"})

        answer = wait_for(lambda: (lambda a: a if a.status != 429 else None)(answers()), SOON, "the transaction's turn")
        if conn.backend.name == "postgres":
            answer.problem(409, "transaction_aborted")
            assert session.get(path).expect(200).json()["state"] == "aborted"
            session.post(path + "/commit").problem(409, "transaction_aborted")
        else:
            assert answer.expect(200).json()["rows"] == [{"n": 1}]
            assert session.get(path).expect(200).json()["state"] == "open"
            session.post(path + "/commit").expect(200)
        wait_for(lambda: gauges(conn) == (0, 0), SOON, "nothing leased")
        session.delete("/v1/session").expect(204)


def test_while_it_waits_for_its_transaction(conn):
    client = conn.client
    tx = client.transaction(using=conn.name)
    name = tag()
    first = vanish.send(client.port, "/v1/sql/fetch-all", {"sql": endless(conn, name)}, tx.headers)
    time.sleep(0.2)
    waiting, _ = vanish_from(conn, {"sql": "SELECT 1"}, tx.headers)
    time.sleep(0.2)
    first.close()
    wait_for(lambda: client.post(f"/v1/transactions/{tx.headers['Ferro-Transaction']}/rollback").status == 200, SOON, "the turn")
    waiting.close()
    assert gauges(conn) == (0, 0)


def test_while_it_waits_for_a_connection(server, backend):
    name = f"c{uuid.uuid4().hex[:8]}"
    with Client(server.port) as client:
        client.post("/v1/connections", {"name": name, "url": backend.url,
                                        "pool": {"max_connections": 1, "acquire_timeout_seconds": 30}}).expect(201)
        tx = client.transaction(using=name)

        def pool():
            return client.get(f"/v1/connections/{name}").expect(200).json()["pool"]

        waiting = [vanish.send(server.port, "/v1/sql/fetch-all", {"sql": "SELECT 1 AS n", "using": name}) for _ in range(3)]
        wait_for(lambda: pool()["waiting"] == 3, 5, "three waiters")
        time.sleep(0.15)
        for s in waiting:
            s.close()
        wait_for(lambda: pool()["waiting"] == 0, SOON, "the waiters' end")
        client.post(f"/v1/transactions/{tx.headers['Ferro-Transaction']}/commit").expect(200)
        assert pool()["in_use"] == 0
        client.delete(f"/v1/connections/{name}").expect(204)


def test_in_the_middle_of_a_stream(conn):
    rows = "generate_series(1, 3000000) AS n" if conn.backend.name == "postgres" else (
        "(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 3000000) SELECT n FROM c)")
    for way in vanish.WAYS.values():
        s = vanish.send(conn.client.port, "/v1/sql/fetch-all", {"sql": f"SELECT n FROM {rows}", "using": conn.name})
        assert s.recv(4096).startswith(b"HTTP/1.1 200")
        way(s)
        if way is vanish.half_close:
            s.close()
        wait_for(lambda: gauges(conn)[0] == 0, SOON, "the lease back")


def test_a_write_that_was_cut_off_is_whole_or_not_at_all(conn):
    client = conn.client
    sql(client, "CREATE TABLE marks (n integer)", using=conn.name)
    series = "SELECT g FROM generate_series(1, 5000000) g" if conn.backend.name == "postgres" else (
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 5000000) SELECT x FROM c")
    s, _ = vanish_from(conn, {"sql": f"INSERT INTO marks {series}", "using": conn.name}, path="/v1/sql/execute")
    wait_for(lambda: gauges(conn)[0] == 0, 10, "the lease back")
    s.close()
    count = client.post("/v1/sql/fetch-one", {"sql": "SELECT count(*) AS n FROM marks", "using": conn.name}).expect(200)
    assert count.json()["row"]["n"] in (0, 5000000)


def test_a_commit_goes_on_without_its_client(conn):
    """Once begun, an end is finished: its outcome can be asked for."""
    client = conn.client
    sql(client, "CREATE TABLE marks (n integer)", using=conn.name)
    for n in range(20):
        tx = client.transaction(using=conn.name)
        sql(tx, f"INSERT INTO marks VALUES ({n})")
        path = f"/v1/transactions/{tx.headers['Ferro-Transaction']}"
        vanish.send(client.port, path + "/commit", {}).close()
        state = wait_for(lambda: (lambda s: s if s != "open" else None)(client.get(path).expect(200).json()["state"]),
                         SOON, "the commit's end") if n % 2 else client.post(path + "/commit").json().get("state")
        assert state == "committed"
    count = client.post("/v1/sql/fetch-one", {"sql": "SELECT count(*) AS n FROM marks", "using": conn.name}).expect(200)
    assert count.json()["row"]["n"] == 20
    assert gauges(conn) == (0, 0)


@pytest.mark.parametrize("cycles", [90])
def test_many_cycles_leak_nothing(server, conn, cycles):
    client = conn.client
    sql(client, "CREATE TABLE marks (n integer)", using=conn.name)
    ways = list(vanish.WAYS.values())

    def cycle(i):
        kind = i % 4
        headers = {}
        if kind == 3:
            tx = client.transaction(using=conn.name, timeout_seconds=60)
            headers = tx.headers
        body = {"sql": endless(conn), **({} if kind == 3 else {"using": conn.name})}
        s = vanish.send(client.port, "/v1/sql/fetch-all", body, headers)
        if kind == 1:
            time.sleep(0.12)
        ways[i % 3](s)
        if kind == 3:
            client.post(f"/v1/transactions/{headers['Ferro-Transaction']}/rollback", headers={"Prefer": "timeout=10"})
        s.close()

    for i in range(40):
        cycle(i)
    wait_for(lambda: gauges(conn) == (0, 0), 10, "nothing leased")
    before = server.rss_kib()
    for i in range(cycles):
        cycle(i)
        if i % 3 == 0:  # the pool has five connections
            wait_for(lambda: gauges(conn)[0] <= 2, 10, "room in the pool")
    wait_for(lambda: gauges(conn) == (0, 0), 10, "nothing leased")
    assert server.rss_kib() - before < vanish.growth_bound(8 * 1024)
