"""Writes the API description as JSON: to_json.py [--3.0] IN.yaml OUT.json (part of the build).

With --3.0 it is brought down to OpenAPI 3.0.3, for generators that lag: what 3.0 cannot say is left out or widened,
never narrowed, so that every answer that fits the one document fits the other.
"""
import json
import sys

import yaml


class Loader(yaml.SafeLoader):
    """Like SafeLoader, but a date stays the text that it is in JSON."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}

# JSON Schema 2020-12 words that 3.0 does not have: dropping them only widens a schema.
UNKNOWN_IN_30 = ("$schema", "$id", "$comment", "$defs", "unevaluatedProperties", "unevaluatedItems", "patternProperties",
                 "propertyNames", "prefixItems", "contains", "minContains", "maxContains", "dependentRequired",
                 "dependentSchemas", "if", "then", "else", "contentEncoding", "contentMediaType", "contentSchema")


def nullable(schema):
    """Takes null out of `type`, `enum` and the alternatives; true when it was there."""
    found = False
    kinds = schema.get("type")
    if isinstance(kinds, list):
        found = "null" in kinds
        kinds = [kind for kind in kinds if kind != "null"]
        if len(kinds) == 1:
            schema["type"] = kinds[0]
        else:
            del schema["type"]
            alternatives = [{"type": kind} for kind in kinds]
            for alternative in alternatives:
                if alternative["type"] == "array":
                    alternative["items"] = {}
            if "anyOf" in schema or "oneOf" in schema:
                return found
            schema["anyOf"] = alternatives
    for key in ("anyOf", "oneOf"):
        if key in schema:
            rest = [sub for sub in schema[key] if sub not in ({"type": "null"}, {"enum": [None]}, {"const": None})]
            found = found or len(rest) != len(schema[key])
            schema[key] = rest
            if len(rest) == 1:
                del schema[key]
                schema["allOf"] = schema.get("allOf", []) + rest
    return found


def down_schema(schema):
    if isinstance(schema, bool):
        return {} if schema else {"not": {}}
    if "$ref" in schema:
        rest = {key: value for key, value in schema.items() if key not in ("$ref", "description")}
        if not rest:
            return {"$ref": schema["$ref"]}
        schema = {**rest, "allOf": schema.get("allOf", []) + [{"$ref": schema["$ref"]}]}
    schema = {key: value for key, value in schema.items() if key not in UNKNOWN_IN_30}
    if schema.get("type") == "null":
        return {"nullable": True, "enum": [None]}
    if "const" in schema:
        schema["enum"] = [schema.pop("const")]
    if "examples" in schema:
        schema["example"] = schema.pop("examples")[0]
    for bound in ("Minimum", "Maximum"):
        if isinstance(schema.get(f"exclusive{bound}"), (int, float)):
            schema[bound.lower()] = schema[f"exclusive{bound}"]
            schema[f"exclusive{bound}"] = True
    if nullable(schema):
        schema["nullable"] = True
        if "enum" in schema and None not in schema["enum"]:
            schema["enum"] = [*schema["enum"], None]
    for key in ("items", "not", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            schema[key] = down_schema(schema[key])
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            schema[key] = [down_schema(sub) for sub in schema[key]]
    if "properties" in schema:
        schema["properties"] = {name: down_schema(sub) for name, sub in schema["properties"].items()}
    if schema.get("type") == "array":
        schema.setdefault("items", {})
    return schema


def down(node, where=()):
    """Every schema of the document brought down; the rest copied."""
    if isinstance(node, list):
        return [down(value, where) for value in node]
    if not isinstance(node, dict):
        return node
    if where == ("components", "schemas"):
        return {name: down_schema(schema) for name, schema in node.items()}
    result = {}
    for key, value in node.items():
        if key in ("example", "examples") or key.startswith("x-"):
            result[key] = value
        elif key == "schema":
            result[key] = down_schema(value)
        else:
            result[key] = down(value, (*where, key))
    return result


def to_30(document):
    document = down(document)
    document["openapi"] = "3.0.3"
    document["info"].pop("summary", None)
    document["info"].get("license", {}).pop("identifier", None)
    document.pop("jsonSchemaDialect", None)
    document.pop("webhooks", None)
    return document


def main(arguments):
    old = "--3.0" in arguments
    source, target = [argument for argument in arguments if argument != "--3.0"]
    with open(source, encoding="utf-8") as f:
        document = yaml.load(f, Loader)
    if old:
        document = to_30(document)
    with open(target, "w", encoding="utf-8") as f:
        json.dump(document, f, ensure_ascii=False, separators=(",", ":"))
        f.write("\n")


if __name__ == "__main__":
    main(sys.argv[1:])
