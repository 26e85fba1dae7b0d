"""Random expressions, wherever they may stand, against what Python makes of them: $coalesce, $case, arithmetic, paths, texts read as values, documents, ranges."""
import functools
import json
import os
import random
from decimal import Decimal

import pytest

from support.evaluator import negate
from support.expressions import LONG, Expressions, wire
from support.schema import column, model, register

QUERIES = int(os.environ.get("FERROD_DIFF_QUERIES", "300"))
SEED = int(os.environ.get("FERROD_DIFF_SEED", "20260102"))
UUIDS = [f"{n}f1b0a3e-0c3b-4f5e-9d8e-11111111111{n}" for n in range(1, 4)]
KINDS = {"i": "integer", "n": "integer", "x": "number", "d": "decimal", "s": "text", "w": "text", "at": "instant", "ts": "instant", "day": "day", "u": "uuid", "b": "boolean", "j": "json", "k": "json"}
COLUMNS = [column("i", "integer", db_type="bigint"), column("n", "integer"), column("x", "number"), column("d", "decimal"), column("s"), column("w"), column("at", "datetime", db_type="timestamptz"),
           column("ts", "datetime", db_type="timestamp"), column("day", "date"), column("u", "uuid"), column("b", "boolean"), column("j", "json"), column("k", "json", db_type="json")]
WORDS = ["", "a", "Ab", "é", "5", "2.50", "-1", "1e1", "true", "F", UUIDS[0], UUIDS[1].upper(), "2026-01-02", "2026-01-02T03:04:05Z", "2026-01-02 05:04:05+02:00", "2026-02-30", "5a", "NULL"]
LITERALS = {"integer": [0, 5, -1, LONG, -LONG], "number": [0.5, 2.5, 1e300, -0.25], "decimal": ["0.5", "2.50", "7"], "text": WORDS, "boolean": [True, False], "uuid": UUIDS, "day": ["2026-01-02", "2025-12-31"],
            "instant": ["2026-01-02T03:04:05Z", "2026-01-02T00:00:00Z", "2025-12-31T23:59:59.5Z"]}
VALUES = {"i": [0, 5, LONG, LONG - 1, -LONG], "n": [0, 1, 5, -2], "x": [0.5, 2.5, 5, float(LONG - 1), 0.1, -1.5], "d": ["0.5", "2.5", "5", "0.1", "-3.25"], "s": WORDS, "w": ["a", "5", "ab", "Ω"],
          "at": ["2026-01-02T03:04:05Z", "2026-01-02T00:00:00Z", "2025-12-31T23:59:59.5Z"], "ts": ["2026-01-02T03:04:05", "2026-01-02T00:00:00", "2026-01-03T00:00:00.25"], "day": ["2026-01-02", "2025-12-31", "2026-01-03"],
          "u": UUIDS, "b": [True, False], "j": [{"a": 1, "n": 5, "t": "5", "f": True}, {"n": 2.5, "t": UUIDS[0]}, {"t": "2026-01-02T03:04:05Z", "n": None, "f": False}, {"t": "2026-01-02", "a": [1]}, [1, {"a": 1}], {}, 5, "x"],
          "k": [{"a": 1}, [1], {}, {"k": "ab", "n": 5}]}
PATHS = [["n"], ["t"], ["f"], ["a"], ["missing"]]


class Trial:
    def __init__(self, conn, seed):
        self.conn, self.random = conn, random.Random(seed)
        register(conn.client, model("e", *COLUMNS))
        conn.client.post("/v1/create-tables", {}, params=conn.using).expect(200)
        rows = [{"id": n, **{name: None if self.random.random() < 0.25 else self.random.choice(values) for name, values in VALUES.items()}} for n in range(1, 61)]
        conn.client.post("/v1/models/e/records", {"records": rows}, params=conn.using).expect(201)
        self.rows = {row["id"]: {"id": row["id"], **{name: wire(kind, row[name]) for name, kind in KINDS.items()}} for row in rows}
        self.make = Expressions(self.random, KINDS, LITERALS, PATHS)
        self.wrong = []

    def post(self, path, body, number, **more):
        answer = self.conn.client.post(path, body, params=self.conn.using, validate=number % 50 == 0, **more)
        if answer.status != 200:
            self.wrong.append((path, json.dumps(body), answer.status, answer.body[:400]))
            return None
        return json.loads(answer.body, parse_float=Decimal)

    def check(self, body, expected, got):
        if expected != got:
            self.wrong.append((json.dumps(body), "expected", expected, "got", got))

    def conditions(self, number):
        roots = [self.make.condition(self.random.randint(1, 3)) for _ in range(self.random.choice([1, 1, 2]))]
        body = {"model_name": "e", "where": [node for node, _ in roots], "order_by": [{"column": "id"}], "select": ["id"]}
        answer = self.post("/v1/query", body, number)
        expected = [key for key, row in self.rows.items() if all(holds(row) is True for _, holds in roots)]
        if answer is not None:
            self.check(body, expected, [row["id"] for row in answer["rows"]])

    def near(self, kind, a, b):
        if kind == "number" and a is not None and b is not None:
            return abs(a - b) <= abs(a) * Decimal("1e-12")
        return a == b

    def selected(self, number):
        kind = self.random.choice(["integer", "number", "decimal", "text", "instant", "day", "uuid", "boolean", "json"])
        made, _, value = self.make.document(2) if kind == "json" else self.make.chosen(kind, 2) if self.random.random() < 0.6 else self.make.computed(kind, 2)
        body = {"model_name": "e", "select": ["id", {"expr": made, "as": "v"}], "order_by": [{"column": "id"}]}
        answer = self.post("/v1/query", body, number)
        for row in answer["rows"] if answer is not None else []:
            have, want = wire(kind, row["v"]), value(self.rows[row["id"]])
            if not self.near(kind, want, have):
                self.wrong.append((json.dumps(body), "row", self.rows[row["id"]], "expected", want, "got", row["v"]))
                return

    def ordered(self, number):
        kind = self.random.choice(["integer", "number", "decimal", "instant", "day", "uuid"])
        made, _, value = self.make.chosen(kind, 2)
        descending, last = self.random.random() < 0.5, self.random.random() < 0.5
        body = {"model_name": "e", "select": ["id"], "order_by": [{"expr": made, "direction": "desc" if descending else "asc", "nulls": "last" if last else "first"}, {"column": "id"}]}
        if self.random.random() < 0.4:
            node, holds = self.make.condition(1)
            body["where"] = [node]
        answer = self.post("/v1/query", body, number)

        def compare(a, b):
            x, y = value(self.rows[a]), value(self.rows[b])
            if x == y:
                return a - b
            if x is None or y is None:
                return -1 if (x is None) != last else 1
            return -1 if (x < y) != descending else 1
        keys = [key for key, row in self.rows.items() if "where" not in body or holds(row) is True]
        if answer is not None:
            self.check(body, sorted(keys, key=functools.cmp_to_key(compare)), [row["id"] for row in answer["rows"]])

    def written(self, number):
        name, kind = self.random.choice([("s", "text"), ("d", "decimal"), ("at", "instant"), ("u", "uuid"), ("b", "boolean"), ("j", "json"), ("k", "json"), ("day", "day")])
        made, _, value = self.make.document(2) if kind == "json" else self.make.chosen(kind, 1)
        node, holds = self.make.condition(2)
        body = {"query": {"model_name": "e", "where": [node]}, "set": {name: made}}
        answer = self.post("/v1/query/update", body, number, headers={"Prefer": "return=representation, tx=rollback"})
        if answer is None:
            return
        self.check(body, sorted(key for key, row in self.rows.items() if holds(row) is True), sorted(row["id"] for row in answer["rows"]))
        for row in answer["rows"]:
            want = value(self.rows[row["id"]])
            if not self.near("number" if kind == "decimal" and self.conn.backend.name == "sqlite" else kind, want, wire(kind, row[name])):  # a REAL
                self.wrong.append((json.dumps(body), "row", self.rows[row["id"]], "expected", want, "got", row[name]))
                return

    def one(self, number):
        self.random.choice([self.conditions, self.conditions, self.selected, self.selected, self.ordered, self.written])(number)


def test_random_expressions(conn):
    trial = Trial(conn, f"{SEED}/{conn.backend.name}/expressions")
    for number in range(QUERIES):
        trial.one(number)
        assert len(trial.wrong) < 4, "\n\n".join(str(w)[:1800] for w in trial.wrong)
    assert not trial.wrong, "\n\n".join(str(w)[:1800] for w in trial.wrong)


def test_now_is_later_than_what_was(conn):
    trial = Trial(conn, f"{SEED}/now")
    for made, count in (({"node_kind": "leaf", "column": "at", "operator": "<", "value": {"$now": True}}, sum(row["at"] is not None for row in trial.rows.values())),
                        ({"node_kind": "leaf", "expr": {"$coalesce": [{"$column": "at"}, {"$column": "day"}]}, "operator": ">", "value": {"$now": True}}, 0)):
        answer = conn.client.post("/v1/query/count", {"model_name": "e", "where": [made]}, params=conn.using).expect(200).json()
        assert answer["count"] == count, made


def test_random_ranges(postgres_conn):
    """Of whole numbers, each as the set that it is, nulls and unbounded ones among them."""
    r = random.Random(f"{SEED}/ranges")
    postgres_conn.client.post("/v1/sql/execute", {"sql": "CREATE TABLE spans (id int primary key, r int4range, n int)", "args": []}, params=postgres_conn.using).expect(200)
    postgres_conn.client.post("/v1/introspect", {"register": True}, params=postgres_conn.using).expect(200)

    def span():
        low, high = r.choice([None, r.randint(-3, 6)]), r.choice([None, r.randint(-3, 8)])
        if r.random() < 0.08 or (low is not None and high is not None and low > high):
            return {"empty": True}
        return {"lower": low, "upper": high, "bounds": r.choice(["[)", "[]", "(]", "()"])}

    def points(s):
        if s.get("empty"):
            return frozenset()
        low = -50 if s["lower"] is None else s["lower"] + (s["bounds"][0] == "(")
        high = 50 if s["upper"] is None else s["upper"] - (s["bounds"][1] == ")")
        return frozenset(range(low, high + 1))
    rows = [{"id": n, "r": None if r.random() < 0.2 else span(), "n": None if r.random() < 0.2 else r.randint(-3, 8)} for n in range(1, 41)]
    postgres_conn.client.post("/v1/models/spans/records", {"records": rows}, params=postgres_conn.using).expect(201)

    def beside(a, b):
        return bool(a) and bool(b) and not a & b and (max(a) + 1 == min(b) or max(b) + 1 == min(a))
    rules = {"contains": lambda a, b: b <= a, "contained": lambda a, b: a <= b, "overlap": lambda a, b: bool(a & b), "adjacent": beside, "left_of": lambda a, b: bool(a) and bool(b) and max(a) < min(b),
             "right_of": lambda a, b: bool(a) and bool(b) and min(a) > max(b), "==": lambda a, b: a == b}
    for number in range(max(QUERIES // 4, 20)):
        operator = r.choice(list(rules))
        value = span()
        wanted = points(value)
        if operator == "contains" and r.random() < 0.4:
            value = r.randint(-3, 8)
            wanted = frozenset([value])
        negated = r.random() < 0.3
        node = {"node_kind": "leaf", "column": "r", "operator": operator, "value": value}
        body = {"model_name": "spans", "where": [{"node_kind": "not", "operand": node} if negated else node], "order_by": [{"column": "id"}], "select": ["id"]}
        got = postgres_conn.client.post("/v1/query", body, params=postgres_conn.using, validate=number % 50 == 0).expect(200).json()["rows"]
        truth = {row["id"]: None if row["r"] is None else rules[operator](points(row["r"]), wanted) for row in rows}
        assert [row["id"] for row in got] == [key for key, t in truth.items() if (negate(t) if negated else t) is True], (body, [row for row in rows if row["id"] in (truth.keys())][:5])
