"""Random QueryIR against an evaluator of the tests' own, over the same rows.

`make differential` (or FERROD_DIFF_QUERIES=n) runs more of them; FERROD_DIFF_SEED chooses others.
"""
import base64
import json
import math
import os
import random
from decimal import Decimal

import pytest

from support.evaluator import Evaluator, compare_form
from support.tables import create_tables, insert

QUERIES = int(os.environ.get("FERROD_DIFF_QUERIES", "300"))
SEED = int(os.environ.get("FERROD_DIFF_SEED", "20260102"))
ROWS = 150
CHECKED_BY_CONTRACT = 25  # every n-th answer is held against openapi.yaml; the check takes longer than the query

UUIDS = [f"{n:08x}-0000-4000-8000-{n * 77777:012x}" for n in range(1, 6)]
COLUMNS = {
    "i": ("integer", {}, [-5, -1, 0, 1, 2, 3, 7, 100, 2 ** 31 - 1, -2 ** 31]),
    "big": ("integer", {"db_type": "bigint"}, [2 ** 63 - 1, -2 ** 63, 2 ** 53 + 1, 2 ** 53, 0, 1, -1]),
    "n": ("number", {}, [-1.5, 0.0, 0.1, 0.30000000000000004, 0.3, 1e300, 2.5, 7, -2e-300, "Infinity", "-Infinity"]),
    "d": ("decimal", {}, ["0", "1.5", "1.25", "-3.10", "99999.99", "0.01", "1.50", "12345678.125"]),
    "b": ("boolean", {}, [True, False]),
    "s": ("string", {}, ["", "a", "A", "ab", "Ab", "abc", "é", "É", "straße", "Ωmega", "ωMEGA", "Жар", "жар", "a%b", "a_b", "a\\b",
                         "100%", "日本", "😀", " a", "a ", "ab\ncd", "'", '"', "NULL", "%", "_"]),
    "e": ("string", {"enum_values": ["red", "green", "Blue"], "enum_type_name": "colour"}, ["red", "green", "Blue"]),
    "u": ("uuid", {}, UUIDS),
    "t": ("datetime", {}, ["2026-01-02T03:04:05Z", "2026-01-02T03:04:05.5Z", "2025-12-31T23:59:59.999999Z", "2026-01-02T05:04:05+02:00",
                           "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "1969-12-31T19:00:00-05:00"]),
    "ts": ("datetime", {"db_type": "timestamp"}, ["2026-01-02T03:04:05", "2026-01-02 03:04:05.120", "1999-02-28T00:00:00"]),
    "day": ("date", {}, ["2026-04-27", "0001-01-01", "9999-12-31", "2000-02-29"]),
    "c": ("time", {"db_type": "time"}, ["20:13:45", "00:00:00", "23:59:59.999999", "20:13:45.5"]),
    "bin": ("binary", {}, [base64.b64encode(v).decode() for v in (b"", b"\0", b"\xff\x00", b"abc", b"abd")]),
    "j": ("json", {}, [[], {}, 5, "text", False, [1, None, {"b": 1, "a": [2]}], {"a": {"b": None}}, "5"]),
}
LOGICAL = {name: column[0] for name, column in COLUMNS.items()}
MODEL = {"model_name": "Diff", "columns": [{"name": "id", "logical_type": "integer", "primary_key": True}] + [
    {"name": name, "logical_type": logical, "nullable": True, **more} for name, (logical, more, _) in COLUMNS.items()]}
ORDERED = [name for name, logical in LOGICAL.items() if logical not in ("json", "boolean")]
TEXTS = ["s", "e"]
GROUPABLE = ["i", "b", "s", "e", "u", "day", "t", "big", "d"]
SUMMED = {"i", "n_finite", "d"}


class Generator:
    def __init__(self, seed, backend):
        self.random = random.Random(seed)
        self.backend = backend

    def value(self, name):
        r = self.random
        value = r.choice(COLUMNS[name][2])
        if r.random() < 0.15 and LOGICAL[name] == "integer" and name == "i":
            return r.randint(-10, 110)
        if r.random() < 0.1 and LOGICAL[name] == "string" and name == "s":
            return "".join(r.choice("aAbéΩж%_\\") for _ in range(r.randint(0, 3)))
        return value

    def row(self, number):
        return {"id": number, **{name: None if self.random.random() < 0.2 else self.value(name) for name in COLUMNS}}

    def pattern(self, name):
        """Made from a value, so that it often matches: other case, wildcards, escapes; or made of anything."""
        r = self.random
        if r.random() < 0.2:
            return "".join(r.choice(["%", "_", "a", "A", "É", "ω", "ж", "\\%", "\\_", "\\\\", "ß", "\n"]) for _ in range(r.randint(0, 4)))
        out = ""
        for c in r.choice(COLUMNS[name][2]):
            chance = r.random()
            if chance < 0.1:
                out += r.choice(["%", "%%", "_%"])
            elif chance < 0.2:
                out += "_"
            elif chance < 0.45 and len(c.swapcase()) == 1:
                out += c.swapcase()
            else:
                out += "\\" + c if c in "%_\\" and chance < 0.8 or c == "\\" else c
        return r.choice(["", "", "%", "_"]) + out + r.choice(["", "", "%"])

    def leaf(self):
        r = self.random
        name = r.choice(list(COLUMNS) + ["s"] * 4)
        logical = LOGICAL[name]
        operators = ["==", "!=", "IS NULL", "IS NOT NULL"]
        if logical != "json":
            operators += ["IN", "NOT IN", "==", "!="]
        if name in ORDERED:
            operators += ["<", "<=", ">", ">=", "BETWEEN"]
        if name in TEXTS:
            operators += ["LIKE", "NOT LIKE", "ILIKE", "NOT ILIKE"] * 2
        operator = r.choice(operators)
        node = {"node_kind": "leaf", "column": name, "operator": operator}
        if operator in ("IS NULL", "IS NOT NULL"):
            return node
        if operator.endswith("LIKE"):
            value = self.pattern(name)
        elif operator in ("IN", "NOT IN"):
            value = [self.nullable(name, 0.1) for _ in range(r.choice([0, 1, 1, 2, 3, 8]))]
        elif operator == "BETWEEN":
            value = [self.nullable(name, 0.05), self.nullable(name, 0.05)]
        else:
            value = self.nullable(name, 0.1)
        if r.random() < 0.3:
            kind = {type(None): "null", bool: "bool", int: "int", float: "float", str: "string", list: "list", dict: "object"}
            value = {"kind": kind[type(value)], "value": value}
        node["value"] = value
        return node

    def nullable(self, name, chance):
        return None if self.random.random() < chance else self.value(name)

    def node(self, depth):
        kind = self.random.random()
        if depth <= 1 or kind < 0.3:
            return self.leaf()
        if kind < 0.45:
            return {"node_kind": "not", "operand": self.node(depth - 1)}
        return {"node_kind": "compound", "operator": self.random.choice(["AND", "OR"]), "left": self.node(depth - 1),
                "right": self.node(depth - 1)}

    def where(self):
        return [self.node(self.random.randint(1, 6)) for _ in range(self.random.choice([0, 1, 1, 1, 2, 3]))]

    def order(self):
        terms = []
        for name in self.random.sample(ORDERED + ["b"], self.random.choice([0, 1, 1, 2, 3])):
            term = {"column": name}
            if self.random.random() < 0.7:
                term["direction"] = self.random.choice(["asc", "desc"])
            if self.random.random() < 0.4:
                term["nulls"] = self.random.choice(["first", "last"])
            terms.append(term)
        return terms + [{"column": "id", "direction": self.random.choice(["asc", "desc"])}]

    def page(self, query):
        if self.random.random() < 0.4:
            query["limit"] = self.random.choice([0, 1, 2, 5, 20, 1000])
        if self.random.random() < 0.3:
            query["offset"] = self.random.choice([0, 1, 3, 10, 200])
        return query

    def grouped(self):
        r = self.random
        by = r.sample(GROUPABLE, r.choice([0, 1, 1, 2]))
        aggregates = [{"fn": "count", "as": "rows"}]
        for k in range(r.randint(0, 3)):
            fn = r.choice(["count", "sum", "avg", "min", "max"])
            if fn in ("sum", "avg"):
                name = r.choice(["i", "d"])
            elif fn == "count":
                name = r.choice(list(COLUMNS))
            else:
                name = r.choice(["i", "big", "n", "d", "s", "t", "day"])
            aggregates.append({"fn": fn, "column": name, "as": f"g{k}"})
        query = {"where": self.where(), "group_by": by, "aggregates": aggregates}
        if r.random() < 0.4:
            query["having"] = [{"node_kind": "leaf", "column": "rows", "operator": r.choice(["<", ">=", "==", "!="]),
                                "value": r.randint(0, 6)}]
        return query


def plain(node):
    """The node with plain values, for the evaluator."""
    if isinstance(node, list):
        return [plain(n) for n in node]
    if node["node_kind"] == "leaf":
        value = node.get("value")
        if isinstance(value, dict) and set(value) == {"kind", "value"}:
            return {**node, "value": value["value"]}
        return node
    return {key: plain(value) if isinstance(value, dict) else value for key, value in node.items()}


def in_some_order(values):
    """A key for tuples that may hold None; equal decimals of different scale are equal to it."""
    return [(value is not None, 0 if value is None else value) for value in values]


def near(a, b):
    if isinstance(a, (float, Decimal)) and isinstance(b, (float, Decimal)):
        return a == b or math.isclose(float(a), float(b), rel_tol=1e-12, abs_tol=1e-12)
    return a == b


class Trial:
    def __init__(self, conn, seed):
        self.conn, self.backend = conn, conn.backend.name
        self.generator = Generator(seed, self.backend)
        create_tables(conn.client, conn.name, MODEL)
        insert(conn.client, conn.name, "Diff", [self.generator.row(n) for n in range(1, ROWS + 1)])
        rows = self.post("", {"order_by": [{"column": "id"}]}, True)["rows"]
        assert len(rows) == ROWS
        self.rows = rows
        self.evaluator = Evaluator(self.backend, {"id": "integer", **LOGICAL}, rows)

    def post(self, path, query, validate=False, headers=None):
        answer = self.conn.client.post(f"/v1/query{path}", {"model_name": "Diff", **query}, params=self.conn.using, validate=validate,
                                       headers=headers)
        assert answer.status == 200, f"{answer.status} {answer.body[:400]!r} for {json.dumps(query)[:1500]}"
        return answer.json()

    def one(self, number):
        """None, or what was wrong."""
        g = self.generator
        check = number % CHECKED_BY_CONTRACT == 0
        kind = g.random.random()
        if kind < 0.15:
            return self.grouped(g.grouped(), check)
        where = g.where()
        query = {"where": where, "order_by": g.order()}
        seen = {"where": plain(where), "order_by": query["order_by"]}
        if kind < 0.25:
            expected = {"count": len(self.evaluator.matching(seen["where"]))}
            got = self.post("/count", {"where": where}, check)
        elif kind < 0.33:
            expected = {"exists": bool(self.evaluator.matching(seen["where"]))}
            got = self.post("/exists", {"where": where}, check)
        elif kind < 0.41:
            found = self.evaluator.select(seen)
            expected = {"row": self.rows[found[0]] if found else None}
            got = self.post("/first", query, check)
        elif kind < 0.48:
            return self.written(query, seen, check)
        elif kind < 0.56:
            return self.distinct(where, check)
        else:
            g.page(query)
            expected = [self.rows[i] for i in self.evaluator.select({**query, **seen})]
            select = g.random.random() < 0.5
            if select:
                names = ["id"] + g.random.sample(list(COLUMNS), 3)
                query["select"] = names
                expected = [{name: row[name] for name in names} for row in expected]
            got = self.post("", query, check)["rows"]
        return None if got == expected else (query, expected, got)

    def distinct(self, where, check):
        names = self.generator.random.sample(GROUPABLE, self.generator.random.choice([1, 2]))
        query = {"where": where, "distinct": True, "select": names}
        found = self.evaluator.matching(plain(where))
        expected = sorted({tuple(self.evaluator.forms[i][name] for name in names) for i in found}, key=in_some_order)
        got = sorted((tuple(compare_form(LOGICAL[name], row[name], self.backend) for name in names)
                      for row in self.post("", query, check)["rows"]), key=in_some_order)
        return None if got == expected else (query, expected, got)

    def written(self, query, seen, check):
        """An update or a delete of the same rows, undone again."""
        self.generator.page(query)
        ids = sorted(self.rows[i]["id"] for i in self.evaluator.select({**query, **seen}))
        if self.generator.random.random() < 0.5:
            path, body = "/update", {"query": {"model_name": "Diff", **query}, "set": {"i": 77}}
        else:
            path, body = "/delete", {"model_name": "Diff", **query}
        answer = self.conn.client.post(f"/v1/query{path}", body, params={**self.conn.using, "all": "true"}, validate=check,
                                       headers={"Prefer": "return=representation, tx=rollback"})
        assert answer.status == 200, f"{answer.status} {answer.body[:400]!r} for {json.dumps(body)[:1500]}"
        answer = answer.json()
        got = sorted(row["id"] for row in answer["rows"])
        return None if (got, answer["rows_affected"]) == (ids, len(ids)) else (path, query, ids, got, answer["rows_affected"])

    def grouped(self, query, check):
        expected = self.evaluator.groups({**query, "where": plain(query["where"])})
        rows = self.post("", query, check)["rows"]
        logical = {g["as"]: "integer" if g["fn"] == "count" else "number" if g["fn"] == "avg" and LOGICAL[g["column"]] == "integer"
                   else LOGICAL[g["column"]] for g in query["aggregates"]}
        got = {tuple(compare_form(LOGICAL[name], row[name], self.backend) for name in query["group_by"]):
               {alias: compare_form(logical[alias], row[alias], self.backend) for alias in logical} for row in rows}
        right = len(got) == len(rows) == len(expected) and all(
            key in got and all(near(got[key][alias], value) for alias, value in made.items()) for key, made in expected)
        return None if right else (query, expected, got)


@pytest.mark.parametrize("part", range(2))
def test_random_queries(conn, part):
    trial = Trial(conn, f"{SEED}/{conn.backend.name}/{part}")
    wrong = []
    for number in range(max(QUERIES // 2, 1)):
        fault = trial.one(number)
        if fault is not None:
            wrong.append(fault)
        assert len(wrong) < 5, "\n\n".join(str(w)[:3000] for w in wrong)
    assert not wrong, "\n\n".join(str(w)[:3000] for w in wrong)
