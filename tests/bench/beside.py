"""Legs of bench.py: point reads on PostgreSQL beside others' long work (exports, bulk loads, transactions, a migration), and what one
read costs as things grow."""
import contextlib
import json
import socket
import statistics
import subprocess
import threading
import time

from support.client import Client

ROWS = 200_000
STOP_MS = 15  # a machine that stands still for as long tells nothing of a p99
NEW = {"name": "x", "qty": 1, "price": 1.5}
BARS = {"beside": ("beside", "point reads beside 4 exports, 2 bulk loads, 8 transactions, a migration: the worst p99 against quiet",
                   4.0, 2.0, "max", "x")}
INDEXED = {"models": [{"model_name": "Grown", "columns": [
    {"name": "id", "logical_type": "integer", "primary_key": True}, {"name": "n", "logical_type": "integer"},
    {"name": "note", "logical_type": "string", "nullable": True}], "indexes": [{"name": "grown_n", "columns": ["n"]}]}]}


@contextlib.contextmanager
def working(works):
    """Each of them again and again, on a thread of its own, until it says that it is done."""
    stop, faults = threading.Event(), []

    def run(work):
        try:
            while not stop.is_set() and not work():
                pass
        except BaseException as fault:  # noqa: BLE001
            faults.append(fault)
    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    if faults:
        raise faults[0]


def curl(bench, path, *args):
    subprocess.run(["curl", "-sSf", "-o", "/dev/null", *args, f"http://127.0.0.1:{bench.server.port}{path}"], check=True, timeout=120)


def transaction(bench):
    with Client(bench.server.port, validate=False) as client:
        headers = {"Ferro-Transaction": client.post("/v1/transactions?using=pg").expect(201).json()["transaction_id"]}
        for _ in range(2):
            client.post("/v1/sql/execute", {"sql": "INSERT INTO written (name, qty, price) VALUES ('x', 1, 1.5)"}, headers=headers).expect(200)
        client.post(f"/v1/transactions/{headers['Ferro-Transaction']}/commit").expect(200)


def migration(bench):
    """Once: each has the pool open its connections anew."""
    with Client(bench.server.port, validate=False, timeout=60) as client:
        client.post("/v1/migrate", {"using": "pg", "concurrently": True}).expect(200)
    return True


def watched(bench, measure):
    """The figures of a leg, and how long the machine itself stood still meanwhile (a virtual one that another pushed aside); -1: unknown."""
    with subprocess.Popen([str(bench.dir / "stops")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        figures = measure()
        return {**figures, "stop_ms": float(process.communicate()[0])}


def compared(bench, name):
    """The median of p99 against quiet in rounds that the machine left alone; of all when there is none."""
    pairs = list(zip(bench.legs[f"beside {name}"], bench.legs["quiet"]))
    alone = [(a, b) for a, b in pairs if max(a["stop_ms"], b["stop_ms"]) < STOP_MS]
    if len(alone) < len(pairs):
        print(f"  beside {name}: the machine stood still in {len(pairs) - len(alone)} of {len(pairs)} rounds"
              + ("" if alone else ", so the ratio tells nothing"))
    return statistics.median(a["p99_ms"] / b["p99_ms"] for a, b in alone or pairs)


def run(bench, rounds):
    bench.client.close()  # idle for longer than the server keeps it
    export = bench.dir / "export.json"
    export.write_text(json.dumps({"using": "pg", "sql": f"SELECT i AS id, 'item ' || i AS name FROM generate_series(1, {ROWS}) i"}))
    load = bench.dir / "load.ndjson"
    load.write_text((json.dumps(NEW) + "\n") * 50_000)
    bench.pg.psql(f"CREATE TABLE grown AS SELECT i::bigint AS id, i::bigint * 7 AS n, 'a note' AS note FROM generate_series(1, {10 * ROWS}) i;"
                  "ALTER TABLE grown ADD PRIMARY KEY (id), ALTER n SET NOT NULL", "bench")
    bench.client.put("/v1/models?set=grown", INDEXED).expect(200)
    migration(bench)  # what it has to do to the other tables is done
    unindex = "DROP INDEX CONCURRENTLY grown_n"
    asks = ("-H", "Content-Type: application/json", "-H", "Accept: application/x-ndjson", "--data-binary", f"@{export}")
    loads = ("-H", "Content-Type: application/x-ndjson", "--data-binary", f"@{load}")
    others = {"4 exports": [lambda: curl(bench, "/v1/sql/fetch-all", *asks)] * 4,
              "2 bulk loads": [lambda: curl(bench, "/v1/models/Written/records?using=pg", *loads)] * 2,
              "8 transactions": [lambda: transaction(bench)] * 8,
              "a migration": [lambda: migration(bench)]}

    def read(name):
        bench.leg(name, lambda: watched(bench, lambda: bench.wrk("GET", "/v1/models/Item/records/777?using=pg")))
    for _ in range(rounds):
        read("quiet")
        bench.pg.psql(unindex, "bench")
        for name, works in others.items():
            with working(works):
                read(f"beside {name}")
    bench.set("beside", max(compared(bench, name) for name in others))


def growth(bench, models):
    """What one read costs as models, sessions and idle connections grow."""
    def get(name):
        for _ in range(3):
            bench.leg(name, lambda: bench.wrk("GET", "/v1/models/Item/records/777", port=server.port, pid=server.process.pid))

    wide = [{"name": "id", "logical_type": "integer", "primary_key": True}]
    wide += [{"name": f"c{i}", "logical_type": "string", "nullable": True} for i in range(59)]
    server = bench.fresh("--sessions", "100001", "--sessions-per-key", "100001")[0]
    with server, Client(server.port, validate=False) as client:
        client.post("/v1/connections", {"name": "lite", "url": f"sqlite:{bench.sqlite_path}", "default": True}).expect(201)
        client.put("/v1/models", models).expect(200)
        client.post("/v1/sessions", {"using": "lite"}).expect(201)
        get("grown by nothing")
        for at in range(0, 5000, 500):
            many = [{"model_name": f"M{i}", "columns": wide} for i in range(at, at + 500)]
            client.put(f"/v1/models?set=s{at}", {"models": many}).expect(200)
        get("+ 5,000 models")
        for _ in range(100_000):
            client.post("/v1/sessions", {"using": "lite"}).expect(201)
        get("+ 100,000 sessions")
        sockets = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(10_000)]
        get("+ 10,000 clients")
        for s in sockets:
            s.close()
    bench.set("growth", bench.ratio("+ 10,000 clients", "grown by nothing", "rps"))
