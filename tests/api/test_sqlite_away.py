"""What shows only on a loop that it takes long (SQLite) is begun anew by a thread: no loop waits for it, and the answer is the same."""
import concurrent.futures
import contextlib
import http.client
import json
import sqlite3
import time

import pytest

from support.client import Client
from support.server import Server
from support.turns import no_long_turn
from support.vanish import growth_bound

SANITIZED = growth_bound(1) != 1  # computes several times as long
slow_alone = pytest.mark.skipif(SANITIZED, reason="the compiler itself takes that long")


@pytest.fixture
def house():
    with Server("--loops", "1", "--default-url", "sqlite::memory:", "--statement-timeout-seconds", "20") as server, \
            Client(server.port, timeout=120) as client:
        yield client


def one(client, sql, **headers):
    return client.post("/v1/sql/fetch-all", {"sql": sql, "args": []}, headers={"Prefer": "timeout=5"})


def doubling(name, n, first="a INTEGER", more=""):
    columns = ", ".join(f"g{i} AS (g{i - 1} + g{i - 1})" for i in range(1, n + 1))
    return f"CREATE TABLE {name} ({first}, g0 AS (a), {columns}{more})"


def side_by_side(port, call, args):
    """What call(a client, each of the args) answers, as (arg, answer)."""
    def run(arg):
        with Client(port, timeout=120) as own:
            return arg, call(own, arg)
    with concurrent.futures.ThreadPoolExecutor(len(args)) as threads:
        return list(threads.map(run, args))


# ---- what doubles when it is compiled ----

GENERATED = ("SELECT g23 FROM doubling", "SELECT * FROM doubling", "CREATE INDEX doubled ON doubling (g23)",
             "SELECT 1 FROM doubling WHERE g23 = 1 OR g23 = 2", "UPDATE doubling SET a = g23", "CREATE TABLE copied AS SELECT * FROM doubling",
             "EXPLAIN SELECT g23 FROM doubling", "DELETE FROM doubling WHERE g23 = 3")


@slow_alone
@pytest.mark.parametrize("sql", GENERATED)
def test_generated_columns_that_name_each_other_twice(house, sql):
    one(house, doubling("doubling", 23)).expect(200)
    one(house, "INSERT INTO doubling (a) VALUES (1)").expect(200)
    with no_long_turn(house):
        answer = one(house, sql).problem(400, "sql_error")
    assert "too long when it is compiled" in answer["detail"]
    assert one(house, "SELECT g9 FROM doubling").expect(200).json()["rows"] == [{"g9": 512}]
    one(house, "DROP TABLE doubling").expect(200)


@slow_alone
@pytest.mark.parametrize("road", ["list", "record", "query", "update", "delete"])
def test_models_of_such_tables(house, road):
    one(house, doubling("doubling", 23, "id INTEGER PRIMARY KEY, a INTEGER")).expect(200)
    one(house, "INSERT INTO doubling (id, a) VALUES (1, 1)").expect(200)
    house.put("/v1/models", {"models": [{"model_name": "D", "table_name": "doubling", "columns": [
        {"name": "id", "logical_type": "integer", "primary_key": True}, {"name": "g23", "logical_type": "integer"}]}]}).expect(200)
    where = {"column": "g23", "operator": "==", "value": 3}
    with no_long_turn(house):
        answer = {
            "list": lambda: house.get("/v1/models/D/records"),
            "record": lambda: house.get("/v1/models/D/records/1"),
            "query": lambda: house.post("/v1/query", {"model_name": "D", "where": [where]}),
            "update": lambda: house.post("/v1/query/update", {"query": {"model_name": "D", "where": [where]}, "set": {"id": 7}}),
            "delete": lambda: house.post("/v1/query/delete", {"model_name": "D", "where": [where]}),
        }[road]()
        assert 400 <= answer.status < 500, answer.body


@slow_alone
def test_with_that_names_each_other_sixty_times(house):
    """Few SELECTs are many, when each is named sixty times by the next."""
    steps = [f"c{i}(a) AS (SELECT x0.a FROM {', '.join(f'c{i - 1} x{k}' for k in range(40))})" for i in range(1, 4)]
    with no_long_turn(house):
        assert one(house, f"WITH c0(a) AS (SELECT 1), {', '.join(steps)} SELECT a FROM c3").status in (200, 400, 504)


@slow_alone
def test_views_that_name_each_other_sixty_times(house):
    one(house, "CREATE VIEW v0 AS SELECT 1 AS a").expect(200)
    for i in range(1, 4):
        one(house, f"CREATE VIEW v{i} AS SELECT x0.a FROM {', '.join(f'v{i - 1} x{k}' for k in range(40))}").expect(200)
    with no_long_turn(house):
        assert one(house, "SELECT a FROM v3").status in (200, 400, 504)


@slow_alone
def test_what_others_have_changed_is_compiled_off_the_loop(house):
    """A statement that was short when it was compiled is compiled anew when its tables and views have changed."""
    one(house, "CREATE TABLE t (a, g AS (a))").expect(200)
    one(house, "CREATE VIEW w AS SELECT 1 AS a").expect(200)
    for sql in ("SELECT g FROM t", "SELECT a FROM w"):
        for _ in range(3):
            one(house, sql).expect(200)
    one(house, "DROP TABLE t").expect(200)
    one(house, doubling("t", 23, more=", g AS (g23)")).expect(200)
    one(house, "CREATE VIEW v0 AS SELECT 1 AS a").expect(200)
    for i in range(1, 13):
        one(house, f"CREATE VIEW v{i} AS SELECT x.a FROM v{i - 1} x, v{i - 1} y").expect(200)
    one(house, "DROP VIEW w").expect(200)
    one(house, "CREATE VIEW w AS SELECT a FROM v12").expect(200)
    with no_long_turn(house):
        assert "too long when it is compiled" in one(house, "SELECT g FROM t").problem(400, "sql_error")["detail"]
        answer = one(house, "SELECT a FROM w")  # SQLite refuses it after seconds, unless its time is over before
        assert answer.status == 504 or "too many FROM clause terms" in answer.problem(400, "sql_error")["detail"], answer.text
    one(house, "DROP VIEW w").expect(200)
    one(house, "CREATE VIEW w AS SELECT 5 AS a").expect(200)
    assert one(house, "SELECT a FROM w").expect(200).json()["rows"] == [{"a": 5}]


DROPS = {"models": [{"model_name": "T", "table_name": "t", "columns": [{"name": "id", "logical_type": "integer", "primary_key": True}]}]}


@slow_alone
@pytest.mark.parametrize("objects", ["views", "trigger", "instead"])
def test_a_migration_compiles_views_and_triggers_off_the_loop(house, objects):
    """Whether they would still work is seen by compiling them, which takes as long as their author likes."""
    one(house, "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)").expect(200)
    one(house, "CREATE VIEW v0 AS SELECT 1 AS a").expect(200)
    for i in range(1, 12):
        one(house, f"CREATE VIEW v{i} AS SELECT x.a FROM v{i - 1} x, v{i - 1} y").expect(200)
    if objects == "trigger":
        one(house, "CREATE TRIGGER r AFTER DELETE ON t BEGIN SELECT x.a FROM v11 x, v11 y; END").expect(200)
    elif objects == "instead":
        one(house, "CREATE TRIGGER r INSTEAD OF UPDATE ON v11 BEGIN SELECT 1; END").expect(200)
    house.put("/v1/models", DROPS).expect(200)
    with no_long_turn(house):
        answer = house.post("/v1/migrate", {"destructive": True, "dry_run": True}, headers={"Prefer": "timeout=20"})
    assert answer.status in (200, 504), answer.text
    house.delete("/v1/models/T").expect(204)


@slow_alone
def test_introspection_tries_tables_off_the_loop(house):
    """Whether a table can be written is seen by compiling what would."""
    one(house, doubling("doubling", 23)).expect(200)
    with no_long_turn(house):
        house.post("/v1/introspect", {}).expect(200)


def test_very_long_views_are_not_read_again_and_again(house):
    """Which view names which is looked for in their texts, up to a bound."""
    one(house, "CREATE TABLE t (id INTEGER PRIMARY KEY)").expect(200)
    for i in range(120):
        house.post("/v1/sql/execute", {"sql": f"CREATE VIEW longest{i:03} AS SELECT 1 AS a /* {'x' * 200000} */"}).expect(200)
    with no_long_turn(house):
        one(house, "SELECT id FROM t").expect(200)


@slow_alone
def test_a_write_in_company_that_is_compiled_anew_and_too_long(tmp_path):
    """What others have changed is the fault of no memory; who writes beside it is answered as if it had not been there."""
    path, by_id = tmp_path / "company.db", [{"name": "id", "logical_type": "integer", "primary_key": True}, {"name": "a", "logical_type": "integer", "nullable": True}]
    with Server("--loops", "1", "--default-url", f"sqlite:{path}?mode=rwc") as server, Client(server.port, timeout=120) as client:
        for name in ("changed", "same"):
            one(client, f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, a INTEGER)").expect(200)
            one(client, f"INSERT INTO {name} VALUES (1, 1)").expect(200)
        client.put("/v1/models", {"models": [{"model_name": n.title(), "table_name": n, "columns": by_id} for n in ("changed", "same")]}).expect(200)

        def write(own, name):
            return own.patch(f"/v1/models/{name}/records/1", {"a": 2})
        for _ in range(3):
            write(client, "Changed").expect(200)
        with contextlib.closing(sqlite3.connect(path)) as other:
            other.execute("DROP TABLE changed")
            other.execute(doubling("changed", 23, "id INTEGER PRIMARY KEY, a INTEGER", ", CHECK (g23 >= 0)"))
            other.commit()
        for name, answer in side_by_side(server.port, write, ["Changed", "Same"] * 4):
            if name == "Same":
                answer.expect(200)
            else:
                assert "too long when it is compiled" in answer.problem(400, "sql_error")["detail"]
        # what is stepped by a thread of its own, too
        one(client, "CREATE VIEW w AS SELECT 1 AS g23").expect(200)
        for _ in range(2):
            one(client, "SELECT hex(g23) FROM w").expect(200)
        one(client, "DROP VIEW w").expect(200)
        one(client, "CREATE VIEW w AS SELECT g23 FROM changed").expect(200)
        assert "too long when it is compiled" in one(client, "SELECT hex(g23) FROM w").problem(400, "sql_error")["detail"]


# ---- large values that are stored ----

LARGE = ("SELECT count(*) AS n FROM u x, u y WHERE x.a < y.a COLLATE NOCASE",
         "SELECT id FROM u ORDER BY a COLLATE NOCASE", "SELECT count(DISTINCT a COLLATE NOCASE) AS n FROM u",
         "SELECT max(a COLLATE NOCASE) < 'b' AS n FROM u GROUP BY a COLLATE NOCASE", "SELECT id FROM u WHERE a IN (SELECT a FROM u)")


@pytest.mark.skipif(SANITIZED, reason="its values are too large for them")
@pytest.mark.parametrize("sql", LARGE)
def test_large_values_are_compared_off_the_loop(house, sql):
    one(house, "CREATE TABLE u (id INTEGER PRIMARY KEY, a TEXT)").expect(200)
    one(house, "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < 60) "
               "INSERT INTO u SELECT i, hex(zeroblob(400000)) || i FROM r").expect(200)
    with no_long_turn(house):
        assert one(house, sql).status in (200, 504)


@pytest.fixture
def mixed(house):
    """Small rows, one that is large, small ones again."""
    one(house, "CREATE TABLE m (id INTEGER PRIMARY KEY, a TEXT)").expect(200)
    one(house, "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < 900) "
               "INSERT INTO m SELECT i, CASE WHEN i IN (400, 700) THEN hex(zeroblob(200000)) ELSE 'a' || i END FROM r").expect(200)
    house.put("/v1/models", {"models": [{"model_name": "M", "table_name": "m", "columns": [
        {"name": "id", "logical_type": "integer", "primary_key": True}, {"name": "a", "logical_type": "string"}]}]}).expect(200)
    return house


def test_each_row_comes_once(mixed):
    lengths = [(i, 400000 if i in (400, 700) else len(f"a{i}")) for i in range(1, 901)]
    for _ in range(3):
        rows = one(mixed, "SELECT * FROM m").expect(200).json()["rows"]
        assert [(row["id"], len(row["a"])) for row in rows] == lengths
        rows = mixed.post("/v1/query", {"model_name": "M", "order_by": [{"column": "id"}], "limit": 1000}).expect(200).json()["rows"]
        assert [(row["id"], len(row["a"])) for row in rows] == lengths
    assert [row["id"] for row in one(mixed, "SELECT id FROM m WHERE a > '0' ORDER BY a").expect(200).json()["rows"]] == \
        [i for _, i in sorted((("0" * 400000 if i in (400, 700) else f"a{i}"), i) for i in range(1, 901))]
    with mixed.session() as session:
        tx = session.transaction()
        one(tx, "UPDATE m SET a = 'b' WHERE id = 2").expect(200)
        rows = one(tx, "SELECT * FROM m").expect(200).json()["rows"]
        assert [row["id"] for row in rows] == [i for i, _ in lengths] and rows[1]["a"] == "b"
        session.delete("/v1/session?rollback=true")
    assert one(mixed, "SELECT a FROM m WHERE id = 2").expect(200).json()["rows"] == [{"a": "a2"}]


def test_rows_are_those_of_one_moment(tmp_path):
    """What others commit while a client takes its rows slowly changes none that are still to come, on whichever thread they are made."""
    n, url = 60000, f"sqlite:{tmp_path / 'moment.db'}?mode=rwc"
    with Server("--loops", "1", "--default-url", url) as server, Client(server.port, timeout=120) as client:
        one(client, "CREATE TABLE m (id INTEGER PRIMARY KEY, a TEXT)").expect(200)
        one(client, f"WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < {n}) "
                    f"INSERT INTO m SELECT i, CASE WHEN i = {n - 5} THEN hex(zeroblob(200000)) ELSE printf('%.*c', 300, 'a') END FROM r").expect(200)
        slow = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
        slow.request("POST", "/v1/sql/fetch-all", json.dumps({"sql": "SELECT id, a FROM m", "args": []}),
                     {"Content-Type": "application/json", "Accept": "application/x-ndjson"})
        answer = slow.getresponse()
        lines = [answer.readline()]
        time.sleep(0.5)  # the server's buffers are full
        one(client, "DELETE FROM m WHERE id <= 5000").expect(200)
        one(client, "INSERT INTO m VALUES (-1, 'new')").expect(200)
        lines += answer.read().splitlines()
        ids = [json.loads(line).get("id") for line in lines if b'"id"' in line]
        assert ids == list(range(1, n + 1))
        slow.close()


@pytest.mark.skipif(SANITIZED, reason="its tables are too large for them")
def test_a_table_is_emptied_off_the_loop(house):
    """SQLite does it in one step, which takes its time with the pages of the table."""
    one(house, "CREATE TABLE many (id INTEGER PRIMARY KEY, a TEXT)").expect(200)
    house.post("/v1/sql/execute", {"sql": "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < 200000) "
                                          f"INSERT INTO many SELECT i, '{'a' * 1900}' FROM r"}).expect(200)
    house.put("/v1/models", {"models": [{"model_name": "Many", "table_name": "many", "columns": [
        {"name": "id", "logical_type": "integer", "primary_key": True}, {"name": "a", "logical_type": "string"}]}]}).expect(200)
    with no_long_turn(house):
        house.post("/v1/query/delete", {"model_name": "Many"}, params={"all": "true"}).expect(200)
    assert one(house, "SELECT count(*) AS n FROM many").expect(200).json()["rows"] == [{"n": 0}]
