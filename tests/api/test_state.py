"""The state: what callers told survives kill -9, sealed; what cannot be kept is refused; a state that cannot be read ends
the start."""
import json
import os
import pathlib
import shutil
import signal
import sqlite3
import stat
import threading
import time

import pytest

from support import kept
from support.client import Client
from support.kept import NOTICE, Node
from support.pg import Postgres
from support.process import wait_for
from support.relay import Relay
from support.server import Server, run_binary


def model(name, **more):
    return {"model_name": name, "columns": [{"name": "id", "logical_type": "integer", "primary_key": True}], **more}


@pytest.fixture(params=["sqlite", "postgres"])
def node(request, tmp_path):
    yield from kept.node(request, tmp_path)


def connect(c, url, name="shop", status=201, **more):
    return c.post("/v1/connections", {"name": name, "url": url, **more}).expect(status).json()


def names(c):
    return {x["name"]: x["origin"] for x in c.get("/v1/catalog").expect(200).json()["connections"]}


# ---- what survives ----

def test_connections_models_and_the_default_survive_kill_9(node, tmp_path):
    """Right after each 2xx."""
    c = node.start()
    connect(c, f"sqlite:{tmp_path}/shop.db?mode=rwc", pool={"max_connections": 3, "statement_timeout_seconds": 7.5}, identity_map=False)
    before = c.get("/v1/connections/shop").json()
    c = node.again()
    after = c.get("/v1/connections/shop").expect(200).json()
    assert {k: after[k] for k in ("url", "origin", "identity_map")} == {k: before[k] for k in ("url", "origin", "identity_map")}
    for k in ("max_connections", "statement_timeout_seconds", "idle_timeout_seconds"):
        assert after["pool"][k] == before["pool"][k]
    c.put("/v1/default-connection", {"name": "shop"}).expect(200)
    c = node.again()
    assert c.get("/v1/connections").json()["default"] == "shop"
    c.post("/v1/models", {"models": [model("One"), model("Two")]}).expect(200)
    told = c.get("/v1/models").json()
    c = node.again()
    assert c.get("/v1/models").json() == told
    c.post("/v1/create-tables").expect(200)
    c.post("/v1/models/One/records", {"id": 5}).expect(201)
    c.delete("/v1/models/Two").expect(204)
    c = node.again()
    assert [m["name"] for m in c.get("/v1/catalog").json()["models"]] == ["One"]
    c.get("/v1/models/One/records/5").expect(200)
    c.get("/readyz").expect(200)
    c.put("/v1/models", {"models": [model("Three")]}).expect(200)
    c = node.again()
    assert [m["name"] for m in c.get("/v1/catalog").json()["models"]] == ["Three"]
    c.delete("/v1/models").expect(204)
    c.delete("/v1/connections/shop").expect(204)
    c = node.again()
    assert c.get("/v1/catalog").json()["models"] == [] and names(c) == {"default": "built_in"}
    assert c.get("/v1/connections").json()["default"] == "default"


def test_models_come_back_as_they_were(node):
    """What a model leaves unsaid when it is kept means the same when it is read back."""
    c = node.start()
    c.post("/v1/models", {"models": [
        {"model_name": "Plain", "columns": [{"name": "code", "logical_type": "integer", "primary_key": True, "autoincrement": False},
                                            {"name": "flag", "logical_type": "boolean", "default": False},
                                            {"name": "nothing", "logical_type": "string", "nullable": True, "default": None}]},
        {"model_name": "Pair", "columns": [{"name": "a", "logical_type": "integer", "primary_key": True},
                                           {"name": "b", "logical_type": "string", "primary_key": True, "unique": True, "index": True},
                                           {"name": "at", "logical_type": "string", "format": "date-time", "default": ""}]},
        model("Counted")]}).expect(200)
    told = c.get("/v1/models").json()
    columns = {m["model_name"]: {x["name"]: x for x in m["columns"]} for m in told["payload"]["models"]}
    assert columns["Counted"]["id"]["autoincrement"] is True and columns["Plain"]["code"]["autoincrement"] is False
    c = node.again()
    assert c.get("/v1/models").json() == told


def test_an_unnamed_connect_and_a_reset_survive(node, tmp_path):
    c = node.start()
    c.post("/v1/connections", {"url": f"sqlite:{tmp_path}/unnamed.db?mode=rwc"}).expect(201)
    c = node.again()
    assert names(c) == {"default": "told"} and "unnamed.db" in c.get("/v1/connections/default").json()["url"]
    assert c.get("/v1/connections").json()["default"] == "default"
    c.post("/v1/models", {"models": [model("Kept")]}).expect(200)
    c.post("/v1/reset").expect(204)
    c = node.again()
    assert names(c) == {"default": "built_in"} and c.get("/v1/models/Kept").status == 200


def test_introspected_models_that_were_registered_survive(node):
    c = node.start()
    c.post("/v1/sql/execute", {"sql": "CREATE TABLE found (id integer PRIMARY KEY)"}).expect(200)
    c.post("/v1/introspect", {"register": True}).expect(200)
    c = node.again()
    c.get("/v1/models/found/records").expect(200)


def test_start_up_code_may_run_twice(node, tmp_path):
    """The same connect is 200; a restored one gives way once to another, then it is taken."""
    c = node.start()
    url, other, third = (f"sqlite:{tmp_path}/{n}.db?mode=rwc" for n in "abc")
    connect(c, url, pool={"max_connections": 3})
    again = c.post("/v1/connections", {"name": "shop", "url": url, "pool": {"max_connections": 3}})
    assert again.expect(200).json()["name"] == "shop" and again.header("Location") == "/v1/connections/shop"
    c.post("/v1/connections", {"name": "shop", "url": url}).problem(409, "connection_exists")          # other options
    c.post("/v1/connections", {"name": "shop", "url": other}).problem(409, "connection_exists")
    c = node.again()
    connect(c, url, status=200, pool={"max_connections": 3})
    session = c.session(using="shop")
    connect(c, other, status=201)
    session.get("/v1/session").problem(410, "session_expired")
    c.post("/v1/connections", {"name": "shop", "url": third}).problem(409, "connection_exists")
    c = node.again()
    assert "b.db" in c.get("/v1/connections/shop").json()["url"]


def test_the_same_connect_migrates_and_chooses_the_default(node, tmp_path):
    c = node.start()
    url = f"sqlite:{tmp_path}/a.db?mode=rwc"
    connect(c, url)
    c.post("/v1/models", {"models": [model("M")]}).expect(200)
    again = connect(c, url, status=200, auto_migrate=True, default=True)
    assert again["migration"]["applied"] and again["is_default"]
    c.post("/v1/models/M/records", {"id": 1}).expect(201)


def test_a_database_that_is_down_at_the_restart(tmp_path):
    """Its connection is there and comes up; the process serves meanwhile, and is ready: it is no default."""
    pg = Postgres()
    try:
        made = Node(["--default-url", f"sqlite:{tmp_path}/d.db?mode=rwc", "--state-url", f"sqlite:{tmp_path}/state.db?mode=rwc"], tmp_path)
        c = made.start()
        connect(c, pg.url("postgres"), name="late")
        pg.stop()
        c = made.again()
        c.get("/readyz").expect(200)
        c.post("/v1/sql/execute", {"sql": "SELECT 1", "using": "late"}).problem(503, "database_unavailable")
        pg.start()
        wait_for(lambda: c.post("/v1/sql/execute", {"sql": "SELECT 1", "using": "late"}).status == 200, 3, "the connection")
        c.close()
        made.server.stop()
    finally:
        pg.destroy()


def test_declared_wins_over_kept(node, tmp_path):
    c = node.start()
    connect(c, f"sqlite:{tmp_path}/told.db?mode=rwc")
    c.post("/v1/models", {"models": [model("Book", table_name="told")]}).expect(200)
    catalog = tmp_path / "catalog.json"
    catalog.write_text(json.dumps({"connections": [{"name": "shop", "url": f"sqlite:{tmp_path}/declared.db?mode=rwc"}], "models": [model("Book")]}))
    c = node.again("--catalog", str(catalog))
    assert "declared.db" in c.get("/v1/connections/shop").json()["url"]
    assert c.get("/v1/models/Book").json()["table_name"] == "book"


def test_a_reload_beside_many_that_are_kept(node, tmp_path):
    """Each connection that was told goes on through a reload of what is declared, however many there are."""
    (tmp_path / "catalog.json").write_text('{"connections": [{"name": "declared", "url": "sqlite::memory:"}]}')
    client = node.start("--catalog", str(tmp_path / "catalog.json"))
    names = [f"told{i}" for i in range(40)]
    for name in names:
        client.post("/v1/connections", {"name": name, "url": "sqlite::memory:"}).expect(201)
    client = node.again("--catalog", str(tmp_path / "catalog.json"))
    for _ in range(2):
        client.post("/v1/catalog/reload").expect(200)
    for name in names:
        client.post(f"/v1/connections/{name}/check").expect(200)


# ---- secrets ----

def test_secrets_are_sealed(node, postgres_backend, tmp_path):
    """No byte of a password is in the state; the export has a placeholder for it."""
    postgres_backend.pg.psql("DROP ROLE IF EXISTS keeper; CREATE ROLE keeper LOGIN PASSWORD 'hunter2hunter2'")
    host = postgres_backend.url.split("://", 1)[1].split("@")[-1]
    c = node.start()
    connect(c, f"postgres://keeper:hunter2hunter2@{host}")
    c = node.again()
    assert c.post("/v1/sql/fetch-one", {"sql": "SELECT current_user::text AS u", "using": "shop"}).expect(200).json()["row"]["u"] == "keeper"
    if node.kind == "sqlite":
        for file in tmp_path.glob("state.db*"):
            assert b"hunter2" not in file.read_bytes(), file
        kept = sqlite3.connect(tmp_path / "state.db").execute("SELECT url FROM ferrod_connections").fetchall()
    else:
        kept = [(postgres_backend.pg.psql("SELECT url FROM ferrod.connections", node.state.rsplit("/", 1)[1].split("?")[0]),)]
    assert kept[0][0].startswith("sealed:")
    code, out, err = run_binary("state", "export", *node.args, cwd=tmp_path)
    assert code == 0, err
    assert "hunter2" not in out and json.loads(out)["connections"][0]["url"].startswith("postgres://keeper:${env:SHOP_SECRET}@")


def test_the_export_is_a_catalog(node, tmp_path):
    c = node.start()
    connect(c, f"sqlite:{tmp_path}/shop.db?mode=rwc", default=True)
    c.post("/v1/models", {"models": [model("Book")]}).expect(200)
    code, out, err = run_binary("state", "export", *node.args, cwd=tmp_path)
    assert code == 0, err
    node.client.close()
    node.server.stop()
    node.server = None
    path = tmp_path / "exported.json"
    path.write_text(out)
    with Server("--catalog", str(path), "--state-url", "") as server, Client(server.port) as own:
        assert names(own) == {"shop": "declared"} and own.get("/v1/connections").json()["default"] == "shop"
        assert own.get("/v1/models/Book").json()["origin"] == "declared"


def test_an_export_is_of_one_moment(postgres_backend, tmp_path):
    """A connection and a model that are told together, between what an export reads and what it reads next, are both in it or neither."""
    pg, database, told = postgres_backend.pg, postgres_backend.database, []
    key = tmp_path / "key"
    key.write_text(run_binary("key", "seal")[1])
    args = ["--default-url", "", "--state-key-file", str(key), *NOTICE]
    with Server(*args, "--state-url", postgres_backend.url) as server, Client(server.port) as c:
        c.post("/v1/models", {"models": [model("Book")]}).expect(200)

    def tell(data):
        if b"ferrod.models" in data and not told:
            told.append(pg.psql("BEGIN; INSERT INTO ferrod.connections VALUES ('late', 'plain:sqlite::memory:', '{}'); "
                                "UPDATE ferrod.models SET told = replace(told, 'Book', 'Late') WHERE told IS NOT NULL; COMMIT", database))
        return data
    way = Relay(pg.port, tell)
    code, out, err = run_binary("state", "export", *args, "--state-url", postgres_backend.url.replace(f":{pg.port}/", f":{way.port}/"))
    way.close()
    assert code == 0 and len(told) == 1, err
    exported = json.loads(out)
    assert ([x["name"] for x in exported["connections"]], [x["model_name"] for x in exported["models"]]) == (["late"], ["Late"])


@pytest.mark.parametrize("table,column,text", [("models", "told", "nothing"), ("models", "told", "{}"), ("connections", "options", "[1]")])
def test_nothing_of_a_state_that_cannot_be_read_is_left_out(node, request, tmp_path, table, column, text):
    c = node.start()
    connect(c, f"sqlite:{tmp_path}/shop.db?mode=rwc")
    c.post("/v1/models", {"models": [model("Book")]}).expect(200)
    node.kill()
    if node.kind == "postgres":
        backend = request.getfixturevalue("postgres_backend")
        backend.pg.psql(f"UPDATE ferrod.{table} SET {column} = '{text}'", backend.database)
    else:
        db = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
        db.execute(f"UPDATE ferrod_{table} SET {column} = '{text}'")
        db.close()
    code, out, err = run_binary("state", "export", *node.args, cwd=tmp_path)
    assert code == 2 and out == "" and "cannot be read" in err, (code, out, err)
    assert "cannot be read" in node.refused()


def test_a_key_file_is_made_beside_an_sqlite_state(tmp_path):
    made = Node(["--default-url", f"sqlite:{tmp_path}/d.db?mode=rwc", "--state-url", f"sqlite:{tmp_path}/state.db?mode=rwc"], tmp_path)
    c = made.start()
    connect(c, "sqlite::memory:")
    key = tmp_path / "state.db.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600 and len(key.read_text()) == 45
    c = made.again()
    assert names(c)["shop"] == "told"
    made.kill()
    key.unlink()
    assert "another key" in made.refused() and not key.exists()


def test_rotation(node, tmp_path):
    """Two lines: everything is sealed anew under the first, then the second may go."""
    c = node.start()
    connect(c, f"sqlite:{tmp_path}/shop.db?mode=rwc")
    old = node.key.read_text()
    fresh = run_binary("key", "seal")[1]
    node.kill()
    node.key.write_text(fresh + old)
    c = node.start()
    assert node.server.events("state_resealed") and names(c)["shop"] == "told"
    node.kill()
    node.key.write_text(fresh)
    c = node.start()
    assert names(c)["shop"] == "told" and not node.server.events("state_resealed")
    node.kill()
    node.key.write_text(old)
    assert "sealed under another key" in node.refused()


def test_what_another_tells_during_a_rotation_is_not_written_over(postgres_backend, tmp_path):
    key, pg, database = tmp_path / "key", postgres_backend.pg, postgres_backend.database
    old, fresh = (run_binary("key", "seal")[1] for _ in range(2))
    key.write_text(old)
    made = Node(["--default-url", "", "--state-url", postgres_backend.url, "--state-key-file", str(key), *NOTICE], tmp_path)
    connect(made.start(), f"sqlite:{tmp_path}/shop.db?mode=rwc")
    made.kill()
    key.write_text(fresh + old)
    moved = f"sqlite:{tmp_path}/moved.db?mode=rwc"
    with pg.asking(database) as other:
        other("BEGIN; UPDATE ferrod.meta SET value = (value::bigint + 1)::text WHERE name = 'version'; "
              f"UPDATE ferrod.connections SET url = 'plain:{moved}'")
        made.start(wait=False)
        wait_for(lambda: int(pg.psql("SELECT count(*) FROM pg_locks WHERE NOT granted", database)) > 0, 10, "a start that seals anew")
        other("COMMIT")
    wait_for(lambda: made.server.events("listening"), 10, "the server")
    assert made.server.events("state_resealed")
    with Client(made.server.events("listening")[0]["port"]) as c:
        assert c.get("/v1/connections/shop").expect(200).json()["url"] == moved
    assert "plain:" not in pg.psql("SELECT url FROM ferrod.connections", database)
    made.server.stop()


def test_a_reset_that_is_refused_changes_nothing(node, postgres_backend, tmp_path):
    """One that waits for a reload for longer than its request may take."""
    pg, database = postgres_backend.pg, postgres_backend.database
    file, table = tmp_path / "catalog.json", model("Locked", table_name="locked")

    def write(columns):
        file.write_text(json.dumps({"connections": [{"name": "own", "url": postgres_backend.url, "default": True, "migrate": "updates"}],
                                    "models": [{**table, "columns": table["columns"] + columns}]}))
    write([])
    c = node.start("--catalog", str(file))
    wait_for(lambda: c.get("/v1/models/Locked/records").status == 200, 10, "the table")
    connect(c, "sqlite::memory:")
    session = c.post("/v1/sessions", {"using": "shop"}).expect(201).header("Ferro-Session")
    write([{"name": "more", "logical_type": "integer", "nullable": True}])
    with pg.asking(database) as other, Client(node.server.port) as second:
        other("BEGIN; LOCK TABLE locked IN ACCESS EXCLUSIVE MODE")
        reloading = threading.Thread(target=second.post, args=("/v1/catalog/reload",))
        reloading.start()
        wait_for(lambda: int(pg.psql("SELECT count(*) FROM pg_locks WHERE NOT granted", database)) > 0, 10, "a reload that waits")
        c.post("/v1/reset", headers={"Prefer": "timeout=0.5"}).problem(503, "database_busy")
        other("ROLLBACK")
        reloading.join()
    assert names(c) == {"default": "built_in", "own": "declared", "shop": "told"}
    c.get("/v1/session", headers={"Ferro-Session": session}).expect(200)
    c = node.again("--catalog", str(file))
    assert names(c) == {"default": "built_in", "own": "declared", "shop": "told"}


@pytest.mark.parametrize("text", ["", "short\n", "x" * 44 + "\n", "{0}{0}{0}"])
def test_bad_key_files(node, text):
    node.key.write_text(text.format(run_binary("key", "seal")[1]))
    assert str(node.key) in node.refused()


def test_without_a_key_a_postgres_state_keeps_no_password(postgres_backend, pg, tmp_path):
    """It is answered that it is not kept, and it is not."""
    postgres_backend.pg.psql("DROP ROLE IF EXISTS keeper; CREATE ROLE keeper LOGIN PASSWORD 'hunter2hunter2'")
    made = Node(["--default-url", f"sqlite:{tmp_path}/d.db?mode=rwc", "--state-url", postgres_backend.url, *NOTICE], tmp_path)
    c = made.start()
    host = postgres_backend.url.split("://", 1)[1].split("@")[-1]
    answer = connect(c, f"postgres://keeper:hunter2hunter2@{host}")
    assert answer["kept"] is False and answer["warnings"][0]["code"] == "not_kept"
    assert "kept" not in connect(c, f"sqlite:{tmp_path}/open.db?mode=rwc", name="open")
    c = made.again()
    assert names(c) == {"default": "built_in", "open": "told"}
    c.close()
    made.server.stop()


# ---- what cannot be kept ----

def test_a_state_that_cannot_be_written_changes_nothing(tmp_path):
    """503, and registry, default and models are what they were."""
    made = Node(["--default-url", f"sqlite:{tmp_path}/d.db?mode=rwc", "--state-url", f"sqlite:{tmp_path}/state.db?mode=rwc",
                 "--busy-timeout-seconds", "0.2"], tmp_path)
    c = made.start()
    connect(c, "sqlite::memory:", name="there")
    c.post("/v1/models", {"models": [model("There")]}).expect(200)
    before = c.get("/v1/catalog").json()
    other = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for answer in (c.post("/v1/connections", {"name": "new", "url": "sqlite::memory:"}), c.delete("/v1/connections/there"),
                   c.put("/v1/default-connection", {"name": "there"}), c.post("/v1/models", {"models": [model("New")]}),
                   c.put("/v1/models", {"models": []}), c.delete("/v1/models/There"), c.delete("/v1/models"), c.post("/v1/reset"),
                   c.post("/v1/connections", {"url": "sqlite::memory:"})):
        problem = answer.problem(503, "database_unavailable")
        assert "state" in problem["detail"] and problem["retryable"]
    assert c.get("/v1/catalog").json() == before and c.get("/v1/connections").json()["default"] == "default"
    c.post("/v1/sql/execute", {"sql": "SELECT 1"}).expect(200)       # what tells nothing needs no state
    other.execute("ROLLBACK")
    connect(c, "sqlite::memory:", name="new")
    c.close()
    made.server.stop()


def test_nothing_is_kept_with_an_empty_setting(tmp_path):
    with Server("--state-url", "") as server, Client(server.port) as c:
        connect(c, "sqlite::memory:")
        assert not list(server.dir.glob("*state*"))


def test_the_default_state_lies_beside_the_default_database(tmp_path):
    (tmp_path / "data").mkdir()
    with Server("--default-url", f"sqlite:{tmp_path}/data/app.db?mode=rwc") as server:
        assert (tmp_path / "data/ferrod-state.db").exists() and not (server.dir / "ferrod-state.db").exists()
    with Server("--default-url", "") as server:
        assert (server.dir / "ferrod-state.db").exists()


def test_a_state_that_nobody_named_may_be_impossible(tmp_path):
    """One warning, and nothing is kept."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/ferrod-state.db").mkdir()
    with Server("--default-url", f"sqlite:{tmp_path}/data/app.db?mode=rwc") as server, Client(server.port) as c:
        assert len(server.events("state_not_kept")) == 1
        connect(c, "sqlite::memory:")


def test_two_servers_on_one_sqlite_state(tmp_path):
    """Named: the second does not start. Not named: it keeps nothing, and says so."""
    default = f"sqlite:{tmp_path}/d.db?mode=rwc"
    with Server("--default-url", default) as first, Server("--default-url", default) as second, Client(first.port) as c:
        assert not first.events("state_not_kept") and len(second.events("state_not_kept")) == 1
        connect(c, "sqlite::memory:")
        code, _, err = run_binary("--default-url", default, "--state-url", f"sqlite:{tmp_path}/ferrod-state.db?mode=rwc",
                                  "--listen", "127.0.0.1:0", cwd=tmp_path)
        assert code == 2 and "another server" in err and err.count("\n") == 1
    with Server("--default-url", default) as again, Client(again.port) as c:
        assert names(c)["shop"] == "told"


def test_a_state_that_cannot_be_opened_ends_the_start(node, tmp_path):
    for url in ("sqlite:/no/such/dir/state.db?mode=rwc", "postgres://nobody@127.0.0.1:1/nothing", "mysql://x", f"sqlite:{tmp_path}/none.db?mode=rw"):
        assert "state" in node.refused("--state-url", url)


def test_a_state_of_a_newer_version_ends_the_start(node, tmp_path, request):
    c = node.start()
    connect(c, "sqlite::memory:")
    node.kill()
    if node.kind == "sqlite":
        with sqlite3.connect(tmp_path / "state.db") as db:
            db.execute("UPDATE ferrod_meta SET value = '99' WHERE name = 'format'")
    else:
        backend = request.getfixturevalue("postgres_backend")
        backend.pg.psql("UPDATE ferrod.meta SET value = '99' WHERE name = 'format'", backend.database)
    assert "newer version" in node.refused()


def test_many_tellings_at_once(node, tmp_path):
    """All that were answered are there after the kill."""
    node.start()
    done = []

    def tell(n):
        with Client(node.server.port) as own:
            for k in range(5):
                own.post("/v1/models", {"models": [model(f"M{n}x{k}")]}).expect(200)
                connect(own, "sqlite::memory:", name=f"c{n}x{k}")
                done.append((f"M{n}x{k}", f"c{n}x{k}"))

    threads = [threading.Thread(target=tell, args=(n,)) for n in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    c = node.again()
    catalog = c.get("/v1/catalog").json()
    assert len(done) == 30 and {m for m, _ in done} == {x["name"] for x in catalog["models"]}
    assert {n for _, n in done} < {x["name"] for x in catalog["connections"]}


# ---- a state that is gone while its server runs ----

@pytest.mark.parametrize("put, said", [
    (lambda path, other: None, "was moved away or deleted"),
    (lambda path, other: sqlite3.connect(path).executescript("CREATE TABLE t (x); PRAGMA user_version = 7").close(), "another database"),
    (lambda path, other: path.write_bytes(b"no database" * 500), "not a SQLite database"),
    (lambda path, other: shutil.copy(other, path), "another one lies in its place")], ids=["deleted", "database", "garbage", "state"])
def test_a_state_that_is_gone_takes_its_server_out(tmp_path, put, said):
    """/readyz?of=node said ready; the databases answer all the same, and a state that comes back is read."""
    path, aside, other = (tmp_path / name for name in ("state.db", "aside.db", "other.db"))
    settings = ["--default-url", f"sqlite:{tmp_path}/default.db?mode=rwc", "--state-url"]
    with Server(*settings, f"sqlite:{other}?mode=rwc"):
        pass
    with Server(*settings, f"sqlite:{path}?mode=rwc") as server, Client(server.port) as c:
        connect(c, "sqlite::memory:")
        for _ in range(2):
            c.get("/readyz?of=node").expect(200)
            path.rename(aside)
            put(path, other)
            assert said in c.get("/readyz?of=node").problem(503, "database_unavailable")["detail"]
            assert str(tmp_path) not in c.get("/readyz?of=node").text
            c.get("/readyz").expect(200)
            for name in (path, path.with_name("state.db-wal"), path.with_name("state.db-shm")):
                name.unlink(missing_ok=True)
            aside.rename(path)
        c.get("/readyz?of=node").expect(200)
        connect(c, "sqlite::memory:", name="later")


def test_without_a_state_there_is_nothing_to_read(tmp_path):
    with Server("--default-url", f"sqlite:{tmp_path}/default.db?mode=rwc", "--state-url", "") as server, Client(server.port) as c:
        c.get("/readyz?of=node").expect(200)
