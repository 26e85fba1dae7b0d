"""What stands beside the program: compose.yaml with its catalog serves at once; alerts and dashboard speak of metrics that there are."""
import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest
import yaml

from support import compose
from support.client import Client
from support.haproxy import Haproxy
from support.metrics import leave_marks
from support.pg import Postgres
from support.process import ROOT, free_port, wait_for
from support.server import Server, run_binary

DIST = ROOT / "service/dist"


# ---- compose ----

class Rehearsal:
    """The service "ferrod" of compose.yaml, with its volumes below a directory: the program that is tested, no engine."""

    def __init__(self, directory, url):
        self.secrets, self.data, self.catalog = directory / "secrets", directory / "data", directory / "catalog"
        self.secrets.mkdir()
        self.data.mkdir()
        compose.make_secrets(self.secrets)
        (self.secrets / "database_url").write_text(url or f"sqlite:{self.data}/notes.db?mode=rwc")
        compose.copy_catalog(self.catalog, self.secrets)
        self.service = compose.services()["ferrod"]
        env = {**compose.image_environment(), **self.service["environment"]}
        del env["FERROD_LISTEN"]
        for mounted, here in ((compose.SECRETS, self.secrets), (compose.CATALOG, self.catalog), ("/var/lib/ferrod", self.data)):
            env = {name: value.replace(mounted, str(here)) for name, value in env.items()}
        self.env = env

    def bearer(self, name):
        return {"Authorization": f"Bearer {(self.secrets / name).read_text()}"}

    def start(self):
        return Server(env=self.env)

    def ready(self, server):
        check = self.service["healthcheck"]["test"]
        assert check[:2] == ["CMD", "ferrod"]
        return run_binary(*check[2:], "--listen", f"127.0.0.1:{server.port}", env=self.env)[0] == 0


def test_the_first_request_works(backend, tmp_path):
    """From a clean clone: nothing is told, no script is run, the table is there; the key of the application does no more than it shall."""
    rehearsal = Rehearsal(tmp_path, backend.url if backend.name == "postgres" else None)
    with rehearsal.start() as server:
        wait_for(lambda: rehearsal.ready(server), 20, "readiness")
        with Client(server.port, rehearsal.bearer("app_key")) as app, Client(server.port, rehearsal.bearer("admin_key")) as admin:
            assert app.post("/v1/models/Note/records", {"text": "first"}).expect(201).json()["id"] == 1
            assert app.get("/v1/models/Note/records").expect(200).json()["rows"][0]["text"] == "first"
            app.post("/v1/sql/fetch-one", {"sql": "SELECT 1 AS n"}).problem(403, "forbidden")
            app.post("/v1/create-tables").problem(403, "forbidden")
            app.post("/v1/catalog/reload").problem(403, "forbidden")
            declared = admin.get("/v1/catalog").expect(200).json()
            assert [(c["name"], c["origin"]) for c in declared["connections"]] == [("notes", "declared")]
            admin.post("/v1/catalog/reload").expect(200)
        assert not list(rehearsal.data.glob("ferrod.db*"))   # the image's default database, which the catalog's takes the place of
    # once more: what was written is there, and the secrets stay what they are
    made = {path.name: path.read_text() for path in rehearsal.secrets.iterdir()}
    compose.make_secrets(rehearsal.secrets)
    assert {path.name: path.read_text() for path in rehearsal.secrets.iterdir()} == made
    with rehearsal.start() as server, Client(server.port, rehearsal.bearer("app_key")) as app:
        wait_for(lambda: rehearsal.ready(server), 20, "readiness")
        assert len(app.get("/v1/models/Note/records").expect(200).json()["rows"]) == 1


def test_what_the_readme_says(backend, tmp_path):
    rehearsal = Rehearsal(tmp_path, backend.url if backend.name == "postgres" else None)
    with rehearsal.start() as server:
        wait_for(lambda: rehearsal.ready(server), 20, "readiness")
        script = compose.commands("compose", rehearsal.secrets).replace("localhost:8080", f"127.0.0.1:{server.port}")
        done = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        said = [json.loads(line) for line in done.stdout.splitlines()]
    assert said[1]["rows"] == [{"id": 1, "text": "kept by PostgreSQL"}]
    assert [model["name"] for model in said[2]["models"]] == ["Note"] and "model:Note" in said[3]["unchanged"]


def test_ferrod_before_its_database(tmp_path):
    """Nothing waits for PostgreSQL: ferrod is up, not ready, and ready when PostgreSQL is."""
    assert "postgres" not in compose.services()["ferrod"]["depends_on"]
    postgres = Postgres()
    try:
        url = postgres.url(postgres.create_database())
        postgres.stop()
        rehearsal = Rehearsal(tmp_path, url)
        with rehearsal.start() as server, Client(server.port, rehearsal.bearer("app_key")) as app:
            assert not rehearsal.ready(server) and run_binary("healthcheck", "--listen", f"127.0.0.1:{server.port}")[0] == 0
            postgres.restart()
            wait_for(lambda: rehearsal.ready(server), 30, "readiness")
            app.post("/v1/models/Note/records", {"text": "late"}).expect(201)
    finally:
        postgres.destroy()


def test_secrets_are_what_the_services_read(tmp_path):
    compose.make_secrets(tmp_path)
    made = {path.name: path.read_text() for path in tmp_path.iterdir()}
    named = set()
    for service in compose.services().values():
        named |= {value.removeprefix("/run/secrets/") for value in service.get("environment", {}).values() if value.startswith("/run/secrets/")}
    for path in (ROOT / "catalog").iterdir():
        named |= set(re.findall(r"\$\{file:/run/secrets/(\w+)\}", path.read_text(encoding="utf-8")))
    assert named | {"app_key"} == set(made)
    assert len({made[name] for name in ("admin_key", "app_key", "postgres_password")}) == 3
    assert made["database_url"] == f"postgres://ferrod:{made['postgres_password']}@postgres/ferrod\n"


def test_services_are_hardened_and_checked():
    services = compose.services()
    for name, service in services.items():
        assert service["security_opt"] == ["no-new-privileges:true"], name
        if name != "postgres":   # whose start changes owners and its user
            assert service["read_only"] is True and service["cap_drop"] == ["ALL"], name
        if name != "secrets":
            assert service["restart"] == "unless-stopped" and service["healthcheck"]["test"][0] == "CMD", name
            assert "/run/secrets" not in str(service["volumes"]) or "secrets:/run/secrets:ro" in service["volumes"]
        for published in service.get("ports", []):
            assert published.startswith("127.0.0.1:"), name
    for text in re.findall(r"image: (\S+)|BASE: (\S+)", (ROOT / "compose.yaml").read_text(encoding="utf-8")):
        image = text[0] or text[1]
        assert image == "ferrod" or re.fullmatch(r"\$\{\w+:-[a-z]+:[\w.-]+\}", image), f"{image} cannot be pinned from outside"


@pytest.mark.skipif(not Haproxy.available(), reason="no haproxy")
def test_the_check_of_the_proxy(tmp_path):
    """It passes while a node answers through HAProxy, and fails when none does."""
    command = compose.services()["haproxy"]["healthcheck"]["test"][1:]
    server = Server()
    with Haproxy(server.port, free_port()) as proxy:
        here = [part.replace("/8090", f"/{proxy.port}") for part in command]
        def healthy():
            return subprocess.run(here, check=False, timeout=20, stdin=subprocess.DEVNULL, capture_output=True).returncode == 0
        wait_for(healthy, 20, "the check to pass")
        server.stop()
        wait_for(lambda: not healthy(), 20, "the check to fail")


# ---- alerts and dashboard ----

NAME = re.compile(r"\bferrod_[a-z_]+")
MATCHER = re.compile(r"\b(ferrod_[a-z_]+)\{([^}]*)\}")


def queries_of_alerts():
    groups = yaml.safe_load((DIST / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    return {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}


def queries_of_dashboard():
    panels = json.loads((DIST / "dashboard.json").read_text(encoding="utf-8"))["panels"]
    return {f"{panel['title']} {target['refId']}": target["expr"] for panel in panels for target in panel.get("targets", [])}


@pytest.fixture(scope="module")
def samples():
    """Names of a live server's samples, each with the labels that it has."""
    found = {}
    with Server() as server, Client(server.port) as client:
        leave_marks(client, "sqlite:marks.db?mode=rwc")
        text = client.get("/metrics").expect(200).text
    for line in text.splitlines():
        if not line.startswith("#"):
            name, labels = re.match(r"(\w+)(?:\{(.*)\})? ", line).groups()
            found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels or ""))
    return found


@pytest.mark.parametrize("queries", [queries_of_alerts, queries_of_dashboard])
def test_metrics_exist(queries, samples):
    asked = queries()
    assert len(asked) >= 8
    for title, query in asked.items():
        assert NAME.search(query) or "up{" in query, title
        for name in NAME.findall(query):
            assert name in samples, f"{title}: {name} is no sample"
        for name, labels in MATCHER.findall(query):
            assert set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", labels)) <= samples[name] | {"instance", "job"}, title
        grouped = {label.strip() for labels in re.findall(r"\bby \(([^)]*)\)", query) for label in labels.split(",")}
        assert grouped <= set().union(*(samples[name] for name in NAME.findall(query))) | {"instance"}, title


def test_the_dashboard_is_whole():
    board = json.loads((DIST / "dashboard.json").read_text(encoding="utf-8"))
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    variables = {variable["name"] for variable in board["templating"]["list"]}
    for panel in board["panels"]:
        assert panel["title"] and panel["description"] and panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert set(re.findall(r"\$\{?(\w+)", json.dumps(panel["targets"]))) <= variables | {"__rate_interval"}
    taken = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24 and not cells & taken, f"{panel['title']} lies over another"
        taken |= cells


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool")
def test_promtool_takes_the_alerts():
    done = subprocess.run(["promtool", "check", "rules", str(DIST / "alerts.yml")], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
