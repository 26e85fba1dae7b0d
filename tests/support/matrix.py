"""Every way to write a record beside every way to read it, in one session: what the session's identity map is left with.

A lane is a session with one record of its own and some TCP connections. In a cycle one connection writes the record along
one path while others read it along another, all without waiting for each other; when they are done, a plain GET has to show
what was acknowledged: never what was there before it, never what was undone. Lanes run side by side on one thread.

The paths are those of matrix_paths.py.
"""
import collections
import json
import random
import selectors
import socket
import time

from .client import Client
from .matrix_paths import GONE, HOLDER, OWNER, PAIRS, Refused, THING, WRITES, Wrong, begun, inside, of, one, record, shown, w_batch_each
from .tables import create_tables, insert


class Wire:
    """One keep-alive connection without threads: send, then feed until an answer is complete."""

    def __init__(self, port, session):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.session = session
        self.data = b""

    def send(self, method, path, body=None, headers=None):
        data = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Ferro-Session: {self.session}"]
        if body is not None:
            lines.append("Content-Type: application/json")
        if body is not None or method not in ("GET", "DELETE"):
            lines.append(f"Content-Length: {len(data)}")
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        self.socket.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + data)

    def feed(self):
        """Answer (status, headers, body), or None while it is not complete."""
        piece = self.socket.recv(65536)
        assert piece, f"the server closed the connection after {self.data[:200]!r}"
        self.data += piece
        end = self.data.find(b"\r\n\r\n")
        if end < 0:
            return None
        lines = self.data[:end].decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        status = int(lines[0].split()[1])
        rest = self.data[end + 4:]
        if headers.get("transfer-encoding") == "chunked":
            body = self.dechunk(rest)
            if body is None:
                return None
        else:
            length = 0 if status in (204, 304) else int(headers.get("content-length", 0))
            if len(rest) < length:
                return None
            body = rest[:length]
        self.data = b""
        return status, headers, body

    @staticmethod
    def dechunk(data):
        body = b""
        while True:
            line, found, data = data.partition(b"\r\n")
            if not found:
                return None
            size = int(line, 16)
            if len(data) < size + 2:
                return None
            if size == 0:
                return body
            body, data = body + data[:size], data[size + 2:]


class Actor:
    """A path on its way over one wire."""

    def __init__(self, wire, path):
        self.wire, self.path = wire, path
        self.result, self.wrong, self.refused, self.done = None, None, None, False

    def step(self, answer=None):
        try:
            self.wire.send(*self.path.send(answer))
        except StopIteration as end:
            self.result, self.done = end.value, True
        except Refused as e:
            self.refused, self.done = str(e), True
        except Wrong as e:
            self.wrong, self.done = str(e), True


class Lane:
    def __init__(self, game, i):
        self.game, self.i = game, i
        with game.client() as client:
            session = client.session(using=game.name).headers["Ferro-Session"]
        self.wires = [Wire(game.port, session) for _ in range(4)]
        self.value = 0
        self.counter = 0
        self.script = self.play()
        self.wait(next(self.script))

    def wait(self, actors):
        """Actors to wait for; [] when all are done already."""
        self.actors = actors

    def start(self, *paths):
        """Starts paths side by side, in any order; yields until all are done; returns the actors in the order given."""
        actors = [Actor(wire, path) for wire, path in zip(self.wires, paths)]
        shuffled = actors[:]
        random.shuffle(shuffled)
        for actor in shuffled:
            actor.step()
        yield [actor for actor in actors if not actor.done]
        return actors

    def only(self, *request):
        def path():
            return (yield request)
        answer = yield from self.start(path())
        return answer[0].result

    def play(self):
        while True:
            name, read = self.game.deal()
            yield from self.cycle(name, read)
            self.game.cycles += 1

    def cycle(self, name, read):
        i = self.i
        yield from self.prepare()
        self.counter += 10
        old, v = self.value, self.counter
        # the reads begin with the write, or as late as one of its steps
        actors = yield from self.start(WRITES[name](i, v), *(self.late(read(i)) for _ in range(random.choice((1, 2, 3)))))
        writer, readers = actors[0], actors[1:]
        self.value = v if writer.wrong else old if writer.result is None else writer.result
        if writer.refused:
            self.game.refused[name, writer.refused] += 1
        allowed = {old, self.value} | ({v - 1} if name == "w_batch_each" else set())
        for actor in actors:
            if actor.wrong is not None:
                self.game.fault("inside", name, read, actor.wrong)
        for reader in readers if not writer.refused else ():
            if reader.result is not None and not reader.refused and reader.result not in allowed:
                self.game.fault("dirty", name, read, f"a reader saw {reader.result}, before {old}, written {self.value}")
        answer = yield from self.only("GET", record(i))
        found = shown(answer)
        if writer.refused:  # it may have done a part of its steps
            self.value = shown((yield from self.only("GET", record(i), None, {"Cache-Control": "no-cache"})))
        if found != self.value:
            fresh = shown((yield from self.only("GET", record(i), None, {"Cache-Control": "no-cache"})))
            kind = "stale" if fresh == self.value else "lost"
            self.game.fault(kind, name, read, f"{answer[1].get('ferro-identity')} of {found}, not {self.value}; the database has {fresh}")
            self.value = fresh

    @staticmethod
    def late(path):
        """Now and then a read comes some requests after the write has begun."""
        for _ in range(random.choice((0, 0, 1, 2, 3))):
            yield "GET", "/healthz"
        return (yield from path)

    def prepare(self):
        """The record is there, and in the map or not."""
        while self.value == GONE:
            yield from self.only("PUT", f"/v1/models/Owner/records/{self.i}", {})
            self.counter += 10
            answer = yield from self.only("PUT", record(self.i), {"n": self.counter, "owner_id": self.i})
            if answer[0] < 300:
                self.value = self.counter
        if random.random() < 0.7:
            yield from self.only("DELETE", f"/v1/session/identity-map/Thing/{self.i}")
        elif random.random() < 0.5:
            yield from self.only("GET", record(self.i))

    def turn(self, actor):
        """One of the lane's wires has something to read."""
        answer = actor.wire.feed()
        if answer is None:
            return
        actor.step(answer)
        self.actors = [a for a in self.actors if not a.done]
        while not self.actors:
            self.actors = next(self.script)


class Matrix:
    """Lanes on one database."""

    def __init__(self, server, name, url, lanes=6, only=None, seed=None):
        self.port, self.name = server.port, name
        self.pairs = [(w, r) for w, r in PAIRS if only is None or only in f"{w} {r.__name__}"]
        self.deck = []
        self.cycles = 0
        self.faults, self.refused = collections.Counter(), collections.Counter()
        self.examples = {}
        random.seed(seed)
        with self.client() as client:
            client.post("/v1/connections", {"name": name, "url": url, "pool": {
                "max_connections": 20, "acquire_timeout_seconds": 30}}).expect(201)
            create_tables(client, name, OWNER, THING, HOLDER)
            numbers = range(1, lanes + 1)
            insert(client, name, "Owner", [{"id": i} for i in numbers])
            insert(client, name, "Thing", [{"id": i, "n": 0, "owner_id": i} for i in numbers])
            insert(client, name, "Holder", [{"id": i, "thing_id": i} for i in numbers])
        self.lanes = [Lane(self, i) for i in numbers]

    def client(self):
        return Client(self.port, validate=False)

    def deal(self):
        if not self.deck:
            self.deck = self.pairs[:]
            random.shuffle(self.deck)
        return self.deck.pop()

    def fault(self, kind, write, read, text):
        self.faults[kind] += 1
        self.examples.setdefault((kind, write, read.__name__), text)

    def run(self, seconds=None, cycles=None):
        """Until that many seconds have passed or cycles are done."""
        deadline = None if seconds is None else time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            for lane in self.lanes:
                for wire in lane.wires:
                    selector.register(wire.socket, selectors.EVENT_READ, (lane, wire))
            while (deadline is None or time.monotonic() < deadline) and (cycles is None or self.cycles < cycles):
                for key, _ in selector.select(60) or self.stuck():
                    lane, wire = key.data
                    actor = next(a for a in lane.actors if a.wire is wire)
                    lane.turn(actor)
        return self

    def close(self):
        for lane in self.lanes:
            for wire in lane.wires:
                wire.socket.close()
        with self.client() as client:
            client.delete(f"/v1/connections/{self.name}?force=true").expect(204)

    def stuck(self):
        raise AssertionError(f"nothing is answered any more after {self.cycles} cycles")

    def report(self):
        lines = [f"{self.name}: {self.cycles} cycles over {len(self.pairs)} pairs, {self.refused.total()} writes refused, faults {dict(self.faults)}"]
        lines += [f"  {kind} {write} beside {read}: {text}" for (kind, write, read), text in sorted(self.examples.items())]
        return "\n".join(lines)
