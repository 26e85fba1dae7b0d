"""Log lines, slow statements, errors by class, socket activation, readiness, healthcheck."""
import os
import re
import socket
import subprocess

from support.client import Client
from support.process import BINARY, wait_for
from support.server import Server, run_binary
from support.tables import sql

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


def test_access_log_says_who_and_where_and_no_secret():
    with Server(env={"FERROD_ADMIN_KEY": "hush-admin-key"}) as server, Client(server.port, {"Authorization": "Bearer hush-admin-key"}) as client:
        inside = client.session()
        sql(inside, "SELECT 1 AS one").expect(200)
        client.get("/v1/connections", headers={"traceparent": f"00-{TRACE}-{PARENT}-01", "X-Request-Id": "traced"}).expect(200)
        for bad in (f"00-{'0' * 32}-{PARENT}-01", f"00-{TRACE.upper()}-{PARENT}-01", "nonsense", f"ff-{TRACE}-{PARENT}-01"):
            client.get("/v1/connections", headers={"traceparent": bad, "X-Request-Id": "untraced"}).expect(200)
        wait_for(lambda: len([r for r in server.events("request") if r["request_id"] == "untraced"]) == 4, what="the log lines")
        lines = server.events("request")
        (traced,) = [r for r in lines if r["request_id"] == "traced"]
        assert (traced["trace_id"], traced["parent_id"]) == (TRACE, PARENT)
        assert all("trace_id" not in r for r in lines if r["request_id"] == "untraced")
        (query,) = [r for r in lines if r["route"] == "/v1/sql/fetch-all"]
        assert query["principal"] and query["status"] == 200 and query["db_ms"] >= 0 and query["lease_ms"] >= 0
        (listed,) = client.get("/v1/sessions").expect(200).json()["sessions"]
        assert query["session"] == listed["ref"]
        session_id = inside.headers["Ferro-Session"]
        assert session_id not in server.log() and "hush-admin-key" not in server.log()


def test_slow_statements_are_logged_without_values():
    with Server("--slow-statement-seconds", "0.05") as server, Client(server.port) as client:
        slow = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 2000000) SELECT count(*) AS n FROM c WHERE n <> ?"
        sql(client, "SELECT 1 AS one").expect(200)
        sql(client, slow, [987654321]).expect(200)
        wait_for(lambda: server.events("slow_statement"), what="the log line")
        (line,) = server.events("slow_statement")
        # nor what a client wrote into its text
        assert line["sql"] == re.sub(r"\b\d+\b", "?", slow) and line["ms"] >= 50 and line["connection"] == "default" and line["request_id"]
        assert "987654321" not in server.log()


def test_errors_are_counted_by_class(conn, client):
    sql(conn.client, "SELECT * FROM no_such_table", using=conn.name).expect(400)
    text = client.get("/metrics").expect(200).text
    found = re.findall(rf'^ferrod_database_errors_total{{connection="{conn.name}",class="(\w+)"}} (\d+)$', text, re.M)
    assert sum(int(n) for _, n in found) == 1, found
    if conn.backend.name == "postgres":
        assert found == [("42", "1")]


def plan_counters(client):
    text = client.get("/metrics").expect(200).text
    return [int(re.search(rf"^ferrod_plan_cache_{kind}_total (\d+)$", text, re.M)[1]) for kind in ("hits", "misses")]


def test_plans_are_counted():
    model = {"model_name": "Planned", "columns": [{"name": "id", "logical_type": "integer", "primary_key": True, "nullable": True},
                                                  {"name": "name", "logical_type": "string"}]}
    with Server("--loops", "1") as server, Client(server.port) as client:
        client.put("/v1/models", {"models": [model]}).expect(200)
        client.post("/v1/create-tables", {}).expect(200)

        def by_id(value):
            return {"model_name": "Planned", "where": [{"node_kind": "leaf", "column": "id", "operator": "==", "value": value}]}

        client.post("/v1/query", by_id(1)).expect(200)
        hits, misses = plan_counters(client)
        for value in range(5):
            client.post("/v1/query", by_id(value)).expect(200)
        assert plan_counters(client) == [hits + 5, misses]
        client.post("/v1/query", by_id(None)).expect(200)
        assert plan_counters(client) == [hits + 5, misses + 1]
        # another snapshot of the models has plans of its own
        model["columns"].append({"name": "size", "logical_type": "integer", "nullable": True})
        client.put("/v1/models", {"models": [model]}).expect(200)
        client.post("/v1/query/count", by_id(1)).expect(200)
        client.post("/v1/sql/execute", {"sql": "ALTER TABLE planned ADD COLUMN size BIGINT"}).expect(200)
        assert "size" in client.post("/v1/models/Planned/records", {"name": "new"}).expect(201).json()
        (row,) = client.post("/v1/query", by_id(1)).expect(200).json()["rows"]
        assert row == {"id": 1, "name": "new", "size": None}


def test_healthcheck():
    with Server() as server:
        assert run_binary("healthcheck", "--listen", f"127.0.0.1:{server.port}") == (0, "", "")
        assert run_binary("healthcheck", "--listen", f"0.0.0.0:{server.port}")[0] == 0
        port = server.port
    for more in ((), ("ready",)):
        code, out, err = run_binary("healthcheck", *more, "--listen", f"127.0.0.1:{port}")
        assert code == 1 and out == "" and len(err.strip().splitlines()) == 1


def test_healthcheck_of_readiness(tmp_path):
    """A server whose declared database does not answer is up, and not ready."""
    (tmp_path / "catalog.json").write_text('{"connections": [{"name": "late", "url": "postgres://x@127.0.0.1:1/x", "default": true}]}')
    with Server("--catalog", str(tmp_path / "catalog.json")) as server:
        listen = ("--listen", f"127.0.0.1:{server.port}")
        assert run_binary("healthcheck", *listen)[0] == 0
        code, out, err = run_binary("healthcheck", "ready", *listen)
        assert code == 1 and out == "" and len(err.strip().splitlines()) == 1
    with Server() as server:
        assert run_binary("healthcheck", "ready", "--listen", f"127.0.0.1:{server.port}") == (0, "", "")


def test_secrets_come_as_files(tmp_path):
    (tmp_path / "url").write_text(f"sqlite:{tmp_path}/secret.db?mode=rwc\n")
    (tmp_path / "key").write_text("from-a-file\n")
    with Server("--default-url-file", str(tmp_path / "url"), "--admin-key-file", str(tmp_path / "key")) as server, \
            Client(server.port, {"Authorization": "Bearer from-a-file"}) as client:
        assert client.get("/v1/connections/default").expect(200).json()["url"].endswith("secret.db?mode=rwc")
        client.get("/v1/connections/default", headers={"Authorization": None}).expect(401)
    code, _, err = run_binary("check-config", "--admin-key-file", str(tmp_path / "none"))
    assert code == 2 and "admin_key_file" in err


def test_check_config_looks_further_than_the_words():
    assert run_binary("check-config")[0] == 0
    for args in (["--default-url", "mysql://u:hush@h/d"], ["--listen", "0.0.0.0:80"], ["--listen", "nonsense"], ["--sqlite-dir", "/no/such"]):
        code, out, err = run_binary("check-config", *args)
        assert (code, out) == (2, "") and "hush" not in err, args


def test_inherited_socket_and_notifications(tmp_path):
    """systemd's protocols: the socket is descriptor 3, READY=1 and STOPPING=1 go to NOTIFY_SOCKET."""
    path = str(tmp_path / "notify")
    with socket.socket() as listening, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        listening.bind(("127.0.0.1", 0))
        listening.listen(16)
        notify.bind(path)
        notify.settimeout(30)
        port = listening.getsockname()[1]
        clean = {key: value for key, value in os.environ.items() if not key.startswith("FERROD_")}  # settings come from there
        # the socket has to be descriptor 3, and LISTEN_PID is only known after the fork: a launcher that becomes ferrod
        launch = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1'); " \
                 "os.execv(sys.argv[2], sys.argv[2:])"
        command = ["/usr/bin/python3", "-c", launch, str(listening.fileno()), str(BINARY), "--default-url", ""]
        with subprocess.Popen(command, cwd=tmp_path, env={**clean, "NOTIFY_SOCKET": path}, pass_fds=(listening.fileno(),),
                              stderr=subprocess.DEVNULL) as process:
            assert notify.recv(100) == b"READY=1"
            with Client(port) as client:
                client.get("/healthz").expect(200)
            process.terminate()
            assert notify.recv(100) == b"STOPPING=1"
            assert process.wait(30) == 0
