"""Every operation on a PostgreSQL of which one answer, whichever, is not what the server said: ferrod keeps its memory, and what it
answers is what its description says."""
import itertools
import json
import os
import types
import urllib.parse

import pytest

from support.client import Client
from support.liar import LIES, Liar
from support.process import wait_for
from support.server import Server, run_binary
from support.tables import leaf

MODELS = [
    {"model_name": "Author", "columns": [
        {"name": "id", "logical_type": "integer", "primary_key": True, "autoincrement": True},
        {"name": "name", "logical_type": "string", "unique": True},
        {"name": "extra", "logical_type": "json", "nullable": True},
        {"name": "seen", "logical_type": "datetime", "nullable": True},
        {"name": "worth", "logical_type": "decimal", "nullable": True},
        {"name": "photo", "logical_type": "binary", "nullable": True},
        {"name": "known", "logical_type": "boolean", "nullable": True, "default_sql": "false"}]},
    {"model_name": "Book", "columns": [
        {"name": "id", "logical_type": "integer", "primary_key": True},
        {"name": "title", "logical_type": "string"},
        {"name": "author_id", "logical_type": "integer", "nullable": True}],
     "foreign_keys": [{"column": "author_id", "to_table": "author", "to_column": "id"}],
     "relations": [{"name": "author", "kind": "forward", "target": "Author", "source_column": "author_id", "target_column": "id"},
                   {"name": "tags", "kind": "many_to_many", "target": "Tag", "through": "book_tags",
                    "source_column": "book_id", "target_column": "tag_id"}]},
    {"model_name": "Tag", "columns": [{"name": "id", "logical_type": "integer", "primary_key": True}]},
    {"model_name": "BookTag", "table_name": "book_tags", "columns": [
        {"name": "id", "logical_type": "integer", "primary_key": True, "autoincrement": True},
        {"name": "book_id", "logical_type": "integer"}, {"name": "tag_id", "logical_type": "integer"}],
     "uniques": [{"columns": ["book_id", "tag_id"]}]}]
ROWS = """
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE DOMAIN small AS int CHECK (value < 10);
CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TABLE odd (id serial PRIMARY KEY, m mood, s small DEFAULT 1, a int[], r int4range, n int GENERATED ALWAYS AS (1) STORED,
    up int REFERENCES odd ON DELETE CASCADE, CHECK (s > 0));
CREATE INDEX odd_n ON odd (abs(s)) WHERE s > 1;
CREATE VIEW seen AS SELECT id FROM odd;
CREATE TRIGGER filled BEFORE INSERT ON odd FOR EACH ROW EXECUTE FUNCTION fill();
"""
RECORDS = """
INSERT INTO author (id, name, extra, seen, worth, photo, known) VALUES (1, 'one', '{"a": 1}', now(), 1.5, 'x', true), (2, 'two', NULL, NULL, NULL, NULL, NULL);
INSERT INTO book (id, author_id, title) VALUES (1, 1, 'first'), (2, 1, 'second');
INSERT INTO tag VALUES (1), (2);
INSERT INTO book_tags (book_id, tag_id) VALUES (1, 1);
"""
TX, SESSION, TYPES = "Ferro-Transaction", "Ferro-Session", {"Prefer": "return=representation"}
_numbers = itertools.count(10)
SHIFTS = int(os.environ.get("FERROD_LIES", "1"))  # len(LIES) of them are all there are


def asks(name, method, path, body=None, headers=None):
    return name, method, path, body, headers or {}


def operations():
    """What asks a database, each road of it; bodies that write rows are made anew each time."""
    n = next(_numbers)
    book = leaf("id", "==", 1)
    steps = [{"op": "sql.fetch_all", "sql": "SELECT * FROM author"}, {"op": "query", "query": {"model_name": "Book", "include": ["author", "tags"]}},
             {"op": "create", "model": "Tag", "record": {"id": n}, "as": "made"}, {"op": "get", "model": "Tag", "pk": {"$ref": "made.id"}},
             {"op": "save", "model": "Tag", "pk": n, "record": {}}, {"op": "update", "query": {"model_name": "Book", "where": [book]}, "set": {"title": "b"}},
             {"op": "count", "query": {"model_name": "Book"}}, {"op": "exists", "query": {"model_name": "Book"}},
             {"op": "first", "query": {"model_name": "Author"}}, {"op": "sql.execute", "sql": "UPDATE tag SET id = id WHERE id = 1"},
             {"op": "sql.fetch_one", "sql": "SELECT 1 AS one"}, {"op": "delete", "query": {"model_name": "Tag", "where": [leaf("id", "==", n)]}}]
    yield from (
        asks("check_connection", "POST", "/v1/connections/lied/check"),
        asks("readyz", "GET", "/readyz"),
        asks("create_tables", "POST", "/v1/create-tables"),
        asks("migrate", "POST", "/v1/migrate", {"dry_run": True}),
        asks("migrate", "POST", "/v1/migrate", {"updates": True}),
        asks("introspect", "POST", "/v1/introspect", {"views": True}),
        asks("introspect", "POST", "/v1/introspect", {"tables": ["book"]}),
        asks("open_session", "POST", "/v1/sessions", {}),
        asks("begin_transaction", "POST", "/v1/transactions", {}),
        asks("query", "POST", "/v1/query", {"model_name": "Book", "include": ["author", "tags"], "order_by": [{"column": "title"}], "limit": 1}),
        asks("query", "POST", "/v1/query", {"model_name": "Author"}, {"Accept": "text/csv"}),
        asks("query", "POST", "/v1/query", {"model_name": "Author"}, {"Accept": "application/x-ndjson"}),
        asks("query_first", "POST", "/v1/query/first", {"model_name": "Author", "include": ["books"]}),
        asks("query_count", "POST", "/v1/query/count", {"model_name": "Book"}),
        asks("query_exists", "POST", "/v1/query/exists", {"model_name": "Book"}),
        asks("query_update", "POST", "/v1/query/update", {"model_name": "Book", "where": [book], "set": {"title": "t"}}),
        asks("query_delete", "POST", "/v1/query/delete", {"model_name": "Tag", "where": [leaf("id", "==", 900)]}),
        asks("query_explain", "POST", "/v1/query/explain", {"model_name": "Book"}),
        asks("create_records", "POST", "/v1/models/Author/records", {"name": f"n{n}"}, TYPES),
        asks("create_records", "POST", "/v1/models/Tag/records", {"records": [{"id": 1000 + n}, {"id": 2000 + n}]}, TYPES),
        asks("create_records", "POST", "/v1/models/Tag/records", {"records": [{"id": i + 10000 * n} for i in range(300)]}),
        asks("create_records", "POST", "/v1/models/Author/records?on_conflict=update", {"id": 1, "name": "one"}),
        asks("list_records", "GET", "/v1/models/Author/records?order=name&limit=1&count=exact"),
        asks("list_records", "GET", "/v1/models/Author/records?name=like.o%25"),
        asks("get_record", "GET", "/v1/models/Author/records/1"),
        asks("save_record", "PUT", "/v1/models/Author/records/2", {"name": "two"}, TYPES),
        asks("update_record", "PATCH", "/v1/models/Author/records/1", {"worth": "2.5"}, {"If-None-Match": '"x"', **TYPES}),
        asks("update_record", "PATCH", "/v1/models/Author/records/1", {"extra": {"b": 2}}),
        asks("delete_record", "DELETE", "/v1/models/Tag/records/2"),
        asks("refresh_record", "POST", "/v1/models/Author/records/1/refresh"),
        asks("get_or_create", "POST", "/v1/models/Author/get-or-create", {"match": {"name": "one"}}),
        asks("get_or_create", "POST", "/v1/models/Author/get-or-create", {"match": {"name": f"g{n}"}}),
        asks("update_or_create", "POST", "/v1/models/Author/update-or-create", {"match": {"name": "one"}, "set": {"worth": "3"}}),
        asks("get_related", "GET", "/v1/models/Book/records/1/tags"),
        asks("get_related", "GET", "/v1/models/Book/records/1/author"),
        asks("add_links", "PUT", "/v1/models/Book/records/2/tags", {"pks": [1]}),
        asks("remove_links", "DELETE", "/v1/models/Book/records/2/tags", {"pks": [1]}),
        asks("batch", "POST", "/v1/batch", {"steps": steps}),
        asks("batch", "POST", "/v1/batch", {"steps": steps, "atomic": False}),
        asks("batch", "POST", "/v1/batch", {"steps": steps}, {"Prefer": "tx=rollback"}),
        asks("sql_execute", "POST", "/v1/sql/execute", {"sql": "UPDATE author SET name = name WHERE id = 1"}),
        asks("sql_execute", "POST", "/v1/sql/execute", {"sql": "SET datestyle = 'German'"}),
        asks("sql_fetch_all", "POST", "/v1/sql/fetch-all", {"sql": "SELECT * FROM author", "args": []}, {"Prefer": "rows=arrays"}),
        asks("sql_fetch_all", "POST", "/v1/sql/fetch-all", {"sql": "SELECT * FROM odd WHERE id = $1", "args": [1]}),
        asks("sql_fetch_one", "POST", "/v1/sql/fetch-one", {"sql": "SELECT id, name FROM author WHERE id = $1", "args": [1]}),
        asks("sql_fetch_one", "POST", "/v1/sql/fetch-one", {"sql": "SELECT 1 AS one"}, {TX: "new", "Ferro-Transaction-End": "commit"}),
        asks("save_record", "PUT", f"/v1/models/Tag/records/{n}", {}, {TX: "new", "Ferro-Transaction-End": "commit", "Idempotency-Key": f"t{n}"}),
        asks("create_records", "POST", "/v1/models/Author/records", {"name": f"o{n}"}, {"Idempotency-Key": f"k{n}"}),
        asks("sql_execute", "POST", "/v1/sql/execute", {"sql": "UPDATE author SET name = name WHERE id = 1"}, {"Idempotency-Key": f"s{n}"}),
    )


N_OPERATIONS = len(list(operations()))


def lies_from(n):
    return itertools.islice(itertools.cycle(LIES), n % len(LIES), None)


# those that end what another has begun: the first is not lied about
PAIRS = {
    "commit_transaction": (("POST", "/v1/transactions"), ("POST", "/v1/transactions/{tx}/commit")),
    "rollback_transaction": (("POST", "/v1/transactions"), ("POST", "/v1/transactions/{tx}/rollback")),
    "get_transaction": (("POST", "/v1/transactions"), ("GET", "/v1/transactions/{tx}")),
}
# what asks no database that the liar stands before, or is asked of it by others (a backup is SQLite's; connecting is below)
WITHOUT = {"root", "healthz", "version", "metrics", "openapi_json", "openapi_yaml", "openapi_30_json", "docs", "docs_style", "docs_module",
           "problems", "problem", "list_connections", "get_connection", "disconnect", "backup_connection", "set_default_connection",
           "reset_engine", "get_models", "get_model", "get_ddl", "list_sessions", "get_session", "clear_identity_map", "evict_instance"}
# with a state before which the liar stands
STATE = {"connect", "list_nodes", "get_catalog", "reload_catalog", "replace_models", "register_models", "clear_registry", "remove_model",
         "open_session", "change_session", "close_session", "disconnect", "set_default_connection", "reset_engine"}


def test_no_operation_is_forgotten():
    routes = {line.split()[2] for line in run_binary("--print-routes")[1].splitlines()}
    assert {name for name, *_ in operations()} | set(PAIRS) | WITHOUT | STATE == routes


@pytest.fixture(scope="module")
def lied(_postgres):
    """(client, liar, server): connected through the liar, with models, tables and rows."""
    backend = types.SimpleNamespace(pg=_postgres, database=_postgres.create_database())
    liar = Liar(_postgres.port)
    with Server("--default-url", "") as server, Client(server.port, timeout=60) as client:
        client.post("/v1/connections", {"name": "lied", "url": liar.url(backend), "default": True, "exactly_once": True,
                                        "pool": {"max_connections": 2, "acquire_timeout_seconds": 3, "statement_timeout_seconds": 3}}).expect(201)
        _postgres.psql(ROWS, backend.database)
        client.put("/v1/models", {"models": MODELS}).expect(200)
        client.post("/v1/create-tables").expect(200)
        _postgres.psql(RECORDS, backend.database)
        yield client, liar, server
        liar.arm("nulls", 0)
        server.check_log()
    liar.close()
    _postgres.drop_database(backend.database)


def lie_to_each(liar, lies, ask, most=60):
    """Lies about each answer that the request gets, one at a time."""
    for at in range(1, most):
        liar.arm(next(lies), at)
        ask()
        if not liar.told:
            return


def told_well(answer):
    """What the description says was looked at by the client; beside it there is no half answer without a sign."""
    if "json" in (answer.header("Content-Type") or "") and "ndjson" not in answer.header("Content-Type"):
        json.loads(answer.body)
    assert "Set-Cookie" not in {name for name, _ in answer.headers}


def send(client, method, path, body, headers):
    try:
        told_well(client.request(method, path, body, headers=headers))
    except (ConnectionError, ValueError, EOFError, OSError) as e:
        if type(e).__name__ not in ("IncompleteRead", "RemoteDisconnected", "ConnectionResetError"):
            raise
        client.close()  # the answer had begun, and was broken off visibly


def still_well(client, liar, server):
    liar.arm("nulls", 0)
    assert server.alive
    client.close()
    row = client.post("/v1/sql/fetch-one", {"sql": "SELECT 1 AS one"}).expect(200).json()["row"]
    assert row == {"one": 1}


@pytest.mark.parametrize("shift", range(SHIFTS))
@pytest.mark.parametrize("i", range(N_OPERATIONS), ids=[f"{i}-{o[0]}" for i, o in enumerate(operations())])
def test_whichever_answer_is_another(lied, i, shift):
    """Each answer of each operation, with one of the lies; another with each shift."""
    client, liar, server = lied
    lie_to_each(liar, lies_from(7 * i + shift), lambda: send(client, *list(operations())[i][1:]))
    still_well(client, liar, server)


@pytest.mark.parametrize("shift", range(SHIFTS))
@pytest.mark.parametrize("name", PAIRS)
def test_whichever_answer_at_an_end_is_another(lied, name, shift):
    client, liar, server = lied
    first, second = PAIRS[name]

    def ask():
        at, liar.at = liar.at, 0
        tx = client.request(*first, {}).expect(201).json()["transaction_id"]
        liar.seen, liar.at = 0, at
        send(client, second[0], second[1].format(tx=urllib.parse.quote(tx)), None, {})
        told, liar.at = liar.told, 0
        client.post(f"/v1/transactions/{tx}/rollback")  # when it is open still
        liar.told = told
    for more in range(len(LIES)):
        lie_to_each(liar, lies_from(more + shift), ask)
    still_well(client, liar, server)


def state_operations(url):
    n = next(_numbers)
    one = {"models": [{"model_name": f"M{n}", "columns": [{"name": "id", "logical_type": "integer", "primary_key": True}]}]}
    yield from (
        asks("connect", "POST", "/v1/connections", {"name": f"c{n}", "url": url}),
        asks("set_default_connection", "PUT", "/v1/default-connection", {"name": "base"}),
        asks("disconnect", "DELETE", f"/v1/connections/c{n}"),
        asks("register_models", "POST", "/v1/models", one),
        asks("replace_models", "PUT", "/v1/models", one),
        asks("remove_model", "DELETE", f"/v1/models/M{n}"),
        asks("clear_registry", "DELETE", "/v1/models"),
        asks("list_nodes", "GET", "/v1/nodes"),
        asks("get_catalog", "GET", "/v1/catalog"),
        asks("reload_catalog", "POST", "/v1/catalog/reload"),
        asks("open_session", "POST", "/v1/sessions", {"using": "base"}),
        asks("change_session", "PATCH", "/v1/session", {"settings": {"app.n": str(n)}}, {SESSION: f"other.{n:032d}"}),
        asks("close_session", "DELETE", "/v1/session", None, {SESSION: f"other.{n:032d}"}),
        asks("reset_engine", "POST", "/v1/reset", {}),
        asks("connect", "POST", "/v1/connections", {"name": "base", "url": "sqlite::memory:", "default": True}),
    )


@pytest.fixture(scope="module")
def stated(_postgres, tmp_path_factory):
    """(liar, flags of a server whose state is behind it)."""
    backend = types.SimpleNamespace(pg=_postgres, database=_postgres.create_database())
    liar = Liar(_postgres.port)
    key = tmp_path_factory.mktemp("lies") / "key"
    key.write_text(run_binary("key", "seal")[1])
    yield liar, ["--state-url", liar.url(backend), "--state-key-file", str(key), "--default-url", "", "--node", "n", "--drain-notice-seconds", "0"]
    liar.close()
    _postgres.drop_database(backend.database)


@pytest.mark.parametrize("shift", range(SHIFTS))
@pytest.mark.parametrize("part", range(4))
def test_whichever_answer_of_a_state_is_another(stated, part, shift):
    """The node's own beats are lied to as well as what callers tell."""
    liar, args = stated
    lies = lies_from(5 * part + shift)
    with Server(*args) as server, Client(server.port, timeout=60) as client:
        client.post("/v1/connections", {"name": "base", "url": "sqlite::memory:", "default": True})
        for i, (name, *_) in enumerate(state_operations("sqlite::memory:")):
            if i % 4 == part:
                # the node beats beside it: there is always one more answer
                lie_to_each(liar, lies, lambda i=i: send(client, *list(state_operations("sqlite::memory:"))[i][1:]), 8)
            assert server.alive, name
        liar.arm("nulls", 0)
        server.check_log()


@pytest.mark.parametrize("at", range(1, 24))
def test_a_start_that_is_lied_to_ends_in_good_order(stated, at):
    liar, args = stated
    liar.arm(next(lies_from(at + SHIFTS)), at)
    started = Server(*args, wait=False)
    try:
        wait_for(lambda: not started.alive or started.events("listening"), 60, "its start or its end")
    finally:
        liar.arm("nulls", 0)
        started.check_log()
        said = started.log()
        if started.alive:
            started.stop()
    assert started.process.returncode in (0, 1, 2), said
