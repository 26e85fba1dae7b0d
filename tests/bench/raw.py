"""Legs of bench.py: what people write themselves (raw SQL, batches, transactions), lists, exports, and packing."""
import http.client
import json
import pathlib
import subprocess
import time

from support.client import Client

EXPORT_ROWS = 1_000_000
ONE = {"sql": "SELECT id, name, note, price, qty FROM item WHERE id = $1", "args": [777]}
INSERT = {"sql": "INSERT INTO written (name, qty, price) VALUES (?, ?, ?)", "args": ["x", 1, 1.5]}
UPDATES = {"atomic": True, "steps": [
    {"op": "sql.execute", "sql": "UPDATE written SET qty = qty + 1 WHERE id = $1", "args": [1]},
    {"op": "sql.execute", "sql": "UPDATE item SET qty = qty + 1 WHERE id = $1", "args": [1]}]}
LIST = {"model_name": "Listed", "where": [{"node_kind": "leaf", "column": "qty", "operator": "==", "value": 7}],
        "order_by": [{"column": "id", "direction": "asc"}], "limit": 100}
LISTED = {"model_name": "Listed", "columns": [
    {"name": "id", "logical_type": "integer", "primary_key": True}, {"name": "name", "logical_type": "string"},
    {"name": "qty", "logical_type": "integer", "index": True}, {"name": "price", "logical_type": "number"},
    {"name": "note", "logical_type": "string", "nullable": True}]}
# key: (group, what, at least, aim, "max" when less is better, unit)
BARS = {
    "pg_raw_one": ("raw", "PostgreSQL, one record by raw sql/fetch-one: rps against pgbench -S", 0.6, 0.75, "min", "x"),
    "sqlite_raw_insert": ("raw", "SQLite, raw single inserts, FULL sync: rps against bare C commits", 3.0, 4.5, "min", "x"),
    "sqlite_batch": ("raw", "SQLite, atomic batch of two raw updates: rps against bare C commits", 2.5, 4.0, "min", "x"),
    "pg_batch": ("raw", "PostgreSQL, atomic batch of two raw updates: rps against pgbench with the same transaction", 0.75, 0.95, "min", "x"),
    "pg_tx": ("raw", "PostgreSQL, transaction of two updates in two requests: rps against pgbench with the same", 0.4, 0.6, "min", "x"),
    "pg_list": ("raw", "PostgreSQL, list of 100 rows by filter and order: rps against pgbench with the same SQL", 0.55, 0.7, "min", "x"),
    "pg_list_cpu": ("raw", "the same: PostgreSQL CPU per request against pgbench", 1.15, 1.0, "max", "x"),
    "gzip": ("raw", "100 rows packed by gzip: CPU against plain", 2.2, 1.6, "max", "x"),
    "export_pg": ("export", "1,000,000 rows out as NDJSON from PostgreSQL: time against COPY TO", 2.0, 1.3, "max", "x"),
    "export_sqlite": ("export", "1,000,000 rows out as NDJSON from SQLite: time against sqlite3 -json", 1.0, 0.7, "max", "x"),
}
# Many clients update rows of their own, so that none waits for another's lock.
OWN_ROWS = """
math.randomseed(os.time())
local headers = {["Content-Type"] = "application/json"}
function request()
  local a, b = math.random(1, 100000), math.random(1, 100000)
  if a > b then a, b = b, a end
  return wrk.format("POST", wrk.path, headers, string.format([[%s]], a, b))
end
"""
# One connection a thread: its requests take turns, and each knows the transaction that the one before has opened.
TWO_REQUESTS = """
math.randomseed(os.time())
local id, headers = nil, {["Content-Type"] = "application/json"}
function request()
  local from = id == nil and 1 or 50001
  local body = string.format([[{"sql":"UPDATE item SET qty = qty + 1 WHERE id = $1","args":[%d]}]], math.random(from, from + 49999))
  if id == nil then
    headers["Ferro-Transaction"], headers["Ferro-Transaction-End"] = "new;timeout=2", nil
  else
    headers["Ferro-Transaction"], headers["Ferro-Transaction-End"] = id, "commit"
  end
  return wrk.format("POST", wrk.path, headers, body)
end
function response(status, answered)
  if id == nil then
    for k, v in pairs(answered) do if string.lower(k) == "ferro-transaction" then id = v end end
  else
    id = nil
  end
end
"""
TWO_UPDATES = ("\\set a random(1, 50000)\n\\set b random(50001, 100000)\nBEGIN;\nUPDATE item SET qty = qty + 1 WHERE id = :a;\n"
               "UPDATE item SET qty = qty + 1 WHERE id = :b;\nCOMMIT;\n")


def own_rows(body):
    """UPDATES with two placeholders for wrk's script: rows in order, so that two batches never wait for each other crosswise."""
    text = json.dumps(body)
    return OWN_ROWS % text.replace("%", "%%").replace('"args": [1]', '"args": [%d]')


def lite_updates():
    lite = json.loads(json.dumps(UPDATES).replace("$1", "?"))
    lite["steps"][0]["sql"] = lite["steps"][1]["sql"]
    return lite


def two_requests(bench):
    figures = bench.wrk("POST", "/v1/sql/execute?using=pg", {}, script=TWO_REQUESTS, threads=64)
    time.sleep(2.5)  # those that were open when wrk ended
    return {**figures, "rps": figures["rps"] / 2}


def setup(bench):
    for name in ("lite", "pg"):
        bench.client.post("/v1/sql/execute", {"using": name, "sql": "INSERT INTO written (id, name, qty, price) VALUES (1, 'x', 1, 1.5) "
                                              "ON CONFLICT DO NOTHING"}).expect(200)
    bench.pg.psql("CREATE TABLE listed AS SELECT * FROM item; ALTER TABLE listed ADD PRIMARY KEY (id);"
                  "CREATE INDEX listed_qty ON listed (qty, id); ANALYZE listed", "bench")
    bench.client.put("/v1/models?set=listed", {"models": [LISTED]}).expect(200)


def run(bench, rounds):
    setup(bench)
    lite = lite_updates()
    pg = {**UPDATES, "steps": [UPDATES["steps"][1]] * 2}
    for _ in range(rounds):
        bench.leg("pg raw one", lambda: bench.wrk("POST", "/v1/sql/fetch-one?using=pg", ONE))
        bench.leg("pgbench -S of raw", lambda: bench.pgbench("\\set id random(1, 100000)\n" + ONE["sql"].replace("$1", ":id") + ";\n"))
        bench.leg("sqlite raw insert", lambda: bench.wrk("POST", "/v1/sql/execute?using=lite", INSERT))
        bench.leg("sqlite batch", lambda: bench.wrk("POST", "/v1/batch?using=lite", lite, script=own_rows(lite)))
        bench.leg("commits floor of raw", lambda: {"rps": bench.floor_sqlite("commits", bench.seconds)})
        bench.leg("pg batch", lambda: bench.wrk("POST", "/v1/batch?using=pg", pg, script=own_rows(pg)))
        bench.leg("pg transaction", lambda: two_requests(bench))
        bench.leg("pgbench two updates", lambda: bench.pgbench(TWO_UPDATES))
        bench.leg("pg list", lambda: bench.wrk("POST", "/v1/query?using=pg", LIST))
        bench.leg("pgbench list", lambda: bench.pgbench(
            "SELECT id, name, note, price, qty FROM listed WHERE qty = 7 ORDER BY id LIMIT 100;\n"))
    packing(bench, rounds)
    bench.set("pg_raw_one", bench.ratio("pg raw one", "pgbench -S of raw", "rps"))
    bench.set("sqlite_raw_insert", bench.ratio("sqlite raw insert", "commits floor of raw", "rps"))
    bench.set("sqlite_batch", bench.ratio("sqlite batch", "commits floor of raw", "rps"))
    bench.set("pg_batch", bench.ratio("pg batch", "pgbench two updates", "rps"))
    bench.set("pg_tx", bench.ratio("pg transaction", "pgbench two updates", "rps"))
    bench.set("pg_list", bench.ratio("pg list", "pgbench list", "rps"))
    bench.set("pg_list_cpu", bench.ratio("pg list", "pgbench list", "pg_us"))


def packing(bench, rounds):
    """On a server that packs for this machine's own clients, too."""
    with bench.fresh("--compression", "on")[0] as server, Client(server.port, validate=False) as client:
        client.post("/v1/connections", {"name": "lite", "url": f"sqlite:{bench.sqlite_path}", "default": True}).expect(201)
        client.put("/v1/models?set=listed", {"models": [{**LISTED, "table_name": "item"}]}).expect(200)
        to = {"port": server.port, "pid": server.process.pid}
        body = {"model_name": "Listed", "limit": 100}
        for _ in range(rounds):
            bench.leg("rows plain", lambda: bench.wrk("POST", "/v1/query", body, **to))
            bench.leg("rows by gzip", lambda: bench.wrk("POST", "/v1/query", body, headers={"Accept-Encoding": "gzip"}, **to))
    bench.set("gzip", bench.ratio("rows by gzip", "rows plain", "cpu_us"))


# ---- a million rows out ----

def export(bench, using):
    """Seconds to read all of it."""
    body = json.dumps({"sql": "SELECT id, name, note, price, qty FROM exported", "using": using})
    start = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", bench.server.port, timeout=120)
    connection.request("POST", "/v1/sql/fetch-all", body, {"Content-Type": "application/json", "Accept": "application/x-ndjson"})
    answer = connection.getresponse()
    assert answer.status == 200
    tail = b""
    while chunk := answer.read(1 << 18):
        tail = (tail + chunk)[-200:]
    assert f'"row_count":{EXPORT_ROWS}'.encode() in tail, tail
    connection.close()
    return {"ms": 1e3 * (time.monotonic() - start)}


def timed(*command):
    start = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=120)
    return {"ms": 1e3 * (time.monotonic() - start)}


def run_export(bench, rounds):
    bench.client.close()  # idle for longer than the server keeps it
    columns = "SELECT i AS id, 'item ' || i AS name, 'a note about item ' || i AS note, i * 0.25 AS price, i * 7 % 1000 AS qty FROM "
    recursive = f"(WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < {EXPORT_ROWS}) SELECT i FROM r)"
    bench.client.post("/v1/sql/execute", {"using": "lite", "sql": "CREATE TABLE exported AS " + columns + recursive}).expect(200)
    bench.pg.psql("CREATE TABLE exported AS " + columns.replace("i * 0.25", "i * 0.25::float8")
                  + f"generate_series(1, {EXPORT_ROWS}) i; ANALYZE exported", "bench")
    psql = (str(pathlib.Path(bench.pg.bin) / "psql"), "-X", "-q", "-h", "127.0.0.1", "-p", str(bench.pg.port), "-U", "ferrod", "-d", "bench",
            "-c", "COPY (SELECT id, name, note, price, qty FROM exported) TO STDOUT")
    for _ in range(rounds):
        bench.leg("export pg", lambda: export(bench, "pg"))
        bench.leg("COPY TO", lambda: timed(*psql))
        bench.leg("export lite", lambda: export(bench, "lite"))
        bench.leg("sqlite3 -json", lambda: timed("sqlite3", "-json", bench.sqlite_path, "SELECT id, name, note, price, qty FROM exported"))
    bench.set("export_pg", bench.ratio("export pg", "COPY TO", "ms"))
    bench.set("export_sqlite", bench.ratio("export lite", "sqlite3 -json", "ms"))
