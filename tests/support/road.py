"""A road to PostgreSQL on which what goes there is seen, and can be cut: for batches that travel in few flights."""
import pytest

from support.client import Client
from support.cutter import Cutter, runs
from support.schema import run


def raw(text, *args, op="sql.execute", **more):
    return {"op": op, "sql": text, **({"args": list(args)} if args else {}), **more}


def put(n, v="x"):
    return raw("INSERT INTO t (id, v) VALUES ($1, $2)", n, v)


@pytest.fixture
def road(server, postgres_backend):
    """A connection by way of a Cutter, whose `statements` are what has gone to the server, a flight each; a table t."""
    cutter = Cutter(postgres_backend.pg.port)
    run(postgres_backend, "CREATE TABLE t (id int PRIMARY KEY, v text, up int REFERENCES t DEFERRABLE INITIALLY DEFERRED)")
    with Client(server.port, timeout=60) as client:
        url = f"postgres://ferrod@127.0.0.1:{cutter.own_port}/{postgres_backend.database}?sslmode=disable&gssencmode=disable"
        client.post("/v1/connections", {"name": "road", "url": url, "pool": {
            "max_connections": 1, "acquire_timeout_seconds": 2}}).expect(201)
        cutter.client = client
        cutter.psql = lambda text: postgres_backend.pg.psql(text, postgres_backend.database)
        cutter.asking = lambda: postgres_backend.pg.asking(postgres_backend.database)
        cutter.ids = lambda: [int(n) for n in cutter.psql("SELECT id FROM t ORDER BY id").split()]
        cutter.batch = lambda *steps, headers=None, **more: client.post(
            "/v1/batch", {"using": "road", "steps": list(steps), **more}, headers=headers)
        yield cutter
        answer = client.get("/v1/connections/road").expect(200).json()
        assert answer["pool"]["in_use"] == 0, answer
        client.delete("/v1/connections/road?force=true")
    cutter.listener.close()


def flights(road, *steps, n=1, **more):
    """What went to the server for the second of two such batches: by then all is prepared and proven."""
    for _ in range(4):
        road.batch(*steps, **more).expect(200)
        road.psql("DELETE FROM t WHERE id > 1000")
    del road.statements[:]
    answer = road.batch(*steps, **more).expect(200).json()
    seen = [s for s in list(road.statements) if s]
    assert len(seen) == n, seen
    assert runs(seen[0], b"BEGIN") and runs(seen[-1], b"COMMIT"), seen
    return answer, seen
