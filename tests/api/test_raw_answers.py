"""What raw SQL answers beside its rows: columns and their types, duplicates, arrays, notices."""
import csv
import io
import json

import pytest

JOIN = "SELECT p.id, p.n, u.id, u.n FROM p JOIN u ON u.id = p.u"


@pytest.fixture
def raw(conn):
    for sql in ("CREATE TABLE u (id int primary key, n text)", "CREATE TABLE p (id int primary key, n text, u int)",
                "INSERT INTO u VALUES (7, 'user')", "INSERT INTO p VALUES (1, 'post', 7)"):
        conn.client.post("/v1/sql/execute", {"sql": sql}, params=conn.using).expect(200)

    def fetch(sql, prefer=None, accept=None, road="fetch-all"):
        headers = {**({"Prefer": prefer} if prefer else {}), **({"Accept": accept} if accept else {})}
        return conn.client.post(f"/v1/sql/{road}", {"sql": sql}, params=conn.using, headers=headers)
    conn.fetch = fetch
    return conn


def test_columns_are_named_with_their_types_without_rows_too(raw):
    integer = "integer" if raw.backend.name == "postgres" else "INT"
    answer = raw.fetch("SELECT id, n AS m FROM p WHERE id > 99").expect(200).json()
    assert answer == {"columns": [{"name": "id", "type": integer.lower() if integer == "INT" else integer},
                                  {"name": "m", "type": "text"}], "rows": [], "row_count": 0} or \
        [c["name"] for c in answer["columns"]] == ["id", "m"] and answer["rows"] == []
    assert {c["type"].lower() for c in answer["columns"]} == {"text", "int" if raw.backend.name == "sqlite" else "integer"}
    one = raw.fetch("SELECT n FROM p", road="fetch-one").expect(200).json()
    assert one["row"] == {"n": "post"} and one["columns"][0]["name"] == "n"
    none = raw.fetch("SELECT n FROM p WHERE id = 9", road="fetch-one").expect(200).json()
    assert none["row"] is None and len(none["columns"]) == 1
    computed = raw.fetch("SELECT 1 + 1 AS two").expect(200).json()["columns"]
    assert computed == [{"name": "two", "type": "integer" if raw.backend.name == "postgres" else None}]


def test_types_of_postgres(raw):
    if raw.backend.name != "postgres":
        pytest.skip("SQLite tells what was declared")
    raw.client.post("/v1/sql/execute", {"sql": "CREATE TYPE mood AS ENUM ('ok')"}, params=raw.using).expect(200)
    got = raw.fetch("SELECT 1::int8 a, ARRAY['x'] b, now() c, 'ok'::mood d, '[1,2)'::int4range e, 1.5 f, '{}'::jsonb g").expect(200).json()["columns"]
    types = {c["name"]: c["type"] for c in got}
    assert types.pop("d").startswith("oid ")
    assert types == {"a": "bigint", "b": "text[]", "c": "timestamp with time zone", "e": "int4range", "f": "numeric", "g": "jsonb"}


@pytest.mark.parametrize("road", ["fetch-all", "fetch-one"])
def test_two_columns_of_one_name_have_no_object(raw, road):
    problem = raw.fetch(JOIN, road=road).problem(400, "duplicate_columns")
    assert '"id"' in problem["detail"] and '"n"' in problem["detail"]
    got = raw.fetch(JOIN, "rows=arrays", road=road)
    assert "rows=arrays" in got.expect(200).header("Preference-Applied")
    row = [1, "post", 7, "user"]
    assert got.json()["rows" if road == "fetch-all" else "row"] == ([row] if road == "fetch-all" else row)
    assert [c["name"] for c in got.json()["columns"]] == ["id", "n", "id", "n"]


def test_a_write_that_is_refused_for_its_columns_has_not_happened(raw):
    for sql in ("INSERT INTO u VALUES (8, 'x') RETURNING id, id", "UPDATE u SET n = 'y' RETURNING n, n", "DELETE FROM u RETURNING id, n, id"):
        raw.fetch(sql).problem(400, "duplicate_columns")
        raw.fetch(sql, road="fetch-one").problem(400, "duplicate_columns")
    assert raw.fetch("SELECT id, n FROM u").expect(200).json()["rows"] == [{"id": 7, "n": "user"}]
    steps = [{"op": "sql.execute", "sql": "DELETE FROM p"}, {"op": "sql.fetch_all", "sql": JOIN}]
    raw.client.post("/v1/batch", {"steps": steps}, params=raw.using).problem(400, "duplicate_columns")
    assert raw.fetch("SELECT id FROM p").expect(200).json()["row_count"] == 1


def test_arrays_in_a_batch(raw):
    steps = [{"op": "sql.fetch_all", "sql": JOIN}, {"op": "sql.fetch_one", "sql": "SELECT n FROM u WHERE id = 1"}]
    got = raw.client.post("/v1/batch", {"steps": steps}, params=raw.using, headers={"Prefer": "rows=arrays"}).expect(200).json()["results"]
    assert got[0]["body"]["rows"] == [[1, "post", 7, "user"]] and got[1]["body"]["row"] is None
    assert [c["name"] for c in got[0]["body"]["columns"]] == ["id", "n", "id", "n"]


def test_lines_and_csv(raw):
    raw.fetch(JOIN, accept="application/x-ndjson").problem(400, "duplicate_columns")
    lines = [json.loads(line) for line in raw.fetch(JOIN, "rows=arrays", "application/x-ndjson").expect(200).body.decode().splitlines()]
    assert [c["name"] for c in lines[0]["$columns"]] == ["id", "n", "id", "n"] and lines[1] == [1, "post", 7, "user"]
    assert lines[2] == {"$end": {"row_count": 1}}
    plain = raw.fetch("SELECT id FROM u", accept="application/x-ndjson").expect(200).body.decode().splitlines()
    assert json.loads(plain[0]) == {"id": 7}
    table = list(csv.reader(io.StringIO(raw.fetch(JOIN, accept="text/csv").expect(200).body.decode())))
    assert table == [["id", "n", "id", "n"], ["1", "post", "7", "user"]]


def test_notices(raw):
    if raw.backend.name != "postgres":
        pytest.skip("SQLite tells nothing")
    raw.client.post("/v1/sql/execute", {"sql": """CREATE FUNCTION tell(n int) RETURNS int LANGUAGE plpgsql AS $$
        BEGIN FOR i IN 1..n LOOP RAISE NOTICE 'told "%"', i; END LOOP; RAISE WARNING SQLSTATE '01999' USING MESSAGE = 'beware'; RETURN n; END $$"""},
                    params=raw.using).expect(200)
    got = raw.fetch("SELECT tell(1)").expect(200).json()
    assert got["notices"] == [{"severity": "NOTICE", "code": "00000", "message": 'told "1"'},
                              {"severity": "WARNING", "code": "01999", "message": "beware"}]
    assert raw.fetch("SELECT tell(0)", road="fetch-one").expect(200).json()["notices"][0]["message"] == "beware"
    many = raw.fetch("SELECT tell(5000)").expect(200).json()["notices"]
    assert len(many) == 100 and len(json.dumps(many)) < 2 * 8192
    assert "notices" not in raw.fetch("SELECT 1 AS one").expect(200).json()
    ran = raw.client.post("/v1/sql/execute", {"sql": "DO $$ BEGIN RAISE NOTICE 'hi'; END $$"}, params=raw.using).expect(200).json()
    assert [n["message"] for n in ran["notices"]] == ["hi"]
    step = raw.client.post("/v1/batch", {"steps": [{"op": "sql.fetch_all", "sql": "SELECT tell(1)"}]}, params=raw.using).expect(200).json()
    assert len(step["results"][0]["body"]["notices"]) == 2
