"""Schemas that others made: what they use works, what has side effects does not; and nothing of one caller is left to another."""
import sqlite3

import pytest

from support.client import Client
from support.server import Server

OTHERS = """
CREATE TABLE doc (id integer PRIMARY KEY, data text NOT NULL CHECK ((json_valid("data") OR "data" IS NULL)),
                  title text GENERATED ALWAYS AS (json_extract(data, '$.title')) VIRTUAL,
                  size integer GENERATED ALWAYS AS (json_array_length(data, '$.items')) STORED, body text);
CREATE INDEX doc_title ON doc (json_extract(data, '$.title'));
CREATE VIRTUAL TABLE found USING fts5(body, content='doc', content_rowid='id');
CREATE VIRTUAL TABLE older USING fts4(body);
CREATE VIRTUAL TABLE boxes USING rtree(id, x0, x1, y0, y1);
CREATE TRIGGER doc_ai AFTER INSERT ON doc BEGIN
  INSERT INTO found(rowid, body) VALUES (new.id, new.body);
  INSERT INTO older(docid, body) VALUES (new.id, new.body);
  INSERT INTO boxes VALUES (new.id, 0, 1, 0, 1);
END;
CREATE TRIGGER doc_au AFTER UPDATE OF body ON doc BEGIN
  INSERT INTO found(found, rowid, body) VALUES ('delete', old.id, old.body);
  INSERT INTO found(rowid, body) VALUES (new.id, new.body);
END;
CREATE TRIGGER doc_ad AFTER DELETE ON doc BEGIN INSERT INTO found(found, rowid, body) VALUES ('delete', old.id, old.body); END;
CREATE VIEW titles AS SELECT id, json_extract(data, '$.title') AS title FROM doc;
CREATE TABLE other (id integer PRIMARY KEY, a text NOT NULL);
INSERT INTO other VALUES (1, 'x');
"""


@pytest.fixture
def house(tmp_path):
    def start(script):
        path = tmp_path / "others.db"
        with sqlite3.connect(path) as db:
            db.executescript(script)
        db.close()
        client.post("/v1/connections", {"name": "f", "url": f"sqlite:{path}", "default": True, "pool": {"max_connections": 1}}).expect(201)
        client.path = path
        return client

    with Server() as server, Client(server.port) as client:
        yield start


def sql(client, text, *args):
    return client.post("/v1/sql/fetch-all", {"sql": text, "args": list(args)})


def rows(client, text, *args):
    return [list(row.values()) for row in sql(client, text, *args).expect(200).json()["rows"]]


def test_json_full_text_and_rtree_in_a_schema(house):
    c = house(OTHERS)
    c.post("/v1/introspect", {"register": True}).expect(200)
    made = c.post("/v1/models/doc/records", {"id": 1, "data": {"title": "one", "items": [1, 2]}, "body": "hello"})
    if made.status == 422:  # the column is text to the model
        made = c.post("/v1/models/doc/records", {"id": 1, "data": '{"title": "one", "items": [1, 2]}', "body": "hello"})
    made.expect(201)
    c.get("/v1/models/doc/records").expect(200)
    sql(c, "INSERT INTO doc (id, data, body) VALUES (2, '{\"title\":\"two\"}', 'world')").expect(200)
    sql(c, "INSERT INTO doc (id, data) VALUES (3, 'no json')").problem(400, "sql_error")
    c.patch("/v1/models/doc/records/1", {"body": "changed"}).expect(200)
    assert rows(c, "SELECT title, size FROM doc WHERE id = 1") == [["one", 2]]
    assert rows(c, "SELECT title FROM titles ORDER BY id") == [["one"], ["two"]]
    assert rows(c, "SELECT rowid FROM found WHERE found MATCH 'changed'") == [[1]]
    assert rows(c, "SELECT docid FROM older WHERE older MATCH 'world'") == [[2]]
    assert rows(c, "SELECT count(*) FROM boxes") == [[2]]
    c.delete("/v1/models/doc/records/2").expect(204)
    assert rows(c, "SELECT id FROM doc WHERE json_extract(data, '$.title') = 'one'") == [[1]]


def test_another_table_can_be_rebuilt(house):
    c = house(OTHERS)
    c.put("/v1/models", {"models": [{"model_name": "Other", "table_name": "other", "columns": [
        {"name": "id", "logical_type": "integer", "primary_key": True}, {"name": "a", "logical_type": "string", "nullable": True}]}]}).expect(200)
    answer = c.post("/v1/migrate", {"rebuild": True, "updates": True})
    assert answer.status == 200, answer.body
    c.post("/v1/models/Other/records", {"id": 2, "a": None})
    sql(c, "INSERT INTO doc (id, data, body) VALUES (5, '{}', 'later')").expect(200)
    assert rows(c, "SELECT rowid FROM found WHERE found MATCH 'later'") == [[5]]


HOSTILE = {
    "a trigger that loads code": ("CREATE TRIGGER bad AFTER INSERT ON other BEGIN SELECT load_extension('/tmp/x.so'); END", "INSERT INTO other VALUES (9, 'x')"),
    "a view that loads code": ("CREATE VIEW bad AS SELECT load_extension('/tmp/x.so') AS a", "SELECT * FROM bad"),
    "a view with a tokenizer's address": ("CREATE VIEW bad AS SELECT fts3_tokenizer('simple') AS a", "SELECT * FROM bad"),
    "a view that runs a pragma": ("CREATE VIEW bad AS SELECT * FROM pragma_wal_checkpoint", "SELECT * FROM bad"),
    "a view that lists files": ("CREATE VIEW bad AS SELECT file FROM pragma_database_list", "SELECT * FROM bad"),
    "a trigger that runs a pragma": ("CREATE TRIGGER bad AFTER INSERT ON other BEGIN INSERT INTO other (a) SELECT 'x' FROM pragma_incremental_vacuum; END", "INSERT INTO other VALUES (9, 'x')"),
    "a view on others' statements": ("CREATE VIEW bad AS SELECT sql AS a FROM sqlite_stmt", "SELECT * FROM bad"),
    "a view that writes the log": ("CREATE VIEW bad AS SELECT sqlite_log(1, 'x') AS a", "SELECT * FROM bad"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_schema(house, what):
    made, used = HOSTILE[what]
    c = house(OTHERS + made + ";")
    answer = sql(c, used)
    assert answer.status == 400 and answer.json()["code"] == "sql_error", answer.body
    assert rows(c, "SELECT count(*) FROM other") == [[1]]


def test_a_default_that_loads_code(house):
    c = house("CREATE TABLE t (id integer PRIMARY KEY, a text DEFAULT (load_extension('/tmp/x.so')))")
    sql(c, "INSERT INTO t (id) VALUES (1)").problem(400, "sql_error")


# ---- what is left on the one connection of the pool ----

def test_counters_of_another_caller(house):
    c = house("CREATE TABLE t (id integer PRIMARY KEY, a text);"
              "CREATE VIEW spy AS SELECT last_insert_rowid() AS r, changes() AS c, total_changes() AS t")
    sql(c, "INSERT INTO t VALUES (4711, 'x'), (4712, 'y')").expect(200)
    assert rows(c, "SELECT last_insert_rowid(), changes(), total_changes()") == [[0, 0, 0]]
    assert rows(c, "SELECT * FROM spy") == [[0, 0, 0]]
    with c.session() as session:
        tx = session.transaction()
        assert rows(tx, "SELECT last_insert_rowid(), changes(), total_changes()") == [[0, 0, 0]]
        sql(tx, "INSERT INTO t VALUES (5, 'z'), (6, 'z'), (7, 'z')").expect(200)
        assert rows(tx, "SELECT last_insert_rowid(), changes(), total_changes()") == [[7, 3, 3]]
        sql(tx, "DELETE FROM t WHERE id = 5").expect(200)
        assert rows(tx, "SELECT last_insert_rowid(), changes(), total_changes()") == [[7, 1, 4]]
        session.delete("/v1/session?rollback=true")
    assert rows(c, "SELECT last_insert_rowid(), changes(), total_changes()") == [[0, 0, 0]]


@pytest.mark.parametrize("pragma, before", [("foreign_keys", 1), ("analysis_limit", 0), ("recursive_triggers", None), ("cache_size", None), ("reverse_unordered_selects", 0),
                                            ("ignore_check_constraints", 0), ("synchronous", 2), ("secure_delete", None), ("temp_store", 0), ("busy_timeout", 5000)])
def test_pragmas_of_another_caller(house, pragma, before):
    c = house("CREATE TABLE t (id integer PRIMARY KEY, a text)")
    was = rows(c, f"PRAGMA {pragma}")
    assert before is None or was == [[before]]
    sql(c, f"PRAGMA {pragma} = 1")
    sql(c, f"PRAGMA {pragma} = 0")
    with c.session() as session:
        tx = session.transaction()
        sql(tx, f"PRAGMA {pragma} = 37")
        session.delete("/v1/session?rollback=true")
    assert rows(c, f"PRAGMA {pragma}") == was


def test_temporary_objects_of_another_caller(house):
    c = house("CREATE TABLE t (id integer PRIMARY KEY, a text); INSERT INTO t VALUES (1, 'true')")
    for made in ("CREATE TEMP TABLE t (id, a)", "CREATE TEMP VIEW t AS SELECT 2 AS id, 'lie' AS a", "CREATE TABLE temp.t (id, a)",
                 "CREATE TEMP TRIGGER steal BEFORE INSERT ON t BEGIN SELECT RAISE(IGNORE); END"):
        sql(c, made).expect(200)
        assert rows(c, "SELECT id, a FROM t") == [[1, "true"]]
        sql(c, "INSERT INTO t VALUES (2, 'y')").expect(200)
        assert rows(c, "SELECT count(*) FROM t") == [[2]]
        sql(c, "DELETE FROM t WHERE id = 2").expect(200)
