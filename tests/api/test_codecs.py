"""Property tests of the codecs: what goes in comes out the same, on both databases; what does not fit is refused before any SQL."""
import base64
import datetime
import json
import math
import os
import random
import uuid
from decimal import Decimal

import pytest

from support.evaluator import parse_instant
from support.library import column, key, model
from support.shared import shared_tables
from support.tables import leaf, query

SEED = int(os.environ.get("FERROD_CODEC_SEED", "41"))
COUNT = int(os.environ.get("FERROD_CODEC_VALUES", "150"))
TYPES = {
    "i": ("integer", {}), "small": ("integer", {"db_type": "smallint"}), "big": ("integer", {"db_type": "bigint"}), "x": ("number", {}),
    "d": ("decimal", {}), "dt": ("decimal", {"db_type": "text"}), "b": ("boolean", {}), "s": ("string", {}), "v": ("string", {"db_type": "varchar(5)"}),
    "e": ("string", {"enum_values": ["red", "gr ün", ""], "enum_type_name": "shade"}), "u": ("uuid", {}), "ut": ("uuid", {"db_type": "text"}),
    "at": ("datetime", {}), "naive": ("datetime", {"db_type": "timestamp"}), "tz": ("datetime", {"db_type": "timestamptz"}), "day": ("date", {}),
    "t": ("time", {"db_type": "time"}), "tt": ("time", {}), "bin": ("binary", {}), "j": ("json", {}), "jb": ("json", {"db_type": "jsonb"})}
ALL = model("All", key(), *(column(name, logical, nullable=True, **more) for name, (logical, more) in TYPES.items()), table_name="all_types")
PATH = "/v1/models/All/records"


_shared = shared_tables(ALL)


@pytest.fixture
def conn(server, _shared):
    return _shared


class Values:
    """(what is sent, what must be answered) of each type."""

    def __init__(self, seed, backend):
        self.r, self.sqlite = random.Random(seed), backend == "sqlite"

    def integer(self, bits):
        edge = 2 ** (bits - 1)
        n = self.r.choice([0, 1, -1, edge - 1, -edge, edge - 2, 2 ** 53 % edge, self.r.randint(-edge, edge - 1), self.r.randint(-300, 300)])
        return (str(n) if self.r.random() < 0.2 else n), n

    def i(self):
        return self.integer(64 if self.sqlite else 32)

    def small(self):
        return self.integer(64 if self.sqlite else 16)

    def big(self):
        return self.integer(64)

    def x(self):
        if self.r.random() < 0.1:
            word = self.r.choice(["Infinity", "-Infinity"])
            return word, word
        n = self.r.choice([self.r.random(), self.r.uniform(-1e9, 1e9), math.ldexp(self.r.random(), self.r.randint(-1000, 1000)), 5e-324, -1.7976931348623157e308,
                           0.1 + 0.2, 1 / 3, 2.0 ** 63, 123456789.125, self.r.randint(-2 ** 53, 2 ** 53)])
        return n, float(n)

    def digits(self, n):
        return "".join(self.r.choice("0123456789") for _ in range(n))

    def decimal(self, digits):
        whole = self.r.randint(0, digits)
        text = self.r.choice(["", "-"]) + (self.digits(whole).lstrip("0") or "0") + ("." + self.digits(digits - whole) if whole < digits else "")
        return text

    def d(self):
        if self.sqlite:  # a REAL column: fifteen digits survive
            text = self.decimal(self.r.randint(1, 15))
            return text, Decimal(text)
        text = self.decimal(self.r.choice([5, 15, 30, 60]))
        return text, text

    def dt(self):
        text = self.decimal(self.r.choice([5, 30, 60]))
        return text, Decimal(text)

    def b(self):
        return self.r.choice([(True, True), (False, False), (1, True), (0, False)])

    def text(self, longest):
        def char():
            kind = self.r.random()
            if kind < 0.4:
                return chr(self.r.randint(1, 127))
            if kind < 0.9:
                n = self.r.randint(0x80, 0xFFFF)
                return "\uFFFD" if 0xD800 <= n < 0xE000 else chr(n)
            return chr(self.r.randint(0x10000, 0x10FFFF))
        return "".join(char() for _ in range(self.r.randint(0, longest)))

    def s(self):
        text = self.text(self.r.choice([3, 40, 2000]))
        return text, text

    def v(self):
        text = self.text(5)
        return text, text

    def e(self):
        word = self.r.choice(["red", "gr ün", ""])
        return word, word

    def u(self):
        made = str(uuid.UUID(int=self.r.getrandbits(128)))
        return self.r.choice([made, made.upper()]), made

    ut = u

    def moment(self):
        start = datetime.datetime(1, 1, 2)
        value = start + datetime.timedelta(days=self.r.randint(0, 3652056), seconds=self.r.randint(0, 86399))
        if self.r.random() < 0.5:
            value = value.replace(microsecond=self.r.choice([1, 10, 100000, 999999, self.r.randint(0, 999999)]))
        return value

    def fraction(self, value):
        return f".{value.microsecond:06d}".rstrip("0") if value.microsecond else ""

    def show(self, value):
        return f"{value.year:04d}-{value.month:02d}-{value.day:02d}T{value.hour:02d}:{value.minute:02d}:{value.second:02d}{self.fraction(value)}"

    def at(self):
        value = self.moment()
        minutes = self.r.choice([0, 0, 60, -300, 330, 14 * 60, -12 * 60, 345])
        try:
            local = value + datetime.timedelta(minutes=minutes)
        except OverflowError:
            local, minutes = value, 0
        offset = "Z" if minutes == 0 and self.r.random() < 0.7 else f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
        sent = self.show(local).replace("T", self.r.choice("T ")) + offset
        return sent, self.show(value) + "Z"

    tz = at

    def naive(self):
        value = self.moment()
        return self.show(value).replace("T", self.r.choice("T ")), self.show(value)

    def day(self):
        text = self.show(self.moment())[:10]
        return text, text

    def t(self):
        text = self.show(self.moment())[11:]
        return text, text

    tt = t

    def bin(self):
        data = base64.b64encode(bytes(self.r.randrange(256) for _ in range(self.r.choice([0, 1, 2, 3, 256, 5000])))).decode()
        return data, data

    def json(self, depth):
        kind = self.r.randint(0, 5 if depth == 0 else 8)
        if kind >= 6:
            n = self.r.randint(0, 4)
            if kind == 6:
                return [self.json(depth - 1) for _ in range(n)]
            return {self.text(6).replace("\0", ""): self.json(depth - 1) for _ in range(n)}
        return [None, True, False, self.r.choice([0, -1, 2 ** 53 + 1, -2 ** 63, 2 ** 63 - 1]), self.r.choice([0.5, 1e300, -2.5e-8]), self.text(10)][kind]

    def j(self):
        value = self.json(4)
        return (value, value) if value is not None else ([None], [None])

    def jb(self):
        """jsonb keeps numbers as numeric: 1e300 comes back with all its zeros."""
        while True:
            sent, expected = self.j()
            if "e+300" not in json.dumps(sent):
                return sent, expected

    def row(self):
        sent, expected = {}, {}
        for name in TYPES:
            chance = self.r.random()
            if chance < 0.15:
                sent[name] = expected[name] = None
            elif chance < 0.25:
                expected[name] = None
            else:
                sent[name], expected[name] = getattr(self, name)()
        return sent, expected


def same(name, got, expected):
    if isinstance(expected, Decimal):
        return isinstance(got, str) and Decimal(got) == expected
    if isinstance(expected, float):
        return isinstance(got, (int, float)) and not isinstance(got, bool) and float(got) == expected
    return json.dumps(got, sort_keys=True) == json.dumps(expected, sort_keys=True)


def test_what_goes_in_comes_out(conn):
    """By one create, by bulk, by PATCH, by query update; read back by key, by list and in a filter."""
    values = Values(f"{SEED}/{conn.backend.name}", conn.backend.name)
    pairs = [values.row() for _ in range(COUNT)]
    answer = conn.client.post(PATH, {"records": [sent for sent, _ in pairs]}, params=conn.using, headers={"Prefer": "return=representation"}).expect(201)
    rows = answer.json()["records"]
    wrong = [(name, sent.get(name), expected[name], row[name]) for (sent, expected), row in zip(pairs, rows) for name in TYPES
             if not same(name, row[name], expected[name])]
    assert not wrong, "\n".join(str(w)[:600] for w in wrong[:10])
    stored = query(conn.client, "All", using=conn.name, order_by=[{"column": "id"}]).expect(200).json()["rows"]
    assert stored == rows
    for number, ((sent, _), row) in enumerate(zip(pairs[:40], rows)):
        if number % 3 == 0:
            made = conn.client.post(PATH, sent, params=conn.using, validate=False).expect(201).json()
        elif number % 3 == 1:
            empty = conn.client.post(PATH, {}, params=conn.using, validate=False).expect(201).json()["id"]
            made = conn.client.patch(f"{PATH}/{empty}", sent, params=conn.using, validate=False).expect(200).json()
        else:
            empty = conn.client.post(PATH, {}, params=conn.using, validate=False).expect(201).json()["id"]
            body = {"query": {"model_name": "All", "where": [leaf("id", "==", empty)]}, "set": sent or {"i": None}}
            conn.client.post("/v1/query/update", body, params=conn.using, validate=False).expect(200)
            made = conn.client.get(f"{PATH}/{empty}", params=conn.using, validate=False).expect(200).json()
        assert {**made, "id": row["id"]} == row
    for (sent, _), row in list(zip(pairs, rows))[:30]:
        for name, value in sent.items():
            if value is None or name in ("j", "jb"):
                continue
            found = query(conn.client, "All", [leaf(name, "==", value), leaf("id", "==", row["id"])], "/count", conn.name).expect(200).json()
            assert found == {"count": 1}, (name, value)


def test_every_code_point_and_every_byte(conn):
    """All of Unicode but NUL, in texts of 512 characters; all bytes, in every pair."""
    points = [chr(n) for n in range(1, 0x110000) if not 0xD800 <= n < 0xE000]
    texts = ["".join(points[n:n + 8192]) for n in range(0, len(points), 8192)]
    pairs = bytes(b for x in range(256) for y in range(256) for b in (x, y))
    records = [{"s": text} for text in texts] + [{"bin": base64.b64encode(pairs).decode()}, {"j": {"k": texts[0]}}]
    answer = conn.client.post(PATH, {"records": records}, params=conn.using, headers={"Prefer": "return=representation"}, validate=False).expect(201)
    for sent, got in zip(records, answer.json()["records"]):
        name, value = next(iter(sent.items()))
        assert got[name] == value, name


def test_empty_is_not_null(conn):
    sent = {"s": "", "v": "", "e": "", "bin": "", "j": {}, "jb": [], "b": False, "i": 0, "x": 0.0, "d": "0"}
    row = conn.client.post(PATH, sent, params=conn.using).expect(201).json()
    for name, value in sent.items():
        assert row[name] == value and row[name] is not None
        found = query(conn.client, "All", [leaf(name, "==", None), leaf("id", "==", row["id"])], "/count", conn.name).json()
        assert found == {"count": 0}, name


def misfits(sqlite):
    r = random.Random(SEED)
    wide = [2 ** 63, -2 ** 63 - 1, 2 ** 64, 10 ** 30, "9223372036854775808", 1.5, "1.0", "x", "", True, [], {}, "NaN", 1e19, "٣", "1_000", "+", "0x1"]
    moments = ["2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-01-32T00:00:00Z", "2026-01-01T25:00:00Z", "2026-01-01T00:61:00Z",
               "0000-01-01T00:00:00Z", "2026-01-01", "now", "", 5, True, "2026-01-01T00:00:00+25:00", "2026-01-01T00:00:00.Z",
               "2026-01-01T00:00:00 Z", "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"]
    far = ["10000-01-01T00:00:00Z", "infinity", "0044-03-15 BC"] if sqlite else ["10000-01-01T00:00:00+01:00", "-inf"]  # PostgreSQL has these years
    cases = {"i": wide + ([] if sqlite else [2 ** 31, -2 ** 31 - 1]), "small": wide + ([] if sqlite else [2 ** 15, -2 ** 15 - 1]), "big": wide,
             "x": ["x", "", "nan", "inf", "1e999", True, [], {}, "0x1p3"] + (["NaN"] if sqlite else []),
             "d": ["x", "", "1.2.3", "--1", "1e", "Infinit", True, [], "1,5", " 1"] + (["Infinity", "NaN", "0." + "1234567890" * 3, "12345678901234567890"] if sqlite else []),
             "b": ["true", "", 2, -1, 0.5, [], {}], "s": [1, 1.5, True, [], {}], "v": ["sechs!", "😀" * 6, 5], "e": ["Red", "blue", " red", 1],
             "u": ["x", "", "3f4c4ca7-a7e7-40d6-8d83", "g" * 36, 5, [], "3f4c4ca7-a7e7-40d6-8d83-8f4ddf3285e6a"], "at": moments + far, "tz": moments + far, "naive": moments[:8] + far,
             "day": ["2026-02-30", "2026-1-1", "20260101", "2026-01-01T00:00:00", "", 5], "t": ["24:00:01", "12:60:00", "12:00:61", "12", "", 5, "12:00:00Z x"],
             "bin": ["*", "QQ", "QQ=", "QUI", "QUJD\n", "_-8=", 5, [], "QQ==QQ=="]}
    cases["i"].append("".join(r.choice("0123456789") for _ in range(40)))
    return cases


def test_what_does_not_fit_is_refused_before_any_sql(conn):
    wrong, before = [], query(conn.client, "All", [], "/count", conn.name).json()
    for name, values in misfits(conn.backend.name == "sqlite").items():
        for value in values:
            for where, body, pointer in ((PATH, {name: value}, f"/{name}"), (PATH, {"records": [{}, {name: value}]}, f"/records/1/{name}"),
                                         ("/v1/query/count", {"model_name": "All", "where": [leaf(name, "==", value)]}, "/where/0/value")):
                if pointer.startswith("/where") and (isinstance(value, (list, dict)) or name in ("v", "e", "d", "i", "small")):
                    continue
                answer = conn.client.post(where, body, params=conn.using, validate=False)
                bulk = pointer.startswith("/records")
                if (answer.status, answer.json().get("code")) != (422, "invalid_value") or not any(p.startswith(pointer) for p in answer.pointers()) \
                        or (not bulk and "db;dur=0.000" not in answer.header("Server-Timing")):
                    wrong.append((name, value, pointer, answer.status, answer.header("Server-Timing"), answer.body[:200]))
    assert not wrong, f"{len(wrong)}:\n" + "\n".join(map(str, wrong[:25]))
    assert query(conn.client, "All", [], "/count", conn.name).json() == before


def test_nan_and_nul(conn):
    answer = conn.client.post(PATH, {"x": "NaN"}, params=conn.using)
    if conn.backend.name == "postgres":
        assert answer.expect(201).json()["x"] == "NaN"
    else:
        answer.problem(422, "invalid_value")
    for name in ("s", "v"):
        answer = conn.client.post(PATH, {name: "a\0b"}, params=conn.using)
        if answer.status == 201:
            assert conn.backend.name == "sqlite" and answer.json()[name] == "a\0b"
        else:
            answer.problem(422, "invalid_value")


def test_instants_are_instants(conn):
    """Different spellings of one instant are equal, and ordered by time, not by text."""
    spellings = ["2026-03-29T01:30:00Z", "2026-03-29T02:30:00+01:00", "2026-03-28 20:30:00-05:00", "2026-03-29T01:30:00.000000Z"]
    for name in ("at", "tz"):
        ids = [conn.client.post(PATH, {name: text}, params=conn.using).expect(201).json()["id"] for text in spellings]
        for text in spellings:
            found = query(conn.client, "All", [leaf(name, "==", text), leaf("id", "IN", ids)], "/count", conn.name).json()
            assert found == {"count": 4}, (name, text)
    assert parse_instant(spellings[1]) == parse_instant(spellings[2])
