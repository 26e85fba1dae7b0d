"""Several nodes on one PostgreSQL state: names and heartbeats, and sessions that outlive the node that opened them."""
import contextlib
import os
import signal
import threading
import time
import types

import pytest

from support.client import Client
from support.process import wait_for
from support.server import Server, patience, run_binary, stop_soon

MODEL = {"model_name": "Item", "columns": [{"name": "id", "logical_type": "integer", "primary_key": True},
                                           {"name": "note", "logical_type": "string", "nullable": True}]}


class Cluster:
    """Nodes on one state and one data database, which may be of either kind."""

    def __init__(self, pg, state, data, directory):
        key = directory / "key"
        key.write_text(run_binary("key", "seal")[1])
        self.pg, self.state, self.data, self.dir = pg, state, data, directory
        self.args = ["--state-url", state, "--state-key-file", str(key), "--default-url", "", "--drain-notice-seconds", "0.2", "--drain-seconds", "5"]
        self.nodes, self.clients = {}, []

    def start(self, name, *more, wait=True):
        server = Server(*self.args, "--node", name, *more, wait=wait)
        self.nodes[name] = server
        return server

    def client(self, name):
        made = Client(self.nodes[name].port)
        self.clients.append(made)
        return made

    def told(self, name):
        """The data connection and a model with its table."""
        c = self.client(name)
        c.post("/v1/connections", {"name": "data", "url": self.data, "default": True}).expect(201)
        version = c.post("/v1/models", {"models": [MODEL]}).expect(200).header("Ferro-Catalog")
        c.post("/v1/create-tables").expect(200)
        return c, version

    def pause(self, name):
        os.kill(self.nodes[name].process.pid, signal.SIGSTOP)

    def wake(self, name):
        os.kill(self.nodes[name].process.pid, signal.SIGCONT)

    def close(self):
        for c in self.clients:
            c.close()
        alive = [server for server in self.nodes.values() if server.alive]
        for server in alive:
            server.process.send_signal(signal.SIGCONT)
        stop_soon(alive)


@pytest.fixture
def cluster(pg, backend, tmp_path):
    state = pg.create_database()
    made = Cluster(pg, pg.url(state), backend.url, tmp_path)
    made.kind = backend.name
    yield made
    made.close()
    if pg.process is None:
        pg.start()
    pg.drop_database(state)


@pytest.fixture
def pair(cluster):
    cluster.start("a")
    cluster.start("b")
    a, version = cluster.told("a")
    b = cluster.client("b")
    b.get("/v1/models/Item", headers={"Ferro-Catalog": version}).expect(200)
    cluster.a, cluster.b = a, b
    return cluster


def adopted(b, session, seconds=6):
    """The session's headers go to another node until that one goes on with it; every other answer is retryable, within 3 s."""
    began, seen = time.monotonic(), []
    while True:
        answer = b.get("/v1/session", headers={"Ferro-Session": session})
        seen.append(answer.status)
        if answer.status == 200:
            return answer, time.monotonic() - began
        assert answer.problem(503, "database_unavailable")["retryable"], answer.body
        assert time.monotonic() - began < seconds, seen
        time.sleep(0.05)


# ---- names and heartbeats ----

def test_nodes_are_listed(pair):
    def both():
        nodes = pair.a.get("/v1/nodes").expect(200).json()["nodes"]
        return [n["node"] for n in nodes] == ["a", "b"] and nodes
    wait_for(both, 2, "both nodes")
    first = both()
    assert [n["url"] for n in first] == [f"http://127.0.0.1:{pair.nodes[x].port}" for x in "ab"]
    session = pair.b.session()
    tx = session.transaction()
    wait_for(lambda: [(n["sessions"], n["transactions"]) for n in both()] == [(0, 0), (1, 1)], 3, "the counts")
    wait_for(lambda: both()[0]["seen_at"] > first[0]["seen_at"], 3, "a beat")
    later = both()
    assert later[0]["seen_at"] > first[0]["seen_at"] and later[0]["started_at"] == first[0]["started_at"]
    assert not any(n["draining"] for n in later)
    tx.close()
    session.close()


def test_a_node_alone_lists_itself(client):
    nodes = client.get("/v1/nodes").expect(200).json()["nodes"]
    assert len(nodes) == 1 and nodes[0]["url"] is None and len(nodes[0]["node"]) == 8


def test_a_name_that_beats_is_taken(cluster):
    cluster.start("a")
    began = time.monotonic()
    code, out, err = run_binary(*cluster.args, "--node", "a", "--listen", "127.0.0.1:0", cwd=cluster.dir)
    assert code == 2 and out == "" and err.count("\n") == 1 and 'node name "a"' in err, err
    assert 1 < time.monotonic() - began < 10
    for wrong in ("A", "a~b", "x" * 33, "ü"):
        code, _, err = run_binary(*cluster.args, "--node", wrong, "--listen", "127.0.0.1:0", cwd=cluster.dir)
        assert code == 2 and '"node" takes' in err, err


def test_a_name_of_a_dead_process_is_free_at_once(cluster):
    cluster.start("a").kill()
    began = time.monotonic()
    cluster.start("a")
    assert time.monotonic() - began < patience(1.5)


def test_a_name_that_is_silent_is_waited_for(cluster):
    """Of another machine, as far as anybody can tell: its process cannot be looked at."""
    cluster.start("a").kill()
    cluster.pg.psql("UPDATE ferrod.nodes SET boot = 'elsewhere', seen_us = (extract(epoch FROM clock_timestamp()) * 1000000)::bigint",
                    cluster.state.rsplit("/", 1)[1].split("?")[0])
    began = time.monotonic()
    cluster.start("a")
    assert 1 < time.monotonic() - began < patience(6)


def test_ready_of_the_node(pair):
    pair.a.get("/readyz?of=node").expect(200)
    pair.a.get("/readyz?of=all").problem(400, "invalid_parameters")
    if pair.kind == "sqlite":
        pair.pg.stop()
        wait_for(lambda: pair.a.get("/readyz?of=node").status == 503, 5, "the state's absence")
        pair.a.get("/readyz").expect(200)
        pair.pg.start()
        wait_for(lambda: pair.a.get("/readyz?of=node").status == 200, 5, "the state")


# ---- sessions elsewhere ----

def test_ids_begin_with_the_name(pair):
    answer = pair.a.post("/v1/sessions").expect(201)
    session = answer.header("Ferro-Session")
    assert session.startswith("a~") and len(session) == 34
    tx = pair.a.post("/v1/transactions", headers={"Ferro-Session": session}).expect(201).json()["transaction_id"]
    assert tx.startswith("a~") and len(tx) == 50
    pair.a.post(f"/v1/transactions/{tx}/rollback", headers={"Ferro-Session": session}).expect(200)
    kept = pair.pg.psql("SELECT id FROM ferrod.sessions", pair.state.rsplit("/", 1)[1].split("?")[0])
    assert session not in kept and len(kept.strip()) == 64


def test_a_living_node_s_session_is_not_served_elsewhere(pair):
    session = pair.a.post("/v1/sessions").expect(201).header("Ferro-Session")
    h = {"Ferro-Session": session}
    answer = pair.b.post("/v1/models/Item/records", {"id": 1}, headers=h)
    assert answer.problem(421, "wrong_node")["outcome"] == "not_started" and answer.header("Ferro-Node") == "a"
    assert answer.json()["retryable"]
    pair.b.delete("/v1/session", headers=h).problem(421, "wrong_node")
    pair.a.get("/v1/models/Item/records/1", headers=h).problem(404, "record_not_found")
    tx = pair.a.post("/v1/transactions").expect(201).header("Ferro-Transaction")
    answer = pair.b.get(f"/v1/transactions/{tx}")
    assert answer.problem(421, "wrong_node") and answer.header("Ferro-Node") == "a"
    pair.b.post(f"/v1/transactions/{tx}/commit").problem(421, "wrong_node")
    pair.b.post("/v1/models/Item/records", {"id": 1}, headers={"Ferro-Transaction": tx}).problem(421, "wrong_node")
    forged = tx[:-4] + ("AAAA" if tx[-4:] != "AAAA" else "BBBB")
    for wrong in (forged, tx.replace("a~", "b~"), "a~", "a~x", "~", tx + "A"):
        pair.b.get(f"/v1/transactions/{wrong}").problem(404, "transaction_not_found")
    for wrong in (session[:-4] + "AAAA", "a~", "zzz~x", "~"):
        pair.b.get("/v1/session", headers={"Ferro-Session": wrong}).problem(404, "session_not_found")
    pair.a.post(f"/v1/transactions/{tx}/rollback").expect(200)


def test_a_killed_node_s_session_goes_on(pair):
    opened = pair.a.post("/v1/sessions", {"idle_timeout_seconds": 120, "max_lifetime_seconds": 500}).expect(201)
    session, h = opened.header("Ferro-Session"), {"Ferro-Session": opened.header("Ferro-Session")}
    pair.a.post("/v1/models/Item/records", {"id": 1, "note": "kept"}, headers=h).expect(201)
    tx = pair.a.post("/v1/transactions", headers=h).expect(201).header("Ferro-Transaction")
    both = {**h, "Ferro-Transaction": tx}
    pair.a.patch("/v1/models/Item/records/1", {"note": "lost"}, headers=both).expect(200)
    pair.nodes["a"].kill()
    answer, took = adopted(pair.b, session)
    assert took < patience(4.5) and answer.header("Ferro-Session-Resumed") == "a"
    got = answer.json()
    assert got["idle_timeout_seconds"] == 120 and got["transactions"] == [] and got["identity_map"]["size"] == 0
    assert got["expires_at"][:19] == opened.json()["expires_at"][:19] or abs(took) < 5
    again = pair.b.get("/v1/session", headers=h).expect(200)
    assert again.header("Ferro-Session-Resumed") is None
    assert pair.b.get("/v1/models/Item/records/1", headers=h).expect(200).json()["note"] == "kept"
    gone = pair.b.patch("/v1/models/Item/records/1", {"note": "x"}, headers=both).problem(410, "transaction_expired")
    assert gone["outcome"] == "unknown"
    pair.b.post(f"/v1/transactions/{tx}/commit", headers=h).problem(410, "transaction_expired")
    pair.b.get(f"/v1/transactions/{tx}", headers=h).problem(410, "transaction_expired")
    pair.b.patch("/v1/models/Item/records/1", {"note": "after"}, headers=h).expect(200)


def test_a_phase_that_no_session_has_is_nobody_s(pair):
    """The state's database is believed as little as any other: nobody goes on with what it does not know."""
    database = pair.state.rsplit("/", 1)[1]
    session = pair.client("a").post("/v1/sessions").expect(201).header("Ferro-Session")
    pair.nodes["a"].kill()
    for phase in (-1, 3, 4294967296):
        pair.pg.psql(f"UPDATE ferrod.sessions SET phase = {phase}", database)
        pair.client("b").get("/v1/session", headers={"Ferro-Session": session}).problem(500, "internal_error")
    assert pair.pg.psql("SELECT node, phase FROM ferrod.sessions", database) == "a|4294967296"


def test_a_restarted_node_goes_on_with_its_own(pair):
    session = pair.a.post("/v1/sessions").expect(201).header("Ferro-Session")
    tx = pair.a.post("/v1/transactions").expect(201).header("Ferro-Transaction")
    pair.nodes["a"].kill()
    pair.start("a")
    a = pair.client("a")
    answer = a.get("/v1/session", headers={"Ferro-Session": session}).expect(200)
    assert answer.header("Ferro-Session-Resumed") == "a"
    assert a.get(f"/v1/transactions/{tx}").problem(410, "transaction_expired")["outcome"] == "unknown"


def test_a_paused_node_loses_its_sessions_and_knows(pair):
    """What it had is adopted elsewhere, its backends have ended; woken, it serves none of it, and then what is its own."""
    session = pair.a.post("/v1/sessions").expect(201).header("Ferro-Session")
    h = {"Ferro-Session": session}
    pair.a.post("/v1/models/Item/records", {"id": 1, "note": "one"}, headers=h).expect(201)
    tx = pair.a.post("/v1/transactions", headers=h).expect(201).header("Ferro-Transaction")
    pair.a.patch("/v1/models/Item/records/1", {"note": "lost"}, headers={**h, "Ferro-Transaction": tx}).expect(200)
    pair.pause("a")
    adopted(pair.b, session)
    if pair.kind == "postgres":     # nobody's lock is left
        pair.b.patch("/v1/models/Item/records/1", {"note": "two"}, headers=h).expect(200)
    pair.wake("a")
    answer = pair.a.get("/v1/models/Item/records/1", headers=h)
    assert answer.problem(421, "wrong_node") and answer.header("Ferro-Node") == "b"
    pair.a.post(f"/v1/transactions/{tx}/commit", headers=h).problem(421, "wrong_node")
    fresh = pair.a.post("/v1/sessions").expect(201).header("Ferro-Session")
    pair.a.get("/v1/session", headers={"Ferro-Session": fresh}).expect(200)
    if pair.kind == "postgres":
        assert pair.b.get("/v1/models/Item/records/1", headers=h).expect(200).json()["note"] == "two"


def test_a_closed_session_is_closed_everywhere(pair):
    session = pair.a.post("/v1/sessions").expect(201).header("Ferro-Session")
    h = {"Ferro-Session": session}
    pair.a.delete("/v1/session", headers=h).expect(204)
    pair.b.get("/v1/session", headers=h).problem(410, "session_expired")
    pair.b.delete("/v1/session", headers=h).expect(204)
    pair.nodes["a"].kill()
    pair.b.get("/v1/session", headers=h).problem(410, "session_expired")
    pair.start("a")
    pair.client("a").get("/v1/session", headers=h).problem(410, "session_expired")


def test_another_key_s_session_is_nobody_s(cluster):
    keys = {n: run_binary("key", "new", "--name", n, "--scopes", "read,write") for n in ("ann", "bob")}
    import json
    made = {n: json.loads(out) for n, (code, out, err) in keys.items()}
    path = cluster.dir / "keys.json"
    path.write_text(json.dumps([m["entry"] for m in made.values()]))
    more = ["--keys-file", str(path), "--admin-key", "boss"]
    for name in "ab":
        cluster.start(name, *more)
    admin = Client(cluster.nodes["a"].port, headers={"Authorization": "Bearer boss"})
    version = admin.post("/v1/connections", {"name": "data", "url": cluster.data, "default": True}).expect(201).header("Ferro-Catalog")
    ann, bob = ({"Authorization": f"Bearer {made[n]['key']}"} for n in ("ann", "bob"))
    b = cluster.client("b")
    session = admin.post("/v1/sessions", headers=ann).expect(201).header("Ferro-Session")
    b.get("/v1/session", headers={**bob, "Ferro-Session": session}).problem(404, "session_not_found")
    hers = {**ann, "Ferro-Session": session, "Ferro-Catalog": version}
    wait_for(lambda: b.get("/v1/session", headers=hers).status != 503, 10, "the other's word, for which a loaded machine may need longer than it is waited for")
    b.get("/v1/session", headers=hers).problem(421, "wrong_node")
    admin.close()
    cluster.nodes["a"].kill()
    time.sleep(3.5)
    b.get("/v1/session", headers={**bob, "Ferro-Session": session}).problem(404, "session_not_found")
    b.get("/v1/session", headers={**ann, "Ferro-Session": session}).expect(200)


def test_limits_hold_where_a_session_goes_on(pair):
    h = {"Ferro-Session": pair.a.post("/v1/sessions", {"idle_timeout_seconds": 1}).expect(201).header("Ferro-Session")}
    old = {"Ferro-Session": pair.a.post("/v1/sessions", {"max_lifetime_seconds": 4}).expect(201).header("Ferro-Session")}
    pair.nodes["a"].kill()
    time.sleep(8)
    pair.b.get("/v1/session", headers=h).problem(410, "session_expired")
    pair.b.get("/v1/session", headers=old).problem(410, "session_expired")


def test_a_state_that_is_away(cluster, backend):
    """A node that cannot beat serves no sessions, and goes on with them afterwards. (The data is elsewhere: SQLite.)"""
    if backend.name == "postgres":
        pytest.skip("one server has both here")
    cluster.start("a")
    a, _ = cluster.told("a")
    h = {"Ferro-Session": a.post("/v1/sessions").expect(201).header("Ferro-Session")}
    cluster.pg.stop()
    wait_for(lambda: a.get("/v1/session", headers=h).status == 503, 6, "the silence")
    a.post("/v1/sessions").problem(503, "database_unavailable")
    a.get("/v1/models/Item/records").expect(200)
    cluster.pg.start()
    wait_for(lambda: a.get("/v1/session", headers=h).status == 200, 6, "the state")


# ---- drain ----

def drain(cluster, name):
    cluster.nodes[name].process.send_signal(signal.SIGTERM)
    return time.monotonic()


def test_a_drained_node_hands_over(pair):
    """Those without transactions at once; those with one when it has ended; what has not ended in time is rolled back."""
    idle, busy, late = ({"Ferro-Session": pair.a.post("/v1/sessions").expect(201).header("Ferro-Session")} for _ in range(3))
    txs = [pair.a.post("/v1/transactions", headers=h).expect(201).header("Ferro-Transaction") for h in (busy, late)]
    pair.a.post("/v1/models/Item/records", {"id": 1}, headers={**busy, "Ferro-Transaction": txs[0]}).expect(201)
    pair.nodes["a"].process.send_signal(signal.SIGTERM)
    wait_for(lambda: pair.client("a").get("/readyz").status == 503, 2, "the drain")
    wait_for(lambda: pair.b.get("/v1/session", headers=idle).status == 200, 2, "the idle session")
    pair.b.get("/v1/session", headers=busy).problem(421, "wrong_node")
    pair.a.post(f"/v1/transactions/{txs[0]}/commit", headers=busy).expect(200)
    wait_for(lambda: pair.b.get("/v1/session", headers=busy).status == 200, 2, "the other")
    pair.b.get("/v1/models/Item/records/1", headers=busy).expect(200)
    # a second signal ends the waiting: the last transaction is rolled back
    pair.nodes["a"].process.send_signal(signal.SIGTERM)
    code, _ = pair.nodes["a"].wait()
    assert code == 0
    answer = pair.b.get("/v1/session", headers=late).expect(200)
    assert answer.header("Ferro-Session-Resumed") == "a"
    gone = pair.b.get(f"/v1/transactions/{txs[1]}", headers=late).problem(410, "transaction_expired")
    assert gone["outcome"] == "rolled_back"
    assert pair.b.get(f"/v1/transactions/{txs[0]}", headers=busy).problem(410, "transaction_expired")["outcome"] == "unknown"
    assert [n["node"] for n in pair.b.get("/v1/nodes").json()["nodes"]] == ["b"]


def test_a_draining_node_takes_back_what_nobody_adopted(pair):
    pair.nodes["a"].process.send_signal(signal.SIGSTOP)
    pair.nodes["a"].process.send_signal(signal.SIGCONT)
    hold = {"Ferro-Session": pair.a.post("/v1/sessions").expect(201).header("Ferro-Session")}
    tx = pair.a.post("/v1/transactions", headers=hold).expect(201).header("Ferro-Transaction")     # keeps the drain going
    h = {"Ferro-Session": pair.a.post("/v1/sessions").expect(201).header("Ferro-Session")}
    pair.nodes["a"].process.send_signal(signal.SIGTERM)
    database = pair.state.rsplit("/", 1)[1].split("?")[0]
    wait_for(lambda: "1" in pair.pg.psql("SELECT phase FROM ferrod.sessions", database).split(), 5, "the hand-over")
    answer = pair.client("a").get("/v1/session", headers=h).expect(200)
    assert answer.header("Ferro-Session-Resumed") is None
    pair.client("a").post(f"/v1/transactions/{tx}/rollback", headers=hold).expect(200)
    code, _ = pair.nodes["a"].wait()
    assert code == 0
    pair.b.get("/v1/session", headers=h).expect(200)


def test_what_a_draining_node_took_back_is_handed_over_again(pair):
    """Proxies change their way in mid-drain: who asks the other node waits a moment for the session, and is not sent back."""
    hold = {"Ferro-Session": pair.a.post("/v1/sessions").expect(201).header("Ferro-Session")}
    pair.a.post("/v1/transactions", headers=hold).expect(201)     # keeps the drain going
    kept = [{"Ferro-Session": pair.a.post("/v1/sessions").expect(201).header("Ferro-Session")} for _ in range(20)]
    pair.nodes["a"].process.send_signal(signal.SIGTERM)
    wait_for(lambda: pair.b.get("/v1/nodes").json()["nodes"][0]["draining"], 5, "the drain")
    a = pair.client("a")
    for headers in kept:
        for _ in range(5):
            a.get("/v1/session", headers=headers).expect(200)
        assert pair.b.get("/v1/session", headers=headers).expect(200).header("Ferro-Session-Resumed") == "a"
    pair.b.get("/v1/session", headers=hold).problem(421, "wrong_node")


def test_a_transaction_in_use_does_not_outlast_the_drain(cluster):
    """What was given to its transactions is not given to its requests once more: the watchdog ended the process, exit 1."""
    cluster.start("a", "--drain-seconds", "7")
    cluster.start("b")
    a, _ = cluster.told("a")
    session = a.session()
    inside, slow = session.transaction(), "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 200000) SELECT count(*) AS n FROM c"

    def work():
        with contextlib.suppress(OSError), Client(cluster.nodes["a"].port, inside.headers, validate=False) as own:
            while own.post("/v1/sql/fetch-one", {"sql": slow}).status == 200:
                pass
    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    began = time.monotonic()
    cluster.nodes["a"].process.send_signal(signal.SIGTERM)
    code, _ = cluster.nodes["a"].wait(40)
    assert code == 0 and time.monotonic() - began < 14, cluster.nodes["a"].log()[-2000:]
    for thread in threads:
        thread.join(20)
    assert cluster.client("b").get("/v1/session", headers={"Ferro-Session": session.headers["Ferro-Session"]}).status == 200


def test_many_sessions_at_once(pair):
    """A dead node's sessions go on, each of them once."""
    sessions = [pair.a.post("/v1/sessions").expect(201).header("Ferro-Session") for _ in range(60)]
    pair.nodes["a"].kill()
    time.sleep(3.5)
    for s in sessions:
        assert pair.b.get("/v1/session", headers={"Ferro-Session": s}).expect(200).header("Ferro-Session-Resumed") == "a"
    assert len(pair.b.get("/v1/sessions").expect(200).json()["sessions"]) == 60
