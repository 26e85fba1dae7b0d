"""Live databases as SchemaIR: what is read, and that it comes back the same after it was created elsewhere."""
import types

import pytest

from support.schema import column, introspect, migrate, model, quiet, register, run
from support.tables import insert, query


def models_of(answer):
    return {m["model_name"]: m for m in answer["payload"]["models"]}


def columns(answer, name):
    return {c["name"]: c for c in models_of(answer)[name]["columns"]}


@pytest.fixture
def twin(conn):
    """An empty database of the same kind (on PostgreSQL a schema of its own), connected: .name, .client, .using."""
    url = f"sqlite:{conn.backend.path}.twin?mode=rwc" if conn.backend.name == "sqlite" else None
    if url is None:
        run(conn.backend, "CREATE SCHEMA twin")
        url = conn.backend.url + "?ferro_search_path=twin"
    name = conn.name + "_twin"
    conn.client.post("/v1/connections", {"name": name, "url": url}).expect(201)
    yield types.SimpleNamespace(name=name, client=conn.client, using={"using": name})
    conn.client.delete(f"/v1/connections/{name}?force=true").expect(204)


LONG = "ä" * 31  # 62 bytes; with one letter more it is at PostgreSQL's edge
FIELDS = [("integer", None), ("number", None), ("decimal", None), ("boolean", None), ("string", None), ("datetime", None),
          ("date", None), ("time", "time"), ("uuid", None), ("binary", None), ("json", None), ("string", "text"),
          ("string", "varchar(40)"), ("string", "char(7)"), ("integer", "bigint"), ("integer", "smallint"),
          ("datetime", "timestamp")]


def wide(i):
    logical, token = FIELDS[i % len(FIELDS)]
    return column(f"col_{i:02}", logical, nullable=i % 3 == 0, **({"db_type": token} if token else {}))


SCHEMAS = {
    "plain": [model("Org", column("name", nullable=False)),
              model("Member", column("email", unique=True), column("org_id", "integer", nullable=False, index=True),
                    foreign_keys=[{"column": "org_id", "to_table": "org", "on_delete": "RESTRICT"}])],
    "composite_key": [{"model_name": "Seat", "columns": [
        {"name": "row", "logical_type": "integer", "primary_key": True},
        {"name": "hall", "logical_type": "string", "db_type": "varchar(20)", "primary_key": True}, column("note")],
        "indexes": [{"columns": ["row", "note"]}], "uniques": [{"columns": ["note", "hall"]}]}],
    "self_reference": [model("Employee", column("boss_id", "integer"), foreign_keys=[
        {"column": "boss_id", "to_table": "employee", "on_delete": "SET NULL"}])],
    "circle": [model("A", column("b_id", "integer"), foreign_keys=[{"column": "b_id", "to_table": "b"}]),
               model("B", column("c_id", "integer"), foreign_keys=[{"column": "c_id", "to_table": "c"}]),
               model("C", column("a_id", "integer"), foreign_keys=[{"column": "a_id", "to_table": "a"}])],
    "sixty_columns": [model("Wide", *[wide(i) for i in range(60)])],
    "quoting": [{**model("Odd", column('say "hi"', index=True), column("select", "integer"), column("x y; --", unique=True),
                         checks=[{"column": "select", "values": ["1", "-2"]}, {"column": 'say "hi"', "values": ["'it''s'"]}]),
                 "table_name": 'Or"der; DROP'}],
    "non_ascii": [{**model("Ü", column(LONG + "x", index=True), column(LONG + "y", unique=True)), "table_name": LONG + "t"},
                  {**model("Ö", column("ref", "integer"), foreign_keys=[{"column": "ref", "to_table": LONG + "t"}]),
                   "table_name": "日本語のテーブル"}],
    "uniques": [model("U", column("a", unique=True), column("b"), column("c"), uniques=[
        {"columns": ["b", "c"]}, {"columns": ["c", "b"]}, {"columns": ["c"]}], indexes=[
            {"columns": ["a", "b", "c"]}, {"name": "by_hand", "columns": ["b"]}])],
    "text_keys": [{"model_name": "Country", "columns": [
        {"name": "code", "logical_type": "string", "db_type": "char(2)", "primary_key": True}, column("name")]},
        {"model_name": "City", "columns": [{"name": "id", "logical_type": "uuid", "primary_key": True},
                                           {"name": "country", "logical_type": "string", "db_type": "char(2)"}],
         "foreign_keys": [{"column": "country", "to_table": "country", "to_column": "code", "on_delete": "NO ACTION"}]}],
    "many_to_many": [model("Actor"), model("Movie"), {"model_name": "Cast", "columns": [
        {"name": "actor_id", "logical_type": "integer"}, {"name": "movie_id", "logical_type": "integer"}],
        "foreign_keys": [{"column": "actor_id", "to_table": "actor"}, {"column": "movie_id", "to_table": "movie"}],
        "uniques": [{"columns": ["actor_id", "movie_id"]}], "indexes": [{"columns": ["movie_id", "actor_id"]}]}],
    "enums": [model("Person", column("mood", enum_values=["sad", "it's ok"], enum_type_name="mood", postgres_native_enum=True),
                    column("role", db_type="text"), checks=[{"column": "role", "values": ["'admin'", "'user'"]}])],
}


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_round_trip(conn, twin, name):
    """Introspect, create in an empty database, introspect again: identical; and no drift in between."""
    register(conn.client, *SCHEMAS[name])
    conn.client.post("/v1/create-tables", conn.using).expect(200)
    first = introspect(conn)
    assert "warnings" not in first
    conn.client.put("/v1/models", first).expect(200)
    quiet(conn, destructive=True)
    quiet(conn, rebuild=True)
    assert migrate(twin)["warnings"] == []
    assert introspect(twin) == first
    quiet(twin, destructive=True)


def test_reads_what_models_said(conn):
    """Everything but names of models comes back as it was registered."""
    said = register(conn.client, *SCHEMAS["sixty_columns"], *SCHEMAS["plain"])
    conn.client.post("/v1/create-tables", conn.using).expect(200)
    read = {m["table_name"]: m for m in introspect(conn)["payload"]["models"]}
    for wanted in said["payload"]["models"]:
        found = read[wanted["table_name"]]
        for part in ("indexes", "uniques", "checks", "foreign_keys"):
            assert found[part] == wanted[part]
        for mine, theirs in zip(found["columns"], wanted["columns"]):
            assert mine["name"] == theirs["name"]
            for flag in ("nullable", "primary_key", "autoincrement", "unique", "index"):
                if flag == "nullable" and mine["primary_key"] and conn.backend.name == "postgres":
                    continue  # a key is never null there
                assert mine[flag] == theirs[flag], mine["name"]
            if conn.backend.name == "postgres":
                assert (mine["logical_type"], mine.get("db_type")) == (theirs["logical_type"], theirs.get("db_type"))


def test_a_database_made_by_hand_on_sqlite(sqlite_conn):
    run(sqlite_conn.backend, """CREATE TABLE [Group] (gid integer primary key, -- a comment, with ) and '
        "na""me" VARCHAR(10) NOT NULL DEFAULT 'x', n NUMERIC(10,2) DEFAULT (1.5), ok BOOLEAN DEFAULT TRUE, /* , */
        born DATETIME DEFAULT CURRENT_TIMESTAMP, kind text CHECK (kind IN ('a', 'b''c')), c int CHECK (c > 5),
        parent int CONSTRAINT up REFERENCES `Group` ON DELETE SET NULL ON UPDATE CASCADE, data BLOB, UNIQUE (kind, c));
CREATE UNIQUE INDEX half ON [Group] (c) WHERE c > 7;
CREATE INDEX down ON [Group] (born DESC);
CREATE TABLE two (a int, b int, gid int, PRIMARY KEY (b, a), FOREIGN KEY (a, b) REFERENCES two (a, b))""")
    answer = introspect(sqlite_conn)
    found = columns(answer, "Group")
    assert (found["gid"]["primary_key"], found["gid"]["autoincrement"], found["gid"]["nullable"]) == (True, True, True)
    assert (found['na"me']["db_type"], found['na"me']["nullable"], found['na"me']["default"]) == ("varchar(10)", False, "x")
    assert (found["n"]["default"], found["ok"]["default"], found["born"]["default"]) == ("1.5", True, None)
    assert found["data"]["logical_type"] == "binary" and found["born"]["logical_type"] == "datetime"
    group = models_of(answer)["Group"]
    assert group["checks"] == [{"name": "ck_Group_kind", "column": "kind", "values": ["'a'", "'b''c'"]},
                               {"name": "ck_Group_row", "expression": "c > 5"}]
    assert [(f["column"], f["to_table"], f["to_column"], f["on_delete"], f["on_update"]) for f in group["foreign_keys"]] == [
        ("parent", "Group", "gid", "SET NULL", "CASCADE")]
    assert group["uniques"] == [{"name": "uq_Group_kind_c", "columns": ["kind", "c"], "constraint": True}]
    assert group["indexes"] == [{"name": "down", "columns": ["born"], "unique": False, "keys": [{"column": "born", "descending": True}]},
                                {"name": "half", "columns": ["c"], "unique": True, "where": "c > 7"}]
    assert [name for name, c in columns(answer, "two").items() if c["primary_key"]] == ["a", "b"]
    assert [(f["columns"], f["to_columns"]) for f in models_of(answer)["two"]["foreign_keys"]] == [(["a", "b"], ["a", "b"])]
    assert "warnings" not in answer


def test_a_database_made_by_hand_on_postgres(postgres_conn):
    run(postgres_conn.backend, """
        CREATE TYPE mood AS ENUM ('sad', 'it''s ok');
        CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
        CREATE TABLE parent (a int, b smallint, PRIMARY KEY (b, a), name varchar(40) NOT NULL DEFAULT 'it''s' UNIQUE,
            at timestamptz DEFAULT now(), n numeric(10,2) DEFAULT 1.50, m mood DEFAULT 'sad', tags text[], p positive,
            f real DEFAULT '-1', j jsonb DEFAULT '{"a": [1]}', u uuid, t time, i interval, d date DEFAULT '2026-01-02');
        CREATE TABLE child (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, pa int, pb smallint, dropped int,
            up bigint REFERENCES child ON DELETE SET NULL, role text, prio int, flag boolean NOT NULL DEFAULT true,
            double int GENERATED ALWAYS AS (prio * 2) STORED, seq serial,
            CONSTRAINT roles CHECK (role IN ('a', 'b')), CONSTRAINT neg CHECK (prio IN (-1, 2)), CHECK (prio < 100),
            CONSTRAINT pair UNIQUE (pa, pb), FOREIGN KEY (pb, pa) REFERENCES parent);
        ALTER TABLE child DROP COLUMN dropped;
        CREATE INDEX idx_child_role ON child (role) INCLUDE (prio);
        CREATE INDEX lowered ON child (lower(role));
        CREATE SCHEMA elsewhere; CREATE TABLE elsewhere.hidden (id int)""")
    answer = introspect(postgres_conn)
    assert sorted(models_of(answer)) == ["child", "parent"]
    parent, child = columns(answer, "parent"), columns(answer, "child")
    assert {n: parent[n]["default"] for n in ("name", "at", "n", "f", "j", "d", "m")} == {
        "name": "it's", "at": None, "n": "1.50", "f": -1.0, "j": {"a": [1]}, "d": "2026-01-02", "m": "sad"}
    assert parent["m"]["enum_values"] == ["sad", "it's ok"] and parent["m"]["postgres_native_enum"]
    assert {n: parent[n].get("db_type") for n in ("tags", "p", "i", "j", "t", "b")} == {
        "tags": "text[]", "p": "positive", "i": "interval", "j": "jsonb", "t": "time", "b": "smallint"}
    assert (child["id"]["autoincrement"], child["id"]["db_type"], child["seq"]["autoincrement"]) == (True, "bigint", False)
    assert "dropped" not in child and child["flag"]["default"] is True
    model_child = models_of(answer)["child"]
    assert model_child["checks"] == [{"name": "child_prio_check", "expression": "prio < 100"},
                                     {"name": "neg", "column": "prio", "values": ["-1", "2"]},
                                     {"name": "roles", "column": "role", "values": ["'a'", "'b'"]}]
    assert model_child["uniques"] == [{"name": "pair", "columns": ["pa", "pb"], "constraint": True}]
    assert model_child["indexes"] == [
        {"name": "idx_child_role", "columns": ["role"], "unique": False, "include": ["prio"]},
        {"name": "lowered", "columns": [], "unique": False, "keys": [{"expression": "lower(role)"}]}]
    assert [(f["columns"], f["to_columns"]) for f in model_child["foreign_keys"] if "columns" in f] == [(["pb", "pa"], ["b", "a"])]
    assert models_of(answer)["parent"]["uniques"] == [{"name": "uq_parent_name", "columns": ["name"]}]
    assert "warnings" not in answer
    postgres_conn.client.put("/v1/models", {"payload": answer["payload"], "ir_kind": "schema", "ir_version": 1}).expect(200)
    quiet(postgres_conn, destructive=True)


def test_register(conn):
    """The tables are models at once; a model that has the table keeps its name."""
    register(conn.client, {**model("Renamed", column("old")), "table_name": "things"}, model("Stays"))
    kind = "serial" if conn.backend.name == "postgres" else "integer"
    run(conn.backend, f"CREATE TABLE things (id {kind} PRIMARY KEY, name varchar(9)); CREATE TABLE more_things (id {kind} "
                      "PRIMARY KEY, thing_id integer REFERENCES things (id))" .replace("; ", ";\n"))
    assert sorted(models_of(introspect(conn))) == ["more_things", "things"]
    answer = introspect(conn, register=True, tables=["things"])
    assert sorted(models_of(answer)) == ["Renamed"]
    introspect(conn, register=True)
    names = [m["model_name"] for m in conn.client.get("/v1/models").json()["payload"]["models"]]
    assert names == ["Renamed", "Stays", "more_things"]
    insert(conn.client, conn.name, "Renamed", [{"name": "x"}])
    insert(conn.client, conn.name, "more_things", [{"thing_id": 1}])
    assert query(conn.client, "Renamed", using=conn.name).json()["rows"] == [{"id": 1, "name": "x"}]
    assert conn.client.get(f"/v1/models/more_things/records/1/thing?using={conn.name}").expect(200).json()["row"]["name"] == "x"


def test_refusals(conn):
    missing = conn.client.post("/v1/introspect", {**conn.using, "tables": ["nowhere"]})
    missing.problem(400, "invalid_request")
    assert missing.pointers() == ["/tables/0"]
    there = "main" if conn.backend.name == "sqlite" else "public"
    absent = conn.client.post("/v1/introspect", {**conn.using, "schemas": [there, "no'where", "nor here"]})
    absent.problem(400, "invalid_request")
    assert absent.pointers() == ["/schemas/1"]
    conn.client.post("/v1/introspect", {**conn.using, "schemas": [there]}).expect(200)
    conn.client.post("/v1/introspect", {**conn.using, "schemas": []}).expect(200)
    conn.client.post("/v1/introspect", {**conn.using, "tables": [1]}).problem(400, "invalid_request")
    conn.client.post("/v1/introspect", {**conn.using, "table": []}).problem(400, "invalid_request")
    tx = conn.client.transaction(**conn.using)
    tx.post("/v1/introspect").problem(409, "transactions_open")
    tx.post(f"/v1/transactions/{tx.headers['Ferro-Transaction']}/rollback").expect(200)
    assert introspect(conn)["payload"]["models"] == []
