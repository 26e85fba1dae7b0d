"""Triggers that change what was written, swallow it or send it elsewhere: the answer is what stands, and says so."""
import pytest

from support.schema import introspect, register, run
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


VIEW = {"sqlite": """CREATE TABLE under (id integer PRIMARY KEY, v text, n int);
CREATE VIEW over AS SELECT id, v, n FROM under;
CREATE TRIGGER oi INSTEAD OF INSERT ON over BEGIN SELECT CASE WHEN NEW.v = 'no' THEN RAISE(IGNORE) END
  ; INSERT INTO under VALUES (NEW.id, NEW.v, NEW.n); END;
CREATE TRIGGER ou INSTEAD OF UPDATE ON over BEGIN SELECT CASE WHEN OLD.v = 'fixed' THEN RAISE(IGNORE) END
  ; UPDATE under SET v = NEW.v, n = NEW.n WHERE id = OLD.id; END;
CREATE TRIGGER od INSTEAD OF DELETE ON over BEGIN SELECT CASE WHEN OLD.v = 'fixed' THEN RAISE(IGNORE) END
  ; DELETE FROM under WHERE id = OLD.id; END""", "postgres": """CREATE TABLE under (id serial PRIMARY KEY, v text, n int);
CREATE VIEW over AS SELECT id, v, n FROM under;
CREATE FUNCTION f_over() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF TG_OP = 'INSERT' THEN
    IF NEW.v = 'no' THEN RETURN NULL; END IF;
    NEW.id := COALESCE(NEW.id, nextval('under_id_seq')); INSERT INTO under VALUES (NEW.*); RETURN NEW;
  END IF;
  IF OLD.v = 'fixed' THEN RETURN NULL; END IF;
  IF TG_OP = 'UPDATE' THEN UPDATE under SET v = NEW.v, n = NEW.n WHERE id = OLD.id; RETURN NEW; END IF;
  DELETE FROM under WHERE id = OLD.id; RETURN OLD; END $$;
CREATE TRIGGER ot INSTEAD OF INSERT OR UPDATE OR DELETE ON over FOR EACH ROW EXECUTE FUNCTION f_over()"""}


def test_triggers_that_stand_for_the_writes_of_a_view(conn):
    """A view's rows are counted, bounded and answered as a table's are; what a trigger keeps from happening is not."""
    client, using = conn.client, conn.using
    run(conn.backend, VIEW[conn.backend.name])
    envelope = client.post("/v1/introspect", using).expect(200).json()
    next(m for m in envelope["payload"]["models"] if m["model_name"] == "over")["key"] = ["id"]
    client.put("/v1/models", envelope).expect(200)

    def send(method, path, body=None, **headers):
        return client.request(method, f"/v1/models/over/{path}", body, params=using, headers=headers)

    def write(verb, low, set_=None, **headers):
        query = {"model_name": "over", "where": [{"node_kind": "leaf", "column": "id", "operator": ">=", "value": low}]}
        return client.post(f"/v1/query/{verb}", {"query": query, "set": set_} if set_ else query, params=using, headers=headers)
    shown = {"Prefer": "return=representation"}
    assert send("POST", "records", {"records": [{"id": i, "v": f"v{i}"} for i in (1, 2)] + [{"id": 3, "v": "no"}]}).expect(201).json() == {"rows_inserted": 2}
    many = send("POST", "records", {"records": [{"id": 4, "v": "d"}, {"id": 5, "v": "no"}]}, **shown).expect(201).json()
    assert many == {"records": [{"id": 4, "n": None, "v": "d"}], "rows_inserted": 1}
    assert send("POST", "records", {"id": 6, "v": "no"}).expect(204).header("Ferro-Affected") == "0"
    one = send("PATCH", "records/4", {"n": 8}).expect(200)
    assert one.json() == {"id": 4, "n": 8, "v": "d"} and one.header("Ferro-Affected") is None
    put = send("PUT", "records/4", {"v": "fixed"}).expect(200)
    assert put.json() == {"id": 4, "n": None, "v": "fixed"} and put.header("Ferro-Affected") is None
    for method in ("PATCH", "PUT"):
        kept = send(method, "records/4", {"v": "x"}).expect(200)
        assert kept.json()["v"] == "fixed" and kept.header("Ferro-Affected") == "0"
    assert send("DELETE", "records/4").expect(204).header("Ferro-Affected") == "0"
    assert write("update", 1, {"n": 1}).expect(200).json() == {"rows_affected": 2}
    assert write("update", 1, {"n": 2}, Prefer="max-affected=1").problem(409, "max_affected_exceeded")["outcome"] == "rolled_back"
    assert write("update", 1, {"n": 3}, Prefer="max-affected=2").expect(200).json() == {"rows_affected": 2}
    answer = write("update", 1, {"n": {"$add": [{"$column": "n"}, 1]}}, **shown).expect(200).json()
    assert sorted(answer["rows"], key=lambda r: r["id"]) == [{"id": i, "n": 4, "v": f"v{i}"} for i in (1, 2)] and answer["rows_affected"] == 2
    answer = send("POST", "update-or-create", {"where": {"v": "v2"}, "defaults": {"n": 5}}).expect(200).json()
    assert answer == {"record": {"id": 2, "n": 5, "v": "v2"}, "created": False}
    steps = [{"op": "update", "query": {"model_name": "over", "where": [{"node_kind": "leaf", "column": "id", "operator": "==", "value": 2}]},
              "set": {"n": 6}}, {"op": "create", "model": "over", "records": [{"id": 7, "v": "b"}]}]
    results = client.post("/v1/batch", {**using, "steps": steps}).expect(200).json()["results"]
    assert [r["body"] for r in results] == [{"rows_affected": 1}, {"rows_inserted": 1}]
    assert write("delete", 1, Prefer="max-affected=2").problem(409, "max_affected_exceeded")
    gone = write("delete", 2, **shown).expect(200).json()
    assert sorted(r["id"] for r in gone["rows"]) == [2, 7] and gone["rows_affected"] == 2
    assert send("DELETE", "records/1").expect(204).header("Ferro-Affected") is None
    send("DELETE", "records/1").problem(404, "record_not_found")
    assert write("delete", 1).expect(200).json() == {"rows_affected": 0}


def test_a_view_whose_trigger_makes_the_key(conn):
    """PostgreSQL's trigger says which key it is. SQLite's cannot: the write is done, and nothing more is said of it."""
    run(conn.backend, VIEW[conn.backend.name])
    client, using = conn.client, conn.using
    envelope = client.post("/v1/introspect", {**using, "register": True}).expect(200).json()
    keyless = {"query": {"model_name": "over"}, "set": {"n": 1}}
    client.post("/v1/models/over/records", {"v": "a"}, params=using).expect(201)
    update = client.post("/v1/query/update", keyless, params={**using, "all": "true"}, headers={"Prefer": "return=representation"})
    next(m for m in envelope["payload"]["models"] if m["model_name"] == "over")["key"] = ["id"]
    client.put("/v1/models", envelope).expect(200)
    made = client.post("/v1/models/over/records", {"v": "b"}, params=using)
    found = client.post("/v1/models/over/get-or-create", {"where": {"v": "c"}}, params=using).expect(201).json()
    assert found == {"record": {"id": 3, "n": None, "v": "c"}, "created": True}
    moved = client.post("/v1/query/update", {**keyless, "set": {"id": 9}}, params={**using, "all": "true"}, headers={"Prefer": "return=representation"})
    if conn.backend.name == "postgres":
        assert update.expect(200).json()["rows"] == [{"id": 1, "n": 1, "v": "a"}]
        assert made.expect(201).json() == {"id": 2, "n": None, "v": "b"} and made.header("Location").endswith("/2")
        return
    assert made.expect(204).header("Ferro-Affected") is None and made.body == b""
    assert "key" in update.problem(422, "invalid_query")["detail"] and "keys" in moved.problem(422, "invalid_query")["detail"]
    assert sql(client, "SELECT count(*) AS n FROM under WHERE n IS NULL", using=conn.name).json()["rows"] == [{"n": 3}]


def test_what_a_session_has_seen_of_a_view(conn):
    """A write of the table is seen in the view, and one of the view in the table: each answer is of what is acknowledged."""
    run(conn.backend, VIEW[conn.backend.name])
    client, using = conn.client, conn.using
    if conn.backend.name == "postgres":    # one that the database itself writes through, without a trigger
        sql(client, "DROP TRIGGER ot ON over", using=conn.name, verb="execute").expect(200)
    envelope = client.post("/v1/introspect", using).expect(200).json()
    next(m for m in envelope["payload"]["models"] if m["model_name"] == "over")["key"] = ["id"]
    client.put("/v1/models", envelope).expect(200)
    client.post("/v1/models/under/records", {"records": [{"id": i, "v": "a"} for i in range(1, 8)]}, params=using).expect(201)
    session = client.session(**using)

    def seen(model, key, origin=None):
        answer = session.get(f"/v1/models/{model}/records/{key}").expect(200)
        assert origin is None or answer.header("Ferro-Identity") == origin
        return answer.json()["v"]

    def where(model, key):
        return {"model_name": model, "where": [{"node_kind": "leaf", "column": "id", "operator": "==", "value": key}]}
    for key in range(1, 8):
        assert seen("under", key, "miss") == seen("over", key, "miss") == seen("over", key, "miss") == seen("under", key, "hit") == "a"
    writes = [lambda m: session.patch(f"/v1/models/{m}/records/1", {"v": m}).expect(200),
              lambda m: session.put(f"/v1/models/{m}/records/2", {"v": m}).expect(200),
              lambda m: session.post("/v1/query/update", {"query": where(m, 3), "set": {"v": m}}).expect(200),
              lambda m: session.post(f"/v1/models/{m}/update-or-create", {"where": {"id": 4}, "defaults": {"v": m}}).expect(200),
              lambda m: session.post("/v1/batch", {"steps": [{"op": "save", "model": m, "pk": 5, "record": {"v": m}}]}).expect(200)]
    for into in ("under", "over"):
        for key, write in enumerate(writes, 1):
            write(into)
            assert (seen("under", key), seen("over", key)) == (into, into), (into, key)
    # what waits for a commit is seen where it was written, and by all once it is there
    tx = session.transaction()
    tx.patch("/v1/models/over/records/6", {"v": "in"}).expect(200)
    assert tx.get("/v1/models/under/records/6").expect(200).json()["v"] == "in" and seen("under", 6) == "a"
    session.post(f"/v1/transactions/{tx.headers['Ferro-Transaction']}/commit").expect(200)
    assert (seen("under", 6), seen("over", 6)) == ("in", "in")
    session.delete("/v1/models/over/records/7").expect(204)
    for model in ("under", "over"):
        session.get(f"/v1/models/{model}/records/7").problem(404, "record_not_found")


def test_what_a_session_has_seen_of_inherited_rows(postgres_conn):
    """A parent's statements reach its children's rows; both are models."""
    client, using = postgres_conn.client, postgres_conn.using
    run(postgres_conn.backend, "CREATE TABLE base (id int PRIMARY KEY, v text); CREATE TABLE child (PRIMARY KEY (id)) INHERITS (base); "
                               "INSERT INTO child VALUES (1, 'a')")
    client.post("/v1/introspect", {**using, "register": True}).expect(200)
    session = client.session(**using)
    for into in ("base", "child"):
        for model in ("base", "child"):
            session.get(f"/v1/models/{model}/records/1").expect(200)
        assert session.patch(f"/v1/models/{into}/records/1", {"v": into}).expect(200).json()["v"] == into
        for model in ("base", "child"):
            assert session.get(f"/v1/models/{model}/records/1").expect(200).json()["v"] == into


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


@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize("index", ["(email)", "(lower(email))", "(email) WHERE a > 0"])
def test_a_conflict_with_another_unique_index_is_no_trigger_s_work(conn, index, told):
    """Of a table whose trigger only looks on. told: by a model that has no such index."""
    audit = {"sqlite": "CREATE TRIGGER watch AFTER INSERT ON held BEGIN INSERT INTO audit (a) VALUES (NEW.a); END",
             "postgres": """CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO audit (a) VALUES (NEW.a); RETURN NEW; END $$;
             CREATE TRIGGER watch AFTER INSERT ON held FOR EACH ROW EXECUTE FUNCTION watch()"""}
    run(conn.backend, "CREATE TABLE held (id integer PRIMARY KEY, a integer UNIQUE, email text);\nCREATE TABLE audit (a integer);\n"
                      f"CREATE UNIQUE INDEX held_email ON held {index};\nINSERT INTO held VALUES (1, 1, 'x');\n{audit[conn.backend.name]}")
    columns = [{"name": "id", "logical_type": "integer", "primary_key": True, "nullable": False},
               {"name": "a", "logical_type": "integer", "nullable": True, "unique": True}, {"name": "email", "logical_type": "string", "nullable": True}]
    register(conn.client, *[{"model_name": "held", "columns": columns}] * told)
    if not told:
        introspect(conn, register=True)
    for verb in ("get-or-create", "update-or-create"):
        body = {"where": {"a": 2}, "defaults": {"id": 2, "email": "x"}}
        conn.client.post(f"/v1/models/held/{verb}", body, params=conn.using).problem(409, "unique_violation")
    assert run(conn.backend, "SELECT * FROM audit") == []
