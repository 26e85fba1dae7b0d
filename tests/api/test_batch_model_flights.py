"""Steps by models travel as raw ones do: what is known to be one statement each goes in one flight, and answers as if it had gone alone."""
import json
import random
import socket
import uuid

import pytest

from support.client import Client
from support.cutter import runs
from support.process import wait_for
from support.road import flights, put, raw, road  # noqa: F401


@pytest.fixture
def model(road):  # noqa: F811
    """A model of table t, and one of a table whose defaults are made here."""
    name, made = f"T{uuid.uuid4().hex[:8]}", f"U{uuid.uuid4().hex[:8]}"
    road.psql("CREATE TABLE u (id uuid PRIMARY KEY, v text UNIQUE, n int CHECK (n < 100), at timestamptz)")
    road.client.post("/v1/models", {"models": [
        {"model_name": name, "table_name": "t", "columns": [
            {"name": "id", "logical_type": "integer", "primary_key": True, "autoincrement": False}, {"name": "v", "logical_type": "string", "nullable": True},
            {"name": "up", "logical_type": "integer", "nullable": True}]},
        {"model_name": made, "table_name": "u", "columns": [
            {"name": "id", "logical_type": "uuid", "primary_key": True, "default_factory": "uuid.uuid4"}, {"name": "v", "logical_type": "string", "nullable": True},
            {"name": "n", "logical_type": "integer", "nullable": True},
            {"name": "at", "logical_type": "datetime", "nullable": True, "default": "now()"}]}]}).expect(200)
    road.made = made
    road.post = lambda *steps, headers=None: road.client.post("/v1/batch", {"using": "road", "steps": list(steps)}, headers=headers)
    yield name
    for one in (name, made):
        road.client.delete(f"/v1/models/{one}").expect(204)


def where(model, **columns):
    return {"model_name": model, "where": [
        {"node_kind": "leaf", "column": c, "operator": "==", "value": v} for c, v in columns.items()]}


def create(model, **record):
    return {"op": "create", "model": model, "record": record}


def update(model, id, **values):
    return {"op": "update", "query": where(model, id=id), "set": values}


def delete(model, id):
    return {"op": "delete", "query": where(model, id=id)}


def count(model, **columns):
    return {"op": "count", "query": where(model, **columns)}


def exists(model, **columns):
    return {"op": "exists", "query": where(model, **columns)}


def few_flights(road, *steps, n):  # noqa: F811
    """What is known of tables is known for a second or so: on a busy machine another try may be needed."""
    for tries in range(20):
        try:
            return flights(road, *steps, n=n)
        except AssertionError:
            road.psql("DELETE FROM t WHERE id > 1000")
            if tries == 19:
                raise


def test_one_flight(road, model):  # noqa: F811
    road.batch(put(1), put(2), put(3)).expect(200)
    answer, _ = few_flights(road, update(model, 1, v="a"), raw("UPDATE t SET v = 'b' WHERE id = $1", 2), delete(model, 77), update(model, 3, v="c"), n=1)
    assert [r["body"] for r in answer["results"]] == [{"rows_affected": n} for n in (1, 1, 0, 1)]
    assert answer["committed"] is True
    assert road.psql("SELECT string_agg(v, '' ORDER BY id) FROM t") == "abc"


def test_rows_that_are_answered_keep_commit_back(road, model):  # noqa: F811
    steps = create(model, id=1001, v="x"), count(model, v="x"), create(model, id=1002, v="x"), exists(model, id=1002), update(model, 1001, v="y")
    answer, seen = few_flights(road, *steps, n=2)
    assert [r["status"] for r in answer["results"]] == [201, 200, 201, 200, 200]
    assert [r["body"] for r in answer["results"]] == [
        {"id": 1001, "v": "x", "up": None}, {"count": 1}, {"id": 1002, "v": "x", "up": None}, {"exists": True}, {"rows_affected": 1}]
    assert not runs(seen[0], b"COMMIT") and seen[0].count(b"E\0\0\0\t\0\0\0\0\0") == 6
    assert road.ids() == [1001, 1002]


def test_what_is_made_here_is_made_once(road, model):  # noqa: F811
    """A key and a time that the server chooses: what was sent is what is answered, and another one at the next try."""
    for n in range(6):
        answer = road.batch(create(road.made, v=f"a{n}", n=1), create(road.made, v=f"b{n}", n=2)).expect(200).json()
        for result in answer["results"]:
            assert road.psql(f"SELECT v FROM u WHERE id = '{result['body']['id']}'") == result["body"]["v"]
    assert road.psql("SELECT count(*), count(DISTINCT id) FROM u") == "12|12"


@pytest.mark.parametrize("bad", [0, 1, 2, 3])
@pytest.mark.parametrize("how", ["unique", "check", "raw"])
def test_a_failing_step_undoes_all_and_is_named(road, model, bad, how):  # noqa: F811
    road.psql("INSERT INTO u (id, v, n) VALUES ('00000000-0000-4000-8000-000000000001', 'there', 1)")
    fails, code, state = {"unique": (create(road.made, v="there"), "unique_violation", "23505"),
                          "check": ({"op": "update", "query": where(road.made, v="there"), "set": {"n": 500}}, "check_violation", "23514"),
                          "raw": (raw("SELECT 1 / 0"), "sql_error", "22012")}[how]
    for n in range(4):
        steps = [create(road.made, v=f"a{n}"), update(model, 5, v="z"), create(model, id=1, v="x"), create(road.made, v=f"b{n}")]
        steps[bad] = fails
        problem = road.batch(*steps).json()
        assert (problem["code"], problem["step"], problem["sqlstate"], problem["outcome"]) == (code, bad, state, "rolled_back"), problem
        assert road.ids() == [] and road.psql("SELECT count(*) FROM u") == "1"
    road.batch(create(model, id=1), create(model, id=2)).expect(200)
    assert road.ids() == [1, 2]


def test_a_deferred_constraint_fails_at_the_commit(road, model):  # noqa: F811
    road.batch(put(1), put(2)).expect(200)
    for _ in range(4):
        problem = road.batch(update(model, 2, up=1), update(model, 1, up=99)).json()
        assert (problem["sqlstate"], problem["outcome"]) == ("23503", "rolled_back"), problem
        problem = road.batch(update(model, 2, up=99), create(model, id=3)).json()
        assert (problem["sqlstate"], problem["outcome"]) == ("23503", "rolled_back"), problem
        assert road.psql("SELECT count(*) FROM t WHERE up IS NULL") == "2"
    road.batch(update(model, 2, up=1), update(model, 1, up=2)).expect(200)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_connection_that_is_lost_with_the_flight(road, model, when):  # noqa: F811
    road.batch(put(1), put(2)).expect(200)
    steps = update(model, 1, v="new"), update(model, 2, v="new")
    for _ in range(3):
        road.batch(*steps).expect(200)
    road.psql("UPDATE t SET v = 'old'")
    road.cut = when
    assert road.batch(*steps).problem(503, "database_unavailable")["outcome"] == "unknown"
    want = "2" if when == "after" else "0"
    wait_for(lambda: road.psql("SELECT count(*) FROM t WHERE v = 'new'") == want, 20, "the server's own end")


def test_a_client_that_leaves_in_the_middle(road, model):  # noqa: F811
    steps = create(model, id=1), update(model, 1, v="y"), raw("SELECT pg_sleep(60)"), create(model, id=2)
    for _ in range(2):  # tables and their triggers are known
        road.batch(create(model, id=9), update(model, 9, v="y"), delete(model, 9)).expect(200)
    one = socket.create_connection(("127.0.0.1", road.client.port))
    body = json.dumps({"using": "road", "steps": steps}).encode()
    one.sendall(b"POST /v1/batch HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    sleeps = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND state = 'active' AND pid <> pg_backend_pid()"
    wait_for(lambda: road.psql(sleeps) == "1", 20, "it runs")
    one.close()
    wait_for(lambda: road.psql(sleeps) == "0", 20, "it is cancelled")
    wait_for(lambda: road.batch(create(model, id=3), create(model, id=4)).status == 200, 20, "the connection")
    assert road.ids() == [3, 4]


def test_triggers_have_their_say(road, model):  # noqa: F811
    """A row that a trigger may change is read again, which no flight can foresee; nor a trigger that an earlier step makes."""
    road.psql("CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE t SET v = upper(v) WHERE id = NEW.id; RETURN NULL; END $$")
    make = raw("CREATE TRIGGER shouts AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION shout()")
    for n in range(3):
        answer = road.batch(create(model, id=1, v="a"), make, create(model, id=2, v="b"), create(model, id=3, v="c")).expect(200).json()
        assert [r["body"].get("v") for r in answer["results"]] == ["a", None, "B", "C"], n
        answer = road.batch(create(model, id=4, v="d"), update(model, 4, v="e"), create(model, id=5, v="f")).expect(200).json()
        assert [r["body"].get("v") for r in answer["results"]] == ["D", None, "F"], n
        road.batch(raw("DROP TRIGGER shouts ON t"), raw("DELETE FROM t")).expect(200)
        road.batch(create(model, id=1, v="a"), delete(model, 1)).expect(200)


def test_a_session_sees_what_a_flight_has_done(road, model):  # noqa: F811
    road.batch(put(1), put(2)).expect(200)
    session = {"Ferro-Session": road.client.post("/v1/sessions", {"using": "road"}).expect(201).header("Ferro-Session")}
    record = f"/v1/models/{model}/records/1"
    for n in range(4):
        road.client.get(record, headers=session).expect(200)
        answer = road.client.post("/v1/batch", {"steps": [update(model, 1, v=f"y{n}"), create(model, id=10 + n, v="new"), count(model, v="new")]},
                                  headers=session).expect(200).json()
        assert answer["results"][2]["body"] == {"count": n + 1}
        assert road.client.get(record, headers=session).expect(200).json()["v"] == f"y{n}"
        road.client.post("/v1/batch", {"steps": [update(model, 1, v="no"), create(model, id=10)]}, headers=session).problem(409, "unique_violation")
        assert road.client.get(record, headers=session).expect(200).json()["v"] == f"y{n}"
    road.client.delete("/v1/sessions", headers=session)


def some_steps(rng, model, made):
    """Steps of all kinds, some of which fail, some of which look at others."""
    kinds = [lambda: create(model, id=rng.randrange(12), v=rng.choice("abc")), lambda: update(model, rng.randrange(12), v=rng.choice("xyz")),
             lambda: delete(model, rng.randrange(12)), lambda: count(model, v=rng.choice("abcxyz")), lambda: exists(model, id=rng.randrange(12)),
             lambda: {"op": "get", "model": model, "pk": rng.randrange(12)},
             lambda: {"op": "save", "model": model, "pk": rng.randrange(12), "record": {"v": rng.choice("pq")}},
             lambda: {"op": "query", "query": {**where(model, v="a"), "order_by": [{"column": "id", "direction": "asc"}]}},
             lambda: raw("UPDATE t SET v = v || '!' WHERE id = $1", rng.randrange(12)), lambda: raw("SELECT count(*) AS n FROM t", op="sql.fetch_one"),
             lambda: create(made, id=str(uuid.UUID(int=rng.getrandbits(128))), v=rng.choice("abcdefgh"), n=rng.choice([1, 2, 200])),
             lambda: {"op": "create", "model": model, "record": {"id": "no number"}}, lambda: update(model, 1, nothing=1)]
    weights = [6, 6, 4, 3, 3, 1, 2, 2, 3, 2, 3, 0.2, 0.2]
    steps = [kind() for kind in rng.choices(kinds, weights, k=rng.randrange(1, 9))]
    for n, step in enumerate(steps):
        step["as"] = f"s{n}"
        if n > 0 and rng.random() < 0.15:
            step["if"] = {"step": f"s{rng.randrange(n)}", "is": rng.choice(["empty", "nonempty"])}
    return steps


def test_the_same_as_step_by_step(road, model):  # noqa: F811
    """Whatever comes: the same answers, and the same rows, as in a transaction, where each step goes by itself."""
    rng = random.Random(20)
    road.psql("CREATE TABLE start AS SELECT * FROM t; CREATE TABLE start_u AS SELECT * FROM u")
    rows = "SELECT coalesce(string_agg(t::text, ',' ORDER BY id), '') FROM t UNION ALL SELECT coalesce(string_agg(u.id || u.v || u.n, ',' ORDER BY id), '') FROM u"
    failed = 0
    with road.asking() as ask:
        for _ in range(120):
            steps = some_steps(rng, model, road.made)
            before = ask(rows)
            tx = road.client.post("/v1/transactions", {"using": "road"}).expect(201).json()["transaction_id"]
            alone = road.client.post("/v1/batch", {"steps": steps}, headers={"Ferro-Transaction": tx})
            road.client.post(f"/v1/transactions/{tx}/commit" if alone.status == 200 else f"/v1/transactions/{tx}/rollback")
            after = ask(rows)
            ask("DELETE FROM t; DELETE FROM u; INSERT INTO t SELECT * FROM start; INSERT INTO u SELECT * FROM start_u")
            assert ask(rows) == before
            together = road.post(*steps)
            assert together.status == alone.status, (steps, alone.body, together.body)
            got, want = together.json(), alone.json()
            if alone.status == 200:
                for result in got["results"] + want["results"]:
                    (result.get("body") or {}).pop("at", None)
                assert got["results"] == want["results"], steps
                assert ask(rows) == after
            else:
                failed += 1
                same = ("code", "step", "sqlstate", "detail", "pointer", "outcome")
                assert [got.get(k) for k in same] == [want.get(k) for k in same], (steps, got, want)
                assert ask(rows) == before
            ask("DELETE FROM start; DELETE FROM start_u; INSERT INTO start SELECT * FROM t; INSERT INTO start_u SELECT * FROM u")
    assert 10 < failed < 110
