"""/openapi.json?models=true: the models at hand as a client generator sees them, and as the server answers."""
import jsonschema
import pytest

from support.client import Client
from support.schema import column, model, register
from support.server import Server

AUTHOR = model("Author", column("name", nullable=False, db_type="varchar(40)"), column("age", "integer"), column("limit", "integer"),
               column("token", "uuid"), column("fee", "decimal"), column("meta", "json"))
BOOK = model("Book", column("title", nullable=False), column("author_id", "integer", nullable=False),
             foreign_keys=[{"column": "author_id", "to_table": "author"}])


DOCUMENTS = ["/openapi.json", "/openapi-3.0.json"]


def described(client, path="/openapi.json", **arguments):
    return client.get(path, params={"models": "true", **arguments}, validate=False).expect(200).json()


def newer(schema):
    """A schema of OpenAPI 3.0 as JSON Schema says it."""
    if isinstance(schema, list):
        return [newer(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: newer(part) for key, part in schema.items()}
    return {**schema, "type": [schema["type"], "null"]} if schema.pop("nullable", False) is True and "type" in schema else schema


def plain(name):
    """What a generator that knows neither case nor punctuation makes of a parameter's name."""
    return "".join(c for c in name.replace(".", "dot", 1 if name[0] == "." else 0) if c.isalnum()).lower()


def parameters(doc, operation):
    """Of an operation, by name."""
    named = doc["components"]["parameters"]
    listed = [named[p["$ref"].rsplit("/", 1)[-1]] if "$ref" in p else p for p in operation["parameters"]]
    assert len({(p["name"], p["in"]) for p in listed}) == len(listed)
    return {p["name"]: p for p in listed}


@pytest.mark.parametrize("path", DOCUMENTS)
def test_records_filters_and_relations_by_name(conn, path):
    register(conn.client, AUTHOR, BOOK)
    conn.client.post("/v1/create-tables", conn.using).expect(200)
    doc = described(conn.client, path)
    schemas, listing = doc["components"]["schemas"], doc["paths"]["/v1/models/Author/records"]
    assert set(schemas["Model_Author"]["properties"]) == {"id", "name", "age", "limit", "token", "fee", "meta", "book_set"}
    assert schemas["Model_Author_given"]["required"] == ["name"] and "required" not in schemas["Model_Author_changed"]
    names = parameters(doc, listing["get"])
    assert {"name", "age", ".limit", "id"} <= names.keys(), "a column that looks like a parameter is reached with a dot"
    assert {"book_set!any", "book_set!none", "book_set!all", "filter"} <= names.keys()
    assert {"author.name", "author.age"} <= parameters(doc, doc["paths"]["/v1/models/Book/records"]["get"]).keys()
    assert "/v1/models/Book/records/{pk}/author" in doc["paths"]
    ids = [o["operationId"] for item in doc["paths"].values() for o in item.values() if isinstance(o, dict) and "operationId" in o]
    assert len(ids) == len(set(ids))
    # what the server answers is what is described
    made = conn.client.post("/v1/models/Author/records", {"name": "Ann", "meta": {"a": 1}}, params=conn.using).expect(201).json()
    conn.client.post("/v1/models/Book/records", {"title": "T", "author_id": made["id"]}, params=conn.using).expect(201)
    page = conn.client.get("/v1/models/Author/records", params={**conn.using, "include": "book_set", ".limit": "is.null", "limit": 1}).expect(200).json()
    row = conn.client.get("/v1/models/Book/records/1/author", params=conn.using).expect(200).json()
    book = conn.client.get("/v1/models/Book/records", params={**conn.using, "include": "author"}).expect(200).json()
    components = newer(doc["components"]) if path == DOCUMENTS[1] else doc["components"]
    for name, answer in (("Model_Author", made), ("Model_Author_list", page), ("Model_Author_row", row), ("Model_Book_list", book), ("Model_Author_row", {"row": None})):
        jsonschema.validate(answer, {"$ref": f"#/components/schemas/{name}", "components": components})
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**made, "age": "old"}, {"$ref": "#/components/schemas/Model_Author", "components": components})


def test_every_described_filter_is_one(conn):
    register(conn.client, AUTHOR, BOOK)
    conn.client.post("/v1/create-tables", conn.using).expect(200)
    doc = described(conn.client)
    for model in ("Author", "Book"):
        own = [p for p in parameters(doc, doc["paths"][f"/v1/models/{model}/records"]["get"]).values() if p.get("description", "?")[0] in "`C" and p["schema"] == {"type": "string"}]
        assert len(own) >= 10
        for p in own:
            if p["in"] == "query" and p["name"] not in ("order", "include", "select", "cursor"):
                value = "(id.gte.0)" if "!" in p["name"] else "is.null"
                conn.client.get(f"/v1/models/{model}/records", params={**conn.using, p["name"]: value}).expect(200)


@pytest.mark.parametrize("columns", [163, 164, 165, 195, 230])
def test_an_operation_has_at_most_200_filters_by_name(client, columns):
    """Columns, then the quantifiers of relations, then related records' columns; a Java method takes no more than 255 arguments."""
    register(client, model("Wide", *(column(f"c{n:03d}") for n in range(columns)), column("up_id", "integer"), foreign_keys=[{"column": "up_id", "to_table": "up"}]),
             model("Up", *(column(f"u{n:02d}") for n in range(30)), column("wide_id", "integer"), foreign_keys=[{"column": "wide_id", "to_table": "wide"}]))
    doc = described(client)
    found = parameters(doc, doc["paths"]["/v1/models/Wide/records"]["get"])
    by_name = [name for name, p in found.items() if p.get("description", "?")[0] in "`C" and name not in ("order", "include", "select", "cursor", "Cache-Control")]
    own = [name for name in by_name if name[0] == "c" or name in ("id", "up_id")]
    assert len(by_name) == min(200, columns + 2 + 3 + 31) and len(own) == min(200, columns + 2)
    assert ("up_set!any" in by_name) == (columns < 197) and "filter" in found
    register(client)


@pytest.mark.parametrize("path", DOCUMENTS)
def test_no_two_names_are_alike(client, path):
    """Neither among each other nor with what the general description has, whatever a generator makes of case and underscores."""
    names = ["shop_item", "ShopItem", "Shop_item", "shop_item_list", "Input", "B\u00fccher", "B\u00dfcher", "Author_2", "Author", "author"]
    columns = [column(name) for name in ("a_b", "aB", "prefer", "cursor", "Using", "gr\u00f6\u00dfe", "gr\u00fc\u00dfe", "part.id")]
    register(client, *(model(name, *columns, column("part_id", "integer"), table_name=f"t{number}", foreign_keys=[{"column": "part_id", "to_table": "t0"}])
                       for number, name in enumerate(names)))
    doc = described(client, path)
    schemas = doc["components"]["schemas"]
    squashed = [name.replace("_", "").lower() for name in schemas]
    assert len(squashed) == len(set(squashed))
    listed = [item["get"]["responses"]["200"]["content"]["application/json"]["schema"]["$ref"] for path, item in doc["paths"].items()
              if path.startswith("/v1/models/") and path.endswith("/records") and "{" not in path]
    assert len(set(listed)) == len(names) and all(ref.rsplit("/", 1)[-1] in schemas for ref in listed)
    ids = [o["operationId"].replace("_", "").lower() for item in doc["paths"].values() for o in item.values() if isinstance(o, dict) and "operationId" in o]
    assert len(ids) == len(set(ids))
    for path, item in doc["paths"].items():
        if path.startswith("/v1/models/") and "get" in item and "/models/{" not in path:
            found = [plain(p) for p in parameters(doc, item["get"])]
            assert len(found) == len(set(found)) and (not path.endswith("/records") or {"ab", "dotab", "dotprefer", "dotcursor", "dotusing"} <= set(found))
    register(client)


@pytest.mark.parametrize("path", DOCUMENTS)
def test_a_name_never_goes_over_to_another_model(client, path):
    """What was generated of a description means what it meant, or is no more, whatever models come and go beside."""
    def names(*wanted):
        register(client, *(model(name, column("a"), table_name=f"t_{name.encode().hex()}") for name in wanted))
        doc = described(client, path)
        return {name: doc["paths"][f"/v1/models/{name}/records"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[-1] for name in wanted}
    groups = [["shop_item"], ["shop_item", "Other"], ["shop_item", "ShopItem"], ["ShopItem"], ["Shop_Item", "shop_item", "ShopItem", "Other"], ["shop", "shop_list", "Shop"], ["shop"], ["Input", "shop_list"], ["shop_item"]]
    meant, seen = {}, {}
    for group in groups:
        found = names(*group)
        assert len(set(found.values())) == len(group)
        for name, component in found.items():
            assert meant.setdefault(component, name) == name, (component, group)
            seen.setdefault(name, set()).add(component)
    assert seen["Other"] == {"Model_Other_list"} and "Model_shop_item_list" in seen["shop_item"] and all(len(s) <= 2 for s in seen.values()), seen
    register(client)


@pytest.mark.parametrize("path", DOCUMENTS)
def test_members_that_case_or_underscores_alone_tell_apart(conn, path):
    """Java has one name for them: none of them has it, all of them come, and filters reach each."""
    odd = model("Odd", column("a_b"), column("aB", "integer"), column("other"), column("odd_id", "integer"), column("Odd", "integer"), foreign_keys=[{"column": "odd_id", "to_table": "odd"}])
    register(conn.client, odd if conn.backend.name == "postgres" else {**odd, "columns": [c for c in odd["columns"] if c["name"] != "aB"] + [column("a_B_", "integer")]})
    second = "aB" if conn.backend.name == "postgres" else "a_B_"
    conn.client.post("/v1/create-tables", conn.using).expect(200)
    doc = described(conn.client, path)
    for part in ("", "_given", "_changed"):
        schema = doc["components"]["schemas"]["Model_Odd" + part]
        members = [name.replace("_", "").lower() for name in schema["properties"]]
        assert len(members) == len(set(members)) and {"a_b", second, "Odd", "odd"}.isdisjoint(schema["properties"]) and {"id", "other", "odd_id"} <= set(schema["properties"])
        assert schema["additionalProperties"] is True and all(f"`{name}`" in schema["description"] for name in ("a_b", second, "Odd"))
        assert set(schema.get("required", [])) <= set(schema["properties"])
    made = conn.client.post("/v1/models/Odd/records", {"a_b": "x", second: 5, "other": "y"}, params=conn.using).expect(201).json()
    assert (made["a_b"], made[second]) == ("x", 5)
    components = newer(doc["components"]) if path == DOCUMENTS[1] else doc["components"]
    jsonschema.validate(made, {"$ref": "#/components/schemas/Model_Odd", "components": components})
    for name, p in parameters(doc, doc["paths"]["/v1/models/Odd/records"]["get"]).items():
        if name.strip(".") in ("a_b", second):
            assert conn.client.get("/v1/models/Odd/records", params={**conn.using, name: "not.is.null"}).expect(200).json()["row_count"] == 1, p
    register(conn.client)


@pytest.mark.parametrize("path", DOCUMENTS)
def test_many_models_are_streamed(client, path):
    count = 400
    register(client, *(model(f"Part{n}", *(column(f"column_{i}", nullable=True) for i in range(20)), column("part_id", "integer", nullable=True),
                             foreign_keys=[{"column": "part_id", "to_table": f"part{max(n - 1, 0)}"}]) for n in range(count)))
    answer = client.get(path, params={"models": "true"}, validate=False).expect(200)
    assert answer.header("Content-Length") is None and len(answer.body) > 4 << 20
    doc = answer.json()
    assert sum(name.endswith("_given") and name.startswith("Model_Part") for name in doc["components"]["schemas"]) == count
    register(client)


def test_a_set_and_a_connection(conn):
    conn.client.put("/v1/models", {"models": []}).expect(200)
    conn.client.put("/v1/models", {"models": [AUTHOR]}, params={"set": "left"}).expect(200)
    conn.client.put("/v1/models", {"models": [model("Other")]}, params={"set": "right"}).expect(200)
    try:
        doc = described(conn.client, set="left", using=conn.name)
        assert "Model_Author" in doc["components"]["schemas"] and "Model_Other" not in doc["components"]["schemas"]
        using = parameters(doc, doc["paths"]["/v1/models/Author/records"]["get"])["using"]
        assert using["schema"]["enum"] == [conn.name]
    finally:
        for name in ("left", "right"):
            conn.client.put("/v1/models", {"models": []}, params={"set": name}).expect(200)
    for path in DOCUMENTS:
        refused(conn.client, path)


def refused(client, path):
    """What names nothing is told, and never a document that lacks what was meant."""
    client.get(f"{path}?models=true&set=left").problem(404, "model_not_found")
    client.get(f"{path}?models=true&set=no%20name").problem(400, "invalid_parameters")
    client.get(f"{path}?models=true&set=a%00b").problem(400, "invalid_parameters")
    client.get(f"{path}?models=true&set={'s' * 63}").problem(404, "model_not_found")
    client.get(f"{path}?models=true&set={'s' * 64}").problem(400, "invalid_parameters")
    client.get(f"{path}?models=true&using=nobody").problem(404, "connection_not_found")
    client.get(f"{path}?models=true&using=no-name").problem(400, "invalid_connection_name")
    client.get(f"{path}?set=left").problem(400, "invalid_parameters")
    client.get(f"{path}?models=false&using=x").problem(400, "invalid_parameters")
    client.get(f"{path}?models=perhaps").problem(400, "invalid_parameters")
    client.get(f"{path}?model=true").problem(400, "invalid_parameters")


def test_names_of_models_are_no_strangers_business():
    """The general description is open; what stands in the database is for who may read it."""
    with Server("--insecure-no-auth", env={"FERROD_ADMIN_KEY": "an-admin-key-of-32-characters-000"}) as server, Client(server.port) as client:
        client.get("/openapi.yaml?models=true").problem(400, "invalid_parameters")
        for path in DOCUMENTS:
            client.get(path).expect(200)
            client.get(f"{path}?models=true").problem(403, "forbidden")
            client.get(f"{path}?models=true", headers={"Authorization": "Bearer wrong"}).problem(403, "forbidden")
            client.get(f"{path}?models=true", headers={"Authorization": "Bearer an-admin-key-of-32-characters-000"}, validate=False).expect(200)
