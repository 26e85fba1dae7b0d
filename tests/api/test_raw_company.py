"""Clients' own reads in company: those that are proven to have no effect but their rows, and no others."""
import re
import socket
import threading
import time

import pytest

from support.client import Client

ROWS = 500
READ = {"sqlite": "SELECT id, n FROM item WHERE id = ?1", "postgres": "SELECT id, n FROM item WHERE id = $1"}


class Own:
    """A connection of a test's own, the default one."""

    def __init__(self, client, port, backend):
        self.client, self.port, self.backend, self.kind = client, port, backend, backend.name

    def __call__(self, setup="", connections=4):
        self.client.post("/v1/connections", {"name": "own", "url": self.backend.url, "default": True,
                                             "pool": {"max_connections": connections}}).expect(201)
        self.run("CREATE TABLE item (id int PRIMARY KEY, n int NOT NULL)")
        self.run(f"INSERT INTO item WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < {ROWS}) "
                 "SELECT i, i * 2 FROM r")
        if setup:
            self.psql(setup)
        return self

    def psql(self, text):
        return self.backend.pg.psql(text, self.backend.database)

    def run(self, sql, args=(), road="execute"):
        return self.client.post(f"/v1/sql/{road}", {"sql": sql, "args": list(args)}).expect(200).json()

    def reads(self):
        """Those that went in company."""
        text = self.client.get("/metrics", validate=False).expect(200).text
        return int(re.search(r'^ferrod_lane_statements_total{connection="own",kind="read"} (\d+)$', text, re.M)[1])


def _own(server, backend):
    with Client(server.port, timeout=60) as client:
        yield Own(client, server.port, backend)
        client.delete("/v1/connections/own?force=true")
        client.put("/v1/default-connection", {"name": "default"}).expect(200)


@pytest.fixture
def own(server, backend):
    yield from _own(server, backend)


@pytest.fixture
def lite_own(server, sqlite_backend):
    yield from _own(server, sqlite_backend)


@pytest.fixture
def pg_own(server, postgres_backend):
    """Only there others' functions are called by name."""
    yield from _own(server, postgres_backend)


def warm(own, sql, args):
    """Until it goes in company: known after its second run on PostgreSQL, and tried by the loop of this client's connection. A
    run that a busy machine makes slow puts it off for 200 others."""
    before, until = own.reads(), time.monotonic() + 60
    while own.reads() == before:
        assert time.monotonic() < until, "it goes alone"
        for _ in range(20):
            own.run(sql, args, "fetch-one")


def many(own, n_threads, n_each, body):
    """body(client, i): from many connections at once; what it raised."""
    faults = []

    def work(thread):
        try:
            with Client(own.port, timeout=60) as client:
                for i in range(n_each):
                    body(client, thread * n_each + i)
        except BaseException as fault:  # noqa: BLE001
            faults.append(fault)
    threads = [threading.Thread(target=work, args=(i,)) for i in range(n_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return faults


def fetch(client, sql, args):
    return client.post("/v1/sql/fetch-one", {"sql": sql, "args": args})


def test_quick_reads_go_in_company(own):
    own = own()
    sql = READ[own.kind]
    warm(own, sql, [1])
    before = own.reads()

    def one(client, i):
        key = i % ROWS + 1
        answer = fetch(client, sql, [key]).expect(200).json()
        assert answer["row"] == {"id": key, "n": key * 2} and [c["name"] for c in answer["columns"]] == ["id", "n"]
    assert many(own, 8, 40, one) == []
    assert own.reads() > before


def test_a_text_that_is_too_long_goes_alone(own):
    """Nothing is kept of a text over 8,192 bytes."""
    own = own()
    for n_bytes, goes in ((8192, True), (8193, False)):
        sql = READ[own.kind] + " /*"
        sql += "x" * (n_bytes - len(sql) - 2) + "*/"
        if goes:
            warm(own, sql, [1])
            continue
        before = own.reads()
        for _ in range(40):
            own.run(sql, [1], "fetch-one")
        assert own.reads() == before


def test_a_write_is_seen_by_the_next_read(own):
    own = own()
    sql, write = READ[own.kind], "UPDATE item SET n = {} WHERE id = 7"
    warm(own, sql, [7])

    def one(client, i):
        key = i % 8 + 10
        client.post("/v1/sql/execute", {"sql": f"UPDATE item SET n = {i} WHERE id = {key}"}).expect(200)
    writers = threading.Thread(target=many, args=(own, 2, 50, one))
    writers.start()
    for i in range(100):
        own.run(write.format(i))
        assert own.run(sql, [7], "fetch-one")["row"]["n"] == i
    writers.join()


def test_a_failing_neighbour(own):
    """It has its own error, and those behind it in its pipeline their answers."""
    own = own()
    if own.kind == "sqlite":
        sql, bad, code = "SELECT abs(?1) AS q FROM item WHERE id = ?2", -2**63, "sql_error"
    else:
        sql, bad, code = "SELECT 100 / $1::int AS q FROM item WHERE id = $2", 0, "sql_error"
    warm(own, sql, [1, 1])
    before = own.reads()

    def one(client, i):
        if i % 5 == 0:
            fetch(client, sql, [bad, 3]).problem(400, code)
        else:
            assert fetch(client, sql, [1, 3]).expect(200).json()["row"] == {"q": 100 if own.kind == "postgres" else 1}
    assert many(own, 8, 40, one) == []
    assert own.reads() > before


def test_a_neighbour_that_leaves(own):
    """Clients that go away in the middle of it leave the others their answers."""
    own = own()
    sql = READ[own.kind]
    warm(own, sql, [1])
    body = b'{"sql":"%s","args":[5]}' % sql.encode()
    request = (b"POST /v1/sql/fetch-one HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
               % len(body)) + body
    stop = threading.Event()

    def leave():
        while not stop.is_set():
            with socket.create_connection(("127.0.0.1", own.port)) as s:
                s.sendall(request)
    leaving = threading.Thread(target=leave)
    leaving.start()
    try:
        assert many(own, 6, 60, lambda client, i: fetch(client, sql, [i % ROWS + 1]).expect(200)) == []
    finally:
        stop.set()
        leaving.join()
    assert own.run(sql, [4], "fetch-one")["row"] == {"id": 4, "n": 8}


def test_one_that_was_short_and_is_long_now(own):
    """Its answer is whole, and no neighbour's is another's."""
    own = own()
    text = "SELECT a.id, a.n, b.n AS m FROM item a JOIN item b ON b.id <= {} WHERE a.id <= {} ORDER BY a.id, b.id"
    sql = text.format("?1", "?2") if own.kind == "sqlite" else text.format("$1", "$2")
    warm(own, sql, [1, 1])

    def one(client, i):
        n = ROWS if i % 10 == 0 else 2
        rows = client.post("/v1/sql/fetch-all", {"sql": sql, "args": [n, n]}).expect(200).json()["rows"]
        assert len(rows) == n * n and rows[-1] == {"id": n, "n": 2 * n, "m": 2 * n}
    assert many(own, 4, 10, one) == []


def test_a_connection_that_is_lost_in_mid_pipeline(pg_own):
    own = pg_own()
    sql = READ["postgres"]
    warm(own, sql, [1])
    stop = threading.Event()

    def end():
        while not stop.is_set():
            own.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
                     "AND pid <> pg_backend_pid() AND application_name LIKE 'ferrod%' LIMIT 2")
            time.sleep(0.05)
    ending = threading.Thread(target=end)
    ending.start()

    def one(client, i):
        key = i % ROWS + 1
        answer = fetch(client, sql, [key])
        if answer.status == 200:
            assert answer.json()["row"] == {"id": key, "n": key * 2}
        else:
            answer.problem(503, "database_unavailable")
    try:
        assert many(own, 8, 60, one) == []
    finally:
        stop.set()
        ending.join()
    time.sleep(0.1)
    assert own.run(sql, [4], "fetch-one")["row"] == {"id": 4, "n": 8}


LOUD = """
CREATE FUNCTION loud(x int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
    $$ BEGIN PERFORM set_config('ferro.trap', 'sprung', false); RETURN x; END $$;
CREATE FUNCTION loud(x text) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
    $$ BEGIN PERFORM set_config('ferro.trap', 'sprung', false); RETURN 1; END $$;
"""
# itself no read that goes along: what it calls is volatile
SPRUNG = ("SELECT current_setting('ferro.trap', true) AS trap, "
          "(SELECT count(*) FROM pg_lock_status() WHERE locktype = 'advisory') AS locks")
TRAPS = {
    "function": ("", "SELECT loud(1)"),
    "function in a column's notation": ("CREATE FUNCTION note(i item) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT loud(1)'",
                                        "SELECT i.note FROM item i LIMIT 1"),
    "quoted function": ("", "SELECT \"loud\"(1)"),
    "function by escapes": ("", "SELECT U&\"l\\006fud\"(1)"),
    "function of the server's name": ("CREATE FUNCTION lower(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT loud($1)'",
                                      "SELECT lower(1)"),
    "aggregate": ("CREATE AGGREGATE add_up(int) (sfunc = int4pl, stype = int, initcond = '0', finalfunc = loud)",
                  "SELECT add_up(n) FROM item"),
    "operator": ("CREATE FUNCTION op(int, int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT loud($1) = $2';"
                 "CREATE OPERATOR === (leftarg = int, rightarg = int, function = op)", "SELECT 1 === 1"),
    "operator of the server's name": ("CREATE TYPE mood AS ENUM ('a', 'b');"
                                      "CREATE FUNCTION op(mood, mood) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT loud(1) = 1';"
                                      "CREATE OPERATOR = (leftarg = mood, rightarg = mood, function = op);"
                                      "CREATE TABLE moods (m mood); INSERT INTO moods VALUES ('a')",
                                      "SELECT 1 AS x FROM moods WHERE m = 'a'"),
    "operator of a key word": ("CREATE TYPE mood AS ENUM ('a', 'b');"
                               "CREATE FUNCTION op(mood, text) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT loud(1) = 1';"
                               "CREATE OPERATOR ~~ (leftarg = mood, rightarg = text, function = op);"
                               "CREATE TABLE moods (m mood); INSERT INTO moods VALUES ('a')",
                               "SELECT 1 AS x FROM moods WHERE m LIKE 'a'::text"),
    "cast": ("CREATE TYPE mood AS ENUM ('a', 'b'); CREATE FUNCTION to_int(mood) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT loud(1)';"
             "CREATE CAST (mood AS int) WITH FUNCTION to_int(mood) AS IMPLICIT; CREATE TABLE moods (m mood); INSERT INTO moods VALUES ('a')",
             "SELECT m::int AS x FROM moods"),
    "cast of a row": ("CREATE FUNCTION to_int(item) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT loud(1)';"
                      "CREATE CAST (item AS int) WITH FUNCTION to_int(item)", "SELECT CAST(item AS int) AS x FROM item LIMIT 1"),
    "cast to json": ("CREATE TYPE mood AS ENUM ('a', 'b');"
                     "CREATE FUNCTION mood_json(mood) RETURNS json LANGUAGE sql IMMUTABLE AS 'SELECT to_json(loud(1))';"
                     "CREATE CAST (mood AS json) WITH FUNCTION mood_json(mood); CREATE TABLE moods (m mood); INSERT INTO moods VALUES ('a')",
                     "SELECT to_json(m)::text AS x FROM moods"),
    "domain": ("CREATE DOMAIN small AS int CHECK (loud(VALUE) > 0)", "SELECT 5::small AS x"),
    "domain before a literal": ("CREATE DOMAIN small AS int CHECK (loud(VALUE) > 0)", "SELECT small'5' AS x"),
    "domain by its number": ("CREATE DOMAIN small AS int CHECK (loud(VALUE) > 0)",
                             "SELECT domain_in('5', (SELECT oid FROM pg_type WHERE typname = 'sma' || 'll'), -1)::text AS x"),
    "view's column": ("CREATE VIEW v AS SELECT id, loud(n) AS m FROM item", "SELECT m FROM v LIMIT 1"),
    "view's column, of another schema": ("CREATE SCHEMA s; CREATE VIEW s.v AS SELECT id, loud(n) AS m FROM item",
                                         "SELECT m FROM s.v LIMIT 1"),
    "view in a string": ("CREATE VIEW v AS SELECT id, loud(n) AS m FROM item",
                         "SELECT table_to_xml('v'::regclass, false, false, '')::text AS x"),
    "view of a view": ("CREATE VIEW w AS SELECT id, loud(n) AS m FROM item; CREATE VIEW v AS SELECT id, m FROM w", "SELECT m FROM v LIMIT 1"),
    "view's condition": ("CREATE VIEW v AS SELECT id FROM item WHERE loud(n) > 0", "SELECT id FROM v LIMIT 1"),
    "view's subquery": ("CREATE VIEW v AS SELECT id, (SELECT max(loud(i.n)) FROM item i) AS m FROM item", "SELECT m FROM v LIMIT 1"),
    "view's order": ("CREATE VIEW v AS SELECT id FROM item ORDER BY loud(n)", "SELECT id FROM v LIMIT 1"),
    "view's call of the server's": ("CREATE VIEW v AS SELECT set_config('ferro.trap', 'sprung', false) AS x", "SELECT x FROM v"),
    "view's call by name": ("CREATE VIEW v AS SELECT query_to_xml('SELECT loud(1)', false, false, '')::text AS x", "SELECT x FROM v"),
    "view's rows from a function": ("CREATE VIEW v AS SELECT x FROM loud(1) AS x", "SELECT x FROM v"),
    "view's window": ("CREATE FUNCTION seen(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT loud($2)';"
                      "CREATE AGGREGATE last_seen(int) (sfunc = seen, stype = int, initcond = '0');"
                      "CREATE VIEW v AS SELECT last_seen(n) OVER (ORDER BY id) AS m FROM item", "SELECT m FROM v LIMIT 1"),
    "view's operator": ("CREATE FUNCTION op(int, int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT loud($1) = $2';"
                        "CREATE OPERATOR === (leftarg = int, rightarg = int, function = op);"
                        "CREATE VIEW v AS SELECT id FROM item WHERE n === 2", "SELECT id FROM v LIMIT 1"),
    "view's operator of any": ("CREATE FUNCTION op(int, int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT loud($1) = $2';"
                               "CREATE OPERATOR === (leftarg = int, rightarg = int, function = op);"
                               "CREATE VIEW v AS SELECT id FROM item WHERE n === ANY (ARRAY[2, 4])", "SELECT id FROM v LIMIT 1"),
    "view's cast": ("CREATE TYPE mood AS ENUM ('a', 'b'); CREATE FUNCTION to_int(mood) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT loud(1)';"
                    "CREATE CAST (mood AS int) WITH FUNCTION to_int(mood) AS IMPLICIT; CREATE TABLE moods (m mood); INSERT INTO moods VALUES ('a');"
                    "CREATE VIEW v AS SELECT m::int AS x FROM moods", "SELECT x FROM v"),
    "view's domain": ("CREATE DOMAIN small AS int CHECK (loud(VALUE) > 0); CREATE VIEW v AS SELECT n::small AS m FROM item", "SELECT m FROM v LIMIT 1"),
    "view's domain of a literal": ("CREATE DOMAIN small AS int CHECK (loud(VALUE) > 0); CREATE VIEW v AS SELECT '5'::text::small AS m", "SELECT m FROM v"),
    "view's domain by its number": ("CREATE DOMAIN small AS int CHECK (loud(VALUE) > 0); CREATE VIEW v AS SELECT domain_in('5', "
                                    "(SELECT oid FROM pg_type WHERE typname = 'sma' || 'll'), -1)::text AS x", "SELECT x FROM v"),
    "view's domain in a table of XML": ("CREATE DOMAIN small AS int CHECK (loud(VALUE) > 0); CREATE VIEW v AS SELECT x.m FROM "
                                        "XMLTABLE('/a' PASSING xml '<a>5</a>' COLUMNS m small PATH '.') x", "SELECT m FROM v"),
    "view of a row policy": ("CREATE TABLE kept (n int); INSERT INTO kept VALUES (1); ALTER TABLE kept ENABLE ROW LEVEL SECURITY;"
                             "ALTER TABLE kept FORCE ROW LEVEL SECURITY; CREATE POLICY p ON kept USING (loud(n) > 0);"
                             "CREATE VIEW v AS SELECT n FROM kept", "SELECT n FROM v LIMIT 1"),
    "view of a generated column": ("CREATE TABLE g (a int, b int GENERATED ALWAYS AS (loud(a)) STORED); CREATE VIEW v AS SELECT b FROM g",
                                   "SELECT count(b) AS x FROM v"),
    "view of rows with a lock": ("CREATE VIEW v AS SELECT n FROM item WHERE id = 1 FOR UPDATE", "SELECT n FROM v"),
    "view of the transaction's number": ("CREATE VIEW v AS SELECT txid_current()::text AS x", "SELECT x FROM v"),
    "view that is rewritten": ("CREATE VIEW v AS SELECT 1 AS x; CREATE RULE \"_RETURN2\" AS ON INSERT TO v DO INSTEAD SELECT loud(1);"
                               "CREATE VIEW w AS SELECT loud(1) AS y, x FROM v", "SELECT x FROM w"),
    "order of the server's type": (
        "CREATE FUNCTION j_cmp(json, json) RETURNS int LANGUAGE plpgsql IMMUTABLE AS "
        "$$ BEGIN PERFORM loud(1); RETURN 0; END $$;"
        + "".join(f"CREATE FUNCTION j_{name}(json, json) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT j_cmp($1, $2) {op} 0';"
                  f"CREATE OPERATOR {op} (leftarg = json, rightarg = json, function = j_{name});"
                  for name, op in (("lt", "<"), ("le", "<="), ("eq", "="), ("ge", ">="), ("gt", ">")))
        + "CREATE OPERATOR CLASS j_ops DEFAULT FOR TYPE json USING btree AS OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, "
        "OPERATOR 5 >, FUNCTION 1 j_cmp(json, json); CREATE TABLE docs (j json); INSERT INTO docs VALUES ('1'), ('2')",
        "SELECT j::text AS x FROM docs ORDER BY j LIMIT 1"),
    "row policy": ("ALTER TABLE item ENABLE ROW LEVEL SECURITY; ALTER TABLE item FORCE ROW LEVEL SECURITY;"
                   "CREATE POLICY p ON item USING (loud(id) > 0)", "SELECT n FROM item LIMIT 1"),
    "index's predicate": ("CREATE INDEX x ON item (id) WHERE loud(1) > 0", "SELECT n FROM item WHERE id = 3"),
    "generated column": ("CREATE TABLE g (a int, b int GENERATED ALWAYS AS (loud(a)) STORED)", "SELECT count(b) AS x FROM g"),
    "the server's own": ("", "SELECT set_config('ferro.trap', 'sprung', false) AS x"),
    "a lock": ("", "SELECT pg_advisory_lock(5)::text AS x"),
    "the transaction's number": ("", "SELECT txid_current()::text AS x"),
    "a row's lock": ("", "SELECT n FROM item WHERE id = 1 FOR UPDATE"),
    "a write within": ("", "WITH w AS (UPDATE item SET n = n WHERE id = 1 RETURNING n) SELECT n FROM w"),
    "a string that ends elsewhere": ("", "SELECT 'a\\' AS x, loud(1) AS y, '' AS z"),
}


@pytest.mark.parametrize("trap", TRAPS)
def test_what_others_made_goes_alone(pg_own, trap):
    """Each text is run often enough to be known, tried, and taken along if anything took it."""
    setup, sql = TRAPS[trap]
    own = pg_own(LOUD + setup, connections=1)
    before = own.reads()
    for _ in range(12):
        own.client.post("/v1/sql/fetch-one", {"sql": sql})  # some are refused
        rows = own.run(SPRUNG, road="fetch-all")["rows"]
        assert rows[0]["trap"] in (None, "") and rows[0]["locks"] == 0
    assert own.reads() == before


SOUND = ["SELECT id, n FROM item WHERE id = 3", "SELECT \"n\" FROM public.item WHERE id BETWEEN 1 AND 2 ORDER BY id DESC LIMIT 1",
         "WITH x AS (SELECT max(n) AS m FROM item WHERE id < 10) SELECT lower(m::text) AS t, now() AS t2 FROM x",
         "SELECT count(*) AS c, to_json(array_agg(i.n))::text AS a FROM item i WHERE n IN (2, 4) /* why */ -- and so on\n",
         "VALUES (1, E'it\\'s', 'c''d', 1.5e3, $$x$$)"]


@pytest.mark.parametrize("sql", SOUND)
def test_what_the_server_brings_goes_along(pg_own, sql):
    warm(pg_own(connections=2), sql, [])


VIEWS = {
    "of a table": ("CREATE VIEW v AS SELECT id, n AS m FROM item", "SELECT m FROM v WHERE id = 3"),
    "of a view": ("CREATE VIEW w AS SELECT id, n AS m FROM item WHERE n > 2; CREATE VIEW v AS SELECT w.id, i.n FROM w JOIN item i USING (id)",
                  "SELECT n FROM v WHERE id = 3"),
    "that computes": ("CREATE VIEW v AS WITH x AS (SELECT id, n, row_number() OVER (ORDER BY id DESC) AS r FROM item) SELECT id, "
                      "CASE WHEN n IN (2, 4) THEN upper('few') ELSE coalesce(n::text, '') || '!' END AS t, r FROM x "
                      "UNION ALL SELECT 0, 'x', count(*) FROM item ORDER BY 1", "SELECT t, r FROM v WHERE id = 3"),
    "of moods": ("CREATE TYPE mood AS ENUM ('a', 'b'); CREATE TABLE moods (m mood); INSERT INTO moods VALUES ('a');"
                 "CREATE VIEW v AS SELECT m FROM moods WHERE m = 'a'::mood", "SELECT m FROM v"),
    "of names that look like another's tree": ("CREATE VIEW v AS SELECT n AS \"{ROWMARKCLAUSE :funcid 99999999}\" FROM item", "SELECT * FROM v LIMIT 1"),
}


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_of_plain_tables_goes_along(pg_own, view):
    setup, sql = VIEWS[view]
    warm(pg_own(setup, connections=2), sql, [])


def test_a_view_that_is_made_anew_is_noticed(pg_own):
    own = pg_own(LOUD + "CREATE VIEW v AS SELECT id, n FROM item", connections=1)
    sql = "SELECT n FROM v WHERE id = 3"
    warm(own, sql, [])
    own.run("CREATE OR REPLACE VIEW v AS SELECT id, loud(n) AS n FROM item")
    before = own.reads()
    for _ in range(12):
        own.run(sql, road="fetch-one")
        assert own.run(SPRUNG, road="fetch-all")["rows"][0]["trap"] in (None, "")
    assert own.reads() == before


def test_a_table_that_becomes_a_view_is_noticed(pg_own):
    own = pg_own(LOUD, connections=1)
    sql = "SELECT n FROM item WHERE id = 3"
    warm(own, sql, [])
    own.run("ALTER TABLE item RENAME TO under")
    own.run("CREATE VIEW item AS SELECT id, loud(n) AS n FROM under")
    before = own.reads()
    for _ in range(12):
        own.run(sql, road="fetch-one")
        assert own.run(SPRUNG, road="fetch-all")["rows"][0]["trap"] in (None, "")
    assert own.reads() == before


def test_a_write_that_leaves_nothing_costs_no_reset(pg_own):
    """Into plain tables; one into a table with a trigger of others' making does, each time."""
    own = pg_own(LOUD + "CREATE TABLE plain (id serial PRIMARY KEY, at timestamptz DEFAULT now(), n int);"
                 "CREATE TABLE loud_one (n int);"
                 "CREATE FUNCTION t() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM loud(1); RETURN NEW; END $$;"
                 "CREATE TRIGGER t BEFORE INSERT ON loud_one FOR EACH ROW EXECUTE FUNCTION t()", connections=1)

    def was_reset(sql):
        own.client.post("/v1/sql/execute", {"sql": sql, "args": [1]}).expect(200)
        last = own.psql("SELECT query FROM pg_stat_activity WHERE datname = current_database() "
                        "AND application_name LIKE 'ferrod%'")
        return not last.startswith(sql)
    for table, wanted in (("plain", False), ("loud_one", True)):
        sql = f"INSERT INTO {table} (n) VALUES ($1)"
        for _ in range(4):
            own.client.post("/v1/sql/execute", {"sql": sql, "args": [1]}).expect(200)
        assert [was_reset(sql) for _ in range(3)] == [wanted] * 3, table


NOT_SHARED = ["SELECT changes() AS x", "SELECT last_insert_rowid() AS x", "PRAGMA user_version",
              "SELECT * FROM pragma_table_info('item')", "EXPLAIN QUERY PLAN SELECT * FROM item",
              "INSERT INTO item VALUES (-1, 1) ON CONFLICT DO NOTHING RETURNING id", "SELECT hex(randomblob(4)) || 'a' AS x"]


@pytest.mark.parametrize("sql", NOT_SHARED)
def test_what_is_more_than_a_read_of_sqlite_goes_alone(lite_own, sql):
    own = lite_own()
    before = own.reads()
    for _ in range(12):
        own.client.post("/v1/sql/fetch-one", {"sql": sql}).expect(200)
    assert own.reads() == before
