"""Where requests begin and end: the server beside llhttp, on every request of the table."""
import base64
import json
import re
import selectors
import socket
import time

from foreign import requests_table
from foreign.differences import DIFFERENCES
from support.server import Server

LLHTTP = "llhttp==9.3.0.0"
AT_ONCE = 48
QUIET_SECONDS = 3  # a connection on which nothing has come for so long waits for more of its request
REFUSED = (400, 413, 414, 431, 501, 505)
FIRST = re.compile(rb"HTTP/1\.[01] (\d{3}) [^\r\n]*\r\n(.*?)\r\n\r\n", re.S)


class Answers:
    """What has come back on one connection."""

    def __init__(self, raw, got, closed):
        self.statuses, self.follows, self.closed, lines = [], False, closed, {}
        no_body = raw.startswith(b"HEAD ")
        while got:
            head = FIRST.match(got)
            if head is None:
                self.statuses.append(0)
                break
            status = int(head[1])
            lines = dict(line.lower().split(": ", 1) for line in head[2].decode("latin-1").split("\r\n"))
            start = head.end() * (2 if got[head.end():].startswith(head[0]) else 1)  # libmicrohttpd 0.9.75 sends its own heads twice
            got = got[start + (0 if no_body else int(lines.get("content-length", "0"))):]
            no_body = False
            if status >= 200:
                self.statuses.append(status)
                self.follows = self.follows or lines.get("x-request-id") == "follows"
        refused = closed and bool(self.statuses) and self.statuses[-1] in REFUSED and lines.get("connection") == "close"
        self.taken = len(self.statuses) - refused


def ask(port, requests):
    """The answers to each, on a connection of its own."""
    found = []
    for at in range(0, len(requests), AT_ONCE):
        with selectors.DefaultSelector() as selector:
            states = []
            for raw in requests[at:at + AT_ONCE]:
                connection = socket.create_connection(("127.0.0.1", port), timeout=30)
                connection.sendall(raw)
                states.append([connection, b"", False, raw])
                selector.register(connection, selectors.EVENT_READ, states[-1])
            until = time.monotonic() + QUIET_SECONDS
            while selector.get_map() and time.monotonic() < until:
                for key, _ in selector.select(timeout=0.5):
                    until = time.monotonic() + QUIET_SECONDS
                    try:
                        data = key.fileobj.recv(65536)
                    except ConnectionResetError:
                        data = b""
                    key.data[1] += data
                    if not data:
                        key.data[2] = True
                        selector.unregister(key.fileobj)
            for connection, got, closed, raw in states:
                connection.close()
                found.append(Answers(raw, got, closed))
    return found


def judge(answers, verdict):
    """None: both took the same; else what differs."""
    messages, bodies, error = verdict
    first = requests_table.BODY.decode("latin-1")
    if answers.taken > messages:
        return "laxer"
    if answers.taken < messages:
        return "stricter"
    if 0 in answers.statuses:
        return "garbled"
    if error and not answers.closed:
        return "open"
    if messages and answers.statuses[0] == 200 and bodies[0] not in ("", "HELLO", first):
        return "another body"
    return None


def check(port, old, title, cases, verdicts, security):
    """The differences that nothing explains, and explanations that explain nothing."""
    wrong, used = [], set()
    for (name, raw), answers, verdict in zip(cases, ask(port, [raw for _, raw in cases]), verdicts, strict=True):
        kind = judge(answers, verdict)
        if kind is None:
            continue
        rule = next((rule for rule in DIFFERENCES if rule.covers(title, name, kind, old)), None)
        if rule is None:
            wrong.append(f"{kind}: {name}: answered {answers.statuses}{' and closed' if answers.closed else ''}, llhttp: {verdict[0]} {verdict[2]}: {raw[:600]!r}")
        used.add(rule)
    for rule in DIFFERENCES:
        if rule.table == title and rule.applies(old) and rule not in used:
            wrong.append(f"is no difference: {rule}")
        if rule in used and rule.says not in security:
            wrong.append(f"SECURITY.md does not say: {rule.says}")
    return wrong


def run(foreign):
    python = foreign.venv("venv-llhttp", LLHTTP) / "python"
    tables = {title: list(make()) for title, make in requests_table.TABLES.items()}
    with Server("--default-url", "sqlite::memory:") as server:
        from support.client import Client
        with Client(server.port) as client:
            old = client.get("/version").json()["libmicrohttpd"].startswith("0.")
        for title, cases in tables.items():
            cases = [(name, raw + requests_table.FOLLOWS) for name, raw in cases]
            said = foreign.run(python, foreign.root / "tests/foreign/llhttp_oracle.py", text=json.dumps([base64.b64encode(raw).decode() for _, raw in cases]))
            yield f"{title} ({len(cases)})", check(server.port, old, title, cases, json.loads(said), foreign.security)
