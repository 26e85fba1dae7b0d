"""Legs of bench.py: questions over 100,000 rows against the same SQL written by hand, one client each."""
import sqlite3
import time

OWNERS = 1000
MODELS = [
    {"model_name": "AskedOwner", "table_name": "asked_owner", "columns": [
        {"name": "id", "logical_type": "integer", "primary_key": True}, {"name": "grade", "logical_type": "integer"}]},
    {"model_name": "Asked", "table_name": "asked", "columns": [
        {"name": "id", "logical_type": "integer", "primary_key": True}, {"name": "owner_id", "logical_type": "integer"},
        {"name": "doc", "logical_type": "json"}],
     "relations": [{"name": "owner", "kind": "forward", "target": "AskedOwner", "column": "owner_id"}],
     "foreign_keys": [{"column": "owner_id", "to_table": "asked_owner", "to_column": "id"}]}]
# The relation's is of half of the rows: a question that reads a few of them by an index takes SQLite less time than a request takes to travel.
QUESTIONS = {
    "relation": ({"node_kind": "leaf", "column": "grade", "relation": "owner", "operator": "<", "value": 10},
                 "SELECT count(*) FROM asked a JOIN asked_owner o ON o.id = a.owner_id WHERE o.grade < {}", 10),
    "path": ({"node_kind": "leaf", "column": "doc", "path": ["a", "b"], "type": "text", "operator": "==", "value": "x7"},
             None, "x7")}
BY_PATH = {"lite": "SELECT count(*) FROM asked WHERE json_extract(doc, '$.a.b') = {}",
           "pg": "SELECT count(*) FROM asked WHERE doc -> 'a' ->> 'b' = {}"}


def setup(bench):
    """100,000 rows of 1,000 owners on both databases; the foreign key is indexed, the document is not."""
    rows = "SELECT i, i % 1000 + 1, {} FROM {}"
    with sqlite3.connect(bench.sqlite_path) as db:
        db.execute("CREATE TABLE asked_owner (id INTEGER PRIMARY KEY, grade INTEGER NOT NULL)")
        db.execute("CREATE TABLE asked (id INTEGER PRIMARY KEY, owner_id INTEGER NOT NULL, doc JSON NOT NULL)")
        db.executemany("INSERT INTO asked_owner VALUES (?, ?)", ((n, n % 20) for n in range(1, OWNERS + 1)))
        db.executemany("INSERT INTO asked VALUES (?, ?, ?)", ((n, n % OWNERS + 1, '{"a":{"b":"x%d","n":%d},"z":[1,2,3]}' % (n % 1000, n))
                                                              for n in range(1, bench.n_rows + 1)))
        db.execute("CREATE INDEX asked_by_owner ON asked (owner_id)")
        db.execute("ANALYZE")
    document = "jsonb_build_object('a', jsonb_build_object('b', 'x' || i % 1000, 'n', i), 'z', '[1,2,3]'::jsonb)"
    bench.pg.psql("CREATE TABLE asked_owner (id int PRIMARY KEY, grade int NOT NULL); INSERT INTO asked_owner "
                  f"SELECT i, i % 20 FROM generate_series(1, {OWNERS}) i; "
                  "CREATE TABLE asked (id int PRIMARY KEY, owner_id int NOT NULL REFERENCES asked_owner, doc jsonb NOT NULL); INSERT INTO asked "
                  + rows.format(document, f"generate_series(1, {bench.n_rows}) i") + "; CREATE INDEX ON asked (owner_id); ANALYZE", "bench")
    models = [dict(m) for m in MODELS]
    models[1] = {**models[1], "columns": models[1]["columns"][:2] + [{"name": "doc", "logical_type": "json", "db_type": "jsonb"}]}
    bench.client.connection.close()  # it has rested for longer than a server keeps it; the next request opens it anew
    bench.client.put("/v1/models?set=asked", {"models": models}).expect(200)


def repeated(bench, once):
    start, n = time.monotonic(), 0
    while time.monotonic() < start + bench.seconds:
        once()
        n += 1
    return {"rps": n / (time.monotonic() - start)}


def asked(bench, connection, node):
    """By one client in C, as pgbench is: one in Python takes longer to ask than SQLite to answer."""
    return bench.wrk("POST", f"/v1/query/count?using={connection}", {"model_name": "Asked", "where": [node]}, connections=1, threads=1)


def by_hand(bench, connection, question):
    _, sql, value = QUESTIONS[question]
    sql = sql or BY_PATH[connection]
    if connection == "pg":
        literal = value if isinstance(value, int) else f"'{value}'"
        return bench.pgbench(sql.format(literal) + ";\n", "-c", "1", "-j", "1")
    with sqlite3.connect(bench.sqlite_path) as db:
        return repeated(bench, lambda: db.execute(sql.format("?"), (value,)).fetchall())


def run(bench, rounds):
    setup(bench)
    for _ in range(rounds):
        for connection in ("lite", "pg"):
            for question, (node, _, _) in QUESTIONS.items():
                bench.leg(f"{connection} {question}", lambda c=connection, n=node: asked(bench, c, n))
                bench.leg(f"{connection} {question} by hand", lambda c=connection, q=question: by_hand(bench, c, q))
    for connection, name in (("lite", "sqlite"), ("pg", "pg")):
        for question in QUESTIONS:
            bench.set(f"{name}_{question}", 1 / bench.ratio(f"{connection} {question}", f"{connection} {question} by hand", "rps"))
