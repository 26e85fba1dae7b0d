"""What may be refused is refused before the state is written, whoever comes between."""
import contextlib
import json
import sqlite3
import threading
import time

import pytest

from support import kept
from support.client import Client
from support.process import wait_for


def model(name, **more):
    return {"model_name": name, "columns": [{"name": "id", "logical_type": "integer", "primary_key": True}], **more}


@pytest.fixture(params=["sqlite", "postgres"])
def node(request, tmp_path):
    yield from kept.node(request, tmp_path)


def connect(c, url, name="shop", status=201, **more):
    return c.post("/v1/connections", {"name": name, "url": url, **more}).expect(status).json()


def names(c):
    return {x["name"]: x["origin"] for x in c.get("/v1/catalog").expect(200).json()["connections"]}


@contextlib.contextmanager
def unwritable(node):
    """Who writes the state waits until the end."""
    if node.kind == "postgres":
        with node.pg.asking(node.database) as other:
            other("BEGIN; UPDATE ferrod.meta SET value = value")
            yield
            other("ROLLBACK")
        return
    with contextlib.closing(sqlite3.connect(node.dir / "state.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


class Beside(threading.Thread):
    """A request beside others; .answer is what it got."""

    def __init__(self, node, method, path, body=None):
        super().__init__(daemon=True)
        self.client, self.call, self.answer = Client(node.server.port), (method, path, body), None
        self.start()

    def run(self):
        with self.client as c:
            self.answer = c.request(*self.call)


def in_state(node, sql):
    """What a statement says there; ~ stands before its tables."""
    if node.kind == "postgres":
        return node.pg.psql(sql.replace("~", "ferrod."), node.database)
    with contextlib.closing(sqlite3.connect(node.dir / "state.db")) as db:
        return "\n".join(str(row[0]) for row in db.execute(sql.replace("~", "ferrod_")))


@pytest.mark.parametrize("what", ["session", "transaction"])
def test_nothing_is_begun_on_what_is_being_disconnected(node, tmp_path, what):
    """A disconnect that was found allowed is done once it is kept: what would have refused it is refused meanwhile."""
    c = node.start("--busy-timeout-seconds", "20")
    connect(c, f"sqlite:{tmp_path}/shop.db?mode=rwc")
    with unwritable(node):
        leaving = Beside(node, "DELETE", "/v1/connections/shop")
        for _ in range(1000):
            begun = c.post(f"/v1/{what}s", {"using": "shop"})
            if begun.status != 201:
                break
            if what == "session":    # it was before: the disconnect is asked for again if it met it
                c.delete("/v1/session", headers={"Ferro-Session": begun.header("Ferro-Session")}).expect(204)
            else:
                c.post(f"/v1/transactions/{begun.header('Ferro-Transaction')}/rollback").expect(200)
            if not leaving.is_alive():
                leaving = Beside(node, "DELETE", "/v1/connections/shop")
            time.sleep(0.01)
        assert begun.problem(503, "database_busy")["outcome"] == "not_started"
        c.get("/v1/connections/shop").expect(200)
    leaving.join()
    leaving.answer.expect(204)
    assert "shop" not in names(c) and "shop" not in names(node.again())


@pytest.mark.parametrize("path,body,table", [("/v1/connections", {"name": "shop", "url": "sqlite::memory:"}, "~connections"),
                                             ("/v1/models", {"models": [model("One")]}, "~models")])
def test_what_is_declared_while_it_is_told(node, tmp_path, path, body, table):
    """Is it found allowed, then it is kept, and a reload waits for that; is it refused, then it is not kept."""
    file = tmp_path / "catalog.json"
    file.write_text("{}")
    c = node.start("--catalog", str(file), "--busy-timeout-seconds", "20")
    file.write_text(json.dumps({"connections": [{"name": "shop", "url": "sqlite::memory:"}], "models": [model("One")]}))
    with unwritable(node):
        telling = Beside(node, "POST", path, body)
        if node.kind == "postgres":
            wait_for(lambda: int(node.pg.psql("SELECT count(*) FROM pg_locks WHERE NOT granted", node.database)) > 0, 10, "the telling")
        else:
            time.sleep(0.5)
        reloading = Beside(node, "POST", "/v1/catalog/reload")
        reloading.join(2)
    for one in (telling, reloading):
        one.join()
    reloading.answer.expect(200)
    if telling.answer.status not in (200, 201):
        telling.answer.problem(409, "declared")
    assert in_state(node, f"SELECT count(*) FROM {table}") == str(int(telling.answer.status < 300))
    assert names(c)["shop"] == "declared"
    assert {x["name"]: x["origin"] for x in c.get("/v1/catalog").expect(200).json()["models"]} == {"One": "declared"}
