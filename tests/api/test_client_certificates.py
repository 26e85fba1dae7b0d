"""Client certificates in place of keys: whose they are, and what is never taken for one."""
import contextlib
import http.client
import json
import signal
import ssl
import threading
import types

import pytest

from support.certs import Authority
from support.keys import Keys
from support.process import wait_for
from support.server import Server, run_binary

SUBJECTS = [("app", "CN=app,O=Shop"), ("spaced", "o = Shop , cn=sp\\, aced"), ("host", "DNS:App.Example.org"), ("spiffe", "URI:spiffe://shop/app"),
            ("mail", "email:app@example.org"), ("umlaut", "CN=J\\C3\\BCrgen,OU=Küche,O=Shop"), ("mailed", "emailAddress=a@b.example,CN=mailed"), ("marks", "CN=a\\2Cb\\;c,O=Shop")]


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """One server over TLS: keys by certificate, by text, by both; .call(who, ...) with a client's certificate."""
    place = tmp_path_factory.mktemp("clients")
    ca, other, keys = Authority(place), Authority(place, "foreign"), Keys(place)
    for name, subject in SUBJECTS:
        keys.entries.append({"name": name, "subject": subject, "scopes": ["read", "write"]})
    keys.entries.append({"name": "late", "subject": "CN=late", "scopes": ["read"], "expires_at": "2020-01-01T00:00:00Z"})
    keys.add("text", ["read", "write"])
    keys.add("both", ["admin"])
    keys.entries[-1]["subject"] = "CN=both"
    keys.write()
    authorities = place / "clients.pem"
    authorities.write_text(ca.root.read_text())
    chain, key = ca.leaf("server")
    certs = {"app": ca.client("app", "/O=Shop/CN=app"), "spaced": ca.client("spaced", "/CN=sp, aced/O=Shop"), "both": ca.client("both", "/CN=both"),
             "host": ca.client("host", "/CN=x", "DNS:*.example.org,DNS:app.example.org"), "spiffe": ca.client("spiffe", "/CN=y", "URI:spiffe://shop/app"),
             "mail": ca.client("mail", "/CN=z", "email:app@example.org"), "umlaut": ca.client("umlaut", "/O=Shop/OU=Küche/CN=Jürgen"),
             "marks": ca.client("marks", "/O=Shop/CN=a,b;c"), "mailed": ca.client("mailed", "/CN=mailed/emailAddress=a@b.example"), "late": ca.client("late", "/CN=late"), "stranger": ca.client("stranger", "/CN=stranger"),
             "expired": ca.client("expired", "/O=Shop/CN=app", starts=-7200, ends=-3600), "future": ca.client("future", "/O=Shop/CN=app", starts=3600),
             "foreign": other.client("foreign-app", "/O=Shop/CN=app"), "server": ca.client("wrong-use", "/O=Shop/CN=app", usage="serverAuth"),
             "any": ca.client("no-use", "/O=Shop/CN=app", usage=None), "alone": ca.client("alone", "/O=Shop/CN=app", chained=False),
             "reversed": ca.client("reversed", "/CN=app/O=Shop"), "longer": ca.client("longer", "/O=Shop/CN=app/CN=app"),
             "comma": ca.client("comma", "/CN=app,O=Shop"), "other-case": ca.client("other-case", "/O=Shop/CN=APP"), None: None}
    short = ca.client("short", "/O=Shop/CN=app", ends=4)
    with Server("--tls-cert-file", str(chain), "--tls-key-file", str(key), "--tls-client-ca-file", str(authorities), "--keys-file", str(keys.path),
                wait=False) as server:
        wait_for(lambda: server.events("listening") or not server.alive, 30, "a start")
        assert server.alive, server.log()
        server.port = server.events("listening")[0]["port"]

        def connect(who, version=None):
            made = ssl.create_default_context(cafile=str(ca.root))
            if version is not None:
                made.minimum_version = made.maximum_version = version
            pair = short if who == "short" else certs[who]
            if pair is not None:
                made.load_cert_chain(*pair)
            return http.client.HTTPSConnection("localhost", server.port, timeout=30, context=made)

        def call(who, path="/v1/models", method="GET", body=None, connection=None, **headers):
            with contextlib.closing(connect(who)) if connection is None else contextlib.nullcontext(connection) as c:
                c.request(method, path, body=None if body is None else json.dumps(body),
                          headers={"Content-Type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}})
                answer = c.getresponse()
                text = answer.read()
            return types.SimpleNamespace(status=answer.status, text=text.decode(), json=lambda: json.loads(text), header=answer.getheader)

        def reload(ends="reloaded"):
            before = len(server.events(ends))
            server.process.send_signal(signal.SIGHUP)
            wait_for(lambda: len(server.events(ends)) > before, 10, "the reload")
        passing = connect("short")
        assert call("short", connection=passing).status == 200
        yield types.SimpleNamespace(server=server, keys=keys, connect=connect, call=call, reload=reload, authorities=authorities, ca=ca, other=other,
                                    passing=passing, pair=(chain, key), place=place)


@pytest.mark.parametrize("name", [name for name, _ in SUBJECTS])
def test_a_certificate_is_a_key(house, name):
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        with contextlib.closing(house.connect(name, version)) as c:
            session = house.call(name, "/v1/sessions", "POST", {}, connection=c)
            assert session.status == 201, session.text
            mine = {"Ferro_Session": session.json()["session_id"]}
            assert house.call(name, "/v1/session", connection=c, **mine).status == 200
            refused = house.call(name, "/v1/reset", "POST", connection=c)
            assert refused.status == 403 and 'scope' in refused.text  # its scopes are its own
    other = "app" if name != "app" else "host"
    assert house.call(other, "/v1/session", **mine).status in (404, 410)


@pytest.mark.parametrize("who", ["expired", "future", "foreign", "server", "alone", "reversed", "longer", "comma", "other-case", "stranger", "late", None])
def test_what_is_taken_for_nobody(house, who):
    answer = house.call(who)
    assert answer.status == 401 and answer.header("WWW-Authenticate").startswith("Bearer"), answer.text
    assert house.call(who, "/healthz").status == 200
    # a key says who it is all the same
    assert house.call(who, Authorization=f"Bearer {house.keys.texts['text']}").status == 200


def test_one_without_a_purpose_is_a_clients_too(house):
    assert house.call("any").status == 200


def test_either_says_who_it_is(house):
    by_text = house.call(None, "/v1/sessions", "POST", {}, Authorization=f"Bearer {house.keys.texts['both']}")
    assert by_text.status == 201
    assert house.call("both", "/v1/session", Ferro_Session=by_text.json()["session_id"]).status == 200


def test_a_key_that_is_sent_counts(house):
    assert house.call("app", Authorization="Bearer wrong").status == 401
    assert house.call("both", Authorization="Bearer wrong").status == 401
    assert house.call("both", "/v1/connections/none", "DELETE", Authorization=f"Bearer {house.keys.texts['text']}").status == 403
    assert house.call("both", "/v1/connections/none", "DELETE").status == 404


def test_pages_of_others_do_not_borrow_it(house):
    """A browser presents the certificate whoever's page asks."""
    here = f"https://localhost:{house.server.port}"
    for headers, status in (({"Origin": "https://evil.example"}, 403), ({"Origin": "null"}, 403), ({"Sec-Fetch-Site": "cross-site"}, 403),
                            ({"Origin": here, "Sec-Fetch-Site": "same-origin"}, 201), ({"Sec-Fetch-Site": "none"}, 201)):
        assert house.call("app", "/v1/sessions", "POST", {}, **headers).status == status, headers
        assert house.call(None, "/v1/sessions", "POST", {}, Authorization=f"Bearer {house.keys.texts['text']}", **headers).status == 201


def test_many_at_once(house):
    seen = []

    def work(who, expected):
        with contextlib.closing(house.connect(who)) as c:
            seen.extend(house.call(who, connection=c).status == expected for _ in range(5))
    threads = [threading.Thread(target=work, args=args) for args in (("app", 200), ("foreign", 401), ("spiffe", 200), (None, 401)) * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert seen == [True] * 60


def test_a_reload(house):
    """Other authorities hold for connections that there are, too; what cannot be read changes nothing."""
    with contextlib.closing(house.connect("app")) as app, contextlib.closing(house.connect("foreign")) as foreign:
        def seen():
            return house.call("app", connection=app).status, house.call("foreign", connection=foreign).status, house.call("app").status, house.call("foreign").status
        assert seen() == (200, 401, 200, 401)
        house.authorities.write_text(house.other.root.read_text())
        assert seen() == (200, 401, 200, 401)
        house.reload()
        assert seen() == (401, 200, 401, 200)
        for broken in ("", "nothing", house.pair[1].read_text()):
            house.authorities.write_text(broken)
            house.reload("reload_failed")
            assert seen() == (401, 200, 401, 200) and "tls_client_ca_file" in json.dumps(house.server.events("reload_failed")[-1])
        house.authorities.write_text(house.ca.root.read_text() + house.other.root.read_text())
        house.reload()
        assert seen() == (200, 200, 200, 200)
        house.keys.entries[0]["subject"] = "CN=elsewhere"
        house.keys.write()
        house.authorities.write_text(house.ca.root.read_text())
        house.reload()
        assert seen() == (401, 401, 401, 401)
        house.keys.entries[0]["subject"] = "CN=app,O=Shop"
        house.keys.write()
        house.reload()
        assert seen() == (200, 401, 200, 401)


def test_one_that_expires_while_it_is_used(house):
    wait_for(lambda: house.call("short", connection=house.passing).status == 401, 10, "its end")
    house.passing.close()


def test_without_authorities_none_is_asked_for(house):
    chain, key = house.pair
    with Server("--tls-cert-file", str(chain), "--tls-key-file", str(key), "--keys-file", str(house.keys.path), wait=False) as server:
        wait_for(lambda: server.events("listening") or not server.alive, 30, "a start")
        made = ssl.create_default_context(cafile=str(house.ca.root))
        made.load_cert_chain(*house.ca.client("unasked", "/O=Shop/CN=app"))
        with contextlib.closing(http.client.HTTPSConnection("localhost", server.events("listening")[0]["port"], timeout=30, context=made)) as c:
            assert house.call(None, connection=c).status == 401


def test_refused_starts(house, tmp_path):
    tls = ["--tls-cert-file", str(house.pair[0]), "--tls-key-file", str(house.pair[1])]
    rest = ["--listen", "127.0.0.1:0", "--default-url", "sqlite::memory:", "--state-url", ""]
    (tmp_path / "empty.pem").touch()
    for words, said in ((["--tls-client-ca-file", str(house.authorities)], '"tls_cert_file"'), ([*tls, "--tls-client-ca-file", str(tmp_path / "none.pem")], "cannot read"),
                        ([*tls, "--tls-client-ca-file", str(tmp_path / "empty.pem")], "no PEM certificates"),
                        ([*tls, "--tls-client-ca-file", str(house.pair[1])], "no PEM certificates")):
        for command in ((), ("check-config",)):
            code, out, err = run_binary(*command, *words, *rest)
            assert (code, out) == (2, "") and len(err.strip().split("\n")) == 1 and "tls_client_ca_file" in err and said in err, err


BAD = [({"subject": ""}, "subject"), ({"subject": 1}, "subject"), ({"subject": "app"}, "subject"), ({"subject": "CN=a\0b"}, "subject"), ({"subject": "DNS:"}, "subject"), ({"subject": "CN=a+UID=7"}, "subject"), ({"subject": "CN=a\\00b"}, "subject"), ({"subject": "o=Shop,CN=\\61pp"}, "that of another key"),
       ({"subject": "CN=" + "x" * 1100}, "subject"), ({"subject": "O=Shop, CN=app"}, "that of another key"), ({}, "hash")]


@pytest.mark.parametrize("more, said", BAD)
def test_faults_of_an_entry(tmp_path, more, said):
    keys = Keys(tmp_path)
    keys.entries = [{"name": "first", "subject": "O=Shop,CN=app", "scopes": ["read"]}, {"name": "second", "scopes": ["read"], **more}]
    keys.write()
    code, out, err = run_binary("check-config", "--keys-file", str(keys.path), "--listen", "127.0.0.1:0", "--default-url", "sqlite::memory:", "--state-url", "")
    assert (code, out) == (2, "") and len(err.strip().split("\n")) == 1 and said in err and "entry 1" in err, err


def test_a_new_key_with_a_subject():
    code, out, _ = run_binary("key", "new", "--name", "n", "--scopes", "read", "--subject", "CN=app,O=Shop")
    entry = json.loads(out)["entry"]
    assert code == 0 and entry["subject"] == "CN=app,O=Shop" and entry["hash"].startswith("sha256$")
