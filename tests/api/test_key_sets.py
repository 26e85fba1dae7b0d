"""Models are one set for all callers: a key that is bound changes its own, learns no names of others' sets, and its entry may say more."""
import datetime
import json
import signal

import pytest

from support.client import Client
from support.keys import Keys
from support.process import wait_for
from support.server import Server, run_binary


def model(name, *more):
    columns = [{"name": "id", "logical_type": "integer", "primary_key": True}]
    return {"model_name": name, "columns": columns + [{"name": n, "logical_type": "string"} for n in more]}


@pytest.fixture
def house(tmp_path):
    keys = Keys(tmp_path)
    keys.add("root", ["admin"])
    keys.add("one", ["read", "schema"], ["one"])
    keys.add("two", ["read", "schema"], ["two", "three"])
    keys.add("bound admin", ["admin"], ["one"])
    keys.add("shared", ["read", "schema"])
    keys.entries[-1]["sets"] = ["", "shop"]
    keys.add("none", ["read", "schema"])
    keys.entries[-1]["sets"] = []
    keys.write()
    with Server("--keys-file", str(keys.path), "--default-url", "") as server:
        server.keys = keys
        with keys.client(server.port, "root") as root:
            for name in ("one", "two"):
                root.post("/v1/connections", {"name": name, "url": f"sqlite:{tmp_path}/{name}.db?mode=rwc"}).expect(201)
            root.put("/v1/models", {"models": [model("Note")]}).expect(200)
        yield server


def caller(house, name):
    return house.keys.client(house.port, name)


def names(client):
    return {m["model_name"] for m in client.get("/v1/models").expect(200).json()["payload"]["models"]}


def sets(client):
    return {m["model_name"]: m.get("sets", [m.get("set", "")]) for m in client.get("/v1/models").json()["payload"]["models"]}


def test_a_bound_key_neither_redefines_nor_deletes_models_of_others(house):
    one, two, root = caller(house, "one"), caller(house, "two"), caller(house, "root")
    one.put("/v1/models", {"models": [model("Order")]}).expect(200)
    two.put("/v1/models", {"models": [model("Invoice")]}).expect(200)
    assert names(root) == {"Note", "Order", "Invoice"}
    # not by PUT or POST of a model of its own ...
    for method in ("PUT", "POST"):
        for name in ("Note", "Invoice"):
            problem = one.request(method, "/v1/models", {"models": [model(name, "more")]}).problem(409, "model_conflict")
            assert "two" not in json.dumps(problem)
    # ... nor in the name of another set ...
    for where in ("two", "", "elsewhere"):
        one.request("PUT", "/v1/models", {"models": []}, params={"set": where}).problem(403, "forbidden")
        one.request("POST", "/v1/models", {"models": [model("Other")]}, params={"set": where}).problem(403, "forbidden")
    # ... nor by taking them out
    for name in ("Note", "Invoice"):
        one.delete(f"/v1/models/{name}").problem(403, "forbidden")
    one.delete("/v1/models/Nowhere").problem(404, "model_not_found")
    one.put("/v1/models", {"models": []}).expect(200)
    one.delete("/v1/models").expect(204)
    assert names(root) == {"Note", "Invoice"}
    # its own it does all that with
    one.put("/v1/models", {"models": [model("Order"), model("Item")]}).expect(200)
    one.post("/v1/models", {"models": [model("Order", "state")]}).expect(200)
    one.delete("/v1/models/Item").expect(204)
    assert names(root) == {"Note", "Invoice", "Order"}
    one.delete("/v1/models").expect(204)
    assert names(root) == {"Note", "Invoice"}
    two.request("PUT", "/v1/models", {"models": [model("Third")]}, params={"set": "three"}).expect(200)
    two.delete("/v1/models").expect(204)
    assert names(root) == {"Note"}


def test_a_bound_admin_key_is_bound_here_too(house):
    bound, root = caller(house, "bound admin"), caller(house, "root")
    bound.put("/v1/models", {"models": [model("Order")]}).expect(200)
    bound.delete("/v1/models/Note").problem(403, "forbidden")
    bound.delete("/v1/models").expect(204)
    assert names(root) == {"Note"}


def test_a_bound_admin_key_and_the_catalog(tmp_path):
    """What it reloads tells it of its own connections; what it resets is there again, without its sessions."""
    keys, catalog = Keys(tmp_path), tmp_path / "catalog.json"
    keys.add("bound", ["admin"], ["shop"])

    def declare(*names, **more):
        catalog.write_text(json.dumps({"connections": [{"name": n, "url": f"sqlite:{tmp_path}/{n}.db?mode=rwc"} for n in names], **more}), encoding="utf-8")
    declare("shop")
    with Server("--keys-file", str(keys.path), "--catalog", str(catalog)) as server, keys.client(server.port, "bound") as c:
        declare("shop", "office", introspect=[{"using": "office"}, {"using": "shop"}])
        answer = c.post("/v1/catalog/reload").expect(200)
        assert "office" not in answer.text and answer.json()["added"] == ["introspect:shop"] and answer.json()["unchanged"] == ["connection:shop"]
        session = c.session(using="shop")
        c.post("/v1/reset").expect(204)
        session.get("/v1/session").problem(410, "session_expired")
        c.session(using="shop").get("/v1/session").expect(200)


def test_a_bound_key_migrates_its_own_set(house):
    """And is told of another's what it is told of one that is not there."""
    one, two = caller(house, "one"), caller(house, "two")
    two.put("/v1/models", {"models": [model("Invoice")]}).expect(200)
    one.put("/v1/models", {"models": [model("Order")]}).expect(200)
    plan = one.post("/v1/migrate", {"using": "one", "set": "one"}).expect(200).json()
    assert {c["table"] for c in plan["changes"]} == {"order"}
    assert '"order"' in one.get("/v1/ddl", params={"dialect": "sqlite", "set": "one"}).expect(200).text
    for name in ("two", "", "nowhere"):
        for path in ("/v1/migrate", "/v1/create-tables"):
            assert one.post(path, {"using": "one", "set": name}).problem(404, "model_not_found")["detail"] == f'no registered model is of the set "{name}"'
        one.get("/v1/ddl", params={"dialect": "sqlite", "set": name}).problem(404, "model_not_found")


def test_a_bound_key_learns_no_names_of_sets(house):
    """They may be those of connections."""
    one, two, root = caller(house, "one"), caller(house, "two"), caller(house, "root")
    two.put("/v1/models", {"models": [model("Invoice")]}).expect(200)
    root.request("PUT", "/v1/models", {"models": [model("Invoice")]}, params={"set": "three"}).expect(200)
    answer = one.put("/v1/models", {"models": [model("Order")]}).expect(200)
    for text in (answer.text, one.get("/v1/models").expect(200).text, one.get("/v1/models/Invoice").expect(200).text, one.get("/v1/catalog").expect(200).text):
        assert '"two"' not in text and '"three"' not in text
    assert sets(one) == {"Note": [""], "Invoice": [""], "Order": ["one"]}
    assert sets(two) == {"Note": [""], "Invoice": ["three", "two"], "Order": [""]}
    assert sets(root) == {"Note": [""], "Invoice": ["three", "two"], "Order": ["one"]}
    # one that others have, too, is not taken away from them
    two.delete("/v1/models/Invoice").expect(204)
    assert one.get("/v1/models").json()["fingerprint"] == root.get("/v1/models").json()["fingerprint"]


def test_sets_of_an_entry(house):
    shared, none, root = caller(house, "shared"), caller(house, "none"), caller(house, "root")
    shared.put("/v1/models", {"models": [model("Note"), model("Tag")]}).expect(200)
    shared.request("PUT", "/v1/models", {"models": [model("Order")]}, params={"set": "shop"}).expect(200)
    shared.request("PUT", "/v1/models", {"models": []}, params={"set": "other"}).problem(403, "forbidden")
    root.request("PUT", "/v1/models", {"models": [model("Order")]}, params={"set": "other"}).expect(200)
    shared.delete("/v1/models/Order").problem(403, "forbidden")
    shared.delete("/v1/models").expect(204)
    assert sets(root) == {"Order": ["other"]}
    none.put("/v1/models", {"models": []}).problem(403, "forbidden")
    none.delete("/v1/models").expect(204)
    assert names(root) == {"Order"}
    code, out, _ = run_binary("key", "new", "--name", "n", "--scopes", "schema", "--sets", "shop,billing")
    assert code == 0 and json.loads(out)["entry"]["sets"] == ["shop", "billing"]


def test_introspected_models_are_of_the_keys_own_set(house, backend):
    root, one = caller(house, "root"), caller(house, "one")
    root.delete("/v1/connections/one").expect(204)
    root.post("/v1/connections", {"name": "one", "url": backend.url}).expect(201)
    root.post("/v1/sql/execute", {"using": "one", "sql": "CREATE TABLE thing (id INTEGER PRIMARY KEY)"}).expect(200)
    root.post("/v1/sql/execute", {"using": "one", "sql": "CREATE TABLE note (id INTEGER PRIMARY KEY, more TEXT)"}).expect(200)
    one.post("/v1/introspect", {"using": "one", "tables": ["thing"], "register": True}).expect(200)
    assert "one" in {s for ss in sets(root).values() for s in ss}
    one.post("/v1/introspect", {"using": "one", "tables": ["note"], "names": {"note": "Note"}, "register": True}).problem(409, "model_conflict")
    one.post("/v1/introspect", {"using": "one", "tables": ["thing"], "register": True, "set": "two"}).problem(403, "forbidden")
    one.post("/v1/introspect", {"using": "one", "tables": ["thing"], "register": True, "set": "one"}).expect(200)
    one.delete("/v1/models").expect(204)
    assert names(root) == {"Note"}
    # nor does a description tell of others' sets
    root.post("/v1/introspect", {"using": "one", "tables": ["thing"], "register": True, "set": "two"}).expect(200)
    for path in ("/openapi.json", "/openapi-3.0.json"):
        caller(house, "one").get(f"{path}?models=true&set=two").problem(404, "model_not_found")
        caller(house, "one").get(f"{path}?models=true&using=two").problem(403, "forbidden")
        root.get(f"{path}?models=true&set=two", validate=False).expect(200)


def test_the_default_connections_dialect_is_not_told(house):
    one, root = caller(house, "one"), caller(house, "root")
    root.put("/v1/default-connection", {"name": "two"}).expect(200)
    one.get("/v1/ddl").problem(403, "forbidden")
    one.get("/v1/ddl?dialect=sqlite").expect(200)
    root.get("/v1/ddl").expect(200)


# ---- what else an entry says ----

def reload(server):
    before = len(server.events("reloaded"))
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: len(server.events("reloaded")) > before, 20, "the reload")


def in_seconds(n):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=n)).isoformat(timespec="milliseconds")


def test_two_secrets_are_valid_while_one_replaces_the_other(tmp_path):
    keys = Keys(tmp_path)
    old = keys.add("app", ["read"])
    new = keys.add("next", ["read"])
    keys.entries = [{"name": "app", "scopes": ["read"], "hashes": [entry["hash"] for entry in keys.entries]}]
    keys.write()
    with Server("--keys-file", str(keys.path)) as server:
        def status(text, headers=None):
            with Client(server.port, {"Authorization": f"Bearer {text}", **(headers or {})}) as c:
                return c.get("/v1/session" if headers else "/v1/models").status
        assert (status(old), status(new)) == (200, 200)
        with Client(server.port, {"Authorization": f"Bearer {old}"}) as c:
            session = c.post("/v1/sessions").expect(201).header("Ferro-Session")
        assert status(new, {"Ferro-Session": session}) == 200  # it is the same caller
        del keys.entries[0]["hashes"][0]
        keys.write()
        reload(server)
        assert (status(old), status(new)) == (401, 200)
        assert status(new, {"Ferro-Session": session}) == 200


def test_a_key_expires(tmp_path):
    keys = Keys(tmp_path)
    for name, at in (("past", "2026-01-02T03:04:05Z"), ("soon", in_seconds(1.5)), ("far", "2999-12-31T23:59:59.5+05:30"), ("never", None)):
        keys.add(name, ["read"])
        if at is not None:
            keys.entries[-1]["expires_at"] = at
    keys.write()
    with Server("--keys-file", str(keys.path)) as server:
        def status(name):
            with keys.client(server.port, name) as c:
                answer = c.get("/v1/models")
                assert answer.status == 200 or "expired" in answer.problem(401, "unauthenticated")["detail"]
                return answer.status
        assert [status(name) for name in ("past", "far", "never")] == [401, 200, 200]
        wait_for(lambda: status("soon") == 401, 10, "the end of a key")


@pytest.mark.parametrize("more, said", [
    ({"hashes": []}, "hash"), ({"hash": None, "hashes": []}, "hashes"), ({"hash": None, "hashes": ["x"]}, "hashes"), ({"hash": None}, "hash"),
    ({"hash": None, "hashes": ["sha256$00$" + "0" * 64] * 9}, "hashes"), ({"expires_at": "tomorrow"}, "expires_at"),
    ({"expires_at": "2026-13-01T00:00:00Z"}, "expires_at"), ({"expires_at": "2026-01-01T00:00:00"}, "expires_at"),
    ({"expires_at": "2026-01-01T00:00:00Zx"}, "expires_at"), ({"expires_at": 5}, "expires_at"), ({"sets": "shop"}, "sets"), ({"sets": [1]}, "sets"),
    ({"quotas": {"requests_per_key": 0}}, "requests_per_key"), ({"quotas": {"pages": 1}}, "pages"),
    ({"quotas": {"rate_limit_per_second_per_key": 0}}, "rate_limit_per_second_per_key"),
    ({"quotas": {"rate_limit_burst_per_key": 1000001}}, "rate_limit_burst_per_key"), ({"quotas": []}, "quotas")])
def test_faults_of_an_entry(tmp_path, more, said):
    keys = Keys(tmp_path)
    keys.add("app", ["read"])
    keys.entries[0].update(more)
    keys.entries[0] = {k: v for k, v in keys.entries[0].items() if not (k == "hash" and v is None)}
    keys.write()
    code, out, err = run_binary("--keys-file", str(keys.path), "--listen", "127.0.0.1:0")
    assert (code, out) == (2, "") and len(err.strip().split("\n")) == 1 and said in err and "entry 0" in err, err
