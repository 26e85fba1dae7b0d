"""`ferrod check-config` says what a start would, with the same line, and leaves every file as it is."""
import contextlib
import json
import os
import pathlib
import shutil
import socket
import sqlite3
import subprocess
import tempfile

import pytest

from support.client import Client
from support.server import BINARY, Server, run_binary

NO_STATE = ["--state-url", ""]


def tree(directory):
    """Every file below, as it is."""
    found = {}
    for path in sorted(pathlib.Path(directory).rglob("*")):
        kind = path.lstat()
        found[str(path)] = (kind.st_mode, kind.st_mtime_ns, kind.st_size, path.read_bytes() if path.is_file() else b"")
    return found


def database(path, *statements):
    db = sqlite3.connect(path)
    for statement in statements:
        db.execute(statement)
    db.commit()
    db.close()


def catalog(place, *urls, name="catalog", **more):
    (place / name).mkdir(exist_ok=True)
    file = place / name / f"{len(list((place / name).iterdir()))}.json"
    file.write_text(json.dumps({"connections": [{"name": f"c{i}", "url": url} for i, url in enumerate(urls)], **more}))
    return ["--catalog", str(place / name), *NO_STATE]


# ---- files of databases; each by the catalog and by the default ----

def no_directory(place):
    return f"sqlite:{place}/none/a.db?mode=rwc", "does not exist"


def no_file(place):
    return f"sqlite:{place}/a.db?mode=rw", "does not exist (mode=rwc creates it)"


def no_mode(place):
    return "sqlite:a.db", "does not exist (mode=rwc creates it)"


def read_only(place):
    return f"sqlite:{place}/a.db?mode=ro", "does not exist"


def immutable(place):
    return f"sqlite:{place}/a.db?immutable=true", "does not exist"


def directory(place):
    (place / "a.db").mkdir()
    return f"sqlite:{place}/a.db?mode=rwc", "it is a directory"


def through_a_file(place):
    (place / "a").write_text("")
    return f"sqlite:{place}/a/b.db?mode=rwc", "should be a directory"


def long_name(place):
    return f"sqlite:{place}/{'a' * 300}.db?mode=rwc", "name is too long"


def garbage(place):
    (place / "a.db").write_bytes(b"no database" * 500)
    return f"sqlite:{place}/a.db?mode=rwc", "not a SQLite database"


def damaged(place):
    database(place / "a.db", "CREATE TABLE t (x)")
    with (place / "a.db").open("r+b") as f:
        f.seek(100)
        f.write(b"\xff" * 200)
    return f"sqlite:{place}/a.db", "damaged"


FILES = [no_directory, no_file, no_mode, read_only, immutable, directory, through_a_file, long_name, garbage, damaged]


def both(words, place, said):
    """The check first, which changes nothing; then the start, which says the same."""
    before = tree(place)
    told = []
    for command in (["check-config"], []):
        listen = [] if "--listen" in words else ["--listen", "127.0.0.1:0"]
        code, out, err = run_binary(*command, *listen, *words, cwd=str(place))
        lines = [line for line in err.splitlines() if not line.startswith("{")]  # warnings are the log's
        assert (code, out) == (2, "") and len(lines) == 1 and said in lines[0], (command, code, out, err)
        told.append(lines[0])
        assert command == [] or tree(place) == before
    assert told[0] == told[1]
    return told[0]


@pytest.mark.parametrize("fault", FILES, ids=lambda f: f.__name__)
def test_a_default_whose_file_cannot_be_opened(tmp_path, fault):
    url, said = fault(tmp_path)
    both(["--default-url", url, *NO_STATE], tmp_path, said)


@pytest.mark.parametrize("fault", FILES, ids=lambda f: f.__name__)
def test_a_declared_file_that_cannot_be_opened(tmp_path, fault):
    """With file and pointer; and what stands before it in the catalog is not made."""
    url, said = fault(tmp_path)
    words = catalog(tmp_path, "sqlite::memory:", f"sqlite:{tmp_path}/first.db?mode=rwc", url)
    assert both(words, tmp_path, said).startswith(f"ferrod: {tmp_path}/catalog/0.json: /connections/2/url: ")
    assert not (tmp_path / "first.db").exists()


def linked_file(place):
    database(place / "real.db", "CREATE TABLE t (x)")
    (place / "data/a.db").symlink_to(place / "real.db")


def linked_directory(place):
    (place / "else").mkdir()
    (place / "data/sub").symlink_to(place / "else")


def linked_log(place):
    database(place / "data/a.db", "CREATE TABLE t (x)")
    (place / "data/a.db-wal").symlink_to(place / "else")


@pytest.mark.parametrize("made, path, said", [
    (linked_file, "a.db", "symbolic links"), (linked_directory, "sub/new.db", "symbolic links"), (linked_log, "a.db", "symbolic links"),
    (lambda place: None, "/etc/a.db", "server's own directory"), (lambda place: None, "../a.db", '".."')],
    ids=["file", "directory", "log", "outside", "above"])
def test_the_directory_of_sqlite_files(tmp_path, made, path, said):
    (tmp_path / "data").mkdir()
    made(tmp_path)
    bound = ["--sqlite-dir", str(tmp_path / "data")]
    line = both([*catalog(tmp_path, f"sqlite:{path}?mode=rwc"), *bound], tmp_path, said)
    assert "/connections/0/url: " in line
    both(["--default-url", f"sqlite:{path}?mode=rwc", *NO_STATE, *bound], tmp_path, said)


# ---- the rest of the catalog, addresses, TLS ----

def no_catalog(place):
    return ["--catalog", str(place / "none")], "No such file"


def no_variable(place):
    return catalog(place, "${env:NOT_SET_ANYWHERE}"), "/connections/0/url: "


def no_secret(place):
    return catalog(place, f"postgres://u:${{file:{place}/none}}@h/d"), "/connections/0/url: "


def twice(place):
    catalog(place, "sqlite::memory:")
    return catalog(place, "sqlite::memory:"), "/connections/0/name: "


def bad_name(place):
    return catalog(place, connections=[{"name": "a-b", "url": "sqlite::memory:"}]), "/connections/0/name: "


def bad_model(place):
    column = {"name": "id", "logical_type": "nothing", "primary_key": True}
    return catalog(place, models=[{"model_name": "A", "columns": [column]}]), "/models/0/columns/0/logical_type"


def same_model(place):
    one = {"models": [{"model_name": "A", "columns": [{"name": "id", "logical_type": "integer", "primary_key": True}]}]}
    catalog(place, **one)
    return catalog(place, **one), '/models/0: the schema is invalid: model "A" is there twice'


def bad_key(place):
    return catalog(place, keys=[{"name": "k", "hash": "x", "scopes": ["read"]}]), '/keys/0: "hash" is not'


def no_using(place):
    return catalog(place, introspect=[{"using": "none"}]), "/introspect/0/using: "


def revisions(place):
    return catalog(place, connections=[{"name": "a", "url": "sqlite::memory:", "migrate": "revisions"}]), "/connections/0/migrate: "


def elsewhere(place):
    return ["--listen", "192.0.2.1:8090", "--insecure-no-auth"], "cannot listen on 192.0.2.1:8090: "


def no_port(place):
    return ["--listen", "127.0.0.1:70000"], "want ADDRESS:PORT"


def no_certificate(place):
    return ["--tls-cert-file", "none.pem", "--tls-key-file", "none.pem"], 'cannot read "tls_cert_file"'


def half_of_tls(place):
    return ["--tls-cert-file", "none.pem"], "go together"


REST = [no_catalog, no_variable, no_secret, twice, bad_name, bad_model, same_model, bad_key, no_using, revisions, elsewhere, no_port,
        no_certificate, half_of_tls]


@pytest.mark.parametrize("fault", REST, ids=lambda f: f.__name__)
def test_what_else_a_start_refuses(tmp_path, fault):
    words, said = fault(tmp_path)
    both([*words, *([] if "--state-url" in words else NO_STATE)], tmp_path, said)


# ---- the state ----

def kept(place, name="state.db", **more):
    """A state in which something is kept."""
    with Server("--default-url", f"sqlite:{place}/default.db?mode=rwc", "--state-url", f"sqlite:{place}/{name}?mode=rwc", **more) as server, \
            Client(server.port) as c:
        c.post("/v1/connections", {"name": "kept", "url": f"sqlite:{place}/kept.db?mode=rwc"}).expect(201)
    return f"sqlite:{place}/{name}?mode=rwc"


def state_elsewhere(place):
    return f"sqlite:{place}/none/state.db?mode=rwc", "cannot be made there"


def state_missing(place):
    return f"sqlite:{place}/state.db?mode=rw", "does not exist"


def state_garbage(place):
    return f"sqlite:{garbage(place)[0][7:]}", "not a SQLite database"


def state_newer(place):
    url = kept(place)
    database(place / "state.db", "UPDATE ferrod_meta SET value = '99' WHERE name = 'format'")
    return url, "newer version"


def state_key(place):
    url = kept(place)
    (place / "state.db.key").write_text(run_binary("key", "seal")[1])
    return url, "sealed under another key"


def state_bad_key(place):
    url = kept(place)
    (place / "state.db.key").write_text("short\n")
    return url, "one or two lines"


def state_of_no_life(place):
    url = kept(place)
    database(place / "state.db", "UPDATE ferrod_meta SET value = 'x y' WHERE name = 'life'")
    return url, "no life"


def state_of_half_a_life(place):
    """The number of a cell's bytes counts, not a NUL in it."""
    url = kept(place)
    database(place / "state.db", "UPDATE ferrod_meta SET value = 'ab' || char(0) || 'c' WHERE name = 'life'")
    return url, "no life"


def state_torn(place):
    """It opens, and what is kept in it cannot be read."""
    url = kept(place)
    with contextlib.closing(sqlite3.connect(place / "state.db")) as db:
        (page,), (size,) = (db.execute(ask).fetchone() for ask in ("SELECT rootpage FROM sqlite_schema WHERE name = 'ferrod_meta'", "PRAGMA page_size"))
    with (place / "state.db").open("r+b") as f:
        f.seek((page - 1) * size)
        f.write(b"\xff" * size)
    return url, "damaged"


def state_of_another_shape(place):
    database(place / "state.db", "CREATE TABLE ferrod_meta (x)")
    return f"sqlite:{place}/state.db", "no such column"


STATES = [state_elsewhere, state_missing, state_garbage, state_newer, state_key, state_bad_key, state_of_no_life, state_of_half_a_life, state_torn, state_of_another_shape]


@pytest.mark.parametrize("fault", STATES, ids=lambda f: f.__name__)
def test_a_state_that_cannot_be_opened(tmp_path, fault):
    url, said = fault(tmp_path)
    assert both(["--default-url", "sqlite::memory:", "--state-url", url], tmp_path, said).startswith("ferrod: cannot open the state: ")


@pytest.mark.parametrize("fault", [state_newer, state_key, state_of_no_life], ids=lambda f: f.__name__)
def test_a_state_that_nobody_named(tmp_path, fault):
    """What is there is never taken for nothing; what cannot be made is a warning of the start alone."""
    said = fault(tmp_path)[1]
    for path in list(tmp_path.glob("state.db*")):
        path.rename(path.with_name(path.name.replace("state", "ferrod-state")))
    both(["--default-url", f"sqlite:{tmp_path}/default.db?mode=rwc"], tmp_path, said)


# ---- what is good ----

def good(place, *words):
    before = tree(place)
    assert run_binary("check-config", *words, cwd=str(place)) == (0, "the configuration is valid\n", "")
    assert tree(place) == before


def test_a_check_takes_what_is_to_be_made(tmp_path):
    good(tmp_path)
    good(tmp_path, *catalog(tmp_path, f"sqlite:{tmp_path}/new.db?mode=rwc", "sqlite::memory:"))
    good(tmp_path, "--state-url", f"sqlite:{tmp_path}/state.db?mode=rwc")


@pytest.mark.parametrize("ended", ["stopped", "killed", "running"])
def test_a_check_leaves_what_is_there(tmp_path, ended):
    """Logs that are not emptied, locks that are held: while a server has the files, and after one was killed."""
    words = ["--default-url", f"sqlite:{tmp_path}/default.db?mode=rwc", "--state-url", f"sqlite:{tmp_path}/state.db?mode=rwc"]
    server = Server(*words)
    with Client(server.port) as c:
        c.post("/v1/sql/execute", {"sql": "CREATE TABLE t (x)"}).expect(200)
        c.post("/v1/connections", {"name": "kept", "url": "sqlite::memory:"}).expect(201)
    if ended == "running":
        good(tmp_path, *words, "--listen", f"127.0.0.1:{server.port}")
    server.stop() if ended != "killed" else server.kill()
    good(tmp_path, *words)
    with Server(*words) as again, Client(again.port) as c:
        c.get("/v1/connections/kept").expect(200)


def test_a_journal_that_is_to_be_rolled_back(tmp_path):
    """A start makes the file whole by it; a check neither refuses the file nor touches it."""
    (tmp_path / "copy").mkdir()
    database(tmp_path / "a.db", "CREATE TABLE t (x)", "INSERT INTO t VALUES (1)")
    db = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    for statement in ("PRAGMA cache_size = 1", "BEGIN IMMEDIATE", "CREATE TABLE u (x)"):
        db.execute(statement)
    db.executemany("INSERT INTO u VALUES (?)", [("x" * 3000,)] * 50)  # more than the cache holds
    for name in ("a.db", "a.db-journal"):
        shutil.copy(tmp_path / name, tmp_path / "copy" / name)
    db.close()
    with (tmp_path / "copy/a.db").open("r+b") as torn:
        torn.seek(100)
        torn.write(b"\xff" * 200)
    words = ["--default-url", f"sqlite:{tmp_path}/copy/a.db", *NO_STATE]
    good(tmp_path, *words)
    with Server(*words) as server, Client(server.port) as c:
        assert c.post("/v1/sql/fetch-all", {"sql": "SELECT x FROM t"}).expect(200).json()


# ---- what the server's user may not ----

@pytest.fixture(name="closed")
def closed_place():
    """A directory that the server may read and not write; as an ordinary user, for root may everything."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        place = pathlib.Path(name)
        place.chmod(0o755)
        shutil.copy(BINARY, place / "ferrod")
        (place / "closed").mkdir()
        database(place / "closed/log.db", "PRAGMA journal_mode=WAL", "CREATE TABLE t (x)")
        database(place / "closed/secret.db", "CREATE TABLE t (x)")
        (place / "closed/secret.db").chmod(0)
        (place / "closed").chmod(0o555)
        yield place
        (place / "closed").chmod(0o755)


def ordinary(place, *words):
    """Runs the program as somebody who is not root."""
    who = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
    return subprocess.run([place / "ferrod", *words], cwd="/", capture_output=True, text=True, timeout=30, check=False, env={}, **who)


@pytest.mark.parametrize("url, said", [("new.db?mode=rwc", "may not make it in its directory"), ("secret.db", "may not read it"),
                                       ("log.db?mode=ro", "cannot be written to")])
def test_what_the_server_may_not(closed, url, said):
    told = []
    for command in (["check-config"], ["--listen", "127.0.0.1:0"]):
        done = ordinary(closed, *command, "--default-url", f"sqlite:{closed}/closed/{url}", *NO_STATE)
        assert done.returncode == 2 and said in done.stderr and len(done.stderr.splitlines()) == 1, done
        told.append(done.stderr)
    assert told[0] == told[1]


def test_a_port_that_is_another_users(closed):
    """A low port: refused alike, but by the check not while somebody has it, who may be giving it away."""
    limit = pathlib.Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    if os.geteuid() != 0 or int(limit.read_text()) < 700:
        pytest.skip("needs a port that root alone may take")
    words = ["--default-url", "sqlite::memory:", *NO_STATE]
    with socket.socket() as held:
        for port in range(601, 699):
            try:
                held.bind(("127.0.0.1", port))
                break
            except OSError:
                continue
        listen = ["--listen", f"127.0.0.1:{held.getsockname()[1]}"]
        held.listen()
        assert ordinary(closed, "check-config", *listen, *words).returncode == 0
    told = [ordinary(closed, *command, *listen, *words) for command in (["check-config"], [])]
    assert [x.returncode for x in told] == [2, 2] and told[0].stderr == told[1].stderr and "Permission denied" in told[0].stderr, told
