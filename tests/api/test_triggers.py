"""Triggers that change what was written, swallow it or send it elsewhere: the answer is what stands, and says so."""
import pytest

from support.schema import run
from support.tables import sql

POSTGRES = """
CREATE TABLE soft (id int PRIMARY KEY, v text, deleted boolean NOT NULL DEFAULT false); INSERT INTO soft VALUES (1, 'a', false);
CREATE FUNCTION f_soft() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE soft SET deleted = true WHERE id = OLD.id; RETURN NULL; END $$;
CREATE TRIGGER tsoft BEFORE DELETE ON soft FOR EACH ROW EXECUTE FUNCTION f_soft();
CREATE TABLE ev (id serial PRIMARY KEY, v text); CREATE TABLE ev_child (id serial PRIMARY KEY, v text);
CREATE FUNCTION f_red() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO ev_child (v) VALUES (NEW.v); RETURN NULL; END $$;
CREATE TRIGGER tred BEFORE INSERT ON ev FOR EACH ROW EXECUTE FUNCTION f_red();
CREATE TABLE lockd (id int PRIMARY KEY, v text); INSERT INTO lockd VALUES (1, 'old');
CREATE FUNCTION f_lock() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER tl BEFORE INSERT OR UPDATE ON lockd FOR EACH ROW EXECUTE FUNCTION f_lock();
CREATE TABLE aft (id serial PRIMARY KEY, v text UNIQUE, n int);
CREATE FUNCTION f_aft() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE aft SET n = COALESCE(n, 0) + 100 WHERE id = NEW.id; RETURN NULL; END $$;
CREATE TRIGGER taft AFTER INSERT OR UPDATE OF v ON aft FOR EACH ROW EXECUTE FUNCTION f_aft();
CREATE TABLE gone (id serial PRIMARY KEY, v text); CREATE TABLE kept (id int, v text);
CREATE FUNCTION f_gone() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO kept VALUES (OLD.id, OLD.v); RETURN OLD; END $$;
CREATE TRIGGER tgone BEFORE DELETE ON gone FOR EACH ROW EXECUTE FUNCTION f_gone(); INSERT INTO gone (v) VALUES ('x');
CREATE TABLE red (id serial PRIMARY KEY, v text UNIQUE);
CREATE TRIGGER tred BEFORE INSERT ON red FOR EACH ROW EXECUTE FUNCTION f_red();
CREATE TABLE task (id int PRIMARY KEY, state text, n int); CREATE TABLE archive (id int, state text);
CREATE FUNCTION f_task() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO archive VALUES (NEW.id, NEW.state);
  IF NEW.state = 'moved' THEN UPDATE task SET id = id + 1000, state = 'there' WHERE id = NEW.id;
  ELSE DELETE FROM task WHERE id = NEW.id; END IF; RETURN NULL; END $$;
CREATE TRIGGER ttask AFTER INSERT OR UPDATE ON task FOR EACH ROW WHEN (NEW.state IN ('moved', 'done')) EXECUTE FUNCTION f_task();
INSERT INTO task SELECT i, 'open', 0 FROM generate_series(1, 9) i;
CREATE TABLE o (id serial PRIMARY KEY, item text);
CREATE FUNCTION f_say() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF NEW.item = 'own state' THEN RAISE EXCEPTION 'said so' USING ERRCODE = 'ZZ001'; END IF;
  RAISE EXCEPTION 'stock too low' USING HINT = 'order less'; END $$;
CREATE TRIGGER tsay BEFORE INSERT ON o FOR EACH ROW EXECUTE FUNCTION f_say();
"""
SQLITE = """CREATE TABLE soft (id integer PRIMARY KEY, v text, deleted boolean NOT NULL DEFAULT 0);
INSERT INTO soft VALUES (1, 'a', 0);
CREATE TRIGGER tsoft BEFORE DELETE ON soft BEGIN UPDATE soft SET deleted = 1 WHERE id = OLD.id; SELECT RAISE(IGNORE); END;
CREATE TABLE ev (id integer PRIMARY KEY, v text);
CREATE TABLE ev_child (id integer PRIMARY KEY, v text);
CREATE TRIGGER tred BEFORE INSERT ON ev BEGIN INSERT INTO ev_child (v) VALUES (NEW.v); SELECT RAISE(IGNORE); END;
CREATE TABLE lockd (id integer PRIMARY KEY, v text);
INSERT INTO lockd VALUES (1, 'old');
CREATE TRIGGER tl BEFORE UPDATE ON lockd BEGIN SELECT RAISE(IGNORE); END;
CREATE TRIGGER tli BEFORE INSERT ON lockd BEGIN SELECT RAISE(IGNORE); END;
CREATE TABLE aft (id integer PRIMARY KEY, v text UNIQUE, n int);
CREATE TRIGGER taft AFTER INSERT ON aft BEGIN UPDATE aft SET n = COALESCE(n, 0) + 100 WHERE id = NEW.id; END;
CREATE TRIGGER taftu AFTER UPDATE OF v ON aft BEGIN UPDATE aft SET n = COALESCE(n, 0) + 100 WHERE id = NEW.id; END;
CREATE TABLE gone (id integer PRIMARY KEY, v text);
CREATE TABLE kept (id int, v text);
INSERT INTO gone VALUES (1, 'x');
CREATE TRIGGER tgone BEFORE DELETE ON gone BEGIN INSERT INTO kept VALUES (OLD.id, OLD.v); END;
CREATE TABLE red (id integer PRIMARY KEY, v text UNIQUE);
CREATE TRIGGER tredu BEFORE INSERT ON red BEGIN INSERT INTO ev_child (v) VALUES (NEW.v); SELECT RAISE(IGNORE); END;
CREATE TABLE task (id integer PRIMARY KEY, state text, n int);
CREATE TABLE archive (id int, state text);
CREATE TRIGGER tmoved AFTER UPDATE ON task WHEN NEW.state = 'moved' BEGIN
  INSERT INTO archive VALUES (NEW.id, NEW.state); UPDATE task SET id = id + 1000, state = 'there' WHERE id = NEW.id; END;
CREATE TRIGGER tdone AFTER UPDATE ON task WHEN NEW.state = 'done' BEGIN
  INSERT INTO archive VALUES (NEW.id, NEW.state); DELETE FROM task WHERE id = NEW.id; END;
CREATE TRIGGER tnew AFTER INSERT ON task WHEN NEW.state = 'done' BEGIN
  INSERT INTO archive VALUES (NEW.id, NEW.state); DELETE FROM task WHERE id = NEW.id; END;
INSERT INTO task WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < 9) SELECT i, 'open', 0 FROM r;
CREATE TABLE o (id integer PRIMARY KEY, item text);
CREATE TRIGGER tsay BEFORE INSERT ON o BEGIN SELECT RAISE(ABORT, 'stock too low'); END"""


@pytest.fixture
def db(conn):
    run(conn.backend, SQLITE if conn.backend.name == "sqlite" else POSTGRES)
    conn.client.post("/v1/introspect", {"register": True, "using": conn.name}).expect(200)

    def send(method, path, body=None, client=None, params=None, **headers):
        return (client or conn.client).request(method, f"/v1/models/{path}", body, params={**conn.using, **(params or {})},
                                               headers={k.replace("_", "-"): v for k, v in headers.items()})
    conn.send = send
    conn.count = lambda table: sql(conn.client, f"SELECT count(*) AS n FROM {table}", using=conn.name).json()["rows"][0]["n"]
    return conn


def test_a_soft_delete(db):
    answer = db.send("DELETE", "soft/records/1").expect(204)
    assert answer.header("Ferro-Affected") == "0"
    assert db.send("GET", "soft/records/1").expect(200).json()["deleted"] in (True, 1)
    db.send("DELETE", "soft/records/2").problem(404, "record_not_found")
    assert db.send("DELETE", "gone/records/1").expect(204).header("Ferro-Affected") is None
    assert (db.count("gone"), db.count("kept")) == (0, 1)


def test_a_redirected_insert(db):
    answer = db.send("POST", "ev/records", {"v": "x"}).expect(204)
    assert answer.header("Ferro-Affected") == "0" and answer.body == b"" and answer.header("Location") is None
    assert (db.count("ev"), db.count("ev_child")) == (0, 1)
    assert db.send("PUT", "ev/records/7", {"v": "y"}).expect(204).header("Ferro-Affected") == "0"
    assert db.send("POST", "ev/records", {"records": [{"v": "a"}, {"v": "b"}]}).expect(201).json() == {"rows_inserted": 0}
    body = db.client.post("/v1/batch", {"using": db.name, "steps": [{"op": "create", "model": "ev", "record": {"v": "z"}}]}).expect(200).json()
    assert body["results"] == [{"status": 204, "body": None}] and db.count("ev") == 0


@pytest.mark.parametrize("verb", ["get-or-create", "update-or-create"])
def test_get_or_create_of_what_is_not_made(db, verb):
    answer = db.send("POST", f"lockd/{verb}", {"where": {"v": "other", "id": 4}}).expect(200)
    assert answer.json() == {"record": None, "created": False} and answer.header("Ferro-Affected") == "0"
    answer = db.send("POST", f"lockd/{verb}", {"where": {"id": 5}, "defaults": {"v": "x"}}).expect(200)
    assert answer.json() == {"record": None, "created": False} and answer.header("Ferro-Affected") == "0"
    assert db.send("POST", f"lockd/{verb}", {"where": {"v": "old"}}).expect(200).json()["record"] == {"id": 1, "v": "old"}


@pytest.mark.parametrize("verb", ["get-or-create", "update-or-create"])
def test_what_is_sent_elsewhere_is_sent_once(db, verb):
    """That nothing was inserted is no reason to try again: the trigger has done its work."""
    for key, (n, where) in enumerate((n, where) for n in (1, 2) for where in ({"v": f"u{n}"}, {"id": 100 + n})):
        answer = db.send("POST", f"red/{verb}", {"where": where, "defaults": {"v": f"u{n}"}}).expect(200)
        assert answer.json() == {"record": None, "created": False} and answer.header("Ferro-Affected") == "0"
        assert db.count("ev_child") == key + 1


@pytest.mark.parametrize("state", ["moved", "done"])
def test_what_a_trigger_takes_away_was_written_once(db, state):
    """An AFTER trigger that files the record elsewhere: no 404, for it was there, and no second one is made in its place."""
    changes = [lambda: db.send("PATCH", "task/records/1", {"state": state}),
               lambda: db.send("PATCH", "task/records/2", {"state": state}, If_Match=db.send("GET", "task/records/2").header("ETag")),
               lambda: db.send("PATCH", "task/records/3", {"state": state}, Prefer="return=minimal"),
               lambda: db.send("PUT", "task/records/4", {"state": state}),
               lambda: db.send("PUT", "task/records/5", {"state": state, "n": 1}, If_Match="*")]
    for n, change in enumerate(changes, 1):
        answer = change().expect(204)
        assert answer.body == b"" and answer.header("Ferro-Affected") == "0"
        assert db.count("archive") == n
        db.send("PATCH", f"task/records/{n}", {"state": state}).problem(404, "record_not_found")
    answer = db.send("POST", "task/update-or-create", {"where": {"id": 6}, "defaults": {"state": state}}).expect(200)
    assert answer.json() == {"record": None, "created": False} and answer.header("Ferro-Affected") == "0"
    step = {"op": "save", "model": "task", "pk": 7, "record": {"state": state}}
    answer = db.client.post("/v1/batch", {"steps": [step]}, params=db.using).expect(200).json()
    assert answer == {"results": [{"status": 204, "body": None}], "committed": True}
    assert db.count("archive") == 7 and db.count("task") == (9 if state == "moved" else 2)
    if state == "done":
        answer = db.send("POST", "task/get-or-create", {"where": {"id": 20}, "defaults": {"state": state}}).expect(200)
        assert answer.json() == {"record": None, "created": False} and db.count("archive") == 8
        assert db.send("PUT", "task/records/21", {"state": state}).expect(204).header("Ferro-Affected") == "0"
        assert db.count("archive") == 9


def test_an_update_that_is_vetoed(db):
    for method in ("PUT", "PATCH"):
        answer = db.send(method, "lockd/records/1", {"v": "new"}).expect(200)
        assert answer.json() == {"id": 1, "v": "old"} and answer.header("Ferro-Affected") == "0"
        assert answer.header("ETag") == db.send("GET", "lockd/records/1").header("ETag")
    db.send("PATCH", "lockd/records/2", {"v": "new"}).problem(404, "record_not_found")
    assert db.send("PUT", "lockd/records/2", {"v": "new"}).expect(204).header("Ferro-Affected") == "0"
    answer = db.send("POST", "lockd/update-or-create", {"where": {"id": 1}, "defaults": {"v": "new"}}).expect(200)
    assert answer.json() == {"record": {"id": 1, "v": "old"}, "created": False} and answer.header("Ferro-Affected") == "0"
    answer = db.send("POST", "lockd/records", {"id": 1, "v": "new"}, params={"on_conflict": "update"}).expect(200 if db.backend.name == "sqlite" else 200)
    assert answer.json() == {"id": 1, "v": "old"} and answer.header("Ferro-Affected") == "0"


def test_the_answer_is_the_row_as_it_stands(db):
    """AFTER triggers have their say before the answer, its ETag and the session's map."""
    session = db.client.post("/v1/sessions", {"using": db.name}).expect(201).header("Ferro-Session")
    inside = {"Ferro_Session": session}

    def same(answer, status, row):
        assert answer.expect(status).json() == row
        for headers in (inside, {}):
            again = db.client.request("GET", "/v1/models/aft/records/1", params=None if headers else db.using,
                                      headers={"Ferro-Session": session} if headers else {}).expect(200)
            assert again.json() == row and again.header("ETag") == answer.header("ETag")

    def write(method, path, body):
        return db.client.request(method, f"/v1/models/aft/{path}", body, headers={"Ferro-Session": session})
    same(write("POST", "records", {"v": "a"}), 201, {"id": 1, "v": "a", "n": 100})
    same(write("PATCH", "records/1", {"v": "b"}), 200, {"id": 1, "v": "b", "n": 200})
    same(write("PUT", "records/1", {"v": "c", "n": 5}), 200, {"id": 1, "v": "c", "n": 105})
    same(write("POST", "records?on_conflict=update&conflict_columns=v", {"v": "c", "n": 7}), 200, {"id": 1, "v": "c", "n": 7})
    found = write("POST", "update-or-create", {"where": {"id": 1}, "defaults": {"v": "d"}}).expect(200)
    assert found.json()["record"] == {"id": 1, "v": "d", "n": 107}
    made = write("POST", "get-or-create", {"where": {"v": "new"}}).expect(201)
    assert made.json()["record"]["n"] == 100 and made.header("ETag") == db.send("GET", f"aft/records/{made.json()['record']['id']}").header("ETag")
    many = db.send("POST", "aft/records", {"records": [{"v": f"m{i}"} for i in range(5)]}, Prefer="return=representation").expect(201).json()
    assert [r["n"] for r in many["records"]] == [100] * 5 and many["rows_inserted"] == 5
    shown = db.client.post("/v1/query/update", {"query": {"model_name": "aft", "where": [{"node_kind": "leaf", "column": "v", "operator": "==", "value": "m1"}]},
                                                "set": {"v": "m1x"}}, params=db.using, headers={"Prefer": "return=representation"}).expect(200).json()
    assert shown["rows"][0]["n"] == 200


def test_a_trigger_made_meanwhile(db):
    """By raw SQL of ours it is known at once."""
    db.send("POST", "kept/records", {"id": 1, "v": "a"}).expect(201)
    if db.backend.name == "sqlite":
        text = "CREATE TRIGGER late BEFORE INSERT ON kept BEGIN SELECT RAISE(IGNORE); END"
    else:
        text = "CREATE TRIGGER late BEFORE INSERT ON kept FOR EACH ROW EXECUTE FUNCTION f_lock()"
    sql(db.client, text, using=db.name, verb="execute").expect(200)
    assert db.send("POST", "kept/records", {"id": 2, "v": "a"}).expect(204).header("Ferro-Affected") == "0"


def test_what_a_trigger_says(db):
    """The author's own message reaches the client of a record write as it does by raw SQL."""
    raw = sql(db.client, "INSERT INTO o (item) VALUES ('bolts')", using=db.name, verb="execute")
    ways = [db.send("POST", "o/records", {"item": "bolts"}), db.send("PUT", "o/records/1", {"item": "bolts"}),
            db.send("POST", "o/records", {"records": [{"item": "bolts"}]}), db.send("POST", "o/get-or-create", {"where": {"item": "bolts"}}),
            db.client.post("/v1/batch", {"using": db.name, "steps": [{"op": "create", "model": "o", "record": {"item": "bolts"}}]})]
    for answer in ways:
        assert answer.status == raw.status and answer.json()["code"] == raw.json()["code"]
        assert "stock too low" in answer.json()["detail"], answer.json()
        if db.backend.name == "postgres":
            assert "order less" in answer.json()["detail"] and answer.json()["sqlstate"] == "P0001"
    if db.backend.name == "postgres":
        problem = db.send("POST", "o/records", {"item": "own state"}).json()
        assert "said so" in problem["detail"] and problem["sqlstate"] == "ZZ001"
