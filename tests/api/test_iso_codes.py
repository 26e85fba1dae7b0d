"""A real data set end to end: the iso-codes files go in over HTTP, and the same questions asked of them get the same answers."""
import json
import pathlib
import urllib.parse

import pytest

from support.client import Client
from support.tables import both, create_tables, either, leaf, query

FILES = pathlib.Path("/usr/share/iso-codes/json")


def column(name, **more):
    return {"name": name, "logical_type": "string", **more}


LANGUAGE = {"model_name": "Language", "columns": [
    column("alpha_3", primary_key=True), column("name", index=True), column("scope"), column("type"), column("alpha_2", nullable=True, unique=True),
    column("bibliographic", nullable=True), column("common_name", nullable=True), column("inverted_name", nullable=True)]}
COUNTRY = {"model_name": "Country", "columns": [
    column("alpha_2", primary_key=True), column("alpha_3", unique=True), column("name"), column("numeric", db_type="varchar(3)"),
    column("flag"), column("official_name", nullable=True), column("common_name", nullable=True)]}
SUBDIVISION = {"model_name": "Subdivision", "columns": [
    column("code", primary_key=True), column("name"), column("type", index=True), column("country_id", index=True),
    column("parent_id", nullable=True)],
    "foreign_keys": [{"column": "country_id", "to_table": "country", "to_column": "alpha_2", "on_delete": "RESTRICT"},
                     {"column": "parent_id", "to_table": "subdivision", "to_column": "code", "on_delete": "RESTRICT"}]}


def read(name):
    return json.loads((FILES / f"iso_{name}.json").read_text(encoding="utf-8"))[name]


def subdivisions():
    """With country and parent as references; a parent is given with or without its country's prefix. Parents come first."""
    found = {}
    for entry in read("3166-2"):
        country = entry["code"].split("-")[0]
        found[entry["code"]] = {"code": entry["code"], "name": entry["name"], "type": entry["type"], "country_id": country,
                                "parent_id": entry.get("parent")}
    for entry in found.values():
        if entry["parent_id"] is not None and entry["parent_id"] not in found:
            entry["parent_id"] = f"{entry['country_id']}-{entry['parent_id']}"

    def depth(entry):
        return 0 if entry["parent_id"] is None else 1 + depth(found[entry["parent_id"]])
    return sorted(found.values(), key=depth)


class Loaded:
    def __init__(self, client, name, backend):
        self.client, self.name, self.backend = client, name, backend
        self.languages, self.countries, self.subdivisions = read("639-3"), read("3166-1"), subdivisions()

    def load(self):
        create_tables(self.client, self.name, LANGUAGE, COUNTRY, SUBDIVISION)
        for model, rows in (("Language", self.languages), ("Country", self.countries), ("Subdivision", self.subdivisions)):
            answer = self.client.post(f"/v1/models/{model}/records", {"records": rows}, params={"using": self.name})
            assert answer.expect(201).json() == {"rows_inserted": len(rows)}

    def ask(self, model, *where, **more):
        return query(self.client, model, where, using=self.name, **more).expect(200).json()["rows"]

    def count(self, model, *where):
        return query(self.client, model, where, "/count", self.name).expect(200).json()["count"]


@pytest.fixture
def iso(conn):
    loaded = Loaded(conn.client, conn.name, conn.backend)
    loaded.load()
    return loaded


def full(rows, model):
    names = [c["name"] for c in model["columns"]]
    return [{name: row.get(name) for name in names} for row in rows]


def test_the_files_are_what_is_meant():
    assert len(read("639-3")) > 7800 and len(read("3166-1")) >= 249 and len(read("3166-2")) > 5000
    assert sum(s["parent_id"] is not None for s in subdivisions()) > 1000


def test_questions(iso):
    """One load for each database; then every question."""
    counts(iso)
    everything_in_order(iso)
    filters(iso)
    nulls(iso)
    unicode_text(iso)
    references(iso)
    single_records(iso)
    refusals(iso)


def counts(iso):
    assert iso.count("Language") == len(iso.languages)
    assert iso.count("Country") == len(iso.countries)
    assert iso.count("Subdivision") == len(iso.subdivisions)


def everything_in_order(iso):
    """Whole tables, each value compared; by key, and by pages backwards."""
    for model, rows, key, shape in (("Language", iso.languages, "alpha_3", LANGUAGE), ("Country", iso.countries, "alpha_2", COUNTRY),
                                    ("Subdivision", iso.subdivisions, "code", SUBDIVISION)):
        expected = sorted(full(rows, shape), key=lambda row: row[key])
        assert iso.ask(model, order_by=[{"column": key, "direction": "asc"}]) == expected
        pages = []
        for offset in range(0, len(rows), 2000):
            pages += iso.ask(model, order_by=[{"column": key, "direction": "desc"}], limit=2000, offset=offset)
        assert pages == expected[::-1]
    got = [(r["type"], r["alpha_3"]) for r in iso.ask("Language", order_by=[
        {"column": "type", "direction": "desc"}, {"column": "alpha_3", "direction": "asc"}], limit=3000)]
    expected = sorted(((r["type"], r["alpha_3"]) for r in iso.languages), key=lambda t: ([-ord(c) for c in t[0]], t[1]))[:3000]
    assert got == expected


def filters(iso):
    languages = iso.languages
    assert iso.count("Language", leaf("type", "==", "E")) == sum(r["type"] == "E" for r in languages)
    assert iso.count("Language", leaf("type", "!=", "L")) == sum(r["type"] != "L" for r in languages)
    assert iso.count("Language", leaf("scope", "IN", ["M", "S"])) == sum(r["scope"] in ("M", "S") for r in languages)
    assert iso.count("Language", leaf("scope", "NOT IN", ["M", "S"])) == sum(r["scope"] not in ("M", "S") for r in languages)
    assert iso.count("Language", leaf("alpha_3", ">=", "x")) == sum(r["alpha_3"] >= "x" for r in languages)
    assert iso.count("Language", leaf("alpha_3", "BETWEEN", ["da", "dz"])) == sum("da" <= r["alpha_3"] <= "dz" for r in languages)
    assert iso.count("Country", leaf("numeric", "<", "100")) == sum(r["numeric"] < "100" for r in iso.countries)
    assert iso.count("Subdivision", leaf("code", "LIKE", "GB-%")) == sum(s["code"].startswith("GB-") for s in iso.subdivisions)
    node = both(leaf("type", "==", "L"), either(leaf("name", "ILIKE", "%sign language%"), leaf("alpha_2", "!=", None)))
    expected = {r["alpha_3"] for r in languages if r["type"] == "L" and ("sign language" in r["name"].lower() or r.get("alpha_2"))}
    assert {r["alpha_3"] for r in iso.ask("Language", node)} == expected and len(expected) > 100
    node = {"node_kind": "not", "operand": either(leaf("type", "==", "Province"), leaf("country_id", "==", "FR"))}
    assert iso.count("Subdivision", node) == sum(s["type"] != "Province" and s["country_id"] != "FR" for s in iso.subdivisions)
    codes = [s["code"] for s in iso.subdivisions][::2][:2500]
    assert iso.count("Subdivision", leaf("code", "IN", codes)) == len(codes)


def nulls(iso):
    for model, rows, name in (("Language", iso.languages, "alpha_2"), ("Language", iso.languages, "inverted_name"),
                              ("Country", iso.countries, "official_name"), ("Subdivision", iso.subdivisions, "parent_id")):
        missing = sum(row.get(name) is None for row in rows)
        assert 0 < missing < len(rows)
        assert iso.count(model, leaf(name, "==", None)) == iso.count(model, leaf(name, "IS NULL")) == missing
        assert iso.count(model, leaf(name, "!=", None)) == len(rows) - missing
    with_two = sum((r.get("alpha_2") or "de") != "de" for r in iso.languages)
    assert iso.count("Language", leaf("alpha_2", "!=", "de")) == with_two
    first = iso.ask("Country", order_by=[{"column": "common_name", "direction": "asc", "nulls": "last"}], limit=1)[0]
    assert first["common_name"] == min(c["common_name"] for c in iso.countries if "common_name" in c)


def unicode_text(iso):
    assert iso.ask("Country", leaf("flag", "==", "🇦🇼"))[0]["alpha_2"] == "AW"
    assert [r["flag"] for r in iso.ask("Country", order_by=[{"column": "alpha_2"}])] == \
        [c["flag"] for c in sorted(iso.countries, key=lambda c: c["alpha_2"])]
    for name in ("Arbëreshë", "Côte d'Ivoire", "Åland Islands"):
        model = "Country" if name != "Arbëreshë" else "Language"
        rows = iso.countries if model == "Country" else iso.languages
        expected = sum(name in r["name"] for r in rows)
        assert expected and iso.count(model, leaf("name", "LIKE", f"%{name}%")) == expected
    outside = [s for s in iso.subdivisions if any(ord(c) > 0x17F for c in s["name"])]
    assert len(outside) > 50
    for entry in outside[:20]:
        assert entry["code"] in [r["code"] for r in iso.ask("Subdivision", leaf("name", "==", entry["name"]))]
    expected = sum(len(s["name"]) == 4 for s in iso.subdivisions)
    assert iso.count("Subdivision", leaf("name", "LIKE", "____")) == expected


def references(iso):
    by_parent = {}
    for entry in iso.subdivisions:
        by_parent.setdefault(entry["parent_id"], []).append(entry["code"])
    biggest = max((p for p in by_parent if p), key=lambda p: len(by_parent[p]))
    got = [r["code"] for r in iso.ask("Subdivision", leaf("parent_id", "==", biggest), order_by=[{"column": "code"}])]
    assert got == sorted(by_parent[biggest])
    joined = iso.client.post("/v1/sql/fetch-all", {"using": iso.name, "sql": (
        "SELECT c.alpha_2 AS c, count(*) AS n FROM subdivision s JOIN country c ON c.alpha_2 = s.country_id "
        "JOIN subdivision p ON p.code = s.parent_id GROUP BY c.alpha_2 ORDER BY c.alpha_2")}).expect(200).json()["rows"]
    expected = {}
    for entry in iso.subdivisions:
        if entry["parent_id"]:
            expected[entry["country_id"]] = expected.get(entry["country_id"], 0) + 1
    assert {row["c"]: row["n"] for row in joined} == expected


def single_records(iso):
    session = iso.client.session(using=iso.name)
    for row in full(iso.languages, LANGUAGE)[::400]:
        assert session.get(f"/v1/models/Language/records/{row['alpha_3']}").expect(200).json() == row
    for entry in iso.subdivisions[::300]:
        path = f"/v1/models/Subdivision/records/{urllib.parse.quote(entry['code'])}"
        assert session.get(path).header("Ferro-Identity") == "miss"
        answer = session.get(path).expect(200)
        assert answer.header("Ferro-Identity") == "hit" and answer.json() == entry
    session.delete("/v1/session").expect(204)


def refusals(iso):
    post = iso.client.post
    using = {"using": iso.name}
    stray = {"code": "ZZ-1", "name": "x", "type": "x", "country_id": "ZZ", "parent_id": None}
    post("/v1/models/Subdivision/records", stray, params=using).problem(409, "foreign_key_violation")
    post("/v1/models/Subdivision/records", stray | {"country_id": "FR", "parent_id": "nowhere"}, params=using).problem(409, "foreign_key_violation")
    post("/v1/models/Country/records", iso.countries[0], params=using).problem(409, "unique_violation")
    assert iso.count("Subdivision") == len(iso.subdivisions)
    assert isinstance(iso.client, Client)
