#!/usr/bin/env python3
"""The performance bars, measured: ferrod and the floors it is held against, interleaved, medians of several rounds.

Environment: BARS=http,sqlite,write,pg,lanes,bulk,stream,memory,scale,asking,once,raw,export,beside,large,held (groups; default
all), ROUNDS=5, SECONDS_PER_LEG=2.
Everything listens on 127.0.0.1 and every process that is started here is stopped by its pid. The figures go to stdout as a
table and to build/<variant>/bench.json.
"""
import argparse
import contextlib
import http.client
import json
import os
import pathlib
import platform
import re
import resource
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import asking  # noqa: E402
import beside  # noqa: E402
import held  # noqa: E402
import large  # noqa: E402
import once  # noqa: E402
import raw  # noqa: E402
from support.client import Client  # noqa: E402
from support.pg import Postgres  # noqa: E402
from support.process import free_port  # noqa: E402
from support.server import Server  # noqa: E402

TICK = os.sysconf("SC_CLK_TCK")
ROWS = 100_000
STREAM_ROWS = 1_000_000
BULK_ROWS = 10_000
GROUPS = ("http", "sqlite", "write", "pg", "lanes", "bulk", "stream", "memory", "scale", "asking", "once", "raw", "export", "beside", "large", "held")
COLUMNS = [
    {"name": "id", "logical_type": "integer", "primary_key": True, "autoincrement": True},
    {"name": "name", "logical_type": "string"},
    {"name": "qty", "logical_type": "integer"},
    {"name": "price", "logical_type": "number"},
    {"name": "note", "logical_type": "string", "nullable": True}]
MODELS = {"models": [{"model_name": "Item", "columns": COLUMNS}, {"model_name": "Written", "columns": COLUMNS}]}
BY_KEY = {"model_name": "Item", "where": [{"node_kind": "leaf", "column": "id", "operator": "==", "value": 777}]}
HUNDRED = {"model_name": "Item", "where": [{"node_kind": "leaf", "column": "id", "operator": ">=", "value": 500}],
           "order_by": [{"column": "id", "direction": "asc"}], "limit": 100}
NEW = {"name": "x", "qty": 1, "price": 1.5}
LONG_SQL = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 20000000) SELECT count(*) AS n FROM r"

# key: (group, what, at least, aim, "max" when less is better, unit)
BARS = {
    "hello_cpu": ("http", "hello: CPU per request against a bare epoll responder", 1.6, 1.3, "max", "x"),
    "sqlite_get": ("sqlite", "SQLite, one record by key over GET: rps against hello", 0.55, 0.75, "min", "x"),
    "identity_hit": ("sqlite", "the same from the identity map: rps against hello", 0.85, 0.9, "min", "x"),
    "sqlite_query": ("sqlite", "SQLite, POST /v1/query by key: rps against hello", 0.40, 0.55, "min", "x"),
    "sqlite_rows": ("sqlite", "SQLite, 100 rows: CPU against bare C loop + hello", 2.0, 1.5, "max", "x"),
    "pg_get": ("pg", "PostgreSQL, one record by key: rps against pgbench -S", 0.65, 1.0, "min", "x"),
    "pg_cpu": ("pg", "the same: PostgreSQL CPU per query against pgbench -S", 0.7, 0.5, "max", "x"),
    "pg_rows": ("pg", "PostgreSQL, 100 rows: rps against pgbench with the same SQL", 0.65, 0.8, "min", "x"),
    "pg_insert": ("pg", "PostgreSQL single-row inserts: rps against pgbench -c 8", 0.7, 0.9, "min", "x"),
    "pg_sleep": ("lanes", "8 x pg_sleep(2) beside point reads: p99 against quiet", 2.0, 1.5, "max", "x"),
    "sqlite_long": ("lanes", "4 x long SQLite query beside point reads: rps against quiet", 0.35, 0.5, "min", "x"),
    "sqlite_write": ("write", "SQLite single-row writes, FULL sync: rps against bare C commits", 1.0, 5.0, "min", "x"),
    "bulk_pg": ("bulk", "bulk create of 10,000 rows: time against COPY", 1.5, 1.2, "max", "x"),
    "bulk_sqlite": ("bulk", "bulk create of 10,000 rows: time against prepared inserts", 1.8, 1.4, "max", "x"),
    "stream_sqlite": ("stream", "1,000,000 rows as NDJSON from SQLite: peak memory over idle", 16.0, 4.0, "max", "MiB"),
    "stream_pg": ("stream", "1,000,000 rows as NDJSON from PostgreSQL: peak memory over idle", 16.0, 4.0, "max", "MiB"),
    "sessions": ("memory", "10,000 idle sessions with ten mapped records each", 64.0, 32.0, "max", "MiB"),
    "keepalive": ("memory", "10,000 idle keep-alive connections", 160.0, 100.0, "max", "MiB"),
    "idle": ("memory", "idle memory after start", 12.0, 8.0, "max", "MiB"),
    "start": ("memory", "start to first answer", 100.0, 30.0, "max", "ms"),
    "start_models": ("memory", "the same with 1,000 kept models of 23 columns", 100.0, 60.0, "max", "ms"),
    "sqlite_relation": ("asking", "SQLite, relation filter over 100,000 rows: time against the same by hand", 1.3, 1.1, "max", "x"),
    "sqlite_path": ("asking", "SQLite, JSON path filter over 100,000 rows: time against the same by hand", 1.3, 1.1, "max", "x"),
    "pg_relation": ("asking", "PostgreSQL, relation filter over 100,000 rows: time against the same by hand", 1.3, 1.1, "max", "x"),
    "sqlite_once": ("once", "SQLite, a write kept exactly once: CPU against the same without a key", 3.0, 1.6, "max", "x"),
    "pg_once": ("once", "PostgreSQL, a write kept exactly once: CPU against the same without a key", 3.0, 1.6, "max", "x"),
    "sqlite_introspect": ("large", "SQLite, 1,500 tables of 23 columns introspected", 3, 1, "max", "s"),
    "sqlite_introspect_mib": ("large", "SQLite, memory over idle while they are, three times in a row", 64, 48, "max", "MiB"),
    "sqlite_introspect_one": ("large", "SQLite, one of them introspected: processor time", 0.2, 0.1, "max", "s"),
    "sqlite_register": ("large", "SQLite, all of them introspected and registered: processor time", 3, 2, "max", "s"),
    "sqlite_create": ("large", "SQLite, 1,500 tables of 23 columns made", 10, 3, "max", "s"),
    "pg_introspect": ("large", "PostgreSQL, 1,500 tables of 23 columns introspected", 3, 1, "max", "s"),
    "pg_introspect_mib": ("large", "PostgreSQL, memory over idle while they are, three times in a row", 64, 48, "max", "MiB"),
    "pg_introspect_one": ("large", "PostgreSQL, one of them introspected: processor time", 0.2, 0.1, "max", "s"),
    "pg_register": ("large", "PostgreSQL, all of them introspected and registered: processor time", 3, 2, "max", "s"),
    "pg_create": ("large", "PostgreSQL, 1,500 tables of 23 columns made", 10, 6, "max", "s"),
    "pg_create_psql": ("large", "the same: time against psql with the same statements, one transaction", 1.3, 1.1, "max", "x"),
    "sqlite_create_floor": ("large", "SQLite, 1,500 tables made: time against the same statements in one script", 2, 1.5, "max", "x"),
    "pg_path": ("asking", "PostgreSQL, JSON path filter over 100,000 rows: time against the same by hand", 1.3, 1.1, "max", "x"),
    **raw.BARS, **beside.BARS,
    "sqlite_held_include": ("held", "SQLite, 1,000,000 rows by an include (refused): peak memory over idle", 80, 72, "max", "MiB"),
    "sqlite_held_reference": ("held", "SQLite, 1,000,000 rows by a batch's reference (refused): peak memory over idle", 80, 72, "max", "MiB"),
    "sqlite_held_map": ("held", "SQLite, 1,000,000 rows by an identity map: peak memory over idle", 32, 24, "max", "MiB"),
    "pg_held_include": ("held", "PostgreSQL, 1,000,000 rows by an include (refused): peak memory over idle", 80, 72, "max", "MiB"),
    "pg_held_reference": ("held", "PostgreSQL, 1,000,000 rows by a batch's reference (refused): peak memory over idle", 80, 72, "max", "MiB"),
    "pg_held_map": ("held", "PostgreSQL, 1,000,000 rows by an identity map: peak memory over idle", 32, 24, "max", "MiB"),
    "growth": ("scale", "rps at 1 session against 100,000, 5,000 models, 10,000 clients", 0.9, 1.0, "min", "x"),
    "collapse": ("scale", "120 to 1,000 connections: worst rps against 120", 0.5, 0.8, "min", "x"),
}


def say(*words):
    print(*words, file=sys.stderr, flush=True)


# ---- processes ----

def cpu_seconds(pid, children=False):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    ticks = int(fields[11]) + int(fields[12]) + (int(fields[13]) + int(fields[14]) if children else 0)
    return ticks / TICK


def pg_cpu_seconds(pg):
    """Of the postmaster, its children, and those that have ended."""
    total = 0.0
    for pid in pg._pids():
        with contextlib.suppress(OSError):
            total += cpu_seconds(pid, pid == pg.process.pid)
    return total


def status_kib(pid, key):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1])
    return 0


def reset_peak(pid):
    pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")


def output(*command, **kwargs):
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120, **kwargs)
    return done.stdout


def build_floors(directory):
    for name, libs in (("floor_epoll", ["-pthread"]), ("floor_sqlite", ["-lsqlite3"]), ("stops", ["-pthread"])):
        subprocess.run(["gcc", "-O2", "-D_GNU_SOURCE", "-o", str(directory / name), str(HERE / (name + ".c")), *libs], check=True)


# ---- load ----

class Bench:
    def __init__(self, binary, seconds):
        self.seconds = seconds
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="ferrod-bench-"))
        self.stack = contextlib.ExitStack()
        self.server = Server(binary=pathlib.Path(binary).resolve())
        self.stack.callback(self.server.stop)
        self.client = Client(self.server.port, validate=False)
        build_floors(self.dir)
        self.pg = None
        self.n_rows = ROWS
        self.legs = {}
        self.results = {}

    def close(self):
        self.stack.close()
        if self.pg is not None:
            self.pg.destroy()
        subprocess.run(["rm", "-rf", str(self.dir)], check=False)

    @property
    def pid(self):
        return self.server.process.pid

    def wrk(self, method, path, body=None, headers=None, connections=64, seconds=None, port=None, pid=None, script="",
            threads=2):
        """Runs wrk; {"rps", "cpu_us", "p99_ms", "pg_us"}."""
        file = self.dir / "wrk.lua"
        lines = [f'wrk.method = "{method}"']
        if body is not None:
            lines += [f"wrk.body = [[{json.dumps(body)}]]", 'wrk.headers["Content-Type"] = "application/json"']
        lines += [f'wrk.headers["{k}"] = "{v}"' for k, v in (headers or {}).items()]
        file.write_text("\n".join(lines) + "\n" + script)
        pid = pid or self.pid
        cpu, pg_cpu = cpu_seconds(pid), pg_cpu_seconds(self.pg) if self.pg else 0
        text = output("wrk", f"-t{threads}", f"-c{connections}", f"-d{seconds or self.seconds}s", "--latency", "-s", str(file),
                      f"http://127.0.0.1:{port or self.server.port}{path}")
        cpu = cpu_seconds(pid) - cpu
        pg_cpu = (pg_cpu_seconds(self.pg) if self.pg else 0) - pg_cpu
        bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
        if bad:
            raise RuntimeError(f"{method} {path}: {bad[0]}")
        n = int(re.search(r"(\d+) requests in", text)[1])
        p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)\b", text)
        scale = {"us": 1e-3, "ms": 1, "s": 1e3}[p99[2]]
        return {"rps": float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1]), "cpu_us": cpu / max(n, 1) * 1e6,
                "p99_ms": float(p99[1]) * scale, "pg_us": pg_cpu / max(n, 1) * 1e6}

    def leg(self, name, run):
        figures = run()
        self.legs.setdefault(name, []).append(figures)
        say(f"  {name:16}" + "".join(f"  {k} {v:,.2f}" for k, v in figures.items()))

    def median(self, leg, key):
        return statistics.median(f[key] for f in self.legs[leg])

    def ratio(self, leg, other, key):
        """The median of the rounds' own ratios: what disturbs a round disturbs both."""
        return statistics.median(a[key] / b[key] for a, b in zip(self.legs[leg], self.legs[other]))

    def set(self, key, value):
        self.results[key] = value
        say(f"{BARS[key][1]}: {value:.3f} {BARS[key][5]}")

    # ---- set-up ----

    def setup_sqlite(self):
        path = self.dir / "bench.db"
        db = sqlite3.connect(path)
        db.execute("PRAGMA journal_mode=WAL")
        for table in ("item", "written"):
            db.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, qty BIGINT NOT NULL, "
                       "price REAL NOT NULL, note TEXT)")
        db.executemany("INSERT INTO item VALUES (?, ?, ?, ?, ?)", self.items(ROWS))
        db.commit()
        db.close()
        self.sqlite_path = str(path)
        self.client.post("/v1/connections", {"name": "lite", "url": f"sqlite:{path}", "default": True}).expect(201)
        self.client.put("/v1/models", MODELS).expect(200)
        answer = self.client.post("/v1/sessions", {"using": "lite"}).expect(201)
        self.session = {"Ferro-Session": answer.header("Ferro-Session")}
        self.client.get("/v1/models/Item/records/777", headers=self.session).expect(200)

    @staticmethod
    def items(n):
        return ((i, f"item {i}", i * 7 % 1000, i * 0.25, f"a note about item {i}") for i in range(1, n + 1))

    def setup_pg(self):
        self.pg = Postgres()
        self.pg_database = self.pg.create_database("bench")
        for table in ("item", "written"):
            self.pg.psql(f"CREATE TABLE {table} (id bigserial PRIMARY KEY, name text NOT NULL, qty bigint NOT NULL, "
                         "price double precision NOT NULL, note text)", "bench")
        self.pg.psql("INSERT INTO item SELECT i, 'item ' || i, i * 7 % 1000, i * 0.25, 'a note about item ' || i "
                     f"FROM generate_series(1, {ROWS}) i; ANALYZE item", "bench")
        self.client.post("/v1/connections", {"name": "pg", "url": self.pg.url("bench"),
                                             "pool": {"max_connections": 16}}).expect(201)

    def pgbench(self, script, *args):
        path = self.dir / "pgbench.sql"
        path.write_text(script)
        cpu = pg_cpu_seconds(self.pg)
        text = output("pgbench", "-n", "-M", "prepared", "-c", "8", "-j", "2", "-T", str(self.seconds), "-f", str(path), *args,
                      "-h", "127.0.0.1", "-p", str(self.pg.port), "-U", "ferrod", "bench",
                      env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"})
        time.sleep(0.1)
        cpu = pg_cpu_seconds(self.pg) - cpu
        n = int(re.search(r"transactions actually processed: (\d+)", text)[1])
        return {"rps": float(re.search(r"tps = ([\d.]+)", text)[1]), "pg_us": cpu / max(n, 1) * 1e6}

    # ---- rounds ----

    def floor_epoll(self):
        process = subprocess.Popen([str(self.dir / "floor_epoll"), str(os.cpu_count())], stdout=subprocess.PIPE, text=True)
        try:
            port = int(process.stdout.readline())
            return self.wrk("GET", "/healthz", port=port, pid=process.pid)
        finally:
            process.kill()
            process.wait()

    def floor_sqlite(self, mode, n):
        return float(output(str(self.dir / "floor_sqlite"), self.sqlite_path, mode, str(n)))

    def round(self, groups):
        hello = {"http", "sqlite"} & groups
        if hello:
            self.leg("hello", lambda: self.wrk("GET", "/healthz"))
        if "http" in groups:
            self.leg("epoll floor", self.floor_epoll)
        if "sqlite" in groups:
            self.leg("sqlite get", lambda: self.wrk("GET", "/v1/models/Item/records/777"))
            self.leg("identity hit", lambda: self.wrk("GET", "/v1/models/Item/records/777", headers=self.session))
            self.leg("sqlite query", lambda: self.wrk("POST", "/v1/query", BY_KEY))
            self.leg("sqlite rows", lambda: self.wrk("POST", "/v1/query", HUNDRED))
            self.leg("rows floor", lambda: {"cpu_us": self.floor_sqlite("rows", 5000)})
        if "write" in groups:
            self.leg("sqlite write", lambda: self.wrk("POST", "/v1/models/Written/records", NEW))
            self.leg("commits floor", lambda: {"rps": self.floor_sqlite("commits", self.seconds)})
        if "pg" in groups:
            self.leg("pg get", lambda: self.wrk("GET", "/v1/models/Item/records/777?using=pg"))
            self.leg("pgbench -S", lambda: self.pgbench(
                "\\set id random(1, 100000)\nSELECT id, name, note, price, qty FROM item WHERE id = :id;\n"))
            self.leg("pg rows", lambda: self.wrk("POST", "/v1/query?using=pg", HUNDRED))
            self.leg("pgbench rows", lambda: self.pgbench(
                "SELECT id, name, note, price, qty FROM item WHERE id >= 500 ORDER BY id LIMIT 100;\n"))
            self.leg("pg insert", lambda: self.wrk("POST", "/v1/models/Written/records?using=pg", NEW))
            self.leg("pgbench insert", lambda: self.pgbench(
                "INSERT INTO written (name, qty, price) VALUES ('x', 1, 1.5) RETURNING id, name, note, price, qty;\n"))

    def conclude(self, groups):
        if "http" in groups:
            self.set("hello_cpu", self.ratio("hello", "epoll floor", "cpu_us"))
        if "sqlite" in groups:
            for key, leg in (("sqlite_get", "sqlite get"), ("identity_hit", "identity hit"), ("sqlite_query", "sqlite query")):
                self.set(key, self.ratio(leg, "hello", "rps"))
            self.set("sqlite_rows", statistics.median(
                a["cpu_us"] / (b["cpu_us"] + c["cpu_us"])
                for a, b, c in zip(self.legs["sqlite rows"], self.legs["rows floor"], self.legs["hello"])))
        if "write" in groups:
            self.set("sqlite_write", self.ratio("sqlite write", "commits floor", "rps"))
        if "pg" in groups:
            self.set("pg_get", self.ratio("pg get", "pgbench -S", "rps"))
            self.set("pg_cpu", self.ratio("pg get", "pgbench -S", "pg_us"))
            self.set("pg_rows", self.ratio("pg rows", "pgbench rows", "rps"))
            self.set("pg_insert", self.ratio("pg insert", "pgbench insert", "rps"))

    # ---- slow beside quick ----

    @contextlib.contextmanager
    def slow(self, n, path, body):
        """n clients that send that request again and again."""
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(Client(self.server.port, validate=False)) for _ in range(n)]
            with beside.working([lambda client=client: client.post(path, body) is None for client in clients]):
                yield

    def lanes(self, rounds):
        for _ in range(rounds):
            self.leg("pg quiet", lambda: self.wrk("GET", "/v1/models/Item/records/777?using=pg"))
            with self.slow(8, "/v1/sql/fetch-one", {"sql": "SELECT pg_sleep(2)", "using": "pg"}):
                self.leg("pg beside sleep", lambda: self.wrk("GET", "/v1/models/Item/records/777?using=pg"))
            self.leg("lite quiet", lambda: self.wrk("GET", "/v1/models/Item/records/777"))
            with self.slow(4, "/v1/sql/fetch-one", {"sql": LONG_SQL, "using": "lite"}):
                self.leg("lite beside long", lambda: self.wrk("GET", "/v1/models/Item/records/777"))
        self.set("pg_sleep", self.ratio("pg beside sleep", "pg quiet", "p99_ms"))
        self.set("sqlite_long", self.ratio("lite beside long", "lite quiet", "rps"))

    # ---- bulk ----

    def post_raw(self, path, raw, content_type):
        with Client(self.server.port, validate=False) as client:
            start = time.monotonic()
            client.request("POST", path, raw=raw, headers={"Content-Type": content_type}).expect(201)
            return time.monotonic() - start

    def bulk(self, rounds):
        lines = "".join(json.dumps({**NEW, "qty": i}) + "\n" for i in range(BULK_ROWS)).encode()
        copy = self.dir / "copy.tsv"
        copy.write_text("".join(f"x\t{i}\t1.5\n" for i in range(BULK_ROWS)))
        command = [str(self.pg.bin / "psql"), "-X", "-q", "-h", "127.0.0.1", "-p", str(self.pg.port), "-U", "ferrod", "-d",
                   "bench", "-c", "\\timing on", "-c", f"\\copy written (name, qty, price) from '{copy}'"]
        for _ in range(rounds):
            self.leg("bulk lite", lambda: {"ms": 1e3 * self.post_raw(
                "/v1/models/Written/records?using=lite", lines, "application/x-ndjson")})
            self.leg("bulk lite floor", lambda: {"ms": 1e3 * self.floor_sqlite("bulk", BULK_ROWS)})
            self.leg("bulk pg", lambda: {"ms": 1e3 * self.post_raw(
                "/v1/models/Written/records?using=pg", lines, "application/x-ndjson")})
            self.leg("bulk pg floor", lambda: {"ms": float(re.search(r"Time: ([\d.]+) ms", output(*command))[1])})
        self.set("bulk_sqlite", self.ratio("bulk lite", "bulk lite floor", "ms"))
        self.set("bulk_pg", self.ratio("bulk pg", "bulk pg floor", "ms"))

    # ---- streams ----

    def stream(self, using):
        body = json.dumps({"sql": {
            "lite": f"WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < {STREAM_ROWS}) "
                    "SELECT n AS id, 'item ' || n AS name, n * 0.25 AS price FROM r",
            "pg": f"SELECT n AS id, 'item ' || n AS name, n * 0.25::float8 AS price FROM generate_series(1, {STREAM_ROWS}) n",
        }[using], "using": using}).encode()
        idle = status_kib(self.pid, "VmRSS")
        reset_peak(self.pid)
        start = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=120)
        connection.request("POST", "/v1/sql/fetch-all", body,
                           {"Content-Type": "application/json", "Accept": "application/x-ndjson"})
        answer = connection.getresponse()
        n_lines = 0
        while chunk := answer.read(1 << 18):
            n_lines += chunk.count(b"\n")
        connection.close()
        assert n_lines >= STREAM_ROWS, f"{n_lines} lines"
        say(f"  {using}: {STREAM_ROWS / (time.monotonic() - start):,.0f} rows/s")
        return (status_kib(self.pid, "VmHWM") - idle) / 1024

    # ---- memory ----

    def fresh(self, *args):
        """A server on a known port, and the milliseconds to its first answer."""
        port = free_port()
        start = time.monotonic()
        server = Server(*args, listen=f"127.0.0.1:{port}", wait=False, binary=self.server_binary)
        while True:
            try:
                with socket.create_connection(("127.0.0.1", port)) as s:
                    s.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    if s.recv(4096):
                        break
            except OSError:
                time.sleep(0.0005)
        took = 1e3 * (time.monotonic() - start)
        server.port = port
        return server, took

    def memory(self, rounds):
        for _ in range(rounds):
            server, took = self.fresh()
            with server:
                time.sleep(0.5)
                self.leg("start", lambda: {"ms": took, "mib": status_kib(server.process.pid, "VmRSS") / 1024})
        self.set("start", self.median("start", "ms"))
        self.set("start_models", self.start_with_models(rounds))
        self.set("idle", self.median("start", "mib"))
        with self.fresh()[0] as server:
            self.set("keepalive", self.idle_connections(server))
        with self.fresh()[0] as server:
            self.set("sessions", self.idle_sessions(server))

    def start_with_models(self, rounds):
        state = ("--state-url", f"sqlite:{self.sqlite_path}.state?mode=rwc")
        wide = [COLUMNS[0]] + [{"name": f"c{n}", "logical_type": "string", "nullable": True} for n in range(22)]
        server, _ = self.fresh(*state)
        with server, Client(server.port, validate=False) as client:
            for at in range(0, 1000, 250):
                models = [{"model_name": f"M{n}", "columns": wide} for n in range(at, at + 250)]
                client.put(f"/v1/models?set=s{at}", {"models": models}).expect(200)
        times = []
        for _ in range(rounds):
            server, took = self.fresh(*state)
            with server:
                times.append(took)
        return statistics.median(times)

    def idle_connections(self, server):
        before = status_kib(server.process.pid, "VmRSS")
        sockets = []
        try:
            for _ in range(10_000):
                s = socket.create_connection(("127.0.0.1", server.port))
                s.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert s.recv(4096).startswith(b"HTTP/1.1 200")
                sockets.append(s)
            return (status_kib(server.process.pid, "VmRSS") - before) / 1024
        finally:
            for s in sockets:
                s.close()

    def idle_sessions(self, server):
        with Client(server.port, validate=False) as client:
            client.post("/v1/connections", {"name": "lite", "url": f"sqlite:{self.sqlite_path}", "default": True}).expect(201)
            client.put("/v1/models", MODELS).expect(200)
            ten = {**HUNDRED, "limit": 10}
            client.post("/v1/query", ten).expect(200)
            before = status_kib(server.process.pid, "VmRSS")
            for _ in range(10_000 - 1):
                answer = client.post("/v1/sessions", {"using": "lite"}).expect(201)
                client.post("/v1/query", ten, headers={"Ferro-Session": answer.header("Ferro-Session")}).expect(200)
            return (status_kib(server.process.pid, "VmRSS") - before) / 1024

    # ---- scale ----

    def scale(self, rounds):
        counts = (120, 128, 129, 256, 384, 1000)
        for _ in range(rounds):
            for n in counts:
                self.leg(f"{n} connections", lambda n=n: self.wrk("GET", "/v1/models/Item/records/777", connections=n))
        self.set("collapse", min(self.ratio(f"{n} connections", "120 connections", "rps") for n in counts))

    def run(self, groups, rounds):
        if groups & {"sqlite", "write", "lanes", "bulk", "stream", "memory", "scale", "asking", "once", "raw", "export", "beside"}:
            self.setup_sqlite()
        if groups & {"pg", "lanes", "bulk", "stream", "asking", "once", "raw", "export", "beside"}:
            self.setup_pg()
            self.client.put("/v1/models", MODELS).expect(200)
        if groups & {"http", "sqlite", "write", "pg"}:
            for i in range(rounds):
                say(f"round {i + 1} of {rounds}")
                self.round(groups)
            self.conclude(groups)
        short = max(1, min(3, rounds))
        if "lanes" in groups:
            self.lanes(short)
        if "bulk" in groups:
            self.bulk(rounds)
        if "stream" in groups:
            self.set("stream_sqlite", self.stream("lite"))
            self.set("stream_pg", self.stream("pg"))
        if "asking" in groups:
            asking.run(self, short)
        if "once" in groups:
            once.run(self, rounds)
        if "raw" in groups:
            raw.run(self, rounds)
        if "export" in groups:
            raw.run_export(self, rounds)
        if "beside" in groups:
            beside.run(self, short)
        if "large" in groups:
            large.run(self, short)
        if "held" in groups:
            held.run(self)
        if "memory" in groups:
            self.memory(rounds)
        if "scale" in groups:
            self.scale(short)
            beside.growth(self, MODELS)


# ---- the answer ----

def verdict(key, value):
    _, _, at_least, aim, kind, _ = BARS[key]
    better = (lambda a, b: a <= b) if kind == "max" else (lambda a, b: a >= b)
    return "aim" if better(value, aim) else "met" if better(value, at_least) else "MISSED"


def machine():
    model = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return {"cpu": model[1] if model else platform.machine(), "cores": os.cpu_count(), "kernel": platform.release(),
            "load_at_start": os.getloadavg()[0]}


def table(results):
    lines = ["| bar | measured | at least | aim | |", "|---|---|---|---|---|"]
    for key, (_, what, at_least, aim, kind, unit) in BARS.items():
        if key in results:
            sign = "<=" if kind == "max" else ">="
            lines.append(f"| {what} | {results[key]:.2f} {unit} | {sign} {at_least:g} | {aim:g} | {verdict(key, results[key])} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", default="build/release/ferrod")
    parser.add_argument("--out")
    options = parser.parse_args()
    groups = {g for g in (os.environ.get("BARS") or ",".join(GROUPS)).split(",") if g}
    unknown = groups - set(GROUPS)
    if unknown:
        parser.error(f"BARS knows {', '.join(GROUPS)}, not {', '.join(sorted(unknown))}")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    facts = machine()
    start = time.monotonic()
    bench = Bench(options.bin, float(os.environ.get("SECONDS_PER_LEG") or 2))
    bench.seconds = int(bench.seconds)
    bench.server_binary = pathlib.Path(options.bin).resolve()
    try:
        bench.run(groups, int(os.environ.get("ROUNDS") or 5))
    finally:
        bench.close()
    print(f"{facts['cpu']}, {facts['cores']} cores, Linux {facts['kernel']}, load at the start {facts['load_at_start']:.1f}; "
          f"{time.monotonic() - start:.0f} s")
    print(table(bench.results))
    legs = {name: {k: statistics.median(f[k] for f in figures) for k in figures[0]} for name, figures in bench.legs.items()}
    print("\n| leg | medians |\n|---|---|")
    for name, figures in legs.items():
        print(f"| {name} | " + ", ".join(f"{k} {v:,.1f}" for k, v in figures.items()) + " |")
    out = pathlib.Path(options.out or pathlib.Path(options.bin).resolve().parent / "bench.json")
    out.write_text(json.dumps({"machine": facts, "bars": {k: {"value": v, "verdict": verdict(k, v)} for k, v in bench.results.items()},
                               "legs": bench.legs}, indent=1) + "\n")
    return 0 if all(verdict(k, v) != "MISSED" for k, v in bench.results.items()) else 1


if __name__ == "__main__":
    sys.exit(main())
