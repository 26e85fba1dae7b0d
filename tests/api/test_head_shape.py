"""The head of a request, byte by byte: what others could read in another way than ferrod is refused, and the connection ends."""
import re

import pytest

from support.client import Client
from support.raw import RawConnection
from support.server import Server

REST = b"GET /version HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: smuggled\r\n\r\n"
HOST = b"Host: localhost\r\n"

MALFORMED = {
    "header without a name": b"GET /healthz HTTP/1.1\r\n" + HOST + b": x\r\n" + REST,
    "blank before the colon": b"GET /healthz HTTP/1.1\r\n" + HOST + b"X-A : b\r\n\r\n",
    "tab before the colon": b"GET /healthz HTTP/1.1\r\n" + HOST + b"X-A\t: b\r\n\r\n",
    "name in quotes": b'GET /healthz HTTP/1.1\r\n' + HOST + b'"X-A": b\r\n\r\n',
    "name that is no ASCII": b"GET /healthz HTTP/1.1\r\n" + HOST + b"X-\xc3\xa4: b\r\n\r\n",
    "name with a bracket": b"GET /healthz HTTP/1.1\r\n" + HOST + b"X[A]: b\r\n\r\n",
    "bare CR in a value": b"GET /healthz HTTP/1.1\r\n" + HOST + b"X-A: a\rb\r\n\r\n",
    "control character in a value": b"GET /healthz HTTP/1.1\r\n" + HOST + b"X-A: a\x01b\r\n\r\n",
    "DEL in a value": b"GET /healthz HTTP/1.1\r\n" + HOST + b"X-A: a\x7fb\r\n\r\n",
    "NUL in a value": b"GET /healthz HTTP/1.1\r\n" + HOST + b"X-A: a\0b\r\n\r\n",
    "NUL in the last value": b"GET /healthz HTTP/1.1\r\n" + HOST + b"X-A: a\0\r\n\r\n",
    "NUL in Host": b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\0.evil\r\n\r\n",
    "NUL in a name": b"GET /healthz HTTP/1.1\r\n" + HOST + b"X\0A: b\r\n\r\n",
    "NUL in the method": b"GET\0X /healthz HTTP/1.1\r\n" + HOST + b"\r\n",
    "NUL at the end of the method": b"GET\0 /healthz HTTP/1.1\r\n" + HOST + b"\r\n",
    "method in braces": b"G{T} /healthz HTTP/1.1\r\n" + HOST + b"\r\n",
    "NUL in the version": b"GET /healthz HTTP/1.1\0\r\n" + HOST + b"\r\n",
    "NUL in the target": b"GET /healthz\0/x HTTP/1.1\r\n" + HOST + b"\r\n",
    "NUL behind the question mark": b"GET /healthz?a=b\0c HTTP/1.1\r\n" + HOST + b"\r\n",
    "raw bytes in the target": b"GET /healthz?\xc3\xa4 HTTP/1.1\r\n" + HOST + b"\r\n",
    "control character in the target": b"GET /healthz\x01 HTTP/1.1\r\n" + HOST + b"\r\n",
    "method that is no token": b"GE(T /healthz HTTP/1.1\r\n" + HOST + b"\r\n" + REST,
    "control character in the method": b"G\x01T /healthz HTTP/1.1\r\n" + HOST + b"\r\n" + REST,
    "tunnel": b"CONNECT localhost:443 HTTP/1.1\r\n" + HOST + b"\r\n" + REST,
    "target without a slash": b"GET healthz HTTP/1.1\r\n" + HOST + b"\r\n" + REST,
    "URL without a host": b"GET http:/healthz HTTP/1.1\r\n" + HOST + b"\r\n" + REST,
    "tab in the target": b"GET /heal\tthz HTTP/1.1\r\n" + HOST + b"\r\n",
    "bare LF": b"GET /healthz HTTP/1.1\nHost: localhost\n\n",
    "one bare LF": b"GET /healthz HTTP/1.1\r\n" + HOST + b"X-A: b\nX-B: c\r\n\r\n",
    "bare LF at the end": b"GET /healthz HTTP/1.1\r\nHost: localhost\n\r\n",
    "folded line": b"GET /healthz HTTP/1.1\r\n" + HOST + b"X-A: a\r\n b\r\nX-B: c\r\n\r\n",
    "folded Host": b"GET /healthz HTTP/1.1\r\nHost:\r\n localhost\r\n\r\n",
    "two hosts": b"GET /healthz HTTP/1.1\r\n" + HOST + HOST + b"\r\n",
    "userinfo in Host": b"GET /healthz HTTP/1.1\r\nHost: me@localhost\r\n\r\n",
    "path in Host": b"GET /healthz HTTP/1.1\r\nHost: localhost/x\r\n\r\n",
    "list of hosts": b"GET /healthz HTTP/1.1\r\nHost: localhost, evil\r\n\r\n",
    "port that is none": b"GET /healthz HTTP/1.1\r\nHost: localhost:80x\r\n\r\n",
    "port beyond all ports": b"GET /healthz HTTP/1.1\r\nHost: localhost:65536\r\n\r\n",
    "fragment behind the path": b"GET /healthz#/v1/reset HTTP/1.1\r\n" + HOST + b"\r\n" + REST,
    "fragment behind the query": b"GET /healthz?a=b#c HTTP/1.1\r\n" + HOST + b"\r\n" + REST,
    "chunks in HTTP/1.0": b"POST /v1/query HTTP/1.0\r\n" + HOST + b"Content-Type: application/json\r\nConnection: keep-alive\r\n"
                          b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + REST,
    "name behind an address": b"GET /healthz HTTP/1.1\r\nHost: [::1].evil.example\r\n\r\n",
    "open bracket": b"GET /healthz HTTP/1.1\r\nHost: [::1\r\n\r\n",
    "target of another host": b"GET http://other.example/healthz HTTP/1.1\r\n" + HOST + b"\r\n",
    "target of another port": b"GET http://localhost:81/healthz HTTP/1.1\r\nHost: localhost:80\r\n\r\n",
    "target with userinfo": b"GET http://me@localhost/healthz HTTP/1.1\r\n" + HOST + b"\r\n",
    "two sessions": b"GET /healthz HTTP/1.1\r\n" + HOST + b"Ferro-Session: a\r\nFerro-Session: b\r\n\r\n",
    "two transactions": b"GET /healthz HTTP/1.1\r\n" + HOST + b"Ferro-Transaction: a\r\nferro-transaction: a\r\n\r\n",
    "two credentials": b"GET /healthz HTTP/1.1\r\n" + HOST + b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n",
    "two keys": b"GET /healthz HTTP/1.1\r\n" + HOST + b"Idempotency-Key: a\r\nIdempotency-Key: b\r\n\r\n",
    "two origins": b"GET /healthz HTTP/1.1\r\n" + HOST + b"Origin: http://localhost\r\nOrigin: http://evil.example\r\n\r\n",
    "two sites": b"POST /v1/sessions HTTP/1.1\r\n" + HOST + b"Sec-Fetch-Site: same-origin\r\nSec-Fetch-Site: cross-site\r\nContent-Length: 0\r\n\r\n",
    "two catalogs": b"GET /v1/models HTTP/1.1\r\n" + HOST + b"Ferro-Catalog: a\r\nFerro-Catalog: b\r\n\r\n",
    "two types": b"GET /healthz HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\nContent-Type: text/plain\r\n\r\n",
}


@pytest.mark.parametrize("head", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_others_could_read_otherwise_is_refused(server, head):
    """libmicrohttpd 0.9.75 mends or cuts most of these in silence."""
    with RawConnection(server.port) as raw:
        raw.send(head)
        got = raw.rest()
        assert set(re.findall(rb"HTTP/1\.[01] (\d{3}) ", got)) <= {b"400"} and b"smuggled" not in got, got


WELL = {
    "no blank behind the colon": b"GET /healthz HTTP/1.1\r\nHost:localhost\r\nX-A:b\r\n\r\n",
    "blanks around a value": b"GET /healthz HTTP/1.1\r\nHost:  localhost \t\r\nX-A: \tb  \r\n\r\n",
    "empty values": b"GET /healthz HTTP/1.1\r\n" + HOST + b"X-A:\r\nX-B: \r\n\r\n",
    "bytes of other alphabets in a value": b"GET /healthz HTTP/1.1\r\n" + HOST + b"X-A: \xc3\xa4\r\n\r\n",
    "tab in a value": b"GET /healthz HTTP/1.1\r\n" + HOST + b"X-A: a\tb\r\n\r\n",
    "all characters of a name": b"GET /healthz HTTP/1.1\r\n" + HOST + b"X!#$%&'*+-.^_`|~9: b\r\n\r\n",
    "absolute target": b"GET http://LOCALHOST/healthz HTTP/1.1\r\n" + HOST + b"\r\n",
    "absolute target with a query": b"GET http://localhost/healthz? HTTP/1.1\r\n" + HOST + b"\r\n",
    "several of a list": b"GET /healthz HTTP/1.1\r\n" + HOST + b"Accept: text/html\r\nAccept: */*\r\nCookie: a=b\r\nCookie: c=d\r\n\r\n",
    "address with a port": b"GET /healthz HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n",
    "many headers": b"GET /healthz HTTP/1.1\r\n" + HOST + b"".join(b"X-%d: %d\r\n" % (n, n) for n in range(40)) + b"\r\n",
}


@pytest.mark.parametrize("head", WELL.values(), ids=WELL.keys())
def test_what_is_well_formed_is_served(server, head):
    with RawConnection(server.port) as raw:
        for _ in range(2):  # and the connection goes on
            raw.send(head)
            answer = raw.response()
            assert (answer.status, answer.header("Connection")) == (200, None), answer.body


def test_empty_lines_before_a_request(server, strict_library):
    """libmicrohttpd since 1.0, told to be as strict as it can, takes them for what is no request."""
    with RawConnection(server.port) as raw:
        raw.send(b"\r\n\r\nGET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")
        if strict_library:
            assert raw.rest() == b""
        else:
            assert raw.response().status == 200


def test_pipelined_requests_of_every_length_are_well_formed(server):
    with RawConnection(server.port) as raw:
        raw.send(b"".join(b"GET /healthz?%s HTTP/1.1\r\nHost: localhost\r\nX-A: %s\r\n\r\n" % (b"", b"y" * n) for n in range(0, 400, 7)))
        for _ in range(0, 400, 7):
            assert raw.response().status == 200


def test_probes_of_http_1_0_need_no_host(server):
    for path, status in (("/healthz", 200), ("/readyz", 200), ("/v1/models", 403)):
        with RawConnection(server.port) as raw:
            raw.send(f"GET {path} HTTP/1.0\r\n\r\n")
            assert raw.response().status == status


def test_an_argument_is_there_once(client):
    client.get("/v1/models/User/records?using=a&using=b").problem(400, "invalid_parameters")
    client.delete("/v1/connections/none?force=true&force=false").problem(400, "invalid_parameters")


@pytest.mark.parametrize("value", ["-1", "1.5", "many", "", "9999999999999999999999", "1e2"])
def test_a_guard_that_cannot_be_read_is_refused(client, value):
    """It was dropped, and the write went ahead without it."""
    answer = client.post("/v1/query/delete", {"model_name": "User"}, headers={"Prefer": f"return=minimal, max-affected={value}"})
    answer.problem(400, "invalid_parameters")


@pytest.mark.parametrize("value", ["tx=rolback", "tx=Rollback", "tx", "tx=commit, tx=undo", "timeout=-1", "timeout=0", "timeout=soon", "timeout", "timeout=nan"])
def test_a_dry_run_or_a_time_that_cannot_be_read_is_refused(client, value):
    """A misspelt dry run wrote in earnest."""
    client.post("/v1/query/delete", {"model_name": "User"}, headers={"Prefer": value}).problem(400, "invalid_parameters")


def test_what_cannot_be_undone_is_no_dry_run(client):
    """It was done, and kept."""
    model = {"model_name": "Kept", "columns": [{"name": "id", "logical_type": "integer", "primary_key": True}]}
    dry = {"Prefer": "tx=rollback"}
    client.post("/v1/models", {"models": [model]}).expect(200)
    for method, path, body in (
            ("PUT", "/v1/models", {"models": []}), ("POST", "/v1/models", {"models": [{**model, "model_name": "More"}]}),
            ("DELETE", "/v1/models", None), ("DELETE", "/v1/models/Kept", None), ("POST", "/v1/create-tables", {}),
            ("POST", "/v1/migrate", {}), ("POST", "/v1/introspect", {"register": True}), ("POST", "/v1/reset", None),
            ("POST", "/v1/connections", {"name": "dry", "url": "sqlite::memory:"}), ("DELETE", "/v1/connections/default?force=true", None),
            ("PUT", "/v1/default-connection", {"name": "default"}), ("POST", "/v1/connections/default/backup", {"path": "dry.db"}),
            ("POST", "/v1/sessions", {}), ("POST", "/v1/transactions", {})):
        client.request(method, path, body, headers=dry).problem(400, "invalid_parameters")
    assert "Kept" in [m["model_name"] for m in client.get("/v1/models", headers=dry).expect(200).json()["payload"]["models"]]
    assert "dry" not in [c["name"] for c in client.get("/v1/connections").json()["connections"]]
    tx = client.post("/v1/transactions", {}).expect(201).json()["transaction_id"]
    client.post(f"/v1/transactions/{tx}/commit", headers=dry).problem(400, "invalid_parameters")
    assert client.get(f"/v1/transactions/{tx}").json()["state"] == "open"
    client.post(f"/v1/transactions/{tx}/rollback").expect(200)
    client.delete("/v1/models/Kept").expect(204)


def test_a_guard_is_looked_at_when_the_caller_is_known():
    with Server("--body-bytes", "1024", env={"FERROD_ADMIN_KEY": "0123456789abcdef"}) as server, Client(server.port) as c:
        known = {"Prefer": "max-affected=-1", "Authorization": "Bearer 0123456789abcdef"}
        c.post("/v1/query/delete", {"model_name": "User"}, headers={"Prefer": "max-affected=-1"}).problem(401, "unauthenticated")
        c.post("/v1/query/delete", raw=b"x" * 1025, headers=known).problem(413, "payload_too_large")
        c.post("/v1/query/delete", raw=b"x", headers={**known, "Content-Type": "text/plain"}).problem(415, "unsupported_media_type")
        c.post("/v1/query/delete", raw=b"x", headers=known).problem(400, "invalid_parameters")


def test_other_preferences_are_not_minded(client):
    answer = client.get("/v1/models", headers={"Prefer": "respond-async, return=nothing, tx=commit, foo=\"bar\"; x=y, handling=lenient"}).expect(200)
    assert answer.header("Preference-Applied") is None


# ---- pages of others ----

PAGES = [
    ("GET", {}, True), ("POST", {}, True),
    ("POST", {"Origin": "http://localhost:{port}"}, True), ("POST", {"Origin": "HTTP://localhost:{port}"}, False),
    ("POST", {"Origin": "http://localhost:3000"}, False), ("GET", {"Origin": "http://localhost:3000"}, False),
    ("POST", {"Origin": "http://localhost"}, False), ("POST", {"Origin": "https://localhost:{port}"}, False),
    ("POST", {"Origin": "http://127.0.0.1:{port}"}, False), ("POST", {"Origin": "null"}, False), ("GET", {"Origin": "null"}, False),
    ("POST", {"Sec-Fetch-Site": "same-origin"}, True), ("POST", {"Sec-Fetch-Site": "none"}, True),
    ("POST", {"Sec-Fetch-Site": "cross-site"}, False), ("POST", {"Sec-Fetch-Site": "same-site"}, False),
    ("GET", {"Sec-Fetch-Site": "cross-site"}, True), ("GET", {"Sec-Fetch-Site": "same-site"}, True),
    ("POST", {"Sec-Fetch-Site": "cross-site", "Content-Type": "text/plain"}, False),
    ("POST", {"Origin": "http://localhost:{port}", "Sec-Fetch-Site": "cross-site"}, False),
]


@pytest.mark.parametrize("method, headers, fine", PAGES)
def test_pages_of_other_origins_drive_nothing_on_a_keyless_server(method, headers, fine):
    """fetch("/v1/reset", {method: "POST", mode: "no-cors"}) of a page of http://localhost:3000 emptied it."""
    with Server() as server, RawConnection(server.port) as raw:
        sent = [(name, value.format(port=server.port)) for name, value in headers.items()]
        lines = "".join(f"{name}: {value}\r\n" for name, value in sent)
        path = "/v1/reset" if method == "POST" else "/v1/models"
        raw.send(f"{method} {path} HTTP/1.1\r\nHost: localhost:{server.port}\r\nContent-Length: 0\r\n{lines}\r\n")
        answer = raw.response()
        if fine:
            assert answer.status in (200, 204), answer.body
        else:
            answer.problem(403, "forbidden")


def test_a_listed_origin_may(tmp_path):
    with Server("--cors-origins", "http://localhost:3000") as server, Client(server.port) as c:
        c.post("/v1/reset", headers={"Origin": "http://localhost:3000", "Sec-Fetch-Site": "same-site"}).expect(204)
