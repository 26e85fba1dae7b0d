"""Every limit at its edge: what just fits is served, one more is refused as documented. And clients that dawdle."""
import contextlib
import json
import socket
import time

import pytest

from support.client import Client
from support.keys import Keys
from support.process import wait_for
from support.raw import RawConnection
from support.server import Server, patience
from support.tables import MARKER, create_tables, insert, sql
from support.vanish import growth_bound

ROWS = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT {}) SELECT n, printf('%.200c', 'x') AS t FROM c"


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A server whose limits are low."""
    with Server("--body-bytes", "2000", "--bulk-body-bytes", "5000", "--uri-bytes", "300", "--header-bytes", "2048", "--sessions", "6",
                "--transactions-per-session", "3", "--transaction-queue", "2", "--identity-map-entries", "5", "--identity-map-bytes",
                "4000", "--statement-timeout-seconds", "1", "--request-timeout-seconds", "8") as server:
        yield server


@pytest.fixture
def c(small):
    with Client(small.port) as client:
        yield client


# ---- sizes ----

def body_of(size):
    return b'{"sql":"SELECT 1 AS a' + b" " * (size - 23) + b'"}'


def test_body(c, small):
    c.post("/v1/sql/fetch-all", raw=body_of(2000)).expect(200)
    c.post("/v1/sql/fetch-all", raw=body_of(2001)).problem(413, "payload_too_large")
    for size, status in ((2000, 200), (2001, 413)):
        with RawConnection(small.port) as raw:
            body = body_of(size)
            raw.send("POST /v1/sql/fetch-all HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
            for i in range(0, size, 100):
                part = body[i:i + 100]
                raw.send(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            raw.send(b"0\r\n\r\n")
            assert raw.response().status == status


def test_bulk_body(c):
    create_tables(c, "default", MARKER)
    line = b'{"label":"' + b"x" * 87 + b'"}\n'
    path = "/v1/models/Marker/records"
    kind = {"Content-Type": "application/x-ndjson"}
    assert len(line) == 100
    assert c.post(path, raw=line * 50, headers=kind).expect(201).json()["rows_inserted"] == 50
    c.post(path, raw=line * 50 + b"\n", headers=kind).problem(413, "payload_too_large")
    assert sql(c, "SELECT count(*) AS n FROM marker").json()["rows"] == [{"n": 50}]


def test_target(c):
    c.get("/v1/models?" + "x" * 289).problem(400, "invalid_parameters")
    c.get("/v1/models?" + "x" * 290).problem(414, "uri_too_long")
    c.get("/v1/models/" + "m" * 289).problem(404, "model_not_found")
    c.get("/v1/models/" + "m" * 290).problem(414, "uri_too_long")


def test_header_block(c):
    """The edge lies where the block is as large as the setting says, give or take the request line."""
    def status(size):
        return c.get("/healthz", headers={"X-Filler": "f" * size}, validate=False).status
    low, high = 1, 4096
    assert status(low) == 200 and status(high) == 431
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if status(middle) == 200 else (low, middle)
    assert 2048 - 200 <= low <= 2048
    many = {f"X-{number}": "y" for number in range(400)}
    assert c.get("/healthz", headers=many, validate=False).status == 431


@pytest.mark.parametrize("fillers", [1, 6, 12, 46])
def test_full_header_block(server, fillers):
    """A connection's memory holds a block of the default size, four dozen headers, and the head of the answer."""
    request_id = "r" * 128
    size = 8192 - (len("/healthz") + 16) - (len("Host") + len("localhost") + 4) - (len("X-Request-Id") + len(request_id) + 4)
    headers = [("X-Request-Id", request_id)]
    for number in range(fillers):
        share = size // (fillers - number)
        size -= share
        headers.append((f"X-{number:02}", "f" * (share - 8)))
    with RawConnection(server.port) as raw:
        for _ in range(3):
            raw.request("GET", "/healthz", headers=headers)
            answer = raw.response()
            assert (answer.status, answer.header("X-Request-Id")) == (200, request_id)
            assert answer.header("Server-Timing") and answer.header("Content-Type") == "application/json"
        headers[-1] = (headers[-1][0], headers[-1][1] + "f")
        raw.request("GET", "/healthz", headers=headers)
        raw.response().problem(431, "headers_too_large")


def test_many_headers(server):
    """Each costs memory of its own beside the block's; the answer is never lost for want of it."""
    statuses = []
    for count in list(range(10, 100, 5)) + list(range(100, 130)) + list(range(130, 180, 5)):
        with RawConnection(server.port) as raw:
            raw.request("GET", "/healthz", headers=[(f"X-{number:03}", "y" * 30) for number in range(count)])
            statuses.append(raw.response().status)
    assert statuses == sorted(statuses) and set(statuses) == {200, 431} and statuses[:18] == [200] * 18


def test_cookies(server):
    """The library copies them; a page of another local server may have left some."""
    with RawConnection(server.port) as raw:
        raw.request("GET", "/healthz", headers=[("Cookie", "; ".join(["name=" + "v" * 93] * 30))])
        assert raw.response().status == 200


@pytest.mark.parametrize("cookie, count", [("a;", 165), ("a,", 165), ("a=b,", 155)])
def test_more_cookies_than_fit(server, cookie, count):
    """Those without a value cost as much of a connection's memory as others."""
    with RawConnection(server.port) as raw:
        raw.request("GET", "/healthz", headers=[("Cookie", cookie * count)])
        raw.response().problem(431, "headers_too_large")


@pytest.mark.parametrize("count", [200, 256, 257, 1000, 2000])
def test_query_arguments(server, count):
    """As many as their own limit says are served; a connection's memory, which the library would keep them in, is no bound."""
    started = time.monotonic()
    with RawConnection(server.port) as raw:
        raw.send("GET /healthz?" + "&".join(["a"] * count) + " HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = raw.response()
        if count <= 256:
            assert answer.status == 200
        else:
            answer.problem(400, "invalid_parameters")
    assert time.monotonic() - started < patience(3)


def test_too_many_query_arguments_leave_nothing_behind():
    """What the library drops without a word is still freed: 3,000 such requests once cost 20 MB that never came back."""
    head = b"GET /healthz?" + b"&".join([b"a"] * 2000) + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with Server("--access-log=false") as server:
        def burst(n):
            for _ in range(n):
                with RawConnection(server.port) as raw:
                    raw.send(head)
                    with contextlib.suppress(EOFError, ConnectionError):
                        raw.response()
            return server.rss_kib()
        before = burst(500)
        assert burst(3000) - before < growth_bound(5000)


@pytest.mark.parametrize("depth, code", [(64, "invalid_request"), (65, "invalid_json"), (4000, "invalid_json")])
def test_nesting(client, depth, code):
    client.post("/v1/query", raw=b"[" * depth + b"]" * depth).problem(400, code)


def test_statement_length(client):
    text = "SELECT 1 AS a"
    sql(client, text + " " * (1048576 - len(text))).expect(200)
    sql(client, text + " " * (1048577 - len(text))).problem(400, "invalid_request")


def test_batch_steps(client):
    step = {"op": "sql.execute", "sql": "SELECT 1"}
    client.post("/v1/batch", {"steps": [step] * 1000}).expect(200)
    assert client.post("/v1/batch", {"steps": [step] * 1001}).problem(400, "invalid_request")["errors"][0]["pointer"] == "/steps"
    client.post("/v1/batch", {"steps": []}).problem(400, "invalid_request")


def test_connection_names_and_pools(client):
    def connect(name, **pool):
        return client.post("/v1/connections", {"name": name, "url": "sqlite::memory:", "pool": pool})
    for name in ("n" * 64, "x"):
        connect(name).expect(201)
        client.delete(f"/v1/connections/{name}").expect(204)
    connect("n" * 65).problem(400, "invalid_connection_name")
    connect("p", max_connections=1000).expect(201)
    client.delete("/v1/connections/p").expect(204)
    for bad in ({"max_connections": 1001}, {"max_connections": 0}, {"min_connections": -1}, {"acquire_timeout_seconds": 0}):
        connect("p", **bad).problem(400, "invalid_request")


# ---- counts ----

def test_sessions(c):
    opened = [c.session() for _ in range(6)]
    answer = c.post("/v1/sessions")
    assert answer.problem(429, "too_many_sessions")["retryable"] and int(answer.header("Retry-After")) > 0
    opened.pop().delete("/v1/session").expect(204)
    opened.append(c.session())
    c.post("/v1/sessions").problem(429, "too_many_sessions")
    for session in opened:
        session.delete("/v1/session").expect(204)
        session.close()


def test_sessions_of_a_key(tmp_path):
    keys = Keys(tmp_path)
    for name in ("a", "b"):
        keys.add(name, ["read"])
    with Server("--sessions-per-key", "2", "--keys-file", str(keys.path)) as server, keys.client(server.port, "a") as a, \
            keys.client(server.port, "b") as b:
        opened = [a.session(), a.session()]
        a.post("/v1/sessions").problem(429, "too_many_sessions")
        opened += [b.session(), b.session()]
        b.post("/v1/sessions").problem(429, "too_many_sessions")
        opened[0].delete("/v1/session").expect(204)
        a.session()


def test_transactions_of_a_session(server, c, postgres_backend):
    """The default, then a lower setting."""
    with Client(server.port) as client:
        client.post("/v1/connections", {"name": "tx16", "url": postgres_backend.url, "pool": {"max_connections": 20}}).expect(201)
        transactions_up_to(client.session(using="tx16"), 16)
        client.delete("/v1/connections/tx16?force=true").expect(204)
    c.post("/v1/connections", {"name": "tx3", "url": postgres_backend.url}).expect(201)
    transactions_up_to(c.session(using="tx3"), 3)
    c.delete("/v1/connections/tx3?force=true").expect(204)


def transactions_up_to(session, limit):
    opened = [session.transaction() for _ in range(limit)]
    session.post("/v1/transactions").problem(409, "transaction_limit")
    tx = opened.pop()
    tx.post(f"/v1/transactions/{tx.headers['Ferro-Transaction']}/rollback").expect(200)
    session.transaction()
    session.delete("/v1/session?rollback=true").expect(204)


def test_savepoints(conn):
    inside = conn.client.transaction(**conn.using)
    ids = [inside.headers["Ferro-Transaction"]]
    for _ in range(100):
        answer = inside.post("/v1/transactions", headers={"Ferro-Transaction": ids[-1]})
        if answer.status != 201:
            break
        ids.append(answer.json()["transaction_id"])
    answer.problem(409, "transaction_limit")
    assert len(ids) - 1 in (31, 32)
    inside.post(f"/v1/transactions/{ids[0]}/rollback").expect(200)


def test_identity_map(c):
    create_tables(c, "default", MARKER)
    sql(c, "DELETE FROM marker", verb="execute")
    insert(c, "default", "Marker", [{"id": n, "label": "x"} for n in range(1, 8)])
    session = c.session()
    for n in range(1, 8):
        session.get(f"/v1/models/Marker/records/{n}").expect(200)
    assert session.get("/v1/session").json()["identity_map"]["size"] == 5
    assert session.get("/v1/models/Marker/records/7").header("Ferro-Identity") == "hit"
    assert session.get("/v1/models/Marker/records/1").header("Ferro-Identity") == "miss"
    for n in range(1, 8):
        sql(c, "UPDATE marker SET label = ? WHERE id = ?", ["y" * 900, n], verb="execute").expect(200)
        session.get(f"/v1/models/Marker/records/{n}", headers={"Cache-Control": "no-cache"}).expect(200)
    held = session.get("/v1/session").json()["identity_map"]
    assert 1 <= held["size"] < 5 and held["bytes"] <= 4000
    session.delete("/v1/session").expect(204)


def shelf(c, n):
    """An owner, and so many that are its."""
    models = [{"model_name": "Owner", "columns": [{"name": "id", "logical_type": "integer", "primary_key": True}]},
              {"model_name": "Owned", "columns": [{"name": "id", "logical_type": "integer", "primary_key": True}, {"name": "owner_id", "logical_type": "integer"}],
               "foreign_keys": [{"column": "owner_id", "to_table": "owner", "to_column": "id"}]}]
    c.put("/v1/models", {"models": models}).expect(200)
    c.post("/v1/create-tables").expect(200)
    c.post("/v1/models/Owner/records", {"id": 1}).expect(201)
    c.post("/v1/models/Owned/records", {"records": [{"id": i, "owner_id": 1} for i in range(1, n + 1)]}).expect(201)


def test_rows_that_a_request_holds(postgres_backend, tmp_path):
    """Included rows, pages with includes and the steps of a batch together have one bound; what streams has none."""
    for url in ("sqlite::memory:", postgres_backend.url):
        with Server("--held-bytes", "2000000", "--json-values", "1000000", "--default-url", url) as own, Client(own.port) as c:
            shelf(c, 20000)

            def owned(n):
                return {"model_name": "Owner", "include": [{"relation": "owned_set", "limit": n}]}

            def fits(n):
                answer = c.post("/v1/query", owned(n))
                if answer.status == 200:
                    assert len(answer.json()["rows"][0]["owned_set"]) == n
                    return True
                assert "held_bytes" in answer.problem(413, "payload_too_large")["detail"]
                return False
            low, high = 1000, 20000
            assert fits(low) and not fits(high)
            while high - low > 500:
                middle = (low + high) // 2
                low, high = (middle, high) if fits(middle) else (low, middle)
            assert 5000 < low < 15000  # some 170 bytes a row
            step = {"op": "query", "query": {"model_name": "Owned", "limit": low // 2}}
            c.post("/v1/batch", {"steps": [step]}).expect(200)
            problem = c.post("/v1/batch", {"steps": [step, step, step]}).problem(413, "payload_too_large")
            assert problem["step"] in (1, 2)
            c.post("/v1/query", {"model_name": "Owned", "include": ["owner"]}).problem(413, "payload_too_large")
            assert len(c.post("/v1/query", {"model_name": "Owned", "include": ["owner"], "limit": 1000}).expect(200).json()["rows"]) == 1000
            assert len(c.post("/v1/query", {"model_name": "Owned"}).expect(200).json()["rows"]) == 20000
    with Server("--held-bytes", "0") as own, Client(own.port) as c:
        shelf(c, 20000)
        assert len(c.post("/v1/query", {"model_name": "Owner", "include": ["owned_set"]}).expect(200).json()["rows"][0]["owned_set"]) == 20000


def test_results_that_steps_refer_to():
    """Their values are counted like those of a document; of a result that nobody refers to they are not."""
    with Server("--json-values", "5000") as own, Client(own.port) as c:
        shelf(c, 4000)

        def steps(n):
            return [{"op": "query", "as": "a", "query": {"model_name": "Owned", "select": ["id"], "limit": n}},
                    {"op": "query", "query": {"model_name": "Owned", "where": [
                        {"node_kind": "leaf", "column": "id", "operator": "==", "value": {"$ref": f"a.rows.{n - 1}.id"}}]}}]
        most = (5000 - 10) // 2  # a row is an object and a number; beside them the answer, its list and its count
        assert len(c.post("/v1/batch", {"steps": steps(most - 10)}).expect(200).json()["results"][1]["body"]["rows"]) == 1
        problem = c.post("/v1/batch", {"steps": steps(most + 10)}).problem(413, "payload_too_large")
        assert problem["step"] == 0 and "json_values" in problem["detail"] and problem["outcome"] == "rolled_back"
        c.post("/v1/batch", {"steps": steps(most + 10)[:1]}).expect(200)


def test_client_connections():
    with Server("--loops", "1", "--http-connections", "10") as server:
        held = []
        for _ in range(10):
            held.append(RawConnection(server.port))
            held[-1].request("GET", "/healthz")
            assert held[-1].response().status == 200
        try:
            with RawConnection(server.port, seconds=1) as one_more:
                one_more.request("GET", "/healthz")
                with pytest.raises((EOFError, OSError)):  # closed, or waiting for its turn
                    one_more.response()
        except OSError:
            pass
        held[0].request("GET", "/healthz")
        assert held[0].response().status == 200
        for raw in held:
            raw.socket.close()

        def served():
            try:
                with RawConnection(server.port, seconds=1) as raw:
                    raw.request("GET", "/healthz")
                    return raw.response().status == 200
            except (OSError, EOFError):
                return False
        wait_for(served, 10, "a free place")


# ---- time ----

def test_statement_timeout(c):
    started = time.monotonic()
    sql(c, "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) AS n FROM c").problem(504, "statement_timeout")
    assert 0.9 < time.monotonic() - started < patience(5)
    sql(c, "SELECT 1 AS a").expect(200)


def test_idle_connections_are_closed():
    with Server("--http-idle-seconds", "1") as server, RawConnection(server.port) as idle, RawConnection(server.port) as half:
        half.send("GET /healthz HTTP/1.1\r\nHost: loc")
        started = time.monotonic()
        for raw in (idle, half):
            try:
                while raw.socket.recv(1000):
                    pass
            except OSError:
                pass
        assert time.monotonic() - started < 8


# ---- slow clients ----

def in_use(client, name="default"):
    return client.get(f"/v1/connections/{name}").expect(200).json()["pool"]["in_use"]


def trickle(sockets, data, seconds):
    """Each socket gets one byte of its data a second."""
    for second in range(seconds):
        for s in sockets:
            s.sendall(data[second:second + 1])
        time.sleep(1)


def test_slow_senders(backend):
    """Forty clients that send a request byte by byte hold no pooled connection, no memory to speak of, and up nobody."""
    with Server() as server, Client(server.port) as client:
        client.post("/v1/connections", {"name": "s", "url": backend.url, "default": True, "pool": {
            "max_connections": 1, "acquire_timeout_seconds": 2}}).expect(201)
        sql(client, "SELECT 1 AS a").expect(200)
        before = server.rss_kib()
        body = json.dumps({"sql": "SELECT 2 AS a"}).encode()
        head = f"POST /v1/sql/fetch-all HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        huge = head.replace(str(len(body)), str(8 * 1024 * 1024))
        create_tables(client, "s", MARKER)
        bulk = "POST /v1/models/Marker/records HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nContent-Length: 500000000\r\n\r\n"
        slow = []
        for number in range(40):
            raw = RawConnection(server.port, seconds=30)
            raw.send((head, huge, head[:40], bulk + '{"id": 9}\n{"id')[number % 4])
            slow.append(raw)
        for second in range(3):
            for number, raw in enumerate(slow):
                data = (body, body, head[40:].encode(), b'": ')[number % 4]
                raw.send(data[second:second + 1])
            assert in_use(client, "s") == 0
            started = time.monotonic()
            sql(client, "SELECT 3 AS a").expect(200)
            assert time.monotonic() - started < patience(1)
            time.sleep(1)
        assert server.rss_kib() - before < growth_bound(30000)
        slow[0].send(body[3:])  # who comes to an end is served
        assert slow[0].response().status == 200
        for raw in slow:
            raw.socket.close()


def slow_reader(port, target_sql, name):
    """Asks for a large answer over a socket that takes little, and reads only its head."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.settimeout(30)
    s.connect(("127.0.0.1", port))
    body = json.dumps({"sql": target_sql, "using": name}).encode()
    s.sendall(b"POST /v1/sql/fetch-all HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
              + str(len(body)).encode() + b"\r\n\r\n" + body)
    s.recv(100)
    return s


@pytest.mark.parametrize("per_second", [0, 1])
def test_slow_readers(backend, per_second):
    """They lose their answer after write_timeout_seconds: the pooled connection comes back, and memory stays as it was."""
    rows = ROWS.format(10 ** 6) if backend.name == "sqlite" else "SELECT n, repeat('x', 200) AS t FROM generate_series(1, 1000000) AS n"
    with Server("--write-timeout-seconds", "1") as server, Client(server.port) as client:
        client.post("/v1/connections", {"name": "s", "url": backend.url, "pool": {
            "max_connections": 2, "acquire_timeout_seconds": 20}}).expect(201)
        sql(client, "SELECT 1 AS a", using="s").expect(200)
        before = server.rss_kib()
        slow = [slow_reader(server.port, rows, "s") for _ in range(6)]
        started = time.monotonic()
        for _ in range(4):
            for s in slow:
                if per_second:
                    try:
                        s.recv(1)
                    except OSError:
                        pass
            client.get("/healthz").expect(200)
            time.sleep(0.5)
        sql(client, "SELECT 1 AS a", using="s").expect(200)
        assert time.monotonic() - started < 15
        assert server.rss_kib() - before < growth_bound(60000)
        wait_for(lambda: in_use(client, "s") == 0, 15, "free connections")
        for s in slow:
            s.close()
