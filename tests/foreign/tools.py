"""Object-relational mappers of others: each creates and fills a database, ferrod introspects it and writes, and the
mapper's own models read back what ferrod wrote. Django and SQLAlchemy on both databases, Drizzle on PostgreSQL (what it has
for SQLite comes as binaries of its own)."""
import json

from support.client import Client
from support.pg import Postgres
from support.server import Server

DJANGO = "Django==5.2.8"
SQLALCHEMY = "SQLAlchemy==2.0.44"
PSYCOPG = "psycopg[binary]==3.2.12"
DRIZZLE = ("drizzle-orm@0.44.7", "drizzle-kit@0.31.6", "pg@8.16.3")

DJANGO_APP = '''
import json, sys, uuid, datetime, decimal
import django
from django.conf import settings
kind, target, step = sys.argv[1:4]
base = {"ENGINE": "django.db.backends.sqlite3", "NAME": target} if kind == "sqlite" else {
    "ENGINE": "django.db.backends.postgresql", **json.loads(target)}
settings.configure(DATABASES={"default": base}, INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"], USE_TZ=True,
                   DEFAULT_AUTO_FIELD="django.db.models.BigAutoField")
django.setup()
from django.core.management import call_command
from django.db import connection, models

class Shelf(models.Model):
    label = models.CharField(max_length=20, unique=True)
    class Meta: app_label = "books"; db_table = "books_shelf"

class Book(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    title = models.CharField(max_length=80)
    price = models.DecimalField(max_digits=8, decimal_places=2)
    printed = models.DateTimeField()
    day = models.DateField(null=True)
    at = models.TimeField(null=True)
    meta = models.JSONField(default=dict)
    good = models.BooleanField(default=True)
    cover = models.BinaryField(null=True)
    stock = models.PositiveIntegerField(default=0)
    shelf = models.ForeignKey(Shelf, null=True, on_delete=models.SET_NULL)
    class Meta: app_label = "books"; db_table = "books_book"

if step == "make":
    call_command("migrate", verbosity=0)
    with connection.schema_editor() as editor:
        editor.create_model(Shelf); editor.create_model(Book)
    shelf = Shelf.objects.create(label="top")
    utc = datetime.timezone.utc
    for n in range(4):
        Book.objects.create(id=uuid.UUID(int=n + 1), title=f"Book {n}", price=decimal.Decimal("1.50") + n, day=datetime.date(2026, 1, n + 1),
            printed=datetime.datetime(2026, 1, 2, 3, 4, n, 123456 if n % 2 else 0, utc), at=datetime.time(1, 2, n), meta={"n": n, "deep": [None, 1.5]},
            cover=bytes([n, 255]), shelf=shelf if n else None)
else:
    print(json.dumps([[str(b.id), b.title, str(b.price), b.printed.isoformat(), str(b.day), str(b.at), b.meta, b.good,
                       b.cover and bytes(b.cover).hex(), b.stock, b.shelf and b.shelf.label] for b in Book.objects.order_by("id").select_related("shelf")]))
'''

SQLALCHEMY_APP = '''
import datetime, decimal, enum, json, sys, uuid
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Session, mapped_column, relationship
kind, target, step = sys.argv[1:4]
engine = sa.create_engine(target)
class Base(DeclarativeBase): pass
class State(enum.Enum):
    idle = "idle"
    busy = "busy"
class Shelf(Base):
    __tablename__ = "shelf"
    id = mapped_column(sa.Integer, primary_key=True)
    label = mapped_column(sa.String(20), unique=True)
class Book(Base):
    __tablename__ = "book"
    id = mapped_column(sa.Uuid, primary_key=True, default=uuid.uuid4)
    title = mapped_column(sa.String(80), nullable=False)
    price = mapped_column(sa.Numeric(8, 2), nullable=False)
    printed = mapped_column(sa.DateTime, nullable=False)
    day = mapped_column(sa.Date)
    at = mapped_column(sa.Time)
    meta = mapped_column("meta", sa.JSON)
    good = mapped_column(sa.Boolean, nullable=False, default=True)
    cover = mapped_column(sa.LargeBinary)
    state = mapped_column(sa.Enum(State), nullable=False, default=State.idle)
    shelf_id = mapped_column(sa.ForeignKey("shelf.id"))
    shelf = relationship(Shelf)
if step == "make":
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        shelf = Shelf(label="top")
        for n in range(4):
            session.add(Book(id=uuid.UUID(int=n + 1), title=f"Book {n}", price=decimal.Decimal("1.50") + n, day=datetime.date(2026, 1, n + 1),
                printed=datetime.datetime(2026, 1, 2, 3, 4, n, 123456 if n % 2 else 0), at=datetime.time(1, 2, n), meta={"n": n, "deep": [None, 1.5]},
                cover=bytes([n, 255]), shelf=shelf if n else None))
        session.commit()
else:
    with Session(engine) as session:
        print(json.dumps([[str(b.id), b.title, str(b.price), b.printed.isoformat(), str(b.day), str(b.at), b.meta, b.good,
                           b.cover and b.cover.hex(), b.state.value, b.shelf and b.shelf.label] for b in session.scalars(sa.select(Book).order_by(Book.id))]))
'''

DRIZZLE_APP = r'''
const { drizzle } = require("drizzle-orm/node-postgres");
const { Client } = require("pg");
const { pgTable, pgEnum, serial, uuid, varchar, numeric, timestamp, date, time, jsonb, boolean, integer, index } = require("drizzle-orm/pg-core");
const { asc, sql } = require("drizzle-orm");
const { generateDrizzleJson, generateMigration } = require("drizzle-kit/api");

const state = pgEnum("state", ["idle", "busy"]);
const shelf = pgTable("shelf", { id: serial("id").primaryKey(), label: varchar("label", { length: 20 }).notNull().unique() });
const book = pgTable("book", {
  id: uuid("id").primaryKey().defaultRandom(), title: varchar("title", { length: 80 }).notNull(),
  price: numeric("price", { precision: 8, scale: 2 }).notNull(), printed: timestamp("printed", { withTimezone: true }).notNull(),
  day: date("day"), at: time("at"), meta: jsonb("meta"), good: boolean("good").notNull().default(true),
  tags: varchar("tags", { length: 20 }).array(), state: state("state").notNull().default("idle"),
  shelfId: integer("shelf_id").references(() => shelf.id, { onDelete: "set null" }),
}, (t) => [index("book_title_lower").on(sql`lower(${t.title})`), index("book_printed_desc").on(t.printed.desc())]);
const schema = { state, shelf, book };

(async () => {
  const [target, step] = process.argv.slice(2);
  const client = new Client({ connectionString: target });
  await client.connect();
  const db = drizzle(client, { schema });
  if (step === "make") {
    for (const text of await generateMigration(generateDrizzleJson({}), generateDrizzleJson(schema))) await client.query(text);
    const [top] = await db.insert(shelf).values({ label: "top" }).returning();
    for (let n = 0; n < 4; n++)
      await db.insert(book).values({ id: `00000000-0000-0000-0000-00000000000${n + 1}`, title: `Book ${n}`, price: `${n + 1}.50`,
        printed: new Date(Date.UTC(2026, 0, 2, 3, 4, n, n % 2 ? 123 : 0)), day: `2026-01-0${n + 1}`, at: `01:02:0${n}`,
        meta: { n, deep: [null, 1.5] }, tags: n ? ["a", "b c"] : null, shelfId: n ? top.id : null });
  } else {
    const rows = await db.select().from(book).orderBy(asc(book.id));
    console.log(JSON.stringify(rows.map((b) => [b.id, b.title, b.price, b.printed.toISOString(), b.day, b.at, b.meta, b.good, b.tags, b.state, b.shelfId])));
  }
  await client.end();
})().catch((error) => { console.error(error); process.exit(1); });
'''

NEW = {"id": "00000000-0000-0000-0000-000000000009", "title": "New ü", "price": "9.25", "printed": "2026-05-05T05:05:05.5", "day": "2026-05-05",
       "at": "05:05:05", "meta": {"new": [1, None]}, "good": False, "cover": "AP8="}


def walk(client, name, url, model, new):
    """Introspects, finds each row by each of its values, pages, and writes; what went wrong."""
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
    if sorted(r["id"] for r in seen) != sorted(r["id"] for r in rows):
        wrong.append(f"pages: {[r['id'] for r in seen]}")
    client.post(f"/v1/models/{model}/records", new, params=using).expect(201)
    first = rows[0]["id"]
    client.patch(f"/v1/models/{model}/records/{first}", {"title": "Patched"}, params=using).expect(200)
    client.put(f"/v1/models/{model}/records/{rows[1]['id']}", rows[1], params=using).expect(200)
    client.delete(f"/v1/models/{model}/records/{rows[3]['id']}", params=using).expect(204)
    client.delete(f"/v1/connections/{name}?force=true").expect(204)
    return wrong


def judge(before, after, new):
    """What the mapper read before and after: the new row, the patched one, the one put back as it was, and the one gone."""
    if [r[0] for r in after] != [r[0] for r in before[:3]] + [NEW["id"]]:
        return [f"rows: {[r[0] for r in after]}"]
    wrong = []
    if after[0][1] != "Patched" or after[0][2:] != before[0][2:]:
        wrong.append(f"patched: {after[0]} was {before[0]}")
    wrong += [f"changed: {now} was {was}" for was, now in zip(before[1:3], after[1:3]) if was != now]
    if after[3][1:9] != new:
        wrong.append(f"new: {after[3][1:9]} is not {new}")
    return wrong


def walked(client, name, url, model, new, script, said):
    script("make")
    before = json.loads(script("read"))
    wrong = walk(client, name, url, model, new)
    return wrong + judge(before, json.loads(script("read")), [new["title"], new["price"], said, new["day"], new["at"], new["meta"], new["good"], "00ff"][:8 if "cover" in new else 7]
                         + ([] if "cover" in new else [["x"]]))


def python_tools(foreign, server, client, postgres):
    bins = foreign.venv("tools", DJANGO, SQLALCHEMY, PSYCOPG)
    for tool, app, model, zone, extra in (("django", DJANGO_APP, "books_book", "+00:00", {"stock": 1}),
                                          ("sqlalchemy", SQLALCHEMY_APP, "book", "", {"state": "busy"})):
        for kind in ("sqlite", "postgres"):
            database = postgres.create_database() if kind == "postgres" else f"{server.dir}/{tool}.db"
            url = postgres.url(database) if kind == "postgres" else f"sqlite:{database}?mode=rw"
            target = database
            if tool == "django" and kind == "postgres":
                target = json.dumps({"NAME": database, "USER": "ferrod", "HOST": "127.0.0.1", "PORT": str(postgres.port)})
            elif tool == "sqlalchemy":
                target = f"sqlite:///{database}" if kind == "sqlite" else url.replace("postgres://", "postgresql+psycopg://")
            new = {**NEW, **extra, "printed": NEW["printed"] + ("Z" if zone and kind == "postgres" else "")}

            def script(step, app=app, kind=kind, target=target):
                return foreign.run(bins / "python", "-", kind, target, step, text=app)
            yield f"{tool} on {kind}", walked(client, f"{tool}_{kind}", url, model, new, script, f"2026-05-05T05:05:05.500000{zone}")


def drizzle(foreign, client, postgres):
    place = foreign.work / "drizzle"
    place.mkdir(exist_ok=True)
    (place / "app.cjs").write_text(DRIZZLE_APP, encoding="utf-8")
    if not (place / "node_modules").exists():
        foreign.run("npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", place, *DRIZZLE)
    url = postgres.url(postgres.create_database())
    new = {**{k: v for k, v in NEW.items() if k != "cover"}, "printed": NEW["printed"] + "Z", "state": "busy", "tags": ["x"]}
    return walked(client, "drizzle", url, "book", new, lambda step: foreign.run("node", "app.cjs", url, step, cwd=place), "2026-05-05T05:05:05.500Z")


def run(foreign):
    postgres = Postgres()
    try:
        with Server() as server, Client(server.port, validate=False) as client:
            yield from python_tools(foreign, server, client, postgres)
            yield "drizzle on postgres", drizzle(foreign, client, postgres)
    finally:
        postgres.destroy()
