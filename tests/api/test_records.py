"""Records one by one: create, get, save, PATCH, delete, refresh; HEAD, Prefer, refusals (reference 14.4)."""
import json

import pytest

from support.library import column, key, model
from support.shared import shared_tables
from support.tables import sql

USER = model("User", key(), column("username", "string", unique=True), column("email", "string", nullable=True),
             column("active", "boolean", default=True), column("age", "integer", nullable=True), column("note", "string", default="-"))
TOKEN = model("Token", key("token", "string", autoincrement=False), column("user_id", "integer"))
PLAIN = model("Plain", key(), column("a", "integer", nullable=True))
KEYLESS = model("Keyless", column("a", "integer", nullable=True))
FIXED = model("Fixed", key("id", autoincrement=False), column("a", "string", nullable=True))
MODELS = [USER, TOKEN, PLAIN, KEYLESS, FIXED]
USERS = "/v1/models/User/records"


_shared = shared_tables(*MODELS)


class Api:
    def __init__(self, conn):
        self.conn, self.client, self.using = conn, conn.client, conn.using

    def __call__(self, method, path, body=None, status=200, **headers):
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self.client.request(method, path if path.startswith("/") else f"/v1/models/{path}", body, params=self.using, headers=sent)
        return answer.expect(status)

    def count(self, name):
        return self("POST", "/v1/query/count", {"model_name": name, "where": []}).json()["count"]


@pytest.fixture
def api(server, _shared):
    for table in ("user", "token", "plain", "keyless", "fixed"):
        sql(_shared.client, f'DELETE FROM "{table}"', using=_shared.name, verb="execute").expect(200)
    return Api(_shared)


def test_create(api):
    """CRUD-01, CRUD-17, CRUD-24: an id is given, defaults apply, the answer is the record as it is stored."""
    answer = api("POST", USERS, {"username": "alice", "email": None}, 201)
    row = answer.json()
    assert row["id"] > 0 and row == {"id": row["id"], "username": "alice", "email": None, "active": True, "age": None, "note": "-"}
    assert answer.header("Location") == f"{USERS}/{row['id']}" and answer.header("ETag").startswith('"')
    read = api("GET", answer.header("Location"))
    assert read.json() == row and read.header("ETag") == answer.header("ETag") and read.header("Ferro-Identity") == "off"
    assert api("POST", USERS, {"username": "bob", "id": None}, 201).json()["id"] > row["id"]


def test_given_keys(api):
    """CRUD-25, CRUD-26: kept; the next generated one collides with nothing."""
    assert api("POST", USERS, {"id": 999, "username": "jeff"}, 201).json()["id"] == 999
    assert api("POST", USERS, {"username": "next"}, 201).json()["id"] == 1000
    assert api("POST", "Fixed/records", {"id": 999}, 201).json() == {"id": 999, "a": None}
    token = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
    answer = api("POST", "Token/records", {"token": token, "user_id": 1}, 201)
    assert answer.header("Location") == f"/v1/models/Token/records/{token}"
    assert api("GET", f"Token/records/{token}").json() == {"token": token, "user_id": 1}
    api("POST", "Token/records", {"user_id": 1}, 422)
    api("POST", "Fixed/records", {"a": "x"}, 422)


def test_nothing_given(api):
    """DEFAULT VALUES where nothing is given; models without a key can be filled too."""
    assert api("POST", "Plain/records", {}, 201).json()["a"] is None
    answer = api("POST", "Keyless/records", {}, 201)
    assert answer.json() == {"a": None} and answer.header("ETag") is None and answer.header("Location") is None
    assert api("POST", "Keyless/records", {"a": 5}, 201).json() == {"a": 5}
    assert api("GET", "Keyless/records").json()["row_count"] == 2
    assert api("GET", "Keyless/records/1", None, 422).json()["code"] == "invalid_query"


def test_save(api):
    """CRUD-02, CRUD-04: PUT creates, and replaces: absent columns take their default or null."""
    answer = api("PUT", f"{USERS}/42", {"username": "original", "email": "o@x", "age": 5, "active": False, "note": "n"}, 201)
    assert answer.json()["id"] == 42 and answer.header("Location") == f"{USERS}/42"
    answer = api("PUT", f"{USERS}/42", {"id": 42, "username": "updated"}, 200)
    assert answer.json() == {"id": 42, "username": "updated", "email": None, "age": None, "active": True, "note": "-"}
    assert api("GET", f"{USERS}/42").json() == answer.json() and api.count("User") == 1
    assert api("PUT", f"{USERS}/42", {"id": 43, "username": "x"}, 422).pointers() == ["/id"]
    assert api("PUT", f"{USERS}/42", {"email": "only"}, 422).json()["code"] == "not_null_violation"
    api("POST", USERS, {"username": "other"}, 201)
    assert api("PUT", f"{USERS}/42", {"username": "other"}, 409).json()["code"] == "unique_violation"
    assert api("POST", USERS, {"username": "after"}, 201).json()["id"] > 42
    assert api("PUT", "Fixed/records/7", {}, 201).json() == {"id": 7, "a": None}
    assert api("PUT", "Fixed/records/7", {}, 200).json() == {"id": 7, "a": None}


def test_patch(api):
    """CRUD-37, CRUD-38: changed columns only; null is a value; the key may not be moved to another's."""
    api("PUT", f"{USERS}/1", {"username": "taylor", "email": "t@x", "age": 30}, 201)
    assert api("PATCH", f"{USERS}/1", {"age": 31}).json() == {"id": 1, "username": "taylor", "email": "t@x", "active": True, "age": 31, "note": "-"}
    assert api("PATCH", f"{USERS}/1", {"age": None, "active": False}).json()["age"] is None
    assert api("PATCH", f"{USERS}/1", {"username": None}, 422).json()["code"] == "not_null_violation"
    assert api("PATCH", f"{USERS}/1", {"nope": 1}, 422).pointers() == ["/nope"]
    api("PATCH", f"{USERS}/99", {"age": 1}, 404)
    answer = api("PATCH", f"{USERS}/1", {}, 200)
    assert answer.json()["active"] is False


def test_delete(api):
    """CRUD-10: a second delete finds nothing."""
    api("PUT", f"{USERS}/500", {"username": "x"}, 201)
    api("DELETE", f"{USERS}/500", None, 204)
    assert api("DELETE", f"{USERS}/500", None, 404).json()["code"] == "record_not_found"
    api("GET", f"{USERS}/500", None, 404)
    api("POST", f"{USERS}/500/refresh", None, 404)


def test_refresh(api):
    """CRUD-13, CRUD-14 without a session: what the database has."""
    api("PUT", f"{USERS}/1", {"username": "x", "age": 100}, 201)
    api("POST", "/v1/query/update", {"query": {"model_name": "User", "where": [{"node_kind": "leaf", "column": "id", "operator": "==", "value": 1}]},
                                     "set": {"age": 200}})
    answer = api("POST", f"{USERS}/1/refresh")
    assert answer.json()["age"] == 200 and answer.header("Ferro-Identity") == "off" and answer.header("ETag")


def test_refresh_takes_no_members(api):
    api("POST", "Plain/records", {"id": 1, "a": 1}, 201)
    assert api("POST", "Plain/records/1/refresh", {}).json() == {"id": 1, "a": 1}
    assert api("POST", "Plain/records/1/refresh", {"x": 1}, 400).expect(400, "invalid_request").pointers() == ["/x"]


def test_unique(api):
    """CRUD-27: the problem says what stands in the way, and what became of the write."""
    api("POST", USERS, {"username": "test"}, 201)
    problem = api("POST", USERS, {"username": "test"}, 409).json()
    assert problem["code"] == "unique_violation" and problem["outcome"] == "rolled_back" and "unique" in json.dumps(problem).lower()
    assert problem["table"] == "user" and api.count("User") == 1


def test_head(api):
    api("PUT", f"{USERS}/1", {"username": "x"}, 201)
    for path in (f"{USERS}/1", USERS, f"{USERS}/1/"):
        get, head = api("GET", path), api("HEAD", path)
        assert head.body == b"" and head.header("Content-Type") == get.header("Content-Type") and head.header("ETag") == get.header("ETag")
    assert api("HEAD", f"{USERS}/9", None, 404).body == b""


@pytest.mark.parametrize("method, path, body, status", [
    ("POST", USERS, {"username": "m"}, 201), ("PUT", f"{USERS}/8", {"username": "m"}, 201), ("PUT", f"{USERS}/1", {"username": "m"}, 204),
    ("PATCH", f"{USERS}/1", {"age": 7}, 204)])
def test_return_minimal(api, method, path, body, status):
    api("PUT", f"{USERS}/1", {"username": "first"}, 201)
    answer = api(method, path, body, status, Prefer="return=minimal")
    assert answer.body == b"" and answer.header("Preference-Applied") == "return=minimal" and answer.header("ETag")
    assert (answer.header("Location") is not None) == (status == 201)


def test_undone(api):
    """Prefer: tx=rollback: done, answered, undone."""
    api("PUT", f"{USERS}/1", {"username": "first"}, 201)
    undo = {"Prefer": "tx=rollback"}
    answer = api("POST", USERS, {"username": "u"}, 201, **undo)
    assert answer.json()["username"] == "u" and answer.header("Preference-Applied") == "tx=rollback"
    api("GET", answer.header("Location"), None, 404)
    assert api("PUT", f"{USERS}/1", {"username": "u"}, 200, **undo).json()["username"] == "u"
    api("PUT", f"{USERS}/9", {"username": "u"}, 201, **undo)
    assert api("PATCH", f"{USERS}/1", {"age": 9}, 200, **undo).json()["age"] == 9
    api("DELETE", f"{USERS}/1", None, 204, **undo)
    api("POST", USERS, {"records": [{"username": "a"}, {"username": "b"}]}, 201, **undo)
    api("POST", "User/get-or-create", {"where": {"username": "g"}}, 201, **undo)
    assert api("GET", USERS).json()["rows"] == [{"id": 1, "username": "first", "email": None, "active": True, "age": None, "note": "-"}]


REFUSED = [
    ("POST", USERS, {"username": 5}, 422, "invalid_value"), ("POST", USERS, {}, 422, "not_null_violation"),
    ("POST", USERS, {"username": "a", "nope": 1}, 422, "unknown_column"), ("POST", USERS, [], 400, "invalid_request"),
    ("POST", USERS, "x", 400, "invalid_request"), ("PUT", f"{USERS}/1", [], 400, "invalid_request"), ("PATCH", f"{USERS}/1", 5, 400, "invalid_request"),
    ("PUT", f"{USERS}/x", {"username": "a"}, 404, "record_not_found"), ("GET", f"{USERS}/x", None, 404, "record_not_found"),
    ("GET", f"{USERS}/1.5", None, 404, "record_not_found"), ("GET", f"{USERS}/99999999999999999999", None, 404, "record_not_found"),
    ("GET", f"{USERS}/1,2", None, 404, "record_not_found"), ("DELETE", f"{USERS}/x", None, 404, "record_not_found"),
    ("GET", "/v1/models/Nobody/records", None, 404, "model_not_found"), ("POST", "/v1/models/Nobody/records", {}, 404, "model_not_found"),
    ("GET", "/v1/models/Nobody/records/1", None, 404, "model_not_found"), ("PATCH", "/v1/models/Nobody/records/1", {}, 404, "model_not_found"),
    ("POST", f"{USERS}/1", {}, 405, "method_not_allowed"), ("DELETE", USERS, None, 405, "method_not_allowed"),
    ("PATCH", USERS, {}, 405, "method_not_allowed")]


def test_refusals(api):
    wrong = []
    for method, path, body, status, code in REFUSED:
        answer = api.client.request(method, path, body, params=api.using)
        if answer.status != status or answer.json()["code"] != code:
            wrong.append((method, path, body, status, code, answer.status, answer.body[:200]))
    assert not wrong, "\n".join(map(str, wrong))
    assert api.count("User") == 0


def test_odd_keys(api):
    """Text keys of every kind reach the record that they name."""
    for token in ("", "a b", "a/b", "ü😀", "100%", "a,b", "?x=1&y", "..", "%2F", "'", '"', "a+b", "#"):
        answer = api.client.post("/v1/models/Token/records", {"token": token, "user_id": len(token)}, params=api.using).expect(201)
        if token == "":
            continue
        if token != "..":
            assert api("GET", answer.header("Location")).json() == {"token": token, "user_id": len(token)}, token
        api("PATCH", answer.header("Location"), {"user_id": 99})
    assert api.count("Token") == 13
    assert api("GET", "Token/records", None).json()["row_count"] == 13
