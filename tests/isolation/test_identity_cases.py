"""The identity map and transactions, one request after the other: what is inside stays inside, what is committed is seen."""
import threading

import pytest

from support.matrix_paths import HOLDER, OWNER, THING, one, record
from support.process import wait_for
from support.tables import create_tables, insert, sql

NO_CACHE = {"Cache-Control": "no-cache"}


class Session:
    def __init__(self, conn):
        self.conn = conn
        self.client = conn.client.session(using=conn.name)

    def get(self, client=None, number=1, **headers):
        answer = (client or self.client).get(record(number), headers=headers)
        return answer.json()["n"] if answer.expect(404 if answer.status == 404 else 200).status == 200 else None

    def origin(self, client=None, number=1):
        return (client or self.client).get(record(number)).expect(200).header("Ferro-Identity")

    def begin(self, isolation=None, inside=None):
        return (inside or self.client).transaction(**({"isolation": isolation} if isolation else {}))

    @staticmethod
    def end(tx, how="commit", status=200):
        return tx.post(f"/v1/transactions/{tx.headers['Ferro-Transaction']}/{how}").expect(status)

    def behind(self, text):
        sql(self.conn.client, text, using=self.conn.name, verb="execute").expect(200)

    def stored(self, number=1):
        row = sql(self.conn.client, f"SELECT n FROM thing WHERE id = {number}", using=self.conn.name, verb="fetch-one").expect(200).json()["row"]
        return None if row is None else row["n"]


@pytest.fixture
def s(conn):
    create_tables(conn.client, conn.name, OWNER, THING, HOLDER)
    insert(conn.client, conn.name, "Owner", [{"id": 1}, {"id": 2}])
    insert(conn.client, conn.name, "Thing", [{"id": n, "n": 0, "owner_id": 1} for n in (1, 2)])
    session = Session(conn)
    yield session
    session.client.delete("/v1/session?rollback=true").expect(204)


INSIDE = {
    "patch": (("PATCH", record(1), {"n": 5}), 5),
    "put": (("PUT", record(1), {"n": 5, "owner_id": 1}), 5),
    "upsert": (("POST", "/v1/models/Thing/records?on_conflict=update", {"id": 1, "n": 5, "owner_id": 1}), 5),
    "bulk": (("POST", "/v1/models/Thing/records?on_conflict=update", {"records": [{"id": 1, "n": 5, "owner_id": 1}]}), 5),
    "update by query": (("POST", "/v1/query/update", {"query": one(1), "set": {"n": 5}}), 5),
    "raw": (("POST", "/v1/sql/execute", {"sql": "UPDATE thing SET n = 5 WHERE id = 1"}), 5),
    "batch": (("POST", "/v1/batch", {"steps": [{"op": "save", "model": "Thing", "pk": 1, "record": {"n": 5, "owner_id": 1}}]}), 5),
    "delete": (("DELETE", record(1), None), None),
    "delete by query": (("POST", "/v1/query/delete", one(1)), None),
    "cascade": (("DELETE", "/v1/models/Owner/records/1", None), None),
}


@pytest.mark.parametrize("outside", ["get", "no-cache", "refresh", "list"])
@pytest.mark.parametrize("write", INSIDE)
def test_a_commit_is_seen_whatever_was_read_meanwhile(s, write, outside):
    """Begin, write inside, read outside, commit: the next read outside shows what was committed."""
    request, after = INSIDE[write]
    s.get()
    tx = s.begin()
    tx.request(*request)
    assert s.get(tx) == after, "inside it is written"
    if outside == "get":
        assert s.get() == 0, "what is not committed stays inside"
    elif outside == "no-cache":
        assert s.get(**NO_CACHE) == 0
    elif outside == "refresh":
        assert s.client.post(record(1) + "/refresh").expect(200).json()["n"] == 0
    else:
        assert s.client.get("/v1/models/Thing/records?id=eq.1").expect(200).json()["rows"][0]["n"] == 0
    s.end(tx)
    assert s.get() == after


@pytest.mark.parametrize("write", INSIDE)
def test_a_rollback_leaves_nothing(s, write):
    tx = s.begin()
    tx.request(*INSIDE[write][0])
    s.get(tx), s.get()
    s.end(tx, "rollback")
    assert s.get() == 0


@pytest.mark.parametrize("how", ["managed", "raw"])
def test_back_to_a_savepoint(s, how):
    """What was written before it is still there, what was written after it is not, inside and then outside."""
    tx = s.begin()
    tx.patch(record(1), {"n": 3}).expect(200)
    if how == "managed":
        inner = s.begin(inside=tx)
    else:
        sql(tx, "SAVEPOINT mine", verb="execute").expect(200)
        inner = tx
    inner.patch(record(1), {"n": 4}).expect(200)
    inner.patch(record(2), {"n": 4}).expect(200)
    assert s.get(inner) == 4
    if how == "managed":
        s.end(inner, "rollback")
    else:
        sql(tx, "ROLLBACK TO SAVEPOINT mine", verb="execute").expect(200)
    assert (s.get(tx, 1), s.get(tx, 2)) == (3, 0)
    s.end(tx)
    assert (s.get(number=1), s.get(number=2)) == (3, 0)


def test_a_released_savepoint_shares_its_transactions_fate(s):
    for how, after in (("rollback", 0), ("commit", 4)):
        tx = s.begin()
        inner = s.begin(inside=tx)
        inner.patch(record(1), {"n": 4}).expect(200)
        s.end(inner)
        assert s.get(tx) == 4 and s.get() == 0
        s.end(tx, how)
        assert s.get() == after


def test_the_clients_own_commit(s):
    tx = s.begin()
    s.get()
    tx.patch(record(1), {"n": 4}).expect(200)
    sql(tx, "COMMIT", verb="execute").expect(200)
    assert s.get() == 4


def test_the_first_read_goes_to_the_database_where_it_protects(s, backend):
    s.get()
    for isolation in ("read_committed", "repeatable_read", "serializable"):
        s.behind("UPDATE thing SET n = n + 1 WHERE id = 1")
        outside = s.get()
        tx = s.begin(isolation)
        protects = isolation != "read_committed" or backend.name == "sqlite"
        assert s.origin(tx) == ("miss" if protects else "hit")
        assert s.get(tx) == (s.stored() if protects else outside)
        assert s.origin(tx) == "hit"
        inner = s.begin(inside=tx)
        assert s.origin(inner) == "hit", "a savepoint is a map over its transaction's"
        s.end(tx, "rollback")
        s.get()


def test_a_snapshot_does_not_refill_the_sessions_map(s):
    """A transaction that began before the session's own write reads rows older than it; they stay inside."""
    tx = s.begin("repeatable_read")
    assert s.get(tx, 2) == 0
    s.client.patch(record(1), {"n": 7}).expect(200)
    assert s.get(tx, 1) == 0 and s.get(tx, 1) == 0
    assert s.get() == 7
    s.end(tx)
    assert s.get() == 7


def test_a_lock_reads_the_database(s):
    s.get()
    s.behind("UPDATE thing SET n = 9 WHERE id = 1")
    assert s.get() == 0
    for isolation in ("read_committed", "repeatable_read"):
        tx = s.begin(isolation)
        rows = tx.post("/v1/query", one(1, lock="update")).expect(200).json()["rows"]
        assert [row["n"] for row in rows] == [9]
        assert s.get(tx) == 9, "it is what is mapped from then on"
        s.end(tx)
    assert s.get() == 9, "the session does not fall back"


def test_a_412_refreshes(s):
    old = s.client.get(record(1)).expect(200).header("ETag")
    s.behind("UPDATE thing SET n = 1 WHERE id = 1")
    for method, body in (("PATCH", {"n": 2}), ("PUT", {"n": 2, "owner_id": 1}), ("DELETE", None)):
        tag = s.client.get(record(1)).expect(200).header("ETag")
        s.behind("UPDATE thing SET n = n + 1 WHERE id = 1")
        s.client.request(method, record(1), body, headers={"If-Match": tag}).problem(412, "precondition_failed")
        fresh = s.client.get(record(1)).expect(200)
        assert fresh.header("ETag") not in (tag, old) and fresh.json()["n"] == s.stored()
        assert s.client.get(record(1), headers={"If-None-Match": fresh.header("ETag")}).status == 304
    s.client.patch(record(1), {"n": 50}, headers={"If-Match": fresh.header("ETag")}).expect(200)


def test_an_atomic_batch_that_fails_leaves_nothing(s):
    s.get()
    steps = [{"op": "save", "model": "Thing", "pk": 1, "record": {"n": 5, "owner_id": 1}},
             {"op": "create", "model": "Thing", "record": {"id": 77, "n": 5, "owner_id": 1}},
             {"op": "create", "model": "Thing", "record": {"id": 2, "n": 5, "owner_id": 1}}]
    s.client.post("/v1/batch", {"steps": steps}).problem(409, "unique_violation")
    assert s.get() == 0 and s.get(number=77) is None
    s.client.post("/v1/batch", {"steps": steps[:2]}, headers={"Prefer": "tx=rollback"}).expect(200)
    assert s.get() == 0 and s.get(number=77) is None
    s.client.post("/v1/batch", {"steps": steps[:2]}).expect(200)
    assert s.get() == 5 and s.get(number=77) == 5


def test_a_step_that_fails_when_it_is_committed_leaves_nothing(conn):
    """A deferred foreign key speaks at the commit of the step, after its row was given back."""
    note = {"model_name": "Note", "columns": [{"name": "id", "logical_type": "integer", "primary_key": True},
                                               {"name": "thing", "logical_type": "integer"}]}
    conn.client.put("/v1/models", {"models": [note]}).expect(200)
    for text in ("CREATE TABLE goal (id integer PRIMARY KEY)",
                 "CREATE TABLE note (id integer PRIMARY KEY, thing integer REFERENCES goal (id) DEFERRABLE INITIALLY DEFERRED)"):
        sql(conn.client, text, using=conn.name, verb="execute").expect(200)
    client = conn.client.session(using=conn.name)
    step = {"op": "create", "model": "Note", "record": {"id": 1, "thing": 99}}
    found = client.post("/v1/batch", {"atomic": False, "steps": [step]}).expect(200).json()["results"][0]
    assert found["error"]["code"] == "foreign_key_violation"
    client.get("/v1/models/Note/records/1").problem(404, "record_not_found")
    client.delete("/v1/session").expect(204)


def test_steps_of_a_batch_see_what_those_before_them_wrote(s):
    s.get()
    steps = [{"op": "get", "model": "Thing", "pk": 1},
             {"op": "update", "query": one(1), "set": {"n": 5}},
             {"op": "get", "model": "Thing", "pk": 1},
             {"op": "save", "model": "Thing", "pk": 1, "record": {"n": 6, "owner_id": 1}},
             {"op": "query", "query": one(1)},
             {"op": "get", "model": "Thing", "pk": 1}]
    results = s.client.post("/v1/batch", {"steps": steps}).expect(200).json()["results"]
    assert [results[i]["body"]["n"] for i in (0, 2, 5)] == [0, 5, 6] and results[4]["body"]["rows"][0]["n"] == 6
    assert s.get() == 6 and s.origin() == "hit"


def test_two_transactions_of_one_session(s, backend):
    """Each sees its own; the second to commit does not bring back what the first had read."""
    first = s.begin("read_committed")
    second = s.begin("read_committed")
    assert s.get(second) == 0
    first.patch(record(1), {"n": 1}).expect(200)
    assert s.get(first) == 1 and s.get(second) == 0 and s.get() == 0
    s.end(first)
    assert s.get() == 1
    if backend.name == "postgres":
        assert s.get(second) == 1, "at read_committed it is the session's own acknowledged write"
    s.end(second)
    assert s.get() == 1


def test_what_nobody_knows_of_is_asked_for(postgres_conn):
    """The database goes away under a write: whatever became of it, the map does not answer for it."""
    conn = postgres_conn
    create_tables(conn.client, conn.name, OWNER, THING, HOLDER)
    insert(conn.client, conn.name, "Owner", [{"id": 1}])
    insert(conn.client, conn.name, "Thing", [{"id": n, "n": 0, "owner_id": 1} for n in (1, 2)])
    conn.backend.pg.psql("CHECKPOINT")  # this server does not wait for its disk
    s = Session(conn)
    assert s.get(number=1) == s.get(number=2) == 0
    holder = conn.client.transaction(using=conn.name)
    sql(holder, "UPDATE thing SET n = 8 WHERE id = 1", verb="execute").expect(200)
    answers = []
    with s.client.clone() as other:
        writer = threading.Thread(target=lambda: answers.append(other.patch(record(1), {"n": 5})))
        writer.start()
        waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        wait_for(lambda: sql(conn.client, waiting, using=conn.name).expect(200).json()["rows"], 20, "a write that waits")
        conn.backend.pg.kill()
        writer.join()
    conn.backend.pg.start()
    assert answers[0].problem(503, "database_unavailable")["outcome"] == "unknown"
    wait_for(lambda: conn.client.post(f"/v1/connections/{conn.name}/check").status == 200, 20, "the database")
    assert s.origin(number=2) == "miss", "its model is out"
    assert s.get(number=1) == s.stored(1) == 0
    s.client.delete("/v1/session").expect(204)


def test_a_lock_in_an_atomic_batch(s):
    s.get()
    s.behind("UPDATE thing SET n = 9 WHERE id = 1")
    steps = [{"op": "query", "query": one(1, lock="update")}, {"op": "get", "model": "Thing", "pk": 1}]
    found = s.client.post("/v1/batch", {"steps": steps}).expect(200).json()["results"]
    assert found[0]["body"]["rows"][0]["n"] == found[1]["body"]["n"] == 9
    assert s.get() == 9
