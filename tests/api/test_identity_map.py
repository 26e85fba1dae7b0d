"""The identity map, operation by operation (reference section 4), on both databases."""
import threading
import time

import pytest

from support.library import column, key, model, refer
from support.process import wait_for
from support.server import Server
from support.client import Client
from support.shared import shared_fixture
from support.tables import create_tables, insert, leaf, query, sql

THING = model("Thing", key(), column("label", "string", nullable=True), column("n", "integer", nullable=True),
              relations=[{"name": "marks", "kind": "many_to_many", "target": "Mark", "through": "thing_marks", "source_column": "thing_id",
                          "target_column": "mark_id"}])
MARK = model("Mark", key(), column("label", "string"))
PART = model("Part", key(), column("thing_id", "integer"), foreign_keys=[refer("thing", "thing_id", on_delete="CASCADE", related_name="parts")])
SCREW = model("Screw", key(), column("part_id", "integer", nullable=True),
              foreign_keys=[refer("part", "part_id", on_delete="SET NULL", related_name="screws")])
THING_MARKS = model("ThingMarks", key("thing_id", autoincrement=False), key("mark_id", autoincrement=False), table_name="thing_marks",
                    foreign_keys=[refer("thing", "thing_id"), refer("mark", "mark_id")])
THING["relations"].append({"name": "parts", "kind": "reverse", "target": "Part", "column": "thing_id"})
MODELS = [THING, MARK, PART, SCREW, THING_MARKS]
RECORDS = "/v1/models/Thing/records"


def prepare(conn):
    create_tables(conn.client, conn.name, *MODELS)


_shared = shared_fixture(prepare)


class Session:
    """A session, what others change behind its back, and what it still has."""

    def __init__(self, conn, **options):
        self.conn = conn
        self.client = conn.client.session(using=conn.name, **options)
        self.other = conn.client

    def behind(self, text):
        sql(self.other, text, using=self.conn.name, verb="execute").expect(200)

    def get(self, number, model="Thing", client=None, **headers):
        answer = (client or self.client).get(f"/v1/models/{model}/records/{number}", headers=headers).expect(200)
        return answer.header("Ferro-Identity"), answer.json()

    def state(self, number, model="Thing"):
        """hit or miss of a key, asked without leaving a trace that matters."""
        return self.get(number, model)[0]

    def stats(self):
        return self.client.get("/v1/session").expect(200).json()["identity_map"]

    def stale(self):
        """Things 1, 2 and 3 and Mark 1 are mapped; then every one of them is changed in the database."""
        for number in (1, 2, 3):
            self.get(number)
        self.get(1, "Mark")
        self.behind("UPDATE thing SET label = 'stored'")
        self.behind("UPDATE mark SET label = 'stored'")

    def mapped(self):
        """Which of the things 1, 2, 3 are answered from the map."""
        return [n for n in (1, 2, 3) if self.get(n)[0] == "hit"]

    def post(self, path, body=None, status=200, **kwargs):
        return self.client.post(path, body, **kwargs).expect(status)


@pytest.fixture
def s(server, _shared):
    for table in ("thing_marks", "screw", "part", "thing", "mark"):
        sql(_shared.client, f"DELETE FROM {table}", using=_shared.name, verb="execute").expect(200)
    insert(_shared.client, _shared.name, "Thing", [{"id": n, "label": f"old{n}", "n": n} for n in range(1, 6)])
    insert(_shared.client, _shared.name, "Mark", [{"id": n, "label": f"mark{n}"} for n in range(1, 4)])
    session = Session(_shared)
    yield session
    session.client.delete("/v1/session?rollback=true").expect(204)


def where(column_name, operator, value):
    return {"model_name": "Thing", "where": [leaf(column_name, operator, value)]}


# ---- the rows of the table ----

def test_get(s):
    """Answered from the map; a key that is not there fills it; a record that is gone is 404 once it is asked for again."""
    assert s.get(1) == ("miss", {"id": 1, "label": "old1", "n": 1})
    s.behind("UPDATE thing SET label = 'stored' WHERE id = 1")
    assert s.get(1) == ("hit", {"id": 1, "label": "old1", "n": 1})
    s.behind("DELETE FROM thing WHERE id = 1")
    assert s.get(1)[0] == "hit"
    s.client.get(f"{RECORDS}/1", headers={"Cache-Control": "no-cache"}).problem(404, "record_not_found")
    s.client.get(f"{RECORDS}/1").problem(404, "record_not_found")


@pytest.mark.parametrize("read", ["list", "query", "first", "relation", "ndjson", "batch"])
def test_reads_of_rows(s, read):
    """Per row: the mapped one wins unrefreshed, though the filter saw the database; unmapped rows enter."""
    insert(s.other, s.conn.name, "Part", [{"id": 1, "thing_id": 1}])
    s.get(1)
    s.behind("UPDATE thing SET label = 'stored' WHERE id = 1")
    order = [{"column": "id"}]
    if read == "list":
        rows = s.client.get(RECORDS, params={"order": "id", "limit": 2}).expect(200).json()["rows"]
    elif read == "query":
        rows = s.post("/v1/query", {**where("label", "==", "stored"), "order_by": order}).json()["rows"] + [{"id": 2, "label": "old2"}]
        s.post("/v1/query", where("id", "==", 2))
    elif read == "first":
        rows = [s.post("/v1/query/first", {**where("id", ">=", n), "order_by": order}).json()["row"] for n in (1, 2)]
    elif read == "relation":
        rows = [s.client.get("/v1/models/Part/records/1/thing").expect(200).json()["row"], {"id": 2, "label": "old2"}]
        s.get(2)
    elif read == "ndjson":
        answer = s.post("/v1/query", {**where("id", "<=", 2), "order_by": order}, headers={"Accept": "application/x-ndjson"})
        assert '"old1"' in answer.text and "stored" not in answer.text
        rows = [{"id": 1, "label": "old1"}, {"id": 2, "label": "old2"}]
    else:
        steps = [{"op": "query", "query": {**where("id", "<=", 2), "order_by": order}}]
        rows = s.post("/v1/batch", {"steps": steps}).json()["results"][0]["body"]["rows"]
    assert [(r["id"], r["label"]) for r in rows] == [(1, "old1"), (2, "old2")]
    assert s.state(2) == "hit"


def test_partial_selects_neither_fill_nor_read(s):
    s.get(1)
    s.behind("UPDATE thing SET label = 'stored' WHERE id = 1")
    rows = s.client.get(RECORDS, params={"select": "id,label", "order": "id", "limit": 2}).expect(200).json()["rows"]
    assert rows == [{"id": 1, "label": "stored"}, {"id": 2, "label": "old2"}]
    assert s.state(2) == "miss" and s.get(1) == ("hit", {"id": 1, "label": "old1", "n": 1})


def test_count_and_exists(s):
    s.stale()
    assert s.post("/v1/query/count", where("label", "==", "stored")).json() == {"count": 5}
    assert s.post("/v1/query/exists", where("label", "==", "old1")).json() == {"exists": False}
    assert s.stats()["size"] == 4 and s.mapped() == [1, 2, 3]


def test_create_save_and_patch_overwrite_their_key(s):
    s.stale()
    made = s.post(RECORDS, {"label": "new"}, 201).json()
    assert s.get(made["id"]) == ("hit", made)
    assert s.client.put(f"{RECORDS}/1", {"label": "put"}).expect(200).json() == {"id": 1, "label": "put", "n": None}
    assert s.get(1) == ("hit", {"id": 1, "label": "put", "n": None})
    assert s.client.patch(f"{RECORDS}/2", {"n": 9}).expect(200).json() == {"id": 2, "label": "stored", "n": 9}
    assert s.get(2) == ("hit", {"id": 2, "label": "stored", "n": 9})
    assert s.get(3)[1]["label"] == "old3"
    s.client.put(f"{RECORDS}/77", {"label": "made"}).expect(201)
    assert s.get(77)[0] == "hit"
    s.behind("DELETE FROM thing WHERE id = 77")
    s.client.patch(f"{RECORDS}/77", {"n": 1}).problem(404, "record_not_found")
    s.client.get(f"{RECORDS}/77").problem(404, "record_not_found")


def test_bulk_create(s):
    """Fills nothing, evicts nothing; one that may change rows (on_conflict=update) forgets the model's."""
    s.stale()
    s.post(RECORDS, {"records": [{"id": 70}, {"id": 71}]}, 201)
    s.post(f"{RECORDS}?on_conflict=ignore", {"records": [{"id": 1, "label": "ignored"}]}, 201)
    assert s.stats()["size"] == 4 and s.mapped() == [1, 2, 3]
    assert s.state(70) == "miss"
    s.post(f"{RECORDS}?on_conflict=update", {"records": [{"id": 1, "label": "upserted"}]}, 201)
    assert s.get(1) == ("miss", {"id": 1, "label": "upserted", "n": 1})


def test_get_or_create_and_update_or_create(s):
    s.stale()
    found = s.post("/v1/models/Thing/get-or-create", {"where": {"id": 1}, "defaults": {"label": "x"}}).json()
    assert found == {"record": {"id": 1, "label": "old1", "n": 1}, "created": False}
    made = s.post("/v1/models/Thing/get-or-create", {"where": {"label": "fresh"}}, 201).json()["record"]
    assert s.get(made["id"]) == ("hit", made)
    changed = s.post("/v1/models/Thing/update-or-create", {"where": {"id": 2}, "defaults": {"n": 8}}).json()
    assert changed == {"record": {"id": 2, "label": "stored", "n": 8}, "created": False}
    assert s.get(2) == ("hit", changed["record"])


def test_refresh(s):
    s.stale()
    answer = s.post(f"{RECORDS}/1/refresh")
    assert answer.header("Ferro-Identity") == "refresh" and answer.json()["label"] == "stored"
    assert s.get(1)[1]["label"] == "stored" and s.get(2)[1]["label"] == "old2"
    s.behind("DELETE FROM thing WHERE id = 3")
    s.client.post(f"{RECORDS}/3/refresh").problem(404, "record_not_found")
    s.client.get(f"{RECORDS}/3").problem(404, "record_not_found")
    answer = s.client.get(f"{RECORDS}/2", headers={"Cache-Control": "no-cache"}).expect(200)
    assert answer.header("Ferro-Identity") == "refresh" and s.get(2) == ("hit", answer.json())


def test_delete_forgets_the_model(s):
    s.stale()
    s.client.delete(f"{RECORDS}/1").expect(204)
    assert s.state(2) == "miss"
    s.client.get(f"{RECORDS}/1").problem(404, "record_not_found")
    assert s.state(1, "Mark") == "hit"


@pytest.mark.parametrize("path, body", [
    ("update", {"query": where("id", "==", 1), "set": {"n": 5}}), ("update", {"query": where("id", "==", 99), "set": {"n": 5}}),
    ("delete", where("id", "==", 5)), ("delete", where("id", "==", 99))])
def test_update_and_delete_by_query_forget_the_model(s, path, body):
    """Even when no row was changed; other models stay."""
    s.stale()
    s.post(f"/v1/query/{path}", body)
    assert s.mapped() == []
    assert s.state(1, "Mark") == "hit" and s.get(1)[1]["label"] == "stored"


def test_cascades_forget_what_they_reach(s):
    """A delete that takes records of other models along, or changes them, leaves none of them behind in the map."""
    insert(s.other, s.conn.name, "Part", [{"id": 1, "thing_id": 1}])
    insert(s.other, s.conn.name, "Screw", [{"id": 1, "part_id": 1}])
    for number in range(2):
        s.get(1, "Part"), s.get(1, "Screw"), s.get(1, "Mark")
    s.client.delete(f"{RECORDS}/1").expect(204)
    s.client.get("/v1/models/Part/records/1").problem(404, "record_not_found")
    assert s.get(1, "Screw") == ("miss", {"id": 1, "part_id": None})
    assert s.state(1, "Mark") == "hit"


def test_links(s):
    s.stale()
    for method, body in (("PUT", {"ids": [1, 2]}), ("DELETE", {"ids": [1]}), ("DELETE", None)):
        s.client.request(method, f"{RECORDS}/1/marks", body).expect(200)
    assert s.mapped() == [1, 2, 3] and s.get(1, "Mark") == ("hit", {"id": 1, "label": "mark1"})


def test_commit_keeps(s):
    s.stale()
    inside = s.client.transaction()
    inside.patch(f"{RECORDS}/1", {"n": 50}).expect(200)
    inside.post(f"/v1/transactions/{inside.headers['Ferro-Transaction']}/commit").expect(200)
    assert s.mapped() == [1, 2, 3] and s.get(1)[1]["n"] == 50


@pytest.mark.parametrize("savepoint", [False, True])
def test_rollback_clears_everything(s, savepoint):
    s.stale()
    outer = s.client.transaction()
    inner = outer.transaction() if savepoint else outer
    inner.post(RECORDS, {"id": 60, "label": "gone"}).expect(201)
    inner.post(f"/v1/transactions/{inner.headers['Ferro-Transaction']}/rollback").expect(200)
    assert s.stats()["size"] == 0
    reader = outer if savepoint else s.client
    reader.get(f"{RECORDS}/60").problem(404, "record_not_found")
    assert s.get(1, client=reader) == ("miss", {"id": 1, "label": "stored", "n": 1})
    if savepoint:
        outer.post(f"/v1/transactions/{outer.headers['Ferro-Transaction']}/rollback").expect(200)


@pytest.mark.parametrize("looked_at", [False, True])
def test_the_end_by_the_server_clears_everything(s, looked_at):
    """A transaction past its timeout is rolled back like any other: what it wrote must not be answered from the map."""
    s.stale()
    late = s.client.transaction(timeout_seconds=0.3)
    late.patch(f"{RECORDS}/1", {"label": "never committed"}).expect(200)
    assert s.get(1, client=late) == ("hit", {"id": 1, "label": "never committed", "n": 1})
    assert s.get(1) == ("hit", {"id": 1, "label": "old1", "n": 1}), "what is not committed stays inside"
    path = f"/v1/transactions/{late.headers['Ferro-Transaction']}"
    if looked_at:
        time.sleep(0.3)
        assert late.get(path).json()["state"] == "expired"
    else:
        wait_for(lambda: s.client.get("/v1/session").json()["transactions"] == [], 10, "the end of the transaction")
    assert s.get(1) == ("miss", {"id": 1, "label": "stored", "n": 1})


def test_undone_writes_leave_no_trace(s):
    """Prefer: tx=rollback: neither what was written nor an eviction stays."""
    s.stale()
    undo = {"Prefer": "tx=rollback"}
    assert s.client.patch(f"{RECORDS}/1", {"n": 99}, headers=undo).expect(200).json()["n"] == 99
    s.client.put(f"{RECORDS}/61", {"n": 99}, headers=undo).expect(201)
    made = s.post(RECORDS, {"n": 99}, 201, headers=undo).json()
    s.post("/v1/query/update", {"query": where("id", "==", 2), "set": {"n": 99}}, headers=undo)
    s.client.delete(f"{RECORDS}/3", headers=undo).expect(204)
    assert s.mapped() == [1, 2, 3] and s.get(1)[1] == {"id": 1, "label": "old1", "n": 1}
    for number in (61, made["id"]):
        s.client.get(f"{RECORDS}/{number}").problem(404, "record_not_found")


def test_failed_writes_leave_no_trace(s):
    s.stale()
    s.client.post(RECORDS, {"id": 1, "label": "taken"}).problem(409, "unique_violation")
    s.client.patch(f"{RECORDS}/1", {"n": "x"}).problem(422, "invalid_value")
    s.post("/v1/query/update", {"query": where("id", ">", 0), "set": {"n": 0}}, 409, headers={"Prefer": "max-affected=1"})
    assert s.mapped() == [1, 2, 3] and s.get(1)[1]["label"] == "old1"


def test_raw_sql_that_writes_counts_for_every_model(s):
    s.stale()
    s.post("/v1/sql/fetch-all", {"sql": "SELECT * FROM thing"})
    s.post("/v1/sql/fetch-one", {"sql": "SELECT count(*) AS n FROM mark"})
    assert s.mapped() == [1, 2, 3] and s.get(1)[1]["label"] == "old1" and s.stats()["size"] == 4
    s.post("/v1/sql/execute", {"sql": "UPDATE thing SET label = 'raw'"})
    assert s.stats()["size"] == 0
    assert s.get(1) == ("miss", {"id": 1, "label": "raw", "n": 1}) and s.state(1, "Mark") == "miss"


def test_evict_one(s):
    s.stale()
    s.client.delete("/v1/session/identity-map/Thing/2").expect(204)
    assert s.state(1) == "hit" and s.get(2) == ("miss", {"id": 2, "label": "stored", "n": 2}) and s.state(1, "Mark") == "hit"
    s.client.delete("/v1/session/identity-map").expect(204)
    assert s.stats()["size"] == 0


def test_two_sessions_never_see_each_other(s):
    second = Session(s.conn)
    s.get(1)
    second.client.patch(f"{RECORDS}/1", {"label": "by the second"}).expect(200)
    assert s.get(1)[1]["label"] == "old1" and second.get(1)[1]["label"] == "by the second"
    second.client.delete("/v1/session").expect(204)
    fresh = Session(s.conn)
    assert fresh.get(1) == ("miss", {"id": 1, "label": "by the second", "n": 1})
    fresh.client.delete("/v1/session").expect(204)


def test_counters(s):
    assert s.stats()["enabled"] and s.stats()["size"] == 0 and s.stats()["hits"] == 0
    for number in (1, 1, 1, 2):
        s.get(number)
    stats = s.stats()
    assert (stats["size"], stats["hits"], stats["misses"]) == (2, 2, 2) and stats["bytes"] > 0


def test_several_clients_at_once(s):
    """One session, many clients: every answer is a whole record of one version, and the map ends consistent."""
    faults = []

    def work(seed):
        try:
            with s.client.clone() as c:
                for i in range(40):
                    number = 1 + (seed + i) % 5
                    kind = (seed * 7 + i) % 6
                    if kind == 0:
                        c.patch(f"{RECORDS}/{number}", {"label": f"v{seed}", "n": seed}, validate=False).expect(200)
                    elif kind == 1:
                        c.delete(f"/v1/session/identity-map/Thing/{number}", validate=False).expect(204)
                    elif kind == 2:
                        rows = c.post("/v1/query", {"model_name": "Thing", "where": []}, validate=False).expect(200).json()["rows"]
                        assert len(rows) == 5
                    else:
                        row = c.get(f"{RECORDS}/{number}", validate=False).expect(200).json()
                        assert row["id"] == number and (row["label"] in (f"old{number}", f"v{row['n']}")), row
        except AssertionError as e:
            faults.append(str(e))
    threads = [threading.Thread(target=work, args=(n,)) for n in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults, faults[:3]
    for number in range(1, 6):
        answer = s.client.get(f"{RECORDS}/{number}", headers={"Cache-Control": "no-cache"}).expect(200).json()
        assert s.get(number) == ("hit", answer)


# ---- what needs models or a server of its own ----

def test_bounded_by_entries_and_bytes(sqlite_backend):
    with Server("--identity-map-entries", "10", "--identity-map-bytes", "20000") as server, Client(server.port) as client:
        client.post("/v1/connections", {"name": "b", "url": sqlite_backend.url}).expect(201)
        create_tables(client, "b", *MODELS)
        insert(client, "b", "Thing", [{"id": n, "label": "x" * (5000 if n > 50 else 5)} for n in range(1, 101)])
        session = client.session(using="b")

        def state(number):
            return session.get(f"{RECORDS}/{number}").expect(200).header("Ferro-Identity")

        def stats():
            return session.get("/v1/session").expect(200).json()["identity_map"]
        for number in range(1, 31):
            assert state(number) == "miss"
            assert state(1) == "hit", "the record used all the time stays"
        assert stats()["size"] == 10 and stats()["evictions"] == 20
        assert [n for n in range(30, 20, -1) if state(n) == "hit"][:3] == [30, 29, 28]
        for number in range(51, 61):
            state(number)
        assert stats()["bytes"] <= 20000 and stats()["size"] <= 4
        session.post("/v1/query", {"model_name": "Thing", "where": []}).expect(200)
        assert stats()["bytes"] <= 20000 and stats()["size"] <= 10


def test_off_by_the_connections_flag(server, backend):
    with Client(server.port) as client:
        client.post("/v1/connections", {"name": "off", "url": backend.url, "identity_map": False}).expect(201)
        create_tables(client, "off", *MODELS)
        insert(client, "off", "Thing", [{"id": 1, "label": "old"}])
        session = client.session(using="off")
        for label in ("old", "new"):
            answer = session.get(f"{RECORDS}/1").expect(200)
            assert (answer.header("Ferro-Identity"), answer.json()["label"]) == ("off", label)
            session.patch(f"{RECORDS}/1", {"label": "new"}).expect(200)
        session.post(f"{RECORDS}/1/refresh").expect(200)
        stats = session.get("/v1/session").expect(200).json()["identity_map"]
        assert stats["enabled"] is False and stats["size"] == 0 and stats["hits"] == 0
        client.delete("/v1/connections/off?force=true").expect(204)


def test_ddl_clears_every_map_of_the_connection(conn):
    create_tables(conn.client, conn.name, *MODELS)
    insert(conn.client, conn.name, "Thing", [{"id": 1, "label": "old"}])
    sessions = [Session(conn), Session(conn)]
    for session in sessions:
        session.get(1)
    conn.client.post("/v1/migrate", {"using": conn.name}).expect(200)
    assert [session.stats()["size"] for session in sessions] == [1, 1], "a pass without statements clears nothing"
    wider = {**THING, "columns": THING["columns"] + [column("extra", "string", nullable=True)]}
    conn.client.post("/v1/models", {"models": [wider]}).expect(200)
    conn.client.post("/v1/migrate", {"using": conn.name}).expect(200)
    for session in sessions:
        assert session.stats()["size"] == 0
        assert session.get(1) == ("miss", {"id": 1, "label": "old", "n": None, "extra": None})
        session.client.delete("/v1/session").expect(204)
