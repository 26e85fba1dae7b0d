"""Clients that go away: a request on a bare socket, and every way to leave before its answer."""
import json
import socket
import struct

from .server import sanitized


def send(port, path, body, headers=None):
    """Sends a POST and returns the socket, with the answer unread."""
    data = json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Content-Type: application/json", f"Content-Length: {len(data)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    s = socket.create_connection(("127.0.0.1", port), timeout=30)
    s.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
    return s


def close(s):
    """An orderly end of both directions."""
    s.close()


def half_close(s):
    """The end of the sending side only: the server takes it for going away."""
    s.shutdown(socket.SHUT_WR)


def reset(s):
    """A connection that breaks: RST instead of FIN."""
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def growth_bound(kib):
    """How much memory may grow: a sanitizer keeps what was freed, so there only its leak check counts."""
    return 1024 * 1024 if sanitized() else kib


WAYS = {"close": close, "half_close": half_close, "reset": reset}
