"""Questions about the ISO codes, asked as QueryIR and as SQL by hand: sqlite3 and psql must give the same answers, row for row."""
import json
import shutil
import sqlite3
import subprocess

import pytest

from support.shared import shared_fixture
from support.tables import both, either, leaf, query
from test_iso_codes import Loaded

MARK = "-- next --"


def negation(node):
    return {"node_kind": "not", "operand": node}


def by(*names):
    return [{"column": n.lstrip("-"), "direction": "desc" if n.startswith("-") else "asc"} for n in names]


def agg(name, fn="count", column=None):
    return {"fn": fn, "as": name, **({"column": column} if column else {})}


def cases(ilike):
    """(model, rest of the QueryIR, SQL); ilike: the database's word for it."""
    made = []

    def ask(model, sql, *where, **more):
        made.append((model, {"where": list(where), **more}, sql))
    s = 'SELECT code, name FROM subdivision WHERE '
    cols = {"select": ["code", "name"], "order_by": by("code")}
    for code in ("FR", "GB", "US", "CN", "AQ", "zz"):
        ask("Subdivision", f"{s}country_id = '{code}' ORDER BY code", leaf("country_id", "==", code), **cols)
        ask("Country", f"SELECT * FROM country WHERE alpha_2 = '{code}'", leaf("alpha_2", "==", code))
    for kind in ("Province", "State", "Department", "Island", "Parish"):
        ask("Subdivision", f"{s}type = '{kind}' AND parent_id IS NULL ORDER BY code", leaf("type", "==", kind), leaf("parent_id", "==", None), **cols)
        ask("Subdivision", f"{s}type <> '{kind}' AND country_id IN ('FR','IT','NZ') ORDER BY code", leaf("type", "!=", kind),
            leaf("country_id", "IN", ["FR", "IT", "NZ"]), **cols)
    for pattern in ("A%", "%land", "%São%", "_a_", "%''%", "%-%-%", "Île%", "%\\_%"):
        value = pattern.replace("''", "'")
        escape = " ESCAPE '\\'"
        ask("Subdivision", f"{s}name LIKE '{pattern}'{escape} ORDER BY code", leaf("name", "LIKE", value), **cols)
        ask("Subdivision", f"{s}name NOT LIKE '{pattern}'{escape} AND country_id = 'FR' ORDER BY code", leaf("name", "NOT LIKE", value), leaf("country_id", "==", "FR"), **cols)
    for pattern in ("SAN%", "%LAND", "%new%", "a_a%"):
        ask("Subdivision", f"{s}name {ilike} '{pattern}' ORDER BY code", leaf("name", "ILIKE", pattern), **cols)
        ask("Language", f"SELECT alpha_3 FROM language WHERE name NOT {ilike} '{pattern}' AND scope = 'M' ORDER BY alpha_3", leaf("name", "NOT ILIKE", pattern),
            leaf("scope", "==", "M"), select=["alpha_3"], order_by=by("alpha_3"))
    for low, high in (("100", "200"), ("800", "999"), ("500", "400")):
        ask("Country", f"SELECT name, numeric FROM country WHERE numeric BETWEEN '{low}' AND '{high}' ORDER BY numeric DESC", leaf("numeric", "BETWEEN", [low, high]),
            select=["name", "numeric"], order_by=by("-numeric"))
        ask("Country", f"SELECT alpha_2 FROM country WHERE NOT (numeric BETWEEN '{low}' AND '{high}') ORDER BY 1", negation(leaf("numeric", "BETWEEN", [low, high])),
            select=["alpha_2"], order_by=by("alpha_2"))
    for name in ("official_name", "common_name"):
        ask("Country", f"SELECT alpha_2 FROM country WHERE {name} IS NULL ORDER BY alpha_2", leaf(name, "IS NULL"), select=["alpha_2"], order_by=by("alpha_2"))
        ask("Country", f"SELECT {name} FROM country WHERE {name} IS NOT NULL ORDER BY {name}", leaf(name, "!=", None), select=[name], order_by=by(name))
        ask("Country", f"SELECT alpha_2, {name} FROM country ORDER BY {name} DESC, alpha_2 LIMIT 20", select=["alpha_2", name], order_by=by("-" + name, "alpha_2"), limit=20)
        for nulls in ("first", "last"):
            ask("Country", f"SELECT alpha_2 FROM country ORDER BY {name} NULLS {nulls}, alpha_2 LIMIT 30 OFFSET 5", select=["alpha_2"],
                order_by=[{"column": name, "nulls": nulls}, {"column": "alpha_2"}], limit=30, offset=5)
    for offset in (0, 100, 7000, 99999):
        ask("Language", f"SELECT * FROM language ORDER BY name, alpha_3 LIMIT 25 OFFSET {offset}", order_by=by("name", "alpha_3"), limit=25, offset=offset)
        ask("Subdivision", f"SELECT code FROM subdivision ORDER BY type DESC, name, code LIMIT 10 OFFSET {offset}", select=["code"], order_by=by("-type", "name", "code"),
            limit=10, offset=offset)
    for column, model in (("type", "subdivision"), ("country_id", "subdivision"), ("scope", "language"), ("type", "language")):
        name = model.capitalize()
        ask(name, f"SELECT {column}, count(*) AS n FROM {model} GROUP BY {column} ORDER BY n DESC, {column}", group_by=[column], aggregates=[agg("n")], order_by=by("-n", column))
        ask(name, f"SELECT {column}, count(*) AS n, min(name) AS first, max(name) AS last FROM {model} GROUP BY {column} HAVING count(*) > 50 ORDER BY {column}",
            group_by=[column], aggregates=[agg("n"), agg("first", "min", "name"), agg("last", "max", "name")], having=[leaf("n", ">", 50)], order_by=by(column))
        ask(name, f"SELECT DISTINCT {column} FROM {model} WHERE name < 'C' ORDER BY {column}", leaf("name", "<", "C"), distinct=True, select=[column], order_by=by(column))
        ask(name, f"SELECT count({column}) AS n FROM {model} WHERE name >= 'x'", leaf("name", ">=", "x"), aggregates=[agg("n", "count", column)])
    ask("Language", "SELECT scope, type, count(*) AS n, count(alpha_2) AS short FROM language GROUP BY scope, type ORDER BY scope, type", group_by=["scope", "type"],
        aggregates=[agg("n"), agg("short", "count", "alpha_2")], order_by=by("scope", "type"))
    ask("Subdivision", "SELECT country_id, count(parent_id) AS n, min(type) AS kind FROM subdivision GROUP BY country_id HAVING count(parent_id) BETWEEN 10 AND 40 AND min(type) <> 'x' "
        "ORDER BY country_id", group_by=["country_id"], aggregates=[agg("n", "count", "parent_id"), agg("kind", "min", "type")],
        having=[leaf("n", "BETWEEN", [10, 40]), leaf("kind", "!=", "x")], order_by=by("country_id"))
    for parent in ("FR-ARA", "GB-ENG", "ES-CT", "IT-25"):
        ask("Subdivision", f"{s}parent_id = '{parent}' OR code = '{parent}' ORDER BY code", either(leaf("parent_id", "==", parent), leaf("code", "==", parent)), **cols)
        ask("Subdivision", f"{s}NOT (parent_id = '{parent}' OR country_id <> '{parent[:2]}') ORDER BY code",
            negation(either(leaf("parent_id", "==", parent), leaf("country_id", "!=", parent[:2]))), **cols)
        ask("Subdivision", f"{s}(parent_id = '{parent}' AND name > 'M') OR (country_id = '{parent[:2]}' AND parent_id IS NULL AND NOT name LIKE 'C%') ORDER BY code",
            either(both(leaf("parent_id", "==", parent), leaf("name", ">", "M")),
                   both(leaf("country_id", "==", parent[:2]), both(leaf("parent_id", "==", None), negation(leaf("name", "LIKE", "C%"))))), **cols)
    for codes in ("'eng','deu'", "'fra',NULL", "'zzz'"):
        values = [None if c == "NULL" else c.strip("'") for c in codes.split(",")]
        ask("Language", f"SELECT name FROM language WHERE alpha_3 IN ({codes}) ORDER BY name", leaf("alpha_3", "IN", values), select=["name"], order_by=by("name"))
        ask("Language", f"SELECT name FROM language WHERE alpha_3 NOT IN ({codes}) AND alpha_2 IS NOT NULL ORDER BY name", leaf("alpha_3", "NOT IN", values),
            leaf("alpha_2", "!=", None), select=["name"], order_by=by("name"))
    return made


def nested(row):
    """The relations' rows as sorted lists of codes; a to-one as its name."""
    return {k: sorted(r["code"] for r in v) if isinstance(v, list) else v["name"] if isinstance(v, dict) else v for k, v in row.items()}


RELATED = [
    ("Subdivision", {"where": [leaf("country_id", "IN", ["FR", "BE"])], "select": ["code", "country_id", "parent_id"], "order_by": by("code"), "include": ["country", "parent"]},
     "SELECT s.code, s.country_id, s.parent_id, c.name AS country, p.name AS parent FROM subdivision s JOIN country c ON c.alpha_2 = s.country_id "
     "LEFT JOIN subdivision p ON p.code = s.parent_id WHERE s.country_id IN ('FR','BE') ORDER BY s.code"),
    ("Subdivision", {"where": [leaf("name", "LIKE", "%ia"), leaf("parent_id", "!=", None)], "select": ["code", "parent_id"], "order_by": by("code"), "include": ["parent"]},
     "SELECT s.code, s.parent_id, p.name AS parent FROM subdivision s JOIN subdivision p ON p.code = s.parent_id WHERE s.name LIKE '%ia' ORDER BY s.code")]


_shared = shared_fixture(lambda conn: Loaded(conn.client, conn.name, conn.backend).load())


@pytest.fixture
def conn(server, _shared):
    return _shared


def by_hand(backend, statements):
    """The rows of each statement as the database's own shell prints them (without a shell of SQLite: as its library gives them)."""
    if backend.name == "postgres":
        script = "".join(f"SELECT coalesce(json_agg(q), '[]') FROM ({text}) q;\n\\echo {MARK}\n" for text in statements)
        done = subprocess.run([str(backend.pg.bin / "psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", backend.url], input=script, capture_output=True, text=True,
                              check=True, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"})
    elif shutil.which("sqlite3"):
        script = ".mode json\n" + "".join(f"{text};\n.print {MARK}\n" for text in statements)
        done = subprocess.run(["sqlite3", "-bail", backend.path], input=script, capture_output=True, text=True, check=True)
    else:
        with sqlite3.connect(backend.path) as db:
            db.row_factory = sqlite3.Row
            return [[dict(row) for row in db.execute(text)] for text in statements]
    parts = done.stdout.split(MARK)[:-1]
    assert len(parts) == len(statements), done.stderr
    return [json.loads(part) if part.strip() else [] for part in parts]


def test_the_same_answers_as_by_hand(conn):
    asked = cases("LIKE" if conn.backend.name == "sqlite" else "ILIKE")
    assert len(asked) >= 100
    wrong, empty = [], 0
    for number, ((model, more, text), expected) in enumerate(zip(asked, by_hand(conn.backend, [text for _, _, text in asked]))):
        body = {"model_name": model, **more}
        answer = conn.client.post("/v1/query", body, params=conn.using, validate=number % 10 == 0)
        rows = answer.json().get("rows")
        empty += not expected
        if rows != expected:
            wrong.append((text, str(expected)[:300], str(rows if rows is not None else answer.body)[:300]))
        if not more.get("limit") and not more.get("aggregates") and not more.get("distinct"):
            count = query(conn.client, model, more["where"], "/count", conn.name).expect(200).json()["count"] if number % 7 == 0 else len(expected)
            assert count == len(expected), text
    assert not wrong, f"{len(wrong)} of {len(asked)}:\n" + "\n".join(map(str, wrong[:10]))
    assert empty < len(asked) / 4, "most questions must have answers to mean something"


def test_relations_are_joins(conn):
    for (model, more, text), expected in zip(RELATED, by_hand(conn.backend, [text for _, _, text in RELATED])):
        rows = query(conn.client, model, using=conn.name, **more).expect(200).json()["rows"]
        assert [nested(row) for row in rows] == expected and expected
