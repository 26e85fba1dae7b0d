"""GET on a model's records: the filter grammar of URLs, order, pages, totals, partial selects, formats."""
import csv
import io
import json

import pytest

from support.shared import shared_fixture
from support.tables import PERSON, create_tables, insert

PEOPLE = [
    {"id": 1, "username": "taylor", "age": 30, "active": True, "balance": "10.5", "role": "admin", "created_at": "2020-01-01T00:00:00Z",
     "token": "3f4c4ca7-a7e7-40d6-8d83-8f4ddf3285e6", "payload": [{"x": 1}]},
    {"id": 2, "username": "jeff, jr", "age": 25, "active": False, "balance": "20", "role": "member", "created_at": "2030-01-01T00:00:00Z",
     "token": None, "payload": None},
    {"id": 3, "username": 'al"ice', "age": 35, "active": True, "balance": "0", "role": "member", "created_at": None, "token": None, "payload": "text"},
    {"id": 4, "username": "Al_ice%", "age": None, "active": False, "balance": None, "role": "owner", "created_at": None, "token": None, "payload": None},
    {"id": 5, "username": "Élodie+é", "age": -3, "active": True, "balance": "-1.25", "role": "", "created_at": None, "token": None, "payload": {}}]
RECORDS = "/v1/models/Person/records"


def prepare(conn):
    create_tables(conn.client, conn.name, PERSON)
    insert(conn.client, conn.name, "Person", PEOPLE)


_shared = shared_fixture(prepare)


@pytest.fixture
def conn(server, _shared):
    def get(params=(), status=200, **headers):
        pairs = list(params.items()) if isinstance(params, dict) else list(params)
        return _shared.client.get(RECORDS, params=pairs + [("using", _shared.name)],
                                  headers={k.replace("_", "-"): v for k, v in headers.items()}).expect(status)
    _shared.get = get
    return _shared


CASES = [
    ("age", "eq.30", [1]), ("age", "neq.30", [2, 3, 5]), ("age", "gt.25", [1, 3]), ("age", "gte.25", [1, 2, 3]), ("age", "lt.25", [5]),
    ("age", "lte.-3", [5]), ("age", "not.gt.25", [2, 5]), ("age", "not.eq.30", [2, 3, 5]), ("age", "is.null", [4]), ("age", "not.is.null", [1, 2, 3, 5]),
    ("age", "is.not_null", [1, 2, 3, 5]), ("age", "not.is.not_null", [4]), ("age", "in.(25,30,99)", [1, 2]), ("age", "not.in.(25,30)", [3, 5]),
    ("age", "in.()", []), ("username", "eq.taylor", [1]), ("username", "eq.jeff, jr", [2]), ("username", 'in.("jeff, jr","al\\"ice",x)', [2, 3]),
    ("username", "like.%ice%", [3, 4]), ("username", "like.Al\\_ice\\%", [4]), ("username", "not.like.%i%", [1, 2]), ("username", "ilike.ÉLODIE%", [5]),
    ("username", "not.ilike.%É", [1, 2, 3, 4]), ("username", "eq.Élodie+é", [5]), ("role", "eq.", [5]), ("role", "neq.", [1, 2, 3, 4]),
    ("role", "in.(admin,owner)", [1, 4]), ("active", "eq.true", [1, 3, 5]), ("active", "eq.false", [2, 4]), ("active", "is.true", [1, 3, 5]),
    ("active", "not.is.true", [2, 4]), ("active", "is.FALSE", [2, 4]), ("active", "eq.1", [1, 3, 5]), ("balance", "gte.10.50", [1, 2]), ("balance", "eq.20.0", [2]),
    ("created_at", "gt.2025-01-01T00:00:00Z", [2]), ("created_at", "eq.2019-12-31T19:00:00-05:00", [1]),
    ("token", "eq.3F4C4CA7-A7E7-40D6-8D83-8F4DDF3285E6", [1]), ("payload", "is.null", [2, 4]), ("id", "in.(5,1)", [1, 5]), ("id", "eq.1.5", None)]


def test_operators(conn):
    wrong = []
    for column, text, expected in CASES:
        answer = conn.client.get(RECORDS, params=[(column, text), ("order", "id"), ("using", conn.name)])
        got = [r["id"] for r in answer.json()["rows"]] if answer.status == 200 else None
        if got != expected or (expected is None and answer.status != 422):
            wrong.append((column, text, expected, got, answer.body[:200]))
    assert not wrong, "\n".join(map(str, wrong))
    page = conn.client.get(RECORDS, params={**conn.using, "limit": 1}).expect(200).json()
    answer = conn.client.get(RECORDS, params={**conn.using, "limit": 1, "offset": 1, "cursor": page["next_cursor"]})
    assert answer.problem(400, "invalid_parameters")["detail"].startswith('the query argument "offset"')


def test_several_conditions(conn):
    assert [r["id"] for r in conn.get([("age", "gte.25"), ("age", "lt.35"), ("active", "eq.true")]).json()["rows"]] == [1]


def test_order(conn):
    def ids(order):
        return [r["id"] for r in conn.get({"order": order}).json()["rows"]]
    assert ids("id.desc") == [5, 4, 3, 2, 1] and ids("role,age.desc") == [5, 1, 3, 2, 4]
    assert ids("age.nullsfirst") == [4, 5, 2, 1, 3] and ids("age.desc.nullslast,id") == [3, 1, 2, 5, 4]
    assert ids("active.desc,id.asc") == [1, 3, 5, 2, 4]


def test_pages_and_totals(conn):
    answer = conn.get({"order": "id", "limit": 2, "offset": 1}, Prefer="count=exact").json()
    assert [r["id"] for r in answer["rows"]] == [2, 3] and answer["row_count"] == 2 and answer["total"] == 5 and answer["next_cursor"]
    assert conn.get({"limit": 0}).json()["rows"] == []
    assert "total" not in conn.get({"limit": 2}).json()
    answer = conn.get({"age": "gt.0", "limit": 1}, Prefer="count=exact")
    assert answer.json()["total"] == 3 and "count=exact" in answer.header("Preference-Applied")
    assert "next_cursor" not in conn.get({"limit": 5}).json() and "next_cursor" not in conn.get().json()
    seen, cursor = [], None
    while cursor or not seen:
        page = conn.get({"order": "age.desc", "limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        seen += [r["id"] for r in page["rows"]]
        cursor = page.get("next_cursor")
    assert sorted(seen) == [1, 2, 3, 4, 5]


def test_select(conn):
    assert conn.get({"select": "username,id", "id": "eq.2"}).json()["rows"] == [{"username": "jeff, jr", "id": 2}]
    assert conn.get({"select": "age", "order": "id", "limit": 1}).json()["rows"] == [{"age": 30}]


def test_formats(conn):
    lines = conn.get({"order": "id", "select": "id,username"}, Accept="application/x-ndjson").text.splitlines()
    assert [json.loads(line) for line in lines] == [{"id": p["id"], "username": p["username"]} for p in PEOPLE] + [{"$end": {"row_count": 5}}]
    table = list(csv.reader(io.StringIO(conn.get({"order": "id", "select": "id,username,age"}, Accept="text/csv").text)))
    assert table == [["id", "username", "age"]] + [[str(p["id"]), p["username"], "" if p["age"] is None else str(p["age"])] for p in PEOPLE]
    conn.get(status=406, Accept="application/xml")


REFUSED = [
    ("nope", "eq.1", 422, "unknown_column"), ("order", "nope", 422, "unknown_column"), ("select", "id,nope", 422, "unknown_column"),
    ("age", "30", 400, "invalid_parameters"), ("age", "equals.30", 400, "invalid_parameters"), ("age", "eq", 400, "invalid_parameters"),
    ("age", "", 400, "invalid_parameters"), ("age", "in.1,2", 400, "invalid_parameters"), ("username", 'in.("a)', 400, "invalid_parameters"),
    ("age", "eq.x", 422, "invalid_value"), ("age", "in.(1,x)", 422, "invalid_value"), ("active", "eq.yes", 422, "invalid_value"),
    ("age", "is.true", 400, "invalid_parameters"), ("age", "is.maybe", 400, "invalid_parameters"), ("age", "like.3%", 400, "invalid_parameters"),
    ("username", "like.a\\", 422, "invalid_value"), ("payload", "gt.1", 400, "invalid_parameters"), ("limit", "-1", 400, "invalid_parameters"),
    ("limit", "x", 400, "invalid_parameters"), ("limit", "1.5", 400, "invalid_parameters"), ("limit", "", 400, "invalid_parameters"),
    ("offset", "-1", 400, "invalid_parameters"), ("order", "", 400, "invalid_parameters"), ("order", "age.sideways", 400, "invalid_parameters"),
    ("order", "age,,id", 400, "invalid_parameters"), ("select", "", 400, "invalid_parameters"), ("select", "id,id", 400, "invalid_parameters"),
    ("cursor", "garbage", 400, "invalid_parameters"), ("created_at", "gt.yesterday", 422, "invalid_value"), ("token", "eq.x", 422, "invalid_value")]


def test_refusals(conn):
    wrong = []
    for name, value, status, code in REFUSED:
        answer = conn.client.get(RECORDS, params=[(name, value), ("using", conn.name)])
        if answer.status != status or answer.json()["code"] != code:
            wrong.append((name, value, status, code, answer.status, answer.body[:250]))
    assert not wrong, "\n".join(map(str, wrong))


def test_filters_may_come_as_one_json_object(conn):
    """What clients generated from the description send where theirs does not know exploded form objects."""
    def ids(document, **more):
        answer = conn.get({"filter": document if isinstance(document, str) else json.dumps(document), "order": "id", **more})
        return [row["id"] for row in answer.json()["rows"]]
    assert ids({"age": "gte.30"}) == [1, 3]
    assert ids({"age": ["gte.25", "lt.35"], "role": "in.(admin,member)"}) == [1, 2]
    assert ids({"age": "gte.25"}, role="eq.admin") == [1]
    assert ids({}) == [1, 2, 3, 4, 5]
    for document in ('{"age": 5}', '{"age": ["gte.5", null]}', '{"age"', '{"age": "gte.5", "age": "lt.6"}'):
        conn.get({"filter": document}, status=400)
    conn.get({"filter": '{"shoe": "eq.1"}'}, status=422)
    conn.get({"filter": "eq.1"}, status=422)  # a column of that name, which there is not


def test_ndjson_ends_with_what_the_json_form_says_of_pages(conn):
    """As the description has it: `$end.next_cursor` goes on where the JSON form's would."""
    def end(params, **headers):
        return json.loads(conn.get(params, Accept="application/x-ndjson", **headers).text.splitlines()[-1])["$end"]
    params = {"order": "id", "select": "id", "limit": 2}
    first = end(params, Prefer="count=exact")
    assert (first["row_count"], first["total"], set(first)) == (2, 5, {"row_count", "total", "next_cursor"})
    page = conn.get({**params, "cursor": first["next_cursor"]}).json()
    assert [row["id"] for row in page["rows"]] == [3, 4]
    assert set(end({**params, "cursor": first["next_cursor"]})) == {"row_count", "next_cursor", "prev_cursor"}
    assert set(end({**params, "cursor": page["next_cursor"]})) == {"row_count", "prev_cursor"}
