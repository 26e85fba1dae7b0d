"""Transactions in fewer round trips: opened by their first request, ended by their last, on both databases."""
import http.client
import json
import time
import uuid

import pytest

from support.transactions import begin, db, end, gauges, mark, numbers, rows, session, sql, state, tx_id  # noqa: F401

NEW = {"Ferro-Transaction": "new"}
COMMIT = {"Ferro-Transaction-End": "commit"}
ROLLBACK = {"Ferro-Transaction-End": "rollback"}


def insert(client, n, headers, code=200, using=None):
    body = {"sql": f"INSERT INTO marks (n) VALUES ({n})", **({"using": using} if using else {})}
    return client.post("/v1/sql/execute", body, headers=headers).expect(code)


def inside(client, answer):
    return client.clone(Ferro_Transaction=answer.header("Ferro-Transaction"))


def of(client, tx):
    return client.get(f"/v1/transactions/{tx}").expect(200).json()["state"]


# ---- opening ----

def test_a_request_opens_its_transaction(db, session):
    answer = insert(session, 1, NEW)
    assert answer.header("Ferro-Transaction-State") is None
    assert "transactions=1" in answer.header("Ferro-Session-Info")
    tx = inside(session, answer)
    assert numbers(tx) == [1] and numbers(session) == []
    assert [t["transaction_id"] for t in session.get("/v1/session").expect(200).json()["transactions"]] == [tx_id(tx)]
    assert end(tx, "commit") == {"state": "committed"}
    assert numbers(session) == [1]


def test_it_needs_no_session(db):
    answer = insert(db.client, 1, NEW, using=db.name)
    tx = inside(db.client, answer)
    assert numbers(tx) == [1] and state(tx) == "open"
    last = insert(tx, 2, COMMIT)
    assert last.header("Ferro-Transaction-State") == "committed" and last.header("Ferro-Transaction") == tx_id(tx)
    assert state(tx) == "committed"
    assert [r["n"] for r in db.client.post("/v1/sql/fetch-all", {"sql": "SELECT n FROM marks ORDER BY n", "using": db.name})
            .expect(200).json()["rows"]] == [1, 2]


def test_parameters_hold(db, session):
    answer = session.post("/v1/sql/fetch-all", {"sql": "SELECT n FROM marks"},
                          headers={"Ferro-Transaction": "new;isolation=serializable;read-only;timeout=2.5"}).expect(200)
    tx = inside(session, answer)
    seen = session.get(f"/v1/transactions/{tx_id(tx)}").expect(200).json()
    assert seen["read_only"] is True and seen["state"] == "open"
    refused = tx.post("/v1/sql/execute", {"sql": "INSERT INTO marks (n) VALUES (1)"})
    assert refused.status >= 400, refused.text
    if db.backend.name == "postgres":
        end(tx, "rollback")
        answer = session.post("/v1/sql/fetch-one", {"sql": "SELECT current_setting('transaction_isolation') AS level, "
                              "current_setting('transaction_read_only') AS ro"},
                              headers={"Ferro-Transaction": "new; isolation=repeatable_read; timeout=5"}).expect(200)
        assert answer.json()["row"] == {"level": "repeatable read", "ro": "off"}
        tx = inside(session, answer)
    end(tx, "rollback")


def test_its_time_is_its_own(db, session):
    answer = insert(session, 1, {"Ferro-Transaction": "new;timeout=0.05"})
    tx = inside(session, answer)
    time.sleep(0.2)
    tx.post("/v1/sql/execute", {"sql": "SELECT 1"}).problem(410, "transaction_expired")
    assert numbers(session) == []


@pytest.mark.parametrize("value", ["nonsense", "new ", "New", "new;chaos=1", "new;isolation=chaos", "new;timeout=0",
                                   "new;timeout=1;timeout=2", "new;read-only=1", "new;", "newer", "A" * 32])
def test_what_is_neither_is_not_found(db, session, value):
    if value.strip() == "new":
        pytest.skip("blanks at the end of a header are none of it")
    insert(session, 1, {"Ferro-Transaction": value}, code=404).problem(404, "transaction_not_found")
    assert numbers(session) == [] and gauges(db)[:2] == (0, 0)


def test_a_failed_first_request_leaves_nothing(db, session):
    mark(session, 1)
    answer = insert(session, 1, NEW, code=409)
    assert answer.problem(409, "unique_violation")["outcome"] == "rolled_back"
    assert answer.header("Ferro-Transaction") is None
    assert "transactions=0" in answer.header("Ferro-Session-Info")
    assert session.get("/v1/session").expect(200).json()["transactions"] == []
    assert gauges(db)[:2] == (0, 0)
    answer = session.post("/v1/sql/execute", {"sql": "INSERT INTO nowhere VALUES (1)"}, headers=NEW).expect(400)
    assert answer.json()["outcome"] == "rolled_back" and answer.header("Ferro-Transaction") is None


def test_a_failure_is_undone_whole(db, session):
    """The first statement of the batch has run when the second fails."""
    steps = [{"op": "sql.execute", "sql": f"INSERT INTO marks VALUES ({n})"} for n in (1, 2, 1)]
    answer = session.post("/v1/batch", {"steps": steps}, headers=NEW).expect(409)
    assert answer.json()["outcome"] == "rolled_back" and answer.json()["step"] == 2
    assert answer.header("Ferro-Transaction") is None and numbers(session) == []
    answer = session.post("/v1/batch", {"steps": steps[:2]}, headers=NEW).expect(200)
    assert answer.json()["committed"] is False
    tx = inside(session, answer)
    assert numbers(session) == [] and numbers(tx) == [1, 2]
    answer = tx.post("/v1/batch", {"steps": [{"op": "sql.execute", "sql": "INSERT INTO marks VALUES (3)"}]}, headers=COMMIT)
    assert answer.expect(200).json()["committed"] is True and answer.header("Ferro-Transaction-State") == "committed"
    assert numbers(session) == [1, 2, 3]


def test_where_there_is_no_work(db, session):
    for method, path, body in (("GET", "/v1/session", None), ("POST", "/v1/transactions", {}), ("GET", "/v1/models", None),
                               ("DELETE", "/v1/session/identity-map", None), ("GET", "/healthz", None)):
        for headers in (NEW, COMMIT, {**NEW, **COMMIT}):
            session.request(method, path, body, headers=headers, validate=False).problem(400, "invalid_request")
    session.post("/v1/sql/execute", {"sql": "SELECT 1"}, headers=COMMIT).problem(400, "invalid_request")
    session.post("/v1/sql/execute", {"sql": "SELECT 1"}, headers={**NEW, "Ferro-Transaction-End": "maybe"}).problem(
        400, "invalid_request")
    assert gauges(db)[:2] == (0, 0)


# ---- ending ----

@pytest.mark.parametrize("how,word,left", [(COMMIT, "committed", [1, 2]), (ROLLBACK, "rolled_back", [])])
def test_the_last_request_ends_it(db, session, how, word, left):
    tx = begin(session)
    mark(tx, 1)
    answer = insert(tx, 2, how)
    assert answer.header("Ferro-Transaction-State") == word and "transactions=0" in answer.header("Ferro-Session-Info")
    assert state(tx) == word and numbers(session) == left
    assert insert(tx, 3, {}, code=409).problem(409, "transaction_ended")["state"] == word
    assert gauges(db)[:2] == (0, 0)


@pytest.mark.parametrize("how,word,left", [(COMMIT, "committed", [1]), (ROLLBACK, "rolled_back", [])])
def test_a_transaction_of_one(db, session, how, word, left):
    answer = insert(session, 1, {**NEW, **how})
    assert answer.header("Ferro-Transaction-State") == word
    assert of(session, answer.header("Ferro-Transaction")) == word
    assert numbers(session) == left and gauges(db)[:2] == (0, 0)


def test_a_failure_with_commit_rolls_back(db, session):
    mark(session, 1)
    tx = begin(session)
    mark(tx, 2)
    answer = insert(tx, 1, COMMIT, code=409)
    assert answer.problem(409, "unique_violation")["outcome"] == "rolled_back"
    assert answer.header("Ferro-Transaction-State") == "rolled_back" and state(tx) == "rolled_back"
    assert numbers(session) == [1]


def test_a_failure_with_rollback_leaves_it(db, session):
    mark(session, 1)
    tx = begin(session)
    answer = insert(tx, 1, ROLLBACK, code=409)
    assert answer.header("Ferro-Transaction-State") is None
    assert state(tx) == ("aborted" if db.backend.name == "postgres" else "open")
    end(tx, "rollback")


def test_what_is_refused_unrun_is_rolled_back_too(db, session):
    """A body without sense, with commit: the transaction is gone all the same, once it was entered."""
    tx = begin(session)
    mark(tx, 1)
    tx.post("/v1/sql/execute", {"sql": "SELECT nothing FROM nowhere"}, headers=COMMIT).problem(400, "sql_error")
    assert state(tx) == "rolled_back" and numbers(session) == []


def test_a_savepoint_ends_with_its_request(db, session):
    tx = begin(session)
    mark(tx, 1)
    for n, (how, word) in enumerate(((COMMIT, "committed"), (ROLLBACK, "rolled_back")), 2):
        point = tx.transaction()
        answer = insert(point, n, how)
        assert answer.header("Ferro-Transaction-State") == word
        assert numbers(tx) == [1, 2] and state(tx) == "open"
    assert insert(tx, 4, COMMIT).header("Ferro-Transaction-State") == "committed"
    assert numbers(session) == [1, 2, 4]


def test_a_raw_end_of_its_own(db, session):
    """The client's own COMMIT is what the header asks for; its own ROLLBACK is not."""
    answer = insert(session, 1, NEW)
    tx = inside(session, answer)
    assert tx.post("/v1/sql/execute", {"sql": "COMMIT"}, headers=COMMIT).expect(200).header("Ferro-Transaction-State") == "committed"
    assert numbers(session) == [1] and state(tx) == "committed"
    tx = inside(session, insert(session, 2, NEW))
    tx.post("/v1/sql/execute", {"sql": "ROLLBACK"}, headers=COMMIT).problem(409, "transaction_ended")
    assert numbers(session) == [1] and state(tx) == "rolled_back"


def test_a_deferred_constraint_fails_the_commit(db, session):
    sql(session, "CREATE TABLE owner (id integer PRIMARY KEY)")
    sql(session, "CREATE TABLE owned (id integer PRIMARY KEY, owner_id integer REFERENCES owner (id) DEFERRABLE INITIALLY DEFERRED)")
    body = {"sql": "INSERT INTO owned VALUES (1, 5)"}
    answer = session.post("/v1/sql/execute", body, headers={**NEW, **COMMIT}).expect(409)
    assert answer.problem(409, "foreign_key_violation")["outcome"] == "rolled_back"
    assert answer.header("Ferro-Transaction") is None
    assert rows(session, "SELECT id FROM owned") == [] and gauges(db)[:2] == (0, 0)
    tx = begin(session)
    answer = tx.post("/v1/sql/execute", body, headers=COMMIT).expect(409)
    assert answer.json()["outcome"] == "rolled_back" and state(tx) == "rolled_back"


def test_prefer_rollback_and_max_affected_inside(db, session):
    answer = session.post("/v1/sql/execute", {"sql": "INSERT INTO marks VALUES (1)"},
                          headers={**NEW, **COMMIT, "Prefer": "tx=rollback"}).expect(200)
    assert answer.header("Ferro-Transaction-State") == "committed" and numbers(session) == []
    mark(session, 1)
    mark(session, 2)
    tx = begin(session)
    tx.post("/v1/sql/execute", {"sql": "DELETE FROM marks"}, headers={**COMMIT, "Prefer": "max-affected=1"}).problem(
        409, "max_affected_exceeded")
    assert state(tx) == "rolled_back" and numbers(session) == [1, 2]


def test_the_commit_of_a_batch(db, session):
    """COMMIT travels with the last step: a deferred constraint that fails there undoes all of it, and so does the step itself."""
    sql(session, "CREATE TABLE owner (id integer PRIMARY KEY)")
    sql(session, "CREATE TABLE owned (id integer PRIMARY KEY, owner_id integer REFERENCES owner (id) DEFERRABLE INITIALLY DEFERRED)")
    first = {"op": "sql.execute", "sql": "INSERT INTO marks VALUES (1)"}
    good = {"op": "sql.execute", "sql": "INSERT INTO marks VALUES (2)"}
    for bad, code, status in (({"op": "sql.execute", "sql": "INSERT INTO owned VALUES (1, 5)"}, "foreign_key_violation", 409),
                              (first, "unique_violation", 409),
                              ({"op": "sql.execute", "sql": "INSERT INTO nowhere VALUES (1)"}, "sql_error", 400)):
        problem = session.post("/v1/batch", {"steps": [first, bad]}).problem(status, code)
        assert problem["outcome"] == "rolled_back"
        assert numbers(session) == [] and rows(session, "SELECT id FROM owned") == [] and gauges(db)[:2] == (0, 0)
    assert session.post("/v1/batch", {"steps": [first, good]}).expect(200).json()["committed"] is True
    assert numbers(session) == [1, 2]
    answer = session.post("/v1/batch", {"steps": [good]}, headers={"Prefer": "tx=rollback"})
    answer.problem(409, "unique_violation")
    three = {"op": "sql.execute", "sql": "INSERT INTO marks VALUES (3)"}
    assert session.post("/v1/batch", {"steps": [three]}, headers={"Prefer": "tx=rollback"}).expect(200).json()["committed"] is False
    session.post("/v1/batch", {"steps": [{"op": "sql.execute", "sql": "DELETE FROM marks"}]},
                 headers={"Prefer": "max-affected=1"}).problem(409, "max_affected_exceeded")
    assert numbers(session) == [1, 2]


def test_a_plan_that_is_stale_at_the_last_moment(db, session):
    """What is prepared is prepared anew, with BEGIN and COMMIT around it, when its table has changed."""
    if db.backend.name != "postgres":
        pytest.skip("SQLite does so by itself")
    text = "INSERT INTO marks SELECT * FROM source RETURNING n"
    sql(session, "CREATE TABLE source (n integer)")
    for n in (1, 2, 3):
        sql(session, "DELETE FROM source")
        sql(session, f"INSERT INTO source VALUES ({n})")
        answer = session.post("/v1/sql/execute", {"sql": text}, headers={**NEW, **COMMIT}).expect(200)
        assert answer.header("Ferro-Transaction-State") == "committed"
        sql(session, f"ALTER TABLE source ALTER n TYPE {'bigint' if n == 1 else 'integer'}")
    assert numbers(session) == [1, 2, 3]


# ---- models and the identity map ----

ITEM = {"models": [{"model_name": "Few", "columns": [
    {"name": "id", "logical_type": "integer", "primary_key": True, "autoincrement": True},
    {"name": "name", "logical_type": "string", "unique": True}]}]}


@pytest.fixture
def few(db, session):
    db.client.post("/v1/models", ITEM).expect(200)
    db.client.post("/v1/create-tables", {"using": db.name}).expect(200)
    yield session
    db.client.delete("/v1/models/Few").expect(204)


def test_two_updates_in_two_requests(few):
    a, b = (few.post("/v1/models/Few/records", {"name": n}).expect(201).json() for n in ("a", "b"))
    first = few.patch(f"/v1/models/Few/records/{a['id']}", {"name": "a2"}, headers=NEW).expect(200)
    assert few.get(f"/v1/models/Few/records/{a['id']}").expect(200).json()["name"] == "a"
    last = inside(few, first).patch(f"/v1/models/Few/records/{b['id']}", {"name": "b2"}, headers=COMMIT).expect(200)
    assert last.header("Ferro-Transaction-State") == "committed"
    for record, name in ((a, "a2"), (b, "b2")):
        assert few.get(f"/v1/models/Few/records/{record['id']}").expect(200).json()["name"] == name


def test_a_412_rolls_back(few):
    a = few.post("/v1/models/Few/records", {"name": "a"}).expect(201).json()
    tx = inside(few, few.patch(f"/v1/models/Few/records/{a['id']}", {"name": "a2"}, headers=NEW).expect(200))
    tx.patch(f"/v1/models/Few/records/{a['id']}", {"name": "a3"}, headers={**COMMIT, "If-Match": '"0"'}).problem(
        412, "precondition_failed")
    assert state(tx) == "rolled_back"
    assert few.get(f"/v1/models/Few/records/{a['id']}").expect(200).json()["name"] == "a"


@pytest.mark.parametrize("method,path,body,status", [
    ("GET", "/v1/models/Few/records/{id}", None, 200), ("GET", "/v1/models/Few/records", None, 200),
    ("POST", "/v1/models/Few/records", {"name": "z"}, 201), ("PUT", "/v1/models/Few/records/{id}", {"name": "y"}, 200),
    ("PATCH", "/v1/models/Few/records/{id}", {"name": "x"}, 200), ("DELETE", "/v1/models/Few/records/{id}", None, 204),
    ("POST", "/v1/models/Few/records/{id}/refresh", None, 200), ("POST", "/v1/query", {"model_name": "Few"}, 200),
    ("POST", "/v1/query/first", {"model_name": "Few"}, 200), ("POST", "/v1/query/count", {"model_name": "Few"}, 200),
    ("POST", "/v1/query/exists", {"model_name": "Few"}, 200), ("POST", "/v1/query/explain", {"model_name": "Few"}, 200),
    ("POST", "/v1/models/Few/get-or-create", {"where": {"name": "w"}}, None),
    ("POST", "/v1/models/Few/update-or-create", {"where": {"name": "w"}}, None),
    ("POST", "/v1/sql/fetch-one", {"sql": "SELECT 1 AS n"}, 200),
    ("POST", "/v1/batch", {"atomic": False, "steps": [{"op": "count", "query": {"model_name": "Few"}}]}, 200)])
def test_every_request_that_works(db, few, method, path, body, status):
    a = few.post("/v1/models/Few/records", {"name": "a"}).expect(201).json()
    path = path.replace("{id}", str(a["id"]))
    opened = few.request(method, path, body, headers=NEW)
    assert opened.status in ((status,) if status else (200, 201)), opened.text
    tx = inside(few, opened)
    assert state(tx) == "open"
    end(tx, "rollback")
    closed = few.request(method, path, body, headers={**NEW, **COMMIT})
    assert closed.status == opened.status and closed.header("Ferro-Transaction-State") == "committed", closed.text
    assert gauges(db)[:2] == (0, 0)


# ---- rows ----

def lines(answer):
    return [json.loads(line) for line in answer.text.strip().split("\n")]


def test_the_end_of_ndjson_says_so(db, session):
    mark(session, 1)
    for headers, word in ((COMMIT, "committed"), (ROLLBACK, "rolled_back"), ({}, None)):
        answer = session.post("/v1/sql/fetch-all", {"sql": "SELECT n FROM marks"},
                              headers={**NEW, **headers, "Accept": "application/x-ndjson"}).expect(200)
        last = lines(answer)[-1]["$end"]
        assert last == ({"row_count": 1, "transaction": word} if word else {"row_count": 1})
        if not word:
            end(inside(session, answer), "rollback")


def many(db):
    if db.backend.name == "postgres":
        return "SELECT n AS id, repeat('x', 100) AS name FROM generate_series(1, 5000) n"
    return ("WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 5000) "
            "SELECT n AS id, printf('%0100d', n) AS name FROM r")


def test_a_streamed_answer(db, session):
    answer = session.post("/v1/sql/fetch-all", {"sql": many(db)},
                          headers={**NEW, **COMMIT, "Accept": "application/x-ndjson"}).expect(200)
    assert answer.header("Ferro-Transaction-State") is None and answer.header("Content-Length") is None
    assert lines(answer)[-1] == {"$end": {"row_count": 5000, "transaction": "committed"}}
    assert of(session, answer.header("Ferro-Transaction")) == "committed"
    answer = session.post("/v1/sql/fetch-all", {"sql": many(db)}, headers=NEW).expect(200)
    assert answer.json()["row_count"] == 5000
    tx = inside(session, answer)
    assert state(tx) == "open"
    end(tx, "rollback")


def test_a_stream_that_breaks_off(db, session):
    """The id was given with the first rows; the transaction is gone with the failure."""
    broken = many(db).replace("AS name", "AS name, " + ("1 / (4000 - n)" if db.backend.name == "postgres" else
                              "abs(CASE WHEN n = 4000 THEN -9223372036854775807 - 1 ELSE n END)") + " AS bad")
    connection = http.client.HTTPConnection("127.0.0.1", session.port, timeout=60)
    connection.request("POST", "/v1/sql/fetch-all", json.dumps({"sql": broken}), {
        **session.headers, **NEW, "Content-Type": "application/json", "Accept": "application/x-ndjson"})
    answer = connection.getresponse()
    with pytest.raises(http.client.IncompleteRead) as cut:
        answer.read()
    assert answer.status == 200 and "$error" in json.loads(cut.value.partial.strip().split(b"\n")[-1])
    tx = session.clone(Ferro_Transaction=answer.getheader("Ferro-Transaction"))
    connection.close()
    tx.post("/v1/sql/execute", {"sql": "SELECT 1"}).problem(409, "transaction_ended")
    assert state(tx) == "rolled_back" and gauges(db)[:2] == (0, 0)


def test_a_commit_that_fails_breaks_a_stream(db, session):
    """All rows have been written, and many are sent: the deferred constraint fails at the commit, before the last chunk."""
    sql(session, "CREATE TABLE owner (id integer PRIMARY KEY)")
    sql(session, "CREATE TABLE owned (id integer PRIMARY KEY, name text, owner_id integer REFERENCES owner (id) "
                 "DEFERRABLE INITIALLY DEFERRED)")
    text = f"INSERT INTO owned (id, name, owner_id) SELECT id, name, 1 FROM ({many(db)}) AS m WHERE true RETURNING id, name"
    connection = http.client.HTTPConnection("127.0.0.1", session.port, timeout=60)
    connection.request("POST", "/v1/sql/fetch-all", json.dumps({"sql": text}), {
        **session.headers, **NEW, **COMMIT, "Content-Type": "application/json", "Accept": "application/x-ndjson"})
    answer = connection.getresponse()
    with pytest.raises(http.client.IncompleteRead) as cut:
        answer.read()
    problem = json.loads(cut.value.partial.strip().split(b"\n")[-1])["$error"]
    assert (problem["code"], problem["outcome"]) == ("foreign_key_violation", "rolled_back")
    connection.close()
    assert rows(session, "SELECT id FROM owned LIMIT 1") == [] and gauges(db)[:2] == (0, 0)


# ---- Idempotency-Key ----

def test_a_kept_answer_unless_it_was_rolled_back(db, session):
    key = {"Idempotency-Key": uuid.uuid4().hex}
    first = insert(session, 1, {**NEW, **key})
    again = insert(session, 1, {**NEW, **key})
    assert again.header("Idempotency-Replayed") == "true"
    assert again.header("Ferro-Transaction") == first.header("Ferro-Transaction")
    end(inside(session, first), "rollback")
    third = insert(session, 1, {**NEW, **key})
    assert third.header("Idempotency-Replayed") is None
    assert third.header("Ferro-Transaction") != first.header("Ferro-Transaction")
    end(inside(session, third), "commit")
    assert insert(session, 1, {**NEW, **key}).header("Idempotency-Replayed") == "true"
    assert numbers(session) == [1] and gauges(db)[:2] == (0, 0)


def test_a_transaction_of_one_is_done_once(db, session):
    key = {"Idempotency-Key": uuid.uuid4().hex}
    first = insert(session, 1, {**NEW, **COMMIT, **key})
    again = insert(session, 1, {**NEW, **COMMIT, **key})
    assert again.header("Idempotency-Replayed") == "true" and again.body == first.body
    assert again.header("Ferro-Transaction-State") == "committed"
    assert numbers(session) == [1]


def test_what_was_rolled_back_runs_again(db, session):
    key = {"Idempotency-Key": uuid.uuid4().hex}
    for _ in range(2):
        answer = insert(session, 1, {**NEW, **ROLLBACK, **key})
        assert answer.header("Idempotency-Replayed") is None and answer.header("Ferro-Transaction-State") == "rolled_back"
    key = {"Idempotency-Key": uuid.uuid4().hex}
    mark(session, 1)
    insert(session, 1, {**NEW, **COMMIT, **key}, code=409)
    sql(session, "DELETE FROM marks")
    assert insert(session, 1, {**NEW, **COMMIT, **key}).header("Idempotency-Replayed") is None
    assert numbers(session) == [1]
