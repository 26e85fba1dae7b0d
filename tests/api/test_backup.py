"""Copies of SQLite files, and of the state, taken while they are written: each is one moment of the whole."""
import os
import sqlite3
import stat
import threading

import pytest

from support.client import Client
from support.server import Server, run_binary

ACCOUNTS = {"model_name": "Account", "columns": [{"name": "id", "logical_type": "integer", "primary_key": True},
                                                 {"name": "money", "logical_type": "integer"},
                                                 {"name": "filler", "logical_type": "string", "nullable": True}]}


@pytest.fixture
def house(tmp_path):
    """A server whose sqlite_dir holds everything; .dir, .client."""
    directory = tmp_path / "files"
    directory.mkdir()
    with Server("--sqlite-dir", str(directory), "--default-url", f"sqlite:{directory}/shop.db?mode=rwc",
                "--state-url", f"sqlite:{directory}/state.db?mode=rwc") as server, Client(server.port) as c:
        c.put("/v1/models", {"models": [ACCOUNTS]}).expect(200)
        c.post("/v1/create-tables").expect(200)
        c.post("/v1/models/Account/records", {"records": [{"id": n, "money": 100, "filler": "x" * 2000} for n in range(2000)]}).expect(201)
        c.dir, c.server = directory, server
        yield c


class Movers:
    """Money moves between accounts while they live: the sum stays."""

    def __init__(self, port):
        self.port, self.stop, self.moves = port, threading.Event(), 0
        self.threads = [threading.Thread(target=self.move, args=(n,)) for n in range(4)]

    def move(self, n):
        with Client(self.port, validate=False) as c:
            while not self.stop.is_set():
                steps = [{"op": "sql.execute", "sql": "UPDATE account SET money = money + ? WHERE id = ?", "args": [d, i]}
                         for d, i in ((-1, n), (1, (n * 7 + self.moves) % 2000))]
                c.post("/v1/batch", {"steps": steps}).expect(200)
                self.moves += 1

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for t in self.threads:
            t.join()
        assert self.moves > 0


def sound(path):
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("SELECT count(*), sum(money) FROM account").fetchall() == [(2000, 200000)]


def test_the_copy_is_the_answer(house, tmp_path):
    with Movers(house.server.port):
        for n in range(3):
            answer = house.post("/v1/connections/default/backup").expect(200)
            assert answer.header("Content-Type") == "application/vnd.sqlite3"
            (tmp_path / f"copy{n}.db").write_bytes(answer.body)
            sound(tmp_path / f"copy{n}.db")
    assert not [p for p in os.listdir(house.dir) if "backup" in p]


def test_the_copy_is_restored(house, tmp_path):
    """Written into sqlite_dir under writes, and served from there by another server."""
    with Movers(house.server.port):
        made = house.post("/v1/connections/default/backup", {"path": "copy.db"}).expect(201).json()
    copy = house.dir / "copy.db"
    assert made == {"path": "copy.db", "bytes": copy.stat().st_size} and stat.S_IMODE(copy.stat().st_mode) == 0o600
    sound(copy)
    with Server("--default-url", f"sqlite:{copy}?mode=rw", "--state-url", "") as server, Client(server.port) as c:
        c.put("/v1/models", {"models": [ACCOUNTS]}).expect(200)
        assert c.post("/v1/query/count", {"model_name": "Account"}).expect(200).json()["count"] == 2000
        c.patch("/v1/models/Account/records/1", {"money": 5}).expect(200)


def test_no_file_is_written_over_and_none_elsewhere(house, tmp_path):
    house.post("/v1/connections/default/backup", {"path": "copy.db"}).expect(201)
    house.post("/v1/connections/default/backup", {"path": "copy.db"}).problem(400, "invalid_request")
    house.post("/v1/connections/default/backup", {"path": "shop.db"}).problem(400, "invalid_request")
    for path in (str(tmp_path / "out.db"), "../out.db", "a/../../out.db"):
        house.post("/v1/connections/default/backup", {"path": path}).problem(403, "forbidden")
    os.symlink(tmp_path / "out.db", house.dir / "link.db")
    assert house.post("/v1/connections/default/backup", {"path": "link.db"}).status in (400, 403)
    assert not (tmp_path / "out.db").exists()
    house.post("/v1/connections/default/backup", {"path": ""}).problem(400, "invalid_request")
    house.post("/v1/connections/nothing/backup").problem(404, "connection_not_found")


def test_what_is_no_file(server, postgres_conn):
    c = postgres_conn.client
    c.post(f"/v1/connections/{postgres_conn.name}/backup").problem(400, "invalid_request")
    c.post("/v1/connections", {"name": "memory", "url": "sqlite::memory:"}).expect(201)
    c.post("/v1/connections/memory/backup").problem(400, "invalid_request")
    c.delete("/v1/connections/memory").expect(204)
    c.post("/v1/connections/default/backup", {"path": "x.db"}).problem(403, "forbidden")     # without sqlite_dir


def test_from_the_command_line(house, tmp_path):
    """The database and the state, while they are written; the state is restored."""
    with Movers(house.server.port):
        code, out, err = run_binary("backup", str(house.dir / "shop.db"), str(tmp_path / "shop.db"))
        assert code == 0 and out.endswith("bytes\n"), err
    sound(tmp_path / "shop.db")
    code, _, err = run_binary("backup", "state", str(tmp_path / "state.db"), "--state-url", f"sqlite:{house.dir}/state.db?mode=rwc")
    assert code == 0, err
    (tmp_path / "state.db.key").write_text((house.dir / "state.db.key").read_text())
    with Server("--default-url", f"sqlite:{tmp_path}/shop.db?mode=rw", "--state-url", f"sqlite:{tmp_path}/state.db?mode=rwc") as server, \
            Client(server.port) as c:
        assert [m["name"] for m in c.get("/v1/catalog").json()["models"]] == ["Account"]
        assert c.post("/v1/query/count", {"model_name": "Account"}).expect(200).json()["count"] == 2000
    for wrong in (("backup", str(tmp_path / "none.db"), str(tmp_path / "x.db")), ("backup", str(house.dir / "shop.db"), str(tmp_path / "shop.db")),
                  ("backup", "state", str(tmp_path / "y.db"), "--state-url", "postgres://127.0.0.1/x")):
        code, out, err = run_binary(*wrong)
        assert code == 2 and out == "" and err.count("\n") == 1, (wrong, code, err)
    assert not (tmp_path / "x.db").exists()
