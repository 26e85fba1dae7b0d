"""A PostgreSQL server that lies: whatever it answers, ferrod keeps its memory, its other connections and its word."""
import contextlib
import json
import pathlib
import threading
import time

import pytest

from support.client import Client
from support.fake_pg import (BOOL, BYTEA, FLOAT8, INT8, JSON, JSONB, TEXT, Answer, FakePostgres, description, message, notice)
from support.server import Server, patience
from support.turns import TURN_SECONDS, longest_turn, no_long_turn
from support.vanish import growth_bound

ITEM = {"model_name": "Item", "columns": [
    {"name": "id", "logical_type": "integer", "primary_key": True},
    {"name": "name", "logical_type": "string", "nullable": True},
    {"name": "extra", "logical_type": "json", "nullable": True},
    {"name": "done", "logical_type": "boolean", "nullable": True}]}
COLUMNS = [("done", BOOL), ("extra", JSONB), ("id", INT8), ("name", TEXT)]
ROW = ["t", '{"a": 1}', "1", "one"]


@pytest.fixture
def lie(server):
    """lie(answer) -> (client, fake): connected to a server that answers so, with the model registered."""
    opened = []
    with Client(server.port, timeout=30) as client:
        def connect(answer, silent_cancel=False, **pool):
            fake = FakePostgres(answer, silent_cancel).__enter__()
            opened.append(fake)
            client.post("/v1/connections", {"name": "lie", "url": fake.url, "default": True,
                                            "pool": {"max_connections": 1, **pool}}).expect(201)
            client.put("/v1/models", {"models": [ITEM]}).expect(200)
            return client, fake
        yield connect
        client.delete("/v1/connections/lie?force=true")
        client.put("/v1/default-connection", {"name": "default"}).expect(200)
    for fake in opened:
        fake.__exit__()


def only(word, answer):
    """Answers statements of the model's table that begin so; the rest is the fake's default."""
    def choose(sql):
        if "pg_trigger" in sql and "CASE WHEN" in sql:
            return Answer([("triggers", INT8)], [["2"]])  # asked before a write: the table has none
        return answer if sql.lstrip().upper().startswith(word) and "item" in sql else None
    return choose


def broken(client, fake, method, path, body=None, status=500):
    """The request fails as one whose answer cannot be, and the connection is used no more."""
    before = fake.connections
    answer = client.request(method, path, body)
    assert answer.status == status, answer.body
    assert answer.json()["code"] == "internal_error"
    assert client.request("POST", "/v1/sql/execute", {"sql": "select 2"}).status == 200
    assert fake.connections > before, "the connection was used again"
    return answer.json()


WRITES = [("POST", "/v1/models/Item/records", {"id": 1, "name": "one"}, "INSERT"),
          ("PATCH", "/v1/models/Item/records/1", {"name": "one"}, "UPDATE")]


@pytest.mark.parametrize("method, path, body, word", WRITES)
@pytest.mark.parametrize("columns", [COLUMNS[:1], COLUMNS[:3], COLUMNS + [("more", TEXT)], []], ids=["one", "three", "five", "none"])
def test_returning_with_another_number_of_columns(lie, method, path, body, word, columns):
    row = (ROW + ["more"])[:len(columns)]
    client, fake = lie(only(word, Answer(columns, [row], word + " 0 1")))
    if not columns:
        # rows without a column: there is nothing to take for one
        assert client.request(method, path, body).status >= 400
        return
    problem = broken(client, fake, method, path, body)
    assert problem["outcome"] == "unknown", problem


@pytest.mark.parametrize("columns", [COLUMNS[:1], COLUMNS[:3], COLUMNS + [("more", TEXT)]], ids=["one", "three", "five"])
def test_reads_with_another_number_of_columns(lie, columns):
    client, fake = lie(only("SELECT", Answer(columns, [(ROW + ["more"])[:len(columns)]])))
    for path in ("/v1/models/Item/records/1", "/v1/models/Item/records"):
        broken(client, fake, "GET", path)


def test_bulk_returning_with_too_few_columns(lie):
    client, fake = lie(only("INSERT", Answer(COLUMNS[:2], [ROW[:2], ROW[:2]], "INSERT 0 2")))
    answer = client.request("POST", "/v1/models/Item/records", {"records": [{"id": 1}, {"id": 2}]},
                            headers={"Prefer": "return=representation"})
    assert answer.status == 500 and answer.json()["code"] == "internal_error", answer.body


def test_count_without_a_number(lie):
    client, fake = lie(lambda sql: Answer([("count", TEXT)], [["many"]]) if "COUNT" in sql else None)
    answer = client.post("/v1/query/count", {"model_name": "Item"})
    assert answer.status == 500 and answer.json()["code"] == "internal_error"


CELLS = [
    ("json that forges members", "extra", '1,"admin":true'),
    ("json that ends early", "extra", '{"a":'),
    ("json that is no UTF-8", "extra", b'"\xff"'),
    ("empty json", "extra", ""),
    ("text that is no UTF-8", "name", b"\xc3("),
    ("a lone surrogate", "name", b"\xed\xa0\x80"),
    ("a boolean that is a word", "done", "true"),
    ("an empty boolean", "done", ""),
    ("an integer that is a word", "id", "one"),
    ("an integer beyond 64 bits", "id", "9223372036854775808"),
    ("an integer with more behind a NUL", "id", b"1\0002"),
]


@pytest.mark.parametrize("what, column, cell", CELLS, ids=[c[0] for c in CELLS])
def test_cells_that_are_no_value_of_their_type(lie, what, column, cell):
    row = [cell if name == column else value for (name, _), value in zip(COLUMNS, ROW)]
    client, fake = lie(only("SELECT", Answer(COLUMNS, [row])))
    broken(client, fake, "GET", "/v1/models/Item/records/1")
    broken(client, fake, "GET", "/v1/models/Item/records")


RAW = [("bytes in odd hex", BYTEA, "\\x123"), ("bytes in no hex", BYTEA, "\\xzz"), ("half an escape", BYTEA, "a\\1"),
       ("an escape past 255", BYTEA, "\\777"), ("no number", FLOAT8, "1.5.2"), ("more behind a NUL", FLOAT8, b"1.5\0x"), ("json", JSON, "[1,]"),
       ("text", TEXT, b"\xf8\x88\x80\x80\x80")]


@pytest.mark.parametrize("what, oid, cell", RAW, ids=[c[0] for c in RAW])
def test_cells_of_raw_sql(lie, what, oid, cell):
    client, fake = lie(lambda sql: Answer([("a", oid)], [[cell]]) if "select 1" in sql else None)
    before = fake.connections
    answer = client.post("/v1/sql/fetch-all", {"sql": "select 1"})
    assert answer.status == 500 and answer.json()["code"] == "internal_error", answer.body
    client.post("/v1/sql/execute", {"sql": "select 2"}).expect(200)
    assert fake.connections > before


def test_a_column_in_binary(lie):
    client, fake = lie(lambda sql: Answer([("a", INT8)], [[b"\0" * 8]], formats=[1]) if "select 1" in sql else None)
    answer = client.post("/v1/sql/fetch-all", {"sql": "select 1"})
    assert answer.status == 500 and answer.json()["code"] == "internal_error", answer.body


def test_a_name_that_is_not_utf8(lie):
    client, fake = lie(lambda sql: Answer([(b"\xff", INT8)], [["1"]]) if "select 1" in sql else None)
    answer = client.post("/v1/sql/fetch-all", {"sql": "select 1"})
    assert answer.status == 500 and answer.json()["code"] == "internal_error", answer.body


def test_words_for_what_is_no_finite_number(lie):
    client, fake = lie(lambda sql: Answer([("a", FLOAT8)], [["NaN"], ["-Infinity"], ["1e3"]]) if "select 1" in sql else None)
    rows = client.post("/v1/sql/fetch-all", {"sql": "select 1"}).expect(200).json()["rows"]
    assert rows == [{"a": "NaN"}, {"a": "-Infinity"}, {"a": 1000.0}]


def test_json_nested_deeper_than_an_answer_may_be_is_its_text(lie):
    deep = "[" * 2000 + "]" * 2000
    client, fake = lie(only("SELECT", Answer(COLUMNS, [["t", deep, "1", "one"]])))
    assert client.get("/v1/models/Item/records/1").expect(200).json()["extra"] == deep


SHORT = {"none": Answer([], [[]]), "one": Answer([("a", TEXT)], [["item"]]), "null": Answer([("a", TEXT)] * 9, [[None] * 9]),
         "numbers": Answer([("a", INT8)] * 9, [["7"] * 9]), "two": Answer([("a", TEXT)] * 2, [["item", "id"]])}


@pytest.mark.parametrize("shape", SHORT)
@pytest.mark.parametrize("method, path, body", [
    ("POST", "/v1/introspect", {}), ("POST", "/v1/migrate", {}), ("POST", "/v1/migrate", {"dry_run": True}),
    ("POST", "/v1/create-tables", {})], ids=["introspect", "migrate", "dry-run", "create-tables"])
def test_catalog_rows_of_another_shape(server, lie, method, path, body, shape):
    """The first query is answered well where its shape is meant for a later one."""
    client, fake = lie(lambda sql: SHORT[shape] if "pg_catalog.pg_class" in sql else None)
    answer = client.request(method, path, body)
    assert server.alive
    if shape == "none":  # rows without a description: libpq gives the connection up
        assert answer.status in (200, 500, 503), answer.body
    elif shape != "one" and path != "/v1/create-tables":
        assert answer.status == 500 and answer.json()["code"] == "internal_error", answer.body
    else:
        assert answer.status in (200, 201, 500, 422, 503), answer.body


@pytest.mark.parametrize("at", range(1, 8))
@pytest.mark.parametrize("path", ["/v1/introspect", "/v1/migrate"])
def test_each_catalog_query_with_short_rows(server, lie, at, path):
    good = {"n": 0}

    def answer(sql):
        if "pg_catalog.pg_class" not in sql:
            return None
        good["n"] += 1
        if good["n"] == 1 and at != 1:
            return Answer([("relname", TEXT)], [["item"]])
        return Answer([("a", TEXT)] * 1, [["item"]]) if good["n"] >= at and at != 1 else Answer([], [], "SELECT 0") \
            if at != 1 else Answer([("a", TEXT)] * 3, [["item"] * 3])
    client, fake = lie(answer)
    answer = client.post(path, {})
    assert server.alive
    assert answer.status == 500 and answer.json()["code"] == "internal_error", answer.body


OTHERS = {"no column": Answer([], [[]], before=description(Answer())), "none": Answer(), "null": Answer([("a", BOOL)], [[None]]),
          "two": Answer([("a", BOOL), ("b", BOOL)], [["f", "f"]]), "bytes": Answer([("a", BOOL)], [[b"f\xff"]], formats=[1])}


@pytest.mark.parametrize("others", OTHERS)
def test_what_a_session_that_is_put_back_answers(server, lie, others):
    """After a client's own statement it is asked for prepared statements of others."""
    client, fake = lie(lambda sql: OTHERS[others] if "from_sql" in sql else None)
    for _ in range(2):
        assert client.post("/v1/sql/execute", {"sql": "SET datestyle = 'German'"}).status in (200, 503)
        assert server.alive


def test_what_the_server_says_of_itself_is_shown_harmlessly(lie):
    client, fake = lie(lambda sql: Answer(tag="X", before=b"S" + (4 + 22).to_bytes(4, "big") + b"server_version\0\xff\"\\{}\1\0") if "select 1" in sql else None)
    client.post("/v1/sql/execute", {"sql": "select 1"})
    body = client.get("/v1/connections").expect(200)
    json.dumps(body.json())


def test_requests_to_cancel_that_are_never_answered_cost_little(server, lie):
    """Neither a thread nor a descriptor for each of them, and every request is answered within its time."""
    def answer(sql):
        if "pg_cancel_backend" in sql or "hang" in sql:
            fake.over.wait(60)
        return None
    client, fake = lie(answer, silent_cancel=True, statement_timeout_seconds=0.1, max_connections=20)
    process = pathlib.Path(f"/proc/{server.process.pid}")
    threads, files = len(list((process / "task").iterdir())), len(list((process / "fd").iterdir()))

    def ask(statuses):
        with client.clone() as other:
            statuses.append(other.post("/v1/sql/execute", {"sql": "select hang"}).status)
    for _ in range(3):
        statuses = []
        clients = [threading.Thread(target=ask, args=(statuses,)) for _ in range(12)]
        for one in clients:
            one.start()
        for one in clients:
            one.join(30)
        assert statuses == [504] * 12
    assert len(list((process / "task").iterdir())) <= threads + 10
    assert len(list((process / "fd").iterdir())) <= files + 30


def memory(server):
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) // 1024


@contextlib.contextmanager
def grows_by_less_than(server, bound):
    """MiB, looked at all the while."""
    before = memory(server)
    peak, done = [before], threading.Event()

    def watch():
        while not done.wait(0.01):
            peak.append(memory(server))
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
    assert max(peak) < before + growth_bound(bound), max(peak) - before


FLOODS = {"NOTIFY": message(b"A", b"\0\0\0\7channel\0" + b"x" * 4000 + b"\0"), "NOTICE": notice("x" * 4000)}


@pytest.mark.parametrize("kind", FLOODS)
def test_floods_of_what_nobody_asked_for_are_dropped(server, lie, kind):
    flood = FLOODS[kind] * 50000  # 200 MB
    client, fake = lie(lambda sql: Answer([("a", TEXT)], [["b"]], before=flood) if "select 1" in sql else None)
    with grows_by_less_than(server, 64), no_long_turn(client, growth_bound(1)):
        rows = client.post("/v1/sql/fetch-all", {"sql": "select 1"}).expect(200).json()["rows"]
    assert rows == [{"a": "b"}]


def settings(n, size=1):
    """So many different settings that a server may tell of unasked."""
    return b"".join(message(b"S", b"setting%d\0" % i + b"x" * size + b"\0") for i in range(n))


SETTINGS = {"very many": lambda: settings(400000), "long ones": lambda: settings(8000, 25000)}


@pytest.mark.parametrize("kind", SETTINGS)
def test_a_flood_of_settings_ends_the_connection(server, lie, kind):
    """libpq keeps them all, and walks them for each."""
    flood = SETTINGS[kind]()
    client, fake = lie(lambda sql: Answer([("a", TEXT)], [["b"]], before=flood) if "select 1" in sql else None)
    before = memory(server)
    with no_long_turn(client, growth_bound(1)):
        client.post("/v1/sql/fetch-all", {"sql": "select 1"}).problem(503, "database_unavailable")
        client.post("/v1/sql/execute", {"sql": "select 2"}).expect(200)
    assert memory(server) < before + growth_bound(64)


GREETINGS = {"notifications": [FLOODS["NOTIFY"] * 1000] * 100, "settings": [settings(400000)], "long settings": [settings(8000, 25000)]}


@pytest.mark.parametrize("kind", GREETINGS)
def test_a_flood_before_the_first_word_is_dropped_or_ends_it(server, kind):
    with FakePostgres(lambda sql: None, greeting=GREETINGS[kind]) as fake, Client(server.port) as client:
        with grows_by_less_than(server, 64), no_long_turn(client, growth_bound(1)):
            answer = client.post("/v1/connections", {"name": "flood", "url": fake.url, "pool": {"acquire_timeout_seconds": 20}})
        client.delete("/v1/connections/flood?force=true")
        assert answer.status == (201 if kind == "notifications" else 503), answer.body


@pytest.mark.parametrize("oid, rows", [(JSON, []), (JSON, [["[1]"], ['{"a": 2}']]), (TEXT, [['1,"sql":"forged"']]), (TEXT, [["[1]"]]), (JSON, [[None]])],
                         ids=["none", "two", "forged", "text", "null"])
def test_a_plan_is_one_document(lie, oid, rows):
    """Whatever came stood in the answer as it was: none, several, or text that closed the member and began another."""
    client, _ = lie(only("EXPLAIN", Answer([("QUERY PLAN", oid)], rows)))
    answer = client.post("/v1/query/explain", {"model_name": "Item"})
    answer.problem(500, "internal_error")


def test_what_is_said_while_rows_are_sent_is_not_kept(server, lie):
    """A server that takes no rows of a load, and talks instead."""
    def answer(sql):
        if sql.startswith("COPY"):
            fake.talks = True
            return Answer(tag="", before=message(b"G", b"\0\0\0"))
        if "row_security_active" in sql:
            return Answer([("a", BOOL)], [["t"]])
        return None
    client, fake = lie(answer, statement_timeout_seconds=5)
    fake.flood = message(b"D", b"\0\1" + (4000).to_bytes(4, "big") + b"x" * 4000) * 250
    with grows_by_less_than(server, 120):  # the rows are 40 MB
        answer = client.post("/v1/models/Item/records", {"records": [{"name": "x" * 2000}] * 20000})
    assert answer.status in (500, 503, 504), answer.body


@pytest.mark.parametrize("word", ["BEGIN", "pg_class"])
@pytest.mark.parametrize("path, body", [("migrate", {"dry_run": True}), ("migrate", {}), ("create-tables", {})])
def test_a_migration_waits_for_no_silent_server(word, path, body):
    """Its time is that of the request, but where it changes tables."""
    over, silent = threading.Event(), []

    def answer(sql):
        if silent and word in sql:
            over.wait(60)
        return None
    with Server("--request-timeout-seconds", "1") as own, FakePostgres(answer) as fake, Client(own.port, timeout=30) as client:
        try:
            client.post("/v1/connections", {"name": "mute", "url": fake.url, "default": True}).expect(201)
            client.put("/v1/models", {"models": [ITEM]}).expect(200)
            silent.append(True)
            client.post(f"/v1/{path}", body).problem(504, "statement_timeout")
        finally:
            over.set()


@pytest.mark.parametrize("size", [45_000, 500_000])
def test_a_long_notice_while_rows_are_sent_ends_no_load(lie, size):
    """It comes in pieces, each of which is counted once."""
    def answer(sql):
        if sql.startswith("COPY"):
            fake.says = notice("x" * size)
            return Answer(tag="", before=message(b"G", b"\0\0\0"))
        if "row_security_active" in sql:
            return Answer([("a", BOOL)], [["t"]])
        return None
    client, fake = lie(answer)
    fake.loads = True
    answer = client.post("/v1/models/Item/records", {"records": [{"name": "x" * 2000}] * 10000})
    assert not fake.says
    assert answer.status == 201, answer.body


@pytest.mark.parametrize("road", ["fetch-all", "batch", "objects"])
def test_rows_of_very_many_columns_hold_no_loop(server, lie, road):
    names = [(f"column_{i}" if i % 2 else f"name_{i // 2}", TEXT) for i in range(32767)]
    if road == "objects":
        names = [(f"column_{i}", TEXT) for i in range(32767)]
    wide = Answer(names, [["x"] * len(names)] * 3)
    arrays = {"Prefer": "rows=arrays"}  # many have a name of others
    client, fake = lie(lambda sql: wide if "select 1" in sql else None)
    longest, done = [0.0], threading.Event()
    before = longest_turn(client)[1]

    def ping():
        with client.clone() as other:
            while not done.is_set():
                start = time.monotonic()
                other.get("/healthz", validate=False)
                longest[0] = max(longest[0], time.monotonic() - start)
    others = [threading.Thread(target=ping) for _ in range(4)]
    for one in others:
        one.start()
    try:
        if road == "batch":
            client.post("/v1/batch", {"steps": [{"op": "sql.fetch_all", "sql": "select 1"}]}, headers=arrays,
                        validate=False).expect(200)
        else:
            client.post("/v1/sql/fetch-all", {"sql": "select 1"}, headers=arrays if road == "fetch-all" else None, validate=False).expect(200)
    finally:
        done.set()
        for one in others:
            one.join()
    assert longest[0] < patience(0.5), longest
    assert longest_turn(client)[1] <= max(before, TURN_SECONDS * growth_bound(1))
