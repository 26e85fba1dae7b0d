"""Ten databases that other tools have made, walked from end to end: read, found, paged, written, made again elsewhere."""
import contextlib
import importlib
import json
import re
import sqlite3
import types
import urllib.parse

import jsonschema
import pytest

from support.schema import introspect, migrate, quiet, register, run

NAMES = ["django", "rails", "prisma", "sqlalchemy", "ecto", "supabase", "hibernate", "laravel", "weblog", "warehouse"]
SCHEMAS = {name: importlib.import_module(f"foreign.{name}") for name in NAMES}
CASES = [(name, kind) for name in NAMES for kind in ("sqlite", "postgres") if getattr(SCHEMAS[name], kind.upper())]


def text_of(name, kind):
    return getattr(SCHEMAS[name], kind.upper())


def fill(backend, text):
    if backend.name == "postgres":
        backend.pg.psql(text, backend.database)
        return
    with contextlib.closing(sqlite3.connect(backend.path)) as db:
        db.executescript(text)
        db.commit()


def options_of(name):
    schemas = getattr(SCHEMAS[name], "SCHEMAS", None)
    return {"schemas": schemas} if schemas else {}


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{case[1]}")
def walk(request, server):
    """The database, connected and registered: .models by name, .schema (the module), .conn, .answer of introspection."""
    name, kind = request.param
    conn = request.getfixturevalue(f"{kind}_conn")
    fill(conn.backend, text_of(name, kind))
    register(conn.client)
    answer = introspect(conn, register=True, **options_of(name))
    models = {m["model_name"]: m for m in answer["payload"]["models"]}
    new = {table: {**record, **getattr(SCHEMAS[name], f"NEW_{kind.upper()}", {}).get(table, {})} for table, record in SCHEMAS[name].NEW.items()}
    with shown_by(conn.backend) as show:
        yield types.SimpleNamespace(name=name, kind=kind, conn=conn, client=conn.client, models=models, answer=answer, new=new,
                                    module=SCHEMAS[name], show=show)
    register(conn.client)


@contextlib.contextmanager
def shown_by(backend):
    """Rows of SQL, past the server."""
    if backend.name != "postgres":
        yield lambda sql: run(backend, sql)
        return
    with backend.pg.asking(backend.database) as ask:
        def show(sql):
            text = ask(sql)
            return [line.split("|") for line in text.split("\n")] if text else []
        yield show


def key_of(model):
    return model.get("key") or [c["name"] for c in model["columns"] if c["primary_key"]]


def quoted(model):
    table = '"' + model["table_name"].replace('"', '""') + '"'
    return f'"{model["schema"]}".{table}' if model.get("schema") else table


def is_table(model):
    return model.get("kind", "table") in ("table", "partitioned")


def path_of(model):
    return f"/v1/models/{urllib.parse.quote(model['model_name'], safe='')}/records"


def rows_of(walk, model):
    return walk.client.post("/v1/query", {"model_name": model["model_name"]}, params=walk.conn.using).expect(200).json()["rows"]


def batch(walk, steps):
    """The bodies of the steps' answers; each must do."""
    answer = walk.client.post("/v1/batch", {"steps": steps, "atomic": False}, params=walk.conn.using, validate=False).expect(200).json()
    return answer["results"]


def leaf(column, value):
    return {"node_kind": "leaf", "column": column, "operator": "==", "value": value}


def both(nodes):
    out = nodes[0]
    for node in nodes[1:]:
        out = {"node_kind": "compound", "operator": "AND", "left": out, "right": node}
    return [out]


def same(one, other):
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def test_read_found_and_paged(walk):
    """Every table is listed whole; each row is found by what it was answered with, column by column; pages go both ways."""
    assert {m for m in walk.models if is_table(walk.models[m])} == set(walk.new) and len(walk.new) >= 12
    wrong = []
    for model in walk.models.values():
        rows = rows_of(walk, model)
        assert len(rows) == int(walk.show(f"SELECT count(*) FROM {quoted(model)}")[0][0])
        assert rows or not is_table(model), f"{model['model_name']} has no row"
        wrong += found_by_own_answers(walk, model, rows)
        wrong += paged(walk, model, rows)
    wrong += described(walk)
    assert not wrong, "\n".join(map(str, wrong[:40]))


def described(walk):
    """The description of these models is what their lists answer; of numbers, NaN and the infinite alone are texts."""
    doc = walk.client.get("/openapi.json", params={"models": "true", **walk.conn.using}, validate=False).expect(200).json()
    ours = {"schemas": {name: schema for name, schema in doc["components"]["schemas"].items() if name.startswith("Model_")}}
    wrong = []
    for model in walk.models.values():
        schema = doc["paths"][path_of(model)]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        answer = walk.client.get(path_of(model), params=walk.conn.using).expect(200).json()
        judge = jsonschema.Draft202012Validator({**schema, "components": ours})
        wrong += [(model["model_name"], list(error.absolute_path), error.message[:200]) for error in judge.iter_errors(answer) if error.instance not in ("NaN", "Infinity", "-Infinity")]
    return wrong


def found_by_own_answers(walk, model, rows):
    asked, steps = [], []
    for row in rows:
        for column, value in row.items():
            if column in unequal(walk):
                continue
            asked.append((column, row))
            steps.append({"op": "query", "query": {"model_name": model["model_name"], "where": [leaf(column, value)]}})
    wrong = []
    for start in range(0, len(steps), 1000):
        for (column, row), result in zip(asked[start:], batch(walk, steps[start:start + 1000])):
            if result["status"] != 200:
                wrong.append((model["model_name"], column, row[column], result["error"]["detail"]))
            elif not any(same(row, found) for found in result["body"]["rows"]):
                wrong.append((model["model_name"], column, row[column], "not found by what was answered"))
            elif not all(same(row[column], found[column]) for found in result["body"]["rows"] if column not in ("email", "subject", "dur")):
                wrong.append((model["model_name"], column, row[column], result["body"]["rows"]))
    return wrong


def unequal(walk):
    """Columns of types that have neither equality nor order in the database."""
    return getattr(walk.module, "NO_EQUALITY", ())


def paged(walk, model, rows):
    """By each column: forward to the end, and back to the start, three pages or so each way."""
    wrong = []
    if not key_of(model):
        return wrong
    for number, column in enumerate(c["name"] for c in model["columns"] if c["logical_type"] != "json" and c["name"] not in unequal(walk)):
        query = {"model_name": model["model_name"], "order_by": [{"column": column, "direction": "desc" if number % 2 else "asc"}],
                 "limit": max(1, -(-len(rows) // 3))}
        try:
            there = follow(walk, query, "next_cursor", None, len(rows))
            back = follow(walk, query, "prev_cursor", there[-1].get("prev_cursor"), len(rows)) if len(there) > 1 else []
        except AssertionError as error:
            wrong.append((model["model_name"], column, str(error)[:400]))
            continue
        if sorted(json.dumps(row) for page in there for row in page["rows"]) != sorted(map(json.dumps, rows)):
            wrong.append((model["model_name"], column, "pages", [page["rows"] for page in there]))
        if [page["rows"] for page in back] != [page["rows"] for page in there[-2::-1]]:
            wrong.append((model["model_name"], column, "back", [page["rows"] for page in back], [page["rows"] for page in there]))
        if "prev_cursor" in there[0] or "next_cursor" in there[-1]:
            wrong.append((model["model_name"], column, "a cursor past the end"))
    return wrong


def follow(walk, query, member, cursor, most):
    """The pages from a cursor on (none: the first), as far as that member leads."""
    pages = []
    while len(pages) <= most:
        body = {**query, **({"cursor": cursor} if cursor else {})}
        page = walk.client.post("/v1/query", body, params=walk.conn.using, validate=False).expect(200).json()
        pages.append(page)
        cursor = page.get(member)
        if not cursor:
            return pages
    raise AssertionError(f"{member} leads on and on")


def whole(walk, model):
    """The rows as the database itself shows them."""
    names = [shown(walk, c) for c in model["columns"] if not self_moving(c)]
    return sorted(walk.show(f"SELECT {', '.join(names)} FROM {quoted(model)}"))


def shown(walk, column):
    """The column as SQL that tells its value exactly; documents may be spelled anew, and times where more than one spelling
    is met: in mixed columns, and in those to which the database's default gives another than their rows have."""
    name = f'"{column["name"]}"'
    if column["logical_type"] == "json":
        return f"json({name})" if walk.kind == "sqlite" else f"{name}::jsonb"
    several = column.get("spelling") == "mixed" or column.get("database_default")
    if walk.kind == "sqlite" and several and column["logical_type"] == "datetime":
        return f"CASE typeof({name}) WHEN 'integer' THEN strftime('%Y-%m-%d %H:%M:%f', {name} / 1000.0, 'unixepoch') ELSE strftime('%Y-%m-%d %H:%M:%f', {name}) END"
    return name if walk.kind == "postgres" else f"typeof({name}), quote({name})"


def self_moving(column):
    return column.get("on_update") or column.get("lock_version") or column["name"] == "updated_at"


def test_written(walk):
    """A row that says only what a person would is made; patched and put back as it was answered, it stays; it goes again."""
    wrong = []
    for name, record in walk.new.items():
        model = walk.models[name]
        try:
            create_and_change(walk, model, record)
        except AssertionError as error:
            wrong.append(f"{name}: {str(error)[:700]}")
    assert not wrong, "\n".join(wrong)


def test_written_as_answered(walk):
    """What a read answered is taken back, and what is stored stays what it was."""
    wrong = []
    for model in [m for m in walk.models.values() if is_table(m) and key_of(m)]:
        was = whole(walk, model)
        for row in rows_of(walk, model):
            key = ",".join(urllib.parse.quote(str(row[k]), safe="") for k in key_of(model))
            if not key:
                continue
            for verb in ("PATCH", "PUT"):
                path = f"{path_of(model)}/{key}"
                said = walk.client.get(path, params=walk.conn.using, validate=False).expect(200).body
                answer = walk.client.request(verb, path, raw=said, params=walk.conn.using, headers={"Prefer": "identity=override"}, validate=False)
                if answer.status != 200:
                    wrong.append((model["model_name"], key, answer.text[:300]))
        if whole(walk, model) != was:
            wrong.append((model["model_name"], [(x, y) for x, y in zip(was, whole(walk, model)) if x != y]))
    assert not wrong, "\n".join(map(str, wrong))


def create_and_change(walk, model, record):
    before = len(rows_of(walk, model))
    made = walk.client.post(path_of(model), record, params=walk.conn.using).expect(201)
    row, location = made.json(), made.header("Location")
    for column, value in record.items():
        assert same(row[column], value) or isinstance(value, (str, float)), (column, value, row[column])
    if not key_of(model):
        assert location is None and len(rows_of(walk, model)) == before + 1
        walk.client.post(path_of(model), {"records": [{k: v for k, v in row.items() if k not in filled(model)}]}, params=walk.conn.using)
        for body in ("update", "delete"):
            query = {"model_name": model["model_name"], "where": both([leaf(c, v) for c, v in record.items()])}
            if body == "update":
                query = {"query": query, "set": record}
            walk.client.post(f"/v1/query/{body}", query, params=walk.conn.using).expect(200)
        return
    read = walk.client.get(location, params=walk.conn.using).expect(200)
    assert same(read.json(), row), (read.json(), row)
    was = whole(walk, model)
    for verb in (walk.client.patch, walk.client.put):
        sent = {k: v for k, v in walk.client.get(location, params=walk.conn.using).json().items()}
        answer = verb(location, sent, params=walk.conn.using, headers={"Prefer": "identity=override"}).expect(200).json()
        moved = {c["name"] for c in model["columns"] if self_moving(c)}
        assert same({k: v for k, v in answer.items() if k not in moved}, {k: v for k, v in row.items() if k not in moved}), (answer, row)
        assert whole(walk, model) == was
    changed_and_back(walk, model, location, row)
    walk.client.delete(location, params=walk.conn.using).expect(204)
    walk.client.get(location, params=walk.conn.using).problem(404, "record_not_found")
    if name_of(model) not in getattr(walk.module, "CHANGES_ELSEWHERE", ()):
        assert len(rows_of(walk, model)) == before


def movable(walk, model):
    """Columns that may take any other row's value: of no key, and in no index or rule of uniqueness."""
    fixed = set(key_of(model))
    for rule in model["indexes"] + model["uniques"] + model.get("exclusions", []):
        if rule.get("unique", True):
            text = json.dumps(rule)
            fixed |= {c["name"] for c in model["columns"] if re.search(rf"\b{re.escape(c['name'])}\b", text)}
    return [c["name"] for c in model["columns"] if c["name"] not in fixed and not c["unique"] and not c.get("read_only") and not self_moving(c) and
            not c.get("on_create")]


def changed_and_back(walk, model, location, row):
    """A PATCH gives the record what others have, as that was answered; a PUT of what it was makes it that again."""
    was = whole(walk, model)
    counted = {c["name"] for c in model["columns"] if c.get("read_only") or c.get("on_update") or c.get("lock_version")}
    # "0000-00-00" is what the database itself gives, no date: it goes by not being given
    first = {k: v for k, v in row.items() if k not in counted and not str(v).startswith("0000-")}
    for other in rows_of(walk, model)[:3]:
        values = {name: other[name] for name in movable(walk, model) if not str(other[name]).startswith("0000-")}
        if not values:
            return
        answer = walk.client.patch(location, values, params=walk.conn.using).expect(200).json()
        assert same({name: answer[name] for name in values}, values), (answer, values)
        assert same(walk.client.get(location, params=walk.conn.using).expect(200).json(), answer)
        answer = walk.client.put(location, first, params=walk.conn.using, headers={"Prefer": "identity=override"}).expect(200).json()
        stays = {k: v for k, v in first.items() if not any(c["name"] == k and self_moving(c) for c in model["columns"])}
        assert same({k: answer[k] for k in stays}, stays), (answer, stays)
        assert whole(walk, model) == was


def name_of(model):
    return model["model_name"]


def filled(model):
    return {c["name"] for c in model["columns"] if c.get("database_default") or c.get("generated")}


@pytest.fixture
def twin(walk):
    """An empty database of the same kind, connected."""
    if walk.kind == "sqlite":
        backend = types.SimpleNamespace(name="sqlite", path=walk.conn.backend.path + ".twin", url=f"sqlite:{walk.conn.backend.path}.twin?mode=rwc")
    else:
        database = walk.conn.backend.pg.create_database()
        backend = types.SimpleNamespace(name="postgres", pg=walk.conn.backend.pg, database=database, url=walk.conn.backend.pg.url(database))
    name = walk.conn.name + "_twin"
    walk.client.post("/v1/connections", {"name": name, "url": backend.url}).expect(201)
    yield types.SimpleNamespace(name=name, client=walk.client, using={"using": name}, backend=backend)
    walk.client.delete(f"/v1/connections/{name}?force=true").expect(204)
    if walk.kind == "postgres":
        backend.pg.drop_database(backend.database)


def comparable(answer):
    """What tables say; of views there is nothing to make elsewhere."""
    return [m for m in answer["payload"]["models"] if is_table(m)]


def test_made_again_elsewhere(walk, twin):
    """No drift after introspection; the DDL, run by hand, makes the same database, which introspects to the same models."""
    told = {(w["table"], w.get("object")) for w in walk.answer.get("warnings", []) if w["code"] == "not_expressible"}
    assert told == getattr(walk.module, "TOLD", set())
    quiet(walk.conn)
    quiet(walk.conn, destructive=True, rebuild=True)
    if walk.kind == "postgres":
        run(twin.backend, getattr(walk.module, "NEEDS", "") or "SELECT 1")
    fill(twin.backend, walk.client.get("/v1/ddl", params={"dialect": walk.kind}, headers={"Accept": "application/sql"}).expect(200).text)
    made = walk.client.post("/v1/create-tables", twin.using).expect(200).json()
    assert (made["statements"], made["warnings"]) == ([], []), made
    again = introspect(twin, **options_of(walk.name))
    first = {m["model_name"]: m for m in comparable(walk.answer)}
    for model in comparable(again):
        was = first.pop(model["model_name"])
        for part, said in unspelled(was).items():
            assert unspelled(model).get(part) == said, (model["model_name"], differences(said, unspelled(model).get(part)))
        assert unspelled(model).keys() == unspelled(was).keys()
    assert not first
    quiet(twin)


def differences(one, other):
    if not isinstance(one, list) or not isinstance(other, list):
        return one, other
    return [x for x in one if x not in other], [x for x in other if x not in one]


def unspelled(model):
    """Spellings are found in rows, and the twin has none."""
    return {**model, "columns": [{k: v for k, v in c.items() if k != "spelling"} for c in model["columns"]]}
