"""A small library: every kind of relation, self references, keys not named id, composite keys."""
from .tables import create_tables, insert


def column(name, logical, **more):
    return {"name": name, "logical_type": logical, **more}


def key(name="id", logical="integer", **more):
    return column(name, logical, primary_key=True, **more)


def model(name, *columns, **more):
    return {"model_name": name, "columns": list(columns), **more}


def refer(to, via, to_column="id", **more):
    return {"column": via, "to_table": to, "to_column": to_column, **more}


AUTHOR = model("Author", key(), column("name", "string"), column("boss_id", "integer", nullable=True),
               foreign_keys=[refer("author", "boss_id", on_delete="SET NULL", related_name="reports")])
PROFILE = model("Profile", key(), column("bio", "string"), column("author_id", "integer", unique=True),
                foreign_keys=[refer("author", "author_id", related_name="profile")])
SHELF = model("Shelf", key("code", "string", autoincrement=False), column("floor", "integer"))
BOOK = model("Book", key(), column("title", "string"), column("year", "integer", nullable=True), column("author_id", "integer"),
             column("shelf_code", "string", nullable=True),
             foreign_keys=[refer("author", "author_id", on_delete="CASCADE", related_name="books"),
                           refer("shelf", "shelf_code", "code", on_delete="RESTRICT", related_name="books")])
TAG = model("Tag", key("label", "string", autoincrement=False), column("weight", "integer"),
            relations=[{"name": "books", "kind": "many_to_many", "target": "Book", "through": "book_tags", "source_column": "tag_label",
                        "target_column": "book_id"}])
BOOK_TAGS = model("BookTags", key("book_id", "integer", autoincrement=False), key("tag_label", "string", autoincrement=False),
                  table_name="book_tags",
                  foreign_keys=[refer("book", "book_id", on_delete="CASCADE"), refer("tag", "tag_label", "label", on_delete="CASCADE")])
REVIEW = model("Review", key("book_id", "integer", autoincrement=False), key("reader", "string", autoincrement=False), column("stars", "integer"),
               foreign_keys=[refer("book", "book_id", on_delete="CASCADE", related_name="reviews")])
BOOK["relations"] = [
    {"name": "author", "kind": "forward", "target": "Author", "column": "author_id"},
    {"name": "shelf", "kind": "forward", "target": "Shelf", "column": "shelf_code"},
    {"name": "reviews", "kind": "reverse", "target": "Review", "column": "book_id"},
    {"name": "tags", "kind": "many_to_many", "target": "Tag", "through": "book_tags", "source_column": "book_id",
     "target_column": "tag_label"}]
MODELS = [AUTHOR, PROFILE, SHELF, BOOK, TAG, BOOK_TAGS, REVIEW]

AUTHORS = [{"id": 1, "name": "Grace", "boss_id": None}, {"id": 2, "name": "Linus", "boss_id": 1}, {"id": 3, "name": "Ada", "boss_id": 1},
           {"id": 4, "name": "Idle", "boss_id": None}]
PROFILES = [{"id": 1, "bio": "Admiral", "author_id": 1}, {"id": 2, "bio": "Penguins", "author_id": 2}]
SHELVES = [{"code": "A/1", "floor": 1}, {"code": "B,2", "floor": 2}, {"code": "empty", "floor": 0}]
BOOKS = [{"id": n, "title": f"Book {n}", "year": None if n == 5 else 2000 + n % 4, "author_id": 1 + n % 3,
          "shelf_code": ["A/1", "B,2", None][n % 3]} for n in range(1, 13)]
TAGS = [{"label": "python", "weight": 3}, {"label": "rust", "weight": 2}, {"label": "c", "weight": 1}, {"label": "unused", "weight": 0}]
LINKS = [{"book_id": n, "tag_label": label} for n in range(1, 13) for k, label in enumerate(["python", "rust", "c"]) if (n >> k) & 1]
REVIEWS = [{"book_id": n, "reader": f"r{k}", "stars": (n * k) % 5 + 1} for n in range(1, 7) for k in range(1, 5)]
ROWS = {"Author": AUTHORS, "Profile": PROFILES, "Shelf": SHELVES, "Book": BOOKS, "Tag": TAGS, "BookTags": LINKS, "Review": REVIEWS}


def fill(conn):
    create_tables(conn.client, conn.name, *MODELS)
    for name, rows in ROWS.items():
        insert(conn.client, conn.name, name, rows)
