"""Bulk create: any number of rows, one transaction, absent keys are defaults, given ids kept, generated ones returned."""
import json

import pytest

from support.library import column, key, model
from support.shared import shared_tables
from support.tables import leaf, query, sql

ITEM = model("Item", key(), column("name", "string", nullable=True), column("n", "integer", nullable=True), column("flag", "boolean", default=True),
             column("code", "string", nullable=True, unique=True))
RECORDS = "/v1/models/Item/records"
LINES = {"Content-Type": "application/x-ndjson"}


_shared = shared_tables(ITEM)


@pytest.fixture
def conn(server, _shared):
    sql(_shared.client, "DELETE FROM item", using=_shared.name, verb="execute").expect(200)
    _shared.post = lambda body=None, status=201, **kwargs: _shared.client.post(RECORDS, body, params=_shared.using, **kwargs).expect(status)
    _shared.count = lambda *where: query(_shared.client, "Item", where, "/count", _shared.name).expect(200).json()["count"]
    return _shared


def test_counts(conn):
    """CRUD-19, CRUD-20: as many rows as were sent; none is no error."""
    assert conn.post({"records": []}).json() == {"rows_inserted": 0}
    assert conn.post({"records": [{"name": f"user{n}"} for n in range(1, 4)]}).json() == {"rows_inserted": 3}
    assert conn.post({"records": [{}]}).json() == {"rows_inserted": 1}
    assert conn.post({"records": [{}, {}, {}]}).json() == {"rows_inserted": 3}
    assert conn.count() == 7


def test_union_of_keys(conn):
    """An absent key is the column's default, whatever other rows have; null stays null."""
    records = [{"name": "a"}, {"n": 2, "flag": False}, {}, {"name": None, "n": None}, {"code": "c"}, {"name": "a2"}]
    answer = conn.post({"records": records}, headers={"Prefer": "return=representation"}).json()
    assert answer["rows_inserted"] == 6
    got = [{k: v for k, v in r.items() if k != "id"} for r in answer["records"]]
    assert got == [{"name": None, "n": None, "flag": True, "code": None, **r} for r in records]
    ids = [r["id"] for r in answer["records"]]
    assert len(set(ids)) == 6 and ids == sorted(ids)


def test_given_ids_are_kept(conn):
    answer = conn.post({"records": [{"id": 500}, {"name": "x"}, {"id": 400}, {"id": None}]}, headers={"Prefer": "return=representation"}).json()
    ids = [r["id"] for r in answer["records"]]
    assert ids[0] == 500 and ids[2] == 400 and len(set(ids)) == 4
    assert conn.post({"name": "next"}).json()["id"] > 500


def test_many_rows_of_every_form(conn):
    """More rows than a statement takes, of changing columns; answered in the order sent."""
    records = [{"name": f"n{n}"} if n % 1000 < 500 else {"n": n, "name": f"n{n}"} for n in range(7000)]
    answer = conn.post({"records": records}, headers={"Prefer": "return=representation"}).json()
    assert answer["rows_inserted"] == 7000 and [r["name"] for r in answer["records"]] == [f"n{n}" for n in range(7000)]
    assert conn.count(leaf("n", "IS NOT NULL")) == 3500
    raw = "".join(json.dumps({"name": f"line {n}"}) + "\n" for n in range(40000)).encode()
    assert conn.post(raw=raw, headers=LINES).json() == {"rows_inserted": 40000}
    assert conn.count() == 47000


def test_one_transaction(conn):
    """A fault anywhere leaves nothing behind, and says where it is."""
    good = [{"code": f"c{n}"} for n in range(3000)]
    for bad, status, code, pointer in [
            ({"n": "x"}, 422, "invalid_value", "/records/3000/n"), ({"nope": 1}, 422, "unknown_column", "/records/3000/nope"),
            ({"flag": None}, 422, "not_null_violation", "/records/3000/flag"), ({"code": "c7"}, 409, "unique_violation", None),
            (5, 400, "invalid_request", "/records/3000"), ([], 400, "invalid_request", "/records/3000")]:
        answer = conn.post({"records": good + [bad]}, status)
        assert answer.json()["code"] == code, answer.body
        assert pointer is None or answer.pointers() == [pointer], answer.body
        assert conn.count() == 0
    inside = conn.client.transaction(using=conn.name)
    inside.post(RECORDS, {"records": good}).expect(201)
    inside.post(f"/v1/transactions/{inside.headers['Ferro-Transaction']}/rollback").expect(200)
    assert conn.count() == 0


def test_lines(conn):
    assert conn.post(raw=b'{"n": 1}\n\n{"n": 2}\r\n  {"n": 3}', headers=LINES).json() == {"rows_inserted": 3}
    assert conn.post(raw='{"name": "ü\u2028😀"}\n'.encode(), headers=LINES).json() == {"rows_inserted": 1}
    assert conn.count(leaf("name", "==", "ü\u2028😀")) == 1
    before = conn.count()
    for raw, status, code in [(b'{"n": 1}\n{"n": 2', 400, "invalid_json"), (b'{"n": 1}\n[]\n', 400, "invalid_request"),
                              (b'{"n": 1} {"n": 2}\n', 400, "invalid_json"), (b'{"n": 1}\n{"n": "x"}\n', 422, "invalid_value"),
                              (b'{"name": "\xff"}\n', 400, "invalid_json")]:
        answer = conn.post(raw=raw, status=status, headers=LINES)
        assert answer.json()["code"] == code, (raw, answer.body)
    assert conn.count() == before


def test_undone(conn):
    answer = conn.post({"records": [{"name": "a"}, {"name": "b"}]}, headers={"Prefer": "tx=rollback, return=representation"})
    assert [r["name"] for r in answer.json()["records"]] == ["a", "b"] and conn.count() == 0


def test_int64(conn):
    answer = conn.post({"records": [{"id": 2 ** 53 + 1}]}, headers={"Prefer": "return=representation, int64=string"}) \
        if conn.backend.name == "sqlite" else None
    if answer is not None:
        assert answer.json()["records"][0]["id"] == str(2 ** 53 + 1)
