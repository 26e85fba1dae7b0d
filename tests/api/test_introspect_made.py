"""What tables stand on in PostgreSQL (schemas, types, sequences) is made before them, wherever it lies."""
import contextlib

from support.schema import introspect, register, run

MADE = """CREATE SCHEMA other; CREATE SCHEMA "Odd S"; CREATE TYPE other.state AS ENUM ('x', 'y');
CREATE DOMAIN "Odd S"."D ""m" AS int DEFAULT 3 CHECK (VALUE > 0); CREATE TYPE other.pair AS (a other.state, b "Odd S"."D ""m"[]);
CREATE SEQUENCE other.counted INCREMENT 5; CREATE SEQUENCE "Odd S"."S q" START 7; CREATE TYPE other.span AS RANGE (subtype = float8);
CREATE TABLE t (id int PRIMARY KEY, a other.state NOT NULL DEFAULT 'x', b "Odd S"."D ""m", c other.pair, d other.state[], r other.span,
    e int DEFAULT nextval('other.counted'), f int DEFAULT nextval('"Odd S"."S q"'));
CREATE TABLE plain (id int PRIMARY KEY, n int NOT NULL DEFAULT nextval('other.counted'))"""


@contextlib.contextmanager
def elsewhere(conn, sql=""):
    """Another database of the server, connected; its name."""
    pg = conn.backend.pg
    database = pg.create_database()
    if sql:
        pg.psql(sql, database)
    name = f"{conn.name}_{database}"
    conn.client.post("/v1/connections", {"name": name, "url": pg.url(database)}).expect(201)
    try:
        yield name
    finally:
        conn.client.delete(f"/v1/connections/{name}?force=true").expect(204)
        pg.drop_database(database)


def unplaced(payload):
    """Added columns stand at the end, in whatever order they came."""
    for m in payload["models"]:
        for c in m["columns"]:
            del c["position"]
    return payload


def read(conn, name):
    return conn.client.post("/v1/introspect", {"using": name}).expect(200).json()


def test_schemas_types_and_sequences_are_made_where_they_were(postgres_conn):
    run(postgres_conn.backend, MADE)
    register(postgres_conn.client)
    source = introspect(postgres_conn, register=True)
    assert "warnings" not in source
    with elsewhere(postgres_conn) as twin:
        done = postgres_conn.client.post("/v1/create-tables", {"using": twin}).expect(200).json()
        assert done["warnings"] == []
        assert read(postgres_conn, twin)["payload"] == source["payload"]
        made = postgres_conn.client.post("/v1/models/t/records", {"id": 1, "c": {"a": "y", "b": [4]}, "r": {"lower": 1, "upper": 2, "bounds": "[)"}},
                                         params={"using": twin}).expect(201).json()
        assert (made["a"], made["c"], made["e"], made["f"]) == ("x", {"a": "y", "b": [4]}, 1, 7)
        again = postgres_conn.client.post("/v1/migrate", {"using": twin, "destructive": True}).expect(200).json()
        assert (again["statements"], again["warnings"]) == ([], [])
    text = postgres_conn.client.get("/v1/ddl", params={"dialect": "postgres"}).expect(200).text
    with elsewhere(postgres_conn, text) as twin:
        assert read(postgres_conn, twin)["payload"] == source["payload"]


def test_a_column_that_is_added_finds_its_type_or_gets_it(postgres_conn):
    """Also where the type is there and nobody may make one in its schema."""
    run(postgres_conn.backend, MADE)
    register(postgres_conn.client)
    source = introspect(postgres_conn, register=True)
    with elsewhere(postgres_conn, "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE plain (id int PRIMARY KEY)") as twin:
        done = postgres_conn.client.post("/v1/migrate", {"using": twin}).expect(200).json()
        assert done["warnings"] == [] and {"create_schema", "create_type", "add_column"} <= {c["kind"] for c in done["changes"]}
        assert len(set(done["statements"])) == len(done["statements"])
        assert unplaced(read(postgres_conn, twin)["payload"]) == unplaced(source["payload"])
        again = postgres_conn.client.post("/v1/migrate", {"using": twin}).expect(200).json()
        assert (again["statements"], again["warnings"]) == ([], [])
    pg = postgres_conn.backend.pg
    there = MADE.split("CREATE TABLE t ")[0] + ("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE plain (id int PRIMARY KEY); "
                                                "ALTER TABLE t OWNER TO guarded; ALTER TABLE plain OWNER TO guarded; GRANT USAGE ON SCHEMA other, \"Odd S\" TO guarded; "
                                                "GRANT ALL ON ALL SEQUENCES IN SCHEMA other, \"Odd S\" TO guarded")
    database = pg.create_database()
    pg.psql(there, database)
    name = f"{postgres_conn.name}_guarded"
    postgres_conn.client.post("/v1/connections", {"name": name, "url": pg.url(database, user="guarded", password="open sesame")}).expect(201)
    try:
        done = postgres_conn.client.post("/v1/migrate", {"using": name}).expect(200).json()
        assert done["warnings"] == [] and done["applied"]
    finally:
        postgres_conn.client.delete(f"/v1/connections/{name}?force=true").expect(204)
        pg.drop_database(database)


def test_collations_and_operator_classes_off_the_search_path_are_named(postgres_conn):
    """Their bare name would mean another one, or none: it is left out, and told."""
    run(postgres_conn.backend, """CREATE SCHEMA other; CREATE COLLATION other.byte FROM "C"; CREATE COLLATION near FROM "C";
        CREATE OPERATOR CLASS other.ops FOR TYPE int4 USING btree AS OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
            FUNCTION 1 btint4cmp(int4, int4);
        CREATE TABLE t (id int PRIMARY KEY, a text COLLATE other.byte, b text COLLATE near, c text, n int);
        CREATE INDEX ic ON t (c COLLATE other.byte); CREATE INDEX ino ON t (n other.ops)""")
    register(postgres_conn.client)
    got = introspect(postgres_conn, register=True)
    assert {(w["code"], w["table"], w["object"]) for w in got["warnings"]} == {("not_expressible", "t", "other.byte"), ("not_expressible", "t", "other.ops")}
    columns = {c["name"]: c.get("collation") for c in got["payload"]["models"][0]["columns"]}
    assert columns == {"id": None, "a": None, "b": "near", "c": None, "n": None}
    dry = postgres_conn.client.post("/v1/migrate", {"using": postgres_conn.name, "dry_run": True}).expect(200).json()
    assert (dry["statements"], dry["warnings"]) == ([], [])
