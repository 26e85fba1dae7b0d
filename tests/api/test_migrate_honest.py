"""Every difference between models and database is a statement or a warning; and nothing else is."""
import threading
import time

import pytest

from support.schema import column, columns_of, introspect, migrate, model, quiet, register, run
from support.tables import create_tables, insert, sql


def codes(answer):
    return sorted(w["code"] for w in answer["warnings"])


def kinds(answer):
    return [c["kind"] for c in answer["changes"]]


def is_sqlite(conn):
    return conn.backend.name == "sqlite"


def differs(conn, sqlite_code, postgres_kinds, **options):
    """The difference is told (SQLite) or mended (PostgreSQL), and by a rebuild on SQLite."""
    answer = migrate(conn, **options)
    if not is_sqlite(conn):
        assert (kinds(answer), answer["warnings"]) == (postgres_kinds, [])
    else:
        assert (answer["statements"], codes(answer)) == ([], [sqlite_code])
        assert migrate(conn, rebuild=True, **options)["warnings"] == []
    quiet(conn, **options)


# ---- foreign keys ----

def key(**more):
    return [{"column": "up", "to_table": "base", **more}]


def test_a_foreign_key_that_is_missing(conn):
    run(conn.backend, "CREATE TABLE base (id integer PRIMARY KEY);\nCREATE TABLE t (id integer PRIMARY KEY, up integer)")
    register(conn.client, model("Base"), model("T", column("up", "integer"), foreign_keys=key()))
    differs(conn, "foreign_key_not_added", ["add_foreign_key"])
    sql(conn.client, "INSERT INTO t VALUES (1, 99)", using=conn.name, verb="execute").problem(409, "foreign_key_violation")


def test_a_foreign_key_with_another_action(conn):
    run(conn.backend, "CREATE TABLE base (id integer PRIMARY KEY);\nCREATE TABLE t (id integer PRIMARY KEY, up integer "
                      "REFERENCES base (id) ON DELETE CASCADE, CONSTRAINT mine UNIQUE (up))")
    register(conn.client, model("Base"), model("T", column("up", "integer"), foreign_keys=key(on_delete="SET NULL"),
                                               uniques=[{"name": "mine", "columns": ["up"]}]))
    differs(conn, "foreign_key_drift", ["drop_foreign_key", "add_foreign_key"])
    run(conn.backend, "INSERT INTO base VALUES (1);\nINSERT INTO t VALUES (1, 1)")
    sql(conn.client, "DELETE FROM base", using=conn.name, verb="execute").expect(200)
    assert run(conn.backend, "SELECT count(*), count(up) FROM t") == [["1", "0"]]


@pytest.mark.parametrize("named", ["nobody", "two ends", "a person"])
def test_a_foreign_key_to_another_table(conn, named):
    """It takes the place of the old one, unless somebody chose that one's name."""
    name = {"nobody": "", "two ends": "CONSTRAINT fk_t_up_base ", "a person": "CONSTRAINT mine "}[named]
    run(conn.backend, f"CREATE TABLE base (id integer PRIMARY KEY);\nCREATE TABLE other (id integer PRIMARY KEY);\nCREATE TABLE t (id integer "
                      f"PRIMARY KEY, up integer, {name}FOREIGN KEY (up) REFERENCES base (id) ON DELETE CASCADE)")
    register(conn.client, model("Base"), model("Other"), model("T", column("up", "integer"), foreign_keys=[{"column": "up", "to_table": "other"}]))
    if named == "a person":
        assert "foreign_key_not_in_model" in codes(migrate(conn, rebuild=True))
        return
    differs(conn, "foreign_key_drift", ["drop_foreign_key", "add_foreign_key"])
    run(conn.backend, "INSERT INTO other VALUES (7);\nINSERT INTO t VALUES (1, 7)")
    sql(conn.client, "INSERT INTO t VALUES (2, 8)", using=conn.name, verb="execute").problem(409, "foreign_key_violation")


def test_foreign_keys_of_one_column_that_lead_elsewhere(conn):
    """One stays, each of the others is replaced by one; what was too many is told."""
    tables = ";\n".join(f"CREATE TABLE {name} (id integer PRIMARY KEY)" for name in "abcde")
    run(conn.backend, f"{tables};\nCREATE TABLE t (id integer PRIMARY KEY, up integer REFERENCES a (id) ON DELETE CASCADE REFERENCES b (id) "
                      "ON DELETE CASCADE REFERENCES c (id) ON DELETE CASCADE)")
    def keys(*targets):
        return [model(name.upper()) for name in "abcde"] + [
            model("T", column("up", "integer"), foreign_keys=[{"column": "up", "to_table": to} for to in targets])]
    register(conn.client, *keys("b", "d", "e"))
    answer = migrate(conn, rebuild=True)
    assert answer["warnings"] == [], answer
    if not is_sqlite(conn):
        assert kinds(answer) == ["drop_foreign_key", "add_foreign_key"] * 2
    quiet(conn)
    register(conn.client, *keys("a"))
    answer = migrate(conn, rebuild=True)
    assert codes(answer) == ["foreign_key_not_in_model"] * 2


def test_what_only_the_database_has(conn):
    """A key, a check, a unique: the model allows what they refuse."""
    run(conn.backend, "CREATE TABLE base (id integer PRIMARY KEY);\nCREATE TABLE t (id integer PRIMARY KEY, up integer "
                      "REFERENCES base (id), a text, CONSTRAINT short CHECK (length(a) < 5), CONSTRAINT one UNIQUE (a))")
    register(conn.client, model("Base"), model("T", column("up", "integer"), column("a", db_type="text")))
    for options in ({}, {"destructive": True}, {"rebuild": True}):
        answer = migrate(conn, **options)
        assert answer["statements"] == []
        assert codes(answer) == ["check_not_in_model", "foreign_key_not_in_model", "unique_not_in_model"]
    told = {w["code"]: w for w in answer["warnings"]}
    assert told["check_not_in_model"]["object"] == "short" and told["foreign_key_not_in_model"]["column"] == "up"


def test_a_column_that_only_the_database_has_and_wants(conn):
    """A record without it is refused; one that may be null or fills itself is nobody's business."""
    run(conn.backend, "CREATE TABLE t (id integer PRIMARY KEY, a integer, need integer NOT NULL, may integer, filled integer NOT NULL DEFAULT 3, "
                      "made integer GENERATED ALWAYS AS (a * 2) STORED)")
    register(conn.client, model("T", column("a", "integer")))
    for options in ({}, {"rebuild": True}):
        answer = migrate(conn, **options)
        assert answer["statements"] == [] and [(w["code"], w["column"]) for w in answer["warnings"]] == [("not_null_not_in_model", "need")]
    assert migrate(conn, destructive=True, dry_run=True)["warnings"] == []
    conn.client.post("/v1/models/T/records", {"id": 1, "a": 1}, params=conn.using).problem(422, "not_null_violation")
    introspect(conn, register=True, exclude=["t.need"])
    quiet(conn)


# ---- checks ----

def test_a_check_with_other_values(conn):
    """Made by create-tables, then widened under the same name."""
    def job(*values):
        return model("Job", column("st", db_type="text"), checks=[{"name": "ck_job_st", "column": "st", "values": list(values)}])
    create_tables(conn.client, conn.name, job("'a'", "'b'"))
    register(conn.client, job("'b'", "'a'"))
    quiet(conn)
    register(conn.client, job("'a'", "'b'", "'c'"))
    differs(conn, "check_drift", ["drop_check", "add_check"])
    insert(conn.client, conn.name, "Job", [{"st": "c"}])
    conn.client.post("/v1/models/Job/records", {"st": "d"}, params=conn.using).problem(422, "check_violation")


def test_an_anonymous_check_is_replaced(sqlite_conn):
    """Not joined by a second one."""
    conn = sqlite_conn
    run(conn.backend, "CREATE TABLE t (id integer PRIMARY KEY, a text CHECK (a IN ('x', 'y')), b integer CHECK (b > 0))")
    register(conn.client)
    got = introspect(conn, register=True)["payload"]["models"][0]
    assert got["checks"][0]["values"] == ["'x'", "'y'"]
    got["checks"][0]["values"].append("'z'")
    register(conn.client, got)
    answer = migrate(conn, rebuild=True)
    assert kinds(answer) and codes(answer) == []
    insert(conn.client, conn.name, "t", [{"a": "z", "b": 1}])
    for row in ({"a": "w"}, {"b": 0}):
        conn.client.post("/v1/models/t/records", row, params=conn.using).problem(422, "check_violation")
    assert migrate(conn, rebuild=True)["statements"] == []


# ---- enums ----

def enum(*labels):
    return model("Post", column("st", enum_type_name="st", postgres_native_enum=True, enum_values=list(labels)))


def test_labels_of_an_enum(postgres_conn):
    """Added at their place; one that goes or moves is told."""
    conn = postgres_conn
    create_tables(conn.client, conn.name, enum("b", "d"))
    register(conn.client, enum("a", "b", "c", "d", "e"))
    dry = migrate(conn, dry_run=True)
    answer = migrate(conn)
    assert kinds(answer) == ["add_enum_value"] * 3 == kinds(dry) and answer["warnings"] == []
    assert run(conn.backend, "SELECT string_agg(enumlabel, ',' ORDER BY enumsortorder) FROM pg_enum") == [["a,b,c,d,e"]]
    quiet(conn)
    insert(conn.client, conn.name, "Post", [{"st": "c"}])
    for labels in (("a", "c"), ("b", "a", "c", "d", "e")):
        register(conn.client, enum(*labels))
        answer = migrate(conn)
        assert (answer["statements"], codes(answer)) == ([], ["enum_drift"])


# ---- keys and indexes ----

def test_a_primary_key_that_moved(conn):
    run(conn.backend, "CREATE TABLE t (id integer NOT NULL, code varchar(9) NOT NULL, PRIMARY KEY (code))")
    register(conn.client, {"model_name": "T", "columns": [
        column("id", "integer", primary_key=True, nullable=False), column("code", db_type="varchar(9)", nullable=False)]})
    for options in ({}, {"rebuild": True}):
        answer = migrate(conn, **options)
        assert (answer["statements"], codes(answer)) == ([], ["primary_key_drift"] * 2)


@pytest.mark.parametrize("made,wanted", [
    ("CREATE INDEX idx_t_x ON t (a)", {"columns": ["b"]}), ("CREATE INDEX idx_t_x ON t (b, a)", {"columns": ["a", "b"]}),
    ("CREATE INDEX idx_t_x ON t (a) WHERE b IS NOT NULL", {"columns": ["a"]}),
    ("CREATE INDEX idx_t_x ON t (a DESC)", {"columns": ["a"]}), ("CREATE UNIQUE INDEX idx_t_x ON t (a)", {"columns": ["a"]}),
    ("CREATE INDEX idx_t_x ON t USING hash (a)", {"columns": ["a"]})])
def test_an_index_of_the_name_that_is_another(conn, made, wanted):
    if "USING" in made and is_sqlite(conn):
        pytest.skip("SQLite has one method")
    run(conn.backend, f"CREATE TABLE t (id integer PRIMARY KEY, a text, b text);\n{made}")
    register(conn.client, model("T", column("a", db_type="text"), column("b", db_type="text"),
                                indexes=[{"name": "idx_t_x", **wanted}]))
    answer = migrate(conn)
    assert (kinds(answer), answer["warnings"]) == (["drop_index", "create_index"], [])
    quiet(conn)


def test_a_constraint_of_the_name_that_is_another(postgres_conn):
    conn = postgres_conn
    run(conn.backend, "CREATE TABLE t (id integer PRIMARY KEY, a text, b text, CONSTRAINT mine UNIQUE (a))")
    register(conn.client, model("T", column("a", db_type="text"), column("b", db_type="text"),
                                uniques=[{"name": "mine", "columns": ["b"]}]))
    answer = migrate(conn)
    assert answer["statements"] == [] and {w["object"] for w in answer["warnings"]} == {"mine"}


def test_a_constraint_of_the_name_in_another_order(postgres_conn):
    """It refuses the same, and serves other queries."""
    conn = postgres_conn
    run(conn.backend, "CREATE TABLE t (id integer PRIMARY KEY, a text, b text, CONSTRAINT mine UNIQUE (b, a))")
    wanted = lambda *columns: register(conn.client, model("T", column("a", db_type="text"), column("b", db_type="text"), uniques=[{"name": "mine", "columns": list(columns)}]))
    wanted("a", "b")
    answer = migrate(conn)
    assert (answer["statements"], codes(answer)) == ([], ["index_drift"]) and answer["warnings"][0]["object"] == "mine"
    wanted("b", "a")
    quiet(conn)


# ---- no phantoms ----

def test_long_names_on_sqlite(sqlite_conn):
    """SQLite has names of any length; models cut them at 63 bytes."""
    conn, long = sqlite_conn, "x" * 80
    run(conn.backend, f"CREATE TABLE t (id integer PRIMARY KEY, a text, b text, CONSTRAINT ck_{long} CHECK (a IN ('x')));\n"
                      f"CREATE INDEX idx_{long} ON t (a);\nCREATE UNIQUE INDEX u_{long} ON t (a, b)")
    register(conn.client)
    introspect(conn, register=True)
    for options in ({}, {"destructive": True}, {"rebuild": True}):
        quiet(conn, **options)


def test_partitions_are_reached_by_their_parent(postgres_conn):
    conn = postgres_conn
    run(conn.backend, """CREATE TABLE p (id int, at date, v int, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
        CREATE TABLE p_1 PARTITION OF p FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
        CREATE TABLE p_2 PARTITION OF p FOR VALUES FROM ('2027-01-01') TO ('2028-01-01') PARTITION BY LIST (id);
        CREATE TABLE p_2_1 PARTITION OF p_2 FOR VALUES IN (1);
        CREATE INDEX idx_p_v ON p (v); INSERT INTO p VALUES (1, '2026-05-05', 7), (1, '2027-05-05', 8)""")
    register(conn.client)
    got = introspect(conn, register=True)["payload"]["models"]
    assert [m["model_name"] for m in got] == ["p"]
    quiet(conn)
    quiet(conn, destructive=True)
    for c in got[0]["columns"]:
        if c["name"] == "v":
            c["db_type"] = "bigint"
    register(conn.client, *got)
    assert kinds(migrate(conn)) == ["alter_type"]
    assert run(conn.backend, "SELECT format_type(atttypid, -1) FROM pg_attribute WHERE attrelid = 'p_2_1'::regclass "
                             "AND attname = 'v'") == [["bigint"]]
    quiet(conn)


def test_indexes_over_partitions_are_not_built_concurrently(postgres_conn):
    """PostgreSQL cannot: that is said, and the rest is done; without it they are made, with all that partitions take."""
    conn = postgres_conn
    run(conn.backend, """CREATE TABLE p (id int, at date, v int, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
        CREATE TABLE p_1 PARTITION OF p FOR VALUES FROM ('2026-01-01') TO ('2027-01-01'); INSERT INTO p VALUES (1, '2026-05-05', 7);
        CREATE INDEX idx_p_old ON p (v, id)""")
    register(conn.client)
    got = introspect(conn, register=True)["payload"]["models"][0]
    got.update(indexes=[], uniques=[{"name": "uq_p_at_v", "columns": ["at", "v"]}],
               columns=[{**c, "nullable": c["nullable"] and c["name"] != "v"} for c in got["columns"]] + [column("added", "integer", index=True)],
               checks=[{"name": "ck_p_v", "column": "v", "values": ["7", "8"]}])
    register(conn.client, got)
    for _ in range(2):
        answer = migrate(conn, concurrently=True, destructive=True)
        assert {(w["code"], w["object"]) for w in answer["warnings"]} == {("index_not_made", "idx_p_added"), ("index_not_made", "uq_p_at_v")}
    assert run(conn.backend, "SELECT count(*) FROM pg_indexes WHERE indexname = 'idx_p_old'") == [["0"]]
    assert sorted(kinds(migrate(conn))) == ["create_index", "create_index"]
    assert run(conn.backend, "SELECT bool_and(indisvalid) FROM pg_index WHERE indrelid IN ('p'::regclass, 'p_1'::regclass)") == [["t"]]
    quiet(conn, concurrently=True)


# ---- waiting ----

def test_a_waiting_migration_lets_readers_through(postgres_conn):
    """Behind its lock readers would queue: at most two seconds at a time, and it gets through in the end."""
    conn = postgres_conn
    create_tables(conn.client, conn.name, model("T", column("a", db_type="text")))
    register(conn.client, model("T", column("a", db_type="text"), column("b", "integer")))
    holder = conn.client.transaction(**conn.using)
    sql(holder, "SELECT * FROM t").expect(200)
    done = []
    other = conn.client.clone()
    other.timeout = 60
    migration = threading.Thread(target=lambda: done.append(other.post("/v1/migrate", conn.using)))
    migration.start()
    slowest, end = 0.0, time.monotonic() + 5
    try:
        while time.monotonic() < end and not done:
            began = time.monotonic()
            sql(conn.client, "SELECT count(*) FROM t", using=conn.name).expect(200)
            slowest = max(slowest, time.monotonic() - began)
            time.sleep(0.02)
        assert not done, "it waits for the transaction"
    finally:
        holder.post(f"/v1/transactions/{holder.headers['Ferro-Transaction']}/commit").expect(200)
        migration.join()
    assert 0.5 < slowest < 3, "readers queued, and got through"
    assert done[0].status == 200 and "b" in columns_of(conn.backend, "t")
