"""Nothing loses data without destructive, judged by the data; and what is needed is not dropped."""
import pytest

from support.schema import column, columns_of, indexes_of, migrate, model, quiet, register, run, whole_schema
from support.tables import sql


def lost(answer):
    return {(w["column"], w["rows"], w.get("key")) for w in answer["warnings"] if w["code"] == "would_lose_data"}


def changes(answer):
    return [(c["kind"], c["loses_data"], c["reversible"]) for c in answer["changes"]]


# live type, value, db_type or logical type wanted, what it becomes (None: it is refused by the database)
NARROWED = [
    ("varchar(20)", "'abcdefghij'", {"db_type": "varchar(5)"}, "abcde"),
    ("numeric(6,2)", "1.25", {"logical": "integer"}, "1"),
    ("double precision", "1.5", {"logical": "integer", "db_type": "bigint"}, "2"),
    ("timestamp", "'2026-01-02 03:04'", {"logical": "date"}, "2026-01-02"),
    ("integer", "7", {"logical": "boolean"}, "t"),
    ("text", "'007'", {"logical": "integer"}, "7"),
    ("boolean", "true", {"db_type": "char(3)"}, "tru"),
    ("double precision", "'Infinity'", {"db_type": "varchar(3)"}, "Inf"),
    ("bigint", "5000000000", {"logical": "integer"}, None),
    ("text", "'abc'", {"logical": "integer"}, None),
    ("text", "'2026-01-02T03:04:05+02:00'", {"logical": "datetime", "db_type": "timestamp"}, "2026-01-02 03:04:05"),
    ("text", "'no uuid'", {"logical": "uuid"}, None),
    ("json", '\'{"a": 1, "a": 2}\'', {"logical": "json", "db_type": "jsonb"}, '{"a": 2}'),
]


@pytest.mark.parametrize("live,value,wanted,becomes", NARROWED, ids=lambda v: str(v)[:24])
def test_a_narrower_type_is_judged_by_the_rows(postgres_conn, live, value, wanted, becomes):
    """With a value that would change: a warning that names rows and a key, no statement; with destructive it is done."""
    conn = postgres_conn
    run(conn.backend, f"CREATE TABLE t (id serial PRIMARY KEY, n {live}); INSERT INTO t (n) VALUES (NULL), ({value})")
    more = dict(wanted)
    register(conn.client, model("T", column("n", more.pop("logical", "string"), **more)))
    before = whole_schema(conn.backend)
    for dry_run in (True, False):
        answer = migrate(conn, dry_run=dry_run)
        assert answer["statements"] == [] and lost(answer) == {("n", 1, "2")}
    assert whole_schema(conn.backend) == before
    if becomes is None:
        conn.client.post("/v1/migrate", {**conn.using, "destructive": True}).problem(422, "migration_refused")
        assert whole_schema(conn.backend) == before
    else:
        assert changes(migrate(conn, destructive=True)) == [("alter_type", True, False)]
        assert run(conn.backend, "SELECT n FROM t WHERE id = 2") == [[becomes]]
    run(conn.backend, "DROP TABLE t")
    # without such a row nothing is lost, and that is said
    run(conn.backend, f"CREATE TABLE t (id serial PRIMARY KEY, n {live}); INSERT INTO t (n) VALUES (NULL)")
    answer = migrate(conn)
    assert changes(answer) == [("alter_type", False, True)] and answer["warnings"] == []
    quiet(conn)


FITTING = [("varchar(20)", "'abc'", {"db_type": "varchar(5)"}), ("numeric(6,2)", "3", {"logical": "integer"}),
           ("text", "'-12'", {"logical": "integer"}), ("text", "'2026-01-02 03:04:05'", {"logical": "datetime"}),
           ("text", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", {"logical": "uuid"}), ("json", "'{\"a\": 1}'",
            {"logical": "json", "db_type": "jsonb"}), ("boolean", "false", {"db_type": "varchar(5)"}),
           ("numeric(6,2)", "1.50", {"db_type": "varchar(4)"}), ("uuid", "gen_random_uuid()", {"db_type": "char(40)"}), ("bigint", "5", {"logical": "integer", "db_type": "smallint"})]


@pytest.mark.parametrize("live,value,wanted", FITTING, ids=lambda v: str(v)[:24])
def test_what_fits_is_converted(postgres_conn, live, value, wanted):
    conn = postgres_conn
    run(conn.backend, f"CREATE TABLE t (id serial PRIMARY KEY, n {live}); INSERT INTO t (n) VALUES ({value})")
    more = dict(wanted)
    register(conn.client, model("T", column("n", more.pop("logical", "string"), **more)))
    answer = migrate(conn)
    assert changes(answer) == [("alter_type", False, True)] and answer["warnings"] == []
    quiet(conn)


@pytest.mark.parametrize("live,values,wanted,bad", [
    ("text", ["'007'", "'1e3'", "'abc'", "'12'", "NULL"], {"logical": "integer"}, 3),
    ("real", ["1.5", "2.0"], {"logical": "integer"}, 1),
    ("integer", ["9007199254740993", "5"], {"logical": "number"}, 1),
    ("integer", ["5"], {"logical": "binary"}, 1),
    ("blob", ["x'00ff'", "'abc'"], {"logical": "integer"}, 2),
    ("numeric", ["'yesterday'", "'2026-01-02'"], {"logical": "date"}, 1),
    ("time", ["'03:04:05'", "'2026-01-02T03:04:05'", "'2000-01-01'"], {"logical": "datetime"}, 1),
    ("time", ["'00:00:00'", "'2000-01-01'"], {"logical": "date"}, 1),
    ("blob", ["'{bad'", "'{}'"], {"logical": "json"}, 1),
])
def test_a_rebuild_is_judged_by_the_rows(sqlite_conn, live, values, wanted, bad):
    conn = sqlite_conn
    run(conn.backend, f"CREATE TABLE t (id integer PRIMARY KEY, n {live}, keep text)")
    for value in values:
        run(conn.backend, f"INSERT INTO t (n) VALUES ({value})")
    stored = run(conn.backend, "SELECT id, typeof(n), quote(n) FROM t")
    more = dict(wanted)
    register(conn.client, model("T", column("n", more.pop("logical", "string"), **more), column("keep", db_type="text", nullable=True)))
    dry = migrate(conn, rebuild=True, dry_run=True)
    answer = migrate(conn, rebuild=True)
    assert answer["statements"] == dry["statements"] == []
    assert {(w["code"], w["rows"]) for w in answer["warnings"]} == {("would_lose_data", bad)}
    assert run(conn.backend, "SELECT id, typeof(n), quote(n) FROM t") == stored
    forced = migrate(conn, rebuild=True, destructive=True, dry_run=True)
    copies = [c for c in forced["changes"] if c["rewrites"]]
    assert [(c["loses_data"], c["reversible"]) for c in copies] == [(True, False)]
    run(conn.backend, "DELETE FROM t WHERE quote(n) NOT IN ('12', '''12''', '2.0', '5', '''2026-01-02''', '''{}''')")
    if bad < len(values):
        answer = migrate(conn, rebuild=True)
        assert answer["warnings"] == []
        assert [(c["loses_data"], c["reversible"]) for c in answer["changes"] if c["rewrites"]] == [(False, True)]


def test_the_rest_of_the_table_goes_on(sqlite_conn):
    """A column that would lose keeps its type; what else differs is rebuilt."""
    conn = sqlite_conn
    run(conn.backend, "CREATE TABLE t (id integer PRIMARY KEY, n text, m text);\nINSERT INTO t VALUES (1, 'x', '5')")
    register(conn.client, model("T", column("n", "integer"), column("m", "integer", nullable=False)))
    answer = migrate(conn, rebuild=True)
    assert lost(answer) == {("n", 1, "1")}
    assert columns_of(conn.backend, "t") == {"id": "integer", "n": "text", "m": "integer"}
    assert run(conn.backend, "SELECT n, typeof(m) FROM t") == [["x", "integer"]]


# ---- what is needed ----

NEEDED = {
    "view": "CREATE VIEW v AS SELECT a, b FROM t",
    "trigger": {"sqlite": "CREATE TRIGGER v AFTER INSERT ON t BEGIN INSERT INTO log VALUES (new.b); END",
                "postgres": "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log VALUES (NEW.b); "
                            "RETURN NEW; END $$; CREATE TRIGGER v AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()"},
    "trigger of another table": {"sqlite": "CREATE TRIGGER v AFTER INSERT ON log BEGIN UPDATE t SET a = b; END"},
    "index over an expression": "CREATE INDEX v ON t (a, (b + 1))",
    "partial index": "CREATE INDEX v ON t (a) WHERE b > 0",
    "check": "ALTER TABLE t ADD CONSTRAINT v CHECK (b > length(a))",
}


@pytest.mark.parametrize("kind", sorted(NEEDED))
@pytest.mark.parametrize("rebuild", [False, True])
def test_what_something_needs_is_not_dropped(conn, kind, rebuild):
    """Refused before anything runs, in a dry run too, and named."""
    need = NEEDED[kind] if isinstance(NEEDED[kind], str) else NEEDED[kind].get(conn.backend.name)
    table = "CREATE TABLE t (id integer PRIMARY KEY, a text, b integer"
    if kind == "check" and conn.backend.name == "sqlite":
        table, need = table + ", CONSTRAINT v CHECK (b > length(a))", "SELECT 1"
    if need is None:
        pytest.skip("PostgreSQL does not know what other tables' functions read")
    run(conn.backend, table + ");\nCREATE TABLE log (x integer)")
    run(conn.backend, need)
    if conn.backend.name == "sqlite":
        # something that only a rebuild can do, so that there is one
        run(conn.backend, "INSERT INTO t VALUES (1, 'x', 5)")
    wanted = model("T", column("a", db_type="text", nullable=not rebuild or conn.backend.name == "postgres"))
    register(conn.client, wanted)
    before = whole_schema(conn.backend)
    for dry_run in (True, False):
        problem = conn.client.post("/v1/migrate", {**conn.using, "destructive": True, "rebuild": rebuild,
                                                   "dry_run": dry_run}).problem(422, "migration_refused")
        assert '"v"' in problem["detail"] and (problem["table"], problem["column"]) == ("t", "b")
    assert whole_schema(conn.backend) == before
    sql(conn.client, "INSERT INTO t VALUES (2, 'x', 7)", using=conn.name, verb="execute").expect(200)


def test_a_view_that_was_broken_before_is_in_nobodys_way(sqlite_conn):
    conn = sqlite_conn
    run(conn.backend, "CREATE TABLE t (id integer PRIMARY KEY, a text);\n"
                      "CREATE VIEW broken AS SELECT * FROM nowhere")
    register(conn.client, model("T", column("a", db_type="text", nullable=False)))
    assert migrate(conn, rebuild=True)["warnings"] == []


def test_a_generated_column_needs_its_source(conn):
    run(conn.backend, "CREATE TABLE t (id integer PRIMARY KEY, b integer, g integer GENERATED ALWAYS AS (b * 2) STORED)")
    register(conn.client, model("T", column("g", "integer")))
    problem = conn.client.post("/v1/migrate", {**conn.using, "destructive": True}).problem(422, "migration_refused")
    assert "generated column" in problem["detail"] and '"g"' in problem["detail"]


def test_refusals_of_postgres_name_what_is_in_the_way(postgres_conn):
    conn = postgres_conn
    run(conn.backend, "CREATE TABLE t (id serial PRIMARY KEY, b integer); CREATE VIEW seen AS SELECT b FROM t")
    register(conn.client, model("T", column("b", "integer", db_type="bigint")))
    problem = conn.client.post("/v1/migrate", conn.using).problem(422, "migration_refused")
    assert problem["sqlstate"] == "0A000" and "view seen" in problem["detail"]


# ---- indexes beside the work ----

def test_indexes_are_built_concurrently(conn):
    run(conn.backend, "CREATE TABLE t (id integer PRIMARY KEY, a text, b text)")
    register(conn.client, model("T", column("a", db_type="text", unique=True), column("b", db_type="text", index=True)))
    dry = migrate(conn, concurrently=True, dry_run=True)
    answer = migrate(conn, concurrently=True, plan_hash=dry["plan_hash"])
    assert answer["changes"] == dry["changes"]
    assert {"idx_t_b", "uq_t_a"} <= set(indexes_of(conn.backend, "t"))
    if conn.backend.name == "postgres":
        assert all("CONCURRENTLY" in s for s in answer["statements"])
        assert {c["lock"] for c in answer["changes"]} == {"SHARE UPDATE EXCLUSIVE"}
    quiet(conn, concurrently=True)


def test_an_invalid_index_is_cleaned_up(postgres_conn):
    """A build that fails leaves nothing; one that another program left is made anew."""
    conn = postgres_conn
    run(conn.backend, "CREATE TABLE t (id serial PRIMARY KEY, a text); INSERT INTO t (a) VALUES ('x'), ('x')")
    register(conn.client, model("T", column("a", db_type="text", unique=True), column("b", "integer")))
    problem = conn.client.post("/v1/migrate", {**conn.using, "concurrently": True}).problem(422, "migration_refused")
    assert (problem["sqlstate"], problem["outcome"]) == ("23505", "committed")
    assert indexes_of(conn.backend, "t") == ["t_pkey"] and "b" in columns_of(conn.backend, "t")
    with pytest.raises(AssertionError, match="duplicated"):
        conn.backend.pg.psql("CREATE UNIQUE INDEX CONCURRENTLY uq_t_a ON t (a)", conn.backend.database)
    assert "uq_t_a" in indexes_of(conn.backend, "t")
    run(conn.backend, "UPDATE t SET a = id::text")
    answer = migrate(conn, concurrently=True)
    assert [c["kind"] for c in answer["changes"]] == ["drop_index", "create_index"]
    assert run(conn.backend, "SELECT bool_and(indisvalid) FROM pg_index WHERE indrelid = 't'::regclass") == [["t"]]
    quiet(conn)
