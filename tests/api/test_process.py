"""The process: settings from flag, environment and file; refused starts; log lines; SIGTERM."""
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import threading
import time

import pytest

from support.client import Client
from support.process import ROOT, free_port, wait_for
from support.raw import RawConnection
from support.server import BINARY, Server, run_binary
from support.tables import sql

SETTINGS = [row["key"] for row in json.loads(run_binary("--print-settings")[1])]
SLOW = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT {}) SELECT count(*) AS n FROM c"


# ---- --help and settings ----

def test_help_lists_every_setting():
    code, out, err = run_binary("--help")
    assert code == 0 and err == ""
    assert len(SETTINGS) > 20
    for key in SETTINGS:
        assert "--" + key.replace("_", "-") in out, key
        assert "FERROD_" + key.upper() in out, key


def test_version():
    code, out, _ = run_binary("--version")
    assert code == 0 and re.search(r"\d+\.\d+", out)


@pytest.mark.parametrize("args", [["help"], ["--version"], ["--print-settings"], ["check-config"], ["key", "--help"], ["key", "seal"],
                                  ["key", "new", "--name", "a", "--scopes", "read"], ["state", "export"]])
def test_what_cannot_be_written_is_no_success(args, tmp_path):
    """The disk is full: a key, or a state's export, is not there."""
    state = {"FERROD_STATE_URL": f"sqlite:{tmp_path}/state.db?mode=rwc"}
    with Server(env=state):
        pass
    with open("/dev/full", "wb") as full:
        done = subprocess.run([str(BINARY), *args], env={"PATH": os.environ["PATH"], **state}, stdout=full, stderr=subprocess.PIPE,
                              text=True, timeout=30, check=False, cwd=str(tmp_path))
    assert (done.returncode, done.stderr) == (1, "ferrod: cannot write to standard output\n")
    assert run_binary(*args, env=state, cwd=str(tmp_path))[0] == 0


REFUSED = [
    (["--no-such-flag"], {}), (["stray"], {}), (["--listen"], {}), (["--listen", "nonsense"], {}), (["--listen", "127.0.0.1:99999"], {}),
    (["--body-bytes", "many"], {}), (["--body-bytes", "-1"], {}), (["--body-bytes", "1"], {}), (["--log-level", "loud"], {}),
    (["--drain-seconds", "nan"], {}), (["--access-log=maybe"], {}), ([], {"FERROD_NO_SUCH_THING": "1"}), ([], {"FERROD_SESSIONS": "0"}),
    ([], {"FERROD_LISTEN": ""}), (["--listen", "0.0.0.0:0"], {}), (["--config", "/no/such/file.json"], {}),
    (["--keys-file", "/no/such/keys.json"], {}), (["--default-url", "mysql://u:hushpassword@h/d"], {}),
    (["--default-url", "sqlite:/no/such/dir/x.db?mode=rwc"], {}), (["--sqlite-dir", "/no/such/dir"], {}), (["--listen", "192.0.2.1:80"], {})]


@pytest.mark.parametrize("args, env", REFUSED, ids=[" ".join(a) + " ".join(e) for a, e in REFUSED])
def test_bad_settings(args, env, tmp_path):
    """One clear line on stderr, exit code 2, nothing on stdout, no secret."""
    if not any(a.startswith("--listen") for a in args) and "FERROD_LISTEN" not in env:
        args = ["--listen", "127.0.0.1:0", *args]
    code, out, err = run_binary(*args, env=env, cwd=str(tmp_path))
    assert (code, out) == (2, ""), (code, out, err)
    assert len(err.strip().split("\n")) == 1 and len(err) > 15, err
    assert "hushpassword" not in err
    assert not (tmp_path / "ferrod.db").exists() or env or args


@pytest.mark.parametrize("text", ["", "{", "[]", '{"no_such_key": 1}', '{"listen": 5}', '{"body_bytes": "many"}', '{"a": 1, "a": 2}',
                                  '{"sessions": null}', '{"body_bytes": 1.5}'])
def test_bad_configuration_files(tmp_path, text):
    path = tmp_path / "config.json"
    path.write_text(text)
    code, out, err = run_binary("--listen", "127.0.0.1:0", "--config", str(path), cwd=str(tmp_path))
    assert (code, out) == (2, "") and len(err.strip().split("\n")) == 1, (code, err)


def test_unreadable_configuration(tmp_path):
    code, _, err = run_binary("--config", str(tmp_path), cwd=str(tmp_path))
    assert code == 2 and len(err.strip().split("\n")) == 1


def test_port_in_use(tmp_path):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen(1)
        code, out, err = run_binary("--listen", f"127.0.0.1:{s.getsockname()[1]}", cwd=str(tmp_path))
    assert (code, out) == (2, "") and len(err.strip().split("\n")) == 1 and "in use" in err, err


def test_two_servers_cannot_share_a_port(tmp_path):
    """SO_REUSEPORT between the loops of one process must not let a second process in."""
    with Server() as first:
        code, _, err = run_binary("--listen", f"127.0.0.1:{first.port}", cwd=str(tmp_path), seconds=10)
        assert code == 2 and "in use" in err, err


def limit_of(server):
    """The body limit that is in force, found by refusals."""
    for size in (2000, 3000, 4000):
        with RawConnection(server.port) as raw:
            raw.send("POST /v1/query HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                     f"Content-Length: {size}\r\nExpect: 100-continue\r\n\r\n")
            if raw.response().status == 413:
                return size - 1000
    return None


def test_flag_over_environment_over_file():
    with Server(config={"body_bytes": 1024}) as server:
        assert limit_of(server) == 1000
    with Server(config={"body_bytes": 1024}, env={"FERROD_BODY_BYTES": "2048"}) as server:
        assert limit_of(server) == 2000
    with Server("--body-bytes", "3072", config={"body_bytes": 1024}, env={"FERROD_BODY_BYTES": "2048"}) as server:
        assert limit_of(server) == 3000
    with Server("--body-bytes=3072", env={"FERROD_BODY_BYTES": "2048"}) as server:
        assert limit_of(server) == 3000


def test_configuration_named_by_the_environment(tmp_path):
    path = tmp_path / "c.json"
    path.write_text('{"body_bytes": 1024, "access_log": false, "session_idle_timeout_seconds": 12.5}')
    with Server(env={"FERROD_CONFIG": str(path)}) as server, Client(server.port) as client:
        assert limit_of(server) == 1000
        assert client.post("/v1/sessions").json()["idle_timeout_seconds"] == 12.5
        assert server.events("request") == []


def test_listening_on_everything_needs_keys_or_a_word():
    with Server("--insecure-no-auth", listen="0.0.0.0:0") as server, Client(server.port) as client:
        client.get("/healthz").expect(200)
    with Server(listen="[::1]:0", wait=False) as server:
        wait_for(lambda: server.events("listening") or not server.alive, 20, "a start")
        port = server.events("listening")[0]["port"]
        with socket.create_connection(("::1", port), timeout=5) as s:
            s.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert s.recv(100).startswith(b"HTTP/1.1 200")


def test_default_database_lies_in_the_working_directory():
    with Server() as server, Client(server.port) as client:
        client.post("/v1/sql/execute", {"sql": "CREATE TABLE t (a)"}).expect(200)
        assert (server.dir / "ferrod.db").exists()
        assert client.get("/v1/connections/default").json()["url"] == "sqlite:ferrod.db?mode=rwc"


# ---- the log ----

def test_log_lines_are_json_with_the_request_id():
    with Server() as server, Client(server.port) as client:
        client.get("/v1/connections/default", headers={"X-Request-Id": "seen-in-the-log"}).expect(200)
        client.get("/v1/connections/nobody", headers={"X-Request-Id": "refused-one"}).expect(404)
        wait_for(lambda: len(server.events("request")) >= 3, 5, "log lines")
        for line in server.log().strip().split("\n"):
            record = json.loads(line)
            assert {"time", "level", "event"} <= set(record)
        mine = [r for r in server.events("request") if r["request_id"] == "seen-in-the-log"]
        assert len(mine) == 1 and mine[0]["status"] == 200 and mine[0]["method"] == "GET" and mine[0]["route"] == "/v1/connections/{name}"
        assert [r["status"] for r in server.events("request") if r["request_id"] == "refused-one"] == [404]


def test_log_levels_and_text_form():
    port = free_port()
    with Server("--log-level", "error", listen=f"127.0.0.1:{port}", wait=False) as server:
        with Client(port) as client:
            wait_for(lambda: answers(client), 20, "an answer")
        assert server.log() == ""
    with Server("--log-format", "text", wait=False) as server:
        wait_for(lambda: "listening" in server.log(), 20, "a log line")
        assert not server.log().lstrip().startswith("{")


def answers(client):
    try:
        return client.get("/healthz").status == 200
    except OSError:
        return False


def test_nothing_secret_in_the_log():
    with Server("--log-level", "debug", env={"FERROD_ADMIN_KEY": "hush-admin-key"}) as server:
        with Client(server.port, headers={"Authorization": "Bearer hush-admin-key"}) as client:
            session = client.session()
            sql(session, "SELECT ? AS a", ["hush-value"]).expect(200)
            sql(session, "SELECT 'hush-literal' AS a").expect(200)
            sql(session, "SELECT 'hush-literal' FROM nowhere").expect(400)
            client.post("/v1/connections", {"name": "x", "url": "postgres://u:hush-password@127.0.0.1:1/x"}).expect(503)
            client.get("/v1/models/Nothing/records/hush-key").expect(404)
            client.get("/healthz", headers={"Authorization": "Bearer hush-wrong"}).expect(200)
            secret = session.headers["Ferro-Session"]
        log = server.log()
        assert "hush-" not in log and secret not in log, [line for line in log.split("\n") if "hush-" in line or secret in line]


# ---- the end ----

def test_sigterm_when_idle():
    for sig in (signal.SIGTERM, signal.SIGINT):
        server = Server()
        with Client(server.port) as client:
            client.session()
            client.transaction()
            client.get("/healthz").expect(200)
            server.stop(sig)


def test_sigterm_lets_running_requests_finish():
    server = Server("--drain-seconds", "20")
    answers = []

    def work():
        with Client(server.port) as own:
            answers.append(sql(own, SLOW.format(3000000)))
    with Client(server.port) as client:
        thread = threading.Thread(target=work)
        thread.start()
        wait_for(lambda: client.get("/v1/connections/default").json()["pool"]["in_use"] == 1, 10, "a running statement")
        server.process.send_signal(signal.SIGTERM)
        thread.join(40)
    assert [a.status for a in answers] == [200], [a.body for a in answers]
    code, _ = server.wait(30)
    assert code == 0, server.log()[-3000:]
    server.check_log()
    server.remove()


def test_drain_is_bounded():
    server = Server("--drain-seconds", "0.5")

    def work():
        try:
            with Client(server.port) as own:
                sql(own, SLOW.format(10 ** 12))
        except OSError:
            pass
    with Client(server.port) as client:
        thread = threading.Thread(target=work)
        thread.start()
        wait_for(lambda: client.get("/v1/connections/default").json()["pool"]["in_use"] == 1, 10, "a running statement")
    started = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    code, _ = server.wait(30)
    thread.join(30)
    assert code == 0 and time.monotonic() - started < 12, server.log()[-3000:]
    server.check_log()
    server.remove()


def test_while_it_drains(tmp_path):
    """While a request runs on, new TCP connections too: /readyz is 503, new work is refused, a transaction may be committed."""
    server = Server("--drain-seconds", "110", "--statement-timeout-seconds", "110", "--request-timeout-seconds", "110",
                    "--default-url", f"sqlite:{tmp_path}/t.db?mode=rwc")  # a slow machine takes its time for the statement
    with Client(server.port, timeout=120) as slow, Client(server.port) as kept:
        sql(kept, "CREATE TABLE t (a)", verb="execute").expect(200)
        session, inside = kept.session(), kept.transaction()
        sql(inside, "INSERT INTO t VALUES (1)", verb="execute").expect(200)
        answers = []
        thread = threading.Thread(target=lambda: answers.append(sql(slow, SLOW.format(6000000))))
        thread.start()
        wait_for(lambda: kept.get("/v1/connections/default").json()["pool"]["in_use"] == 2, 10, "a running statement")
        server.process.send_signal(signal.SIGTERM)
        wait_for(lambda: server.events("draining"), 10, "the drain")
        for _ in range(2):
            with Client(server.port) as fresh:
                fresh.get("/readyz").problem(503, "shutting_down")
            for method, path in (("POST", "/v1/sessions"), ("POST", "/v1/transactions"), ("GET", "/v1/models")):
                with Client(server.port) as fresh:
                    answer = fresh.request(method, path)
                    assert answer.problem(503, "shutting_down")["outcome"] == "not_started"
                    assert answer.header("Retry-After") and answer.header("Connection") == "close"
            with Client(server.port) as fresh:
                fresh.get("/healthz").expect(200)
        session.get("/v1/session").expect(200)
        session.post("/v1/sessions").problem(503, "shutting_down")
        for client in (session, kept):
            answer = client.post("/v1/sql/execute", {"sql": "SELECT 1"}, headers={"Ferro-Transaction": "new"})
            assert answer.problem(503, "shutting_down")["outcome"] == "not_started"
        inside.post(f"/v1/transactions/{inside.headers['Ferro-Transaction']}/commit").expect(200)
        thread.join(120)
    assert [answer.status for answer in answers] == [200], answers[0].body
    code, _ = server.wait(30)
    assert code == 0
    server.check_log()
    server.remove()
    assert sqlite3.connect(tmp_path / "t.db").execute("SELECT a FROM t").fetchall() == [(1,)]


def test_what_the_drain_cuts_short_says_why():
    server = Server("--drain-seconds", "0.5")
    answers = []
    with Client(server.port) as client, Client(server.port) as other:
        thread = threading.Thread(target=lambda: answers.append(sql(client, SLOW.format(10 ** 12))))
        thread.start()
        wait_for(lambda: other.get("/v1/connections/default").json()["pool"]["in_use"] == 1, 10, "a running statement")
        server.process.send_signal(signal.SIGTERM)
        thread.join(30)
        answers[0].problem(503, "shutting_down")
    assert server.wait(30)[0] == 0
    server.check_log()
    server.remove()


def test_open_transactions_are_rolled_back_at_the_end(tmp_path):
    path = tmp_path / "t.db"
    server = Server()
    with Client(server.port) as client:
        client.post("/v1/connections", {"name": "t", "url": f"sqlite:{path}?mode=rwc"}).expect(201)
        sql(client, "CREATE TABLE t (a)", using="t", verb="execute").expect(200)
        sql(client, "INSERT INTO t VALUES (1)", using="t", verb="execute").expect(200)
        inside = client.transaction(using="t")
        sql(inside, "INSERT INTO t VALUES (2)", verb="execute").expect(200)
    server.stop()
    with Server() as again, Client(again.port) as client:
        client.post("/v1/connections", {"name": "t", "url": f"sqlite:{path}?mode=rw"}).expect(201)
        assert sql(client, "SELECT a FROM t", using="t").json()["rows"] == [{"a": 1}]


def test_killed_server_loses_nothing_that_it_reported(tmp_path):
    path = tmp_path / "k.db"
    server = Server()
    with Client(server.port) as client:
        client.post("/v1/connections", {"name": "k", "url": f"sqlite:{path}?mode=rwc"}).expect(201)
        sql(client, "CREATE TABLE t (a)", using="k", verb="execute").expect(200)
        for number in range(20):
            sql(client, "INSERT INTO t VALUES (?)", [number], using="k", verb="execute").expect(200)
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait(10)
    server.remove()
    with Server() as again, Client(again.port) as client:
        client.post("/v1/connections", {"name": "k", "url": f"sqlite:{path}?mode=rw"}).expect(201)
        assert sql(client, "SELECT count(*) AS n FROM t", using="k").json()["rows"] == [{"n": 20}]


def test_fresh_port_is_fresh():
    """A port given by number is served on that number."""
    port = free_port()
    with Server(listen=f"127.0.0.1:{port}") as server:
        assert server.port == port
