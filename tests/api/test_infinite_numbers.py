"""Numbers that JSON has no token for: one spelling both ways, found by it, kept by what writes it back, and told apart from the text or the document of that spelling."""
import base64
import json
from urllib.parse import quote

import pytest

from support.schema import column, introspect, migrate, model, quiet, register, run
from support.tables import leaf

WORD, MINUS = "Infinity", "-Infinity"
SIX = base64.b64decode(WORD)  # the bytes whose base64 is that word
NUMBER = {"$number": WORD}
# kind, what is stored, what is answered
CELLS = [
    ("real", "9e999", WORD), ("real", "-9e999", MINUS), ("real", "'Infinity'", {"$text": WORD}), ("real", "'-Infinity'", {"$text": MINUS}), ("real", "'NaN'", "NaN"), ("real", "'nan'", "nan"),
    ("real", "'inf'", "inf"), ("double precision", "'Inf'", "Inf"),
    ("integer", "9e999", WORD), ("integer", "'Infinity'", {"$text": WORD}), ("decimal(9,2)", "-9e999", MINUS), ("decimal(9,2)", "'-Infinity'", {"$text": MINUS}), ("decimal(9,2)", "'NaN'", "NaN"),
    ("boolean", "9e999", WORD), ("boolean", "'Infinity'", {"$text": WORD}), ("", "9e999", WORD), ("", "'-Infinity'", MINUS), ("", "'NaN'", "NaN"),
    ("datetime", "9e999", WORD), ("datetime", "'Infinity'", {"$text": WORD}), ("uuid", "'Infinity'", {"$text": WORD}),
    ("blob", "9e999", NUMBER), ("blob", "-9e999", {"$number": MINUS}), ("blob", f"x'{SIX.hex()}'", WORD), ("blob", "'Infinity'", {"$text": WORD}), ("blob", "1e300", 1e300), ("blob", "'NaN'", {"$text": "NaN"}),
    ("json", "9e999", NUMBER), ("json", "-9e999", {"$number": MINUS}), ("json", "'\"Infinity\"'", WORD), ("json", "'Infinity'", {"$text": WORD}), ("json", "'NaN'", {"$text": "NaN"}),
    ("json", "'{\"$number\":\"Infinity\"}'", {"$json": NUMBER}), ("json", "1e300", 1e300), ("json", "0.30000000000000004", 0.30000000000000004),
    ("json", "1.7976931348623157e308", 1.7976931348623157e308), ("json", "'[1.5]'", [1.5]), ("json", "9007199254740994.0", 9007199254740994),
    ("text", "'Infinity'", WORD), ("text", "9e999", "Inf"), ("text", "'NaN'", "NaN"), ("varchar(20)", "'-Infinity'", MINUS),
]


@pytest.fixture
def tables(sqlite_conn):
    conn = sqlite_conn
    kinds = sorted({kind for kind, _, _ in CELLS})
    conn.names = {kind: f"t{n}" for n, kind in enumerate(kinds)}
    statements = [f"CREATE TABLE {name} (id integer PRIMARY KEY, v {kind}, other integer)" for kind, name in conn.names.items()]
    statements += [f"INSERT INTO {conn.names[kind]} (id, v) VALUES ({n}, {stored})" for n, (kind, stored, _) in enumerate(CELLS, 1)]
    run(conn.backend, ";\n".join(statements))
    register(conn.client)
    introspect(conn, register=True)
    return conn


def held(conn, name, number):
    return run(conn.backend, f"SELECT typeof(v), hex(v) FROM {name} WHERE id = {number}")


def found(conn, name, **condition):
    body = {"model_name": name, "where": [leaf("v", condition["operator"], condition["value"])], "order_by": [{"column": "id", "direction": "asc"}]}
    return [row["id"] for row in conn.client.post("/v1/query", body, params=conn.using).expect(200).json()["rows"]]


@pytest.mark.parametrize("number", range(1, len(CELLS) + 1), ids=[f"{kind or 'none'}-{stored}" for kind, stored, _ in CELLS])
def test_what_a_read_answers_is_found_and_accepted_back(tables, number):
    kind, _, answered = CELLS[number - 1]
    name, client, using = tables.names[kind], tables.client, tables.using
    path, before = f"/v1/models/{name}/records/{number}", held(tables, name, number)
    everything = [n for n, (other, _, _) in enumerate(CELLS, 1) if other == kind]
    row = client.get(path, params=using).expect(200).json()
    assert json.dumps(row["v"]) == json.dumps(answered)
    listed = client.get(f"/v1/models/{name}/records", params={**using, "id": f"eq.{number}"}).expect(200).json()["rows"]
    assert listed == [row]
    assert client.get(f"/v1/models/{name}/records", params={**using, "id": f"eq.{number}", "select": "v"}).expect(200).json()["rows"] == [{"v": answered}]
    # found by it, and no other by it
    assert found(tables, name, operator="==", value=answered) == [number]
    assert found(tables, name, operator="!=", value=answered) == [n for n in everything if n != number]
    assert found(tables, name, operator="is_not_distinct", value=answered) == [number]
    assert found(tables, name, operator="is_distinct", value=answered) == [n for n in everything if n != number]
    text = answered if isinstance(answered, str) and kind != "json" else json.dumps(answered)
    urls = client.get(f"/v1/models/{name}/records", params={**using, "v": f"eq.{text}"}).expect(200).json()["rows"]
    assert [r["id"] for r in urls] == [number]
    # and left as it is
    for verb, body in (("put", row), ("patch", {"v": answered}), ("patch", {"v": answered, "other": 5})):
        got = getattr(client, verb)(path, body, params=using).expect(200).json()
        assert json.dumps(got["v"]) == json.dumps(answered), verb
        assert held(tables, name, number) == before, verb
    with client.session(**using) as session:
        for _ in range(2):
            assert session.get(path).expect(200).json()["v"] == answered
        session.delete("/v1/session")
    page = client.get(f"/v1/models/{name}/records", params={**using, "order": "id", "limit": 1}).expect(200).json()
    seen = [page["rows"][0]["id"]]
    while "next_cursor" in page:
        page = client.get(f"/v1/models/{name}/records", params={**using, "order": "id", "limit": 1, "cursor": page["next_cursor"]}).expect(200).json()
        seen += [r["id"] for r in page["rows"]]
    assert seen == everything


@pytest.mark.parametrize("kind", ["blob", "json"])
def test_it_can_be_written_where_a_string_is_something_else(tables, kind):
    name, client, using = tables.names[kind], tables.client, tables.using
    for number, (value, stored) in enumerate(((NUMBER, "real"), ({"$number": MINUS}, "real"), (WORD, "blob" if kind == "blob" else "text")), 100):
        assert client.post(f"/v1/models/{name}/records", {"id": number, "v": value}, params=using).expect(201).json()["v"] == value
        assert held(tables, name, number)[0][0] == stored
    many = {"records": [{"id": 200, "v": NUMBER}, {"id": 201, "v": WORD}]}
    client.post(f"/v1/models/{name}/records", many, params=using).expect(201)
    assert [held(tables, name, n)[0][0] for n in (200, 201)] == ["real", "blob" if kind == "blob" else "text"]
    steps = [{"op": "get", "model": name, "pk": 200, "as": "it"}, {"op": "create", "model": name, "record": {"id": 202, "v": {"$ref": "it.v"}}}]
    client.post("/v1/batch", {"steps": steps, **using}).expect(200)
    assert held(tables, name, 202)[0][0] == "real"
    client.get(f"/v1/models/{name}/records", params={**using, "v": "eq." + json.dumps(NUMBER)}).expect(200)
    if kind == "blob":
        for wrong in ({"$number": 5}, {"$number": "5"}, {"$number": "NaN"}):
            client.post(f"/v1/models/{name}/records", {"id": 300, "v": wrong}, params=using).problem(422, "invalid_value")


@pytest.mark.parametrize("kind", ["json", "jsontext"])
def test_a_document_that_is_a_number_keeps_its_digits_or_is_refused(sqlite_conn, kind):
    """A column declared JSON has an affinity for numbers: SQLite would make a double of it, or an infinite one. Inside of a document they stay."""
    conn = sqlite_conn
    run(conn.backend, f"CREATE TABLE nums (id integer PRIMARY KEY, d {kind})")
    introspect(conn, register=True)
    model = conn.client.get("/v1/models/nums").expect(200).json()
    if kind == "jsontext":  # kept as texts
        model["columns"] = [{**c, "logical_type": "json", "db_type": None} if c["name"] == "d" else c for c in model["columns"]]
        conn.client.put("/v1/models", {"models": [model]}).expect(200)
    send = lambda number, text: conn.client.post("/v1/models/nums/records", raw=f'{{"id":{number},"d":{text}}}'.encode(), params=conn.using, headers={"Content-Type": "application/json"})  # noqa: E731
    for number, text in enumerate(("12345678901234567890123", "0.1000000000000000055", "1e400", "-1e-400"), 1):
        if kind == "json":
            assert send(number, text).expect(422, "invalid_value").pointers() == ["/d"], text
        else:
            assert f'"d":{text}' in send(number, text).expect(201).text
        assert f'"d":[{text}]' in send(number + 10, f"[{text}]").expect(201).text
    for number, text in enumerate(("1.5", "9223372036854775807", "0.30000000000000004", "1e300", "-0.5"), 20):
        assert send(number, text).expect(201).json()["d"] == json.loads(text)


def test_keys_of_such_a_kind(sqlite_conn):
    conn = sqlite_conn
    run(conn.backend, "CREATE TABLE keyed (k blob PRIMARY KEY, n integer);\nINSERT INTO keyed VALUES (9e999, 1), (x'" + SIX.hex() + "', 2), ('Infinity', 3)")
    introspect(conn, register=True)
    for key, n in ((json.dumps(NUMBER), 1), (WORD, 2), ('{"$text": "Infinity"}', 3)):
        assert conn.client.get(f"/v1/models/keyed/records/{quote(key, safe='')}", params=conn.using).expect(200).json()["n"] == n


FLOATS = model("Floats", column("x", "number"), column("d", "decimal"), column("doc", "json"), column("raw", "binary"), column("label"))


def test_models_of_ones_own_on_both(conn):
    """The words are numbers in a column of numbers, documents in one of documents, base64 in one of bytes and texts in one of texts, and stay that."""
    client, using = conn.client, conn.using
    register(client, FLOATS)
    migrate(conn)
    quiet(conn)
    for number, word in enumerate((WORD, MINUS), 1):
        sent = {"id": number, "x": word, "doc": word, "label": word, **({"raw": word} if word == WORD else {})}
        made = client.post("/v1/models/Floats/records", sent, params=using).expect(201).json()
        assert made == {"d": None, "raw": None} | sent
        for name in ("x", "label", "doc"):
            assert [r["id"] for r in client.post("/v1/query", {"model_name": "Floats", "where": [leaf(name, "==", word)]}, params=using).expect(200).json()["rows"]] == [number], name
        assert client.put(f"/v1/models/Floats/records/{number}", made, params=using).expect(200).json() == made
    assert [r["id"] for r in client.post("/v1/query", {"model_name": "Floats", "where": [leaf("raw", "==", WORD)]}, params=using).expect(200).json()["rows"]] == [1]
    if conn.backend.name == "postgres":
        made = client.post("/v1/models/Floats/records", {"id": 3, "x": "NaN", "d": "NaN"}, params=using).expect(201).json()
        assert (made["x"], made["d"]) == ("NaN", "NaN")
        assert [r["id"] for r in client.post("/v1/query", {"model_name": "Floats", "where": [leaf("x", "==", "NaN")]}, params=using).expect(200).json()["rows"]] == [3]
        assert client.patch("/v1/models/Floats/records/3", {"x": "NaN"}, params=using).expect(200).json() == made
    else:
        for name, word in (("x", "NaN"), ("d", "NaN"), ("d", WORD)):
            client.post("/v1/models/Floats/records", {"id": 3, name: word}, params=using).problem(422, "invalid_value")
    assert client.get("/v1/models/Floats/records", params={**using, "x": "gt.1e308"}).expect(200).json()["row_count"] == (2 if conn.backend.name == "postgres" else 1)


def test_documents_on_postgres_have_no_such_tag(postgres_conn):
    register(postgres_conn.client, FLOATS)
    migrate(postgres_conn)
    made = postgres_conn.client.post("/v1/models/Floats/records", {"doc": NUMBER}, params=postgres_conn.using).expect(201).json()
    assert made["doc"] == NUMBER


@pytest.mark.parametrize("given", [1e300, 0.30000000000000004, -1.7976931348623157e308, 123456789012345680000.0, [1e300], {"a": 0.1}, 5, "x"])
def test_distinct_documents(conn, given):
    """As == and != say, whatever the number, and NULL is one of the values."""
    client, using = conn.client, conn.using
    register(client, FLOATS)
    migrate(conn)
    others = [None, {"$json": None}, 1.5, "1e300", {"a": 0.2}]
    client.post("/v1/models/Floats/records", {"records": [{"id": n, "doc": value} for n, value in enumerate([given, *others], 1)]}, params=using).expect(201)
    ask = lambda operator: sorted(r["id"] for r in client.post("/v1/query", {"model_name": "Floats", "where": [leaf("doc", operator, given)]}, params=using).expect(200).json()["rows"])  # noqa: E731
    assert (ask("=="), ask("is_not_distinct"), ask("is_distinct")) == ([1], [1], [2, 3, 4, 5, 6])
    assert ask("!=") == [3, 4, 5, 6]


def test_the_location_of_an_infinite_key(conn):
    kind = "double precision" if conn.backend.name == "postgres" else "real"
    run(conn.backend, f"CREATE TABLE keyed (k {kind} PRIMARY KEY, n integer)")
    register(conn.client)
    introspect(conn, register=True)
    keys = [WORD, MINUS, 1.5] + (["NaN"] if conn.backend.name == "postgres" else [])
    for key in keys:
        made = conn.client.post("/v1/models/keyed/records", {"k": key, "n": 1}, params=conn.using).expect(201)
        assert made.header("Location") == f"/v1/models/keyed/records/{key}"
        assert conn.client.get(made.header("Location"), params=conn.using).expect(200).json() == {"k": key, "n": 1}


@pytest.mark.parametrize("kind", ["text", "varchar(20)", "real", "integer", "decimal(9,2)", "datetime", "date", "uuid", "json", "blob", ""])
def test_a_walk_over_the_word_and_the_number(sqlite_conn, kind):
    """Each row once, in both directions, whatever the word is to the column."""
    conn = sqlite_conn
    run(conn.backend, f"CREATE TABLE walked (id integer PRIMARY KEY, v {kind});\nINSERT INTO walked (v) VALUES ('A'), ('Infinity'), ('-Infinity'), (9e999), (-9e999), ('a'), ('z'), (NULL), (5), ('NaN')")
    register(conn.client)
    introspect(conn, register=True)
    for order in ([{"column": "v"}], [{"column": "v", "direction": "desc", "nulls": "last"}]):
        body, seen, answer = {"model_name": "walked", "order_by": order, "limit": 1}, [], None
        while answer is None or answer.get("next_cursor"):
            more = {"cursor": answer["next_cursor"]} if answer else {}
            given = conn.client.post("/v1/query", {**body, **more}, params=conn.using)
            if kind == "json":
                given.problem(422, "invalid_query")
                return
            answer = given.expect(200).json()
            seen += [row["id"] for row in answer["rows"]]
            assert len(seen) <= 10
        assert sorted(seen) == list(range(1, 11)), seen
        back = []
        while answer.get("prev_cursor"):
            answer = conn.client.post("/v1/query", {**body, "cursor": answer["prev_cursor"]}, params=conn.using).expect(200).json()
            back = [row["id"] for row in answer["rows"]] + back
        assert back == seen[:-1]


def test_the_location_of_a_text_that_no_path_can_have(sqlite_conn):
    conn = sqlite_conn
    run(conn.backend, "CREATE TABLE keyed (k text PRIMARY KEY, n integer)")
    register(conn.client)
    introspect(conn, register=True)
    for key in ({"$bytes": "/wA="}, "a\0b"):
        made = conn.client.post("/v1/models/keyed/records", {"k": key, "n": 1}, params=conn.using).expect(201)
        assert conn.client.get(made.header("Location"), params=conn.using).expect(200).json() == {"k": key, "n": 1}
