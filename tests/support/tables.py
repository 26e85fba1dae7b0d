"""Models that several files of tests use, and how they get into a fresh database."""

MARKER = {"model_name": "Marker", "columns": [
    {"name": "id", "logical_type": "integer", "primary_key": True},
    {"name": "label", "logical_type": "string", "nullable": True}]}

PERSON = {"model_name": "Person", "columns": [
    {"name": "id", "logical_type": "integer", "primary_key": True},
    {"name": "username", "logical_type": "string"},
    {"name": "age", "logical_type": "integer", "nullable": True},
    {"name": "active", "logical_type": "boolean"},
    {"name": "balance", "logical_type": "decimal", "nullable": True},
    {"name": "role", "logical_type": "string"},
    {"name": "created_at", "logical_type": "datetime", "nullable": True},
    {"name": "token", "logical_type": "uuid", "nullable": True},
    {"name": "payload", "logical_type": "json", "nullable": True}]}


def leaf(column, operator, value=None):
    return {"node_kind": "leaf", "column": column, "operator": operator, "value": value}


def both(left, right, operator="AND"):
    return {"node_kind": "compound", "operator": operator, "left": left, "right": right}


def either(left, right):
    return both(left, right, "OR")


def create_tables(client, name, *models):
    """Registers exactly these models and makes their tables on the named connection."""
    client.put("/v1/models", {"models": list(models)}).expect(200)
    return client.post("/v1/create-tables", {"using": name}).expect(200).json()


def insert(client, name, model, records):
    answer = client.post(f"/v1/models/{model}/records", {"records": records}, params={"using": name}).expect(201).json()
    assert answer["rows_inserted"] == len(records)


def query(client, model, where=(), path="", using=None, **more):
    """POST /v1/query…; returns the response."""
    body = {"model_name": model, "where": list(where), **more}
    if using is not None:
        body["using"] = using
    return client.post(f"/v1/query{path}", body)


def sql(client, text, args=None, using=None, verb="fetch-all"):
    """POST /v1/sql/…; returns the response."""
    body = {"sql": text}
    if args is not None:
        body["args"] = args
    if using is not None:
        body["using"] = using
    return client.post(f"/v1/sql/{verb}", body)


def placeholder(backend, number=1):
    """The database's own: ? or $n."""
    return "?" if backend.name == "sqlite" else f"${number}"
