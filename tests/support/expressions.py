"""Random expressions with what they give, worked out in Python: numbers exactly, texts, instants and days, documents, nulls in all of them.

An expression is (JSON, kind, function of a row); a row is a dict of Python values, SQL NULL as None. Documents are wrapped, so that
their own null is not SQL's.
"""
import datetime
from decimal import Decimal

from .evaluator import conjunction, disjunction, negate, parse_instant
from .related import MISSING, contains, follow, same

NUMBERS = ("integer", "number", "decimal")
LONG = 2 ** 53 + 1


class Doc:
    """A document."""
    def __init__(self, value):
        self.value = value

    def __eq__(self, other):
        return isinstance(other, Doc) and same(self.value, other.value)

    def __repr__(self):
        return f"Doc({self.value!r})"


def exact(value):
    return Decimal(repr(value)) if isinstance(value, float) else Decimal(value)


def wire(kind, value):
    """What an answer says, as the functions have it."""
    if value is None:
        return None
    if kind in NUMBERS:
        return exact(value) if isinstance(value, float) else Decimal(str(value))
    if kind == "instant":
        return parse_instant(value)
    if kind == "day":
        return datetime.datetime.fromisoformat(value)
    if kind == "json":
        return Doc(value["$json"] if isinstance(value, dict) and list(value) == ["$json"] else value)
    return value


def read_text(kind, text):
    """What a text says as a value of the kind; None: nothing."""
    if text is None:
        return None
    try:
        if kind in NUMBERS:
            return Decimal(text) if text.strip("+-.eE0123456789") == "" else None
        if kind == "instant":
            return parse_instant(text.upper()) if len(text) >= 19 else None
        if kind == "day":
            return datetime.datetime.fromisoformat(text) if len(text) == 10 else None
        if kind == "boolean":
            return {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}.get(text.lower())
        if kind == "uuid":
            return text.lower() if len(text) == 36 and text.count("-") == 4 else None
    except (ValueError, ArithmeticError):
        return None
    raise AssertionError(kind)


def compare(operator, a, b):
    if operator == "is_distinct":
        return a != b
    if operator == "is_not_distinct":
        return a == b
    if a is None or b is None:
        return None
    if isinstance(a, str):
        a, b = a.encode(), b.encode()
    return {"==": lambda: a == b, "!=": lambda: a != b, "<": lambda: a < b, "<=": lambda: a <= b, ">": lambda: a > b, ">=": lambda: a >= b}[operator]()


def set_path(document, path, value):
    """jsonb_set, creating what is missing at the end only; None: the document stays."""
    step, rest = path[0], path[1:]
    if isinstance(document, dict) and isinstance(step, str):
        if rest:
            return {**document, step: set_path(document[step], rest, value)} if step in document else document
        return {**document, step: value}
    return document


class Expressions:
    """columns: {name: kind}; paths: [(path, {type})] into the json column `j` that hold values of that type."""

    def __init__(self, rng, columns, literals, paths):
        self.random, self.columns, self.literals, self.paths = rng, columns, literals, paths

    def column(self, kind):
        name = self.random.choice([n for n, k in self.columns.items() if k == kind])
        return {"$column": name}, kind, lambda row: row[name]

    def literal(self, kind):
        value = self.random.choice(self.literals[kind])
        made = wire(kind, value)
        return value, kind, lambda row: made

    def path(self, kind):
        path = self.random.choice(self.paths)

        def at(row):
            found = MISSING if row["j"] is None else follow(row["j"].value, path)
            if found is MISSING:
                return None
            if kind == "json":
                return Doc(found)
            if kind == "number":
                return exact(found) if isinstance(found, (int, float)) and not isinstance(found, bool) else None
            if kind == "boolean":
                return found if isinstance(found, bool) else None
            return found if isinstance(found, str) else None if found is None else str(found).lower() if isinstance(found, bool) else str(found)
        return {"$column": "j", "path": path, "type": kind}, kind, at

    def simple(self, kind):
        chance = self.random.random()
        if kind in ("number", "text", "boolean") and chance < 0.3:
            made, _, fn = self.path(kind)
            return made, kind, fn
        return self.literal(kind) if chance < 0.45 and kind in self.literals else self.column(kind)

    def among(self, kind):
        """A kind whose values may stand beside."""
        r = self.random
        if kind == "number":
            return r.choice(NUMBERS)
        if kind == "decimal":
            return r.choice(["decimal", "integer"])
        if kind == "instant":
            return r.choice(["instant", "instant", "day"])
        return kind

    def beside(self, kind, depth):
        """A branch; a day that is a value would have to be written as an instant."""
        other = self.among(kind)
        while True:
            made = self.make(other, depth)
            if other == kind or isinstance(made[0], dict):
                return made

    def chosen(self, kind, depth):
        """$coalesce or $case: at least one of the branches is of the kind itself, and no value, so that it tells the type."""
        r = self.random
        first = self.column(kind)
        more = [self.beside(kind, depth - 1) for _ in range(r.choice([1, 1, 2]))]
        branches = [first, *more]
        if r.random() < 0.3:
            branches.insert(r.randint(0, len(branches)), (None, kind, lambda row: None))
        r.shuffle(branches)
        jsons, fns = [b[0] for b in branches], [b[2] for b in branches]
        if r.random() < 0.5:
            def coalesce(row):
                return next((v for v in (fn(row) for fn in fns) if v is not None), None)
            return {"$coalesce": jsons}, kind, coalesce
        conditions = [self.condition(1) for _ in jsons[1:]]

        def case(row):
            for (_, holds), fn in zip(conditions, fns):
                if holds(row) is True:
                    return fn(row)
            return fns[-1](row)
        return {"$case": {"when": [[c[0], j] for c, j in zip(conditions, jsons)], "else": jsons[-1]}}, kind, case

    def computed(self, kind, depth):
        r = self.random
        if kind == "integer" and r.random() < 0.3:
            text = self.make("text", depth - 1)
            return {"$length": text[0]}, kind, lambda row: None if text[2](row) is None else Decimal(len(text[2](row)))
        if kind in ("integer", "decimal"):
            a, b = self.small(kind), self.small(kind)
            while not isinstance(a[0], dict) and not isinstance(b[0], dict):
                b = self.small(kind)
            word = r.choice(["$add", "$sub", "$mul"])
            sign = {"$add": lambda x, y: x + y, "$sub": lambda x, y: x - y, "$mul": lambda x, y: x * y}[word]
            return {word: [a[0], b[0]]}, kind, lambda row: None if a[2](row) is None or b[2](row) is None else sign(a[2](row), b[2](row))
        if kind == "text":
            word = r.choice(["$lower", "$upper", "$concat"])
            a, b = self.make(kind, depth - 1), self.make(kind, depth - 1)
            if word == "$concat":
                return {word: [a[0], b[0]]}, kind, lambda row: None if a[2](row) is None or b[2](row) is None else a[2](row) + b[2](row)
            return {word: a[0]}, kind, lambda row: None if a[2](row) is None else getattr(a[2](row), word[1:])()
        return self.chosen(kind, depth)

    def small(self, kind):
        """What may be multiplied."""
        if self.random.random() < 0.4:
            value = self.random.choice([2, -1, 3] if kind == "integer" else ["1.5", "-0.25"])
            return value, kind, lambda row: Decimal(value)
        name = {"integer": "n", "decimal": "d"}[kind]
        return {"$column": name}, kind, lambda row: row[name]

    def make(self, kind, depth):
        chance = self.random.random()
        if depth <= 0 or chance < 0.3:
            return self.simple(kind)
        return self.chosen(kind, depth) if chance < 0.7 else self.computed(kind, depth)

    def document(self, depth):
        """An expression that gives a document."""
        r = self.random
        if depth <= 0 or r.random() < 0.3:
            return self.column("json")
        base, _, of = self.document(depth - 1) if r.random() < 0.4 else self.column("json")
        word = r.choice(["$merge", "$set_path", "$coalesce"])
        if word == "$merge":
            more = r.choice([{"m": 1}, {"a": [1]}, {"n": None}, {}])

            def merged(row):
                have = of(row)
                have = {} if have is None else have.value
                if isinstance(have, dict):
                    return Doc({**have, **more})
                return Doc((have if isinstance(have, list) else [have]) + [more])
            return {"$merge": [base, more]}, "json", merged
        if word == "$coalesce":
            other, _, then = self.column("json")
            return {"$coalesce": [base, other]}, "json", lambda row: of(row) if of(row) is not None else then(row)
        kind = r.choice(["integer", "text", "boolean"])
        value, _, given = self.column(kind)

        def put(row):
            have = of(row)
            made = given(row)
            return Doc(set_path({} if have is None else have.value, ["k"], int(made) if isinstance(made, Decimal) else made))
        return {"$set_path": {"of": base, "path": ["k"], "value": value}}, "json", put

    # ---- conditions ----

    def condition(self, depth):
        """(node, function: true, false or None)."""
        r = self.random
        if depth > 1 and r.random() < 0.5:
            if r.random() < 0.3:
                node, holds = self.condition(depth - 1)
                return {"node_kind": "not", "operand": node}, lambda row: negate(holds(row))
            (left, one), (right, two) = self.condition(depth - 1), self.condition(depth - 1)
            word, join = r.choice([("AND", conjunction), ("OR", disjunction)])
            return {"node_kind": "compound", "operator": word, "left": left, "right": right}, lambda row: join(one(row), two(row))
        return self.compared(depth - 1)

    def subject(self, expr):
        """A column in its own way, or an expression."""
        made = expr[0]
        if isinstance(made, dict) and "$column" in made and self.random.random() < 0.7:
            rest = {k: v for k, v in made.items() if k != "$column"}
            return {"column": made["$column"], **rest}
        return {"expr": made}

    def compared(self, depth):
        r = self.random
        kind = r.choice(["integer", "integer", "number", "decimal", "text", "instant", "day", "uuid", "boolean", "json"])
        if kind == "json":
            return self.contained(depth)
        operators = ["==", "!=", "is_distinct", "is_not_distinct"] + (["<", "<=", ">", ">="] if kind not in ("boolean",) else [])
        operator = r.choice(operators)
        a = self.make(kind, depth)
        while not isinstance(a[0], dict):
            a = self.make(kind, depth)
        chance = r.random()
        if chance < 0.15:
            word = r.choice(["IS NULL", "IS NOT NULL"])
            return {"node_kind": "leaf", **self.subject(a), "operator": word}, lambda row: (a[2](row) is None) == (word == "IS NULL")
        if chance < 0.4 and kind != "text":  # a text beside it
            b = self.make("text", 1)
            while not isinstance(b[0], dict):
                b = self.make("text", 1)
            if r.random() < 0.5:
                return {"node_kind": "leaf", **self.subject(a), "operator": operator, "value": b[0]}, lambda row: compare(operator, a[2](row), read_text(kind, b[2](row)))
            return {"node_kind": "leaf", **self.subject(b), "operator": operator, "value": a[0]}, lambda row: compare(operator, read_text(kind, b[2](row)), a[2](row))
        b = self.make(r.choice(NUMBERS) if kind in NUMBERS else kind, depth)
        while not isinstance(b[0], dict):
            b = self.make(b[1], depth)
        return {"node_kind": "leaf", **self.subject(a), "operator": operator, "value": b[0]}, lambda row: compare(operator, a[2](row), b[2](row))

    def contained(self, depth):
        a = self.document(depth)
        value = self.random.choice([{}, {"a": 1}, [1], {"k": "ab"}, {"n": 5}])
        operator = self.random.choice(["contains", "contained", "=="])

        def holds(row):
            have = a[2](row)
            if have is None:
                return None
            return contains(have.value, value) if operator == "contains" else contains(value, have.value) if operator == "contained" else same(have.value, value)
        return {"node_kind": "leaf", "expr": a[0], "operator": operator, "value": {"$json": value} if operator == "==" else value}, holds
