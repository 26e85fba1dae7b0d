"""Who is refused while it still sends gets to read why: the connection lingers, bounded in time, bytes and number."""
import contextlib
import os
import re
import socket
import ssl
import time

import pytest

from support.certs import Authority
from support.process import at_once, wait_for
from support.server import Server

HOST = b"Host: localhost\r\n"
JSON = b"POST /v1/query HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
PIECE = b"x" * 16384

# what the library answers by itself, before ferrod hears of the request
BY_ITSELF = {
    "a header block beyond its memory": (b"GET /healthz HTTP/1.1\r\n" + HOST + b"X-A: ", 431),
    "a target beyond its memory": (b"GET /healthz?", 414),
    "no request line": (b"\x16\x03\x01", 414),
    "a version that is none": (b"GET /healthz HTTP/7.1\r\n" + HOST + b"\r\n", 505),
    "no Host": (b"GET /healthz HTTP/1.1\r\n\r\n", 400),
    "a length that is none": (b"POST /v1/query HTTP/1.1\r\n" + HOST + b"Content-Length: x\r\n\r\n", 400),
    "a chunk that is none": (JSON + b"Transfer-Encoding: chunked\r\n\r\nzzz\r\n", 400),
}


def converse(port, head, pieces, pause=0.0, wrap=None):
    """All is sent, then all is read: an error of the socket's is the test's."""
    with at_once(socket.create_connection(("127.0.0.1", port), timeout=20)) as plain, (wrap(plain) if wrap else plain) as s:
        s.sendall(head)
        for _ in range(pieces):
            s.sendall(PIECE)
            if pause:
                time.sleep(pause)
        got = b""
        while part := s.recv(65536):
            got += part
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", got)
    assert found, got
    return int(found.group(1)), got


@pytest.mark.parametrize("pieces, pause", [(600, 0), (10, 0.05)], ids=["fast", "slow"])
@pytest.mark.parametrize("head, status", BY_ITSELF.values(), ids=BY_ITSELF.keys())
def test_what_the_library_refuses_is_read_by_those_who_still_send(server, strict_library, head, status, pieces, pause):
    """The kernel reset the connection, for what they had sent was never read."""
    if strict_library and head == BY_ITSELF["no request line"][0]:  # since 1.0 it has no answer to what is no HTTP at all
        with at_once(socket.create_connection(("127.0.0.1", server.port), timeout=20)) as s:
            s.sendall(head)
            with contextlib.suppress(ConnectionError):
                s.sendall(PIECE * pieces)
            with contextlib.suppress(ConnectionError):
                assert s.recv(65536) == b""
        return
    assert converse(server.port, head, pieces, pause)[0] in (status, 400)


def test_a_body_far_above_the_limit(server):
    status, got = converse(server.port, JSON + b"Content-Length: 40000000\r\n\r\n", 40000000 // len(PIECE))
    assert status == 413 and b'"payload_too_large"' in got


def test_a_chunked_body_without_an_end(server):
    """It was cut off without a word. The answer comes past the library, which has none to give in that state."""
    head = JSON + b"Transfer-Encoding: chunked\r\n\r\n" + b"%x\r\n" % (1 << 30)
    pieces = (8 + 64) * 1024 * 1024 // len(PIECE) + 200
    status, got = converse(server.port, head, pieces)
    assert status == 413 and b'"payload_too_large"' in got


def test_under_tls(tmp_path):
    ca = Authority(tmp_path)
    chain, key = ca.leaf("here")
    trusting = ssl.create_default_context(cafile=str(ca.root))
    trusting.check_hostname = False
    with Server("--tls-cert-file", str(chain), "--tls-key-file", str(key), wait=False) as server:
        wait_for(lambda: server.events("listening"), 30, "a start")
        port = server.events("listening")[0]["port"]
        assert converse(port, JSON + b"Content-Length: 40000000\r\n\r\n", 600, wrap=trusting.wrap_socket)[0] == 413


def test_lingering_has_a_bound():
    """Of 400 that leave their refused connection open, 256 of a loop are waited for, and none for ever."""
    with Server("--loops", "1") as server:
        def descriptors():
            return len(os.listdir(f"/proc/{server.process.pid}/fd"))
        before = descriptors()
        held = []
        for _ in range(400):
            s = at_once(socket.create_connection(("127.0.0.1", server.port), timeout=20))
            s.sendall(b"GET /healthz HTTP/7.1\r\n" + HOST + b"\r\n")
            assert s.recv(20).startswith(b"HTTP/1.1 505")
            held.append(s)
        assert descriptors() <= before + 256 + 5
        wait_for(lambda: descriptors() <= before + 5, 30, "the end of lingering")
        for s in held:
            s.close()
