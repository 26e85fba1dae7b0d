"""Writes the API description as JSON: to_json.py [--3.0] IN.yaml OUT.json (part of the build).

With --3.0 it is brought down to OpenAPI 3.0.3, for generators that lag: what 3.0 cannot say is left out or widened,
never narrowed, so that every answer that fits the one document fits the other.
"""
import json
import sys

import yaml


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """Like SafeLoader (libyaml's where it is there: six times as fast), but a date stays the text that it is in JSON."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}

# JSON Schema 2020-12 words that 3.0 does not have: dropping them only widens a schema.
UNKNOWN_IN_30 = ("$schema", "$id", "$comment", "$defs", "unevaluatedProperties", "unevaluatedItems", "patternProperties",
                 "propertyNames", "prefixItems", "contains", "minContains", "maxContains", "dependentRequired",
                 "dependentSchemas", "if", "then", "else", "contentEncoding", "contentMediaType", "contentSchema")


def without_null(schema):
    """Takes null out of `type` and the alternatives; true when it was there."""
    found = False
    kinds = schema.get("type")
    if isinstance(kinds, list):
        found = "null" in kinds
        kinds = [kind for kind in kinds if kind != "null"]
        del schema["type"]
        if len(kinds) == 1:
            schema["type"] = kinds[0]
        elif "anyOf" not in schema and "oneOf" not in schema:
            schema["anyOf"] = [{"type": kind} for kind in kinds]
    for key in ("anyOf", "oneOf"):
        if key in schema:
            rest = [sub for sub in schema[key] if sub not in ({"type": "null"}, {"enum": [None]}, {"const": None})]
            found = found or len(rest) != len(schema[key])
            schema[key] = rest
    return found


def allow_null(schema, schemas):
    """`nullable` needs a `type` beside it, and a reference may have nothing beside it: it gives way to what it names."""
    for key in ("anyOf", "oneOf"):
        if len(schema.get(key, [])) == 1:
            alternative = schema.pop(key)[0]
            if "$ref" in alternative:
                alternative = down_schema(schemas[alternative["$ref"].rsplit("/", 1)[-1]], schemas)
            schema = {**alternative, **schema}
    if "type" in schema:
        schema["nullable"] = True
        if "enum" in schema and None not in schema["enum"]:
            schema["enum"] = [*schema["enum"], None]
        return schema
    for key in ("anyOf", "oneOf"):
        for sub in schema.get(key, []):
            if "type" in sub:
                sub["nullable"] = True
                return schema
    return {}


def down_schema(schema, schemas):
    if isinstance(schema, bool):
        return {} if schema else {"not": {}}
    if "$ref" in schema:
        rest = {key: value for key, value in schema.items() if key not in ("$ref", "description")}
        if not rest:
            return {"$ref": schema["$ref"]}
        schema = {**rest, "allOf": schema.get("allOf", []) + [{"$ref": schema["$ref"]}]}
    schema = {key: value for key, value in schema.items() if key not in UNKNOWN_IN_30}
    if schema.get("type") == "null":
        return {}
    if any(isinstance(value, bool) for value in schema.get("enum", [])):
        schema["type"] = schema.pop("enum") and "boolean"  # generators know only enums of strings and integers
    if "enum" in schema and "type" not in schema:
        for name, kind in (("string", str), ("integer", int)):
            if all(isinstance(value, kind) for value in schema["enum"]):
                schema["type"] = name
    if schema.get("default", "") is None:
        del schema["default"]
    if "examples" in schema:
        schema["example"] = schema.pop("examples")[0]
    for bound in ("Minimum", "Maximum"):
        if isinstance(schema.get(f"exclusive{bound}"), (int, float)):
            schema[bound.lower()] = schema[f"exclusive{bound}"]
            schema[f"exclusive{bound}"] = True
    with_null = without_null(schema)
    for key in ("items", "not", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            schema[key] = down_schema(schema[key], schemas)
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            schema[key] = [down_schema(sub, schemas) for sub in schema[key]]
    if "properties" in schema:
        schema["properties"] = {name: down_schema(sub, schemas) for name, sub in schema["properties"].items()}
    if schema.get("type") == "array":
        schema.setdefault("items", {})
    return allow_null(schema, schemas) if with_null else schema


def down(node, schemas, where=()):
    """Every schema of the document brought down; the rest copied."""
    if isinstance(node, list):
        return [down(value, schemas, where) for value in node]
    if not isinstance(node, dict):
        return node
    if where == ("components", "schemas"):
        return {name: down_schema(schema, schemas) for name, schema in node.items()}
    result = {}
    for key, value in node.items():
        if key in ("example", "examples") or key.startswith("x-"):
            result[key] = value
        elif key == "schema":
            result[key] = down_schema(value, schemas)
        else:
            result[key] = down(value, schemas, (*where, key))
    return result


def to_30(document):
    document = down(document, document["components"]["schemas"])
    document["openapi"] = "3.0.3"
    text = json.dumps(document)
    for name in list(document["components"]["schemas"]):
        if f'"#/components/schemas/{name}"' not in text:
            del document["components"]["schemas"][name]
    document["info"].pop("summary", None)
    document["info"]["license"] = {"name": "MIT", "url": "https://spdx.org/licenses/MIT.html"}
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
