"""A PostgreSQL server that lies once its statements are prepared and what their rows look like is known: what it says then is
read past libpq (store/driver/postgres/postgres_wire.c)."""
import struct
import time

import pytest

from support.fake_pg import BOOL, INT8, Answer, Refuse, data, message, notice
from support.turns import no_long_turn
from support.vanish import growth_bound
from test_hostile_postgres import COLUMNS, ITEM, ROW, grows_by_less_than, lie  # noqa: F401 (a fixture)

GET = ("GET", "/v1/models/Item/records/1", None)
POST = ("POST", "/v1/models/Item/records", {"name": "one"})
COUNTED = {**ITEM, "columns": [{**ITEM["columns"][0], "autoincrement": True}, *ITEM["columns"][1:]]}
DONE = message(b"C", b"SELECT 1\0")
WIDE = struct.pack("!HI", 4, 1) + b"t" + struct.pack("!I", 0x7ffffff0)


class Turned:
    """Sound until told otherwise: then `raw` stands in for the rows and the tag."""

    def __init__(self, word, tag):
        self.word, self.tag, self.raw = word, tag, None

    def __call__(self, sql):
        if "pg_trigger" in sql and "CASE WHEN" in sql:
            return Answer([("triggers", INT8)], [["2"]])
        if "to_regclass" in sql:
            return Answer([("plain", BOOL)], [["t"]])  # it calls nothing that could leave something in the session
        if not sql.lstrip().upper().startswith(self.word) or "item" not in sql:
            return None
        if isinstance(self.raw, Refuse):
            raise self.raw
        if self.raw is not None:
            return Answer(tag="", before=self.raw)
        return Answer(COLUMNS, [ROW], self.tag)


def warmed(lie, request):
    """A client and a server whose statement has been run by libpq, and past it."""
    turned = Turned("SELECT" if request is GET else "INSERT", "SELECT 1" if request is GET else "INSERT 0 1")
    client, fake = lie(turned)
    client.put("/v1/models", {"models": [COUNTED]}).expect(200)
    go_past(client, fake, turned, request)
    return client, fake, turned


def go_past(client, fake, turned, request):
    """Asks until it goes past libpq: on a busy machine some go by themselves, which were slow before."""
    for _ in range(64):
        before = fake.undescribed
        is_well(client, fake, turned, request)
        if fake.undescribed == before + 1:
            return
    raise AssertionError("it never goes past libpq")


def is_well(client, fake, turned, request):
    turned.raw = None
    answer = client.request(*request)
    assert answer.status in (200, 201) and answer.json()["name"] == "one", answer.body


CELLS = {"too few cells": data(ROW[:3]), "too many cells": data(ROW + ["more"]), "no cells": message(b"D", b"\0\0"),
         "nothing": message(b"D"), "a cell that is no boolean": data(["x"] + ROW[1:]), "a cell that is no JSON": data(["t", "{", "1", "one"]),
         "a cell that is no number": data(["t", "{}", "1x", "one"]), "text that is not UTF-8": data(["t", "{}", "1", b"\xff"]),
         "a cell beyond its row": message(b"D", WIDE + b"x" * 12), "a row that goes on": message(b"D", data(ROW)[5:] + b"x")}
STEPS = {"another kind of message": message(b"T", b"\0\0"), "a description again": message(b"n"), "no kind at all": message(b"\0"),
         "a copy": message(b"G", b"\0\0\0"), "an end without its NUL": message(b"C", b"SELECT 1"), "an end that is empty": message(b"C"),
         "bound once more": message(b"2"), "a length below its own": b"D\0\0\0\3", "a length without end": b"D\xff\xff\xff\xff",
         "a long message of a short kind": b"C\0\1\0\0", "suspended": message(b"s"), "ready in between": message(b"Z", b"I"),
         "an error without an end": message(b"E", b"C23505\0"), "a notice that is empty": message(b"N"), "a setting that is empty": message(b"S")}


@pytest.mark.parametrize("what", [*CELLS, *STEPS])
@pytest.mark.parametrize("request_", [GET, POST], ids=["read", "write"])
def test_what_cannot_be(lie, request_, what):  # noqa: F811
    client, fake, turned = warmed(lie, request_)
    before = fake.connections
    turned.raw = CELLS[what] + DONE if what in CELLS else data(ROW) + STEPS[what] + DONE
    answer = client.request(*request_)
    if request_ is POST:
        assert answer.status in (500, 503) and answer.json()["outcome"] == "unknown", answer.body
    else:  # one of a connection that was lost may be asked again, by itself, where it fails as it does there
        assert answer.status in (200, 400, 500, 503), answer.body
    is_well(client, fake, turned, request_)
    assert fake.connections > before, "the connection was used again"


@pytest.mark.parametrize("request_", [GET, POST], ids=["read", "write"])
def test_an_error_has_its_fields(lie, request_):  # noqa: F811
    client, fake, turned = warmed(lie, request_)
    before = fake.connections
    fields = b"SERROR\0VERROR\0C23505\0Mno\0titem\0nitem_name_key\0cname\0\0"
    turned.raw = message(b"E", fields)
    answer = client.request(*request_, validate=False)
    assert (answer.status, answer.json()["code"]) == (409, "unique_violation"), answer.body
    assert answer.json()["constraint"] == "item_name_key" and answer.json()["sqlstate"] == "23505", answer.body
    assert answer.json().get("outcome", "rolled_back") == "rolled_back"
    is_well(client, fake, turned, request_)
    assert fake.connections == before


@pytest.mark.parametrize("request_", [GET, POST], ids=["read", "write"])
def test_a_last_word(lie, request_):  # noqa: F811
    client, fake, turned = warmed(lie, request_)
    turned.raw = Refuse("57P01", "terminating connection", "FATAL")
    answer = client.request(*request_)
    assert answer.status in (500, 503), answer.body
    if request_ is POST:
        assert answer.json()["outcome"] == "rolled_back", answer.body
    is_well(client, fake, turned, request_)


@pytest.mark.parametrize("kind", ["notices", "notifications", "settings"])
def test_floods_are_dropped(server, lie, kind):  # noqa: F811
    client, fake, turned = warmed(lie, GET)
    one = {"notices": notice("x" * 4000), "notifications": message(b"A", b"\0\0\0\7channel\0" + b"x" * 4000 + b"\0"),
           "settings": message(b"S", b"name\0" + b"x" * 4000 + b"\0")}[kind]
    turned.raw = one * 5000 + data(ROW) + one * 5000 + DONE  # 40 MB
    with grows_by_less_than(server, 16), no_long_turn(client, growth_bound(1)):
        answer = client.request(*GET)
    assert answer.status == 200 and answer.json()["name"] == "one", answer.body
    is_well(client, fake, turned, GET)


def test_rows_in_pieces_and_asides_between_them(lie):  # noqa: F811
    client, fake, turned = warmed(lie, GET)
    before = fake.connections
    turned.raw = notice("one") + data(["t", "{}", "1", "x" * 300000]) + message(b"A", b"\0\0\0\7a\0b\0") + DONE
    assert len(client.request(*GET).json()["name"]) == 300000
    is_well(client, fake, turned, GET)
    assert fake.connections == before


@pytest.mark.parametrize("request_", [GET, POST], ids=["read", "write"])
def test_answers_in_small_pieces(lie, request_):  # noqa: F811
    client, fake, turned = warmed(lie, request_)
    before, undescribed = fake.connections, fake.undescribed
    aside = notice("one") + message(b"A", b"\0\0\0\7a\0b\0") + message(b"S", b"client_encoding\0UTF8\0")
    for fake.pieces in (1, 2, 3, 7):
        turned.raw = aside + data(ROW) + aside + DONE
        answer = client.request(*request_, validate=False)
        assert answer.status in (200, 201) and answer.json()["name"] == "one", answer.body
        turned.raw = aside + message(b"E", b"SERROR\0VERROR\0C23505\0Mno\0\0")
        answer = client.request(*request_, validate=False)
        assert (answer.status, answer.json()["sqlstate"]) == (409, "23505"), answer.body
    fake.pieces = 0
    is_well(client, fake, turned, request_)
    assert fake.connections == before and fake.undescribed > undescribed


@pytest.mark.parametrize("request_", [GET, POST], ids=["read", "write"])
def test_half_a_message_that_came_unasked_is_left_to_libpq(lie, request_):  # noqa: F811
    client, fake, turned = warmed(lie, request_)
    before, undescribed = fake.connections, fake.undescribed
    said = notice("one")
    with fake.lock:
        for connection in fake.open:
            connection.sendall(said[:9])
    time.sleep(0.01)  # or it would not be looked for, and the flight read it as a whole
    fake.owes = said[9:]
    is_well(client, fake, turned, request_)
    assert fake.connections == before and fake.undescribed == undescribed
    go_past(client, fake, turned, request_)
    assert fake.connections == before


@pytest.mark.parametrize("adds, lost", [(notice("one"), 0), (notice("one")[:9], 1), (message(b"Z", b"I"), 1), (message(b"2"), 1)],
                         ids=["a notice", "half a notice", "another end", "another answer"])
@pytest.mark.parametrize("request_", [GET, POST], ids=["read", "write"])
def test_what_follows_the_end(lie, request_, adds, lost):  # noqa: F811
    client, fake, turned = warmed(lie, request_)
    before, fake.adds = fake.connections, adds
    is_well(client, fake, turned, request_)
    fake.adds = b""
    is_well(client, fake, turned, request_)
    assert fake.connections == before + lost


def test_an_id_of_its_own_goes_along_with_its_sequence(lie):  # noqa: F811
    """What puts the sequence behind it is a flight like the insert: no bound has to be lifted for it and set again."""
    client, fake, turned = warmed(lie, POST)
    for n in range(64):
        before, undescribed = len(fake.statements), fake.undescribed
        client.post("/v1/models/Item/records", {"id": n + 1, "name": "one"}, validate=False).expect(201)
        said = fake.statements[before:]
        assert [sql for sql in said if "setval" in sql], said
        if len(said) == 2 and fake.undescribed == undescribed + 2:
            return
    raise AssertionError(said)


def test_a_setting_that_libpq_does_not_know_costs_the_connection(lie):  # noqa: F811
    client, fake, turned = warmed(lie, GET)
    before = fake.connections
    turned.raw = message(b"S", b"client_encoding\0UTF8\0") + data(ROW) + DONE
    assert client.request(*GET).status == 200
    is_well(client, fake, turned, GET)
    assert fake.connections == before
    turned.raw = message(b"S", b"client_encoding\0LATIN1\0") + data(ROW) + DONE
    assert client.request(*GET).status == 200
    is_well(client, fake, turned, GET)
    assert fake.connections == before + 1


def test_a_connection_that_ends_in_mid_message(lie):  # noqa: F811
    client, fake, turned = warmed(lie, POST)

    def cut(sql):
        if sql.startswith("INSERT"):
            fake.answer = turned
            with fake.lock:
                for connection in fake.open:
                    connection.sendall(message(b"D", data(ROW)[5:])[:11])
                    connection.shutdown(2)
        return turned(sql)
    fake.answer = cut
    answer = client.request(*POST)
    assert answer.status == 503 and answer.json()["outcome"] == "unknown", answer.body
    is_well(client, fake, turned, POST)
