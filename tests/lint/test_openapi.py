"""The API description is sound by itself: references, examples, problem codes, style."""
import re

import jsonschema
import pytest

from support.contract import METHODS, Contract, error_codes
from support.process import ROOT

CONTRACT = Contract()
DOCUMENT = CONTRACT.document
OPERATIONS = [
    (path, method, item[method]) for path, item in DOCUMENT["paths"].items() for method in METHODS if method in item]
IDS = [operation["operationId"] for _, _, operation in OPERATIONS]
SCOPES = ("none", "any", "read", "write", "schema", "sql", "admin")


def walk(node, where=""):
    """Every (pointer, node) of the document."""
    yield where, node
    if isinstance(node, dict):
        for key, value in node.items():
            yield from walk(value, f"{where}/{key}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from walk(value, f"{where}/{index}")


def test_every_reference_resolves():
    for where, node in walk(DOCUMENT):
        if isinstance(node, dict) and isinstance(node.get("$ref"), str):
            try:
                CONTRACT.resolve(node)
            except KeyError:
                pytest.fail(f"{where}: {node['$ref']} leads nowhere")


def test_every_component_is_used():
    text = (ROOT / "openapi/openapi.yaml").read_text(encoding="utf-8")
    for kind, components in DOCUMENT["components"].items():
        if kind == "securitySchemes":
            continue
        for name in components:
            assert f"'#/components/{kind}/{name}'" in text, f"{kind}/{name} is not used"


def test_operation_ids_are_unique():
    assert len(set(IDS)) == len(IDS)


@pytest.mark.parametrize("path, method, operation", OPERATIONS, ids=IDS)
def test_operation_is_complete(path, method, operation):
    assert operation["summary"] and operation["tags"]
    assert operation["x-scope"] in SCOPES
    assert ("security" in operation) == (operation["x-scope"] == "none"), "security: [] goes with scope none"
    assert {tag["name"] for tag in DOCUMENT["tags"]} >= set(operation["tags"])
    item = DOCUMENT["paths"][path]
    declared = {p["name"] for p in map(CONTRACT.resolve, item.get("parameters", []) + operation.get("parameters", []))
                if p["in"] == "path"}
    assert declared == set(re.findall(r"\{(\w+)\}", path))
    if "requestBody" in operation:
        assert "415" in operation["responses"]
        assert CONTRACT.resolve(operation["requestBody"])["content"]
    assert any(status.startswith("2") for status in operation["responses"])
    for status, response in operation["responses"].items():
        check_response(status, CONTRACT.resolve(response))
    for status in ("403", "406", "413", "414", "431", "500", "503"):
        assert status in operation["responses"], f"{status} can be answered to any request"
    assert ("401" in operation["responses"]) == (operation["x-scope"] != "none")


def check_response(status, response):
    assert response["description"]
    headers = response.get("headers", {})
    for name in ("X-Request-Id", "Server-Timing"):
        assert headers[name] == {"$ref": f"#/components/headers/{name}"}, status
    if status[0] in "45":
        assert list(response["content"]) == ["application/problem+json"], status
        assert response["x-problem-codes"], status
        assert set(response["x-problem-codes"]) <= set(error_codes()), status
    else:
        assert "x-problem-codes" not in response


def test_every_problem_code_stands_in_one_status_only():
    """What service/http/problem.c maps each code to must be one status; the description may not disagree with itself."""
    seen = {}
    for _, _, operation in OPERATIONS:
        for status, response in operation["responses"].items():
            for code in CONTRACT.resolve(response).get("x-problem-codes", []):
                seen.setdefault(code, set()).add(status)
    # a batch that is well formed and still cannot be exactly once is 422, says the contract
    assert {code: statuses for code, statuses in seen.items() if len(statuses) > 1} == {"invalid_request": {"400", "422"}}
    assert [o["operationId"] for _, _, o in OPERATIONS
            if "invalid_request" in CONTRACT.resolve(o["responses"].get("422", {})).get("x-problem-codes", [])] == ["batch"]


def test_schemas_are_valid_and_without_booleans():
    def schemas():
        yield from DOCUMENT["components"]["schemas"].values()
        for _, node in walk(DOCUMENT):
            if isinstance(node, dict) and isinstance(node.get("schema"), dict):
                yield node["schema"]

    def check(schema):
        assert not isinstance(schema, bool), "a boolean sub-schema: use {}"
        if schema.get("additionalProperties") is False:  # the one boolean: what every generator knows
            schema = {key: value for key, value in schema.items() if key != "additionalProperties"}
        for key in ("items", "not", "additionalProperties", "unevaluatedProperties"):
            if key in schema:
                check(schema[key])
        for key in ("anyOf", "oneOf", "allOf"):
            for sub in schema.get(key, []):
                check(sub)
        for sub in schema.get("properties", {}).values():
            check(sub)

    for schema in schemas():
        jsonschema.Draft202012Validator.check_schema(schema)
        check(schema)


def examples():
    """(where, schema, value) of every example."""
    for where, node in walk(DOCUMENT):
        if not isinstance(node, dict) or "schema" not in node or "/examples/" in where:
            continue
        if "example" in node:
            yield where, node["schema"], node["example"]
        for name, example in (node.get("examples") or {}).items():
            yield f"{where}/examples/{name}", node["schema"], CONTRACT.resolve(example)["value"]


@pytest.mark.parametrize("where, schema, value", list(examples()), ids=lambda v: v if isinstance(v, str) else "")
def test_example_fits_its_schema(where, schema, value):
    assert CONTRACT.schema_errors(schema, value) == [], where


def test_every_json_body_of_a_request_has_an_example():
    for _, _, operation in OPERATIONS:
        for kind, media in CONTRACT.resolve(operation.get("requestBody", {})).get("content", {}).items():
            if kind == "application/json":
                assert "example" in media or "examples" in media, operation["operationId"]


def test_no_description_became_a_member():
    """`{description: one, two}` has a member named two."""
    for where, node in walk(DOCUMENT):
        if isinstance(node, dict) and "/example" not in where:
            assert [key for key in node if " " in str(key)] == [], where


def test_the_number_of_tries_is_the_codes():
    tries = re.search(r"#define LIMIT_BATCH_TRIES (\d+)", (ROOT / "service/base/limits.h").read_text(encoding="utf-8")).group(1)
    batch = next(operation for _, _, operation in OPERATIONS if operation["operationId"] == "batch")
    assert f"tried up to {tries} times in all" in " ".join(batch["description"].split())


# what later versions add to, or the client wrote itself: types of columns travel both ways, and unknown members are warned of
OPEN = {"Version", "OpenApi", "ColumnTypeMade", "ColumnTypeField", "RenamedLabels"}


def test_what_is_answered_is_closed():
    """So that a member which nobody described fails every test that meets it."""
    seen, open_ones = set(), set()

    def look(schema, name):
        if "$ref" in schema:
            name = schema["$ref"].split("/")[-1]
            if name in seen:
                return
            seen.add(name)
            schema = CONTRACT.resolve(schema)
        if "properties" in schema and schema.get("additionalProperties") is not False:
            open_ones.add(name)
        subs = [sub for key in ("oneOf", "anyOf", "allOf") for sub in schema.get(key, [])]
        subs += [schema[key] for key in ("items", "additionalProperties") if isinstance(schema.get(key), dict)]
        for sub in subs + list(schema.get("properties", {}).values()):
            look(sub, name)

    for _, _, operation in OPERATIONS:
        for response in map(CONTRACT.resolve, operation["responses"].values()):
            for media in response.get("content", {}).values():
                look(media.get("schema", {}), operation["operationId"])
    assert open_ones == OPEN


def test_generators_find_what_they_need():
    """What Java, Rust and TypeScript generators stumble over: enums without a type or of booleans, integers of 32 bits,
    variants without a name, optional bodies that may not be null, operations that nobody describes."""
    for where, node in walk(DOCUMENT):
        if not isinstance(node, dict) or "/example" in where:
            continue
        kinds = node.get("type") if isinstance(node.get("type"), list) else [node.get("type")]
        if isinstance(node.get("enum"), list):
            assert kinds[0] in ("string", "integer") and kinds[1:] in ([], ["null"]), f"{where}: an enum of {kinds}"
        elif kinds[0] == "integer":
            assert node.get("format") == "int64", where
        assert "const" not in node, f"{where}: a one-value enum"
        assert len([kind for kind in kinds if kind != "null"]) <= 1 or not {"items", "properties"} & set(node), f"{where}: of several types"
        for key in ("oneOf", "anyOf"):
            for variant in node.get(key, []) if isinstance(node.get(key), list) else []:
                assert variant.get("type") != "object" or "properties" not in variant, f"{where}: a variant without a name"
    for _, _, operation in OPERATIONS:
        assert operation.get("description"), operation["operationId"]
        body = CONTRACT.resolve(operation.get("requestBody", {}))
        if body and not body.get("required"):
            schema = CONTRACT.resolve(body["content"]["application/json"]["schema"])
            assert CONTRACT.schema_errors(schema, None) == [], f"{operation['operationId']}: its body is optional"
