"""`acting: role`: each unit of work takes its key's role, and what it touches is judged by that role's rights alone."""
import contextlib
import itertools
import signal
import types

import pytest

from support.client import Client
from support.keys import Keys
from support.pgbouncer import PgBouncer
from support.process import wait_for
from support.server import Server, run_binary
from support.tables import leaf
from test_acting import RELATIONS, SETUP, interleave, only, rows

LATE = """
CREATE TABLE done (at int PRIMARY KEY, who text);
CREATE TABLE audit (who text);
CREATE FUNCTION note_who() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO audit VALUES (current_user); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON done DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note_who();
CREATE SCHEMA hidden;
CREATE TABLE hidden.thing (id int PRIMARY KEY, tenant text);
INSERT INTO hidden.thing VALUES (1, 'a'), (2, 'b');
"""
GRANTS = """
CREATE ROLE {p}_pool LOGIN NOINHERIT; CREATE ROLE {p}_a; CREATE ROLE {p}_b; CREATE ROLE {p}_far;
GRANT {p}_a, {p}_b TO {p}_pool;
GRANT ALL ON note, tag, note_tag, open_note, done, audit TO {p}_a, {p}_b;
GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {p}_a, {p}_b;
GRANT CREATE ON SCHEMA public TO {p}_pool;
GRANT USAGE ON SCHEMA hidden TO {p}_a; GRANT SELECT ON hidden.thing TO {p}_a, {p}_b;
"""
NAMES = itertools.count(1)


def set_up(pg, database, prefix):
    told = SETUP.split("GRANT ALL")[0].split("CREATE ROLE {user} LOGIN;")[1]
    for setting in ("nullif(current_setting('app.tenant_id', true), '')", "current_setting('app.tenant_id', true)"):
        told = told.replace(setting, "right(current_user, 1)")
    pg.psql(told + LATE + GRANTS.format(p=prefix), database)


def tear_down(pg, database, prefix):
    for role in ("pool", "a", "b", "far"):
        pg.psql(f"DROP OWNED BY {prefix}_{role}; DROP ROLE {prefix}_{role}", database)


def add_keys(keys, prefix):
    for name, scopes, more in (
            ("a", "read write sql", {"role": f"{prefix}_a"}), ("b", "read write sql", {"role": f"{prefix}_b"}), ("boss", "admin", {}), ("none", "read write", {}),
            ("root", "admin", {"role": f"{prefix}_a"}), ("far", "read write", {"role": f"{prefix}_far"}), ("lost", "read write", {"role": f"{prefix}_nobody"}),
            ("both", "read write sql", {"role": f"{prefix}_a", "settings": {"app.who": "both"}})):
        keys.add(name, scopes.split())
        keys.entries[-1].update(more)
    keys.write()


def connect(boss, name, url, **options):
    return boss.post("/v1/connections", {"name": name, "url": url, "acting": "role", "pool": {"acquire_timeout_seconds": 30, "max_connections": 2}, **options})


def register(boss, using):
    found = boss.post("/v1/introspect", {"using": using}).expect(200).json()["payload"]["models"]
    for model in found:
        model["relations"] = RELATIONS.get(model["model_name"], [])
    boss.put("/v1/models", {"models": found}).expect(200)


@pytest.fixture(scope="module")
def house(_postgres, tmp_path_factory):
    """One server; `app` acts by role as a user who owns and may do nothing, with two connections."""
    pg, keys, prefix = _postgres, Keys(tmp_path_factory.mktemp("roles")), f"roles{next(NAMES)}"
    database = pg.create_database()
    set_up(pg, database, prefix)
    add_keys(keys, prefix)
    with Server("--default-url", "", "--state-url", "", "--keys-file", str(keys.path)) as server, keys.client(server.port, "boss") as boss:
        url = f"postgres://{prefix}_pool@127.0.0.1:{pg.port}/{database}"
        answer = connect(boss, "app", url, default=True, exactly_once=True).expect(201).json()
        assert answer["acting"] == "role" and "warnings" not in answer
        register(boss, "app")
        boss.post("/v1/models?set=hidden", {"models": [{"model_name": "thing", "schema": "hidden", "columns": [
            {"name": "id", "logical_type": "integer", "primary_key": True}, {"name": "tenant", "logical_type": "string"}]}]}).expect(200)
        with PgBouncer(pg, users=("ferrod", f"{prefix}_pool")) as bouncer:
            connect(boss, "pooled", f"postgres://{prefix}_pool@127.0.0.1:{bouncer.port}/{database}").expect(201)
            boss.post("/v1/connections/pooled/check").expect(200)
            yield types.SimpleNamespace(server=server, keys=keys, pg=pg, database=database, prefix=prefix, url=url, port=server.port,
                                        psql=lambda text: pg.psql(text, database), client=lambda name: keys.client(server.port, name), boss=boss)
    tear_down(pg, database, prefix)
    pg.drop_database(database)


def by_key(house, **more):
    return lambda port, name: Client(port, {"Authorization": f"Bearer {house.keys.texts[name]}", **more}, timeout=60)


def by_session(house):
    def opened(port, name):
        with house.client(name) as c:
            session = c.post("/v1/sessions", {}).expect(201).json()["session_id"]
        return Client(port, {"Authorization": f"Bearer {house.keys.texts[name]}", "Ferro-Session": session}, timeout=60)
    return opened


def test_roles_never_meet_on_any_road(house):
    interleave(house.port, by_key(house), n=1, steps=1)
    interleave(house.port, by_session(house), n=1, steps=1)
    assert house.psql("SELECT string_agg(tenant || id, ',' ORDER BY id) FROM note WHERE id < 1000").strip() == "a1,b2,a3,b4"


@contextlib.contextmanager
def behind_a_pooler(house):
    """PgBouncer in transaction mode, whose two connections go from hand to hand, as the default."""
    assert house.boss.get("/v1/connections/pooled").expect(200).json()["pool"]["pooler"] == "transaction"
    house.boss.put("/v1/default-connection", {"name": "pooled"}).expect(200)
    try:
        yield
    finally:
        house.boss.put("/v1/default-connection", {"name": "app"}).expect(200)


def test_roles_never_meet_behind_a_pooler(house):
    with behind_a_pooler(house):
        interleave(house.port, by_key(house), n=1, steps=1)


def who(c, **headers):
    return c.post("/v1/sql/fetch-one", {"sql": "SELECT current_user::text AS u"}, headers=headers).expect(200).json()["row"]["u"]


def test_settings_are_told_beside(house):
    with house.client("both") as c:
        text = {"sql": "SELECT current_user::text AS u, current_setting('app.who', true) AS w"}
        for headers in ({}, {"Ferro-Transaction": "new", "Ferro-Transaction-End": "commit"}):
            assert c.post("/v1/sql/fetch-one", text, headers=headers).expect(200).json()["row"] == {"u": f"{house.prefix}_a", "w": "both"}
        only(c.get("/v1/models/note/records"), "a")
        c.get("/v1/models/note/records", headers={"Ferro-Setting": "app.who=x"}).problem(403, "forbidden")


def test_schemas_are_the_roles(house):
    """The pool's user has no USAGE on it; a statement that one role has prepared is nothing to another."""
    with house.client("a") as a, house.client("b") as b:
        for c, status in ((a, 200), (b, 403)) * 3:
            assert c.get("/v1/models/thing/records").status == status
        assert len(rows(a.get("/v1/models/thing/records?id=eq.1"))) == 1


OFF = ["RESET ROLE", "SET ROLE {p}_b", "SET LOCAL ROLE {p}_b", "SELECT set_config('role', 'none', false)", "SELECT set_config('role', '{p}_b', true)",
       "SET SESSION AUTHORIZATION DEFAULT", "DO $$ BEGIN PERFORM set_config('role', 'none', false); END $$"]


@pytest.mark.parametrize("off", OFF)
def test_a_role_that_sql_takes_off_reaches_nobody_else(house, off):
    take_off(house, {"sql": off.format(p=house.prefix)})
    with behind_a_pooler(house):
        take_off(house, {"sql": off.format(p=house.prefix)})


def take_off(house, text):
    mine, other = f"{house.prefix}_a", f"{house.prefix}_b"
    query = {"op": "query", "query": {"model_name": "note", "where": [leaf("id", "<=", 4)]}}
    with house.client("a") as a, house.client("b") as b:
        for _ in range(3):  # whichever of the two connections it gets
            a.post("/v1/sql/execute", text).expect(200)
            assert (who(b), who(a)) == (other, mine)
            only(a.get("/v1/models/note/records?id=lte.4"), "a")
        for atomic in (True, False):  # what follows in the same unit goes by the role again
            done = a.post("/v1/batch", {"atomic": atomic, "steps": [query, {"op": "sql.execute", **text}, query, {"op": "sql.execute", **text},
                                                                    {"op": "sql.fetch_one", "sql": "SELECT current_user::text AS u"}, query]}).expect(200).json()["results"]
            assert {row["tenant"] for n in (0, 2, 5) for row in done[n]["body"]["rows"]} == {"a"} and done[4]["body"]["row"]["u"] == mine
        tx = {"Ferro-Transaction": a.post("/v1/transactions").expect(201).json()["transaction_id"]}
        inner = {"Ferro-Transaction": a.post("/v1/transactions", headers=tx).expect(201).json()["transaction_id"]}
        only(a.get("/v1/models/note/records?id=lte.4", headers=inner), "a")
        a.post("/v1/sql/execute", text, headers=inner).expect(200)
        only(a.get("/v1/models/note/records?id=lte.4", headers=inner), "a")
        a.post("/v1/sql/execute", text, headers=inner).expect(200)
        a.post(f"/v1/transactions/{inner['Ferro-Transaction']}/rollback").expect(200)
        assert who(a, **tx) == mine
        a.post("/v1/sql/execute", text, headers=tx).expect(200)
        a.post(f"/v1/transactions/{tx['Ferro-Transaction']}/commit").expect(200)
        assert (who(b), who(a), who(b)) == (other, mine, other)


def test_answers_are_kept_under_no_role(house):
    """_ferrod_once is the pool's user's alone; what fires at COMMIT fires under the role."""
    assert house.psql("SELECT tableowner FROM pg_tables WHERE tablename = '_ferrod_once'").strip() == f"{house.prefix}_pool"
    at = itertools.count(1)
    for name in "ab":
        role = f"{house.prefix}_{name}"
        with house.client(name) as c:
            for n in range(3):  # the first prepares what the others send along
                key = {"Idempotency-Key": f"{name}{n}"}
                body = {"at": next(at), "who": name}
                first, again = (c.post("/v1/models/done/records", body, headers=key).expect(201) for _ in range(2))
                assert first.json() == again.json() and again.header("Idempotency-Replayed") == "true"
            steps = [{"op": "create", "model": "done", "record": {"at": next(at)}}, {"op": "sql.execute", "sql": "RESET ROLE"},
                     {"op": "create", "model": "done", "record": {"at": next(at)}}]
            for _ in range(2):
                c.post("/v1/batch", {"steps": steps}, headers={"Idempotency-Key": name + "batch"}).expect(200)
            tx = {"Ferro-Transaction": c.post("/v1/transactions").expect(201).json()["transaction_id"]}
            here = {**tx, "Idempotency-Key": name + "tx"}
            body = {"at": next(at)}
            first, again = (c.post("/v1/models/done/records", body, headers=here).expect(201) for _ in range(2))
            assert again.header("Idempotency-Replayed") == "true"
            assert who(c, **tx) == role
            c.post(f"/v1/transactions/{tx['Ferro-Transaction']}/commit").expect(200)
            new = {"Ferro-Transaction": "new", "Ferro-Transaction-End": "commit", "Idempotency-Key": name + "new"}
            body = {"at": next(at)}
            for _ in range(2):
                c.post("/v1/models/done/records", body, headers=new).expect(201)
            c.post("/v1/models/done/records", body, headers={"Idempotency-Key": name + "again"}).problem(409, "unique_violation")
            assert house.psql(f"SELECT count(*) || ' ' || count(*) FILTER (WHERE who = '{role}') FROM audit").strip() == "7 7"
        house.psql("TRUNCATE audit")


def test_who_has_no_role_is_refused(house):
    for name, said in (("none", "this key has none"), ("boss", "this key has none"), ("lost", "there is no such role"), ("far", "permission denied to set role")):
        with house.client(name) as c:
            tried = [c.get("/v1/models/note/records"), c.post("/v1/query", {"model_name": "note"}), c.post("/v1/models/open_note/records", {"id": 9, "text": "x"}),
                     c.post("/v1/batch", {"steps": [{"op": "query", "query": {"model_name": "note"}}]}),
                     c.post("/v1/query", {"model_name": "note"}, headers={"Ferro-Transaction": "new", "Ferro-Transaction-End": "commit"})]
            if "none" in said:
                tried += [c.post("/v1/sessions", {}), c.post("/v1/transactions", {})]
            for answer in tried:
                assert said in answer.problem(403, "forbidden")["detail"], answer.body
    with house.client("a") as a:  # and a role is never dropped in silence
        for n, more in enumerate(({}, {"acting": "settings"})):
            house.boss.post("/v1/connections", {"name": f"plain{n}", "url": house.url, **more}).expect(201)
            a.get(f"/v1/models/note/records?using=plain{n}").problem(403, "forbidden")
            a.post("/v1/sessions", {"using": f"plain{n}"}).problem(403, "forbidden")
            house.boss.delete(f"/v1/connections/plain{n}").expect(204)
    assert house.boss.post("/v1/connections", {"name": "lite", "url": "sqlite::memory:", "acting": "role"}).problem(400, "invalid_request")["errors"][0]["pointer"] == "/acting"
    house.psql(f"GRANT {house.prefix}_far TO {house.prefix}_pool")  # what is granted later is taken from then on
    try:
        with house.client("far") as c:
            c.get("/v1/models/note/records").problem(403, "database_forbidden")
    finally:
        house.psql(f"REVOKE {house.prefix}_far FROM {house.prefix}_pool")


def test_without_keys_there_is_no_role(house):
    with Server("--default-url", "", "--state-url", "") as server, Client(server.port) as c:
        connect(c, "app", house.url, default=True).expect(201)
        assert "only keys have one" in c.post("/v1/sql/fetch-one", {"sql": "SELECT 1 AS n"}).problem(403, "forbidden")["detail"]


RIGHTS = [("GRANT SELECT ON note TO {u}", "REVOKE ALL ON note FROM {u}", "tables of its own", ["public.note"]),
          ("GRANT UPDATE (slug) ON note TO {u}", "REVOKE UPDATE (slug) ON note FROM {u}", "tables of its own", ["public.note"]),
          ("CREATE TABLE owned (id int); ALTER TABLE owned OWNER TO {u}", "DROP TABLE owned", "tables of its own", ["public.owned"]),
          ("ALTER ROLE {u} SUPERUSER", "ALTER ROLE {u} NOSUPERUSER", "superuser", None), ("ALTER ROLE {u} BYPASSRLS", "ALTER ROLE {u} NOBYPASSRLS", "row security", []),
          ("ALTER ROLE {u} CREATEROLE", "ALTER ROLE {u} NOCREATEROLE", "roles", []), ("ALTER SCHEMA hidden OWNER TO {u}", "ALTER SCHEMA hidden OWNER TO postgres", "schema", [])]


@pytest.mark.parametrize("give, take, said, tables", RIGHTS)
def test_the_pools_user_has_rights(house, give, take, said, tables):
    user = f"{house.prefix}_pool"
    owner = house.psql("SELECT nspowner::regrole FROM pg_namespace WHERE nspname = 'hidden'").strip()
    give, take = give.format(u=user), take.format(u=user).replace("postgres", owner)
    with house.client("a") as a, house.client("root") as root:
        text = {"sql": "SELECT current_user::text AS u"}
        assert "warnings" not in house.boss.post("/v1/connections/app/check").expect(200).json()
        assert who(a) == f"{house.prefix}_a"
        house.psql(give)
        try:
            warning, = house.boss.post("/v1/connections/app/check").expect(200).json()["warnings"]
            assert warning["code"] == "pool_user_has_rights" and said in warning["detail"], warning
            assert warning["tables"] == tables if tables is not None else "public.note" in warning["tables"] and "public._ferrod_once" not in warning["tables"]
            assert connect(house.boss, "more", house.url).expect(201).json()["warnings"] == [warning]
            house.boss.delete("/v1/connections/more").expect(204)
            for answer in (a.post("/v1/sql/fetch-one", text), a.post("/v1/sql/execute", text), a.post("/v1/batch", {"steps": [{"op": "sql.fetch_one", **text}]})):
                assert "pool_user_has_rights" in answer.problem(403, "forbidden")["detail"]
            only(a.get("/v1/models/note/records?id=lte.4"), "a")
            assert who(root) == f"{house.prefix}_a"
        finally:
            house.psql(take)
        house.boss.post("/v1/connections/app/check").expect(200)
        assert who(a) == f"{house.prefix}_a"


def test_a_user_that_inherits(house):
    """Its own flag, or what a membership says where the server has it."""
    user = f"{house.prefix}_pool"
    give = f"GRANT {house.prefix}_a TO {user} WITH INHERIT TRUE" if house.psql("SHOW server_version_num") >= "160000" else f"ALTER ROLE {user} INHERIT"
    take = give.replace("TRUE", "FALSE") if "WITH" in give else f"ALTER ROLE {user} NOINHERIT"
    house.psql(give)
    try:
        warning, = house.boss.post("/v1/connections/app/check").expect(200).json()["warnings"]
        assert "inherits" in warning["detail"] and "public.note" in warning["tables"]
    finally:
        house.psql(take)
    assert "warnings" not in house.boss.post("/v1/connections/app/check").expect(200).json()


def test_a_user_that_nobody_has_looked_at(house, tmp_path):
    """Declared in a catalog: raw SQL looks before it runs, within a transaction that has the pool's only connection, too."""
    house.psql(f"GRANT SELECT ON open_note TO {house.prefix}_pool")
    catalog = tmp_path / "catalog.json"
    catalog.write_text('{"connections": [{"name": "app", "default": true, "acting": "role", "pool": {"max_connections": 1}, "url": "%s"}]}' % house.url)
    try:
        with Server("--catalog", str(catalog), "--default-url", "", "--state-url", "", "--keys-file", str(house.keys.path)) as server, \
                house.keys.client(server.port, "a") as a:
            tx = a.post("/v1/transactions").expect(201).json()["transaction_id"]
            a.post("/v1/sql/execute", {"sql": "SELECT 1"}, headers={"Ferro-Transaction": tx}).problem(403, "forbidden")
    finally:
        house.psql(f"REVOKE SELECT ON open_note FROM {house.prefix}_pool")


def test_statements_are_named_by_role(house):
    """On tables with row security a plan is one role's."""
    connect(house.boss, "single", house.url, pool={"max_connections": 1}).expect(201)
    try:
        names = []
        for name in "abab":
            with house.client(name) as c:
                only(c.get("/v1/models/note/records?using=single&slug=eq.one"), name)
                names.append(int(c.post("/v1/sql/fetch-one?using=single", {"sql": "SELECT count(*) AS n FROM pg_prepared_statements WHERE statement LIKE '%FROM \"note\"%slug%' AND statement NOT LIKE '%prepared%'"})
                                 .expect(200).json()["row"]["n"]))
        assert names == [1, 2, 2, 2]
    finally:
        house.boss.delete("/v1/connections/single").expect(204)


def test_another_role_after_a_reload(house):
    """What began under the role before ends, and kept answers are withheld."""
    house.keys.add("moved", ["read", "write", "sql"])
    house.keys.entries[-1]["role"] = f"{house.prefix}_a"
    house.keys.write()
    house.server.process.send_signal(signal.SIGHUP)
    with house.client("moved") as c:
        wait_for(lambda: c.get("/v1/models").status == 200, 10, "the key")
        session = {"Ferro-Session": c.post("/v1/sessions").expect(201).json()["session_id"]}
        page = c.get("/v1/models/note/records?limit=1").expect(200).json()["next_cursor"]
        once = {"Idempotency-Key": "moved"}
        c.post("/v1/batch", {"steps": [{"op": "update", "query": {"model_name": "note", "where": [leaf("id", "==", 1)]}, "set": {"parent": None}}]}, headers=once).expect(200)
        house.keys.entries[-1]["role"] = f"{house.prefix}_b"
        house.keys.write()
        house.server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: c.get("/v1/session", headers=session).status == 410, 10, "the end of the session")
        assert c.get("/v1/models/note/records", params={"limit": 1, "cursor": page}).status == 400
        only(c.get("/v1/models/note/records?id=lte.4"), "b")
    house.keys.remove("moved")


def test_what_runs_as_the_pools_user(house):
    """Models' tables are made and looked at by the pool's user, who needs no role for it."""
    house.boss.post("/v1/migrate", {"using": "app", "dry_run": True, "set": ""}).expect(200)
    house.boss.post("/v1/introspect", {"using": "app"}).expect(200)


@pytest.mark.parametrize("role", ["", "none", 1, "x" * 64, "a\0b"])
def test_faults_of_an_entry(tmp_path, role):
    keys = Keys(tmp_path)
    keys.add("app", ["read"])
    keys.entries[0]["role"] = role
    keys.write()
    code, out, err = run_binary("check-config", "--keys-file", str(keys.path), "--listen", "127.0.0.1:0", "--default-url", "sqlite::memory:", "--state-url", "")
    assert (code, out) == (2, "") and len(err.strip().split("\n")) == 1 and "role" in err and "entry 0" in err, err


def test_a_new_key_with_a_role():
    code, out, _ = run_binary("key", "new", "--name", "n", "--scopes", "read", "--role", "app_reader")
    assert code == 0 and '"role":"app_reader"' in out
