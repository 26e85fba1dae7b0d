"""More than the tables of one schema: other schemas, views, partitions, virtual tables; what is chosen and how it is named."""
import contextlib
import json
import sqlite3
import threading

from support.client import Client
from support.schema import column, columns_of, introspect, migrate, model, quiet, register, run
from support.tables import insert, sql


def models_of(answer):
    return {m["model_name"]: m for m in answer["payload"]["models"]}


def rows(conn, name, **more):
    return conn.client.post("/v1/query", {"model_name": name, **more}, params=conn.using).expect(200).json()["rows"]


# ---- other schemas ----

TWINS = """CREATE SCHEMA billing; CREATE TABLE billing.customer (id int PRIMARY KEY, name text);
    CREATE TABLE customer (id int PRIMARY KEY, name text);
    CREATE TABLE invoice (id int PRIMARY KEY, customer_id int REFERENCES billing.customer (id));
    INSERT INTO billing.customer VALUES (1, 'right'); INSERT INTO customer VALUES (1, 'wrong');
    INSERT INTO invoice VALUES (1, 1)"""


def test_a_reference_into_another_schema_is_not_redirected(postgres_conn):
    """To a table of the same name here: no relation while the other one is no model, the right one when it is."""
    conn = postgres_conn
    run(conn.backend, TWINS)
    register(conn.client)
    got = models_of(introspect(conn, register=True))
    assert sorted(got) == ["customer", "invoice"] and got["invoice"]["relations"] == []
    assert got["invoice"]["foreign_keys"][0]["to_schema"] == "billing"
    quiet(conn)
    quiet(conn, destructive=True)
    register(conn.client)
    got = models_of(introspect(conn, register=True, schemas=["public", "billing"]))
    assert sorted(got) == ["billing.customer", "customer", "invoice"]
    assert got["billing.customer"]["schema"] == "billing" and got["billing.customer"]["table_name"] == "customer"
    assert [r["target"] for r in got["invoice"]["relations"]] == ["billing.customer"]
    [found] = rows(conn, "invoice", include=["customer"])
    assert found["customer"]["name"] == "right"
    quiet(conn)
    ddl = conn.client.get("/v1/ddl?dialect=postgres").expect(200).text
    assert 'CREATE SCHEMA IF NOT EXISTS "billing"' in ddl and 'REFERENCES "billing"."customer"' in ddl


def test_writes_and_migrations_in_another_schema(postgres_conn):
    conn = postgres_conn
    run(conn.backend, TWINS)
    register(conn.client)
    introspect(conn, register=True, schemas=["billing"])
    made = conn.client.post("/v1/models/customer/records", {"id": 2, "name": "new"}, params=conn.using).expect(201)
    assert run(conn.backend, "SELECT name FROM billing.customer WHERE id = 2") == [["new"]]
    conn.client.patch(made.header("Location").split("?")[0], {"name": "newer"}, params=conn.using).expect(200)
    insert(conn.client, conn.name, "customer", [{"id": i, "name": "x"} for i in range(10, 15)])
    assert run(conn.backend, "SELECT count(*) FROM billing.customer") == [["7"]]
    [one] = conn.client.get("/v1/models").json()["payload"]["models"]
    one["columns"].append(column("more", "integer"))
    one["indexes"] = [{"columns": ["name"]}]
    one["columns"] = [{**c, "db_type": "varchar(3)"} if c["name"] == "name" else c for c in one["columns"]]
    register(conn.client, one)
    answer = migrate(conn)
    assert [c["kind"] for c in answer["changes"]] == ["add_column", "create_index"]
    assert {(w["code"], w["rows"]) for w in answer["warnings"]} == {("would_lose_data", 2)}
    assert columns_of(conn.backend, "customer") == {"id": "integer", "name": "text"}
    assert [c["kind"] for c in migrate(conn, destructive=True)["changes"]] == ["alter_type"]
    quiet(conn)
    conn.client.delete("/v1/models/customer/records/2", params=conn.using).expect(204)


def test_the_first_of_the_search_path_keeps_the_name(postgres_backend, server, client):
    run(postgres_backend, "CREATE SCHEMA sales; CREATE SCHEMA \"odd one\"; CREATE TABLE public.cust (id int PRIMARY KEY, n text); "
                          "CREATE TABLE sales.cust (id int PRIMARY KEY, n text); "
                          "CREATE TABLE sales.inv (id int PRIMARY KEY, cust_id int REFERENCES public.cust (id)); "
                          "CREATE TABLE \"odd one\".\"t.x\" (id int PRIMARY KEY); "
                          "INSERT INTO public.cust VALUES (1, 'the customer'); INSERT INTO sales.cust VALUES (1, 'somebody else'); "
                          "INSERT INTO sales.inv VALUES (1, 1)")
    url = postgres_backend.url + ("&" if "?" in postgres_backend.url else "?") + "ferro_search_path=sales"
    client.post("/v1/connections", {"name": "path", "url": url}).expect(201)
    try:
        register(client)
        got = models_of(client.post("/v1/introspect", {"using": "path", "schemas": ["sales", "public"], "register": True}).expect(200).json())
        assert sorted(got) == ["cust", "inv", "public.cust"]
        assert "schema" not in got["cust"] and got["public.cust"]["schema"] == "public"
        [found] = client.post("/v1/query", {"model_name": "inv", "include": ["cust"]}, params={"using": "path"}).json()["rows"]
        assert found["cust"]["n"] == "the customer"
        odd = client.post("/v1/introspect", {"using": "path", "schemas": ["odd one"], "register": True}).expect(200).json()
        assert sorted(models_of(odd)) == ["t.x"]
        assert client.post("/v1/query", {"model_name": "t.x"}, params={"using": "path"}).expect(200).json()["rows"] == []
    finally:
        client.delete("/v1/connections/path")


# ---- views ----

def views(conn):
    run(conn.backend, "CREATE TABLE t (id integer PRIMARY KEY, v text);\nCREATE VIEW w AS SELECT id, v, v || '!' AS loud FROM t;\n"
                      "INSERT INTO t VALUES (1, 'a');\nINSERT INTO t VALUES (2, 'b')")


def test_views_are_models(conn):
    views(conn)
    register(conn.client)
    got = models_of(introspect(conn, register=True))
    assert sorted(got) == ["t", "w"]
    assert got["w"]["kind"] == "view" and "kind" not in got["t"]
    assert [c["name"] for c in got["w"]["columns"]] == ["id", "loud", "v"]
    assert rows(conn, "w", where=[{"node_kind": "leaf", "column": "loud", "operator": "==", "value": "b!"}]) == [
        {"id": 2, "v": "b", "loud": "b!"}]
    assert len(conn.client.get("/v1/models/w/records", params=conn.using).expect(200).json()["rows"]) == 2
    conn.client.get("/v1/models/w/records/1", params=conn.using).problem(422, "invalid_query")
    for options in ({}, {"destructive": True, "rebuild": True}):
        quiet(conn, **options)
    assert "w" not in [w for w in conn.client.get(f"/v1/ddl?dialect={conn.backend.name}").text.split('"')]
    assert sorted(models_of(introspect(conn, tables=["w"]))) == ["w"]
    # a key by hand
    one = got["w"]
    one["key"] = ["id"]
    register(conn.client, one)
    assert conn.client.get("/v1/models/w/records/2", params=conn.using).expect(200).json() == {"id": 2, "v": "b", "loud": "b!"}
    page = conn.client.get("/v1/models/w/records?limit=1", params=conn.using).json()
    assert len(page["rows"]) == 1 and page["next_cursor"]


def test_a_view_that_cannot_be_written(conn):
    views(conn)
    run(conn.backend, "CREATE VIEW g AS SELECT v, count(*) AS n FROM t GROUP BY v")
    register(conn.client)
    got = models_of(introspect(conn, register=True))
    assert not got["g"]["writable"]
    for c in got["g"]["columns"]:
        if c["name"] == "n":
            c.pop("db_type", None)
            c["logical_type"] = "string"
    register(conn.client, got["g"])
    leaf = [{"node_kind": "leaf", "column": "v", "operator": "==", "value": "a"}]
    conn.client.post("/v1/models/g/records", {"v": "x", "n": "1"}, params=conn.using).problem(422, "invalid_query")
    conn.client.post("/v1/models/g/records", {"records": [{"v": "x", "n": "1"}] * 3}, params=conn.using).problem(422, "invalid_query")
    conn.client.post("/v1/query/update", {"query": {"model_name": "g", "where": leaf}, "set": {"n": "1"}}, params=conn.using).problem(422, "invalid_query")
    conn.client.post("/v1/query/delete", {"query": {"model_name": "g", "where": leaf}}, params=conn.using).problem(422, "invalid_query")
    one = got["g"]
    one["key"] = ["v"]
    register(conn.client, one)
    for call in (lambda: conn.client.patch("/v1/models/g/records/a", {"n": "2"}, params=conn.using),
                 lambda: conn.client.put("/v1/models/g/records/a", {"n": "2"}, params=conn.using),
                 lambda: conn.client.delete("/v1/models/g/records/a", params=conn.using)):
        call().problem(422, "invalid_query")


def test_a_view_that_can_be_written(conn):
    """By itself, or by what stands in its place."""
    views(conn)
    if conn.backend.name == "sqlite":
        run(conn.backend, "CREATE TRIGGER w_in INSTEAD OF INSERT ON w BEGIN INSERT INTO t VALUES (new.id, new.v); END")
    else:
        run(conn.backend, "DROP VIEW w; CREATE VIEW w AS SELECT id, v FROM t")
    register(conn.client)
    assert models_of(introspect(conn, register=True))["w"]["writable"]
    sql(conn.client, "SELECT 1", using=conn.name).expect(200)
    answer = conn.client.post("/v1/models/w/records", {"id": 7, "v": "x"}, params={**conn.using}, headers={"Prefer": "return=minimal"})
    assert answer.status in (201, 204), answer.text
    assert run(conn.backend, "SELECT v FROM t WHERE id = 7") == [["x"]]


def test_keys_are_for_views(client):
    problem = client.put("/v1/models", {"models": [model("T", key=["id"])]}).problem(422, "invalid_schema")
    assert problem["errors"][0]["pointer"] == "/models/0/key"
    problem = client.put("/v1/models", {"models": [model("T", kind="view", key=["no"])]}).problem(422, "invalid_schema")
    assert problem["errors"][0]["pointer"] == "/models/0/key/0"
    client.put("/v1/models", {"models": [model("T", kind="vieww")]}).problem(422, "invalid_schema")


def test_other_kinds_are_named(conn):
    """What is no table and no view becomes a model when it is asked for, and is not passed over in silence."""
    if conn.backend.name == "sqlite":
        run(conn.backend, "CREATE TABLE t (id integer PRIMARY KEY);\nCREATE VIRTUAL TABLE x USING fts5(a, b);\n"
                          "INSERT INTO x VALUES ('hello world', 'b');\nCREATE VIEW broken AS SELECT * FROM nowhere")
        kind, told = "virtual", {("not_introspected", "x"), ("not_readable", "broken")}
    else:
        run(conn.backend, "CREATE TABLE t (id integer PRIMARY KEY); CREATE FOREIGN DATA WRAPPER none; CREATE SERVER elsewhere FOREIGN "
                          "DATA WRAPPER none; CREATE FOREIGN TABLE x (a text, b text) SERVER elsewhere; "
                          "CREATE MATERIALIZED VIEW m AS SELECT * FROM t")
        kind, told = "foreign_table", {("not_introspected", "x")}
    got = introspect(conn)
    assert {(w["code"], w["table"]) for w in got["warnings"]} == told
    assert ("m" in models_of(got)) == (conn.backend.name == "postgres")
    register(conn.client)
    got = models_of(introspect(conn, kinds=[kind], register=True))
    assert list(got) == ["x"] and got["x"]["kind"] == kind
    assert [c["name"] for c in got["x"]["columns"]] == ["a", "b"]
    if conn.backend.name == "sqlite":
        assert rows(conn, "x") == [{"a": "hello world", "b": "b"}]
    conn.client.post("/v1/introspect", {**conn.using, "kinds": ["tables"]}).problem(400, "invalid_request")
    quiet(conn)


def test_rows_of_virtual_tables_that_are_gone_are_shown(sqlite_conn):
    """SQLite has no RETURNING on them: they are found before. What became of changed ones it does not tell."""
    client, using = sqlite_conn.client, sqlite_conn.using
    run(sqlite_conn.backend, "CREATE VIRTUAL TABLE ft USING fts5(title, body);\nINSERT INTO ft VALUES ('a', 'x'), ('b', 'y'), ('c', 'y')")
    register(client)
    introspect(sqlite_conn, register=True, kinds=["virtual"])
    where = [{"node_kind": "leaf", "column": "body", "operator": "==", "value": "y"}]
    shown = {"Prefer": "return=representation"}
    update = {"query": {"model_name": "ft", "where": where}, "set": {"title": "z"}}
    delete = {"model_name": "ft", "where": where}
    assert "virtual" in client.post("/v1/query/update", update, params=using, headers=shown).problem(422, "invalid_query")["detail"]
    assert client.post("/v1/query/update", update, params=using).expect(200).json() == {"rows_affected": 2}
    bounded = {"Prefer": "max-affected=1, return=representation"}
    client.post("/v1/query/delete", delete, params=using, headers=bounded).problem(409, "max_affected_exceeded")
    gone = client.post("/v1/query/delete", delete, params=using, headers=shown).expect(200).json()
    assert gone == {"rows": [{"body": "y", "title": "z"}] * 2, "rows_affected": 2}
    assert rows(sqlite_conn, "ft") == [{"body": "x", "title": "a"}]


def test_what_is_shown_of_a_virtual_table_is_what_was_deleted(sqlite_conn):
    """Found and deleted in one transaction, whoever writes beside."""
    client, using = sqlite_conn.client, sqlite_conn.using
    run(sqlite_conn.backend, "CREATE VIRTUAL TABLE ft USING fts5(body)")
    register(client)
    introspect(sqlite_conn, register=True, kinds=["virtual"])
    ended = threading.Event()

    def put():
        with Client(client.port) as c:
            while not ended.is_set():
                c.post("/v1/models/ft/records", {"body": "x"}, params=using).expect(201)
    writers = [threading.Thread(target=put) for _ in range(3)]
    for w in writers:
        w.start()
    try:
        for _ in range(200):
            gone = client.post("/v1/query/delete", {"model_name": "ft"}, params={**using, "all": "true"},
                               headers={"Prefer": "return=representation"}).expect(200).json()
            assert len(gone["rows"]) == gone["rows_affected"]
    finally:
        ended.set()
        for w in writers:
            w.join()


# ---- what is chosen, and its names ----

def test_names_and_exclusions(conn):
    run(conn.backend, "CREATE TABLE users (id integer PRIMARY KEY, mail text, password_hash text);\n"
                      "CREATE INDEX idx_users_password_hash ON users (password_hash);\nCREATE UNIQUE INDEX ux ON users (mail, password_hash);\n"
                      "CREATE TABLE told (id integer PRIMARY KEY, user_id integer REFERENCES users (id), n integer);\n"
                      "CREATE TABLE secrets (id integer PRIMARY KEY);\nINSERT INTO users VALUES (1, 'a@b', 'x')")
    register(conn.client)
    ask = {"names": {"users": "User"}, "exclude": ["secrets", "users.password_hash", "told.user_id"], "register": True}
    answer = introspect(conn, **ask)
    assert "warnings" not in answer, "what was asked to stay away is not missed"
    got = models_of(answer)
    assert sorted(got) == ["User", "told"] and got["told"]["foreign_keys"] == [] and got["User"]["excluded"] == ["password_hash"]
    assert [c["name"] for c in got["User"]["columns"]] == ["id", "mail"] and got["User"]["indexes"] == []
    assert rows(conn, "User") == [{"id": 1, "mail": "a@b"}]
    assert "password" not in json.dumps(conn.client.get("/v1/models/User/records", params=conn.using).json())
    quiet(conn)
    answer = migrate(conn, destructive=True)
    assert "password_hash" in columns_of(conn.backend, "users"), "what stays out is not dropped"
    assert all(c["kind"] != "drop_column" for c in answer["changes"])
    insert(conn.client, conn.name, "User", [{"id": 2, "mail": "c"}])
    for bad in ({"names": {"nobody": "X"}}, {"names": {"users": 1}}, {"exclude": "users"}, {"tables": ["nobody"]}, {"exclude": ["users.pasword_hash"]}, {"exclude": ["secret"]}):
        conn.client.post("/v1/introspect", {**conn.using, **bad}).problem(400, "invalid_request")


def test_a_table_that_needs_what_is_not_here_is_out_alone(sqlite_conn):
    """A collation or a function of the program that made it; the others are read, written and rebuilt."""
    conn = sqlite_conn
    with contextlib.closing(sqlite3.connect(conn.backend.path)) as db:
        db.create_collation("house", lambda a, b: (a > b) - (a < b))
        db.create_function("known", 1, lambda a: 1, deterministic=True)
        db.execute("CREATE TABLE sorted (id integer PRIMARY KEY, v text COLLATE house UNIQUE)")
        db.execute("CREATE TABLE checked (id integer PRIMARY KEY, v text CHECK (known(v)))")
        db.execute("CREATE TABLE plain (id integer PRIMARY KEY, v text NOT NULL)")
        db.commit()
    register(conn.client)
    answer = introspect(conn, register=True)
    assert list(models_of(answer)) == ["plain"]
    assert {(w["code"], w["table"]) for w in answer["warnings"]} == {("not_readable", "checked"), ("not_readable", "sorted")}
    assert {word for w in answer["warnings"] for word in ("house", "known") if word in w["detail"]} == {"house", "known"}
    conn.client.post("/v1/models/plain/records", {"v": "x"}, params=conn.using).expect(201)
    models = answer["payload"]["models"]
    models[0]["columns"][1]["nullable"] = True
    register(conn.client, *models)
    assert {c["kind"] for c in migrate(conn, rebuild=True)["changes"]} == {"rebuild_table"}
    assert rows(conn, "plain") == [{"id": 1, "v": "x"}]


def test_the_current_schema_keeps_the_name_wherever_it_stands(postgres_conn):
    """In the list of schemas, and of theirs in the order of their names."""
    conn = postgres_conn
    run(conn.backend, "CREATE SCHEMA a; CREATE TABLE a.t (id int PRIMARY KEY, n text); CREATE TABLE t (id int PRIMARY KEY, a_id int REFERENCES a.t (id))")
    register(conn.client)
    for schemas in (["a", "public"], ["public", "a"]):
        got = models_of(introspect(conn, schemas=schemas, register=True))
        assert sorted(got) == ["a.t", "t"] and got["a.t"]["schema"] == "a" and "schema" not in got["t"]
    alone = introspect(conn)
    assert [(w["code"], w["table"], w["column"]) for w in alone["warnings"]] == [("not_introspected", "t", "a_id")]
    assert "a" in alone["warnings"][0]["detail"] and [r for r in models_of(alone)["t"]["relations"] if r["kind"] == "forward"] == []


def test_a_name_with_a_point_is_no_other_table_s(postgres_conn):
    """What `schema.table` would be called may be the name of a table of the current schema, or of another pair of names."""
    conn = postgres_conn
    register(conn.client)
    run(conn.backend, """CREATE SCHEMA "A.b"; CREATE SCHEMA "A"; CREATE TABLE t (id serial PRIMARY KEY); CREATE TABLE "b.t" (id serial PRIMARY KEY);
        CREATE TABLE "A.b.t" (id serial PRIMARY KEY, x integer); CREATE TABLE "A.b".t (id serial PRIMARY KEY, y integer);
        CREATE TABLE "A"."b.t" (id serial PRIMARY KEY, z integer)""")
    answer = introspect(conn, register=True, schemas=["public", "A.b", "A"])
    names = {(m.get("schema"), m["table_name"]): m["model_name"] for m in answer["payload"]["models"]}
    assert len(set(names.values())) == 5 and names[None, "t"] == "t" and names[None, "b.t"] == "b.t" and names[None, "A.b.t"] == "A.b.t"
    quiet(conn)
    for (schema, _), name in names.items():
        column = {"A.b": "y", "A": "z"}.get(schema, "x" if name == "A.b.t" else "id")
        assert conn.client.post(f"/v1/models/{name}/records", {column: 7}, params=conn.using).expect(201).json()[column] == 7
    again = introspect(conn, register=True, schemas=["A", "A.b", "public"])
    assert {(m.get("schema"), m["table_name"]): m["model_name"] for m in again["payload"]["models"]} == names
