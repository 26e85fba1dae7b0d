"""Legs of bench.py: 1,000,000 rows where a request has to hold them: by an include, by a batch's reference, by an identity map."""
import http.client
import json
import sqlite3

from support.client import Client
from support.server import Server

ROWS = 1_000_000
MODELS = [
    {"model_name": "HeldOwner", "table_name": "held_owner", "columns": [
        {"name": "id", "logical_type": "integer", "primary_key": True}, {"name": "name", "logical_type": "string"}]},
    {"model_name": "Held", "table_name": "held", "columns": [
        {"name": "id", "logical_type": "integer", "primary_key": True}, {"name": "owner_id", "logical_type": "integer"},
        {"name": "text", "logical_type": "string"}],
     "foreign_keys": [{"column": "owner_id", "to_table": "held_owner", "to_column": "id"}]}]
OWNERS = "INSERT INTO held_owner VALUES (1, 'all')"


def setup(bench):
    with sqlite3.connect(bench.sqlite_path) as db:
        db.executescript("CREATE TABLE held_owner (id INTEGER PRIMARY KEY, name TEXT NOT NULL); CREATE TABLE held "
                         f"(id INTEGER PRIMARY KEY, owner_id INTEGER NOT NULL REFERENCES held_owner (id), text TEXT NOT NULL); {OWNERS};"
                         f"INSERT INTO held WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < {ROWS}) "
                         "SELECT i, 1, 'some text ' || i FROM c; CREATE INDEX held_by_owner ON held (owner_id)")
    bench.pg.psql(f"CREATE TABLE held_owner (id bigint PRIMARY KEY, name text NOT NULL); {OWNERS}; CREATE TABLE held (id bigint PRIMARY KEY, "
                  "owner_id bigint NOT NULL REFERENCES held_owner, text text NOT NULL); INSERT INTO held SELECT i, 1, 'some text ' || i "
                  f"FROM generate_series(1, {ROWS}) i; CREATE INDEX ON held (owner_id); ANALYZE held", "bench")


REFERRED = {"steps": [
    {"op": "query", "as": "a", "query": {"model_name": "Held", "select": ["id"]}},
    {"op": "query", "query": {"model_name": "Held", "where": [
        {"node_kind": "leaf", "column": "id", "operator": "==", "value": {"$ref": "a.rows.999999.id"}}]}}]}
WAYS = {
    "include": ("/v1/query", {"model_name": "HeldOwner", "include": ["held_set"]}, 413),
    "reference": ("/v1/batch", REFERRED, 413),
    "map": ("/v1/query", {"model_name": "Held"}, 200),
}


def peak_of(bench, connection, way):
    """The memory over idle that the request took at most, in MiB."""
    path, body, status = WAYS[way]
    url = f"sqlite:{bench.sqlite_path}" if connection == "sqlite" else bench.pg.url("bench")
    with Server(binary=bench.server_binary) as server, Client(server.port, validate=False) as client:
        client.post("/v1/connections", {"url": url, "pool": {"statement_timeout_seconds": 120}}).expect(201)
        client.put("/v1/models", {"models": MODELS}).expect(200)
        session = client.post("/v1/sessions", {}).expect(201).json()["session_id"]
        client.post("/v1/query", {"model_name": "Held", "limit": 1}).expect(200)
        idle = server.rss_kib()
        wire = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
        wire.request("POST", path, json.dumps(body), {"Content-Type": "application/json", **({"Ferro-Session": session} if way == "map" else {})})
        answer = wire.getresponse()
        assert answer.status == status, (way, answer.status, answer.read(500))
        while answer.read(1 << 18):
            pass
        wire.close()
        with open(f"/proc/{server.process.pid}/status", encoding="ascii") as lines:
            peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return (peak - idle) / 1024


def run(bench):
    setup(bench)
    for connection in ("sqlite", "pg"):
        for way in WAYS:
            bench.leg(f"{connection} 1,000,000 rows by {way}", lambda c=connection, w=way: {"mib": peak_of(bench, c, w)})
            bench.set(f"{connection}_held_{way}", bench.median(f"{connection} 1,000,000 rows by {way}", "mib"))
