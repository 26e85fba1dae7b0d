"""A way to a PostgreSQL on which one answer is not what the server said.

    liar = Liar(postgres.port)
    liar.arm("floats", 3)    # the third answer from now on
    ...
    liar.told                # has it come?

An answer is what comes between two command tags, as the server describes it; the frames stay sound, for noise gets no
further than the client library.
"""
import socket
import struct
import threading

from .process import at_once

BOOL, INT8, TEXT, JSON, FLOAT8 = 16, 20, 25, 114, 701


def message(kind, body):
    return kind + struct.pack("!I", len(body) + 4) + body


def columns(body):
    """(name, the 18 bytes behind it) each."""
    out, at = [], 2
    for _ in range(struct.unpack("!H", body[:2])[0]):
        end = body.index(b"\0", at)
        out.append((body[at:end], body[end + 1:end + 19]))
        at = end + 19
    return out


def description(cols):
    return message(b"T", struct.pack("!H", len(cols)) + b"".join(name + b"\0" + rest for name, rest in cols))


def of_type(rest, oid, fmt=0):
    return rest[:6] + struct.pack("!IhiH", oid, -1, -1, fmt)


def cells(body):
    out, at = [], 2
    for _ in range(struct.unpack("!H", body[:2])[0]):
        n, = struct.unpack("!i", body[at:at + 4])
        at += 4
        out.append(None if n < 0 else body[at:at + n])
        at += max(n, 0)
    return out


def row(values):
    return message(b"D", struct.pack("!H", len(values)) + b"".join(
        struct.pack("!i", -1) if v is None else struct.pack("!i", len(v)) + v for v in values))


def all_of(oid, value):
    """Every column is of the type, every cell that value."""
    return (lambda cols: [(name, of_type(rest, oid)) for name, rest in cols]), (lambda values: [[value] * len(values)])


def keep(x):
    return x


def one(values):
    return [values]


ODD_ERROR = b"SERROR\0VERROR\0C58030\0M\xff\xfe\"\\" + b"\xc3" * 3000 + b"\0t" + b"\xe2\x82\xac" * 400 + b"\0n\xff\"\0c\xf0\x9f\0D\xff\0H\xff\0P-9\0\0"

# what becomes of the columns, of each row, and of the command's tag (None: an error comes in its place)
LIES = {
    "a column less": (lambda cols: cols[:-1], lambda values: [values[:-1]], keep),
    "a column more": (lambda cols: cols + [(b"more", of_type(b"\0" * 18, TEXT))], lambda values: [values + [b"x"]], keep),
    "floats": (*all_of(FLOAT8, b"6.0e-310"), keep),
    "booleans": (*all_of(BOOL, b"t"), keep),
    "the least integers": (*all_of(INT8, b"-9223372036854775808"), keep),
    "the greatest integers": (*all_of(INT8, b"9223372036854775807"), keep),
    "documents": (*all_of(JSON, b'{"a": [1, {"b": null}]}'), keep),
    "empty texts": (*all_of(TEXT, b""), keep),
    "texts of bytes": (keep, lambda values: [[b"\xff\xfe\r\n\t" for _ in values]], keep),
    "texts with line ends": (*all_of(TEXT, b"x\r\nSet-Cookie: a=b"), keep),
    "nulls": (keep, lambda values: [[None] * len(values)], keep),
    "no rows": (keep, lambda values: [], keep),
    "rows thrice": (keep, lambda values: [values] * 3, keep),
    "binary": (lambda cols: [(name, rest[:16] + b"\0\1") for name, rest in cols], one, keep),
    "other names": (lambda cols: [(b"\xff\"" + name, rest) for name, rest in cols], one, keep),
    "a tag without a number": (keep, one, lambda tag: b"INSERT"),
    "a tag beyond numbers": (keep, one, lambda tag: b"DELETE 99999999999999999999999999"),
    "a tag of another": (keep, one, lambda tag: b"COMMIT"),
    "an odd error": (keep, one, None),
}


class Liar:
    def __init__(self, port):
        self.port = port
        self.lie, self.at, self.seen, self.told = None, 0, 0, False
        self.lock = threading.Lock()
        self.open = []
        self.listener = at_once(socket.create_server(("127.0.0.1", 0)))
        threading.Thread(target=self.accept, daemon=True).start()

    def url(self, backend):
        """The way to it; what would come before the first frame is not asked for."""
        own = self.listener.getsockname()[1]
        return backend.pg.url(backend.database, query="sslmode=disable&gssencmode=disable").replace(f":{self.port}/", f":{own}/")

    def arm(self, lie, at):
        """The at-th answer from now on is told otherwise; 0: none."""
        with self.lock:
            self.lie, self.at, self.seen, self.told = LIES[lie], at, 0, False

    def close(self):
        self.listener.close()
        for each in self.open:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = at_once(socket.create_connection(("127.0.0.1", self.port)))
            self.open += [client, server]
            threading.Thread(target=self.pump, args=(client, server), daemon=True).start()
            threading.Thread(target=self.relay, args=(server, client), daemon=True).start()

    @staticmethod
    def end(*sockets):
        for each in sockets:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def pump(self, source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass
        self.end(source, target)

    def begin(self):
        """An answer begins: is it the one?"""
        with self.lock:
            self.seen += 1
            if self.seen != self.at:
                return None
            self.told = True
            return self.lie

    def relay(self, source, target):
        file = source.makefile("rb")
        lie, answering = None, False
        try:
            while len(head := file.read(5)) == 5:
                kind, n = head[:1], struct.unpack("!I", head[1:])[0] - 4
                body = file.read(n)
                if kind in b"TDC" and not answering:
                    lie, answering = self.begin(), True
                out = message(kind, body)
                if lie is not None:
                    out = self.other(lie, kind, body)
                if kind in b"CEZ":
                    lie, answering = None, False
                target.sendall(out)
        except (OSError, ValueError):
            pass
        self.end(source, target)

    @staticmethod
    def other(lie, kind, body):
        if kind == b"T":
            return description(lie[0](columns(body)))
        if kind == b"D":
            return b"".join(map(row, lie[1](cells(body))))
        if kind == b"C":
            return message(b"E", ODD_ERROR) if lie[2] is None else message(b"C", lie[2](body[:-1]) + b"\0")
        return message(kind, body)
