"""Databases whose advisory locks do nothing: it is found out, and rows take their place."""
import threading

import pytest

from nodes.run import make_lame
from support.client import Client
from support.keys import Keys
from support.pg import Postgres
from support.server import Server
from test_acting import rows
from test_acting_role import add_keys, connect, register, set_up, who

ITEM = {"model_name": "Item", "columns": [{"name": "id", "logical_type": "integer", "primary_key": True},
                                          {"name": "note", "logical_type": "string", "nullable": True}]}
LINKS = [ITEM,
         {"model_name": "Tag", "columns": [{"name": "id", "logical_type": "integer", "primary_key": True}],
          "relations": [{"name": "items", "kind": "many_to_many", "target": "Item", "through": "tag_items",
                         "source_column": "tag_id", "target_column": "item_id"}]},
         {"model_name": "TagItem", "table_name": "tag_items",
          "columns": [{"name": "id", "logical_type": "integer", "primary_key": True},
                      {"name": "tag_id", "logical_type": "integer"}, {"name": "item_id", "logical_type": "integer"}]}]


@pytest.fixture(scope="module")
def lame():
    pg = Postgres(allow_system_table_mods="on")
    database = pg.create_database()
    make_lame(pg, database)
    pg.database = database
    yield pg
    pg.destroy()


@pytest.fixture
def c(server, lame):
    with Client(server.port) as client:
        client.post("/v1/connections", {"name": "lame", "url": lame.url(lame.database)}).expect(201)
        yield client
        client.delete("/v1/connections/lame?force=true")


def test_it_is_found_out(c):
    assert c.get("/v1/connections/lame").json()["coordination"] == "lease"
    assert "_ferrod_lease" not in c.post("/v1/introspect", {"using": "lame"}).expect(200).text


def test_others_are_as_they_were(conn):
    assert conn.client.get(f"/v1/connections/{conn.name}").json()["coordination"] == "advisory"


def together(port, calls):
    answers = []

    def send(method, path, body):
        with Client(port) as own:
            answers.append(own.request(method, path, body))
    threads = [threading.Thread(target=send, args=call) for call in calls]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return answers


def test_migrations_take_turns(c, server, lame):
    c.put("/v1/models?set=lame", {"models": [{**ITEM, "model_name": f"T{n}", "table_name": f"t{n}"} for n in range(20)]}).expect(200)
    answers = together(server.port, [("POST", "/v1/migrate", {"using": "lame"})] * 6)
    assert [a.status for a in answers] == [200] * 6, [a.body for a in answers]
    assert sum(len(a.json()["statements"]) > 0 for a in answers) == 1
    c.put("/v1/models?set=lame", {"models": []}).expect(200)


def test_links_and_get_or_create_take_turns(c, server, lame):
    c.put("/v1/models?set=lame", {"models": LINKS}).expect(200)
    c.post("/v1/create-tables", {"using": "lame"}).expect(200)
    c.post("/v1/models/Item/records?using=lame", {"id": 1}).expect(201)
    c.post("/v1/models/Tag/records?using=lame", {"id": 1}).expect(201)
    for a in together(server.port, [("PUT", "/v1/models/Tag/records/1/items?using=lame", {"ids": [1]})] * 8):
        a.expect(200)
    assert lame.psql("SELECT count(*) FROM tag_items", lame.database) == "1"
    for a in together(server.port, [("POST", "/v1/models/Item/get-or-create?using=lame", {"where": {"note": "one"}})] * 8):
        assert a.status in (200, 201), a.body
    assert lame.psql("SELECT count(*) FROM item WHERE note = 'one'", lame.database) == "1"
    c.put("/v1/models?set=lame", {"models": []}).expect(200)


def test_leases_are_taken_under_no_role(lame, tmp_path):
    """Where a connection acts by role, rows of _ferrod_lease are the pool's user's all the same."""
    keys, prefix = Keys(tmp_path), "lame"
    database = lame.create_database()
    make_lame(lame, database)
    set_up(lame, database, prefix)
    lame.psql("ALTER TABLE note_tag DROP CONSTRAINT note_tag_pkey", database)  # without a unique key links take turns
    add_keys(keys, prefix)
    with Server("--default-url", "", "--state-url", "", "--keys-file", str(keys.path)) as server, keys.client(server.port, "boss") as boss, \
            keys.client(server.port, "a") as a:
        assert connect(boss, "app", f"postgres://{prefix}_pool@127.0.0.1:{lame.port}/{database}", default=True).expect(201).json()["coordination"] == "lease"
        register(boss, "app")
        for _ in range(2):
            a.put("/v1/models/note/records/1/tags", {"ids": [1]}).expect(200)
            assert [t["tenant"] for t in rows(a.get("/v1/models/note/records/1/tags"))] == ["a"]
        tx = {"Ferro-Transaction": a.post("/v1/transactions").expect(201).json()["transaction_id"]}
        a.put("/v1/models/note/records/3/tags", {"ids": [1]}, headers=tx).expect(200)
        assert who(a, **tx) == f"{prefix}_a"
        a.post(f"/v1/transactions/{tx['Ferro-Transaction']}/commit").expect(200)
