"""A connection that is cut while something commits: the database is asked what became of it."""
import uuid

import pytest

from support.client import Client
from support.cutter import Cutter, runs
from support.process import wait_for

ITEM = {"model_name": "Item", "columns": [{"name": "id", "logical_type": "integer", "primary_key": True}]}


@pytest.fixture
def cut(server, postgres_backend):
    cutter = Cutter(postgres_backend.pg.port)
    with Client(server.port, timeout=60) as client:
        postgres_backend.pg.psql("CREATE TABLE item (id int PRIMARY KEY)", postgres_backend.database)
        url = f"postgres://ferrod@127.0.0.1:{cutter.own_port}/{postgres_backend.database}?sslmode=disable&gssencmode=disable"
        client.post("/v1/connections", {"name": "cut", "url": url, "default": True, "pool": {
            "max_connections": 1, "acquire_timeout_seconds": 2}}).expect(201)
        client.put("/v1/models", {"models": [ITEM]}).expect(200)
        cutter.client = client
        cutter.written = lambda: postgres_backend.pg.psql("SELECT count(*) FROM item WHERE id = 1", postgres_backend.database)
        cutter.tables = lambda: postgres_backend.pg.psql("SELECT count(*) FROM pg_tables WHERE tablename = 'made'", postgres_backend.database)
        cutter.count = lambda: postgres_backend.pg.psql("SELECT count(*) FROM item", postgres_backend.database)
        yield cutter
        client.delete("/v1/connections/cut?force=true")
        client.put("/v1/default-connection", {"name": "default"}).expect(200)
    cutter.listener.close()


def begin(client):
    tx = client.post("/v1/transactions").expect(201).json()["transaction_id"]
    client.post("/v1/models/Item/records", {"id": 1}, headers={"Ferro-Transaction": tx}).expect(201)
    return f"/v1/transactions/{tx}"


@pytest.mark.parametrize("when, state, rows", [("after", "committed", "1"), ("before", "rolled_back", "0")])
def test_the_failing_answer_says_what_became_of_it(cut, when, state, rows):
    path = begin(cut.client)
    cut.cut = when
    problem = cut.client.post(path + "/commit").problem(503, "database_unavailable")
    assert problem["outcome"] == state
    assert cut.count() == rows
    assert cut.client.get(path).expect(200).json()["state"] == state
    if state == "committed":
        assert cut.client.post(path + "/commit").expect(200).json() == {"state": "committed"}


def test_what_cannot_be_asked_at_once_is_asked_later(cut):
    path = begin(cut.client)
    cut.cut, cut.down = "after", True
    problem = cut.client.post(path + "/commit").problem(503, "database_unavailable")
    assert problem["outcome"] == "unknown"
    cut.down = False
    wait_for(lambda: cut.client.get(path).expect(200).json()["state"] == "committed", 20, "the answer")


# what a request with an Idempotency-Key may be: road -> path, body
ROADS = {
    "create": ("/v1/models/Item/records", {"id": 1}),
    "bulk": ("/v1/models/Item/records", {"records": [{"id": 1}]}),
    "get-or-create": ("/v1/models/Item/get-or-create", {"where": {"id": 1}}),
    "update": ("/v1/query/update?all=true", {"query": {"model_name": "Item"}, "set": {"id": 1}}),
    "batch": ("/v1/batch", {"steps": [{"op": "create", "model": "Item", "record": {"id": 1}}]}),
    "raw": ("/v1/sql/execute", {"sql": "INSERT INTO item VALUES (1)"}),
    "raw-rows": ("/v1/sql/fetch-all", {"sql": "INSERT INTO item VALUES (1) RETURNING id"}),
    "raw-select": ("/v1/sql/fetch-one", {"sql": "SELECT put()"}),
    "raw-ddl": ("/v1/sql/execute", {"sql": "CREATE TABLE made AS SELECT 1 AS n"}),
}


@pytest.fixture
def cut_road(cut, request):
    cut.sql = lambda sql: cut.client.post("/v1/sql/execute", {"sql": sql}).expect(200)
    cut.sql("CREATE FUNCTION put() RETURNS int LANGUAGE sql AS 'INSERT INTO item VALUES (1) RETURNING id'")
    if request.node.callspec.params["road"] == "update":
        cut.sql("INSERT INTO item VALUES (7)")
    cut.stands = lambda: cut.written() == "1"
    if request.node.callspec.params["road"] == "raw-ddl":
        cut.stands = lambda: cut.tables() == "1"
    return cut


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("when", ["after", "before"])
def test_a_write_with_a_key_learns_what_became_of_it(cut_road, road, when):
    cut, headers = cut_road, {"Idempotency-Key": uuid.uuid4().hex}
    path, body = ROADS[road]
    cut.client.get("/v1/models/Item/records").expect(200)
    cut.cut = when
    problem = cut.client.post(path, body, headers=headers).problem(503, "database_unavailable")
    assert problem["outcome"] == ("committed" if when == "after" else "rolled_back"), problem
    assert cut.stands() == (when == "after")
    again = cut.client.post(path, body, headers=headers)
    if when == "after":
        assert again.problem(422, "idempotency_key_reused")["outcome"] == "committed"
    else:
        assert again.status in (200, 201), again.body
    assert cut.stands()


@pytest.mark.parametrize("when", ["after", "before"])
def test_a_retry_with_the_key_asks_again(cut, when):
    """What could not be asked at once is asked by the next request with the key, which runs if nothing was done."""
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    path, body = ROADS["create"]
    cut.client.get("/v1/models/Item/records").expect(200)
    cut.cut, cut.down = when, True
    assert cut.client.post(path, body, headers=headers).problem(503, "database_unavailable")["outcome"] == "unknown"
    assert cut.client.post(path, body, headers=headers).problem(422, "idempotency_key_reused")["outcome"] == "unknown"
    cut.down = False

    def known():
        again = cut.client.post(path, body, headers=headers)
        return again if again.status == 201 or again.json()["outcome"] != "unknown" else None
    again = wait_for(known, 20, "an answer")
    if when == "after":
        assert again.problem(422, "idempotency_key_reused")["outcome"] == "committed"
    else:
        again.expect(201)
    assert cut.count() == "1"


@pytest.mark.parametrize("road", ["create", "raw"])
def test_another_quick_write_stays_unknown_and_costs_nothing_more(cut, road):
    """Without a key nobody asks: the statement is a commit of its own, with one round trip."""
    path, body = ROADS[road]
    cut.client.post(path, {**body, **({"id": 4} if road == "create" else {})}).expect(200 if road == "raw" else 201)
    seen = cut.statements = []
    cut.client.post(path, {**body, **({"id": 5} if road == "create" else {"sql": "INSERT INTO item VALUES (5)"})}).expect(200 if road == "raw" else 201)
    assert seen and not any(b"current_xact_id_if_assigned()" in s or b"COMMIT" in s for s in seen), seen


def test_statements_that_run_in_no_transaction_do_with_a_key(cut):
    for sql in ("VACUUM item", "CREATE INDEX CONCURRENTLY item_i ON item (id)", "DO 'BEGIN COMMIT; END'", "REINDEX TABLE CONCURRENTLY item",
                "DROP INDEX CONCURRENTLY IF EXISTS item_none", "CREATE OR REPLACE PROCEDURE ended() LANGUAGE plpgsql AS 'BEGIN COMMIT; END'", "CALL ended()", "DROP PROCEDURE IF EXISTS ended"):
        cut.client.post("/v1/sql/execute", {"sql": sql}, headers={"Idempotency-Key": uuid.uuid4().hex}).expect(200)
        steps = {"atomic": False, "steps": [{"op": "sql.execute", "sql": sql.replace("item_i", "item_j")}]}
        results = cut.client.post("/v1/batch", steps, headers={"Idempotency-Key": uuid.uuid4().hex}).expect(200).json()["results"]
        assert results[0]["status"] == 200, results


@pytest.mark.parametrize("when, truth", [("after", "committed"), ("before", "rolled_back")])
@pytest.mark.parametrize("alone", [True, False])
def test_a_commit_that_travelled_with_its_statement(cut, when, truth, alone):
    """`Ferro-Transaction-End: commit`: one flight for both. What the answer says is true, or that nobody knows; so is what is asked
    later."""
    tx = None if alone else cut.client.post("/v1/transactions").expect(201).json()["transaction_id"]
    headers = {"Ferro-Transaction": tx or "new", "Ferro-Transaction-End": "commit"}
    cut.cut = when
    problem = cut.client.post("/v1/sql/execute", {"sql": "INSERT INTO item VALUES (1)"}, headers=headers).problem(
        503, "database_unavailable")
    assert problem["outcome"] in (truth, "unknown"), problem
    wait_for(lambda: cut.count() == ("1" if when == "after" else "0"), 20, "the server's own end")
    if tx:
        assert cut.client.get(f"/v1/transactions/{tx}").expect(200).json()["state"] in (truth, "unknown")


PUT = "INSERT INTO item VALUES ({})"
MARK = b"pg_current_xact_id_if_assigned()"
RUN = b"E\0\0\0\t\0\0\0\0\0"  # Execute, of all rows


def execute(cut, work, **headers):
    """work: a text, or a number to put in."""
    body = {"sql": PUT.format("$1"), "args": [work]} if isinstance(work, int) else {"sql": work}
    return cut.client.post("/v1/sql/execute", body, headers={k.replace("_", "-"): v for k, v in headers.items()})


def two_requests(cut, first, last, between=None):
    """A transaction of them: its end, and what went to the server."""
    del cut.statements[:]
    tx = execute(cut, first, Ferro_Transaction="new").expect(200).header("Ferro-Transaction")
    if between:
        execute(cut, between, Ferro_Transaction=tx).expect(200)
    end = execute(cut, last, Ferro_Transaction=tx, Ferro_Transaction_End="commit")
    return end, [s for s in list(cut.statements) if s]


@pytest.mark.parametrize("when, truth", [("after", "committed"), ("before", "rolled_back")])
def test_a_mark_that_came_with_the_first_statement(cut, when, truth):
    """Two flights, and what the first one told is enough to ask by."""
    for n in range(10, 20, 2):  # by the last one all is prepared and proven
        end, seen = two_requests(cut, n, n + 1)
        end.expect(200)
    assert len(seen) == 2 and runs(seen[0], b"BEGIN") and runs(seen[1], b"COMMIT"), seen
    assert (seen[0].count(RUN), seen[1].count(RUN)) == (3, 2), seen
    tx = execute(cut, 20, Ferro_Transaction="new").expect(200).header("Ferro-Transaction")
    cut.cut = when
    problem = execute(cut, 1, Ferro_Transaction=tx, Ferro_Transaction_End="commit").problem(503, "database_unavailable")
    assert problem["outcome"] == truth, problem
    assert cut.count() == ("12" if when == "after" else "10")
    assert cut.client.get(f"/v1/transactions/{tx}").expect(200).json()["state"] == truth


def test_a_mark_is_asked_for_again_where_it_may_have_changed(cut):
    """A setting decides what a commit waits for: behind what may have set it another look is taken, with COMMIT."""
    for n in range(10, 30, 2):
        end, seen = two_requests(cut, n, n + 1, "SET LOCAL synchronous_commit = off")
        end.expect(200)
        commit = [s for s in seen if runs(s, b"COMMIT")]
        assert len(commit) == 1 and MARK in commit[0], seen
    assert cut.count() == "20"


@pytest.mark.parametrize("road", ["transaction", "batch", "autocommit"])
def test_words_that_were_forgotten_behind_our_back(cut, road):
    """A function of the client's own forgets what is prepared: nothing after it fails."""
    cut.client.post("/v1/sql/execute", {"sql": "CREATE FUNCTION forget() RETURNS int LANGUAGE plpgsql AS "
                                               "$$ BEGIN EXECUTE 'DEALLOCATE ALL'; RETURN 1; END $$"}).expect(200)
    n = iter(range(10, 1000))

    def work():
        for _ in range(3):
            two_requests(cut, next(n), next(n))[0].expect(200)
            steps = [{"op": "sql.execute", "sql": "INSERT INTO item VALUES ($1)", "args": [next(n)]} for _ in range(2)]
            cut.client.post("/v1/batch", {"steps": steps}).expect(200)

    for _ in range(3):
        work()
        if road == "transaction":
            two_requests(cut, next(n), PUT.format(next(n)), "SELECT forget()")[0].expect(200)
            two_requests(cut, "SELECT forget()", PUT.format(next(n)))[0].expect(200)
            two_requests(cut, next(n), "SELECT forget()")[0].expect(200)
        elif road == "batch":
            steps = [{"op": "sql.execute", "sql": sql} for sql in (PUT.format(next(n)), "SELECT forget()", PUT.format(next(n)))]
            cut.client.post("/v1/batch", {"steps": steps}).expect(200)
        else:
            cut.client.post("/v1/sql/execute", {"sql": "SELECT forget()"}).expect(200)
    work()
    assert cut.count() == str(next(n) - 10)
    del cut.statements[:]
    for sql in ("SELECT set_config('a.b', 'c', false)", "SELECT 1 / 0", "SELECT set_config('a.b', 'd', false)"):
        execute(cut, sql)
        execute(cut, next(n)).expect(200)
    assert not any(b"DISCARD ALL" in s for s in cut.statements)  # what is there still is kept


def test_each_kind_of_transaction_has_a_word_of_its_own(cut):
    n = 0
    for _ in range(3):
        for level in ("read_committed", "repeatable_read", "serializable"):
            for only in ("", ";read-only"):
                headers = {"Ferro-Transaction": f"new;isolation={level}{only}"}
                ask = {"sql": "SELECT current_setting('transaction_isolation') AS i, current_setting('transaction_read_only') AS r"}
                answer = cut.client.post("/v1/sql/fetch-one", ask, headers=headers).expect(200)
                assert answer.json()["row"] == {"i": level.replace("_", " "), "r": "on" if only else "off"}
                headers = {"Ferro-Transaction": answer.header("Ferro-Transaction"), "Ferro-Transaction-End": "commit"}
                cut.client.post("/v1/sql/execute", {"sql": "SELECT 1" if only else PUT.format(n)}, headers=headers).expect(200)
                n += not only
    assert cut.count() == str(n)


def test_a_batch_whose_commit_travelled(cut):
    steps = [{"op": "sql.execute", "sql": f"INSERT INTO item VALUES ({n})"} for n in (1, 2)]
    cut.client.get("/v1/models/Item/records").expect(200)
    cut.cut = "after"
    problem = cut.client.post("/v1/batch", {"steps": steps}).problem(503, "database_unavailable")
    assert problem["outcome"] == "unknown"
    wait_for(lambda: cut.count() == "2", 20, "the server's own end")
