"""200 keep-alive clients that mix reads, writes and session calls: only documented answers, no lost row, a clean end.

FERROD_LOAD_SECONDS (default 5, half of it for each database) says for how long; `make asan` and `make check` take 60.
"""
import asyncio
import collections
import json
import os
import random
import time

import pytest

from support.client import Client, Request, Response
from support.contract import contract
from support.server import Server
from support.tables import MARKER, create_tables, leaf, query

SECONDS = float(os.environ.get("FERROD_LOAD_SECONDS", "5"))
CLIENTS = int(os.environ.get("FERROD_LOAD_CLIENTS", "200"))
# a request that waits longer than this hangs
PATIENCE = 60
# one answer in so many is judged by the whole description: the judge costs more than the server
JUDGED = 20


class Caller:
    """One keep-alive client: writes rows under keys of its own and remembers what it was told."""

    def __init__(self, number, port, using, shared):
        self.number, self.port, self.using, self.shared = number, port, using, shared
        self.random = random.Random(number)
        self.session = None
        self.written = {}
        self.unsure = set()
        self.next_key = number * 1000000

    async def run(self, until):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            while time.monotonic() < until:
                await self.random.choice((self.write, self.write, self.bulk, self.read, self.read, self.read, self.ask, self.count,
                                          self.open, self.look, self.transaction, self.mistake))()
            if self.session:
                await self.call("DELETE", "/v1/session", session=True)
        finally:
            self.writer.close()

    async def call(self, method, path, body=None, session=False, headers=None):
        sent = {"Host": "localhost", **(headers or {})}
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            sent["Content-Type"] = "application/json"
            sent["Content-Length"] = str(len(data))
        if session and self.session:
            sent["Ferro-Session"] = self.session
        head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in sent.items()) + "\r\n"
        self.writer.write(head.encode() + (data or b""))
        answer = await asyncio.wait_for(self.response(), PATIENCE)
        response = Response(Request(method, path, sent, data), answer[0], answer[1], answer[2])
        self.shared["answers"][response.status] += 1
        if self.random.randrange(JUDGED) == 0 or response.status >= 400:
            faults = list(contract().faults(response.request, response))
            if faults:
                self.shared["wrong"].append((method, path, response.status, faults, answer[2][:300]))
        if response.status >= 500 and response.status != 503:
            self.shared["wrong"].append((method, path, response.status, answer[2][:300]))
        return response

    async def response(self):
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = [tuple(line.split(": ", 1)) for line in head[1:] if ": " in line]
        named = {k.lower(): v for k, v in headers}
        body = b""
        if named.get("transfer-encoding") == "chunked":
            while True:
                size = int(await self.reader.readline(), 16)
                body += (await self.reader.readexactly(size + 2))[:-2]
                if size == 0:
                    break
        elif "content-length" in named:
            body = await self.reader.readexactly(int(named["content-length"]))
        return int(head[0].split(" ")[1]), headers, body

    def wrong(self, what, response):
        self.shared["wrong"].append((what, response.status, response.body[:300]))

    def key(self):
        self.next_key += 1
        return self.next_key

    async def write(self):
        key = self.key()
        self.unsure.add(key)
        answer = await self.call("POST", f"/v1/models/Marker/records?using={self.using}", {"id": key, "label": f"w{key}"})
        self.settle({key: f"w{key}"}, answer)

    async def bulk(self):
        rows = {self.key(): "b" for _ in range(5)}
        self.unsure.update(rows)
        body = {"records": [{"id": k, "label": v} for k, v in rows.items()]}
        self.settle(rows, await self.call("POST", f"/v1/models/Marker/records?using={self.using}", body))

    def settle(self, rows, answer):
        if answer.status == 201:
            self.written.update(rows)
        elif answer.status != 503:
            self.wrong("write", answer)
        self.unsure.difference_update(rows)

    async def read(self):
        if not self.written:
            return
        key = self.random.choice(list(self.written))
        answer = await self.call("GET", f"/v1/models/Marker/records/{key}" + ("" if self.session else f"?using={self.using}"), session=True)
        if answer.status != 200 and answer.status != 503:
            self.wrong("read", answer)
        elif answer.status == 200 and answer.json() != {"id": key, "label": self.written[key]}:
            self.wrong("another record", answer)

    async def ask(self):
        low = self.number * 1000000
        body = {"model_name": "Marker", "where": [leaf("id", "BETWEEN", [low, low + 999999])], "using": self.using,
                "order_by": [{"column": "id", "direction": "desc"}], "limit": 10}
        answer = await self.call("POST", "/v1/query", body, session=True)
        if answer.status == 200:
            got = [row["id"] for row in answer.json()["rows"]]
            if got != sorted(self.written, reverse=True)[:10]:
                self.wrong("rows missing", answer)
        elif answer.status != 503:
            self.wrong("query", answer)

    async def count(self):
        answer = await self.call("POST", "/v1/sql/fetch-one", {"sql": "SELECT count(*) AS n FROM marker", "using": self.using})
        if answer.status not in (200, 503):
            self.wrong("count", answer)

    async def open(self):
        if self.session and self.random.random() < 0.5:
            answer = await self.call("DELETE", "/v1/session", session=True)
            if answer.status != 204:
                self.wrong("close", answer)
            self.session = None
        elif not self.session:
            answer = await self.call("POST", "/v1/sessions", {"using": self.using})
            if answer.status == 201:
                self.session = answer.header("Ferro-Session")
            else:
                self.wrong("open", answer)

    async def look(self):
        if self.session:
            answer = await self.call("GET", "/v1/session", session=True)
            if answer.status != 200:
                self.wrong("session", answer)

    async def transaction(self):
        if self.random.random() < 0.7:
            return
        answer = await self.call("POST", "/v1/transactions", {"using": self.using})
        if answer.status != 201:
            if answer.status != 503:
                self.wrong("begin", answer)
            return
        name = answer.header("Ferro-Transaction")
        key = self.key()
        inside = {"Ferro-Transaction": name}
        answer = await self.call("POST", "/v1/models/Marker/records", {"id": key, "label": "t"}, headers=inside)
        wrote = answer.status == 201
        if not wrote and answer.status != 503:
            self.wrong("write in a transaction", answer)
        end = "commit" if wrote and self.random.random() < 0.5 else "rollback"
        self.unsure.add(key)
        answer = await self.call("POST", f"/v1/transactions/{name}/{end}", headers=inside)
        if answer.status == 200:
            self.unsure.discard(key)
            if end == "commit":
                self.written[key] = "t"
        else:
            self.wrong(end, answer)

    async def mistake(self):
        answer = await self.call("POST", "/v1/query", {"model_name": "Marker", "where": [leaf("nope", "==", 1)], "using": self.using})
        if answer.status != 422:
            self.wrong("mistake", answer)


@pytest.mark.parametrize("name", ["sqlite", "postgres"])
def test_load(request, name):
    backend = request.getfixturevalue(f"{name}_backend")
    with Server("--access-log=false") as server:
        with Client(server.port) as client:
            client.post("/v1/connections", {"name": "load", "url": backend.url, "pool": {
                "max_connections": 8, "acquire_timeout_seconds": 30}}).expect(201)
            create_tables(client, "load", MARKER)
        shared = {"answers": collections.Counter(), "wrong": []}
        callers = [Caller(number, server.port, "load", shared) for number in range(1, CLIENTS + 1)]

        async def everybody():
            until = time.monotonic() + SECONDS / 2
            results = await asyncio.gather(*(caller.run(until) for caller in callers), return_exceptions=True)
            return [repr(r) for r in results if r is not None]
        broken = asyncio.run(everybody())
        assert broken == [], broken[:5]
        assert shared["wrong"] == [], shared["wrong"][:5]
        assert sum(shared["answers"].values()) > CLIENTS, shared["answers"]
        with Client(server.port) as client:
            stored = {row["id"]: row["label"] for row in query(client, "Marker", using="load").expect(200).json()["rows"]}
            expected = {key: label for caller in callers for key, label in caller.written.items()}
            unsure = {key for caller in callers for key in caller.unsure}
            assert {k: v for k, v in stored.items() if k not in unsure} == expected
            state = client.get("/v1/connections/load").json()
            assert state["sessions"] == 0 and state["transactions"] == 0 and state["pool"]["in_use"] == 0
            assert client.get("/v1/sessions").json() == {"sessions": []}
        assert "internal_error" not in server.log()
