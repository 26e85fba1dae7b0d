"""Times that others wrote into SQLite: found, ordered, paged and written in their own spelling."""
import datetime
import sqlite3

import pytest

from support.client import Client
from support.schema import run
from support.server import Server

MOMENTS = [datetime.datetime(2026, 1, 1, 8), datetime.datetime(2026, 1, 2, 9), datetime.datetime(2026, 1, 2, 9, 0, 0, 500000),
           datetime.datetime(2026, 1, 2, 23), datetime.datetime(2026, 1, 3, 0, 0, 0, 250000), datetime.datetime(1969, 12, 31, 23, 59, 59)]
EPOCH = datetime.datetime(1970, 1, 1)


def fraction(t):
    return t.strftime(".%f").rstrip("0") if t.microsecond else ""


def micros(t):
    return (t - EPOCH) // datetime.timedelta(microseconds=1)


FORMS = {
    "ferrod": lambda t: t.strftime("%Y-%m-%dT%H:%M:%S.%f"),
    "iso": lambda t: t.strftime("%Y-%m-%dT%H:%M:%S") + fraction(t),
    "iso_z": lambda t: t.strftime("%Y-%m-%dT%H:%M:%S") + fraction(t) + "Z",
    "space": lambda t: t.strftime("%Y-%m-%d %H:%M:%S") + (t.strftime(".%f") if t.microsecond else ""),
    "space3": lambda t: t.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3],
    "space6": lambda t: t.strftime("%Y-%m-%d %H:%M:%S.%f"),
    "js": lambda t: t.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
    "offset": lambda t: t.strftime("%Y-%m-%dT%H:%M:%S") + (t.strftime(".%f") if t.microsecond else "") + "+00:00",
    "unix": lambda t: micros(t) // 1000000 if t.microsecond == 0 else micros(t) / 1e6,
    "unix_ms": lambda t: micros(t) // 1000,
    "unix_us": lambda t: micros(t),
    "julian": lambda t: micros(t) / 86400e6 + 2440587.5,
}
WHOLE = {"space": "space", "iso_z": "iso"}  # of those, the spelling is told from rows without a fraction


def house_with(tmp_path, client, values, declared="datetime"):
    path = tmp_path / "times.db"
    with sqlite3.connect(path) as db:
        db.execute(f"CREATE TABLE post (id integer PRIMARY KEY, at {declared}, n integer)")
        db.executemany("INSERT INTO post (id, at) VALUES (?, ?)", values)
    db.close()
    client.post("/v1/connections", {"name": "f", "url": f"sqlite:{path}", "default": True}).expect(201)
    client.path = path
    client.post("/v1/introspect", {"register": True}).expect(200)
    return client


@pytest.fixture
def client():
    with Server() as server, Client(server.port) as c:
        yield c


def spelling(c):
    columns = c.get("/v1/models/post").expect(200).json()["columns"]
    return next(column for column in columns if column["name"] == "at").get("spelling", "ferrod")


def stored(c, number):
    with sqlite3.connect(c.path) as db:
        value = db.execute("SELECT at FROM post WHERE id = ?", (number,)).fetchone()[0]
    db.close()
    return value


def ids(c, query):
    return [row["id"] for row in c.get(f"/v1/models/post/records?{query}").expect(200).json()["rows"]]


def walk(c, direction, limit):
    path, seen = f"/v1/models/post/records?order=at{direction}&limit={limit}", []
    page = c.get(path).expect(200).json()
    while True:
        seen += [row["id"] for row in page["rows"]]
        if page.get("next_cursor") is None:
            return seen
        assert len(seen) < 100, seen
        page = c.get(f"{path}&cursor={page['next_cursor']}").expect(200).json()


def usable(form):
    """Moments that the form can hold exactly, and so that nobody would take the number for another unit's."""
    return [t for t in MOMENTS if not (form == "julian" and t.microsecond) and not (form in ("unix_ms", "unix_us") and t < EPOCH)]


def check_filters(c, moments):
    """moments: by id."""
    order = sorted(moments, key=lambda n: (moments[n], n))
    for number, t in moments.items():
        text = t.isoformat()
        answered = c.get(f"/v1/models/post/records/{number}").expect(200).json()["at"]
        assert answered.rstrip("Z") == t.isoformat(timespec="seconds") + fraction(t), (answered, t)
        same = [n for n in sorted(moments) if moments[n] == t]
        for spelled in (text, answered):
            assert ids(c, f"at=eq.{spelled}&order=id") == same, spelled
        assert ids(c, f"at=gte.{text}&order=id") == [n for n in sorted(moments) if moments[n] >= t]
        assert ids(c, f"at=lt.{text}&order=id") == [n for n in sorted(moments) if moments[n] < t]
        assert ids(c, f"at=gt.{text}&order=id") == [n for n in sorted(moments) if moments[n] > t]
        where = [{"node_kind": "leaf", "column": "at", "operator": "IN", "value": [answered]}]
        rows = c.post("/v1/query", {"model_name": "post", "where": where, "order_by": [{"column": "id", "direction": "asc"}]}).expect(200).json()["rows"]
        assert [r["id"] for r in rows] == same
    for limit in (1, 2, 100):
        assert walk(c, "", limit) == order
    assert [moments[n] for n in walk(c, ".desc", 1)] == [moments[n] for n in reversed(order)]


@pytest.mark.parametrize("form", list(FORMS))
def test_each_form(client, tmp_path, form):
    moments = dict(enumerate(usable(form), 1))
    c = house_with(tmp_path, client, [(n, FORMS[form](t)) for n, t in moments.items()], "timestamptz" if form in ("iso_z", "offset", "js") else "datetime")
    if form not in WHOLE and form not in ("unix", "unix_us", "unix_ms"):
        assert spelling(c) == form
    check_filters(c, moments)


@pytest.mark.parametrize("form", list(FORMS))
def test_writes_take_the_spelling(client, tmp_path, form):
    first, second = datetime.datetime(2026, 1, 2, 9), datetime.datetime(2026, 3, 4, 5, 6, 7)
    c = house_with(tmp_path, client, [(1, FORMS[form](first))], "timestamptz" if form in ("iso_z", "offset", "js") else "datetime")
    assert spelling(c) == WHOLE.get(form, form)
    answered = c.get("/v1/models/post/records/1").expect(200).json()["at"]
    c.patch("/v1/models/post/records/1", {"at": answered}).expect(200)
    assert stored(c, 1) == FORMS[form](first)
    c.post("/v1/models/post/records", {"id": 2, "at": second.isoformat() + ("Z" if form == "iso_z" else "")}).expect(201)
    assert stored(c, 2) == pytest.approx(FORMS[form](second)) if form == "julian" else stored(c, 2) == FORMS[form](second)
    found = c.post("/v1/models/post/get-or-create", {"where": {"at": answered}}).expect(200).json()
    assert (found["created"], found["record"]["id"]) == (False, 1)
    where = [{"node_kind": "leaf", "column": "at", "operator": "==", "value": answered}]
    c.post("/v1/query/delete", {"model_name": "post", "where": where}).expect(200)
    assert ids(c, "order=id") == [2]


def test_mixtures_and_later_forms(client, tmp_path):
    """Every form in one column, and another one that comes after introspection."""
    rows, moments = [], {}
    for form, write in FORMS.items():
        for t in usable(form):
            number = len(rows) + 1
            rows.append((number, write(t)))
            moments[number] = t
    c = house_with(tmp_path, client, rows)
    assert spelling(c) == "mixed"
    check_filters(c, moments)
    late = datetime.datetime(2026, 1, 2, 10)
    with sqlite3.connect(c.path) as db:
        db.execute("INSERT INTO post (id, at) VALUES (500, ?)", (late.strftime("%Y-%m-%d %H:%M"),))
    db.close()
    moments[500] = late
    check_filters(c, moments)
    c.post("/v1/models/post/records", {"id": 600, "at": "2026-05-06T07:08:09"}).expect(201)
    assert stored(c, 600) == "2026-05-06T07:08:09.000000"


def test_declared_spelling(client, tmp_path):
    c = house_with(tmp_path, client, [])
    assert spelling(c) == "ferrod"
    model = c.get("/v1/models/post").expect(200).json()
    columns = [{"name": "id", "logical_type": "integer", "primary_key": True}, {"name": "at", "logical_type": "datetime", "db_type": "timestamp", "nullable": True, "spelling": "space"}]
    c.put("/v1/models", {"models": [{"model_name": model["model_name"], "table_name": "post", "columns": columns}]}).expect(200)
    c.post("/v1/models/post/records", {"id": 1, "at": "2026-01-02T03:04:05Z"}).expect(201)
    assert stored(c, 1) == "2026-01-02 03:04:05"
    columns[1]["spelling"] = "spaced"
    c.put("/v1/models", {"models": [{"model_name": "post", "table_name": "post", "columns": columns}]}).problem(422, "invalid_schema")
    columns[0]["spelling"], columns[1]["spelling"] = "space", "space"
    c.put("/v1/models", {"models": [{"model_name": "post", "table_name": "post", "columns": columns}]}).problem(422, "invalid_schema")


@pytest.mark.parametrize("rows, expected", [
    (["2026-01-02T03:04:05Z", "2026-01-02T03:04:05.12Z", "2026-01-02T03:04:05.123456Z"], "iso"), (["2026-01-02T03:04:05", "2026-01-02T03:04:05.123456"], "iso"),
    (["2026-01-02T03:04:05.123456", "2026-01-02T03:04:06.000001"], "ferrod"), (["2026-01-02T03:04:05.120000Z", "2026-01-02T03:04:05.123456Z"], "ferrod"),
    (["2026-01-02T03:04:05.000000", "2026-01-02T03:04:05"], "mixed"), (["2026-01-02T03:04:05.123456", "2026-01-02 03:04:05"], "mixed"),
    (["2026-01-02T03:04:05.123456", "2026-01-02T03:04:05", "2026-01-02T03:04:05.000000"], "mixed"),
])
def test_fractions_where_there_is_one_may_have_six_digits(sqlite_conn, rows, expected):
    """As the reference writes them; six digits that no fraction needs are somebody else's."""
    conn = sqlite_conn
    run(conn.backend, "CREATE TABLE e (id integer PRIMARY KEY, at datetime);\n" + ";\n".join(f"INSERT INTO e (at) VALUES ('{row}')" for row in rows))
    conn.client.delete("/v1/models").expect(204)
    columns = conn.client.post("/v1/introspect", {**conn.using, "register": True}).expect(200).json()["payload"]["models"][0]["columns"]
    assert next(c for c in columns if c["name"] == "at").get("spelling", "ferrod") == expected
    seen = [r["id"] for r in conn.client.get("/v1/models/e/records?order=at", params=conn.using).expect(200).json()["rows"]]
    instants = [(row.replace(" ", "T").rstrip("Z").partition(".")[::2], n) for n, row in enumerate(rows, 1)]
    assert seen == [n for _, n in sorted(((head, f"{fraction:0<6}"), n) for (head, fraction), n in instants)]


def type_of(c):
    return next(column for column in c.get("/v1/models/post").expect(200).json()["columns"] if column["name"] == "at").get("db_type")


@pytest.mark.parametrize("declared", ["datetime", "TIMESTAMP", "datetime_text"])
@pytest.mark.parametrize("rows, spelled, written", [
    (["2026-01-02T09:00:00Z", "2026-01-02T09:00:00.5Z"], "iso", "2026-03-04T05:06:07Z"),
    (["2026-01-02T09:00:00.000000Z"], "ferrod", "2026-03-04T05:06:07.000000Z"),
    (["2026-01-02T09:00:00Z", "2026-01-02 10:00:00+02:00", "2026-01-02T09:00:00.000Z"], "mixed", "2026-03-04T05:06:07.000000Z"),
])
def test_a_zone_that_every_row_says_is_written_whatever_the_types_name(client, tmp_path, declared, rows, spelled, written):
    c = house_with(tmp_path, client, [*enumerate(rows, 1), (9, None)], declared)
    assert (spelling(c), type_of(c)) == (spelled, "timestamptz")
    for number, asked in ((20, "2026-03-04T05:06:07"), (21, "2026-03-04T05:06:07Z"), (22, "2026-03-04T07:06:07+02:00")):
        answer = c.post("/v1/models/post/records", {"id": number, "at": asked}).expect(201).json()
        assert (stored(c, number), answer["at"]) == (written, "2026-03-04T05:06:07Z")
    c.patch("/v1/models/post/records/20", {"at": rows[0].replace("Z", "")}).expect(200)
    assert stored(c, 20) == rows[0] if spelled != "mixed" else stored(c, 20) == "2026-01-02T09:00:00.000000Z"
    assert ids(c, "at=eq.2026-03-04T05:06:07&order=id") == ids(c, "at=eq.2026-03-04T05:06:07Z&order=id") == [21, 22]
    assert c.post("/v1/migrate", {"dry_run": True, "updates": True}).expect(200).json().get("statements", []) == []


@pytest.mark.parametrize("rows", [["2026-01-02T09:00:00Z", "2026-01-02T09:00:00"], ["2026-01-02T09:00:00"], []])
def test_a_zone_that_not_every_row_says_is_not_added(client, tmp_path, rows):
    c = house_with(tmp_path, client, list(enumerate(rows, 1)))
    assert type_of(c) == "timestamp"
    assert c.post("/v1/models/post/records", {"id": 20, "at": "2026-03-04T05:06:07Z"}).expect(201).json()["at"] == "2026-03-04T05:06:07"


FAR = [datetime.datetime(9999, 12, 31, 23, 59, 59, 999999), datetime.datetime(9999, 12, 31, 23, 59, 59, 999000), datetime.datetime(4821, 12, 26, 16, 0, 0, 1000),
       datetime.datetime(4821, 12, 26, 16, 0, 0, 1), datetime.datetime(2255, 6, 5, 23, 47, 34, 740993), datetime.datetime(1, 1, 1, 0, 0, 0, 1), datetime.datetime(1, 1, 1, 0, 0, 0, 1000),
       datetime.datetime(5138, 11, 16, 9, 46, 41), datetime.datetime(9999, 12, 31, 23, 59, 59)]


@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.parametrize("declared", ["datetime", "text"])
@pytest.mark.parametrize("form, per", [("unix", 1000000), ("unix_ms", 1000), ("unix_us", 1)])
def test_numbers_of_far_years_keep_their_digits(client, tmp_path, form, per, declared, indexed):
    """More digits than a double holds, and more than numbers of an unknown unit may have."""
    moments = dict(enumerate((t for t in FAR if micros(t) % per == 0), 1))
    c = house_with(tmp_path, client, [(n, str(micros(t) // per) if declared == "text" else micros(t) // per) for n, t in moments.items()], declared)
    model = c.get("/v1/models/post").expect(200).json()
    column = next(column for column in model["columns"] if column["name"] == "at")
    column.update({"logical_type": "datetime", "db_type": "timestamp", "spelling": form, "index": indexed})
    if indexed:
        with sqlite3.connect(c.path) as db:
            db.execute("CREATE INDEX idx_post_at ON post (at)")
        db.close()
    c.put("/v1/models", {"models": [model]}).expect(200)
    check_filters(c, moments)
    for number, t in moments.items():
        before = stored(c, number)
        c.patch(f"/v1/models/post/records/{number}", {"at": t.isoformat()}).expect(200)
        assert stored(c, number) == before
        c.post("/v1/models/post/records", {"id": 100 + number, "at": t.isoformat()}).expect(201)
        assert stored(c, 100 + number) == (str(before) if declared == "text" else before)
