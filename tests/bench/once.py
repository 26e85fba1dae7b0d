"""Legs of bench.py: a write that is kept exactly once (catalog.md section 5), against the same write without a key."""
import itertools

NEW = {"name": "x", "qty": 1, "price": 1.5}
LEGS = itertools.count()


def keys():
    """A script for wrk: each request has a key of its own."""
    return f"""local threads = 0
function setup(thread) thread:set("id", "{next(LEGS)}-" .. threads .. "-") threads = threads + 1 end
local n = 0
function request()
  n = n + 1
  wrk.headers["Idempotency-Key"] = id .. n
  return wrk.format()
end
"""


def run(bench, rounds):
    for name, url in (("lite_once", f"sqlite:{bench.sqlite_path}"), ("pg_once", bench.pg.url("bench"))):
        bench.client.post("/v1/connections", {"name": name, "url": url, "exactly_once": True,
                                              "pool": {"max_connections": 16}}).expect(201)
    for _ in range(rounds):
        for name in ("lite", "pg"):
            path = f"/v1/models/Written/records?using={name}_once"
            bench.leg(f"{name} once", lambda p=path: bench.wrk("POST", p, NEW, script=keys()))
            bench.leg(f"{name} without", lambda p=path: bench.wrk("POST", p, NEW))
    for name, key in (("lite", "sqlite_once"), ("pg", "pg_once")):
        bench.set(key, bench.ratio(f"{name} once", f"{name} without", "cpu_us"))
