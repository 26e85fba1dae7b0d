"""What models say of their past (the reference's versions 2 and 3): tables, columns and labels get their new names, with all that hangs on them."""
import uuid

import pytest

from support.schema import column, columns_of, migrate, model, quiet, register, run

OLD = [
    {"model_name": "Writer", "table_name": "writer", "columns": [
        {"name": "id", "logical_type": "integer", "primary_key": True}, {"name": "nick", "logical_type": "string", "unique": True},
        {"name": "age", "logical_type": "integer", "nullable": True, "index": True},
        {"name": "mood", "logical_type": "string", "nullable": True, "enum_values": ["sad", "ok"], "enum_type_name": "mood"}],
     "checks": [{"name": "ck_writer_nick", "column": "nick", "values": ["'Ann'", "'Bob'"]}]},
    {"model_name": "Post", "table_name": "post", "columns": [
        {"name": "id", "logical_type": "integer", "primary_key": True}, {"name": "writer_id", "logical_type": "integer", "nullable": True, "index": True}],
     "foreign_keys": [{"column": "writer_id", "to_table": "writer", "on_delete": "CASCADE"}]},
]
NEW = [
    {"model_name": "Author", "table_name": "author", "renamed_from": "writer", "columns": [
        {"name": "id", "logical_type": "integer", "primary_key": True}, {"name": "name", "logical_type": "string", "unique": True, "renamed_from": "nick"},
        {"name": "years", "logical_type": "integer", "nullable": True, "index": True, "renamed_from": "age"},
        {"name": "mood", "logical_type": "string", "nullable": True, "enum_values": ["blue", "ok"], "enum_type_name": "mood",
         "enum_renamed_labels": {"enum_class": "Mood", "labels": {"blue": "sad"}}}],
     "checks": [{"name": "ck_author_name", "column": "name", "values": ["'Ann'", "'Bob'"]}]},
    {"model_name": "Post", "table_name": "post", "columns": [
        {"name": "id", "logical_type": "integer", "primary_key": True}, {"name": "author_id", "logical_type": "integer", "nullable": True, "index": True}],
     "foreign_keys": [{"column": "author_id", "to_table": "author", "on_delete": "CASCADE", "renamed_from": "writer"}]},
]


def put(conn, models):
    return conn.client.put("/v1/models", {"ir_kind": "schema", "ir_version": 3, "payload": {"models": models}})


@pytest.fixture
def old(conn):
    """Tables as the old models make them, with rows."""
    put(conn, OLD).expect(200)
    conn.client.post("/v1/create-tables", conn.using).expect(200)
    rows = [{"nick": "Ann", "age": 3, "mood": "sad"}, {"nick": "Bob", "mood": "ok"}]
    conn.client.post("/v1/models/Writer/records", {"records": rows}, params=conn.using).expect(201)
    conn.client.post("/v1/models/Post/records", {"writer_id": 1}, params=conn.using).expect(201)
    return conn


def names(conn):
    """Of all tables, indexes, constraints and sequences."""
    if conn.backend.name == "sqlite":
        return {row[0] for row in run(conn.backend, "SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite%'")}
    text = run(conn.backend, "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace UNION ALL SELECT conname FROM pg_constraint WHERE connamespace = 'public'::regnamespace")
    return {row[0] for row in text}


def test_everything_gets_its_new_name_and_the_rows_stay(old):
    put(old, NEW).expect(200)
    before = names(old)
    plan = migrate(old, dry_run=True)
    assert names(old) == before  # what a dry run renames it takes back
    kinds = [change["kind"] for change in plan["changes"]]
    assert kinds[0] == "rename_table" and kinds.count("rename_column") == 3 and "rename_label" in kinds, kinds
    assert not {"create_table", "add_column", "drop_column", "rebuild_table"} & set(kinds) and not any(c["loses_data"] for c in plan["changes"])
    done = migrate(old, plan_hash=plan["plan_hash"])
    assert done["statements"] == plan["statements"] and done["applied"]
    quiet(old)
    quiet(old, rebuild=True, destructive=True)
    left = [name for name in names(old) if "writer" in name or "nick" in name or "age" in name]
    assert left in ([], ["writer_pkey"]), left
    for row in ({"id": 1, "name": "Ann", "years": 3, "mood": "blue"}, {"id": 2, "name": "Bob", "years": None, "mood": "ok"}):
        assert old.client.get(f"/v1/models/Author/records/{row['id']}", params=old.using).expect(200).json() == row
    assert old.client.get("/v1/models/Post/records/1", params=old.using).expect(200).json() == {"id": 1, "author_id": 1}
    assert old.client.post("/v1/models/Author/records", {"name": "Ann"}, params=old.using).problem(409, "unique_violation")
    old.client.delete("/v1/models/Author/records/1", params=old.using).expect(204)
    assert old.client.get("/v1/models/Post/records", params=old.using).expect(200).json()["row_count"] == 0  # the key goes with its table


def test_a_rename_and_a_rebuild_go_together(old):
    """What a rebuild makes anew has the new names, and views and triggers follow."""
    if old.backend.name == "sqlite":
        for sql in ("CREATE TABLE log (n text)", "CREATE TRIGGER seen AFTER INSERT ON writer BEGIN INSERT INTO log VALUES (new.nick); END"):
            old.client.post("/v1/sql/execute", {"sql": sql}, params=old.using).expect(200)
    old.client.post("/v1/sql/execute", {"sql": "CREATE VIEW names AS SELECT nick FROM writer"}, params=old.using).expect(200)
    changed = [{**NEW[0], "columns": [{**c, "nullable": True} if c["name"] == "name" else c for c in NEW[0]["columns"]]}, NEW[1]]
    put(old, changed).expect(200)
    plan = migrate(old, dry_run=True, rebuild=True)
    done = migrate(old, rebuild=True)
    assert done["statements"] == plan["statements"] and {"rename_table"} < {c["kind"] for c in done["changes"]}
    quiet(old, rebuild=True)
    old.client.post("/v1/models/Author/records", {"name": None}, params=old.using).expect(201)
    answer = old.client.post("/v1/sql/fetch-all", {"sql": "SELECT * FROM names"}, params=old.using).expect(200).json()
    assert answer["row_count"] == 3
    if old.backend.name == "sqlite":
        assert old.client.post("/v1/sql/fetch-all", {"sql": "SELECT count(*) AS n FROM log"}, params=old.using).expect(200).json()["rows"] == [{"n": 1}]


def test_create_tables_makes_no_second_table(old):
    put(old, NEW).expect(200)
    made = old.client.post("/v1/create-tables", old.using).expect(200).json()
    assert made["statements"] == [] and [w["code"] for w in made["warnings"]] == ["pending_rename"], made
    fresh = migrate(old)
    assert "rename_table" in [c["kind"] for c in fresh["changes"]]


def test_a_failed_rename_changes_nothing(old):
    """Another table has the name that a migration would give, or a sequence."""
    taken = {"sqlite": "CREATE VIEW author AS SELECT 1 AS id", "postgres": "CREATE SEQUENCE author_id_seq"}[old.backend.name]
    old.client.post("/v1/sql/execute", {"sql": taken}, params=old.using).expect(200)
    put(old, NEW).expect(200)
    before = names(old)
    problem = old.client.post("/v1/migrate", old.using).problem(422, "migration_refused")
    assert "author" in problem["detail"] and names(old) == before


def test_hints_that_are_done_or_wrong(conn):
    """On a database without the old names a hint says nothing; in a model that still has them it is a fault."""
    put(conn, NEW).expect(200)
    conn.client.post("/v1/create-tables", conn.using).expect(200)
    quiet(conn)
    both = {**NEW[0], "columns": [*NEW[0]["columns"], {"name": "nick", "logical_type": "string"}]}
    twice = {**NEW[0], "columns": [*NEW[0]["columns"], {"name": "other", "logical_type": "string", "renamed_from": "nick"}]}
    for models, pointer in (([both, NEW[1]], "/payload/models/0/columns/1"), ([twice, NEW[1]], "/payload/models/0/columns/4"), ([NEW[0], OLD[0], NEW[1]], "/payload/models/0"),
                            ([NEW[0], {**NEW[0], "model_name": "Third", "table_name": "third"}, NEW[1]], "/payload/models/1")):
        assert pointer in [e["pointer"] for e in put(conn, models).problem(422, "invalid_schema")["errors"]], pointer
    for labels in ({"blue": "ok"}, {"blue": "ok", "ok": "blue"}, {"blue": "sad", "ok": "sad"}):
        mood = {**NEW[0]["columns"][3], "enum_renamed_labels": {"labels": labels}}
        faults = put(conn, [{**NEW[0], "columns": [*NEW[0]["columns"][:3], mood]}, NEW[1]]).problem(422, "invalid_schema")["errors"]
        assert "/payload/models/0/columns/3" in [e["pointer"] for e in faults], labels
    kept = conn.client.get("/v1/models").json()
    assert kept["payload"]["models"][0]["renamed_from"] == "writer"
    conn.client.put("/v1/models", kept).expect(200)
    assert conn.client.get("/v1/models").json() == kept


def test_what_is_retired_and_what_makes_values(conn):
    columns = [{"name": "id", "logical_type": "uuid", "primary_key": True, "default_factory": "uuid.uuid4"}, {"name": "label", "logical_type": "string"},
               {"name": "kind", "logical_type": "string", "nullable": True, "enum_values": ["new"], "enum_type_name": "kind", "enum_retired_labels": ["old"]}]
    before = [{**c, **({"enum_values": ["old", "new"]} if c["name"] == "kind" else {})} for c in columns]
    put(conn, [{"model_name": "Thing", "columns": [*before, {"name": "gone", "logical_type": "string", "nullable": True}]}]).expect(200)
    conn.client.post("/v1/create-tables", conn.using).expect(200)
    one = {"id": str(uuid.uuid4()), "label": "a", "kind": "old", "gone": "x"}
    conn.client.post("/v1/sql/execute", {"sql": f"INSERT INTO thing (id, label, kind, gone) VALUES ('{one['id']}', 'a', 'old', 'x')"}, params=conn.using).expect(200)
    put(conn, [{"model_name": "Thing", "columns": [*columns, {"name": "gone", "logical_type": "string", "nullable": True, "retired": True}]}]).expect(200)
    quiet(conn)
    quiet(conn, destructive=True)
    assert conn.client.get(f"/v1/models/Thing/records/{one['id']}", params=conn.using).expect(200).json() == {k: v for k, v in one.items() if k != "gone"}
    for verb, path, body in (("post", "/v1/models/Thing/records", {"label": "b", "kind": "old"}), ("patch", f"/v1/models/Thing/records/{one['id']}", {"kind": "old"}),
                             ("post", "/v1/query/update", {"query": {"model_name": "Thing", "where": []}, "set": {"kind": "old"}})):
        assert "retired" in getattr(conn.client, verb)(path, body, params=conn.using).problem(422, "invalid_value")["detail"]
    made = [conn.client.post("/v1/models/Thing/records", {"label": label, "kind": "new"}, params=conn.using).expect(201).json()["id"] for label in "bc"]
    assert all(uuid.UUID(i).version == 4 for i in made) and len({*made, one["id"]}) == 3
    many = conn.client.post("/v1/models/Thing/records", {"records": [{"label": "d"}, {"label": "e"}]}, params=conn.using).expect(201).json()
    assert many["rows_inserted"] == 2


@pytest.mark.parametrize("more", [{}, {"destructive": True, "rebuild": True}])
def test_a_type_of_labels_is_not_renamed_and_that_is_said(postgres_conn, more):
    """No hint names a type's old name: it stays, with its rows, and the warning says how to rename it; done so, there is no difference."""
    conn = postgres_conn
    put(conn, OLD).expect(200)
    conn.client.post("/v1/create-tables", conn.using).expect(200)
    conn.client.post("/v1/models/Writer/records", {"nick": "Ann", "mood": "sad"}, params=conn.using).expect(201)
    columns = [{**c, "enum_type_name": "feeling"} if c["name"] == "mood" else c for c in OLD[0]["columns"]]
    put(conn, [{**OLD[0], "columns": columns}, OLD[1]]).expect(200)
    answer = migrate(conn, **more)
    assert answer["statements"] == [] and [(w["code"], w["table"], w["column"]) for w in answer["warnings"]] == [("enum_drift", "writer", "mood")]
    assert "ALTER TYPE" in answer["warnings"][0]["detail"]
    assert conn.client.get("/v1/models/Writer/records/1", params=conn.using).expect(200).json()["mood"] == "sad"
    run(conn.backend, "ALTER TYPE mood RENAME TO feeling")
    quiet(conn, **more)


def test_what_cannot_be_kept_is_refused_or_warned_of(conn):
    guarded = {**NEW[0], "row_security": {"force": True, "policies": [{"name": "own", "command": "all", "restrictive": False, "expr": {"kind": "raw", "using": "true"}}]}}
    problem = put(conn, [guarded, NEW[1]]).problem(422, "invalid_schema")
    assert problem["errors"][0]["pointer"] == "/payload/models/0/row_security" and "policies" in problem["errors"][0]["detail"]
    made = {"model_name": "Made", "columns": [{"name": "id", "logical_type": "integer", "primary_key": True}, {"name": "at", "logical_type": "string", "default_factory": "shop.stamp"}]}
    answer = put(conn, [made]).expect(200).json()
    assert [(w["code"], w["pointer"]) for w in answer["warnings"]] == [("unknown_default_factory", "/payload/models/0/columns/1/default_factory")]
    other = {"model_name": "Other", "columns": [{"name": "id", "logical_type": "integer", "primary_key": True}]}
    assert "warnings" not in conn.client.post("/v1/models", {"models": [other]}).expect(200).json()  # it was said


def test_a_trigger_that_speaks_of_the_old_name(conn):
    """SQLite writes it anew; PostgreSQL does not know what its function says: refused by its name, before anything runs."""
    run(conn.backend, "CREATE TABLE t (id integer PRIMARY KEY, a integer, c integer);\nCREATE TABLE log (x integer);\nCREATE VIEW w AS SELECT a FROM t")
    body = "INSERT INTO log VALUES (NEW.a)"
    postgres = conn.backend.name == "postgres"
    run(conn.backend, f"CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body}; RETURN NEW; END $$; CREATE TRIGGER told AFTER INSERT OR UPDATE OF a ON t "
                      "FOR EACH ROW EXECUTE FUNCTION f()" if postgres else f"CREATE TRIGGER told AFTER INSERT ON t BEGIN {body}; END")
    register(conn.client, model("T", column("b", "integer", renamed_from="a"), column("c", "integer")))
    if postgres:
        for dry_run in (True, False):
            problem = conn.client.post("/v1/migrate", {**conn.using, "dry_run": dry_run}).problem(422, "migration_refused")
            assert '"told"' in problem["detail"] and (problem["table"], problem["column"]) == ("t", "a")
        run(conn.backend, "CREATE OR REPLACE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log VALUES (NEW.b); RETURN NEW; END $$")
    assert len(migrate(conn)["statements"]) == 1
    run(conn.backend, "INSERT INTO t VALUES (1, 5, 6)")
    assert run(conn.backend, "SELECT x FROM log") == [["5"]] and run(conn.backend, "SELECT a FROM w" if postgres else "SELECT b FROM w") == [["5"]]
    quiet(conn)


@pytest.mark.parametrize("how", ["created", "added", "rebuilt"])
@pytest.mark.parametrize("version", [1, 3])
def test_what_is_retired_is_in_the_table(conn, how, version):
    """In the schema, where it may be null, and out of the records."""
    columns = [{"name": "id", "logical_type": "integer", "primary_key": True, "nullable": False}, {"name": "label", "logical_type": "string", "nullable": how != "rebuilt"}]
    gone = [{"name": "gone", "logical_type": "string", "nullable": False, "unique": True, "retired": True},
            {"name": "mood", "logical_type": "string", "nullable": True, "enum_values": ["sad"], "enum_type_name": "mood", "retired": True}]
    model = {"model_name": "Thing", "columns": [*columns, *gone]}

    def told(*models):
        conn.client.put("/v1/models", {"ir_kind": "schema", "ir_version": version, "payload": {"models": list(models)}}).expect(200)

    told(model if how == "created" else {"model_name": "Thing", "columns": [columns[0], {**columns[1], "nullable": True}]})
    conn.client.post("/v1/create-tables", conn.using).expect(200)
    told(model)
    if how != "created":
        conn.client.post("/v1/migrate", {**conn.using, "rebuild": how == "rebuilt"}).expect(200)
    assert set(columns_of(conn.backend, "thing")) == {"id", "label", "gone", "mood"}
    for options in ({}, {"destructive": True}, {"rebuild": True, "destructive": True}):
        quiet(conn, **options)
    assert conn.client.post("/v1/models/Thing/records", {"label": "a"}, params=conn.using).expect(201).json() == {"id": 1, "label": "a"}
    conn.client.post("/v1/models/Thing/records", {"label": "a", "gone": "x"}, params=conn.using).problem(422, "unknown_column")
    kept = conn.client.get("/v1/models").json()
    assert [c["name"] for c in kept["payload"]["models"][0]["columns"] if c.get("retired")] == ["gone", "mood"]
    conn.client.put("/v1/models", kept).expect(200)
    assert conn.client.get("/v1/models").json() == kept
    quiet(conn, destructive=True)
