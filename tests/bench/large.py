"""Legs of bench.py: a database of 1,500 tables of 23 columns, introspected and made, on a server of its own."""
from support import large_schema
from support.client import Client
from support.pg import Postgres
from support.server import Server

import os
import sqlite3
import subprocess
import time


def peak_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cpu(server, client, path, body):
    """The server's own, whatever else the machine does."""
    spent = cpu_seconds(server.process.pid)
    client.post(path, body).expect(200)
    return cpu_seconds(server.process.pid) - spent


def took(client, path, body):
    start = time.monotonic()
    client.post(path, body).expect(200)
    return time.monotonic() - start


def measured(bench, name, url, empty, by_hand, rounds):
    with Server(binary=bench.server_binary) as server, Client(server.port, timeout=300, validate=False) as client:
        client.post("/v1/connections", {"name": "large", "url": url, "default": True}).expect(201)
        took(client, "/v1/introspect", {"tables": ["table_0001"]})
        idle = server.rss_kib()
        for _ in range(rounds):
            bench.leg(f"{name} introspect", lambda: {"s": took(client, "/v1/introspect", {}), "mib": (peak_kib(server.process.pid) - idle) / 1024})
        for _ in range(rounds):  # behind those: a peak stays, and what is registered takes more
            bench.leg(f"{name} introspect one", lambda: {"cpu_s": cpu(server, client, "/v1/introspect", {"tables": ["table_0777"]})})
            bench.leg(f"{name} register", lambda: {"cpu_s": cpu(server, client, "/v1/introspect", {"register": True})})
        dialect = "sqlite" if name == "sqlite" else "postgres"
        made = client.get(f"/v1/ddl?dialect={dialect}").expect(200).text
        for n in range(rounds):
            client.post("/v1/connections", {"name": f"empty{n}", "url": empty(n)}).expect(201)
            bench.leg(f"{name} create", lambda n=n: {"s": took(client, "/v1/create-tables", {"using": f"empty{n}"})})
            bench.leg(f"{name} create by hand", lambda n=n: {"s": by_hand(n, made)})
    bench.set(f"{name}_introspect", bench.median(f"{name} introspect", "s"))
    bench.set(f"{name}_introspect_mib", max(f["mib"] for f in bench.legs[f"{name} introspect"]))
    bench.set(f"{name}_introspect_one", bench.median(f"{name} introspect one", "cpu_s"))
    bench.set(f"{name}_register", bench.median(f"{name} register", "cpu_s"))
    bench.set(f"{name}_create", bench.median(f"{name} create", "s"))
    bench.set("sqlite_create_floor" if name == "sqlite" else "pg_create_psql", bench.ratio(f"{name} create", f"{name} create by hand", "s"))


def script(path, text):
    start = time.monotonic()
    with sqlite3.connect(path) as db:
        db.executescript(f"BEGIN;{text}COMMIT;")
    db.close()
    return time.monotonic() - start


def psql(url, text):
    start = time.monotonic()
    subprocess.run(["psql", "-q", "-X", "-1", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null", url], input=text, text=True, check=True)
    return time.monotonic() - start


def run(bench, rounds):
    path = bench.dir / "large.db"
    large_schema.make_sqlite(path)
    measured(bench, "sqlite", f"sqlite:{path}", lambda n: f"sqlite:{bench.dir}/empty{n}.db?mode=rwc",
             lambda n, text: script(bench.dir / f"hand{n}.db", text), rounds)
    postgres = Postgres(max_locks_per_transaction="8192")
    try:
        large_schema.make_postgres(postgres, "postgres")
        for n in range(rounds):
            postgres.psql(f"CREATE DATABASE empty{n}")
            postgres.psql(f"CREATE DATABASE hand{n}")
        measured(bench, "pg", postgres.url(), lambda n: postgres.url(f"empty{n}"), lambda n, text: psql(postgres.url(f"hand{n}"), text), rounds)
    finally:
        postgres.destroy()
