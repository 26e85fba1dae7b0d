#!/usr/bin/env python3
"""Where the instructions of one kind of request go: ferrod under callgrind, a few seconds of load, the count a request by function.

Environment: REQUEST=hello|get|hit|query|rows|insert|raw|batch|pgget|pgquery|pgrows|pginsert|once|pgonce (default get). Times do not matter here, so a busy machine does not either.
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
import once  # noqa: E402
import raw  # noqa: E402
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


def main():
    binary = sys.argv[1] if len(sys.argv) > 1 else "build/release/ferrod"
    kind = os.environ.get("REQUEST") or "get"
    profile = Profile(binary)
    try:
        profile.setup_sqlite()
        if kind.startswith("pg"):
            profile.setup_pg()
        if kind.endswith("once"):
            url = profile.pg.url("bench") if kind == "pgonce" else f"sqlite:{profile.sqlite_path}"
            profile.client.post("/v1/connections", {"name": "kept", "url": url, "exactly_once": True, "pool": {"max_connections": 16}}).expect(201)
        request = {"hello": ("GET", "/healthz"), "get": ("GET", "/v1/models/Item/records/777"),
                   "hit": ("GET", "/v1/models/Item/records/777", None, profile.session),
                   "query": ("POST", "/v1/query", bench.BY_KEY), "rows": ("POST", "/v1/query", bench.HUNDRED),
                   "insert": ("POST", "/v1/models/Written/records", bench.NEW),
                   "raw": ("POST", "/v1/sql/execute", raw.INSERT),
                   "batch": ("POST", "/v1/batch", raw.lite_updates()),
                   "pgget": ("GET", "/v1/models/Item/records/777?using=pg"),
                   "pgquery": ("POST", "/v1/query?using=pg", bench.BY_KEY),
                   "pgrows": ("POST", "/v1/query?using=pg", bench.HUNDRED),
                   "pginsert": ("POST", "/v1/models/Written/records?using=pg", bench.NEW),
                   "once": ("POST", "/v1/models/Written/records?using=kept", bench.NEW),
                   "pgonce": ("POST", "/v1/models/Written/records?using=kept", bench.NEW)}[kind]
        script = raw.own_rows(request[2]) if kind == "batch" else once.keys() if kind.endswith("once") else ""
        profile.wrk(*request, connections=16, seconds=2, script=script)
        before = profile.answered()
        profile.count(True)
        profile.wrk(*request, connections=16, seconds=5, script=once.keys() if kind.endswith("once") else script)
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
