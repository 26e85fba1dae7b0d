"""Every interleaving of small scenarios, with the invariants checked after each."""
import os
import time
import uuid

import pytest

from support.isolation import Run, TooSlow, interleavings

# name: words, isolation levels
SCENARIOS = {
    "lost_update": (["brwc", "brwc"], ("read_committed", "repeatable_read")),
    "blind_writes": (["bwc", "bwk"], ("read_committed", "repeatable_read")),
    "dirty_read": (["bwkr", "rrr"], ("read_committed",)),
    "write_and_autocommit": (["bwrc", "oo"], ("read_committed", "repeatable_read")),
    "repeatable_reads": (["brrc", "bwc"], ("read_committed", "repeatable_read", "serializable")),
    "savepoint_rollback": (["bwswSc", "rr"], ("read_committed",)),
    "savepoint_release": (["bswCk", "brc"], ("repeatable_read",)),
    "failed_in_a_savepoint": (["brswSrc", "oo"], ("repeatable_read",)),
    "session_ends": (["bwx", "brwc"], ("read_committed", "repeatable_read")),
    "map": (["GGEG", "PGQ"], ("read_committed",)),
    "map_refresh": (["GFG", "GPG"], ("read_committed",)),
    "disconnect": (["bwdc", "rr"], ("read_committed",)),
    "disconnect_in_a_savepoint": (["bwswdSc", "r"], ("read_committed",)),
    "expires": (["twec", "rr"], ("read_committed",)),
    "expires_before_others": (["twe", "bwc"], ("read_committed", "repeatable_read")),
    "expires_after_a_failure": (["trwer", "o"], ("repeatable_read",)),
    "expires_in_a_savepoint": (["tswer", "r"], ("read_committed",)),
    "idle_session": (["bwzc", "rr"], ("read_committed",)),
    "idle_session_with_a_lock": (["bwz", "bwc"], ("read_committed",)),
    "three_sessions": (["bwc", "rr", "br"], ("read_committed",)),
    "map_of_three": (["GG", "PE", "QF"], ("read_committed",)),
}
CASES = [(name, level) for name, (_, levels) in SCENARIOS.items() for level in levels]
# as many interleavings of a case as are run, spread over all of them; FERROD_ISOLATION=all runs every one
PER_CASE = 10**9 if os.environ.get("FERROD_ISOLATION") == "all" else 16


@pytest.fixture
def row(conn):
    """A model with one row, id 1."""
    name = f"Iso{uuid.uuid4().hex[:8]}"
    conn.client.post("/v1/models", {"models": [{"model_name": name, "columns": [
        {"name": "id", "logical_type": "integer", "primary_key": True},
        {"name": "v", "logical_type": "integer"}]}]}).expect(200)
    conn.client.post("/v1/create-tables", {"using": conn.name}).expect(200)
    conn.client.post(f"/v1/models/{name}/records", {"id": 1, "v": 0}, params=conn.using).expect(201)
    yield name
    conn.client.delete(f"/v1/models/{name}").expect(204)


def reset(conn, name):
    conn.client.post("/v1/sql/execute", {"sql": f"UPDATE {name.lower()} SET v = 0 WHERE id = 1", "using": conn.name}).expect(200)


def check_invariants(conn, name, run):
    def gauges():
        answer = conn.client.get(f"/v1/connections/{conn.name}").expect(200).json()
        return answer["pool"]["in_use"], answer["transactions"], answer["sessions"]

    # a connection is on its way back for a moment after the answer
    deadline = time.monotonic() + 5
    while (found := gauges()) != (0, 0, 0) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert found == (0, 0, 0), f"{' '.join(run.trace)}: in use, transactions, sessions: {found}"
    got = conn.client.post("/v1/sql/fetch-one", {"sql": f"SELECT v FROM {name.lower()}", "using": conn.name})
    got = got.expect(200).json()["row"]["v"]
    assert got == run.model.value, f"{' '.join(run.trace)}: the row is {got}, the model has {run.model.value}"


@pytest.mark.parametrize("name, isolation", CASES, ids=[f"{n}-{level}" for n, level in CASES])
def test_interleavings(conn, row, name, isolation):
    words = SCENARIOS[name][0]
    orders = list(interleavings(words))
    timed = any(step in word for word in words for step in "ez")
    step = max(1, -(-len(orders) // (min(PER_CASE, 6) if timed and PER_CASE < 10**9 else PER_CASE)))
    for order in orders[::step]:
        for patience in (0.3, 1, 3, 9):
            try:
                play(conn, row, words, isolation, order, patience)
                break
            except TooSlow:
                continue
        else:
            pytest.fail(f"this machine is too slow for {order}")


def play(conn, row, words, isolation, order, patience):
    reset(conn, row)
    run = Run(conn, row, words, isolation, patience)
    try:
        for i, what in order:
            run.go(i, what)
        assert not run.waiting, f"{' '.join(run.trace)}: still waiting: {list(run.waiting)}"
    finally:
        run.close()
    check_invariants(conn, row, run)


def test_interleavings_are_all_and_distinct():
    orders = [tuple(order) for order in interleavings(["ab", "cd"])]
    assert len(orders) == len(set(orders)) == 6
    assert len(list(interleavings(["abcd", "abcd"]))) == 70
