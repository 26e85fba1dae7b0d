"""What one caller's statement sets in the database session never reaches another caller, whatever called it."""
import json
import time

import pytest

from support.client import Client
from support.keys import Keys
from support.server import Server

MODELS = [{"model_name": name, "columns": [{"name": "id", "logical_type": "integer", "primary_key": True},
                                           {"name": "n", "logical_type": "integer", "nullable": True}]}
          for name in ("Item", "Trap")]
SETUP = """
CREATE SCHEMA elsewhere;
CREATE TABLE elsewhere.item (id int PRIMARY KEY, n int);
CREATE TABLE item (id int PRIMARY KEY, n int);
CREATE FUNCTION stray() RETURNS int LANGUAGE sql VOLATILE AS
    $$ SELECT length(set_config('search_path', 'elsewhere, public', false)) $$;
CREATE FUNCTION stray_trigger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM stray(); RETURN NEW; END $$;
"""
TRAPS = {
    "default": "CREATE TABLE trap (id int PRIMARY KEY, n int DEFAULT stray())",
    "inner default": "CREATE TABLE trap (id int PRIMARY KEY, n int DEFAULT length(set_config('search_path', 'elsewhere', false)))",
    "trigger": "CREATE TABLE trap (id int PRIMARY KEY, n int);"
               "CREATE TRIGGER t BEFORE INSERT OR UPDATE ON trap FOR EACH ROW EXECUTE FUNCTION stray_trigger()",
    "check": "CREATE TABLE trap (id int PRIMARY KEY, n int, CHECK (stray() > 0))",
    "view": "CREATE TABLE under (id int PRIMARY KEY, n int); INSERT INTO under VALUES (1, 1);"
            "CREATE VIEW trap AS SELECT id, n FROM under WHERE stray() > 0",
    "policy": "CREATE TABLE trap (id int PRIMARY KEY, n int); ALTER TABLE trap ENABLE ROW LEVEL SECURITY;"
              "ALTER TABLE trap FORCE ROW LEVEL SECURITY; CREATE POLICY p ON trap USING (stray() > 0) WITH CHECK (stray() > 0);",
    "domain": "CREATE DOMAIN d AS int CHECK (stray() > 0); CREATE TABLE trap (id int PRIMARY KEY, n d)",
    "cascade": "CREATE TABLE trap (id int PRIMARY KEY, n int); CREATE TABLE child (id int REFERENCES trap ON DELETE CASCADE);"
               "CREATE TRIGGER t AFTER DELETE ON child FOR EACH ROW EXECUTE FUNCTION stray_trigger()",
}


@pytest.fixture
def one(server, postgres_backend):
    """one(sql) -> a client on a pool of one connection."""
    psql = lambda text: postgres_backend.pg.psql(text, postgres_backend.database)  # noqa: E731
    with Client(server.port, timeout=60) as client:
        def connect(sql=""):
            psql(SETUP + sql)
            client.post("/v1/connections", {"name": "one", "url": postgres_backend.url, "default": True,
                                            "pool": {"max_connections": 1}}).expect(201)
            client.put("/v1/models", {"models": MODELS}).expect(200)
            return client
        connect.psql = psql
        yield connect
        client.delete("/v1/connections/one?force=true")
        client.put("/v1/default-connection", {"name": "default"}).expect(200)


def next_is_here(client, one, key=5):
    """The next caller's row is where it belongs."""
    client.post("/v1/models/Item/records", {"id": key, "n": 1}).expect(201)
    assert one.psql("SELECT count(*) FROM elsewhere.item") == "0"
    assert one.psql(f"SELECT count(*) FROM item WHERE id = {key}") == "1"


@pytest.mark.parametrize("trap", TRAPS)
@pytest.mark.parametrize("road", ["create", "bulk", "query", "update"])
def test_generated_statements(one, trap, road):
    client = one(TRAPS[trap])
    if road == "create":
        client.post("/v1/models/Trap/records", {"id": 2})
    elif road == "bulk":
        client.post("/v1/models/Trap/records", {"records": [{"id": i} for i in range(2, 9)]})
    elif road == "query":
        client.post("/v1/query", {"model_name": "Trap"})
    else:
        client.post("/v1/models/Trap/records", {"id": 2})
        client.patch("/v1/models/Trap/records/2", {"n": 3})
        client.delete("/v1/models/Trap/records/2")
    next_is_here(client, one)


@pytest.mark.parametrize("road", ["load", "lines", "fails"])
@pytest.mark.parametrize("where", ["index", "check", "generated", "trigger"])
def test_loads(one, where, road):
    """COPY asked nothing of its table: what an index or a trigger of it had set stayed on the connection."""
    client = one("CREATE FUNCTION leave(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM set_config('app.left', 'x', false);"
                 " PERFORM pg_advisory_lock(77); RETURN i; END $$;"
                 "CREATE FUNCTION leaving() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM leave(1); RETURN NEW; END $$;" + {
                     "index": "CREATE TABLE trap (id int PRIMARY KEY, n int); CREATE INDEX trap_n ON trap (leave(n))",
                     "check": "CREATE TABLE trap (id int PRIMARY KEY, n int CHECK (leave(n) > 0))",
                     "generated": "CREATE TABLE trap (id int PRIMARY KEY, n int, g int GENERATED ALWAYS AS (leave(n)) STORED)",
                     "trigger": "CREATE TABLE trap (id int PRIMARY KEY, n int);"
                                "CREATE TRIGGER t AFTER INSERT ON trap FOR EACH ROW EXECUTE FUNCTION leaving()"}[where])
    keyed = [{**MODELS[1], "columns": [{**MODELS[1]["columns"][0], "autoincrement": False}, MODELS[1]["columns"][1]]}]
    client.post("/v1/models", {"models": keyed}).expect(200)  # behind a load into numbered rows comes a statement that cleans up
    rows = [{"id": i, "n": 1} for i in range(1, 1500)] + ([{"id": 1, "n": 1}] if road == "fails" else [])
    if road == "load":
        client.post("/v1/models/Trap/records", {"records": rows}).expect(201)
    else:
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        client.post("/v1/models/Trap/records", raw=lines.encode(), headers={"Content-Type": "application/x-ndjson"}).expect(
            409 if road == "fails" else 201)
    row = client.post("/v1/sql/fetch-one", {"sql": "SELECT coalesce(current_setting('app.left', true), '') AS s, (SELECT count(*) FROM pg_locks"
                                                   " WHERE locktype = 'advisory' AND pid = pg_backend_pid()) AS n"}).expect(200).json()["row"]
    assert row == {"s": "", "n": 0}


RAW = ["UPDATE pg_settings SET setting = 'elsewhere' WHERE name = 'search_path'", "SET search_path = elsewhere",
       "SELECT stray()", "SELECT * FROM v", "INSERT INTO d (id) VALUES (1)", "CREATE TEMP TABLE item (id int, n int)",
       "SET standard_conforming_strings = off"]


@pytest.mark.parametrize("sql", RAW)
@pytest.mark.parametrize("inside", [False, True], ids=["alone", "transaction"])
def test_raw_sql(one, sql, inside):
    client = one("CREATE VIEW v AS SELECT stray(); CREATE TABLE d (id int, n int DEFAULT stray());")
    headers = {}
    if inside:
        headers = {"Ferro-Transaction": client.post("/v1/transactions").expect(201).json()["transaction_id"]}
    client.post("/v1/sql/fetch-all", {"sql": sql}, headers=headers).expect(200)
    if inside:
        client.post(f"/v1/transactions/{headers['Ferro-Transaction']}/commit").expect(200)
    next_is_here(client, one)
    rows = client.post("/v1/sql/fetch-all", {"sql": "SELECT current_setting('standard_conforming_strings') AS s, "
                                             "(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory') AS locks"})
    assert rows.expect(200).json()["rows"] == [{"s": "on", "locks": 0}]


# what a column's type or an index's operators call: (SQL, type of the column, what is written, the same as text)
WITHIN = {
    "array of domains": ("", "d[]", ["a"], "{a}"),
    "composite": ("CREATE TYPE c AS (a int, b d);", "c", {"a": 1, "b": "x"}, "(1,x)"),
    "array of composites": ("CREATE TYPE c AS (a int, b d);", "c[]", [{"a": 1, "b": "x"}], '{"(1,x)"}'),
    "range": ("CREATE TYPE r AS RANGE (subtype = text, subtype_opclass = o);", "r", {"lower": "a", "upper": "b"}, "[a,b)"),
    "operator class": ("", "text", "x", "x"),
}


@pytest.mark.parametrize("road", ["create", "raw"])
@pytest.mark.parametrize("what", WITHIN)
def test_types_and_operator_classes(one, what, road):
    sql, kind, value, words = WITHIN[what]
    text = "PERFORM set_config('search_path', 'elsewhere, public', false)"
    client = one(f"""
        CREATE FUNCTION strays(text) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN {text}; RETURN true; END $$;
        CREATE FUNCTION compared(text, text) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN {text};
            RETURN pg_catalog.bttextcmp($1, $2); END $$;
        CREATE DOMAIN d AS text CHECK (strays(VALUE));
        CREATE OPERATOR CLASS o FOR TYPE text USING btree AS OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=,
            OPERATOR 5 >, FUNCTION 1 compared(text, text);
        {sql}
        CREATE TABLE odd (id int PRIMARY KEY, v {kind}); {"CREATE INDEX ON odd (v o);" if what == "operator class" else ""}
        INSERT INTO odd VALUES (1, NULL), (2, NULL)""" + (", (3, 'b')" if kind == "text" else ""))
    models = client.post("/v1/introspect", {"tables": ["odd"]}).expect(200).json()["payload"]["models"]
    client.post("/v1/models", {"models": models}).expect(200)
    for key in range(11, 16):  # a client's own text is proven after a few runs
        if road == "create":
            client.post("/v1/models/odd/records", {"id": key, "v": value}).expect(201)
        else:
            client.post("/v1/sql/execute", {"sql": "INSERT INTO odd VALUES ($1, $2)", "args": [key, words]}).expect(200)
            client.post("/v1/sql/fetch-all", {"sql": "SELECT id FROM odd WHERE v >= $1::text::" + kind, "args": [words]}).expect(200)
        next_is_here(client, one, key)


@pytest.mark.parametrize("by", ["us", "others"])
def test_a_table_that_becomes_a_trap_is_noticed(one, by):
    """By a caller's own DDL at once, by others' within ten seconds."""
    table, trigger = TRAPS["trigger"].split(";")
    client = one(table)
    for key in (1, 2):
        client.post("/v1/models/Trap/records", {"id": key}).expect(201)  # it is known to be harmless
    if by == "us":
        client.post("/v1/sql/execute", {"sql": trigger}).expect(200)
    else:
        one.psql(trigger)
        time.sleep(10.5)
    client.post("/v1/models/Trap/records", {"id": 3})
    next_is_here(client, one)


@pytest.mark.parametrize("road", ["raw", "function", "default", "transaction"])
def test_a_seed_does_not_decide_the_next_callers_random(one, road):
    client = one("CREATE FUNCTION seeds() RETURNS int LANGUAGE sql VOLATILE AS $$ SELECT length(setseed(0.5)::text) $$;"
                 "CREATE TABLE trap (id int PRIMARY KEY, n int DEFAULT seeds())")
    numbers, seed = set(), {"sql": "SELECT seeds()" if road == "function" else "SELECT setseed(0.5)"}
    for i in range(3):
        if road == "default":
            client.post("/v1/models/Trap/records", {"id": i}).expect(201)
        elif road == "transaction":
            tx = client.post("/v1/transactions").expect(201).json()["transaction_id"]
            client.post("/v1/sql/fetch-all", seed, headers={"Ferro-Transaction": tx}).expect(200)
            first = client.post("/v1/sql/fetch-all", {"sql": "SELECT random() AS r"}, headers={"Ferro-Transaction": tx}).expect(200).json()["rows"]
            client.post(f"/v1/transactions/{tx}/commit").expect(200)
            numbers.add(first[0]["r"])
            assert len(numbers) == i + 1, "within it, the caller's numbers follow its seed"
        else:
            client.post("/v1/sql/fetch-all", seed).expect(200)
        numbers.add(client.post("/v1/sql/fetch-all", {"sql": "SELECT random() AS r"}).expect(200).json()["rows"][0]["r"])
    assert len(numbers) == (4 if road == "transaction" else 3)


def test_prepared_statements_of_ours_outlive_raw_sql(one):
    """Putting a session back is no reason to prepare everything anew."""
    client = one()
    for _ in range(3):
        client.get("/v1/models/Item/records/1")
        client.post("/v1/sql/execute", {"sql": "SELECT 1"}).expect(200)
    rows = client.post("/v1/sql/fetch-all", {"sql": "SELECT count(*) AS n FROM pg_prepared_statements WHERE NOT from_sql"})
    assert rows.expect(200).json()["rows"][0]["n"] >= 1
    client.post("/v1/sql/execute", {"sql": "PREPARE mine AS SELECT 1"}).expect(200)
    client.post("/v1/sql/fetch-all", {"sql": "EXECUTE mine"}).problem(400, "sql_error")


def test_defaults_of_the_server_itself_cost_nothing(one):
    """now, nextval and gen_random_uuid leave nothing: such a table keeps its pipelines."""
    client = one("CREATE TABLE trap (id serial PRIMARY KEY, n int DEFAULT floor(random()), at timestamptz DEFAULT now(), "
                 "u uuid DEFAULT gen_random_uuid())")
    client.post("/v1/models/Trap/records", {"n": 1}).expect(201)

    def in_lanes():
        lines = client.get("/metrics", validate=False).text.split("\n")
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines
                   if line.startswith("ferrod_lane_statements_total") and 'connection="one"' in line and 'kind="write"' in line)
    for i in range(600):  # one that a loaded machine made slow goes by itself for 200 runs
        if in_lanes() >= 5:
            break
        client.post("/v1/models/Trap/records", {"n": i}).expect(201)
    assert in_lanes() >= 5


# ---- catalogs ----

@pytest.mark.parametrize("table", ["pg_settings", "PG_Class", "sqlite_master", "pragma_database_list"])
def test_models_of_catalogs_are_for_admins(tmp_path, table):
    model = {"models": [{"model_name": "Odd", "table_name": table, "columns": [
        {"name": "name", "logical_type": "string", "primary_key": True}]}]}
    keys = Keys(tmp_path)
    keys.add("modeller", ["read", "write", "schema"])
    keys.add("boss", ["read", "write", "schema", "sql", "admin"])
    with Server("--keys-file", str(keys.path)) as server:
        with keys.client(server.port, "modeller") as client:
            for method in ("PUT", "POST"):
                problem = client.request(method, "/v1/models", model).problem(422, "invalid_schema")
                assert "catalog" in problem["errors"][0]["detail"]
        with keys.client(server.port, "boss") as client:
            client.put("/v1/models", model).expect(200)


# ---- literals ----

def test_labels_of_enums_are_literals_whatever_the_session_has_set(one):
    """The attack: with standard_conforming_strings off a backslash would end the literal early."""
    client = one()
    label = "\\'; DROP TABLE item; --"
    model = {"model_name": "Mood", "columns": [
        {"name": "id", "logical_type": "integer", "primary_key": True},
        {"name": "mood", "logical_type": "string", "enum_values": ["a", label], "enum_type_name": "mood_kind", "postgres_native_enum": True}]}
    client.put("/v1/models", {"models": MODELS + [model]}).expect(200)
    statements = client.post("/v1/migrate", {"dry_run": True}).expect(200).json()["statements"]
    text = "\n".join(statements)
    assert " E'" in text
    one.psql("SET standard_conforming_strings = off;" + ";".join(s.rstrip(";") for s in statements))
    assert one.psql("SELECT count(*) FROM item") == "0"
    assert one.psql("SELECT enumlabel FROM pg_enum ORDER BY enumsortorder").split("\n")[-1] == label
    client.post("/v1/models/Mood/records", {"id": 1, "mood": label}).expect(201)
