"""Sessions: opening, inspecting, closing, expiry; which connection a request works on; concurrency; many TCP connections."""
import json
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from support import vanish
from support.client import Client
from support.contract import contract
from support.keys import Keys
from support.process import wait_for
from support.server import Server
from support.tables import MARKER, create_tables, insert, query, sql


@pytest.fixture
def marked(conn):
    """conn with the table of MARKER and one row."""
    create_tables(conn.client, conn.name, MARKER)
    insert(conn.client, conn.name, "Marker", [{"id": 1, "label": "one"}])
    return conn


@pytest.fixture
def other(server):
    """A second connection, `elsewhere`, whose marker 1 has another label."""
    with Client(server.port) as client:
        client.post("/v1/connections", {"name": "elsewhere", "url": "sqlite::memory:"}).expect(201)
        sql(client, "CREATE TABLE marker (id integer PRIMARY KEY, label varchar)", using="elsewhere", verb="execute").expect(200)
        sql(client, "INSERT INTO marker VALUES (1, 'elsewhere')", using="elsewhere", verb="execute").expect(200)
        yield "elsewhere"
        if server.alive:
            client.delete("/v1/connections/elsewhere?force=true")


# ---- life ----

def test_open_inspect_close(marked):
    opened = marked.client.post("/v1/sessions", {"using": marked.name, "idle_timeout_seconds": 60, "max_lifetime_seconds": 120})
    opened.expect(201)
    body = opened.json()
    secret = opened.header("Ferro-Session")
    assert body["session_id"] == secret and len(secret) >= 22
    assert body["connection_name"] == marked.name and body["idle_timeout_seconds"] == 60 and body["identity_map"] is True
    assert body["expires_at"] > body["created_at"]
    session = marked.client.clone(Ferro_Session=secret)
    shown = session.get("/v1/session").expect(200)
    state = shown.json()
    assert state["connection_name"] == marked.name and state["transactions"] == []
    assert state["created_at"] == body["created_at"] and state["last_used_at"] >= state["created_at"]
    assert state["identity_map"] == {"enabled": True, "size": 0, "bytes": 0, "hits": 0, "misses": 0, "evictions": 0}
    info = dict(re.findall(r"([a-z-]+)=([\d.]+)", shown.header("Ferro-Session-Info")))
    assert 55 < float(info["idle-expires-in"]) <= 60 and 110 < float(info["expires-in"]) <= 120
    assert info["transactions"] == "0" and info["queue"] == "0"
    session.get("/v1/models/Marker/records/1").expect(200)
    assert session.get("/v1/session").json()["identity_map"]["size"] == 1
    session.delete("/v1/session").expect(204)
    session.delete("/v1/session").expect(204)
    session.get("/v1/session").expect(410)
    for path in ("/v1/models/Marker/records/1", "/v1/models/Marker/records"):
        session.get(path).problem(410, "session_expired")
    assert marked.client.get(f"/v1/connections/{marked.name}").json()["sessions"] == 0


def test_open_with_no_body_or_an_empty_one(client):
    for kwargs in ({}, {"body": {}}):
        answer = client.request("POST", "/v1/sessions", **kwargs).expect(201)
        assert answer.json()["connection_name"] == "default"
        client.clone(Ferro_Session=answer.header("Ferro-Session")).delete("/v1/session").expect(204)
    answer = client.post("/v1/sessions?using=default").expect(201)
    client.clone(Ferro_Session=answer.header("Ferro-Session")).delete("/v1/session").expect(204)
    client.post("/v1/sessions", {"using": "nobody"}).problem(404, "connection_not_found")
    client.post("/v1/sessions", {"using": "no body"}).problem(400, "invalid_connection_name")


def test_no_session_named(client):
    client.get("/v1/session").problem(400, "invalid_request")
    client.delete("/v1/session").problem(400, "invalid_request")


@pytest.mark.parametrize("secret", ["x", "A" * 32, "../../etc", "é", "a b", "A" * 4000])
def test_sessions_that_never_were(client, secret):
    headers = {"Ferro-Session": secret.encode().decode("latin-1")}
    for call in (client.get, client.delete):
        answer = call("/v1/session", headers=headers)
        assert (answer.status, answer.json()["code"]) in ((404, "session_not_found"), (400, "invalid_request")), answer.body
        assert secret == "x" or secret not in answer.text
    answer = client.post("/v1/sql/fetch-all", {"sql": "SELECT 1"}, headers=headers)
    assert answer.status in (400, 404)


def test_ids_are_secrets(server, marked):
    sessions = [marked.client.session(using=marked.name) for _ in range(50)]
    secrets = {s.headers["Ferro-Session"] for s in sessions}
    assert len(secrets) == 50
    listed = marked.client.get("/v1/sessions").expect(200).text
    metrics = marked.client.get("/metrics").text
    for session, secret in zip(sessions, secrets):
        session.get("/v1/models/Nothing/records/1").expect(404)
        session.delete("/v1/session").expect(204)
    log = server.log()
    for secret in secrets:
        assert secret not in listed and secret not in log and secret not in metrics


def test_list_of_sessions(marked):
    session = marked.client.session(using=marked.name)
    session.get("/v1/models/Marker/records/1").expect(200)
    mine = [s for s in marked.client.get("/v1/sessions").json()["sessions"] if s["connection_name"] == marked.name]
    assert len(mine) == 1 and mine[0]["identity_map"]["size"] == 1 and mine[0]["transactions"] == 0
    session.delete("/v1/session").expect(204)


def test_open_transactions_hold_a_session_open(marked):
    session = marked.client.session(using=marked.name)
    transaction = session.transaction()
    session.delete("/v1/session").problem(409, "transactions_open")
    transaction.post("/v1/models/Marker/records", {"id": 2, "label": "during-tx"}).expect(201)
    state = session.get("/v1/session").json()
    assert [t["state"] for t in state["transactions"]] == ["open"]
    transaction.post(f"/v1/transactions/{transaction.headers['Ferro-Transaction']}/commit").expect(200)
    session.delete("/v1/session").expect(204)
    assert query(marked.client, "Marker", path="/count", using=marked.name).json() == {"count": 2}


def test_close_with_rollback(marked):
    session = marked.client.session(using=marked.name)
    transaction = session.transaction()
    transaction.post("/v1/models/Marker/records", {"id": 2, "label": "lost"}).expect(201)
    session.delete("/v1/session?rollback=true").expect(204)
    assert query(marked.client, "Marker", path="/count", using=marked.name).json() == {"count": 1}
    wait_for(lambda: marked.client.get(f"/v1/connections/{marked.name}").json()["pool"]["in_use"] == 0, 5, "a free pool")


def test_idle_timeout(marked):
    """Closed by the server, its transactions rolled back; 410 says why and when and what became of them."""
    session = marked.client.session(using=marked.name, idle_timeout_seconds=0.4)
    for _ in range(4):
        session.get("/v1/session").expect(200)
    transaction = session.transaction()
    transaction.post("/v1/models/Marker/records", {"id": 2, "label": "lost"}).expect(201)
    wait_for(lambda: marked.client.get(f"/v1/connections/{marked.name}").json()["sessions"] == 0, 10, "the session's end")
    problem = session.get("/v1/session").problem(410, "session_expired")
    assert re.search(r"\d{4}-\d\d-\d\dT\d\d:\d\d", problem["detail"]) and "transaction" in problem["detail"], problem
    session.post("/v1/transactions").problem(410, "session_expired")
    answer = sql(transaction, "SELECT 1")
    assert answer.status == 410
    assert query(marked.client, "Marker", path="/count", using=marked.name).json() == {"count": 1}
    assert session.delete("/v1/session").status in (204, 410)


def test_use_keeps_a_session_alive(marked):
    session = marked.client.session(using=marked.name, idle_timeout_seconds=0.6)
    for _ in range(8):
        time.sleep(0.15)  # paced use is what is tested here
        session.get("/v1/models/Marker/records/1").expect(200)
    session.delete("/v1/session").expect(204)


def test_lifetime(marked):
    session = marked.client.session(using=marked.name, idle_timeout_seconds=60, max_lifetime_seconds=0.4)
    wait_for(lambda: session.get("/v1/session").status == 410, 10, "the session's end")
    session.get("/v1/session").problem(410, "session_expired")


def test_limit_of_sessions():
    with Server("--sessions", "3") as server, Client(server.port) as client:
        open_ones = [client.session() for _ in range(3)]
        answer = client.post("/v1/sessions")
        answer.problem(429, "too_many_sessions")
        open_ones[0].delete("/v1/session").expect(204)
        client.session()


def test_limit_of_sessions_per_caller(sqlite_backend, tmp_path):
    """A caller at its own limit does not keep the others out; the limit of all holds for each."""
    keys = Keys(tmp_path)
    for name in "ab":
        keys.add(name, ["read"])
    config = {"sessions": 4, "sessions_per_key": 2, "keys_file": str(keys.path), "default_url": sqlite_backend.url}
    with Server(config=config) as server:
        a, b = (keys.client(server.port, name) for name in "ab")
        mine = [a.post("/v1/sessions").expect(201).header("Ferro-Session") for _ in range(2)]
        answer = a.post("/v1/sessions")
        assert answer.problem(429, "too_many_sessions")["retryable"] and int(answer.header("Retry-After")) > 0
        for _ in range(2):
            b.post("/v1/sessions").expect(201)
        b.post("/v1/sessions").problem(429, "too_many_sessions")
        a.clone(Ferro_Session=mine[0]).delete("/v1/session").expect(204)
        a.clone(Ferro_Session=mine[0]).delete("/v1/session").expect(204)    # counted once
        a.post("/v1/sessions").expect(201)
        a.post("/v1/sessions").problem(429, "too_many_sessions")


def test_the_limit_holds_in_a_race():
    """Sixteen openers at once find exactly as many places as there are."""
    with Server(config={"sessions": 5, "access_log": False}) as server:
        for _ in range(5):
            with ThreadPoolExecutor(16) as pool:
                answers = list(pool.map(lambda _: Client(server.port).post("/v1/sessions"), range(16)))
            opened = [a.header("Ferro-Session") for a in answers if a.status == 201]
            assert len(opened) == 5 and all(a.status in (201, 429) for a in answers)
            with ThreadPoolExecutor(10) as pool:
                list(pool.map(lambda s: Client(server.port).clone(Ferro_Session=s).delete("/v1/session").expect(204), opened * 2))


@pytest.mark.parametrize("limit", ["sessions", "sessions_per_key"])
def test_expired_sessions_give_their_place_back(limit):
    with Server(config={limit: 1}) as server, Client(server.port) as client:
        client.session(idle_timeout_seconds=0.2)
        client.post("/v1/sessions").problem(429, "too_many_sessions")
        wait_for(lambda: client.post("/v1/sessions").status == 201, 10, "the place")


@pytest.mark.skipif(vanish.growth_bound(1) != 1, reason="a sanitizer's memory is not the program's")
def test_ten_thousand_idle_sessions(sqlite_backend):
    """Each with ten mapped records: 64 MiB over the base, and no connection held."""
    with Server(config={"default_url": sqlite_backend.url, "access_log": False}) as server, Client(server.port) as client:
        create_tables(client, "default", MARKER)
        insert(client, "default", "Marker", [{"id": i, "label": f"label {i}"} for i in range(10)])
        warm = client.session()
        query(warm, "Marker").expect(200)
        warm.delete("/v1/session").expect(204)
        before = server.rss_kib()
        body = b'{"model_name":"Marker","where":[]}'
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as s:
            reader = s.makefile("rb")
            for start in range(0, 10000, 100):
                s.sendall(b"POST /v1/sessions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n" * 100)
                ids = [response(reader, b"201")["session_id"] for _ in range(100)]
                s.sendall(b"".join(
                    b"POST /v1/query HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nFerro-Session: %s\r\n"
                    b"Content-Length: %d\r\n\r\n%s" % (ident.encode(), len(body), body) for ident in ids))
                assert all(response(reader, b"200")["row_count"] == 10 for _ in range(100))
        state = client.get("/v1/connections/default").expect(200).json()
        assert state["sessions"] == 10000 and state["pool"]["in_use"] == 0
        shown = client.clone(Ferro_Session=ids[-1]).get("/v1/session").expect(200).json()
        assert shown["identity_map"]["size"] == 10
        assert server.rss_kib() - before < 64 * 1024
        client.post("/v1/sessions").problem(429, "too_many_sessions")


def response(reader, status):
    """The next of a pipeline's answers, as JSON."""
    line = reader.readline()
    assert line.split()[1] == status, line
    length = 0
    while (header := reader.readline()) != b"\r\n":
        if header.lower().startswith(b"content-length:"):
            length = int(header.split(b":")[1])
    return json.loads(reader.read(length))



def test_ended_sessions_are_forgotten():
    with Server("--tombstone-seconds", "1") as server, Client(server.port) as client:
        session = client.session()
        session.delete("/v1/session").expect(204)
        wait_for(lambda: session.get("/v1/session").status == 404, 15, "forgetting")
        session.delete("/v1/session").problem(404, "session_not_found")


def test_session_pins_the_default_of_its_opening():
    with Server() as server, Client(server.port) as client:
        session = client.session()
        client.post("/v1/connections", {"name": "later", "url": "sqlite::memory:", "default": True}).expect(201)
        assert session.get("/v1/session").json()["connection_name"] == "default"
        sql(session, "CREATE TABLE only_here (a)", verb="execute").expect(200)
        sql(client, "SELECT * FROM only_here").problem(400, "sql_error")
        sql(client, "SELECT * FROM only_here", using="default").expect(200)


def test_idle_session_holds_no_connection(marked):
    sessions = [marked.client.session(using=marked.name) for _ in range(20)]
    for session in sessions:
        session.get("/v1/models/Marker/records/1").expect(200)
    pool = marked.client.get(f"/v1/connections/{marked.name}").json()
    assert pool["sessions"] == 20 and pool["pool"]["in_use"] == 0
    for session in sessions:
        session.delete("/v1/session").expect(204)


# ---- which connection ----

READS = [
    ("record", lambda c, using: c.get("/v1/models/Marker/records/1", params=using)),
    ("query", lambda c, using: c.post("/v1/query/first", {"model_name": "Marker", "where": []}, params=using)),
    ("query body", lambda c, using: c.post("/v1/query/first", {"model_name": "Marker", "where": [], **(using or {})})),
    ("sql", lambda c, using: c.post("/v1/sql/fetch-one", {"sql": "SELECT * FROM marker"}, params=using)),
    ("sql body", lambda c, using: c.post("/v1/sql/fetch-one", {"sql": "SELECT * FROM marker", **(using or {})})),
]


def label(answer):
    body = answer.expect(200).json()
    return (body.get("row") or body)["label"]


@pytest.mark.parametrize("read", [r[1] for r in READS], ids=[r[0] for r in READS])
def test_routes(marked, other, read):
    """Transaction, then using, then session, then default; a using that differs is a conflict."""
    client, here, there = marked.client, {"using": marked.name}, {"using": other}
    session = client.session(using=marked.name)
    inside = session.transaction()
    free = client.transaction(using=marked.name) if marked.backend.name == "postgres" else None
    assert label(read(client, here)) == "one"
    assert label(read(client, there)) == "elsewhere"
    assert label(read(session, None)) == "one"
    assert label(read(session, here)) == "one"
    read(session, there).problem(409, "route_conflict")
    assert label(read(inside, None)) == "one"
    assert label(read(inside, here)) == "one"
    read(inside, there).problem(409, "route_conflict")
    # the transaction's id in another session, or in none, is as unknown
    stranger = client.clone(Ferro_Transaction=inside.headers["Ferro-Transaction"])
    read(stranger, None).problem(404, "transaction_not_found")
    foreign = client.session(using=marked.name)
    read(foreign.clone(Ferro_Transaction=inside.headers["Ferro-Transaction"]), None).problem(404, "transaction_not_found")
    # one that needs no session: its id alone is the credential
    if free is not None:
        assert label(read(free, None)) == "one"
        read(free, there).problem(409, "route_conflict")
    read(client, {"using": "nobody"}).problem(404, "connection_not_found")
    read(client, {"using": "no body"}).problem(400, "invalid_connection_name")
    for one in (foreign, session):
        one.delete("/v1/session?rollback=true").expect(204)


def test_two_usings_that_differ(marked, other):
    answer = marked.client.post("/v1/sql/fetch-one", {"sql": "SELECT 1", "using": marked.name}, params={"using": other})
    assert answer.status in (400, 409), answer.body


def test_sessions_see_their_own_connection_only(marked, other):
    one, two = marked.client.session(using=marked.name), marked.client.session(using=other)
    assert one.get("/v1/models/Marker/records/1").json()["label"] == "one"
    assert two.get("/v1/models/Marker/records/1").json()["label"] == "elsewhere"
    two.delete("/v1/session").expect(204)
    assert one.get("/v1/models/Marker/records/1").json()["label"] == "one"
    two.get("/v1/models/Marker/records/1").problem(410, "session_expired")
    one.delete("/v1/session").expect(204)


# ---- many at once ----

def test_session_over_several_tcp_connections(marked):
    secret = marked.client.session(using=marked.name).headers["Ferro-Session"]
    states = []
    for number in range(12):
        with marked.client.clone(Ferro_Session=secret) as own:
            states.append(own.get("/v1/models/Marker/records/1").expect(200).header("Ferro-Identity"))
    assert states == ["miss"] + ["hit"] * 11
    with marked.client.clone(Ferro_Session=secret) as own:
        own.delete("/v1/session").expect(204)


def test_concurrent_requests_of_one_session(marked):
    insert(marked.client, marked.name, "Marker", [{"id": n, "label": f"m{n}"} for n in range(2, 40)])
    secret = marked.client.session(using=marked.name).headers["Ferro-Session"]
    failures = []

    def work(seed):
        with marked.client.clone(Ferro_Session=secret) as own:
            try:
                for step in range(40):
                    key = 2 + (seed * 7 + step * 3) % 38
                    assert own.get(f"/v1/models/Marker/records/{key}").expect(200).json() == {"id": key, "label": f"m{key}"}
                    if step % 10 == seed % 10:
                        own.delete("/v1/session/identity-map").expect(204)
            except Exception as e:
                failures.append(repr(e))
    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    marked.client.clone(Ferro_Session=secret).delete("/v1/session").expect(204)


def test_concurrent_closes(marked):
    for _ in range(5):
        secret = marked.client.session(using=marked.name).headers["Ferro-Session"]
        statuses, barrier = [], threading.Barrier(4)

        def close(secret=secret, statuses=statuses, barrier=barrier):
            with marked.client.clone(Ferro_Session=secret) as own:
                own.get("/v1/session")
                barrier.wait(10)
                statuses.append(own.delete("/v1/session").status)
        threads = [threading.Thread(target=close) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert statuses == [204] * 4


def test_requests_of_one_transaction_wait_for_each_other(marked):
    """They never fail just because another one is running."""
    inside = marked.client.transaction(using=marked.name)
    failures = []

    def work(number):
        with inside.clone() as own:
            answer = own.post("/v1/models/Marker/records", {"id": 100 + number, "label": "t"})
            if answer.status != 201:
                failures.append(answer.body)
    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    inside.post(f"/v1/transactions/{inside.headers['Ferro-Transaction']}/commit").expect(200)
    assert query(marked.client, "Marker", path="/count", using=marked.name).json() == {"count": 17}


def test_problem_in_a_session_says_so(marked):
    session = marked.client.session(using=marked.name)
    answer = session.get("/v1/models/Marker/records/77")
    answer.problem(404, "record_not_found")
    assert answer.header("Ferro-Session-Info")
    assert session.headers["Ferro-Session"] not in json.dumps(answer.json())
    session.delete("/v1/session").expect(204)


def test_every_answer_in_a_session_says_how_long_it_lasts(sqlite_conn):
    """api.md section 7: pages, lists and refusals too; and the description knows of it (the client checks)."""
    session = sqlite_conn.client.session(using=sqlite_conn.name)
    for path, item in contract().document["paths"].items():
        if "get" in item and "{" not in path:
            assert session.get(path).expect(200).header("Ferro-Session-Info"), path
    for method, path, body, headers in (("GET", "/nothing", None, {}), ("PATCH", "/v1/query", None, {}), ("GET", "/v1/models?" + "a" * 5000, None, {}),
                                        ("POST", "/v1/query", b"{", {}), ("POST", "/v1/query", b"x", {"Content-Type": "text/plain"}),
                                        ("GET", "/v1/models", None, {"Accept": "text/html"}), ("OPTIONS", "/v1/query", None, {}),
                                        ("POST", f"/v1/connections/{sqlite_conn.name}/check", None, {})):
        assert session.request(method, path, raw=body, headers=headers).header("Ferro-Session-Info"), (method, path[:40])
    session.delete("/v1/session").expect(204)
