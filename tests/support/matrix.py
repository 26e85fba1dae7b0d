"""Every way to write a record beside every way to read it, in one session: what the session's identity map is left with.

A lane is a session with one record of its own and some TCP connections. In a cycle one connection writes the record along
one path while others read it along another, all without waiting for each other; when they are done, a plain GET has to show
what was acknowledged: never what was there before it, never what was undone. Lanes run side by side on one thread.

Paths are generators: they yield requests and are sent the answers.
"""
import collections
import json
import random
import selectors
import socket
import time

from .client import Client
from .tables import create_tables, insert

OWNER = {"model_name": "Owner", "columns": [{"name": "id", "logical_type": "integer", "primary_key": True}]}
THING = {"model_name": "Thing", "columns": [
    {"name": "id", "logical_type": "integer", "primary_key": True},
    {"name": "n", "logical_type": "integer"},
    {"name": "owner_id", "logical_type": "integer"}],
    "foreign_keys": [{"column": "owner_id", "to_table": "owner", "to_column": "id", "on_delete": "CASCADE", "related_name": "things"}]}
HOLDER = {"model_name": "Holder", "columns": [
    {"name": "id", "logical_type": "integer", "primary_key": True},
    {"name": "thing_id", "logical_type": "integer"}],
    "relations": [{"name": "thing", "kind": "forward", "target": "Thing", "column": "thing_id"}]}
GONE = "gone"
# what may be answered when others are in the way; the value is then what it was
REFUSED = {"serialization_failure", "transaction_aborted", "database_busy", "pool_timeout", "transaction_ended"}


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


class Refused(Exception):
    """The server said no, for a reason that is part of the game."""


class Wrong(Exception):
    """A path was answered what it must not be."""


def good(answer, *more):
    """The answer's document; a refusal that is part of the game ends the path."""
    status, _, body = answer
    if status < 300 or status in more:
        return json.loads(body) if body and body[:1] in b"{[" else body
    code = json.loads(body)["code"]
    if code in REFUSED:
        raise Refused(code)
    raise AssertionError(f"{status}: {body[:500]!r}")


# ---- reads: end with the value seen, GONE, or None when the path shows none ----

def of(row):
    return GONE if row is None else row["n"]


def record(i):
    return f"/v1/models/Thing/records/{i}"


def one(i, **more):
    return {"model_name": "Thing", "where": [{"node_kind": "leaf", "column": "id", "operator": "==", "value": i}], **more}


def shown(answer):
    found = good(answer, 404)
    return GONE if answer[0] == 404 else of(found)


def first_of(rows):
    return of(rows[0] if rows else None)


def r_get(i):
    return shown((yield "GET", record(i)))


def r_no_cache(i):
    return shown((yield "GET", record(i), None, {"Cache-Control": "no-cache"}))


def r_refresh(i):
    return shown((yield "POST", record(i) + "/refresh"))


def r_list(i):
    return first_of(good((yield "GET", f"/v1/models/Thing/records?id=eq.{i}"))["rows"])


def r_ndjson(i):
    status, _, body = yield "GET", f"/v1/models/Thing/records?id=eq.{i}", None, {"Accept": "application/x-ndjson"}
    row = good((status, {}, body.split(b"\n")[0]))
    return GONE if "$end" in row else of(row)


def r_query(i):
    return first_of(good((yield "POST", "/v1/query", one(i)))["rows"])


def r_first(i):
    return of(good((yield "POST", "/v1/query/first", one(i)))["row"])


def r_include(i):
    query = {"model_name": "Holder", "include": ["thing"],
             "where": [{"node_kind": "leaf", "column": "id", "operator": "==", "value": i}]}
    return of(good((yield "POST", "/v1/query", query))["rows"][0]["thing"])


def r_relation(i):
    return of(good((yield "GET", f"/v1/models/Holder/records/{i}/thing"))["row"])


def r_batch_get(i, atomic=True):
    answer = yield "POST", "/v1/batch", {"atomic": atomic, "steps": [{"op": "get", "model": "Thing", "pk": i}]}
    found = good(answer, 404)
    if answer[0] == 404 or "error" in found["results"][0]:
        return GONE
    return of(found["results"][0]["body"])


def r_batch_get_alone(i):
    return (yield from r_batch_get(i, atomic=False))


def r_batch_query(i):
    found = good((yield "POST", "/v1/batch", {"steps": [{"op": "count", "query": one(i)}, {"op": "query", "query": one(i)}]}))
    return first_of(found["results"][1]["body"]["rows"])


def r_get_or_create(i):
    return of(good((yield "POST", "/v1/models/Thing/get-or-create", {"where": {"id": i}, "defaults": {"n": -1, "owner_id": i}}))["record"])


def r_patch_nothing(i):
    return shown((yield "PATCH", record(i), {}))


def r_create_ignored(i):
    return of(good((yield "POST", "/v1/models/Thing/records?on_conflict=ignore", {"id": i, "n": -1, "owner_id": i})))


def begun(answer):
    good(answer)
    return {"Ferro-Transaction": answer[1]["ferro-transaction"]}


def inside(i, isolation):
    tx = begun((yield "POST", "/v1/transactions", {"isolation": isolation}))
    seen = shown((yield "GET", record(i), None, tx))
    again = shown((yield "GET", record(i), None, tx))
    good((yield "POST", f"/v1/transactions/{tx['Ferro-Transaction']}/commit"))
    if isolation != "read_committed" and seen != again:
        raise Wrong(f"a snapshot showed {seen}, then {again}")
    return again


def r_in_committed(i):
    return (yield from inside(i, "read_committed"))


def r_in_snapshot(i):
    return (yield from inside(i, "repeatable_read"))


def r_locked(i):
    tx = begun((yield "POST", "/v1/transactions", {"isolation": "read_committed"}))
    answer = yield "POST", "/v1/query", one(i, lock="update"), tx
    yield "POST", f"/v1/transactions/{tx['Ferro-Transaction']}/commit"
    return first_of(good(answer)["rows"])


# ---- writes: end with the value that is acknowledged, GONE, or None when nothing has changed ----

def w_patch(i, v):
    good((yield "PATCH", record(i), {"n": v}))
    return v


def w_put(i, v):
    good((yield "PUT", record(i), {"n": v, "owner_id": i}))
    return v


def w_upsert(i, v):
    good((yield "POST", "/v1/models/Thing/records?on_conflict=update", {"id": i, "n": v, "owner_id": i}))
    return v


def w_bulk_upsert(i, v):
    good((yield "POST", "/v1/models/Thing/records?on_conflict=update", {"records": [{"id": i, "n": v, "owner_id": i}]}))
    return v


def w_update_or_create(i, v):
    good((yield "POST", "/v1/models/Thing/update-or-create", {"where": {"id": i}, "defaults": {"n": v}}))
    return v


def w_query(i, v):
    good((yield "POST", "/v1/query/update", {"query": one(i), "set": {"n": v}}))
    return v


def w_query_returning(i, v):
    good((yield "POST", "/v1/query/update", {"query": one(i), "set": {"n": v}}, {"Prefer": "return=representation, max-affected=1"}))
    return v


def text_of(i, v):
    return f"UPDATE thing SET n = {v} WHERE id = {i}"


def w_raw(i, v):
    good((yield "POST", "/v1/sql/execute", {"sql": text_of(i, v)}))
    return v


def w_raw_returning(i, v):
    good((yield "POST", "/v1/sql/fetch-all", {"sql": text_of(i, v) + " RETURNING n"}))
    return v


def save_step(i, v):
    return {"op": "save", "model": "Thing", "pk": i, "record": {"n": v, "owner_id": i}}


def update_step(i, v):
    return {"op": "update", "query": one(i), "set": {"n": v}}


def w_batch_save(i, v):
    good((yield "POST", "/v1/batch", {"steps": [save_step(i, v - 1), {"op": "count", "query": one(i)}, save_step(i, v)]}))
    return v


def w_batch_update(i, v):
    good((yield "POST", "/v1/batch", {"steps": [{"op": "get", "model": "Thing", "pk": i}, update_step(i, v)]}))
    return v


def w_batch_raw(i, v):
    good((yield "POST", "/v1/batch", {"steps": [save_step(i, v - 1), {"op": "sql.execute", "sql": text_of(i, v)}]}))
    return v


def w_batch_each(i, v):
    found = good((yield "POST", "/v1/batch", {"atomic": False, "steps": [update_step(i, v - 1), save_step(i, v)]}))
    if any("error" in step for step in found["results"]):
        raise Refused("a step of a batch")
    return v


def w_batch_fails(i, v):
    """Atomic, written and read, and then undone by a step that cannot be."""
    steps = [save_step(i, -v), {"op": "query", "query": one(i)}, {"op": "create", "model": "Thing", "record": {"id": i, "n": 0, "owner_id": i}}]
    good((yield "POST", "/v1/batch", {"steps": steps}), 409)


def w_undone(i, v):
    good((yield "PATCH", record(i), {"n": -v}, {"Prefer": "tx=rollback"}))


def w_batch_undone(i, v):
    good((yield "POST", "/v1/batch", {"steps": [save_step(i, -v)]}, {"Prefer": "tx=rollback"}))


def w_refused(i, v):
    """412, after which the map has to have the record as it is."""
    good((yield "PATCH", record(i), {"n": -v}, {"If-Match": '"of another version"'}), 412)


def ending(tx, path):
    """The path, after which the transaction is rolled back if it was refused."""
    try:
        return (yield from path)
    except Refused:
        yield "POST", f"/v1/transactions/{tx['Ferro-Transaction']}/rollback"
        raise


def in_tx(i, steps, end="commit", isolation=None):
    tx = begun((yield "POST", "/v1/transactions", {} if isolation is None else {"isolation": isolation}))

    def path():
        for step in steps:
            good((yield step + (tx,)))
        good((yield "POST", f"/v1/transactions/{tx['Ferro-Transaction']}/{end}"))
    yield from ending(tx, path())


def tx_path(*makers, end="commit", isolation=None, keeps=True):
    def path(i, v):
        yield from in_tx(i, [maker(i, v) for maker in makers], end, isolation)
        return v if keeps else None
    return path


def s_get(i, _):
    return "GET", record(i), None


def s_patch(i, v):
    return "PATCH", record(i), {"n": v}


def s_patch_before(i, v):
    return "PATCH", record(i), {"n": v - 1}


def s_patch_never(i, v):
    return "PATCH", record(i), {"n": -v}


def s_query(i, v):
    return "POST", "/v1/query/update", {"query": one(i), "set": {"n": v}}


def s_query_never(i, v):
    return "POST", "/v1/query/update", {"query": one(i), "set": {"n": -v}}


def s_raw(i, v):
    return "POST", "/v1/sql/execute", {"sql": text_of(i, v)}


def w_savepoint(i, v, end="commit"):
    tx = begun((yield "POST", "/v1/transactions", {}))
    return (yield from ending(tx, in_savepoint(i, v, tx, end)))


def in_savepoint(i, v, tx, end):
    good((yield s_patch_before(i, v) + (tx,)))
    inner = begun((yield "POST", "/v1/transactions", {}, tx))
    good((yield s_patch(i, v if end == "commit" else -v) + (inner,)))
    good((yield s_get(i, v) + (inner,)))
    good((yield "POST", f"/v1/transactions/{inner['Ferro-Transaction']}/{end}"))
    good((yield s_get(i, v) + (tx,)))
    good((yield "POST", f"/v1/transactions/{tx['Ferro-Transaction']}/commit"))
    return v if end == "commit" else v - 1


def w_savepoint_undone(i, v):
    return (yield from w_savepoint(i, v, "rollback"))


def w_raw_back(i, v):
    """A savepoint of the client's own words, gone back to by them."""
    tx = begun((yield "POST", "/v1/transactions", {}))
    return (yield from ending(tx, raw_back(i, v, tx)))


def raw_back(i, v, tx):
    good((yield s_patch(i, v) + (tx,)))
    good((yield "POST", "/v1/sql/execute", {"sql": "SAVEPOINT mine"}, tx))
    good((yield s_patch_never(i, v) + (tx,)))
    good((yield "POST", "/v1/sql/execute", {"sql": "ROLLBACK TO SAVEPOINT mine"}, tx))
    found = shown((yield s_get(i, v) + (tx,)))
    good((yield "POST", f"/v1/transactions/{tx['Ferro-Transaction']}/commit"))
    if found != v:
        raise Wrong(f"after ROLLBACK TO the transaction shows {found}, not {v}")
    return v


def w_raw_commit(i, v):
    tx = begun((yield "POST", "/v1/transactions", {}))

    def path():
        good((yield s_patch(i, v) + (tx,)))
        good((yield "POST", "/v1/sql/execute", {"sql": "COMMIT"}, tx))
        return v
    return (yield from ending(tx, path()))


def w_delete(i, _):
    good((yield "DELETE", record(i)))
    return GONE


def w_query_delete(i, _):
    good((yield "POST", "/v1/query/delete", one(i)))
    return GONE


def w_cascade(i, _):
    good((yield "DELETE", f"/v1/models/Owner/records/{i}"))
    return GONE


def s_delete(i, _):
    return "DELETE", record(i), None


def w_tx_delete(i, v):
    yield from in_tx(i, [s_delete(i, v)])
    return GONE


READS = [r_get, r_no_cache, r_refresh, r_list, r_ndjson, r_query, r_first, r_include, r_relation, r_batch_get, r_batch_get_alone,
         r_batch_query, r_get_or_create, r_patch_nothing, r_create_ignored, r_in_committed, r_in_snapshot, r_locked]
WRITES = {path.__name__: path for path in [
    w_patch, w_put, w_upsert, w_bulk_upsert, w_update_or_create, w_query, w_query_returning, w_raw, w_raw_returning, w_batch_save,
    w_batch_update, w_batch_raw, w_batch_each, w_batch_fails, w_undone, w_batch_undone, w_refused, w_savepoint, w_savepoint_undone,
    w_raw_back, w_raw_commit, w_delete, w_query_delete, w_cascade, w_tx_delete]}
WRITES.update({
    "w_tx_patch": tx_path(s_patch_before, s_get, s_patch),
    "w_tx_query": tx_path(s_query, s_get),
    "w_tx_raw": tx_path(s_raw, s_get),
    "w_tx_snapshot": tx_path(s_patch, s_get, isolation="repeatable_read"),
    "w_tx_reads_first": tx_path(s_get, s_patch, isolation="serializable"),
    "w_tx_back": tx_path(s_patch_never, s_get, end="rollback", keeps=False),
    "w_tx_query_back": tx_path(s_query_never, s_get, end="rollback", keeps=False),
})
# reads that would make a deleted record again
MAKING = {r_get_or_create, r_create_ignored}
PAIRS = [(name, read) for name in WRITES for read in READS
         if not (read in MAKING and name in ("w_delete", "w_query_delete", "w_cascade", "w_tx_delete"))]


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
