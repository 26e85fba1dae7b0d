"""Counters, lists and races through one session's identity map: what is acknowledged is there, once."""
import threading
import uuid

import pytest

from support.matrix_paths import HOLDER, OWNER, THING, one, record
from support.tables import create_tables, insert, sql

AGAIN = {"serialization_failure", "transaction_aborted", "database_busy", "pool_timeout", "transaction_ended", "precondition_failed",
         "too_many_requests"}
CLIENTS, ROUNDS = 6, 8
LEVELS = ["read_committed", "repeatable_read", "serializable"]
LOG = {"model_name": "Log", "columns": [{"name": "id", "logical_type": "integer", "primary_key": True},
                                         {"name": "items", "logical_type": "string"}]}
TAG = {"model_name": "Tag", "columns": [{"name": "id", "logical_type": "integer", "primary_key": True},
                                         {"name": "name", "logical_type": "string", "unique": True}]}
# a join table with a key of its own and none over the pair
LINK = {"model_name": "Link", "table_name": "link", "columns": [
    {"name": "id", "logical_type": "integer", "primary_key": True},
    {"name": "thing_id", "logical_type": "integer"}, {"name": "tag_id", "logical_type": "integer"}]}
LINKED = {**THING, "relations": [{"name": "tags", "kind": "many_to_many", "target": "Tag", "through": "link",
                                  "source_column": "thing_id", "target_column": "tag_id"}]}
TAGGED = {**TAG, "relations": [{"name": "things", "kind": "many_to_many", "target": "Thing", "through": "link",
                                "source_column": "tag_id", "target_column": "thing_id"}]}


@pytest.fixture
def session(conn):
    create_tables(conn.client, conn.name, OWNER, LINKED, HOLDER, LOG, TAGGED, LINK)
    insert(conn.client, conn.name, "Owner", [{"id": 1}])
    insert(conn.client, conn.name, "Thing", [{"id": 1, "n": 0, "owner_id": 1}])
    insert(conn.client, conn.name, "Log", [{"id": 1, "items": ""}])
    insert(conn.client, conn.name, "Tag", [{"id": n, "name": f"t{n}"} for n in range(1, 9)])
    client = conn.client.session(using=conn.name)
    client.validate = False
    yield client
    client.delete("/v1/session?rollback=true").expect(204)


@pytest.fixture
def two(conn, session):
    """Two sessions, each of which has the record as it was at first."""
    other = conn.client.session(using=conn.name)
    other.validate = False
    for client in (session, other):
        client.get(record(1)).expect(200)
    yield [session, other]
    other.delete("/v1/session?rollback=true").expect(204)


def fresh(client):
    return client.get(record(1), headers={"Cache-Control": "no-cache"}).expect(200).json()["n"]


def together(sessions, n, work):
    """work(client, i) on n clients of the sessions at once; their results. A failure of one is that of all."""
    sessions = sessions if isinstance(sessions, list) else [sessions]
    results, faults = [None] * n, []
    gate = threading.Barrier(n)

    def run(i):
        try:
            with sessions[i % len(sessions)].clone() as client:
                gate.wait(30)
                results[i] = work(client, i)
        except Exception as e:  # noqa: BLE001
            faults.append(repr(e))
    threads = [threading.Thread(target=run, args=(i,)) for i in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults, faults[:3]
    return results


def transact(client, isolation, work):
    """True: committed. False: the database refused, and nothing of it has remained."""
    begun = client.post("/v1/transactions", {"isolation": isolation})
    if begun.status != 201:
        assert begun.json()["code"] in AGAIN, begun.body
        return False
    tx = client.clone(Ferro_Transaction=begun.json()["transaction_id"])
    path = f"/v1/transactions/{begun.json()['transaction_id']}"
    with tx:
        for answer in work(tx):
            if answer.status >= 400:
                assert answer.json()["code"] in AGAIN, answer.body
                tx.post(path + "/rollback")
                return False
        end = tx.post(path + "/commit")
    assert end.status == 200 or end.json()["code"] in AGAIN, end.body
    return end.status == 200


def retried(client, isolation, work):
    """How often it was committed: once, after as many tries as that takes."""
    for _ in range(200):
        if transact(client, isolation, work):
            return 1
    return 0


def stored(conn, text):
    return sql(conn.client, text, using=conn.name, verb="fetch-one").expect(200).json()["row"]["v"]


@pytest.mark.parametrize("isolation", LEVELS)
def test_locked_increments(conn, two, isolation):
    def increment(tx):
        answer = tx.post("/v1/query/first", one(1, lock="update"))
        yield answer
        yield tx.patch(record(1), {"n": answer.json()["row"]["n"] + 1})
    acked = sum(together(two, CLIENTS, lambda c, i: sum(retried(c, isolation, increment) for _ in range(ROUNDS))))
    assert acked == CLIENTS * ROUNDS and stored(conn, "SELECT n AS v FROM thing") == acked == fresh(two[0])


@pytest.mark.parametrize("isolation", ["repeatable_read", "serializable"])
def test_increments_of_what_was_read(conn, two, isolation):
    """What such a transaction has read by GET, the database protects: a hit would never have reached it."""

    def increment(tx):
        answer = tx.get(record(1))
        yield answer
        yield tx.patch(record(1), {"n": answer.json()["n"] + 1})
    acked = sum(together(two, CLIENTS, lambda c, i: sum(transact(c, isolation, increment) for _ in range(ROUNDS))))
    assert 0 < acked <= CLIENTS * ROUNDS and stored(conn, "SELECT n AS v FROM thing") == acked == fresh(two[0])


def test_if_match_increments(conn, two):
    """Each 412 leads on: the next read has the tag that counts."""
    def increment(client, _):
        done = 0
        for _ in range(2000):
            answer = client.get(record(1)).expect(200)
            written = client.patch(record(1), {"n": answer.json()["n"] + 1}, headers={"If-Match": answer.header("ETag")})
            assert written.status in (200, 412) or written.json()["code"] in AGAIN, written.body
            done += written.status == 200
            if done == ROUNDS:
                break
        return done
    acked = sum(together(two, CLIENTS, increment))
    assert acked == CLIENTS * ROUNDS and stored(conn, "SELECT n AS v FROM thing") == acked == fresh(two[0])


@pytest.mark.parametrize("isolation", LEVELS)
def test_lists_grow_by_what_was_acknowledged(conn, session, isolation):
    """List-append: every list that anybody sees is a beginning of the last one, and what is acknowledged is in it once."""
    seen = []

    def append(client, i):
        acked = []
        for k in range(ROUNDS):
            item = f"{i}.{k}"

            def work(tx):
                answer = (tx.post("/v1/query/first", {"model_name": "Log", "where": [], "lock": "update"}) if isolation == "read_committed"
                          else tx.get("/v1/models/Log/records/1"))
                yield answer
                row = answer.json().get("row", answer.json())
                seen.append(row["items"])
                yield tx.patch("/v1/models/Log/records/1", {"items": f"{row['items']} {item}".strip()})
            if transact(client, isolation, work):
                acked.append(item)
            seen.append(client.get("/v1/models/Log/records/1").expect(200).json()["items"])
        return acked
    acked = sum(together(session, CLIENTS, append), [])
    last = session.get("/v1/models/Log/records/1").expect(200).json()["items"]
    assert last == stored(conn, "SELECT items AS v FROM log")
    assert sorted(last.split()) == sorted(acked)
    for items in seen:
        assert last.split()[:len(items.split())] == items.split(), f"{items} is no beginning of {last}"


def test_what_many_write_at_once_is_read_as_it_is_stored(session):
    """PATCHes of one record that overlap: whichever the database took last is what the session reads."""
    for k in range(25):
        together(session, 4, lambda c, i: c.patch(record(1), {"n": 10 * k + i}).expect(200))
        mapped = session.get(record(1)).expect(200).json()["n"]
        assert mapped == session.get(record(1), headers={"Cache-Control": "no-cache"}).expect(200).json()["n"]


def test_one_put_wins(conn, session):
    """If-None-Match: * may only insert; without it one PUT makes the record and the others replace it."""
    for k in range(20):
        number = 1000 + k
        answers = together(session, 8, lambda c, i: c.put(
            record(number), {"n": i, "owner_id": 1}, headers={"If-None-Match": "*"}))
        assert sorted(a.status for a in answers) == [201] + [412] * 7
        winner = next(a for a in answers if a.status == 201).json()["n"]
        assert winner == stored(conn, f"SELECT n AS v FROM thing WHERE id = {number}") == session.get(record(number)).json()["n"]
        answers = together(session, 8, lambda c, i: c.put(record(number + 100), {"n": i, "owner_id": 1}))
        assert sorted(a.status for a in answers) == [200] * 7 + [201]
        assert stored(conn, f"SELECT n AS v FROM thing WHERE id = {number + 100}") == session.get(record(number + 100)).json()["n"]


@pytest.mark.parametrize("unique", [True, False])
def test_one_get_or_create_creates(conn, session, unique):
    for k in range(10):
        name = uuid.uuid4().hex
        where = {"name": name} if unique else {"n": 5000 + k}
        path = f"/v1/models/{'Tag' if unique else 'Thing'}/get-or-create"
        more = {} if unique else {"owner_id": 1}
        answers = together(session, 8, lambda c, i: c.post(path, {"where": where, "defaults": more}))
        assert sorted(a.status for a in answers) == [200] * 7 + [201]
        assert len({a.json()["record"]["id"] for a in answers}) == 1


@pytest.mark.parametrize("ends", ["one", "both"])
def test_a_link_is_stored_once(conn, session, ends):
    """The join table has no key over the pair: those who add take turns, whichever end they come from."""
    for k in range(1, 9):
        def add(client, i):
            if ends == "one" or i % 2 == 0:
                return client.put("/v1/models/Thing/records/1/tags", {"ids": [k, 1 + k % 8]}).expect(200).json()["rows_affected"]
            return client.put(f"/v1/models/Tag/records/{k}/things", {"ids": [1]}).expect(200).json()["rows_affected"]
        together(session, 8, add)
        assert stored(conn, f"SELECT count(*) AS v FROM link WHERE tag_id = {k}") == 1
    assert stored(conn, "SELECT count(*) AS v FROM link") == 8
