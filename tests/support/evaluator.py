"""An independent evaluator of QueryIR over rows in memory: three-valued logic, orders, pages, groups.

It shares nothing with the server: values are compared as Python values, with the few rules that the two databases have of
their own (the case of LIKE, where nulls stand, what a REAL column keeps of a decimal).
"""
import base64
import datetime
import functools
import json
import math
import re
from decimal import Decimal


def parse_instant(text):
    text = text.replace(" ", "T").replace("Z", "+00:00")
    head, _, tail = text.partition(".")
    if tail:  # fromisoformat wants three or six digits
        digits = re.match(r"\d+", tail).group()
        text = f"{head}.{digits[:6]:0<6}{tail[len(digits):]}"
    value = datetime.datetime.fromisoformat(text)
    return value.astimezone(datetime.timezone.utc).replace(tzinfo=None) if value.tzinfo else value


def parse_time(text):
    head, _, tail = text.partition(".")
    return head + (f".{tail:0<6}" if tail.strip("0") else "")


def compare_form(logical, value, backend):
    """A JSON value as something that Python compares as the database compares the column's values."""
    if value is None:
        return None
    if logical == "integer":
        return int(value)
    if logical == "number":
        return float(value)
    if logical == "decimal":
        return float(str(value)) if backend == "sqlite" else Decimal(str(value))
    if logical == "boolean":
        return bool(value)
    if logical == "uuid":
        return value.lower()
    if logical == "datetime":
        return parse_instant(value)
    if logical == "date":
        return value
    if logical == "time":
        return parse_time(value)
    if logical == "binary":
        return base64.b64decode(value)
    if logical == "json":
        return json.dumps(value, sort_keys=True)
    return value.encode("utf-8")  # text: both databases of the tests order it by bytes


def fold(text):
    return "".join(c.lower() if len(c.lower()) == 1 else c for c in text)


def ascii_fold(text):
    return "".join(c.lower() if c < "\x80" else c for c in text)


def like(text, pattern, case):
    """case: the function that both sides go through."""
    out, i = "", 0
    while i < len(pattern):
        c = pattern[i]
        if c == "\\":
            i += 1
            out += re.escape(case(pattern[i]))
        elif c == "%":
            out += ".*"
        elif c == "_":
            out += "."
        else:
            out += re.escape(case(c))
        i += 1
    return re.fullmatch(out, case(text), re.S) is not None


def negate(value):
    return None if value is None else not value


def conjunction(a, b):
    if a is False or b is False:
        return False
    return None if a is None or b is None else True


def disjunction(a, b):
    return negate(conjunction(negate(a), negate(b)))


class Evaluator:
    """columns: {name: logical type}; rows: dicts of JSON values as the server answers them."""

    def __init__(self, backend, columns, rows):
        self.backend, self.columns = backend, columns
        self.rows = rows
        self.forms = [{name: compare_form(columns[name], row[name], backend) for name in columns} for row in rows]

    # ---- predicates ----

    def compare(self, operator, have, want):
        if have is None or want is None:
            return None
        return {"==": have == want, "!=": have != want, "<": have < want, "<=": have <= want, ">": have > want,
                ">=": have >= want}[operator]

    def leaf(self, form, node, logical=None):
        name, operator, value = node["column"], node["operator"], node.get("value")
        logical = logical or self.columns[name]
        have = form[name]

        def want(v):
            return compare_form(logical, v, self.backend)
        if operator == "IS NULL" or (operator == "==" and value is None):
            return have is None
        if operator == "IS NOT NULL" or (operator == "!=" and value is None):
            return have is not None
        if operator in ("IN", "NOT IN"):
            values = value if isinstance(value, list) else [value]
            found = False
            for v in values:
                found = disjunction(found, self.compare("==", have, want(v)))
            return found if operator == "IN" else negate(found)
        if operator == "BETWEEN":
            return conjunction(self.compare(">=", have, want(value[0])), self.compare("<=", have, want(value[1])))
        if operator.endswith("LIKE"):
            if have is None:
                return None
            text = have.decode() if isinstance(have, bytes) else have
            case = fold if "ILIKE" in operator else ascii_fold if self.backend == "sqlite" else str
            matches = like(text, value, case)
            return not matches if operator.startswith("NOT") else matches
        return self.compare(operator, have, want(value))

    def node(self, form, node, logical=None):
        kind = node["node_kind"]
        if kind == "leaf":
            return self.leaf(form, node, logical)
        if kind == "not":
            return negate(self.node(form, node["operand"], logical))
        left, right = self.node(form, node["left"], logical), self.node(form, node["right"], logical)
        return conjunction(left, right) if node["operator"] == "AND" else disjunction(left, right)

    def matching(self, where):
        return [i for i, form in enumerate(self.forms) if all(self.node(form, root) is True for root in where)]

    # ---- order ----

    def nulls_first(self, term):
        if term.get("nulls"):
            return term["nulls"] == "first"
        descending = term.get("direction", "asc") == "desc"
        return descending if self.backend == "postgres" else not descending

    def ordering(self, terms):
        """A key function for forms (dicts)."""
        def compare(a, b):
            for term in terms:
                x, y = a[term["column"]], b[term["column"]]
                if x == y:
                    continue
                if x is None or y is None:
                    return -1 if (x is None) == self.nulls_first(term) else 1
                less = x < y
                return -1 if less == (term.get("direction", "asc") == "asc") else 1
            return 0
        return functools.cmp_to_key(compare)

    def select(self, query):
        """The numbers of the rows that answer it, in order."""
        found = self.matching(query.get("where", []))
        key = self.ordering(query.get("order_by", []))
        found.sort(key=lambda i: key(self.forms[i]))
        start = query.get("offset") or 0
        end = None if query.get("limit") is None else start + query["limit"]
        return found[start:end]

    # ---- groups ----

    def aggregate(self, g, members):
        if g["fn"] == "count" and "column" not in g:
            return len(members)
        values = [self.forms[i][g["column"]] for i in members]
        values = [v for v in values if v is not None]
        if g["fn"] == "count":
            return len(values)
        if not values:
            return None
        logical = self.columns[g["column"]]
        if g["fn"] in ("min", "max"):
            return (min if g["fn"] == "min" else max)(values)
        if logical == "decimal":
            total = sum(Decimal(str(v)) for v in values)
        else:
            total = math.fsum(values) if logical == "number" else sum(values)
        return total if g["fn"] == "sum" else total / len(values) if logical == "decimal" else float(total) / len(values)

    def groups(self, query):
        """[(group's forms, aggregates by alias)] in no order."""
        by, found = query.get("group_by", []), self.matching(query.get("where", []))
        groups = {}
        for i in found:
            groups.setdefault(tuple(self.forms[i][name] for name in by), []).append(i)
        if not by:
            groups.setdefault((), [])
        answer = []
        for key, members in groups.items():
            made = {g["as"]: self.aggregate(g, members) for g in query["aggregates"]}
            if all(self.node(made, root, "number") is True for root in query.get("having", [])):
                answer.append((key, made))
        return answer
