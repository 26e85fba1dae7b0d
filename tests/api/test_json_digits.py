"""Numbers keep their digits from the socket to the column and back; {"$json": X} says that X is a document."""
import json
import re

import pytest

from support.schema import run

PRICE, WEI, BIG = "0.1234567890123456789012345", "123456789012345678901234567890.5", "18446744073709551615"
DOC = f'{{"a":1.50,"big":{BIG},"neg":-0,"price":{PRICE},"tiny":1e-400,"wei":{WEI}}}'


@pytest.fixture
def db(conn):
    if conn.backend.name == "postgres":
        run(conn.backend, "CREATE TABLE t (id int PRIMARY KEY, j json, b jsonb, d numeric, n bigint, f double precision)")
    else:
        run(conn.backend, "CREATE TABLE t (id integer PRIMARY KEY, j json, b json, d text, n bigint, f double)")
    column = {"nullable": True, "logical_type": "json"}
    conn.client.put("/v1/models", {"models": [{"model_name": "t", "columns": [
        {"name": "id", "logical_type": "integer", "primary_key": True, "autoincrement": False},
        {"name": "j", **column, "db_type": "json"}, {"name": "b", **column, "db_type": "jsonb"},
        {"name": "d", "logical_type": "decimal", "nullable": True, **({"db_type": "text"} if conn.backend.name == "sqlite" else {})},
        {"name": "n", "logical_type": "integer", "nullable": True, "db_type": "bigint"},
        {"name": "f", "logical_type": "number", "nullable": True}]}]}).expect(200)

    def send(method, path, text=None, **headers):
        raw = None if text is None else text.encode()
        return conn.client.request(method, path, raw=raw, params=conn.using, headers={"Content-Type": "application/json", **headers})
    conn.send = send
    return conn


def digits(answer, member):
    """The member's text as it stands in the answer, blanks apart."""
    found = re.search(rf'"{member}":\s*(\{{[^}}]*\}})', answer.text)
    return found.group(1).replace(" ", "")


def test_a_document_keeps_every_digit(db):
    body = f'{{"id":1,"j":{DOC},"d":{WEI},"n":5.0}}'
    for method, path, status in (("POST", "/v1/models/t/records", 201), ("PUT", "/v1/models/t/records/1", 200), ("PATCH", "/v1/models/t/records/1", 200)):
        answer = db.send(method, path, body).expect(status)
        assert digits(answer, "j") == DOC and f'"d":"{WEI}"' in answer.text and answer.json()["n"] == 5
    read = db.send("GET", "/v1/models/t/records/1")
    assert digits(read, "j") == DOC
    again = db.send("PUT", "/v1/models/t/records/1", read.text).expect(200)
    assert again.header("ETag") == read.header("ETag"), "what was read may be written back"
    bulk = db.send("POST", "/v1/models/t/records", f'{{"records":[{{"id":2,"j":{DOC}}},{{"id":3,"j":{DOC}}}]}}', Prefer="return=representation").expect(201)
    assert digits(bulk, "j") == DOC
    lines = "".join(f'{{"id":{n},"j":{DOC},"d":{PRICE}}}\n' for n in range(10, 200))
    db.send("POST", "/v1/models/t/records", lines, **{"Content-Type": "application/x-ndjson"}).expect(201)
    loaded = db.send("GET", "/v1/models/t/records/150")
    assert digits(loaded, "j") == DOC and f'"d":"{PRICE}"' in loaded.text


def test_a_zero_keeps_its_sign_on_every_road(db):
    """A flat record, one with a document beside, one of a body of many, a line, and an integer, which has none; SQLite's own
    records drop it."""
    zero = "-0.0" if db.backend.name == "postgres" else "0.0"
    db.send("POST", "/v1/models/t/records", '{"id":1,"f":-0,"n":-0}').expect(201)
    db.send("POST", "/v1/models/t/records", '{"id":2,"f":-0,"n":-0,"j":{}}').expect(201)
    db.send("POST", "/v1/models/t/records", '{"records":[{"id":3,"f":-0,"n":-0}]}').expect(201)
    db.send("POST", "/v1/models/t/records", '{"id":4,"f":-0,"n":-0}\n', **{"Content-Type": "application/x-ndjson"}).expect(201)
    for number in range(1, 5):
        record = db.send("GET", f"/v1/models/t/records/{number}").expect(200).json()
        assert (str(record["f"]), record["n"]) == (zero, 0), number


def test_jsonb_keeps_them_too(db):
    made = db.send("POST", "/v1/models/t/records", f'{{"id":1,"b":{{"price":{PRICE},"wei":{WEI},"u64":{BIG}}}}}').expect(201)
    for token in (PRICE, WEI, BIG):
        assert token in made.text and token in db.send("GET", "/v1/models/t/records/1").text


def test_references_updates_and_filters(db):
    db.send("POST", "/v1/models/t/records", f'{{"id":1,"j":{DOC}}}').expect(201)
    steps = f'[{{"op":"get","model":"t","pk":1,"as":"a"}},{{"op":"create","model":"t","record":{{"id":2,"j":{{"$ref":"a.j"}}}}}}]'
    answer = db.send("POST", "/v1/batch", f'{{"using":"{db.name}","steps":{steps}}}').expect(200)
    assert answer.text.replace(" ", "").count(DOC) == 2
    where = '{"node_kind":"leaf","column":"id","operator":"==","value":2}'
    db.send("POST", "/v1/query/update", f'{{"query":{{"model_name":"t","where":[{where}]}},"set":{{"b":{{"x":{WEI}}}}}}}').expect(200)
    assert WEI in db.send("GET", "/v1/models/t/records/2").text
    exact = f'{{"node_kind":"leaf","column":"d","operator":"==","value":{PRICE}}}'
    db.send("PATCH", "/v1/models/t/records/1", f'{{"d":{PRICE}}}').expect(200)
    found = db.send("POST", "/v1/query", f'{{"model_name":"t","where":[{exact}]}}').expect(200)
    assert [r["id"] for r in found.json()["rows"]] == [1]


ALIKE = [["123456789012345678901234567890", "1.2345678901234567890123456789e29"], ["123456789012345678901234567891"], ["0.1", "0.10", "1e-1"], ["0.1000000000000000055"], ["1e400", "10e399"],
         ["1e401"], ["9007199254740993", "9007199254740993.0"], ["9007199254740992"], ["-0", "0", "0.0"]]


@pytest.mark.parametrize("where", ["", "path", "inside"])
def test_numbers_are_found_by_their_last_digit(db, where):
    """In a document, at a path and as the document's part, whatever the spelling; neighbours that doubles do not tell apart are not."""
    tokens = [token for group in ALIKE for token in group]
    for number, token in enumerate(tokens, 1):
        db.send("POST", "/v1/models/t/records", f'{{"id":{number},"b":{{"x":{{"y":{token}}}}}}}').expect(201)
    for number, token in enumerate(tokens, 1):
        group = next(g for g in ALIKE if token in g)
        value, more = {"": (f'{{"$json":{{"x":{{"y":{token}}}}}}}', ""), "path": (token, ',"path":["x","y"]'), "inside": (f'{{"$json":{{"y":{token}}}}}', ',"path":["x"]')}[where]
        for operator, expected in (("==", True), ("is_not_distinct", True), ("!=", False), ("is_distinct", False)):
            leaf = f'{{"node_kind":"leaf","column":"b","operator":"{operator}","value":{value}{more}}}'
            rows = db.send("POST", "/v1/query", f'{{"model_name":"t","where":[{leaf}],"select":["id"],"order_by":[{{"column":"id","direction":"asc"}}]}}').expect(200).json()["rows"]
            assert [r["id"] for r in rows] == [n for n, other in enumerate(tokens, 1) if (other in group) == expected], (token, operator)
    contains = '{"node_kind":"leaf","column":"b","operator":"contains","value":{"$json":{"x":{"y":123456789012345678901234567891}}}}'
    rows = db.send("POST", "/v1/query", f'{{"model_name":"t","where":[{contains}]}}').expect(200).json()["rows"]
    assert [r["id"] for r in rows] == [3]


@pytest.mark.parametrize("column, token", [("n", BIG), ("n", "1.5"), ("n", "1e30"), ("f", "1e400"), ("n", "-9223372036854775809")])
def test_what_no_column_of_that_kind_holds(db, column, token):
    answer = db.send("POST", "/v1/models/t/records", f'{{"id":1,"{column}":{token}}}')
    answer.problem(422, "invalid_value")
    assert answer.pointers() == [f"/{column}"]


def test_arguments_of_raw_sql(db):
    mark, cast = ("?", "") if db.backend.name == "sqlite" else ("$1", "::text")

    def fetch(token):
        return db.send("POST", "/v1/sql/fetch-one", f'{{"sql":"SELECT {mark}{cast} AS v","args":[{token}],"using":"{db.name}"}}')
    if db.backend.name == "postgres":
        for token in (PRICE, WEI):
            assert fetch(token).expect(200).json()["row"]["v"] == token
        fetch(BIG).problem(422, "invalid_value")
        assert fetch("0.1").expect(200).json()["row"]["v"] == "0.1"
    else:
        for token in (PRICE, WEI, BIG):
            answer = fetch(token)
            answer.problem(422, "invalid_value")
            assert answer.pointers() == ["/args/0"]
        assert fetch("0.30000000000000004").expect(200).json()["row"]["v"] == 0.30000000000000004
    assert json.loads(fetch(f'{{"$json":{{"x":{WEI}}}}}').expect(200).json()["row"]["v"], parse_float=str) == {"x": WEI}


@pytest.mark.parametrize("text", ["[1.]", "[01.5]", "[1.5.2]", "[1e]", "[-]", "[1.5x]", "[.5]", "[+1.5]", "[1.5 2.5]", "1.5 2", "[--1.5]", "[1e5", "{1.5:1}"])
def test_what_is_no_number_is_still_refused(db, text):
    db.send("POST", "/v1/models/t/records", f'{{"id":1,"j":{text}}}').problem(400, "invalid_json")


# ---- {"$json": X} ----

def test_null_and_documents_that_look_like_something_else(db):
    docs = [None, {"$json": 1}, {"$json": None}, {"$json": {"$json": 2}}, {"$ref": "#/x"}, {"$bytes": "AA=="}, {"$json": 1, "b": 2}, [None], "null", {}]
    wire = [{"$json": None}] + [{"$json": d} for d in docs[1:4]] + [docs[4], {"$json": docs[5]}] + docs[6:]
    for n, (doc, shown) in enumerate(zip(docs, wire), 1):
        made = db.client.post("/v1/models/t/records", {"id": n, "j": {"$json": doc}, "b": {"$json": doc}}, params=db.using).expect(201)
        assert made.json()["j"] == shown and made.json()["b"] == shown
        read = db.client.get(f"/v1/models/t/records/{n}", params=db.using).expect(200)
        assert read.json() == made.json()
        back = db.client.put(f"/v1/models/t/records/{n}", read.json(), params=db.using).expect(200)
        assert back.json() == read.json() and back.header("ETag") == read.header("ETag")
        if n == 5:
            shown = {"$json": doc}  # in a condition it would be an expression
        column = "b" if db.backend.name == "postgres" else "j"
        found = db.client.post("/v1/query", {"model_name": "t", "where": [{"node_kind": "leaf", "column": column, "operator": "==", "value": shown}]}, params=db.using)
        assert [r["id"] for r in found.expect(200).json()["rows"]] == [n], shown
    assert db.client.post("/v1/models/t/records", {"id": 99, "j": None}, params=db.using).expect(201).json()["j"] is None
    rows = db.client.post("/v1/query", {"model_name": "t", "where": [{"node_kind": "leaf", "column": "j", "operator": "IS NULL"}]}, params=db.using)
    assert [r["id"] for r in rows.expect(200).json()["rows"]] == [99], "SQL NULL and the document null are two things"


def test_in_a_batch_nothing_inside_is_read(db):
    steps = [{"op": "create", "model": "t", "record": {"id": 1, "j": {"$json": {"$ref": "#/definitions/x"}}}},
             {"op": "create", "model": "t", "records": [{"id": 2, "j": {"$json": {"$ref": 5}}}]},
             {"op": "update", "query": {"model_name": "t", "where": [{"node_kind": "leaf", "column": "id", "operator": "==", "value": 2}]},
              "set": {"j": {"$json": {"$add": 1}}}}, {"op": "get", "model": "t", "pk": 2}]
    answer = db.client.post("/v1/batch", {"using": db.name, "steps": steps}).expect(200).json()
    assert answer["results"][0]["body"]["j"] == {"$ref": "#/definitions/x"} and answer["results"][3]["body"]["j"] == {"$add": 1}
