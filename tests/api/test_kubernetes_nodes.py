"""service/dist/kubernetes.yaml at work: its pods' environment, catalog and secret, its HAProxy's rules, before two servers."""
import contextlib
import os
import re
import signal
import time

import pytest

from support import compose
from support.client import Client
from support.haproxy import Haproxy
from support.kubernetes import NODES, one
from support.process import free_port, wait_for
from support.relay import Relay
from support.server import Server, stop_soon

pytestmark = pytest.mark.skipif(not Haproxy.available(), reason="no haproxy")
PODS = list(NODES.values())


class Pods:
    def __init__(self, pg, directory, relayed=False):
        """relayed: HAProxy's way to each pod is one on which requests can be dropped."""
        self.secrets, self.catalog = directory / "secrets", directory / "catalog"
        self.secrets.mkdir()
        compose.make_secrets(self.secrets)
        (self.secrets / "database_url").write_text(pg.url(pg.create_database()))
        self.catalog.mkdir()
        for name, text in one("ConfigMap", "ferrod-catalog")["data"].items():
            (self.catalog / name).write_text(text.replace(compose.SECRETS, str(self.secrets)))
        (directory / "haproxy.cfg").write_text(one("ConfigMap", "ferrod-haproxy")["data"]["haproxy.cfg"])
        self.pod = one("StatefulSet", "ferrod")["spec"]["template"]["spec"]["containers"][0]
        self.ports, self.servers = {name: free_port() for name in PODS}, {}
        self.unheard = {name: () for name in PODS}  # how requests begin that do not get to the pod
        self.relays = [Relay(port, lambda data, name=name: None if data.startswith(self.unheard[name]) else data)
                       for name, port in self.ports.items() if relayed]
        self.config, self.proxy = directory / "haproxy.cfg", None

    def start_proxy(self):
        """Before pods that are up: what it has not asked yet it takes for up, and would say otherwise of a pod that is about to be."""
        self.proxy = Haproxy(*([relay.port for relay in self.relays] or self.ports.values()), config=self.config)
        return self.proxy

    def start(self, name):
        """With the pod's environment; what it mounts lies here, and its node's name is no host's."""
        env = {row["name"]: row.get("value", name) for row in self.pod["env"]}
        env = {key: value.replace(compose.SECRETS, str(self.secrets)).replace(compose.CATALOG, str(self.catalog)) for key, value in env.items()}
        env.update(FERROD_NODE_URL=f"http://127.0.0.1:{self.ports[name]}", FERROD_SQLITE_DIR=str(self.catalog.parent))
        self.servers[name] = Server(env={key: value for key, value in env.items() if key != "FERROD_LISTEN"}, listen=f"127.0.0.1:{self.ports[name]}", wait=False)
        wait_for(lambda: all(self.probe(name, kind) for kind in ("startupProbe", "livenessProbe", "readinessProbe")), 30, f"{name}'s probes")

    def probe(self, name, kind):
        with contextlib.suppress(OSError), Client(self.ports[name], validate=False) as c:
            return c.get(self.pod[kind]["httpGet"]["path"]).status == 200
        return False

    def client(self, key="admin_key", port=None):
        """Each on a connection of its own, as services in a cluster are."""
        return Client(port or self.proxy.port, {"Authorization": f"Bearer {(self.secrets / key).read_text().strip()}"})

    def ask(self, method, path, body=None, **headers):
        with self.client() as c:
            return c.request(method, path, body, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def both(self):
        """New sessions take turns."""
        return {self.ask("POST", "/v1/sessions").expect(201).header("Ferro-Session").split("~")[0] for _ in range(2)} == set(PODS)


@pytest.fixture
def pods(pg, tmp_path, request):
    made = Pods(pg, tmp_path, relayed=getattr(request, "param", False))
    for name in PODS:
        made.start(name)
    with made.start_proxy():
        proxied = one("Deployment", "ferrod-haproxy")["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]["httpGet"]["path"]
        wait_for(lambda: made.client().get(proxied, validate=False).status == 200, 20, "HAProxy's probe")
        wait_for(made.both, 20, "both pods behind HAProxy")
        yield made
        stop_soon([server for server in made.servers.values() if server.alive])
    for relay in made.relays:
        relay.close()


def down(pods, backend, pod):
    """Is the pod down in HAProxy's eyes? What it said last of it counts; of one that it has not judged yet it says nothing."""
    said = re.findall(rf"^Server {backend}/{pod} is (\w+)", pods.proxy.log(), re.M)
    return bool(said) and said[-1] == "DOWN"


@pytest.mark.parametrize("pods", [True], indirect=True, ids=["relayed"])
def test_a_session_finds_its_pod_whatever_one_check_says(pods):
    """A pod that has just come up, or is slow under load, answers one check before the other: it keeps its sessions all the time."""
    pod = PODS[1]
    sessions = [pods.ask("POST", "/v1/sessions").expect(201).header("Ferro-Session") for _ in range(4)]
    pods.unheard[pod] = (b"GET /healthz",)
    wait_for(lambda: down(pods, f"node_{pod}", pod), 20, "a check that fails")
    for session in sessions * 3:
        pods.ask("GET", "/v1/session", Ferro_Session=session).expect(200)
    wait_for(pods.both, 10, "new sessions on it all the same")
    pods.unheard[pod] = ()
    wait_for(lambda: not down(pods, f"node_{pod}", pod), 20, "a check that passes again")
    pods.unheard[pod] = (b"GET /readyz",)  # and the other one before the first
    wait_for(lambda: down(pods, "ferrods", pod), 20, "the other check")
    for session in sessions * 3:
        pods.ask("GET", "/v1/session", Ferro_Session=session).expect(200)


def test_ids_lead_to_their_pod(pods):
    with pods.client("app_key") as app:  # the catalog's own: its table is there, and its few scopes
        assert app.post("/v1/models/Note/records", {"text": "first"}).expect(201).json()["text"] == "first"
        app.get("/v1/nodes").problem(403, "forbidden")
    sessions = [pods.ask("POST", "/v1/sessions").expect(201).header("Ferro-Session") for _ in range(8)]
    assert {name: sum(s.startswith(f"{name}~") for s in sessions) for name in PODS} == dict.fromkeys(PODS, 4)
    for session in sessions * 3:
        pods.ask("GET", "/v1/session", Ferro_Session=session).expect(200)
    for _ in range(4):
        transaction = pods.ask("POST", "/v1/transactions", {}).expect(201).header("Ferro-Transaction")
        pods.ask("POST", "/v1/models/Note/records", {"text": "in it"}, Ferro_Transaction=transaction).expect(201)
        assert pods.ask("GET", f"/v1/transactions/{transaction.replace('~', '%7E')}").expect(200).json()["state"] == "open"
        pods.ask("POST", f"/v1/transactions/{transaction}/commit").expect(200)
    for key in ("one", "two", "three", "four"):
        answers = [pods.ask("POST", "/v1/batch", {"steps": [{"op": "query", "query": {"model_name": "Note"}}]}, Idempotency_Key=key).expect(200) for _ in range(3)]
        assert [a.header("Idempotency-Replayed") for a in answers] == [None, "true", "true"]
    # who is sent elsewhere says so, and gets there
    session = sessions[0]
    home, other = [name for name in PODS if session.startswith(f"{name}~")] + [name for name in PODS if not session.startswith(f"{name}~")]
    with pods.client(port=pods.ports[other]) as c:
        wrong = c.get("/v1/session", headers={"Ferro-Session": session})
        wrong.problem(421, "wrong_node")
    assert wrong.header("Ferro-Node") == home
    pods.ask("GET", "/v1/session", Ferro_Session=session, Ferro_Node=home).expect(200)
    pods.ask("GET", "/v1/session", Ferro_Session=session, Ferro_Node=other).problem(421, "wrong_node")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["deleted", "killed"])
def test_sessions_outlive_their_pod(pods, how):
    sessions = [pods.ask("POST", "/v1/sessions").expect(201).header("Ferro-Session") for _ in range(6)]
    gone = PODS[0]
    os.kill(pods.servers[gone].process.pid, how)
    if how == signal.SIGTERM:  # no request fails meanwhile
        while pods.servers[gone].alive:
            for session in sessions:
                with pods.client() as c:
                    answer = c.get("/v1/session", headers={"Ferro-Session": session}, validate=False)
                    assert answer.status == 200, (session, answer.body, time.time(), pods.proxy.log(), "\n".join(s.log()[-5000:] for s in pods.servers.values()))
            pods.ask("POST", "/v1/models/Note/records", {"text": "meanwhile"}).expect(201)
    pods.servers[gone].wait(30)

    def there(session):
        """What was adopted elsewhere is answered 421 by the next pod of that name, and its Ferro-Node leads on; a pod's death
        may take a connection of HAProxy's along, and its client's then."""
        headers = {"Ferro-Session": session}
        with contextlib.suppress(OSError), pods.client() as c:
            answer = c.get("/v1/session", headers=headers, validate=False)
            if answer.status == 421:
                answer = c.get("/v1/session", headers={**headers, "Ferro-Node": answer.header("Ferro-Node")}, validate=False)
            return answer.status == 200
        return False

    def served():
        return all(there(session) for session in sessions)
    wait_for(served, 10, "all sessions, on the pod that stays")
    pods.start(gone)  # the StatefulSet's next pod of that name
    wait_for(served, 10, "all sessions, with the pod back")
    wait_for(pods.both, 10, "turns again")
