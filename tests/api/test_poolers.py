"""Behind PgBouncer in transaction mode: one request never runs another's statement, and nothing that is set reaches others."""
import json
import threading

import pytest

from support.client import Client
from support.pgbouncer import PgBouncer
from support.process import wait_for
from support.server import Server, run_binary

N_MODELS = 40
ROWS = 50


def models():
    return [{"model_name": f"M{i}", "columns": [
        {"name": "id", "logical_type": "integer", "primary_key": True},
        {"name": "n", "logical_type": "integer"}, {"name": f"name_{i}", "logical_type": "string"}]} for i in range(N_MODELS)]


@pytest.fixture
def bounced(server, postgres_backend):
    """bounced(**pgbouncer settings) -> a client through it on N_MODELS tables of ROWS rows, each with its own numbers."""
    made = []
    with Client(server.port, timeout=60) as client:
        def connect(query="", pool=None, create=True, **settings):
            pg, database = postgres_backend.pg, postgres_backend.database
            if create:
                pg.psql("".join(
                    f"CREATE TABLE m{i} (id int PRIMARY KEY, n int NOT NULL, name_{i} text NOT NULL);"
                    f"INSERT INTO m{i} SELECT g, g * 1000 + {i}, 'm{i}-' || g FROM generate_series(1, {ROWS}) g;"
                    for i in range(N_MODELS)), database)
            bouncer = PgBouncer(pg, **settings)
            made.append(bouncer)
            client.post("/v1/connections", {"name": "bounced", "url": bouncer.url(database, query), "default": True,
                                            "pool": {"max_connections": 32, "acquire_timeout_seconds": 30, **(pool or {})}}).expect(201)
            client.put("/v1/models", {"models": models()}).expect(200)
            return client
        connect.psql = lambda text: postgres_backend.pg.psql(text, postgres_backend.database)
        yield connect
        client.delete("/v1/connections/bounced?force=true")
        client.put("/v1/default-connection", {"name": "default"}).expect(200)
    for bouncer in made:
        bouncer.__exit__()


def row(i, key):
    return {"id": key, "n": key * 1000 + i, f"name_{i}": f"m{i}-{key}"}


def check_reads(client, number):
    for step in range(12):
        i, key = (number * 7 + step * 3) % N_MODELS, (number + step) % ROWS + 1
        assert client.get(f"/v1/models/M{i}/records/{key}").expect(200).json() == row(i, key)
        rows = client.get(f"/v1/models/M{i}/records?n=gte.{key * 1000}&id=lte.{ROWS}&order=id&limit={step + 1}").expect(200).json()["rows"]
        assert rows == [row(i, k) for k in range(key, min(key + step, ROWS) + 1)]
        answer = client.post("/v1/query/count", {"model_name": f"M{i}"}).expect(200).json()
        assert answer["count"] >= ROWS
        sql = f"SELECT n, {number} AS who FROM m{i} WHERE id = $1"
        assert client.post("/v1/sql/fetch-all", {"sql": sql, "args": [key]}).expect(200).json()["rows"] == [
            {"n": key * 1000 + i, "who": number}]


def check_writes(client, number):
    for step in range(6):
        i, key = (number + step) % N_MODELS, 1000 + number * 100 + step
        new = row(i, key)
        assert client.post(f"/v1/models/M{i}/records", new).expect(201).json() == new
        new["n"] = step
        assert client.patch(f"/v1/models/M{i}/records/{key}", {"n": step}).expect(200).json() == new
        answer = client.post("/v1/batch", {"steps": [
            {"op": "create", "model": f"M{i}", "record": row(i, key + 50)},
            {"op": "update", "query": {"model_name": f"M{i}", "where": [{"node_kind": "leaf", "column": "id", "operator": "==", "value": key}]}, "set": {"n": 7}}]})
        answer.expect(200)
        tx = client.post("/v1/transactions").expect(201).json()["transaction_id"]
        headers = {"Ferro-Transaction": tx}
        assert client.get(f"/v1/models/M{i}/records/{key}", headers=headers).expect(200).json()["n"] == 7
        client.delete(f"/v1/models/M{i}/records/{key + 50}", headers=headers).expect(204)
        client.post(f"/v1/transactions/{tx}/commit").expect(200)
        client.get(f"/v1/models/M{i}/records/{key + 50}").expect(404)


def side_by_side(client, n, *checks):
    failures = []

    def work(number):
        try:
            with client.clone() as own:
                checks[number % len(checks)](own, number)
        except BaseException as e:  # pylint: disable=broad-except
            failures.append(repr(e)[:2000])
    threads = [threading.Thread(target=work, args=(number,)) for number in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(240)
    assert not failures, failures[:3]


@pytest.mark.parametrize("pooler", ["auto", "transaction"])
def test_every_answer_is_its_own(bounced, pooler):
    """64 clients, hundreds of different statements, two of the server's connections, nothing reset in between."""
    client = bounced(pool={"pooler": pooler})
    shown = client.get("/v1/connections/bounced").expect(200).json()["pool"]["pooler"]
    assert shown == "transaction"
    side_by_side(client, 64, check_reads, check_writes)
    for i in range(N_MODELS):
        assert client.get(f"/v1/models/M{i}/records/1").expect(200).json() == row(i, 1)


def test_connections_of_the_server_that_live_a_second(bounced):
    client = bounced(server_lifetime=1, server_idle_timeout=1)
    side_by_side(client, 24, check_reads, check_writes)


def test_search_path_goes_with_each_transaction(bounced):
    client = bounced(query="?ferro_search_path=other")
    bounced.psql("CREATE SCHEMA other; CREATE TABLE other.m0 AS SELECT id, -n AS n, name_0 FROM m0;"
                 "ALTER TABLE other.m0 ADD PRIMARY KEY (id)")
    for _ in range(4):
        assert client.get("/v1/models/M0/records/3").expect(200).json()["n"] == -3000
        assert client.post("/v1/sql/fetch-all", {"sql": "SELECT n FROM m0 WHERE id = 3"}).expect(200).json()["rows"] == [{"n": -3000}]
        tx = client.post("/v1/transactions").expect(201).json()["transaction_id"]
        answer = client.get("/v1/models/M0/records/3", headers={"Ferro-Transaction": tx}).expect(200)
        assert answer.json()["n"] == -3000
        client.post(f"/v1/transactions/{tx}/rollback").expect(200)


LEAKS = ["SET search_path = elsewhere", "SET timezone = 'America/New_York'", "SET default_transaction_read_only = on",
         "SELECT set_config('search_path', 'elsewhere', false)", "PREPARE p AS SELECT 1", "CREATE TEMP TABLE m1 (id int)",
         "SET bytea_output = escape", "SET statement_timeout = 1", "SET ROLE guarded"]


def seen_by_others(client):
    """What is to be as if nobody had said anything."""
    assert client.get("/v1/models/M1/records/3").expect(200).json() == row(1, 3)
    client.patch("/v1/models/M1/records/4", {"n": 1}).expect(200)
    seen = client.post("/v1/sql/fetch-all", {"sql": "SELECT current_setting('timezone') AS tz, current_user::text AS who, "
                                             "(SELECT count(*) FROM pg_prepared_statements WHERE name = 'p') AS p, "
                                             "current_setting('search_path') AS path"})
    assert seen.expect(200).json()["rows"] == [{"tz": "UTC", "who": "ferrod", "p": 0, "path": '"$user", public'}]


def say(client, *texts):
    """In a transaction, which the last of them may end."""
    tx = client.post("/v1/transactions").expect(201).json()["transaction_id"]
    for sql in texts:
        client.post("/v1/sql/execute", {"sql": sql}, headers={"Ferro-Transaction": tx}).expect(200)
    return tx


def say_and_end(client, sql, inside):
    if inside != "COMMIT":
        return client.post(f"/v1/transactions/{say(client, sql)}/commit") if inside else client.post("/v1/sql/execute", {"sql": sql})
    tx = say(client, sql)  # a client's own ends the transaction, too
    end = client.post("/v1/sql/execute", {"sql": inside}, headers={"Ferro-Transaction": tx})
    client.post(f"/v1/transactions/{tx}/rollback")
    return end


@pytest.mark.parametrize("inside", ["", "commit", "COMMIT"], ids=["alone", "transaction", "said"])
@pytest.mark.parametrize("sql", LEAKS)
def test_what_raw_sql_sets_stays_with_it(bounced, sql, inside):
    client = bounced(default_pool_size=1)
    for _ in range(3):
        end = say_and_end(client, sql, inside)
        for _ in range(20):  # who gives his own end a millisecond may see it cut, and nothing of it may stay either
            if "timeout" not in sql or end.status != 504:
                break
            end.problem(504, "statement_timeout")
            seen_by_others(client)
            end = say_and_end(client, sql, inside)
        end.expect(200)
        seen_by_others(client)


def test_what_the_server_says_of_our_own_words_is_not_told(bounced):
    client = bounced(default_pool_size=1)
    assert "notices" not in client.post("/v1/sql/fetch-all", {"sql": "SELECT 1 AS n"}).expect(200).json()
    said = client.post("/v1/sql/execute", {"sql": "DO $$ BEGIN RAISE NOTICE 'one'; RAISE WARNING 'two'; END $$"}).expect(200).json()["notices"]
    assert [notice["message"] for notice in said] == ["one", "two"]


def test_a_seed_stays_with_its_caller(bounced):
    """PostgreSQL's own DISCARD ALL leaves it."""
    client, numbers = bounced(default_pool_size=1), set()
    for inside in (False, True) * 2:
        if inside:
            client.post(f"/v1/transactions/{say(client, 'SELECT setseed(0.5)')}/commit").expect(200)
        else:
            client.post("/v1/sql/execute", {"sql": "SELECT setseed(0.5)"}).expect(200)
        numbers.add(client.post("/v1/sql/fetch-all", {"sql": "SELECT random() AS r"}).expect(200).json()["rows"][0]["r"])
    assert len(numbers) == 4


FAILS = ["DO $$ BEGIN EXECUTE 'PREPARE p AS SELECT 1'; PERFORM take(); RAISE 'no'; END $$", "SELECT take(), 1 / 0", "SELECT take(), 1 / (50 - g) FROM generate_series(1, 100) g",
         "SELECT take(), pg_sleep(20)", "INSERT INTO m0 VALUES (nextval('counted'), take(), NULL)", "PREPARE p AS SELECT 1 / 0; SELECT 1"]


@pytest.mark.parametrize("road", ["execute", "fetch-all", "model"])
def test_what_fails_leaves_nothing(bounced, road):
    """A failure undoes settings, but neither locks of the session nor prepared names, nor the seed: what would put them back does not run after it."""
    client = bounced(default_pool_size=1)
    bounced.psql("CREATE FUNCTION take() RETURNS int LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_lock(7); PERFORM setseed(0.5); RETURN 1; END $$; "
                 "CREATE SEQUENCE counted; CREATE TABLE trapped (id int PRIMARY KEY, n int DEFAULT take(), CHECK (n > 1))")
    client.put("/v1/models", {"models": models() + [{"model_name": "Trapped", "table_name": "trapped", "columns": [
        {"name": "id", "logical_type": "integer", "primary_key": True}]}]}).expect(200)
    numbers = set()
    for sql in ["model"] * 2 if road == "model" else FAILS:
        if road == "model":
            answer = client.post("/v1/models/Trapped/records", {"id": 1})
        else:
            answer = client.post(f"/v1/sql/{road}", {"sql": sql}, headers={"Prefer": "timeout=0.5"} if "sleep" in sql else None)
        assert answer.status in (400, 409, 422, 504), answer.body
        assert bounced.psql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").strip() == "0", sql
        seen_by_others(client)
        numbers.add(client.post("/v1/sql/fetch-all", {"sql": "SELECT random() AS r"}).expect(200).json()["rows"][0]["r"])
    assert len(numbers) == (2 if road == "model" else len(FAILS))


def test_what_commits_on_its_way_runs(bounced):
    client = bounced(default_pool_size=1)
    client.post("/v1/sql/execute", {"sql": "DO $$ BEGIN UPDATE m0 SET n = -1 WHERE id = 1; COMMIT; UPDATE m0 SET n = -2 WHERE id = 2; END $$"}).expect(200)
    bounced.psql("CREATE PROCEDURE half() LANGUAGE plpgsql AS $$ BEGIN UPDATE m0 SET n = -3 WHERE id = 3; COMMIT; RAISE 'no'; END $$")
    client.post("/v1/sql/execute", {"sql": "CALL half()"}).problem(400, "sql_error")
    assert [client.get(f"/v1/models/M0/records/{i}").expect(200).json()["n"] for i in (1, 2, 3)] == [-1, -2, -3]
    seen_by_others(client)


@pytest.mark.parametrize("end", ["end", "/* to */ COMMIT work", "commit transaction -- and chain", "COMMIT AND NO CHAIN", "ROLLBACK", "abort and no chain",
                                 "COMMIT AND CHAIN", "ROLLBACK AND CHAIN"])
def test_whatever_ends_it_what_was_set_goes_before(bounced, end):
    client = bounced(default_pool_size=1)
    client.post(f"/v1/transactions/{say(client, 'SET ROLE guarded', 'PREPARE p AS SELECT 1', end)}/rollback")
    seen_by_others(client)


@pytest.mark.parametrize("divide", ["ROLLBACK TO a", "rollback /* and */ work to savepoint a", "RELEASE a"])
def test_what_does_not_end_it_leaves_what_was_set(bounced, divide):
    client = bounced(default_pool_size=1)
    tx = say(client, "SAVEPOINT a", "PREPARE p AS SELECT 7 AS n", divide)
    answer = client.post("/v1/sql/fetch-all", {"sql": "EXECUTE p"}, headers={"Ferro-Transaction": tx})
    assert answer.expect(200).json()["rows"] == [{"n": 7}]
    client.post(f"/v1/transactions/{tx}/rollback")
    seen_by_others(client)


@pytest.mark.parametrize("sql", ["LISTEN news", "SELECT pg_advisory_lock(1)", "SELECT pg_try_advisory_lock_shared(1)"])
def test_what_needs_a_session_is_refused(bounced, sql):
    client = bounced()
    problem = client.post("/v1/sql/execute", {"sql": sql}).problem(400, "sql_error")
    assert "pooler" in problem["detail"]
    client.post("/v1/sql/execute", {"sql": "SELECT pg_advisory_xact_lock(1)"}).expect(200)


def test_what_runs_in_no_transaction_runs(bounced):
    client = bounced()
    client.post("/v1/sql/execute", {"sql": "VACUUM m0"}).expect(200)
    client.post("/v1/sql/execute", {"sql": "CREATE INDEX CONCURRENTLY by_n ON m0 (n)"}).expect(200)


def test_a_changed_table_is_read_anew(bounced):
    client = bounced()
    client.get("/v1/models/M0/records/3").expect(200)
    bounced.psql("ALTER TABLE m0 ALTER n TYPE bigint")
    for _ in range(4):
        assert client.get("/v1/models/M0/records/3").expect(200).json() == row(0, 3)


def test_migrations_and_bulk(bounced):
    client = bounced()
    client.put("/v1/models", {"models": models() + [{"model_name": "Fresh", "columns": [
        {"name": "id", "logical_type": "integer", "primary_key": True}]}]}).expect(200)
    client.post("/v1/create-tables", {}).expect(200)
    client.post("/v1/models/Fresh/records", {"records": [{"id": i} for i in range(1000)]}).expect(201)
    assert client.post("/v1/query/count", {"model_name": "Fresh"}).expect(200).json()["count"] == 1000
    client.post("/v1/introspect", {}).expect(200)


def test_without_a_pooler_none_is_found(postgres_conn):
    shown = postgres_conn.client.get(f"/v1/connections/{postgres_conn.name}").expect(200).json()["pool"]
    assert shown["pooler"] == "none"
    url = postgres_conn.backend.url
    answer = postgres_conn.client.post("/v1/connections", {"name": "odd", "url": url, "pool": {"pooler": "session"}})
    assert answer.problem(400, "invalid_request")["errors"][0]["pointer"] == "/pool/pooler"


# ---- every road beside every other ----

def check_roads(client, number):
    """Those that came after the first: each answer is of this client's own rows."""
    i = number % N_MODELS
    own, base = f"name_{i}", 100000 + number * 1000
    model, leaf = f"M{i}", {"node_kind": "leaf", "column": "id", "operator": "==", "value": base}
    rows = [row(i, base + k) for k in range(40)]
    session = client.session()
    for turn in range(3):
        made = client.post(f"/v1/models/{model}/records", {"records": rows}, headers={"Prefer": "return=representation"}).expect(201).json()
        assert made["rows_inserted"] == 40 and [r["id"] for r in made["records"]] == [r["id"] for r in rows]
        assert session.get(f"/v1/models/{model}/records/{base}").expect(200).json() == rows[0]
        lines = client.post("/v1/query", {"model_name": model, "where": [{**leaf, "operator": ">="}], "order_by": [{"column": "id"}], "limit": 40},
                            headers={"Accept": "application/x-ndjson"}).expect(200).text.splitlines()
        assert [json.loads(line) for line in lines[:40]] == rows
        answer = client.post("/v1/sql/fetch-one", {"sql": f"UPDATE m{i} SET n = -{number} WHERE id = $1 RETURNING n, {own} AS name", "args": [base]},
                             headers={"Ferro-Transaction": "new"}).expect(200)
        assert answer.json()["row"] == {"n": -number, "name": rows[0][own]}
        inside = client.clone(Ferro_Transaction=answer.header("Ferro-Transaction"))
        assert inside.get(f"/v1/models/{model}/records/{base}").expect(200).json()["n"] == -number
        inner = inside.post("/v1/transactions").expect(201).json()["transaction_id"]
        savepoint = client.clone(Ferro_Transaction=inner)
        savepoint.patch(f"/v1/models/{model}/records/{base}", {"n": 1}).expect(200)
        savepoint.post(f"/v1/transactions/{inner}/rollback").expect(200)
        last = inside.post("/v1/query/first", {"model_name": model, "where": [leaf]},
                           headers={"Ferro-Transaction-End": "commit" if turn else "rollback"}).expect(200)
        assert last.json()["row"]["n"] == -number
        steps = [{"op": "sql.fetch_one", "sql": f"SELECT {number} AS who, '{own}' AS what"},
                 {"op": "get", "model": model, "pk": base + 7, "as": "seven"},
                 {"op": "sql.fetch_one", "sql": f"SELECT {own} AS name FROM m{i} WHERE n = $1 AND id = $2", "args": [{"$ref": "seven.n"}, base + 7]},
                 {"op": "count", "query": {"model_name": model, "where": [{**leaf, "operator": ">="}, {**leaf, "operator": "<", "value": base + 40}]}}]
        for atomic in (True, False):
            bodies = [r["body"] for r in client.post("/v1/batch", {"steps": steps, "atomic": atomic}).expect(200).json()["results"]]
            assert bodies[0]["row"] == {"who": number, "what": own} and bodies[1] == rows[7]
            assert bodies[2]["row"] == {"name": rows[7][own]} and bodies[3]["count"] == 40
        key = {"Idempotency-Key": f"k{number}-{turn}"}
        new = row(i, base + 500 + turn)
        assert client.post(f"/v1/models/{model}/records", new, headers=key).expect(201).json() == new
        assert client.post(f"/v1/models/{model}/records", new, headers=key).expect(201).json() == new
        dry = client.post("/v1/query/delete", {"model_name": model, "where": [leaf]}, headers={"Prefer": "tx=rollback"}).expect(200).json()
        assert dry["rows_affected"] == 1
        assert client.post("/v1/query/delete", {"model_name": model, "where": [{**leaf, "operator": ">="}, {**leaf, "operator": "<", "value": base + 40}]}
                           ).expect(200).json()["rows_affected"] == 40
        session.delete("/v1/session/identity-map").expect(204)
    session.delete("/v1/session").expect(204)


def check_late(client, number):
    """Statements whose time is over are cancelled, and nobody else's in their place."""
    for _ in range(4):
        client.post("/v1/sql/fetch-one", {"sql": f"SELECT pg_sleep(10), {number} AS who"}, headers={"Prefer": "timeout=0.5"}).problem(504, "statement_timeout")
        assert client.post("/v1/sql/fetch-one", {"sql": f"SELECT {number} AS who"}).expect(200).json()["row"] == {"who": number}


@pytest.mark.parametrize("once", [False, True], ids=["kept here", "exactly once"])
def test_every_road_beside_every_other(bounced, once):
    client = bounced(default_pool_size=2)
    if once:
        shown = client.get("/v1/connections/bounced").expect(200).json()
        client.delete("/v1/connections/bounced?force=true")
        client.post("/v1/connections", {"name": "bounced", "url": shown["url"], "default": True, "exactly_once": True,
                                        "pool": {"max_connections": 32, "acquire_timeout_seconds": 60}}).expect(201)
    side_by_side(client, 24, check_roads, check_reads, check_roads, check_writes)


def test_nobody_is_cancelled_in_anothers_place(bounced):
    client = bounced(default_pool_size=3)
    side_by_side(client, 24, check_late, check_reads, check_writes)


def test_a_state_behind_a_pooler_is_followed(postgres_backend, tmp_path):
    """Nothing is heard there, so it is looked for."""
    with PgBouncer(postgres_backend.pg) as bouncer:
        key = tmp_path / "key"
        key.write_text(run_binary("key", "seal")[1])
        args = ["--state-url", bouncer.url(postgres_backend.database), "--state-key-file", str(key), "--default-url", "", "--drain-notice-seconds", "0"]
        with Server(*args, "--node", "a") as a, Server(*args, "--node", "b") as b, Client(a.port) as first, Client(b.port) as second:
            first.post("/v1/connections", {"name": "told", "url": "sqlite::memory:"}).expect(201)
            first.put("/v1/models", {"models": models()[:1]}).expect(200)
            wait_for(lambda: second.get("/v1/connections/told", validate=False).status == 200 and second.get("/v1/models/M0", validate=False).status == 200,
                     10, "what the other was told")
            assert [n["node"] for n in second.get("/v1/nodes").expect(200).json()["nodes"]] == ["a", "b"]


# ---- what is asked for ----

def shown_pooler(client, name="asked"):
    client.post("/v1/sql/fetch-all", {"sql": "SELECT 1 AS one", "using": name}).expect(200)   # something is connected
    return client.get(f"/v1/connections/{name}").expect(200).json()["pool"]["pooler"]


def test_another_pooler_is_another_connection(postgres_conn):
    client, url = postgres_conn.client, postgres_conn.backend.url
    asked = {"name": "asked", "url": url, "pool": {"pooler": "transaction"}}
    client.post("/v1/connections", asked).expect(201)
    try:
        client.post("/v1/connections", asked).expect(200)
        client.post("/v1/connections", {**asked, "pool": {"pooler": "none"}}).problem(409, "connection_exists")
        assert shown_pooler(client) == "transaction"
    finally:
        client.delete("/v1/connections/asked?force=true")


def test_the_pooler_that_was_asked_for_survives_a_restart(postgres_backend, tmp_path):
    args = ["--default-url", "sqlite::memory:", "--state-url", f"sqlite:{tmp_path}/state.db?mode=rwc"]
    with Server(*args) as server, Client(server.port) as client:
        client.post("/v1/connections", {"name": "asked", "url": postgres_backend.url, "pool": {"pooler": "transaction"}}).expect(201)
    with Server(*args) as server, Client(server.port) as client:
        assert shown_pooler(client) == "transaction"


def test_a_declared_connection_takes_another_pooler(postgres_backend, tmp_path):
    path = tmp_path / "catalog.json"

    def declare(pooler):
        path.write_text(json.dumps({"connections": [{"name": "asked", "url": postgres_backend.url, "pool": {"pooler": pooler}}]}))

    declare("transaction")
    with Server("--catalog", str(path)) as server, Client(server.port) as client:
        assert shown_pooler(client) == "transaction"
        for pooler in ("none", "transaction", "none"):
            declare(pooler)
            assert client.post("/v1/catalog/reload").expect(200).json()["changed"] == ["connection:asked"]
            assert shown_pooler(client) == pooler
            session = client.post("/v1/sql/execute", {"sql": "LISTEN told", "using": "asked"})
            assert (session.status == 200) == (pooler == "none"), session.body   # wants a connection of its own

# ---- however many names it keeps ----

# each a client's statement, and the status it has
OWN = [("SELECT 1/0", 400), ("SELECT no_such()", 400), ("SET work_mem = '8MB'", 200), ("PREPARE own AS SELECT 1", 200),
       ('PREPARE "of ""mine" AS SELECT 1', 200), ('PREPARE "prepare" AS SELECT 1', 200), ("INSERT INTO m1 SELECT * FROM m1", 409),
       ("DO $$ BEGIN EXECUTE 'PREPARE hidden AS SELECT 1'; END $$", 200)]


def check_own(client, number):
    """What a client says itself, that fails and that does not, beside what others ask for."""
    for turn in range(6):
        sql, status = OWN[(number + turn) % len(OWN)]
        client.post("/v1/sql/execute", {"sql": sql}).expect(status)
        assert client.get(f"/v1/models/M{turn}/records/{number + 1}").expect(200).json() == row(turn, number + 1)


@pytest.mark.parametrize("kept_names", [0, 3, 200] if PgBouncer.keeps_names() else [None])
def test_however_many_names_pgbouncer_keeps(bounced, kept_names):
    """None at all, fewer than there are, and its own number: two of the server's connections for all."""
    client = bounced(**({} if kept_names is None else {"max_prepared_statements": kept_names}))
    side_by_side(client, 24, check_reads, check_own, check_writes)
    side_by_side(client, 12, check_reads, check_roads, check_own)
