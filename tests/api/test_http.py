"""The fine print of HTTP: order of refusal, framing, strict JSON, limits, headers of every answer."""
import json
import re

import pytest

from support.client import Client
from support.raw import RawConnection
from support.server import Server
from support.tables import MARKER, create_tables


@pytest.fixture
def raw(server):
    with RawConnection(server.port) as connection:
        yield connection


# ---- what is refused first ----

# each request has every fault from its own line downwards: the topmost decides
LADDER = [
    ("GET", "/nothing?" + "x" * 4200, {}, b"{", 414, "uri_too_long"),
    ("BREW", "/nothing", {"Content-Type": "text/plain", "Accept": "image/png"}, b"{", 404, "route_not_found"),
    ("BREW", "/v1/query", {"Content-Type": "text/plain", "Accept": "image/png"}, b"{", 405, "method_not_allowed"),
    ("POST", "/v1/query", {"Content-Type": "text/plain", "Accept": "image/png"}, b"{", 415, "unsupported_media_type"),
    ("POST", "/v1/query", {"Accept": "image/png"}, b"{", 406, "not_acceptable"),
    ("POST", "/v1/query", {}, b"{", 400, "invalid_json"),
    ("POST", "/v1/query", {}, b'[{"model_name": 7}]', 400, "invalid_request"),
    ("POST", "/v1/query", {}, b'{"model_name": "NoSuchModel"}', 404, "model_not_found"),
]


@pytest.mark.parametrize("method, target, headers, body, status, code", LADDER, ids=[str(row[4]) + row[5] for row in LADDER])
def test_order_of_refusal(client, method, target, headers, body, status, code):
    client.request(method, target, raw=body, headers=headers).problem(status, code)


def test_length_is_judged_before_the_type(client):
    client.post("/v1/query", raw=b" " * (8 * 1024 * 1024 + 1), headers={"Content-Type": "text/plain"}).problem(
        413, "payload_too_large")


def test_credential_comes_after_length_and_before_type():
    with Server(env={"FERROD_ADMIN_KEY": "the-only-key"}) as server:
        with Client(server.port) as c:
            c.post("/v1/nothing", raw=b"{").problem(404, "route_not_found")
            c.put("/v1/query", raw=b"{").problem(405, "method_not_allowed")
            c.post("/v1/query", raw=b" " * (8 * 1024 * 1024 + 1)).problem(413, "payload_too_large")
            answer = c.post("/v1/query", raw=b"{", headers={"Content-Type": "text/plain"})
            answer.problem(401, "unauthenticated")
            assert answer.header("WWW-Authenticate").startswith("Bearer")
            c.post("/v1/query", raw=b"{", headers={"Authorization": "Bearer wrong"}).problem(401, "unauthenticated")
            c.get("/healthz").expect(200)
            c.get("/version").problem(401, "unauthenticated")
            good = {"Authorization": "Bearer the-only-key"}
            c.post("/v1/query", raw=b"{", headers=good | {"Content-Type": "text/plain"}).problem(415, "unsupported_media_type")
            c.get("/version", headers=good).expect(200)
        assert "the-only-key" not in server.log()


# ---- framing ----

def test_many_requests_on_one_connection(raw):
    for number in range(50):
        raw.request("GET", "/healthz", headers=[("X-Request-Id", f"r{number}")])
        answer = raw.response()
        assert (answer.status, answer.header("X-Request-Id")) == (200, f"r{number}")


def test_pipelined_requests_are_answered_in_order(raw):
    for number in range(10):
        raw.request("GET", "/healthz", headers=[("X-Request-Id", f"p{number}")])
    assert [raw.response().header("X-Request-Id") for _ in range(10)] == [f"p{number}" for number in range(10)]


def test_refusals_keep_the_connection(raw):
    """A body of a refused request is read away: the next request on the connection is understood."""
    for _ in range(3):
        raw.request("POST", "/v1/nothing", b'{"a": 1}' * 100)
        raw.response().problem(404, "route_not_found")
        raw.request("POST", "/v1/query", b'{"a": 1}' * 100, headers=[("Content-Type", "text/plain")])
        raw.response().problem(415, "unsupported_media_type")
        raw.request("GET", "/healthz")
        assert raw.response().status == 200


def test_connection_close_is_obeyed(raw):
    raw.request("GET", "/healthz", headers=[("Connection", "close")])
    assert raw.response().status == 200
    assert raw.closed()


def test_http_1_0(raw):
    raw.send("GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")
    assert raw.response().status == 200
    assert raw.closed()


def test_absolute_form_of_the_target(raw):
    for target in ("http://localhost/healthz", "HTTP://LOCALHOST/healthz/", "https://localhost/healthz?"):
        raw.send(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert raw.response().status == 200
    for target, status in (("http://localhost", 200), ("http://localhost?x=/healthz", 200), ("http://localhost/nothing", 404)):
        raw.send(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert raw.response().status == status


def test_expect_100_continue(raw):
    body = b'{"model_name": "NoSuchModel"}'
    raw.send(f"POST /v1/query HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
             f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n")
    assert raw.response().status == 100
    raw.send(body)
    raw.response().problem(404, "model_not_found")


@pytest.mark.parametrize("target, kind, length, status, code", [
    ("/v1/nothing", "application/json", 10, 404, "route_not_found"),
    ("/healthz", "application/json", 10, 405, "method_not_allowed"),
    ("/v1/query", "application/json", 9 * 1024 * 1024, 413, "payload_too_large"),
    ("/v1/query", "text/plain", 10, 415, "unsupported_media_type")])
def test_what_the_headers_show_is_refused_without_asking_for_the_body(raw, target, kind, length, status, code):
    raw.send(f"POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n"
             "Expect: 100-continue\r\n\r\n")
    raw.response().problem(status, code)


def test_length_is_refused_before_the_body_is_sent(raw):
    raw.send("POST /v1/query HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
             "Content-Length: 99999999999\r\n\r\n")
    raw.response().problem(413, "payload_too_large")


def chunks(*parts):
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


CHUNKED = ("POST /v1/query HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
           "Transfer-Encoding: chunked\r\n\r\n")


def test_chunked_body(raw):
    for parts in ([b'{"model_name": "NoSuchModel"}'], [bytes([byte]) for byte in b'{"model_name": "NoSuchModel"}']):
        raw.send(CHUNKED)
        raw.send(chunks(*parts))
        raw.response().problem(404, "model_not_found")
    raw.send(CHUNKED)
    raw.send(chunks(b'{"model_name"'))
    raw.response().problem(400, "invalid_json")


@pytest.mark.parametrize("coding", ["gzip", "gzip, chunked", "identity", "chunked "])
def test_body_without_an_end_is_refused_at_once(server, strict_library, coding):
    """The library would read it until the client closes: here the connection is closed, and nothing of it is taken for a request."""
    with RawConnection(server.port) as raw:
        raw.send(CHUNKED.replace("Transfer-Encoding: chunked", f"Transfer-Encoding: {coding}"))
        raw.send("2\r\n{}\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = raw.response()
        if strict_library and coding == "chunked ":  # the blank behind it is none of it
            answer.problem(422, "invalid_query")
            assert raw.response().status == 200
        else:
            answer.refused(strict_library)
            assert raw.closed()


LENGTH = "Content-Length: 2"


# whether it is clear; if not, whether libmicrohttpd since 1.0 refuses it by itself
@pytest.mark.parametrize("framing, clear", [
    (LENGTH, True), (f"{LENGTH}\r\n{LENGTH}", True), ("Content-Length: 2\r\nContent-Length: 56", "ours"),
    ("Content-Length: 56\r\nContent-Length: 2", "ours"), ("Content-Length: 0\r\nContent-Length: 56", "ours"),
    (f"{LENGTH}\r\nTransfer-Encoding: chunked", "library"), (f"Transfer-Encoding: chunked\r\n{LENGTH}", "library"),
    ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "ours"), ("Content-Length : 56", "library"),
    ("Transfer-Encoding\t: chunked", "library"), ("Transfer-Encoding:\r\n chunked", "library"), ("Content-Length: 2\r\n 0", "library")])
@pytest.mark.parametrize("method, target", [("POST", "/v1/query"), ("GET", "/healthz"), ("DELETE", "/v1/connections/none")])
def test_what_others_could_take_for_another_request(server, strict_library, method, target, framing, clear):
    """Where a proxy could see another end of the body than we do, nothing behind the head is a request."""
    with RawConnection(server.port) as raw:
        raw.send(f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{framing}\r\n\r\n"
                 "{}GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Filler: 1\r\n\r\n")
        answer = raw.response()
        if clear is True:
            assert answer.header("Connection") is None and raw.response().status == 200
        else:
            answer.refused(strict_library and clear == "library")
            assert raw.closed()


def test_chunked_body_over_the_limit(raw):
    raw.send(CHUNKED)
    part = b"%x\r\n%s\r\n" % (65536, b" " * 65536)
    with _quiet():
        for _ in range(130):
            raw.send(part)
        raw.send(b"0\r\n\r\n")
    raw.response().problem(413, "payload_too_large")


class _quiet:
    """The server may close its reading side before all has been sent."""

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        return kind is not None and issubclass(kind, OSError)


def test_body_in_small_pieces(raw):
    body = b'{"model_name": "NoSuchModel"}'
    raw.send(f"POST /v1/query HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n")
    for byte in body:
        raw.send(bytes([byte]))
    raw.response().problem(404, "model_not_found")


@pytest.mark.parametrize("text", [
    "GARBAGE\r\n\r\n", "GET /healthz HTTP/1.1\r\n\r\n", "GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\nbroken line\r\n\r\n",
    "POST /v1/query HTTP/1.1\r\nHost: localhost\r\nContent-Length: abc\r\n\r\n"])
def test_malformed_requests_close_the_connection(server, text):
    with RawConnection(server.port) as raw:
        raw.send(text)
        got = raw.rest()
        if got:
            assert re.match(rb"HTTP/1\.[01] 400 ", got), got[:200]
    with Client(server.port) as c:
        c.get("/healthz").expect(200)


def test_header_block_over_its_limit(server):
    with RawConnection(server.port) as raw:
        raw.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + "".join(f"X-Pad-{n}: {'y' * 2050}\r\n" for n in range(4)) + "\r\n")
        raw.response().problem(431, "headers_too_large")
    with RawConnection(server.port) as raw:  # the library's own answer
        raw.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + "".join(f"X-Pad-{n}: {'y' * 100}\r\n" for n in range(90)) + "\r\n")
        assert raw.response().status == 431
    with RawConnection(server.port) as raw:
        with _quiet():
            raw.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Pad: " + "y" * 300000 + "\r\n\r\n")
        got = raw.rest()
        assert got == b"" or re.match(rb"HTTP/1\.[01] 431 ", got), got[:200]


def test_target_at_and_over_its_limit(client):
    client.get("/nothing?" + "x" * (4096 - len("/nothing?"))).problem(404, "route_not_found")
    client.get("/nothing?" + "x" * (4097 - len("/nothing?"))).problem(414, "uri_too_long")


# ---- strict JSON ----

NOT_JSON = [b"", b" ", b"{", b"}", b"nul", b'{"a":1,}', b"{'a':1}", b'{"a":01}', b'{"a":.5}', b'{"a":1.}', b'{"a":+1}', b'{"a":NaN}',
            b'{"a":Infinity}', b'{"a":"\n"}', b'{"a":"\\x"}', b'{"a":"\\ud800"}', b'{"a":"\\udc00\\ud800"}', b'{"a":"\xc0\x80"}',
            b'{"a":"\xed\xa0\x80"}', b'{"a":"\xf5\x80\x80\x80"}', b'{"a":1} {}', b'{"a":1}x', b'// c\n{"a":1}', b'{"a":1,"a":2}',
            b'{"x":{"b":1,"\\u0062":2}}', b"[" * 2000, b'{"a":' * 200 + b"1" + b"}" * 200, b"\xef\xbb\xbf{}"]


@pytest.mark.parametrize("body", NOT_JSON)
def test_what_is_not_json(client, body):
    client.post("/v1/query", raw=body).problem(400, "invalid_json")


def test_json_that_looks_odd(client):
    for body in (b' \t\r\n{"model_name" : "NoSuch\\u004dodel" } \n', '{"model_name":"Ünïcødé 😀"}'.encode(), b'{"model_name":"\\ud83d\\ude00"}'):
        client.post("/v1/query", raw=body).problem(404, "model_not_found")


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "application/json;charset=UTF-8",
                                  "APPLICATION/JSON", 'application/json; charset="utf-8"'])
def test_spellings_of_json(client, kind):
    client.post("/v1/query", raw=b"{", headers={"Content-Type": kind}).problem(400, "invalid_json")


@pytest.mark.parametrize("kind", [None, "", "text/plain", "application/jsonx", "application/x-www-form-urlencoded", "json"])
def test_other_types(client, kind):
    client.post("/v1/query", raw=b"{}", headers={"Content-Type": kind}).problem(415, "unsupported_media_type")


@pytest.mark.parametrize("accept, fits", [
    (None, True), ("", True), ("*/*", True), ("application/*", True), ("application/json", True), ("text/html, application/json;q=0.1", True),
    ("application/json;q=0", False), ("text/html", False), ("image/*", False), ("application/json;q=0, */*;q=0.5", False)])
def test_accept(client, accept, fits):
    answer = client.get("/v1/connections", headers={"Accept": accept})
    if fits:
        answer.expect(200)
    else:
        answer.problem(406, "not_acceptable")


@pytest.mark.parametrize("method, path, body, pointer", [
    ("POST", "/v1/connections", {"url": "sqlite::memory:", "surprise": 1}, "/surprise"),
    ("POST", "/v1/connections", {"name": "x"}, "/url"),
    ("POST", "/v1/connections", {"url": 7}, "/url"),
    ("POST", "/v1/connections", {"url": "sqlite::memory:", "default": "yes"}, "/default"),
    ("POST", "/v1/connections", {"url": "sqlite::memory:", "pool": {"max_connections": "5"}}, "/pool/max_connections"),
    ("POST", "/v1/connections", {"url": "sqlite::memory:", "pool": {"max": 5}}, "/pool/max"),
    ("POST", "/v1/sessions", {"a/b~c": 1}, "/a~1b~0c"),
    ("POST", "/v1/sessions", {"idle_timeout_seconds": -1}, "/idle_timeout_seconds"),
    ("PUT", "/v1/default-connection", {}, "/name"),
    ("POST", "/v1/sql/execute", {"sql": "SELECT 1", "arg": []}, "/arg"),
    ("POST", "/v1/sql/execute", {"sql": 1}, "/sql"),
    ("POST", "/v1/sql/execute", {"sql": "SELECT 1", "args": 5}, "/args"),
    ("POST", "/v1/create-tables", {"using": 5}, "/using")])
def test_pointers_of_shape(client, method, path, body, pointer):
    answer = client.request(method, path, body)
    answer.problem(400, "invalid_request")
    assert pointer in answer.pointers(), answer.body


@pytest.mark.parametrize("path", ["/v1/connections?force=1", "/v1/connections/default?force=maybe"])
def test_query_parameters_that_are_unknown_or_unreadable(client, path):
    method = "DELETE" if "default" in path else "GET"
    answer = client.request(method, path)
    assert answer.status == 400 and answer.json()["code"] in ("invalid_parameters", "invalid_request"), answer.body


# ---- what every answer has ----

def test_trailing_slashes_mean_nothing(client):
    for path in ("/healthz", "/v1/connections", "/v1/models", "/v1/connections/default"):
        one, other = client.get(path).expect(200), client.get(path + "/").expect(200)
        assert json.dumps(one.json(), sort_keys=True) == json.dumps(other.json(), sort_keys=True)


def test_percent_encoded_paths(client):
    client.get("/v1/connections/def%61ult").expect(200)
    client.get("/v1/connections/a%2Fb").problem(400, "invalid_connection_name")
    for bad in ("/v1/connections/%zz", "/v1/connections/%f", "/v1/models/%ff"):
        assert client.get(bad, validate=False).status in (400, 404)


def test_server_timing_and_ids_on_everything(client, raw):
    for answer in (client.get("/healthz"), client.get("/nothing"), client.request("BREW", "/healthz"), client.options("/healthz"),
                   client.head("/healthz"), client.post("/v1/query", raw=b"{"), client.post("/v1/sql/fetch-all", {"sql": "SELECT 1"})):
        assert re.fullmatch(r"db;dur=\d+(\.\d+)?, total;dur=\d+(\.\d+)?", answer.header("Server-Timing"))
        assert re.fullmatch(r"[!-~]{8,128}", answer.header("X-Request-Id"))
    answer = client.post("/v1/sql/fetch-all", {"sql": "SELECT 1"}).expect(200)
    db, total = map(float, re.findall(r"dur=([\d.]+)", answer.header("Server-Timing")))
    assert 0 < db <= total
    raw.request("GET", "/healthz?" + "x" * 5000)
    assert raw.response().header("X-Request-Id")


def test_problem_documents_name_their_page(client):
    problem = client.get("/v1/connections/nobody").problem(404, "connection_not_found")
    assert client.get(problem["type"]).expect(200).header("Content-Type").startswith("text/html")
    assert problem["detail"] and problem["title"]


def test_head_keeps_the_length(raw):
    raw.request("GET", "/version")
    got = raw.response()
    raw.request("HEAD", "/version")
    head = raw.response(head=True)
    assert (head.status, head.header("Content-Length")) == (200, got.header("Content-Length"))
    raw.request("GET", "/healthz")
    assert raw.response().status == 200


@pytest.mark.parametrize("accept", ["application/json", "application/x-ndjson", "text/csv"])
def test_head_of_a_long_answer(sqlite_conn, raw, accept):
    """GET streams it; the length that HEAD tells is that of all of it, not of its end."""
    path = f"/v1/models/Marker/records?using={sqlite_conn.name}"
    create_tables(sqlite_conn.client, sqlite_conn.name, MARKER)
    sqlite_conn.client.post(path, {"records": [{"label": "x" * 90}] * 3000}).expect(201)
    raw.request("HEAD", path, headers=[("Accept", accept)])
    head = raw.response(head=True)
    raw.request("GET", path, headers=[("Accept", accept)])
    got = raw.response()
    assert got.header("Transfer-Encoding") == "chunked" and len(got.body) > 3 * 65536
    assert (head.status, head.header("Content-Length")) == (200, str(len(got.body)))
    assert head.header("Content-Type") == got.header("Content-Type")


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND", "get", "X" * 40])
def test_unknown_methods(client, method):
    answer = client.request(method, "/healthz", validate=method not in ("TRACE", "CONNECT", "get"))
    assert answer.status in (400, 405), answer.body
    assert client.get("/healthz").status == 200


def test_client_that_goes_away_in_mid_request(server):
    for _ in range(20):
        with RawConnection(server.port) as raw:
            raw.send("POST /v1/query HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
    with Client(server.port) as c:
        c.get("/healthz").expect(200)


def test_foreign_host_or_origin_is_refused_on_a_keyless_server(server):
    """Else any page in the user's browser could reach it (DNS rebinding)."""
    with RawConnection(server.port) as raw:
        raw.send("GET /v1/connections HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        raw.response().problem(403, "forbidden")
        raw.request("GET", "/v1/connections", headers=[("Origin", "http://evil.example")])
        raw.response().problem(403, "forbidden")
        raw.send(f"GET /v1/connections HTTP/1.1\r\nHost: localhost:{server.port}\r\nOrigin: http://localhost:{server.port}\r\n\r\n")
        assert raw.response().status == 200


def test_a_client_bounds_its_request_on_a_server_without_a_bound():
    slow = {"sql": "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) AS n FROM c"}
    with Server("--request-timeout-seconds", "0") as own, Client(own.port) as c:
        answer = c.post("/v1/sql/fetch-one", {"sql": "SELECT 1 AS one"}).expect(200)
        assert answer.header("Preference-Applied") is None
        c.post("/v1/sql/fetch-one", slow, headers={"Prefer": "timeout=0.2"}).problem(504, "statement_timeout")
        answer = c.post("/v1/sql/fetch-one", {"sql": "SELECT 1 AS one"}, headers={"Prefer": "timeout=5"}).expect(200)
        assert answer.header("Preference-Applied") == "timeout=5"


def test_using_is_unknown_where_there_is_nothing_to_route(sqlite_conn):
    client, using = sqlite_conn.client, sqlite_conn.using
    session = client.session(**using)
    tx = session.transaction()
    path = f"/v1/transactions/{tx.headers['Ferro-Transaction']}"
    for one, method, target in ((client, "GET", "/v1/models"), (client, "GET", "/v1/connections"), (client, "GET", "/v1/sessions"),
                                (session, "GET", "/v1/session"), (session, "DELETE", "/v1/session/identity-map"), (session, "GET", path),
                                (session, "POST", path + "/commit"), (session, "DELETE", "/v1/session")):
        one.request(method, target, params=using).problem(400, "invalid_parameters")
    session.post(path + "/rollback").expect(200)
    session.delete("/v1/session").expect(204)


def test_a_preferred_time_is_named_by_all_that_work_on_a_connection(sqlite_conn):
    client, using = sqlite_conn.client, sqlite_conn.using
    for method, path, body in (("GET", "/v1/ddl", None), ("POST", "/v1/create-tables", {}), ("POST", "/v1/migrate", {"dry_run": True}),
                               ("POST", "/v1/introspect", {}), ("POST", "/v1/transactions", {"timeout_seconds": 1})):
        answer = client.request(method, path, body, params=using, headers={"Prefer": "timeout=20"})
        assert answer.status in (200, 201) and answer.header("Preference-Applied") == "timeout=20", path


def test_null_is_as_good_as_left_out(sqlite_conn):
    """For optional members of requests; the description says the same (the client checks)."""
    client, name = sqlite_conn.client, sqlite_conn.name
    client.post("/v1/connections", {"url": "sqlite::memory:", "name": f"{name}n", "default": None, "auto_migrate": None, "identity_map": None,
                                    "pool": {"max_connections": None}}).expect(201)
    client.delete(f"/v1/connections/{name}n").expect(204)
    client.post("/v1/connections", {"url": "sqlite::memory:", "name": f"{name}n", "pool": None}).expect(201)
    client.delete(f"/v1/connections/{name}n").expect(204)
    client.post("/v1/migrate", {"using": name, "updates": None, "dry_run": True, "plan_hash": None, "rebuild": None}).expect(200)
    client.post("/v1/introspect", {"using": name, "tables": None, "register": None}).expect(200)
    client.post("/v1/transactions", {"using": name, "isolation": None, "read_only": None, "timeout_seconds": None}).expect(201)
    client.session(using=name, idle_timeout_seconds=None).delete("/v1/session").expect(204)
    client.post("/v1/sql/execute", {"sql": "SELECT 1", "args": None, "using": None}, params=sqlite_conn.using).expect(200)
    client.post("/v1/batch", {"using": name, "atomic": None, "steps": [{"op": "sql.execute", "sql": "SELECT 1", "as": None, "if": None}]}).expect(200)
    assert client.post("/v1/connections", {"url": None}).expect(400, "invalid_request").pointers() == ["/url"]
