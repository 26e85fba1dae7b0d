"""Who may do what: keys and their scopes, connections and belongings; what a keyless server lets a browser do."""
import hashlib
import json
import re
import signal

import pytest

from support.client import Client
from support.keys import Keys
from support.process import wait_for
from support.raw import RawConnection
from support.server import Server, run_binary
from support.tables import leaf, sql

SCOPES = ("read", "write", "schema", "sql", "admin")
ADMIN = "the-admin-key-in-plain"


def routes():
    code, out, _ = run_binary("--print-routes")
    assert code == 0
    return [line.split() for line in out.splitlines()]


ROUTES = routes()


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A server with a key of each scope, two of them bound to connection `one`; connections one, two and default."""
    directory = tmp_path_factory.mktemp("keys")
    keys = Keys(directory)
    for scope in SCOPES[:-1]:
        keys.add(scope, [scope])
    keys.add("boss", ["admin"])
    keys.add("all but admin", SCOPES[:-1])
    keys.add("nothing", ["read"], ["no_such_connection"])
    keys.add("only one", ["read", "write", "sql"], ["one"])
    with Server("--keys-file", str(keys.path), env={"FERROD_ADMIN_KEY": ADMIN}) as server:
        server.keys = keys
        keys.texts["admin"] = ADMIN
        with keys.client(server.port, "admin") as admin:
            for name in ("one", "two"):
                admin.post("/v1/connections", {"name": name, "url": f"sqlite:{directory}/{name}.db?mode=rwc"}).expect(201)
                admin.post("/v1/sql/execute", {"sql": "CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT)", "using": name}).expect(200)
        yield server


NOTE = {"model_name": "Note", "columns": [{"name": "id", "logical_type": "integer", "primary_key": True},
                                          {"name": "text", "logical_type": "string", "nullable": True}]}


@pytest.fixture
def note(house):
    with house.keys.client(house.port, "schema") as client:
        client.put("/v1/models", {"models": [NOTE]}).expect(200)


@pytest.fixture
def caller(house):
    made = []

    def make(name, **headers):
        made.append(house.keys.client(house.port, name).clone(**headers))
        return made[-1]
    yield make
    for client in made:
        client.close()


# ---- scopes ----

@pytest.mark.parametrize("method, path, operation, scope", ROUTES, ids=[row[2] for row in ROUTES])
def test_scope_of_every_route(house, caller, method, path, operation, scope):
    """Each route with no key, a wrong key and a key of each scope: 401, 403 naming what is missing, or let through (where the
    body, an array, is refused next)."""
    where = re.sub(r"\{\w+\}", "nothing_here", path)
    raw = b"[]" if method in ("POST", "PUT", "PATCH") else None
    with Client(house.port) as nobody:
        answers = [nobody.request(method, where, raw=raw),
                   nobody.request(method, where, raw=raw, headers={"Authorization": "Bearer wrong"})]
        for answer in answers:
            if scope == "none":
                assert answer.status not in (401, 403)
            else:
                answer.problem(401, "unauthenticated")
                assert re.fullmatch(r'Bearer realm="[^"]+"', answer.header("WWW-Authenticate"))
    for name in (*SCOPES, "boss"):
        answer = caller(name).request(method, where, raw=raw)
        if scope in ("none", "any", name) or name in ("admin", "boss"):
            assert answer.status not in (401, 403), (name, answer.body)
        else:
            problem = answer.problem(403, "forbidden")
            assert f'"{scope}"' in problem["detail"] and operation in problem["detail"], problem
            assert answer.header("WWW-Authenticate") is None


@pytest.mark.parametrize("op, scope, more", [
    ("query", "read", {"query": {"model_name": "Note"}}), ("create", "write", {"model": "Note", "record": {"text": "x"}}),
    ("delete", "write", {"query": {"model_name": "Note", "where": [leaf("id", "==", -1)]}}), ("sql.execute", "sql", {"sql": "DELETE FROM note"}),
    ("sql.fetch_all", "sql", {"sql": "SELECT 1 AS a"})])
def test_scopes_of_batch_steps(caller, note, op, scope, more):
    body = {"using": "two", "steps": [{"op": op, **more}]}
    for name in ("read", "write", "schema", "sql"):
        answer = caller(name).post("/v1/batch", body)
        if name == scope:
            answer.expect(200)
        else:
            assert f'"{scope}"' in answer.problem(403, "forbidden")["detail"]
    caller("admin").post("/v1/batch", body).expect(200)


@pytest.mark.parametrize("value", [
    "", "Bearer", "Bearer ", "Basic {key}", "{key}", "Bearer {key}x", "Bearer x{key}", "Bearer {key} {key}", "Bearer,{key}",
    "Bearer {upper}", "Bearer {name}", "Bearer {hash}", "bearer  ", "Digest Bearer {key}"])
def test_what_is_no_credential(house, value):
    key, entry = house.keys.texts["read"], house.keys.entries[0]
    text = value.format(key=key, upper=key.swapcase(), name=entry["name"], hash=entry["hash"].split("$")[2])
    with Client(house.port, {"Authorization": text}) as c:
        answer = c.get("/v1/models")
        answer.problem(401, "unauthenticated")
        assert answer.header("WWW-Authenticate") and key not in answer.text


def test_spellings_of_a_credential(house):
    for text in ("Bearer {}", "bearer {}", "BEARER   {}", "Bearer {} "):
        with Client(house.port, {"Authorization": text.format(house.keys.texts["read"])}) as c:
            c.get("/v1/models").expect(200)


# ---- connections ----

def test_urls_are_for_admins(caller):
    for name in ("admin", "boss"):
        assert all("url" in c for c in caller(name).get("/v1/connections").expect(200).json()["connections"])
        assert caller(name).get("/v1/connections/one").json()["url"].startswith("sqlite:")
    for name in ("read", "all but admin", "only one"):
        client = caller(name)
        assert not any("url" in c for c in client.get("/v1/connections").expect(200).json()["connections"] if c.get("url"))
        answer = client.get("/v1/connections/one").expect(200)
        assert not answer.json().get("url") and ".db" not in answer.text


def test_list_of_connections(caller, note):
    """A key sees and uses those of its list alone, by whatever road."""
    client = caller("only one")
    assert [c["name"] for c in client.get("/v1/connections").expect(200).json()["connections"]] == ["one"]
    assert caller("nothing").get("/v1/connections").expect(200).json()["connections"] == []
    client.get("/v1/connections/one").expect(200)
    client.post("/v1/connections/one/check").expect(200)
    query = {"model_name": "Note"}
    roads = [
        lambda c: c.get("/v1/connections/two"),
        lambda c: c.post("/v1/connections/two/check"),
        lambda c: c.post("/v1/query", query, params={"using": "two"}),
        lambda c: c.post("/v1/query", {**query, "using": "two"}),
        lambda c: c.post("/v1/query", query),  # the default is not in the list
        lambda c: c.post("/v1/query/delete", {**query, "using": "two"}),
        lambda c: c.get("/v1/models/Note/records", params={"using": "two"}),
        lambda c: c.post("/v1/models/Note/records", {"id": 9}, params={"using": "two"}),
        lambda c: c.post("/v1/sql/fetch-all", {"sql": "SELECT 1 AS a", "using": "two"}),
        lambda c: c.post("/v1/batch", {"using": "two", "steps": [{"op": "query", "query": query}]}),
        lambda c: c.post("/v1/sessions", {"using": "two"}),
        lambda c: c.post("/v1/sessions"),
        lambda c: c.post("/v1/transactions", {"using": "two"}),
        lambda c: c.post("/v1/transactions")]
    for number, road in enumerate(roads):
        answer = road(client)
        assert answer.status == 403, (number, answer.body)
        assert "connection" in answer.problem(403, "forbidden")["detail"]
    with client.session(using="one") as session:
        session.post("/v1/query", query).expect(200)
        assert session.post("/v1/query", {**query, "using": "two"}).status in (403, 409)
    assert sql(caller("sql"), "SELECT count(*) AS n FROM note WHERE id = 9", using="two").json()["rows"] == [{"n": 0}]


# ---- belongings ----

def test_sessions_belong_to_their_key(caller, note):
    mine = caller("all but admin").session(using="one")
    session = mine.headers["Ferro-Session"]
    inside = mine.transaction()
    tx = inside.headers["Ferro-Transaction"]
    for name in ("read", "admin", "boss"):
        other = caller(name, Ferro_Session=session)
        other.get("/v1/session").problem(404, "session_not_found")
        other.delete("/v1/session").problem(404, "session_not_found")
        other.delete("/v1/session/identity-map").problem(404, "session_not_found")
        answer = other.post("/v1/query", {"model_name": "Note"})
        answer.problem(404, "session_not_found")
        assert answer.header("Ferro-Session-Info") is None
        other.post("/v1/transactions").problem(404, "session_not_found")
        for client in (caller(name), caller(name, Ferro_Session=session)):
            for verb, path in (("GET", ""), ("POST", "/commit"), ("POST", "/rollback")):
                assert client.request(verb, f"/v1/transactions/{tx}{path}").status == 404
        with caller(name).session(using="one") as own:
            assert own.get(f"/v1/transactions/{tx}").status == 404
    listed = caller("admin").get("/v1/sessions").expect(200)
    assert session not in listed.text and [s for s in listed.json()["sessions"] if s["owner"] == "all but admin"]
    inside.post("/v1/query", {"model_name": "Note"}).expect(200)
    inside.post(f"/v1/transactions/{tx}/rollback").expect(200)
    mine.delete("/v1/session").expect(204)


def test_transactions_belong_to_their_key(caller, note):
    inside = caller("only one").transaction(using="one")
    tx = inside.headers["Ferro-Transaction"]
    for name in ("sql", "admin"):
        caller(name, Ferro_Transaction=tx).post("/v1/query", {"model_name": "Note"}).expect(404 if name == "admin" else 403)
        other = caller("all but admin", Ferro_Transaction=tx)
        other.post("/v1/query", {"model_name": "Note"}).problem(404, "transaction_not_found")
        other.post("/v1/sql/execute", {"sql": "DELETE FROM note"}).problem(404, "transaction_not_found")
        other.post("/v1/transactions").problem(404, "transaction_not_found")
        other.post(f"/v1/transactions/{tx}/commit").problem(404, "transaction_not_found")
    assert inside.get(f"/v1/transactions/{tx}").json()["state"] == "open"
    inside.post(f"/v1/transactions/{tx}/commit").expect(200)


def test_kept_answers_belong_to_their_key(caller, note):
    once = {"Idempotency-Key": "the-same-for-both"}
    path = "/v1/models/Note/records?using=one"
    first = caller("only one").post(path, {"id": 1, "text": "a secret of mine"}, headers=once).expect(201)
    assert caller("only one").post(path, {"id": 1, "text": "a secret of mine"}, headers=once).body == first.body
    answer = caller("write").post(path, {"id": 1, "text": "a secret of mine"}, headers=once)
    answer.problem(409, "unique_violation")
    assert answer.header("Idempotency-Replayed") is None
    caller("admin").delete("/v1/models/Note/records/1?using=one").expect(204)


# ---- the file ----

def test_key_new():
    code, out, err = run_binary("key", "new", "--name", 'a "b" \\', "--scopes", "read,sql", "--connections", "one,two")
    assert (code, err) == (0, "")
    made = json.loads(out)
    kind, salt, digest = made["entry"]["hash"].split("$")
    assert kind == "sha256" and hashlib.sha256(bytes.fromhex(salt) + made["key"].encode()).hexdigest() == digest
    assert made["entry"] | {"hash": 0} == {"name": 'a "b" \\', "hash": 0, "scopes": ["read", "sql"], "connections": ["one", "two"]}
    assert len(made["key"]) >= 43 and made["key"] not in json.dumps(made["entry"])
    again = json.loads(run_binary("key", "new", "--name", "a", "--scopes", "read")[1])
    assert again["key"] != made["key"] and again["entry"]["hash"].split("$")[1] != salt


@pytest.mark.parametrize("args", [
    [], ["new"], ["new", "--name", "n"], ["new", "--scopes", "read"], ["new", "--name", "n", "--scopes", "all"],
    ["new", "--name", "n", "--scopes", "read,"], ["new", "--name", "", "--scopes", "read"], ["new", "--nome", "n", "--scopes", "read"],
    ["old", "--name", "n", "--scopes", "read"], ["new", "--name", "n", "--scopes", "read", "--connections", ""]])
def test_key_new_refuses(args):
    code, out, err = run_binary("key", *args)
    assert (code, out) == (2, "") and len(err.strip().split("\n")) == 1


GOOD = {"name": "n", "hash": "sha256$00$" + "0" * 64, "scopes": ["read"]}


@pytest.mark.parametrize("text", [
    "", "{}", "[1]", "null", json.dumps([GOOD, GOOD]), json.dumps([GOOD | {"name": ""}]), json.dumps([GOOD | {"name": 5}]),
    json.dumps([GOOD | {"hash": "hush-plain-key"}]), json.dumps([GOOD | {"hash": "md5$00$" + "0" * 64}]),
    json.dumps([GOOD | {"hash": "sha256$00$00"}]), json.dumps([GOOD | {"hash": "sha256$zz$" + "0" * 64}]),
    json.dumps([GOOD | {"scopes": ["everything"]}]), json.dumps([GOOD | {"scopes": "read"}]), json.dumps([GOOD | {"connections": "one"}]),
    json.dumps([GOOD | {"connections": [1]}]), json.dumps([GOOD | {"key": "hush-plain-key"}]), json.dumps([{"name": "n"}]),
    json.dumps([GOOD | {"name": "admin"}])])
def test_bad_keys_files(tmp_path, text):
    path = tmp_path / "keys.json"
    path.write_text(text)
    code, out, err = run_binary("--listen", "127.0.0.1:0", "--keys-file", str(path), cwd=str(tmp_path), env={"FERROD_ADMIN_KEY": "x"})
    assert (code, out) == (2, "") and len(err.strip().split("\n")) == 1, err
    assert "hush" not in err


def test_reload(tmp_path):
    """SIGHUP: new keys work, removed ones do not, a broken file changes nothing; as often as one likes."""
    keys = Keys(tmp_path)
    keys.add("stays", ["admin"])
    keys.add("goes", ["read"])
    with Server("--keys-file", str(keys.path)) as server:
        def reload(ends="reloaded"):
            other = "reload_failed" if ends == "reloaded" else "reloaded"
            before, others = len(server.events(ends)), len(server.events(other))
            server.process.send_signal(signal.SIGHUP)
            wait_for(lambda: len(server.events(ends)) > before, 10, "the reload")
            assert len(server.events(other)) == others
        stays, goes = keys.client(server.port, "stays"), keys.client(server.port, "goes")
        session = stays.session()
        goes.get("/v1/models").expect(200)
        keys.remove("goes")
        keys.add("comes", ["read"], ["default"])
        goes.get("/v1/models").expect(200)
        reload()
        goes.get("/v1/models").problem(401, "unauthenticated")
        comes = keys.client(server.port, "comes")
        comes.get("/v1/models").expect(200)
        session.get("/v1/session").expect(200)
        for text, said in (("", "not a JSON array"), ("[\n [", "line 2"), (json.dumps([GOOD, GOOD]), "entry 1"), ('[{"name": "x"}]', '"hash"')):
            failed = len(server.events("reload_failed"))
            keys.write(text)
            reload("reload_failed")
            assert said in server.events("reload_failed")[failed]["message"]
            comes.get("/v1/models").expect(200)
        keys.path.unlink()
        reload("reload_failed")
        comes.get("/v1/models").expect(200)
        for _ in range(100):
            keys.write()
            reload()
        keys.remove("comes")
        reload()
        comes.get("/v1/models").problem(401, "unauthenticated")
        stays.get("/v1/models").expect(200)
        for client in (stays, goes, comes, session):
            client.close()


def test_reload_under_load(house):
    """Requests that run while keys are swapped keep theirs."""
    with house.keys.client(house.port, "all but admin") as client:
        for number in range(300):
            if number % 10 == 0:
                house.process.send_signal(signal.SIGHUP)
            client.get("/v1/connections").expect(200)


def test_keys_in_the_configuration(tmp_path):
    """api.md section 12: the same array as `keys` of the configuration file, read again on SIGHUP, beside a keys file."""
    (tmp_path / "more").mkdir()
    listed, filed = Keys(tmp_path), Keys(tmp_path / "more")
    listed.add("listed", ["read"])
    filed.add("filed", ["admin"])
    config = {"keys": listed.entries, "keys_file": str(filed.path)}
    with Server(config=config) as server:
        listed.client(server.port, "listed").get("/v1/models").expect(200)
        listed.client(server.port, "listed").get("/v1/sessions").problem(403, "forbidden")
        filed.client(server.port, "filed").get("/v1/sessions").expect(200)
        with Client(server.port) as nobody:
            nobody.get("/v1/models").problem(401, "unauthenticated")
        listed.remove("listed")
        listed.add("later", ["read"])
        (server.dir / "config.json").write_text(json.dumps({**config, "keys": listed.entries}), encoding="utf-8")
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: server.events("reloaded"), 10, "the reload")
        listed.client(server.port, "later").get("/v1/models").expect(200)
    for wrong in ([{"name": "a"}], [{**listed.entries[0], "scopes": ["all"]}], listed.entries * 2):
        path = tmp_path / "wrong.json"
        path.write_text(json.dumps({"keys": wrong}), encoding="utf-8")
        code, _, err = run_binary("--config", str(path), "--listen", "127.0.0.1:0", cwd=str(tmp_path))
        assert code == 2 and err.startswith('ferrod: "keys", entry ') and err.count("\n") == 1, err
    path.write_text('{"keys": {}}', encoding="utf-8")
    code, _, err = run_binary("--config", str(path), cwd=str(tmp_path))
    assert code == 2 and '"keys" has the wrong type (object)' in err


def test_public_metrics(tmp_path):
    with Server("--public-metrics", env={"FERROD_ADMIN_KEY": ADMIN}) as server, Client(server.port) as nobody:
        nobody.get("/metrics").expect(200)
        nobody.get("/version").expect(200)
        nobody.post("/v1/batch", {"steps": [{"op": "sql.execute", "sql": "SELECT 1"}]}).problem(401, "unauthenticated")
        nobody.get("/v1/models").problem(401, "unauthenticated")


# ---- exposure and browsers ----

@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0"])
def test_refuses_to_listen_beyond_loopback_without_keys(tmp_path, listen):
    code, _, err = run_binary("--listen", listen, cwd=str(tmp_path))
    assert code == 2 and "--insecure-no-auth" in err
    with Server(listen=listen, env={"FERROD_ADMIN_KEY": ADMIN}) as server, Client(server.port) as nobody:
        nobody.get("/v1/models").problem(401, "unauthenticated")
        assert server.events("no_auth") == []
    with Server("--insecure-no-auth", listen=listen) as server:
        assert server.events("no_auth")[0]["level"] == "warn"


HOSTS = [("localhost", True), ("LOCALHOST:{port}", True), ("127.0.0.1", True), ("127.9.9.9:80", True), ("[::1]:{port}", True),
         ("evil.example", False), ("localhost.evil.example", False), ("127.0.0.1.evil.example", False),
         ("evil.example:127", False), ("[::2]", False), ("10.0.0.1", False), ("127.evil.example", False), ("", False)]
ORIGINS = [("http://localhost", True), ("http://LOCALHOST:80", True), ("http://127.0.0.1:{port}", False), ("https://localhost", False),
           ("http://localhost:1", False), ("http://[::1]:{port}", False),
           ("http://evil.example", False), ("http://localhost.evil.example", False), ("null", False), ("", False), ("file://", False),
           ("http://127.0.0.1.evil.example", False), ("http://localhost@evil.example", False), ("localhost", False)]


@pytest.mark.parametrize("host, fine", HOSTS)
def test_hosts_on_loopback_without_keys(server, host, fine):
    with RawConnection(server.port) as raw:
        raw.send(f"GET /v1/models HTTP/1.1\r\nHost: {host.format(port=server.port)}\r\n\r\n")
        answer = raw.response()
        if fine:
            assert answer.status == 200
        else:
            answer.problem(403, "forbidden")


@pytest.mark.parametrize("origin, fine", ORIGINS)
def test_origins_on_loopback_without_keys(server, origin, fine):
    with RawConnection(server.port) as raw:
        raw.request("POST", "/v1/query/count", b"{}", headers=[("Origin", origin.format(port=server.port))])
        answer = raw.response()
        if fine:
            assert answer.status == 422
        else:
            answer.problem(403, "forbidden")
        assert answer.header("Access-Control-Allow-Origin") is None


def test_keys_need_no_host_check(house):
    with RawConnection(house.port) as raw:
        raw.request("GET", "/v1/models", headers=[("Origin", "https://anything.example"),
                                                  ("Authorization", f"Bearer {house.keys.texts['read']}")])
        assert raw.response().status == 200


# ---- CORS ----

APP = "https://app.example"


def preflight(client, origin, method="POST"):
    return client.options("/v1/query", headers={"Origin": origin, "Access-Control-Request-Method": method,
                                                "Access-Control-Request-Headers": "authorization, content-type"})


def test_cors_is_off_by_default(house, caller):
    answer = preflight(caller("read"), APP)
    answer.expect(204)
    assert not [name for name, _ in answer.headers if name.lower().startswith("access-control") or name.lower() == "vary"]
    answer = caller("read").get("/v1/models", headers={"Origin": APP}).expect(200)
    assert answer.header("Access-Control-Allow-Origin") is None


def test_cors_for_listed_origins():
    with Server("--cors-origins", f"{APP}, http://localhost:5173", env={"FERROD_ADMIN_KEY": ADMIN}) as server, \
            Client(server.port) as nobody:
        for origin in (APP, "http://localhost:5173"):
            answer = preflight(nobody, origin).expect(204)  # a preflight carries no credential
            assert answer.header("Access-Control-Allow-Origin") == origin
            assert set(answer.header("Access-Control-Allow-Methods").split(", ")) == {"POST", "OPTIONS"}
            allowed = answer.header("Access-Control-Allow-Headers").lower().split(", ")
            assert {"authorization", "content-type", "ferro-session", "ferro-transaction", "prefer", "idempotency-key"} <= set(allowed)
            assert int(answer.header("Access-Control-Max-Age")) > 0 and answer.header("Vary") == "Origin"
            answer = nobody.get("/v1/models", headers={"Origin": origin})
            answer.problem(401, "unauthenticated")  # and the page can read why
            assert answer.header("Access-Control-Allow-Origin") == origin
            answer = nobody.get("/v1/models", headers={"Origin": origin, "Authorization": f"Bearer {ADMIN}"}).expect(200)
            exposed = answer.header("Access-Control-Expose-Headers").split(", ")
            assert {"Ferro-Session", "Ferro-Transaction", "Location", "ETag", "Retry-After", "X-Request-Id"} <= set(exposed)
            assert answer.header("Access-Control-Allow-Credentials") is None
        for origin in ("https://evil.example", APP + ".evil.example", APP.upper(), "null", APP + "/", "http://app.example", "*"):
            for answer in (preflight(nobody, origin), nobody.get("/healthz", headers={"Origin": origin})):
                assert answer.header("Access-Control-Allow-Origin") is None, origin
                assert answer.header("Access-Control-Allow-Methods") is None
                assert answer.header("Vary") == "Origin"
        assert nobody.options("/v1/query", headers={"Origin": APP}).header("Access-Control-Allow-Methods") is None


def test_cors_for_everybody_needs_keys(tmp_path):
    code, _, err = run_binary("--listen", "127.0.0.1:0", "--cors-origins", "*", cwd=str(tmp_path))
    assert code == 2 and "cors_origins" in err
    with Server("--cors-origins", "*", env={"FERROD_ADMIN_KEY": ADMIN}) as server, Client(server.port) as nobody:
        assert preflight(nobody, "https://any.example").header("Access-Control-Allow-Origin") == "https://any.example"


def test_cors_on_a_keyless_server_admits_the_listed_origin():
    with Server("--cors-origins", APP) as server, Client(server.port) as client:
        assert client.get("/v1/models", headers={"Origin": APP}).expect(200).header("Access-Control-Allow-Origin") == APP
        preflight(client, APP).expect(204)
        assert preflight(client, "https://evil.example").status == 403
        client.get("/v1/models", headers={"Origin": "https://evil.example"}).problem(403, "forbidden")


# ---- the rate ----

def test_rate_of_a_key(tmp_path):
    """Burst, refusal with Retry-After, recovery; each key has its own; what needs no key is not counted."""
    keys = Keys(tmp_path)
    keys.add("a", ["read"])
    keys.add("b", ["read"])
    with Server("--keys-file", str(keys.path), "--rate-limit-per-second", "2", "--rate-limit-burst", "5") as server, \
            keys.client(server.port, "a") as a, keys.client(server.port, "b") as b, Client(server.port) as nobody:
        for _ in range(5):
            a.get("/v1/models").expect(200)
        for method, path in (("GET", "/v1/models"), ("POST", "/v1/reset"), ("GET", "/version"), ("GET", "/v1/connections")):
            answer = a.request(method, path, validate=method == "GET")
            if answer.status != 429:  # a slow machine: half a second has passed
                continue
            assert answer.problem(429, "too_many_requests")["retryable"] and 1 <= int(answer.header("Retry-After")) <= 2
            break
        else:
            pytest.fail("never refused")
        b.get("/v1/models").expect(200)
        for _ in range(20):
            nobody.get("/healthz").expect(200)
            nobody.get("/v1/models").problem(401, "unauthenticated")
            a.get("/healthz").expect(200)
        wait_for(lambda: a.get("/v1/models").status == 200, 5, "a token")


def test_rate_without_keys():
    with Server("--rate-limit-per-second", "1", "--rate-limit-burst", "3") as server, Client(server.port) as client:
        statuses = [client.get("/v1/models").status for _ in range(10)]
        assert statuses[:3] == [200, 200, 200] and 429 in statuses


def test_rates_of_their_own(tmp_path):
    """A key's own rate and burst in place of the settings, which need not be there; SIGHUP changes them."""
    keys = Keys(tmp_path)
    for name, quotas in (("slow", {"rate_limit_per_second_per_key": 1, "rate_limit_burst_per_key": 3}), ("plain", None),
                         ("second", {"rate_limit_per_second_per_key": 2})):
        keys.add(name, ["read"])
        if quotas is not None:
            keys.entries[-1]["quotas"] = quotas
    keys.write()

    def passed(client, most):
        """How many of twenty in a row, at least; more only as time goes by."""
        answers = [client.get("/v1/models") for _ in range(20)]
        assert [a.status for a in answers[:most]] == [200] * most
        for late in (a for a in answers if a.status != 200):
            assert late.problem(429, "too_many_requests")["retryable"] and int(late.header("Retry-After")) == 1
        return sum(a.status == 200 for a in answers)

    for settings, plain in (([], 20), (["--rate-limit-per-second", "5", "--rate-limit-burst", "4"], 4)):
        with Server("--keys-file", str(keys.path), *settings) as server, keys.client(server.port, "slow") as slow, \
                keys.client(server.port, "plain") as other, keys.client(server.port, "second") as second:
            assert passed(slow, 3) < 20
            assert (passed(other, plain) == 20) == (not settings)
            assert passed(second, 4 if settings else 2) < 20  # the setting's burst, or a second's
            wait_for(lambda: slow.get("/v1/models").status == 200, 5, "a token")
            del keys.entries[0]["quotas"]
            keys.write()
            server.process.send_signal(signal.SIGHUP)
            wait_for(lambda: slow.get("/v1/models").status == 200 and
                     (settings or all(slow.get("/v1/models").status == 200 for _ in range(20))), 10, "other quotas")
            keys.entries[0]["quotas"] = {"rate_limit_per_second_per_key": 1, "rate_limit_burst_per_key": 3}
            keys.write()
