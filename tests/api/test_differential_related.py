"""Random questions about related records, documents and arrays, with nulls in all of them, against an evaluator of the tests' own."""
import json
import os
import random

import pytest

from support.related import Related

QUERIES = int(os.environ.get("FERROD_DIFF_QUERIES", "300"))
SEED = int(os.environ.get("FERROD_DIFF_SEED", "20260102"))
WORDS = ["a", "b", "ab", "x", ""]
DOCUMENTS = [{}, [], {"a": 1}, {"a": {"b": "x"}}, {"a": {"b": None}, "n": 5}, {"n": 5.5, "on": True}, {"n": "5", "on": False}, [1, "x", {"a": 1}],
             {"l": [1, "x"]}, {"l": [], "a": "x"}, "x", 5, True, {"a": {"b": 5}, "l": [[1], 2]}]
PATHS = [["a"], ["a", "b"], ["n"], ["on"], ["l"], ["l", 0], ["l", -1], [0], ["missing"]]
LABELS = ["red", "blue", "green", 'q"uote', "a,b"]

RELATIONS = {
    "Author": {"boss": ("Author", [("boss_id", "id")], True), "staff": ("Author", [("id", "boss_id")], False),
               "posts": ("Post", [("id", "author_id")], False)},
    "Post": {"author": ("Author", [("author_id", "id")], True), "comments": ("Comment", [("id", "post_id")], False),
             "tags": ("Tag", [("id", "post_id", "PostTag"), ("tag_id", "id", "Tag")], False)},
    "Comment": {"post": ("Post", [("post_id", "id")], True)},
    "Tag": {},
}
SCALARS = {"Author": ["name", "age"], "Post": ["title", "views"], "Comment": ["text", "likes"], "Tag": ["label"]}
NUMBERS = ("age", "views", "likes")


def column(name, logical="integer", **more):
    return {"name": name, "logical_type": logical, "nullable": True, **more}


def key(name="id", **more):
    return {"name": name, "logical_type": "integer", "primary_key": True, **more}


def models(backend):
    labels = column("labels", "unknown", db_type="text[]") if backend == "postgres" else column("labels", "json")
    return [
        {"model_name": "Author", "columns": [key(), column("name", "string"), column("age"), column("boss_id")],
         "relations": [{"name": "boss", "kind": "forward", "target": "Author", "column": "boss_id"},
                       {"name": "staff", "kind": "reverse", "target": "Author", "column": "boss_id"},
                       {"name": "posts", "kind": "reverse", "target": "Post", "column": "author_id"}],
         "foreign_keys": [{"column": "boss_id", "to_table": "author", "to_column": "id"}]},
        {"model_name": "Post", "columns": [key(), column("title", "string"), column("views"), column("author_id"), column("meta", "json"), labels],
         "relations": [{"name": "author", "kind": "forward", "target": "Author", "column": "author_id"},
                       {"name": "comments", "kind": "reverse", "target": "Comment", "column": "post_id"},
                       {"name": "tags", "kind": "many_to_many", "target": "Tag", "through": "post_tag"}],
         "foreign_keys": [{"column": "author_id", "to_table": "author", "to_column": "id"}]},
        {"model_name": "Comment", "columns": [key(), column("text", "string"), column("likes"), column("post_id")],
         "relations": [{"name": "post", "kind": "forward", "target": "Post", "column": "post_id"}],
         "foreign_keys": [{"column": "post_id", "to_table": "post", "to_column": "id"}]},
        {"model_name": "Tag", "columns": [key(), column("label", "string")]},
        {"model_name": "PostTag", "table_name": "post_tag", "columns": [key("post_id", autoincrement=False), key("tag_id", autoincrement=False)],
         "foreign_keys": [{"column": "post_id", "to_table": "post", "to_column": "id"}, {"column": "tag_id", "to_table": "tag", "to_column": "id"}]},
    ]


class Questions:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def nullable(self, values, chance=0.25):
        return None if self.random.random() < chance else self.random.choice(values)

    def tables(self):
        r = self.random
        authors = [{"id": n, "name": self.nullable(WORDS), "age": self.nullable(range(4)), "boss_id": self.nullable(range(1, n), 0.4) if n > 1 else None}
                   for n in range(1, 13)]
        posts = [{"id": n, "title": self.nullable(WORDS), "views": self.nullable(range(4)), "author_id": self.nullable(range(1, 13)),
                  "meta": self.nullable(DOCUMENTS, 0.15), "labels": self.nullable([[], ["red"], LABELS[:2], LABELS[3:], LABELS, ["green", "red"]], 0.2)}
                 for n in range(1, 61)]
        comments = [{"id": n, "text": self.nullable(WORDS), "likes": self.nullable(range(4)), "post_id": self.nullable(range(1, 61))} for n in range(1, 91)]
        pairs = sorted({(r.randint(1, 60), r.randint(1, 5)) for _ in range(70)})
        return {"Author": authors, "Post": posts, "Comment": comments, "Tag": [{"id": n, "label": self.nullable(WORDS)} for n in range(1, 6)],
                "PostTag": [{"post_id": p, "tag_id": t} for p, t in pairs]}

    def compared(self, name, node):
        r = self.random
        values = range(4) if name in NUMBERS else WORDS
        operators = ["==", "!=", "IN", "NOT IN", "IS NULL", "IS NOT NULL", "is_distinct", "is_not_distinct"]
        operators += ["<", "<=", ">", ">=", "BETWEEN"] if name in NUMBERS else []
        node["operator"] = operator = r.choice(operators)
        if operator.startswith("IS "):
            return node
        if operator in ("IN", "NOT IN"):
            node["value"] = [self.nullable(values, 0.1) for _ in range(r.choice([0, 1, 2, 3]))]
        elif operator == "BETWEEN":
            node["value"] = [self.nullable(values, 0.1), self.nullable(values, 0.1)]
        else:
            node["value"] = self.nullable(values, 0.15)
        return node

    def to_one(self, model):
        """A way to one record, or "" for the record itself."""
        names = []
        while len(names) < 4 and self.random.random() < 0.55:
            choice = [name for name, (_, _, one) in RELATIONS[model].items() if one]
            if not choice:
                break
            names.append(self.random.choice(choice))
            model = RELATIONS[model][names[-1]][0]
        return ".".join(names), model

    def document(self, relation):
        r = self.random
        node = {"node_kind": "leaf", "column": "meta", **({"relation": relation} if relation else {})}
        kind = r.choice(["json", "json", "text", "number", "boolean", "whole"])
        if kind == "whole":
            operator = r.choice(["==", "!=", "contains", "contained", "has_key", "has_any", "has_all", "any", "overlap", "IS NULL"])
            value = {"has_key": "a", "has_any": ["n", "l"], "has_all": ["a", "n"], "any": r.choice([1, "x"]), "overlap": [1, "x"]}.get(operator, r.choice(DOCUMENTS))
            return {**node, "operator": operator, "document": True, **({} if operator == "IS NULL" else {"value": value})}
        node["path"] = r.choice(PATHS)
        if kind == "json":
            operator = r.choice(["==", "!=", "IS NULL", "IS NOT NULL", "contains"])
            value = r.choice(["x", 5, 5.5, True, False, {"b": "x"}, [1, "x"], [], 1])
            return {**node, "operator": operator, **({} if operator.startswith("IS ") else {"value": value})}
        node["type"] = kind
        if kind == "text":
            node["path"] = r.choice([["a", "b"], ["n"], ["on"], ["missing"]])
        value = {"text": r.choice(["x", "5", "true"]), "number": r.choice([5, 5.5, 1]), "boolean": r.random() < 0.5}[kind]
        operator = r.choice(["==", "!=", "IS NULL", "is_distinct"] + (["<", ">="] if kind == "number" else []))
        return {**node, "operator": operator, **({} if operator == "IS NULL" else {"value": value})}

    def labels(self):
        r = self.random
        operator = r.choice(["contains", "contained", "overlap", "any", "IS NULL"])
        value = r.choice(LABELS) if operator == "any" else r.sample(LABELS, r.choice([1, 2, 3]))
        return {"node_kind": "leaf", "column": "labels", "operator": operator, "document": True, **({} if operator == "IS NULL" else {"value": value})}

    def leaf(self, model):
        relation, target = self.to_one(model)
        if target == "Post" and self.random.random() < 0.3:
            return self.document(relation)
        if target == "Post" and not relation and self.random.random() < 0.3:
            return self.labels()
        name = self.random.choice(SCALARS[target])
        node = {"node_kind": "leaf", "column": name, **({"relation": relation} if relation else {})}
        if name in NUMBERS and self.random.random() < 0.2:
            other, there = self.to_one(model)
            numbers = [n for n in SCALARS[there] if n in NUMBERS]
            if numbers:
                return {**node, "operator": self.random.choice(["==", "<", ">=", "!="]),
                        "value": {"$column": numbers[0], **({"relation": other} if other else {})}}
        return self.compared(name, node)

    def node(self, model, depth):
        chance = self.random.random()
        if depth <= 1 or chance < 0.35:
            return self.leaf(model)
        if chance < 0.5:
            return {"node_kind": "not", "operand": self.node(model, depth - 1)}
        if chance < 0.75 and RELATIONS[model]:
            name = self.random.choice(list(RELATIONS[model]))
            target = RELATIONS[model][name][0]
            if self.random.random() < 0.2 and RELATIONS[target]:
                more = self.random.choice(list(RELATIONS[target]))
                name, target = f"{name}.{more}", RELATIONS[target][more][0]
            return {"node_kind": "relation", "relation": name, "quantifier": self.random.choice(["any", "none", "all"]),
                    "where": [self.node(target, depth - 1) for _ in range(self.random.choice([0, 1, 1, 2]))]}
        return {"node_kind": "compound", "operator": self.random.choice(["AND", "OR"]), "left": self.node(model, depth - 1),
                "right": self.node(model, depth - 1)}


def sent(node):
    """Without what only the evaluator looks at."""
    if isinstance(node, dict):
        return {k: v if k == "value" else sent(v) for k, v in node.items() if k != "document"}
    return [sent(n) for n in node] if isinstance(node, list) else node


@pytest.fixture
def asked(conn):
    questions = Questions(f"{SEED}/{conn.backend.name}")
    tables = questions.tables()
    conn.client.put("/v1/models", {"models": models(conn.backend.name)}).expect(200)

    def run(sql, args=()):
        conn.client.post("/v1/sql/execute", {"sql": sql, "args": list(args)}, params=conn.using, validate=False).expect(200)
    postgres = conn.backend.name == "postgres"
    labels, document = ("text[]", "json") if postgres else ("json", "json")
    for sql in ("CREATE TABLE author (id int primary key, name text, age int, boss_id int)",
                f"CREATE TABLE post (id int primary key, title text, views int, author_id int, meta {document}, labels {labels})",
                "CREATE TABLE comment (id int primary key, text text, likes int, post_id int)", "CREATE TABLE tag (id int primary key, label text)",
                "CREATE TABLE post_tag (post_id int, tag_id int, primary key (post_id, tag_id))"):
        run(sql)
    for table, model in (("author", "Author"), ("post", "Post"), ("comment", "Comment"), ("tag", "Tag"), ("post_tag", "PostTag")):
        for row in tables[model]:
            values = {k: json.dumps(v) if k in ("meta", "labels") and v is not None else v for k, v in row.items()}
            marks = [f"(SELECT array_agg(x) FROM json_array_elements_text(${n}::json) x)" if postgres and k == "labels" else
                     f"${n}::json" if postgres and k == "meta" else f"${n}" if postgres else "?" for n, k in enumerate(values, 1)]
            run(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({', '.join(marks)})", values.values())
    if postgres:
        run("UPDATE post SET labels = '{}' WHERE labels IS NULL AND id IN (%s)" %
            ",".join([str(p["id"]) for p in tables["Post"] if p["labels"] == []] + ["0"]))
    return conn, questions, Related(tables, RELATIONS)


def test_random_questions(asked):
    conn, questions, evaluator = asked
    wrong = []
    for number in range(QUERIES):
        model = questions.random.choice(["Post", "Post", "Author", "Comment"])
        where = [questions.node(model, questions.random.randint(1, 4)) for _ in range(questions.random.choice([1, 1, 2]))]
        query = {"model_name": model, "where": sent(where), "order_by": [{"column": "id"}], "select": ["id"]}
        answer = conn.client.post("/v1/query", query, params=conn.using, validate=number % 25 == 0)
        expected = evaluator.matching(model, where)
        got = [row["id"] for row in answer.json()["rows"]] if answer.status == 200 else answer.body[:300]
        if got != expected:
            wrong.append((json.dumps(query["where"]), expected, got))
        assert len(wrong) < 4, "\n\n".join(str(w)[:1500] for w in wrong)
        if number % 5 == 0:
            body = {"query": {"model_name": model, "where": sent(where)}, "set": {"id": {"$column": "id"}}}
            written = conn.client.post("/v1/query/update", body, params=conn.using, headers={"Prefer": "tx=rollback"}, validate=False)
            assert written.status == 200 and written.json()["rows_affected"] == len(expected), (body, written.body[:300])
    assert not wrong, "\n\n".join(str(w)[:1500] for w in wrong)
