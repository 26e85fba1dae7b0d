"""The catalog read again: all or nothing, what changes with it, and what is declared beside what is told."""
import signal
import threading

import pytest

from support.catalog import AUTHOR, BOOK, RELATED, catalog, everything, model, reload, shop
from support.client import Client
from support.process import wait_for


# ---- reload ----

def test_reload_tells_what_changed(backend, catalog):
    catalog("a", connections=[shop(backend.url)], models=[AUTHOR, model("Gone"), model("Same")])
    with catalog.start() as server, Client(server.port) as c:
        assert reload(c) == {"added": [], "changed": [], "removed": [],
                             "unchanged": ["connection:shop", "model:Author", "model:Gone", "model:Same"]}
        wider = {**AUTHOR, "columns": AUTHOR["columns"] + [{"name": "born", "logical_type": "integer", "nullable": True}]}
        catalog("a", connections=[shop(backend.url, migrate="updates"), {"name": "second", "url": "sqlite::memory:"}],
                models=[wider, BOOK, model("Same")])
        assert reload(c) == {"added": ["connection:second", "model:Book"], "changed": ["connection:shop", "model:Author"],
                             "removed": ["model:Gone"], "unchanged": ["model:Same"]}
        made = c.post("/v1/models/Author/records", {"name": "x", "born": 1929}).expect(201).json()
        assert made["born"] == 1929
        c.post("/v1/models/Book/records", {"title": "x", "author_id": made["id"]}).expect(201)
        c.get("/v1/models/Gone").problem(404, "model_not_found")
        c.post("/v1/connections/second/check").expect(200)
        catalog("a", connections=[shop(backend.url, migrate="updates")], models=[wider, BOOK, model("Same")])
        assert reload(c)["removed"] == ["connection:second"]
        c.get("/v1/connections/second").problem(404, "connection_not_found")


def test_reload_migrates_what_only_our_members_say(backend, catalog):
    """A change outside of what the reference's models can say is a change."""
    catalog("a", connections=[shop(backend.url, migrate="updates")], models=[AUTHOR])
    with catalog.start() as server, Client(server.port) as c:
        catalog("a", connections=[shop(backend.url, migrate="updates")], models=[{**AUTHOR, "indexes": [
            {"name": "author_named", "columns": ["name"], "unique": True, "where": "id > 1"}]}])
        assert reload(c)["changed"] == ["model:Author"]
        assert [c.post("/v1/models/Author/records", {"id": n, "name": "x"}).status for n in (1, 2, 3)] == [201, 201, 409]


@pytest.mark.parametrize("fault", [{"connections": [{"name": "x"}]}, {"models": [{"model_name": "A"}]}, {"what": 1},
                                   {"keys": [{"name": "x"}]}, {"models": [{**AUTHOR, "columns": []}]}])
def test_reload_is_all_or_nothing(backend, catalog, fault):
    path = catalog("a", connections=[shop(backend.url)], models=[AUTHOR])
    with catalog.start() as server, Client(server.port) as c:
        before = everything(c), c.get("/v1/models").json(), c.get("/v1/catalog").json()["version"]
        session = c.session()
        catalog("a", connections=[{"name": "other", "url": "sqlite:other.db?mode=rwc", "migrate": "create"}], models=[BOOK, AUTHOR])
        faulty = catalog("b", **fault)
        answer = c.post("/v1/catalog/reload")
        assert answer.status in (400, 422) and answer.json()["detail"].startswith(f"{faulty}: /") and answer.pointers()
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: server.events("reload_failed"), 10, "the refusal")
        assert str(faulty) in server.events("reload_failed")[0]["message"]
        assert (everything(c), c.get("/v1/models").json(), c.get("/v1/catalog").json()["version"]) == before
        session.get("/v1/session").expect(200)
        assert not (server.dir / "other.db").exists()
        (catalog.path / "b.json").unlink()
        catalog("a", connections=[shop(backend.url)], models=[AUTHOR])
        reload(c)


def test_sessions_go_on_when_only_limits_change(backend, catalog):
    catalog("a", connections=[shop(backend.url)], models=[AUTHOR])
    with catalog.start() as server, Client(server.port) as c:
        session = c.session()
        tx = session.transaction()
        tx.post("/v1/models/Author/records", {"name": "x"}).expect(201)
        catalog("a", connections=[shop(backend.url, pool={"max_connections": 7, "statement_timeout_seconds": 9})], models=[AUTHOR])
        assert reload(c)["changed"] == ["connection:shop"]
        pool = c.get("/v1/connections/shop").expect(200).json()["pool"]
        assert pool["max_connections"] == 7 and pool["statement_timeout_seconds"] == 9
        tx.post(f"/v1/transactions/{tx.headers['Ferro-Transaction']}/commit").expect(200)
        assert session.get("/v1/models/Author/records").expect(200).json()["row_count"] == 1


def test_sessions_end_when_the_url_changes(sqlite_backend, catalog):
    catalog("a", connections=[shop(sqlite_backend.url)], models=[AUTHOR])
    with catalog.start() as server, Client(server.port) as c:
        session = c.session()
        session.post("/v1/models/Author/records", {"name": "x"}).expect(201)
        catalog("a", connections=[shop(sqlite_backend.url.replace("test.db", "other.db"))], models=[AUTHOR])
        assert reload(c)["changed"] == ["connection:shop"]
        session.get("/v1/models/Author/records").problem(410, "session_expired")
        assert c.get("/v1/models/Author/records").expect(200).json()["row_count"] == 0   # made before it served


def test_a_running_request_ends_in_peace(sqlite_backend, catalog):
    catalog("a", connections=[shop(sqlite_backend.url)], models=[AUTHOR])
    slow = {"sql": "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 3000000) SELECT count(*) AS n FROM c"}
    with catalog.start() as server, Client(server.port) as c:
        answers = []
        runner = threading.Thread(target=lambda: answers.append(Client(server.port).post("/v1/sql/fetch-one", slow)))
        runner.start()
        wait_for(lambda: c.get("/v1/connections/shop").json()["pool"]["in_use"] > 0, 5, "the statement")
        catalog("a", connections=[shop(sqlite_backend.url.replace("test.db", "other.db"))], models=[AUTHOR])
        reload(c)
        runner.join()
        assert answers[0].expect(200).json()["row"] == {"n": 3000000}


def test_reload_under_load_fails_nothing(backend, catalog):
    """Limits change fifty times while sixteen clients read and write."""
    catalog("a", connections=[shop(backend.url)], models=[AUTHOR])
    with catalog.start() as server, Client(server.port) as c:
        stop, bad = threading.Event(), []

        def work(n):
            with Client(server.port) as own:
                while not stop.is_set():
                    for answer in (own.post("/v1/models/Author/records", {"name": str(n)}), own.get("/v1/models/Author/records?limit=3")):
                        if answer.status not in (200, 201):
                            bad.append(answer.body)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for t in threads:
            t.start()
        for n in range(30):
            catalog("a", connections=[shop(backend.url, pool={"max_connections": 3 + n % 5})], models=[AUTHOR, model(f"M{n}")])
            reload(c)
        stop.set()
        for t in threads:
            t.join()
        assert not bad, bad[:3]


# ---- declared is not told ----

def test_what_is_declared_cannot_be_changed_over_the_api(backend, catalog):
    path = str(catalog("a", connections=[shop(backend.url)], models=[AUTHOR, BOOK]))
    with catalog.start() as server, Client(server.port) as c:
        c.post("/v1/connections", {"name": "told", "url": "sqlite::memory:"}).expect(201)
        for answer in (c.post("/v1/connections", {"name": "shop", "url": "sqlite::memory:"}),
                       c.post("/v1/connections", {"name": "new", "url": "sqlite::memory:", "default": True}),
                       c.post("/v1/connections", {"url": "sqlite::memory:"}),
                       c.delete("/v1/connections/shop"), c.delete("/v1/connections/shop?force=true"),
                       c.put("/v1/default-connection", {"name": "told"}),
                       c.delete("/v1/models/Author"), c.post("/v1/models", {"models": [model("Author")]}),
                       c.put("/v1/models", {"models": [model("Told"), model("Author")]})):
            assert path in answer.problem(409, "declared")["detail"]
        assert c.post("/v1/models", {"models": [model("Told"), model("Author")]}).pointers() == ["/models/1"]
        c.put("/v1/default-connection", {"name": "shop"}).expect(200)
        # told ones come and go beside them
        c.put("/v1/models", {"models": [model("One"), model("Two")]}).expect(200)
        assert sorted(everything(c)["models"]) == ["Author", "Book", "One", "Two"]
        c.put("/v1/models", {"models": [model("Two")]}).expect(200)
        assert everything(c)["models"] == {"Author": ("declared", path), "Book": ("declared", path), "Two": ("told", None)}
        c.delete("/v1/models").expect(204)
        assert sorted(everything(c)["models"]) == ["Author", "Book"]
        again = c.get("/v1/models").expect(200).json()
        c.post("/v1/models", {"models": [{**BOOK, "model_name": "Copy", "table_name": "copy", "origin": "declared"}]}).expect(200)
        assert everything(c)["models"]["Copy"] == ("told", None) and again != c.get("/v1/models").json()


def test_what_is_told_gives_way(backend, catalog):
    catalog("a", connections=[shop(backend.url)], models=[AUTHOR])
    with catalog.start() as server, Client(server.port) as c:
        c.post("/v1/connections", {"name": "late", "url": "sqlite::memory:"}).expect(201)
        c.post("/v1/models", {"models": [model("Late", table_name="told_table")]}).expect(200)
        session = c.session(using="late")
        path = str(catalog("b", connections=[{"name": "late", "url": "sqlite::memory:"}], models=[model("Late")]))
        assert reload(c)["added"] == ["connection:late", "model:Late"]
        assert everything(c)["connections"]["late"] == ("declared", path) and everything(c)["models"]["Late"] == ("declared", path)
        assert c.get("/v1/models/Late").json()["table_name"] == "late"
        session.get("/v1/session").problem(410, "session_expired")


def test_a_told_model_that_would_not_fit_refuses_the_reload(sqlite_backend, catalog):
    catalog("a", connections=[shop(sqlite_backend.url)], models=[AUTHOR])
    with catalog.start() as server, Client(server.port) as c:
        c.post("/v1/models", {"models": [RELATED]}).expect(200)      # needs a declared model
        catalog("a", connections=[shop(sqlite_backend.url)], models=[])
        c.post("/v1/catalog/reload").problem(422, "invalid_schema")
        assert sorted(everything(c)["models"]) == ["Author", "Book"]


def test_reset_connects_again(backend, catalog):
    catalog("a", connections=[shop(backend.url)], models=[AUTHOR])
    with catalog.start() as server, Client(server.port) as c:
        c.post("/v1/connections", {"name": "told", "url": "sqlite::memory:"}).expect(201)
        session = c.session()
        session.post("/v1/models/Author/records", {"name": "x"}).expect(201)
        c.post("/v1/reset").expect(204)
        assert list(everything(c)["connections"]) == ["shop"]
        session.get("/v1/session").problem(410, "session_expired")
        assert c.get("/v1/models/Author/records").expect(200).json()["row_count"] == 1
        c.put("/v1/default-connection", {"name": "shop"}).expect(200)
        c.get("/readyz").expect(200)


def test_the_version_changes_with_each_change(backend, catalog):
    catalog("a", connections=[shop(backend.url)], models=[AUTHOR])
    with catalog.start() as server, Client(server.port) as c:
        seen = [c.get("/v1/catalog").json()["version"]]
        for change in (lambda: c.post("/v1/models", {"models": [model("M")]}).expect(200),
                       lambda: c.post("/v1/connections", {"name": "x", "url": "sqlite::memory:"}).expect(201),
                       lambda: c.delete("/v1/connections/x").expect(204), lambda: c.delete("/v1/models/M").expect(204)):
            change()
            seen.append(c.get("/v1/catalog").json()["version"])
        assert len(set(seen)) == 5 and c.get("/v1/catalog").json()["version"] == seen[-1]
