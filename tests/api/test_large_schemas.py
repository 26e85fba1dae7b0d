"""Databases of very many tables: what introspection, create-tables and models of them cost in memory; in time, see tests/bench/large.py."""
import pytest

from support import large_schema
from support.client import Client
from support.pg import Postgres
from support.server import Server
from support.turns import TURN_SECONDS, longest_turn
from support.vanish import growth_bound

MIB = 1024


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def large(request, tmp_path_factory):
    """(url, url of an empty one) of such a database."""
    if request.param == "sqlite":
        directory = tmp_path_factory.mktemp("large")
        large_schema.make_sqlite(directory / "large.db")
        yield f"sqlite:{directory}/large.db", f"sqlite:{directory}/empty.db?mode=rwc"
        return
    postgres = Postgres(max_locks_per_transaction="8192")
    large_schema.make_postgres(postgres, "postgres")
    postgres.psql("CREATE DATABASE empty")
    yield postgres.url(), postgres.url("empty")
    postgres.destroy()


@pytest.fixture
def served(large):
    with Server() as server, Client(server.port, timeout=300, validate=False) as client:
        client.post("/v1/connections", {"url": large[0], "pool": {"statement_timeout_seconds": 120}}).expect(201)
        client.post("/v1/introspect", {"tables": ["table_0001"]}).expect(200)  # what a first request brings with it
        yield server, client


def peak_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))


def forget_peak(pid):
    with open(f"/proc/{pid}/clear_refs", "w", encoding="ascii") as refs:
        refs.write("5")


def introspect(server, client, **body):
    """The answer, and the peak of memory in KiB."""
    pid = server.process.pid
    forget_peak(pid)
    answer = client.post("/v1/introspect", body).expect(200).json()
    return answer, peak_kib(pid)


def test_introspection_takes_little_and_takes_it_once(served):
    server, client = served
    idle = server.rss_kib()
    peaks = []
    for _ in range(3):
        answer, peak = introspect(server, client)
        models = answer["payload"]["models"]
        assert len(models) == large_schema.TABLES and {len(m["columns"]) for m in models} == {large_schema.COLUMNS}
        peaks.append(peak - idle)
    assert peaks[0] < growth_bound(64 * MIB), peaks
    assert max(peaks) < growth_bound(64 * MIB), peaks
    # and when it is over, it is not kept
    assert server.rss_kib() - idle < growth_bound(56 * MIB)


@pytest.mark.long
def test_what_is_registered_is_held_once(served):
    """Beside the models themselves there is never more than one other form of them in memory; nor for a dry run."""
    server, client = served
    pid = server.process.pid
    idle = server.rss_kib()
    for _ in range(2):
        _, peak = introspect(server, client, register=True)
        assert peak - idle < growth_bound(120 * MIB), peak - idle
    assert len(client.get("/v1/models").expect(200).json()["payload"]["models"]) == large_schema.TABLES
    for _ in range(2):
        forget_peak(pid)
        plan = client.post("/v1/migrate", {"dry_run": True}).expect(200).json()
        assert plan["statements"] == []
        assert peak_kib(pid) - idle < growth_bound(120 * MIB), peak_kib(pid) - idle


def test_work_on_them_lets_others_run(large):
    """Introspection, registration, plans and documents of all of it step aside: no turn takes much of a processor."""
    with Server("--loops", "1", "--json-values", "2000000") as server, Client(server.port, timeout=300, validate=False) as client:
        client.post("/v1/connections", {"url": large[0], "pool": {"statement_timeout_seconds": 120}}).expect(201)

        def longest(after):
            found = longest_turn(client)[1]
            assert found < TURN_SECONDS * growth_bound(1), (after, found)
        client.post("/v1/introspect", {}).expect(200)
        longest("introspection")
        said = client.post("/v1/introspect", {"register": True}).expect(200).body
        longest("registration")
        client.get("/v1/models").expect(200)
        client.get("/v1/ddl?dialect=postgres").expect(200)
        longest("documents of it")
        client.get("/openapi.json?models=true").expect(200)
        longest("its description")
        client.post("/v1/migrate", {"dry_run": True}).expect(200)
        longest("a dry run")
        client.put("/v1/models", raw=said).expect(200)
        longest("its replacement")
        client.delete("/v1/models").expect(204)
        longest("its end")


def test_one_table_has_the_cost_of_one(served):
    server, client = served
    idle = server.rss_kib()
    answer, peak = introspect(server, client, tables=["table_0777"])
    model, = answer["payload"]["models"]
    assert model["foreign_keys"][0]["to_table"] == "table_0776" and len(model["columns"]) == large_schema.COLUMNS
    assert peak - idle < growth_bound(8 * MIB), peak - idle


@pytest.mark.long
def test_tables_are_made_of_what_was_read(served, large):
    server, client = served
    client.post("/v1/introspect", {"register": True}).expect(200)
    client.post("/v1/connections", {"name": "empty", "url": large[1]}).expect(201)
    made = client.post("/v1/create-tables", {"using": "empty"}).expect(200).json()
    assert len(made["statements"]) >= 3 * large_schema.TABLES and not made["warnings"]
    again = client.post("/v1/migrate", {"using": "empty", "dry_run": True}).expect(200).json()
    assert again["statements"] == [] and again["warnings"] == []
