"""Keyset cursors: both directions, every kind of order, stable while rows come and go, tied to filter and order."""
import base64
import json
import random

import pytest

from support.library import column, key, model
from support.shared import shared_tables
from support.tables import insert, leaf, query, sql

ROW = model("Row", key(), column("n", "integer", nullable=True), column("s", "string", nullable=True), column("x", "number", nullable=True),
            column("d", "decimal", nullable=True), column("at", "datetime", nullable=True), column("b", "boolean", nullable=True),
            column("u", "uuid", nullable=True), column("bin", "binary", nullable=True), table_name="row_t")
PAIR = model("Pair", key("a", autoincrement=False), key("b", "string", autoincrement=False), column("n", "integer"))


def rows():
    r = random.Random(7)
    pick = {"n": [1, 2, 3, -5, 2 ** 31 - 1], "s": ["", "a", "ä", "ab", "z'\\\"", "😀", "B"], "x": [0.1, 0.30000000000000004, -1e300, 5], "b": [True, False],
            "d": ["1.5", "0.01", "-3.25", "1000000.5"], "at": ["2026-01-02T03:04:05.000001Z", "2026-01-02T03:04:05Z", "0001-01-01T00:00:00Z"],
            "u": ["3f4c4ca7-a7e7-40d6-8d83-8f4ddf3285e6", "00000000-0000-0000-0000-000000000001"], "bin": ["", "AA==", "/w==", "AP8="]}
    return [{"id": n, **{name: None if r.random() < 0.25 else r.choice(values) for name, values in pick.items()}} for n in range(1, 60)]


_shared = shared_tables(ROW, PAIR)


@pytest.fixture
def conn(server, _shared):
    for table in ("row_t", "pair"):
        sql(_shared.client, f"DELETE FROM {table}", using=_shared.name, verb="execute").expect(200)
    insert(_shared.client, _shared.name, "Row", rows())

    def page(order=(), where=(), cursor=None, limit=7, status=200, name="Row", **more):
        """The pages at a cursor are many: the description is held against the first ones and the refused ones."""
        if cursor is not None:
            more["cursor"] = cursor
        body = {"model_name": name, "where": list(where), "order_by": list(order), "limit": limit, **more}
        return _shared.client.post("/v1/query", body, params=_shared.using, validate=cursor is None or status != 200).expect(status).json()
    _shared.page = page
    return _shared


def forward(conn, order, **more):
    pages, cursor = [], None
    while not pages or cursor:
        page = conn.page(order, cursor=cursor, **more)
        assert (page.get("prev_cursor") is None) == (not pages), "none before the first page"
        pages.append(page)
        cursor = page.get("next_cursor")
        assert len(pages) < 100
    return pages


def ids(pages):
    return [r["id"] for p in pages for r in p["rows"]]


ORDERS = [[], ["id"], ["-id"], ["n"], ["-n"], ["s"], ["-s", "n"], ["x", "-d"], ["at"], ["-at", "b", "s"], ["b"], ["-u"], ["bin"], ["d", "-x", "-id"]]


def terms(order, nulls):
    made = []
    for name in order:
        term = {"column": name.lstrip("-"), "direction": "desc" if name.startswith("-") else "asc"}
        if nulls:
            term["nulls"] = nulls
        made.append(term)
    return made


@pytest.mark.parametrize("nulls", [None, "first", "last"])
def test_every_order_both_ways(conn, nulls):
    """The pages together are the whole answer; walking back gives the same pages in reverse."""
    for order in ORDERS:
        by = terms(order, nulls)
        closed = by + ([] if "id" in [t["column"] for t in by] else [{"column": "id", "direction": "asc"}])
        whole = [r["id"] for r in query(conn.client, "Row", using=conn.name, order_by=closed).expect(200).json()["rows"]]
        pages = forward(conn, by)
        assert ids(pages) == whole, order
        assert [len(p["rows"]) for p in pages[:-1]] == [7] * (len(pages) - 1)
        back, cursor = [], pages[-1]["prev_cursor"]
        while cursor:
            page = conn.page(by, cursor=cursor)
            back.insert(0, page)
            assert page["next_cursor"]
            cursor = page.get("prev_cursor")
        assert ids(back) == whole[:len(whole) - len(pages[-1]["rows"])], order


def test_with_a_filter_and_a_partial_select(conn):
    where = [leaf("n", "IS NOT NULL")]
    whole = [r for r in query(conn.client, "Row", where, using=conn.name, order_by=[{"column": "s"}, {"column": "id"}]).json()["rows"]]
    pages = forward(conn, [{"column": "s"}], where=where, select=["n"], limit=4)
    assert [r for p in pages for r in p["rows"]] == [{"n": r["n"]} for r in whole]
    assert ids(forward(conn, [{"column": "s"}], where=where, limit=1)) == [r["id"] for r in whole]


def test_pages_are_stable_while_rows_come_and_go(conn):
    """What was there all the time is seen exactly once, wherever others are added and removed, the cursor's own row included."""
    by = [{"column": "n"}]
    r, seen, cursor, fresh, gone = random.Random(3), [], None, 1000, set()
    while cursor or not seen:
        page = conn.page(by, cursor=cursor, limit=5)
        seen += [row["id"] for row in page["rows"]]
        cursor = page.get("next_cursor")
        insert(conn.client, conn.name, "Row", [{"id": fresh + k, "n": r.choice([None, 0, 1, 2, 3, 99])} for k in range(3)])
        fresh += 3
        victims = {page["rows"][-1]["id"], r.randint(1, 59)}
        gone |= victims
        conn.client.post("/v1/query/delete", {"model_name": "Row", "where": [leaf("id", "IN", sorted(victims))]}, params=conn.using).expect(200)
        assert len(seen) < 300
    assert len(seen) == len(set(seen))
    assert set(range(1, 60)) - gone <= set(seen)


def test_back_to_the_first_page_sees_what_came(conn):
    first = conn.page([{"column": "id"}])
    second = conn.page([{"column": "id"}], cursor=first["next_cursor"])
    insert(conn.client, conn.name, "Row", [{"id": -1}, {"id": 0}])
    back = conn.page([{"column": "id"}], cursor=second["prev_cursor"])
    assert [r["id"] for r in back["rows"]] == list(range(1, 8)) and back["prev_cursor"]
    assert [r["id"] for r in conn.page([{"column": "id"}], cursor=back["prev_cursor"])["rows"]] == [-1, 0]


def test_composite_keys(conn):
    pairs = [{"a": a, "b": f"{b},ü", "n": (a + b) % 3} for a in range(5) for b in range(5)]
    insert(conn.client, conn.name, "Pair", pairs)
    pages = forward(conn, [{"column": "n"}], name="Pair", limit=4)
    assert [r for p in pages for r in p["rows"]] == sorted(pairs, key=lambda p: (p["n"], p["a"], p["b"]))


def test_the_end(conn):
    """An exact page has no next; deleting everything behind a cursor leaves an empty page."""
    assert "next_cursor" not in conn.page([{"column": "id"}], limit=59)
    assert "next_cursor" in conn.page([{"column": "id"}], limit=58)
    page = conn.page([{"column": "id"}], limit=10)
    conn.client.post("/v1/query/delete", {"model_name": "Row", "where": [leaf("id", ">", 10)]}, params=conn.using).expect(200)
    assert conn.page([{"column": "id"}], limit=10, cursor=page["next_cursor"]) == {"rows": [], "row_count": 0}


def test_long_texts_in_the_order(conn):
    """A cursor holds the values it stands at, however long: no page is lost."""
    sql(conn.client, "DELETE FROM row_t", using=conn.name, verb="execute").expect(200)
    insert(conn.client, conn.name, "Row", [{"id": n, "s": "ü" * 20000 + str(n)} for n in range(1, 6)])
    assert ids(forward(conn, [{"column": "s"}], limit=2)) == [1, 2, 3, 4, 5]


def test_cursors_belong_to_their_query(conn):
    by = [{"column": "n"}]
    cursor = conn.page(by)["next_cursor"]
    conn.page(by, cursor=cursor, limit=3)
    for other in ({"order": [{"column": "n", "direction": "desc"}]}, {"order": [{"column": "s"}]}, {"where": [leaf("id", ">", 0)]}, {"name": "Pair"},
                  {"order": [{"column": "n", "nulls": "first" if conn.backend.name == "postgres" else "last"}]}):
        conn.page(**{"order": by, "cursor": cursor, "status": 422, **({"order": [], **other} if "name" in other else other)})
    conn.page(by, cursor=cursor, offset=1, status=422)
    conn.page(by, cursor=cursor, status=422, distinct=True, select=["n"])
    sealed = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    signature, doc = sealed[:16], json.loads(sealed[16:])

    def forge(text, signed=signature):
        return base64.urlsafe_b64encode(signed + text.encode()).decode().rstrip("=")
    for forged in ("", "x", cursor[:-3], cursor + "A", "!" + cursor, "A" * 20000, forge("{}"), forge(json.dumps(doc), b""), forge(json.dumps(doc), bytes(16)),
                   forge(json.dumps({**doc, "v": []})), forge(json.dumps({**doc, "v": [{}, []]})), forge(json.dumps({**doc, "v": [7, 1]})),
                   forge(json.dumps({**doc, "v": ["'; DROP TABLE row_t", 1]}))):
        answer = query(conn.client, "Row", using=conn.name, order_by=by, limit=3, cursor=forged)
        assert answer.status == 422 and answer.pointers() == ["/cursor"], (forged[:50], answer.body[:200])
