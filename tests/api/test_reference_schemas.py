"""Envelopes of the reference's later versions: accepted, made as Ferro 0.26 makes them, and no drift from what 0.13 made."""
import copy

from support.schema import columns_of, migrate, quiet, register, run

ACCOUNT = {"model_name": "shop.Account", "table_name": "account", "columns": [
    {"name": "id", "logical_type": "integer", "primary_key": True},
    {"name": "token", "logical_type": "uuid", "nullable": True, "default_factory": "uuid.uuid4"},
    {"name": "opened", "logical_type": "datetime", "nullable": True}, {"name": "day", "logical_type": "date", "nullable": True},
    {"name": "at", "logical_type": "time", "nullable": True}, {"name": "meta", "logical_type": "json", "nullable": True},
    {"name": "fee", "logical_type": "decimal", "nullable": True}, {"name": "mail", "logical_type": "string", "unique": True},
    {"name": "kind", "logical_type": "string", "enum_values": ["free", "business"], "enum_type_name": "account_kind"}],
    "table_checks": [{"name": "ck_account_fee", "predicate": {"kind": "or", "left": {"kind": "is_null", "column": "fee"}, "right": {
        "kind": "and", "left": {"kind": "cmp", "column": "fee", "op": "ge", "other": {"kind": "literal", "token": "0"}},
        "right": {"kind": "not", "child": {"kind": "in", "column": "mail", "values": ["'x'", "'it''s'"]}}}}}]}
POST = {"model_name": "shop.Post", "table_name": "post", "columns": [
    {"name": "id", "logical_type": "integer", "primary_key": True}, {"name": "account_id", "logical_type": "integer", "nullable": True}],
    "foreign_keys": [{"column": "account_id", "to_table": "account", "on_delete": "SET NULL"}]}
TYPES = {
    "sqlite": {"token": "char(32)", "opened": "datetime", "day": "date", "at": "time", "meta": "json", "fee": "numeric", "mail": "varchar",
               "kind": "varchar(8)", "id": "integer"},
    "postgres": {"token": "uuid", "opened": "timestamp with time zone", "day": "date", "at": "time without time zone", "meta": "jsonb",
                 "fee": "numeric", "mail": "character varying", "kind": "account_kind", "id": "integer"}}


def put(client, version, *models):
    return client.put("/v1/models", {"ir_kind": "schema", "ir_version": version, "payload": {"models": copy.deepcopy(list(models))}})


def test_version_3_is_made_as_by_the_reference(conn):
    put(conn.client, 3, ACCOUNT, POST).expect(200)
    made = conn.client.post("/v1/create-tables", conn.using).expect(200).json()
    assert columns_of(conn.backend, "account") == TYPES[conn.backend.name]
    text = "\n".join(made["statements"])
    assert 'CONSTRAINT "fk_post_account_id_account" FOREIGN KEY ("account_id")' in text
    assert 'CREATE UNIQUE INDEX IF NOT EXISTS "uq_account_mail"' in text and " UNIQUE," not in text
    assert 'CONSTRAINT "ck_account_fee" CHECK (' in text and "ADD CONSTRAINT \"ck_" not in text
    for options in ({}, {"destructive": True}, {"rebuild": True}):
        quiet(conn, **options)
    row = {"token": "3f4c4ca7-a7e7-40d6-8d83-8f4ddf3285e6", "opened": "2026-01-02T03:04:05Z", "day": "2026-01-02", "at": "03:04:05",
           "meta": {"a": 1.10}, "fee": "1.5", "mail": "a", "kind": "free"}
    made = conn.client.post("/v1/models/shop.Account/records", row, params=conn.using).expect(201).json()
    assert {k: made[k] for k in row} == row
    for name, value in row.items():
        body = {"model_name": "shop.Account", "where": [{"node_kind": "leaf", "column": name, "operator": "==", "value": value}]}
        assert len(conn.client.post("/v1/query", body, params=conn.using).expect(200).json()["rows"]) == 1, name
    for wrong in ({**row, "mail": "b", "fee": "-1"}, {**row, "mail": "x"}):
        conn.client.post("/v1/models/shop.Account/records", wrong, params=conn.using).problem(422, "check_violation")


def test_the_version_stays_with_the_model(conn):
    """What is answered is registered again as it was."""
    put(conn.client, 3, ACCOUNT, POST).expect(200)
    first = conn.client.get(f"/v1/ddl?dialect={conn.backend.name}").text
    conn.client.put("/v1/models", conn.client.get("/v1/models").json()).expect(200)
    assert conn.client.get(f"/v1/ddl?dialect={conn.backend.name}").text == first


def test_tables_of_the_older_ddl_are_no_drift(conn):
    plain = {k: v for k, v in ACCOUNT.items() if k != "table_checks"}
    put(conn.client, 1, plain).expect(200)
    conn.client.post("/v1/create-tables", conn.using).expect(200)
    put(conn.client, 3, plain).expect(200)
    answer = migrate(conn)
    assert (answer["statements"], answer["warnings"]) == ([], []), answer


def test_versions_and_predicates_that_are_none(client):
    put(client, 2, POST).expect(200)
    assert put(client, 4, POST).problem(422, "invalid_schema")["errors"][0]["pointer"] == "/ir_version"
    for predicate in ({"kind": "xor"}, {"kind": "cmp", "column": "id", "op": "eq", "other": {"kind": "literal", "token": "1; DROP TABLE x"}},
                      {"kind": "like", "column": "id", "pattern": "(SELECT 1)"}, {"kind": "in", "column": "id", "values": []}):
        model = {**POST, "table_checks": [{"name": "ck", "predicate": predicate}]}
        problem = put(client, 3, model).problem(422, "invalid_schema")
        assert problem["errors"][0]["pointer"] == "/payload/models/0/table_checks/0/predicate"


TYPED = {"model_name": "Visit", "table_name": "visit", "columns": [
    {"name": "id", "logical_type": "integer", "primary_key": True}, *({"name": name, "logical_type": kind, "db_type": db_type, "nullable": True}
    for name, kind, db_type in (("naive", "datetime", "timestamp"), ("zoned", "datetime", "timestamptz"), ("day", "date", "date"),
                                ("at", "time", "time"), ("meta", "json", "json"), ("fee", "decimal", "numeric"), ("exact", "decimal", "text"),
                                ("sized", "decimal", "numeric(8,3)"), ("token", "uuid", "uuid")))]}
VISIT = {"naive": "2026-01-02T03:04:05", "zoned": "2026-01-02T03:04:05.250000Z", "day": "2026-01-02", "at": "03:04:05", "meta": {"a": 1},
         "fee": "1.5", "exact": "1.10", "sized": "2.125", "token": "3f4c4ca7-a7e7-40d6-8d83-8f4ddf3285e6"}
READ = {**VISIT, "zoned": "2026-01-02T03:04:05.25Z"}


def test_a_db_type_is_declared_on_sqlite_as_by_the_reference(sqlite_conn):
    """And what an older version declared, with the rows in it, is read, found and no drift; so the other way round."""
    conn = sqlite_conn
    words = {"naive": "datetime", "zoned": "datetime", "day": "date", "at": "time", "meta": "json", "fee": "numeric", "exact": "text",
             "sized": "real", "token": "char(32)", "id": "integer"}
    older = {**words, "naive": "datetime_text", "zoned": "datetime_text", "day": "date_text", "at": "time_text", "meta": "json_text",
             "fee": "real"}
    for made, there in ((3, words), (1, older)):
        put(conn.client, made, TYPED).expect(200)
        conn.client.post("/v1/create-tables", conn.using).expect(200)
        assert columns_of(conn.backend, "visit") == there
        for version in (3, 1):
            put(conn.client, version, TYPED).expect(200)
            for options in ({}, {"destructive": True}, {"rebuild": True}):
                quiet(conn, **options)
            conn.client.post("/v1/models/Visit/records", VISIT, params=conn.using).expect(201)
            rows = conn.client.get("/v1/models/Visit/records", params={**conn.using, "order": "zoned,naive,day,at,id"}).expect(200).json()["rows"]
            assert [{k: row[k] for k in READ} for row in rows] == [READ] * len(rows)
            for name, value in READ.items():
                body = {"model_name": "Visit", "where": [{"node_kind": "leaf", "column": name, "operator": "==", "value": value}]}
                assert len(conn.client.post("/v1/query", body, params=conn.using).expect(200).json()["rows"]) == len(rows), (made, version, name)
        run(conn.backend, "DROP TABLE visit")


def test_a_strict_table_has_words_of_its_own(sqlite_conn):
    conn = sqlite_conn
    strict = {**TYPED, "strict": True}
    put(conn.client, 3, strict).expect(200)
    conn.client.post("/v1/create-tables", conn.using).expect(200)
    assert set(columns_of(conn.backend, "visit").values()) == {"integer", "text", "real"}
    quiet(conn)
    put(conn.client, 3, {**strict, "columns": [*strict["columns"], {"name": "more", "logical_type": "datetime", "nullable": True}]}).expect(200)
    conn.client.post("/v1/migrate", conn.using).expect(200)
    quiet(conn, rebuild=True)
