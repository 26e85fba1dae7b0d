"""What stands between a caller and the API: keys, headers of every answer, words of the command line."""
import csv
import io
import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
import urllib.request

import pytest

from support import run_tests
from support.client import Client
from support.keys import Keys
from support.process import BINARY, ROOT, die_with_parent, free_port, wait_for
from support.server import Server, run_binary


# ---- the command line ----

@pytest.mark.parametrize("words, code, text", [
    (["help"], 0, "--listen"), (["version"], 0, "libmicrohttpd"), (["-v"], 0, "libmicrohttpd"), (["-h"], 0, "--listen"),
    (["--lisen", "127.0.0.1:0"], 2, 'did you mean "--listen"?'), (["--access_lgo"], 2, 'did you mean "--access-log"?'),
    (["--body-byte=5"], 2, 'did you mean "--body-bytes"?'), (["helathcheck"], 2, 'did you mean "healthcheck"?'),
    (["help", "key"], 0, "--listen"), (["bakup"], 2, 'did you mean "backup"?'), (["backup", "a.db"], 2, "usage: ferrod backup"),
    (["state"], 2, "usage: ferrod state export"), (["--access-log", "flase"], 2, '"access_log" takes true or false'),
    (["key", "--help"], 0, "usage: ferrod key new"), (["key"], 2, "usage: ferrod key new"), (["key", "sea"], 2, 'did you mean "seal"?'), (["key", "nothing"], 2, "usage: ferrod key new"),
    (["key", "new", "--nmae", "a", "--scopes", "read"], 2, 'unknown flag "--nmae"; did you mean "--name"?'), (["key", "new", "--name"], 2, "needs a value"),
    (["key", "new", "--name", "a", "--scope=read"], 2, 'did you mean "--scopes"?'), (["key", "new", "--name=a", "--scopes=read"], 0, '"scopes":["read"]'),
    (["key", "seal", "more"], 2, "usage: ferrod key new"), (["help"], 0, "ferrod help | version"),
    (["--listen", "127.0.0.1:0", "key", "new"], 2, "see --help"),
    (["--versoin"], 2, 'did you mean "--version"?'), (["--nothing-of-the-kind"], 2, "see --help"), (["serve"], 2, "see --help")])
def test_words(words, code, text):
    got, out, err = run_binary(*words)
    assert got == code and text in (out if code == 0 else err), (out, err)


def test_near_words_elsewhere(tmp_path):
    """Of the environment and of a configuration file, as of flags; and a state that is not there is none, nor is it made."""
    assert 'did you mean "FERROD_ACCESS_LOG"?' in run_binary("check-config", env={"FERROD_ACES_LOG": "1"})[2]
    (tmp_path / "config.json").write_text('{"acess_log": true}')
    assert 'did you mean "access_log"?' in run_binary("check-config", "--config", str(tmp_path / "config.json"))[2]
    for url in (f"sqlite:{tmp_path}/none.db?mode=rwc", "sqlite::memory:"):
        code, _, error = run_binary("state", "export", "--state-url", url)
        assert (code, error) == (2, f"ferrod: there is no state in {url}\n")
    assert not (tmp_path / "none.db").exists()


# what cannot be used as it is, and what is said of it
UNUSABLE = [
    (["--node", "A"], '"node" takes 1 to 32 of a-z, 0-9 and -'), (["--node", "a" * 33], '"node" takes 1 to 32'),
    (["--node-url", "here"], '"node_url" takes http://HOST:PORT'), (["--node-url", "http://"], '"node_url" takes http://HOST:PORT'),
    (["--state-url", "foo:bar"], "cannot open the state: "), (["--state-url", "postgres://h/d?nope=1"], 'parameter: "nope"'),
    (["--state-key-file", "nowhere.key"], 'cannot read the key file "nowhere.key"'),
    (["--require-database-tls", "--state-url", "postgres://u@db.example/x"], "sslmode=verify-full"),
    (["--cors-origins", "https://a.example, null"], '"null" is what browsers send of files and sandboxed frames'),
    *((["--cors-origins", origin], "is no origin as browsers send it") for origin in (
        "app.example", "https://app.example/", "https://a.example, https://App.example", "https://a.example:443", "http://a.example:80",
        "https://", "https://*.example", "https://me@a.example", "https://a.example,,https://b.example"))]


@pytest.mark.parametrize("words, said", UNUSABLE)
def test_a_check_says_what_a_start_would(tmp_path, words, said):
    """It called good what the start refused, and an origin that no browser sends was taken by both."""
    told = [run_binary(*command, *words, cwd=str(tmp_path)) for command in (["check-config"], ["--listen", "127.0.0.1:0"])]
    for code, out, error in told:
        assert (code, out) == (2, "") and said in error and len(error.splitlines()) == 1, error
    assert told[0] == told[1] and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("tail, said", [
    (":99999/d", "invalid port number"), (":5432,b:secret/d", "invalid port number"), ("/d?port=0", "invalid port number"),
    ("/d?sslmode=wild", 'invalid sslmode value: "wild"'), ("/d?channel_binding=yes", "invalid channel_binding value"),
    ("/d?target_session_attrs=primry", 'invalid target_session_attrs value: "primry"'), ("/d?gssencmode=off", "invalid gssencmode value")])
def test_an_address_that_can_never_be_connected_ends_the_start(tmp_path, tail, said):
    """It served, was never ready, and the check called it good."""
    (tmp_path / "catalog.json").write_text(json.dumps({"connections": [{"name": "a", "url": f"postgres://u@127.0.0.1{tail}"}]}))
    for words in (["--default-url", f"postgres://u@127.0.0.1{tail}"], ["--catalog", "catalog.json"]):
        for command in (["check-config"], ["--listen", "127.0.0.1:0"]):
            code, _, error = run_binary(*command, *words, cwd=str(tmp_path))
            assert code == 2 and f"the database URL is not valid: {said}" in error and "secret" not in error.split("not valid:")[1], error
            assert len(error.splitlines()) == 1
    assert not run_binary("check-config", "--default-url", "postgres://u@a:5433,b:,c/d?sslmode=verify-ca&target_session_attrs=any")[0]


def test_a_port_that_is_taken(server, tmp_path):
    code, _, error = run_binary("--listen", f"127.0.0.1:{server.port}", cwd=str(tmp_path))
    assert code == 2 and f"127.0.0.1:{server.port}: Address already in use; --listen names another address" in error


def test_a_check_takes_what_a_start_takes(tmp_path):
    words = ["--node", "a-1", "--node-url", "https://node.example:8443", "--state-url", f"sqlite:{tmp_path}/none.db?mode=rwc",
             "--cors-origins", "https://app.example, http://localhost:5173,tauri://localhost,http://[::1]:3000,https://app.example:80"]
    assert run_binary("check-config", *words, cwd=str(tmp_path)) == (0, "the configuration is valid\n", "")
    assert list(tmp_path.iterdir()) == []


def test_a_database_without_a_state(pg):
    code, _, error = run_binary("state", "export", "--state-url", pg.url(pg.create_database()))
    assert code == 2 and "there is no state in postgres" in error and len(error.splitlines()) == 1, error


@pytest.mark.parametrize("words, logged", [
    (["--access-log", "false"], False), (["--access-log=false"], False), (["--access-log", "0"], False), (["--access-log"], True),
    (["--access-log", "true"], True), (["--access-log", "--log-level", "info"], True)])
def test_truth_stands_behind_a_blank_too(words, logged):
    with Server(*words) as server, Client(server.port) as c:
        c.get("/version").expect(200)
        if logged:
            wait_for(lambda: server.events("request"), 10, "a line of the access log")
        else:
            c.get("/metrics").expect(200)
            assert not server.events("request")


def test_key_new_appends(tmp_path):
    path = tmp_path / "keys.json"
    for number in range(3):
        code, out, err = run_binary("key", "new", "--name", f"k{number}", "--scopes", "read", "--append", str(path))
        assert code == 0 and set(json.loads(out)) == {"key"}, err
    entries = json.loads(path.read_text(encoding="utf-8"))
    assert [entry["name"] for entry in entries] == ["k0", "k1", "k2"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    for words in (["--name", "k1", "--scopes", "read"], ["--name", "k9", "--scopes", "reed"], ["--scopes", "read"]):
        code, _, err = run_binary("key", "new", *words, "--append", str(path))
        assert code == 2 and err.startswith("ferrod: "), err
        assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["keys.json"]
    with Server("--keys-file", str(path)) as server, Client(server.port, {"Authorization": f"Bearer {json.loads(out)['key']}"}) as c:
        c.get("/v1/models").expect(200)


# ---- keys ----

def test_a_short_admin_key_does_not_meet_the_network():
    code, _, err = run_binary("--listen", "0.0.0.0:0", "--admin-key", "x" * 15)
    assert code == 2 and "admin_key" in err and "x" * 15 not in err
    with Server("--admin-key", "x" * 16, listen="0.0.0.0:0"):
        pass
    with Server("--admin-key", "short", listen="127.0.0.1:0"):
        pass


def test_wrong_keys_count_into_the_rate_limit(tmp_path):
    keys = Keys(tmp_path)
    right = keys.add("reader", ["read"])
    with Server("--keys-file", str(keys.path), "--rate-limit-per-second", "5", "--rate-limit-burst", "5") as server:
        with Client(server.port, {"Authorization": "Bearer wrong"}) as c:
            answers = [c.get("/v1/models") for _ in range(12)]
            assert {a.status for a in answers} == {401, 429} and answers[0].status == 401
            late = next(a for a in answers if a.status == 429)
            late.problem(429, "too_many_requests")
            assert int(late.header("Retry-After")) >= 1
            c.get("/healthz").expect(200)
        with Client(server.port, {"Authorization": f"Bearer {right}"}) as c:
            c.get("/v1/models").expect(200)


# ---- answers ----

def test_answers_of_the_api_are_not_stored(client):
    for answer in (client.get("/v1/models"), client.post("/v1/query", raw=b"{"), client.get("/v1/nothing"), client.delete("/v1/session")):
        assert answer.header("Cache-Control") == "no-store"
    assert client.get("/healthz").header("Cache-Control") is None
    assert client.get("/v1/models").header("Strict-Transport-Security") is None


def test_formulas_in_csv():
    texts = ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "plain", "a=b", "", '="x"']
    for flag, prefix in (([], ""), (["--csv-formula-guard"], "'")):
        with Server("--default-url", "sqlite::memory:", *flag) as server, Client(server.port, validate=False) as c:
            sql = "SELECT value AS v FROM json_each(?)"
            answer = c.post("/v1/sql/fetch-all", {"sql": sql, "args": [json.dumps(texts)]}, headers={"Accept": "text/csv"}).expect(200)
            rows = list(csv.reader(io.StringIO(answer.text, newline="")))
            assert [row[0] if row else "" for row in rows[1:]] == [(prefix if t[:1] in set("=+-@\t\r") and t else "") + t for t in texts]


@pytest.mark.parametrize("accept", ["application/json", "text/csv", "application/x-ndjson"])
def test_text_that_is_no_utf8_is_told_from_text_in_every_form(sqlite_conn, accept):
    """CSV had the raw bytes, which no reader of UTF-8 takes."""
    c = sqlite_conn.client
    sql = "SELECT 1 AS id, CAST(x'61ff62' AS TEXT) AS a, CAST(x'eda080' AS TEXT) AS b, CAST(x'c3a4' AS TEXT) AS c"
    answer = c.post("/v1/sql/fetch-all", {"sql": sql, "using": sqlite_conn.name}, headers={"Accept": accept}).expect(200)
    text = answer.body.decode("utf-8")
    if accept == "text/csv":
        row = list(csv.reader(io.StringIO(text, newline="")))[1]
        assert [json.loads(cell) for cell in row[1:3]] == [{"$bytes": "Yf9i"}, {"$bytes": "7aCA"}] and row[3] == "ä"
    else:
        row = json.loads(text.split("\n", maxsplit=1)[0])
        row = row.get("rows", [row])[0]
        assert (row["a"], row["b"], row["c"]) == ({"$bytes": "Yf9i"}, {"$bytes": "7aCA"}, "ä")


# ---- the first minutes ----

@pytest.mark.parametrize("accept, status", [
    ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", 303), ("text/html", 303), ("*/*", 200), (None, 200), ("", 200),
    ("application/json", 200), ("text/htmlx, */*;q=0.1", 200)])
def test_the_root_leads_on(client, accept, status):
    answer = client.get("/", headers={"Accept": accept}).expect(status)
    if status == 303:
        assert answer.header("Location") == "/docs" and answer.body == b""
    else:
        assert answer.json()["docs"] == "/docs" and client.get(answer.json()["openapi"]).status == 200
    assert answer.header("Vary") == "Accept"
    client.get("/", headers={"Accept": "image/png"}).problem(406, "not_acceptable")
    client.post("/", {}).problem(405, "method_not_allowed")


@pytest.mark.parametrize("target", ["build", "install"])
def test_a_build_without_libraries_says_what_to_do(tmp_path, target):
    """It was a screen of compiler errors."""
    fake = tmp_path / "pkg-config"
    fake.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    fake.chmod(0o755)
    done = subprocess.run(["make", target, f"BUILD={tmp_path}/build", f"DESTDIR={tmp_path}/root"], cwd=ROOT, capture_output=True, text=True,
                          check=False, timeout=60, env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"})
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert len(lines) == 1 and "make deps" in lines[0] and not (tmp_path / "root").exists(), done.stderr


def test_the_console_shows_one_version(client):
    """The server's own; the description has one of its contract, which is not shown beside it."""
    pages = {name: (ROOT / "openapi/docs" / name).read_text(encoding="utf-8") for name in os.listdir(ROOT / "openapi/docs")}
    shown = [line for text in pages.values() for line in text.split("\n") if re.search(r"\.version\b", line)]
    assert len(shown) == 1 and "version.data.version" in shown[0], shown
    assert pages["index.html"].count('id="version"') == 1
    assert client.get("/version").expect(200).json()["version"] == run_binary("--version")[1].split("\n")[0].split()[1]


def test_a_build_says_how_far_it_is(tmp_path):
    """Each file that is compiled for the first time has its number."""
    done = subprocess.run(["make", "-n", "build", f"BUILD={tmp_path}/build"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    steps = [(int(n), int(of)) for n, of in re.findall(r"echo '  CC   \[(\d+)/(\d+)\] \S+\.c'", done.stdout)]
    assert len(steps) > 200 and {of for _, of in steps} == {len(steps) + 1}  # one is assembled
    assert [n for n, _ in steps] == list(range(1, len(steps) + 1))
    recipe = subprocess.run(["make", "-n", "run"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout
    assert re.search(r"-j\$\(nproc", recipe) and "service/dist/run.py" in recipe


def test_an_install_gives_a_sign_of_life(tmp_path):
    """apt says nothing for minutes."""
    for name, text in (("apt-get", "sleep 3"), ("dpkg-query", "exit 0"), ("sudo", 'exec "$@"'), ("id", "echo 0")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    done = subprocess.run([str(ROOT / ".ci/deps"), "run"], capture_output=True, text=True, check=False, timeout=60,
                          env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "FERROD_SIGN_SECONDS": "1"})
    assert done.returncode == 0 and done.stdout.startswith("deps: installing gcc") and 1 <= done.stdout.count("deps: still installing") <= 4, done


def test_make_run_says_where_to_look(tmp_path):
    process = subprocess.Popen([sys.executable, "-B", str(ROOT / "service/dist/run.py"), str(BINARY), "--listen", "127.0.0.1:0"], cwd=tmp_path,
                               stderr=subprocess.PIPE, preexec_fn=die_with_parent(signal.SIGTERM),
                               env={key: value for key, value in os.environ.items() if not key.startswith(("FERROD_", "PG"))})
    try:
        text = ""
        while "Ctrl-C" not in text:
            line = process.stderr.readline().decode()
            assert line, text
            text += line
        url = re.search(r"curl (http://127\.0\.0\.1:\d+/readyz)", text).group(1)
        assert urllib.request.urlopen(url, timeout=10).status == 200
        assert re.search(r"docs and console: http://127\.0\.0\.1:\d+/docs", text)
    finally:
        process.send_signal(signal.SIGTERM)
        process.stderr.read()
        assert process.wait(timeout=30) == 0


def test_suites_give_a_sign_of_life(capsys, monkeypatch):
    monkeypatch.setattr(run_tests, "SIGN_SECONDS", 0.05)
    with run_tests.Signs("slow"):
        time.sleep(0.3)
    assert capsys.readouterr().out.count("slow     ...") >= 2


def test_an_old_library_before_the_network_is_logged():
    with Server("--insecure-no-auth", listen="0.0.0.0:0") as server, Client(server.port) as c:
        old = c.get("/version").expect(200).json()["libmicrohttpd"].startswith("0.")
        assert bool(server.events("old_http_library")) == old
    with Server() as server:
        assert not server.events("old_http_library")


def test_what_is_down_is_named_and_no_more(pg, tmp_path):
    """URLs are for admins: who has no key learns neither host nor login nor database, by /readyz or another way; the log says all."""
    secret = f"postgres://secretive@127.0.0.1:{free_port()}/hidden"
    (tmp_path / "catalog.json").write_text(json.dumps({"connections": [
        {"name": "far", "url": secret, "default": True}, {"name": "named", "url": "postgres://secretive@secretive.invalid/hidden"},
        {"name": "wrong", "url": pg.url("hidden", user="secretive")}]}))
    with Server("--catalog", str(tmp_path / "catalog.json")) as server, Client(server.port) as c:
        wait_for(lambda: len(server.events("connection_waiting")) >= 3, 20, "three tries")
        for answer in (c.get("/readyz"), c.post("/v1/sql/execute", {"sql": "SELECT 1"}), c.post("/v1/sessions", {"using": "named"}),
                       c.post("/v1/connections/wrong/check")):
            detail = answer.problem(503, "database_unavailable")["detail"]
            assert "cannot be connected" in detail and not any(word in detail for word in ("postgres", "127.0.0.1", "secretive", "hidden")), detail
        assert all(f"'{name}'" in c.get("/readyz").json()["detail"] for name in ("far", "named", "wrong"))
        c.post("/v1/catalog/reload").expect(200)
        assert "secretive" not in c.get("/readyz").text
        assert "secretive" in server.log() and "hidden" in server.log()


def test_a_catalog_of_many_connections_is_read_again(tmp_path):
    """Room was made for one: three ended the process, which three that are down show."""
    catalog = tmp_path / "catalog.json"

    def write(first, last):
        catalog.write_text(json.dumps({"connections": [{"name": f"c{n}", "url": f"sqlite:c{n}.db?mode=rwc"} for n in range(first, last)]}))

    write(0, 60)
    with Server("--catalog", str(catalog)) as server, Client(server.port) as c:
        for first, last, counts in ((0, 60, (0, 0, 60)), (30, 90, (30, 30, 30)), (0, 1, (1, 60, 0))):
            write(first, last)
            told = c.post("/v1/catalog/reload").expect(200).json()
            assert tuple(len(told[kind]) for kind in ("added", "removed", "unchanged")) == counts and not told["changed"]
        assert [row["name"] for row in c.get("/v1/catalog").json()["connections"] if row["origin"] == "declared"] == ["c0"]
