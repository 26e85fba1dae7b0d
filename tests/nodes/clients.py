"""Clients of a cluster behind its proxy that go on whatever happens, and a ledger of all they were told."""
import collections
import http.client
import json
import threading
import time
import uuid

LOST = (http.client.HTTPException, ConnectionError, OSError)
TIMEOUT = 40


class Ledger:
    def __init__(self):
        self.lock = threading.Lock()
        self.requests = collections.Counter()     # by status, "lost" when the proxy gave no answer
        self.failures = collections.Counter()     # by kind
        self.strange = []                         # what no client should have seen
        self.acked, self.unknown = {}, set()      # note -> id; notes of transactions whose commit nobody can tell
        self.longest, self.longest_503 = 0.0, 0.0
        self.resumed = collections.Counter()
        self.slowest = None                       # the story of the longest one, when it took long

    def count(self, status, kind=None):
        with self.lock:
            self.requests[status] += 1
            if kind:
                self.failures[kind] += 1

    def odd(self, what):
        with self.lock:
            self.strange.append(what)


class Caller:
    """One client: a session through the proxy, and requests that are repeated until they are answered."""

    def __init__(self, port, ledger, stop):
        self.port, self.ledger, self.stop = port, ledger, stop
        self.connection, self.session, self.node = None, None, None

    def send(self, method, path, body=None, **headers):
        """(status, headers, document); status 0: no answer of ferrod's. Errors of the proxy are no problem documents."""
        if self.session:
            headers["Ferro-Session"] = self.session
        if self.node and self.session:
            headers["Ferro-Node"] = self.node
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            if self.connection is None:
                self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
            self.connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = self.connection.getresponse()
            text = answer.read()
            if answer.getheader("Connection") == "close":
                self.drop()
        except LOST:
            self.drop()
            self.ledger.count("lost", "no answer from the proxy")
            return 0, {}, None
        if answer.getheader("X-Request-Id") is None:
            self.ledger.count(answer.status, f"proxy {answer.status}")
            return 0, {}, None
        if answer.getheader("Ferro-Session-Resumed"):
            with self.ledger.lock:
                self.ledger.resumed[answer.getheader("Ferro-Session-Resumed")] += 1
        document = json.loads(text) if text else None
        kind = f"{answer.status} {document['code']}" if answer.status >= 400 else None
        self.ledger.count(answer.status, kind)
        return answer.status, answer, document

    def drop(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None

    def until_answered(self, method, path, body=None, good=(200, 201, 204), **headers):
        """Repeats what was not answered, or is retryable; None once the run is over or the request can never succeed."""
        began, first_503, story = time.monotonic(), None, []
        while time.monotonic() - began < 60:
            sent = time.monotonic()
            status, answer, document = self.send(method, path, body, **headers)
            story.append((round(sent - began, 2), round(time.monotonic() - sent, 2), status, document and document.get("code"), self.node))
            if status != 503:
                first_503 = None
            if status in good:
                with self.ledger.lock:
                    if time.monotonic() - began > max(self.ledger.longest, 6):
                        self.ledger.slowest = (method, path, self.session[:2] if self.session else None, story[:3], len(story), story[-12:])
                    self.ledger.longest = max(self.ledger.longest, time.monotonic() - began)
                return document if document is not None else {}
            if status == 421:
                self.node = answer.getheader("Ferro-Node")
                time.sleep(0.02)        # the proxy may not know yet that that one is up
                continue
            if status == 503 and document.get("retryable"):
                first_503 = first_503 or time.monotonic()
                with self.ledger.lock:
                    self.ledger.longest_503 = max(self.ledger.longest_503, time.monotonic() - first_503)
            elif status == 0 and self.node:
                self.node = None        # that one is gone, too
            elif status == 409 and document.get("retryable"):
                pass
            elif status == 410 and document["code"] == "transaction_expired":
                return None
            elif status != 0:
                self.ledger.odd((method, path, status, document))
                return None
            time.sleep(0.05)
        self.ledger.odd((method, path, "not answered within 60 s", self.ledger.failures))
        return None

    def open(self):
        opened = self.until_answered("POST", "/v1/sessions", {}, good=(201,))
        self.session = opened and opened["session_id"]
        return self.session is not None

    def write(self):
        note = uuid.uuid4().hex
        made = self.until_answered("POST", "/v1/models/Entry/records", {"note": note}, good=(201,), **{"Idempotency-Key": note})
        if made is None:
            return
        with self.ledger.lock:
            self.ledger.acked[note] = made["id"]
        found = self.until_answered("GET", f"/v1/models/Entry/records/{made['id']}", None, **{"Cache-Control": "no-cache"})
        if found is not None and found["note"] != note:
            self.ledger.odd(("read", made["id"], note, found))

    def transact(self):
        """What is committed is there; what was announced as gone may be; nothing else happens."""
        begun = self.until_answered("POST", "/v1/transactions", {}, good=(201,))
        if begun is None:
            return
        tx, note = begun["transaction_id"], uuid.uuid4().hex
        status, _, document = self.send("POST", "/v1/models/Entry/records", {"note": note}, **{"Ferro-Transaction": tx})
        if status != 201:
            self.gone(status, document, note)
            return
        status, _, document = self.send("POST", f"/v1/transactions/{tx}/commit")
        if status == 200:
            with self.ledger.lock:
                self.ledger.acked[note] = None
        else:
            self.gone(status, document, note)

    def gone(self, status, document, note):
        code = document["code"] if document else None
        if status in (0, 421, 503) or code == "transaction_expired":
            with self.ledger.lock:
                self.ledger.unknown.add(note)
        else:
            self.ledger.odd(("transaction", status, document))

    def run(self):
        turn = 0
        while not self.stop.is_set():
            if self.session is None and not self.open():
                continue
            turn += 1
            if turn % 10 == 0:
                self.transact()
            else:
                self.write()
        self.drop()


def run(port, n, seconds, meanwhile):
    """n clients for so long while meanwhile(ledger) does its worst; the ledger."""
    ledger, stop = Ledger(), threading.Event()
    callers = [Caller(port, ledger, stop) for _ in range(n)]
    threads = [threading.Thread(target=c.run, daemon=True) for c in callers]
    for t in threads:
        t.start()
    began = time.monotonic()
    meanwhile(ledger)
    while time.monotonic() - began < seconds:
        time.sleep(0.1)
    stop.set()
    for t in threads:
        t.join(90)
        assert not t.is_alive(), "a client that never ends"
    return ledger
