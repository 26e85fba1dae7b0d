"""POST /v1/batch: its operations, references, conditions, all or nothing, and what it does when others are in the way."""
import hashlib
import json
import threading
import uuid

import pytest

from support.client import Client
from support.process import wait_for
from support.server import Server


def without_columns(body):
    return {key: value for key, value in body.items() if key != "columns"}


def leaf(column, operator, value):
    return {"node_kind": "leaf", "column": column, "operator": operator, "value": value}


@pytest.fixture
def db(conn):
    """A model `name` with id, name (unique) and age, and a session on it."""
    model = f"Bat{uuid.uuid4().hex[:8]}"
    conn.client.post("/v1/models", {"models": [{"model_name": model, "columns": [
        {"name": "id", "logical_type": "integer", "primary_key": True},
        {"name": "name", "logical_type": "string", "unique": True},
        {"name": "age", "logical_type": "integer", "nullable": True}]}]}).expect(200)
    conn.client.post("/v1/create-tables", {"using": conn.name}).expect(200)
    conn.model, conn.table = model, model.lower()
    yield conn
    wait_for(lambda: gauges(conn) == (0, 0), 5, "nothing leased")
    conn.client.delete(f"/v1/models/{model}").expect(204)


def gauges(conn):
    answer = conn.client.get(f"/v1/connections/{conn.name}").expect(200).json()
    return answer["pool"]["in_use"], answer["transactions"]


def batch(db, *steps, client=None, status=200, headers=None, **more):
    body = {"steps": list(steps), **more}
    if client is None:
        body.setdefault("using", db.name)
    return (client or db.client).post("/v1/batch", body, headers=headers).expect(status)


def create(db, name, age=None, **more):
    return {"op": "create", "model": db.model, "record": {"name": name, "age": age}, **more}


def query(db, *where, **more):
    return {"model_name": db.model, "where": list(where), **more}


def names(db, client=None):
    if client is not None:
        answer = client.post("/v1/query", query(db, order_by=[{"column": "id", "direction": "asc"}]))
    else:
        answer = db.client.post("/v1/query", query(db, order_by=[{"column": "id", "direction": "asc"}]), params=db.using)
    return [row["name"] for row in answer.expect(200).json()["rows"]]


def mark(db):
    return "?" if db.backend.name == "sqlite" else "$1"


def test_every_operation(db):
    insert = f"INSERT INTO {db.table} (name, age) VALUES ('raw', 5)"
    select = f"SELECT name, age FROM {db.table} WHERE age >= {mark(db)} ORDER BY id"
    answer = batch(
        db,
        create(db, "ann", 30),
        {"op": "create", "model": db.model, "records": [{"name": "bob", "age": 40}, {"name": "cy", "age": 50}]},
        {"op": "sql.execute", "sql": insert},
        {"op": "sql.fetch_all", "sql": select, "args": [40]},
        {"op": "sql.fetch_one", "sql": select, "args": [100]},
        {"op": "query", "query": query(db, leaf("age", ">", 35), order_by=[{"column": "id", "direction": "asc"}])},
        {"op": "first", "query": query(db, leaf("name", "==", "cy"))},
        {"op": "count", "query": query(db)},
        {"op": "exists", "query": query(db, leaf("name", "==", "nobody"))},
        {"op": "update", "query": query(db, leaf("name", "==", "raw")), "set": {"age": {"$add": 1}}},
        {"op": "delete", "query": query(db, leaf("name", "==", "bob"))},
        {"op": "save", "model": db.model, "pk": 77, "record": {"name": "dee", "age": 1}},
        {"op": "save", "model": db.model, "pk": 77, "record": {"name": "dee", "age": 2}},
        {"op": "get", "model": db.model, "pk": 77},
    ).json()
    assert answer["committed"] is True
    assert [r["status"] for r in answer["results"]] == [201, 201, 200, 200, 200, 200, 200, 200, 200, 200, 200, 201, 200, 200]
    body = [r["body"] for r in answer["results"]]
    assert body[0]["name"] == "ann" and body[0]["id"] > 0
    assert body[1] == {"rows_inserted": 2}
    assert body[2]["rows_affected"] == 1
    assert without_columns(body[3]) == {"rows": [{"name": "bob", "age": 40}, {"name": "cy", "age": 50}], "row_count": 2}
    assert without_columns(body[4]) == {"row": None}
    assert [r["name"] for r in body[5]["rows"]] == ["bob", "cy"] and body[5]["row_count"] == 2
    assert body[6]["row"]["age"] == 50
    assert body[7] == {"count": 4} and body[8] == {"exists": False}
    assert body[9] == {"rows_affected": 1} and body[10] == {"rows_affected": 1}
    assert body[11] == {"id": 77, "name": "dee", "age": 1} and body[13] == {"id": 77, "name": "dee", "age": 2}
    assert sorted(names(db)) == ["ann", "cy", "dee", "raw"]


def test_bodies_are_what_the_endpoints_answer(db):
    """A step and its endpoint cannot disagree."""
    batch(db, create(db, "ann", 30), create(db, "bob", 40))
    c = db.client
    pairs = [
        ("/v1/query", query(db, include=[]), {"op": "query", "query": query(db)}),
        ("/v1/query/first", query(db), {"op": "first", "query": query(db)}),
        ("/v1/query/count", query(db), {"op": "count", "query": query(db)}),
        ("/v1/query/exists", query(db), {"op": "exists", "query": query(db)}),
        ("/v1/sql/fetch-all", {"sql": f"SELECT * FROM {db.table}"}, {"op": "sql.fetch_all", "sql": f"SELECT * FROM {db.table}"}),
        ("/v1/sql/fetch-one", {"sql": f"SELECT * FROM {db.table}"}, {"op": "sql.fetch_one", "sql": f"SELECT * FROM {db.table}"}),
    ]
    for path, body, step in pairs:
        body.pop("include", None)
        assert c.post(path, body, params=db.using).expect(200).json() == batch(db, step).json()["results"][0]["body"], path


def test_references(db):
    answer = batch(
        db,
        create(db, "ann", 30, **{"as": "ann"}),
        {"op": "query", "as": "all", "query": query(db)},
        {"op": "update", "query": query(db, leaf("id", "==", {"$ref": "ann.id"})), "set": {"age": {"$ref": "all.row_count"}}},
        {"op": "get", "model": db.model, "pk": {"$ref": "all.rows.0.id"}},
        {"op": "sql.fetch_one", "sql": f"SELECT name FROM {db.table} WHERE id = {mark(db)}", "args": [{"$ref": "all.rows.0.id"}]},
        {"op": "save", "model": db.model, "pk": 500, "record": {"name": "copy", "age": {"$ref": "ann.age"}}},
    ).json()["results"]
    assert answer[3]["body"]["age"] == 1
    assert answer[4]["body"]["row"] == {"name": "ann"}
    assert answer[5]["body"] == {"id": 500, "name": "copy", "age": 30}
    assert [r.get("as") for r in answer] == ["ann", "all", None, None, None, None]


def test_a_path_that_is_not_there(db):
    for path in ("ann.nothing", "ann.id.deeper", "ann.0", "all.rows.9.id", "all.rows.x"):
        problem = batch(db, create(db, "ann", **{"as": "ann"}), {"op": "query", "as": "all", "query": query(db)},
                        {"op": "get", "model": db.model, "pk": {"$ref": path}}, status=422).problem(422, "invalid_value")
        assert problem["step"] == 2 and problem["errors"][0]["pointer"].startswith("/steps/2/pk"), problem
    assert names(db) == []


MALFORMED = [
    ([], "/steps"),
    ([{"op": "nonsense"}], "/steps/0/op"),
    ([{}], "/steps/0"),
    (["x"], "/steps/0"),
    ([{"op": "count"}], "/steps/0"),
    ([{"op": "count", "query": {"model_name": "M"}, "bogus": 1}], "/steps/0"),
    ([{"op": "count", "query": {"model_name": "M"}, "as": ""}], "/steps/0/as"),
    ([{"op": "count", "query": {"model_name": "M"}, "as": "a"}, {"op": "count", "query": {"model_name": "M"}, "as": "a"}], "/steps/1/as"),
    ([{"op": "count", "query": {"model_name": "M"}, "if": {"step": "b", "is": "ok"}}], "/steps/0/if"),
    ([{"op": "count", "query": {"model_name": "M"}, "as": "a"},
      {"op": "count", "query": {"model_name": "M"}, "if": {"step": "a", "is": "maybe"}}], "/steps/1/if"),
    ([{"op": "sql.execute", "sql": "SELECT 1", "args": [{"$ref": "later.x"}]},
      {"op": "count", "query": {"model_name": "M"}, "as": "later"}], "/steps/0"),
    ([{"op": "sql.execute", "sql": "SELECT 1", "args": [{"$ref": "self.x"}], "as": "self"}], "/steps/0"),
    ([{"op": "create", "model": "M"}], "/steps/0"),
    ([{"op": "create", "model": "M", "record": {}, "records": []}], "/steps/0"),
    ([{"op": "get", "model": "M"}], "/steps/0"),
    ([{"op": "save", "model": "M", "pk": 1}], "/steps/0"),
    ([{"op": "sql.execute"}], "/steps/0"),
]


def test_malformed(db):
    """Refused whole, before anything has run."""
    marker = {"op": "sql.execute", "sql": f"INSERT INTO {db.table} (name) VALUES ('ran')"}
    for steps, pointer in MALFORMED:
        for wrapped in ([steps, [*steps, marker]] if steps else [steps]):
            answer = db.client.post("/v1/batch", {"using": db.name, "steps": wrapped})
            answer.problem(400, "invalid_request")
            assert any(p.startswith(pointer) for p in answer.pointers()), answer.body
    assert names(db) == []


def test_body_and_bounds(db):
    db.client.post("/v1/batch", {"using": db.name}).problem(400, "invalid_request")
    db.client.post("/v1/batch", {"using": db.name, "steps": [], "bogus": 1}).problem(400, "invalid_request")
    db.client.post("/v1/batch", raw=b"{", headers={"Content-Type": "application/json"}).problem(400, "invalid_json")
    step = {"op": "sql.fetch_one", "sql": "SELECT 1 AS n"}
    answer = db.client.post("/v1/batch", {"using": db.name, "steps": [step] * 1000}).expect(200).json()
    assert len(answer["results"]) == 1000 and without_columns(answer["results"][999]["body"]) == {"row": {"n": 1}}
    db.client.post("/v1/batch", {"using": db.name, "steps": [step] * 1001}).problem(400, "invalid_request")
    db.client.post("/v1/batch", {"using": "no_such_name", "steps": [step]}).problem(404, "connection_not_found")


def test_atomic_is_all_or_nothing(db):
    batch(db, create(db, "ann"))
    problem = batch(db, create(db, "bob"), create(db, "ann"), create(db, "cy"), status=409).problem(409, "unique_violation")
    assert problem["step"] == 1 and problem["outcome"] == "rolled_back"
    assert names(db) == ["ann"]
    problem = batch(db, create(db, "bob"), {"op": "create", "model": db.model, "record": {"name": "x", "age": "old"}},
                    status=422).problem(422, "invalid_value")
    assert problem["step"] == 1 and problem["errors"][0]["pointer"] == "/steps/1/record/age"
    assert names(db) == ["ann"]


def test_pointers_name_the_step(db):
    cases = [
        ({"op": "count", "query": query(db, leaf("nothing", "==", 1))}, 422, "/steps/1/query/where/0/column"),
        ({"op": "update", "query": query(db, leaf("id", "==", 1)), "set": {"nothing": 1}}, 422, "/steps/1/set/nothing"),
        ({"op": "create", "model": db.model, "records": [{"name": "a"}, {"name": "b", "nothing": 1}]}, 422,
         "/steps/1/records/1/nothing"),
        ({"op": "save", "model": db.model, "pk": 1, "record": {"name": "a", "nothing": 1}}, 422, "/steps/1/record/nothing"),
    ]
    for step, status, pointer in cases:
        answer = batch(db, create(db, "ok"), step, status=status)
        assert answer.json()["step"] == 1 and answer.pointers() == [pointer], answer.body
    assert names(db) == []


def test_a_missing_record_and_model(db):
    assert batch(db, {"op": "get", "model": db.model, "pk": 1}, status=404).problem(404, "record_not_found")["step"] == 0
    assert batch(db, {"op": "count", "query": {"model_name": "Nope"}}, status=404).problem(404, "model_not_found")["step"] == 0


def test_guards_hold_inside(db):
    batch(db, create(db, "ann"))
    for step in ({"op": "delete", "query": query(db)}, {"op": "update", "query": query(db), "set": {"age": 1}}):
        assert batch(db, step, status=422).problem(422, "invalid_query")["step"] == 0
    assert names(db) == ["ann"]


def test_not_atomic_goes_on(db):
    answer = batch(db, create(db, "ann"), create(db, "ann", **{"as": "twice"}), create(db, "bob"), atomic=False).json()
    assert [r["status"] for r in answer["results"]] == [201, 409, 201]
    error = answer["results"][1]["error"]
    assert error["code"] == "unique_violation" and error["step"] == 1 and answer["results"][1]["as"] == "twice"
    assert names(db) == ["ann", "bob"]


def test_conditions(db):
    answer = batch(
        db,
        {"op": "first", "as": "found", "query": query(db, leaf("name", "==", "ann"))},
        create(db, "ann", **{"as": "made", "if": {"step": "found", "is": "empty"}}),
        {"op": "count", "query": query(db), "if": {"step": "found", "is": "nonempty"}},
        {"op": "count", "as": "counted", "query": query(db), "if": {"step": "made", "is": "ok"}},
        create(db, "ann", **{"as": "again"}),
        create(db, "bob", **{"if": {"step": "again", "is": "failed"}}),
        create(db, "cy", **{"if": {"step": "again", "is": "ok"}}),
        create(db, "dee", **{"if": {"step": "counted", "is": "nonempty"}}),
        atomic=False).json()["results"]
    assert [r.get("status") for r in answer] == [200, 201, None, 200, 409, 201, None, 201]
    assert answer[2] == {"skipped": True}
    assert sorted(names(db)) == ["ann", "bob", "dee"]


def test_what_depends_on_a_skipped_step_is_skipped(db):
    answer = batch(
        db,
        {"op": "exists", "as": "a", "query": query(db)},
        {"op": "count", "as": "b", "query": query(db), "if": {"step": "a", "is": "nonempty"}},
        *[create(db, f"n{i}", **{"if": {"step": "b", "is": word}}) for i, word in enumerate(("ok", "failed", "empty", "nonempty"))],
    ).json()["results"]
    assert answer[1] == {"as": "b", "skipped": True}
    assert all(r == {"skipped": True} for r in answer[2:])
    assert names(db) == []


def test_in_a_transaction_it_is_a_savepoint(db):
    with db.client.session(using=db.name) as session:
        tx = session.transaction()
        batch(db, create(db, "before"), client=tx)
        answer = batch(db, create(db, "ann"), create(db, "bob"), client=tx).json()
        assert answer["committed"] is False
        problem = batch(db, create(db, "cy"), create(db, "ann"), client=tx, status=409).problem(409, "unique_violation")
        assert problem["outcome"] == "rolled_back"
        path = f"/v1/transactions/{tx.headers['Ferro-Transaction']}"
        assert session.get(path).expect(200).json()["state"] == "open"
        assert names(db, tx) == ["before", "ann", "bob"]
        answer = batch(db, create(db, "dee"), create(db, "dee"), create(db, "eve"), client=tx, atomic=False).json()
        assert [r["status"] for r in answer["results"]] == [201, 409, 201]
        session.post(path + "/commit").expect(200)
        assert sorted(names(db)) == ["ann", "before", "bob", "dee", "eve"]
        tx = session.transaction()
        batch(db, create(db, "gone"), client=tx)
        session.post(f"/v1/transactions/{tx.headers['Ferro-Transaction']}/rollback").expect(200)
        assert "gone" not in names(db, session)
        session.delete("/v1/session").expect(204)


def test_in_an_ended_or_unknown_transaction(db):
    step = {"op": "sql.fetch_one", "sql": "SELECT 1 AS n"}
    tx = db.client.transaction(using=db.name)
    db.client.post(f"/v1/transactions/{tx.headers['Ferro-Transaction']}/commit").expect(200)
    batch(db, step, client=tx, status=409).problem(409, "transaction_ended")
    batch(db, step, client=db.client.clone(Ferro_Transaction="B" * 32), status=404).problem(404, "transaction_not_found")


def test_a_failed_batch_leaves_no_stale_map(db):
    """What its steps put into the session's map goes with them."""
    ident = batch(db, create(db, "ann", 1)).json()["results"][0]["body"]["id"]
    with db.client.session(using=db.name) as session:
        path = f"/v1/models/{db.model}/records/{ident}"
        session.get(path).expect(200)
        batch(db, {"op": "save", "model": db.model, "pk": ident, "record": {"name": "ann", "age": 2}}, create(db, "ann"),
              client=session, status=409)
        assert session.get(path).expect(200).json()["age"] == 1
        batch(db, {"op": "save", "model": db.model, "pk": ident, "record": {"name": "ann", "age": 3}}, client=session)
        assert session.get(path).expect(200).json()["age"] == 3
        batch(db, {"op": "update", "query": query(db, leaf("id", "==", ident)), "set": {"age": 4}}, client=session)
        assert session.get(path).expect(200).json()["age"] == 4
        assert session.get("/v1/session").expect(200).json()["transactions"] == []
        session.delete("/v1/session").expect(204)


def test_tx_rollback_preference(db):
    answer = batch(db, create(db, "ann"), {"op": "count", "query": query(db)}, headers={"Prefer": "tx=rollback"})
    assert answer.json()["results"][1]["body"] == {"count": 1} and answer.json()["committed"] is False
    assert "tx=rollback" in answer.header("Preference-Applied")
    assert names(db) == []


def test_raw_transaction_statements_do_not_escape(db):
    for word in ("COMMIT", "ROLLBACK", "BEGIN"):
        answer = db.client.post("/v1/batch", {"using": db.name, "steps": [
            create(db, "ann"), {"op": "sql.execute", "sql": word}, create(db, "bob")]})
        assert answer.status in (200, 400, 409), answer.body
        if word != "BEGIN":
            assert answer.status != 200, "the batch cannot have been atomic"
    assert "bob" not in names(db) or db.backend.name == "postgres"


def test_many_writers_are_retried(db):
    """Atomic read-modify-write batches from many clients: the server repeats those that collide."""
    ident = batch(db, create(db, "counter", 0)).json()["results"][0]["body"]["id"]
    clients, rounds = 6, 8
    failures = []
    # on PostgreSQL the steps must see one state to collide
    isolation = [] if db.backend.name == "sqlite" else [
        {"op": "sql.execute", "sql": "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"}]

    def work():
        with Client(db.client.port) as c:
            for _ in range(rounds):
                answer = c.post("/v1/batch", {"using": db.name, "steps": isolation + [
                    {"op": "sql.fetch_one", "as": "now", "sql": f"SELECT age + 1 AS n FROM {db.table} WHERE id = {ident}"},
                    {"op": "update", "query": query(db, leaf("id", "==", ident)), "set": {"age": {"$ref": "now.row.n"}}}]})
                if answer.status != 200:
                    failures.append(answer.json())

    threads = [threading.Thread(target=work) for _ in range(clients)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert all(f["code"] == "serialization_failure" and f["retryable"] for f in failures), failures[:2]
    final = batch(db, {"op": "get", "model": db.model, "pk": ident}).json()["results"][0]["body"]["age"]
    assert final == clients * rounds - len(failures), "an increment was lost or done twice"
    assert len(failures) <= clients * rounds // 4, "most collisions are mended by the server"


def test_a_deadlock_is_retried(postgres_conn):
    """Two batches lock two rows in opposite order: PostgreSQL ends one, the server repeats it, both answer 200."""
    conn = postgres_conn
    c = conn.client
    c.post("/v1/sql/execute", {"sql": "CREATE TABLE spots (id integer PRIMARY KEY, n integer)", "using": conn.name}).expect(200)
    c.post("/v1/sql/execute", {"sql": "INSERT INTO spots VALUES (1, 0), (2, 0)", "using": conn.name}).expect(200)
    before = deadlocks(conn)
    answers = []

    def work(first, second):
        with Client(c.port) as mine:
            answers.append(mine.post("/v1/batch", {"using": conn.name, "steps": [
                {"op": "sql.execute", "sql": "SET LOCAL deadlock_timeout = '50ms'"},
                {"op": "sql.execute", "sql": f"UPDATE spots SET n = n + 1 WHERE id = {first}"},
                {"op": "sql.fetch_one", "sql": "SELECT 1 AS x FROM pg_sleep(0.3)"},
                {"op": "sql.execute", "sql": f"UPDATE spots SET n = n + 1 WHERE id = {second}"}]}))

    for _ in range(10):
        answers.clear()
        threads = [threading.Thread(target=work, args=order) for order in ((1, 2), (2, 1))]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert [a.status for a in answers] == [200, 200], [a.body for a in answers]
        assert all(a.json()["committed"] for a in answers)
        if deadlocks(conn) > before:
            break
    else:
        pytest.fail("no deadlock came about")
    rows = c.post("/v1/sql/fetch-all", {"sql": "SELECT n FROM spots", "using": conn.name}).expect(200).json()["rows"]
    assert len({row["n"] for row in rows}) == 1 and rows[0]["n"] % 2 == 0


def deadlocks(conn):
    return int(conn.backend.pg.psql(f"SELECT pg_stat_force_next_flush(); SELECT deadlocks FROM pg_stat_database WHERE datname = "
                                    f"'{conn.backend.database}'").split()[-1])


def large(db, n_bytes, rows=1):
    """A raw read of that many bytes."""
    text = f"repeat('x', {n_bytes})" if db.backend.name == "postgres" else f"printf('%0{n_bytes}d', 1)"
    return {"op": "sql.fetch_all", "sql": f"WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < {rows}) "
                                          f"SELECT {text} AS t FROM c"}


def test_the_answer_has_a_bound(db):
    """Atomic: the step whose result does not fit undoes it all."""
    steps = [create(db, "ann"), large(db, 30_000_000), large(db, 30_000_000), create(db, "bob"), large(db, 10_000_000)]
    problem = batch(db, *steps, status=400).problem(400, "invalid_request")
    assert problem["step"] == 4 and problem["outcome"] == "rolled_back"
    assert names(db) == []
    problem = batch(db, large(db, 1_000_000, rows=100), status=400).problem(400, "invalid_request")
    assert problem["step"] == 0


def test_the_bound_of_one_that_is_not_atomic(db):
    """The step that does not fit fails; those before and after it stand."""
    steps = [create(db, "ann"), large(db, 40_000_000), large(db, 30_000_000), create(db, "bob")]
    results = batch(db, *steps, atomic=False).json()["results"]
    assert [r["status"] for r in results] == [201, 200, 400, 201]
    assert results[2]["error"]["code"] == "invalid_request"
    assert names(db) == ["ann", "bob"]



def test_preferences(db):
    big = 2**60
    answer = batch(db, {"op": "sql.fetch_one", "sql": f"SELECT {big} AS n"}, headers={"Prefer": "int64=string"})
    assert without_columns(answer.json()["results"][0]["body"]) == {"row": {"n": str(big)}}
    assert "int64=string" in answer.header("Preference-Applied")
    endless = "SELECT pg_sleep(60)" if db.backend.name == "postgres" else (
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c")
    problem = batch(db, create(db, "ann"), {"op": "sql.fetch_all", "sql": endless}, status=504,
                    headers={"Prefer": "timeout=0.3"}).problem(504, "statement_timeout")
    assert problem["step"] == 1 and problem["outcome"] == "rolled_back"
    assert names(db) == []


def test_scopes(sqlite_backend, tmp_path):
    key = "k" * 40
    salt = bytes(16)
    entries = [{"name": scope, "hash": f"sha256${salt.hex()}${hashlib.sha256(salt + (scope + key).encode()).hexdigest()}",
                "scopes": [scope]} for scope in ("read", "write", "sql")]
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps(entries))
    with Server(config={"keys_file": str(keys), "default_url": sqlite_backend.url}, env={"FERROD_ADMIN_KEY": "admin" + key}) as own:
        def client(name):
            return Client(own.port, {"Authorization": f"Bearer {name}{key}"})
        with client("admin") as c:
            c.post("/v1/models", {"models": [{"model_name": "M", "columns": [
                {"name": "id", "logical_type": "integer", "primary_key": True}]}]}).expect(200)
            c.post("/v1/create-tables").expect(200)
        count, sql, make = ({"op": "count", "query": {"model_name": "M"}}, {"op": "sql.execute", "sql": "DELETE FROM m"},
                            {"op": "create", "model": "M", "record": {}})
        for name, allowed in (("read", [count]), ("write", [make]), ("sql", [sql])):
            with client(name) as c:
                c.post("/v1/batch", {"steps": allowed}).expect(200)
                for step in (count, sql, make):
                    if step not in allowed:
                        c.post("/v1/batch", {"steps": allowed + [step]}).problem(403, "forbidden")
        with client("admin") as c:
            assert c.post("/v1/batch", {"steps": [count, make, sql]}).expect(200).json()["results"][0]["body"] == {"count": 0}
        with Client(own.port) as c:
            c.post("/v1/batch", {"steps": [count]}).problem(401, "unauthenticated")


@pytest.mark.parametrize("atomic", [True, False])
@pytest.mark.parametrize("op", ["update", "delete", "sql.execute", "sql.fetch_all", "sql.fetch_one"])
def test_max_affected_undoes_the_step(db, op, atomic):
    """A step that is not part of an atomic batch was kept although the answer said that nothing was changed."""
    batch(db, create(db, "a", 1), create(db, "b", 2))
    where = query(db, leaf("id", ">", 0))
    raw = f"UPDATE {db.table} SET age = 9" + (" RETURNING age" if "fetch" in op else "")
    step = {"update": {"query": where, "set": {"age": 9}}, "delete": {"query": where}}.get(op, {"sql": raw})
    prefer = {"Prefer": "max-affected=1"}
    answer = batch(db, {"op": op, **step}, atomic=atomic, headers=prefer, status=409 if atomic else 200)
    problem = answer.json() if atomic else answer.json()["results"][0]["error"]
    assert problem["code"] == "max_affected_exceeded" and problem["outcome"] == "rolled_back"
    rows = db.client.post("/v1/query", query(db, order_by=[{"column": "id"}]), params=db.using).json()["rows"]
    assert [row["age"] for row in rows] == [1, 2]


def test_all_is_said_in_the_path(db):
    batch(db, create(db, "a", 1), create(db, "b", 2))
    batch(db, {"op": "update", "query": query(db), "set": {"age": 5}}, status=422)
    answer = db.client.post("/v1/batch?all=true", {"using": db.name, "steps": [{"op": "update", "query": query(db), "set": {"age": 5}}]})
    assert answer.expect(200).json()["results"][0]["body"] == {"rows_affected": 2}


@pytest.fixture
def docs(conn):
    """A model Doc with a json column."""
    conn.client.put("/v1/models", {"models": [{"model_name": "Doc", "columns": [
        {"name": "id", "logical_type": "integer", "primary_key": True},
        {"name": "body", "logical_type": "json", "nullable": True},
        {"name": "note", "logical_type": "string", "nullable": True}]}]}).expect(200)
    conn.client.post("/v1/create-tables", {"using": conn.name}).expect(200)
    return conn


def test_a_reference_inside_a_document_is_the_clients_own(docs):
    """JSON schemas and OpenAPI documents are full of "$ref": only a whole value is a reference of ours."""
    schema = {"type": "object", "items": [{"$ref": "#/definitions/x"}], "more": {"a": {"$ref": 5}}, "value": {"$ref": "first.id"}}
    answer = batch(docs, {"op": "create", "model": "Doc", "record": {"body": schema}, "as": "first"},
                   {"op": "create", "model": "Doc", "records": [{"body": schema}]},
                   {"op": "save", "model": "Doc", "pk": {"$ref": "first.id"}, "record": {"body": {"$ref": "first.body"}, "note": {"$ref": "first.body.type"}}, "as": "again"},
                   {"op": "update", "query": {"model_name": "Doc", "where": [leaf("id", "IN", [{"$ref": "first.id"}, 99])]}, "set": {"body": schema}},
                   {"op": "get", "model": "Doc", "pk": {"$ref": "first.id"}},
                   {"op": "count", "query": {"model_name": "Doc", "where": [leaf("body", "==", schema)]}}).json()
    assert [r["body"].get("body") for r in answer["results"]] == [schema, None, schema, None, schema, None]
    assert answer["results"][2]["body"]["note"] == "object" and answer["results"][5]["body"] == {"count": 2}


@pytest.mark.parametrize("step", [
    {"op": "create", "model": "Doc", "record": {"body": {"$ref": 5}}},
    {"op": "create", "model": "Doc", "record": {"note": {"$ref": None}}},
    {"op": "get", "model": "Doc", "pk": {"$ref": ["a"]}},
    {"op": "count", "query": {"model_name": "Doc", "where": [leaf("id", "==", {"$ref": {}})]}},
    {"op": "sql.execute", "sql": "SELECT 1", "args": [{"$ref": True}]},
    {"op": "create", "model": "Doc", "record": {"body": {"$ref": "#/definitions/x"}}},
])
def test_a_whole_value_that_only_looks_like_a_reference(docs, step):
    answer = batch(docs, step, status=400)
    answer.problem(400, "invalid_request")
    assert answer.pointers()[0].startswith("/steps/0")
