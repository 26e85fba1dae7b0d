"""What a newer libpq can do is compiled in where its headers have it, and used; an older one's way is used elsewhere."""
import concurrent.futures
import pathlib
import subprocess

import pytest

from support.client import Client
from support.process import wait_for
from support.server import Server, sanitized
from support.tables import create_tables

SHIM = pathlib.Path(__file__).resolve().parents[1] / "support/preload/tell_calls.c"
ROW = {"model_name": "Row", "columns": [{"name": "id", "logical_type": "integer", "primary_key": True}, {"name": "n", "logical_type": "integer"}]}
# first version of libpq that has it, the function, and what stands in for it before
NEWER = ((17, "PQsendPipelineSync", None), (17, "PQsetChunkedRowsMode", "PQsetSingleRowMode"), (17, "PQsendClosePrepared", None), (17, "PQcancelStart", None))
STATEMENTS = 150  # more than a connection keeps


@pytest.fixture
def watched(tmp_path, postgres_backend):
    """A server whose calls of libpq are told, its client, and the file that they are told to."""
    if sanitized():
        pytest.skip("a sanitizer wants to be the first library")
    shim, told = tmp_path / "tell_calls.so", tmp_path / "calls"
    subprocess.run(["gcc", "-shared", "-fPIC", "-D_GNU_SOURCE", "-o", shim, SHIM, "-ldl"], check=True)
    told.touch()
    with Server("--default-url", postgres_backend.url, env={"LD_PRELOAD": str(shim), "TELL_CALLS": str(told)}) as server, \
            Client(server.port) as client:
        create_tables(client, "default", ROW)
        yield server, client, lambda: set(told.read_text(encoding="utf-8").split())


def test_what_a_newer_libpq_can_do_is_used(watched):
    server, client, told = watched
    major = int(client.get("/version").expect(200).json()["libpq"].split(".", maxsplit=1)[0])
    client.post("/v1/models/Row/records", {"records": [{"n": n} for n in range(500)]}).expect(201)
    # rows that come a few at a time
    rows = client.post("/v1/query", {"model_name": "Row"}, headers={"Accept": "application/x-ndjson"}).expect(200)
    assert len(rows.text.splitlines()) > 500
    # more statements than are kept prepared
    for n in range(STATEMENTS):
        client.post("/v1/sql/fetch-one", {"sql": f"SELECT {n} AS n"}).expect(200)
    # one that is cancelled
    client.post("/v1/sql/fetch-one", {"sql": "SELECT pg_sleep(30)"}, headers={"Prefer": "timeout=0.3"}).problem(504, "statement_timeout")

    def work(number):
        with Client(server.port) as own:
            for n in range(20):
                own.post("/v1/models/Row/records", {"n": 1000 * number + n}).expect(201)
                own.get(f"/v1/models/Row/records/{n + 1}").expect(200)

    def together():
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))
        return major < 17 or "PQsendPipelineSync" in told()

    wait_for(together, 60, "statements that share a pipeline")
    for since, function, before in NEWER:
        assert (function in told()) == (major >= since), (major, told())
        assert before is None or (before in told()) == (major < since), (major, told())
    assert "PQpipelineSync" in told()
