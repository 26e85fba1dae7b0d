"""What may be named: allow_urls, sqlite_dir and the server's own files. A refusal leaves nothing behind outside."""
import json
import os
import pathlib
import urllib.parse

import pytest

from support.client import Client
from support.process import wait_for
from support.server import Server, run_binary
from support.tables import sql

SUFFIXES = ("-wal", "-shm", "-journal")


def connect(client, url, name="p", **more):
    return client.post("/v1/connections", {"name": name, "url": url, **more})


def admit(client, url):
    connect(client, url).expect(201)
    client.delete("/v1/connections/p?force=true").expect(204)


def refuse(client, url):
    answer = connect(client, url)
    detail = answer.problem(403, "forbidden")["detail"]
    assert "policy" in detail
    client.get("/v1/connections/p").problem(404, "connection_not_found")
    return detail


# ---- allow_urls ----

def test_patterns(tmp_path):
    with Server("--allow-urls", f"sqlite:{tmp_path}/a*.db?mode=rwc, sqlite::memory:,postgresql://*.example.test/*") as server, \
            Client(server.port) as client:
        admit(client, f"sqlite:{tmp_path}/a1.db?mode=rwc")
        admit(client, "sqlite::memory:")
        for url in (f"sqlite:{tmp_path}/b.db?mode=rwc", f"sqlite:{tmp_path}/a1.db?mode=rw", f"sqlite:{tmp_path}/a1.db?mode=rwc&immutable=true",
                    "postgresql://db.example.org/d", "postgresql://user:pw@127.0.0.1/d", f"SQLITE:{tmp_path}/a1.db?mode=rwc"):
            assert connect(client, url).status in (400, 403), url
        refuse(client, f"sqlite:{tmp_path}/b.db?mode=rwc")
        assert not (tmp_path / "b.db").exists()
        refuse(client, "postgresql://db.example.test/d?sslrootcert=/etc/hostname")


REACHING = [  # (pattern, a URL that must be refused): each would have reached another database than the pattern says
    ("postgresql://db.test/*", "postgresql://db.test/d?host=127.0.0.1"),
    ("postgresql://db.test/*", "postgresql://db.test/d?hostaddr=127.0.0.1"),
    ("postgresql://db.test/*", "postgresql://db.test/d?a=b&PORT=1"),
    ("postgresql://db.test/*", "postgresql://db.test/d?%68ost=127.0.0.1"),
    ("postgresql://db.test/app*", "postgresql://db.test/app?dbname=other"),
    ("postgresql://db.test:5432/*", "postgresql://db.test:5432/x@127.0.0.1/d"),  # a password may hold a '/'
    ("postgresql://db.test*", "postgresql://db.test:x@127.0.0.1/d"),
    ("postgresql://*.db.test/*", "postgresql://127.0.0.1/a.db.test/"),
    ("postgresql://*.db.test/*", "postgresql://127.0.0.1/d?application_name=a.db.test/"),
    ("postgresql://*.db.test/*", "postgresql://127.0.0.1,a.db.test/d"),
    ("postgresql://*.db.test/*", "postgresql://a.db.test,127.0.0.1,b.db.test/d"),
    ("postgresql://*.db.test/*", "postgresql://127.0.0.1%2Ca.db.test/d"),
    ("postgresql://*.db.test/*", "postgresql://u:p@127.0.0.1/x.db.test/"),
    ("postgresql://*.db.test/*", "postgresql://u:a.db.test/@127.0.0.1/d"),
    ("postgresql://*@db.test/*", "postgresql://u@127.0.0.1@db.test/d"),
    ("postgresql://127.*/app", "postgresql://127.0.0.1/other/app"),
    # a parameter would log in as another than the pattern says
    ("postgresql://reader@db.test/*", "postgresql://reader@db.test/d?user=owner"),
    ("postgresql://reader@db.test/*", "postgresql://reader@db.test/d?sslmode=disable&User=owner&password=x"),
    ("postgresql://reader:*@db.test/*", "postgresql://reader:x@db.test/d?password=y"),
    ("postgresql://app_*@db.test/*", "postgresql://app_1@db.test/d?%75ser=owner"),
    ("postgresql://reader@*/*", "postgresql://reader@db.test/d?user=owner"),
    ("postgresql://reader@db.test/*", "postgresql://reader@db.test/d?options=-c%20role%3Downer"),
    ("postgresql://reader@db.test/*", "postgresql://reader@db.test/d?options=-crole=owner"),
    ("postgresql://reader@db.test/*", "postgresql://reader@db.test/d?sslmode=disable&options=-c%20Session_Authorization%3Downer"),
    ("postgresql://reader@db.test/*", "postgresql://reader@db.test/d?options=--session-authorization=owner"),
    ("postgresql://reader@db.test/*", "postgresql://reader@db.test/d?options=-c%20a.b%3D?%20-Fcr%5Cole%3Downer"),
    ("postgresql://reader@*/*", "postgresql://reader@db.test/d?options=-crole%3downer"),
    ("postgresql://db.test/*?user=reader", "postgresql://db.test/d?options=-crole%3Downer&user=reader"),
    ("sqlite:{dir}/*", "sqlite:{dir}/../x.db?mode=rwc"),
    ("sqlite:{dir}/*", "sqlite:{dir}/%2e%2e/x.db?mode=rwc"),
]


@pytest.mark.parametrize("pattern, url", REACHING)
def test_patterns_do_not_reach_further(tmp_path, pattern, url):
    pattern, url = (text.replace("{dir}", str(tmp_path / "d")) for text in (pattern, url))
    (tmp_path / "d").mkdir()
    with Server("--allow-urls", pattern) as server, Client(server.port) as client:
        refuse(client, url)
    assert not (tmp_path / "x.db").exists()


def test_patterns_for_postgres(postgres_backend):
    """What the patterns are for: any database of one server, one database, a server by any name, several hosts."""
    url = postgres_backend.url
    parts = urllib.parse.urlsplit(url)
    base = f"{parts.scheme}://{parts.netloc}"
    user, at, host = parts.netloc.rpartition("@")
    for pattern in (url, f"{base}/*", f"{base}*", f"{parts.scheme}://{user}{at}{host.partition(':')[0]}*", "postgres*", "*", "postgresql://*,postgres://*",
                    f"{parts.scheme}://*{host}/*"):
        with Server("--allow-urls", pattern) as server, Client(server.port) as client:
            admit(client, url)
    with Server("--allow-urls", f"{base}/*?target_session_attrs=any,{base}/?host=*") as server, Client(server.port) as client:
        refuse(client, url)
        admit(client, url.partition("?")[0] + "?target_session_attrs=any")


@pytest.mark.parametrize("pattern, options", [
    ("postgresql://reader@db.test/*", "-c%20search_path%3Dapp%20-c%20app.role%3Dx"), ("postgresql://db.test/*", "-c%20role%3Downer"),
    ("postgresql://reader@db.test/*?options=*", "-c%20role%3Downer")])
def test_options_that_a_pattern_leaves_free(pattern, options):
    """Nobody listens there: admitted is what is tried."""
    pattern = pattern.replace("db.test", "127.0.0.1:1")
    with Server("--allow-urls", pattern) as server, Client(server.port) as client:
        connect(client, f"postgresql://{'reader@' if 'reader' in pattern else ''}127.0.0.1:1/d?options={options}").problem(503, "database_unavailable")


# ---- sqlite_dir ----

class Place:
    """A sqlite_dir that is itself reached through a link, something worth guarding beside it, and a server bound to it."""

    def __init__(self, base):
        self.real, self.outside, self.twin = base / "real", base / "outside", base / "real-twin"
        for directory in (self.real, self.outside, self.twin, self.real / "sub"):
            directory.mkdir()
        self.dir = base / "link"
        self.dir.symlink_to(self.real)
        self.base = base

    def census(self):
        return {str(path): path.read_bytes() if path.is_file() else None for where in (self.outside, self.twin)
                for path in sorted(where.rglob("*"))}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    found = Place(tmp_path_factory.mktemp("policy"))
    with Server("--sqlite-dir", str(found.dir)) as server, Client(server.port) as client:
        found.client = client
        connect(client, "sqlite:seed.db?mode=rwc").expect(201)
        sql(client, "CREATE TABLE t (a)", using="p", verb="execute").expect(200)
        client.delete("/v1/connections/p").expect(204)
        (found.outside / "secret.db").write_bytes((found.real / "seed.db").read_bytes())
        yield found


@pytest.fixture
def client(place):
    before = place.census()
    yield place.client
    place.client.delete("/v1/connections/p?force=true")
    assert place.census() == before, "something outside of sqlite_dir has changed"


def test_what_lies_in_the_directory(place, client):
    admit(client, "sqlite:one.db?mode=rwc")
    assert (place.real / "one.db").exists()
    admit(client, "sqlite:sub/two.db?mode=rwc")
    admit(client, f"sqlite:{place.real}/three.db?mode=rwc")
    admit(client, f"sqlite://{place.real}/sub/two.db?mode=rw")
    admit(client, f"sqlite:{place.dir}/four.db?mode=rwc")  # as the operator calls it
    assert {"one.db", "three.db", "four.db"} <= set(os.listdir(place.real))
    admit(client, "sqlite:a%20%23%3F%25.db?mode=rwc")
    assert (place.real / "a #?%.db").exists()
    admit(client, "sqlite::memory:")
    admit(client, "sqlite:any/where?mode=memory")


def test_what_lies_elsewhere(place, client):
    up = os.path.relpath(place.outside, place.real)
    for path in (f"{place.outside}/x.db", f"//{place.outside}/x.db", f"{place.twin}/x.db", f"{up}/x.db", f"{place.real}/{up}/x.db",
                 f"{place.dir}/{up}/x.db", f"%2e%2e/{place.outside.name}/x.db", f"..%2F{place.outside.name}%2fx.db", f"sub/../{up}/x.db", str(place.real),
                 f"sub/..%2f..%2f{place.outside.name}/x.db", f"%2F{str(place.outside)[1:]}/x.db", f"{place.base}/x.db", "/etc/passwd", ".."):
        refuse(client, f"sqlite:{path}?mode=rwc")
    for url in ("sqlite:x.db?vfs=unix-none&mode=rwc", "sqlite:x%00y.db?mode=rwc", "sqlite:?mode=rwc",
                f"sqlite:x.db?mode=rwc&temp_store_directory={place.outside}"):
        connect(client, url).problem(400, "invalid_url")
    # SQLite's own URIs are no way out: the name is a name in the directory
    assert connect(client, f"sqlite:file:{place.outside}/x.db?mode=rwc").status == 400


@pytest.mark.parametrize("mode", ["mode=rwc", "mode=rw", "mode=ro", "mode=rw&immutable=true"])
@pytest.mark.parametrize("kind", ["file", "dangling", "parent", "grandparent", "chain", "relative", "inward"])
def test_links(place, client, mode, kind):
    """A link, wherever on the way, is not followed, not even to create what it names."""
    path = place.real / "l.db"
    made = [path]
    if kind == "parent":
        made = [place.real / "door"]
        made[0].symlink_to(place.outside)
        path = made[0] / "secret.db"
    elif kind == "grandparent":
        (place.outside / "deep").mkdir(exist_ok=True)
        made = [place.real / "door", place.outside / "deep"]
        made[0].symlink_to(place.outside)
        path = made[0] / "deep" / "new.db"
    elif kind == "chain":
        made = [place.real / "l2", path]
        made[0].symlink_to(place.outside / "secret.db")
        path.symlink_to("l2")
    else:
        path.symlink_to({"file": place.outside / "secret.db", "dangling": place.outside / "new.db",
                         "relative": pathlib.Path("../outside/secret.db"), "inward": place.real / "seed.db"}[kind])
    try:
        assert "link" in refuse(client, f"sqlite:{path.relative_to(place.real)}?{mode}")
        assert "link" in refuse(client, f"sqlite:{path}?{mode}")
        assert not (place.outside / "new.db").exists()
    finally:
        for one in made:
            one.rmdir() if one.is_dir() and not one.is_symlink() else one.unlink()


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("target", ["new", "secret.db"])
def test_linked_siblings(place, client, suffix, target):
    """Nor do the files that SQLite keeps beside a database lead out."""
    link = place.real / ("sib.db" + suffix)
    link.symlink_to(place.outside / target)
    try:
        assert "link" in refuse(client, "sqlite:sib.db?mode=rwc")
        assert not (place.outside / "new").exists()
    finally:
        link.unlink()
    admit(client, "sqlite:sib.db?mode=rwc")


def test_link_that_comes_later(place, client):
    """The pool opens its connections one by one: each looks again."""
    path = place.real / "later.db"
    connect(client, "sqlite:later.db?mode=rwc", pool={"max_lifetime_seconds": 0.05}).expect(201)
    sql(client, "CREATE TABLE t (a)", using="p", verb="execute").expect(200)
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    path.symlink_to(place.outside / "secret.db")
    try:
        wait_for(lambda: sql(client, "SELECT count(*) AS n FROM t", using="p").status != 200, 10, "a refusal")
        sql(client, "SELECT count(*) AS n FROM t", using="p").problem(403, "forbidden")
        sql(client, "INSERT INTO t VALUES (1)", using="p", verb="execute").problem(403, "forbidden")
    finally:
        path.unlink()


@pytest.mark.parametrize("statement", ["ATTACH '{outside}/secret.db' AS x", "VACUUM INTO '{outside}/copy.db'", "SELECT load_extension('{outside}/x.so')",
                                       "PRAGMA lock_proxy_file = '{outside}/lock'", "PRAGMA temp_store_directory = '{outside}'", "PRAGMA data_store_directory = '{outside}'",
                                       "CREATE VIRTUAL TABLE v USING dbstat('x')", "ATTACH '' AS x", "DETACH main",
                                       "PRAGMA writable_schema = ON", "SELECT readfile('{outside}/secret.db')", "SELECT writefile('{outside}/w', 'x')",
                                       "SELECT fts3_tokenizer('simple')"])
def test_statements_reach_no_other_file(place, client, statement):
    connect(client, "sqlite:seed.db?mode=rw").expect(201)
    answer = sql(client, statement.format(outside=place.outside), using="p", verb="execute")
    if "writable_schema" in statement:  # accepted, and without effect
        sql(client, "UPDATE sqlite_schema SET sql = 'x'", using="p", verb="execute").problem(400, "sql_error")
    elif "dbstat" in statement:
        assert answer.status in (200, 400)
    else:
        answer.problem(400, "sql_error")


@pytest.mark.parametrize("pragma", ["hard_heap_limit", "soft_heap_limit"])
def test_statements_reach_no_other_connection(place, client, pragma):
    """SQLite's heap limits are the process's: with a hard one of 100 kB no connection to any database worked again."""
    connect(client, "sqlite:seed.db?mode=rw").expect(201)
    sql(client, f"PRAGMA {pragma} = 100000", using="p", verb="execute").problem(400, "sql_error")
    sql(client, f"SELECT * FROM pragma_{pragma}(100000)", using="p").problem(400, "sql_error")
    connect(client, "sqlite:other.db?mode=rwc", "q").expect(201)
    sql(client, "SELECT count(*) AS n FROM sqlite_schema", using="q").expect(200)
    client.delete("/v1/connections/q?force=true").expect(204)


# ---- the start-up default ----

def start_refused(*args):
    server = Server(*args, wait=False)
    code, _ = server.wait(30)
    lines = [line for line in server.log().splitlines() if line]
    server.remove()
    assert code == 2 and len(lines) == 1 and "policy" in lines[0], (code, lines)
    return lines[0]


def test_the_default_is_bound_too(tmp_path):
    place = Place(tmp_path)
    with Server("--sqlite-dir", str(place.dir), "--default-url", "sqlite:d.db?mode=rwc") as server:
        assert (place.real / "d.db").exists() and not (server.dir / "d.db").exists()
        with Client(server.port) as client:
            sql(client, "SELECT 1 AS a").expect(200)
    with Server("--sqlite-dir", str(place.dir)) as server:
        assert (place.real / "ferrod.db").exists() and not (server.dir / "ferrod.db").exists()
    (place.real / "l.db").symlink_to(place.outside / "new.db")
    (place.real / "door").symlink_to(place.outside)
    for url in (f"sqlite:{place.outside}/x.db?mode=rwc", "sqlite:../outside/x.db?mode=rwc", "sqlite:l.db?mode=rwc", "sqlite:door/x.db?mode=rwc"):
        start_refused("--sqlite-dir", str(place.dir), "--default-url", url)
    assert list(place.outside.iterdir()) == []
    code, _, error = run_binary("check-config", "--sqlite-dir", str(place.dir), "--default-url", "sqlite:/x.db")
    assert code == 2 and "policy" in error


# ---- files that a PostgreSQL URL names ----

LENDING = ["passfile", "service", "servicefile", "sslcert", "sslkey", "sslkeylogfile"]
TRUST = ["sslrootcert", "sslcrl", "sslcrldir"]


@pytest.mark.parametrize("key", LENDING)
def test_files_that_postgres_urls_name(server, key):
    forms = [f"postgresql://127.0.0.1:1/d?{key}=/etc/hostname", f"postgres://127.0.0.1:1/d?sslmode=disable&{key}=/etc/hostname",
             f"postgres://127.0.0.1:1/d?{key.upper()}=x", f"postgres://127.0.0.1:1/d?%{ord(key[0]):02x}{key[1:]}=x",
             f"postgres://u?x:pw@127.0.0.1:1/d?{key}=x", f"postgres://u:p?w@127.0.0.1:1/d?{key}=x", f"postgres://127.0.0.1:1?{key}=x",
             f"postgres://?host=127.0.0.1&{key}=x", f"postgres://127.0.0.1:1/d?ferro_search_path=a&{key}=x", f"postgres://127.0.0.1:1/d?a=b?{key}=x"]
    with Client(server.port) as client:
        for url in forms:
            refuse(client, url)


@pytest.mark.parametrize("key", TRUST)
def test_trust_anchors_are_policy_only_where_there_is_one(server, tmp_path, key):
    url = f"postgresql://127.0.0.1:1/d?sslmode=prefer&{key}=/no/such/file"
    with Client(server.port) as client:
        assert connect(client, url).status in (400, 503)
    for args in (("--sqlite-dir", str(tmp_path)), ("--allow-urls", "*")):
        with Server(*args) as own, Client(own.port) as client:
            refuse(client, url)


def test_files_may_be_allowed(tmp_path, postgres_backend):
    """Then the file is used: here a password file, without which the login fails or needs none."""
    with Server("--allow-url-files", "--sqlite-dir", str(tmp_path)) as own, Client(own.port) as client:
        for key in LENDING[3:5] + TRUST:
            assert connect(client, f"postgresql://127.0.0.1:1/d?{key}=/no/such/file").status in (400, 503)
        url = postgres_backend.url
        admit(client, url + ("&" if "?" in url else "?") + f"passfile={tmp_path}/none")


# ---- require_database_tls ----

BEYOND = [
    "postgresql://db.test/d", "postgresql://db.test/d?sslmode=require", "postgresql://db.test/d?sslmode=verify-ca", "postgresql://192.0.2.1/d",
    "postgresql://db.test/d?sslmode=verify-full&sslmode=require", "postgresql://db.test/d?sslmode=verify-full&ssl=true",
    "postgresql://db.test/d?%73slmode=prefer", "postgresql://127.0.0.1,db.test/d", "postgresql://localhost/d?host=db.test",
    "postgresql://127.0.0.1/d?hostaddr=192.0.2.1", "postgresql://db.test/d?hostaddr=127.0.0.1", "postgresql://127.0.0.1?@db.test/d",
    "postgresql://localhost.db.test/d", "postgresql://127.0.0.1.db.test/d", "postgresql://[::2]/d", "postgresql://[::ffff:192.0.2.1]/d",
    "postgresql://127.0.0.1%2Cdb.test/d",
]
WITHIN = [
    "postgresql://127.0.0.1:1/d", "postgresql://localhost:1/d", "postgresql://[::1]:1/d", "postgresql://127.9.9.9:1/d?sslmode=disable",
    "postgresql:///d?host=/no/such/directory", "postgresql://%2Fno%2Fsuch/d", "postgresql://127.0.0.1:1,localhost:1/d",
    "postgresql://127.0.0.1:1/d?hostaddr=127.0.0.1", "postgresql://nothing.invalid:1/d?sslmode=verify-full",
]


@pytest.fixture(scope="module")
def tls_only():
    with Server("--require-database-tls") as server, Client(server.port) as client:
        yield client


@pytest.mark.parametrize("url", BEYOND)
def test_beyond_loopback_databases_need_tls(tls_only, url):
    detail = refuse(tls_only, url)
    assert "sslmode=verify-full" in detail or "%73" in url  # a key that is encoded is refused for whatever it may hide


@pytest.mark.parametrize("url", WITHIN)
def test_loopback_and_checked_servers_are_admitted(tls_only, url):
    """Nobody answers there, which is found out by asking."""
    more = {"pool": {"acquire_timeout_seconds": 2}}
    connect(tls_only, url, **more).problem(503, "database_unavailable")


@pytest.mark.parametrize("env, url, admitted", [
    ({"PGHOSTADDR": "192.0.2.1"}, "postgresql://localhost:1/d", False),
    ({"PGHOST": "db.test"}, "postgresql:///d", False),
    ({"PGHOST": "db.test"}, "postgresql://127.0.0.1:1/d", True),
    ({"PGSSLMODE": "verify-full"}, "postgresql://nothing.invalid:1/d", True),
    ({"PGSSLMODE": "verify-full"}, "postgresql://db.test/d?sslmode=require", False),
])
def test_what_the_environment_adds_counts_too(env, url, admitted):
    with Server("--require-database-tls", env=env) as server, Client(server.port) as client:
        if admitted:
            connect(client, url, pool={"acquire_timeout_seconds": 2}).problem(503, "database_unavailable")
        else:
            refuse(client, url)


def test_a_service_may_say_anything(tmp_path):
    (tmp_path / "services").write_text("[far]\nhost=db.test\nhostaddr=192.0.2.1\n")
    with Server("--require-database-tls", "--allow-url-files", env={"PGSERVICEFILE": str(tmp_path / "services")}) as server, \
            Client(server.port) as client:
        for url in ("postgresql:///d?service=far", "postgresql://localhost:1/d?service=far"):
            refuse(client, url)
    with Server("--require-database-tls", env={"PGSERVICEFILE": str(tmp_path / "services"), "PGSERVICE": "far"}) as server, \
            Client(server.port) as client:
        refuse(client, "postgresql:///d")
        refuse(client, "postgresql://localhost:1/d")


def test_the_start_needs_tls_too(tmp_path, postgres_backend):
    start_refused("--require-database-tls", "--default-url", "postgresql://db.test/d?sslmode=require")
    code, _, error = run_binary("check-config", "--require-database-tls", "--default-url", "postgresql://db.test/d")
    assert code == 2 and "require_database_tls" in error
    with Server("--require-database-tls", "--default-url", postgres_backend.url) as server, Client(server.port) as client:
        sql(client, "SELECT 1 AS a").expect(200)


def test_catalog_and_state_need_tls_too(tmp_path, postgres_backend):
    """A catalog is refused whole, so is a state in such a database; what was kept is not connected."""
    catalog = tmp_path / "catalog.json"
    catalog.write_text(json.dumps({"connections": [{"name": "far", "url": "postgresql://db.test/d"}]}))
    start_refused("--require-database-tls", "--catalog", str(catalog))
    assert run_binary("check-config", "--require-database-tls", "--catalog", str(catalog))[0] == 2
    start_refused("--require-database-tls", "--state-url", "postgresql://db.test/d")
    url = postgres_backend.url + ("&" if "?" in postgres_backend.url else "?") + "host=db.test&hostaddr=127.0.0.1"
    kept = ("--state-url", f"sqlite:{tmp_path}/state.db?mode=rwc")
    with Server(*kept) as server, Client(server.port) as client:
        connect(client, url).expect(201)
    with Server(*kept) as server, Client(server.port) as client:
        client.post("/v1/sql/fetch-one", {"sql": "SELECT 1 AS a", "using": "p"}).expect(200)
    with Server(*kept, "--require-database-tls") as server, Client(server.port) as client:
        client.post("/v1/sql/fetch-one", {"sql": "SELECT 1 AS a", "using": "p"}).problem(404, "connection_not_found")
        assert "require_database_tls" in server.log()
