"""A connection that the tests of one module share: for tests that only read, or that clean up after themselves."""
import contextlib
import itertools
import shutil
import tempfile
import types

import pytest

from .client import Client
from .tables import create_tables

_numbers = itertools.count(1)


@contextlib.contextmanager
def shared_connection(server, postgres, kind, prepare):
    """kind: "sqlite" or "postgres". Like the fixture conn; prepare(conn) runs once."""
    if kind == "sqlite":
        directory = tempfile.mkdtemp(prefix="ferrod-sqlite-")
        backend = types.SimpleNamespace(name="sqlite", url=f"sqlite:{directory}/test.db?mode=rwc", path=f"{directory}/test.db")
    else:
        database = postgres.create_database()
        backend = types.SimpleNamespace(name="postgres", url=postgres.url(database), database=database, pg=postgres)
    name = f"shared{next(_numbers)}"
    with Client(server.port) as client:
        client.post("/v1/connections", {"name": name, "url": backend.url}).expect(201)
        conn = types.SimpleNamespace(name=name, backend=backend, client=client, using={"using": name})
        prepare(conn)
        yield conn
        if server.alive:
            client.delete(f"/v1/connections/{name}?force=true")
    if kind == "sqlite":
        shutil.rmtree(directory, ignore_errors=True)
    else:
        postgres.drop_database(database)


def shared_fixture(prepare, dress=lambda conn: conn):
    """A module's own fixture, on each database in turn: what `dress` makes of a connection that `prepare` has filled once."""
    @pytest.fixture(scope="module", params=["sqlite", "postgres"])
    def shared(request, _holder, _postgres):
        with shared_connection(_holder.get(), _postgres, request.param, prepare) as conn:
            yield dress(conn)
    return shared


def shared_tables(*models):
    """The same with the tables of models."""
    return shared_fixture(lambda conn: create_tables(conn.client, conn.name, *models))
