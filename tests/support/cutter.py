"""A proxy that loses connections where it matters: around a COMMIT."""
import socket
import threading

from .process import at_once


def runs(data, word):
    """Does the piece run BEGIN, or COMMIT: by its text, or by the name that it was given?"""
    name = b"ferrod_" + word.lower()
    named = b"\0" + name + (b"_" if word == b"BEGIN" else b"\0")
    if word == b"COMMIT":
        data = data.replace(name + b"\0COMMIT\0", b"")  # is prepared
    return word in data or named in data


class Cutter:
    """A way to a PostgreSQL on which the next COMMIT loses its connection: before it arrives, or before its answer does."""

    def __init__(self, port):
        self.port, self.cut = port, None  # None, "before", "after"
        self.down = False  # no new connections
        self.open = []  # sockets
        self.statements = []  # what went to the server
        self.change = lambda data: data  # what goes there in place of it
        self.listener = at_once(socket.create_server(("127.0.0.1", 0)))
        threading.Thread(target=self.accept, daemon=True).start()

    @property
    def own_port(self):
        return self.listener.getsockname()[1]

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            if self.down:
                client.close()
                continue
            server = at_once(socket.create_connection(("127.0.0.1", self.port)))
            self.open += [client, server]
            for pair in ((client, server, True), (server, client, False)):
                threading.Thread(target=self.pump, args=pair, daemon=True).start()

    def sever(self):
        """Cuts what is there now."""
        for one in self.open:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.open.clear()

    def pump(self, source, target, asks):
        try:
            while data := source.recv(65536):
                if asks:
                    self.statements.append(data)
                    data = self.change(data)
                if asks and self.cut == "before" and runs(data, b"COMMIT"):
                    break
                if not asks and self.cut == "after" and b"COMMIT\0" in data:
                    break
                target.sendall(data)
            self.cut = None
        except OSError:
            pass
        for one in (source, target):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
