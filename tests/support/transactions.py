"""Statements on a table of numbers within transactions and without, for the tests of transactions."""
import contextlib
import sqlite3
import threading

import pytest

from .process import wait_for


def sql(client, text, *args, code=200):
    return client.post("/v1/sql/execute", {"sql": text, "args": list(args)}).expect(code)


def rows(client, text, *args):
    return client.post("/v1/sql/fetch-all", {"sql": text, "args": list(args)}).expect(200).json()["rows"]


def numbers(client):
    return [row["n"] for row in rows(client, "SELECT n FROM marks ORDER BY n")]


def mark(client, n):
    sql(client, f"INSERT INTO marks (n) VALUES ({int(n)})")


def tx_id(client):
    return client.headers["Ferro-Transaction"]


def end(client, how, status=200, code=None, of=None):
    plain = client.clone()
    del plain.headers["Ferro-Transaction"]
    with plain:
        return plain.post(f"/v1/transactions/{of or tx_id(client)}/{how}").expect(status, code).json()


def state(client, of=None):
    plain = client.clone()
    del plain.headers["Ferro-Transaction"]
    with plain:
        return plain.get(f"/v1/transactions/{of or tx_id(client)}").expect(200).json()["state"]


def gauges(conn):
    answer = conn.client.get(f"/v1/connections/{conn.name}").expect(200).json()
    return answer["pool"]["in_use"], answer["transactions"], answer["sessions"]


@pytest.fixture
def db(conn):
    """The connection with an empty table `marks`; at the end nothing may be leased any more."""
    conn.client.post("/v1/sql/execute", {"sql": "CREATE TABLE marks (n integer PRIMARY KEY)"}, params=conn.using).expect(200)
    yield conn
    if conn.client.get("/healthz").status == 200:
        conn.client.get("/v1/sessions")
        wait_for(lambda: gauges(conn)[:2] == (0, 0), 10, "nothing leased and no transaction open")


@pytest.fixture
def session(db):
    client = db.client.session(using=db.name)
    yield client
    client.delete("/v1/session?rollback=true").expect(204)
    client.close()


def begin(client, **options):
    return client.transaction(**options)


def endless(conn):
    """A statement that runs until it is stopped."""
    if conn.backend.name == "postgres":
        return "SELECT pg_sleep(600)"
    return "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"


@contextlib.contextmanager
def locked(conn):
    """Within it the table `marks` cannot be written: a statement that tries holds its transaction's turn."""
    if conn.backend.name == "sqlite":
        other = sqlite3.connect(conn.backend.path, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")
            other.close()
        return
    with conn.client.transaction(using=conn.name) as other:
        sql(other, "LOCK TABLE marks IN EXCLUSIVE MODE")
        try:
            yield
        finally:
            end(other, "rollback")


def queue_of(session):
    return int(session.get("/v1/session").expect(200).header("Ferro-Session-Info").rsplit("queue=", 1)[1])


def in_thread(function, *args):
    thread = threading.Thread(target=function, args=args)
    thread.start()
    return thread
