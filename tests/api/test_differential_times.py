"""Random conditions on times of SQLite in every form, and on ranges of PostgreSQL, against evaluators of the tests' own, with nulls in them."""
import datetime
import os
import random

import pytest

from support.evaluator import conjunction, disjunction, negate
from support.schema import introspect, run

QUERIES = int(os.environ.get("FERROD_DIFF_QUERIES", "300"))
SEED = int(os.environ.get("FERROD_DIFF_SEED", "20260102"))
EPOCH = datetime.datetime(1970, 1, 1)


def micros(t):
    return (t - EPOCH) // datetime.timedelta(microseconds=1)


FORMS = [lambda t: t.strftime("%Y-%m-%dT%H:%M:%S.%f"), lambda t: t.strftime("%Y-%m-%dT%H:%M:%SZ"), lambda t: t.strftime("%Y-%m-%d %H:%M:%S"),
         lambda t: t.strftime("%Y-%m-%d %H:%M:%S.%f"), lambda t: t.strftime("%Y-%m-%dT%H:%M:%S.000Z"), lambda t: t.strftime("%Y-%m-%d %H:%M"),
         lambda t: (t + datetime.timedelta(hours=5, minutes=30)).strftime("%Y-%m-%dT%H:%M:%S+05:30"), lambda t: (t - datetime.timedelta(hours=11)).strftime("%Y-%m-%d %H:%M:%S-11:00"),
         lambda t: micros(t) // 1000000, lambda t: micros(t) // 1000, lambda t: micros(t), lambda t: micros(t) / 86400e6 + 2440587.5]
OPERATORS = ["==", "!=", "<", "<=", ">", ">=", "IN", "NOT IN", "BETWEEN", "IS NULL", "IS NOT NULL", "is_distinct", "is_not_distinct"]


class Conditions:
    """Trees of conditions on one column, and what they are of a value."""

    def __init__(self, seed, column, operators, operand, wire, truth):
        self.random = random.Random(seed)
        self.column, self.operators, self.operand, self.wire, self.truth = column, operators, operand, wire, truth

    def leaf(self):
        r, operator = self.random, self.random.choice(self.operators)
        n = {"IN": r.randint(0, 3), "NOT IN": r.randint(0, 3), "BETWEEN": 2, "IS NULL": 0, "IS NOT NULL": 0}.get(operator, 1)
        values = [self.operand(r, operator) for _ in range(n)]
        sent = [self.wire(v) for v in values]
        node = {"node_kind": "leaf", "column": self.column, "operator": operator}
        if not operator.startswith("IS "):
            node["value"] = sent if operator in ("IN", "NOT IN", "BETWEEN") else sent[0]
        return node, lambda have: self.truth(operator, have, values)

    def node(self, depth):
        r = self.random
        if depth <= 1 or r.random() < 0.4:
            return self.leaf()
        if r.random() < 0.3:
            node, said = self.node(depth - 1)
            return {"node_kind": "not", "operand": node}, lambda have: negate(said(have))
        (left, one), (right, other) = self.node(depth - 1), self.node(depth - 1)
        word = r.choice(["AND", "OR"])
        join = conjunction if word == "AND" else disjunction
        return {"node_kind": "compound", "operator": word, "left": left, "right": right}, lambda have: join(one(have), other(have))


def compared(operator, have, values):
    if operator in ("IS NULL", "IS NOT NULL"):
        return (have is None) == (operator == "IS NULL")
    if operator in ("is_distinct", "is_not_distinct"):
        return (have != values[0]) == (operator == "is_distinct")
    if operator in ("IN", "NOT IN"):
        found = False
        for v in values:
            found = disjunction(found, compared("=", have, [v]))
        return found if operator == "IN" else negate(found)
    if operator == "BETWEEN":
        return conjunction(compared(">=", have, values[:1]), compared("<=", have, values[1:]))
    if operator in ("==", "!=") and values[0] is None:
        return (have is None) == (operator == "==")
    if have is None or values[0] is None:
        return None
    return {"==": have == values[0], "=": have == values[0], "!=": have != values[0], "<": have < values[0], "<=": have <= values[0],
            ">": have > values[0], ">=": have >= values[0]}[operator]


def check(conn, conditions, rows, queries):
    wrong = []
    for _ in range(queries):
        parts = [conditions.node(conditions.random.randint(1, 4)) for _ in range(conditions.random.choice([1, 1, 2]))]
        query = {"model_name": "d", "where": [node for node, _ in parts], "order_by": [{"column": "id"}], "select": ["id"]}
        answer = conn.client.post("/v1/query", query, params=conn.using, validate=False)
        expected = [n for n, have in rows.items() if all(said(have) is True for _, said in parts)]
        got = [row["id"] for row in answer.json()["rows"]] if answer.status == 200 else answer.body[:300]
        if got != expected:
            wrong.append((query["where"], expected, got))
        assert len(wrong) < 4, "\n\n".join(str(w)[:1500] for w in wrong)
    assert not wrong, "\n\n".join(str(w)[:1500] for w in wrong)


@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.parametrize("forms", [*range(len(FORMS)), "all", "texts"])
def test_times_in_every_form(sqlite_conn, forms, indexed):
    r = random.Random(f"{SEED}/{forms}/{indexed}")
    moments = [datetime.datetime(2026, 1, 1) + datetime.timedelta(minutes=r.choice([0, 1, 60, 719, 1439, 1440, 1441, 2880, 525600, r.randint(0, 9000)])) for _ in range(25)]
    chosen = {"all": FORMS, "texts": FORMS[:8]}.get(forms) or [FORMS[forms]]
    rows = {n: None if r.random() < 0.15 else r.choice(moments) for n in range(1, 121)}
    texts = [(n, None if t is None else r.choice(chosen)(t)) for n, t in rows.items()]
    values = ", ".join(f"({n}, {'NULL' if v is None else repr(v)})" for n, v in texts)
    run(sqlite_conn.backend, f"CREATE TABLE d (id integer PRIMARY KEY, at datetime);\nINSERT INTO d VALUES {values}" + (";\nCREATE INDEX d_at ON d (at);\nANALYZE" if indexed else ""))
    sqlite_conn.client.put("/v1/models", {"models": []}).expect(200)
    introspect(sqlite_conn, register=True)

    def operand(r, operator):
        if r.random() < 0.1 and operator != "BETWEEN":
            return None
        return r.choice(moments) + datetime.timedelta(minutes=r.choice([0, 0, 0, 1, -1, 1440]))
    conditions = Conditions(f"{SEED}/{forms}", "at", OPERATORS, operand, lambda t: None if t is None else t.strftime("%Y-%m-%dT%H:%M:%S") + r.choice(["", "Z"]), compared)
    check(sqlite_conn, conditions, rows, max(QUERIES // 10, 10))


def overlap(a, b):
    return a is not None and b is not None and max(a[0], b[0]) < min(a[1], b[1])


def ranged(operator, have, values):
    """have and the operand: (low, high) of whole numbers, half open; low >= high: the empty range."""
    if operator in ("IS NULL", "IS NOT NULL"):
        return (have is None) == (operator == "IS NULL")
    want = values[0]
    if have is None:
        return None
    if operator == "element":
        return have[0] <= want < have[1]
    empty, other = have[0] >= have[1], want[0] >= want[1]
    if operator in ("==", "!="):
        return ((empty and other) or (not empty and not other and have == want)) == (operator == "==")
    if operator == "contains":
        return other or (not empty and have[0] <= want[0] and want[1] <= have[1])
    if operator == "contained":
        return empty or (not other and want[0] <= have[0] and have[1] <= want[1])
    if empty or other:
        return False
    return {"overlap": overlap(have, want), "adjacent": have[1] == want[0] or want[1] == have[0], "left_of": have[1] <= want[0], "right_of": want[1] <= have[0]}[operator]


class Ranges(Conditions):
    def leaf(self):
        node, said = super().leaf()
        if node["operator"] == "element":
            node["operator"] = "contains"
        return node, said


def test_ranges(postgres_conn):
    r = random.Random(f"{SEED}/ranges")
    far = 10 ** 6

    def one():
        low = r.choice([-far, *range(6)])
        return (0, 0) if r.random() < 0.1 else (low, r.choice([far, *range(low + 1 if low >= 0 else 1, 8)]))
    rows = {n: None if r.random() < 0.15 else one() for n in range(1, 121)}

    def text(v):
        if v is None:
            return "NULL"
        return "'empty'" if v[0] >= v[1] else f"'[{'' if v[0] == -far else v[0]},{'' if v[1] == far else v[1]})'"

    def wire(v):
        if not isinstance(v, tuple):
            return v
        if v[0] >= v[1]:
            return {"empty": True}
        low, high = None if v[0] == -far else v[0], None if v[1] == far else v[1]
        shape = r.randint(0, 2)
        if shape == 0 and low is not None:
            return {"lower": low - 1, "upper": high, "bounds": "()"}
        if shape == 1 and high is not None:
            return {"lower": low, "upper": high - 1, "bounds": "[]"}
        return {"lower": low, "upper": high} if shape else text(v).strip("'")
    run(postgres_conn.backend, f"CREATE TABLE d (id int PRIMARY KEY, v int4range); INSERT INTO d VALUES {', '.join(f'({n}, {text(v)})' for n, v in rows.items())}")
    postgres_conn.client.put("/v1/models", {"models": []}).expect(200)
    introspect(postgres_conn, register=True)
    operators = ["==", "!=", "contains", "contained", "overlap", "adjacent", "left_of", "right_of", "element", "IS NULL", "IS NOT NULL"]
    conditions = Ranges(f"{SEED}/ranges", "v", operators, lambda r, operator: r.randint(-2, 9) if operator == "element" else one(), wire, ranged)
    check(postgres_conn, conditions, rows, QUERIES)


DATES = [lambda t: t.strftime("%Y-%m-%d"), lambda t: t.strftime("%Y-%m-%d 00:00:00"), lambda t: t.strftime("%Y-%m-%dT00:00:00.000Z"), lambda t: t.strftime("%Y-%m-%dT00:00:00"),
         lambda t: (t - datetime.timedelta(hours=5)).strftime("%Y-%m-%d %H:%M:%S-05:00"), lambda t: micros(t) // 1000000, lambda t: micros(t) // 1000, lambda t: micros(t) / 86400e6 + 2440587.5]
CLOCKS = [lambda t: t.strftime("%H:%M:%S") + (t.strftime(".%f") if t.microsecond else ""), lambda t: t.strftime("%H:%M:%S.%f"), lambda t: t.strftime("%H:%M:%S.%f")[:-3],
          lambda t: t.strftime("%H:%M") if t.second == t.microsecond == 0 else t.strftime("%H:%M:%S.%f").rstrip("0").rstrip(".")]


def pages(conn, direction, nulls, limit):
    """All ids in the order of the column and of the key, page by page."""
    seen, more = [], {"order": f"at.{direction}.{nulls},id", "limit": limit}
    while True:
        page = conn.client.get("/v1/models/d/records", params={**conn.using, **more}).expect(200).json()
        seen += [row["id"] for row in page["rows"]]
        if page.get("next_cursor") is None:
            return seen
        assert len(seen) < 1000
        more["cursor"] = page["next_cursor"]


def check_orders(conn, rows, shown):
    """rows: values by id; shown: a value as it is answered."""
    for direction in ("asc", "desc"):
        for nulls in ("nullsfirst", "nullslast"):
            there = sorted((v for v in set(rows.values()) if v is not None), reverse=direction == "desc")
            values = [None] + there if nulls == "nullsfirst" else there + [None]
            expected = [n for v in values for n in sorted(rows) if rows[n] == v]
            for limit in (7, 500):
                assert pages(conn, direction, nulls, limit) == expected, (direction, nulls, limit)
    query = {"model_name": "d", "aggregates": [{"fn": "min", "column": "at", "as": "low"}, {"fn": "max", "column": "at", "as": "high"}]}
    there = [v for v in rows.values() if v is not None]
    assert conn.client.post("/v1/query", query, params=conn.using).expect(200).json()["rows"] == [{"low": shown(min(there)), "high": shown(max(there))}]
    query = {"model_name": "d", "group_by": ["at"], "aggregates": [{"fn": "count", "as": "n"}], "order_by": [{"column": "at", "nulls": "first"}]}
    groups = conn.client.post("/v1/query", query, params=conn.using).expect(200).json()["rows"]
    values = sorted(set(there))
    assert [(g["at"], g["n"]) for g in groups] == [(None, list(rows.values()).count(None))] * (None in rows.values()) + [(shown(v), there.count(v)) for v in values]


def made(conn, kind, texts, indexed):
    values = ", ".join(f"({n}, {'NULL' if v is None else repr(v)})" for n, v in texts)
    run(conn.backend, f"CREATE TABLE d (id integer PRIMARY KEY, at {kind});\nINSERT INTO d VALUES {values}" + (";\nCREATE INDEX d_at ON d (at);\nANALYZE" if indexed else ""))
    conn.client.put("/v1/models", {"models": []}).expect(200)
    answer = introspect(conn, register=True)
    column = next(c for c in answer["payload"]["models"][0]["columns"] if c["name"] == "at")
    return column, [w["column"] for w in answer.get("warnings", []) if w["code"] == "order_without_index"]


@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.parametrize("kind, forms", [("date", n) for n in [*range(len(DATES)), "all", "texts"]] + [("time", n) for n in [*range(len(CLOCKS)), "all"]])
def test_days_and_times_of_day_in_every_form(sqlite_conn, kind, forms, indexed):
    r = random.Random(f"{SEED}/{kind}/{forms}/{indexed}")
    base = datetime.datetime(2026, 1, 1)
    if kind == "date":
        moments = [base + datetime.timedelta(days=r.randint(0, 40)) for _ in range(25)]
        shown = lambda t: t.strftime("%Y-%m-%d")
    else:
        moments = [base + datetime.timedelta(minutes=r.randint(0, 1439), seconds=r.choice([0, 0, 0, 1, 30]), milliseconds=r.choice([0, 0, 0, 250, 500])) for _ in range(25)]
        shown = lambda t: t.strftime("%H:%M:%S") + (t.strftime(".%f").rstrip("0") if t.microsecond else "")
    every = DATES if kind == "date" else CLOCKS
    chosen = {"all": every, "texts": DATES[:5]}.get(forms) or [every[forms]]
    rows = {n: None if r.random() < 0.15 else r.choice(moments) for n in range(1, 121)}
    column, warned = made(sqlite_conn, kind, [(n, None if t is None else r.choice(chosen)(t)) for n, t in rows.items()], indexed)
    own = forms == 0
    assert (column.get("spelling", "ferrod"), warned) == (("ferrod", []) if own else ("mixed", ["at"]))
    check_orders(sqlite_conn, rows, shown)
    step = datetime.timedelta(days=1) if kind == "date" else datetime.timedelta(seconds=1)
    conditions = Conditions(f"{SEED}/{kind}/{forms}", "at", OPERATORS, lambda r, operator: None if r.random() < 0.1 and operator != "BETWEEN" else r.choice(moments) + r.choice([0, 0, 0, 1, -1]) * step,
                            lambda t: None if t is None else shown(t), compared)
    # a step over midnight is another time of day
    rows = {n: t and base.replace(hour=t.hour, minute=t.minute, second=t.second, microsecond=t.microsecond) if kind == "time" else t for n, t in rows.items()}
    check(sqlite_conn, conditions, rows, max(QUERIES // 10, 10))


@pytest.mark.parametrize("forms", [*range(len(FORMS)), "all", "texts"])
def test_orders_of_instants_in_every_form(sqlite_conn, forms):
    r = random.Random(f"{SEED}/orders/{forms}")
    moments = [datetime.datetime(2026, 1, 1) + datetime.timedelta(minutes=r.choice([0, 1, 60, 719, 1440, 2880, 525600, r.randint(0, 9000)])) for _ in range(25)]
    chosen = {"all": FORMS, "texts": FORMS[:8]}.get(forms) or [FORMS[forms]]
    rows = {n: None if r.random() < 0.15 else r.choice(moments) for n in range(1, 121)}
    made(sqlite_conn, "datetime", [(n, None if t is None else r.choice(chosen)(t)) for n, t in rows.items()], False)
    answered = {row["id"]: row["at"] for row in sqlite_conn.client.get("/v1/models/d/records?limit=500", params=sqlite_conn.using).expect(200).json()["rows"]}
    zone = "Z" if all(v is None or v.endswith("Z") for v in answered.values()) else ""
    if zone or not any(v is not None and v.endswith("Z") for v in answered.values()):
        check_orders(sqlite_conn, rows, lambda t: t.strftime("%Y-%m-%dT%H:%M:%S") + zone)


@pytest.mark.parametrize("kind, spelling, fine", [("date", "mixed", True), ("time", "mixed", True), ("date", "ferrod", True), ("date", "space", False), ("time", "unix", False), ("integer", "mixed", False)])
def test_days_have_one_spelling_or_several(conn, kind, spelling, fine):
    columns = [{"name": "id", "logical_type": "integer", "primary_key": True}, {"name": "at", "logical_type": kind, "nullable": True, "spelling": spelling}]
    answer = conn.client.put("/v1/models", {"models": [{"model_name": "d", "columns": columns}]}, validate=False)
    if not fine:
        answer.problem(422, "invalid_schema")
        return
    answer.expect(200)
    assert next(c for c in conn.client.get("/v1/models/d").expect(200).json()["columns"] if c["name"] == "at").get("spelling", "ferrod") == spelling
