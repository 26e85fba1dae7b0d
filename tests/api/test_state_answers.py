"""Answers for Idempotency-Keys of requests whose work is in the state: kept there, sealed, for every server of it."""
import contextlib
import http.client
import os
import signal
import sqlite3
import threading
import time
import types

import pytest

from support import vanish
from support.client import Client
from support.keys import Keys
from support.process import wait_for
from support.server import Server, run_binary


def model(name, **more):
    return {"model_name": name, "columns": [{"name": "id", "logical_type": "integer", "primary_key": True}], **more}


def key(text):
    return {"Idempotency-Key": text}


@pytest.fixture
def house(backend, tmp_path):
    """Servers one after the other on one state of either kind, each ended by SIGKILL."""
    key_file = tmp_path / "key"
    key_file.write_text(run_binary("key", "seal")[1])
    state = backend.url if backend.name == "postgres" else f"sqlite:{tmp_path}/state.db?mode=rwc"
    with contextlib.ExitStack() as at_end:
        made = types.SimpleNamespace(kind=backend.name, backend=backend, key_file=key_file, dir=tmp_path, keyed=["--state-key-file", str(key_file)])

        def start(*more, node="a"):
            server = Server("--default-url", "", "--drain-notice-seconds", "0", "--state-url", state, "--node", node, *made.keyed, *more)
            client = at_end.enter_context(Client(server.port))
            at_end.callback(lambda: server.alive and server.kill())
            client.server = server
            return client

        def again(client, *more, **named):
            client.server.kill()
            return start(*more, **named)

        def sql(text):
            if made.kind == "postgres":
                return backend.pg.psql(text.replace("~", "ferrod."), backend.database)
            with contextlib.closing(sqlite3.connect(tmp_path / "state.db")) as db, db:
                return "\n".join("|".join(map(str, row)) for row in db.execute(text.replace("~", "ferrod_")))
        made.start, made.again, made.sql, made.file = start, again, sql, f"sqlite:{tmp_path}/shop.db?mode=rwc"
        yield made


def replayed(answer, first):
    assert answer.status == first.status and answer.body == first.body and answer.header("Idempotency-Replayed") == "true"
    for name in ("Location", "Content-Type", "Ferro-Catalog", "Ferro-Session"):
        assert answer.header(name) == first.header(name)


def test_they_outlive_their_server(house):
    """kill -9, and whoever repeats a telling gets its first answer; another body under the key is refused."""
    c = house.start()
    shop = {"name": "shop", "url": house.file, "default": True}
    told = c.post("/v1/connections", shop, headers=key("c")).expect(201)
    models = c.post("/v1/models", {"models": [model("One")]}, headers=key("m")).expect(200)
    c.post("/v1/models", {"models": [{"model_name": "Bad"}]}, headers=key("bad")).problem(422, "invalid_schema")
    session = c.post("/v1/sessions", headers=key("s")).expect(201)
    c = house.again(c)
    c.delete("/v1/models/One").expect(204)
    for _ in range(2):
        replayed(c.post("/v1/connections", shop, headers=key("c")), told)
        replayed(c.post("/v1/models", {"models": [model("One")]}, headers=key("m")), models)
    assert c.get("/v1/catalog").json()["models"] == []     # and nothing was done
    c.post("/v1/connections", {**shop, "name": "other"}, headers=key("c")).problem(422, "idempotency_key_reused")
    c.post("/v1/models", {"models": [model("Good")]}, headers=key("bad")).expect(200)   # a refusal was no answer
    again = c.post("/v1/sessions", headers=key("s"))
    if house.kind == "postgres":       # it goes on, and so its answer
        replayed(again, session)
        c.get("/v1/session", headers={"Ferro-Session": session.header("Ferro-Session")}).expect(200)
    else:                              # it has ended with its server
        assert again.expect(201).header("Idempotency-Replayed") is None
        assert again.header("Ferro-Session") != session.header("Ferro-Session")


def test_every_server_of_the_state_gives_them(house):
    if house.kind == "sqlite":
        pytest.skip("one server has it")
    a, b = house.start(node="a"), house.start(node="b")
    first = a.post("/v1/models", {"models": [model("One")]}, headers=key("m")).expect(200)
    for c in (b, a, b):
        replayed(c.post("/v1/models", {"models": [model("One")]}, headers=key("m")), first)
    assert house.sql("SELECT count(*) FROM ~models") == "1"


@contextlib.contextmanager
def held_up(house, table):
    """Who writes that table of the state waits until the end; how many do is what is yielded."""
    pg, database = house.backend.pg, house.backend.database
    with pg.asking(database) as other:
        other(f"BEGIN; LOCK TABLE ferrod.{table} IN EXCLUSIVE MODE")
        yield lambda: int(pg.psql("SELECT count(*) FROM pg_locks WHERE NOT granted", database))
        other("ROLLBACK")


def beside(client, *call, **more):
    """A request on a thread and a connection of its own."""
    answers = []

    def run():
        with Client(client.port) as c, contextlib.suppress(OSError, http.client.HTTPException):  # its server may be killed
            answers.append(c.post(*call, **more))
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, answers


@pytest.mark.parametrize("path,body,table", [("/v1/sessions", {}, "sessions"), ("/v1/connections", {"name": "late", "url": "sqlite::memory:"}, "connections"),
                                             ("/v1/models", {"models": [model("Late")]}, "models")])
def test_of_two_servers_one_does_what_is_told(house, path, body, table):
    """The second waits for the first, which is at it, and gives its answer."""
    if house.kind == "sqlite":
        pytest.skip("one server has it")
    a, b = house.start(node="a"), house.start(node="b")
    a.post("/v1/connections", {"name": "shop", "url": house.file, "default": True}, headers={}).expect(201)
    wait_for(lambda: b.get("/v1/connections/shop").status == 200, 10, "the connection")
    before = house.sql(f"SELECT count(*) FROM ~{table}")
    with held_up(house, table) as waiting:
        requests = [beside(a, path, body, headers=key("k"))]
        wait_for(lambda: waiting() == 1, 10, "the first")
        requests.append(beside(b, path, body, headers=key("k")))
        other = beside(b, path, body, headers=key("k"))     # nor do two of one server
        time.sleep(0.5)
        assert waiting() == 1 and not any(answers for _, answers in (*requests, other))
        with Client(b.port) as third:
            third.post(path, {**body, "more": 1}, headers=key("k")).problem(422, "idempotency_key_reused")
    for thread, _ in (*requests, other):
        thread.join()
    (first,), (second,), (third,) = (answers for _, answers in (*requests, other))
    first.expect(200 if table == "models" else 201)
    assert first.header("Idempotency-Replayed") is None
    for one in (second, third):
        assert one.body == first.body and one.status == first.status and one.header("Idempotency-Replayed") == "true"
    assert int(house.sql(f"SELECT count(*) FROM ~{table}")) == int(before) + 1
    assert house.sql("SELECT count(*) FROM ~claims") == "0"


@pytest.mark.parametrize("how", ["refused", "gone"])
def test_a_claim_that_comes_to_nothing(house, how):
    """Who was refused, or has gone away, leaves the key to the next."""
    if house.kind == "sqlite":
        pytest.skip("one server has it")
    a, b = house.start(node="a"), house.start(node="b")
    body = {"name": "late", "url": "sqlite::memory:"}
    if how == "refused":
        a.post("/v1/connections", {"name": "late", "url": house.file}).expect(201)
        a.post("/v1/connections", body, headers=key("k")).problem(409, "connection_exists")
        a.delete("/v1/connections/late").expect(204)
        assert house.sql("SELECT count(*) FROM ~claims") == "0"
    else:
        with held_up(house, "connections") as waiting:
            vanish.send(a.port, "/v1/connections", body, key("k")).close()
            wait_for(lambda: waiting() == 1 or house.sql("SELECT count(*) FROM ~claims") == "0", 10, "the first")
        wait_for(lambda: house.sql("SELECT count(*) FROM ~claims") == "0", 10, "the claim's end")
    wait_for(lambda: b.post("/v1/connections", body, headers=key("k")).status in (200, 201), 10, "the next")


def test_a_dead_node_s_claim_is_anybody_s(house):
    """kill -9 while it is at it: the next one waits until its beat is old, and no longer."""
    if house.kind == "sqlite":
        pytest.skip("one server has it")
    a, b = house.start(node="a"), house.start(node="b")
    body = {"name": "late", "url": "sqlite::memory:"}
    with held_up(house, "connections") as waiting:
        thread, _ = beside(a, "/v1/connections", body, headers=key("k"))
        wait_for(lambda: waiting() == 1, 10, "the first")
        a.server.kill()
    assert house.sql("SELECT node FROM ~claims") == "a"
    assert b.post("/v1/connections", body, headers=key("k")).expect(201).header("Idempotency-Replayed") is None
    assert house.sql("SELECT count(*) FROM ~claims") == "0"


def test_a_paused_node_does_not_do_what_another_has_done(house):
    """It wakes with its claim gone: nothing is written, and who asks again gets the other's answer."""
    if house.kind == "sqlite":
        pytest.skip("one server has it")
    a, b = house.start(node="a"), house.start(node="b")
    pg, database = house.backend.pg, house.backend.database
    body = {"name": "late", "url": "sqlite::memory:"}
    with held_up(house, "models") as waiting:
        before = beside(a, "/v1/models", {"models": [model("Other")]})    # has its turn
        wait_for(lambda: waiting() == 1, 10, "a telling before it")
        thread, answers = beside(a, "/v1/connections", body, headers=key("k"))
        wait_for(lambda: house.sql("SELECT node FROM ~claims") == "a", 10, "the first")
        os.kill(a.server.process.pid, signal.SIGSTOP)
        pg.psql("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted", database)
    done = b.post("/v1/connections", body, headers=key("k")).expect(201)
    assert done.header("Idempotency-Replayed") is None
    b.delete("/v1/connections/late").expect(204)
    os.kill(a.server.process.pid, signal.SIGCONT)
    for one in (before[0], thread):
        one.join()
    assert "another one has gone on" in answers[0].problem(503, "database_unavailable")["detail"]
    assert house.sql("SELECT count(*) FROM ~connections") == "0"
    wait_for(lambda: a.get("/v1/connections/late").status == 404, 10, "what b was told")
    replayed(a.post("/v1/connections", body, headers=key("k")), done)


def test_they_are_sealed_and_sealed_anew(house):
    c = house.start()
    shop = {"name": "shop", "url": house.file, "default": True}
    first = c.post("/v1/connections", shop, headers=key("c")).expect(201)
    session = c.post("/v1/sessions", headers=key("s")).expect(201).header("Ferro-Session")
    kept = house.sql("SELECT * FROM ~answers")
    assert kept.count("\n") == (house.kind == "postgres") and "shop" not in kept and session not in kept
    old, fresh = house.key_file.read_text(), run_binary("key", "seal")[1]
    house.key_file.write_text(fresh + old)
    c = house.again(c)
    assert c.server.events("state_resealed")
    house.key_file.write_text(fresh)
    c = house.again(c)
    replayed(c.post("/v1/connections", shop, headers=key("c")), first)


@pytest.mark.parametrize("change", ["status = 500", "content_type = 'text/html'", "body = 'x'", "answer = 'x'"])
def test_what_others_have_changed_is_no_answer(house, change):
    """The state's database is believed as little as any other."""
    c = house.start()
    c.post("/v1/models", {"models": [model("One")]}, headers=key("m")).expect(200)
    house.sql(f"UPDATE ~answers SET {change}")
    c = house.again(c)
    assert c.post("/v1/models", {"models": [model("One")]}, headers=key("m")).expect(200).header("Idempotency-Replayed") is None


NARROWER = {"connections": {"connections": ["other"]}, "scopes": {"scopes": ["schema", "read"], "connections": ["shop"]}, "sets": {"sets": ["other"]}}
WIDER = {"scopes": ["admin"], "connections": ["shop", "other"], "sets": ["", "other"]}


@pytest.mark.parametrize("change", [*NARROWER, None])
def test_fewer_rights_withhold_them(house, tmp_path, change):
    """A key may do less than when it was answered, and its server has been started again since; one that may do more has its answers."""
    keys = Keys(tmp_path)
    keys.add("worker", ["admin", "sql"])
    narrow = NARROWER.get(change, {})
    keys.entries[0] |= {"connections": ["shop"]} if change != "sets" else {"sets": ["", "other"]}
    keys.write()
    shop, told = {"name": "shop", "url": house.file}, {"models": [model("One")]}

    def worker(c):
        return c.clone(Authorization=f"Bearer {keys.texts['worker']}")
    first = house.start("--keys-file", str(keys.path))
    shopped = worker(first).post("/v1/connections", shop, headers=key("c")).expect(201)
    modelled = worker(first).post("/v1/models", told, headers=key("m")).expect(200)
    keys.entries[0] |= narrow if change else {k: v for k, v in WIDER.items() if k in keys.entries[0]}
    keys.write()
    c = worker(house.again(first, "--keys-file", str(keys.path)))
    if change is None:
        replayed(c.post("/v1/connections", shop, headers=key("c")), shopped)
        replayed(c.post("/v1/models", told, headers=key("m")), modelled)
        return
    for path, body, name in (("/v1/connections", shop, "c"), ("/v1/models", told, "m")):
        if change == "scopes" and path == "/v1/connections":
            c.post(path, body, headers=key(name)).problem(403, "forbidden")
            continue
        problem = c.post(path, body, headers=key(name)).problem(422, "idempotency_key_reused")
        assert "rights have changed" in problem["detail"] and problem["outcome"] == "committed"
        # and again
        c.post(path, body, headers=key(name)).problem(422, "idempotency_key_reused")


def test_without_a_key_none_is_kept(house):
    if house.kind == "sqlite":
        pytest.skip("it always has one")
    house.keyed = []
    c = house.start()
    c.post("/v1/models", {"models": [model("One")]}, headers=key("m")).expect(200)
    assert house.sql("SELECT count(*) FROM ~answers") == "0"
    c = house.again(c)
    assert c.post("/v1/models", {"models": [model("One")]}, headers=key("m")).expect(200).header("Idempotency-Replayed") is None


def test_old_ones_are_gone(house):
    c = house.start()
    c.post("/v1/models", {"models": [model("One")]}, headers=key("m")).expect(200)
    house.sql("UPDATE ~answers SET at_us = at_us - 86340000000")
    c = house.again(c)
    assert c.post("/v1/models", {"models": [model("One")]}, headers=key("m")).header("Idempotency-Replayed") == "true"
    house.sql("UPDATE ~answers SET at_us = at_us - 90000000000")
    c = house.again(c)
    assert c.post("/v1/models", {"models": [model("One")]}, headers=key("m")).expect(200).header("Idempotency-Replayed") is None
    c.post("/v1/models", {"models": [model("Two")]}, headers=key("other")).expect(200)
    assert house.sql("SELECT count(*) FROM ~answers") == "2"


@pytest.mark.parametrize("setting,value,least", [("entries", "3", "3"), ("bytes", "3000", "1")])
def test_a_caller_has_its_bounds(house, setting, value, least):
    """The newest stay, as many as there may be."""
    c = house.start(f"--idempotency-{setting}", value)
    for n in range(8):
        c.put("/v1/models", {"models": []}).expect(200)
        c.post("/v1/models", {"models": [model(f"M{n}")]}, headers=key(f"m{n}")).expect(200)
    kept = int(house.sql("SELECT count(*) FROM ~answers"))
    assert int(least) <= kept <= 3 if setting == "entries" else 1 <= kept < 8
    if setting == "bytes":
        assert int(house.sql("SELECT sum(size) FROM ~answers")) <= 3000
    c = house.again(c, f"--idempotency-{setting}", value)
    for n in (7, 8 - kept):
        assert c.post("/v1/models", {"models": [model(f"M{n}")]}, headers=key(f"m{n}")).header("Idempotency-Replayed") == "true"
    assert c.post("/v1/models", {"models": [model(f"M{7 - kept}")]}, headers=key(f"m{7 - kept}")).header("Idempotency-Replayed") is None


def test_a_state_that_is_away(house, request):
    """A refusal that may pass, and the next request with the key runs."""
    if house.kind == "postgres":
        pg = house.backend.pg
        c = house.start()
        pg.stop()
        request.addfinalizer(lambda: pg.process is None and pg.start())
        c.post("/v1/models", {"models": [model("One")]}, headers=key("m")).problem(503, "database_unavailable")
        pg.start()
    else:
        c = house.start("--busy-timeout-seconds", "0.2")
        c.post("/v1/models", {"models": [model("Zero")]}).expect(200)
        other = sqlite3.connect(house.dir / "state.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        c.post("/v1/models", {"models": [model("One")]}, headers=key("m")).problem(503, "database_unavailable")
        other.execute("ROLLBACK")
        other.close()
    wait_for(lambda: c.post("/v1/models", {"models": [model("One")]}, headers=key("m")).status == 200, 10, "the state")
    assert c.post("/v1/models", {"models": [model("One")]}, headers=key("m")).header("Idempotency-Replayed") == "true"
