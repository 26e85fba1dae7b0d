"""HTTP byte by byte over a socket, for what http.client cannot or will not send. Every wait has an end."""
import json
import socket

SECONDS = 10


class RawResponse:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def header(self, name):
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(values) if values else None

    def problem(self, status, code):
        assert (self.status, self.header("Content-Type")) == (status, "application/problem+json"), (self.status, self.body)
        problem = json.loads(self.body)
        assert problem["code"] == code, problem
        assert problem["instance"] == self.header("X-Request-Id")
        return problem


    def refused(self, by_library=False):
        """A malformed request: by our own problem, or in the words of the HTTP library, which saw it first."""
        if by_library:
            assert (self.status, self.header("Content-Type")) == (400, None), (self.status, self.header("Content-Type"), self.body)
            assert self.body.startswith(b"<html>"), self.body
        else:
            self.problem(400, "invalid_request")
        assert self.header("Connection") == "close"


class RawConnection:
    def __init__(self, port, seconds=SECONDS):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=seconds)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def request(self, method, target, body=None, headers=()):
        """Sends a whole HTTP/1.1 request with Host and, for a body, Content-Type and Content-Length."""
        lines = [f"{method} {target} HTTP/1.1", "Host: localhost"]
        lines += [f"{name}: {value}" for name, value in headers]
        if body is not None:
            known = {name.lower() for name, _ in headers}
            if "content-type" not in known:
                lines.append("Content-Type: application/json")
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join(lines) + "\r\n\r\n")
        if body is not None:
            self.send(body)

    def _more(self):
        data = self.socket.recv(65536)
        if not data:
            raise EOFError(f"the server closed the connection after {self.buffer[:200]!r}")
        self.buffer += data

    def _until(self, mark):
        while mark not in self.buffer:
            self._more()
        head, self.buffer = self.buffer.split(mark, 1)
        return head

    def _exactly(self, size):
        while len(self.buffer) < size:
            self._more()
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def response(self, head=False):
        """Reads one response (also 1xx ones); head: it answers HEAD, so no body follows."""
        lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        status = int(lines[0].split(" ")[1])
        headers = [tuple(line.split(": ", 1)) if ": " in line else (line.rstrip(":"), "") for line in lines[1:]]
        answer = RawResponse(status, headers, b"")
        if head or status < 200 or status in (204, 304):
            return answer
        if (answer.header("Transfer-Encoding") or "").lower() == "chunked":
            while True:
                size = int(self._until(b"\r\n").split(b";")[0], 16)
                answer.body += self._exactly(size)
                assert self._exactly(2) == b"\r\n"
                if size == 0:
                    return answer
        length = answer.header("Content-Length")
        if length is not None:
            answer.body = self._exactly(int(length))
        else:
            answer.body = self.rest()
        return answer

    def rest(self):
        """Everything until the server closes."""
        data, self.buffer = self.buffer, b""
        while True:
            try:
                more = self.socket.recv(65536)
            except ConnectionResetError:
                return data
            if not more:
                return data
            data += more

    def closed(self):
        """Whether the server has closed (waits for it)."""
        try:
            return self.buffer == b"" and self.socket.recv(1) == b""
        except ConnectionResetError:
            return True
