"""Legs of bench.py: a database of 1,500 tables of 23 columns, introspected and made, on a server of its own."""
from support import large_schema
from support.client import Client
from support.pg import Postgres
from support.server import Server

import time


def peak_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))


def took(client, path, body):
    start = time.monotonic()
    client.post(path, body).expect(200)
    return time.monotonic() - start


def measured(bench, name, url, empty, rounds):
    with Server(binary=bench.server_binary) as server, Client(server.port, timeout=300, validate=False) as client:
        client.post("/v1/connections", {"name": "large", "url": url, "default": True}).expect(201)
        took(client, "/v1/introspect", {"tables": ["table_0001"]})
        idle = server.rss_kib()
        for _ in range(rounds):
            bench.leg(f"{name} introspect", lambda: {"s": took(client, "/v1/introspect", {}), "mib": (peak_kib(server.process.pid) - idle) / 1024})
            bench.leg(f"{name} introspect one", lambda: {"s": took(client, "/v1/introspect", {"tables": ["table_0777"]})})
        took(client, "/v1/introspect", {"register": True})
        client.post("/v1/connections", {"name": "empty", "url": empty}).expect(201)
        bench.leg(f"{name} create", lambda: {"s": took(client, "/v1/create-tables", {"using": "empty"})})
    bench.set(f"{name}_introspect", bench.median(f"{name} introspect", "s"))
    bench.set(f"{name}_introspect_mib", max(f["mib"] for f in bench.legs[f"{name} introspect"]))
    bench.set(f"{name}_create", bench.median(f"{name} create", "s"))


def run(bench, rounds):
    path = bench.dir / "large.db"
    large_schema.make_sqlite(path)
    measured(bench, "sqlite", f"sqlite:{path}", f"sqlite:{bench.dir}/empty.db?mode=rwc", rounds)
    postgres = Postgres(max_locks_per_transaction="8192")
    try:
        large_schema.make_postgres(postgres, "postgres")
        postgres.psql("CREATE DATABASE empty")
        measured(bench, "pg", postgres.url(), postgres.url("empty"), rounds)
    finally:
        postgres.destroy()
