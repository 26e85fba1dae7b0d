"""A start tries its databases before it takes connections, and waits for none of them for long."""
import contextlib
import signal
import socket
import time

import pytest

from support.catalog import AUTHOR, catalog, shop  # noqa: F401
from support.client import Client
from support.process import free_port, wait_for
from support.relay import Relay
from support.server import Server, patience, run_binary

KEPT = 40


def slowly(data):
    time.sleep(0.1)
    return data


@pytest.fixture
def far(backend):
    """The backend's URL; PostgreSQL is a way off, so that a connection takes its time."""
    if backend.name == "sqlite":
        yield backend.url
        return
    way = Relay(backend.pg.port, slowly)
    yield backend.url.replace(f":{backend.pg.port}/", f":{way.port}/")
    way.close()


@pytest.fixture
def silent():
    """The URL of a database that takes connections and never says a word."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen(8)
        yield f"postgres://app@127.0.0.1:{s.getsockname()[1]}/shop"


def first_answer(port, seconds=30):
    """Of a record's write, by one who tries to connect all the time; refused connections are none."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(ConnectionRefusedError), Client(port) as c:
            return c.post("/v1/models/Author/records", {"name": "x"})
        time.sleep(0.001)
    raise AssertionError("nobody listens")


@pytest.mark.parametrize("how", ["declared", "kept"])
def test_the_first_request_that_gets_through_is_served(far, backend, catalog, tmp_path, how):  # noqa: F811
    """After a restart that no proxy noticed, too: it is refused, and goes elsewhere, until it can be served."""
    args = ["--default-url", "", "--state-url", f"sqlite:{tmp_path}/state.db?mode=rwc", "--catalog", str(catalog.path)]
    port = free_port()
    listen = f"127.0.0.1:{port}"
    if how == "declared":
        catalog("a", connections=[shop(far)], models=[AUTHOR])
    server = Server(*args, listen=listen)
    if how == "kept":
        with Client(server.port) as c:
            c.post("/v1/models", {"models": [AUTHOR]}).expect(200)
            c.post("/v1/connections", {"name": "shop", "url": far, "default": True}).expect(201)
            c.post("/v1/create-tables").expect(200)
            for n in range(KEPT if backend.name == "sqlite" else 2):
                c.post("/v1/connections", {"name": f"other{n}", "url": far.replace("test.db", f"{n}.db")}).expect(201)
    for _ in range(3):
        server.kill()
        server = Server(*args, listen=listen, wait=False)
        first_answer(port).expect(201)
    server.stop()


def began_to_listen(server):
    """Seconds until it took connections."""
    began = time.monotonic()
    wait_for(lambda: server.events("listening") or not server.alive, 30, "the start")
    assert server.alive, server.log()
    server.port = server.events("listening")[0]["port"]
    return time.monotonic() - began


@pytest.mark.parametrize("setting,least", [("0", 0), ("1", 1)])
def test_one_that_does_not_answer_holds_nobody_up_for_longer(backend, silent, catalog, setting, least):  # noqa: F811
    """The attempt itself takes 5 s. What answers is served meanwhile, and /readyz names what does not."""
    catalog("a", connections=[shop(backend.url), {"name": "deaf", "url": silent}], models=[AUTHOR])
    with Server("--catalog", str(catalog.path), "--bring-up-seconds", setting, wait=False) as server:
        took = began_to_listen(server)
        assert least <= took < patience(4.5), took
        with Client(server.port) as c:
            c.get("/healthz").expect(200)
            waiting = c.get("/readyz").expect(503).json()
            assert "deaf" in str(waiting), waiting
            c.post("/v1/sql/execute", {"sql": "SELECT 1", "using": "deaf"}).problem(503, "database_unavailable")
            wait_for(lambda: c.post("/v1/models/Author/records", {"name": "x"}).status == 201, 10, "the other one")


def test_the_default_database_may_be_silent(silent, tmp_path):
    with Server("--default-url", silent, "--bring-up-seconds", "0.5", wait=False) as server:
        assert 0.5 <= began_to_listen(server) < patience(4.5)
        with Client(server.port) as c:
            c.get("/healthz").expect(200)
            c.get("/readyz").expect(503)


def test_refused_is_tried_and_no_longer_waited_for(catalog):  # noqa: F811
    catalog("a", connections=[{"name": "gone", "url": f"postgres://app@127.0.0.1:{free_port()}/shop"}])
    with Server("--catalog", str(catalog.path), "--bring-up-seconds", "60", wait=False) as server:
        assert began_to_listen(server) < patience(20)


@pytest.mark.parametrize("value,code", [("-0.1", 2), ("0", 0), ("3600", 0), ("3600.1", 2)])
def test_its_bounds(tmp_path, value, code):
    got, out, err = run_binary("check-config", f"--bring-up-seconds={value}", cwd=str(tmp_path))
    assert got == code and (code == 0 or "bring_up_seconds" in err.replace("-", "_")), (out, err)


def test_a_port_that_another_one_took_meanwhile(silent, catalog, tmp_path):  # noqa: F811
    """Nothing listens during the wait: who is there first has the port, and the other says so."""
    catalog("a", connections=[{"name": "deaf", "url": silent}])
    listen = f"127.0.0.1:{free_port()}"
    late = Server("--default-url", "", "--catalog", str(catalog.path), "--bring-up-seconds", "3", listen=listen, wait=False)
    wait_for(lambda: bound(listen), 20, "its start")
    with Server("--default-url", "", listen=listen) as first:
        code, _ = late.wait(30)
        assert code == 2 and "in use" in late.log(), late.log()
        with Client(first.port) as c:
            c.get("/healthz").expect(200)


def test_told_to_end_while_it_waits(conn, catalog):  # noqa: F811
    """For a migration that waits for somebody's transaction: the start is not finished first."""
    conn.client.post("/v1/sql/execute", {**conn.using, "sql": "CREATE TABLE author (id integer PRIMARY KEY)"}).expect(200)
    with contextlib.closing(conn.client.transaction(**conn.using)) as holder:
        holder.post("/v1/sql/execute", {"sql": "INSERT INTO author (id) VALUES (1)"}).expect(200)
        catalog("a", connections=[shop(conn.backend.url, migrate="updates")], models=[AUTHOR])
        listen = f"127.0.0.1:{free_port()}"
        late = Server("--default-url", "", "--catalog", str(catalog.path), "--bring-up-seconds", "300",
                      "--migrate-wait-seconds", "300", listen=listen, wait=False)
        wait_for(lambda: bound(listen), 20, "its start")
        time.sleep(0.5)
        assert not late.events("listening"), "it waits"
        late.process.send_signal(signal.SIGTERM)
        code, _ = late.wait(30)
        assert code == 0, late.log()
        holder.post(f"/v1/transactions/{holder.headers['Ferro-Transaction']}/rollback").expect(200)


def bound(listen):
    """Has somebody bound the port?"""
    with socket.socket() as s:
        try:
            s.bind(("127.0.0.1", int(listen.split(":")[1])))
        except OSError:
            return True
    return False
