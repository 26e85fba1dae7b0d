"""The reference's QueryIR 14 payloads: each answers here what its own SQL answers."""
import json
import pathlib

import pytest

VECTORS = json.loads((pathlib.Path(__file__).parents[1] / "golden/vectors/ferro-0.26-vectors.json").read_text())
QUERIES = {q["name"]: q for q in VECTORS["queries"]}
DATA = {
    "team": [{"id": 1, "name": "x"}, {"id": 2, "name": "y"}],
    "author": [{"id": 1, "name": "x", "age": 5, "team_id": 1, "score": "1.50", "role": "admin", "seen": "2026-05-01T00:00:00Z", "meta": {"k": 0, "z": 1},
                "key": "00000000-0000-0000-0000-000000000001"},
               {"id": 2, "name": "q", "age": None, "team_id": 2, "score": "2.25", "role": "user"}, {"id": 3, "name": "z", "age": 3, "team_id": None},
               {"id": 8, "name": "x", "age": 5, "team_id": None}, {"id": 9, "name": "w", "age": None, "team_id": 1}],
    "post": [{"id": n, "title": t, "views": v, "author_id": a} for n, (t, v, a) in enumerate(
        [("a1", 3, 1), ("b", 12, 2), ("ab", 5, 1), ("c", 0, 3), ("a", 5, 2), ("d", 20, 9), ("e", 5, 8), ("f", 5, 8)], 1)],
    "tag": [{"id": 1, "label": "x"}, {"id": 2, "label": "y"}],
    "post_tags": [{"post_id": 1, "tag_id": 1}, {"post_id": 1, "tag_id": 2}, {"post_id": 2, "tag_id": 2}, {"post_id": 6, "tag_id": 1}],
}
WRITES = ("update", "delete")


@pytest.fixture
def reference(conn):
    conn.client.put("/v1/models", {"models": VECTORS["models"]}).expect(200)
    conn.client.post("/v1/create-tables", params=conn.using).expect(200)
    names = {m["table_name"]: m["model_name"] for m in VECTORS["models"]}
    for table, rows in DATA.items():
        conn.client.post(f"/v1/models/{names[table]}/records", {"records": rows}, params=conn.using).expect(201)
    return conn


def loose(value):
    """As one form: numbers of whatever kind, times and documents whatever their spelling."""
    if isinstance(value, bool) or value is None:
        return value
    try:
        return round(float(value), 9)
    except (TypeError, ValueError):
        return str(value).replace(".000000", "").replace(" ", "T").replace("+00:00", "Z").replace("+00", "Z")


def test_every_payload_answers_what_its_sql_answers(reference):
    wrong, compared = [], 0
    for name, query in QUERIES.items():
        theirs = query[reference.backend.name]
        if not isinstance(theirs, dict) or (reference.backend.name == "postgres" and ("AS role)" in theirs["sql"])):
            continue  # a native type of its own DDL
        envelope = {"ir_kind": "query", "ir_version": 14, "payload": query["payload"]}
        run = {"sql": theirs["sql"], "args": theirs["params"]}
        word = theirs["sql"].split()[0].lower()
        headers = {"Prefer": "tx=rollback"}
        if word in WRITES:
            body = {"query": envelope} if word == "update" else envelope
            ours = reference.client.post(f"/v1/query/{word}", body, params={**reference.using, "all": "true"}, headers=headers)
            raw = reference.client.post("/v1/sql/execute", run, params=reference.using, headers=headers)
            if ours.status != 200 or raw.status != 200 or ours.json()["rows_affected"] != raw.json()["rows_affected"]:
                wrong.append((name, ours.body[:300], raw.body[:200]))
            compared += 1
            continue
        raw = reference.client.post("/v1/sql/fetch-all", run, params=reference.using, headers={"Prefer": "rows=arrays"}, validate=False)
        if raw.status != 200:  # OFFSET without LIMIT on SQLite, booleans for TRUE: its own faults
            assert name == "offset-only" and reference.backend.name == "sqlite", (name, raw.body[:300])
            continue
        raw = raw.json()
        compared += 1
        if "COUNT(*)" in theirs["sql"]:
            ours = reference.client.post("/v1/query/count", envelope, params=reference.using)
            if ours.status != 200 or ours.json()["count"] != raw["rows"][0][0]:
                wrong.append((name, ours.body[:300], raw["rows"]))
            continue
        ours = reference.client.post("/v1/query", envelope, params=reference.using)
        names = [c["name"] for c in raw["columns"]]
        record = query["payload"]["materialization"]["kind"] == "record"
        shown = [n for n in names if record or n == "id"]
        expected = [[loose(row[names.index(n)]) for n in shown] for row in raw["rows"]]
        if "before" in query["payload"]:
            expected.reverse()
        got = [[loose(row[n]) for n in shown] for row in ours.json()["rows"]] if ours.status == 200 else ours.body[:300]
        ordered = bool(query["payload"]["order_by"]) and not name.startswith("agg")  # groups have ties
        if got != expected and (ordered or not isinstance(got, list) or sorted(map(str, got)) != sorted(map(str, expected))):
            wrong.append((name, got, expected))
    assert not wrong, "\n".join(map(str, wrong))
    assert compared >= 30


def test_nested_records(reference):
    payload = QUERIES["include"]["payload"]
    rows = reference.client.post("/v1/query", {"ir_kind": "query", "ir_version": 14, "payload": payload}, params=reference.using).expect(200).json()["rows"]
    assert [(r["id"], r["author"]["name"], r["author"]["team"]["name"]) for r in rows] == [(2, "q", "y"), (3, "x", "x")]


def test_what_the_payload_says_is_never_dropped(reference):
    """In bare payloads too; a join that is not there for a path, keys that do not fit, a `set` that nobody asked for."""
    bare = {"model_name": "qdefs.Post", "where": []}
    join = QUERIES["join"]["payload"]["joins"]
    rows = reference.client.post("/v1/query", {"model_name": "qdefs.Author", "joins": join}, params=reference.using).expect(200).json()["rows"]
    assert sorted(r["id"] for r in rows) == [1, 2, 9]
    after = {**bare, "order_by": [{"column": "id"}], "after": [6]}
    assert [r["id"] for r in reference.client.post("/v1/query", after, params=reference.using).expect(200).json()["rows"]] == [7, 8]
    assert reference.client.post("/v1/query/first", after, params=reference.using).expect(200).json()["row"]["id"] == 7
    for query, pointer in (({**bare, "order_by": [{"column": "views"}], "after": [6]}, "/after"), ({**after, "before": [7]}, "/after"),
                           ({**after, "offset": 1}, "/after"), ({**bare, "set": [{"column": "views", "value": 1}]}, "/set"),
                           ({**bare, "materialization": {"kind": "tuples"}}, "/materialization/kind")):
        answer = reference.client.post("/v1/query", query, params=reference.using, validate=False)
        answer.problem(422, "invalid_query")
        assert answer.pointers() == [pointer], query
    for road in ("count", "exists", "delete"):
        answer = reference.client.post(f"/v1/query/{road}", after, params={**reference.using, **({"all": "true"} if road == "delete" else {})})
        assert answer.status == 422, road
