"""What stands between a caller and the API: keys, headers of every answer, words of the command line."""
import csv
import io
import json
import stat

import pytest

from support.client import Client
from support.keys import Keys
from support.process import wait_for
from support.server import Server, run_binary


# ---- the command line ----

@pytest.mark.parametrize("words, code, text", [
    (["help"], 0, "--listen"), (["version"], 0, "libmicrohttpd"), (["-v"], 0, "libmicrohttpd"), (["-h"], 0, "--listen"),
    (["--lisen", "127.0.0.1:0"], 2, 'did you mean "--listen"?'), (["--access_lgo"], 2, 'did you mean "--access-log"?'),
    (["--body-byte=5"], 2, 'did you mean "--body-bytes"?'), (["helathcheck"], 2, 'did you mean "healthcheck"?'),
    (["--versoin"], 2, 'did you mean "--version"?'), (["--nothing-of-the-kind"], 2, "see --help"), (["serve"], 2, "see --help")])
def test_words(words, code, text):
    got, out, err = run_binary(*words)
    assert got == code and text in (out if code == 0 else err), (out, err)


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
