"""`make metrics-test`: promtool's judgement of a live /metrics and of the alerts."""
import subprocess
import sys
import tempfile

sys.path.insert(0, __file__.rsplit("/", 2)[0])
from support.client import Client  # noqa: E402
from support.pg import Postgres  # noqa: E402
from support.process import ROOT  # noqa: E402
from support.server import Server  # noqa: E402


def leave_marks(client, url):
    """Sessions, transactions, good and failing statements, identity map hits: no family shall be empty."""
    client.post("/v1/connections", {"name": "marks", "url": url, "default": True}).expect(201)
    client.put("/v1/models", {"models": [{"model_name": "Mark", "columns": [
        {"name": "id", "logical_type": "integer", "primary_key": True}, {"name": "text", "logical_type": "string"}]}]}).expect(200)
    client.post("/v1/create-tables").expect(200)
    client.post("/v1/models/Mark/records", {"text": "x"}).expect(201)
    session = {"Ferro-Session": client.post("/v1/sessions").expect(201).header("Ferro-Session")}
    for _ in range(2):
        client.get("/v1/models/Mark/records/1", headers=session).expect(200)
    transaction = client.post("/v1/transactions", {}, headers=session).expect(201).header("Ferro-Transaction")
    client.post("/v1/sql/fetch-one", {"sql": "SELECT 1 AS n"}, headers={**session, "Ferro-Transaction": transaction}).expect(200)
    client.post("/v1/sql/execute", {"sql": "SELEC"}).expect(400)
    client.get("/v1/models/Mark/records/99").expect(404)


def judged(text):
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def judged_rules(path):
    done = subprocess.run(["promtool", "check", "rules", str(path)], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def main():
    postgres = Postgres()
    try:
        urls = ["sqlite:marks.db?mode=rwc", postgres.url(postgres.create_database())]
        for url in urls:
            with Server() as server, Client(server.port) as client:
                leave_marks(client, url)
                text = client.get("/metrics").expect(200).text
            assert "ferrod_requests_total{" in text and "ferrod_database_errors_total{" in text
            code, said = judged(text)
            print(f"{url.split(':')[0]}: {len(text.splitlines())} lines, promtool: {said.strip() or 'no complaint'}")
            assert code == 0, "promtool does not like them"
            assert judged(text + "ferrod_broken{ 1\n")[0] != 0, "promtool takes anything"
    finally:
        postgres.destroy()
    alerts = ROOT / "service/dist/alerts.yml"
    code, said = judged_rules(alerts)
    print(f"alerts: {said.strip()}")
    assert code == 0, "promtool does not like them"
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as broken:
        broken.write(alerts.read_text(encoding="utf-8").replace("rate(", "rat(", 1))
        broken.flush()
        assert judged_rules(broken.name)[0] != 0, "promtool takes any rule"
    print("3 passed, 0 failed, 0 skipped")


if __name__ == "__main__":
    main()
