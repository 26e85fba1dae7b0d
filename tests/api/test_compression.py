"""Content codings both ways: what is answered, and what is sent, packed with gzip or zstd; on both databases."""
import gzip
import itertools
import json
import shutil
import socket
import types
import uuid
import zlib

import pytest

from support.client import Client
from support.coding import pack, unpack, zstd_bomb, zstd_frame
from support.library import column, key, model
from support.raw import RawConnection
from support.server import Server
from support.tables import create_tables, insert, query, sql

CODINGS = ("gzip", "zstd")
MIB = 1 << 20
BODY_BYTES, BULK_BYTES = 64 * 1024, 2 * MIB
ITEM = model("Item", key(), column("name", "string", nullable=True), column("n", "integer", nullable=True))
RECORDS = "/v1/models/Item/records"
LINES = {"Content-Type": "application/x-ndjson"}
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def packing():
    """A server that packs for loopback, too, with small bounds."""
    server = Server("--compression", "on", "--body-bytes", str(BODY_BYTES), "--bulk-body-bytes", str(BULK_BYTES), "--loops", "1")
    yield server
    assert server.alive, server.log()[-4000:]
    server.stop()


@pytest.fixture
def open_client(packing):
    with Client(packing.port) as client:
        yield client


@pytest.fixture
def db(packing, backend):
    name = f"z{next(_numbers)}"
    with Client(packing.port) as client:
        client.post("/v1/connections", {"name": name, "url": backend.url}).expect(201)
        create_tables(client, name, ITEM)
        yield types.SimpleNamespace(client=client, name=name, using={"using": name})
        client.close()
        client.delete(f"/v1/connections/{name}?force=true")


def accept(coding):
    return {"Accept-Encoding": coding}


def sent(coding, **more):
    return {"Content-Encoding": coding, **{k.replace("_", "-"): v for k, v in more.items()}}


def count(db, *where):
    return query(db.client, "Item", where, "/count", db.name).expect(200).json()["count"]


def fill(db, rows, size=60):
    insert_lines = b"".join(json.dumps({"id": n, "n": n, "name": "x" * size}).encode() + b"\n" for n in range(1, rows + 1))
    db.client.post(RECORDS, raw=insert_lines, params=db.using, headers=LINES).expect(201)


# ---- answers ----


@pytest.mark.parametrize("coding", CODINGS)
def test_an_answer_is_packed(db, coding):
    fill(db, 100)
    plain = db.client.get(RECORDS, params=db.using).expect(200)
    assert plain.header("Content-Encoding") is None and plain.header("Vary") == "Accept-Encoding"
    packed = db.client.get(RECORDS, params=db.using, headers=accept(coding)).expect(200)
    assert packed.header("Content-Encoding") == coding and packed.header("Vary") == "Accept-Encoding"
    assert packed.json() == plain.json()
    assert len(packed.wire) * 4 < len(plain.wire) and packed.header("Content-Length") == str(len(packed.wire))
    head = db.client.head(RECORDS, params=db.using, headers=accept(coding)).expect(200)
    assert head.header("Content-Encoding") == coding and head.header("Content-Length") == packed.header("Content-Length")


def test_only_over_a_kibibyte(db):
    shell = len(db.client.get(RECORDS, params=db.using).expect(200).body)
    insert(db.client, db.name, "Item", [{"id": 1, "n": 1, "name": ""}])
    path = RECORDS + "/1"
    shell = len(db.client.get(path, params=db.using).expect(200).body)
    for size, coding in ((1024, None), (1025, "gzip")):
        db.client.patch(path, {"name": "y" * (size - shell)}, params=db.using).expect(200)
        answer = db.client.get(path, params=db.using, headers=accept("gzip")).expect(200)
        assert (len(answer.body), answer.header("Content-Encoding")) == (size, coding)


@pytest.mark.parametrize("wanted, coding", [
    ("gzip, zstd", "zstd"), ("gzip;q=1, zstd;q=0.5", "gzip"), ("GZIP", "gzip"), ("x-gzip", "gzip"), ("*", "zstd"), ("br, *;q=0.1", "zstd"),
    ("zstd;q=0, *", "gzip"), ("gzip;q=0", None), ("identity", None), ("br", None), ("", None), ("identity;q=1, gzip;q=0.5", None),
    ("identity;q=0.5, gzip", "gzip"), ("*;q=0", None), (",;,gzip;q=x", "gzip"), ("deflate, gzip;q=1.0, *;q=0", "gzip")])
def test_what_the_client_prefers(open_client, wanted, coding):
    answer = open_client.get("/openapi.json", headers=accept(wanted)).expect(200)
    assert answer.header("Content-Encoding") == coding and answer.json()["info"]["title"] == "ferrod"


@pytest.mark.parametrize("setting, packs", [("on", True), ("auto", False), ("off", False)])
def test_the_setting(setting, packs):
    server = Server("--compression", setting)
    try:
        with Client(server.port) as client:
            answer = client.get("/openapi.json", headers=accept("gzip")).expect(200)
            assert (answer.header("Content-Encoding"), answer.header("Vary")) == (("gzip", "Accept-Encoding") if packs else (None, None))
    finally:
        server.stop()


def test_auto_packs_for_other_machines():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback")
        address = s.getsockname()[0]
    server = Server("--insecure-no-auth", listen="0.0.0.0:0")
    try:
        for host, coding in ((address, "gzip"), ("127.0.0.1", None)):
            with Client(server.port, host=host) as client:
                answer = client.get("/openapi.json", headers=accept("gzip")).expect(200)
                assert answer.header("Content-Encoding") == coding
    finally:
        server.stop()


def test_another_word_for_the_setting_is_refused():
    server = Server("--compression", "sometimes", wait=False)
    assert server.process.wait(30) != 0 and "auto|on|off" in server.log()
    shutil.rmtree(server.dir)


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("media", ["application/json", "application/x-ndjson", "text/csv"])
def test_streams_are_packed(db, coding, media):
    fill(db, 5000)
    body = {"sql": "SELECT id, n, name FROM item ORDER BY id", **db.using}
    plain = db.client.post("/v1/sql/fetch-all", body, headers={"Accept": media}).expect(200)
    packed = db.client.post("/v1/sql/fetch-all", body, headers={"Accept": media, **accept(coding)}).expect(200)
    assert packed.header("Content-Encoding") == coding and packed.header("Transfer-Encoding") == "chunked"
    assert packed.body == plain.body and len(packed.wire) * 4 < len(plain.wire)


def test_head_of_a_stream(db):
    fill(db, 5000)
    params = {**db.using, "limit": 5000}
    listed = db.client.get(RECORDS, params=params, headers=accept("gzip")).expect(200)
    head = db.client.head(RECORDS, params=params, headers=accept("gzip")).expect(200)
    assert head.header("Content-Encoding") == listed.header("Content-Encoding") == "gzip"
    assert listed.header("Transfer-Encoding") == "chunked" and head.header("Content-Length") == str(len(listed.wire))
    db.client.get(RECORDS, params=params).expect(200)


@pytest.mark.parametrize("coding", CODINGS)
def test_streams_are_flushed_by_batches_of_rows(packing, db, coding):
    """What a client has read of a stream that is not at its end it can read rows of."""
    fill(db, 20)
    body = json.dumps({"sql": "SELECT a.id, b.name FROM item a, item b, item c, item d", **db.using}).encode()
    with RawConnection(packing.port) as raw:
        raw.send(b"POST /v1/sql/fetch-all HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept: application/x-ndjson\r\n"
                 b"Accept-Encoding: " + coding.encode() + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        first = raw.socket.recv(1 << 16)
        while b"\r\n\r\n" not in first or first.count(b"\r\n", first.index(b"\r\n\r\n") + 4) < 2:
            first += raw.socket.recv(1 << 16)
    head, rest = first.split(b"\r\n\r\n", 1)
    assert b"Content-Encoding: " + coding.encode() in head
    size, rest = rest.split(b"\r\n", 1)
    lines = unpack(coding, rest[:int(size, 16)], partial=True).split(b"\n")
    assert len(lines) > 10 and json.loads(lines[0])["name"] == "x" * 60


@pytest.mark.parametrize("coding", CODINGS)
def test_tags(db, coding):
    insert(db.client, db.name, "Item", [{"id": 1, "n": 1, "name": "z" * 3000}])
    path, other = RECORDS + "/1", "gzip" if coding == "zstd" else "zstd"

    def get(status, **headers):
        return db.client.get(path, params=db.using, headers={k.replace("_", "-"): v for k, v in headers.items()}).expect(status)
    plain = get(200).header("ETag")
    packed = get(200, Accept_Encoding=coding).header("ETag")
    assert packed == f'{plain[:-1]}-{coding}"'
    for known in (plain, packed, f"W/{plain}", f"W/{packed}", f'"x", {packed}', f'{plain[:-1]}-{other}"'):
        answer = get(304, If_None_Match=known, Accept_Encoding=coding)
        assert answer.header("Vary") == "Accept-Encoding" and answer.header("Content-Encoding") is None
        assert answer.header("ETag") == (packed if known in (packed, f'"x", {packed}') else plain)
        assert get(304, If_None_Match=known).header("ETag") == plain
    for known in (f'{plain[:-1]}-br"', f'{plain[:-1]}-"', f'{plain[:-1]}gzip"', f'"-{coding}"'):
        get(200, If_None_Match=known)
        db.client.patch(path, {"n": 2}, params=db.using, headers={"If-Match": known}).problem(412, "precondition_failed")
    db.client.patch(path, {"n": 2}, params=db.using, headers={"If-Match": f"W/{packed}"}).problem(412, "precondition_failed")
    db.client.patch(path, {"n": 2}, params=db.using, headers={"If-Match": packed}).expect(200)
    db.client.patch(path, {"n": 3}, params=db.using, headers={"If-Match": packed}).problem(412, "precondition_failed")
    now = get(200, Accept_Encoding=coding).header("ETag")
    db.client.delete(path, params=db.using, headers={"If-Match": f'"x", {now}'}).expect(204)


def test_tags_of_documents(open_client):
    plain = open_client.get("/openapi.json").header("ETag")
    packed = open_client.get("/openapi.json", headers=accept("gzip")).header("ETag")
    assert packed == plain[:-1] + '-gzip"'
    for known in (plain, packed):
        open_client.get("/openapi.json", headers={"If-None-Match": known, **accept("gzip")}).expect(304)


def test_a_kept_answer_is_packed_for_whom_it_is_told(db):
    fill(db, 100)
    body = {"sql": "SELECT * FROM item ORDER BY id", **db.using}
    named = {"Idempotency-Key": uuid.uuid4().hex}
    first = db.client.post("/v1/sql/fetch-all", body, headers={**named, **accept("gzip")}).expect(200)
    for wanted in ("zstd", "gzip", "identity"):
        again = db.client.post("/v1/sql/fetch-all", body, headers={**named, **accept(wanted)}).expect(200)
        assert again.header("Idempotency-Replayed") == "true" and again.json() == first.json()
        assert again.header("Content-Encoding") == (None if wanted == "identity" else wanted)


def test_a_long_kept_stream_is_packed_from_its_start(db):
    """Held back for the key's sake, then streamed: more than is packed at a time."""
    fill(db, 9000, size=150)
    body = {"sql": "SELECT * FROM item a ORDER BY id", **db.using}
    plain = db.client.post("/v1/sql/fetch-all", body).expect(200)
    packed = db.client.post("/v1/sql/fetch-all", body, headers={"Idempotency-Key": uuid.uuid4().hex, **accept("zstd")}).expect(200)
    assert packed.body == plain.body and packed.header("Content-Encoding") == "zstd"


# ---- request bodies ----


@pytest.mark.parametrize("coding", CODINGS)
def test_a_packed_body(db, coding):
    record = {"id": 1, "n": 5, "name": "é" * 5000}
    data = json.dumps(record).encode()
    answer = db.client.post(RECORDS, record, wire=pack(coding, data), params=db.using, headers=sent(coding)).expect(201)
    assert answer.json()["name"] == record["name"]
    change = {"n": 6}
    wire = pack(coding, json.dumps(change).encode())
    db.client.patch(RECORDS + "/1", change, wire=wire, params=db.using, headers=sent(coding.upper())).expect(200)
    assert count(db, {"node_kind": "leaf", "column": "n", "operator": "==", "value": 6}) == 1
    ask = {"sql": "SELECT n FROM item", **db.using}
    asked = db.client.post("/v1/sql/fetch-all", ask, wire=pack(coding, json.dumps(ask).encode()), headers=sent(coding))
    assert asked.expect(200).json()["rows"] == [{"n": 6}]


def test_other_spellings(db):
    body = {"n": 1}
    data = json.dumps(body).encode()
    for coding, wire in (("x-gzip", gzip.compress(data)), ("identity", data), ("", data), (" gzip ", gzip.compress(data)),
                         ("gzip", gzip.compress(data[:3]) + gzip.compress(b"") + gzip.compress(data[3:])),
                         ("zstd", pack("zstd", data[:3]) + b"\x50\x2a\x4d\x18\x04\0\0\0skip" + pack("zstd", b"") + pack("zstd", data[3:]))):
        db.client.post(RECORDS, body, wire=wire, params=db.using, headers=sent(coding)).expect(201)
    assert count(db) == 6


@pytest.mark.parametrize("coding", CODINGS)
def test_bulk_bodies(db, coding):
    rows = [{"n": n, "name": uuid.uuid4().hex + uuid.uuid4().hex} for n in range(9000)]
    lines = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    wire = pack(coding, lines)
    assert len(wire) > 2 * 128 * 1024, "more than a window, packed"
    db.client.post(RECORDS, raw=lines, wire=wire, params=db.using, headers=sent(coding, **LINES)).expect(201)
    assert count(db) == 9000
    small = {"records": rows[:2]}
    db.client.post(RECORDS, small, wire=pack(coding, json.dumps(small).encode()), params=db.using, headers=sent(coding)).expect(201)
    assert count(db) == 9002
    sums = sql(db.client, "SELECT count(DISTINCT name) AS c, sum(n) AS s FROM item", using=db.name).expect(200).json()["rows"][0]
    assert int(sums["c"]) == 9000 and int(sums["s"]) == sum(range(9000)) + 1


@pytest.mark.parametrize("coding", CODINGS)
def test_bounds_hold_for_what_it_unfolds_to(db, coding):
    def post(name, status):
        body = {"name": name}
        data = json.dumps(body).encode()
        answer = db.client.patch(RECORDS + "/1", body, wire=pack(coding, data), params=db.using, headers=sent(coding))
        assert len(data) - len(name) == len('{"name": ""}')
        return answer.expect(status)
    insert(db.client, db.name, "Item", [{"id": 1}])
    shell = len('{"name": ""}')
    post("a" * (BODY_BYTES - shell), 200)
    post("b" * (BODY_BYTES - shell + 1), 413)
    post("b" * (100 * BODY_BYTES), 413).problem(413, "payload_too_large")
    assert db.client.get(RECORDS + "/1", params=db.using).json()["name"][0] == "a"


def test_bombs(db):
    """A few bytes that unfold to much: refused at the bound, with nothing done and little held."""
    row = b'{"n": 1}\n'
    bombs = {"gzip": gzip.compress(row + b" " * (200 * MIB)), "zstd": pack("zstd", row) + zstd_bomb(b"\n", 4096 * MIB)}
    for coding, wire in bombs.items():
        answer = db.client.post(RECORDS, raw=b"", wire=wire, params=db.using, headers=sent(coding, **LINES))
        answer.problem(413, "payload_too_large")
        db.client.post("/v1/sql/execute", raw=b"", wire=wire, headers=sent(coding)).problem(413, "payload_too_large")
    assert count(db) == 0


def test_zstd_windows(db):
    body = {"n": 1}
    data = json.dumps(body).encode()
    for window, status in ((8 * MIB, 201), (9 * MIB, 400), (16 * MIB, 400), (1 << 40, 400)):
        answer = db.client.post(RECORDS, body, wire=zstd_frame(data, window), params=db.using, headers=sent("zstd")).expect(status)
        assert status == 201 or (answer.json()["code"] == "invalid_request" and "8 MiB" in answer.json()["detail"])
    # a frame whose size is stated and has room at once is looked at, too
    wire = b"\x28\xb5\x2f\xfd\x80" + bytes([(24 - 10) << 3]) + len(data).to_bytes(4, "little") + zstd_frame(data, 8 * MIB)[6:]
    db.client.patch(RECORDS + "/1", body, wire=wire, params=db.using, headers=sent("zstd")).problem(400, "invalid_request")
    assert count(db) == 1


@pytest.mark.parametrize("coding", CODINGS)
def test_a_broken_body(db, coding):
    lines = b"".join(b'{"n": %d, "name": "%s"}\n' % (n, uuid.uuid4().hex.encode()) for n in range(9000))
    for headers, data in ((sent(coding), b'{"n": 1}'), (sent(coding, **LINES), b'{"n": 1}\n' * 10), (sent(coding, **LINES), lines)):
        whole = pack(coding, data)
        for wire in (whole[:-1], whole[:len(whole) // 2], whole + b"garbage", data, b"\0" + whole, whole[:3]):
            answer = db.client.post(RECORDS, raw=data, wire=wire, params=db.using, headers=headers)
            answer.problem(400, "invalid_request")
    assert count(db) == 0
    if coding == "gzip":  # a wrong checksum at the end
        whole = bytearray(gzip.compress(lines))
        whole[-6] ^= 1
        db.client.post(RECORDS, raw=lines, wire=bytes(whole), params=db.using, headers=sent(coding, **LINES)).problem(400, "invalid_request")
        db.client.post(RECORDS, raw=b"", wire=zlib.compress(b"{}"), params=db.using, headers=sent(coding)).problem(400, "invalid_request")
    assert count(db) == 0


@pytest.mark.parametrize("coding", ["br", "deflate", "gzip, gzip", "gzip, zstd", "zip", "*", "compress", "gzip;q=1"])
def test_another_coding(db, coding):
    for headers in (sent(coding), sent(coding, **LINES)):
        answer = db.client.post(RECORDS, {"n": 1}, params=db.using, headers=headers)
        answer.problem(415, "unsupported_media_type")
        assert answer.header("Accept-Encoding") == "gzip, zstd"
    assert count(db) == 0
    db.client.post(RECORDS, {"n": 1}, params=db.using).expect(201)


def test_the_order_of_refusals(db):
    bad = {"Content-Encoding": "br"}
    db.client.post("/v1/nothing", {}, headers=bad).problem(404, "route_not_found")
    db.client.put("/v1/sql/execute", {}, headers=bad).problem(405, "method_not_allowed")
    db.client.post("/v1/sql/execute", raw=b"x" * (BODY_BYTES + 1), headers=bad).problem(413, "payload_too_large")
    plain = db.client.post(RECORDS, {}, headers={**bad, "Content-Type": "text/plain"}).expect(415)
    assert plain.header("Accept-Encoding") is None, "the type is looked at first"
    db.client.post(RECORDS, {}, headers={**bad, "Accept": "image/png"}).problem(415, "unsupported_media_type")
    db.client.post(RECORDS, raw=b"{", headers=bad).problem(415, "unsupported_media_type")
    broken = {"Content-Encoding": "gzip"}
    db.client.post("/v1/sql/execute", raw=b"{", headers={**broken, "Accept": "image/png"}).problem(406, "not_acceptable")
    db.client.post("/v1/sql/execute", raw=b"{", headers=broken).problem(400, "invalid_request")
    db.client.post("/v1/sql/execute", raw=b"{", wire=gzip.compress(b"{"), headers=broken).problem(400, "invalid_json")


@pytest.mark.parametrize("bulk", [False, True])
def test_idempotency_compares_what_is_unfolded(db, bulk):
    headers = {"Idempotency-Key": uuid.uuid4().hex, **(LINES if bulk else {})}
    data = b'{"n": 7}\n' * (20000 if bulk else 1)
    forms = [({}, data), (sent("gzip"), gzip.compress(data)), (sent("gzip"), gzip.compress(data, 1)), (sent("zstd"), pack("zstd", data))]
    for i, (coding, wire) in enumerate(forms):
        answer = db.client.post(RECORDS, raw=data, wire=wire, params=db.using, headers={**headers, **coding}).expect(201)
        assert (answer.header("Idempotency-Replayed") == "true") == (i > 0)
    other = gzip.compress(data.replace(b"7", b"8"))
    db.client.post(RECORDS, raw=data, wire=other, params=db.using, headers={**headers, **sent("gzip")}).problem(422, "idempotency_key_reused")
    assert count(db) == (20000 if bulk else 1)


def test_a_body_that_comes_slowly(packing, db):
    """Cut anywhere, a packed bulk body is read as it comes."""
    for coding in CODINGS:
        wire = pack(coding, b"".join(b'{"n": %d}\n' % n for n in range(300)))
        with RawConnection(packing.port) as raw:
            raw.send(b"POST /v1/models/Item/records?using=%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n"
                     b"Content-Encoding: %s\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n" % (db.name.encode(), coding.encode()))
            for at in range(0, len(wire), 7):
                piece = wire[at:at + 7]
                raw.send(b"%x\r\n" % len(piece) + piece + b"\r\n")
            raw.send(b"0\r\n\r\n")
            assert b" 201 " in raw.socket.recv(4096)
    assert count(db) == 600
