"""What several nodes on one state must survive, with real processes: run.py [--only 1,3] [--seconds N] [--lame] [--before BINARY].

Each scenario prints its figures; the last line is the total. --lame: the database's advisory locks do nothing, and the state's
refuses LISTEN, as do some that speak PostgreSQL's protocol. --seconds: how long the ledger is kept in the soak (scenario 3).
"""
import argparse
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
import uuid

if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from nodes import clients  # noqa: E402
from support.client import Client  # noqa: E402
from support.haproxy import CONFIG, Haproxy  # noqa: E402
from support.pg import Postgres  # noqa: E402
from support.pgbouncer import PgBouncer  # noqa: E402
from support.process import BINARY, free_port, wait_for  # noqa: E402
from support.relay import Relay  # noqa: E402
from support.server import Server, run_binary  # noqa: E402

MODEL = {"model_name": "Entry", "columns": [{"name": "id", "logical_type": "integer", "primary_key": True},
                                            {"name": "note", "logical_type": "string"}]}
ADVISORY = ["pg_advisory_lock(bigint)", "pg_advisory_xact_lock(bigint)", "pg_advisory_xact_lock_shared(bigint)", "pg_advisory_lock(int,int)",
            "pg_advisory_xact_lock(int,int)"]


def make_lame(pg, database):
    """Its advisory locks take nothing and wait for nobody."""
    for signature in ADVISORY:
        # the server knows its own by their numbers, whatever stands in the catalog: others have to take their names
        pg.psql(f"ALTER FUNCTION pg_catalog.{signature} RENAME TO real_{signature.split('(')[0]}; "
                f"CREATE FUNCTION pg_catalog.{signature} RETURNS void LANGUAGE sql AS 'SELECT NULL'", database)


def refuse_listen(data):
    return data.replace(b"LISTEN ferrod", b"L1STEN ferrod")


class Cluster:
    """Nodes "a" and "b" with ports of their own, on one state and one data database, behind the proxy."""

    def __init__(self, lame=False, pooled=False, binary=BINARY):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="ferrod-nodes-"))
        self.pg = Postgres(max_connections="200", log_statement="ddl", **({"allow_system_table_mods": "on"} if lame else {}))
        self.state, self.data = self.pg.create_database(), self.pg.create_database()
        self.lame, self.binary = lame, binary
        for database in (self.state, self.data) if lame else ():
            make_lame(self.pg, database)
        self.bouncer = PgBouncer(self.pg, default_pool_size=20) if pooled else None
        door = self.bouncer or self.pg
        self.urls = door.url(self.state), door.url(self.data)
        self.way = Relay(door.port, refuse_listen) if lame else None
        if lame:
            self.urls = self.urls[0].replace(f":{door.port}/", f":{self.way.port}/"), self.urls[1]
            assert f":{self.way.port}/" in self.urls[0]
        (self.dir / "key").write_text(run_binary("key", "seal")[1])
        self.ports = {"a": free_port(), "b": free_port()}
        self.nodes = {}
        config = self.dir / "haproxy.cfg"  # as it is shipped, but each answer says whose it is
        config.write_text(CONFIG.read_text(encoding="utf-8").replace(
            "frontend ferrod\n", "frontend ferrod\n\thttp-after-response set-header Answered-By %s\n"), encoding="utf-8")
        self.proxy = Haproxy(self.ports["a"], self.ports["b"], config=config)

    def start(self, name, *more, binary=None):
        began = time.monotonic()
        self.nodes[name] = Server("--state-url", self.urls[0], "--state-key-file", str(self.dir / "key"), "--default-url", "",
                                  "--node", name, "--drain-notice-seconds", "2", "--drain-seconds", "10", "--access-log", "false", *more,
                                  listen=f"127.0.0.1:{self.ports[name]}", binary=binary or self.binary)
        return time.monotonic() - began

    def client(self, name, **options):
        return Client(self.ports[name], validate=False, **options)

    def told(self, name="a"):
        with self.client(name) as c:
            c.post("/v1/connections", {"name": "data", "url": self.urls[1], "default": True, "exactly_once": True,
                                       "pool": {"max_connections": 8}}).expect(201)
            c.put("/v1/models", {"models": [MODEL]}).expect(200)
            c.post("/v1/create-tables").expect(200)

    def ready(self, *names):
        for name in names:
            wait_for(lambda n=name: self.is_ready(n), 20, f"{name} ready")

    def is_ready(self, name):
        with contextlib.suppress(OSError), self.client(name) as c:
            return c.get("/readyz?of=node").status == 200
        return False

    def signal(self, name, sig):
        os.kill(self.nodes[name].process.pid, sig)

    def drain(self, name):
        self.signal(name, signal.SIGTERM)
        code, _ = self.nodes[name].wait(60)
        assert code == 0, self.nodes[name].log()[-3000:]

    def notes(self):
        out = self.pg.psql("SELECT note FROM entry ORDER BY 1", self.data)
        return out.split("\n") if out else []

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None:
            for name, server in self.nodes.items():
                with contextlib.suppress(OSError):
                    print(f"---- {name}\n{server.log()[-3000:]}")
        for server in self.nodes.values():
            with contextlib.suppress(Exception):
                server.process.send_signal(signal.SIGCONT)
                server.kill()
        self.proxy.__exit__()
        if self.way:
            self.way.close()
        if self.bouncer:
            self.bouncer.__exit__()
        self.pg.destroy()
        shutil.rmtree(self.dir, ignore_errors=True)


# ---- the scenarios ----

def survives_kill(options):
    """1: kill -9 right after any 2xx; the restart is at once."""
    with Cluster(options.lame) as x:
        x.start("a")
        starts = []
        for n in range(10):
            with x.client("a") as c:
                c.post("/v1/connections", {"name": f"c{n}", "url": x.urls[1]}).expect(201)
            x.nodes["a"].kill()
            starts.append(x.start("a"))
            with x.client("a") as c:
                c.post("/v1/models", {"models": [{**MODEL, "model_name": f"M{n}", "table_name": f"m{n}"}]}).expect(200)
            x.nodes["a"].kill()
            starts.append(x.start("a"))
            with x.client("a") as c:
                c.put("/v1/default-connection", {"name": f"c{n}"}).expect(200)
            x.nodes["a"].kill()
            starts.append(x.start("a"))
            with x.client("a") as c:
                listed = c.get("/v1/connections").expect(200).json()
                assert listed["default"] == f"c{n}" and len(listed["connections"]) == n + 1
                assert len(c.get("/v1/catalog").json()["models"]) == n + 1
        return f"30 kills, nothing lost; start to first answer {min(starts) * 1000:.0f} to {max(starts) * 1000:.0f} ms"


def reversed_order(options):
    """2: ferrod is up before PostgreSQL; ready within 2 s of its being up, without a restart."""
    pg = Postgres()
    directory = pathlib.Path(tempfile.mkdtemp(prefix="ferrod-order-"))
    try:
        database = pg.create_database()
        url = pg.url(database)
        pg.stop()
        (directory / "catalog.json").write_text(json.dumps(
            {"connections": [{"name": "data", "url": url, "default": True, "migrate": "create"}], "models": [MODEL]}))
        with Server("--default-url", "", "--catalog", str(directory / "catalog.json"), "--state-url", f"sqlite:{directory}/s.db?mode=rwc") as server, \
                Client(server.port) as c:
            time.sleep(options.wait)
            assert c.get("/readyz").status == 503
            pg.start()
            began = time.monotonic()
            wait_for(lambda: c.get("/readyz").status == 200, 2, "readiness")
            took = time.monotonic() - began
            c.post("/v1/models/Entry/records", {"note": "first"}).expect(201)
        return f"up {options.wait} s before its database, ready {took * 1000:.0f} ms after it"
    finally:
        pg.destroy()
        shutil.rmtree(directory, ignore_errors=True)


def troubles(x, names, pause):
    """What befalls the nodes, one after the other, with both up in between."""
    def call(ledger):
        for name in names:
            time.sleep(2)
            x.drain(name)
            time.sleep(1)
            x.start(name)
            x.ready(name)
            time.sleep(2)
            x.nodes[name].kill()
            time.sleep(5)
            x.start(name)
            x.ready(name)
            time.sleep(2)
            x.signal(name, signal.SIGSTOP)
            time.sleep(pause)
            x.signal(name, signal.SIGCONT)
            x.ready(name)
            time.sleep(2)
    return call


def balance(x, ledger):
    notes = x.notes()
    assert len(notes) == len(set(notes)), "a row that is there twice"
    there, acked = set(notes), set(ledger.acked)
    assert not acked - there, f"lost: {sorted(acked - there)[:5]}"
    assert not there - acked - ledger.unknown, f"nobody was told of: {len(there - acked - ledger.unknown)}"
    assert not ledger.strange, ledger.strange[:5]
    return (f"{sum(ledger.requests.values())} requests, {len(ledger.acked)} writes acknowledged, each there once, 0 lost; failures by kind: "
            f"{dict(ledger.failures)}; sessions resumed from {dict(ledger.resumed)}; served again after at most {ledger.longest:.1f} s "
            f"(503 for at most {ledger.longest_503:.1f} s)" + (f"; the longest: {ledger.slowest}" if ledger.slowest else ""))


def soak(options, pooled=False, seconds=None):
    """3: 64 clients with sessions while A, and then B, is drained, killed, paused, started."""
    seconds = seconds or options.seconds
    with Cluster(options.lame, pooled) as x:
        x.start("a")
        x.told()
        x.start("b")
        x.ready("a", "b")

        def meanwhile(ledger):
            began = time.monotonic()
            while True:
                troubles(x, "ab", 10)(ledger)
                if time.monotonic() - began >= seconds:
                    return
        ledger = clients.run(x.proxy.port, options.clients, seconds, meanwhile)
        assert ledger.longest_503 < 4.5 or pooled, (ledger.longest_503, ledger.slowest)
        return balance(x, ledger)


def told_and_used(options):
    """4: models registered on A and used on B with Ferro-Catalog: never model_not_found."""
    with Cluster(options.lame) as x:
        x.start("a")
        x.told()
        x.start("b")
        worst = 0
        with x.client("a") as a, x.client("b") as b:
            for n in range(100):
                version = a.post("/v1/models", {"models": [{**MODEL, "model_name": f"M{n}", "table_name": f"m{n}"}]}).expect(200).header("Ferro-Catalog")
                began = time.monotonic()
                b.get(f"/v1/models/M{n}", headers={"Ferro-Catalog": version}).expect(200)
                worst = max(worst, time.monotonic() - began)
        return f"100 models told to a, used on b; the longest wait {worst * 1000:.0f} ms"


def promotion(options):
    """5: after the standby's promotion writes go on within 5 s, none acknowledged is lost."""
    primary = Postgres(wal_level="replica", max_wal_senders="5", synchronous_commit="remote_apply", hot_standby="on")
    standby = None
    try:
        with open(primary.data / "pg_hba.conf", "a", encoding="utf-8") as hba:
            hba.write("host replication all 127.0.0.1/32 trust\nlocal replication all trust\n")
        primary.psql("SELECT pg_reload_conf()")
        database = primary.create_database("ledger")
        standby = Postgres.__new__(Postgres)
        standby.__dict__.update(primary.__dict__, port=None, process=None, spare=[], dir=pathlib.Path(tempfile.mkdtemp(prefix="ferrod-pg-")))
        standby.dir.chmod(0o755)
        standby.data, standby.log = standby.dir / "data", standby.dir / "postgres.log"
        standby.settings = primary.settings | {"synchronous_standby_names": ""}
        if primary.user:
            os.chown(standby.dir, primary.user["user"], primary.user["group"])
        primary._run("pg_basebackup", "-h", "127.0.0.1", "-p", str(primary.port), "-U", "ferrod", "-D", str(standby.data), "-R", "-X", "stream")
        conf = standby.data / "postgresql.auto.conf"
        conf.write_text(re.sub(r"user=ferrod ", "user=ferrod application_name=standby ", conf.read_text()))
        standby.start()
        primary.psql("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
        primary.psql("SELECT pg_reload_conf()")
        wait_for(lambda: primary.psql("SELECT sync_state FROM pg_stat_replication") == "sync", 10, "replication")
        url = f"postgres://ferrod@127.0.0.1:{primary.port},127.0.0.1:{standby.port}/{database}?target_session_attrs=read-write&connect_timeout=2"
        acked, again = [], None
        with Server("--default-url", "", "--state-url", "") as server, Client(server.port, validate=False, timeout=60) as c:
            c.post("/v1/connections", {"name": "data", "url": url, "default": True, "exactly_once": True}).expect(201)
            c.put("/v1/models", {"models": [MODEL]}).expect(200)
            c.post("/v1/create-tables").expect(200)
            down = None
            for n in range(400):
                if n == 100:
                    primary.kill()
                    standby.psql("SELECT pg_promote()")
                    down = time.monotonic()
                while True:
                    answer = c.post("/v1/models/Entry/records", {"note": str(n)}, headers={"Idempotency-Key": f"n{n}"})
                    if answer.status == 201:
                        acked.append(str(n))
                        break
                    assert answer.status in (503, 504), answer.body
                    assert time.monotonic() - down < 5, "writes do not go on"
                    time.sleep(0.05)
                if down is not None and again is None:
                    again = time.monotonic() - down
        rows = standby.psql("SELECT note FROM entry", database).split("\n")
        assert sorted(rows) == sorted(acked)
        return f"promoted under 400 writes: the next one {again * 1000:.0f} ms later, each of them there once"
    finally:
        for one in (standby, primary):
            if one is not None:
                one.destroy()


def pooled(options):
    """6: PgBouncer in transaction mode for data and state: the soak again."""
    return soak(options, pooled=True, seconds=min(options.seconds, 60))


def many_down(options):
    """7: most of the databases of one state are down: the others are served."""
    with Cluster(options.lame) as x:
        gone = Postgres()
        try:
            x.start("a")
            x.told()
            with x.client("a") as c:
                for n in range(20):
                    c.post("/v1/connections", {"name": f"down{n}", "url": gone.url(gone.create_database())}).expect(201)
            gone.stop()
            x.nodes["a"].kill()
            started = x.start("a")
            x.start("b")
            slowest = 0
            for name in "ab":
                x.ready(name)
                with x.client(name) as c:
                    wait_for(lambda client=c: client.post("/v1/models/Entry/records", {"note": uuid.uuid4().hex}).status == 201, 3, "service")
                    for n in range(20):
                        began = time.monotonic()
                        c.post("/v1/models/Entry/records", {"note": uuid.uuid4().hex}).expect(201)
                        slowest = max(slowest, time.monotonic() - began)
                        c.post("/v1/sql/execute", {"sql": "SELECT 1", "using": f"down{n}"}).problem(503, "database_unavailable")
            return f"20 of 21 databases down: started in {started * 1000:.0f} ms, the slowest write elsewhere {slowest * 1000:.0f} ms"
        finally:
            gone.destroy()


def rolled(options):
    """8: an older binary and this one on one state, forward and back under load."""
    if not options.before:
        return "skipped: name the older binary with --before"
    with Cluster(options.lame) as x:
        usage = run_binary("--help", binary=options.before)[1]
        knows, tries = "--node " in usage, "--bring-up-seconds" in usage

        def older(name):
            if knows:
                x.start(name, binary=pathlib.Path(options.before))
                return
            x.nodes[name] = Server("--state-url", x.urls[0], "--state-key-file", str(x.dir / "key"), "--default-url", "",
                                   listen=f"127.0.0.1:{x.ports[name]}", binary=pathlib.Path(options.before))
        older("a")
        with x.client("a") as c:
            c.post("/v1/connections", {"name": "data", "url": x.urls[1], "default": True}).expect(201)
            c.put("/v1/models", {"models": [MODEL]}).expect(200)
            c.post("/v1/create-tables").expect(200)
        done, stop, failed, at = [], threading.Event(), [], ["start"]

        def write():
            while not stop.is_set():
                note = uuid.uuid4().hex
                try:
                    with Client(x.proxy.port, validate=False) as own:
                        answer = own.post("/v1/models/Entry/records", {"note": note})
                    if answer.status == 201:
                        done.append(note)
                    else:
                        failed.append((at[0], answer.header("Answered-By"), answer.status, answer.body[:300]))
                except OSError as e:
                    failed.append((at[0], type(e).__name__.encode()))
        threads = [threading.Thread(target=write) for _ in range(8)]
        older("b")
        time.sleep(2)
        for t in threads:
            t.start()
        for step, name in (("new", "a"), ("new", "b"), ("old", "a"), ("old", "b"), ("new", "a"), ("new", "b")):
            at[0] = f"{name} goes for {step}"
            x.signal(name, signal.SIGTERM)
            x.nodes[name].wait(60)
            at[0] = f"{name} comes as {step}"
            x.start(name) if step == "new" else older(name)
            time.sleep(2)
            with x.client(name) as c:
                assert [m["name"] for m in c.get("/v1/catalog").expect(200).json()["models"]] == ["Entry"], step
        stop.set()
        for t in threads:
            t.join(60)
        there = set(x.notes())
        assert set(done) <= there
        # an older one may take connections before it has tried its databases: what it says itself then is its own
        early = [f for f in failed if not tries and f[:3] == (f"{f[1]} comes as old", f[1], 503) and b"is not served yet" in f[-1]]
        assert len(failed) == len(early) or not knows, f"{len(failed)} of {len(done)} not acknowledged: {failed[:5]}"  # one without nodes knows no drain
        return (f"three rolls of both nodes under load: {len(done)} writes acknowledged, all there; {len(failed)} not acknowledged, "
                f"{len(early)} of them by an older one that had just come")


SCENARIOS = [survives_kill, reversed_order, soak, told_and_used, promotion, pooled, many_down, rolled]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="1,2,3,4,5,6,7,8")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--wait", type=float, default=30, help="of scenario 2")
    parser.add_argument("--lame", action="store_true")
    parser.add_argument("--before")
    options = parser.parse_args()
    wrong = 0
    for n in map(int, options.only.split(",")):
        scenario = SCENARIOS[n - 1]
        try:
            print(f"{scenario.__doc__}\n   {scenario(options)}", flush=True)
        except Exception as e:      # the others are to be seen, too
            wrong += 1
            print(f"{scenario.__doc__}\n   FAILED: {type(e).__name__}: {str(e)[:2000]}", flush=True)
    print(f"nodes    {len(options.only.split(',')) - wrong} passed, {wrong} failed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
