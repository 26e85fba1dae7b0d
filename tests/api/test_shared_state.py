"""Several servers on one PostgreSQL state: what one is told the others know within a second, and none loses another's."""
import threading
import time
import types

import pytest

from support.client import Client
from support.process import wait_for
from support.relay import Relay
from support.server import Server, patience, run_binary


def model(name, **more):
    return {"model_name": name, "columns": [{"name": "id", "logical_type": "integer", "primary_key": True}], **more}


@pytest.fixture
def pair(postgres_backend, tmp_path):
    """Two servers on one state, with a database that both can reach."""
    key = tmp_path / "key"
    key.write_text(run_binary("key", "seal")[1])
    args = ["--state-url", postgres_backend.url, "--state-key-file", str(key)]
    a, b = (Server("--default-url", "", "--node", n, "--drain-notice-seconds", "0", *args) for n in "ab")
    made = types.SimpleNamespace(a=Client(a.port), b=Client(b.port), servers=[a, b], args=args, url=f"sqlite:{tmp_path}/shared.db?mode=rwc",
                                 backend=postgres_backend, dir=tmp_path)
    yield made
    made.a.close()
    made.b.close()
    for server in made.servers:
        if server.alive:
            server.stop()


def connect(c, url, name="shop", **more):
    return c.post("/v1/connections", {"name": name, "url": url, **more}).expect(201)


def catalog(c):
    got = c.get("/v1/catalog").expect(200).json()
    return sorted(x["name"] for x in got["connections"]), sorted(x["name"] for x in got["models"])


def seen(c, connections, models, seconds=1.0):
    wait_for(lambda: catalog(c) == (connections, models), seconds, f"{connections}, {models}")


def test_a_change_is_seen_within_a_second(pair):
    connect(pair.a, pair.url, default=True)
    seen(pair.b, ["shop"], [])
    assert pair.b.get("/v1/connections").json()["default"] == "shop"
    pair.b.post("/v1/models", {"models": [model("One")]}).expect(200)
    seen(pair.a, ["shop"], ["One"])
    pair.a.post("/v1/create-tables").expect(200)
    pair.b.post("/v1/models/One/records", {"id": 1}).expect(201)
    pair.a.get("/v1/models/One/records/1").expect(200)
    pair.a.delete("/v1/models/One").expect(204)
    seen(pair.b, ["shop"], [])
    pair.b.delete("/v1/connections/shop").expect(204)
    seen(pair.a, [], [])
    connect(pair.a, "sqlite::memory:", "x")
    connect(pair.b, "sqlite::memory:", "y")
    seen(pair.a, ["x", "y"], [])
    pair.a.put("/v1/default-connection", {"name": "y"}).expect(200)
    wait_for(lambda: pair.b.get("/v1/connections").json()["default"] == "y", 1, "the default")
    pair.b.post("/v1/reset").expect(204)
    seen(pair.a, [], [])


def ears(pair):
    """Backends of the state's database that hear."""
    return [int(pid) for pid in pair.backend.pg.psql(
        "SELECT pid FROM pg_stat_activity WHERE query = 'LISTEN ferrod_state' AND datname = current_database()", pair.backend.database).split()]


def test_changes_are_told(pair):
    """By LISTEN and NOTIFY: with nothing but the look for what was missed, ten would take 25 seconds."""
    wait_for(lambda: len(ears(pair)) == 2, 10, "two that listen")
    started = time.monotonic()
    for n in range(10):
        pair.a.put("/v1/models", {"models": [model(f"M{n}")]}).expect(200)
        seen(pair.b, [], [f"M{n}"], 20)
    assert time.monotonic() - started < 12


def test_what_was_told_to_nobody_is_found(pair):
    """The connection that hears is lost in between, and heard again on another."""
    wait_for(lambda: len(ears(pair)) == 2, 10, "two that listen")
    before = set(ears(pair))
    pair.backend.pg.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'LISTEN ferrod_state'", pair.backend.database)
    pair.a.put("/v1/models", {"models": [model("Unheard")]}).expect(200)
    seen(pair.b, [], ["Unheard"], 10)
    wait_for(lambda: len(ears(pair)) == 2 and not before & set(ears(pair)), 20, "two that listen anew")
    pair.a.put("/v1/models", {"models": [model("Heard")]}).expect(200)
    seen(pair.b, [], ["Heard"], 10)


def hears_again(pair):
    """After the state was away for a while, too: what is told is seen at once, not found later."""
    wait_for(lambda: len(ears(pair)) == 2, 15, "two that listen again")


class Refusing:
    """A way to the state on which LISTEN is refused, and counted."""

    def __init__(self, pg):
        self.refuses, self.asked = True, []
        self.relay = Relay(pg.port, self.change)

    def change(self, data):
        if b"LISTEN ferrod" not in data:
            return data
        self.asked.append(time.monotonic())
        return data.replace(b"LISTEN ferrod", b"L1STEN ferrod") if self.refuses else data


@pytest.mark.parametrize("setting,least,most", [("0.25", 8, 40), ("60", 1, 7)])
def test_listen_is_asked_for_again(postgres_backend, setting, least, most):
    """Where it is refused, changes are found; it is asked for again, after longer pauses up to the setting, and used once it is there."""
    pg = postgres_backend.pg
    way = Refusing(pg)
    url = postgres_backend.url.replace(f":{pg.port}/", f":{way.relay.port}/")
    args = ["--state-url", url, "--default-url", "", "--drain-notice-seconds", "0", "--state-listen-seconds", setting]
    with Server("--node", "a", *args) as one, Server("--node", "b", *args) as two, Client(one.port) as a, Client(two.port) as b:
        way.asked.clear()
        began = time.monotonic()
        for n in range(10):
            a.put("/v1/models", {"models": [model(f"M{n}")]}).expect(200)
            seen(b, [], [f"M{n}"], 3)
        time.sleep(max(0, 6 - (time.monotonic() - began)))
        asked = sum(at <= began + 6 for at in way.asked)
        assert 2 * least <= asked <= 2 * most, asked
        if setting == "0.25":
            way.refuses = False
            wait_for(lambda: len(ears(types.SimpleNamespace(backend=postgres_backend))) == 2, 10, "two that listen")
    way.relay.close()


@pytest.mark.parametrize("setting", ["0.24", "86401", "soon"])
def test_how_long_it_is_not_asked_for_has_bounds(setting):
    code, _, err = run_binary("check-config", "--state-listen-seconds", setting)
    assert code == 2 and "state_listen_seconds" in err.replace("-", "_")


def test_with_ferro_catalog_it_is_seen_at_once(pair):
    """Never model_not_found on the other server."""
    connect(pair.a, pair.url, default=True)
    for n in range(20):
        told, other = (pair.a, pair.b) if n % 2 else (pair.b, pair.a)
        version = told.post("/v1/models", {"models": [model(f"M{n}")]},
                            headers={"Ferro-Catalog": version} if n else {}).expect(200).header("Ferro-Catalog")
        assert version
        other.get(f"/v1/models/M{n}", headers={"Ferro-Catalog": version}).expect(200)
        made = told.post("/v1/create-tables").expect(200)
        answer = other.post(f"/v1/models/M{n}/records", {"id": 1}, headers={"Ferro-Catalog": version})
        assert answer.expect(201) and made
    gone = pair.a.delete("/v1/models/M0").expect(204).header("Ferro-Catalog")
    pair.b.get("/v1/models/M0", headers={"Ferro-Catalog": gone}).problem(404, "model_not_found")


def test_ferro_catalog_of_elsewhere(pair):
    version = connect(pair.a, pair.url).header("Ferro-Catalog")
    life, at = version.split("-")[:2]
    started = time.monotonic()
    problem = pair.b.get("/v1/models", headers={"Ferro-Catalog": f"{life}-{int(at) + 1}-0"}).problem(503, "catalog_behind")
    assert problem["retryable"] and 4 < time.monotonic() - started < patience(8)
    for strange in (f"{'0' * 32}-{at}-0", "nonsense", "", f"{life}-x-0"):
        pair.b.get("/v1/models", headers={"Ferro-Catalog": strange}).problem(412, "precondition_failed")
    pair.b.get("/v1/models", headers={"Ferro-Catalog": version}).expect(200)


def test_both_tell_at_once_and_nothing_is_lost(pair):
    done = []

    def tell(server, who):
        with Client(server.port) as c:
            for n in range(6):
                c.post("/v1/models", {"models": [model(f"M{who}x{n}")]}).expect(200)
                connect(c, "sqlite::memory:", f"c{who}x{n}")
                done.append((who, n))

    threads = [threading.Thread(target=tell, args=(pair.servers[i % 2], i)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(done) == 24
    names = sorted(f"c{w}x{n}" for w, n in done), sorted(f"M{w}x{n}" for w, n in done)
    for c in (pair.a, pair.b):
        seen(c, *names, seconds=2)


def test_what_another_tells_while_the_state_is_read_is_not_written_over(pair):
    """The parts of a state are read one after the other. A look that waited for a telling of its own server finds the version
    that it knows, and behind it models that are newer."""
    pg, database = pair.backend.pg, pair.backend.database

    def waiting(mode):
        return int(pg.psql(f"SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = '{mode}'", database))

    def tell(name):
        with Client(pair.a.port) as c:
            c.post("/v1/models", {"models": [model(name)]}).expect(200)
    pair.a.post("/v1/models", {"models": [model("M0")]}).expect(200)
    advance = "UPDATE ferrod.meta SET value = (value::bigint + 1)::text WHERE name = 'version'"
    with pg.asking(database) as version, pg.asking(database) as row, pg.asking(database) as parts, pg.asking(database) as models:
        row("BEGIN; SELECT 1 FROM ferrod.models WHERE told IS NOT NULL FOR UPDATE")
        version("BEGIN; " + advance)
        telling = threading.Thread(target=tell, args=("M1",))
        telling.start()
        wait_for(lambda: waiting("ShareLock") == 1, 10, "a telling that waits for the version")
        parts("BEGIN; LOCK TABLE ferrod.connections IN ACCESS EXCLUSIVE MODE")
        version("COMMIT; NOTIFY ferrod_state")
        wait_for(lambda: waiting("AccessShareLock") == 2, 10, "both servers that read the state")
        time.sleep(1)  # the look of the one that tells has seen the new version, and waits for its turn
        parts("ROLLBACK")
        wait_for(lambda: waiting("ShareLock") == 1, 10, "the telling, in its transaction")
        locking = threading.Thread(target=models, args=("BEGIN; LOCK TABLE ferrod.models IN ACCESS EXCLUSIVE MODE",))
        locking.start()
        wait_for(lambda: waiting("AccessExclusiveLock") == 1, 10, "what waits for the telling's end")
        row("COMMIT")
        for thread in (locking, telling):
            thread.join()
        wait_for(lambda: waiting("AccessShareLock") >= 1, 10, "a look that has read the version")
        time.sleep(0.5)  # and the other server's
        models("CREATE TEMP TABLE was AS SELECT * FROM ferrod.models WHERE told IS NOT NULL; "
               "UPDATE ferrod.models SET told = NULL WHERE told IS NOT NULL; "
               "INSERT INTO ferrod.models (version, fingerprint, told_at, told_by, told) SELECT version + 1, fingerprint, told_at, told_by, "
               "replace(told, '\"M0\"', '\"Other\"') FROM was; " + advance + "; COMMIT; NOTIFY ferrod_state")
    for c in (pair.a, pair.b):
        seen(c, [], ["M1", "Other"], seconds=10)
    tell("M2")
    for c in (pair.a, pair.b):
        seen(c, [], ["M1", "M2", "Other"], seconds=10)


def test_a_database_in_memory_is_left_alone_by_others_changes(pair):
    connect(pair.a, "sqlite::memory:", "mine", default=True)
    pair.a.post("/v1/sql/execute", {"sql": "CREATE TABLE t (n integer)"}).expect(200)
    session = pair.a.session()
    seen(pair.b, ["mine"], [])
    pair.b.post("/v1/models", {"models": [model("M")]}).expect(200)
    seen(pair.a, ["mine"], ["M"])
    pair.a.post("/v1/sql/execute", {"sql": "INSERT INTO t VALUES (1)"}).expect(200)
    session.get("/v1/session").expect(200)


def test_a_name_that_another_server_took(pair):
    connect(pair.a, pair.url)
    answer = pair.b.post("/v1/connections", {"name": "shop", "url": "sqlite:other.db?mode=rwc"})
    assert answer.status in (201, 409), answer.body     # 201: it had been restored there, which gives way once
    wait_for(lambda: len({str(catalog(c)) for c in (pair.a, pair.b)}) == 1, 2, "one mind")
    urls = [c.get("/v1/connections/shop").json()["url"] for c in (pair.a, pair.b)]
    wait_for(lambda: len({c.get("/v1/connections/shop").json()["url"] for c in (pair.a, pair.b)}) == 1, 2, f"one URL, not {urls}")


def test_a_third_server_finds_it_all(pair):
    connect(pair.a, pair.url, default=True)
    pair.b.post("/v1/models", {"models": [model("M")]}).expect(200)
    with Server("--default-url", "", "--node", "c", "--drain-notice-seconds", "0", *pair.args) as third, Client(third.port) as c:
        assert catalog(c) == (["shop"], ["M"])


def test_a_state_that_is_away_for_a_while(pair):
    """What tells nothing goes on; tellings are refused, and both agree afterwards."""
    connect(pair.a, pair.url, default=True)
    seen(pair.b, ["shop"], [])
    pg = pair.backend.pg
    pg.stop()
    pair.a.post("/v1/sql/execute", {"sql": "SELECT 1"}).expect(200)
    pair.a.post("/v1/models", {"models": [model("M")]}).problem(503, "database_unavailable")
    assert catalog(pair.a) == (["shop"], [])
    pg.start()
    wait_for(lambda: pair.a.post("/v1/models", {"models": [model("M")]}).status == 200, 5, "the state")
    seen(pair.b, ["shop"], ["M"], seconds=4)
    hears_again(pair)
