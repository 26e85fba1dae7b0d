"""Eager loading: `include`, nested, each level with its own filter, order and limit; one statement a relation, never one a row."""
import collections
import re

import pytest

from support.library import AUTHORS, BOOKS, LINKS, PROFILES, REVIEWS, SHELVES, TAGS, fill
from support.shared import shared_fixture
from support.tables import insert, leaf, query, sql

AUTHOR = {a["id"]: a for a in AUTHORS}
TAG = {t["label"]: t for t in TAGS}


_library = shared_fixture(fill)


@pytest.fixture
def library(server, _library):
    """Read only; server watches over the process."""
    def rows(model, include, *where, **more):
        more.setdefault("order_by", [{"column": "id"}])
        return query(_library.client, model, where, using=_library.name, include=include, **more).expect(200).json()["rows"]
    _library.rows = rows
    return _library


def tags_of(book, *, reverse=False):
    return sorted((TAG[link["tag_label"]] for link in LINKS if link["book_id"] == book), key=lambda t: t["weight"], reverse=reverse)


def test_to_one(library):
    shelves = {s["code"]: s for s in SHELVES}
    expected = [{**b, "author": AUTHOR[b["author_id"]], "shelf": shelves.get(b["shelf_code"])} for b in BOOKS]
    assert library.rows("Book", ["author", "shelf"]) == expected
    profiles = {p["author_id"]: p for p in PROFILES}
    assert library.rows("Author", ["profile", "boss"]) == [
        {**a, "profile": profiles.get(a["id"]), "boss": AUTHOR.get(a["boss_id"])} for a in AUTHORS]


def test_to_many(library):
    got = library.rows("Author", [{"relation": "books", "order_by": [{"column": "id", "direction": "desc"}]}, "reports"])
    for author, row in zip(AUTHORS, got):
        assert row["books"] == [b for b in reversed(BOOKS) if b["author_id"] == author["id"]]
        assert sorted(r["id"] for r in row["reports"]) == [a["id"] for a in AUTHORS if a["boss_id"] == author["id"]]
    assert got[3]["books"] == [] and got[3]["reports"] == []


def test_many_to_many(library):
    got = library.rows("Book", [{"relation": "tags", "order_by": [{"column": "weight"}]}])
    assert got == [{**b, "tags": tags_of(b["id"])} for b in BOOKS]
    got = library.rows("Tag", [{"relation": "books", "order_by": [{"column": "id"}], "select": ["id"]}], order_by=[{"column": "label"}])
    assert got == [{**t, "books": [{"id": link["book_id"]} for link in LINKS if link["tag_label"] == t["label"]]}
                   for t in sorted(TAGS, key=lambda t: t["label"])]


def test_filter_order_and_limit_of_each_level_hold_for_each_parent(library):
    include = [{"relation": "books", "where": [leaf("year", ">=", 2001)], "order_by": [{"column": "year", "direction": "desc"}, {"column": "id"}],
                "limit": 2, "include": [
                    {"relation": "tags", "order_by": [{"column": "weight", "direction": "desc"}], "limit": 1},
                    {"relation": "reviews", "where": [leaf("stars", ">", 1)], "order_by": [{"column": "stars", "direction": "desc"}, {"column": "reader"}],
                     "limit": 2, "offset": 1, "select": ["book_id", "reader", "stars"]}]}]
    got = library.rows("Author", include)
    for author, row in zip(AUTHORS, got):
        books = sorted((b for b in BOOKS if b["author_id"] == author["id"] and (b["year"] or 0) >= 2001), key=lambda b: (-b["year"], b["id"]))[:2]
        for book, seen in zip(books, row["books"]):
            reviews = sorted((r for r in REVIEWS if r["book_id"] == book["id"] and r["stars"] > 1), key=lambda r: (-r["stars"], r["reader"]))
            assert seen == {**book, "tags": tags_of(book["id"], reverse=True)[:1], "reviews": reviews[1:3]}
        assert len(row["books"]) == len(books)


@pytest.mark.parametrize("limit, offset", [(0, 0), (1, 0), (3, 0), (3, 2), (None, 2), (99, 3), (2 ** 63 - 1, 1)])
def test_limit_and_offset_by_parent(library, limit, offset):
    """Without an order of its own the key's order decides which rows a limit keeps."""
    page = {"offset": offset, **({} if limit is None else {"limit": limit})}
    end = None if limit is None else offset + limit
    for row in library.rows("Author", [{"relation": "books", **page}]):
        assert [b["id"] for b in row["books"]] == [b["id"] for b in BOOKS if b["author_id"] == row["id"]][offset:end]
    for row in library.rows("Book", [{"relation": "tags", "order_by": [{"column": "weight"}], **page}]):
        assert row["tags"] == tags_of(row["id"])[offset:end]


def test_nested_four_levels(library):
    include = [{"relation": "author", "include": [{"relation": "reports", "order_by": [{"column": "id"}], "include": [
        {"relation": "books", "order_by": [{"column": "id"}], "limit": 1, "include": ["shelf"]}]}]}]
    row = library.rows("Book", include, leaf("id", "==", 3))[0]
    assert row["author"]["name"] == "Grace" and [r["id"] for r in row["author"]["reports"]] == [2, 3]
    assert [[b["id"] for b in r["books"]] for r in row["author"]["reports"]] == [[1], [2]]
    assert row["author"]["reports"][0]["books"][0]["shelf"] == {"code": "B,2", "floor": 2}
    assert row["author"]["reports"][1]["books"][0]["shelf"] is None


def test_first_pages_and_totals(library):
    answer = query(library.client, "Book", [leaf("id", ">", 4)], "/first", library.name, include=["author"], order_by=[{"column": "id"}])
    assert answer.expect(200).json()["row"] == {**BOOKS[4], "author": AUTHOR[BOOKS[4]["author_id"]]}
    assert query(library.client, "Book", [leaf("id", ">", 99)], "/first", library.name, include=["author"]).json() == {"row": None}
    assert query(library.client, "Book", [leaf("id", ">", 99)], "", library.name, include=["author", "tags"]).json() == {"rows": [], "row_count": 0}
    cursor, seen = None, []
    while cursor or not seen:
        more = {"cursor": cursor} if cursor else {}
        page = query(library.client, "Book", [], "", library.name, include=["author"], order_by=[{"column": "year"}], limit=5, **more).expect(200).json()
        seen += page["rows"]
        cursor = page.get("next_cursor")
    assert sorted(r["id"] for r in seen) == [b["id"] for b in BOOKS] and all(r["author"] == AUTHOR[r["author_id"]] for r in seen)


def test_partial_selects(library):
    got = library.rows("Book", [{"relation": "author", "select": ["name"]}, {"relation": "tags", "select": ["weight"], "order_by": [{"column": "label"}]}],
                       select=["id", "author_id"], limit=1)
    assert got == [{"id": 1, "author_id": 2, "author": {"name": "Linus"}, "tags": [{"weight": 3}]}]
    answer = query(library.client, "Book", include=["author"], select=["title"], using=library.name)
    assert "author_id" in answer.problem(422, "invalid_query")["detail"]
    lines = library.client.post("/v1/query", {"model_name": "Book", "include": ["author"], "limit": 2, "order_by": [{"column": "id"}]},
                                params=library.using, headers={"Accept": "application/x-ndjson"}).expect(200)
    assert '"author":{' in lines.text.splitlines()[0]
    library.client.post("/v1/query", {"model_name": "Book", "include": ["author"]}, params=library.using,
                        headers={"Accept": "text/csv"}).problem(422, "invalid_query")


REFUSED = [
    (["nothing"], "/include/0"), ([{"relation": "nothing"}], "/include/0/relation"), ([{"where": []}], "/include/0"), ([5], "/include/0"),
    ("author", "/include"), (["author", "author"], "/include/1"), ([{"relation": "author", "where": [leaf("nope", "==", 1)]}], "/include/0/where/0/column"),
    ([{"relation": "author", "include": ["nope"]}], "/include/0/include/0"), ([{"relation": "author", "limit": -1}], "/include/0/limit"),
    ([{"relation": "tags", "distinct": True}], "/include/0"), ([{"relation": "tags", "aggregates": [{"fn": "count", "as": "n"}]}], "/include/0"),
    ([{"relation": "tags", "lock": "update"}], "/include/0"), ([{"relation": "tags", "cursor": "abc"}], "/include/0"),
    ([{"relation": "tags", "m2m": {"join_table": "book_tags", "source_col": "book_id", "target_col": "tag_label", "source_id": 1}}], "/include/0")]


def test_refusals(library):
    wrong = []
    for include, pointer in REFUSED:
        answer = query(library.client, "Book", using=library.name, include=include)
        if answer.status != 422 or not any(p.startswith(pointer) for p in answer.pointers()):
            wrong.append((include, pointer, answer.status, answer.body[:200]))
    assert not wrong, "\n".join(map(str, wrong))


def test_identity_map_answers_included_rows(library):
    session = library.client.session(using=library.name)
    session.get("/v1/models/Author/records/2").expect(200)
    rename = "UPDATE author SET name = '{}' WHERE id = 2"
    sql(library.client, rename.format("changed"), using=library.name, verb="execute").expect(200)
    body = {"model_name": "Book", "where": [leaf("id", "==", 1)], "include": ["author", "tags"]}
    row = session.post("/v1/query", body).expect(200).json()["rows"][0]
    assert row["author"]["name"] == "Linus"
    assert session.get("/v1/models/Tag/records/python").header("Ferro-Identity") == "hit"
    row = session.post("/v1/query", body, headers={"Cache-Control": "no-cache"}).expect(200).json()["rows"][0]
    assert row["author"]["name"] == "changed"
    sql(library.client, rename.format("Linus"), using=library.name, verb="execute").expect(200)
    session.delete("/v1/session").expect(204)


def test_one_statement_a_relation(postgres_conn):
    """Counted by the database: as many statements as there are relations, however many rows."""
    conn = postgres_conn
    fill(conn)
    insert(conn.client, conn.name, "Book", [{"id": n, "title": f"Book {n}", "author_id": 1 + n % 3} for n in range(100, 400)])
    pg, log = conn.backend.pg, conn.backend.pg.log
    pg.psql(f"ALTER DATABASE {conn.backend.database} SET log_statement = 'all'")
    name = f"{conn.name}_logged"
    conn.client.post("/v1/connections", {"name": name, "url": conn.backend.url}).expect(201)
    include = ["author", "shelf", {"relation": "tags", "limit": 1}, {"relation": "reviews", "include": [{"relation": "book", "include": ["tags"]}]}]
    for _ in range(2):
        before = len(log.read_text())
        rows = query(conn.client, "Book", using=name, include=include).expect(200).json()["rows"]
        assert len(rows) == 312
    text = log.read_text()[before:]
    tables = collections.Counter(re.findall(r'(?:statement|execute [^:]*): SELECT .*? FROM (?:\(SELECT .*? FROM )?"(\w+)"', text))
    assert tables == {"book": 2, "author": 1, "shelf": 1, "tag": 2, "review": 1}, text[-4000:]
    conn.client.delete(f"/v1/connections/{name}?force=true").expect(204)


def test_many_parents(conn):
    """More parents than a statement takes values."""
    fill(conn)
    insert(conn.client, conn.name, "Author", [{"id": n, "name": f"a{n}"} for n in range(100, 12100)])
    insert(conn.client, conn.name, "Profile", [{"author_id": n, "bio": f"b{n}"} for n in range(100, 12100)])
    rows = query(conn.client, "Author", [leaf("id", ">=", 100)], using=conn.name, include=["profile", {"relation": "books", "limit": 1}],
                 order_by=[{"column": "id"}]).expect(200).json()["rows"]
    assert len(rows) == 12000 and all(r["profile"]["bio"] == f"b{r['id']}" and r["books"] == [] for r in rows)
