"""Functions in the expressions of a schema (checks, generated columns, indexes, FTS) hold no loop, whoever made it and whoever runs them."""
import sqlite3

import pytest

from support.client import Client
from support.server import Server

from test_sqlite_limits import TURN, VALUE_BYTES, Pulse

MIB = 1024 * 1024
OBJECT = "{" + ",".join(f'"k{i}":{i}' for i in range(9000)) + "}"
CHECKS = {
    "hex": ("CHECK (length(hex(zeroblob(300000000))) > 0)", "x"),
    "randomblob": ("CHECK (length(randomblob(300000000)) > 0)", "x"),
    "printf": ("CHECK (length(printf('%.*f%.*f', 8000000, 1.5, 8000000, 1.5)) > 0)", "x"),
    "json_patch": ("CHECK (length(json_patch(a, a)) > 0)", OBJECT),
    "like": ("CHECK (a NOT LIKE '%' || substr(a, 1, 900) || 'b%')", "a_" * (2 * MIB)),
    "glob": ("CHECK (a NOT GLOB '*' || substr(a, 1, 900) || 'b*')", "a?" * (2 * MIB)),
    "instr": ("CHECK (instr(a, substr(a, 1, 1000000) || 'b') = 0)", "a" * (4 * MIB)),
    "quote": ("CHECK (length(quote(zeroblob(7000000))) > 0)", "x"),
    "stored": (", b INTEGER GENERATED ALWAYS AS (instr(a, substr(a, 1, 1000000) || 'b')) STORED", "a" * (4 * MIB)),
    "stored printf": (", b INTEGER GENERATED ALWAYS AS (length(printf('%.*f', 15000000, length(a)))) STORED", "a"),
    "virtual printf": (", b INTEGER GENERATED ALWAYS AS (length(printf('%.*f', 15000000, length(a)))) VIRTUAL", "a"),
    "virtual": (", b INTEGER GENERATED ALWAYS AS (instr(a, substr(a, 1, 1000000) || 'b')) VIRTUAL", "a" * (4 * MIB)),
}
MODEL = {"model_name": "T", "table_name": "t", "columns": [{"name": "id", "logical_type": "integer", "primary_key": True},
                                                           {"name": "a", "logical_type": "string"}]}
B = {"name": "b", "logical_type": "integer", "nullable": True, "generated": "always", "read_only": True}


@pytest.fixture
def house(tmp_path):
    def made(*sql):
        path = tmp_path / "made.db"
        db = sqlite3.connect(path)
        for each in sql:
            db.execute(each)
        db.commit()
        db.close()
        server = Server("--loops", "1", "--default-url", f"sqlite:{path}", "--sqlite-value-bytes", str(VALUE_BYTES), "--statement-timeout-seconds", "20")
        servers.append(server)
        return server.__enter__()
    servers = []
    yield made
    for server in servers:
        server.__exit__(None, None, None)


@pytest.mark.parametrize("name", CHECKS)
def test_expressions_of_a_table(house, name):
    clause, value = CHECKS[name]
    server = house(f"CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT NOT NULL {clause})")
    with Client(server.port, timeout=120) as client:
        model = {**MODEL, "columns": MODEL["columns"] + ([B] if "GENERATED" in clause else [])}
        client.put("/v1/models", {"models": [model]}).expect(200)
        with Pulse(server.port) as pulse:
            answers = [client.post("/v1/models/T/records", {"id": 1, "a": value}),
                       client.post("/v1/sql/execute", {"sql": "INSERT INTO t (id, a) VALUES (2, ?)", "args": [value]}),
                       client.get("/v1/models/T/records?limit=5"), client.patch("/v1/models/T/records/1", {"a": value + " "})]
        assert {a.status for a in answers} <= {200, 201, 204, 400, 404, 409, 413, 422, 504}, [a.body[:300] for a in answers]
        assert pulse.longest < TURN, (pulse.longest, [a.status for a in answers])


@pytest.mark.parametrize("index", ["printf('%.*f', 15000000, length(a))", "json_patch(a, a)", "instr(a, substr(a, 1, 1000000) || 'b')"])
def test_expressions_of_an_index(house, index):
    server = house("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT NOT NULL)", f"CREATE INDEX i ON t (length({index}))")
    with Client(server.port, timeout=120) as client:
        client.put("/v1/models", {"models": [MODEL]}).expect(200)
        with Pulse(server.port) as pulse:
            for value in (OBJECT, OBJECT + " "):
                answer = client.post("/v1/models/T/records", {"a": value})
                assert answer.status in (201, 400, 413, 504), answer.body[:300]
        assert pulse.longest < TURN, pulse.longest
