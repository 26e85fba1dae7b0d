"""Names of prepared statements behind a pooler: few, one text each, and nothing that a pooler puts a client out for."""
import re
import subprocess

import pytest
from test_poolers import N_MODELS, OWN, check_reads, check_roads, check_writes, models, row, side_by_side

from support.client import Client
from support.name_keeper import NameKeeper
from support.pgbouncer import PgBouncer
from support.server import Server

PASSES = {"max_prepared_statements": 0} if PgBouncer.keeps_names() else {}  # names go on to the server as they come


def through(bouncer, postgres, text):
    """What somebody else's client, which has no names of ferrod's, is answered through the pooler: lines."""
    done = subprocess.run([str(postgres.pg.bin / "psql"), "-XAtqc", text, bouncer.url(postgres.database)], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.splitlines()


@pytest.fixture
def named(server, postgres_backend):
    """Two servers behind one pooler that has one connection of the database's for both."""
    postgres_backend.pg.psql("".join(f"CREATE TABLE m{i} (id int PRIMARY KEY, n int NOT NULL, name_{i} text NOT NULL);INSERT INTO m{i} VALUES (1, 1000 + {i}, 'm{i}-1');" for i in range(N_MODELS)), postgres_backend.database)
    with PgBouncer(postgres_backend.pg, default_pool_size=1, **PASSES) as bouncer, Server() as other, Client(server.port) as first, Client(other.port) as second:
        for client in (first, second):
            client.post("/v1/connections", {"name": "named", "url": bouncer.url(postgres_backend.database), "default": True, "pool": {"acquire_timeout_seconds": 30}}).expect(201)
            client.put("/v1/models", {"models": models()}).expect(200)
        yield first, second, lambda text: through(bouncer, postgres_backend, text)
        first.delete("/v1/connections/named?force=true").expect(204)
        first.put("/v1/default-connection", {"name": "default"}).expect(200)


NAMES = "SELECT name || ' ' || statement FROM pg_prepared_statements"


def test_names_are_of_texts_of_ours_and_few(named):
    """A hash of 128 bits each, 256 at most, none of raw SQL or of what runs in a transaction; what comes after them runs without."""
    first, second, ask = named
    for client in (first, second):
        for i in list(range(300)) * 2:  # what has run once is named from then on
            conditions = "&".join(f"n=gte.{k}" for k in range(i // N_MODELS + 1))
            assert client.get(f"/v1/models/M{i % N_MODELS}/records?{conditions}&id=eq.1").expect(200).json()["rows"] == [row(i % N_MODELS, 1)]
    tx = {"Ferro-Transaction": first.post("/v1/transactions").expect(201).json()["transaction_id"]}
    assert first.get("/v1/models/M1/records?name_1=eq.m1-1&n=lt.100000", headers=tx).expect(200).json()["row_count"] == 1
    first.post(f"/v1/transactions/{tx['Ferro-Transaction']}/commit").expect(200)
    listed = [line.split(" ", 1) for line in ask(NAMES)]
    assert 200 < len(listed) <= 256 and all(re.fullmatch("f[0-9a-f]{32}", name) for name, _ in listed), (len(listed), listed[:3])
    assert not any("name_1" in text and "<" in text for _, text in listed)
    for _ in range(3):
        raw = {"sql": "SELECT 'marker' AS m WHERE $1 = 1", "args": [1]}
        assert first.post("/v1/sql/fetch-all", raw).expect(200).json()["row_count"] == 1
        assert not any("marker" in line for line in ask(NAMES))
    assert first.get("/v1/models/M0/records?id=eq.1&n=gte.0").expect(200).json()["rows"] == [row(0, 1)]


def test_a_name_that_is_gone_or_there_is_sent_again(named):
    """26000: somebody has forgotten all names; 42P05: another server has made it. Neither is seen, outside a transaction or in one."""
    first, second, ask = named
    for client in (first, second):
        assert client.get("/v1/models/M3/records/1").expect(200).json() == row(3, 1)
        assert client.patch("/v1/models/M4/records/1", {"n": 1004}).expect(200).json() == row(4, 1)
    for _ in range(3):
        for client in (first, second):
            assert client.get("/v1/models/M3/records/1").expect(200).json() == row(3, 1)
            assert client.patch("/v1/models/M4/records/1", {"n": 1004}).expect(200).json() == row(4, 1)
        assert any("m3" in line for line in ask(NAMES))
        ask("DEALLOCATE ALL")
    for client in (second, first):
        tx = {"Ferro-Transaction": client.post("/v1/transactions").expect(201).json()["transaction_id"]}
        for _ in range(3):
            assert client.get("/v1/models/M3/records/1", headers=tx).expect(200).json() == row(3, 1)
            client.patch("/v1/models/M4/records/1", {"n": 1004}, headers=tx).expect(200)
        assert client.post(f"/v1/transactions/{tx['Ferro-Transaction']}/commit").expect(200).json()["state"] == "committed"


# ---- a pooler that keeps its clients' names apart ----

@pytest.fixture(params=[True, False], ids=["forgets", "keeps"])
def kept(server, postgres_backend, request):
    """A client whose default connection goes through a NameKeeper, that, and how to make a connection of a size."""
    postgres_backend.pg.psql("".join(
        f"CREATE TABLE m{i} (id int PRIMARY KEY, n int NOT NULL, name_{i} text NOT NULL);"
        f"INSERT INTO m{i} SELECT g, g * 1000 + {i}, 'm{i}-' || g FROM generate_series(1, 50) g;" for i in range(N_MODELS)), postgres_backend.database)
    with NameKeeper(postgres_backend.pg.port, forgets=request.param) as keeper, Client(server.port, timeout=60) as client:
        def connect(connections):
            client.post("/v1/connections", {"name": "kept", "url": keeper.url(postgres_backend.database), "default": True, "pool": {
                "pooler": "transaction", "max_connections": connections, "acquire_timeout_seconds": 30}}).expect(201)
            client.put("/v1/models", {"models": models()}).expect(200)
            return client, keeper
        connect.psql = lambda text: postgres_backend.pg.psql(text, postgres_backend.database)
        yield connect
        client.delete("/v1/connections/kept?force=true").expect(204)
        client.put("/v1/default-connection", {"name": "default"}).expect(200)


def read_all(client):
    for _ in range(3):
        for i in range(4):
            assert client.get(f"/v1/models/M{i}/records/3").expect(200).json() == row(i, 3)


def test_a_kept_name_is_parsed_once(kept):
    client, keeper = kept(8)
    side_by_side(client, 12, check_reads, check_roads, check_writes)
    assert keeper.faults == [] and len(keeper.parsed) > 40
    assert not any("DEALLOCATE ALL" in text for text in keeper.texts)


# like OWN
DROPS = [("DEALLOCATE ALL", 200), ("DEALLOCATE ALL; SELECT 1/0", 400), ("DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$", 200)]


@pytest.mark.parametrize("inside", ["", "commit", "rollback"], ids=["alone", "commit", "rollback"])
def test_what_a_client_says_costs_no_name(kept, inside):
    """A client's own SQL between statements of ours, whether it succeeds or fails, in a transaction that ends this way or that."""
    client, keeper = kept(1)
    for sql, status in OWN + DROPS:
        read_all(client)
        if inside:
            tx = client.post("/v1/transactions").expect(201).json()["transaction_id"]
            own = client.clone(Ferro_Transaction=tx)
            several = "; " in sql and not sql.startswith("DO")
            own.post("/v1/sql/execute", {"sql": sql}).expect(400 if several and status == 200 else status)
            client.post(f"/v1/transactions/{tx}/{inside if status == 200 else 'rollback'}").expect(200)
        else:
            client.post("/v1/sql/execute", {"sql": sql}).expect(status)
        read_all(client)
        left = client.post("/v1/sql/fetch-all", {"sql": "SELECT name FROM pg_prepared_statements WHERE from_sql"}).expect(200).json()["rows"]
        assert left == [], sql
    assert keeper.faults == []


def test_a_name_whose_parse_failed_is_not_parsed_again(kept):
    """The table is away for a while: the server refuses the Parse, of which the pooler has taken the name down."""
    client, keeper = kept(1)
    read_all(client)  # from now on with a name
    for _ in range(2):
        kept.psql("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
        assert client.post("/v1/sql/fetch-all", {"sql": "SELECT 1 AS one"}).status in (200, 503)  # another connection, on which none is known
        kept.psql("ALTER TABLE m3 RENAME TO away")
        seen = len(keeper.parsed)
        for _ in range(2):
            client.get("/v1/models/M3/records/3").problem(400, "sql_error")
        assert len(keeper.parsed) == seen + 1
        kept.psql("ALTER TABLE away RENAME TO m3")
        read_all(client)
    assert keeper.faults == []


def test_without_plpgsql_there_are_no_names(kept):
    """What SQL has prepared cannot be told from the rest then, and all of it is dropped."""
    kept.psql("DROP EXTENSION plpgsql")
    try:
        client, keeper = kept(1)
        for sql in ("PREPARE own AS SELECT 1", "SELECT 1/0", "SET work_mem = '8MB'"):
            read_all(client)
            client.post("/v1/sql/execute", {"sql": sql})
            left = client.post("/v1/sql/fetch-all", {"sql": "SELECT name FROM pg_prepared_statements"}).expect(200).json()["rows"]
            assert left == [], sql
        assert keeper.faults == [] and keeper.parsed == []
    finally:
        kept.psql("CREATE EXTENSION plpgsql")
