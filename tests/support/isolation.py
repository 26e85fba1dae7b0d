"""Interleavings of named steps over sessions, and what each must come to: a model of both databases beside the real thing.

A scenario gives each session a word of steps. Every way to interleave the words is run against the server; before each step
the model says what it answers, or that it waits for another session. Steps:

  b begin   r read the row   w add to it   c commit   k roll back   s savepoint   S roll it back   C release it
  o add outside any transaction   x end the session, with what is open in it
  d the client goes away while its statement runs in the transaction
  t begin with a short timeout   e wait until it has passed   z let the session's idle timeout pass
  G read the record through the map   P set it through the map   E evict it   F refresh it   Q set it by raw SQL
"""
import itertools
import time
from concurrent.futures import ThreadPoolExecutor, TimeoutError as NotYet

from . import vanish
from .process import wait_for

BLOCKED = "blocked"


class TooSlow(Exception):
    """A timeout passed before its step came: the machine was busy, and this run says nothing."""


def interleavings(words):
    """Every order of (session, step) that keeps each word's own order."""
    slots = [i for i, word in enumerate(words) for _ in word]
    for order in sorted(set(itertools.permutations(slots))) if len(slots) <= 7 else _merges([len(w) for w in words]):
        at = [0] * len(words)
        steps = []
        for i in order:
            steps.append((i, words[i][at[i]]))
            at[i] += 1
        yield steps


def _merges(left):
    if not any(left):
        yield ()
        return
    for i, n in enumerate(left):
        if n:
            rest = list(left)
            rest[i] -= 1
            for tail in _merges(rest):
                yield (i, *tail)


class Tx:
    def __init__(self):
        self.snapshot = None    # (version, value) that it reads; None: not taken yet
        self.value = None       # with its own writes; None: none
        self.saved = []         # of savepoints
        self.writer = False
        self.aborted = False


class Model:
    """One row. sqlite: snapshots and one writer; postgres: by isolation level."""

    def __init__(self, backend, isolation, n):
        self.sqlite = backend == "sqlite"
        self.snapshots = self.sqlite or isolation != "read_committed"
        self.version, self.value = 0, 0
        self.tx = [None] * n
        self.gone = [False] * n
        self.expired = [False] * n
        self.map = [None] * n
        self.added = [1 + 9 * i for i in range(n)]

    def writer(self, but):
        return next((i for i, tx in enumerate(self.tx) if tx is not None and tx.writer and i != but), None)

    def waits_for(self, i, step):
        """The session whose end this step waits for, or None."""
        tx = self.tx[i]
        if self.gone[i] or self.expired[i] or step not in "woPQ" or (tx is not None and (tx.aborted or tx.writer)):
            return None
        return self.writer(i)

    def starts_waiting(self, i):
        """On PostgreSQL a statement sees what was there when it began, however long it then waits."""
        tx = self.tx[i]
        if tx is not None and not self.sqlite:
            self.look(tx)

    def apply(self, i, step):
        """What the step answers now that nothing holds it up."""
        if self.gone[i]:
            return "session_expired"
        if self.expired[i]:
            return "transaction_expired"
        return getattr(self, {"S": "undo_savepoint", "C": "release"}.get(step, f"step_{step}"))(i)

    # ---- transactions ----

    def step_b(self, i):
        self.tx[i] = Tx()
        return "ok"

    def look(self, tx):
        if self.snapshots and tx.snapshot is None:
            tx.snapshot = (self.version, self.value)
        if tx.value is not None:
            return tx.value
        return tx.snapshot[1] if self.snapshots else self.value

    def step_r(self, i):
        tx = self.tx[i]
        if tx is None:
            return self.value
        return "transaction_aborted" if tx.aborted else self.look(tx)

    def step_w(self, i):
        tx = self.tx[i]
        if tx.aborted:
            return "transaction_aborted"
        now = self.look(tx)
        tx.writer = True if self.sqlite else tx.writer
        if self.snapshots and tx.snapshot[0] != self.version:
            tx.aborted = not self.sqlite
            return "serialization_failure"
        tx.writer = True
        tx.value = now + self.added[i]
        return "ok"

    def end(self, i):
        tx, self.tx[i] = self.tx[i], None
        return tx

    def step_c(self, i):
        if self.tx[i].aborted:
            self.end(i)
            self.map[i] = None
            return "transaction_aborted"
        tx = self.end(i)
        if tx.value is not None:
            self.version, self.value = self.version + 1, tx.value
        return "committed"

    def step_k(self, i):
        self.end(i)
        self.map[i] = None
        return "rolled_back"

    def step_s(self, i):
        tx = self.tx[i]
        if tx.aborted:
            return "transaction_aborted"
        if self.snapshots and not self.sqlite and tx.snapshot is None:
            tx.snapshot = (self.version, self.value)
        tx.saved.append(tx.value)
        return "ok"

    def undo_savepoint(self, i):
        tx = self.tx[i]
        tx.value = tx.saved.pop()
        tx.aborted = False
        if not self.sqlite and tx.value is None and not tx.saved:
            tx.writer = False    # PostgreSQL gives the row's lock back with the savepoint
        return "rolled_back"

    def release(self, i):
        tx = self.tx[i]
        if tx.aborted:
            self.undo_savepoint(i)
            return "transaction_aborted"
        tx.saved.pop()
        return "committed"

    def step_d(self, i):
        tx = self.tx[i]
        self.look(tx)
        tx.aborted = not self.sqlite
        return "aborted" if tx.aborted else "open"

    def step_o(self, i):
        self.version, self.value = self.version + 1, self.value + self.added[i]
        return "ok"

    def step_x(self, i):
        self.end(i)
        self.gone[i] = True
        return "closed"

    step_t = step_b
    step_z = step_x

    def step_e(self, i):
        self.end(i)
        self.map[i] = None
        self.expired[i] = True
        return "expired"

    # ---- the map ----

    def step_G(self, i):
        if self.map[i] is None:
            self.map[i] = self.value
            return ("miss", self.value)
        return ("hit", self.map[i])

    def step_P(self, i):
        self.version, self.value = self.version + 1, 100 * (i + 1)
        self.map[i] = self.value
        return self.value

    def step_Q(self, i):
        self.version, self.value = self.version + 1, 7 * (i + 1)
        self.map[i] = None    # nobody knows what the client's own words have changed
        return "ok"

    def step_E(self, i):
        self.map[i] = None
        return "ok"

    def step_F(self, i):
        self.map[i] = self.value
        return self.value


class Actor:
    """One session on the server; its steps run in a thread of their own."""

    def __init__(self, conn, i, isolation, model_name, word, patience):
        self.patience = patience
        self.idle = patience if "z" in word else None
        self.used = time.monotonic()
        self.tx_ends = float("inf")        # earliest
        self.late = False                  # a step was not over within the session's idle time
        more = {"idle_timeout_seconds": self.idle} if self.idle else {}
        self.client = conn.client.session(using=conn.name, **more)
        self.conn, self.isolation, self.model_name, self.added = conn, isolation, model_name, 1 + 9 * i
        self.i = i
        self.chain = []
        self.pool = ThreadPoolExecutor(1)

    def run(self, step):
        return self.pool.submit(self.step, step)

    def step(self, step):
        got = getattr(self, f"do_{'lower' if step.islower() else 'upper'}_{step.lower()}")()
        self.late = self.doomed()
        self.used = time.monotonic()
        return got

    def doomed(self):
        """May a timeout have passed already?"""
        now = time.monotonic()
        return self.late or now > self.tx_ends or (self.idle is not None and now > self.used + 0.9 * self.idle)

    def inside(self):
        return self.client.clone(Ferro_Transaction=self.chain[-1]) if self.chain else self.client

    @staticmethod
    def word(answer, ok="ok"):
        return answer.json()["code"] if answer.status >= 400 else ok

    def sql(self, text):
        return self.inside().post("/v1/sql/execute", {"sql": text})

    def do_lower_b(self, **more):
        answer = self.client.post("/v1/transactions", {"isolation": self.isolation, **more})
        if answer.status == 201:
            self.chain.append(answer.json()["transaction_id"])
        return self.word(answer)

    def do_lower_t(self):
        self.tx_ends = time.monotonic() + 0.9 * self.patience
        return self.do_lower_b(timeout_seconds=self.patience)

    def do_lower_e(self):
        if self.doomed():
            raise TooSlow
        path = f"/v1/transactions/{self.chain[-1]}"
        state = wait_for(lambda: (lambda s: s if s != "open" and s != "aborted" else None)(
            self.client.get(path).expect(200).json()["state"]), 10, "the transaction's end")
        self.tx_ends = float("inf")
        return state

    def do_lower_z(self):
        if self.doomed():
            raise TooSlow
        time.sleep(self.idle + 0.02)
        self.idle = None
        answer = self.client.get("/v1/session")
        return "closed" if answer.status == 410 else answer.status

    def do_lower_s(self):
        answer = self.inside().post("/v1/transactions")
        if answer.status == 201:
            self.chain.append(answer.json()["transaction_id"])
        return self.word(answer)

    def end(self, how):
        answer = self.client.post(f"/v1/transactions/{self.chain[-1]}/{how}")
        if answer.status == 200 or answer.json().get("outcome") == "rolled_back":
            self.chain.pop()
        return answer.json()["state"] if answer.status == 200 else answer.json()["code"]

    def do_lower_c(self):
        return self.end("commit")

    def do_lower_k(self):
        return self.end("rollback")

    def do_upper_s(self):
        return self.end("rollback")

    def do_upper_c(self):
        return self.end("commit")

    def do_lower_r(self):
        answer = self.inside().post("/v1/sql/fetch-one", {"sql": f"SELECT v FROM {self.model_name.lower()} WHERE id = 1"})
        return answer.json()["row"]["v"] if answer.status == 200 else self.word(answer)

    def do_lower_w(self):
        return self.word(self.sql(f"UPDATE {self.model_name.lower()} SET v = v + {self.added} WHERE id = 1"))

    def do_lower_o(self):
        return self.word(self.client.post("/v1/sql/execute", {
            "sql": f"UPDATE {self.model_name.lower()} SET v = v + {self.added} WHERE id = 1"}))

    def do_lower_d(self):
        endless = "SELECT pg_sleep(600)" if self.conn.backend.name == "postgres" else (
            "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c")
        s = vanish.send(self.client.port, "/v1/sql/fetch-all", {"sql": endless}, self.inside().headers)
        time.sleep(0.2)
        s.close()
        # the turn is back when the next request of the transaction gets it
        answer = wait_for(lambda: (lambda a: a if a.status != 429 else None)(self.inside().post(
            "/v1/sql/fetch-all", {"sql": "SELECT 1"}, headers={"Prefer": "timeout=0.5"})), 5, "the transaction's turn")
        assert answer.status in (200, 409), answer.body
        return self.client.get(f"/v1/transactions/{self.chain[-1]}").expect(200).json()["state"]

    def do_lower_x(self):
        answer = self.client.delete("/v1/session?rollback=true")
        return "closed" if answer.status == 204 else self.word(answer)

    # ---- the map ----

    @property
    def path(self):
        return f"/v1/models/{self.model_name}/records/1"

    def do_upper_g(self):
        answer = self.client.get(self.path)
        return (answer.header("Ferro-Identity"), answer.json()["v"]) if answer.status == 200 else self.word(answer)

    def do_upper_p(self):
        answer = self.client.patch(self.path, {"v": 100 * (self.i + 1)})
        return answer.json()["v"] if answer.status == 200 else self.word(answer)

    def do_upper_q(self):
        return self.word(self.client.post("/v1/sql/execute", {
            "sql": f"UPDATE {self.model_name.lower()} SET v = {7 * (self.i + 1)} WHERE id = 1"}))

    def do_upper_e(self):
        return self.word(self.client.delete(f"/v1/session/identity-map/{self.model_name}/1"))

    def do_upper_f(self):
        answer = self.client.post(self.path + "/refresh")
        return answer.json()["v"] if answer.status == 200 else self.word(answer)

    def close(self):
        self.client.delete("/v1/session?rollback=true")
        self.client.close()
        self.pool.shutdown()


class Run:
    """One interleaving."""

    def __init__(self, conn, model_name, words, isolation, patience=0.3):
        self.conn = conn
        self.model = Model(conn.backend.name, isolation, len(words))
        self.actors = [Actor(conn, i, isolation, model_name, word, patience) for i, word in enumerate(words)]
        self.waiting = {}                  # session -> its running step
        self.later = {i: [] for i in range(len(words))}
        self.trace = []

    def check(self, i, step, got, expected):
        self.trace.append(f"{i}{step}={got}")
        if got != expected and any(actor.doomed() for actor in self.actors):
            raise TooSlow
        assert got == expected, f"{' '.join(self.trace)}: the model says {expected}"

    def go(self, i, step):
        if i in self.waiting:
            self.later[i].append(step)
            return
        if self.model.waits_for(i, step) is not None:
            future = self.actors[i].run(step)
            try:
                got = future.result(0.03)
                if any(actor.doomed() for actor in self.actors):
                    raise TooSlow
                raise AssertionError(f"{' '.join(self.trace)} {i}{step}={got}: it should wait for another session")
            except NotYet:
                self.trace.append(f"{i}{step}...")
            self.waiting[i] = (step, future)
            self.model.starts_waiting(i)
            return
        self.check(i, step, self.actors[i].run(step).result(20), self.model.apply(i, step))
        self.wake()

    def wake(self):
        """What no longer waits ends, and its session goes on."""
        for i in list(self.waiting):
            step, future = self.waiting.get(i, (None, None))
            if step is None or self.model.waits_for(i, step) is not None:
                continue
            del self.waiting[i]
            self.check(i, step, future.result(20), self.model.apply(i, step))
            steps, self.later[i] = self.later[i], []
            for next_step in steps:
                self.go(i, next_step)

    def close(self):
        for actor in self.actors:
            actor.close()
