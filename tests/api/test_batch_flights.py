"""Atomic batches on PostgreSQL travel as one pipeline: BEGIN, steps that need no other's answer, COMMIT; what fails in it undoes all of it."""
import socket
import threading
import time
import uuid

import pytest

from support.client import Client
from support.fake_pg import Answer, FakePostgres, Refuse
from support.process import wait_for
from support.road import flights, put, raw, road  # noqa: F401


def test_one_flight(road):
    answer, seen = flights(road, put(1001), put(1002), raw("UPDATE t SET v = 'y' WHERE id IN ($1, $2)", 1001, 1002))
    assert answer == {"results": [{"status": 200, "body": {"rows_affected": n}} for n in (1, 1, 2)], "committed": True}
    assert seen[0].index(b"ferrod_begin_0\0") < seen[0].index(b"ferrod_commit\0")
    assert road.ids() == [1001, 1002]


def test_two_when_steps_refer_to_each_other(road):
    answer, _ = flights(road, raw("INSERT INTO t (id) VALUES (1001) RETURNING id", op="sql.fetch_one", **{"as": "a"}), put({"$ref": "a.row.id"}, "z") | {
        "sql": "INSERT INTO t (id, v) VALUES ($1 + 1, $2)"}, raw("UPDATE t SET v = v || '!' WHERE id = $1 + 1", {"$ref": "a.row.id"}), n=2)
    assert [r["body"].get("rows_affected") for r in answer["results"]] == [None, 1, 1]
    assert road.psql("SELECT v FROM t WHERE id = 1002") == "z!"


def test_two_when_a_condition_looks_back(road):
    steps = raw("DELETE FROM t WHERE id = 7", **{"as": "gone"}), put(1001) | {"if": {"step": "gone", "is": "nonempty"}}, put(1002), put(1003)
    answer, _ = flights(road, *steps, n=2)
    assert answer["results"][1] == {"skipped": True}
    assert road.ids() == [1002, 1003]


def test_rows_that_may_be_refused_keep_commit_back(road):
    """Its answer may yet be too long: COMMIT is a flight of its own."""
    answer, seen = flights(road, raw("SELECT 1 AS a UNION SELECT 2 ORDER BY 1", op="sql.fetch_one"), put(1001),
                           raw("SELECT id FROM t", op="sql.fetch_all"), n=2)
    assert answer["results"][0]["body"]["row"] == {"a": 1}
    assert answer["results"][2]["body"]["rows"] == [{"id": 1001}]
    assert b"INSERT" not in seen[1]


@pytest.mark.parametrize("bad", [0, 1, 2, 3])
def test_a_failing_step_undoes_all_and_is_named(road, bad):
    steps = [put(n) for n in (1, 2, 3, 4)]
    steps[bad] = raw("INSERT INTO t (id) VALUES ($1 / 0)", 1)
    for _ in range(3):
        problem = road.batch(*steps).problem(400, "sql_error")
        assert (problem["step"], problem["sqlstate"], problem["outcome"]) == (bad, "22012", "rolled_back"), problem
        assert road.ids() == []
    road.batch(put(1), put(2)).expect(200)  # the connection is as good as before
    assert road.ids() == [1, 2]


def test_what_is_refused_before_it_is_sent(road):
    for steps, at, code in (([put(1), raw("COPY t FROM STDIN"), put(2)], 1, "sql_error"),
                            ([put(1), put(2), raw("INSERT INTO t (id) VALUES ($1)", 3, 4)], 2, "invalid_parameters"),
                            ([put(1), put(2), raw("-- nothing")], 2, "sql_error"),
                            ([put(1), raw("/* nothing */"), put(2)], 1, "sql_error"),
                            ([put(1), raw("SAVEPOINT sp_1"), put(2)], 1, "sql_error"),
                            ([put(1), put(2), raw("INSERT INTO t (id) VALUES (5); SELECT 1")], 2, "sql_error")):
        answer = road.batch(*steps)
        assert answer.json()["code"] == code and answer.json()["step"] == at and answer.json()["outcome"] == "rolled_back", answer.body
        assert road.ids() == [], steps


def test_a_deferred_constraint_fails_at_the_commit_that_travelled(road):
    for _ in range(3):
        problem = road.batch(put(1), raw("INSERT INTO t (id, up) VALUES (2, 99)")).json()
        assert (problem["sqlstate"], problem["outcome"]) == ("23503", "rolled_back"), problem
        assert road.ids() == []
    road.batch(put(1), raw("INSERT INTO t (id, up) VALUES (2, 1)")).expect(200)
    assert road.ids() == [1, 2]


def test_guards_are_looked_at_before_it_is_committed(road):
    road.batch(put(1), put(2), put(3)).expect(200)
    headers = {"Prefer": "max-affected=1, handling=strict"}
    steps = put(4), raw("UPDATE t SET v = 'all'"), put(5)
    for _ in range(3):
        problem = road.batch(*steps, headers=headers).json()
        assert (problem["step"], problem["outcome"]) == (1, "rolled_back"), problem
    assert road.ids() == [1, 2, 3]
    assert road.psql("SELECT count(*) FROM t WHERE v = 'all'") == "0"
    problem = road.batch(put(4), raw("SELECT 1 AS a, 2 AS a", op="sql.fetch_all"), put(5)).json()
    assert problem["outcome"] == "rolled_back" and problem["step"] == 1, problem
    assert road.ids() == [1, 2, 3]
    answer = road.batch(put(4), raw("UPDATE t SET v = 'all'"), headers={"Prefer": "tx=rollback"}).expect(200).json()
    assert answer["committed"] is False
    assert road.ids() == [1, 2, 3]


def test_one_text_many_times_and_more_than_a_flight_holds(road):
    text = f"INSERT INTO t (id) VALUES ($1) /* {uuid.uuid4().hex} */"
    answer = road.batch(*(raw(text, n) for n in range(150))).expect(200).json()
    assert len(answer["results"]) == 150
    assert road.ids() == list(range(150))
    texts = [raw(f"INSERT INTO t (id) VALUES ({n}) /* {uuid.uuid4().hex} */") for n in range(1000, 1250)]
    road.batch(*texts).expect(200)
    assert len(road.ids()) == 400
    for _ in range(3):  # what the connection has forgotten is prepared again
        road.batch(raw("DELETE FROM t WHERE id >= 1000"), *texts[:100]).expect(200)
    assert len(road.ids()) == 250


def test_ddl_and_what_uses_it(road):
    for n in range(3):
        answer = road.batch(raw("DROP TABLE IF EXISTS made"), raw("CREATE TABLE made (n int)"), raw("INSERT INTO made VALUES (1), (2)"),
                            raw("ALTER TABLE made ADD m int DEFAULT 5"), raw("SELECT * FROM made ORDER BY n", op="sql.fetch_all"),
                            raw("DEALLOCATE ALL"), raw("INSERT INTO made VALUES (3)")).expect(200).json()
        assert answer["results"][4]["body"]["rows"] == [{"n": 1, "m": 5}, {"n": 2, "m": 5}]
    assert road.psql("SELECT count(*) FROM made") == "3"


def test_a_plan_that_is_older_than_its_table(road):
    road.psql("CREATE TABLE made (n int)")
    steps = raw("INSERT INTO made VALUES ($1)", 1), raw("SELECT * FROM made", op="sql.fetch_all"), raw("SELECT * FROM made LIMIT 1", op="sql.fetch_one")
    for n in range(4):
        road.batch(*steps).expect(200)
        road.psql(f"ALTER TABLE made ADD m{n} int")
        answer = road.batch(*steps).expect(200).json()
        assert f"m{n}" in answer["results"][2]["body"]["row"]
    assert road.psql("SELECT count(*) FROM made") == "8"


def test_rows_that_nobody_reads_stand_in_nobodys_way(road):
    answer = road.batch(put(1), raw("SELECT n FROM generate_series(1, 50000) n", op="sql.fetch_one"), put(2),
                        raw("SELECT n FROM generate_series(1, 20000) n", op="sql.fetch_all"), put(3)).expect(200).json()
    assert answer["results"][1]["body"]["row"] == {"n": 1}
    assert len(answer["results"][3]["body"]["rows"]) == 20000
    assert road.ids() == [1, 2, 3]
    # one that fails behind its first row has aborted the transaction
    problem = road.batch(put(4), raw("SELECT 1 / (3 - n) AS n FROM generate_series(1, 9) n", op="sql.fetch_one"), put(5)).json()
    assert problem["outcome"] == "rolled_back" and problem["step"] in (1, 2), problem
    assert road.ids() == [1, 2, 3]


def test_notices_belong_to_their_step(road):
    say = "DO $$ BEGIN RAISE NOTICE '%s'; END $$"
    road.psql("CREATE FUNCTION say(t text) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE '%', t; RETURN 1; END $$")
    answer = road.batch(raw("SELECT say('one')"), put(1), raw("SELECT say('three')"), raw(say % "four")).expect(200).json()
    told = [[n["message"] for n in r["body"].get("notices", [])] for r in answer["results"]]
    assert told == [["one"], [], ["three"], ["four"]]


def test_a_mapped_record_after_a_flight_that_failed(road):
    model = f"T{uuid.uuid4().hex[:8]}"
    road.client.post("/v1/models", {"models": [{"model_name": model, "table_name": "t", "columns": [
        {"name": "id", "logical_type": "integer", "primary_key": True}, {"name": "v", "logical_type": "string", "nullable": True}]}]}).expect(200)
    road.batch(put(1), put(2)).expect(200)
    session = {"Ferro-Session": road.client.post("/v1/sessions", {"using": "road"}).expect(201).header("Ferro-Session")}
    record = f"/v1/models/{model}/records/1"
    assert road.client.get(record, headers=session).expect(200).json()["v"] == "x"
    steps = raw("UPDATE t SET v = 'y' WHERE id = 1"), raw("UPDATE t SET v = 'y' WHERE id = 1 / 0")
    body = {"steps": list(steps)}
    road.client.post("/v1/batch", body, headers=session).problem(400, "sql_error")
    assert road.client.get(record, headers=session).expect(200).json()["v"] == "x"
    body["steps"].pop()
    body["steps"].append(put(3))
    road.client.post("/v1/batch", body, headers=session).expect(200)
    assert road.client.get(record, headers=session).expect(200).json()["v"] == "y"
    road.client.delete("/v1/sessions", headers=session)
    road.client.delete(f"/v1/models/{model}").expect(204)


def test_a_client_that_leaves_in_the_middle(road):
    """Nothing of it remains, nothing of it runs on, and the connection goes on."""
    body = b'{"using": "road", "steps": [{"op": "sql.execute", "sql": "INSERT INTO t (id) VALUES (1)"}, {"op": "sql.execute", "sql": "SELECT pg_sleep(60)"}, {"op": "sql.execute", "sql": "INSERT INTO t (id) VALUES (2)"}]}'
    one = socket.create_connection(("127.0.0.1", road.client.port))
    one.sendall(b"POST /v1/batch HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    sleeps = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND state = 'active' AND pid <> pg_backend_pid()"
    wait_for(lambda: road.psql(sleeps) == "1", 20, "it runs")
    one.close()
    wait_for(lambda: road.psql(sleeps) == "0", 20, "it is cancelled")
    wait_for(lambda: road.batch(put(3), put(4)).status == 200, 20, "the connection")
    assert road.ids() == [3, 4]


def test_a_step_that_takes_too_long(road):
    began = time.monotonic()
    problem = road.batch(put(1), raw("SELECT pg_sleep(60)"), put(2), headers={"Prefer": "timeout=1"}).json()
    assert time.monotonic() - began < 20
    assert problem["code"] == "statement_timeout" and problem["outcome"] == "rolled_back" and problem["step"] == 1, problem
    road.batch(put(3), put(4)).expect(200)
    assert road.ids() == [3, 4]


def test_the_pools_time_for_a_statement(road):
    """What travels together has its time together; the one that took it is named."""
    road.client.delete("/v1/connections/road?force=true")
    url = f"postgres://ferrod@127.0.0.1:{road.port}/{road.psql('SELECT current_database()')}?sslmode=disable"
    road.client.post("/v1/connections", {"name": "road", "url": url, "pool": {"max_connections": 1, "statement_timeout_seconds": 0.7}}).expect(201)
    road.batch(raw("SELECT pg_sleep(0.5)"), put(1), raw("SELECT pg_sleep(0.5)")).expect(200)
    began = time.monotonic()
    problem = road.batch(put(2), put(3), raw("SELECT pg_sleep(60)"), put(4)).json()
    assert time.monotonic() - began < 20
    assert (problem["code"], problem["outcome"], problem["step"]) == ("statement_timeout", "rolled_back", 2), problem
    road.batch(put(5), put(6)).expect(200)
    assert road.ids() == [1, 5, 6]


@pytest.mark.parametrize("when, kept", [("before", []), ("after", [1, 2, 3])])
def test_a_connection_that_is_lost_with_the_flight(road, when, kept):
    road.batch(raw("SELECT 1")).expect(200)
    road.cut = when
    problem = road.batch(put(1), put(2), put(3)).problem(503, "database_unavailable")
    assert problem["outcome"] == "unknown"
    wait_for(lambda: road.ids() == kept, 20, "the server's own end")


@pytest.mark.parametrize("word, outcome", [(None, "unknown"), ("FATAL", "rolled_back")])
@pytest.mark.parametrize("at", [1, 2])
def test_a_server_that_goes_in_the_middle(server, word, outcome, at):
    """Without a word nobody knows whether it came to COMMIT; its last word in a step's place says that it did not."""
    seen = []

    def answer(sql):
        if sql.startswith("INSERT"):
            seen.append(sql)
            if f"({at})" in sql:
                if word is None:
                    raise OSError
                raise Gone
            return Answer(tag="INSERT 0 1")
        return None

    class Gone(Refuse):
        def __init__(self):
            super().__init__("57P01", "terminating connection", "FATAL")

    with FakePostgres(answer) as fake, Client(server.port, timeout=30) as client:
        client.post("/v1/connections", {"name": "gone", "url": fake.url, "pool": {"max_connections": 1}}).expect(201)
        steps = [raw(f"INSERT INTO t VALUES ({n})") for n in (1, 2, 3)]
        problem = client.post("/v1/batch", {"using": "gone", "steps": steps}).problem(503, "database_unavailable")
        client.delete("/v1/connections/gone?force=true")
    assert problem["outcome"] == outcome and problem["step"] == at - 1, problem
    assert len(seen) == at


def test_many_at_once_keep_their_answers(road, conn=None):
    """Batches side by side, some of which fail: each is told its own."""
    road.client.delete("/v1/connections/road?force=true")
    url = f"postgres://ferrod@127.0.0.1:{road.port}/{road.psql('SELECT current_database()')}?sslmode=disable"
    road.client.post("/v1/connections", {"name": "road", "url": url, "pool": {"max_connections": 4}}).expect(201)
    wrong = []

    def one(base):
        with Client(road.client.port, timeout=60) as client:
            for n in range(base, base + 200, 2):
                fails = n % 3 == 0
                steps = [put(n), raw("SELECT $1::int / $2::int AS q", n, 0 if fails else 1, op="sql.fetch_one"), put(n + 1)]
                answer = client.post("/v1/batch", {"using": "road", "steps": steps})
                good = answer.status == 400 and answer.json()["step"] == 1 if fails else (
                    answer.status == 200 and answer.json()["results"][1]["body"]["row"] == {"q": n})
                if not good:
                    wrong.append((n, answer.status, answer.body))

    threads = [threading.Thread(target=one, args=(base,)) for base in range(0, 1600, 200)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert wrong == []
    assert road.ids() == [m for n in range(0, 1600, 2) if n % 3 for m in (n, n + 1)]
