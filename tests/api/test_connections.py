"""Connections: register, list, check, default, disconnect, reset; database URLs; redaction. Pools: test_pools.py."""
import json
import socket
import sqlite3
import time

import pytest

from support.client import Client
from support.process import free_port, wait_for
from support.server import Server, run_binary
from support.tables import MARKER, create_tables, insert, query, sql


@pytest.fixture
def own():
    """A server of its own, for what changes the default or empties everything."""
    with Server() as server, Client(server.port) as client:
        client.process = server
        yield client


def connect(client, url, name=None, **more):
    return client.post("/v1/connections", {"url": url, **({"name": name} if name else {}), **more})


def labels(client, name):
    return [(row["id"], row["label"]) for row in
            query(client, "Marker", using=name, order_by=[{"column": "id"}]).expect(200).json()["rows"]]


# ---- the registry ----

def test_connection_object(server, backend):
    with Client(server.port) as client:
        answer = connect(client, backend.url, "shown", pool={"max_connections": 3, "min_connections": 1}).expect(201)
        assert answer.header("Location") == "/v1/connections/shown"
        shown = client.get("/v1/connections/shown").expect(200).json()
        assert shown["backend"] == backend.name and not shown["is_default"] and shown["identity_map"]
        assert shown["pool"]["max_connections"] == 3 and shown["pool"]["acquire_timeout_seconds"] == 5
        assert shown["pool"]["idle_timeout_seconds"] == 600 and shown["pool"]["max_lifetime_seconds"] == 1800
        assert shown["server_version"] and shown["sessions"] == shown["transactions"] == 0
        listed = client.get("/v1/connections").expect(200).json()
        assert [c["name"] for c in listed["connections"]] == sorted(c["name"] for c in listed["connections"])
        assert "shown" in [c["name"] for c in listed["connections"]]
        check = client.post("/v1/connections/shown/check").expect(200).json()
        assert check["ok"] and check["latency_ms"] >= 0
        session = client.session(using="shown")
        assert client.get("/v1/connections/shown").json()["sessions"] == 1
        client.delete("/v1/connections/shown").problem(409, "connection_in_use")
        session.delete("/v1/session").expect(204)
        client.delete("/v1/connections/shown").expect(204)
        client.get("/v1/connections/shown").problem(404, "connection_not_found")
        client.delete("/v1/connections/shown").problem(404, "connection_not_found")
        client.post("/v1/connections/shown/check").problem(404, "connection_not_found")


def test_names(client):
    for name in ("1", "_", "A9_z", "CaseMatters", "casematters"):
        connect(client, "sqlite::memory:", name).expect(201)
        connect(client, "sqlite::memory:", name).problem(409, "connection_exists")
        client.delete(f"/v1/connections/{name}").expect(204)
    for name in ("", "a b", "a-b", "ä", "a.b", "a/b", "x" * 65):
        answer = client.post("/v1/connections", {"url": "sqlite::memory:", "name": name})
        answer.problem(400, "invalid_connection_name")


def test_order_of_faults_in_one_connect(client):
    """Reference 1.1: scheme, then name, then taken, then search path."""
    connect(client, "mysql://h/db", "bad name").problem(400, "unsupported_scheme")
    connect(client, "sqlite::memory:?ferro_search_path=", "default").problem(409, "connection_exists")
    connect(client, "sqlite::memory:?ferro_search_path=", "bad name").problem(400, "invalid_connection_name")


def test_numbers_that_fit_nothing_are_a_fault_of_shape(client):
    body = b'{"url": "sqlite::memory:", "name": "x", "pool": {"max_connections": 99999999999999999999}}'
    assert client.post("/v1/connections", raw=body).expect(400, "invalid_request").pointers() == ["/pool/max_connections"]
    for path in ("/v1/sessions", "/v1/transactions", "/v1/migrate"):
        client.post(path, raw=b'{"x": 1e999}').expect(400, "invalid_request")


def test_check_takes_no_members(conn):
    path = f"/v1/connections/{conn.name}/check"
    assert conn.client.post(path, {}).expect(200).json()["ok"] is True
    assert conn.client.post(path, {"x": 1}).expect(400, "invalid_request").pointers() == ["/x"]


def test_the_scheme_is_what_stands_before_the_colon(client):
    detail = connect(client, "nonexistent_db://localhost").problem(400, "unsupported_scheme")["detail"]
    assert "DB Connection failed for nonexistent_db://localhost: Unsupported database URL scheme 'nonexistent_db'" in detail


def test_default(own):
    """The first named connection does not become the default; only default=true or the PUT selects one."""
    assert own.get("/v1/connections").json()["default"] == "default"
    connect(own, "sqlite::memory:", "app").expect(201)
    assert own.get("/v1/connections").json()["default"] == "default"
    assert own.put("/v1/default-connection", {"name": "app"}).expect(200).json() == {"name": "app"}
    assert own.get("/v1/connections/app").json()["is_default"]
    own.put("/v1/default-connection", {"name": "none"}).problem(404, "connection_not_found")
    own.put("/v1/default-connection", {"name": "no name"}).problem(400, "invalid_connection_name")
    assert connect(own, "sqlite::memory:", "second", default=True).expect(201).json()["is_default"]
    assert own.get("/v1/connections").json()["default"] == "second"
    own.delete("/v1/connections/second").expect(204)
    assert own.get("/v1/connections").json()["default"] is None
    sql(own, "SELECT 1").problem(409, "no_default_connection")
    own.post("/v1/sessions").problem(409, "no_default_connection")
    own.put("/v1/default-connection", {"name": "app"}).expect(200)
    sql(own, "SELECT 1").expect(200)


def test_unnamed_connects_replace_each_other(own):
    first = connect(own, "sqlite::memory:").expect(201).json()
    assert first["name"] == "default" and first["is_default"] and first["url"] == "sqlite::memory:"
    sql(own, "CREATE TABLE t (a)", verb="execute").expect(200)
    connect(own, "sqlite::memory:").expect(201)
    sql(own, "SELECT * FROM t").problem(400, "sql_error")
    connect(own, "sqlite::memory:", "default").problem(409, "connection_exists")


def test_no_default_url():
    with Server("--default-url", "") as server, Client(server.port) as client:
        assert client.get("/v1/connections").json() == {"connections": [], "default": None}
        client.get("/readyz").expect(200)
        sql(client, "SELECT 1").problem(409, "no_default_connection")
        client.post("/v1/create-tables").problem(409, "no_default_connection")


def test_reset(own, tmp_path):
    """Every pool, session and transaction is gone, the models stay."""
    path = tmp_path / "r.db"
    connect(own, f"sqlite:{path}?mode=rwc", "app", default=True).expect(201)
    create_tables(own, "app", MARKER)
    session = own.session(using="app")
    transaction = own.transaction(using="app")
    sql(transaction, "INSERT INTO marker (label) VALUES ('lost')", verb="execute").expect(200)
    own.post("/v1/reset").expect(204)
    assert own.get("/v1/connections").json() == {"connections": [], "default": None}
    session.get("/v1/session").problem(410, "session_expired")
    answer = sql(transaction, "SELECT 1")
    assert answer.status in (410, 404), answer.body
    assert len(own.get("/v1/models").json()["payload"]["models"]) == 1
    connect(own, f"sqlite:{path}?mode=rw", "app").expect(201)
    assert labels(own, "app") == []
    session.get("/v1/session").problem(410, "session_expired")


def test_forced_disconnect(conn):
    """Sessions and transactions on it end as expired; what was not committed is rolled back."""
    create_tables(conn.client, conn.name, MARKER)
    session = conn.client.session(using=conn.name)
    transaction = session.transaction()
    sql(transaction, "INSERT INTO marker (label) VALUES ('lost')", verb="execute").expect(200)
    conn.client.delete(f"/v1/connections/{conn.name}").problem(409, "connection_in_use")
    conn.client.delete(f"/v1/connections/{conn.name}?force=true").expect(204)
    session.get("/v1/session").problem(410, "session_expired")
    sql(transaction, "SELECT 1").expect(410)
    connect(conn.client, conn.backend.url, conn.name).expect(201)
    assert labels(conn.client, conn.name) == []


def test_two_connections_do_not_mix(server, sqlite_backend, postgres_backend):
    """CON-07, CON-09: equal keys on two databases are two records."""
    with Client(server.port) as client:
        for name, backend in (("mix_a", sqlite_backend), ("mix_b", postgres_backend)):
            connect(client, backend.url, name).expect(201)
        create_tables(client, "mix_a", MARKER)
        client.post("/v1/create-tables", {"using": "mix_b"}).expect(200)
        insert(client, "mix_a", "Marker", [{"id": 100, "label": "app"}])
        insert(client, "mix_b", "Marker", [{"id": 1, "label": "service"}, {"id": 100, "label": "other"}])
        assert labels(client, "mix_a") == [(100, "app")]
        assert labels(client, "mix_b") == [(1, "service"), (100, "other")]
        for name in ("mix_a", "mix_b"):
            client.delete(f"/v1/connections/{name}").expect(204)


def test_two_names_on_one_database(server, backend):
    with Client(server.port) as client:
        for name in ("twin_a", "twin_b"):
            connect(client, backend.url, name).expect(201)
        create_tables(client, "twin_a", MARKER)
        with client.transaction(using="twin_a") as transaction:
            transaction.post("/v1/models/Marker/records", {"id": 10, "label": "service"}).expect(201)
            transaction.post(f"/v1/transactions/{transaction.headers['Ferro-Transaction']}/commit").expect(200)
        assert labels(client, "twin_b") == [(10, "service")]
        for name in ("twin_a", "twin_b"):
            client.delete(f"/v1/connections/{name}").expect(204)


def test_auto_migrate(server, backend):
    with Client(server.port) as client:
        client.put("/v1/models", {"models": [MARKER]}).expect(200)
        answer = connect(client, backend.url, "auto", auto_migrate=True).expect(201).json()
        assert answer["migration"]["applied"] and "CREATE TABLE" in answer["migration"]["statements"][0]
        assert labels(client, "auto") == []
        client.delete("/v1/connections/auto").expect(204)
        again = connect(client, backend.url, "auto", auto_migrate=True).expect(201).json()
        assert again["migration"]["statements"] == [] or labels(client, "auto") == []
        client.delete("/v1/connections/auto").expect(204)


# ---- SQLite URLs ----

def test_sqlite_modes(client, tmp_path):
    missing = tmp_path / "missing.db"
    for mode in ("?mode=rw", "?mode=ro", ""):
        connect(client, f"sqlite:{missing}{mode}", "m").problem(400, "invalid_url")
        assert not missing.exists()
    connect(client, f"sqlite:{missing}?mode=rwc", "m").expect(201)
    sql(client, "CREATE TABLE t (a)", using="m", verb="execute").expect(200)
    sql(client, "INSERT INTO t VALUES (1)", using="m", verb="execute").expect(200)
    client.delete("/v1/connections/m").expect(204)
    connect(client, f"sqlite:{missing}?mode=ro", "m").expect(201)
    assert sql(client, "SELECT a FROM t", using="m").expect(200).json()["rows"] == [{"a": 1}]
    assert sql(client, "INSERT INTO t VALUES (2)", using="m", verb="execute").status in (400, 403)
    client.delete("/v1/connections/m").expect(204)
    connect(client, f"sqlite://{missing}", "m").expect(201)
    client.delete("/v1/connections/m").expect(204)


def test_sqlite_path_is_percent_decoded(client, tmp_path):
    odd = tmp_path / "a b%ü?.db"
    url = f"sqlite:{tmp_path}/a%20b%25%C3%BC%3F.db?mode=rwc"
    connect(client, url, "odd").expect(201)
    assert odd.exists()
    client.delete("/v1/connections/odd").expect(204)
    connect(client, f"sqlite:{tmp_path}/a%zz.db?mode=rwc", "odd").problem(400, "invalid_url")
    connect(client, f"sqlite:{tmp_path}/a%00.db?mode=rwc", "odd").problem(400, "invalid_url")


@pytest.mark.parametrize("tail", ["?mode=wild", "?cache=maybe", "?nonsense=1", "?mode"])
def test_sqlite_parameters_that_are_none(client, tmp_path, tail):
    connect(client, f"sqlite:{tmp_path}/x.db{tail}", "bad").problem(400, "invalid_url")


@pytest.mark.parametrize("url", ["sqlite::memory:", "sqlite://:memory:", "sqlite:shared_name?mode=memory"])
def test_memory_databases_are_one_per_connect(client, url):
    """All pooled connections of a name share one; two connects are two databases, also with one file name."""
    for name in ("mem_a", "mem_b"):
        connect(client, url, name, pool={"max_connections": 4, "idle_timeout_seconds": 1}).expect(201)
    create_tables(client, "mem_a", MARKER)
    insert(client, "mem_a", "Marker", [{"label": "page_views"}])
    with client.transaction(using="mem_a") as inside:
        assert sql(inside, "SELECT count(*) AS n FROM marker").json()["rows"] == [{"n": 1}]
    assert labels(client, "mem_a") == [(1, "page_views")]
    sql(client, "SELECT * FROM marker", using="mem_b").problem(400, "sql_error")
    for name in ("mem_a", "mem_b"):
        client.delete(f"/v1/connections/{name}?force=true").expect(204)


def test_sqlite_file_settings(sqlite_conn):
    """Foreign keys are enforced and files are in WAL mode."""
    assert sql(sqlite_conn.client, "PRAGMA foreign_keys", using=sqlite_conn.name).json()["rows"] == [{"foreign_keys": 1}]
    with sqlite3.connect(sqlite_conn.backend.path) as other:
        assert other.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


def test_sqlite_paths_that_cannot_be_opened(client, tmp_path):
    connect(client, f"sqlite:{tmp_path}/no/such/dir/x.db?mode=rwc", "x").problem(400, "invalid_url")
    connect(client, f"sqlite:{tmp_path}?mode=rwc", "x").problem(400, "invalid_url")
    text = tmp_path / "text.db"
    text.write_text("this is not a database at all, but long enough to have a header " * 20)
    answer = connect(client, f"sqlite:{text}?mode=rw", "x")
    assert answer.status == 400, answer.body
    connect(client, "sqlite:", "x").problem(400, "invalid_url")
    client.get("/v1/connections/x").problem(404, "connection_not_found")


def test_busy_database_of_another_process(server, sqlite_backend):
    """Another process holds the write lock: 503 database_busy after busy_timeout_seconds, and reads go on."""
    with Server("--busy-timeout-seconds", "0.3") as own, Client(own.port) as client:
        connect(client, sqlite_backend.url, "b").expect(201)
        sql(client, "CREATE TABLE t (a)", using="b", verb="execute").expect(200)
        other = sqlite3.connect(sqlite_backend.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        answer = sql(client, "INSERT INTO t VALUES (1)", using="b", verb="execute")
        answer.problem(503, "database_busy")
        assert answer.json()["retryable"]
        assert sql(client, "SELECT count(*) AS n FROM t", using="b").expect(200).json()["rows"] == [{"n": 0}]
        other.execute("ROLLBACK")
        other.close()
        sql(client, "INSERT INTO t VALUES (1)", using="b", verb="execute").expect(200)


# ---- PostgreSQL URLs ----

def test_postgres_url_forms(client, postgres_backend):
    pg, database = postgres_backend.pg, postgres_backend.database
    port = pg.port
    dead = free_port()
    for number, url in enumerate([
            f"postgresql://ferrod@127.0.0.1:{port}/{database}", f"postgres://127.0.0.1:{port}/{database}?user=ferrod",
            f"postgres:///{database}?host=127.0.0.1&port={port}&user=ferrod",
            f"postgres:///{database}?host={pg.dir}&port={port}&user=ferrod",
            f"postgres://ferrod@127.0.0.1:{dead},127.0.0.1:{port}/{database}",
            f"postgres://ferrod@127.0.0.1:{port},127.0.0.1:{dead}/{database}?target_session_attrs=read-write",
            f"postgres://ferrod@localhost:{port}/{database}?application_name=tested&connect_timeout=5",
            f"postgres://ferrod@127.0.0.1:{port}/{database}?sslmode=prefer"]):
        name = f"pg{number}"
        connect(client, url, name).expect(201)
        assert sql(client, "SELECT current_database() AS d", using=name).expect(200).json()["rows"] == [{"d": database}], url
        client.delete(f"/v1/connections/{name}").expect(204)


@pytest.mark.parametrize("query", ["?connect_timeout=2", "", "?target_session_attrs=prefer-standby"])
def test_a_host_that_takes_the_connection_and_stays_silent_costs_its_own_time_only(client, postgres_backend, query):
    pg, database = postgres_backend.pg, postgres_backend.database
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgres://ferrod@127.0.0.1:{silent.getsockname()[1]},127.0.0.1:{pg.port}/{database}{query}"
        start = time.monotonic()
        connect(client, url, "silent", pool={"acquire_timeout_seconds": 8}).expect(201)
        assert time.monotonic() - start < 8
        assert sql(client, "SELECT 1 AS n", using="silent").expect(200).json()["rows"] == [{"n": 1}]
        client.delete("/v1/connections/silent").expect(204)


def test_postgres_refusals(client, postgres_backend):
    pg, database = postgres_backend.pg, postgres_backend.database
    connect(client, pg.url(database, "guarded", "wrong"), "x").problem(403, "database_forbidden")
    connect(client, pg.url(database, "nobody_such", "wrong"), "x").problem(403, "database_forbidden")
    connect(client, pg.url("no_such_database"), "x").problem(403, "database_forbidden")
    connect(client, f"postgres://ferrod@127.0.0.1:{free_port()}/x", "x").problem(503, "database_unavailable")
    connect(client, "postgres://ferrod@no-such-host.invalid/x", "x").problem(503, "database_unavailable")
    connect(client, pg.url(database, "guarded", "open%20sesame"), "x").expect(201)
    client.delete("/v1/connections/x").expect(204)
    connect(client, pg.url(database, query="nonsense_parameter=1"), "x").problem(400, "invalid_url")
    connect(client, pg.url(database, query="sslmode=wild"), "x").problem(400, "invalid_url")


def test_search_path(server, postgres_backend):
    """Taken off the URL, applied to every pooled connection, used exactly as written."""
    pg, database = postgres_backend.pg, postgres_backend.database
    for schema in ("tenant_a", "MixedCase", "1st"):
        pg.psql(f'CREATE SCHEMA "{schema}"', database)
        with Client(server.port) as client:
            connect(client, pg.url(database, query=f"ferro_search_path={schema}&application_name=y"), "tenant",
                    pool={"max_connections": 3}).expect(201)
            create_tables(client, "tenant", MARKER)
            insert(client, "tenant", "Marker", [{"id": 1, "label": schema}])
            held = [client.transaction(using="tenant") for _ in range(3)]
            for one in held:
                assert sql(one, "SELECT label FROM marker").expect(200).json()["rows"] == [{"label": schema}]
            client.delete("/v1/connections/tenant?force=true").expect(204)
        assert pg.psql(f'SELECT label FROM "{schema}".marker', database) == schema
    assert pg.psql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", database) == "0"
    for bad in ("", "a-b", "a%20b", 'x";DROP', "ä"):
        with Client(server.port) as client:
            connect(client, pg.url(database, query=f"ferro_search_path={bad}"), "tenant").problem(400, "invalid_search_path")


# ---- secrets ----

SECRET = "sup3rs3cret"
LEAKY = [
    f"postgres://app_user:{SECRET}@127.0.0.1:1/app",
    f"postgres://app_user:{SECRET}@with@{SECRET}@127.0.0.1:1/app",
    f"postgres://app_user@127.0.0.1:1/app?password={SECRET}",
    f"postgres://app_user@127.0.0.1:1/app?sslpassword={SECRET}&application_name=x",
    f"postgres+srv://app_user:{SECRET}@example.invalid/app?access_token={SECRET}",
    f"mysql://user:{SECRET}@localhost/db",
    f"sqlite:/nonexistent/x.db?mode=rwc&password={SECRET}&apikey={SECRET}&my_Secret_x={SECRET}",
    f"postgres://app_user:{SECRET}%zz@127.0.0.1:1/app",
    f"postgres://app_user:{SECRET}@127.0.0.1:99999/app",
    f"postgres://app_user:{SECRET}@127.0.0.1:1/app?nonsense={SECRET}&token={SECRET}",
]


@pytest.mark.parametrize("url", LEAKY)
def test_refused_urls_do_not_leak(client, server, url):
    before = len(server.log())
    answer = connect(client, url, "leak")
    assert answer.status >= 400
    # what is under a name that sounds like no secret is shown: it is a URL's address, not its key
    assert SECRET not in answer.text.replace(f"nonsense={SECRET}", "")
    if "app_user:" in url and "%zz" not in url:
        assert "app_user:<redacted>@" in answer.json()["detail"]
    assert SECRET not in server.log()[before:]


def test_redacted_detail(client):
    """CON-22, CON-23."""
    detail = connect(client, LEAKY[6], "leak").json()["detail"]
    assert "password=<redacted>" in detail and "apikey=<redacted>" in detail and "my_Secret_x=<redacted>" in detail
    detail = connect(client, LEAKY[4], "leak").problem(400, "unsupported_scheme")["detail"]
    assert "app_user:<redacted>@" in detail and "access_token=<redacted>" in detail
    assert detail.startswith("DB Connection failed for ")
    assert detail.endswith("Unsupported database URL scheme 'postgres+srv'. Supported schemes: sqlite, postgres, postgresql")


def test_password_with_signs_of_its_own(server, postgres_backend):
    """Found leaking: libpq ends the password at the first '@' and showed the rest as the name of a host."""
    pg, database = postgres_backend.pg, postgres_backend.database
    pg.psql("ALTER ROLE guarded PASSWORD 'a@b/c?d#e:f'")
    try:
        with Client(server.port) as client:
            connect(client, pg.url(database, "guarded", "a@b/c?d#e:f"), "odd_signs").expect(201)
            client.delete("/v1/connections/odd_signs").expect(204)
            connect(client, pg.url(database, "guarded", "a%40b%2Fc%3Fd%23e%3Af"), "odd_signs").expect(201)
            client.delete("/v1/connections/odd_signs").expect(204)
    finally:
        pg.psql("ALTER ROLE guarded PASSWORD 'open sesame'")


def test_live_connection_does_not_show_its_password(server, postgres_backend):
    pg, database = postgres_backend.pg, postgres_backend.database
    with Client(server.port) as client:
        shown = connect(client, pg.url(database, "guarded", "open%20sesame"), "quiet").expect(201).json()["url"]
        assert "guarded:<redacted>@" in shown and "sesame" not in shown
        listed = json.dumps(client.get("/v1/connections").json())
        assert "sesame" not in listed
        sql(client, "SELECT 1/0", using="quiet").expect(400)
        client.delete("/v1/connections/quiet").expect(204)
    assert "sesame" not in server.log()


def test_url_wins_over_the_environment(postgres_backend):
    with Server(env={"PGPASSWORD": SECRET, "PGUSER": "guarded"}) as server, Client(server.port) as client:
        connect(client, postgres_backend.url, "e").expect(201)
        assert sql(client, "SELECT current_user AS u", using="e").json()["rows"] == [{"u": "ferrod"}]
        wait_for(lambda: server.events("request"), 5, "a log line")
        assert SECRET not in server.log()


def test_require_auth(client, pg):
    """Who asks for a password in cleartext can be refused where libpq knows how; an older one says what it lacks."""
    libpq = client.get("/version").expect(200).json()["libpq"]
    for how, status in (("none", 201), ("scram-sha-256", 403)):
        answer = client.post("/v1/connections", {"name": "ra", "url": pg.url(query=f"require_auth={how}")})
        if int(libpq.split(".", maxsplit=1)[0]) < 16:
            assert f'"require_auth" needs libpq 16 or later, and this one is {libpq}' in answer.problem(400, "invalid_url")["detail"]
        elif status == 201:
            answer.expect(201)
            client.delete("/v1/connections/ra").expect(204)
        else:
            assert answer.status in (403, 503) and answer.json()["code"] in ("database_forbidden", "database_unavailable"), answer.body
    problem = client.post("/v1/connections", {"name": "ra", "url": pg.url(query="require_aut=none")}).problem(400, "invalid_url")
    assert "require_aut" in problem["detail"] and "libpq 16" not in problem["detail"]


def test_a_libpq_that_lacks_a_guard_says_so_at_the_start(client, pg, tmp_path):
    """What libpq would refuse, or drop without a word, is one line and exit 2, wherever the URL stands."""
    libpq = client.get("/version").expect(200).json()["libpq"]
    database = pg.create_database()
    asked, plain = pg.url(database, query="require_auth=none"), pg.url(database)
    catalog = {url: tmp_path / f"{number}.json" for number, url in enumerate((asked, plain))}
    for url, path in catalog.items():
        path.write_text(json.dumps({"connections": [{"name": "ra", "url": url}]}))
    for env, url, said in (({}, asked, '"require_auth" needs'), ({"PGREQUIREAUTH": "none"}, plain, "PGREQUIREAUTH is set, which needs"),
                           ({"PGSSLCERTMODE": "allow"}, plain, "PGSSLCERTMODE is set, which needs")):
        for where in (("--default-url", url), ("--catalog", str(catalog[url])), ("--state-url", url)):
            if int(libpq.split(".", maxsplit=1)[0]) >= 16:
                with Server(*where, env=env) as server:
                    assert server.port
                continue
            code, _, error = run_binary("--listen", "127.0.0.1:0", *where, env=env)
            lines = error.strip().splitlines()
            assert code == 2 and len(lines) == 1 and f"{said} libpq 16 or later, and this one is {libpq}" in lines[0], (where, error)
        if said.startswith("PG") and int(libpq.split(".", maxsplit=1)[0]) < 16:
            with Server(env=env) as server, Client(server.port) as other:  # SQLite alone is served
                assert said in connect(other, url, "ra").problem(400, "invalid_url")["detail"]
