"""The console with databases that exist already: views, keys of several columns, other schemas, virtual tables, warnings."""
import contextlib
import sqlite3

import pytest

from support import browser as chromium
from support.client import Client
from support.console import go, rows, shot
from support.pg import Postgres
from support.server import Server

pytestmark = pytest.mark.skipif(bool(chromium.missing()), reason=f"not installed: {chromium.missing()}")

SQLITE = """
CREATE TABLE account (region TEXT NOT NULL, no INTEGER NOT NULL, note TEXT, PRIMARY KEY (region, no));
CREATE TABLE line (id INTEGER PRIMARY KEY, big INTEGER, region TEXT, no INTEGER, twice INTEGER GENERATED ALWAYS AS (id * 2),
    FOREIGN KEY (region, no) REFERENCES account (region, no));
CREATE VIEW seen AS SELECT id, region FROM line;
CREATE VIRTUAL TABLE words USING fts5(text);
CREATE TRIGGER stamp AFTER DELETE ON line BEGIN SELECT 1; END;
INSERT INTO account VALUES ('eu', 1, 'a'), ('eu/x, y', 2, 'b'), ('', 3, 'c');
INSERT INTO line (id, big, region, no) VALUES (1, 9007199254740993, 'eu', 1), (2, 2, 'eu/x, y', 2);
INSERT INTO words VALUES ('one two');
CREATE TABLE tag (name TEXT PRIMARY KEY);
INSERT INTO tag VALUES (''), ('a');
"""
POSTGRES = """
CREATE SCHEMA billing;
CREATE TABLE billing.account (region text NOT NULL, no int NOT NULL, note text, PRIMARY KEY (region, no));
CREATE TABLE account (id int PRIMARY KEY, secret text);
CREATE TABLE line (id int PRIMARY KEY, big bigint, region text, no int, twice int GENERATED ALWAYS AS (id * 2) STORED,
    FOREIGN KEY (region, no) REFERENCES billing.account);
CREATE VIEW seen AS SELECT id, region FROM line;
CREATE MATERIALIZED VIEW sums AS SELECT region, count(*) AS n FROM line GROUP BY 1;
CREATE TABLE log (at date, n int, PRIMARY KEY (at, n)) PARTITION BY RANGE (at);
CREATE TABLE log_rest PARTITION OF log DEFAULT;
CREATE TRIGGER stamp BEFORE UPDATE ON line FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
INSERT INTO billing.account VALUES ('eu', 1, 'a'), ('eu/x, y', 2, 'b'), ('', 3, 'c');
INSERT INTO account VALUES (1, 's');
INSERT INTO line (id, big, region, no) VALUES (1, 9007199254740993, 'eu', 1), (2, 2, 'eu/x, y', 2);
INSERT INTO log VALUES ('2026-01-02', 1);
REFRESH MATERIALIZED VIEW sums;
CREATE TABLE tag (name text PRIMARY KEY);
INSERT INTO tag VALUES (''), ('a');
"""
MODELS = {"sqlite": {"account", "line", "seen", "tag", "words"}, "postgres": {"account", "billing.account", "line", "seen", "sums", "log", "tag"}}


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def served(request):
    """The server, with one of the databases as its default connection: .kind, .account (the model with the key of two)."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(Server())
        if request.param == "sqlite":
            url = f"sqlite:{server.dir}/shop.db?mode=rw"
            with contextlib.closing(sqlite3.connect(f"{server.dir}/shop.db")) as db:
                db.executescript(SQLITE)
        else:
            postgres = Postgres()
            stack.callback(postgres.destroy)
            url = postgres.url(postgres.create_database())
            postgres.psql(POSTGRES, url.rsplit("/", 1)[-1])
        with Client(server.port) as client:
            client.post("/v1/connections", {"name": "shop", "url": url, "default": True}).expect(201)
        server.kind, server.account = request.param, "account" if request.param == "sqlite" else "billing.account"
        yield server


@pytest.fixture
def registered(served, page):
    """All of it registered, as the console does it."""
    go(page, "models")
    if served.kind == "postgres":
        page.type("#introspect-schemas", "public, billing")
        page.click("#introspect-materialized_view")
        page.type("#introspect-exclude", "account.secret")
    page.click("#introspect-register")
    page.click("#introspect")
    page.wait("return document.querySelectorAll('nav.side a').length === arguments[0]", len(MODELS[served.kind]))
    return page


def structure(page):
    """{column: [type, flags]} of the model that is shown."""
    page.run("document.querySelector('.detail details').open = true")
    return {name: more for name, *more in rows(page, ".detail details")}


def tags(page):
    return page.run("return [...document.querySelectorAll('.detail h2 .tag')].map((tag) => tag.textContent)")


def test_tables_are_read_shown_and_registered(served, registered):
    listed = registered.run("return [...document.querySelectorAll('nav.side a')].map((a) => a.textContent)")
    assert set(listed) == MODELS[served.kind]
    warned = registered.run("return [...document.querySelectorAll('#live .notice.warn')].map((n) => n.textContent)")
    assert any("not_expressible" in text and "trigger" in text for text in warned)
    kinds = registered.run("return Object.fromEntries([...document.querySelectorAll('#live summary')].map((s) => "
                           "[s.firstChild.textContent, [...s.querySelectorAll('.tag')].map((t) => t.textContent)]))")
    assert "view" in kinds["seen"] and "without a key" in kinds["seen"] and kinds["line"] == []
    if served.kind == "postgres":
        assert kinds["billing.account"] == ["schema billing"] and "partitioned" in kinds["log"]
        assert {"materialized view", "only read", "without a key"} <= set(kinds["sums"])
        with Client(served.port) as client:
            assert [c["name"] for c in client.get("/v1/models/account").json()["columns"]] == ["id"]
    else:
        assert kinds["words"][0] == "virtual"
    shot(registered, f"tables-{served.kind}")


def test_columns_in_the_tables_order_with_keys_and_what_fills_them(served, registered):
    go(registered, f"models/{served.account}")
    registered.wait("return document.querySelector('.detail h2')?.textContent.startsWith(arguments[0])", served.account)
    found = structure(registered)
    assert list(found) == ["region", "no", "note"]
    assert found["no"][1].startswith("key, part 1 of 2") and found["region"][1].startswith("key, part 2 of 2")
    assert tags(registered) == (["schema billing"] if served.kind == "postgres" else [])
    go(registered, "models/line")
    registered.wait("return document.querySelector('.detail h2')?.textContent.startsWith('line')")
    found = structure(registered)
    assert list(found)[:2] == ["id", "big"] and "generated" in found["twice"][1]
    assert found["no"][1].endswith("account.no") and found["region"][1].endswith("account.region")
    shot(registered, f"structure-{served.kind}")


def test_a_record_by_a_key_of_two_columns_and_what_is_related(served, registered):
    go(registered, f"models/{served.account}")
    listed = rows(registered, ".records")
    assert sorted(listed) == [["(empty)", "3", "c"], ["eu", "1", "a"], ["eu/x, y", "2", "b"]]
    registered.run("[...document.querySelectorAll('.records tbody a')].find((a) => a.textContent === '(empty)').click()")
    assert [row[:2] for row in rows(registered, ".record")] == [["region", ""], ["no", "3"], ["note", "c"]]
    go(registered, f"models/{served.account}")
    rows(registered, ".records")
    registered.run("[...document.querySelectorAll('.records tbody a')].find((a) => a.textContent === 'eu/x, y').click()")
    assert [row[:2] for row in rows(registered, ".record")] == [["region", "eu/x, y"], ["no", "2"], ["note", "b"]]
    registered.run("document.querySelector('.record details[data-relation]').open = true")
    related = rows(registered, ".record details[data-relation]")
    assert [row[:4] for row in related] == [["2", "2", "eu/x, y", "2"]]
    shot(registered, f"record-{served.kind}")
    registered.run("document.querySelector('.record details[data-relation] tbody a').click()")
    registered.wait("return document.querySelector('.detail h2')?.textContent.startsWith('line')")
    registered.run("document.querySelector('.record details[data-relation]').open = true")
    assert rows(registered, ".record details[data-relation]") == [["eu/x, y", "2", "b"]]


def test_views_and_what_has_no_key_are_listed_without_links(served, registered):
    for name in sorted(MODELS[served.kind] - {"account", "billing.account", "line", "log", "tag", "words"}):
        go(registered, f"models/{name}")
        registered.wait("return document.querySelector('.detail h2')?.textContent.startsWith(arguments[0])", name)
        assert len(rows(registered, ".records")) == 2
        assert registered.run("return document.querySelectorAll('.records tbody a').length") == 0
        shot(registered, f"{name}-{served.kind}")


def test_a_key_that_is_an_empty_text_leads_nowhere(registered):
    go(registered, "models/tag")
    registered.wait("return document.querySelector('.detail h2')?.textContent.startsWith('tag')")
    assert sorted(rows(registered, ".records")) == [[""], ["a"]]
    assert registered.run("return [...document.querySelectorAll('.records tbody a')].map((a) => a.textContent)") == ["a"]


def test_large_numbers_keep_their_digits_and_columns_of_one_name_their_values(served, registered):
    go(registered, "models/line")
    registered.wait("return document.querySelector('.detail h2')?.textContent.startsWith('line')")
    assert rows(registered, ".records")[0][1] == "9007199254740993"
    go(registered, "query")
    registered.type("#sql", "SELECT id, big, id AS big FROM line ORDER BY id LIMIT 1")
    registered.type("#args", "[]")
    registered.click("#run")
    assert rows(registered, "#result") == [["1", "9007199254740993", "1"]]
    registered.type("#sql", "SELECT id, big AS large FROM line WHERE id > 9")
    registered.click("#run")
    registered.wait("return document.querySelector('#result th:nth-child(2)')?.textContent.startsWith('large')")
    if served.kind == "postgres":
        registered.type("#sql", "DO $$ BEGIN RAISE NOTICE 'hello'; END $$")
        registered.click("#run")
        registered.wait("return document.querySelector('#result .notice')?.textContent.includes('hello')")
