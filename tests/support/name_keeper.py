"""A pooler with one server connection for each client that keeps its clients' statement names apart, as PgBouncer does since 1.21.

    with NameKeeper(postgres.port) as keeper:
        client.post("/v1/connections", {"name": "x", "url": keeper.url("test"), "pool": {"pooler": "transaction"}})
    assert not keeper.faults

The server knows each statement by a name of the pooler's. A name is taken down when its Parse is read, whatever the server says to
it, and only Close takes it away; `forgets`: DEALLOCATE ALL and DISCARD ALL, when the server has done it, do so, too (1.22 and
later). A client that parses a name twice, or runs one that it has not parsed, is told 08P01 and put out.
"""
import contextlib
import hashlib
import socket
import struct
import threading

from .relay import Relay

STARTUP_WORDS = (80877103, 80877104)  # SSLRequest, GSSENCRequest
CANCEL = 80877102


def message(kind, body):
    return kind + struct.pack("!I", len(body) + 4) + body


def exactly(source, n):
    out = b""
    while len(out) < n:
        piece = source.recv(n - len(out))
        if not piece:
            raise EOFError
        out += piece
    return out


class Talk:
    """One client's connection: its names, and what it did that such a pooler does not bear."""

    def __init__(self, keeper, client, server):
        self.keeper, self.client, self.server = keeper, client, server
        self.names = {}  # the client's -> the server's
        self.lock = threading.Lock()

    def start(self):
        """The words before the protocol's messages; False: it was a request to cancel."""
        while True:
            length, = struct.unpack("!I", head := exactly(self.client, 4))
            body = exactly(self.client, length - 4)
            code, = struct.unpack("!I", body[:4])
            if code in STARTUP_WORDS:
                self.client.sendall(b"N")
                continue
            self.server.sendall(head + body)
            return code != CANCEL

    def put_out(self, what, name):
        self.keeper.faults.append((what, name.decode()))
        with contextlib.suppress(OSError):
            self.client.sendall(message(b"E", b"SFATAL\0VFATAL\0C08P01\0M" + what.encode() + b"\0\0"))
        raise EOFError

    def named(self, name):
        if name not in self.names:
            self.put_out("prepared statement did not exist", name)
        return self.names[name]

    def asks(self, kind, body):
        """What goes to the server of a client's message."""
        if kind == b"P":
            name, sql, _ = body.split(b"\0", 2)
            self.keeper.texts.append(sql.decode())
            if not name:
                return kind, body
            if name in self.names:
                self.put_out("prepared statement name is already in use", name)
            self.keeper.parsed.append(name.decode())
            self.names[name] = b"KEPT_" + hashlib.sha256(body[len(name):]).hexdigest()[:12].encode()
            return kind, self.names[name] + body[len(name):]
        if kind == b"B":
            portal, name, rest = body.split(b"\0", 2)
            return kind, body if not name else b"\0".join((portal, self.named(name), rest))
        if kind == b"D" and body[:1] == b"S" and len(body) > 2:
            return kind, b"S" + self.named(body[1:-1]) + b"\0"
        if kind == b"C" and body[:1] == b"S" and len(body) > 2:
            return kind, b"S" + self.names.pop(body[1:-1], b"KEPT_none") + b"\0"
        if kind == b"Q":
            self.keeper.texts.append(body[:-1].decode())
        return kind, body

    def answers(self, kind, body):
        if kind == b"C" and self.keeper.forgets and body in (b"DEALLOCATE ALL\0", b"DISCARD ALL\0"):
            self.names.clear()
        return kind, body

    def pump(self, source, target, change):
        with contextlib.suppress(OSError, EOFError):
            while True:
                kind, (length,) = exactly(source, 1), struct.unpack("!I", exactly(source, 4))
                body = exactly(source, length - 4)
                with self.lock:
                    kind, body = change(kind, body)
                target.sendall(message(kind, body))
        for one in (self.client, self.server):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


class NameKeeper(Relay):
    def __init__(self, port, forgets=True):
        self.forgets = forgets
        self.faults = []  # (what it was told, the name)
        self.parsed = []  # names, each time
        self.texts = []   # statements as they came
        super().__init__(port, None)

    def serve(self, client):
        server = socket.create_connection(("127.0.0.1", self.target))
        for one in (client, server):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # messages go on one by one
        talk = Talk(self, client, server)
        with contextlib.suppress(OSError, EOFError):
            if talk.start():
                back = threading.Thread(target=talk.pump, args=(server, client, talk.answers), daemon=True)
                back.start()
                talk.pump(client, server, talk.asks)
                back.join()
            else:
                server.recv(1)  # closes when it has been done
        client.close()
        server.close()

    def url(self, database):
        return f"postgres://ferrod@127.0.0.1:{self.port}/{database}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
