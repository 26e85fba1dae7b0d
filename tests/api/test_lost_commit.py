"""A connection that is cut while something commits: the database is asked what became of it."""
import uuid

import pytest

from support.client import Client
from support.cutter import Cutter
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


def test_a_batch_whose_commit_travelled(cut):
    steps = [{"op": "sql.execute", "sql": f"INSERT INTO item VALUES ({n})"} for n in (1, 2)]
    cut.client.get("/v1/models/Item/records").expect(200)
    cut.cut = "after"
    problem = cut.client.post("/v1/batch", {"steps": steps}).problem(503, "database_unavailable")
    assert problem["outcome"] == "unknown"
    wait_for(lambda: cut.count() == "2", 20, "the server's own end")
