"""A server that speaks PostgreSQL's protocol (version 3) and says whatever a test wants it to say.

    with FakePostgres(answer) as fake:
        client.post("/v1/connections", {"name": "x", "url": fake.url})

`answer(sql)` gets the text of each statement and returns an Answer, or raises Refuse. What it returns is sent as it is:
nothing keeps it from being impossible. Settings and transaction words are answered as a server would unless the
function claims them (it returns None for what it leaves to the default).
"""
import array
import fcntl
import socket
import struct
import termios
import threading
import time

from .process import at_once

TEXT, BOOL, INT8, FLOAT8, BYTEA, JSON, JSONB = 25, 16, 20, 701, 17, 114, 3802


class Refuse(Exception):
    def __init__(self, state="42601", message="refused", severity="ERROR"):
        super().__init__(message)
        self.state, self.message, self.severity = state, message, severity


class Answer:
    """Columns: (name, type OID) each; rows: lists of bytes, str or None; `before`: raw messages that go first."""

    def __init__(self, columns=(), rows=(), tag="SELECT 1", formats=None, before=b""):
        self.columns, self.rows, self.tag, self.formats, self.before = list(columns), list(rows), tag, formats, before


def message(kind, body=b""):
    return kind + struct.pack("!I", len(body) + 4) + body


def text(value):
    return value if isinstance(value, bytes) else value.encode()


def notice(words, state="00000", severity="NOTICE"):
    return message(b"N", b"S" + severity.encode() + b"\0V" + severity.encode() + b"\0C" + state.encode() + b"\0M" +
                   text(words) + b"\0\0")


def description(answer):
    out = struct.pack("!H", len(answer.columns))
    for i, (name, oid) in enumerate(answer.columns):
        fmt = answer.formats[i] if answer.formats else 0
        out += text(name) + b"\0" + struct.pack("!IhIhih", 0, 0, oid, -1, -1, fmt)
    return message(b"T", out)


def data(row):
    out = struct.pack("!H", len(row))
    for cell in row:
        out += struct.pack("!i", -1) if cell is None else struct.pack("!I", len(text(cell))) + text(cell)
    return message(b"D", out)


def error(refusal):
    return message(b"E", b"S" + refusal.severity.encode() + b"\0V" + refusal.severity.encode() + b"\0C" +
                   refusal.state.encode() + b"\0M" + text(refusal.message) + b"\0\0")


class FakePostgres:
    def __init__(self, answer, silent_cancel=False, greeting=()):
        self.greeting = greeting  # an iterable of raw messages, anew for each connection: what comes with the first words
        self.silent_cancel = silent_cancel  # requests to cancel are taken and never answered
        self.over = threading.Event()
        self.answer = answer
        self.listener = at_once(socket.create_server(("127.0.0.1", 0)))
        self.port = self.listener.getsockname()[1]
        self.url = f"postgres://fake@127.0.0.1:{self.port}/fake?sslmode=disable&gssencmode=disable"
        self.talks, self.flood = False, b""  # from now on it reads nothing more and says that, for ever
        self.loads = False  # takes the rows of a COPY, as a server does
        self.says = b""  # once its peer's rows fill every buffer between the two, it says that, and takes them
        self.statements = []
        self.undescribed = 0  # of the executions: what comes of them was known
        self.owes = b""  # goes before whatever it says next
        self.adds = b""  # goes right behind each end of a flight
        self.pieces = 0  # it says so many bytes at a time; 0: all at once
        self.connections = 0
        self.cancels = 0
        self.open = set()
        self.lock = threading.Lock()
        self.thread = threading.Thread(target=self.accept, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.listener.close()
        for connection in list(self.open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                self.open.add(connection)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        try:
            Peer(self, connection).run()
        except (OSError, EOFError):
            pass
        finally:
            with self.lock:
                self.open.discard(connection)
            connection.close()


class Peer:
    """One connection."""

    def __init__(self, server, connection):
        self.server, self.connection = server, connection
        self.file = connection.makefile("rb")
        self.status = b"I"
        self.prepared = {}
        self.bound, self.described = None, False
        self.failed = False

    def read(self, n):
        out = self.file.read(n)
        if len(out) < n:
            raise EOFError
        return out

    def send(self, *messages):
        owes, self.server.owes = self.server.owes, b""
        said = owes + b"".join(messages)
        step = self.server.pieces or max(1, len(said))
        for at in range(0, len(said), step):
            self.connection.sendall(said[at:at + step])

    def ready(self):
        self.failed = False
        self.send(message(b"Z", self.status), self.server.adds)

    def run(self):
        n, code = struct.unpack("!II", self.read(8))
        self.read(n - 8)
        if code == 80877102:  # a request to cancel
            self.server.cancels += 1
            if self.server.silent_cancel:
                self.server.over.wait(60)
            return
        self.server.connections += 1
        self.send(message(b"R", struct.pack("!I", 0)),
                  *(message(b"S", k + b"\0" + v + b"\0") for k, v in (
                      (b"server_version", b"15.18"), (b"client_encoding", b"UTF8"),
                      (b"standard_conforming_strings", b"on"), (b"server_encoding", b"UTF8"))),
                  message(b"K", struct.pack("!II", 1, 2)))
        for each in self.server.greeting:
            self.send(each)
        self.send(message(b"Z", b"I"))
        while True:
            while self.server.talks:
                self.send(self.server.flood)
            if self.server.says:
                self.jam()
                self.send(self.server.says)
                self.server.says = b""
            kind = self.read(1)
            n, = struct.unpack("!I", self.read(4))
            body = self.read(n - 4)
            if kind == b"X":
                return
            self.take(kind, body)

    def jam(self):
        """Reads nothing until nothing more comes."""
        seen, room = -1, array.array("i", [0])
        while room[0] != seen or seen == 0:
            seen = room[0]
            time.sleep(0.05)
            fcntl.ioctl(self.connection, termios.FIONREAD, room)

    def take(self, kind, body):
        if kind == b"Q":
            try:
                self.run_statement(body[:-1].decode(), describe=True)
            except Refuse as e:
                self.fail(e)
            if not self.server.loads or not body.startswith(b"COPY"):
                self.ready()
        elif kind == b"S":
            self.ready()
        elif self.failed:
            return
        elif kind == b"P":
            name, sql = body.split(b"\0")[:2]
            self.prepared[name] = sql.decode()
            self.send(message(b"1"))
        elif kind == b"B":
            name = body.split(b"\0")[1]
            self.bound, self.described = self.prepared[name], False
            self.send(message(b"2"))
        elif kind == b"D":
            self.described = True
        elif kind == b"E":
            try:
                self.server.undescribed += not self.described
                self.run_statement(self.bound, describe=self.described)
            except Refuse as e:
                self.fail(e)
        elif kind in b"cdf":
            self.copied(kind)

    def copied(self, kind):
        if kind == b"c":
            self.send(message(b"C", b"COPY 1\0"))
            if self.server.loads:
                self.ready()
        elif kind == b"f":
            self.fail(Refuse("57014", "given up"))

    def fail(self, refusal):
        self.failed = True
        if self.status == b"T":
            self.status = b"E"
        self.send(error(refusal))

    def run_statement(self, sql, describe):
        self.server.statements.append(sql)
        answer = self.server.answer(sql)
        if answer is None:
            answer = self.default(sql)
        out = [answer.before]
        if describe:
            out.append(description(answer) if answer.columns else message(b"n"))
        out += [data(row) for row in answer.rows]
        if answer.tag or not answer.before:
            out.append(message(b"C", text(answer.tag) + b"\0"))
        self.send(*out)

    def default(self, sql):
        word = sql.split()[0].upper() if sql.split() else ""
        if word == "BEGIN":
            self.status = b"T"
        elif word in ("COMMIT", "ROLLBACK") and "TO SAVEPOINT" not in sql:
            self.status = b"I"
        if "pg_control_system" in sql:
            return Answer([("a", TEXT)] * 3, [[None, "7", "00000001"]])
        if word == "SELECT" and "pg_trigger" in sql:
            return Answer([("facts", INT8)], [["2"]])  # a table without triggers
        if "pg_backend_pid" in sql:
            return Answer([("pid", INT8)], [["1"]])
        if word == "SELECT" and "set_config" in sql:
            n = sql.count("set_config")
            return Answer([("set_config", TEXT)] * n, [["x"] * n])
        return Answer(tag=word or "SELECT 0")
