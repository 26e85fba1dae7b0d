#!/usr/bin/env python3
"""Where the instructions of one kind of request go: ferrod under callgrind, a few seconds of load, the count a request by function.

Environment: REQUEST=hello|get|hit|query|rows|insert|raw|rawinsert|batch|models|list|include|relation|upsert|export (default get), all but
hello and hit with "pg" before them for PostgreSQL, and pgtx (a transaction in two requests). PROFILE_SECONDS (5). Times do not
matter here, so a busy machine does not either.
Instructions in the kernel are not counted; "rep stos" (clearing memory) counts every byte.
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import bench  # noqa: E402
from support.client import Client  # noqa: E402
from support.server import Server  # noqa: E402


class Profile(bench.Bench):
    """A Bench whose server runs under callgrind, not counting yet."""

    def __init__(self, binary):
        self.out = pathlib.Path(binary).resolve().parent / "callgrind.out"
        self.out.unlink(missing_ok=True)
        self.seconds = 3
        self.dir = pathlib.Path(bench.tempfile.mkdtemp(prefix="ferrod-profile-"))
        self.stack = bench.contextlib.ExitStack()
        self.server = Server(binary=pathlib.Path(binary).resolve(), under=(
            "valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={self.out}"))
        self.stack.callback(self.server.stop)
        self.client = Client(self.server.port, validate=False)
        self.pg = None

    def count(self, on):
        subprocess.run(["callgrind_control", "-i", "on" if on else "off", str(self.pid)], check=True, stdout=subprocess.DEVNULL)

    def answered(self):
        text = self.client.get("/metrics").expect(200).text
        return sum(int(n) for n in re.findall(r"^ferrod_requests_total\{.* (\d+)$", text, re.M))


OWNED = [{"model_name": "Owner", "columns": [{"name": "id", "logical_type": "integer", "primary_key": True}, {"name": "name", "logical_type": "string"}],
          "relations": [{"name": "things", "kind": "reverse", "target": "Thing", "column": "owner_id"}]},
         {"model_name": "Thing", "columns": [{"name": "id", "logical_type": "integer", "primary_key": True},
                                             {"name": "owner_id", "logical_type": "integer", "index": True}, {"name": "note", "logical_type": "string"}],
          "relations": [{"name": "owner", "kind": "forward", "target": "Owner", "column": "owner_id"}],
          "foreign_keys": [{"column": "owner_id", "to_table": "owner", "to_column": "id"}]}]
RELATED = {"model_name": "Thing", "where": [{"node_kind": "leaf", "column": "name", "relation": "owner", "operator": "==", "value": "owner 7"}], "limit": 20}


def owned(profile, using):
    """20 owners with 20 things each."""
    profile.client.put("/v1/models?set=owned", {"models": OWNED}).expect(200)
    profile.client.post("/v1/create-tables", {"using": using}).expect(200)
    for path, rows in (("Owner", [{"id": n, "name": f"owner {n}"} for n in range(1, 21)]),
                       ("Thing", [{"id": n, "owner_id": n % 20 + 1, "note": f"a note about thing {n}"} for n in range(1, 401)])):
        profile.client.post(f"/v1/models/{path}/records?using={using}", {"records": rows}).expect(201)


def own_rows(batch):
    """A model's updates with two placeholders for wrk's script."""
    return bench.raw.OWN_ROWS % json.dumps(batch).replace("%", "%%").replace('"value": 1', '"value": %d')


def requests(profile, kind):
    """What wrk sends, and how."""
    using, of = ("pg", kind[2:]) if kind.startswith("pg") else ("lite", kind)
    at, place = f"?using={using}", "$1" if using == "pg" else "?"
    if of in ("include", "relation", "upsert"):
        owned(profile, using)
    export = {"sql": "SELECT id, name, note, price, qty FROM item WHERE id <= 2000"}
    insert = {**bench.raw.INSERT, "sql": bench.raw.INSERT["sql"] if using == "lite" else "INSERT INTO written (name, qty, price) VALUES ($1, $2, $3)"}
    update = {**bench.raw.UPDATES["steps"][1], "sql": bench.raw.UPDATES["steps"][1]["sql"].replace("$1", place)}
    by_model = {"op": "update", "query": {**bench.BY_KEY, "where": [{**bench.BY_KEY["where"][0], "value": 1}]}, "set": {"qty": 5}}
    batch = {"atomic": True, "steps": [by_model, by_model] if of == "models" else [update, update]}
    if of == "tx":
        return ("POST", "/v1/sql/execute?using=pg", {}), {"connections": 16, "threads": 16, "script": bench.raw.TWO_REQUESTS}
    ndjson = {"Accept": "application/x-ndjson"}
    found = {"hello": ("GET", "/healthz"), "hit": ("GET", "/v1/models/Item/records/777", None, getattr(profile, "session", None)),
             "get": ("GET", "/v1/models/Item/records/777" + at), "query": ("POST", "/v1/query" + at, bench.BY_KEY),
             "rows": ("POST", "/v1/query" + at, bench.HUNDRED), "insert": ("POST", "/v1/models/Written/records" + at, bench.NEW),
             "raw": ("POST", "/v1/sql/fetch-one" + at, {**bench.raw.ONE, "sql": bench.raw.ONE["sql"].replace("$1", place)}),
             "rawinsert": ("POST", "/v1/sql/execute" + at, insert), "batch": ("POST", "/v1/batch" + at, batch), "models": ("POST", "/v1/batch" + at, batch),
             "list": ("GET", f"/v1/models/Item/records{at}&qty=lt.900&limit=20&order=id"),
             "include": ("POST", "/v1/query" + at, {"model_name": "Owner", "include": ["things"], "limit": 5}),
             "relation": ("POST", "/v1/query" + at, RELATED),
             "upsert": ("POST", f"/v1/models/Owner/records{at}&on_conflict=update&conflict_columns=id", {"id": 7, "name": "owner 7"}),
             "export": ("POST", "/v1/sql/fetch-all" + at, export, ndjson)}[of]
    script = bench.raw.own_rows(batch) if of == "batch" else own_rows(batch) if of == "models" else ""
    return found, {"connections": 16, "script": script}


def main():
    binary = sys.argv[1] if len(sys.argv) > 1 else "build/release/ferrod"
    kind = os.environ.get("REQUEST") or "get"
    profile = Profile(binary)
    try:
        profile.setup_sqlite()
        if kind.startswith("pg"):
            profile.setup_pg()
        request, more = requests(profile, kind)
        profile.wrk(*request, seconds=2, **more)
        before = profile.answered()
        profile.count(True)
        profile.wrk(*request, seconds=int(os.environ.get("PROFILE_SECONDS") or 5), **more)
        profile.count(False)
        time.sleep(0.2)
        n = profile.answered() - before - 1
    finally:
        profile.close()
    text = subprocess.run(["callgrind_annotate", "--threshold=97", str(profile.out)], check=True, capture_output=True, text=True)
    print(f"{json.dumps(kind)}: {n} requests; instructions a request by function")
    for line in text.stdout.splitlines():
        found = re.match(r"\s*([\d,]+) \([^)]*\)\s+(.*)", line)
        if found:
            print(f"{int(found[1].replace(',', '')) / n:12,.0f}  {found[2].split(' [')[0].split('/')[-1]}")
    print(f"callgrind_annotate {profile.out} tells more")


if __name__ == "__main__":
    main()
