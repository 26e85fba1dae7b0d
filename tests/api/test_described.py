"""What openapi.yaml says of requests that nobody thought of: every operation, with headers, arguments and bodies drawn by lot."""
import json
import random
import re
import urllib.parse

import pytest

from support.client import Client
from support.contract import METHODS, contract
from support.keys import Keys
from support.schema import column, model
from support.server import Server

REQUESTS = 1000
MODELS = {"models": [model("A", column("name", unique=True), column("n", "integer")),
                     {**model("B", column("a_id", "integer")),
                      "foreign_keys": [{"node_kind": "leaf", "column": "a_id", "to_table": "a", "to_column": "id"}]}]}
NAMES = {"model": ["A", "B", "Nope"], "pk": ["1", "2", "zz", "99"], "relation": ["b_set", "a", "x"], "name": ["default", "db", "nope"],
         "code": ["forbidden", "nope"]}
ARGUMENTS = ["1", "true", "name", "default", "x", "-1", "name.desc", "no-name", "A", "ignore", "update", "sqlite"]
# header -> how often, and which
HEADERS = {
    "Ferro-Transaction": (0.15, ["new", "new;isolation=serializable", "new;read-only", "new;timeout=1", "new;foo", "x"]),
    "Ferro-Transaction-End": (0.15, ["commit", "rollback", "x"]),
    "Prefer": (0.2, ["tx=rollback", "return=minimal", "return=representation", "count=exact", "max-affected=0", "max-affected=-1",
                     "rows=arrays", "timeout=0.0001", "int64=string", "identity=override"]),
    "Idempotency-Key": (0.1, ["a", "b", "c", "", "\u00e4"]), "If-Match": (0.1, ['"x"', "*"]), "If-None-Match": (0.1, ['"x"', "*"]),
    "Accept": (0.1, ["text/csv", "application/x-ndjson", "text/html", "application/json;q=0", "*/*"]),
    "Ferro-Catalog": (0.05, ["x"]), "Cache-Control": (0.05, ["no-cache"]), "Content-Encoding": (0.02, ["gzip", "zstd", "br"])}
VALUES = [None, 5, "x", [], {}, True, -1, 1e99]


class Lot:
    """Requests drawn by lot, from a number; what answers gave goes into later ones."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.sessions, self.transactions = ["x"], ["x"]
        document = contract().document
        self.operations = [(path, method, item[method]) for path, item in document["paths"].items() for method in METHODS if method in item]

    def chance(self, share):
        return self.random.random() < share

    def body(self, operation):
        """(its type, its bytes), from an example of the description, as it is or spoilt; or none."""
        examples = []
        for kind, media in contract().resolve(operation.get("requestBody", {})).get("content", {}).items():
            given = [media["example"]] if "example" in media else []
            given += [contract().resolve(example)["value"] for example in media.get("examples", {}).values()]
            examples += [(kind, value) for value in given]
        if not examples or self.chance(0.1):
            return None, None
        kind, value = self.random.choice(examples)
        if isinstance(value, dict) and self.chance(0.5):
            value = dict(value)
            name = self.random.choice([*value, "zzz"])
            if self.chance(0.4):
                value.pop(name, None)
            else:
                value[name] = self.random.choice(VALUES)
        data = (value if isinstance(value, str) else json.dumps(value)).replace("db.example", "127.0.0.1:1").encode()  # no name is looked up
        return ("text/plain" if self.chance(0.02) else kind), (self.random.choice([b"{", b"null", b""]) if self.chance(0.05) else data)

    def headers(self):
        sent = {name: self.random.choice(values) for name, (share, values) in HEADERS.items() if self.chance(share)}
        if self.chance(0.3):
            sent["Ferro-Session"] = self.random.choice(self.sessions)
        if self.chance(0.25):
            sent["Ferro-Transaction"] = self.random.choice(self.transactions)
        return sent

    def request(self):
        path, method, operation = self.random.choice(self.operations)
        arguments = [(parameter["name"], self.random.choice(ARGUMENTS))
                     for parameter in map(contract().resolve, operation.get("parameters", [])) if parameter["in"] == "query" and self.chance(0.3)]
        arguments += [("name", "eq.n1")] * ("records" in path and self.chance(0.2))
        path = re.sub(r"{(\w+)}", lambda match: self.random.choice(NAMES.get(match.group(1), ["x"])), path)
        path += "/" * (path != "/" and self.chance(0.1)) + ("?" + urllib.parse.urlencode(arguments) if arguments else "")
        method = "head" if method == "get" and self.chance(0.1) else "options" if self.chance(0.02) else method
        kind, data = self.body(operation)
        return method.upper(), path, data, {**self.headers(), **({"Content-Type": kind} if kind else {})}

    def learn(self, answer):
        if answer.status < 300 and answer.header("Ferro-Session"):
            self.sessions = [*self.sessions[-5:], answer.header("Ferro-Session")]
        if answer.status < 300 and answer.header("Ferro-Transaction"):
            self.transactions = [*self.transactions[-5:], answer.header("Ferro-Transaction")]


def put_back(client, url):
    """What the lot has taken away: the default connection, the models, their tables and records."""
    if client.get("/v1/connections").json()["default"] is None:
        client.post("/v1/connections", {"url": url})
    client.put("/v1/models", MODELS)
    client.post("/v1/create-tables")
    client.post("/v1/models/A/records?on_conflict=ignore", {"records": [{"name": f"n{n}", "n": n} for n in range(5)]})


@pytest.mark.parametrize("seed", [1, 2])
def test_no_answer_is_outside_the_description(tmp_path, backend, seed):
    """Found so: what DDL says of a connection's name, and in a transaction."""
    keys = Keys(tmp_path)
    callers = {name: keys.add(name, scopes) for name, scopes in (("all", ["admin"]), ("reads", ["read"]), ("writes", ["read", "write"]))}
    lot = Lot(seed)
    with Server("--default-url", backend.url, "--state-url", "", "--access-log", "false", "--keys-file", str(keys.path),
                "--transaction-idle-seconds", "2") as server, \
            Client(server.port, {"Authorization": f"Bearer {callers['all']}"}, validate=False) as client:
        for number in range(REQUESTS):
            if number % 200 == 0:
                put_back(client, backend.url)
            method, path, data, headers = lot.request()
            if lot.chance(0.1):
                headers["Authorization"] = lot.random.choice([f"Bearer {callers['reads']}", f"Bearer {callers['writes']}", "Bearer none", None])
            answer = client.request(method, path, raw=data, headers=headers)
            lot.learn(answer)
            faults = [fault for fault in contract().faults(answer.request, answer) if "the query parameter" not in fault]
            assert not faults and answer.status != 500, (method, path, headers, data, answer.status, answer.headers, answer.body[:500], faults)
