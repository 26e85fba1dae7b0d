"""A read is never older than a write that was answered before it: what reads share must not show."""
import threading

from support.client import Client
from support.schema import column, migrate, model, register

N_WRITERS = 8
N_WRITES = 60


def test_a_read_after_an_answered_write_sees_it(server, conn):
    """Each writer counts its row up through one connection and reads it through another, on whatever loop that is, while
    others keep the loops reading."""
    register(conn.client, model("Counter", column("n", "integer")))
    migrate(conn)
    for i in range(N_WRITERS):
        conn.client.post("/v1/models/Counter/records", {"id": i + 1, "n": 0}, params=conn.using).expect(201)
    stop = threading.Event()
    stale, failed = [], []

    def path(i):
        return f"/v1/models/Counter/records/{i + 1}?using={conn.name}"

    def count(i):
        try:
            with Client(server.port) as writer, Client(server.port) as first, Client(server.port) as second:
                for n in range(1, N_WRITES + 1):
                    writer.patch(path(i), {"n": n}).expect(200)
                    for reader in (first, second):
                        seen = reader.get(path(i)).expect(200).json()["n"]
                        if seen != n:
                            stale.append((i, n, seen))
        except Exception as e:  # noqa: BLE001: told below
            failed.append(e)

    def read():
        try:
            with Client(server.port) as client:
                while not stop.is_set():
                    client.get(path(0)).expect(200)
        except Exception as e:  # noqa: BLE001
            failed.append(e)

    readers = [threading.Thread(target=read) for _ in range(4)]
    writers = [threading.Thread(target=count, args=(i,)) for i in range(N_WRITERS)]
    for thread in readers + writers:
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in readers:
        thread.join()
    assert not failed
    assert not stale
