"""ferrod's own forms of SQLite's functions answer what SQLite's answer."""
import random
import sqlite3

import pytest

from support.client import Client
from support.server import Server

EXPRESSIONS = ("?1 LIKE ?2", "?1 LIKE ?2 ESCAPE '!'", "?1 LIKE ?2 ESCAPE '%'", "?1 LIKE ?2 ESCAPE '_'", "?1 GLOB ?2", "instr(?1, ?2)",
               "replace(?1, ?2, ?3)", "trim(?1, ?2)", "ltrim(?1, ?2)", "rtrim(?1, ?2)", "trim(?1)", "hex(?1)", "instr(CAST(?1 AS BLOB), CAST(?2 AS BLOB))",
               "instr(?1, CAST(?2 AS BLOB))", "CAST(?1 AS BLOB) LIKE ?2", "replace(?1, ?2, '')", "typeof(trim(?1, ?2))", "typeof(replace(?1, ?2, ?3))")
LETTERS = "aAbB%_!*?[]^-é€ \U0001d11e"


@pytest.fixture(scope="module")
def house():
    with Server("--loops", "1", "--default-url", "sqlite::memory:") as server, Client(server.port, timeout=120) as client:
        yield client


def word(rng, longest):
    letters = rng.choice(("ab%_", "ab*?[]", LETTERS, "ab"))
    return "".join(rng.choice(letters) for _ in range(rng.randint(0, longest)))


def value(rng, longest):
    return rng.choice((None, rng.randint(-20, 20), 1.5)) if rng.random() < 0.05 else word(rng, longest)


def test_differential(house):
    rng = random.Random(20261130)
    own = sqlite3.connect(":memory:")
    for _ in range(60):
        rows = [(value(rng, 12), value(rng, 7), value(rng, 3)) for _ in range(100)]
        source = "(VALUES " + ", ".join(["(?, ?, ?)"] * len(rows)) + ")"
        columns = [e.replace("?1", "column1").replace("?2", "column2").replace("?3", "column3") for e in EXPRESSIONS]
        sql = "SELECT " + ", ".join(f"{e} AS c{i}" for i, e in enumerate(columns)) + f" FROM {source}"
        given = [v for row in rows for v in row]
        expected = own.execute(sql, given).fetchall()
        answer = house.post("/v1/sql/fetch-all", {"sql": sql, "args": given}).expect(200).json()["rows"]
        for row, want, got in zip(rows, expected, answer):
            assert list(got.values()) == list(want), (row, dict(zip(EXPRESSIONS, zip(want, got.values()))))


def scalar(house, sql, *args):
    return list(house.post("/v1/sql/fetch-all", {"sql": sql, "args": list(args)}).expect(200).json()["rows"][0].values())[0]


def test_long_pieces_with_wildcards(house):
    """More characters between two % than a machine word has bits."""
    rng = random.Random(7)
    text = "".join(rng.choice("abcé") for _ in range(3000))
    for start, length in ((0, 200), (1500, 64), (1501, 65), (2700, 300), (2000, 1000)):
        piece = text[start:start + length]
        holes = "".join("_" if i % 7 == 3 else c for i, c in enumerate(piece))
        assert scalar(house, "SELECT ?1 LIKE ?2", text, f"%{holes}%") == 1
        assert scalar(house, "SELECT ?1 LIKE ?2", text, f"%{holes}") == (start + length == len(text))
        assert scalar(house, "SELECT ?1 LIKE ?2", text, f"%{holes[:-1]}X%") == 0
        assert scalar(house, "SELECT ferro_ilike(?2, ?1)", text.upper(), f"%{holes}%") == 1
        classes = "".join("[aé]" if c in "aé" else "?" if c == "b" else c for c in piece)
        assert scalar(house, "SELECT ?1 GLOB ?2", text, f"*{classes}*") == 1
    house.post("/v1/sql/fetch-all", {"sql": "SELECT 'a' LIKE ?1", "args": ["%" + "_b" * 600 + "%"]}).problem(400, "sql_error")
    house.post("/v1/sql/fetch-all", {"sql": "SELECT 'a' LIKE ?1", "args": ["x" * 50001]}).problem(400, "sql_error")
    assert scalar(house, "SELECT ?1 LIKE ?1", "x" * 50000) == 1


def test_escape_of_each_row(house):
    """The pattern is the same in all rows, its escape is not."""
    rows = house.post("/v1/sql/fetch-all", {"sql": "SELECT 'a%' LIKE 'a!%' ESCAPE column1 AS m FROM (VALUES ('!'), ('#'), ('!'))"}).expect(200)
    assert [r["m"] for r in rows.json()["rows"]] == [1, 0, 1]


def test_case_sensitive_like(house):
    """The pragma does not bring SQLite's own LIKE back, and holds in its transaction only."""
    with house.session() as session:
        tx = session.transaction()
        tx.post("/v1/sql/execute", {"sql": "PRAGMA case_sensitive_like = ON"}).expect(200)
        assert scalar(tx, "SELECT 'A' LIKE 'a'") == 0 and scalar(tx, "SELECT 'a' LIKE 'a'") == 1
        with pytest.raises(AssertionError, match="too complex"):
            scalar(tx, "SELECT 'a' LIKE ?1", "x" * 50001)
        session.delete("/v1/session?rollback=true")
    assert scalar(house, "SELECT 'A' LIKE 'a'") == 1


def test_json_patch(house):
    assert scalar(house, "SELECT json_patch('{\"a\":1,\"b\":2}', '{\"a\":null,\"c\":3}')") == '{"b":2,"c":3}'
    assert scalar(house, "SELECT json_array(json_patch('{}', '{\"a\":1}'))") == '[{"a":1}]'
    assert scalar(house, "SELECT json_patch(NULL, '{}')") is None
    house.post("/v1/sql/fetch-all", {"sql": "SELECT json_patch('{', '{}')"}).problem(400, "sql_error")
