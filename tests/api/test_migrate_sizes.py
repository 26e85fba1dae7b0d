"""Types of one family that do not hold the same values are a difference, on both databases; and what is added is what create-tables makes."""
import pytest

from support.schema import column, columns_of, introspect, migrate, model, quiet, register, run, whole_schema
from support.tables import create_tables


def told(answer):
    return [(w["code"], w["column"]) for w in answer["warnings"]]


# declared, wanted, values that fit, one that does not
SMALLER = [
    ("numeric(8,3)", {"logical": "decimal", "db_type": "numeric(8,1)"}, ["1.5", "-2", "'n/a'"], "1.25"),
    ("decimal(8,3)", {"logical": "decimal", "db_type": "decimal(4,3)"}, ["1.125"], "12.5"),
    ("NUMERIC(8,3)", {"logical": "decimal", "db_type": "numeric", "sqlite_type": "NUMERIC(8,2)"}, ["1.25"], "1.255"),
    ("varchar(20)", {"logical": "string", "db_type": "varchar(5)"}, ["'abcde'", "x'00010203040506'"], "'abcdef'"),
    ("text", {"logical": "string", "db_type": "varchar(5)"}, ["'äöüßx'"], "'abcdef'"),
    ("datetime", {"logical": "date", "db_type": "date"}, ["'2026-01-02'", "'2026-01-02 00:00:00'"], "'2026-01-02 03:04:05'"),
    ("datetime", {"logical": "date"}, ["'2026-01-02'"], "'2026-01-02T03:04:05Z'"),
    ("datetime", {"logical": "time", "db_type": "time"}, ["'03:04:05'"], "'2026-01-02 03:04:05'"),
]


@pytest.mark.parametrize("live, wanted, fit, not_fit", SMALLER, ids=lambda v: str(v)[:30])
def test_a_narrower_type_of_sqlite_is_a_difference(sqlite_conn, live, wanted, fit, not_fit):
    """Told in place; judged by the rows, and made, in a rebuild."""
    conn, more = sqlite_conn, dict(wanted)
    run(conn.backend, f"CREATE TABLE t (id integer PRIMARY KEY, n {live})")
    for value in [*fit, not_fit]:
        run(conn.backend, f"INSERT INTO t (n) VALUES ({value})")
    register(conn.client, model("T", column("n", more.pop("logical"), **more)))
    answer = migrate(conn)
    assert (answer["statements"], told(answer)) == ([], [("type_drift", "n")]) and f"'{live.lower()}'" in answer["warnings"][0]["detail"].lower()
    stored = run(conn.backend, "SELECT id, quote(n) FROM t")
    answer = migrate(conn, rebuild=True)
    assert (answer["statements"], told(answer)) == ([], [("would_lose_data", "n")])
    assert (answer["warnings"][0]["rows"], answer["warnings"][0]["key"]) == (1, str(len(fit) + 1))
    assert run(conn.backend, "SELECT id, quote(n) FROM t") == stored
    run(conn.backend, f"DELETE FROM t WHERE id = {len(fit) + 1}")
    answer = migrate(conn, rebuild=True)
    assert answer["warnings"] == [] and {c["loses_data"] for c in answer["changes"]} == {False}
    assert run(conn.backend, "SELECT id, quote(n) FROM t") == stored[:-1]
    assert columns_of(conn.backend, "t")["n"] != live.lower()
    for options in ({}, {"rebuild": True}, {"destructive": True}):
        quiet(conn, **options)


@pytest.mark.parametrize("live, wanted", [
    ("numeric(8,3)", {"logical": "decimal"}), ("numeric(8,3)", {"logical": "decimal", "db_type": "numeric"}), ("numeric", {"logical": "decimal", "db_type": "numeric(8,3)"}),
    ("DECIMAL(8, 3)", {"logical": "decimal", "db_type": "numeric(8,3)"}), ("varchar(20)", {"logical": "string"}), ("varchar(20)", {"logical": "string", "db_type": "text"}), ("datetime_text", {"logical": "datetime"}),
    ("DATE", {"logical": "date", "db_type": "date"}), ("varchar", {"logical": "time"})])
def test_what_a_model_does_not_say_of_a_size_is_no_difference(sqlite_conn, live, wanted):
    more = dict(wanted)
    run(sqlite_conn.backend, f"CREATE TABLE t (id integer PRIMARY KEY, n {live})")
    register(sqlite_conn.client, model("T", column("n", more.pop("logical"), **more)))
    for options in ({}, {"rebuild": True}):
        quiet(sqlite_conn, **options)


@pytest.mark.parametrize("live, wanted, becomes, value, lossy", [
    ("double precision", {"logical": "number", "db_type": "real"}, "real", "0.5", "0.1::float8 / 3"), ("real", {"logical": "number", "db_type": "double"}, "double precision", "0.1", None),
    ("jsonb", {"logical": "json", "db_type": "json"}, "json", "'{\"a\": 1}'", None)])
def test_types_of_one_family_on_postgres(postgres_conn, live, wanted, becomes, value, lossy):
    conn, more = postgres_conn, dict(wanted)
    run(conn.backend, f"CREATE TABLE t (id serial PRIMARY KEY, n {live}); INSERT INTO t (n) VALUES ({value})")
    register(conn.client, model("T", column("n", more.pop("logical"), **more)))
    if lossy is not None:
        run(conn.backend, f"INSERT INTO t (n) VALUES ({lossy})")
        answer = migrate(conn)
        assert (answer["statements"], told(answer)) == ([], [("would_lose_data", "n")])
        run(conn.backend, "DELETE FROM t WHERE id = 2")
    assert [(c["kind"], c["loses_data"]) for c in migrate(conn)["changes"]] == [("alter_type", False)]
    assert columns_of(conn.backend, "t")["n"] == becomes
    quiet(conn)


def test_a_real_is_made_again_as_one(postgres_conn):
    conn = postgres_conn
    run(conn.backend, "CREATE TABLE t (id serial PRIMARY KEY, n real, d double precision)")
    register(conn.client)
    got = introspect(conn, register=True)["payload"]["models"][0]["columns"]
    assert [c.get("db_type") for c in got if c["name"] in "nd"] == [None, "real"]
    quiet(conn)
    run(conn.backend, "DROP TABLE t")
    conn.client.post("/v1/create-tables", conn.using).expect(200)
    assert columns_of(conn.backend, "t")["n"] == "real"
    conn.client.post("/v1/models/t/records", {"n": 0.1, "d": 0.1}, params=conn.using).expect(201)
    found = conn.client.get("/v1/models/t/records", params={**conn.using, "n": "eq.0.1"}).expect(200).json()["rows"]
    assert [row["n"] for row in found] == [0.1]


def test_an_enum_is_no_number(postgres_conn):
    conn = postgres_conn
    run(conn.backend, "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TABLE t (id serial PRIMARY KEY, a mood, b mood, c mood)")
    register(conn.client, model("T", column("a"), column("b", "integer"), column("c", db_type="varchar(9)")))
    before = whole_schema(conn.backend)
    answer = migrate(conn, destructive=True)
    assert (answer["statements"], told(answer)) == ([], [("type_drift", "b"), ("type_drift", "c")])
    assert whole_schema(conn.backend) == before


@pytest.mark.parametrize("live, wanted", [("text", {"logical_type": "integer"}), ("integer", {"logical_type": "uuid"}), ("bigint", {"logical_type": "string"})])
def test_the_type_of_a_key(conn, live, wanted):
    """It is never changed, and told."""
    run(conn.backend, f"CREATE TABLE t (id {live} NOT NULL PRIMARY KEY)")
    register(conn.client, {"model_name": "T", "columns": [{"name": "id", "primary_key": True, "autoincrement": False, **wanted}]})
    for options in ({}, {"rebuild": True, "destructive": True}):
        answer = migrate(conn, **options)
        assert (answer["statements"], told(answer)) == ([], [("type_drift", "id")]), answer
        assert "key" in answer["warnings"][0]["detail"]


def test_a_collation_is_told_beside_a_rebuild(sqlite_conn):
    conn = sqlite_conn
    run(conn.backend, "CREATE TABLE t (id integer PRIMARY KEY, a text COLLATE NOCASE, b text)")
    wanted = model("T", column("a", collation="RTRIM", db_type="text"), column("b", db_type="text", nullable=False))
    register(conn.client, wanted)
    answer = migrate(conn, rebuild=True)
    assert answer["statements"] and told(answer) == [("collation_drift", "a")]
    assert told(migrate(conn, rebuild=True)) == [("collation_drift", "a")]


# ---- what is added ----

def added(name, version, *columns):
    return {"ir_kind": "schema", "ir_version": version, "payload": {"models": [model(name, *columns)]}}


@pytest.mark.parametrize("version", [1, 3])
@pytest.mark.parametrize("rebuild", [False, True])
def test_an_added_column_is_what_create_tables_makes(conn, version, rebuild):
    more = [column("d", "datetime"), column("n", "decimal", db_type="numeric(8,1)"), column("m", "decimal"), column("u", "uuid"), column("j", "json"),
            column("v", db_type="varchar(7)"), column("c", db_type="text", collation="C" if conn.backend.name == "postgres" else "NOCASE")]
    conn.client.put("/v1/models", added("Made", version, *more)).expect(200)
    conn.client.post("/v1/create-tables", conn.using).expect(200)
    run(conn.backend, "CREATE TABLE later (id integer PRIMARY KEY, u2 integer)")
    extra = [column("u2", "integer", nullable=not rebuild)]
    conn.client.put("/v1/models", added("Later", version, *more, *extra)).expect(200)
    answer = migrate(conn, rebuild=rebuild)
    assert answer["warnings"] == []
    made, later = columns_of(conn.backend, "made"), columns_of(conn.backend, "later")
    assert {name: kind for name, kind in later.items() if name not in ("id", "u2")} == {name: kind for name, kind in made.items() if name != "id"}
    quiet(conn)


def test_a_column_of_a_strict_table(sqlite_conn):
    conn = sqlite_conn
    run(conn.backend, "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT) STRICT")
    register(conn.client, model("T", column("a", db_type="text"), column("b", "datetime"), column("c", "decimal"), strict=True))
    migrate(conn)
    assert columns_of(conn.backend, "t") == {"id": "integer", "a": "text", "b": "text", "c": "real"}
    quiet(conn)
    quiet(conn, rebuild=True)
