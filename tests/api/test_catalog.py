"""The catalog: connections, models and keys declared in files; databases that come up later; what is found in them."""
import hashlib
import pathlib
import signal
import socket
import sqlite3
import time

import pytest

from support.catalog import AUTHOR, BOOK, RELATED, catalog, everything, model, reload, shop
from support.client import Client
from support.pg import Postgres
from support.process import wait_for
from support.server import Server, run_binary


# ---- start ----

def test_tables_exist_and_the_first_request_works(backend, catalog):
    """From files alone: no start-up code."""
    one = catalog("10-connections", connections=[shop(backend.url)])
    two = catalog("20-models", models=[AUTHOR, BOOK])
    with catalog.start() as server, Client(server.port) as c:
        c.post("/v1/models/Author/records", {"name": "Le Guin"}).expect(201)
        c.post("/v1/models/Book/records", {"title": "The Dispossessed", "author_id": 1}).expect(201)
        c.get("/readyz").expect(200)
        assert everything(c) == {"connections": {"shop": ("declared", str(one))},
                                 "models": {"Author": ("declared", str(two)), "Book": ("declared", str(two))}}
        listed = c.get("/v1/connections").expect(200).json()
        assert listed["default"] == "shop" and [x["origin"] for x in listed["connections"]] == ["declared"]
        assert c.get("/v1/models/Author").expect(200).json()["origin"] == "declared"
        assert not list(server.dir.glob("ferrod.db*"))   # the default that nobody asked for is not made


def test_one_file_is_a_catalog_too(backend, catalog):
    path = catalog("all", connections=[shop(backend.url, models=["Author"])], models=[AUTHOR, BOOK])
    with Server("--catalog", str(path)) as server, Client(server.port) as c:
        c.post("/v1/models/Author/records", {"name": "x"}).expect(201)
        assert c.post("/v1/models/Book/records", {"title": "x", "author_id": 1}).status == 400   # its table was not asked for


def test_an_empty_directory_is_an_empty_catalog(catalog):
    with catalog.start() as server, Client(server.port) as c:
        assert everything(c) == {"connections": {"default": ("built_in", None)}, "models": {}}
        c.get("/readyz").expect(200)


@pytest.mark.parametrize("mode,column", [("none", False), ("create", False), ("updates", True), ("destructive", True)])
def test_how_much_is_migrated(backend, catalog, mode, column):
    catalog("a", connections=[shop(backend.url, migrate="create")], models=[AUTHOR])
    with catalog.start() as server, Client(server.port) as c:
        c.post("/v1/models/Author/records", {"name": "x"}).expect(201)
    wider = {**AUTHOR, "columns": AUTHOR["columns"] + [{"name": "born", "logical_type": "integer", "nullable": True}]}
    catalog("a", connections=[shop(backend.url, migrate=mode)], models=[wider])
    with catalog.start() as server, Client(server.port) as c:
        answer = c.get("/v1/models/Author/records")
        assert (answer.status == 200) is column, answer.body


def test_keys(sqlite_backend, catalog):
    salt, secret = "00" * 16, "k" * 40
    entry = {"name": "app", "hash": f"sha256${salt}${hashlib.sha256(bytes(16) + secret.encode()).hexdigest()}",
             "scopes": ["read"], "connections": ["shop"]}
    catalog("a", connections=[shop(sqlite_backend.url)], models=[AUTHOR], keys=[entry])
    with catalog.start() as server, Client(server.port) as c:
        c.get("/v1/models").problem(401, "unauthenticated")
        bearer = {"Authorization": f"Bearer {secret}"}
        c.get("/v1/models/Author/records", headers=bearer).expect(200)
        c.post("/v1/catalog/reload", headers=bearer).problem(403, "forbidden")
        catalog("a", connections=[shop(sqlite_backend.url)], models=[AUTHOR], keys=[{**entry, "scopes": ["admin"]}])
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: server.events("reloaded"), 10, "the reload")
        c.post("/v1/catalog/reload", headers=bearer).expect(200)
        # a fault in a key leaves everything as it is
        catalog("a", connections=[], models=[], keys=[{**entry, "scopes": ["everything"]}])
        answer = c.post("/v1/catalog/reload", headers=bearer)
        assert answer.problem(400, "invalid_request")["detail"].startswith(f"{catalog.path}/a.json: /keys/0: ")
        c.get("/v1/models/Author/records", headers=bearer).expect(200)


# ---- references ----

def test_references(sqlite_backend, catalog, tmp_path):
    directory = pathlib.Path(sqlite_backend.path).parent
    secret = tmp_path / "name"
    secret.write_text("odd %41 name.db\n")
    catalog("a", connections=[{"name": "whole", "url": "${env:WHOLE}"},
                              {"name": "parts", "url": f"sqlite:{directory}/${{file:{secret}}}?mode=rwc"},
                              {"name": "literal", "url": f"sqlite:{directory}/$${{x}}.db?mode=rwc", "default": True, "migrate": "create"}],
            models=[model("${env:MODEL}", table_name="t_$${}")])
    with catalog.start(env={"WHOLE": sqlite_backend.url, "MODEL": "Told"}) as server, Client(server.port) as c:
        for name in ("whole", "parts", "literal"):
            c.post(f"/v1/connections/{name}/check").expect(200)
        assert (directory / "odd %41 name.db").exists() and (directory / "${x}.db").exists()
        assert c.get("/v1/models/Told").expect(200).json()["table_name"] == "t_${}"


def test_a_password_is_encoded_in_a_url(postgres_backend, catalog, tmp_path):
    """Whatever is in it, and it shows nowhere."""
    password = "p@ss/w:rd?#%20 ü"
    postgres_backend.pg.psql(f"DROP ROLE IF EXISTS odd; CREATE ROLE odd LOGIN PASSWORD '{password}'")
    secret = tmp_path / "pw"
    secret.write_text(password + "\n")
    url = postgres_backend.url
    host = url.split("://", 1)[1].split("@")[-1]
    catalog("a", connections=[{"name": "pg", "url": f"postgres://odd:${{file:{secret}}}@{host}", "default": True}])
    with catalog.start() as server, Client(server.port) as c:
        assert c.post("/v1/sql/fetch-one", {"sql": "SELECT current_user::text AS u"}).expect(200).json()["row"] == {"u": "odd"}
        text = c.get("/v1/connections").text + c.get("/v1/catalog").text + server.log()
        assert "p@ss" not in text and "p%40ss" not in text


# ---- faults ----

OK = {"name": "a", "url": "sqlite::memory:"}
FAULTS = [
    ({"connection": []}, "/connection"),
    ({"connections": {}}, "/connections"),
    ({"connections": [7]}, "/connections/0"),
    ({"connections": [{"name": "a"}]}, "/connections/0/url"),
    ({"connections": [{"url": "sqlite::memory:"}]}, "/connections/0/name"),
    ({"connections": [{**OK, "name": "a-b"}]}, "/connections/0/name"),
    ({"connections": [{**OK, "url": "mysql://x"}]}, "/connections/0/url"),
    ({"connections": [{**OK, "url": "postgres://h/db?nonsense=1"}]}, "/connections/0/url"),
    ({"connections": [{**OK, "pool": {"max_connections": 0}}]}, "/connections/0/pool/max_connections"),
    ({"connections": [{**OK, "poll": {}}]}, "/connections/0/poll"),
    ({"connections": [{**OK, "migrate": "yes"}]}, "/connections/0/migrate"),
    ({"connections": [{**OK, "migrate": "revisions"}]}, "/connections/0/migrate"),
    ({"connections": [{**OK, "models": ["Nobody"]}]}, "/connections/0/models/0"),
    ({"connections": [{**OK, "migrate": "create", "models": ["Book"]}], "models": [AUTHOR, RELATED]}, "/connections/0/models"),
    ({"connections": [OK, {**OK, "url": "sqlite:b.db"}]}, "/connections/1/name"),
    ({"connections": [{**OK, "default": True}, {"name": "b", "url": "sqlite::memory:", "default": True}]}, "/connections/1/default"),
    ({"connections": [{**OK, "url": "${env:NOT_THERE}"}]}, "/connections/0/url"),
    ({"connections": [{**OK, "url": "sqlite:${file:/not/there}"}]}, "/connections/0/url"),
    ({"connections": [{**OK, "url": "sqlite:${what:ever}"}]}, "/connections/0/url"),
    ({"connections": [{**OK, "url": "sqlite:${env:HOME"}]}, "/connections/0/url"),
    ({"models": [{"model_name": "A"}]}, "/models/0/columns"),
    ({"models": [AUTHOR, {**AUTHOR, "model_name": "Other", "table_name": "author"}]}, "/models/1"),
    ({"models": [AUTHOR, AUTHOR]}, "/models/1"),
    ({"models": [RELATED]}, "/models/0/relations/0"),
    ({"models": [{**AUTHOR, "polices": []}]}, "/models/0/polices"),
    ({"introspect": [{"using": "a"}]}, "/introspect/0/using"),
    ({"connections": [OK], "introspect": [{"using": "a", "table": []}]}, "/introspect/0/table"),
    ({"connections": [OK], "introspect": [{"using": "a", "tables": [1]}]}, "/introspect/0/tables"),
    ({"connections": [OK], "introspect": [{"using": "a"}, {"using": "a"}]}, "/introspect/1/using"),
    ({"connections": [OK], "introspect": [{"using": "a", "schemas": ["public"]}]}, "/introspect/0/schemas"),
    ({"connections": [OK], "introspect": [{"using": "a", "schemas": ["main", 7]}]}, "/introspect/0/schemas"),
    ({"keys": [{"name": "x"}]}, "/keys/0/hash"),
]


@pytest.mark.parametrize("content,pointer", FAULTS, ids=[f"{pointer}-{i}" for i, (_, pointer) in enumerate(FAULTS)])
def test_a_fault_ends_the_start_with_one_line(catalog, tmp_path, content, pointer):
    """File, pointer, reason; nothing is served; check-config says the same."""
    catalog("10-fine", models=[model("Fine")])
    path = catalog("20-faulty", **content)
    for command in (["check-config"], []):
        code, out, err = run_binary(*command, "--catalog", str(catalog.path), "--listen", "127.0.0.1:0", cwd=tmp_path)
        assert code == 2 and out == "", (code, out, err)
        assert err.startswith(f"ferrod: {path}: {pointer}") and err.count("\n") == 1 and err.strip()[-1] != ":", err
    assert not list(tmp_path.glob("ferrod.db*"))


def test_faults_of_files(catalog, tmp_path):
    def refused(path, *words):
        code, out, err = run_binary("check-config", "--catalog", str(path), cwd=tmp_path)
        assert code == 2 and out == "" and err.count("\n") == 1 and all(word in err for word in words), err

    refused(tmp_path / "missing", "missing", "No such file")
    (catalog.path / "a.json").write_text('{"models": [')
    refused(catalog.path, "a.json", "line 1")
    (catalog.path / "a.json").write_text('[]')
    refused(catalog.path, "a.json", "object")
    (catalog.path / "a.json").write_text('{"models": [], "models": []}')
    refused(catalog.path, "a.json")
    (catalog.path / "a.json").write_text("{}")
    (catalog.path / "b.json").mkdir()
    refused(catalog.path, "b.json")
    (catalog.path / "b.json").rmdir()
    (catalog.path / "c.txt").write_text("not looked at")
    assert run_binary("check-config", "--catalog", str(catalog.path), cwd=tmp_path)[0] == 0


def test_names_clash_across_files(catalog, tmp_path):
    first = catalog("a", connections=[OK])
    second = catalog("b", connections=[OK])
    code, _, err = run_binary("check-config", "--catalog", str(catalog.path), cwd=tmp_path)
    assert code == 2 and err.startswith(f"ferrod: {second}: /connections/0/name: ") and str(first) in err


def test_a_secret_shows_in_no_fault(catalog, tmp_path):
    catalog("a", connections=[{"name": "a", "url": "postgres://u:${env:SECRET}@h/db?bogus=1"}])
    code, _, err = run_binary("check-config", "--catalog", str(catalog.path), env={"SECRET": "hunter2"}, cwd=tmp_path)
    assert code == 2 and "hunter2" not in err


def test_sqlite_dir_binds_the_catalog(catalog, tmp_path):
    catalog("a", connections=[{"name": "a", "url": "sqlite:/etc/elsewhere.db?mode=rwc"}])
    inside = tmp_path / "data"
    inside.mkdir()
    code, _, err = run_binary("check-config", "--catalog", str(catalog.path), "--sqlite-dir", str(inside), cwd=tmp_path)
    assert code == 2 and "/connections/0/url" in err


def test_a_file_that_cannot_be_opened_is_a_fault(catalog, tmp_path):
    """At start (nothing is served) and at reload (everything is as it was)."""
    path = catalog("a", connections=[{"name": "a", "url": "sqlite:/no/such/dir/x.db?mode=rwc"}])
    code, out, err = run_binary("--catalog", str(catalog.path), "--listen", "127.0.0.1:0", cwd=tmp_path)
    assert code == 2 and out == "" and err.startswith(f"ferrod: {path}: /connections/0/url: ") and err.count("\n") == 1, err
    catalog("a", models=[AUTHOR])
    with catalog.start() as server, Client(server.port) as c:
        catalog("a", connections=[{"name": "a", "url": "sqlite:/no/such/dir/x.db?mode=rwc"}])
        assert c.post("/v1/catalog/reload").problem(400, "invalid_url")["detail"].startswith(f"{path}: /connections/0")
        assert list(everything(c)["models"]) == ["Author"]


# ---- databases that come up later ----

def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def test_a_database_that_comes_up_later(catalog):
    """Any order: ferrod serves, names what is missing, migrates when it answers; others are served meanwhile."""
    pg = Postgres()
    try:
        url = pg.url("postgres")
        pg.stop()
        catalog("a", connections=[shop(url), {"name": "files", "url": "sqlite:files.db?mode=rwc", "migrate": "create"}], models=[AUTHOR])
        with catalog.start() as server, Client(server.port) as c:
            problem = c.get("/readyz").problem(503, "database_unavailable")
            assert "shop" in problem["detail"] and "files" not in problem["detail"] and problem["retryable"]
            for answer in (c.get("/v1/models/Author/records"), c.post("/v1/sessions", {"using": "shop"}),
                           c.post("/v1/transactions", {"using": "shop"}), c.post("/v1/connections/shop/check"),
                           c.post("/v1/batch", {"steps": [{"op": "sql.execute", "sql": "SELECT 1"}]})):
                assert answer.problem(503, "database_unavailable")["retryable"] and answer.header("Retry-After")
            c.post("/v1/models/Author/records", {"name": "x"}, params={"using": "files"}).expect(201)
            assert c.get("/v1/connections/shop").expect(200).json()["server_version"] is None
            c.get("/healthz").expect(200)
            pg.start()
            wait_for(lambda: c.get("/readyz").status == 200, 3, "readiness")
            c.post("/v1/models/Author/records", {"name": "x"}).expect(201)
            assert server.events("connection_up") and server.events("connection_waiting")
    finally:
        pg.destroy()


def test_a_default_database_that_is_not_there_ends_nothing(pg):
    """The setting's own default connection, too."""
    with Server("--default-url", f"postgres://nobody@127.0.0.1:{free_port()}/nothing") as server, Client(server.port) as c:
        assert "default" in c.get("/readyz").problem(503, "database_unavailable")["detail"]
        assert c.get("/v1/connections").expect(200).json()["connections"][0]["origin"] == "built_in"
        c.post("/v1/sql/execute", {"sql": "SELECT 1"}).problem(503, "database_unavailable")
        # an unnamed connect replaces it, as ever
        c.post("/v1/connections", {"url": "sqlite::memory:"}).expect(201)
        c.post("/v1/sql/execute", {"sql": "SELECT 1"}).expect(200)
        c.get("/readyz").expect(200)


def test_a_refused_login_may_pass(postgres_backend, catalog):
    pg = postgres_backend.pg
    pg.psql("DROP ROLE IF EXISTS late")
    host = postgres_backend.url.split("://", 1)[1].split("@")[-1]
    catalog("a", connections=[{"name": "late", "url": f"postgres://late@{host}", "default": True}])
    with catalog.start() as server, Client(server.port) as c:
        assert "late" in c.get("/readyz").problem(503, "database_unavailable")["detail"]
        pg.psql("CREATE ROLE late LOGIN")
        wait_for(lambda: c.get("/readyz").status == 200, 5, "readiness")
    pg.psql("DROP ROLE late")


def test_a_migration_that_is_refused(backend, catalog):
    """Not ready and says why, requests there are refused, reload tries again."""
    with Server("--default-url", backend.url) as server, Client(server.port) as c:
        c.post("/v1/sql/execute", {"sql": "CREATE TABLE author (id integer PRIMARY KEY, name varchar)"}).expect(200)
        c.post("/v1/sql/execute", {"sql": "INSERT INTO author VALUES (1, 'x')"}).expect(200)
    strict = {**AUTHOR, "columns": AUTHOR["columns"] + [{"name": "must", "logical_type": "integer"}]}
    catalog("a", connections=[shop(backend.url, migrate="destructive")], models=[strict])
    with catalog.start() as server, Client(server.port) as c:
        detail = c.get("/readyz").problem(503, "database_unavailable")["detail"]
        assert "shop" in detail and "must" in detail
        c.get("/v1/models/Author/records").problem(503, "database_unavailable")
        assert [e["connection"] for e in server.events("connection_failed")] == ["shop"]
        refused = c.post("/v1/catalog/reload")
        assert refused.problem(422, "migration_refused")["detail"].startswith(f"{catalog.path}/a.json: /connections/0: ")
        catalog("a", connections=[shop(backend.url, migrate="destructive")], models=[AUTHOR])
        reload(c)
        c.get("/readyz").expect(200)
        assert c.get("/v1/models/Author/records").expect(200).json()["row_count"] == 1


def test_several_nodes_migrate_once(backend, catalog):
    catalog("a", connections=[shop(backend.url, migrate="updates")], models=[AUTHOR, BOOK])
    servers = [catalog.start(wait=False) for _ in range(4)]
    try:
        for server in servers:
            server._wait_listening()
            with Client(server.port) as c:
                wait_for(lambda: c.get("/readyz").status == 200, 15, "readiness")
                c.post("/v1/models/Author/records", {"name": "x"}).expect(201)
                assert not server.events("connection_failed")
    finally:
        for server in servers:
            server.stop()


# ---- introspection ----

def test_introspected_models(backend, catalog):
    """Tables that are there become models, follow their changes, and are declared like the rest."""
    with Server("--default-url", backend.url) as server, Client(server.port) as c:
        c.post("/v1/sql/execute", {"sql": "CREATE TABLE customers (id integer PRIMARY KEY, name varchar)"}).expect(200)
        c.post("/v1/sql/execute", {"sql": "CREATE TABLE hidden (id integer PRIMARY KEY)"}).expect(200)
    path = str(catalog("a", connections=[{"name": "legacy", "url": backend.url, "default": True}],
                       introspect=[{"using": "legacy", "tables": ["customers"]}], models=[model("Own")]))
    with catalog.start() as server, Client(server.port) as c:
        assert everything(c)["models"] == {"customers": ("declared", path), "Own": ("declared", path)}
        c.post("/v1/models/customers/records", {"id": 1, "name": "x"}).expect(201)
        c.delete("/v1/models/customers").problem(409, "declared")
        assert reload(c)["unchanged"] == ["connection:legacy", "model:Own", "introspect:legacy"]
        assert "customers" in everything(c)["models"]
        c.post("/v1/sql/execute", {"sql": "ALTER TABLE customers ADD COLUMN age integer"}).expect(200)
        wait_for(lambda: "age" in [x["name"] for x in c.get("/v1/models/customers").json()["columns"]], 10, "the new column")
        assert c.get("/v1/models/customers/records/1").expect(200).json()["age"] is None
        catalog("a", connections=[{"name": "legacy", "url": backend.url, "default": True}],
                introspect=[{"using": "legacy"}], models=[model("Own")])
        assert reload(c)["changed"] == ["introspect:legacy"]
        assert sorted(everything(c)["models"]) == ["Own", "customers", "hidden"]
        catalog("a", connections=[{"name": "legacy", "url": backend.url, "default": True}], models=[model("Own")])
        assert reload(c)["removed"] == ["introspect:legacy"]
        assert sorted(everything(c)["models"]) == ["Own"]


def test_what_was_found_and_did_not_fit_is_published_once_it_fits(backend, catalog):
    with Server("--default-url", backend.url) as server, Client(server.port) as c:
        c.post("/v1/sql/execute", {"sql": "CREATE TABLE author (id integer PRIMARY KEY)"}).expect(200)
    catalog("a", connections=[{"name": "legacy", "url": backend.url, "default": True}], introspect=[{"using": "legacy"}])
    with catalog.start() as server, Client(server.port) as c:
        told = {**BOOK, "relations": [{"name": "writer", "kind": "forward", "target": "author", "column": "author_id"}]}
        c.post("/v1/models", {"models": [told]}).expect(200)
        c.post("/v1/sql/execute", {"sql": "DROP TABLE author"}).expect(200)
        wait_for(lambda: server.events("introspection_failed"), 10, "a told model that stands on what is gone")
        time.sleep(2.5)   # another look, which finds nothing new
        assert len(server.events("introspection_failed")) == 1 and "author" in everything(c)["models"]
        c.delete("/v1/models/Book").expect(204)
        wait_for(lambda: "author" not in everything(c)["models"], 10, "the tables as they are")


def test_introspected_schemas(backend, catalog):
    """Those that are named, and no other: their tables and views become models, which are read, written and followed."""
    schema = "main" if backend.name == "sqlite" else "billing"
    connection = {"name": "legacy", "url": backend.url, "default": True}
    with Server("--default-url", backend.url) as server, Client(server.port) as c:
        sql = lambda text: c.post("/v1/sql/execute", {"sql": text}).expect(200)  # noqa: E731
        if backend.name == "postgres":
            sql("CREATE SCHEMA billing")
            sql("CREATE TABLE elsewhere (id integer PRIMARY KEY)")
        sql(f"CREATE TABLE {schema}.invoices (id integer PRIMARY KEY, total integer)")
        sql(f"CREATE VIEW {schema}.large AS SELECT id, total FROM {schema}.invoices WHERE total > 10")
    catalog("a", connections=[connection], introspect=[{"using": "legacy", "schemas": [schema]}])
    with catalog.start() as server, Client(server.port) as c:
        assert sorted(everything(c)["models"]) == ["invoices", "large"]
        c.post("/v1/models/invoices/records", {"id": 1, "total": 20}).expect(201)
        assert c.get("/v1/models/large/records").expect(200).json()["rows"][0]["total"] == 20
        assert c.get("/v1/models/invoices").expect(200).json().get("schema") == (None if schema == "main" else schema)
        c.post("/v1/sql/execute", {"sql": f"ALTER TABLE {schema}.invoices ADD COLUMN paid integer"}).expect(200)
        c.post("/v1/sql/execute", {"sql": f"CREATE TABLE {schema}.lines (id integer PRIMARY KEY)"}).expect(200)
        wait_for(lambda: "lines" in everything(c)["models"], 10, "the new table")
        assert "paid" in [x["name"] for x in c.get("/v1/models/invoices").json()["columns"]]
        if backend.name == "postgres":  # several; of namesakes the first keeps the name
            c.post("/v1/sql/execute", {"sql": "CREATE TABLE invoices (id integer PRIMARY KEY, own integer)"}).expect(200)
            catalog("a", connections=[connection], introspect=[{"using": "legacy", "schemas": ["public", "billing"]}])
            assert reload(c)["changed"] == ["introspect:legacy"]
            assert {"elsewhere", "invoices", "billing.invoices", "lines"} <= set(everything(c)["models"])
            assert "own" in [x["name"] for x in c.get("/v1/models/invoices").json()["columns"]]
            catalog("a", connections=[connection], introspect=[{"using": "legacy"}])
            reload(c)
            assert sorted(everything(c)["models"]) == ["elsewhere", "invoices"]


def test_a_schema_that_is_not_there_is_said(postgres_backend, catalog):
    catalog("a", connections=[{"name": "legacy", "url": postgres_backend.url, "default": True}], introspect=[{"using": "legacy", "schemas": ["public", "nowhere"]}])
    with catalog.start() as server, Client(server.port) as c:
        detail = c.get("/readyz").problem(503, "database_unavailable")["detail"]
        assert "legacy" in detail and "nowhere" in detail


def test_a_table_that_is_not_there_is_said(backend, catalog):
    catalog("a", connections=[{"name": "legacy", "url": backend.url, "default": True}], introspect=[{"using": "legacy", "tables": ["nothing"]}])
    with catalog.start() as server, Client(server.port) as c:
        detail = c.get("/readyz").problem(503, "database_unavailable")["detail"]
        assert "legacy" in detail and "nothing" in detail


def test_what_is_written_down_wins_over_what_is_found(sqlite_backend, catalog):
    with sqlite3.connect(sqlite_backend.path) as db:
        db.execute("CREATE TABLE author (id integer PRIMARY KEY, name varchar NOT NULL, extra integer)")
    catalog("a", connections=[{"name": "legacy", "url": sqlite_backend.url, "default": True}], introspect=[{"using": "legacy"}], models=[AUTHOR])
    with catalog.start() as server, Client(server.port) as c:
        assert list(everything(c)["models"]) == ["Author"]
        assert "extra" not in [x["name"] for x in c.get("/v1/models/Author").json()["columns"]]


def test_a_large_catalog_starts_quickly(sqlite_backend, catalog):
    catalog("a", connections=[{"name": "shop", "url": sqlite_backend.url, "default": True}], models=[model(f"M{n}") for n in range(1000)])
    started = time.monotonic()
    with catalog.start() as server, Client(server.port) as c:
        print(f"{time.monotonic() - started:.3f} s")
        assert len(c.get("/v1/catalog").json()["models"]) == 1000
