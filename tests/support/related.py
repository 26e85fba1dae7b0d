"""An independent evaluator of questions about related records, documents and arrays: three-valued logic over rows in memory.

`tables` is {model: [rows]}, `relations` {model: {name: (target, [(here, there), ...], to_one)}}: the columns that link, through a
join table two pairs with its model between.
"""
from decimal import Decimal

from .evaluator import conjunction, disjunction, negate

MISSING = object()  # nothing is there: SQL NULL, where a document's own null is None


def same(a, b):
    """Equal as documents: 1 is 1.0, true is not 1."""
    if isinstance(a, bool) or isinstance(b, bool) or a is None or b is None:
        return a is b
    if isinstance(a, (int, float, Decimal)) and isinstance(b, (int, float, Decimal)):
        return a == b
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


def contains(a, b, top=True):
    """What jsonb's @> says."""
    if isinstance(a, list):
        if isinstance(b, list):
            return all(any(contains(x, y, False) if isinstance(x, (list, dict)) else same(x, y) for x in a) for y in b)
        return top and not isinstance(b, dict) and any(same(x, b) for x in a)
    if isinstance(a, dict) and isinstance(b, dict):
        return all(k in a and contains(a[k], b[k], False) for k in b)
    return same(a, b)


def follow(document, path):
    for step in path:
        if isinstance(step, str) and isinstance(document, dict) and step in document:
            document = document[step]
        elif isinstance(step, int) and isinstance(document, list) and -len(document) <= step < len(document):
            document = document[step]
        else:
            return MISSING
    return document


def read_as(value, kind):
    if value is MISSING:
        return None if kind != "json" else MISSING
    if kind == "number":
        return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
    if kind == "boolean":
        return value if isinstance(value, bool) else None
    if kind == "text":
        return None if value is None else value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else repr(value)
    return value


def truth(operator, have, want):
    if operator == "is_distinct":
        return have != want
    if operator == "is_not_distinct":
        return have == want
    if operator in ("==", "!=") and want is None:
        return (have is None) == (operator == "==")
    if operator in ("IN", "NOT IN"):
        found = False
        for v in want:
            found = disjunction(found, truth("=", have, v))
        return found if operator == "IN" else negate(found)
    if operator == "BETWEEN":
        return conjunction(truth(">=", have, want[0]), truth("<=", have, want[1]))
    if have is None or want is None:
        return None
    return {"==": have == want, "=": have == want, "!=": have != want, "<": have < want, "<=": have <= want, ">": have > want,
            ">=": have >= want}[operator]


class Related:
    def __init__(self, tables, relations):
        self.tables, self.relations = tables, relations

    def targets(self, model, row, name):
        """The related records, and of which model they are."""
        target, pairs, _ = self.relations[model][name]
        rows = [row]
        for here, there, *table in pairs:
            rows = [other for r in rows for other in self.tables[table[0] if table else target] if r[here] is not None and other[there] == r[here]]
        return target, rows

    def value(self, model, row, node):
        """What a node names, SQL NULL as None; of a document MISSING."""
        for name in filter(None, node.get("relation", "").split(".")):
            model, found = self.targets(model, row, name)
            if not found:
                return MISSING if node.get("path") and node.get("type", "json") == "json" else None
            row = found[0]
        value = row[node.get("column") or node["$column"]]
        if not node.get("path"):
            return value
        return read_as(MISSING if value is None else follow(value, node["path"]), node.get("type", "json"))

    def document(self, operator, have, want):
        if have is MISSING:
            return operator == "IS NULL" if operator.startswith("IS ") else None
        if operator in ("IS NULL", "IS NOT NULL"):
            return operator == "IS NOT NULL"
        if operator in ("==", "!="):
            return same(have, want) == (operator == "==")
        if operator == "contains":
            return contains(have, want)
        if operator == "contained":
            return contains(want, have)
        if operator == "any":
            return contains(have, [want])
        if operator == "overlap":
            return any(contains(have, [w]) for w in want)
        keys = want if isinstance(want, list) else [want]
        held = [k in have if isinstance(have, dict) else any(same(x, k) for x in have) if isinstance(have, list) else same(have, k) for k in keys]
        return any(held) if operator == "has_any" else all(held)

    def leaf(self, model, row, node):
        have, want, operator = self.value(model, row, node), node.get("value"), node["operator"]
        if isinstance(want, dict) and "$column" in want:
            want = self.value(model, row, want)
            if want is None and operator in ("==", "!="):
                return None
        if node.get("path") and node.get("type", "json") == "json" or node.get("document"):
            return self.document(operator, MISSING if node.get("document") and have is None else have, want)
        if operator in ("IS NULL", "IS NOT NULL"):
            return (have is None) == (operator == "IS NULL")
        return truth(operator, have, want)

    def node(self, model, row, node):
        kind = node["node_kind"]
        if kind == "leaf":
            return self.leaf(model, row, node)
        if kind == "not":
            return negate(self.node(model, row, node["operand"]))
        if kind == "compound":
            left, right = self.node(model, row, node["left"]), self.node(model, row, node["right"])
            return conjunction(left, right) if node["operator"] == "AND" else disjunction(left, right)
        target, found = model, [row]
        names = node["relation"].split(".")
        for name in names:
            steps = [self.targets(target, r, name) for r in found]
            target = self.relations[target][name][0]
            found = [other for _, others in steps for other in others]
        held = [all(self.node(target, other, n) is True for n in node["where"]) for other in found]
        return any(held) if node["quantifier"] == "any" else not any(held) if node["quantifier"] == "none" else all(held)

    def matching(self, model, where):
        return [row["id"] for row in self.tables[model] if all(self.node(model, row, n) is True for n in where)]
