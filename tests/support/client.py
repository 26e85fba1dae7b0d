"""A keep-alive HTTP client whose every response is checked against the API description."""
import http.client
import json
import select
import socket
import urllib.parse

from .coding import unpack
from .contract import contract

TIMEOUT_SECONDS = 60


class Request:
    def __init__(self, method, path, headers, body, wire=None):
        self.method, self.path, self.headers, self.body = method, path, headers, body
        self.wire = body if wire is None else wire


class Response:
    def __init__(self, request, status, headers, body):
        self.request, self.status, self.headers, self.wire = request, status, headers, body
        coding = self.header("Content-Encoding")
        self.body = unpack(coding, body) if coding and body else body

    def header(self, name):
        """The header's value (several joined by a comma), or None."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(values) if values else None

    def json(self):
        return json.loads(self.body)

    def data(self):
        """The answer of raw SQL without what its columns are."""
        return {key: value for key, value in self.json().items() if key != "columns"}

    @property
    def text(self):
        return self.body.decode("utf-8")

    def expect(self, status, code=None):
        """Requires the status (and, of a problem, the code); returns itself."""
        assert self.status == status, (
            f"{self.request.method} {self.request.path[:300]}: expected {status}, got {self.status}: {self.body[:2000]!r}")
        if code is not None:
            assert self.json()["code"] == code, f"expected {code}: {self.body[:2000]!r}"
        return self

    def problem(self, status, code):
        """Requires that problem; returns its document."""
        return self.expect(status, code).json()

    def pointers(self):
        """The pointers of a problem's `errors`."""
        return [error["pointer"] for error in self.json().get("errors", [])]


class Client:
    """One TCP connection; not for several threads (see clone). Headers given here go with every request."""

    def __init__(self, port, headers=None, validate=True, host="127.0.0.1", timeout=TIMEOUT_SECONDS):
        self.host, self.port, self.timeout = host, port, timeout
        self.headers = dict(headers or {})
        self.validate = validate
        self.connection = None

    def clone(self, **headers):
        """The same caller on a TCP connection of its own; underscores in header names become dashes."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return Client(self.port, {**self.headers, **more}, self.validate, self.host, self.timeout)

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def request(self, method, path, body=None, *, raw=None, params=None, headers=None, validate=None,
                wire=None):
        """body: any JSON value (None: no body; for JSON null give raw=b"null"); raw: bytes sent as they are.

        params: the query as a dict or a list of pairs. A header whose value is None is not sent. wire: the body as it
        travels, in the coding that the header Content-Encoding names.
        """
        if params:
            path += ("&" if "?" in path else "?") + urllib.parse.urlencode(params)
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        sent = dict(self.headers)
        if data is not None:
            sent["Content-Type"] = "application/json"
        for name, value in (headers or {}).items():
            for known in [k for k in sent if k.lower() == name.lower()]:
                del sent[known]
            sent[name] = value
        sent = {name: value for name, value in sent.items() if value is not None}
        request = Request(method, path, sent, data, wire)
        response = self._send(request)
        if self.validate if validate is None else validate:
            contract().check(request, response)
        return response

    def _gone(self):
        """Has the server closed the connection since its last answer (http_idle_seconds)? It has nothing else to say then."""
        if self.connection is None or self.connection.sock is None:
            return False
        state = select.poll()
        state.register(self.connection.sock, select.POLLIN)
        return bool(state.poll(0))

    def _send(self, request):
        if self._gone():
            self.close()
        fresh = self.connection is None
        if fresh:
            self.connection = http.client.HTTPConnection(self.host, self.port, timeout=self.timeout)
            self.connection.connect()
            self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.connection.request(request.method, request.path, body=request.wire, headers=request.headers)
            answer = self.connection.getresponse()
            body = answer.read()
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            self.close()
            # an idle connection that the server had closed says nothing; a fresh one that dies says much
            if fresh or request.method not in ("GET", "HEAD", "OPTIONS"):
                raise
            return self._send(request)
        except Exception:
            self.close()
            raise
        if answer.will_close:
            self.close()
        return Response(request, answer.status, answer.getheaders(), body)

    def get(self, path, **kwargs):
        return self.request("GET", path, **kwargs)

    def head(self, path, **kwargs):
        return self.request("HEAD", path, **kwargs)

    def options(self, path, **kwargs):
        return self.request("OPTIONS", path, **kwargs)

    def post(self, path, body=None, **kwargs):
        return self.request("POST", path, body, **kwargs)

    def put(self, path, body=None, **kwargs):
        return self.request("PUT", path, body, **kwargs)

    def patch(self, path, body=None, **kwargs):
        return self.request("PATCH", path, body, **kwargs)

    def delete(self, path, body=None, **kwargs):
        return self.request("DELETE", path, body, **kwargs)

    # ---- the contract's own state ----

    def session(self, **options):
        """Opens a session and returns a client that works in it (`using`, timeouts as keyword arguments)."""
        response = self.post("/v1/sessions", options).expect(201)
        return self.clone(Ferro_Session=response.header("Ferro-Session"))

    def transaction(self, **options):
        """Begins a transaction and returns a client that works in it; its id is client.headers["Ferro-Transaction"]."""
        response = self.post("/v1/transactions", options).expect(201)
        return self.clone(Ferro_Transaction=response.header("Ferro-Transaction"))
