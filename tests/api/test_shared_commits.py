"""SQLite: raw writes, atomic batches and writes with their answers share transactions, and nobody can tell.

PostgreSQL has many writers and no such transactions: there each unit commits by itself (test_pg_writes.py).
"""
import base64
import collections
import re
import sqlite3

import pytest

from support.client import Client
from support.server import Server
from support.together import shared_figures, together

CLIENTS = 12
TABLES = """
CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL, tag TEXT UNIQUE);
CREATE TABLE parent (id INTEGER PRIMARY KEY);
CREATE TABLE child (id INTEGER PRIMARY KEY, parent_id INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE log (id INTEGER PRIMARY KEY, n INTEGER);
CREATE TABLE gate (n INTEGER);
CREATE TRIGGER gate_ends_all BEFORE INSERT ON gate WHEN new.n = 13 BEGIN SELECT RAISE(ROLLBACK, 'thirteen'); END;
"""


@pytest.fixture
def shared(tmp_path):
    with sqlite3.connect(tmp_path / "shared.db") as db:
        db.executescript(TABLES)
        db.executemany("INSERT INTO account (id, balance) VALUES (?, 1000)", ((n,) for n in range(1, 41)))
    db.close()
    with Server("--default-url", f"sqlite:{tmp_path}/shared.db") as server:
        server.path = tmp_path / "shared.db"
        with Client(server.port) as c:
            c.post("/v1/introspect", {"register": True}).expect(200)
        yield server


def rows(server, sql):
    with sqlite3.connect(server.path) as db:
        return db.execute(sql).fetchall()


def step(sql, *args, **more):
    return {"op": "sql.execute", "sql": sql, "args": list(args), **more}


def move(source, to):
    return {"steps": [step("UPDATE account SET balance = balance - 1 WHERE id = ?", source),
                      step("UPDATE account SET balance = balance + 1 WHERE id = ?", to)]}


def movers(n, times=40):
    """Clients that move money with batches; each says what its requests were answered."""
    def game(i):
        return lambda c: collections.Counter(c.post("/v1/batch", move(i % 40 + 1, (i + 7) % 40 + 1)).status for _ in range(times))
    return [game(i) for i in range(n)]


def all_there(server, times=40):
    """Every move that was answered is there, once."""
    want = collections.Counter({n: 1000 for n in range(1, 41)})
    for i in range(CLIENTS):
        want[i % 40 + 1] -= times
        want[(i + 7) % 40 + 1] += times
    assert dict(rows(server, "SELECT id, balance FROM account")) == dict(want)


def test_batches_share_transactions(shared):
    answers = together(shared, movers(CLIENTS))
    assert sum(answers, collections.Counter()) == {200: CLIENTS * 40}
    all_there(shared)
    f = shared_figures(shared, "unit")
    assert f["statements"] == CLIENTS * 40 and f["round_trips"] < f["statements"] and f["again"] == 0, f


def test_raw_writes_share_transactions(shared):
    """Of one text, from its second time on: the first shows what it is."""
    def game(c):
        return [c.post("/v1/sql/execute", {"sql": "INSERT INTO log (n) VALUES (?)", "args": [n]}).expect(200).json() for n in range(40)]
    answers = together(shared, [game] * CLIENTS)
    ids = [a["last_insert_id"] for each in answers for a in each]
    assert sorted(ids) == list(range(1, CLIENTS * 40 + 1)) and all(a["rows_affected"] == 1 for each in answers for a in each)
    for each in answers:  # a client's own come one after the other
        assert [a["last_insert_id"] for a in each] == sorted(a["last_insert_id"] for a in each)
    f = shared_figures(shared, "write")
    assert f["statements"] > CLIENTS * 30 and f["round_trips"] < f["statements"], f


def test_rows_of_raw_writes(shared):
    sql = {"sql": "INSERT INTO log (n) VALUES (?), (?) RETURNING id, n AS number, 'x' AS text", "args": [1, 2]}

    def game(c):
        return [c.post("/v1/sql/fetch-all", sql).expect(200).json() for _ in range(20)]
    answers = [a for each in together(shared, [game] * CLIENTS) for a in each]
    first = answers[0]["columns"]
    assert [c["name"] for c in first] == ["id", "number", "text"] and first[0]["type"] == "INTEGER"
    assert all(a["columns"] == first and a["row_count"] == 2 for a in answers)
    assert all([r["number"] for r in a["rows"]] == [1, 2] and a["rows"][0]["id"] + 1 == a["rows"][1]["id"] for a in answers)
    assert sorted(r["id"] for a in answers for r in a["rows"]) == list(range(1, 2 * 20 * CLIENTS + 1))


def test_many_rows_go_alone(shared):
    """More than is kept back for a commit: at the edge of 1 MiB."""
    sql = "INSERT INTO log (n) VALUES (1) RETURNING id, ? AS bytes"

    def game(size):
        return lambda c: [len(c.post("/v1/sql/fetch-one", {"sql": sql, "args": [{"$bytes": base64.b64encode(bytes(size)).decode()}]})
                              .expect(200).json()["row"]["bytes"]["$bytes"]) for _ in range(5)]
    together(shared, [game(10)])
    before = shared_figures(shared, "write")["again"]
    sizes = [1000, 1024 * 1024 - 4096, 1024 * 1024 + 1]
    for size, lengths in zip(sizes, together(shared, [game(s) for s in sizes])):
        assert lengths == [4 * -(-size // 3)] * 5
    assert shared_figures(shared, "write")["again"] > before
    assert rows(shared, "SELECT count(*) FROM log") == [(20,)]


@pytest.mark.parametrize("kind", ["raw", "batch"])
def test_one_that_fails_is_undone_alone(shared, kind):
    def failing(c):
        codes = []
        for n in range(30):
            with_tag = "UPDATE account SET tag = 'taken', balance = balance + 0 WHERE id = ?"
            if kind == "raw":
                answer = c.post("/v1/sql/execute", {"sql": with_tag, "args": [n % 40 + 1]})
            else:
                answer = c.post("/v1/batch", {"steps": [step("UPDATE account SET balance = 0 WHERE id = 1"), step(with_tag, 2),
                                                        step("INSERT INTO account (id, balance, tag) VALUES (99, 0, 'taken')")]})
            codes.append((answer.status, answer.json().get("code"), answer.json().get("outcome")))
        return codes
    with sqlite3.connect(shared.path) as db:
        db.execute("UPDATE account SET tag = 'taken' WHERE id = 40")
    together(shared, [failing])
    *answers, failed = together(shared, [*movers(CLIENTS), failing])
    assert sum(answers, collections.Counter()) == {200: CLIENTS * 40}
    refused = (409, "unique_violation", "rolled_back")
    assert set(failed) <= {refused, (200, None, None)} and failed.count(refused) == (30 if kind == "batch" else 30 - failed.count((200, None, None)))
    all_there(shared)


@pytest.mark.parametrize("kind", ["raw", "batch"])
@pytest.mark.parametrize("ending", ["INSERT OR ROLLBACK INTO account (id, balance) VALUES (1, 0)", "INSERT INTO gate (n) VALUES (13)"],
                         ids=["or-rollback", "raise-rollback"])
def test_one_that_ends_all_of_it(shared, kind, ending):
    """Its neighbours run again, unheard of; it fails as it would alone."""
    def game(c):
        answers = [c.post("/v1/sql/execute", {"sql": ending}) if kind == "raw" else c.post("/v1/batch", {"steps": [step(ending)]})
                   for _ in range(30)]
        return {(a.status, a.json()["code"], a.json()["outcome"]) for a in answers}
    with Client(shared.port) as c:  # a text that is known to write and to bear company
        if kind == "raw" and "gate" in ending:
            c.post("/v1/sql/execute", {"sql": "CREATE TABLE other (n INTEGER)"}).expect(200)
    alone = together(shared, [game])[0]
    *answers, ended = together(shared, [*movers(CLIENTS), game])
    assert sum(answers, collections.Counter()) == {200: CLIENTS * 40} and ended == alone and len(alone) == 1
    all_there(shared)
    assert rows(shared, "SELECT count(*) FROM gate") == [(0,)]


@pytest.mark.parametrize("kind", ["raw", "batch"])
def test_foreign_keys_are_met_by_each(shared, kind):
    """A deferred one that is not met fails its own unit, not the commit of all."""
    sql = "INSERT INTO child (parent_id) VALUES (?)"

    def orphan(c):
        answers = [c.post("/v1/sql/execute", {"sql": sql, "args": [77]}) if kind == "raw" else c.post("/v1/batch", {"steps": [step(sql, 77)]})
                   for _ in range(30)]
        return {(a.status, a.json()["code"], a.json()["outcome"]) for a in answers}

    def family(c):  # child first
        return {c.post("/v1/batch", {"steps": [step(sql, 1000 + n), step("INSERT OR IGNORE INTO parent (id) VALUES (?)", 1000 + n)]}).status
                for n in range(30)}
    with Client(shared.port) as c:
        c.post("/v1/sql/execute", {"sql": "INSERT INTO parent (id) VALUES (1)"}).expect(200)
        c.post("/v1/sql/execute", {"sql": sql, "args": [1]}).expect(200)
    *answers, orphans, families = together(shared, [*movers(CLIENTS), orphan, family])
    assert sum(answers, collections.Counter()) == {200: CLIENTS * 40} and families == {200}
    assert orphans == {(409, "foreign_key_violation", "rolled_back")}
    assert rows(shared, "SELECT count(*) FROM child WHERE parent_id = 77") == [(0,)]
    assert shared_figures(shared, "unit")["again"] == 0


@pytest.mark.parametrize("kind", ["raw", "batch"])
def test_one_that_takes_too_long(shared, kind):
    sql = "INSERT INTO log (n) WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < ?) SELECT count(*) FROM r"

    def slow(c):
        answers = [c.post("/v1/sql/execute", {"sql": sql, "args": [10 ** 9]}, headers={"Prefer": "timeout=2"}) if kind == "raw"
                   else c.post("/v1/batch", {"steps": [step(sql, 10 ** 9)]}, headers={"Prefer": "timeout=2"}) for _ in range(3)]
        return {(a.status, a.json()["code"], a.json()["outcome"]) for a in answers}
    with Client(shared.port) as c:
        c.post("/v1/sql/execute", {"sql": sql, "args": [1]}).expect(200)
    *answers, slow_ones = together(shared, [*movers(CLIENTS), slow])
    assert sum(answers, collections.Counter()) == {200: CLIENTS * 40}
    assert slow_ones == {(504, "statement_timeout", "rolled_back")}
    assert rows(shared, "SELECT count(*) FROM log") == [(1,)]
    all_there(shared)


@pytest.mark.parametrize("sql, alone", [
    ("INSERT INTO log (n) VALUES (total_changes())", {"n": 0}), ("INSERT INTO log (n) VALUES (changes())", {"n": 0}),
    ("INSERT INTO log (n) VALUES (last_insert_rowid())", {"n": 0})])
def test_counts_are_ones_own(shared, sql, alone):
    def game(c):
        return [c.post("/v1/sql/execute", {"sql": sql}).status for _ in range(20)]
    together(shared, [*movers(CLIENTS), game, game])
    assert {n for (n,) in rows(shared, "SELECT n FROM log")} == {alone["n"]}


def told(answer):
    """An answer but for what counts rows and requests."""
    return re.sub(r'"(last_insert_id|request_id|instance)": *("[^"]*"|\d+)', "", answer.text)


@pytest.mark.parametrize("steps, status", [
    ([step("COMMIT")], 400), ([step("SAVEPOINT a"), step("INSERT INTO log (n) VALUES (1)"), step("RELEASE a")], 200),
    ([step("PRAGMA foreign_keys"), step("INSERT INTO log (n) VALUES (1)")], 200),
    ([step("CREATE TEMP TABLE x (n)"), step("INSERT INTO log (n) VALUES (1)")], 200)],
    ids=["commit", "savepoint", "pragma", "temp"])
def test_texts_that_go_alone(shared, steps, status):
    """What they are answered is what they are answered with nobody beside them."""
    def game(c):
        return [c.post("/v1/batch", {"steps": steps}) for _ in range(10)]
    quiet = together(shared, [game])[0]
    assert {a.status for a in quiet} == {status}, quiet[0].json()
    *answers, beside = together(shared, [*movers(CLIENTS), game])
    assert sum(answers, collections.Counter()) == {200: CLIENTS * 40}
    assert {told(a) for a in beside} == {told(a) for a in quiet}
    all_there(shared)


def test_reads_within_see_their_own_unit(shared):
    """One after the other: what a batch reads and then writes is as if it ran alone."""
    steps = [{"op": "sql.fetch_one", "as": "r", "sql": "SELECT balance AS b FROM account WHERE id = 1"},
             step("UPDATE account SET balance = ? WHERE id = 1", {"$ref": "r.row.b"}),
             step("UPDATE account SET balance = balance + 1 WHERE id = 1")]

    def game(c):
        return collections.Counter(c.post("/v1/batch", {"steps": steps}).status for _ in range(25))
    answers = together(shared, [game] * CLIENTS)
    assert sum(answers, collections.Counter()) == {200: CLIENTS * 25}
    assert rows(shared, "SELECT balance FROM account WHERE id = 1") == [(1000 + CLIENTS * 25,)]


@pytest.mark.parametrize("sql", ["INSERT OR FAIL INTO kept SELECT ? UNION ALL SELECT ?", "INSERT INTO raised SELECT ? UNION ALL SELECT ?"],
                         ids=["or-fail", "raise-fail"])
def test_what_fail_leaves(shared, sql):
    """What came before stays: that is told, and is so whoever was beside it."""
    with sqlite3.connect(shared.path) as db:
        db.executescript("CREATE TABLE kept (n INTEGER PRIMARY KEY); INSERT INTO kept VALUES (5); CREATE TABLE raised (n INTEGER PRIMARY KEY);"
                         "CREATE TRIGGER raises BEFORE INSERT ON raised WHEN new.n = 5 BEGIN SELECT RAISE(FAIL, 'five'); END")

    def known(i):  # as one that writes and bears company, by each loop
        return lambda c: c.post("/v1/sql/execute", {"sql": sql, "args": [1000 + 2 * i, 1001 + 2 * i]}).expect(200)

    def game(i):
        def play(c):
            answers = [c.post("/v1/sql/execute", {"sql": sql, "args": [10_000 * i + n, 5]}) for n in range(30)]
            return {(a.status, a.json()["outcome"]) for a in answers}
        return play
    for i in range(20):
        together(shared, [known(i)])
    answers = together(shared, [*movers(CLIENTS), *(game(i) for i in range(1, 9))])
    assert sum(answers[:CLIENTS], collections.Counter()) == {200: CLIENTS * 40}
    for seen in answers[CLIENTS:]:
        assert {outcome for _, outcome in seen} == {"committed"} and len(seen) == 1, seen
    table = "kept" if "kept" in sql else "raised"
    assert rows(shared, f"SELECT count(*) FROM {table} WHERE n >= 10000") == [(8 * 30,)]
    all_there(shared)


def test_what_a_trial_has_seen_remains(shared):
    """A batch with Prefer: tx=rollback, too, runs again when what it has read went with another's work."""
    looks = {"steps": [step("INSERT INTO log (n) VALUES (1)"),
                       {"op": "sql.fetch_one", "sql": "SELECT (SELECT n FROM log WHERE n > 1 ORDER BY id DESC) AS n"}]}

    def trial(c):
        answers = [c.post("/v1/batch", looks, headers={"Prefer": "tx=rollback"}).expect(200).json() for _ in range(60)]
        return {a["results"][1]["body"]["row"]["n"] for a in answers} - {None}

    def grows(c):  # by another row each time that it runs
        for _ in range(60):
            c.post("/v1/batch", {"steps": [step("INSERT INTO log (n) VALUES (2 + abs(random() % 1000000000000))")]}).expect(200)

    def ends(c):  # by another text each time: one that has ended all goes alone for a while
        for n in range(60):
            c.post("/v1/batch", {"steps": [step(f"INSERT INTO gate (n) VALUES (13 + {n} - {n})")]})
    seen = together(shared, [trial] * 6 + [grows] * 6 + [ends] * 2)[:6]
    assert set().union(*seen) <= {n for (n,) in rows(shared, "SELECT n FROM log")}


def test_exactly_once_in_company(shared, tmp_path):
    """Writes with their answers: each once, its answer found again, whoever was beside it."""
    with Client(shared.port) as c:
        c.post("/v1/connections", {"name": "once", "url": f"sqlite:{shared.path}", "exactly_once": True}).expect(201)

    def game(i):
        def play(c):
            out = []
            for n in range(20):
                key = {"Idempotency-Key": f"key-{i}-{n}"}
                send = [lambda: c.post("/v1/models/log/records?using=once", {"n": n}, headers=key),
                        lambda: c.post("/v1/batch?using=once", {"steps": [step("INSERT INTO log (n) VALUES (?)", n)]}, headers=key),
                        lambda: c.post("/v1/batch?using=once", {"steps": [step("INSERT INTO log (n) VALUES (?)", n), step("INSERT INTO gate VALUES (13)")]},
                                       headers=key)][i % 3]
                one, two = send(), send()
                out.append((one.status, one.json() == two.json() or i % 3 == 2, two.header("Idempotency-Replayed")))
            return set(out)
        return play
    answers = together(shared, [game(i) for i in range(CLIENTS)])
    for i, seen in enumerate(answers):
        assert seen == [{(201, True, "true")}, {(200, True, "true")}, {(400, True, None)}][i % 3], (i, seen)
    assert rows(shared, "SELECT count(*) FROM log") == [(CLIENTS // 3 * 2 * 20,)]
