"""The API description as a judge: what a response may look like is what openapi/openapi.yaml says, no more.

An undeclared path, status, content type or header of ours fails, and so does a body outside its schema. A request that
was accepted (2xx) must itself have been described: its body, and its query parameters.
"""
import functools
import importlib.util
import json
import re
import urllib.parse

import jsonschema
import yaml

from .process import ROOT

METHODS = ("get", "put", "post", "delete", "patch", "options", "head", "trace")
# response headers that must be declared where they appear
OURS = re.compile(r"^(ferro-.*|etag|location|preference-applied|retry-after|idempotency-replayed|allow|www-authenticate)$")
ALWAYS = ("X-Request-Id", "Server-Timing")


def _loader():
    spec = importlib.util.spec_from_file_location("to_json", ROOT / "openapi/to_json.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Loader


def load_document():
    with open(ROOT / "openapi/openapi.yaml", encoding="utf-8") as f:
        return yaml.load(f, _loader())


def error_codes():
    """Every problem code of service/base/err.h."""
    return re.findall(r'\bX\(\w+, "([a-z0-9_]+)"\)', (ROOT / "service/base/err.h").read_text(encoding="utf-8"))


class Operation:
    def __init__(self, path, method, item, node):
        self.path, self.method, self.node = path, method, node
        self.id = node.get("operationId", f"{method} {path}")
        self.parameters = item.get("parameters", []) + node.get("parameters", [])


def _pointers(node, pointer, found):
    """id -> JSON pointer of every object of a document."""
    if isinstance(node, dict):
        found[id(node)] = pointer
    for name, child in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        _pointers(child, f"{pointer}/{urllib.parse.quote(str(name).replace('~', '~0').replace('/', '~1'), safe='~')}", found)
    return found


def _validators(document):
    """A function that makes the validator of one of the document's schemas.

    jsonschema's own resolver takes twice as long for each level of nested alternatives since 4.18, where a registry took
    its place; before that there is no other.
    """
    try:
        from referencing import Registry
        from referencing.jsonschema import DRAFT202012
    except ImportError:
        resolver = jsonschema.RefResolver("", document)
        return lambda schema: jsonschema.Draft202012Validator(schema, resolver=resolver)
    registry = Registry().with_resource("urn:ferrod", DRAFT202012.create_resource(document))
    pointers = _pointers(document, "", {})
    return lambda schema: jsonschema.Draft202012Validator({"$ref": f"urn:ferrod#{pointers[id(schema)]}"}, registry=registry)


class Contract:
    def __init__(self, document=None):
        self.document = document or load_document()
        self.validator_of = _validators(self.document)
        self.paths = []
        for path, item in self.document["paths"].items():
            pattern = "".join(
                "[^/]+" if part.startswith("{") else re.escape(part) for part in re.split(r"(\{[^}]+\})", path))
            operations = {m: Operation(path, m, item, item[m]) for m in METHODS if m in item}
            self.paths.append((path.count("{"), path, re.compile(pattern + r"\Z"), operations))
        # the path with the fewest parameters is the most specific
        self.paths.sort(key=lambda entry: entry[0])
        self.validators = {}

    def resolve(self, node):
        """Follows a Reference Object."""
        while isinstance(node, dict) and "$ref" in node:
            target = node["$ref"]
            assert target.startswith("#/"), f"only local references: {target}"
            node = self.document
            for part in target[2:].split("/"):
                node = node[urllib.parse.unquote(part).replace("~1", "/").replace("~0", "~")]
        return node

    def schema_errors(self, schema, value):
        """Every breach of the schema, as text."""
        key = id(schema)
        if key not in self.validators:
            self.validators[key] = self.validator_of(schema)
        errors = []
        for error in self.validators[key].iter_errors(value):
            where = "/".join(str(part) for part in error.absolute_path)
            errors.append(f"/{where}: {error.message}"[:600])
            for context in sorted(error.context or [], key=lambda e: -len(e.absolute_path))[:4]:
                errors.append(f"    {'/'.join(str(p) for p in context.absolute_path)}: {context.message}"[:400])
        return errors

    def find(self, path):
        """(most specific template, operations by method) of a request path, or (None, {}).

        A path may fit several templates (`…/refresh` and `…/{relation}`): the most specific one is it, as OpenAPI has it.
        A segment that does not decode to UTF-8 without NUL fits none.
        """
        if len(path) > 1 and path.endswith("/"):
            path = path[:-1]
        if re.search(r"%(?![0-9A-Fa-f]{2})|%00", path) or not self.decodes(path):
            return None, {}
        for _, template, pattern, operations in self.paths:
            if pattern.match(path):
                return template, operations
        return None, {}

    @staticmethod
    def decodes(path):
        try:
            urllib.parse.unquote(path, errors="strict")
        except UnicodeDecodeError:
            return False
        return True

    @staticmethod
    def allowed(operations):
        methods = {method.upper() for method in operations}
        if "GET" in methods:
            methods.add("HEAD")
        return methods | {"OPTIONS"}

    # ---- the check ----

    def check(self, request, response):
        faults = list(self.faults(request, response))
        assert not faults, (
            f"{request.method} {request.path[:300]} -> {response.status} is not what openapi.yaml says:\n  "
            + "\n  ".join(faults) + f"\n  body: {response.body[:1500]!r}")

    def faults(self, request, response):
        for name in ALWAYS:
            if response.header(name) is None:
                yield f"no {name}"
        path = urllib.parse.urlsplit(request.path).path
        template, operations = self.find(path)
        allowed = self.allowed(operations)
        if request.method == "OPTIONS" and "options" not in operations and template is not None \
                and response.status in (200, 204):
            if self.allow_of(response) != allowed:
                yield f"Allow is {self.allow_of(response)}, the description has {allowed}"
            return
        method = "get" if request.method == "HEAD" and "head" not in operations else request.method.lower()
        operation = operations.get(method)
        if operation is None:
            yield from self.faults_outside(request, response, template, allowed)
            return
        declared = operation.node["responses"].get(str(response.status))
        if declared is None:
            yield f"status {response.status} is not declared for {operation.id}"
            return
        declared = self.resolve(declared)
        yield from self.header_faults(declared, response)
        yield from self.body_faults(request, declared, response)
        if 200 <= response.status < 300:
            yield from self.request_faults(operation, request)

    @staticmethod
    def allow_of(response):
        return {method.strip() for method in (response.header("Allow") or "").split(",") if method.strip()}

    def faults_outside(self, request, response, template, allowed):
        """A path or a method that is not described: only certain problems may answer it."""
        codes = {404: "route_not_found", 414: "uri_too_long", 431: "headers_too_large", 400: "invalid_request",
                 500: "internal_error", 503: "shutting_down", 403: "forbidden"}
        if template is not None:
            del codes[404]
            codes[405] = "method_not_allowed"
            if response.status == 405 and self.allow_of(response) != allowed:
                yield f"Allow is {self.allow_of(response)}, the description has {allowed}"
        if response.status not in codes:
            what = "path" if template is None else "method"
            yield f"the {what} is not described, yet the answer is {response.status}"
        elif request.method != "HEAD":
            yield from self.problem_faults(response, [codes[response.status]])

    def header_faults(self, declared, response):
        known = set()
        for name, header in declared.get("headers", {}).items():
            known.add(name.lower())
            header = self.resolve(header)
            value = response.header(name)
            if value is None:
                if header.get("required"):
                    yield f"header {name} is missing"
                continue
            for error in self.schema_errors(header["schema"], self.header_value(header["schema"], value)):
                yield f"header {name} ({value!r}): {error}"
        for name, _ in response.headers:
            if OURS.match(name.lower()) and name.lower() not in known:
                yield f"header {name} is not declared"

    def header_value(self, schema, text):
        if self.resolve(schema).get("type") == "integer" and re.fullmatch(r"-?\d+", text):
            return int(text)
        return text

    def body_faults(self, request, declared, response):
        content = declared.get("content")
        if request.method == "HEAD":
            if response.body:
                yield "a HEAD answer has a body"
            return
        if not content:
            if response.body:
                yield "no body is declared"
            return
        if not response.body and "return=minimal" in (response.header("Preference-Applied") or ""):
            return
        kind = (response.header("Content-Type") or "").split(";")[0].strip()
        if kind not in content:
            yield f"content type {kind!r} is not declared"
            return
        if kind == "application/problem+json":
            yield from self.problem_faults(response, declared.get("x-problem-codes", []))
        elif kind.endswith("json") and kind != "application/x-ndjson":
            schema = content[kind].get("schema")
            if schema is None:
                yield f"no schema is declared for {kind}"
                return
            try:
                value = response.json()
            except ValueError as e:
                yield f"not JSON: {e}"
                return
            yield from self.schema_errors(schema, value)

    def problem_faults(self, response, codes):
        kind = (response.header("Content-Type") or "").split(";")[0].strip()
        if kind != "application/problem+json":
            yield f"an error of type {kind!r}, not application/problem+json"
            return
        try:
            problem = response.json()
        except ValueError as e:
            yield f"the problem is not JSON: {e}"
            return
        yield from self.schema_errors(self.document["components"]["schemas"]["Problem"], problem)
        code = problem.get("code")
        if code not in codes:
            yield f"problem code {code!r} is not declared here (declared: {codes})"
        if problem.get("status") != response.status:
            yield f"the problem's status is {problem.get('status')}"
        if problem.get("type") != f"/problems/{code}":
            yield f"the problem's type is {problem.get('type')!r}"
        if problem.get("instance") != response.header("X-Request-Id"):
            yield f"the problem's instance {problem.get('instance')!r} is not the X-Request-Id"
        if (response.status == 429 or (response.status == 503 and problem.get("retryable"))) \
                and response.header("Retry-After") is None:
            yield "no Retry-After"

    def request_faults(self, operation, request):
        """What was accepted must have been described."""
        declared = {p["name"]: p for p in map(self.resolve, operation.parameters) if p["in"] == "query"}
        free = any(p.get("x-any-column") for p in declared.values())
        for name, _ in urllib.parse.parse_qsl(urllib.parse.urlsplit(request.path).query, keep_blank_values=True):
            if name not in declared and not free:
                yield f"the query parameter {name!r} was accepted but is not described"
        if not request.body:
            body = self.resolve(operation.node.get("requestBody", {}))
            if body.get("required"):
                yield "a request without a body was accepted, but the description requires one"
            return
        body = self.resolve(operation.node.get("requestBody"))
        if body is None:
            yield "a request body was accepted, but none is described"
            return
        kind = (request.headers.get("Content-Type") or "").split(";")[0].strip()
        if kind not in body["content"]:
            yield f"a request of type {kind!r} was accepted, but is not described"
        elif kind == "application/json":
            for error in self.schema_errors(body["content"][kind]["schema"], json.loads(request.body)):
                yield f"the accepted request is outside its schema: {error}"


@functools.lru_cache(maxsize=1)
def contract():
    """The one loaded description."""
    return Contract()
