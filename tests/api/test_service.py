"""The process's own paths, and what holds for every path: slashes, HEAD, OPTIONS, 404, 405, request ids."""
import json
import re

import pytest

from support.contract import METHODS, contract, error_codes, load_document
from support.process import ROOT

DOCUMENT = contract().document


def concrete(path):
    """The template with something in its holes that does not exist."""
    return re.sub(r"\{\w+\}", "nothing_here", path)


def test_health(client):
    assert client.get("/healthz").expect(200).json() == {"status": "ok"}
    assert client.get("/readyz").expect(200).json() == {"status": "ready"}


def test_version_names_the_libraries(client):
    version = client.get("/version").expect(200).json()
    assert {"version", "sqlite", "libpq", "jansson", "libmicrohttpd"} <= set(version)


def test_description_is_the_file_in_the_tree(client):
    assert client.get("/openapi.yaml").expect(200).body == (ROOT / "openapi/openapi.yaml").read_bytes()
    assert client.get("/openapi.json").expect(200).json() == load_document()


@pytest.mark.parametrize("path, body, detail", [
    ("/v1/connections", {"name": "x", "uri": "sqlite::memory:"}, "/url: missing member"),
    ("/v1/connections", {"url": "sqlite::memory:", "pool": {"max_connections": "5"}}, "/pool/max_connections: must be an integer, not string"),
    ("/v1/connections", {"url": "sqlite::memory:", "pol": {}}, "/pol: unknown member"),
    ("/v1/batch", {"steps": [{"op": "sql.exec"}]}, "/steps/0/op: there is no operation of that name"),
    ("/v1/batch", {"steps": ["x"]}, "/steps/0: "),
    ("/v1/query", {"model": "Book"}, "/model: no such member is known here"),
    ("/v1/query", {"model_name": 5}, '"model_name" must be a string')])
def test_the_detail_says_where(client, path, body, detail):
    """`missing member` was all that it said: which, was to be read beside it."""
    problem = client.post(path, body).json()
    assert problem["detail"].startswith(detail), problem["detail"]
    assert problem["errors"][0]["detail"] == problem["detail"].removeprefix(problem["errors"][0]["pointer"] + ": ")


def test_every_problem_code_has_a_page(client):
    index = client.get("/problems").expect(200).text
    for code in error_codes():
        assert f"/problems/{code}" in index
        assert code in client.get(f"/problems/{code}").expect(200).text
    client.get("/problems/no_such_code").problem(404, "route_not_found")


@pytest.mark.parametrize("path", sorted(DOCUMENT["paths"]))
def test_options_and_unknown_methods(client, path):
    """The client's judge compares Allow with the description; with and without a trailing slash."""
    for where in {concrete(path), concrete(path).rstrip("/") + "/"}:
        answer = client.options(where)
        assert answer.status in (200, 204), answer.body
        assert answer.header("Allow")
        client.request("BREW", where).problem(405, "method_not_allowed")
        allowed = answer.header("Allow").split(", ")
        missing = [m for m in ("GET", "PUT", "POST", "DELETE", "PATCH") if m not in allowed]
        client.request(missing[0], where).problem(405, "method_not_allowed")


def test_options_list_the_methods_of_the_very_path(client):
    """Those of a path that is written out, and not those of one that a parameter may stand for."""
    def allowed(path):
        return set(client.options(path).expect(204).header("Allow").split(", "))
    record = "/v1/models/User/records/1"
    assert allowed(record + "/refresh") == allowed(record + "/refresh/") == {"POST", "OPTIONS"}
    assert allowed(record + "/refreshed") == allowed(record + "/refres") == {"GET", "HEAD", "PUT", "DELETE", "OPTIONS"}
    for method in ("GET", "HEAD", "PUT", "DELETE", "PATCH"):
        answer = client.request(method, record + "/refresh")
        assert answer.status == 405 and set(answer.header("Allow").split(", ")) == {"POST", "OPTIONS"}
    assert client.post(record + "/refresh").status == 404  # the model; the path is there


@pytest.mark.parametrize("path", sorted(p for p, item in DOCUMENT["paths"].items() if "get" in item))
def test_head_is_get_without_body(client, path):
    got, head = client.get(concrete(path)), client.head(concrete(path))
    assert (head.status, head.body) == (got.status, b"")
    assert head.header("Content-Type") == got.header("Content-Type")


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/nothing", "/healthz/more", "//healthz", "/v1/models//records", "/%00"])
def test_unknown_paths(client, path):
    client.get(path).problem(404, "route_not_found")


def test_request_id_is_echoed_or_made(client):
    assert client.get("/healthz", headers={"X-Request-Id": "abc-123"}).header("X-Request-Id") == "abc-123"
    made = {client.get("/healthz").header("X-Request-Id") for _ in range(3)}
    assert len(made) == 3
    for bad in ("", "with space", "x" * 129, 'a"b\tc'):
        assert client.get("/healthz", headers={"X-Request-Id": bad}).header("X-Request-Id") != bad
    problem = client.get("/nothing", headers={"X-Request-Id": "mine"}).problem(404, "route_not_found")
    assert problem["instance"] == "mine"


def test_request_ids_are_of_the_characters_that_are_described(client):
    pattern = DOCUMENT["components"]["headers"]["X-Request-Id"]["schema"]["pattern"]
    for code in range(0x21, 0x7f):
        sent = f"a{chr(code)}b"
        assert (client.get("/healthz", headers={"X-Request-Id": sent}).header("X-Request-Id") == sent) == bool(re.match(pattern, sent)), sent


def test_request_id_is_in_the_log(client, server):
    client.get("/healthz", headers={"X-Request-Id": "find-me-in-the-log"})
    client.get("/healthz")
    assert [r for r in server.records() if "find-me-in-the-log" in json.dumps(r)]


OPERATIONS_WITH_JSON = [
    (path, method) for path, item in DOCUMENT["paths"].items() for method in METHODS
    if item.get(method, {}).get("requestBody") and contract().resolve(item[method]["requestBody"]).get("required")]


@pytest.mark.parametrize("path, method", OPERATIONS_WITH_JSON)
def test_bodies_are_judged_in_order(client, path, method):
    """415 before 400 invalid_json; an empty body where one is needed is invalid_json too."""
    where = concrete(path)
    client.request(method.upper(), where, raw=b"{}", headers={"Content-Type": "text/plain"}).problem(
        415, "unsupported_media_type")
    for raw in (b"", b"{", b'{"a":1,"a":2}', b"{} x", b"\xff", b"[" * 100 + b"]" * 100):
        assert client.request(method.upper(), where, raw=raw).json()["code"] == "invalid_json", raw
    client.request(method.upper(), where, raw=b"[]").problem(400, "invalid_request")


def test_body_over_the_limit_is_refused_before_it_is_read(client):
    answer = client.post("/v1/query", raw=b" " * (8 * 1024 * 1024 + 1))
    answer.problem(413, "payload_too_large")


def test_uri_over_the_limit(client):
    client.get("/healthz?" + "x" * 4200, validate=False).expect(414)
    client.get("/healthz").expect(200)


@pytest.mark.parametrize("method, path, status", [
    ("POST", "/v1/sessions", 201), ("POST", "/v1/transactions", 201), ("POST", "/v1/create-tables", 200),
    ("POST", "/v1/migrate", 200), ("POST", "/v1/introspect", 200)])
def test_an_optional_body_may_be_null(client, method, path, status):
    """What generated clients send where the caller gave no body."""
    client.put("/v1/models", {"models": []}).expect(200)  # none of those before it, which may be of other databases
    client.request(method, path, raw=b"null").expect(status)
