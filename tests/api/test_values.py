"""Values on the wire: every logical type in and out on both databases, and what does not fit."""
import base64
import json

import pytest

from support.tables import create_tables, leaf, placeholder, sql

BOTH, SQLITE, POSTGRES = ("sqlite", "postgres"), ("sqlite",), ("postgres",)


def b64(data):
    return base64.b64encode(data).decode()


# column: (logical_type, more members, [(given, answered or {backend: answered})])
GOOD = {
    "int": ("integer", {}, [(0, 0), (-2147483648, -2147483648), (2147483647, 2147483647), ("12", 12), ("-7", -7)]),
    "small": ("integer", {"db_type": "smallint"}, [(-32768, -32768), (32767, 32767)]),
    "big": ("integer", {"db_type": "bigint"}, [
        (9223372036854775807, 9223372036854775807), (-9223372036854775808, -9223372036854775808),
        ("9223372036854775807", 9223372036854775807), (9007199254740993, 9007199254740993)]),
    "number": ("number", {}, [(0.1, 0.1), (1, 1), (-1.5e300, -1.5e300), (5e-324, 5e-324), (1.7976931348623157e308, 1.7976931348623157e308),
                              ("Infinity", "Infinity"), ("-Infinity", "-Infinity"), (0.1 + 0.2, 0.30000000000000004)]),
    "dec": ("decimal", {}, [("1234.5678", "1234.5678"), ("-0.001", "-0.001"), (2.5, "2.5"), (7, "7"), ("100", "100"),
                            ("10.50", {"sqlite": "10.5", "postgres": "10.50"}), ("123456789012345", "123456789012345")]),
    "dectext": ("decimal", {"db_type": "text"}, [("12345678901234567890.123456789", "12345678901234567890.123456789")]),
    "bool": ("boolean", {}, [(True, True), (False, False), (1, True), (0, False)]),
    "text": ("string", {}, [("", ""), ("plain", "plain"), ("ünï 😀 \u2028 \"q\" \\ \n\t\x01", "ünï 😀 \u2028 \"q\" \\ \n\t\x01"),
                            ("'; DROP TABLE thing; --", "'; DROP TABLE thing; --"), ("x" * 100000, "x" * 100000), ("e\u0301", "e\u0301")]),
    "short": ("string", {"db_type": "varchar(3)"}, [("abc", "abc"), ("😀😀😀", "😀😀😀"), ("", "")]),
    "enum": ("string", {"enum_values": ["red", "green"], "enum_type_name": "color"}, [("red", "red")]),
    "uuid": ("uuid", {}, [("3F4C4CA7-A7E7-40D6-8D83-8F4DDF3285E6", "3f4c4ca7-a7e7-40d6-8d83-8f4ddf3285e6"),
                          ("00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000001")]),
    "stamptz": ("datetime", {}, [
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"), ("2026-01-02 03:04:05+00:00", "2026-01-02T03:04:05Z"),
        ("2026-01-02T03:04:05.123456+02:00", "2026-01-02T01:04:05.123456Z"), ("2026-01-02T03:04:05.500-05:30", "2026-01-02T08:34:05.5Z"),
        ("1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z"), ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"), ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z")]),
    "stamp": ("datetime", {"db_type": "timestamp"}, [("2026-01-02T03:04:05", "2026-01-02T03:04:05"), ("2026-01-02 03:04:05.120", "2026-01-02T03:04:05.12")]),
    "day": ("date", {}, [("2026-04-27", "2026-04-27"), ("0001-01-01", "0001-01-01"), ("9999-12-31", "9999-12-31"), ("2000-02-29", "2000-02-29")]),
    "clock": ("time", {"db_type": "time"}, [("20:13:45", "20:13:45"), ("00:00:00", "00:00:00"), ("23:59:59.999999", "23:59:59.999999")]),
    "clocktext": ("time", {}, [("20:13:45", "20:13:45")]),
    "bytes": ("binary", {}, [(b64(b""), b64(b"")), (b64(bytes(range(256))), b64(bytes(range(256)))), (b64(b"\x00"), b64(b"\x00")),
                             (b64(b"ab"), b64(b"ab"))]),
    "doc": ("json", {}, [({"a": [1, None, True, "x", {"b": 1.5}]}, {"a": [1, None, True, "x", {"b": 1.5}]}), ([], []), ("text", "text"),
                         (5, 5), (False, False), ({"ü": "😀"}, {"ü": "😀"}), ({"": {}}, {"": {}}), (1e20, 1e20)]),
}

BAD = {
    "int": ["x", "", "1.5", 1.5, 2147483648 if False else 9223372036854775808, True, [], {}, "NaN", "9223372036854775808", " 1", "0x10", "1e3"],
    "number": ["x", "", True, [], {}, "nan", "inf", "1e999"],
    "dec": ["x", "", True, [], {}, "1.2.3", "0x1", "Infinit", "1e", "--1"],
    "bool": ["true", "", 2, -1, "1", [], {}, 1.5],
    "text": [5, True, [], {}, 1.5],
    "short": ["abcd", "😀😀😀😀", 5],
    "uuid": ["x", "", "3f4c4ca7a7e740d68d838f4ddf3285e", "3f4c4ca7-a7e7-40d6-8d83-8f4ddf3285eg", 5, []],
    "stamptz": ["x", "", "2026-13-01T00:00:00Z", "2026-02-29T00:00:00Z", "2026-01-01T24:00:01Z", "2026-01-01T00:60:00Z", "2026-01-01T00:00:00+25:00",
                "yesterday", "2026-01-01T00:00:00ZZ", 5, True, []],
    "day": ["x", "", "2026-02-30", "2026-1-1", "26-01-01", "2026-04-27T00:00:00Z", 5],
    "clock": ["x", "", "24:00:01", "12:60:00", "12:00:61", "12", 5],
    "bytes": ["*", "QQ", "QQ=", "QQ==\n", "Q Q=", "QUJ-", 5, [], {}],
}


def model(*names, nullable=True):
    return {"model_name": "Thing", "columns": [{"name": "id", "logical_type": "integer", "primary_key": True}] + [
        {"name": name, "logical_type": GOOD[name][0], "nullable": nullable, **GOOD[name][1]} for name in names]}


@pytest.fixture
def thing(conn):
    create_tables(conn.client, conn.name, model(*GOOD))
    return conn


def create(thing, record, **headers):
    return thing.client.post("/v1/models/Thing/records", record, params=thing.using, headers=headers)


def same(got, expected):
    """Equal in value and in JSON type: 1 is not true, and not 1.5's text."""
    return json.dumps(got, sort_keys=True) == json.dumps(expected, sort_keys=True) or (
        isinstance(got, (int, float)) and isinstance(expected, (int, float)) and not isinstance(got, bool)
        and not isinstance(expected, bool) and got == expected)


def test_every_type_there_and_back(thing):
    """In the answer of the create, in a read by key, in a query, and in a filter on the value itself."""
    wrong = []
    for name, (_, _, values) in GOOD.items():
        for given, expected in values:
            if isinstance(expected, dict) and set(expected) == {"sqlite", "postgres"}:
                expected = expected[thing.backend.name]
            answer = create(thing, {name: given})
            if answer.status != 201:
                wrong.append((name, given if len(str(given)) < 99 else "…", answer.status, answer.body[:300]))
                continue
            row = answer.json()
            read = thing.client.get(f"/v1/models/Thing/records/{row['id']}", params=thing.using).expect(200).json()
            if not same(row[name], expected) or read != row:
                wrong.append((name, given, expected, row[name], read[name]))
            if name in ("doc", "bytes") or (name == "number" and isinstance(given, str)):
                continue
            found = thing.client.post("/v1/query", {"model_name": "Thing", "where": [leaf(name, "==", given)]}, params=thing.using)
            if found.status != 200 or row["id"] not in [r["id"] for r in found.json()["rows"]]:
                wrong.append(("filter", name, str(given)[:99], found.body[:200]))
    assert not wrong, "\n".join(map(str, wrong))


def test_null_of_every_type(thing):
    row = create(thing, {name: None for name in GOOD}).expect(201).json()
    assert all(row[name] is None for name in GOOD)
    assert create(thing, {}).expect(201).json() == {**row, "id": row["id"] + 1}


def test_values_that_do_not_fit(thing):
    """422 invalid_value with a pointer, before any SQL runs."""
    wrong = []
    for name, values in BAD.items():
        for value in values:
            answer = create(thing, {name: value})
            if (answer.status, answer.json().get("code")) != (422, "invalid_value") or answer.pointers() != [f"/{name}"]:
                wrong.append((name, value, answer.status, answer.body[:250]))
    assert not wrong, "\n".join(map(str, wrong))
    count = thing.client.post("/v1/query/count", {"model_name": "Thing", "where": []}, params=thing.using).json()
    assert count == {"count": 0}


def test_ranges_are_those_of_the_database(thing):
    """PostgreSQL's integer has 32 bits and its smallint 16; SQLite stores 64 in all of them."""
    for name, value in (("int", 2147483648), ("small", 32768), ("small", -32769)):
        answer = create(thing, {name: value})
        if thing.backend.name == "postgres":
            answer.problem(422, "invalid_value")
            assert answer.pointers() == [f"/{name}"]
        else:
            assert answer.expect(201).json()[name] == value


def test_decimals(thing):
    """Exact on PostgreSQL; on SQLite (a REAL column) refused when digits would be lost."""
    for value in ("12345678901234567890.123456789", "0.12345678901234567"):
        answer = create(thing, {"dec": value})
        if thing.backend.name == "postgres":
            assert answer.expect(201).json()["dec"] == value
        else:
            answer.problem(422, "invalid_value")


def test_nan(thing):
    answer = create(thing, {"number": "NaN"})
    if thing.backend.name == "postgres":
        assert answer.expect(201).json()["number"] == "NaN"
    else:
        answer.problem(422, "invalid_value")


def test_nul_in_text(thing):
    """PostgreSQL's text holds no NUL: refused as a value; never cut off silently."""
    answer = create(thing, {"text": "a\u0000b"})
    if answer.status == 201:
        assert answer.json()["text"] == "a\u0000b"
    else:
        assert answer.status in (400, 422) and answer.json()["code"] in ("invalid_value", "invalid_json"), answer.body


def test_int64_as_strings(thing):
    big = 9007199254740993
    row = create(thing, {"big": big, "int": 5}, Prefer="int64=string").expect(201)
    assert row.json()["big"] == str(big) and row.json()["int"] == 5
    assert "int64=string" in row.header("Preference-Applied")
    read = thing.client.get(f"/v1/models/Thing/records/{row.json()['id']}", params=thing.using).json()
    assert read["big"] == big
    for value, shown in ((2 ** 53 - 1, 2 ** 53 - 1), (2 ** 53, str(2 ** 53)), (-(2 ** 53), str(-(2 ** 53)))):
        assert create(thing, {"big": value}, Prefer="int64=string").json()["big"] == shown


def test_required_columns(conn):
    create_tables(conn.client, conn.name, model("text", "int", nullable=False))
    post = conn.client.post
    for record in ({"text": "a"}, {"text": "a", "int": None}, {}):
        answer = post("/v1/models/Thing/records", record, params=conn.using)
        answer.problem(422, "not_null_violation")
        assert "int" in json.dumps(answer.json())
    answer = post("/v1/models/Thing/records", {"text": "a", "int": 1, "nope": 1}, params=conn.using)
    answer.problem(422, "unknown_column")
    assert answer.pointers() == ["/nope"]


def test_defaults(conn):
    create_tables(conn.client, conn.name, {"model_name": "Thing", "columns": [
        {"name": "id", "logical_type": "integer", "primary_key": True},
        {"name": "a", "logical_type": "string", "default": "x"}, {"name": "b", "logical_type": "integer", "default": 7},
        {"name": "c", "logical_type": "json", "default": {"k": []}}, {"name": "d", "logical_type": "boolean", "default": False}]})
    row = conn.client.post("/v1/models/Thing/records", {}, params=conn.using).expect(201).json()
    assert row == {"id": 1, "a": "x", "b": 7, "c": {"k": []}, "d": False}
    row = conn.client.post("/v1/models/Thing/records", {"b": 1, "id": 9}, params=conn.using).expect(201).json()
    assert row == {"id": 9, "a": "x", "b": 1, "c": {"k": []}, "d": False}


def test_bulk(thing):
    """The union of keys, an absent one its default; faults point into the list and nothing is written."""
    post = thing.client.post
    records = [{"int": 1}, {"text": "b", "big": 2}, {}, {"id": 50, "int": 4}]
    assert post("/v1/models/Thing/records", {"records": records}, params=thing.using).expect(201).json() == {"rows_inserted": 4}
    rows = post("/v1/query", {"model_name": "Thing", "where": [], "order_by": [{"column": "id"}]}, params=thing.using).json()["rows"]
    assert sorted((r["int"] or 0, r["text"] or "", r["big"] or 0) for r in rows) == [(0, "", 0), (0, "b", 2), (1, "", 0), (4, "", 0)]
    answer = post("/v1/models/Thing/records", {"records": [{"int": 1}, {"int": "x"}]}, params=thing.using)
    answer.problem(422, "invalid_value")
    assert answer.pointers() == ["/records/1/int"]
    post("/v1/models/Thing/records", {"records": [{"id": 90}, {"id": 91}, {"id": 50}]}, params=thing.using).problem(409, "unique_violation")
    assert post("/v1/query/count", {"model_name": "Thing", "where": []}, params=thing.using).json() == {"count": 4}
    assert post("/v1/models/Thing/records", {"records": []}, params=thing.using).expect(201).json() == {"rows_inserted": 0}


def test_bulk_as_lines(thing):
    lines = "".join(json.dumps({"int": n, "text": f"zeile {n} ü"}) + "\n" for n in range(5000)).encode()
    answer = thing.client.post("/v1/models/Thing/records", raw=lines, params=thing.using, headers={"Content-Type": "application/x-ndjson"})
    assert answer.expect(201).json() == {"rows_inserted": 5000}
    count = thing.client.post("/v1/query/count", {"model_name": "Thing", "where": [leaf("int", ">=", 4000)]}, params=thing.using).json()
    assert count == {"count": 1000}
    answer = thing.client.post("/v1/models/Thing/records", raw=b'{"int": 1}\n{"int": \n', params=thing.using,
                               headers={"Content-Type": "application/x-ndjson"})
    answer.problem(400, "invalid_json")
    count = thing.client.post("/v1/query/count", {"model_name": "Thing", "where": []}, params=thing.using).json()
    assert count == {"count": 5000}


def test_given_ids_move_the_sequence(thing):
    """After inserts with ids of their own the next generated one collides with nothing."""
    for key in (1, 2, 10):
        create(thing, {"id": key}).expect(201)
    assert create(thing, {}).expect(201).json()["id"] == 11
    thing.client.post("/v1/models/Thing/records", {"records": [{"id": 30}, {"id": 20}]}, params=thing.using).expect(201)
    assert create(thing, {}).expect(201).json()["id"] == 31


def test_location_and_etag_of_a_created_record(thing):
    answer = create(thing, {"int": 5}).expect(201)
    read = thing.client.get(answer.header("Location"), params=thing.using).expect(200)
    assert read.json() == answer.json() and read.header("ETag") == answer.header("ETag")


def test_foreign_spellings_in_the_database_are_read(thing):
    """What other programs stored: other forms of instants, integers in a REAL column, upper-case keys."""
    if thing.backend.name != "sqlite":
        return
    sql(thing.client, "INSERT INTO thing (id, stamptz, dec, uuid, doc, bool) VALUES (1, '2026-01-02 03:04:05+00:00', 5, "
        "'3f4c4ca7-a7e7-40d6-8d83-8f4ddf3285e6', '{\"b\": 1, \"a\": [ ]}', 1)", using=thing.name, verb="execute").expect(200)
    row = thing.client.get("/v1/models/Thing/records/1", params=thing.using).expect(200).json()
    assert row["stamptz"] == "2026-01-02T03:04:05Z" and row["dec"] == "5" and row["bool"] is True and row["doc"] == {"a": [], "b": 1}


def test_storage_forms(thing):
    """What stands in the database is what the reference and other programs expect there."""
    create(thing, {"id": 1, "uuid": "3F4C4CA7-A7E7-40D6-8D83-8F4DDF3285E6", "bool": True, "bytes": b64(b"\x00\xff"), "doc": {"b": 1, "a": 2},
                   "stamptz": "2026-01-02T03:04:05+01:00", "day": "2026-04-27"}).expect(201)
    text = "SELECT uuid, bool, bytes, doc, stamptz, day FROM thing"
    row = sql(thing.client, text, using=thing.name).expect(200).json()["rows"][0]
    assert row["uuid"] == "3f4c4ca7-a7e7-40d6-8d83-8f4ddf3285e6" and row["bytes"] == {"$bytes": b64(b"\x00\xff")}
    assert json.loads(row["doc"]) == {"a": 2, "b": 1} and row["day"] == "2026-04-27"
    if thing.backend.name == "sqlite":
        assert row["bool"] == 1 and row["bool"] is not True and row["stamptz"] == "2026-01-02T02:04:05.000000Z"
    else:
        assert row["bool"] is True and "02:04:05" in row["stamptz"]
    assert placeholder(thing.backend)


def test_bodies_of_create_that_are_none(thing):
    post = thing.client.post
    for body in ([], 5, "x", {"records": 5}, {"records": [5]}, {"records": [], "more": 1}):
        answer = post("/v1/models/Thing/records", body, params=thing.using)
        assert answer.status in (400, 422), answer.body
    post("/v1/models/Nobody/records", {}, params=thing.using).problem(404, "model_not_found")
    thing.client.get("/v1/models/Thing/records/999", params=thing.using).problem(404, "record_not_found")
    answer = thing.client.get("/v1/models/Thing/records/abc", params=thing.using)
    assert (answer.status, answer.json()["code"]) in ((404, "record_not_found"), (422, "invalid_value")), answer.body
