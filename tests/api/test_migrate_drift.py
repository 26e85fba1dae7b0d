"""What nobody made with us: types and names of other people's databases. Introspected, registered and migrated, they are left
alone, without a word; and a name that is no table's is told, not passed over."""
import pytest

from support.schema import column, introspect, migrate, model, quiet, register, run, whole_schema
from support.tables import insert, query

SQLITE_TYPES = [
    "", "INT", "INTEGER", "INT UNSIGNED", "UNSIGNED BIG INT", "TINYINT(1)", "MEDIUMINT", "INT2", "INT8", "BIGSERIAL", "ROWID",
    "NVARCHAR(50)", "VARYING CHARACTER(255)", "NATIVE CHARACTER(70)", "VARCHAR(0)", "VARCHAR(99999999999)", "varchar2(10)",
    "CHAR", "CHAR(0)", "CHAR(32)", "NCHAR(55)", "CLOB", "LONGTEXT", "STRING", "ENUM", "XML", "INET", "CITEXT", "MONEY",
    "BLOB", "BLOB_TEXT", "BINARY(16)", "VARBINARY", "BYTEA", "IMAGE", "RAW", "ANY", "DECIMAL(10,2)", 
    "NUMERIC", "NUMBER(5)", "REAL", "FLOAT", "FLOATING POINT", "DOUBLE", "DOUBLE PRECISION", "POINT", "BOOLEAN", "BOOL", "BIT(1)",
    "DATE", "DATETIME", "DATETIME2(3)", "TIME", "TIMESTAMP", "TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE", "TIME WITH TIME ZONE",
    "INTERVAL", "YEAR", "JSON", "JSONB", "UUID", "UNIQUEIDENTIFIER", "GUID", "uuid_text", "date_text", "json_text", "Größe",
    "unknown type (a) b"]

POSTGRES_TYPES = [
    "inet", "cidr", "macaddr", "integer[]", "text[][]", "interval", "interval day to second(3)", "money", "xml", "bit(3)",
    "bit varying(5)", "point", "box", "tsvector", "int4range", "oid", "name", '"char"', "character", "character(3)", "bpchar",
    "varchar", "varchar(5)", "varchar(10485760)", "text", "citextish", "positive", "short", "moods", "mood", "mood[]", "pair",
    "other.mood", "other.date", "numeric", "numeric(10,2)", "decimal(5)", "real", "double precision", "float(3)", "smallint",
    "bigint", "boolean", "json", "jsonb", "bytea", "uuid", "date", "time", "time(3)", "timetz", "timestamp", "timestamp(3)",
    "timestamptz", "timestamptz(0)", "regclass", "pg_lsn", "txid_snapshot", "jsonpath"]

POSTGRES_MORE = """
    CREATE DOMAIN citextish AS text COLLATE "C"; CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
    CREATE DOMAIN short AS varchar(3); CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN moods AS mood;
    CREATE TYPE pair AS (a int, b text); CREATE SCHEMA other; CREATE TYPE other.mood AS ENUM ('x');
    CREATE DOMAIN other.date AS text;"""

OPTIONS = ({}, {"updates": True}, {"destructive": True}, {"rebuild": True, "destructive": True})


def left_alone(conn, said=()):
    """Introspect, register, migrate in every way: nothing happens, and nothing is said but that."""
    before = whole_schema(conn.backend)
    register(conn.client)
    introspect(conn, register=True)
    for options in OPTIONS:
        answer = migrate(conn, **options)
        assert (answer["statements"], sorted({w["code"] for w in answer["warnings"]})) == ([], sorted(said)), answer
    assert whole_schema(conn.backend) == before


def test_types_of_others_are_no_drift(conn):
    types = SQLITE_TYPES if conn.backend.name == "sqlite" else POSTGRES_TYPES
    if conn.backend.name == "postgres":
        run(conn.backend, POSTGRES_MORE)
    quoted = ["unknown type (a) b", "Größe"]
    spelled = [f'"{kind}"' if kind in quoted else kind for kind in types]
    run(conn.backend, "CREATE TABLE odd (id integer PRIMARY KEY, " +
        ", ".join(f"c{i} {kind}{' NOT NULL' if i % 4 == 1 else ''}" for i, kind in enumerate(spelled)) + ")")
    left_alone(conn)


UNKNOWN = ["inet", "interval", "money", "xml", "text[]", "int4range", "tsvector", "point", "citextish", "pair", "timetz", "bit(3)"]


@pytest.mark.parametrize("wanted", ["varchar(4)", "text", "char(3)", "integer", "numeric(5,2)", "bigint", "uuid", "date", "jsonb", "bytea", "boolean"])
def test_a_type_that_others_lack_is_told(postgres_conn, wanted):
    """A model that names another type than one that no logical type stands for: never changed, and never passed over."""
    conn, columns = postgres_conn, [f"c{i:02}" for i, _ in enumerate(UNKNOWN)]
    run(conn.backend, POSTGRES_MORE)
    run(conn.backend, "CREATE TABLE t (id integer PRIMARY KEY, " + ", ".join(f"{name} {kind}" for name, kind in zip(columns, UNKNOWN)) + ")")
    logical = {"integer": "integer", "bigint": "integer", "numeric(5,2)": "decimal", "uuid": "uuid", "date": "date", "jsonb": "json", "bytea": "binary", "boolean": "boolean"}
    register(conn.client, model("T", *[column(name, logical.get(wanted, "string"), db_type=wanted, nullable=True) for name in columns]))
    before = whole_schema(conn.backend)
    for options in ({"dry_run": True}, *OPTIONS):
        answer = migrate(conn, **options)
        assert (answer["statements"], [(w["code"], w["column"]) for w in answer["warnings"]]) == ([], [("type_drift", name) for name in columns]), answer
    assert "'inet'" in answer["warnings"][0]["detail"]
    assert whole_schema(conn.backend) == before


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("live", ["integer", "date", "inet", "text[]", "boolean"])
def test_an_enum_over_what_holds_no_labels_is_told(postgres_conn, live, version):
    conn = postgres_conn
    run(conn.backend, f"CREATE TABLE t (id integer PRIMARY KEY, a {live}, b varchar)")
    labels = {"enum_type_name": "shape", "enum_values": ["round", "flat"]}
    models = [model("T", column("a", **labels), column("b", **labels))]
    conn.client.put("/v1/models", {"ir_kind": "schema", "ir_version": version, "payload": {"models": models}}).expect(200)
    for options in OPTIONS:
        answer = migrate(conn, **options)
        assert (answer["statements"], [(w["code"], w["column"]) for w in answer["warnings"]]) == ([], [("enum_drift", "a")]), answer


def test_another_type_over_labels_is_told(postgres_conn):
    conn = postgres_conn
    run(conn.backend, POSTGRES_MORE)
    run(conn.backend, "CREATE TABLE t (id integer PRIMARY KEY, a mood, b mood, c mood, d mood, e other.mood)")
    register(conn.client, model("T", column("a", db_type="inet"), column("b", db_type="mood[]"), column("c", db_type="mood"),
                                column("d", db_type="public.mood"), column("e", db_type="other.mood")))
    answer = migrate(conn, dry_run=True)
    assert (answer["statements"], [(w["code"], w["column"]) for w in answer["warnings"]]) == ([], [("type_drift", "a"), ("type_drift", "b")])


def test_a_model_that_names_no_type_takes_theirs(postgres_conn):
    conn, columns = postgres_conn, [f"c{i:02}" for i, _ in enumerate(UNKNOWN)]
    run(conn.backend, POSTGRES_MORE)
    run(conn.backend, "CREATE TABLE t (id integer PRIMARY KEY, " + ", ".join(f"{name} {kind}" for name, kind in zip(columns, UNKNOWN)) + ")")
    register(conn.client, model("T", *[column(name, nullable=True) for name in columns]))
    for options in OPTIONS:
        quiet(conn, **options)


def test_things_of_others_are_no_drift(conn):
    """Indexes, keys and checks of others, whatever they are called and however much they say."""
    run(conn.backend, """CREATE TABLE base (a integer NOT NULL, b text DEFAULT 'x', c text UNIQUE, PRIMARY KEY (a));
CREATE TABLE rest (x integer, y text, z integer, w text NOT NULL DEFAULT (1 + 1), CONSTRAINT two UNIQUE (x, y), UNIQUE (y, x),
    CHECK (z > 1), CHECK (y IN ('p', 'q')), CONSTRAINT again CHECK (y IN ('p', 'q')),
    FOREIGN KEY (z) REFERENCES base (a) ON UPDATE CASCADE);
CREATE INDEX idx_rest_part ON rest (z) WHERE z > 5;
CREATE UNIQUE INDEX uq_rest_part ON rest (w) WHERE z > 5;
CREATE INDEX idx_rest_low ON rest (lower(y));
CREATE INDEX idx_rest_z ON rest (z);
CREATE INDEX idx_base_b ON rest (y DESC);
CREATE UNIQUE INDEX other ON rest (w, z)""")
    left_alone(conn)


def test_untyped_values_stay_what_they_are(sqlite_conn):
    """An untyped column is text to its model, and is not rebuilt into one unasked."""
    run(sqlite_conn.backend, "CREATE TABLE free (id integer PRIMARY KEY, v)")
    left_alone(sqlite_conn)
    insert(sqlite_conn.client, sqlite_conn.name, "free", [{"v": "007"}])
    assert query(sqlite_conn.client, "free", using=sqlite_conn.name).json()["rows"] == [{"id": 1, "v": "007"}]
    register(sqlite_conn.client, model("Free", column("v", "integer"), table_name="free"))
    assert [w["code"] for w in migrate(sqlite_conn)["warnings"]] == ["type_drift"], "an integer is another thing"


TAKEN = {
    "sqlite": [("view", "CREATE VIEW taken AS SELECT 1 AS id"), ("virtual table", "CREATE VIRTUAL TABLE taken USING fts5(a)"),
               ("index", "CREATE TABLE t (a);\nCREATE INDEX taken ON t (a)")],
    "postgres": [("view", "CREATE VIEW taken AS SELECT 1 AS id"),
                 ("materialized view", "CREATE MATERIALIZED VIEW taken AS SELECT 1 AS id"),
                 ("foreign table", "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; "
                                   "CREATE FOREIGN TABLE taken (id int) SERVER s"),
                 ("sequence", "CREATE SEQUENCE taken"), ("index", "CREATE TABLE t (a int); CREATE INDEX taken ON t (a)"),
                 ("composite type", "CREATE TYPE taken AS (a int)")]}


@pytest.mark.parametrize("kind, made", TAKEN["sqlite"])
def test_a_name_that_is_no_tables_on_sqlite(sqlite_conn, kind, made):
    refused(sqlite_conn, kind, made)


@pytest.mark.parametrize("kind, made", TAKEN["postgres"])
def test_a_name_that_is_no_tables_on_postgres(postgres_conn, kind, made):
    refused(postgres_conn, kind, made)


def refused(conn, kind, made):
    run(conn.backend, made)
    before = whole_schema(conn.backend)
    register(conn.client, model("Taken"), model("Beside"))
    for path, options in (("create-tables", {}), ("migrate", {"updates": False}), ("migrate", {"dry_run": True}), ("migrate", {})):
        problem = conn.client.post(f"/v1/{path}", {**conn.using, **options}).problem(422, "migration_refused")
        assert problem["table"] == "taken" and problem["detail"].startswith("taken cannot be created")
        for word in (f"a {kind} ", "rename", '"Taken"'):
            assert word in problem["detail"]
    assert whole_schema(conn.backend) == before, "nor is the other table made"
    register(conn.client, model("Beside"))
    migrate(conn)
    quiet(conn)
