"""Fair shares: what one caller holds of a pool leaves room for others, and health looks at the database whoever holds it."""
import threading

import pytest

from support.client import Client
from support.keys import Keys
from support.process import wait_for
from support.server import Server

NOTE = {"model_name": "Note", "columns": [{"name": "id", "logical_type": "integer", "primary_key": True},
                                          {"name": "text", "logical_type": "string", "nullable": True}]}
LOCKED = {"model_name": "Note", "lock": "update"}


@pytest.fixture
def house(tmp_path, backend):
    """A server with callers a and b of one connection, which has a pool of five; nobody but its admin has used it."""
    with served(tmp_path, backend) as server:
        yield server


def served(tmp_path, backend, *flags, **pool):
    keys = Keys(tmp_path)
    keys.add("root", ["admin"])
    for name in ("a", "b"):
        keys.add(name, ["read", "write", "sql"])
    keys.add("reader", ["read"])
    server = Server("--keys-file", str(keys.path), "--default-url", backend.url, *flags)
    server.keys = keys
    with keys.client(server.port, "root") as root:
        root.put("/v1/models", {"models": [NOTE]}).expect(200)
        root.post("/v1/create-tables").expect(200)
        root.post("/v1/connections", {"name": "shop", "url": backend.url, "pool": {"acquire_timeout_seconds": 1, **pool}}).expect(201)
    return server


def caller(house, name):
    return house.keys.client(house.port, name)


def use(client):
    client.get("/v1/models/Note/records?using=shop").expect(200)


def begin(client, n):
    return [client.transaction(using="shop") for _ in range(n)]


def roll_back(tx):
    tx.post(f"/v1/transactions/{tx.headers['Ferro-Transaction']}/rollback").expect(200)


def refused(client, path="/v1/transactions"):
    answer = client.post(path, {"using": "shop"})
    assert answer.problem(429, "too_many_requests")["retryable"] and int(answer.header("Retry-After")) >= 1
    return answer


def test_who_shares_a_pool_leaves_one_connection(house):
    """Five abandoned transactions were the end of it for everybody."""
    a, b = caller(house, "a"), caller(house, "b")
    use(a)
    use(b)
    held = begin(a, 4)
    refused(a)
    refused(a.session(using="shop"))
    # what others want of it has room, and a's own work outside transactions
    b.post("/v1/models/Note/records?using=shop", {"id": 1, "text": "x"}).expect(201)
    a.post("/v1/models/Note/records?using=shop", {"id": 2, "text": "y"}).expect(201)
    inside, = begin(b, 1)
    inside.get("/v1/models/Note/records/1").expect(200)
    roll_back(inside)
    # a savepoint takes no connection
    held[0].post("/v1/transactions").expect(201)
    roll_back(held.pop())
    held += begin(a, 1)
    refused(a)
    # elsewhere it has a share of its own
    a.transaction()


def test_a_caller_by_itself_may_have_all(house):
    a, b = caller(house, "a"), caller(house, "b")
    held = begin(a, 5)
    roll_back(held.pop())
    use(b)
    refused(a)
    roll_back(held.pop())
    held += begin(a, 1)


def test_a_pool_of_one_has_no_share_below_one(tmp_path, backend):
    with served(tmp_path, backend, max_connections=1) as house:
        a, b = caller(house, "a"), caller(house, "b")
        use(a)
        use(b)
        tx, = begin(a, 1)
        refused(a)
        roll_back(tx)
        begin(a, 1)


def test_connections_per_key(tmp_path, backend):
    """A share that is said holds from the first caller on."""
    with served(tmp_path, backend, "--connections-per-key", "2") as house:
        a = caller(house, "a")
        held = begin(a, 2)
        refused(a)
        roll_back(held.pop())
        begin(a, 1)
        begin(caller(house, "b"), 2)


def test_transactions_per_key(tmp_path, backend):
    with served(tmp_path, backend, "--transactions-per-key", "3") as house:
        a = caller(house, "a")
        held = begin(a, 2) + [a.transaction()]
        for using in ("shop", "default"):
            a.post("/v1/transactions", {"using": using}).problem(409, "transaction_limit")
        held[0].post("/v1/transactions").expect(201)  # a savepoint is none of them
        roll_back(held.pop())
        begin(a, 1)
        b = caller(house, "b")
        for _ in range(3):
            b.transaction()


def test_transactions_without_keys_are_those_of_one_caller():
    with Server("--connections-per-key", "1", "--default-url", "sqlite::memory:") as server, Client(server.port) as c, Client(server.port) as d:
        tx = c.transaction()
        d.post("/v1/transactions").problem(429, "too_many_requests")
        roll_back(tx)
        d.transaction()


def test_quotas_of_a_key(tmp_path):
    """What an entry says wins over the settings, for more and for less."""
    keys = Keys(tmp_path)
    for name, quotas in (("a", {"connections_per_key": 2, "transactions_per_key": 3, "sessions_per_key": 1, "idempotency_entries_per_key": 1}), ("b", None)):
        keys.add(name, ["read", "write", "sql"])
        if quotas is not None:
            keys.entries[-1]["quotas"] = quotas
    keys.write()
    flags = ["--connections-per-key", "1", "--sessions-per-key", "2"]
    with Server("--keys-file", str(keys.path), "--default-url", "sqlite::memory:", *flags) as server:
        a, b = keys.client(server.port, "a"), keys.client(server.port, "b")
        held = [a.transaction(), a.transaction()]
        a.post("/v1/transactions").problem(429, "too_many_requests")
        b.transaction()
        b.post("/v1/transactions").problem(429, "too_many_requests")
        for tx in held:
            roll_back(tx)
        a.session()
        a.post("/v1/sessions").problem(429, "too_many_sessions")
        b.session(), b.session()
        b.post("/v1/sessions").problem(429, "too_many_sessions")
        for client, again in ((a, False), (b, True)):
            first = client.post("/v1/sql/fetch-one", {"sql": "SELECT random() AS n"}, headers={"Idempotency-Key": "1"}).expect(200)
            client.post("/v1/sql/fetch-one", {"sql": "SELECT 2 AS n"}, headers={"Idempotency-Key": "2"}).expect(200)
            last = client.post("/v1/sql/fetch-one", {"sql": "SELECT random() AS n"}, headers={"Idempotency-Key": "1"}).expect(200)
            assert (first.json() == last.json()) == again


def test_idempotency_bytes_quota_at_its_edge(tmp_path, backend):
    """Two answers of 200 bytes: who has 400 keeps both, who has a byte less the newer one; the setting counts for who has no quota."""
    keys = Keys(tmp_path)
    for name, most in (("whole", 400), ("lacks", 399), ("none", None)):
        keys.add(name, ["sql"])
        if most is not None:
            keys.entries[-1]["quotas"] = {"idempotency_bytes_per_key": most}
    keys.write()
    with Server("--keys-file", str(keys.path), "--default-url", backend.url, "--idempotency-bytes", "200") as server:
        def post(client, text, headers):
            return client.post("/v1/sql/fetch-one", {"sql": f"SELECT '{text}' AS t"}, headers=headers)

        def ask(client, key):
            answer = post(client, text, {"Idempotency-Key": key})
            if answer.status == 422:
                problem = answer.problem(422, "idempotency_key_reused")
                assert "newer ones took its place (idempotency_bytes_per_key)" in problem["detail"] and problem["outcome"] == "committed"
                return "told"
            assert len(answer.expect(200).body) == 200
            return "kept" if answer.header("Idempotency-Replayed") == "true" else "first"

        text = "x" * (200 - len(post(keys.client(server.port, "none"), "", {}).expect(200).body))
        for name, kept in (("whole", ["kept", "kept"]), ("lacks", ["told", "kept"]), ("none", ["told", "kept"])):
            client = keys.client(server.port, name)
            assert [ask(client, key) for key in "ab"] == ["first", "first"]
            assert [ask(client, key) for key in "ab"] == kept, name
            assert ask(client, "c") == "first"
            assert [ask(client, key) for key in "abc"] == ["told", *kept], name
        # one that has no room by itself is given once, and takes no other's
        client, text = keys.client(server.port, "none"), text + "y"
        post(client, text, {"Idempotency-Key": "d"}).expect(200)
        assert "too large to keep" in post(client, text, {"Idempotency-Key": "d"}).problem(422, "idempotency_key_reused")["detail"]
        text = text[:-1]
        assert [ask(client, key) for key in "bc"] == ["told", "kept"]


def test_transactions_quota_wins_over_the_setting(tmp_path):
    keys = Keys(tmp_path)
    keys.add("a", ["read"])
    keys.entries[-1]["quotas"] = {"transactions_per_key": 2}
    keys.write()
    with Server("--keys-file", str(keys.path), "--default-url", "sqlite::memory:", "--transactions-per-key", "1") as server:
        a = keys.client(server.port, "a")
        a.transaction(), a.transaction()
        a.post("/v1/transactions").problem(409, "transaction_limit")


SLOW = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) AS n FROM c"


def slow(client):
    """Runs for three seconds, once nobody who only looks is in its place."""
    answer = client.post("/v1/sql/fetch-one", {"sql": SLOW}, headers={"Prefer": "timeout=3"})
    while answer.status == 429:
        answer = client.post("/v1/sql/fetch-one", {"sql": SLOW}, headers={"Prefer": "timeout=3"})
    answer.expect(504)


def test_requests_per_key(tmp_path):
    """Two at once by the setting, one by the entry; what has been answered, or given up, counts no more."""
    keys = Keys(tmp_path)
    keys.add("a", ["read", "sql"])
    keys.add("b", ["read", "sql"])
    keys.entries[-1]["quotas"] = {"requests_per_key": 1}
    keys.write()
    with Server("--keys-file", str(keys.path), "--default-url", "sqlite::memory:", "--requests-per-key", "2", "--statement-timeout-seconds", "20") as server:
        for name, most in (("a", 2), ("b", 1)):
            running = [threading.Thread(target=slow, args=(keys.client(server.port, name),)) for _ in range(most)]
            client = keys.client(server.port, name)
            for _ in range(5):
                client.get("/v1/models").expect(200)
            for thread in running:
                thread.start()
            wait_for(lambda: client.get("/v1/models").status == 429, 10, "as many as may")
            answer = client.get("/v1/models")
            assert answer.problem(429, "too_many_requests")["retryable"] and int(answer.header("Retry-After")) >= 1
            client.get("/healthz").expect(200)
            for thread in running:
                thread.join()
            client.get("/v1/models").expect(200)


# ---- health ----

def test_health_has_a_connection_beyond_the_pool(tmp_path, backend):
    """/readyz was 503 while a caller held all of the default's connections."""
    with served(tmp_path, backend) as house:
        root, a = caller(house, "root"), caller(house, "a")
        root.put("/v1/default-connection", {"name": "shop"}).expect(200)
        held = begin(a, 5)
        a.post("/v1/sql/fetch-one", {"sql": "SELECT 1 AS a", "using": "shop"}).problem(503, "pool_timeout")
        with Client(house.port) as anybody:
            for _ in range(3):
                anybody.get("/readyz").expect(200)
            root.post("/v1/connections/shop/check").expect(200)
            for tx in held:
                roll_back(tx)
            anybody.get("/readyz").expect(200)
        wait_for(lambda: root.get("/v1/connections/shop").json()["pool"]["size"] <= 5, 10, "what was too many is closed")
        begin(a, 5)


# ---- locks ----

def test_a_read_key_takes_no_locks(house):
    """It held SQLite's writer, and rows of PostgreSQL, for as long as its transaction was open."""
    reader, b = caller(house, "reader"), caller(house, "b")
    inside, = begin(reader, 1)
    for path, body in (("/v1/query", LOCKED), ("/v1/query/first", {**LOCKED, "lock": "share"}),
                       ("/v1/batch", {"steps": [{"op": "query", "query": LOCKED}]}),
                       ("/v1/batch", {"atomic": False, "steps": [{"op": "first", "query": LOCKED}]})):
        for client in (inside, reader):
            answer = client.post(path, body)
            if answer.status == 200:  # the step's own answer
                assert answer.json()["results"][0]["error"]["code"] == "forbidden"
            else:
                assert '"write"' in answer.problem(403, "forbidden")["detail"]
    inside.post("/v1/query/explain", LOCKED).expect(200)
    inside.post("/v1/batch", {"steps": [{"op": "query", "query": {"model_name": "Note"}}]}).expect(200)
    b.post("/v1/models/Note/records?using=shop", {"id": 1, "text": "x"}).expect(201)
    locked, = begin(b, 1)
    locked.post("/v1/query", LOCKED).expect(200)


def test_a_batch_that_only_reads_holds_up_no_writer(house):
    """While a transaction of another has the writer's turn, reads in one piece are answered."""
    reader, b = caller(house, "reader"), caller(house, "b")
    inside, = begin(b, 1)
    inside.post("/v1/models/Note/records", {"id": 1, "text": "x"}).expect(201)
    answer = reader.post("/v1/batch", {"using": "shop", "steps": [{"op": "count", "query": {"model_name": "Note"}}]})
    assert answer.expect(200).json()["results"][0]["body"] == {"count": 0}
