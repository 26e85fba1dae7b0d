"""Models: SchemaIR in every accepted form, faults with pointers, canonical form, fingerprint, create-tables."""
import hashlib
import json

import pytest

from support.process import ROOT
from support.tables import MARKER, create_tables, insert, sql

VECTORS = ROOT / "tests/golden/vectors"
GOLDEN = json.loads((ROOT / "tests/golden/ddl.json").read_text(encoding="utf-8"))["cases"]


def vector(name):
    return json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))


def fingerprint(envelope):
    return hashlib.sha256(json.dumps(envelope, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()).hexdigest()


def put(client, *models):
    return client.put("/v1/models", {"models": list(models)})


def model(name="M", *columns, **more):
    return {"model_name": name, "columns": [{"name": "id", "logical_type": "integer", "primary_key": True}, *columns], **more}


def column(name, kind="string", **more):
    return {"name": name, "logical_type": kind, **more}


# ---- canonical form ----

def test_fingerprint_of_the_reference(client):
    """The vector is canonical already: it comes back as it went in, with the reference's fingerprint."""
    given = vector("schema_phase1_fixture_models_v1")
    got = client.put("/v1/models", given["ir"]).expect(200).json()
    assert got["fingerprint"] == given["fingerprint"]
    stripped = json.loads(json.dumps(got))
    del stripped["fingerprint"]
    for one in stripped["payload"]["models"]:
        del one["relations"], one["origin"]
    assert stripped == given["ir"]
    assert client.get("/v1/models").expect(200).json() == got
    # the answer goes in again and means the same
    assert client.put("/v1/models", got).expect(200).json() == got
    assert client.put("/v1/models", got["payload"]).expect(200).json()["fingerprint"] == given["fingerprint"]


def test_short_form_completes_itself(client):
    got = put(client, {"model_name": "Zed", "columns": [
        column("slug", unique=True), column("org_id", "integer", index=True), column("id", "integer", primary_key=True)],
        "foreign_keys": [{"column": "org_id", "to_table": "org"}]},
        {"model_name": "Org", "columns": [column("id", "integer", primary_key=True)]}).expect(200).json()
    org, zed = got["payload"]["models"]
    assert (org["model_name"], zed["model_name"], zed["table_name"]) == ("Org", "Zed", "zed")
    assert [c["name"] for c in zed["columns"]] == ["id", "org_id", "slug"]
    assert zed["columns"][0] == {"name": "id", "logical_type": "integer", "nullable": False, "primary_key": True,
                                 "autoincrement": True, "unique": False, "index": False, "default": None, "format": None}
    assert zed["foreign_keys"] == [{"column": "org_id", "to_table": "org", "to_column": "id", "on_delete": None,
                                    "name": "fk_zed_org_id_org"}]
    assert zed["indexes"] == [{"name": "idx_zed_org_id", "columns": ["org_id"], "unique": False}]
    assert zed["uniques"] == [{"name": "uq_zed_slug", "columns": ["slug"]}]
    assert [(r["name"], r["kind"], r["target"]) for r in zed["relations"]] == [("org", "forward", "Org")]
    assert [(r["name"], r["kind"], r["target"]) for r in org["relations"]] == [("zed_set", "reverse", "Zed")]


def test_order_does_not_matter(client):
    a, b = model("A", column("x"), column("y", "integer")), model("B", column("z", index=True))
    one = put(client, a, b).expect(200).json()
    turned = {"model_name": "A", "columns": list(reversed(a["columns"]))}
    assert put(client, b, turned).expect(200).json() == one


def test_fingerprint_covers_schema_ir_only(client):
    got = put(client, model("A", column("ü", default="é\u2028"))).expect(200).json()
    bare = {"ir_kind": "schema", "ir_version": 1, "payload": json.loads(json.dumps(got["payload"]))}
    for one in bare["payload"]["models"]:
        del one["relations"], one["origin"]
    assert got["fingerprint"] == fingerprint(bare)


def test_unknown_optional_members_are_not_kept(client):
    given = dict(model("A"), surprise={"x": 1})
    given["columns"] = [dict(given["columns"][0], surprise=2)]
    client.put("/v1/models", {"models": [given], "also": 3}).expect(200)
    got = client.get("/v1/models").expect(200).text
    assert "surprise" not in got and "also" not in got


# ---- the registry ----

def test_replace_add_remove_clear(client):
    put(client, model("A"), model("B")).expect(200)
    client.post("/v1/models", {"models": [model("C"), model("B", column("x"))]}).expect(200)
    names = [m["model_name"] for m in client.get("/v1/models").json()["payload"]["models"]]
    assert names == ["A", "B", "C"]
    assert [c["name"] for c in client.get("/v1/models/B").expect(200).json()["columns"]] == ["id", "x"]
    client.delete("/v1/models/A").expect(204)
    client.delete("/v1/models/A").problem(404, "model_not_found")
    client.get("/v1/models/A").problem(404, "model_not_found")
    put(client, model("D")).expect(200)
    assert [m["model_name"] for m in client.get("/v1/models").json()["payload"]["models"]] == ["D"]
    client.delete("/v1/models").expect(204)
    assert client.get("/v1/models").json()["payload"]["models"] == []
    assert put(client).expect(200).json()["payload"]["models"] == []


def test_refused_set_changes_nothing(client):
    before = put(client, model("A")).expect(200).json()
    put(client, model("B"), {"model_name": "C", "columns": []}).expect(422)
    client.post("/v1/models", {"models": [model("B", column("x", "no such type", db_type=7))]}).expect(422)
    assert client.get("/v1/models").json() == before


FAULTS = [
    ({"models": {}}, "/models"),
    ({"models": [7]}, "/models/0"),
    ({}, ""),
    ({"models": [{"columns": []}]}, "/models/0"),
    ({"models": [{"model_name": "", "columns": [column("a")]}]}, "/models/0/model_name"),
    ({"models": [{"model_name": "A"}]}, "/models/0"),
    ({"models": [model("A", {"name": "x"})]}, "/models/0/columns/1"),
    ({"models": [model("A", column("x", nullable="no"))]}, "/models/0/columns/1/nullable"),
    ({"models": [model("A", column("x"), column("x"))]}, "/models/0/columns/2"),
    ({"models": [model("A"), model("A")]}, "/models/1"),
    ({"models": [model("A"), model("B", table_name="a")]}, "/models/1"),
    ({"models": [model("A", foreign_keys=[{"column": "no", "to_table": "a"}])]}, "/models/0/foreign_keys/0"),
    ({"models": [model("A", indexes=[{"columns": ["no"]}])]}, "/models/0/indexes/0"),
    ({"models": [model("A", uniques=[{"columns": []}])]}, "/models/0/uniques/0/columns"),
    ({"models": [model("A", checks=[{"column": "no", "values": ["1"]}])]}, "/models/0/checks/0"),
    ({"ir_kind": "query", "ir_version": 1, "payload": {"models": []}}, "/ir_kind"),
    ({"ir_kind": "schema", "ir_version": 4, "payload": {"models": []}}, "/ir_version"),
    ({"ir_kind": "schema", "ir_version": 1, "payload": {"models": [7]}}, "/payload/models/0"),
]


@pytest.mark.parametrize("body, pointer", FAULTS, ids=[f[1] + f"-{n}" for n, f in enumerate(FAULTS)])
def test_faults_with_pointers(client, body, pointer):
    answer = client.put("/v1/models", body)
    answer.problem(422, "invalid_schema")
    assert any(p == pointer or p.startswith(pointer + "/") for p in answer.pointers()), answer.body


def test_every_fault_is_listed(client):
    answer = put(client, model("A", column("x", nullable=1), foreign_keys=[{"column": "no", "to_table": "a"}]),
                 model("B", {"logical_type": "string"}))
    answer.problem(422, "invalid_schema")
    pointers = " ".join(answer.pointers())
    assert "/models/0/columns/1/nullable" in pointers and "/models/1/columns/1" in pointers and len(answer.pointers()) >= 2


# ---- tables ----

@pytest.mark.parametrize("case", GOLDEN, ids=[c["name"] for c in GOLDEN])
@pytest.mark.parametrize("dialect", ["sqlite", "postgres"])
def test_ddl_goldens(client, dialect, case):
    if dialect not in case:
        return
    client.put("/v1/models", case["schema"]).expect(200)
    got = client.get("/v1/ddl", params={"dialect": dialect}).expect(200)
    assert got.header("Content-Type").startswith("application/sql")
    statements = [line for line in got.text.split(";\n") if line.strip()]
    assert statements == case[dialect]


def test_ddl_for_the_connection_of_the_request(conn):
    """What this answers when the dialect is left out was in part not described."""
    client = conn.client
    put(client, {"model_name": "DdlUser", "columns": [column("id", "integer", primary_key=True)]}).expect(200)
    tx = client.transaction(using=conn.name)
    answer = tx.get("/v1/ddl").expect(200)
    assert ("serial" in answer.text) == (conn.backend.name == "postgres") and answer.header("Ferro-Transaction")
    tx.post(f"/v1/transactions/{tx.headers['Ferro-Transaction']}/rollback").expect(200)
    client.get("/v1/ddl?using=no-name").problem(400, "invalid_connection_name")
    client.clone(Ferro_Transaction="none").get("/v1/ddl").problem(404, "transaction_not_found")


@pytest.mark.parametrize("dialect", ["sqlite", "postgres"])
def test_ddl_of_the_shadow_vector(client, dialect):
    expected = vector(f"shadow_{dialect}")["create_table"][0]
    put(client, {"model_name": "ShadowUser", "columns": [
        column("id", "integer", primary_key=True, nullable=True), column("age", "integer", nullable=True),
        column("name", nullable=True)]}).expect(200)
    assert client.get(f"/v1/ddl?dialect={dialect}").expect(200).text.strip() == expected + ";"


@pytest.mark.parametrize("query", ["?dialect=", "?dialect=mysql", "?dialect=sqlite&x=1"])
def test_ddl_of_no_dialect(client, query):
    client.get(f"/v1/ddl{query}").problem(400, "invalid_parameters")


# what a database refuses on purpose is told in the golden's name
CREATABLE = [c for c in GOLDEN if "sqlite" in c and "postgres" in c]


@pytest.mark.parametrize("case", CREATABLE, ids=[c["name"] for c in CREATABLE])
def test_goldens_are_what_runs(conn, case):
    """create-tables runs exactly what /v1/ddl shows, and does nothing the second time."""
    conn.client.put("/v1/models", case["schema"]).expect(200)
    answer = conn.client.post("/v1/create-tables", {"using": conn.name})
    if answer.status != 200:
        # a table that the case leaves out, or a type the database cannot have: all or nothing
        assert (answer.status, answer.json()["code"]) in ((400, "sql_error"), (422, "invalid_schema"), (422, "migration_refused"))
        count = "SELECT count(*) AS n FROM sqlite_master WHERE name NOT LIKE 'sqlite%'" if conn.backend.name == "sqlite" else \
            "SELECT count(*) AS n FROM pg_tables WHERE schemaname = 'public'"
        assert sql(conn.client, count, using=conn.name).json()["rows"] == [{"n": 0}]
        return
    result = answer.expect(200).json()
    assert result["applied"] and result["statements"] == case[conn.backend.name]
    again = conn.client.post("/v1/create-tables", {"using": conn.name}).expect(200).json()
    assert again["statements"] == []


ORG = model("Org", column("name", unique=True))
TREE = model("Tree", column("parent_id", "integer", nullable=True), column("org_id", "integer"),
             foreign_keys=[{"column": "parent_id", "to_table": "tree", "on_delete": "SET NULL"},
                           {"column": "org_id", "to_table": "org", "on_delete": "RESTRICT"}])


def test_foreign_keys_are_enforced(conn):
    """Self references and dependents in any order of names; the database refuses orphans."""
    create_tables(conn.client, conn.name, TREE, ORG)
    insert(conn.client, conn.name, "Org", [{"id": 1, "name": "o"}])
    insert(conn.client, conn.name, "Tree", [{"id": 1, "org_id": 1}, {"id": 2, "org_id": 1, "parent_id": 1}])
    post = conn.client.post
    post("/v1/models/Tree/records", {"org_id": 9}, params=conn.using).problem(409, "foreign_key_violation")
    post("/v1/models/Org/records", {"name": "o"}, params=conn.using).problem(409, "unique_violation")
    answer = sql(conn.client, "DELETE FROM org", using=conn.name, verb="execute")
    answer.problem(409, "foreign_key_violation")
    sql(conn.client, "DELETE FROM tree WHERE id = 1", using=conn.name, verb="execute").expect(200)
    rows = conn.client.post("/v1/query", {"model_name": "Tree", "where": []}, params=conn.using).json()["rows"]
    assert rows == [{"id": 2, "org_id": 1, "parent_id": None}]


def test_circular_references(conn):
    create_tables(conn.client, conn.name,
                  model("Egg", column("hen_id", "integer", nullable=True), foreign_keys=[{"column": "hen_id", "to_table": "hen"}]),
                  model("Hen", column("egg_id", "integer", nullable=True), foreign_keys=[{"column": "egg_id", "to_table": "egg"}]))
    insert(conn.client, conn.name, "Egg", [{"id": 1}])
    insert(conn.client, conn.name, "Hen", [{"id": 1, "egg_id": 1}])
    conn.client.post("/v1/models/Hen/records", {"egg_id": 7}, params=conn.using).problem(409, "foreign_key_violation")


def test_checks_are_enforced(conn):
    create_tables(conn.client, conn.name, model(
        "Doc", column("kind", db_type="text"), checks=[{"column": "kind", "values": ["'pdf'", "'o''dt'"]}]))
    insert(conn.client, conn.name, "Doc", [{"kind": "pdf"}, {"kind": "o'dt"}])
    conn.client.post("/v1/models/Doc/records", {"kind": "exe"}, params=conn.using).problem(422, "check_violation")


def test_names_that_need_quotes(conn):
    create_tables(conn.client, conn.name, {"model_name": "Select", "table_name": 'or"der; --', "columns": [
        column("id", "integer", primary_key=True), column("from", index=True), column('wh"ere', unique=True), column("Größe", "integer")]})
    row = {"from": "a", 'wh"ere': "b", "Größe": 3}
    got = conn.client.post("/v1/models/Select/records", row, params=conn.using).expect(201).json()
    assert got == {"id": 1, **row}
    found = conn.client.post("/v1/query", {"model_name": "Select", "where": [
        {"node_kind": "leaf", "column": 'wh"ere', "operator": "==", "value": "b"}]}, params=conn.using).expect(200).json()["rows"]
    assert found == [got]


def test_types_that_cannot_be_made(conn):
    put(conn.client, model("Odd", column("x", "unknown"))).expect(200)
    conn.client.post("/v1/create-tables", {"using": conn.name}).problem(422, "invalid_schema")
    conn.client.get(f"/v1/ddl?dialect={conn.backend.name}").problem(422, "invalid_schema")


def test_create_tables_routes(client, sqlite_conn):
    put(client, MARKER).expect(200)
    client.post("/v1/create-tables", {"using": "nobody"}).problem(404, "connection_not_found")
    client.post("/v1/create-tables", {"using": sqlite_conn.name}).expect(200)
    sql(client, "SELECT * FROM marker", using=sqlite_conn.name).expect(200)
    sql(client, "SELECT * FROM marker", using="default").problem(400, "sql_error")


# ---- words and members that nobody knows ----

@pytest.mark.parametrize("word", ["interger", "float", "Integer", "int", "varchar", "string "])
def test_misspelt_types_are_refused(client, word):
    """A word that no one knows would turn every check of the column off."""
    problem = put(client, model("M", column("ok"), column("n", word))).problem(422, "invalid_schema")
    assert problem["errors"][0]["pointer"] == "/models/0/columns/2/logical_type"
    problem = put(client, model("M", column("n", word, db_type="integer"))).problem(422, "invalid_schema")
    assert problem["errors"][0]["pointer"] == "/models/0/columns/1/logical_type"


@pytest.mark.parametrize("word", ["integer", "number", "decimal", "boolean", "string", "datetime", "date", "time", "uuid",
                                  "binary", "json", "object", "array", "unknown"])
def test_words_of_types(client, word):
    assert "warnings" not in put(client, model("M", column("c", word))).expect(200).json()


def test_unknown_members_are_told(client):
    """Near misses of members are not lost in silence: each is named by its place."""
    given = {"models": [{**model("M", column("n", "integer", nulable=True), column("org_id", "integer")), "polices": [],
                         "foreign_keys": [{"column": "org_id", "to_table": "m", "on_delet": "CASCADE"}],
                         "indexes": [{"columns": ["n"], "uniqe": True}], "uniques": [{"columns": ["org_id"], "nmae": "x"}],
                         "checks": [{"column": "n", "values": ["1"], "a/b": 1}]}], "modles": []}
    expected = {"/modles", "/models/0/polices", "/models/0/columns/1/nulable", "/models/0/foreign_keys/0/on_delet",
                "/models/0/indexes/0/uniqe", "/models/0/uniques/0/nmae", "/models/0/checks/0/a~1b"}
    for send in (client.put, client.post):
        got = send("/v1/models", given).expect(200).json()
        assert {w["pointer"] for w in got["warnings"]} == expected
        assert {w["code"] for w in got["warnings"]} == {"unknown_member"}
        meant = {w["pointer"].rsplit("/", 1)[-1]: w["detail"].partition("; is ")[2] for w in got["warnings"]}
        assert meant == {"modles": '"models" meant?', "polices": "", "nulable": '"nullable" meant?', "on_delet": '"on_delete" meant?',
                         "uniqe": '"unique" meant?', "nmae": '"name" meant?', "a~1b": ""}
    near = {"primaryKey": "primary_key", "Nullable": "nullable", "defualt": "default", "logical-type": "", "x": "", "y" * 200: "", "idnex": "index"}
    got = put(client, {**model("M"), "columns": [{"name": "id", "logical_type": "integer", "primary_key": True}, {"name": "n", "logical_type": "integer", **dict.fromkeys(near, 1)}],
                       "tablename": "m", "foreignKeys": []}).expect(200).json()
    meant = {w["pointer"].rsplit("/", 1)[-1]: w["detail"].partition('; is "')[2].partition('"')[0] for w in got["warnings"]}
    assert meant == {**near, "tablename": "table_name", "foreignKeys": "foreign_keys"}
    assert "warnings" not in client.get("/v1/models").expect(200).json()
    envelope = {"ir_kind": "schema", "ir_version": 1, "payload": {"models": [model("M")], "x": 1}, "y": 2}
    got = client.put("/v1/models", envelope).expect(200).json()
    assert {w["pointer"] for w in got["warnings"]} == {"/payload/x", "/y"}
    # what was answered is a document without a fault
    assert "warnings" not in client.put("/v1/models", got).expect(200).json()


def test_unknown_members_of_relations_are_faults(client):
    problem = put(client, model("M", column("m_id", "integer"), foreign_keys=[{"column": "m_id", "to_table": "m"}], relations=[
        {"name": "up", "kind": "forward", "target": "M", "colum": "m_id"}])).problem(422, "invalid_schema")
    assert [e["pointer"] for e in problem["errors"]] == ["/models/0/relations/0/colum"]


def test_warnings_are_bounded(client):
    """A hundred are listed; the last says how many more there are."""
    got = put(client, model("M", *[column(f"c{i}", extra=i) for i in range(250)])).expect(200).json()
    assert len(got["warnings"]) == 100
    assert "151 more" in got["warnings"][-1]["detail"]
