"""Allocations, SQLite's and libpq's calls fail one by one, through the API paths, until a request meets no fault any more.

Needs the build of `make faults`, where the header X-Fault: n makes the n-th of them fail while that request is worked on."""
import itertools

import pytest

from support.client import Client
from support.server import Server
from support.tables import MARKER, create_tables, insert, leaf

# statuses of a fault below; whatever else a path documents would blame the client for it
STATUSES = (500, 503)
MOST = 3000


@pytest.fixture(scope="module")
def house():
    with Server("--access-log=false", "--loops", "1") as server:
        with Client(server.port) as client:
            if client.get("/healthz", headers={"X-Fault": "0"}).header("X-Fault-Fired") is None:
                pytest.skip("this build has no faults: make faults")
        yield server


@pytest.fixture
def faulty(house, backend):
    with Client(house.port, validate=False) as client:
        client.delete("/v1/connections/f?force=true")
        client.post("/v1/connections", {"name": "f", "url": backend.url, "default": True, "pool": {"max_connections": 3}}).expect(201)
        create_tables(client, "f", MARKER)
        insert(client, "f", "Marker", [{"id": n, "label": f"label {n}"} for n in range(1, 30)])
        client.house, client.backend = house, backend
        yield client
        client.delete("/v1/connections/f?force=true")


LONG = "x" * 9000
READS = {
    "list": ("GET", "/v1/models/Marker/records?label=like.label%25&order=id.desc", None),
    "one": ("GET", "/v1/models/Marker/records/3", None),
    "query": ("POST", "/v1/query", {"model_name": "Marker", "where": [leaf("label", "!=", LONG)], "order_by": [{"column": "id", "direction": "asc"}]}),
    "count": ("POST", "/v1/query/count", {"model_name": "Marker", "where": [leaf("id", "IN", list(range(40)))]}),
    "explain": ("POST", "/v1/query/explain", {"model_name": "Marker"}),
    "sql": ("POST", "/v1/sql/fetch-all", {"sql": "SELECT id, label FROM marker ORDER BY id"}),
    "ddl": ("GET", "/v1/ddl", None),
    "models": ("GET", "/v1/models", None),
    "connections": ("GET", "/v1/connections", None),
    "introspect": ("POST", "/v1/introspect", {"using": "f"}),
    "batch": ("POST", "/v1/batch", {"steps": [{"op": "query", "as": "a", "query": {"model_name": "Marker", "limit": 3}},
                                              {"op": "get", "model": "Marker", "pk": {"$ref": "a.rows.0.id"}}]}),
    "check": ("POST", "/v1/connections/f/check", None),
    "page": ("GET", "/v1/models/Marker/records?limit=5&order=label", None),
    "csv": ("GET", "/v1/models/Marker/records?order=id", None, "text/csv"),
    "ndjson": ("POST", "/v1/query", {"model_name": "Marker", "order_by": [{"column": "id", "direction": "asc"}]}, "application/x-ndjson"),
    "refresh": ("POST", "/v1/models/Marker/records/3/refresh", None),
    # writes that can be repeated
    "put models": ("PUT", "/v1/models", {"models": [MARKER]}),
    "create tables": ("POST", "/v1/create-tables", {"using": "f"}),
    "migrate": ("POST", "/v1/migrate", {"using": "f"}),
    "update": ("POST", "/v1/query/update", {"query": {"model_name": "Marker", "where": [leaf("id", "==", 3)]}, "set": {"label": "label 3"}}),
    "put": ("PUT", "/v1/models/Marker/records/3", {"label": "label 3"}),
    "get or create": ("POST", "/v1/models/Marker/get-or-create", {"where": {"id": 3}, "defaults": {"label": "x"}}),
    "execute": ("POST", "/v1/sql/execute", {"sql": "UPDATE marker SET label = 'label 3' WHERE id = 3"}),
}
# their answers tell of the moment, too
CHANGING = ("connections", "check", "create tables", "migrate")


def judge(answer, number):
    """A problem document with a fault's status (413: of a body that there was no memory for)."""
    assert answer.status in STATUSES or (answer.status == 413 and b"into memory" in answer.body), (number, answer.status, answer.body[:500])
    assert answer.header("Content-Type") == "application/problem+json", number
    problem = answer.json()
    assert problem["status"] == answer.status and problem["instance"] == answer.header("X-Request-Id"), problem


@pytest.mark.parametrize("path", READS)
def test_reads(faulty, path):
    method, target, body, *accept = READS[path]

    def ask(number):
        headers = {"X-Fault": str(number)} | ({"Accept": accept[0]} if accept else {})
        return faulty.request(method, target, body, headers=headers)
    right = ask(0).expect(200)
    for number in itertools.count(1):
        assert number < MOST
        answer = ask(number)
        if answer.header("X-Fault-Fired") == "0":
            break
        if answer.status != 200:
            judge(answer, number)
        elif path not in CHANGING:
            assert answer.body == right.body or answer.body.split(b"\n")[-2].startswith(b'{"$error"'), number
        if number % 7 == 0:
            ask(0).expect(200)
    assert ask(0).expect(200)
    assert faulty.house.alive


@pytest.mark.parametrize("kind", ["record", "bulk", "update", "sql", "batch", "transaction"])
def test_writes(faulty, kind):
    """What was refused is not there (unless its outcome is unknown), what was answered 2xx is."""
    expected = {}

    def write(number, fault):
        headers = {"X-Fault": str(fault)}
        record = {"id": 1000 + number, "label": f"w{number}"}
        if kind == "record":
            return faulty.post("/v1/models/Marker/records", record, headers=headers)
        if kind == "bulk":
            return faulty.post("/v1/models/Marker/records", {"records": [record]}, headers=headers)
        if kind == "sql":
            return faulty.post("/v1/sql/execute", {"sql": f"INSERT INTO marker VALUES ({record['id']}, 'w{number}')"}, headers=headers)
        if kind == "batch":
            return faulty.post("/v1/batch", {"steps": [{"op": "create", "model": "Marker", "record": record}, {"op": "sql.fetch_one", "sql": "SELECT 1 AS a"}]},
                               headers=headers)
        if kind == "update":
            faulty.post("/v1/models/Marker/records", record | {"label": "before"}).expect(201)
            return faulty.patch(f"/v1/models/Marker/records/{record['id']}", {"label": f"w{number}"}, headers=headers)
        faulty.post("/v1/query/count", {"model_name": "Marker"}).expect(200)  # so that a connection is open
        begun = faulty.post("/v1/transactions", headers=headers)
        if begun.status != 201:
            return begun
        inside = {"Ferro-Transaction": begun.json()["transaction_id"]}
        path = f"/v1/transactions/{inside['Ferro-Transaction']}"
        made = faulty.post("/v1/models/Marker/records", record, headers=inside | headers)
        ended = faulty.post(path + ("/commit" if made.status == 201 else "/rollback"), headers=headers)
        if made.status == 201 and ended.status != 200:
            faulty.post(path + "/rollback")
        if begun.header("X-Fault-Fired") == made.header("X-Fault-Fired") == ended.header("X-Fault-Fired") == "0":
            return ended
        return made if made.status != 201 else ended if ended.status != 200 else begun
    for number in itertools.count(1):
        assert number < MOST
        answer = write(number, number)
        if answer.status in (200, 201):
            expected[1000 + number] = f"w{number}"
        else:
            judge(answer, number)
            if answer.json().get("outcome") in ("unknown", "committed"):
                expected[1000 + number] = None
        if answer.header("X-Fault-Fired") == "0":
            break
    assert answer.status in (200, 201)
    rows = faulty.post("/v1/query", {"model_name": "Marker", "where": [leaf("id", ">=", 1000)]}).expect(200).json()["rows"]
    stored = {row["id"]: row["label"] for row in rows if row["label"] != "before"}
    for key, label in expected.items():
        assert label is None or stored.get(key) == label, key
    assert set(stored) <= set(expected), "a write was refused, and is there"
    assert faulty.get("/v1/connections/f").json()["pool"]["in_use"] == 0


def test_loads(faulty):
    """A bulk that streams in and is long enough for COPY: all of its rows or none."""
    raw = "".join(f'{{"label": "{{}} {LONG[:1000]}"}}\n' for _ in range(150))
    expected = {}
    for number in itertools.count(1):
        assert number < MOST
        answer = faulty.post("/v1/models/Marker/records", raw=raw.replace("{}", f"w{number}").encode(),
                             headers={"X-Fault": str(number * 3), "Content-Type": "application/x-ndjson", "Idempotency-Key": f"{faulty.backend.name}{number}"})
        expected[f"w{number}"] = 150 if answer.status == 201 else 0
        if answer.status != 201:
            judge(answer, number)
            if answer.json().get("outcome") in ("unknown", "committed"):
                del expected[f"w{number}"]
        if answer.header("X-Fault-Fired") == "0":
            break
    assert answer.status == 201
    for label, rows in expected.items():
        found = faulty.post("/v1/query/count", {"model_name": "Marker", "where": [leaf("label", "LIKE", f"{label} %")]}).expect(200).json()["count"]
        assert found == rows, label
    assert faulty.get("/v1/connections/f").json()["pool"]["in_use"] == 0


def test_connecting(faulty):
    body = {"name": "g", "url": faulty.backend.url}
    for number in itertools.count(1):
        assert number < MOST
        answer = faulty.post("/v1/connections", body, headers={"X-Fault": str(number)})
        if answer.status == 201:
            faulty.delete("/v1/connections/g").expect(204)
        else:
            assert answer.status in (*STATUSES, 400), answer.body
            faulty.get("/v1/connections/g").expect(404)
        if answer.header("X-Fault-Fired") == "0":
            break
    assert answer.status == 201


def test_sessions(faulty):
    for number in itertools.count(1):
        assert number < MOST
        headers = {"X-Fault": str(number)}
        opened = faulty.post("/v1/sessions", headers=headers)
        if opened.status != 201:
            judge(opened, number)
            continue
        inside = {"Ferro-Session": opened.header("Ferro-Session")}
        got = faulty.get("/v1/models/Marker/records/5", headers=inside | headers)
        if got.status != 200:
            judge(got, number)
        else:
            assert got.json() == {"id": 5, "label": "label 5"}
        faulty.get("/v1/models/Marker/records/5", headers=inside).expect(200)
        faulty.delete("/v1/session", headers=inside).expect(204)
        if opened.header("X-Fault-Fired") == got.header("X-Fault-Fired") == "0":
            break
