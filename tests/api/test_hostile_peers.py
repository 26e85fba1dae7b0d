"""What a peer without a credential may send: nothing of it stops the process, holds a loop or is left without an answer."""
import contextlib
import json
import os
import socket
import sqlite3
import time

import pytest

from support.client import Client
from support.process import wait_for
from support.raw import RawConnection
from support.server import Server, patience


@pytest.fixture
def own():
    """A server of the test's own: what it survives must not be what others stand on."""
    with Server() as server:
        yield server


# ---- what a request can lack ----

OPTIONS_BODIES = {
    "one byte": "Content-Length: 1\r\n\r\nx",
    "a document": "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
    "chunks": "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "nothing": "Content-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("body", OPTIONS_BODIES.values(), ids=OPTIONS_BODIES.keys())
@pytest.mark.parametrize("path, status", [("/healthz", 204), ("/v1/models/User/records", 204), ("/v1/query", 204), ("/nothing", 404), ("*", 404)])
def test_options_with_a_body_is_answered_like_one_without(own, path, status, body):
    """There is no route behind OPTIONS whose rule for bodies could be asked."""
    with RawConnection(own.port) as raw:
        raw.send(f"OPTIONS {path} HTTP/1.1\r\nHost: localhost\r\n{body}")
        answer = raw.response()
        assert answer.status == status, answer.body
        if status == 204:
            assert "OPTIONS" in answer.header("Allow")
        raw.request("GET", "/healthz")
        assert raw.response().status == 200


# ---- bytes that the HTTP library's buffer cannot hold ----

JAMS = {
    "a long extension": b"5;" + b"a" * 14000,
    "zeroes of a size": b"0" * 20000,
    "behind a chunk": b"1\r\n{\r\n" + b"0" * 20000,
    "an extension in pieces": b"5;" + b"b" * 200000,
    "white space behind a chunk": b"1\r\n{" + b" " * 20000,
    "a trailer": b"2\r\n{}\r\n0\r\nX: " + b"y" * 20000,
    "many trailers": b"2\r\n{}\r\n0\r\n" + b"X: y\r\n" * 5000,
}
CHUNKED = "Host: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


def processor_seconds(server):
    fields = open(f"/proc/{server.process.pid}/stat", encoding="ascii").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("jam", JAMS.values(), ids=JAMS.keys())
@pytest.mark.parametrize("target", ["/v1/query", "/v1/models/User/records", "/nothing"])
def test_a_chunk_line_beyond_the_buffer_ends_the_connection_at_once(own, strict_library, target, jam):
    """The library waits for its end and reads no more: the loop turned at full speed until http_idle_seconds."""
    with RawConnection(own.port) as raw:
        raw.send(f"POST {target} HTTP/1.1\r\n{CHUNKED}")
        started = time.monotonic()
        with contextlib.suppress(OSError):
            raw.send(jam)
        if strict_library and jam.startswith(b"5;"):  # it drops an extension as it comes, and waits for its end
            raw.socket.settimeout(1)
            with pytest.raises(TimeoutError):
                raw.rest()
        else:
            got = raw.rest()
            assert time.monotonic() - started < patience(3)
            assert got == b"" or got.startswith(b"HTTP/1.1 4"), got[:300]
    before = processor_seconds(own)
    time.sleep(0.5)  # of rest: a measure, not a wait
    assert processor_seconds(own) - before < patience(0.2)
    with Client(own.port) as c:
        c.get("/healthz").expect(200)


def test_a_buffer_filled_to_its_last_byte_is_seen_too(own, strict_library):
    """Nothing is left in the socket then, and the client has gone or waits: only the library's own haste tells."""
    with contextlib.ExitStack() as stack:
        for size in range(8000, 13000, 25):
            raw = stack.enter_context(RawConnection(own.port))
            raw.send(f"POST /v1/query HTTP/1.1\r\n{CHUNKED}".encode() + b"5;" + b"a" * size)
        patient = stack.enter_context(RawConnection(own.port))  # whose line is short enough goes on
        patient.send(f"POST /v1/query HTTP/1.1\r\n{CHUNKED}".encode() + b"2;" + b"a" * 3000)
        with Client(own.port) as c:
            c.get("/healthz").expect(200)
        time.sleep(0.5)
        before = processor_seconds(own)
        time.sleep(0.5)
        assert processor_seconds(own) - before < patience(0.2)
        patient.send(b"\r\n{}\r\n0\r\n\r\n")
        if strict_library:  # 1.0.1 takes the end of an extension's line for data
            patient.response().refused(by_library=True)
        else:
            patient.response().problem(422, "invalid_query")


def test_what_has_no_room_is_told_so_and_counted(own, strict_library):
    with RawConnection(own.port) as raw:
        raw.send(f"POST /v1/query HTTP/1.1\r\n{CHUNKED}".encode() + b"0" * 20000)
        answer = raw.response()
        if strict_library:
            assert answer.status == 413 and answer.body.startswith(b"<html>"), answer.body
        else:
            answer.problem(400, "invalid_request")
        assert answer.header("Connection") == "close" and raw.closed()
    if not strict_library:
        wait_for(lambda: any(line["status"] == 400 for line in own.events("request")), 10, "its line in the log")


# ---- few descriptors ----

def few(limit):
    """What runs ferrod with so many descriptors, whatever its parent has."""
    return ["prlimit", f"--nofile={limit}:{limit}"]


def test_without_descriptors_clients_are_answered_and_told_why():
    """They waited in the queue of the socket, unanswered, until others went."""
    with Server("--loops", "1", "--default-url", "", under=few(64)) as server, Client(server.port) as early:
        early.get("/healthz").expect(200)
        with contextlib.ExitStack() as stack:
            for _ in range(80):
                stack.enter_context(RawConnection(server.port))
            for _ in range(3):
                with RawConnection(server.port) as late:
                    late.request("GET", "/healthz")
                    answer = late.response()
                    assert (answer.status, answer.header("Retry-After")) == (503, "1")
                    assert "descriptor" in json.loads(answer.body)["detail"]
                    assert late.closed()
            early.get("/healthz").expect(200)
            path = server.dir / "there.db"
            sqlite3.connect(path).execute("CREATE TABLE t (i)")
            problem = early.post("/v1/connections", {"url": f"sqlite:{path}", "name": "x"}).problem(503, "database_unavailable")
            assert "EMFILE" in problem["detail"], problem
            problem = early.post("/v1/connections", {"url": "postgres://127.0.0.1:1/x", "name": "x"}).problem(503, "database_unavailable")
            assert "EMFILE" in problem["detail"], problem
        wait_for(lambda: server.events("descriptors_exhausted"), 10, "its line in the log")
        assert len(server.events("descriptors_exhausted")) <= 2
        assert "EMFILE" in server.events("descriptors_exhausted")[0]["message"]

        def served():
            with RawConnection(server.port) as again:
                again.request("GET", "/healthz")
                return again.response().status == 200
        wait_for(served, 10, "service once descriptors are free")


@pytest.mark.parametrize("left", range(5))
def test_a_file_that_lacks_a_descriptor_is_not_said_to_be_missing(tmp_path, left):
    """An open file has a write-ahead log, and what its readers share: any of the three may be the one that finds none left."""
    path = tmp_path / "there.db"
    with contextlib.closing(sqlite3.connect(path)) as other:  # keeps the log
        other.executescript("PRAGMA journal_mode = WAL; CREATE TABLE t (i)")
        with Server("--loops", "1", "--default-url", "", under=few(64)) as server, Client(server.port) as early:
            early.get("/healthz").expect(200)
            with contextlib.ExitStack() as stack:
                held = [stack.enter_context(RawConnection(server.port)) for _ in range(80)]
                wait_for(lambda: server.events("descriptors_exhausted"), 10, "the last descriptor to be taken")
                for one in held[:left]:
                    one.socket.close()
                for n in range(3):
                    answer = early.post("/v1/connections", {"url": f"sqlite:{path}", "name": f"x{n}"})
                    if answer.status != 201 or left == 0:
                        assert "EMFILE" in answer.problem(503, "database_unavailable")["detail"]


def test_no_more_connections_than_allowed_are_open_at_a_time():
    """The others wait for their turn."""
    with Server("--loops", "1", "--http-connections", "5") as server:
        with contextlib.ExitStack() as stack:
            held = [stack.enter_context(RawConnection(server.port)) for _ in range(5)]
            for one in held:
                one.request("GET", "/healthz")
                assert one.response().status == 200
            with RawConnection(server.port) as waiting:
                waiting.request("GET", "/healthz")
                waiting.socket.settimeout(0.3)
                with pytest.raises(TimeoutError):
                    waiting.response()
                held[0].socket.close()
                waiting.socket.settimeout(10)
                assert waiting.response().status == 200


@pytest.mark.parametrize("url, why", [("sqlite:none/such.db", "does not exist"), ("sqlite:.", "directory"), ("sqlite:none.db?mode=rw", "does not exist")])
def test_a_file_that_cannot_be_opened_is_said_why(own, url, why):
    with Client(own.port) as c:
        assert why in c.post("/v1/connections", {"url": url, "name": "x"}).problem(400, "invalid_url")["detail"]


# ---- ends that come together with bytes ----

CUT_OFF = {
    "in the head": "POST /v1/reset HTTP/1.1\r\nHost: localhost\r\nX-Half: ",
    "in the body": "POST /v1/models HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
    "in a chunk": f"POST /v1/models HTTP/1.1\r\n{CHUNKED}64\r\n{{",
}


@pytest.mark.parametrize("text", CUT_OFF.values(), ids=CUT_OFF.keys())
def test_an_end_that_comes_with_bytes_is_over_with_the_idle_time(text):
    """libmicrohttpd 0.9.75 overlooks it: what was cut off is not carried out, and the connection does not stay."""
    with Server("--http-idle-seconds", "2") as own, Client(own.port) as client:
        before = client.get("/v1/connections").expect(200).json()
        began = time.monotonic()
        raw = RawConnection(own.port)
        raw.send(text)
        raw.socket.shutdown(socket.SHUT_WR)
        while raw.socket.recv(65536):
            pass
        raw.socket.close()
        assert time.monotonic() - began < patience(6)
        assert client.get("/v1/connections").expect(200).json() == before
