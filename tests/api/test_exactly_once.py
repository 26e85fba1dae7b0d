"""Connections that are exactly_once: the answer for an Idempotency-Key is in the database of its write, or neither is."""
import json
import re
import sqlite3
import threading
import time
import types
import uuid

import pytest

from support.client import Client
from support.cutter import Cutter, runs
from support.process import wait_for
from support.server import Server

MODELS = [{"model_name": "Item", "columns": [{"name": "id", "logical_type": "integer", "primary_key": True},
                                             {"name": "note", "logical_type": "string", "nullable": True}]},
          {"model_name": "Tag", "columns": [{"name": "id", "logical_type": "integer", "primary_key": True}],
           "relations": [{"name": "items", "kind": "many_to_many", "target": "Item", "through": "tag_items",
                          "source_column": "tag_id", "target_column": "item_id"}]},
          {"model_name": "TagItem", "table_name": "tag_items",
           "columns": [{"name": "id", "logical_type": "integer", "primary_key": True},
                       {"name": "tag_id", "logical_type": "integer"}, {"name": "item_id", "logical_type": "integer"}],
           "uniques": [{"columns": ["tag_id", "item_id"]}]}]


class House:
    """Servers one after the other, or side by side, on one database; nothing else is shared."""

    def __init__(self, backend):
        self.backend, self.servers, self.clients = backend, [], []

    def start(self, *more, fresh=False):
        server = Server("--state-url", "", "--default-url", "", *more)
        c = Client(server.port)
        self.servers.append(server)
        self.clients.append(c)
        c.post("/v1/connections", {"name": "data", "url": self.backend.url, "default": True, "exactly_once": True}).expect(201)
        c.put("/v1/models", {"models": MODELS}).expect(200)
        if fresh:
            c.post("/v1/create-tables").expect(200)
        return c

    def close(self):
        for c in self.clients:
            c.close()
        for server in self.servers:
            if server.alive:
                server.stop()

    def sql(self, text):
        if self.backend.name == "sqlite":
            with sqlite3.connect(self.backend.path) as c:
                return [list(map(str, row)) for row in c.execute(text).fetchall()]
        out = self.backend.pg.psql(text, self.backend.database)
        return [line.split("|") for line in out.strip().splitlines()]

    def count(self, table):
        return int(self.sql(f"SELECT count(*) FROM {table}")[0][0])


@pytest.fixture
def house(backend):
    made = House(backend)
    yield made
    made.close()


@pytest.fixture
def two(house):
    """Two servers that know nothing of each other."""
    house.a, house.b = house.start(fresh=True), house.start()
    return house


def key():
    return {"Idempotency-Key": uuid.uuid4().hex}


WRITES = {
    "create": ("POST", "/v1/models/Item/records", {"note": "x"}),
    "upsert": ("POST", "/v1/models/Item/records?on_conflict=update", {"id": 7, "note": "x"}),
    "bulk": ("POST", "/v1/models/Item/records", {"records": [{"note": str(n)} for n in range(100)]}),
    "put": ("PUT", "/v1/models/Item/records/5", {"note": "put"}),
    "patch": ("PATCH", "/v1/models/Item/records/1", {"note": "patched"}),
    "delete": ("DELETE", "/v1/models/Item/records/1", None),
    "get-or-create": ("POST", "/v1/models/Item/get-or-create", {"where": {"note": "new"}}),
    "update-or-create": ("POST", "/v1/models/Item/update-or-create", {"where": {"id": 1}, "defaults": {"note": "u"}}),
    "query update": ("POST", "/v1/query/update", {"query": {"model_name": "Item", "where": [{"node_kind": "leaf", "column": "id", "operator": "==", "value": 1}]}, "set": {"note": "q"}}),
    "query delete": ("POST", "/v1/query/delete", {"model_name": "Item", "where": [{"node_kind": "leaf", "column": "id", "operator": "==", "value": 1}]}),
    "batch": ("POST", "/v1/batch", {"steps": [{"op": "create", "model": "Item", "record": {"note": "b"}, "as": "one"},
                                              {"op": "sql.execute", "sql": "INSERT INTO item (note) VALUES ('c')"}]}),
    "links": ("PUT", "/v1/models/Tag/records/1/items", {"ids": [1]}),
    "unlink": ("DELETE", "/v1/models/Tag/records/1/items", {"ids": [2]}),
    "sql": ("POST", "/v1/sql/execute", {"sql": "INSERT INTO item (note) VALUES ('raw')"}),
    "sql rows": ("POST", "/v1/sql/fetch-all", {"sql": "INSERT INTO item (note) VALUES ('raw') RETURNING id"}),
    "sql row": ("POST", "/v1/sql/fetch-one", {"sql": "INSERT INTO item (note) VALUES ('raw') RETURNING id"}),
}


@pytest.mark.parametrize("name", WRITES)
def test_the_other_server_finds_the_answer(two, name):
    method, path, body = WRITES[name]
    two.a.post("/v1/models/Item/records", {"records": [{"id": 1, "note": "one"}, {"id": 2, "note": "two"}]}).expect(201)
    two.a.post("/v1/models/Tag/records", {"id": 1}).expect(201)
    two.a.put("/v1/models/Tag/records/1/items", {"ids": [2]}).expect(200)
    if two.backend.name == "postgres":
        two.sql("SELECT setval('item_id_seq', 100)")
    h = key()
    first = two.a.request(method, path, body, headers=h)
    assert first.status in (200, 201, 204), first.body
    assert first.header("Idempotency-Replayed") is None
    rows = [two.sql(f"SELECT * FROM {t} ORDER BY 1") for t in ("item", "tag_items")]
    for c in (two.b, two.a):
        again = c.request(method, path, body, headers=h)
        assert (again.status, again.body) == (first.status, first.body)
        assert again.header("Idempotency-Replayed") == "true"
        for name in ("Location", "ETag", "Content-Type"):
            assert again.header(name) == first.header(name)
    assert [two.sql(f"SELECT * FROM {t} ORDER BY 1") for t in ("item", "tag_items")] == rows


def test_another_body(two):
    h = key()
    two.a.post("/v1/models/Item/records", {"note": "x"}, headers=h).expect(201)
    for c in (two.a, two.b):
        c.post("/v1/models/Item/records", {"note": "y"}, headers=h).problem(422, "idempotency_key_reused")
    assert two.count("item") == 1


def test_it_survives_kill_9(house):
    c = house.start(fresh=True)
    h = key()
    first = c.post("/v1/models/Item/records", {"note": "x"}, headers=h).expect(201)
    c.close()
    house.servers[0].kill()
    again = house.start().post("/v1/models/Item/records", {"note": "x"}, headers=h).expect(201)
    assert again.body == first.body and again.header("Idempotency-Replayed") == "true" and house.count("item") == 1


def test_a_refused_one_is_judged_anew(two):
    h = key()
    two.a.post("/v1/models/Item/records", {"id": 1}).expect(201)
    two.a.post("/v1/models/Item/records", {"id": 1}, headers=h).problem(409, "unique_violation")
    assert two.count("_ferrod_once") == 0
    two.a.delete("/v1/models/Item/records/1").expect(204)
    two.b.post("/v1/models/Item/records", {"id": 1}, headers=h).expect(201)
    two.a.post("/v1/models/Item/records", {"id": 1}, headers=h).expect(201)
    assert two.count("item") == 1


def test_so_is_one_that_was_refused_before_it_came_to_the_database(two):
    """Its model is told, its column is made: the same request is done by the server that refused it."""
    unknown, column = key(), key()
    for _ in range(2):
        two.a.post("/v1/models/Late/records", {"id": 1}, headers=unknown).problem(404, "model_not_found")
        two.a.post("/v1/models/Item/records", {"id": 1, "more": "x"}, headers=column).problem(422, "unknown_column")
    late = {**MODELS[0], "model_name": "Late"}
    item = {**MODELS[0], "columns": [*MODELS[0]["columns"], {"name": "more", "logical_type": "string", "nullable": True}]}
    two.a.put("/v1/models", {"models": [late, item, *MODELS[1:]]}).expect(200)
    two.a.post("/v1/migrate", {"destructive": False}).expect(200)
    for _ in range(2):
        two.a.post("/v1/models/Late/records", {"id": 1}, headers=unknown).expect(201)
        two.a.post("/v1/models/Item/records", {"id": 1, "more": "x"}, headers=column).expect(201)
    assert two.count("item") == two.count("late") == 1


def test_two_that_run_at_once(two):
    """The second waits for the first and gets its answer."""
    h, answers = key(), []
    slow = "INSERT INTO item (note) SELECT 'slow' FROM (SELECT pg_sleep(1)) s" if two.backend.name == "postgres" else \
        "INSERT INTO item (note) WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 1000000) SELECT 'slow' FROM r WHERE n = 1000000"

    def send(c):
        answers.append(c.post("/v1/sql/execute", {"sql": slow}, headers=h))

    threads = [threading.Thread(target=send, args=(Client(two.servers[i % 2].port),)) for i in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert [a.status for a in answers] == [200] * 6, [a.body for a in answers]
    assert sum(a.header("Idempotency-Replayed") == "true" for a in answers) == 5
    assert two.count("item") == 1


@pytest.mark.parametrize("name", ["create", "bulk", "put", "query update", "batch", "sql"])
def test_many_that_run_at_once(two, name):
    """Whatever of them comes first, in whichever server: each is done once, and all get the one answer."""
    method, path, body = WRITES[name]
    two.a.post("/v1/models/Item/records", {"id": 1, "note": "0"}).expect(201)
    if two.backend.name == "postgres":
        two.sql("SELECT setval('item_id_seq', 100)")
    keys, answers, n_rows = [key() for _ in range(8)], {}, []
    together = threading.Barrier(6)

    def send(who):
        with Client(two.servers[who % 2].port) as c:
            for h in keys:
                together.wait(20)
                got = c.request(method, path, body, headers=h)
                answers.setdefault(h["Idempotency-Key"], []).append((got.status, got.body, got.header("Idempotency-Replayed")))

    n_rows.append(two.count("item"))
    threads = [threading.Thread(target=send, args=(i,)) for i in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(120)
    assert len(answers) == len(keys)
    for seen in answers.values():
        assert len({(status, text) for status, text, _ in seen}) == 1 and seen[0][0] in (200, 201), seen
        assert sorted(str(replayed) for _, _, replayed in seen) == ["None"] + ["true"] * 5
    each = {"create": 1, "bulk": 100, "put": 0, "query update": 0, "batch": 2, "sql": 1}[name]
    assert two.count("item") == n_rows[0] + each * len(keys) + (name == "put")
    assert two.count("_ferrod_once") == len(keys)


def test_in_a_transaction_of_the_client_s_the_row_comes_and_goes_with_it(two):
    s = two.a.session()
    for end, kept in (("rollback", False), ("commit", True)):
        h = key()
        tx = s.post("/v1/transactions").expect(201).header("Ferro-Transaction")
        inside = {**h, "Ferro-Transaction": tx}
        first = s.post("/v1/models/Item/records", {"note": end}, headers=inside).expect(201)
        again = s.post("/v1/models/Item/records", {"note": end}, headers=inside).expect(201)
        assert again.body == first.body and again.header("Idempotency-Replayed") == "true"
        s.post(f"/v1/transactions/{tx}/{end}").expect(200)
        later = two.b.post("/v1/models/Item/records", {"note": end}, headers=h).expect(201)
        assert (later.header("Idempotency-Replayed") == "true") is kept
    assert two.count("item") == 2


def test_batches_that_are_not_atomic_are_refused(two):
    body = {"atomic": False, "steps": [{"op": "create", "model": "Item", "record": {"note": "b"}}]}
    two.a.post("/v1/batch", body, headers=key()).problem(422, "invalid_request")
    assert two.count("item") == 0
    two.a.post("/v1/batch", body).expect(200)


def test_what_is_undone_is_not_kept(two):
    h = key()
    two.a.post("/v1/models/Item/records", {"note": "x"}, headers={**h, "Prefer": "tx=rollback"}).expect(201)
    assert two.count("_ferrod_once") == 0
    again = two.b.post("/v1/models/Item/records", {"note": "x"}, headers=h).expect(201)
    assert again.header("Idempotency-Replayed") is None and two.count("item") == 1


def test_an_answer_that_is_too_large(house):
    a, b = house.start("--idempotency-answer-bytes", "1000", fresh=True), house.start("--idempotency-answer-bytes", "1000")
    for size, whole in ((900, True), (1200, False)):
        h = key()
        body = {"note": "x" * size}
        first = a.post("/v1/models/Item/records", body, headers=h).expect(201)
        again = b.post("/v1/models/Item/records", body, headers=h, validate=False)
        assert again.status == 201 and again.header("Idempotency-Replayed") == "true"
        assert again.header("Ferro-Answer") == (None if whole else "too-large")
        assert again.body == (first.body if whole else b"")


def test_old_answers_are_gone(two):
    h = key()
    two.a.post("/v1/models/Item/records", {"note": "x"}, headers=h).expect(201)
    two.sql("UPDATE _ferrod_once SET at_us = at_us - 25 * 3600000000")
    again = two.b.post("/v1/models/Item/records", {"note": "x"}, headers=h).expect(201)
    assert again.header("Idempotency-Replayed") is None and two.count("item") == 2 and two.count("_ferrod_once") == 1


def test_a_streamed_body_is_compared_by_its_hash(two):
    lines = b"".join(json.dumps({"note": f"n{n}"}).encode() + b"\n" for n in range(3000))
    h = {**key(), "Content-Type": "application/x-ndjson"}
    first = two.a.post("/v1/models/Item/records", raw=lines, headers=h).expect(201)
    again = two.b.post("/v1/models/Item/records", raw=lines, headers=h).expect(201)
    assert again.body == first.body and again.header("Idempotency-Replayed") == "true" and two.count("item") == 3000
    two.b.post("/v1/models/Item/records", raw=lines + b'{"note": "more"}\n', headers=h).problem(422, "idempotency_key_reused")


def test_the_table_is_nobody_s_model(two):
    found = two.a.post("/v1/introspect").expect(200).json()
    assert "_ferrod_once" not in json.dumps(found)
    plan = two.a.post("/v1/migrate", {"dry_run": True, "destructive": True}).expect(200).json()
    assert plan["statements"] == [] and "_ferrod_once" not in json.dumps(plan)


def test_who_may_not_create_the_table_is_told_the_ddl(server, postgres_backend):
    pg, database = postgres_backend.pg, postgres_backend.database
    pg.psql("DROP ROLE IF EXISTS poor; CREATE ROLE poor LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC", database)
    url = postgres_backend.url.replace("ferrod@", "poor@")
    ask = {"name": "poor", "url": url, "exactly_once": True}
    with Client(server.port) as c:
        problem = c.post("/v1/connections", ask).problem(403, "database_forbidden")
        ddl = problem["detail"].split("write it: ", 1)[1]
        assert ddl.startswith("CREATE TABLE")
        pg.psql(f"{ddl}; GRANT ALL ON _ferrod_once TO poor", database)
        assert c.post("/v1/connections", ask).expect(201).json()["exactly_once"] is True
        c.delete("/v1/connections/poor?force=true").expect(204)


def test_without_it_nothing_is_kept_in_the_database(conn):
    conn.client.post("/v1/sql/execute", {"sql": "CREATE TABLE t (n integer)", "using": conn.name}).expect(200)
    conn.client.post("/v1/sql/execute", {"sql": "INSERT INTO t VALUES (1)", "using": conn.name}, headers=key()).expect(200)
    assert conn.client.get(f"/v1/connections/{conn.name}").json()["exactly_once"] is False
    conn.client.post("/v1/sql/fetch-all", {"sql": "SELECT * FROM _ferrod_once", "using": conn.name}).problem(400, "sql_error")


def test_in_a_session_the_map_follows(two):
    s = two.a.session()
    h = key()
    s.post("/v1/models/Item/records", {"id": 1, "note": "x"}, headers=h).expect(201)
    assert s.get("/v1/models/Item/records/1").expect(200).json()["note"] == "x"
    two.b.patch("/v1/models/Item/records/1", {"note": "y"}, headers=key()).expect(200)
    s.patch("/v1/models/Item/records/1", {"note": "z"}, headers=key()).expect(200)
    assert s.get("/v1/models/Item/records/1").expect(200).json()["note"] == "z"


def test_a_row_that_is_taken_away_undoes_its_request(two):
    """By statements of the client's own, beside its write: then it could be done twice."""
    body = {"steps": [{"op": "create", "model": "Item", "record": {"note": "x"}}, {"op": "sql.execute", "sql": "DELETE FROM _ferrod_once"}]}
    assert two.a.post("/v1/batch", body, headers=key()).problem(409, "serialization_failure")["outcome"] == "rolled_back"
    assert two.count("item") == 0 and two.count("_ferrod_once") == 0


@pytest.fixture
def cut(server, postgres_backend):
    """A way to a PostgreSQL that can be cut around COMMIT."""
    cutter = Cutter(postgres_backend.pg.port)
    with Client(server.port, timeout=60) as client:
        url = f"postgres://ferrod@127.0.0.1:{cutter.own_port}/{postgres_backend.database}?sslmode=disable&gssencmode=disable"
        client.post("/v1/connections", {"name": "cut", "url": url, "exactly_once": True, "pool": {"max_connections": 1}}).expect(201)
        client.put("/v1/models", {"models": MODELS}).expect(200)
        client.post("/v1/create-tables", {"using": "cut"}).expect(200)
        cutter.client = client
        cutter.rows = lambda: postgres_backend.pg.psql("SELECT count(*) FROM item", postgres_backend.database)
        yield cutter
        client.delete("/v1/connections/cut?force=true").expect(204)
    cutter.listener.close()


@pytest.mark.parametrize("when, outcome, rows", [("before", "rolled_back", "0"), ("after", "committed", "1")])
@pytest.mark.parametrize("name", ["create", "bulk", "batch", "sql"])
def test_a_commit_whose_connection_is_lost(cut, name, when, outcome, rows):
    """The refusal says what became of it, and the next request with the key gets the answer, or does the work."""
    method, path, body = WRITES[name]
    each = {"create": 1, "bulk": 100, "batch": 2, "sql": 1}[name]
    send = lambda h: cut.client.request(method, f"{path}?using=cut", body, headers=h)  # noqa: E731
    assert send(key()).status in (200, 201)  # all is prepared
    h = key()
    cut.cut = when
    assert send(h).problem(503, "database_unavailable")["outcome"] == outcome
    assert int(cut.rows()) == each * (1 + int(rows))
    again = send(h)
    assert again.status in (200, 201) and (again.header("Idempotency-Replayed") == "true") is (when == "after")
    assert int(cut.rows()) == each * 2


def test_a_write_takes_two_flights(cut):
    """BEGIN, the key and the write; the answer and COMMIT."""
    method, path, body = WRITES["create"]
    for _ in range(2):
        cut.client.request(method, f"{path}?using=cut", body, headers=key()).expect(201)
    cut.statements.clear()
    cut.client.request(method, f"{path}?using=cut", body, headers=key()).expect(201)
    assert len(cut.statements) == 2, cut.statements
    assert runs(cut.statements[0], b"BEGIN") and runs(cut.statements[1], b"COMMIT")


@pytest.mark.parametrize("drop", ["DEALLOCATE ALL", "DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$"])
@pytest.mark.parametrize("name", ["create", "bulk", "batch", "sql"])
def test_names_that_a_client_has_dropped(cut, name, drop):
    """All that is prepared there is gone, the row's statement and the write's: it is prepared again, once."""
    method, path, body = WRITES[name]
    send = lambda h: cut.client.request(method, f"{path}?using=cut", body, headers=h)  # noqa: E731
    for _ in range(3):
        assert send(key()).status in (200, 201)
    each = int(cut.rows()) // 3
    cut.client.post("/v1/sql/execute", {"sql": drop, "using": "cut"}).expect(200)
    h = key()
    assert [(a.status in (200, 201), a.header("Idempotency-Replayed")) for a in (send(h), send(h))] == [(True, None), (True, "true")]
    assert int(cut.rows()) == 4 * each
    cut.statements.clear()
    assert send(key()).status in (200, 201)
    assert not any(b"INSERT INTO _ferrod_once" in text for text in cut.statements)  # it has its name again


def test_a_name_that_the_server_does_not_know(cut):
    """26000, of the row that travels with the write: the flight is undone and goes again, and the write is there once."""
    method, path, body = WRITES["create"]
    send = lambda h: cut.client.request(method, f"{path}?using=cut", body, headers=h)  # noqa: E731
    sent = []

    def note(data):
        sent.append(data)
        return data
    cut.change = note
    for _ in range(3):
        send(key()).expect(201)
    own = re.search(rb"P....(f\d+)\0INSERT INTO _ferrod_once \(key, body, at_us, status\) VALUES \(\$1, \$2, \$3, 0\) RETURNING", b"".join(sent), re.S)[1]
    lost = []

    def lose(data):
        if not lost and b"\0" + own + b"\0" in data:
            lost.append(data)
            return data.replace(b"\0" + own + b"\0", b"\0g" + own[1:] + b"\0")
        return data
    cut.change = lose
    h = key()
    send(h).expect(201)
    assert len(lost) == 1 and cut.rows() == "4"
    assert send(h).expect(201).header("Idempotency-Replayed") == "true"
    send(key()).expect(201)
    assert cut.rows() == "5"


@pytest.mark.parametrize("how", ["create", "batch"])
def test_a_ledger_under_kill_9(house, how):
    """Clients that repeat until they are answered, servers that die all the time: each deposit is there once."""
    c = house.start(fresh=True)
    c.post("/v1/models/Item/records", {"id": 1, "note": "0"}).expect(201)
    done, stop, port = [], threading.Event(), [house.servers[-1].port]

    def deposit(who):
        for n in range(25):
            record = {"note": f"{who}-{n}"}
            path, body = ("/v1/models/Item/records", record) if how == "create" else \
                ("/v1/batch", {"steps": [{"op": "create", "model": "Item", "record": record}]})
            h = {"Idempotency-Key": f"{who}-{n}"}
            while not stop.is_set():
                try:
                    with Client(port[0], validate=False) as own:
                        if own.post(path, body, headers=h).status in (200, 201):
                            done.append((who, n))
                            break
                except OSError:
                    pass
                except Exception:       # the answer was cut off
                    pass
                time.sleep(0.02)

    threads = [threading.Thread(target=deposit, args=(w,)) for w in range(4)]
    for t in threads:
        t.start()
    for _ in range(4):
        time.sleep(0.4)
        house.servers[-1].kill()
        house.start()
        port[0] = house.servers[-1].port
    for t in threads:
        t.join(60)
    stop.set()
    assert len(done) == 100
    assert sorted(r[0] for r in house.sql("SELECT note FROM item WHERE id <> 1")) == sorted(f"{w}-{n}" for w, n in done)
