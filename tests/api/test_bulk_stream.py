"""Bulk bodies larger than what is held of them: read while they arrive, in one transaction, with flat memory."""
import json
import os
import time
import uuid

import pytest

from support import vanish
from support.client import Client
from support.library import column, key, model
from support.process import wait_for
from support.raw import RawConnection
from support.server import Server
from support.shared import shared_tables
from support.tables import create_tables, leaf, query, sql
from support.vanish import growth_bound

ITEM = model("Item", key(), column("name", "string", nullable=True), column("n", "integer", nullable=True),
             column("code", "string", nullable=True, unique=True), column("data", "json", nullable=True),
             column("raw", "binary", nullable=True), column("x", "number", nullable=True), column("flag", "boolean", nullable=True))
RECORDS = "/v1/models/Item/records"
WINDOW = 128 * 1024
LINES = {"Content-Type": "application/x-ndjson"}


_shared = shared_tables(ITEM)


@pytest.fixture
def conn(server, _shared):
    sql(_shared.client, "DELETE FROM item", using=_shared.name, verb="execute").expect(200)
    return _shared


def post(conn, raw, status=201, headers=LINES, params=None):
    return conn.client.post(RECORDS, raw=raw, params={**conn.using, **(params or {})}, headers=headers).expect(status)


def count(conn, *where):
    return query(conn.client, "Item", where, "/count", conn.name).expect(200).json()["count"]


def in_use(conn):
    return conn.client.get(f"/v1/connections/{conn.name}").expect(200).json()["pool"]["in_use"]


def line(n, size=100):
    return json.dumps({"n": n, "name": "x" * size}).encode() + b"\n"


def body(rows=4000):
    """Well over the window."""
    raw = b"".join(map(line, range(rows)))
    assert len(raw) > 3 * WINDOW
    return raw


def head(conn, length=None, more=""):
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    return (f"POST {RECORDS}?using={conn.name} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n"
            f"{framing}\r\n{more}\r\n")


def chunk(data):
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def send_chunked(conn, parts):
    """The parts as chunks; the answer."""
    with RawConnection(conn.client.port, seconds=60) as raw:
        raw.send(head(conn))
        raw.send(b"".join(map(chunk, parts)) + b"0\r\n\r\n")
        return raw.response()


# ---- what comes in goes in ----

@pytest.mark.parametrize("size", [1, 7, 1000, 65536])
def test_chunks_of_every_size(conn, size):
    raw = body()[:WINDOW * (4 if size > 7 else 2)]
    raw = raw[:raw.rindex(b"\n")]
    answer = send_chunked(conn, [raw[i:i + size] for i in range(0, len(raw), size)])
    rows = raw.count(b"\n") + 1
    assert (answer.status, json.loads(answer.body)) == (201, {"rows_inserted": rows})
    assert count(conn) == rows and count(conn, leaf("n", "==", rows - 1)) == 1


def test_documents(conn):
    """{"records": [...]} as well, with white space wherever it may stand."""
    records = b" ,\r\n\t".join(line(n).strip() for n in range(3000))
    raw = b"\n{ \"records\" :\t[ " + records + b" \n] } \n"
    assert post(conn, raw, headers={"Content-Type": "application/json"}).json() == {"rows_inserted": 3000}
    assert count(conn) == 3000


def test_every_value_arrives_as_it_is(conn):
    """However the rows get into the database, values that look like its escapes are values."""
    texts = ["", "\\N", "\\.", "a\tb", "a\nb\r\n", "\\", "\\\\x41", "'; DROP TABLE item", "ü😀\u2028", "NULL", "\"", "x" * 300]
    records = [{"name": texts[n % len(texts)], "n": -n, "data": {"t": texts[n % len(texts)], "l": [n, None, True]},
                "raw": "AAECXFxuCQ==" if n % 2 else "", "x": n / 7, "flag": n % 3 == 0} for n in range(2400)]
    records += [{**r, "name": None, "x": None, "flag": None} for r in records[:200]]
    post(conn, b"".join(json.dumps(r).encode() + b"\n" for r in records))
    got = conn.client.get(RECORDS, params={**conn.using, "order": "id"}).expect(200).json()["rows"]
    assert [{name: row[name] for name in records[0]} for row in got] == records


def test_rows_of_changing_columns(conn):
    """Runs of one shape, long and short, keep their order."""
    records = []
    for length in (1, 300, 2, 500, 99, 100, 101, 1, 1, 1200):
        shape = ({"n": 0}, {"name": "y" * 100}, {"n": 0, "name": "z" * 200}, {})[len(records) % 4]
        records += [{key: (len(records) + i if key == "n" else value) for key, value in shape.items()} for i in range(length)]
    assert post(conn, b"".join(json.dumps(r).encode() + b"\n" for r in records)).json() == {"rows_inserted": len(records)}
    got = conn.client.get(RECORDS, params={**conn.using, "order": "id", "select": "id,n,name"}).expect(200).json()["rows"]
    assert [(r["n"], r["name"]) for r in got] == [(r.get("n"), r.get("name")) for r in records]


def test_ids_given_and_made(conn):
    rows = [{"id": 10000 + n, "name": "g" * 90} for n in range(1500)]
    post(conn, b"".join(json.dumps(r).encode() + b"\n" for r in rows))
    assert conn.client.post(RECORDS, {"name": "next"}, params=conn.using).expect(201).json()["id"] > 11499


def test_conflicts(conn):
    rows = [{"code": f"c{n}", "n": n, "name": "x" * 100} for n in range(3000)]
    raw = b"".join(json.dumps(r).encode() + b"\n" for r in rows)
    post(conn, raw[:len(raw) // 2 + raw[len(raw) // 2:].index(b"\n")])
    done = count(conn)
    problem = post(conn, raw, 409).problem(409, "unique_violation")
    assert problem["table"] == "item" and problem["outcome"] == "rolled_back" and count(conn) == done
    assert "code" in problem.get("constraint", problem.get("column", ""))
    params = {"on_conflict": "ignore", "conflict_columns": "code"}
    assert post(conn, raw, params=params).json() == {"rows_inserted": 3000 - done}
    params["on_conflict"] = "update"
    assert post(conn, raw.replace(b'"n": 1,', b'"n": -1,'), params=params).json() == {"rows_inserted": 0, "rows_updated": 3000}
    assert count(conn) == 3000 and count(conn, leaf("n", "==", -1)) == 1


def test_representation(conn):
    answer = post(conn, body(), headers={**LINES, "Prefer": "return=representation"}).json()
    assert answer["rows_inserted"] == 4000 and [r["n"] for r in answer["records"]] == list(range(4000))


def test_in_a_transaction(conn):
    """A savepoint of it: a failure leaves it as it was; its rollback takes all."""
    inside = conn.client.transaction(using=conn.name)
    inside.post(RECORDS, {"name": "before"}).expect(201)
    inside.post(RECORDS, raw=body(), headers={**inside.headers, **LINES}).expect(201)
    inside.post(RECORDS, raw=body() + b"{", headers={**inside.headers, **LINES}).expect(400)
    inside.post(f"/v1/transactions/{inside.headers['Ferro-Transaction']}/commit").expect(200)
    assert count(conn) == 4001


def test_views_take_statements(conn):
    """COPY does not go into views: rows go there one statement a chunk."""
    if conn.backend.name == "sqlite":
        pytest.skip("views of SQLite take no rows")
    conn.backend.pg.psql("CREATE TABLE under (id serial primary key, name text, n int)", conn.backend.database)
    conn.backend.pg.psql("CREATE VIEW above AS SELECT * FROM under", conn.backend.database)
    conn.client.post("/v1/models", {"models": [model("Above", key(), column("name", "string", nullable=True),
                                                     column("n", "integer", nullable=True), table_name="above")]}).expect(200)
    rows = [{"n": n} for n in range(3)] + [{"n": n, "name": "x" * 100} for n in range(3000)]
    for prefer in ("return=minimal", "tx=rollback"):
        answer = conn.client.post("/v1/models/Above/records", {"records": rows}, params=conn.using, headers={"Prefer": prefer})
        assert answer.expect(201).json() == {"rows_inserted": 3003}
    assert conn.backend.pg.psql("SELECT count(*) FROM under", conn.backend.database) == "3003"


# ---- what is refused ----

@pytest.mark.parametrize("bad, status, code, pointer", [
    (b'{"n": "x"}', 422, "invalid_value", "/n"), (b'{"nope": 1}', 422, "unknown_column", "/nope"), (b"5", 400, "invalid_request", ""),
    (b'{"n": 1', 400, "invalid_json", ""), (b'{"n": 1} 2', 400, "invalid_json", ""), (b'{"n": 1, "n": 2}', 400, "invalid_json", ""),
    (b'{"name": "\xff"}', 400, "invalid_json", ""), (b'{"name": "a\x00b"}', 400, "invalid_json", ""),
    (b'\xef\xbb\xbf{"n": 1}', 400, "invalid_json", ""), (b'{"data": ' + b"[" * 70 + b"]" * 70 + b"}", 400, "invalid_json", ""),
    (b'{"n": 99999999999999999999}', 422, "invalid_value", "/n")])
@pytest.mark.parametrize("rows", [0, 5000])
def test_a_bad_record_in_the_middle(conn, rows, bad, status, code, pointer):
    """The same refusal whether the body is held or streams, as a line and in a document; nothing is inserted."""
    good = [line(n).strip() for n in range(rows + 10)]
    records = good[:rows + 5] + [bad] + good[rows + 5:]
    answer = post(conn, b"\n".join(records), status)
    assert answer.json()["code"] == code and answer.pointers() == [f"/{rows + 5}{pointer}"], answer.body
    if bad == b'{"n": 1':
        return
    answer = post(conn, b'{"records":[' + b",".join(records) + b"]}", status, {"Content-Type": "application/json"})
    assert answer.json()["code"] == code and answer.pointers() == [f"/records/{rows + 5}{pointer}"], answer.body
    assert count(conn) == 0


@pytest.mark.parametrize("rows", [3, 5000])
@pytest.mark.parametrize("end, code", [
    (b"", "invalid_json"), (b"]", "invalid_json"), (b",]}", "invalid_json"), (b"]}x", "invalid_json"), (b"]}{}", "invalid_json"),
    (b'],"more":1}', "invalid_request"), (b",,{}]}", "invalid_json"), (b"] ]", "invalid_json"), (b"}", "invalid_json")])
def test_a_bad_end(conn, rows, end, code):
    raw = b'{"records":[' + b",".join(line(n).strip() for n in range(rows)) + end
    post(conn, raw, 400, {"Content-Type": "application/json"}).problem(400, code)
    assert count(conn) == 0


def test_a_constraint_late(conn):
    """An error that the database finds once it has many rows."""
    rows = [{"code": f"c{n}", "name": "x" * 100} for n in range(20000)] + [{"code": "c7"}]
    problem = post(conn, b"".join(json.dumps(r).encode() + b"\n" for r in rows), 409).problem(409, "unique_violation")
    assert problem["table"] == "item" and count(conn) == 0
    assert in_use(conn) == 0
    post(conn, body())


def test_expectation(conn):
    """100 Continue comes before the body; not when the head is refused."""
    raw = body()
    with RawConnection(conn.client.port) as c:
        c.send(head(conn, len(raw), "Expect: 100-continue\r\n"))
        assert c.response().status == 100
        c.send(raw)
        assert c.response().status == 201
        c.send(head(conn, 2 ** 40, "Expect: 100-continue\r\n"))
        c.response().problem(413, "payload_too_large")
    assert count(conn) == 4000


def test_bounds(backend):
    """Past bulk_body_bytes: before the body when it is announced, else where it happens. A record is held to body_bytes."""
    with Server("--bulk-body-bytes", "1000000", "--body-bytes", "300000") as server, Client(server.port) as client:
        client.post("/v1/connections", {"name": "b", "url": backend.url}).expect(201)
        create_tables(client, "b", ITEM)
        conn = type("Conn", (), {"client": client, "name": "b", "using": {"using": "b"}})
        fits = b"".join(map(line, range(7800)))
        assert 900000 < len(fits) < 1000000
        assert send_chunked(conn, [fits]).status == 201
        before = count(conn)
        send_chunked(conn, [fits, fits[:len(fits) // 5]]).problem(413, "payload_too_large")
        with RawConnection(server.port) as raw:
            raw.send(head(conn, 1000001))
            raw.response().problem(413, "payload_too_large")
        assert count(conn) == before
        large = json.dumps({"name": "x" * 299000}).encode()
        assert post(conn, large + b"\n" + large).json() == {"rows_inserted": 2}
        post(conn, line(1) + large.replace(b'"x', b'"' + b"x" * 1000) + b"\n", 413).problem(413, "payload_too_large")
        post(conn, large, 201, {"Content-Type": "application/json"})
        post(conn, large.replace(b'"x', b'"' + b"x" * 1000), 413, {"Content-Type": "application/json"}).problem(413, "payload_too_large")
        wait_for(lambda: in_use(conn) == 0, 5, "free connections")


# ---- slow and vanished clients ----

@pytest.mark.parametrize("way", ["close", "reset", "half_close"])
def test_a_client_that_leaves_in_the_middle(conn, way):
    with RawConnection(conn.client.port) as raw:
        raw.send(head(conn, 10 ** 8) + "")
        raw.send(body())
        wait_for(lambda: in_use(conn) == 1, 10, "the transaction")
        vanish.WAYS[way](raw.socket)
        wait_for(lambda: in_use(conn) == 0, 10, "the transaction's end")
    assert count(conn) == 0


def test_a_hang_up_right_behind_the_bytes(backend):
    """It comes with them in one event, of which the library sees the bytes: nobody waits for more all the same."""
    with Server("--body-wait-seconds", "60") as server, Client(server.port) as client:
        client.post("/v1/connections", {"name": "h", "url": backend.url}).expect(201)
        create_tables(client, "h", ITEM)
        conn = type("Conn", (), {"client": client, "name": "h", "using": {"using": "h"}})
        for way in ("close", "half_close", "reset"):
            for framing, size in ((head(conn), 2), (head(conn), 5), (head(conn), 10), (head(conn, 10 ** 8), 5), (head(conn, 10 ** 8), 10)):
                raw = (body() * 3)[:size * WINDOW]
                with RawConnection(server.port) as c:
                    c.send(framing.encode() + (f"{len(raw):x}\r\n".encode() if "chunked" in framing else b"") + raw)
                    vanish.WAYS[way](c.socket)
                    time.sleep(0.05)
                    wait_for(lambda: in_use(conn) == 0, 10, f"the end of a transaction after {way}")
        assert count(conn) == 0


@pytest.mark.parametrize("per_second", [0, 1])
def test_a_client_that_dawdles(backend, per_second):
    """After body_wait_seconds its transaction is rolled back and others write; it gets its answer when it has sent the rest."""
    with Server("--body-wait-seconds", "2") as server, Client(server.port) as client:
        client.post("/v1/connections", {"name": "d", "url": backend.url, "pool": {
            "max_connections": 1, "acquire_timeout_seconds": 20}}).expect(201)
        create_tables(client, "d", ITEM)
        conn = type("Conn", (), {"client": client, "name": "d", "using": {"using": "d"}})
        raw = body()
        with RawConnection(server.port, seconds=30) as slow:
            slow.send(head(conn, len(raw) + 20))
            slow.send(raw)
            wait_for(lambda: in_use(conn) == 1, 10, "the transaction")
            started = time.monotonic()
            sent = 0
            while in_use(conn) == 1:
                slow.send(b"\n" * per_second)
                sent += per_second
                time.sleep(1 if per_second else 0.1)
                assert time.monotonic() - started < 10
            assert time.monotonic() - started > 1
            client.post(RECORDS, {"name": "other"}, params=conn.using).expect(201)
            slow.send(b"\n" * (20 - sent))
            problem = slow.response().problem(504, "statement_timeout")
            assert problem["outcome"] == "rolled_back"
        assert count(conn) == 1


def test_slow_windows_hold_nothing(backend):
    """Clients that stop before their handlers start: no pooled connection, little memory."""
    with Server() as server, Client(server.port) as client:
        client.post("/v1/connections", {"name": "d", "url": backend.url, "pool": {"max_connections": 1}}).expect(201)
        create_tables(client, "d", ITEM)
        conn = type("Conn", (), {"client": client, "name": "d", "using": {"using": "d"}})
        before = server.rss_kib()
        slow = [RawConnection(server.port) for _ in range(30)]
        for raw in slow:
            raw.send(head(conn, 2 ** 29))
            raw.send(line(1) * 900)
        client.post(RECORDS, {"name": "other"}, params=conn.using).expect(201)
        assert in_use(conn) == 0 and server.rss_kib() - before < growth_bound(30 * 300)
        for raw in slow:
            raw.socket.close()


# ---- Idempotency-Key ----

def test_idempotency(conn):
    raw = body()
    headers = {**LINES, "Idempotency-Key": uuid.uuid4().hex}
    first = post(conn, raw, headers=headers)
    again = post(conn, raw, headers=headers)
    assert again.json() == first.json() and again.header("Idempotency-Replayed") == "true" and count(conn) == 4000
    post(conn, raw + b"\n", 422, headers).problem(422, "idempotency_key_reused")
    post(conn, raw[:1000], 422, headers).problem(422, "idempotency_key_reused")
    assert count(conn) == 4000


def test_idempotent_refusals(conn):
    """A body is the same by all of its bytes, also those behind the fault that ended it."""
    raw = line(1) * 3000 + b"{\n" + line(2) * 3000
    headers = {**LINES, "Idempotency-Key": uuid.uuid4().hex}
    first = post(conn, raw, 400, headers)
    again = post(conn, raw, 400, headers)
    assert again.header("Idempotency-Replayed") == "true" and again.pointers() == first.pointers() == ["/3000"]
    post(conn, raw + line(3), 422, headers).problem(422, "idempotency_key_reused")


@pytest.mark.parametrize("end, status", [(b"", 201), (b"}", 400)])
def test_an_idempotent_record_above_the_window(conn, end, status):
    """A body that streams at first and is gathered then is hashed once: the same bytes are the same request."""
    raw = json.dumps({"name": "x" * 3 * WINDOW}).encode() + end
    headers = {"Content-Type": "application/json", "Idempotency-Key": uuid.uuid4().hex}
    first = post(conn, raw, status, headers)
    again = post(conn, raw, status, headers)
    assert again.header("Idempotency-Replayed") == "true" and first.header("Idempotency-Replayed") is None
    assert count(conn) == (status == 201)


def test_an_answer_that_expires_while_its_duplicate_arrives():
    """The duplicate's body has been read to be compared, so it cannot run any more: it is to come again."""
    with Server("--body-wait-seconds", "60", "--access-log=false") as server, Client(server.port) as client:
        create_tables(client, "default", ITEM)
        conn = type("Conn", (), {"client": client, "name": "default", "using": {}})
        raw = body()
        key = uuid.uuid4().hex
        post(conn, raw, headers={**LINES, "Idempotency-Key": key})
        with RawConnection(server.port, seconds=60) as slow, RawConnection(server.port, seconds=60) as others:
            slow.send(f"POST {RECORDS} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n"
                      f"Content-Length: {len(raw)}\r\nIdempotency-Key: {key}\r\n\r\n")
            slow.send(raw[:-1])
            for start in range(0, 10100, 100):  # as many answers as are kept
                others.send("".join(f"POST {RECORDS} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                                    f"Content-Length: 1\r\nIdempotency-Key: k{n}\r\n\r\n[" for n in range(start, start + 100)))
                for _ in range(100):
                    others.response().problem(400, "invalid_json")
            slow.send(raw[-1:])
            problem = slow.response().problem(429, "too_many_requests")
            assert problem["outcome"] == "not_started"
        assert count(conn) == 4000
        post(conn, raw, headers={**LINES, "Idempotency-Key": key})


def test_an_idempotent_request_cut_off_may_come_again(conn):
    raw = body()
    name = uuid.uuid4().hex
    with RawConnection(conn.client.port) as cut:
        cut.send(head(conn, len(raw) + 1, f"Idempotency-Key: {name}\r\n"))
        cut.send(raw)
        wait_for(lambda: in_use(conn) == 1, 10, "the transaction")
    answer = post(conn, raw, headers={**LINES, "Idempotency-Key": name})
    assert answer.header("Idempotency-Replayed") is None and count(conn) == 4000


# ---- memory and the loop ----

def test_memory_stays_flat(backend):
    """The size of the body does not matter: FERROD_BULK_MIB of it (24; the bar is for 200 and more)."""
    mib = int(os.environ.get("FERROD_BULK_MIB", "24"))
    with Server("--request-timeout-seconds", "0", "--loops", "1") as server, Client(server.port, timeout=600) as client:
        client.post("/v1/connections", {"name": "m", "url": backend.url}).expect(201)
        create_tables(client, "m", ITEM)
        conn = type("Conn", (), {"client": client, "name": "m", "using": {"using": "m"}})
        post(conn, body())
        before = server.rss_kib()
        block = b"".join(line(n, 400) for n in range(2400))
        blocks = mib * 1024 * 1024 // len(block) + 1
        slowest, peak = 0, 0
        with RawConnection(server.port, seconds=600) as raw:
            raw.send(head(conn, len(block) * blocks))
            for _ in range(blocks):
                raw.send(block)
                started = time.monotonic()
                client.get("/healthz").expect(200)
                slowest = max(slowest, time.monotonic() - started)
                peak = max(peak, server.rss_kib())
            answer = raw.response()
        assert (answer.status, json.loads(answer.body)) == (201, {"rows_inserted": 2400 * blocks})
        print(f"{mib} MiB: {peak - before} KiB more, slowest answer beside it {slowest * 1e3:.0f} ms")
        assert peak - before < growth_bound(16 * 1024)
        assert slowest < 1  # the machine's slowness included
