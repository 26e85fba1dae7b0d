"""PostgreSQL writes of many clients at once, which share pipelines but nothing else: each is answered for itself, truly."""
import asyncio
import collections
import json
import re
import threading
import time

import pytest

from support.client import Client
from support.process import wait_for

ITEM = {"model_name": "Item", "columns": [
    {"name": "id", "logical_type": "integer", "primary_key": True},
    {"name": "code", "logical_type": "string", "unique": True, "nullable": True},
    {"name": "n", "logical_type": "integer"},
    {"name": "parent", "logical_type": "integer", "nullable": True, "foreign_key": {"to_table": "item"}}]}
TABLE = ("CREATE TABLE item (id int PRIMARY KEY, code text UNIQUE, n int NOT NULL CHECK (n >= 0), "
         "parent int REFERENCES item DEFERRABLE INITIALLY DEFERRED); INSERT INTO item VALUES (1, 'first', 0)")
RECORDS = "/v1/models/Item/records"


@pytest.fixture
def pipes(server, postgres_backend):
    """pipes(max_connections=…) -> a client whose default connection `pipes` has one row, id 1."""
    with Client(server.port, timeout=60) as client:
        def connect(**pool):
            client.post("/v1/connections", {"name": "pipes", "url": postgres_backend.url, "default": True, "pool": {
                "acquire_timeout_seconds": 20, **pool}}).expect(201)
            postgres_backend.pg.psql(TABLE, postgres_backend.database)
            client.put("/v1/models", {"models": [ITEM]}).expect(200)
            return client
        connect.server = server
        connect.psql = lambda text: postgres_backend.pg.psql(text, postgres_backend.database)
        yield connect
        if server.alive:
            client.delete("/v1/connections/pipes?force=true")
            client.put("/v1/default-connection", {"name": "default"}).expect(200)  # the server is everybody's


class Answer:
    def __init__(self, status, body):
        self.status, self.body = status, json.loads(body) if body else None

    @property
    def outcome(self):
        return self.body.get("outcome")


async def post_all(port, bodies, clients=48):
    """Sends each body as a create of its own, from many connections; the answers in the order of the bodies."""
    answers, queue = [None] * len(bodies), collections.deque(enumerate(bodies))

    async def work():
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while queue:
            i, body = queue.popleft()
            data = json.dumps(body).encode()
            writer.write(f"POST {RECORDS} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(data)}"
                         "\r\n\r\n".encode() + data)
            head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)).decode("latin-1")
            length = int(re.search(r"(?i)content-length: (\d+)", head)[1])
            answers[i] = Answer(int(head.split(" ")[1]), await reader.readexactly(length))
        writer.close()
    await asyncio.gather(*(work() for _ in range(clients)))
    return answers


def created(port, bodies, clients=48):
    return asyncio.run(post_all(port, bodies, clients))


def ids(pipes, where="true"):
    return {int(line) for line in pipes.psql(f"SELECT id FROM item WHERE {where}").split()}


def lane(client):
    text = client.get("/metrics").expect(200).text
    return {name: int(re.search(rf'^ferrod_lane_{name}_total{{connection="pipes",kind="write"}} (\d+)$', text, re.M)[1])
            for name in ("statements", "round_trips", "again")}


@pytest.mark.parametrize("connections", [1, 4])
def test_each_has_an_answer_of_its_own(pipes, connections):
    """Among good ones: a key and a code that exist, a row that refers to none (found by the commit), a check, a null."""
    client = pipes(max_connections=connections)
    kinds = [lambda i: ({"id": i, "n": i}, 201, None),
             lambda i: ({"id": i, "n": i, "parent": 1}, 201, None),
             lambda i: ({"id": 1, "n": i}, 409, "unique_violation"),
             lambda i: ({"id": i, "n": i, "code": "first"}, 409, "unique_violation"),
             lambda i: ({"id": i, "n": i, "parent": 99999}, 409, "foreign_key_violation"),
             lambda i: ({"id": i, "n": -i}, 422, "check_violation"),
             lambda i: ({"id": i, "n": i, "code": f"c{i}"}, 201, None)]
    wanted = [kinds[i % len(kinds)](i) for i in range(10, 1000)]
    answers = created(pipes.server.port, [body for body, _, _ in wanted])
    for (body, status, code), answer in zip(wanted, answers):
        assert answer.status == status, (body, answer.body)
        if status == 201:
            assert answer.body["id"] == body["id"] and answer.body["n"] == body["n"]
        else:
            assert (answer.body["code"], answer.outcome) == (code, "rolled_back")
    assert ids(pipes) == {1} | {body["id"] for body, status, _ in wanted if status == 201}
    counted = lane(client)
    with_setval = len(wanted) + len(ids(pipes))  # who chose a key for itself takes its sequence along
    assert counted["round_trips"] < counted["statements"] <= with_setval, counted
    assert client.get("/v1/connections/pipes").json()["pool"]["size"] <= connections


def test_a_locked_row_holds_up_nobody_else(pipes):
    """Rows of the table are locked by a transaction: what needs one of them waits, whoever comes behind it does not."""
    client = pipes(max_connections=8)
    inside = client.transaction()
    inside.patch(f"{RECORDS}/1", {"n": 5}).expect(200)
    late = []

    def wait():
        with client.clone() as own:
            late.append(own.patch(f"{RECORDS}/1", {"n": 7}))
    waiting = [threading.Thread(target=wait) for _ in range(3)]
    for thread in waiting:
        thread.start()
    started = time.monotonic()
    answers = created(pipes.server.port, [{"id": i, "n": i} for i in range(10, 300)])
    assert time.monotonic() - started < 10
    assert [a.status for a in answers] == [201] * 290
    assert not late
    # one whose own time is over says what became of it
    answer = client.patch(f"{RECORDS}/1", {"n": 9}, headers={"Prefer": "timeout=1"})
    assert answer.problem(504, "statement_timeout")["outcome"] == "rolled_back"
    answer = client.patch(f"{RECORDS}/1", {"n": 9}, headers={"Prefer": "timeout=3"})
    assert answer.problem(504, "statement_timeout")["outcome"] == "rolled_back"
    inside.post(f"/v1/transactions/{inside.headers['Ferro-Transaction']}/commit").expect(200)
    inside.close()
    for thread in waiting:
        thread.join(30)
    assert [a.status for a in late] == [200] * 3
    assert client.get(f"{RECORDS}/1").json()["n"] == 7


def test_no_connection_is_left_bounded(pipes):
    """What bounds the statements of pipelines does not reach those that go by themselves, on the same connection."""
    client = pipes(max_connections=1)
    created(pipes.server.port, [{"id": i, "n": i} for i in range(10, 100)])
    assert lane(client)["statements"] > 0
    answer = client.post("/v1/sql/fetch-one", {"sql": "SELECT current_setting('lock_timeout') AS l, current_setting('statement_timeout') "
                                                      "AS s FROM pg_sleep(0.3)"}).expect(200)
    assert answer.json()["row"] == {"l": "0", "s": "0"}


def test_backends_that_are_ended(pipes):
    """In the middle of it all: what was answered 201 is there, what is said not to have happened is not, and nothing is there
    twice (the ids are the clients' own, so a second attempt would be a conflict)."""
    client = pipes(max_connections=4)
    stop = threading.Event()

    def end():
        while not stop.wait(0.15):
            pipes.psql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                       "WHERE datname = current_database() AND pid <> pg_backend_pid()")
    killer = threading.Thread(target=end)
    killer.start()
    try:
        bodies = [{"id": i, "n": i} for i in range(10, 4000)]
        answers = created(pipes.server.port, bodies)
    finally:
        stop.set()
        killer.join()
    there = ids(pipes)
    seen = collections.Counter()
    for body, answer in zip(bodies, answers):
        seen[answer.status, answer.outcome if answer.status != 201 else None] += 1
        if answer.status == 201:
            assert body["id"] in there, body
        else:
            assert answer.status == 503, answer.body
            if answer.outcome == "committed":   # of two statements the second failed
                assert body["id"] in there, body
            elif answer.outcome != "unknown":
                assert answer.outcome in ("not_started", "rolled_back"), answer.body
                assert body["id"] not in there, (body, json.dumps(answer.body))
    assert seen[201, None] > len(bodies) / 2, seen
    wait_for(lambda: client.get(f"{RECORDS}/1").status == 200, 20, "a working connection")


def test_the_table_changes_meanwhile(pipes):
    """Cached plans outlive their table's shape: nobody sees that."""
    client = pipes(max_connections=4)
    stop = threading.Event()

    def change():
        while not stop.wait(0.1):
            pipes.psql("ALTER TABLE item ADD COLUMN more int; ALTER TABLE item DROP COLUMN more")
    changer = threading.Thread(target=change)
    changer.start()
    try:
        answers = created(pipes.server.port, [{"id": i, "n": i} for i in range(10, 2000)])
    finally:
        stop.set()
        changer.join()
    assert collections.Counter(a.status for a in answers) == {201: 1990}, next(a.body for a in answers if a.status != 201)
    assert len(ids(pipes)) == 1991
    assert client.get(f"{RECORDS}/1999").json()["n"] == 1999


def test_reads_and_writes_take_turns_on_one_connection(pipes):
    client = pipes(max_connections=1)
    stop, wrong = threading.Event(), []

    def read():
        with client.clone() as own:
            while not stop.is_set():
                answer = own.get(f"{RECORDS}/1", validate=False)
                if answer.status != 200:
                    wrong.append(answer.body)
    readers = [threading.Thread(target=read) for _ in range(4)]
    for thread in readers:
        thread.start()
    try:
        answers = created(pipes.server.port, [{"id": i, "n": i} for i in range(10, 1000)])
        size = client.get("/v1/connections/pipes").json()["pool"]["size"]
    finally:
        stop.set()
        for thread in readers:
            thread.join()
    assert {a.status for a in answers} == {201}
    assert not wrong, wrong[0]
    assert size == 1
