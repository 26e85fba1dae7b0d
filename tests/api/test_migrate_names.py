"""Keys, uniques, checks and indexes have the names that the model gives them, however they come about and change."""
import copy

import pytest
from support.schema import migrate, quiet, run

KEY = {"name": "id", "logical_type": "integer", "primary_key": True, "nullable": False}
TARGETS = [{"model_name": name, "table_name": name.lower(), "columns": [KEY]} for name in ("Acc", "Bcc")]
NAMED = {"my_fk", "my_uq", "my_uq1", "uq_post_u", "my_ix", "my_ck", "my_tc"}


def column(name, logical="integer", **more):
    return {"name": name, "logical_type": logical, "nullable": True, **more}


def post(constraint=False, **key):
    unique = {"constraint": True} if constraint else {}
    return {"model_name": "Post", "table_name": "post", "columns": [
                KEY, column("n"), column("a_id"), column("u", "string", unique=True), column("x", "string"), column("y", "string"),
                column("z", "string")],
            "foreign_keys": [{"column": "a_id", "to_table": "acc", "to_column": "id", "on_delete": "SET NULL", "name": "my_fk", **key}],
            "uniques": [{"name": "my_uq", "columns": ["x", "y"], **unique}, {"name": "my_uq1", "columns": ["y"], **unique}],
            "indexes": [{"name": "my_ix", "columns": ["x"]}], "checks": [{"name": "my_ck", "column": "z", "values": ["'p'", "'q'"]}],
            "table_checks": [{"name": "my_tc", "predicate": {"kind": "cmp", "column": "n", "op": "gt", "other": {"kind": "literal", "token": "0"}}}]}


def put(client, *models, version=3):
    envelope = {"ir_kind": "schema", "ir_version": version, "payload": {"models": copy.deepcopy([*TARGETS, *models])}}
    client.put("/v1/models", envelope).expect(200)


def names(backend):
    """Names of what the table has beside its columns, but for the primary key."""
    if backend.name == "postgres":
        rows = run(backend, "SELECT conname FROM pg_constraint WHERE conrelid = 'post'::regclass AND contype NOT IN ('n', 'p') UNION "
                            "SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = 'post'::regclass AND NOT indisprimary")
        return {row[0] for row in rows}
    text = "\n".join(row[0] for row in run(backend, "SELECT sql FROM sqlite_schema WHERE tbl_name = 'post' AND sql IS NOT NULL"))
    return {name for name in NAMED if f'"{name}"' in text}


def all_quiet(conn):
    for options in ({}, {"destructive": True}, {"rebuild": True}):
        quiet(conn, **options)


def made(conn, how, constraint=False):
    whole = post(constraint)
    if how == "added":
        put(conn.client, {**whole, "columns": [KEY, column("n")], **{k: [] for k in ("foreign_keys", "uniques", "indexes", "checks", "table_checks")}})
        conn.client.post("/v1/create-tables", conn.using).expect(200)
    put(conn.client, whole)
    if how == "created":
        conn.client.post("/v1/create-tables", conn.using).expect(200)
    elif conn.backend.name == "sqlite":
        migrate(conn)
        assert names(conn.backend) == NAMED - {"my_ck", "my_tc"}
        migrate(conn, rebuild=True)
    else:
        migrate(conn)


@pytest.mark.parametrize("how", ["created", "added"])
def test_what_is_changed_keeps_its_name(conn, how):
    made(conn, how)
    assert names(conn.backend) == NAMED
    all_quiet(conn)
    for key in ({"on_delete": "RESTRICT"}, {"on_delete": "RESTRICT", "on_update": "CASCADE"}, {"to_table": "bcc"}):
        put(conn.client, post(**key))
        answer = migrate(conn, rebuild=True)
        assert answer["warnings"] == [] and names(conn.backend) == NAMED, answer
        all_quiet(conn)
    other = post(to_table="bcc")
    other["checks"][0]["values"] = ["'p'", "'r'"]
    other["table_checks"][0]["predicate"]["op"] = "ge"
    other["uniques"][0]["columns"] = ["x", "n"]
    other["indexes"][0]["columns"] = ["n"]
    put(conn.client, other)
    assert migrate(conn, rebuild=True)["warnings"] == []
    assert names(conn.backend) == NAMED
    all_quiet(conn)


def test_unique_constraints_are_added_as_such(conn):
    made(conn, "added", constraint=True)
    assert names(conn.backend) == NAMED
    all_quiet(conn)
    if conn.backend.name == "postgres":
        rows = run(conn.backend, "SELECT conname FROM pg_constraint WHERE conrelid = 'post'::regclass AND contype = 'u' ORDER BY 1")
        assert rows == [["my_uq"], ["my_uq1"]]


@pytest.mark.parametrize("version", [1, 3])
def test_an_added_column_brings_the_whole_key(conn, version):
    """SQLite takes it at the column, where what is done on update was left out; one of several columns has no place there."""
    pair = {"model_name": "Pair", "table_name": "pair", "columns": [{**KEY, "name": "a"}, {**KEY, "name": "b"}]}
    first = {"model_name": "Post", "table_name": "post", "columns": [KEY]}
    put(conn.client, pair, first, version=version)
    conn.client.post("/v1/create-tables", conn.using).expect(200)
    keys = [{"column": "a_id", "to_table": "acc", "to_column": "id", "on_delete": "CASCADE", "on_update": "CASCADE", "name": "my_fk",
             "deferrable": True}]
    put(conn.client, pair, {**first, "columns": [KEY, column("a_id")], "foreign_keys": keys}, version=version)
    migrate(conn)
    all_quiet(conn)
    keys = [*keys, {"columns": ["p", "q"], "to_table": "pair", "to_columns": ["a", "b"], "on_delete": "CASCADE", "name": "pair_fk"}]
    columns = [KEY, column("a_id"), column("p"), column("q")]
    put(conn.client, pair, {**first, "columns": columns, "foreign_keys": keys}, version=version)
    codes = [w["code"] for w in migrate(conn)["warnings"]]
    assert codes == (["foreign_key_not_added"] if conn.backend.name == "sqlite" else [])
    migrate(conn, rebuild=True)
    all_quiet(conn)
