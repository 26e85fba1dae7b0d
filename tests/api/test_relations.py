"""Relations over HTTP: forward, reverse, one-to-one, many-to-many; self references, keys not named id, composite keys, on_delete."""
import pytest

from support.library import AUTHORS, BOOKS, LINKS, REVIEWS, column, fill, key, model, refer
from support.shared import shared_fixture
from support.tables import create_tables, insert, leaf, query, sql


def with_readers(conn):
    def get(path, **params):
        return conn.client.get(f"/v1/models/{path}", params={**conn.using, **params})
    conn.get = get
    conn.rows = lambda path, **params: get(path, **params).expect(200).json()["rows"]
    conn.row = lambda path, **params: get(path, **params).expect(200).json()["row"]
    return conn


_reading = shared_fixture(fill, with_readers)


@pytest.fixture
def reading(server, _reading):
    """The library that is only read."""
    return _reading


@pytest.fixture
def library(conn):
    """One to write to."""
    fill(conn)
    return with_readers(conn)


def titles(rows):
    return [row["title"] for row in rows]


def test_forward(reading):
    """REL-01: the author of a book; null and keys that are not named id."""
    assert reading.row("Book/records/3/author") == AUTHORS[0]
    assert reading.get("Book/records/3/author").json() == {"row": AUTHORS[0]}
    assert reading.row("Book/records/1/shelf") == {"code": "B,2", "floor": 2}
    assert reading.row("Book/records/2/shelf") is None
    assert reading.row("Author/records/2/boss") == AUTHORS[0] and reading.row("Author/records/1/boss") is None
    assert reading.row("Book/records/3/author", select="name") == {"name": "Grace"}
    assert reading.row("Book/records/3/author", name="eq.Nobody") is None


def test_reverse(reading):
    """REL-02, REL-23: filters, order, pages and totals as in a list."""
    expected = [b for b in BOOKS if b["author_id"] == 2]
    answer = reading.get("Author/records/2/books", order="id").expect(200).json()
    assert answer == {"rows": expected, "row_count": len(expected)}
    assert titles(reading.rows("Author/records/2/books", order="id.desc", limit=2, title="neq.Book 10")) == ["Book 7", "Book 4"]
    assert reading.rows("Author/records/4/books") == []
    assert [r["name"] for r in reading.rows("Author/records/1/reports", order="name")] == ["Ada", "Linus"]
    assert titles(reading.rows("Shelf/records/A%2F1/books", order="id", select="title")) == ["Book 3", "Book 6", "Book 9", "Book 12"]
    assert titles(reading.rows("Shelf/records/B,2/books", order="id", limit=1)) == ["Book 1"]
    answer = reading.client.get("/v1/models/Author/records/2/books", params={**reading.using, "limit": 1, "order": "id"},
                                headers={"Prefer": "count=exact"}).expect(200)
    assert answer.json()["total"] == len(expected) and answer.json()["next_cursor"]
    rest = reading.rows("Author/records/2/books", order="id", limit=99, cursor=answer.json()["next_cursor"])
    assert answer.json()["rows"] + rest == expected


def test_one_to_one(reading):
    """REL-04, REL-05."""
    assert reading.row("Author/records/1/profile") == {"id": 1, "bio": "Admiral", "author_id": 1}
    assert reading.row("Author/records/4/profile") is None
    assert reading.row("Profile/records/2/author")["name"] == "Linus"
    reading.client.post("/v1/models/Profile/records", {"bio": "second", "author_id": 1}, params=reading.using).problem(409, "unique_violation")


def labels(library, book):
    return [row["label"] for row in library.rows(f"Book/records/{book}/tags", order="label")]


def test_many_to_many_reads(reading):
    """REL-17, REL-22: from both sides, with filters and counts."""
    assert labels(reading, 7) == ["c", "python", "rust"] and labels(reading, 8) == []
    books = sorted(link["book_id"] for link in LINKS if link["tag_label"] == "rust")
    assert [row["id"] for row in reading.rows("Tag/records/rust/books", order="id")] == books
    assert [row["id"] for row in reading.rows("Tag/records/rust/books", order="id.desc", limit=2, offset=1)] == books[::-1][1:3]
    assert [row["label"] for row in reading.rows("Book/records/7/tags", weight="gte.2", order="weight")] == ["rust", "python"]
    assert reading.rows("Tag/records/unused/books") == []


def test_many_to_many_writes(library):
    """REL-17, REL-20, REL-21: add, remove, clear; a link that exists is no error and counts nothing."""
    def write(method, path, ids=None):
        body = None if ids is None else {"ids": ids}
        return library.client.request(method, f"/v1/models/{path}", body, params=library.using).expect(200).json()["rows_affected"]
    assert write("PUT", "Book/records/8/tags", ["python", "rust"]) == 2
    assert write("PUT", "Book/records/8/tags", ["python", "c", "c"]) == 1
    assert labels(library, 8) == ["c", "python", "rust"]
    assert write("DELETE", "Book/records/8/tags", ["python", "unused"]) == 1
    assert labels(library, 8) == ["c", "rust"]
    assert write("PUT", "Book/records/8/tags", []) == 0 and write("DELETE", "Book/records/8/tags", []) == 0
    assert write("DELETE", "Book/records/8/tags") == 2 and labels(library, 8) == []
    assert labels(library, 7) == ["c", "python", "rust"]
    assert write("PUT", "Tag/records/unused/books", [1, 2, 3]) == 3
    assert [row["id"] for row in library.rows("Tag/records/unused/books", order="id")] == [1, 2, 3]
    assert write("DELETE", "Tag/records/unused/books", [2]) == 1
    assert write("DELETE", "Tag/records/unused/books") == 2


def test_links_heed_max_affected(library):
    def change(method, body, most, status):
        return library.client.request(method, "/v1/models/Book/records/8/tags", body, params=library.using,
                                      headers={"Prefer": f"max-affected={most}"}).expect(status)
    assert change("PUT", {"ids": ["c", "rust"]}, 1, 409).json()["code"] == "max_affected_exceeded" and labels(library, 8) == []
    assert change("PUT", {"ids": ["c", "rust"]}, 2, 200).header("Preference-Applied") == "max-affected=2"
    assert change("DELETE", None, 1, 409).json()["outcome"] == "rolled_back" and labels(library, 8) == ["c", "rust"]


def test_many_to_many_refusals(reading):
    def put(path, body):
        return reading.client.put(f"/v1/models/{path}", body, params=reading.using)
    put("Book/records/8/tags", {"ids": ["nothing"]}).problem(409, "foreign_key_violation")
    assert put("Book/records/8/tags", {"ids": ["c", None]}).expect(422, "invalid_value").pointers() == ["/ids/1"]
    assert put("Tag/records/c/books", {"ids": [1, "x"]}).expect(422, "invalid_value").pointers() == ["/ids/1"]
    put("Book/records/99/tags", {"ids": ["c"]}).problem(404, "record_not_found")
    put("Book/records/8/nothing", {"ids": ["c"]}).problem(404, "relation_not_found")
    put("Book/records/8/author", {"ids": [1]}).problem(422, "invalid_query")
    put("Book/records/8/tags", {"id": ["c"]}).problem(400, "invalid_request")
    assert labels(reading, 8) == []
    reading.get("Book/records/99/tags").problem(404, "record_not_found")
    reading.get("Book/records/1/nothing").problem(404, "relation_not_found")
    reading.get("Book/records/1/tags", nope="eq.1").problem(422, "unknown_column")


def test_links_in_a_transaction(library):
    """REL-19: seen inside, undone by the rollback; Prefer: tx=rollback too."""
    inside = library.client.transaction(using=library.name)
    inside.put("/v1/models/Book/records/8/tags", {"ids": ["c", "rust"]}).expect(200)
    assert len(inside.get("/v1/models/Book/records/8/tags").expect(200).json()["rows"]) == 2
    inside.post(f"/v1/transactions/{inside.headers['Ferro-Transaction']}/rollback").expect(200)
    assert labels(library, 8) == []
    answer = library.client.put("/v1/models/Book/records/8/tags", {"ids": ["c"]}, params=library.using, headers={"Prefer": "tx=rollback"})
    assert answer.expect(200).json()["rows_affected"] == 1 and labels(library, 8) == []


def test_update_and_delete_through_links(library):
    """A query through a join table changes the linked rows, and those alone."""
    m2m = {"join_table": "book_tags", "source_col": "book_id", "target_col": "tag_label", "source_id": 7}
    client, using = library.client, library.using
    assert client.post("/v1/query/count", {"model_name": "Tag", "where": [], "m2m": m2m}, params=using).expect(200).json() == {"count": 3}
    body = {"query": {"model_name": "Tag", "where": [leaf("weight", ">", 1)], "m2m": m2m}, "set": {"weight": {"$add": 10}}}
    assert client.post("/v1/query/update", body, params=using).expect(200).json() == {"rows_affected": 2}
    assert {r["label"]: r["weight"] for r in library.rows("Tag/records")} == {"python": 13, "rust": 12, "c": 1, "unused": 0}
    gone = client.post("/v1/query/delete", {"model_name": "Tag", "where": [], "m2m": {**m2m, "source_id": 4}}, params=using).expect(200)
    assert gone.json() == {"rows_affected": 1} and len(library.rows("Tag/records")) == 3


def test_composite_keys(library):
    """In URLs as a,b: the columns by name."""
    get, client, using = library.get, library.client, library.using
    assert get("Review/records/3,r2").expect(200).json() == {"book_id": 3, "reader": "r2", "stars": 2}
    made = client.post("/v1/models/Review/records", {"book_id": 7, "reader": "a,b c", "stars": 1}, params=using).expect(201)
    assert client.get(made.header("Location"), params=using).expect(200).json()["reader"] == "a,b c"
    assert get("Review/records/7,a%2Cb%20c").expect(200).json()["stars"] == 1
    assert client.patch("/v1/models/Review/records/3,r2", {"stars": 9}, params=using).expect(200).json()["stars"] == 9
    assert client.put("/v1/models/Review/records/3,new", {"stars": 4}, params=using).expect(201).json() == {
        "book_id": 3, "reader": "new", "stars": 4}
    assert client.put("/v1/models/Review/records/3,new", {"stars": 5}, params=using).expect(200).json()["stars"] == 5
    client.put("/v1/models/Review/records/3,new", {"stars": 5, "reader": "other"}, params=using).problem(422, "invalid_value")
    client.delete("/v1/models/Review/records/3,new", params=using).expect(204)
    client.post("/v1/models/Review/records/3,r1/refresh", params=using).expect(200)
    assert library.row("Review/records/3,r1/book")["title"] == "Book 3"
    for wrong in ("3", "r2,3", "3,r99", ",", "3,"):
        assert get(f"Review/records/{wrong}").status in (404, 422), wrong
    rows = library.rows("Review/records", book_id="eq.2", order="reader")
    assert [r["reader"] for r in rows] == ["r1", "r2", "r3", "r4"]


def test_composite_keys_in_pages_and_writes(library):
    seen, cursor = [], None
    while cursor is not None or not seen:
        more = {"cursor": cursor} if cursor else {}
        page = query(library.client, "Review", order_by=[{"column": "stars", "direction": "desc"}], limit=5, using=library.name,
                     **more).expect(200).json()
        seen += page["rows"]
        cursor = page.get("next_cursor")
    expected = sorted(REVIEWS, key=lambda r: (-r["stars"], r["book_id"], r["reader"]))
    assert seen == expected
    body = {"query": {"model_name": "Review", "where": [], "limit": 2, "order_by": [{"column": "stars"}, {"column": "book_id"}, {"column": "reader"}]},
            "set": {"stars": 0}}
    assert library.client.post("/v1/query/update", body, params={**library.using, "all": "true"}).expect(200).json() == {"rows_affected": 2}
    zero = [(r["book_id"], r["reader"]) for r in library.rows("Review/records", stars="eq.0", order="book_id,reader")]
    assert zero == sorted((r["book_id"], r["reader"]) for r in sorted(REVIEWS, key=lambda r: (r["stars"], r["book_id"], r["reader"]))[:2])


def test_dangling_and_reparented(library):
    """REL-13, and a foreign key that points nowhere is refused where it is written."""
    client, using = library.client, library.using
    assert client.patch("/v1/models/Book/records/3", {"author_id": 2}, params=using).expect(200).json()["title"] == "Book 3"
    assert library.row("Book/records/3/author")["name"] == "Linus"
    problem = client.patch("/v1/models/Book/records/3", {"author_id": 77}, params=using).problem(409, "foreign_key_violation")
    assert problem["outcome"] == "rolled_back"
    client.post("/v1/models/Book/records", {"title": "x"}, params=using).problem(422, "not_null_violation")
    client.delete("/v1/models/Author/records/2", params=using).expect(204)
    assert library.get("Book/records/3").status == 404
    client.delete("/v1/models/Author/records/1", params=using).expect(204)
    assert [r["boss_id"] for r in library.rows("Author/records", order="id")] == [None, None]
    client.delete("/v1/models/Shelf/records/empty", params=using).expect(204)


def test_in_a_session(library):
    """Related rows enter the map of the session that read them, and come from it."""
    session = library.client.session(using=library.name)
    session.get("/v1/models/Author/records/1").expect(200)
    sql(library.client, "UPDATE author SET name = 'changed' WHERE id = 1", using=library.name, verb="execute").expect(200)
    assert session.get("/v1/models/Book/records/3/author").expect(200).json()["row"]["name"] == "Grace"
    assert session.get("/v1/models/Book/records/3").header("Ferro-Identity") == "hit"
    rows = session.get("/v1/models/Author/records/2/books").expect(200).json()["rows"]
    assert session.get(f"/v1/models/Book/records/{rows[0]['id']}").header("Ferro-Identity") == "hit"
    session.delete("/v1/session").expect(204)


@pytest.mark.parametrize("action", ["CASCADE", "RESTRICT", "SET NULL", "SET DEFAULT", "NO ACTION", None])
def test_on_delete(conn, action):
    """Absent means CASCADE."""
    fk = refer("parent", "parent_id", **({} if action is None else {"on_delete": action}))
    child = model("Child", key(), column("parent_id", "integer", nullable=True), foreign_keys=[fk])
    create_tables(conn.client, conn.name, model("Parent", key()), child)
    insert(conn.client, conn.name, "Parent", [{"id": 1}, {"id": 2}])
    insert(conn.client, conn.name, "Child", [{"id": 10, "parent_id": 1}, {"id": 11, "parent_id": 1}, {"id": 12, "parent_id": 2}])
    answer = conn.client.delete("/v1/models/Parent/records/1", params=conn.using)
    rows = [(r["id"], r["parent_id"]) for r in query(conn.client, "Child", using=conn.name, order_by=[{"column": "id"}]).json()["rows"]]
    if action in ("RESTRICT", "NO ACTION"):
        problem = answer.problem(409, "foreign_key_violation")
        assert problem["outcome"] == "rolled_back" and rows == [(10, 1), (11, 1), (12, 2)]
        conn.client.post("/v1/query/delete", {"model_name": "Parent", "where": [leaf("id", "==", 1)]}, params=conn.using).problem(
            409, "foreign_key_violation")
        return
    answer.expect(204)
    assert rows == ([(12, 2)] if action in ("CASCADE", None) else [(10, None), (11, None), (12, 2)])


def test_uuid_relations(conn):
    """REL-10, REL-14, REL-18: uuid keys on both sides, links through uuid columns."""
    one, two = "3f4c4ca7-a7e7-40d6-8d83-8f4ddf3285e6", "00000000-0000-0000-0000-000000000001"
    actor = model("Actor", key("id", "uuid"), column("name", "string"), relations=[
        {"name": "movies", "kind": "many_to_many", "target": "Movie", "through": "actor_movies", "source_column": "actor_id",
         "target_column": "movie_id"}])
    movie = model("Movie", key("id", "uuid"), column("title", "string"), column("lead_id", "uuid", nullable=True),
                  foreign_keys=[refer("actor", "lead_id", related_name="leads")])
    join = model("ActorMovies", key("actor_id", "uuid"), key("movie_id", "uuid"), table_name="actor_movies",
                 foreign_keys=[refer("actor", "actor_id"), refer("movie", "movie_id")])
    create_tables(conn.client, conn.name, actor, movie, join)
    insert(conn.client, conn.name, "Actor", [{"id": one.upper(), "name": "Alice"}])
    insert(conn.client, conn.name, "Movie", [{"id": two, "title": "Matrix", "lead_id": one}])
    put = conn.client.put(f"/v1/models/Actor/records/{one.upper()}/movies", {"ids": [two.upper(), two]}, params=conn.using)
    assert put.expect(200).json() == {"rows_affected": 1}
    row = query(conn.client, "Actor", using=conn.name, include=["movies", "leads"]).expect(200).json()["rows"][0]
    assert [m["id"] for m in row["movies"]] == [two] and [m["id"] for m in row["leads"]] == [two]
    row = query(conn.client, "Movie", [leaf("lead_id", "==", one.upper())], using=conn.name, include=["lead"]).json()["rows"][0]
    assert row["lead"]["name"] == "Alice" and row["lead_id"] == one
    stored = sql(conn.client, "SELECT actor_id, movie_id FROM actor_movies", using=conn.name).json()["rows"]
    assert stored == [{"actor_id": one, "movie_id": two}]
