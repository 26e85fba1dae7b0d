"""Full-text search of SQLite: its functions answer as SQLite's do, in linear time, and no query, document or command of it holds a loop."""
import random
import sqlite3
import signal
import time

import pytest

from support.client import Client
from support.server import Server, patience

from test_sqlite_limits import SANITIZED, TURN, Pulse

REPEATS = 20_000 if SANITIZED else 600_000  # of two words; a sanitizer's allocator copies a text each time that it grows
TIME = patience(10)  # of a statement: what ends is told from what goes on for hours
WORDS = ["a", "b", "c", "dd", "é", "run", "running", "x"]
BETWEEN = [" ", " ", " ", ". ", ": ", "\n", ".  ", ", ", "   "]
TABLES = {"plain": "a, b", "porter": "a, b, tokenize='porter'", "trigram": "a, b, tokenize='trigram'", "ascii": "a, b, tokenize='ascii'",
          "named": "a, b, tokenize=\"unicode61 remove_diacritics 0\"", "none": "a, b, detail=none", "of_column": "a, b, detail=column"}
OLD = {"old": "a, b", "old_porter": "a, b, tokenize=porter", "old_unicode": "a, b, tokenize=unicode61"}


# ---- the answers are SQLite's ----

def document(r, n):
    return "".join(r.choice(WORDS) + r.choice(BETWEEN) for _ in range(n))


def asked(r):
    one, two, three = r.choice(WORDS), r.choice(WORDS), r.choice(WORDS)
    return r.choice([one, f"{one} AND {two}", f'"{one} {two}"', f'{one} OR "{two} {three} {one}" OR {two}', f"{one[0]}* OR {two} NOT {three}",
                     f'"{one} {two}" OR "{two} {one}"'])


def call_of(r, table):
    if table in OLD:
        return r.choice([f"snippet({table}, '<', '>', '.', {r.choice((-1, 0, 1))}, {r.choice((2, 5, 10, -5))})", f"offsets({table})", f"hex(matchinfo({table}, 'pcnalxs'))"])
    if table == "trigram":  # whose words overlap: before 3.44 SQLite marked them in pieces
        return r.choice([f"bm25({table})", "rank"])
    return r.choice([f"snippet({table}, {r.choice((-1, 0, 1))}, '<', '>', '…', {r.choice((2, 5, 10, 64, 100000))})", f"highlight({table}, {r.choice((0, 1))}, '<', '>')",
                     f"bm25({table})", f"bm25({table}, {r.random() * 3}, 2.0)", "rank"])


def test_functions_answer_as_those_of_sqlite(tmp_path):
    r = random.Random(13)
    db = sqlite3.connect(tmp_path / "search.db")
    for module, tables in (("fts5", TABLES), ("fts4", OLD)):
        for table, columns in tables.items():
            db.execute(f"CREATE VIRTUAL TABLE {table} USING {module}({columns})")
            db.executemany(f"INSERT INTO {table} VALUES (?, ?)", [(document(r, r.choice((0, 1, 5, 40, 120))), r.choice((None, document(r, 30)))) for _ in range(25)])
    db.commit()
    found = 0
    with Server("--default-url", f"sqlite:{tmp_path / 'search.db'}") as server, Client(server.port) as client:
        for _ in range(400):
            table = r.choice([*TABLES, *OLD])
            sql, query = f"SELECT rowid AS n, {call_of(r, table)} AS x FROM {table} WHERE {table} MATCH ? ORDER BY rowid", asked(r)
            try:
                want = [{"n": n, "x": x} for n, x in db.execute(sql, (query,))]
            except sqlite3.Error:
                client.post("/v1/sql/fetch-all", {"sql": sql, "args": [query]}).problem(400, "sql_error")
                continue
            rows = client.post("/v1/sql/fetch-all", {"sql": sql, "args": [query]}).expect(200).json()["rows"]
            assert rows == want, (sql, query)
            found += bool(rows)
    db.close()
    assert found > 200


def test_overlapping_words_are_marked_as_one():
    with Server("--default-url", "sqlite::memory:") as server, Client(server.port) as client:
        run(client, "CREATE VIRTUAL TABLE t USING fts5(a, tokenize='trigram')")
        run(client, "INSERT INTO t VALUES ('xabcdex yabcde')")
        rows = run(client, "SELECT highlight(t, 0, '<', '>') AS h, snippet(t, 0, '<', '>', '…', 64) AS s FROM t WHERE t MATCH 'abcde'").json()["rows"]
        assert rows == [{"h": "x<abcde>x y<abcde>", "s": "x<abcde>x y<abcde>"}]
        assert run(client, "SELECT count(*) AS n FROM t WHERE a LIKE '%bcd%'").json()["rows"] == [{"n": 1}]
        plan = run(client, "EXPLAIN QUERY PLAN SELECT 1 FROM t WHERE a LIKE '%bcd%'").json()["rows"]
        assert "VIRTUAL TABLE INDEX 0:L0" in plan[0]["detail"], plan  # by the index, as without ferrod


# ---- nothing of it holds a loop, or outlives its time ----

@pytest.fixture(scope="module")
def house():
    with Server("--loops", "1", "--default-url", "sqlite::memory:", "--statement-timeout-seconds", str(TIME)) as server, Client(server.port, timeout=300) as client:
        for module in ("fts5", "fts4"):
            run(client, f"CREATE VIRTUAL TABLE {module} USING {module}(a)")
            run(client, f"INSERT INTO {module} (a) VALUES (replace(hex(zeroblob({REPEATS})), '00', 'a b '))")
        yield client


def run(client, sql, *args):
    return client.post("/v1/sql/fetch-all", {"sql": sql, "args": list(args)}).expect(200)


FTS5 = ("snippet(fts5, 0, '<', '>', '…', 60)", "snippet(fts5, -1, '<', '>', '…', 2000000000)", "highlight(fts5, 0, '<', '>')", "bm25(fts5)", "rank")
FTS4 = ("snippet(fts4, '<', '>', '…', 0, 60)", "offsets(fts4)", "matchinfo(fts4, 'pcnalx')")


@pytest.mark.parametrize("module, call", [("fts5", c) for c in FTS5] + [("fts4", c) for c in FTS4])
def test_functions_of_a_document_of_a_million_words(house, module, call):
    """Within a statement's time, where what looked at each word for each other one would take hours."""
    with Pulse(house.port) as pulse:
        answer = house.post("/v1/sql/fetch-all", {"sql": f"SELECT length({call}) AS n FROM {module} WHERE {module} MATCH 'a AND b'", "args": []})
    assert pulse.longest < TURN, pulse.longest
    assert answer.status == 200, answer.body[:300]


@pytest.mark.parametrize("call", FTS5)
def test_hostile_queries_end_with_their_time(house, call):
    """Many phrases, each found at every other word: SQLite's own functions go on for hours."""
    for query in (" OR ".join(["a"] * 60), '"' + "a b " * 60 + '"'):
        with Pulse(house.port) as pulse:
            started = time.monotonic()
            answer = house.post("/v1/sql/fetch-all", {"sql": f"SELECT length({call}) AS n FROM fts5 WHERE fts5 MATCH ?", "args": [query]},
                                headers={"Prefer": "timeout=4"})
            took = time.monotonic() - started
        assert answer.status in (200, 504), answer.body[:300]
        assert pulse.longest < TURN and took < patience(14), (pulse.longest, took)


@pytest.mark.parametrize("sql", [
    "SELECT count(*) FROM fts5('a OR b OR a')", "SELECT count(*) FROM fts5 WHERE fts5 = 'a OR b'", "INSERT INTO fts5(fts5) VALUES ('optimize')",
    "INSERT INTO fts5(fts5) VALUES ('rebuild')", "INSERT INTO fts5(fts5) VALUES ('integrity-check')", "UPDATE fts5 SET a = a", "INSERT INTO fts5 SELECT a FROM fts5",
    "INSERT INTO fts4(fts4) VALUES ('optimize')", "INSERT INTO fts4(fts4) VALUES ('rebuild')", "INSERT INTO fts4 SELECT a FROM fts4", "DELETE FROM fts4"])
def test_commands_and_writes_hold_no_loop(house, sql):
    session = house.session()
    with session:
        tx = session.transaction()  # undone: the others see the documents as they were
        with Pulse(house.port) as pulse:
            answer = tx.post("/v1/sql/execute", {"sql": sql, "args": []})
        session.delete("/v1/session?rollback=true")
    assert answer.status in (200, 504), answer.body[:300]
    assert pulse.longest < TURN, pulse.longest


def test_a_trigger_that_writes_into_an_index_holds_no_loop(tmp_path):
    with sqlite3.connect(tmp_path / "kept.db") as db:
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)")
        db.execute("CREATE VIRTUAL TABLE kept USING fts5(a)")
        db.execute("CREATE TRIGGER keep AFTER INSERT ON t BEGIN INSERT INTO kept (rowid, a) VALUES (new.id, new.a); END")
    db.close()
    with Server("--loops", "1", "--default-url", f"sqlite:{tmp_path / 'kept.db'}") as server, Client(server.port, timeout=120) as client:
        client.put("/v1/models", {"models": [{"model_name": "T", "table_name": "t", "columns": [
            {"name": "id", "logical_type": "integer", "primary_key": True}, {"name": "a", "logical_type": "string", "nullable": True}]}]}).expect(200)
        with client.session() as session:
            tx = session.transaction()
            with Pulse(server.port) as pulse:
                tx.post("/v1/models/T/records", {"id": 1, "a": "a b " * (REPEATS * 3 // 2)}).expect(201)
            assert pulse.longest < TURN, pulse.longest
            assert run(tx, "SELECT count(*) AS n FROM kept WHERE kept MATCH 'b'").json()["rows"] == [{"n": 1}]
            session.delete("/v1/session?rollback=true")


# ---- so many words and no more ----

def refused(answer):
    return answer.status == 413 and "sqlite_match_terms" in answer.json()["detail"]


@pytest.mark.parametrize("columns", ["fts5(a)", "fts5(a, tokenize='ascii')", "fts4(a)"])
def test_words_of_a_query_at_the_edge(columns):
    with Server("--default-url", "sqlite::memory:", "--sqlite-match-terms", "40") as server, Client(server.port) as client:
        run(client, f"CREATE VIRTUAL TABLE f USING {columns}")
        run(client, "INSERT INTO f (a) VALUES (?)", "a b " * 500)  # documents are of any length
        run(client, "UPDATE f SET a = a || ' c'")

        def search(query, call="count(*)"):
            return client.post("/v1/sql/fetch-all", {"sql": f"SELECT {call} AS n FROM f WHERE f MATCH ?", "args": [query]})
        run(client, "SELECT snippet(f) AS n FROM f WHERE f MATCH 'b'" if "fts4" in columns else "SELECT highlight(f, 0, '<', '>') AS n FROM f WHERE f MATCH 'b'")
        assert search('"' + " ".join(["a b"] * 20) + '"').expect(200).json()["rows"] == [{"n": 1}]
        assert refused(search('"' + " ".join(["a b"] * 20) + ' a"'))
        assert search(" OR ".join(["a"] * 10)).expect(200).json()["rows"] == [{"n": 1}]
        assert refused(search(" OR ".join(["a"] * 14)))
        assert refused(search(" OR ".join(["a"] * 11))) or "fts4" in columns  # which reads a little ahead
        # each search of its own: what one finds is looked for by the next
        names = "SELECT count(*) AS n FROM (VALUES %s) AS w JOIN f ON f MATCH w.column1"
        assert run(client, names % ", ".join(["('a b c')"] * 200)).json()["rows"] == [{"n": 200}]


def test_phrases_near_each_other_at_the_edge():
    """What those cost grows with their square: 40 allow for six of them, and a distance."""
    with Server("--default-url", "sqlite::memory:", "--sqlite-match-terms", "40") as server, Client(server.port) as client:
        run(client, "CREATE VIRTUAL TABLE f USING fts5(a)")
        run(client, "INSERT INTO f (a) VALUES ('a b c')")
        for n in (6, 7):
            for query in (f"NEAR({' '.join(['a'] * n)}, 10)", f"b AND NEAR ( {' '.join(['b'] * n)}, 10) OR c", "NEAR(" + ' "b c"' * n + ", 3)"):
                for sql, args in (("f MATCH ?", [query]), ("f = ?", [query]), (f"f MATCH '{query}'", [])):
                    answer = client.post("/v1/sql/fetch-all", {"sql": f"SELECT count(*) AS n FROM f WHERE {sql}", "args": args})
                    assert answer.status == 200 if n == 6 else refused(answer), (n, query, sql, answer.body)
        run(client, "INSERT INTO f (a) VALUES (?)", "NEAR(" + "a " * 100 + ")")  # documents say what they want
        assert run(client, "SELECT count(*) AS n FROM f WHERE a LIKE '%NEAR(%'").json()["rows"] == [{"n": 1}]


def test_models_search_within_the_same_bound():
    model = {"model_name": "F", "table_name": "f", "columns": [{"name": "a", "logical_type": "string", "nullable": True}]}
    with Server("--default-url", "sqlite::memory:", "--sqlite-match-terms", "40") as server, Client(server.port) as client:
        run(client, "CREATE VIRTUAL TABLE f USING fts5(a)")
        run(client, "INSERT INTO f (a) VALUES ('a b')")
        client.put("/v1/models", {"models": [model]}).expect(200)
        for n, expected in ((10, 200), (11, 413)):
            where = [{"node_kind": "leaf", "column": None, "operator": "match", "value": " OR ".join(["a"] * n)}]
            assert client.post("/v1/query", {"model_name": "F", "where": where}).status == expected


# ---- a drain ends even that ----

@pytest.mark.skipif(SANITIZED, reason="its document takes too long to make")
def test_a_drain_ends_what_no_look_at_the_clock_interrupts(tmp_path):
    """matchinfo() of SQLite's own goes on within one step of its machine, for a minute; what comes before that step takes a third of a second."""
    db = sqlite3.connect(tmp_path / "long.db")
    db.execute("CREATE VIRTUAL TABLE f USING fts4(a)")
    db.execute("INSERT INTO f (a) VALUES (?)", ("a b " * 300_000,))
    db.commit()
    db.close()
    server = Server("--default-url", f"sqlite:{tmp_path / 'long.db'}", "--drain-seconds", "0.5", "--statement-timeout-seconds", "2",
                    "--sqlite-match-terms", "2000")
    with Client(server.port) as client:
        with Client(server.port, timeout=4, validate=False) as other, pytest.raises(TimeoutError):
            other.post("/v1/sql/fetch-all", {"sql": "SELECT matchinfo(f, 'pcnalxs') AS n FROM f WHERE f MATCH ?", "args": [" OR ".join(["a"] * 500)]})
        client.get("/healthz").expect(200)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=20) == 1
        assert "has not ended within the drain's time" in server.log()
        server.kill()
