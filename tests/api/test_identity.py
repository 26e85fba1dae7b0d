"""The identity map: which reads are answered from it, what fills it, refreshes it and empties it."""
import pytest

from support.client import Client
from support.server import Server
from support.tables import MARKER, create_tables, insert, leaf, query, sql


@pytest.fixture
def marked(conn):
    create_tables(conn.client, conn.name, MARKER)
    insert(conn.client, conn.name, "Marker", [{"id": n, "label": f"m{n}"} for n in range(1, 6)])
    return conn


@pytest.fixture
def session(marked):
    own = marked.client.session(using=marked.name)
    own.behind = lambda text: sql(marked.client, text, using=marked.name, verb="execute").expect(200)
    yield own
    own.delete("/v1/session?rollback=true")


def get(client, key, **headers):
    answer = client.get(f"/v1/models/Marker/records/{key}", headers={k.replace("_", "-"): v for k, v in headers.items()})
    answer.expect(200)
    return answer.header("Ferro-Identity"), answer.json()["label"]


def imap(session):
    return session.get("/v1/session").expect(200).json()["identity_map"]


def test_miss_then_hit_then_refresh(session):
    assert get(session, 1) == ("miss", "m1")
    assert get(session, 1) == ("hit", "m1")
    session.behind("UPDATE marker SET label = 'changed' WHERE id = 1")
    assert get(session, 1) == ("hit", "m1")
    assert get(session, 1, Cache_Control="no-cache") == ("refresh", "changed")
    assert get(session, 1) == ("hit", "changed")
    assert get(session, 2, Cache_Control="no-cache") in (("refresh", "m2"), ("miss", "m2"))
    state = imap(session)
    assert state["size"] == 2 and state["hits"] == 3 and state["bytes"] > 0


def test_hit_does_not_touch_the_database(session):
    get(session, 1)
    answer = session.get("/v1/models/Marker/records/1")
    assert answer.header("Ferro-Identity") == "hit" and "db;dur=0.000" in answer.header("Server-Timing")


def test_off_without_a_session(marked):
    for _ in range(2):
        answer = marked.client.get("/v1/models/Marker/records/1", params=marked.using).expect(200)
        assert answer.header("Ferro-Identity") == "off"


def test_off_where_the_connection_says_so(server, backend):
    with Client(server.port) as client:
        client.post("/v1/connections", {"name": "unmapped", "url": backend.url, "identity_map": False}).expect(201)
        create_tables(client, "unmapped", MARKER)
        insert(client, "unmapped", "Marker", [{"id": 1, "label": "m1"}])
        session = client.session(using="unmapped")
        assert imap(session)["enabled"] is False
        for _ in range(2):
            assert get(session, 1) == ("off", "m1")
        sql(client, "UPDATE marker SET label = 'changed'", using="unmapped", verb="execute").expect(200)
        assert get(session, 1) == ("off", "changed")
        assert query(session, "Marker").json()["rows"] == [{"id": 1, "label": "changed"}]
        session.delete("/v1/session").expect(204)
        client.delete("/v1/connections/unmapped").expect(204)


def test_sessions_have_maps_of_their_own(marked, session):
    assert get(session, 1) == ("miss", "m1")
    second = marked.client.session(using=marked.name)
    assert get(second, 1) == ("miss", "m1")
    second.delete("/v1/session").expect(204)


@pytest.mark.parametrize("path", ["", "/first"])
def test_queries_fill_the_map_and_answer_from_it(session, path):
    """A row already there is answered as the session last saw it, though the query selects by what is stored now."""
    query(session, "Marker", [leaf("id", "==", 1)], path=path).expect(200)
    assert get(session, 1) == ("hit", "m1")
    session.behind("UPDATE marker SET label = 'changed' WHERE id = 1")
    answer = query(session, "Marker", [leaf("label", "==", "changed")], path=path).expect(200).json()
    row = answer["rows"][0] if path == "" else answer["row"]
    assert row == {"id": 1, "label": "m1"}
    body = {"model_name": "Marker", "where": [leaf("label", "==", "changed")]}
    answer = session.post(f"/v1/query{path}", body, headers={"Cache-Control": "no-cache"}).expect(200).json()
    assert (answer["rows"][0] if path == "" else answer["row"]) == {"id": 1, "label": "changed"}
    assert get(session, 1) == ("hit", "changed")


def test_count_and_exists_leave_it_alone(session):
    query(session, "Marker", path="/count").expect(200)
    query(session, "Marker", path="/exists").expect(200)
    assert imap(session)["size"] == 0


def test_create_puts_the_record_in(session):
    answer = session.post("/v1/models/Marker/records", {"label": "new"}).expect(201)
    key = answer.json()["id"]
    assert get(session, key) == ("hit", "new")


def test_bulk_create_leaves_it_alone(session):
    session.post("/v1/models/Marker/records", {"records": [{"id": 70, "label": "a"}, {"id": 71, "label": "b"}]}).expect(201)
    assert imap(session)["size"] == 0
    assert get(session, 70) == ("miss", "a")


def test_raw_sql_empties_it_when_it_writes(session):
    get(session, 1)
    session.behind("UPDATE marker SET label = 'raw' WHERE id = 1")
    assert sql(session, "SELECT label FROM marker WHERE id = 1").json()["rows"] == [{"label": "raw"}]
    assert get(session, 1) == ("hit", "m1")
    sql(session, "UPDATE marker SET label = 'own' WHERE id = 1", verb="execute").expect(200)
    assert get(session, 1) == ("miss", "own")


def test_evict_one_and_all(session):
    for key in (1, 2, 3):
        get(session, key)
    session.delete("/v1/session/identity-map/Marker/1").expect(204)
    session.delete("/v1/session/identity-map/Marker/99").expect(204)
    session.delete("/v1/session/identity-map/Marker/no-key-of-it").expect(204)
    assert get(session, 1)[0] == "miss" and get(session, 2)[0] == "hit"
    session.delete("/v1/session/identity-map").expect(204)
    assert imap(session)["size"] == 0
    assert get(session, 2)[0] == "miss"
    session.delete("/v1/session/identity-map/Nothing/1").problem(404, "model_not_found")


def test_rollback_clears_the_map(session):
    get(session, 1)
    inside = session.transaction()
    inside.post("/v1/models/Marker/records", {"id": 50, "label": "gone"}).expect(201)
    assert get(inside, 50) == ("hit", "gone")
    inside.post(f"/v1/transactions/{inside.headers['Ferro-Transaction']}/rollback").expect(200)
    assert imap(session)["size"] == 0
    session.get("/v1/models/Marker/records/50").problem(404, "record_not_found")
    assert get(session, 1) == ("miss", "m1")


def test_commit_leaves_it(session):
    inside = session.transaction()
    inside.post("/v1/models/Marker/records", {"id": 50, "label": "kept"}).expect(201)
    inside.post(f"/v1/transactions/{inside.headers['Ferro-Transaction']}/commit").expect(200)
    assert get(session, 50) == ("hit", "kept")


def test_record_that_is_gone_leaves_the_map_on_refresh(session):
    get(session, 1)
    session.behind("DELETE FROM marker WHERE id = 1")
    assert get(session, 1)[0] == "hit"
    answer = session.get("/v1/models/Marker/records/1", headers={"Cache-Control": "no-cache"})
    answer.problem(404, "record_not_found")
    session.get("/v1/models/Marker/records/1").problem(404, "record_not_found")


def test_spellings_of_one_key_are_one_record(marked, session):
    get(session, 1)
    for spelling in ("1", "01", "%31"):
        answer = session.get(f"/v1/models/Marker/records/{spelling}")
        if spelling == "01" and answer.status in (404, 422):
            continue
        assert answer.expect(200).header("Ferro-Identity") == "hit"
    assert imap(session)["size"] == 1


@pytest.mark.parametrize("kind, stored, spellings", [
    ("string", "a/b,c d%é", ["a%2Fb%2Cc%20d%25%C3%A9"]),
    ("uuid", "3f4c4ca7-a7e7-40d6-8d83-8f4ddf3285e6", ["3f4c4ca7-a7e7-40d6-8d83-8f4ddf3285e6", "3F4C4CA7-A7E7-40D6-8D83-8F4DDF3285E6"]),
    ("date", "2026-04-27", ["2026-04-27"]),
    ("integer", 9007199254740993, ["9007199254740993"])])
def test_every_type_of_key(conn, kind, stored, spellings):
    column = {"name": "id", "logical_type": kind, "primary_key": True}
    if kind == "integer":
        column["db_type"] = "bigint"
    create_tables(conn.client, conn.name, {"model_name": "Keyed", "columns": [
        column, {"name": "v", "logical_type": "integer"}]})
    insert(conn.client, conn.name, "Keyed", [{"id": stored, "v": 5}])
    session = conn.client.session(using=conn.name)
    states = []
    for spelling in spellings * 2:
        answer = session.get(f"/v1/models/Keyed/records/{spelling}").expect(200)
        assert answer.json() == {"id": stored, "v": 5}
        states.append(answer.header("Ferro-Identity"))
    assert states[0] == "miss" and set(states[1:]) == {"hit"}
    session.delete("/v1/session").expect(204)


def test_model_and_key_make_the_identity(conn):
    """Two models with equal keys do not mix; nor do their names and keys run together."""
    twin = dict(MARKER, model_name="MarkerTwin", table_name="marker_twin")
    create_tables(conn.client, conn.name, MARKER, twin)
    insert(conn.client, conn.name, "Marker", [{"id": 1, "label": "a"}])
    insert(conn.client, conn.name, "MarkerTwin", [{"id": 1, "label": "b"}])
    session = conn.client.session(using=conn.name)
    for _ in range(2):
        assert session.get("/v1/models/Marker/records/1").json()["label"] == "a"
        assert session.get("/v1/models/MarkerTwin/records/1").json()["label"] == "b"
    session.delete("/v1/session").expect(204)


def test_map_is_bounded(sqlite_backend):
    """The least recently used record goes first."""
    with Server("--identity-map-entries", "3") as server, Client(server.port) as client:
        client.post("/v1/connections", {"name": "b", "url": sqlite_backend.url}).expect(201)
        create_tables(client, "b", MARKER)
        insert(client, "b", "Marker", [{"id": n, "label": f"m{n}"} for n in range(1, 6)])
        session = client.session(using="b")
        for key in (1, 2, 3, 1, 4):
            get(session, key)
        assert imap(session)["size"] == 3 and imap(session)["evictions"] == 1
        assert get(session, 1)[0] == "hit" and get(session, 2)[0] == "miss"
        query(session, "Marker").expect(200)
        assert imap(session)["size"] == 3


def test_etag_follows_the_record(session):
    first = session.get("/v1/models/Marker/records/1").expect(200)
    tag = first.header("ETag")
    assert session.get("/v1/models/Marker/records/1").header("ETag") == tag
    answer = session.get("/v1/models/Marker/records/1", headers={"If-None-Match": tag}).expect(304)
    assert answer.body == b"" and answer.header("ETag") == tag
    session.behind("UPDATE marker SET label = 'changed' WHERE id = 1")
    fresh = session.get("/v1/models/Marker/records/1", headers={"If-None-Match": tag, "Cache-Control": "no-cache"})
    assert fresh.expect(200).header("ETag") != tag


def test_new_models_empty_the_map(marked, session):
    """A record as an earlier model saw it is not answered any more."""
    get(session, 1)
    wider = {"model_name": "Marker", "columns": [MARKER["columns"][0]]}
    marked.client.put("/v1/models", {"models": [wider]}).expect(200)
    answer = session.get("/v1/models/Marker/records/1").expect(200)
    assert answer.json() == {"id": 1}
