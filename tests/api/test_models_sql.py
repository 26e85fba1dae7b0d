"""SQL that models bring for indexes, checks, exclusions, domains and types stays inside the place it was given for."""
import pytest

from support.schema import column, model


def one(more=None, **parts):
    return {"models": [model("T", column("a", **(more or {})), **parts)]}


BROKEN = {
    "a statement behind a predicate": one(indexes=[{"name": "i", "columns": ["a"], "where": "1=1; DROP TABLE t"}]),
    "a predicate that closes its parenthesis": one(indexes=[{"name": "i", "columns": ["a"], "where": "1=1) ; --"}]),
    "an expression that closes its parenthesis": one(indexes=[{"name": "i", "keys": [{"expression": "lower(a)); DROP TABLE t; --"}]}]),
    "two expressions for one": one(checks=[{"name": "c", "expression": "1, 2"}]),
    "a comment": one(checks=[{"name": "c", "expression": "a = 1 -- )"}]),
    "a constraint behind a type": one({"sqlite_type": "TEXT CHECK (0)"}),
    "a statement behind a type": one({"sqlite_type": "TEXT); DROP TABLE t; --"}),
    "an operator that is none": one(exclusions=[{"name": "e", "method": "gist", "keys": [{"column": "a", "operator": "= , (select 1)"}]}]),
    "a domain's check": one({"db_type": "d", "type_kind": "domain", "base_type": "text",
                             "domain": {"checks": [{"name": "x", "expression": "1); DROP TABLE t; --"}]}}),
}


@pytest.mark.parametrize("what", sorted(BROKEN))
def test_one_expression_and_no_more(client, what):
    assert client.put("/v1/models", BROKEN[what]).problem(422, "invalid_schema")["errors"]


def test_names_are_quoted(client):
    """Collations, operator classes, methods and sequences are names, whatever stands in them."""
    name = 'C" ; DROP TABLE t; --'
    client.put("/v1/models", one({"collation": name, "sequence": {"name": name}}, indexes=[
        {"name": "i", "method": name, "keys": [{"column": "a", "operator_class": name, "collation": name}]}])).expect(200)
    text = client.get("/v1/ddl?dialect=postgres").expect(200).text
    assert text.count('"C"" ; DROP TABLE t; --"') == 5 and text.count("DROP TABLE") == 5
    client.put("/v1/models", {"models": []}).expect(200)
