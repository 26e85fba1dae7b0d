"""QueryIR over HTTP: operators, null rules, trees, order, limit, offset, and what is refused with a pointer."""
import itertools

import pytest

from support.tables import PERSON, both, create_tables, either, insert, leaf, query

UID = "3f4c4ca7-a7e7-40d6-8d83-8f4ddf3285e6"
PEOPLE = [
    {"id": 1, "username": "taylor", "age": 30, "active": True, "balance": "10.50", "role": "admin",
     "created_at": "2020-01-01T00:00:00Z", "token": UID, "payload": [{"x": 1}]},
    {"id": 2, "username": "jeff", "age": 25, "active": False, "balance": "20", "role": "member",
     "created_at": "2030-01-01T00:00:00Z", "token": "00000000-0000-0000-0000-000000000001", "payload": None},
    {"id": 3, "username": "alice", "age": 35, "active": True, "balance": "0", "role": "member", "created_at": None, "token": None,
     "payload": {"y": [1, None]}},
    {"id": 4, "username": "Al_ice%", "age": None, "active": False, "balance": None, "role": "owner",
     "created_at": "2025-06-01T12:00:00.5+02:00", "token": None, "payload": None},
    {"id": 5, "username": "Élodie", "age": -3, "active": True, "balance": "-1.25", "role": "", "created_at": None, "token": None,
     "payload": "text"},
]


@pytest.fixture
def people(conn):
    create_tables(conn.client, conn.name, PERSON)
    insert(conn.client, conn.name, "Person", PEOPLE)
    return conn


def ids(people, *where, **more):
    more.setdefault("order_by", [{"column": "id", "direction": "asc"}])
    answer = query(people.client, "Person", where, using=people.name, **more).expect(200).json()
    assert answer["row_count"] == len(answer["rows"])
    return [row["id"] for row in answer["rows"]]


CASES = [
    (leaf("age", "==", 30), [1]), (leaf("age", "!=", 30), [2, 3, 5]), (leaf("age", "<", 30), [2, 5]), (leaf("age", "<=", 30), [1, 2, 5]),
    (leaf("age", ">", 30), [3]), (leaf("age", ">=", 30), [1, 3]), (leaf("age", "==", None), [4]), (leaf("age", "!=", None), [1, 2, 3, 5]),
    (leaf("age", "<", None), []), (leaf("age", ">=", None), []), (leaf("age", "IN", [30, 25, 99]), [1, 2]), (leaf("age", "IN", []), []),
    (leaf("age", "IN", [30, None]), [1]), (leaf("age", "IN", None), []), (leaf("age", "IN", 30), [1]),
    (leaf("age", "NOT IN", [30, 25]), [3, 5]), (leaf("age", "NOT IN", [30, None]), []), (leaf("age", "NOT IN", []), [1, 2, 3, 4, 5]),
    (leaf("age", "BETWEEN", [25, 30]), [1, 2]), (leaf("age", "BETWEEN", [30, 25]), []), (leaf("age", "IS NULL"), [4]),
    (leaf("age", "IS NOT NULL"), [1, 2, 3, 5]), (leaf("age", "==", "30"), [1]), (leaf("age", ">", -4), [1, 2, 3, 5]),
    (leaf("username", "==", "taylor"), [1]), (leaf("username", "==", "Taylor"), []), (leaf("username", "==", "' OR '1'='1"), []),
    (leaf("username", "LIKE", "ta%"), [1]), (leaf("username", "LIKE", "%e_f"), [2]), (leaf("username", "ILIKE", "AL%"), [3, 4]),
    (leaf("username", "LIKE", "%\\%"), [4]), (leaf("username", "LIKE", "Al\\_%"), [4]), (leaf("username", "NOT LIKE", "%l%"), [2]),
    (leaf("username", "NOT ILIKE", "%A%"), [2, 5]), (leaf("username", "==", "Élodie"), [5]), (leaf("role", "==", ""), [5]),
    (leaf("active", "==", True), [1, 3, 5]), (leaf("active", "==", False), [2, 4]), (leaf("active", "!=", 1), [2, 4]),
    (leaf("balance", ">", "10"), [1, 2]), (leaf("balance", "<=", 10.5), [1, 3, 5]), (leaf("balance", "==", "10.5"), [1]),
    (leaf("balance", "==", "20.00"), [2]), (leaf("balance", "IN", ["0", "-1.250"]), [3, 5]),
    (leaf("created_at", ">", "2025-01-01T00:00:00Z"), [2, 4]), (leaf("created_at", "<", "2025-01-01T00:00:00+00:00"), [1]),
    (leaf("created_at", "==", "2020-01-01 00:00:00+00:00"), [1]), (leaf("created_at", "==", "2019-12-31T19:00:00-05:00"), [1]),
    (leaf("created_at", "==", "2025-06-01T10:00:00.500Z"), [4]), (leaf("created_at", "==", None), [3, 5]),
    (leaf("token", "==", UID), [1]), (leaf("token", "==", UID.upper()), [1]), (leaf("token", "IN", [UID, "00000000-0000-0000-0000-000000000001"]), [1, 2]),
    (leaf("payload", "==", None), [2, 4]), (leaf("payload", "!=", None), [1, 3, 5]),
    (leaf("age", "==", {"kind": "int", "value": 30}), [1]), (leaf("age", "==", {"kind": "null", "value": None}), [4]),
    (leaf("age", "IN", {"kind": "list", "value": [30]}), [1]),
    ({"node_kind": "not", "operand": leaf("age", "==", 30)}, [2, 3, 5]),
    ({"node_kind": "not", "operand": either(leaf("age", "==", 30), leaf("role", "==", "member"))}, [5]),
    (both(leaf("age", ">", 20), leaf("username", "!=", "taylor")), [2, 3]),
    (either(leaf("age", "<", 30), leaf("username", "==", "alice")), [2, 3, 5]),
    (both(either(leaf("username", "==", "taylor"), leaf("username", "==", "jeff")), leaf("age", ">", 28)), [1]),
    (either(leaf("username", "==", "taylor"), both(leaf("username", "==", "jeff"), leaf("age", ">", 28))), [1]),
]


def test_operators_and_trees(people):
    """Every case with query, first, count and exists; all of them are read before the verdict."""
    wrong = []
    for node, expected in CASES:
        try:
            got = ids(people, node)
            first = query(people.client, "Person", [node], "/first", people.name, order_by=[{"column": "id"}]).expect(200).json()["row"]
            count = query(people.client, "Person", [node], "/count", people.name).expect(200).json()["count"]
            exists = query(people.client, "Person", [node], "/exists", people.name).expect(200).json()["exists"]
        except AssertionError as e:
            wrong.append((node, str(e)[:300]))
            continue
        if got != expected or (first or {}).get("id") != (expected[0] if expected else None) or count != len(expected) \
                or exists != bool(expected):
            wrong.append((node, expected, got, first and first["id"], count, exists))
    assert not wrong, "\n".join(map(str, wrong))


def test_like_has_the_case_rule_of_the_database(people):
    expected = [3, 4] if people.backend.name == "sqlite" else [3]
    assert ids(people, leaf("username", "LIKE", "al%")) == expected


def test_no_predicate_means_all_and_several_are_joined(people):
    assert ids(people) == [1, 2, 3, 4, 5]
    assert ids(people, leaf("age", "<", 35), leaf("age", ">", 20)) == [1, 2]
    answer = people.client.post("/v1/query", {"model_name": "Person"}, params=people.using).expect(200).json()
    assert answer["row_count"] == 5


def test_envelope_is_the_bare_payload(people):
    payload = {"model_name": "Person", "where": [leaf("age", ">=", 30)], "order_by": [{"column": "age", "direction": "desc"}],
               "limit": 1, "offset": None, "m2m": None}
    envelope = {"ir_kind": "query", "ir_version": 1, "payload": payload}
    bare = people.client.post("/v1/query", payload, params=people.using).expect(200).json()["rows"]
    assert people.client.post("/v1/query", envelope, params=people.using).expect(200).json()["rows"] == bare
    assert [row["id"] for row in bare] == [3]


def test_whole_row(people):
    row = query(people.client, "Person", [leaf("id", "==", 1)], "/first", people.name).expect(200).json()["row"]
    assert row == {"id": 1, "username": "taylor", "age": 30, "active": True, "role": "admin", "created_at": "2020-01-01T00:00:00Z",
                   "token": UID, "payload": [{"x": 1}], "balance": "10.5" if people.backend.name == "sqlite" else "10.50"}
    row = query(people.client, "Person", [leaf("id", "==", 4)], "/first", people.name).expect(200).json()["row"]
    assert row["created_at"] == "2025-06-01T10:00:00.5Z" and row["balance"] is None and row["payload"] is None


# ---- order, limit, offset ----

def test_order(people):
    def by(*terms):
        return ids(people, order_by=[dict(zip(("column", "direction", "nulls"), term)) for term in terms])
    assert by(("id", "DESC")) == [5, 4, 3, 2, 1] and by(("id", "Asc")) == [1, 2, 3, 4, 5]
    assert by(("id", "desc")) == [5, 4, 3, 2, 1]
    assert by(("role", "asc"), ("age", "desc")) == [5, 1, 3, 2, 4]
    assert by(("active", "desc"), ("id", "desc")) == [5, 3, 1, 4, 2]
    assert by(("age", "asc", "first")) == [4, 5, 2, 1, 3]
    assert by(("age", "asc", "last")) == [5, 2, 1, 3, 4]
    assert by(("age", "desc", "first")) == [4, 3, 1, 2, 5]
    assert by(("age", "desc", "last")) == [3, 1, 2, 5, 4]
    assert by(("created_at", "asc", "last"), ("id", "asc")) == [1, 4, 2, 3, 5]
    assert by(("balance", "desc", "last")) == [2, 1, 3, 5, 4]


def test_limit_and_offset(people):
    assert ids(people, limit=2) == [1, 2]
    assert ids(people, limit=2, offset=2) == [3, 4]
    assert ids(people, limit=0) == []
    assert ids(people, offset=3) == [4, 5]
    assert ids(people, offset=99) == []
    assert ids(people, limit=100, offset=4) == [5]
    assert query(people.client, "Person", [], "/count", people.name, limit=1, offset=3).json() == {"count": 5}
    row = query(people.client, "Person", [], "/first", people.name, offset=1, order_by=[{"column": "id"}]).json()["row"]
    assert row["id"] == 2


def test_pages_cover_everything_once(people):
    insert(people.client, people.name, "Person", [
        {"id": n, "username": f"u{n}", "active": n % 2 == 0, "role": "x"} for n in range(100, 150)])
    seen = list(itertools.chain.from_iterable(
        ids(people, leaf("role", "==", "x"), limit=7, offset=offset, order_by=[{"column": "id", "direction": "desc"}])
        for offset in range(0, 56, 7)))
    assert seen == list(range(149, 99, -1))


# ---- refusals ----

REFUSED = [
    ({"where": [leaf("nope", "==", 1)]}, "unknown_column", "/where/0/column"),
    ({"where": [leaf("age", "==", 1), both(leaf("id", "==", 1), leaf("nope", "==", 1))]}, "unknown_column", "/where/1/right/column"),
    ({"where": [{"node_kind": "not", "operand": leaf("nope", "==", 1)}]}, "unknown_column", "/where/0/operand/column"),
    ({"order_by": [{"column": "id"}, {"column": "nope"}]}, "unknown_column", "/order_by/1/column"),
    ({"where": [leaf("age", "~", 1)]}, "invalid_query", "/where/0/operator"),
    ({"where": [leaf("age", "like", 1)]}, "invalid_query", "/where/0/operator"),
    ({"where": [both(leaf("id", "==", 1), leaf("id", "==", 1), "XOR")]}, "invalid_query", "/where/0/operator"),
    ({"where": [both(leaf("id", "==", 1), leaf("id", "==", 1), "and")]}, "invalid_query", "/where/0/operator"),
    ({"where": [{"node_kind": "branch"}]}, "invalid_query", "/where/0/node_kind"),
    ({"where": [{"node_kind": "compound", "operator": "AND", "left": leaf("id", "==", 1)}]}, "invalid_query", "/where/0"),
    ({"where": [7]}, "invalid_query", "/where/0"),
    ({"where": {}}, "invalid_query", "/where"),
    ({"order_by": [{"column": "id", "direction": "sideways"}]}, "invalid_query", "/order_by/0/direction"),
    ({"order_by": [{"column": "id", "nulls": "middle"}]}, "invalid_query", "/order_by/0/nulls"),
    ({"limit": -1}, "invalid_query", "/limit"), ({"limit": 1.5}, "invalid_query", "/limit"), ({"limit": "1"}, "invalid_query", "/limit"),
    ({"offset": -1}, "invalid_query", "/offset"), ({"offset": 2 ** 63}, "invalid_query", "/offset"),
    ({"where": [leaf("age", "BETWEEN", [1])]}, "invalid_query", "/where/0"),
    ({"where": [leaf("age", "BETWEEN", 1)]}, "invalid_query", "/where/0"),
    ({"where": [leaf("age", "==", "thirty")]}, "invalid_value", "/where/0/value"),
    ({"where": [leaf("age", "IN", [1, "thirty"])]}, "invalid_value", "/where/0/value/1"),
    ({"where": [leaf("token", "==", "not-a-uuid")]}, "invalid_value", "/where/0/value"),
    ({"where": [leaf("created_at", ">", "yesterday")]}, "invalid_value", "/where/0/value"),
    ({"where": [leaf("active", "==", "yes")]}, "invalid_value", "/where/0/value"),
    ({"where": [leaf("balance", "==", "ten")]}, "invalid_value", "/where/0/value"),
    ({"where": [leaf("username", "==", 5)]}, "invalid_value", "/where/0/value"),
]


def test_refusals_name_the_place(people):
    wrong = []
    for body, code, pointer in REFUSED:
        for path in ("", "/first", "/count", "/exists"):
            answer = people.client.post(f"/v1/query{path}", {"model_name": "Person", "where": [], **body}, params=people.using)
            if (answer.status, answer.json().get("code")) != (422, code) or \
                    not any(p == pointer or p.startswith(pointer + "/") for p in answer.pointers()):
                wrong.append((path, body, code, pointer, answer.body[:300]))
    assert not wrong, "\n".join(map(str, wrong))


def test_other_refusals(people):
    post = people.client.post
    post("/v1/query", {"model_name": "Nobody", "where": []}, params=people.using).problem(404, "model_not_found")
    post("/v1/query", {"where": []}, params=people.using).problem(422, "invalid_query")
    for envelope in ({"ir_kind": "schema", "ir_version": 1, "payload": {"model_name": "Person"}},
                     {"ir_kind": "query", "ir_version": 15, "payload": {"model_name": "Person"}}):
        post("/v1/query", envelope, params=people.using).problem(422, "invalid_query")
    deep = leaf("id", "==", 1)
    for _ in range(40):
        deep = both(deep, leaf("id", "==", 1))
    assert post("/v1/query", {"model_name": "Person", "where": [deep]}, params=people.using).status in (200, 400, 422)


STRANGE = [
    ({"comment": "y"}, "/comment"),
    ({"where": [dict(leaf("age", "==", 30), note="x")]}, "/where/0/note"),
    ({"where": [{"node_kind": "not", "operand": dict(leaf("age", "==", 30), of="x")}]}, "/where/0/operand/of"),
    ({"where": [dict(both(leaf("age", "==", 30), leaf("id", "==", 1)), value=1)]}, "/where/0/value"),
    ({"order_by": [{"column": "id", "collate": "C"}]}, "/order_by/0/collate"),
    ({"aggregates": [{"fn": "count", "as": "n", "distinct": True}]}, "/aggregates/0/distinct"),
    ({"limits": 1}, "/limits"),
]


def refused_at(answer):
    answer.problem(422, "invalid_query")
    return answer.pointers()


@pytest.mark.parametrize("members,pointer", STRANGE, ids=[s[1] for s in STRANGE])
def test_what_is_not_understood_is_never_dropped(people, members, pointer):
    """A member that would change the result is refused on every road, with its place; nothing is written."""
    query = {"model_name": "Person", **members}
    before = people.client.post("/v1/query", {"model_name": "Person"}, params=people.using).json()
    for road in ("query", "query/first", "query/count", "query/exists", "query/explain", "query/delete?all=true"):
        path, _, args = road.partition("?")
        params = dict(people.using, **({"all": "true"} if args else {}))
        assert refused_at(people.client.post(f"/v1/{path}", query, params=params)) == [pointer], road
    envelope = {"ir_kind": "query", "ir_version": 1, "payload": query}
    assert refused_at(people.client.post("/v1/query", envelope, params=people.using)) == ["/payload" + pointer]
    assert refused_at(people.client.post("/v1/query/update", {"query": query, "set": {"age": 1}},
                                params=dict(people.using, all="true"))) == ["/query" + pointer]
    for op, more in (("query", {}), ("count", {}), ("update", {"set": {"age": 1}}), ("delete", {})):
        step = {"op": op, "query": query, **more}
        answer = people.client.post("/v1/batch", {"steps": [step]}, params=dict(people.using, all="true"))
        assert refused_at(answer) == ["/steps/0/query" + pointer], op
    assert people.client.post("/v1/query", {"model_name": "Person"}, params=people.using).json() == before


def test_an_expression_is_never_stored_as_a_document(people):
    def set_payload(value):
        return people.client.post("/v1/query/update", {"query": {"model_name": "Person", "where": [leaf("id", "==", 1)]},
                                                       "set": {"payload": value}}, params=people.using)

    def payload():
        return people.client.get("/v1/models/Person/records/1", params=people.using).json()["payload"]
    assert refused_at(set_payload({"$marge": {"a": 1}})) == ["/set/payload/$marge"] and payload() == [{"x": 1}]
    set_payload({"$json": {"$marge": {"a": 1}}}).expect(200)
    assert payload() == {"$marge": {"a": 1}}


def test_a_batch_does_not_read_elsewhere(people):
    step = {"op": "count", "query": {"model_name": "Person", "using": "elsewhere"}}
    assert refused_at(people.client.post("/v1/batch", {"steps": [step]}, params=people.using)) == ["/steps/0/query/using"]
    step["query"]["using"] = people.name
    people.client.post("/v1/batch", {"steps": [step]}, params=people.using).expect(200)


def test_large_in_list(people):
    """As many elements as a statement takes parameters; past that a refusal that says where."""
    assert ids(people, leaf("id", "IN", list(range(2, 30002)))) == [2, 3, 4, 5]
    answer = query(people.client, "Person", [leaf("id", "IN", list(range(70000)))], using=people.name)
    answer.problem(422, "invalid_query")
    assert answer.pointers() == ["/where/0"]


def test_column_that_the_table_lacks(people):
    """The model has it, the database does not: an error of the database, not a silent literal."""
    wider = dict(PERSON, columns=PERSON["columns"] + [{"name": "ghost", "logical_type": "string", "nullable": True}])
    people.client.put("/v1/models", {"models": [wider]}).expect(200)
    answer = query(people.client, "Person", [leaf("ghost", "==", "ghost")], using=people.name)
    answer.problem(400, "sql_error")
