"""TLS: on our own listener, and towards a PostgreSQL whose certificate must be right."""
import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import threading

import pytest

from support.certs import Authority
from support.client import Client
from support.pg import Postgres
from support.process import at_once, wait_for
from support.server import Server, run_binary

MANY = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 100000) SELECT n, 'some text to fill the line' AS t FROM c"


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def leaf(ca):
    return ca.leaf("first")


@contextlib.contextmanager
def https(chain, key, *args, **kwargs):
    with Server("--tls-cert-file", str(chain), "--tls-key-file", str(key), *args, wait=False, **kwargs) as server:
        wait_for(lambda: server.events("listening") or not server.alive, 30, "a start")
        server.port = server.events("listening")[0]["port"]
        yield server


@pytest.fixture(scope="module")
def house(leaf):
    with https(*leaf) as server:
        yield server


def context(ca, oldest=None, newest=None):
    made = ssl.create_default_context(cafile=str(ca.root))
    if oldest is not None:
        made.minimum_version = oldest
    if newest is not None:
        made.maximum_version = newest
    return made


def connect(server, ca, **versions):
    return http.client.HTTPSConnection("localhost", server.port, timeout=30, context=context(ca, **versions))


def call(connection, method, path, body=None):
    connection.request(method, path, body=None if body is None else json.dumps(body), headers={"Content-Type": "application/json"})
    answer = connection.getresponse()
    return answer.status, answer.read()


def presented(server, ca):
    """The subject of the certificate that a new connection is shown."""
    with at_once(socket.create_connection(("127.0.0.1", server.port), timeout=10)) as plain:
        with context(ca).wrap_socket(plain, server_hostname="localhost") as s:
            return dict(pair[0] for pair in s.getpeercert()["subject"])["commonName"]


def test_many_requests_on_one_connection(house, ca):
    connection = connect(house, ca)
    for number in range(100):
        assert call(connection, "GET", "/healthz")[0] == 200
        status, body = call(connection, "POST", "/v1/sql/fetch-one", {"sql": "SELECT ? AS a", "args": ["x" * number * 300]})
        assert status == 200 and len(json.loads(body)["row"]["a"]) == number * 300
    assert call(connection, "GET", "/nothing")[0] == 404
    connection.close()


def test_browsers_are_told_to_stay_with_tls(house, ca):
    connection = connect(house, ca)
    for path, status in (("/healthz", 200), ("/v1/models", 200), ("/docs", 200), ("/nothing", 404)):
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == status and answer.getheader("Strict-Transport-Security").startswith("max-age="), path
    connection.close()


def test_streams_both_ways(house, ca):
    connection = connect(house, ca)
    status, body = call(connection, "POST", "/v1/sql/fetch-all", {"sql": MANY})
    assert status == 200 and json.loads(body)["row_count"] == 100000
    big = "y" * 3_000_000
    status, body = call(connection, "POST", "/v1/sql/fetch-one", {"sql": "SELECT length(?) AS n", "args": [big]})
    assert (status, json.loads(body)["row"]) == (200, {"n": len(big)})
    connection.close()


def test_many_connections_at_once(house, ca):
    seen = []

    def work():
        connection = connect(house, ca)
        for _ in range(5):
            seen.append(call(connection, "POST", "/v1/sql/fetch-one", {"sql": "SELECT 1 AS a"})[0])
        connection.close()
    threads = [threading.Thread(target=work) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert seen == [200] * 100


def test_what_is_no_tls_harms_nobody(house, ca):
    idle = [at_once(socket.create_connection(("127.0.0.1", house.port), timeout=10)) for _ in range(20)]
    for number, s in enumerate(idle):
        s.sendall((b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"\x00" * 600, b"")[number % 4])
    assert call(connect(house, ca), "GET", "/healthz")[0] == 200
    answer = b""
    with contextlib.suppress(OSError):
        answer = idle[0].recv(1000)
    assert b"200" not in answer
    for s in idle:
        s.close()
    assert call(connect(house, ca), "GET", "/healthz")[0] == 200


def test_versions(house, leaf, ca):
    with pytest.warns(DeprecationWarning), pytest.raises((ssl.SSLError, OSError)):
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        made.set_ciphers("ALL:@SECLEVEL=0")
        made.load_verify_locations(str(ca.root))
        made.minimum_version = made.maximum_version = ssl.TLSVersion.TLSv1_1
        with at_once(socket.create_connection(("127.0.0.1", house.port), timeout=10)) as plain:
            made.wrap_socket(plain, server_hostname="localhost")
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        assert call(connect(house, ca, oldest=version, newest=version), "GET", "/healthz")[0] == 200
    with https(*leaf, "--tls-min-version", "1.3") as server:
        with pytest.raises((ssl.SSLError, OSError)):
            call(connect(server, ca, newest=ssl.TLSVersion.TLSv1_2), "GET", "/healthz")
        assert call(connect(server, ca), "GET", "/healthz")[0] == 200


def test_no_weak_cipher(house, ca):
    made = context(ca, newest=ssl.TLSVersion.TLSv1_2)
    made.set_ciphers("AES128-SHA:AES256-SHA:AES128-GCM-SHA256:ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES256-SHA:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, OSError)), at_once(socket.create_connection(("127.0.0.1", house.port), timeout=10)) as plain:
        made.wrap_socket(plain, server_hostname="localhost")


def test_reload(ca, tmp_path):
    """SIGHUP: new connections see the new certificate, running ones go on; a pair that is broken changes nothing."""
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"

    def put(pair):
        shutil.copy(pair[0], chain)
        shutil.copy(pair[1], key)
    first, second = ca.leaf("one"), ca.leaf("two", kind="rsa")
    put(first)
    with https(chain, key) as server:
        def reload(ends="reloaded"):
            other = "reload_failed" if ends == "reloaded" else "reloaded"
            before, others = len(server.events(ends)), len(server.events(other))
            server.process.send_signal(signal.SIGHUP)
            wait_for(lambda: len(server.events(ends)) > before, 10, "the reload")
            assert len(server.events(other)) == others
        old = connect(server, ca)
        assert call(old, "GET", "/healthz")[0] == 200
        assert presented(server, ca) == "one"
        put(second)
        assert presented(server, ca) == "one"
        reload()
        assert presented(server, ca) == "two"
        assert call(old, "GET", "/healthz")[0] == 200
        for broken in ((first[0], second[1]), (second[1], second[0]), (os.devnull, os.devnull)):
            put(broken)
            reload("reload_failed")
            assert server.events("reload_failed") and presented(server, ca) == "two"
        key.unlink()
        reload("reload_failed")
        assert presented(server, ca) == "two"
        for number in range(20):
            put((first, second)[number % 2])
            reload()
            assert presented(server, ca) == ("one", "two")[number % 2]
        assert call(old, "GET", "/healthz")[0] == 200
        old.close()


def test_refused_starts(ca, leaf, tmp_path):
    other = ca.leaf("other")
    none = str(tmp_path / "none.pem")
    for args in (("--tls-cert-file", str(leaf[0])), ("--tls-key-file", str(leaf[1])),
                 ("--tls-cert-file", str(leaf[0]), "--tls-key-file", str(other[1])), ("--tls-cert-file", none, "--tls-key-file", str(leaf[1])),
                 ("--tls-cert-file", str(leaf[0]), "--tls-key-file", none), ("--tls-cert-file", str(leaf[1]), "--tls-key-file", str(leaf[0])),
                 ("--tls-cert-file", str(leaf[0]), "--tls-key-file", str(leaf[1]), "--tls-min-version", "1.0")):
        code, out, err = run_binary("--listen", "127.0.0.1:0", *args, cwd=str(tmp_path))
        assert (code, out) == (2, "") and len(err.strip().split("\n")) == 1 and "tls" in err and "PRIVATE" not in err, err


# ---- towards PostgreSQL ----

@pytest.fixture(scope="module")
def pg(ca):
    server = Postgres()
    present(server, ca.leaf("database", san="IP:127.0.0.1"))
    yield server
    server.destroy()


def present(server, pair):
    """Makes PostgreSQL speak TLS with that certificate."""
    for source, name in zip(pair, ("server.crt", "server.key")):
        shutil.copy(source, server.data / name)
        os.chmod(server.data / name, 0o600)
        if server.user:
            os.chown(server.data / name, server.user["user"], server.user["group"])
    server.psql("ALTER SYSTEM SET ssl = on")
    server.psql("SELECT pg_reload_conf()")
    wait_for(lambda: server.psql("SHOW ssl") == "on", 10, "TLS in PostgreSQL")


def try_connect(client, url):
    return client.post("/v1/connections", {"name": "tls", "url": url, "pool": {"acquire_timeout_seconds": 3}})


def test_verify_full(client, pg, ca, tmp_path):
    verified = f"sslmode=verify-full&sslrootcert={ca.root}"
    try_connect(client, pg.url(query=verified)).expect(201)
    try:
        row = client.post("/v1/sql/fetch-one", {"using": "tls", "sql":
                          "SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"}).expect(200).json()["row"]
        assert row["ssl"] is True and row["version"] in ("TLSv1.2", "TLSv1.3")
        # what is prepared and known goes past libpq where nothing is encrypted; here it may not, and no write would be tried again
        client.put("/v1/models?set=sealed", {"models": [{"model_name": "Sealed", "columns": [
            {"name": "id", "logical_type": "integer", "primary_key": True}]}]}).expect(200)
        client.post("/v1/create-tables", {"using": "tls"}).expect(200)
        for n in range(1, 65):
            client.post("/v1/models/Sealed/records?using=tls", {"id": n}).expect(201)
    finally:
        client.put("/v1/models?set=sealed", {"models": []})
        client.delete("/v1/connections/tls?force=true").expect(204)
    # a chain that leads elsewhere
    stranger = Authority(tmp_path, "stranger")
    refused = [pg.url(query=f"sslmode=verify-full&sslrootcert={stranger.root}")]
    # a name that the certificate does not have
    refused.append(pg.url(query=verified).replace("127.0.0.1", "localhost"))
    for url in refused:
        problem = try_connect(client, url).problem(503, "database_unavailable")
        assert "certificate" in problem["detail"], problem
        assert client.get("/v1/connections/tls").status == 404
    # weaker modes do as they say
    for query in ("sslmode=disable", "sslmode=require", f"sslmode=verify-ca&sslrootcert={ca.root}"):
        try_connect(client, pg.url(query=query)).expect(201)
        client.delete("/v1/connections/tls?force=true").expect(204)


def test_verify_full_follows_the_certificate(client, pg, ca):
    """The chain is checked on each connection: one that has become wrong is refused, and the right one heals it."""
    try_connect(client, pg.url(query=f"sslmode=verify-full&sslrootcert={ca.root}")).expect(201)
    try:
        present(pg, ca.leaf("moved", san="DNS:elsewhere.example"))
        wait_for(lambda: kill_backends(pg) and one(client).status == 503, 15, "the refusal")
        present(pg, ca.leaf("database", san="IP:127.0.0.1"))
        wait_for(lambda: one(client).status == 200, 15, "the recovery")
    finally:
        client.delete("/v1/connections/tls?force=true").expect(204)


def kill_backends(pg):
    pg.psql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_ssl WHERE ssl")
    return True


def one(client: Client):
    return client.post("/v1/sql/fetch-one", {"using": "tls", "sql": "SELECT 1 AS a"})


def test_plain_server_is_refused(client, _postgres, ca):
    answer = try_connect(client, _postgres.url(query=f"sslmode=verify-full&sslrootcert={ca.root}"))
    assert "SSL" in answer.problem(503, "database_unavailable")["detail"]
