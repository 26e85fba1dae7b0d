"""Object-relational mappers of others: each creates and fills a database, ferrod introspects it and writes, and the
mapper's own models read back what ferrod wrote. Django, SQLAlchemy, Prisma, Drizzle and Rails (ActiveRecord as Debian has
it), each on both databases. Their programs are in apps/: `make` creates and fills, `read` tells the books as JSON."""
import json
import pathlib
import shutil
import traceback

from support.client import Client
from support.pg import Postgres
from support.server import Server

APPS = pathlib.Path(__file__).parent / "apps"
DJANGO = "Django==5.2.8"
SQLALCHEMY = "SQLAlchemy==2.0.44"
PSYCOPG = "psycopg[binary]==3.2.12"
DRIZZLE = ("drizzle-orm@0.44.7", "drizzle-kit@0.31.6", "pg@8.16.3", "@libsql/client@0.15.15")
# 6.19 is the last whose schema engine comes as WebAssembly in the package; others load a binary from elsewhere
PRISMA = ("prisma@6.19.3", "@prisma/client@6.19.3", "@prisma/adapter-pg@6.19.3", "@prisma/adapter-libsql@6.19.3")

ID = "00000000-0000-0000-0000-000000000009"
# what ferrod is given of a new book, and what the mapper then reads of it
NEW = {"id": ID, "title": "New ü", "price": "9.25", "printed": "2026-05-05T05:05:05.5", "day": "2026-05-05", "at": "05:05:05",
       "meta": {"new": [1, None]}, "good": False, "cover": "AP8="}
SAID = {"id": ID, "title": "New ü", "price": "9.25", "printed": "2026-05-05T05:05:05.500Z", "day": "2026-05-05", "at": "05:05:05",
        "meta": {"new": [1, None]}, "good": False, "cover": "00ff"}


def walk(client, name, url, model, new):
    """Introspects, finds each row by each of its values, pages, and writes; what went wrong."""
    client.close()    # the tool may have taken longer than the server keeps an idle connection
    client.post("/v1/connections", {"name": name, "url": url}).expect(201)
    client.put("/v1/models", {"models": []}).expect(200)
    client.post("/v1/introspect", {"using": name, "register": True}).expect(200)
    wrong, using = [], {"using": name}
    answer = client.post("/v1/migrate", {"using": name, "dry_run": True}).expect(200).json()
    wrong += [f"not quiet: {text}" for text in answer["statements"]] + [f"warned: {w['detail']}" for w in answer["warnings"]]
    rows = client.post("/v1/query", {"model_name": model}, params=using).expect(200).json()["rows"]
    for row in rows:
        for column, value in row.items():
            where = [{"node_kind": "leaf", "column": column, "operator": "==", "value": value}]
            found = client.post("/v1/query", {"model_name": model, "where": where}, params=using)
            if found.status != 200 or row not in found.json()["rows"]:
                wrong.append(f"{column} {value!r}: {found.text[:200]}")
    seen, cursor = [], None
    while len(seen) < 9:
        page = client.post("/v1/query", {"model_name": model, "order_by": [{"column": "printed", "direction": "desc"}], "limit": 3,
                                         **({"cursor": cursor} if cursor else {})}, params=using).expect(200).json()
        seen, cursor = seen + page["rows"], page.get("next_cursor")
        if not cursor:
            break
    if sorted(str(r["id"]) for r in seen) != sorted(str(r["id"]) for r in rows):
        wrong.append(f"pages: {[r['id'] for r in seen]}")
    client.post(f"/v1/models/{model}/records", new, params=using).expect(201)
    first = rows[0]["id"]
    client.patch(f"/v1/models/{model}/records/{first}", {"title": "Patched"}, params=using).expect(200)
    client.put(f"/v1/models/{model}/records/{rows[1]['id']}", rows[1], params=using).expect(200)
    client.delete(f"/v1/models/{model}/records/{rows[3]['id']}", params=using).expect(204)
    client.delete(f"/v1/connections/{name}?force=true").expect(204)
    return wrong


def judge(before, after, said):
    """What the mapper read before and after: the new row, the patched one, the one put back as it was, and the one gone."""
    if [r[0] for r in after] != [r[0] for r in before[:3]] + [said[0]]:
        return [f"rows: {[r[0] for r in after]}"]
    wrong = []
    if after[0][1] != "Patched" or after[0][2:] != before[0][2:]:
        wrong.append(f"patched: {after[0]} was {before[0]}")
    wrong += [f"changed: {now} was {was}" for was, now in zip(before[1:3], after[1:3]) if was != now]
    if after[3][:len(said)] != said:
        wrong.append(f"new: {after[3]} is not {said}")
    return wrong


def walked(client, name, url, model, new, said, script):
    script("make")
    before = json.loads(script("read"))
    wrong = walk(client, name, url, model, new)
    return wrong + judge(before, json.loads(script("read")), list(said.values()))


class Place:
    """A fresh database of one tool: its name, where the tool finds it, and where ferrod does."""

    def __init__(self, tool, kind, server, postgres):
        self.name, self.kind = f"{tool}_{kind}", kind
        self.database = postgres.create_database() if kind == "postgres" else f"{server.dir}/{tool}.db"
        self.url = postgres.url(self.database) if kind == "postgres" else f"sqlite:{self.database}?mode=rw"
        self.port = postgres.port


def django(foreign, client, place):
    python = foreign.venv("tools", DJANGO, SQLALCHEMY, PSYCOPG) / "python"
    target = place.database
    if place.kind == "postgres":
        target = json.dumps({"NAME": place.database, "USER": "ferrod", "HOST": "127.0.0.1", "PORT": str(place.port)})
    new = {**NEW, "stock": 1, "printed": NEW["printed"] + ("Z" if place.kind == "postgres" else "")}
    said = {**SAID, "printed": "2026-05-05T05:05:05.500000+00:00", "stock": 1, "shelf": None}
    return walked(client, place.name, place.url, "books_book", new, said,
                  lambda step: foreign.run(python, APPS / "django_app.py", place.kind, target, step))


def sqlalchemy(foreign, client, place):
    python = foreign.venv("tools", DJANGO, SQLALCHEMY, PSYCOPG) / "python"
    target = f"sqlite:///{place.database}" if place.kind == "sqlite" else place.url.replace("postgres://", "postgresql+psycopg://")
    said = {**SAID, "printed": "2026-05-05T05:05:05.500000", "state": "busy"}
    return walked(client, place.name, place.url, "book", {**NEW, "state": "busy"}, said,
                  lambda step: foreign.run(python, APPS / "sqlalchemy_app.py", place.kind, target, step))


def packages(foreign, tool, *wanted):
    """The packages of npm, in a directory in which those of the databases lie."""
    place = foreign.work / tool
    place.mkdir(exist_ok=True)
    have = place / "have.json"
    if not have.exists() or json.loads(have.read_text()) != list(wanted):
        foreign.run("npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", place, *wanted)
        have.write_text(json.dumps(wanted))
    return place


def drizzle(foreign, client, place):
    where = packages(foreign, "drizzle", *DRIZZLE)
    app = f"drizzle_{place.kind}.cjs"
    shutil.copy(APPS / app, where)
    if place.kind == "postgres":
        new = {**{k: v for k, v in NEW.items() if k != "cover"}, "printed": NEW["printed"] + "Z", "state": "busy", "tags": ["x"]}
        said = {**{k: v for k, v in SAID.items() if k != "cover"}, "tags": ["x"], "state": "busy"}
    else:  # its times are numbers, its documents texts, its booleans integers
        new = {**NEW, "printed": 1777957505500, "meta": json.dumps(NEW["meta"]), "good": 0, "state": "busy", "weight": 0.5}
        said = {**SAID, "state": "busy", "weight": 0.5}
    target = place.url if place.kind == "postgres" else place.database
    return walked(client, place.name, place.url, "book", new, said, lambda step: foreign.run("node", app, target, step, cwd=where))


def prisma(foreign, client, place):
    """Tables as `prisma db push` makes them; the client with a driver of JavaScript and a query compiler of WebAssembly."""
    where = packages(foreign, "prisma", *PRISMA) / place.kind
    where.mkdir(exist_ok=True)
    shutil.copy(APPS / f"prisma_{place.kind}.prisma", where / "schema.prisma")
    shutil.copy(APPS / "prisma.config.mjs", where)
    shutil.copy(APPS / "prisma_app.cjs", where)
    env = {"DATABASE_URL": place.url if place.kind == "postgres" else f"file:{place.database}", "CHECKPOINT_DISABLE": "1", "PRISMA_HIDE_UPDATE_MESSAGE": "1"}

    def script(step):
        if step == "make":
            tool = where.parent / "node_modules/.bin/prisma"
            foreign.run(tool, "generate", cwd=where, env=env)
            foreign.run(tool, "db", "push", "--skip-generate", cwd=where, env=env)
        return foreign.run("node", "prisma_app.cjs", step, cwd=where, env=env)
    postgres = place.kind == "postgres"
    new = {**NEW, "printed": NEW["printed"] + "Z", "state": "busy", **({"tags": ["x"]} if postgres else {"day": "2026-05-05T00:00:00Z", "at": "1970-01-01T05:05:05Z"})}
    return walked(client, place.name, place.url, "Book", new, {**SAID, "state": "busy", "tags": ["x"] if postgres else None, "times": True}, script)


def rails(foreign, client, place):
    target = place.database
    if place.kind == "postgres":
        target = json.dumps({"database": place.database, "username": "ferrod", "host": "127.0.0.1", "port": place.port})
    new = {**{k: v for k, v in NEW.items() if k != "id"}, "state": 1}
    said = {**SAID, "id": 5, "printed": "2026-05-05T05:05:05.500000Z", "state": "busy", "shelf": None, "times": True}
    return walked(client, place.name, place.url, "books", new, said, lambda step: foreign.run("ruby", APPS / "rails_app.rb", place.kind, target, step))


def outcome(tool, *arguments):
    """What went wrong; a tool that fails keeps none of the others from their turn."""
    try:
        return tool(*arguments)
    except Exception:
        return [traceback.format_exc()]


def run(foreign):
    postgres = Postgres()
    try:
        with Server() as server, Client(server.port, validate=False) as client:
            for tool in (django, sqlalchemy, drizzle, prisma, rails):
                for kind in ("sqlite", "postgres"):
                    yield f"{tool.__name__} on {kind}", outcome(tool, foreign, client, Place(tool.__name__, kind, server, postgres))
    finally:
        postgres.destroy()
