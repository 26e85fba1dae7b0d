"""Values of several types in one place: branches of $coalesce and $case, and what is compared; the same on both databases."""
import json
from decimal import Decimal

import pytest

from support.schema import column, model, register

UUID = "6f1b0a3e-0c3b-4f5e-9d8e-111111111111"
LONG = 9007199254740993
COLUMNS = [column("t"), column("i", "integer", db_type="bigint"), column("n", "integer"), column("x", "number"), column("d", "decimal"), column("dt", "decimal", db_type="text"), column("b", "boolean"),
           column("u", "uuid"), column("ut", "uuid", db_type="text"), column("at", "datetime", db_type="timestamptz"), column("ts", "datetime", db_type="timestamp"), column("att", "datetime", db_type="text"),
           column("day", "date"), column("dayt", "date", db_type="text"), column("clock", "time", db_type="time"), column("ct", "time"), column("bin", "binary"), column("j", "json"), column("data", "json"),
           column("old", "json", db_type="json"), column("e", enum_values=["w", "v"], enum_type_name="mixed_kind", postgres_native_enum=True)]
VALUES = {"t": "w", "i": LONG, "n": 5, "x": 0.5, "d": "1234567.25", "dt": "123456789012345678901234567890.1", "b": True, "u": UUID, "ut": UUID, "at": "2026-01-02T03:04:05.25Z", "ts": "2026-01-02T03:04:05",
          "att": "2026-01-02T03:04:05.5Z", "day": "2026-01-02", "dayt": "2026-01-02", "clock": "03:04:05.5", "ct": "03:04:05", "bin": "AAEC", "j": {"a": 1}, "e": "w"}
# the same, as others may write it in a document
SPELLED = {**VALUES, "i": str(LONG), "n": "5.0", "x": "5e-1", "d": "+1234567.250", "b": "True", "u": UUID.replace("-", "").upper(), "ut": UUID.upper(), "at": "2026-01-02 05:04:05.250+02:00", "ts": "2026-01-02T03:04:05Z",
           "att": "2026-01-02T03:04:05.500000", "clock": "03:04:05.500000", "ct": "03:04:05.000"}
# nothing of the column's kind
NONE = {"i": "5a", "n": "", "x": "0x1", "d": "1.2.3", "dt": "-", "b": "yes", "u": UUID[:-1], "ut": "x", "at": "2026-02-30T00:00:00Z", "ts": "2026-01-02", "att": "now", "day": "2025-02-29", "dayt": "0000-01-01", "clock": "25:00:00", "ct": "3pm"}
READ = list(NONE)


def at(name, value, operator="==", **more):
    return {"node_kind": "leaf", "column": name, "operator": operator, "value": value, **more}


@pytest.fixture
def db(conn):
    register(conn.client, model("d", *COLUMNS))
    conn.client.post("/v1/create-tables", {}, params=conn.using).expect(200)
    rows = [{"id": 1, **VALUES, "data": SPELLED, "old": SPELLED}, {"id": 2}, {"id": 3, **VALUES, "data": NONE, "old": NONE}, {"id": 4, **VALUES, "data": {}, "old": {}}]
    for row in rows:
        conn.client.post("/v1/models/d/records", row, params=conn.using).expect(201)
    return conn


def ask(db, **query):
    return db.client.post("/v1/query", {"model_name": "d", "order_by": [{"column": "id"}], **query}, params=db.using, validate=False)


def ids(db, *where):
    return [row["id"] for row in ask(db, select=["id"], where=list(where)).expect(200).json()["rows"]]


def test_a_text_is_read_as_what_it_is_compared_with(db):
    for name in READ:
        for document in ("data", "old"):
            path = {"path": [name], "type": "text"}
            for operator, expected in (("==", [1]), ("!=", []), ("<=", [1]), ("<", []), (">", []), ("is_distinct", [3, 4]), ("is_not_distinct", [1, 2])):
                if operator in ("<", "<=", ">") and name in ("b", "ut", "dt"):
                    continue  # no order of these
                assert ids(db, at(name, {"$column": document, **path}, operator)) == expected, (name, document, operator)
                mirrored = {"<": ">", ">": "<", "<=": ">="}.get(operator, operator)
                assert ids(db, {**at(document, {"$column": name}, mirrored), **path}) == expected, (name, document, operator)
            assert ids(db, at(name, {"$coalesce": [{"$column": document, **path}, "none of its kind"]})) == [1], name
            assert ids(db, {"node_kind": "not", "operand": at(name, {"$column": document, **path})}) == []


def test_texts_of_the_row_are_read_too(db):
    db.client.post("/v1/query/update", {"query": {"model_name": "d", "where": [at("id", 1)]}, "set": {"t": "2026-01-02T04:04:05.25+01:00"}}, params=db.using).expect(200)
    assert ids(db, at("at", {"$column": "t"})) == [1] == ids(db, at("t", {"$column": "at"}))
    assert ids(db, at("at", {"$column": "t"}, "is_distinct")) == [3, 4]
    assert ids(db, at("at", {"$concat": ["2026-01-02T03:04:", "05.25Z"]})) == [1, 3, 4]
    assert ids(db, {"node_kind": "leaf", "expr": {"$lower": {"$column": "t"}}, "operator": ">=", "value": {"$column": "ts"}}) == [1]


def test_what_has_no_order_beside_another_is_refused(db):
    """Not compared in one database, and refused by the other."""
    for name, other in (("b", "i"), ("i", "b"), ("at", "i"), ("u", "at"), ("bin", "t"), ("t", "bin"), ("clock", "day"), ("d", "day"), ("x", "u")):
        problem = ask(db, where=[at(name, {"$column": other})]).problem(422, "invalid_query")
        assert [e["pointer"] for e in problem["errors"]] == ["/where/0/value"], (name, other)
    for kind, name in (("number", "t"), ("boolean", "t")):  # a text is a number, or none
        assert ids(db, at(name, {"$column": "data", "path": ["a"], "type": kind})) == []
    ask(db, where=[at("at", {"$column": "data", "path": ["at"], "type": "number"})]).problem(422, "invalid_query")


def test_enums_are_compared_as_texts_with_others(db):
    for value in ({"$column": "t"}, {"$column": "data", "path": ["e"], "type": "text"}, {"$lower": {"$column": "t"}}):
        expected = [1] if "path" in value else [1, 3, 4]
        assert ids(db, at("e", value)) == expected, value
    assert ids(db, at("t", {"$column": "e"})) == [1, 3, 4]
    assert ids(db, at("e", {"$column": "e"})) == [1, 3, 4]


def test_numbers_of_different_kinds_are_compared_with_all_their_digits(db):
    db.client.patch("/v1/models/d/records/1", {"x": LONG - 1, "d": "0.5"}, params=db.using).expect(200)
    assert ids(db, at("i", {"$column": "x"})) == [] and ids(db, at("i", {"$column": "x"}, ">")) == [1, 3, 4] and ids(db, at("x", {"$column": "i"}, "<")) == [1, 3, 4]
    assert ids(db, at("x", {"$column": "d"}, "<")) == [3, 4] and ids(db, at("n", {"$column": "d"}, ">")) == [1]
    assert ids(db, at("d", {"$column": "x"}, "<=")) == [1]


def made(db, expr, *where):
    rows = json.loads(ask(db, select=[{"expr": expr, "as": "v"}], where=list(where)).expect(200).body, parse_float=Decimal)["rows"]
    return [row["v"] for row in rows]


def column_(name):
    return {"$column": name}


# branches, and what they give for the first record and the second, which has only nulls
MIXES = [
    ([None, 5], [5, 5]), ([None, 2.5], [2.5, 2.5]), ([None, True], [True, True]), ([None, "w"], ["w", "w"]), ([None, None], [None, None]), ([None, {"$json": {"a": 1}}], [{"a": 1}, {"a": 1}]), ([1, 2.5], [1, 1]), ([LONG, 2.5], [LONG, LONG]),
    (["i", 2.5], [LONG, 2.5]), ([2.5, "i"], [2.5, 2.5]), (["i", "x"], [LONG, None]), (["x", LONG], [0.5, LONG]), (["n", 3000000000], [5, 3000000000]), (["n", "i"], [5, None]),
    (["d", LONG], ["1234567.25", str(LONG)]), (["i", "d"], [str(LONG), None]), ([1, "d"], ["1", "1"]), (["d", "dt"], ["1234567.25", None]), (["dt", "d"], [VALUES["dt"], None]), (["dt", 1], [VALUES["dt"], "1"]), (["i", "dt"], [str(LONG), None]),
    (["at", "day"], [VALUES["at"], None]), (["day", "at"], ["2026-01-02T00:00:00Z", None]), (["dayt", "at"], ["2026-01-02T00:00:00Z", None]), (["ts", "at"], ["2026-01-02T03:04:05Z", None]), (["at", "ts"], [VALUES["at"], None]),
    (["ts", "day"], [VALUES["ts"], None]), (["day", "ts"], ["2026-01-02T00:00:00", None]), (["att", "day"], [VALUES["att"], None]), (["day", "att"], ["2026-01-02T00:00:00Z", None]), (["att", "ts"], [VALUES["att"], None]),
    (["day", "dayt"], ["2026-01-02", None]), (["u", "ut"], [UUID, None]), (["ut", "u"], [UUID, None]), (["clock", "ct"], ["03:04:05.5", None]), (["ct", "clock"], ["03:04:05", None]), (["j", "t"], [{"a": 1}, None]),
    (["day", "2026-03-01T00:00:00Z"], None), (["e", "t"], ["w", None]), (["t", "e"], ["w", None]),
]


def branch(value):
    return column_(value) if isinstance(value, str) and value in VALUES else value


def test_one_type_for_all_branches(db):
    first, second = at("id", 1), at("id", 2)
    for values, expected in MIXES:
        branches = [branch(v) for v in values]
        if expected is None:  # no day
            ask(db, select=[{"expr": {"$coalesce": branches}, "as": "v"}]).problem(422, "invalid_value")
            continue
        assert made(db, {"$coalesce": branches}, at("id", 3, "<")) == expected, values
        # each branch alone has the type of both
        one = made(db, {"$case": {"when": [[first, branches[0]]], "else": branches[1]}}, at("id", 1))[0]
        other = made(db, {"$case": {"when": [[second, branches[0]]], "else": branches[1]}}, at("id", 1))[0]
        swapped = made(db, {"$coalesce": [branches[1], branches[0]] if "j" not in values else branches[1:]}, at("id", 1))[0]
        assert one == (expected[0] if values[0] is not None else None), values
        assert other == (swapped if values[1] is not None else None), values


def test_now_has_the_type_of_the_others(db):
    day, instant, naive, clock = (made(db, {"$coalesce": [column_(name), {"$now": True}]}, at("id", 2))[0] for name in ("day", "at", "ts", "clock"))
    assert len(day) == 10 and instant[:10] == naive[:10] == day and instant.endswith("Z") and not naive.endswith("Z") and clock[2] == ":"
    assert made(db, {"$coalesce": [{"$now": True}, "2026-01-02T03:04:05Z"]}, at("id", 2))[0].endswith("Z")
    assert len(made(db, {"$coalesce": [{"$now": True}, column_("dayt")]}, at("id", 1))[0]) == 10


def test_branches_that_do_not_meet(db):
    for branches, pointer in (([1, "w"], 1), (["w", 1], 1), ([True, 1.5], 1), ([1, True], 1)):
        expr = {"$coalesce": branches}
        problem = ask(db, select=[{"expr": expr, "as": "v"}]).problem(422, "invalid_value")
        assert [e["pointer"] for e in problem["errors"]] == [f"/select/0/expr/$coalesce/{pointer}"], branches


def test_mixes_are_ordered_grouped_and_written(db):
    exact = {"$coalesce": [column_("i"), 2.5]}
    assert ids(db, {"node_kind": "leaf", "expr": exact, "operator": "==", "value": LONG}) == [1, 3, 4]
    assert ids(db, {"node_kind": "leaf", "expr": exact, "operator": "==", "value": LONG - 1}) == []
    assert ids(db, {"node_kind": "leaf", "expr": exact, "operator": "<", "value": 3}) == [2]
    rows = ask(db, order_by=[{"expr": exact}, {"column": "id"}], select=["id"]).expect(200).json()["rows"]
    assert [row["id"] for row in rows] == [2, 1, 3, 4]
    body = {"query": {"model_name": "d", "where": [at("id", 2)]}, "set": {"at": {"$coalesce": [column_("at"), column_("ts"), "2026-05-06T07:08:09Z"]}, "d": {"$case": {"when": [[at("n", 5), column_("n")]], "else": 7}},
                                                                         "x": {"$coalesce": [column_("x"), column_("d"), 3]}, "day": {"$case": {"when": [[at("n", 5), None]], "else": {"$now": True}}}}}
    db.client.post("/v1/query/update", body, params=db.using).expect(200)
    record = db.client.get("/v1/models/d/records/2", params=db.using).expect(200).json()
    assert (record["at"], record["d"], record["x"]) == ("2026-05-06T07:08:09Z", "7", 3) and len(record["day"]) == 10
