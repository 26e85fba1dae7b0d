"""Arrays, ranges, regular expressions and text search: what each database can do, and a refusal that says so where it cannot."""
from urllib.parse import quote

import pytest

from support.tables import leaf

COLUMNS = [{"name": "id", "logical_type": "integer", "primary_key": True}, {"name": "tags", "logical_type": "unknown", "db_type": "text[]", "nullable": True},
           {"name": "nums", "logical_type": "unknown", "db_type": "int4[]", "nullable": True},
           {"name": "span", "logical_type": "unknown", "db_type": "int4range", "nullable": True}, {"name": "body", "logical_type": "string", "nullable": True}]


@pytest.fixture
def thing(conn):
    if conn.backend.name == "postgres":
        for sql in ("CREATE TABLE thing (id int primary key, tags text[], nums int4[], span int4range, body text)",
                    """INSERT INTO thing VALUES (1, '{a,"b,c"}', '{1,2}', '[1,5)', 'The cat sat'), (2, '{b}', '{}', '[5,9)', 'dogs and cats'),
                       (3, NULL, NULL, NULL, NULL), (4, '{a,b}', '{2,NULL}', 'empty', 'a Dog')"""):
            conn.client.post("/v1/sql/execute", {"sql": sql}, params=conn.using).expect(200)
    conn.client.put("/v1/models", {"models": [{"model_name": "Thing", "columns": COLUMNS}]}).expect(200)

    def ask(column, operator, value, **more):
        query = {"model_name": "Thing", "where": [{**leaf(column, operator, value), **more}], "select": ["id"], "order_by": [{"column": "id"}]}
        return conn.client.post("/v1/query", query, params=conn.using)
    conn.ask = ask
    return conn


CASES = [
    ("tags", "contains", ["a"], [1, 4]), ("tags", "contains", ["b,c"], [1]), ("tags", "contained", ["a", "b"], [2, 4]), ("tags", "overlap", ["b", "x"], [2, 4]),
    ("tags", "any", "a", [1, 4]), ("nums", "any", 2, [1, 4]), ("nums", "contains", [], [1, 2, 4]), ("span", "contains", 5, [2]),
    ("span", "contains", {"lower": 2, "upper": 3}, [1]), ("span", "contained", {"lower": 0, "upper": None}, [1, 2, 4]), ("span", "overlap", "[4,6)", [1, 2]),
    ("span", "adjacent", "[9,12)", [2]), ("span", "left_of", {"lower": 5, "upper": None}, [1]), ("span", "right_of", "[1,5)", [2]),
    ("span", "not_extends_left", "[4,5)", [2]), ("span", "not_extends_right", {"lower": 2, "upper": 5}, [1]),
    ("body", "regex", "^[Tt]he", [1]), ("body", "regex", "DOG", []), ("body", "iregex", "dog", [2, 4]), ("body", "match", "cat", [1, 2]),
    ("body", "match", "cat -sat", [2]), ("body", "match", '"cat sat"', [1]), ("body", "match", "dog or sat", [1, 2, 4]),
]


@pytest.mark.parametrize("column,operator,value,expected", CASES, ids=range(len(CASES)))
def test_operators(thing, column, operator, value, expected):
    more = {"config": "english"} if operator == "match" and thing.backend.name == "postgres" else {}
    answer = thing.ask(column, operator, value, **more)
    if thing.backend.name == "postgres":
        assert [r["id"] for r in answer.expect(200).json()["rows"]] == expected
    elif operator != "match":
        answer.problem(422, "invalid_query")
        assert "SQLite" in answer.json()["detail"] or "PostgreSQL" in answer.json()["detail"]


def test_in_urls_and_updates(thing):
    if thing.backend.name != "postgres":
        pytest.skip("SQLite has none of them")

    def listed(url):
        return [r["id"] for r in thing.client.get(f"/v1/models/Thing/records?select=id&order=id&using={thing.name}&{quote(url, safe='=&')}").expect(200).json()["rows"]]
    assert listed("tags=cs.{a}") == [1, 4] and listed("tags=cd.{a,b}") == [2, 4] and listed("tags=not.ov.{b}") == [1]
    assert listed("span=cs.5") == [2] and listed("span=ov.[4,6)") == [1, 2] and listed("span=adj.[9,12)") == [2] and listed("span=sl.[5,9)") == [1]
    assert listed("span=sr.[1,5)") == [2] and listed("span=nxl.[4,5)") == [2] and listed("span=nxr.[2,5)") == [1]
    assert listed('tags=cs.["b,c"]') == [1] and listed('tags=ov.["b","x"]') == [2, 4] and listed("nums=cs.[2]") == [1, 4]
    assert listed("body=imatch.DOG") == [2, 4] and listed("body=match.^The") == [1] and listed("body=fts(english).cat") == [1, 2]
    assert listed("body=wfts(english).dog or sat") == [1, 2, 4] and listed("body=phfts(english).cat sat") == [1] and listed("body=not.fts(english).cat") == [4]

    def update(column, value, key):
        body = {"query": {"model_name": "Thing", "where": [leaf("id", "==", key)]}, "set": {column: value}}
        thing.client.post("/v1/query/update", body, params=thing.using).expect(200)
        return thing.client.post("/v1/sql/fetch-one", {"sql": f"SELECT array_to_json({column})::text AS v FROM thing WHERE id = {key}"},
                                 params=thing.using).expect(200).json()["row"]["v"]
    assert update("tags", {"$append": 'x"y'}, 1) == '["a","b,c","x\\"y"]' and update("tags", {"$remove": "b"}, 4) == '["a"]'
    assert update("nums", {"$append": 7}, 2) == "[7]" and update("nums", {"$append": 7}, 3) == "[7]"


def test_ranks(thing):
    """The best first, on both; pages go on where they ended."""
    if thing.backend.name == "sqlite":
        for sql in ("CREATE VIRTUAL TABLE thing USING fts5(body, tokenize = porter)",
                    "INSERT INTO thing (rowid, body) VALUES (1, 'cat cat cat'), (2, 'a cat among many other words in here'), (3, 'dog'), (4, 'cat cat')"):
            thing.client.post("/v1/sql/execute", {"sql": sql}, params=thing.using).expect(200)
        key = {"name": "rowid", "logical_type": "integer", "primary_key": True}
    else:
        thing.client.post("/v1/sql/execute", {"sql": "DELETE FROM thing"}, params=thing.using).expect(200)
        sql = "INSERT INTO thing (id, body) VALUES (1, 'cat cat cat'), (2, 'a cat among many other words in here'), (3, 'dog'), (4, 'cat cat')"
        thing.client.post("/v1/sql/execute", {"sql": sql}, params=thing.using).expect(200)
        key = COLUMNS[0]
    thing.client.put("/v1/models", {"models": [{"model_name": "Thing", "columns": [key, COLUMNS[4]]}]}).expect(200)
    query = {"model_name": "Thing", "select": [key["name"]], "where": [leaf("body", "match", "cat")], "order_by": [{"rank": True, "direction": "desc"}]}
    whole = [r[key["name"]] for r in thing.client.post("/v1/query", query, params=thing.using).expect(200).json()["rows"]]
    assert whole == [1, 4, 2]
    row = {"model_name": "Thing", "select": [key["name"]], "where": [{"node_kind": "leaf", "operator": "match", "value": "dog"}]}
    assert [r[key["name"]] for r in thing.client.post("/v1/query", row, params=thing.using).expect(200).json()["rows"]] == [3]
    page = thing.client.post("/v1/query", {**query, "limit": 2}, params=thing.using).expect(200).json()
    more = thing.client.post("/v1/query", {**query, "limit": 2, "cursor": page["next_cursor"]}, params=thing.using).expect(200).json()
    assert [r[key["name"]] for r in page["rows"] + more["rows"]] == whole


def test_match_needs_a_table_that_is_searched(conn):
    if conn.backend.name != "sqlite":
        pytest.skip("PostgreSQL searches every text")
    conn.client.put("/v1/models", {"models": [{"model_name": "Plain", "columns": [COLUMNS[0], COLUMNS[4]]}]}).expect(200)
    conn.client.post("/v1/create-tables", params=conn.using).expect(200)
    conn.client.post("/v1/models/Plain/records", {"id": 1, "body": "cat"}, params=conn.using).expect(201)
    query = {"model_name": "Plain", "where": [leaf("body", "match", "cat")]}
    problem = conn.client.post("/v1/query", query, params=conn.using).problem(422, "invalid_query")
    assert "FTS5" in problem["detail"]
    whole = {"model_name": "Plain", "where": [{"node_kind": "leaf", "operator": "match", "value": "cat"}]}
    for query in (whole, {**query, "order_by": [{"rank": True}]}):
        assert "FTS5" in conn.client.post("/v1/query", query, params=conn.using).problem(422, "invalid_query")["detail"]
    conn.client.post("/v1/sql/execute", {"sql": "CREATE VIRTUAL TABLE searched USING fts5(body)"}, params=conn.using).expect(200)
    conn.client.put("/v1/models", {"models": [{"model_name": "Searched", "columns": [
        {"name": "rowid", "logical_type": "integer", "primary_key": True}, COLUMNS[4]]}]}).expect(200)
    broken = {"model_name": "Searched", "where": [leaf("body", "match", '"open')]}
    conn.client.post("/v1/query", broken, params=conn.using).problem(422, "invalid_query")


def test_lists_of_documents_in_urls(conn):
    """On both databases a JSON column is asked as an array is: by PostgreSQL's notation and by JSON's."""
    model = {"model_name": "Doc", "columns": [COLUMNS[0], {"name": "tags", "logical_type": "json", "nullable": True}, {"name": "n", "logical_type": "integer", "nullable": True}]}
    conn.client.put("/v1/models", {"models": [model]}).expect(200)
    conn.client.post("/v1/create-tables", params=conn.using).expect(200)
    rows = [{"id": 1, "tags": ["a", "b,c"], "n": 3}, {"id": 2, "tags": ["b"]}, {"id": 3, "tags": None}, {"id": 4, "tags": ["a", 7]}, {"id": 5, "tags": [["a"]]}]
    conn.client.post("/v1/models/Doc/records", {"records": rows}, params=conn.using).expect(201)
    for url, expected in (("tags=ov.{a,x}", [1, 4]), ('tags=ov.["a","x"]', [1, 4]), ('tags=ov.{"b,c",b}', [1, 2]), ("tags=ov.[7]", [4]), ("tags=ov.{}", []),
                          ('tags=ov.[["a"]]', [5]), ("tags=cs.{a}", [1, 4]), ('tags=cs.["a",7]', [4]), ("tags=not.ov.{a,b}", [5]), ("tags=cd.{a,b}", [2])):
        answer = conn.client.get(f"/v1/models/Doc/records?select=id&order=id&{quote(url, safe='=&')}", params=conn.using).expect(200).json()
        assert [r["id"] for r in answer["rows"]] == expected, url
    many = ",".join(str(n) for n in range(500))
    assert conn.client.get(f"/v1/models/Doc/records?select=id&tags=ov.{quote(f'[{many}]')}", params=conn.using).expect(200).json()["row_count"] == 1


def test_a_division_by_zero_is_the_same_fault_on_both(conn):
    conn.client.put("/v1/models", {"models": [{"model_name": "Doc", "columns": [COLUMNS[0], {"name": "n", "logical_type": "integer", "nullable": True}]}]}).expect(200)
    conn.client.post("/v1/create-tables", params=conn.using).expect(200)
    conn.client.post("/v1/models/Doc/records", {"id": 1, "n": 3}, params=conn.using).expect(201)
    query = {"model_name": "Doc", "select": [{"expr": {"$div": [{"$column": "n"}, {"$sub": [{"$column": "n"}, 3]}]}, "as": "q"}]}
    assert "division by zero" in conn.client.post("/v1/query", query, params=conn.using).problem(422, "invalid_value")["detail"]
