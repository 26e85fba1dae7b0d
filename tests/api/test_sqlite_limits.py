"""No SQL of a client's holds up the loop that runs it: what one step of SQLite's machine may cost is bounded, or it is made elsewhere."""
import threading
import time

import pytest

from support.client import Client
from support.server import Server, patience
from support.turns import no_long_turn
from support.vanish import growth_bound

SANITIZED = growth_bound(1) != 1  # computes several times as long
TURN = 3.0 if SANITIZED else 0.5  # seconds within which the loop answers somebody else
VALUE_BYTES = (2 if SANITIZED else 9) * 1024 * 1024


class Pulse:
    """Asks /healthz on the server's only loop again and again; `longest` is the longest wait for an answer."""

    def __init__(self, port):
        self.longest, self.n, self.running = 0.0, 0, True
        self.port = port
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        with Client(self.port, validate=False, timeout=120) as client:
            while self.running:
                started = time.monotonic()
                client.get("/healthz").expect(200)
                self.longest = max(self.longest, time.monotonic() - started)
                self.n += 1
                time.sleep(0.005)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.running = False
        self.thread.join()


@pytest.fixture(scope="module")
def house():
    with Server("--loops", "1", "--default-url", "sqlite::memory:", "--sqlite-value-bytes", str(VALUE_BYTES),
                "--statement-timeout-seconds", "20") as server, Client(server.port, timeout=120) as client:
        with no_long_turn(client, TURN * 2):  # a wait may be the fault of who else uses the machine; this is not
            yield client


def one(client, sql, arguments=()):
    return client.post("/v1/sql/fetch-all", {"sql": sql, "args": list(arguments)})


def number(client, sql):
    return list(one(client, sql).expect(200).json()["rows"][0].values())[0]


# ---- every function, with arguments at the limits ----

TEXT = f"hex(zeroblob({VALUE_BYTES // 2 - 64}))"
WORDS = f"replace(hex(zeroblob({VALUE_BYTES // 8})), '00', 'ab é ')"
JSON = f"'[' || replace(hex(zeroblob({VALUE_BYTES // 6})), '00', '{{}},') || '0]'"
OBJECT = f"'{{' || replace(hex(zeroblob({VALUE_BYTES // 16})), '00', '\"a\":0,') || '\"b\":[]}}'"


def calls(name, n):
    """Argument lists that make much work."""
    counts = [n] if n >= 0 else [1, 2, 3, 6]
    for k in counts:
        yield ["t"] * k
        yield ["w"] * k
        yield ["w"] + ["'_b%_é%b_'"] * (k - 1) if k else []
        yield ["'%b_%' || substr(w, 1, 900)"] + ["w"] * (k - 1) if k else []
        yield ["j"] + ["'$[#-1]'"] * (k - 1) if k else []
        yield ["o"] + ["'$.b'"] * (k - 1) if k else []
        yield ["9223372036854775807"] * k
        yield [str(VALUE_BYTES - 64)] * k
        yield ["'%.*f %*d %s'"] + [str(VALUE_BYTES - 64)] * (k - 1) if k else []


def functions(client):
    rows = one(client, "SELECT DISTINCT name, narg FROM pragma_function_list ORDER BY 1, 2").expect(200).json()["rows"]
    return [(row["name"], row["narg"]) for row in rows]


@pytest.mark.parametrize("part", [0, pytest.param(1, marks=pytest.mark.long), pytest.param(2, marks=pytest.mark.long)])
def test_every_function_leaves_the_loop_free(house, part):
    for name, value in {"t": TEXT, "w": WORDS, "j": JSON, "o": OBJECT}.items():
        one(house, f"CREATE TABLE IF NOT EXISTS big_{name} AS SELECT {value} AS {name}").expect(200)
    slow, statuses = [], set()
    for name, n in functions(house):
        if name in ("->", "->>"):
            texts = [f"SELECT length(j {name} '$[#-1]') FROM big_t, big_w, big_j, big_o", f"SELECT length(o {name} 'b') FROM big_t, big_w, big_j, big_o", f"SELECT t {name} t IS NULL FROM big_t, big_w, big_j, big_o"]
        else:
            over = " OVER ()" if name in WINDOW else ""
            texts = [f"SELECT length(CAST({name}({', '.join(a)}){over} AS TEXT)) FROM big_t, big_w, big_j, big_o" for a in calls(name, n)]
        longest = ("", 0.0)
        with Pulse(house.port) as pulse:
            for text in list(dict.fromkeys(texts))[part::3]:
                started = time.monotonic()
                answer = one(house, text)
                longest = max(longest, (text, time.monotonic() - started), key=lambda each: each[1])
                statuses.add(answer.status)
                assert answer.status in (200, 400, 413, 504), (text, answer.body)
        if pulse.longest > TURN or longest[1] > 10:
            slow.append((name, round(pulse.longest, 2), longest))
    assert not slow
    assert {200, 400, 413} <= statuses


WINDOW = ("cume_dist", "dense_rank", "first_value", "lag", "last_value", "lead", "nth_value", "ntile", "percent_rank", "rank", "row_number")


# ---- hostile statements beside others ----

HOSTILE = (
    "SELECT ferro_ilike('%' || replace(hex(zeroblob(3000)), '0', 'é') || 'x%', replace(hex(zeroblob(1000000)), '0', 'é'))",
    "SELECT replace(hex(zeroblob(2000000)), '0', 'a') LIKE '%' || replace(hex(zeroblob(400)), '0', 'a') || 'b%'",
    "SELECT replace(hex(zeroblob(2000000)), '0', 'a') LIKE '%' || replace(hex(zeroblob(40)), '0', 'a_') || 'b%'",
    "SELECT replace(hex(zeroblob(2000000)), '0', 'a') GLOB '*' || replace(hex(zeroblob(40)), '0', '[!-z]') || 'b*'",
    "SELECT instr(zeroblob(3000000), CAST(zeroblob(1000000) || x'01' AS BLOB))",
    "SELECT length(replace(zeroblob(3000000), CAST(zeroblob(1000000) || x'01' AS TEXT), ''))",
    "SELECT length(trim(hex(zeroblob(8000000)), hex(randomblob(30000))))",
    "SELECT length(hex(zeroblob(8000000)))",
    "SELECT length(randomblob(16000000))",
    "SELECT length(json_patch('{' || replace(hex(zeroblob(200000)), '00', '\"a\":0,') || '\"b\":0}', '{' || replace(hex(zeroblob(200000)), '00', '\"a\":0,') || '\"b\":0}'))",
    "WITH RECURSIVE r(x) AS (SELECT 'abcdefgh' UNION ALL SELECT x || x FROM r LIMIT 21) SELECT max(length(x)) FROM r",
    "SELECT length(printf('%.*f%.*f', 8000000, 1.5, 8000000, 1.5))",
)


def test_eight_hostile_statements_beside_point_reads(house):
    house.put("/v1/models", {"models": [{"model_name": "Point", "table_name": "point", "columns": [
        {"name": "id", "logical_type": "integer", "primary_key": True}, {"name": "label", "logical_type": "string"}]}]}).expect(200)
    house.post("/v1/connections", {"name": "side", "url": "sqlite::memory:", "pool": {"max_connections": 12}}).expect(201)
    one(house, "CREATE TABLE IF NOT EXISTS point (id INTEGER PRIMARY KEY, label TEXT)").expect(200)
    one(house, "INSERT INTO point VALUES (1, 'one')").expect(200)
    statuses = []

    def attack(sql):
        with Client(house.port, timeout=120) as client:
            statuses.append(client.post("/v1/sql/fetch-all", {"sql": sql, "args": [], "using": "side"}).status)

    threads = [threading.Thread(target=attack, args=(sql,)) for sql in (HOSTILE * 2)[:16]]
    waits = []
    for thread in threads[:8]:
        thread.start()
    late = threads[8:]
    while any(t.is_alive() for t in threads if t.ident) or late:
        if late and sum(t.is_alive() for t in threads) < 8:
            late.pop().start()
        started = time.monotonic()
        house.get("/v1/models/Point/records/1").expect(200)
        waits.append(time.monotonic() - started)
    assert max(waits) < TURN, max(waits)
    assert len(statuses) == 16 and set(statuses) <= {200, 400, 413, 504}


DOUBLED = 14  # each view names the one before twice: 16,384 of the first
COMPILED = {
    "views": f"SELECT count(*) FROM v{DOUBLED}", "explained": f"EXPLAIN SELECT count(*) FROM v{DOUBLED}",
    "with": "WITH c0(a) AS (SELECT 1), " + ", ".join(f"c{i}(a) AS (SELECT x.a FROM c{i - 1} x, c{i - 1} y)" for i in range(1, 18))
            + " SELECT a FROM c17",
    "pragma": "PRAGMA table_list", "pragma's rows": "SELECT count(*) FROM pragma_table_list",
}


@pytest.mark.skipif(SANITIZED, reason="the compiler itself takes that long")
@pytest.mark.parametrize("road", [*COMPILED, "model", "introspection"])
def test_compiling_leaves_the_loop_free(road):
    """A short text may keep SQLite's compiler busy for long, and so may a view of a file that others made."""
    with Server("--loops", "1", "--default-url", "sqlite::memory:") as server, Client(server.port, timeout=120) as client:
        one(client, "CREATE VIEW v0 AS SELECT 1 AS a").expect(200)
        for i in range(1, DOUBLED + 1):
            one(client, f"CREATE VIEW v{i} AS SELECT x.a FROM v{i - 1} x, v{i - 1} y").expect(200)
        client.put("/v1/models", {"models": [{"model_name": "V", "table_name": f"v{DOUBLED}", "columns": [
            {"name": "a", "logical_type": "integer", "primary_key": True}]}]}).expect(200)
        with no_long_turn(client):
            if road == "model":
                answer = client.post("/v1/query", {"model_name": "V"}, headers={"Prefer": "timeout=1"})
            elif road == "introspection":
                answer = client.post("/v1/introspect", {}, headers={"Prefer": "timeout=1"})
            else:
                answer = client.post("/v1/sql/fetch-all", {"sql": COMPILED[road]}, headers={"Prefer": "timeout=1"})
            assert answer.status in (200, 400, 504)


@pytest.mark.skipif(SANITIZED, reason="its values are too large for them")
@pytest.mark.parametrize("what", ["CAST(z AS real)", "z + 1", "z < replace(z, '0', '1') COLLATE nocase"])
def test_large_values_that_sql_makes_leave_the_loop_free(what):
    with Server("--loops", "1", "--default-url", "sqlite::memory:") as server, Client(server.port, timeout=120) as client:
        with no_long_turn(client):
            one(client, f"SELECT {what} AS x FROM (SELECT hex(zeroblob(100000000)) AS z)").expect(200)


@pytest.mark.skipif(SANITIZED, reason="its values are as large as the limit of the other builds")
def test_a_value_beyond_the_limit(house):
    fits = one(house, f"SELECT length(zeroblob({VALUE_BYTES})) AS n").expect(200)
    assert fits.json()["rows"] == [{"n": VALUE_BYTES}]
    for sql in (f"SELECT zeroblob({VALUE_BYTES + 1})", f"SELECT randomblob({VALUE_BYTES + 1})", f"SELECT hex(zeroblob({VALUE_BYTES // 2 + 1}))",
                f"SELECT replace(hex(zeroblob({VALUE_BYTES // 4})), '0', 'xxx')",
                f"SELECT CAST(zeroblob({VALUE_BYTES}) AS TEXT) || 'x'", "SELECT json_patch(hex(zeroblob(70000)), hex(zeroblob(70000)))",
                "SELECT instr(zeroblob(9000000), zeroblob(1048577))", "SELECT trim('x', hex(zeroblob(32769)))"):
        answer = one(house, sql).problem(413, "payload_too_large")
        assert "sqlite_value_bytes" in answer["detail"]
    assert number(house, "SELECT instr(zeroblob(9000000), zeroblob(1048576))") == 1


def test_rows_that_are_larger_stay_readable(tmp_path):
    """Of a row with a value beyond the limit the other columns are read, and written."""
    import sqlite3
    path = tmp_path / "big.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, big BLOB, z TEXT)")
        db.execute("INSERT INTO t VALUES (1, 'a', zeroblob(200000), 'z')")
    db.close()
    with Server("--default-url", f"sqlite:{path}", "--sqlite-value-bytes", "100000") as server, Client(server.port) as client:
        assert one(client, "SELECT id, a, z FROM t").expect(200).json()["rows"] == [{"id": 1, "a": "a", "z": "z"}]
        assert number(client, "SELECT length(big) FROM t") == 200000
        one(client, "SELECT big FROM t").problem(413, "payload_too_large")
        one(client, "DELETE FROM t WHERE z = 'z'").expect(200)


def test_heap_limit():
    with Server("--default-url", "sqlite::memory:", "--sqlite-heap-bytes", "50000000") as server, Client(server.port, timeout=60) as client:
        answer = one(client, "SELECT length(randomblob(100000000))").problem(500, "internal_error")
        assert "memory" in answer["detail"]
        assert number(client, "SELECT length(randomblob(1000000))") == 1000000


# ---- pragmas that would reach past the statement ----

def test_busy_timeout_is_kept_by_ferrod(house):
    """SQLite would put a handler in place that sleeps on the loop."""
    assert number(house, "PRAGMA busy_timeout") == 5000
    with house.session() as session:
        tx = session.transaction()
        assert number(tx, "PRAGMA busy_timeout = 700") == 700
        assert number(tx, "PRAGMA busy_timeout") == 700
        assert number(tx, "PRAGMA busy_timeout = -3") == 0
        session.delete("/v1/session?rollback=true")
    assert number(house, "PRAGMA busy_timeout") == 5000


def test_busy_timeout_as_a_table_is_refused(house):
    """It would say 0, as SQLite knows no time of ours."""
    with house.session() as session:
        tx = session.transaction()
        for caller in (house, tx):
            for what in ("SELECT * FROM pragma_busy_timeout", "SELECT p.timeout FROM (SELECT 1) AS x, pragma_busy_timeout AS p"):
                assert "not authorized" in one(caller, what).problem(400, "sql_error")["detail"]
        assert number(tx, "PRAGMA busy_timeout") == 5000
        session.delete("/v1/session?rollback=true")
    assert number(house, "SELECT foreign_keys FROM pragma_foreign_keys") == 1


def test_busy_timeout_waits_off_the_loop(tmp_path):
    import sqlite3
    path = tmp_path / "busy.db"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("CREATE TABLE t (a)")
    other.execute("PRAGMA journal_mode=WAL")
    with Server("--loops", "1", "--default-url", f"sqlite:{path}", "--busy-timeout-seconds", "0.2") as server, Client(server.port) as client:
        with client.session() as session:
            tx = session.transaction()
            one(tx, "PRAGMA busy_timeout = 1500").expect(200)
            other.execute("BEGIN IMMEDIATE")
            with Pulse(server.port) as pulse:
                started = time.monotonic()
                one(tx, "INSERT INTO t VALUES (1)").problem(503, "database_busy")
                assert 1.3 < time.monotonic() - started < patience(4)
            assert pulse.longest < TURN
            other.execute("ROLLBACK")
            session.delete("/v1/session?rollback=true")
    other.close()


def test_database_list_names_no_file(tmp_path):
    path = tmp_path / "hidden.db"
    with Server("--default-url", f"sqlite:{path}?mode=rwc") as server, Client(server.port) as client:
        one(client, "CREATE TABLE t (a)").expect(200)
        assert one(client, "PRAGMA database_list").expect(200).json()["rows"] == [{"seq": 0, "name": "main", "file": ""}]
        for sql in ("SELECT * FROM pragma_database_list", "EXPLAIN PRAGMA database_list", "SELECT substr(file, 2) FROM pragma_database_list"):
            answer = one(client, sql).problem(400, "sql_error")
            assert "hidden" not in str(answer)
