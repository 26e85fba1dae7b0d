"""/openapi.json?models=true: the models at hand as a client generator sees them, and as the server answers."""
import contextlib

import jsonschema

from support.client import Client
from support.schema import column, model, register
from support.server import Server

AUTHOR = model("Author", column("name", nullable=False, db_type="varchar(40)"), column("age", "integer"), column("limit", "integer"),
               column("token", "uuid"), column("fee", "decimal"), column("meta", "json"))
BOOK = model("Book", column("title", nullable=False), column("author_id", "integer", nullable=False),
             foreign_keys=[{"column": "author_id", "to_table": "author"}])


def described(client, **arguments):
    return client.get("/openapi.json", params={"models": "true", **arguments}, validate=False).expect(200).json()


def test_records_filters_and_relations_by_name(conn):
    register(conn.client, AUTHOR, BOOK)
    conn.client.post("/v1/create-tables", conn.using).expect(200)
    doc = described(conn.client)
    schemas, listing = doc["components"]["schemas"], doc["paths"]["/v1/models/Author/records"]
    assert set(schemas["Model_Author"]["properties"]) == {"id", "name", "age", "limit", "token", "fee", "meta", "book_set"}
    assert schemas["Model_Author_given"]["required"] == ["name"] and "required" not in schemas["Model_Author_changed"]
    names = {p["name"] for p in listing["get"]["parameters"] if "name" in p}
    assert {"name", "age", ".limit", "id"} <= names, "a column that looks like a parameter is reached with a dot"
    assert "/v1/models/Book/records/{pk}/author" in doc["paths"]
    ids = [o["operationId"] for item in doc["paths"].values() for o in item.values() if isinstance(o, dict) and "operationId" in o]
    assert len(ids) == len(set(ids))
    # what the server answers is what is described
    made = conn.client.post("/v1/models/Author/records", {"name": "Ann", "meta": {"a": 1}}, params=conn.using).expect(201).json()
    conn.client.post("/v1/models/Book/records", {"title": "T", "author_id": made["id"]}, params=conn.using).expect(201)
    page = conn.client.get("/v1/models/Author/records", params={**conn.using, "include": "book_set", ".limit": "is.null", "limit": 1}).expect(200).json()
    for name, answer in (("Model_Author", made), ("Model_Author_list", page)):
        jsonschema.validate(answer, {"$ref": f"#/components/schemas/{name}", "components": doc["components"]})
    row = conn.client.get(f"/v1/models/Book/records/1/author", params=conn.using).expect(200).json()
    jsonschema.validate(row, {"$ref": "#/components/schemas/Model_Author_row", "components": doc["components"]})


def test_a_set_and_a_connection(conn):
    conn.client.put("/v1/models", {"models": []}).expect(200)
    conn.client.put("/v1/models", {"models": [AUTHOR]}, params={"set": "left"}).expect(200)
    conn.client.put("/v1/models", {"models": [model("Other")]}, params={"set": "right"}).expect(200)
    try:
        doc = described(conn.client, set="left", using=conn.name)
        assert "Model_Author" in doc["components"]["schemas"] and "Model_Other" not in doc["components"]["schemas"]
        [using] = [p for p in doc["paths"]["/v1/models/Author/records"]["get"]["parameters"] if p.get("name") == "using"]
        assert using["schema"]["enum"] == [conn.name]
    finally:
        for name in ("left", "right"):
            conn.client.put("/v1/models", {"models": []}, params={"set": name}).expect(200)
    conn.client.get("/openapi.json?models=perhaps").problem(400, "invalid_parameters")
    conn.client.get("/openapi.json?model=true").problem(400, "invalid_parameters")


def test_names_of_models_are_no_strangers_business():
    """The general description is open; what stands in the database is for who may read it."""
    with Server("--insecure-no-auth", env={"FERROD_ADMIN_KEY": "an-admin-key-of-32-characters-000"}) as server, Client(server.port) as client:
        client.get("/openapi.json").expect(200)
        client.get("/openapi.json?models=true").problem(403, "forbidden")
        client.get("/openapi.json?models=true", headers={"Authorization": "Bearer wrong"}).problem(403, "forbidden")
        client.get("/openapi.json?models=true", headers={"Authorization": "Bearer an-admin-key-of-32-characters-000"}, validate=False).expect(200)
