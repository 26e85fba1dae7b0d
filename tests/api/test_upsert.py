"""Upserts on chosen columns; get-or-create and update-or-create, atomic under concurrency."""
import threading

import pytest

from support.library import column, key, model
from support.shared import shared_tables
from support.tables import sql

USER = model("User", key(), column("username", "string", unique=True), column("team", "string", nullable=True), column("seat", "integer", nullable=True),
             column("active", "boolean", default=True), uniques=[{"columns": ["team", "seat"]}])
FREE = model("Free", key(), column("name", "string"), column("n", "integer", nullable=True))
RECORDS = "/v1/models/User/records"


_shared = shared_tables(USER, FREE)


@pytest.fixture
def conn(server, _shared):
    for table in ("user", "free"):
        sql(_shared.client, f'DELETE FROM "{table}"', using=_shared.name, verb="execute").expect(200)
    _shared.post = lambda path, body, status, **params: _shared.client.post(path, body, params={**_shared.using, **params}).expect(status)
    _shared.rows = lambda name="User": _shared.client.get(f"/v1/models/{name}/records", params={**_shared.using, "order": "id"}).expect(200).json()["rows"]
    return _shared


def test_upsert_on_the_key(conn):
    conn.post(RECORDS, {"id": 1, "username": "a", "team": "x"}, 201, on_conflict="update")
    row = conn.post(RECORDS, {"id": 1, "username": "b"}, 200, on_conflict="update").json()
    assert row["username"] == "b" and row["team"] == "x", "only what is given is written"
    assert len(conn.rows()) == 1
    answer = conn.post(RECORDS, {"id": 1, "username": "c"}, 200, on_conflict="ignore")
    assert answer.json()["username"] == "b" and answer.header("Location") is None
    conn.post(RECORDS, {"id": 1, "username": "c"}, 409)


def test_upsert_on_chosen_columns(conn):
    first = conn.post(RECORDS, {"username": "a", "team": "x", "seat": 1}, 201, on_conflict="update", conflict_columns="username").json()
    again = conn.post(RECORDS, {"username": "a", "team": "y"}, 200, on_conflict="update", conflict_columns="username").json()
    assert again == {**first, "team": "y"}
    moved = conn.post(RECORDS, {"username": "b", "team": "y", "seat": 1}, 200, on_conflict="update", conflict_columns="seat,team").json()
    assert moved["id"] == first["id"] and moved["username"] == "b"
    kept = conn.post(RECORDS, {"username": "b", "team": "z"}, 200, on_conflict="ignore", conflict_columns="username").json()
    assert kept == moved
    problem = conn.post(RECORDS, {"id": first["id"], "username": "new"}, 409, on_conflict="ignore", conflict_columns="username").json()
    assert problem["code"] == "unique_violation", "only the named conflict is ignored"


def test_bulk_upserts(conn):
    conn.post(RECORDS, {"records": [{"username": f"u{n}", "seat": n} for n in range(5)]}, 201)
    records = [{"username": f"u{n}", "seat": 100 + n} for n in range(3, 8)]
    assert conn.post(RECORDS, {"records": records}, 201, on_conflict="ignore", conflict_columns="username").json() == {"rows_inserted": 3}
    assert [r["seat"] for r in conn.rows()] == [0, 1, 2, 3, 4, 105, 106, 107]
    conn.post(RECORDS, {"records": records}, 201, on_conflict="update", conflict_columns="username")
    assert [r["seat"] for r in conn.rows()] == [0, 1, 2, 103, 104, 105, 106, 107]


REFUSED = [({"on_conflict": "replace"}, 400, "invalid_parameters"), ({"conflict_columns": "username"}, 400, "invalid_parameters"),
           ({"on_conflict": "update", "conflict_columns": "nope"}, 422, "unknown_column"),
           ({"on_conflict": "update", "conflict_columns": "username,username,username,username,username,username"}, 400, "invalid_parameters"),
           ({"on_conflict": "update", "conflict_columns": "active"}, (400, 422), None), ({"onconflict": "update"}, 400, "invalid_parameters")]


def test_refusals(conn):
    for params, status, code in REFUSED:
        answer = conn.client.post(RECORDS, {"username": "a"}, params={**conn.using, **params})
        assert answer.status in (status if isinstance(status, tuple) else (status,)), (params, answer.body)
        assert code is None or answer.json()["code"] == code, (params, answer.body)
    assert conn.rows() == []


def test_get_or_create(conn):
    """CRUD-21, CRUD-22: defaults do not touch what is there."""
    made = conn.post("/v1/models/User/get-or-create", {"where": {"username": "new"}, "defaults": {"active": False}}, 201)
    assert made.json()["created"] and made.json()["record"]["active"] is False and made.header("Location") and made.header("ETag")
    again = conn.post("/v1/models/User/get-or-create", {"where": {"username": "new"}, "defaults": {"active": True, "team": "t"}}, 200)
    assert again.json() == {"record": made.json()["record"], "created": False} and again.header("Location") is None
    assert again.header("ETag") == made.header("ETag")
    by_null = conn.post("/v1/models/User/get-or-create", {"where": {"team": None, "username": "new"}}, 200).json()
    assert by_null["record"] == made.json()["record"]


def test_update_or_create(conn):
    """CRUD-23, CRUD-36."""
    made = conn.post("/v1/models/User/update-or-create", {"where": {"username": "up"}, "defaults": {"active": True}}, 201).json()
    changed = conn.post("/v1/models/User/update-or-create", {"where": {"username": "up"}, "defaults": {"active": False, "team": "t"}}, 200).json()
    assert changed == {"record": {**made["record"], "active": False, "team": "t"}, "created": False}
    same = conn.post("/v1/models/User/update-or-create", {"where": {"username": "up"}}, 200).json()
    assert same == changed
    renamed = conn.post("/v1/models/User/update-or-create", {"where": {"team": "t"}, "defaults": {"username": "renamed"}}, 200).json()
    assert renamed["record"]["username"] == "renamed" and len(conn.rows()) == 1
    conn.post("/v1/models/User/update-or-create", {"where": {"team": "t"}, "defaults": {"username": None}}, 422)


@pytest.mark.parametrize("verb", ["get-or-create", "update-or-create"])
def test_bodies_that_are_none(conn, verb):
    wrong = []
    for body, status, pointer in [
            ({}, 400, "/where"), ({"where": {}}, 400, "/where"), ({"where": []}, 400, "/where"), ({"where": {"username": "a"}, "defaults": 5}, 400, "/defaults"),
            ({"where": {"username": "a"}, "default": {}}, 400, "/default"), ({"where": {"nope": 1}}, 422, "/where/nope"),
            ({"where": {"username": 5}}, 422, "/where/username"), ({"where": {"username": "a"}, "defaults": {"nope": 1}}, 422, "/defaults/nope"),
            ({"where": {"username": "a"}, "defaults": {"seat": "x"}}, 422, "/defaults/seat"), ({"where": {"seat": 1}}, 422, None)]:
        answer = conn.client.post(f"/v1/models/User/{verb}", body, params=conn.using)
        if answer.status != status or (pointer is not None and pointer not in answer.pointers()):
            wrong.append((body, status, pointer, answer.status, answer.body[:300]))
    assert not wrong, "\n".join(map(str, wrong))
    assert conn.rows() == []


def race(conn, work, n=8):
    """Runs work(client, number) on n clients at once; returns what they returned."""
    barrier, results, faults = threading.Barrier(n), [None] * n, []

    def run(number):
        try:
            with conn.client.clone() as c:
                c.validate = False
                barrier.wait()
                results[number] = work(c, number)
        except Exception as e:  # pylint: disable=broad-except
            faults.append(repr(e))
    threads = [threading.Thread(target=run, args=(number,)) for number in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults, faults[:2]
    return results


@pytest.mark.parametrize("body, name", [({"where": {"username": "r"}}, "User"), ({"where": {"team": "t", "seat": 1}, "defaults": {"username": "r"}}, "User"),
                                        ({"where": {"id": 7}, "defaults": {"username": "r"}}, "User"), ({"where": {"name": "no unique key"}}, "Free")])
@pytest.mark.parametrize("verb", ["get-or-create", "update-or-create"])
def test_races(conn, verb, body, name):
    """Exactly one creates, with a unique key in `where` or without; the others get what it made."""
    for turn in range(3):
        sql(conn.client, f'DELETE FROM "{name.lower()}"', using=conn.name, verb="execute").expect(200)
        answers = race(conn, lambda c, _: c.post(f"/v1/models/{name}/{verb}", body, params=conn.using))
        assert sorted(a.status for a in answers) == [200] * 7 + [201], (turn, [a.body[:200] for a in answers if a.status not in (200, 201)])
        assert len({a.json()["record"]["id"] for a in answers}) == 1 and len(conn.rows(name)) == 1


def test_racing_updates_are_all_seen(conn):
    """Every update-or-create is one step: the last one's defaults stand, and nobody's row is doubled."""
    answers = race(conn, lambda c, n: c.post("/v1/models/Free/update-or-create", {"where": {"name": "x"}, "defaults": {"n": n}}, params=conn.using))
    rows = conn.rows("Free")
    assert len(rows) == 1 and rows[0]["n"] in range(8) and all(a.status in (200, 201) for a in answers)
    assert sorted(a.json()["record"]["n"] for a in answers) == list(range(8))


@pytest.mark.parametrize("verb", ["get-or-create", "update-or-create"])
@pytest.mark.parametrize("there", [False, True])
def test_faults_of_defaults_do_not_depend_on_the_row(conn, verb, there):
    if there:
        conn.post(RECORDS, {"username": "a"}, 201)
    body = {"where": {"username": "a"}}
    for defaults, code, pointer in (({"nope": 1}, "unknown_column", "/defaults/nope"), ({"seat": "x"}, "invalid_value", "/defaults/seat"),
                                    ({"active": None}, "not_null_violation", "/defaults/active")):
        answer = conn.post(f"/v1/models/User/{verb}", {**body, "defaults": defaults}, 422).expect(422, code)
        assert answer.pointers() == [pointer]
    assert len(conn.rows()) == there
