"""Foreign keys over several columns are relations: followed, included, filtered by and counted, in both directions."""
import pytest

from support.schema import introspect, quiet, register, run

TABLES = """CREATE TABLE plant (co char(2) NOT NULL, no integer NOT NULL, name varchar(20), PRIMARY KEY (co, no));
CREATE TABLE ord (co char(2) NOT NULL, yr integer NOT NULL, made_co char(2), made_no integer, sent_co char(2), sent_no integer,
    PRIMARY KEY (co, yr), FOREIGN KEY (made_co, made_no) REFERENCES plant (co, no) ON UPDATE CASCADE,
    FOREIGN KEY (sent_co, sent_no) REFERENCES plant (co, no));
CREATE TABLE line (co char(2) NOT NULL, yr integer NOT NULL, n integer NOT NULL, item varchar(9), PRIMARY KEY (co, yr, n),
    FOREIGN KEY (co, yr) REFERENCES ord (co, yr) ON DELETE CASCADE);
CREATE TABLE note (co char(2) NOT NULL, yr integer NOT NULL, txt varchar(9), PRIMARY KEY (co, yr),
    FOREIGN KEY (co, yr) REFERENCES ord (co, yr));
INSERT INTO plant VALUES ('01', 1, 'one'), ('01', 2, 'two'), ('02', 1, 'three');
INSERT INTO ord VALUES ('01', 1, '01', 1, '02', 1), ('01', 2, '01', 2, NULL, NULL), ('02', 1, '01', 1, '01', NULL);
INSERT INTO line VALUES ('01', 1, 1, 'a'), ('01', 1, 2, 'b'), ('01', 2, 1, 'a'), ('02', 1, 1, 'c');
INSERT INTO note VALUES ('01', 1, 'x')"""


@pytest.fixture
def made(conn):
    run(conn.backend, TABLES)
    register(conn.client)
    answer = introspect(conn, register=True)
    conn.models = {m["model_name"]: m for m in answer["payload"]["models"]}
    yield conn
    register(conn.client)


def rows(conn, name, **more):
    more.setdefault("order_by", [{"column": "co"}, {"column": "yr"}])
    return conn.client.post("/v1/query", {"model_name": name, **more}, params=conn.using).expect(200).json()["rows"]


def related(name, quantifier, *where):
    return [{"node_kind": "relation", "relation": name, "quantifier": quantifier, "where": list(where)}]


def leaf(column, value):
    return {"node_kind": "leaf", "column": column, "operator": "==", "value": value}


def test_names_and_kinds(made):
    """Named as the target's table; after the columns, too, where there are two; to one where a key is the whole key."""
    said = {name: {r["name"]: (r["kind"], r["target"], r.get("columns")) for r in m["relations"]} for name, m in made.models.items()}
    assert said["line"] == {"ord": ("forward", "ord", ["co", "yr"])}
    assert said["ord"] == {
        "plant_by_made_co_made_no": ("forward", "plant", ["made_co", "made_no"]), "plant_by_sent_co_sent_no": ("forward", "plant", ["sent_co", "sent_no"]),
        "line_set": ("reverse", "line", ["co", "yr"]), "note_set": ("one_to_one", "note", ["co", "yr"])}
    assert set(said["plant"]) == {"ord_set_by_made_co_made_no", "ord_set_by_sent_co_sent_no"}
    quiet(made)


def test_followed(made):
    get = lambda path: made.client.get(f"/v1/models/{path}", params=made.using).expect(200).json()
    assert get("line/records/01,2,1/ord")["row"]["made_no"] == 1, "a key's parts are in the order of their columns' names: co, n, yr"
    assert get("ord/records/01,1/plant_by_made_co_made_no")["row"]["name"] == "one"
    assert get("ord/records/01,2/plant_by_sent_co_sent_no")["row"] is None
    assert get("ord/records/02,1/plant_by_sent_co_sent_no")["row"] is None, "a key that is null in part points at nothing"
    assert [r["item"] for r in get("ord/records/01,1/line_set")["rows"]] == ["a", "b"]
    assert get("ord/records/01,1/note_set")["row"]["txt"] == "x"


def test_included(made):
    got = rows(made, "ord", include=["plant_by_made_co_made_no", "plant_by_sent_co_sent_no", "line_set", "note_set"])
    assert [r["plant_by_made_co_made_no"]["name"] for r in got] == ["one", "two", "one"]
    assert [r["plant_by_sent_co_sent_no"] and r["plant_by_sent_co_sent_no"]["name"] for r in got] == ["three", None, None]
    assert [[x["item"] for x in r["line_set"]] for r in got] == [["a", "b"], ["a"], ["c"]]
    assert [r["note_set"] and r["note_set"]["txt"] for r in got] == ["x", None, None]
    one = rows(made, "ord", include=[{"relation": "line_set", "limit": 1, "order_by": [{"column": "n", "direction": "desc"}]}])
    assert [[x["item"] for x in r["line_set"]] for r in one] == [["b"], ["a"], ["c"]]
    page = made.client.get("/v1/models/ord/records?select=yr&include=line_set&order=co,yr", params=made.using).expect(200).json()["rows"]
    assert [set(r) for r in page] == [{"yr", "line_set"}] * 3 and len(page[0]["line_set"]) == 2


def test_filtered_and_counted(made):
    key = lambda got: [(r["co"], r["yr"]) for r in got]
    assert key(rows(made, "ord", where=related("line_set", "any", leaf("item", "a")))) == [("01", 1), ("01", 2)]
    assert key(rows(made, "ord", where=related("line_set", "none", leaf("item", "a")))) == [("02", 1)]
    assert key(rows(made, "ord", where=related("line_set", "all", leaf("item", "a")))) == [("01", 2)]
    assert key(rows(made, "ord", where=related("plant_by_sent_co_sent_no", "none"))) == [("01", 2), ("02", 1)]
    assert key(rows(made, "line", where=[{**leaf("made_no", 1), "relation": "ord"}])) == [("01", 1), ("01", 1), ("02", 1)]
    assert key(rows(made, "line", where=[{**leaf("name", "two"), "relation": "ord.plant_by_made_co_made_no"}])) == [("01", 2)]
    counted = rows(made, "ord", select=["yr", {"count": "line_set", "as": "n"}])
    assert [r["n"] for r in counted] == [2, 1, 1]
    listed = made.client.get("/v1/models/ord/records?line_set!any=(item.eq.b)&select=co,plant_by_made_co_made_no(name)", params=made.using).expect(200)
    assert listed.json()["rows"] == [{"co": "01", "plant_by_made_co_made_no": {"name": "one"}}]
    assert rows(made, "line", order_by=[{"column": "name", "relation": "ord.plant_by_made_co_made_no"}, {"column": "co"}, {"column": "n"}])[-1]["yr"] == 2


def test_declared(conn):
    """A key over several columns of a model that is written by hand, made by create-tables."""
    plant = {"model_name": "Plant", "columns": [{"name": "co", "logical_type": "string", "primary_key": True},
                                                {"name": "no", "logical_type": "integer", "primary_key": True}]}
    order = {"model_name": "Ord", "columns": [{"name": "id", "logical_type": "integer", "primary_key": True}, {"name": "co", "logical_type": "string"},
                                              {"name": "no", "logical_type": "integer"}],
             "foreign_keys": [{"columns": ["co", "no"], "to_table": "plant", "to_columns": ["co", "no"], "on_delete": "CASCADE"}]}
    register(conn.client, plant, order)
    conn.client.post("/v1/create-tables", conn.using).expect(200)
    quiet(conn)
    conn.client.post("/v1/models/Plant/records", {"co": "a,b", "no": 1}, params=conn.using).expect(201)
    conn.client.post("/v1/models/Ord/records", {"co": "a,b", "no": 1}, params=conn.using).expect(201)
    conn.client.post("/v1/models/Ord/records", {"co": "a,b", "no": 2}, params=conn.using).problem(409, "foreign_key_violation")
    assert conn.client.get("/v1/models/Plant/records/a%2Cb,1/ord_set", params=conn.using).expect(200).json()["row_count"] == 1
    for broken in ({"columns": ["co", "no"], "to_columns": ["co"]}, {"columns": ["co", "zz"], "to_columns": ["co", "no"]}):
        bad = {**order, "foreign_keys": [{**order["foreign_keys"][0], **broken}]}
        conn.client.put("/v1/models", {"models": [plant, bad]}).problem(422, "invalid_schema")


def test_a_many_to_many_has_both_its_sides(conn):
    """Though one declares it; what is linked from either side is seen from the other."""
    post, tag = ({"model_name": n, "columns": [{"name": "id", "logical_type": "integer", "primary_key": True}, {"name": "name", "logical_type": "string"}]}
                 for n in ("Post", "Tag"))
    join = {"model_name": "PostTag", "columns": [{"name": c, "logical_type": "integer", "primary_key": True} for c in ("post_id", "tag_id")],
            "foreign_keys": [{"column": "post_id", "to_table": "post"}, {"column": "tag_id", "to_table": "tag"}]}
    post["relations"] = [{"name": "tags", "kind": "many_to_many", "target": "Tag", "through": "posttag"}]
    register(conn.client, post, tag, join)
    [other] = [r for r in conn.client.get("/v1/models/Tag").json()["relations"] if r["kind"] == "many_to_many"]
    assert (other["name"], other["target"], other["source_column"], other["derived"]) == ("post_set", "Post", "tag_id", True)
    conn.client.post("/v1/create-tables", conn.using).expect(200)
    for name in ("Post", "Tag"):
        for i in (1, 2):
            conn.client.post(f"/v1/models/{name}/records", {"id": i, "name": f"{name}{i}"}, params=conn.using).expect(201)
    assert conn.client.put("/v1/models/Tag/records/1/post_set", {"ids": [1, 2]}, params=conn.using).expect(200).json()["rows_affected"] == 2
    assert [r["name"] for r in conn.client.get("/v1/models/Post/records/2/tags", params=conn.using).json()["rows"]] == ["Tag1"]
    got = conn.client.post("/v1/query", {"model_name": "Tag", "include": ["post_set"], "order_by": [{"column": "id"}]}, params=conn.using).json()["rows"]
    assert [[p["name"] for p in t["post_set"]] for t in got] == [["Post1", "Post2"], []]
    both = {**tag, "relations": [{"name": "posts", "kind": "many_to_many", "target": "Post", "through": "posttag"}]}
    register(conn.client, post, both, join)
    assert [r["name"] for r in conn.client.get("/v1/models/Tag").json()["relations"] if r["kind"] == "many_to_many"] == ["posts"]
    register(conn.client)
