"""The paths of the matrix: generators that write or read one record; they yield requests and are sent the answers."""
import json

OWNER = {"model_name": "Owner", "columns": [{"name": "id", "logical_type": "integer", "primary_key": True}]}
THING = {"model_name": "Thing", "columns": [
    {"name": "id", "logical_type": "integer", "primary_key": True},
    {"name": "n", "logical_type": "integer"},
    {"name": "owner_id", "logical_type": "integer"}],
    "foreign_keys": [{"column": "owner_id", "to_table": "owner", "to_column": "id", "on_delete": "CASCADE", "related_name": "things"}]}
HOLDER = {"model_name": "Holder", "columns": [
    {"name": "id", "logical_type": "integer", "primary_key": True},
    {"name": "thing_id", "logical_type": "integer"}],
    "relations": [{"name": "thing", "kind": "forward", "target": "Thing", "column": "thing_id"}]}
GONE = "gone"
# what may be answered when others are in the way; the value is then what it was
REFUSED = {"serialization_failure", "transaction_aborted", "database_busy", "pool_timeout", "transaction_ended"}


class Refused(Exception):
    """The server said no, for a reason that is part of the game."""


class Wrong(Exception):
    """A path was answered what it must not be."""


def good(answer, *more):
    """The answer's document; a refusal that is part of the game ends the path."""
    status, _, body = answer
    if status < 300 or status in more:
        return json.loads(body) if body and body[:1] in b"{[" else body
    code = json.loads(body)["code"]
    if code in REFUSED:
        raise Refused(code)
    raise AssertionError(f"{status}: {body[:500]!r}")


# ---- reads: end with the value seen, GONE, or None when the path shows none ----

def of(row):
    return GONE if row is None else row["n"]


def record(i):
    return f"/v1/models/Thing/records/{i}"


def one(i, **more):
    return {"model_name": "Thing", "where": [{"node_kind": "leaf", "column": "id", "operator": "==", "value": i}], **more}


def shown(answer):
    found = good(answer, 404)
    return GONE if answer[0] == 404 else of(found)


def first_of(rows):
    return of(rows[0] if rows else None)


def r_get(i):
    return shown((yield "GET", record(i)))


def r_no_cache(i):
    return shown((yield "GET", record(i), None, {"Cache-Control": "no-cache"}))


def r_refresh(i):
    return shown((yield "POST", record(i) + "/refresh"))


def r_list(i):
    return first_of(good((yield "GET", f"/v1/models/Thing/records?id=eq.{i}"))["rows"])


def r_ndjson(i):
    status, _, body = yield "GET", f"/v1/models/Thing/records?id=eq.{i}", None, {"Accept": "application/x-ndjson"}
    row = good((status, {}, body.split(b"\n")[0]))
    return GONE if "$end" in row else of(row)


def r_query(i):
    return first_of(good((yield "POST", "/v1/query", one(i)))["rows"])


def r_first(i):
    return of(good((yield "POST", "/v1/query/first", one(i)))["row"])


def r_include(i):
    query = {"model_name": "Holder", "include": ["thing"],
             "where": [{"node_kind": "leaf", "column": "id", "operator": "==", "value": i}]}
    return of(good((yield "POST", "/v1/query", query))["rows"][0]["thing"])


def r_relation(i):
    return of(good((yield "GET", f"/v1/models/Holder/records/{i}/thing"))["row"])


def r_batch_get(i, atomic=True):
    answer = yield "POST", "/v1/batch", {"atomic": atomic, "steps": [{"op": "get", "model": "Thing", "pk": i}]}
    found = good(answer, 404)
    if answer[0] == 404 or "error" in found["results"][0]:
        return GONE
    return of(found["results"][0]["body"])


def r_batch_get_alone(i):
    return (yield from r_batch_get(i, atomic=False))


def r_batch_query(i):
    found = good((yield "POST", "/v1/batch", {"steps": [{"op": "count", "query": one(i)}, {"op": "query", "query": one(i)}]}))
    return first_of(found["results"][1]["body"]["rows"])


def r_get_or_create(i):
    return of(good((yield "POST", "/v1/models/Thing/get-or-create", {"where": {"id": i}, "defaults": {"n": -1, "owner_id": i}}))["record"])


def r_patch_nothing(i):
    return shown((yield "PATCH", record(i), {}))


def r_create_ignored(i):
    return of(good((yield "POST", "/v1/models/Thing/records?on_conflict=ignore", {"id": i, "n": -1, "owner_id": i})))


def begun(answer):
    good(answer)
    return {"Ferro-Transaction": answer[1]["ferro-transaction"]}


def inside(i, isolation):
    tx = begun((yield "POST", "/v1/transactions", {"isolation": isolation}))
    seen = shown((yield "GET", record(i), None, tx))
    again = shown((yield "GET", record(i), None, tx))
    good((yield "POST", f"/v1/transactions/{tx['Ferro-Transaction']}/commit"))
    if isolation != "read_committed" and seen != again:
        raise Wrong(f"a snapshot showed {seen}, then {again}")
    return again


def r_in_committed(i):
    return (yield from inside(i, "read_committed"))


def r_in_snapshot(i):
    return (yield from inside(i, "repeatable_read"))


def r_locked(i):
    tx = begun((yield "POST", "/v1/transactions", {"isolation": "read_committed"}))
    answer = yield "POST", "/v1/query", one(i, lock="update"), tx
    yield "POST", f"/v1/transactions/{tx['Ferro-Transaction']}/commit"
    return first_of(good(answer)["rows"])


# ---- writes: end with the value that is acknowledged, GONE, or None when nothing has changed ----

def w_patch(i, v):
    good((yield "PATCH", record(i), {"n": v}))
    return v


def w_put(i, v):
    good((yield "PUT", record(i), {"n": v, "owner_id": i}))
    return v


def w_upsert(i, v):
    good((yield "POST", "/v1/models/Thing/records?on_conflict=update", {"id": i, "n": v, "owner_id": i}))
    return v


def w_bulk_upsert(i, v):
    good((yield "POST", "/v1/models/Thing/records?on_conflict=update", {"records": [{"id": i, "n": v, "owner_id": i}]}))
    return v


def w_update_or_create(i, v):
    good((yield "POST", "/v1/models/Thing/update-or-create", {"where": {"id": i}, "defaults": {"n": v}}))
    return v


def w_query(i, v):
    good((yield "POST", "/v1/query/update", {"query": one(i), "set": {"n": v}}))
    return v


def w_query_returning(i, v):
    good((yield "POST", "/v1/query/update", {"query": one(i), "set": {"n": v}}, {"Prefer": "return=representation, max-affected=1"}))
    return v


def text_of(i, v):
    return f"UPDATE thing SET n = {v} WHERE id = {i}"


def w_raw(i, v):
    good((yield "POST", "/v1/sql/execute", {"sql": text_of(i, v)}))
    return v


def w_raw_returning(i, v):
    good((yield "POST", "/v1/sql/fetch-all", {"sql": text_of(i, v) + " RETURNING n"}))
    return v


def save_step(i, v):
    return {"op": "save", "model": "Thing", "pk": i, "record": {"n": v, "owner_id": i}}


def update_step(i, v):
    return {"op": "update", "query": one(i), "set": {"n": v}}


def w_batch_save(i, v):
    good((yield "POST", "/v1/batch", {"steps": [save_step(i, v - 1), {"op": "count", "query": one(i)}, save_step(i, v)]}))
    return v


def w_batch_update(i, v):
    good((yield "POST", "/v1/batch", {"steps": [{"op": "get", "model": "Thing", "pk": i}, update_step(i, v)]}))
    return v


def w_batch_raw(i, v):
    good((yield "POST", "/v1/batch", {"steps": [save_step(i, v - 1), {"op": "sql.execute", "sql": text_of(i, v)}]}))
    return v


def w_batch_each(i, v):
    found = good((yield "POST", "/v1/batch", {"atomic": False, "steps": [update_step(i, v - 1), save_step(i, v)]}))
    if any("error" in step for step in found["results"]):
        raise Refused("a step of a batch")
    return v


def w_batch_fails(i, v):
    """Atomic, written and read, and then undone by a step that cannot be."""
    steps = [save_step(i, -v), {"op": "query", "query": one(i)}, {"op": "create", "model": "Thing", "record": {"id": i, "n": 0, "owner_id": i}}]
    good((yield "POST", "/v1/batch", {"steps": steps}), 409)


def w_undone(i, v):
    good((yield "PATCH", record(i), {"n": -v}, {"Prefer": "tx=rollback"}))


def w_batch_undone(i, v):
    good((yield "POST", "/v1/batch", {"steps": [save_step(i, -v)]}, {"Prefer": "tx=rollback"}))


def w_refused(i, v):
    """412, after which the map has to have the record as it is."""
    good((yield "PATCH", record(i), {"n": -v}, {"If-Match": '"of another version"'}), 412)


def ending(tx, path):
    """The path, after which the transaction is rolled back if it was refused."""
    try:
        return (yield from path)
    except Refused:
        yield "POST", f"/v1/transactions/{tx['Ferro-Transaction']}/rollback"
        raise


def in_tx(i, steps, end="commit", isolation=None):
    tx = begun((yield "POST", "/v1/transactions", {} if isolation is None else {"isolation": isolation}))

    def path():
        for step in steps:
            good((yield step + (tx,)))
        good((yield "POST", f"/v1/transactions/{tx['Ferro-Transaction']}/{end}"))
    yield from ending(tx, path())


def tx_path(*makers, end="commit", isolation=None, keeps=True):
    def path(i, v):
        yield from in_tx(i, [maker(i, v) for maker in makers], end, isolation)
        return v if keeps else None
    return path


def s_get(i, _):
    return "GET", record(i), None


def s_patch(i, v):
    return "PATCH", record(i), {"n": v}


def s_patch_before(i, v):
    return "PATCH", record(i), {"n": v - 1}


def s_patch_never(i, v):
    return "PATCH", record(i), {"n": -v}


def s_query(i, v):
    return "POST", "/v1/query/update", {"query": one(i), "set": {"n": v}}


def s_query_never(i, v):
    return "POST", "/v1/query/update", {"query": one(i), "set": {"n": -v}}


def s_raw(i, v):
    return "POST", "/v1/sql/execute", {"sql": text_of(i, v)}


def w_savepoint(i, v, end="commit"):
    tx = begun((yield "POST", "/v1/transactions", {}))
    return (yield from ending(tx, in_savepoint(i, v, tx, end)))


def in_savepoint(i, v, tx, end):
    good((yield s_patch_before(i, v) + (tx,)))
    inner = begun((yield "POST", "/v1/transactions", {}, tx))
    good((yield s_patch(i, v if end == "commit" else -v) + (inner,)))
    good((yield s_get(i, v) + (inner,)))
    good((yield "POST", f"/v1/transactions/{inner['Ferro-Transaction']}/{end}"))
    good((yield s_get(i, v) + (tx,)))
    good((yield "POST", f"/v1/transactions/{tx['Ferro-Transaction']}/commit"))
    return v if end == "commit" else v - 1


def w_savepoint_undone(i, v):
    return (yield from w_savepoint(i, v, "rollback"))


def w_raw_back(i, v):
    """A savepoint of the client's own words, gone back to by them."""
    tx = begun((yield "POST", "/v1/transactions", {}))
    return (yield from ending(tx, raw_back(i, v, tx)))


def raw_back(i, v, tx):
    good((yield s_patch(i, v) + (tx,)))
    good((yield "POST", "/v1/sql/execute", {"sql": "SAVEPOINT mine"}, tx))
    good((yield s_patch_never(i, v) + (tx,)))
    good((yield "POST", "/v1/sql/execute", {"sql": "ROLLBACK TO SAVEPOINT mine"}, tx))
    found = shown((yield s_get(i, v) + (tx,)))
    good((yield "POST", f"/v1/transactions/{tx['Ferro-Transaction']}/commit"))
    if found != v:
        raise Wrong(f"after ROLLBACK TO the transaction shows {found}, not {v}")
    return v


def w_raw_commit(i, v):
    tx = begun((yield "POST", "/v1/transactions", {}))

    def path():
        good((yield s_patch(i, v) + (tx,)))
        good((yield "POST", "/v1/sql/execute", {"sql": "COMMIT"}, tx))
        return v
    return (yield from ending(tx, path()))


def w_delete(i, _):
    good((yield "DELETE", record(i)))
    return GONE


def w_query_delete(i, _):
    good((yield "POST", "/v1/query/delete", one(i)))
    return GONE


def w_cascade(i, _):
    good((yield "DELETE", f"/v1/models/Owner/records/{i}"))
    return GONE


def s_delete(i, _):
    return "DELETE", record(i), None


def w_tx_delete(i, v):
    yield from in_tx(i, [s_delete(i, v)])
    return GONE


READS = [r_get, r_no_cache, r_refresh, r_list, r_ndjson, r_query, r_first, r_include, r_relation, r_batch_get, r_batch_get_alone,
         r_batch_query, r_get_or_create, r_patch_nothing, r_create_ignored, r_in_committed, r_in_snapshot, r_locked]
WRITES = {path.__name__: path for path in [
    w_patch, w_put, w_upsert, w_bulk_upsert, w_update_or_create, w_query, w_query_returning, w_raw, w_raw_returning, w_batch_save,
    w_batch_update, w_batch_raw, w_batch_each, w_batch_fails, w_undone, w_batch_undone, w_refused, w_savepoint, w_savepoint_undone,
    w_raw_back, w_raw_commit, w_delete, w_query_delete, w_cascade, w_tx_delete]}
WRITES.update({
    "w_tx_patch": tx_path(s_patch_before, s_get, s_patch),
    "w_tx_query": tx_path(s_query, s_get),
    "w_tx_raw": tx_path(s_raw, s_get),
    "w_tx_snapshot": tx_path(s_patch, s_get, isolation="repeatable_read"),
    "w_tx_reads_first": tx_path(s_get, s_patch, isolation="serializable"),
    "w_tx_back": tx_path(s_patch_never, s_get, end="rollback", keeps=False),
    "w_tx_query_back": tx_path(s_query_never, s_get, end="rollback", keeps=False),
})
# reads that would make a deleted record again
MAKING = {r_get_or_create, r_create_ignored}
PAIRS = [(name, read) for name in WRITES for read in READS
         if not (read in MAKING and name in ("w_delete", "w_query_delete", "w_cascade", "w_tx_delete"))]
