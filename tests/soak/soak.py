"""Money moves between accounts while clients vanish and PostgreSQL backends die: soak.py [--seconds N] [--vanish N].

64 clients on both databases at once: transactions in and out of sessions, savepoints, batches with Idempotency-Key,
commits whose reply nobody reads, statements cut off, sessions left lying about. At the end the sum of the money is what
it was, every acknowledged transfer is in the ledger once, every refused one is not, every other one is as its
transaction's outcome says, and nothing is leased, open or grown.
"""
import argparse
import collections
import http.client
import pathlib
import random
import shutil
import sys
import tempfile
import threading
import time
import uuid

if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from support import vanish  # noqa: E402
from support.client import Client  # noqa: E402
from support.pg import Postgres  # noqa: E402
from support.process import wait_for  # noqa: E402
from support.server import Server  # noqa: E402

ACCOUNTS = 12
MONEY = 1000
LOST = (http.client.HTTPException, ConnectionError, OSError)
IDLE_SECONDS = 3
ISOLATION = ("read_committed", "repeatable_read", "serializable")
# what a step may answer when others are in the way or the database's connection was killed
EXPECTED = {"serialization_failure", "transaction_aborted", "database_unavailable", "database_busy", "pool_timeout",
            "transaction_ended", "transaction_expired", "session_expired", "statement_timeout", "too_many_requests"}


class Refused(Exception):
    """The server said no, for a reason that is part of the game."""


class Bank:
    """One database."""

    def __init__(self, server, name, url):
        self.server, self.name = server, name
        self.postgres = url.startswith("postgres")
        with self.client() as c:
            c.post("/v1/connections", {"name": name, "url": url, "pool": {
                "max_connections": 16, "acquire_timeout_seconds": 10}}).expect(201)
            for text in ("CREATE TABLE account (id integer PRIMARY KEY, money integer)",
                         "CREATE TABLE ledger (id text, source integer, target integer, amount integer)",
                         "INSERT INTO account VALUES " + ", ".join(f"({i}, {MONEY})" for i in range(ACCOUNTS))):
                c.post("/v1/sql/execute", {"sql": text, "using": name}).expect(200)

    def client(self):
        return Client(self.server.port, validate=False)

    def rows(self, text):
        with self.client() as c:
            return c.post("/v1/sql/fetch-all", {"sql": text, "using": self.name}).expect(200).json()["rows"]

    def gauges(self):
        with self.client() as c:
            answer = c.get(f"/v1/connections/{self.name}").expect(200).json()
            return answer["pool"]["in_use"], answer["transactions"], answer["sessions"]

    @staticmethod
    def steps(transfer):
        """The three writes of a transfer; accounts in one order, so that deadlocks are rare but serialization is not."""
        ident, source, target, amount = transfer
        moves = sorted([(source, -amount), (target, amount)])
        return [f"UPDATE account SET money = money + {m} WHERE id = {a}" for a, m in moves] + [
            f"INSERT INTO ledger VALUES ('{ident}', {source}, {target}, {amount})"]


class Player(threading.Thread):
    """One client."""

    def __init__(self, soak, bank, seed):
        super().__init__(daemon=True)
        self.soak, self.bank, self.dice = soak, bank, random.Random(seed)
        self.http = bank.client()
        self.session = None
        self.said = {}                       # ledger id -> "committed", "rolled_back", "either"
        self.counts = collections.Counter()
        self.error = None

    def run(self):
        games = [self.transaction] * 5 + [self.batch] * 3 + [self.unread_commit] * 2 + [self.cut_off, self.leave]
        try:
            while not self.soak.over():
                game = self.dice.choice(games)
                self.counts[game.__name__] += 1
                try:
                    game()
                except Refused as e:
                    self.counts[str(e)] += 1
        except BaseException as e:  # pylint: disable=broad-except
            self.error = e
            self.soak.stop()
        self.http.close()

    # ---- helpers ----

    def transfer(self):
        source, target = self.dice.sample(range(ACCOUNTS), 2)
        return uuid.uuid4().hex, source, target, self.dice.randint(1, 50)

    def ask(self, client, path, body=None, ok=(200, 201), headers=None):
        answer = client.post(path, body, headers=headers)
        if answer.status in ok:
            return answer
        code = answer.json()["code"]
        assert code in EXPECTED, f"{path}: {answer.status} {answer.body!r}"
        raise Refused(code)

    def caller(self):
        """In a session of its own most of the time."""
        if self.session is not None and self.session.get("/v1/session").status != 200:
            self.session.close()
            self.session = None
        if self.session is None and self.dice.random() < 0.8:
            self.session = self.http.session(using=self.bank.name, idle_timeout_seconds=IDLE_SECONDS)
        return self.session if self.session is not None and self.dice.random() < 0.8 else self.http

    def begin(self):
        caller = self.caller()
        body = {"isolation": self.dice.choice(ISOLATION), "timeout_seconds": 20}
        if caller is self.http:
            body["using"] = self.bank.name
        answer = self.ask(caller, "/v1/transactions", body)
        return caller, answer.header("Ferro-Transaction")

    def outcome(self, caller, tx):
        """What became of it, asked until it is known."""
        for _ in range(400):
            answer = caller.get(f"/v1/transactions/{tx}")
            if answer.status == 410:         # its session went, and it with it
                return "rolled_back"
            state = answer.expect(200).json()["state"]
            if state not in ("open", "aborted"):
                return {"committed": "committed", "unknown": "either"}.get(state, "rolled_back")
            answer = caller.post(f"/v1/transactions/{tx}/rollback")
            time.sleep(0.01)
        raise AssertionError(f"the transaction never ended: {answer.status} {answer.body!r}")

    # ---- games ----

    def write(self, caller, tx, transfer):
        inside = {"Ferro-Transaction": tx}
        for text in self.bank.steps(transfer):
            self.ask(caller, "/v1/sql/execute", {"sql": text}, headers=inside)
        if self.dice.random() < 0.2:
            inner = self.ask(caller, "/v1/transactions", headers=inside).header("Ferro-Transaction")
            self.ask(caller, "/v1/sql/execute", {"sql": "UPDATE account SET money = money + 1"}, headers={"Ferro-Transaction": inner})
            self.ask(caller, f"/v1/transactions/{inner}/rollback")

    def transaction(self):
        transfer = self.transfer()
        caller, tx = self.begin()
        try:
            self.write(caller, tx, transfer)
            how = "rollback" if self.dice.random() < 0.1 else "commit"
            state = self.ask(caller, f"/v1/transactions/{tx}/{how}").json()["state"]
            assert state == {"commit": "committed", "rollback": "rolled_back"}[how]
            self.said[transfer[0]] = state
        except Refused:
            self.said[transfer[0]] = self.outcome(caller, tx)
            raise

    def batch(self):
        transfer = self.transfer()
        body = {"using": self.bank.name, "steps": [
            {"op": "sql.execute", "sql": text} for text in self.bank.steps(transfer)]}
        headers = {"Idempotency-Key": transfer[0]}
        if self.dice.random() < 0.3:         # the reply is lost; the same key asks again
            vanish.send(self.http.port, "/v1/batch", body, headers).close()
        for _ in range(50):
            answer = self.http.post("/v1/batch", body, headers=headers)
            if answer.status == 200:
                assert answer.json()["committed"] is True
                self.said[transfer[0]] = "committed"
                return
            problem = answer.json()
            assert problem["code"] in EXPECTED, answer.body
            if problem.get("outcome") == "unknown":
                self.said[transfer[0]] = "either"
                raise Refused("batch unknown")
            time.sleep(0.01)
        self.said[transfer[0]] = "either"

    def unread_commit(self):
        transfer = self.transfer()
        caller, tx = self.begin()
        try:
            self.write(caller, tx, transfer)
        except Refused:
            self.said[transfer[0]] = self.outcome(caller, tx)
            raise
        s = vanish.send(self.http.port, f"/v1/transactions/{tx}/commit", {}, caller.headers)
        self.dice.choice(list(vanish.WAYS.values()))(s)
        self.said[transfer[0]] = self.outcome(caller, tx)
        s.close()

    def cut_off(self):
        """A statement that would never end; in a transaction, whose writes must not stay unless it is committed."""
        transfer = self.transfer()
        caller, tx = self.begin()
        self.said[transfer[0]] = "rolled_back"
        endless = "SELECT pg_sleep(600)" if self.bank.postgres else (
            "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c")
        try:
            if self.bank.postgres:           # on SQLite it would keep every other writer waiting
                self.write(caller, tx, transfer)
            s = vanish.send(self.http.port, "/v1/sql/fetch-all", {"sql": endless}, {**caller.headers, "Ferro-Transaction": tx})
            time.sleep(self.dice.choice((0, 0.05, 0.15)))
            vanish.close(s)
        finally:
            assert self.outcome(caller, tx) == "rolled_back"

    def leave(self):
        """Goes away without a word; the server ends what was begun."""
        session = self.http.session(using=self.bank.name, idle_timeout_seconds=0.5)
        answer = session.post("/v1/transactions", {"timeout_seconds": 0.4})
        if answer.status == 201:
            transfer = self.transfer()
            self.said[transfer[0]] = "rolled_back"
            headers = {"Ferro-Transaction": answer.header("Ferro-Transaction")}
            for text in self.bank.steps(transfer)[:self.dice.randint(0, 3)]:
                if session.post("/v1/sql/execute", {"sql": text}, headers=headers).status != 200:
                    break
        session.close()


class Soak:
    def __init__(self, server, banks, seconds, clients=64, seed=None):
        self.server, self.banks = server, banks
        self.end = time.monotonic() + seconds
        self.stopped = threading.Event()
        seed = seed if seed is not None else random.randrange(2**32)
        print(f"seed {seed}")
        self.dice = random.Random(seed)
        # SQLite has one writer: most clients play on PostgreSQL
        self.players = [Player(self, banks[0] if i % 4 else banks[-1], self.dice.random()) for i in range(clients)]

    def over(self):
        return self.stopped.is_set() or time.monotonic() > self.end

    def stop(self):
        self.stopped.set()

    def run(self, pg, database):
        kills = 0
        for p in self.players:
            p.start()
        while not self.over():
            time.sleep(self.dice.uniform(0.1, 0.6))
            kills += int(pg.psql(
                "SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity WHERE datname = "
                f"'{database}' AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1) x") or 0)
        for p in self.players:
            p.join(60)
            assert not p.is_alive(), "a client hangs"
        for p in self.players:
            if p.error is not None:
                raise p.error
        return kills

    def check(self):
        """Everything that must hold at the end; returns what was played."""
        total = collections.Counter()
        for bank in self.banks:
            wait_for(lambda b=bank: b.gauges() == (0, 0, 0), 30 + IDLE_SECONDS, f"nothing open on {bank.name}")
            assert sum(r["money"] for r in bank.rows("SELECT money FROM account")) == ACCOUNTS * MONEY
            ledger = collections.Counter(r["id"] for r in bank.rows("SELECT id FROM ledger"))
            said = {}
            for p in self.players:
                if p.bank is bank:
                    said.update(p.said)
                    total.update(p.counts)
            assert all(n == 1 for n in ledger.values()), "a transfer is in the ledger twice"
            assert not set(ledger) - set(said), "a transfer that nobody made"
            for ident, word in said.items():
                if word != "either":
                    assert (ident in ledger) == (word == "committed"), f"{bank.name}: said {word}, ledger has {ledger[ident]}"
            total["committed"] += len(ledger)
            self.check_balances(bank)
        return total

    @staticmethod
    def check_balances(bank):
        money = {r["id"]: r["money"] for r in bank.rows("SELECT id, money FROM account")}
        want = dict.fromkeys(range(ACCOUNTS), MONEY)
        for r in bank.rows("SELECT source, target, amount FROM ledger"):
            want[r["source"]] -= r["amount"]
            want[r["target"]] += r["amount"]
        assert money == want, f"{bank.name}: the accounts do not follow from the ledger"


def vanish_cycles(server, banks, cycles):
    """As many clients that leave in the middle of a statement; the server's memory stays where it was."""
    ways = list(vanish.WAYS.values())
    before = None
    for i in range(cycles):
        bank = banks[i % len(banks)]
        endless = "SELECT pg_sleep(600)" if bank.postgres else (
            "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c")
        s = vanish.send(server.port, "/v1/sql/fetch-all", {"sql": endless, "using": bank.name})
        ways[i % len(ways)](s)
        s.close()
        if i % 16 == 15:
            wait_for(lambda b=bank: b.gauges()[0] <= 8, 20, "room in the pool")
        if i == min(1000, cycles // 4):
            before = server.rss_kib()
    for bank in banks:
        wait_for(lambda b=bank: b.gauges() == (0, 0, 0), 30, "nothing leased")
    grown = server.rss_kib() - (before or server.rss_kib())
    assert grown < vanish.growth_bound(16 * 1024), f"grown by {grown} KiB over {cycles} vanished clients"


def soak(seconds, clients=64, cycles=0, seed=None):
    scratch = tempfile.mkdtemp(prefix="ferrod-soak-")
    pg = Postgres()
    try:
        database = pg.create_database()
        with Server(config={"access_log": False}) as server:
            banks = [Bank(server, "pg", pg.url(database)), Bank(server, "lite", f"sqlite:{scratch}/soak.db?mode=rwc")]
            game = Soak(server, banks, seconds, clients, seed)
            kills = game.run(pg, database)
            total = game.check()
            total["backends killed"] = kills
            if cycles:
                vanish_cycles(server, banks, cycles)
            total["rss KiB"] = server.rss_kib()
        return total
    finally:
        pg.destroy()
        shutil.rmtree(scratch, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--vanish", type=int, default=20000)
    parser.add_argument("--seed", type=int)
    o = parser.parse_args()
    total = soak(o.seconds, o.clients, o.vanish, o.seed)
    for name, n in sorted(total.items()):
        print(f"{name:<24} {n}")
    print("1 passed, 0 failed, 0 skipped")


if __name__ == "__main__":
    main()
