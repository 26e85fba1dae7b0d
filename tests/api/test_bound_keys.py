"""A key with a list of connections: it acts on those, and nothing tells it of others; fewer rights end what began with more."""
import re
import signal
import threading

import pytest

from support.client import Client
from support.keys import Keys
from support.process import wait_for
from support.server import Server

NOTE = {"model_name": "Note", "columns": [{"name": "id", "logical_type": "integer", "primary_key": True},
                                          {"name": "text", "logical_type": "string", "nullable": True}]}


@pytest.fixture
def house(tmp_path):
    keys = Keys(tmp_path)
    keys.add("root", ["admin"])
    keys.add("bound", ["admin"], ["one", "mine"])
    keys.add("worker", ["read", "write", "sql"], ["one", "two"])
    with Server("--keys-file", str(keys.path), "--default-url", "") as server:
        server.keys = keys
        with keys.client(server.port, "root") as root:
            for name in ("one", "two"):
                root.post("/v1/connections", {"name": name, "url": f"sqlite:{tmp_path}/{name}.db?mode=rwc", "default": name == "two"}).expect(201)
            root.put("/v1/models", {"models": [NOTE]}).expect(200)
            for name in ("one", "two"):
                root.post("/v1/create-tables", {"using": name}).expect(200)
        yield server


def caller(house, name, **headers):
    return house.keys.client(house.port, name).clone(**headers)


def names(client):
    return [c["name"] for c in client.get("/v1/connections").expect(200).json()["connections"]]


def test_an_admin_key_with_a_list_acts_on_those_names_alone(house, tmp_path):
    bound, root = caller(house, "bound"), caller(house, "root")
    assert names(bound) == ["one"]
    for body in ({"url": "sqlite::memory:", "name": "two"}, {"url": "sqlite::memory:", "name": "other"}, {"url": "sqlite::memory:"}):
        bound.post("/v1/connections", body).problem(403, "forbidden")
    bound.delete("/v1/connections/two").problem(403, "forbidden")
    bound.delete("/v1/connections/two?force=true").problem(403, "forbidden")
    bound.put("/v1/default-connection", {"name": "two"}).problem(403, "forbidden")
    bound.post("/v1/connections", {"url": "sqlite::memory:", "name": "mine"}).expect(201)
    assert names(bound) == ["mine", "one"] and names(root) == ["mine", "one", "two"]
    bound.post("/v1/reset").expect(204)
    assert names(root) == ["two"]
    root.get("/v1/connections/two").expect(200)


ROADS = [
    lambda c, name: c.get(f"/v1/connections/{name}"),
    lambda c, name: c.delete(f"/v1/connections/{name}"),
    lambda c, name: c.post(f"/v1/connections/{name}/check"),
    lambda c, name: c.put("/v1/default-connection", {"name": name}),
    lambda c, name: c.post("/v1/query", {"model_name": "Note", "using": name}),
    lambda c, name: c.get(f"/v1/models/Note/records?using={name}"),
    lambda c, name: c.post("/v1/sql/fetch-all", {"sql": "SELECT 1 AS a", "using": name}),
    lambda c, name: c.post("/v1/batch", {"using": name, "steps": [{"op": "query", "query": {"model_name": "Note"}}]}),
    lambda c, name: c.post("/v1/sessions", {"using": name}),
    lambda c, name: c.post("/v1/transactions", {"using": name}),
    lambda c, name: c.post("/v1/create-tables", {"using": name}),
    lambda c, name: c.post("/v1/migrate", {"using": name, "dry_run": True}),
    lambda c, name: c.post("/v1/introspect", {"using": name}),
]


@pytest.mark.parametrize("road", range(len(ROADS)))
def test_what_is_there_and_what_is_not_read_the_same(house, road):
    """403 for the one and 404 for the other told which names exist."""
    bound = caller(house, "bound")

    def answer(name):
        got = ROADS[road](bound, name)
        return got.status, {k: v for k, v in got.json().items() if k != "instance"}
    there, absent = answer("two"), answer("nowhere")
    assert there == absent and there[0] == 403 and "two" not in str(there[1])


def test_the_default_is_not_told(house):
    bound, root = caller(house, "bound"), caller(house, "root")
    roads = [lambda: bound.post("/v1/query", {"model_name": "Note"}), lambda: bound.post("/v1/sessions"),
             lambda: bound.post("/v1/sql/fetch-all", {"sql": "SELECT 1 AS a"})]

    def answers():
        return [(r.status, r.json()["detail"]) for r in (road() for road in roads)]
    with_default = answers()
    root.delete("/v1/connections/two").expect(204)
    assert answers() == with_default and all(status == 403 for status, _ in with_default)
    assert bound.get("/v1/connections").json()["default"] is None


def test_metrics_and_sessions_name_no_other_connection(house):
    bound, root = caller(house, "bound"), caller(house, "root")
    root.post("/v1/sessions", {"using": "two"}).expect(201)
    root.post("/v1/sessions", {"using": "one"}).expect(201)
    shown = set(re.findall(r'connection="([^"]*)"', bound.get("/metrics").expect(200).text))
    assert shown == {"one"}
    assert set(re.findall(r'connection="([^"]*)"', root.get("/metrics").text)) == {"one", "two"}
    assert {s["connection_name"] for s in bound.get("/v1/sessions").expect(200).json()["sessions"]} == {"one"}


# ---- fewer rights ----

def reload(house):
    before = len(house.events("reloaded"))
    house.process.send_signal(signal.SIGHUP)
    wait_for(lambda: len(house.events("reloaded")) > before, 20, "the reload")


def entry(house, name):
    return next(e for e in house.keys.entries if e["name"] == name)


@pytest.mark.parametrize("change", ["scope", "connection", "gone"])
def test_fewer_rights_end_transactions_and_kept_answers(house, change):
    worker, root = caller(house, "worker"), caller(house, "root")
    inside = worker.transaction(using="two")
    inside.post("/v1/models/Note/records", {"id": 1, "text": "x"}).expect(201)
    once = {"Idempotency-Key": "k"}
    worker.post("/v1/sql/fetch-all", {"sql": "SELECT 'secret' AS s", "using": "two"}, headers=once).expect(200)
    kept = entry(house, "worker")
    if change == "scope":
        kept["scopes"] = ["read", "sql"]
    elif change == "connection":
        kept["connections"] = ["one"]
    else:
        house.keys.entries.remove(kept)
    house.keys.write()
    reload(house)
    # the writer is free again at once, and nothing of the transaction is there
    root.post("/v1/models/Note/records?using=two", {"id": 1, "text": "y"}).expect(201)
    answer = worker.post("/v1/sql/fetch-all", {"sql": "SELECT 'secret' AS s", "using": "two"}, headers=once)
    assert "secret" not in answer.text or answer.header("Idempotency-Replayed") is None
    if change == "scope":
        assert "rights have changed" in answer.problem(422, "idempotency_key_reused")["detail"]
        problem = inside.post("/v1/query", {"model_name": "Note"}).problem(410, "transaction_expired")
        assert "rights" in problem["detail"]
    elif change == "gone":
        answer.problem(401, "unauthenticated")


@pytest.mark.parametrize("change", ["scope", "connection"])
def test_fewer_rights_end_sessions(house, change):
    worker = caller(house, "worker")
    session, elsewhere = worker.session(using="two"), caller(house, "root").session(using="two")
    kept = entry(house, "worker")
    if change == "scope":
        kept["scopes"] = ["read", "sql"]
    else:
        kept["connections"] = ["one"]
    house.keys.write()
    reload(house)
    assert "rights" in session.get("/v1/session").problem(410, "session_expired")["detail"]
    session.post("/v1/query", {"model_name": "Note"}).problem(410, "session_expired")
    elsewhere.get("/v1/session").expect(200)
    worker.session(using="one").get("/v1/session").expect(200)


def test_what_still_runs_is_not_kept_for_fewer_rights(house):
    """The answer comes after the reload, and is not given again."""
    worker = caller(house, "worker")
    slow = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 6000000) SELECT count(*) AS secret FROM c"
    ask = ("/v1/sql/fetch-all", {"sql": slow, "using": "two"})
    first = threading.Thread(target=lambda: caller(house, "worker").post(*ask, headers={"Idempotency-Key": "k"}))
    first.start()
    wait_for(lambda: caller(house, "root").get("/v1/connections/two").json()["pool"]["in_use"] > 0, 10, "the statement")
    entry(house, "worker")["connections"] = ["one"]
    house.keys.write()
    reload(house)
    first.join()
    assert "secret" not in worker.post(*ask, headers={"Idempotency-Key": "k"}).text


def test_as_many_rights_end_nothing(house):
    worker = caller(house, "worker")
    inside = worker.transaction(using="two")
    kept = entry(house, "worker")
    kept["scopes"] = ["read", "write", "sql", "schema"]
    kept["connections"] = ["one", "two", "three"]
    house.keys.write()
    reload(house)
    inside.post("/v1/models/Note/records", {"id": 1, "text": "x"}).expect(201)
    inside.post(f"/v1/transactions/{inside.headers['Ferro-Transaction']}/commit").expect(200)


# ---- what is left lying ----

def test_a_transaction_that_nobody_uses_ends():
    with Server("--transaction-idle-seconds", "0.5", "--default-url", "sqlite::memory:") as server, Client(server.port) as c:
        c.post("/v1/sql/execute", {"sql": "CREATE TABLE t (i INTEGER)"}).expect(200)
        left, used = c.transaction(), None
        left.post("/v1/sql/execute", {"sql": "INSERT INTO t VALUES (1)"}).expect(200)
        path = f"/v1/transactions/{left.headers['Ferro-Transaction']}"
        wait_for(lambda: left.get(path).json()["state"] == "expired", 10, "the end of what nobody uses")
        assert "transaction_idle_seconds" in left.post("/v1/sql/execute", {"sql": "SELECT 1"}).problem(410, "transaction_expired")["detail"]
        assert c.post("/v1/sql/fetch-one", {"sql": "SELECT count(*) AS n FROM t"}).json()["row"] == {"n": 0}
        used = c.transaction()
        slow = ("WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 4000000) SELECT count(*) AS n FROM c")
        used.post("/v1/sql/fetch-one", {"sql": slow}).expect(200)  # longer than the bound, and in use
        used.post(f"/v1/transactions/{used.headers['Ferro-Transaction']}/commit").expect(200)


def test_transactions_idle_as_long_as_they_like_without_a_bound():
    with Server("--transaction-idle-seconds", "0", "--default-url", "sqlite::memory:") as server, Client(server.port) as c:
        inside = c.transaction()
        inside.post("/v1/sql/execute", {"sql": "CREATE TABLE t (i INTEGER)"}).expect(200)
        inside.post(f"/v1/transactions/{inside.headers['Ferro-Transaction']}/commit").expect(200)
