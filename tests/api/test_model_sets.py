"""Services that share a server: each registers its own set of models, none erases another's."""
import pytest

from support.client import Client
from support.server import Server


@pytest.fixture(scope="module")
def server():
    with Server() as running:
        yield running


@pytest.fixture
def client(server):
    with Client(server.port) as c:
        c.delete("/v1/models").expect(204)
        yield c


def model(name, *more, **members):
    columns = [{"name": "id", "logical_type": "integer", "primary_key": True}]
    return {"model_name": name, "columns": columns + [{"name": n, "logical_type": "string"} for n in more], **members}


def put(client, name, *models, method="PUT"):
    return client.request(method, "/v1/models", {"models": list(models)}, params=None if name is None else {"set": name})


def registered(client):
    return {m["model_name"]: m.get("sets", [m.get("set", "")]) for m in client.get("/v1/models").expect(200).json()["payload"]["models"]}


def test_a_set_replaces_itself_alone(client):
    put(client, "shop", model("Order"), model("Item")).expect(200)
    put(client, "billing", model("Invoice")).expect(200)
    put(client, None, model("Note")).expect(200)
    assert registered(client) == {"Order": ["shop"], "Item": ["shop"], "Invoice": ["billing"], "Note": [""]}
    assert client.get("/v1/models/Order").expect(200).json()["set"] == "shop"
    assert "set" not in client.get("/v1/models/Note").expect(200).json()
    put(client, "shop", model("Order", "state")).expect(200)
    put(client, None).expect(200)
    assert registered(client) == {"Order": ["shop"], "Invoice": ["billing"]}
    put(client, "billing", model("Rate"), method="POST").expect(200)
    assert registered(client) == {"Order": ["shop"], "Invoice": ["billing"], "Rate": ["billing"]}
    assert {m["name"]: m["set"] for m in client.get("/v1/catalog").expect(200).json()["models"]} == {"Order": "shop", "Invoice": "billing", "Rate": "billing"}


def test_a_name_of_two_sets_means_one_thing(client):
    put(client, "shop", model("User", "name"), model("Order")).expect(200)
    put(client, "billing", model("User", "name")).expect(200)
    assert registered(client) == {"User": ["billing", "shop"], "Order": ["shop"]}
    for method in ("PUT", "POST"):
        problem = put(client, "billing", model("Invoice"), model("User", "name", "vat"), method=method).problem(409, "model_conflict")
        assert '"shop"' in problem["detail"] and problem["errors"][0]["pointer"] == "/models/1"
    assert registered(client) == {"User": ["billing", "shop"], "Order": ["shop"]}, "all or nothing"
    put(client, "shop").expect(200)
    assert registered(client) == {"User": ["billing"]}
    put(client, "billing", model("User", "name", "vat")).expect(200)
    client.delete("/v1/models/User").expect(204)
    assert registered(client) == {}


def test_what_was_answered_goes_back(client):
    """The answer of GET is good for PUT: the request says which set it is about."""
    put(client, "shop", model("Order", relations=[])).expect(200)
    answer = client.get("/v1/models").expect(200).json()
    again = client.put("/v1/models", {"models": answer["payload"]["models"]}, params={"set": "shop"}).expect(200).json()
    assert again["payload"] == answer["payload"] and again["fingerprint"] == answer["fingerprint"] and "warnings" not in again
    put(client, "other", *answer["payload"]["models"]).expect(200)
    assert registered(client) == {"Order": ["other", "shop"]}


@pytest.mark.parametrize("name", ["a b", "ü", "x" * 64, "a/b"])
def test_bad_names(client, name):
    client.request("PUT", "/v1/models", {"models": []}, params={"set": name}, validate=False).problem(400, "invalid_parameters")


def test_sets_are_kept(tmp_path):
    """With a state directory they are there after a restart."""
    with Server("--state-url", f"sqlite:{tmp_path}/state.db?mode=rwc") as first, Client(first.port) as c:
        put(c, "shop", model("User")).expect(200)
        put(c, "billing", model("User"), model("Invoice")).expect(200)
        before = registered(c)
    with Server("--state-url", f"sqlite:{tmp_path}/state.db?mode=rwc") as second, Client(second.port) as c:
        assert registered(c) == before == {"User": ["billing", "shop"], "Invoice": ["billing"]}


def test_introspection_registers_into_a_set(conn):
    """What one service finds in its database is its own: a PUT of another's set leaves it, one of its own replaces it."""
    client, using = conn.client, conn.using
    client.delete("/v1/models").expect(204)
    client.post("/v1/sql/execute", {"sql": "CREATE TABLE crumb (id integer PRIMARY KEY, n integer)", **using}).expect(200)
    client.post("/v1/introspect", {**using, "register": True, "set": "bakery"}).expect(200)
    put(client, None, model("Note")).expect(200)
    put(client, "shop", model("Order")).expect(200)
    assert registered(client) == {"crumb": ["bakery"], "Note": [""], "Order": ["shop"]}
    client.post("/v1/introspect", {**using, "register": True}).expect(200)
    assert sorted(registered(client)["crumb"]) == ["", "bakery"]
    put(client, None).expect(200)
    assert registered(client) == {"crumb": ["bakery"], "Order": ["shop"]}
    client.post("/v1/sql/execute", {"sql": "ALTER TABLE crumb ADD COLUMN more integer", **using}).expect(200)
    problem = client.post("/v1/introspect", {**using, "register": True, "set": "shop"}).problem(409, "model_conflict")
    assert '"bakery"' in problem["detail"]
    client.post("/v1/introspect", {**using, "register": True, "set": "bakery"}).expect(200)
    assert [c["name"] for c in client.get("/v1/models/crumb").json()["columns"]] == ["id", "more", "n"]
    answer = client.post("/v1/introspect", {**using, "set": "bakery"})
    answer.problem(400, "invalid_request")
    assert answer.pointers() == ["/set"]
    for name in ("a b", "a\0b", "x" * 64):
        client.request("POST", "/v1/introspect", {**using, "register": True, "set": name}, validate=False).problem(400, "invalid_parameters")
    client.post("/v1/introspect", {**using, "register": True, "set": "x" * 63}).expect(200)
    assert sorted(registered(client)["crumb"]) == ["bakery", "x" * 63]
    put(client, "x" * 63).expect(200)
    put(client, "bakery").expect(200)
    put(client, "shop").expect(200)


def test_a_service_makes_and_migrates_its_own_set(conn):
    """Of others nothing is made, changed, dropped or warned of; the sets of one server may have databases of their own."""
    client, using = conn.client, conn.using
    client.delete("/v1/models").expect(204)
    put(client, "shop", model("Buyer", "name"), model("Order", "state", foreign_keys=[])).expect(200)
    put(client, "billing", model("Invoice", "total"), model("Buyer", "name")).expect(200)
    put(client, None, model("Note", "text")).expect(200)

    def tables():
        return {m["table_name"] for m in client.post("/v1/introspect", using).expect(200).json()["payload"]["models"]}
    for dialect in ("sqlite", "postgres"):
        text = client.get("/v1/ddl", params={"dialect": dialect, "set": "shop"}).expect(200).text
        assert '"buyer"' in text and '"order"' in text and "invoice" not in text and "note" not in text
        assert '"note"' in client.get("/v1/ddl", params={"dialect": dialect, "set": ""}).expect(200).text
    plan = client.post("/v1/migrate", {**using, "set": "shop", "dry_run": True}).expect(200).json()
    assert {c["table"] for c in plan["changes"]} == {"buyer", "order"} and tables() == set()
    assert client.post("/v1/migrate", {**using, "set": "billing", "plan_hash": plan["plan_hash"]}).problem(409, "migration_conflict")
    done = client.post("/v1/migrate", {**using, "set": "shop", "plan_hash": plan["plan_hash"]}).expect(200).json()
    assert done["statements"] == plan["statements"] and tables() == {"buyer", "order"}
    client.post("/v1/create-tables", {**using, "set": "billing"}).expect(200)
    assert tables() == {"buyer", "order", "invoice"}
    # a change of another's model waits for that other
    put(client, "shop", model("Buyer", "name"), model("Order", "state", "more")).expect(200)
    for wanted in ("billing", ""):
        quiet = client.post("/v1/migrate", {**using, "set": wanted, "destructive": True, "dry_run": True}).expect(200).json()
        assert {c["table"] for c in quiet["changes"]} <= {"note"} and quiet["warnings"] == []
    assert [c["column"] for c in client.post("/v1/migrate", {**using, "set": "shop"}).expect(200).json()["changes"]] == ["more"]
    everything = client.post("/v1/migrate", {**using, "set": None}).expect(200).json()
    assert {c["table"] for c in everything["changes"]} == {"note"} and tables() == {"buyer", "order", "invoice", "note"}
    for path in ("/v1/migrate", "/v1/create-tables"):
        assert "nobody" in client.post(path, {**using, "set": "nobody"}).problem(404, "model_not_found")["detail"]
        client.request("POST", path, {**using, "set": "a b"}, validate=False).problem(400, "invalid_parameters")
        client.request("POST", path, {**using, "set": 5}, validate=False).problem(400, "invalid_request")
    client.get("/v1/ddl", params={"dialect": "sqlite", "set": "nobody"}).problem(404, "model_not_found")
    for name in ("shop", "billing", None):
        put(client, name).expect(200)


def test_who_connects_makes_the_tables_of_its_own_set(client, backend):
    """Connected with a migration of a set, a database has the tables of that set alone, at start as on later ones."""
    put(client, "shop", model("Order", "state")).expect(200)
    put(client, "billing", model("Invoice", "total")).expect(200)
    request = {"name": f"own_{backend.name}", "url": backend.url, "auto_migrate": True, "set": "shop"}

    def connected(status, **more):
        return {c["table"] for c in client.post("/v1/connections", {**request, **more}).expect(status).json()["migration"]["changes"]}
    try:
        for wrong, status, code in (("nobody", 404, "model_not_found"), ("a b", 400, "invalid_parameters")):
            client.request("POST", "/v1/connections", {**request, "set": wrong}, validate=status == 404).problem(status, code)
            client.get(f"/v1/connections/{request['name']}").problem(404, "connection_not_found")
        assert connected(201) == {"order"}
        put(client, "shop", model("Order", "state"), model("Item")).expect(200)
        assert connected(200) == {"item"}
        assert connected(200, set="billing", auto_migrate=False, migrate_updates=True) == {"invoice"}
        assert connected(200, set=None) == set()
        client.post("/v1/connections", {**request, "set": "nobody"}).problem(404, "model_not_found")
    finally:
        client.delete(f"/v1/connections/{request['name']}", params={"force": "true"})


def test_a_key_into_the_table_of_another_set(conn):
    """The other's table is there, or the database says what is missing."""
    client, using = conn.client, conn.using
    client.delete("/v1/models").expect(204)
    key = {"columns": [{"name": "id", "logical_type": "integer", "primary_key": True}, {"name": "buyer_id", "logical_type": "integer"}],
           "foreign_keys": [{"column": "buyer_id", "to_table": "buyer"}]}
    put(client, "shop", model("Buyer", "name")).expect(200)
    put(client, "billing", {**model("Invoice"), **key}).expect(200)
    if conn.backend.name == "postgres":
        client.post("/v1/create-tables", {**using, "set": "billing"}).problem(422, "migration_refused")
    client.post("/v1/create-tables", {**using, "set": "shop"}).expect(200)
    client.post("/v1/create-tables", {**using, "set": "billing"}).expect(200)
    answer = client.post("/v1/migrate", {**using, "set": "billing"}).expect(200).json()
    assert (answer["statements"], answer["warnings"]) == ([], [])
    client.post("/v1/models/Invoice/records", {"buyer_id": 5}, params=using).problem(409, "foreign_key_violation")
    put(client, "billing").expect(200)
    put(client, "shop").expect(200)
